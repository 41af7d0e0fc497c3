/* See systemd-log.h. */
#include "cli/systemd-log.h"

#include <errno.h>
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

typedef enum DigestCheck { DIGEST_NOT_CHECKABLE, DIGEST_OK, DIGEST_DIFFERS } DigestCheck;

/* systemd measures the text itself, without a NUL; of a volume key it measures an HMAC with the key (systemd-pcrextend(8), systemd-cryptsetup). */
static Err *check_digests(const UserspaceRecord *record, DigestCheck *ret) {
        static const char *const plain[] = { "phase", "filesystem", "machine-id" };
        bool is_plain = false, differs = false;
        *ret = DIGEST_NOT_CHECKABLE;
        for (size_t i = 0; i < N_ELEMENTS(plain); i++)
                is_plain = is_plain || string_equal(record->event_type, plain[i]);
        if (!is_plain || !record->text || record->n_digests == 0)
                return NULL;
        for (size_t i = 0; i < record->n_digests; i++) {
                Digest digest;
                TRY(hash_digest(record->digests[i].alg, span_from_string(record->text), &digest));
                differs = differs || !digest_equal(&digest, &record->digests[i]);
        }
        *ret = differs ? DIGEST_DIFFERS : DIGEST_OK;
        return NULL;
}

static Err *add_running(Json *json, const UserspaceRecord *record, const PcrValues *values) {
        Json *running;
        TRY(json_new_object(&running));
        TRY(json_add(json, "running", running));
        for (size_t i = 0; i < record->n_digests; i++) {
                const PcrBank *bank = pcr_values_bank_const(values, record->digests[i].alg);
                if (bank)
                        TRY(json_add_hex(running, hash_name(bank->alg), digest_span(&bank->values[record->pcr])));
        }
        return NULL;
}

static Err *record_to_json(const UserspaceRecord *record, const PcrValues *values, Json **ret) {
        _cleanup_json_ Json *json = NULL;
        Json *digests;
        DigestCheck check;
        TRY(check_digests(record, &check));
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
        if (check != DIGEST_NOT_CHECKABLE)
                TRY(json_add_boolean(json, "digest_ok", check == DIGEST_OK));
        if (record->has_pcr)
                TRY(add_running(json, record, values));
        *ret = steal_ptr(&json);
        return NULL;
}

/* Text of the log goes to the terminal as JSON strings: escaped. */
static void write_text(Writer *out, const char *text) {
        writer_json_string(out, span_from_string(text ?: ""));
}

static const char *colour(const char *escape) {
        return cli_use_colour() ? escape : "";
}

static Err *print_head(const UserspaceRecord *record) {
        _cleanup_writer_ Writer type = {}, text = {};
        _cleanup_free_ char *type_text = NULL, *summary = NULL;
        char pcr[sizeof("PCR 4294967295")] = "NV    ";
        if (record->has_pcr)
                snprintf(pcr, sizeof(pcr), "PCR %-2u", record->pcr);
        write_text(&type, record->event_type);
        write_text(&text, record->text);
        TRY(writer_finish_string(&type, &type_text));
        TRY(writer_finish_string(&text, &summary));
        printf("%4llu  %s  %s%-32s%s %s\n", (unsigned long long) record->number, pcr, colour("\x1b[1m"), type_text, colour("\x1b[0m"), summary);
        return NULL;
}

static void print_running(const UserspaceRecord *record, const PcrValues *values) {
        for (size_t i = 0; record->has_pcr && i < record->n_digests; i++) {
                const PcrBank *bank = pcr_values_bank_const(values, record->digests[i].alg);
                char hex[2 * HASH_SIZE_MAX + 1];
                if (!bank)
                        continue;
                hex_encode_into(digest_span(&bank->values[record->pcr]), hex);
                printf("              PCR %u is now %s:%s\n", record->pcr, hash_name(bank->alg), hex);
        }
}

static Err *print_record(const UserspaceRecord *record, const SystemdLogView *view, const PcrValues *values) {
        DigestCheck check;
        TRY(print_head(record));
        TRY(check_digests(record, &check));
        if (check == DIGEST_OK)
                printf("              %sdigest covers this data%s\n", colour("\x1b[32m"), colour("\x1b[0m"));
        if (check == DIGEST_DIFFERS)
                printf("              %sdigest is not of this data%s\n", colour("\x1b[31m"), colour("\x1b[0m"));
        for (size_t i = 0; i < record->n_digests; i++) {
                char hex[2 * HASH_SIZE_MAX + 1];
                hex_encode_into(digest_span(&record->digests[i]), hex);
                printf("              %s%-8s %s%s\n", colour("\x1b[2m"), hash_name(record->digests[i].alg), hex, colour("\x1b[0m"));
        }
        if (view->running)
                print_running(record, values);
        return NULL;
}

