/* Keys: the examples of RFC 7517, 7518, 7520 and 7638, what no key may be, and what the real service publishes. */
#include "tests/support/vectors.h"

#include "jose/jwk.h"

static Jwk *read_key(const char *name) {
        _cleanup_bytes_ Bytes text = vector_read(name);
        _cleanup_json_ Json *json = NULL;
        Jwk *jwk;
        assert_ok(json_parse(bytes_span(&text), name, &json));
        assert_ok(jwk_from_json(json, &jwk));
        return jwk;
}

static JwkSet *read_set(const char *name) {
        _cleanup_bytes_ Bytes text = vector_read(name);
        JwkSet *set;
        assert_ok(jwk_set_parse(bytes_span(&text), name, &set));
        return set;
}

static void test_jwk_set_parse_rfc7517_is_read(void **state) {
        vectors_need();
        _cleanup_(jwk_set_freep) JwkSet *public_keys = read_set("jose/rfc/rfc7517_A.1.jwkset");
        assert_int_equal(public_keys->n_keys, 2);
        assert_int_equal(public_keys->n_skipped, 0);
        assert_string_equal(public_keys->keys[0]->kid, "1");
        assert_false(public_keys->keys[0]->for_verify); /* use enc */
        assert_string_equal(public_keys->keys[1]->alg, "RS256");
        assert_true(public_keys->keys[1]->for_verify);

        _cleanup_(jwk_set_freep) JwkSet *symmetric = read_set("jose/rfc/rfc7517_A.3.jwkset");
        assert_int_equal(symmetric->n_keys, 0);
        assert_int_equal(symmetric->n_skipped, 2);
}

/* RFC 7638 §3.1 gives the thumbprint of the key that RFC 7517 A.1 has as its second. */
static void test_jwk_thumbprint_rfc7638_example_agrees(void **state) {
        vectors_need();
        _cleanup_(jwk_set_freep) JwkSet *set = read_set("jose/rfc/rfc7517_A.1.jwkset");
        _cleanup_free_ char *thumbprint = NULL;
        assert_ok(jwk_thumbprint(jwk_set_find(set, "2011-04-29")->key, &thumbprint));
        assert_string_equal(thumbprint, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
}

static void test_jwk_from_json_x5c_beside_numbers_is_the_same_key(void **state) {
        vectors_need();
        _cleanup_(jwk_freep) Jwk *jwk = read_key("jose/rfc/rfc7517_B.jwk");
        assert_non_null(jwk->x5c);
        assert_int_equal(sk_X509_num(jwk->x5c), 1);
}

static void test_jwk_public_text_gives_members_back(void **state) {
        vectors_need();
        static const char *const files[] = { "jose/rfc/cookbook-jwk-3_1.ec_public_key.json", "jose/rfc/cookbook-jwk-3_3.rsa_public_key.json",
                                             "jose/rfc/rfc7515_A.4.jwk", "jose/rfc/rfc7515_A.2.jwk" };
        static const char *const members[] = { "kty", "crv", "x", "y", "n", "e" };
        for (size_t i = 0; i < N_ELEMENTS(files); i++) {
                _cleanup_(jwk_freep) Jwk *jwk = read_key(files[i]);
                _cleanup_free_ char *text = NULL;
                _cleanup_json_ Json *written = NULL, *original = vector_read_json(files[i]);
                assert_ok(jwk_public_text(jwk->key, &text));
                assert_true(strncmp(text, "{\"kty\":\"RSA\",\"n\":\"", 18) == 0 || strncmp(text, "{\"crv\":\"P-521\",\"kty\":\"EC\",\"x\":\"", 30) == 0);
                assert_ok(json_parse(span_from_string(text), "text", &written));
                for (size_t k = 0; k < N_ELEMENTS(members); k++)
                        assert_true(json_object_equal(json_get(written, members[k]), json_get(original, members[k])));
        }
}

static void test_jwk_from_json_impossible_keys_are_refused(void **state) {
        static const char *const cases[] = {
                "[]", "{}", "{\"kty\":\"RSA\"}", "{\"kty\":\"oct\",\"k\":\"AAAA\"}", "{\"kty\":7}",
                "{\"kty\":\"RSA\",\"n\":\"_w\",\"e\":\"AQ\"}",       /* e = 1: everything verifies */
                "{\"kty\":\"RSA\",\"n\":\"_w\",\"e\":\"Ag\"}",       /* even e */
                "{\"kty\":\"RSA\",\"n\":\"_g\",\"e\":\"Aw\"}",       /* even n */
                "{\"kty\":\"RSA\",\"n\":\"_w\",\"e\":\"AQAAAAAAAAAB\"}", /* e above 64 bits */
                "{\"kty\":\"RSA\",\"n\":\"_w==\",\"e\":\"AQAB\"}", "{\"kty\":\"RSA\",\"n\":\"\",\"e\":\"AQAB\"}",
                "{\"kty\":\"RSA\",\"n\":\"_w\",\"e\":\"AQAB\",\"kid\":7}", "{\"kty\":\"RSA\",\"n\":\"_w\",\"e\":\"AQAB\",\"key_ops\":\"verify\"}",
                "{\"kty\":\"RSA\",\"n\":\"_w\",\"e\":\"AQAB\",\"key_ops\":[\"verify\",\"verify\"]}", "{\"kty\":\"RSA\",\"n\":\"_w\",\"e\":\"AQAB\",\"x5c\":[]}",
                "{\"kty\":\"RSA\",\"n\":\"_w\",\"e\":\"AQAB\",\"x5c\":[\"AAAA\"]}",
                /* RFC 7520 §3.1 with another last octet of y, another curve, and without the leading zero octet of x */
                "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"04N0xi21hshyvBp7I167sbE_bXqyqkAPfefdklMO7wY\",\"y\":\"UI8exy-C06a7DUnjIdENkxeFtHM4-l_41LqEw9nVgnw\"}",
                "{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"04N0xi21hshyvBp7I167sbE_bXqyqkAPfefdklMO7wY\",\"y\":\"UI8exy-C06a7DUnjIdENkxeFtHM4-l_41LqEw9nVgmw\"}",
                "{\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"AA\",\"y\":\"AA\"}",
                "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"g3TGLbWGyHK8GnsjXruxsT9terKqQA9959 2SUw7vBg\",\"y\":\"UI8exy-C06a7DUnjIdENkxeFtHM4-l_41LqEw9nVgmw\"}",
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_json_ Json *json = NULL;
                Jwk *jwk = NULL;
                assert_ok(json_parse(span_from_string(cases[i]), "case", &json));
                assert_err(jwk_from_json(json, &jwk), ERR_KEY_INVALID);
        }
}

#define EC_KEY(kid) "{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"" kid "\",\"x\":\"04N0xi21hshyvBp7I167sbE_bXqyqkAPfefdklMO7wY\"," \
                    "\"y\":\"UI8exy-C06a7DUnjIdENkxeFtHM4-l_41LqEw9nVgmw\"}"

static void test_jwk_set_parse_malformed_is_refused(void **state) {
        static const char *const cases[] = { "", "7", "{\"keys\":{}}", "{\"keys\":[7]}", "{\"keys\":[" EC_KEY("a") "," EC_KEY("a") "]}", "{\"keys\":[],\"keys\":[]}" };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                JwkSet *set = NULL;
                assert_err(jwk_set_parse(span_from_string(cases[i]), "case", &set), ERR_KEY_INVALID);
        }
}

