/* See operation.h. The table of the AttestTpm conversation; what it does not list changes nothing and frees what it was given:
 *
 *     state     request sent        | answer arrives        evidence arrives      report arrives        signature arrives     failure arrives
 *     INIT      {"type":"aikcert"}  | QUOTE or FAILED       -                     -                     -                     FAILED
 *     QUOTE     -                   | -                     next, or FAILED       -                     -                     FAILED
 *     REPORT    -                   | -                     -                     next, or FAILED       -                     FAILED
 *     SIGN      -                   | -                     -                     -                     REQUEST or FAILED     FAILED
 *     REQUEST   {"request":…}       | DONE or FAILED        -                     -                     -                     FAILED
 *     DONE, FAILED                  | -                     -                     -                     -                     -
 *
 * "next" is REPORT where a VBS report is wanted and not there yet, SIGN where the request key is in the TPM, else REQUEST. The evidence waits in REPORT,
 * because what the report vouches for is the text that it becomes; in SIGN that text waits (a source: the logs in it stay where they are).
 *
 * A token's conversation is a table of its own (credential-fetch.c), behind the one state TOKEN here.
 * The key set's conversation has one state, CERTS, that ends in DONE or FAILED, and so has that of an exchange. With a plan for it, what fails in a state that
 * sends goes to WAIT instead, and from there to the first state again: the challenge may be spent by a refused request. */
#include "client/operation.h"

#include "client/credential-private.h"
#include "tcg/quote.h"

typedef enum OperationState {
        STATE_INIT, STATE_QUOTE, STATE_REPORT, STATE_SIGN, STATE_REQUEST, STATE_CERTS, STATE_EXCHANGE, STATE_TOKEN, STATE_WAIT, STATE_DONE, STATE_FAILED,
} OperationState;

struct Operation {
        OperationState state, first;
        char *base_url;
        HttpRequest request;      /* in INIT, REQUEST, CERTS, EXCHANGE */
        Err *err;                 /* in WAIT, and in FAILED until it was handed over */
        Retry retry;
        uint64_t delay_usec;      /* in WAIT */
        /* AttestTpm */
        char *api_version, *rp_id, *authorization, *jwk_text, *token;
        Bytes rp_data;
        EVP_PKEY *request_key;
        NamedValue *custom_claims;
        size_t n_custom_claims;
        AttestTpmChallenge challenge;
        Digest qualifying;
        bool wants_report, uses_tpm_key;
        Evidence *evidence;       /* from its arrival until the request is made of it */
        Digest report_data;
        VsmReportKind vsm_report_kind;
        Bytes vsm_report;         /* empty: none */
        Source *signing_input;    /* in SIGN */
        Bytes signing_digest;
        /* key set */
        JwkSet *certs;
        /* exchange */
        const char *method;
        char *body;
        Json *answer;
        /* token */
        CredentialFetch fetch;    /* in TOKEN */
};

static char *free_secret(char *text) {
        if (text)
                explicit_bzero(text, strlen(text));
        free(text);
        return NULL;
}

Operation *operation_free(Operation *operation) {
        if (!operation)
                return NULL;
        free(operation->base_url);
        http_request_done(&operation->request);
        err_free(operation->err);
        free(operation->api_version);
        free(operation->rp_id);
        free_secret(operation->authorization);
        free(operation->jwk_text);
        free_secret(operation->token);
        bytes_done(&operation->rp_data);
        pkey_free(operation->request_key);
        for (size_t i = 0; i < operation->n_custom_claims; i++) {
                free(operation->custom_claims[i].name);
                free(operation->custom_claims[i].value);
        }
        free(operation->custom_claims);
        attest_tpm_challenge_done(&operation->challenge);
        evidence_free(operation->evidence);
        bytes_done(&operation->vsm_report);
        source_free(operation->signing_input);
        bytes_done(&operation->signing_digest);
        jwk_set_free(operation->certs);
        free(operation->body);
        json_unref(operation->answer);
        credential_fetch_done(&operation->fetch);
        free(operation);
        return NULL;
}

static OperationStep token_step(const CredentialFetch *fetch) {
        switch (fetch->step) {
        case CREDENTIAL_SEND:
                return OPERATION_SEND;
        case CREDENTIAL_WAIT:
                return OPERATION_WAIT;
        case CREDENTIAL_DONE:
                return OPERATION_DONE;
        case CREDENTIAL_FAILED:
                return OPERATION_FAILED;
        }
        return OPERATION_FAILED;
}

