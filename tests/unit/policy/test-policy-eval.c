/* Evaluation of policies. What has to come out is worked out by hand from the service's documentation (claim-rule-grammar, claim-rule-functions,
 * policy-version-*), whose examples come first; docs/policy.md says what is ours where it is silent. */
#include "tests/support/vectors.h"

#include "base/writer.h"
#include "policy/policy-eval.h"

#define PERMIT "authorizationrules { => permit(); };"

typedef struct Case {
        const char *name;
        const char *policy;      /* behind the version */
        const char *claims;      /* JSON, of the service; members of "@" are custom claims, those of "#" read-only */
        const char *issued;      /* JSON; NULL: not permitted */
        const char *properties;  /* NULL: none */
        const char *error;       /* what the message has to hold; NULL: none */
} Case;

static void add_claims(const char *text, PolicyClaims *claims) {
        _cleanup_json_ Json *json = NULL;
        assert_ok(json_parse(span_from_string(text), "claims", &json));
        Json *custom = json_get(json, "@"), *read_only = json_get(json, "#");
        if (custom)
                assert_ok(policy_claims_add_json(claims, custom, POLICY_ISSUER_CUSTOM));
        if (read_only) {
                json_object_object_foreach(read_only, type, value) {
                        PolicyClaim claim = { .type = type, .value = { .type = POLICY_TYPE_STRING, .text = (char *) json_object_get_string(value) }, .read_only = true };
                        assert_ok(policy_claims_append(claims, &claim));
                }
        }
        json_object_object_del(json, "@");
        json_object_object_del(json, "#");
        assert_ok(policy_claims_add_json(claims, json, POLICY_ISSUER_SERVICE));
}

static Err *evaluate(const char *text, const char *claims_text, PolicyOutcome **ret) {
        _cleanup_(policy_freep) Policy *policy = NULL;
        _cleanup_(policy_claims_freep) PolicyClaims *claims = NULL;
        assert_ok(policy_parse(span_from_string(text), &policy));
        assert_ok(policy_claims_new(&claims));
        add_claims(claims_text, claims);
        return policy_evaluate(policy, claims, ret);
}

static bool is_json(const PolicyClaims *claims, const char *wanted, char **ret_text) {
        _cleanup_json_ Json *got = NULL, *expected = NULL;
        assert_ok(json_parse(span_from_string(wanted ?: "{}"), "expected", &expected));
        assert_ok(policy_claims_to_json(claims, &got));
        assert_ok(json_to_string(got, ret_text));
        return json_object_equal(got, expected);
}

static size_t check_error(const Case *c, Err *steal_err) {
        _cleanup_(err_freep) Err *err = steal_err;
        ErrCode code = err_code(err);
        bool ok = c->error && strstr(err_describe(err), c->error) && strstr(err_describe(err), "policy: the rule at line ") &&
                  (code == ERR_POLICY_FAILED || code == ERR_LIMIT_EXCEEDED);
        if (!ok)
                print_error("%s: got %s (%s)\n", c->name, err_describe(err), err_code_info(code)->symbol);
        return !ok;
}

static size_t check(const Case *c) {
        _cleanup_free_ char *text = NULL, *issued = NULL, *properties = NULL;
        _cleanup_(policy_outcome_freep) PolicyOutcome *outcome = NULL;
        assert_ok(string_format(&text, "version=1.2;\n%s", c->policy));
        Err *err = evaluate(text, c->claims, &outcome);
        if (err)
                return check_error(c, err);
        bool ok = !c->error && outcome->permitted == !!c->issued;
        ok = is_json(outcome->issued, c->issued, &issued) && ok;
        ok = is_json(outcome->properties, c->properties, &properties) && ok;
        if (!ok)
                print_error("%s: permitted %d, issued %s, properties %s\n", c->name, outcome->permitted, issued, properties);
        return !ok;
}

#define ISSUE(rules) PERMIT "issuancerules {" rules "};"

