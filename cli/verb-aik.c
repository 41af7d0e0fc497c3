/* attestctl aik: a certificate for the attestation key, by credential activation. enroll does the whole round trip with an instance; request and activate are
 * its two ends for any other authority, as files. */
#include <getopt.h>
#include <stdio.h>
#include <time.h>

#include "cli/aik-exchange.h"
#include "cli/format.h"
#include "cli/log-input.h"
#include "cli/options.h"
#include "cli/progress.h"
#include "tcg/aik-certificate.h"

#define ANSWER_SIZE_MAX (1u << 20)
#define EXCHANGE_TIMEOUT_USEC (30 * USEC_PER_SEC)
#define REQUEST_MODE 0644

enum { OPTION_INSTANCE = OPTION_OF_VERB, OPTION_CA_FILE, OPTION_ALGORITHM, OPTION_CONFIG };

static const char help_text[] =
        "  enroll               have an instance certify the attestation key; the certificate is used from the next attestation on\n"
        "  request              show what another authority needs: ek_public, ek_certificate, ek_chain, aik_public, aik_name\n"
        "  activate FILE        FILE has credential_blob and encrypted_secret: print the secret in hex;\n"
        "                       it has a certificate: keep that, as enroll does\n"
        "  --instance URL       with enroll: the instance, https://HOST:PORT\n"
        "  --ca-file FILE       with enroll: trust these authorities (PEM) for its TLS instead of the system's\n"
        "  --timeout TIME       with enroll: for each of the two requests (default: 30 s)\n"
        "  --algorithm rsa|ecc  with enroll and request: the endorsement key (default: auto, the first with a certificate)\n"
        "  --output FILE, -o    with request: write it there; with activate: write the certificate there too (DER)\n"
        "  --config FILE        of the collector, instead of the standard places\n"
        "  --json               as a JSON object\n\n"
        "FILE is JSON with bytes in base64url. All of it needs the collector, so mostly root.\n";

typedef struct AikCommand {
        CommonOptions common;
        AikAuthority authority;
        const char *algorithm, *config_file, *output;
} AikCommand;

static Err *describe(Span der, const Bytes *secret, Json **ret) {
        _cleanup_json_ Json *json = NULL;
        _cleanup_(aik_certificate_freep) AikCertificate *certificate = NULL;
        TRY(json_new_object(&json));
        if (secret && secret->size > 0)
                TRY(json_add_hex(json, "secret", bytes_span(secret)));
        if (der.size > 0) {
                TRY(aik_certificate_read(der, &certificate));
                TRY(json_add_string(json, "subject", certificate->subject));
                TRY(json_add_string(json, "issuer", certificate->issuer));
                TRY(json_add_integer(json, "expires", certificate->not_after));
                TRY(json_add_base64url(json, "certificate", der));
        }
        *ret = steal_ptr(&json);
        return NULL;
}

static Err *print_certificate(Span der) {
        char buffer[FORMAT_SIZE];
        _cleanup_(aik_certificate_freep) AikCertificate *certificate = NULL;
        TRY(aik_certificate_read(der, &certificate));
        printf("subject: %s\nissuer:  %s\nexpires: %s\n", certificate->subject, certificate->issuer,
               format_time((uint64_t) MAX_OF(certificate->not_after, 0) * USEC_PER_SEC, buffer));
        return NULL;
}

/* der and secret may be empty. */
static Err *print_outcome(Span der, const Bytes *secret) {
        if (cli_is_json()) {
                _cleanup_json_ Json *json = NULL;
                TRY(describe(der, secret, &json));
                return cli_print_json(json);
        }
        if (secret && secret->size > 0) {
                _cleanup_free_ char *hex = NULL;
                TRY(hex_encode(bytes_span(secret), &hex));
                printf("%s\n", hex);
        }
        return der.size > 0 ? print_certificate(der) : NULL;
}

/* The second message: the context of the first answer, and the secret. */
static Err *make_proof(const Json *challenge, const Bytes *secret, Json **ret) {
        const char *context;
        _cleanup_json_ Json *json = NULL;
        TRY(json_get_string(challenge, "context", &context));
        TRY(json_new_object(&json));
        TRY(json_add_string(json, "context", context));
        TRY(json_add_base64url(json, "secret", bytes_span(secret)));
        *ret = steal_ptr(&json);
        return NULL;
}

static Err *enroll_steps(const AikCommand *command, Collector *collector, Progress *progress, Bytes *ret_der) {
        _cleanup_json_ Json *request = NULL, *challenge = NULL, *proof = NULL, *answer = NULL;
        _cleanup_bytes_erase_ Bytes secret = {};
        progress_enter(progress, "keys");
        TRY(aik_exchange_request(collector, command->algorithm, /* needs_certificate= */ true, &request));
        progress_enter(progress, "challenge");
        TRY(aik_exchange_post(&command->authority, "/aik/challenge", request, &challenge));
        progress_enter(progress, "activate");
        TRY(aik_exchange_activate(collector, challenge, &secret));
        progress_enter(progress, "certificate");
        TRY(make_proof(challenge, &secret, &proof));
        TRY(aik_exchange_post(&command->authority, "/aik/certificate", proof, &answer));
        progress_enter(progress, "store");
        return aik_exchange_store(collector, answer, ret_der);
}

static Err *enroll(const AikCommand *command, Collector *collector, const char *file) {
        _cleanup_bytes_ Bytes der = {};
        Progress progress = progress_begin();
        Err *err = enroll_steps(command, collector, &progress, &der);
        progress_enter(&progress, err ? "failed" : "idle");
        TRY(err_wrap(err, "enrolling the attestation key"));
        return print_outcome(bytes_span(&der), NULL);
}

