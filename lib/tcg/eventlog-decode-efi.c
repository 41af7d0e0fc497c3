/* Event data that are structures of UEFI; see eventlog-decode.h. PFP 1.06 §10.4.2 - §10.4.4, all little endian:
 *
 *     variable     16 bytes GUID | u64 name length in characters | u64 data size | UTF-16 name | data
 *     image        u64 location | u64 length | u64 link address | u64 path size | device path
 *     GPT          92 bytes GPT header (UEFI 2.10 §5.3.2) | u64 n | n * partition entry, as large as the header says, at least 128 bytes
 *     blob         u64 base | u64 length;  blob 2: u8 size, description before it
 *     tables       u64 n | n * { 16 bytes GUID | u64 address };  tables 2: u8 size, description before it */
#include <inttypes.h>
#include <stdio.h>

#include "tcg/device-path.h"
#include "tcg/efi-guid.h"
#include "tcg/efi-signatures.h"
#include "tcg/efi-text.h"
#include "tcg/eventlog-decode.h"

#include <ctype.h>

#define GPT_ENTRY_SIZE_MIN 128
#define GPT_NAME_SIZE 72

static bool is_database(const char *name) {
        static const char *const names[] = { "PK", "KEK", "db", "dbx", "dbt", "dbr", "MokList", "MokListX", "MokListRT", "MokListXRT" };
        for (size_t i = 0; i < N_ELEMENTS(names); i++)
                if (strcmp(names[i], name) == 0)
                        return true;
        return false;
}

/* PREFIX and four hex digits. */
static bool is_numbered(const char *name, const char *prefix) {
        size_t n = strlen(prefix);
        if (strncmp(name, prefix, n) != 0)
                return false;
        for (size_t i = n; i < n + 4; i++)
                if (!isxdigit((unsigned char) name[i]))
                        return false;
        return name[n + 4] == 0;
}

static bool is_boot_option(const char *name) {
        return is_numbered(name, "Boot") || is_numbered(name, "Driver");
}

static Err *decode_signatures(EventLogDecoding *d, Span value) {
        Json *lists;
        TRY(efi_signatures_decode(value, &lists, &d->details));
        writer_format(&d->summary, ", %s", value.size > 0 ? "signatures" : "empty");
        return json_add(d->json, "signatures", lists);
}

/* EFI_SIGNATURE_DATA: what of db verified an image. Shim writes the bare certificate, or a text of SBAT. */
static Err *decode_authority(EventLogDecoding *d, Span value) {
        _cleanup_free_ char *subject = NULL;
        Reader reader = reader_make(value);
        efi_guid_read(&reader, "owner");
        TRY(efi_certificate_subject(reader_failed(&reader) ? value : reader_rest(&reader), &subject));
        if (!*subject) {
                freep(&subject);
                TRY(efi_certificate_subject(value, &subject));
        }
        if (!*subject)
                return NULL;
        writer_format(&d->details, "certificate: %s\n", subject);
        return json_add_string(d->json, "subject", subject);
}

/* EFI_LOAD_OPTION (UEFI 2.10 §3.1.3): u32 attributes | u16 size of the path | UTF-16 description | path | optional data. */
static Err *decode_load_option(EventLogDecoding *d, Span value) {
        _cleanup_free_ char *name = NULL, *path = NULL;
        Reader reader = reader_make(value);
        uint32_t attributes = reader_u32le(&reader, "attributes");
        uint16_t path_size = reader_u16le(&reader, "path size");
        Span text = span_make(value.data + reader.offset, reader_left(&reader));
        while (reader_u16le(&reader, "description"))
                ;
        Span path_data = reader_span(&reader, path_size, "device path");
        TRY(reader_check(&reader, ERR_EVENTLOG_MALFORMED, "load option"));
        TRY(efi_text_from_utf16(text, &name));
        TRY(device_path_to_string(path_data, &path));
        TRY(json_add_string(d->json, "description", name));
        TRY(json_add_boolean(d->json, "active", attributes & 1));
        TRY(json_add_string(d->json, "device_path", path));
        writer_format(&d->summary, ": %s", name);
        writer_format(&d->details, "%s\n", path);
        return NULL;
}

