/* What the administration is made of: tokens in the form of the recorded ones, and the list of policy signers. */
#include "tests/support/vectors.h"

#include "instance/instance-token.h"
#include "instance/policy-jws.h"
#include "instance/policy-signers.h"
#include "jose/jws.h"
#include "jose/x509.h"

static void test_json_sort_sorts_every_object_and_no_array(void **state) {
        static const char text[] = "{\"b\":{\"z\":null,\"a\":[{\"y\":1,\"x\":2.50},3,1]},\"B\":true,\"a-b\":\"s\",\"a\":{}}";
        _cleanup_json_ Json *json = NULL, *sorted = NULL;
        _cleanup_free_ char *got = NULL;
        assert_ok(json_parse(span_from_string(text), "text", &json));
        assert_ok(json_sort(json, &sorted));
        assert_ok(json_to_string(sorted, &got));
        assert_string_equal(got, "{\"B\":true,\"a\":{},\"a-b\":\"s\",\"b\":{\"a\":[{\"x\":2.50,\"y\":1},3,1],\"z\":null}}");
}

/* A draft token of the service: {"alg":"none","jku":…,"kid":…,"typ":"JWT"}, and no signature. */
static void test_instance_token_sign_unsigned_has_the_form_of_a_recorded_one(void **state) {
        _cleanup_json_ Json *claims = NULL, *header = NULL;
        _cleanup_free_ char *token = NULL;
        Identity identity = { .url = (char *) "https://127.0.0.1:1", .instance_kid = (char *) "k/i=d" };
        assert_ok(json_new_object(&claims));
        assert_ok(json_add_string(claims, "aas-ehd", "x"));
        assert_ok(instance_token_header(&identity, /* is_signed= */ false, &header));
        assert_ok(instance_token_add_times(&identity, claims, 1000, 28800));
        assert_ok(instance_token_sign(header, claims, NULL, &token));
        _cleanup_(jws_freep) Jws *jws = NULL;
        assert_ok(jws_parse(span_from_string(token), &jws));
        assert_string_equal((const char *) jws->header_text.data, "{\"alg\":\"none\",\"jku\":\"https://127.0.0.1:1/certs\",\"kid\":\"k/i=d\",\"typ\":\"JWT\"}");
        assert_string_equal((const char *) jws->payload.data, "{\"aas-ehd\":\"x\",\"exp\":29800,\"iat\":1000,\"iss\":\"https://127.0.0.1:1\",\"nbf\":1000}");
        assert_int_equal(jws->signature.size, 0);
}

static STACK_OF(X509) *make_signers(unsigned n) {
        STACK_OF(X509) *signers = sk_X509_new_null();
        _cleanup_(pkey_freep) EVP_PKEY *key = NULL;
        assert_ok(ca_key_generate(CA_KEY_BITS, &key));
        for (unsigned i = 0; i < n; i++) {
                CaCertificate wanted = { .common_name = "signer", .is_ca = true, .serial = i + 1, .not_before = 0, .not_after = 1000000 };
                X509 *certificate = NULL;
                assert_ok(ca_certificate_issue(&wanted, key, &certificate));
                assert_true(sk_X509_push(signers, certificate) > 0);
        }
        return signers;
}

static void test_policy_signers_have_a_limit_and_never_lose_the_last(void **state) {
        _cleanup_(x509_stack_freep) STACK_OF(X509) *certificates = make_signers(POLICY_SIGNERS_MAX + 1);
        _cleanup_(policy_signers_freep) PolicySigners *signers = NULL;
        assert_ok(policy_signers_load(NULL, NULL, &signers));
        assert_int_equal(policy_signers_count(signers), 0);
        for (int i = 0; i < POLICY_SIGNERS_MAX; i++)
                assert_ok(policy_signers_add(signers, sk_X509_value(certificates, i)));
        assert_err(policy_signers_add(signers, sk_X509_value(certificates, POLICY_SIGNERS_MAX)), ERR_LIMIT_EXCEEDED);
        assert_ok(policy_signers_add(signers, sk_X509_value(certificates, 3)));
        assert_int_equal(policy_signers_count(signers), POLICY_SIGNERS_MAX);
        assert_ok(policy_signers_remove(signers, sk_X509_value(certificates, POLICY_SIGNERS_MAX)));
        for (int i = POLICY_SIGNERS_MAX - 1; i > 0; i--) {
                assert_ok(policy_signers_remove(signers, sk_X509_value(certificates, i)));
                assert_false(policy_signers_have(signers, sk_X509_value(certificates, i)));
        }
        assert_err(policy_signers_remove(signers, sk_X509_value(certificates, 0)), ERR_CONFIG_INVALID);
        assert_true(policy_signers_have(signers, sk_X509_value(certificates, 0)));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_json_sort_sorts_every_object_and_no_array),
                cmocka_unit_test(test_instance_token_sign_unsigned_has_the_form_of_a_recorded_one),
                cmocka_unit_test(test_policy_signers_have_a_limit_and_never_lose_the_last),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
