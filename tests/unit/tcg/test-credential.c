/* lib/tcg/credential: results of another implementation (keylime's makecredential with a fixed generator of random numbers), and what is refused. */
#include "tests/support/vectors-tcg.h"

#include <openssl/core_names.h>
#include <openssl/param_build.h>

#include "base/reader.h"
#include "jose/openssl.h"
#include "jose/jwk.h"
#include "tcg/credential.h"

#define TPM2B_SIZE 2
/* tpm2-tools' file form: magic 0xbadcc0de, version 1, TPM2B_ID_OBJECT, TPM2B_ENCRYPTED_SECRET */
#define FILE_HEADER_SIZE 8
/* The scalar of the ephemeral key that keylime's test_makecredential_ecc fixes (keylime/tpm/tpm_util_test.py); the vector has its point only. */
#define EPHEMERAL_SCALAR "75548318724506252006992803713632448754009807765151974952668642988315053146586"

typedef struct Vector {
        Bytes ek, name, secret, expected;
} Vector;

static void vector_done(Vector *vector) {
        bytes_done(&vector->ek);
        bytes_done(&vector->name);
        bytes_done(&vector->secret);
        bytes_done(&vector->expected);
}

static Vector read_vector(const char *name, const char *expected) {
        const char *directory = vectors_or_skip();
        return (Vector) {
                .ek = vector_file("%s/tpm/%s/ekpub.bin", directory, name),
                .name = vector_file("%s/tpm/%s/ak_name.bin", directory, name),
                .secret = vector_file("%s/tpm/%s/challenge.bin", directory, name),
                .expected = vector_file("%s/tpm/%s/%s", directory, name, expected),
        };
}

static Span ek_of(const Vector *vector) {
        return span_make(vector->ek.data + TPM2B_SIZE, vector->ek.size - TPM2B_SIZE);
}

/* point: TPM2B x, TPM2B y of 32 bytes each */
static EVP_PKEY *key_from_scalar(const char *scalar, Span point) {
        uint8_t public[65] = { 0x04 };
        Reader reader = reader_make(point);
        Span x = reader_tpm2b(&reader, "x"), y = reader_tpm2b(&reader, "y");
        assert_int_equal(x.size, 32);
        assert_int_equal(y.size, 32);
        for (size_t i = 0; i < 32; i++) {
                public[1 + i] = x.data[i];
                public[33 + i] = y.data[i];
        }
        BIGNUM *number = NULL;
        EVP_PKEY *key = NULL;
        OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
        assert_true(BN_dec2bn(&number, scalar) > 0);
        assert_int_equal(OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0), 1);
        assert_int_equal(OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, public, sizeof(public)), 1);
        assert_int_equal(OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_PRIV_KEY, number), 1);
        OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
        EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
        assert_int_equal(EVP_PKEY_fromdata_init(context), 1);
        assert_int_equal(EVP_PKEY_fromdata(context, &key, EVP_PKEY_KEYPAIR, params), 1);
        EVP_PKEY_CTX_free(context);
        OSSL_PARAM_free(params);
        OSSL_PARAM_BLD_free(builder);
        BN_free(number);
        return key;
}

static void test_make_with_keylime_rsa_is_its_id_object(void **state) {
        _cleanup_(vector_done) Vector vector = read_vector("keylime-makecredential-rsa", "credential_expected_prefix.bin");
        _cleanup_bytes_ Bytes object = {}, encrypted = {};
        uint8_t seed[32];
        memset(seed, 0x12, sizeof(seed));
        const CredentialRandom random = { .seed = SPAN_OF(seed) };
        assert_ok(credential_make_with(ek_of(&vector), bytes_span(&vector.name), bytes_span(&vector.secret), &random, &object, &encrypted));
        /* the file's last two bytes are the size of the encrypted secret, which OAEP makes different each time */
        assert_int_equal(FILE_HEADER_SIZE + object.size + TPM2B_SIZE, vector.expected.size);
        assert_memory_equal(object.data, vector.expected.data + FILE_HEADER_SIZE, object.size);
        assert_int_equal(encrypted.size, TPM2B_SIZE + 256);
        assert_memory_equal(encrypted.data, vector.expected.data + FILE_HEADER_SIZE + object.size, TPM2B_SIZE);
}

