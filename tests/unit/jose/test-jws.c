/* JWS: the examples of RFC 7515 and 7520, round trips of every algorithm, and each way of being wrong. */
#include "tests/support/vectors.h"

#include <openssl/rsa.h>

#include "jose/jws.h"
#include "jose/signature.h"

static JwkSet *read_set(const char *name) {
        _cleanup_bytes_ Bytes text = vector_read(name);
        JwkSet *set;
        assert_ok(jwk_set_parse(bytes_span(&text), name, &set));
        return set;
}

static void test_jws_verify_rfc7515_examples_are_good(void **state) {
        vectors_need();
        static const struct { const char *name; JoseAlg alg; } cases[] = { { "A.2", JOSE_ALG_RS256 }, { "A.4", JOSE_ALG_ES512 } };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_free_ char *jws_name = NULL, *key_name = NULL;
                assert_ok(string_format(&jws_name, "jose/rfc/rfc7515_%s.jwsc", cases[i].name));
                assert_ok(string_format(&key_name, "jose/rfc/rfc7515_%s.jwk", cases[i].name));
                _cleanup_bytes_ Bytes text = vector_read(jws_name);
                _cleanup_(jwk_set_freep) JwkSet *set = read_set(key_name);
                _cleanup_(jws_freep) Jws *jws = NULL;
                assert_ok(jws_parse(bytes_span(&text), &jws));
                assert_int_equal(jws->alg, cases[i].alg);
                assert_ok(jws_verify(jws, JOSE_ALGS_ASYMMETRIC, set->keys[0]));
                jws->payload.data[0] ^= 1; /* the signature is over the text, not over what was decoded */
                assert_ok(jws_verify(jws, JOSE_ALGS_ASYMMETRIC, set->keys[0]));
                jws->signature.data[jws->signature.size / 2] ^= 1;
                assert_err(jws_verify(jws, JOSE_ALGS_ASYMMETRIC, set->keys[0]), ERR_TOKEN_SIGNATURE_INVALID);
        }
}

static void test_jws_verify_rfc7515_hs256_is_symmetric(void **state) {
        vectors_need();
        _cleanup_bytes_ Bytes text = vector_read("jose/rfc/rfc7515_A.1.jwsc");
        _cleanup_(jwk_set_freep) JwkSet *set = read_set("jose/rfc/rfc7515_A.2.jwk");
        _cleanup_(jws_freep) Jws *jws = NULL;
        assert_ok(jws_parse(bytes_span(&text), &jws));
        assert_err(jws_verify(jws, UINT32_MAX, set->keys[0]), ERR_TOKEN_ALG_SYMMETRIC);
}

static void test_jws_verify_rfc7520_rsa_example_is_good(void **state) {
        vectors_need();
        _cleanup_json_ Json *json = vector_read_json("jose/rfc/cookbook-jws-4_1.rsa_v15_signature.json");
        _cleanup_(jwk_freep) Jwk *jwk = NULL;
        _cleanup_(jws_freep) Jws *jws = NULL;
        assert_ok(jwk_from_json(json_get(json_get(json, "input"), "key"), &jwk));
        assert_ok(jws_parse(span_from_string(json_object_get_string(json_get(json_get(json, "output"), "compact"))), &jws));
        assert_string_equal(jws->kid, "bilbo.baggins@hobbiton.example");
        assert_string_equal((char *) jws->payload.data, json_object_get_string(json_get(json_get(json, "input"), "payload")));
        assert_ok(jws_verify(jws, JOSE_ALG_BIT(JOSE_ALG_RS256), jwk));
        assert_err(jws_verify(jws, JOSE_ALG_BIT(JOSE_ALG_PS256), jwk), ERR_TOKEN_ALG_NOT_ALLOWED);
}

/* RFC 8037 §A.4: a good EdDSA signature, of an algorithm that is not known here. */
static void test_jws_check_header_unknown_alg_is_refused(void **state) {
        vectors_need();
        _cleanup_json_ Json *json = vector_read_json("jose/rfc/cookbook-curve25519-jws.json");
        _cleanup_(jws_freep) Jws *jws = NULL;
        assert_ok(jws_parse(span_from_string(json_object_get_string(json_get(json_get(json, "output"), "compact"))), &jws));
        assert_int_equal(jws->alg, JOSE_ALG_UNKNOWN);
        assert_err(jws_check_header(jws, UINT32_MAX), ERR_TOKEN_ALG_NOT_ALLOWED);
}

