/* See metrics.h. A metric family is written as OpenMetrics 1.0 "Overall Structure" has it: TYPE, UNIT, HELP, then all its samples together, and
 * "# EOF" as the last line. The table says what each profile contributes. */
#include "daemon/metrics.h"

#include <inttypes.h>

#include "base/writer.h"

typedef enum MetricKind { METRIC_NUMBER, METRIC_COUNTER, METRIC_TIMESTAMP } MetricKind;

typedef struct ProfileMetric {
        const char *name, *help;
        MetricKind kind;
        uint64_t (*get)(const ProfileStatus *status);
} ProfileMetric;

#define GETTER(function, expression)                                                                         \
        static uint64_t function(const ProfileStatus *status) {                                              \
                return expression;                                                                           \
        }
GETTER(get_attested, status->is_attested)
GETTER(get_expires, status->token_expires_usec)
GETTER(get_issued, status->token_issued_usec)
GETTER(get_last_success, status->last_success_usec)
GETTER(get_last_failure, status->last_failure_usec)
GETTER(get_next_attempt, status->next_attempt_usec)
GETTER(get_attempts, status->n_attempts)
GETTER(get_failures, status->n_failures)
GETTER(get_ima_entries, status->n_ima_entries)

static const ProfileMetric profile_metrics[] = {
        { "attestd_attested", "Whether a token is held that is valid now.", METRIC_NUMBER, get_attested },
        { "attestd_token_expires_timestamp_seconds", "When the token at hand expires.", METRIC_TIMESTAMP, get_expires },
        { "attestd_token_issued_timestamp_seconds", "When the token at hand was issued.", METRIC_TIMESTAMP, get_issued },
        { "attestd_last_success_timestamp_seconds", "When an attestation last succeeded.", METRIC_TIMESTAMP, get_last_success },
        { "attestd_last_failure_timestamp_seconds", "When an attestation last failed.", METRIC_TIMESTAMP, get_last_failure },
        { "attestd_next_attempt_timestamp_seconds", "When the next attestation is due.", METRIC_TIMESTAMP, get_next_attempt },
        { "attestd_attempts", "Attestations that were begun.", METRIC_COUNTER, get_attempts },
        { "attestd_failures", "Attestations that failed.", METRIC_COUNTER, get_failures },
        { "attestd_ima_entries", "Entries of the IMA list in the latest evidence.", METRIC_NUMBER, get_ima_entries },
};

static void write_family(Writer *w, const char *name, const char *type, const char *unit, const char *help) {
        writer_format(w, "# TYPE %s %s\n", name, type);
        if (unit)
                writer_format(w, "# UNIT %s %s\n", name, unit);
        writer_format(w, "# HELP %s %s\n", name, help);
}

/* OpenMetrics 1.0 ABNF escaped-string. */
static void write_escaped(Writer *w, const char *text) {
        for (; *text; text++) {
                if (*text == '\\' || *text == '"')
                        writer_u8(w, '\\');
                if (*text == '\n')
                        writer_string(w, "\\n");
                else
                        writer_u8(w, (uint8_t) *text);
        }
}

static void write_sample(Writer *w, const char *name, const char *suffix, const char *label, const char *value) {
        writer_format(w, "%s%s{%s=\"", name, suffix, label);
        write_escaped(w, value);
        writer_string(w, "\"} ");
}

static void write_seconds(Writer *w, uint64_t usec) {
        writer_format(w, "%" PRIu64 ".%06" PRIu64 "\n", usec / USEC_PER_SEC, usec % USEC_PER_SEC);
}

static void write_manager(Writer *w, const ManagerStatus *status) {
        write_family(w, "attestd_up", "gauge", NULL, "Whether the daemon's loop lives.");
        writer_format(w, "attestd_up %d\n", status->is_alive);
        write_family(w, "attestd_ready", "gauge", NULL, "Whether every profile holds a valid token.");
        writer_format(w, "attestd_ready %d\n", status->is_ready);
        write_family(w, "attestd_build", "info", NULL, "The version of attestd.");
        write_sample(w, "attestd_build", "_info", "version", status->version);
        writer_string(w, "1\n");

        static const char *const healths[] = { "ok", "stuck", "absent" };
        write_family(w, "attestd_tpm_health", "stateset", NULL, "Whether the TPM answers.");
        for (size_t i = 0; i < N_ELEMENTS(healths); i++) {
                write_sample(w, "attestd_tpm_health", "", "attestd_tpm_health", healths[i]);
                writer_format(w, "%d\n", string_equal(healths[i], status->tpm_health));
        }

        write_family(w, "attestd_clock_offset_seconds", "gauge", "seconds", "The service's clock less ours, as of its latest answer.");
        int64_t offset = status->clock_offset_usec;
        writer_format(w, "attestd_clock_offset_seconds %s", offset < 0 ? "-" : "");
        write_seconds(w, offset < 0 ? -(uint64_t) offset : (uint64_t) offset);
}

static void write_profile_metric(Writer *w, const ProfileMetric *metric, const ProfileStatus *profiles, size_t n_profiles) {
        write_family(w, metric->name, metric->kind == METRIC_COUNTER ? "counter" : "gauge", metric->kind == METRIC_TIMESTAMP ? "seconds" : NULL,
                     metric->help);
        for (size_t i = 0; i < n_profiles; i++) {
                uint64_t value = metric->get(&profiles[i]);
                if (metric->kind == METRIC_TIMESTAMP && value == 0)
                        continue;
                write_sample(w, metric->name, metric->kind == METRIC_COUNTER ? "_total" : "", "profile", profiles[i].name);
                if (metric->kind == METRIC_TIMESTAMP)
                        write_seconds(w, value);
                else
                        writer_format(w, "%" PRIu64 "\n", value);
        }
}

Err *metrics_render(const ManagerStatus *manager, const ProfileStatus *profiles, size_t n_profiles, char **ret) {
        _cleanup_writer_ Writer w = {};
        write_manager(&w, manager);
        for (size_t i = 0; i < N_ELEMENTS(profile_metrics); i++)
                write_profile_metric(&w, &profile_metrics[i], profiles, n_profiles);
        writer_string(&w, "# EOF\n");
        return writer_finish_string(&w, ret);
}