static Err *request(const AikCommand *command, Collector *collector, const char *file) {
        _cleanup_json_ Json *json = NULL;
        _cleanup_free_ char *text = NULL;
        TRY(aik_exchange_request(collector, command->algorithm, /* needs_certificate= */ false, &json));
        if (!command->output || string_equal(command->output, "-"))
                return cli_print_json(json);
        TRY(json_to_string_pretty(json, &text));
        return file_write_atomic(command->output, span_from_string(text), REQUEST_MODE);
}

static Err *activate(const AikCommand *command, Collector *collector, const char *file) {
        _cleanup_bytes_ Bytes text = {}, der = {};
        _cleanup_bytes_erase_ Bytes secret = {};
        _cleanup_json_ Json *json = NULL;
        TRY(log_input_read(file, ANSWER_SIZE_MAX, &text));
        TRY(json_parse(bytes_span(&text), file, &json));
        bool has_credential = json_get(json, "credential_blob") || json_get(json, "encrypted_secret");
        bool has_certificate = json_get(json, "certificate");
        if (!has_credential && !has_certificate)
                return err_new(ERR_INVALID_ARGUMENT, "%s has neither credential_blob and encrypted_secret nor a certificate", file);
        if (has_credential)
                TRY(err_wrap(aik_exchange_activate(collector, json, &secret), "%s", file));
        if (has_certificate)
                TRY(err_wrap(aik_exchange_store(collector, json, &der), "%s", file));
        if (command->output && der.size > 0)
                TRY(file_write_atomic(command->output, bytes_span(&der), REQUEST_MODE));
        return print_outcome(bytes_span(&der), &secret);
}

typedef struct AikAction {
        const char *name;
        Err *(*run)(const AikCommand *command, Collector *collector, const char *file);
        bool takes_file, takes_output, takes_instance;
} AikAction;

static const AikAction actions[] = {
        { "enroll", enroll, false, false, true },
        { "request", request, false, true, false },
        { "activate", activate, true, true, false },
};

static const AikAction *find_action(const char *name) {
        for (size_t i = 0; i < N_ELEMENTS(actions); i++)
                if (string_equal(actions[i].name, name))
                        return &actions[i];
        return NULL;
}

static int check_usage(const AikCommand *command, const AikAction *action, int n_files) {
        if (!action)
                return cli_usage_error("aik", "what to do is needed: enroll, request or activate");
        if (n_files != action->takes_file)
                return cli_usage_error("aik", "%s takes %s", action->name, action->takes_file ? "one file" : "no argument");
        if (action->takes_instance && !command->authority.url)
                return cli_usage_error("aik", "%s needs --instance URL", action->name);
        if (!action->takes_instance && (command->authority.url || command->authority.ca_file))
                return cli_usage_error("aik", "--instance and --ca-file are for enroll");
        if (!action->takes_output && command->output)
                return cli_usage_error("aik", "-o is for request and activate");
        return -1;
}

static int run_action(const AikCommand *command, const AikAction *action, const char *file) {
        const CollectorOptions options = { .config_file = command->config_file, .socket_fd = -1 };
        _cleanup_(collector_freep) Collector *collector = NULL;
        Err *err = collector_open(&options, &collector);
        if (!err)
                err = action->run(command, collector, file);
        return err ? cli_fail(err) : EXIT_SUCCESS;
}

/* -1: go on. */
static int take_option(AikCommand *command, int c, const char *argument) {
        switch (c) {
        case 'h':
                return cli_help(cli_verb("aik"), help_text);
        case 'o':
                command->output = argument;
                return -1;
        case OPTION_INSTANCE:
                command->authority.url = argument;
                return -1;
        case OPTION_CA_FILE:
                command->authority.ca_file = argument;
                return -1;
        case OPTION_ALGORITHM:
                command->algorithm = argument;
                return -1;
        case OPTION_CONFIG:
                command->config_file = argument;
                return -1;
        default:
                return common_option_take(&command->common, c, argument) == OPTION_TAKEN ? -1 : EXIT_USAGE;
        }
}

int verb_aik(int argc, char **argv) {
        static const struct option options[] = {
                { "help", no_argument, NULL, 'h' },
                { "json", no_argument, NULL, OPTION_JSON },
                COMMON_OPTION_TIMEOUT,
                { "instance", required_argument, NULL, OPTION_INSTANCE },
                { "ca-file", required_argument, NULL, OPTION_CA_FILE },
                { "algorithm", required_argument, NULL, OPTION_ALGORITHM },
                { "config", required_argument, NULL, OPTION_CONFIG },
                { "output", required_argument, NULL, 'o' },
                {},
        };
        AikCommand command = { .common = { .verb = "aik", .timeout_usec = EXCHANGE_TIMEOUT_USEC }, .algorithm = "auto" };
        for (int c; (c = getopt_long(argc, argv, "ho:", options, NULL)) >= 0;) {
                int status = take_option(&command, c, optarg);
                if (status >= 0)
                        return status;
        }
        command.authority.timeout_usec = command.common.timeout_usec;
        if (!string_equal(command.algorithm, "auto") && !string_equal(command.algorithm, "rsa") && !string_equal(command.algorithm, "ecc"))
                return cli_usage_error("aik", "--algorithm=%s: rsa, ecc or auto is needed", command.algorithm);
        const AikAction *action = optind < argc ? find_action(argv[optind]) : NULL;
        int status = check_usage(&command, action, argc - optind - 1);
        return status >= 0 ? status : run_action(&command, action, argv[optind + 1]);
}
