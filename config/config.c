/* See config.h. Files are read once; each is then applied, line by line, over the defaults. */
#include "config/config.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>

#include "config/files.h"
#include "config/ini.h"
#include "config/keys.h"
#include "config/values.h"

/* A Config under construction, and where each key was set last. */
typedef struct Loader {
        Config *config;
        ConfigWarnings *warnings;      /* NULL: nobody listens */
        bool in_profile;
        struct {
                const IniFile *file;
                const IniLine *line;
        } origins[CONFIG_KEYS_MAX];
} Loader;

/* The files of one configuration. */
typedef struct Inputs {
        IniFile **files;
        size_t n_files;
} Inputs;

static void inputs_done(Inputs *inputs) {
        for (size_t i = 0; i < inputs->n_files; i++)
                ini_file_free(inputs->files[i]);
        free(inputs->files);
        *inputs = (Inputs) {};
}
#define _cleanup_inputs_ _cleanup_(inputs_done)

void config_warnings_done(ConfigWarnings *warnings) {
        if (!warnings)
                return;
        words_free(warnings->lines);
        *warnings = (ConfigWarnings) {};
}

static Err *warn(Loader *loader, char *steal_text) {
        _cleanup_free_ char *text = steal_text;
        ConfigWarnings *warnings = loader->warnings;
        if (!warnings)
                return NULL;
        char **grown = reallocarray(warnings->lines, warnings->n_lines + 2, sizeof(char *));
        if (!grown)
                return err_oom();
        warnings->lines = grown;
        grown[warnings->n_lines++] = steal_ptr(&text);
        grown[warnings->n_lines] = NULL;
        return NULL;
}

Config *config_free(Config *config) {
        if (!config)
                return NULL;
        words_free(config->token_access);
        pairs_free(config->custom_claims, config->n_custom_claims);
        pairs_free(config->required_claims, config->n_required_claims);
        bytes_done(&config->nonce);
        char *const strings[] = {
                config->tcti, config->aik_handle, config->aik_certificate, config->other_keys, config->pcr_bank, config->boot_log, config->ima_log, config->systemd_log, config->vbs_report,
                config->url, config->api_version, config->ca_file, config->ca_path, config->proxy, config->tenant_id, config->client_id,
                config->authority, config->scope, config->secret_file, config->certificate_file, config->private_key_file,
                config->federated_token_file, config->token_file, config->imds_url, config->managed_identity_client_id,
                config->managed_identity_object_id, config->managed_identity_resource_id, config->rp_id, config->issuer, config->algorithms,
                config->policy_hash, config->trust_anchors,
        };
        for (size_t i = 0; i < N_ELEMENTS(strings); i++)
                free(strings[i]);
        free(config);
        return NULL;
}

Err *config_new(Config **ret) {
        _cleanup_(config_freep) Config *config = calloc(1, sizeof(Config));
        if (!config)
                return err_oom();
        for (size_t i = 0; i < config_n_keys; i++)
                TRY(config_key_set(&config_keys[i], "", config));
        *ret = steal_ptr(&config);
        return NULL;
}

static Err *warn_unknown_section(Loader *loader, const IniFile *file, const IniLine *line) {
        const char *guess = config_section_guess(line->section);
        char *text;
        TRY(string_format(&text, "%s:%u: unknown section [%s]%s%s%s", file->path, line->number, line->section, guess ? " (did you mean [" : "",
                          guess ? guess : "", guess ? "]?)" : ""));
        return warn(loader, text);
}

/* The section that does have the key, if just one has it. */
static const char *section_of_key(const char *name) {
        const char *section = NULL;
        for (size_t i = 0; i < config_n_keys; i++) {
                if (!string_equal(config_keys[i].name, name))
                        continue;
                if (section)
                        return NULL;
                section = config_keys[i].section;
        }
        return section;
}

