/* Operations as conversations with no network: each row is what happens to an operation, one event after the other, and which step it is in
 * afterwards. Rows with events that do not belong to the state prove that those are safe and change nothing. */
#include "tests/support/synthetic.h"

#include "client/operation.h"

#define BASE "https://a.wus.attest.azure.net"
#define EVENTS_MAX 8

/* base64url was made with `printf %s '…' | basenc --base64url`. */
/* {"payload":{"challenge":"jgm0UsDk0lZSWQluA7-vJA","service_context":"abcd"}} */
#define CHALLENGE "{\"data\":\"eyJwYXlsb2FkIjp7ImNoYWxsZW5nZSI6ImpnbTBVc0RrMGxaU1dRbHVBNy12SkEiLCJzZXJ2aWNlX2NvbnRleHQiOiJhYmNkIn19\"}"
/* {"payload":{"report":"a.b.c"}} */
#define REPORT "{\"data\":\"eyJwYXlsb2FkIjp7InJlcG9ydCI6ImEuYi5jIn19\"}"
#define DENIED "{\"error\":{\"code\":\"PolicyEvaluationError\",\"message\":\"no permit\"}}"

static const uint8_t challenge_bytes[16] = { 0x8e, 0x09, 0xb4, 0x52, 0xc0, 0xe4, 0xd2, 0x56, 0x52, 0x59, 0x09, 0x6e, 0x03, 0xbf, 0xaf, 0x24 };

static EVP_PKEY *request_key, *other_key, *aik;

static int make_keys(void **state) {
        request_key = EVP_RSA_gen(2048);
        other_key = EVP_RSA_gen(2048);
        aik = EVP_RSA_gen(2048);
        return request_key && other_key && aik ? 0 : -1;
}

static int drop_keys(void **state) {
        EVP_PKEY_free(request_key);
        EVP_PKEY_free(other_key);
        EVP_PKEY_free(aik);
        return 0;
}

typedef enum EventKind {
        NOTHING, ANSWER, EVIDENCE, EVIDENCE_WITH_KEY, EVIDENCE_WITH_PLAIN_KEY, NO_EVIDENCE, VBS_REPORT, EMPTY_REPORT, SIGNATURE, OTHER_SIGNATURE, NO_SIGNATURE,
        FAILURE, NO_FAILURE, ELAPSED, CANCEL,
} EventKind;

typedef struct Event {
        EventKind kind;
        long status;         /* ANSWER */
        const char *body;    /* ANSWER */
        OperationStep next;  /* afterwards */
} Event;

static void make_answer(long status, const char *body, HttpResponse *ret) {
        *ret = (HttpResponse) { .status = status };
        assert_ok(string_copy("application/json", &ret->content_type));
        assert_ok(bytes_copy(span_from_string(body), &ret->body));
}

static void answer(Operation *operation, long status, const char *body) {
        _cleanup_http_response_ HttpResponse response = {};
        make_answer(status, body, &response);
        operation_take_response(operation, &response, 0);
}

/* PS256 by OpenSSL, over the digest that the operation asks to be signed; anything else where it does not ask. */
static void sign_with(Operation *operation, EVP_PKEY *key) {
        uint8_t signature[256], other[32] = {};
        size_t size = sizeof(signature);
        Span digest = operation_signing_digest(operation);
        if (digest.size == 0)
                digest = SPAN_OF(other);
        EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
        assert_int_equal(EVP_PKEY_sign_init(context), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING), 1);
        assert_int_equal(EVP_PKEY_CTX_set_signature_md(context, EVP_sha256()), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(context, 32), 1);
        assert_int_equal(EVP_PKEY_sign(context, signature, &size, digest.data, digest.size), 1);
        EVP_PKEY_CTX_free(context);
        operation_take_signature(operation, span_make(signature, size));
}

static Evidence *evidence_with_key(bool is_certified) {
        Evidence *evidence = synthetic_evidence(aik, 100, 50, false);
        synthetic_tpmt_public(request_key, &evidence->request_key.public);
        if (is_certified) {
                synthetic_bytes(150, 0x40, &evidence->request_key.certification);
                synthetic_bytes(262, 0x50, &evidence->request_key.signature);
        }
        return evidence;
}

