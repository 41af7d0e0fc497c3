/* The properties that policies for TPM attestation set, with the service's names, types, ranges and defaults ("Attestation policy version 1.1", "Claim sets"). Of a
 * property that is set twice the last counts. */
#pragma once

#include "policy/policy-eval.h"

/* How evidence is verified. */
typedef struct PolicyConfiguration {
        uint32_t required_pcrs;           /* required_pcr_mask: 0xFFFFFF */
        bool needs_valid_aik;             /* require_valid_aik_cert: true */
} PolicyConfiguration;
/* Evaluates configurationrules over no claims: there are none before the evidence is verified. Errors: POLICY_FAILED, LIMIT_EXCEEDED. */
Err *policy_configuration_get(const Policy *policy, PolicyConfiguration *ret) _must_check_;

/* What the token is like. */
typedef struct PolicyTokenProperties {
        uint64_t lifetime_sec;            /* report_validity_in_minutes: 1440, at most a year */
        bool omit_x5c;                    /* false */
} PolicyTokenProperties;
/* Error: POLICY_FAILED. */
Err *policy_token_properties_get(const PolicyOutcome *outcome, PolicyTokenProperties *ret) _must_check_;
