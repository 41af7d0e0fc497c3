/* What policies are told about TPM evidence. The real service's own decoding of a Windows machine's log is in the test vectors, or not: protocol documentation alone has
 * the rest, and the logs that are put together here are of the structures that Windows' wbcl.h draws. */
#include "tests/support/vectors.h"

#include <unistd.h>

#include "base/writer.h"
#include "maa/tpm-claims.h"
#include "tcg/service-events.h"
#include "tcg/verdict.h"

#define EV_EVENT_TAG 6u
#define EV_SEPARATOR 4u
#define EV_EFI_ACTION 0x80000007u

/* ---- logs ---- */

static void write_spec_id(Writer *log) {
        static const uint8_t zeros[20];
        writer_u32le(log, 0);
        writer_u32le(log, 3);
        writer_span(log, SPAN_OF(zeros));
        writer_u32le(log, 33);
        writer_span(log, span_make("Spec ID Event03", 16));
        writer_span(log, span_make("\0\0\0\0" "\0\2\0\2" "\1\0\0\0" "\x0b\0\x20\0" "\0", 17));
}

static void write_record(Writer *log, uint32_t pcr, uint32_t type, const Digest *digest, Span data) {
        writer_u32le(log, pcr);
        writer_u32le(log, type);
        writer_u32le(log, 1);
        writer_u16le(log, HASH_SHA256);
        writer_span(log, digest_span(digest));
        writer_u32le(log, (uint32_t) data.size);
        writer_span(log, data);
}

static void write_event(Writer *log, uint32_t pcr, uint32_t type, Span data) {
        Digest digest;
        assert_ok(hash_digest(HASH_SHA256, data, &digest));
        write_record(log, pcr, type, &digest, data);
}

static void write_tag(Writer *tags, uint32_t tag, Span data) {
        writer_u32le(tags, tag);
        writer_u32le(tags, (uint32_t) data.size);
        writer_span(tags, data);
}

/* A trust boundary with one tag of one byte in it. */
static void write_boolean(Writer *log, uint32_t pcr, uint32_t tag, uint8_t value) {
        _cleanup_writer_ Writer inner = {}, outer = {};
        write_tag(&inner, tag, span_make(&value, 1));
        write_tag(&outer, 0x40010001, bytes_span(&inner.output));
        write_event(log, pcr, EV_EVENT_TAG, bytes_span(&outer.output));
}

/* The replayed values of the log as quoted ones. */
typedef struct Machine {
        Bytes log;
        PcrValues pcrs;
        PcrVerdict verdicts[PCR_COUNT];
} Machine;

static void machine_done(Machine *machine) {
        bytes_done(&machine->log);
}

static void machine_make(Writer *log, Machine *ret) {
        EventLogReplay replay;
        assert_ok(writer_finish(log, &ret->log));
        assert_ok(eventlog_replay(bytes_span(&ret->log), &replay));
        ret->pcrs = replay.pcrs;
        verdict_for_pcrs(&ret->pcrs, &replay, NULL, ret->verdicts);
}

static void claims_of(const Machine *machine, TpmClaims *ret) {
        const TpmClaimsInput input = { .current = { .pcrs = &machine->pcrs, .verdicts = machine->verdicts, .boot_log = &machine->log } };
        assert_ok(tpm_claims_make(&input, ret));
}

static bool claim(const TpmClaims *claims, const char *name) {
        bool value;
        assert_ok(json_get_boolean(claims->claims, name, &value));
        return value;
}

static Json *events_of(const TpmClaims *claims) {
        const char *text;
        Json *json;
        assert_ok(json_get_string(claims->evidence, "events", &text));
        assert_ok(json_parse(span_from_string(text), "events", &json));
        return json;
}

/* ---- what Windows measured ---- */