static Err *decode_boot_order(EventLogDecoding *d, Span value) {
        Json *order;
        Reader reader = reader_make(value);
        TRY(json_new_array(&order));
        TRY(json_add(d->json, "boot_order", order));
        for (bool first = true; reader_left(&reader) > 0; first = false) {
                char name[sizeof("Boot0000")];
                snprintf(name, sizeof(name), "Boot%04X", reader_u16le(&reader, "entry"));
                TRY(json_append(order, json_object_new_string(name)));
                writer_format(&d->summary, "%s%s", first ? ": " : ", ", name);
        }
        return reader_check(&reader, ERR_EVENTLOG_MALFORMED, "BootOrder");
}

static bool is_switch(const char *name) {
        static const char *const names[] = { "SecureBoot", "SetupMode", "AuditMode", "DeployedMode", "MokListTrusted", "MokSBState", "MokIgnoreDB" };
        for (size_t i = 0; i < N_ELEMENTS(names); i++)
                if (strcmp(names[i], name) == 0)
                        return true;
        return false;
}

static Err *decode_value(EventLogDecoding *d, const char *name, Span value) {
        if (d->event->type == 0x800000e0) /* EV_EFI_VARIABLE_AUTHORITY */
                return decode_authority(d, value);
        if (is_database(name))
                return decode_signatures(d, value);
        if (is_boot_option(name))
                return decode_load_option(d, value);
        if (strcmp(name, "BootOrder") == 0)
                return decode_boot_order(d, value);
        if (!is_switch(name) || value.size > 1)
                return NULL;
        bool on = value.size == 1 && value.data[0] != 0;
        writer_format(&d->summary, value.size == 0 ? ": not set" : on ? ": on" : ": off");
        return value.size == 0 ? NULL : json_add_boolean(d->json, "enabled", on);
}

Err *eventlog_decode_variable(EventLogDecoding *d) {
        _cleanup_free_ char *name = NULL;
        EfiGuid guid = efi_guid_read(&d->reader, "GUID");
        uint64_t length = reader_u64le(&d->reader, "name length"), size = reader_u64le(&d->reader, "data size");
        if (length > d->event->data.size)
                reader_fail(&d->reader, "name length");
        Span name_data = reader_span(&d->reader, length * 2, "name"), value = reader_span(&d->reader, size, "data");
        TRY(json_add_string(d->json, "kind", "variable"));
        if (reader_failed(&d->reader))
                return NULL;
        TRY(efi_text_from_utf16(name_data, &name));
        TRY(json_add_string(d->json, "guid", guid.text));
        TRY(json_add_string(d->json, "guid_name", guid.name));
        TRY(json_add_string(d->json, "name", name));
        TRY(json_add_integer(d->json, "size", (int64_t) value.size));
        writer_format(&d->summary, "%s, %zu bytes", name, value.size);
        TRY(decode_value(d, name, value));
        writer_format(&d->details, "of %s\n", efi_guid_label(&guid));
        return NULL;
}

Err *eventlog_decode_image(EventLogDecoding *d) {
        _cleanup_free_ char *path = NULL;
        uint64_t location = reader_u64le(&d->reader, "location"), length = reader_u64le(&d->reader, "length");
        uint64_t link = reader_u64le(&d->reader, "link address");
        Span path_data = reader_span(&d->reader, reader_u64le(&d->reader, "path size"), "device path");
        TRY(json_add_string(d->json, "kind", "image"));
        if (reader_failed(&d->reader))
                return NULL;
        TRY(eventlog_decode_add_address(d->json, "location", location));
        TRY(eventlog_decode_add_address(d->json, "length", length));
        TRY(eventlog_decode_add_address(d->json, "link_address", link));
        TRY(device_path_to_string(path_data, &path));
        TRY(json_add_string(d->json, "device_path", path));
        writer_format(&d->summary, "%s", path);
        writer_format(&d->details, "%" PRIu64 " bytes at 0x%" PRIx64 "\n", length, location);
        return NULL;
}

