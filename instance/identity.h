/* Who the instance is: its TLS name, the keys it publishes, the keys it signs with.
 *
 *     ca.pem              what clients trust for TLS; issues tls.pem
 *     token-root, -intermediate, -leaf   RSA-2048 chain that signs TPM tokens: x5c of three, kid = x5t of the leaf
 *     instance            self-signed, CN = the instance's URL, serial 1, 2019-05-01 to 2050-12-31, for every other kind of token;
 *                         kid = base64(SHA-256(PEM text of the public key, its final newline and one NUL))
 *     aik-ca              an authority for AIK certificates: one of the roots that AIK certificates may chain to
 *     context.key         for service contexts
 *     authority           self-signed, signs access tokens; only where there is a token authority (--applications)
 *
 * Both forms of kid are those that the real service publishes. */
#pragma once

#include "instance/ca.h"

#define IDENTITY_CHAIN_SIZE 3

typedef struct Identity {
        char *url;                       /* "https://127.0.0.1:PORT", also the issuer of tokens */
        CaIdentity ca, tls, instance, aik_ca, authority;
        CaIdentity token_chain[IDENTITY_CHAIN_SIZE];  /* leaf, intermediate, root */
        char *token_kid, *instance_kid;
        Bytes context_key;
} Identity;

/* Reads what the state directory has and makes what is missing. */
Err *identity_load(const char *directory, const char *url, int64_t now_sec, Identity **ret) _must_check_;
Identity *identity_free(Identity *identity);
DEFINE_CLEANUP(Identity, identity_free)

/* The key of the token authority, made on first use. */
Err *identity_load_authority(Identity *identity, const char *directory, int64_t now_sec) _must_check_;
/* A new key at the end of the token chain, in memory alone: what was signed before has a kid that is not published any more. */
Err *identity_rotate(Identity *identity, int64_t now_sec) _must_check_;

/* The kid of a key outside the token chain. */
Err *identity_kid_of_key(EVP_PKEY *key, char **ret) _must_check_;
/* One element of a key set, {"x5c":[…],"kid":…,"kty":"RSA"}: text of n certificates, leaf first. */
Err *identity_jwk_entry(X509 *const *certificates, size_t n, const char *kid, char **ret) _must_check_;
/* ["…","…"]: the certificates in standard base64. */
Err *identity_x5c(X509 *const *certificates, size_t n, char **ret) _must_check_;
