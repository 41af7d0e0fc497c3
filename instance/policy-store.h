/* The attestation policies of the instance: one for each type of evidence, in the instance's directory.
 *
 *     DIR/policies/Tpm.jws, SgxEnclave.jws, OpenEnclave.jws      the JWS as it was put, byte for byte
 *
 * A file is written whole or not at all; where it is missing the type's default holds: for enclaves the service's own default policy, for TPMs none.
 * What a file holds is judged again when it is read. Without a directory everything is kept in memory alone. */
#pragma once

#include "base/json.h"
#include "policy/policy.h"

typedef enum AttestationType {
        ATTESTATION_TYPE_TPM,
        ATTESTATION_TYPE_SGX_ENCLAVE,
        ATTESTATION_TYPE_OPEN_ENCLAVE,
        _ATTESTATION_TYPE_MAX,
} AttestationType;
const char *attestation_type_to_string(AttestationType type); /* "Tpm", "SgxEnclave", "OpenEnclave" */
/* Case does not count. Error: REQUEST_INVALID. */
Err *attestation_type_from_span(Span text, AttestationType *ret) _must_check_;

typedef struct StoredPolicy {
        char *jws;              /* of a type without policy: "eyJhbGciOiJub25lIn0.." */
        char *text;             /* NULL: there is no policy */
        char *hash;             /* x-ms-policy-hash: base64url(SHA-256(claim AttestationPolicy)); NULL: there is no policy */
        Policy *policy;         /* text, parsed; NULL: there is no policy */
        Json *signer;           /* {"alg","kty","use","x5c"}; NULL: not signed */
} StoredPolicy;
void stored_policy_done(StoredPolicy *policy);
#define _cleanup_stored_policy_ _cleanup_(stored_policy_done)

typedef struct PolicyJws PolicyJws;
/* What would be stored. Errors: those of policy_jws_get_policy(), POLICY_INVALID and LIMIT_EXCEEDED of policy_parse(). */
Err *stored_policy_from_jws(const PolicyJws *jws, StoredPolicy *ret) _must_check_;
/* A policy's text as an unsigned JWS. */
Err *stored_policy_from_text(Span text, StoredPolicy *ret) _must_check_;
/* As x-ms-policy-hash has it, of the claim AttestationPolicy; and as x-ms-policy-token-hash has it, of a JWS. */
Err *policy_hash(const char *text, char **ret) _must_check_;

typedef struct PolicyStore PolicyStore;
/* directory: the instance's, or NULL. Errors: IO; those of policy_jws_open() and stored_policy_from_jws() for a file that is spoilt. */
Err *policy_store_load(const char *directory, PolicyStore **ret) _must_check_;
PolicyStore *policy_store_free(PolicyStore *store);
DEFINE_CLEANUP(PolicyStore, policy_store_free)

/* Never NULL. Good until the next put or reset. */
const StoredPolicy *policy_store_get(const PolicyStore *store, AttestationType type);
/* Takes the policy, also on failure; then the former one stays. Error: IO. */
Err *policy_store_put(PolicyStore *store, AttestationType type, StoredPolicy *steal_policy) _must_check_;
/* Back to the default. Error: IO. */
Err *policy_store_reset(PolicyStore *store, AttestationType type) _must_check_;
