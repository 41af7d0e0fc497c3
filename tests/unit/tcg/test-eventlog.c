/* The firmware event log, with records made here: what real logs rarely have. Replayed values of real logs: test-eventlog-vectors.c. */
#include "tests/support/unit.h"

#include "base/writer.h"
#include "tcg/eventlog-mismatch.h"

#define EV_POST_CODE 1
#define EV_NO_ACTION 3
#define EV_SEPARATOR 4
#define EV_EFI_HCRTM_EVENT UINT32_C(0x80000010)

static const uint8_t zeros[HASH_SIZE_MAX], ones[HASH_SIZE_MAX] = { 1, 1, 1 };

static void put_legacy(Writer *log, uint32_t pcr, uint32_t type, const uint8_t *digest, Span data) {
        writer_u32le(log, pcr);
        writer_u32le(log, type);
        writer_span(log, span_make(digest, 20));
        writer_u32le(log, (uint32_t) data.size);
        writer_span(log, data);
}

typedef struct SpecAlg { uint16_t alg, size; } SpecAlg;

static void put_spec_id(Writer *log, uint8_t major, const SpecAlg *algs, uint32_t n, uint32_t n_said) {
        _cleanup_writer_ Writer data = {};
        writer_span(&data, span_make("Spec ID Event03", 16));
        writer_u32le(&data, 0);
        writer_u8(&data, 0);
        writer_u8(&data, major);
        writer_u8(&data, 0);
        writer_u8(&data, 2);
        writer_u32le(&data, n_said);
        for (uint32_t i = 0; i < n; i++) {
                writer_u16le(&data, algs[i].alg);
                writer_u16le(&data, algs[i].size);
        }
        writer_u8(&data, 0);
        put_legacy(log, 0, EV_NO_ACTION, zeros, bytes_span(&data.output));
}

static void put_agile(Writer *log, uint32_t pcr, uint32_t type, const SpecAlg *algs, uint32_t n, Span data) {
        writer_u32le(log, pcr);
        writer_u32le(log, type);
        writer_u32le(log, n);
        for (uint32_t i = 0; i < n; i++) {
                writer_u16le(log, algs[i].alg);
                writer_span(log, span_make(ones, algs[i].size));
        }
        writer_u32le(log, (uint32_t) data.size);
        writer_span(log, data);
}

static const SpecAlg sha256_only[] = { { HASH_SHA256, 32 } }, with_unknown[] = { { 0x7777, 24 }, { HASH_SHA256, 32 } };

static void assert_pcr(const EventLogReplay *replay, uint16_t alg, unsigned pcr, Digest expected) {
        const PcrBank *bank = pcr_values_bank_const(&replay->pcrs, alg);
        assert_non_null(bank);
        assert_true(bank->mask >> pcr & 1);
        assert_true(digest_equal(&bank->values[pcr], &expected));
}

/* H(start || digest of 1, 1, 1, 0...), start being zero but for its last byte: TPM 2.0 Part 1 §17.4. */
static Digest extended(uint16_t alg, uint8_t start) {
        Digest value = digest_zero(alg);
        value.bytes[value.size - 1] = start;
        assert_ok(hash_digest2(alg, digest_span(&value), span_make(ones, value.size), &value));
        return value;
}

static void test_eventlog_open_nothing_is_empty(void **state) {
        static const uint8_t padding[3][100] = { {}, { 0xff }, {} };
        uint8_t ones_only[64];
        EventLog *log = NULL;
        memset(ones_only, 0xff, sizeof(ones_only));
        assert_err(eventlog_open((Span) {}, &log), ERR_LOG_EMPTY);
        assert_err(eventlog_open(SPAN_OF(padding[0]), &log), ERR_LOG_EMPTY);
        assert_err(eventlog_open(SPAN_OF(ones_only), &log), ERR_LOG_EMPTY);
        assert_null(log);
}

