/* Vectors of lib/tcg in tests: listing a folder, reading a file, and the expected values beside it. */
#pragma once

#include "tests/support/vectors.h"

#include <dirent.h>

#include "tcg/pcr.h"

static inline const char *vectors_or_skip(void) {
        vectors_need();
        return vectors_directory();
}

__attribute__((format(printf, 1, 2))) static inline Bytes vector_file(const char *format, ...) {
        va_list arguments;
        char path[4096];
        Bytes data = {};
        va_start(arguments, format);
        vsnprintf(path, sizeof(path), format, arguments);
        va_end(arguments);
        assert_ok(file_read(path, VECTOR_SIZE_MAX, &data));
        return data;
}

__attribute__((format(printf, 1, 2))) static inline bool vector_exists(const char *format, ...) {
        va_list arguments;
        char path[4096];
        va_start(arguments, format);
        vsnprintf(path, sizeof(path), format, arguments);
        va_end(arguments);
        FILE *file = fopen(path, "r");
        if (file)
                fclose(file);
        return file != NULL;
}

/* Calls each(directory/NAME of every file that ends so, its name), and returns how many there were. */
static inline size_t vectors_each(const char *directory, const char *ending, void (*each)(const char *directory, const char *name)) {
        struct dirent **entries;
        size_t n_found = 0;
        int n = scandir(directory, &entries, NULL, alphasort);
        for (int i = 0; i < n; i++) {
                const char *name = entries[i]->d_name;
                size_t size = strlen(name);
                if (size >= strlen(ending) && string_equal(name + size - strlen(ending), ending) && name[0] != '.') {
                        each(directory, name);
                        n_found++;
                }
                free(entries[i]);
        }
        if (n >= 0)
                free(entries);
        return n_found;
}

static inline Json *vector_json(Bytes text) {
        Json *json = NULL;
        assert_ok(json_parse(bytes_span(&text), "expected values", &json));
        bytes_done(&text);
        return json;
}

static inline const char *vector_string(const Json *json, const char *member) {
        const char *text = NULL;
        assert_ok(json_get_string_optional(json, member, &text));
        return text ?: "";
}

/* The digest is the one that the text gives in hex; says which one is not. */
static inline void assert_hex(Span data, const char *hex, const char *what) {
        _cleanup_free_ char *text = NULL;
        assert_ok(hex_encode(data, &text));
        if (!string_equal(text, hex))
                print_error("%s: %s, expected %s\n", what, text, hex);
        assert_string_equal(text, hex);
}

/* {"sha256":{"0":"hex"}} as values, in the order of the object. */
static inline PcrValues vector_pcrs(const Json *json) {
        PcrValues values = {};
        json_object_object_foreach((Json *) json, name, members) {
                PcrBank *bank = &values.banks[values.n_banks++];
                bank->alg = hash_from_name(name);
                assert_int_not_equal(bank->alg, HASH_NONE);
                json_object_object_foreach(members, index, value) {
                        unsigned long pcr = strtoul(index, NULL, 10);
                        _cleanup_bytes_ Bytes digest = {};
                        assert_true(pcr < PCR_COUNT);
                        assert_ok(hex_decode(span_from_string(json_object_get_string(value)), "a PCR", &digest));
                        bank->mask |= UINT32_C(1) << pcr;
                        bank->values[pcr] = digest_make(bank->alg, bytes_span(&digest));
                }
        }
        return values;
}

/* The same banks with the same PCRs and the same values; banks in any order. */
static inline void assert_pcrs_equal(const PcrValues *values, const PcrValues *expected, const char *name) {
        if (values->n_banks != expected->n_banks)
                print_error("%s: %zu banks, expected %zu\n", name, values->n_banks, expected->n_banks);
        assert_int_equal(values->n_banks, expected->n_banks);
        for (size_t i = 0; i < expected->n_banks; i++) {
                const PcrBank *wanted = &expected->banks[i], *bank = pcr_values_bank_const(values, wanted->alg);
                assert_non_null(bank);
                if (bank->mask != wanted->mask)
                        print_error("%s: bank %s has PCRs 0x%06x, expected 0x%06x\n", name, hash_name(wanted->alg), bank->mask, wanted->mask);
                assert_int_equal(bank->mask, wanted->mask);
                for (unsigned j = 0; j < PCR_COUNT; j++) {
                        if (!digest_equal(&bank->values[j], &wanted->values[j]) && (wanted->mask >> j & 1)) {
                                print_error("%s: PCR %s:%u is wrong\n", name, hash_name(wanted->alg), j);
                                fail();
                        }
                }
        }
}
