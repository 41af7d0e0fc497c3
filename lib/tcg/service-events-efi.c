/* Events with structures of UEFI, as the service shows them; see service-events.h. The structures are drawn in eventlog-decode-efi.c. GUIDs are in capitals. */
#include "tcg/service-events.h"

#include <ctype.h>

#include "tcg/efi-guid.h"
#include "tcg/efi-text.h"

#define SIGNATURE_LIST_HEADER_SIZE 28
#define GPT_ENTRY_SIZE_MIN 128
#define GPT_NAME_SIZE 72

static Err *add_guid(Json *json, const char *member, const EfiGuid *guid) {
        char text[sizeof(guid->text)];
        for (size_t i = 0; i < sizeof(text); i++)
                text[i] = (char) toupper((unsigned char) guid->text[i]);
        return json_add_string(json, member, text);
}

/* ---- signature databases, UEFI 2.10 §32.4.1 ---- */

static const char *signature_type(const EfiGuid *guid) {
        static const struct { char guid[37]; const char *name; } types[] = {
                { "a5c059a1-94e4-4aa7-87b5-ab155c2bf072", "EFI_CERT_X509_GUID" },
                { "c1c41626-504c-4092-aca9-41f936934328", "EFI_CERT_SHA256_GUID" },
                { "826ca512-cf10-4ac9-b187-be01496631bd", "EFI_CERT_SHA1_GUID" },
                { "0b6e5233-a65c-44c9-9407-d9ab83bfc8bd", "EFI_CERT_SHA224_GUID" },
                { "ff3e5307-9fd0-48c9-85f1-8ad56c701e01", "EFI_CERT_SHA384_GUID" },
                { "093e0fae-a6c4-4f50-9f1b-d41e2b89c19a", "EFI_CERT_SHA512_GUID" },
                { "3c5766e8-269c-4e34-aa14-ed776e85b3b6", "EFI_CERT_RSA2048_GUID" },
                { "e2b36190-879b-4a3d-ad8d-f2e7bba32784", "EFI_CERT_RSA2048_SHA256_GUID" },
                { "67f8444f-8743-48f1-a328-1eaab8736080", "EFI_CERT_RSA2048_SHA1_GUID" },
                { "3bd2a492-96c0-4079-b420-fcf98ef103ed", "EFI_CERT_X509_SHA256_GUID" },
                { "7076876e-80c2-4ee6-aad2-28b349a6865b", "EFI_CERT_X509_SHA384_GUID" },
                { "446dbf63-2502-4cda-bcfa-2465d2b0fe9d", "EFI_CERT_X509_SHA512_GUID" },
                { "4aafd29d-68df-49ee-8aa9-347d375665a7", "EFI_CERT_TYPE_PKCS7_GUID" },
        };
        for (size_t i = 0; i < N_ELEMENTS(types); i++)
                if (string_equal(types[i].guid, guid->text))
                        return types[i].name;
        return NULL;
}

static Err *add_signature(Json *signatures, Span data) {
        Json *json;
        Reader reader = reader_make(data);
        EfiGuid owner = efi_guid_read(&reader, "owner");
        TRY(json_new_object(&json));
        TRY(json_append(signatures, json));
        TRY(json_add_base64url(json, "SignatureData", reader_rest(&reader)));
        return add_guid(json, "SignatureOwner", &owner);
}

static Err *add_signature_list(Json *lists, Reader *reader) {
        Json *list, *signatures;
        EfiGuid type = efi_guid_read(reader, "signature type");
        uint32_t list_size = reader_u32le(reader, "list size"), header_size = reader_u32le(reader, "header size");
        uint32_t size = reader_u32le(reader, "signature size");
        if (list_size < SIGNATURE_LIST_HEADER_SIZE || size < EFI_GUID_SIZE)
                reader_fail(reader, "list size");
        Reader body = reader_make(reader_span(reader, (uint64_t) list_size - SIGNATURE_LIST_HEADER_SIZE, "signature list"));
        reader_span(&body, header_size, "signature header");
        if (reader_failed(reader) || reader_failed(&body) || reader_left(&body) % size != 0) {
                reader_fail(reader, "signature list");
                return NULL;
        }
        TRY(json_new_object(&list));
        TRY(json_append(lists, list));
        TRY(add_guid(list, "SignatureType", &type));
        TRY(json_add_string(list, "SignatureTypeString", signature_type(&type)));
        TRY(json_new_array(&signatures));
        TRY(json_add(list, "Signatures", signatures));
        while (reader_left(&body) > 0)
                TRY(add_signature(signatures, reader_span(&body, size, "signature")));
        return NULL;
}

