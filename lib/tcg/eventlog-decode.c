/* See eventlog-decode.h. Texts, separators and EV_NO_ACTION are decoded here, what has a structure of UEFI in eventlog-decode-efi.c, tags in
 * eventlog-decode-tag.c. */
#include "tcg/eventlog-decode.h"

#include <inttypes.h>
#include <stdio.h>

#include "tcg/efi-guid.h"
#include "tcg/efi-text.h"
#include "tcg/eventlog-digest.h"

#define NO_ACTION_SIGNATURE_SIZE 16

Err *eventlog_decode_add_address(Json *json, const char *member, uint64_t value) {
        char text[19];
        snprintf(text, sizeof(text), "0x%" PRIx64, value);
        return json_add_string(json, member, text);
}

static Err *decode_nothing(EventLogDecoding *d) {
        return json_add_string(d->json, "kind", "opaque");
}

/* "kernel_cmdline: " and the like name what was measured; systemd-stub and newer boot loaders write UTF-16. */
static Err *decode_text(EventLogDecoding *d) {
        _cleanup_free_ char *text = NULL;
        Span data = d->event->data;
        if (efi_text_is_utf16(data))
                TRY(efi_text_from_utf16(data, &text));
        else if (efi_text_is_8bit(data))
                TRY(efi_text_from_8bit(data, &text));
        else
                return decode_nothing(d);
        TRY(json_add_string(d->json, "kind", "text"));
        TRY(json_add_string(d->json, "text", text));
        writer_string(&d->summary, text);
        return NULL;
}

/* Some versions of Linux wrote the text alone, without tag and size. */
static Err *decode_tags_or_text(EventLogDecoding *d) {
        return efi_text_is_8bit(d->event->data) ? decode_text(d) : eventlog_decode_tagged(d);
}

/* EV_POST_CODE and EV_S_CRTM_CONTENTS: a text, or as older specifications had it, base and length of what was measured. */
static Err *decode_text_or_blob(EventLogDecoding *d) {
        if (d->event->data.size == 16 && !efi_text_is_8bit(d->event->data) && !efi_text_is_utf16(d->event->data))
                return eventlog_decode_blob(d);
        return decode_text(d);
}

/* PFP 1.06 §10.4.1: a version text in UTF-16, or a GUID. Where it is neither, the data is the version. */
static Err *decode_version(EventLogDecoding *d) {
        if (d->event->data.size != EFI_GUID_SIZE || efi_text_is_8bit(d->event->data) || efi_text_is_utf16(d->event->data))
                return decode_text(d);
        EfiGuid guid = efi_guid_read(&d->reader, "version");
        TRY(json_add_string(d->json, "kind", "version"));
        TRY(json_add_string(d->json, "guid", guid.text));
        writer_string(&d->summary, guid.text);
        return NULL;
}

static Err *decode_separator(EventLogDecoding *d) {
        bool is_error;
        TRY(eventlog_digest_is_error_separator(d->event, &is_error));
        TRY(json_add_string(d->json, "kind", "separator"));
        TRY(json_add_boolean(d->json, "error", is_error));
        if (is_error)
                writer_string(&d->summary, "error");
        if (d->event->data.size != 4)
                return NULL;
        uint32_t value = reader_u32le(&d->reader, "value");
        TRY(eventlog_decode_add_address(d->json, "value", value));
        writer_format(&d->summary, is_error ? ", 0x%08x" : "0x%08x", value);
        return NULL;
}