static void test_jwk_set_find_prefers_exact_kid_and_ignores_padding(void **state) {
        _cleanup_(jwk_set_freep) JwkSet *set = NULL;
        assert_ok(jwk_set_parse(span_from_string("{\"keys\":[" EC_KEY("a=") "," EC_KEY("a") "," EC_KEY("b") "]}"), "set", &set));
        assert_ptr_equal(jwk_set_find(set, "a"), set->keys[1]);
        assert_ptr_equal(jwk_set_find(set, "a="), set->keys[0]);
        assert_ptr_equal(jwk_set_find(set, "b="), set->keys[2]);
        assert_null(jwk_set_find(set, "B"));
        assert_null(jwk_set_find(set, ""));
        assert_null(jwk_set_find(set, NULL));
}

static void test_jwk_set_parse_single_key_is_a_set_of_one(void **state) {
        _cleanup_(jwk_set_freep) JwkSet *set = NULL;
        assert_ok(jwk_set_parse(span_from_string(EC_KEY("only")), "key", &set));
        assert_int_equal(set->n_keys, 1);
        assert_string_equal(set->keys[0]->kid, "only");
}

/* The service's x5c has dates that RFC 5280 forbids, and one key of 1024 bits. */
static void test_jwk_set_parse_real_sets_are_read(void **state) {
        vectors_need();
        static const struct { const char *name; size_t n_keys; } cases[] = {
                { "cpgearamaattestationaad-gen1", 3 }, { "cplarryoattestationaad-gen1", 4 }, { "cplarryoattestationaad-gen2", 4 },
                { "cplarryoattestationaad-gen3", 3 }, { "cplarryoattestationiso-gen1", 4 }, { "cplarryoattestationiso-gen2", 4 },
                { "cplarryoattestationiso-gen3", 3 }, { "sharedwus-gen1", 4 }, { "sharedwus-gen2", 4 }, { "sharedwus-gen3", 3 },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_free_ char *name = NULL;
                assert_ok(string_format(&name, "maa/jwks/%s.json", cases[i].name));
                _cleanup_(jwk_set_freep) JwkSet *set = read_set(name);
                assert_int_equal(set->n_keys, cases[i].n_keys);
        }
}

/* maa/README.md: the kid of a key with a PKI certificate is the thumbprint of that certificate. */
static void test_x509_thumbprint_is_kid_of_real_keys(void **state) {
        vectors_need();
        _cleanup_(jwk_set_freep) JwkSet *set = read_set("maa/jwks/sharedwus-gen2.json");
        static const char *const kids[] = { "D5DR62_fG0AlpALMbsP-wriTWjU", "5n95sus8qrcBcVLXZu3lPYgdMlM" };
        for (size_t i = 0; i < N_ELEMENTS(kids); i++) {
                _cleanup_free_ char *thumbprint = NULL;
                const Jwk *jwk = jwk_set_find(set, kids[i]);
                assert_non_null(jwk);
                assert_ok(x509_thumbprint(sk_X509_value(jwk->x5c, 0), &thumbprint));
                assert_string_equal(thumbprint, kids[i]);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_jwk_set_parse_rfc7517_is_read),
                cmocka_unit_test(test_jwk_thumbprint_rfc7638_example_agrees),
                cmocka_unit_test(test_jwk_from_json_x5c_beside_numbers_is_the_same_key),
                cmocka_unit_test(test_jwk_public_text_gives_members_back),
                cmocka_unit_test(test_jwk_from_json_impossible_keys_are_refused),
                cmocka_unit_test(test_jwk_set_parse_malformed_is_refused),
                cmocka_unit_test(test_jwk_set_find_prefers_exact_kid_and_ignores_padding),
                cmocka_unit_test(test_jwk_set_parse_single_key_is_a_set_of_one),
                cmocka_unit_test(test_jwk_set_parse_real_sets_are_read),
                cmocka_unit_test(test_x509_thumbprint_is_kid_of_real_keys),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
