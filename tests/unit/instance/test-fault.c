/* Fault specifications: what they say, where and how often they strike. */
#include "tests/support/unit.h"

#include "instance/fault.h"

static void test_fault_parse_good_specifications(void **state) {
        static const struct {
                const char *text;
                FaultName name;
                unsigned where;
                int64_t value;
                uint64_t left;
        } cases[] = {
                { "token=expired", FAULT_TOKEN, FAULT_ANYWHERE, FORGERY_EXPIRED, UINT64_MAX },
                { "token=weak-key@3", FAULT_TOKEN, FAULT_ANYWHERE, FORGERY_WEAK_KEY, 3 },
                { "certs:status=503@1", FAULT_STATUS, FAULT_AT_CERTS, 503, 1 },
                { "latency=250", FAULT_LATENCY, FAULT_ANYWHERE, 250, UINT64_MAX },
                { "clock-offset=-600", FAULT_CLOCK_OFFSET, FAULT_ANYWHERE, -600, UINT64_MAX },
                { "request:reset", FAULT_RESET, FAULT_AT_REQUEST, 0, UINT64_MAX },
                { "authority:status=401@2", FAULT_STATUS, FAULT_AT_AUTHORITY, 401, 2 },
                { "imds:status=410@30s", FAULT_STATUS, FAULT_AT_IMDS, 410, UINT64_MAX },
                { "rotate-keys@1", FAULT_ROTATE_KEYS, FAULT_ANYWHERE, 0, 1 },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                Fault fault;
                _cleanup_free_ char *again = NULL;
                assert_ok(fault_parse(span_from_string(cases[i].text), &fault));
                assert_int_equal(fault.name, cases[i].name);
                assert_int_equal(fault.where, cases[i].where);
                assert_int_equal(fault.value, cases[i].value);
                assert_int_equal(fault.left, cases[i].left);
                assert_ok(fault_to_string(&fault, &again));
                assert_string_equal(again, cases[i].text);
        }
}

static void test_fault_parse_bad_specifications_are_refused(void **state) {
        static const char *const texts[] = { "", "nonsense", "token", "token=", "token=good", "token=none", "status", "status=200", "status=600", "status=5x",
                                             "reset=1", "reset@0", "reset@-1", "reset@x", "reset@", "reset@s", "reset@0s", "reset@-1s", "reset@1m", "reset@86401s", "chunked=1", "nowhere:reset", "latency=-1", ":reset", "=", "@1" };
        for (size_t i = 0; i < N_ELEMENTS(texts); i++) {
                Fault fault;
                assert_err(fault_parse(span_from_string(texts[i]), &fault), ERR_INVALID_ARGUMENT);
        }
}

static void test_fault_take_counts_and_keeps_to_its_place(void **state) {
        Faults faults = {};
        int64_t value = 0;
        assert_ok(faults_replace(&faults, span_from_string("certs:status=503@2, status=429\n")));
        assert_false(fault_take(&faults, FAULT_RESET, FAULT_AT_CERTS, NULL));
        assert_true(fault_take(&faults, FAULT_STATUS, FAULT_AT_INIT, &value));
        assert_int_equal(value, 429);
        for (unsigned i = 0; i < 3; i++) {
                assert_true(fault_take(&faults, FAULT_STATUS, FAULT_AT_CERTS, &value));
                assert_int_equal(value, i < 2 ? 503 : 429);
        }
}

static void test_fault_take_for_a_time_ends_and_counts_from_the_first(void **state) {
        static const struct { uint64_t usec; bool taken; } steps[] = {
                { 500 * USEC_PER_SEC, true }, { 510 * USEC_PER_SEC, true }, { 530 * USEC_PER_SEC - 1, true }, { 530 * USEC_PER_SEC, false },
                { 600 * USEC_PER_SEC, false },
        };
        Faults faults = { .now_usec = 7 };
        assert_ok(faults_replace(&faults, span_from_string("imds:status=410@30s")));
        faults.now_usec = 100 * USEC_PER_SEC;
        assert_false(fault_take(&faults, FAULT_STATUS, FAULT_AT_AUTHORITY, NULL));   /* another place begins nothing */
        for (size_t i = 0; i < N_ELEMENTS(steps); i++) {
                faults.now_usec = steps[i].usec;
                assert_int_equal(fault_take(&faults, FAULT_STATUS, FAULT_AT_IMDS, NULL), steps[i].taken);
        }
}

static void test_faults_replace_with_a_bad_one_changes_nothing(void **state) {
        Faults faults = {};
        assert_ok(faults_replace(&faults, span_from_string("reset")));
        assert_err(faults_replace(&faults, span_from_string("latency=1 nonsense")), ERR_INVALID_ARGUMENT);
        assert_int_equal(faults.n, 1);
        assert_int_equal(faults.list[0].name, FAULT_RESET);
        assert_ok(faults_replace(&faults, span_from_string(" \n")));
        assert_int_equal(faults.n, 0);
}

static void test_faults_add_stops_at_its_limit(void **state) {
        Faults faults = {};
        for (unsigned i = 0; i < FAULTS_MAX; i++)
                assert_ok(faults_add(&faults, span_from_string("reset@1")));
        assert_err(faults_add(&faults, span_from_string("reset@1")), ERR_LIMIT_EXCEEDED);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_fault_parse_good_specifications),
                cmocka_unit_test(test_fault_parse_bad_specifications_are_refused),
                cmocka_unit_test(test_fault_take_counts_and_keeps_to_its_place),
                cmocka_unit_test(test_fault_take_for_a_time_ends_and_counts_from_the_first),
                cmocka_unit_test(test_faults_replace_with_a_bad_one_changes_nothing),
                cmocka_unit_test(test_faults_add_stops_at_its_limit),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