static Err *decode_partition(EventLogDecoding *d, Json *partitions, Span data) {
        _cleanup_free_ char *name = NULL;
        Json *json;
        Reader reader = reader_make(data);
        EfiGuid type = efi_guid_read(&reader, "type"), guid = efi_guid_read(&reader, "GUID");
        uint64_t first = reader_u64le(&reader, "first LBA"), last = reader_u64le(&reader, "last LBA"), attributes = reader_u64le(&reader, "attributes");
        TRY(efi_text_from_utf16(reader_span(&reader, GPT_NAME_SIZE, "name"), &name));
        TRY(reader_check(&reader, ERR_EVENTLOG_MALFORMED, "partition"));
        TRY(json_new_object(&json));
        TRY(json_append(partitions, json));
        TRY(json_add_string(json, "type", type.text));
        TRY(json_add_string(json, "type_name", type.name));
        TRY(json_add_string(json, "guid", guid.text));
        TRY(json_add_string(json, "name", name));
        TRY(eventlog_decode_add_address(json, "first_lba", first));
        TRY(eventlog_decode_add_address(json, "last_lba", last));
        TRY(eventlog_decode_add_address(json, "attributes", attributes));
        writer_format(&d->details, "%s, %s, \"%s\", blocks %" PRIu64 "-%" PRIu64 "\n", guid.text, efi_guid_label(&type), name, first, last);
        return NULL;
}

Err *eventlog_decode_gpt(EventLogDecoding *d) {
        Json *partitions;
        reader_span(&d->reader, 56, "GPT header");
        EfiGuid disk = efi_guid_read(&d->reader, "disk GUID");
        reader_span(&d->reader, 12, "GPT header");      /* LBA of the table, number of entries */
        uint32_t entry_size = reader_u32le(&d->reader, "entry size");
        reader_u32le(&d->reader, "CRC of the table");
        uint64_t n = reader_u64le(&d->reader, "number of partitions");
        TRY(json_add_string(d->json, "kind", "gpt"));
        if (!reader_failed(&d->reader) && entry_size < GPT_ENTRY_SIZE_MIN)
                reader_fail(&d->reader, "entry size");
        if (reader_failed(&d->reader))
                return NULL;
        TRY(json_add_string(d->json, "disk_guid", disk.text));
        TRY(json_new_array(&partitions));
        TRY(json_add(d->json, "partitions", partitions));
        writer_format(&d->summary, "disk %s, %" PRIu64 " partitions", disk.text, n);
        for (uint64_t i = 0; i < n; i++) {
                Span entry = reader_span(&d->reader, entry_size, "partition entry");
                if (reader_failed(&d->reader))
                        return NULL;
                TRY(decode_partition(d, partitions, entry));
        }
        return NULL;
}

Err *eventlog_decode_blob(EventLogDecoding *d) {
        uint64_t base = reader_u64le(&d->reader, "base"), length = reader_u64le(&d->reader, "length");
        TRY(json_add_string(d->json, "kind", "blob"));
        if (reader_failed(&d->reader))
                return NULL;
        TRY(eventlog_decode_add_address(d->json, "base", base));
        TRY(eventlog_decode_add_address(d->json, "length", length));
        writer_format(&d->summary, "%" PRIu64 " bytes at 0x%" PRIx64, length, base);
        return NULL;
}

static Err *decode_description(EventLogDecoding *d) {
        _cleanup_free_ char *text = NULL;
        Span description = reader_span(&d->reader, reader_u8(&d->reader, "description size"), "description");
        TRY(efi_text_from_8bit(description, &text));
        if (reader_failed(&d->reader))
                return NULL;
        writer_format(&d->summary, "%s%s", text, *text ? ", " : "");
        return json_add_string(d->json, "description", text);
}

Err *eventlog_decode_blob2(EventLogDecoding *d) {
        TRY(decode_description(d));
        return eventlog_decode_blob(d);
}

Err *eventlog_decode_tables(EventLogDecoding *d) {
        Json *tables;
        uint64_t n = reader_u64le(&d->reader, "number of tables");
        TRY(json_add_string(d->json, "kind", "tables"));
        TRY(json_new_array(&tables));
        TRY(json_add(d->json, "tables", tables));
        for (uint64_t i = 0; i < n; i++) {
                Json *table;
                EfiGuid guid = efi_guid_read(&d->reader, "table GUID");
                uint64_t address = reader_u64le(&d->reader, "table address");
                if (reader_failed(&d->reader))
                        return NULL;
                TRY(json_new_object(&table));
                TRY(json_append(tables, table));
                TRY(json_add_string(table, "guid", guid.text));
                TRY(json_add_string(table, "guid_name", guid.name));
                TRY(eventlog_decode_add_address(table, "address", address));
                writer_format(&d->summary, "%s%s", i > 0 ? ", " : "", efi_guid_label(&guid));
        }
        return NULL;
}

Err *eventlog_decode_tables2(EventLogDecoding *d) {
        TRY(decode_description(d));
        return eventlog_decode_tables(d);
}
