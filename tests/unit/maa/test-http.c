/* HTTP values: headers, dates and what error answers mean. Dates were computed with `date -u -d`; the first three are the examples of
 * RFC 9110 §5.6.7. Error bodies are those of protocol.md 1.1 and the recorded ones. */
#include "tests/support/vectors.h"

#include "base/json.h"
#include "maa/http.h"

#define NOW UINT64_C(1700000000)   /* Tue, 14 Nov 2023 22:13:20 GMT */

static void add_header(HttpResponse *response, const char *name, const char *value) {
        assert_ok(http_response_add_header(response, span_from_string(name), span_from_string(value)));
}

static void set_body(HttpResponse *response, const char *text) {
        bytes_done(&response->body);
        assert_ok(bytes_copy(span_from_string(text), &response->body));
}

static void test_http_response_add_header_dates_in_all_forms(void **state) {
        static const struct { const char *text; uint64_t seconds; } cases[] = {
                { "Sun, 06 Nov 1994 08:49:37 GMT", 784111777 },
                { "Sunday, 06-Nov-94 08:49:37 GMT", 784111777 },
                { "Sun Nov  6 08:49:37 1994", 784111777 },
                { "Wed, 26 May 2021 23:22:10 GMT", 1622071330 },
                { "Thursday, 29-Feb-24 00:00:00 GMT", 1709164800 },
                { "Sun Nov 16 08:49:37 2025", 1763282977 },
                { "", 0 }, { "yesterday", 0 }, { "Sun, 06 Nov 1994 08:49:37", 0 }, { "Sun, 06 Nov 1994 08:49:37 GMT+1", 0 },
                { "Sun, 06 Nov 1994 08:49:37 CET", 0 }, { "Sun, 06 Foo 1994 08:49:37 GMT", 0 }, { "Sun, 32 Nov 1994 08:49:37 GMT", 0 },
                { "Sun, 06 Nov 1994 24:00:00 GMT", 0 }, { "Sun, 06 Nov 1894 08:49:37 GMT", 0 }, { "784111777", 0 },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_http_response_ HttpResponse response = {};
                add_header(&response, "Date", cases[i].text);
                if (response.date_sec != cases[i].seconds)
                        fail_msg("%s: %llu", cases[i].text, (unsigned long long) response.date_sec);
        }
}

static void test_http_response_add_header_keeps_what_is_known(void **state) {
        _cleanup_http_response_ HttpResponse response = {};
        add_header(&response, "CONTENT-type", " application/json; charset=utf-8\r\n");
        add_header(&response, "x-MS-request-id", "z+D/pu5O40CjI1qh");
        add_header(&response, "x-ms-maa-service-version", "\t1.11.02134.501 ");
        add_header(&response, "Server", "Kestrel");
        add_header(&response, "Retry-After", "7");
        add_header(&response, "retry-after", "9");
        assert_string_equal(response.content_type, "application/json; charset=utf-8");
        assert_string_equal(response.request_id, "z+D/pu5O40CjI1qh");
        assert_string_equal(response.service_version, "1.11.02134.501");
        assert_string_equal(response.retry_after, "9");
}

static void test_http_response_add_header_unusable_value_is_refused(void **state) {
        _cleanup_http_response_ HttpResponse response = {};
        char longest[1026];
        memset(longest, 'x', sizeof(longest) - 1);
        longest[1025] = 0;
        assert_err(http_response_add_header(&response, span_from_string("Retry-After"), span_from_string(longest)), ERR_SERVICE_ANSWER_INVALID);
        longest[1024] = 0;
        assert_ok(http_response_add_header(&response, span_from_string("x-ms-request-id"), span_from_string(longest)));
        assert_err(http_response_add_header(&response, span_from_string("Content-Type"), span_make("a\0b", 3)), ERR_SERVICE_ANSWER_INVALID);
        assert_null(response.content_type);
}

static void test_http_request_add_header_line_break_is_refused(void **state) {
        _cleanup_http_request_ HttpRequest request = { .method = "GET" };
        assert_err(http_request_add_header(&request, "Authorization", "Bearer x\r\nEvil: y"), ERR_INVALID_ARGUMENT);
        assert_err(http_request_add_header(&request, "A\nb", "c"), ERR_INVALID_ARGUMENT);
        assert_int_equal(request.n_headers, 0);
        for (unsigned i = 0; i < HTTP_HEADERS_MAX; i++)
                assert_ok(http_request_add_header(&request, "A", "b"));
        assert_err(http_request_add_header(&request, "A", "b"), ERR_INTERNAL);
}