static const Case cases[] = {
        /* "Claim rule functions": its examples, add() followed by an issue() of what was added */
        { "JmesPath literal", ISSUE("=> add(type=\"R\", value=JmesPath(\"{\\\"foo\\\": \\\"bar\\\"}\", \"foo\")); c:[type==\"R\"] => issue(claim=c);"), "{}",
          "{\"R\":\"\\\"bar\\\"\"}", NULL, NULL },
        { "JmesPath from claims", ISSUE("c1:[type==\"JsonData\"] && c2:[type==\"JmesPathQuery\"] => issue(type=\"R\", value=JmesPath(c1.value, c2.value));"),
          "{\"JsonData\":\"{\\\"values\\\": [0,1,2,3,4]}\",\"JmesPathQuery\":\"values[2]\"}", "{\"R\":\"2\"}", NULL, NULL },
        { "JmesPath without a result", ISSUE("=> issue(type=\"R\", value=JmesPath(\"{}\", \"foo\"));"), "{}", "{\"R\":\"null\"}", NULL, NULL },
        { "JsonToClaimValue primitives", ISSUE("c:[type==\"I\"] => issue(type=\"IR\", value=JsonToClaimValue(c.value));"
                                               "c:[type==\"B\"] => issue(type=\"BR\", value=JsonToClaimValue(c.value));"
                                               "c:[type==\"S\"] => issue(type=\"SR\", value=JsonToClaimValue(c.value));"),
          "{\"I\":\"100\",\"B\":\"true\",\"S\":\"\\\"abc\\\"\"}", "{\"IR\":100,\"BR\":true,\"SR\":\"abc\"}", NULL, NULL },
        { "JsonToClaimValue array", ISSUE("c:[type==\"J\"] => issue(type=\"R\", value=JsonToClaimValue(c.value));"), "{\"J\":\"[0, \\\"abc\\\", true, null, 0]\"}",
          "{\"R\":[0,\"abc\",true,0]}", NULL, NULL },
        { "JsonToClaimValue null", ISSUE("c:[type==\"J\"] => issue(type=\"R\", value=JsonToClaimValue(c.value));"), "{\"J\":\"null\"}", "{}", NULL, NULL },
        { "JsonToClaimValue fraction", ISSUE("=> issue(type=\"R\", value=JsonToClaimValue(\"1.5\"));"), "{}", NULL, NULL, "JsonToClaimValue(): the number 1.5" },
        { "JsonToClaimValue object", ISSUE("=> issue(type=\"R\", value=JsonToClaimValue(\"{}\"));"), "{}", NULL, NULL, "JsonToClaimValue(): an object" },
        { "JsonToClaimValue nested", ISSUE("=> issue(type=\"R\", value=JsonToClaimValue(\"[[1]]\"));"), "{}", NULL, NULL, "an array in an array" },
        { "JsonToClaimValue no JSON", ISSUE("=> issue(type=\"R\", value=JsonToClaimValue(\"{\"));"), "{}", NULL, NULL, "is no JSON" },
        { "IsSubsetOf", ISSUE("c1:[type == \"Subset\"] && c2:[type==\"Superset\"] => issue(type=\"IsSubset\", value=IsSubsetOf(c1.value, c2.value));"),
          "{\"Subset\":[\"abc\",100],\"Superset\":[true,\"abc\",100]}", "{\"IsSubset\":true}", NULL, NULL },
        { "IsSubsetOf not", ISSUE("c1:[type == \"Subset\"] && c2:[type==\"Superset\"] => issue(type=\"IsSubset\", value=IsSubsetOf(c1.value, c2.value));"),
          "{\"Subset\":[\"abc\",101],\"Superset\":[true,\"abc\",100]}", "{\"IsSubset\":false}", NULL, NULL },
        { "IsSubsetOf compares types", ISSUE("=> issue(type=\"R\", value=IsSubsetOf(JsonToClaimValue(\"[1]\"), JsonToClaimValue(\"[true, \\\"1\\\"]\")));"), "{}",
          "{\"R\":false}", NULL, NULL },
        { "AppendString", ISSUE("c:[type==\"String1\"] && c2:[type==\"String2\"] => issue(type=\"R\", value=AppendString(c.value, c2.value));"),
          "{\"String1\":\"abc\",\"String2\":\"xyz\"}", "{\"R\":\"abcxyz\"}", NULL, NULL },
        { "AppendString empty", ISSUE("=> issue(type=\"R\", value=AppendString(\"\", \"\"));"), "{}", "{\"R\":\"\"}", NULL, NULL },
        { "AppendString integer", ISSUE("=> issue(type=\"R\", value=AppendString(\"a\", 1));"), "{}", NULL, NULL, "AppendString(): the second argument has to be a string" },
        { "NegateBool", ISSUE("c:[type==\"Input\"] => issue(type=\"R\", value=NegateBool(c.value));"), "{\"Input\":true}", "{\"R\":false}", NULL, NULL },
        { "NegateBool string", ISSUE("c:[type==\"Input\"] => issue(type=\"R\", value=NegateBool(c.value));"), "{\"Input\":\"true\"}", NULL, NULL, "has to be a boolean" },
        { "ContainsOnlyValue not", ISSUE("c:[type==\"Set\"] => issue(type=\"R\", value=ContainsOnlyValue(c.value, 100));"), "{\"Set\":[100,101]}", "{\"R\":false}", NULL, NULL },
        { "ContainsOnlyValue", ISSUE("c:[type==\"Set\"] => issue(type=\"R\", value=ContainsOnlyValue(c.value, 100));"), "{\"Set\":[100,100]}", "{\"R\":true}", NULL, NULL },
        { "ContainsOnlyValue empty", ISSUE("=> issue(type=\"R\", value=ContainsOnlyValue(JsonToClaimValue(\"[]\"), 100));"), "{}", "{\"R\":false}", NULL, NULL },
        { "not", ISSUE("![type==\"Claim3\"] => issue(type=\"Claim3\", value=300); ![type==\"Claim2\"] => issue(type=\"Claim4\", value=1);"),
          "{\"Claim1\":100,\"Claim2\":200}", "{\"Claim3\":300}", NULL, NULL },
        /* "Claim and claim rules": its two examples */
        { "a condition refers to another", "authorizationrules { => permit(); }; issuancerules { F1:[type==\"OSName\", issuer==\"CustomClaim\"] && "
                                           "[type==\"OSName\", issuer==\"AttestationService\", value==F1.value] => issueproperty(type=\"report_validity_in_minutes\", value=1440); };",
          "{\"OSName\":\"Linux\",\"@\":{\"OSName\":\"Linux\"}}", "{}", "{\"report_validity_in_minutes\":1440}", NULL },
        { "a condition refers to another that differs", ISSUE("F1:[type==\"OSName\", issuer==\"CustomClaim\"] && "
                                                              "C2:[type==\"OSName\", issuer==\"AttestationService\", value==F1.value] => issue(claim=C2);"),
          "{\"OSName\":\"Linux\",\"@\":{\"OSName\":\"Windows\"}}", "{}", NULL, NULL },
        { "issue of a claim", ISSUE("F1:[type==\"OSName\", issuer==\"CustomClaim\"] && C2:[type==\"OSName\", issuer==\"AttestationService\", value==F1.value] => issue(claim=C2);"),
          "{\"OSName\":[\"BSD\",\"Linux\"],\"@\":{\"OSName\":\"Linux\"}}", "{\"OSName\":\"Linux\"}", NULL, NULL },
        /* authorization */
        { "no permit", "authorizationrules { [type==\"a\", value==true] => permit(); }; issuancerules { => issue(type=\"R\", value=1); };", "{\"a\":false}", NULL, NULL, NULL },
        { "deny beats permit", "authorizationrules { => permit(); [type==\"a\"] => deny(); }; issuancerules { => issue(type=\"R\", value=1); };", "{\"a\":1}", NULL, NULL, NULL },
        { "deny before permit", "authorizationrules { [type==\"a\"] => deny(); => permit(); }; issuancerules { => issue(type=\"R\", value=1); };", "{\"a\":1}", NULL, NULL, NULL },
        { "deny that does not apply", "authorizationrules { [type==\"b\"] => deny(); => permit(); }; issuancerules { => issue(type=\"R\", value=1); };", "{\"a\":1}", "{\"R\":1}", NULL, NULL },
        { "add in authorization is seen in issuance", "authorizationrules { => add(type=\"x\", value=3); => permit(); }; issuancerules { c:[type==\"x\", issuer==\"AttestationPolicy\"] "
                                                      "=> issue(type=\"R\", value=c.value); };", "{}", "{\"R\":3}", NULL, NULL },
        /* configuration */
        { "configuration properties", "configurationrules { => issueproperty(type=\"required_pcr_mask\", value=15); => issueproperty(type=\"require_valid_aik_cert\", value=false); };" PERMIT,
          "{}", "{}", "{\"required_pcr_mask\":15,\"require_valid_aik_cert\":false}", NULL },
        /* conditions */
        { "integers", ISSUE("[type==\"n\", value>=3, value<=3] => issue(type=\"eq\", value=true); [type==\"n\", value>3] => issue(type=\"gt\", value=true);"
                            "[type==\"n\", value<4, value!=4] => issue(type=\"lt\", value=true);"), "{\"n\":3}", "{\"eq\":true,\"lt\":true}", NULL, NULL },
        { "types are not converted", ISSUE("[type==\"n\", value==3] => issue(type=\"R\", value=1); [type==\"n\", value!=3] => issue(type=\"S\", value=1);"), "{\"n\":\"3\"}",
          "{\"S\":1}", NULL, NULL },
        { "strings by case", ISSUE("[type==\"N\"] => issue(type=\"R\", value=1); [type==\"n\", value==\"ABC\"] => issue(type=\"S\", value=1);"), "{\"n\":\"abc\"}", "{}", NULL, NULL },
        { "valueType", ISSUE("c:[valueType==\"Integer\"] => issue(type=\"R\", value=c.type);"), "{\"a\":1,\"b\":\"1\",\"c\":true}", "{\"R\":\"a\"}", NULL, NULL },
        { "the rule's own issuer", ISSUE("=> add(type=\"a\", value=1); [type==\"a\", issuer==\"AttestationService\"] => issue(type=\"R\", value=1);"), "{}", "{}", NULL, NULL },
        /* how often a rule acts */
        { "once for each claim", ISSUE("c:[type==\"a\"] => issue(type=\"R\", value=c.value);"), "{\"a\":[1,2,2]}", "{\"R\":[1,2,2]}", NULL, NULL },
        { "once where nothing is referred to", ISSUE("[type==\"a\"] && [type==\"b\"] => issue(type=\"R\", value=1);"), "{\"a\":[1,2],\"b\":[1,2]}", "{\"R\":1}", NULL, NULL },
        { "once for each that is referred to", ISSUE("c:[type==\"a\"] && [type==\"b\"] => issue(type=\"R\", value=c.value);"), "{\"a\":[1,2],\"b\":[1,2]}", "{\"R\":[1,2]}", NULL, NULL },
        { "all pairs", ISSUE("c:[type==\"a\"] && d:[type==\"b\"] => issue(type=\"R\", value=AppendString(c.value, d.value));"), "{\"a\":[\"1\",\"2\"],\"b\":[\"x\",\"y\"]}",
          "{\"R\":[\"1x\",\"1y\",\"2x\",\"2y\"]}", NULL, NULL },
        { "not by its own claims", ISSUE("c:[type==\"a\"] => issue(type=\"a\", value=c.value);"), "{\"a\":[1,2]}", "{\"a\":[1,2]}", NULL, NULL },
        { "the next rule sees what was issued", ISSUE("=> issue(type=\"a\", value=1); c:[type==\"a\", issuer==\"AttestationPolicy\"] => issue(type=\"b\", value=c.value);"), "{}",
          "{\"a\":1,\"b\":1}", NULL, NULL },
        { "a set is of claims that go with the others", ISSUE("x:[type==\"k\"] && c:[type==\"a\", value==x.value] => issue(type=\"R\", value=ContainsOnlyValue(c.value, 1));"),
          "{\"k\":1,\"a\":[1,2]}", "{\"R\":true}", NULL, NULL },
        { "an earlier condition that leads nowhere", ISSUE("x:[type==\"k\"] && [type==\"a\", value==x.value] => issue(type=\"R\", value=x.value);"), "{\"k\":[5,1],\"a\":[1,2]}",
          "{\"R\":1}", NULL, NULL },
        /* read-only claims */
        { "read-only is not issued", ISSUE("c:[type==\"pcrs\"] => issue(claim=c);"), "{\"#\":{\"pcrs\":\"{}\"}}", NULL, NULL, "read-only" },
        { "nor what is made of it", ISSUE("c:[type==\"pcrs\"] => add(type=\"x\", value=JmesPath(c.value, \"a\")); c:[type==\"x\"] => issue(type=\"y\", value=JsonToClaimValue(c.value));"),
          "{\"#\":{\"pcrs\":\"{\\\"a\\\":1}\"}}", NULL, NULL, "'y' comes from a read-only claim" },
        { "nor by another way", ISSUE("c:[type==\"pcrs\"] => issue(type=\"x\", value=AppendString(\"\", c.value));"), "{\"#\":{\"pcrs\":\"{}\"}}", NULL, NULL, "read-only" },
        { "nor negated", ISSUE("c:[type==\"pcrs\"] => issue(type=\"x\", value=NegateBool(JsonToClaimValue(JmesPath(c.value, \"a\"))));"), "{\"#\":{\"pcrs\":\"{\\\"a\\\":true}\"}}",
          NULL, NULL, "read-only" },
        { "comparing gives a fresh value", ISSUE("c:[type==\"pcrs\"] => issue(type=\"same\", value=IsSubsetOf(JsonToClaimValue(JmesPath(c.value, \"a\")), JsonToClaimValue(\"[1,2]\")));"
                                                 "c:[type==\"pcrs\"] => issue(type=\"only\", value=ContainsOnlyValue(JsonToClaimValue(JmesPath(c.value, \"a\")), 1));"),
          "{\"#\":{\"pcrs\":\"{\\\"a\\\":[1]}\"}}", "{\"same\":true,\"only\":true}", NULL, NULL },
        { "its type is no secret", ISSUE("c:[type==\"pcrs\"] => issue(type=\"x\", value=c.type);"), "{\"#\":{\"pcrs\":\"{}\"}}", "{\"x\":\"pcrs\"}", NULL, NULL },
        { "it may permit", "authorizationrules { c:[type==\"pcrs\", value==\"{}\"] => permit(); };", "{\"#\":{\"pcrs\":\"{}\"}}", "{}", NULL, NULL },
        /* errors */
        { "type is no string", ISSUE("c:[type==\"n\"] => issue(type=c.value, value=1);"), "{\"n\":1}", NULL, NULL, "type has to be one string" },
        { "bad query", ISSUE("=> issue(type=\"x\", value=JmesPath(\"{}\", \"a[\"));"), "{}", NULL, NULL, "JmesPath(): the second argument: JMESPath: syntax" },
        { "query that does not fit", ISSUE("=> issue(type=\"x\", value=JmesPath(\"{\\\"a\\\":1}\", \"length(a)\"));"), "{}", NULL, NULL, "invalid-type" },
        { "several values for one", ISSUE("=> issue(type=\"x\", value=NegateBool(JsonToClaimValue(\"[true,false]\")));"), "{}", NULL, NULL, "has to be one value, and is 2" },
};

