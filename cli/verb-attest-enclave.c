/* attestctl attest-sgx and attestctl attest-openenclave: a token for a quote, or a report, that an enclave on this machine or elsewhere has made. */
#include <getopt.h>

#include "cli/instance-client.h"
#include "cli/log-input.h"
#include "maa/enclave.h"

#define EVIDENCE_SIZE_MAX (256u << 10)   /* ours: recorded quotes have less than 5 KiB */
#define DATA_SIZE_MAX (256u << 10)
#define POLICY_TEXT_MAX (256u << 10)

static const char help_text[] =
        "  FILE                        the quote of SGX, or the report of Open Enclave, binary; - for standard input, as with the others\n"
        "  --runtime-data FILE         what the enclave vouches for: the quote has its SHA-256. Comes back in the token as base64url\n"
        "  --runtime-json FILE         the same, JSON: comes back in the token as an object\n"
        "  --init-time-data FILE, --init-time-json FILE    what the enclave was configured with when it began\n"
        "  --nonce TEXT                has to come back in the token\n"
        "  --draft-policy FILE         evaluate this policy instead of the instance's; the answer is unsigned, and its claims are shown, never believed\n"
        INSTANCE_OPTIONS_HELP "\nThe token goes to standard output; with --json token and claims.\n";

typedef struct Request {
        InstanceOptions options;
        MaaEnclaveKind kind;
        const char *file, *runtime, *init_time, *nonce, *draft_policy;
        bool runtime_is_json, init_time_is_json;
} Request;

static Err *show(const Token *token, bool is_draft) {
        _cleanup_json_ Json *json = NULL;
        _cleanup_free_ char *text = NULL;
        TRY(string_copy_span(bytes_span(&token->jws->text), &text));
        if (is_draft)
                fprintf(stderr, "attestctl: a draft's token is unsigned: it proves nothing\n");
        if (!cli_is_json() && !is_draft) {
                printf("%s\n", text);
                return NULL;
        }
        TRY(json_new_object(&json));
        TRY(json_add_boolean(json, "validated", !is_draft));
        TRY(json_add_string(json, "token", text));
        TRY(json_add(json, "claims", json_ref(token->claims)));
        return cli_print_json(json);
}

/* Texts that the request borrows. */
typedef struct Input {
        Bytes evidence, runtime, init_time, draft;
} Input;

static void input_done(Input *input) {
        bytes_done(&input->evidence);
        bytes_done(&input->runtime);
        bytes_done(&input->init_time);
        bytes_done(&input->draft);
}

static Err *read_input(const Request *request, Input *input) {
        TRY(log_input_read(request->file, EVIDENCE_SIZE_MAX, &input->evidence));
        if (request->runtime)
                TRY(log_input_read(request->runtime, DATA_SIZE_MAX, &input->runtime));
        if (request->init_time)
                TRY(log_input_read(request->init_time, DATA_SIZE_MAX, &input->init_time));
        if (request->draft_policy)
                TRY(log_input_read(request->draft_policy, POLICY_TEXT_MAX, &input->draft));
        return NULL;
}

static Err *run(const Request *request) {
        _cleanup_(instance_client_freep) InstanceClient *client = NULL;
        _cleanup_(input_done) Input input = {};
        _cleanup_(token_freep) Token *token = NULL;
        _cleanup_free_ char *draft = NULL;
        MaaEnclaveClaims claims;
        HttpRequest http = {};
        TRY(read_input(request, &input));
        if (request->draft_policy)
                TRY(err_wrap(string_copy_span(bytes_span(&input.draft), &draft), "%s", request->draft_policy));
        const MaaEnclaveRequest wanted = {
                .kind = request->kind,
                .evidence = bytes_span(&input.evidence),
                .runtime = { bytes_span(&input.runtime), request->runtime_is_json, request->runtime != NULL },
                .init_time = { bytes_span(&input.init_time), request->init_time_is_json, request->init_time != NULL },
                .nonce = request->nonce,
                .draft_policy = draft,
        };
        TRY(instance_client_open(&request->options, &client));
        TRY(err_wrap(maa_enclave_request(instance_client_url(client), instance_client_api_version(client), &wanted, &http), "%s", request->file));
        TRY(draft ? instance_client_ask_draft(client, "attesting the enclave: the answer", &http, &token) :
                    instance_client_ask(client, "attesting the enclave: the answer", &http, &token));
        TRY(maa_enclave_claims(token->claims, &claims));
        TRY(maa_enclave_check_nonce(&claims, request->nonce));
        return show(token, draft != NULL);
}

enum { OPTION_RUNTIME_DATA = OPTION_OF_VERB, OPTION_RUNTIME_JSON, OPTION_INIT_TIME_DATA, OPTION_INIT_TIME_JSON, OPTION_NONCE, OPTION_DRAFT_POLICY };

/* False: one of each pair is given already; the usage error stands on stderr. */
static bool take_data(const Request *request, const char **path, bool *is_json, bool wanted_json) {
        if (*path) {
                cli_usage_error(request->options.common.verb, "either data or JSON, and once");
                return false;
        }
        *path = optarg;
        *is_json = wanted_json;
        return true;
}

static bool take_option(Request *request, int c) {
        switch (c) {
        case OPTION_RUNTIME_DATA:
        case OPTION_RUNTIME_JSON:
                return take_data(request, &request->runtime, &request->runtime_is_json, c == OPTION_RUNTIME_JSON);
        case OPTION_INIT_TIME_DATA:
        case OPTION_INIT_TIME_JSON:
                return take_data(request, &request->init_time, &request->init_time_is_json, c == OPTION_INIT_TIME_JSON);
        case OPTION_NONCE:
                request->nonce = optarg;
                return true;
        case OPTION_DRAFT_POLICY:
                request->draft_policy = optarg;
                return true;
        default:
                return instance_option_take(&request->options, c, optarg) == OPTION_TAKEN;
        }
}

static int verb(const char *name, MaaEnclaveKind kind, int argc, char **argv) {
        static const struct option table[] = {
                INSTANCE_OPTIONS,
                { "runtime-data", required_argument, NULL, OPTION_RUNTIME_DATA },
                { "runtime-json", required_argument, NULL, OPTION_RUNTIME_JSON },
                { "init-time-data", required_argument, NULL, OPTION_INIT_TIME_DATA },
                { "init-time-json", required_argument, NULL, OPTION_INIT_TIME_JSON },
                { "nonce", required_argument, NULL, OPTION_NONCE },
                { "draft-policy", required_argument, NULL, OPTION_DRAFT_POLICY },
                {},
        };
        Request request = { .options = INSTANCE_OPTIONS_OF(name), .kind = kind };
        for (int c; (c = getopt_long(argc, argv, "h", table, NULL)) >= 0;) {
                if (c == 'h')
                        return cli_help(cli_verb(name), help_text);
                if (!take_option(&request, c))
                        return EXIT_USAGE;
        }
        if (argc - optind != 1)
                return cli_usage_error(name, "one file with a %s is needed", kind == MAA_ENCLAVE_SGX ? "quote" : "report");
        request.file = argv[optind];
        if (!instance_options_check(&request.options))
                return EXIT_USAGE;
        Err *err = run(&request);
        return err ? cli_fail(err) : EXIT_SUCCESS;
}

int verb_attest_sgx(int argc, char **argv) {
        return verb("attest-sgx", MAA_ENCLAVE_SGX, argc, argv);
}

int verb_attest_openenclave(int argc, char **argv) {
        return verb("attest-openenclave", MAA_ENCLAVE_OPEN_ENCLAVE, argc, argv);
}