static void test_http_response_check_status_and_body_give_the_code(void **state) {
#define BODY(code, message) "{\"error\":{\"code\":\"" code "\",\"message\":\"" message "\"}}"
        static const struct { long status; const char *body; ErrCode code; } cases[] = {
                { 200, "", ERR_NONE }, { 201, "", ERR_NONE }, { 204, "", ERR_NONE },
                { 0, "", ERR_SERVICE_ANSWER_INVALID }, { 100, "", ERR_SERVICE_ANSWER_INVALID },
                { 301, "", ERR_SERVICE_ANSWER_INVALID }, { 302, "", ERR_SERVICE_ANSWER_INVALID }, { 304, "", ERR_SERVICE_ANSWER_INVALID },
                { 307, "", ERR_SERVICE_ANSWER_INVALID },
                { 400, "", ERR_SERVICE_REFUSED }, { 404, "", ERR_SERVICE_REFUSED }, { 413, "", ERR_SERVICE_REFUSED },
                { 400, BODY("PolicyEvaluationError", "x"), ERR_SERVICE_POLICY_DENIED },
                { 400, BODY("Bad request", "A VBS attestation policy has not been set on the attestation provider."), ERR_SERVICE_POLICY_MISSING },
                { 400, BODY("Bad request", "Something else."), ERR_SERVICE_REFUSED },
                { 400, BODY("InvalidOperation", "A VBS attestation policy has not been set"), ERR_SERVICE_REFUSED },
                { 400, BODY("InvalidParameter", "x"), ERR_SERVICE_REFUSED },
                { 400, BODY("ChallengeInvalid", "x"), ERR_CHALLENGE_INVALID },
                { 401, BODY("Unauthorized", "x"), ERR_SERVICE_UNAUTHORIZED }, { 403, "", ERR_SERVICE_UNAUTHORIZED },
                { 401, BODY("PolicyEvaluationError", "x"), ERR_SERVICE_UNAUTHORIZED },
                { 408, "", ERR_SERVICE_UNAVAILABLE }, { 429, "", ERR_SERVICE_THROTTLED },
                { 500, "", ERR_SERVICE_UNAVAILABLE }, { 502, "<html>", ERR_SERVICE_UNAVAILABLE }, { 503, "", ERR_SERVICE_UNAVAILABLE },
                { 500, BODY("PolicyEvaluationError", "x"), ERR_SERVICE_UNAVAILABLE },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_http_response_ HttpResponse response = { .status = cases[i].status };
                _cleanup_(err_freep) Err *err = NULL;
                int64_t native = -1;
                add_header(&response, "Content-Type", "application/json; charset=utf-8");
                set_body(&response, cases[i].body);
                err = http_response_check(&response, NOW);
                if (err_code(err) != cases[i].code)
                        fail_msg("%ld %s: %s", cases[i].status, cases[i].body, err ? err_describe(err) : "no error");
                if (err) {
                        assert_int_equal(err_native(err, &native), ERR_DOMAIN_HTTP);
                        assert_int_equal(native, cases[i].status);
                }
        }
}

static void test_http_response_check_malformed_error_body_still_gives_the_status(void **state) {
        static const char *const bodies[] = {
                "", "{", "[]", "null", "\"error\"", "{\"error\":null}", "{\"error\":[]}", "{\"error\":\"x\"}", "{\"error\":{\"code\":5}}",
                "{\"error\":{\"code\":\"PolicyEvaluationError\",\"code\":\"PolicyEvaluationError\"}}", "{\"error\":{\"code\":\"a\\u0000b\"}}",
                "{\"error\":{\"code\":\"Policy\xff\"}}", "{\"error\":{\"message\":{}}}", "{\"code\":\"PolicyEvaluationError\"}",
        };
        for (size_t i = 0; i < N_ELEMENTS(bodies); i++) {
                _cleanup_http_response_ HttpResponse response = { .status = 400 };
                _cleanup_(err_freep) Err *err = NULL;
                add_header(&response, "Content-Type", "application/json");
                set_body(&response, bodies[i]);
                err = http_response_check(&response, NOW);
                assert_int_equal(err_code(err), ERR_SERVICE_REFUSED);
                assert_string_equal(err_sentence(err), "the instance answered HTTP 400");
        }
}

