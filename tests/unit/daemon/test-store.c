/* Kept tokens: what is written comes back under the same key, and under no other. */
#include "tests/support/unit.h"

#include <sys/stat.h>
#include <unistd.h>

#include "daemon/store.h"

static char directory[] = "/tmp/attestd-test-store.XXXXXX";
static const uint8_t name_a[] = { 0, 11, 1, 2, 3 }, name_b[] = { 0, 11, 1, 2, 4 };

static StoreKey make_key(void) {
        return (StoreKey) { "default", "https://a.example", "policy-hash abc\n", "boot", 7, 3, SPAN_OF(name_a) };
}

static void write_one(void) {
        StoreKey key = make_key();
        const StoredToken token = { (char *) "a.b.c", (char *) "{\"kty\":\"RSA\"}", 1000, 2000 };
        assert_ok(store_write(directory, &key, &token));
}

static void test_store_read_same_key_returns_token(void **state) {
        StoreKey key = make_key();
        StoredToken token = {};
        const char *reason;
        struct stat info;
        char path[128];
        write_one();
        assert_ok(store_read(directory, &key, &token, &reason));
        assert_null(reason);
        assert_string_equal(token.token, "a.b.c");
        assert_string_equal(token.request_key, "{\"kty\":\"RSA\"}");
        assert_int_equal(token.issued_usec, 1000);
        assert_int_equal(token.expires_usec, 2000);
        snprintf(path, sizeof(path), "%s/tokens/default.json", directory);
        assert_int_equal(stat(path, &info), 0);
        assert_int_equal(info.st_mode & 07777, 0600);
        stored_token_done(&token);
}

static void expect_dropped(const StoreKey *key) {
        StoredToken token = {};
        const char *reason;
        char path[128];
        write_one();
        assert_ok(store_read(directory, key, &token, &reason));
        assert_null(token.token);
        assert_non_null(reason);
        snprintf(path, sizeof(path), "%s/tokens/default.json", directory);
        assert_int_equal(access(path, F_OK), -1);
}

static void test_store_read_any_difference_drops_token(void **state) {
        StoreKey keys[7];
        for (size_t i = 0; i < N_ELEMENTS(keys); i++)
                keys[i] = make_key();
        keys[0].instance = "https://b.example";
        keys[1].boot_id = "other";
        keys[2].reset_count++;
        keys[3].restart_count++;
        keys[4].aik_name = SPAN_OF(name_b);
        keys[5].aik_name = (Span) {};
        keys[6].terms = "policy-hash abd\n";
        for (size_t i = 0; i < N_ELEMENTS(keys); i++)
                expect_dropped(&keys[i]);
}

static void test_store_read_garbage_is_dropped(void **state) {
        static const char *const texts[] = { "", "{", "[]", "{\"version\":1}", "{\"version\":1,\"version\":1}" };
        for (size_t i = 0; i < N_ELEMENTS(texts); i++) {
                StoreKey key = make_key();
                StoredToken token = {};
                const char *reason;
                char path[128];
                snprintf(path, sizeof(path), "%s/tokens/default.json", directory);
                assert_ok(file_write_atomic(path, span_from_string(texts[i]), 0600));
                assert_ok(store_read(directory, &key, &token, &reason));
                assert_null(token.token);
                assert_non_null(reason);
        }
}

static void test_store_read_absent_is_no_error(void **state) {
        StoreKey key = make_key();
        StoredToken token = {};
        const char *reason;
        assert_ok(store_remove(directory, "default"));
        assert_ok(store_remove(directory, "default"));
        assert_ok(store_read(directory, &key, &token, &reason));
        assert_null(token.token);
        assert_null(reason);
}

static void test_store_clean_removes_unfinished_files_alone(void **state) {
        char whole[128], unfinished[128];
        snprintf(whole, sizeof(whole), "%s/tokens/default.json", directory);
        snprintf(unfinished, sizeof(unfinished), "%s/tokens/default.json.Ab12xY", directory);
        write_one();
        assert_ok(file_write_atomic(unfinished, span_from_string("half"), 0600));
        assert_ok(store_clean(directory));
        assert_int_equal(access(unfinished, F_OK), -1);
        assert_int_equal(access(whole, F_OK), 0);
        assert_ok(store_clean("/nonexistent"));
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_store_read_same_key_returns_token),
                cmocka_unit_test(test_store_read_any_difference_drops_token),
                cmocka_unit_test(test_store_read_garbage_is_dropped),
                cmocka_unit_test(test_store_read_absent_is_no_error),
                cmocka_unit_test(test_store_clean_removes_unfinished_files_alone),
        };
        if (!mkdtemp(directory))
                return 1;
        int failed = cmocka_run_group_tests(tests, NULL, NULL);
        char path[128];
        snprintf(path, sizeof(path), "%s/tokens/default.json", directory);
        unlink(path);
        snprintf(path, sizeof(path), "%s/tokens", directory);
        rmdir(path);
        rmdir(directory);
        return failed;
}