/* header {"alg":"RS256"} = eyJhbGciOiJSUzI1NiJ9 */
static void test_jws_parse_wrong_forms_have_their_codes(void **state) {
        static const struct { const char *text; ErrCode code; } cases[] = {
                { "", ERR_TOKEN_PARTS }, { "Zm9v", ERR_TOKEN_PARTS }, { "Zm9v.Zm9v", ERR_TOKEN_PARTS }, { "..", ERR_TOKEN_MALFORMED },
                { "eyJhbGciOiJSUzI1NiJ9.e30.AAAA.AAAA", ERR_TOKEN_PARTS }, { "eyJhbGciOiJSUzI1NiJ9.e30..", ERR_TOKEN_PARTS },
                { "eyJhbGciOiJSUzI1", ERR_TOKEN_TRUNCATED }, { "eyJhbGciOiJSUzI1NiJ9.e3", ERR_TOKEN_TRUNCATED },
                { "eyJhbGciOiJSUzI1NiJ9.e30", ERR_TOKEN_TRUNCATED }, { "eyJhbGciOiJSUzI1NiJ9.e30.AAAAA", ERR_TOKEN_TRUNCATED },
                { "eyJhbGciOiJSUzI1NiJ9.e30.AAB", ERR_TOKEN_TRUNCATED },
                { "eyJhbGciOiJSUzI1NiJ9.e30.AA==", ERR_TOKEN_MALFORMED }, { "eyJhbGciOiJSUzI1NiJ9.e30.AA+A", ERR_TOKEN_MALFORMED },
                { "eyJhbGciOiJSUzI1NiJ9.e3 0.AAAA", ERR_TOKEN_MALFORMED }, { "eyJhbGciOiJSUzI1NiJ9=.e30.AAAA", ERR_TOKEN_MALFORMED },
                { "eyJhbGciOiJSUzI1NiK9.e30.AAAA", ERR_TOKEN_MALFORMED },                               /* no JSON */
                { "W10.e30.AAAA", ERR_TOKEN_MALFORMED },                                                /* [] */
                { "e30.e30.AAAA", ERR_TOKEN_ALG_NOT_ALLOWED },                                          /* {} */
                { "eyJhbGciOjd9.e30.AAAA", ERR_TOKEN_ALG_NOT_ALLOWED },                                 /* {"alg":7} */
                { "eyJhbGciOiJub25lIiwiYWxnIjoiUlMyNTYifQ.e30.AAAA", ERR_TOKEN_DUPLICATE_MEMBER },      /* {"alg":"none","alg":"RS256"} */
                { "eyJhbGciOiJSUzI1NiIsImtpZCI6N30.e30.AAAA", ERR_TOKEN_MALFORMED },                    /* {"alg":"RS256","kid":7} */
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                Jws *jws = NULL;
                assert_err(jws_parse(span_from_string(cases[i].text), &jws), cases[i].code);
        }
}

static void test_jws_check_header_forbidden_algs_have_their_codes(void **state) {
        static const struct { const char *header; ErrCode code; } cases[] = {
                { "{\"alg\":\"none\"}", ERR_TOKEN_ALG_NONE }, { "{\"alg\":\"NONE\"}", ERR_TOKEN_ALG_NOT_ALLOWED },
                { "{\"alg\":\"HS256\"}", ERR_TOKEN_ALG_SYMMETRIC }, { "{\"alg\":\"HS512\"}", ERR_TOKEN_ALG_SYMMETRIC },
                { "{\"alg\":\"rs256\"}", ERR_TOKEN_ALG_NOT_ALLOWED }, { "{\"alg\":\"\"}", ERR_TOKEN_ALG_NOT_ALLOWED },
                { "{\"alg\":\"unknown\"}", ERR_TOKEN_ALG_NOT_ALLOWED },
                { "{\"alg\":\"RS256\",\"crit\":[\"exp\"]}", ERR_TOKEN_CRIT_UNKNOWN }, { "{\"alg\":\"RS256\",\"crit\":[]}", ERR_TOKEN_CRIT_UNKNOWN },
                { "{\"alg\":\"RS256\",\"crit\":null}", ERR_TOKEN_CRIT_UNKNOWN }, { "{\"alg\":\"RS256\"}", ERR_NONE },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_free_ char *header = NULL, *text = NULL;
                _cleanup_(jws_freep) Jws *jws = NULL;
                assert_ok(base64url_encode(span_from_string(cases[i].header), &header));
                assert_ok(string_format(&text, "\n %s.e30.\r\n", header));
                assert_ok(jws_parse(span_from_string(text), &jws));
                assert_err(jws_check_header(jws, UINT32_MAX), cases[i].code);
        }
}

