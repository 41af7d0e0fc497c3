/* The grammar of policies. What has to come out is read from the service's documentation (claim-rule-grammar, claim-rule-functions, policy-version-*), whose
 * samples are read in place; positions are counted by hand. */
#include "tests/support/vectors.h"

#include "base/writer.h"
#include "policy/policy.h"

/* Counts what is not as wanted, so that one run shows all of it. */
static size_t check(const char *name, Span text, const char *wanted) {
        _cleanup_(policy_freep) Policy *policy = NULL;
        _cleanup_(err_freep) Err *err = policy_parse(text, &policy);
        bool ok = wanted ? err && !policy && strncmp(err_describe(err), wanted, strlen(wanted)) == 0 &&
                                   (err_code(err) == ERR_POLICY_INVALID || err_code(err) == ERR_LIMIT_EXCEEDED)
                         : !err && policy;
        if (!ok)
                print_error("%s: got %s\n", name, err ? err_describe(err) : "a policy");
        return !ok;
}

/* NULL: accepted. Otherwise the rule of the grammar that the sample breaks:
 * author-sign-policy-0   "=" is no operator of a condition (table of operators in claim-rule-grammar)
 * claim-rule-functions-35  the same, beside issuer
 * policy-examples-0      <product-id> stands for a number that the reader has to put in
 * sample-policies-9      issue() in authorizationrules (table of actions: issuancerules alone) */
static const struct {
        const char *name, *wanted;
} samples[] = {
        { "author-sign-policy-0", "policy: line 4, column 12: found =, allowed: == !=" },
        { "author-sign-policy-2", NULL },
        { "author-sign-policy-4", NULL },
        { "claim-rule-functions-35", "policy: line 13, column 38: found =, allowed: == !=" },
        { "claim-sets-1", NULL },
        { "claim-sets-2", NULL },
        { "policy-examples-0", "policy: line 5, column 50: found <, allowed: a string, an integer" },
        { "policy-examples-1", NULL },
        { "policy-version-1-0-0", NULL },
        { "policy-version-1-1-0", NULL },
        { "tpm-attestation-concepts-0", NULL },
        { "tpm-attestation-concepts-1", NULL },
        { "tpm-attestation-concepts-3", NULL },
        { "tpm-attestation-sample-policies-0", NULL },
        { "tpm-attestation-sample-policies-2", NULL },
        { "tpm-attestation-sample-policies-3", NULL },
        { "tpm-attestation-sample-policies-5", NULL },
        { "tpm-attestation-sample-policies-6", NULL },
        { "tpm-attestation-sample-policies-8", NULL },
        { "tpm-attestation-sample-policies-9", "policy: line 8, column 78: found issue, allowed: permit, deny, add in authorizationrules" },
};

static void test_policy_parse_samples_parse_or_name_their_breach(void **state) {
        vectors_need();
        _cleanup_glob_ glob_t files = {};
        vectors_glob("policies/*.txt", N_ELEMENTS(samples), &files);
        assert_int_equal(files.gl_pathc, N_ELEMENTS(samples)); /* none is left out */
        size_t n_failed = 0;
        for (size_t i = 0; i < N_ELEMENTS(samples); i++) {
                _cleanup_free_ char *path = NULL;
                assert_ok(string_format(&path, "policies/%s.txt", samples[i].name));
                _cleanup_bytes_ Bytes text = vector_read(path);
                n_failed += check(samples[i].name, bytes_span(&text), samples[i].wanted);
        }
        assert_int_equal(n_failed, 0);
}

#define V10 "version=1.0;"
#define V11 "version=1.1;"
#define V12 "version=1.2;"
#define A "authorizationrules{};"
#define RULE(rule) V12 A "issuancerules{\n" rule "\n};"
#define C "c:[type==\"a\"]=>"

