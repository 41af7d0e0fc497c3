/* Tokens of the real service. What each must conclude is read from vectors/maa/README.md (issuer, times, signed or not), where it was checked
 * with another implementation. */
#include "tests/support/vectors.h"

#include <time.h>

#include "maa/token.h"

static JwkSet *read_set(const char *name) {
        _cleanup_bytes_ Bytes text = vector_read(name);
        JwkSet *set;
        assert_ok(jwk_set_parse(bytes_span(&text), name, &set));
        return set;
}

/* One line of README.md: | `exchanges/…response.jwt` | … | … | RS256 signature VERIFIED …; iss URL iat N nbf N exp N (…) | */
typedef struct Fact {
        char path[256], issuer[256];
        bool is_signed;
        uint64_t issued, expires;
} Fact;

static bool parse_fact(const char *line, const char *suffix, Fact *ret) {
        char *end;
        const char *issuer = strstr(line, "; iss "), *iat = strstr(line, " iat "), *exp = strstr(line, " exp ");
        *ret = (Fact) {};
        if (sscanf(line, "| `%255[^`]` |", ret->path) != 1 || !strstr(ret->path, suffix))
                return false;
        assert_non_null(issuer);
        assert_non_null(iat);
        assert_non_null(exp);
        assert_int_equal(sscanf(issuer, "; iss %255s", ret->issuer), 1);
        ret->issued = strtoull(iat + 5, &end, 10);
        assert_int_equal(*end, ' ');
        ret->expires = strtoull(exp + 5, &end, 10);
        assert_int_equal(*end, ' ');
        ret->is_signed = strstr(line, "VERIFIED") != NULL;
        assert_int_not_equal(ret->is_signed, strstr(line, "unsigned (alg none") != NULL);
        return true;
}

static Err *validate(const Fact *fact, const TokenRules *rules) {
        _cleanup_free_ char *name = NULL;
        _cleanup_(token_freep) Token *token = NULL;
        assert_ok(string_format(&name, "maa/%s", fact->path));
        _cleanup_bytes_ Bytes text = vector_read(name);
        return token_validate(bytes_span(&text), rules, &token, NULL);
}

static void judge_fact(const Fact *fact) {
        const char *set_name = vector_key_set_of(fact->issuer);
        assert_non_null(set_name);
        _cleanup_(jwk_set_freep) JwkSet *set = read_set(set_name);
        TokenRules rules = { .keys = set, .issuer = fact->issuer, .now_sec = fact->issued + 10, .clock_skew_sec = TOKEN_CLOCK_SKEW_SEC };
        if (!fact->is_signed) {
                assert_err(validate(fact, &rules), ERR_TOKEN_ALG_NONE);
                return;
        }
        assert_ok(validate(fact, &rules));
        rules.now_sec = (uint64_t) time(NULL);
        assert_err(validate(fact, &rules), ERR_TOKEN_EXPIRED);
        rules.now_sec = fact->expires + TOKEN_CLOCK_SKEW_SEC - 1;
        assert_ok(validate(fact, &rules));
        rules.now_sec = fact->issued - TOKEN_CLOCK_SKEW_SEC - 1;
        assert_err(validate(fact, &rules), ERR_TOKEN_NOT_YET_VALID);
        rules.now_sec = fact->issued + 10;
        rules.issuer = "https://cplarryoattestationaad.wus.attest.azure.net";
        assert_err(validate(fact, &rules), ERR_TOKEN_ISSUER_MISMATCH);
        rules.issuer = fact->issuer;
        rules.algorithms = JOSE_ALG_BIT(JOSE_ALG_PS256);
        assert_err(validate(fact, &rules), ERR_TOKEN_ALG_NOT_ALLOWED);
        _cleanup_(jwk_set_freep) JwkSet *foreign = read_set("maa/jwks/thirdparty-sharedcae.json");
        rules.algorithms = 0;
        rules.keys = foreign;
        assert_err(validate(fact, &rules), ERR_TOKEN_KEY_UNKNOWN);
}

