/* See instance-client.h. */
#include "cli/instance-client.h"

#include <limits.h>
#include <time.h>

#include "cli/credential.h"
#include "client/access-token.h"
#include "config/config.h"
#include "jose/pem.h"

#define CONNECT_TIMEOUT_USEC (10 * USEC_PER_SEC)
#define REQUEST_TIMEOUT_USEC (60 * USEC_PER_SEC)
#define WAIT_USEC (300 * USEC_PER_SEC)
#define WAIT_DELAY_MAX_USEC (10 * USEC_PER_SEC)
#define WAIT_LEAST_USEC (200 * USEC_PER_MSEC)     /* less is not worth another try */

struct InstanceClient {
        ConfigProfile *profiles;     /* NULL with --instance */
        size_t n_profiles;
        char *url, *authorization;
        const char *issuer, *api_version;
        JoseAlgSet algorithms;
        uint64_t clock_skew_sec;
        TransportOptions transport;
        RetryPlan retry;
        uint64_t budget_usec;        /* for the waits of a credential */
        bool waits;                  /* until transport.deadline_usec */
        JwkSet *keys;
};

OptionTaken instance_option_take(InstanceOptions *options, int c, const char *argument) {
        switch (c) {
        case OPTION_INSTANCE:
                options->url = argument;
                return OPTION_TAKEN;
        case OPTION_CA_FILE:
                options->ca_file = argument;
                return OPTION_TAKEN;
        case OPTION_CONFIG:
                options->config_file = argument;
                return OPTION_TAKEN;
        case OPTION_TOKEN_FILE:
                options->token_file = argument;
                return OPTION_TAKEN;
        case OPTION_WAIT:
                options->wait = true;
                options->wait_usec = WAIT_TIME_OF_TIMEOUT;
                return !argument || option_duration(options->common.verb, "wait", argument, &options->wait_usec) ? OPTION_TAKEN : OPTION_WRONG;
        default:
                return common_option_take(&options->common, c, argument);
        }
}

bool instance_options_check(const InstanceOptions *options) {
        const char *verb = options->common.verb;
        if (!options->url && (options->ca_file || options->token_file)) {
                cli_usage_error(verb, "--ca-file and --token-file are for --instance; a profile has CaFile= and [Credential]");
                return false;
        }
        if (options->url && (options->config_file || *options->common.profile)) {
                cli_usage_error(verb, "either --instance or a profile of the configuration");
                return false;
        }
        return true;
}

InstanceClient *instance_client_free(InstanceClient *client) {
        if (!client)
                return NULL;
        config_profiles_free(client->profiles, client->n_profiles);
        free(client->url);
        cli_credential_forget(&client->authorization);
        jwk_set_free(client->keys);
        free(client);
        return NULL;
}

static Err *load_profiles(InstanceClient *client, const char *config_file) {
        ConfigWarnings warnings = {};
        Err *err = config_load_profiles(config_file, /* root= */ NULL, &client->profiles, &client->n_profiles, &warnings);
        for (size_t i = 0; i < warnings.n_lines; i++)
                fprintf(stderr, "attestctl: %s\n", warnings.lines[i]);
        config_warnings_done(&warnings);
        return err;
}

static uint64_t monotonic_usec(void) {
        struct timespec now = {};
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t) now.tv_sec * USEC_PER_SEC + (uint64_t) now.tv_nsec / NSEC_PER_USEC;
}

static uint64_t left_usec(const InstanceClient *client) {
        return client->transport.deadline_usec - MIN_OF(monotonic_usec(), client->transport.deadline_usec);
}

static void sleep_usec(uint64_t usec) {
        const struct timespec pause = { .tv_sec = (time_t) (usec / USEC_PER_SEC), .tv_nsec = (long) (usec % USEC_PER_SEC * NSEC_PER_USEC) };
        (void) clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
}

