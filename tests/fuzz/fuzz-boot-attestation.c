/* The file of the kept attestation: nothing but a quote that verifies is believed. */
#include "tcg/boot-attestation.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_kept_attestation_ KeptAttestation kept = {};
        Err *err = boot_attestation_read(span_make(data, size), &kept);
        if (!err != (kept.evidence != NULL))
                abort();
        err_free(err);
        if (!kept.evidence)
                return 0;
        if (kept.n_logs > EVIDENCE_LOGS_MAX || kept.evidence->pcrs.n_banks == 0 || kept.evidence->n_logs > 0)
                abort();
        for (size_t i = 0; i < kept.n_logs; i++)
                if (kept.logs[i].size == 0 || kept.logs[i].sha256.size != hash_size(HASH_SHA256))
                        abort();
        return 0;
}
