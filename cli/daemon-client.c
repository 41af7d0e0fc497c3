/* See daemon-client.h. */
#include "cli/daemon-client.h"

#include <errno.h>
#include <time.h>

#include "cli/bus-json.h"

#define VALIDATE_USEC (120 * USEC_PER_SEC)   /* the daemon may have to fetch keys first */
#define SIGN_USEC (90 * USEC_PER_SEC)       /* two calls of the collector may stand before it */

static const char *bus_word(bool user_bus) {
        return user_bus ? "user" : "system";
}

Err *daemon_connect(bool user_bus, sd_bus **ret) {
        _cleanup_bus_ sd_bus *bus = NULL;
        int r = user_bus ? sd_bus_open_user(&bus) : sd_bus_open_system(&bus);
        if (r >= 0)
                r = sd_bus_set_method_call_timeout(bus, DAEMON_CALL_USEC);
        if (r < 0)
                return err_new_errno(ERR_NOT_RUNNING, r, "connecting to the %s bus", bus_word(user_bus));
        *ret = steal_ptr(&bus);
        return NULL;
}

static uint64_t monotonic_usec(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t) now.tv_sec * USEC_PER_SEC + (uint64_t) now.tv_nsec / NSEC_PER_USEC;
}

/* The system's bus with sd-bus watching for its socket. */
static int open_watching(sd_bus **ret) {
        _cleanup_bus_ sd_bus *bus = NULL;
        const char *address = getenv("DBUS_SYSTEM_BUS_ADDRESS");
        int r = sd_bus_new(&bus);
        if (r >= 0)
                r = sd_bus_set_address(bus, address ? address : "unix:path=/run/dbus/system_bus_socket");
        if (r >= 0)
                r = sd_bus_set_bus_client(bus, true);
        if (r >= 0)
                r = sd_bus_set_watch_bind(bus, true);
        if (r >= 0)
                r = sd_bus_start(bus);
        if (r >= 0)
                *ret = steal_ptr(&bus);
        return r;
}

Err *daemon_connect_wait(bool user_bus, uint64_t deadline_usec, sd_bus **ret) {
        _cleanup_bus_ sd_bus *bus = NULL;
        int r;
        Err *absent = daemon_connect(user_bus, ret);
        if (!absent || user_bus)
                return absent;
        err_free(absent);
        for (r = open_watching(&bus); r >= 0 && (r = sd_bus_is_ready(bus)) == 0;) {
                uint64_t now = monotonic_usec();
                if (now >= deadline_usec)
                        return err_new(ERR_TIMEOUT, "the %s bus did not appear", bus_word(user_bus));
                r = sd_bus_process(bus, NULL);
                if (r == 0)
                        r = sd_bus_wait(bus, deadline_usec == USEC_INFINITY ? USEC_INFINITY : deadline_usec - now);
                if (r == -EINTR)
                        r = 0;
        }
        if (r < 0)
                return err_new_errno(ERR_NOT_RUNNING, r, "connecting to the %s bus", bus_word(user_bus));
        *ret = steal_ptr(&bus);
        return NULL;
}

/* Names of the D-Bus specification, and how sd-bus names errno values that it puts into an error. */
static ErrCode code_of_name(const char *name) {
        static const struct {
                const char *name;
                ErrCode code;
        } names[] = {
                { "org.freedesktop.DBus.Error.ServiceUnknown", ERR_NOT_RUNNING },
                { "org.freedesktop.DBus.Error.NameHasNoOwner", ERR_NOT_RUNNING },
                { "org.freedesktop.DBus.Error.NoReply", ERR_NOT_RUNNING },
                { "org.freedesktop.DBus.Error.NoServer", ERR_NOT_RUNNING },
                { "org.freedesktop.DBus.Error.Disconnected", ERR_NOT_RUNNING },
                { "org.freedesktop.DBus.Error.Timeout", ERR_TIMEOUT },
                { "org.freedesktop.DBus.Error.TimedOut", ERR_TIMEOUT },
                { "org.freedesktop.DBus.Error.AccessDenied", ERR_ACCESS_DENIED },
                { "org.freedesktop.DBus.Error.AuthFailed", ERR_ACCESS_DENIED },
                { "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", ERR_ACCESS_DENIED },
                { "org.freedesktop.DBus.Error.NoMemory", ERR_NO_MEMORY },
                { "org.freedesktop.DBus.Error.LimitsExceeded", ERR_LIMIT_EXCEEDED },
                { "org.freedesktop.DBus.Error.InvalidArgs", ERR_INVALID_ARGUMENT },
        };
        for (size_t i = 0; i < N_ELEMENTS(names); i++)
                if (string_equal(name, names[i].name))
                        return names[i].code;
        return ERR_BUS_FAILED;
}

