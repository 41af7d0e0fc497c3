/* AttestTpm messages: the first request, and answers: the recorded ones, and every way to spoil one. */
#include "tests/support/vectors.h"

#include "tests/unit/maa/plain.h"

#include "maa/attest_tpm.h"

#define BASE "https://a.wus.attest.azure.net"

/* ---- answers ---- */

static void make_answer(const char *inner, HttpResponse *ret) {
        _cleanup_free_ char *data = plain_encode(inner);
        char *body = NULL;
        *ret = (HttpResponse) { .status = 200 };
        assert_ok(string_format(&body, "{\"data\":\"%s\"}", data));
        ret->body = (Bytes) { (uint8_t *) body, strlen(body) };
}

static void check_recorded_challenge(const char *path) {
        _cleanup_http_response_ HttpResponse response = { .status = 200 };
        _cleanup_attest_tpm_challenge_ AttestTpmChallenge challenge = {};
        _cleanup_bytes_ Bytes inner_text = {}, expected = {};
        char inner_path[4096];
        assert_ok(string_copy("application/json; charset=utf-8", &response.content_type));
        assert_ok(file_read(path, VECTOR_SIZE_MAX, &response.body));
        snprintf(inner_path, sizeof(inner_path), "%.*s.inner.json", (int) (strlen(path) - strlen(".json")), path);
        assert_ok(file_read(inner_path, VECTOR_SIZE_MAX, &inner_text));

        assert_ok(attest_tpm_challenge_parse(&response, 0, &challenge));
        Json *inner = json_tokener_parse((const char *) inner_text.data), *payload = member(inner, "payload");
        plain_decode(text_member(payload, "challenge"), strlen(text_member(payload, "challenge")), &expected);
        assert_int_equal(challenge.challenge.size, 16);
        assert_memory_equal(challenge.challenge.data, expected.data, 16);
        assert_string_equal(challenge.service_context, text_member(payload, "service_context"));
        json_object_put(inner);
}

static void test_attest_tpm_challenge_parse_recorded_answers(void **state) {
        _cleanup_glob_ glob_t files = {};
        vectors_need();
        vectors_glob("maa/tpm/init/*.response.json", 13, &files);
        for (size_t i = 0; i < files.gl_pathc; i++)
                check_recorded_challenge(files.gl_pathv[i]);
}

#define CHALLENGE "\"challenge\":\"jgm0UsDk0lZSWQluA7-vJA\""
#define CONTEXT "\"service_context\":\"abcd\""

static void test_attest_tpm_challenge_parse_spoiled_inner_is_refused_by_name(void **state) {
        static const struct { const char *inner, *named; } cases[] = {
                { "", "the JSON in data" }, { "x", "the JSON in data" }, { "[]", "payload" }, { "null", "the JSON in data" }, { "{}", "payload" },
                { "{\"payload\":[]}", "payload" }, { "{\"payload\":null}", "payload" }, { "{\"payload\":\"x\"}", "payload" },
                { "{\"payload\":{" CHALLENGE "," CONTEXT "}} x", "the JSON in data" },
                { "{\"payload\":{" CHALLENGE "," CONTEXT "},\"payload\":{}}", "\"payload\"" },
                { "{\"payload\":{" CHALLENGE "," CHALLENGE "," CONTEXT "}}", "\"challenge\"" },
                { "{\"payload\":{" CHALLENGE "," CONTEXT "," CONTEXT "}}", "\"service_context\"" },
                { "{\"payload\":{" CONTEXT "}}", "payload.challenge" },
                { "{\"payload\":{\"challenge\":null," CONTEXT "}}", "payload.challenge" },
                { "{\"payload\":{\"challenge\":5," CONTEXT "}}", "payload.challenge" },
                { "{\"payload\":{\"challenge\":\"\"," CONTEXT "}}", "payload.challenge" },
                { "{\"payload\":{\"challenge\":\"jgm0UsDk0lZSWQluA7-v\"," CONTEXT "}}", "payload.challenge has 15 bytes" },
                { "{\"payload\":{\"challenge\":\"jgm0UsDk0lZSWQluA7-vJAAA\"," CONTEXT "}}", "payload.challenge has 18 bytes" },
                { "{\"payload\":{\"challenge\":\"jgm0UsDk0lZSWQluA7 vJA\"," CONTEXT "}}", "payload.challenge" },
                { "{\"payload\":{\"challenge\":\"jgm0UsDk0lZSWQluA7-vJ\\u0000\"," CONTEXT "}}", "payload.challenge" },
                { "{\"payload\":{" CHALLENGE "}}", "payload.service_context" },
                { "{\"payload\":{" CHALLENGE ",\"service_context\":{}}}", "payload.service_context" },
                { "{\"payload\":{" CHALLENGE ",\"service_context\":\"\"}}", "payload.service_context is empty" },
                { "{\"payload\":{" CHALLENGE ",\"service_context\":\"ab\\\"cd\"}}", "payload.service_context is no base64url at offset 2" },
                { "{\"payload\":{" CHALLENGE ",\"service_context\":\"a=b\"}}", "payload.service_context" },
                { "{\"payload\":{" CHALLENGE ",\"service_context\":\"ab===\"}}", "payload.service_context" },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_http_response_ HttpResponse response = {};
                AttestTpmChallenge challenge = {};
                make_answer(cases[i].inner, &response);
                _cleanup_(err_freep) Err *err = attest_tpm_challenge_parse(&response, 0, &challenge);
                if (err_code(err) != ERR_SERVICE_ANSWER_INVALID || !strstr(err_describe(err), cases[i].named))
                        fail_msg("%s: %s", cases[i].inner, err ? err_describe(err) : "no error");
                assert_null(challenge.service_context);
        }
}

