/* EV_EVENT_TAG and the EV_NO_ACTION of Windows; see eventlog-decode.h.
 *
 *     u32 tag | u32 size | size bytes, and again up to the end       (PFP 1.06 §10.4.2.8 TCG_PCClientTaggedEvent)
 *
 * Tags of Windows (SIPA, wbcl.h) are told by bit 30, which says that the bytes are such tags again. Linux (drivers/firmware/efi/libstub) writes a
 * text beside the digest of what it measured. */
#include <stdio.h>

#include "tcg/efi-text.h"
#include "tcg/eventlog-decode.h"

#define TAG_AGGREGATE UINT32_C(0x40000000)
#define TAG_DEPTH_MAX 4         /* Windows nests two deep */
#define TAG_TEXT_MIN 4

static const struct { uint32_t tag; const char *name; } names[] = {
        { 0x8f3b22ec, "Linux initrd" },
        { 0x8f3b22ed, "Linux load options" },
        { 0x40010001, "SIPA trust boundary" },
        { 0x40010002, "SIPA ELAM aggregation" },
        { 0x40010003, "SIPA loaded module aggregation" },
        { 0xc0010004, "SIPA trustpoint aggregation" },
        { 0x40010005, "SIPA KSR aggregation" },
};

static const char *tag_name(uint32_t tag) {
        for (size_t i = 0; i < N_ELEMENTS(names); i++)
                if (names[i].tag == tag)
                        return names[i].name;
        return NULL;
}

static Err *decode_tags(EventLogDecoding *d, Reader *reader, unsigned depth, Json *tags);

static Err *decode_text(EventLogDecoding *d, Span data, Json *json) {
        _cleanup_free_ char *text = NULL;
        if (data.size < TAG_TEXT_MIN)
                return NULL;
        if (efi_text_is_utf16(data))
                TRY(efi_text_from_utf16(data, &text));
        else if (efi_text_is_8bit(data))
                TRY(efi_text_from_8bit(data, &text));
        else
                return NULL;
        writer_format(&d->details, ": %s", text);
        return json_add_string(json, "text", text);
}

static Err *decode_tag(EventLogDecoding *d, Reader *reader, unsigned depth, Json *tags) {
        Json *json, *inner;
        uint32_t tag = reader_u32le(reader, "tag");
        Span data = reader_span(reader, reader_u32le(reader, "size of a tag"), "data of a tag");
        TRY(reader_check(reader, ERR_EVENTLOG_MALFORMED, "tagged event"));
        char id[sizeof("0x00000000")];
        snprintf(id, sizeof(id), "0x%08x", tag);
        TRY(json_new_object(&json));
        TRY(json_append(tags, json));
        TRY(json_add_string(json, "tag", id));
        TRY(json_add_string(json, "tag_name", tag_name(tag)));
        TRY(json_add_integer(json, "size", (int64_t) data.size));
        if (depth == 0)
                writer_format(&d->summary, "%s%s", d->summary.output.size > 0 ? ", " : "", tag_name(tag) ? tag_name(tag) : id);
        writer_format(&d->details, "%*s%s, %zu bytes", (int) depth * 2, "", tag_name(tag) ? tag_name(tag) : id, data.size);
        if (!(tag & TAG_AGGREGATE) || depth + 1 == TAG_DEPTH_MAX) {
                TRY(decode_text(d, data, json));
                writer_u8(&d->details, '\n');
                return NULL;
        }
        writer_u8(&d->details, '\n');
        Reader inside = reader_make(data);
        TRY(json_new_array(&inner));
        TRY(json_add(json, "tags", inner));
        return decode_tags(d, &inside, depth + 1, inner);
}

static Err *decode_tags(EventLogDecoding *d, Reader *reader, unsigned depth, Json *tags) {
        while (reader_left(reader) > 0)
                TRY(decode_tag(d, reader, depth, tags));
        return NULL;
}

Err *eventlog_decode_tagged(EventLogDecoding *d) {
        Json *tags;
        TRY(json_add_string(d->json, "kind", "tagged"));
        TRY(json_new_array(&tags));
        TRY(json_add(d->json, "tags", tags));
        return decode_tags(d, &d->reader, 0, tags);
}
