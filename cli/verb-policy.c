/* attestctl policy check: whether the text of a policy is well formed, without asking the service. */
#include <getopt.h>
#include <stdio.h>

#include "cli/cli.h"
#include "cli/log-input.h"
#include "policy/policy.h"

static const char help_text[] =
        "  check        parse a policy (versions 1.0, 1.1, 1.2) and name line and column of what is not allowed\n"
        "  --json       as a JSON object\n"
        "  FILE         the policy's text, or - for standard input\n\n"
        "Exit status: 0; 122 if it is not well formed; others: attestctl errors.\n";

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

static Err *check(const char *path) {
        _cleanup_bytes_ Bytes text = {};
        _cleanup_(policy_freep) Policy *policy = NULL;
        _cleanup_free_ char *version = NULL;
        TRY(log_input_read(path, POLICY_SIZE_MAX, &text));
        TRY(err_wrap(policy_parse(bytes_span(&text), &policy), "%s", path));
        TRY(string_format(&version, "1.%u", policy_minor_version(policy)));
        if (cli_is_json())
                return show_json(policy, version);
        printf("version %s\n", version);
        for (size_t i = 0; i < _POLICY_SECTION_MAX; i++)
                printf("%s: %zu\n", policy_section_to_string((PolicySection) i), policy_count_rules(policy, (PolicySection) i));
        return NULL;
}

int verb_policy(int argc, char **argv) {
        enum { OPTION_JSON = 256 };
        static const struct option options[] = {
                { "help", no_argument, NULL, 'h' },
                { "json", no_argument, NULL, OPTION_JSON },
                {},
        };
        for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) >= 0;)
                switch (c) {
                case 'h':
                        return cli_help(cli_verb("policy"), help_text);
                case OPTION_JSON:
                        cli_set_json(true);
                        break;
                default:
                        return EXIT_USAGE;
                }
        if (argc - optind < 1 || !string_equal(argv[optind], "check"))
                return cli_usage_error("policy", "what to do is needed: check");
        if (argc - optind != 2)
                return cli_usage_error("policy", "one file is needed");
        Err *err = check(argv[optind + 1]);
        return err ? cli_fail(err) : EXIT_SUCCESS;
}
