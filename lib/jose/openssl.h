/* What the files of lib/jose and lib/tcg share about OpenSSL: destructors, and its error queue as an Err.
 *
 * OpenSSL queues errors per thread and others (curl) read that queue, so every failure here empties it. */
#pragma once

#include <openssl/bn.h>
#include <openssl/evp.h>

#include "base/error.h"

/* "SENTENCE: reason of the oldest queued error"; empties the queue. NO_MEMORY if that is the reason. */
Err *openssl_error(ErrCode code, const char *format, ...) _printf_(2, 3) _must_check_;
/* Empties the queue where a failure is an answer and not an error. */
void openssl_forget_errors(void);

static inline EVP_PKEY_CTX *pkey_context_free(EVP_PKEY_CTX *context) { EVP_PKEY_CTX_free(context); return NULL; }
DEFINE_CLEANUP(EVP_PKEY_CTX, pkey_context_free)
static inline EVP_MD_CTX *md_context_free(EVP_MD_CTX *context) { EVP_MD_CTX_free(context); return NULL; }
DEFINE_CLEANUP(EVP_MD_CTX, md_context_free)
static inline BIGNUM *bignum_free(BIGNUM *number) { BN_free(number); return NULL; }
DEFINE_CLEANUP(BIGNUM, bignum_free)
