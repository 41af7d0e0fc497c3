/* The instance from request to reply, without a socket: a whole round, the token's shape against a real one, every forgery against the
 * rules of lib/maa, and the service's manner of refusing. */
#include <time.h>
#include <unistd.h>

#include "tests/support/vectors.h"
#include "tests/unit/instance/maker.h"

#include "instance/service.h"
#include "maa/token.h"

#define URL "https://127.0.0.1:4711"
#define NONCE "the nonce of the relying party"

static Identity *identity;
static int64_t now;

static Service *make_service(const char *faults) {
        Service *service = NULL;
        ServiceOptions options = { .required_pcrs = PCR_MASK_ALL, .token_lifetime_sec = 3600 };
        assert_ok(service_new(identity, &options, &service));
        assert_ok(faults_replace(&service->faults, span_from_string(faults)));
        return service;
}

static void ask(Service *service, const char *method, const char *path, Span body, uint64_t usec, ServiceReply *ret) {
        ServiceRequest request = {
                .method = method, .path = path, .api_version = "2020-10-01", .body = body, .now_sec = now, .monotonic_usec = usec,
        };
        assert_ok(service_handle(service, &request, ret));
}

static char *envelope(const char *inner) {
        _cleanup_free_ char *encoded = NULL;
        char *body;
        assert_ok(base64url_encode(span_from_string(inner), &encoded));
        assert_ok(string_format(&body, "{\"data\":\"%s\"}", encoded));
        return body;
}

/* The payload object of an answer of attest/Tpm. */
static Json *payload_of(const ServiceReply *reply) {
        _cleanup_json_ Json *outer = NULL, *inner = NULL;
        _cleanup_bytes_ Bytes text = {};
        Json *payload;
        assert_int_equal(reply->status, 200);
        assert_ok(json_parse(bytes_span(&reply->body), "answer", &outer));
        assert_ok(json_get_base64url(outer, "data", &text));
        assert_ok(json_parse(bytes_span(&text), "inner", &inner));
        assert_ok(json_get_object(inner, "payload", &payload));
        return json_object_get(payload);
}

static void get_challenge(Service *service, uint64_t usec, Bytes *ret_challenge, char **ret_context) {
        _cleanup_free_ char *body = envelope("{\"payload\":{\"type\":\"aikcert\"}}");
        _cleanup_service_reply_ ServiceReply reply = {};
        const char *context;
        ask(service, "POST", "/attest/Tpm", span_from_string(body), usec, &reply);
        _cleanup_json_ Json *payload = payload_of(&reply);
        assert_ok(json_get_base64url(payload, "challenge", ret_challenge));
        assert_ok(json_get_string(payload, "service_context", &context));
        assert_ok(string_copy(context, ret_context));
}

static char *request_body(const char *jws) {
        _cleanup_free_ char *inner = NULL;
        assert_ok(string_format(&inner, "{\"payload\":{\"request\":\"%s\"}}", jws));
        return envelope(inner);
}

/* A whole round with good evidence. */
static char *get_token(Service *service, const char *extra_members) {
        _cleanup_bytes_ Bytes challenge = {};
        _cleanup_free_ char *context = NULL;
        get_challenge(service, 0, &challenge, &context);
        Maker maker;
        maker_init(&maker, bytes_span(&challenge), context);
        maker.extra_members = extra_members;
        _cleanup_free_ char *jws = maker_request(&maker), *body = request_body(jws);
        maker_done(&maker);
        _cleanup_service_reply_ ServiceReply reply = {};
        ask(service, "POST", "/attest/Tpm", span_from_string(body), USEC_PER_SEC, &reply);
        _cleanup_json_ Json *payload = payload_of(&reply);
        const char *token;
        char *copy;
        assert_ok(json_get_string(payload, "report", &token));
        assert_ok(string_copy(token, &copy));
        return copy;
}

static JwkSet *get_keys(Service *service) {
        _cleanup_service_reply_ ServiceReply reply = {};
        JwkSet *keys = NULL;
        ask(service, "GET", "/certs", (Span) {}, 0, &reply);
        assert_ok(jwk_set_parse(bytes_span(&reply.body), "keys", &keys));
        return keys;
}

