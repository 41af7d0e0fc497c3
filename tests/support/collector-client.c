/* Drives collector/ for tests: one call for each line of standard input, one JSON line for each answer.
 *
 * collector-client [--config=FILE] [--collector=PROGRAM] [--socket=PATH]
 *     ping | info | pid | reopen
 *     report HEX              a VBS report for these bytes
 *     quote HEX [DIRECTORY]   DIRECTORY gets attest, signature, aik-public, aik-certificate, TCG, IMA
 *     certify HEX             a quote for these bytes with keys certified over them
 *     guest [DIRECTORY]       evidence of guest attestation; DIRECTORY as above
 *     guest-decrypt HEX       by its key
 *     sign HEX                of a digest, by the request key
 *     ek ALGORITHM            the endorsement key
 *     activate HEX HEX        TPM2B_ID_OBJECT, TPM2B_ENCRYPTED_SECRET
 *
 * A quote is verified with lib/tcg before it is shown. */
#include <getopt.h>
#include <stdio.h>
#include <unistd.h>

#include "base/json.h"
#include "collector/collector.h"
#include "tcg/aik.h"

#define LOG_MAX (UINT64_C(1) << 30)

static Err *show(Json *json) {
        _cleanup_free_ char *text = NULL;
        TRY(json_to_string(json, &text));
        printf("%s\n", text);
        fflush(stdout);
        return NULL;
}

static Err *show_error(const Err *failure) {
        _cleanup_json_ Json *json = NULL;
        TRY(json_new_object(&json));
        TRY(json_add_string(json, "error", err_code_info(err_code(failure))->symbol));
        TRY(json_add_string(json, "message", err_describe(failure)));
        return show(json);
}

static Err *show_info(Collector *collector) {
        _cleanup_(collector_info_freep) CollectorInfo *info = NULL;
        _cleanup_json_ Json *json = NULL;
        Json *banks;
        TRY(collector_get_info(collector, &info));
        TRY(json_new_object(&json));
        TRY(json_add_string(json, "manufacturer", info->manufacturer));
        TRY(json_add_string(json, "vendor", info->vendor));
        TRY(json_add_string(json, "firmware_version", info->firmware_version));
        TRY(json_add_string(json, "pcr_bank", info->pcr_bank));
        TRY(json_add_string(json, "aik_fingerprint", info->aik_fingerprint));
        TRY(json_add_string(json, "aik_origin", info->aik_origin));
        TRY(json_add_string(json, "aik_notice", info->aik_notice));
        TRY(json_add_string(json, "vbs_report", info->vbs_report));
        TRY(json_add_hex(json, "aik_public", bytes_span(&info->aik_public)));
        TRY(json_add_hex(json, "aik_name", bytes_span(&info->aik_name)));
        TRY(json_add_hex(json, "aik_certificate", bytes_span(&info->aik_certificate)));
        TRY(json_add_string(json, "aik_certificate_issuer", info->aik_certificate_issuer));
        TRY(json_add_integer(json, "aik_certificate_expires_usec", (int64_t) info->aik_certificate_expires_usec));
        TRY(json_add_integer(json, "reset_count", info->reset_count));
        TRY(json_add_integer(json, "restart_count", info->restart_count));
        TRY(json_add_integer(json, "leftovers_flushed", info->leftovers_flushed));
        TRY(json_new_array(&banks));
        for (char **bank = info->banks; *bank; bank++)
                TRY(json_append(banks, json_object_new_string(*bank)));
        TRY(json_add(json, "banks", banks));
        return show(json);
}

static Err *save(const char *directory, const char *name, Span content) {
        _cleanup_free_ char *path = NULL;
        TRY(string_format(&path, "%s/%s", directory, name));
        return file_write_atomic(path, content, 0600);
}

static Err *save_evidence(const Evidence *evidence, const char *directory) {
        TRY(save(directory, "attest", bytes_span(&evidence->quote)));
        TRY(save(directory, "signature", bytes_span(&evidence->signature)));
        TRY(save(directory, "aik-public", bytes_span(&evidence->aik_public)));
        TRY(save(directory, "aik-certificate", bytes_span(&evidence->aik_certificate)));
        for (size_t i = 0; i < evidence->n_logs; i++) {
                _cleanup_bytes_ Bytes content = {};
                const EvidenceLog *log = &evidence->logs[i];
                if (lseek(log->fd, 0, SEEK_SET) != 0)
                        return err_new(ERR_IO, "rewinding a log");
                TRY(fd_read_all(log->fd, "a log", LOG_MAX, &content));
                TRY(save(directory, evidence_log_type_to_string(log->type), span_make(content.data, log->size)));
        }
        return NULL;
}