static const struct {
        const char *text, *wanted;
} constructs[] = {
        { "", "policy: line 1, column 1: found the end of the policy, allowed: version" },
        { "version", "policy: line 1, column 8: found the end of the policy, allowed: =" },
        { "version=2.0;", "policy: line 1, column 9: found 2, allowed: 1.0, 1.1, 1.2" },
        { "version=1.3;", "policy: line 1, column 11: found 3, allowed: 0, 1, 2" },
        { V10, "policy: line 1, column 13: found the end of the policy, allowed: authorizationrules" },
        { V10 A, NULL },
        { V11 A, NULL },
        { "// first\n version = 1 . 2 ; // said\n" A "//", NULL },
        { V10 A A, "policy: line 1, column 34: found authorizationrules, allowed: issuancerules or the end" },
        { V10 A "issuancerules{};", NULL },
        { V10 A "issuancerules{};;", "policy: line 1, column 50: found ;, allowed: the end" },
        { V10 "issuancerules{};" A, "policy: line 1, column 13: found issuancerules, allowed: authorizationrules" },
        { V10 "configurationrules{};" A, "policy: line 1, column 13: found configurationrules, allowed: configurationrules from version 1.1" },
        { V11 "configurationrules{=>issueproperty(type=\"omit_x5c\",value=true);};" A, NULL },
        { V11 "configurationrules{=>issue(type=\"a\",value=true);};" A, "policy: line 1, column 34: found issue, allowed: issueproperty in configurationrules" },
        { V10 "authorizationrules{=>permit();}", "policy: line 1, column 44: found the end of the policy, allowed: ;" },
        { V10 "authorizationrules{=>permit()};", "policy: line 1, column 42: found }, allowed: ;" },
        { V10 "authorizationrules{=>permit(true);};", "policy: line 1, column 41: found true, allowed: )" },
        { V10 "authorizationrules{=>allow();};", "policy: line 1, column 34: found allow, allowed: permit, deny, add in authorizationrules" },
        { V10 "authorizationrules{[type==\"a\"]&&=>permit();};", "policy: line 1, column 45: found =>, allowed: [ IDENTIFIER: !" },
        { V10 "authorizationrules{[type==\"a\"]=>deny();=>add(type=\"b\",value=1);};", NULL },
        { V10 "authorizationrules{![type==\"a\"]=>deny();};", "policy: line 1, column 32: found !, allowed: \"!\" from version 1.2" },
        { V11 A "issuancerules{=>issue(type=\"b\",value=NegateBool(true));};",
          "policy: line 1, column 71: found NegateBool, allowed: functions from version 1.2" },
        { RULE("=>permit();"), "policy: line 2, column 3: found permit, allowed: add, issue, issueproperty in issuancerules" },
        { RULE("=>issue(type=\"a\", value=-5);"), NULL },
        { RULE("=>issue(value=\"a\", type=\"a\");"), NULL },
        { RULE("=>issue(type=\"a\", type=\"b\");"), "policy: line 2, column 19: found type, allowed: value" },
        { RULE("=>issue(type=\"a\");"), "policy: line 2, column 17: found ), allowed: ," },
        { RULE("=>issue(type=1, value=1);"), "policy: line 2, column 14: found another value, allowed as the type of a claim: a string" },
        { RULE("=>issue();"), "policy: line 2, column 9: found ), allowed: claim, type, value" },
        { RULE("=>issue(type=\"a\", value=9223372036854775807);"), NULL },
        { RULE("=>issue(type=\"a\", value=-9223372036854775808);"), NULL },
        { RULE("=>issue(type=\"a\", value=9223372036854775808);"), "policy: line 2, column 25: found 9223372036854775808, allowed: an integer of 64 bits" },
        { RULE("=>issue(type=\"a\", value=x.value);"), "policy: line 2, column 25: found x, allowed: an identifier of a condition before it" },
        { RULE(C "issue(claim=c);"), NULL },
        { RULE(C "issue(claim=d);"), "policy: line 2, column 28: found d, allowed: an identifier" },
        { RULE(C "issue(type=c.type,value=c.issuer);"), NULL },
        { RULE(C "issue(type=c.kind,value=c.issuer);"), "policy: line 2, column 29: found kind, allowed: type, value, valueType, issuer" },
        { RULE("c:[type==\"a\"]&&c:[type==\"b\"]=>issue(claim=c);"), "policy: line 2, column 16: found c, allowed: an identifier that the rule has not used yet" },
        { RULE("c:[type==\"a\"]&&[value==c.value]=>issue(claim=c);"), NULL },
        { RULE("[value==c.value]&&c:[type==\"a\"]=>issue(claim=c);"), "policy: line 2, column 9: found c, allowed: an identifier of a condition before it" },
        { RULE("!c:[type==\"a\"]=>add(type=\"b\",value=1);"), "policy: line 2, column 2: found c, allowed: [" },
        { RULE("![type==\"a\"]&&![type==\"b\"]=>add(type=\"b\",value=1);"), NULL },
        { RULE("[]=>add(type=\"b\",value=1);"), "policy: line 2, column 2: found ], allowed: type, value, valueType, issuer" },
        { RULE("[type==\"a\" value==1]=>add(type=\"b\",value=1);"), "policy: line 2, column 12: found value, allowed: , ]" },
        { RULE("[type==\"a\",valueType!=\"Integer\",issuer!=\"CustomClaim\",value!=1]=>add(type=\"b\",value=1);"), NULL },
        { RULE("[value<=1,value<1,value>=1,value>1,value==1,value!=1]=>add(type=\"b\",value=1);"), NULL },
        { RULE("[value<\"a\"]=>add(type=\"b\",value=1);"), "policy: line 2, column 8: found another value, allowed beside <: an integer" },
        { RULE("[value>=true]=>add(type=\"b\",value=1);"), "policy: line 2, column 9: found another value, allowed beside >=: an integer" },
        { RULE("[type>=\"a\"]=>add(type=\"b\",value=1);"), "policy: line 2, column 6: found >=, allowed: == !=" },
        { RULE("[issuer==7]=>add(type=\"b\",value=1);"), "policy: line 2, column 10: found another value, allowed beside issuer: a string" },
        { RULE("[value=1]=>add(type=\"b\",value=1);"), "policy: line 2, column 7: found =, allowed: == != <= < >= >" },
        { RULE("=>add(type=\"b\",value=Unknown(1));"), "policy: line 2, column 22: found Unknown, allowed: an identifier" },
        { RULE("=>add(type=\"b\",value=AppendString(\"a\"));"), "policy: line 2, column 38: found ), allowed: ," },
        { RULE("=>add(type=\"b\",value=NegateBool(true,true));"), "policy: line 2, column 37: found ,, allowed: )" },
        { RULE("=>add(type=\"b\",value=JsonToClaimValue(JmesPath(\"{\\\"a\\\": \\\"\\\\\\\\\\\"}\", \"a\")));"), NULL },
        { RULE("=>add(type=\"b\",value=\"\\n\");"), "policy: line 2, column 23: found an escape that is not known" },
        { RULE("=>add(type=\"b\",value=\"no end);"), "policy: line 2, column 22: found a string that does not end in its line" },
        { RULE("=>add(type=\"b\",value=\"a\tb\");"), "policy: line 2, column 24: found a control character" },
        { RULE("=>add(type=\"\xc3\xa4\xe2\x82\xac\",value=#);"), "policy: line 2, column 23: found \"#\"" },
        { RULE("=>add(type=\"\xff\",value=1);"), "policy: bytes that are not UTF-8 at offset 60" },
        { RULE("=>add(type=\"a\",value=1)\xc2\xa0;"), "policy: line 2, column 24: found a character that is not ASCII text" },
        { RULE("[type==\"a\"] & [type==\"b\"]=>add(type=\"a\",value=1);"), "policy: line 2, column 13: found \"&\"" },
};

