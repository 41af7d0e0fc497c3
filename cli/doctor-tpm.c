/* See doctor.h: what the collector finds. */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "cli/daemon-client.h"
#include "cli/doctor.h"
#include "cli/format.h"
#include "collector/collector.h"

#define NONCE_SIZE 32

enum { CHECK_TPM, CHECK_BANKS, CHECK_AIK, CHECK_AIK_CERTIFICATE, CHECK_QUOTE, CHECK_BOOT_LOG, CHECK_IMA_LOG, _CHECK_MAX };
static const char *const checks[] = {
        [CHECK_TPM] = "tpm", [CHECK_BANKS] = "banks", [CHECK_AIK] = "aik", [CHECK_AIK_CERTIFICATE] = "aik-certificate", [CHECK_QUOTE] = "quote",
        [CHECK_BOOT_LOG] = "boot-log", [CHECK_IMA_LOG] = "ima-log", [_CHECK_MAX] = NULL,
};

static void judge_banks(const CollectorInfo *info, DoctorSink *sink) {
        if (string_equal(info->pcr_bank, "sha1"))
                doctor_report(sink, DOCTOR_WARNING, "Have the firmware allocate a SHA-256 bank and leave PcrBank= to auto.", "SHA-1 alone is quoted");
        else
                doctor_report(sink, DOCTOR_OK, NULL, "%s is quoted", info->pcr_bank);
}

static void judge_aik(const CollectorInfo *info, DoctorSink *sink) {
        if (info->aik_notice && *info->aik_notice)
                doctor_report(sink, DOCTOR_WARNING, NULL, "%s: %s", info->aik_origin, info->aik_notice);
        else
                doctor_report(sink, DOCTOR_OK, NULL, "%s, SHA-256 of its public key %s", info->aik_origin, info->aik_fingerprint);
}

static void judge_certificate(const CollectorInfo *info, DoctorSink *sink) {
        uint64_t now = (uint64_t) time(NULL), expires = info->aik_certificate_expires_usec / USEC_PER_SEC;
        char text[FORMAT_SIZE];
        if (info->aik_certificate.size == 0) {
                doctor_report(sink, DOCTOR_WARNING, "attestctl aik enroll asks an authority for one; policies that want a valid AIK certificate refuse without.",
                              "the AIK has no certificate");
                return;
        }
        format_time(info->aik_certificate_expires_usec, text);
        if (expires <= now)
                doctor_report(sink, DOCTOR_FAILURE, "Have it issued anew: attestctl aik enroll.", "out of date since %s", text);
        else if (expires - now < DOCTOR_CERTIFICATE_WARNING_SEC)
                doctor_report(sink, DOCTOR_WARNING, "Have it issued anew soon: attestctl aik enroll.", "in date until %s only", text);
        else
                doctor_report(sink, DOCTOR_OK, NULL, "for that key, issued by %s, in date until %s", info->aik_certificate_issuer, text);
}

static void judge_log(LogState state, const char *reason, LogPolicy policy, const char *key, DoctorSink *sink) {
        char advice[256];
        if (state == LOG_STATE_OK) {
                doctor_report(sink, DOCTOR_OK, NULL, "readable, and it yields the PCRs");
                return;
        }
        if (state == LOG_STATE_OFF) {
                doctor_report(sink, DOCTOR_SKIPPED, NULL, "%sPolicy=off", key);
                return;
        }
        snprintf(advice, sizeof(advice), "docs/evidence.md says what \"%s\" means; %s= says where the log is, %sPolicy= whether it must be there.",
                 log_state_to_string(state), key, key);
        doctor_report(sink, policy == LOG_POLICY_REQUIRED ? DOCTOR_FAILURE : DOCTOR_WARNING, advice, "%s%s%s", log_state_to_string(state), reason ? ": " : "",
                      reason ? reason : "");
}

static void judge_evidence(const DoctorContext *context, const Evidence *evidence, DoctorSink *sink) {
        unsigned n_unexplained = 0;
        for (unsigned i = 0; i < PCR_COUNT; i++)
                n_unexplained += evidence->verdicts[i] == PCR_UNEXPLAINED;
        if (n_unexplained > 0)
                doctor_report(sink, DOCTOR_WARNING, "attestctl evidence collect and replay show which; attestctl eventlog --running shows the log.",
                              "valid, but %u quoted PCRs are explained by no log", n_unexplained);
        else
                doctor_report(sink, DOCTOR_OK, NULL, "valid, and the logs explain every PCR that it covers");
        judge_log(evidence->boot_log_state, evidence->boot_log_reason, context->config->boot_log_policy, "BootLog", sink);
        judge_log(evidence->ima_log_state, evidence->ima_log_reason, context->config->ima_log_policy, "ImaLog", sink);
}

