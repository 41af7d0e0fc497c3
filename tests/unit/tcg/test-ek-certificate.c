/* lib/tcg/ek-certificate: certificates of real TPMs, with their issuers where they are published. The dates are those that `openssl x509` shows. */
#include "tests/support/vectors-tcg.h"

#include "base/writer.h"
#include "jose/x509.h"
#include "base/writer.h"
#include "tcg/ek-certificate.h"

#define IN_2020 INT64_C(1577836800)
#define IN_2017 INT64_C(1483228800)   /* before each of them */
#define IN_2060 INT64_C(2840140800)   /* after each of them */

static const char *const names[] = { "keylime-ek-st-ecdsa", "keylime-ek-st-rsa-padded", "keylime-ek-infineon-rsa", "keylime-ek-infineon-ecc" };

static EkCertificate read_certificate(const char *name, const char *file) {
        EkCertificate certificate = {};
        _cleanup_bytes_ Bytes der = vector_file("%s/tpm/%s/%s", vectors_or_skip(), name, file);
        assert_ok(ek_certificate_parse(bytes_span(&der), &certificate));
        return certificate;
}

static void test_check_real_certificates_with_a_critical_alternative_name_are_accepted(void **state) {
        for (size_t i = 0; i < N_ELEMENTS(names); i++) {
                _cleanup_ek_certificate_ EkCertificate certificate = read_certificate(names[i], "cert.der");
                assert_ok(ek_certificate_check_usage(&certificate));
                assert_ok(ek_certificate_check_dates(&certificate, IN_2020));
                assert_err(ek_certificate_check_dates(&certificate, IN_2017), ERR_EK_CERTIFICATE_INVALID);
                assert_err(ek_certificate_check_dates(&certificate, IN_2060), ERR_EK_CERTIFICATE_INVALID);
        }
}

static void test_check_issuer_only_its_own_is_trusted(void **state) {
        _cleanup_ek_certificate_ EkCertificate ecc = read_certificate(names[0], "cert.der"), rsa = read_certificate(names[1], "cert.der");
        _cleanup_ek_certificate_ EkCertificate ecc_issuer = read_certificate(names[0], "issuer.der"), rsa_issuer = read_certificate(names[1], "issuer.der");
        assert_ok(ek_certificate_check_issuer(&ecc, ecc_issuer.chain, IN_2020));
        assert_ok(ek_certificate_check_issuer(&rsa, rsa_issuer.chain, IN_2020));
        assert_err(ek_certificate_check_issuer(&ecc, rsa_issuer.chain, IN_2020), ERR_EK_CERTIFICATE_INVALID);
        assert_err(ek_certificate_check_issuer(&rsa, ecc_issuer.chain, IN_2020), ERR_EK_CERTIFICATE_INVALID);
        assert_err(ek_certificate_check_issuer(&rsa, rsa_issuer.chain, IN_2060), ERR_EK_CERTIFICATE_INVALID);
        assert_err(ek_certificate_check_issuer(&rsa, NULL, IN_2020), ERR_EK_CERTIFICATE_INVALID);
}

static void test_check_usage_authority_is_refused(void **state) {
        _cleanup_ek_certificate_ EkCertificate issuer = read_certificate(names[0], "issuer.der");
        assert_err(ek_certificate_check_usage(&issuer), ERR_EK_CERTIFICATE_INVALID);
}

static void test_check_usage_of_an_attestation_key_is_refused(void **state) {
        _cleanup_ek_certificate_ EkCertificate aik = read_certificate("webauthn-tpm-dell", "x5c-0.der");
        assert_err(ek_certificate_check_usage(&aik), ERR_EK_CERTIFICATE_INVALID);
}

static void test_parse_chain_of_two_has_both(void **state) {
        const char *directory = vectors_or_skip();
        _cleanup_bytes_ Bytes leaf = vector_file("%s/tpm/%s/cert.der", directory, names[0]), issuer = vector_file("%s/tpm/%s/issuer.der", directory, names[0]);
        _cleanup_bytes_ Bytes both = {};
        _cleanup_ek_certificate_ EkCertificate certificate = {};
        _cleanup_writer_ Writer writer = {};
        writer_span(&writer, bytes_span(&leaf));
        writer_span(&writer, bytes_span(&issuer));
        assert_ok(writer_finish(&writer, &both));
        assert_ok(ek_certificate_parse(bytes_span(&both), &certificate));
        assert_int_equal(sk_X509_num(certificate.chain), 2);
        assert_ok(ek_certificate_check_usage(&certificate));
}

