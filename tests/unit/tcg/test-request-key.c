/* tcg/request-key: what such a key must be, and paddings that OpenSSL accepts after a bare RSA operation, as a TPM does it. */
#include <openssl/rsa.h>

#include "tests/support/synthetic.h"

#include "jose/jwk.h"
#include "tcg/request-key.h"

#define RIGHT                                                                                                                       \
        (TPM_OBJECT_FIXEDTPM | TPM_OBJECT_FIXEDPARENT | TPM_OBJECT_SENSITIVEDATAORIGIN | TPM_OBJECT_USERWITHAUTH | TPM_OBJECT_SIGN | \
         TPM_OBJECT_DECRYPT)

static EVP_PKEY *key, *other_key;
static uint8_t digest[32];

static int make_keys(void **state) {
        key = EVP_RSA_gen(2048);
        other_key = EVP_RSA_gen(2048);
        for (size_t i = 0; i < sizeof(digest); i++)
                digest[i] = (uint8_t) (i * 7);
        return key && other_key ? 0 : -1;
}

static int drop_keys(void **state) {
        EVP_PKEY_free(key);
        EVP_PKEY_free(other_key);
        return 0;
}

/* TPM 2.0 Part 2 §12.2.4 */
static void make_public(EVP_PKEY *from, uint32_t attributes, uint16_t scheme, uint16_t bits, Bytes *ret) {
        _cleanup_writer_ Writer out = {};
        uint8_t modulus[256];
        BIGNUM *n = NULL;
        assert_int_equal(EVP_PKEY_get_bn_param(from, OSSL_PKEY_PARAM_RSA_N, &n), 1);
        assert_int_equal(BN_bn2binpad(n, modulus, sizeof(modulus)), sizeof(modulus));
        BN_free(n);
        writer_u16be(&out, TPM_ALG_RSA);
        writer_u16be(&out, HASH_SHA256);
        writer_u32be(&out, attributes);
        writer_tpm2b(&out, (Span) {});
        writer_u16be(&out, TPM_ALG_NULL);
        writer_u16be(&out, scheme);
        if (scheme != TPM_ALG_NULL)
                writer_u16be(&out, HASH_SHA256);
        writer_u16be(&out, bits);
        writer_u32be(&out, 0);
        writer_tpm2b(&out, span_make(modulus, bits / 8));
        assert_ok(writer_finish(&out, ret));
}

static void make_right(Bytes *ret) {
        make_public(key, RIGHT, TPM_ALG_NULL, 2048, ret);
}

static void test_request_key_check_what_is_lacking_is_named(void **state) {
        static const struct {
                uint32_t attributes;
                uint16_t scheme, bits;
                const char *words;
        } cases[] = {
                { RIGHT & ~TPM_OBJECT_FIXEDTPM, TPM_ALG_NULL, 2048, "lacks the attribute fixedTPM" },
                { RIGHT & ~TPM_OBJECT_FIXEDPARENT, TPM_ALG_NULL, 2048, "lacks the attribute fixedParent" },
                { RIGHT & ~TPM_OBJECT_SENSITIVEDATAORIGIN, TPM_ALG_NULL, 2048, "lacks the attribute sensitiveDataOrigin" },
                { RIGHT & ~TPM_OBJECT_SIGN, TPM_ALG_NULL, 2048, "lacks the attribute sign" },
                { RIGHT & ~TPM_OBJECT_DECRYPT, TPM_ALG_NULL, 2048, "lacks the attribute decrypt" },
                { RIGHT | TPM_OBJECT_RESTRICTED, TPM_ALG_NULL, 2048, "has the attribute restricted" },
                { RIGHT, TPM_ALG_RSAPSS, 2048, "bound to the scheme 0x0016" },
                { RIGHT, TPM_ALG_NULL, 1024, "no RSA key of 2048 bits" },
        };
        _cleanup_bytes_ Bytes right = {};
        make_right(&right);
        assert_ok(request_key_check(bytes_span(&right)));
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_bytes_ Bytes wrong = {}, padded = {};
                make_public(key, cases[i].attributes, cases[i].scheme, cases[i].bits, &wrong);
                _cleanup_(err_freep) Err *err = request_key_check(bytes_span(&wrong));
                assert_int_equal(err_code(err), ERR_KEY_INVALID);
                if (!strstr(err_describe(err), cases[i].words))
                        fail_msg("case %zu: %s", i, err_describe(err));
                assert_err(request_key_pad(bytes_span(&wrong), SPAN_OF(digest), &padded), ERR_KEY_INVALID);
        }
}