static bool is_gone(int r) {
        return r == -ECONNRESET || r == -ENOTCONN || r == -EPIPE || r == -ECONNREFUSED || r == -ESHUTDOWN;
}

Err *daemon_error(const sd_bus_error *error, int r) {
        if (r == -ETIMEDOUT)
                return err_new(ERR_TIMEOUT, "attestd did not answer in time");
        if (is_gone(r))
                return err_new_errno(ERR_NOT_RUNNING, r, "the bus closed the connection");
        if (!error || !error->name)
                return err_new_errno(ERR_BUS_FAILED, r, "a D-Bus call");
        const char *message = error->message ? error->message : error->name;
        if (strncmp(error->name, ERR_DBUS_PREFIX, strlen(ERR_DBUS_PREFIX)) == 0)
                return err_new(err_code_from_name(error->name), "%s", message);
        ErrCode code = code_of_name(error->name);
        if (code == ERR_NOT_RUNNING)
                return err_new(code, "attestd is not on the bus: %s", message);
        if (code == ERR_BUS_FAILED)
                return err_new(code, "%s: %s", error->name, message);
        return err_new(code, "%s", message);
}

Err *daemon_message_check(int r) {
        return r < 0 ? err_new_errno(ERR_BUS_FAILED, r, "a D-Bus message") : NULL;
}

Err *daemon_call_new(sd_bus *bus, const char *path, const char *interface, const char *member, sd_bus_message **ret) {
        return daemon_message_check(sd_bus_message_new_method_call(bus, ret, DAEMON_NAME, path, interface, member));
}

Err *daemon_call_send(sd_bus *bus, sd_bus_message *call, uint64_t timeout_usec, sd_bus_message **ret_reply) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        int r = sd_bus_call(bus, call, timeout_usec, &error, ret_reply);
        return r < 0 ? daemon_error(&error, r) : NULL;
}

Err *daemon_profile_path(sd_bus *bus, const char *name, char **ret) {
        _cleanup_bus_message_ sd_bus_message *call = NULL, *reply = NULL;
        const char *path;
        TRY(daemon_call_new(bus, DAEMON_PATH, DAEMON_MANAGER, "GetProfile", &call));
        TRY(daemon_message_check(sd_bus_message_append(call, "s", name)));
        TRY(daemon_call_send(bus, call, /* timeout_usec= */ 0, &reply));
        TRY(daemon_message_check(sd_bus_message_read(reply, "o", &path)));
        return string_copy(path, ret);
}

Err *daemon_get_properties(sd_bus *bus, const char *path, const char *interface, Json **ret) {
        _cleanup_bus_message_ sd_bus_message *call = NULL, *reply = NULL;
        _cleanup_json_ Json *json = NULL;
        TRY(daemon_call_new(bus, path, "org.freedesktop.DBus.Properties", "GetAll", &call));
        TRY(daemon_message_check(sd_bus_message_append(call, "s", interface)));
        TRY(daemon_call_send(bus, call, /* timeout_usec= */ 0, &reply));
        TRY(json_new_object(&json));
        TRY(bus_json_read_properties(reply, json));
        *ret = steal_ptr(&json);
        return NULL;
}

static Err *add_profiles(sd_bus *bus, sd_bus_message *list, Json *profiles) {
        const char *name, *path;
        int r = sd_bus_message_enter_container(list, 'a', "(so)");
        while (r >= 0 && (r = sd_bus_message_read(list, "(so)", &name, &path)) > 0) {
                Json *properties;
                TRY(daemon_get_properties(bus, path, DAEMON_PROFILE, &properties));
                TRY(json_add(profiles, name, properties));
        }
        return daemon_message_check(r);
}

