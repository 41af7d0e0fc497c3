/* The AIK's X.509 certificate: is it for this key, in date, and from a known issuer?
 *
 * Certificates are often read from an NV index of fixed size: bytes of 0x00 or 0xff behind the DER are padding. */
#pragma once

#include <openssl/x509.h>

#include "base/bytes.h"

typedef struct AikCertificate {
        char *subject, *issuer;   /* RFC 2253 text; an empty subject is usual, the names then are in subjectAltName */
        bool chain_verified;      /* false where no roots were given */
        int64_t not_before, not_after;   /* seconds since 1970 */
        char *key_thumbprint;     /* RFC 7638; NULL if the key is of a kind that has none */
} AikCertificate;
AikCertificate *aik_certificate_free(AikCertificate *certificate);
DEFINE_CLEANUP(AikCertificate, aik_certificate_free)

/* The DER without the padding behind it; borrows from input. Error: AIK_CERTIFICATE_INVALID if no certificate begins there or other
 * bytes follow it. */
Err *aik_certificate_cut(Span input, Span *ret_der) _must_check_;
/* What the certificate says, with nothing judged. Error: AIK_CERTIFICATE_INVALID. */
Err *aik_certificate_read(Span input, AikCertificate **ret) _must_check_;
/* now is in seconds since 1970. roots: what the chain must end in (any certificate of them is an anchor, intermediate ones too); NULL: the issuer is
 * not judged. intermediates: untrusted help for the chain, may be NULL. Error: AIK_CERTIFICATE_INVALID saying which of the checks failed. */
Err *aik_certificate_check(Span input, EVP_PKEY *aik, uint64_t now, STACK_OF(X509) *roots, STACK_OF(X509) *intermediates,
                           AikCertificate **ret) _must_check_;