static Err *look(const DoctorContext *context, DoctorSink *sink) {
        const CollectorOptions options = { .config_file = context->config_file, .socket_fd = -1 };
        uint8_t nonce[NONCE_SIZE];
        _cleanup_(collector_freep) Collector *collector = NULL;
        _cleanup_(collector_info_freep) CollectorInfo *info = NULL;
        _cleanup_(evidence_freep) Evidence *evidence = NULL;
        TRY(collector_open(&options, &collector));
        TRY(collector_get_info(collector, &info));
        doctor_report(sink, DOCTOR_OK, NULL, "%s %s, firmware %s", info->manufacturer, info->vendor, info->firmware_version);
        judge_banks(info, sink);
        judge_aik(info, sink);
        judge_certificate(info, sink);
        if (getrandom(nonce, sizeof(nonce), 0) != sizeof(nonce))
                return err_new(ERR_INTERNAL, "the kernel gives no random bytes");
        TRY(collector_quote(collector, SPAN_OF(nonce), (Span) {}, &evidence));
        judge_evidence(context, evidence, sink);
        return NULL;
}

/* A log that [Evidence] demands keeps the collector from answering at all; which one it was is in the words alone. */
static size_t check_of_log(const Config *config, const Err *err) {
        return config->ima_log && strstr(err_describe(err), config->ima_log) ? CHECK_IMA_LOG : CHECK_BOOT_LOG;
}

/* The collector opens the TPM, looks at its banks and makes its key in one call: which of these failed shows in the error. */
static size_t check_of(const Config *config, const Err *err, size_t reached) {
        switch ((int) err_code(err)) {
        case ERR_TPM_BANK_MISSING:
        case ERR_TPM_PCR_SELECTION:
                return CHECK_BANKS;
        case ERR_TPM_AIK_INVALID:
        case ERR_TPM_AIK_MISSING:
        case ERR_TPM_AUTHORIZATION:
                return CHECK_AIK;
        case ERR_AIK_CERTIFICATE_INVALID:
                return CHECK_AIK_CERTIFICATE;
        case ERR_IMA_MALFORMED:
        case ERR_IMA_MISMATCH:
        case ERR_IMA_TRIMMED:
                return CHECK_IMA_LOG;
        case ERR_EVENTLOG_MALFORMED:
        case ERR_EVENTLOG_MISMATCH:
                return CHECK_BOOT_LOG;
        case ERR_LOG_MISSING:
        case ERR_LOG_UNREADABLE:
        case ERR_LOG_EMPTY:
        case ERR_LOG_TOO_LARGE:
        case ERR_LOG_TRUNCATED:
                return check_of_log(config, err);
        default:
                return reached;
        }
}

static void run_tpm(const DoctorContext *context, DoctorSink *sink) {
        Err *err = look(context, sink);
        if (!err)
                return;
        size_t failed = check_of(context->config, err, sink->n_done);
        if (sink->n_done == CHECK_TPM && failed > CHECK_TPM)
                doctor_report(sink, DOCTOR_OK, NULL, "it answers");
        while (sink->n_done < failed)
                doctor_report(sink, DOCTOR_SKIPPED, NULL, "not told, because of the failure below");
        doctor_fail(sink, err);
        doctor_skip_rest(sink, "because of the failure before");
}

const DoctorGroup doctor_tpm_group = { checks, run_tpm };

static const char *const daemon_checks[] = { "daemon", NULL };

static Err *ask_daemon(const DoctorContext *context, DoctorSink *sink) {
        _cleanup_bus_ sd_bus *bus = NULL;
        _cleanup_json_ Json *manager = NULL;
        TRY(daemon_connect(context->user_bus, &bus));
        TRY(daemon_get_properties(bus, DAEMON_PATH, DAEMON_MANAGER, &manager));
        const char *state = property_string(manager, "State"), *reason = property_string(manager, "Reason");
        doctor_report(sink, string_equal(state, "attested") ? DOCTOR_OK : string_equal(state, "failed") ? DOCTOR_FAILURE : DOCTOR_WARNING,
                      string_equal(state, "attested") ? NULL : "attestctl status shows every profile.", "attestd %s is %s%s%s", property_string(manager, "Version"),
                      state, *reason ? ": " : "", reason);
        return NULL;
}

static void run_daemon(const DoctorContext *context, DoctorSink *sink) {
        Err *err = ask_daemon(context, sink);
        if (err_code(err) == ERR_NOT_RUNNING)
                doctor_warn(sink, err);
        else if (err)
                doctor_fail(sink, err);
}

const DoctorGroup doctor_daemon_group = { daemon_checks, run_daemon };