OperationStep operation_next(Operation *operation) {
        switch (operation->state) {
        case STATE_INIT:
        case STATE_REQUEST:
        case STATE_CERTS:
        case STATE_EXCHANGE:
                return OPERATION_SEND;
        case STATE_TOKEN:
                return token_step(&operation->fetch);
        case STATE_QUOTE:
                return OPERATION_QUOTE;
        case STATE_REPORT:
                return OPERATION_REPORT;
        case STATE_SIGN:
                return OPERATION_SIGN;
        case STATE_WAIT:
                return OPERATION_WAIT;
        case STATE_DONE:
                return OPERATION_DONE;
        case STATE_FAILED:
                return OPERATION_FAILED;
        }
        return OPERATION_FAILED;
}

static bool operation_sends(const Operation *operation) {
        return operation->state == STATE_INIT || operation->state == STATE_REQUEST || operation->state == STATE_CERTS ||
               operation->state == STATE_EXCHANGE;
}

static bool operation_ended(const Operation *operation) {
        return operation->state == STATE_DONE || operation->state == STATE_FAILED;
}

/* The one place where a state is entered: what belongs to the old state goes. */
static void enter(Operation *operation, OperationState state) {
        http_request_done(&operation->request);
        operation->state = state;
}

/* What an operation was doing in its state, as the outermost sentence of its error. */
static Err *wrap_intent(const Operation *operation, Err *err) {
        switch (operation->state) {
        case STATE_INIT:
                return err_wrap(err, "asking %s for a challenge", operation->base_url);
        case STATE_QUOTE:
                return err_wrap(err, "collecting evidence");
        case STATE_REPORT:
                return err_wrap(err, "getting a VBS report");
        case STATE_SIGN:
                return err_wrap(err, "signing the request with the TPM's key");
        case STATE_REQUEST:
                return err_wrap(err, "sending evidence to %s", operation->base_url);
        case STATE_CERTS:
                return err_wrap(err, "fetching the signing keys of %s", operation->base_url);
        case STATE_EXCHANGE:
                return err_wrap(err, "asking %s", operation->base_url);
        case STATE_TOKEN:
        case STATE_WAIT:
        case STATE_DONE:
        case STATE_FAILED:
                return err;
        }
        return err;
}

static void fail_with(Operation *operation, Err *steal_err) {
        bool on_the_way = operation_sends(operation);
        Err *err = wrap_intent(operation, steal_err);
        if (on_the_way && retry_next(&operation->retry, err, &operation->delay_usec)) {
                operation->err = err;
                enter(operation, STATE_WAIT);
                return;
        }
        operation->err = operation->retry.n_tried > 1 ? err_wrap(err, "after %u tries", operation->retry.n_tried) : err;
        enter(operation, STATE_FAILED);
}

const HttpRequest *operation_request(const Operation *operation) {
        if (operation->state == STATE_TOKEN)
                return operation->fetch.step == CREDENTIAL_SEND ? &operation->fetch.request : NULL;
        return operation_sends(operation) ? &operation->request : NULL;
}

Span operation_challenge(const Operation *operation) {
        return operation->state == STATE_QUOTE ? bytes_span(&operation->challenge.challenge) : (Span) {};
}

/* The key of the TPM is bound by its certification, so the quote is over the challenge alone. */
Span operation_qualifying_data(const Operation *operation) {
        if (operation->state != STATE_QUOTE)
                return (Span) {};
        return operation->uses_tpm_key ? bytes_span(&operation->challenge.challenge) : digest_span(&operation->qualifying);
}

static Err *add_authorization(Operation *operation) {
        return operation->authorization ? http_request_add_header(&operation->request, "Authorization", operation->authorization) : NULL;
}

static Err *take_challenge(Operation *operation, const HttpResponse *response, uint64_t now_sec) {
        TRY(attest_tpm_challenge_parse(response, now_sec, &operation->challenge));
        if (!operation->uses_tpm_key)
                TRY(attest_tpm_qualifying_data(operation->jwk_text, bytes_span(&operation->challenge.challenge), &operation->qualifying));
        enter(operation, STATE_QUOTE);
        return NULL;
}

static Err *take_report(Operation *operation, const HttpResponse *response, uint64_t now_sec) {
        TRY(attest_tpm_report_parse(response, now_sec, &operation->token));
        enter(operation, STATE_DONE);
        return NULL;
}

static Err *take_certs(Operation *operation, const HttpResponse *response, uint64_t now_sec) {
        TRY(maa_certs_parse(response, now_sec, &operation->certs));
        enter(operation, STATE_DONE);
        return NULL;
}

