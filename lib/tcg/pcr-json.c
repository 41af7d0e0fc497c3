/* See pcr-json.h. */
#include "tcg/pcr-json.h"

#include <stdio.h>

static Err *add_bank(Json *pcrs, const PcrBank *bank) {
        _cleanup_json_ Json *object = NULL, *values = NULL;
        TRY(json_new_object(&object));
        TRY(json_new_object(&values));
        TRY(json_add_string(object, "bank", hash_name(bank->alg)));
        for (unsigned i = 0; i < PCR_COUNT; i++) {
                char number[sizeof("23")];
                if (!(bank->mask >> i & 1))
                        continue;
                snprintf(number, sizeof(number), "%u", i);
                TRY(json_add_hex(values, number, digest_span(&bank->values[i])));
        }
        TRY(json_add(object, "values", steal_ptr(&values)));
        return json_append(pcrs, steal_ptr(&object));
}

Err *pcr_values_to_json(Json *json, const PcrValues *pcrs) {
        Json *list;
        TRY(json_new_array(&list));
        TRY(json_add(json, "pcrs", list));
        for (size_t i = 0; i < pcrs->n_banks; i++)
                TRY(add_bank(list, &pcrs->banks[i]));
        return NULL;
}

static Err *read_pcr(const char *number, const Json *value, PcrBank *bank) {
        char expected[sizeof("23")];
        _cleanup_bytes_ Bytes bytes = {};
        for (unsigned i = 0; i < PCR_COUNT; i++) {
                snprintf(expected, sizeof(expected), "%u", i);
                if (!string_equal(number, expected))
                        continue;
                if (!json_is_string(value))
                        return err_new(ERR_EVIDENCE_MALFORMED, "PCR %u: a string of hex digits is needed", i);
                TRY(hex_decode(span_from_string(json_object_get_string((Json *) value)), "the value of a PCR", &bytes));
                if (bytes.size != hash_size(bank->alg))
                        return err_new(ERR_EVIDENCE_MALFORMED, "PCR %u has %zu bytes, bank %s has %zu", i, bytes.size, hash_name(bank->alg),
                                       hash_size(bank->alg));
                bank->mask |= UINT32_C(1) << i;
                bank->values[i] = digest_make(bank->alg, bytes_span(&bytes));
                return NULL;
        }
        return err_new(ERR_EVIDENCE_MALFORMED, "there is no PCR \"%.16s\"", number);
}

static Err *read_bank(const Json *json, PcrValues *pcrs) {
        const char *name;
        Json *values;
        TRY(json_get_string(json, "bank", &name));
        TRY(json_get_object(json, "values", &values));
        uint16_t alg = hash_from_name(name);
        if (alg == HASH_NONE)
                return err_new(ERR_EVIDENCE_MALFORMED, "bank: \"%.16s\" is no hash algorithm that is known", name);
        if (pcr_values_bank(pcrs, alg) || pcrs->n_banks == PCR_BANKS_MAX)
                return err_new(ERR_EVIDENCE_MALFORMED, "bank \"%s\" stands there twice, or there are too many", name);
        PcrBank *bank = &pcrs->banks[pcrs->n_banks++];
        *bank = (PcrBank) { .alg = alg };
        json_object_object_foreach(values, number, value)
                TRY(read_pcr(number, value, bank));
        return NULL;
}

Err *pcr_values_from_json(const Json *json, PcrValues *pcrs) {
        Json *list;
        TRY(json_get_array(json, "pcrs", &list));
        for (size_t i = 0; i < json_object_array_length(list); i++)
                TRY(err_wrap(read_bank(json_object_array_get_idx(list, i), pcrs), "pcrs[%zu]", i));
        return NULL;
}
