/* See eventlog.h. All integers are little endian.
 *
 *     TCG_PCR_EVENT (SHA-1-only log, and the first record of every log; PFP 1.06 §10.2.1)
 *       u32 PCR | u32 type | 20 bytes SHA-1 digest | u32 size | size bytes
 *     TCG_PCR_EVENT2 (every further record of a crypto-agile log; §10.2.2)
 *       u32 PCR | u32 type | u32 n | n * { u16 alg | digest } | u32 size | size bytes
 *     Spec ID Event03 (data of the EV_NO_ACTION that makes a log crypto-agile; §10.4.5.1)
 *       "Spec ID Event03\0" | u32 platform class | u8 minor (0) | u8 major (2) | u8 errata | u8 size of UINTN
 *       | u32 n | n * { u16 alg | u16 digest size } | u8 vendor size | vendor bytes
 *
 * The sizes of digests come from the Spec ID, so a log with algorithms that we do not know still parses. A second Spec ID
 * record stands where two logs were written one after the other; it is told from a TCG_PCR_EVENT2 without digests by its text.
 * Log areas are tables of a fixed size, so what follows the last record is often filled with one byte value; where that run
 * begins is found once, from the end, so that no input makes the search quadratic. */
#include "tcg/eventlog.h"

#include "base/reader.h"

#define EV_NO_ACTION 0x00000003
#define EV_EFI_HCRTM_EVENT UINT32_C(0x80000010)

#define SPEC_ID_PREFIX "Spec ID Event"
#define SPEC_ID_CRYPTO_AGILE "Spec ID Event03"      /* and its NUL */
#define SPEC_ID_SIGNATURE_SIZE 16
#define STARTUP_LOCALITY "StartupLocality"          /* and its NUL, then u8 locality; PFP 1.06 §10.4.5.3 */
#define HCRTM_LOCALITY 4                            /* PCR 0 starts at 4 after an H-CRTM sequence; TPM 2.0 Part 1 §34.3 */

struct EventLog {
        Reader reader;
        size_t padding_offset;  /* where a run of equal 0x00 or 0xff bytes up to the end begins; size of the input if none */
        uint64_t n_events;
        bool crypto_agile;
        size_t n_spec_algs;
        struct { uint16_t alg, size; } spec_algs[HASH_ALGS_MAX];
        size_t n_banks;
        uint16_t banks[HASH_ALGS_MAX];
        bool has_first;         /* read ahead by eventlog_open() */
        EventLogEvent first;
};

static const struct { uint32_t type; const char *name; } type_names[] = {
        { 0x00, "EV_PREBOOT_CERT" },
        { 0x01, "EV_POST_CODE" },
        { 0x02, "EV_UNUSED" },
        { 0x03, "EV_NO_ACTION" },
        { 0x04, "EV_SEPARATOR" },
        { 0x05, "EV_ACTION" },
        { 0x06, "EV_EVENT_TAG" },
        { 0x07, "EV_S_CRTM_CONTENTS" },
        { 0x08, "EV_S_CRTM_VERSION" },
        { 0x09, "EV_CPU_MICROCODE" },
        { 0x0a, "EV_PLATFORM_CONFIG_FLAGS" },
        { 0x0b, "EV_TABLE_OF_DEVICES" },
        { 0x0c, "EV_COMPACT_HASH" },
        { 0x0d, "EV_IPL" },
        { 0x0e, "EV_IPL_PARTITION_DATA" },
        { 0x0f, "EV_NONHOST_CODE" },
        { 0x10, "EV_NONHOST_CONFIG" },
        { 0x11, "EV_NONHOST_INFO" },
        { 0x12, "EV_OMIT_BOOT_DEVICE_EVENTS" },
        { 0x13, "EV_POST_CODE2" },
        { 0x80000001, "EV_EFI_VARIABLE_DRIVER_CONFIG" },
        { 0x80000002, "EV_EFI_VARIABLE_BOOT" },
        { 0x80000003, "EV_EFI_BOOT_SERVICES_APPLICATION" },
        { 0x80000004, "EV_EFI_BOOT_SERVICES_DRIVER" },
        { 0x80000005, "EV_EFI_RUNTIME_SERVICES_DRIVER" },
        { 0x80000006, "EV_EFI_GPT_EVENT" },
        { 0x80000007, "EV_EFI_ACTION" },
        { 0x80000008, "EV_EFI_PLATFORM_FIRMWARE_BLOB" },
        { 0x80000009, "EV_EFI_HANDOFF_TABLES" },
        { 0x8000000a, "EV_EFI_PLATFORM_FIRMWARE_BLOB2" },
        { 0x8000000b, "EV_EFI_HANDOFF_TABLES2" },
        { 0x8000000c, "EV_EFI_VARIABLE_BOOT2" },
        { 0x8000000d, "EV_EFI_GPT_EVENT2" },
        { 0x80000010, "EV_EFI_HCRTM_EVENT" },
        { 0x800000e0, "EV_EFI_VARIABLE_AUTHORITY" },
        { 0x800000e1, "EV_EFI_SPDM_FIRMWARE_BLOB" },
        { 0x800000e2, "EV_EFI_SPDM_FIRMWARE_CONFIG" },
        { 0x800000e3, "EV_EFI_SPDM_DEVICE_POLICY" },
        { 0x800000e4, "EV_EFI_SPDM_DEVICE_AUTHORITY" },
};

