/* What the verbs of attestctl share. One file for each verb; cli/main.c has the table. */
#pragma once

#include "base/json.h"

typedef struct CliVerb {
        const char *name;
        int (*run)(int argc, char **argv);   /* argv[0] is for messages; returns the exit status */
        const char *arguments;               /* for --help */
        const char *summary;
} CliVerb;

#define EXIT_USAGE 2

/* Prints "attestctl: DESCRIPTION (CODE)" to stderr, on a terminal also what to do about it, and frees err; returns its exit status of error.def. With --json on (cli_set_json) the error goes to
 * stdout too, as {"error":{"code":…,"message":…}}. */
int cli_fail(Err *steal_err);
/* The same with a fixed exit status (1 for logs that do not parse). */
int cli_fail_status(Err *steal_err, int status);
/* "attestctl: VERB: message", a hint at --help; returns EXIT_USAGE. */
int cli_usage_error(const char *verb, const char *format, ...) _printf_(2, 3);
/* Prints usage of a verb with its options text; returns 0. */
int cli_help(const CliVerb *verb, const char *options_text);
const CliVerb *cli_verb(const char *name);
/* Prints JSON and a newline: pretty on a terminal, else minified. */
Err *cli_print_json(const Json *json) _must_check_;
bool cli_is_json(void);
void cli_set_json(bool json);
bool cli_use_colour(void);    /* stdout is a terminal, NO_COLOR unset, TERM not dumb */

int verb_aik(int argc, char **argv);
int verb_attest_openenclave(int argc, char **argv);
int verb_attest_azure_guest(int argc, char **argv);
int verb_attest_sgx(int argc, char **argv);
int verb_metadata(int argc, char **argv);
int verb_policy_cert(int argc, char **argv);
int verb_signers(int argc, char **argv);
int verb_doctor(int argc, char **argv);
int verb_eventlog(int argc, char **argv);
int verb_evidence(int argc, char **argv);
int verb_ima(int argc, char **argv);
int verb_policy(int argc, char **argv);
int verb_validate(int argc, char **argv);
int verb_attest(int argc, char **argv);
int verb_errors(int argc, char **argv);
int verb_sign(int argc, char **argv);
int verb_status(int argc, char **argv);
int verb_token(int argc, char **argv);
int verb_wait(int argc, char **argv);
