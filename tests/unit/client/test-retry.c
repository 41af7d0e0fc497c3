/* The plan of trying again. Pauses are worked out by hand: the n-th is random / UINT32_MAX of delay_min * 2^(n-1). */
#include "tests/support/unit.h"

#include "client/operation.h"
#include "maa/http.h"

static uint32_t give(void *userdata) {
        return *(const uint32_t *) userdata;
}

static RetryPlan plan_with(uint32_t *random) {
        return (RetryPlan) { .n_tries = 5, .delay_min_usec = 1000, .delay_max_usec = 6000, .total_usec = 100000, .random = give, .userdata = random };
}

static bool next(Retry *retry, ErrCode code, uint64_t retry_after_usec, uint64_t *ret) {
        _cleanup_(err_freep) Err *err = err_new(code, "it failed");
        if (retry_after_usec > 0)
                err_set_retry_after(err, retry_after_usec);
        return retry_next(retry, err, ret);
}

static void test_retry_next_pauses_double_up_to_the_longest(void **state) {
        static const uint64_t expected[] = { 1000, 2000, 4000, 6000 };
        uint32_t random = UINT32_MAX;
        Retry retry = { .plan = plan_with(&random) };
        uint64_t delay;
        for (size_t i = 0; i < N_ELEMENTS(expected); i++) {
                assert_true(next(&retry, ERR_SERVICE_UNAVAILABLE, 0, &delay));
                assert_int_equal(delay, expected[i]);
        }
        assert_false(next(&retry, ERR_SERVICE_UNAVAILABLE, 0, &delay));   /* the fifth try was the last */
        assert_int_equal(retry.n_tried, 5);
}

static void test_retry_next_jitter_is_full(void **state) {
        static const struct {
                uint32_t random;
                uint64_t first, second;
        } cases[] = { { 0, 0, 0 }, { UINT32_MAX / 2, 499, 999 }, { UINT32_MAX, 1000, 2000 } };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                uint32_t random = cases[i].random;
                Retry retry = { .plan = plan_with(&random) };
                uint64_t delay;
                assert_true(next(&retry, ERR_SERVICE_UNREACHABLE, 0, &delay));
                assert_int_equal(delay, cases[i].first);
                assert_true(next(&retry, ERR_SERVICE_UNREACHABLE, 0, &delay));
                assert_int_equal(delay, cases[i].second);
        }
        RetryPlan plan = retry_plan_default();
        for (unsigned i = 0; i < 100; i++) {   /* with the kernel's numbers */
                Retry retry = { .plan = plan };
                uint64_t delay;
                assert_true(next(&retry, ERR_TIMEOUT, 0, &delay));
                assert_true(delay <= plan.delay_min_usec);
        }
}

static void test_retry_next_what_the_service_asks_for_is_the_least(void **state) {
        uint32_t random = UINT32_MAX;
        Retry retry = { .plan = plan_with(&random) };
        uint64_t delay;
        assert_true(next(&retry, ERR_SERVICE_THROTTLED, 50000, &delay));
        assert_int_equal(delay, 50000);
        assert_true(next(&retry, ERR_SERVICE_THROTTLED, 10, &delay));
        assert_int_equal(delay, 2000);
        assert_false(next(&retry, ERR_SERVICE_THROTTLED, 50000, &delay));   /* 52000 of 100000 are gone: no time for it */
}

static void test_retry_next_only_where_it_can_help(void **state) {
        static const ErrCode yes[] = { ERR_SERVICE_UNREACHABLE, ERR_SERVICE_NAME_RESOLUTION, ERR_SERVICE_UNAVAILABLE, ERR_SERVICE_THROTTLED, ERR_TIMEOUT, ERR_CHALLENGE_INVALID };
        static const ErrCode no[] = { ERR_SERVICE_TLS, ERR_SERVICE_REFUSED, ERR_SERVICE_UNAUTHORIZED, ERR_SERVICE_POLICY_DENIED, ERR_SERVICE_POLICY_MISSING, ERR_CANCELLED,
                                      ERR_SERVICE_ANSWER_INVALID, ERR_TPM_STUCK, ERR_NO_MEMORY };
        uint32_t random = 0;
        uint64_t delay;
        for (size_t i = 0; i < N_ELEMENTS(yes); i++)
                assert_true(next(&(Retry) { .plan = plan_with(&random) }, yes[i], 0, &delay));
        for (size_t i = 0; i < N_ELEMENTS(no); i++)
                assert_false(next(&(Retry) { .plan = plan_with(&random) }, no[i], 0, &delay));
        assert_false(next(&(Retry) {}, ERR_SERVICE_UNAVAILABLE, 0, &delay));   /* no plan */
}