static void play(Operation *operation, const Event *event) {
        switch (event->kind) {
        case NOTHING:
                break;
        case ANSWER:
                answer(operation, event->status, event->body);
                break;
        case EVIDENCE:
                operation_take_evidence(operation, synthetic_evidence(aik, 100, 50, false));
                break;
        case EVIDENCE_WITH_KEY:
        case EVIDENCE_WITH_PLAIN_KEY:
                operation_take_evidence(operation, evidence_with_key(event->kind == EVIDENCE_WITH_KEY));
                break;
        case NO_EVIDENCE:
                operation_take_evidence(operation, NULL);
                break;
        case SIGNATURE:
                sign_with(operation, request_key);
                break;
        case OTHER_SIGNATURE:
                sign_with(operation, other_key);
                break;
        case NO_SIGNATURE:
                operation_take_signature(operation, (Span) {});
                break;
        case VBS_REPORT:
                operation_take_report(operation, VSM_REPORT_ENCLAVE, span_from_string("a report"));
                break;
        case EMPTY_REPORT:
                operation_take_report(operation, VSM_REPORT_VM, (Span) {});
                break;
        case FAILURE:
                operation_take_failure(operation, err_new(ERR_SERVICE_UNREACHABLE, "h:443: nobody there"));
                break;
        case NO_FAILURE:
                operation_take_failure(operation, NULL);
                break;
        case ELAPSED:
                operation_take_elapsed(operation, 0);
                break;
        case CANCEL:
                operation_take_failure(operation, err_new(ERR_CANCELLED, "enough"));
                break;
        }
}

static bool uses_tpm_key;   /* of the operations that a test is about */

/* What must hold in every step, whatever led there. */
static void assert_step(Operation *operation, OperationStep step) {
        assert_int_equal(operation_next(operation), step);
        assert_int_equal(operation_next(operation), step);   /* asking has no effect */
        assert_int_equal(operation_request(operation) != NULL, step == OPERATION_SEND);
        assert_int_equal(operation_challenge(operation).size, step == OPERATION_QUOTE ? 16 : 0);
        assert_int_equal(operation_qualifying_data(operation).size, step != OPERATION_QUOTE ? 0 : uses_tpm_key ? 16 : 32);
        assert_int_equal(operation_signing_digest(operation).size, step == OPERATION_SIGN ? 32 : 0);
        assert_int_equal(operation_report_data(operation).size, step == OPERATION_REPORT ? VSM_USER_DATA_SIZE : 0);
        if (step != OPERATION_DONE)
                assert_null(operation_attest_tpm_token(operation));
}

static Operation *new_attest_tpm_with(bool vbs) {
        static const uint8_t nonce[4] = { 1, 2, 3, 4 };
        Operation *operation = NULL;
        const AttestTpmOptions options = {
                .base_url = BASE, .rp_id = "rp", .rp_data = SPAN_OF(nonce), .request_key = request_key, .authorization = "Bearer secret", .vbs = vbs,
        };
        assert_ok(operation_new_attest_tpm(&options, &operation));
        return operation;
}

static Operation *new_attest_tpm(void) {
        return new_attest_tpm_with(false);
}

typedef struct Conversation {
        const char *name;
        Event events[EVENTS_MAX];
        ErrCode code;           /* of the final error; ERR_NONE where it does not fail */
        const char *intent;     /* the outermost sentence of the error */
} Conversation;

static void run_conversation(Operation *operation, const Conversation *c) {
        assert_step(operation, OPERATION_SEND);
        for (size_t i = 0; i < EVENTS_MAX && c->events[i].kind != NOTHING; i++) {
                print_message("%s, event %zu\n", c->name, i);
                play(operation, &c->events[i]);
                assert_step(operation, c->events[i].next);
        }
        _cleanup_(err_freep) Err *err = operation_take_error(operation);
        if (err_code(err) != c->code)
                fail_msg("%s: %s", c->name, err ? err_describe(err) : "no error");
        if (c->intent)
                assert_string_equal(err_sentence(err), c->intent);
        assert_null(operation_take_error(operation));        /* handed over once */
}

#define SEND OPERATION_SEND
#define QUOTE OPERATION_QUOTE
#define DONE OPERATION_DONE
#define VBS OPERATION_REPORT
#define SIGN OPERATION_SIGN
#define FAILED OPERATION_FAILED
#define WAIT OPERATION_WAIT
#define IN_INIT "asking " BASE " for a challenge"
#define IN_QUOTE "collecting evidence"
#define IN_REPORT "getting a VBS report"
#define IN_SIGN "signing the request with the TPM's key"
#define IN_REQUEST "sending evidence to " BASE

