/* When to attest next: pure arithmetic over times and random numbers that the caller brings. */
#pragma once

#include "config/config.h"

/* A random point between RenewAt='s two percentages of the token's life. All realtime microseconds. random is uniform over 64 bits. */
uint64_t schedule_renew_at(const Config *config, uint64_t issued_usec, uint64_t expires_usec, uint64_t random);
/* How long to wait after the n-th failure in a row (n ≥ 1): full jitter over an exponentially growing span between RetryMinSec= and RetryMaxSec=. Errors that
 * somebody has to mend start at the slow end. Retry-After is honoured up to RetryMaxSec=. */
uint64_t schedule_retry_delay(const Config *config, const Err *err, uint64_t n_failures_in_row, uint64_t random);
/* A random delay of at most SplaySec= before the first attempt. */
uint64_t schedule_splay(const Config *config, uint64_t random);
/* Delay between attempts of a waiting caller: short, growing, full jitter. */
uint64_t schedule_impatient_delay(const Err *err, uint64_t n_failures_in_row, uint64_t random);