static void test_http_response_retry_after_in_all_spellings(void **state) {
        static const struct {
                const char *name, *value;
                uint64_t usec;
        } cases[] = {
                { "Retry-After", "3", 3000000 },
                { "retry-after", "Sun, 06 Nov 1994 08:49:47 GMT", 10000000 },   /* Date is 08:49:37, the example of RFC 9110 5.6.7 */
                { "retry-after-ms", "250", 250000 },
                { "x-ms-retry-after-ms", "1500", 1500000 },
                { "retry-after-ms", "soon", 0 },
                { "retry-after-ms", "-5", 0 },
                { "retry-after-ms", "99999999999999999999", UINT64_C(3600) * 1000000 },
                { "retry-after", "99999999999999999999", UINT64_C(3600) * 1000000 },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_http_response_ HttpResponse response = { .status = 429 };
                assert_ok(http_response_add_header(&response, span_from_string("Date"), span_from_string("Sun, 06 Nov 1994 08:49:37 GMT")));
                assert_ok(http_response_add_header(&response, span_from_string(cases[i].name), span_from_string(cases[i].value)));
                assert_int_equal(http_response_retry_after_usec(&response, 0), cases[i].usec);
        }
        _cleanup_http_response_ HttpResponse both = { .status = 429 };
        assert_ok(http_response_add_header(&both, span_from_string("retry-after"), span_from_string("9")));
        assert_ok(http_response_add_header(&both, span_from_string("x-ms-retry-after-ms"), span_from_string("8500")));
        assert_int_equal(http_response_retry_after_usec(&both, 0), 8500000);   /* the finer one */
        assert_ok(http_response_add_header(&both, span_from_string("retry-after-ms"), span_from_string("250")));
        assert_ok(http_response_add_header(&both, span_from_string("x-ms-retry-after-ms"), span_from_string("8500")));
        assert_int_equal(http_response_retry_after_usec(&both, 0), 250000);    /* before x-ms-, whichever came last */
        assert_ok(http_response_add_header(&both, span_from_string("retry-after-ms"), span_from_string("soon")));
        assert_int_equal(http_response_retry_after_usec(&both, 0), 8500000);   /* the next usable one */
        assert_ok(http_response_add_header(&both, span_from_string("x-ms-retry-after-ms"), span_from_string("8.5")));
        assert_int_equal(http_response_retry_after_usec(&both, 0), 9000000);
}

/* 408, 429 and 5xx pass by themselves, and wait as asked; of the others no further try can help. */
static void test_retry_can_help_by_status(void **state) {
        for (long status = 300; status < 600; status++) {
                _cleanup_http_response_ HttpResponse response = { .status = status };
                assert_ok(http_response_add_header(&response, span_from_string("Retry-After"), span_from_string("7")));
                _cleanup_(err_freep) Err *err = http_response_check(&response, 0);
                bool may_pass = status == 408 || status == 429 || status >= 500;
                if (retry_can_help(err) != may_pass || err_retry_after(err) != (may_pass ? 7 * USEC_PER_SEC : 0))
                        fail_msg("%ld: %s", status, err_describe(err));
        }
}

/* Where the caller's time is over, the last failure is the error; in any other step it changes nothing. */
static void test_operation_give_up_leaves_the_last_error(void **state) {
        const RetryPlan plan = { .n_tries = 5, .delay_min_usec = 10, .delay_max_usec = 100, .total_usec = 10000 };
        _cleanup_(operation_freep) Operation *operation = NULL;
        _cleanup_(err_freep) Err *err = NULL;
        char text[] = "0", msec[] = "1";
        const HttpResponse busy = { .status = 503, .retry_after = text, .retry_after_ms = msec };
        assert_ok(operation_new_certs("https://h", &operation));
        operation_set_retry(operation, &plan);
        operation_give_up(operation);
        assert_int_equal(operation_next(operation), OPERATION_SEND);
        operation_take_failure(operation, err_new(ERR_SERVICE_UNREACHABLE, "nobody there"));
        assert_int_equal(operation_next(operation), OPERATION_WAIT);
        assert_int_equal(operation_delay_least_usec(operation), 0);
        operation_take_elapsed(operation, 0);
        operation_take_response(operation, &busy, 0);
        assert_int_equal(operation_next(operation), OPERATION_WAIT);
        assert_int_equal(operation_delay_least_usec(operation), 1000);
        assert_true(operation_delay_usec(operation) >= 1000);
        operation_give_up(operation);
        assert_int_equal(operation_next(operation), OPERATION_FAILED);
        operation_give_up(operation);
        err = operation_take_error(operation);
        assert_int_equal(err_code(err), ERR_SERVICE_UNAVAILABLE);
        assert_non_null(strstr(err_describe(err), "after 2 tries"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_retry_next_pauses_double_up_to_the_longest),
                cmocka_unit_test(test_retry_next_jitter_is_full),
                cmocka_unit_test(test_retry_next_what_the_service_asks_for_is_the_least),
                cmocka_unit_test(test_retry_next_only_where_it_can_help),
                cmocka_unit_test(test_http_response_retry_after_in_all_spellings),
                cmocka_unit_test(test_retry_can_help_by_status),
                cmocka_unit_test(test_operation_give_up_leaves_the_last_error),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
