/* Do the digests of an event cover the event data that stands beside them? For some types they must (a variable, an action), for others they may (IPL
 * texts, tags), and for the rest they are of something that the log does not hold (images, firmware). */
#pragma once

#include "tcg/eventlog.h"

typedef enum EventLogDigestCheck {
        EVENTLOG_DIGEST_NOT_CHECKABLE,
        EVENTLOG_DIGEST_OK,
        EVENTLOG_DIGEST_DIFFERS,
} EventLogDigestCheck;

/* All digests whose algorithm is known must be of the same bytes. */
Err *eventlog_digest_check(const EventLogEvent *event, EventLogDigestCheck *ret) _must_check_;
/* Is this the digest of an error separator: of u32 1 instead of the data? (PFP 1.06 §10.4.1 EV_SEPARATOR) */
Err *eventlog_digest_is_error_separator(const EventLogEvent *event, bool *ret) _must_check_;
