/* SGX quotes: the recorded one against what the service's tokens say about it, those in the service's own certificates, and every way to spoil one. */
#include "tests/support/vectors.h"

#include "base/writer.h"
#include "jose/jws.h"
#include "jose/x509.h"
#include "tcg/sgx-quote.h"

#define EXCHANGES "maa/exchanges/"
#define QUOTE EXCHANGES "SimpleAttest-SgxEnclave_Aad/01-POST-attest_SgxEnclave-200.request.quote.bin"
#define REPORT EXCHANGES "SimpleAttest-OpenEnclave_Aad/01-POST-attest_OpenEnclave-200.request.report.bin"
#define TOKEN EXCHANGES "SimpleAttest-SgxEnclave_Aad/01-POST-attest_SgxEnclave-200.response.jwt"
#define RUNTIME_DATA EXCHANGES "AttestWithRuntimeData-SgxEnclave_Aad/01-POST-attest_SgxEnclave-200.request.runtimeData.bin"

/* Offsets of appendix A.4, worked out by hand from the sizes there. */
enum { AT_REPORT_DATA = 48 + 320, AT_SIGNATURE_SIZE = 432, AT_SIGNATURE = 436, AT_KEY = 500, AT_QE_REPORT = 564, AT_QE_REPORT_DATA = 564 + 320,
       AT_QE_SIGNATURE = 948, AT_AUTHENTICATION = 1012, AT_CERTIFICATION = 1012 + 2 + 32 };

static Err *verify(Span input) {
        SgxQuote quote;
        _cleanup_(x509_stack_freep) STACK_OF(X509) *chain = NULL;
        TRY(sgx_quote_parse(input, &quote));
        TRY(sgx_quote_get_pck_chain(&quote, &chain));
        return sgx_quote_verify(&quote, x509_stack_leaf(chain));
}

static Json *token_claims(const char *name) {
        _cleanup_bytes_ Bytes token = vector_read(name);
        _cleanup_(jws_freep) Jws *jws = NULL;
        Json *claims = NULL;
        assert_ok(jws_parse(bytes_span(&token), &jws));
        assert_ok(json_parse(bytes_span(&jws->payload), "claims", &claims));
        return claims;
}

static void assert_hex(const Json *claims, const char *name, Span value) {
        _cleanup_free_ char *hex = NULL;
        const char *wanted;
        assert_ok(hex_encode(value, &hex));
        assert_ok(json_get_string(claims, name, &wanted));
        assert_string_equal(hex, wanted);
}

static void test_sgx_quote_parse_recorded_quote_is_what_the_service_said(void **state) {
        vectors_need();
        _cleanup_bytes_ Bytes input = vector_read(QUOTE);
        _cleanup_json_ Json *claims = token_claims(TOKEN);
        SgxQuote quote;
        int64_t product_id, svn;
        bool is_debuggable;
        assert_ok(sgx_quote_parse(bytes_span(&input), &quote));
        assert_hex(claims, "x-ms-sgx-mrenclave", quote.report.mrenclave);
        assert_hex(claims, "x-ms-sgx-mrsigner", quote.report.mrsigner);
        assert_hex(claims, "x-ms-sgx-report-data", quote.report.report_data);
        assert_ok(json_get_integer(claims, "x-ms-sgx-product-id", &product_id));
        assert_ok(json_get_integer(claims, "x-ms-sgx-svn", &svn));
        assert_ok(json_get_boolean(claims, "x-ms-sgx-is-debuggable", &is_debuggable));
        assert_int_equal(quote.report.product_id, product_id);
        assert_int_equal(quote.report.svn, svn);
        assert_int_equal((quote.report.flags & SGX_FLAG_DEBUG) != 0, is_debuggable);
        assert_int_equal(quote.qe_authentication_data.size, 32);
        assert_int_equal(quote.certification_type, 5);
        assert_ok(verify(bytes_span(&input)));
}

static void test_sgx_quote_unwrap_open_enclave_recorded_report_holds_the_recorded_quote(void **state) {
        vectors_need();
        _cleanup_bytes_ Bytes report = vector_read(REPORT), wanted = vector_read(QUOTE);
        Span quote;
        assert_ok(sgx_quote_unwrap_open_enclave(bytes_span(&report), &quote));
        assert_true(span_equal(quote, bytes_span(&wanted)));
        for (size_t at = 0; at < 16; at++) {
                report.data[at] ^= 1;
                assert_err(sgx_quote_unwrap_open_enclave(bytes_span(&report), &quote), ERR_QUOTE_MALFORMED);
                report.data[at] ^= 1;
        }
        assert_err(sgx_quote_unwrap_open_enclave(span_make(report.data, report.size - 1), &quote), ERR_QUOTE_MALFORMED);
}

/* The service proves with a quote that its keys live in an enclave. */
static void test_sgx_quote_verify_quotes_in_the_service_s_certificates_are_good(void **state) {
        vectors_need();
        _cleanup_glob_ glob_t files = {};
        vectors_glob("maa/certs/*.sgxext.bin", 3, &files);
        for (size_t i = 0; i < files.gl_pathc; i++) {
                _cleanup_bytes_ Bytes report = {};
                Span quote;
                assert_ok(file_read(files.gl_pathv[i], VECTOR_SIZE_MAX, &report));
                assert_ok(sgx_quote_unwrap_open_enclave(bytes_span(&report), &quote));
                assert_ok(verify(quote));
        }
}

