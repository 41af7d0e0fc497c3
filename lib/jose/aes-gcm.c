/* See aes-gcm.h. */
#include "jose/aes-gcm.h"

#include <openssl/err.h>
#include <openssl/evp.h>

static void cipher_freep(EVP_CIPHER_CTX **context) {
        EVP_CIPHER_CTX_free(*context);
}

static Err *check_sizes(Span key, Span iv, Span text) {
        if (key.size != AES256_KEY_SIZE)
                return err_new(ERR_INVALID_ARGUMENT, "AES-256: the key has %zu bytes, %d are needed", key.size, AES256_KEY_SIZE);
        if (iv.size != AES_GCM_IV_SIZE)
                return err_new(ERR_INVALID_ARGUMENT, "AES-GCM: the initialization vector has %zu bytes, %d are needed", iv.size, AES_GCM_IV_SIZE);
        return text.size > INT32_MAX ? err_new(ERR_LIMIT_EXCEEDED, "AES-GCM: the text is too large") : NULL;
}

/* text through the cipher, up to the tag. */
static Err *transform(Span key, Span iv, Span aad, Span text, bool encrypt, EVP_CIPHER_CTX *context, Bytes *ret) {
        int size = 0;
        _cleanup_bytes_erase_ Bytes out = {};
        TRY(bytes_alloc(text.size, &out));
        bool fine = EVP_CipherInit_ex2(context, EVP_aes_256_gcm(), key.data, iv.data, encrypt, NULL) == 1 &&
                    EVP_CipherUpdate(context, NULL, &size, aad.data, (int) aad.size) == 1 &&
                    (text.size == 0 || EVP_CipherUpdate(context, out.data, &size, text.data, (int) text.size) == 1);
        if (!fine) {
                ERR_clear_error();
                return err_new(ERR_INTERNAL, "OpenSSL cannot do AES-256-GCM");
        }
        *ret = bytes_steal(&out);
        return NULL;
}

Err *aes256_gcm_open(Span key, Span iv, Span aad, Span ciphertext, Span tag, Bytes *ret) {
        _cleanup_(cipher_freep) EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
        _cleanup_bytes_erase_ Bytes out = {};
        uint8_t rest[AES_GCM_TAG_SIZE];
        int size = 0;
        if (!context)
                return err_oom();
        TRY(check_sizes(key, iv, ciphertext));
        if (tag.size != AES_GCM_TAG_SIZE)
                return err_new(ERR_INVALID_ARGUMENT, "AES-GCM: the tag has %zu bytes, %d are needed", tag.size, AES_GCM_TAG_SIZE);
        TRY(transform(key, iv, aad, ciphertext, /* encrypt= */ false, context, &out));
        if (EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, AES_GCM_TAG_SIZE, (void *) tag.data) != 1 || EVP_CipherFinal_ex(context, rest, &size) != 1) {
                ERR_clear_error();
                return err_new(ERR_SERVICE_ANSWER_INVALID, "AES-GCM: the tag is not that of this key and text");
        }
        *ret = bytes_steal(&out);
        return NULL;
}

Err *aes256_gcm_seal(Span key, Span iv, Span aad, Span plaintext, Bytes *ret_ciphertext, uint8_t ret_tag[static AES_GCM_TAG_SIZE]) {
        _cleanup_(cipher_freep) EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
        _cleanup_bytes_ Bytes out = {};
        uint8_t rest[AES_GCM_TAG_SIZE];
        int size = 0;
        if (!context)
                return err_oom();
        TRY(check_sizes(key, iv, plaintext));
        TRY(transform(key, iv, aad, plaintext, /* encrypt= */ true, context, &out));
        if (EVP_CipherFinal_ex(context, rest, &size) != 1 || EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, AES_GCM_TAG_SIZE, ret_tag) != 1) {
                ERR_clear_error();
                return err_new(ERR_INTERNAL, "OpenSSL cannot do AES-256-GCM");
        }
        *ret_ciphertext = bytes_steal(&out);
        return NULL;
}