static void test_eventlog_replay_unknown_algorithm_is_read_and_left_out(void **state) {
        _cleanup_writer_ Writer log = {};
        EventLogReplay replay;
        put_spec_id(&log, 2, with_unknown, 2, 2);
        put_agile(&log, 5, EV_SEPARATOR, with_unknown, 2, SPAN_OF("data"));
        assert_ok(eventlog_replay(bytes_span(&log.output), &replay));
        assert_int_equal(replay.pcrs.n_banks, 1);
        assert_int_equal(replay.n_events, 2);
        assert_pcr(&replay, HASH_SHA256, 5, extended(HASH_SHA256, 0));
}

static void test_eventlog_replay_start_of_pcr0_comes_from_first_event_that_sets_it(void **state) {
        static const char locality[] = "StartupLocality\0\3";
        _cleanup_writer_ Writer log = {}, hcrtm = {}, late = {};
        EventLogReplay replay;
        put_spec_id(&log, 2, sha256_only, 1, 1);
        put_agile(&log, 0, EV_NO_ACTION, sha256_only, 1, span_make(locality, 17));
        put_agile(&log, 0, EV_POST_CODE, sha256_only, 1, (Span) {});
        assert_ok(eventlog_replay(bytes_span(&log.output), &replay));
        assert_int_equal(replay.startup_locality, 3);
        assert_pcr(&replay, HASH_SHA256, 0, extended(HASH_SHA256, 3));

        put_spec_id(&hcrtm, 2, sha256_only, 1, 1);
        put_agile(&hcrtm, 0, EV_EFI_HCRTM_EVENT, sha256_only, 1, SPAN_OF("HCRTM"));
        assert_ok(eventlog_replay(bytes_span(&hcrtm.output), &replay));
        assert_int_equal(replay.startup_locality, -1);
        assert_pcr(&replay, HASH_SHA256, 0, extended(HASH_SHA256, 4));

        put_spec_id(&late, 2, sha256_only, 1, 1);
        put_agile(&late, 0, EV_POST_CODE, sha256_only, 1, (Span) {});
        put_agile(&late, 0, EV_NO_ACTION, sha256_only, 1, span_make(locality, 17));
        assert_ok(eventlog_replay(bytes_span(&late.output), &replay));
        assert_pcr(&replay, HASH_SHA256, 0, extended(HASH_SHA256, 0));
}

static void test_eventlog_replay_second_spec_id_changes_algorithms(void **state) {
        static const SpecAlg sha384_only[] = { { HASH_SHA384, 48 } };
        _cleanup_writer_ Writer log = {};
        EventLogReplay replay;
        put_spec_id(&log, 2, sha256_only, 1, 1);
        put_agile(&log, 4, EV_POST_CODE, sha256_only, 1, (Span) {});
        put_spec_id(&log, 2, sha384_only, 1, 1);
        put_agile(&log, 4, EV_POST_CODE, sha384_only, 1, (Span) {});
        assert_ok(eventlog_replay(bytes_span(&log.output), &replay));
        assert_int_equal(replay.n_events, 4);
        assert_pcr(&replay, HASH_SHA256, 4, extended(HASH_SHA256, 0));
        assert_pcr(&replay, HASH_SHA384, 4, extended(HASH_SHA384, 0));
}

static void test_eventlog_replay_crypto_agile_log_behind_sha1_log_is_read(void **state) {
        _cleanup_writer_ Writer log = {};
        EventLogReplay replay;
        put_legacy(&log, 4, EV_POST_CODE, ones, SPAN_OF("x"));
        put_spec_id(&log, 2, sha256_only, 1, 1);
        put_agile(&log, 4, EV_POST_CODE, sha256_only, 1, (Span) {});
        assert_ok(eventlog_replay(bytes_span(&log.output), &replay));
        assert_pcr(&replay, HASH_SHA1, 4, extended(HASH_SHA1, 0));
        assert_pcr(&replay, HASH_SHA256, 4, extended(HASH_SHA256, 0));
}