static Err *take_exchange(Operation *operation, const HttpResponse *response, uint64_t now_sec) {
        TRY(http_response_check_json(response, now_sec));
        Err *err = json_parse(bytes_span(&response->body), "the answer", &operation->answer);
        if (err)
                return err_wrap_code(ERR_SERVICE_ANSWER_INVALID, err, "the answer cannot be used");
        enter(operation, STATE_DONE);
        return NULL;
}

void operation_take_response(Operation *operation, const HttpResponse *response, uint64_t now_sec) {
        Err *err = NULL;
        if (operation->state == STATE_TOKEN) {
                credential_fetch_take_response(&operation->fetch, response, now_sec);
                return;
        }
        if (!operation_sends(operation))
                return;
        switch (operation->state) {
        case STATE_INIT:
                err = take_challenge(operation, response, now_sec);
                break;
        case STATE_REQUEST:
                err = take_report(operation, response, now_sec);
                break;
        case STATE_CERTS:
                err = take_certs(operation, response, now_sec);
                break;
        case STATE_EXCHANGE:
                err = take_exchange(operation, response, now_sec);
                break;
        case STATE_QUOTE:
        case STATE_REPORT:
        case STATE_SIGN:
        case STATE_TOKEN:
        case STATE_WAIT:
        case STATE_DONE:
        case STATE_FAILED:
                break;
        }
        if (err)
                fail_with(operation, err);
}

/* What a round has left goes, so that the next one begins as the first did. */
static void forget_round(Operation *operation) {
        attest_tpm_challenge_done(&operation->challenge);
        operation->challenge = (AttestTpmChallenge) {};
        evidence_freep(&operation->evidence);
        bytes_done(&operation->vsm_report);
        operation->signing_input = source_free(operation->signing_input);
        bytes_done(&operation->signing_digest);
        if (!operation->uses_tpm_key)
                return;
        operation->request_key = pkey_free(operation->request_key);
        free(steal_ptr(&operation->jwk_text));
}

static Err *exchange_request(Operation *operation) {
        operation->request.method = operation->method;
        TRY(string_copy(operation->base_url, &operation->request.url));
        TRY(http_request_add_header(&operation->request, "Accept", "application/json"));
        return operation->body ? source_new_string(operation->body, &operation->request.body) : NULL;
}

/* The first request of a conversation, each time that it begins. */
static Err *send_first(Operation *operation) {
        enter(operation, operation->first);
        if (operation->first == STATE_CERTS)
                return maa_certs_request(operation->base_url, &operation->request);
        if (operation->first == STATE_EXCHANGE)
                return exchange_request(operation);
        forget_round(operation);
        TRY(attest_tpm_init_request(operation->base_url, operation->api_version, &operation->request));
        return add_authorization(operation);
}

static AttestTpmRequest request_parts(const Operation *operation) {
        return (AttestTpmRequest) {
                .challenge = &operation->challenge,
                .evidence = operation->evidence,
                .jwk_text = operation->jwk_text,
                .request_key = operation->request_key,
                .certified_key = operation->uses_tpm_key,
                .rp_id = operation->rp_id,
                .rp_data = bytes_span(&operation->rp_data),
                .custom_claims = operation->custom_claims,
                .n_custom_claims = operation->n_custom_claims,
                .vsm_report = bytes_span(&operation->vsm_report),
                .vsm_report_kind = operation->vsm_report_kind,
        };
}

/* Builds message 3. Its own request is filled only when all of it is there. */
static Err *make_request(Operation *operation) {
        const AttestTpmRequest parts = request_parts(operation);
        enter(operation, STATE_REQUEST);
        TRY(err_wrap(attest_tpm_request(operation->base_url, operation->api_version, &parts, &operation->request), "building the request"));
        evidence_freep(&operation->evidence);   /* the request has descriptors of its own */
        return add_authorization(operation);
}

static Err *ask_for_report(Operation *operation) {
        const AttestTpmRequest parts = request_parts(operation);
        TRY(attest_tpm_report_data(&parts, &operation->report_data));
        enter(operation, STATE_REPORT);
        return NULL;
}

static Err *ask_for_signature(Operation *operation) {
        const AttestTpmRequest parts = request_parts(operation);
        enter(operation, STATE_SIGN);
        TRY(attest_tpm_signing_input(&parts, &operation->signing_input));
        evidence_freep(&operation->evidence);   /* the text has descriptors of its own */
        return jws_signing_digest(JOSE_ALG_PS256, operation->signing_input, &operation->signing_digest);
}

