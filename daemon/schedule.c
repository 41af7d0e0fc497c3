/* See schedule.h. */
#include "daemon/schedule.h"

#define IMPATIENT_MIN_USEC (250 * USEC_PER_MSEC)
#define IMPATIENT_MAX_USEC (4 * USEC_PER_SEC)

/* Uniform in [low, high]. */
static uint64_t pick_between(uint64_t low, uint64_t high, uint64_t random) {
        if (high <= low)
                return low;
        return low + random % (high - low + 1);
}

/* base * 2^(n-1), at most max. */
static uint64_t grow(uint64_t base, uint64_t max, uint64_t n) {
        uint64_t span = base;
        for (uint64_t i = 1; i < n && span < max; i++)
                if (__builtin_mul_overflow(span, 2, &span))
                        return max;
        return MIN_OF(span, max);
}

uint64_t schedule_renew_at(const Config *config, uint64_t issued_usec, uint64_t expires_usec, uint64_t random) {
        if (expires_usec <= issued_usec)
                return issued_usec;
        uint64_t percent = (expires_usec - issued_usec) / 100;
        return issued_usec + pick_between(percent * config->renew_min_percent, percent * config->renew_max_percent, random);
}

uint64_t schedule_retry_delay(const Config *config, const Err *err, uint64_t n_failures_in_row, uint64_t random) {
        uint64_t max = MAX_OF(config->retry_max_usec, config->retry_min_usec);
        uint64_t asked = MIN_OF(err_retry_after(err), max);
        if (err_code_info(err_code(err))->retry != ERR_RETRY_TRANSIENT)
                return MAX_OF(asked, pick_between(max / 2, max, random));
        uint64_t span = grow(MAX_OF(config->retry_min_usec, (uint64_t) 1), max, n_failures_in_row);
        return MAX_OF(asked, pick_between(MIN_OF(config->retry_min_usec, span) / 2, span, random));
}

uint64_t schedule_splay(const Config *config, uint64_t random) {
        return pick_between(0, config->splay_usec, random);
}

uint64_t schedule_impatient_delay(const Err *err, uint64_t n_failures_in_row, uint64_t random) {
        uint64_t span = grow(IMPATIENT_MIN_USEC, IMPATIENT_MAX_USEC, n_failures_in_row);
        return MAX_OF(err_retry_after(err), pick_between(IMPATIENT_MIN_USEC / 2, span, random));
}
