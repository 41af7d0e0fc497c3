/* The measurement logs: opened when the program starts, while it still may read everything, and copied into memory files for each round.
 *
 * The firmware's log is copied whole. The IMA list only grows, and the kernel's file (seq_file) reads on from where its end was, by entries: so the
 * copy is kept and each round appends what is new. Its memory file has room for the largest list (pages that nobody wrote take no memory) and
 * is sealed against everything but writing through the one mapping that was made before the seal; bytes that were copied are never written
 * again. A copy that was continued and fits no quote is forgotten and made anew by the caller: log_file_forget().
 *
 * A log that is a plain file (tests, other machines' logs) may be replaced: then it is opened again; or cut or overwritten: then it is read anew.
 * What was hashed, what is checked and what is sent are the same bytes, and they can be handed to another process. */
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
        int memory;        /* the copy that is continued: only the IMA list has one; -1: none */
        uint8_t *room;     /* its mapping */
        uint64_t size;     /* bytes copied so far; the file's position is there */
        uint64_t n_read;   /* bytes read from the file since the start: what rounds cost */
} LogFile;
#define LOG_FILE_NONE { .fd = -1, .memory = -1 }

/* Never fails because of the log itself. */
Err *log_file_init(EvidenceLogType type, const char *path, bool is_off, LogFile *ret) _must_check_;
void log_file_done(LogFile *file);

typedef struct LogCopy {
        LogState state;    /* OFF, OK, MISSING, UNREADABLE, EMPTY or TOO_LARGE here; the caller looks inside */
        char *reason;      /* one sentence where it is not OK */
        int fd;            /* immutable for whoever gets it, owned; -1 where there is nothing. It may be larger than content */
        bool is_continued; /* begins with what earlier rounds had copied */
        Span content;      /* mapped; empty where there is nothing */
} LogCopy;
#define LOG_COPY_NONE { .state = LOG_STATE_OFF, .fd = -1 }

/* Copies what the log holds now. Errors are ours alone (memory, descriptors); what is wrong with the log is the state. */
Err *log_copy_take(LogFile *file, LogCopy *ret) _must_check_;
/* The next copy begins at the head. Copies that were taken stay as they are. */
void log_file_forget(LogFile *file);
void log_copy_done(LogCopy *copy);
#define _cleanup_log_copy_ _cleanup_(log_copy_done)
/* Sets another state with its reason, consuming err. */
Err *log_copy_judge(LogCopy *copy, LogState state, Err *err) _must_check_;

/* The error that a state is where the log is required; NULL for states that are fine. */
Err *log_state_to_error(LogState state, const LogFile *file, const char *reason) _must_check_;
