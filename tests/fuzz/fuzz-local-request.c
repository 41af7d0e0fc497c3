/* A request to the local socket: first line "METHOD TARGET", the rest is the body. What is taken must keep the promises of local-request.h. */
#include <assert.h>

#include "daemon/local-request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_request(const LocalRequest *request) {
        bool of_profile = request->route == LOCAL_ROUTE_TOKEN || request->route == LOCAL_ROUTE_ATTEST;
        assert(request->route < _LOCAL_ROUTE_MAX);
        assert(!of_profile || (request->profile && *request->profile));
        assert(request->min_remaining_sec <= UINT32_MAX);
        for (const char *c = request->profile; of_profile && *c; c++)
                assert((unsigned char) *c >= 0x20);
}

static void check_body(LocalRequest *request, Span body) {
        Err *err = local_request_parse_body(request, body);
        assert(!err || (err_code(err) == ERR_REQUEST_INVALID && *err_describe(err)));
        if (!err) {
                assert(request->nonce.size <= LOCAL_REQUEST_NONCE_MAX && request->timeout_sec <= LOCAL_REQUEST_TIMEOUT_SEC_MAX);
                assert(request->route != LOCAL_ROUTE_VALIDATE || (request->token && request->profile));
        }
        err_free(err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const uint8_t *newline = size > 0 ? memchr(data, '\n', size) : NULL;
        size_t line = newline ? (size_t) (newline - data) : size;
        const uint8_t *space = line > 0 ? memchr(data, ' ', line) : NULL;
        if (!space)
                return 0;
        size_t method_size = (size_t) (space - data);
        char *method = NULL;
        Err *err = string_copy_span(span_make(data, method_size), &method);
        if (err) {
                err_free(err);
                return 0;
        }
        _cleanup_local_request_ LocalRequest request = {};
        LocalRefusal refusal;
        err = local_request_parse_target(method, span_make(space + 1, line - method_size - 1), &request, &refusal);
        free(method);
        if (err) {
                assert(err_code(err) == ERR_REQUEST_INVALID || err_code(err) == ERR_NO_MEMORY);
                assert(refusal.status >= 400 && refusal.status < 500 && (refusal.status == 405) == !!refusal.allow);
                err_free(err);
                return 0;
        }
        check_request(&request);
        check_body(&request, newline ? span_make(newline + 1, size - line - 1) : (Span) {});
        return 0;
}
