/* Firmware event logs: opening, every record decoded and its digest checked, replay. Seeds: eventlog/ of the vectors. */
#include "base/utf8.h"
#include "tcg/eventlog-decode.h"
#include "tcg/eventlog-digest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text) {
        if (utf8_valid_size(span_from_string(text)) != strlen(text))
                abort();
        for (const char *c = text; *c; c++)
                if ((uint8_t) *c < 0x20 && *c != '\n')
                        abort();
}

/* Every decoder sees every event's data. */
static Err *decode_as_all(EventLogEvent event) {
        static const uint32_t types[] = { 1, 3, 4, 6, 8, 0xd, 0x13, 0x80000001, 0x80000002, 0x80000003, 0x80000006, 0x80000008, 0x80000009,
                                          0x8000000a, 0x8000000b, 0x800000e0 };
        for (size_t i = 0; i <= N_ELEMENTS(types); i++) {
                _cleanup_eventlog_decoded_ EventLogDecoded decoded = {};
                _cleanup_free_ char *json = NULL;
                EventLogDigestCheck check;
                TRY(eventlog_decode(&event, &decoded));
                TRY(eventlog_digest_check(&event, &check));
                TRY(json_to_string(decoded.json, &json));
                check_text(decoded.summary);
                check_text(decoded.details);
                check_text(json);
                if (i < N_ELEMENTS(types))
                        event.type = types[i];
        }
        return NULL;
}

static Err *walk(Span input, uint64_t *ret_n) {
        _cleanup_(eventlog_freep) EventLog *log = NULL;
        size_t last = 0;
        TRY(eventlog_open(input, &log));
        for (*ret_n = 0;; (*ret_n)++) {
                EventLogEvent event;
                bool more;
                TRY(eventlog_next(log, &event, &more));
                if (!more)
                        return NULL;
                if (event.number != *ret_n || event.offset < last || event.data.size > input.size)
                        abort();
                last = event.offset;
                TRY(decode_as_all(event));
        }
}

/* Walking and replaying agree on whether the log is whole, and on how many records it has. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        EventLogReplay replay;
        uint64_t n = 0;
        Err *walked = walk(span_make(data, size), &n), *replayed = eventlog_replay(span_make(data, size), &replay);
        if (err_code(walked) != err_code(replayed) || (!walked && replay.n_events != n))
                abort();
        err_free(walked);
        err_free(replayed);
        return 0;
}
