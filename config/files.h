/* Which files make up the configuration: see config.h. */
#pragma once

#include "config/config.h"

#define CONFIG_FILES_MAX 256u

typedef struct ConfigFileName {
        char *name;    /* base name: what sorts and masks */
        char *path;
} ConfigFileName;

typedef struct ConfigFiles {
        ConfigFileName *names;
        size_t n_names, room;
} ConfigFiles;
void config_files_done(ConfigFiles *files);
#define _cleanup_config_files_ _cleanup_(config_files_done)

/* In the order of reading. Errors: CONFIG_MISSING (explicit file absent), IO, LIMIT_EXCEEDED (more than CONFIG_FILES_MAX). */
Err *config_files_main(const char *explicit_file, const char *root, ConfigFiles *ret) _must_check_;
/* profile.d. */
Err *config_files_profiles(const char *explicit_file, const char *root, ConfigFiles *ret) _must_check_;
