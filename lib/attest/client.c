/* See client.h. */
#include "attest/internal.h"

#include <time.h>

#include "jose/x509.h"

#define CONNECT_TIMEOUT_USEC (10 * USEC_PER_SEC)
#define REQUEST_TIMEOUT_USEC (60 * USEC_PER_SEC)

static void erase_text(char **text) {
        if (*text)
                explicit_bzero(*text, strlen(*text));
        free(*text);
        *text = NULL;
}

AttestClient *attest_client_free(AttestClient *client) {
        if (!client)
                return NULL;
        free(client->url);
        free(client->api_version);
        free(client->ca_file);
        free(client->ca_path);
        free(client->proxy);
        erase_text(&client->authorization);
        attest_rules_free(client->rules);
        free(client);
        return NULL;
}
DEFINE_CLEANUP(AttestClient, attest_client_free)

static Err *make(const char *url, AttestClient **ret) {
        _cleanup_(attest_client_freep) AttestClient *client = calloc(1, sizeof(AttestClient));
        if (!client)
                return err_oom();
        client->connect_usec = CONNECT_TIMEOUT_USEC;
        client->request_usec = REQUEST_TIMEOUT_USEC;
        client->retry = retry_plan_default();
        TRY(maa_base_url_normalize(url ?: "", &client->url));
        TRY(error_in(attest_rules_new(&client->rules)));
        TRY(error_in(attest_rules_set_issuer(client->rules, client->url)));
        *ret = steal_ptr(&client);
        return NULL;
}

AttestError *attest_client_new(const char *url, AttestClient **ret) {
        return error_out(make(url, ret));
}

const char *attest_client_get_url(const AttestClient *client) {
        return client->url;
}

static AttestError *set_text(char **member, const char *text) {
        char *copy = NULL;
        Err *err = text ? string_copy(text, &copy) : NULL;
        if (err)
                return error_out(err);
        erase_text(member);
        *member = copy;
        return NULL;
}

AttestError *attest_client_set_api_version(AttestClient *client, const char *version) {
        return set_text(&client->api_version, version);
}

AttestError *attest_client_set_ca_file(AttestClient *client, const char *path) {
        return set_text(&client->ca_file, path);
}

AttestError *attest_client_set_ca_path(AttestClient *client, const char *path) {
        return set_text(&client->ca_path, path);
}

AttestError *attest_client_set_proxy(AttestClient *client, const char *proxy) {
        return set_text(&client->proxy, proxy);
}

void attest_client_set_timeouts_usec(AttestClient *client, uint64_t connect_usec, uint64_t request_usec) {
        client->connect_usec = connect_usec;
        client->request_usec = request_usec;
}

void attest_client_set_deadline_usec(AttestClient *client, uint64_t call_usec) {
        client->call_usec = call_usec;
}

void client_begin(AttestClient *client) {
        struct timespec now = {};
        clock_gettime(CLOCK_MONOTONIC, &now);
        uint64_t now_usec = (uint64_t) now.tv_sec * USEC_PER_SEC + (uint64_t) now.tv_nsec / NSEC_PER_USEC;
        client->deadline_usec = client->call_usec == 0 ? 0 : now_usec + MIN_OF(client->call_usec, UINT64_MAX / 2);
}

void attest_client_set_retry(AttestClient *client, unsigned n_tries, uint64_t total_usec) {
        client->retry.n_tries = n_tries;
        client->retry.total_usec = total_usec;
}

void attest_client_set_retry_delays_usec(AttestClient *client, uint64_t first_usec, uint64_t longest_usec) {
        client->retry.delay_min_usec = MIN_OF(first_usec, longest_usec);
        client->retry.delay_max_usec = longest_usec;
}

AttestError *attest_client_set_authorization(AttestClient *client, const char *authorization) {
        return set_text(&client->authorization, authorization);
}

void attest_client_set_progress(AttestClient *client, bool (*callback)(void *userdata, const char *state), void *userdata) {
        client->progress = (AttestProgress) { callback, userdata };
}

