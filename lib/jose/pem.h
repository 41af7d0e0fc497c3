/* Private keys from PEM files, for those who sign. Keys that want a passphrase are refused: there is nobody to ask. */
#pragma once

#include "jose/jws.h"

#define PEM_FILE_MAX (256u << 10)

/* The first private key of the text (PKCS #8, or the older forms of RSA and EC), RSA or EC. what names it. Error: KEY_INVALID. */
Err *pem_private_key(Span pem, const char *what, EVP_PKEY **ret) _must_check_;
/* The algorithm that such a key signs with: RS256, or ES256, ES384, ES512 by the curve. Error: KEY_INVALID for other keys. */
Err *jose_alg_of_key(EVP_PKEY *key, JoseAlg *ret) _must_check_;
