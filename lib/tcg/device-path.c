/* See device-path.h. A path is a row of nodes (§10.2):
 *
 *     u8 type | u8 subtype | u16 size, these four bytes included | data
 *
 * type 0x7f is the end: of the path (subtype 0xff), or of one instance of several (0x01). Numbers and GUIDs are written in lower case, which the
 * specification leaves open. */
#include "tcg/device-path.h"

#include <inttypes.h>

#include "tcg/efi-guid.h"
#include "tcg/efi-text.h"

#define NODE_HEADER_SIZE 4
#define END 0x7f
#define END_OF_INSTANCE 0x01

typedef struct Node {
        uint8_t type, subtype;
        Span data;
} Node;

/* Each writes one node; false: data is not of this form, nothing that was written counts. */
typedef bool WriteNode(Writer *writer, Reader *reader);

static bool write_pci(Writer *writer, Reader *reader) {
        uint8_t function = reader_u8(reader, "function"), device = reader_u8(reader, "device");
        writer_format(writer, "Pci(0x%x,0x%x)", device, function);
        return true;
}

static bool write_memory(Writer *writer, Reader *reader) {
        uint32_t type = reader_u32le(reader, "type");
        uint64_t start = reader_u64le(reader, "start"), end = reader_u64le(reader, "end");
        writer_format(writer, "MemoryMapped(0x%x,0x%" PRIx64 ",0x%" PRIx64 ")", type, start, end);
        return true;
}

static bool write_controller(Writer *writer, Reader *reader) {
        writer_format(writer, "Ctrl(0x%x)", reader_u32le(reader, "number"));
        return true;
}

static bool write_vendor(Writer *writer, Reader *reader, const char *name) {
        EfiGuid guid = efi_guid_read(reader, "GUID");
        writer_format(writer, "%s(%s", name, guid.text);
        if (reader_left(reader) > 0) {
                writer_u8(writer, ',');
                writer_hex(writer, reader_rest(reader));
        }
        writer_u8(writer, ')');
        return true;
}

static bool write_vendor_hardware(Writer *writer, Reader *reader) { return write_vendor(writer, reader, "VenHw"); }
static bool write_vendor_message(Writer *writer, Reader *reader) { return write_vendor(writer, reader, "VenMsg"); }
static bool write_vendor_media(Writer *writer, Reader *reader) { return write_vendor(writer, reader, "VenMedia"); }

static bool write_acpi(Writer *writer, Reader *reader) {
        static const struct { uint16_t id; const char *name; } names[] = {
                { 0x0a03, "PciRoot" }, { 0x0a08, "PcieRoot" }, { 0x0604, "Floppy" }, { 0x0301, "Keyboard" }, { 0x0501, "Serial" },
                { 0x0401, "ParallelPort" },
        };
        uint32_t hid = reader_u32le(reader, "HID"), uid = reader_u32le(reader, "UID");
        bool is_pnp = (hid & 0xffff) == 0x41d0; /* "PNP" in compressed EISA form */
        for (size_t i = 0; is_pnp && i < N_ELEMENTS(names); i++)
                if (names[i].id == hid >> 16) {
                        writer_format(writer, "%s(0x%x)", names[i].name, uid);
                        return true;
                }
        if (is_pnp)
                writer_format(writer, "Acpi(PNP%04X,0x%x)", hid >> 16, uid);
        else
                writer_format(writer, "Acpi(0x%08x,0x%x)", hid, uid);
        return true;
}

static bool write_acpi_adr(Writer *writer, Reader *reader) {
        writer_format(writer, "AcpiAdr(0x%x", reader_u32le(reader, "ADR"));
        while (reader_left(reader) > 0)
                writer_format(writer, ",0x%x", reader_u32le(reader, "ADR"));
        writer_u8(writer, ')');
        return true;
}

static bool write_scsi(Writer *writer, Reader *reader) {
        uint16_t target = reader_u16le(reader, "target"), unit = reader_u16le(reader, "logical unit");
        writer_format(writer, "Scsi(0x%x,0x%x)", target, unit);
        return true;
}

static bool write_usb(Writer *writer, Reader *reader) {
        uint8_t port = reader_u8(reader, "port"), interface = reader_u8(reader, "interface");
        writer_format(writer, "USB(0x%x,0x%x)", port, interface);
        return true;
}

static bool write_unit(Writer *writer, Reader *reader) {
        writer_format(writer, "Unit(0x%x)", reader_u8(reader, "logical unit"));
        return true;
}

static bool write_sata(Writer *writer, Reader *reader) {
        uint16_t port = reader_u16le(reader, "port"), multiplier = reader_u16le(reader, "port multiplier"), unit = reader_u16le(reader, "unit");
        writer_format(writer, "Sata(0x%x,0x%x,0x%x)", port, multiplier, unit);
        return true;
}

static bool write_nvme(Writer *writer, Reader *reader) {
        writer_format(writer, "NVMe(0x%x,", reader_u32le(reader, "namespace"));
        Span eui = reader_span(reader, 8, "EUI-64");
        for (size_t i = eui.size; i-- > 0;)
                writer_format(writer, "%02x%s", eui.data[i], i > 0 ? "-" : ")");
        return true;
}

