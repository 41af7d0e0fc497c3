/* The text of a policy. Whatever it is, parsing ends within its limits with a policy or an error of the policy language. */
#include <assert.h>

#include "policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(policy_freep) Policy *policy = NULL;
        Err *err = policy_parse(span_make(data, size), &policy);
        assert(!err == !!policy);
        if (err)
                assert(err_code(err) == ERR_POLICY_INVALID || err_code(err) == ERR_LIMIT_EXCEEDED);
        else
                assert(policy_minor_version(policy) <= 2);
        err_free(err);
        return 0;
}
