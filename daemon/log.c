/* See log.h. Whether stderr is the journal is what systemd.exec(5) says about $JOURNAL_STREAM: device and inode of the stream, so that a daemon whose
 * stderr somebody redirected still writes where it was told to. Control characters are replaced: parts of a message may come from elsewhere. */
#define SD_JOURNAL_SUPPRESS_LOCATION
#include "daemon/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

static int max_level = LOG_INFO;

void log_set_level(int level) {
        max_level = level;
}

static bool stderr_is_journal(void) {
        static int known = -1;
        if (known >= 0)
                return known;
        struct stat st;
        uintmax_t device, inode;
        const char *stream = getenv("JOURNAL_STREAM");
        known = stream && sscanf(stream, "%ju:%ju", &device, &inode) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
                device == (uintmax_t) st.st_dev && inode == (uintmax_t) st.st_ino;
        return known;
}

static const char *level_name(int level) {
        static const char *const names[] = { "emergency", "alert", "critical", "error", "warning", "notice", "info", "debug" };
        return level >= 0 && level < (int) N_ELEMENTS(names) ? names[level] : "error";
}

static void text_clean(char *text) {
        for (unsigned char *c = (unsigned char *) text; *c; c++)
                if (*c < 0x20 || *c == 0x7f)
                        *c = '?';
}

#define FIELDS_MAX 5
typedef struct Entry {
        char *fields[FIELDS_MAX];
        size_t n_fields;
} Entry;

static void entry_done(Entry *entry) {
        for (size_t i = 0; i < entry->n_fields; i++)
                free(entry->fields[i]);
}

static void entry_add(Entry *entry, const char *name, const char *value) {
        if (asprintf(&entry->fields[entry->n_fields], "%s=%s", name, value) >= 0)
                entry->n_fields++;
}

static void entry_send(int level, const char *profile, const Err *err, char *message) {
        text_clean(message);
        if (!stderr_is_journal()) {
                fprintf(stderr, "%s %s\n", level_name(level), message);
                return;
        }
        _cleanup_(entry_done) Entry entry = {};
        entry_add(&entry, "MESSAGE", message);
        entry_add(&entry, "PRIORITY", (const char[]) { (char) ('0' + (level & LOG_PRIMASK)), '\0' });
        if (err) {
                entry_add(&entry, "MESSAGE_ID", err_code_info(err_code(err))->message_id);
                entry_add(&entry, "ATTESTD_ERROR", err_code_info(err_code(err))->name);
        }
        if (profile)
                entry_add(&entry, "ATTESTD_PROFILE", profile);

        struct iovec vectors[FIELDS_MAX];
        for (size_t i = 0; i < entry.n_fields; i++)
                vectors[i] = (struct iovec) { entry.fields[i], strlen(entry.fields[i]) };
        if (sd_journal_sendv(vectors, (int) entry.n_fields) < 0)
                fprintf(stderr, "%s %s\n", level_name(level), message);
}

void log_message(int level, const char *format, ...) {
        if (level > max_level)
                return;
        _cleanup_free_ char *message = NULL;
        va_list arguments;
        va_start(arguments, format);
        int r = vasprintf(&message, format, arguments);
        va_end(arguments);
        if (r < 0)
                message = NULL;
        else
                entry_send(level, NULL, NULL, message);
}

void log_error(int level, const char *profile, const Err *err, const char *format, ...) {
        if (level > max_level)
                return;
        _cleanup_free_ char *intent = NULL, *message = NULL;
        va_list arguments;
        va_start(arguments, format);
        int r = vasprintf(&intent, format, arguments);
        va_end(arguments);
        if (r < 0) {
                intent = NULL;
                return;
        }
        if (asprintf(&message, "%s: %s (%s)", intent, err_describe(err), err_code_info(err_code(err))->help) < 0)
                message = NULL;
        entry_send(level, profile, err, message ? message : intent);
}