AttestRules *attest_client_get_rules(AttestClient *client) {
        return client->rules;
}

void attest_client_use_rules(AttestClient *client, const AttestRules *rules) {
        client->others = rules;
}

const AttestRules *client_rules(const AttestClient *client) {
        return client->others ?: client->rules;
}

TransportOptions client_transport(const AttestClient *client) {
        return (TransportOptions) {
                .ca_file = client->ca_file,
                .ca_path = client->ca_path,
                .proxy = client->proxy,
                .connect_timeout_usec = client->connect_usec,
                .timeout_usec = client->request_usec,
                .deadline_usec = client->deadline_usec,
        };
}

bool progress_ask(void *userdata, OperationStep step, const Operation *operation) {
        const AttestProgress *progress = userdata;
        const char *state = NULL;
        switch (step) {
        case OPERATION_SEND:
                state = "send";
                break;
        case OPERATION_QUOTE:
                state = "quote";
                break;
        case OPERATION_REPORT:
                state = "report";
                break;
        case OPERATION_SIGN:
                state = "sign";
                break;
        case OPERATION_WAIT:
                state = "wait";
                break;
        case OPERATION_DONE:
        case OPERATION_FAILED:
                break;
        }
        return !state || !progress->callback || progress->callback(progress->userdata, state);
}

static Err *run(AttestClient *client, Operation *operation) {
        const TransportOptions transport = client_transport(client);
        const DriverCallbacks callbacks = { .progress = progress_ask, .userdata = &client->progress };
        operation_set_retry(operation, &client->retry);
        return driver_run(operation, &transport, &callbacks);
}

Err *client_fetch_keys(AttestClient *client, JwkSet **ret) {
        _cleanup_(operation_freep) Operation *operation = NULL;
        TRY(operation_new_certs(client->url, &operation));
        TRY(run(client, operation));
        *ret = operation_take_certs(operation);
        return NULL;
}

/* ---- signing certificates ---- */

typedef struct Signer {
        char *key_id, *certificates, *key;
} Signer;

struct AttestSigners {
        size_t n;
        Signer *list;
};

AttestSigners *attest_signers_free(AttestSigners *signers) {
        if (!signers)
                return NULL;
        for (size_t i = 0; i < signers->n; i++) {
                free(signers->list[i].key_id);
                free(signers->list[i].certificates);
                free(signers->list[i].key);
        }
        free(signers->list);
        free(signers);
        return NULL;
}
DEFINE_CLEANUP(AttestSigners, attest_signers_free)

static Err *add_signer(AttestSigners *signers, const Jwk *jwk) {
        Signer *signer = &signers->list[signers->n++];
        if (jwk->kid)
                TRY(string_copy(jwk->kid, &signer->key_id));
        if (jwk->x5c)
                TRY(x509_stack_to_pem(jwk->x5c, &signer->certificates));
        return jwk_public_text(jwk->key, &signer->key);
}

Err *attest_signers_make(const JwkSet *keys, AttestSigners **ret) {
        _cleanup_(attest_signers_freep) AttestSigners *signers = calloc(1, sizeof(AttestSigners));
        if (!signers)
                return err_oom();
        signers->list = calloc(keys->n_keys + 1, sizeof(Signer));
        if (!signers->list)
                return err_oom();
        for (size_t i = 0; i < keys->n_keys; i++)
                TRY(add_signer(signers, keys->keys[i]));
        *ret = steal_ptr(&signers);
        return NULL;
}

static Err *get_signers(AttestClient *client, AttestSigners **ret) {
        _cleanup_(jwk_set_freep) JwkSet *keys = NULL;
        TRY(client_fetch_keys(client, &keys));
        return attest_signers_make(keys, ret);
}

AttestError *attest_client_get_signing_certificates(AttestClient *client, AttestSigners **ret) {
        client_begin(client);
        return error_out(get_signers(client, ret));
}

size_t attest_signers_count(const AttestSigners *signers) {
        return signers->n;
}

