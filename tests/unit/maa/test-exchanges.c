/* Every recorded exchange with the real service, played from the client's side: our request is compared with the recorded one (what our own key signs is verified
 * instead), the recorded answer is parsed, and what it says is compared with the plain JSON. docs/exchanges.md lists the differences that are wanted. */
#include "tests/support/vectors.h"

#include "jose/pem.h"
#include "maa/enclave.h"
#include "maa/metadata.h"
#include "maa/policy-certs.h"
#include "maa/token.h"

#define BASE "https://h"
#define N_EXCHANGES 55
#define N_FOLDERS 32

static EVP_PKEY *own_key;
static STACK_OF(X509) *own_certificates;

typedef struct Exchange {
        Json *whole, *request, *answer;   /* the latter two borrowed: request, and body of the response */
        const char *method, *target;
        int status;
        char folder[128];
} Exchange;

/* What an exchange leaves for the next ones of its folder. */
static char policy_that_was_set[8192], policy_text_that_was_set[4096], policy_folder[128];

static X509 *make_certificate(EVP_PKEY *key) {
        X509 *certificate = X509_new();
        X509_NAME *name = X509_get_subject_name(certificate);
        assert_int_equal(X509_set_version(certificate, 2), 1);
        assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(certificate), 7), 1);
        assert_non_null(X509_gmtime_adj(X509_getm_notBefore(certificate), 0));
        assert_non_null(X509_gmtime_adj(X509_getm_notAfter(certificate), 3600));
        assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *) "signer", -1, -1, 0), 1);
        assert_int_equal(X509_set_issuer_name(certificate, name), 1);
        assert_int_equal(X509_set_pubkey(certificate, key), 1);
        assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
        return certificate;
}

static int set_up(void **state) {
        own_key = EVP_RSA_gen(2048);
        own_certificates = sk_X509_new_null();
        return own_key && sk_X509_push(own_certificates, make_certificate(own_key)) == 1 ? 0 : -1;
}

static int tear_down(void **state) {
        x509_stack_free(own_certificates);
        pkey_free(own_key);
        return 0;
}

static const char *text_of(const Json *object, const char *member) {
        return json_object_get_string(json_get(object, member));
}

static void compare_request(const HttpRequest *ours, const Exchange *exchange) {
        _cleanup_bytes_ Bytes body = {};
        _cleanup_free_ char *url = NULL;
        Json *recorded = json_get(exchange->request, "body");
        assert_ok(string_format(&url, "%s%s", BASE, exchange->target));
        assert_string_equal(ours->method, exchange->method);
        assert_string_equal(ours->url, url);
        assert_int_equal(ours->body == NULL, recorded == NULL);
        if (!recorded)
                return;
        assert_ok(source_read_all(ours->body, VECTOR_SIZE_MAX, &body));
        if (json_is_string(recorded)) {
                assert_true(span_equal_string(bytes_span(&body), json_object_get_string(recorded)));
                return;
        }
        _cleanup_json_ Json *sent = json_tokener_parse((const char *) body.data);
        assert_non_null(sent);
        assert_true(json_object_equal(sent, recorded));
}

/* The token of the answer, judged by the instance's recorded keys at the time of its making. A draft's is unsigned, and refused for it. */
static Token *judge_answer(const Exchange *exchange, bool is_draft) {
        _cleanup_free_ char *text = NULL;
        _cleanup_(jwk_set_freep) JwkSet *keys = NULL;
        Token *token = NULL, *plain;
        assert_ok(maa_token_answer_parse(span_from_string(json_object_to_json_string(exchange->answer)), &text));
        assert_string_equal(text, text_of(exchange->answer, "token"));
        assert_ok(token_parse(span_from_string(text), &plain));
        const char *issuer = text_of(plain->claims, "iss"), *set = vector_key_set_of(issuer);
        assert_non_null(set);
        _cleanup_bytes_ Bytes set_text = vector_read(set);
        assert_ok(jwk_set_parse(bytes_span(&set_text), set, &keys));
        const TokenRules rules = { .keys = keys, .issuer = issuer, .now_sec = plain->issued_sec };
        if (is_draft) {
                assert_err(token_validate(span_from_string(text), &rules, &token, NULL), ERR_TOKEN_ALG_NONE);
                return plain;
        }
        assert_ok(token_validate(span_from_string(text), &rules, &token, NULL));
        token_free(plain);
        return token;
}

