/* attestctl policy: whether the text of a policy is well formed, and what it makes of given claims, without asking the service. */
#include <getopt.h>
#include <stdio.h>

#include "cli/cli.h"
#include "cli/log-input.h"
#include "cli/policy-evidence.h"
#include "cli/policy-service.h"
#include "policy/policy-eval.h"

#define CLAIMS_SIZE_MAX (4u << 20)

static const char help_text[] =
        "  check FILE                  parse a policy (versions 1.0, 1.1, 1.2) and name line and column of what is not allowed\n"
        "  eval FILE --evidence BUNDLE evaluate it over the claims that evidence yields; says which rules act and what comes out\n"
        "  eval FILE --claims FILE     evaluate it over claims at hand\n"
        "  --evidence BUNDLE           with eval: a file of attestctl evidence collect\n"
        "  --trust-anchors PEM         with --evidence: who may certify attestation keys; without, none is valid\n"
        "  --show-claims               with eval: show the incoming claims, too\n"
        "  --claims FILE               with eval: claims of the service, a JSON object; with --evidence, further ones\n"
        "  --custom-claims FILE        with eval: claims of the client, a JSON object as well\n"
        "  --json                      as a JSON object\n"
        "  FILE                        the policy's text; - for standard input, as with the others\n\n"
        "Exit status: 0; 1 if the policy does not permit; 122 if it is not well formed; 124 if a rule cannot be evaluated; others: attestctl errors.\n";

typedef struct EvalOptions {
        const char *policy, *claims, *custom_claims;
        PolicyEvidence evidence;
        bool show_claims;
} EvalOptions;

static Err *show_json(const Policy *policy, const char *version) {
        _cleanup_json_ Json *json = NULL;
        Json *rules;
        TRY(json_new_object(&json));
        TRY(json_add_string(json, "version", version));
        TRY(json_new_object(&rules));
        TRY(json_add(json, "rules", rules));
        for (size_t i = 0; i < _POLICY_SECTION_MAX; i++)
                TRY(json_add_integer(rules, policy_section_to_string((PolicySection) i), (int64_t) policy_count_rules(policy, (PolicySection) i)));
        return cli_print_json(json);
}

static Err *load(const char *path, Policy **ret) {
        _cleanup_bytes_ Bytes text = {};
        TRY(log_input_read(path, POLICY_SIZE_MAX, &text));
        return err_wrap(policy_parse(bytes_span(&text), ret), "%s", path);
}

static Err *check(const char *path) {
        _cleanup_(policy_freep) Policy *policy = NULL;
        _cleanup_free_ char *version = NULL;
        TRY(load(path, &policy));
        TRY(string_format(&version, "1.%u", policy_minor_version(policy)));
        if (cli_is_json())
                return show_json(policy, version);
        printf("version %s\n", version);
        for (size_t i = 0; i < _POLICY_SECTION_MAX; i++)
                printf("%s: %zu\n", policy_section_to_string((PolicySection) i), policy_count_rules(policy, (PolicySection) i));
        return NULL;
}

/* ---- eval ---- */

static Err *add_claims(const char *path, PolicyIssuer issuer, PolicyClaims *claims) {
        _cleanup_bytes_ Bytes text = {};
        _cleanup_json_ Json *json = NULL;
        TRY(log_input_read(path, CLAIMS_SIZE_MAX, &text));
        TRY(json_parse(bytes_span(&text), path, &json));
        if (!json_is_object(json))
                return err_new(ERR_JSON_MEMBER_TYPE, "%s: claims are members of an object", path);
        return err_wrap(policy_claims_add_json(claims, json, issuer), "%s", path);
}