static void test_policy_evaluate_cases_are_as_the_documentation_has_them(void **state) {
        size_t n_failed = 0;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++)
                n_failed += check(&cases[i]);
        assert_int_equal(n_failed, 0);
}

static void test_policy_evaluate_trace_tells_which_condition_failed(void **state) {
        static const char text[] = "version=1.2;\n"
                                   "authorizationrules {\n"
                                   "  [type==\"a\"] && [type==\"b\"] && [type==\"c\"] => permit();\n"
                                   "  [type==\"a\"] && ![type==\"a\"] => deny();\n"
                                   "  => permit();\n"
                                   "};\n"
                                   "issuancerules {\n"
                                   "  c:[type==\"a\"] => issue(claim=c);\n"
                                   "};";
        static const PolicyTrace expected[] = {
                { POLICY_SECTION_AUTHORIZATION, 3, POLICY_VERB_PERMIT, 0, 0, 3 },
                { POLICY_SECTION_AUTHORIZATION, 4, POLICY_VERB_DENY, 0, 0, 2 },
                { POLICY_SECTION_AUTHORIZATION, 5, POLICY_VERB_PERMIT, 1, 0, 0 },
                { POLICY_SECTION_ISSUANCE, 8, POLICY_VERB_ISSUE, 2, 2, 0 },
        };
        _cleanup_(policy_outcome_freep) PolicyOutcome *outcome = NULL;
        assert_ok(evaluate(text, "{\"a\":[1,2],\"b\":1}", &outcome));
        assert_int_equal(outcome->n_trace, N_ELEMENTS(expected));
        for (size_t i = 0; i < N_ELEMENTS(expected); i++) {
                assert_int_equal(outcome->trace[i].section, expected[i].section);
                assert_int_equal(outcome->trace[i].line, expected[i].line);
                assert_int_equal(outcome->trace[i].verb, expected[i].verb);
                assert_int_equal(outcome->trace[i].n_fired, expected[i].n_fired);
                assert_int_equal(outcome->trace[i].n_claims, expected[i].n_claims);
                assert_int_equal(outcome->trace[i].condition, expected[i].condition);
        }
}