/* Who gives access tokens has a plan of his own for trying again; with --wait that is begun anew until the time is over. */
static Err *get_credential(InstanceClient *client, const Config *config) {
        for (uint64_t pause_usec = USEC_PER_SEC;; pause_usec = MIN_OF(2 * pause_usec, WAIT_DELAY_MAX_USEC)) {
                TransportOptions transport = client->transport;
                uint64_t budget_usec = client->waits ? MAX_OF(left_usec(client), UINT64_C(1)) : client->budget_usec;
                transport.deadline_usec = 0;      /* the budget is enough, and leaves the last error as it is */
                if (client->waits)
                        transport.timeout_usec = MIN_OF(transport.timeout_usec, budget_usec);
                Err *err = cli_credential_get(config, &transport, budget_usec, &client->authorization);
                if (!err || !client->waits || err_code_info(err_code(err))->retry != ERR_RETRY_TRANSIENT || left_usec(client) < WAIT_LEAST_USEC)
                        return err;
                err_free(err);
                sleep_usec(MIN_OF(pause_usec, left_usec(client) / 2));
        }
}

/* After the transport is known. */
static void begin_to_wait(InstanceClient *client, const InstanceOptions *options) {
        if (options->common.has_timeout)
                client->budget_usec = client->retry.total_usec = client->transport.timeout_usec = MAX_OF(options->common.timeout_usec, UINT64_C(1));
        if (!options->wait || options->wait_usec == 0)
                return;
        uint64_t wait_usec = options->wait_usec == WAIT_TIME_OF_TIMEOUT ? client->budget_usec : options->wait_usec;
        client->waits = true;
        client->transport.deadline_usec = monotonic_usec() + MIN_OF(wait_usec, UINT64_MAX / 4);
        client->transport.until_deadline = true;
        client->retry.n_tries = UINT_MAX;
        client->retry.total_usec = UINT64_MAX;
        client->retry.delay_max_usec = WAIT_DELAY_MAX_USEC;
}

static Err *use_profile(InstanceClient *client, const InstanceOptions *options) {
        const Config *config = NULL;
        TRY(load_profiles(client, options->config_file));
        for (size_t i = 0; i < client->n_profiles && !config; i++)
                if (!*options->common.profile || string_equal(client->profiles[i].name, options->common.profile))
                        config = client->profiles[i].config;
        if (!config)
                return err_new(ERR_NO_SUCH_PROFILE, "there is no profile \"%s\"", options->common.profile);
        if (!config->url)
                return err_new(ERR_CONFIG_MISSING, "[Instance] Url= is not set, and there is no --instance");
        client->transport = (TransportOptions) {
                .ca_file = config->ca_file, .ca_path = config->ca_path, .proxy = config->proxy,
                .connect_timeout_usec = config->connect_timeout_usec, .timeout_usec = config->timeout_usec,
        };
        client->issuer = config->issuer;
        client->api_version = config->api_version;
        client->clock_skew_sec = config->clock_skew_sec;
        TRY(string_copy(config->url, &client->url));
        TRY(jose_alg_set_parse(config->algorithms, &client->algorithms));
        begin_to_wait(client, options);
        return get_credential(client, config);
}

static Err *use_url(InstanceClient *client, const InstanceOptions *options) {
        _cleanup_bytes_erase_ Bytes token = {};
        TRY(maa_base_url_normalize(options->url, &client->url));
        client->issuer = client->url;
        client->transport = (TransportOptions) { .ca_file = options->ca_file, .connect_timeout_usec = CONNECT_TIMEOUT_USEC, .timeout_usec = REQUEST_TIMEOUT_USEC };
        begin_to_wait(client, options);
        if (!options->token_file)
                return NULL;
        TRY(file_read(options->token_file, ACCESS_TOKEN_SIZE_MAX, &token));
        return access_token_authorization(bytes_span(&token), options->token_file, &client->authorization);
}

Err *instance_client_open(const InstanceOptions *options, InstanceClient **ret) {
        _cleanup_(instance_client_freep) InstanceClient *client = calloc(1, sizeof(InstanceClient));
        if (!client)
                return err_oom();
        client->retry = retry_plan_default();
        client->clock_skew_sec = TOKEN_CLOCK_SKEW_SEC;
        client->budget_usec = WAIT_USEC;
        TRY(options->url ? use_url(client, options) : use_profile(client, options));
        *ret = steal_ptr(&client);
        return NULL;
}