static Err *trace_to_json(const PolicyOutcome *outcome, Json **ret) {
        _cleanup_json_ Json *rules = NULL;
        TRY(json_new_array(&rules));
        for (size_t i = 0; i < outcome->n_trace; i++) {
                const PolicyTrace *trace = &outcome->trace[i];
                Json *rule;
                TRY(json_new_object(&rule));
                TRY(json_append(rules, rule));
                TRY(json_add_string(rule, "section", policy_section_to_string(trace->section)));
                TRY(json_add_integer(rule, "line", trace->line));
                TRY(json_add_string(rule, "action", policy_verb_to_string(trace->verb)));
                TRY(json_add_integer(rule, "acted", (int64_t) trace->n_fired));
                TRY(json_add_integer(rule, "claims", (int64_t) trace->n_claims));
                if (trace->n_fired == 0)
                        TRY(json_add_integer(rule, "unsatisfied_condition", (int64_t) trace->condition));
        }
        *ret = steal_ptr(&rules);
        return NULL;
}

/* incoming NULL: not asked for. */
static Err *show_outcome_json(const PolicyOutcome *outcome, const PolicyClaims *incoming) {
        _cleanup_json_ Json *json = NULL;
        Json *claims, *properties, *rules, *incoming_json;
        TRY(json_new_object(&json));
        TRY(json_add_boolean(json, "permitted", outcome->permitted));
        TRY(json_add_boolean(json, "denied", outcome->denied));
        TRY(policy_claims_to_json(outcome->issued, &claims));
        TRY(json_add(json, "claims", claims));
        TRY(policy_claims_to_json(outcome->properties, &properties));
        TRY(json_add(json, "properties", properties));
        TRY(trace_to_json(outcome, &rules));
        TRY(json_add(json, "rules", rules));
        if (incoming) {
                TRY(policy_claims_to_json(incoming, &incoming_json));
                TRY(json_add(json, "incoming", incoming_json));
        }
        return cli_print_json(json);
}

static void print_trace(const PolicyTrace *trace) {
        printf("%s, line %u: %s() ", policy_section_to_string(trace->section), trace->line, policy_verb_to_string(trace->verb));
        if (trace->n_fired == 0)
                printf("does not act: condition %zu is not satisfied\n", trace->condition);
        else if (trace->verb == POLICY_VERB_PERMIT || trace->verb == POLICY_VERB_DENY)
                printf("acts\n");
        else
                printf("acts %zu time%s, claims made: %zu\n", trace->n_fired, trace->n_fired == 1 ? "" : "s", trace->n_claims);
}

/* Values as JSON writes them, so that nothing in them reaches the terminal as a control character. */
static Err *print_claims(const char *what, const PolicyClaims *claims) {
        _cleanup_json_ Json *json = NULL;
        if (policy_claims_count(claims) == 0)
                return NULL;
        TRY(policy_claims_to_json(claims, &json));
        printf("%s\n", what);
        json_object_object_foreach(json, type, value) {
                _cleanup_free_ char *text = NULL, *name = NULL;
                _cleanup_json_ Json *name_json = json_object_new_string(type);
                if (!name_json)
                        return err_oom();
                TRY(json_to_string(name_json, &name));
                TRY(json_to_string(value, &text));
                printf("  %s: %s\n", name, text);
        }
        return NULL;
}

static Err *show_outcome(const PolicyOutcome *outcome, const PolicyClaims *incoming) {
        if (incoming)
                TRY(print_claims("incoming", incoming));
        for (size_t i = 0; i < outcome->n_trace; i++)
                print_trace(&outcome->trace[i]);
        printf("%s\n", outcome->permitted ? "permitted" : outcome->denied ? "denied" : "not permitted: no rule permits");
        TRY(print_claims("claims", outcome->issued));
        return print_claims("properties", outcome->properties);
}

