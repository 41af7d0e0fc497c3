/* PCR banks, selections and values.
 *
 * A selection is an ordered list of banks, each with a mask of PCRs 0..23 (bit n = PCR n). The order is that of the
 * quote's TPML_PCR_SELECTION: the quote digests the values in that order, ascending inside a bank (TPM 2.0 Part 3 §18.4). */
#pragma once

#include "tcg/hash.h"

#define PCR_COUNT 24
#define PCR_MASK_ALL UINT32_C(0xffffff)
#define PCR_IMA 10
#define PCR_BANKS_MAX 8

typedef struct PcrBankSelection {
        uint16_t alg;
        uint32_t mask;
} PcrBankSelection;

typedef struct PcrSelection {
        size_t n_banks;
        PcrBankSelection banks[PCR_BANKS_MAX];
} PcrSelection;

/* Values by bank; value[i].size == 0 where PCR i was not read. */
typedef struct PcrBank {
        uint16_t alg;
        uint32_t mask;
        Digest values[PCR_COUNT];
} PcrBank;

typedef struct PcrValues {
        size_t n_banks;
        PcrBank banks[PCR_BANKS_MAX];
} PcrValues;

/* "0-7,10,14" -> mask. Errors: INVALID_ARGUMENT saying which part is wrong and what is allowed. */
Err *pcr_mask_parse(const char *text, uint32_t *ret_mask) _must_check_;
Err *pcr_mask_to_string(uint32_t mask, char **ret) _must_check_;             /* "0-7,10,14" */
Err *pcr_selection_to_string(const PcrSelection *selection, char **ret) _must_check_; /* "sha256:0-7,10+sha1:0" */
bool pcr_selection_equal(const PcrSelection *a, const PcrSelection *b);
/* A selection of all that values hold, same order. */
PcrSelection pcr_values_selection(const PcrValues *values);
PcrBank *pcr_values_bank(PcrValues *values, uint16_t alg);                  /* NULL if absent */
const PcrBank *pcr_values_bank_const(const PcrValues *values, uint16_t alg);
/* H over the concatenation of values in the order of selection: what the TPM signs as pcrDigest.
 * Error: QUOTE_PCR_MISMATCH if a selected value is absent. */
Err *pcr_values_digest(const PcrValues *values, const PcrSelection *selection, uint16_t hash_alg, Digest *ret) _must_check_;
/* policyDigest, of SHA-256, of a key that TPM2_PolicyPCR over all these values alone opens (TPM 2.0 Part 3 §23.7). Errors: as above. */
Err *pcr_values_policy(const PcrValues *values, Digest *ret) _must_check_;
