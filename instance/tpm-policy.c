/* See tpm-policy.h. Properties and claims after the service's "Attestation policy version 1.1", "1.2" and "Claim sets". */
#include "instance/tpm-policy.h"

#include "instance/report.h"
#include "policy/properties.h"

void tpm_policy_outcome_done(TpmPolicyOutcome *outcome) {
        free(outcome->claims);
        *outcome = (TpmPolicyOutcome) {};
}

/* ---- incoming claims ---- */

static bool is_structure(const Json *value) {
        return json_is_array(value) || json_is_object(value);
}

static Err *add_service_claims(const Json *claims, PolicyClaims *incoming) {
        json_object_object_foreach((Json *) claims, type, value) {
                _cleanup_json_ Json *one = NULL;
                _cleanup_free_ char *text = NULL;
                TRY(json_new_object(&one));
                if (is_structure(value)) {
                        TRY(json_to_string(value, &text));
                        TRY(json_add_string(one, type, text));
                } else
                        TRY(json_add(one, type, json_ref(value)));
                TRY(policy_claims_add_json(incoming, one, POLICY_ISSUER_SERVICE));
        }
        return NULL;
}

static Err *add_custom_claims(const Json *list, PolicyClaims *incoming) {
        for (size_t i = 0; list && i < json_object_array_length(list); i++) {
                _cleanup_json_ Json *one = NULL;
                const char *name;
                Json *value;
                TRY(attest_request_claim(json_object_array_get_idx(list, i), &name, &value));
                TRY(json_new_object(&one));
                TRY(json_add(one, name, value));
                TRY(policy_claims_add_json(incoming, one, POLICY_ISSUER_CUSTOM));
        }
        return NULL;
}

/* What version 1.2 has beside the claims of 1.0 and 1.1. */
static Err *add_evidence(const TpmPolicyInput *input, PolicyClaims *incoming) {
        TRY(policy_claims_append_string(incoming, "x-ms-tpm-request-key", input->request_key, POLICY_ISSUER_SERVICE));
        if (input->other_keys)
                TRY(policy_claims_append_string(incoming, "x-ms-tpm-other-keys", input->other_keys, POLICY_ISSUER_SERVICE));
        return policy_claims_add_json(incoming, input->evidence, POLICY_ISSUER_SERVICE);
}

/* ---- outcome ---- */

/* Lists and objects that were issued as they came. */
static Err *restore_structures(const Json *claims, Json *issued) {
        json_object_object_foreach((Json *) claims, type, value) {
                _cleanup_free_ char *text = NULL;
                Json *now = json_get(issued, type);
                if (!is_structure(value) || !json_is_string(now))
                        continue;
                TRY(json_to_string(value, &text));
                if (string_equal(json_object_get_string(now), text))
                        TRY(json_add(issued, type, json_ref(value)));
        }
        return NULL;
}

static Err *take_outcome(const PolicyOutcome *outcome, const Json *claims, TpmPolicyOutcome *ret) {
        _cleanup_json_ Json *issued = NULL;
        PolicyTokenProperties properties;
        TRY(policy_token_properties_get(outcome, &properties));
        TRY(policy_claims_to_json(outcome->issued, &issued));
        TRY(restore_structures(claims, issued));
        TRY(json_to_string(issued, &ret->claims));
        ret->lifetime_sec = properties.lifetime_sec;
        ret->omit_x5c = properties.omit_x5c;
        return NULL;
}

Err *tpm_policy_issue(const Policy *policy, const TpmPolicyInput *input, TpmPolicyOutcome *ret) {
        _cleanup_(policy_claims_freep) PolicyClaims *incoming = NULL;
        _cleanup_(policy_outcome_freep) PolicyOutcome *outcome = NULL;
        TRY(policy_claims_new(&incoming));
        TRY(add_service_claims(input->claims, incoming));
        TRY(add_custom_claims(input->request->custom_claims, incoming));
        if (policy_minor_version(policy) >= 2)
                TRY(add_evidence(input, incoming));
        TRY(policy_evaluate(policy, incoming, &outcome));
        if (!outcome->permitted)
                return err_new(ERR_SERVICE_POLICY_DENIED, outcome->denied ? "a rule of the policy denies" : "no rule of the policy permits");
        return take_outcome(outcome, input->claims, ret);
}
