/* What a quote says, as claims: those that policies see, and those of the token.
 *
 * The token, as recorded: aas-ehd, maa-ehd, x-ms-sgx-ehd (binary run-time data) or x-ms-runtime (JSON); jti of 64 hex digits; what the policy issued, at the
 * top and again in x-ms-policy; x-ms-attestation-type, -policy-hash, -policy-signer (of a signed policy), -ver; x-ms-sgx-is-debuggable, -mrenclave,
 * -mrsigner, -product-id, -report-data, -svn, -tcbidentifier; x-ms-sgx-collateral and, the same, maa-attestationcollateral. Of the collateral quotehash is
 * real; the others are the hash of nothing, for nothing of the kind was used.
 *
 * Our own: sgxPckChain "unverified", where no root was given that the chain could lead to. */
#pragma once

#include "instance/enclave-request.h"
#include "instance/policy-store.h"
#include "policy/claims.h"
#include "tcg/sgx-quote.h"

typedef struct EnclaveEvidence {
        const EnclaveRequest *request;
        const SgxQuote *quote;
        bool chain_is_verified;
} EnclaveEvidence;

/* What policies see. */
Err *enclave_claims_incoming(const EnclaveEvidence *evidence, PolicyClaims **ret) _must_check_;
/* The token's claims but for exp, iat, iss and nbf. issued: an object, what the policy issued; tcb_identifier: NULL for the service's default. */
Err *enclave_claims_of_token(const EnclaveEvidence *evidence, const StoredPolicy *policy, Json *issued, const char *tcb_identifier, Json **ret) _must_check_;