const char *instance_client_url(const InstanceClient *client) {
        return client->url;
}

const char *instance_client_api_version(const InstanceClient *client) {
        return client->api_version;
}

static Err *run(InstanceClient *client, Operation *operation) {
        operation_set_retry(operation, &client->retry);
        return driver_run(operation, &client->transport, /* callbacks= */ NULL);
}

Err *instance_client_call(InstanceClient *client, const char *doing, HttpRequest *steal_request, Operation **ret) {
        _cleanup_http_request_ HttpRequest request = *steal_request;
        _cleanup_(operation_freep) Operation *operation = NULL;
        _cleanup_free_ char *intent = NULL;
        *steal_request = (HttpRequest) {};
        TRY(string_format(&intent, "%s of %s", doing, client->url));
        if (client->authorization)
                TRY(http_request_add_header(&request, "Authorization", client->authorization));
        TRY(operation_new_call(intent, &request, &operation));
        TRY(run(client, operation));
        *ret = steal_ptr(&operation);
        return NULL;
}

Err *instance_client_keys(InstanceClient *client, const JwkSet **ret) {
        if (!client->keys) {
                _cleanup_(operation_freep) Operation *operation = NULL;
                TRY(operation_new_certs(client->url, &operation));
                TRY(run(client, operation));
                client->keys = operation_take_certs(operation);
        }
        *ret = client->keys;
        return NULL;
}

static Err *ask_token(InstanceClient *client, const char *doing, HttpRequest *steal_request, char **ret_token) {
        _cleanup_(operation_freep) Operation *operation = NULL;
        TRY(instance_client_call(client, doing, steal_request, &operation));
        return maa_token_answer_parse(operation_call_answer(operation), ret_token);
}

Err *instance_client_believe(InstanceClient *client, const char *text, Token **ret) {
        TokenRules rules = { .algorithms = client->algorithms, .issuer = client->issuer, .clock_skew_sec = client->clock_skew_sec };
        TRY(instance_client_keys(client, &rules.keys));
        rules.now_sec = (uint64_t) time(NULL);
        return err_wrap(token_validate(span_from_string(text), &rules, ret, /* ret_parsed= */ NULL), "validating the answer");
}

Err *instance_client_ask(InstanceClient *client, const char *doing, HttpRequest *steal_request, Token **ret) {
        _cleanup_free_ char *text = NULL;
        TRY(ask_token(client, doing, steal_request, &text));
        return instance_client_believe(client, text, ret);
}

Err *instance_client_ask_draft(InstanceClient *client, const char *doing, HttpRequest *steal_request, Token **ret) {
        _cleanup_free_ char *text = NULL;
        TRY(ask_token(client, doing, steal_request, &text));
        return err_wrap(token_parse(span_from_string(text), ret), "the draft's token");
}

/* ---- files ---- */

Err *certificates_read(const char *path, STACK_OF(X509) **ret) {
        _cleanup_bytes_ Bytes pem = {};
        TRY(file_read(path, PEM_FILE_MAX, &pem));
        return x509_stack_from_pem(bytes_span(&pem), path, ret);
}

void signer_files_done(SignerFiles *files) {
        pkey_free(files->key);
        x509_stack_free(files->certificates);
        *files = (SignerFiles) {};
}

Err *signer_files_read(const char *key_path, const char *certificate_path, SignerFiles *ret) {
        _cleanup_signer_files_ SignerFiles files = {};
        _cleanup_bytes_erase_ Bytes pem = {};
        TRY(file_read(key_path, PEM_FILE_MAX, &pem));
        TRY(pem_private_key(bytes_span(&pem), key_path, &files.key));
        TRY(certificates_read(certificate_path, &files.certificates));
        TRY(err_wrap(maa_signer_check(&(MaaSigner) { files.key, files.certificates }), "%s, %s", key_path, certificate_path));
        *ret = files;
        files = (SignerFiles) {};
        return NULL;
}

MaaSigner signer_files_signer(const SignerFiles *files) {
        return (MaaSigner) { files->key, files->certificates };
}
