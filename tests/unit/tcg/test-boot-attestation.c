/* The attestation that is kept over a hibernation: its place beside a current quote, and files that are none. That a TPM's own quote is kept, comes back
 * and is refused when it was changed is tested on a real TPM in tests/integration/test-hibernation.py. */
#include "tests/support/unit.h"

#include "tcg/boot-attestation.h"
#include "tcg/quote.h"

/* TPM 2.0 Part 1 §12.2.3: a TPM Reset adds one to resetCount; a TPM Restart and a TPM Resume add one to restartCount. In what a key of the owner
 * hierarchy signs both have a constant added, modulo 2^32. */
static void test_judge_counts_and_keys(void **state) {
        static const struct {
                const char *key;
                uint32_t reset, restart;
                BootAttestationState wanted;
        } kept[] = {
                { "key", 5, 7, BOOT_ATTESTATION_KEPT },
                { "key", 5, 6, BOOT_ATTESTATION_ATTACHED },
                { "key", 5, UINT32_MAX, BOOT_ATTESTATION_ATTACHED },
                { "key", 5, 8, BOOT_ATTESTATION_DROPPED },
                { "key", 4, 6, BOOT_ATTESTATION_DROPPED },
                { "key", 6, 6, BOOT_ATTESTATION_DROPPED },
                { "key", 4, 7, BOOT_ATTESTATION_DROPPED },
                { "another", 5, 6, BOOT_ATTESTATION_DROPPED },
                { "another", 5, 7, BOOT_ATTESTATION_DROPPED },
        };
        _cleanup_bytes_ Bytes key = {};
        assert_ok(bytes_copy(span_from_string("key"), &key));
        const Evidence current = { .aik_public = key, .reset_count = 5, .restart_count = 7 };
        for (size_t i = 0; i < N_ELEMENTS(kept); i++) {
                _cleanup_bytes_ Bytes other = {};
                assert_ok(bytes_copy(span_from_string(kept[i].key), &other));
                const Evidence evidence = { .aik_public = other, .reset_count = kept[i].reset, .restart_count = kept[i].restart };
                BootAttestationState got = boot_attestation_judge(&evidence, &current);
                if (got != kept[i].wanted)
                        fail_msg("case %zu: %s", i, boot_attestation_state_to_string(got));
        }
}

static void test_restarts_wrap_around(void **state) {
        assert_true(tpm_attest_restarts(3, 3) == 0);
        assert_true(tpm_attest_restarts(3, 5) == 2);
        assert_true(tpm_attest_restarts(5, 3) == -2);
        assert_true(tpm_attest_restarts(4294967295u, 1) == 2);
        assert_true(tpm_attest_restarts(1, 4294967295u) == -2);
        assert_true(tpm_attest_restarts(0, 2147483647) == 2147483647);
        assert_true(tpm_attest_restarts(0, 2147483648u) == INT64_C(-2147483648));
}

static void test_states_have_names(void **state) {
        for (unsigned i = 0; i < _BOOT_ATTESTATION_STATE_MAX; i++)
                assert_int_equal(boot_attestation_state_from_string(boot_attestation_state_to_string((BootAttestationState) i)), i);
        assert_int_equal(boot_attestation_state_from_string("nonsense"), BOOT_ATTESTATION_NONE);
}

/* SHA-256 of "abc": FIPS 180-2, appendix B.1. */
static void test_log_is_the_one_that_begins_so(void **state) {
        static const uint8_t abc[32] = { 0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
                                         0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad };
        static const struct {
                const char *content;
                bool wanted;
        } cases[] = { { "abc", true }, { "abcd", true }, { "ab", false }, { "", false }, { "abd", false } };
        const KeptLog log = { .type = EVIDENCE_LOG_IMA, .size = 3, .sha256 = digest_make(HASH_SHA256, SPAN_OF(abc)) };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                bool matches;
                assert_ok(kept_log_matches(&log, span_from_string(cases[i].content), &matches));
                assert_int_equal(matches, cases[i].wanted);
        }
}

#define HEAD "{\"format\":\"attestd-boot-attestation\",\"version\":1,\"quote\":\"AQ\",\"signature\":\"Ag\",\"aik_public\":\"Aw\",\"aik_certificate\":\"\","
#define DIGEST "\"sha256\":\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\""
#define LOG "{\"type\":\"TCG\",\"size\":3," DIGEST "}"

static void test_read_files_that_are_none(void **state) {
        static const struct {
                const char *text, *words;
                ErrCode code;
        } cases[] = {
                { "", "", ERR_JSON_INVALID },
                { "{}", "format", ERR_JSON_MEMBER_MISSING },
                { "{\"format\":\"attestd-evidence\",\"version\":1}", "attestd-boot-attestation", ERR_EVIDENCE_MALFORMED },
                { "{\"format\":\"attestd-boot-attestation\",\"version\":2}", "version 1", ERR_EVIDENCE_MALFORMED },
                { HEAD "\"logs\":[]}", "pcrs", ERR_JSON_MEMBER_MISSING },
                { HEAD "\"pcrs\":[]}", "logs", ERR_JSON_MEMBER_MISSING },
                { HEAD "\"pcrs\":[],\"logs\":[{\"type\":\"X\",\"size\":3," DIGEST "}]}", "logs[0]", ERR_EVIDENCE_MALFORMED },
                { HEAD "\"pcrs\":[],\"logs\":[{\"type\":\"IMA\",\"size\":0," DIGEST "}]}", "logs[0]", ERR_EVIDENCE_MALFORMED },
                { HEAD "\"pcrs\":[],\"logs\":[{\"type\":\"IMA\",\"size\":-1," DIGEST "}]}", "logs[0]", ERR_EVIDENCE_MALFORMED },
                { HEAD "\"pcrs\":[],\"logs\":[{\"type\":\"IMA\",\"size\":1,\"sha256\":\"00\"}]}", "logs[0]", ERR_EVIDENCE_MALFORMED },
                { HEAD "\"pcrs\":[],\"logs\":[" LOG "," LOG "," LOG "," LOG "," LOG "]}", "more than 4", ERR_EVIDENCE_MALFORMED },
                { HEAD "\"pcrs\":[],\"logs\":[" LOG "]}", "", ERR_QUOTE_MALFORMED },   /* well-formed, but for a quote of one byte */
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_kept_attestation_ KeptAttestation kept = {};
                Err *err = boot_attestation_read(span_from_string(cases[i].text), &kept);
                if (err_code(err) != cases[i].code || !strstr(err_describe(err), cases[i].words))
                        fail_msg("%s: %s", cases[i].text, err ? err_describe(err) : "no error");
                err_free(err);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_judge_counts_and_keys),         cmocka_unit_test(test_restarts_wrap_around),
                cmocka_unit_test(test_states_have_names),             cmocka_unit_test(test_log_is_the_one_that_begins_so),
                cmocka_unit_test(test_read_files_that_are_none),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
