/* The schedule: bounds for the smallest, the largest and many random numbers. */
#include "tests/support/unit.h"

#include "daemon/schedule.h"

#define SEC USEC_PER_SEC

static const Config config = {
        .renew_min_percent = 50, .renew_max_percent = 75, .retry_min_usec = 2 * SEC, .retry_max_usec = 900 * SEC, .splay_usec = 30 * SEC,
};

static const uint64_t randoms[] = { 0, 1, UINT64_MAX, UINT64_MAX - 1, UINT64_C(0x9e3779b97f4a7c15), 123456789 };

static void test_schedule_renew_at_stays_between_percentages(void **state) {
        for (size_t i = 0; i < N_ELEMENTS(randoms); i++) {
                uint64_t at = schedule_renew_at(&config, 1000 * SEC, 2000 * SEC, randoms[i]);
                assert_in_range(at, 1500 * SEC, 1750 * SEC);
        }
        assert_int_equal(schedule_renew_at(&config, 2000, 1000, 7), 2000);
}

static void test_schedule_retry_delay_grows_to_the_maximum(void **state) {
        _cleanup_(err_freep) Err *err = err_new(ERR_SERVICE_UNREACHABLE, "x");
        static const struct { uint64_t n, most; } cases[] = { { 1, 2 }, { 2, 4 }, { 3, 8 }, { 9, 512 }, { 10, 900 }, { 1000, 900 } };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++)
                for (size_t j = 0; j < N_ELEMENTS(randoms); j++)
                        assert_in_range(schedule_retry_delay(&config, err, cases[i].n, randoms[j]), 1 * SEC, cases[i].most * SEC);
}

static void test_schedule_retry_delay_permanent_error_is_slow_at_once(void **state) {
        _cleanup_(err_freep) Err *err = err_new(ERR_SERVICE_TLS, "x");
        for (size_t j = 0; j < N_ELEMENTS(randoms); j++)
                assert_in_range(schedule_retry_delay(&config, err, 1, randoms[j]), 450 * SEC, 900 * SEC);
}

static void test_schedule_retry_delay_retry_after_is_honoured_and_capped(void **state) {
        Err *err = err_new(ERR_SERVICE_THROTTLED, "x");
        err_set_retry_after(err, 60 * SEC);
        err = err_wrap(err, "outer");
        assert_int_equal(schedule_retry_delay(&config, err, 1, 0), 60 * SEC);
        err_free(err);
        err = err_new(ERR_SERVICE_THROTTLED, "x");
        err_set_retry_after(err, 86400 * SEC);
        assert_int_equal(schedule_retry_delay(&config, err, 1, 0), 900 * SEC);
        assert_int_equal(schedule_impatient_delay(err, 1, 0), 86400 * SEC);
        err_free(err);
}

static void test_schedule_splay_is_bounded(void **state) {
        for (size_t j = 0; j < N_ELEMENTS(randoms); j++)
                assert_in_range(schedule_splay(&config, randoms[j]), 0, 30 * SEC);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_schedule_renew_at_stays_between_percentages),
                cmocka_unit_test(test_schedule_retry_delay_grows_to_the_maximum),
                cmocka_unit_test(test_schedule_retry_delay_permanent_error_is_slow_at_once),
                cmocka_unit_test(test_schedule_retry_delay_retry_after_is_honoured_and_capped),
                cmocka_unit_test(test_schedule_splay_is_bounded),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
