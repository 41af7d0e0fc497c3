/* tpm/context, tpm/info, tpm/aik: the parts that need no TPM. Numbers of response codes are written out, from TPM 2.0 Part 2 §6.6. */
#include "tests/support/unit.h"

#include "tpm/aik.h"
#include "tpm/context.h"
#include "tpm/info.h"

static void test_has_resource_manager_depends_on_the_tcti(void **state) {
        static const struct {
                const char *conf;
                bool has_manager, is_device;
        } cases[] = {
                { "device:/dev/tpmrm0", true, true },
                { "device:/dev/tpmrm1", true, true },
                { "device:/dev/tpm0", false, true },
                { "device", true, true },
                { "device:", true, true },
                { "libtss2-tcti-device.so.0:/dev/tpmrm0", true, true },
                { "libtss2-tcti-device.so:/dev/tpm0", false, true },
                { "device:tpmrm0", true, true },
                { "device:/dev/tpmrm0/../tpm0", false, true },
                { "tabrmd", true, false },
                { "tabrmd:bus_type=session", true, false },
                { "libtss2-tcti-tabrmd.so.0", true, false },
                { "swtpm:path=/run/tpmrm0", false, false },
                { "swtpm", false, false },
                { "mssim:host=127.0.0.1,port=2321", false, false },
                { "devicex:/dev/tpmrm0", false, false },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                assert_int_equal(tcti_has_resource_manager(cases[i].conf), cases[i].has_manager);
                assert_int_equal(tcti_is_device(cases[i].conf), cases[i].is_device);
        }
}

static void test_error_response_codes_are_sorted(void **state) {
        static const struct {
                TSS2_RC rc;
                ErrCode expected;
                bool breaks;
        } cases[] = {
                { 0x902, ERR_TPM_OUT_OF_MEMORY, false },        /* TPM_RC_OBJECT_MEMORY */
                { 0x903, ERR_TPM_OUT_OF_MEMORY, false },        /* TPM_RC_SESSION_MEMORY */
                { 0xc0902, ERR_TPM_OUT_OF_MEMORY, false },      /* the same through a resource manager */
                { 0x98e, ERR_TPM_AUTHORIZATION, false },        /* TPM_RC_AUTH_FAIL, session 1 */
                { 0x9a2, ERR_TPM_AUTHORIZATION, false },        /* TPM_RC_BAD_AUTH, session 1 */
                { 0x921, ERR_TPM_AUTHORIZATION, false },        /* TPM_RC_LOCKOUT */
                { 0x149, ERR_TPM_AUTHORIZATION, false },        /* TPM_RC_NV_AUTHORIZATION */
                { 0x18b, ERR_TPM_COMMAND_FAILED, false },       /* TPM_RC_HANDLE, handle 1 */
                { 0x14a, ERR_TPM_COMMAND_FAILED, false },       /* TPM_RC_NV_UNINITIALIZED */
                { 0x101, ERR_TPM_COMMAND_FAILED, false },       /* TPM_RC_FAILURE */
                { 0x922, ERR_TPM_COMMAND_FAILED, false },       /* TPM_RC_RETRY, when patience is at its end */
                { 0xa000a, ERR_TPM_ABSENT, true },              /* TCTI: input/output error */
                { 0xa0008, ERR_TPM_ABSENT, true },              /* TCTI: no connection */
                { 0x70007, ERR_TPM_COMMAND_FAILED, true },      /* ESYS: bad sequence */
                { 0x70017, ERR_NO_MEMORY, true },               /* ESYS: memory */
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_(tpm_context_freep) TpmContext *context = NULL;
                assert_ok(tpm_context_new("swtpm:path=/nonexistent", &context));
                context->is_suspect = false;
                Err *err = tpm_error(context, cases[i].rc, "TPM2_Something");
                if (err_code(err) != ERR_NO_MEMORY) {
                        int64_t native;
                        assert_int_equal(err_native(err, &native), ERR_DOMAIN_TSS);
                        assert_int_equal(native, cases[i].rc);
                        assert_non_null(strstr(err_describe(err), "TPM2_Something"));
                }
                assert_err(err, cases[i].expected);
                assert_int_equal(context->is_broken, cases[i].breaks);
                assert_int_equal(context->is_suspect, cases[i].breaks);
        }
}