static Err *decode_spec_id(EventLogDecoding *d) {
        Json *algorithms;
        reader_u32le(&d->reader, "platform class");
        uint8_t minor = reader_u8(&d->reader, "minor version"), major = reader_u8(&d->reader, "major version");
        uint8_t errata = reader_u8(&d->reader, "errata");
        reader_u8(&d->reader, "size of UINTN");
        TRY(json_add_integer(d->json, "major", major));
        TRY(json_add_integer(d->json, "minor", minor));
        TRY(json_add_integer(d->json, "errata", errata));
        writer_format(&d->summary, ", version %u.%u errata %u", major, minor, errata);
        if (memcmp(d->event->data.data, "Spec ID Event03", NO_ACTION_SIGNATURE_SIZE) != 0)
                return NULL;
        TRY(json_new_array(&algorithms));
        TRY(json_add(d->json, "algorithms", algorithms));
        uint32_t n = reader_u32le(&d->reader, "number of algorithms");
        for (uint32_t i = 0; i < n && !reader_failed(&d->reader); i++) {
                uint16_t alg = reader_u16le(&d->reader, "algorithm");
                reader_u16le(&d->reader, "digest size");
                if (reader_failed(&d->reader))
                        break;
                TRY(json_append(algorithms, json_object_new_string(hash_name(alg) ? hash_name(alg) : "unknown")));
                writer_format(&d->summary, "%s%s", i > 0 ? ", " : ": ", hash_name(alg) ? hash_name(alg) : "unknown");
        }
        return NULL;
}

/* SP800-155 events (§10.4.5.2) begin with the vendor and the GUID of the reference manifest, whatever their version. */
static Err *decode_sp800_155(EventLogDecoding *d) {
        uint32_t vendor = reader_u32le(&d->reader, "vendor");
        EfiGuid guid = efi_guid_read(&d->reader, "manifest GUID");
        TRY(json_add_integer(d->json, "vendor", vendor));
        TRY(json_add_string(d->json, "manifest", guid.text));
        writer_format(&d->summary, ", manifest %s of vendor %u", guid.text, vendor);
        return NULL;
}

static Err *decode_no_action(EventLogDecoding *d) {
        _cleanup_free_ char *name = NULL;
        Span data = d->event->data;
        if (data.size < NO_ACTION_SIGNATURE_SIZE || !efi_text_is_8bit(span_make(data.data, NO_ACTION_SIGNATURE_SIZE)))
                return eventlog_decode_tagged(d);
        Span signature = reader_span(&d->reader, NO_ACTION_SIGNATURE_SIZE, "signature");
        TRY(efi_text_from_8bit(signature, &name));
        TRY(json_add_string(d->json, "kind", "signature"));
        TRY(json_add_string(d->json, "signature", name));
        writer_string(&d->summary, name);
        if (strcmp(name, "StartupLocality") == 0) {
                uint8_t locality = reader_u8(&d->reader, "locality");
                writer_format(&d->summary, ": %u", locality);
                return json_add_integer(d->json, "locality", locality);
        }
        if (strncmp(name, "Spec ID Event", strlen("Spec ID Event")) == 0)
                return decode_spec_id(d);
        if (strncmp(name, "SP800-155 Event", strlen("SP800-155 Event")) == 0)
                return decode_sp800_155(d);
        return NULL;
}