static Err *warn_unknown_key(Loader *loader, const IniFile *file, const IniLine *line) {
        char *text;
        if (!*line->section) {
                TRY(string_format(&text, "%s:%u: key \"%s\" stands above the first section and has no effect", file->path, line->number, line->key));
                return warn(loader, text);
        }
        const char *guess = config_key_guess(line->section, line->key), *section = guess ? NULL : section_of_key(line->key);
        TRY(string_format(&text, "%s:%u: unknown key \"%s\" in section [%s]%s%s%s%s%s", file->path, line->number, line->key, line->section,
                          guess ? " (did you mean \"" : "", guess ? guess : "", guess ? "\"?)" : section ? " (it belongs into [" : "",
                          section ? section : "", section ? "])" : ""));
        return warn(loader, text);
}

static Err *warn_not_in_profile(Loader *loader, const IniFile *file, const IniLine *line) {
        char *text;
        TRY(string_format(&text, "%s:%u: key \"%s\" of section [%s] belongs into attestd.conf and has no effect in a profile", file->path,
                          line->number, line->key, line->section));
        return warn(loader, text);
}

static Err *apply_line(Loader *loader, const IniFile *file, const IniLine *line) {
        if (!line->key)
                return config_section_exists(line->section) ? NULL : warn_unknown_section(loader, file, line);
        const ConfigKey *key = config_key_find(line->section, line->key);
        if (!key && *line->section && !config_section_exists(line->section))
                return NULL;   /* its section was warned about */
        if (!key)
                return warn_unknown_key(loader, file, line);
        if (loader->in_profile && !key->in_profile)
                return warn_not_in_profile(loader, file, line);
        Err *err = config_key_set(key, line->value, loader->config);
        if (err_code(err) == ERR_NO_MEMORY)
                return err;
        if (err)
                return err_wrap_code(ERR_CONFIG_INVALID, err, "%s:%u: [%s] %s=%s", file->path, line->number, key->section, key->name,
                                     key->is_secret ? "…" : line->value);
        size_t index = (size_t) (key - config_keys);
        loader->origins[index].file = file;
        loader->origins[index].line = line;
        return NULL;
}

static Err *apply_file(Loader *loader, const IniFile *file) {
        for (size_t i = 0; i < file->n_lines; i++)
                TRY(apply_line(loader, file, &file->lines[i]));
        return NULL;
}

/* The error of a key whose value fits its kind but not its neighbours. A key that stands nowhere is named without a line. */
static Err *conflict(const Loader *loader, const char *section, const char *name, const char *sentence) {
        size_t index = (size_t) (config_key_find(section, name) - config_keys);
        const IniLine *line = loader->origins[index].line;
        if (!line)
                return err_new(ERR_CONFIG_INVALID, "[%s] %s=%s (the default): %s", section, name, config_keys[index].default_text, sentence);
        return err_new(ERR_CONFIG_INVALID, "%s:%u: [%s] %s=%s: %s", loader->origins[index].file->path, line->number, section, name, line->value,
                       sentence);
}

static Err *check_retry(const Loader *loader) {
        const Config *config = loader->config;
        if (config->retry_min_usec <= config->retry_max_usec)
                return NULL;
        bool min_is_set = loader->origins[config_key_find("Schedule", "RetryMinSec") - config_keys].line != NULL;
        return conflict(loader, "Schedule", min_is_set ? "RetryMinSec" : "RetryMaxSec", "RetryMinSec= may not exceed RetryMaxSec=");
}

