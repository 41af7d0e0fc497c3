/* The table of all keys: which kind of value each has, its default and its place in Config. */
#pragma once

#include "config/config.h"

typedef struct ConfigKey ConfigKey;
struct ConfigKey {
        const char *section, *name;
        const char *default_text;        /* in the file's own words; NULL: not set */
        /* Parses text (not empty) into config; INVALID_ARGUMENT says what is needed. */
        Err *(*set)(const ConfigKey *key, const char *text, Config *config);
        Err *(*check)(const char *text);       /* of strings */
        const char *const *choices;            /* of enums, in their order; NULL-terminated */
        size_t offset, offset2;                /* in Config */
        uint64_t min_usec, max_usec;           /* of times */
        bool in_profile;                       /* counts in profile.d/NAME.conf too */
        bool is_secret;                        /* the value is not shown in messages */
};

#define CONFIG_KEYS_MAX 64u
extern const ConfigKey config_keys[];
extern const size_t config_n_keys;

/* NULL if there is no such key. */
const ConfigKey *config_key_find(const char *section, const char *name);
bool config_section_exists(const char *section);
/* An empty text means the default. */
Err *config_key_set(const ConfigKey *key, const char *text, Config *config) _must_check_;
/* The value that config has, as it would stand in the file; for people. NULL where nothing is set. */
Err *config_key_to_text(const ConfigKey *key, const Config *config, char **ret) _must_check_;
/* The known name that is most like an unknown one (at most two letters apart), else NULL. */
const char *config_key_guess(const char *section, const char *name);
const char *config_section_guess(const char *section);
