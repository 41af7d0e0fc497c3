/* How times, durations and PCR verdicts read for people. Pure functions: the caller says what time it is. */
#pragma once

#include "base/json.h"

/* "40 us", "3 ms", "1.2 s", "12 s", "3 min 20 s", "7 h 59 min", "2 d 3 h"; in a buffer of FORMAT_SIZE, which is returned. */
#define FORMAT_SIZE 64
const char *format_duration(uint64_t usec, char buffer[FORMAT_SIZE]);
/* "in 7 h 59 min", "3 min 20 s ago", "now"; "never" for 0. Below a second counts as now. */
const char *format_relative(uint64_t when_usec, uint64_t now_usec, char buffer[FORMAT_SIZE]);
/* "2026-11-23 22:10:00 UTC" in the local time zone; "never" for 0. */
const char *format_time(uint64_t when_usec, char buffer[FORMAT_SIZE]);
/* {"0":"replayed","1":"replayed","10":"unexplained"} -> "replayed 0-1; unexplained 10"; "" if there is none. */
Err *format_verdicts(const Json *verdicts, char **ret) _must_check_;

/* Escape sequence of a state's colour (attested green, degraded and starting yellow, failed red), "" where colour is off or the state has none. */
const char *format_state_colour(const char *state, bool use_colour);
const char *format_colour_end(bool use_colour);
