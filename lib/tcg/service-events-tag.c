/* EV_EVENT_TAG as the service shows it, and the buffers that IMA measured; see service-events.h. Tags of Windows (SIPA, wbcl.h of the Windows SDK):
 *
 *     u32 tag | u32 size | size bytes, and again up to the end; of an aggregate (bit 30) the bytes are such tags again
 *
 * An aggregate becomes an object with a member for each tag; loaded modules, keys and policies are lists even where there is one. Tags that the service's own
 * token leaves out are left out here. A tag that may come once and comes twice becomes a list, which the documentation's rules do not take for the single value
 * that they ask for.
 *
 * Not there: EVENT_DRTM_STATE_AUTH.SignatureValid. It is the service's verdict on a signature by keys that are not public, so that rules which ask for it are not satisfied. */
#include "tcg/service-events.h"

#include <ctype.h>

#include "base/reader.h"
#include "tcg/efi-signatures.h"
#include "tcg/efi-text.h"
#include "tcg/hash.h"

#define TAG_DEPTH_MAX 4   /* Windows nests two deep */

typedef struct TagName {
        uint64_t value;
        const char *name;
} TagName;

typedef Err *TagDecoder(Span data, const TagName *names, Json **ret);

/* ---- values ---- */

static bool read_unsigned(Span data, uint64_t *ret) {
        Reader reader = reader_make(data);
        switch (data.size) {
        case 1:
                *ret = reader_u8(&reader, "value");
                return true;
        case 2:
                *ret = reader_u16le(&reader, "value");
                return true;
        case 4:
                *ret = reader_u32le(&reader, "value");
                return true;
        case 8:
                *ret = reader_u64le(&reader, "value");
                return true;
        default:
                return false;
        }
}

static Err *take(Json *json, Json **ret) {
        if (!json)
                return err_oom();
        *ret = json;
        return NULL;
}

static Err *decode_boolean(Span data, _unused_ const TagName *names, Json **ret) {
        uint64_t value;
        return read_unsigned(data, &value) && value <= 1 ? take(json_object_new_boolean(value == 1), ret) : NULL;
}

static Err *decode_integer(Span data, _unused_ const TagName *names, Json **ret) {
        uint64_t value;
        return read_unsigned(data, &value) ? take(json_object_new_uint64(value), ret) : NULL;
}

/* {"String":name,"Value":n}; a value without a known name has no String. */
static Err *decode_enumeration(Span data, const TagName *names, Json **ret) {
        _cleanup_json_ Json *json = NULL;
        uint64_t value;
        if (!read_unsigned(data, &value))
                return NULL;
        TRY(json_new_object(&json));
        for (; names->name; names++)
                if (names->value == value)
                        TRY(json_add_string(json, "String", names->name));
        TRY(service_event_add_unsigned(json, "Value", value));
        *ret = steal_ptr(&json);
        return NULL;
}

static Err *decode_text(Span data, _unused_ const TagName *names, Json **ret) {
        _cleanup_free_ char *text = NULL;
        TRY(efi_text_from_utf16(data, &text));
        return take(json_object_new_string(text), ret);
}

static Err *decode_bytes(Span data, _unused_ const TagName *names, Json **ret) {
        _cleanup_free_ char *text = NULL;
        TRY(base64url_encode(data, &text));
        return take(json_object_new_string(text), ret);
}

/* ---- structures, as wbcl.h has them ---- */

static Err *add_hash_name(Json *json, uint16_t alg) {
        char upper[16] = "";
        const char *name = hash_name(alg);
        for (size_t i = 0; name && name[i] && i + 1 < sizeof(upper); i++)
                upper[i] = (char) toupper((unsigned char) name[i]);
        return json_add_string(json, "HashAlgId", name ? upper : NULL);
}

