/* Reading a measurement log for a verb, and showing replayed PCR values. */
#pragma once

#include "cli/cli.h"
#include "tcg/pcr.h"

/* path, or standard input if it is "-"; at most max bytes. */
Err *log_input_read(const char *path, size_t max, Bytes *ret) _must_check_;
/* {"sha256":{"0":"hex"}}: the PCRs in the mask of each bank and in only_pcrs. */
Err *log_pcrs_to_json(const PcrValues *pcrs, uint32_t only_pcrs, Json **ret) _must_check_;
void log_pcrs_print(const PcrValues *pcrs, uint32_t only_pcrs);
