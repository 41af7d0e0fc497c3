/* attestctl eventlog: the records of a firmware event log, what each says, whether its digest covers that, and the PCR values that they replay to. Nothing is shown of a log that does not parse as a
 * whole: a part of it explains no PCR. */
#include <getopt.h>
#include <stdio.h>

#include "cli/cli.h"
#include "cli/log-input.h"
#include "cli/systemd-log.h"
#include "tcg/eventlog-decode.h"
#include "tcg/eventlog-digest.h"

typedef struct EventlogView {
        Bytes input;
        EventLogReplay replay;
        uint32_t pcrs;         /* to be shown */
        bool all_pcrs;
        bool running;          /* show the PCR after each event */
        bool with_systemd_log; /* show that one behind it */
        const char *systemd_log_path;   /* NULL: the default */
        SystemdLogAnnex annex;
} EventlogView;

static void view_done(EventlogView *view) {
        bytes_done(&view->input);
        systemd_log_annex_done(&view->annex);
}

static bool is_shown(const EventlogView *view, const EventLogEvent *event) {
        return view->all_pcrs || (event->pcr < PCR_COUNT && (view->pcrs >> event->pcr & 1));
}

static Err *type_text(const EventLogEvent *event, char **ret) {
        const char *name = eventlog_type_to_string(event->type);
        return name ? string_copy(name, ret) : string_format(ret, "0x%08x", event->type);
}

static Err *add_digests(Json *json, const EventLogEvent *event) {
        Json *digests;
        TRY(json_new_object(&digests));
        TRY(json_add(json, "digests", digests));
        for (size_t i = 0; i < event->n_digests; i++) {
                _cleanup_free_ char *other = NULL;
                const char *name = hash_name(event->digests[i].alg);
                if (!name)
                        TRY(string_format(&other, "alg_0x%04x", event->digests[i].alg));
                TRY(json_add_hex(digests, name ?: other, digest_span(&event->digests[i])));
        }
        return NULL;
}

/* The event's PCR in each of the event's banks, after it. */
static Err *add_running(Json *json, const EventLogEvent *event, const EventLogReplay *replay) {
        Json *running;
        if (strcmp(eventlog_type_to_string(event->type) ?: "", "EV_NO_ACTION") == 0)
                return NULL;
        TRY(json_new_object(&running));
        TRY(json_add(json, "running", running));
        for (size_t i = 0; i < event->n_digests; i++) {
                const PcrBank *bank = pcr_values_bank_const(&replay->pcrs, event->digests[i].alg);
                if (bank)
                        TRY(json_add_hex(running, hash_name(bank->alg), digest_span(&bank->values[event->pcr])));
        }
        return NULL;
}

static Err *add_decoded(Json *json, const EventLogEvent *event) {
        _cleanup_eventlog_decoded_ EventLogDecoded decoded = {};
        EventLogDigestCheck check;
        TRY(eventlog_decode(event, &decoded));
        TRY(eventlog_digest_check(event, &check));
        TRY(json_add_string(json, "description", *decoded.summary ? decoded.summary : NULL));
        TRY(json_add(json, "decoded", steal_ptr(&decoded.json)));
        return check == EVENTLOG_DIGEST_NOT_CHECKABLE ? NULL : json_add_boolean(json, "digest_ok", check == EVENTLOG_DIGEST_OK);
}

static Err *event_to_json(const EventLogEvent *event, const EventLogReplay *replay, Json **ret) {
        _cleanup_json_ Json *json = NULL;
        _cleanup_free_ char *type = NULL;
        TRY(type_text(event, &type));
        TRY(json_new_object(&json));
        TRY(json_add_integer(json, "number", (int64_t) event->number));
        TRY(json_add_integer(json, "offset", (int64_t) event->offset));
        TRY(json_add_integer(json, "pcr", event->pcr));
        TRY(json_add_integer(json, "type", event->type));
        TRY(json_add_string(json, "type_name", type));
        TRY(add_digests(json, event));
        TRY(json_add_integer(json, "size", (int64_t) event->data.size));
        TRY(json_add_hex(json, "data", event->data));
        TRY(add_decoded(json, event));
        TRY(add_running(json, event, replay));
        *ret = steal_ptr(&json);
        return NULL;
}

