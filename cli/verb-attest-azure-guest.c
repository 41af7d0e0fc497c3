/* attestctl attest-azure-guest: a token about this Azure VM, from any instance, by its vTPM (lib/maa/azure-guest.h). The collector makes the evidence and opens the answer, so this is for
 * whoever may talk to it. */
#include <getopt.h>
#include <sys/utsname.h>

#include "cli/instance-client.h"
#include "cli/log-input.h"
#include "collector/collector.h"
#include "maa/azure-guest.h"

#define FILE_SIZE_MAX (64u << 10)
#define LOG_SIZE_MAX (4u << 20)          /* what the collector takes for a firmware log is less */
#define OS_RELEASE_SIZE_MAX (64u << 10)

static const char help_text[] =
        "  --payload NAME=VALUE        comes back in the token, such as a relying party's nonce; may be repeated\n"
        "  --isolation TYPE            TrustedLaunch (default), SevSnp or Tdx\n"
        "  --proof FILE                with SevSnp: the report and its certificates, JSON {SnpReport, VcekCertChain}; with Tdx: the quote\n"
        "  --runtime-data FILE         with SevSnp and Tdx: the paravisor's runtime claims, whose hash the report has\n"
        "  --collector-config FILE     configuration of the collector; default: that of --config, or the standard places\n"
        INSTANCE_OPTIONS_HELP "\nThe token goes to standard output; with --json token and claims.\n";

typedef struct Request {
        InstanceOptions options;
        const char *collector_config, *proof, *runtime_data;
        MaaGuestRequest guest;
        Bytes payload_texts[MAA_AZURE_GUEST_PAYLOAD_MAX];   /* NAME NUL VALUE NUL */
} Request;

static void request_done(Request *request) {
        for (size_t i = 0; i < N_ELEMENTS(request->payload_texts); i++)
                bytes_done(&request->payload_texts[i]);
}

/* ---- the system, os-release(5) ---- */

typedef struct System {
        struct utsname kernel;
        char *distro;
        int64_t major, minor;
} System;

static void system_done(System *system) {
        free(system->distro);
}

/* The value of NAME=value, with or without quotes; empty if there is none. */
static Span find_value(Span text, const char *name) {
        size_t size = strlen(name);
        for (size_t i = 0; i + size < text.size;) {
                const uint8_t *end = memchr(text.data + i, '\n', text.size - i);
                size_t line = end ? (size_t) (end - text.data) - i : text.size - i;
                if (line > size && span_equal_string(span_make(text.data + i, size), name) && text.data[i + size] == '=') {
                        Span value = span_make(text.data + i + size + 1, line - size - 1);
                        bool quoted = value.size >= 2 && value.data[0] == '"' && value.data[value.size - 1] == '"';
                        return quoted ? span_make(value.data + 1, value.size - 2) : value;
                }
                i += line + 1;
        }
        return (Span) {};
}

static Err *read_system(System *ret) {
        _cleanup_bytes_ Bytes text = {};
        _cleanup_free_ char *version = NULL;
        err_free(file_read("/etc/os-release", OS_RELEASE_SIZE_MAX, &text));   /* a machine without one is attested, too */
        Span id = find_value(bytes_span(&text), "ID");
        if (uname(&ret->kernel) < 0)
                return err_new(ERR_INTERNAL, "the kernel does not say what it is");
        TRY(string_copy_span(id.size > 0 ? id : span_from_string("Unknown"), &ret->distro));
        TRY(string_copy_span(find_value(bytes_span(&text), "VERSION_ID"), &version));
        char *end = NULL;
        ret->major = strtol(version, &end, 10);
        ret->minor = *end == '.' ? strtol(end + 1, NULL, 10) : 0;
        return NULL;
}

/* ---- evidence ---- */

static Err *read_boot_log(const Evidence *evidence, Bytes *ret) {
        for (size_t i = 0; i < evidence->n_logs; i++)
                if (evidence->logs[i].type == EVIDENCE_LOG_TCG)
                        return evidence_log_read(&evidence->logs[i], LOG_SIZE_MAX, ret);
        return NULL;
}