static EVP_PKEY *make_key(JoseAlg alg) {
        EVP_PKEY *key = NULL;
        if (alg == JOSE_ALG_ES256 || alg == JOSE_ALG_ES384 || alg == JOSE_ALG_ES512) {
                key = EVP_EC_gen(alg == JOSE_ALG_ES256 ? "P-256" : alg == JOSE_ALG_ES384 ? "P-384" : "P-521");
                assert_non_null(key);
                return key;
        }
        static EVP_PKEY *rsa;
        if (!rsa)
                assert_ok(jose_key_generate_rsa(2048, &rsa));
        EVP_PKEY_up_ref(rsa);
        return rsa;
}

static const JoseAlg asymmetric[] = { JOSE_ALG_RS256, JOSE_ALG_RS384, JOSE_ALG_RS512, JOSE_ALG_PS256, JOSE_ALG_PS384,
                                      JOSE_ALG_PS512, JOSE_ALG_ES256, JOSE_ALG_ES384, JOSE_ALG_ES512 };

static void test_jws_sign_every_algorithm_verifies_with_that_algorithm_alone(void **state) {
        for (size_t i = 0; i < N_ELEMENTS(asymmetric); i++) {
                _cleanup_(pkey_freep) EVP_PKEY *key = make_key(asymmetric[i]);
                Jwk jwk = { .key = key, .for_verify = true };
                _cleanup_free_ char *header = NULL, *text = NULL;
                _cleanup_(jws_freep) Jws *jws = NULL;
                assert_ok(string_format(&header, "{\"alg\":\"%s\"}", jose_alg_to_string(asymmetric[i])));
                assert_ok(jws_sign(asymmetric[i], key, header, span_from_string("payload"), &text));
                assert_ok(jws_parse(span_from_string(text), &jws));
                assert_true(span_equal_string(bytes_span(&jws->payload), "payload"));
                assert_ok(jws_verify(jws, JOSE_ALGS_ASYMMETRIC, &jwk));
                for (size_t k = 0; k < N_ELEMENTS(asymmetric); k++) {
                        jws->alg = asymmetric[k];
                        Err *err = jws_verify(jws, JOSE_ALGS_ASYMMETRIC, &jwk);
                        assert_int_equal(err == NULL, k == i);
                        err_free(err);
                }
        }
}

/* RFC 7518 §3.5: the salt is as long as the hash, so another length is another algorithm. */
static void test_jws_verify_pss_salt_of_other_length_is_refused(void **state) {
        _cleanup_(pkey_freep) EVP_PKEY *key = make_key(JOSE_ALG_PS256);
        static const char data[] = "eyJhbGciOiJQUzI1NiJ9.e30";
        static const struct { int salt; ErrCode code; } cases[] = {
                { 32, ERR_NONE }, { 0, ERR_TOKEN_SIGNATURE_INVALID }, { 20, ERR_TOKEN_SIGNATURE_INVALID }, { RSA_PSS_SALTLEN_MAX, ERR_TOKEN_SIGNATURE_INVALID },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                uint8_t signature[256];
                size_t size = sizeof(signature);
                EVP_MD_CTX *context = EVP_MD_CTX_new();
                EVP_PKEY_CTX *key_context;
                assert_int_equal(EVP_DigestSignInit(context, &key_context, EVP_sha256(), NULL, key), 1);
                assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(key_context, RSA_PKCS1_PSS_PADDING), 1);
                assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(key_context, cases[i].salt), 1);
                assert_int_equal(EVP_DigestSign(context, signature, &size, (const uint8_t *) data, sizeof(data) - 1), 1);
                EVP_MD_CTX_free(context);
                assert_err(jose_signature_verify(JOSE_ALG_PS256, key, span_from_string(data), span_make(signature, size)), cases[i].code);
        }
}

