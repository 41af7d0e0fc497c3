/* Answers of attestd-tpm as values: dictionaries a{sv} read by a table of their fields.
 *
 * The answers come from a process of ours, yet they are checked like any input: types by sd-bus, and here presence, duplicates,
 * and sizes. A key that the table does not name is skipped, so that a newer collector may say more. */
#pragma once

#include <systemd/sd-bus.h>

#include "tcg/evidence.h"

struct CollectorEndorsement;
struct CollectorInfo;

/* Body of a GetInfo, GetEndorsementKey or Quote reply. object is filled field by field; its owner frees it, also after a failure.
 * Error: COLLECTOR_ANSWER_INVALID naming the field. */
Err *answer_read_info(sd_bus_message *reply, struct CollectorInfo *info) _must_check_;
Err *answer_read_evidence(sd_bus_message *reply, Evidence *evidence) _must_check_;
/* Body of a GetVbsReport reply. Same error. */
Err *answer_read_report(sd_bus_message *reply, VsmReportKind *ret_kind, Bytes *ret_report) _must_check_;
Err *answer_read_endorsement(sd_bus_message *reply, struct CollectorEndorsement *endorsement) _must_check_;
/* What an error reply, or a call that got none, means. is_connected tells a lost connection from a timeout. Never NULL. */
Err *answer_error(const sd_bus_error *error, bool is_connected) _must_check_;
