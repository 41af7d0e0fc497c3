/* attestd over D-Bus, as its clients see it: org.attestd1(5). Blocking calls.
 *
 * Errors of the daemon come back under their own code. Everything that means "nobody answers" (no bus, no such name, the daemon went away) is NOT_RUNNING; a
 * refusal by the bus or the daemon is ACCESS_DENIED. */
#pragma once

#include <systemd/sd-bus.h>

#include "base/json.h"

#define DAEMON_NAME "org.attestd1"
#define DAEMON_PATH "/org/attestd1"
#define DAEMON_MANAGER "org.attestd1.Manager"
#define DAEMON_PROFILE "org.attestd1.Profile"
#define DAEMON_CALL_USEC (25 * USEC_PER_SEC)   /* what calls may take that the daemon answers at once */

static inline void bus_closep(sd_bus **bus) {
        *bus = sd_bus_close_unref(*bus);
}
static inline void bus_message_unrefp(sd_bus_message **message) {
        *message = sd_bus_message_unref(*message);
}
#define _cleanup_bus_ _cleanup_(bus_closep)
#define _cleanup_bus_message_ _cleanup_(bus_message_unrefp)

/* The system's bus, or the user's. Error: NOT_RUNNING. */
Err *daemon_connect(bool user_bus, sd_bus **ret) _must_check_;
/* As daemon_connect(), but the system's bus may appear as late as deadline_usec (CLOCK_MONOTONIC). Errors: TIMEOUT, NOT_RUNNING. */
Err *daemon_connect_wait(bool user_bus, uint64_t deadline_usec, sd_bus **ret) _must_check_;
/* What a failed call (r < 0; error as filled in by sd-bus) or an error reply (r 0) means. */
Err *daemon_error(const sd_bus_error *error, int r) _must_check_ _returns_nonnull_;

Err *daemon_call_new(sd_bus *bus, const char *path, const char *interface, const char *member, sd_bus_message **ret) _must_check_;
/* timeout_usec 0: what sd_bus_set_method_call_timeout() was given for this bus, at first DAEMON_CALL_USEC. */
Err *daemon_call_send(sd_bus *bus, sd_bus_message *call, uint64_t timeout_usec, sd_bus_message **ret_reply) _must_check_;
/* For what sd_bus_message_* returned while a call was filled in or a reply read. */
Err *daemon_message_check(int r) _must_check_;

/* "": the first profile. Errors: NO_SUCH_PROFILE and those above. */
Err *daemon_profile_path(sd_bus *bus, const char *name, char **ret) _must_check_;
Err *daemon_get_properties(sd_bus *bus, const char *path, const char *interface, Json **ret) _must_check_;
/* All properties, in the shape of GET /v1/status: the manager's, and "profiles" with those of each. */
Err *daemon_get_status(sd_bus *bus, Json **ret) _must_check_;
Err *daemon_get_token(sd_bus *bus, const char *profile, uint32_t min_remaining_sec, char **ret) _must_check_;

/* A proof of possession over payload, see maa/proof.h. */
Err *daemon_sign(sd_bus *bus, const char *profile, Span payload, char **ret_jws) _must_check_;

/* The daemon's verdict by the profile's rules: *ret_reason NULL for a valid token, else the rule that failed. token has a NUL behind it. */
Err *daemon_validate_token(sd_bus *bus, const char *profile, const Bytes *token, Err **ret_reason) _must_check_;

/* Typed getters with a default where the property is absent or of another type: an older daemon may lack it. */
const char *property_string(const Json *properties, const char *name);
bool property_boolean(const Json *properties, const char *name);
uint64_t property_u64(const Json *properties, const char *name);
int64_t property_i64(const Json *properties, const char *name);
