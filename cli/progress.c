/* See progress.h. */
#include "cli/progress.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "cli/format.h"

static uint64_t monotonic_usec(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t) now.tv_sec * USEC_PER_SEC + (uint64_t) now.tv_nsec / NSEC_PER_USEC;
}

Progress progress_begin(void) {
        return (Progress) { .is_shown = isatty(STDERR_FILENO) };
}

static bool is_step(const char *state) {
        static const char *const ends[] = { "", "idle", "attested", "failed", "cancelled" };
        for (size_t i = 0; i < N_ELEMENTS(ends); i++)
                if (string_equal(state, ends[i]))
                        return false;
        return true;
}

void progress_enter(Progress *progress, const char *step) {
        char buffer[FORMAT_SIZE];
        uint64_t now = monotonic_usec();
        if (!progress->is_shown || string_equal(progress->step, step))
                return;
        if (is_step(progress->step))
                fprintf(stderr, "%8s%s\n", format_duration(now - progress->begin_usec, buffer), string_equal(step, "failed") ? "  failed" : "");
        snprintf(progress->step, sizeof(progress->step), "%s", step);
        progress->begin_usec = now;
        if (is_step(step))
                fprintf(stderr, "  %-11s", step);
        fflush(stderr);
}
