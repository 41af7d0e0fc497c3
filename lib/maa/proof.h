/* Proofs of possession: a caller's bytes signed with the key that a token is bound to (cnf), as a compact JWS.
 *
 *     {"alg":"PS256","typ":"attestd-proof+jws","kid":"<RFC 7638 SHA-256 thumbprint of the key>"} . payload . signature
 *
 * The same key signs attestation requests, so the two must never be mistaken for one another: a request has typ attReqV2 and no kid, a proof always has
 * this typ and a kid, and both stand in the header, which is signed. */
#pragma once

#include "jose/jws.h"

#define PROOF_TYPE "attestd-proof+jws"
#define PROOF_PAYLOAD_MAX (64u << 10)   /* ours */

/* What is to be signed with PS256 (jws_signing_digest(), jws_append_signature()); the payload is copied. Errors: LIMIT_EXCEEDED,
 * TOKEN_ALG_KEY_MISMATCH. */
Err *proof_signing_input(EVP_PKEY *key, Span payload, Source **ret) _must_check_;
/* The proof, with a key at hand. Errors: those above. */
Err *proof_sign(EVP_PKEY *key, Span payload, char **ret) _must_check_;
