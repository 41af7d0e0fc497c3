/* See hash.h.
 *
 * Looking an algorithm up in OpenSSL 3 costs more than hashing a PCR value, and an IMA list means some hundred thousand
 * of both; so every algorithm is fetched once for each process and kept. */
#include "tcg/hash-openssl.h"

#include <ctype.h>
#include <stdatomic.h>

static const struct HashInfo {
        uint16_t alg;
        uint16_t size;
        const char *name;      /* tpm2-tools and the kernel write it so */
        const char *evp_name;
} hash_infos[HASH_ALGS_MAX] = {
        { HASH_SHA1, 20, "sha1", "SHA1" },
        { HASH_SHA256, 32, "sha256", "SHA256" },
        { HASH_SHA384, 48, "sha384", "SHA384" },
        { HASH_SHA512, 64, "sha512", "SHA512" },
        { HASH_SM3_256, 32, "sm3_256", "SM3" },
        { HASH_SHA3_256, 32, "sha3_256", "SHA3-256" },
        { HASH_SHA3_384, 48, "sha3_384", "SHA3-384" },
        { HASH_SHA3_512, 64, "sha3_512", "SHA3-512" },
};

struct Hash {
        EVP_MD_CTX *context;
        uint16_t alg;
};

static const struct HashInfo *hash_find(uint16_t alg) {
        for (size_t i = 0; i < HASH_ALGS_MAX; i++)
                if (hash_infos[i].alg == alg)
                        return &hash_infos[i];
        return NULL;
}

size_t hash_size(uint16_t alg) {
        const struct HashInfo *info = hash_find(alg);
        return info ? info->size : 0;
}

const char *hash_name(uint16_t alg) {
        const struct HashInfo *info = hash_find(alg);
        return info ? info->name : NULL;
}

/* "sha-256", "SHA256" and "sha256" are one name; so are "sm3-256" and "sm3_256". */
static bool hash_name_matches(Span name, const char *canonical) {
        for (size_t i = 0; i < name.size; i++) {
                if (name.data[i] == '-' || name.data[i] == '_')
                        continue;
                while (*canonical == '_')
                        canonical++;
                if (!*canonical || tolower(name.data[i]) != *canonical)
                        return false;
                canonical++;
        }
        return !*canonical;
}

uint16_t hash_from_text(Span name) {
        for (size_t i = 0; i < HASH_ALGS_MAX; i++)
                if (hash_name_matches(name, hash_infos[i].name))
                        return hash_infos[i].alg;
        return hash_name_matches(name, "sm3") ? HASH_SM3_256 : HASH_NONE;
}

uint16_t hash_from_name(const char *name) {
        return hash_from_text(span_from_string(name));
}

bool digest_equal(const Digest *a, const Digest *b) {
        return a->alg == b->alg && span_equal(digest_span(a), digest_span(b));
}

Err *hash_evp_md(uint16_t alg, const EVP_MD **ret) {
        static _Atomic(EVP_MD *) fetched[HASH_ALGS_MAX];
        const struct HashInfo *info = hash_find(alg);
        if (!info)
                return err_new(ERR_NOT_SUPPORTED, "hash algorithm 0x%04x is not known", alg);
        _Atomic(EVP_MD *) *slot = &fetched[info - hash_infos];
        EVP_MD *md = atomic_load(slot);
        if (!md) {
                EVP_MD *absent = NULL;
                md = EVP_MD_fetch(NULL, info->evp_name, NULL);
                if (!md)
                        return err_new(ERR_NOT_SUPPORTED, "OpenSSL of this system lacks the hash algorithm %s", info->name);
                if (!atomic_compare_exchange_strong(slot, &absent, md)) {
                        EVP_MD_free(md);
                        md = absent;
                }
        }
        *ret = md;
        return NULL;
}

Hash *hash_free(Hash *hash) {
        if (!hash)
                return NULL;
        EVP_MD_CTX_free(hash->context);
        free(hash);
        return NULL;
}

Err *hash_new(uint16_t alg, Hash **ret) {
        const EVP_MD *md;
        TRY(hash_evp_md(alg, &md));
        _cleanup_(hash_freep) Hash *hash = calloc(1, sizeof(*hash));
        if (!hash)
                return err_oom();
        hash->alg = alg;
        hash->context = EVP_MD_CTX_new();
        if (!hash->context || EVP_DigestInit_ex2(hash->context, md, NULL) != 1)
                return err_oom();
        *ret = steal_ptr(&hash);
        return NULL;
}

static Err *hash_failed(uint16_t alg) {
        return err_new(ERR_INTERNAL, "OpenSSL failed to compute a %s digest", hash_name(alg));
}

Err *hash_update(Hash *hash, Span data) {
        if (data.size > 0 && EVP_DigestUpdate(hash->context, data.data, data.size) != 1)
                return hash_failed(hash->alg);
        return NULL;
}

Err *hash_finish(Hash *hash, Digest *ret) {
        Digest digest = { .alg = hash->alg, .size = (uint16_t) hash_size(hash->alg) };
        unsigned size = 0;
        if (EVP_DigestFinal_ex(hash->context, digest.bytes, &size) != 1 || size != digest.size)
                return hash_failed(hash->alg);
        *ret = digest;
        return NULL;
}

Err *hash_digest2(uint16_t alg, Span a, Span b, Digest *ret) {
        _cleanup_(hash_freep) Hash *hash = NULL;
        TRY(hash_new(alg, &hash));
        TRY(hash_update(hash, a));
        TRY(hash_update(hash, b));
        return hash_finish(hash, ret);
}

Err *hash_digest(uint16_t alg, Span data, Digest *ret) {
        return hash_digest2(alg, data, (Span) {}, ret);
}

Err *digest_extend(Digest *value, Span digest) {
        return hash_digest2(value->alg, digest_span(value), digest, value);
}

Digest digest_zero(uint16_t alg) {
        return (Digest) { .alg = alg, .size = (uint16_t) hash_size(alg) };
}

Digest digest_make(uint16_t alg, Span value) {
        Digest digest = { .alg = alg };
        if (value.size == 0 || value.size > HASH_SIZE_MAX)
                return digest;
        memcpy(digest.bytes, value.data, value.size); /* lint: bounded by HASH_SIZE_MAX above */
        digest.size = (uint16_t) value.size;
        return digest;
}
