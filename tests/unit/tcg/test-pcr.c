/* Hash algorithms, PCR masks, selections and verdicts. Digests: FIPS 180-2 appendix B and C, FIPS 202 examples, GB/T 32905 example 1 ("abc"). */
#include "tests/support/unit.h"

#include "tcg/evidence.h"
#include "tcg/pcr.h"
#include "tcg/verdict.h"

static void test_hash_digest_of_abc_matches_standards(void **state) {
        static const struct { uint16_t alg; const char *name, *digest; } cases[] = {
                { HASH_SHA1, "sha1", "a9993e364706816aba3e25717850c26c9cd0d89d" },
                { HASH_SHA256, "SHA-256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
                { HASH_SHA384, "SHA384", "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7" },
                { HASH_SHA512, "sha512", "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f" },
                { HASH_SM3_256, "sm3", "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0" },
                { HASH_SHA3_256, "sha3-256", "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532" },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                Digest digest, joined;
                char hex[2 * HASH_SIZE_MAX + 1];
                assert_int_equal(hash_from_name(cases[i].name), cases[i].alg);
                assert_ok(hash_digest(cases[i].alg, span_from_string("abc"), &digest));
                assert_ok(hash_digest2(cases[i].alg, span_from_string("a"), span_from_string("bc"), &joined));
                hex_encode_into(digest_span(&digest), hex);
                assert_string_equal(hex, cases[i].digest);
                assert_true(digest_equal(&digest, &joined));
                assert_int_equal(hash_size(cases[i].alg), digest.size);
        }
}

static void test_hash_unknown_algorithm_is_not_supported(void **state) {
        Digest digest;
        static const char *const names[] = { "", "sha", "sha2", "sha2566", "md5", "sha25_" };
        assert_err(hash_digest(0x1234, (Span) {}, &digest), ERR_NOT_SUPPORTED);
        assert_int_equal(hash_size(0x1234), 0);
        assert_null(hash_name(0x1234));
        assert_int_equal(hash_from_name(NULL), HASH_NONE);
        for (size_t i = 0; i < N_ELEMENTS(names); i++)
                assert_int_equal(hash_from_name(names[i]), HASH_NONE);
}

static void test_pcr_mask_parse_good_lists_round_trip(void **state) {
        static const struct { const char *text; uint32_t mask; const char *canonical; } cases[] = {
                { "0-23", PCR_MASK_ALL, "0-23" }, { "0", 1, "0" }, { "23", UINT32_C(1) << 23, "23" }, { "0-7,10,14", 0x44ff, "0-7,10,14" },
                { "1,0", 3, "0,1" }, { "5,4-6,5", 0x70, "4-6" }, { "10-10", 0x400, "10" },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_free_ char *text = NULL;
                uint32_t mask;
                assert_ok(pcr_mask_parse(cases[i].text, &mask));
                assert_int_equal(mask, cases[i].mask);
                assert_ok(pcr_mask_to_string(mask, &text));
                assert_string_equal(text, cases[i].canonical);
        }
}

static void test_pcr_mask_parse_bad_lists_are_refused(void **state) {
        static const char *const cases[] = { "", ",", "1,", ",1", "24", "1-24", "7-0", "-1", "1-", "a", "1 2", "1;2", "001", "0x1", "4294967296", "1--2" };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                uint32_t mask = 77;
                assert_err(pcr_mask_parse(cases[i], &mask), ERR_INVALID_ARGUMENT);
                assert_int_equal(mask, 77);
        }
}

static void test_pcr_selection_to_string_keeps_order(void **state) {
        PcrSelection selection = { .n_banks = 3, .banks = { { HASH_SHA256, 0xff }, { HASH_SHA1, 1 }, { 0x7777, 2 } } }, other = selection;
        _cleanup_free_ char *text = NULL;
        assert_ok(pcr_selection_to_string(&selection, &text));
        assert_string_equal(text, "sha256:0-7+sha1:0+0x7777:1");
        assert_true(pcr_selection_equal(&selection, &other));
        other.banks[0] = selection.banks[1];
        other.banks[1] = selection.banks[0];
        assert_false(pcr_selection_equal(&selection, &other));
}

static void test_pcr_values_digest_missing_value_is_named(void **state) {
        PcrValues values = { .n_banks = 1, .banks[0] = { .alg = HASH_SHA256, .mask = 3 } };
        values.banks[0].values[0] = digest_zero(HASH_SHA256);
        PcrSelection selection = pcr_values_selection(&values);
        Digest digest;
        assert_err(pcr_values_digest(&values, &selection, HASH_SHA256, &digest), ERR_QUOTE_PCR_MISMATCH);
        selection.banks[0] = (PcrBankSelection) { HASH_SHA1, 1 };
        assert_err(pcr_values_digest(&values, &selection, HASH_SHA256, &digest), ERR_QUOTE_PCR_MISMATCH);
}

