/* See pcr.h. */
#include "tcg/pcr.h"

#include <ctype.h>

#include "base/writer.h"

#define TPM_CC_POLICY_PCR UINT32_C(0x0000017f)
#define SELECT_SIZE 3 /* octets of a bank's mask: 24 PCRs */

/* One decimal PCR number at *text, which is moved behind it. */
static bool mask_take_number(const char **text, unsigned *ret) {
        unsigned value = 0;
        const char *p = *text;
        for (; isdigit((unsigned char) *p) && p - *text < 2; p++)
                value = value * 10 + (unsigned) (*p - '0');
        if (p == *text || isdigit((unsigned char) *p) || value >= PCR_COUNT)
                return false;
        *text = p;
        *ret = value;
        return true;
}

static bool mask_take_part(const char **text, uint32_t *mask) {
        unsigned first, last;
        if (!mask_take_number(text, &first))
                return false;
        last = first;
        if (**text == '-') {
                (*text)++;
                if (!mask_take_number(text, &last) || last < first)
                        return false;
        }
        for (unsigned i = first; i <= last; i++)
                *mask |= UINT32_C(1) << i;
        return **text == ',' || !**text;
}

Err *pcr_mask_parse(const char *text, uint32_t *ret_mask) {
        uint32_t mask = 0;
        for (const char *p = text;; p++) {
                const char *part = p;
                if (!mask_take_part(&p, &mask))
                        return err_new(ERR_INVALID_ARGUMENT,
                                       "PCRs \"%s\": \"%.*s\" is wrong; numbers 0 to %u and ranges such as 0-7, separated by commas, are allowed",
                                       text, (int) strcspn(part, ","), part, PCR_COUNT - 1);
                if (!*p)
                        break;
        }
        *ret_mask = mask;
        return NULL;
}

static void write_mask(Writer *writer, uint32_t mask) {
        const char *separator = "";
        for (unsigned i = 0; i < PCR_COUNT; i++) {
                unsigned last = i;
                if (!(mask >> i & 1))
                        continue;
                while (last + 1 < PCR_COUNT && (mask >> (last + 1) & 1))
                        last++;
                writer_format(writer, last == i ? "%s%u" : last == i + 1 ? "%s%u,%u" : "%s%u-%u", separator, i, last);
                separator = ",";
                i = last;
        }
}

Err *pcr_mask_to_string(uint32_t mask, char **ret) {
        _cleanup_writer_ Writer writer = {};
        write_mask(&writer, mask);
        return writer_finish_string(&writer, ret);
}

Err *pcr_selection_to_string(const PcrSelection *selection, char **ret) {
        _cleanup_writer_ Writer writer = {};
        for (size_t i = 0; i < selection->n_banks; i++) {
                const char *name = hash_name(selection->banks[i].alg);
                writer_string(&writer, i > 0 ? "+" : "");
                if (name)
                        writer_format(&writer, "%s:", name);
                else
                        writer_format(&writer, "0x%04x:", selection->banks[i].alg);
                write_mask(&writer, selection->banks[i].mask);
        }
        return writer_finish_string(&writer, ret);
}

bool pcr_selection_equal(const PcrSelection *a, const PcrSelection *b) {
        if (a->n_banks != b->n_banks)
                return false;
        for (size_t i = 0; i < a->n_banks; i++)
                if (a->banks[i].alg != b->banks[i].alg || a->banks[i].mask != b->banks[i].mask)
                        return false;
        return true;
}

PcrSelection pcr_values_selection(const PcrValues *values) {
        PcrSelection selection = { .n_banks = values->n_banks };
        for (size_t i = 0; i < values->n_banks; i++)
                selection.banks[i] = (PcrBankSelection) { values->banks[i].alg, values->banks[i].mask };
        return selection;
}

const PcrBank *pcr_values_bank_const(const PcrValues *values, uint16_t alg) {
        for (size_t i = 0; i < values->n_banks; i++)
                if (values->banks[i].alg == alg)
                        return &values->banks[i];
        return NULL;
}

PcrBank *pcr_values_bank(PcrValues *values, uint16_t alg) {
        return (PcrBank *) pcr_values_bank_const(values, alg);
}

static Err *digest_bank(Hash *hash, const PcrBank *bank, const PcrBankSelection *selected) {
        for (unsigned i = 0; i < PCR_COUNT; i++) {
                if (!(selected->mask >> i & 1))
                        continue;
                if (!bank || bank->values[i].size == 0)
                        return err_new(ERR_QUOTE_PCR_MISMATCH, "the quote covers PCR %u of bank %s, whose value is not known", i,
                                       hash_name(selected->alg) ?: "unknown");
                TRY(hash_update(hash, digest_span(&bank->values[i])));
        }
        return NULL;
}

Err *pcr_values_digest(const PcrValues *values, const PcrSelection *selection, uint16_t hash_alg, Digest *ret) {
        _cleanup_(hash_freep) Hash *hash = NULL;
        TRY(hash_new(hash_alg, &hash));
        for (size_t i = 0; i < selection->n_banks; i++)
                TRY(digest_bank(hash, pcr_values_bank_const(values, selection->banks[i].alg), &selection->banks[i]));
        return hash_finish(hash, ret);
}

/* policyDigest = H(policyDigest of before || TPM_CC_PolicyPCR || TPML_PCR_SELECTION || H(values)) */
Err *pcr_values_policy(const PcrValues *values, Digest *ret) {
        const PcrSelection selection = pcr_values_selection(values);
        const Digest begin = digest_zero(HASH_SHA256);
        _cleanup_writer_ Writer writer = {};
        _cleanup_bytes_ Bytes input = {};
        Digest pcrs;
        TRY(pcr_values_digest(values, &selection, HASH_SHA256, &pcrs));
        writer_u32be(&writer, TPM_CC_POLICY_PCR);
        writer_u32be(&writer, (uint32_t) selection.n_banks);
        for (size_t i = 0; i < selection.n_banks; i++) {
                writer_u16be(&writer, selection.banks[i].alg);
                writer_u8(&writer, SELECT_SIZE);
                for (unsigned octet = 0; octet < SELECT_SIZE; octet++)
                        writer_u8(&writer, (uint8_t) (selection.banks[i].mask >> (8 * octet)));
        }
        writer_span(&writer, digest_span(&pcrs));
        TRY(writer_finish(&writer, &input));
        return hash_digest2(HASH_SHA256, digest_span(&begin), bytes_span(&input), ret);
}
