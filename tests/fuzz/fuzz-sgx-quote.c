/* SGX quotes and Open Enclave reports: parsed, their certificates read, their signatures verified. */
#include "jose/x509.h"
#include "tcg/sgx-quote.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_quote(Span input) {
        SgxQuote quote;
        _cleanup_(x509_stack_freep) STACK_OF(X509) *chain = NULL;
        Err *error = sgx_quote_parse(input, &quote);
        if (!error)
                error = sgx_quote_get_pck_chain(&quote, &chain);
        if (!error) {
                err_free(sgx_quote_check_binding(quote.report.report_data, input, "report data"));
                error = sgx_quote_verify(&quote, x509_stack_leaf(chain));
        }
        err_free(error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Span input = span_make(data, size), quote;
        Err *error = sgx_quote_unwrap_open_enclave(input, &quote);
        try_quote(error ? input : quote);
        err_free(error);
        return 0;
}
