/* See boot-attestation.h. */
#include "tcg/boot-attestation.h"

#include <errno.h>
#include <fcntl.h>

#include "base/source.h"
#include "tcg/aik.h"
#include "tcg/pcr-json.h"
#include "tcg/quote.h"

#define FORMAT "attestd-boot-attestation"
#define FORMAT_VERSION 1

void kept_attestation_done(KeptAttestation *kept) {
        evidence_freep(&kept->evidence);
        *kept = (KeptAttestation) {};
}

static Err *hash_log(const EvidenceLog *log, Digest *ret) {
        _cleanup_(source_freep) Source *source = NULL;
        _cleanup_(hash_freep) Hash *hash = NULL;
        uint8_t buffer[8192];
        size_t n;
        int fd = fcntl(log->fd, F_DUPFD_CLOEXEC, 3);
        if (fd < 0)
                return err_new_errno(ERR_IO, errno, "duplicating the descriptor of the %s log", evidence_log_type_to_string(log->type));
        TRY(source_new_fd(fd, 0, log->size, evidence_log_type_to_string(log->type), &source));
        TRY(hash_new(HASH_SHA256, &hash));
        do {
                TRY(source_read(source, buffer, sizeof(buffer), &n));
                TRY(hash_update(hash, span_make(buffer, n)));
        } while (n > 0);
        return hash_finish(hash, ret);
}

static Err *add_log(Json *logs, const EvidenceLog *log) {
        Json *object;
        Digest digest;
        TRY(hash_log(log, &digest));
        TRY(json_new_object(&object));
        TRY(json_append(logs, object));
        TRY(json_add_string(object, "type", evidence_log_type_to_string(log->type)));
        TRY(json_add_integer(object, "size", (int64_t) log->size));
        return json_add_hex(object, "sha256", digest_span(&digest));
}

Err *boot_attestation_write(const Evidence *evidence, Bytes *ret) {
        _cleanup_json_ Json *json = NULL;
        _cleanup_free_ char *text = NULL;
        Json *logs;
        TRY(json_new_object(&json));
        TRY(json_add_string(json, "format", FORMAT));
        TRY(json_add_integer(json, "version", FORMAT_VERSION));
        TRY(json_add_base64url(json, "quote", bytes_span(&evidence->quote)));
        TRY(json_add_base64url(json, "signature", bytes_span(&evidence->signature)));
        TRY(json_add_base64url(json, "aik_public", bytes_span(&evidence->aik_public)));
        TRY(json_add_base64url(json, "aik_certificate", bytes_span(&evidence->aik_certificate)));
        TRY(pcr_values_to_json(json, &evidence->pcrs));
        TRY(json_new_array(&logs));
        TRY(json_add(json, "logs", logs));
        for (size_t i = 0; i < evidence->n_logs; i++)
                TRY(add_log(logs, &evidence->logs[i]));
        TRY(json_to_string(json, &text));
        return bytes_copy(span_from_string(text), ret);
}

static Err *read_log(const Json *json, KeptLog *ret) {
        _cleanup_bytes_ Bytes digest = {};
        const char *type, *hex;
        int64_t size;
        TRY(json_get_string(json, "type", &type));
        TRY(json_get_integer(json, "size", &size));
        TRY(json_get_string(json, "sha256", &hex));
        TRY(hex_decode(span_from_string(hex), "sha256", &digest));
        bool is_tcg = string_equal(type, evidence_log_type_to_string(EVIDENCE_LOG_TCG));
        if (!is_tcg && !string_equal(type, evidence_log_type_to_string(EVIDENCE_LOG_IMA)))
                return err_new(ERR_EVIDENCE_MALFORMED, "type: \"%.16s\" is no kind of log", type);
        if (size <= 0 || digest.size != hash_size(HASH_SHA256))
                return err_new(ERR_EVIDENCE_MALFORMED, "size or sha256 is none");
        *ret = (KeptLog) {
                .type = is_tcg ? EVIDENCE_LOG_TCG : EVIDENCE_LOG_IMA, .size = (uint64_t) size, .sha256 = digest_make(HASH_SHA256, bytes_span(&digest)),
        };
        return NULL;
}

static Err *read_logs(const Json *json, KeptAttestation *kept) {
        Json *list;
        TRY(json_get_array(json, "logs", &list));
        if (json_object_array_length(list) > EVIDENCE_LOGS_MAX)
                return err_new(ERR_EVIDENCE_MALFORMED, "logs has more than %d elements", EVIDENCE_LOGS_MAX);
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                TRY(err_wrap(read_log(json_object_array_get_idx(list, i), &kept->logs[i]), "logs[%zu]", i));
                kept->n_logs = i + 1;
        }
        return NULL;
}

static Err *read_members(const Json *json, KeptAttestation *kept) {
        Evidence *evidence = kept->evidence;
        const char *format;
        int64_t version;
        TRY(json_get_string(json, "format", &format));
        TRY(json_get_integer(json, "version", &version));
        if (!string_equal(format, FORMAT) || version != FORMAT_VERSION)
                return err_new(ERR_EVIDENCE_MALFORMED, "format %s of version %d is needed", FORMAT, FORMAT_VERSION);
        TRY(json_get_base64url(json, "quote", &evidence->quote));
        TRY(json_get_base64url(json, "signature", &evidence->signature));
        TRY(json_get_base64url(json, "aik_public", &evidence->aik_public));
        TRY(json_get_base64url(json, "aik_certificate", &evidence->aik_certificate));
        TRY(pcr_values_from_json(json, &evidence->pcrs));
        return read_logs(json, kept);
}

static Err *check_quote(Evidence *evidence) {
        TpmAttest attest;
        TRY(aik_verify_quote(bytes_span(&evidence->aik_public), bytes_span(&evidence->quote), bytes_span(&evidence->signature), /* qualifying= */ (Span) {},
                             &evidence->pcrs, &attest));
        evidence->reset_count = attest.reset_count;
        evidence->restart_count = attest.restart_count;
        return NULL;
}

Err *boot_attestation_read(Span text, KeptAttestation *ret) {
        _cleanup_json_ Json *json = NULL;
        _cleanup_kept_attestation_ KeptAttestation kept = { .evidence = calloc(1, sizeof(Evidence)) };
        if (!kept.evidence)
                return err_oom();
        TRY(json_parse(text, "the kept attestation of the boot", &json));
        TRY(read_members(json, &kept));
        TRY(check_quote(kept.evidence));
        *ret = kept;
        kept = (KeptAttestation) {};
        return NULL;
}

BootAttestationState boot_attestation_judge(const Evidence *kept, const Evidence *current) {
        bool same_key = span_equal(bytes_span(&kept->aik_public), bytes_span(&current->aik_public));
        int64_t n_restarts = tpm_attest_restarts(kept->restart_count, current->restart_count);
        if (!same_key || kept->reset_count != current->reset_count || n_restarts < 0)
                return BOOT_ATTESTATION_DROPPED;
        return n_restarts == 0 ? BOOT_ATTESTATION_KEPT : BOOT_ATTESTATION_ATTACHED;
}

Err *kept_log_matches(const KeptLog *log, Span content, bool *ret) {
        Digest digest;
        *ret = false;
        if (log->size > content.size)
                return NULL;
        TRY(hash_digest(HASH_SHA256, span_make(content.data, (size_t) log->size), &digest));
        *ret = digest_equal(&digest, &log->sha256);
        return NULL;
}
