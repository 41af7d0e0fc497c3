/* TPM2_Quote: the TPM signs PCRs and the caller's data. */
#pragma once

#include "base/bytes.h"
#include "tcg/pcr.h"
#include "tpm/context.h"

/* qualifying: at most 66 bytes (TPM2B_DATA holds a TPMT_HA), less where the TPM knows no SHA-512. *ret_attest is a TPMS_ATTEST,
 * *ret_signature a TPMT_SIGNATURE. Errors: INVALID_ARGUMENT, those of the TPM. */
Err *quote_pcrs(TpmContext *context, ESYS_TR key, Span qualifying, const PcrSelection *selection, Bytes *ret_attest, Bytes *ret_signature) _must_check_;

/* What other attesting commands need too. Errors: INVALID_ARGUMENT; QUOTE_MALFORMED; that of the code invalid. */
Err *quote_qualifying_to_tss(Span qualifying, TPM2B_DATA *ret) _must_check_;
Err *quote_signature_from_tss(const TPMT_SIGNATURE *signature, Bytes *ret) _must_check_;
Err *quote_public_from_tss(const TPMT_PUBLIC *public, ErrCode invalid, Bytes *ret) _must_check_;
