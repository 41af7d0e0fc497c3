/* See bus.h. The connection comes and goes with the bus; what is exported on it is in bus-manager.c and bus-profile.c.
 *
 * Observers of the manager only mark objects as dirty; one deferred event at the end of the loop's iteration compares each property with what the bus was
 * last told and emits what differs, so that a burst of changes is one PropertiesChanged. */
#include "daemon/bus.h"

#include <errno.h>

#include "daemon/bus-internal.h"
#include "daemon/log.h"

int bus_fail(sd_bus_error *error, Err *steal_err) {
        _cleanup_(err_freep) Err *err = steal_err;
        return sd_bus_error_set(error, err_code_info(err_code(err))->dbus_name, err_describe(err));
}

static int append_verdicts(sd_bus_message *message, const PcrVerdict *verdicts) {
        int r = sd_bus_message_open_container(message, 'a', "{us}");
        for (uint32_t pcr = 0; r >= 0 && pcr < PCR_COUNT; pcr++)
                if (verdicts[pcr] != PCR_NOT_QUOTED)
                        r = sd_bus_message_append(message, "{us}", pcr, pcr_verdict_to_string(verdicts[pcr]));
        return r < 0 ? r : sd_bus_message_close_container(message);
}

int bus_append_property(sd_bus_message *message, const Property *properties, size_t n_properties, const char *name) {
        const Property *property = property_find(properties, n_properties, name);
        if (!property)
                return -ENOENT;
        switch (property->kind) {
        case PROPERTY_STRING:
                return sd_bus_message_append(message, "s", property->string);
        case PROPERTY_BOOLEAN:
                return sd_bus_message_append(message, "b", (int) property->boolean);
        case PROPERTY_UINT64:
                return sd_bus_message_append(message, "t", property->uint64);
        case PROPERTY_INT64:
                return sd_bus_message_append(message, "x", property->int64);
        case PROPERTY_ERROR:
                return sd_bus_message_append(message, "(ss)", property->error ? err_code_info(err_code(property->error))->name : "",
                                             err_describe(property->error));
        case PROPERTY_VERDICTS:
                return append_verdicts(message, property->verdicts);
        }
        return -EINVAL;
}

/* ---- change signals ---- */

static void bus_object_done(BusObject *object) {
        for (size_t i = 0; i < N_ELEMENTS(object->told); i++)
                free(object->told[i]);
        free(object->name);
        free(object->path);
        *object = (BusObject) {};
}

static void bus_profiles_free(BusObject *objects, size_t n) {
        for (size_t i = 0; i < n; i++)
                bus_object_done(&objects[i]);
        free(objects);
}

static BusObject *bus_find_object(Bus *bus, const char *name) {
        for (size_t i = 0; i < bus->n_profiles; i++)
                if (string_equal(bus->profiles[i].name, name))
                        return &bus->profiles[i];
        return NULL;
}

/* Remembers the values; names of those that differ from what was told before go to ret_changed (room for all and a NULL). */
static Err *object_compare(BusObject *object, const Property *properties, size_t n_properties, const char **ret_changed) {
        size_t n_changed = 0;
        ret_changed[0] = NULL;
        for (size_t i = 0; i < n_properties; i++) {
                _cleanup_json_ Json *json = NULL;
                _cleanup_free_ char *text = NULL;
                TRY(property_to_json(&properties[i], &json));
                TRY(json ? json_to_string(json, &text) : string_copy("null", &text));
                if (string_equal(object->told[i], text))
                        continue;
                free(object->told[i]);
                object->told[i] = steal_ptr(&text);
                ret_changed[n_changed++] = properties[i].name;
                ret_changed[n_changed] = NULL;
        }
        return NULL;
}

static Err *object_update_profile(BusObject *object, Profile *profile, const char **ret_changed) {
        ProfileStatus status;
        Property properties[PROFILE_PROPERTIES_N];
        profile_get_status(profile, &status);
        profile_properties(&status, properties);
        object->is_dirty = false;
        return object_compare(object, properties, N_ELEMENTS(properties), ret_changed);
}

static Err *object_update_manager(Bus *bus, const char **ret_changed) {
        _cleanup_(manager_status_done) ManagerStatus status = {};
        Property properties[MANAGER_PROPERTIES_N];
        bus->manager_object.is_dirty = false;
        TRY(manager_get_status(bus->manager, &status));
        manager_properties(&status, properties);
        return object_compare(&bus->manager_object, properties, N_ELEMENTS(properties), ret_changed);
}

