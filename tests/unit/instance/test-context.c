/* Service contexts: once, for five minutes, ours, untouched, of this start. The clock is the test's. */
#include "tests/support/unit.h"

#include "base/json.h"
#include "instance/context.h"

#define SECOND USEC_PER_SEC
#define START (UINT64_C(1000) * SECOND)

static const uint8_t key[CONTEXT_KEY_SIZE] = { 7 };

static ContextKeeper *make_keeper(Span with) {
        ContextKeeper *keeper = NULL;
        assert_ok(context_keeper_new(with, &keeper));
        return keeper;
}

static void test_context_form_is_the_recorded_one(void **state) {
        _cleanup_(context_keeper_freep) ContextKeeper *keeper = make_keeper(SPAN_OF(key));
        _cleanup_bytes_ Bytes challenge = {}, text = {}, sealed = {};
        _cleanup_free_ char *context = NULL;
        _cleanup_json_ Json *json = NULL;
        const char *name;
        assert_ok(context_issue(keeper, START, &challenge, &context));
        assert_int_equal(challenge.size, 16);
        assert_ok(base64url_decode(span_from_string(context), "context", &text));
        assert_ok(json_parse(bytes_span(&text), "context", &json));
        assert_ok(json_get_string(json, "ProtectionKeyName", &name));
        assert_int_equal(strlen(name), 64);
        assert_int_equal(strspn(name, "0123456789ABCDEF"), 64);
        assert_ok(json_get_base64url(json, "ProtectedContext", &sealed));
        assert_int_equal(sealed.size, 128);
        assert_int_equal(json_object_object_length(json), 2);
}

static void test_context_redeem_works_once(void **state) {
        _cleanup_(context_keeper_freep) ContextKeeper *keeper = make_keeper(SPAN_OF(key));
        _cleanup_bytes_ Bytes challenge = {}, got = {}, again = {};
        _cleanup_free_ char *context = NULL;
        assert_ok(context_issue(keeper, START, &challenge, &context));
        assert_ok(context_redeem(keeper, context, START + SECOND, &got));
        assert_true(span_equal(bytes_span(&challenge), bytes_span(&got)));
        Err *error = context_redeem(keeper, context, START + SECOND, &again);
        assert_int_equal(err_code(error), ERR_CHALLENGE_INVALID);
        assert_non_null(strstr(err_describe(error), "used before"));
        err_free(error);
        assert_null(again.data);
}

static void test_context_redeem_out_of_time_is_refused(void **state) {
        const struct {
                uint64_t at;
                bool good;
        } cases[] = { { START, true }, { START + 300 * SECOND, true }, { START + 300 * SECOND + 1, false }, { START - 1, false } };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_(context_keeper_freep) ContextKeeper *keeper = make_keeper(SPAN_OF(key));
                _cleanup_bytes_ Bytes challenge = {}, got = {};
                _cleanup_free_ char *context = NULL;
                assert_ok(context_issue(keeper, START, &challenge, &context));
                if (cases[i].good)
                        assert_ok(context_redeem(keeper, context, cases[i].at, &got));
                else
                        assert_err(context_redeem(keeper, context, cases[i].at, &got), ERR_CHALLENGE_INVALID);
        }
}

static void test_context_redeem_any_changed_byte_is_refused(void **state) {
        _cleanup_(context_keeper_freep) ContextKeeper *keeper = make_keeper(SPAN_OF(key));
        _cleanup_bytes_ Bytes challenge = {}, text = {}, got = {};
        _cleanup_free_ char *context = NULL;
        assert_ok(context_issue(keeper, START, &challenge, &context));
        assert_ok(base64url_decode(span_from_string(context), "context", &text));
        for (size_t i = 0; i < text.size; i++) {
                _cleanup_free_ char *changed = NULL;
                text.data[i] ^= 1;
                assert_ok(base64url_encode(bytes_span(&text), &changed));
                assert_err(context_redeem(keeper, changed, START, &got), ERR_CHALLENGE_INVALID);
                text.data[i] ^= 1;
        }
        assert_ok(context_redeem(keeper, context, START, &got)); /* none of them spent it */
}

