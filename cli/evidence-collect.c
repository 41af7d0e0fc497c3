/* See evidence-bundle.h. The collector is asked as "attest --no-daemon" asks it: at its socket where it listens, else it is started. */
#include <errno.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "build-config.h"
#include "cli/cli.h"
#include "cli/evidence-bundle.h"
#include "collector/collector.h"
#include "config/keys.h"
#include "tcg/bundle.h"

#define NONCE_SIZE 32
#define FILE_MODE 0600
#define REDACTED "(not shown)"

static Err *add_key(Json *sections, const ConfigKey *key, const Config *config) {
        _cleanup_free_ char *text = NULL;
        Json *section = json_get(sections, key->section);
        if (!section) {
                TRY(json_new_object(&section));
                TRY(json_add(sections, key->section, section));
        }
        TRY(config_key_to_text(key, config, &text));
        return json_add_string(section, key->name, key->is_secret && text && *text ? REDACTED : text);
}

static Err *describe_config(const Config *config, Json **ret) {
        _cleanup_json_ Json *sections = NULL;
        TRY(json_new_object(&sections));
        for (size_t i = 0; i < config_n_keys; i++)
                TRY(add_key(sections, &config_keys[i], config));
        *ret = steal_ptr(&sections);
        return NULL;
}

static Err *describe_tpm(const CollectorInfo *info, Json **ret) {
        _cleanup_json_ Json *tpm = NULL;
        Json *banks;
        TRY(json_new_object(&tpm));
        TRY(json_add_string(tpm, "manufacturer", info->manufacturer));
        TRY(json_add_string(tpm, "vendor", info->vendor));
        TRY(json_add_string(tpm, "firmware_version", info->firmware_version));
        TRY(json_add_string(tpm, "pcr_bank", info->pcr_bank));
        TRY(json_add_string(tpm, "aik_origin", info->aik_origin));
        TRY(json_add_string(tpm, "aik_fingerprint", info->aik_fingerprint));
        TRY(json_new_array(&banks));
        TRY(json_add(tpm, "banks", banks));
        for (char **bank = info->banks; bank && *bank; bank++) {
                Json *name = json_object_new_string(*bank);
                TRY(name ? json_append(banks, name) : err_oom());
        }
        *ret = steal_ptr(&tpm);
        return NULL;
}

static Err *load_config(const char *file, Config **ret) {
        ConfigWarnings warnings = {};
        Err *err = config_load(file, /* root= */ NULL, ret, &warnings);
        for (size_t i = 0; i < warnings.n_lines; i++)
                fprintf(stderr, "attestctl: %s\n", warnings.lines[i]);
        config_warnings_done(&warnings);
        return err;
}

static Err *make_bundle(const BundleCommand *command, Bytes *ret) {
        const CollectorOptions options = { .config_file = command->config_file, .socket_fd = -1 };
        uint8_t random[NONCE_SIZE];
        _cleanup_(config_freep) Config *config = NULL;
        _cleanup_(collector_freep) Collector *collector = NULL;
        _cleanup_(collector_info_freep) CollectorInfo *info = NULL;
        _cleanup_(evidence_freep) Evidence *evidence = NULL;
        _cleanup_json_ Json *tpm = NULL, *configuration = NULL;
        TRY(load_config(command->config_file, &config));
        if (getrandom(random, sizeof(random), 0) != sizeof(random))
                return err_new_errno(ERR_IO, errno, "asking the kernel for random bytes");
        Span nonce = command->nonce.size > 0 ? bytes_span(&command->nonce) : SPAN_OF(random);
        TRY(collector_open(&options, &collector));
        TRY(collector_get_info(collector, &info));
        TRY(collector_quote(collector, nonce, /* certify= */ (Span) {}, &evidence));
        TRY(describe_tpm(info, &tpm));
        TRY(describe_config(config, &configuration));
        const BundleParts parts = {
                .created_sec = (uint64_t) time(NULL),
                .program_version = VERSION,
                .qualifying_data = nonce,
                .evidence = evidence,
                .tpm = tpm,
                .configuration = configuration,
        };
        return bundle_write(&parts, ret);
}

static Err *write_stdout(Span text) {
        if (fwrite(text.data, 1, text.size, stdout) != text.size || fputc('\n', stdout) == EOF || fflush(stdout) != 0)
                return err_new_errno(ERR_IO, errno, "writing the bundle to standard output");
        return NULL;
}

Err *evidence_collect(const BundleCommand *command) {
        _cleanup_bytes_ Bytes bundle = {};
        struct stat there;
        bool is_stdout = string_equal(command->output, "-");
        if (!is_stdout && !command->force && lstat(command->output, &there) == 0)
                return err_new(ERR_INVALID_ARGUMENT, "%s is there already; --force replaces it", command->output);
        TRY(err_wrap(make_bundle(command, &bundle), "collecting evidence"));
        return is_stdout ? write_stdout(bytes_span(&bundle)) : file_write_atomic(command->output, bytes_span(&bundle), FILE_MODE);
}

Err *evidence_keep(const BundleCommand *command) {
        const CollectorOptions options = { .config_file = command->config_file, .socket_fd = -1 };
        _cleanup_(collector_freep) Collector *collector = NULL;
        _cleanup_json_ Json *json = NULL;
        BootAttestationState state;
        TRY(collector_open(&options, &collector));
        TRY(err_wrap(collector_keep_boot_attestation(collector, &state), "keeping an attestation of the boot"));
        if (!cli_is_json()) {
                printf("%s\n", state == BOOT_ATTESTATION_ATTACHED ? "The attestation from before an earlier hibernation of this boot stays."
                                                                  : "An attestation of this boot is kept for after the hibernation.");
                return NULL;
        }
        TRY(json_new_object(&json));
        TRY(json_add_string(json, "boot_attestation_state", boot_attestation_state_to_string(state)));
        return cli_print_json(json);
}
