/* What makes a key an attestation key, and its certificate.
 *
 * A quote is worth something only if the key signs nothing but what the TPM made itself (restricted, TPM 2.0 Part 1 §25.1.5), never
 * was outside this TPM (sensitiveDataOrigin, fixedTPM, fixedParent) and cannot decrypt. */
#pragma once

#include "tcg/quote.h"

/* aik_public is a TPMT_PUBLIC everywhere here. Errors: TPM_AIK_INVALID naming what the key lacks, QUOTE_MALFORMED. */
Err *aik_public_check(Span aik_public) _must_check_;
/* Hex SHA-256 of the DER SubjectPublicKeyInfo. */
Err *aik_fingerprint(Span aik_public, char **ret) _must_check_;
/* quote_verify() with the key in that form. */
Err *aik_verify_quote(Span aik_public, Span attest, Span signature, Span qualifying, const PcrValues *values, TpmAttest *ret_attest) _must_check_;

/* certify_verify() with the key in that form. */
Err *aik_verify_certification(Span aik_public, Span attest, Span signature, Span qualifying, Span tpmt_public) _must_check_;

#define AIK_CERTIFICATE_SIZE_MAX 65536   /* NV indices hold at most 64 KiB (TPMS_NV_PUBLIC.dataSize is a u16) */
/* PEM, or DER with padding behind it (an NV index is larger than the certificate in it). Gives the bytes of the certificate itself.
 * what names the place in errors. Error: AIK_CERTIFICATE_INVALID. */
Err *aik_decode_certificate(Span input, const char *what, Bytes *ret_der) _must_check_;
/* Is the certificate for that key? Error: AIK_CERTIFICATE_INVALID. */
Err *aik_match_certificate(Span der, Span aik_public) _must_check_;