static void test_token_validate_recorded_answers_are_judged_as_their_index_says(void **state) {
        vectors_need();
        _cleanup_bytes_ Bytes readme = vector_read("maa/README.md");
        char *save = NULL;
        size_t n = 0;
        for (char *line = strtok_r((char *) readme.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                Fact fact;
                if (!parse_fact(line, ".response.jwt", &fact))
                        continue;
                print_message("%s\n", fact.path);
                judge_fact(&fact);
                n++;
        }
        assert_int_equal(n, 49);
}

static void test_token_validate_tpm_token_needs_its_chain(void **state) {
        vectors_need();
        _cleanup_bytes_ Bytes pem = vector_read("maa/tpm/report_boot.x5c.pem"), text = vector_read("maa/tpm/report_boot-attestation.jwt");
        _cleanup_(token_trust_anchors_freep) STACK_OF(X509) *chain = NULL;
        assert_ok(token_trust_anchors_parse(bytes_span(&pem), "x5c.pem", &chain));
        assert_int_equal(sk_X509_num(chain), 3);
        STACK_OF(X509) *root = sk_X509_new_null(), *unrelated = sk_X509_new_null();
        sk_X509_push(root, sk_X509_value(chain, 2));

        static NamedValue required[] = { { (char *) "AIKPresent", (char *) "true" }, { (char *) "ver", (char *) "1.0" } };
        TokenRules rules = { .trust_anchors = root, .issuer = "https://prakharnoauthtest.eus.attest.azure.net", .now_sec = 1738083036 + 10,
                             .required_claims = required, .n_required_claims = 2 };
        Token *token = NULL;
        assert_ok(token_validate(bytes_span(&text), &rules, &token, NULL));
        assert_int_equal(token->issued_sec, 1738083036);
        assert_int_equal(token->not_before_sec, 1738082736);
        assert_int_equal(token->expires_sec, 1738428636);
        token = token_free(token);

        required[0].value = (char *) "false";
        assert_err(token_validate(bytes_span(&text), &rules, &token, NULL), ERR_TOKEN_CLAIM_REQUIRED);
        rules.n_required_claims = 0;
        rules.now_sec = (uint64_t) time(NULL); /* the leaf ended in 2025, and the chain is judged before exp */
        assert_err(token_validate(bytes_span(&text), &rules, &token, NULL), ERR_TOKEN_CHAIN_INVALID);
        rules.now_sec = 1738428636 + 60;
        assert_err(token_validate(bytes_span(&text), &rules, &token, NULL), ERR_TOKEN_EXPIRED);
        rules.now_sec = 1738083036 + 10;
        rules.trust_anchors = unrelated;
        assert_err(token_validate(bytes_span(&text), &rules, &token, NULL), ERR_TOKEN_CHAIN_INVALID);
        sk_X509_push(unrelated, sk_X509_value(chain, 1)); /* an intermediate as the anchor */
        assert_ok(token_validate(bytes_span(&text), &rules, &token, NULL));
        token = token_free(token);
        sk_X509_free(root);
        sk_X509_free(unrelated);
}

/* The claims as somebody else decoded them stand beside the token. */
static void test_token_to_json_tpm_token_is_what_others_decoded(void **state) {
        vectors_need();
        _cleanup_bytes_ Bytes text = vector_read("maa/tpm/report_boot-attestation.jwt");
        _cleanup_json_ Json *claims = vector_read_json("maa/tpm/report_boot-attestation.claims.json"), *header = vector_read_json("maa/tpm/report_boot-attestation.header.json");
        _cleanup_json_ Json *shown = NULL;
        _cleanup_(token_freep) Token *token = NULL;
        assert_ok(token_parse(bytes_span(&text), &token));
        assert_ok(token_to_json(token, &shown));
        assert_true(json_object_equal(json_get(shown, "header"), header));
        assert_true(json_object_equal(json_get(shown, "claims"), claims));
}

static void test_token_validate_azureguest_tokens_are_judged(void **state) {
        vectors_need();
        _cleanup_(jwk_set_freep) JwkSet *weu = read_set("maa/jwks/thirdparty-sharedweu.json"), *eus2 = read_set("maa/jwks/thirdparty-sharedeus2.json");
        const struct { const char *path; const JwkSet *keys; const char *issuer; uint64_t now; ErrCode code; } cases[] = {
                { "azureguest/azureguest-sharedweu-2023.jwt", weu, "https://sharedweu.weu.attest.azure.net", 1680173374 + 10, ERR_NONE },
                { "azureguest/azureguest-sharedweu-2023.jwt", weu, "https://sharedweu.weu.attest.azure.net", 1680202174 + 120, ERR_TOKEN_EXPIRED },
                { "azureguest/azureguest-sharedweu-2023.jwt", weu, "https://sharedeus2.eus2.attest.azure.net", 1680173374 + 10, ERR_TOKEN_ISSUER_MISMATCH },
                { "azureguest/azureguest-sharedweu-2023.jwt", eus2, "https://sharedweu.weu.attest.azure.net", 1680173374 + 10, ERR_TOKEN_KEY_UNKNOWN },
                { "azureguest/azureguest-sharedeus2-2022.jwt", eus2, "https://sharedeus2.eus2.attest.azure.net", 1649979780 + 10, ERR_TOKEN_KEY_UNKNOWN },
                { "azureguest/truncated-invalid.jwt", eus2, "https://sharedeus2.eus2.attest.azure.net", 1649979780 + 10, ERR_TOKEN_TRUNCATED },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                Fact fact = {};
                snprintf(fact.path, sizeof(fact.path), "%s", cases[i].path);
                TokenRules rules = { .keys = cases[i].keys, .issuer = cases[i].issuer, .now_sec = cases[i].now, .clock_skew_sec = TOKEN_CLOCK_SKEW_SEC };
                assert_err(validate(&fact, &rules), cases[i].code);
        }
}

/* {"keys":[{"kty":"RSA","x5c":…}]} of what the JWS itself brings along; an empty set if it brings nothing. */
static JwkSet *own_key_set(Span text) {
        _cleanup_(jws_freep) Jws *jws = NULL;
        _cleanup_free_ char *set_text = NULL;
        JwkSet *set;
        assert_ok(jws_parse(text, &jws));
        Json *x5c = json_get(jws->header, "x5c");
        assert_ok(string_format(&set_text, x5c ? "{\"keys\":[{\"kty\":\"RSA\",\"x5c\":%s}]}" : "{\"keys\":[]}", x5c ? json_object_to_json_string(x5c) : ""));
        assert_ok(jwk_set_parse(span_from_string(set_text), "set", &set));
        return set;
}

/* Policy documents and a key release token: JWS that are no attestation tokens. */
static void test_token_validate_signature_only_judges_any_jws(void **state) {
        vectors_need();
        static const struct { const char *path; ErrCode code; } cases[] = {
                { "maa/other/openvmm-skr-valid.jwt", ERR_NONE },
                { "maa/policy/docs-policy-signer-add.jws", ERR_NONE },
                { "maa/policy/docs-policy-example-0.jws", ERR_TOKEN_ALG_NONE },
                { "maa/policy/docs-policy-example-1.jws", ERR_TOKEN_ALG_NOT_ALLOWED },
                { "maa/exchanges/CertificateTests.AddPolicyManagementCertificate/01-POST-certificates-add-200.request.jwt", ERR_NONE },
                { "maa/exchanges/Policy.ModifyGeneratedKey_AAD_Tpm/01-PUT-policies_Tpm-200.request.jwt", ERR_NONE },
                { "maa/exchanges/Policy.ModifyGeneratedKey_AAD_Tpm/04-POST-policies_Tpm-reset-200.request.jwt", ERR_NONE },
                { "maa/exchanges/Policy.ModifyUnsecured_AAD_Tpm/01-PUT-policies_Tpm-200.request.jwt", ERR_TOKEN_ALG_NONE },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_bytes_ Bytes text = vector_read(cases[i].path);
                _cleanup_(jwk_set_freep) JwkSet *set = own_key_set(bytes_span(&text));
                _cleanup_(token_freep) Token *token = NULL;
                TokenRules rules = { .keys = set, .signature_only = true };
                print_message("%s\n", cases[i].path);
                assert_err(token_validate(bytes_span(&text), &rules, &token, NULL), cases[i].code);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_token_validate_recorded_answers_are_judged_as_their_index_says),
                cmocka_unit_test(test_token_validate_tpm_token_needs_its_chain),
                cmocka_unit_test(test_token_to_json_tpm_token_is_what_others_decoded),
                cmocka_unit_test(test_token_validate_azureguest_tokens_are_judged),
                cmocka_unit_test(test_token_validate_signature_only_judges_any_jws),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
