/* The JWS in which policies, resets and policy signers arrive (protocol: Azure Attestation, "author and sign a policy", "policy signer examples").
 *
 *     PUT  /policies/TYPE           header . {"AttestationPolicy":"BASE64URL(policy text)"} . signature
 *     POST /policies/TYPE:reset     header . (nothing) . signature
 *     POST /certificates:add        header . {"policyCertificate":{"kty":"RSA","x5c":["DER of the certificate in base64"]}} . signature
 *
 *     header: {"alg":"none"} with an empty signature, or {"alg":"RS256","x5c":["signer",…]}
 *
 * The signer's certificates have to lead to one that is self-signed and an authority (basic constraints), as the service demands; their dates are not
 * judged, because nothing public says that the service does. The body may be the text itself or a JSON string of it. */
#pragma once

#include "jose/jws.h"
#include "policy/policy.h"

typedef struct PolicyJws {
        Jws *jws;
        STACK_OF(X509) *chain;  /* of the signer, leaf first; NULL: not signed */
        Json *payload;          /* an object; NULL: empty */
} PolicyJws;
void policy_jws_done(PolicyJws *jws);
#define _cleanup_policy_jws_ _cleanup_(policy_jws_done)

/* Parses, and verifies where it is signed. Errors: those of jws_parse() and jws_verify(), but for alg none; KEY_INVALID (x5c is missing or no chain);
 * TOKEN_CHAIN_INVALID; TOKEN_MALFORMED (payload); TOKEN_DUPLICATE_MEMBER. */
Err *policy_jws_open(Span body, PolicyJws *ret) _must_check_;

/* The claim AttestationPolicy, and the text in it. Error: TOKEN_CLAIM_REQUIRED, TOKEN_CLAIM_INVALID. */
Err *policy_jws_get_policy(const PolicyJws *jws, const char **ret_claim, Bytes *ret_text) _must_check_;
/* The certificate that is to be added or removed, under any of the three names that are documented for the claim. Error: TOKEN_CLAIM_REQUIRED,
 * TOKEN_CLAIM_INVALID. */
Err *policy_jws_get_certificate(const PolicyJws *jws, X509 **ret) _must_check_;

/* {"alg","kty","use","x5c"} of a chain, as the claims x-ms-policy-signer and x-ms-policy-certificates have it. Error: KEY_INVALID (kind of key). */
Err *policy_jws_signer_to_json(const STACK_OF(X509) *chain, Json **ret) _must_check_;
