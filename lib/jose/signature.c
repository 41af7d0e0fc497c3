/* See signature.h. */
#include "jose/signature.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/rsa.h>

#include "jose/openssl.h"

typedef enum Family { FAMILY_NONE, FAMILY_PKCS1, FAMILY_PSS, FAMILY_ECDSA } Family;

static inline ECDSA_SIG *ecdsa_free(ECDSA_SIG *signature) { ECDSA_SIG_free(signature); return NULL; }
DEFINE_CLEANUP(ECDSA_SIG, ecdsa_free)

static Family family_of(JoseAlg alg) {
        switch (alg) {
        case JOSE_ALG_RS256:
        case JOSE_ALG_RS384:
        case JOSE_ALG_RS512:
                return FAMILY_PKCS1;
        case JOSE_ALG_PS256:
        case JOSE_ALG_PS384:
        case JOSE_ALG_PS512:
                return FAMILY_PSS;
        case JOSE_ALG_ES256:
        case JOSE_ALG_ES384:
        case JOSE_ALG_ES512:
                return FAMILY_ECDSA;
        case JOSE_ALG_UNKNOWN:
        case JOSE_ALG_NONE:
        case JOSE_ALG_HS256:
        case JOSE_ALG_HS384:
        case JOSE_ALG_HS512:
        case _JOSE_ALG_MAX:
                break;
        }
        return FAMILY_NONE;
}

const EVP_MD *jose_signature_digest(JoseAlg alg) {
        switch (alg) {
        case JOSE_ALG_RS256:
        case JOSE_ALG_PS256:
        case JOSE_ALG_ES256:
                return EVP_sha256();
        case JOSE_ALG_RS384:
        case JOSE_ALG_PS384:
        case JOSE_ALG_ES384:
                return EVP_sha384();
        case JOSE_ALG_RS512:
        case JOSE_ALG_PS512:
        case JOSE_ALG_ES512:
                return EVP_sha512();
        case JOSE_ALG_UNKNOWN:
        case JOSE_ALG_NONE:
        case JOSE_ALG_HS256:
        case JOSE_ALG_HS384:
        case JOSE_ALG_HS512:
        case _JOSE_ALG_MAX:
                break;
        }
        return NULL;
}

/* Octets of the field of the curve that alg is bound to (RFC 7518 §3.4), and the curve's name. */
static size_t coordinate_size(JoseAlg alg, const char **ret_group) {
        *ret_group = alg == JOSE_ALG_ES256 ? "prime256v1" : alg == JOSE_ALG_ES384 ? "secp384r1" : "secp521r1";
        return alg == JOSE_ALG_ES256 ? 32 : alg == JOSE_ALG_ES384 ? 48 : 66;
}

Err *jose_signature_check_kind(JoseAlg alg, EVP_PKEY *key) {
        Family family = family_of(alg);
        int kind = EVP_PKEY_get_base_id(key);
        if (family == FAMILY_NONE || kind != (family == FAMILY_ECDSA ? EVP_PKEY_EC : EVP_PKEY_RSA))
                return err_new(ERR_TOKEN_ALG_KEY_MISMATCH, "the key is not of the kind that %s needs", jose_alg_to_string(alg));
        if (family != FAMILY_ECDSA)
                return NULL;

        const char *wanted;
        char group[64];
        size_t size;
        coordinate_size(alg, &wanted);
        bool known = EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group), &size) == 1;
        openssl_forget_errors();
        if (!known || !string_equal(group, wanted))
                return err_new(ERR_TOKEN_ALG_KEY_MISMATCH, "the key is on another curve than %s needs", jose_alg_to_string(alg));
        return NULL;
}

/* CVE-2017-15361: primes of that generator have the form k*M + (65537^a mod M) with M a product of small primes, so the modulus is a power of
 * 65537 modulo each of these primes. A random modulus is so with a probability of about 2^-27 (Nemec and others, "The Return of
 * Coppersmith's Attack", CCS 2017, §2). M of the shortest keys, the first 39 primes, divides that of all longer ones. */