static void test_http_response_check_other_content_type_is_not_parsed(void **state) {
        _cleanup_http_response_ HttpResponse response = { .status = 400 };
        _cleanup_(err_freep) Err *err = NULL;
        add_header(&response, "Content-Type", "text/html");
        set_body(&response, BODY("PolicyEvaluationError", "x"));
        err = http_response_check(&response, NOW);
        assert_int_equal(err_code(err), ERR_SERVICE_REFUSED);
        assert_string_equal(err_sentence(err), "the instance answered HTTP 400 with a body of type text/html, so perhaps something in between answered");
}

static void test_http_response_check_words_are_made_safe_and_short(void **state) {
        _cleanup_http_response_ HttpResponse response = { .status = 400 };
        _cleanup_(err_freep) Err *err = NULL;
        add_header(&response, "Content-Type", "application/json");
        add_header(&response, "x-ms-request-id", "00-9e9b\x1b[31m\xc3\xa9-00");
        set_body(&response, BODY("Bad\\u001b[31m thing", "  one\\r\\n\\ttwo \\u009b three \\u007f\\u00e9  "));
        err = http_response_check(&response, NOW);
        assert_string_equal(err_sentence(err), "the instance answered HTTP 400 \"Bad [31m thing\": one two three \xc3\xa9 (request id 00-9e9b[31m-00)");

        char body[4096] = "{\"error\":{\"message\":\"";
        for (size_t n = strlen(body); n < 4000; n += 2)
                memcpy(body + n, "\xc3\xa9", 2);   /* lint: a test fills its own buffer */
        strncat(body, "\"}}", 4);
        set_body(&response, body);
        err = err_free(err);
        err = http_response_check(&response, NOW);
        const char *sentence = err_sentence(err);
        assert_true(strlen(sentence) < 600);
        assert_non_null(strstr(sentence, "\xc3\xa9 ... (request id "));
}

static void test_http_response_check_retry_after_in_both_forms(void **state) {
        static const struct { long status; const char *date, *retry_after; uint64_t seconds; } cases[] = {
                { 429, NULL, "120", 120 }, { 503, NULL, "1", 1 }, { 500, NULL, "5", 5 },
                { 429, NULL, "3600", 3600 }, { 429, NULL, "3601", 3600 }, { 429, NULL, "99999999999999999999999999", 3600 },
                { 429, NULL, "0", 0 }, { 429, NULL, "", 0 }, { 429, NULL, "-5", 0 }, { 429, NULL, "5s", 0 }, { 429, NULL, "soon", 0 },
                { 503, NULL, "Tue, 14 Nov 2023 22:14:20 GMT", 60 },                   /* against NOW */
                { 503, NULL, "Tue, 14 Nov 2023 22:12:20 GMT", 0 },                    /* past */
                { 503, NULL, "Wed, 15 Nov 2023 22:13:20 GMT", 3600 },                 /* a day */
                { 503, "Wed, 26 May 2021 23:22:10 GMT", "Wed, 26 May 2021 23:22:40 GMT", 30 },   /* against its own Date */
                { 400, NULL, "120", 0 },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_http_response_ HttpResponse response = { .status = cases[i].status };
                _cleanup_(err_freep) Err *err = NULL;
                if (cases[i].date)
                        add_header(&response, "Date", cases[i].date);
                add_header(&response, "Retry-After", cases[i].retry_after);
                err = http_response_check(&response, NOW);
                if (err_retry_after(err) != cases[i].seconds * USEC_PER_SEC)
                        fail_msg("%s: %llu us", cases[i].retry_after, (unsigned long long) err_retry_after(err));
        }
}

