/* TPMS_ATTEST, TPMT_SIGNATURE and TPMT_PUBLIC, and the certificate behind a key. Seeds: attest.bin, signature.bin, pubarea.bin, akpub.bin and *.der of
 * tpm/ of the vectors. */
#include "jose/jwk.h"
#include "tcg/aik-certificate.h"
#include "tcg/quote.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static Err *use_public(Span input, EVP_PKEY **ret) {
        TpmPublic public;
        _cleanup_bytes_ Bytes name = {};
        TRY(tpm_public_parse(input, &public));
        TRY(tpm_public_name(input, &name));
        return tpm_public_to_pkey(&public, ret);
}

static Err *use_attest(Span input) {
        TpmAttest attest;
        Digest digest;
        PcrValues none = {};
        _cleanup_free_ char *text = NULL;
        TRY(tpm_attest_parse(input, &attest));
        if (attest.selection.n_banks > PCR_BANKS_MAX)
                abort();
        TRY(pcr_selection_to_string(&attest.selection, &text));
        return pcr_values_digest(&none, &attest.selection, HASH_SHA256, &digest);
}

static Err *use_signature(Span input, EVP_PKEY *key) {
        TpmSignature signature;
        TRY(tpm_signature_parse(input, &signature));
        return key ? tpm_signature_verify(&signature, SPAN_OF("attest"), key) : NULL;
}

/* The first half is a key where it parses as one; the second half then is a signature to verify with it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Span input = span_make(data, size), first = span_make(data, size / 2), second = span_make(data + size / 2, size - size / 2);
        _cleanup_(pkey_freep) EVP_PKEY *key = NULL, *other = NULL;
        Span der;
        err_free(use_attest(input));
        err_free(use_public(input, &key));
        err_free(use_public(first, &other));
        err_free(use_signature(input, NULL));
        err_free(use_signature(second, other));
        err_free(aik_certificate_cut(input, &der));
        return 0;
}
