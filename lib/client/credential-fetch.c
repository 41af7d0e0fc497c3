/* See credential-private.h. The table of the conversation; what it does not list changes nothing:
 *
 *     step     answer arrives                                                    failure of the transport arrives    time is over
 *     SEND     DONE, SEND (challenge of Azure Arc), WAIT, or FAILED              WAIT or FAILED                      -
 *     WAIT     -                                                                 FAILED                              SEND
 *
 * What may pass by itself is tried again: 408, 429, 5xx, and from metadata services 404 and 410 too, which is how IMDS says that it is being updated. Each wait is
 * twice the one before, up to 10 s, give or take a fifth, and at least what Retry-After asks for; when all waits together would exceed the budget, the last
 * error stands. The token authority and a transport that fails are given three more tries: whoever runs the conversation begins anew soon enough. A metadata
 * service that answers at all is worth the whole budget.
 *
 * Each request is made anew, because an assertion is good once and files may have changed. */
#include "client/credential-private.h"

#include <sys/random.h>

#define FIRST_DELAY_USEC (1 * USEC_PER_SEC)
#define DELAY_MAX_USEC (10 * USEC_PER_SEC)
#define TRIES_MAX 4

static void enter(CredentialFetch *fetch, CredentialStep step) {
        http_request_done(&fetch->request);
        fetch->step = step;
}

static Err *wrap_intent(const Credential *credential, Err *err) {
        switch (credential->kind) {
        case CREDENTIAL_KIND_CLIENT_SECRET:
        case CREDENTIAL_KIND_CLIENT_CERTIFICATE:
        case CREDENTIAL_KIND_WORKLOAD_IDENTITY:
                return err_wrap(err, "getting a token for %s from %s", credential->client_id, credential->authority);
        case CREDENTIAL_KIND_MANAGED_IDENTITY:
                return err_wrap(err, "getting a token for the managed identity from %s", credential->endpoint);
        case CREDENTIAL_KIND_TOKEN_FILE:
                return err_wrap(err, "reading the access token");
        case CREDENTIAL_KIND_NONE:
                return err;
        }
        return err;
}

static void fail_with(CredentialFetch *fetch, Err *steal_err) {
        fetch->err = wrap_intent(fetch->credential, steal_err);
        enter(fetch, CREDENTIAL_FAILED);
}

static void send_request(CredentialFetch *fetch, uint64_t now_sec, const char *arc_key) {
        enter(fetch, CREDENTIAL_SEND);
        Err *err = credential_request(fetch->credential, now_sec, arc_key, &fetch->request);
        if (err)
                fail_with(fetch, err);
}

static Err *take_file(Credential *credential) {
        _cleanup_bytes_erase_ Bytes content = {};
        _cleanup_access_token_ AccessToken token = { .refresh_sec = UINT64_MAX, .expires_sec = UINT64_MAX };
        TRY(file_read(credential->token_file, ACCESS_TOKEN_SIZE_MAX, &content));
        TRY(access_token_authorization(bytes_span(&content), credential->token_file, &token.authorization));
        access_token_done(&credential->token);
        credential->token = token;
        token = (AccessToken) {};
        return NULL;
}

Err *credential_fetch_init(CredentialFetch *fetch, Credential *credential, uint64_t now_sec) {
        if (credential->is_fetching)
                return err_new(ERR_BUSY, "a token is being fetched for this credential already");
        *fetch = (CredentialFetch) { .credential = credential, .step = CREDENTIAL_DONE };
        credential->is_fetching = true;
        if (credential->kind == CREDENTIAL_KIND_NONE)
                return NULL;
        if (credential->kind != CREDENTIAL_KIND_TOKEN_FILE) {
                send_request(fetch, now_sec, /* arc_key= */ NULL);
                return NULL;
        }
        Err *err = take_file(credential);
        if (err)
                fail_with(fetch, err);
        return NULL;
}

void credential_fetch_done(CredentialFetch *fetch) {
        if (fetch->credential)
                fetch->credential->is_fetching = false;
        http_request_done(&fetch->request);
        err_free(fetch->err);
        *fetch = (CredentialFetch) {};
}