static void take_evidence(const Evidence *evidence, MaaGuestRequest *guest) {
        guest->aik_public = bytes_span(&evidence->aik_public);
        guest->aik_certificate = bytes_span(&evidence->aik_certificate);
        guest->quote = bytes_span(&evidence->quote);
        guest->quote_signature = bytes_span(&evidence->signature);
        guest->pcrs = &evidence->pcrs;
        guest->key_public = bytes_span(&evidence->request_key.public);
        guest->key_certification = bytes_span(&evidence->request_key.certification);
        guest->key_signature = bytes_span(&evidence->request_key.signature);
}

static Err *show(const Token *token) {
        _cleanup_json_ Json *json = NULL;
        _cleanup_free_ char *text = NULL;
        TRY(string_copy_span(bytes_span(&token->jws->text), &text));
        if (!cli_is_json()) {
                printf("%s\n", text);
                return NULL;
        }
        TRY(json_new_object(&json));
        TRY(json_add_boolean(json, "validated", true));
        TRY(json_add_string(json, "token", text));
        TRY(json_add(json, "claims", json_ref(token->claims)));
        return cli_print_json(json);
}

/* The answer, opened by the TPM. */
static Err *ask(InstanceClient *client, Collector *collector, const MaaGuestRequest *guest, char **ret_jwt) {
        _cleanup_(operation_freep) Operation *operation = NULL;
        _cleanup_maa_guest_answer_ MaaGuestAnswer answer = {};
        _cleanup_bytes_erase_ Bytes inner = {};
        HttpRequest http = {};
        TRY(maa_guest_request(instance_client_url(client), /* api_version= */ NULL, guest, &http));
        TRY(instance_client_call(client, "attesting this VM: the answer", &http, &operation));
        TRY(maa_guest_answer_parse(operation_call_answer(operation), &answer));
        TRY(err_wrap(collector_guest_decrypt(collector, bytes_span(&answer.encrypted_key), &inner), "opening the answer"));
        return maa_guest_answer_open(&answer, bytes_span(&inner), ret_jwt);
}

static Err *run(Request *request) {
        const char *config_file = request->collector_config ? request->collector_config : request->options.config_file;
        const CollectorOptions options = { .config_file = config_file, .socket_fd = -1 };
        _cleanup_(instance_client_freep) InstanceClient *client = NULL;
        _cleanup_(collector_freep) Collector *collector = NULL;
        _cleanup_(evidence_freep) Evidence *evidence = NULL;
        _cleanup_(token_freep) Token *token = NULL;
        _cleanup_(system_done) System system = {};
        _cleanup_bytes_ Bytes log = {}, proof = {}, runtime_data = {};
        _cleanup_free_ char *jwt = NULL;
        MaaGuestRequest *guest = &request->guest;
        MaaGuestClaims claims;
        if (request->proof)
                TRY(log_input_read(request->proof, FILE_SIZE_MAX, &proof));
        if (request->runtime_data)
                TRY(log_input_read(request->runtime_data, FILE_SIZE_MAX, &runtime_data));
        TRY(read_system(&system));
        TRY(instance_client_open(&request->options, &client));
        TRY(collector_open(&options, &collector));
        TRY(err_wrap(collector_collect_guest(collector, &evidence), "collecting evidence"));
        TRY(read_boot_log(evidence, &log));
        take_evidence(evidence, guest);
        guest->boot_log = bytes_span(&log);
        guest->proof = bytes_span(&proof);
        guest->runtime_data = bytes_span(&runtime_data);
        guest->os_distro = system.distro;
        guest->os_build = system.kernel.release;
        guest->os_major = system.major;
        guest->os_minor = system.minor;
        TRY(ask(client, collector, guest, &jwt));
        TRY(instance_client_believe(client, jwt, &token));
        TRY(err_wrap(maa_guest_claims(token->claims, guest, &claims), "validating the answer"));
        return show(token);
}

/* ---- options ---- */

