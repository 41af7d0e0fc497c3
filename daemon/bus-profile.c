/* /org/attestd1/profile/NAME with org.attestd1.Profile. The objects are looked up by path at each call, so that none can outlive its profile. */
#include <errno.h>

#include "daemon/bus-internal.h"

Err *bus_profile_path(const char *name, char **ret) {
        int r = sd_bus_path_encode(BUS_PROFILE_PATH, name, ret);
        return r < 0 ? err_new_errno(ERR_BUS_FAILED, r, "making an object path of the profile's name \"%s\"", name) : NULL;
}

/* Only the canonical path is an object: sd_bus_path_decode() takes others for the same name too. */
static Profile *profile_of_path(Bus *bus, const char *path) {
        _cleanup_free_ char *name = NULL, *canonical = NULL;
        Profile *profile = NULL;
        if (sd_bus_path_decode(path, BUS_PROFILE_PATH, &name) <= 0 || !*name)
                return NULL;
        Err *err = bus_profile_path(name, &canonical);
        if (!err && string_equal(path, canonical))
                err = manager_find_profile(bus->manager, name, &profile);
        if (err)
                profile = NULL;
        err_free(err);
        return profile;
}

static int find_profile(sd_bus *sd, const char *path, const char *interface, void *userdata, void **ret_found, sd_bus_error *error) {
        if (!profile_of_path(userdata, path))
                return 0;
        *ret_found = userdata;
        return 1;
}

static int list_profiles(sd_bus *sd, const char *prefix, void *userdata, char ***ret_nodes, sd_bus_error *error) {
        Bus *bus = userdata;
        size_t n = manager_n_profiles(bus->manager);
        char **nodes = calloc(n + 1, sizeof(char *));
        if (!nodes)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                Err *err = bus_profile_path(profile_name(manager_profile(bus->manager, i)), &nodes[i]);
                if (err) {
                        while (i > 0)
                                free(nodes[--i]);
                        free(nodes);
                        return bus_fail(error, err);
                }
        }
        *ret_nodes = nodes;
        return 1;
}

static int get_property(sd_bus *sd, const char *path, const char *interface, const char *name, sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        Profile *profile = profile_of_path(userdata, path);
        if (!profile)
                return -ENOENT;
        ProfileStatus status;
        Property properties[PROFILE_PROPERTIES_N];
        profile_get_status(profile, &status);
        profile_properties(&status, properties);
        return bus_append_property(reply, properties, N_ELEMENTS(properties), name);
}

/* The profile that a message is for. */
static Err *addressed_profile(Bus *bus, sd_bus_message *message, Profile **ret) {
        *ret = profile_of_path(bus, sd_bus_message_get_path(message));
        return *ret ? NULL : err_new(ERR_NO_SUCH_PROFILE, "there is no profile at %s", sd_bus_message_get_path(message));
}

static int get_token(Bus *bus, sd_bus_message *message, sd_bus_error *error) {
        Profile *profile;
        const char *token;
        uint64_t min_remaining_sec, expires_usec;
        Err *err = addressed_profile(bus, message, &profile);
        if (!err)
                err = bus_read_seconds_option(message, "min-remaining-sec", &min_remaining_sec);
        if (!err)
                err = profile_get_token(profile, min_remaining_sec, &token, &expires_usec);
        return err ? bus_fail(error, err) : sd_bus_reply_method_return(message, "s", token);
}

static int method_get_token(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        return bus_authorise(userdata, message, get_token, error);
}

static int renew(Bus *bus, sd_bus_message *message, sd_bus_error *error) {
        Profile *profile;
        Err *err = addressed_profile(bus, message, &profile);
        if (err)
                return bus_fail(error, err);
        profile_renew(profile);
        return sd_bus_reply_method_return(message, NULL);
}

static int method_renew(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        return bus_authorise(userdata, message, renew, error);
}

static int forget(Bus *bus, sd_bus_message *message, sd_bus_error *error) {
        Profile *profile;
        Err *err = addressed_profile(bus, message, &profile);
        if (err)
                return bus_fail(error, err);
        profile_forget(profile);
        return sd_bus_reply_method_return(message, NULL);
}

static int method_forget(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        return bus_authorise(userdata, message, forget, error);
}

#define READ_ONLY(name, signature) SD_BUS_PROPERTY(name, signature, get_property, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE)

static const sd_bus_vtable profile_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Name", "s", get_property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        READ_ONLY("State", "s"),
        READ_ONLY("Instance", "s"),
        READ_ONLY("Attested", "b"),
        READ_ONLY("LastSuccess", "t"),
        READ_ONLY("LastFailure", "t"),
        READ_ONLY("LastError", "(ss)"),
        READ_ONLY("TokenIssued", "t"),
        READ_ONLY("TokenExpires", "t"),
        READ_ONLY("NextAttempt", "t"),
        READ_ONLY("Attempts", "t"),
        READ_ONLY("Failures", "t"),
        READ_ONLY("PcrVerdicts", "a{us}"),
        READ_ONLY("BootLogState", "s"),
        READ_ONLY("BootLogReason", "s"),
        READ_ONLY("ImaLogState", "s"),
        READ_ONLY("ImaLogReason", "s"),
        READ_ONLY("BootAttestationState", "s"),
        READ_ONLY("BootAttestationReason", "s"),
        READ_ONLY("ImaEntries", "t"),
        SD_BUS_METHOD_WITH_ARGS("GetToken", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("s", token), method_get_token,
                                SD_BUS_VTABLE_UNPRIVILEGED | SD_BUS_VTABLE_SENSITIVE),
        SD_BUS_METHOD_WITH_ARGS("Renew", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_renew, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Forget", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_forget, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_SIGNAL_WITH_ARGS("Attested", SD_BUS_ARGS("t", expires), 0),
        SD_BUS_SIGNAL_WITH_ARGS("Failed", SD_BUS_ARGS("s", code, "s", message), 0),
        SD_BUS_VTABLE_END,
};

int bus_add_profiles(Bus *bus) {
        int r = sd_bus_add_fallback_vtable(bus->bus, NULL, BUS_PROFILE_PATH, BUS_PROFILE_INTERFACE, profile_vtable, find_profile, bus);
        return r < 0 ? r : sd_bus_add_node_enumerator(bus->bus, NULL, BUS_PROFILE_PATH, list_profiles, bus);
}
