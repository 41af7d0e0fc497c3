/* Whether, when and how often an operation tries again: a plan as a value, and what has been used of it. No clock, no sleep.
 *
 * The n-th pause is drawn evenly from 0 to delay_min * 2^(n-1), at most delay_max ("full jitter", so that machines that failed together do not come back
 * together), and is no shorter than what the service asked for (Retry-After in seconds or as a date, retry-after-ms, x-ms-retry-after-ms; see maa/http.h).
 * A pause that the plan has no time for is not begun: then the error is the answer. */
#pragma once

#include "base/error.h"

typedef struct RetryPlan {
        unsigned n_tries;                      /* in all; 0 and 1: nothing is tried again */
        uint64_t delay_min_usec, delay_max_usec;
        uint64_t total_usec;                   /* of all pauses */
        uint32_t (*random)(void *userdata);    /* any number as likely as any other; NULL: the kernel's */
        void *userdata;
} RetryPlan;

/* Four tries, from 0.8 s on, at most 60 s in all: what the service's own client libraries do. */
RetryPlan retry_plan_default(void);

typedef struct Retry {
        RetryPlan plan;
        unsigned n_tried;
        uint64_t waited_usec;
} Retry;

/* Can another try help? The network, 408, 429, 5xx, and a challenge that was spent. */
bool retry_can_help(const Err *err);
/* Counts a try that failed with err. True: wait that long, then try again. */
bool retry_next(Retry *retry, const Err *err, uint64_t *ret_delay_usec);
