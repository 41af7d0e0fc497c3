/* Sets of claims. The names of issuers are those of the service's documentation (claim-rule-grammar). */
#include "tests/support/unit.h"

#include "policy/claims.h"

static void test_policy_issuer_names_both_ways(void **state) {
        (void) state;
        static const struct {
                PolicyIssuer issuer;
                const char *name;
        } cases[] = {
                { POLICY_ISSUER_SERVICE, "AttestationService" },
                { POLICY_ISSUER_POLICY, "AttestationPolicy" },
                { POLICY_ISSUER_CUSTOM, "CustomClaim" },
        };

        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                PolicyIssuer issuer = _POLICY_ISSUER_MAX;
                assert_string_equal(policy_issuer_to_string(cases[i].issuer), cases[i].name);
                assert_true(policy_issuer_from_string(cases[i].name, &issuer));
                assert_int_equal(issuer, cases[i].issuer);
        }

        PolicyIssuer issuer = POLICY_ISSUER_CUSTOM;
        assert_false(policy_issuer_from_string("attestationservice", &issuer));
        assert_false(policy_issuer_from_string("", &issuer));
        assert_int_equal(issuer, POLICY_ISSUER_CUSTOM);
}

static void test_policy_claims_append_copies_in_order_and_finds_all_of_a_type(void **state) {
        (void) state;
        _cleanup_(policy_claims_freep) PolicyClaims *claims = NULL;
        assert_ok(policy_claims_new(&claims));

        char text[] = "first";
        assert_ok(policy_claims_append_string(claims, "a", text, POLICY_ISSUER_SERVICE));
        text[0] = 'X';
        assert_ok(policy_claims_append_integer(claims, "b", INT64_MIN, POLICY_ISSUER_CUSTOM));
        assert_ok(policy_claims_append_boolean(claims, "a", true, POLICY_ISSUER_POLICY));
        PolicyClaim pcrs = { .type = (char *) "pcrs", .value = { .text = (char *) "[]" }, .read_only = true };
        assert_ok(policy_claims_append(claims, &pcrs));
        assert_int_equal(policy_claims_count(claims), 4);

        size_t position = 0;
        const PolicyClaim *claim = policy_claims_find(claims, "a", &position);
        assert_non_null(claim);
        assert_int_equal(claim->value.type, POLICY_TYPE_STRING);
        assert_string_equal(claim->value.text, "first");
        assert_int_equal(claim->issuer, POLICY_ISSUER_SERVICE);
        assert_false(claim->read_only);

        claim = policy_claims_find(claims, "a", &position);
        assert_ptr_equal(claim, policy_claims_get(claims, 2));
        assert_int_equal(claim->value.type, POLICY_TYPE_BOOLEAN);
        assert_true(claim->value.boolean);
        assert_null(policy_claims_find(claims, "a", &position));

        claim = policy_claims_get(claims, 1);
        assert_int_equal(claim->value.type, POLICY_TYPE_INTEGER);
        assert_true(claim->value.integer == INT64_MIN);

        position = 0;
        claim = policy_claims_find(claims, "pcrs", &position);
        assert_non_null(claim);
        assert_true(claim->read_only);
        assert_string_equal(claim->value.text, "[]");
        position = 0;
        assert_null(policy_claims_find(claims, "A", &position));
}

/* Sixteen is where the array moves first. */
static void test_policy_claims_append_own_claim_survives_growth(void **state) {
        (void) state;
        _cleanup_(policy_claims_freep) PolicyClaims *claims = NULL;
        assert_ok(policy_claims_new(&claims));

        assert_ok(policy_claims_append_string(claims, "a", "text", POLICY_ISSUER_SERVICE));
        for (size_t i = 0; i < 100; i++)
                assert_ok(policy_claims_append(claims, policy_claims_get(claims, i)));
        for (size_t i = 0; i < policy_claims_count(claims); i++)
                assert_string_equal(policy_claims_get(claims, i)->value.text, "text");
}

static void test_policy_claims_append_beyond_the_limit_refused_by_name(void **state) {
        (void) state;
        _cleanup_(policy_claims_freep) PolicyClaims *claims = NULL;
        assert_ok(policy_claims_new(&claims));

        for (int64_t i = 0; i < POLICY_CLAIMS_MAX; i++)
                assert_ok(policy_claims_append_integer(claims, "n", i, POLICY_ISSUER_SERVICE));
        _cleanup_(err_freep) Err *err = policy_claims_append_string(claims, "last", "x", POLICY_ISSUER_SERVICE);
        assert_int_equal(err_code(err), ERR_LIMIT_EXCEEDED);
        assert_non_null(strstr(err_describe(err), "'last'"));
        assert_int_equal(policy_claims_count(claims), POLICY_CLAIMS_MAX);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_policy_issuer_names_both_ways),
                cmocka_unit_test(test_policy_claims_append_copies_in_order_and_finds_all_of_a_type),
                cmocka_unit_test(test_policy_claims_append_own_claim_survives_growth),
                cmocka_unit_test(test_policy_claims_append_beyond_the_limit_refused_by_name),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
