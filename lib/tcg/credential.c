/* See credential.h. */
#include "tcg/credential.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

#include "base/writer.h"
#include "jose/jwk.h"
#include "jose/openssl.h"
#include "tcg/hash-openssl.h"

#define RSA_BITS_MIN 2048
#define COORDINATE_MAX 48
#define AES_BLOCK_SIZE 16
#define IDENTITY_LABEL "IDENTITY"   /* with its NUL, as all labels of the TPM */

typedef struct CurveOfTpm {
        uint16_t id;
        const char *name;
        size_t size;
} CurveOfTpm;

static const CurveOfTpm curves[] = { { 0x0003, "prime256v1", 32 }, { 0x0004, "secp384r1", 48 } };

static const CurveOfTpm *find_curve(uint16_t id) {
        for (size_t i = 0; i < N_ELEMENTS(curves); i++)
                if (curves[i].id == id)
                        return &curves[i];
        return NULL;
}

static inline EVP_CIPHER_CTX *cipher_free(EVP_CIPHER_CTX *context) { EVP_CIPHER_CTX_free(context); return NULL; }
DEFINE_CLEANUP(EVP_CIPHER_CTX, cipher_free)

static Err *check_attributes(const TpmPublic *ek) {
        static const struct { uint32_t bit; bool wanted; const char *name; } rules[] = {
                { TPM_OBJECT_RESTRICTED, true, "restricted" },
                { TPM_OBJECT_DECRYPT, true, "decrypt" },
                { TPM_OBJECT_FIXEDTPM, true, "fixedTPM" },
                { TPM_OBJECT_FIXEDPARENT, true, "fixedParent" },
                { TPM_OBJECT_SENSITIVEDATAORIGIN, true, "sensitiveDataOrigin" },
                { TPM_OBJECT_SIGN, false, "sign" },
        };
        for (size_t i = 0; i < N_ELEMENTS(rules); i++)
                if (((ek->attributes & rules[i].bit) != 0) != rules[i].wanted)
                        return err_new(ERR_KEY_INVALID, "the endorsement key %s the attribute %s", rules[i].wanted ? "lacks" : "has", rules[i].name);
        return NULL;
}

static Err *parse_key(Span ek_public, TpmPublic *ret) {
        TpmPublic ek;
        TRY(tpm_public_parse(ek_public, &ek));
        TRY(check_attributes(&ek));
        if (ek.name_alg != HASH_SHA256 && ek.name_alg != HASH_SHA384 && ek.name_alg != HASH_SHA512)
                return err_new(ERR_KEY_INVALID, "the endorsement key's name algorithm 0x%04x is none of SHA-256, SHA-384, SHA-512", ek.name_alg);
        if (ek.symmetric != TPM_ALG_AES || ek.symmetric_mode != TPM_ALG_CFB || (ek.symmetric_bits != 128 && ek.symmetric_bits != 256))
                return err_new(ERR_KEY_INVALID, "the endorsement key's symmetric algorithm (0x%04x, %u bits, mode 0x%04x) is not AES-CFB with 128 or 256 bits",
                               ek.symmetric, ek.symmetric_bits, ek.symmetric_mode);
        if (ek.type == TPM_ALG_RSA && ek.rsa_bits < RSA_BITS_MIN)
                return err_new(ERR_KEY_INVALID, "the endorsement key has %u bits, at least %d are needed", ek.rsa_bits, RSA_BITS_MIN);
        if (ek.type == TPM_ALG_ECC && !find_curve(ek.curve))
                return err_new(ERR_KEY_INVALID, "the endorsement key's curve 0x%04x is neither P-256 nor P-384", ek.curve);
        *ret = ek;
        return NULL;
}

Err *credential_check_key(Span ek_public) {
        TpmPublic ek;
        _cleanup_(pkey_freep) EVP_PKEY *key = NULL;
        TRY(parse_key(ek_public, &ek));
        return tpm_public_to_pkey(&ek, &key);
}

