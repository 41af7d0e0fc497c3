/* See format.h. */
#include "cli/format.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/writer.h"
#include "tcg/evidence.h"

const char *format_duration(uint64_t usec, char buffer[FORMAT_SIZE]) {
        static const struct {
                uint64_t sec;
                const char *big, *small;
                uint64_t small_sec;
        } units[] = { { 86400, "d", "h", 3600 }, { 3600, "h", "min", 60 }, { 60, "min", "s", 1 } };
        uint64_t sec = usec / USEC_PER_SEC;
        for (size_t i = 0; i < N_ELEMENTS(units); i++) {
                uint64_t rest = sec % units[i].sec / units[i].small_sec;
                if (sec < units[i].sec)
                        continue;
                if (rest == 0)
                        snprintf(buffer, FORMAT_SIZE, "%" PRIu64 " %s", sec / units[i].sec, units[i].big);
                else
                        snprintf(buffer, FORMAT_SIZE, "%" PRIu64 " %s %" PRIu64 " %s", sec / units[i].sec, units[i].big, rest, units[i].small);
                return buffer;
        }
        if (sec >= 10)
                snprintf(buffer, FORMAT_SIZE, "%" PRIu64 " s", sec);
        else if (sec >= 1)
                snprintf(buffer, FORMAT_SIZE, "%" PRIu64 ".%" PRIu64 " s", sec, usec % USEC_PER_SEC / 100000);
        else if (usec >= USEC_PER_MSEC)
                snprintf(buffer, FORMAT_SIZE, "%" PRIu64 " ms", usec / USEC_PER_MSEC);
        else
                snprintf(buffer, FORMAT_SIZE, "%" PRIu64 " us", usec);
        return buffer;
}

const char *format_relative(uint64_t when_usec, uint64_t now_usec, char buffer[FORMAT_SIZE]) {
        char duration[FORMAT_SIZE];
        bool is_past = when_usec <= now_usec;
        uint64_t distance = is_past ? now_usec - when_usec : when_usec - now_usec;
        if (when_usec == 0)
                snprintf(buffer, FORMAT_SIZE, "never");
        else if (distance < USEC_PER_SEC)
                snprintf(buffer, FORMAT_SIZE, "now");
        else
                snprintf(buffer, FORMAT_SIZE, is_past ? "%.50s ago" : "in %.50s", format_duration(distance - distance % USEC_PER_SEC, duration));
        return buffer;
}

const char *format_time(uint64_t when_usec, char buffer[FORMAT_SIZE]) {
        time_t seconds = (time_t) (when_usec / USEC_PER_SEC);
        struct tm parts;
        if (when_usec == 0)
                snprintf(buffer, FORMAT_SIZE, "never");
        else if (!localtime_r(&seconds, &parts) || strftime(buffer, FORMAT_SIZE, "%Y-%m-%d %H:%M:%S %Z", &parts) == 0)
                snprintf(buffer, FORMAT_SIZE, "@%" PRIu64, when_usec / USEC_PER_SEC);
        return buffer;
}

Err *format_verdicts(const Json *verdicts, char **ret) {
        static const PcrVerdict shown[] = { PCR_REPLAYED, PCR_UNEXPLAINED, PCR_UNUSED };
        _cleanup_writer_ Writer writer = {};
        for (size_t i = 0; i < N_ELEMENTS(shown); i++) {
                uint32_t mask = 0;
                const char *name = pcr_verdict_to_string(shown[i]);
                for (unsigned pcr = 0; pcr < PCR_COUNT; pcr++) {
                        char number[16];
                        const char *verdict;
                        snprintf(number, sizeof(number), "%u", pcr);
                        TRY(json_get_string_optional(verdicts, number, &verdict));
                        if (verdict && string_equal(verdict, name))
                                mask |= UINT32_C(1) << pcr;
                }
                _cleanup_free_ char *list = NULL;
                TRY(pcr_mask_to_string(mask, &list));
                if (mask)
                        writer_format(&writer, "%s%s %s", writer.output.size > 0 ? "; " : "", name, list);
        }
        return writer_finish_string(&writer, ret);
}

const char *format_state_colour(const char *state, bool use_colour) {
        static const struct {
                const char *state, *colour;
        } colours[] = {
                { "attested", "\x1b[32m" }, { "ok", "\x1b[32m" },
                { "degraded", "\x1b[33m" }, { "starting", "\x1b[33m" }, { "stuck", "\x1b[31m" },
                { "failed", "\x1b[31m" }, { "absent", "\x1b[31m" },
        };
        for (size_t i = 0; use_colour && i < N_ELEMENTS(colours); i++)
                if (string_equal(state, colours[i].state))
                        return colours[i].colour;
        return "";
}

const char *format_colour_end(bool use_colour) {
        return use_colour ? "\x1b[0m" : "";
}
