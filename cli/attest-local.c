/* See attest.h. The same operations, evidence and token rules as the daemon's, on the blocking driver; keys are fetched each time, nothing is kept. */
#include <errno.h>
#include <sys/random.h>
#include <time.h>

#include "cli/attest.h"
#include "cli/credential.h"
#include "client/driver.h"
#include "collector/collector.h"
#include "config/config.h"
#include "maa/token.h"

#define NONCE_SIZE 32
#define REQUEST_KEY_BITS 2048
#define TRUST_ANCHORS_FILE_MAX (1u << 20)
#define RETRY_MIN_USEC (500 * USEC_PER_MSEC)
#define RETRY_MAX_USEC (4 * USEC_PER_SEC)

typedef struct LocalAttest {
        const Config *config;        /* borrowed */
        Span nonce;
        TransportOptions transport;
        uint64_t budget_usec;        /* for the waits of a credential */
        Progress *progress;
        Collector *collector;
        EVP_PKEY *request_key;
        Operation *operation;
        char *authorization;
        JwkSet *keys;
        STACK_OF(X509) *trust_anchors;
        NamedValue *required_claims;
} LocalAttest;

static void local_attest_done(LocalAttest *attest) {
        collector_free(attest->collector);
        pkey_free(attest->request_key);
        operation_free(attest->operation);
        cli_credential_forget(&attest->authorization);
        jwk_set_free(attest->keys);
        sk_X509_pop_free(attest->trust_anchors, X509_free);
        free(attest->required_claims);
        *attest = (LocalAttest) {};
}

static Err *copy_pairs(const ConfigPair *pairs, size_t n, NamedValue **ret) {
        NamedValue *values = calloc(n + 1, sizeof(NamedValue));
        if (!values)
                return err_oom();
        for (size_t i = 0; i < n; i++)
                values[i] = (NamedValue) { pairs[i].name, pairs[i].value };
        *ret = values;
        return NULL;
}

static Err *make_operation(LocalAttest *attest) {
        const Config *config = attest->config;
        _cleanup_free_ NamedValue *claims = NULL;
        TRY(copy_pairs(config->custom_claims, config->n_custom_claims, &claims));
        bool use_tpm_key = config->request_key == REQUEST_KEY_TPM;
        if (!use_tpm_key)
                TRY(jose_key_generate_rsa(REQUEST_KEY_BITS, &attest->request_key));
        const AttestTpmOptions options = {
                .base_url = config->url,
                .api_version = config->api_version,
                .rp_id = config->rp_id,
                .rp_data = attest->nonce,
                .request_key = attest->request_key,
                .use_tpm_key = use_tpm_key,
                .custom_claims = claims,
                .n_custom_claims = config->n_custom_claims,
                .authorization = attest->authorization,
                .vbs = !string_equal(config->vbs_report, "none"),
        };
        return operation_new_attest_tpm(&options, &attest->operation);
}

static Err *quote(void *userdata, Span qualifying_data, Span challenge, Evidence **ret) {
        LocalAttest *attest = userdata;
        return collector_quote(attest->collector, qualifying_data, challenge, ret);
}

static Err *sign(void *userdata, Span digest, Bytes *ret_signature) {
        LocalAttest *attest = userdata;
        return collector_sign(attest->collector, digest, ret_signature);
}

static Err *report(void *userdata, Span user_data, VsmReportKind *ret_kind, Bytes *ret_report) {
        LocalAttest *attest = userdata;
        return collector_report(attest->collector, user_data, ret_kind, ret_report);
}

static bool show_step(void *userdata, OperationStep step, const Operation *operation) {
        LocalAttest *attest = userdata;
        switch (step) {
        case OPERATION_SEND:
                progress_enter(attest->progress, operation_attest_tpm_is_init(operation) ? "init" : "request");
                break;
        case OPERATION_QUOTE:
                progress_enter(attest->progress, "quote");
                break;
        case OPERATION_REPORT:      /* parts of the same state, docs/session-states.md */
        case OPERATION_SIGN:
        case OPERATION_WAIT:
        case OPERATION_DONE:
        case OPERATION_FAILED:
                break;
        }
        return true;
}

static Err *fetch_keys(LocalAttest *attest) {
        _cleanup_(operation_freep) Operation *operation = NULL;
        const DriverCallbacks callbacks = {};
        TRY(operation_new_certs(attest->config->url, &operation));
        TRY(driver_run(operation, &attest->transport, &callbacks));
        attest->keys = operation_take_certs(operation);
        return NULL;
}

static Err *read_trust_anchors(LocalAttest *attest) {
        _cleanup_bytes_ Bytes pem = {};
        const char *path = attest->config->trust_anchors;
        if (!path)
                return NULL;
        TRY(file_read(path, TRUST_ANCHORS_FILE_MAX, &pem));
        return token_trust_anchors_parse(bytes_span(&pem), path, &attest->trust_anchors);
}

static Err *validate(LocalAttest *attest, Token **ret) {
        const Config *config = attest->config;
        TRY(fetch_keys(attest));
        TRY(read_trust_anchors(attest));
        TRY(copy_pairs(config->required_claims, config->n_required_claims, &attest->required_claims));
        TokenRules rules = {
                .keys = attest->keys,
                .trust_anchors = attest->trust_anchors,
                .issuer = config->issuer,
                .now_sec = (uint64_t) time(NULL),
                .clock_skew_sec = config->clock_skew_sec,
                .nonce = attest->nonce,
                .request_key = operation_attest_tpm_key(attest->operation),
                .policy_hash = config->policy_hash,
                .required_claims = attest->required_claims,
                .n_required_claims = config->n_required_claims,
        };
        TRY(jose_alg_set_parse(config->algorithms, &rules.algorithms));
        return token_validate(span_from_string(operation_attest_tpm_token(attest->operation)), &rules, ret, /* ret_parsed= */ NULL);
}