static void judge_refusal(const Exchange *exchange) {
        _cleanup_http_response_ HttpResponse response = { .status = exchange->status };
        assert_ok(string_copy("application/json; charset=utf-8", &response.content_type));
        assert_ok(bytes_copy(span_from_string(json_object_to_json_string(exchange->answer)), &response.body));
        assert_err(http_response_check_json(&response, 0), ERR_SERVICE_POLICY_DENIED);
}

static void play_metadata(const Exchange *exchange) {
        _cleanup_http_request_ HttpRequest request = {};
        _cleanup_openid_metadata_ OpenIdMetadata metadata = {};
        assert_ok(maa_openid_request(BASE, &request));
        compare_request(&request, exchange);
        assert_ok(maa_openid_parse(span_from_string(json_object_to_json_string(exchange->answer)), &metadata));
        assert_string_equal(metadata.issuer, text_of(exchange->answer, "issuer"));
        assert_string_equal(metadata.jwks_uri, text_of(exchange->answer, "jwks_uri"));
}

static Bytes decode(const Json *object, const char *member) {
        Bytes bytes = {};
        assert_ok(base64url_decode(span_from_string(text_of(object, member)), member, &bytes));
        return bytes;
}

static void check_enclave(const Exchange *exchange, const Json *claims, const Json *runtime) {
        MaaEnclaveClaims enclave;
        assert_ok(maa_enclave_claims(claims, &enclave));
        assert_string_equal(enclave.attestation_type, "sgx");
        assert_string_equal(enclave.mrenclave, text_of(claims, "x-ms-sgx-mrenclave"));
        assert_string_equal(enclave.mrsigner, text_of(claims, "x-ms-sgx-mrsigner"));
        assert_int_equal(strlen(enclave.mrenclave), 64);
        assert_true(enclave.has_debuggable && enclave.is_debuggable && enclave.has_product_id && enclave.product_id == 1 && enclave.has_svn && enclave.svn == 1);
        assert_string_equal(enclave.policy_hash, text_of(claims, "x-ms-policy-hash"));
        assert_non_null(enclave.collateral);
        assert_null(enclave.init_time);
        bool is_json = runtime && string_equal(text_of(runtime, "dataType"), "JSON");
        assert_int_equal(enclave.runtime != NULL, is_json);
        assert_int_equal(enclave.held_data != NULL, runtime && !is_json);
        if (enclave.held_data)
                assert_string_equal(enclave.held_data, text_of(runtime, "data"));
}

static void play_enclave(const Exchange *exchange) {
        bool is_sgx = strstr(exchange->target, "/attest/SgxEnclave") != NULL;
        _cleanup_http_request_ HttpRequest request = {};
        const Json *recorded = json_get(exchange->request, "body"), *runtime = json_get(recorded, "runtimeData");
        _cleanup_bytes_ Bytes evidence = decode(recorded, is_sgx ? "quote" : "report"), data = {};
        if (runtime)
                data = decode(runtime, "data");
        const MaaEnclaveRequest wanted = {
                .kind = is_sgx ? MAA_ENCLAVE_SGX : MAA_ENCLAVE_OPEN_ENCLAVE,
                .evidence = bytes_span(&evidence),
                .runtime = { bytes_span(&data), runtime && string_equal(text_of(runtime, "dataType"), "JSON"), runtime != NULL },
                .draft_policy = text_of(recorded, "draftPolicyForAttestation"),
        };
        assert_ok(maa_enclave_request(BASE, NULL, &wanted, &request));
        compare_request(&request, exchange);
        if (exchange->status != 200) {
                judge_refusal(exchange);
                return;
        }
        _cleanup_(token_freep) Token *token = judge_answer(exchange, wanted.draft_policy != NULL);
        check_enclave(exchange, token->claims, runtime);
}

static MaaPolicyType type_of(const char *target) {
        MaaPolicyType type;
        char name[32];
        assert_int_equal(sscanf(target, "/policies/%31[A-Za-z]", name), 1);
        assert_ok(maa_policy_type_from_string(name, &type));
        assert_string_equal(maa_policy_type_to_string(type), name);
        return type;
}

