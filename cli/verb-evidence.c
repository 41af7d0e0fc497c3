/* attestctl evidence: decode (what a piece of evidence says, and whether what it binds together holds), collect (a bundle of all evidence that this
 * machine has), replay (is a bundle true?). */
#include <getopt.h>
#include <stdio.h>

#include "cli/cli.h"
#include "cli/evidence-bundle.h"
#include "cli/evidence-decode.h"
#include "cli/log-input.h"

static const char help_text[] =
        "  decode FILE            show a piece of evidence: a paravisor's report (HCL, NV index 0x01400001), a VBS enclave report or key claim,\n"
        "                         TPMS_ATTEST, TPMT_SIGNATURE, TPMT_PUBLIC, TPM2B_PUBLIC, a certificate (DER or PEM)\n"
        "  collect -o FILE        a bundle of this machine's evidence: quote, PCRs, logs, certificate, what the TPM is, the configuration\n"
        "                         without its secrets; - is standard output\n"
        "  replay FILE            verify such a bundle without a TPM or network\n"
        "  keep                   keep an attestation of this boot, to be sent after a hibernation; to be called before it\n"
        "  --json                 as a JSON object (decode, keep, replay; a bundle is JSON anyway)\n"
        "  -o, --output FILE      collect: where to\n"
        "  --force                collect: replace a file that is there\n"
        "  --config FILE          collect, keep: this configuration file and its drop-ins alone\n"
        "  --nonce HEX            collect: what the quote is to be bound to (default: random); replay: what it must be bound to\n"
        "  --trust-anchors PEM    replay: certificates that the AIK's certificate must chain to\n"
        "  FILE                   or - for standard input\n\n"
        "Exit status: 0; decode: 1 if a paravisor's report does not vouch for its runtime claims; replay: that of the first rule that is broken;\n"
        "others: attestctl errors.\n";

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

static int collect(const BundleCommand *command) {
        if (!command->output)
                return cli_usage_error("evidence", "collect: where to is needed: -o FILE");
        if (command->trust_anchors)
                return cli_usage_error("evidence", "collect: --trust-anchors is for replay");
        Err *err = evidence_collect(command);
        return err ? cli_fail(err) : EXIT_SUCCESS;
}

/* The verdict stands on stdout already, so the error goes to stderr alone. */
static int replay(const BundleCommand *command, const char *path) {
        Err *verdict = NULL;
        if (command->output || command->config_file || command->force)
                return cli_usage_error("evidence", "replay: -o, --config and --force are for collect");
        Err *err = evidence_replay(command, path, &verdict);
        if (err)
                return cli_fail(err);
        cli_set_json(false);
        return verdict ? cli_fail(verdict) : EXIT_SUCCESS;
}

static int keep(const BundleCommand *command) {
        if (command->output || command->force || command->trust_anchors || command->nonce.size > 0)
                return cli_usage_error("evidence", "keep: only --config and --json go with it");
        Err *err = evidence_keep(command);
        return err ? cli_fail(err) : EXIT_SUCCESS;
}

static int act(const BundleCommand *command, int argc, char **argv) {
        const char *what = argc > 0 ? argv[0] : "";
        bool is_collect = string_equal(what, "collect");
        if (string_equal(what, "keep"))
                return argc == 1 ? keep(command) : cli_usage_error("evidence", "keep: \"%s\" is too much", argv[1]);
        if (!is_collect && !string_equal(what, "decode") && !string_equal(what, "replay"))
                return cli_usage_error("evidence", "what to do is needed: decode, collect, keep or replay");
        if (is_collect)
                return argc == 1 ? collect(command) : cli_usage_error("evidence", "collect: \"%s\" is too much", argv[1]);
        if (argc != 2)
                return cli_usage_error("evidence", "%s: one file is needed", what);
        return string_equal(what, "replay") ? replay(command, argv[1]) : decode(argv[1]);
}

static bool take_nonce(const char *text, Bytes *ret) {
        Err *err = hex_decode(span_from_string(text), "--nonce", ret);
        if (!err && ret->size >= 1 && ret->size <= BUNDLE_NONCE_MAX)
                return true;
        cli_usage_error("evidence", "--nonce %s: 1 to %u bytes in hex are needed", text, BUNDLE_NONCE_MAX);
        err_free(err);
        return false;
}

int verb_evidence(int argc, char **argv) {
        enum { OPTION_JSON = 256, OPTION_FORCE, OPTION_CONFIG, OPTION_NONCE, OPTION_TRUST_ANCHORS };
        static const struct option options[] = {
                { "help", no_argument, NULL, 'h' },
                { "json", no_argument, NULL, OPTION_JSON },
                { "output", required_argument, NULL, 'o' },
                { "force", no_argument, NULL, OPTION_FORCE },
                { "config", required_argument, NULL, OPTION_CONFIG },
                { "nonce", required_argument, NULL, OPTION_NONCE },
                { "trust-anchors", required_argument, NULL, OPTION_TRUST_ANCHORS },
                {},
        };
        _cleanup_bytes_ Bytes nonce = {};
        BundleCommand command = {};
        for (int c; (c = getopt_long(argc, argv, "ho:", options, NULL)) >= 0;)
                switch (c) {
                case 'h':
                        return cli_help(cli_verb("evidence"), help_text);
                case OPTION_JSON:
                        cli_set_json(true);
                        break;
                case 'o':
                        command.output = optarg;
                        break;
                case OPTION_FORCE:
                        command.force = true;
                        break;
                case OPTION_CONFIG:
                        command.config_file = optarg;
                        break;
                case OPTION_NONCE:
                        bytes_done(&nonce);
                        if (!take_nonce(optarg, &nonce))
                                return EXIT_USAGE;
                        break;
                case OPTION_TRUST_ANCHORS:
                        command.trust_anchors = optarg;
                        break;
                default:
                        return EXIT_USAGE;
                }
        command.nonce = nonce;
        return act(&command, argc - optind, argv + optind);
}
