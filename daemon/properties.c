/* See properties.h. */
#include "daemon/properties.h"

#include <assert.h>

/* "unknown" until evidence was collected: "off" would be a claim about the configuration. */
static const char *log_state(const ProfileStatus *status, LogState state) {
        return status->has_findings ? log_state_to_string(state) : "unknown";
}

static const char *or_empty(const char *text) {
        return text ? text : "";
}

void manager_properties(const ManagerStatus *status, Property ret[MANAGER_PROPERTIES_N]) {
        const Property list[] = {
                { "Version", PROPERTY_STRING, .string = or_empty(status->version) },
                { "State", PROPERTY_STRING, .string = or_empty(status->state) },
                { "Alive", PROPERTY_BOOLEAN, .boolean = status->is_alive },
                { "Ready", PROPERTY_BOOLEAN, .boolean = status->is_ready },
                { "Attested", PROPERTY_BOOLEAN, .boolean = status->is_attested },
                { "Reason", PROPERTY_STRING, .string = or_empty(status->reason) },
                { "TpmHealth", PROPERTY_STRING, .string = or_empty(status->tpm_health) },
                { "TpmManufacturer", PROPERTY_STRING, .string = or_empty(status->tpm_manufacturer) },
                { "AikFingerprint", PROPERTY_STRING, .string = or_empty(status->aik_fingerprint) },
                { "PcrBank", PROPERTY_STRING, .string = or_empty(status->pcr_bank) },
                { "ClockOffsetUSec", PROPERTY_INT64, .int64 = status->clock_offset_usec },
        };
        static_assert(N_ELEMENTS(list) == MANAGER_PROPERTIES_N, "MANAGER_PROPERTIES_N is the length of the list");
        for (size_t i = 0; i < N_ELEMENTS(list); i++)
                ret[i] = list[i];
}

void profile_properties(const ProfileStatus *status, Property ret[PROFILE_PROPERTIES_N]) {
        const Property list[] = {
                { "Name", PROPERTY_STRING, .string = or_empty(status->name) },
                { "State", PROPERTY_STRING, .string = session_state_to_string(status->state) },
                { "Instance", PROPERTY_STRING, .string = or_empty(status->instance) },
                { "Attested", PROPERTY_BOOLEAN, .boolean = status->is_attested },
                { "LastSuccess", PROPERTY_UINT64, .uint64 = status->last_success_usec },
                { "LastFailure", PROPERTY_UINT64, .uint64 = status->last_failure_usec },
                { "LastError", PROPERTY_ERROR, .error = status->last_error },
                { "TokenIssued", PROPERTY_UINT64, .uint64 = status->token_issued_usec },
                { "TokenExpires", PROPERTY_UINT64, .uint64 = status->token_expires_usec },
                { "NextAttempt", PROPERTY_UINT64, .uint64 = status->next_attempt_usec },
                { "Attempts", PROPERTY_UINT64, .uint64 = status->n_attempts },
                { "Failures", PROPERTY_UINT64, .uint64 = status->n_failures },
                { "PcrVerdicts", PROPERTY_VERDICTS, .verdicts = status->verdicts },
                { "BootLogState", PROPERTY_STRING, .string = log_state(status, status->boot_log_state) },
                { "BootLogReason", PROPERTY_STRING, .string = or_empty(status->boot_log_reason) },
                { "ImaLogState", PROPERTY_STRING, .string = log_state(status, status->ima_log_state) },
                { "ImaLogReason", PROPERTY_STRING, .string = or_empty(status->ima_log_reason) },
                { "BootAttestationState", PROPERTY_STRING,
                  .string = status->has_findings ? boot_attestation_state_to_string(status->boot_attestation_state) : "unknown" },
                { "BootAttestationReason", PROPERTY_STRING, .string = or_empty(status->boot_attestation_reason) },
                { "ImaEntries", PROPERTY_UINT64, .uint64 = status->n_ima_entries },
        };
        static_assert(N_ELEMENTS(list) == PROFILE_PROPERTIES_N, "PROFILE_PROPERTIES_N is the length of the list");
        for (size_t i = 0; i < N_ELEMENTS(list); i++)
                ret[i] = list[i];
}

const Property *property_find(const Property *properties, size_t n_properties, const char *name) {
        for (size_t i = 0; i < n_properties; i++)
                if (string_equal(properties[i].name, name))
                        return &properties[i];
        return NULL;
}

static Err *json_made(Json *json, Json **ret) {
        if (!json)
                return err_oom();
        *ret = json;
        return NULL;
}

Err *error_to_json(const Err *err, Json **ret) {
        _cleanup_json_ Json *json = NULL;
        TRY(json_new_object(&json));
        TRY(json_add_string(json, "code", err_code_info(err_code(err))->name));
        TRY(json_add_string(json, "message", err_describe(err)));
        *ret = steal_ptr(&json);
        return NULL;
}

static Err *verdicts_to_json(const PcrVerdict *verdicts, Json **ret) {
        _cleanup_json_ Json *json = NULL;
        TRY(json_new_object(&json));
        for (unsigned pcr = 0; pcr < PCR_COUNT; pcr++) {
                char name[sizeof("4294967295")];
                snprintf(name, sizeof(name), "%u", pcr);
                if (verdicts[pcr] != PCR_NOT_QUOTED)
                        TRY(json_add_string(json, name, pcr_verdict_to_string(verdicts[pcr])));
        }
        *ret = steal_ptr(&json);
        return NULL;
}

Err *property_to_json(const Property *property, Json **ret) {
        switch (property->kind) {
        case PROPERTY_STRING:
                return json_made(json_object_new_string(property->string), ret);
        case PROPERTY_BOOLEAN:
                return json_made(json_object_new_boolean(property->boolean), ret);
        case PROPERTY_UINT64:
                return json_made(json_object_new_uint64(property->uint64), ret);
        case PROPERTY_INT64:
                return json_made(json_object_new_int64(property->int64), ret);
        case PROPERTY_ERROR:
                if (property->error)
                        return error_to_json(property->error, ret);
                *ret = NULL;
                return NULL;
        case PROPERTY_VERDICTS:
                return verdicts_to_json(property->verdicts, ret);
        }
        return err_new(ERR_INTERNAL, "a property of no known kind");
}

static Err *properties_to_json(const Property *properties, size_t n_properties, Json *object) {
        for (size_t i = 0; i < n_properties; i++) {
                Json *value;
                TRY(property_to_json(&properties[i], &value));
                if (json_object_object_add(object, properties[i].name, value) < 0) { /* a NULL value is JSON's null */
                        json_unref(value);
                        return err_oom();
                }
        }
        return NULL;
}

Err *status_to_json(const ManagerStatus *manager, const ProfileStatus *profiles, size_t n_profiles, Json **ret) {
        _cleanup_json_ Json *json = NULL;
        Property of_manager[MANAGER_PROPERTIES_N], of_profile[PROFILE_PROPERTIES_N];
        Json *list, *profile;
        TRY(json_new_object(&json));
        manager_properties(manager, of_manager);
        TRY(properties_to_json(of_manager, N_ELEMENTS(of_manager), json));
        TRY(json_new_object(&list));
        TRY(json_add(json, "profiles", list));
        for (size_t i = 0; i < n_profiles; i++) {
                TRY(json_new_object(&profile));
                TRY(json_add(list, profiles[i].name, profile));
                profile_properties(&profiles[i], of_profile);
                TRY(properties_to_json(of_profile, N_ELEMENTS(of_profile), profile));
        }
        *ret = steal_ptr(&json);
        return NULL;
}
