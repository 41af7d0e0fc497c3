/* See systemd-log.h. */
#include "cli/systemd-log.h"

#include <stdio.h>

#include "base/writer.h"
#include "cli/log-input.h"
#include "tcg/userspace-log.h"

bool systemd_log_detect(Span input) {
        return input.size > 0 && input.data[0] == 0x1e;   /* RFC 7464; no PCR of a firmware log has that number */
}

static bool is_shown(const UserspaceRecord *record, uint32_t pcrs) {
        return record->has_pcr ? (pcrs >> record->pcr & 1) : pcrs == PCR_MASK_ALL;
}

static Err *record_to_json(const UserspaceRecord *record, Json **ret) {
        _cleanup_json_ Json *json = NULL;
        Json *digests;
        TRY(json_new_object(&json));
        TRY(json_add_integer(json, "number", (int64_t) record->number));
        TRY(json_add_integer(json, "offset", (int64_t) record->offset));
        if (record->has_pcr)
                TRY(json_add_integer(json, "pcr", record->pcr));
        TRY(json_add_string(json, "type_name", record->event_type));
        TRY(json_add_string(json, "description", record->text));
        TRY(json_new_object(&digests));
        TRY(json_add(json, "digests", digests));
        for (size_t i = 0; i < record->n_digests; i++)
                TRY(json_add_hex(digests, hash_name(record->digests[i].alg), digest_span(&record->digests[i])));
        *ret = steal_ptr(&json);
        return NULL;
}

/* Text of the log goes to the terminal as JSON strings: escaped. */
static void write_text(Writer *out, const char *text) {
        writer_json_string(out, span_from_string(text ?: ""));
}

static Err *print_record(const UserspaceRecord *record) {
        _cleanup_writer_ Writer out = {};
        _cleanup_free_ char *line = NULL;
        char pcr[sizeof("PCR 4294967295")] = "NV";
        if (record->has_pcr)
                snprintf(pcr, sizeof(pcr), "PCR %u", record->pcr);
        writer_format(&out, "%4llu  %-6s  ", (unsigned long long) record->number, pcr);
        write_text(&out, record->event_type);
        writer_string(&out, " ");
        write_text(&out, record->text);
        TRY(writer_finish_string(&out, &line));
        puts(line);
        for (size_t i = 0; i < record->n_digests; i++) {
                char hex[2 * HASH_SIZE_MAX + 1];
                hex_encode_into(digest_span(&record->digests[i]), hex);
                printf("              %-8s %s\n", hash_name(record->digests[i].alg), hex);
        }
        return NULL;
}

/* events NULL: as text. */
static Err *show_records(Span input, uint32_t pcrs, Json *events) {
        UserspaceLog log = { .input = input };
        for (;;) {
                _cleanup_userspace_record_ UserspaceRecord record = {};
                Json *item;
                bool more;
                TRY(userspace_log_next(&log, &record, &more));
                if (!more)
                        return NULL;
                if (!is_shown(&record, pcrs))
                        continue;
                if (!events) {
                        TRY(print_record(&record));
                        continue;
                }
                TRY(record_to_json(&record, &item));
                TRY(json_append(events, item));
        }
}

static Err *show_json(Span input, uint32_t pcrs, const EventLogReplay *replay) {
        _cleanup_json_ Json *json = NULL;
        Json *values, *events;
        TRY(json_new_object(&json));
        TRY(json_add_string(json, "format", "systemd"));
        TRY(log_pcrs_to_json(&replay->pcrs, pcrs, &values));
        TRY(json_add(json, "pcrs", values));
        TRY(json_new_array(&events));
        TRY(json_add(json, "events", events));
        TRY(show_records(input, pcrs, events));
        return cli_print_json(json);
}

Err *systemd_log_show(Span input, uint32_t pcrs) {
        const PcrValues nothing = {};
        EventLogReplay replay = { .startup_locality = -1 };
        TRY(userspace_log_replay(input, &nothing, &replay));
        if (cli_is_json())
                return show_json(input, pcrs, &replay);
        TRY(show_records(input, pcrs, NULL));
        printf("\nReplayed PCRs, from their start value\n");
        log_pcrs_print(&replay.pcrs, pcrs);
        return NULL;
}
