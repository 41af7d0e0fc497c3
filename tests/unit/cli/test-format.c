/* How times, durations and verdicts read. */
#include <time.h>

#include "cli/format.h"
#include "tests/support/unit.h"

#define SEC USEC_PER_SEC

static void test_format_duration_gives_two_units_at_most(void **state) {
        static const struct {
                uint64_t usec;
                const char *text;
        } cases[] = {
                { 0, "0 us" }, { 999, "999 us" }, { 1000, "1 ms" }, { 999999, "999 ms" }, { 1250000, "1.2 s" }, { 9990000, "9.9 s" }, { 10 * SEC, "10 s" },
                { 59 * SEC, "59 s" }, { 60 * SEC, "1 min" }, { 200 * SEC, "3 min 20 s" }, { 3600 * SEC, "1 h" }, { 28799 * SEC, "7 h 59 min" },
                { 86400 * SEC, "1 d" }, { 183600 * SEC, "2 d 3 h" }, { UINT64_MAX, "213503982 d 8 h" },
        };
        char buffer[FORMAT_SIZE];
        for (size_t i = 0; i < N_ELEMENTS(cases); i++)
                assert_string_equal(format_duration(cases[i].usec, buffer), cases[i].text);
}

static void test_format_relative_says_before_and_after(void **state) {
        char buffer[FORMAT_SIZE];
        uint64_t now = UINT64_C(1700000000) * SEC;
        assert_string_equal(format_relative(0, now, buffer), "never");
        assert_string_equal(format_relative(now, now, buffer), "now");
        assert_string_equal(format_relative(now + SEC - 1, now, buffer), "now");
        assert_string_equal(format_relative(now - SEC, now, buffer), "1.0 s ago");
        assert_string_equal(format_relative(now - 200 * SEC, now, buffer), "3 min 20 s ago");
        assert_string_equal(format_relative(now + 28799 * SEC + 5, now, buffer), "in 7 h 59 min");
        assert_string_equal(format_relative(UINT64_MAX, 1, buffer), "in 213503982 d 8 h");
}

static void test_format_time_is_local_and_names_its_zone(void **state) {
        char buffer[FORMAT_SIZE];
        setenv("TZ", "UTC", 1);
        tzset();
        assert_string_equal(format_time(UINT64_C(1700000000) * SEC, buffer), "2023-11-14 22:13:20 UTC");
        setenv("TZ", "XYZ-2", 1);
        tzset();
        assert_string_equal(format_time(UINT64_C(1700000000) * SEC, buffer), "2023-11-15 00:13:20 XYZ");
        assert_string_equal(format_time(0, buffer), "never");
        assert_true(strlen(format_time(UINT64_MAX, buffer)) > 0);
}

static void test_format_verdicts_joins_ranges(void **state) {
        static const struct {
                const char *json, *text;
        } cases[] = {
                { "{}", "" },
                { "{\"0\":\"replayed\",\"1\":\"replayed\",\"2\":\"replayed\"}", "replayed 0-2" },
                { "{\"0\":\"replayed\",\"7\":\"unused\",\"10\":\"unexplained\",\"23\":\"unused\"}", "replayed 0; unexplained 10; unused 7,23" },
                { "{\"24\":\"replayed\",\"3\":\"else\"}", "" },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_json_ Json *json = NULL;
                _cleanup_free_ char *text = NULL;
                assert_ok(json_parse(span_from_string(cases[i].json), "the case", &json));
                assert_ok(format_verdicts(json, &text));
                assert_string_equal(text, cases[i].text);
        }
}

static void test_format_state_colour_is_off_without_terminal(void **state) {
        assert_string_equal(format_state_colour("attested", true), "\x1b[32m");
        assert_string_equal(format_state_colour("failed", true), "\x1b[31m");
        assert_string_equal(format_state_colour("quote", true), "");
        assert_string_equal(format_state_colour("attested", false), "");
        assert_string_equal(format_colour_end(false), "");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_format_duration_gives_two_units_at_most),
                cmocka_unit_test(test_format_relative_says_before_and_after),
                cmocka_unit_test(test_format_time_is_local_and_names_its_zone),
                cmocka_unit_test(test_format_verdicts_joins_ranges),
                cmocka_unit_test(test_format_state_colour_is_off_without_terminal),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
