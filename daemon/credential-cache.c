/* See credential-cache.h. The operation's steps are turned into events of the loop: SEND into a transfer, WAIT into a timer, the end into a deferred event, so
 * that a callback never comes from inside credential_cache_fetch(). */
#include "daemon/credential-cache.h"

#include <time.h>

#include "daemon/log.h"

struct CredentialWaiter {
        CredentialCache *cache;
        CredentialWaiter *next;
        uint64_t fetch;                 /* which one it waits for */
        CredentialWaiterCallback callback;
        void *userdata;
};

struct CredentialCache {
        sd_event *event;
        CurlLoop *curl;
        const Config *config;
        const TransportOptions *transport;
        Credential *credential;         /* NULL: not made yet */
        Operation *operation;           /* under way */
        CurlJob *job;
        sd_event_source *timer;         /* of a wait, or of the end */
        uint64_t n_fetches;
        CredentialWaiter *waiters;
};

static uint64_t now_sec(void) {
        return (uint64_t) time(NULL);
}

static CredentialKind kind_of(CredentialType type) {
        switch (type) {
        case CREDENTIAL_NONE:
                return CREDENTIAL_KIND_NONE;
        case CREDENTIAL_CLIENT_SECRET:
                return CREDENTIAL_KIND_CLIENT_SECRET;
        case CREDENTIAL_CLIENT_CERTIFICATE:
                return CREDENTIAL_KIND_CLIENT_CERTIFICATE;
        case CREDENTIAL_MANAGED_IDENTITY:
                return CREDENTIAL_KIND_MANAGED_IDENTITY;
        case CREDENTIAL_WORKLOAD_IDENTITY:
                return CREDENTIAL_KIND_WORKLOAD_IDENTITY;
        case CREDENTIAL_TOKEN_FILE:
                return CREDENTIAL_KIND_TOKEN_FILE;
        }
        return CREDENTIAL_KIND_NONE;
}

static Err *make_credential(CredentialCache *cache) {
        const Config *config = cache->config;
        CredentialOptions options = {
                .kind = kind_of(config->credential_type),
                .tenant_id = config->tenant_id, .client_id = config->client_id, .authority = config->authority, .scope = config->scope,
                .secret_file = config->secret_file, .certificate_file = config->certificate_file, .private_key_file = config->private_key_file,
                .federated_token_file = config->federated_token_file, .token_file = config->token_file, .imds_url = config->imds_url,
                .managed_client_id = config->managed_identity_client_id, .managed_object_id = config->managed_identity_object_id,
                .managed_resource_id = config->managed_identity_resource_id, .budget_usec = CREDENTIAL_CACHE_BUDGET_USEC,
        };
        credential_options_from_environment(&options, getenv);
        return cache->credential ? NULL : err_wrap(credential_new(&options, &cache->credential), "[Credential]");
}

static void stop(CredentialCache *cache) {
        cache->job = curl_job_cancel(cache->job);
        cache->timer = sd_event_source_disable_unref(cache->timer);
        cache->operation = operation_free(cache->operation);
}

CredentialCache *credential_cache_free(CredentialCache *cache) {
        if (!cache)
                return NULL;
        while (cache->waiters)
                credential_waiter_cancel(cache->waiters);
        stop(cache);
        credential_free(cache->credential);
        sd_event_unref(cache->event);
        free(cache);
        return NULL;
}

Err *credential_cache_new(sd_event *event, CurlLoop *curl, const Config *config, const TransportOptions *transport, CredentialCache **ret) {
        CredentialCache *cache = calloc(1, sizeof(CredentialCache));
        if (!cache)
                return err_oom();
        *cache = (CredentialCache) { .event = sd_event_ref(event), .curl = curl, .config = config, .transport = transport };
        *ret = cache;
        return NULL;
}

bool credential_cache_is_ready(const CredentialCache *cache) {
        if (cache->config->credential_type == CREDENTIAL_NONE)
                return true;
        return cache->credential && credential_state(cache->credential, now_sec()) == CREDENTIAL_FRESH;
}

const char *credential_cache_authorization(const CredentialCache *cache) {
        return cache->credential ? credential_authorization(cache->credential) : NULL;
}

