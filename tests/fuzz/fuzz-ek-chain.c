/* The chain of the endorsement key's certificate as NV holds it: what comes out is certificates alone, stays the same when it is done again, and can be added. */
#include "tcg/ek-certificate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_bytes_ Bytes tidy = {}, again = {};
        _cleanup_ek_certificate_ EkCertificate certificate = {};
        Err *err = ek_chain_tidy(span_make(data, size), &tidy);
        if (err) {
                err_free(err);
                return 0;
        }
        err = ek_chain_tidy(bytes_span(&tidy), &again);
        if (err || !span_equal(bytes_span(&tidy), bytes_span(&again)))
                abort();
        if (tidy.size == 0)
                return 0;
        err = ek_certificate_parse(bytes_span(&tidy), &certificate);
        if (!err)
                err = ek_certificate_add_chain(&certificate, bytes_span(&tidy));
        err_free(err);
        return 0;
}
