/* Policies of the instance: hashes and forms as the service has them, what is refused, what survives a restart. */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/vectors.h"

#include "instance/policy-jws.h"
#include "instance/policy-store.h"

static char directory[64];

static int make_directory(void **state) {
        (void) snprintf(directory, sizeof(directory), "/tmp/test-policy-store.XXXXXX");
        return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state) {
        char path[128];
        for (unsigned i = 0; i < _ATTESTATION_TYPE_MAX; i++) {
                (void) snprintf(path, sizeof(path), "%s/policies/%s.jws", directory, attestation_type_to_string((AttestationType) i));
                (void) unlink(path);
        }
        (void) snprintf(path, sizeof(path), "%s/policies", directory);
        (void) rmdir(path);
        return rmdir(directory);
}

static Err *open_policy(const char *text, StoredPolicy *ret) {
        _cleanup_policy_jws_ PolicyJws jws = {};
        TRY(policy_jws_open(span_from_string(text), &jws));
        return stored_policy_from_jws(&jws, ret);
}

static char *unsigned_jws(const char *header, const char *payload) {
        _cleanup_free_ char *first = NULL, *second = NULL;
        char *jws;
        assert_ok(base64url_encode(span_from_string(header), &first));
        assert_ok(base64url_encode(span_from_string(payload), &second));
        assert_ok(string_format(&jws, "%s.%s.", first, second));
        return jws;
}

/* Hashes that the service gave for policies that it stored. */
static void test_stored_policy_recorded_policies_have_the_service_s_hashes(void **state) {
        vectors_need();
        _cleanup_json_ Json *list = vector_read_json("maa/policy/policy-hash-vectors.json");
        size_t n_hashes = 0;
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                Json *item = json_object_array_get_idx(list, i);
                const char *jws, *text, *hash, *token_hash;
                assert_ok(json_get_string_optional(item, "jws", &jws));
                assert_ok(json_get_string_optional(item, "policy_text", &text));
                assert_ok(json_get_string_optional(item, "x-ms-policy-hash (attestation tokens)", &hash));
                assert_ok(json_get_string_optional(item, "x-ms-policy-token-hash (policy result tokens)", &token_hash));
                _cleanup_stored_policy_ StoredPolicy policy = {};
                if (!text)
                        continue;
                assert_ok(jws ? open_policy(jws, &policy) : stored_policy_from_text(span_from_string(text), &policy));
                assert_string_equal(policy.text, text);
                assert_string_equal(policy.hash, hash);
                assert_non_null(policy.policy);
                assert_null(policy.signer);
                n_hashes++;
                if (!token_hash)
                        continue;
                _cleanup_free_ char *digest = NULL;
                assert_ok(policy_hash(policy.jws, &digest));
                assert_string_equal(digest, token_hash);
        }
        assert_int_equal(n_hashes, 4);
}

static void test_policy_store_defaults_are_the_recorded_ones(void **state) {
        static const char *const recorded[_ATTESTATION_TYPE_MAX] = { "AAD_Tpm", "AAD_SgxEnclave", "AAD_OpenEnclave" };
        _cleanup_(policy_store_freep) PolicyStore *store = NULL;
        vectors_need();
        assert_ok(policy_store_load(NULL, &store));
        for (unsigned i = 0; i < _ATTESTATION_TYPE_MAX; i++) {
                _cleanup_free_ char *name = NULL;
                const char *jws;
                assert_ok(string_format(&name, "maa/exchanges/Policy.GetPolicy_%s/01-GET-policies_%s-200.response.jwt", recorded[i],
                                        attestation_type_to_string((AttestationType) i)));
                _cleanup_bytes_ Bytes token = vector_read(name);
                _cleanup_(jws_freep) Jws *parsed = NULL;
                _cleanup_json_ Json *claims = NULL;
                assert_ok(jws_parse(bytes_span(&token), &parsed));
                assert_ok(json_parse(bytes_span(&parsed->payload), "claims", &claims));
                assert_ok(json_get_string(claims, "x-ms-policy", &jws));
                assert_string_equal(policy_store_get(store, (AttestationType) i)->jws, jws);
        }
        assert_null(policy_store_get(store, ATTESTATION_TYPE_TPM)->text);
        assert_null(policy_store_get(store, ATTESTATION_TYPE_TPM)->hash);
}