static void test_eventlog_next_no_action_may_name_any_pcr(void **state) {
        _cleanup_writer_ Writer log = {};
        _cleanup_(eventlog_freep) EventLog *opened = NULL;
        EventLogEvent event;
        bool more;
        put_legacy(&log, 4, EV_POST_CODE, ones, (Span) {});
        put_legacy(&log, UINT32_MAX, EV_NO_ACTION, ones, SPAN_OF("signed"));
        writer_span(&log, span_make(zeros, 40));
        assert_ok(eventlog_open(bytes_span(&log.output), &opened));
        size_t offset = 0;
        for (unsigned i = 0; i < 2; i++) {
                assert_ok(eventlog_next(opened, &event, &more));
                assert_true(more);
                assert_int_equal(event.number, i);
        }
        assert_int_equal(event.pcr, UINT32_MAX);
        assert_true(span_equal(event.data, SPAN_OF("signed")));
        assert_ok(eventlog_next(opened, &event, &more));
        assert_false(more);
        assert_int_equal(eventlog_padding(opened, &offset), 40);
        assert_int_equal(offset, log.output.size - 40);
        assert_false(eventlog_is_crypto_agile(opened));
}

typedef struct Refusal {
        const char *name;
        void (*make)(Writer *log);
        ErrCode code;
} Refusal;

static void make_pcr_24(Writer *log) { put_legacy(log, 24, EV_POST_CODE, ones, (Span) {}); }
static void make_major_1(Writer *log) { put_spec_id(log, 1, sha256_only, 1, 1); }
static void make_no_algorithm(Writer *log) { put_spec_id(log, 2, sha256_only, 0, 0); }
static void make_many_algorithms(Writer *log) { put_spec_id(log, 2, sha256_only, 1, UINT32_MAX); }
static void make_wrapping_algorithms(Writer *log) { put_spec_id(log, 2, sha256_only, 1, 0x40000001); }
static void make_wrong_size(Writer *log) { put_spec_id(log, 2, (SpecAlg[]) { { HASH_SHA256, 20 } }, 1, 1); }
static void make_huge_size(Writer *log) { put_spec_id(log, 2, (SpecAlg[]) { { 0x7777, 65 } }, 1, 1); }
static void make_no_size(Writer *log) { put_spec_id(log, 2, (SpecAlg[]) { { 0x7777, 0 } }, 1, 1); }

static void make_many_digests(Writer *log) {
        put_spec_id(log, 2, sha256_only, 1, 1);
        writer_u32le(log, 0);
        writer_u32le(log, EV_POST_CODE);
        writer_u32le(log, UINT32_MAX);
        writer_span(log, SPAN_OF(ones));
}

static void make_no_digest(Writer *log) {
        put_spec_id(log, 2, sha256_only, 1, 1);
        put_agile(log, 0, EV_POST_CODE, sha256_only, 0, SPAN_OF("x"));
}

static void make_foreign_algorithm(Writer *log) {
        put_spec_id(log, 2, sha256_only, 1, 1);
        put_agile(log, 0, EV_POST_CODE, (SpecAlg[]) { { 0x7777, 24 } }, 1, SPAN_OF("x"));
}

static void make_huge_event(Writer *log) {
        put_legacy(log, 0, EV_POST_CODE, ones, (Span) {});
        writer_u32le(log, 0);
        writer_u32le(log, EV_POST_CODE);
        writer_span(log, span_make(ones, 20));
        writer_u32le(log, UINT32_MAX);
        writer_span(log, SPAN_OF(ones));
}

static void make_cut_event(Writer *log) {
        put_legacy(log, 0, EV_POST_CODE, ones, SPAN_OF("0123456789"));
        log->output.size -= 4;
}

static void make_cut_header(Writer *log) {
        put_legacy(log, 0, EV_POST_CODE, ones, SPAN_OF("0123456789"));
        writer_u32le(log, 7);
}

static void make_data_behind_padding(Writer *log) {
        put_spec_id(log, 2, sha256_only, 1, 1);
        writer_span(log, SPAN_OF(zeros));
        writer_u8(log, 1);
}