static bool modulus_is_roca(const BIGNUM *modulus) {
        static const uint8_t primes[] = { 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107,
                                          109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167 };
        for (size_t i = 0; i < N_ELEMENTS(primes); i++) {
                unsigned prime = primes[i], power = 1, wanted = (unsigned) BN_mod_word(modulus, prime);
                do
                        power = power * (65537 % prime) % prime;
                while (power != wanted && power != 1);
                if (power != wanted)
                        return false;
        }
        return true;
}

Err *jose_signature_check_strength(EVP_PKEY *key) {
        if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA)
                return NULL; /* the curves that are known are all strong */
        BIGNUM *number = NULL;
        if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &number) != 1)
                return openssl_error(ERR_KEY_INVALID, "reading the RSA modulus");
        _cleanup_(bignum_freep) BIGNUM *modulus = number;
        if (BN_num_bits(modulus) < JWK_RSA_BITS_MIN)
                return err_new(ERR_TOKEN_KEY_WEAK, "the RSA key has %d bits, at least %d are needed", BN_num_bits(modulus), JWK_RSA_BITS_MIN);
        if (modulus_is_roca(modulus))
                return err_new(ERR_TOKEN_KEY_WEAK, "the RSA key comes from a generator whose keys can be factored (CVE-2017-15361)");
        return NULL;
}

size_t jose_signature_size(JoseAlg alg, EVP_PKEY *key) {
        const char *group;
        if (family_of(alg) == FAMILY_ECDSA)
                return 2 * coordinate_size(alg, &group);
        int size = EVP_PKEY_get_size(key);
        return size > 0 ? (size_t) size : 0;
}

/* r || s -> DER, which is what OpenSSL wants. */
static Err *ecdsa_to_der(Span signature, Bytes *ret) {
        _cleanup_(bignum_freep) BIGNUM *r = BN_bin2bn(signature.data, (int) (signature.size / 2), NULL);
        _cleanup_(bignum_freep) BIGNUM *s = BN_bin2bn(signature.data + signature.size / 2, (int) (signature.size / 2), NULL);
        _cleanup_(ecdsa_freep) ECDSA_SIG *pair = ECDSA_SIG_new();
        if (!r || !s || !pair)
                return err_oom();
        if (ECDSA_SIG_set0(pair, r, s) != 1)
                return openssl_error(ERR_INTERNAL, "building an ECDSA signature");
        (void) steal_ptr(&r);
        (void) steal_ptr(&s);
        unsigned char *der = NULL;
        int size = i2d_ECDSA_SIG(pair, &der);
        if (size <= 0)
                return openssl_error(ERR_INTERNAL, "encoding an ECDSA signature");
        Err *err = bytes_copy(span_make(der, (size_t) size), ret);
        OPENSSL_free(der);
        return err;
}

static Err *ecdsa_from_der(Span der, size_t half, Bytes *ret) {
        const unsigned char *end = der.data;
        _cleanup_(ecdsa_freep) ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &end, (long) der.size);
        _cleanup_bytes_ Bytes octets = {};
        if (!pair)
                return openssl_error(ERR_INTERNAL, "decoding an ECDSA signature");
        TRY(bytes_alloc(2 * half, &octets));
        if (BN_bn2binpad(ECDSA_SIG_get0_r(pair), octets.data, (int) half) < 0 ||
            BN_bn2binpad(ECDSA_SIG_get0_s(pair), octets.data + half, (int) half) < 0)
                return openssl_error(ERR_INTERNAL, "an ECDSA signature is too large");
        *ret = bytes_steal(&octets);
        return NULL;
}

/* Padding of the context of a signature or verification, as alg fixes it. */
static bool set_padding(EVP_PKEY_CTX *context, JoseAlg alg) {
        switch (family_of(alg)) {
        case FAMILY_PKCS1:
                return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1;
        case FAMILY_PSS:
                return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
                       EVP_PKEY_CTX_set_rsa_mgf1_md(context, jose_signature_digest(alg)) == 1 &&
                       EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1;
        case FAMILY_ECDSA:
        case FAMILY_NONE:
                break;
        }
        return true;
}

static Err *check_size(JoseAlg alg, EVP_PKEY *key, Span signature) {
        size_t size = jose_signature_size(alg, key);
        if (signature.size < size)
                return err_new(ERR_TOKEN_TRUNCATED, "the signature has %zu octets, the key makes %zu", signature.size, size);
        if (signature.size > size)
                return err_new(ERR_TOKEN_SIGNATURE_INVALID, "the signature has %zu octets, the key makes %zu", signature.size, size);
        return NULL;
}

