/* See policy-jws.h. */
#include "instance/policy-jws.h"

#include <openssl/x509v3.h>

#include "instance/ca.h"
#include "jose/openssl.h"
#include "jose/x509.h"

/* In the order in which they are looked for: SDKs and the live service; the service's error text and samples; prose. */
static const char *const certificate_claims[] = { "policyCertificate", "maa-policyCertificate", "x-ms-policyCertificate" };

void policy_jws_done(PolicyJws *jws) {
        jws_free(jws->jws);
        x509_stack_free(jws->chain);
        json_unref(jws->payload);
        *jws = (PolicyJws) {};
}

static Err *find_issuer(const STACK_OF(X509) *chain, X509 *certificate, X509 **ret) {
        for (int i = 0; i < sk_X509_num(chain); i++) {
                X509 *candidate = sk_X509_value(chain, i);
                if (X509_check_issued(candidate, certificate) != X509_V_OK || X509_check_ca(candidate) == 0)
                        continue;
                bool good = X509_verify(certificate, X509_get0_pubkey(candidate)) == 1;
                openssl_forget_errors();
                if (good) {
                        *ret = candidate;
                        return NULL;
                }
        }
        char name[256];
        X509_NAME_oneline(X509_get_issuer_name(certificate), name, sizeof(name));
        return err_new(ERR_TOKEN_CHAIN_INVALID, "Unable to find issuer certificate %s", name[0] == '/' ? name + 1 : name);
}

/* Not x509_chain_verify(): recorded signers have a key usage without signatures, and are out of date. */
static Err *check_chain(const STACK_OF(X509) *chain) {
        X509 *certificate = x509_stack_leaf(chain);
        for (int i = 0; i <= sk_X509_num(chain); i++) {
                X509 *issuer;
                TRY(find_issuer(chain, certificate, &issuer));
                if (X509_cmp(issuer, certificate) == 0)
                        return NULL;
                certificate = issuer;
        }
        return err_new(ERR_TOKEN_CHAIN_INVALID, "the certificates in x5c issue each other in a circle");
}

static Err *verify(PolicyJws *jws) {
        if (jws->jws->alg == JOSE_ALG_NONE) {
                if (jws->jws->signature.size > 0)
                        return err_new(ERR_TOKEN_MALFORMED, "alg is none, but there is a signature");
                if (jws_header_has(jws->jws, "crit"))
                        return err_new(ERR_TOKEN_CRIT_UNKNOWN, "the header has crit");
                return NULL;
        }
        TRY(jws_check_header(jws->jws, JOSE_ALGS_ASYMMETRIC));
        Json *x5c = json_get(jws->jws->header, "x5c");
        _cleanup_(jwk_freep) Jwk *key = NULL;
        TRY(x509_chain_from_json(x5c, &jws->chain));
        TRY(jwk_from_x5c(x5c, &key));
        TRY(jws_verify(jws->jws, JOSE_ALGS_ASYMMETRIC, key));
        return check_chain(jws->chain);
}

static Err *parse_payload(PolicyJws *jws) {
        if (jws->jws->payload.size == 0)
                return NULL;
        Err *error = json_parse(bytes_span(&jws->jws->payload), "payload", &jws->payload);
        if (error)
                return err_wrap_code(err_code(error) == ERR_JSON_DUPLICATE_MEMBER ? ERR_TOKEN_DUPLICATE_MEMBER : ERR_TOKEN_MALFORMED, error,
                                     "the token's payload");
        return json_is_object(jws->payload) ? NULL : err_new(ERR_TOKEN_MALFORMED, "the token's payload is no JSON object");
}

static Err *parse(Span body, Jws **ret) {
        _cleanup_json_ Json *string = NULL;
        if (body.size == 0 || body.data[0] != '"')
                return jws_parse(body, ret);
        if (body.size > JWS_SIZE_MAX)
                return err_new(ERR_TOKEN_MALFORMED, "the body has %zu bytes, at most %u are allowed", body.size, JWS_SIZE_MAX);
        TRY(err_wrap_code(ERR_TOKEN_MALFORMED, json_parse(body, "body", &string), "the body"));
        return jws_parse(span_make(json_object_get_string(string), (size_t) json_object_get_string_len(string)), ret);
}

