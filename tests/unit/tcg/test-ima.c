/* The IMA list, with entries made here: what real lists rarely have, and what a list cannot be. Replayed values of real lists: test-ima-vectors.c. */
#include "tests/support/unit.h"

#include "base/writer.h"
#include "tcg/ima-ascii.h"

typedef struct Entry {
        uint32_t pcr;
        size_t digest_size;
        const char *name;
        const char *data;
        size_t data_size;
} Entry;

/* An entry whose template digest is right, or zero. */
static void put_entry(Writer *list, const Entry *entry, bool violation) {
        Digest digest;
        assert_ok(hash_digest(ima_digest_alg(entry->digest_size), span_make(entry->data, entry->data_size), &digest));
        if (violation)
                digest = digest_zero(digest.alg);
        writer_u32le(list, entry->pcr);
        writer_span(list, digest_span(&digest));
        writer_u32le(list, (uint32_t) strlen(entry->name));
        writer_string(list, entry->name);
        writer_u32le(list, (uint32_t) entry->data_size);
        writer_span(list, span_make(entry->data, entry->data_size));
}

#define NG_DATA "\x0b\0\0\0sha1:\0ABCDE\x05\0\0\0/bin\0"
#define UNKNOWN_DATA "\1\0\0\0a\0\0\0\0\3\0\0\0xyz"
#define DATA(text) text, sizeof(text) - 1

static Err *read_all(Span input, size_t digest_size, ImaList *ret_list, ImaReplay *replay) {
        TRY(ima_list_open(input, digest_size, ret_list));
        for (;;) {
                ImaEntry entry;
                bool more;
                TRY(ima_list_next(ret_list, &entry, &more));
                if (!more)
                        return NULL;
                TRY(ima_replay_entry(replay, &entry));
        }
}

static void test_ima_list_open_digest_size_is_found_out(void **state) {
        static const size_t sizes[] = { 20, 32, 48, 64 };
        for (size_t i = 0; i < N_ELEMENTS(sizes); i++)
                for (unsigned violation = 0; violation < 2; violation++) {
                        _cleanup_writer_ Writer list = {};
                        ImaReplay replay = ima_replay_start((uint16_t[]) { HASH_SHA256 }, 1);
                        Entry entry = { 10, sizes[i], "ima-ng", DATA(NG_DATA) };
                        ImaList opened;
                        put_entry(&list, &entry, violation);
                        put_entry(&list, &entry, false);
                        assert_ok(read_all(bytes_span(&list.output), 0, &opened, &replay));
                        assert_int_equal(opened.digest_size, sizes[i]);
                        assert_int_equal(replay.n_entries, 2);
                        assert_int_equal(replay.n_violations, violation);
                }
        ImaList opened;
        assert_err(ima_list_open(SPAN_OF("x"), 21, &opened), ERR_INVALID_ARGUMENT);
        assert_err(ima_list_open((Span) {}, 0, &opened), ERR_LOG_EMPTY);
}

static void test_ima_list_next_fields_are_told(void **state) {
        _cleanup_writer_ Writer writer = {};
        ImaList list;
        ImaEntry entry;
        bool more;
        put_entry(&writer, &(Entry) { 10, 20, "ima-ng", DATA(NG_DATA) }, false);
        put_entry(&writer, &(Entry) { 10, 20, "vendor-template", DATA(UNKNOWN_DATA) }, false);
        put_entry(&writer, &(Entry) { 10, 20, "n-ng|x|d-ngv2", DATA("\2\0\0\0a\0\1\0\0\0x\x10\0\0\0verity:sha256:\0D") }, false);
        assert_ok(ima_list_open(bytes_span(&writer.output), 0, &list));
        assert_ok(ima_list_next(&list, &entry, &more));
        assert_true(entry.has_fields && span_equal_string(entry.file_name, "/bin") && span_equal_string(entry.file_digest, "ABCDE"));
        assert_int_equal(entry.file_digest_alg, HASH_SHA1);
        assert_ok(ima_list_next(&list, &entry, &more));
        assert_false(entry.has_fields);
        assert_ok(ima_list_next(&list, &entry, &more));
        assert_true(entry.has_fields && span_equal_string(entry.file_name, "a") && span_equal_string(entry.file_digest, "D"));
        assert_int_equal(entry.file_digest_alg, HASH_SHA256);
        assert_ok(ima_list_next(&list, &entry, &more));
        assert_false(more);
}

