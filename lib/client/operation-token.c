/* The conversation that ends in a token for a credential, as an operation: its table is credential-fetch.c's, and so is the way of trying again. */
#include "client/credential-private.h"
#include "client/operation-private.h"

typedef struct TokenOperation {
        Operation base;
        CredentialFetch fetch;
} TokenOperation;

/* Takes over where the conversation stands. */
static void follow(TokenOperation *token) {
        Operation *operation = &token->base;
        CredentialFetch *fetch = &token->fetch;
        switch (fetch->step) {
        case CREDENTIAL_SEND:
                operation_enter(operation, OPERATION_SEND);
                operation->request = fetch->request;
                fetch->request = (HttpRequest) {};
                break;
        case CREDENTIAL_WAIT:
                operation->delay_usec = fetch->delay_usec;
                operation_enter(operation, OPERATION_WAIT);
                break;
        case CREDENTIAL_DONE:
                operation_enter(operation, OPERATION_DONE);
                break;
        case CREDENTIAL_FAILED:
                operation->err = steal_ptr(&fetch->err);
                operation_enter(operation, OPERATION_FAILED);
                break;
        }
}

static Err *token_take_response(Operation *operation, const HttpResponse *response, uint64_t now_sec) {
        TokenOperation *token = (TokenOperation *) operation;
        credential_fetch_take_response(&token->fetch, response, now_sec);
        follow(token);
        return NULL;
}

static void token_take_failure(Operation *operation, Err *steal_err) {
        TokenOperation *token = (TokenOperation *) operation;
        credential_fetch_take_failure(&token->fetch, steal_err);
        follow(token);
}

static void token_take_elapsed(Operation *operation, uint64_t now_sec) {
        TokenOperation *token = (TokenOperation *) operation;
        credential_fetch_take_elapsed(&token->fetch, now_sec);
        follow(token);
}

static void token_done(Operation *operation) {
        credential_fetch_done(&((TokenOperation *) operation)->fetch);
}

static const OperationKind token_kind = {
        .take_response = token_take_response, .done = token_done, .take_failure = token_take_failure, .take_elapsed = token_take_elapsed,
};

Err *operation_new_token(Credential *credential, uint64_t now_sec, Operation **ret) {
        _cleanup_(operation_freep) Operation *operation = NULL;
        TRY(operation_new(&token_kind, sizeof(TokenOperation), &operation));
        TokenOperation *token = (TokenOperation *) operation;
        TRY(credential_fetch_init(&token->fetch, credential, now_sec));
        follow(token);
        *ret = steal_ptr(&operation);
        return NULL;
}