void credential_cache_forget(CredentialCache *cache) {
        if (cache->credential)
                credential_forget(cache->credential);
}

/* Callbacks may start the next fetch and wait for that one, or cancel other waiters. */
static void tell_waiters(CredentialCache *cache, uint64_t fetch, const Err *err) {
        for (;;) {
                CredentialWaiter **place = &cache->waiters;
                while (*place && (*place)->fetch != fetch)
                        place = &(*place)->next;
                CredentialWaiter *waiter = *place;
                if (!waiter)
                        return;
                *place = waiter->next;
                CredentialWaiterCallback callback = waiter->callback;
                void *userdata = waiter->userdata;
                free(waiter);
                callback(userdata, err);
        }
}

static void finish(CredentialCache *cache) {
        _cleanup_(err_freep) Err *failure = operation_next(cache->operation) == OPERATION_DONE ? NULL : operation_take_error(cache->operation);
        stop(cache);
        if (failure && credential_state(cache->credential, now_sec()) == CREDENTIAL_AGING) {
                log_message(LOG_NOTICE, "the access token is used on, its renewal failed: %s", err_describe(failure));
                failure = err_free(failure);
        }
        tell_waiters(cache, cache->n_fetches, failure);
}

static void go_on(CredentialCache *cache);

static void on_answer(void *userdata, const Err *err, const HttpResponse *response) {
        CredentialCache *cache = userdata;
        cache->job = NULL;
        if (err)
                operation_take_failure(cache->operation, err_copy(err));
        else
                operation_take_response(cache->operation, response, now_sec());
        go_on(cache);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        CredentialCache *cache = userdata;
        cache->timer = sd_event_source_disable_unref(cache->timer);
        if (operation_next(cache->operation) == OPERATION_WAIT)
                operation_take_elapsed(cache->operation, now_sec());
        go_on(cache);
        return 0;
}

/* Fails the operation where there is no timer to be had. */
static bool start_timer(CredentialCache *cache, uint64_t delay_usec) {
        return sd_event_add_time_relative(cache->event, &cache->timer, CLOCK_BOOTTIME, delay_usec, USEC_PER_MSEC, on_timer, cache) >= 0;
}

/* One step of the operation; its end at once, so not to be called from credential_cache_fetch(). */
static void go_on(CredentialCache *cache) {
        OperationStep step = operation_next(cache->operation);
        if (step == OPERATION_SEND) {
                Err *err = curl_loop_start(cache->curl, operation_request(cache->operation), cache->transport, on_answer, cache, &cache->job);
                if (!err)
                        return;
                operation_take_failure(cache->operation, err);
                step = operation_next(cache->operation);
        }
        if (step == OPERATION_WAIT) {
                if (start_timer(cache, operation_delay_usec(cache->operation)))
                        return;
                operation_take_failure(cache->operation, err_oom());
        }
        finish(cache);
}

/* The first step comes from the loop too. */
static Err *start_fetch(CredentialCache *cache) {
        TRY(make_credential(cache));
        TRY(operation_new_token(cache->credential, now_sec(), &cache->operation));
        cache->n_fetches++;
        if (start_timer(cache, 0))
                return NULL;
        cache->operation = operation_free(cache->operation);
        return err_oom();
}

Err *credential_cache_fetch(CredentialCache *cache, CredentialWaiterCallback callback, void *userdata, CredentialWaiter **ret) {
        CredentialWaiter *waiter = calloc(1, sizeof(CredentialWaiter));
        if (!waiter)
                return err_oom();
        if (!cache->operation) {
                Err *err = start_fetch(cache);
                if (err) {
                        free(waiter);
                        return err;
                }
        }
        *waiter = (CredentialWaiter) { cache, NULL, cache->n_fetches, callback, userdata };
        CredentialWaiter **end = &cache->waiters;
        while (*end)
                end = &(*end)->next;
        *end = waiter;
        *ret = waiter;
        return NULL;
}

CredentialWaiter *credential_waiter_cancel(CredentialWaiter *waiter) {
        if (!waiter)
                return NULL;
        for (CredentialWaiter **place = &waiter->cache->waiters; *place; place = &(*place)->next)
                if (*place == waiter) {
                        *place = waiter->next;
                        break;
                }
        free(waiter);
        return NULL;
}
