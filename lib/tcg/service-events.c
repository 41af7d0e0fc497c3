/* See service-events.h. */
#include "tcg/service-events.h"

#include <ctype.h>

#include "base/writer.h"
#include "tcg/efi-text.h"
#include "tcg/eventlog-digest.h"
#include "tcg/ima.h"

#define EV_NO_ACTION UINT32_C(0x00000003)
#define EV_SEPARATOR UINT32_C(0x00000004)
#define EV_NONHOST_INFO UINT32_C(0x00000011)
#define EV_EFI_ACTION UINT32_C(0x80000007)

Err *service_event_add_unsigned(Json *json, const char *member, uint64_t value) {
        return json_add(json, member, json_object_new_uint64(value));
}

Err *service_event_add_utf16(Json *json, const char *member, Span text) {
        _cleanup_free_ char *utf8 = NULL;
        TRY(efi_text_from_utf16(text, &utf8));
        return json_add_string(json, member, utf8);
}

static Err *upper_name(uint16_t alg, char ret[static 16]) {
        const char *name = hash_name(alg);
        size_t i = 0;
        if (!name)
                return err_new(ERR_NOT_SUPPORTED, "hash algorithm 0x%04x has no name", alg);
        for (; name[i] && i < 15; i++)
                ret[i] = (char) toupper((unsigned char) name[i]);
        ret[i] = 0;
        return NULL;
}

static Err *add_digests(Json *json, const EventLogEvent *event) {
        Json *digests;
        TRY(json_new_object(&digests));
        TRY(json_add(json, "Digests", digests));
        for (size_t i = 0; i < event->n_digests; i++) {
                char name[16];
                if (!hash_name(event->digests[i].alg))
                        continue;
                TRY(upper_name(event->digests[i].alg, name));
                TRY(json_add_base64url(digests, name, digest_span(&event->digests[i])));
        }
        return NULL;
}

/* {"CappedHash[SHA256]": the digest}: what caps the PCR. */
static Err *decode_separator(const EventLogEvent *event, Json **ret) {
        _cleanup_json_ Json *json = NULL;
        TRY(json_new_object(&json));
        for (size_t i = 0; i < event->n_digests; i++) {
                char name[16];
                _cleanup_free_ char *member = NULL;
                if (!hash_name(event->digests[i].alg))
                        continue;
                TRY(upper_name(event->digests[i].alg, name));
                TRY(string_format(&member, "CappedHash[%s]", name));
                TRY(json_add_base64url(json, member, digest_span(&event->digests[i])));
        }
        *ret = steal_ptr(&json);
        return NULL;
}

static Err *decode_action(const EventLogEvent *event, Json **ret) {
        _cleanup_json_ Json *json = NULL;
        _cleanup_free_ char *text = NULL;
        if (!efi_text_is_8bit(event->data))
                return NULL;
        TRY(efi_text_from_8bit(event->data, &text));
        TRY(json_new_object(&json));
        TRY(json_add_string(json, "Data", text));
        *ret = steal_ptr(&json);
        return NULL;
}

static const struct {
        uint32_t type;
        ServiceEventDecoder *decode;
        bool is_description;    /* of what is measured and not in the log, or, of an authority, in different ways by different firmware: its digest proves nothing here */
} decoders[] = {
        { 0x00000006, service_event_tagged, false },        /* EV_EVENT_TAG */
        { 0x80000001, service_event_variable, false },      /* EV_EFI_VARIABLE_DRIVER_CONFIG */
        { 0x80000002, service_event_boot_variable, false }, /* EV_EFI_VARIABLE_BOOT */
        { 0x80000003, service_event_image, true },          /* EV_EFI_BOOT_SERVICES_APPLICATION */
        { 0x80000004, service_event_image, true },          /* EV_EFI_BOOT_SERVICES_DRIVER */
        { 0x80000005, service_event_image, true },          /* EV_EFI_RUNTIME_SERVICES_DRIVER */
        { 0x80000006, service_event_gpt, false },           /* EV_EFI_GPT_EVENT */
        { 0x80000008, service_event_blob, true },           /* EV_EFI_PLATFORM_FIRMWARE_BLOB */
        { 0x8000000a, service_event_blob2, true },          /* EV_EFI_PLATFORM_FIRMWARE_BLOB2 */
        { 0x8000000c, service_event_boot_variable, false }, /* EV_EFI_VARIABLE_BOOT2 */
        { 0x8000000d, service_event_gpt, false },           /* EV_EFI_GPT_EVENT2 */
        { 0x800000e0, service_event_authority, true },      /* EV_EFI_VARIABLE_AUTHORITY */
};