static void test_context_redeem_nonsense_is_refused(void **state) {
        static const char *const texts[] = { "", "*", "e30", "eyJQcm90ZWN0aW9uS2V5TmFtZSI6MX0", "bm9uc2Vuc2U" };
        _cleanup_(context_keeper_freep) ContextKeeper *keeper = make_keeper(SPAN_OF(key));
        _cleanup_bytes_ Bytes got = {};
        for (size_t i = 0; i < N_ELEMENTS(texts); i++)
                assert_err(context_redeem(keeper, texts[i], START, &got), ERR_CHALLENGE_INVALID);
        _cleanup_bytes_ Bytes large = {};
        assert_ok(bytes_alloc(100000, &large));
        memset(large.data, 'A', large.size);
        assert_err(context_redeem(keeper, (const char *) large.data, START, &got), ERR_CHALLENGE_INVALID);
}

static void test_context_redeem_of_another_start_or_key_is_refused(void **state) {
        static const uint8_t other[CONTEXT_KEY_SIZE] = { 8 };
        _cleanup_(context_keeper_freep) ContextKeeper *first = make_keeper(SPAN_OF(key)), *second = make_keeper(SPAN_OF(key)),
                                                      *third = make_keeper(SPAN_OF(other));
        _cleanup_bytes_ Bytes challenge = {}, more = {}, got = {};
        _cleanup_free_ char *context = NULL, *unused = NULL;
        assert_ok(context_issue(first, START, &challenge, &context));
        assert_ok(context_issue(second, START, &more, &unused)); /* so that the number exists there too */
        Err *error = context_redeem(second, context, START, &got);
        assert_int_equal(err_code(error), ERR_CHALLENGE_INVALID);
        assert_non_null(strstr(err_describe(error), "last start"));
        err_free(error);
        assert_err(context_redeem(third, context, START, &got), ERR_CHALLENGE_INVALID);
}

/* The window: the newest CONTEXT_WINDOW numbers work, the one before them does not, and a slot that comes round again starts unused. */
static void test_context_window_slides(void **state) {
        _cleanup_(context_keeper_freep) ContextKeeper *keeper = make_keeper(SPAN_OF(key));
        char *contexts[3] = {};
        _cleanup_bytes_ Bytes got = {};
        for (unsigned i = 0; i < CONTEXT_WINDOW + 2; i++) {
                _cleanup_bytes_ Bytes challenge = {};
                _cleanup_free_ char *context = NULL;
                assert_ok(context_issue(keeper, START, &challenge, &context));
                if (i == 0 || i == 2 || i == CONTEXT_WINDOW + 1)
                        contexts[i == 0 ? 0 : i == 2 ? 1 : 2] = steal_ptr(&context);
                if (i == 0) {
                        assert_ok(context_redeem(keeper, contexts[0], START, &got));
                        bytes_done(&got);
                }
                if (i == 1) { /* has the slot that number CONTEXT_WINDOW + 1 gets */
                        assert_ok(context_redeem(keeper, context, START, &got));
                        bytes_done(&got);
                }
        }
        Err *error = context_redeem(keeper, contexts[0], START, &got);
        assert_non_null(strstr(err_describe(error), "newer challenges"));
        err_free(error);
        assert_ok(context_redeem(keeper, contexts[1], START, &got));
        bytes_done(&got);
        assert_ok(context_redeem(keeper, contexts[2], START, &got));
        for (size_t i = 0; i < N_ELEMENTS(contexts); i++)
                free(contexts[i]);
}

static void test_context_unseal_gives_the_content_once(void **state) {
        static const size_t sizes[] = { 0, 1, 344, CONTEXT_CONTENT_MAX };
        _cleanup_(context_keeper_freep) ContextKeeper *keeper = make_keeper(SPAN_OF(key));
        for (size_t i = 0; i < N_ELEMENTS(sizes); i++) {
                _cleanup_bytes_ Bytes content = {}, got = {}, again = {};
                _cleanup_free_ char *context = NULL;
                assert_ok(bytes_alloc(sizes[i], &content));
                assert_ok(context_seal(keeper, bytes_span(&content), START, &context));
                assert_ok(context_unseal(keeper, context, START + SECOND, &got));
                assert_true(span_equal(bytes_span(&content), bytes_span(&got)));
                assert_err(context_unseal(keeper, context, START + SECOND, &again), ERR_CHALLENGE_INVALID);
        }
        _cleanup_bytes_ Bytes large = {};
        char *context = NULL;
        assert_ok(bytes_alloc(CONTEXT_CONTENT_MAX + 1, &large));
        assert_err(context_seal(keeper, bytes_span(&large), START, &context), ERR_LIMIT_EXCEEDED);
}