static void test_policy_store_put_survives_a_restart_and_reset_brings_the_default_back(void **state) {
        static const char text[] = "version=1.0; authorizationrules{=> permit();}; issuancerules{};";
        _cleanup_free_ char *jws = NULL;
        for (unsigned round = 0; round < 2; round++) {
                _cleanup_(policy_store_freep) PolicyStore *store = NULL;
                StoredPolicy policy = {};
                assert_ok(policy_store_load(directory, &store));
                if (round == 0) {
                        assert_null(policy_store_get(store, ATTESTATION_TYPE_TPM)->text);
                        assert_ok(stored_policy_from_text(span_from_string(text), &policy));
                        assert_ok(string_copy(policy.jws, &jws));
                        assert_ok(policy_store_put(store, ATTESTATION_TYPE_TPM, &policy));
                        assert_null(policy.jws);
                }
                assert_string_equal(policy_store_get(store, ATTESTATION_TYPE_TPM)->text, text);
                assert_string_equal(policy_store_get(store, ATTESTATION_TYPE_TPM)->jws, jws);
                assert_non_null(strstr(policy_store_get(store, ATTESTATION_TYPE_SGX_ENCLAVE)->text, "azuredefault"));
                if (round == 1) {
                        assert_ok(policy_store_reset(store, ATTESTATION_TYPE_TPM));
                        assert_ok(policy_store_reset(store, ATTESTATION_TYPE_TPM));
                        assert_null(policy_store_get(store, ATTESTATION_TYPE_TPM)->text);
                }
        }
        _cleanup_(policy_store_freep) PolicyStore *store = NULL;
        assert_ok(policy_store_load(directory, &store));
        assert_string_equal(policy_store_get(store, ATTESTATION_TYPE_TPM)->jws, "eyJhbGciOiJub25lIn0..");
}

static void test_policy_store_put_that_cannot_be_written_leaves_the_former(void **state) {
        _cleanup_(policy_store_freep) PolicyStore *store = NULL;
        StoredPolicy policy = {};
        char path[128];
        assert_ok(policy_store_load(directory, &store));
        assert_ok(stored_policy_from_text(span_from_string("version=1.0; authorizationrules{};"), &policy));
        (void) snprintf(path, sizeof(path), "%s/policies", directory);
        assert_int_equal(rmdir(path), 0);
        assert_err(policy_store_put(store, ATTESTATION_TYPE_TPM, &policy), ERR_IO);
        assert_null(policy_store_get(store, ATTESTATION_TYPE_TPM)->text);
}

static void test_policy_store_file_that_is_spoilt_is_told(void **state) {
        _cleanup_(policy_store_freep) PolicyStore *store = NULL;
        char path[128];
        assert_ok(policy_store_load(directory, &store));
        (void) snprintf(path, sizeof(path), "%s/policies/Tpm.jws", directory);
        assert_ok(file_write_atomic(path, span_from_string("eyJhbGciOiJub25lIn0.e30"), 0600));
        store = policy_store_free(store);
        Err *error = policy_store_load(directory, &store);
        assert_int_equal(err_code(error), ERR_TOKEN_TRUNCATED);
        assert_non_null(strstr(err_describe(error), path));
        err_free(error);
}

static void test_policy_jws_what_is_wrong_is_refused(void **state) {
        static const struct {
                const char *header, *payload;
                ErrCode code;
        } table[] = {
                { "{\"alg\":\"none\"}", "{}", ERR_TOKEN_CLAIM_REQUIRED },
                { "{\"alg\":\"none\"}", "{\"AttestationPolicy\":7}", ERR_TOKEN_CLAIM_INVALID },
                { "{\"alg\":\"none\"}", "{\"AttestationPolicy\":\"*\"}", ERR_TOKEN_CLAIM_INVALID },
                { "{\"alg\":\"none\"}", "{\"AttestationPolicy\":\"YQ\"}", ERR_POLICY_INVALID },
                { "{\"alg\":\"none\"}", "{\"AttestationPolicy\":\"\"}", ERR_POLICY_INVALID },
                { "{\"alg\":\"none\"}", "[]", ERR_TOKEN_MALFORMED },
                { "{\"alg\":\"none\"}", "{\"a\":1,\"a\":1}", ERR_TOKEN_DUPLICATE_MEMBER },
                { "{\"alg\":\"none\",\"crit\":[\"b64\"]}", "{}", ERR_TOKEN_CRIT_UNKNOWN },
                { "{\"alg\":\"RS256\"}", "{}", ERR_KEY_INVALID },
                { "{\"alg\":\"RS256\",\"x5c\":[\"MAA=\"]}", "{}", ERR_KEY_INVALID },
                { "{\"alg\":\"HS256\"}", "{}", ERR_TOKEN_ALG_SYMMETRIC },
                { "{\"alg\":\"RSA256\"}", "{}", ERR_TOKEN_ALG_NOT_ALLOWED },
                { "{}", "{}", ERR_TOKEN_ALG_NOT_ALLOWED },
        };
        for (size_t i = 0; i < N_ELEMENTS(table); i++) {
                _cleanup_free_ char *jws = unsigned_jws(table[i].header, table[i].payload);
                _cleanup_stored_policy_ StoredPolicy policy = {};
                assert_err(open_policy(jws, &policy), table[i].code);
        }
        _cleanup_policy_jws_ PolicyJws jws = {};
        assert_err(policy_jws_open(span_from_string("eyJhbGciOiJub25lIn0..YQ"), &jws), ERR_TOKEN_MALFORMED);
        assert_err(policy_jws_open(span_from_string("no JWS"), &jws), ERR_TOKEN_PARTS);
        assert_err(policy_jws_open(span_from_string("\"eyJhbGciOiJub25lIn0.."), &jws), ERR_TOKEN_MALFORMED);
        assert_err(policy_jws_open((Span) {}, &jws), ERR_TOKEN_PARTS);
}

