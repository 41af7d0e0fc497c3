/* The paravisor's report: parsing, and that no binding holds but the one of the hash. Seeds: maa/hcl and tpm/ of the vectors. */
#include "tcg/hash.h"
#include "tcg/paravisor-report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(paravisor_report_freep) ParavisorReport *report = NULL;
        Err *err = paravisor_report_parse(span_make(data, size), &report);
        if (err) {
                if (err_code(err) != ERR_PARAVISOR_REPORT_MALFORMED)
                        abort();
                err_free(err);
                return 0;
        }
        if (report->claims_text.data < data || report->claims_text.data + report->claims_text.size > data + size)
                abort();
        Digest digest;
        Err *bound = paravisor_report_binds_claims(report);
        err_free(hash_digest(report->hash_alg, report->claims_text, &digest));
        if (!bound && (report->report_data.size != TEE_REPORT_DATA_SIZE || memcmp(report->report_data.data, digest.bytes, digest.size) != 0))
                abort();
        Err *key = report->ak ? paravisor_report_binds_key(report, report->ak) : NULL;
        if (report->ak && (key == NULL) != (bound == NULL))
                abort();
        err_free(key);
        err_free(bound);
        err_free(paravisor_report_binds_text(report, span_make(data, size)));
        return 0;
}