static bool write_mac(Writer *writer, Reader *reader) {
        Span address = reader_span(reader, 32, "address");
        uint8_t type = reader_u8(reader, "interface type");
        writer_string(writer, "MAC(");
        writer_hex(writer, span_make(address.data, type <= 1 ? MIN_OF(address.size, (size_t) 6) : address.size)); /* Ethernet */
        writer_format(writer, ",0x%x)", type);
        return true;
}

static void write_protocol(Writer *writer, uint16_t protocol) {
        if (protocol == 6 || protocol == 17)
                writer_string(writer, protocol == 6 ? "TCP" : "UDP");
        else
                writer_format(writer, "0x%x", protocol);
}

static void write_ipv4_address(Writer *writer, Span address) {
        for (size_t i = 0; i < address.size; i++)
                writer_format(writer, "%s%u", i > 0 ? "." : "", address.data[i]);
}

static bool write_ipv4(Writer *writer, Reader *reader) {
        Span local = reader_span(reader, 4, "local address"), remote = reader_span(reader, 4, "remote address");
        reader_u32le(reader, "ports");
        uint16_t protocol = reader_u16le(reader, "protocol");
        bool is_static = reader_u8(reader, "origin") != 0;
        writer_string(writer, "IPv4(");
        write_ipv4_address(writer, remote);
        writer_u8(writer, ',');
        write_protocol(writer, protocol);
        writer_string(writer, is_static ? ",Static," : ",DHCP,");
        write_ipv4_address(writer, local);
        while (reader_left(reader) > 0) { /* gateway and mask; older nodes end before */
                writer_u8(writer, ',');
                write_ipv4_address(writer, reader_span(reader, 4, "gateway or mask"));
        }
        writer_u8(writer, ')');
        return true;
}

static void write_ipv6_address(Writer *writer, Span address) {
        for (size_t i = 0; i + 1 < address.size; i += 2)
                writer_format(writer, "%s%02x%02x", i > 0 ? ":" : "", address.data[i], address.data[i + 1]);
}

static bool write_ipv6(Writer *writer, Reader *reader) {
        static const char *const origins[] = { "Static", "StatelessAutoConfigure", "StatefulAutoConfigure" };
        Span local = reader_span(reader, 16, "local address"), remote = reader_span(reader, 16, "remote address");
        reader_u32le(reader, "ports");
        uint16_t protocol = reader_u16le(reader, "protocol");
        uint8_t origin = reader_u8(reader, "origin");
        writer_string(writer, "IPv6(");
        write_ipv6_address(writer, remote);
        writer_u8(writer, ',');
        write_protocol(writer, protocol);
        writer_format(writer, ",%s,", origins[MIN_OF(origin, 2)]);
        write_ipv6_address(writer, local);
        if (reader_left(reader) > 0) {
                writer_format(writer, ",0x%x,", reader_u8(reader, "prefix length"));
                write_ipv6_address(writer, reader_span(reader, 16, "gateway"));
        }
        writer_u8(writer, ')');
        return true;
}

static bool write_vlan(Writer *writer, Reader *reader) {
        writer_format(writer, "Vlan(%u)", reader_u16le(reader, "identifier"));
        return true;
}

static bool write_uri(Writer *writer, Reader *reader) {
        writer_string(writer, "Uri(");
        efi_text_write_8bit(writer, reader_rest(reader));
        writer_u8(writer, ')');
        return true;
}

static bool write_slot(Writer *writer, Reader *reader, const char *name) {
        writer_format(writer, "%s(0x%x)", name, reader_u8(reader, "slot"));
        return true;
}

static bool write_sd(Writer *writer, Reader *reader) { return write_slot(writer, reader, "SD"); }
static bool write_emmc(Writer *writer, Reader *reader) { return write_slot(writer, reader, "eMMC"); }

static bool write_disk(Writer *writer, Reader *reader) {
        uint32_t partition = reader_u32le(reader, "partition");
        uint64_t start = reader_u64le(reader, "start"), size = reader_u64le(reader, "size");
        Span signature = reader_span(reader, EFI_GUID_SIZE, "signature");
        reader_u8(reader, "format");
        uint8_t type = reader_u8(reader, "signature type");
        Reader inner = reader_make(signature);
        if (type == 2)
                writer_format(writer, "HD(%u,GPT,%s", partition, efi_guid_read(&inner, "GUID").text);
        else if (type == 1)
                writer_format(writer, "HD(%u,MBR,0x%08x", partition, reader_u32le(&inner, "MBR signature"));
        else
                return false;
        writer_format(writer, ",0x%" PRIx64 ",0x%" PRIx64 ")", start, size);
        return true;
}

static bool write_cdrom(Writer *writer, Reader *reader) {
        uint32_t entry = reader_u32le(reader, "entry");
        uint64_t start = reader_u64le(reader, "start"), size = reader_u64le(reader, "size");
        writer_format(writer, "CDROM(0x%x,0x%" PRIx64 ",0x%" PRIx64 ")", entry, start, size);
        return true;
}

