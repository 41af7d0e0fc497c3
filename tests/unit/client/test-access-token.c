/* Answers of token authorities and metadata services. Lives and dates are worked out by hand (`date -u -d @SECONDS` agrees). */
#include "tests/support/unit.h"

#include "client/access-token.h"

#define NOW 1700000000u   /* 2023-11-14T22:13:20Z */

static HttpResponse answer_of(long status, const char *body) {
        HttpResponse response = { .status = status };
        assert_ok(bytes_copy(span_from_string(body), &response.body));
        return response;
}

static Err *parse(long status, const char *body, AccessTokenSource source, uint64_t date_sec, AccessToken *ret) {
        _cleanup_http_response_ HttpResponse response = answer_of(status, body);
        response.date_sec = date_sec;
        return access_token_parse(&response, source, NOW, ret);
}

static void test_access_token_parse_reads_the_life_in_every_spelling(void **state) {
        static const struct { const char *members; AccessTokenSource source; uint64_t date_sec, refresh_sec, expires_sec; } cases[] = {
                { "\"expires_in\":3599", ACCESS_TOKEN_OF_AUTHORITY, 0, NOW + 3299, NOW + 3599 },
                { "\"expires_in\":\"3599\"", ACCESS_TOKEN_OF_AUTHORITY, 0, NOW + 3299, NOW + 3599 },
                { "\"expires_in\":3599.9", ACCESS_TOKEN_OF_AUTHORITY, 0, NOW + 3299, NOW + 3599 },
                { "\"expires_in\":400", ACCESS_TOKEN_OF_AUTHORITY, 0, NOW + 200, NOW + 400 },
                { "\"expires_in\":3599,\"refresh_in\":1800", ACCESS_TOKEN_OF_AUTHORITY, 0, NOW + 1800, NOW + 3599 },
                { "\"expires_in\":3599,\"refresh_in\":\"1800\"", ACCESS_TOKEN_OF_AUTHORITY, 0, NOW + 1800, NOW + 3599 },
                { "\"expires_in\":3599,\"refresh_in\":9999", ACCESS_TOKEN_OF_AUTHORITY, 0, NOW + 3599, NOW + 3599 },
                { "\"expires_in\":\"86399\",\"expires_on\":\"1\"", ACCESS_TOKEN_OF_MANAGED_IDENTITY, 0, NOW + 43199, NOW + 86399 },
                { "\"expires_in\":\"7199\"", ACCESS_TOKEN_OF_MANAGED_IDENTITY, 0, NOW + 6899, NOW + 7199 },
                { "\"expires_in\":\"86399\"", ACCESS_TOKEN_OF_AUTHORITY, 0, NOW + 86099, NOW + 86399 },
                { "\"expires_on\":1700003600", ACCESS_TOKEN_OF_AUTHORITY, 0, NOW + 3300, NOW + 3600 },
                { "\"expires_on\":\"1700003600\"", ACCESS_TOKEN_OF_AUTHORITY, 0, NOW + 3300, NOW + 3600 },
                { "\"expires_on\":\"2023-11-14T23:13:20Z\"", ACCESS_TOKEN_OF_AUTHORITY, 0, NOW + 3300, NOW + 3600 },
                { "\"expires_on\":\"2023-11-15T00:13:20.123+01:00\"", ACCESS_TOKEN_OF_AUTHORITY, 0, NOW + 3300, NOW + 3600 },
                { "\"expires_on\":\"2023-11-14T18:43:20-04:30\"", ACCESS_TOKEN_OF_AUTHORITY, 0, NOW + 3300, NOW + 3600 },
                { "\"expires_on\":\"Tue, 14 Nov 2023 23:13:20 GMT\"", ACCESS_TOKEN_OF_AUTHORITY, 0, NOW + 3300, NOW + 3600 },
                /* this machine's clock is a day ahead: what counts is the other side's */
                { "\"expires_on\":1699917200", ACCESS_TOKEN_OF_AUTHORITY, NOW - 86400, NOW + 3300, NOW + 3600 },
                { "\"expires_in\":1e18", ACCESS_TOKEN_OF_AUTHORITY, 0, 0, 0 },
                { "\"expires_in\":9007199254740991", ACCESS_TOKEN_OF_AUTHORITY, 0, NOW + 366 * 86400 - 300, NOW + 366 * 86400 },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_free_ char *body = NULL;
                _cleanup_access_token_ AccessToken token = {};
                assert_ok(string_format(&body, "{\"token_type\":\"Bearer\",%s,\"access_token\":\"a.b-c_d~e+f/g=\"}", cases[i].members));
                if (cases[i].expires_sec == 0) {
                        assert_err(parse(200, body, cases[i].source, cases[i].date_sec, &token), ERR_SERVICE_ANSWER_INVALID);
                        continue;
                }
                assert_ok(parse(200, body, cases[i].source, cases[i].date_sec, &token));
                assert_string_equal(token.authorization, "Bearer a.b-c_d~e+f/g=");
                assert_int_equal(token.refresh_sec, cases[i].refresh_sec);
                assert_int_equal(token.expires_sec, cases[i].expires_sec);
        }
}