static void test_http_response_check_json_type_and_size_are_judged(void **state) {
        _cleanup_http_response_ HttpResponse response = { .status = 200 };
        set_body(&response, "{}");
        assert_ok(http_response_check_json(&response, NOW));
        add_header(&response, "Content-Type", "application/jwk+json");
        assert_ok(http_response_check_json(&response, NOW));
        add_header(&response, "Content-Type", "text/html; charset=utf-8");
        assert_err(http_response_check_json(&response, NOW), ERR_SERVICE_ANSWER_INVALID);
        add_header(&response, "Content-Type", "Application/JSON");
        bytes_done(&response.body);
        assert_ok(bytes_alloc(HTTP_ANSWER_SIZE_MAX, &response.body));
        assert_ok(http_response_check_json(&response, NOW));
        bytes_done(&response.body);
        assert_ok(bytes_alloc(HTTP_ANSWER_SIZE_MAX + 1, &response.body));
        assert_err(http_response_check_json(&response, NOW), ERR_SERVICE_ANSWER_TOO_LARGE);
        response.status = 503;
        assert_err(http_response_check_json(&response, NOW), ERR_SERVICE_UNAVAILABLE);
}

static void check_recorded_error(const char *path, ErrCode code, const char *words) {
        _cleanup_http_response_ HttpResponse response = { .status = 400 };
        _cleanup_(err_freep) Err *err = NULL;
        add_header(&response, "Content-Type", "application/json; charset=utf-8");
        assert_ok(file_read(path, VECTOR_SIZE_MAX, &response.body));
        err = http_response_check(&response, NOW);
        if (err_code(err) != code || !strstr(err_sentence(err), words))
                fail_msg("%s: %s", path, err ? err_describe(err) : "no error");
}

static void test_http_response_check_recorded_errors_are_understood(void **state) {
        _cleanup_glob_ glob_t denied = {}, missing = {};
        vectors_need();
        vectors_glob("maa/exchanges/*/*.error.json", 4, &denied);
        for (size_t i = 0; i < denied.gl_pathc; i++)
                check_recorded_error(denied.gl_pathv[i], ERR_SERVICE_POLICY_DENIED,
                                     "400 \"PolicyEvaluationError\": Attestation Enclave operation failed with 65518: Exception(0) 83FFFFEE");
        vectors_glob("maa/tpm/no-policy.error.json", 1, &missing);
        check_recorded_error(missing.gl_pathv[0], ERR_SERVICE_POLICY_MISSING, "A VBS attestation policy has not been set on the attestation provider.");
}

/* What the answer says, as fields: "" stands for none. */
static void check_fields(const char *body, const Err *err, const char *const expected[_ERR_DETAIL_MAX]) {
        for (unsigned i = 0; i < _ERR_DETAIL_MAX; i++) {
                const char *value = err_detail(err, (ErrDetail) i);
                if (strcmp(value ? value : "", expected[i]) != 0)
                        fail_msg("%s: detail %u is %s", body, i, value ? value : "not there");
        }
}

