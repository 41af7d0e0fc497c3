/* The measurement log that systemd keeps in user space, /run/log/systemd/tpm2-measure.log: what systemd-pcrextend, systemd-cryptsetup and others extended
 * after the firmware's log had ended (PCRs 9, 11, 12, 13, 15). Documented in systemd-pcrextend(8) and https://systemd.io/TPM2_PCR_MEASUREMENTS.
 *
 * It explains values on this machine; the attestation protocol has no place for it, and it is never sent. */
#pragma once

#include "base/json.h"
#include "tcg/eventlog.h"

#define USERSPACE_RECORD_MAX 65536   /* bytes; systemd's own have a few hundred */

typedef struct UserspaceLog {
        Span input;
        size_t offset;
        uint64_t n_records;
} UserspaceLog;

typedef struct UserspaceRecord {
        uint64_t number;
        size_t offset;
        bool has_pcr;                     /* others are of NV indices */
        uint32_t pcr;
        size_t n_digests;                 /* of algorithms that are known */
        Digest digests[HASH_ALGS_MAX];
        const char *text, *event_type;    /* "phase:sysinit", "phase"; borrowed from json, NULL where absent */
        Json *json;
} UserspaceRecord;
void userspace_record_done(UserspaceRecord *record);
#define _cleanup_userspace_record_ _cleanup_(userspace_record_done)

/* *ret_more false at the end. Errors: EVENTLOG_MALFORMED with offset, LOG_TRUNCATED (the last record is cut). */
Err *userspace_log_next(UserspaceLog *log, UserspaceRecord *ret, bool *ret_more) _must_check_;

/* Extends values, whose PCRs begin at zero where they have none, by one record; not where a PCR has the value that quoted (NULL: nothing) has for it. */
Err *userspace_record_extend(const UserspaceRecord *record, const PcrValues *quoted, PcrValues *values) _must_check_;

/* Extends what replay has, the firmware log's end, by the records. Where a PCR has got the value that quoted has for it, later records of it are left out: they came after
 * the quote. Whole log or an error, and replay unchanged. An empty log has no record. */
Err *userspace_log_replay(Span input, const PcrValues *quoted, EventLogReplay *replay) _must_check_;