static Err *hmac(uint16_t alg, Span key, Span data, Digest *ret) {
        const EVP_MD *md;
        unsigned size = 0;
        Digest digest = { .alg = alg };
        TRY(hash_evp_md(alg, &md));
        if (!HMAC(md, key.data, (int) key.size, data.data, data.size, digest.bytes, &size))
                return openssl_error(ERR_INTERNAL, "computing an HMAC");
        digest.size = (uint16_t) size;
        *ret = digest;
        return NULL;
}

/* KDFa (Part 1 §11.4.10.2) for not more than one digest, which is all that a credential needs: HMAC(key, 1 | label, NUL | context | bits). */
static Err *kdfa(uint16_t alg, Span key, const char *label, Span context, uint32_t bits, Digest *ret) {
        _cleanup_writer_ Writer writer = {};
        _cleanup_bytes_ Bytes message = {};
        if (bits > hash_size(alg) * 8)
                return err_new(ERR_KEY_INVALID, "the endorsement key's name algorithm is too short for a symmetric key of %u bits", bits);
        writer_u32be(&writer, 1);
        writer_span(&writer, span_make(label, strlen(label) + 1));
        writer_span(&writer, context);
        writer_u32be(&writer, bits);
        TRY(writer_finish(&writer, &message));
        TRY(hmac(alg, key, bytes_span(&message), ret));
        ret->size = (uint16_t) (bits / 8);
        return NULL;
}

/* KDFe (Part 1 §11.4.10.3) for one digest: H(1 | z | label, NUL | x of the ephemeral key | x of the endorsement key). */
static Err *kdfe(uint16_t alg, Span z, Span ephemeral_x, Span ek_x, Digest *ret) {
        _cleanup_writer_ Writer writer = {};
        _cleanup_bytes_erase_ Bytes message = {};
        writer_u32be(&writer, 1);
        writer_span(&writer, z);
        writer_span(&writer, SPAN_OF(IDENTITY_LABEL));
        writer_span(&writer, ephemeral_x);
        writer_span(&writer, ek_x);
        TRY(writer_finish(&writer, &message));
        return hash_digest(alg, bytes_span(&message), ret);
}

static Err *encrypt_oaep(EVP_PKEY *key, uint16_t alg, Span seed, Bytes *ret) {
        const EVP_MD *md;
        TRY(hash_evp_md(alg, &md));
        _cleanup_(pkey_context_freep) EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
        void *label = OPENSSL_memdup(IDENTITY_LABEL, sizeof(IDENTITY_LABEL));
        if (!context || !label || EVP_PKEY_encrypt_init(context) != 1 || EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) != 1 ||
            EVP_PKEY_CTX_set_rsa_oaep_md(context, md) != 1 || EVP_PKEY_CTX_set_rsa_mgf1_md(context, md) != 1 ||
            EVP_PKEY_CTX_set0_rsa_oaep_label(context, label, (int) sizeof(IDENTITY_LABEL)) != 1) {
                OPENSSL_free(label);
                return openssl_error(ERR_INTERNAL, "preparing RSA-OAEP");
        }
        _cleanup_bytes_ Bytes encrypted = {};
        size_t size = 0;
        if (EVP_PKEY_encrypt(context, NULL, &size, seed.data, seed.size) != 1)
                return openssl_error(ERR_INTERNAL, "measuring an RSA-OAEP encryption");
        TRY(bytes_alloc(size, &encrypted));
        if (EVP_PKEY_encrypt(context, encrypted.data, &size, seed.data, seed.size) != 1)
                return openssl_error(ERR_INTERNAL, "encrypting with RSA-OAEP");
        _cleanup_writer_ Writer writer = {};
        writer_tpm2b(&writer, span_make(encrypted.data, size));
        return writer_finish(&writer, ret);
}