static void test_jws_verify_key_that_may_not_is_refused(void **state) {
        _cleanup_(pkey_freep) EVP_PKEY *rsa = make_key(JOSE_ALG_RS256), *p256 = make_key(JOSE_ALG_ES256), *p384 = make_key(JOSE_ALG_ES384), *weak = NULL;
        assert_ok(jose_key_generate_rsa(1024, &weak));
        const struct { Jwk key; JoseAlg alg; EVP_PKEY *signer; ErrCode code; } cases[] = {
                { { .key = rsa, .for_verify = true }, JOSE_ALG_RS256, rsa, ERR_NONE },
                { { .key = rsa, .for_verify = true, .alg = (char *) "RS256" }, JOSE_ALG_RS256, rsa, ERR_NONE },
                { { .key = rsa, .for_verify = true, .alg = (char *) "PS256" }, JOSE_ALG_RS256, rsa, ERR_TOKEN_ALG_KEY_MISMATCH },
                { { .key = rsa, .for_verify = false }, JOSE_ALG_RS256, rsa, ERR_TOKEN_ALG_KEY_MISMATCH },
                { { .key = p256, .for_verify = true }, JOSE_ALG_RS256, rsa, ERR_TOKEN_ALG_KEY_MISMATCH },
                { { .key = rsa, .for_verify = true }, JOSE_ALG_ES256, p256, ERR_TOKEN_ALG_KEY_MISMATCH },
                { { .key = p384, .for_verify = true }, JOSE_ALG_ES256, p256, ERR_TOKEN_ALG_KEY_MISMATCH },
                { { .key = weak, .for_verify = true }, JOSE_ALG_RS256, weak, ERR_TOKEN_KEY_WEAK },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_free_ char *header = NULL, *text = NULL;
                _cleanup_(jws_freep) Jws *jws = NULL;
                assert_ok(string_format(&header, "{\"alg\":\"%s\"}", jose_alg_to_string(cases[i].alg)));
                assert_ok(jws_sign(cases[i].alg, cases[i].signer, header, span_from_string("{}"), &text));
                assert_ok(jws_parse(span_from_string(text), &jws));
                assert_err(jws_verify(jws, JOSE_ALGS_ASYMMETRIC, &cases[i].key), cases[i].code);
        }
}

/* Wherever a token is cut, the error says that it was cut. */
static void test_jws_verify_every_prefix_is_truncated(void **state) {
        static const JoseAlg algs[] = { JOSE_ALG_RS256, JOSE_ALG_ES512 };
        for (size_t i = 0; i < N_ELEMENTS(algs); i++) {
                _cleanup_(pkey_freep) EVP_PKEY *key = make_key(algs[i]);
                Jwk jwk = { .key = key, .for_verify = true };
                _cleanup_free_ char *header = NULL, *text = NULL;
                assert_ok(string_format(&header, "{\"alg\":\"%s\",\"kid\":\"k\"}", jose_alg_to_string(algs[i])));
                assert_ok(jws_sign(algs[i], key, header, span_from_string("{\"iss\":\"x\"}"), &text));
                size_t n_malformed = 0;
                for (size_t n = 2; n < strlen(text); n++) {
                        _cleanup_(jws_freep) Jws *jws = NULL;
                        Err *err = jws_parse(span_make(text, n), &jws);
                        if (!err)
                                err = jws_verify(jws, JOSE_ALGS_ASYMMETRIC, &jwk);
                        /* 64 and 128 octets with bits left over could as well be a damaged signature of a smaller key. */
                        if (err_code(err) == ERR_TOKEN_MALFORMED)
                                n_malformed++;
                        else
                                assert_int_equal(err_code(err), ERR_TOKEN_TRUNCATED);
                        err_free(err);
                }
                assert_in_range(n_malformed, 0, 2);
        }
}

