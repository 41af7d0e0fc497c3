/* What the files of operations share; others include operation.h. An operation is a base, which is the same for all, and around it what its kind needs: the base
 * is the first member of the kind's own structure. */
#pragma once

#include "client/operation.h"

typedef struct OperationKind {
        /* Makes the first request and sets the step, each time that the conversation begins. */
        Err *(*begin)(Operation *operation);
        /* In SEND alone. What it returns is the operation's failure. */
        Err *(*take_response)(Operation *operation, const HttpResponse *response, uint64_t now_sec);
        /* What the operation was doing, as the outermost sentence of its error. */
        Err *(*wrap)(const Operation *operation, Err *steal_err);
        /* Frees what the kind has added, not the base. */
        void (*done)(Operation *operation);
        /* Of a kind that has its own way of trying again, and then needs neither begin() nor wrap(); NULL: the base's plan. */
        void (*take_failure)(Operation *operation, Err *steal_err);
        void (*take_elapsed)(Operation *operation, uint64_t now_sec);
        /* A further try sends the same request again: it is kept in WAIT, and begin() finds it. */
        bool resends;
} OperationKind;

struct Operation {
        const OperationKind *kind;
        OperationStep step;
        HttpRequest request;      /* in SEND; of a kind that resends, in WAIT too */
        Err *err;                 /* in WAIT, and in FAILED until it was handed over */
        Retry retry;
        uint64_t delay_usec;      /* in WAIT */
};

/* size: of the kind's own structure, which begins zeroed. */
Err *operation_new(const OperationKind *kind, size_t size, Operation **ret) _must_check_;
/* The one place where a step is entered: what belongs to the old one goes. */
void operation_enter(Operation *operation, OperationStep step);
/* Takes the error to FAILED, or, where a plan for it is left, to WAIT. */
void operation_fail(Operation *operation, Err *steal_err);
