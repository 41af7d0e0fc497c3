/* See userspace-log.h. A JSON text sequence (RFC 7464 §2.1), each record much like one of the TCG's Canonical Event Log (CEL-JSON) without its number:
 *
 *     0x1e {"pcr":11,"digests":[{"hashAlg":"sha256","digest":"hex"},…],
 *           "content_type":"systemd","content":{"string":"enter-initrd","bootId":…,"timestamp":…,"eventType":"phase"}} 0x0a
 *
 * A record that does not end in 0x0a was cut. Records without "pcr" are of NV indices. */
#include "tcg/userspace-log.h"

#define RECORD_SEPARATOR 0x1e

void userspace_record_done(UserspaceRecord *record) {
        json_unref(record->json);
        *record = (UserspaceRecord) {};
}

static Err *malformed(const UserspaceLog *log, Err *cause) {
        return err_wrap_code(ERR_EVENTLOG_MALFORMED, cause, "systemd's log: record %llu at offset %zu", (unsigned long long) log->n_records, log->offset);
}

/* The JSON text of the next record; *ret_size is the record's size with what frames it. */
static Err *cut_record(const UserspaceLog *log, Span *ret_text, size_t *ret_size) {
        Span rest = span_make(log->input.data + log->offset, log->input.size - log->offset);
        if (rest.data[0] != RECORD_SEPARATOR)
                return malformed(log, err_new(ERR_EVENTLOG_MALFORMED, "it begins with byte 0x%02x, a record separator (0x1e) is needed", rest.data[0]));
        size_t window = MIN_OF(rest.size, (size_t) USERSPACE_RECORD_MAX);
        const uint8_t *end = memchr(rest.data, '\n', window);
        if (!end && rest.size > window)
                return malformed(log, err_new(ERR_EVENTLOG_MALFORMED, "it has more than %d bytes", USERSPACE_RECORD_MAX));
        if (!end)
                return err_new(ERR_LOG_TRUNCATED, "systemd's log: record %llu at offset %zu is cut by the end of the log", (unsigned long long) log->n_records,
                               log->offset);
        size_t size = (size_t) (end - rest.data) + 1;
        *ret_text = span_make(rest.data + 1, size - 2);
        *ret_size = size;
        return NULL;
}

static Err *parse_digest(const Json *json, UserspaceRecord *record) {
        const char *name, *hex;
        _cleanup_bytes_ Bytes bytes = {};
        TRY(json_get_string(json, "hashAlg", &name));
        TRY(json_get_string(json, "digest", &hex));
        TRY(hex_decode(span_from_string(hex), "digest", &bytes));
        uint16_t alg = hash_from_name(name);
        if (alg == HASH_NONE)
                return NULL;
        if (bytes.size != hash_size(alg))
                return err_new(ERR_EVENTLOG_MALFORMED, "digest has %zu bytes, %s has %zu", bytes.size, hash_name(alg), hash_size(alg));
        for (size_t i = 0; i < record->n_digests; i++)
                if (record->digests[i].alg == alg)
                        return err_new(ERR_EVENTLOG_MALFORMED, "hashAlg %s stands there twice", hash_name(alg));
        Digest *digest = &record->digests[record->n_digests++];
        *digest = (Digest) { .alg = alg, .size = (uint16_t) bytes.size };
        for (size_t i = 0; i < bytes.size; i++)
                digest->bytes[i] = bytes.data[i];
        return NULL;
}

static Err *parse_record(Span text, UserspaceRecord *record) {
        Json *digests, *content;
        int64_t pcr;
        TRY(json_parse(text, "the JSON", &record->json));
        record->has_pcr = json_get(record->json, "pcr") != NULL;
        if (record->has_pcr) {
                TRY(json_get_integer(record->json, "pcr", &pcr));
                if (pcr < 0 || pcr >= PCR_COUNT)
                        return err_new(ERR_EVENTLOG_MALFORMED, "pcr %lld is no PCR from 0 to %d", (long long) pcr, PCR_COUNT - 1);
                record->pcr = (uint32_t) pcr;
        }
        TRY(json_get_array(record->json, "digests", &digests));
        for (size_t i = 0; i < json_object_array_length(digests); i++)
                TRY(err_wrap(parse_digest(json_object_array_get_idx(digests, i), record), "digests[%zu]", i));
        if (!json_get(record->json, "content"))
                return NULL;
        TRY(json_get_object(record->json, "content", &content));
        TRY(json_get_string_optional(content, "string", &record->text));
        return json_get_string_optional(content, "eventType", &record->event_type);
}

Err *userspace_log_next(UserspaceLog *log, UserspaceRecord *ret, bool *ret_more) {
        _cleanup_userspace_record_ UserspaceRecord record = { .number = log->n_records, .offset = log->offset };
        Span text = {};
        size_t size = 0;
        *ret_more = false;
        if (log->offset == log->input.size)
                return NULL;
        TRY(cut_record(log, &text, &size));
        Err *err = parse_record(text, &record);
        if (err_code(err) == ERR_NO_MEMORY)
                return err;
        if (err)
                return malformed(log, err);
        log->offset += size;
        log->n_records++;
        *ret = record;
        record = (UserspaceRecord) {};
        *ret_more = true;
        return NULL;
}

static PcrBank *bank_of(PcrValues *values, uint16_t alg) {
        PcrBank *bank = pcr_values_bank(values, alg);
        if (bank || values->n_banks == PCR_BANKS_MAX)
                return bank;
        bank = &values->banks[values->n_banks++];
        *bank = (PcrBank) { .alg = alg };
        return bank;
}

static Err *extend(const UserspaceRecord *record, const Digest *digest, const PcrValues *quoted, PcrValues *values) {
        PcrBank *bank = bank_of(values, digest->alg);
        const PcrBank *goal = quoted ? pcr_values_bank_const(quoted, digest->alg) : NULL;
        if (!bank)
                return NULL;
        Digest *value = &bank->values[record->pcr];
        if (!(bank->mask >> record->pcr & 1))
                *value = digest_zero(digest->alg);
        bank->mask |= UINT32_C(1) << record->pcr;
        if (goal && digest_equal(value, &goal->values[record->pcr]))
                return NULL;
        return digest_extend(value, digest_span(digest));
}

Err *userspace_record_extend(const UserspaceRecord *record, const PcrValues *quoted, PcrValues *values) {
        for (size_t i = 0; record->has_pcr && i < record->n_digests; i++)
                TRY(extend(record, &record->digests[i], quoted, values));
        return NULL;
}

Err *userspace_log_replay(Span input, const PcrValues *quoted, EventLogReplay *replay) {
        UserspaceLog log = { .input = input };
        PcrValues values = replay->pcrs;
        for (;;) {
                _cleanup_userspace_record_ UserspaceRecord record = {};
                bool more;
                TRY(userspace_log_next(&log, &record, &more));
                if (!more)
                        break;
                TRY(userspace_record_extend(&record, quoted, &values));
        }
        replay->pcrs = values;
        return NULL;
}