const char *eventlog_type_to_string(uint32_t type) {
        for (size_t i = 0; i < N_ELEMENTS(type_names); i++)
                if (type_names[i].type == type)
                        return type_names[i].name;
        return NULL;
}

static bool starts_with(Span data, const char *prefix, size_t size) {
        return data.size >= size && memcmp(data.data, prefix, size) == 0;
}

static void add_bank(EventLog *log, uint16_t alg) {
        for (size_t i = 0; i < log->n_banks; i++)
                if (log->banks[i] == alg)
                        return;
        if (log->n_banks < HASH_ALGS_MAX)
                log->banks[log->n_banks++] = alg;
}

/* Size of a digest of alg in this log, 0 if the log cannot have one. An algorithm that the Spec ID forgot is read with its known size. */
static size_t digest_size_of(const EventLog *log, uint16_t alg) {
        for (size_t i = 0; i < log->n_spec_algs; i++)
                if (log->spec_algs[i].alg == alg)
                        return log->spec_algs[i].size;
        return hash_size(alg);
}

static Err *adopt_algorithms(EventLog *log, Reader *reader) {
        uint32_t n = reader_u32le(reader, "the number of algorithms");
        if (n > HASH_ALGS_MAX || n == 0)
                reader_fail(reader, "the number of algorithms");
        log->n_spec_algs = 0;
        for (uint32_t i = 0; i < n && !reader_failed(reader); i++) {
                uint16_t alg = reader_u16le(reader, "an algorithm"), size = reader_u16le(reader, "a digest size");
                size_t known = hash_size(alg);
                if (reader_failed(reader))
                        break;
                if (size == 0 || size > HASH_SIZE_MAX || (known > 0 && size != known))
                        return err_new(ERR_EVENTLOG_MALFORMED, "Spec ID: algorithm 0x%04x cannot have digests of %u bytes", alg, size);
                log->spec_algs[log->n_spec_algs].alg = alg;
                log->spec_algs[log->n_spec_algs++].size = size;
                add_bank(log, alg);
        }
        return NULL;
}

/* data is the event of a TCG_PCR_EVENT whose text says "Spec ID Event". Older forms (00: BIOS, 02: EFI 1.2) have no list of algorithms. */
static Err *adopt_spec_id(EventLog *log, Span data) {
        Reader reader = reader_make(data);
        Span signature = reader_span(&reader, SPEC_ID_SIGNATURE_SIZE, "signature");
        bool agile = starts_with(signature, SPEC_ID_CRYPTO_AGILE, SPEC_ID_SIGNATURE_SIZE);
        reader_u32le(&reader, "platform class");
        uint8_t minor = reader_u8(&reader, "minor version");
        uint8_t major = reader_u8(&reader, "major version");
        reader_u8(&reader, "errata");
        reader_u8(&reader, "size of UINTN");
        if (agile && !reader_failed(&reader)) {
                if (major != 2 || minor != 0)
                        return err_new(ERR_EVENTLOG_MALFORMED, "Spec ID: version %u.%u of the crypto-agile format is not known, 2.0 is", major, minor);
                TRY(adopt_algorithms(log, &reader));
                log->crypto_agile = true;
        }
        if (reader_left(&reader) > 0) /* some firmware leaves the byte out */
                reader_span(&reader, reader_u8(&reader, "vendor size"), "vendor information");
        return reader_check(&reader, ERR_EVENTLOG_MALFORMED, "Spec ID");
}

static void read_legacy(Reader *reader, EventLogEvent *event) {
        event->pcr = reader_u32le(reader, "PCR index");
        event->type = reader_u32le(reader, "event type");
        Span digest = reader_span(reader, hash_size(HASH_SHA1), "SHA-1 digest");
        event->data = reader_span(reader, reader_u32le(reader, "event size"), "event");
        if (reader_failed(reader))
                return;
        event->n_digests = 1;
        event->digests[0] = digest_make(HASH_SHA1, digest);
}

