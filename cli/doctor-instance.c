/* See doctor.h: the way to a profile's instance, and what it says. Message init is sent and the challenge thrown away: that shows the policy and the
 * credential without any evidence. */
#include <time.h>

#include "cli/credential.h"
#include "cli/doctor.h"
#include "client/driver.h"

#define TRANSFER_USEC (4 * USEC_PER_SEC)
#define REQUEST_KEY_BITS 2048
#define CREDENTIAL_BUDGET_USEC 1   /* a doctor shows what is, and waits for nothing that may pass */

static const char *const checks[] = { "name-resolution", "tls", "instance", "clock", "credential", "policy", NULL };

typedef struct Seen {
        uint64_t date_sec, local_sec;    /* of the first answer, and when it came */
        bool has_challenge;
} Seen;

static void note_date(void *userdata, uint64_t date_sec) {
        Seen *seen = userdata;
        if (seen->date_sec == 0)
                *seen = (Seen) { .date_sec = date_sec, .local_sec = (uint64_t) time(NULL) };
}

/* The challenge is here: that is all that we wanted. */
static Err *stop_at_quote(void *userdata, Span qualifying_data, Span challenge, Evidence **ret) {
        Seen *seen = userdata;
        seen->has_challenge = true;
        return err_new(ERR_CANCELLED, "enough was seen");
}

static TransportOptions transport_of(const Config *config) {
        return (TransportOptions) {
                .ca_file = config->ca_file,
                .ca_path = config->ca_path,
                .proxy = config->proxy,
                .connect_timeout_usec = MIN_OF(config->connect_timeout_usec, TRANSFER_USEC),
                .timeout_usec = MIN_OF(config->timeout_usec, TRANSFER_USEC),
        };
}

static Err *fetch_keys(const Config *config, const DriverCallbacks *callbacks) {
        const TransportOptions transport = transport_of(config);
        _cleanup_(operation_freep) Operation *operation = NULL;
        TRY(operation_new_certs(config->url, &operation));
        return driver_run(operation, &transport, callbacks);
}

static Err *ask_for_challenge(const Config *config, const char *authorization, const DriverCallbacks *callbacks) {
        const TransportOptions transport = transport_of(config);
        _cleanup_(operation_freep) Operation *operation = NULL;
        _cleanup_(pkey_freep) EVP_PKEY *key = NULL;
        TRY(jose_key_generate_rsa(REQUEST_KEY_BITS, &key));
        const AttestTpmOptions options = { .base_url = config->url, .api_version = config->api_version, .request_key = key, .authorization = authorization };
        TRY(operation_new_attest_tpm(&options, &operation));
        return driver_run(operation, &transport, callbacks);
}

/* The first three checks by what became of the first transfer: each is reached only past the one before. */
static bool judge_way(const Config *config, Err *steal_err, DoctorSink *sink) {
        ErrCode code = err_code(steal_err);
        if (code == ERR_SERVICE_NAME_RESOLUTION) {
                doctor_fail(sink, steal_err);
                return false;
        }
        doctor_report(sink, DOCTOR_OK, NULL, "the host in %s has an address", config->url);
        if (code == ERR_SERVICE_UNREACHABLE || code == ERR_TIMEOUT)
                doctor_report(sink, DOCTOR_SKIPPED, NULL, "there is no connection");
        else if (code == ERR_SERVICE_TLS) {
                doctor_fail(sink, steal_err);
                return false;
        } else
                doctor_report(sink, DOCTOR_OK, NULL, "the certificate is trusted and for that host");
        if (steal_err) {
                doctor_fail(sink, steal_err);
                return code != ERR_SERVICE_UNREACHABLE && code != ERR_TIMEOUT;
        }
        doctor_report(sink, DOCTOR_OK, NULL, "%s publishes its signing keys", config->url);
        return true;
}

static void judge_clock(const Config *config, const Seen *seen, DoctorSink *sink) {
        uint64_t offset = seen->date_sec > seen->local_sec ? seen->date_sec - seen->local_sec : seen->local_sec - seen->date_sec;
        const char *direction = seen->date_sec > seen->local_sec ? "behind" : "ahead of";
        if (seen->date_sec == 0)
                doctor_report(sink, DOCTOR_SKIPPED, NULL, "the service's answer has no Date");
        else if (offset > config->clock_skew_sec)
                doctor_report(sink, DOCTOR_FAILURE, "Set the clock (timedatectl); tokens are refused while it is wrong by more than ClockSkewSec=.",
                              "this clock is %llu s %s the service's", (unsigned long long) offset, direction);
        else if (offset > DOCTOR_CLOCK_WARNING_SEC)
                doctor_report(sink, DOCTOR_WARNING, "See whether time synchronisation runs (timedatectl).", "this clock is %llu s %s the service's",
                              (unsigned long long) offset, direction);
        else
                doctor_report(sink, DOCTOR_OK, NULL, "the same as the service's, to %llu s", (unsigned long long) offset);
}

/* False if there is none to go on with. Whether the service takes it, the next check shows. */
static bool judge_credential(const Config *config, char **ret_authorization, DoctorSink *sink) {
        const TransportOptions transport = transport_of(config);
        Err *err = cli_credential_get(config, &transport, CREDENTIAL_BUDGET_USEC, ret_authorization);
        if (err) {
                doctor_fail(sink, err);
                return false;
        }
        doctor_report(sink, DOCTOR_OK, NULL, *ret_authorization ? "there is an access token for the service" : "none is configured; requests go without");
        return true;
}

static void judge_policy(const Seen *seen, Err *steal_err, DoctorSink *sink) {
        if (seen->has_challenge) {
                err_free(steal_err);
                doctor_report(sink, DOCTOR_OK, NULL, "a policy for TPM evidence is set: the instance gives challenges");
        } else
                doctor_fail(sink, steal_err ? steal_err : err_new(ERR_INTERNAL, "the conversation ended before the challenge"));
}

static void run_instance(const DoctorContext *context, DoctorSink *sink) {
        const Config *config = context->config;
        Seen seen = {};
        _cleanup_authorization_ char *authorization = NULL;
        const DriverCallbacks callbacks = { .quote = stop_at_quote, .date_seen = note_date, .userdata = &seen };
        if (!config->url) {
                doctor_fail(sink, err_new(ERR_CONFIG_MISSING, "[Instance] Url= is not set"));
                doctor_skip_rest(sink, "there is no instance to look at");
                return;
        }
        if (!judge_way(config, fetch_keys(config, &callbacks), sink)) {
                doctor_skip_rest(sink, "because of the failure before");
                return;
        }
        judge_clock(config, &seen, sink);
        if (!judge_credential(config, &authorization, sink)) {
                doctor_skip_rest(sink, "because of the failure before");
                return;
        }
        judge_policy(&seen, ask_for_challenge(config, authorization, &callbacks), sink);
}

const DoctorGroup doctor_instance_group = { checks, run_instance };
