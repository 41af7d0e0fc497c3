/* systemd's measurement log. Seeds: in run-fuzz.py. */
#include "tcg/userspace-log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const PcrValues quoted = {};
        EventLogReplay replay = { .startup_locality = -1 };
        Err *err = userspace_log_replay(span_make(data, size), &quoted, &replay);
        if (err && err_code(err) != ERR_EVENTLOG_MALFORMED && err_code(err) != ERR_LOG_TRUNCATED)
                abort();
        if (err && replay.pcrs.n_banks > 0)
                abort();
        err_free(err);
        return 0;
}
