/* See key-cache.h. */
#include "daemon/key-cache.h"

#include <time.h>

struct KeyWaiter {
        KeyCache *cache;
        KeyWaiter *next;
        uint64_t fetch;              /* which one it waits for */
        KeyWaiterCallback callback;
        void *userdata;
};

struct KeyCache {
        sd_event *event;
        CurlLoop *curl;
        char *base_url;
        const TransportOptions *transport;
        JwkSet *keys;
        uint64_t fetched_usec;          /* boottime of the last fetch that succeeded; 0: never */
        Operation *operation;           /* under way */
        CurlJob *job;
        uint64_t n_fetches;
        KeyWaiter *waiters;
};

static uint64_t now_usec(clockid_t clock) {
        struct timespec now;
        clock_gettime(clock, &now);
        return (uint64_t) now.tv_sec * USEC_PER_SEC + (uint64_t) now.tv_nsec / NSEC_PER_USEC;
}

const JwkSet *key_cache_keys(const KeyCache *cache) {
        return cache->keys;
}

bool key_cache_may_fetch(const KeyCache *cache) {
        return cache->operation || cache->fetched_usec == 0 || now_usec(CLOCK_BOOTTIME) - cache->fetched_usec >= KEY_CACHE_REFETCH_USEC;
}

KeyCache *key_cache_free(KeyCache *cache) {
        if (!cache)
                return NULL;
        while (cache->waiters)
                key_waiter_cancel(cache->waiters);
        curl_job_cancel(cache->job);
        operation_free(cache->operation);
        jwk_set_free(cache->keys);
        sd_event_unref(cache->event);
        free(cache->base_url);
        free(cache);
        return NULL;
}

Err *key_cache_new(sd_event *event, CurlLoop *curl, const char *base_url, const TransportOptions *transport, KeyCache **ret) {
        _cleanup_(key_cache_freep) KeyCache *cache = calloc(1, sizeof(KeyCache));
        if (!cache)
                return err_oom();
        TRY(string_copy(base_url, &cache->base_url));
        cache->event = sd_event_ref(event);
        cache->curl = curl;
        cache->transport = transport;
        *ret = steal_ptr(&cache);
        return NULL;
}

/* Tells everybody who waited for the fetch that ended. Callbacks may start the next fetch and wait for that one, or cancel other waiters. */
static void tell_waiters(KeyCache *cache, uint64_t fetch, const Err *err) {
        for (;;) {
                KeyWaiter **place = &cache->waiters;
                while (*place && (*place)->fetch != fetch)
                        place = &(*place)->next;
                KeyWaiter *waiter = *place;
                if (!waiter)
                        return;
                *place = waiter->next;
                KeyWaiterCallback callback = waiter->callback;
                void *userdata = waiter->userdata;
                free(waiter);
                callback(userdata, err);
        }
}

static void on_answer(void *userdata, const Err *err, const HttpResponse *response) {
        KeyCache *cache = userdata;
        cache->job = NULL;
        if (err)
                operation_take_failure(cache->operation, err_copy(err));
        else
                operation_take_response(cache->operation, response, now_usec(CLOCK_REALTIME) / USEC_PER_SEC);

        _cleanup_(err_freep) Err *failure = NULL;
        if (operation_next(cache->operation) == OPERATION_DONE) {
                jwk_set_free(cache->keys);
                cache->keys = operation_take_certs(cache->operation);
                cache->fetched_usec = now_usec(CLOCK_BOOTTIME);
        } else {
                failure = err_wrap(operation_take_error(cache->operation), "fetching the token signing keys of %s", cache->base_url);
        }
        cache->operation = operation_free(cache->operation);
        tell_waiters(cache, cache->n_fetches, failure);
}

static Err *start_fetch(KeyCache *cache) {
        TRY(operation_new_certs(cache->base_url, &cache->operation));
        cache->n_fetches++;
        Err *err = operation_next(cache->operation) == OPERATION_SEND
                           ? curl_loop_start(cache->curl, operation_request(cache->operation), cache->transport, on_answer, cache, &cache->job)
                           : operation_take_error(cache->operation);
        if (err)
                cache->operation = operation_free(cache->operation);
        return err;
}

Err *key_cache_fetch(KeyCache *cache, KeyWaiterCallback callback, void *userdata, KeyWaiter **ret) {
        KeyWaiter *waiter = calloc(1, sizeof(KeyWaiter));
        if (!waiter)
                return err_oom();
        if (!cache->operation) {
                Err *err = start_fetch(cache);
                if (err) {
                        free(waiter);
                        return err;
                }
        }
        *waiter = (KeyWaiter) { cache, NULL, cache->n_fetches, callback, userdata };
        KeyWaiter **end = &cache->waiters;
        while (*end)
                end = &(*end)->next;
        *end = waiter;
        *ret = waiter;
        return NULL;
}

KeyWaiter *key_waiter_cancel(KeyWaiter *waiter) {
        if (!waiter)
                return NULL;
        for (KeyWaiter **place = &waiter->cache->waiters; *place; place = &(*place)->next)
                if (*place == waiter) {
                        *place = waiter->next;
                        break;
                }
        free(waiter);
        return NULL;
}