Err *daemon_get_status(sd_bus *bus, Json **ret) {
        _cleanup_bus_message_ sd_bus_message *call = NULL, *reply = NULL;
        _cleanup_json_ Json *json = NULL;
        Json *profiles;
        TRY(daemon_get_properties(bus, DAEMON_PATH, DAEMON_MANAGER, &json));
        TRY(daemon_call_new(bus, DAEMON_PATH, DAEMON_MANAGER, "ListProfiles", &call));
        TRY(daemon_call_send(bus, call, /* timeout_usec= */ 0, &reply));
        TRY(json_new_object(&profiles));
        TRY(json_add(json, "profiles", profiles));
        TRY(add_profiles(bus, reply, profiles));
        *ret = steal_ptr(&json);
        return NULL;
}

Err *daemon_get_token(sd_bus *bus, const char *profile, uint32_t min_remaining_sec, char **ret) {
        _cleanup_bus_message_ sd_bus_message *call = NULL, *reply = NULL;
        _cleanup_free_ char *path = NULL;
        const char *token;
        TRY(daemon_profile_path(bus, profile, &path));
        TRY(daemon_call_new(bus, path, DAEMON_PROFILE, "GetToken", &call));
        TRY(daemon_message_check(min_remaining_sec > 0 ? sd_bus_message_append(call, "a{sv}", 1, "min-remaining-sec", "u", min_remaining_sec)
                                                       : sd_bus_message_append(call, "a{sv}", 0)));
        TRY(daemon_call_send(bus, call, /* timeout_usec= */ 0, &reply));
        TRY(daemon_message_check(sd_bus_message_read(reply, "s", &token)));
        return string_copy(token, ret);
}

Err *daemon_sign(sd_bus *bus, const char *profile, Span payload, char **ret_jws) {
        _cleanup_bus_message_ sd_bus_message *call = NULL, *reply = NULL;
        const char *jws;
        TRY(daemon_call_new(bus, DAEMON_PATH, DAEMON_MANAGER, "Sign", &call));
        TRY(daemon_message_check(sd_bus_message_append(call, "s", profile)));
        TRY(daemon_message_check(sd_bus_message_append_array(call, 'y', payload.data, payload.size)));
        TRY(daemon_message_check(sd_bus_message_append(call, "a{sv}", 0)));
        TRY(daemon_call_send(bus, call, SIGN_USEC, &reply));
        TRY(daemon_message_check(sd_bus_message_read(reply, "s", &jws)));
        return string_copy(jws, ret_jws);
}

Err *daemon_validate_token(sd_bus *bus, const char *profile, const Bytes *token, Err **ret_reason) {
        _cleanup_bus_message_ sd_bus_message *call = NULL, *reply = NULL;
        const char *code, *reason, *claims;
        int valid;
        TRY(daemon_call_new(bus, DAEMON_PATH, DAEMON_MANAGER, "ValidateToken", &call));
        TRY(daemon_message_check(sd_bus_message_append(call, "ss", profile, (const char *) token->data)));
        TRY(daemon_call_send(bus, call, VALIDATE_USEC, &reply));
        TRY(daemon_message_check(sd_bus_message_read(reply, "bsss", &valid, &code, &reason, &claims)));
        *ret_reason = valid ? NULL : err_new(err_code_from_name(code), "%s", reason);
        return NULL;
}

const char *property_string(const Json *properties, const char *name) {
        Json *value = json_get(properties, name);
        return json_is_string(value) ? json_object_get_string(value) : "";
}

bool property_boolean(const Json *properties, const char *name) {
        const Json *value = json_get(properties, name);
        return json_object_is_type(value, json_type_boolean) && json_object_get_boolean(value);
}

int64_t property_i64(const Json *properties, const char *name) {
        const Json *value = json_get(properties, name);
        return json_object_is_type(value, json_type_int) ? json_object_get_int64(value) : 0;
}

uint64_t property_u64(const Json *properties, const char *name) {
        int64_t value = property_i64(properties, name);
        return value > 0 ? (uint64_t) value : 0;
}
