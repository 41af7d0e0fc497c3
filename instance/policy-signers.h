/* Who may sign policies and changes of this list on an isolated instance: certificates.
 *
 *     DIR/policy-signers.pem      all of them, in the order in which they were added; written whole or not at all
 *
 * The file is made of the initial certificates at the first start. Without a directory the list is kept in memory alone. */
#pragma once

#include <openssl/x509.h>

#include "base/json.h"

#define POLICY_SIGNERS_MAX 64    /* our own limit */

typedef struct PolicySigners PolicySigners;
/* initial is borrowed and may be NULL. Errors: IO, KEY_INVALID. */
Err *policy_signers_load(const char *directory, const STACK_OF(X509) *initial, PolicySigners **ret) _must_check_;
PolicySigners *policy_signers_free(PolicySigners *signers);
DEFINE_CLEANUP(PolicySigners, policy_signers_free)

size_t policy_signers_count(const PolicySigners *signers);
bool policy_signers_have(const PolicySigners *signers, X509 *certificate);
/* One that is there, or that is not, is no error. Errors: IO, LIMIT_EXCEEDED; add: KEY_INVALID (kind of key); remove: CONFIG_INVALID (the last one). */
Err *policy_signers_add(PolicySigners *signers, X509 *certificate) _must_check_;
Err *policy_signers_remove(PolicySigners *signers, X509 *certificate) _must_check_;
/* {"keys":[{"alg","kty","use","x5c"}]} */
Err *policy_signers_to_json(const PolicySigners *signers, Json **ret) _must_check_;

/* A signer for whoever names none: DIR/policy-signer.key and .pem, made on first use. */
Err *policy_signers_make_first(const char *directory, int64_t now_sec, STACK_OF(X509) **ret) _must_check_;
