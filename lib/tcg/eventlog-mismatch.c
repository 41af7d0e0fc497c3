/* See eventlog-mismatch.h. */
#include "tcg/eventlog-mismatch.h"

#include "base/writer.h"
#include "tcg/eventlog-digest.h"

/* One PCR on the way through the log. */
typedef struct Trail {
        uint64_t n_extends;
        uint64_t last;           /* event that extended it last */
        bool is_left;            /* it had the quoted value, and a later event changed that */
        uint64_t leaving;        /* which event */
        bool has_forged;         /* an event's data is not what its digest is of */
        uint64_t forged;
} Trail;

static Digest value_of(const EventLogReplay *replay, uint16_t alg, uint32_t pcr) {
        const PcrBank *bank = pcr_values_bank_const(&replay->pcrs, alg);
        return bank && (bank->mask >> pcr & 1) ? bank->values[pcr] : (Digest) { .alg = alg, .size = (uint16_t) hash_size(alg) };
}

static Err *check_data(const EventLogEvent *event, Trail *trail) {
        EventLogDigestCheck check;
        bool is_error_separator;
        TRY(eventlog_digest_check(event, &check));
        if (check != EVENTLOG_DIGEST_DIFFERS || trail->has_forged)
                return NULL;
        TRY(eventlog_digest_is_error_separator(event, &is_error_separator));
        trail->has_forged = !is_error_separator;
        trail->forged = event->number;
        return NULL;
}

static void follow(Trail *trail, const EventLogEvent *event, const Digest *before, const Digest *after, const Digest *quoted) {
        if (digest_equal(before, after))
                return;
        if (digest_equal(before, quoted) && !trail->is_left) {
                trail->is_left = true;
                trail->leaving = event->number;
        }
        trail->n_extends++;
        trail->last = event->number;
}

static Err *follow_log(Span input, const PcrBank *quoted, uint32_t mask, Trail trails[PCR_COUNT]) {
        _cleanup_(eventlog_freep) EventLog *log = NULL;
        EventLogReplay replay = { .startup_locality = -1 };
        TRY(eventlog_open(input, &log));
        for (;;) {
                EventLogReplay before = replay;
                EventLogEvent event;
                bool more;
                TRY(eventlog_replay_next(log, &replay, &event, &more));
                if (!more)
                        return NULL;
                if (event.pcr >= PCR_COUNT || !(mask >> event.pcr & 1))
                        continue;
                Digest old = value_of(&before, quoted->alg, event.pcr), new = value_of(&replay, quoted->alg, event.pcr);
                follow(&trails[event.pcr], &event, &old, &new, &quoted->values[event.pcr]);
                TRY(check_data(&event, &trails[event.pcr]));
        }
}

static void describe(Writer *out, unsigned pcr, const Trail *trail) {
        if (trail->n_extends == 0)
                writer_format(out, "the log has no event that extends PCR %u of this bank", pcr);
        else if (trail->is_left)
                writer_format(out, "PCR %u has the value before event %llu, so that event and what follows it were logged and not extended", pcr,
                              (unsigned long long) trail->leaving);
        else
                writer_format(out, "the log has no more events for PCR %u behind event %llu, the last of %llu, and at none of them it has that value", pcr,
                              (unsigned long long) trail->last, (unsigned long long) trail->n_extends);
        if (trail->has_forged)
                writer_format(out, " (event %llu has a digest that is not of its data)", (unsigned long long) trail->forged);
}

Err *eventlog_mismatch_describe(Span input, const PcrBank *quoted, uint32_t mask, char **ret) {
        _cleanup_writer_ Writer out = {};
        Trail trails[PCR_COUNT] = {};
        TRY(follow_log(input, quoted, mask, trails));
        const char *separator = "";
        for (unsigned pcr = 0; pcr < PCR_COUNT; pcr++) {
                if (!(mask >> pcr & 1))
                        continue;
                writer_string(&out, separator);
                describe(&out, pcr, &trails[pcr]);
                separator = "; ";
        }
        return writer_finish_string(&out, ret);
}
