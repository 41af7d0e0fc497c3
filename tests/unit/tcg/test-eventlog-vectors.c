/* Every third-party event log against the values that independent programs found, and prefixes of ten of them. */
#include "tests/support/vectors-tcg.h"

#include "tcg/eventlog.h"

#define PREFIX_EACH_MAX ((size_t) 64 << 10)  /* every prefix up to here, then one in PREFIX_STEP */
#define PREFIX_STEP 997

static void check_event(const Json *expected, const EventLogEvent *event) {
        int64_t pcr, offset, size;
        Json *digests;
        const char *type = eventlog_type_to_string(event->type);
        assert_ok(json_get_integer(expected, "pcr", &pcr));
        assert_ok(json_get_integer(expected, "off", &offset));
        assert_ok(json_get_integer(expected, "size", &size));
        assert_ok(json_get_object(expected, "digests", &digests));
        assert_int_equal(event->pcr, pcr);
        assert_int_equal(event->offset, offset);
        assert_int_equal(event->data.size, size);
        if (type)
                assert_string_equal(type, vector_string(expected, "type"));
        assert_int_equal(event->n_digests, json_object_object_length(digests));
        for (size_t i = 0; i < event->n_digests; i++)
                assert_hex(digest_span(&event->digests[i]), vector_string(digests, hash_name(event->digests[i].alg)), "event digest");
        Digest digest;
        assert_ok(hash_digest(HASH_SHA256, event->data, &digest));
        assert_hex(digest_span(&digest), vector_string(expected, "data_sha256"), "event data");
}

static void check_padding(const Json *expected, const EventLog *log) {
        Json *padding = json_get(expected, "padding");
        int64_t offset = 0, length = 0;
        size_t found_offset = 0, found = eventlog_padding(log, &found_offset);
        if (padding) {
                assert_ok(json_get_integer(padding, "offset", &offset));
                assert_ok(json_get_integer(padding, "length", &length));
        }
        assert_int_equal(found, length);
        if (found > 0)
                assert_int_equal(found_offset, offset);
}

static void check_events(const Json *expected, Span input) {
        _cleanup_(eventlog_freep) EventLog *log = NULL;
        Json *events;
        assert_ok(json_get_array(expected, "events", &events));
        assert_ok(eventlog_open(input, &log));
        assert_int_equal(eventlog_is_crypto_agile(log), string_equal(vector_string(expected, "format"), "crypto-agile"));
        for (size_t i = 0;; i++) {
                EventLogEvent event;
                bool more;
                assert_ok(eventlog_next(log, &event, &more));
                if (!more) {
                        assert_int_equal(i, json_object_array_length(events));
                        break;
                }
                assert_int_equal(event.number, i);
                check_event(json_object_array_get_idx(events, i), &event);
        }
        check_padding(expected, log);
}

static void check_log(const char *directory, const char *name) {
        _cleanup_bytes_ Bytes input = vector_file("%s/%s", directory, name);
        _cleanup_json_ Json *expected = vector_json(vector_file("%s/expected/%s.json", directory, name));
        const char *expect = vector_string(expected, "expect");
        EventLogReplay replay;
        Err *err = eventlog_replay(bytes_span(&input), &replay);
        if (string_equal(expect, "implementation-defined")) { /* ours: an empty log is an error */
                err_free(err);
                return;
        }
        if (string_equal(expect, "reject")) {
                assert_non_null(err);
                err_free(err);
                return;
        }
        if (err)
                print_error("%s\n", name);
        assert_ok(err);
        PcrValues pcrs = vector_pcrs(json_get(expected, "pcrs"));
        assert_pcrs_equal(&replay.pcrs, &pcrs, name);
        Json *locality = json_get(expected, "startup_locality");
        assert_int_equal(replay.startup_locality, locality ? json_object_get_int(locality) : -1);
        check_events(expected, bytes_span(&input));
}

static void test_eventlog_replay_vectors_give_expected_values(void **state) {
        char directory[4096];
        snprintf(directory, sizeof(directory), "%s/eventlog", vectors_or_skip());
        size_t n = vectors_each(directory, ".bin", check_log);
        print_message("%zu event logs\n", n);
        assert_true(n > 0);
}