/* *ret stays NULL if value is no database. */
static Err *decode_database(Span value, Json **ret) {
        _cleanup_json_ Json *lists = NULL;
        Reader reader = reader_make(value);
        TRY(json_new_array(&lists));
        while (reader_left(&reader) > 0)
                TRY(add_signature_list(lists, &reader));
        if (!reader_failed(&reader))
                *ret = steal_ptr(&lists);
        return NULL;
}

/* ---- variables, UEFI_VARIABLE_DATA ---- */

typedef struct Variable {
        EfiGuid guid;
        Span name, value;       /* name is UTF-16 */
} Variable;

/* The data has to be that structure and nothing more: some firmware measures the bare value of boot variables and authorities. */
static bool read_variable(Span data, Variable *ret) {
        Reader reader = reader_make(data);
        EfiGuid guid = efi_guid_read(&reader, "GUID");
        uint64_t length = reader_u64le(&reader, "name length"), size = reader_u64le(&reader, "data size");
        if (length > data.size)
                reader_fail(&reader, "name length");
        Span name = reader_span(&reader, length * 2, "name"), value = reader_span(&reader, size, "data");
        if (reader_failed(&reader) || reader_left(&reader) > 0)
                return false;
        *ret = (Variable) { guid, name, value };
        return true;
}

/* value NULL: the variable's bytes. */
static Err *variable_to_json(const Variable *variable, Json *steal_value, Json **ret) {
        _cleanup_json_ Json *json = NULL, *value = steal_value;
        TRY(json_new_object(&json));
        TRY(service_event_add_utf16(json, "UnicodeName", variable->name));
        TRY(add_guid(json, "VariableGuid", &variable->guid));
        if (value)
                TRY(json_add(json, "VariableData", steal_ptr(&value)));
        else
                TRY(json_add_base64url(json, "VariableData", variable->value));
        *ret = steal_ptr(&json);
        return NULL;
}

static Err *bare_to_json(Span data, Json *steal_value, Json **ret) {
        _cleanup_json_ Json *json = NULL, *value = steal_value;
        TRY(json_new_object(&json));
        if (value)
                TRY(json_add(json, "VariableData", steal_ptr(&value)));
        else
                TRY(json_add_base64url(json, "VariableData", data));
        *ret = steal_ptr(&json);
        return NULL;
}

static Err *is_database(Span name, bool *ret) {
        static const char *const names[] = { "PK", "KEK", "db", "dbx", "dbt", "dbr" };
        _cleanup_free_ char *text = NULL;
        TRY(efi_text_from_utf16(name, &text));
        *ret = false;
        for (size_t i = 0; i < N_ELEMENTS(names); i++)
                *ret = *ret || string_equal(names[i], text);
        return NULL;
}

Err *service_event_variable(Span data, Json **ret) {
        Variable variable;
        Json *database = NULL;
        bool has_signatures;
        if (!read_variable(data, &variable))
                return NULL;
        TRY(is_database(variable.name, &has_signatures));
        if (has_signatures)
                TRY(decode_database(variable.value, &database));
        return variable_to_json(&variable, database, ret);
}

Err *service_event_boot_variable(Span data, Json **ret) {
        Variable variable;
        return read_variable(data, &variable) ? variable_to_json(&variable, NULL, ret) : bare_to_json(data, NULL, ret);
}

