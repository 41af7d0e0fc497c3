/* See sgx-quote.h. Integers are little endian; source: Intel SGX ECDSA QuoteLib Reference (DCAP), appendix A.4 "Quote Format", version 3.
 *
 *     quote      header 48 | report 384 | u32 size | signature data
 *     header     u16 version = 3, key type = 2 (ECDSA-256 with P-256) | u32 reserved | u16 QE SVN, PCE SVN | QE vendor 16 | user data 20
 *     report     CPU SVN 16 | u32 MISCSELECT | 12 | extended product id 16 | u64 flags, XFRM | MRENCLAVE 32 | 32 | MRSIGNER 32 | 32
 *                | CONFIGID 64 | u16 product id, SVN, CONFIGSVN | 42 | family id 16 | report data 64
 *     signature  ECDSA r || s 64 | key x || y 64 | QE report 384 | QE signature 64 | u16 size, authentication data
 *                | u16 type = 5 (PCK chain as PEM), u32 size, certification data
 *
 *     Open Enclave report (include/openenclave/bits/evidence.h)    u32 version = 1, type = 2 (remote) | u64 size | quote */
#include "tcg/sgx-quote.h"

#include "base/reader.h"
#include "jose/signature.h"
#include "jose/x509.h"
#include "tcg/hash.h"
#include "tcg/quote.h"

#define WHAT "SGX quote"
#define WHAT_OPEN_ENCLAVE "Open Enclave report"
#define VERSION 3
#define KEY_TYPE_ECDSA_P256 2
#define HEADER_SIZE 48
#define REPORT_SIZE 384
#define COORDINATE_SIZE 32
#define CERTIFICATION_PCK_CHAIN 5
#define OPEN_ENCLAVE_VERSION 1
#define OPEN_ENCLAVE_REMOTE 2

static void read_report(Reader *reader, SgxReport *report) {
        report->cpu_svn = reader_span(reader, 16, "CPUSVN");
        report->misc_select = reader_u32le(reader, "MISCSELECT");
        reader_span(reader, 12 + 16, "extended product id");
        report->flags = reader_u64le(reader, "attribute flags");
        report->xfrm = reader_u64le(reader, "XFRM");
        report->mrenclave = reader_span(reader, 32, "MRENCLAVE");
        reader_span(reader, 32, "reserved behind MRENCLAVE");
        report->mrsigner = reader_span(reader, 32, "MRSIGNER");
        reader_span(reader, 32, "reserved behind MRSIGNER");
        report->config_id = reader_span(reader, 64, "CONFIGID");
        report->product_id = reader_u16le(reader, "product id");
        report->svn = reader_u16le(reader, "SVN");
        report->config_svn = reader_u16le(reader, "CONFIGSVN");
        reader_span(reader, 42 + 16, "family id");
        report->report_data = reader_span(reader, SGX_REPORT_DATA_SIZE, "report data");
}

static Err *parse_signature_data(Span input, SgxQuote *quote) {
        Reader reader = reader_make(input);
        quote->signature = reader_span(&reader, 2 * COORDINATE_SIZE, "signature");
        quote->attestation_key = reader_span(&reader, 2 * COORDINATE_SIZE, "attestation key");
        Reader report = reader_make(reader_span(&reader, REPORT_SIZE, "QE report"));
        quote->qe_report_bytes = report.input;
        read_report(&report, &quote->qe_report);
        quote->qe_signature = reader_span(&reader, 2 * COORDINATE_SIZE, "QE signature");
        quote->qe_authentication_data = reader_span(&reader, reader_u16le(&reader, "size of QE authentication data"), "QE authentication data");
        quote->certification_type = reader_u16le(&reader, "type of certification data");
        quote->certification_data = reader_span(&reader, reader_u32le(&reader, "size of certification data"), "certification data");
        return reader_finish(&reader, ERR_QUOTE_MALFORMED, WHAT ": signature data");
}

Err *sgx_quote_parse(Span input, SgxQuote *ret) {
        SgxQuote quote = {};
        if (input.size > SGX_QUOTE_SIZE_MAX)
                return err_new(ERR_QUOTE_MALFORMED, WHAT ": %zu bytes, at most %u are allowed", input.size, SGX_QUOTE_SIZE_MAX);
        Reader reader = reader_make(input);
        quote.signed_part = span_make(input.data, MIN_OF(input.size, (size_t) (HEADER_SIZE + REPORT_SIZE)));
        if (reader_u16le(&reader, "version") != VERSION)
                reader_fail(&reader, "version (3 is needed)");
        if (reader_u16le(&reader, "key type") != KEY_TYPE_ECDSA_P256)
                reader_fail(&reader, "key type (2, ECDSA with P-256, is needed)");
        reader_u32le(&reader, "reserved");
        quote.qe_svn = reader_u16le(&reader, "QE SVN");
        quote.pce_svn = reader_u16le(&reader, "PCE SVN");
        quote.qe_vendor_id = reader_span(&reader, 16, "QE vendor");
        reader_span(&reader, 20, "user data");
        read_report(&reader, &quote.report);
        Span signature_data = reader_span(&reader, reader_u32le(&reader, "size of signature data"), "signature data");
        TRY(reader_finish(&reader, ERR_QUOTE_MALFORMED, WHAT));
        TRY(parse_signature_data(signature_data, &quote));
        *ret = quote;
        return NULL;
}