static bool may_pass(const Credential *credential, const Err *err, unsigned n_tries) {
        switch ((int) err_code(err)) {
        case ERR_SERVICE_UNAVAILABLE:
        case ERR_SERVICE_THROTTLED:
                return credential->kind == CREDENTIAL_KIND_MANAGED_IDENTITY || n_tries < TRIES_MAX;
        case ERR_SERVICE_UNREACHABLE:
        case ERR_SERVICE_NAME_RESOLUTION:
        case ERR_TIMEOUT:
                return n_tries < TRIES_MAX;
        default:
                return false;
        }
}

/* The doubling delay of the n-th failure, times 0.8 to 1.2. */
static uint64_t delay_after(unsigned n_tries) {
        uint64_t delay_usec = n_tries > 8 ? DELAY_MAX_USEC : MIN_OF(FIRST_DELAY_USEC << (n_tries - 1), DELAY_MAX_USEC);
        uint32_t random = UINT32_MAX / 2;
        if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != (ssize_t) sizeof(random))
                random = UINT32_MAX / 2;   /* then in step with others: no harm */
        return delay_usec * 4 / 5 + (uint64_t) random * (delay_usec * 2 / 5) / UINT32_MAX;
}

static void wait_or_fail(CredentialFetch *fetch, Err *steal_err) {
        const Credential *credential = fetch->credential;
        fetch->n_tries++;
        uint64_t delay_usec = MAX_OF(delay_after(fetch->n_tries), err_retry_after(steal_err));
        if (!may_pass(credential, steal_err, fetch->n_tries) || delay_usec > credential->budget_usec - fetch->waited_usec) {
                fail_with(fetch, fetch->n_tries > 1 ? err_wrap(steal_err, "after %u tries", fetch->n_tries) : steal_err);
                return;
        }
        fetch->err = steal_err;
        fetch->delay_usec = delay_usec;
        fetch->waited_usec += delay_usec;
        fetch->was_challenged = false;
        enter(fetch, CREDENTIAL_WAIT);
}

static void take_challenge(CredentialFetch *fetch, const HttpResponse *response, uint64_t now_sec) {
        char *key = NULL;
        fetch->was_challenged = true;
        Err *err = credential_arc_key(fetch->credential, response->authenticate, &key);
        if (err) {
                fail_with(fetch, err);
                return;
        }
        send_request(fetch, now_sec, key);
        explicit_bzero(key, strlen(key));
        free(key);
}

void credential_fetch_take_response(CredentialFetch *fetch, const HttpResponse *response, uint64_t now_sec) {
        Credential *credential = fetch->credential;
        if (fetch->step != CREDENTIAL_SEND)
                return;
        bool is_managed = credential->kind == CREDENTIAL_KIND_MANAGED_IDENTITY;
        if (is_managed && credential->host == CREDENTIAL_HOST_ARC && response->status == 401 && !fetch->was_challenged) {
                take_challenge(fetch, response, now_sec);
                return;
        }
        AccessToken token = {};
        Err *err = access_token_parse(response, is_managed ? ACCESS_TOKEN_OF_MANAGED_IDENTITY : ACCESS_TOKEN_OF_AUTHORITY, now_sec, &token);
        if (err) {
                wait_or_fail(fetch, err);
                return;
        }
        access_token_done(&credential->token);
        credential->token = token;
        enter(fetch, CREDENTIAL_DONE);
}

void credential_fetch_take_failure(CredentialFetch *fetch, Err *steal_err) {
        switch (fetch->step) {
        case CREDENTIAL_SEND:
                wait_or_fail(fetch, steal_err);
                break;
        case CREDENTIAL_WAIT:
                fail_with(fetch, err_wrap_code(err_code(steal_err), steal_ptr(&fetch->err), "%s", err_sentence(steal_err)));
                err_free(steal_err);
                break;
        case CREDENTIAL_DONE:
        case CREDENTIAL_FAILED:
                err_free(steal_err);
                break;
        }
}

void credential_fetch_take_elapsed(CredentialFetch *fetch, uint64_t now_sec) {
        if (fetch->step != CREDENTIAL_WAIT)
                return;
        fetch->err = err_free(fetch->err);
        send_request(fetch, now_sec, /* arc_key= */ NULL);
}
