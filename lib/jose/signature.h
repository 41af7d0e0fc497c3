/* Raw signatures of the JOSE algorithms (RFC 7518 §3.3-3.5), without anything of JWS around them.
 *
 *     RS*  RSASSA-PKCS1-v1_5                 as long as the modulus
 *     PS*  RSASSA-PSS, MGF1 with the same hash, salt as long as the hash
 *     ES*  ECDSA, r || s, each as long as the curve's field (not DER)
 *
 * The algorithm fixes everything: nothing about a signature is taken from the signature. */
#pragma once

#include "jose/jws.h"

/* The hash of an asymmetric algorithm; NULL for none, HS* and unknown ones. Static. */
const EVP_MD *jose_signature_digest(JoseAlg alg);
/* Is the key of the kind (RSA, EC on the curve) that alg needs? Error: TOKEN_ALG_KEY_MISMATCH. */
Err *jose_signature_check_kind(JoseAlg alg, EVP_PKEY *key) _must_check_;
/* RSA: at least JWK_RSA_BITS_MIN bits, and not made by the generator of CVE-2017-15361 (ROCA). Error: TOKEN_KEY_WEAK. */
Err *jose_signature_check_strength(EVP_PKEY *key) _must_check_;
/* Octets of every signature that key makes with alg, of a kind that fits. */
size_t jose_signature_size(JoseAlg alg, EVP_PKEY *key);
/* key must have passed both checks. Errors: TOKEN_TRUNCATED (shorter than every signature of the key), TOKEN_SIGNATURE_INVALID. */
Err *jose_signature_verify(JoseAlg alg, EVP_PKEY *key, Span data, Span signature) _must_check_;
/* The same over a digest that is at hand. Error besides: INVALID_ARGUMENT (no digest of alg). */
Err *jose_signature_verify_digest(JoseAlg alg, EVP_PKEY *key, Span digest, Span signature) _must_check_;
/* Signs a finished digest. Errors: INVALID_ARGUMENT (key does not fit alg), INTERNAL. */
Err *jose_signature_sign_digest(JoseAlg alg, EVP_PKEY *key, Span digest, Bytes *ret) _must_check_;
