/* See eventlog-describe.h. Event data by type (PFP 1.06 §10.4):
 *
 *     variables            16 bytes GUID | u64 name length in characters | u64 data size | UTF-16 name | data
 *     firmware blobs       u64 base | u64 length        (blob 2: u8 size, description before it)
 *     images               u64 location | u64 length | u64 link address | u64 device path size | device path
 *     texts                ASCII or UTF-16, with or without a NUL */
#include "tcg/eventlog-describe.h"

#include <inttypes.h>

#include "base/reader.h"
#include "base/writer.h"

static void write_character(Writer *writer, uint32_t c) {
        writer_u8(writer, c >= 0x20 && c < 0x7f ? (uint8_t) c : (uint8_t) '?');
}

static void write_ascii(Writer *writer, Span text) {
        for (size_t i = 0; i < MIN_OF(text.size, (size_t) EVENTLOG_DESCRIPTION_MAX) && text.data[i]; i++)
                write_character(writer, text.data[i]);
}

static void write_utf16(Writer *writer, Span text) {
        for (size_t i = 0; i + 1 < text.size && i < 2 * EVENTLOG_DESCRIPTION_MAX; i += 2) {
                uint32_t c = (uint32_t) text.data[i] | (uint32_t) text.data[i + 1] << 8;
                if (c == 0)
                        break;
                write_character(writer, c);
        }
}

static void write_text(Writer *writer, Span text) {
        if (text.size < 2 || text.data[0] < 0x20 || text.data[0] >= 0x7f)
                return;
        if (text.data[1])
                write_ascii(writer, text);
        else
                write_utf16(writer, text);
}

static void write_variable(Writer *writer, Span data) {
        Reader reader = reader_make(data);
        reader_span(&reader, 16, "GUID");
        uint64_t length = reader_u64le(&reader, "name length"), size = reader_u64le(&reader, "data size");
        if (length > data.size)
                return;
        Span name = reader_span(&reader, length * 2, "name");
        if (reader_failed(&reader))
                return;
        write_utf16(writer, name);
        writer_format(writer, ", %" PRIu64 " bytes", size);
}

static void write_blob(Writer *writer, Span data) {
        Reader reader = reader_make(data);
        uint64_t base = reader_u64le(&reader, "base"), length = reader_u64le(&reader, "length");
        if (!reader_failed(&reader))
                writer_format(writer, "%" PRIu64 " bytes at 0x%" PRIx64, length, base);
}

static void write_blob2(Writer *writer, Span data) {
        Reader reader = reader_make(data);
        Span name = reader_span(&reader, reader_u8(&reader, "description size"), "description");
        if (!reader_failed(&reader))
                write_ascii(writer, name);
}

static void write_by_type(Writer *writer, const EventLogEvent *event) {
        switch (event->type) {
        case 0x80000001: /* EV_EFI_VARIABLE_DRIVER_CONFIG */
        case 0x80000002: /* EV_EFI_VARIABLE_BOOT */
        case 0x8000000c: /* EV_EFI_VARIABLE_BOOT2 */
        case 0x800000e0: /* EV_EFI_VARIABLE_AUTHORITY */
                return write_variable(writer, event->data);
        case 0x80000003: /* EV_EFI_BOOT_SERVICES_APPLICATION */
        case 0x80000004: /* EV_EFI_BOOT_SERVICES_DRIVER */
        case 0x80000005: /* EV_EFI_RUNTIME_SERVICES_DRIVER */
        case 0x80000008: /* EV_EFI_PLATFORM_FIRMWARE_BLOB */
                return write_blob(writer, event->data);
        case 0x8000000a: /* EV_EFI_PLATFORM_FIRMWARE_BLOB2 */
        case 0x8000000b: /* EV_EFI_HANDOFF_TABLES2 */
                return write_blob2(writer, event->data);
        case 0x00000004: /* EV_SEPARATOR */
                if (event->data.size == 4)
                        writer_hex(writer, event->data);
                return;
        case 0x00000003: /* EV_NO_ACTION */
        case 0x00000001: /* EV_POST_CODE */
        case 0x00000005: /* EV_ACTION */
        case 0x00000008: /* EV_S_CRTM_VERSION */
        case 0x0000000d: /* EV_IPL */
        case 0x80000007: /* EV_EFI_ACTION */
        case 0x80000010: /* EV_EFI_HCRTM_EVENT */
                return write_text(writer, event->data);
        default: /* lint: types of the wire, not an enum of ours */
                return;
        }
}

Err *eventlog_describe(const EventLogEvent *event, char **ret) {
        _cleanup_writer_ Writer writer = {};
        write_by_type(&writer, event);
        return writer_finish_string(&writer, ret);
}