static void test_jws_sign_source_is_what_jws_sign_makes(void **state) {
        _cleanup_(pkey_freep) EVP_PKEY *key = make_key(JOSE_ALG_RS256);
        _cleanup_bytes_ Bytes payload = {}, copy = {}, text = {}, again = {};
        _cleanup_free_ char *expected = NULL;
        Source *source, *result;
        assert_ok(bytes_alloc(100001, &payload));
        for (size_t i = 0; i < payload.size; i++)
                payload.data[i] = (uint8_t) (i * 31 >> 3);
        assert_ok(jws_sign(JOSE_ALG_RS256, key, "{\"alg\":\"RS256\"}", bytes_span(&payload), &expected));
        assert_ok(bytes_copy(bytes_span(&payload), &copy));
        assert_ok(source_new_bytes(&copy, &source));
        assert_ok(jws_sign_source(&(JoseSigner) { JOSE_ALG_RS256, key }, "{\"alg\":\"RS256\"}", source, &result));
        assert_int_equal(source_size(result), strlen(expected));
        assert_ok(source_read_all(result, 1u << 20, &text));
        assert_ok(source_read_all(result, 1u << 20, &again));
        source_free(result);
        assert_true(span_equal_string(bytes_span(&text), expected));
        assert_true(span_equal(bytes_span(&text), bytes_span(&again)));
}

static void test_jws_sign_key_that_does_not_fit_is_refused(void **state) {
        _cleanup_(pkey_freep) EVP_PKEY *rsa = make_key(JOSE_ALG_RS256);
        static const JoseAlg algs[] = { JOSE_ALG_ES256, JOSE_ALG_NONE, JOSE_ALG_HS256, JOSE_ALG_UNKNOWN };
        for (size_t i = 0; i < N_ELEMENTS(algs); i++) {
                char *text = NULL;
                assert_err(jws_sign(algs[i], rsa, "{}", span_from_string("x"), &text), ERR_INVALID_ARGUMENT);
        }
}

static void test_jose_alg_set_parse_names_what_is_not_allowed(void **state) {
        static const struct { const char *text; JoseAlgSet set; } cases[] = {
                { "RS256", JOSE_ALG_BIT(JOSE_ALG_RS256) }, { "RS256,PS384 ES512", JOSE_ALG_BIT(JOSE_ALG_RS256) | JOSE_ALG_BIT(JOSE_ALG_PS384) | JOSE_ALG_BIT(JOSE_ALG_ES512) },
                { "", 0 }, { " , ", 0 }, { "none", 0 }, { "RS256,HS256", 0 }, { "rs256", 0 }, { "unknown", 0 }, { "RS256;PS256", 0 },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                JoseAlgSet set = 0;
                assert_err(jose_alg_set_parse(cases[i].text, &set), cases[i].set ? ERR_NONE : ERR_INVALID_ARGUMENT);
                assert_int_equal(set, cases[i].set);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_jws_verify_rfc7515_examples_are_good),
                cmocka_unit_test(test_jws_verify_rfc7515_hs256_is_symmetric),
                cmocka_unit_test(test_jws_verify_rfc7520_rsa_example_is_good),
                cmocka_unit_test(test_jws_check_header_unknown_alg_is_refused),
                cmocka_unit_test(test_jws_parse_wrong_forms_have_their_codes),
                cmocka_unit_test(test_jws_check_header_forbidden_algs_have_their_codes),
                cmocka_unit_test(test_jws_sign_every_algorithm_verifies_with_that_algorithm_alone),
                cmocka_unit_test(test_jws_verify_pss_salt_of_other_length_is_refused),
                cmocka_unit_test(test_jws_verify_key_that_may_not_is_refused),
                cmocka_unit_test(test_jws_verify_every_prefix_is_truncated),
                cmocka_unit_test(test_jws_sign_source_is_what_jws_sign_makes),
                cmocka_unit_test(test_jws_sign_key_that_does_not_fit_is_refused),
                cmocka_unit_test(test_jose_alg_set_parse_names_what_is_not_allowed),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
