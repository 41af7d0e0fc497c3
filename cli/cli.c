/* See cli.h. */
#include "cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/error-json.h"

static bool json_mode;

bool cli_is_json(void) {
        return json_mode;
}

void cli_set_json(bool json) {
        json_mode = json;
}

bool cli_use_colour(void) {
        const char *term = getenv("TERM");
        return isatty(STDOUT_FILENO) && !getenv("NO_COLOR") && term && strcmp(term, "dumb") != 0;
}

static Err *print_json_error(const Err *err) {
        _cleanup_json_ Json *json = NULL;
        Json *inner;
        TRY(json_new_object(&json));
        TRY(err_to_json(err, &inner));
        TRY(json_add(json, "error", inner));
        return cli_print_json(json);
}

int cli_fail_status(Err *steal_err, int status) {
        _cleanup_(err_freep) Err *err = steal_err;
        fprintf(stderr, "attestctl: %s (%s)\n", err_describe(err), err_code_info(err_code(err))->name);
        if (isatty(STDERR_FILENO))
                fprintf(stderr, "%s\n", err_code_info(err_code(err))->help);
        if (json_mode)
                err_free(print_json_error(err));
        return status;
}

int cli_fail(Err *steal_err) {
        int status = err_code_info(err_code(steal_err))->exit_status;
        return cli_fail_status(steal_err, status);
}

int cli_usage_error(const char *verb, const char *format, ...) {
        va_list arguments;
        fprintf(stderr, "attestctl: %s: ", verb);
        va_start(arguments, format);
        vfprintf(stderr, format, arguments);
        va_end(arguments);
        fprintf(stderr, "\nTry: attestctl %s --help\n", verb);
        return EXIT_USAGE;
}

int cli_help(const CliVerb *verb, const char *options_text) {
        printf("attestctl %s%s%s\n\n%s.\n", verb->name, *verb->arguments ? " " : "", verb->arguments, verb->summary);
        if (options_text && *options_text)
                printf("\n%s", options_text);
        return 0;
}

Err *cli_print_json(const Json *json) {
        _cleanup_free_ char *text = NULL;
        TRY(isatty(STDOUT_FILENO) ? json_to_string_pretty(json, &text) : json_to_string(json, &text));
        if (printf("%s\n", text) < 0 || fflush(stdout) != 0)
                return err_new_errno(ERR_IO, errno, "writing to standard output");
        return NULL;
}