/* EFI_SIGNATURE_DATA. What shim measures (a bare certificate, text of SBAT) has no owner before it: its bytes are shown. */
static Err *decode_authority(Span value, Json **ret) {
        _cleanup_json_ Json *array = NULL;
        Reader reader = reader_make(value);
        reader_span(&reader, EFI_GUID_SIZE, "owner");
        if (reader_u8(&reader, "certificate") != 0x30)   /* a SEQUENCE of DER */
                return NULL;
        TRY(json_new_array(&array));
        TRY(add_signature(array, value));
        *ret = json_ref(json_object_array_get_idx(array, 0));
        return NULL;
}

Err *service_event_authority(Span data, Json **ret) {
        Variable variable;
        Json *signature = NULL;
        bool is_variable = read_variable(data, &variable);
        TRY(decode_authority(is_variable ? variable.value : data, &signature));
        return is_variable ? variable_to_json(&variable, signature, ret) : bare_to_json(data, signature, ret);
}

/* ---- images, UEFI_IMAGE_LOAD_EVENT ---- */

static const char *path_type(uint8_t type) {
        switch (type) {
        case 1: return "HARDWARE";
        case 2: return "ACPI";
        case 3: return "MESSAGING";
        case 4: return "MEDIA";
        case 5: return "BIOS";
        default: return NULL;
        }
}

/* The service shows the first node of the path alone. */
static Err *add_device_path(Json *json, Span path) {
        Json *node, *type;
        Reader reader = reader_make(path);
        uint8_t number = reader_u8(&reader, "type"), sub_type = reader_u8(&reader, "sub-type");
        if (reader_failed(&reader))
                return NULL;
        TRY(json_new_object(&node));
        TRY(json_add(json, "DevicePath", node));
        TRY(json_add_integer(node, "SubType", sub_type));
        TRY(json_new_object(&type));
        TRY(json_add(node, "Type", type));
        TRY(json_add_string(type, "String", path_type(number)));
        return json_add_integer(type, "Value", number);
}

Err *service_event_image(Span data, Json **ret) {
        _cleanup_json_ Json *json = NULL;
        Reader reader = reader_make(data);
        uint64_t location = reader_u64le(&reader, "location"), length = reader_u64le(&reader, "length"), link = reader_u64le(&reader, "link address");
        Span path = reader_span(&reader, reader_u64le(&reader, "path size"), "device path");
        if (reader_failed(&reader))
                return NULL;
        TRY(json_new_object(&json));
        TRY(add_device_path(json, path));
        TRY(service_event_add_unsigned(json, "ImageLengthInMemory", length));
        TRY(service_event_add_unsigned(json, "ImageLinkTimeAddress", link));
        TRY(service_event_add_unsigned(json, "ImageLocationInMemory", location));
        *ret = steal_ptr(&json);
        return NULL;
}

/* ---- firmware ---- */

static Err *blob_to_json(Reader *reader, Json **ret) {
        _cleanup_json_ Json *json = NULL;
        uint64_t base = reader_u64le(reader, "base"), length = reader_u64le(reader, "length");
        if (reader_failed(reader))
                return NULL;
        TRY(json_new_object(&json));
        TRY(service_event_add_unsigned(json, "BlobBase", base));
        TRY(service_event_add_unsigned(json, "BlobLength", length));
        *ret = steal_ptr(&json);
        return NULL;
}

Err *service_event_blob(Span data, Json **ret) {
        Reader reader = reader_make(data);
        return blob_to_json(&reader, ret);
}

Err *service_event_blob2(Span data, Json **ret) {
        _cleanup_json_ Json *json = NULL;
        _cleanup_free_ char *description = NULL;
        Reader reader = reader_make(data);
        Span text = reader_span(&reader, reader_u8(&reader, "description size"), "description");
        TRY(efi_text_from_8bit(text, &description));
        TRY(blob_to_json(&reader, &json));
        if (!json)
                return NULL;
        TRY(json_add_string(json, "BlobDescription", description));
        *ret = steal_ptr(&json);
        return NULL;
}