const char *attest_signers_get_key_id(const AttestSigners *signers, size_t index) {
        return index < signers->n ? signers->list[index].key_id : NULL;
}

const char *attest_signers_get_certificates(const AttestSigners *signers, size_t index) {
        return index < signers->n ? signers->list[index].certificates : NULL;
}

const char *attest_signers_get_key(const AttestSigners *signers, size_t index) {
        return index < signers->n ? signers->list[index].key : NULL;
}

/* ---- tokens ---- */

Err *client_validate(AttestClient *client, ClientPurpose purpose, const char *text, AttestToken **ret) {
        _cleanup_(jwk_set_freep) JwkSet *keys = NULL;
        if (rules_need_keys(client_rules(client)))
                TRY(client_fetch_keys(client, &keys));
        const RulesExtra extra = { .keys = keys, .issuer = client->url, .is_administration = purpose == CLIENT_ADMINISTRATION };
        return rules_judge(client_rules(client), &extra, text, ret);
}

AttestError *attest_client_validate_token(AttestClient *client, const char *text, AttestToken **ret) {
        client_begin(client);
        return error_out(client_validate(client, CLIENT_ATTESTATION, text, ret));
}

/* ---- one request, one answer ---- */

Err *client_call(AttestClient *client, const char *what, HttpRequest *steal_request, Operation **ret) {
        _cleanup_http_request_ HttpRequest request = *steal_request;
        _cleanup_(operation_freep) Operation *operation = NULL;
        _cleanup_free_ char *intent = NULL;
        *steal_request = (HttpRequest) {};
        TRY(string_format(&intent, "asking for %s", what));
        TRY(operation_new_call(intent, &request, &operation));
        TRY(run(client, operation));
        *ret = steal_ptr(&operation);
        return NULL;
}

static Err *call_authorized(AttestClient *client, const char *what, HttpRequest *steal_request, Operation **ret) {
        _cleanup_http_request_ HttpRequest request = *steal_request;
        *steal_request = (HttpRequest) {};
        TRY(client_authorize(client));
        if (client->authorization)
                TRY(http_request_add_header(&request, "Authorization", client->authorization));
        return client_judge_authorization(client, client_call(client, what, &request, ret));
}

static Err *ask_text(AttestClient *client, const char *what, HttpRequest *steal_request, char **ret) {
        _cleanup_(operation_freep) Operation *operation = NULL;
        TRY(call_authorized(client, what, steal_request, &operation));
        return maa_token_answer_parse(operation_call_answer(operation), ret);
}

Err *client_ask(AttestClient *client, const char *what, ClientPurpose purpose, HttpRequest *steal_request, AttestToken **ret) {
        _cleanup_free_ char *text = NULL;
        TRY(ask_text(client, what, steal_request, &text));
        return err_wrap(client_validate(client, purpose, text, ret), "validating the token");
}

Err *client_ask_draft(AttestClient *client, const char *what, HttpRequest *steal_request, AttestToken **ret) {
        _cleanup_free_ char *text = NULL;
        TRY(ask_text(client, what, steal_request, &text));
        return error_in(attest_token_parse(text, ret));
}

static Err *attest_tpm(AttestClient *client, Span message, void **ret_answer, size_t *ret_size) {
        _cleanup_(operation_freep) Operation *operation = NULL;
        HttpRequest request = {};
        Bytes answer;
        TRY(maa_tpm_message_request(client->url, client->api_version, message, &request));
        TRY(call_authorized(client, "the answer to a TPM message", &request, &operation));
        TRY(maa_tpm_message_parse(operation_call_answer(operation), &answer));
        *ret_size = answer.size;
        *ret_answer = answer.data;
        return NULL;
}

AttestError *attest_client_attest_tpm(AttestClient *client, const void *message, size_t size, void **ret_answer, size_t *ret_size) {
        client_begin(client);
        return error_out(err_wrap(attest_tpm(client, span_make(message, size), ret_answer, ret_size), "sending a TPM message to %s", client->url));
}