/* SIPAEVENT_VSM_IDK_INFO_PAYLOAD: u32 algorithm | u32 bits | u32 exponent size | u32 modulus size | exponent | modulus, both big endian. */
static Err *decode_idk(Span data, _unused_ const TagName *names, Json **ret) {
        _cleanup_json_ Json *json = NULL;
        Reader reader = reader_make(data);
        uint32_t algorithm = reader_u32le(&reader, "algorithm"), bits = reader_u32le(&reader, "key size");
        uint32_t exponent_size = reader_u32le(&reader, "exponent size"), modulus_size = reader_u32le(&reader, "modulus size");
        Span exponent = reader_span(&reader, exponent_size, "exponent"), modulus = reader_span(&reader, modulus_size, "modulus");
        if (reader_failed(&reader) || algorithm != 1)
                return NULL;
        TRY(json_new_object(&json));
        TRY(service_event_add_unsigned(json, "RsaKeyBitLength", bits));
        TRY(json_add_base64url(json, "RsaModulus", modulus));
        TRY(json_add_base64url(json, "RsaPublicExponent", exponent));
        TRY(json_add_string(json, "Vsm_idk_alg_id", "VSM_IDK_ALG_ID_RSA"));
        *ret = steal_ptr(&json);
        return NULL;
}

/* SIPAEVENT_SI_POLICY_PAYLOAD: u64 version | u16 name size | u16 hash algorithm | u32 digest size | name, UTF-16 | digest. */
static Err *decode_policy(Span data, _unused_ const TagName *names, Json **ret) {
        _cleanup_json_ Json *json = NULL;
        Reader reader = reader_make(data);
        uint64_t version = reader_u64le(&reader, "version");
        uint16_t name_size = reader_u16le(&reader, "name size"), alg = reader_u16le(&reader, "hash algorithm");
        uint32_t digest_size = reader_u32le(&reader, "digest size");
        Span name = reader_span(&reader, name_size, "name"), digest = reader_span(&reader, digest_size, "digest");
        if (reader_failed(&reader))
                return NULL;
        TRY(json_new_object(&json));
        TRY(json_add_base64url(json, "Digest", digest));
        TRY(add_hash_name(json, alg));
        TRY(service_event_add_utf16(json, "PolicyName", name));
        TRY(service_event_add_unsigned(json, "PolicyVersion", version));
        TRY(json_add_base64url(json, "RawData", data));
        *ret = steal_ptr(&json);
        return NULL;
}

/* SIPAEVENT_SI_POLICY_CERTIFICATE_PAYLOAD: u16 publisher size | u16 issuer size | u32 CAPI algorithm | u16 digest size | publisher | issuer | digest. */
static Err *add_certificate(Json *certificates, Reader *reader) {
        Json *json;
        uint16_t publisher_size = reader_u16le(reader, "publisher size"), issuer_size = reader_u16le(reader, "issuer size");
        uint32_t alg = reader_u32le(reader, "hash algorithm");
        uint16_t digest_size = reader_u16le(reader, "digest size");
        Span publisher = reader_span(reader, publisher_size, "publisher"), issuer = reader_span(reader, issuer_size, "issuer");
        Span digest = reader_span(reader, digest_size, "digest");
        TRY(json_new_object(&json));
        TRY(json_append(certificates, json));
        TRY(service_event_add_unsigned(json, "CapiHashAlgId", alg));
        TRY(json_add_base64url(json, "Digest", digest));
        TRY(service_event_add_utf16(json, "IssuerCommonName", issuer));
        return service_event_add_utf16(json, "PublisherCommonName", publisher);
}

static Err *add_ekus(Json *json, Span data, Reader *outer) {
        Json *ekus;
        Reader reader = reader_make(data);
        TRY(json_new_array(&ekus));
        TRY(json_add(json, "EKUs", ekus));
        while (reader_left(&reader) > 0) {
                Json *text = NULL;
                TRY(decode_bytes(reader_span(&reader, reader_u8(&reader, "size"), "EKU"), NULL, &text));
                TRY(json_append(ekus, text));
        }
        if (reader_failed(&reader))
                reader_fail(outer, "EKUs");
        return NULL;
}

/* SIPAEVENT_SI_POLICY_SIGNER_PAYLOAD: u32 root | u32 size and u16 number of certificates (the latter apart) | u16 name size | u16 size and number of EKUs |
 * name | EKUs | certificates. */