static void bus_emit_changed(Bus *bus, const char *path, const char *interface, const char **changed) {
        if (bus->bus && changed[0])
                sd_bus_emit_properties_changed_strv(bus->bus, path, interface, (char **) changed);
}

static Err *bus_flush_profile(Bus *bus, BusObject *object) {
        const char *changed[PROFILE_PROPERTIES_N + 1];
        Profile *profile;
        TRY(manager_find_profile(bus->manager, object->name, &profile));
        TRY(object_update_profile(object, profile, changed));
        bus_emit_changed(bus, object->path, BUS_PROFILE_INTERFACE, changed);
        return NULL;
}

static Err *bus_flush_manager(Bus *bus) {
        const char *changed[MANAGER_PROPERTIES_N + 1];
        TRY(object_update_manager(bus, changed));
        bus_emit_changed(bus, BUS_ROOT_PATH, BUS_MANAGER_INTERFACE, changed);
        return NULL;
}

static void bus_note(Err *steal_err, const char *what) {
        if (steal_err)
                log_error(LOG_WARNING, NULL, steal_err, "%s", what);
        err_free(steal_err);
}

static int bus_flush(sd_event_source *source, void *userdata) {
        Bus *bus = userdata;
        for (size_t i = 0; i < bus->n_profiles; i++)
                if (bus->profiles[i].is_dirty)
                        bus_note(bus_flush_profile(bus, &bus->profiles[i]), "telling the bus about a profile");
        if (bus->manager_object.is_dirty)
                bus_note(bus_flush_manager(bus), "telling the bus about the daemon");
        return 0;
}

static void bus_mark(Bus *bus, BusObject *object) {
        if (!object)
                return;
        object->is_dirty = true;
        sd_event_source_set_enabled(bus->flush, SD_EVENT_ONESHOT);
}

static void on_manager_changed(void *userdata) {
        Bus *bus = userdata;
        bus_mark(bus, &bus->manager_object);
}

static void on_profile_changed(void *userdata, Profile *profile) {
        Bus *bus = userdata;
        bus_mark(bus, bus_find_object(bus, profile_name(profile)));
}

/* The properties first, so that whoever waits for the signal reads the state that belongs to it. */
static BusObject *bus_object_for_signal(Bus *bus, Profile *profile) {
        BusObject *object = bus_find_object(bus, profile_name(profile));
        if (!object || !bus->bus)
                return NULL;
        bus_note(bus_flush_profile(bus, object), "telling the bus about a profile");
        return object;
}

static void on_profile_attested(void *userdata, Profile *profile, uint64_t expires_usec) {
        Bus *bus = userdata;
        BusObject *object = bus_object_for_signal(bus, profile);
        if (object)
                sd_bus_emit_signal(bus->bus, object->path, BUS_PROFILE_INTERFACE, "Attested", "t", expires_usec);
}

static void on_profile_failed(void *userdata, Profile *profile, const Err *err) {
        Bus *bus = userdata;
        BusObject *object = bus_object_for_signal(bus, profile);
        if (object)
                sd_bus_emit_signal(bus->bus, object->path, BUS_PROFILE_INTERFACE, "Failed", "ss", err_code_info(err_code(err))->name, err_describe(err));
}

/* ---- the list of profiles ---- */

static Err *object_init_profile(BusObject *object, Profile *profile) {
        const char *changed[PROFILE_PROPERTIES_N + 1];
        TRY(string_copy(profile_name(profile), &object->name));
        TRY(bus_profile_path(object->name, &object->path));
        return object_update_profile(object, profile, changed);
}

