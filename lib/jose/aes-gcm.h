/* AES-256 in Galois/Counter mode (NIST SP 800-38D), with which the service closes a token that one TPM alone may open. */
#pragma once

#include "base/bytes.h"

#define AES256_KEY_SIZE 32
#define AES_GCM_IV_SIZE 12
#define AES_GCM_TAG_SIZE 16

/* Errors: INVALID_ARGUMENT for sizes other than those; SERVICE_ANSWER_INVALID if the tag is not that of key, iv, aad and ciphertext. */
Err *aes256_gcm_open(Span key, Span iv, Span aad, Span ciphertext, Span tag, Bytes *ret) _must_check_;
Err *aes256_gcm_seal(Span key, Span iv, Span aad, Span plaintext, Bytes *ret_ciphertext, uint8_t ret_tag[static AES_GCM_TAG_SIZE]) _must_check_;