/* Goes where what is at hand allows. */
static Err *go_on(Operation *operation) {
        if (operation->wants_report && operation->vsm_report.size == 0)
                return ask_for_report(operation);
        return operation->uses_tpm_key ? ask_for_signature(operation) : make_request(operation);
}

static Err *take_tpm_key(Operation *operation) {
        const EvidenceKey *key = &operation->evidence->request_key;
        TpmPublic public;
        if (key->public.size == 0 || key->certification.size == 0)
                return err_new(ERR_COLLECTOR_ANSWER_INVALID, "the evidence comes without a certified request key; has attestd-tpm RequestKey=tpm too?");
        TRY(tpm_public_parse(bytes_span(&key->public), &public));
        TRY(tpm_public_to_pkey(&public, &operation->request_key));
        return jwk_public_text(operation->request_key, &operation->jwk_text);
}

void operation_take_evidence(Operation *operation, Evidence *steal_evidence) {
        _cleanup_(evidence_freep) Evidence *evidence = steal_evidence;
        Err *err = NULL;
        if (operation->state != STATE_QUOTE)
                return;
        operation->evidence = steal_ptr(&evidence);
        if (!operation->evidence)
                err = err_new(ERR_INTERNAL, "there is no evidence");
        else if (operation->uses_tpm_key)
                err = err_wrap(take_tpm_key(operation), "the TPM's request key");
        if (!err)
                err = go_on(operation);
        if (err)
                fail_with(operation, err);
}

Span operation_signing_digest(const Operation *operation) {
        return operation->state == STATE_SIGN ? bytes_span(&operation->signing_digest) : (Span) {};
}

static Err *make_signed_request(Operation *operation, Span signature) {
        const AttestTpmProof proof = { .key = operation->request_key, .digest = bytes_span(&operation->signing_digest), .signature = signature };
        HttpRequest request = {};
        TRY(attest_tpm_signed_request(operation->base_url, operation->api_version, &proof, steal_ptr(&operation->signing_input), &request));
        enter(operation, STATE_REQUEST);
        operation->request = request;
        return add_authorization(operation);
}

void operation_take_signature(Operation *operation, Span signature) {
        if (operation->state != STATE_SIGN)
                return;
        Err *err = make_signed_request(operation, signature);
        if (err)
                fail_with(operation, err);
}

Span operation_report_data(const Operation *operation) {
        return operation->state == STATE_REPORT ? digest_span(&operation->report_data) : (Span) {};
}

void operation_take_report(Operation *operation, VsmReportKind kind, Span report) {
        if (operation->state != STATE_REPORT)
                return;
        Err *err = report.size > 0 ? bytes_copy(report, &operation->vsm_report) : err_new(ERR_INTERNAL, "the report is empty");
        operation->vsm_report_kind = kind;
        if (!err)
                err = go_on(operation);
        if (err)
                fail_with(operation, err);
}

void operation_take_failure(Operation *operation, Err *steal_err) {
        if (operation->state == STATE_TOKEN) {
                credential_fetch_take_failure(&operation->fetch, steal_err ? steal_err : err_new(ERR_INTERNAL, "a failure without an error"));
                return;
        }
        if (operation_ended(operation)) {
                err_free(steal_err);
                return;
        }
        _cleanup_(err_freep) Err *err = steal_err ? steal_err : err_new(ERR_INTERNAL, "a failure without an error");
        if (operation->state != STATE_WAIT) {
                fail_with(operation, steal_ptr(&err));
                return;
        }
        operation->err = err_wrap_code(err_code(err), operation->err, "%s", err_sentence(err));
        enter(operation, STATE_FAILED);
}

Err *operation_take_error(Operation *operation) {
        return operation->state == STATE_TOKEN ? steal_ptr(&operation->fetch.err) : steal_ptr(&operation->err);
}

uint64_t operation_delay_usec(const Operation *operation) {
        if (operation->state == STATE_WAIT)
                return operation->delay_usec;
        return operation->state == STATE_TOKEN && operation->fetch.step == CREDENTIAL_WAIT ? operation->fetch.delay_usec : 0;
}

void operation_take_elapsed(Operation *operation, uint64_t now_sec) {
        if (operation->state == STATE_TOKEN)
                credential_fetch_take_elapsed(&operation->fetch, now_sec);
        if (operation->state != STATE_WAIT)
                return;
        operation->err = err_free(operation->err);
        Err *err = send_first(operation);
        if (err)
                fail_with(operation, err);
}