/* Text of the policy in a recorded policy token, by json-c; "" where the payload is empty. */
static void recorded_policy_text(const char *policy_token, char *text, size_t size) {
        const char *payload = strchr(policy_token, '.') + 1;
        size_t n = strcspn(payload, ".");
        _cleanup_bytes_ Bytes json_text = {}, policy = {};
        text[0] = 0;
        if (n == 0)
                return;
        assert_ok(base64url_decode(span_make(payload, n), "payload", &json_text));
        _cleanup_json_ Json *json = json_tokener_parse((const char *) json_text.data);
        policy = decode(json, "AttestationPolicy");
        assert_true(policy.size < size);
        snprintf(text, size, "%.*s", (int) policy.size, (const char *) policy.data);
}

/* Unsigned, our policy token is the recorded one to the letter; signed, it has its header's members and its payload, and verifies. */
static void compare_policy_token(const char *recorded, const char *text) {
        const MaaSigner signer = { own_key, own_certificates };
        _cleanup_free_ char *ours = NULL;
        _cleanup_(jws_freep) Jws *theirs_parsed = NULL, *ours_parsed = NULL;
        _cleanup_(jwk_freep) Jwk *key = NULL;
        assert_ok(jws_parse(span_from_string(recorded), &theirs_parsed));
        bool is_signed = theirs_parsed->alg != JOSE_ALG_NONE;
        assert_ok(maa_policy_token(text, is_signed ? &signer : NULL, &ours));
        if (!is_signed) {
                assert_string_equal(ours, recorded);
                return;
        }
        assert_ok(jws_parse(span_from_string(ours), &ours_parsed));
        assert_true(span_equal(bytes_span(&ours_parsed->payload), bytes_span(&theirs_parsed->payload)));
        assert_int_equal(json_object_object_length(ours_parsed->header), json_object_object_length(theirs_parsed->header));
        assert_string_equal(text_of(ours_parsed->header, "alg"), text_of(theirs_parsed->header, "alg"));
        assert_ok(jwk_from_x5c(json_get(ours_parsed->header, "x5c"), &key));
        assert_ok(jws_verify(ours_parsed, JOSE_ALG_BIT(JOSE_ALG_RS256), key));
}

static void play_policy_change(const Exchange *exchange) {
        bool is_reset = string_equal(exchange->method, "POST");
        const char *recorded = text_of(exchange->request, "body");
        _cleanup_http_request_ HttpRequest request = {};
        _cleanup_free_ char *signer = NULL, *other = NULL;
        char text[4096];
        MaaPolicyType type = type_of(exchange->target);
        recorded_policy_text(recorded, text, sizeof(text));
        assert_int_equal(text[0] == 0, is_reset);
        compare_policy_token(recorded, is_reset ? NULL : text);
        assert_ok(is_reset ? maa_policy_reset_request(BASE, NULL, type, recorded, &request) : maa_policy_set_request(BASE, NULL, type, recorded, &request));
        compare_request(&request, exchange);

        _cleanup_(token_freep) Token *token = judge_answer(exchange, false);
        MaaPolicyChange change = is_reset ? MAA_POLICY_REMOVED : MAA_POLICY_UPDATED;
        assert_ok(maa_policy_check_change(token->claims, change, recorded, &signer));
        assert_int_equal(signer != NULL, !is_reset && strstr(exchange->folder, "GeneratedKey") != NULL);
        assert_err(maa_policy_check_change(token->claims, is_reset ? MAA_POLICY_UPDATED : MAA_POLICY_REMOVED, recorded, &other), ERR_SERVICE_ANSWER_INVALID);
        if (!is_reset)
                assert_err(maa_policy_check_change(token->claims, change, "eyJhbGciOiJub25lIn0..", &other), ERR_SERVICE_ANSWER_INVALID);
        snprintf(policy_that_was_set, sizeof(policy_that_was_set), "%s", is_reset ? "" : recorded);
        snprintf(policy_text_that_was_set, sizeof(policy_text_that_was_set), "%s", text);
        snprintf(policy_folder, sizeof(policy_folder), "%s", exchange->folder);
}

static void play_policy_get(const Exchange *exchange) {
        _cleanup_http_request_ HttpRequest request = {};
        _cleanup_maa_policy_ MaaPolicy policy = {};
        MaaPolicyType type = type_of(exchange->target);
        assert_ok(maa_policy_get_request(BASE, NULL, type, &request));
        compare_request(&request, exchange);
        _cleanup_(token_freep) Token *token = judge_answer(exchange, false);
        assert_ok(maa_policy_from_claims(token->claims, &policy));
        assert_string_equal(policy.token, text_of(token->claims, "x-ms-policy"));
        if (string_equal(policy_folder, exchange->folder) && policy_that_was_set[0]) {
                assert_string_equal(policy.token, policy_that_was_set);
                assert_string_equal(policy.text, policy_text_that_was_set);
                bool is_signed = strstr(exchange->folder, "GeneratedKey") != NULL;
                assert_true(policy.is_signed == is_signed && policy.is_verified == is_signed && (policy.certificates != NULL) == is_signed);
                return;
        }
        assert_false(policy.is_signed);
        assert_null(policy.certificates);
        if (type == MAA_POLICY_TPM)
                assert_null(policy.text);
        else
                assert_memory_equal(policy.text, "version", 7);
}

