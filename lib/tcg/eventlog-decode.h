/* What an event says, decoded by its type: one line for people, further lines where there is more to tell, and all of it as JSON.
 *
 * Firmware wrote the data and may have written anything: data that does not parse as its type says is no error here but a "problem" of the result.
 * All text is printable (efi-text.h). */
#pragma once

#include "base/json.h"
#include "base/reader.h"
#include "base/writer.h"
#include "tcg/eventlog.h"

typedef struct EventLogDecoded {
        Json *json;             /* {"kind":…,…,"problem":…} */
        char *summary;          /* one line; may be empty */
        char *details;          /* lines, each with its '\n'; may be empty */
} EventLogDecoded;

void eventlog_decoded_done(EventLogDecoded *decoded);
#define _cleanup_eventlog_decoded_ _cleanup_(eventlog_decoded_done)
Err *eventlog_decode(const EventLogEvent *event, EventLogDecoded *ret) _must_check_;

/* For the decoders of single types: they add members to json, write to summary and details, and leave a reader that has failed in reader. */
typedef struct EventLogDecoding {
        const EventLogEvent *event;
        Reader reader;          /* over the event data */
        Json *json;
        Writer summary;
        Writer details;
} EventLogDecoding;
typedef Err *EventLogDecoder(EventLogDecoding *decoding);

EventLogDecoder eventlog_decode_variable, eventlog_decode_image, eventlog_decode_gpt, eventlog_decode_blob, eventlog_decode_blob2, eventlog_decode_tables,
        eventlog_decode_tables2, eventlog_decode_tagged;
/* value as hex text "0x…". */
Err *eventlog_decode_add_address(Json *json, const char *member, uint64_t value) _must_check_;
