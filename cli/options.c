/* See options.h. */
#include "cli/options.h"

#include <stdio.h>

#include "config/values.h"

bool option_duration(const char *verb, const char *option, const char *text, uint64_t *ret_usec) {
        _cleanup_(err_freep) Err *err = value_parse_duration(text, ret_usec);
        if (!err)
                return true;
        cli_usage_error(verb, "--%s=%s: %s", option, text, err_describe(err));
        return false;
}

static OptionTaken take_bus(CommonOptions *options, const char *argument) {
        options->user_bus = string_equal(argument, "user");
        if (options->user_bus || string_equal(argument, "system"))
                return OPTION_TAKEN;
        cli_usage_error(options->verb, "--bus=%s: system or user is needed", argument);
        return OPTION_WRONG;
}

OptionTaken common_option_take(CommonOptions *options, int c, const char *argument) {
        switch (c) {
        case OPTION_JSON:
                cli_set_json(true);
                return OPTION_TAKEN;
        case OPTION_BUS:
                return take_bus(options, argument);
        case OPTION_PROFILE:
                options->profile = argument;
                return OPTION_TAKEN;
        case OPTION_TIMEOUT:
                options->has_timeout = true;
                return option_duration(options->verb, "timeout", argument, &options->timeout_usec) ? OPTION_TAKEN : OPTION_WRONG;
        case '?':
                fprintf(stderr, "Try: attestctl %s --help\n", options->verb); /* getopt has said what is wrong */
                return OPTION_WRONG;
        default:
                return OPTION_NOT_COMMON;
        }
}
