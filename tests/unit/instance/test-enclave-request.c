/* Bodies of attest/SgxEnclave and attest/OpenEnclave: what is recorded parses, what is no such body is named. */
#include "tests/support/vectors.h"

#include "instance/enclave-request.h"

static void test_enclave_request_parse_takes_every_spelling_that_is_known(void **state) {
        static const char *const bodies[] = {
                "{\"quote\":\"-_8\",\"runtimeData\":{\"data\":\"AAE\",\"dataType\":\"Binary\"},\"initTimeData\":{\"data\":\"e30A\",\"dataType\":\"JSON\"},\"nonce\":\"n\"}",
                "{\"Quote\":\"+/8=\",\"RUNTIMEDATA\":{\"Data\":\"AAE=\",\"DataType\":\"binary\"},\"inittimeData\":{\"data\":\"e30A\",\"dataType\":\"json\"},\"Nonce\":\"n\","
                "\"draftPolicyForAttestation\":null,\"more\":1}",
        };
        for (size_t i = 0; i < N_ELEMENTS(bodies); i++) {
                _cleanup_enclave_request_ EnclaveRequest request = {};
                assert_ok(enclave_request_parse(span_from_string(bodies[i]), /* is_open_enclave= */ false, &request));
                assert_true(span_equal(bytes_span(&request.evidence), span_make("\xfb\xff", 2)));
                assert_true(request.runtime.is_there);
                assert_null(request.runtime.json);
                assert_true(span_equal(bytes_span(&request.runtime.data), span_make("\0\1", 2)));
                assert_non_null(request.init_time.json);
                assert_int_equal(request.init_time.data.size, 3);
                assert_string_equal(request.nonce, "n");
                assert_null(request.draft_policy);
        }
}

static void test_enclave_request_parse_what_is_wrong_is_named(void **state) {
        static const struct {
                const char *body, *word;
        } table[] = {
                { "[]", "object" },
                { "{}", "report is missing" },
                { "{\"quote\":\"AA\"}", "report is missing" },
                { "{\"report\":null}", "report is missing" },
                { "{\"report\":1}", "report is no string" },
                { "{\"report\":\"A\"}", "report" },
                { "{\"report\":\"AA\",\"Report\":\"AA\"}", "twice" },
                { "{\"report\":\"AA\",\"nonce\":\"a\\u0000b\"}", "nonce" },
                { "{\"report\":\"AA\",\"draftPolicyForAttestation\":{}}", "draftPolicyForAttestation" },
                { "{\"report\":\"AA\",\"runtimeData\":[]}", "runtimeData" },
                { "{\"report\":\"AA\",\"runtimeData\":{\"dataType\":\"JSON\"}}", "data is missing" },
                { "{\"report\":\"AA\",\"initTimeData\":{\"data\":\"AA\"}}", "dataType" },
                { "{\"report\":\"AA\",\"initTimeData\":{\"data\":\"\",\"dataType\":\"JSON\"}}", "initTimeData" },
                { "{\"report\":\"AA\",\"initTimeData\":{\"data\":\"MQ\",\"dataType\":\"JSON\"}}", "no object" },
        };
        for (size_t i = 0; i < N_ELEMENTS(table); i++) {
                _cleanup_enclave_request_ EnclaveRequest request = {};
                Err *error = enclave_request_parse(span_from_string(table[i].body), /* is_open_enclave= */ true, &request);
                assert_int_equal(err_code(error), ERR_EVIDENCE_MALFORMED);
                if (!strstr(err_describe(error), table[i].word))
                        fail_msg("%s: %s", table[i].body, err_describe(error));
                err_free(error);
        }
}

static void test_enclave_request_parse_data_have_a_limit(void **state) {
        _cleanup_bytes_ Bytes bytes = {};
        _cleanup_enclave_request_ EnclaveRequest request = {};
        _cleanup_free_ char *encoded = NULL, *body = NULL;
        assert_ok(bytes_alloc(ENCLAVE_DATA_SIZE_MAX + 1, &bytes));
        assert_ok(base64url_encode(bytes_span(&bytes), &encoded));
        assert_ok(string_format(&body, "{\"quote\":\"AA\",\"runtimeData\":{\"data\":\"%s\",\"dataType\":\"Binary\"}}", encoded));
        assert_err(enclave_request_parse(span_from_string(body), false, &request), ERR_EVIDENCE_MALFORMED);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_enclave_request_parse_takes_every_spelling_that_is_known),
                cmocka_unit_test(test_enclave_request_parse_what_is_wrong_is_named),
                cmocka_unit_test(test_enclave_request_parse_data_have_a_limit),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
