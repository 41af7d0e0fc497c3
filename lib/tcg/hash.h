/* Hash algorithms by their TPM_ALG_ID (TPM 2.0 Part 2 §6.3, TCG Algorithm Registry) and digests of them. */
#pragma once

#include "base/bytes.h"

typedef enum HashAlg {
        HASH_NONE = 0,
        HASH_SHA1 = 0x0004,
        HASH_SHA256 = 0x000b,
        HASH_SHA384 = 0x000c,
        HASH_SHA512 = 0x000d,
        HASH_SM3_256 = 0x0012,
        HASH_SHA3_256 = 0x0027,
        HASH_SHA3_384 = 0x0028,
        HASH_SHA3_512 = 0x0029,
} HashAlg;

#define HASH_SIZE_MAX 64
#define HASH_ALGS_MAX 8 /* how many algorithms are known */

/* A digest by value. size is 0 in an empty one. */
typedef struct Digest {
        uint16_t alg;
        uint16_t size;
        uint8_t bytes[HASH_SIZE_MAX];
} Digest;

size_t hash_size(uint16_t alg);                     /* 0 if unknown */
const char *hash_name(uint16_t alg);                /* "sha256"; NULL if unknown */
uint16_t hash_from_name(const char *name);          /* "sha256", "SHA256", "sha-256"; HASH_NONE if unknown */
uint16_t hash_from_text(Span name);                 /* the same */
static inline Span digest_span(const Digest *digest) { return (Span) { digest->bytes, digest->size }; }
bool digest_equal(const Digest *a, const Digest *b); /* algorithm too */

/* One-shot. Error: NOT_SUPPORTED if OpenSSL lacks the algorithm. */
Err *hash_digest(uint16_t alg, Span data, Digest *ret) _must_check_;
/* H(a || b). */
Err *hash_digest2(uint16_t alg, Span a, Span b, Digest *ret) _must_check_;
/* PCR extend: value = H(value || digest). An all-zero start value has alg and size set, see digest_zero(). */
Err *digest_extend(Digest *value, Span digest) _must_check_;
Digest digest_zero(uint16_t alg);
/* A digest of these bytes; empty if there are more than HASH_SIZE_MAX. Whether the size fits the algorithm is the caller's business. */
Digest digest_make(uint16_t alg, Span value);

/* Streaming. */
typedef struct Hash Hash;
Err *hash_new(uint16_t alg, Hash **ret) _must_check_;
Err *hash_update(Hash *hash, Span data) _must_check_;
Err *hash_finish(Hash *hash, Digest *ret) _must_check_;
Hash *hash_free(Hash *hash);
DEFINE_CLEANUP(Hash, hash_free)