Err *policy_jws_open(Span body, PolicyJws *ret) {
        _cleanup_policy_jws_ PolicyJws jws = {};
        TRY(parse(body, &jws.jws));
        TRY(verify(&jws));
        TRY(parse_payload(&jws));
        *ret = jws;
        jws = (PolicyJws) {};
        return NULL;
}

Err *policy_jws_get_policy(const PolicyJws *jws, const char **ret_claim, Bytes *ret_text) {
        const char *claim = NULL;
        if (!json_get(jws->payload, "AttestationPolicy"))
                return err_new(ERR_TOKEN_CLAIM_REQUIRED, "Could not find \"AttestationPolicy\" claim in policy token");
        TRY(err_wrap_code(ERR_TOKEN_CLAIM_INVALID, json_get_string(jws->payload, "AttestationPolicy", &claim), "the token's payload"));
        TRY(err_wrap_code(ERR_TOKEN_CLAIM_INVALID, base64_decode_lenient(span_from_string(claim), "AttestationPolicy", ret_text), "the token's payload"));
        *ret_claim = claim;
        return NULL;
}

Err *policy_jws_get_certificate(const PolicyJws *jws, X509 **ret) {
        Json *jwk = NULL;
        for (size_t i = 0; i < N_ELEMENTS(certificate_claims) && !jwk; i++)
                jwk = json_get(jws->payload, certificate_claims[i]);
        if (!jwk) /* the service's words */
                return err_new(ERR_TOKEN_CLAIM_REQUIRED, "Could not find \"maa-policyCertificate\" claim in policy token");
        _cleanup_(x509_stack_freep) STACK_OF(X509) *chain = NULL;
        TRY(err_wrap_code(ERR_TOKEN_CLAIM_INVALID, x509_chain_from_json(json_get(jwk, "x5c"), &chain), "the certificate in the token"));
        *ret = sk_X509_shift(chain);
        return NULL;
}

static const char *algorithm_of(EVP_PKEY *key) {
        int kind = EVP_PKEY_get_base_id(key);
        int bits = EVP_PKEY_get_bits(key);
        if (kind == EVP_PKEY_RSA)
                return "RS256";
        if (kind != EVP_PKEY_EC)
                return NULL;
        return bits == 256 ? "ES256" : bits == 384 ? "ES384" : bits == 521 ? "ES512" : NULL;
}

Err *policy_jws_signer_to_json(const STACK_OF(X509) *chain, Json **ret) {
        EVP_PKEY *key = X509_get0_pubkey(x509_stack_leaf(chain));
        const char *algorithm = key ? algorithm_of(key) : NULL;
        _cleanup_json_ Json *json = NULL, *x5c = NULL;
        if (!algorithm)
                return err_new(ERR_KEY_INVALID, "the key of the certificate is neither RSA nor of the curves P-256, P-384, P-521");
        TRY(json_new_object(&json));
        TRY(json_new_array(&x5c));
        for (int i = 0; i < sk_X509_num(chain); i++) {
                _cleanup_bytes_ Bytes der = {};
                _cleanup_free_ char *text = NULL;
                TRY(ca_certificate_to_der(sk_X509_value(chain, i), &der));
                TRY(base64_encode(bytes_span(&der), &text));
                TRY(json_append(x5c, json_object_new_string(text)));
        }
        TRY(json_add_string(json, "alg", algorithm));
        TRY(json_add_string(json, "kty", algorithm[0] == 'R' ? "RSA" : "EC"));
        TRY(json_add_string(json, "use", "sig"));
        TRY(json_add(json, "x5c", steal_ptr(&x5c)));
        *ret = steal_ptr(&json);
        return NULL;
}