static Err *decode_policy_signer(Span data, _unused_ const TagName *names, Json **ret) {
        _cleanup_json_ Json *json = NULL;
        Json *certificates;
        Reader reader = reader_make(data);
        uint32_t root = reader_u32le(&reader, "root"), certificates_size = reader_u32le(&reader, "certificates size");
        reader_u16le(&reader, "number of certificates");
        uint16_t name_size = reader_u16le(&reader, "name size"), ekus_size = reader_u16le(&reader, "EKUs size");
        reader_u16le(&reader, "number of EKUs");
        Span name = reader_span(&reader, name_size, "name"), ekus = reader_span(&reader, ekus_size, "EKUs");
        Reader inner = reader_make(reader_span(&reader, certificates_size, "certificates"));
        TRY(json_new_object(&json));
        TRY(json_new_array(&certificates));
        TRY(json_add(json, "Certificates", certificates));
        while (reader_left(&inner) > 0)
                TRY(add_certificate(certificates, &inner));
        TRY(add_ekus(json, ekus, &reader));
        if (reader_failed(&reader) || reader_failed(&inner))
                return NULL;
        TRY(service_event_add_utf16(json, "PolicyName", name));
        TRY(json_add_base64url(json, "RawData", data));
        TRY(service_event_add_unsigned(json, "RootId", root));
        *ret = steal_ptr(&json);
        return NULL;
}

/* SIPAEVENT_REVOCATION_LIST_PAYLOAD: i64 time | u32 digest size | u16 hash algorithm | digest. */
static Err *decode_revocations(Span data, _unused_ const TagName *names, Json **ret) {
        _cleanup_json_ Json *json = NULL;
        Reader reader = reader_make(data);
        uint64_t time = reader_u64le(&reader, "creation time");
        uint32_t digest_size = reader_u32le(&reader, "digest size");
        uint16_t alg = reader_u16le(&reader, "hash algorithm");
        Span digest = reader_span(&reader, digest_size, "digest");
        if (reader_failed(&reader))
                return NULL;
        TRY(json_new_object(&json));
        TRY(service_event_add_unsigned(json, "CreationTime", time));
        TRY(json_add_base64url(json, "Digest", digest));
        TRY(add_hash_name(json, alg));
        TRY(json_add_base64url(json, "RawData", data));
        *ret = steal_ptr(&json);
        return NULL;
}

/* SIPAEVENT_SBCP_INFO_PAYLOAD_V1: u32 version | u32 offset of the digest | u16 hash algorithm | u16 digest size | u32 options | u32 signers. The names of
 * options are not public: Options is there where none is set. */
static Err *decode_boot_policy(Span data, _unused_ const TagName *names, Json **ret) {
        _cleanup_json_ Json *json = NULL;
        Reader reader = reader_make(data), variable = reader_make(data);
        uint32_t version = reader_u32le(&reader, "version"), offset = reader_u32le(&reader, "offset");
        uint16_t alg = reader_u16le(&reader, "hash algorithm"), digest_size = reader_u16le(&reader, "digest size");
        uint32_t options = reader_u32le(&reader, "options"), signers = reader_u32le(&reader, "number of signers");
        reader_span(&variable, offset, "offset");
        Span digest = reader_span(&variable, digest_size, "digest");
        if (reader_failed(&reader) || reader_failed(&variable))
                return NULL;
        TRY(json_new_object(&json));
        TRY(json_add_base64url(json, "Digest", digest));
        TRY(add_hash_name(json, alg));
        TRY(json_add_string(json, "Options", options == 0 ? "SecureBootPolicy: default (no options set)" : NULL));
        TRY(service_event_add_unsigned(json, "PayloadVersion", version));
        TRY(service_event_add_unsigned(json, "SignersCount", signers));
        *ret = steal_ptr(&json);
        return NULL;
}

/* ---- the tags; names of values are those of wbcl.h, or of the service's token ---- */