static void test_attest_tpm_challenge_parse_spoiled_outer_is_refused(void **state) {
        static const char *const bodies[] = {
                "", "{", "[]", "null", "{}", "{\"data\":5}", "{\"data\":null}", "{\"data\":\"\"}", "{\"data\":\"e30\",\"data\":\"e30\"}",
                "{\"data\":\"e3 0\"}", "{\"data\":\"e\"}", "{\"data\":\"e30===\"}", "{\"data\":\"e31\"}", "{\"Data\":\"e30\"}", "<html></html>",
                "{\"data\":\"/////w\"}",
        };
        for (size_t i = 0; i < N_ELEMENTS(bodies); i++) {
                _cleanup_http_response_ HttpResponse response = { .status = 200 };
                AttestTpmChallenge challenge = {};
                assert_ok(bytes_copy(span_from_string(bodies[i]), &response.body));
                Err *err = attest_tpm_challenge_parse(&response, 0, &challenge);
                if (err_code(err) != ERR_SERVICE_ANSWER_INVALID)
                        fail_msg("%s: %s", bodies[i], err ? err_describe(err) : "no error");
                err_free(err);
        }
}

static void test_attest_tpm_challenge_parse_limits(void **state) {
        char inner[20000] = "{\"payload\":{" CHALLENGE ",\"service_context\":\"";
        size_t prefix = strlen(inner);
        static const struct { size_t size; ErrCode code; } cases[] = { { MAA_SERVICE_CONTEXT_MAX, ERR_NONE }, { MAA_SERVICE_CONTEXT_MAX + 1, ERR_SERVICE_ANSWER_INVALID } };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_http_response_ HttpResponse response = {};
                _cleanup_attest_tpm_challenge_ AttestTpmChallenge challenge = {};
                memset(inner + prefix, 'A', cases[i].size);
                snprintf(inner + prefix + cases[i].size, 5, "\"}}");
                make_answer(inner, &response);
                assert_err(attest_tpm_challenge_parse(&response, 0, &challenge), cases[i].code);
        }
        _cleanup_http_response_ HttpResponse deep = {};
        AttestTpmChallenge challenge = {};
        make_answer("{\"payload\":{" CHALLENGE "," CONTEXT "},\"x\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}", &deep);
        assert_err(attest_tpm_challenge_parse(&deep, 0, &challenge), ERR_SERVICE_ANSWER_INVALID);
}

static void test_attest_tpm_challenge_parse_status_comes_first(void **state) {
        _cleanup_http_response_ HttpResponse response = {};
        AttestTpmChallenge challenge = {};
        make_answer("{\"payload\":{" CHALLENGE "," CONTEXT "}}", &response);
        response.status = 429;
        assert_err(attest_tpm_challenge_parse(&response, 0, &challenge), ERR_SERVICE_THROTTLED);
        response.status = 302;
        assert_err(attest_tpm_challenge_parse(&response, 0, &challenge), ERR_SERVICE_ANSWER_INVALID);
}