static void test_access_token_parse_refuses_what_is_no_answer(void **state) {
        static const char *const bodies[] = {
                "", "[]", "nonsense", "{}", "{\"access_token\":\"a\"}", "{\"expires_in\":5}", "{\"access_token\":\"\",\"expires_in\":5}",
                "{\"access_token\":5,\"expires_in\":5}", "{\"access_token\":\"a b\",\"expires_in\":5}", "{\"access_token\":\"a\\r\\nX: y\",\"expires_in\":5}",
                "{\"access_token\":\"\\u00e4\",\"expires_in\":5}", "{\"access_token\":\"a\",\"expires_in\":0}", "{\"access_token\":\"a\",\"expires_in\":-5}",
                "{\"access_token\":\"a\",\"expires_in\":\"-5\"}", "{\"access_token\":\"a\",\"expires_in\":\"soon\"}", "{\"access_token\":\"a\",\"expires_in\":true}",
                "{\"access_token\":\"a\",\"expires_in\":\"\"}", "{\"access_token\":\"a\",\"expires_in\":\"5.\"}", "{\"access_token\":\"a\",\"expires_on\":\"1699999999\"}",
                "{\"access_token\":\"a\",\"expires_on\":\"2023-13-14T23:13:20Z\"}", "{\"access_token\":\"a\",\"expires_on\":\"2023-11-14T23:13:20\"}",
                "{\"access_token\":\"a\",\"expires_in\":5,\"token_type\":\"mac\"}", "{\"access_token\":\"a\",\"access_token\":\"b\",\"expires_in\":5}",
        };
        for (size_t i = 0; i < N_ELEMENTS(bodies); i++) {
                AccessToken token = {};
                assert_err(parse(200, bodies[i], ACCESS_TOKEN_OF_AUTHORITY, 0, &token), ERR_SERVICE_ANSWER_INVALID);
                assert_null(token.authorization);
        }
}

static void test_access_token_parse_maps_refusals(void **state) {
        static const struct { long status; AccessTokenSource source; ErrCode expected; } cases[] = {
                { 400, ACCESS_TOKEN_OF_AUTHORITY, ERR_CREDENTIAL_FAILED },          { 401, ACCESS_TOKEN_OF_AUTHORITY, ERR_CREDENTIAL_FAILED },
                { 403, ACCESS_TOKEN_OF_MANAGED_IDENTITY, ERR_CREDENTIAL_FAILED },   { 404, ACCESS_TOKEN_OF_AUTHORITY, ERR_CREDENTIAL_FAILED },
                { 404, ACCESS_TOKEN_OF_MANAGED_IDENTITY, ERR_SERVICE_UNAVAILABLE }, { 410, ACCESS_TOKEN_OF_MANAGED_IDENTITY, ERR_SERVICE_UNAVAILABLE },
                { 410, ACCESS_TOKEN_OF_AUTHORITY, ERR_CREDENTIAL_FAILED },          { 408, ACCESS_TOKEN_OF_AUTHORITY, ERR_SERVICE_UNAVAILABLE },
                { 429, ACCESS_TOKEN_OF_AUTHORITY, ERR_SERVICE_THROTTLED },          { 503, ACCESS_TOKEN_OF_AUTHORITY, ERR_SERVICE_UNAVAILABLE },
                { 302, ACCESS_TOKEN_OF_AUTHORITY, ERR_SERVICE_ANSWER_INVALID },     { 199, ACCESS_TOKEN_OF_AUTHORITY, ERR_SERVICE_ANSWER_INVALID },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                AccessToken token = {};
                int64_t native = 0;
                _cleanup_(err_freep) Err *err = parse(cases[i].status, "{\"error\":\"x\"}", cases[i].source, 0, &token);
                assert_int_equal(err_code(err), cases[i].expected);
                assert_int_equal(err_native(err, &native), ERR_DOMAIN_HTTP);
                assert_int_equal(native, cases[i].status);
        }
}

