/* Keys and certificates of the instance, and their files in the state directory.
 *
 * A key is NAME.key (PKCS #8 PEM, 0600), its certificate NAME.pem (0644). Each file is written whole or not at all, the key first, so a
 * start that is killed anywhere is completed by the next one: a certificate that is missing, out of date or not for its key is issued
 * again for the key that is there. */
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/bytes.h"

#define CA_KEY_BITS 2048

/* Names owned by OpenSSL are shared, so identities copy references. */
typedef struct CaIdentity {
        EVP_PKEY *key;
        X509 *certificate;
} CaIdentity;
void ca_identity_done(CaIdentity *identity);
#define _cleanup_ca_identity_ _cleanup_(ca_identity_done)

typedef struct CaCertificate {
        const char *common_name;
        const char *alt_names;       /* OpenSSL's subjectAltName syntax; NULL: none */
        const char *usages;          /* extendedKeyUsage; NULL: none */
        bool is_ca;
        uint64_t serial;             /* 0: random, 63 bits */
        int64_t not_before, not_after;  /* seconds since 1970 */
        const CaIdentity *issuer;    /* NULL: self-signed */
} CaCertificate;

Err *ca_key_generate(unsigned bits, EVP_PKEY **ret) _must_check_;
Err *ca_certificate_issue(const CaCertificate *wanted, EVP_PKEY *key, X509 **ret) _must_check_;
Err *ca_certificate_to_pem(X509 *certificate, Bytes *ret) _must_check_;
Err *ca_certificate_to_der(X509 *certificate, Bytes *ret) _must_check_;
Err *ca_public_key_to_pem(EVP_PKEY *key, Bytes *ret) _must_check_;
Err *ca_private_key_to_pem(EVP_PKEY *key, Bytes *ret) _must_check_;

/* Makes the directory if it is missing (0700; an existing one must be nobody else's to write). */
Err *ca_state_prepare(const char *directory) _must_check_;
/* NAME.key, made on first use. */
Err *ca_state_key(const char *directory, const char *name, EVP_PKEY **ret) _must_check_;
/* The same with NAME.pem, issued as wanted says if there is none that fits (key, issuer, dates at now). */
Err *ca_state_identity(const char *directory, const char *name, const CaCertificate *wanted, int64_t now_sec, CaIdentity *ret) _must_check_;
/* NAME with size random bytes, made on first use. */
Err *ca_state_secret(const char *directory, const char *name, size_t size, Bytes *ret) _must_check_;
/* All certificates of a PEM file; at least one. */
Err *ca_read_certificates(const char *path, STACK_OF(X509) **ret) _must_check_;
