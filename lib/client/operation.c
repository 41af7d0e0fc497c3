/* See operation.h. The part that all kinds share; each kind has a file of its own with the table of its conversation.
 *
 * With a plan for it, what fails in SEND goes to WAIT, and from there to the beginning again: the challenge may be spent by a refused request. What comes in a
 * step that does not wait for it changes nothing, and is freed where it was given. */
#include "client/operation-private.h"

Err *operation_new(const OperationKind *kind, size_t size, Operation **ret) {
        Operation *operation = calloc(1, size);
        if (!operation)
                return err_oom();
        operation->kind = kind;
        *ret = operation;
        return NULL;
}

Operation *operation_free(Operation *operation) {
        if (!operation)
                return NULL;
        operation->kind->done(operation);
        http_request_done(&operation->request);
        err_free(operation->err);
        free(operation);
        return NULL;
}

OperationStep operation_next(Operation *operation) {
        return operation->step;
}

const HttpRequest *operation_request(const Operation *operation) {
        return operation->step == OPERATION_SEND ? &operation->request : NULL;
}

void operation_enter(Operation *operation, OperationStep step) {
        bool keeps = operation->kind->resends && (step == OPERATION_SEND || step == OPERATION_WAIT);
        if (!keeps)
                http_request_done(&operation->request);
        operation->step = step;
}

void operation_fail(Operation *operation, Err *steal_err) {
        Err *err = operation->kind->wrap(operation, steal_err);
        if (operation->step == OPERATION_SEND && retry_next(&operation->retry, err, &operation->delay_usec)) {
                operation->err = err;
                operation_enter(operation, OPERATION_WAIT);
                return;
        }
        operation->err = operation->retry.n_tried > 1 ? err_wrap(err, "after %u tries", operation->retry.n_tried) : err;
        operation_enter(operation, OPERATION_FAILED);
}

void operation_take_response(Operation *operation, const HttpResponse *response, uint64_t now_sec) {
        if (operation->step != OPERATION_SEND)
                return;
        Err *err = operation->kind->take_response(operation, response, now_sec);
        if (err)
                operation_fail(operation, err);
}

void operation_take_failure(Operation *operation, Err *steal_err) {
        if (operation->step == OPERATION_DONE || operation->step == OPERATION_FAILED) {
                err_free(steal_err);
                return;
        }
        _cleanup_(err_freep) Err *err = steal_err ? steal_err : err_new(ERR_INTERNAL, "a failure without an error");
        if (operation->kind->take_failure) {
                operation->kind->take_failure(operation, steal_ptr(&err));
                return;
        }
        if (operation->step != OPERATION_WAIT) {
                operation_fail(operation, steal_ptr(&err));
                return;
        }
        operation->err = err_wrap_code(err_code(err), operation->err, "%s", err_sentence(err));
        operation_enter(operation, OPERATION_FAILED);
}

void operation_give_up(Operation *operation) {
        if (operation->step != OPERATION_WAIT)
                return;
        if (operation->kind->take_failure) {
                operation->kind->take_failure(operation, err_new(ERR_TIMEOUT, "no time is left to try again"));
                return;
        }
        if (operation->retry.n_tried > 1)
                operation->err = err_wrap(operation->err, "after %u tries", operation->retry.n_tried);
        operation_enter(operation, OPERATION_FAILED);
}

Err *operation_take_error(Operation *operation) {
        return operation->step == OPERATION_FAILED ? steal_ptr(&operation->err) : NULL;
}

uint64_t operation_delay_usec(const Operation *operation) {
        return operation->step == OPERATION_WAIT ? operation->delay_usec : 0;
}

uint64_t operation_delay_least_usec(const Operation *operation) {
        return operation->step == OPERATION_WAIT ? err_retry_after(operation->err) : 0;
}

void operation_take_elapsed(Operation *operation, uint64_t now_sec) {
        if (operation->step != OPERATION_WAIT)
                return;
        if (operation->kind->take_elapsed) {
                operation->kind->take_elapsed(operation, now_sec);
                return;
        }
        operation->err = err_free(operation->err);
        Err *err = operation->kind->begin(operation);
        if (err)
                operation_fail(operation, err);
}

void operation_set_retry(Operation *operation, const RetryPlan *plan) {
        operation->retry = (Retry) { .plan = *plan };
}