static void test_chain_tidy_takes_padding_away(void **state) {
        const char *directory = vectors_or_skip();
        _cleanup_bytes_ Bytes first = vector_file("%s/tpm/%s/issuer.der", directory, names[0]), second = vector_file("%s/tpm/%s/issuer.der", directory, names[1]);
        _cleanup_bytes_ Bytes padded = {}, tidy = {}, expected = {}, nothing = {};
        _cleanup_writer_ Writer writer = {}, plain = {};
        static const uint8_t zeros[7], ones[3] = { 0xff, 0xff, 0xff };
        const Span pieces[] = { SPAN_OF(zeros), bytes_span(&first), SPAN_OF(ones), SPAN_OF(zeros), bytes_span(&second), SPAN_OF(ones) };
        for (size_t i = 0; i < N_ELEMENTS(pieces); i++)
                writer_span(&writer, pieces[i]);
        writer_span(&plain, bytes_span(&first));
        writer_span(&plain, bytes_span(&second));
        assert_ok(writer_finish(&writer, &padded));
        assert_ok(writer_finish(&plain, &expected));
        assert_ok(ek_chain_tidy(bytes_span(&padded), &tidy));
        assert_true(span_equal(bytes_span(&tidy), bytes_span(&expected)));
        assert_ok(ek_chain_tidy(SPAN_OF(zeros), &nothing));
        assert_int_equal(nothing.size, 0);
        /* Cut anywhere inside a certificate it is none. */
        for (size_t size = 1; size < first.size; size += 13) {
                _cleanup_bytes_ Bytes cut = {};
                assert_err(ek_chain_tidy(span_make(first.data, size), &cut), ERR_EK_CERTIFICATE_INVALID);
        }
}

static void test_chain_limits(void **state) {
        _cleanup_bytes_ Bytes issuer = vector_file("%s/tpm/%s/issuer.der", vectors_or_skip(), names[0]);
        for (size_t n = EK_CERTIFICATE_CHAIN_MAX; n <= EK_CERTIFICATE_CHAIN_MAX + 1; n++) {
                _cleanup_bytes_ Bytes many = {}, tidy = {};
                _cleanup_writer_ Writer writer = {};
                for (size_t i = 0; i < n; i++)
                        writer_span(&writer, bytes_span(&issuer));
                assert_ok(writer_finish(&writer, &many));
                if (n == EK_CERTIFICATE_CHAIN_MAX)
                        assert_ok(ek_chain_tidy(bytes_span(&many), &tidy));
                else
                        assert_err(ek_chain_tidy(bytes_span(&many), &tidy), ERR_EK_CERTIFICATE_INVALID);
        }
        _cleanup_bytes_ Bytes large = {}, tidy = {};
        assert_ok(bytes_alloc(EK_CHAIN_SIZE_MAX + 1, &large));
        assert_err(ek_chain_tidy(bytes_span(&large), &tidy), ERR_EK_CERTIFICATE_INVALID);
}

static void test_add_chain_stands_behind_the_certificate(void **state) {
        _cleanup_ek_certificate_ EkCertificate certificate = read_certificate(names[0], "cert.der");
        _cleanup_bytes_ Bytes issuer = vector_file("%s/tpm/%s/issuer.der", vectors_or_skip(), names[0]);
        X509 *leaf = sk_X509_value(certificate.chain, 0);
        assert_ok(ek_certificate_add_chain(&certificate, (Span) {}));
        assert_int_equal(sk_X509_num(certificate.chain), 1);
        assert_err(ek_certificate_add_chain(&certificate, span_make("none", 4)), ERR_EK_CERTIFICATE_INVALID);
        assert_int_equal(sk_X509_num(certificate.chain), 1);
        assert_ok(ek_certificate_add_chain(&certificate, bytes_span(&issuer)));
        assert_int_equal(sk_X509_num(certificate.chain), 2);
        assert_ptr_equal(sk_X509_value(certificate.chain, 0), leaf);
}

static void test_parse_garbage_is_refused(void **state) {
        static const char *const cases[] = { "", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "\x30\x03\x02\x01\x01" };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_ek_certificate_ EkCertificate certificate = {};
                assert_err(ek_certificate_parse(span_from_string(cases[i]), &certificate), ERR_EK_CERTIFICATE_INVALID);
        }
        _cleanup_bytes_ Bytes zeros = {};
        _cleanup_ek_certificate_ EkCertificate certificate = {};
        assert_ok(bytes_alloc(1000, &zeros));
        assert_err(ek_certificate_parse(bytes_span(&zeros), &certificate), ERR_EK_CERTIFICATE_INVALID);
}

static void test_match_other_key_is_refused(void **state) {
        _cleanup_ek_certificate_ EkCertificate certificate = read_certificate(names[2], "cert.der");
        _cleanup_ek_certificate_ EkCertificate aik = read_certificate("gotpmtools-gce-cos-85-nonce9009-sha256", "ak_cert.der");
        _cleanup_bytes_ Bytes public = vector_file("%s/tpm/gotpmtools-gce-cos-85-nonce9009-sha256/akpub.bin", vectors_or_skip());
        assert_err(ek_certificate_match(&certificate, bytes_span(&public)), ERR_EK_CERTIFICATE_INVALID);
        assert_ok(ek_certificate_match(&aik, bytes_span(&public)));   /* whose key it is, is another question than what for */
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_check_real_certificates_with_a_critical_alternative_name_are_accepted),
                cmocka_unit_test(test_check_issuer_only_its_own_is_trusted),
                cmocka_unit_test(test_check_usage_authority_is_refused),
                cmocka_unit_test(test_check_usage_of_an_attestation_key_is_refused),
                cmocka_unit_test(test_parse_chain_of_two_has_both),
                cmocka_unit_test(test_chain_tidy_takes_padding_away),
                cmocka_unit_test(test_chain_limits),
                cmocka_unit_test(test_add_chain_stands_behind_the_certificate),
                cmocka_unit_test(test_parse_garbage_is_refused),
                cmocka_unit_test(test_match_other_key_is_refused),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