/* Is here a TCG_PCR_EVENT with a Spec ID inside a crypto-agile log? */
static bool at_spec_id(Reader reader) {
        EventLogEvent event = {};
        read_legacy(&reader, &event);
        return !reader_failed(&reader) && event.type == EV_NO_ACTION && span_is_zero(digest_span(&event.digests[0])) &&
                starts_with(event.data, SPEC_ID_PREFIX, strlen(SPEC_ID_PREFIX));
}

static Err *read_digests(const EventLog *log, Reader *reader, EventLogEvent *event) {
        uint32_t n = reader_u32le(reader, "number of digests");
        if (n > HASH_ALGS_MAX || (n == 0 && event->type != EV_NO_ACTION))
                reader_fail(reader, "number of digests");
        for (uint32_t i = 0; i < n && !reader_failed(reader); i++) {
                size_t offset = reader->offset;
                uint16_t alg = reader_u16le(reader, "digest algorithm");
                size_t size = digest_size_of(log, alg);
                if (!reader_failed(reader) && size == 0)
                        return err_new(ERR_EVENTLOG_MALFORMED, "digest algorithm 0x%04x at offset %zu is not in the Spec ID", alg, offset);
                event->digests[event->n_digests++] = digest_make(alg, reader_span(reader, size, "digest"));
        }
        return NULL;
}

static Err *read_agile(const EventLog *log, Reader *reader, EventLogEvent *event) {
        event->pcr = reader_u32le(reader, "PCR index");
        event->type = reader_u32le(reader, "event type");
        TRY(read_digests(log, reader, event));
        event->data = reader_span(reader, reader_u32le(reader, "event size"), "event");
        return NULL;
}

/* A field that does not fit was cut off, unless it could not fit in any log. */
static Err *check_record(const Reader *reader) {
        bool cut = reader->failed_wanted > 0 && reader->failed_wanted <= EVENTLOG_SIZE_MAX;
        return reader_check(reader, cut ? ERR_LOG_TRUNCATED : ERR_EVENTLOG_MALFORMED, "event log");
}

static Err *read_record(EventLog *log, EventLogEvent *event) {
        Reader reader = log->reader;
        bool legacy = !log->crypto_agile || at_spec_id(reader);
        if (legacy)
                read_legacy(&reader, event);
        else
                TRY(read_agile(log, &reader, event));
        TRY(check_record(&reader));
        if (event->type != EV_NO_ACTION && event->pcr >= PCR_COUNT)
                return err_new(ERR_EVENTLOG_MALFORMED, "event log: PCR index %u at offset %zu is above %u", event->pcr, event->offset, PCR_COUNT - 1);
        if (legacy && event->type == EV_NO_ACTION && starts_with(event->data, SPEC_ID_PREFIX, strlen(SPEC_ID_PREFIX)))
                TRY(adopt_spec_id(log, event->data));
        log->reader = reader;
        return NULL;
}

static bool at_end(const EventLog *log) {
        return log->reader.offset >= log->padding_offset;
}

static Err *next_record(EventLog *log, EventLogEvent *ret, bool *ret_more) {
        if (at_end(log)) {
                *ret_more = false;
                return NULL;
        }
        EventLogEvent event = { .number = log->n_events, .offset = log->reader.offset };
        TRY(err_wrap(read_record(log, &event), "record %llu at offset %zu", (unsigned long long) event.number, event.offset));
        log->n_events++;
        *ret = event;
        *ret_more = true;
        return NULL;
}

static size_t find_padding(Span input) {
        size_t offset = input.size;
        uint8_t last = input.data[input.size - 1];
        if (last != 0x00 && last != 0xff)
                return input.size;
        while (offset > 0 && input.data[offset - 1] == last)
                offset--;
        return offset;
}

Err *eventlog_open(Span input, EventLog **ret) {
        if (input.size == 0)
                return err_new(ERR_LOG_EMPTY, "the event log has no bytes");
        if (input.size > EVENTLOG_SIZE_MAX)
                return err_new(ERR_LOG_TOO_LARGE, "the event log has %zu bytes, the limit is %llu", input.size,
                               (unsigned long long) EVENTLOG_SIZE_MAX);
        _cleanup_(eventlog_freep) EventLog *log = calloc(1, sizeof(*log));
        if (!log)
                return err_oom();
        log->reader = reader_make(input);
        log->padding_offset = find_padding(input);
        TRY(next_record(log, &log->first, &log->has_first));
        if (!log->has_first)
                return err_new(ERR_LOG_EMPTY, "the event log holds nothing but padding");
        if (!log->crypto_agile)
                add_bank(log, HASH_SHA1);
        *ret = steal_ptr(&log);
        return NULL;
}

