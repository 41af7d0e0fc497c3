/* The rules by which a token is believed. Each rule has an error code of its own (error.def TOKEN_*); the first that fails is reported,
 * in this order: form (three parts, base64url, strict JSON, duplicates) → alg on the allow-list → crit → jku, x5u, embedded jwk →
 * key (of the instance's set by kid, or x5c chain to a trust anchor) → alg fits key, key strength → signature → iss → exp → nbf → iat →
 * nonce → cnf → policy hash → required claims. jku, x5u and jwk are never followed.
 *
 * jku may only say where the instance's keys are anyway, ISSUER/certs. The token's own iss counts as ISSUER too: then a token of another
 * instance, which says so in both places, is refused for its issuer, and TOKEN_FOREIGN_JKU remains for what contradicts itself. */
#pragma once

#include "jose/jws.h"
#include "maa/attest_tpm.h"

#define TOKEN_SIZE_MAX (1u << 20)
#define TOKEN_CLOCK_SKEW_SEC 120
#define TOKEN_CLOCK_SKEW_MAX_SEC (UINT64_C(1) << 53)   /* ours: beyond the dates that JSON can hold, and far from overflow */

/* Checks that a caller may leave out by name. */
#define TOKEN_SKIP_EXPIRY (1u << 0)
#define TOKEN_SKIP_NOT_BEFORE (1u << 1)
#define TOKEN_SKIP_ISSUED_AT (1u << 2)
#define TOKEN_SKIP_SIGNATURE (1u << 3)   /* and with it algorithm, key, crit, jku: what comes is not believed, whatever its claims say */

typedef struct TokenRules {
        JoseAlgSet algorithms;            /* 0: RS256 alone */
        const JwkSet *keys;               /* the instance's key set; may be NULL if trust_anchors is set */
        STACK_OF(X509) *trust_anchors;    /* NULL: x5c chains count for nothing */
        const char *issuer;               /* NULL: not checked (the caller says so deliberately) */
        uint64_t now_sec;                 /* realtime */
        uint64_t clock_skew_sec;
        Span nonce;                       /* raw bytes that were sent as rp_data; empty: not checked */
        EVP_PKEY *request_key;            /* NULL: cnf not checked */
        const char *policy_hash;          /* NULL: not pinned; base64url as in x-ms-policy-hash */
        const NamedValue *required_claims; /* top level or inside x-ms-policy; value compared as text (true, 3, "x") */
        size_t n_required_claims;
        unsigned skipped;                 /* TOKEN_SKIP_… */
        bool signature_only;              /* judge the JWS alone, whatever its payload. A token without kid then fits a set of one key, and a set of
                                           * one key without kid fits every token */
} TokenRules;

typedef struct Token {
        Jws *jws;
        Json *claims;                     /* NULL if signature_only and the payload is no JSON object; so too in ret_parsed */
        uint64_t issued_sec, not_before_sec, expires_sec;   /* 0 if absent */
} Token;
Token *token_free(Token *token);
DEFINE_CLEANUP(Token, token_free)
/* On success ret has the believed token. On failure ret_parsed (may be NULL) has whatever could be parsed, to be shown, never believed; NULL if
 * nothing could be, and on success. A claim that a rule needs and that is absent or of another type: TOKEN_CLAIM_INVALID. */
Err *token_validate(Span text, const TokenRules *rules, Token **ret, Token **ret_parsed) _must_check_;
/* Parses without believing anything, for display. */
Err *token_parse(Span text, Token **ret) _must_check_;
/* {"header":{…},"claims":{…}}; JSON that TPM tokens carry as strings (x-ms-policy, x-ms-tpm-request-key) is shown as JSON. */
Err *token_to_json(const Token *token, Json **ret) _must_check_;
/* Would fetching the key set again perhaps mend this error? (TOKEN_KEY_UNKNOWN) */
bool token_error_wants_new_keys(const Err *err);
/* A PEM file with one or more certificates, as what names it. Error: KEY_INVALID. */
Err *token_trust_anchors_parse(Span pem, const char *what, STACK_OF(X509) **ret) _must_check_;
/* Frees what token_trust_anchors_parse() gave; NULL-safe. */
void token_trust_anchors_free(STACK_OF(X509) *anchors);
static inline void token_trust_anchors_freep(STACK_OF(X509) **anchors) {
        token_trust_anchors_free(*anchors);
        *anchors = NULL;
}