static const TagName transfer_names[] = { { 1, "SiBootAppOsLoader" }, { 2, "SiBootAppResume" }, { 5, "SiBootHypervisor" }, {} };
static const TagName unlock_names[] = {
        { 0x00, "NONE" }, { 0x01, "CACHED" }, { 0x02, "MEDIA" }, { 0x04, "TPM" }, { 0x10, "PIN" }, { 0x20, "EXTERNAL" },
        { 0x40, "RECOVERY" }, { 0x80, "PASSPHRASE" }, { 0x100, "NBP" }, { 0x200, "AUK_OSFVEINFO" }, {},
};
static const TagName device_names[] = {
        { 0x00000, "OSDEVICE_TYPE_UNKNOWN" },
        { 0x10001, "OSDEVICE_TYPE_BLOCKIO_HARDDISK" },
        { 0x10002, "OSDEVICE_TYPE_BLOCKIO_REMOVABLEDISK" },
        { 0x10003, "OSDEVICE_TYPE_BLOCKIO_CDROM" },
        { 0x10004, "OSDEVICE_TYPE_BLOCKIO_PARTITION" },
        { 0x10005, "OSDEVICE_TYPE_BLOCKIO_FILE" },
        { 0x10006, "OSDEVICE_TYPE_BLOCKIO_RAMDISK" },
        { 0x10007, "OSDEVICE_TYPE_BLOCKIO_VIRTUALHARDDISK" },
        { 0x20000, "OSDEVICE_TYPE_SERIAL" },
        { 0x30000, "OSDEVICE_TYPE_UDP" },
        { 0x40000, "OSDEVICE_TYPE_VMBUS" },
        { 0x50000, "OSDEVICE_TYPE_COMPOSITE" },
        { 0x60000, "OSDEVICE_TYPE_CIMFS" },
        {},
};
static const TagName nx_names[] = { { 0, "NxPolicyOptIn" }, { 1, "NxPolicyOptOut" }, { 2, "NxPolicyAlwaysOff" }, { 3, "NxPolicyAlwaysOn" }, {} };
static const TagName hypervisor_names[] = { { 0, "HypervisorLaunchOff" }, { 1, "HypervisorLaunchAuto" }, {} };
static const TagName vsm_names[] = { { 0, "VsmLaunchOff" }, { 1, "VsmLaunchAuto" }, {} };
static const TagName iommu_names[] = { { 0, "BtIommuPolicyDefault" }, { 1, "BtIommuPolicyEnable" }, { 2, "BtIommuPolicyDisable" }, {} };
static const TagName driver_names[] = { { 1, "GoodPlusUnknown" }, {} };
static const TagName hvci_names[] = { { 1, "HypervisorEnforcedCodeIntegrityEnable" }, {} };
static const TagName chain_names[] = { { 1, "VbsBootChainSignerEnforceSoft" }, {} };
static const TagName hash_names[] = { { 0x8004, "CALG_SHA1" }, { 0x800c, "CALG_SHA_256" }, { 0x800d, "CALG_SHA_384" }, { 0x800e, "CALG_SHA_512" }, {} };
static const TagName no_names[] = { {} };

typedef struct Tag {
        uint32_t tag;
        const char *member;
        TagDecoder *decode;     /* NULL: an aggregate */
        const TagName *names;
        bool is_list;
} Tag;

