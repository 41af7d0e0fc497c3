/* attestctl evidence decode: what a piece of evidence says, and whether what it binds together holds. */
#include <getopt.h>
#include <stdio.h>

#include "cli/cli.h"
#include "cli/evidence-decode.h"
#include "cli/log-input.h"

static const char help_text[] =
        "  decode       show a piece of evidence: a paravisor's report (HCL, NV index 0x01400001), a VBS enclave report or key claim,\n"
        "               TPMS_ATTEST, TPMT_SIGNATURE, TPMT_PUBLIC, TPM2B_PUBLIC, a certificate (DER or PEM)\n"
        "  --json       as a JSON object\n"
        "  FILE         the piece, or - for standard input\n\n"
        "Exit status: 0; 1 if a paravisor's report does not vouch for its runtime claims; others: attestctl errors.\n";

/* Text of others goes to a terminal: everything that is not printable ASCII is escaped. */
static void print_text(Span text) {
        for (size_t i = 0; i < text.size; i++)
                if (text.data[i] >= 0x20 && text.data[i] < 0x7f)
                        putchar(text.data[i]);
                else
                        printf("\\x%02x", text.data[i]);
}

static void print_value(const Json *value, int indent);

static void print_members(const Json *object, int indent) {
        json_object_object_foreach((Json *) object, name, value) {
                printf("%*s", indent, "");
                print_text(span_from_string(name));
                putchar(':');
                print_value(value, indent + 2);
        }
}

/* Ends the line that the name began. The depth is bounded by JSON_DEPTH_MAX. */
static void print_value(const Json *value, int indent) {
        if (json_is_string(value)) {
                putchar(' ');
                print_text(span_make(json_object_get_string((Json *) value), (size_t) json_object_get_string_len(value)));
                putchar('\n');
        } else if (json_is_object(value)) {
                putchar('\n');
                print_members(value, indent);
        } else if (json_is_array(value)) {
                putchar('\n');
                for (size_t i = 0; i < json_object_array_length(value); i++) {
                        printf("%*s%zu:", indent, "", i);
                        print_value(json_object_array_get_idx(value, i), indent + 2);
                }
        } else
                printf(" %s\n", json_object_to_json_string((Json *) value));
}

static int decode(const char *path) {
        _cleanup_bytes_ Bytes input = {};
        _cleanup_json_ Json *json = NULL;
        EvidenceBinding binding;
        Err *err = log_input_read(path, EVIDENCE_PIECE_SIZE_MAX, &input);
        if (!err)
                err = err_wrap(evidence_decode(bytes_span(&input), &json, &binding), "%s", path);
        if (err)
                return cli_fail(err);
        if (cli_is_json())
                err = cli_print_json(json);
        else
                print_members(json, 0);
        if (err)
                return cli_fail(err);
        return binding == EVIDENCE_BINDING_BROKEN ? EXIT_FAILURE : EXIT_SUCCESS;
}

int verb_evidence(int argc, char **argv) {
        enum { OPTION_JSON = 256 };
        static const struct option options[] = {
                { "help", no_argument, NULL, 'h' },
                { "json", no_argument, NULL, OPTION_JSON },
                {},
        };
        for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) >= 0;)
                switch (c) {
                case 'h':
                        return cli_help(cli_verb("evidence"), help_text);
                case OPTION_JSON:
                        cli_set_json(true);
                        break;
                default:
                        return EXIT_USAGE;
                }
        if (argc - optind < 1 || !string_equal(argv[optind], "decode"))
                return cli_usage_error("evidence", "what to do is needed: decode");
        if (argc - optind != 2)
                return cli_usage_error("evidence", "one file is needed");
        return decode(argv[optind + 1]);
}
