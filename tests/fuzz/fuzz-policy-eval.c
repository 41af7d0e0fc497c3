/* A policy and claims: the text of the policy, a NUL, a JSON object of claims. Whatever they are, evaluation ends within its limits, and what it issues was permitted. */
#include <assert.h>

#include "policy/policy-eval.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void evaluate(const Policy *policy, const PolicyClaims *claims) {
        _cleanup_(policy_outcome_freep) PolicyOutcome *outcome = NULL;
        _cleanup_json_ Json *json = NULL;
        Err *err = policy_evaluate(policy, claims, &outcome);
        assert(!err == !!outcome);
        if (err)
                assert(err_code(err) == ERR_POLICY_FAILED || err_code(err) == ERR_LIMIT_EXCEEDED);
        else {
                assert(outcome->permitted || policy_claims_count(outcome->issued) == 0);
                assert(!(outcome->permitted && outcome->denied));
                for (size_t i = 0; i < policy_claims_count(outcome->issued); i++)
                        assert(!policy_claims_get(outcome->issued, i)->read_only);
                err = policy_claims_to_json(outcome->issued, &json);
                assert(!err);
        }
        err_free(err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const uint8_t *zero = size > 0 ? memchr(data, 0, size) : NULL;
        size_t n_policy = zero ? (size_t) (zero - data) : size;
        _cleanup_(policy_freep) Policy *policy = NULL;
        _cleanup_(policy_claims_freep) PolicyClaims *claims = NULL;
        _cleanup_json_ Json *json = NULL;
        Err *err = policy_parse(span_make(data, n_policy), &policy);
        if (!err)
                err = policy_claims_new(&claims);
        if (!err && zero)
                err = json_parse(span_make(zero + 1, size - n_policy - 1), "claims", &json);
        if (!err && json_is_object(json))
                err = policy_claims_add_json(claims, json, size % 2 == 0 ? POLICY_ISSUER_SERVICE : POLICY_ISSUER_CUSTOM);
        if (!err)
                evaluate(policy, claims);
        err_free(err);
        return 0;
}