static void play_certificates_get(const Exchange *exchange) {
        _cleanup_http_request_ HttpRequest request = {};
        _cleanup_(jwk_set_freep) JwkSet *set = NULL;
        assert_ok(maa_policy_certs_list_request(BASE, NULL, &request));
        compare_request(&request, exchange);
        _cleanup_(token_freep) Token *token = judge_answer(exchange, false);
        assert_ok(maa_policy_certs_from_claims(token->claims, &set));
        size_t n = json_object_array_length(json_get(json_get(token->claims, "x-ms-policy-certificates"), "keys"));
        assert_int_equal(set->n_keys, n);
        assert_int_equal(n > 0, strstr(exchange->folder, "Add") != NULL);
        for (size_t i = 0; i < n; i++)
                assert_non_null(set->keys[i]->x5c);
}

static void play_certificates_add(const Exchange *exchange) {
        const MaaSigner signer = { own_key, own_certificates };
        const char *body = text_of(exchange->request, "body");
        _cleanup_json_ Json *string = json_tokener_parse(body);
        const char *recorded = json_object_get_string(string);
        _cleanup_http_request_ HttpRequest request = {};
        _cleanup_(jws_freep) Jws *theirs = NULL, *ours = NULL;
        _cleanup_(jwk_freep) Jwk *certificate = NULL;
        _cleanup_free_ char *token_text = NULL, *thumbprint = NULL;
        assert_ok(jws_parse(span_from_string(recorded), &theirs));
        _cleanup_json_ Json *payload = json_tokener_parse((const char *) theirs->payload.data);
        assert_ok(jwk_from_json(json_get(payload, "policyCertificate"), &certificate));
        X509 *x509 = x509_stack_leaf(certificate->x5c);
        assert_ok(maa_policy_certs_token(x509, &signer, &token_text));
        assert_ok(jws_parse(span_from_string(token_text), &ours));
        _cleanup_json_ Json *our_payload = json_tokener_parse((const char *) ours->payload.data);
        assert_true(json_object_equal(our_payload, payload));
        assert_int_equal(json_object_object_length(ours->header), json_object_object_length(theirs->header));

        assert_ok(maa_policy_certs_change_request(BASE, NULL, MAA_CERTIFICATE_ADD, recorded, &request));
        compare_request(&request, exchange);
        _cleanup_(token_freep) Token *token = judge_answer(exchange, false);
        assert_ok(maa_policy_certs_check_change(token->claims, MAA_CERTIFICATE_ADD, x509));
        assert_err(maa_policy_certs_check_change(token->claims, MAA_CERTIFICATE_REMOVE, x509), ERR_SERVICE_ANSWER_INVALID);
        assert_err(maa_policy_certs_check_change(token->claims, MAA_CERTIFICATE_ADD, x509_stack_leaf(own_certificates)), ERR_SERVICE_ANSWER_INVALID);
        assert_ok(maa_certificate_thumbprint(x509, &thumbprint));
        assert_string_equal(thumbprint, "7B5DB611BD249175A8E1DCE708164125D57FB66C");   /* as recorded */
}

static void play(const Exchange *exchange) {
        static const struct {
                const char *method, *prefix;
                void (*play)(const Exchange *exchange);
        } kinds[] = {
                { "GET", "/.well-known/openid-configuration", play_metadata },
                { "POST", "/attest/SgxEnclave?", play_enclave },
                { "POST", "/attest/OpenEnclave?", play_enclave },
                { "GET", "/policies/", play_policy_get },
                { "PUT", "/policies/", play_policy_change },
                { "POST", "/policies/", play_policy_change },
                { "GET", "/certificates?", play_certificates_get },
                { "POST", "/certificates:add?", play_certificates_add },
        };
        for (size_t i = 0; i < N_ELEMENTS(kinds); i++)
                if (string_equal(exchange->method, kinds[i].method) && strncmp(exchange->target, kinds[i].prefix, strlen(kinds[i].prefix)) == 0) {
                        kinds[i].play(exchange);
                        return;
                }
        fail_msg("%s %s is played by nobody", exchange->method, exchange->target);
}

