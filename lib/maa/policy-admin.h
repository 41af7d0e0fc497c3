/* Administration of policies: GET policies/TYPE, PUT policies/TYPE, POST policies/TYPE:reset.
 *
 * A policy travels as a JWS, the "policy token", signed or not (alg none):
 *     header {"alg":…[,"x5c":[…]]}, payload {"AttestationPolicy":"<base64url of the policy text>"}; to reset, the payload is empty
 * It is the request's whole body, without quotes. The answers are tokens of the service, {"token":"<JWT>"}; what their claims say is read here once they are
 * believed. Sources: REST specification 2020-10-01; the documentation's "author and sign a policy"; recorded exchanges. */
#pragma once

#include "jose/x509.h"
#include "maa/message.h"

typedef enum MaaPolicyType { MAA_POLICY_SGX, MAA_POLICY_OPEN_ENCLAVE, MAA_POLICY_TPM } MaaPolicyType;
const char *maa_policy_type_to_string(MaaPolicyType type);                        /* as in URLs: "SgxEnclave", "OpenEnclave", "Tpm" */
/* "sgx", "openenclave", "tpm", or as in URLs, of any case. Error: INVALID_ARGUMENT names what is allowed. */
Err *maa_policy_type_from_string(const char *text, MaaPolicyType *ret) _must_check_;

/* Who signs what an administrator sends. */
typedef struct MaaSigner {
        EVP_PKEY *key;
        const STACK_OF(X509) *certificates;   /* the key's own first; all of them are sent */
} MaaSigner;
/* Error: KEY_INVALID where there is no certificate, or the first is not that of the key. */
Err *maa_signer_check(const MaaSigner *signer) _must_check_;
/* Signs with RS256, or ES256, ES384, ES512 by the key's curve; header {"alg","x5c"}. */
Err *maa_signer_sign(const MaaSigner *signer, Span payload, char **ret_jws) _must_check_;

/* The policy token. text NULL: that of a reset. signer NULL: unsigned. */
Err *maa_policy_token(const char *text, const MaaSigner *signer, char **ret) _must_check_;
/* What the service calls x-ms-policy-token-hash: base64url of the SHA-256 of the policy token as it is sent. */
Err *maa_policy_token_hash(const char *policy_token, char **ret) _must_check_;

/* What the service calls x-ms-policy-hash, in tokens that the policy has judged: base64url of the SHA-256 of the policy text's base64url, as it stands in the policy
 * token (the documentation's "claim sets"). */
Err *maa_policy_hash(const char *text, char **ret) _must_check_;

Err *maa_policy_get_request(const char *base_url, const char *api_version, MaaPolicyType type, HttpRequest *ret) _must_check_;
Err *maa_policy_set_request(const char *base_url, const char *api_version, MaaPolicyType type, const char *policy_token, HttpRequest *ret) _must_check_;
Err *maa_policy_reset_request(const char *base_url, const char *api_version, MaaPolicyType type, const char *policy_token, HttpRequest *ret) _must_check_;

typedef struct MaaPolicy {
        char *token;             /* the policy token as it was set */
        char *text;              /* NULL: there is no policy */
        bool is_signed;
        bool is_verified;        /* signed, and the signature is that of the first certificate */
        char *certificates;      /* PEM; NULL if not signed */
} MaaPolicy;
void maa_policy_done(MaaPolicy *policy);
#define _cleanup_maa_policy_ _cleanup_(maa_policy_done)
/* Out of the claims of GET's token. Error: TOKEN_CLAIM_INVALID. */
Err *maa_policy_from_claims(const Json *claims, MaaPolicy *ret) _must_check_;

/* Certificates, as PEM, of who signed the policy that a token is about: claim x-ms-policy-signer. *ret is NULL if there is none. Errors: JSON_…, KEY_INVALID. */
Err *maa_policy_signer_from_claims(const Json *claims, char **ret) _must_check_;

typedef enum MaaPolicyChange { MAA_POLICY_UPDATED, MAA_POLICY_REMOVED } MaaPolicyChange;
/* Do the claims of the answer's token say that what was asked for is done, and with this very policy token? Errors: TOKEN_CLAIM_INVALID; SERVICE_ANSWER_INVALID
 * where they say something else. *ret_signer: PEM of the signer that the service names, NULL if none. */
Err *maa_policy_check_change(const Json *claims, MaaPolicyChange change, const char *policy_token, char **ret_signer) _must_check_;
