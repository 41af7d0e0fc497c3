/* TCG firmware event log: crypto-agile (TCG PFP 1.06 §10.2) and SHA-1-only (TCG PC Client 1.2) records.
 *
 * Parsing is an iterator over borrowed bytes; replay extends PCR banks as the firmware did: EV_NO_ACTION is not extended, StartupLocality
 * and H-CRTM set PCR 0's start value, padding (all 0x00 or all 0xff) after the last record ends the log. */
#pragma once

#include "tcg/pcr.h"

#define EVENTLOG_SIZE_MAX (UINT64_C(16) << 20)  /* far above the largest seen; the kernel's own log areas are below 1 MiB */

typedef struct EventLogEvent {
        uint64_t number;       /* from 0, the Spec ID record included */
        size_t offset;
        uint32_t pcr;
        uint32_t type;
        size_t n_digests;
        Digest digests[HASH_ALGS_MAX];
        Span data;
} EventLogEvent;

typedef struct EventLog EventLog;
/* input must outlive the object. Reads the Spec ID record if there is one. Error: EVENTLOG_MALFORMED with offset;
 * an empty input: LOG_EMPTY. */
Err *eventlog_open(Span input, EventLog **ret) _must_check_;
EventLog *eventlog_free(EventLog *log);
DEFINE_CLEANUP(EventLog, eventlog_free)
/* *ret_more == false at the end (ret is untouched). Errors: EVENTLOG_MALFORMED, LOG_TRUNCATED (record cut by the end of input). */
Err *eventlog_next(EventLog *log, EventLogEvent *ret, bool *ret_more) _must_check_;
bool eventlog_is_crypto_agile(const EventLog *log);
size_t eventlog_banks(const EventLog *log, uint16_t ret_algs[HASH_ALGS_MAX]);
size_t eventlog_padding(const EventLog *log, size_t *ret_offset);   /* bytes of padding found at the end, after the last next() */

const char *eventlog_type_to_string(uint32_t type);   /* "EV_SEPARATOR"; NULL if unknown */

typedef struct EventLogReplay {
        PcrValues pcrs;               /* mask: PCRs that the log mentions */
        uint64_t n_events;
        int startup_locality;         /* -1 if the log has none */
} EventLogReplay;
/* eventlog_next(), and the event is extended into replay, which starts as { .startup_locality = -1 }. */
Err *eventlog_replay_next(EventLog *log, EventLogReplay *replay, EventLogEvent *ret, bool *ret_more) _must_check_;
/* Whole log or an error: no partial value is ever returned. */
Err *eventlog_replay(Span input, EventLogReplay *ret) _must_check_;