static Err *validate(Service *service, const char *token) {
        _cleanup_(jwk_set_freep) JwkSet *keys = get_keys(service);
        _cleanup_(token_freep) Token *good = NULL;
        Maker maker;
        maker_init(&maker, (Span) {}, "");
        TokenRules rules = {
                .keys = keys, .issuer = URL, .now_sec = (uint64_t) now, .clock_skew_sec = 120, .nonce = span_from_string(NONCE),
                .request_key = maker.request_key, .policy_hash = service->policy_hash,
        };
        Err *error = token_validate(span_from_string(token), &rules, &good, NULL);
        maker_done(&maker);
        return error;
}

static void test_service_whole_round_gives_a_token_that_is_believed(void **state) {
        _cleanup_(service_freep) Service *service = make_service("");
        _cleanup_free_ char *token = get_token(service, "");
        assert_ok(validate(service, token));
        _cleanup_(token_freep) Token *parsed = NULL;
        assert_ok(token_parse(span_from_string(token), &parsed));
        assert_int_equal(parsed->not_before_sec, now - 300);
        assert_int_equal(parsed->expires_sec, now + 3600);
        bool on;
        int64_t entries;
        Json *policy = json_get(parsed->claims, "x-ms-policy");
        assert_ok(json_get_boolean(policy, "secureBootEnabled", &on));
        assert_true(on);
        assert_ok(json_get_boolean(policy, "aikValidated", &on));
        assert_false(on);
        assert_ok(json_get_integer(policy, "imaEntries", &entries));
        assert_int_equal(entries, 3);
        Json *unexplained = json_get(policy, "pcrs-unexplained");
        assert_int_equal(json_object_array_length(unexplained), 1);
        assert_int_equal(json_object_get_int(json_object_array_get_idx(unexplained, 0)), 4);
}

static void test_service_custom_claims_are_issued_under_their_names(void **state) {
        _cleanup_(service_freep) Service *service = make_service("");
        _cleanup_free_ char *token = get_token(service, "\"custom_claims\":["
                "{\"name\":\"site\",\"value\":\"north\",\"value_type\":\"string\"},{\"name\":\"rack\",\"value\":\"7\",\"value_type\":\"integer\"},"
                "{\"name\":\"lab\",\"value\":\"true\",\"value_type\":\"boolean\"},{\"name\":\"site\",\"value\":\"south\",\"value_type\":\"string\"}],");
        _cleanup_(token_freep) Token *parsed = NULL;
        assert_ok(token_parse(span_from_string(token), &parsed));
        Json *policy = json_get(parsed->claims, "x-ms-policy");
        assert_string_equal(json_object_to_json_string_ext(json_get(policy, "site"), JSON_C_TO_STRING_PLAIN), "[\"north\",\"south\"]");
        assert_int_equal(json_object_get_int(json_get(policy, "rack")), 7);
        assert_true(json_object_get_boolean(json_get(policy, "lab")));
}

static void assert_same_members(const Json *got, const Json *real) {
        struct json_object_iterator a = json_object_iter_begin((Json *) got), b = json_object_iter_begin((Json *) real);
        struct json_object_iterator a_end = json_object_iter_end(got), b_end = json_object_iter_end(real);
        while (!json_object_iter_equal(&a, &a_end) && !json_object_iter_equal(&b, &b_end)) {
                assert_string_equal(json_object_iter_peek_name(&a), json_object_iter_peek_name(&b));
                assert_int_equal(json_object_get_type(json_object_iter_peek_value(&a)), json_object_get_type(json_object_iter_peek_value(&b)));
                json_object_iter_next(&a);
                json_object_iter_next(&b);
        }
        assert_int_equal(json_object_object_length(got), json_object_object_length(real));
}