static Err *add_pcrs(const Evidence *evidence, Json *json) {
        Json *banks;
        TRY(json_new_object(&banks));
        TRY(json_add(json, "pcrs", banks));
        for (size_t i = 0; i < evidence->pcrs.n_banks; i++) {
                const PcrBank *bank = &evidence->pcrs.banks[i];
                Json *values;
                TRY(json_new_object(&values));
                TRY(json_add(banks, hash_name(bank->alg), values));
                for (unsigned pcr = 0; pcr < PCR_COUNT; pcr++) {
                        char name[12];
                        snprintf(name, sizeof(name), "%u", pcr);
                        if (bank->mask >> pcr & 1)
                                TRY(json_add_hex(values, name, digest_span(&bank->values[pcr])));
                }
        }
        return NULL;
}

static Err *add_verdicts(const Evidence *evidence, Json *json) {
        Json *verdicts;
        TRY(json_new_array(&verdicts));
        TRY(json_add(json, "verdicts", verdicts));
        for (unsigned pcr = 0; pcr < PCR_COUNT; pcr++)
                TRY(json_append(verdicts, json_object_new_string(pcr_verdict_to_string(evidence->verdicts[pcr]))));
        return NULL;
}

static Err *add_logs(const Evidence *evidence, Json *json) {
        Json *logs;
        TRY(json_new_object(&logs));
        TRY(json_add(json, "logs", logs));
        for (size_t i = 0; i < evidence->n_logs; i++)
                TRY(json_add_integer(logs, evidence_log_type_to_string(evidence->logs[i].type), (int64_t) evidence->logs[i].size));
        return NULL;
}

/* What came along from before a hibernation, its quote checked. */
static Err *add_boot(const Evidence *boot, Json *json) {
        Json *object;
        if (!boot)
                return NULL;
        TRY(aik_verify_quote(bytes_span(&boot->aik_public), bytes_span(&boot->quote), bytes_span(&boot->signature), /* qualifying= */ (Span) {}, &boot->pcrs,
                             NULL));
        TRY(json_new_object(&object));
        TRY(json_add(json, "boot", object));
        TRY(add_pcrs(boot, object));
        TRY(add_logs(boot, object));
        TRY(json_add_integer(object, "reset_count", boot->reset_count));
        return json_add_integer(object, "restart_count", boot->restart_count);
}

static Err *show_quote(Collector *collector, const char *hex, const char *directory) {
        _cleanup_(evidence_freep) Evidence *evidence = NULL;
        _cleanup_json_ Json *json = NULL;
        _cleanup_bytes_ Bytes qualifying = {};
        TRY(hex_decode(span_from_string(hex), "the qualifying data", &qualifying));
        TRY(collector_quote(collector, bytes_span(&qualifying), /* certify= */ (Span) {}, &evidence));
        TRY(aik_verify_quote(bytes_span(&evidence->aik_public), bytes_span(&evidence->quote), bytes_span(&evidence->signature),
                             bytes_span(&qualifying), &evidence->pcrs, NULL));
        if (directory)
                TRY(save_evidence(evidence, directory));
        TRY(json_new_object(&json));
        TRY(add_pcrs(evidence, json));
        TRY(add_verdicts(evidence, json));
        TRY(add_logs(evidence, json));
        TRY(json_add_string(json, "boot_log_state", log_state_to_string(evidence->boot_log_state)));
        TRY(json_add_string(json, "boot_log_reason", evidence->boot_log_reason));
        TRY(json_add_string(json, "ima_log_state", log_state_to_string(evidence->ima_log_state)));
        TRY(json_add_string(json, "ima_log_reason", evidence->ima_log_reason));
        TRY(json_add_integer(json, "ima_entries", (int64_t) evidence->n_ima_entries));
        TRY(add_boot(evidence->boot, json));
        TRY(json_add_string(json, "boot_attestation_state", boot_attestation_state_to_string(evidence->boot_attestation_state)));
        TRY(json_add_string(json, "boot_attestation_reason", evidence->boot_attestation_reason));
        TRY(json_add_hex(json, "aik_name", bytes_span(&evidence->aik_name)));
        TRY(json_add_hex(json, "aik_certificate", bytes_span(&evidence->aik_certificate)));
        TRY(json_add_integer(json, "reset_count", evidence->reset_count));
        TRY(json_add_integer(json, "restart_count", evidence->restart_count));
        TRY(json_add_integer(json, "quote_retries", evidence->n_quote_retries));
        return show(json);
}