static const Conversation attest_tpm_conversations[] = {
        { "all goes well", { { ANSWER, 200, CHALLENGE, QUOTE }, { EVIDENCE, .next = SEND }, { ANSWER, 200, REPORT, DONE } }, ERR_NONE, NULL },
        { "what comes after the end is ignored",
          { { ANSWER, 200, CHALLENGE, QUOTE }, { EVIDENCE, .next = SEND }, { ANSWER, 200, REPORT, DONE }, { ANSWER, 500, "", DONE },
            { FAILURE, .next = DONE }, { EVIDENCE, .next = DONE } }, ERR_NONE, NULL },
        { "evidence before it was asked for is ignored",
          { { EVIDENCE, .next = SEND }, { NO_EVIDENCE, .next = SEND }, { ANSWER, 200, CHALLENGE, QUOTE }, { EVIDENCE, .next = SEND },
            { EVIDENCE, .next = SEND }, { ANSWER, 200, REPORT, DONE } }, ERR_NONE, NULL },
        { "an answer while quoting is ignored",
          { { ANSWER, 200, CHALLENGE, QUOTE }, { ANSWER, 200, REPORT, QUOTE }, { ANSWER, 400, DENIED, QUOTE }, { EVIDENCE, .next = SEND },
            { ANSWER, 200, REPORT, DONE } }, ERR_NONE, NULL },
        { "init cannot be sent", { { FAILURE, .next = FAILED } }, ERR_SERVICE_UNREACHABLE, IN_INIT },
        { "init is throttled", { { ANSWER, 429, "", FAILED } }, ERR_SERVICE_THROTTLED, IN_INIT },
        { "init is unauthorized", { { ANSWER, 401, "", FAILED } }, ERR_SERVICE_UNAUTHORIZED, IN_INIT },
        { "init is redirected", { { ANSWER, 302, CHALLENGE, FAILED } }, ERR_SERVICE_ANSWER_INVALID, IN_INIT },
        { "init is answered with a report", { { ANSWER, 200, REPORT, FAILED } }, ERR_SERVICE_ANSWER_INVALID, IN_INIT },
        { "init is answered with nothing", { { ANSWER, 200, "", FAILED } }, ERR_SERVICE_ANSWER_INVALID, IN_INIT },
        { "the quote fails", { { ANSWER, 200, CHALLENGE, QUOTE }, { FAILURE, .next = FAILED } }, ERR_SERVICE_UNREACHABLE, IN_QUOTE },
        { "no evidence", { { ANSWER, 200, CHALLENGE, QUOTE }, { NO_EVIDENCE, .next = FAILED } }, ERR_INTERNAL, IN_QUOTE },
        { "a failure without an error", { { NO_FAILURE, .next = FAILED } }, ERR_INTERNAL, IN_INIT },
        { "the request cannot be sent",
          { { ANSWER, 200, CHALLENGE, QUOTE }, { EVIDENCE, .next = SEND }, { FAILURE, .next = FAILED } }, ERR_SERVICE_UNREACHABLE, IN_REQUEST },
        { "the policy denies",
          { { ANSWER, 200, CHALLENGE, QUOTE }, { EVIDENCE, .next = SEND }, { ANSWER, 400, DENIED, FAILED } }, ERR_SERVICE_POLICY_DENIED, IN_REQUEST },
        { "the request is answered with a challenge",
          { { ANSWER, 200, CHALLENGE, QUOTE }, { EVIDENCE, .next = SEND }, { ANSWER, 200, CHALLENGE, FAILED } }, ERR_SERVICE_ANSWER_INVALID, IN_REQUEST },
        { "nothing revives what failed",
          { { ANSWER, 503, "", FAILED }, { ANSWER, 200, CHALLENGE, FAILED }, { EVIDENCE, .next = FAILED }, { FAILURE, .next = FAILED } },
          ERR_SERVICE_UNAVAILABLE, IN_INIT },
};

static void test_operation_attest_tpm_conversations(void **state) {
        for (size_t i = 0; i < N_ELEMENTS(attest_tpm_conversations); i++) {
                _cleanup_(operation_freep) Operation *operation = new_attest_tpm();
                run_conversation(operation, &attest_tpm_conversations[i]);
        }
}

static const Conversation vbs_conversations[] = {
        { "all goes well",
          { { ANSWER, 200, CHALLENGE, QUOTE }, { EVIDENCE, .next = VBS }, { VBS_REPORT, .next = SEND }, { ANSWER, 200, REPORT, DONE } }, ERR_NONE, NULL },
        { "what does not belong to a state is ignored",
          { { VBS_REPORT, .next = SEND }, { ANSWER, 200, CHALLENGE, QUOTE }, { VBS_REPORT, .next = QUOTE }, { EVIDENCE, .next = VBS },
            { EVIDENCE, .next = VBS }, { ANSWER, 200, REPORT, VBS }, { VBS_REPORT, .next = SEND } }, ERR_NONE, NULL },
        { "the report fails", { { ANSWER, 200, CHALLENGE, QUOTE }, { EVIDENCE, .next = VBS }, { FAILURE, .next = FAILED } }, ERR_SERVICE_UNREACHABLE, IN_REPORT },
        { "an empty report", { { ANSWER, 200, CHALLENGE, QUOTE }, { EVIDENCE, .next = VBS }, { EMPTY_REPORT, .next = FAILED } }, ERR_INTERNAL, IN_REPORT },
        { "a second report is ignored",
          { { ANSWER, 200, CHALLENGE, QUOTE }, { EVIDENCE, .next = VBS }, { VBS_REPORT, .next = SEND }, { EMPTY_REPORT, .next = SEND },
            { ANSWER, 200, REPORT, DONE }, { VBS_REPORT, .next = DONE } }, ERR_NONE, NULL },
};