static void test_tpm_claims_follow_the_documented_rules(void **state) {
        static const struct {
                const char *name, *claim;
                struct { uint32_t pcr, tag; uint8_t value; } tags[4];
                size_t n;
                bool expected;
        } cases[] = {
                { "no debugging", "bootDebuggingDisabled", { { 12, 0x40001, 0 }, { 13, 0x40001, 0 } }, 2, true },
                { "debugging once", "bootDebuggingDisabled", { { 12, 0x40001, 0 }, { 13, 0x40001, 1 } }, 2, false },
                { "not measured", "bootDebuggingDisabled", {}, 0, false },
                { "another PCR", "bootDebuggingDisabled", { { 11, 0x40001, 0 } }, 1, false },
                { "another PCR does not count", "bootDebuggingDisabled", { { 12, 0x40001, 0 }, { 14, 0x40001, 1 } }, 2, true },
                { "no boolean", "bootDebuggingDisabled", { { 12, 0x40001, 2 } }, 1, false },
                { "not safe mode", "notSafeMode", { { 13, 0x50005, 0 } }, 1, true },
                { "safe mode", "notSafeMode", { { 13, 0x50005, 1 } }, 1, false },
                { "not WinPE", "notWinPE", { { 12, 0x50006, 0 } }, 1, true },
                { "WinPE", "notWinPE", { { 12, 0x50006, 1 } }, 1, false },
                { "IOMMU", "iommuEnabled", { { 12, 0xa0003, 1 } }, 1, true },
                { "no IOMMU", "iommuEnabled", { { 12, 0xa0003, 1 }, { 13, 0xa0003, 0 } }, 2, false },
                { "VSM", "vbsEnabled", { { 12, 0xa0001, 1 } }, 1, true },
                { "VSM in the operating system's PCR", "vbsEnabled", { { 13, 0xa0001, 1 } }, 1, false },
                { "mandatory", "vbsEnabled", { { 12, 0xa0006, 1 } }, 1, true },
                { "VSM, not mandatory", "vbsEnabled", { { 12, 0xa0001, 1 }, { 12, 0xa0006, 0 } }, 2, false },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_writer_ Writer log = {};
                _cleanup_(machine_done) Machine machine = {};
                _cleanup_tpm_claims_ TpmClaims claims = {};
                write_spec_id(&log);
                for (size_t j = 0; j < cases[i].n; j++)
                        write_boolean(&log, cases[i].tags[j].pcr, cases[i].tags[j].tag, cases[i].tags[j].value);
                machine_make(&log, &machine);
                claims_of(&machine, &claims);
                if (claim(&claims, cases[i].claim) != cases[i].expected)
                        fail_msg("%s: %s is %s", cases[i].name, cases[i].claim, cases[i].expected ? "false" : "true");
        }
}

static void test_tpm_claims_of_pcrs_that_the_log_does_not_explain_are_not_there(void **state) {
        _cleanup_writer_ Writer log = {};
        _cleanup_(machine_done) Machine machine = {};
        write_spec_id(&log);
        write_boolean(&log, 12, 0x40001, 0);
        write_event(&log, 4, EV_EFI_ACTION, span_make("Calling EFI Application", 23));
        machine_make(&log, &machine);
        for (unsigned wrong = 0; wrong < 2; wrong++) {
                _cleanup_tpm_claims_ TpmClaims claims = {};
                if (wrong)
                        machine.verdicts[12] = PCR_UNEXPLAINED;
                claims_of(&machine, &claims);
                _cleanup_json_ Json *events = events_of(&claims);
                assert_int_equal(json_object_array_length(json_get(events, "Events")), wrong ? 1 : 2);
                assert_int_equal(claim(&claims, "bootDebuggingDisabled"), !wrong);
        }
}