static Err *show_report(Collector *collector, const char *hex) {
        _cleanup_json_ Json *json = NULL;
        _cleanup_bytes_ Bytes user_data = {}, report = {};
        VsmReportKind kind;
        TRY(hex_decode(span_from_string(hex), "the user data", &user_data));
        TRY(collector_report(collector, bytes_span(&user_data), &kind, &report));
        TRY(json_new_object(&json));
        TRY(json_add_string(json, "kind", vsm_report_kind_to_string(kind)));
        TRY(json_add_hex(json, "report", bytes_span(&report)));
        return show(json);
}

static Err *show_certified(Collector *collector, const char *hex) {
        _cleanup_(evidence_freep) Evidence *evidence = NULL;
        _cleanup_json_ Json *json = NULL;
        _cleanup_bytes_ Bytes challenge = {};
        TRY(hex_decode(span_from_string(hex), "the challenge", &challenge));
        TRY(collector_quote(collector, bytes_span(&challenge), bytes_span(&challenge), &evidence));
        TRY(json_new_object(&json));
        TRY(json_add_hex(json, "aik_name", bytes_span(&evidence->aik_name)));
        TRY(json_add_hex(json, "public", bytes_span(&evidence->request_key.public)));
        TRY(json_add_hex(json, "certification", bytes_span(&evidence->request_key.certification)));
        TRY(json_add_hex(json, "signature", bytes_span(&evidence->request_key.signature)));
        return show(json);
}

static Err *show_guest(Collector *collector, const char *directory) {
        _cleanup_(evidence_freep) Evidence *evidence = NULL;
        _cleanup_json_ Json *json = NULL;
        TRY(collector_collect_guest(collector, &evidence));
        if (directory)
                TRY(save_evidence(evidence, directory));
        TRY(json_new_object(&json));
        TRY(add_pcrs(evidence, json));
        TRY(add_verdicts(evidence, json));
        TRY(add_logs(evidence, json));
        TRY(json_add_string(json, "boot_log_state", log_state_to_string(evidence->boot_log_state)));
        TRY(json_add_string(json, "ima_log_state", log_state_to_string(evidence->ima_log_state)));
        TRY(json_add_string(json, "boot_attestation_state", boot_attestation_state_to_string(evidence->boot_attestation_state)));
        TRY(json_add_hex(json, "quote", bytes_span(&evidence->quote)));
        TRY(json_add_hex(json, "quote_signature", bytes_span(&evidence->signature)));
        TRY(json_add_hex(json, "aik_name", bytes_span(&evidence->aik_name)));
        TRY(json_add_hex(json, "aik_public", bytes_span(&evidence->aik_public)));
        TRY(json_add_hex(json, "aik_certificate", bytes_span(&evidence->aik_certificate)));
        TRY(json_add_hex(json, "public", bytes_span(&evidence->request_key.public)));
        TRY(json_add_hex(json, "certification", bytes_span(&evidence->request_key.certification)));
        TRY(json_add_hex(json, "signature", bytes_span(&evidence->request_key.signature)));
        TRY(json_add_integer(json, "other_keys", (int64_t) evidence->n_other_keys));
        TRY(json_add_integer(json, "quote_retries", evidence->n_quote_retries));
        return show(json);
}

static Err *show_guest_plaintext(Collector *collector, const char *hex) {
        _cleanup_json_ Json *json = NULL;
        _cleanup_bytes_ Bytes ciphertext = {};
        _cleanup_bytes_erase_ Bytes plaintext = {};
        TRY(hex_decode(span_from_string(hex), "the ciphertext", &ciphertext));
        TRY(collector_guest_decrypt(collector, bytes_span(&ciphertext), &plaintext));
        TRY(json_new_object(&json));
        TRY(json_add_hex(json, "plaintext", bytes_span(&plaintext)));
        return show(json);
}

static Err *show_signature(Collector *collector, const char *hex) {
        _cleanup_json_ Json *json = NULL;
        _cleanup_bytes_ Bytes digest = {}, signature = {};
        TRY(hex_decode(span_from_string(hex), "the digest", &digest));
        TRY(collector_sign(collector, bytes_span(&digest), &signature));
        TRY(json_new_object(&json));
        TRY(json_add_hex(json, "signature", bytes_span(&signature)));
        return show(json);
}

static Err *show_endorsement_key(Collector *collector, const char *algorithm) {
        _cleanup_(collector_endorsement_done) CollectorEndorsement key = {};
        _cleanup_json_ Json *json = NULL;
        TRY(collector_get_endorsement_key(collector, algorithm, &key));
        TRY(json_new_object(&json));
        TRY(json_add_hex(json, "public", bytes_span(&key.ek_public)));
        TRY(json_add_hex(json, "certificate", bytes_span(&key.ek_certificate)));
        TRY(json_add_string(json, "origin", key.ek_origin));
        return show(json);
}

