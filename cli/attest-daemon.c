/* See attest.h. The call is asynchronous so that the profile's PropertiesChanged can be shown while it is under way. */
#include <errno.h>

#include "cli/attest.h"
#include "cli/bus-json.h"
#include "cli/daemon-client.h"

#define REPLY_SLACK_USEC (30 * USEC_PER_SEC)   /* the daemon keeps the timeout itself and says more; one attempt may overrun it */

typedef struct DaemonAttest {
        Progress *progress;
        bool is_done;
        Err *err;
        AttestOutcome outcome;
} DaemonAttest;

static void daemon_attest_done(DaemonAttest *attest) {
        attest->err = err_free(attest->err);
        attest_outcome_done(&attest->outcome);
}

/* PropertiesChanged(s interface, a{sv} changed, as invalidated) */
static int on_properties(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        DaemonAttest *attest = userdata;
        _cleanup_json_ Json *changed = NULL;
        const char *interface;
        if (sd_bus_message_read(message, "s", &interface) < 0 || !string_equal(interface, DAEMON_PROFILE))
                return 0;
        Err *err = json_new_object(&changed);
        if (!err)
                err = bus_json_read_properties(message, changed);
        if (!err && json_get(changed, "State"))
                progress_enter(attest->progress, property_string(changed, "State"));
        err_free(err);   /* progress alone is lost */
        return 0;
}

/* (s token, a{sv} info) */
static Err *read_reply(sd_bus_message *reply, AttestOutcome *ret) {
        _cleanup_json_ Json *info = NULL;
        const char *token;
        TRY(daemon_message_check(sd_bus_message_read(reply, "s", &token)));
        TRY(bus_json_read(reply, &info));
        TRY(string_copy(token, &ret->token));
        TRY(string_copy(property_string(info, "instance"), &ret->instance));
        ret->issued_sec = property_u64(info, "issued") / USEC_PER_SEC;
        ret->expires_sec = property_u64(info, "expires") / USEC_PER_SEC;
        ret->n_attempts = property_u64(info, "attempts");
        return NULL;
}

static int on_reply(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        DaemonAttest *attest = userdata;
        const sd_bus_error *failure = sd_bus_message_get_error(reply);
        int code = failure ? -sd_bus_message_get_errno(reply) : 0;
        attest->is_done = true;
        attest->err = failure ? daemon_error(failure, code == -ETIMEDOUT ? code : 0) : read_reply(reply, &attest->outcome);
        return 0;
}

static Err *subscribe(sd_bus *bus, const char *profile, DaemonAttest *attest) {
        _cleanup_free_ char *path = NULL;
        if (!attest->progress->is_shown)
                return NULL;
        TRY(daemon_profile_path(bus, profile, &path));
        int r = sd_bus_match_signal(bus, NULL, DAEMON_NAME, path, "org.freedesktop.DBus.Properties", "PropertiesChanged", on_properties, attest);
        return r < 0 ? err_wrap(daemon_error(NULL, r), "subscribing to signals of attestd") : NULL;
}

static Err *send_call(sd_bus *bus, const AttestCommand *command, uint64_t timeout_usec, DaemonAttest *attest) {
        _cleanup_bus_message_ sd_bus_message *call = NULL;
        uint64_t timeout_sec = MIN_OF((timeout_usec + USEC_PER_SEC - 1) / USEC_PER_SEC, (uint64_t) UINT32_MAX);
        TRY(daemon_call_new(bus, DAEMON_PATH, DAEMON_MANAGER, "Attest", &call));
        TRY(daemon_message_check(sd_bus_message_append(call, "s", command->common.profile)));
        TRY(daemon_message_check(sd_bus_message_append_array(call, 'y', command->nonce.data, command->nonce.size)));
        TRY(daemon_message_check(sd_bus_message_append(call, "a{sv}", 1, "timeout-sec", "u", (uint32_t) timeout_sec)));
        int r = sd_bus_call_async(bus, NULL, call, on_reply, attest, timeout_sec * USEC_PER_SEC + REPLY_SLACK_USEC);
        return r < 0 ? daemon_error(NULL, r) : NULL;
}

Err *attest_by_daemon(const AttestCommand *command, Progress *progress, AttestOutcome *ret) {
        _cleanup_bus_ sd_bus *bus = NULL;
        _cleanup_(daemon_attest_done) DaemonAttest attest = { .progress = progress };
        uint64_t timeout_usec = command->common.has_timeout ? command->common.timeout_usec : ATTEST_TIMEOUT_USEC;
        TRY(daemon_connect(command->common.user_bus, &bus));
        TRY(subscribe(bus, command->common.profile, &attest));
        TRY(send_call(bus, command, timeout_usec, &attest));
        while (!attest.is_done) {
                int r = sd_bus_process(bus, NULL);
                if (r == 0)
                        r = sd_bus_wait(bus, USEC_INFINITY);
                if (r < 0 && r != -EINTR)
                        return daemon_error(NULL, r);
        }
        progress_enter(progress, attest.err ? "failed" : "attested");
        TRY(steal_ptr(&attest.err));
        *ret = attest.outcome;
        attest.outcome = (AttestOutcome) {};
        return NULL;
}
