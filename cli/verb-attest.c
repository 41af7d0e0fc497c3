/* attestctl attest: a fresh token, bound to a nonce. The token goes to standard output, the steps to standard error. */
#include <getopt.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "cli/attest.h"
#include "cli/format.h"

enum { OPTION_NONCE = OPTION_OF_VERB, OPTION_NO_DAEMON, OPTION_CONFIG };

void attest_outcome_done(AttestOutcome *outcome) {
        free(outcome->token);
        free(outcome->instance);
        *outcome = (AttestOutcome) {};
}

static Err *print_json(const AttestOutcome *outcome) {
        _cleanup_json_ Json *json = NULL;
        TRY(json_new_object(&json));
        TRY(json_add_string(json, "token", outcome->token));
        TRY(json_add_integer(json, "expires", (int64_t) outcome->expires_sec));
        TRY(json_add_integer(json, "issued", (int64_t) outcome->issued_sec));
        TRY(json_add_integer(json, "attempts", (int64_t) outcome->n_attempts));
        TRY(json_add_string(json, "instance", outcome->instance));
        return cli_print_json(json);
}

static void print_summary(const AttestOutcome *outcome) {
        char absolute[FORMAT_SIZE], relative[FORMAT_SIZE];
        uint64_t now_usec = (uint64_t) time(NULL) * USEC_PER_SEC;
        fprintf(stderr, "Attested by %s; the token expires %s (%s).\n", outcome->instance, format_time(outcome->expires_sec * USEC_PER_SEC, absolute),
                format_relative(outcome->expires_sec * USEC_PER_SEC, now_usec, relative));
}

static Err *attest(const AttestCommand *command) {
        _cleanup_(attest_outcome_done) AttestOutcome outcome = {};
        Progress progress = progress_begin();
        TRY(command->no_daemon ? attest_without_daemon(command, &progress, &outcome) : attest_by_daemon(command, &progress, &outcome));
        if (progress.is_shown)
                print_summary(&outcome);
        if (cli_is_json())
                return print_json(&outcome);
        printf("%s\n", outcome.token);
        return NULL;
}

static int take_nonce(AttestCommand *command, const char *text) {
        bytes_done(&command->nonce);
        _cleanup_(err_freep) Err *err = hex_decode(span_from_string(text), "--nonce", &command->nonce);
        if (err)
                return cli_usage_error("attest", "%s", err_describe(err));
        if (command->nonce.size == 0 || command->nonce.size > ATTEST_NONCE_MAX)
                return cli_usage_error("attest", "--nonce: 1 to %u bytes are allowed", ATTEST_NONCE_MAX);
        return EXIT_SUCCESS;
}

static int show_help(void) {
        return cli_help(cli_verb("attest"), COMMON_OPTIONS_HELP
                                            "  --profile P          with this profile (default: the first)\n"
                                            "  --nonce HEX          bind the token to these bytes (default: random ones)\n"
                                            "  --timeout TIME       try transient failures again for so long (default: 15 s); 0: one attempt\n"
                                            "  --no-daemon          do not ask attestd: talk to the collector and the service from here\n"
                                            "  --config FILE        with --no-daemon: this configuration\n");
}

/* -1: go on. */
static int take_option(AttestCommand *command, int c, const char *argument) {
        switch (c) {
        case 'h':
                return show_help();
        case OPTION_NONCE: {
                int status = take_nonce(command, argument);
                return status == EXIT_SUCCESS ? -1 : status;
        }
        case OPTION_NO_DAEMON:
                command->no_daemon = true;
                return -1;
        case OPTION_CONFIG:
                command->config_file = argument;
                return -1;
        default:
                return common_option_take(&command->common, c, argument) == OPTION_TAKEN ? -1 : EXIT_USAGE;
        }
}

static int run(AttestCommand *command, int argc, char **argv) {
        static const struct option options[] = {
                COMMON_OPTIONS, COMMON_OPTION_PROFILE, COMMON_OPTION_TIMEOUT,
                { "nonce", required_argument, NULL, OPTION_NONCE },
                { "no-daemon", no_argument, NULL, OPTION_NO_DAEMON },
                { "config", required_argument, NULL, OPTION_CONFIG },
                {},
        };
        for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) >= 0;) {
                int status = take_option(command, c, optarg);
                if (status >= 0)
                        return status;
        }
        if (optind < argc)
                return cli_usage_error("attest", "no argument is needed, \"%s\" is given", argv[optind]);
        if (command->config_file && !command->no_daemon)
                return cli_usage_error("attest", "--config is for --no-daemon; attestd has its own");
        Err *err = attest(command);
        return err ? cli_fail(err) : EXIT_SUCCESS;
}

int verb_attest(int argc, char **argv) {
        AttestCommand command = { .common = { .verb = "attest", .profile = "" } };
        int status = run(&command, argc, argv);
        bytes_done(&command.nonce);
        return status;
}
