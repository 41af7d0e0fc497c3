/* See retry.h. */
#include "client/retry.h"

#include <sys/random.h>

#define DOUBLINGS_MAX 20u

RetryPlan retry_plan_default(void) {
        return (RetryPlan) { .n_tries = 4, .delay_min_usec = 800 * USEC_PER_MSEC, .delay_max_usec = 60 * USEC_PER_SEC, .total_usec = 60 * USEC_PER_SEC };
}

bool retry_can_help(const Err *err) {
        switch ((int) err_code(err)) {
        case ERR_SERVICE_UNREACHABLE:
        case ERR_SERVICE_NAME_RESOLUTION:
        case ERR_SERVICE_UNAVAILABLE:
        case ERR_SERVICE_THROTTLED:
        case ERR_TIMEOUT:
        case ERR_CHALLENGE_INVALID:
                return true;
        default:
                return false;
        }
}

/* Without random bytes the longest pause is as good as any. */
static uint32_t kernel_random(void *userdata) {
        uint32_t random;
        return getrandom(&random, sizeof(random), GRND_NONBLOCK) == (ssize_t) sizeof(random) ? random : UINT32_MAX;
}

static uint64_t draw_delay(const Retry *retry) {
        const RetryPlan *plan = &retry->plan;
        uint64_t longest = plan->delay_min_usec, random = (plan->random ?: kernel_random)(plan->userdata);
        for (unsigned i = 1; i < MIN_OF(retry->n_tried, DOUBLINGS_MAX) && longest < plan->delay_max_usec; i++)
                longest *= 2;
        longest = MIN_OF(longest, plan->delay_max_usec);
        return (uint64_t) ((double) longest * (double) random / UINT32_MAX);
}

bool retry_next(Retry *retry, const Err *err, uint64_t *ret_delay_usec) {
        retry->n_tried++;
        if (retry->n_tried >= retry->plan.n_tries || !retry_can_help(err))
                return false;
        uint64_t delay_usec = MAX_OF(draw_delay(retry), err_retry_after(err));
        if (delay_usec > retry->plan.total_usec - retry->waited_usec)
                return false;
        retry->waited_usec += delay_usec;
        *ret_delay_usec = delay_usec;
        return true;
}
