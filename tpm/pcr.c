/* See pcr.h. */
#include "tpm/pcr.h"

#define SELECT_SIZE 3 /* 24 PCRs */

static const uint16_t strength_order[] = { HASH_SHA512, HASH_SHA3_512, HASH_SHA384, HASH_SHA3_384, HASH_SHA256, HASH_SHA3_256, HASH_SM3_256, HASH_SHA1 };
/* What an attestation service can be expected to know. */
static const uint16_t automatic_algs[] = { HASH_SHA512, HASH_SHA384, HASH_SHA256 };

static uint32_t mask_from_tss(const TPMS_PCR_SELECTION *selection) {
        uint32_t mask = 0;
        for (size_t i = 0; i < SELECT_SIZE && i < selection->sizeofSelect; i++)
                mask |= (uint32_t) selection->pcrSelect[i] << (8 * i);
        return mask;
}

static TPMS_PCR_SELECTION mask_to_tss(uint16_t alg, uint32_t mask) {
        TPMS_PCR_SELECTION selection = { .hash = alg, .sizeofSelect = SELECT_SIZE };
        for (size_t i = 0; i < SELECT_SIZE; i++)
                selection.pcrSelect[i] = (BYTE) (mask >> (8 * i));
        return selection;
}

TPML_PCR_SELECTION tpm_pcr_selection_to_tss(const PcrSelection *selection) {
        TPML_PCR_SELECTION tss = {};
        for (size_t i = 0; i < selection->n_banks; i++)
                tss.pcrSelections[tss.count++] = mask_to_tss(selection->banks[i].alg, selection->banks[i].mask);
        return tss;
}

Err *tpm_pcr_get_banks(TpmContext *context, PcrSelection *ret) {
        TPMI_YES_NO more;
        _cleanup_free_ TPMS_CAPABILITY_DATA *data = NULL;
        TRY(TPM_CALL(context, "TPM2_GetCapability of PCR banks",
                     Esys_GetCapability(context->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_PCRS, 0, 1, &more, &data)));
        const TPML_PCR_SELECTION *list = &data->data.assignedPCR;
        *ret = (PcrSelection) {};
        for (size_t s = 0; s < N_ELEMENTS(strength_order); s++)
                for (uint32_t i = 0; i < list->count && i < N_ELEMENTS(list->pcrSelections); i++) {
                        uint32_t mask = mask_from_tss(&list->pcrSelections[i]);
                        if (list->pcrSelections[i].hash == strength_order[s] && mask != 0 && ret->n_banks < PCR_BANKS_MAX)
                                ret->banks[ret->n_banks++] = (PcrBankSelection) { .alg = strength_order[s], .mask = mask };
                }
        return NULL;
}

static uint32_t mask_of(const PcrSelection *allocated, uint16_t alg) {
        for (size_t i = 0; i < allocated->n_banks; i++)
                if (allocated->banks[i].alg == alg)
                        return allocated->banks[i].mask;
        return 0;
}

static bool contains(const uint16_t *algs, size_t n_algs, uint16_t alg) {
        for (size_t i = 0; i < n_algs; i++)
                if (algs[i] == alg)
                        return true;
        return false;
}

static Err *choose_named(const PcrSelection *allocated, Span name, uint32_t mask, PcrSelection *selection) {
        _cleanup_free_ char *wanted = NULL;
        TRY(string_copy_span(name, &wanted));
        uint16_t alg = hash_from_name(wanted);
        if (alg == HASH_NONE)
                return err_new(ERR_TPM_BANK_MISSING, "PcrBank=%s is no hash algorithm that is known", wanted);
        uint32_t available = mask_of(allocated, alg);
        if (available == 0)
                return err_new(ERR_TPM_BANK_MISSING, "the TPM has no %s PCR bank allocated", wanted);
        if (mask & ~available) {
                _cleanup_free_ char *missing = NULL;
                TRY(pcr_mask_to_string(mask & ~available, &missing));
                return err_new(ERR_TPM_PCR_SELECTION, "the TPM's %s bank lacks PCRs %s", wanted, missing);
        }
        if (mask_of(selection, alg) != 0 || selection->n_banks == PCR_BANKS_MAX)
                return err_new(ERR_TPM_BANK_MISSING, "PcrBank= names %s twice, or too many banks", wanted);
        selection->banks[selection->n_banks++] = (PcrBankSelection) { .alg = alg, .mask = mask };
        return NULL;
}

