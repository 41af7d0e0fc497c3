/* The AttestTpm conversation; see operation.h. What its table does not list changes nothing and frees what it was given:
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
 * INIT and REQUEST are both the step SEND: the challenge tells them apart, which there is from QUOTE on. */
#include "client/operation-private.h"

#include "tcg/quote.h"

typedef struct AttestTpm {
        Operation base;
        char *base_url, *api_version, *rp_id, *authorization, *jwk_text, *token;
        Bytes rp_data;
        EVP_PKEY *request_key;
        NamedValue *custom_claims;
        size_t n_custom_claims;
        AttestTpmChallenge challenge;   /* empty in INIT */
        Digest qualifying;
        bool wants_report, uses_tpm_key;
        Evidence *evidence;       /* from its arrival until the request is made of it */
        Digest report_data;
        VsmReportKind vsm_report_kind;
        Bytes vsm_report;         /* empty: none */
        Source *signing_input;    /* in SIGN */
        Bytes signing_digest;
} AttestTpm;

static const OperationKind attest_tpm_kind;

static char *free_secret(char *text) {
        if (text)
                explicit_bzero(text, strlen(text));
        free(text);
        return NULL;
}

static void attest_done(Operation *operation) {
        AttestTpm *attest = (AttestTpm *) operation;
        free(attest->base_url);
        free(attest->api_version);
        free(attest->rp_id);
        free_secret(attest->authorization);
        free(attest->jwk_text);
        free_secret(attest->token);
        bytes_done(&attest->rp_data);
        pkey_free(attest->request_key);
        for (size_t i = 0; i < attest->n_custom_claims; i++) {
                free(attest->custom_claims[i].name);
                free(attest->custom_claims[i].value);
        }
        free(attest->custom_claims);
        attest_tpm_challenge_done(&attest->challenge);
        evidence_free(attest->evidence);
        bytes_done(&attest->vsm_report);
        source_free(attest->signing_input);
        bytes_done(&attest->signing_digest);
}

/* NULL where the operation is of another kind. */
static const AttestTpm *attest_of(const Operation *operation) {
        return operation->kind == &attest_tpm_kind ? (const AttestTpm *) operation : NULL;
}

/* NULL where the operation is of another kind, or does not wait for what comes in step. */
static AttestTpm *attest_in(Operation *operation, OperationStep step) {
        return operation->kind == &attest_tpm_kind && operation->step == step ? (AttestTpm *) operation : NULL;
}

static void enter(AttestTpm *attest, OperationStep step) {
        operation_enter(&attest->base, step);
}

static Err *attest_wrap(const Operation *operation, Err *err) {
        const AttestTpm *attest = (const AttestTpm *) operation;
        switch (operation->step) {
        case OPERATION_SEND:
                return attest->challenge.challenge.size == 0 ? err_wrap(err, "asking %s for a challenge", attest->base_url) :
                                                               err_wrap(err, "sending evidence to %s", attest->base_url);
        case OPERATION_QUOTE:
                return err_wrap(err, "collecting evidence");
        case OPERATION_REPORT:
                return err_wrap(err, "getting a VBS report");
        case OPERATION_SIGN:
                return err_wrap(err, "signing the request with the TPM's key");
        case OPERATION_WAIT:
        case OPERATION_DONE:
        case OPERATION_FAILED:
                return err;
        }
        return err;
}

static Err *add_authorization(AttestTpm *attest) {
        return attest->authorization ? http_request_add_header(&attest->base.request, "Authorization", attest->authorization) : NULL;
}

static Err *take_challenge(AttestTpm *attest, const HttpResponse *response, uint64_t now_sec) {
        TRY(attest_tpm_challenge_parse(response, now_sec, &attest->challenge));
        if (!attest->uses_tpm_key)
                TRY(attest_tpm_qualifying_data(attest->jwk_text, bytes_span(&attest->challenge.challenge), &attest->qualifying));
        enter(attest, OPERATION_QUOTE);
        return NULL;
}

static Err *attest_take_response(Operation *operation, const HttpResponse *response, uint64_t now_sec) {
        AttestTpm *attest = (AttestTpm *) operation;
        if (attest->challenge.challenge.size == 0)
                return take_challenge(attest, response, now_sec);
        TRY(attest_tpm_report_parse(response, now_sec, &attest->token));
        enter(attest, OPERATION_DONE);
        return NULL;
}

/* What a round has left goes, so that the next one begins as the first did. */
static void forget_round(AttestTpm *attest) {
        attest_tpm_challenge_done(&attest->challenge);
        attest->challenge = (AttestTpmChallenge) {};
        evidence_freep(&attest->evidence);
        bytes_done(&attest->vsm_report);
        attest->signing_input = source_free(attest->signing_input);
        bytes_done(&attest->signing_digest);
        if (!attest->uses_tpm_key)
                return;
        attest->request_key = pkey_free(attest->request_key);
        free(steal_ptr(&attest->jwk_text));
}

