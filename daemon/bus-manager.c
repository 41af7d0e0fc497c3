/* /org/attestd1 with org.attestd1.Manager. */
#include <errno.h>

#include "daemon/bus-internal.h"

static int get_property(sd_bus *sd, const char *path, const char *interface, const char *name, sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        Bus *bus = userdata;
        _cleanup_(manager_status_done) ManagerStatus status = {};
        Property properties[MANAGER_PROPERTIES_N];
        Err *err = manager_get_status(bus->manager, &status);
        if (err)
                return bus_fail(error, err);
        manager_properties(&status, properties);
        return bus_append_property(reply, properties, N_ELEMENTS(properties), name);
}

static int attest(Bus *bus, sd_bus_message *message, sd_bus_error *error) {
        const char *name;
        const void *nonce;
        size_t nonce_size;
        int r = sd_bus_message_read(message, "s", &name);
        if (r < 0)
                return r;
        r = sd_bus_message_read_array(message, 'y', &nonce, &nonce_size);
        if (r < 0)
                return r;
        Profile *profile;
        uint64_t timeout_sec;
        Err *err = bus_read_seconds_option(message, "timeout-sec", &timeout_sec);
        if (!err)
                err = manager_find_profile(bus->manager, name, &profile);
        if (!err)
                err = bus_call_attest(bus, message, profile, span_make(nonce, nonce_size), timeout_sec * USEC_PER_SEC);
        return err ? bus_fail(error, err) : 1;
}

static int method_attest(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        return bus_authorise(userdata, message, attest, error);
}

/* Open to everybody: it tells nothing that the caller's token does not say. */
static int method_validate_token(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Bus *bus = userdata;
        const char *name, *token;
        int r = sd_bus_message_read(message, "ss", &name, &token);
        if (r < 0)
                return r;
        Profile *profile;
        Span text = span_from_string(token);
        Err *err = text.size > BUS_TOKEN_MAX ? err_new(ERR_LIMIT_EXCEEDED, "a token of %zu bytes, %u are allowed", text.size, BUS_TOKEN_MAX) : NULL;
        if (!err)
                err = manager_find_profile(bus->manager, name, &profile);
        if (!err)
                err = bus_call_validate(bus, message, profile, text);
        return err ? bus_fail(error, err) : 1;
}

static Err *start_signing(Bus *bus, sd_bus_message *message, const char *name, Span payload) {
        Profile *profile;
        TRY(bus_read_no_options(message));
        TRY(manager_find_profile(bus->manager, name, &profile));
        return bus_call_sign(bus, message, profile, payload);
}

static int sign(Bus *bus, sd_bus_message *message, sd_bus_error *error) {
        const char *name;
        const void *payload;
        size_t size;
        int r = sd_bus_message_read(message, "s", &name);
        if (r >= 0)
                r = sd_bus_message_read_array(message, 'y', &payload, &size);
        if (r < 0)
                return r;
        Err *err = start_signing(bus, message, name, span_make(payload, size));
        return err ? bus_fail(error, err) : 1;
}

static int method_sign(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        return bus_authorise(userdata, message, sign, error);
}

static int method_get_profile(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Bus *bus = userdata;
        _cleanup_free_ char *path = NULL;
        const char *name;
        int r = sd_bus_message_read(message, "s", &name);
        if (r < 0)
                return r;
        Profile *profile;
        Err *err = manager_find_profile(bus->manager, name, &profile);
        if (!err)
                err = bus_profile_path(profile_name(profile), &path);
        return err ? bus_fail(error, err) : sd_bus_reply_method_return(message, "o", path);
}

static int append_profile(sd_bus_message *reply, const char *name, sd_bus_error *error) {
        _cleanup_free_ char *path = NULL;
        Err *err = bus_profile_path(name, &path);
        return err ? bus_fail(error, err) : sd_bus_message_append(reply, "(so)", name, path);
}

static int method_list_profiles(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Bus *bus = userdata;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r = sd_bus_message_new_method_return(message, &reply);
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(reply, 'a', "(so)");
        for (size_t i = 0; r >= 0 && i < manager_n_profiles(bus->manager); i++)
                r = append_profile(reply, profile_name(manager_profile(bus->manager, i)), error);
        if (r < 0)
                return r;
        r = sd_bus_message_close_container(reply);
        if (r < 0)
                return r;
        return sd_bus_send(NULL, reply, NULL);
}

static int reload(Bus *bus, sd_bus_message *message, sd_bus_error *error) {
        Err *err = manager_reload(bus->manager);
        return err ? bus_fail(error, err) : sd_bus_reply_method_return(message, NULL);
}

static int method_reload(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        return bus_authorise(userdata, message, reload, error);
}

#define READ_ONLY(name, signature) SD_BUS_PROPERTY(name, signature, get_property, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE)

static const sd_bus_vtable manager_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Version", "s", get_property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        READ_ONLY("State", "s"),
        READ_ONLY("Alive", "b"),
        READ_ONLY("Ready", "b"),
        READ_ONLY("Attested", "b"),
        READ_ONLY("Reason", "s"),
        READ_ONLY("TpmHealth", "s"),
        READ_ONLY("TpmManufacturer", "s"),
        READ_ONLY("AikFingerprint", "s"),
        READ_ONLY("PcrBank", "s"),
        READ_ONLY("ClockOffsetUSec", "x"),
        SD_BUS_METHOD_WITH_ARGS("Attest", SD_BUS_ARGS("s", profile, "ay", nonce, "a{sv}", options), SD_BUS_RESULT("s", token, "a{sv}", info), method_attest,
                                SD_BUS_VTABLE_UNPRIVILEGED | SD_BUS_VTABLE_SENSITIVE),
        SD_BUS_METHOD_WITH_ARGS("ValidateToken", SD_BUS_ARGS("s", profile, "s", token),
                                SD_BUS_RESULT("b", valid, "s", code, "s", reason, "s", claims_json), method_validate_token,
                                SD_BUS_VTABLE_UNPRIVILEGED | SD_BUS_VTABLE_SENSITIVE),
        SD_BUS_METHOD_WITH_ARGS("Sign", SD_BUS_ARGS("s", profile, "ay", payload, "a{sv}", options), SD_BUS_RESULT("s", jws), method_sign,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetProfile", SD_BUS_ARGS("s", name), SD_BUS_RESULT("o", path), method_get_profile, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListProfiles", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(so)", profiles), method_list_profiles, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Reload", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_reload, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

int bus_add_manager(Bus *bus) {
        return sd_bus_add_object_vtable(bus->bus, NULL, BUS_ROOT_PATH, BUS_MANAGER_INTERFACE, manager_vtable, bus);
}