/* 1000 claims a and the product of three conditions over them. */
static void test_policy_evaluate_explosion_ends_at_its_limit(void **state) {
        _cleanup_writer_ Writer w = {};
        _cleanup_free_ char *claims = NULL;
        _cleanup_(policy_outcome_freep) PolicyOutcome *outcome = NULL;
        writer_string(&w, "{\"a\":[0");
        for (unsigned i = 1; i < 1000; i++)
                writer_format(&w, ",%u", i);
        writer_string(&w, "]}");
        assert_ok(writer_finish_string(&w, &claims));
        assert_err(evaluate("version=1.2;" ISSUE("x:[type==\"a\"] && y:[type==\"a\"] && z:[type==\"a\"] => issue(type=x.value, value=IsSubsetOf(y.value, z.value));"), claims,
                            &outcome), ERR_LIMIT_EXCEEDED);
        assert_err(evaluate("version=1.2;" ISSUE("x:[type==\"a\"] && y:[type==\"a\"] => issue(type=\"r\", value=ContainsOnlyValue(x.value, y.value));"), claims, &outcome), ERR_LIMIT_EXCEEDED);
}

static void test_policy_evaluate_doubling_text_ends_at_its_limit(void **state) {
        _cleanup_writer_ Writer w = {};
        _cleanup_free_ char *text = NULL;
        _cleanup_(policy_outcome_freep) PolicyOutcome *outcome = NULL;
        writer_string(&w, "version=1.2;" PERMIT "issuancerules { => add(type=\"0\", value=\"0123456789abcdef\");");
        for (unsigned i = 1; i < 40; i++)
                writer_format(&w, "c:[type==\"%u\"] => add(type=\"%u\", value=AppendString(c.value, c.value));", i - 1, i);
        writer_string(&w, "};");
        assert_ok(writer_finish_string(&w, &text));
        assert_err(evaluate(text, "{}", &outcome), ERR_LIMIT_EXCEEDED);
}