/* The bare operation with the private key, as TPM2_RSA_Decrypt without a scheme does it. */
static void raw_rsa(Span input, uint8_t output[static 256]) {
        EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
        size_t size = 256;
        assert_int_equal(EVP_PKEY_decrypt_init(context), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(context, RSA_NO_PADDING), 1);
        assert_int_equal(EVP_PKEY_decrypt(context, output, &size, input.data, input.size), 1);
        assert_int_equal(size, 256);
        EVP_PKEY_CTX_free(context);
}

static int openssl_verifies(Span signature, int salt_size) {
        EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
        assert_int_equal(EVP_PKEY_verify_init(context), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING), 1);
        assert_int_equal(EVP_PKEY_CTX_set_signature_md(context, EVP_sha256()), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_mgf1_md(context, EVP_sha256()), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(context, salt_size), 1);
        int r = EVP_PKEY_verify(context, signature.data, signature.size, digest, sizeof(digest));
        EVP_PKEY_CTX_free(context);
        return r;
}

static void test_request_key_pad_gives_what_openssl_verifies(void **state) {
        _cleanup_bytes_ Bytes public = {}, previous = {};
        make_right(&public);
        for (unsigned i = 0; i < 32; i++) {
                _cleanup_bytes_ Bytes padded = {};
                uint8_t signature[256];
                assert_ok(request_key_pad(bytes_span(&public), SPAN_OF(digest), &padded));
                assert_int_equal(padded.size, 256);
                assert_false(span_equal(bytes_span(&padded), bytes_span(&previous)));   /* salted */
                raw_rsa(bytes_span(&padded), signature);
                assert_int_equal(openssl_verifies(SPAN_OF(signature), 32), 1);
                assert_int_equal(openssl_verifies(SPAN_OF(signature), 31), 0);
                assert_ok(request_key_verify(bytes_span(&public), SPAN_OF(digest), SPAN_OF(signature)));
                bytes_done(&previous);
                previous = bytes_steal(&padded);
        }
}

static void test_request_key_pad_needs_a_sha256_digest(void **state) {
        _cleanup_bytes_ Bytes public = {}, padded = {};
        make_right(&public);
        assert_err(request_key_pad(bytes_span(&public), span_make(digest, 31), &padded), ERR_INVALID_ARGUMENT);
        assert_err(request_key_pad(bytes_span(&public), (Span) {}, &padded), ERR_INVALID_ARGUMENT);
}

static void openssl_sign(int salt_size, uint8_t signature[static 256]) {
        EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
        size_t size = 256;
        assert_int_equal(EVP_PKEY_sign_init(context), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING), 1);
        assert_int_equal(EVP_PKEY_CTX_set_signature_md(context, EVP_sha256()), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_mgf1_md(context, EVP_sha256()), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(context, salt_size), 1);
        assert_int_equal(EVP_PKEY_sign(context, signature, &size, digest, sizeof(digest)), 1);
        EVP_PKEY_CTX_free(context);
}

/* A TPM that takes the largest salt makes good signatures that no verifier of PS256 accepts. */
static void test_request_key_verify_wants_the_salt_of_ps256(void **state) {
        _cleanup_bytes_ Bytes public = {}, other = {};
        uint8_t right[256], largest[256];
        make_right(&public);
        make_public(other_key, RIGHT, TPM_ALG_NULL, 2048, &other);
        openssl_sign(32, right);
        openssl_sign(RSA_PSS_SALTLEN_MAX, largest);
        assert_ok(request_key_verify(bytes_span(&public), SPAN_OF(digest), SPAN_OF(right)));
        assert_err(request_key_verify(bytes_span(&public), SPAN_OF(digest), SPAN_OF(largest)), ERR_TOKEN_SIGNATURE_INVALID);
        assert_err(request_key_verify(bytes_span(&other), SPAN_OF(digest), SPAN_OF(right)), ERR_TOKEN_SIGNATURE_INVALID);
        assert_err(request_key_verify(bytes_span(&public), SPAN_OF(digest), span_make(right, 255)), ERR_TOKEN_TRUNCATED);
        right[200] ^= 1;
        assert_err(request_key_verify(bytes_span(&public), SPAN_OF(digest), SPAN_OF(right)), ERR_TOKEN_SIGNATURE_INVALID);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_request_key_check_what_is_lacking_is_named),
                cmocka_unit_test(test_request_key_pad_gives_what_openssl_verifies),
                cmocka_unit_test(test_request_key_pad_needs_a_sha256_digest),
                cmocka_unit_test(test_request_key_verify_wants_the_salt_of_ps256),
        };
        return cmocka_run_group_tests(tests, make_keys, drop_keys);
}
