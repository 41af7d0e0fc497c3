/* Which key attests, and its certificate.
 *
 * AikHandle=auto takes the key that a platform provisioned (Azure: 0x81000003), if it is there and can attest, else our own one. An EC key of the platform is
 * taken only where AikAlgorithm= asks for EC: the service's protocol describes RSA keys alone. own is our own one whatever the platform has.
 * AikCertificate=auto takes the certificate that an enrolment of our own key brought (own-key.h), else what stands in the platform's NV index (Azure:
 * 0x01C101D0), if it is for that key, else none. */
#pragma once

#include "base/bytes.h"
#include "tpm/own-key.h"

#define AIK_PLATFORM_HANDLE 0x81000003
#define AIK_PLATFORM_CERTIFICATE 0x01C101D0

typedef struct Aik {
        TpmObject object;
        Bytes public;        /* TPMT_PUBLIC */
        Bytes name;          /* TPM 2.0 Part 1 §16 */
        Bytes certificate;   /* DER; empty if there is none */
        char *origin;        /* "0x81000003", "own", or "file:/path" */
        char *certificate_issuer;        /* RFC 2253; NULL without a certificate */
        uint64_t certificate_expires;    /* seconds since 1970; 0 without a certificate */
        char *notice;        /* one sentence that deserves attention, or NULL */
} Aik;
#define AIK_NONE { .object = TPM_OBJECT_NONE }

typedef struct AikOptions {
        const char *handle;        /* as in AikHandle= */
        const char *certificate;   /* "auto", "none", "nv:0x…" or a path */
} AikOptions;

/* Leaves an object in the TPM until aik_done(). Errors: TPM_AIK_MISSING, TPM_AIK_INVALID, AIK_CERTIFICATE_INVALID, CONFIG_INVALID, IO,
 * those of the TPM. */
Err *aik_load(TpmContext *context, const AikOptions *options, OwnKey *own, Aik *ret) _must_check_;
void aik_done(Aik *aik);
#define _cleanup_aik_ _cleanup_(aik_done)

/* "0x81000003" as a number. Error: CONFIG_INVALID. */
Err *aik_parse_handle(const char *text, uint32_t *ret) _must_check_;