static const Tag tags[] = {
        { 0x40010001, "EVENT_TRUSTBOUNDARY", NULL, NULL, false },
        { 0x40010002, "EVENT_ELAM_AGGREGATION", NULL, NULL, true },
        { 0x40010003, "EVENT_LOADEDMODULE_AGGREGATION", NULL, NULL, true },
        { 0x00020002, "EVENT_BOOTCOUNTER", decode_integer, NULL, false },
        { 0x00020003, "EVENT_TRANSFER_CONTROL", decode_enumeration, transfer_names, false },
        { 0x00020005, "EVENT_BITLOCKER_UNLOCK", decode_enumeration, unlock_names, false },
        { 0x00020006, "EVENT_EVENTCOUNTER", decode_integer, NULL, false },
        { 0x00020007, "EVENT_COUNTERID", decode_integer, NULL, false },
        { 0x00020009, "EVENT_APPLICATION_SVN", decode_integer, NULL, false },
        { 0x0002000a, "EVENT_SVN_CHAIN_STATUS", decode_integer, NULL, false },
        { 0x0002000b, "EVENT_MORBIT_API_STATUS", decode_integer, NULL, false },
        { 0x00040001, "EVENT_BOOTDEBUGGING", decode_boolean, NULL, false },
        { 0x00040002, "EVENT_BOOT_REVOCATION_LIST", decode_revocations, NULL, false },
        { 0x00050001, "EVENT_OSKERNELDEBUG", decode_boolean, NULL, false },
        { 0x00050002, "EVENT_CODEINTEGRITY", decode_boolean, NULL, false },
        { 0x00050003, "EVENT_TESTSIGNING", decode_boolean, NULL, false },
        { 0x00050004, "EVENT_DATAEXECUTIONPREVENTION", decode_enumeration, nx_names, false },
        { 0x00050005, "EVENT_SAFEMODE", decode_boolean, NULL, false },
        { 0x00050006, "EVENT_WINPE", decode_boolean, NULL, false },
        { 0x00050008, "EVENT_OSDEVICE", decode_enumeration, device_names, false },
        { 0x00050009, "EVENT_SYSTEMROOT", decode_text, NULL, false },
        { 0x0005000a, "EVENT_HYPERVISOR_LAUNCH_TYPE", decode_enumeration, hypervisor_names, false },
        { 0x0005000b, "EVENT_HYPERVISOR_PATH", decode_text, NULL, false },
        { 0x0005000c, "EVENT_HYPERVISOR_IOMMU_POLICY", decode_enumeration, iommu_names, false },
        { 0x0005000d, "EVENT_HYPERVISOR_DEBUG", decode_boolean, NULL, false },
        { 0x0005000e, "EVENT_DRIVER_LOAD_POLICY", decode_enumeration, driver_names, false },
        { 0x0005000f, "EVENT_SI_POLICY", decode_policy, NULL, true },
        { 0x00050012, "EVENT_VSM_LAUNCH_TYPE", decode_enumeration, vsm_names, false },
        { 0x00050013, "EVENT_OS_REVOCATION_LIST", decode_revocations, NULL, false },
        { 0x00050020, "EVENT_VSM_IDK_INFO", decode_idk, NULL, false },
        { 0x00050021, "EVENT_FLIGHTSIGNING", decode_boolean, NULL, false },
        { 0x00050022, "EVENT_PAGEFILE_ENCRYPTION_ENABLED", decode_boolean, NULL, false },
        { 0x00050023, "EVENT_VSM_IDKS_INFO", decode_idk, NULL, false },
        { 0x00050024, "EVENT_HIBERNATION_DISABLED", decode_boolean, NULL, false },
        { 0x00050025, "EVENT_DUMPS_DISABLED", decode_boolean, NULL, false },
        { 0x00050026, "EVENT_DUMP_ENCRYPTION_ENABLED", decode_boolean, NULL, false },
        { 0x00050027, "EVENT_DUMP_ENCRYPTION_KEY_DIGEST", decode_bytes, NULL, false },
        { 0x00050029, "EVENT_SBCP_INFO", decode_boot_policy, NULL, false },
        { 0x00050031, "EVENT_SI_POLICY_SIGNER", decode_policy_signer, NULL, true },
        { 0x00050032, "EVENT_SI_POLICY_UPDATE_SIGNER", decode_policy_signer, NULL, true },
        { 0x00060002, "EVENT_AUTHORITYPUBKEY", decode_bytes, NULL, true },
        { 0x00070001, "EVENT_FILEPATH", decode_text, NULL, false },
        { 0x00070002, "EVENT_IMAGESIZE", decode_integer, NULL, false },
        { 0x00070003, "EVENT_HASHALGORITHMID", decode_enumeration, hash_names, false },
        { 0x00070004, "EVENT_AUTHENTICODEHASH", decode_bytes, NULL, false },
        { 0x00070005, "EVENT_AUTHORITYISSUER", decode_text, NULL, false },
        { 0x00070006, "EVENT_AUTHORITYSERIAL", decode_bytes, NULL, false },
        { 0x00070007, "EVENT_IMAGEBASE", decode_integer, NULL, false },
        { 0x00070008, "EVENT_AUTHORITYPUBLISHER", decode_text, NULL, false },
        { 0x00070009, "EVENT_AUTHORITYSHA1THUMBPRINT", decode_bytes, NULL, false },
        { 0x0007000a, "EVENT_IMAGEVALIDATED", decode_boolean, NULL, false },
        { 0x0007000b, "EVENT_MODULE_SVN", decode_integer, NULL, false },
        { 0x00090001, "EVENT_ELAM_KEYNAME", decode_text, NULL, false },
        { 0x00090002, "EVENT_ELAM_CONFIGURATION", decode_bytes, NULL, false },
        { 0x00090003, "EVENT_ELAM_POLICY", decode_bytes, NULL, false },
        { 0x00090004, "EVENT_ELAM_MEASURED", decode_bytes, NULL, false },
        { 0x000a0001, "EVENT_VBS_VSM_REQUIRED", decode_boolean, NULL, false },
        { 0x000a0002, "EVENT_VBS_SECUREBOOT_REQUIRED", decode_boolean, NULL, false },
        { 0x000a0003, "EVENT_VBS_IOMMU_REQUIRED", decode_boolean, NULL, false },
        { 0x000a0004, "EVENT_VBS_MMIO_NX_REQUIRED", decode_boolean, NULL, false },
        { 0x000a0005, "EVENT_VBS_MSR_FILTERING_REQUIRED", decode_boolean, NULL, false },
        { 0x000a0006, "EVENT_VBS_MANDATORY_ENFORCEMENT", decode_boolean, NULL, false },
        { 0x000a0007, "EVENT_VBS_HVCI_POLICY", decode_enumeration, hvci_names, false },
        { 0x000a0008, "EVENT_VBS_MICROSOFT_BOOT_CHAIN_REQUIRED", decode_enumeration, chain_names, false },
        { 0x000a0009, "EVENT_VBS_DUMP_USES_AMEROOT", decode_boolean, NULL, false },
        { 0x000a000a, "EVENT_VBS_VSM_NOSECRETS_ENFORCED", decode_boolean, NULL, false },
        { 0x000c0002, "EVENT_DRTM_SMM", decode_enumeration, no_names, false },
};