static Err *check_credential(const Loader *loader) {
        const Config *c = loader->config;
        const char *missing = NULL;
        switch (c->credential_type) {
        case CREDENTIAL_NONE:
        case CREDENTIAL_MANAGED_IDENTITY:
        case CREDENTIAL_WORKLOAD_IDENTITY:
                break;
        case CREDENTIAL_CLIENT_SECRET:
                missing = !c->tenant_id ? "TenantId= is needed too" : !c->client_id ? "ClientId= is needed too"
                        : !c->secret_file ? "SecretFile= is needed too" : NULL;
                break;
        case CREDENTIAL_CLIENT_CERTIFICATE:
                missing = !c->tenant_id ? "TenantId= is needed too" : !c->client_id ? "ClientId= is needed too"
                        : !c->certificate_file ? "CertificateFile= is needed too" : NULL;
                break;
        case CREDENTIAL_TOKEN_FILE:
                missing = !c->token_file ? "TokenFile= is needed too" : NULL;
                break;
        }
        return missing ? conflict(loader, "Credential", "Type", missing) : NULL;
}

/* What can be said only when all files are applied. */
static Err *complete(Loader *loader) {
        Config *config = loader->config;
        TRY(check_retry(loader));
        TRY(check_credential(loader));
        return !config->issuer && config->url ? string_copy(config->url, &config->issuer) : NULL;
}

static Err *read_inputs(const ConfigFiles *names, Inputs *ret) {
        _cleanup_inputs_ Inputs inputs = {};
        inputs.files = calloc(names->n_names + 1, sizeof(IniFile *));
        if (!inputs.files)
                return err_oom();
        for (size_t i = 0; i < names->n_names; i++) {
                TRY(ini_read(names->names[i].path, &inputs.files[i]));
                inputs.n_files++;
        }
        *ret = inputs;
        inputs = (Inputs) {};
        return NULL;
}

/* profile: NULL for the main files alone. */
static Err *build(const Inputs *inputs, const IniFile *profile, ConfigWarnings *main_warnings, ConfigWarnings *profile_warnings, Config **ret) {
        _cleanup_(config_freep) Config *config = NULL;
        TRY(config_new(&config));
        Loader loader = { .config = config, .warnings = main_warnings };
        for (size_t i = 0; i < inputs->n_files; i++)
                TRY(apply_file(&loader, inputs->files[i]));
        loader.warnings = profile_warnings;
        loader.in_profile = true;
        if (profile)
                TRY(apply_file(&loader, profile));
        TRY(complete(&loader));
        *ret = steal_ptr(&config);
        return NULL;
}

static Err *load_main(const char *explicit_file, const char *root, Inputs *ret) {
        _cleanup_config_files_ ConfigFiles names = {};
        TRY(config_files_main(explicit_file, root, &names));
        return read_inputs(&names, ret);
}

Err *config_load(const char *explicit_file, const char *root, Config **ret, ConfigWarnings *warnings) {
        _cleanup_inputs_ Inputs inputs = {};
        TRY(load_main(explicit_file, root, &inputs));
        return build(&inputs, /* profile= */ NULL, warnings, /* profile_warnings= */ NULL, ret);
}

Err *config_parse(const char *path, Span text, Config **ret, ConfigWarnings *warnings) {
        _cleanup_(ini_file_freep) IniFile *file = NULL;
        TRY(ini_parse(path, text, &file));
        const Inputs inputs = { .files = &file, .n_files = 1 };
        return build(&inputs, /* profile= */ NULL, warnings, /* profile_warnings= */ NULL, ret);
}

ConfigProfile *config_profiles_free(ConfigProfile *profiles, size_t n) {
        for (size_t i = 0; i < n; i++) {
                free(profiles[i].name);
                config_free(profiles[i].config);
        }
        free(profiles);
        return NULL;
}

/* File name without ".conf". */
static Err *profile_name(const ConfigFileName *file, char **ret) {
        size_t size = strlen(file->name) - strlen(".conf");
        bool ok = size <= CONFIG_PROFILE_NAME_MAX;
        for (size_t i = 0; i < size; i++)
                ok = ok && (isalnum((unsigned char) file->name[i]) || strchr("_-", file->name[i]));
        if (!ok)
                return err_new(ERR_CONFIG_INVALID, "%s: a profile's name has 1 to %u of A-Z a-z 0-9 _ -", file->path, CONFIG_PROFILE_NAME_MAX);
        return string_copy_span(span_make(file->name, size), ret);
}

