/* See tpm-policy.h. Properties and claims after the service's "Attestation policy version 1.1", "1.2" and "Claim sets". */
#include "instance/tpm-policy.h"

#include <ctype.h>

#include "base/writer.h"
#include "instance/report.h"
#include "policy/policy-eval.h"

#define MINUTES_DEFAULT 1440
#define MINUTES_MAX (365 * 1440)

void tpm_policy_outcome_done(TpmPolicyOutcome *outcome) {
        free(outcome->claims);
        *outcome = (TpmPolicyOutcome) {};
}

/* ---- properties; of several the last counts ---- */

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

/* Before evidence is verified there are no claims. */
Err *tpm_policy_configure(const Policy *policy, TpmPolicyRules *ret) {
        _cleanup_(policy_claims_freep) PolicyClaims *none = NULL;
        _cleanup_(policy_outcome_freep) PolicyOutcome *outcome = NULL;
        int64_t mask = PCR_MASK_ALL;
        bool needs_valid_aik = true;
        TRY(policy_claims_new(&none));
        TRY(policy_evaluate_configuration(policy, none, &outcome));
        TRY(get_integer(outcome->properties, "required_pcr_mask", PCR_MASK_ALL, &mask));
        TRY(get_boolean(outcome->properties, "require_valid_aik_cert", &needs_valid_aik));
        *ret = (TpmPolicyRules) { .required_pcrs = (uint32_t) mask, .needs_valid_aik = needs_valid_aik };
        return NULL;
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

static void write_digests(Writer *writer, const PcrValues *values, unsigned pcr) {
        const char *separator = "";
        for (size_t i = 0; i < values->n_banks; i++) {
                const PcrBank *bank = &values->banks[i];
                if (!(bank->mask >> pcr & 1))
                        continue;
                writer_format(writer, "%s\"", separator);
                for (const char *p = hash_name(bank->alg); *p; p++)
                        writer_format(writer, "%c", toupper((unsigned char) *p));
                writer_string(writer, "\":\"");
                writer_base64url(writer, digest_span(&bank->values[pcr]));
                writer_string(writer, "\"");
                separator = ",";
        }
}

/* {"PCRs":[{"Index":0,"Digests":{"SHA256":base64url}}]}: read-only, "may be compared, but not issued". */
static Err *add_pcrs(const PcrValues *values, PolicyClaims *incoming) {
        _cleanup_writer_ Writer writer = {};
        _cleanup_free_ char *text = NULL;
        writer_string(&writer, "{\"PCRs\":[");
        for (unsigned pcr = 0; pcr < PCR_COUNT; pcr++) {
                writer_format(&writer, "%s{\"Index\":%u,\"Digests\":{", pcr > 0 ? "," : "", pcr);
                write_digests(&writer, values, pcr);
                writer_string(&writer, "}}");
        }
        writer_string(&writer, "]}");
        TRY(writer_finish_string(&writer, &text));
        const PolicyClaim claim = { .type = (char *) "pcrs", .value = { .type = POLICY_TYPE_STRING, .text = text }, .issuer = POLICY_ISSUER_SERVICE, .read_only = true };
        return policy_claims_append(incoming, &claim);
}

/* What version 1.2 has beside the claims of 1.0 and 1.1. */
static Err *add_evidence(const TpmPolicyInput *input, PolicyClaims *incoming) {
        TRY(policy_claims_append_string(incoming, "x-ms-tpm-request-key", input->request_key, POLICY_ISSUER_SERVICE));
        if (input->other_keys)
                TRY(policy_claims_append_string(incoming, "x-ms-tpm-other-keys", input->other_keys, POLICY_ISSUER_SERVICE));
        return add_pcrs(&input->request->pcrs, incoming);
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
        int64_t minutes = MINUTES_DEFAULT;
        bool omit_x5c = false;
        TRY(get_integer(outcome->properties, "report_validity_in_minutes", MINUTES_MAX, &minutes));
        TRY(get_boolean(outcome->properties, "omit_x5c", &omit_x5c));
        TRY(policy_claims_to_json(outcome->issued, &issued));
        TRY(restore_structures(claims, issued));
        TRY(json_to_string(issued, &ret->claims));
        ret->lifetime_sec = (uint64_t) minutes * 60;
        ret->omit_x5c = omit_x5c;
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
