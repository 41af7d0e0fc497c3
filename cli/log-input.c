/* See log-input.h. */
#include "cli/log-input.h"

#include <stdio.h>
#include <unistd.h>

Err *log_input_read(const char *path, size_t max, Bytes *ret) {
        if (string_equal(path, "-"))
                return fd_read_all(STDIN_FILENO, "standard input", max, ret);
        return file_read(path, max, ret);
}

static Err *bank_to_json(const PcrBank *bank, uint32_t only_pcrs, Json **ret) {
        _cleanup_json_ Json *json = NULL;
        TRY(json_new_object(&json));
        for (unsigned i = 0; i < PCR_COUNT; i++) {
                char index[4];
                if (!((bank->mask & only_pcrs) >> i & 1))
                        continue;
                snprintf(index, sizeof(index), "%u", i);
                TRY(json_add_hex(json, index, digest_span(&bank->values[i])));
        }
        *ret = steal_ptr(&json);
        return NULL;
}

Err *log_pcrs_to_json(const PcrValues *pcrs, uint32_t only_pcrs, Json **ret) {
        _cleanup_json_ Json *json = NULL;
        TRY(json_new_object(&json));
        for (size_t i = 0; i < pcrs->n_banks; i++) {
                Json *bank;
                TRY(bank_to_json(&pcrs->banks[i], only_pcrs, &bank));
                TRY(json_add(json, hash_name(pcrs->banks[i].alg), bank));
        }
        *ret = steal_ptr(&json);
        return NULL;
}

void log_pcrs_print(const PcrValues *pcrs, uint32_t only_pcrs) {
        for (size_t i = 0; i < pcrs->n_banks; i++)
                for (unsigned j = 0; j < PCR_COUNT; j++) {
                        char hex[2 * HASH_SIZE_MAX + 1];
                        if (!((pcrs->banks[i].mask & only_pcrs) >> j & 1))
                                continue;
                        hex_encode_into(digest_span(&pcrs->banks[i].values[j]), hex);
                        printf("%s:%-2u %s\n", hash_name(pcrs->banks[i].alg), j, hex);
                }
}