Err *sgx_quote_unwrap_open_enclave(Span report, Span *ret_quote) {
        Reader reader = reader_make(report);
        if (reader_u32le(&reader, "version") != OPEN_ENCLAVE_VERSION)
                reader_fail(&reader, "version (1 is needed)");
        if (reader_u32le(&reader, "type") != OPEN_ENCLAVE_REMOTE)
                reader_fail(&reader, "type (2, remote, is needed)");
        Span quote = reader_span(&reader, reader_u64le(&reader, "size"), "quote");
        TRY(reader_finish(&reader, ERR_QUOTE_MALFORMED, WHAT_OPEN_ENCLAVE));
        *ret_quote = quote;
        return NULL;
}

Err *sgx_quote_get_pck_chain(const SgxQuote *quote, STACK_OF(X509) **ret) {
        Span pem = quote->certification_data;
        if (quote->certification_type != CERTIFICATION_PCK_CHAIN)
                return err_new(ERR_QUOTE_MALFORMED, WHAT ": certification data of type %u, 5 (certificates) is needed", (unsigned) quote->certification_type);
        while (pem.size > 0 && pem.data[pem.size - 1] == 0) /* Intel's own libraries send the text's NUL along */
                pem.size--;
        return err_wrap_code(ERR_QUOTE_MALFORMED, x509_stack_from_pem(pem, "certification data", ret), WHAT);
}

static Err *attestation_key_to_pkey(const SgxQuote *quote, EVP_PKEY **ret) {
        TpmPublic public = {
                .type = TPM_ALG_ECC,
                .curve = TPM_ECC_NIST_P256,
                .x = span_make(quote->attestation_key.data, COORDINATE_SIZE),
                .y = span_make(quote->attestation_key.data + COORDINATE_SIZE, COORDINATE_SIZE),
        };
        return err_wrap(tpm_public_to_pkey(&public, ret), WHAT ": attestation key");
}

static Err *verify_signature(EVP_PKEY *key, Span data, Span signature, const char *what) {
        TRY(err_wrap_code(ERR_QUOTE_SIGNATURE_INVALID, jose_signature_check_kind(JOSE_ALG_ES256, key), WHAT ": %s", what));
        return err_wrap_code(ERR_QUOTE_SIGNATURE_INVALID, jose_signature_verify(JOSE_ALG_ES256, key, data, signature), WHAT ": %s", what);
}

static bool holds_digest(Span field, const Digest *digest) {
        if (field.size < digest->size)
                return false;
        return span_equal(span_make(field.data, digest->size), digest_span(digest)) &&
               span_is_zero(span_make(field.data + digest->size, field.size - digest->size));
}

Err *sgx_quote_verify(const SgxQuote *quote, X509 *pck) {
        _cleanup_(pkey_freep) EVP_PKEY *key = NULL;
        Digest digest;
        EVP_PKEY *pck_key = X509_get0_pubkey(pck);
        if (!pck_key)
                return err_new(ERR_QUOTE_MALFORMED, WHAT ": the key of the PCK certificate cannot be read");
        TRY(verify_signature(pck_key, quote->qe_report_bytes, quote->qe_signature, "the PCK certificate's signature over the quoting enclave"));
        TRY(hash_digest2(HASH_SHA256, quote->attestation_key, quote->qe_authentication_data, &digest));
        if (!holds_digest(quote->qe_report.report_data, &digest))
                return err_new(ERR_QUOTE_SIGNATURE_INVALID, WHAT ": the quoting enclave's report is not for this attestation key");
        TRY(attestation_key_to_pkey(quote, &key));
        return verify_signature(key, quote->signed_part, quote->signature, "the attestation key's signature over the enclave's report");
}

Err *sgx_quote_check_binding(Span field, Span data, const char *what) {
        Digest digest;
        TRY(hash_digest(HASH_SHA256, data, &digest));
        if (!holds_digest(field, &digest))
                return err_new(ERR_QUOTE_NONCE_MISMATCH, WHAT ": %s is not the SHA-256 of the data, with zeros behind it", what);
        return NULL;
}
