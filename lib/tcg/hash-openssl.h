/* What lib/tcg's own files need of OpenSSL behind hash.h: the message digest object of an algorithm. */
#pragma once

#include <openssl/evp.h>

#include "tcg/hash.h"

/* Borrowed, lives as long as the process. Error: NOT_SUPPORTED for an unknown algorithm, or one that OpenSSL lacks. */
Err *hash_evp_md(uint16_t alg, const EVP_MD **ret) _must_check_;