static void test_operation_attest_tpm_vbs_conversations(void **state) {
        for (size_t i = 0; i < N_ELEMENTS(vbs_conversations); i++) {
                _cleanup_(operation_freep) Operation *operation = new_attest_tpm_with(true);
                run_conversation(operation, &vbs_conversations[i]);
        }
}

static const Conversation tpm_key_conversations[] = {
        { "all goes well",
          { { ANSWER, 200, CHALLENGE, QUOTE }, { EVIDENCE_WITH_KEY, .next = SIGN }, { SIGNATURE, .next = SEND }, { ANSWER, 200, REPORT, DONE } }, ERR_NONE, NULL },
        { "what does not belong to a state is ignored",
          { { SIGNATURE, .next = SEND }, { ANSWER, 200, CHALLENGE, QUOTE }, { SIGNATURE, .next = QUOTE }, { EVIDENCE_WITH_KEY, .next = SIGN },
            { EVIDENCE_WITH_KEY, .next = SIGN }, { ANSWER, 200, REPORT, SIGN }, { VBS_REPORT, .next = SIGN }, { SIGNATURE, .next = SEND } }, ERR_NONE, NULL },
        { "a second signature is ignored",
          { { ANSWER, 200, CHALLENGE, QUOTE }, { EVIDENCE_WITH_KEY, .next = SIGN }, { SIGNATURE, .next = SEND }, { NO_SIGNATURE, .next = SEND },
            { ANSWER, 200, REPORT, DONE }, { SIGNATURE, .next = DONE } }, ERR_NONE, NULL },
        { "evidence without the key", { { ANSWER, 200, CHALLENGE, QUOTE }, { EVIDENCE, .next = FAILED } }, ERR_COLLECTOR_ANSWER_INVALID, IN_QUOTE },
        { "the key is not certified",
          { { ANSWER, 200, CHALLENGE, QUOTE }, { EVIDENCE_WITH_PLAIN_KEY, .next = FAILED } }, ERR_COLLECTOR_ANSWER_INVALID, IN_QUOTE },
        { "another key signed",
          { { ANSWER, 200, CHALLENGE, QUOTE }, { EVIDENCE_WITH_KEY, .next = SIGN }, { OTHER_SIGNATURE, .next = FAILED } }, ERR_TOKEN_SIGNATURE_INVALID, IN_SIGN },
        { "an empty signature",
          { { ANSWER, 200, CHALLENGE, QUOTE }, { EVIDENCE_WITH_KEY, .next = SIGN }, { NO_SIGNATURE, .next = FAILED } }, ERR_TOKEN_TRUNCATED, IN_SIGN },
        { "nobody signs",
          { { ANSWER, 200, CHALLENGE, QUOTE }, { EVIDENCE_WITH_KEY, .next = SIGN }, { FAILURE, .next = FAILED }, { SIGNATURE, .next = FAILED } },
          ERR_SERVICE_UNREACHABLE, IN_SIGN },
};

/* Three tries. Each begins with init, for the challenge may be spent. */
static const Conversation retry_conversations[] = {
        { "init is throttled twice",
          { { ANSWER, 429, "", WAIT }, { ELAPSED, .next = SEND }, { FAILURE, .next = WAIT }, { ELAPSED, .next = SEND }, { ANSWER, 200, CHALLENGE, QUOTE } }, ERR_NONE, NULL },
        { "the request meets a 503, and all begins anew",
          { { ANSWER, 200, CHALLENGE, QUOTE }, { EVIDENCE, .next = SEND }, { ANSWER, 503, "", WAIT }, { ELAPSED, .next = SEND }, { ANSWER, 200, CHALLENGE, QUOTE },
            { EVIDENCE, .next = SEND }, { ANSWER, 200, REPORT, DONE } }, ERR_NONE, NULL },
        { "what comes while it waits is ignored",
          { { FAILURE, .next = WAIT }, { ANSWER, 200, CHALLENGE, WAIT }, { EVIDENCE, .next = WAIT }, { SIGNATURE, .next = WAIT }, { ELAPSED, .next = SEND } }, ERR_NONE, NULL },
        { "tries run out",
          { { FAILURE, .next = WAIT }, { ELAPSED, .next = SEND }, { FAILURE, .next = WAIT }, { ELAPSED, .next = SEND }, { FAILURE, .next = FAILED }, { ELAPSED, .next = FAILED } },
          ERR_SERVICE_UNREACHABLE, "after 3 tries" },
        { "cancelled while it waits", { { FAILURE, .next = WAIT }, { CANCEL, .next = FAILED } }, ERR_CANCELLED, "enough" },
        { "a refusal is not tried again", { { ANSWER, 200, CHALLENGE, QUOTE }, { EVIDENCE, .next = SEND }, { ANSWER, 400, DENIED, FAILED } }, ERR_SERVICE_POLICY_DENIED, IN_REQUEST },
        { "nor a TPM that fails", { { ANSWER, 200, CHALLENGE, QUOTE }, { FAILURE, .next = FAILED } }, ERR_SERVICE_UNREACHABLE, IN_QUOTE },
        { "time that nobody waited for", { { ELAPSED, .next = SEND }, { ANSWER, 200, CHALLENGE, QUOTE }, { ELAPSED, .next = QUOTE } }, ERR_NONE, NULL },
};