/* A link to /dev/null, or an empty file, takes a profile away: as masks do. */
static Err *read_profiles(const ConfigFiles *names, Inputs *ret, char ***ret_names) {
        _cleanup_inputs_ Inputs inputs = {};
        _cleanup_(words_freep) char **profile_names = calloc(names->n_names + 1, sizeof(char *));
        inputs.files = calloc(names->n_names + 1, sizeof(IniFile *));
        if (!inputs.files || !profile_names)
                return err_oom();
        for (size_t i = 0; i < names->n_names; i++) {
                _cleanup_(ini_file_freep) IniFile *file = NULL;
                TRY(ini_read(names->names[i].path, &file));
                if (file->n_lines == 0)
                        continue;
                if (inputs.n_files == CONFIG_PROFILES_MAX)
                        return err_new(ERR_LIMIT_EXCEEDED, "there are more than %u profiles", CONFIG_PROFILES_MAX);
                TRY(profile_name(&names->names[i], &profile_names[inputs.n_files]));
                inputs.files[inputs.n_files++] = steal_ptr(&file);
        }
        *ret = inputs;
        inputs = (Inputs) {};
        *ret_names = steal_ptr(&profile_names);
        return NULL;
}

/* n is counted up as profiles are filled in. */
static Err *fill_profiles(const Inputs *inputs, const Inputs *profile_inputs, char **names, ConfigProfile *profiles, size_t *n, ConfigWarnings *warnings) {
        size_t wanted = MAX_OF(profile_inputs->n_files, 1u);
        while (*n < wanted) {
                ConfigProfile *profile = &profiles[(*n)++];
                bool is_first = *n == 1, is_default = profile_inputs->n_files == 0;
                TRY(string_copy(is_default ? "default" : names[*n - 1], &profile->name));
                TRY(build(inputs, is_default ? NULL : profile_inputs->files[*n - 1], is_first ? warnings : NULL, warnings, &profile->config));
        }
        return NULL;
}

Err *config_load_profiles(const char *explicit_file, const char *root, ConfigProfile **ret, size_t *ret_n, ConfigWarnings *warnings) {
        _cleanup_inputs_ Inputs inputs = {}, profile_inputs = {};
        _cleanup_config_files_ ConfigFiles profile_files = {};
        _cleanup_(words_freep) char **names = NULL;
        TRY(load_main(explicit_file, root, &inputs));
        TRY(config_files_profiles(explicit_file, root, &profile_files));
        TRY(read_profiles(&profile_files, &profile_inputs, &names));
        size_t n = 0;
        ConfigProfile *profiles = calloc(profile_inputs.n_files + 1, sizeof(ConfigProfile));
        if (!profiles)
                return err_oom();
        Err *err = fill_profiles(&inputs, &profile_inputs, names, profiles, &n, warnings);
        if (err) {
                config_profiles_free(profiles, n);
                return err;
        }
        *ret = profiles;
        *ret_n = n;
        return NULL;
}

/* The first of a colon list, as systemd sets it. */
static const char *directory_of(const char *variable, const char *otherwise, char *buffer, size_t size) {
        const char *set = getenv(variable);
        size_t set_size = set ? strcspn(set, ":") : 0;
        if (set_size == 0 || set_size >= size)
                return otherwise;
        snprintf(buffer, size, "%.*s", (int) set_size, set);
        return buffer;
}

const char *config_runtime_directory(void) {
        static char directory[PATH_MAX];
        return directory_of("RUNTIME_DIRECTORY", "/run/attestd", directory, sizeof(directory));
}

const char *config_state_directory(void) {
        static char directory[PATH_MAX];
        return directory_of("STATE_DIRECTORY", "/var/lib/attestd", directory, sizeof(directory));
}