static void test_attest_tpm_report_parse_gives_the_token(void **state) {
        _cleanup_http_response_ HttpResponse response = {};
        _cleanup_free_ char *token = NULL;
        make_answer("{ \"payload\" : { \"report\" : \"a.b.c\" } , \"metadata\" : {} }", &response);
        assert_ok(attest_tpm_report_parse(&response, 0, &token));
        assert_string_equal(token, "a.b.c");
}

static void test_attest_tpm_report_parse_spoiled_is_refused_by_name(void **state) {
        static const char *const inners[] = {
                "{\"payload\":{}}", "{\"payload\":{\"report\":\"\"}}", "{\"payload\":{\"report\":null}}", "{\"payload\":{\"report\":[\"a\"]}}",
                "{\"payload\":{\"report\":\"a\\u0000\"}}", "{\"payload\":{" CHALLENGE "," CONTEXT "}}",
        };
        for (size_t i = 0; i < N_ELEMENTS(inners); i++) {
                _cleanup_http_response_ HttpResponse response = {};
                char *token = NULL;
                make_answer(inners[i], &response);
                _cleanup_(err_freep) Err *err = attest_tpm_report_parse(&response, 0, &token);
                assert_int_equal(err_code(err), ERR_SERVICE_ANSWER_INVALID);
                assert_non_null(strstr(err_describe(err), "payload.report"));
        }
}

/* ---- requests ---- */

static void test_attest_tpm_init_request_is_what_an_sdk_sent(void **state) {
        _cleanup_http_request_ HttpRequest request = {};
        _cleanup_bytes_ Bytes body = {};
        vectors_need();
        _cleanup_bytes_ Bytes recorded = vector_read("maa/tpm/init/request-dotnet.json");
        assert_ok(attest_tpm_init_request(BASE, MAA_API_VERSION_DEFAULT, &request));
        assert_string_equal(request.url, BASE "/attest/Tpm?api-version=2020-10-01");
        assert_string_equal(request.method, "POST");
        assert_ok(source_read_all(request.body, 1000, &body));
        while (recorded.size > 0 && recorded.data[recorded.size - 1] == '\n')
                recorded.data[--recorded.size] = 0;
        assert_string_equal((char *) body.data, (char *) recorded.data);
}

static void test_attest_tpm_init_request_bad_api_version_is_refused(void **state) {
        static const char *const versions[] = { "", "2020-10-01&x=y", "2020 10", "../x", "a#b", "a%20b" };
        for (size_t i = 0; i < N_ELEMENTS(versions); i++) {
                HttpRequest request = {};
                assert_err(attest_tpm_init_request(BASE, versions[i], &request), ERR_INVALID_ARGUMENT);
                assert_null(request.url);
        }
}

static void test_attest_tpm_envelope_open_recorded_requests(void **state) {
        _cleanup_glob_ glob_t files = {};
        vectors_need();
        vectors_glob("maa/tpm/init/request*.json", 4, &files);
        for (size_t i = 0; i < files.gl_pathc; i++) {
                _cleanup_bytes_ Bytes text = {}, inner = {};
                _cleanup_json_ Json *payload = NULL;
                const char *type;
                assert_ok(file_read(files.gl_pathv[i], VECTOR_SIZE_MAX, &text));
                assert_ok(attest_tpm_envelope_open(bytes_span(&text), "the request", &inner, &payload));
                assert_ok(json_get_string(payload, "type", &type));
                assert_string_equal(type, "aikcert");
                assert_memory_equal(inner.data, "{\"payload\":", 11);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_attest_tpm_challenge_parse_recorded_answers),
                cmocka_unit_test(test_attest_tpm_challenge_parse_spoiled_inner_is_refused_by_name),
                cmocka_unit_test(test_attest_tpm_challenge_parse_spoiled_outer_is_refused),
                cmocka_unit_test(test_attest_tpm_challenge_parse_limits),
                cmocka_unit_test(test_attest_tpm_challenge_parse_status_comes_first),
                cmocka_unit_test(test_attest_tpm_report_parse_gives_the_token),
                cmocka_unit_test(test_attest_tpm_report_parse_spoiled_is_refused_by_name),
                cmocka_unit_test(test_attest_tpm_init_request_is_what_an_sdk_sent),
                cmocka_unit_test(test_attest_tpm_init_request_bad_api_version_is_refused),
                cmocka_unit_test(test_attest_tpm_envelope_open_recorded_requests),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