static void test_access_token_parse_says_what_the_authority_said(void **state) {
        AccessToken token = {};
        _cleanup_(err_freep) Err *err = parse(401, "{\"error\":\"invalid_client\",\"error_description\":\"AADSTS7000215: Invalid\\r\\nclient\\u001b[1m secret\"}",
                                              ACCESS_TOKEN_OF_AUTHORITY, 0, &token);
        assert_string_equal(err_describe(err), "the token authority answered HTTP 401 \"invalid_client\": AADSTS7000215: Invalid client [1m secret");
}

static void test_access_token_parse_knows_the_one_escape_that_a_token_may_have(void **state) {
        _cleanup_access_token_ AccessToken token = {};
        assert_ok(parse(200, "{\"access_token\":\"a\\/b/c\",\"expires_in\":5}", ACCESS_TOKEN_OF_AUTHORITY, 0, &token));
        assert_string_equal(token.authorization, "Bearer a/b/c");
        static const char *const bodies[] = { "{\"access_token\":\"a\\u0062\",\"expires_in\":5}", "{\"access_token\":\"a\\n\",\"expires_in\":5}",
                                              "{\"access_token\":\"a\\\\\",\"expires_in\":5}", "{\"access_token\":null,\"expires_in\":5}",
                                              "{\"access_token\":[\"a\"],\"expires_in\":5}", "[{\"access_token\":\"a\",\"expires_in\":5}]" };
        for (size_t i = 0; i < N_ELEMENTS(bodies); i++) {
                AccessToken none = {};
                assert_err(parse(200, bodies[i], ACCESS_TOKEN_OF_AUTHORITY, 0, &none), ERR_SERVICE_ANSWER_INVALID);
        }
}

static void test_access_token_parse_keeps_retry_after(void **state) {
        _cleanup_http_response_ HttpResponse response = answer_of(429, "");
        AccessToken token = {};
        assert_ok(string_copy("17", &response.retry_after));
        _cleanup_(err_freep) Err *err = access_token_parse(&response, ACCESS_TOKEN_OF_AUTHORITY, NOW, &token);
        assert_int_equal(err_retry_after(err), 17 * USEC_PER_SEC);
}

static void test_access_token_parse_every_prefix_is_refused(void **state) {
        static const char body[] = "{\"access_token\":\"abc\",\"expires_in\":\"86399\",\"expires_on\":\"1700086399\",\"token_type\":\"Bearer\"}";
        for (size_t n = 0; n < strlen(body); n++) {
                _cleanup_http_response_ HttpResponse response = { .status = 200 };
                AccessToken token = {};
                assert_ok(bytes_copy(span_make(body, n), &response.body));
                assert_err(access_token_parse(&response, ACCESS_TOKEN_OF_MANAGED_IDENTITY, NOW, &token), ERR_SERVICE_ANSWER_INVALID);
        }
}

static void test_access_token_authorization_strips_and_refuses(void **state) {
        static const struct { const char *text, *expected; } cases[] = {
                { "abc", "Bearer abc" }, { "abc\n", "Bearer abc" }, { " \t\r\nabc\r\n\n", "Bearer abc" },
                { "", NULL }, { "\n", NULL }, { "a b", NULL }, { "a\nb", NULL }, { "a\"b", NULL }, { "\xc3\xa4", NULL },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_free_ char *text = NULL;
                if (cases[i].expected) {
                        assert_ok(access_token_authorization(span_from_string(cases[i].text), "the file", &text));
                        assert_string_equal(text, cases[i].expected);
                } else {
                        assert_err(access_token_authorization(span_from_string(cases[i].text), "the file", &text), ERR_CREDENTIAL_FAILED);
                }
        }
        char *text = NULL;
        assert_err(access_token_authorization(span_make("a\0b", 3), "the file", &text), ERR_CREDENTIAL_FAILED);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_access_token_parse_reads_the_life_in_every_spelling),
                cmocka_unit_test(test_access_token_parse_refuses_what_is_no_answer),
                cmocka_unit_test(test_access_token_parse_maps_refusals),
                cmocka_unit_test(test_access_token_parse_says_what_the_authority_said),
                cmocka_unit_test(test_access_token_parse_knows_the_one_escape_that_a_token_may_have),
                cmocka_unit_test(test_access_token_parse_keeps_retry_after),
                cmocka_unit_test(test_access_token_parse_every_prefix_is_refused),
                cmocka_unit_test(test_access_token_authorization_strips_and_refuses),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