static bool write_file(Writer *writer, Reader *reader) {
        efi_text_write_utf16(writer, reader_rest(reader));
        return true;
}

static bool write_named(Writer *writer, Reader *reader, const char *name) {
        writer_format(writer, "%s(%s)", name, efi_guid_read(reader, "GUID").text);
        return true;
}

static bool write_media(Writer *writer, Reader *reader) { return write_named(writer, reader, "Media"); }
static bool write_fv_file(Writer *writer, Reader *reader) { return write_named(writer, reader, "FvFile"); }
static bool write_fv(Writer *writer, Reader *reader) { return write_named(writer, reader, "Fv"); }

static bool write_offset(Writer *writer, Reader *reader) {
        reader_u32le(reader, "reserved");
        uint64_t start = reader_u64le(reader, "start"), end = reader_u64le(reader, "end");
        writer_format(writer, "Offset(0x%" PRIx64 ",0x%" PRIx64 ")", start, end);
        return true;
}

static bool write_bbs(Writer *writer, Reader *reader) {
        static const char *const types[] = { NULL, "Floppy", "HD", "CDROM", "PCMCIA", "USB", "Network" };
        uint16_t type = reader_u16le(reader, "type"), flags = reader_u16le(reader, "flags");
        if (type > 0 && type < N_ELEMENTS(types))
                writer_format(writer, "BBS(%s,", types[type]);
        else
                writer_format(writer, "BBS(0x%x,", type);
        efi_text_write_8bit(writer, reader_rest(reader));
        writer_format(writer, ",0x%x)", flags);
        return true;
}

static const struct { uint8_t type, subtype; WriteNode *write; } forms[] = {
        { 1, 1, write_pci },    { 1, 3, write_memory },  { 1, 4, write_vendor_hardware }, { 1, 5, write_controller },
        { 2, 1, write_acpi },   { 2, 3, write_acpi_adr },
        { 3, 2, write_scsi },   { 3, 5, write_usb },     { 3, 10, write_vendor_message }, { 3, 11, write_mac },
        { 3, 12, write_ipv4 },  { 3, 13, write_ipv6 },   { 3, 17, write_unit },           { 3, 18, write_sata },
        { 3, 20, write_vlan },  { 3, 23, write_nvme },   { 3, 24, write_uri },            { 3, 26, write_sd },
        { 3, 29, write_emmc },
        { 4, 1, write_disk },   { 4, 2, write_cdrom },   { 4, 3, write_vendor_media },    { 4, 4, write_file },
        { 4, 5, write_media },  { 4, 6, write_fv_file }, { 4, 7, write_fv },              { 4, 8, write_offset },
        { 5, 1, write_bbs },
};

static void write_generic(Writer *writer, const Node *node) {
        static const char *const names[] = { NULL, "HardwarePath", "AcpiPath", "Msg", "MediaPath", "BbsPath" };
        if (node->type > 0 && node->type < N_ELEMENTS(names))
                writer_format(writer, "%s(%u", names[node->type], node->subtype);
        else
                writer_format(writer, "Path(%u,%u", node->type, node->subtype);
        if (node->data.size > 0)
                writer_u8(writer, ',');
        writer_hex(writer, node->data);
        writer_u8(writer, ')');
}

static Err *write_node(Writer *writer, const Node *node) {
        for (size_t i = 0; i < N_ELEMENTS(forms); i++) {
                if (forms[i].type != node->type || forms[i].subtype != node->subtype)
                        continue;
                _cleanup_writer_ Writer own = {};
                _cleanup_free_ char *text = NULL;
                Reader reader = reader_make(node->data);
                bool fits = forms[i].write(&own, &reader);
                TRY(writer_finish_string(&own, &text));
                if (!fits || reader_failed(&reader) || reader_left(&reader) > 0)
                        break;
                writer_string(writer, text);
                return NULL;
        }
        write_generic(writer, node);
        return NULL;
}

Err *device_path_to_string(Span path, char **ret) {
        _cleanup_writer_ Writer writer = {};
        Reader reader = reader_make(path);
        bool is_first = true;
        while (reader_left(&reader) > 0) {
                Node node = { .type = reader_u8(&reader, "node type"), .subtype = reader_u8(&reader, "node subtype") };
                uint16_t size = reader_u16le(&reader, "node size");
                if (!reader_failed(&reader) && size < NODE_HEADER_SIZE)
                        reader_fail(&reader, "node size");
                node.data = reader_span(&reader, (uint64_t) size - NODE_HEADER_SIZE, "node");
                TRY(reader_check(&reader, ERR_EVENTLOG_MALFORMED, "device path"));
                if (node.type == END && node.subtype != END_OF_INSTANCE)
                        break;
                if (node.type != END && !is_first)
                        writer_u8(&writer, '/');
                is_first = node.type == END;
                if (node.type == END)
                        writer_u8(&writer, ',');
                else
                        TRY(write_node(&writer, &node));
        }
        return writer_finish_string(&writer, ret);
}
