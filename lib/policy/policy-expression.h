/* Values of expressions, for the evaluator alone. */
#pragma once

#include "policy/claims.h"
#include "policy/policy-node.h"

/* What an expression yields: no value (JSON null), one, or several (claims of one condition, elements of a JSON array). */
typedef struct PolicySet {
        PolicyValue *values;
        size_t n_values;
        bool read_only;        /* whatever it was made of came from read-only claims */
} PolicySet;
void policy_set_done(PolicySet *set);
#define _cleanup_policy_set_ _cleanup_(policy_set_done)

/* Where references lead: the claim of each condition in the combination at hand, and all claims that satisfy a condition. */
typedef struct PolicyScope {
        const PolicyClaims *claims;
        const size_t *chosen;                  /* by condition; SIZE_MAX: none */
        const bool *const *matching;           /* by condition: by claim; NULL: sets cannot be referred to here */
        size_t n_claims;                       /* of matching */
        size_t *n_text;                        /* bytes of strings made so far, against POLICY_TEXT_MAX */
} PolicyScope;

/* Errors: POLICY_FAILED, LIMIT_EXCEEDED. */
Err *policy_expression_evaluate(const PolicyExpression *expression, const PolicyScope *scope, PolicySet *ret) _must_check_;
bool policy_value_equal(const PolicyValue *a, const PolicyValue *b);
/* The property of a claim as a value that borrows from it. */
PolicyValue policy_claim_property(const PolicyClaim *claim, PolicyProperty property);
/* Which conditions an expression names by one claim (bit n: condition n), and which by all of their claims. */
void policy_expression_references(const PolicyExpression *expression, uint32_t *ret_single, uint32_t *ret_sets);
