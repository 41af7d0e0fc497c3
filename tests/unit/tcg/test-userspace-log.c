/* tcg/userspace-log: records in systemd's form, cut at every byte, and what they do to PCRs.
 *
 * The digests are of systemd's own words (systemd-pcrextend measures the word without a NUL); the expected PCR is from coreutils:
 * (head -c 32 /dev/zero; printf enter-initrd | sha256sum | xxd -r -p) | sha256sum, and so on for leave-initrd. */
#include "tests/support/unit.h"

#include "tcg/userspace-log.h"

#define ENTER "51e6b92f405d1f98d96e3de343d61d420ad6923b25de21d766f9298192f14fed"
#define LEAVE "3be261aff7db92bf507eae947f4003ffa2bcad0bffe3524601d62d0bc8be7135"
#define PCR_AFTER_ENTER "d15b0e8e244e65c40f024e95773f2347ce4ef3ffe6b597c9a14b50bbab6df319"
#define PCR_AFTER_LEAVE "75df9c8b17d8a6465f2862028b892ea13a3d7c37685a945e5ff34fb44956c207"
#define RECORD(pcr, digest, word)                                                                                                          \
        "\x1e{\"pcr\":" pcr ",\"digests\":[{\"hashAlg\":\"sha256\",\"digest\":\"" digest "\"}],\"content_type\":\"systemd\","              \
        "\"content\":{\"string\":\"" word "\",\"bootId\":\"4c1d6ab1b2e14c4c8a2a1dbb2f1b2a7e\",\"timestamp\":7165711,\"eventType\":\"phase\"}}\n"
#define NV_RECORD                                                                                                                          \
        "\x1e{\"nv_index\":25165825,\"digests\":[{\"hashAlg\":\"sha256\",\"digest\":\"" ENTER "\"}],\"content_type\":\"systemd\","         \
        "\"content\":{\"nvIndexName\":\"hardware\",\"string\":\"x\"}}\n"
#define TWO RECORD("11", ENTER, "enter-initrd") RECORD("11", LEAVE, "leave-initrd")

static void assert_pcr(const EventLogReplay *replay, unsigned pcr, const char *expected) {
        const PcrBank *bank = pcr_values_bank_const(&replay->pcrs, HASH_SHA256);
        char hex[2 * HASH_SIZE_MAX + 1];
        assert_non_null(bank);
        assert_true(bank->mask >> pcr & 1);
        hex_encode_into(digest_span(&bank->values[pcr]), hex);
        assert_string_equal(hex, expected);
}

static void test_replay_records_extend_from_the_start_value(void **state) {
        EventLogReplay replay = { .startup_locality = -1 };
        const PcrValues quoted = {};
        assert_ok(userspace_log_replay(span_from_string(TWO NV_RECORD), &quoted, &replay));
        assert_pcr(&replay, 11, PCR_AFTER_LEAVE);
        assert_int_equal(replay.pcrs.banks[0].mask, UINT32_C(1) << 11);
}

static void test_replay_goes_on_from_the_firmware_log(void **state) {
        EventLogReplay replay = { .startup_locality = -1 };
        const PcrValues quoted = {};
        assert_ok(userspace_log_replay(span_from_string(RECORD("11", ENTER, "enter-initrd")), &quoted, &replay));
        assert_ok(userspace_log_replay(span_from_string(RECORD("11", LEAVE, "leave-initrd")), &quoted, &replay));
        assert_pcr(&replay, 11, PCR_AFTER_LEAVE);
}

static void test_replay_records_after_the_quote_are_left_out(void **state) {
        EventLogReplay first = { .startup_locality = -1 }, second = { .startup_locality = -1 };
        const PcrValues none = {};
        assert_ok(userspace_log_replay(span_from_string(RECORD("11", ENTER, "enter-initrd")), &none, &first));
        assert_ok(userspace_log_replay(span_from_string(TWO), &first.pcrs, &second));
        assert_pcr(&second, 11, PCR_AFTER_ENTER);
}

static void test_next_fields_are_systemd_s(void **state) {
        UserspaceLog log = { .input = span_from_string(TWO) };
        _cleanup_userspace_record_ UserspaceRecord record = {};
        bool more;
        assert_ok(userspace_log_next(&log, &record, &more));
        assert_true(more && record.has_pcr);
        assert_int_equal(record.pcr, 11);
        assert_string_equal(record.text, "enter-initrd");
        assert_string_equal(record.event_type, "phase");
}

static void test_replay_every_prefix_is_whole_or_cut(void **state) {
        static const char text[] = TWO;
        const PcrValues quoted = {};
        size_t first = strlen(RECORD("11", ENTER, "enter-initrd"));
        for (size_t n = 0; n < strlen(text); n++) {
                EventLogReplay replay = { .startup_locality = -1 };
                uint8_t *copy = malloc(n + 1);   /* so that the sanitizer sees the end */
                memcpy(copy, text, n);   /* lint: n bytes were allocated for it */
                Err *err = userspace_log_replay(span_make(copy, n), &quoted, &replay);
                if (n == 0 || n == first)
                        assert_ok(err);
                else
                        assert_err(err, ERR_LOG_TRUNCATED);
                assert_int_equal(replay.pcrs.n_banks, n == first);
                free(copy);
        }
}

static void test_replay_wrong_records_are_malformed(void **state) {
        static const char *const cases[] = {
                "{}\n", "\x1e\n", "\x1e[]\n", "\x1e{}\n", "\x1e{\"pcr\":11}\n", "\x1e{\"pcr\":24,\"digests\":[]}\n", "\x1e{\"pcr\":-1,\"digests\":[]}\n",
                "\x1e{\"pcr\":\"11\",\"digests\":[]}\n", "\x1e{\"pcr\":11,\"pcr\":11,\"digests\":[]}\n", "\x1e{\"pcr\":11,\"digests\":[1]}\n",
                "\x1e{\"pcr\":11,\"digests\":[{\"hashAlg\":\"sha256\",\"digest\":\"00\"}]}\n",
                "\x1e{\"pcr\":11,\"digests\":[{\"hashAlg\":\"sha256\",\"digest\":\"zz\"}]}\n",
                "\x1e{\"pcr\":11,\"digests\":[{\"hashAlg\":\"sha256\",\"digest\":\"" ENTER "\"},{\"hashAlg\":\"sha256\",\"digest\":\"" ENTER "\"}]}\n",
                "\x1e{\"pcr\":11,\"digests\":[],\"content\":1}\n", TWO "\n",
        };
        const PcrValues quoted = {};
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                EventLogReplay replay = { .startup_locality = -1 };
                assert_err(userspace_log_replay(span_from_string(cases[i]), &quoted, &replay), ERR_EVENTLOG_MALFORMED);
                assert_int_equal(replay.pcrs.n_banks, 0);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_replay_records_extend_from_the_start_value),
                cmocka_unit_test(test_replay_goes_on_from_the_firmware_log),
                cmocka_unit_test(test_replay_records_after_the_quote_are_left_out),
                cmocka_unit_test(test_next_fields_are_systemd_s),
                cmocka_unit_test(test_replay_every_prefix_is_whole_or_cut),
                cmocka_unit_test(test_replay_wrong_records_are_malformed),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