static Err *choose_list(const PcrSelection *allocated, const char *wanted, uint32_t mask, PcrSelection *ret) {
        static const char separators[] = " \t";
        PcrSelection selection = {};
        for (const char *p = wanted + strspn(wanted, separators); *p; p += strspn(p, separators)) {
                Span name = span_make(p, strcspn(p, separators));
                TRY(choose_named(allocated, name, mask, &selection));
                p += name.size;
        }
        *ret = selection;
        return NULL;
}

static Err *choose_automatic(const PcrSelection *allocated, uint32_t mask, const uint16_t *log_algs, size_t n_log_algs, uint16_t *ret_alg) {
        uint16_t strongest = HASH_NONE;
        for (size_t i = 0; i < N_ELEMENTS(automatic_algs); i++) {
                uint16_t alg = automatic_algs[i];
                uint32_t available = mask_of(allocated, alg);
                if (available == 0 || (mask & ~available))
                        continue;
                if (n_log_algs == 0 || contains(log_algs, n_log_algs, alg)) {
                        *ret_alg = alg;
                        return NULL;
                }
                if (strongest == HASH_NONE)
                        strongest = alg;
        }
        if (strongest == HASH_NONE)
                return err_new(ERR_TPM_BANK_MISSING, "the TPM has no SHA-256, SHA-384 or SHA-512 bank with all PCRs of Pcrs= allocated");
        *ret_alg = strongest;
        return NULL;
}

Err *tpm_pcr_choose_banks(const PcrSelection *allocated, const char *wanted, uint32_t mask, const uint16_t *log_algs, size_t n_log_algs,
                          PcrSelection *ret) {
        uint16_t alg;
        if (!string_equal(wanted, "auto"))
                return choose_list(allocated, wanted, mask, ret);
        TRY(choose_automatic(allocated, mask, log_algs, n_log_algs, &alg));
        *ret = (PcrSelection) { .n_banks = 1, .banks = { { .alg = alg, .mask = mask } } };
        return NULL;
}

/* The TPM skips what it does not have and says nothing, TPM 2.0 Part 3 §22.4. */
static Err *not_given(uint16_t alg, uint32_t mask) {
        _cleanup_free_ char *missing = NULL;
        TRY(pcr_mask_to_string(mask, &missing));
        return err_new(ERR_TPM_PCR_SELECTION, "TPM2_PCR_Read gives no value for PCRs %s of the %s bank, which were asked for", missing, hash_name(alg));
}

/* Takes over the values of one answer; the TPM gives as many as it likes, at most 8, and says which. */
static Err *take_values(PcrBank *bank, const TPML_PCR_SELECTION *given, const TPML_DIGEST *values, uint32_t *ret_given) {
        uint32_t mask = given->count == 1 && given->pcrSelections[0].hash == bank->alg ? mask_from_tss(&given->pcrSelections[0]) : 0;
        size_t n = 0;
        mask &= bank->mask;
        for (size_t i = 0; i < PCR_COUNT; i++) {
                if (!(mask & UINT32_C(1) << i))
                        continue;
                if (n >= values->count || values->digests[n].size != hash_size(bank->alg))
                        return err_new(ERR_TPM_PCR_SELECTION, "the TPM's answer has no value of the right size for PCR %zu", i);
                Digest *value = &bank->values[i];
                *value = (Digest) { .alg = bank->alg, .size = values->digests[n].size };
                for (size_t k = 0; k < value->size; k++)
                        value->bytes[k] = values->digests[n].buffer[k];
                n++;
        }
        *ret_given = mask;
        return NULL;
}

static Err *read_bank(TpmContext *context, const PcrBankSelection *selection, PcrBank *ret) {
        PcrBank bank = { .alg = selection->alg, .mask = selection->mask };
        uint32_t left = selection->mask;
        while (left != 0) {
                TPML_PCR_SELECTION wanted = { .count = 1, .pcrSelections = { mask_to_tss(selection->alg, left) } };
                _cleanup_free_ TPML_PCR_SELECTION *given = NULL;
                _cleanup_free_ TPML_DIGEST *values = NULL;
                uint32_t counter, mask;
                TRY(TPM_CALL(context, "TPM2_PCR_Read",
                             Esys_PCR_Read(context->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &wanted, &counter, &given, &values)));
                TRY(take_values(&bank, given, values, &mask));
                if (!(mask & left))
                        return not_given(selection->alg, left);
                left &= ~mask;
        }
        *ret = bank;
        return NULL;
}

Err *tpm_pcr_read(TpmContext *context, const PcrSelection *selection, PcrValues *ret) {
        PcrValues values = { .n_banks = selection->n_banks };
        for (size_t i = 0; i < selection->n_banks; i++)
                TRY(read_bank(context, &selection->banks[i], &values.banks[i]));
        *ret = values;
        return NULL;
}
