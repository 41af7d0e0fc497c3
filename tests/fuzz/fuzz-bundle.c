/* Evidence bundles: whatever is read has the sizes that its kinds have. */
#include "tcg/bundle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(bundle_freep) Bundle *bundle = NULL;
        Err *err = bundle_parse(span_make(data, size), &bundle);
        if (err && bundle)
                abort();
        err_free(err);
        if (!bundle)
                return 0;
        if (bundle->n_logs > EVIDENCE_LOGS_MAX || bundle->pcrs.n_banks > PCR_BANKS_MAX)
                abort();
        for (size_t i = 0; i < bundle->pcrs.n_banks; i++)
                for (unsigned pcr = 0; pcr < PCR_COUNT; pcr++) {
                        size_t expected = bundle->pcrs.banks[i].mask >> pcr & 1 ? hash_size(bundle->pcrs.banks[i].alg) : 0;
                        if (bundle->pcrs.banks[i].values[pcr].size != expected)
                                abort();
                }
        return 0;
}