static void test_policy_parse_constructs_accepted_or_named(void **state) {
        size_t n_failed = 0;
        for (size_t i = 0; i < N_ELEMENTS(constructs); i++)
                n_failed += check(constructs[i].text, span_from_string(constructs[i].text), constructs[i].wanted);
        assert_int_equal(n_failed, 0);
}

static void repeat(Writer *w, const char *text, size_t n) {
        for (size_t i = 0; i < n; i++)
                writer_string(w, text);
}

/* begin, n times middle, end: n is accepted, one more is not. */
static const struct {
        const char *begin, *middle, *end, *wanted;
        size_t n;
} limits[] = {
        { V12 "authorizationrules{", "=>deny();", "};", "policy: line 1: more than 1000 rules", POLICY_RULES_MAX },
        { V12 "authorizationrules{[type==\"a\"]", "&&[type==\"a\"]", "=>deny();};", "policy: line 1: more than 16 conditions in a rule", POLICY_CONDITIONS_MAX - 1 },
        { V12 "authorizationrules{[type==\"a\"", ",value==1", "]=>deny();};", "policy: line 1: more than 16 tests in a condition", POLICY_TESTS_MAX - 1 },
        { V12 "authorizationrules{=>add(type=\"a\",value=\"", "x", "\");};", "policy: line 1: a string is longer than 32768 bytes", POLICY_STRING_MAX },
        { V12 A "//", " ", "", "policy: 262145 bytes, at most 262144 are allowed", POLICY_SIZE_MAX - sizeof(V12 A "//") + 1 },
};