static Err *share_seed_rsa(EVP_PKEY *key, const TpmPublic *ek, const CredentialRandom *random, Digest *ret_seed, Bytes *ret_encrypted) {
        size_t size = hash_size(ek->name_alg);
        Digest seed = { .alg = ek->name_alg, .size = (uint16_t) size };
        if (random->seed.size == size)
                seed = digest_make(ek->name_alg, random->seed);
        else if (random->seed.size > 0)
                return err_new(ERR_INVALID_ARGUMENT, "a seed of %zu bytes, %zu are needed", random->seed.size, size);
        else if (RAND_bytes(seed.bytes, (int) size) != 1)
                return openssl_error(ERR_INTERNAL, "drawing a seed");
        TRY(encrypt_oaep(key, ek->name_alg, digest_span(&seed), ret_encrypted));
        *ret_seed = seed;
        return NULL;
}

static Err *coordinate(EVP_PKEY *key, const char *which, size_t size, uint8_t out[static COORDINATE_MAX]) {
        BIGNUM *number = NULL;
        int r = EVP_PKEY_get_bn_param(key, which, &number);
        if (r == 1)
                r = BN_bn2binpad(number, out, (int) size);
        BN_free(number);
        return r == (int) size ? NULL : openssl_error(ERR_INTERNAL, "reading a point of an elliptic curve");
}

static Err *derive_z(EVP_PKEY *ephemeral, EVP_PKEY *ek, size_t size, uint8_t out[static COORDINATE_MAX]) {
        _cleanup_(pkey_context_freep) EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(ephemeral, NULL);
        size_t written = size;
        if (!context || EVP_PKEY_derive_init(context) != 1 || EVP_PKEY_derive_set_peer(context, ek) != 1 ||
            EVP_PKEY_derive(context, out, &written) != 1 || written != size)
                return openssl_error(ERR_KEY_INVALID, "no key can be agreed on with the endorsement key");
        return NULL;
}

static Err *share_seed_ecc(EVP_PKEY *key, const TpmPublic *ek, const CredentialRandom *random, Digest *ret_seed, Bytes *ret_encrypted) {
        const CurveOfTpm *curve = find_curve(ek->curve);
        _cleanup_(pkey_freep) EVP_PKEY *own = random->ephemeral ? NULL : EVP_EC_gen(curve->name);
        EVP_PKEY *ephemeral = random->ephemeral ? random->ephemeral : own;
        uint8_t x[COORDINATE_MAX], y[COORDINATE_MAX], ek_x[COORDINATE_MAX], z[COORDINATE_MAX];
        if (!ephemeral)
                return openssl_error(ERR_INTERNAL, "making an ephemeral key");
        TRY(coordinate(ephemeral, OSSL_PKEY_PARAM_EC_PUB_X, curve->size, x));
        TRY(coordinate(ephemeral, OSSL_PKEY_PARAM_EC_PUB_Y, curve->size, y));
        TRY(coordinate(key, OSSL_PKEY_PARAM_EC_PUB_X, curve->size, ek_x));
        TRY(derive_z(ephemeral, key, curve->size, z));
        Err *err = kdfe(ek->name_alg, span_make(z, curve->size), span_make(x, curve->size), span_make(ek_x, curve->size), ret_seed);
        OPENSSL_cleanse(z, sizeof(z));
        TRY(err);
        _cleanup_writer_ Writer point = {}, writer = {};
        _cleanup_bytes_ Bytes encoded = {};
        writer_tpm2b(&point, span_make(x, curve->size));
        writer_tpm2b(&point, span_make(y, curve->size));
        TRY(writer_finish(&point, &encoded));
        writer_tpm2b(&writer, bytes_span(&encoded));
        return writer_finish(&writer, ret_encrypted);
}