static Err *show_activation(Collector *collector, const char *object_hex, const char *secret_hex) {
        _cleanup_json_ Json *json = NULL;
        _cleanup_bytes_ Bytes object = {}, encrypted = {}, secret = {};
        TRY(hex_decode(span_from_string(object_hex), "the object", &object));
        TRY(hex_decode(span_from_string(secret_hex), "the secret", &encrypted));
        TRY(collector_activate_credential(collector, bytes_span(&object), bytes_span(&encrypted), &secret));
        TRY(json_new_object(&json));
        TRY(json_add_hex(json, "secret", bytes_span(&secret)));
        return show(json);
}

static Err *show_keep(Collector *collector) {
        _cleanup_json_ Json *json = NULL;
        BootAttestationState state;
        TRY(collector_keep_boot_attestation(collector, &state));
        TRY(json_new_object(&json));
        TRY(json_add_string(json, "state", boot_attestation_state_to_string(state)));
        return show(json);
}

static Err *show_ping(Collector *collector) {
        sd_bus_message *call = NULL, *reply = NULL;
        TRY(collector_ping_call(collector, &call));
        int r = sd_bus_call(collector_bus(collector), call, COLLECTOR_PING_USEC, NULL, &reply);
        sd_bus_message_unref(call);
        Err *err = r < 0 ? err_new_errno(ERR_COLLECTOR_UNAVAILABLE, r, "Ping") : collector_ping_reply(reply);
        sd_bus_message_unref(reply);
        TRY(err);
        printf("{}\n");
        fflush(stdout);
        return NULL;
}

static Err *reopen(const CollectorOptions *options, Collector **collector) {
        *collector = collector_free(*collector);
        TRY(collector_open(options, collector));
        printf("{}\n");
        fflush(stdout);
        return NULL;
}

static Err *obey(const CollectorOptions *options, Collector **collector, char *line) {
        char *rest = NULL;
        const char *verb = strtok_r(line, " \n", &rest);
        if (string_equal(verb, "reopen"))
                return reopen(options, collector);
        if (!*collector)
                TRY(collector_open(options, collector));
        if (string_equal(verb, "ping"))
                return show_ping(*collector);
        if (string_equal(verb, "keep"))
                return show_keep(*collector);
        if (string_equal(verb, "info"))
                return show_info(*collector);
        if (string_equal(verb, "pid")) {
                printf("{\"pid\":%d}\n", (int) collector_pid(*collector));
                fflush(stdout);
                return NULL;
        }
        const char *hex = strtok_r(NULL, " \n", &rest);
        if (string_equal(verb, "guest"))
                return show_guest(*collector, hex);
        if (string_equal(verb, "guest-decrypt") && hex)
                return show_guest_plaintext(*collector, string_equal(hex, "-") ? "" : hex);
        if (string_equal(verb, "quote") && hex)
                return show_quote(*collector, string_equal(hex, "-") ? "" : hex, strtok_r(NULL, " \n", &rest));
        if (string_equal(verb, "report") && hex)
                return show_report(*collector, hex);
        if (string_equal(verb, "certify") && hex)
                return show_certified(*collector, hex);
        if (string_equal(verb, "sign") && hex)
                return show_signature(*collector, hex);
        if (string_equal(verb, "ek") && hex)
                return show_endorsement_key(*collector, hex);
        const char *secret = strtok_r(NULL, " \n", &rest);
        if (string_equal(verb, "activate") && hex && secret)
                return show_activation(*collector, hex, secret);
        return err_new(ERR_INVALID_ARGUMENT, "unknown line");
}

int main(int argc, char **argv) {
        static const struct option known[] = {
                { "config", required_argument, NULL, 'c' }, { "collector", required_argument, NULL, 'p' }, { "socket", required_argument, NULL, 's' }, {},
        };
        CollectorOptions options = { .socket_fd = -1 };
        int c;
        while ((c = getopt_long(argc, argv, "", known, NULL)) >= 0) {
                if (c == 'c')
                        options.config_file = optarg;
                else if (c == 'p')
                        options.program = optarg;
                else if (c == 's')
                        options.socket_path = optarg;
                else
                        return 2;
        }
        _cleanup_(collector_freep) Collector *collector = NULL;
        _cleanup_free_ char *line = NULL;
        size_t room = 0;
        while (getline(&line, &room, stdin) > 0) {
                _cleanup_(err_freep) Err *err = obey(&options, &collector, line);
                _cleanup_(err_freep) Err *lost = err ? show_error(err) : NULL;
                if (lost)
                        return 1;
        }
        return 0;
}
