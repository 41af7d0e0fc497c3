/* attestctl ima: what an IMA measurement list replays to, and whether its template digests are right. A list that is cut in an entry, or whose digests
 * do not fit its data, is shown as far as it goes, and the exit status says that it is not whole. */
#include <getopt.h>
#include <stdio.h>

#include "cli/cli.h"
#include "cli/log-input.h"
#include "tcg/ima-ascii.h"

#define TEMPLATES_MAX 64       /* names that are counted by themselves; the kernel has ten */
#define MISMATCHES_SHOWN 20    /* in the text form */

typedef struct TemplateCount {
        Span name;
        uint64_t n_entries;
} TemplateCount;

typedef struct Mismatch {
        uint64_t number;
        size_t offset;
} Mismatch;

typedef struct ImaView {
        Bytes input;
        bool is_ascii;
        PcrValues pcrs;
        size_t digest_size;
        uint64_t n_entries, n_violations;
        size_t size;             /* of the whole entries */
        size_t n_templates;
        TemplateCount templates[TEMPLATES_MAX];
        Mismatch *mismatches;
        size_t n_mismatches;
        Err *cut;                /* LOG_TRUNCATED where the list ends inside an entry */
} ImaView;

static void view_done(ImaView *view) {
        bytes_done(&view->input);
        free(view->mismatches);
        view->cut = err_free(view->cut);
}

static void count_template(ImaView *view, Span name) {
        for (size_t i = 0; i < view->n_templates; i++)
                if (span_equal(view->templates[i].name, name)) {
                        view->templates[i].n_entries++;
                        return;
                }
        if (view->n_templates < TEMPLATES_MAX)
                view->templates[view->n_templates++] = (TemplateCount) { name, 1 };
}

static Err *add_mismatch(ImaView *view, const ImaEntry *entry) {
        Mismatch *grown = reallocarray(view->mismatches, view->n_mismatches + 1, sizeof(*grown));
        if (!grown)
                return err_oom();
        view->mismatches = grown;
        view->mismatches[view->n_mismatches++] = (Mismatch) { entry->number, entry->offset };
        return NULL;
}

static Err *extend_banks(PcrValues *pcrs, const ImaEntry *entry) {
        for (size_t i = 0; i < pcrs->n_banks; i++) {
                PcrBank *bank = &pcrs->banks[i];
                if (!(bank->mask >> entry->pcr & 1)) {
                        bank->mask |= UINT32_C(1) << entry->pcr;
                        bank->values[entry->pcr] = digest_zero(bank->alg);
                }
                TRY(ima_entry_extend(entry, /* padded_sha1= */ false, &bank->values[entry->pcr]));
        }
        return NULL;
}

static Err *take_entry(ImaView *view, const ImaEntry *entry) {
        bool matches;
        TRY(ima_entry_verify(entry, &matches));
        if (!matches)
                TRY(add_mismatch(view, entry));
        TRY(extend_banks(&view->pcrs, entry));
        count_template(view, entry->template_name);
        view->n_entries++;
        view->n_violations += entry->is_violation;
        view->size = entry->end;
        return NULL;
}

static Err *replay_list(ImaView *view) {
        ImaList list;
        TRY(ima_list_open(bytes_span(&view->input), 0, &list));
        view->digest_size = list.digest_size;
        for (;;) {
                ImaEntry entry;
                bool more;
                Err *err = ima_list_next(&list, &entry, &more);
                if (err_code(err) == ERR_LOG_TRUNCATED) {
                        view->cut = err;
                        return NULL;
                }
                TRY(err);
                if (!more)
                        return NULL;
                TRY(take_entry(view, &entry));
        }
}

static Err *rebuild_ascii(ImaView *view) {
        Bytes list;
        view->is_ascii = ima_ascii_detect(bytes_span(&view->input));
        if (!view->is_ascii)
                return NULL;
        TRY(ima_ascii_to_binary(bytes_span(&view->input), &list));
        bytes_done(&view->input);
        view->input = list;
        return NULL;
}

static Err *add_templates(Json *json, const ImaView *view) {
        Json *templates;
        TRY(json_new_object(&templates));
        TRY(json_add(json, "templates", templates));
        for (size_t i = 0; i < view->n_templates; i++) {
                _cleanup_free_ char *name = NULL;
                TRY(string_copy_span(view->templates[i].name, &name));
                TRY(json_add_integer(templates, name, (int64_t) view->templates[i].n_entries));
        }
        return NULL;
}

static Err *add_mismatches(Json *json, const ImaView *view) {
        Json *list;
        TRY(json_new_array(&list));
        TRY(json_add(json, "digest_mismatches", list));
        for (size_t i = 0; i < view->n_mismatches; i++) {
                Json *item;
                TRY(json_new_object(&item));
                TRY(json_append(list, item));
                TRY(json_add_integer(item, "entry", (int64_t) view->mismatches[i].number));
                if (!view->is_ascii)
                        TRY(json_add_integer(item, "offset", (int64_t) view->mismatches[i].offset));
        }
        return NULL;
}