/* The digest is extended, so that it is what is proven: data beside another one are anybody's. */
static void test_service_events_data_that_its_digest_is_not_of_is_not_decoded(void **state) {
        _cleanup_writer_ Writer log = {}, inner = {}, outer = {};
        _cleanup_(machine_done) Machine machine = {};
        _cleanup_tpm_claims_ TpmClaims claims = {};
        Digest other;
        write_tag(&inner, 0x40001, span_make("\0", 1));
        write_tag(&outer, 0x40010001, bytes_span(&inner.output));
        assert_ok(hash_digest(HASH_SHA256, span_from_string("what was measured"), &other));
        write_spec_id(&log);
        write_record(&log, 12, EV_EVENT_TAG, &other, bytes_span(&outer.output));
        machine_make(&log, &machine);
        claims_of(&machine, &claims);
        _cleanup_json_ Json *events = events_of(&claims);
        const Json *event = json_object_array_get_idx(json_get(events, "Events"), 0);
        assert_non_null(json_get(event, "RawData"));
        assert_null(json_get(event, "EventTypeString"));
        assert_null(json_get(event, "ProcessedData"));
        assert_false(claim(&claims, "bootDebuggingDisabled"));
}

static void test_service_events_repeated_tags_become_lists(void **state) {
        static const struct { const char *tags, *expected; size_t size; } cases[] = {
                { "\x01\x00\x04\x00\x01\0\0\0\0" "\x01\x00\x04\x00\x01\0\0\0\1", "{\"EVENT_BOOTDEBUGGING\":[false,true]}", 18 },
                { "\x02\x00\x06\x00\x01\0\0\0k", "{\"EVENT_AUTHORITYPUBKEY\":[\"aw\"]}", 9 },
                { "\x03\x00\x01\x40\x09\0\0\0" "\x0b\x00\x07\x00\x01\0\0\0\7", "{\"EVENT_LOADEDMODULE_AGGREGATION\":[{\"EVENT_MODULE_SVN\":7}]}", 17 },
                { "\x0a\x00\x05\x00\x08\0\0\0\1\0\0\0\0\0\0\0", "{\"EVENT_HYPERVISOR_LAUNCH_TYPE\":{\"String\":\"HypervisorLaunchAuto\",\"Value\":1}}", 16 },
                { "\x0a\x00\x05\x00\x08\0\0\0\x09\0\0\0\0\0\0\0", "{\"EVENT_HYPERVISOR_LAUNCH_TYPE\":{\"Value\":9}}", 16 },
                { "\x09\x00\x05\x00\x06\0\0\0C\0:\0\0\0", "{\"EVENT_SYSTEMROOT\":\"C:\"}", 14 },
                { "\x99\x00\x05\x00\x01\0\0\0\1", NULL, 9 },            /* unknown */
                { "\x01\x00\x04\x00\x02\0\0\0\0", NULL, 9 },            /* longer than the event */
                { "\x01\x00\x04\x00", NULL, 4 },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_json_ Json *json = NULL;
                _cleanup_free_ char *text = NULL;
                assert_ok(service_event_tagged(span_make(cases[i].tags, cases[i].size), &json));
                if (!cases[i].expected) {
                        assert_null(json);
                        continue;
                }
                assert_non_null(json);
                assert_ok(json_to_string(json, &text));
                assert_string_equal(text, cases[i].expected);
        }
}

static char *events_text(Span log) {
        _cleanup_json_ Json *json = NULL;
        char *text;
        _cleanup_(err_freep) Err *err = service_events_decode(&(ServiceEventsInput) { .boot_log = &log, .proven_pcrs = 0xffffff }, &json);
        if (err)
                return NULL;
        assert_ok(json_to_string(json, &text));
        return text;
}

/* What a prefix of a real log yields is the beginning of what the log yields, or an error. */
static void test_service_events_of_every_prefix_of_a_real_log_are_the_first_ones(void **state) {
        _cleanup_bytes_ Bytes log = {};
        _cleanup_free_ char *path = NULL, *whole = NULL;
        size_t n_read = 0;
        assert_ok(string_format(&path, "%s/tests/data/ovmf/boot.log", getenv("ATTESTD_SOURCE")));
        assert_ok(file_read(path, 1 << 20, &log));
        whole = events_text(bytes_span(&log));
        assert_non_null(whole);
        for (size_t size = 1; size <= log.size; size++) {
                _cleanup_free_ char *text = events_text(span_make(log.data, size));
                if (!text)
                        continue;
                assert_memory_equal(text, whole, strlen(text) - 2);   /* without "]}" */
                n_read++;
        }
        assert_true(n_read >= 23 && n_read < log.size / 2); /* each of its records ends somewhere */
}

