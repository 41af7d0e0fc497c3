/* See secure-boot.h. UEFI_VARIABLE_DATA, little endian:
 *
 *     GUID 16 | u64 name length in UTF-16 units | u64 data size | name | data */
#include "tcg/secure-boot.h"

#include "base/reader.h"

#define EV_EFI_VARIABLE_DRIVER_CONFIG UINT32_C(0x80000001)
#define PCR_SECURE_BOOT 7

/* 8be4df61-93ca-11d2-aa0d-00e098032b8c, EFI_GLOBAL_VARIABLE (UEFI 2.10 §3.3), as it lies in memory */
static const uint8_t global_variable[16] = { 0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c };
static const uint8_t secure_boot_name[] = { 'S', 0, 'e', 0, 'c', 0, 'u', 0, 'r', 0, 'e', 0, 'B', 0, 'o', 0, 'o', 0, 't', 0 };

/* Variables of other names and shapes are simply not SecureBoot. */
static bool is_secure_boot(Span data, bool *ret_on) {
        Reader reader = reader_make(data);
        Span guid = reader_span(&reader, 16, "VariableName");
        uint64_t name_units = reader_u64le(&reader, "UnicodeNameLength");
        uint64_t value_size = reader_u64le(&reader, "VariableDataLength");
        if (name_units != sizeof(secure_boot_name) / 2)
                return false;
        Span name = reader_span(&reader, name_units * 2, "UnicodeName");
        Span value = reader_span(&reader, value_size, "VariableData");
        if (reader_failed(&reader) || !span_equal(guid, SPAN_OF(global_variable)) || !span_equal(name, SPAN_OF(secure_boot_name)))
                return false;
        *ret_on = value.size == 1 && value.data[0] == 1;
        return true;
}

static Err *proves_its_data(const EventLogEvent *event, uint16_t alg, bool *ret) {
        *ret = false;
        for (size_t i = 0; i < event->n_digests; i++) {
                if (event->digests[i].alg != alg)
                        continue;
                Digest computed;
                TRY(hash_digest(alg, event->data, &computed));
                *ret = digest_equal(&computed, &event->digests[i]);
        }
        return NULL;
}

Err *secure_boot_measured(Span input, uint16_t alg, bool *ret) {
        _cleanup_(eventlog_freep) EventLog *log = NULL;
        TRY(eventlog_open(input, &log));
        bool found = false, on = false;
        for (;;) {
                EventLogEvent event;
                bool more, proven, value;
                TRY(eventlog_next(log, &event, &more));
                if (!more)
                        break;
                if (event.pcr != PCR_SECURE_BOOT || event.type != EV_EFI_VARIABLE_DRIVER_CONFIG || !is_secure_boot(event.data, &value))
                        continue;
                TRY(proves_its_data(&event, alg, &proven));
                on = value && proven && (!found || on); /* measured twice: both must say so */
                found = true;
        }
        *ret = on;
        return NULL;
}
