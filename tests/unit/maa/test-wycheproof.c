/* Every Wycheproof case that a compact JWS or a signature of a JOSE algorithm can be made of, judged the way `attestctl validate --signature-only`
 * judges. Verdicts are Wycheproof's own, but for the contested ones named below. */
#include "tests/support/vectors.h"

#include <openssl/pem.h>

#include "jose/signature.h"
#include "maa/token.h"

/* Wycheproof calls these valid. vectors/INDEX.md names them as contested. */
static const struct { const char *file; int64_t id; ErrCode code; const char *reason; } contested[] = {
        { "json_web_signature_test.open", 346, ERR_TOKEN_ALG_KEY_MISMATCH, "the key is reserved for PS256 (RFC 7517 §4.4), the header says PS384" },
        { "json_web_signature_test.open", 347, ERR_TOKEN_ALG_KEY_MISMATCH, "the key's alg is ES521, which no specification has (RFC 7518 §3.1)" },
        { "json_web_signature_test.open", 350, ERR_TOKEN_ALG_KEY_MISMATCH, "the key is reserved for PS256 (RFC 7517 §4.4), the header says PS384" },
        { "json_web_signature_test.open", 373, ERR_TOKEN_MALFORMED, "a stray character in the base64url (RFC 7515 §2); form is judged before alg" },
};

static bool is_contested(const char *file, int64_t id, ErrCode *ret_code) {
        for (size_t i = 0; i < N_ELEMENTS(contested); i++)
                if (string_equal(contested[i].file, file) && contested[i].id == id) {
                        *ret_code = contested[i].code;
                        return true;
                }
        return false;
}

/* Is there a symmetric key in the set? What such a key makes valid is never believed here. */
static bool has_symmetric_key(Json *keys) {
        Json *list = json_get(keys, "keys");
        if (!list)
                return string_equal(json_object_get_string(json_get(keys, "kty")), "oct");
        for (size_t i = 0; i < json_object_array_length(list); i++)
                if (has_symmetric_key(json_object_array_get_idx(list, i)))
                        return true;
        return false;
}

static Err *judge(Json *keys, const char *text) {
        _cleanup_(jwk_set_freep) JwkSet *set = NULL;
        _cleanup_(token_freep) Token *token = NULL;
        TRY(jwk_set_parse(span_from_string(json_object_to_json_string(keys)), "keys", &set));
        TokenRules rules = { .keys = set, .algorithms = JOSE_ALGS_ASYMMETRIC, .signature_only = true };
        return token_validate(span_from_string(text), &rules, &token, NULL);
}

static void judge_case(const char *file, Json *keys, Json *test) {
        int64_t id = json_object_get_int64(json_get(test, "tcId"));
        const char *text = json_object_get_string(json_get(test, "jws")); /* of a JWS in JSON form: its JSON */
        bool valid = string_equal(json_object_get_string(json_get(test, "result")), "valid");
        ErrCode exception = ERR_NONE;
        if (valid && is_contested(file, id, &exception))
                print_message("%s tcId %lld: contested\n", file, (long long) id);
        else if (valid && has_symmetric_key(keys))
                exception = ERR_TOKEN_ALG_SYMMETRIC;
        valid = valid && exception == ERR_NONE;

        _cleanup_(err_freep) Err *err = judge(keys, text);
        if ((err == NULL) != valid || (exception != ERR_NONE && err_code(err) != exception)) {
                print_error("%s tcId %lld (%s): got %s\n", file, (long long) id, json_object_get_string(json_get(test, "comment")), err ? err_describe(err) : "valid");
                fail();
        }
}