static void test_make_with_keylime_ecc_is_its_file(void **state) {
        _cleanup_(vector_done) Vector vector = read_vector("keylime-makecredential-ecc", "credential_expected.bin");
        _cleanup_bytes_ Bytes object = {}, encrypted = {};
        Reader reader = reader_make(bytes_span(&vector.expected));
        (void) reader_span(&reader, FILE_HEADER_SIZE, "header");
        Span expected_object = reader_tpm2b(&reader, "TPM2B_ID_OBJECT"), point = reader_tpm2b(&reader, "TPM2B_ENCRYPTED_SECRET");
        assert_ok(reader_finish(&reader, ERR_INTERNAL, "the vector"));
        _cleanup_(pkey_freep) EVP_PKEY *ephemeral = key_from_scalar(EPHEMERAL_SCALAR, point);
        const CredentialRandom random = { .ephemeral = ephemeral };
        assert_ok(credential_make_with(ek_of(&vector), bytes_span(&vector.name), bytes_span(&vector.secret), &random, &object, &encrypted));
        assert_int_equal(object.size, TPM2B_SIZE + expected_object.size);
        assert_memory_equal(object.data + TPM2B_SIZE, expected_object.data, expected_object.size);
        assert_int_equal(encrypted.size, TPM2B_SIZE + point.size);
        assert_memory_equal(encrypted.data + TPM2B_SIZE, point.data, point.size);
}

static void test_make_twice_differs(void **state) {
        static const char *const names[] = { "keylime-makecredential-rsa", "keylime-makecredential-ecc" };
        for (size_t i = 0; i < N_ELEMENTS(names); i++) {
                _cleanup_(vector_done) Vector vector = read_vector(names[i], "challenge.bin");
                _cleanup_bytes_ Bytes object = {}, encrypted = {}, other_object = {}, other_encrypted = {};
                Span name = bytes_span(&vector.name), secret = bytes_span(&vector.secret);
                assert_ok(credential_make(ek_of(&vector), name, secret, &object, &encrypted));
                assert_ok(credential_make(ek_of(&vector), name, secret, &other_object, &other_encrypted));
                assert_false(span_equal(bytes_span(&object), bytes_span(&other_object)));
                assert_false(span_equal(bytes_span(&encrypted), bytes_span(&other_encrypted)));
        }
}

static void test_make_secret_of_wrong_size_is_refused(void **state) {
        static const uint8_t secret[64];
        static const size_t sizes[] = { 0, 1, CREDENTIAL_SECRET_MIN - 1, 33, 64 };
        _cleanup_(vector_done) Vector vector = read_vector("keylime-makecredential-rsa", "challenge.bin");
        for (size_t i = 0; i < N_ELEMENTS(sizes); i++) {
                _cleanup_bytes_ Bytes object = {}, encrypted = {};
                assert_err(credential_make(ek_of(&vector), bytes_span(&vector.name), span_make(secret, sizes[i]), &object, &encrypted), ERR_INVALID_ARGUMENT);
        }
}

static void test_check_key_that_is_no_endorsement_key_is_refused(void **state) {
        /* objectAttributes are bytes 4..7, then authPolicy: TPM2B of 32, then symmetric u16, its keyBits, its mode */
        static const struct {
                size_t at;
                uint8_t bits;
        } cases[] = { { 7, 0x20 }, { 7, 0x10 }, { 7, 0x02 }, { 5, 0x04 }, { 5, 0x02 }, { 5, 0x01 }, { 3, 0x01 }, { 43, 0x16 }, { 45, 0x40 }, { 47, 0x01 } };
        _cleanup_(vector_done) Vector vector = read_vector("keylime-makecredential-rsa", "challenge.bin");
        uint8_t *area = vector.ek.data + TPM2B_SIZE;
        assert_ok(credential_check_key(ek_of(&vector)));
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                area[cases[i].at] ^= cases[i].bits;
                Err *err = credential_check_key(ek_of(&vector));
                if (err_code(err) != ERR_KEY_INVALID && err_code(err) != ERR_QUOTE_MALFORMED)
                        print_error("byte %zu\n", cases[i].at);
                assert_true(err_code(err) == ERR_KEY_INVALID || err_code(err) == ERR_QUOTE_MALFORMED);
                err_free(err);
                area[cases[i].at] ^= cases[i].bits;
        }
        for (size_t size = 0; size < vector.ek.size - TPM2B_SIZE; size++) {
                _cleanup_bytes_ Bytes prefix = {};
                assert_ok(bytes_copy(span_make(area, size), &prefix));
                Err *err = credential_check_key(bytes_span(&prefix));
                assert_non_null(err);
                err_free(err);
        }
}

static void test_check_key_point_off_the_curve_is_refused(void **state) {
        _cleanup_(vector_done) Vector vector = read_vector("keylime-makecredential-ecc", "challenge.bin");
        assert_ok(credential_check_key(ek_of(&vector)));
        vector.ek.data[vector.ek.size - 1] ^= 1;
        assert_err(credential_check_key(ek_of(&vector)), ERR_QUOTE_MALFORMED);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_make_with_keylime_rsa_is_its_id_object),
                cmocka_unit_test(test_make_with_keylime_ecc_is_its_file),
                cmocka_unit_test(test_make_twice_differs),
                cmocka_unit_test(test_make_secret_of_wrong_size_is_refused),
                cmocka_unit_test(test_check_key_that_is_no_endorsement_key_is_refused),
                cmocka_unit_test(test_check_key_point_off_the_curve_is_refused),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
