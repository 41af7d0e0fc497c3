/* Values, and the table of functions. */
#include "policy/policy-node.h"

const PolicyFunctionInfo policy_functions[_POLICY_FUNCTION_MAX] = {
        [POLICY_FUNCTION_JMESPATH] = { "JmesPath", 2, 0 },
        [POLICY_FUNCTION_JSON_TO_CLAIM_VALUE] = { "JsonToClaimValue", 1, 0 },
        [POLICY_FUNCTION_IS_SUBSET_OF] = { "IsSubsetOf", 2, 2 },
        [POLICY_FUNCTION_APPEND_STRING] = { "AppendString", 2, 0 },
        [POLICY_FUNCTION_NEGATE_BOOL] = { "NegateBool", 1, 0 },
        [POLICY_FUNCTION_CONTAINS_ONLY_VALUE] = { "ContainsOnlyValue", 2, 1 },
};

void policy_value_done(PolicyValue *value) {
        free(value->text);
        *value = (PolicyValue) {};
}
