/* See quote.h. TPM 2.0 Part 3 §18.4. */
#include "tpm/quote.h"

#include <tss2/tss2_mu.h>

#include "tpm/pcr.h"

#define SIGNATURE_SIZE_MAX 2048
#define PUBLIC_SIZE_MAX 4096

Err *quote_qualifying_to_tss(Span qualifying, TPM2B_DATA *ret) {
        *ret = (TPM2B_DATA) {};
        if (qualifying.size > sizeof(ret->buffer))
                return err_new(ERR_INVALID_ARGUMENT, "the qualifying data has %zu bytes, at most %zu are possible", qualifying.size, sizeof(ret->buffer));
        ret->size = (UINT16) qualifying.size;
        for (size_t i = 0; i < qualifying.size; i++)
                ret->buffer[i] = qualifying.data[i];
        return NULL;
}

Err *quote_signature_from_tss(const TPMT_SIGNATURE *signature, Bytes *ret) {
        _cleanup_bytes_ Bytes room = {};
        size_t size = 0;
        TRY(bytes_alloc(SIGNATURE_SIZE_MAX, &room));
        TSS2_RC rc = Tss2_MU_TPMT_SIGNATURE_Marshal(signature, room.data, room.size, &size);
        if (rc != TSS2_RC_SUCCESS)
                return err_new_native(ERR_QUOTE_MALFORMED, ERR_DOMAIN_TSS, rc, "the TPM's signature does not marshal");
        return bytes_copy(span_make(room.data, size), ret);
}

Err *quote_public_from_tss(const TPMT_PUBLIC *public, ErrCode invalid, Bytes *ret) {
        _cleanup_bytes_ Bytes room = {};
        size_t size = 0;
        TRY(bytes_alloc(PUBLIC_SIZE_MAX, &room));
        TSS2_RC rc = Tss2_MU_TPMT_PUBLIC_Marshal(public, room.data, room.size, &size);
        if (rc != TSS2_RC_SUCCESS)
                return err_new_native(invalid, ERR_DOMAIN_TSS, rc, "the public area of the key does not marshal");
        return bytes_copy(span_make(room.data, size), ret);
}

Err *quote_pcrs(TpmContext *context, ESYS_TR key, Span qualifying, const PcrSelection *selection, Bytes *ret_attest, Bytes *ret_signature) {
        TPM2B_DATA data;
        const TPMT_SIG_SCHEME scheme = { .scheme = TPM2_ALG_NULL };   /* the key's own */
        TPML_PCR_SELECTION pcrs = tpm_pcr_selection_to_tss(selection);
        _cleanup_free_ TPM2B_ATTEST *attest = NULL;
        _cleanup_free_ TPMT_SIGNATURE *signature = NULL;
        _cleanup_bytes_ Bytes attest_bytes = {};
        TRY(quote_qualifying_to_tss(qualifying, &data));
        TRY(TPM_CALL(context, "TPM2_Quote",
                     Esys_Quote(context->esys, key, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &data, &scheme, &pcrs, &attest, &signature)));
        TRY(bytes_copy(span_make(attest->attestationData, attest->size), &attest_bytes));
        TRY(quote_signature_from_tss(signature, ret_signature));
        *ret_attest = bytes_steal(&attest_bytes);
        return NULL;
}