static Err *attest_begin(Operation *operation) {
        AttestTpm *attest = (AttestTpm *) operation;
        forget_round(attest);
        enter(attest, OPERATION_SEND);
        TRY(attest_tpm_init_request(attest->base_url, attest->api_version, &attest->base.request));
        return add_authorization(attest);
}

static AttestTpmRequest request_parts(const AttestTpm *attest) {
        return (AttestTpmRequest) {
                .challenge = &attest->challenge,
                .evidence = attest->evidence,
                .jwk_text = attest->jwk_text,
                .request_key = attest->request_key,
                .certified_key = attest->uses_tpm_key,
                .rp_id = attest->rp_id,
                .rp_data = bytes_span(&attest->rp_data),
                .custom_claims = attest->custom_claims,
                .n_custom_claims = attest->n_custom_claims,
                .vsm_report = bytes_span(&attest->vsm_report),
                .vsm_report_kind = attest->vsm_report_kind,
        };
}

/* Builds message 3. Its own request is filled only when all of it is there. */
static Err *make_request(AttestTpm *attest) {
        const AttestTpmRequest parts = request_parts(attest);
        enter(attest, OPERATION_SEND);
        TRY(err_wrap(attest_tpm_request(attest->base_url, attest->api_version, &parts, &attest->base.request), "building the request"));
        evidence_freep(&attest->evidence);   /* the request has descriptors of its own */
        return add_authorization(attest);
}

static Err *ask_for_report(AttestTpm *attest) {
        const AttestTpmRequest parts = request_parts(attest);
        TRY(attest_tpm_report_data(&parts, &attest->report_data));
        enter(attest, OPERATION_REPORT);
        return NULL;
}

static Err *ask_for_signature(AttestTpm *attest) {
        const AttestTpmRequest parts = request_parts(attest);
        enter(attest, OPERATION_SIGN);
        TRY(attest_tpm_signing_input(&parts, &attest->signing_input));
        evidence_freep(&attest->evidence);   /* the text has descriptors of its own */
        return jws_signing_digest(JOSE_ALG_PS256, attest->signing_input, &attest->signing_digest);
}

/* Goes where what is at hand allows. */
static Err *go_on(AttestTpm *attest) {
        if (attest->wants_report && attest->vsm_report.size == 0)
                return ask_for_report(attest);
        return attest->uses_tpm_key ? ask_for_signature(attest) : make_request(attest);
}

static Err *take_tpm_key(AttestTpm *attest) {
        const EvidenceKey *key = &attest->evidence->request_key;
        TpmPublic public;
        if (key->public.size == 0 || key->certification.size == 0)
                return err_new(ERR_COLLECTOR_ANSWER_INVALID, "the evidence comes without a certified request key; has attestd-tpm RequestKey=tpm too?");
        TRY(tpm_public_parse(bytes_span(&key->public), &public));
        TRY(tpm_public_to_pkey(&public, &attest->request_key));
        return jwk_public_text(attest->request_key, &attest->jwk_text);
}

void operation_take_evidence(Operation *operation, Evidence *steal_evidence) {
        _cleanup_(evidence_freep) Evidence *evidence = steal_evidence;
        AttestTpm *attest = attest_in(operation, OPERATION_QUOTE);
        Err *err = NULL;
        if (!attest)
                return;
        attest->evidence = steal_ptr(&evidence);
        if (!attest->evidence)
                err = err_new(ERR_INTERNAL, "there is no evidence");
        else if (attest->uses_tpm_key)
                err = err_wrap(take_tpm_key(attest), "the TPM's request key");
        if (!err)
                err = go_on(attest);
        if (err)
                operation_fail(operation, err);
}

static Err *make_signed_request(AttestTpm *attest, Span signature) {
        const AttestTpmProof proof = { .key = attest->request_key, .digest = bytes_span(&attest->signing_digest), .signature = signature };
        HttpRequest request = {};
        TRY(attest_tpm_signed_request(attest->base_url, attest->api_version, &proof, steal_ptr(&attest->signing_input), &request));
        enter(attest, OPERATION_SEND);
        attest->base.request = request;
        return add_authorization(attest);
}

void operation_take_signature(Operation *operation, Span signature) {
        AttestTpm *attest = attest_in(operation, OPERATION_SIGN);
        Err *err = attest ? make_signed_request(attest, signature) : NULL;
        if (err)
                operation_fail(operation, err);
}

