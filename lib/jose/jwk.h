/* Keys: JWK and JWK sets (RFC 7517, RFC 7518 §6), and what an X.509 chain in them says. RSA and EC (P-256, P-384, P-521). */
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/json.h"

#define JWK_X5C_MAX 8
#define JWK_SET_MAX 64
#define JWK_RSA_BITS_MIN 2048
#define JWK_RSA_BITS_MAX 16384

typedef struct Jwk {
        EVP_PKEY *key;
        char *kid;          /* NULL if absent */
        char *alg;          /* NULL if absent */
        char *use;          /* NULL if absent */
        bool for_verify;    /* use and key_ops allow verifying */
        STACK_OF(X509) *x5c; /* NULL if absent; leaf first */
} Jwk;

Jwk *jwk_free(Jwk *jwk);
DEFINE_CLEANUP(Jwk, jwk_free)
/* From a JSON object. x5c first, n/e or x/y as fallback (the real service gives x5c alone); if both are there they must be the same key.
 * Certificates need only to parse, dates and encoding of dates are not judged here. Error: KEY_INVALID with the member. */
Err *jwk_from_json(const Json *json, Jwk **ret) _must_check_;
/* Public part as {"kty":"RSA","n":…,"e":…} or {"crv":…,"kty":"EC","x":…,"y":…}: minified text with members in that order. */
Err *jwk_public_text(EVP_PKEY *key, char **ret) _must_check_;
/* Do two keys have the same public part? */
bool jwk_same_key(EVP_PKEY *a, EVP_PKEY *b);
/* RFC 7638 SHA-256 thumbprint, base64url. */
Err *jwk_thumbprint(EVP_PKEY *key, char **ret) _must_check_;

typedef struct JwkSet {
        Jwk **keys;
        size_t n_keys;
        size_t n_skipped;   /* keys of a kind that is not known (RFC 7517 §5: ignored) */
} JwkSet;
JwkSet *jwk_set_free(JwkSet *set);
DEFINE_CLEANUP(JwkSet, jwk_set_free)
/* A JWK set {"keys":[…]} or one JWK. Two keys with one kid: KEY_INVALID. */
Err *jwk_set_parse(Span text, const char *what, JwkSet **ret) _must_check_;
/* By exact kid, or by kid with padding ignored. NULL if absent. */
const Jwk *jwk_set_find(const JwkSet *set, const char *kid);

Err *jose_key_generate_rsa(unsigned bits, EVP_PKEY **ret) _must_check_;

/* Certificate thumbprint: SHA-1 of the DER, base64url (x5t, RFC 7515 §4.1.7). */
Err *x509_thumbprint(X509 *certificate, char **ret) _must_check_;
/* The same with SHA-256 (x5t#S256, §4.1.8). */
Err *x509_thumbprint_sha256(X509 *certificate, char **ret) _must_check_;
static inline EVP_PKEY *pkey_free(EVP_PKEY *key) { EVP_PKEY_free(key); return NULL; }
DEFINE_CLEANUP(EVP_PKEY, pkey_free)
static inline X509 *x509_free(X509 *x509) { X509_free(x509); return NULL; }
DEFINE_CLEANUP(X509, x509_free)
