/* attestctl eventlog on systemd's own measurement log: see tcg/userspace-log.h. */
#pragma once

#include "base/bytes.h"
#include "cli/cli.h"

bool systemd_log_detect(Span input);
/* Checks the whole log, then shows the records of pcrs and what they replay to from PCRs at their start value. Errors: those of the log; nothing is shown then. */
Err *systemd_log_show(Span input, uint32_t pcrs) _must_check_;
