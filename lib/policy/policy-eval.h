/* Evaluation of a policy over claims: what the service does with evidence once it is verified.
 *
 *     configurationrules   → properties                            (alone: policy_evaluate_configuration(), for it says how evidence is verified)
 *     authorizationrules   → permitted if some rule permits and none denies
 *     issuancerules        → claims of the token, and properties of it     (only if permitted)
 *
 * After "Claim and claim rules" and "Claim rule functions" of the service's documentation. What these leave open is decided, with reasons, in docs/policy.md. */
#pragma once

#include "policy/claims.h"

/* Our own limits: the service publishes none. A policy of twenty rules over fifty claims takes some thousand steps. */
#define POLICY_STEPS_MAX 2000000u              /* comparisons of a claim with a test, in all rules together */
#define POLICY_FIRINGS_MAX 4096u               /* of one rule */
#define POLICY_TEXT_MAX (64u << 20)            /* bytes of all strings that functions make */

/* What became of a rule. */
typedef struct PolicyTrace {
        PolicySection section;
        unsigned line;                         /* where the rule begins */
        PolicyVerb verb;
        size_t n_fired;                        /* how often it acted */
        size_t n_claims;                       /* that it made */
        size_t condition;                      /* n_fired 0: from 1, the first condition that nothing satisfied (of a negated one: that something did) */
} PolicyTrace;

typedef struct PolicyOutcome {
        bool permitted;
        bool denied;                           /* by a deny(); without one, and not permitted: no rule has permitted */
        PolicyClaims *issued, *properties;
        PolicyClaims *incoming;                /* as they were at the end: with all that rules have added */
        PolicyTrace *trace;
        size_t n_trace;
} PolicyOutcome;
PolicyOutcome *policy_outcome_free(PolicyOutcome *outcome);
DEFINE_CLEANUP(PolicyOutcome, policy_outcome_free)

/* incoming is copied. Errors: POLICY_FAILED with the line of the rule; LIMIT_EXCEEDED. */
Err *policy_evaluate(const Policy *policy, const PolicyClaims *incoming, PolicyOutcome **ret) _must_check_;
/* configurationrules alone. Nothing is permitted in the outcome. */
Err *policy_evaluate_configuration(const Policy *policy, const PolicyClaims *incoming, PolicyOutcome **ret) _must_check_;

/* An object with a member for each type, in the order of their first claim: the value, or an array of the values of several claims of that type. */
Err *policy_claims_to_json(const PolicyClaims *claims, Json **ret) _must_check_;
/* The other direction: a member makes a claim, one that is an array a claim for each of its elements. Values are strings, integers and booleans; objects
 * become the JSON text that policies query (events). Error: JSON_MEMBER_TYPE. */
Err *policy_claims_add_json(PolicyClaims *claims, const Json *object, PolicyIssuer issuer) _must_check_;