static void test_token_validate_wycheproof_jws_agrees(void **state) {
        vectors_need();
        /* Numbers from vectors/INDEX.md, a JWS in JSON form included. */
        static const struct { const char *file; size_t n_jws; } files[] = {
                { "json_web_signature_test.open", 268 }, { "json_web_key_test.open", 18 }, { "json_web_crypto_test.open", 33 },
        };
        for (size_t i = 0; i < N_ELEMENTS(files); i++) {
                _cleanup_free_ char *name = NULL;
                size_t n_jws = 0;
                assert_ok(string_format(&name, "jose/wycheproof/%s.json", files[i].file));
                _cleanup_json_ Json *json = vector_read_json(name);
                Json *groups = json_get(json, "testGroups");
                for (size_t k = 0; k < json_object_array_length(groups); k++) {
                        Json *group = json_object_array_get_idx(groups, k), *tests = json_get(group, "tests");
                        Json *key_set = json_get(group, json_get(group, "public") ? "public" : "private");
                        for (size_t t = 0; t < json_object_array_length(tests); t++) {
                                Json *test = json_object_array_get_idx(tests, t);
                                if (!json_get(test, "jws")) /* a JWE */
                                        continue;
                                judge_case(files[i].file, key_set, test);
                                n_jws++;
                        }
                }
                assert_int_equal(n_jws, files[i].n_jws);
        }
}

/* INDEX.md: "invalid" cases that need a check beyond the signature, with the rule that must be the one to refuse them. */
static void test_token_validate_wycheproof_special_cases_have_their_codes(void **state) {
        vectors_need();
        static const struct { const char *file; int64_t id; ErrCode code; } cases[] = {
                { "json_web_signature_test.open", 355, ERR_TOKEN_ALG_KEY_MISMATCH }, { "json_web_signature_test.open", 356, ERR_TOKEN_ALG_KEY_MISMATCH },
                { "json_web_key_test.open", 7, ERR_TOKEN_KEY_WEAK }, { "json_web_key_test.open", 8, ERR_TOKEN_KEY_WEAK },
                { "json_web_crypto_test.open", 46, ERR_TOKEN_KEY_WEAK }, { "json_web_signature_test.open", 32, ERR_TOKEN_EMBEDDED_JWK },
                { "json_web_key_test.open", 22, ERR_KEY_INVALID },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_free_ char *name = NULL;
                size_t n_found = 0;
                assert_ok(string_format(&name, "jose/wycheproof/%s.json", cases[i].file));
                _cleanup_json_ Json *json = vector_read_json(name);
                Json *groups = json_get(json, "testGroups");
                for (size_t k = 0; k < json_object_array_length(groups); k++) {
                        Json *group = json_object_array_get_idx(groups, k), *tests = json_get(group, "tests");
                        for (size_t t = 0; t < json_object_array_length(tests); t++) {
                                Json *test = json_object_array_get_idx(tests, t);
                                if (json_object_get_int64(json_get(test, "tcId")) != cases[i].id)
                                        continue;
                                assert_err(judge(json_get(group, "public"), json_object_get_string(json_get(test, "jws"))), cases[i].code);
                                n_found++;
                        }
                }
                assert_int_equal(n_found, 1);
        }
}

/* --- signatures without JWS around them --- */

static EVP_PKEY *group_key(Json *group) {
        static const char *const members[] = { "publicKeyJwk", "keyJwk" };
        for (size_t i = 0; i < N_ELEMENTS(members); i++) {
                if (!json_get(group, members[i]))
                        continue;
                _cleanup_(jwk_freep) Jwk *jwk = NULL;
                assert_ok(jwk_from_json(json_get(group, members[i]), &jwk));
                return steal_ptr(&jwk->key);
        }
        const char *pem = json_object_get_string(json_get(group, "publicKeyPem"));
        BIO *bio = BIO_new_mem_buf(pem, -1);
        EVP_PKEY *key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
        BIO_free(bio);
        assert_non_null(key);
        return key;
}

static JoseAlg group_alg(Json *group, const JoseAlg *by_size) {
        const char *sha = json_object_get_string(json_get(group, "sha"));
        return string_equal(sha, "SHA-256") ? by_size[0] : string_equal(sha, "SHA-384") ? by_size[1] : string_equal(sha, "SHA-512") ? by_size[2] : JOSE_ALG_UNKNOWN;
}

static Err *verify_raw(JoseAlg alg, EVP_PKEY *key, Json *test) {
        _cleanup_bytes_ Bytes message = {}, signature = {};
        TRY(hex_decode(span_from_string(json_object_get_string(json_get(test, "msg"))), "msg", &message));
        TRY(hex_decode(span_from_string(json_object_get_string(json_get(test, "sig"))), "sig", &signature));
        TRY(jose_signature_check_kind(alg, key));
        TRY(jose_signature_check_strength(key));
        return jose_signature_verify(alg, key, bytes_span(&message), bytes_span(&signature));
}