/* PolicyTrace of the sample in policy-version-1-1 over evidence that it was written for. */
static void check_sample(const char *name, const char *claims, const char *issued, const char *properties) {
        _cleanup_free_ char *path = NULL, *text = NULL, *got = NULL, *got_properties = NULL;
        _cleanup_(policy_outcome_freep) PolicyOutcome *outcome = NULL;
        assert_ok(string_format(&path, "policies/%s.txt", name));
        _cleanup_bytes_ Bytes content = vector_read(path);
        assert_ok(string_copy_span(bytes_span(&content), &text));
        assert_ok(evaluate(text, claims, &outcome));
        bool ok = outcome->permitted == !!issued && is_json(outcome->issued, issued, &got) && is_json(outcome->properties, properties, &got_properties);
        if (!ok)
                print_error("%s: permitted %d, issued %s, properties %s\n", name, outcome->permitted, got, got_properties);
        assert_true(ok);
}

#define FULL_EVENTS                                                                                                                                             \
        "{\"Events\":[{\"EventSeq\":1,\"EventTypeString\":\"EV_EFI_VARIABLE_DRIVER_CONFIG\",\"PcrIndex\":7,\"ProcessedData\":{\"UnicodeName\":\"SecureBoot\"," \
        "\"VariableGuid\":\"8BE4DF61-93CA-11D2-AA0D-00E098032B8C\",\"VariableData\":\"AQ\"}}]}"