void operation_set_retry(Operation *operation, const RetryPlan *plan) {
        operation->retry = (Retry) { .plan = *plan };
}

/* ---- AttestTpm ---- */

static Err *copy_optional(const char *text, char **ret) {
        return text ? string_copy(text, ret) : NULL;
}

static Err *copy_custom_claims(Operation *operation, const AttestTpmOptions *options) {
        if (options->n_custom_claims == 0)
                return NULL;
        operation->custom_claims = calloc(options->n_custom_claims, sizeof(NamedValue));
        if (!operation->custom_claims)
                return err_oom();
        for (size_t i = 0; i < options->n_custom_claims; i++) {
                NamedValue *copy = &operation->custom_claims[operation->n_custom_claims++];
                TRY(string_copy(options->custom_claims[i].name, &copy->name));
                TRY(string_copy(options->custom_claims[i].value, &copy->value));
        }
        return NULL;
}

static Err *operation_new(OperationState state, const char *base_url, Operation **ret) {
        _cleanup_(operation_freep) Operation *operation = calloc(1, sizeof(Operation));
        if (!operation)
                return err_oom();
        operation->state = operation->first = state;
        TRY(string_copy(base_url, &operation->base_url));
        *ret = steal_ptr(&operation);
        return NULL;
}

static Err *take_software_key(Operation *operation, const AttestTpmOptions *options) {
        if (options->use_tpm_key != !options->request_key)
                return err_new(ERR_INVALID_ARGUMENT, "either a request key or one of the TPM is needed");
        if (options->use_tpm_key)
                return NULL;
        TRY(err_wrap(jwk_public_text(options->request_key, &operation->jwk_text), "the request key"));
        if (!EVP_PKEY_up_ref(options->request_key))
                return err_new(ERR_INTERNAL, "the request key cannot be referenced");
        operation->request_key = options->request_key;
        return NULL;
}

Err *operation_new_attest_tpm(const AttestTpmOptions *options, Operation **ret) {
        _cleanup_(operation_freep) Operation *operation = NULL;
        TRY(operation_new(STATE_INIT, options->base_url, &operation));
        TRY(string_copy(options->api_version ? options->api_version : MAA_API_VERSION_DEFAULT, &operation->api_version));
        TRY(copy_optional(options->rp_id, &operation->rp_id));
        TRY(copy_optional(options->authorization, &operation->authorization));
        TRY(bytes_copy(options->rp_data, &operation->rp_data));
        TRY(copy_custom_claims(operation, options));
        operation->wants_report = options->vbs;
        operation->uses_tpm_key = options->use_tpm_key;
        TRY(take_software_key(operation, options));
        TRY(send_first(operation));
        *ret = steal_ptr(&operation);
        return NULL;
}

const char *operation_attest_tpm_token(const Operation *operation) {
        return operation->state == STATE_DONE ? operation->token : NULL;
}

const char *operation_attest_tpm_jwk(const Operation *operation) {
        return operation->jwk_text;
}

EVP_PKEY *operation_attest_tpm_key(const Operation *operation) {
        return operation->request_key;
}

bool operation_attest_tpm_is_init(const Operation *operation) {
        return operation->state == STATE_INIT;
}

/* ---- token ---- */

Err *operation_new_token(Credential *credential, uint64_t now_sec, Operation **ret) {
        _cleanup_(operation_freep) Operation *operation = NULL;
        TRY(operation_new(STATE_TOKEN, "", &operation));
        TRY(credential_fetch_init(&operation->fetch, credential, now_sec));
        *ret = steal_ptr(&operation);
        return NULL;
}

/* ---- key set ---- */

Err *operation_new_certs(const char *base_url, Operation **ret) {
        _cleanup_(operation_freep) Operation *operation = NULL;
        TRY(operation_new(STATE_CERTS, base_url, &operation));
        TRY(send_first(operation));
        *ret = steal_ptr(&operation);
        return NULL;
}

JwkSet *operation_take_certs(Operation *operation) {
        return steal_ptr(&operation->certs);
}

/* ---- exchange ---- */

Err *operation_new_exchange(const char *method, const char *url, const char *body, Operation **ret) {
        _cleanup_(operation_freep) Operation *operation = NULL;
        TRY(operation_new(STATE_EXCHANGE, url, &operation));
        operation->method = method;
        if (body)
                TRY(string_copy(body, &operation->body));
        TRY(send_first(operation));
        *ret = steal_ptr(&operation);
        return NULL;
}

Json *operation_take_exchange(Operation *operation) {
        return steal_ptr(&operation->answer);
}