/* ---- partition tables, UEFI 2.10 §5.3 ---- */

static Err *add_gpt_header(Json *json, Reader *reader) {
        Json *gpt, *header;
        TRY(json_new_object(&gpt));
        TRY(json_add(json, "UEFIPartitionHeader", gpt));
        TRY(json_new_object(&header));
        TRY(json_add(gpt, "Header", header));
        TRY(service_event_add_unsigned(header, "Signature", reader_u64le(reader, "signature")));
        TRY(service_event_add_unsigned(header, "Revision", reader_u32le(reader, "revision")));
        TRY(service_event_add_unsigned(header, "HeaderSize", reader_u32le(reader, "header size")));
        TRY(service_event_add_unsigned(header, "CRC32", reader_u32le(reader, "CRC of the header")));
        reader_u32le(reader, "reserved");
        TRY(service_event_add_unsigned(gpt, "MyLBA", reader_u64le(reader, "LBA")));
        TRY(service_event_add_unsigned(gpt, "AlternateLBA", reader_u64le(reader, "other LBA")));
        TRY(service_event_add_unsigned(gpt, "FirstUseableLBA", reader_u64le(reader, "first usable LBA")));
        TRY(service_event_add_unsigned(gpt, "LastUseableLBA", reader_u64le(reader, "last usable LBA")));
        EfiGuid disk = efi_guid_read(reader, "disk GUID");
        TRY(add_guid(gpt, "DiskGUID", &disk));
        TRY(service_event_add_unsigned(gpt, "PartitionEntryLBA", reader_u64le(reader, "LBA of the table")));
        TRY(service_event_add_unsigned(gpt, "NumberOfPartitionEntries", reader_u32le(reader, "number of entries")));
        uint32_t entry_size = reader_u32le(reader, "entry size");
        if (entry_size < GPT_ENTRY_SIZE_MIN)
                reader_fail(reader, "entry size");
        TRY(service_event_add_unsigned(gpt, "SizeOfPartitionEntry", entry_size));
        return service_event_add_unsigned(gpt, "PartitionEntryArrayCRC32", reader_u32le(reader, "CRC of the table"));
}

static Err *add_partition(Json *partitions, Span entry) {
        Json *json;
        Reader reader = reader_make(entry);
        EfiGuid type = efi_guid_read(&reader, "type"), guid = efi_guid_read(&reader, "GUID");
        TRY(json_new_object(&json));
        TRY(json_append(partitions, json));
        TRY(add_guid(json, "PartitionTypeGUID", &type));
        TRY(add_guid(json, "UniquePartitionGUID", &guid));
        TRY(service_event_add_unsigned(json, "StartingLBA", reader_u64le(&reader, "first LBA")));
        TRY(service_event_add_unsigned(json, "EndingLBA", reader_u64le(&reader, "last LBA")));
        TRY(service_event_add_unsigned(json, "Attributes", reader_u64le(&reader, "attributes")));
        return service_event_add_utf16(json, "PartitionName", reader_span(&reader, GPT_NAME_SIZE, "name"));
}

Err *service_event_gpt(Span data, Json **ret) {
        _cleanup_json_ Json *json = NULL;
        Json *partitions;
        int64_t entry_size;
        Reader reader = reader_make(data);
        TRY(json_new_object(&json));
        TRY(add_gpt_header(json, &reader));
        TRY(json_get_integer(json_get(json, "UEFIPartitionHeader"), "SizeOfPartitionEntry", &entry_size));
        uint64_t n = reader_u64le(&reader, "number of partitions");
        TRY(json_new_array(&partitions));
        TRY(json_add(json, "Partitions", partitions));
        for (uint64_t i = 0; i < n && !reader_failed(&reader); i++) {
                Span entry = reader_span(&reader, (uint64_t) entry_size, "partition entry");
                if (!reader_failed(&reader))
                        TRY(add_partition(partitions, entry));
        }
        if (!reader_failed(&reader))
                *ret = steal_ptr(&json);
        return NULL;
}