static void test_operation_set_retry_conversations(void **state) {
        const RetryPlan plan = { .n_tries = 3, .delay_min_usec = 10, .delay_max_usec = 100, .total_usec = 1000 };
        for (size_t i = 0; i < N_ELEMENTS(retry_conversations); i++) {
                _cleanup_(operation_freep) Operation *operation = new_attest_tpm();
                operation_set_retry(operation, &plan);
                run_conversation(operation, &retry_conversations[i]);
        }
        _cleanup_(operation_freep) Operation *certs = NULL, *exchange = NULL;
        const Conversation once = { "another kind", { { ANSWER, 500, "", WAIT }, { ELAPSED, .next = SEND }, { ANSWER, 404, "", FAILED } }, ERR_SERVICE_REFUSED, NULL };
        assert_ok(operation_new_certs(BASE, &certs));
        operation_set_retry(certs, &plan);
        run_conversation(certs, &once);
        assert_ok(operation_new_exchange("POST", BASE "/x", "{\"a\":1}", &exchange));
        operation_set_retry(exchange, &plan);
        answer(exchange, 503, "");
        operation_take_elapsed(exchange, 0);
        _cleanup_bytes_ Bytes body = {};
        assert_ok(source_read_all(operation_request(exchange)->body, 100, &body));
        assert_true(span_equal_string(bytes_span(&body), "{\"a\":1}"));   /* the same again */
        assert_string_equal(operation_request(exchange)->method, "POST");
}

static Operation *new_with_tpm_key(bool vbs) {
        Operation *operation = NULL;
        const AttestTpmOptions options = { .base_url = BASE, .use_tpm_key = true, .vbs = vbs };
        assert_ok(operation_new_attest_tpm(&options, &operation));
        assert_null(operation_attest_tpm_jwk(operation));
        assert_null(operation_attest_tpm_key(operation));
        return operation;
}

static void test_operation_attest_tpm_key_conversations(void **state) {
        uses_tpm_key = true;
        for (size_t i = 0; i < N_ELEMENTS(tpm_key_conversations); i++) {
                _cleanup_(operation_freep) Operation *operation = new_with_tpm_key(false);
                run_conversation(operation, &tpm_key_conversations[i]);
        }
        const Conversation with_report = {
                "with a report", { { ANSWER, 200, CHALLENGE, QUOTE }, { EVIDENCE_WITH_KEY, .next = VBS }, { SIGNATURE, .next = VBS }, { VBS_REPORT, .next = SIGN },
                                   { VBS_REPORT, .next = SIGN }, { SIGNATURE, .next = SEND }, { ANSWER, 200, REPORT, DONE } }, ERR_NONE, NULL,
        };
        _cleanup_(operation_freep) Operation *operation = new_with_tpm_key(true);
        run_conversation(operation, &with_report);
        uses_tpm_key = false;
}

/* Key and report of the round before are gone: both are asked for again. */
static void test_operation_set_retry_forgets_the_key_of_the_tpm_and_the_report(void **state) {
        const RetryPlan plan = { .n_tries = 2, .delay_min_usec = 10, .delay_max_usec = 100, .total_usec = 1000 };
        const Conversation twice = {
                "twice", { { ANSWER, 200, CHALLENGE, QUOTE }, { EVIDENCE_WITH_KEY, .next = VBS }, { VBS_REPORT, .next = SIGN }, { SIGNATURE, .next = SEND },
                           { ANSWER, 503, "", WAIT }, { ELAPSED, .next = SEND }, { ANSWER, 200, CHALLENGE, QUOTE }, { EVIDENCE_WITH_KEY, .next = VBS } }, ERR_NONE, NULL,
        };
        uses_tpm_key = true;
        _cleanup_(operation_freep) Operation *operation = new_with_tpm_key(true);
        operation_set_retry(operation, &plan);
        run_conversation(operation, &twice);
        uses_tpm_key = false;
}