/* Worked out by hand from the Microsoft REST API Guidelines, section 7.10.2, and the recorded form. */
static void test_http_response_check_words_of_the_service_are_fields(void **state) {
        static const struct { const char *body, *header, *expected[_ERR_DETAIL_MAX], *sentence; } cases[] = {
                { BODY("A", "m"), NULL, { "A", "m", "", "", "", "r-1" }, "400 \"A\": m (request id r-1)" },
                { BODY("A\\r\\n", "m\\u001b"), NULL, { "A\r\n", "m\x1b", "", "", "", "r-1" }, "400 \"A\": m (request id r-1)" },
                { BODY("A", "m"), "B", { "A", "m", "", "", "", "r-1" }, "400 \"A\": m (request id r-1)" },
                { "{}", "B", { "B", "", "", "", "", "r-1" }, "400 \"B\" (request id r-1)" },
                { "<html>", "B", { "B", "", "", "", "", "r-1" }, "400 \"B\" (request id r-1)" },
                { "{}", "B\xc3\xa9", { "", "", "", "", "", "r-1" }, "400 (request id r-1)" },
                { "{\"error\":{\"code\":\"A\",\"message\":\"m\",\"innererror\":{\"code\":\"A\",\"message\":\"m\"}}}", NULL,
                  { "A", "m", "", "", "{\"code\":\"A\",\"message\":\"m\"}", "r-1" }, "400 \"A\": m (request id r-1)" },
                { "{\"error\":{\"code\":\"A\",\"message\":\"m\",\"innererror\":{\"code\":\"A\", \"message\":\"n\"}}}", NULL,
                  { "A", "m", "", "", "{\"code\":\"A\",\"message\":\"n\"}", "r-1" }, "400 \"A\": m (inner error: n) (request id r-1)" },
                { "{\"error\":{\"code\":\"A\",\"target\":\"quote\",\"innererror\":{\"code\":\"B\",\"innererror\":{\"code\":\"C\",\"minLength\":6}}}}", NULL,
                  { "A", "", "quote", "", "{\"code\":\"B\",\"innererror\":{\"code\":\"C\",\"minLength\":6}}", "r-1" },
                  "400 \"A\" (target quote) (inner error \"C\") (request id r-1)" },
                { "{\"error\":{\"code\":\"A\",\"message\":\"m\",\"details\":[{\"code\":\"N\",\"target\":\"t\"}]}}", NULL,
                  { "A", "m", "", "[{\"code\":\"N\",\"target\":\"t\"}]", "", "r-1" }, "400 \"A\": m (request id r-1)" },
                /* of the wrong type: as if they were not there, and the others stay */
                { "{\"error\":{\"code\":5,\"message\":\"m\",\"target\":[],\"details\":{},\"innererror\":\"x\"}}", NULL, { "", "m", "", "", "", "r-1" }, "400: m (request id r-1)" },
                { "{\"error\":{\"code\":\"A\",\"message\":\"\",\"innererror\":{\"code\":[],\"innererror\":[]}}}", NULL,
                  { "A", "", "", "", "{\"code\":[],\"innererror\":[]}", "r-1" }, "400 \"A\" (request id r-1)" },
                { "{\"error\":{\"code\":\"A\",\"code\":\"B\"}}", NULL, { "", "", "", "", "", "r-1" }, "400 (request id r-1)" },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_http_response_ HttpResponse response = { .status = 400 };
                _cleanup_(err_freep) Err *err = NULL, *copy = NULL;
                _cleanup_free_ char *sentence = NULL;
                add_header(&response, "Content-Type", "application/json");
                add_header(&response, "X-MS-Request-Id", "r-1");
                if (cases[i].header)
                        add_header(&response, "x-ms-error-code", cases[i].header);
                set_body(&response, cases[i].body);
                assert_ok(string_format(&sentence, "the instance answered HTTP %s", cases[i].sentence));
                err = err_wrap_code(ERR_TIMEOUT, err_wrap(http_response_check(&response, NOW), "asking"), "above");
                copy = err_copy(err);
                assert_string_equal(err_sentence(err_cause(err_cause(err))), sentence);
                assert_int_equal(err_http_status(copy), 400);
                check_fields(cases[i].body, err, cases[i].expected);
                check_fields(cases[i].body, copy, cases[i].expected);
        }
}

static void test_http_response_check_long_words_are_cut_and_long_json_is_left_out(void **state) {
        _cleanup_http_response_ HttpResponse response = { .status = 400 };
        _cleanup_(err_freep) Err *err = NULL;
        _cleanup_free_ char *body = NULL;
        char *words = calloc(1, ERR_DETAIL_SIZE_MAX + 10);
        words[0] = 'x';   /* then two bytes each: one of them lies across the limit */
        for (size_t n = 1; n < ERR_DETAIL_SIZE_MAX + 4; n += 2)
                memcpy(words + n, "\xc3\xa9", 2);   /* lint: a test fills its own buffer */
        assert_ok(string_format(&body, "{\"error\":{\"message\":\"%s\",\"innererror\":{\"code\":\"%s\"}}}", words, words));
        add_header(&response, "Content-Type", "application/json");
        set_body(&response, body);
        err = http_response_check(&response, NOW);
        assert_int_equal(strlen(err_detail(err, ERR_DETAIL_SERVICE_MESSAGE)), ERR_DETAIL_SIZE_MAX - 1);
        assert_memory_equal(err_detail(err, ERR_DETAIL_SERVICE_MESSAGE), words, ERR_DETAIL_SIZE_MAX - 1);
        assert_null(err_detail(err, ERR_DETAIL_INNER_ERROR));
        assert_true(strlen(err_sentence(err)) < 1024);
        free(words);
}