/* The profiles of now take the place of those of before; old ones that stay keep what was told of them and are marked. */
static Err *bus_load_profiles(Bus *bus, BusObject **ret_old, size_t *ret_n_old) {
        size_t n = manager_n_profiles(bus->manager);
        BusObject *objects = calloc(n + 1, sizeof(BusObject));
        if (!objects)
                return err_oom();
        for (size_t i = 0; i < n; i++) {
                Err *err = object_init_profile(&objects[i], manager_profile(bus->manager, i));
                if (err) {
                        bus_profiles_free(objects, n);
                        return err;
                }
        }
        for (size_t i = 0; i < n; i++) {
                BusObject *before = bus_find_object(bus, objects[i].name);
                for (size_t k = 0; before && k < PROFILE_PROPERTIES_N; k++) {
                        free(objects[i].told[k]);
                        objects[i].told[k] = steal_ptr(&before->told[k]);
                }
                objects[i].is_dirty = before;
        }
        *ret_old = bus->profiles;
        *ret_n_old = bus->n_profiles;
        bus->profiles = objects;
        bus->n_profiles = n;
        return NULL;
}

static void on_profiles_changed(void *userdata) {
        Bus *bus = userdata;
        BusObject *old;
        size_t n_old;
        Err *err = bus_load_profiles(bus, &old, &n_old);
        if (err) {
                bus_note(err, "telling the bus about the profiles");
                return;
        }
        for (size_t i = 0; bus->bus && i < n_old; i++)
                if (!bus_find_object(bus, old[i].name))
                        sd_bus_emit_interfaces_removed(bus->bus, old[i].path, BUS_PROFILE_INTERFACE, "org.freedesktop.DBus.Peer",
                                                       "org.freedesktop.DBus.Introspectable", "org.freedesktop.DBus.Properties", NULL);
        for (size_t i = 0; bus->bus && i < bus->n_profiles; i++)
                if (!bus->profiles[i].is_dirty)
                        sd_bus_emit_object_added(bus->bus, bus->profiles[i].path);
        bus_profiles_free(old, n_old);
        bus_mark(bus, &bus->manager_object);
}

/* ---- the connection ---- */

static void bus_report(Bus *bus, Err *steal_err, const char *what) {
        log_error(bus->failure_logged ? LOG_DEBUG : LOG_WARNING, NULL, steal_err, "%s", what);
        bus->failure_logged = true;
        err_free(steal_err);
}

static void bus_disconnect(Bus *bus) {
        bus_calls_cancel(bus);
        if (bus->bus)
                sd_bus_detach_event(bus->bus);
        bus->bus = sd_bus_close_unref(bus->bus);
}

/* The connection is not taken down here: sd-bus may be in the middle of it. */
static void bus_retry(Bus *bus, uint64_t delay_usec) {
        sd_event_source_set_time_relative(bus->reconnect, delay_usec);
        sd_event_source_set_enabled(bus->reconnect, SD_EVENT_ONESHOT);
}

static int on_disconnected(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Bus *bus = userdata;
        bus_report(bus, err_new(ERR_BUS_FAILED, "the bus closed the connection"), "D-Bus is gone, it is tried again");
        bus_retry(bus, BUS_RETRY_USEC);
        return 0;
}

static int on_name_lost(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Bus *bus = userdata;
        const char *name;
        if (sd_bus_message_read(message, "s", &name) < 0 || !string_equal(name, BUS_NAME))
                return 0;
        bus_report(bus, err_new(ERR_BUS_FAILED, "the name " BUS_NAME " was taken away"), "D-Bus does not reach us, it is tried again");
        bus_retry(bus, BUS_RETRY_USEC);
        return 0;
}

/* D-Bus specification, "org.freedesktop.DBus.RequestName": 1 is the primary owner, 4 owned already. */
static int on_name_reply(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        Bus *bus = userdata;
        const sd_bus_error *failure = sd_bus_message_get_error(reply);
        uint32_t result = 0;
        if (failure) {
                bus_report(bus, err_new(ERR_BUS_FAILED, "%s: %s", failure->name, failure->message ? failure->message : "no reason given"),
                           "the bus refuses the name " BUS_NAME ", it is tried again");
                bus_retry(bus, BUS_RETRY_USEC);
                return 0;
        }
        if (sd_bus_message_read(reply, "u", &result) < 0 || (result != 1 && result != 4)) {
                bus_report(bus, err_new(ERR_BUS_FAILED, "another process owns it"), "the name " BUS_NAME " cannot be had, it is tried again");
                bus_retry(bus, BUS_RETRY_USEC);
                return 0;
        }
        log_message(bus->failure_logged ? LOG_NOTICE : LOG_DEBUG, "the name " BUS_NAME " is ours");
        bus->failure_logged = false;
        return 0;
}

