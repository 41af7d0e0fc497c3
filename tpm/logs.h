/* The measurement logs: opened when the program starts, while it still may read everything, and copied from the beginning for each round.
 *
 * The IMA list is longer each time it is read; the kernel makes it anew for every reader that starts at offset 0. A log that is a plain file
 * (tests, other machines' logs) may be replaced: then it is opened again. A copy is a sealed memory file, so that what was hashed, what is
 * checked and what is sent are the same bytes, and it can be handed to another process. */
#pragma once

#include "tcg/evidence.h"

typedef struct LogFile {
        EvidenceLogType type;
        bool is_off;
        char *path;
        uint64_t size_max;
        int fd;            /* -1: could not be opened */
        int open_errno;    /* why */
        bool was_reopened; /* set when another file was opened than before; for the caller to reset */
} LogFile;

/* Never fails because of the log itself. */
Err *log_file_init(EvidenceLogType type, const char *path, bool is_off, LogFile *ret) _must_check_;
void log_file_done(LogFile *file);

typedef struct LogCopy {
        LogState state;    /* OFF, OK, MISSING, UNREADABLE, EMPTY or TOO_LARGE here; the caller looks inside */
        char *reason;      /* one sentence where it is not OK */
        int fd;            /* sealed, owned; -1 where there is nothing */
        Span content;      /* mapped; empty where there is nothing */
} LogCopy;
#define LOG_COPY_NONE { .state = LOG_STATE_OFF, .fd = -1 }

/* Copies what the log holds now. Errors are ours alone (memory, descriptors); what is wrong with the log is the state. */
Err *log_copy_take(LogFile *file, LogCopy *ret) _must_check_;
void log_copy_done(LogCopy *copy);
#define _cleanup_log_copy_ _cleanup_(log_copy_done)
/* Sets another state with its reason, consuming err. */
Err *log_copy_judge(LogCopy *copy, LogState state, Err *err) _must_check_;

/* The error that a state is where the log is required; NULL for states that are fine. */
Err *log_state_to_error(LogState state, const LogFile *file, const char *reason) _must_check_;