/* Two logs one after the other (boot and resume): the records of both. */
static void test_eventlog_replay_two_logs_have_events_of_both(void **state) {
        const char *directory = vectors_or_skip();
        _cleanup_bytes_ Bytes first = vector_file("%s/eventlog/goatt-ubuntu_2104_shielded_vm_no_secure_boot_eventlog.bin", directory);
        _cleanup_bytes_ Bytes second = vector_file("%s/eventlog/goatt-incode-append_extra_log.bin", directory);
        _cleanup_bytes_ Bytes both = {};
        EventLogReplay replays[3];
        assert_ok(bytes_alloc(first.size + second.size, &both));
        memcpy(both.data, first.data, first.size); /* lint: allocated with both sizes above */
        memcpy(both.data + first.size, second.data, second.size); /* lint: the same */
        assert_ok(eventlog_replay(bytes_span(&first), &replays[0]));
        assert_ok(eventlog_replay(bytes_span(&second), &replays[1]));
        assert_ok(eventlog_replay(bytes_span(&both), &replays[2]));
        assert_int_equal(replays[2].n_events, replays[0].n_events + replays[1].n_events);
        /* PCR 8 goes on from the first log's value with the one digest of the second; the others stay. */
        _cleanup_(eventlog_freep) EventLog *log = NULL;
        EventLogEvent event;
        bool more;
        assert_ok(eventlog_open(bytes_span(&second), &log));
        assert_ok(eventlog_next(log, &event, &more));
        assert_ok(eventlog_next(log, &event, &more));
        PcrValues expected = replays[0].pcrs;
        for (size_t i = 0; i < event.n_digests; i++)
                assert_ok(digest_extend(&pcr_values_bank(&expected, event.digests[i].alg)->values[8], digest_span(&event.digests[i])));
        assert_pcrs_equal(&replays[2].pcrs, &expected, "two logs");
}

typedef struct Mark {
        size_t offset;
        uint32_t pcr, type;
} Mark;

static size_t mark_events(Span input, Mark *marks, size_t room) {
        _cleanup_(eventlog_freep) EventLog *log = NULL;
        assert_ok(eventlog_open(input, &log));
        for (size_t n = 0;; n++) {
                EventLogEvent event;
                bool more;
                assert_ok(eventlog_next(log, &event, &more));
                if (!more)
                        return n;
                assert_true(n < room);
                marks[n] = (Mark) { event.offset, event.pcr, event.type };
        }
}

/* The prefix, in memory of just its size, gives the first events of the whole log, and then ends or errs. */
static void check_prefix(Span input, size_t size, const Mark *marks, size_t n_marks) {
        _cleanup_(eventlog_freep) EventLog *log = NULL;
        uint8_t *prefix = malloc(size > 0 ? size : 1);
        assert_non_null(prefix);
        memcpy(prefix, input.data, size); /* lint: allocated with this size above */
        Err *err = eventlog_open(span_make(prefix, size), &log);
        for (size_t n = 0; !err; n++) {
                EventLogEvent event;
                bool more;
                err = eventlog_next(log, &event, &more);
                if (err || !more)
                        break;
                assert_true(n < n_marks);
                assert_true(event.offset == marks[n].offset && event.pcr == marks[n].pcr && event.type == marks[n].type);
                assert_true(event.offset < size);
        }
        if (err)
                assert_true(err_code(err) == ERR_LOG_TRUNCATED || err_code(err) == ERR_LOG_EMPTY || err_code(err) == ERR_EVENTLOG_MALFORMED);
        err_free(err);
        free(prefix);
}

static void test_eventlog_next_every_prefix_ends_or_errs(void **state) {
        static const char *const names[] = {
                "ccel-CCEL_unpadded.data.bin", "ccel-trustee-CCEL_data_csv.bin", "goatt-crypto_agile_eventlog.bin", "goatt-incode-event2_size_zero.bin",
                "goatt-sb_cert_eventlog.bin", "goatt-windows_gcp_shielded_vm.bin", "goel-linux_tpm12.bin", "guard-Haruhi.bin",
                "ibmtss-dell1.bin", "tss-binary_measurements_hcrtm.bin", "tss-specid-vendordata.bin",
        };
        const char *directory = vectors_or_skip();
        for (size_t i = 0; i < N_ELEMENTS(names); i++) {
                _cleanup_bytes_ Bytes input = vector_file("%s/eventlog/%s", directory, names[i]);
                Mark marks[512];
                size_t n = mark_events(bytes_span(&input), marks, N_ELEMENTS(marks));
                for (size_t size = 0; size < input.size; size += size < PREFIX_EACH_MAX ? 1 : PREFIX_STEP)
                        check_prefix(bytes_span(&input), size, marks, n);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_eventlog_replay_vectors_give_expected_values),
                cmocka_unit_test(test_eventlog_replay_two_logs_have_events_of_both),
                cmocka_unit_test(test_eventlog_next_every_prefix_ends_or_errs),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