static Err *decode_by_type(const EventLogEvent *event, bool is_proven, Json **ret) {
        if (event->type == EV_SEPARATOR)
                return is_proven ? decode_separator(event, ret) : NULL;
        if (event->type == EV_EFI_ACTION)
                return is_proven ? decode_action(event, ret) : NULL;
        for (size_t i = 0; i < N_ELEMENTS(decoders); i++)
                if (decoders[i].type == event->type && (is_proven || decoders[i].is_description))
                        return decoders[i].decode(event->data, ret);
        return NULL;
}

/* *ret_known: the service names the type. *ret may be NULL all the same: EV_NONHOST_INFO without data has null for ProcessedData. */
static Err *decode_data(const EventLogEvent *event, bool *ret_known, Json **ret) {
        EventLogDigestCheck check;
        *ret = NULL;
        TRY(eventlog_digest_check(event, &check));
        TRY(decode_by_type(event, check == EVENTLOG_DIGEST_OK, ret));
        *ret_known = *ret || (event->type == EV_NONHOST_INFO && event->data.size == 0);
        return NULL;
}

static Err *add_processed(Json *json, const char *type_name, Json *steal_data) {
        TRY(json_add_string(json, "EventTypeString", type_name));
        if (steal_data)
                return json_add(json, "ProcessedData", steal_data);
        return json_object_object_add(json, "ProcessedData", NULL) < 0 ? err_oom() : NULL;
}

static Err *add_event(Json *events, const EventLogEvent *event) {
        Json *json;
        _cleanup_json_ Json *processed = NULL;
        bool known;
        TRY(decode_data(event, &known, &processed));
        TRY(json_new_object(&json));
        TRY(json_append(events, json));
        TRY(add_digests(json, event));
        TRY(service_event_add_unsigned(json, "EventSeq", event->number));
        TRY(service_event_add_unsigned(json, "EventType", event->type));
        TRY(service_event_add_unsigned(json, "PcrIndex", event->pcr));
        TRY(json_add_base64url(json, "RawData", event->data));
        return known ? add_processed(json, eventlog_type_to_string(event->type), steal_ptr(&processed)) : NULL;
}

static bool is_proven(const ServiceEventsInput *input, uint32_t pcr) {
        return pcr < PCR_COUNT && input->proven_pcrs >> pcr & 1;
}

static Err *add_boot_log(const ServiceEventsInput *input, Json *events, uint64_t *n_records) {
        _cleanup_(eventlog_freep) EventLog *log = NULL;
        TRY(eventlog_open(*input->boot_log, &log));
        for (;;) {
                EventLogEvent event;
                bool more;
                TRY(eventlog_next(log, &event, &more));
                if (!more)
                        return NULL;
                *n_records = event.number + 1;
                if (event.type != EV_NO_ACTION && is_proven(input, event.pcr))
                        TRY(add_event(events, &event));
        }
}

/* The list has no type; the service's name for it comes from its samples. */
static Err *add_ima_entry(Json *events, const ImaEntry *entry, uint64_t sequence) {
        Json *json, *digests;
        _cleanup_json_ Json *processed = NULL;
        char name[16];
        TRY(service_event_ima_buffer(entry->file_name, entry->buffer, &processed));
        TRY(json_new_object(&json));
        TRY(json_append(events, json));
        TRY(json_new_object(&digests));
        TRY(json_add(json, "Digests", digests));
        TRY(upper_name(ima_digest_alg(entry->template_digest.size), name));
        TRY(json_add_base64url(digests, name, entry->template_digest));
        TRY(service_event_add_unsigned(json, "EventSeq", sequence));
        TRY(service_event_add_unsigned(json, "PcrIndex", entry->pcr));
        TRY(json_add_base64url(json, "RawData", entry->template_data));
        return add_processed(json, "IMA_MEASUREMENT_EVENT", steal_ptr(&processed));
}

static Err *add_ima_list(const ServiceEventsInput *input, Json *events, uint64_t n_before) {
        ImaList list;
        TRY(ima_list_open(*input->ima_list, 0, &list));
        for (;;) {
                ImaEntry entry;
                bool more;
                TRY(ima_list_next(&list, &entry, &more));
                if (!more)
                        return NULL;
                if (entry.has_fields && !entry.is_violation && span_equal_string(entry.template_name, "ima-buf") && is_proven(input, entry.pcr))
                        TRY(add_ima_entry(events, &entry, n_before + entry.number));
        }
}

Err *service_events_decode(const ServiceEventsInput *input, Json **ret) {
        _cleanup_json_ Json *json = NULL;
        Json *events;
        uint64_t n_records = 0;
        TRY(json_new_object(&json));
        TRY(json_new_array(&events));
        TRY(json_add(json, "Events", events));
        if (input->boot_log)
                TRY(add_boot_log(input, events, &n_records));
        if (input->ima_list)
                TRY(add_ima_list(input, events, n_records));
        return json_sort(json, ret);
}
