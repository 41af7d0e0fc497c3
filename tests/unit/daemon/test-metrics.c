/* Expected text by OpenMetrics 1.0: TYPE, UNIT, HELP, samples, in one block a family; counters end in _total; the last line is "# EOF". */
#include "daemon/metrics.h"
#include "tests/support/unit.h"

static const ManagerStatus manager = { .version = "9.8", .is_alive = true, .is_ready = false, .tpm_health = "stuck", .clock_offset_usec = -1500000 };

static void assert_has(const char *text, const char *wanted) {
        if (!strstr(text, wanted))
                fail_msg("\"%s\" is not in:\n%s", wanted, text);
}

static void test_metrics_render_values(void **state) {
        ProfileStatus profiles[] = {
                { .name = "default", .is_attested = true, .token_expires_usec = 1700000000123456, .last_success_usec = 1, .n_attempts = 7, .n_failures = 2,
                  .n_ima_entries = 4711 },
                { .name = "a\"b\\c", .n_attempts = UINT64_MAX },
        };
        _cleanup_free_ char *text = NULL;
        assert_ok(metrics_render(&manager, profiles, N_ELEMENTS(profiles), &text));
        assert_has(text, "\nattestd_up 1\n");
        assert_has(text, "\nattestd_ready 0\n");
        assert_has(text, "# TYPE attestd_build info\n");
        assert_has(text, "\nattestd_build_info{version=\"9.8\"} 1\n");
        assert_has(text, "\nattestd_tpm_health{attestd_tpm_health=\"stuck\"} 1\n");
        assert_has(text, "\nattestd_tpm_health{attestd_tpm_health=\"ok\"} 0\n");
        assert_has(text, "\nattestd_clock_offset_seconds -1.500000\n");
        assert_has(text, "\nattestd_attested{profile=\"default\"} 1\nattestd_attested{profile=\"a\\\"b\\\\c\"} 0\n");
        assert_has(text, "# TYPE attestd_token_expires_timestamp_seconds gauge\n# UNIT attestd_token_expires_timestamp_seconds seconds\n");
        assert_has(text, "\nattestd_token_expires_timestamp_seconds{profile=\"default\"} 1700000000.123456\n# ");
        assert_has(text, "\nattestd_last_success_timestamp_seconds{profile=\"default\"} 0.000001\n# ");
        assert_has(text, "# TYPE attestd_attempts counter\n");
        assert_has(text, "\nattestd_attempts_total{profile=\"default\"} 7\nattestd_attempts_total{profile=\"a\\\"b\\\\c\"} 18446744073709551615\n");
        assert_has(text, "\nattestd_failures_total{profile=\"default\"} 2\n");
        assert_has(text, "\nattestd_ima_entries{profile=\"default\"} 4711\n");
        assert_string_equal(text + strlen(text) - strlen("\n# EOF\n"), "\n# EOF\n");
}

static void test_metrics_render_never_is_left_out(void **state) {
        ProfileStatus profile = { .name = "p" };
        _cleanup_free_ char *text = NULL;
        assert_ok(metrics_render(&manager, &profile, 1, &text));
        assert_null(strstr(text, "timestamp_seconds{"));
        assert_has(text, "attestd_attested{profile=\"p\"} 0\n");
}

/* Each sample belongs to the family that was declared last, and no family is declared twice. */
static void test_metrics_render_families_are_blocks(void **state) {
        ProfileStatus profiles[] = { { .name = "a", .token_expires_usec = 5 }, { .name = "b", .token_expires_usec = 6 } };
        _cleanup_free_ char *text = NULL;
        char family[128] = "", declared[64][128];
        size_t n_declared = 0, n_samples = 0;
        assert_ok(metrics_render(&manager, profiles, 2, &text));
        char *rest = text;
        for (char *line = strsep(&rest, "\n"); line && rest; line = strsep(&rest, "\n")) {
                if (sscanf(line, "# TYPE %127s", family) == 1) {
                        for (size_t i = 0; i < n_declared; i++)
                                assert_string_not_equal(declared[i], family);
                        strcpy(declared[n_declared++], family); /* lint: both are 128 bytes */
                } else if (*line != '#') {
                        n_samples++;
                        assert_int_equal(strncmp(line, family, strlen(family)), 0);
                }
        }
        assert_true(n_declared > 10 && n_samples > n_declared);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_metrics_render_values),
                cmocka_unit_test(test_metrics_render_never_is_left_out),
                cmocka_unit_test(test_metrics_render_families_are_blocks),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