static const Tag *find_tag(uint32_t number) {
        for (size_t i = 0; i < N_ELEMENTS(tags); i++)
                if (tags[i].tag == number)
                        return &tags[i];
        return NULL;
}

/* ---- aggregates ---- */

static Err *add_member(Json *json, const Tag *tag, Json *steal_value) {
        _cleanup_json_ Json *value = steal_value, *list = NULL;
        Json *before = json_get(json, tag->member);
        if (!before && !tag->is_list)
                return json_add(json, tag->member, steal_ptr(&value));
        if (before && json_is_array(before))
                return json_append(before, steal_ptr(&value));
        TRY(json_new_array(&list));
        if (before)
                TRY(json_append(list, json_ref(before)));
        TRY(json_append(list, steal_ptr(&value)));
        return json_add(json, tag->member, steal_ptr(&list));
}

static Err *decode_tags(Span data, unsigned depth, Json **ret);

/* A tag whose data do not fit is left out, as unknown ones are. */
static Err *decode_tag(const Tag *tag, Span data, unsigned depth, Json *json) {
        Json *value = NULL;
        TRY(tag->decode ? tag->decode(data, tag->names, &value) : decode_tags(data, depth + 1, &value));
        return value ? add_member(json, tag, value) : NULL;
}

/* *ret stays NULL if data are no such tags. */
static Err *decode_tags(Span data, unsigned depth, Json **ret) {
        _cleanup_json_ Json *json = NULL;
        Reader reader = reader_make(data);
        if (depth == TAG_DEPTH_MAX)
                return NULL;
        TRY(json_new_object(&json));
        while (reader_left(&reader) > 0) {
                const Tag *tag = find_tag(reader_u32le(&reader, "tag"));
                Span value = reader_span(&reader, reader_u32le(&reader, "size"), "data");
                if (tag && !reader_failed(&reader))
                        TRY(decode_tag(tag, value, depth, json));
        }
        if (!reader_failed(&reader))
                *ret = steal_ptr(&json);
        return NULL;
}

Err *service_event_tagged(Span data, Json **ret) {
        _cleanup_json_ Json *json = NULL;
        TRY(decode_tags(data, 0, &json));
        if (json && json_object_object_length(json) > 0)
                *ret = steal_ptr(&json);
        return NULL;
}

/* ---- IMA ---- */

/* ima_policy(5) measure func=CRITICAL_DATA label=kernel_info, and func=KEY_CHECK: the name says what the buffer is. */
Err *service_event_ima_buffer(Span name, Span buffer, Json **ret) {
        _cleanup_json_ Json *json = NULL;
        _cleanup_free_ char *text = NULL, *label = NULL;
        TRY(json_new_object(&json));
        TRY(efi_text_from_8bit(name, &label));
        if (span_equal_string(name, "kernel_version")) {
                TRY(efi_text_from_8bit(buffer, &text));
                TRY(json_add_string(json, "KernelVersion", text));
        } else if (name.size > 0 && label[0] == '.') {
                TRY(efi_certificate_subject(buffer, &text));
                TRY(json_add_string(json, "Keyring", label));
                TRY(json_add_string(json, "CertificateSubject", *text ? text : NULL));
        } else {
                TRY(json_add_string(json, "EventName", label));
                TRY(json_add_base64url(json, "Data", buffer));
        }
        *ret = steal_ptr(&json);
        return NULL;
}