void operation_take_report(Operation *operation, VsmReportKind kind, Span report) {
        AttestTpm *attest = attest_in(operation, OPERATION_REPORT);
        if (!attest)
                return;
        Err *err = report.size > 0 ? bytes_copy(report, &attest->vsm_report) : err_new(ERR_INTERNAL, "the report is empty");
        attest->vsm_report_kind = kind;
        if (!err)
                err = go_on(attest);
        if (err)
                operation_fail(operation, err);
}

static const OperationKind attest_tpm_kind = { .begin = attest_begin, .take_response = attest_take_response, .wrap = attest_wrap, .done = attest_done };

static Err *copy_optional(const char *text, char **ret) {
        return text ? string_copy(text, ret) : NULL;
}

static Err *copy_custom_claims(AttestTpm *attest, const AttestTpmOptions *options) {
        if (options->n_custom_claims == 0)
                return NULL;
        attest->custom_claims = calloc(options->n_custom_claims, sizeof(NamedValue));
        if (!attest->custom_claims)
                return err_oom();
        for (size_t i = 0; i < options->n_custom_claims; i++) {
                NamedValue *copy = &attest->custom_claims[attest->n_custom_claims++];
                TRY(string_copy(options->custom_claims[i].name, &copy->name));
                TRY(string_copy(options->custom_claims[i].value, &copy->value));
        }
        return NULL;
}

static Err *take_software_key(AttestTpm *attest, const AttestTpmOptions *options) {
        if (options->use_tpm_key != !options->request_key)
                return err_new(ERR_INVALID_ARGUMENT, "either a request key or one of the TPM is needed");
        if (options->use_tpm_key)
                return NULL;
        TRY(err_wrap(jwk_public_text(options->request_key, &attest->jwk_text), "the request key"));
        if (!EVP_PKEY_up_ref(options->request_key))
                return err_new(ERR_INTERNAL, "the request key cannot be referenced");
        attest->request_key = options->request_key;
        return NULL;
}

static Err *copy_options(AttestTpm *attest, const AttestTpmOptions *options) {
        TRY(string_copy(options->base_url, &attest->base_url));
        TRY(string_copy(options->api_version ? options->api_version : MAA_API_VERSION_DEFAULT, &attest->api_version));
        TRY(copy_optional(options->rp_id, &attest->rp_id));
        TRY(copy_optional(options->authorization, &attest->authorization));
        TRY(bytes_copy(options->rp_data, &attest->rp_data));
        TRY(copy_custom_claims(attest, options));
        attest->wants_report = options->vbs;
        attest->uses_tpm_key = options->use_tpm_key;
        return take_software_key(attest, options);
}

Err *operation_new_attest_tpm(const AttestTpmOptions *options, Operation **ret) {
        _cleanup_(operation_freep) Operation *operation = NULL;
        TRY(operation_new(&attest_tpm_kind, sizeof(AttestTpm), &operation));
        TRY(copy_options((AttestTpm *) operation, options));
        TRY(attest_begin(operation));
        *ret = steal_ptr(&operation);
        return NULL;
}

/* ---- what drivers and callers ask ---- */

Span operation_challenge(const Operation *operation) {
        const AttestTpm *attest = attest_of(operation);
        return attest && operation->step == OPERATION_QUOTE ? bytes_span(&attest->challenge.challenge) : (Span) {};
}

/* The key of the TPM is bound by its certification, so the quote is over the challenge alone. */
Span operation_qualifying_data(const Operation *operation) {
        const AttestTpm *attest = attest_of(operation);
        if (!attest || operation->step != OPERATION_QUOTE)
                return (Span) {};
        return attest->uses_tpm_key ? bytes_span(&attest->challenge.challenge) : digest_span(&attest->qualifying);
}

Span operation_report_data(const Operation *operation) {
        const AttestTpm *attest = attest_of(operation);
        return attest && operation->step == OPERATION_REPORT ? digest_span(&attest->report_data) : (Span) {};
}

Span operation_signing_digest(const Operation *operation) {
        const AttestTpm *attest = attest_of(operation);
        return attest && operation->step == OPERATION_SIGN ? bytes_span(&attest->signing_digest) : (Span) {};
}

const char *operation_attest_tpm_token(const Operation *operation) {
        const AttestTpm *attest = attest_of(operation);
        return attest && operation->step == OPERATION_DONE ? attest->token : NULL;
}

const char *operation_attest_tpm_jwk(const Operation *operation) {
        const AttestTpm *attest = attest_of(operation);
        return attest ? attest->jwk_text : NULL;
}

EVP_PKEY *operation_attest_tpm_key(const Operation *operation) {
        const AttestTpm *attest = attest_of(operation);
        return attest ? attest->request_key : NULL;
}

bool operation_attest_tpm_is_init(const Operation *operation) {
        const AttestTpm *attest = attest_of(operation);
        return attest && operation->step == OPERATION_SEND && attest->challenge.challenge.size == 0;
}