/* From the PCRs of start on; events NULL: as text. */
static Err *show_records(Span input, const SystemdLogView *view, const PcrValues *start, Json *events) {
        UserspaceLog log = { .input = input };
        PcrValues values = *start;
        for (;;) {
                _cleanup_userspace_record_ UserspaceRecord record = {};
                Json *item;
                bool more;
                TRY(userspace_log_next(&log, &record, &more));
                if (!more)
                        return NULL;
                TRY(userspace_record_extend(&record, /* quoted= */ NULL, &values));
                if (!is_shown(&record, view->pcrs))
                        continue;
                if (!events) {
                        TRY(print_record(&record, view, &values));
                        continue;
                }
                TRY(record_to_json(&record, &values, &item));
                TRY(json_append(events, item));
        }
}

static Err *show_json(Span input, const SystemdLogView *view, const EventLogReplay *replay) {
        const PcrValues nothing = {};
        _cleanup_json_ Json *json = NULL;
        Json *values, *events;
        TRY(json_new_object(&json));
        TRY(json_add_string(json, "format", "systemd"));
        TRY(log_pcrs_to_json(&replay->pcrs, view->pcrs, &values));
        TRY(json_add(json, "pcrs", values));
        TRY(json_new_array(&events));
        TRY(json_add(json, "events", events));
        TRY(show_records(input, view, &nothing, events));
        return cli_print_json(json);
}

Err *systemd_log_show(Span input, const SystemdLogView *view) {
        const PcrValues nothing = {};
        EventLogReplay replay = { .startup_locality = -1 };
        TRY(userspace_log_replay(input, &nothing, &replay));
        if (cli_is_json())
                return show_json(input, view, &replay);
        TRY(show_records(input, view, &nothing, NULL));
        printf("\nReplayed PCRs, from their start value\n");
        log_pcrs_print(&replay.pcrs, view->pcrs);
        return NULL;
}

/* -- behind a firmware log -- */

void systemd_log_annex_done(SystemdLogAnnex *annex) {
        freep(&annex->path);
        bytes_done(&annex->input);
        annex->error = err_free(annex->error);
}

static bool is_missing(const Err *err) {
        int64_t number;
        return err_code(err) == ERR_IO && err_native(err, &number) == ERR_DOMAIN_ERRNO && number == ENOENT;
}

/* An absent or empty log is an error only for who named it: at the default place it says that systemd measures nothing here. */
static Err *read_input(SystemdLogAnnex *annex, bool is_default) {
        Err *err = log_input_read(annex->path, EVENTLOG_SIZE_MAX, &annex->input);
        annex->state = is_missing(err) ? "missing" : err ? "unreadable" : annex->input.size == 0 ? "empty" : "ok";
        if (!err && annex->input.size == 0)
                err = err_new(ERR_LOG_EMPTY, "%s is empty", annex->path);
        if (is_default && (string_equal(annex->state, "missing") || string_equal(annex->state, "empty")))
                return err_free(err);
        return err;
}

Err *systemd_log_annex_read(const char *path, EventLogReplay *replay, SystemdLogAnnex *ret) {
        const PcrValues nothing = {};
        *ret = (SystemdLogAnnex) { .start = replay->pcrs };
        TRY(string_copy(path ?: SYSTEMD_LOG_DEFAULT, &ret->path));
        ret->error = read_input(ret, path == NULL);
        if (!ret->error && ret->input.size > 0) {
                ret->error = err_wrap(userspace_log_replay(bytes_span(&ret->input), &nothing, replay), "%s", ret->path);
                ret->state = !ret->error ? "ok" : err_code(ret->error) == ERR_LOG_TRUNCATED ? "truncated" : "malformed";
        }
        return err_code(ret->error) == ERR_NO_MEMORY ? steal_ptr(&ret->error) : NULL;
}

Err *systemd_log_annex_print(const SystemdLogAnnex *annex, const SystemdLogView *view) {
        bool is_ok = string_equal(annex->state, "ok");
        printf("\nsystemd's log %s%s%s\n", annex->path, is_ok ? "" : ": ", is_ok ? "" : annex->state);
        return is_ok ? show_records(bytes_span(&annex->input), view, &annex->start, NULL) : NULL;
}

Err *systemd_log_annex_to_json(const SystemdLogAnnex *annex, const SystemdLogView *view, Json **ret) {
        _cleanup_json_ Json *json = NULL;
        Json *events;
        TRY(json_new_object(&json));
        TRY(json_add_string(json, "path", annex->path));
        TRY(json_add_string(json, "state", annex->state));
        TRY(json_add_string(json, "reason", annex->error ? err_describe(annex->error) : NULL));
        TRY(json_new_array(&events));
        TRY(json_add(json, "events", events));
        if (string_equal(annex->state, "ok"))
                TRY(show_records(bytes_span(&annex->input), view, &annex->start, events));
        *ret = steal_ptr(&json);
        return NULL;
}