static void test_service_token_has_the_shape_of_a_real_one(void **state) {
        vectors_need();
        _cleanup_(service_freep) Service *service = make_service("");
        _cleanup_free_ char *token = get_token(service, "");
        _cleanup_(token_freep) Token *parsed = NULL;
        _cleanup_json_ Json *header = vector_read_json("maa/tpm/report_boot-attestation.header.json"),
                            *claims = vector_read_json("maa/tpm/report_boot-attestation.claims.json");
        assert_ok(token_parse(span_from_string(token), &parsed));
        assert_same_members(parsed->jws->header, header);
        assert_same_members(parsed->claims, claims);
        assert_same_members(json_get(parsed->claims, "cnf"), json_get(claims, "cnf"));
        assert_same_members(json_get(json_get(parsed->claims, "cnf"), "jwk"), json_get(json_get(claims, "cnf"), "jwk"));
        assert_same_members(json_get(parsed->claims, "x-ms-tpm-request-key"), json_get(claims, "x-ms-tpm-request-key"));
        assert_int_equal(json_object_array_length(json_get(parsed->jws->header, "x5c")), 3);
        assert_int_equal(strlen(json_object_get_string(json_get(parsed->claims, "jti"))), 40);
}

static void test_service_openid_has_the_recorded_members(void **state) {
        vectors_need();
        _cleanup_(service_freep) Service *service = make_service("");
        _cleanup_service_reply_ ServiceReply reply = {};
        _cleanup_json_ Json *got = NULL, *real = vector_read_json("maa/openid/Aad.json");
        ask(service, "GET", "/.well-known/openid-configuration", (Span) {}, 0, &reply);
        assert_ok(json_parse(bytes_span(&reply.body), "metadata", &got));
        assert_same_members(got, real);
        assert_string_equal(json_object_to_json_string(json_get(got, "claims_supported")),
                            json_object_to_json_string(json_get(real, "claims_supported")));
}

static void test_service_policy_hash_follows_the_recorded_rule(void **state) {
        vectors_need();
        _cleanup_json_ Json *vectors = vector_read_json("maa/policy/policy-hash-vectors.json");
        size_t n = 0;
        for (size_t i = 0; i < json_object_array_length(vectors); i++) {
                const Json *vector = json_object_array_get_idx(vectors, i);
                _cleanup_free_ char *hash = NULL;
                const char *text = json_object_get_string(json_get(vector, "policy_text")),
                           *wanted = json_object_get_string(json_get(vector, "x-ms-policy-hash (attestation tokens)"));
                if (!text || !wanted)
                        continue;
                assert_ok(report_policy_hash(text, &hash));
                assert_string_equal(hash, wanted);
                n++;
        }
        assert_int_equal(n, 4);
}

static void test_service_each_forgery_breaks_its_own_rule(void **state) {
        static const struct {
                const char *forgery;
                ErrCode code;
        } cases[] = {
                { "alg-none", ERR_TOKEN_ALG_NONE },
                { "hs256", ERR_TOKEN_ALG_SYMMETRIC },
                { "wrong-key", ERR_TOKEN_SIGNATURE_INVALID },
                { "unknown-kid", ERR_TOKEN_KEY_UNKNOWN },
                { "expired", ERR_TOKEN_EXPIRED },
                { "not-yet-valid", ERR_TOKEN_NOT_YET_VALID },
                { "issued-in-future", ERR_TOKEN_ISSUED_IN_FUTURE },
                { "wrong-issuer", ERR_TOKEN_ISSUER_MISMATCH },
                { "wrong-nonce", ERR_TOKEN_NONCE_MISMATCH },
                { "wrong-cnf", ERR_TOKEN_CNF_MISMATCH },
                { "wrong-policy-hash", ERR_TOKEN_POLICY_HASH_MISMATCH },
                { "tampered", ERR_TOKEN_SIGNATURE_INVALID },
                { "duplicate-alg", ERR_TOKEN_DUPLICATE_MEMBER },
                { "foreign-jku", ERR_TOKEN_FOREIGN_JKU },
                { "foreign-x5u", ERR_TOKEN_FOREIGN_JKU },
                { "foreign-x5c", ERR_TOKEN_X5C_MISMATCH },
                { "embedded-jwk", ERR_TOKEN_EMBEDDED_JWK },
                { "crit", ERR_TOKEN_CRIT_UNKNOWN },
                { "extra-part", ERR_TOKEN_PARTS },
                { "truncated", ERR_TOKEN_TRUNCATED },
                { "weak-key", ERR_TOKEN_KEY_WEAK },
        };
        assert_int_equal(N_ELEMENTS(cases), _FORGERY_MAX - 1);
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_free_ char *spec = NULL;
                assert_ok(string_format(&spec, "token=%s@1", cases[i].forgery));
                _cleanup_(service_freep) Service *service = make_service(spec);
                _cleanup_free_ char *forged = get_token(service, ""), *good = NULL;
                Err *error = validate(service, forged);
                if (err_code(error) != cases[i].code)
                        fail_msg("%s: got %s (%s)", cases[i].forgery, err_code_info(err_code(error))->symbol, err_describe(error));
                err_free(error);
                good = get_token(service, ""); /* @1: the next one is as it should be */
                assert_ok(validate(service, good));
        }
}

