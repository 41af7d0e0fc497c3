/* The names are those of the contract (org.attestd1(5)); the JSON is written by hand. */
#include "daemon/properties.h"
#include "tests/support/unit.h"

static void assert_json(const Json *json, const char *path_member, const char *wanted) {
        _cleanup_free_ char *text = NULL;
        Json *member = json_get(json, path_member);
        if (member)
                assert_ok(json_to_string(member, &text));
        assert_string_equal(text ? text : "null", wanted);
}

static void test_status_to_json_values(void **state) {
        ManagerStatus manager = { .version = "1", .state = "degraded", .is_alive = true, .is_attested = false, .reason = (char *) "a \"b\"",
                                  .tpm_health = "ok", .tpm_manufacturer = "IBM", .aik_fingerprint = "ab", .pcr_bank = "sha256", .clock_offset_usec = -7 };
        Err *cause = err_new(ERR_IO, "no disk");
        _cleanup_(err_freep) Err *err = err_wrap_code(ERR_SERVICE_TLS, cause, "asking");
        ProfileStatus profiles[] = {
                { .name = "one", .state = SESSION_QUOTE, .instance = "https://i", .last_error = err, .n_attempts = 18446744073709551615u,
                  .has_findings = true, .boot_log_state = LOG_STATE_OK, .ima_log_state = LOG_STATE_MISSING, .ima_log_reason = "gone", .n_ima_entries = 3,
                  .boot_attestation_state = BOOT_ATTESTATION_DROPPED, .boot_attestation_reason = "reset" },
                { .name = "two", .state = SESSION_ATTESTED, .is_attested = true, .token_expires_usec = 1700000000000001 },
        };
        profiles[0].verdicts[0] = PCR_REPLAYED;
        profiles[0].verdicts[23] = PCR_UNEXPLAINED;
        _cleanup_json_ Json *json = NULL;
        assert_ok(status_to_json(&manager, profiles, 2, &json));
        assert_json(json, "State", "\"degraded\"");
        assert_json(json, "Alive", "true");
        assert_json(json, "Attested", "false");
        assert_json(json, "Reason", "\"a \\\"b\\\"\"");
        assert_json(json, "ClockOffsetUSec", "-7");
        Json *one = json_get(json_get(json, "profiles"), "one"), *two = json_get(json_get(json, "profiles"), "two");
        assert_json(one, "State", "\"quote\"");
        assert_json(one, "LastError", "{\"code\":\"ServiceTls\",\"message\":\"asking: no disk\"}");
        assert_json(one, "Attempts", "18446744073709551615");
        assert_json(one, "PcrVerdicts", "{\"0\":\"replayed\",\"23\":\"unexplained\"}");
        assert_json(one, "ImaLogState", "\"missing\"");
        assert_json(one, "ImaLogReason", "\"gone\"");
        assert_json(one, "BootAttestationState", "\"dropped\"");
        assert_json(one, "BootAttestationReason", "\"reset\"");
        assert_json(two, "BootAttestationState", "\"unknown\"");
        assert_json(two, "LastError", "null");
        assert_true(json_object_object_get_ex(two, "LastError", NULL)); /* there, and null */
        assert_json(two, "TokenExpires", "1700000000000001");
        assert_json(two, "PcrVerdicts", "{}");
        assert_json(two, "BootLogState", "\"unknown\""); /* no evidence yet */
}

static void assert_all_found(const Property *properties, size_t n, const char *const *names) {
        for (; *names; names++)
                if (!property_find(properties, n, *names))
                        fail_msg("%s is missing", *names);
        assert_null(property_find(properties, n, "Nonsense"));
}

static void test_properties_are_the_contract(void **state) {
        const ManagerStatus manager = {};
        const ProfileStatus profile = {};
        Property of_manager[MANAGER_PROPERTIES_N], of_profile[PROFILE_PROPERTIES_N];
        manager_properties(&manager, of_manager);
        profile_properties(&profile, of_profile);
        assert_all_found(of_manager, MANAGER_PROPERTIES_N,
                         (const char *const[]) { "Version", "State", "Alive", "Ready", "Attested", "TpmHealth", "TpmManufacturer", "AikFingerprint", "PcrBank",
                                                 "ClockOffsetUSec", NULL });
        assert_all_found(of_profile, PROFILE_PROPERTIES_N,
                         (const char *const[]) { "Name", "State", "Instance", "Attested", "LastSuccess", "LastFailure", "LastError", "TokenIssued",
                                                 "TokenExpires", "NextAttempt", "Attempts", "Failures", "PcrVerdicts", "BootLogState", "ImaLogState",
                                                 "BootAttestationState", "BootAttestationReason", "ImaEntries", NULL });
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_status_to_json_values),
                cmocka_unit_test(test_properties_are_the_contract),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