Err *jose_signature_verify_digest(JoseAlg alg, EVP_PKEY *key, Span digest, Span signature) {
        const EVP_MD *md = jose_signature_digest(alg);
        _cleanup_bytes_ Bytes der = {};
        if (!md || digest.size != (size_t) EVP_MD_get_size(md))
                return err_new(ERR_INVALID_ARGUMENT, "%zu octets are no digest of %s", digest.size, jose_alg_to_string(alg));
        TRY(check_size(alg, key, signature));
        if (family_of(alg) == FAMILY_ECDSA) {
                TRY(ecdsa_to_der(signature, &der));
                signature = bytes_span(&der);
        }
        _cleanup_(pkey_context_freep) EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
        if (!context || EVP_PKEY_verify_init(context) != 1 || !set_padding(context, alg) || EVP_PKEY_CTX_set_signature_md(context, md) != 1)
                return openssl_error(ERR_INTERNAL, "preparing to verify a signature with %s", jose_alg_to_string(alg));
        int r = EVP_PKEY_verify(context, signature.data, signature.size, digest.data, digest.size);
        openssl_forget_errors();
        return r == 1 ? NULL : err_new(ERR_TOKEN_SIGNATURE_INVALID, "the %s signature does not verify", jose_alg_to_string(alg));
}

Err *jose_signature_verify(JoseAlg alg, EVP_PKEY *key, Span data, Span signature) {
        _cleanup_bytes_ Bytes der = {};
        TRY(check_size(alg, key, signature));
        if (family_of(alg) == FAMILY_ECDSA) {
                TRY(ecdsa_to_der(signature, &der));
                signature = bytes_span(&der);
        }
        _cleanup_(md_context_freep) EVP_MD_CTX *context = EVP_MD_CTX_new();
        EVP_PKEY_CTX *key_context = NULL;
        if (!context || EVP_DigestVerifyInit(context, &key_context, jose_signature_digest(alg), NULL, key) != 1 || !set_padding(key_context, alg))
                return openssl_error(ERR_INTERNAL, "preparing to verify a signature with %s", jose_alg_to_string(alg));
        int r = EVP_DigestVerify(context, signature.data, signature.size, data.data, data.size);
        openssl_forget_errors();
        return r == 1 ? NULL : err_new(ERR_TOKEN_SIGNATURE_INVALID, "the %s signature does not verify", jose_alg_to_string(alg));
}

Err *jose_signature_sign_digest(JoseAlg alg, EVP_PKEY *key, Span digest, Bytes *ret) {
        const char *group;
        const EVP_MD *md = jose_signature_digest(alg);
        TRY(err_wrap_code(ERR_INVALID_ARGUMENT, jose_signature_check_kind(alg, key), "signing with %s", jose_alg_to_string(alg)));
        if (digest.size != (size_t) EVP_MD_get_size(md))
                return err_new(ERR_INVALID_ARGUMENT, "a digest of %zu octets cannot be signed with %s", digest.size, jose_alg_to_string(alg));

        _cleanup_(pkey_context_freep) EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
        _cleanup_bytes_ Bytes signature = {};
        size_t size = 0;
        if (!context || EVP_PKEY_sign_init(context) != 1 || !set_padding(context, alg) || EVP_PKEY_CTX_set_signature_md(context, md) != 1 ||
            EVP_PKEY_sign(context, NULL, &size, digest.data, digest.size) != 1)
                return openssl_error(ERR_INTERNAL, "preparing to sign with %s", jose_alg_to_string(alg));
        TRY(bytes_alloc(size, &signature));
        if (EVP_PKEY_sign(context, signature.data, &size, digest.data, digest.size) != 1)
                return openssl_error(ERR_INTERNAL, "signing with %s", jose_alg_to_string(alg));
        signature.size = size;
        if (family_of(alg) == FAMILY_ECDSA)
                return ecdsa_from_der(bytes_span(&signature), coordinate_size(alg, &group), ret);
        *ret = bytes_steal(&signature);
        return NULL;
}