static char *get_result_token(Service *service) {
        _cleanup_service_reply_ ServiceReply reply = {};
        _cleanup_json_ Json *json = NULL;
        const char *token;
        char *copy;
        ask(service, "GET", "/policies/Tpm", (Span) {}, 0, &reply);
        assert_int_equal(reply.status, 200);
        assert_ok(json_parse(bytes_span(&reply.body), "answer", &json));
        assert_ok(json_get_string(json, "token", &token));
        assert_ok(string_copy(token, &copy));
        return copy;
}

static Err *validate_result(Service *service, const char *text) {
        _cleanup_(jwk_set_freep) JwkSet *keys = get_keys(service);
        _cleanup_(token_freep) Token *token = NULL;
        TokenRules rules = { .keys = keys, .issuer = URL, .now_sec = (uint64_t) now, .clock_skew_sec = 120 };
        return token_validate(span_from_string(text), &rules, &token, NULL);
}

/* Tokens of the administration: all but those whose claims (nonce, cnf, hash of the policy) they lack. */
static void test_service_each_forgery_of_a_result_breaks_its_own_rule(void **state) {
        static const struct {
                const char *forgery;
                ErrCode code;
        } cases[] = {
                { "alg-none", ERR_TOKEN_ALG_NONE },
                { "hs256", ERR_TOKEN_ALG_SYMMETRIC },
                { "wrong-key", ERR_TOKEN_SIGNATURE_INVALID },
                { "unknown-kid", ERR_TOKEN_KEY_UNKNOWN },
                { "expired", ERR_TOKEN_EXPIRED },
                { "not-yet-valid", ERR_TOKEN_NOT_YET_VALID },
                { "issued-in-future", ERR_TOKEN_ISSUED_IN_FUTURE },
                { "wrong-issuer", ERR_TOKEN_ISSUER_MISMATCH },
                { "tampered", ERR_TOKEN_SIGNATURE_INVALID },
                { "duplicate-alg", ERR_TOKEN_DUPLICATE_MEMBER },
                { "foreign-jku", ERR_TOKEN_FOREIGN_JKU },
                { "foreign-x5u", ERR_TOKEN_FOREIGN_JKU },
                { "foreign-x5c", ERR_TOKEN_X5C_MISMATCH },
                { "embedded-jwk", ERR_TOKEN_EMBEDDED_JWK },
                { "crit", ERR_TOKEN_CRIT_UNKNOWN },
                { "extra-part", ERR_TOKEN_PARTS },
                { "truncated", ERR_TOKEN_TRUNCATED },
                { "weak-key", ERR_TOKEN_KEY_WEAK },
        };
        assert_int_equal(N_ELEMENTS(cases), _FORGERY_MAX - 1 - 3);
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_free_ char *spec = NULL;
                assert_ok(string_format(&spec, "other:token=%s@1", cases[i].forgery));
                _cleanup_(service_freep) Service *service = make_service(spec);
                _cleanup_free_ char *forged = get_result_token(service), *good = NULL;
                Err *error = validate_result(service, forged);
                if (err_code(error) != cases[i].code)
                        fail_msg("%s: got %s (%s)", cases[i].forgery, err_code_info(err_code(error))->symbol, err_describe(error));
                err_free(error);
                good = get_result_token(service);
                assert_ok(validate_result(service, good));
        }
}