/* The service's view: the JWS verifies with the key that came with the evidence, and the quote was to be over the challenge. */
static void test_operation_attest_tpm_key_signs_what_is_sent(void **state) {
        _cleanup_(operation_freep) Operation *operation = new_with_tpm_key(false);
        _cleanup_bytes_ Bytes body = {}, inner = {};
        _cleanup_json_ Json *payload = NULL;
        _cleanup_(jws_freep) Jws *jws = NULL;
        const char *request;
        answer(operation, 200, CHALLENGE);
        assert_true(span_equal(operation_qualifying_data(operation), SPAN_OF(challenge_bytes)));
        assert_true(span_equal(operation_challenge(operation), SPAN_OF(challenge_bytes)));
        operation_take_evidence(operation, evidence_with_key(true));
        assert_true(jwk_same_key(operation_attest_tpm_key(operation), request_key));
        sign_with(operation, request_key);
        assert_ok(source_read_all(operation_request(operation)->body, 1 << 20, &body));
        assert_ok(attest_tpm_envelope_open(bytes_span(&body), "the body", &inner, &payload));
        assert_ok(json_get_string(payload, "request", &request));
        assert_ok(jws_parse_bounded(span_from_string(request), 1 << 20, &jws));
        const Jwk jwk = { .key = request_key, .for_verify = true };
        assert_ok(jws_verify(jws, JOSE_ALG_BIT(JOSE_ALG_PS256), &jwk));
        assert_non_null(strstr((const char *) jws->payload.data, operation_attest_tpm_jwk(operation)));
}

/* Without the wish for one, a report that comes all the same is nothing. */
static void test_operation_take_report_unasked_is_ignored(void **state) {
        _cleanup_(operation_freep) Operation *operation = new_attest_tpm();
        answer(operation, 200, CHALLENGE);
        operation_take_report(operation, VSM_REPORT_VM, span_from_string("x"));
        assert_step(operation, OPERATION_QUOTE);
}

/* A self-made RSA key as n and e. */
#define CERTS_HEAD "{\"keys\":["

static void test_operation_certs_conversations(void **state) {
        _cleanup_free_ char *jwk = NULL, *set = NULL;
        assert_ok(jwk_public_text(request_key, &jwk));
        assert_ok(string_format(&set, CERTS_HEAD "%s]}", jwk));
        const Conversation conversations[] = {
                { "keys", { { ANSWER, 200, set, DONE }, { ANSWER, 500, "", DONE }, { FAILURE, .next = DONE } }, ERR_NONE, NULL },
                { "evidence is ignored", { { EVIDENCE, .next = SEND }, { ANSWER, 200, set, DONE } }, ERR_NONE, NULL },
                { "no keys", { { ANSWER, 200, CERTS_HEAD "]}", FAILED } }, ERR_SERVICE_ANSWER_INVALID, "fetching the signing keys of " BASE },
                { "unavailable", { { ANSWER, 500, "", FAILED } }, ERR_SERVICE_UNAVAILABLE, "fetching the signing keys of " BASE },
                { "unreachable", { { FAILURE, .next = FAILED } }, ERR_SERVICE_UNREACHABLE, "fetching the signing keys of " BASE },
        };
        for (size_t i = 0; i < N_ELEMENTS(conversations); i++) {
                _cleanup_(operation_freep) Operation *operation = NULL;
                assert_ok(operation_new_certs(BASE, &operation));
                assert_string_equal(operation_request(operation)->url, BASE "/certs");
                assert_int_equal(operation_request(operation)->n_headers, 1);
                run_conversation(operation, &conversations[i]);
                _cleanup_(jwk_set_freep) JwkSet *keys = operation_take_certs(operation);
                assert_int_equal(keys != NULL, conversations[i].code == ERR_NONE);
                if (keys)
                        assert_true(jwk_same_key(keys->keys[0]->key, request_key));
                assert_null(operation_take_certs(operation));
        }
}

static const char *find_header(const HttpRequest *request, const char *name) {
        for (size_t i = 0; i < request->n_headers; i++)
                if (strcmp(request->headers[i].name, name) == 0)
                        return request->headers[i].value;
        return NULL;
}

static void test_operation_attest_tpm_messages_are_those_of_the_protocol(void **state) {
        _cleanup_(operation_freep) Operation *operation = new_attest_tpm();
        _cleanup_bytes_ Bytes init = {}, bound = {}, first = {}, second = {};
        uint8_t expected[32];
        const char *jwk = operation_attest_tpm_jwk(operation);
        assert_true(operation_attest_tpm_is_init(operation));
        assert_string_equal(operation_request(operation)->url, BASE "/attest/Tpm?api-version=2020-10-01");
        assert_string_equal(find_header(operation_request(operation), "Authorization"), "Bearer secret");
        assert_ok(source_read_all(operation_request(operation)->body, 1000, &init));
        assert_string_equal((char *) init.data, "{\"data\":\"eyJwYXlsb2FkIjp7InR5cGUiOiJhaWtjZXJ0In19\"}");

        answer(operation, 200, CHALLENGE);
        assert_false(operation_attest_tpm_is_init(operation));
        size_t n_jwk = strlen(jwk) + 1;
        assert_ok(bytes_alloc(n_jwk + 16, &bound));
        memmove(bound.data, jwk, n_jwk);
        memmove(bound.data + n_jwk, challenge_bytes, 16);
        assert_int_equal(EVP_Digest(bound.data, bound.size, expected, NULL, EVP_sha256(), NULL), 1);
        assert_memory_equal(operation_qualifying_data(operation).data, expected, 32);

        operation_take_evidence(operation, synthetic_evidence(aik, 100, 50, false));
        assert_false(operation_attest_tpm_is_init(operation));
        const HttpRequest *request = operation_request(operation);
        assert_string_equal(find_header(request, "Authorization"), "Bearer secret");
        assert_ok(source_read_all(request->body, 1 << 20, &first));
        assert_ok(source_read_all(request->body, 1 << 20, &second));   /* a driver may have to send it again */
        assert_int_equal(first.size, second.size);
        assert_memory_equal(first.data, second.data, first.size);

        answer(operation, 200, REPORT);
        assert_string_equal(operation_attest_tpm_token(operation), "a.b.c");
        assert_ptr_equal(operation_attest_tpm_jwk(operation), jwk);
}

