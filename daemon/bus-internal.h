/* Shared by bus.c (connection, change signals), bus-manager.c and bus-profile.c (objects), bus-call.c (who calls, what is still to be answered). */
#pragma once

#include <systemd/sd-bus.h>

#include "daemon/access.h"
#include "daemon/bus.h"
#include "daemon/properties.h"

#define BUS_NAME "org.attestd1"
#define BUS_ROOT_PATH "/org/attestd1"
#define BUS_PROFILE_PATH BUS_ROOT_PATH "/profile"
#define BUS_MANAGER_INTERFACE "org.attestd1.Manager"
#define BUS_PROFILE_INTERFACE "org.attestd1.Profile"

#define BUS_RETRY_USEC (5 * USEC_PER_SEC)
#define BUS_CREDENTIALS_USEC (2 * USEC_PER_SEC)     /* for the bus itself to say who a client is */
#define BUS_CALLS_MAX 128u                          /* waiting for an answer */
#define BUS_CALLS_PER_CLIENT_MAX 16u
#define BUS_TOKEN_MAX (1u << 20)                    /* a token to be validated */

typedef struct BusCall BusCall;

/* What the bus was last told about an object: the JSON text of each property. */
typedef struct BusObject {
        char *name;                                 /* of the profile */
        char *path;
        char *told[PROFILE_PROPERTIES_N];
        bool is_dirty;
} BusObject;

struct Bus {
        Manager *manager;
        sd_bus *bus;                                /* NULL while there is no connection */
        sd_event_source *reconnect;
        sd_event_source *flush;
        bool failure_logged;
        BusObject manager_object;
        BusObject *profiles;
        size_t n_profiles;
        BusCall *calls;
        size_t n_calls;
};

/* bus.c */
int bus_fail(sd_bus_error *error, Err *steal_err);  /* for handlers: return bus_fail(error, err) */
int bus_append_property(sd_bus_message *message, const Property *properties, size_t n_properties, const char *name);

/* bus-manager.c, bus-profile.c: adds the object to bus->bus. Negative errno on failure. */
int bus_add_manager(Bus *bus);
int bus_add_profiles(Bus *bus);
Err *bus_profile_path(const char *name, char **ret) _must_check_;

/* bus-call.c */
/* Runs method, and answers what it returns like sd-bus does, once the bus has said that the sender may read tokens and direct the daemon; else answers
 * why not. For handlers: return bus_authorise(bus, message, method, error). */
typedef int (*BusMethod)(Bus *bus, sd_bus_message *message, sd_bus_error *error);
int bus_authorise(Bus *bus, sd_bus_message *message, BusMethod method, sd_bus_error *error);
/* Reads a{sv} that may hold seconds (u) under that one name. Error: INVALID_ARGUMENT. */
Err *bus_read_seconds_option(sd_bus_message *message, const char *name, uint64_t *ret) _must_check_;
/* Reads a{sv} of a method that has no options yet. Error: INVALID_ARGUMENT if it holds any. */
Err *bus_read_no_options(sd_bus_message *message) _must_check_;
/* Begin a call that is answered later; a client that leaves the bus cancels it. */
Err *bus_call_attest(Bus *bus, sd_bus_message *message, Profile *profile, Span nonce, uint64_t timeout_usec) _must_check_;
Err *bus_call_validate(Bus *bus, sd_bus_message *message, Profile *profile, Span token) _must_check_;
Err *bus_call_sign(Bus *bus, sd_bus_message *message, Profile *profile, Span payload) _must_check_;
void bus_calls_cancel(Bus *bus);
