/* The access token of one profile: had when it is first needed, kept in memory alone, renewed before it ends. Sessions that want one while it is fetched wait for
 * that fetch, so there is never more than one request for it. */
#pragma once

#include "config/config.h"
#include "daemon/curl-loop.h"

/* The longest that a fetch takes, on top of the time of its requests. */
#define CREDENTIAL_CACHE_BUDGET_USEC CREDENTIAL_BUDGET_USEC_DEFAULT

typedef struct CredentialCache CredentialCache;
/* All are borrowed and must outlive the cache. A configuration that cannot be used is an error of each fetch. */
Err *credential_cache_new(sd_event *event, CurlLoop *curl, const Config *config, const TransportOptions *transport, CredentialCache **ret) _must_check_;
CredentialCache *credential_cache_free(CredentialCache *cache);
DEFINE_CLEANUP(CredentialCache, credential_cache_free)

/* Is a token at hand that needs no renewal, or none needed at all? Then there is no need to wait for a fetch. */
bool credential_cache_is_ready(const CredentialCache *cache);
/* "Bearer …", or NULL if none is needed. Borrowed until the next return to the loop. */
const char *credential_cache_authorization(const CredentialCache *cache);
/* The service refused the token (401): the next session gets another one. */
void credential_cache_forget(CredentialCache *cache);

typedef struct CredentialWaiter CredentialWaiter;
/* err NULL: a token is at hand, be it the old one, where the new one was not to be had. From the loop; the waiter is gone when it returns. */
typedef void (*CredentialWaiterCallback)(void *userdata, const Err *err);
Err *credential_cache_fetch(CredentialCache *cache, CredentialWaiterCallback callback, void *userdata, CredentialWaiter **ret) _must_check_;
CredentialWaiter *credential_waiter_cancel(CredentialWaiter *waiter);
