/* attestctl policy get, set, reset and hash: the policies of an instance. */
#pragma once

#include "cli/cli.h"

extern const char policy_service_help[];
bool policy_service_knows(const char *what);
/* argv[0] is for messages, and what comes behind it are options. */
int policy_service(const char *what, int argc, char **argv);
