/* SGX quotes that an ECDSA quoting enclave made (DCAP, version 3), bare or as an Open Enclave report: what an enclave is and said, and who vouches
 * for it.
 *
 *     PCK certificate (of the platform, in the quote)  signs  the quoting enclave's report
 *     the quoting enclave's report                     binds  the attestation key, by its hash
 *     attestation key                                  signs  header and report of the enclave
 *     the enclave's report                             binds  64 bytes of the enclave's choice
 *
 * Not judged: the identity and the TCB level of platform and quoting enclave, for which Intel's collateral would be needed, and revocation. Spans borrow
 * from the input. */
#pragma once

#include <openssl/x509.h>

#include "base/bytes.h"

#define SGX_REPORT_DATA_SIZE 64
#define SGX_QUOTE_SIZE_MAX (1u << 20)     /* our own limit; real ones have less than 5 kB */

/* Attribute flags (Intel SDM vol. 3D, "ATTRIBUTES"). */
#define SGX_FLAG_DEBUG UINT64_C(0x02)
#define SGX_FLAG_KSS UINT64_C(0x80)

typedef struct SgxReport {
        Span cpu_svn;                     /* 16 bytes */
        uint32_t misc_select;
        uint64_t flags, xfrm;
        Span mrenclave, mrsigner;         /* 32 bytes each */
        Span config_id;                   /* 64 bytes; zero unless SGX_FLAG_KSS */
        uint16_t product_id, svn, config_svn;
        Span report_data;                 /* SGX_REPORT_DATA_SIZE bytes */
} SgxReport;

typedef struct SgxQuote {
        uint16_t qe_svn, pce_svn;
        Span qe_vendor_id;                /* 16 bytes */
        SgxReport report;
        Span signed_part;                 /* header and report */
        Span signature;                   /* r || s */
        Span attestation_key;             /* x || y */
        SgxReport qe_report;
        Span qe_report_bytes, qe_signature, qe_authentication_data;
        uint16_t certification_type;
        Span certification_data;
} SgxQuote;

/* Error: QUOTE_MALFORMED with field and offset, also for other versions and kinds of keys. */
Err *sgx_quote_parse(Span input, SgxQuote *ret) _must_check_;
/* The quote within an Open Enclave report. Error: QUOTE_MALFORMED. */
Err *sgx_quote_unwrap_open_enclave(Span report, Span *ret_quote) _must_check_;

/* The PCK certificate and those above it, as the quote carries them. Error: QUOTE_MALFORMED (certification data of another type, no PEM). */
Err *sgx_quote_get_pck_chain(const SgxQuote *quote, STACK_OF(X509) **ret) _must_check_;
/* All that the drawing above shows but for the PCK certificate's own issuers. Errors: QUOTE_SIGNATURE_INVALID, QUOTE_MALFORMED (a key that is none). */
Err *sgx_quote_verify(const SgxQuote *quote, X509 *pck) _must_check_;

/* Does field (report data or configuration id, 64 bytes) hold SHA-256(data) and zeros? what names it. Error: QUOTE_NONCE_MISMATCH. */
Err *sgx_quote_check_binding(Span field, Span data, const char *what) _must_check_;
