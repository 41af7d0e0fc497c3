/* The journal: structured entries under systemd (sd_journal), plain lines "LEVEL message" on stderr elsewhere. Only the daemon logs. */
#pragma once

#include <syslog.h>

#include "base/error.h"

void log_set_level(int level);       /* LOG_ERR … LOG_DEBUG */
void log_message(int level, const char *format, ...) _printf_(2, 3);
/* One entry for an error: its chain as message, MESSAGE_ID and ATTESTD_ERROR of its code, ATTESTD_PROFILE if given, the help line at the end. Does not
 * consume err. */
void log_error(int level, const char *profile, const Err *err, const char *format, ...) _printf_(4, 5);
