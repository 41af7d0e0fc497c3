/* See request-key.h. */
#include "tcg/request-key.h"

#include <openssl/rand.h>

#include "base/writer.h"
#include "jose/signature.h"

#define SALT_SIZE REQUEST_KEY_DIGEST_SIZE
#define TRAILER 0xbc

typedef struct AttributeRule {
        uint32_t bit;
        bool wanted;
        const char *name;
} AttributeRule;

static const AttributeRule attribute_rules[] = {
        { TPM_OBJECT_FIXEDTPM, true, "fixedTPM" },
        { TPM_OBJECT_FIXEDPARENT, true, "fixedParent" },
        { TPM_OBJECT_SENSITIVEDATAORIGIN, true, "sensitiveDataOrigin" },
        { TPM_OBJECT_SIGN, true, "sign" },
        { TPM_OBJECT_DECRYPT, true, "decrypt" },
        { TPM_OBJECT_RESTRICTED, false, "restricted" },
};

Err *request_key_check(Span public_area) {
        TpmPublic public;
        TRY(tpm_public_parse(public_area, &public));
        if (public.type != TPM_ALG_RSA || public.rsa_bits != REQUEST_KEY_BITS)
                return err_new(ERR_KEY_INVALID, "it is no RSA key of %d bits", REQUEST_KEY_BITS);
        if (public.scheme != TPM_ALG_NULL)
                return err_new(ERR_KEY_INVALID, "the key is bound to the scheme 0x%04x", public.scheme);
        for (size_t i = 0; i < N_ELEMENTS(attribute_rules); i++) {
                const AttributeRule *rule = &attribute_rules[i];
                if (((public.attributes & rule->bit) != 0) != rule->wanted)
                        return err_new(ERR_KEY_INVALID, "the key %s the attribute %s", rule->wanted ? "lacks" : "has", rule->name);
        }
        return NULL;
}

/* RFC 8017 §B.2.1: data is xored with SHA-256(seed | 0), SHA-256(seed | 1), … */
static Err *xor_mask(Span seed, uint8_t *data, size_t size) {
        Digest block = {};
        for (uint32_t n = 0; n * (size_t) REQUEST_KEY_DIGEST_SIZE < size; n++) {
                const uint8_t counter[] = { (uint8_t) (n >> 24), (uint8_t) (n >> 16), (uint8_t) (n >> 8), (uint8_t) n };
                size_t begin = n * (size_t) REQUEST_KEY_DIGEST_SIZE;
                TRY(hash_digest2(HASH_SHA256, seed, SPAN_OF(counter), &block));
                for (size_t i = 0; i < block.size && begin + i < size; i++)
                        data[begin + i] ^= block.bytes[i];
        }
        return NULL;
}

static Err *hash_salted(Span digest, Span salt, Digest *ret) {
        static const uint8_t zeros[8];
        _cleanup_writer_ Writer writer = {};
        _cleanup_bytes_ Bytes message = {};
        writer_span(&writer, SPAN_OF(zeros));
        writer_span(&writer, digest);
        writer_span(&writer, salt);
        TRY(writer_finish(&writer, &message));
        return hash_digest(HASH_SHA256, bytes_span(&message), ret);
}

Err *request_key_pad(Span public, Span digest, Bytes *ret_padded) {
        static const uint8_t zeros[REQUEST_KEY_BITS / 8];
        const size_t masked_size = REQUEST_KEY_BITS / 8 - REQUEST_KEY_DIGEST_SIZE - 1;
        uint8_t salt[SALT_SIZE];
        Digest hash;
        _cleanup_writer_ Writer writer = {};
        _cleanup_bytes_ Bytes padded = {};
        TRY(request_key_check(public));
        if (digest.size != REQUEST_KEY_DIGEST_SIZE)
                return err_new(ERR_INVALID_ARGUMENT, "a digest of %d bytes is needed, not of %zu", REQUEST_KEY_DIGEST_SIZE, digest.size);
        if (RAND_bytes(salt, sizeof(salt)) != 1)
                return err_new(ERR_INTERNAL, "OpenSSL has no random bytes");
        TRY(hash_salted(digest, SPAN_OF(salt), &hash));
        writer_span(&writer, span_make(zeros, masked_size - 1 - SALT_SIZE));
        writer_u8(&writer, 1);
        writer_span(&writer, SPAN_OF(salt));
        writer_span(&writer, digest_span(&hash));
        writer_u8(&writer, TRAILER);
        TRY(writer_finish(&writer, &padded));
        TRY(xor_mask(digest_span(&hash), padded.data, masked_size));
        padded.data[0] &= 0x7f;   /* the modulus has REQUEST_KEY_BITS bits, the message one less */
        *ret_padded = bytes_steal(&padded);
        return NULL;
}

Err *request_key_verify(Span public_area, Span digest, Span signature) {
        _cleanup_(pkey_freep) EVP_PKEY *key = NULL;
        TpmPublic public;
        TRY(request_key_check(public_area));
        TRY(tpm_public_parse(public_area, &public));
        TRY(tpm_public_to_pkey(&public, &key));
        return jose_signature_verify_digest(JOSE_ALG_PS256, key, digest, signature);
}
