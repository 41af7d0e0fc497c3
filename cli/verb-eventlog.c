/* attestctl eventlog: the records of a firmware event log and the PCR values that they replay to. Nothing is shown of a log that does not parse as a
 * whole: a part of it explains no PCR. */
#include <getopt.h>
#include <stdio.h>

#include "cli/cli.h"
#include "cli/log-input.h"
#include "tcg/eventlog-describe.h"

typedef struct EventlogView {
        Bytes input;
        EventLogReplay replay;
        uint32_t pcrs;         /* to be shown */
        bool all_pcrs;
} EventlogView;

static void view_done(EventlogView *view) {
        bytes_done(&view->input);
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

static Err *event_to_json(const EventLogEvent *event, Json **ret) {
        _cleanup_json_ Json *json = NULL;
        _cleanup_free_ char *type = NULL, *description = NULL;
        TRY(type_text(event, &type));
        TRY(eventlog_describe(event, &description));
        TRY(json_new_object(&json));
        TRY(json_add_integer(json, "number", (int64_t) event->number));
        TRY(json_add_integer(json, "offset", (int64_t) event->offset));
        TRY(json_add_integer(json, "pcr", event->pcr));
        TRY(json_add_integer(json, "type", event->type));
        TRY(json_add_string(json, "type_name", type));
        TRY(add_digests(json, event));
        TRY(json_add_integer(json, "size", (int64_t) event->data.size));
        TRY(json_add_hex(json, "data", event->data));
        TRY(json_add_string(json, "description", *description ? description : NULL));
        *ret = steal_ptr(&json);
        return NULL;
}

static Err *add_events(Json *json, const EventlogView *view, EventLog *log) {
        Json *events;
        TRY(json_new_array(&events));
        TRY(json_add(json, "events", events));
        for (;;) {
                EventLogEvent event;
                Json *item;
                bool more;
                TRY(eventlog_next(log, &event, &more));
                if (!more)
                        return NULL;
                if (!is_shown(view, &event))
                        continue;
                TRY(event_to_json(&event, &item));
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
        return cli_print_json(json);
}

static Err *print_event(const EventLogEvent *event) {
        _cleanup_free_ char *type = NULL, *description = NULL;
        TRY(type_text(event, &type));
        TRY(eventlog_describe(event, &description));
        if (event->pcr < PCR_COUNT)
                printf("%4llu  PCR %-2u  %-32s %s\n", (unsigned long long) event->number, event->pcr, type, description);
        else
                printf("%4llu  -       %-32s %s\n", (unsigned long long) event->number, type, description);
        for (size_t i = 0; i < event->n_digests; i++) {
                char hex[2 * HASH_SIZE_MAX + 1];
                hex_encode_into(digest_span(&event->digests[i]), hex);
                printf("              %-8s %s\n", hash_name(event->digests[i].alg) ?: "other", hex);
        }
        return NULL;
}

static Err *print_view(const EventlogView *view) {
        _cleanup_(eventlog_freep) EventLog *log = NULL;
        TRY(eventlog_open(bytes_span(&view->input), &log));
        for (;;) {
                EventLogEvent event;
                bool more;
                TRY(eventlog_next(log, &event, &more));
                if (!more)
                        break;
                if (is_shown(view, &event))
                        TRY(print_event(&event));
        }
        printf("\nReplayed PCRs\n");
        log_pcrs_print(&view->replay.pcrs, view->pcrs);
        return NULL;
}

static int show_file(EventlogView *view, const char *path) {
        Err *err = log_input_read(path, EVENTLOG_SIZE_MAX, &view->input);
        if (err)
                return cli_fail(err);
        err = eventlog_replay(bytes_span(&view->input), &view->replay);
        if (err)
                return cli_fail_status(err_wrap(err, "%s", path), EXIT_FAILURE);
        err = cli_is_json() ? print_view_json(view) : print_view(view);
        return err ? cli_fail(err) : EXIT_SUCCESS;
}

int verb_eventlog(int argc, char **argv) {
        enum { OPTION_JSON = 256, OPTION_PCR };
        static const struct option options[] = {
                { "help", no_argument, NULL, 'h' },
                { "json", no_argument, NULL, OPTION_JSON },
                { "pcr", required_argument, NULL, OPTION_PCR },
                {},
        };
        _cleanup_(view_done) EventlogView view = { .pcrs = PCR_MASK_ALL, .all_pcrs = true };
        for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) >= 0;)
                switch (c) {
                case 'h':
                        return cli_help(cli_verb("eventlog"), "  --json       as a JSON object\n"
                                                              "  --pcr LIST   only these PCRs (0-7,14)\n"
                                                              "  FILE         binary_bios_measurements, or - for standard input\n");
                case OPTION_JSON:
                        cli_set_json(true);
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