static Err *evaluate(const EvalOptions *options, bool *ret_permitted) {
        _cleanup_(policy_freep) Policy *policy = NULL;
        _cleanup_(policy_claims_freep) PolicyClaims *claims = NULL;
        _cleanup_(policy_outcome_freep) PolicyOutcome *outcome = NULL;
        TRY(load(options->policy, &policy));
        TRY(policy_claims_new(&claims));
        if (options->evidence.bundle)
                TRY(policy_evidence_add_claims(&options->evidence, policy, claims));
        if (options->claims)
                TRY(add_claims(options->claims, POLICY_ISSUER_SERVICE, claims));
        if (options->custom_claims)
                TRY(add_claims(options->custom_claims, POLICY_ISSUER_CUSTOM, claims));
        TRY(err_wrap(policy_evaluate(policy, claims, &outcome), "%s", options->policy));
        *ret_permitted = outcome->permitted;
        return cli_is_json() ? show_outcome_json(outcome, options->show_claims ? claims : NULL) : show_outcome(outcome, options->show_claims ? claims : NULL);
}

static int eval(const EvalOptions *options) {
        bool permitted = false;
        if (!options->claims && !options->custom_claims && !options->evidence.bundle)
                return cli_usage_error("policy", "eval needs claims: --evidence BUNDLE, or --claims FILE");
        if (options->evidence.trust_anchors && !options->evidence.bundle)
                return cli_usage_error("policy", "--trust-anchors is for --evidence");
        Err *err = evaluate(options, &permitted);
        return err ? cli_fail(err) : permitted ? EXIT_SUCCESS : EXIT_FAILURE;
}

int verb_policy(int argc, char **argv) {
        enum { OPTION_JSON = 256, OPTION_CLAIMS, OPTION_CUSTOM_CLAIMS, OPTION_EVIDENCE, OPTION_TRUST_ANCHORS, OPTION_SHOW_CLAIMS };
        static const struct option table[] = {
                { "help", no_argument, NULL, 'h' },
                { "json", no_argument, NULL, OPTION_JSON },
                { "claims", required_argument, NULL, OPTION_CLAIMS },
                { "custom-claims", required_argument, NULL, OPTION_CUSTOM_CLAIMS },
                { "evidence", required_argument, NULL, OPTION_EVIDENCE },
                { "trust-anchors", required_argument, NULL, OPTION_TRUST_ANCHORS },
                { "show-claims", no_argument, NULL, OPTION_SHOW_CLAIMS },
                {},
        };
        EvalOptions options = {};
        if (argc > 1 && policy_service_knows(argv[1])) {
                const char *service_verb = argv[1];
                argv[1] = argv[0];
                return policy_service(service_verb, argc - 1, argv + 1);
        }
        for (int c; (c = getopt_long(argc, argv, "h", table, NULL)) >= 0;)
                switch (c) {
                case 'h':
                        cli_help(cli_verb("policy"), help_text);
                        return printf("\n%s", policy_service_help) < 0;
                case OPTION_JSON:
                        cli_set_json(true);
                        break;
                case OPTION_CLAIMS:
                        options.claims = optarg;
                        break;
                case OPTION_CUSTOM_CLAIMS:
                        options.custom_claims = optarg;
                        break;
                case OPTION_EVIDENCE:
                        options.evidence.bundle = optarg;
                        break;
                case OPTION_TRUST_ANCHORS:
                        options.evidence.trust_anchors = optarg;
                        break;
                case OPTION_SHOW_CLAIMS:
                        options.show_claims = true;
                        break;
                default:
                        return EXIT_USAGE;
                }
        const char *what = argc > optind ? argv[optind] : "";
        if (policy_service_knows(what))
                return cli_usage_error("policy", "%s comes before its options", what);
        if (!string_equal(what, "check") && !string_equal(what, "eval"))
                return cli_usage_error("policy", "what to do is needed: check, eval, get, set, reset or hash");
        if (argc - optind != 2)
                return cli_usage_error("policy", "one policy is needed");
        options.policy = argv[optind + 1];
        if (string_equal(what, "eval"))
                return eval(&options);
        if (options.claims || options.custom_claims || options.evidence.bundle || options.evidence.trust_anchors || options.show_claims)
                return cli_usage_error("policy", "claims and evidence are for eval alone");
        Err *err = check(options.policy);
        return err ? cli_fail(err) : EXIT_SUCCESS;
}