/* Returns how many cases were judged. */
static size_t judge_group(const char *file, Json *group, const JoseAlg *algs) {
        JoseAlg alg = group_alg(group, algs);
        const char *mgf_sha = json_object_get_string(json_get(group, "mgfSha"));
        Json *tests = json_get(group, "tests");
        /* PS*: MGF1 with the same hash, and a salt as long as the hash. What has another salt must be refused though Wycheproof, which is told the
         * salt, calls it valid; another MGF hash cannot be told to this function. */
        if (alg == JOSE_ALG_UNKNOWN || (mgf_sha && !string_equal(mgf_sha, json_object_get_string(json_get(group, "sha")))))
                return 0;
        bool salt_fits = !mgf_sha || json_object_get_int64(json_get(group, "sLen")) == EVP_MD_get_size(jose_signature_digest(alg));
        _cleanup_(pkey_freep) EVP_PKEY *key = group_key(group);
        for (size_t i = 0; i < json_object_array_length(tests); i++) {
                Json *test = json_object_array_get_idx(tests, i);
                const char *result = json_object_get_string(json_get(test, "result"));
                _cleanup_(err_freep) Err *err = verify_raw(alg, key, test);
                if (string_equal(result, "acceptable"))
                        continue; /* either is right */
                if ((err == NULL) != (string_equal(result, "valid") && salt_fits)) {
                        print_error("%s tcId %lld: %s, got %s\n", file, (long long) json_object_get_int64(json_get(test, "tcId")), result,
                                    err ? err_describe(err) : "valid");
                        fail();
                }
        }
        return json_object_array_length(tests);
}

static const JoseAlg rs[] = { JOSE_ALG_RS256, JOSE_ALG_RS384, JOSE_ALG_RS512 };
static const JoseAlg ps[] = { JOSE_ALG_PS256, JOSE_ALG_PS384, JOSE_ALG_PS512 };
static const JoseAlg es[] = { JOSE_ALG_ES256, JOSE_ALG_ES384, JOSE_ALG_ES512 };

static void test_jose_signature_verify_wycheproof_agrees(void **state) {
        vectors_need();
        /* Numbers of cases as in vectors/INDEX.md; of rsa_pss_misc those of SHA-256, 384 and 512 with MGF1 of the same hash. */
        static const struct { const char *file; const JoseAlg *algs; size_t n; } files[] = {
                { "ecdsa_secp256r1_sha256_p1363_test", es, 262 }, { "ecdsa_secp521r1_sha512_p1363_test", es, 318 },
                { "rsa_signature_2048_sha256_test", rs, 259 }, { "rsa_signature_2048_sha384_test", rs, 258 }, { "rsa_signature_2048_sha512_test", rs, 259 },
                { "rsa_signature_3072_sha384_test", rs, 259 }, { "rsa_signature_4096_sha256_test", rs, 258 }, { "rsa_signature_4096_sha512_test", rs, 259 },
                { "rsa_pss_2048_sha256_mgf1_32_test", ps, 108 }, { "rsa_pss_2048_sha384_mgf1_48_test", ps, 141 },
                { "rsa_pss_4096_sha256_mgf1_32_test", ps, 108 }, { "rsa_pss_4096_sha384_mgf1_48_test", ps, 141 },
                { "rsa_pss_2048_sha1_mgf1_20_test", ps, 0 }, { "rsa_pss_misc_test", ps, 18 },
        };
        for (size_t i = 0; i < N_ELEMENTS(files); i++) {
                _cleanup_free_ char *name = NULL;
                size_t n = 0;
                assert_ok(string_format(&name, "jose/wycheproof/%s.json", files[i].file));
                _cleanup_json_ Json *json = vector_read_json(name);
                Json *groups = json_get(json, "testGroups");
                for (size_t k = 0; k < json_object_array_length(groups); k++)
                        n += judge_group(files[i].file, json_object_array_get_idx(groups, k), files[i].algs);
                assert_int_equal(n, files[i].n);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_token_validate_wycheproof_jws_agrees),
                cmocka_unit_test(test_token_validate_wycheproof_special_cases_have_their_codes),
                cmocka_unit_test(test_jose_signature_verify_wycheproof_agrees),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
