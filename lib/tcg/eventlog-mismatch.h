/* Why a firmware log does not yield the values that PCRs have: for people, after the replay has said that it does not. */
#pragma once

#include "tcg/eventlog.h"

/* One sentence about each PCR of mask, whose value in quoted the log does not yield: the log has no event for it, the value is that before some event (which was
 * logged and not extended), or its last event is behind all that the log knows. input parses to its end. */
Err *eventlog_mismatch_describe(Span input, const PcrBank *quoted, uint32_t mask, char **ret) _must_check_;