/* ---- recorded ---- */

static bool vector_exists(const char *name) {
        _cleanup_free_ char *path = NULL;
        assert_ok(string_format(&path, "%s/%s", vectors_directory(), name));
        return access(path, R_OK) == 0;
}

static void write_gap(Writer *log, int64_t *sequence, int64_t until) {
        static const Digest zero = { .alg = HASH_SHA256, .size = 32 };
        for (; *sequence < until; (*sequence)++)
                write_record(log, 0, 3, &zero, (Span) {});
}

/* The log that the service has decoded: it shows each event's type, digest and data, and leaves those of no action out. */
static void rebuild_log(const Json *events, Writer *log) {
        int64_t sequence = 1;
        write_spec_id(log);
        for (size_t i = 0; i < json_object_array_length(events); i++) {
                const Json *event = json_object_array_get_idx(events, i);
                _cleanup_bytes_ Bytes data = {}, bytes = {};
                int64_t number, pcr, type;
                assert_ok(json_get_integer(event, "EventSeq", &number));
                assert_ok(json_get_integer(event, "PcrIndex", &pcr));
                assert_ok(json_get_integer(event, "EventType", &type));
                assert_ok(json_get_base64url(event, "RawData", &data));
                assert_ok(json_get_base64url(json_get(event, "Digests"), "SHA256", &bytes));
                Digest digest = digest_make(HASH_SHA256, bytes_span(&bytes));
                write_gap(log, &sequence, number);
                write_record(log, (uint32_t) pcr, (uint32_t) type, &digest, bytes_span(&data));
                sequence++;
        }
}

static void test_tpm_claims_of_a_recorded_token_are_the_service_s_own(void **state) {
        static const char *const name = "maa/tpm/report_boot-root.events.json";
        static const struct { const char *claim; bool value; } expected[] = {   /* read by hand from that log */
                { "secureBootEnabled", true }, { "iommuEnabled", true }, { "bootDebuggingDisabled", true }, { "notSafeMode", true },
                { "notWinPE", true },          { "vbsEnabled", true },   { "vbsReportPresent", false },
        };
        vectors_need();
        if (!vector_exists(name)) {
                print_message("SKIPPED: the vectors have no %s\n", name);
                skip();
        }
        _cleanup_json_ Json *recorded = vector_read_json(name), *sorted = NULL;
        _cleanup_writer_ Writer log = {};
        _cleanup_(machine_done) Machine machine = {};
        _cleanup_tpm_claims_ TpmClaims claims = {};
        _cleanup_free_ char *want = NULL;
        const char *text;
        rebuild_log(json_get(recorded, "Events"), &log);
        machine_make(&log, &machine);
        claims_of(&machine, &claims);
        assert_ok(json_sort(recorded, &sorted));
        assert_ok(json_to_string(sorted, &want));
        assert_ok(json_get_string(claims.evidence, "events", &text));
        assert_string_equal(text, want);
        for (size_t i = 0; i < N_ELEMENTS(expected); i++)
                assert_int_equal(claim(&claims, expected[i].claim), expected[i].value);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_tpm_claims_follow_the_documented_rules),
                cmocka_unit_test(test_tpm_claims_of_pcrs_that_the_log_does_not_explain_are_not_there),
                cmocka_unit_test(test_service_events_data_that_its_digest_is_not_of_is_not_decoded),
                cmocka_unit_test(test_service_events_repeated_tags_become_lists),
                cmocka_unit_test(test_service_events_of_every_prefix_of_a_real_log_are_the_first_ones),
                cmocka_unit_test(test_tpm_claims_of_a_recorded_token_are_the_service_s_own),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