/* What a client gets that does follow a forged jku: a set with which the token verifies. So refusing it is no accident. */
static void test_service_lure_would_work(void **state) {
        _cleanup_(service_freep) Service *service = make_service("token=foreign-jku");
        _cleanup_free_ char *forged = get_token(service, "");
        _cleanup_service_reply_ ServiceReply reply = {};
        ask(service, "GET", "/foreign/certs", (Span) {}, 0, &reply);
        _cleanup_(jwk_set_freep) JwkSet *keys = NULL;
        _cleanup_(token_freep) Token *parsed = NULL;
        assert_ok(jwk_set_parse(bytes_span(&reply.body), "keys", &keys));
        assert_ok(token_parse(span_from_string(forged), &parsed));
        const Jwk *key = jwk_set_find(keys, parsed->jws->kid);
        assert_non_null(key);
        assert_ok(jws_verify(parsed->jws, JOSE_ALG_BIT(JOSE_ALG_RS256), key));
}

static void expect_error(const ServiceReply *reply, unsigned status, const char *code, const char *words) {
        _cleanup_json_ Json *json = NULL;
        Json *error, *inner;
        const char *got, *message, *inner_message;
        assert_int_equal(reply->status, status);
        assert_ok(json_parse(bytes_span(&reply->body), "error", &json));
        assert_ok(json_get_object(json, "error", &error));
        assert_ok(json_get_string(error, "code", &got));
        assert_ok(json_get_string(error, "message", &message));
        assert_ok(json_get_object(error, "innererror", &inner));
        assert_ok(json_get_string(inner, "message", &inner_message));
        assert_string_equal(got, code);
        assert_string_equal(message, inner_message);
        if (!strstr(message, words))
                fail_msg("\"%s\" does not have \"%s\"", message, words);
}

static void test_service_request_twice_or_late_is_refused(void **state) {
        static const struct {
                uint64_t second_usec;
                const char *words;
        } cases[] = { { 2 * USEC_PER_SEC, "used before" }, { 301 * USEC_PER_SEC, "older than 300 seconds" } };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_(service_freep) Service *service = make_service("");
                _cleanup_bytes_ Bytes challenge = {};
                _cleanup_free_ char *context = NULL;
                get_challenge(service, 0, &challenge, &context);
                Maker maker;
                maker_init(&maker, bytes_span(&challenge), context);
                _cleanup_free_ char *jws = maker_request(&maker), *body = request_body(jws);
                maker_done(&maker);
                _cleanup_service_reply_ ServiceReply first = {}, second = {};
                if (i == 0)
                        ask(service, "POST", "/attest/Tpm", span_from_string(body), USEC_PER_SEC, &first);
                ask(service, "POST", "/attest/Tpm", span_from_string(body), cases[i].second_usec, &second);
                expect_error(&second, 400, "ChallengeInvalid", cases[i].words);
        }
}

static void test_service_challenge_of_another_context_is_refused(void **state) {
        _cleanup_(service_freep) Service *service = make_service("");
        _cleanup_bytes_ Bytes challenge = {}, other = {};
        _cleanup_free_ char *context = NULL, *other_context = NULL;
        get_challenge(service, 0, &challenge, &context);
        get_challenge(service, 0, &other, &other_context);
        Maker maker;
        maker_init(&maker, bytes_span(&challenge), other_context);
        _cleanup_free_ char *jws = maker_request(&maker), *body = request_body(jws);
        maker_done(&maker);
        _cleanup_service_reply_ ServiceReply reply = {};
        ask(service, "POST", "/attest/Tpm", span_from_string(body), USEC_PER_SEC, &reply);
        expect_error(&reply, 400, "ChallengeInvalid", "att_data.challenge");
}

