/* Firmware event logs: opening, every record with its description, replay. Seeds: eventlog/ of the vectors. */
#include "tcg/eventlog-describe.h"
#include "tcg/eventlog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static Err *walk(Span input, uint64_t *ret_n) {
        _cleanup_(eventlog_freep) EventLog *log = NULL;
        size_t last = 0;
        TRY(eventlog_open(input, &log));
        for (*ret_n = 0;; (*ret_n)++) {
                _cleanup_free_ char *text = NULL;
                EventLogEvent event;
                bool more;
                TRY(eventlog_next(log, &event, &more));
                if (!more)
                        return NULL;
                if (event.number != *ret_n || event.offset < last || event.data.size > input.size)
                        abort();
                last = event.offset;
                TRY(eventlog_describe(&event, &text));
                for (const char *c = text; *c; c++)
                        if (*c < 0x20 || *c > 0x7e)
                                abort();
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
