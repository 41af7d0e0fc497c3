/* A short text for people about one event: the name of a variable, a message, a signature. */
#pragma once

#include "tcg/eventlog.h"

#define EVENTLOG_DESCRIPTION_MAX 96 /* characters that are taken over */

/* Printable ASCII only, whatever the firmware wrote; empty where there is nothing to say. free() it. */
Err *eventlog_describe(const EventLogEvent *event, char **ret) _must_check_;
