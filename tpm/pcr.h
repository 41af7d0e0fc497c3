/* PCR banks and values of the TPM. */
#pragma once

#include "tcg/pcr.h"
#include "tpm/context.h"

/* Allocated banks of known algorithms with the PCRs that each has, strongest first. */
Err *tpm_pcr_get_banks(TpmContext *context, PcrSelection *ret) _must_check_;

/* What to quote: the PCRs of mask of each bank. wanted is "auto" or names of algorithms with blanks in between, which are quoted in that order. auto takes the strongest of SHA-512, SHA-384, SHA-256 that has all PCRs
 * of mask and is among the firmware log's (n_log_algs == 0: there is no log to agree with), else the strongest of the TPM;
 * SHA-1 is used by explicit choice alone. Pure. Errors: TPM_BANK_MISSING; TPM_PCR_SELECTION where a bank lacks a PCR of mask. */
Err *tpm_pcr_choose_banks(const PcrSelection *allocated, const char *wanted, uint32_t mask, const uint16_t *log_algs, size_t n_log_algs,
                          PcrSelection *ret) _must_check_;

/* Reads all PCRs of selection in as many commands as that takes; they may move in between. Error: TPM_PCR_SELECTION where the TPM
 * does not give them all. */
Err *tpm_pcr_read(TpmContext *context, const PcrSelection *selection, PcrValues *ret) _must_check_;

TPML_PCR_SELECTION tpm_pcr_selection_to_tss(const PcrSelection *selection);