static bool ends_with(const char *text, const char *end) {
        size_t n = strlen(text), n_end = strlen(end);
        return n >= n_end && string_equal(text + n - n_end, end);
}

static void load_and_play(const char *name, char folder[128]) {
        Exchange exchange = {};
        print_message("%s\n", name);
        _cleanup_json_ Json *whole = vector_read_json(name);
        const Json *response = json_get(whole, "response");
        exchange.request = json_get(whole, "request");
        exchange.answer = json_get(response, "body");
        exchange.method = text_of(exchange.request, "method");
        exchange.target = text_of(exchange.request, "target");
        exchange.status = json_object_get_int(json_get(response, "status"));
        assert_int_equal(sscanf(name, "maa/exchanges/%127[^/]", exchange.folder), 1);
        play(&exchange);
        snprintf(folder, 128, "%s", exchange.folder);
}

/* Every JSON file of every folder, whatever it is called; those of error bodies are parts of an exchange beside them. */
static void test_recorded_exchanges(void **state) {
        _cleanup_glob_ glob_t files = {}, folders = {};
        char folder[128], last[128] = "";
        size_t n_played = 0, n_folders = 0;
        vectors_need();
        vectors_glob("maa/exchanges/*", N_FOLDERS, &folders);
        vectors_glob("maa/exchanges/*/*.json", N_EXCHANGES, &files);
        for (size_t i = 0; i < files.gl_pathc; i++) {
                const char *name = strstr(files.gl_pathv[i], "maa/exchanges/");
                if (ends_with(name, ".error.json"))
                        continue;
                load_and_play(name, folder);
                n_played++;
                n_folders += !string_equal(folder, last);
                snprintf(last, sizeof(last), "%s", folder);
        }
        assert_true(n_played >= N_EXCHANGES);
        assert_int_equal(n_folders, folders.gl_pathc);
}

static void test_maa_enclave_request_bad_input_is_refused(void **state) {
        HttpRequest request = {};
        MaaEnclaveRequest wanted = { .kind = MAA_ENCLAVE_SGX };
        assert_err(maa_enclave_request(BASE, NULL, &wanted, &request), ERR_INVALID_ARGUMENT);
        wanted.evidence = span_from_string("q");
        wanted.init_time = (MaaEnclaveData) { span_from_string("{\"a\":1,}"), true, true };
        assert_err(maa_enclave_request(BASE, NULL, &wanted, &request), ERR_INVALID_ARGUMENT);
        assert_null(request.url);
}

static void test_maa_enclave_claims_older_names_count_where_the_newer_are_absent(void **state) {
        static const char text[] = "{\"tee\":\"sgx\",\"sgx-mrenclave\":\"aa\",\"is-debuggable\":false,\"product-id\":3,\"svn\":4,\"aas-ehd\":\"QQ\",\"maa-ehd\":\"QUE\"}";
        _cleanup_json_ Json *claims = json_tokener_parse(text), *wrong = json_tokener_parse("{\"x-ms-sgx-svn\":\"1\"}");
        MaaEnclaveClaims enclave;
        assert_ok(maa_enclave_claims(claims, &enclave));
        assert_string_equal(enclave.attestation_type, "sgx");
        assert_string_equal(enclave.mrenclave, "aa");
        assert_string_equal(enclave.held_data, "QUE");
        assert_ok(maa_enclave_check_nonce(&enclave, NULL));
        assert_err(maa_enclave_check_nonce(&enclave, "n"), ERR_TOKEN_NONCE_MISMATCH);
        enclave.nonce = "n";
        assert_ok(maa_enclave_check_nonce(&enclave, "n"));
        assert_err(maa_enclave_check_nonce(&enclave, "N"), ERR_TOKEN_NONCE_MISMATCH);
        assert_true(enclave.has_debuggable && !enclave.is_debuggable && enclave.product_id == 3 && enclave.svn == 4);
        assert_err(maa_enclave_claims(wrong, &enclave), ERR_TOKEN_CLAIM_INVALID);
}

