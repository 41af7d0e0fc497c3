/* See policy-admin.h. */
#include "maa/policy-admin.h"

#include <strings.h>

#include "jose/pem.h"
#include "tcg/hash.h"

#define UNSIGNED_HEADER "{\"alg\":\"none\"}"
#define POLICY_MEMBER "AttestationPolicy"

static const struct {
        const char *in_urls, *name;
} types[] = {
        [MAA_POLICY_SGX] = { "SgxEnclave", "sgx" },
        [MAA_POLICY_OPEN_ENCLAVE] = { "OpenEnclave", "openenclave" },
        [MAA_POLICY_TPM] = { "Tpm", "tpm" },
};

const char *maa_policy_type_to_string(MaaPolicyType type) {
        return types[type].in_urls;
}

Err *maa_policy_type_from_string(const char *text, MaaPolicyType *ret) {
        for (size_t i = 0; i < N_ELEMENTS(types); i++)
                if (strcasecmp(text, types[i].name) == 0 || strcasecmp(text, types[i].in_urls) == 0) {
                        *ret = (MaaPolicyType) i;
                        return NULL;
                }
        return err_new(ERR_INVALID_ARGUMENT, "\"%.40s\" is no type of policy: tpm, sgx or openenclave is needed", text);
}

/* ---- who signs ---- */

Err *maa_signer_check(const MaaSigner *signer) {
        X509 *leaf = signer->certificates ? x509_stack_leaf(signer->certificates) : NULL;
        if (!leaf)
                return err_new(ERR_KEY_INVALID, "a certificate of the signing key is needed");
        if (!jwk_same_key(X509_get0_pubkey(leaf), signer->key))
                return err_new(ERR_KEY_INVALID, "the first certificate is not that of the signing key");
        return NULL;
}

Err *maa_signer_sign(const MaaSigner *signer, Span payload, char **ret_jws) {
        _cleanup_json_ Json *header = NULL, *chain = NULL;
        _cleanup_free_ char *text = NULL;
        JoseAlg alg;
        TRY(maa_signer_check(signer));
        TRY(jose_alg_of_key(signer->key, &alg));
        TRY(x509_chain_to_json(signer->certificates, &chain));
        TRY(json_new_object(&header));
        TRY(json_add_string(header, "alg", jose_alg_to_string(alg)));
        TRY(json_add(header, "x5c", steal_ptr(&chain)));
        TRY(json_to_string(header, &text));
        return jws_sign(alg, signer->key, text, payload, ret_jws);
}

/* ---- policy tokens ---- */

static Err *make_payload(const char *policy, char **ret) {
        _cleanup_json_ Json *payload = NULL;
        if (!policy)
                return string_copy("", ret);
        TRY(json_new_object(&payload));
        TRY(json_add_base64url(payload, POLICY_MEMBER, span_from_string(policy)));
        return json_to_string(payload, ret);
}

Err *maa_policy_token(const char *text, const MaaSigner *signer, char **ret) {
        _cleanup_free_ char *payload = NULL, *header_part = NULL, *payload_part = NULL;
        TRY(make_payload(text, &payload));
        if (signer)
                return maa_signer_sign(signer, span_from_string(payload), ret);
        TRY(base64url_encode(span_from_string(UNSIGNED_HEADER), &header_part));
        TRY(base64url_encode(span_from_string(payload), &payload_part));
        return string_format(ret, "%s.%s.", header_part, payload_part);
}

Err *maa_policy_token_hash(const char *policy_token, char **ret) {
        Digest digest;
        TRY(hash_digest(HASH_SHA256, span_from_string(policy_token), &digest));
        return base64url_encode(digest_span(&digest), ret);
}

Err *maa_policy_hash(const char *text, char **ret) {
        _cleanup_free_ char *claim = NULL;
        TRY(base64url_encode(span_from_string(text), &claim));
        return maa_policy_token_hash(claim, ret);
}

/* ---- requests ---- */

Err *maa_policy_get_request(const char *base_url, const char *api_version, MaaPolicyType type, HttpRequest *ret) {
        _cleanup_free_ char *path = NULL;
        TRY(string_format(&path, "policies/%s", maa_policy_type_to_string(type)));
        return maa_request_make("GET", base_url, path, api_version, ret);
}

static Err *set_body(HttpRequest *request, const char *policy_token) {
        Err *err = source_new_string(policy_token, &request->body);
        if (err)
                http_request_done(request);
        return err;
}

Err *maa_policy_set_request(const char *base_url, const char *api_version, MaaPolicyType type, const char *policy_token, HttpRequest *ret) {
        _cleanup_free_ char *path = NULL;
        TRY(string_format(&path, "policies/%s", maa_policy_type_to_string(type)));
        TRY(maa_request_make("PUT", base_url, path, api_version, ret));
        return set_body(ret, policy_token);
}