static void test_evidence_names_round_trip(void **state) {
        for (unsigned i = 0; i < _LOG_STATE_MAX; i++)
                assert_int_equal(log_state_from_string(log_state_to_string((LogState) i)), i);
        for (unsigned i = 0; i < _PCR_VERDICT_MAX; i++)
                assert_int_equal(pcr_verdict_from_string(pcr_verdict_to_string((PcrVerdict) i)), i);
        assert_int_equal(pcr_verdict_from_string("nonsense"), PCR_NOT_QUOTED);
        assert_int_equal(log_state_from_string(NULL), LOG_STATE_OFF);
}

static void set_pcr(PcrBank *bank, unsigned pcr, uint8_t fill) {
        bank->mask |= UINT32_C(1) << pcr;
        bank->values[pcr] = digest_zero(bank->alg);
        memset(bank->values[pcr].bytes, fill, bank->values[pcr].size);
}

static void test_verdict_for_pcrs_each_kind_is_told(void **state) {
        PcrValues quoted = { .n_banks = 2, .banks = { { .alg = HASH_SHA1 }, { .alg = HASH_SHA256 } } };
        EventLogReplay boot = { .pcrs = { .n_banks = 2, .banks = { { .alg = HASH_SHA1 }, { .alg = HASH_SHA256 } } } };
        ImaReplay ima = ima_replay_start((uint16_t[]) { HASH_SHA256 }, 1);
        static const struct { unsigned pcr; int boot_fill, boot_sha1_fill; uint8_t fill; PcrVerdict verdict; } cases[] = {
                { 0, 7, -1, 7, PCR_REPLAYED },
                { 1, 7, -1, 8, PCR_UNEXPLAINED },     /* the log yields another value */
                { 2, -1, -1, 8, PCR_UNEXPLAINED },    /* no log */
                { 3, -1, -1, 0, PCR_UNUSED },
                { 4, 7, -1, 0, PCR_UNEXPLAINED },     /* mentioned, yet at its start value */
                { 5, -1, 9, 9, PCR_UNEXPLAINED },     /* another bank explains nothing */
                { 6, -1, 9, 0, PCR_UNEXPLAINED },     /* but it mentions */
                { 10, -1, -1, 5, PCR_REPLAYED },      /* by the IMA list */
                { 16, -1, -1, 0xff, PCR_UNEXPLAINED },
                { 17, -1, -1, 0xff, PCR_UNUSED },
                { 22, -1, -1, 0xff, PCR_UNUSED },
                { 23, -1, -1, 0, PCR_UNUSED },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                set_pcr(&quoted.banks[1], cases[i].pcr, cases[i].fill);
                if (cases[i].boot_fill >= 0)
                        set_pcr(&boot.pcrs.banks[1], cases[i].pcr, (uint8_t) cases[i].boot_fill);
                if (cases[i].boot_sha1_fill >= 0)
                        set_pcr(&boot.pcrs.banks[0], cases[i].pcr, (uint8_t) cases[i].boot_sha1_fill);
        }
        ima.n_entries = 1;
        memset(ima.values[0].bytes, 5, ima.values[0].size);
        PcrVerdict verdicts[PCR_COUNT];
        verdict_for_pcrs(&quoted, &boot, &ima, verdicts);
        for (size_t i = 0; i < N_ELEMENTS(cases); i++)
                assert_string_equal(pcr_verdict_to_string(verdicts[cases[i].pcr]), pcr_verdict_to_string(cases[i].verdict));
        assert_int_equal(verdicts[7], PCR_NOT_QUOTED);
        verdict_for_pcrs(&quoted, NULL, NULL, verdicts);
        assert_int_equal(verdicts[0], PCR_UNEXPLAINED);
        assert_int_equal(verdicts[10], PCR_UNEXPLAINED);
        assert_int_equal(verdicts[4], PCR_UNUSED);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_hash_digest_of_abc_matches_standards),
                cmocka_unit_test(test_hash_unknown_algorithm_is_not_supported),
                cmocka_unit_test(test_pcr_mask_parse_good_lists_round_trip),
                cmocka_unit_test(test_pcr_mask_parse_bad_lists_are_refused),
                cmocka_unit_test(test_pcr_selection_to_string_keeps_order),
                cmocka_unit_test(test_pcr_values_digest_missing_value_is_named),
                cmocka_unit_test(test_evidence_names_round_trip),
                cmocka_unit_test(test_verdict_for_pcrs_each_kind_is_told),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