static int bus_export(Bus *bus) {
        int r = sd_bus_match_signal(bus->bus, NULL, NULL, "/org/freedesktop/DBus/Local", "org.freedesktop.DBus.Local", "Disconnected", on_disconnected, bus);
        if (r < 0)
                return r;
        r = sd_bus_match_signal_async(bus->bus, NULL, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "NameLost", on_name_lost, NULL,
                                      bus);
        if (r < 0)
                return r;
        r = sd_bus_add_object_manager(bus->bus, NULL, BUS_ROOT_PATH);
        if (r < 0)
                return r;
        r = bus_add_manager(bus);
        if (r < 0)
                return r;
        return bus_add_profiles(bus);
}

static Err *bus_connect(Bus *bus) {
        bool user = manager_options(bus->manager)->user_bus;
        int r = user ? sd_bus_open_user_with_description(&bus->bus, "attestd") : sd_bus_open_system_with_description(&bus->bus, "attestd");
        if (r < 0) {
                bus->bus = NULL;
                return err_new_errno(ERR_BUS_FAILED, r, "connecting to the %s bus", user ? "user" : "system");
        }
        r = bus_export(bus);
        if (r >= 0)
                r = sd_bus_request_name_async(bus->bus, NULL, BUS_NAME, 0, on_name_reply, bus);
        if (r >= 0)
                r = sd_bus_attach_event(bus->bus, manager_event(bus->manager), SD_EVENT_PRIORITY_NORMAL);
        return r < 0 ? err_new_errno(ERR_BUS_FAILED, r, "setting up the bus connection") : NULL;
}

static int bus_reconnect(sd_event_source *source, uint64_t usec, void *userdata) {
        Bus *bus = userdata;
        bus_disconnect(bus);
        Err *err = bus_connect(bus);
        if (err) {
                bus_report(bus, err, "D-Bus is not there, it is tried again");
                bus_disconnect(bus);
                bus_retry(bus, BUS_RETRY_USEC);
        }
        return 0;
}

static Err *bus_add_sources(Bus *bus) {
        sd_event *event = manager_event(bus->manager);
        int r = sd_event_add_time_relative(event, &bus->reconnect, CLOCK_MONOTONIC, 0, USEC_PER_MSEC, bus_reconnect, bus);
        if (r >= 0)
                r = sd_event_add_defer(event, &bus->flush, bus_flush, bus);
        if (r >= 0)
                r = sd_event_source_set_enabled(bus->flush, SD_EVENT_OFF);
        if (r >= 0) /* before anything else that is ready, so that watchers see every state of a session, before the reply to its caller */
                r = sd_event_source_set_priority(bus->flush, SD_EVENT_PRIORITY_NORMAL - 1);
        return r < 0 ? err_new_errno(ERR_BUS_FAILED, r, "adding D-Bus to the event loop") : NULL;
}

static void bus_observe(Bus *bus) {
        const ManagerObserver observer = {
                .manager_changed = on_manager_changed,
                .profiles_changed = on_profiles_changed,
                .profile_changed = on_profile_changed,
                .profile_attested = on_profile_attested,
                .profile_failed = on_profile_failed,
                .userdata = bus,
        };
        manager_add_observer(bus->manager, &observer);
}

Err *bus_new(Manager *manager, Bus **ret) {
        _cleanup_(bus_freep) Bus *bus = calloc(1, sizeof(Bus));
        const char *changed[MANAGER_PROPERTIES_N + 1];
        BusObject *none;
        size_t n_none;
        if (!bus)
                return err_oom();
        bus->manager = manager;
        TRY(bus_add_sources(bus));
        TRY(bus_load_profiles(bus, &none, &n_none));
        TRY(object_update_manager(bus, changed));
        bus_observe(bus);
        *ret = steal_ptr(&bus);
        return NULL;
}

Bus *bus_free(Bus *bus) {
        if (!bus)
                return NULL;
        bus->flush = sd_event_source_disable_unref(bus->flush);
        bus->reconnect = sd_event_source_disable_unref(bus->reconnect);
        /* No flush: what the bus can take was written at once, and a bus that takes nothing must not hold us up. */
        bus_disconnect(bus);
        bus_profiles_free(bus->profiles, bus->n_profiles);
        bus_object_done(&bus->manager_object);
        free(bus);
        return NULL;
}