static const struct { uint32_t type; EventLogDecoder *decode; } decoders[] = {
        { 0x00000001, decode_text_or_blob },      /* EV_POST_CODE */
        { 0x00000003, decode_no_action },         /* EV_NO_ACTION */
        { 0x00000004, decode_separator },         /* EV_SEPARATOR */
        { 0x00000005, decode_text },              /* EV_ACTION */
        { 0x00000006, decode_tags_or_text },      /* EV_EVENT_TAG */
        { 0x00000007, decode_text_or_blob },      /* EV_S_CRTM_CONTENTS */
        { 0x00000008, decode_version },           /* EV_S_CRTM_VERSION */
        { 0x00000009, decode_text },              /* EV_CPU_MICROCODE */
        { 0x0000000a, decode_text },              /* EV_PLATFORM_CONFIG_FLAGS */
        { 0x0000000b, decode_text },              /* EV_TABLE_OF_DEVICES */
        { 0x0000000c, decode_text },              /* EV_COMPACT_HASH */
        { 0x0000000d, decode_text },              /* EV_IPL */
        { 0x0000000f, decode_text },              /* EV_NONHOST_CODE */
        { 0x00000010, decode_text },              /* EV_NONHOST_CONFIG */
        { 0x00000011, decode_text },              /* EV_NONHOST_INFO */
        { 0x00000012, decode_text },              /* EV_OMIT_BOOT_DEVICE_EVENTS */
        { 0x00000013, eventlog_decode_blob2 },    /* EV_POST_CODE2 */
        { 0x80000001, eventlog_decode_variable }, /* EV_EFI_VARIABLE_DRIVER_CONFIG */
        { 0x80000002, eventlog_decode_variable }, /* EV_EFI_VARIABLE_BOOT */
        { 0x80000003, eventlog_decode_image },    /* EV_EFI_BOOT_SERVICES_APPLICATION */
        { 0x80000004, eventlog_decode_image },    /* EV_EFI_BOOT_SERVICES_DRIVER */
        { 0x80000005, eventlog_decode_image },    /* EV_EFI_RUNTIME_SERVICES_DRIVER */
        { 0x80000006, eventlog_decode_gpt },      /* EV_EFI_GPT_EVENT */
        { 0x80000007, decode_text },              /* EV_EFI_ACTION */
        { 0x80000008, eventlog_decode_blob },     /* EV_EFI_PLATFORM_FIRMWARE_BLOB */
        { 0x80000009, eventlog_decode_tables },   /* EV_EFI_HANDOFF_TABLES */
        { 0x8000000a, eventlog_decode_blob2 },    /* EV_EFI_PLATFORM_FIRMWARE_BLOB2 */
        { 0x8000000b, eventlog_decode_tables2 },  /* EV_EFI_HANDOFF_TABLES2 */
        { 0x8000000c, eventlog_decode_variable }, /* EV_EFI_VARIABLE_BOOT2 */
        { 0x8000000d, eventlog_decode_gpt },      /* EV_EFI_GPT_EVENT2 */
        { 0x80000010, decode_text },              /* EV_EFI_HCRTM_EVENT */
        { 0x800000e0, eventlog_decode_variable }, /* EV_EFI_VARIABLE_AUTHORITY */
};

static EventLogDecoder *decoder_of(uint32_t type) {
        for (size_t i = 0; i < N_ELEMENTS(decoders); i++)
                if (decoders[i].type == type)
                        return decoders[i].decode;
        return decode_nothing;
}

static void decoding_done(EventLogDecoding *decoding) {
        json_unref(decoding->json);
        writer_done(&decoding->summary);
        writer_done(&decoding->details);
}

void eventlog_decoded_done(EventLogDecoded *decoded) {
        decoded->json = json_unref(decoded->json);
        freep(&decoded->summary);
        freep(&decoded->details);
}

/* A decoder fails with EVENTLOG_MALFORMED, or leaves a failed reader: either is a fact about the event. */
static Err *run_decoder(EventLogDecoding *d) {
        _cleanup_(err_freep) Err *err = decoder_of(d->event->type)(d);
        if (!err)
                err = reader_check(&d->reader, ERR_EVENTLOG_MALFORMED, "event data");
        if (!err || err_code(err) != ERR_EVENTLOG_MALFORMED)
                return steal_ptr(&err);
        writer_format(&d->details, "does not parse: %s\n", err_describe(err));
        return json_add_string(d->json, "problem", err_describe(err));
}

Err *eventlog_decode(const EventLogEvent *event, EventLogDecoded *ret) {
        _cleanup_(decoding_done) EventLogDecoding d = { .event = event, .reader = reader_make(event->data) };
        _cleanup_eventlog_decoded_ EventLogDecoded decoded = {};
        TRY(json_new_object(&d.json));
        TRY(run_decoder(&d));
        TRY(writer_finish_string(&d.summary, &decoded.summary));
        TRY(writer_finish_string(&d.details, &decoded.details));
        decoded.json = steal_ptr(&d.json);
        *ret = decoded;
        decoded = (EventLogDecoded) {};
        return NULL;
}
