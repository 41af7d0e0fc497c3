/* Runs a program that makes a report: the request on its standard input, the report on its standard output. */
#pragma once

#include "base/bytes.h"

/* No shell, no arguments; an environment of PATH alone; a process group of its own, of which nothing is left when this returns. request is small (a pipe
 * holds it). Errors: VBS_REPORT_UNAVAILABLE: it cannot be started, or ended with another status than 0 (with the end of what it wrote
 * to standard error); TIMEOUT; LIMIT_EXCEEDED: more than VSM_REPORT_SIZE_MAX on standard output. */
Err *vbs_command_run(const char *path, Span request, uint64_t timeout_usec, Bytes *ret_output) _must_check_;