/* The initial vector is zero: each key is used once (Part 1 §24.4). */
static Err *encrypt_cfb(Span key, Span plain, Bytes *ret) {
        static const uint8_t zeros[AES_BLOCK_SIZE];
        _cleanup_bytes_ Bytes encrypted = {};
        _cleanup_(cipher_freep) EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
        int n = 0, last = 0;
        TRY(bytes_alloc(plain.size, &encrypted));
        if (!context)
                return err_oom();
        if (EVP_EncryptInit_ex(context, key.size == 16 ? EVP_aes_128_cfb128() : EVP_aes_256_cfb128(), NULL, key.data, zeros) != 1 ||
            EVP_EncryptUpdate(context, encrypted.data, &n, plain.data, (int) plain.size) != 1 ||
            EVP_EncryptFinal_ex(context, encrypted.data + n, &last) != 1)
                return openssl_error(ERR_INTERNAL, "encrypting a credential");
        *ret = bytes_steal(&encrypted);
        return NULL;
}

/* Part 1 §24.4 and §24.5. */
static Err *wrap_secret(const TpmPublic *ek, const Digest *seed, Span name, Span secret, Bytes *ret) {
        _cleanup_writer_ Writer plain = {}, signed_part = {}, content = {}, object = {};
        _cleanup_bytes_erase_ Bytes credential = {};
        _cleanup_bytes_ Bytes encrypted = {}, authenticated = {}, inner = {};
        Digest symmetric_key, hmac_key, integrity;
        TRY(kdfa(ek->name_alg, digest_span(seed), "STORAGE", name, ek->symmetric_bits, &symmetric_key));
        TRY(kdfa(ek->name_alg, digest_span(seed), "INTEGRITY", (Span) {}, (uint32_t) hash_size(ek->name_alg) * 8, &hmac_key));
        writer_tpm2b(&plain, secret);
        TRY(writer_finish(&plain, &credential));
        TRY(encrypt_cfb(digest_span(&symmetric_key), bytes_span(&credential), &encrypted));
        writer_span(&signed_part, bytes_span(&encrypted));
        writer_span(&signed_part, name);
        TRY(writer_finish(&signed_part, &authenticated));
        TRY(hmac(ek->name_alg, digest_span(&hmac_key), bytes_span(&authenticated), &integrity));
        writer_tpm2b(&content, digest_span(&integrity));
        writer_span(&content, bytes_span(&encrypted));
        TRY(writer_finish(&content, &inner));
        writer_tpm2b(&object, bytes_span(&inner));
        OPENSSL_cleanse(&symmetric_key, sizeof(symmetric_key));
        OPENSSL_cleanse(&hmac_key, sizeof(hmac_key));
        return writer_finish(&object, ret);
}

Err *credential_make_with(Span ek_public, Span aik_name, Span secret, const CredentialRandom *random, Bytes *ret_id_object,
                          Bytes *ret_encrypted_secret) {
        TpmPublic ek;
        _cleanup_(pkey_freep) EVP_PKEY *key = NULL;
        _cleanup_bytes_ Bytes id_object = {}, encrypted = {};
        Digest seed;
        TRY(parse_key(ek_public, &ek));
        TRY(tpm_public_to_pkey(&ek, &key));
        if (secret.size < CREDENTIAL_SECRET_MIN || secret.size > hash_size(ek.name_alg))
                return err_new(ERR_INVALID_ARGUMENT, "the credential's secret has %zu bytes, %d to %zu are possible", secret.size, CREDENTIAL_SECRET_MIN,
                               hash_size(ek.name_alg));
        if (ek.type == TPM_ALG_RSA)
                TRY(share_seed_rsa(key, &ek, random, &seed, &encrypted));
        else
                TRY(share_seed_ecc(key, &ek, random, &seed, &encrypted));
        Err *err = wrap_secret(&ek, &seed, aik_name, secret, &id_object);
        OPENSSL_cleanse(&seed, sizeof(seed));
        TRY(err);
        *ret_id_object = bytes_steal(&id_object);
        *ret_encrypted_secret = bytes_steal(&encrypted);
        return NULL;
}

Err *credential_make(Span ek_public, Span aik_name, Span secret, Bytes *ret_id_object, Bytes *ret_encrypted_secret) {
        const CredentialRandom drawn = {};
        return credential_make_with(ek_public, aik_name, secret, &drawn, ret_id_object, ret_encrypted_secret);
}