static void test_ima_replay_entry_other_pcr_is_counted_only(void **state) {
        _cleanup_writer_ Writer list = {};
        ImaReplay replay = ima_replay_start((uint16_t[]) { HASH_SHA256, HASH_SHA1 }, 2), start = replay;
        ImaList opened;
        put_entry(&list, &(Entry) { 11, 20, "ima-ng", DATA(NG_DATA) }, false);
        assert_ok(read_all(bytes_span(&list.output), 0, &opened, &replay));
        assert_int_equal(replay.n_entries, 1);
        assert_int_equal(replay.size, list.output.size);
        assert_true(digest_equal(&replay.values[0], &start.values[0]) && digest_equal(&replay.values[1], &start.values[1]));
}

static void test_ima_list_next_impossible_entry_is_refused(void **state) {
        static const struct { const char *what; Entry entry; ErrCode code; } cases[] = {
                { "PCR 24", { 24, 20, "ima-ng", DATA(NG_DATA) }, ERR_IMA_MALFORMED },
                { "no name", { 10, 20, "", DATA(NG_DATA) }, ERR_IMA_MALFORMED },
                { "a name with a space", { 10, 20, "ima ng", DATA(NG_DATA) }, ERR_IMA_MALFORMED },
                { "a field that overruns", { 10, 20, "ima-ng", DATA("\xff\0\0\0sha1:") }, ERR_IMA_MALFORMED },
                { "a field of 2^32-1", { 10, 20, "ima-ng", DATA("\xff\xff\xff\xffsha1:") }, ERR_IMA_MALFORMED },
                { "half a field", { 10, 20, "ima-ng", DATA(NG_DATA "\1\0") }, ERR_IMA_MALFORMED },
                { "no fields", { 10, 20, "ima-ng", "", 0 }, ERR_IMA_MALFORMED },
                { "a foreign template that overruns", { 10, 20, "other", DATA("\xff\0\0\0x") }, ERR_IMA_MALFORMED },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_writer_ Writer list = {};
                ImaReplay replay = ima_replay_start((uint16_t[]) { HASH_SHA256 }, 1);
                ImaList opened;
                put_entry(&list, &(Entry) { 10, 20, "ima-ng", DATA(NG_DATA) }, false);
                size_t good = list.output.size;
                put_entry(&list, &cases[i].entry, false);
                Err *err = read_all(bytes_span(&list.output), 0, &opened, &replay);
                if (err_code(err) != cases[i].code)
                        print_error("%s\n", cases[i].what);
                assert_err(err, cases[i].code);
                assert_int_equal(replay.n_entries, 1);
                assert_int_equal(opened.offset, good);
        }
}

static void test_ima_list_next_impossible_size_is_no_cut(void **state) {
        static const struct { uint32_t name_size, data_size; ErrCode code; } cases[] = {
                { 6, IMA_DATA_MAX, ERR_LOG_TRUNCATED }, { 6, IMA_DATA_MAX + 1, ERR_IMA_MALFORMED }, { 6, UINT32_MAX, ERR_IMA_MALFORMED },
                { IMA_NAME_MAX + 1, 0, ERR_IMA_MALFORMED }, { UINT32_MAX, 0, ERR_IMA_MALFORMED }, { IMA_NAME_MAX, 0, ERR_LOG_TRUNCATED },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_writer_ Writer list = {};
                ImaReplay replay = ima_replay_start((uint16_t[]) { HASH_SHA256 }, 1);
                ImaList opened;
                writer_u32le(&list, 10);
                writer_span(&list, span_make("12345678901234567890", 20));
                writer_u32le(&list, cases[i].name_size);
                writer_string(&list, "ima-ng");
                writer_u32le(&list, cases[i].data_size);
                assert_err(read_all(bytes_span(&list.output), 20, &opened, &replay), cases[i].code);
                assert_int_equal(replay.n_entries, 0);
        }
}

static void test_ima_list_next_legacy_name_is_bounded(void **state) {
        for (uint32_t size = IMA_FILE_NAME_MAX; size <= IMA_FILE_NAME_MAX + 1; size++) {
                _cleanup_writer_ Writer list = {};
                ImaReplay replay = ima_replay_start((uint16_t[]) { HASH_SHA1 }, 1);
                ImaList opened;
                writer_u32le(&list, 10);
                writer_span(&list, span_make("12345678901234567890", 20));
                writer_u32le(&list, 3);
                writer_string(&list, "ima");
                writer_span(&list, span_make("12345678901234567890", 20));
                writer_u32le(&list, size);
                for (uint32_t i = 0; i < size; i++)
                        writer_u8(&list, 'n');
                Err *err = read_all(bytes_span(&list.output), 20, &opened, &replay);
                assert_int_equal(err_code(err), size <= IMA_FILE_NAME_MAX ? ERR_NONE : ERR_IMA_MALFORMED);
                err_free(err);
        }
}

