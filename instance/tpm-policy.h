/* The policy for TPM evidence that somebody has set, at work: what it says of the verification, and what it makes of a verdict.
 *
 * Claims of the service that are lists or objects (pcrs-replayed, vmConfiguration) are JSON text to a policy, as the service's own events are; where it issues
 * them as they came they are JSON again in the token. */
#pragma once

#include "instance/message.h"
#include "instance/policy-store.h"
#include "instance/verify.h"

/* What rules look at. */
typedef struct TpmPolicyInput {
        const Json *claims;               /* about the verdict, see report_service_claims() */
        const AttestRequest *request;     /* verified */
        const Json *evidence;             /* what version 1.2 adds, see tpm_claims_make() */
        const char *request_key;          /* JSON, see report_request_key() */
        const char *other_keys;           /* NULL: none */
} TpmPolicyInput;

typedef struct TpmPolicyOutcome {
        char *claims;                     /* JSON object: x-ms-policy */
        uint64_t lifetime_sec;            /* report_validity_in_minutes */
        bool omit_x5c;
} TpmPolicyOutcome;
void tpm_policy_outcome_done(TpmPolicyOutcome *outcome);
#define _cleanup_tpm_policy_outcome_ _cleanup_(tpm_policy_outcome_done)
/* Errors: SERVICE_POLICY_DENIED if the policy does not permit; POLICY_FAILED, LIMIT_EXCEEDED, EVIDENCE_MALFORMED. */
Err *tpm_policy_issue(const Policy *policy, const TpmPolicyInput *input, TpmPolicyOutcome *ret) _must_check_;
