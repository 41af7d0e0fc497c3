/* See evidence.h. */
#include "attest/internal.h"

#include <errno.h>
#include <fcntl.h>

#include "tcg/aik.h"
#include "tcg/quote.h"

static Err *replace(Bytes *member, const void *data, size_t size) {
        Bytes copy = {};
        TRY(bytes_copy(span_make(data, size), &copy));
        bytes_done(member);
        *member = copy;
        return NULL;
}

static Err *set_quote(Evidence *evidence, Span attest, Span signature) {
        TpmAttest parsed;
        TRY(tpm_attest_parse(attest, &parsed));
        TRY(replace(&evidence->quote, attest.data, attest.size));
        TRY(replace(&evidence->signature, signature.data, signature.size));
        evidence->reset_count = parsed.reset_count;
        evidence->restart_count = parsed.restart_count;
        return NULL;
}

AttestError *attest_evidence_set_quote(AttestEvidence *evidence, const void *attest, size_t attest_size, const void *signature, size_t signature_size) {
        return error_out(set_quote(evidence_in(evidence), span_make(attest, attest_size), span_make(signature, signature_size)));
}

static Err *set_aik(Evidence *evidence, Span public, Span certificate) {
        _cleanup_bytes_ Bytes name = {}, der = {};
        TRY(tpm_public_name(public, &name));
        if (certificate.size > 0)
                TRY(aik_decode_certificate(certificate, "the AIK's certificate", &der));
        TRY(replace(&evidence->aik_public, public.data, public.size));
        bytes_done(&evidence->aik_name);
        evidence->aik_name = bytes_steal(&name);
        bytes_done(&evidence->aik_certificate);
        evidence->aik_certificate = bytes_steal(&der);
        return NULL;
}

AttestError *attest_evidence_set_aik(AttestEvidence *evidence, const void *public_area, size_t public_size, const void *certificate,
                                     size_t certificate_size) {
        return error_out(set_aik(evidence_in(evidence), span_make(public_area, public_size), span_make(certificate, certificate_size)));
}

static Err *add_pcr(Evidence *evidence, uint16_t alg, unsigned index, Span value) {
        PcrBank *bank = pcr_values_bank(&evidence->pcrs, alg);
        if (hash_size(alg) == 0)
                return err_new(ERR_INVALID_ARGUMENT, "0x%04x is no hash algorithm that is known", alg);
        if (index >= PCR_COUNT)
                return err_new(ERR_INVALID_ARGUMENT, "there is no PCR %u", index);
        if (value.size != hash_size(alg))
                return err_new(ERR_INVALID_ARGUMENT, "PCR %u of bank %s has %zu bytes, not %zu", index, hash_name(alg), hash_size(alg), value.size);
        if (!bank && evidence->pcrs.n_banks == PCR_BANKS_MAX)
                return err_new(ERR_INVALID_ARGUMENT, "more than %d banks", PCR_BANKS_MAX);
        if (!bank) {
                bank = &evidence->pcrs.banks[evidence->pcrs.n_banks++];
                bank->alg = alg;
        }
        bank->mask |= UINT32_C(1) << index;
        bank->values[index] = digest_make(alg, value);
        return NULL;
}

AttestError *attest_evidence_add_pcr(AttestEvidence *evidence, uint16_t bank, unsigned index, const void *value, size_t size) {
        return error_out(add_pcr(evidence_in(evidence), bank, index, span_make(value, size)));
}

/* Takes fd. */
static Err *add_log(Evidence *evidence, AttestLog type, int fd, uint64_t size) {
        _cleanup_close_ int owned = fd;
        if (evidence->n_logs == EVIDENCE_LOGS_MAX)
                return err_new(ERR_INVALID_ARGUMENT, "more than %d logs", EVIDENCE_LOGS_MAX);
        if (type != ATTEST_LOG_TCG && type != ATTEST_LOG_IMA)
                return err_new(ERR_INVALID_ARGUMENT, "%d is no type of a log", (int) type);
        evidence->logs[evidence->n_logs++] = (EvidenceLog) {
                .type = type == ATTEST_LOG_TCG ? EVIDENCE_LOG_TCG : EVIDENCE_LOG_IMA, .fd = steal_fd(&owned), .size = size,
        };
        return NULL;
}

AttestError *attest_evidence_add_log_fd(AttestEvidence *evidence, AttestLog type, int fd, uint64_t size) {
        int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        return error_out(copy < 0 ? err_new_errno(ERR_IO, errno, "the descriptor of a log") : add_log(evidence_in(evidence), type, copy, size));
}

static Err *add_log_data(Evidence *evidence, AttestLog type, Span data) {
        int fd;
        TRY(fd_from_bytes("attest-log", data, &fd));
        return add_log(evidence, type, fd, data.size);
}

AttestError *attest_evidence_add_log(AttestEvidence *evidence, AttestLog type, const void *data, size_t size) {
        return error_out(add_log_data(evidence_in(evidence), type, span_make(data, size)));
}

static Err *set_key(EvidenceKey *key, Span public, Span attest, Span signature) {
        TRY(replace(&key->public, public.data, public.size));
        TRY(replace(&key->certification, attest.data, attest.size));
        return replace(&key->signature, signature.data, signature.size);
}

AttestError *attest_evidence_set_request_key(AttestEvidence *evidence, const void *public_area, size_t public_size, const void *attest, size_t attest_size,
                                             const void *signature, size_t signature_size) {
        return error_out(set_key(&evidence_in(evidence)->request_key, span_make(public_area, public_size), span_make(attest, attest_size),
                                 span_make(signature, signature_size)));
}

static Err *add_other_key(Evidence *evidence, Span public, Span attest, Span signature) {
        _cleanup_bytes_ Bytes name = {};
        if (evidence->n_other_keys == EVIDENCE_OTHER_KEYS_MAX)
                return err_new(ERR_INVALID_ARGUMENT, "more than %d other keys", EVIDENCE_OTHER_KEYS_MAX);
        if ((attest.size == 0) != (signature.size == 0))
                return err_new(ERR_INVALID_ARGUMENT, "a certification and its signature belong together");
        TRY(tpm_public_name(public, &name));      /* does it parse? */
        return set_key(&evidence->other_keys[evidence->n_other_keys++], public, attest, signature);
}

AttestError *attest_evidence_add_other_key(AttestEvidence *evidence, const void *public_area, size_t public_size, const void *attest, size_t attest_size,
                                           const void *signature, size_t signature_size) {
        return error_out(add_other_key(evidence_in(evidence), span_make(public_area, public_size), span_make(attest, attest_size),
                                       span_make(signature, signature_size)));
}
