/* The token signing keys of one instance: fetched from its /certs, kept, refetched when a token names an unknown key, but at most once a minute. Requests that come
 * while a fetch is under way wait for that one. */
#pragma once

#include "daemon/curl-loop.h"

#define KEY_CACHE_REFETCH_USEC (60 * USEC_PER_SEC)

typedef struct KeyCache KeyCache;
/* transport is borrowed and must outlive the cache. */
Err *key_cache_new(sd_event *event, CurlLoop *curl, const char *base_url, const TransportOptions *transport, KeyCache **ret) _must_check_;
KeyCache *key_cache_free(KeyCache *cache);
DEFINE_CLEANUP(KeyCache, key_cache_free)
/* NULL until fetched once. Borrowed until the next return to the loop. */
const JwkSet *key_cache_keys(const KeyCache *cache);
/* May a fetch be made now, or was the last one too recent? */
bool key_cache_may_fetch(const KeyCache *cache);

typedef struct KeyWaiter KeyWaiter;
typedef void (*KeyWaiterCallback)(void *userdata, const Err *err);
Err *key_cache_fetch(KeyCache *cache, KeyWaiterCallback callback, void *userdata, KeyWaiter **ret) _must_check_;
KeyWaiter *key_waiter_cancel(KeyWaiter *waiter);