static void test_service_custom_claim_cannot_take_a_name_of_the_service(void **state) {
        _cleanup_(service_freep) Service *service = make_service("");
        _cleanup_bytes_ Bytes challenge = {};
        _cleanup_free_ char *context = NULL;
        get_challenge(service, 0, &challenge, &context);
        Maker maker;
        maker_init(&maker, bytes_span(&challenge), context);
        maker.extra_members = "\"custom_claims\":[{\"name\":\"aikValidated\",\"value\":\"true\",\"value_type\":\"boolean\"}],";
        _cleanup_free_ char *jws = maker_request(&maker), *body = request_body(jws);
        maker_done(&maker);
        _cleanup_service_reply_ ServiceReply reply = {};
        ask(service, "POST", "/attest/Tpm", span_from_string(body), USEC_PER_SEC, &reply);
        expect_error(&reply, 400, "InvalidParameter", "aikValidated");
}

static void test_service_state_survives_and_mends_itself(void **state) {
        const char *directory = *state;
        _cleanup_(identity_freep) Identity *again = NULL, *mended = NULL;
        _cleanup_free_ char *path = NULL;
        assert_ok(identity_load(directory, URL, now, &again));
        assert_string_equal(again->token_kid, identity->token_kid);
        assert_string_equal(again->instance_kid, identity->instance_kid);
        assert_ok(string_format(&path, "%s/token-intermediate.pem", directory));
        assert_int_equal(unlink(path), 0); /* as if a first start had been killed there */
        assert_ok(identity_load(directory, URL, now, &mended));
        assert_int_equal(X509_verify(mended->token_chain[1].certificate, mended->token_chain[2].key), 1);
        assert_int_equal(X509_verify(mended->token_chain[0].certificate, mended->token_chain[1].key), 1);
        assert_string_equal(mended->token_kid, identity->token_kid);
}

static int set_up(void **state) {
        static char root[] = "/tmp/attest-instance-test-XXXXXX";
        static char directory[sizeof(root) + 8];
        if (!mkdtemp(root))
                return -1;
        snprintf(directory, sizeof(directory), "%s/state", root);
        now = time(NULL);
        Err *error = identity_load(directory, URL, now, &identity);
        if (error)
                print_error("%s\n", err_describe(error));
        *state = directory;
        return error ? -1 : 0;
}

static int tear_down(void **state) {
        static const char *const names[] = { "ca", "tls", "instance", "token-root", "token-intermediate", "token-leaf", "aik-ca" };
        char path[256], *directory = *state;
        for (size_t i = 0; i < N_ELEMENTS(names); i++) {
                snprintf(path, sizeof(path), "%s/%s.pem", directory, names[i]);
                unlink(path);
                snprintf(path, sizeof(path), "%s/%s.key", directory, names[i]);
                unlink(path);
        }
        snprintf(path, sizeof(path), "%s/context.key", directory);
        unlink(path);
        identity = identity_free(identity);
        int r = rmdir(directory);
        *strrchr(directory, '/') = '\0';
        return r == 0 ? rmdir(directory) : r;
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_service_whole_round_gives_a_token_that_is_believed),
                cmocka_unit_test(test_service_custom_claims_are_issued_under_their_names),
                cmocka_unit_test(test_service_token_has_the_shape_of_a_real_one),
                cmocka_unit_test(test_service_openid_has_the_recorded_members),
                cmocka_unit_test(test_service_policy_hash_follows_the_recorded_rule),
                cmocka_unit_test(test_service_each_forgery_breaks_its_own_rule),
                cmocka_unit_test(test_service_each_forgery_of_a_result_breaks_its_own_rule),
                cmocka_unit_test(test_service_lure_would_work),
                cmocka_unit_test(test_service_request_twice_or_late_is_refused),
                cmocka_unit_test(test_service_challenge_of_another_context_is_refused),
                cmocka_unit_test(test_service_custom_claim_cannot_take_a_name_of_the_service),
                cmocka_unit_test(test_service_state_survives_and_mends_itself),
        };
        return cmocka_run_group_tests(tests, set_up, tear_down);
}