static void test_answers_that_cannot_be_used_are_refused(void **state) {
        static const char *const answers[] = { "", "[]", "{}", "{\"token\":5}", "{\"token\":null}", "{\"token\":\"a\",\"token\":\"b\"}" };
        static const char *const policies[] = {
                "{}", "{\"x-ms-policy\":{}}", "{\"x-ms-policy\":\"\"}", "{\"x-ms-policy\":\"a.b\"}",
                "{\"x-ms-policy\":\"eyJhbGciOiJub25lIn0.e30.\"}",   /* payload {} */
        };
        _cleanup_free_ char *token = NULL;
        _cleanup_bytes_ Bytes message = {};
        for (size_t i = 0; i < N_ELEMENTS(answers); i++)
                assert_err(maa_token_answer_parse(span_from_string(answers[i]), &token), ERR_SERVICE_ANSWER_INVALID);
        for (size_t i = 0; i < N_ELEMENTS(policies); i++) {
                _cleanup_json_ Json *claims = json_tokener_parse(policies[i]);
                MaaPolicy policy = {};
                assert_err(maa_policy_from_claims(claims, &policy), ERR_TOKEN_CLAIM_INVALID);
                assert_null(policy.token);
        }
        assert_err(maa_tpm_message_parse(span_from_string("{\"data\":\"a+\"}"), &message), ERR_SERVICE_ANSWER_INVALID);
        assert_ok(maa_tpm_message_parse(span_from_string("{\"data\":\"e30\"}"), &message));
        assert_true(span_equal_string(bytes_span(&message), "{}"));
}

static void test_maa_signer_other_keys_are_refused_and_ec_keys_sign(void **state) {
        _cleanup_(pkey_freep) EVP_PKEY *key = EVP_EC_gen("P-256");
        _cleanup_(x509_stack_freep) STACK_OF(X509) *certificates = sk_X509_new_null();
        _cleanup_free_ char *token = NULL;
        _cleanup_(jws_freep) Jws *jws = NULL;
        _cleanup_(jwk_freep) Jwk *jwk = NULL;
        assert_err(maa_policy_token("p", &(MaaSigner) { key, own_certificates }, &token), ERR_KEY_INVALID);
        assert_err(maa_policy_token("p", &(MaaSigner) { key, certificates }, &token), ERR_KEY_INVALID);
        assert_true(sk_X509_push(certificates, make_certificate(key)) > 0);
        assert_ok(maa_policy_token("p", &(MaaSigner) { key, certificates }, &token));
        assert_ok(jws_parse(span_from_string(token), &jws));
        assert_ok(jwk_from_x5c(json_get(jws->header, "x5c"), &jwk));
        assert_ok(jws_verify(jws, JOSE_ALG_BIT(JOSE_ALG_ES256), jwk));
        assert_string_equal((const char *) jws->payload.data, "{\"AttestationPolicy\":\"cA\"}");
}

/* Claims of real tokens about policies whose text is known. */
static void test_maa_policy_hashes_are_those_of_recorded_tokens(void **state) {
        vectors_need();
        _cleanup_json_ Json *list = vector_read_json("maa/policy/policy-hash-vectors.json");
        size_t n_texts = 0, n_tokens = 0;
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                const Json *vector = json_object_array_get_idx(list, i);
                const char *jws = text_of(vector, "jws"), *text = text_of(vector, "policy_text");
                const char *of_text = text_of(vector, "x-ms-policy-hash (attestation tokens)"), *of_token = text_of(vector, "x-ms-policy-token-hash (policy result tokens)");
                _cleanup_free_ char *hash = NULL, *token_hash = NULL;
                if (text && of_text) {
                        assert_ok(maa_policy_hash(text, &hash));
                        assert_string_equal(hash, of_text);
                        n_texts++;
                }
                if (jws && of_token) {
                        assert_ok(maa_policy_token_hash(jws, &token_hash));
                        assert_string_equal(token_hash, of_token);
                        n_tokens++;
                }
        }
        assert_true(n_texts >= 2 && n_tokens >= 2);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_recorded_exchanges),
                cmocka_unit_test(test_maa_enclave_request_bad_input_is_refused),
                cmocka_unit_test(test_maa_enclave_claims_older_names_count_where_the_newer_are_absent),
                cmocka_unit_test(test_answers_that_cannot_be_used_are_refused),
                cmocka_unit_test(test_maa_policy_hashes_are_those_of_recorded_tokens),
                cmocka_unit_test(test_maa_signer_other_keys_are_refused_and_ec_keys_sign),
        };
        return cmocka_run_group_tests(tests, set_up, tear_down);
}
