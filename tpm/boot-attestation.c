/* See boot-attestation.h. */
#include "tpm/boot-attestation.h"

#include <errno.h>
#include <unistd.h>

#define FILE_NAME "boot-attestation.json"
#define FILE_MODE 0600

Err *boot_attestation_init(const char *state_directory, BootAttestation *ret) {
        *ret = (BootAttestation) {};
        return string_format(&ret->path, "%s/" FILE_NAME, state_directory);
}

void boot_attestation_done(BootAttestation *boot) {
        freep(&boot->path);
        freep(&boot->dropped);
}

Err *boot_attestation_keep(BootAttestation *boot, Evidence *evidence) {
        _cleanup_bytes_ Bytes text = {};
        if (evidence->boot_attestation_state == BOOT_ATTESTATION_ATTACHED)
                return NULL;
        TRY(boot_attestation_write(evidence, &text));
        TRY(file_remove_unfinished(boot->path));
        TRY(file_write_atomic(boot->path, bytes_span(&text), FILE_MODE));
        freep(&boot->dropped);
        freep(&evidence->boot_attestation_reason);
        evidence->boot_attestation_state = BOOT_ATTESTATION_KEPT;
        return NULL;
}

static Err *say_none(const BootAttestation *boot, Evidence *evidence) {
        if (!boot->dropped)
                return NULL;
        evidence->boot_attestation_state = BOOT_ATTESTATION_DROPPED;
        return string_copy(boot->dropped, &evidence->boot_attestation_reason);
}

static Err *drop(BootAttestation *boot, const Evidence *kept, Evidence *evidence) {
        bool same_key = span_equal(bytes_span(&kept->aik_public), bytes_span(&evidence->aik_public));
        freep(&boot->dropped);
        if (!same_key)
                TRY(string_copy("the attestation key is another one than before hibernation", &boot->dropped));
        else
                TRY(string_format(&boot->dropped, "it is of another boot: the TPM's resetCount is %u more than when it was kept",
                                  evidence->reset_count - kept->reset_count));
        if (unlink(boot->path) < 0 && errno != ENOENT)
                return err_new_errno(ERR_IO, errno, "removing %s", boot->path);
        return say_none(boot, evidence);
}

/* The logs live on in the kernel; what was evidence of them then is their first bytes. One that begins otherwise now is left out, and that is said. */
static Err *attach_log(const KeptLog *log, LogFile *file, Evidence *kept, Evidence *evidence) {
        _cleanup_log_copy_ LogCopy copy = LOG_COPY_NONE;
        bool matches = false;
        TRY(log_copy_take(file, &copy));
        if (copy.state == LOG_STATE_OK)
                TRY(kept_log_matches(log, copy.content, &matches));
        if (matches) {
                kept->logs[kept->n_logs++] = (EvidenceLog) { .type = log->type, .fd = steal_fd(&copy.fd), .size = log->size };
                return NULL;
        }
        freep(&evidence->boot_attestation_reason);
        return string_format(&evidence->boot_attestation_reason, "it goes without the %s log, which does not begin any more as it did before hibernation",
                             evidence_log_type_to_string(log->type));
}

static Err *attach(KeptAttestation *kept, LogFile *boot_log, LogFile *ima_log, Evidence *evidence) {
        for (size_t i = 0; i < kept->n_logs; i++)
                TRY(attach_log(&kept->logs[i], kept->logs[i].type == EVIDENCE_LOG_TCG ? boot_log : ima_log, kept->evidence, evidence));
        evidence->boot = steal_ptr(&kept->evidence);
        return NULL;
}

static Err *say_unusable(Err *steal_err, Evidence *evidence) {
        _cleanup_(err_freep) Err *err = steal_err;
        if (err_code(err) == ERR_NO_MEMORY)
                return steal_ptr(&err);
        evidence->boot_attestation_state = BOOT_ATTESTATION_UNUSABLE;
        return string_copy(err_describe(err), &evidence->boot_attestation_reason);
}

Err *boot_attestation_attach(BootAttestation *boot, LogFile *boot_log, LogFile *ima_log, Evidence *evidence) {
        _cleanup_bytes_ Bytes text = {};
        _cleanup_kept_attestation_ KeptAttestation kept = {};
        if (access(boot->path, F_OK) < 0 && errno == ENOENT)
                return say_none(boot, evidence);
        Err *err = file_read(boot->path, BOOT_ATTESTATION_FILE_MAX, &text);
        if (!err)
                err = err_wrap(boot_attestation_read(bytes_span(&text), &kept), "%s", boot->path);
        if (err)
                return say_unusable(err, evidence);
        evidence->boot_attestation_state = boot_attestation_judge(kept.evidence, evidence);
        switch (evidence->boot_attestation_state) {
        case BOOT_ATTESTATION_DROPPED:
                return drop(boot, kept.evidence, evidence);
        case BOOT_ATTESTATION_ATTACHED:
                return attach(&kept, boot_log, ima_log, evidence);
        case BOOT_ATTESTATION_NONE:
        case BOOT_ATTESTATION_KEPT:
        case BOOT_ATTESTATION_UNUSABLE:
        case _BOOT_ATTESTATION_STATE_MAX:
                return NULL;
        }
        return NULL;
}