/* What stands between the two texts in the payload of message 3, which begins and ends with them. */
static void payload_between(Operation *operation, const char *head, const char *tail, Bytes *ret) {
        _cleanup_bytes_ Bytes body = {}, inner = {};
        _cleanup_json_ Json *payload = NULL;
        _cleanup_(jws_freep) Jws *jws = NULL;
        const char *request;
        assert_ok(source_read_all(operation_request(operation)->body, 1 << 20, &body));
        assert_ok(attest_tpm_envelope_open(bytes_span(&body), "the body", &inner, &payload));
        assert_ok(json_get_string(payload, "request", &request));
        assert_ok(jws_parse_bounded(span_from_string(request), 1 << 20, &jws));
        size_t n = jws->payload.size, n_head = strlen(head), n_tail = strlen(tail);
        assert_true(n > n_head + n_tail);
        assert_memory_equal(jws->payload.data, head, n_head);
        assert_memory_equal(jws->payload.data + n - n_tail, tail, n_tail);
        assert_ok(bytes_copy(span_make(jws->payload.data + n_head, n - n_head - n_tail), ret));
}

/* "a report" is YSByZXBvcnQ in base64url. */
static void test_operation_attest_tpm_vbs_report_is_about_the_text_beside_it(void **state) {
        static const char *const tails[] = { ",\"vsm_report\":{\"enclave\":{\"report\":\"YSByZXBvcnQ\"}}}}", ",\"vsm_report\":{\"vm\":{\"report\":\"YSByZXBvcnQ\"}}}}" };
        _cleanup_(operation_freep) Operation *basic = new_attest_tpm();
        _cleanup_bytes_ Bytes members = {};
        answer(basic, 200, CHALLENGE);
        operation_take_evidence(basic, synthetic_evidence(aik, 20001, 12289, false));
        payload_between(basic, "{\"att_type\":\"basic\",\"att_data\":", "}", &members);
        for (unsigned kind = 0; kind < N_ELEMENTS(tails); kind++) {
                _cleanup_(operation_freep) Operation *operation = new_attest_tpm_with(true);
                _cleanup_bytes_ Bytes text = {}, asked = {};
                uint8_t expected[64];
                answer(operation, 200, CHALLENGE);
                operation_take_evidence(operation, synthetic_evidence(aik, 20001, 12289, false));
                assert_ok(bytes_copy(operation_report_data(operation), &asked));
                operation_take_report(operation, (VsmReportKind) kind, span_from_string("a report"));
                payload_between(operation, "{\"att_type\":\"vbs\",\"att_data\":{\"report_signed\":", tails[kind], &text);
                assert_true(span_equal(bytes_span(&text), bytes_span(&members)));   /* the same members as in a basic request */
                assert_int_equal(EVP_Digest(text.data, text.size, expected, NULL, EVP_sha512(), NULL), 1);
                assert_true(span_equal(bytes_span(&asked), SPAN_OF(expected)));
        }
}

static void test_operation_attest_tpm_evidence_that_cannot_be_sent_fails(void **state) {
        _cleanup_(operation_freep) Operation *operation = new_attest_tpm();
        Evidence *evidence = synthetic_evidence(aik, 100, 0, false);
        evidence->logs[0].size = 101;
        answer(operation, 200, CHALLENGE);
        operation_take_evidence(operation, evidence);
        assert_step(operation, OPERATION_FAILED);
        assert_err(operation_take_error(operation), ERR_IO);
}

static void test_operation_new_attest_tpm_bad_options_are_refused(void **state) {
        Operation *operation = NULL;
        AttestTpmOptions options = { .base_url = BASE, .request_key = request_key, .api_version = "2020 10" };
        assert_err(operation_new_attest_tpm(&options, &operation), ERR_INVALID_ARGUMENT);
        options.api_version = NULL;
        options.use_tpm_key = true;     /* and a key of the caller's too */
        assert_err(operation_new_attest_tpm(&options, &operation), ERR_INVALID_ARGUMENT);
        options.use_tpm_key = false;
        options.authorization = "Bearer x\r\nEvil: y";
        assert_err(operation_new_attest_tpm(&options, &operation), ERR_INVALID_ARGUMENT);
        assert_null(operation);
}

