/* D-Bus values as JSON: strings, paths and signatures as strings, numbers, booleans; dictionaries as objects (keys as text), other arrays and structures as
 * arrays; a variant as what is in it. The order in which the daemon sent them is kept. */
#pragma once

#include <systemd/sd-bus.h>

#include "base/json.h"

/* The next complete value of message. Errors: BUS_FAILED (message ends or is of another type, file descriptors). */
Err *bus_json_read(sd_bus_message *message, Json **ret) _must_check_;
/* a{sv} of properties of org.attestd1, member by member into object, members of the same name replaced. LastError becomes {"code","message"} or null, as the
 * local socket has it. */
Err *bus_json_read_properties(sd_bus_message *message, Json *object) _must_check_;
