/* One request and its answer; see operation.h. SEND ends in DONE or FAILED; a further try sends the same request again. */
#include "client/operation-private.h"

/* What an answer becomes. */
typedef struct CallResult {
        Err *(*parse)(Span body, void **ret);
        void (*free)(void *result);
} CallResult;

typedef struct Call {
        Operation base;
        const CallResult *result_kind;
        char *intent;
        void *result;             /* in DONE, until it was handed over */
} Call;

static void call_done(Operation *operation) {
        Call *call = (Call *) operation;
        free(call->intent);
        if (call->result)
                call->result_kind->free(call->result);
}

static Err *call_wrap(const Operation *operation, Err *err) {
        const Call *call = (const Call *) operation;
        return operation->step == OPERATION_SEND ? err_wrap(err, "%s", call->intent) : err;
}

static Err *call_begin(Operation *operation) {
        operation_enter(operation, OPERATION_SEND);
        return NULL;
}

static Err *call_take_response(Operation *operation, const HttpResponse *response, uint64_t now_sec) {
        Call *call = (Call *) operation;
        TRY(http_response_check_json(response, now_sec));
        TRY(call->result_kind->parse(bytes_span(&response->body), &call->result));
        operation_enter(operation, OPERATION_DONE);
        return NULL;
}

static const OperationKind call_kind = {
        .begin = call_begin, .take_response = call_take_response, .wrap = call_wrap, .done = call_done, .resends = true,
};

/* Takes over intent and request. */
static Err *new_call(const CallResult *result_kind, char *steal_intent, HttpRequest *steal_request, Operation **ret) {
        _cleanup_http_request_ HttpRequest request = *steal_request;
        _cleanup_free_ char *intent = steal_intent;
        Operation *operation;
        *steal_request = (HttpRequest) {};
        TRY(operation_new(&call_kind, sizeof(Call), &operation));
        Call *call = (Call *) operation;
        call->result_kind = result_kind;
        call->intent = steal_ptr(&intent);
        operation->request = request;
        request = (HttpRequest) {};
        *ret = operation;
        return call_begin(operation);
}

/* NULL where the operation is of another kind, or has no such result (any more). */
static void *take_result(Operation *operation, const CallResult *result_kind) {
        Call *call = operation->kind == &call_kind ? (Call *) operation : NULL;
        return call && call->result_kind == result_kind ? steal_ptr(&call->result) : NULL;
}

/* ---- any call: the answer's text ---- */

static void text_free(void *result) {
        Bytes *text = result;
        bytes_done(text);
        free(text);
}

static Err *text_parse(Span body, void **ret) {
        Bytes *text = calloc(1, sizeof(Bytes));
        if (!text)
                return err_oom();
        Err *err = bytes_copy(body, text);
        if (err)
                text_free(text);
        else
                *ret = text;
        return err;
}

static const CallResult text_result = { text_parse, text_free };

Err *operation_new_call(const char *intent, HttpRequest *steal_request, Operation **ret) {
        _cleanup_http_request_ HttpRequest request = *steal_request;
        _cleanup_free_ char *copy = NULL;
        *steal_request = (HttpRequest) {};
        TRY(string_copy(intent, &copy));
        return new_call(&text_result, steal_ptr(&copy), &request, ret);
}

Span operation_call_answer(const Operation *operation) {
        const Call *call = operation->kind == &call_kind ? (const Call *) operation : NULL;
        return call && call->result_kind == &text_result && call->result ? bytes_span(call->result) : (Span) {};
}

/* ---- key set ---- */

static Err *certs_parse(Span body, void **ret) {
        JwkSet *certs;
        TRY(maa_certs_parse(body, &certs));
        *ret = certs;
        return NULL;
}

static void certs_free(void *result) {
        jwk_set_free(result);
}

static const CallResult certs_result = { certs_parse, certs_free };

Err *operation_new_certs(const char *base_url, Operation **ret) {
        _cleanup_http_request_ HttpRequest request = {};
        _cleanup_free_ char *intent = NULL;
        TRY(string_format(&intent, "fetching the signing keys of %s", base_url));
        TRY(maa_certs_request(base_url, &request));
        return new_call(&certs_result, steal_ptr(&intent), &request, ret);
}

JwkSet *operation_take_certs(Operation *operation) {
        return take_result(operation, &certs_result);
}

/* ---- exchange ---- */

static Err *exchange_parse(Span body, void **ret) {
        Json *answer;
        Err *err = json_parse(body, "the answer", &answer);
        if (err)
                return err_wrap_code(ERR_SERVICE_ANSWER_INVALID, err, "the answer cannot be used");
        *ret = answer;
        return NULL;
}

static void exchange_free(void *result) {
        json_unref(result);
}

static const CallResult exchange_result = { exchange_parse, exchange_free };

Err *operation_new_exchange(const char *method, const char *url, const char *body, Operation **ret) {
        _cleanup_http_request_ HttpRequest request = { .method = method };
        _cleanup_free_ char *intent = NULL;
        TRY(string_format(&intent, "asking %s", url));
        TRY(string_copy(url, &request.url));
        TRY(http_request_add_header(&request, "Accept", "application/json"));
        if (body)
                TRY(source_new_string(body, &request.body));
        return new_call(&exchange_result, steal_ptr(&intent), &request, ret);
}

Json *operation_take_exchange(Operation *operation) {
        return take_result(operation, &exchange_result);
}