static void test_rc_base_positions_are_masked(void **state) {
        assert_int_equal(tpm_rc_base(0x1df), 0x09f);     /* parameter 1, TPM_RC_INTEGRITY */
        assert_int_equal(tpm_rc_base(0x18b), 0x08b);     /* handle 1 */
        assert_int_equal(tpm_rc_base(0x98e), 0x08e);     /* session 1 */
        assert_int_equal(tpm_rc_base(0x922), 0x922);     /* format zero stays whole */
        assert_int_equal(tpm_rc_base(0xa000a), 0);       /* a TCTI's own */
        assert_true(tpm_rc_is_parameter(0x1df));
        assert_true(tpm_rc_is_parameter(0xc01df));
        assert_false(tpm_rc_is_parameter(0x18b));
        assert_false(tpm_rc_is_parameter(0x98e));
        assert_false(tpm_rc_is_parameter(0x901 | 0x040));
        assert_false(tpm_rc_is_parameter(0x701df));
}

static void test_should_retry_warnings_of_the_tpm_is_bounded(void **state) {
        static const TSS2_RC again[] = { 0x922, 0x908, 0x90a, 0xc0922 };   /* RETRY, YIELDED, TESTING */
        static const TSS2_RC never[] = { 0, 0x902, 0x18b, 0xa000a, 0x70007 };
        for (size_t i = 0; i < N_ELEMENTS(again); i++) {
                unsigned n = 0;
                assert_true(tpm_should_retry(again[i], &n));
                assert_int_equal(n, 1);
        }
        for (size_t i = 0; i < N_ELEMENTS(never); i++) {
                unsigned n = 0;
                assert_false(tpm_should_retry(never[i], &n));
        }
        unsigned n = 1000;
        assert_false(tpm_should_retry(0x922, &n));
}

static void test_acquire_nothing_there_is_absent(void **state) {
        static const char *const confs[] = { "swtpm:path=/nonexistent/socket", "device:/dev/null", "device:/nonexistent", "no-such-tcti:x" };
        for (size_t i = 0; i < N_ELEMENTS(confs); i++) {
                _cleanup_(tpm_context_freep) TpmContext *context = NULL;
                assert_ok(tpm_context_new(confs[i], &context));
                for (unsigned n = 0; n < 2; n++) {
                        Err *err = tpm_context_acquire(context);
                        assert_non_null(err);
                        assert_non_null(strstr(err_describe(err), confs[i]));
                        assert_err(err, ERR_TPM_ABSENT);
                        assert_null(context->esys);
                }
        }
}

static void test_text_from_properties_blanks_and_nuls_are_left_out(void **state) {
        static const struct {
                uint32_t values[4];
                size_t n;
                const char *expected;
        } cases[] = {
                { { 0x49424d20 }, 1, "IBM" },
                { { 0x4d534654 }, 1, "MSFT" },
                { { 0x49465800 }, 1, "IFX" },
                { { 0x53572020, 0x2054504d, 0, 0 }, 4, "SW   TPM" },
                { { 0, 0, 0, 0 }, 4, "" },
                { { 0x0a1b7fff }, 1, "" },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                char text[17];
                info_text_from_properties(cases[i].values, cases[i].n, text);
                assert_string_equal(text, cases[i].expected);
        }
}

static void test_parse_handle_only_hex_of_32_bits(void **state) {
        static const char *const bad[] = { "", "0x", "81000003", "0x8100000g", "0x181000003", " 0x81000003", "0x 1", "0x-1", "0x0x1", "0x81000003 " };
        uint32_t handle = 0;
        assert_ok(aik_parse_handle("0x81000003", &handle));
        assert_int_equal(handle, 0x81000003);
        assert_ok(aik_parse_handle("0x01C101D0", &handle));
        assert_int_equal(handle, 0x01c101d0);
        for (size_t i = 0; i < N_ELEMENTS(bad); i++)
                assert_err(aik_parse_handle(bad[i], &handle), ERR_CONFIG_INVALID);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_has_resource_manager_depends_on_the_tcti),
                cmocka_unit_test(test_error_response_codes_are_sorted),
                cmocka_unit_test(test_rc_base_positions_are_masked),
                cmocka_unit_test(test_should_retry_warnings_of_the_tpm_is_bounded),
                cmocka_unit_test(test_acquire_nothing_there_is_absent),
                cmocka_unit_test(test_text_from_properties_blanks_and_nuls_are_left_out),
                cmocka_unit_test(test_parse_handle_only_hex_of_32_bits),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
