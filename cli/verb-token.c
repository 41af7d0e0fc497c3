/* attestctl token: the token at hand, as it is or taken apart. */
#include <getopt.h>
#include <stdio.h>

#include "cli/daemon-client.h"
#include "cli/options.h"
#include "maa/token.h"

typedef struct TokenOptions {
        CommonOptions common;
        bool decode;
        uint64_t min_remaining_usec;
} TokenOptions;

static Err *print_raw_json(const char *text, const Token *token) {
        _cleanup_json_ Json *json = NULL;
        TRY(json_new_object(&json));
        TRY(json_add_string(json, "token", text));
        TRY(json_add_integer(json, "expires", (int64_t) token->expires_sec));
        return cli_print_json(json);
}

static Err *print_decoded(const Token *token) {
        _cleanup_json_ Json *json = NULL;
        _cleanup_free_ char *text = NULL;
        TRY(token_to_json(token, &json));
        if (cli_is_json())
                return cli_print_json(json);
        TRY(json_to_string_pretty(json, &text));
        printf("%s\n", text);
        return NULL;
}

static Err *show_token(const TokenOptions *options) {
        _cleanup_bus_ sd_bus *bus = NULL;
        _cleanup_free_ char *text = NULL;
        _cleanup_(token_freep) Token *token = NULL;
        uint64_t min_remaining_sec = (options->min_remaining_usec + USEC_PER_SEC - 1) / USEC_PER_SEC;
        TRY(daemon_connect(options->common.user_bus, &bus));
        TRY(daemon_get_token(bus, options->common.profile, (uint32_t) min_remaining_sec, &text));
        if (!options->decode && !cli_is_json()) {
                printf("%s\n", text);
                return NULL;
        }
        TRY(token_parse(span_from_string(text), &token));
        return options->decode ? print_decoded(token) : print_raw_json(text, token);
}

int verb_token(int argc, char **argv) {
        enum { OPTION_DECODE = OPTION_OF_VERB, OPTION_MIN_REMAINING };
        static const struct option options[] = {
                COMMON_OPTIONS, COMMON_OPTION_PROFILE, { "decode", no_argument, NULL, OPTION_DECODE },
                { "min-remaining", required_argument, NULL, OPTION_MIN_REMAINING }, {},
        };
        TokenOptions o = { .common = { .verb = "token", .profile = "" } };
        for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) >= 0;)
                switch (c) {
                case 'h':
                        return cli_help(cli_verb("token"), COMMON_OPTIONS_HELP
                                                           "  --profile P          of this profile (default: the first)\n"
                                                           "  --decode             show header and claims instead\n"
                                                           "  --min-remaining SEC  fail, and renew, if the token ends sooner\n");
                case OPTION_DECODE:
                        o.decode = true;
                        break;
                case OPTION_MIN_REMAINING:
                        if (!option_duration("token", "min-remaining", optarg, &o.min_remaining_usec))
                                return EXIT_USAGE;
                        break;
                default:
                        if (common_option_take(&o.common, c, optarg) != OPTION_TAKEN)
                                return EXIT_USAGE;
                }
        if (optind < argc)
                return cli_usage_error("token", "no argument is needed, \"%s\" is given", argv[optind]);
        if (o.min_remaining_usec > (UINT32_MAX - 1) * USEC_PER_SEC)
                return cli_usage_error("token", "--min-remaining: at most %u s are allowed", UINT32_MAX - 1);
        Err *err = show_token(&o);
        return err ? cli_fail(err_wrap(err, "asking attestd for a token")) : EXIT_SUCCESS;
}