static void test_policy_evaluate_samples_over_hand_made_evidence(void **state) {
        vectors_need();
        check_sample("policy-version-1-1-0", "{\"aikValidated\":true,\"secureBootEnabled\":true,\"bootDebuggingDisabled\":true,\"notSafeMode\":true}", "{\"PlatformAttested\":true}",
                     "{\"required_pcr_mask\":15,\"require_valid_aik_cert\":false}");
        check_sample("policy-version-1-1-0", "{\"aikValidated\":false,\"secureBootEnabled\":true,\"bootDebuggingDisabled\":true,\"notSafeMode\":true}", "{\"PlatformAttested\":false}",
                     "{\"required_pcr_mask\":15,\"require_valid_aik_cert\":false}");
        check_sample("policy-version-1-1-0", "{\"aikValidated\":true,\"secureBootEnabled\":false,\"bootDebuggingDisabled\":true,\"notSafeMode\":true}", "{}",
                     "{\"required_pcr_mask\":15,\"require_valid_aik_cert\":false}");
        check_sample("claim-sets-1", "{\"x-ms-sgx-is-debuggable\":false,\"x-ms-sgx-mrsigner\":\"mrsigner2\"}", "{}", NULL);
        check_sample("claim-sets-1", "{\"x-ms-sgx-is-debuggable\":true,\"x-ms-sgx-mrsigner\":\"mrsigner2\"}", NULL, NULL);
        check_sample("claim-sets-1", "{\"x-ms-sgx-is-debuggable\":false,\"x-ms-sgx-mrsigner\":\"mrsigner3\"}", NULL, NULL);
        /* of its four groups of rules the first has something to say about such a log: Secure Boot is on; the others give what they give of a log without their events */
        check_sample("tpm-attestation-sample-policies-6", "{\"events\":" FULL_EVENTS "}",
                     "{\"secureBootEnabled\":true,\"bootDebuggingDisabled\":false,\"vbsEnabled\":[false,false],\"drtmMleValid\":false}", NULL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_policy_evaluate_cases_are_as_the_documentation_has_them),
                cmocka_unit_test(test_policy_evaluate_trace_tells_which_condition_failed),
                cmocka_unit_test(test_policy_evaluate_explosion_ends_at_its_limit),
                cmocka_unit_test(test_policy_evaluate_doubling_text_ends_at_its_limit),
                cmocka_unit_test(test_policy_evaluate_samples_over_hand_made_evidence),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
