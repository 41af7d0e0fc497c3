/* The endorsement key's X.509 certificate: does a TPM's manufacturer vouch for that key, now?
 *
 * TCG EK Credential Profile 2.5: the subject is often empty, the TPM's manufacturer, model and version then stand in a critical subjectAltName
 * of directory names; an extended key usage has tcg-kp-EKCertificate. Each question is a function of its own, because whoever asks wants to
 * tell them apart. */
#pragma once

#include <openssl/x509.h>

#include "base/bytes.h"

#define EK_CERTIFICATE_CHAIN_MAX 8
#define EK_CERTIFICATE_USAGE "2.23.133.8.1"   /* tcg-kp-EKCertificate */

/* The certificate first, intermediate ones behind it. */
typedef struct EkCertificate {
        STACK_OF(X509) *chain;
} EkCertificate;
void ek_certificate_done(EkCertificate *certificate);
#define _cleanup_ek_certificate_ _cleanup_(ek_certificate_done)

/* PEM, or DER certificates one behind the other; padding of 0x00 or 0xff may follow the last. All errors here: EK_CERTIFICATE_INVALID. */
Err *ek_certificate_parse(Span input, EkCertificate *ret) _must_check_;
/* What the NV indices from EK_CHAIN_NV_FIRST on hold, one behind the other in the order of their handles (TCG EK Credential Profile 2.5, EK certificate chains): DER certificates of
 * intermediate authorities, which may be cut anywhere between two indices, with padding of 0x00 or 0xff behind any of them. *ret: the same without padding. */
#define EK_CHAIN_NV_FIRST UINT32_C(0x01c00100)
#define EK_CHAIN_NV_LAST UINT32_C(0x01c001ff)
#define EK_CHAIN_SIZE_MAX (64u << 10)   /* ours; eight certificates of the largest keys */
Err *ek_chain_tidy(Span nv, Bytes *ret) _must_check_;
/* Adds the certificates of such a chain, without padding, as further intermediate ones. */
Err *ek_certificate_add_chain(EkCertificate *certificate, Span chain) _must_check_;
/* Is it for that TPMT_PUBLIC? Also QUOTE_MALFORMED. */
Err *ek_certificate_match(const EkCertificate *certificate, Span ek_public) _must_check_;
/* Is it an end entity's, and an endorsement key's where it says what it is for? */
Err *ek_certificate_check_usage(const EkCertificate *certificate) _must_check_;
/* now: seconds since 1970. */
Err *ek_certificate_check_dates(const EkCertificate *certificate, int64_t now) _must_check_;
/* Does its chain end in one of roots (intermediate ones are anchors too)? NULL or empty: no. */
Err *ek_certificate_check_issuer(const EkCertificate *certificate, STACK_OF(X509) *roots, int64_t now) _must_check_;
