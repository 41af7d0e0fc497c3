/* lib/tcg/aik: keys and certificates of real TPMs; the fingerprints are those that `openssl pkey -outform der | sha256sum` gives. */
#include "tests/support/unit.h"

#include "base/bytes.h"
#include "tcg/aik.h"

static bool read_vector(const char *name, Bytes *ret) {
        const char *directory = vectors_directory();
        _cleanup_free_ char *path = NULL;
        assert_ok(string_format(&path, "%s/tpm/%s", directory ? directory : "/nonexistent", name));
        Err *err = file_read(path, 1 << 20, ret);
        if (!err)
                return true;
        print_message("%s\n", err_describe(err));
        err_free(err);
        skip();
        return false;
}

/* Some vectors are TPM2B_PUBLIC. */
static Span without_size(const Bytes *public, size_t size) {
        return (Span) { public->data + size, public->size - size };
}

static void test_public_check_real_keys_are_judged(void **state) {
        static const struct {
                const char *file;
                size_t size_field;
                ErrCode expected;
        } cases[] = {
                { "gotpmtools-gce-cos-85-nonce9009-sha256/akpub.bin", 0, ERR_NONE },
                { "keylime-files-quote/akpub.bin", 2, ERR_NONE },
                { "keylime-files-quote/ekpub.bin", 2, ERR_TPM_AIK_INVALID },     /* a decryption key */
                { "webauthn-tpm-dell/pubarea.bin", 0, ERR_TPM_AIK_INVALID },     /* signs anything */
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_bytes_ Bytes public = {};
                if (!read_vector(cases[i].file, &public))
                        return;
                Span area = without_size(&public, cases[i].size_field);
                if (cases[i].expected == ERR_NONE)
                        assert_ok(aik_public_check(area));
                else
                        assert_err(aik_public_check(area), cases[i].expected);
        }
}

static void test_public_check_missing_attribute_is_refused(void **state) {
        _cleanup_bytes_ Bytes public = {};
        if (!read_vector("gotpmtools-gce-cos-85-nonce9009-sha256/akpub.bin", &public))
                return;
        /* objectAttributes are bytes 4..7: sensitiveDataOrigin, fixedParent, fixedTPM; sign; restricted */
        static const struct {
                size_t at;
                uint8_t bit;
        } cases[] = { { 7, 0x20 }, { 7, 0x10 }, { 7, 0x02 }, { 5, 0x04 }, { 5, 0x01 }, { 5, 0x02 } };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                public.data[cases[i].at] ^= cases[i].bit;
                assert_err(aik_public_check(bytes_span(&public)), ERR_TPM_AIK_INVALID);
                public.data[cases[i].at] ^= cases[i].bit;
        }
        assert_ok(aik_public_check(bytes_span(&public)));
}

static void test_public_check_any_prefix_is_malformed(void **state) {
        _cleanup_bytes_ Bytes public = {};
        if (!read_vector("gotpmtools-gce-cos-85-nonce9009-sha256/akpub.bin", &public))
                return;
        for (size_t size = 0; size < public.size; size++) {
                _cleanup_bytes_ Bytes prefix = {};
                assert_ok(bytes_copy(span_make(public.data, size), &prefix));
                assert_err(aik_public_check(bytes_span(&prefix)), ERR_QUOTE_MALFORMED);
        }
}

static void test_fingerprint_real_key_is_that_of_openssl(void **state) {
        static const struct {
                const char *file;
                size_t size_field;
                const char *expected;
        } cases[] = {
                { "gotpmtools-gce-cos-85-nonce9009-sha256/akpub.bin", 0, "6a114d75ad6e7b75f7da33dead50f2e29bf509108646ced2e588bebc35f0d5b6" },
                { "keylime-files-quote/akpub.bin", 2, "4bbc3c7e987a043760565a98b68a7aa473a9163d026b8b53ef9c96b439f9426c" },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_bytes_ Bytes public = {};
                _cleanup_free_ char *fingerprint = NULL;
                if (!read_vector(cases[i].file, &public))
                        return;
                assert_ok(aik_fingerprint(without_size(&public, cases[i].size_field), &fingerprint));
                assert_string_equal(fingerprint, cases[i].expected);
        }
}

