/* The claim "events" of the service's policies: the measurement logs as JSON that policies query with JMESPath.
 *
 *     {"Events":[{"Digests":{"SHA256":b64url},"EventSeq":1,"EventType":2147483649,"EventTypeString":"EV_EFI_VARIABLE_DRIVER_CONFIG","PcrIndex":7,
 *                 "ProcessedData":{…},"RawData":b64url},…]}
 *
 * This is the service's form, as a token of its shows it that has the whole claim; members are sorted by name. EventSeq counts the records of a log from 0, those of
 * type EV_NO_ACTION, which are left out, too. EventTypeString and ProcessedData are there only of types that the service decodes and of data that fit their type.
 * Of the IMA list its non-file measurements are there (template ima-buf), behind the firmware's events. What the token does not show is decided in
 * docs/policy.md.
 *
 * An event proves something if its PCR was quoted and the log yields its value, and if its digest is one of its data. So events of other PCRs are left out, and data that
 * have to give the digest of an event and do not are not decoded. */
#pragma once

#include "base/json.h"
#include "tcg/eventlog.h"

typedef struct ServiceEventsInput {
        const Span *boot_log;           /* NULL: there is none */
        const Span *ima_list;           /* NULL: there is none */
        uint32_t proven_pcrs;           /* a bit for each PCR that the logs explain */
} ServiceEventsInput;
/* Errors: those of eventlog_next() and ima_list_next(). */
Err *service_events_decode(const ServiceEventsInput *input, Json **ret) _must_check_;

/* For the decoders of single types: *ret stays NULL where the data do not fit the type. */
typedef Err *ServiceEventDecoder(Span data, Json **ret);
ServiceEventDecoder service_event_variable, service_event_boot_variable, service_event_authority, service_event_image, service_event_gpt, service_event_blob,
        service_event_blob2, service_event_tagged;
Err *service_event_ima_buffer(Span name, Span buffer, Json **ret) _must_check_;

/* Helpers of theirs. */
Err *service_event_add_unsigned(Json *json, const char *member, uint64_t value) _must_check_;
Err *service_event_add_utf16(Json *json, const char *member, Span text) _must_check_;