static void test_context_unseal_late_changed_or_foreign_is_refused(void **state) {
        static const uint8_t other_key[CONTEXT_KEY_SIZE] = { 8 };
        _cleanup_(context_keeper_freep) ContextKeeper *keeper = make_keeper(SPAN_OF(key)), *restarted = make_keeper(SPAN_OF(key));
        _cleanup_(context_keeper_freep) ContextKeeper *other = make_keeper(SPAN_OF(other_key));
        _cleanup_bytes_ Bytes got = {};
        _cleanup_free_ char *context = NULL;
        assert_ok(context_seal(keeper, span_from_string("content"), START, &context));
        assert_err(context_unseal(keeper, context, START + CONTEXT_LIFETIME_USEC + 1, &got), ERR_CHALLENGE_INVALID);
        assert_err(context_unseal(keeper, context, START - 1, &got), ERR_CHALLENGE_INVALID);
        assert_err(context_unseal(restarted, context, START, &got), ERR_CHALLENGE_INVALID);
        assert_err(context_unseal(other, context, START, &got), ERR_CHALLENGE_INVALID);
        for (size_t i = 0; context[i]; i++) {
                char good = context[i];
                context[i] = good == 'A' ? 'B' : 'A';
                assert_err(context_unseal(keeper, context, START, &got), ERR_CHALLENGE_INVALID);
                context[i] = good;
        }
        assert_ok(context_unseal(keeper, context, START, &got));   /* none of that has spent it */
}

static void test_context_of_one_kind_is_none_of_the_other(void **state) {
        _cleanup_(context_keeper_freep) ContextKeeper *keeper = make_keeper(SPAN_OF(key));
        _cleanup_bytes_ Bytes challenge = {}, got = {}, text = {}, sealed = {}, content = {};
        _cleanup_free_ char *service_context = NULL, *raw = NULL, *context = NULL, *wrapped = NULL, *encoded = NULL;
        _cleanup_json_ Json *json = NULL;
        const char *name;
        assert_ok(context_issue(keeper, START, &challenge, &service_context));
        assert_ok(base64url_decode(span_from_string(service_context), "context", &text));
        assert_ok(json_parse(bytes_span(&text), "context", &json));
        assert_ok(json_get_base64url(json, "ProtectedContext", &sealed));
        assert_ok(json_get_string(json, "ProtectionKeyName", &name));
        assert_ok(base64url_encode(bytes_span(&sealed), &raw));
        assert_err(context_unseal(keeper, raw, START, &got), ERR_CHALLENGE_INVALID);
        /* 67 bytes of content make a ciphertext of as many bytes as a service context has */
        assert_ok(bytes_alloc(67, &content));
        assert_ok(context_seal(keeper, bytes_span(&content), START, &context));
        assert_ok(string_format(&wrapped, "{\"ProtectionKeyName\":\"%s\",\"ProtectedContext\":\"%s\"}", name, context));
        assert_ok(base64url_encode(span_from_string(wrapped), &encoded));
        assert_err(context_redeem(keeper, encoded, START, &got), ERR_CHALLENGE_INVALID);
        assert_ok(context_unseal(keeper, context, START, &got));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_context_form_is_the_recorded_one),
                cmocka_unit_test(test_context_redeem_works_once),
                cmocka_unit_test(test_context_redeem_out_of_time_is_refused),
                cmocka_unit_test(test_context_redeem_any_changed_byte_is_refused),
                cmocka_unit_test(test_context_redeem_nonsense_is_refused),
                cmocka_unit_test(test_context_redeem_of_another_start_or_key_is_refused),
                cmocka_unit_test(test_context_window_slides),
                cmocka_unit_test(test_context_unseal_gives_the_content_once),
                cmocka_unit_test(test_context_unseal_late_changed_or_foreign_is_refused),
                cmocka_unit_test(test_context_of_one_kind_is_none_of_the_other),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
