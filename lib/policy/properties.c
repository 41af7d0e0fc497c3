/* See properties.h. */
#include "policy/properties.h"

#define PCR_MASK_ALL 0xffffff
#define MINUTES_DEFAULT 1440
#define MINUTES_MAX (365 * 1440)

static Err *find_property(const PolicyClaims *properties, const char *name, PolicyType type, const PolicyValue **ret) {
        size_t position = 0;
        *ret = NULL;
        for (const PolicyClaim *claim; (claim = policy_claims_find(properties, name, &position));)
                *ret = &claim->value;
        if (*ret && (*ret)->type != type)
                return err_new(ERR_POLICY_FAILED, "policy: the property %s has to be %s", name, type == POLICY_TYPE_INTEGER ? "an integer" : "a boolean");
        return NULL;
}

static Err *get_integer(const PolicyClaims *properties, const char *name, int64_t max, int64_t *value) {
        const PolicyValue *found;
        TRY(find_property(properties, name, POLICY_TYPE_INTEGER, &found));
        if (found && (found->integer < 0 || found->integer > max))
                return err_new(ERR_POLICY_FAILED, "policy: the property %s is %lld; 0 to %lld are allowed", name, (long long) found->integer, (long long) max);
        if (found)
                *value = found->integer;
        return NULL;
}

static Err *get_boolean(const PolicyClaims *properties, const char *name, bool *value) {
        const PolicyValue *found;
        TRY(find_property(properties, name, POLICY_TYPE_BOOLEAN, &found));
        if (found)
                *value = found->boolean;
        return NULL;
}

Err *policy_configuration_get(const Policy *policy, PolicyConfiguration *ret) {
        _cleanup_(policy_claims_freep) PolicyClaims *none = NULL;
        _cleanup_(policy_outcome_freep) PolicyOutcome *outcome = NULL;
        int64_t mask = PCR_MASK_ALL;
        bool needs_valid_aik = true;
        TRY(policy_claims_new(&none));
        TRY(policy_evaluate_configuration(policy, none, &outcome));
        TRY(get_integer(outcome->properties, "required_pcr_mask", PCR_MASK_ALL, &mask));
        TRY(get_boolean(outcome->properties, "require_valid_aik_cert", &needs_valid_aik));
        *ret = (PolicyConfiguration) { .required_pcrs = (uint32_t) mask, .needs_valid_aik = needs_valid_aik };
        return NULL;
}

Err *policy_token_properties_get(const PolicyOutcome *outcome, PolicyTokenProperties *ret) {
        int64_t minutes = MINUTES_DEFAULT;
        bool omit_x5c = false;
        TRY(get_integer(outcome->properties, "report_validity_in_minutes", MINUTES_MAX, &minutes));
        TRY(get_boolean(outcome->properties, "omit_x5c", &omit_x5c));
        *ret = (PolicyTokenProperties) { .lifetime_sec = (uint64_t) minutes * 60, .omit_x5c = omit_x5c };
        return NULL;
}