#define SHA1_A "0102030405060708090a0b0c0d0e0f1011121314"

static void test_ima_ascii_to_binary_bad_line_is_named(void **state) {
        static const struct { const char *text, *line; } cases[] = {
                { "x", "line 1: " },
                { "10", "line 1: " },
                { "10 " SHA1_A, "line 1: " },
                { "10 " SHA1_A " ima-ng", "line 1: " },
                { "10 " SHA1_A " ima-ng sha1:00", "line 1: " },
                { "10 " SHA1_A " ima-ng 00 /a", "line 1: " },
                { "10 " SHA1_A " ima-ng sha1:0g /a", "line 1: " },
                { "10 " SHA1_A "00 ima-ng sha1:00 /a", "line 1: " },
                { "1000 " SHA1_A " ima-ng sha1:00 /a", "line 1: " },
                { "-1 " SHA1_A " ima-ng sha1:00 /a", "line 1: " },
                { "10 " SHA1_A " ima " SHA1_A "00 /a", "line 1: " },
                { "10 " SHA1_A " ima-modsig sha1:00 /a", "line 1: " },
                { "10 " SHA1_A " evm-sig sha1:00 /a 00", "line 1: " },
                { "10 " SHA1_A " ima-ng sha1:00 /a\n\n10 " SHA1_A SHA1_A " ima-ng sha1:00 /b", "line 3: " },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                Bytes list;
                Err *err = ima_ascii_to_binary(span_from_string(cases[i].text), &list);
                if (!err || !strstr(err_describe(err), cases[i].line))
                        print_error("%s: %s\n", cases[i].text, err ? err_describe(err) : "accepted");
                assert_non_null(err);
                assert_non_null(strstr(err_describe(err), cases[i].line));
                assert_err(err, ERR_IMA_MALFORMED);
        }
        Bytes list;
        assert_err(ima_ascii_to_binary(span_from_string("\n\n"), &list), ERR_LOG_EMPTY);
}

static void test_ima_ascii_to_binary_names_keep_their_spaces(void **state) {
        static const struct { const char *text, *name, *signature; } cases[] = {
                { "10 " SHA1_A " ima-ng sha1:00 /a b  c", "/a b  c", "" },
                { "10 " SHA1_A " ima-ng sha1:00 /a ", "/a ", "" },
                { " 1 " SHA1_A " ima-ng sha1:00 /a\r\n", "/a", "" },
                { "10 " SHA1_A " ima-sig sha1:00 /a b 0304", "/a b", "\3\4" },
                { "10 " SHA1_A " ima-sig sha1:00 /a b ", "/a b", "" },
                { "10 " SHA1_A " ima-sig sha1:00 /a by", "/a by", "" },
                { "10 " SHA1_A " ima-sig sha1:00 /a", "/a", "" },
                { "10 " SHA1_A " ima-modsig sha1:00 /a b 0304 sha256:05 06", "/a b", "\3\4" },
                { "10 " SHA1_A " ima-modsig sha1:00 /a b   ", "/a b", "" },
                { "10 " SHA1_A " ima " SHA1_A " /a b", "/a b", "" },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_bytes_ Bytes binary = {};
                ImaList list;
                ImaEntry entry;
                bool more;
                assert_ok(ima_ascii_to_binary(span_from_string(cases[i].text), &binary));
                assert_ok(ima_list_open(bytes_span(&binary), 0, &list));
                assert_ok(ima_list_next(&list, &entry, &more));
                if (!span_equal_string(entry.file_name, cases[i].name))
                        print_error("%s: \"%.*s\"\n", cases[i].text, (int) entry.file_name.size, (const char *) entry.file_name.data);
                assert_true(span_equal_string(entry.file_name, cases[i].name));
                assert_true(span_equal_string(entry.file_signature, cases[i].signature));
                assert_ok(ima_list_next(&list, &entry, &more));
                assert_false(more);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_ima_list_open_digest_size_is_found_out),
                cmocka_unit_test(test_ima_list_next_fields_are_told),
                cmocka_unit_test(test_ima_replay_entry_other_pcr_is_counted_only),
                cmocka_unit_test(test_ima_list_next_impossible_entry_is_refused),
                cmocka_unit_test(test_ima_list_next_impossible_size_is_no_cut),
                cmocka_unit_test(test_ima_list_next_legacy_name_is_bounded),
                cmocka_unit_test(test_ima_ascii_to_binary_bad_line_is_named),
                cmocka_unit_test(test_ima_ascii_to_binary_names_keep_their_spaces),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