static void test_http_response_check_request_id_is_kept_of_every_refusal(void **state) {
        static const struct { long status; const char *type, *id, *expected; } cases[] = {
                { 302, "text/html", "a/b+c", "a/b+c" }, { 503, "text/html", "00-9e-00", "00-9e-00" }, { 200, "text/html", "x", "x" },
                { 400, "application/json", "", NULL }, { 400, "application/json", "a b", "a b" }, { 400, "application/json", "a\xff", NULL },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_http_response_ HttpResponse response = { .status = cases[i].status };
                _cleanup_(err_freep) Err *err = NULL;
                add_header(&response, "Content-Type", cases[i].type);
                add_header(&response, "x-ms-request-id", cases[i].id);
                err = http_response_check_json(&response, NOW);
                assert_non_null(err);
                const char *id = err_detail(err, ERR_DETAIL_REQUEST_ID);
                if (cases[i].expected)
                        assert_string_equal(id, cases[i].expected);
                else
                        assert_null(id);
                assert_int_equal(err_http_status(err), cases[i].status == 200 ? 0 : cases[i].status);
        }
}

/* The recorded inner error repeats code and message: the fields hold both, the sentence says them once. */
static void check_recorded_fields(const char *path, bool has_inner) {
        _cleanup_http_response_ HttpResponse response = { .status = 400 };
        _cleanup_(err_freep) Err *err = NULL;
        _cleanup_json_ Json *json = NULL, *inner = NULL;
        add_header(&response, "Content-Type", "application/json; charset=utf-8");
        assert_ok(file_read(path, VECTOR_SIZE_MAX, &response.body));
        assert_ok(json_parse(bytes_span(&response.body), path, &json));
        Json *error = json_get(json, "error");
        err = http_response_check(&response, NOW);
        assert_string_equal(err_detail(err, ERR_DETAIL_SERVICE_CODE), json_object_get_string(json_get(error, "code")));
        assert_string_equal(err_detail(err, ERR_DETAIL_SERVICE_MESSAGE), json_object_get_string(json_get(error, "message")));
        assert_null(strstr(err_sentence(err), "inner error"));
        const char *text = err_detail(err, ERR_DETAIL_INNER_ERROR);
        assert_int_equal(text != NULL, has_inner);
        if (!text)
                return;
        assert_ok(json_parse(span_from_string(text), "inner", &inner));
        assert_true(json_object_equal(inner, json_get(error, "innererror")));
}

static void test_http_response_check_recorded_errors_are_fields(void **state) {
        _cleanup_glob_ glob_t denied = {}, missing = {};
        vectors_need();
        vectors_glob("maa/exchanges/*/*.error.json", 4, &denied);
        for (size_t i = 0; i < denied.gl_pathc; i++)
                check_recorded_fields(denied.gl_pathv[i], true);
        vectors_glob("maa/tpm/no-policy.error.json", 1, &missing);
        check_recorded_fields(missing.gl_pathv[0], false);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_http_response_add_header_dates_in_all_forms),
                cmocka_unit_test(test_http_response_add_header_keeps_what_is_known),
                cmocka_unit_test(test_http_response_add_header_unusable_value_is_refused),
                cmocka_unit_test(test_http_request_add_header_line_break_is_refused),
                cmocka_unit_test(test_http_response_check_status_and_body_give_the_code),
                cmocka_unit_test(test_http_response_check_malformed_error_body_still_gives_the_status),
                cmocka_unit_test(test_http_response_check_other_content_type_is_not_parsed),
                cmocka_unit_test(test_http_response_check_words_are_made_safe_and_short),
                cmocka_unit_test(test_http_response_check_retry_after_in_both_forms),
                cmocka_unit_test(test_http_response_check_json_type_and_size_are_judged),
                cmocka_unit_test(test_http_response_check_recorded_errors_are_understood),
                cmocka_unit_test(test_http_response_check_words_of_the_service_are_fields),
                cmocka_unit_test(test_http_response_check_long_words_are_cut_and_long_json_is_left_out),
                cmocka_unit_test(test_http_response_check_request_id_is_kept_of_every_refusal),
                cmocka_unit_test(test_http_response_check_recorded_errors_are_fields),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
