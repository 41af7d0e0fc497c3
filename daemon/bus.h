/* The D-Bus face: name org.attestd1, objects, properties, methods, signals as in org.attestd1(5). Authorisation comes first in each method. */
#pragma once

#include "daemon/manager.h"

typedef struct Bus Bus;
/* Connects to the system bus (or the user's), exports the objects, requests the name asynchronously. A bus that is not there yet is tried
 * again every few seconds; it is logged once. So this fails only for lack of memory. */
Err *bus_new(Manager *manager, Bus **ret) _must_check_;
Bus *bus_free(Bus *bus);
DEFINE_CLEANUP(Bus, bus_free)
