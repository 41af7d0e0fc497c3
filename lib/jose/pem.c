/* See pem.h. */
#include "jose/pem.h"

#include <openssl/pem.h>

#include "jose/openssl.h"
#include "jose/signature.h"

static inline BIO *bio_free(BIO *bio) { BIO_free(bio); return NULL; }
DEFINE_CLEANUP(BIO, bio_free)

/* OpenSSL asks this for a passphrase; without it, it would ask the terminal. */
static int have_no_passphrase(char *buffer, int size, int for_writing, void *userdata) {
        bool *was_asked = userdata;
        *was_asked = true;
        return -1;
}

Err *pem_private_key(Span pem, const char *what, EVP_PKEY **ret) {
        bool was_asked = false;
        if (pem.size > PEM_FILE_MAX)
                return err_new(ERR_KEY_INVALID, "%s: more than %u bytes", what, PEM_FILE_MAX);
        _cleanup_(bio_freep) BIO *bio = BIO_new_mem_buf(pem.size > 0 ? (const void *) pem.data : "", (int) pem.size);
        if (!bio)
                return err_oom();
        _cleanup_(pkey_freep) EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, have_no_passphrase, &was_asked);
        if (!key && was_asked) {
                openssl_forget_errors();
                return err_new(ERR_KEY_INVALID, "%s: the private key is encrypted, and there is nobody to ask for a passphrase", what);
        }
        if (!key)
                return openssl_error(ERR_KEY_INVALID, "%s: no private key in PEM that can be read", what);
        JoseAlg alg;
        TRY(err_wrap(jose_alg_of_key(key, &alg), "%s", what));
        TRY(err_wrap_code(ERR_KEY_INVALID, jose_signature_check_strength(key), "%s", what));
        *ret = steal_ptr(&key);
        return NULL;
}

Err *jose_alg_of_key(EVP_PKEY *key, JoseAlg *ret) {
        static const JoseAlg candidates[] = { JOSE_ALG_RS256, JOSE_ALG_ES256, JOSE_ALG_ES384, JOSE_ALG_ES512 };
        for (size_t i = 0; i < N_ELEMENTS(candidates); i++) {
                _cleanup_(err_freep) Err *err = jose_signature_check_kind(candidates[i], key);
                if (!err) {
                        *ret = candidates[i];
                        return NULL;
                }
        }
        return err_new(ERR_KEY_INVALID, "the key is neither RSA nor EC on P-256, P-384 or P-521");
}
