/* The steps of an attestation on standard error, each with the time that it took, while it happens. Silent where standard error is no terminal. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct Progress {
        bool is_shown;
        char step[32];          /* under way; "" for none */
        uint64_t begin_usec;    /* CLOCK_MONOTONIC */
} Progress;

Progress progress_begin(void);
/* step is a session state's name. The same step again changes nothing; idle, attested, failed and cancelled end the step before them. */
void progress_enter(Progress *progress, const char *step);