static void test_sgx_quote_get_pck_chain_leads_to_its_root(void **state) {
        vectors_need();
        _cleanup_bytes_ Bytes input = vector_read(QUOTE);
        _cleanup_(x509_stack_freep) STACK_OF(X509) *chain = NULL, *root = sk_X509_new_null();
        SgxQuote quote;
        assert_ok(sgx_quote_parse(bytes_span(&input), &quote));
        assert_ok(sgx_quote_get_pck_chain(&quote, &chain));
        assert_int_equal(sk_X509_num(chain), 3);
        assert_int_equal(X509_add_cert(root, sk_X509_value(chain, 2), X509_ADD_FLAG_UP_REF), 1);
        X509ChainRules rules = { .anchors = root, .at_sec = 1668716908 };
        assert_ok(x509_chain_verify(chain, &rules));
        rules.at_sec = 1900000000; /* after 2028-03-19 */
        assert_err(x509_chain_verify(chain, &rules), ERR_TOKEN_CHAIN_INVALID);
}

static void test_sgx_quote_verify_one_bit_anywhere_that_is_signed_is_noticed(void **state) {
        static const size_t places[] = { 8, 10, 47, 48, 48 + 64, 48 + 128, AT_REPORT_DATA, AT_SIGNATURE_SIZE - 1, AT_SIGNATURE, AT_SIGNATURE + 63,
                                         AT_QE_REPORT, AT_QE_REPORT_DATA, AT_QE_REPORT_DATA + 63, AT_QE_SIGNATURE, AT_QE_SIGNATURE + 63,
                                         AT_AUTHENTICATION + 2, AT_KEY, AT_KEY + 63 };
        vectors_need();
        _cleanup_bytes_ Bytes input = vector_read(QUOTE);
        for (size_t i = 0; i < N_ELEMENTS(places); i++) {
                input.data[places[i]] ^= 1;
                assert_err(verify(bytes_span(&input)), ERR_QUOTE_SIGNATURE_INVALID);
                input.data[places[i]] ^= 1;
        }
        assert_ok(verify(bytes_span(&input)));
}

static void test_sgx_quote_parse_every_prefix_and_other_kinds_are_refused(void **state) {
        static const size_t places[] = { 0, 1, 2, 3, AT_SIGNATURE_SIZE, AT_AUTHENTICATION, AT_CERTIFICATION + 2 };
        vectors_need();
        _cleanup_bytes_ Bytes input = vector_read(QUOTE);
        SgxQuote quote;
        for (size_t size = 0; size < input.size; size++)
                assert_err(sgx_quote_parse(span_make(input.data, size), &quote), ERR_QUOTE_MALFORMED);
        for (size_t i = 0; i < N_ELEMENTS(places); i++) {
                input.data[places[i]] ^= 1;
                assert_err(sgx_quote_parse(bytes_span(&input), &quote), ERR_QUOTE_MALFORMED);
                input.data[places[i]] ^= 1;
        }
        input.data[AT_CERTIFICATION] = 1; /* an encrypted PPID */
        assert_err(verify(bytes_span(&input)), ERR_QUOTE_MALFORMED);
        assert_err(sgx_quote_parse(span_make(NULL, SGX_QUOTE_SIZE_MAX + 1), &quote), ERR_QUOTE_MALFORMED);
}

static void test_sgx_quote_parse_quote_of_a_trust_domain_is_refused(void **state) {
        vectors_need();
        _cleanup_bytes_ Bytes input = vector_read("maa/tdx/td_quote_v4.dat");
        SgxQuote quote;
        assert_err(sgx_quote_parse(bytes_span(&input), &quote), ERR_QUOTE_MALFORMED);
}

static void test_sgx_quote_check_binding_takes_the_hash_and_zeros_alone(void **state) {
        vectors_need();
        _cleanup_bytes_ Bytes input = vector_read(QUOTE), data = vector_read(RUNTIME_DATA);
        SgxQuote quote;
        assert_ok(sgx_quote_parse(bytes_span(&input), &quote));
        Span field = quote.report.report_data;
        assert_ok(sgx_quote_check_binding(field, bytes_span(&data), "report data"));
        assert_err(sgx_quote_check_binding(field, span_make(data.data, data.size - 1), "report data"), ERR_QUOTE_NONCE_MISMATCH);
        assert_err(sgx_quote_check_binding(quote.report.config_id, bytes_span(&data), "CONFIGID"), ERR_QUOTE_NONCE_MISMATCH);
        input.data[AT_REPORT_DATA + 63] = 1;
        assert_err(sgx_quote_check_binding(field, bytes_span(&data), "report data"), ERR_QUOTE_NONCE_MISMATCH);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_sgx_quote_parse_recorded_quote_is_what_the_service_said),
                cmocka_unit_test(test_sgx_quote_unwrap_open_enclave_recorded_report_holds_the_recorded_quote),
                cmocka_unit_test(test_sgx_quote_verify_quotes_in_the_service_s_certificates_are_good),
                cmocka_unit_test(test_sgx_quote_get_pck_chain_leads_to_its_root),
                cmocka_unit_test(test_sgx_quote_verify_one_bit_anywhere_that_is_signed_is_noticed),
                cmocka_unit_test(test_sgx_quote_parse_every_prefix_and_other_kinds_are_refused),
                cmocka_unit_test(test_sgx_quote_parse_quote_of_a_trust_domain_is_refused),
                cmocka_unit_test(test_sgx_quote_check_binding_takes_the_hash_and_zeros_alone),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