enum { OPTION_PAYLOAD = OPTION_OF_VERB, OPTION_ISOLATION, OPTION_PROOF, OPTION_RUNTIME_DATA, OPTION_COLLECTOR_CONFIG };

/* False: the usage error stands on stderr, as with the next. */
static bool take_payload(Request *request, const char *argument) {
        MaaGuestRequest *guest = &request->guest;
        const char *equals = strchr(argument, '=');
        if (!equals || equals == argument) {
                cli_usage_error("attest-azure-guest", "--payload: NAME=VALUE is needed");
                return false;
        }
        for (size_t i = 0; i < guest->n_payload; i++)
                if (span_equal(span_from_string(guest->payload[i].name), span_make(argument, (size_t) (equals - argument)))) {
                        cli_usage_error("attest-azure-guest", "--payload: %s is given twice", guest->payload[i].name);
                        return false;
                }
        if (guest->n_payload == MAA_AZURE_GUEST_PAYLOAD_MAX) {
                cli_usage_error("attest-azure-guest", "--payload: at most %u are possible", MAA_AZURE_GUEST_PAYLOAD_MAX);
                return false;
        }
        Bytes *text = &request->payload_texts[guest->n_payload];
        Err *err = bytes_copy(span_make(argument, strlen(argument) + 1), text);
        if (err) {
                cli_fail(err);
                return false;
        }
        text->data[equals - argument] = 0;
        guest->payload[guest->n_payload++] = (MaaGuestPayload) { (const char *) text->data, (const char *) text->data + (equals - argument) + 1 };
        return true;
}

static bool take_option(Request *request, int c) {
        switch (c) {
        case OPTION_PAYLOAD:
                return take_payload(request, optarg);
        case OPTION_ISOLATION:
                if (maa_isolation_from_string(optarg, &request->guest.isolation))
                        return true;
                cli_usage_error("attest-azure-guest", "--isolation: \"%s\" is none of TrustedLaunch, SevSnp, Tdx", optarg);
                return false;
        case OPTION_PROOF:
                request->proof = optarg;
                return true;
        case OPTION_RUNTIME_DATA:
                request->runtime_data = optarg;
                return true;
        case OPTION_COLLECTOR_CONFIG:
                request->collector_config = optarg;
                return true;
        default:
                return instance_option_take(&request->options, c, optarg) == OPTION_TAKEN;
        }
}

static bool check_isolation(const Request *request) {
        bool is_confidential = request->guest.isolation != MAA_ISOLATION_TRUSTED_LAUNCH;
        if (is_confidential == (request->proof != NULL) && is_confidential == (request->runtime_data != NULL))
                return true;
        cli_usage_error("attest-azure-guest", is_confidential ? "a confidential VM needs --proof and --runtime-data" :
                                                                 "--proof and --runtime-data are for --isolation SevSnp or Tdx");
        return false;
}

int verb_attest_azure_guest(int argc, char **argv) {
        static const struct option table[] = {
                INSTANCE_OPTIONS,
                { "payload", required_argument, NULL, OPTION_PAYLOAD },
                { "isolation", required_argument, NULL, OPTION_ISOLATION },
                { "proof", required_argument, NULL, OPTION_PROOF },
                { "runtime-data", required_argument, NULL, OPTION_RUNTIME_DATA },
                { "collector-config", required_argument, NULL, OPTION_COLLECTOR_CONFIG },
                {},
        };
        _cleanup_(request_done) Request request = { .options = INSTANCE_OPTIONS_OF("attest-azure-guest") };
        for (int c; (c = getopt_long(argc, argv, "h", table, NULL)) >= 0;) {
                if (c == 'h')
                        return cli_help(cli_verb("attest-azure-guest"), help_text);
                if (!take_option(&request, c))
                        return EXIT_USAGE;
        }
        if (argc != optind)
                return cli_usage_error("attest-azure-guest", "\"%s\" is not understood", argv[optind]);
        if (!instance_options_check(&request.options) || !check_isolation(&request))
                return EXIT_USAGE;
        Err *err = run(&request);
        return err ? cli_fail(err) : EXIT_SUCCESS;
}