static void test_policy_jws_recorded_signed_requests_are_good_and_one_byte_more_is_not(void **state) {
        static const char name[] = "maa/exchanges/Policy.ModifyGeneratedKey_AAD_Tpm/01-PUT-policies_Tpm-200.request.jwt";
        vectors_need();
        _cleanup_bytes_ Bytes text = vector_read(name);
        _cleanup_policy_jws_ PolicyJws jws = {};
        _cleanup_stored_policy_ StoredPolicy policy = {};
        assert_ok(policy_jws_open(bytes_span(&text), &jws));
        assert_ok(stored_policy_from_jws(&jws, &policy));
        assert_string_equal(policy.text, "version=1.0; authorizationrules{=> permit();}; issuancerules{};");
        assert_string_equal(policy.hash, "z0FRjKS0ssQTNur1V6BV8WIrh9M3fzgTo0EfHRvapWU");
        const char *alg, *kty, *use;
        assert_ok(json_get_string(policy.signer, "alg", &alg));
        assert_ok(json_get_string(policy.signer, "kty", &kty));
        assert_ok(json_get_string(policy.signer, "use", &use));
        assert_string_equal(alg, "RS256");
        assert_string_equal(kty, "RSA");
        assert_string_equal(use, "sig");
        /* the payload's last character: no other one gives the same byte */
        uint8_t *dot = memrchr(text.data, '.', text.size);
        dot[-2] = dot[-2] == 'A' ? 'B' : 'A';
        PolicyJws spoilt = {};
        assert_err(policy_jws_open(bytes_span(&text), &spoilt), ERR_TOKEN_SIGNATURE_INVALID);
}

static void test_policy_jws_certificate_is_found_under_each_documented_name(void **state) {
        static const char *const files[] = {
                "maa/exchanges/CertificateTests.AddPolicyManagementCertificate/01-POST-certificates-add-200.request.jwt",
                "maa/policy/docs-policy-signer-add.jws",
        };
        vectors_need();
        for (size_t i = 0; i < N_ELEMENTS(files); i++) {
                _cleanup_bytes_ Bytes text = vector_read(files[i]);
                _cleanup_policy_jws_ PolicyJws jws = {};
                _cleanup_(x509_freep) X509 *certificate = NULL;
                assert_ok(policy_jws_open(bytes_span(&text), &jws));
                assert_ok(policy_jws_get_certificate(&jws, &certificate));
                /* the third name, on the same payload */
                Json *jwk = json_get(jws.payload, i == 0 ? "policyCertificate" : "maa-policyCertificate");
                _cleanup_json_ Json *payload = NULL;
                assert_ok(json_new_object(&payload));
                assert_ok(json_add(payload, "x-ms-policyCertificate", json_ref(jwk)));
                PolicyJws third = { .payload = payload };
                _cleanup_(x509_freep) X509 *again = NULL;
                assert_ok(policy_jws_get_certificate(&third, &again));
                assert_int_equal(X509_cmp(certificate, again), 0);
                json_object_object_del(payload, "x-ms-policyCertificate");
                assert_err(policy_jws_get_certificate(&third, &again), ERR_TOKEN_CLAIM_REQUIRED);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_stored_policy_recorded_policies_have_the_service_s_hashes),
                cmocka_unit_test(test_policy_store_defaults_are_the_recorded_ones),
                cmocka_unit_test_setup_teardown(test_policy_store_put_survives_a_restart_and_reset_brings_the_default_back, make_directory, remove_directory),
                cmocka_unit_test_setup_teardown(test_policy_store_put_that_cannot_be_written_leaves_the_former, make_directory, remove_directory),
                cmocka_unit_test_setup_teardown(test_policy_store_file_that_is_spoilt_is_told, make_directory, remove_directory),
                cmocka_unit_test(test_policy_jws_what_is_wrong_is_refused),
                cmocka_unit_test(test_policy_jws_recorded_signed_requests_are_good_and_one_byte_more_is_not),
                cmocka_unit_test(test_policy_jws_certificate_is_found_under_each_documented_name),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
