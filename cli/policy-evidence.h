/* The claims that a policy is evaluated over, made of an evidence bundle: what the service would say of it, without the service. */
#pragma once

#include "policy/claims.h"

typedef struct PolicyEvidence {
        const char *bundle;             /* a path, or "-" */
        const char *trust_anchors;      /* roots of AIK certificates, PEM; NULL: no AIK is valid */
} PolicyEvidence;

/* Verifies the bundle as the policy's configurationrules have it, and adds the claims. Errors: those of the evidence where it does not hold; AIK_CERTIFICATE_INVALID,
 * QUOTE_PCR_MISMATCH where it is not what the policy requires; POLICY_FAILED. */
Err *policy_evidence_add_claims(const PolicyEvidence *evidence, const Policy *policy, PolicyClaims *claims) _must_check_;
