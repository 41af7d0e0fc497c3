/* X.509 as far as tokens need it: an x5c chain, a PEM file of trust anchors, a chain up to an anchor at a given time.
 *
 * Certificates are judged only in x509_chain_verify(). The service's own self-signed certificates write dates in a form that RFC 5280
 * forbids, so whoever wants no more than the key of a certificate takes it without looking at dates. */
#pragma once

#include "jose/jwk.h"

#define X509_PEM_CERTIFICATES_MAX 64

STACK_OF(X509) *x509_stack_free(STACK_OF(X509) *stack);
static inline void x509_stack_freep(STACK_OF(X509) **stack) {
        *stack = x509_stack_free(*stack);
}

/* An x5c array: 1..JWK_X5C_MAX strings in base64 (RFC 7515 §4.1.6), leaf first. Error: KEY_INVALID. */
Err *x509_chain_from_json(const Json *x5c, STACK_OF(X509) **ret) _must_check_;
/* The reverse: an array of strings in base64, in the order of the stack. */
Err *x509_chain_to_json(const STACK_OF(X509) *chain, Json **ret) _must_check_;
/* All certificates of a PEM text, 1..X509_PEM_CERTIFICATES_MAX. what names it. Error: KEY_INVALID. */
Err *x509_stack_from_pem(Span pem, const char *what, STACK_OF(X509) **ret) _must_check_;
/* PEM of all of them, in their order. */
Err *x509_stack_to_pem(const STACK_OF(X509) *stack, char **ret) _must_check_;
/* The first certificate of a stack. Borrowed. */
X509 *x509_stack_leaf(const STACK_OF(X509) *stack);

/* The same as a key that may verify: the leaf's, with the chain as its x5c. Error: KEY_INVALID. */
Err *jwk_from_x5c(const Json *x5c, Jwk **ret) _must_check_;

typedef struct X509ChainRules {
        STACK_OF(X509) *anchors;      /* any certificate in it ends the chain, also an intermediate or the leaf itself */
        uint64_t at_sec;              /* realtime at which every certificate must be valid */
        const char *leaf_purpose;     /* OID text: a leaf with an extended key usage must have it (or any); NULL: not checked */
} X509ChainRules;
/* chain: leaf first, the others in any order. Signatures of 112 bits security and more; a leaf with a key usage must be allowed to sign.
 * Error: TOKEN_CHAIN_INVALID with OpenSSL's reason and the subject of the certificate. */
Err *x509_chain_verify(const STACK_OF(X509) *chain, const X509ChainRules *rules) _must_check_;

/* A private key as PEM (PKCS #8, RFC 5958), without a password: a secret. */
Err *pkey_to_pem(EVP_PKEY *key, char **ret) _must_check_;