static Err *add_events(Json *json, const EventlogView *view, EventLog *log) {
        EventLogReplay replay = { .startup_locality = -1 };
        Json *events;
        TRY(json_new_array(&events));
        TRY(json_add(json, "events", events));
        for (;;) {
                EventLogEvent event;
                Json *item;
                bool more;
                TRY(eventlog_replay_next(log, &replay, &event, &more));
                if (!more)
                        return NULL;
                if (!is_shown(view, &event))
                        continue;
                TRY(event_to_json(&event, &replay, &item));
                TRY(json_append(events, item));
        }
}

static Err *add_padding(Json *json, const EventLog *log) {
        size_t offset, size = eventlog_padding(log, &offset);
        Json *padding;
        if (size == 0)
                return NULL;
        TRY(json_new_object(&padding));
        TRY(json_add(json, "padding", padding));
        TRY(json_add_integer(padding, "offset", (int64_t) offset));
        return json_add_integer(padding, "size", (int64_t) size);
}

static SystemdLogView systemd_view(const EventlogView *view) {
        return (SystemdLogView) { .pcrs = view->pcrs, .running = view->running };
}

static Err *add_systemd_log(Json *json, const EventlogView *view) {
        const SystemdLogView how = systemd_view(view);
        Json *log;
        if (!view->with_systemd_log)
                return NULL;
        TRY(systemd_log_annex_to_json(&view->annex, &how, &log));
        return json_add(json, "systemd_log", log);
}

static Err *print_view_json(const EventlogView *view) {
        _cleanup_(eventlog_freep) EventLog *log = NULL;
        _cleanup_json_ Json *json = NULL;
        Json *pcrs;
        TRY(eventlog_open(bytes_span(&view->input), &log));
        TRY(json_new_object(&json));
        TRY(json_add_string(json, "format", eventlog_is_crypto_agile(log) ? "crypto-agile" : "sha1"));
        if (view->replay.startup_locality >= 0)
                TRY(json_add_integer(json, "startup_locality", view->replay.startup_locality));
        TRY(log_pcrs_to_json(&view->replay.pcrs, view->pcrs, &pcrs));
        TRY(json_add(json, "pcrs", pcrs));
        TRY(add_events(json, view, log));
        TRY(add_padding(json, log));
        TRY(add_systemd_log(json, view));
        return cli_print_json(json);
}

static const char *colour(const char *escape) {
        return cli_use_colour() ? escape : "";
}

static void print_check(EventLogDigestCheck check) {
        switch (check) {
        case EVENTLOG_DIGEST_NOT_CHECKABLE:
                break;
        case EVENTLOG_DIGEST_OK:
                printf("              %sdigest covers this data%s\n", colour("\x1b[32m"), colour("\x1b[0m"));
                break;
        case EVENTLOG_DIGEST_DIFFERS:
                printf("              %sdigest is not of this data%s\n", colour("\x1b[31m"), colour("\x1b[0m"));
                break;
        }
}

static void print_details(const char *details) {
        for (const char *line = details; *line;) {
                size_t size = strcspn(line, "\n");
                printf("              %.*s\n", (int) size, line);
                line += size + (line[size] == '\n');
        }
}

static void print_running(const EventLogEvent *event, const EventLogReplay *replay) {
        for (size_t i = 0; i < event->n_digests; i++) {
                const PcrBank *bank = pcr_values_bank_const(&replay->pcrs, event->digests[i].alg);
                char hex[2 * HASH_SIZE_MAX + 1];
                if (!bank || event->pcr >= PCR_COUNT || !(bank->mask >> event->pcr & 1))
                        continue;
                hex_encode_into(digest_span(&bank->values[event->pcr]), hex);
                printf("              PCR %u is now %s:%s\n", event->pcr, hash_name(bank->alg), hex);
        }
}

static Err *print_event(const EventlogView *view, const EventLogEvent *event, const EventLogReplay *replay) {
        _cleanup_eventlog_decoded_ EventLogDecoded decoded = {};
        _cleanup_free_ char *type = NULL, *pcr = NULL;
        EventLogDigestCheck check;
        TRY(type_text(event, &type));
        TRY(eventlog_decode(event, &decoded));
        TRY(eventlog_digest_check(event, &check));
        TRY(event->pcr < PCR_COUNT ? string_format(&pcr, "PCR %-2u", event->pcr) : string_copy("-     ", &pcr));
        printf("%4llu  %s  %s%-32s%s %s\n", (unsigned long long) event->number, pcr, colour("\x1b[1m"), type, colour("\x1b[0m"), decoded.summary);
        print_details(decoded.details);
        print_check(check);
        for (size_t i = 0; i < event->n_digests; i++) {
                char hex[2 * HASH_SIZE_MAX + 1];
                hex_encode_into(digest_span(&event->digests[i]), hex);
                printf("              %s%-8s %s%s\n", colour("\x1b[2m"), hash_name(event->digests[i].alg) ?: "other", hex, colour("\x1b[0m"));
        }
        if (view->running && strcmp(type, "EV_NO_ACTION") != 0)
                print_running(event, replay);
        return NULL;
}