static void test_operation_exchange_conversations(void **state) {
        static const struct {
                long status;
                const char *body;
                ErrCode expected;
        } cases[] = {
                { 200, "{\"a\":\"b\"}", ERR_NONE },
                { 200, "{", ERR_SERVICE_ANSWER_INVALID },
                { 200, "", ERR_SERVICE_ANSWER_INVALID },
                { 400, "{\"error\":{\"code\":\"SecretWrong\",\"message\":\"words\"}}", ERR_SERVICE_REFUSED },
                { 503, "", ERR_SERVICE_UNAVAILABLE },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_(operation_freep) Operation *operation = NULL;
                _cleanup_bytes_ Bytes body = {};
                _cleanup_json_ Json *json = NULL;
                const char *text = NULL;
                assert_ok(operation_new_exchange("POST", BASE "/aik/challenge", "{\"x\":1}", &operation));
                assert_step(operation, OPERATION_SEND);
                assert_string_equal(operation_request(operation)->method, "POST");
                assert_string_equal(operation_request(operation)->url, BASE "/aik/challenge");
                assert_ok(source_read_all(operation_request(operation)->body, 100, &body));
                assert_true(span_equal_string(bytes_span(&body), "{\"x\":1}"));
                answer(operation, cases[i].status, cases[i].body);
                assert_step(operation, cases[i].expected == ERR_NONE ? OPERATION_DONE : OPERATION_FAILED);
                if (cases[i].expected != ERR_NONE) {
                        assert_err(operation_take_error(operation), cases[i].expected);
                        continue;
                }
                json = operation_take_exchange(operation);
                assert_ok(json_get_string(json, "a", &text));
                assert_string_equal(text, "b");
        }
}

static void test_operation_free_in_every_state(void **state) {
        operation_free(NULL);
        for (unsigned i = 0; i < 8; i++) {
                unsigned n = i / 2;
                _cleanup_(operation_freep) Operation *operation = new_attest_tpm_with(i % 2 == 1);
                if (n >= 1)
                        answer(operation, 200, CHALLENGE);
                if (n >= 2)
                        operation_take_evidence(operation, synthetic_evidence(aik, 10, 0, false));
                if (n >= 3)
                        answer(operation, 400, "");   /* the error is never taken */
        }
}

static void test_operation_call_sends_the_same_again_and_hands_the_text_over(void **state) {
        const RetryPlan plan = { .n_tries = 2, .delay_min_usec = 10, .delay_max_usec = 100, .total_usec = 1000 };
        const Conversation again = { "again", { { EVIDENCE, .next = SEND }, { ANSWER, 503, "", WAIT }, { ELAPSED, .next = SEND } }, ERR_NONE, NULL };
        _cleanup_(operation_freep) Operation *operation = NULL;
        _cleanup_bytes_ Bytes body = {};
        HttpRequest request = { .method = "PUT" };
        assert_ok(source_new_string("a.b.c", &request.body));
        assert_ok(operation_new_call("setting the policy", &request, &operation));
        operation_set_retry(operation, &plan);
        run_conversation(operation, &again);
        assert_ok(source_read_all(operation_request(operation)->body, 100, &body));
        assert_true(span_equal_string(bytes_span(&body), "a.b.c"));
        answer(operation, 200, "[1]");
        assert_true(span_equal_string(operation_call_answer(operation), "[1]"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_operation_attest_tpm_conversations),
                cmocka_unit_test(test_operation_attest_tpm_vbs_conversations),
                cmocka_unit_test(test_operation_attest_tpm_key_conversations),
                cmocka_unit_test(test_operation_set_retry_conversations),
                cmocka_unit_test(test_operation_set_retry_forgets_the_key_of_the_tpm_and_the_report),
                cmocka_unit_test(test_operation_attest_tpm_key_signs_what_is_sent),
                cmocka_unit_test(test_operation_take_report_unasked_is_ignored),
                cmocka_unit_test(test_operation_certs_conversations),
                cmocka_unit_test(test_operation_attest_tpm_messages_are_those_of_the_protocol),
                cmocka_unit_test(test_operation_attest_tpm_vbs_report_is_about_the_text_beside_it),
                cmocka_unit_test(test_operation_attest_tpm_evidence_that_cannot_be_sent_fails),
                cmocka_unit_test(test_operation_new_attest_tpm_bad_options_are_refused),
                cmocka_unit_test(test_operation_exchange_conversations),
                cmocka_unit_test(test_operation_call_sends_the_same_again_and_hands_the_text_over),
                cmocka_unit_test(test_operation_free_in_every_state),
        };
        return cmocka_run_group_tests(tests, make_keys, drop_keys);
}
