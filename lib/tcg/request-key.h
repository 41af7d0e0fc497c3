/* A request key that lives in a TPM: what it must be, and PS256 signatures with it (RFC 7518 §3.5: RSASSA-PSS with SHA-256, MGF1 with SHA-256, a salt
 * of 32 octets).
 *
 * A TPM chooses the length of the salt by itself: that of the digest, or as long as there is room for (TPM 2.0 Part 1 §B.7). Where it takes the latter,
 * the padding is made here (RFC 8017 §9.1.1) and the TPM does the bare RSA operation, for which the key must be allowed to decrypt too:
 *
 *     M' = 8 octets 0 | digest | salt          H = SHA-256(M')
 *     DB = 0 … 0 1 | salt                      EM = DB xor MGF1(H) | H | 0xbc        as long as the modulus
 */
#pragma once

#include "tcg/quote.h"

#define REQUEST_KEY_BITS 2048
#define REQUEST_KEY_DIGEST_SIZE 32

/* public is a TPMT_PUBLIC everywhere here. Is it an RSA key of REQUEST_KEY_BITS that never was outside its TPM, and may sign and decrypt with any
 * scheme? Errors: KEY_INVALID naming what it lacks, QUOTE_MALFORMED. */
Err *request_key_check(Span public) _must_check_;
/* The padded digest, ready for the RSA private operation. Errors: INVALID_ARGUMENT (no SHA-256 digest), those of request_key_check(). */
Err *request_key_pad(Span public, Span digest, Bytes *ret_padded) _must_check_;
/* Is it a PS256 signature over the digest? Errors: KEY_INVALID, TOKEN_TRUNCATED, TOKEN_SIGNATURE_INVALID. */
Err *request_key_verify(Span public, Span digest, Span signature) _must_check_;