Err *maa_policy_reset_request(const char *base_url, const char *api_version, MaaPolicyType type, const char *policy_token, HttpRequest *ret) {
        _cleanup_free_ char *path = NULL;
        TRY(string_format(&path, "policies/%s:reset", maa_policy_type_to_string(type)));
        TRY(maa_request_make("POST", base_url, path, api_version, ret));
        return set_body(ret, policy_token);
}

/* ---- what the service says ---- */

void maa_policy_done(MaaPolicy *policy) {
        free(policy->token);
        free(policy->text);
        free(policy->certificates);
        *policy = (MaaPolicy) {};
}

static Err *read_text(const Jws *jws, MaaPolicy *policy) {
        _cleanup_json_ Json *payload = NULL;
        _cleanup_bytes_ Bytes text = {};
        if (jws->payload.size == 0)
                return NULL;
        TRY(json_parse(bytes_span(&jws->payload), "the payload", &payload));
        TRY(json_get_base64url(payload, POLICY_MEMBER, &text));
        return string_copy_span(bytes_span(&text), &policy->text);
}

/* Which algorithm a policy was signed with is the service's affair: one that we do not know is not verified, and that is said. */
static Err *read_signer(const Jws *jws, MaaPolicy *policy) {
        _cleanup_(jwk_freep) Jwk *signer = NULL;
        const Json *chain = json_get(jws->header, "x5c");
        policy->is_signed = jws->alg != JOSE_ALG_NONE;
        if (!policy->is_signed || !chain)
                return NULL;
        TRY(jwk_from_x5c(chain, &signer));
        TRY(x509_stack_to_pem(signer->x5c, &policy->certificates));
        Err *err = jws_verify(jws, JOSE_ALGS_ASYMMETRIC, signer);
        policy->is_verified = !err;
        err_free(err);
        return NULL;
}

static Err *read_policy(const Json *claims, MaaPolicy *policy) {
        _cleanup_(jws_freep) Jws *jws = NULL;
        const char *token;
        TRY(json_get_string(claims, "x-ms-policy", &token));
        TRY(string_copy(token, &policy->token));
        TRY(jws_parse(span_from_string(token), &jws));
        TRY(read_text(jws, policy));
        return read_signer(jws, policy);
}

Err *maa_policy_from_claims(const Json *claims, MaaPolicy *ret) {
        _cleanup_maa_policy_ MaaPolicy policy = {};
        TRY(err_wrap_code(ERR_TOKEN_CLAIM_INVALID, read_policy(claims, &policy), "the token's claim x-ms-policy cannot be used"));
        *ret = policy;
        policy = (MaaPolicy) {};
        return NULL;
}

Err *maa_policy_signer_from_claims(const Json *claims, char **ret) {
        _cleanup_(jwk_freep) Jwk *signer = NULL;
        const Json *key = json_get(claims, "x-ms-policy-signer");
        *ret = NULL;
        if (!key)
                return NULL;
        /* bare, as recorded; in the documentation it is wrapped */
        TRY(jwk_from_json(json_get(key, "jwk") ? json_get(key, "jwk") : key, &signer));
        return signer->x5c ? x509_stack_to_pem(signer->x5c, ret) : NULL;
}

static Err *read_change(const Json *claims, const char **ret_result, const char **ret_hash, char **ret_signer) {
        TRY(json_get_string(claims, "x-ms-policy-result", ret_result));
        TRY(json_get_string_optional(claims, "x-ms-policy-token-hash", ret_hash));
        return maa_policy_signer_from_claims(claims, ret_signer);
}

Err *maa_policy_check_change(const Json *claims, MaaPolicyChange change, const char *policy_token, char **ret_signer) {
        const char *wanted = change == MAA_POLICY_UPDATED ? "Updated" : "Removed", *result, *hash;
        _cleanup_free_ char *signer = NULL, *expected = NULL;
        TRY(err_wrap_code(ERR_TOKEN_CLAIM_INVALID, read_change(claims, &result, &hash, &signer), "the token's claims about the change"));
        if (!string_equal(result, wanted))
                return err_new(ERR_SERVICE_ANSWER_INVALID, "the service says that the policy is \"%.40s\", not \"%s\"", result, wanted);
        TRY(maa_policy_token_hash(policy_token, &expected));
        if (change == MAA_POLICY_UPDATED && !string_equal(hash, expected))
                return err_new(ERR_SERVICE_ANSWER_INVALID, "the service says that it has set a policy with the hash %.64s, but %s was sent", hash ? hash : "(none)", expected);
        *ret_signer = steal_ptr(&signer);
        return NULL;
}