EventLog *eventlog_free(EventLog *log) {
        free(log);
        return NULL;
}

Err *eventlog_next(EventLog *log, EventLogEvent *ret, bool *ret_more) {
        if (!log->has_first)
                return next_record(log, ret, ret_more);
        log->has_first = false;
        *ret = log->first;
        *ret_more = true;
        return NULL;
}

bool eventlog_is_crypto_agile(const EventLog *log) {
        return log->crypto_agile;
}

size_t eventlog_banks(const EventLog *log, uint16_t ret_algs[HASH_ALGS_MAX]) {
        for (size_t i = 0; i < log->n_banks; i++)
                ret_algs[i] = log->banks[i];
        return log->n_banks;
}

size_t eventlog_padding(const EventLog *log, size_t *ret_offset) {
        if (!at_end(log))
                return 0;
        *ret_offset = log->reader.offset;
        return log->reader.input.size - log->reader.offset;
}

/* NULL in *ret where the bank cannot be replayed: an algorithm without a name, or one that OpenSSL lacks. */
static Err *replay_bank(EventLogReplay *replay, uint16_t alg, PcrBank **ret) {
        Digest digest;
        *ret = pcr_values_bank(&replay->pcrs, alg);
        if (*ret || hash_size(alg) == 0 || replay->pcrs.n_banks == PCR_BANKS_MAX)
                return NULL;
        _cleanup_(err_freep) Err *err = hash_digest(alg, (Span) {}, &digest);
        if (err_code(err) == ERR_NOT_SUPPORTED)
                return NULL;
        if (err)
                return steal_ptr(&err);
        *ret = &replay->pcrs.banks[replay->pcrs.n_banks++];
        **ret = (PcrBank) { .alg = alg };
        return NULL;
}

static void start_pcr(PcrBank *bank, uint32_t pcr, uint8_t locality) {
        if (bank->mask >> pcr & 1)
                return;
        bank->mask |= UINT32_C(1) << pcr;
        bank->values[pcr] = digest_zero(bank->alg);
        bank->values[pcr].bytes[bank->values[pcr].size - 1] = locality;
}

static void replay_start_of_pcr0(EventLogReplay *replay, uint8_t locality) {
        for (size_t i = 0; i < replay->pcrs.n_banks; i++)
                start_pcr(&replay->pcrs.banks[i], 0, locality);
}

static void replay_no_action(EventLogReplay *replay, const EventLogEvent *event) {
        if (!starts_with(event->data, STARTUP_LOCALITY, sizeof(STARTUP_LOCALITY)) || event->data.size <= sizeof(STARTUP_LOCALITY))
                return;
        uint8_t locality = event->data.data[sizeof(STARTUP_LOCALITY)];
        replay->startup_locality = locality;
        replay_start_of_pcr0(replay, locality);
}

static Err *replay_event(EventLogReplay *replay, const EventLogEvent *event) {
        if (event->type == EV_NO_ACTION) {
                replay_no_action(replay, event);
                return NULL;
        }
        if (event->type == EV_EFI_HCRTM_EVENT && event->pcr == 0)
                replay_start_of_pcr0(replay, HCRTM_LOCALITY);
        for (size_t i = 0; i < event->n_digests; i++) {
                PcrBank *bank;
                TRY(replay_bank(replay, event->digests[i].alg, &bank));
                if (!bank)
                        continue;
                start_pcr(bank, event->pcr, 0);
                TRY(digest_extend(&bank->values[event->pcr], digest_span(&event->digests[i])));
        }
        return NULL;
}

Err *eventlog_replay_next(EventLog *log, EventLogReplay *replay, EventLogEvent *ret, bool *ret_more) {
        EventLogEvent event;
        bool more;
        TRY(eventlog_next(log, &event, &more));
        for (size_t i = 0; i < log->n_banks; i++) {
                PcrBank *bank;
                TRY(replay_bank(replay, log->banks[i], &bank));
        }
        if (more) {
                TRY(replay_event(replay, &event));
                replay->n_events++;
                *ret = event;
        }
        *ret_more = more;
        return NULL;
}

Err *eventlog_replay(Span input, EventLogReplay *ret) {
        _cleanup_(eventlog_freep) EventLog *log = NULL;
        EventLogReplay replay = { .startup_locality = -1 };
        bool more = true;
        TRY(eventlog_open(input, &log));
        while (more) {
                EventLogEvent event;
                TRY(eventlog_replay_next(log, &replay, &event, &more));
        }
        *ret = replay;
        return NULL;
}