static Err *print_view(const EventlogView *view) {
        _cleanup_(eventlog_freep) EventLog *log = NULL;
        EventLogReplay replay = { .startup_locality = -1 };
        TRY(eventlog_open(bytes_span(&view->input), &log));
        for (;;) {
                EventLogEvent event;
                bool more;
                TRY(eventlog_replay_next(log, &replay, &event, &more));
                if (!more)
                        break;
                if (is_shown(view, &event))
                        TRY(print_event(view, &event, &replay));
        }
        const SystemdLogView how = systemd_view(view);
        if (view->with_systemd_log)
                TRY(systemd_log_annex_print(&view->annex, &how));
        printf("\nReplayed PCRs\n");
        log_pcrs_print(&view->replay.pcrs, view->pcrs);
        return NULL;
}

static int show_file(EventlogView *view, const char *path) {
        Err *err = log_input_read(path, EVENTLOG_SIZE_MAX, &view->input);
        if (err)
                return cli_fail(err);
        if (systemd_log_detect(bytes_span(&view->input))) {
                const SystemdLogView how = systemd_view(view);
                if (view->with_systemd_log)
                        return cli_usage_error("eventlog", "--systemd-log: %s is systemd's log already, a firmware log is needed", path);
                err = systemd_log_show(bytes_span(&view->input), &how);
                return err ? cli_fail_status(err_wrap(err, "%s", path), EXIT_FAILURE) : EXIT_SUCCESS;
        }
        err = eventlog_replay(bytes_span(&view->input), &view->replay);
        if (err)
                return cli_fail_status(err_wrap(err, "%s", path), EXIT_FAILURE);
        if (view->with_systemd_log)
                err = systemd_log_annex_read(view->systemd_log_path, &view->replay, &view->annex);
        if (!err)
                err = cli_is_json() ? print_view_json(view) : print_view(view);
        if (err || !view->annex.error)
                return err ? cli_fail(err) : EXIT_SUCCESS;
        cli_set_json(false);   /* the JSON stands on stdout already */
        return cli_fail_status(steal_ptr(&view->annex.error), EXIT_FAILURE);
}

int verb_eventlog(int argc, char **argv) {
        enum { OPTION_JSON = 256, OPTION_PCR, OPTION_RUNNING, OPTION_SYSTEMD_LOG };
        static const struct option options[] = {
                { "help", no_argument, NULL, 'h' },
                { "json", no_argument, NULL, OPTION_JSON },
                { "pcr", required_argument, NULL, OPTION_PCR },
                { "running", no_argument, NULL, OPTION_RUNNING },
                { "systemd-log", optional_argument, NULL, OPTION_SYSTEMD_LOG },
                {},
        };
        _cleanup_(view_done) EventlogView view = { .pcrs = PCR_MASK_ALL, .all_pcrs = true };
        for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) >= 0;)
                switch (c) {
                case 'h':
                        return cli_help(cli_verb("eventlog"), "  --json       as a JSON object\n"
                                                              "  --pcr LIST   only these PCRs (0-7,14)\n"
                                                              "  --running    the value of the PCR after each event\n"
                                                              "  --systemd-log[=FILE]\n"
                                                              "               behind it the log that systemd keeps of its own measurements\n"
                                                              "               (" SYSTEMD_LOG_DEFAULT ")\n"
                                                              "  FILE         binary_bios_measurements, systemd's tpm2-measure.log, or - for standard input\n");
                case OPTION_JSON:
                        cli_set_json(true);
                        break;
                case OPTION_SYSTEMD_LOG:
                        view.with_systemd_log = true;
                        view.systemd_log_path = optarg;
                        break;
                case OPTION_RUNNING:
                        view.running = true;
                        break;
                case OPTION_PCR: {
                        _cleanup_(err_freep) Err *err = pcr_mask_parse(optarg, &view.pcrs);
                        if (err)
                                return cli_usage_error("eventlog", "--pcr: %s", err_describe(err));
                        view.all_pcrs = false;
                        break;
                }
                default:
                        return EXIT_USAGE;
                }
        if (argc - optind != 1)
                return cli_usage_error("eventlog", "one file is needed");
        return show_file(&view, argv[optind]);
}
