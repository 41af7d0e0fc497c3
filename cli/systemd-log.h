/* attestctl eventlog on systemd's own measurement log: see tcg/userspace-log.h. */
#pragma once

#include "base/bytes.h"
#include "cli/cli.h"
#include "tcg/eventlog.h"

#define SYSTEMD_LOG_DEFAULT "/run/log/systemd/tpm2-measure.log"

typedef struct SystemdLogView {
        uint32_t pcrs;         /* to be shown; records of NV indices only with all */
        bool running;          /* show the PCR after each record */
} SystemdLogView;

bool systemd_log_detect(Span input);
/* Checks the whole log, then shows the records and what they replay to from PCRs at their start value. Errors: those of the log; nothing is shown then. */
Err *systemd_log_show(Span input, const SystemdLogView *view) _must_check_;

/* The log behind a firmware log. */
typedef struct SystemdLogAnnex {
        char *path;
        const char *state;     /* "ok", "missing", "empty", "unreadable", "malformed", "truncated" */
        Bytes input;
        Err *error;            /* where the state is neither ok nor, at the default path, missing or empty */
        PcrValues start;       /* where the firmware log ended */
} SystemdLogAnnex;
void systemd_log_annex_done(SystemdLogAnnex *annex);
#define _cleanup_systemd_log_annex_ _cleanup_(systemd_log_annex_done)
/* Reads and checks it, and extends replay by it if it is whole. path NULL: the default one. What is wrong with the log is its state; errors are memory alone. */
Err *systemd_log_annex_read(const char *path, EventLogReplay *replay, SystemdLogAnnex *ret) _must_check_;
Err *systemd_log_annex_print(const SystemdLogAnnex *annex, const SystemdLogView *view) _must_check_;
/* {"path":…,"state":…,"reason":…,"events":[…]} */
Err *systemd_log_annex_to_json(const SystemdLogAnnex *annex, const SystemdLogView *view, Json **ret) _must_check_;