static Err *add_cut(Json *json, const ImaView *view) {
        Json *cut;
        if (!view->cut)
                return NULL;
        TRY(json_new_object(&cut));
        TRY(json_add(json, "truncated", cut));
        TRY(json_add_integer(cut, "offset", (int64_t) view->size));
        TRY(json_add_integer(cut, "bytes_left", (int64_t) (view->input.size - view->size)));
        return json_add_string(cut, "message", err_describe(view->cut));
}

static Err *print_view_json(const ImaView *view) {
        _cleanup_json_ Json *json = NULL;
        Json *pcrs;
        TRY(json_new_object(&json));
        TRY(json_add_integer(json, "entries", (int64_t) view->n_entries));
        TRY(json_add_integer(json, "violations", (int64_t) view->n_violations));
        TRY(json_add_string(json, "template_digest", hash_name(ima_digest_alg(view->digest_size))));
        TRY(add_templates(json, view));
        TRY(log_pcrs_to_json(&view->pcrs, PCR_MASK_ALL, &pcrs));
        TRY(json_add(json, "pcrs", pcrs));
        TRY(add_mismatches(json, view));
        TRY(add_cut(json, view));
        return cli_print_json(json);
}

static void print_view(const ImaView *view) {
        printf("%llu entries, %llu violations\n", (unsigned long long) view->n_entries, (unsigned long long) view->n_violations);
        for (size_t i = 0; i < view->n_templates; i++)
                printf("  %-24.*s %llu\n", (int) view->templates[i].name.size, (const char *) view->templates[i].name.data,
                       (unsigned long long) view->templates[i].n_entries);
        printf("\nReplayed PCRs\n");
        log_pcrs_print(&view->pcrs, PCR_MASK_ALL);
}

static int report_defects(const ImaView *view, const char *path) {
        if (view->cut)
                fprintf(stderr, "attestctl: %s: the list is cut behind %llu whole entries (%zu bytes): %s (%s)\n", path,
                        (unsigned long long) view->n_entries, view->size, err_describe(view->cut), err_code_info(err_code(view->cut))->name);
        for (size_t i = 0; i < MIN_OF(view->n_mismatches, (size_t) MISMATCHES_SHOWN); i++)
                fprintf(stderr, "attestctl: %s: entry %llu: the template data does not hash to the template digest\n", path,
                        (unsigned long long) view->mismatches[i].number);
        if (view->n_mismatches > MISMATCHES_SHOWN)
                fprintf(stderr, "attestctl: %s: %zu entries in all whose data does not hash to the digest\n", path, view->n_mismatches);
        return view->cut || view->n_mismatches > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int show_file(ImaView *view, const char *path) {
        Err *err = log_input_read(path, IMA_SIZE_MAX, &view->input);
        if (err)
                return cli_fail(err);
        err = rebuild_ascii(view);
        if (!err)
                err = replay_list(view);
        if (err)
                return cli_fail_status(err_wrap(err, "%s", path), EXIT_FAILURE);
        if (cli_is_json())
                err = print_view_json(view);
        else
                print_view(view);
        return err ? cli_fail(err) : report_defects(view, path);
}

static int take_bank(ImaView *view, const char *name) {
        static const uint16_t allowed[] = { HASH_SHA1, HASH_SHA256, HASH_SHA384, HASH_SHA512 };
        uint16_t alg = hash_from_name(name);
        for (size_t i = 0; i < N_ELEMENTS(allowed); i++)
                if (alg == allowed[i]) {
                        view->pcrs = (PcrValues) { .n_banks = 1, .banks[0].alg = alg };
                        return EXIT_SUCCESS;
                }
        return cli_usage_error("ima", "--bank: \"%s\" is none of sha1, sha256, sha384, sha512", name);
}

int verb_ima(int argc, char **argv) {
        enum { OPTION_JSON = 256, OPTION_BANK };
        static const struct option options[] = {
                { "help", no_argument, NULL, 'h' },
                { "json", no_argument, NULL, OPTION_JSON },
                { "bank", required_argument, NULL, OPTION_BANK },
                {},
        };
        _cleanup_(view_done) ImaView view = {
                .pcrs = { .n_banks = 3, .banks = { { .alg = HASH_SHA1 }, { .alg = HASH_SHA256 }, { .alg = HASH_SHA384 } } },
        };
        for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) >= 0;)
                switch (c) {
                case 'h':
                        return cli_help(cli_verb("ima"), "  --json        as a JSON object\n"
                                                         "  --bank BANK   sha1, sha256, sha384 or sha512 (default: the first three)\n"
                                                         "  FILE          binary_runtime_measurements or ascii_runtime_measurements, or - for standard input\n");
                case OPTION_JSON:
                        cli_set_json(true);
                        break;
                case OPTION_BANK: {
                        int status = take_bank(&view, optarg);
                        if (status != EXIT_SUCCESS)
                                return status;
                        break;
                }
                default:
                        return EXIT_USAGE;
                }
        if (argc - optind != 1)
                return cli_usage_error("ima", "one file is needed");
        return show_file(&view, argv[optind]);
}