static Err *check_config(const Config *config) {
        if (!config->url)
                return err_new(ERR_CONFIG_MISSING, "[Instance] Url= is not set");
        return NULL;
}

/* attest has config, nonce, transport and progress; the rest belongs to this attempt. */
static Err *attempt_steps(LocalAttest *attest, const char *config_file, AttestOutcome *ret) {
        const CollectorOptions collector = { .config_file = config_file, .socket_fd = -1 };
        const DriverCallbacks callbacks = { .quote = quote, .report = report, .sign = sign, .progress = show_step, .userdata = attest };
        _cleanup_(token_freep) Token *token = NULL;
        progress_enter(attest->progress, "credential");
        TRY(cli_credential_get(attest->config, &attest->transport, attest->budget_usec, &attest->authorization));
        TRY(make_operation(attest));
        TRY(collector_open(&collector, &attest->collector));
        TRY(driver_run(attest->operation, &attest->transport, &callbacks));
        progress_enter(attest->progress, "validate");
        TRY(err_wrap(validate(attest, &token), "validating the token"));
        TRY(string_copy(operation_attest_tpm_token(attest->operation), &ret->token));
        TRY(string_copy(attest->config->url, &ret->instance));
        ret->issued_sec = token->issued_sec;
        ret->expires_sec = token->expires_sec;
        return NULL;
}

static Err *attempt(const LocalAttest *common, const char *config_file, AttestOutcome *ret) {
        _cleanup_(local_attest_done) LocalAttest attest = *common;
        Progress *progress = attest.progress;
        Err *err = attempt_steps(&attest, config_file, ret);
        progress_enter(progress, err ? "failed" : "attested");
        return err;
}

static uint64_t monotonic_usec(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t) now.tv_sec * USEC_PER_SEC + (uint64_t) now.tv_nsec / NSEC_PER_USEC;
}

static void sleep_usec(uint64_t usec) {
        struct timespec left = { (time_t) (usec / USEC_PER_SEC), (long) (usec % USEC_PER_SEC * NSEC_PER_USEC) };
        while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
                ;
}

/* Transient failures are tried again until the timeout. */
static Err *attempt_until(const LocalAttest *common, const AttestCommand *command, uint64_t timeout_usec, AttestOutcome *ret) {
        uint64_t begin = monotonic_usec(), delay = RETRY_MIN_USEC;
        for (unsigned n = 1;; n++) {
                _cleanup_(attest_outcome_done) AttestOutcome outcome = {};
                Err *err = attempt(common, command->config_file, &outcome);
                if (!err) {
                        *ret = outcome;
                        ret->n_attempts = n;
                        outcome = (AttestOutcome) {};
                        return NULL;
                }
                uint64_t pause = MAX_OF(delay, err_retry_after(err)), elapsed = monotonic_usec() - begin;
                if (err_code_info(err_code(err))->retry != ERR_RETRY_TRANSIENT || elapsed > timeout_usec || pause > timeout_usec - elapsed)
                        return n > 1 ? err_wrap(err, "after %u attempts", n) : err;
                err_free(err);
                sleep_usec(pause);
                delay = MIN_OF(delay * 2, RETRY_MAX_USEC);
        }
}

static const Config *find_profile(const ConfigProfile *profiles, size_t n, const char *name) {
        for (size_t i = 0; i < n; i++)
                if (!*name || string_equal(profiles[i].name, name))
                        return profiles[i].config;
        return NULL;
}

static Err *attest_profile(const AttestCommand *command, const Config *config, Progress *progress, AttestOutcome *ret) {
        uint8_t random[NONCE_SIZE];
        uint64_t timeout_usec = command->common.has_timeout ? command->common.timeout_usec : ATTEST_TIMEOUT_USEC;
        TRY(check_config(config));
        if (getrandom(random, sizeof(random), 0) != sizeof(random))
                return err_new_errno(ERR_IO, errno, "asking the kernel for random bytes");
        const LocalAttest common = {
                .config = config,
                .nonce = command->nonce.size > 0 ? bytes_span(&command->nonce) : config->nonce.size > 0 ? bytes_span(&config->nonce) : SPAN_OF(random),
                .transport = {
                        .ca_file = config->ca_file,
                        .ca_path = config->ca_path,
                        .proxy = config->proxy,
                        .connect_timeout_usec = config->connect_timeout_usec,
                        .timeout_usec = config->timeout_usec,
                },
                .budget_usec = MAX_OF(timeout_usec, UINT64_C(1)),   /* 0 would be the library's own */
                .progress = progress,
        };
        return attempt_until(&common, command, timeout_usec, ret);
}

Err *attest_without_daemon(const AttestCommand *command, Progress *progress, AttestOutcome *ret) {
        ConfigWarnings warnings = {};
        ConfigProfile *profiles = NULL;
        size_t n = 0;
        Err *err = config_load_profiles(command->config_file, /* root= */ NULL, &profiles, &n, &warnings);
        for (size_t i = 0; i < warnings.n_lines; i++)
                fprintf(stderr, "attestctl: %s\n", warnings.lines[i]);
        config_warnings_done(&warnings);
        if (err)
                return err;
        const Config *config = find_profile(profiles, n, command->common.profile);
        if (config)
                err = attest_profile(command, config, progress, ret);
        else
                err = err_new(ERR_NO_SUCH_PROFILE, "there is no profile \"%s\"", command->common.profile);
        config_profiles_free(profiles, n);
        return err;
}
