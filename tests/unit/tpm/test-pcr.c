/* tpm/pcr: the choice of the bank. */
#include "tests/support/unit.h"

#include "tpm/pcr.h"

#define ALL PCR_MASK_ALL
#define S1 { HASH_SHA1, ALL }
#define S256 { HASH_SHA256, ALL }
#define S384 { HASH_SHA384, ALL }
#define S512 { HASH_SHA512, ALL }

static void test_choose_banks_table(void **state) {
        static const struct {
                PcrSelection allocated;
                const char *wanted;
                uint16_t log_algs[4];
                size_t n_log_algs;
                ErrCode expected;
                uint16_t alg;
        } cases[] = {
                { { 2, { S1, S256 } }, "auto", {}, 0, ERR_NONE, HASH_SHA256 },
                { { 3, { S256, S384, S1 } }, "auto", {}, 0, ERR_NONE, HASH_SHA384 },
                { { 4, { S1, S256, S384, S512 } }, "auto", {}, 0, ERR_NONE, HASH_SHA512 },
                { { 3, { S1, S256, S384 } }, "auto", { HASH_SHA1, HASH_SHA256 }, 2, ERR_NONE, HASH_SHA256 },
                { { 2, { S256, S384 } }, "auto", { HASH_SHA1 }, 1, ERR_NONE, HASH_SHA384 },
                { { 1, { S1 } }, "auto", {}, 0, ERR_TPM_BANK_MISSING, 0 },
                { {}, "auto", {}, 0, ERR_TPM_BANK_MISSING, 0 },
                { { 1, { S1 } }, "sha1", {}, 0, ERR_NONE, HASH_SHA1 },
                { { 2, { S256, S1 } }, "SHA1", { HASH_SHA256 }, 1, ERR_NONE, HASH_SHA1 },
                { { 1, { S256 } }, "sha384", {}, 0, ERR_TPM_BANK_MISSING, 0 },
                { { 1, { S256 } }, "md5", {}, 0, ERR_TPM_BANK_MISSING, 0 },
                { { 2, { { HASH_SHA384, 0xff }, S256 } }, "auto", {}, 0, ERR_NONE, HASH_SHA256 },
                { { 1, { { HASH_SHA256, 0xff } } }, "auto", {}, 0, ERR_TPM_BANK_MISSING, 0 },
                { { 1, { { HASH_SHA256, 0xff } } }, "sha256", {}, 0, ERR_TPM_PCR_SELECTION, 0 },
                { { 1, { { HASH_SM3_256, ALL } } }, "auto", {}, 0, ERR_TPM_BANK_MISSING, 0 },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                PcrSelection chosen = {};
                Err *err = tpm_pcr_choose_banks(&cases[i].allocated, cases[i].wanted, ALL, cases[i].log_algs, cases[i].n_log_algs, &chosen);
                if (cases[i].expected == ERR_NONE)
                        assert_ok(err);
                else
                        assert_err(err, cases[i].expected);
                assert_int_equal(chosen.n_banks, cases[i].expected == ERR_NONE ? 1 : 0);
                assert_int_equal(chosen.banks[0].alg, cases[i].alg);
                assert_int_equal(chosen.banks[0].mask, cases[i].expected == ERR_NONE ? ALL : 0);
        }
}

static void test_choose_banks_partly_allocated_names_what_lacks(void **state) {
        const PcrSelection allocated = { 1, { { HASH_SHA256, 0x7fffff } } };
        PcrSelection chosen;
        Err *err = tpm_pcr_choose_banks(&allocated, "sha256", 0xc00001, NULL, 0, &chosen);
        assert_non_null(err);
        assert_non_null(strstr(err_describe(err), "lacks PCRs 23"));
        assert_err(err, ERR_TPM_PCR_SELECTION);
        assert_ok(tpm_pcr_choose_banks(&allocated, "sha256", 0x400001, NULL, 0, &chosen));
}

static void test_choose_banks_list_is_kept_in_its_order(void **state) {
        const PcrSelection allocated = { 3, { S384, S256, S1 } };
        const uint16_t log_algs[] = { HASH_SHA256 };
        PcrSelection chosen;
        assert_ok(tpm_pcr_choose_banks(&allocated, " sha1\tsha384 ", 0x401, log_algs, 1, &chosen));
        assert_int_equal(chosen.n_banks, 2);
        assert_int_equal(chosen.banks[0].alg, HASH_SHA1);
        assert_int_equal(chosen.banks[1].alg, HASH_SHA384);
        assert_int_equal(chosen.banks[0].mask, 0x401);
        assert_int_equal(chosen.banks[1].mask, 0x401);
        assert_err(tpm_pcr_choose_banks(&allocated, "sha256 sha512", ALL, NULL, 0, &chosen), ERR_TPM_BANK_MISSING);
        assert_err(tpm_pcr_choose_banks(&allocated, "sha256 sha256", ALL, NULL, 0, &chosen), ERR_TPM_BANK_MISSING);
}

static void test_selection_to_tss_bytes_are_in_order(void **state) {
        const PcrSelection selection = { 2, { { HASH_SHA256, 0x800401 }, { HASH_SHA1, 0x2 } } };
        TPML_PCR_SELECTION tss = tpm_pcr_selection_to_tss(&selection);
        assert_int_equal(tss.count, 2);
        assert_int_equal(tss.pcrSelections[0].hash, TPM2_ALG_SHA256);
        assert_int_equal(tss.pcrSelections[0].sizeofSelect, 3);
        assert_memory_equal(tss.pcrSelections[0].pcrSelect, "\x01\x04\x80", 3);
        assert_int_equal(tss.pcrSelections[1].hash, TPM2_ALG_SHA1);
        assert_memory_equal(tss.pcrSelections[1].pcrSelect, "\x02\x00\x00", 3);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_choose_banks_table),
                cmocka_unit_test(test_choose_banks_partly_allocated_names_what_lacks),
                cmocka_unit_test(test_choose_banks_list_is_kept_in_its_order),
                cmocka_unit_test(test_selection_to_tss_bytes_are_in_order),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
