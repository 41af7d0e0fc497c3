/* See evidence.h. */
#include "tcg/evidence.h"

#include <errno.h>
#include <fcntl.h>

#include "base/source.h"

static const char *const log_type_names[_EVIDENCE_LOG_TYPE_MAX] = {
        [EVIDENCE_LOG_TCG] = "TCG",
        [EVIDENCE_LOG_IMA] = "IMA",
};

static const char *const verdict_names[_PCR_VERDICT_MAX] = {
        [PCR_NOT_QUOTED] = "not-quoted",
        [PCR_REPLAYED] = "replayed",
        [PCR_UNEXPLAINED] = "unexplained",
        [PCR_UNUSED] = "unused",
};

static const char *const state_names[_LOG_STATE_MAX] = {
        [LOG_STATE_OFF] = "off",
        [LOG_STATE_OK] = "ok",
        [LOG_STATE_MISSING] = "missing",
        [LOG_STATE_EMPTY] = "empty",
        [LOG_STATE_UNREADABLE] = "unreadable",
        [LOG_STATE_MALFORMED] = "malformed",
        [LOG_STATE_TRUNCATED] = "truncated",
        [LOG_STATE_TRIMMED] = "trimmed-by-kernel",
        [LOG_STATE_MISMATCH] = "mismatch",
        [LOG_STATE_TOO_LARGE] = "too-large",
};

const char *evidence_log_type_to_string(EvidenceLogType type) {
        return (unsigned) type < _EVIDENCE_LOG_TYPE_MAX ? log_type_names[type] : "unknown";
}

const char *pcr_verdict_to_string(PcrVerdict verdict) {
        return (unsigned) verdict < _PCR_VERDICT_MAX ? verdict_names[verdict] : verdict_names[PCR_NOT_QUOTED];
}

PcrVerdict pcr_verdict_from_string(const char *text) {
        for (unsigned i = 0; i < _PCR_VERDICT_MAX; i++)
                if (string_equal(text, verdict_names[i]))
                        return (PcrVerdict) i;
        return PCR_NOT_QUOTED;
}

const char *log_state_to_string(LogState state) {
        return (unsigned) state < _LOG_STATE_MAX ? state_names[state] : state_names[LOG_STATE_OFF];
}

LogState log_state_from_string(const char *text) {
        for (unsigned i = 0; i < _LOG_STATE_MAX; i++)
                if (string_equal(text, state_names[i]))
                        return (LogState) i;
        return LOG_STATE_OFF;
}

static const char *const report_kind_names[_VSM_REPORT_KIND_MAX] = {
        [VSM_REPORT_ENCLAVE] = "enclave",
        [VSM_REPORT_VM] = "vm",
};

const char *vsm_report_kind_to_string(VsmReportKind kind) {
        return (unsigned) kind < _VSM_REPORT_KIND_MAX ? report_kind_names[kind] : "unknown";
}

bool vsm_report_kind_from_string(const char *text, VsmReportKind *ret) {
        for (unsigned i = 0; i < _VSM_REPORT_KIND_MAX; i++)
                if (string_equal(text, report_kind_names[i])) {
                        *ret = (VsmReportKind) i;
                        return true;
                }
        return false;
}

static const char *const boot_attestation_names[_BOOT_ATTESTATION_STATE_MAX] = {
        [BOOT_ATTESTATION_NONE] = "none",
        [BOOT_ATTESTATION_KEPT] = "kept",
        [BOOT_ATTESTATION_ATTACHED] = "attached",
        [BOOT_ATTESTATION_DROPPED] = "dropped",
        [BOOT_ATTESTATION_UNUSABLE] = "unusable",
};

const char *boot_attestation_state_to_string(BootAttestationState state) {
        return boot_attestation_names[(unsigned) state < _BOOT_ATTESTATION_STATE_MAX ? state : BOOT_ATTESTATION_NONE];
}

BootAttestationState boot_attestation_state_from_string(const char *text) {
        for (unsigned i = 0; i < _BOOT_ATTESTATION_STATE_MAX; i++)
                if (string_equal(text, boot_attestation_names[i]))
                        return (BootAttestationState) i;
        return BOOT_ATTESTATION_NONE;
}

void evidence_key_done(EvidenceKey *key) {
        bytes_done(&key->public);
        bytes_done(&key->certification);
        bytes_done(&key->signature);
}

Evidence *evidence_free(Evidence *evidence) {
        if (!evidence)
                return NULL;
        bytes_done(&evidence->quote);
        bytes_done(&evidence->signature);
        bytes_done(&evidence->aik_public);
        bytes_done(&evidence->aik_name);
        bytes_done(&evidence->aik_certificate);
        for (size_t i = 0; i < evidence->n_logs; i++)
                fd_closep(&evidence->logs[i].fd);
        evidence_key_done(&evidence->request_key);
        for (size_t i = 0; i < evidence->n_other_keys; i++)
                evidence_key_done(&evidence->other_keys[i]);
        free(evidence->boot_log_reason);
        free(evidence->ima_log_reason);
        evidence_free(evidence->boot);
        free(evidence->boot_attestation_reason);
        free(evidence);
        return NULL;
}

Err *evidence_log_read(const EvidenceLog *log, size_t max, Bytes *ret) {
        const char *name = evidence_log_type_to_string(log->type);
        _cleanup_(source_freep) Source *source = NULL;
        int fd = fcntl(log->fd, F_DUPFD_CLOEXEC, 3);
        if (fd < 0)
                return err_new_errno(ERR_IO, errno, "duplicating the descriptor of the %s log", name);
        TRY(source_new_fd(fd, 0, log->size, name, &source));
        return source_read_all(source, max, ret);
}
