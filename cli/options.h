/* Options that several verbs share. A verb puts COMMON_OPTIONS into its table and gives what getopt_long() returns to common_option_take() first. */
#pragma once

#include "cli/cli.h"

enum { OPTION_JSON = 256, OPTION_BUS, OPTION_PROFILE, OPTION_TIMEOUT, OPTION_OF_VERB };

#define COMMON_OPTIONS { "help", no_argument, NULL, 'h' }, { "json", no_argument, NULL, OPTION_JSON }, { "bus", required_argument, NULL, OPTION_BUS }
#define COMMON_OPTION_PROFILE { "profile", required_argument, NULL, OPTION_PROFILE }
#define COMMON_OPTION_TIMEOUT { "timeout", required_argument, NULL, OPTION_TIMEOUT }
#define COMMON_OPTIONS_HELP                                                                                  \
        "  --json               as a JSON object\n"                                                          \
        "  --bus system|user    the bus to find attestd on (default: system)\n"

typedef struct CommonOptions {
        const char *verb;        /* for messages */
        const char *profile;     /* "": the first one */
        bool user_bus;
        bool has_timeout;
        uint64_t timeout_usec;
} CommonOptions;

typedef enum OptionTaken { OPTION_TAKEN, OPTION_NOT_COMMON, OPTION_WRONG } OptionTaken;

/* OPTION_WRONG: the usage error stands on stderr already. 'h' is not taken. */
OptionTaken common_option_take(CommonOptions *options, int c, const char *argument);
/* A time as in attestd.conf ("15", "2min"); false: the usage error stands on stderr. */
bool option_duration(const char *verb, const char *option, const char *text, uint64_t *ret_usec);