static void test_eventlog_replay_impossible_log_is_refused_as_a_whole(void **state) {
        static const Refusal cases[] = {
                { "PCR 24", make_pcr_24, ERR_EVENTLOG_MALFORMED },
                { "major version 1", make_major_1, ERR_EVENTLOG_MALFORMED },
                { "no algorithm", make_no_algorithm, ERR_EVENTLOG_MALFORMED },
                { "2^32-1 algorithms", make_many_algorithms, ERR_EVENTLOG_MALFORMED },
                { "2^30+1 algorithms", make_wrapping_algorithms, ERR_EVENTLOG_MALFORMED },
                { "wrong digest size", make_wrong_size, ERR_EVENTLOG_MALFORMED },
                { "huge digest size", make_huge_size, ERR_EVENTLOG_MALFORMED },
                { "no digest size", make_no_size, ERR_EVENTLOG_MALFORMED },
                { "2^32-1 digests", make_many_digests, ERR_EVENTLOG_MALFORMED },
                { "no digest", make_no_digest, ERR_EVENTLOG_MALFORMED },
                { "algorithm of no Spec ID", make_foreign_algorithm, ERR_EVENTLOG_MALFORMED },
                { "huge event", make_huge_event, ERR_EVENTLOG_MALFORMED },
                { "cut event", make_cut_event, ERR_LOG_TRUNCATED },
                { "cut header", make_cut_header, ERR_LOG_TRUNCATED },
                { "data behind padding", make_data_behind_padding, ERR_EVENTLOG_MALFORMED },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_writer_ Writer log = {};
                EventLogReplay replay = { .n_events = 12345 };
                cases[i].make(&log);
                Err *err = eventlog_replay(bytes_span(&log.output), &replay);
                if (err_code(err) != cases[i].code)
                        print_error("%s: %s\n", cases[i].name, err ? err_describe(err) : "accepted");
                assert_err(err, cases[i].code);
                assert_int_equal(replay.n_events, 12345);
        }
}

/* Padding is looked for once: this took minutes if it were looked for at every record. */
static void test_eventlog_replay_many_zero_records_end_soon(void **state) {
        Bytes log;
        EventLogReplay replay;
        assert_ok(bytes_alloc((size_t) 8 << 20, &log));
        log.data[log.size - 1] = 1; /* so the zeros before it are records, not padding */
        Err *err = eventlog_replay(bytes_span(&log), &replay);
        assert_non_null(err);
        err_free(err);
        bytes_done(&log);
}

/* Events 0 and 1 extend PCR 4, event 2 PCR 6. The values: PCR 4 after event 0, PCR 5 and 6 something else. */
static void test_mismatch_describe_says_which_event(void **state) {
        _cleanup_writer_ Writer log = {};
        _cleanup_bytes_ Bytes text = {};
        _cleanup_free_ char *why = NULL;
        Digest other = digest_zero(HASH_SHA1);
        other.bytes[0] = 1;
        PcrBank quoted = { .alg = HASH_SHA1, .mask = PCR_MASK_ALL, .values[4] = digest_zero(HASH_SHA1), .values[5] = other, .values[6] = other };
        put_legacy(&log, 4, EV_POST_CODE, ones, (Span) {});
        put_legacy(&log, 4, EV_POST_CODE, ones, (Span) {});
        put_legacy(&log, 6, EV_POST_CODE, ones, (Span) {});
        assert_ok(writer_finish(&log, &text));
        assert_ok(digest_extend(&quoted.values[4], span_make(ones, 20)));
        assert_ok(eventlog_mismatch_describe(bytes_span(&text), &quoted, 0x70, &why));
        assert_non_null(strstr(why, "PCR 4 has the value before event 1,"));
        assert_non_null(strstr(why, "no event that extends PCR 5 "));
        assert_non_null(strstr(why, "no more events for PCR 6 behind event 2, the last of 1,"));
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_mismatch_describe_says_which_event),
                cmocka_unit_test(test_eventlog_open_nothing_is_empty),
                cmocka_unit_test(test_eventlog_replay_unknown_algorithm_is_read_and_left_out),
                cmocka_unit_test(test_eventlog_replay_start_of_pcr0_comes_from_first_event_that_sets_it),
                cmocka_unit_test(test_eventlog_replay_second_spec_id_changes_algorithms),
                cmocka_unit_test(test_eventlog_replay_crypto_agile_log_behind_sha1_log_is_read),
                cmocka_unit_test(test_eventlog_next_no_action_may_name_any_pcr),
                cmocka_unit_test(test_eventlog_replay_impossible_log_is_refused_as_a_whole),
                cmocka_unit_test(test_eventlog_replay_many_zero_records_end_soon),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
