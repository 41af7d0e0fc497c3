/* VBS enclave reports and key claims: all that is found lies inside the input, and the blocks come to an end. */
#include "tcg/vbs-enclave-report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(Span input) {
        VbsEnclaveReport report;
        Err *err = vbs_enclave_report_parse(input, &report);
        if (err && err_code(err) != ERR_VBS_REPORT_MALFORMED)
                abort();
        if (err) {
                err_free(err);
                return;
        }
        if (!vbs_enclave_report_detect(input) && input.data[20] + input.data[21] + input.data[22] + input.data[23] == 0)
                abort();
        if (report.signed_statement.size + report.signature.size + 24 != input.size)
                abort();
        VbsEnclaveBlock block;
        Span blocks = report.blocks;
        for (bool more = true; more;) {
                size_t before = blocks.size;
                if (vbs_enclave_report_next(&blocks, &block, &more) || (more && blocks.size >= before))
                        abort(); /* parsing has looked at them already */
        }
        err_free(vbs_enclave_report_binds_text(&report, input));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        VbsKeyClaim claim;
        Span input = span_make(data, size);
        walk(input);
        Err *err = vbs_key_claim_parse(input, &claim);
        if (!err)
                walk(claim.report);
        else if (err_code(err) != ERR_VBS_REPORT_MALFORMED)
                abort();
        err_free(err);
        return 0;
}