static void test_decode_certificate_padded_der_is_cut(void **state) {
        _cleanup_bytes_ Bytes padded = {}, der = {};
        if (!read_vector("keylime-ek-st-rsa-padded/cert.der", &padded))
                return;
        assert_int_equal(padded.size, 1600);
        assert_ok(aik_decode_certificate(bytes_span(&padded), "the vector", &der));
        assert_int_equal(der.size, 4 + 0x48d);
        assert_memory_equal(der.data, padded.data, der.size);
}

static void test_decode_certificate_pem_gives_its_der(void **state) {
        _cleanup_bytes_ Bytes der = {}, decoded = {};
        _cleanup_free_ char *text = NULL, *pem = NULL;
        if (!read_vector("gotpmtools-gce-cos-85-nonce9009-sha256/ak_cert.der", &der))
                return;
        assert_ok(base64_encode(bytes_span(&der), &text));
        _cleanup_free_ char *lines = calloc(1, 2 * strlen(text) + 2);
        assert_non_null(lines);
        for (size_t i = 0, n = 0; text[i]; i++) {
                lines[n++] = text[i];
                if (i % 64 == 63 || !text[i + 1])
                        lines[n++] = '\n';
        }
        assert_ok(string_format(&pem, "-----BEGIN CERTIFICATE-----\n%s-----END CERTIFICATE-----\n", lines));
        assert_ok(aik_decode_certificate(span_from_string(pem), "the vector", &decoded));
        assert_int_equal(decoded.size, der.size);
        assert_memory_equal(decoded.data, der.data, der.size);
}

static void test_decode_certificate_garbage_is_refused(void **state) {
        static const char *const cases[] = { "", "\0\0\0\0", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "hello" };
        _cleanup_bytes_ Bytes der = {}, zero = {};
        for (size_t i = 0; i < N_ELEMENTS(cases); i++)
                assert_err(aik_decode_certificate(span_from_string(cases[i]), "the case", &der), ERR_AIK_CERTIFICATE_INVALID);
        assert_ok(bytes_alloc(AIK_CERTIFICATE_SIZE_MAX, &zero));
        assert_err(aik_decode_certificate(bytes_span(&zero), "zeros", &der), ERR_AIK_CERTIFICATE_INVALID);
}

static void test_match_certificate_other_key_is_refused(void **state) {
        _cleanup_bytes_ Bytes public = {}, own = {}, other = {};
        if (!read_vector("gotpmtools-gce-cos-85-nonce9009-sha256/akpub.bin", &public) ||
            !read_vector("gotpmtools-gce-cos-85-nonce9009-sha256/ak_cert.der", &own) || !read_vector("webauthn-tpm-dell/x5c-0.der", &other))
                return;
        assert_ok(aik_match_certificate(bytes_span(&own), bytes_span(&public)));
        assert_err(aik_match_certificate(bytes_span(&other), bytes_span(&public)), ERR_AIK_CERTIFICATE_INVALID);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_public_check_real_keys_are_judged),
                cmocka_unit_test(test_public_check_missing_attribute_is_refused),
                cmocka_unit_test(test_public_check_any_prefix_is_malformed),
                cmocka_unit_test(test_fingerprint_real_key_is_that_of_openssl),
                cmocka_unit_test(test_decode_certificate_padded_der_is_cut),
                cmocka_unit_test(test_decode_certificate_pem_gives_its_der),
                cmocka_unit_test(test_decode_certificate_garbage_is_refused),
                cmocka_unit_test(test_match_certificate_other_key_is_refused),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