static void test_policy_parse_at_its_limits_accepts_and_beyond_refuses(void **state) {
        for (size_t i = 0; i < N_ELEMENTS(limits); i++)
                for (size_t more = 0; more < 2; more++) {
                        _cleanup_writer_ Writer w = {};
                        _cleanup_free_ char *text = NULL;
                        writer_string(&w, limits[i].begin);
                        repeat(&w, limits[i].middle, limits[i].n + more);
                        writer_string(&w, limits[i].end);
                        assert_ok(writer_finish_string(&w, &text));
                        assert_int_equal(check(limits[i].wanted, span_from_string(text), more ? limits[i].wanted : NULL), 0);
                }
}

static void test_policy_parse_nested_functions_bounded(void **state) {
        for (size_t n = POLICY_NESTING_MAX; n <= POLICY_NESTING_MAX + 1; n++) {
                _cleanup_writer_ Writer w = {};
                _cleanup_free_ char *text = NULL;
                writer_string(&w, V12 "authorizationrules{=>add(type=\"a\",value=");
                repeat(&w, "NegateBool(", n);
                writer_string(&w, "true");
                repeat(&w, ")", n);
                writer_string(&w, ");};");
                assert_ok(writer_finish_string(&w, &text));
                assert_int_equal(check("nesting", span_from_string(text), n == POLICY_NESTING_MAX ? NULL : "policy: line 1: more than 16 functions within one another"), 0);
        }
}

/* Every prefix ends with an error, but for those that end behind a whole section after which the grammar allows the end. */
static void test_policy_parse_every_prefix_refused(void **state) {
        static const char head[] = V12 "configurationrules{=>issueproperty(type=\"required_pcr_mask\",value=15);};authorizationrules{=>permit();};";
        static const char tail[] = "issuancerules{// x\nc:[type==\"a\",value>=-1]&&![issuer!=\"b\"]=>issue(type=\"\\\"c\",value=IsSubsetOf(c.value,JsonToClaimValue(\"[]\")));};";
        _cleanup_free_ char *text = NULL;
        assert_ok(string_format(&text, "%s%s", head, tail));
        size_t size = strlen(text), n_accepted = 0;
        for (size_t i = 0; i <= size; i++) {
                _cleanup_free_ uint8_t *exact = malloc(i + (i == 0)); /* so that a sanitizer sees a byte too many */
                assert_non_null(exact);
                for (size_t k = 0; k < i; k++)
                        exact[k] = (uint8_t) text[k];
                Policy *policy = NULL;
                Err *err = policy_parse(span_make(exact, i), &policy);
                if (!err)
                        n_accepted++;
                assert_int_equal(err_code(err), i == strlen(head) || i == size ? ERR_NONE : ERR_POLICY_INVALID);
                err_free(err);
                policy_free(policy);
        }
        assert_int_equal(n_accepted, 2);
}

static void test_policy_parse_counts_rules_of_each_section(void **state) {
        static const char text[] = V11 "configurationrules{=>issueproperty(type=\"a\",value=1);};authorizationrules{=>permit();=>deny();};issuancerules{};";
        _cleanup_(policy_freep) Policy *policy = NULL;
        assert_ok(policy_parse(span_from_string(text), &policy));
        assert_int_equal(policy_minor_version(policy), 1);
        assert_int_equal(policy_count_rules(policy, POLICY_SECTION_CONFIGURATION), 1);
        assert_int_equal(policy_count_rules(policy, POLICY_SECTION_AUTHORIZATION), 2);
        assert_int_equal(policy_count_rules(policy, POLICY_SECTION_ISSUANCE), 0);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_policy_parse_samples_parse_or_name_their_breach),
                cmocka_unit_test(test_policy_parse_constructs_accepted_or_named),
                cmocka_unit_test(test_policy_parse_at_its_limits_accepts_and_beyond_refuses),
                cmocka_unit_test(test_policy_parse_nested_functions_bounded),
                cmocka_unit_test(test_policy_parse_every_prefix_refused),
                cmocka_unit_test(test_policy_parse_counts_rules_of_each_section),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
