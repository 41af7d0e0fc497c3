/* See logs.h. */
#include "tpm/logs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "tcg/eventlog.h"
#include "tcg/ima.h"

#define CHUNK_SIZE (1 << 16)

static void open_file(LogFile *file) {
        file->fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        file->open_errno = file->fd < 0 ? errno : 0;
}

Err *log_file_init(EvidenceLogType type, const char *path, bool is_off, LogFile *ret) {
        LogFile file = { .type = type, .is_off = is_off, .fd = -1, .memory = -1 };
        file.size_max = type == EVIDENCE_LOG_IMA ? IMA_SIZE_MAX : EVENTLOG_SIZE_MAX;
        TRY(string_copy(path, &file.path));
        if (!is_off)
                open_file(&file);
        *ret = file;
        return NULL;
}

static size_t room_size(const LogFile *file) {
        return (size_t) file->size_max + 1;   /* one byte more, to see that there is more */
}

void log_file_forget(LogFile *file) {
        if (file->room)
                munmap(file->room, room_size(file));
        file->room = NULL;
        file->size = 0;
        fd_closep(&file->memory);
}

void log_file_done(LogFile *file) {
        freep(&file->path);
        log_file_forget(file);
        fd_closep(&file->fd);
}

/* A plain file is renamed into place; securityfs keeps its inode as long as the machine runs. */
static bool was_replaced(const LogFile *file) {
        struct stat there, open_one;
        if (stat(file->path, &there) < 0)
                return errno == ENOENT;
        if (fstat(file->fd, &open_one) < 0)
                return true;
        return there.st_ino != open_one.st_ino || there.st_dev != open_one.st_dev;
}

static void refresh(LogFile *file) {
        if (file->fd >= 0 && was_replaced(file))
                fd_closep(&file->fd);
        if (file->fd >= 0)
                return;
        log_file_forget(file);
        open_file(file);
        file->was_reopened = true;
}

void log_copy_done(LogCopy *copy) {
        freep(&copy->reason);
        if (copy->content.size > 0)
                munmap((void *) copy->content.data, copy->content.size);
        copy->content = (Span) {};
        fd_closep(&copy->fd);
}

static Err *set_state(LogCopy *copy, LogState state, const LogFile *file, int error) {
        const char *name = evidence_log_type_to_string(file->type);
        copy->state = state;
        freep(&copy->reason);
        switch (state) {
        case LOG_STATE_MISSING:
                return string_format(&copy->reason, "there is no %s log at %s", name, file->path);
        case LOG_STATE_UNREADABLE: {
                char text[128];
                return string_format(&copy->reason, "the %s log %s cannot be read by user id %u: %s", name, file->path, (unsigned) geteuid(),
                                     strerror_r(error, text, sizeof(text)));
        }
        case LOG_STATE_EMPTY:
                return string_format(&copy->reason, "the %s log %s is empty", name, file->path);
        case LOG_STATE_TOO_LARGE:
                return string_format(&copy->reason, "the %s log %s has more than the %llu bytes that are allowed", name, file->path,
                                     (unsigned long long) file->size_max);
        case LOG_STATE_OFF:
        case LOG_STATE_OK:
        case LOG_STATE_MALFORMED:
        case LOG_STATE_TRUNCATED:
        case LOG_STATE_TRIMMED:
        case LOG_STATE_MISMATCH:
        case _LOG_STATE_MAX:
                break;
        }
        return NULL;
}

Err *log_copy_judge(LogCopy *copy, LogState state, Err *err) {
        _cleanup_(err_freep) Err *consumed = err;
        copy->state = state;
        freep(&copy->reason);
        return string_copy(err_describe(consumed), &copy->reason);
}

static Err *write_all(int fd, Span data) {
        while (data.size > 0) {
                ssize_t n = write(fd, data.data, data.size);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return err_new_errno(ERR_IO, errno, "copying a measurement log into memory");
                data = span_make(data.data + n, data.size - (size_t) n);
        }
        return NULL;
}

/* ---- copied whole ---- */

/* read() rather than sendfile(): the files of securityfs know nothing else. */
static Err *copy_content(LogFile *file, int memory, LogCopy *copy, uint64_t *ret_size) {
        _cleanup_bytes_ Bytes chunk = {};
        uint64_t size = 0;
        TRY(bytes_alloc(CHUNK_SIZE, &chunk));
        if (lseek(file->fd, 0, SEEK_SET) < 0)
                return set_state(copy, LOG_STATE_UNREADABLE, file, errno);
        for (;;) {
                ssize_t n = read(file->fd, chunk.data, chunk.size);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return set_state(copy, LOG_STATE_UNREADABLE, file, errno);
                if (n == 0)
                        break;
                size += (uint64_t) n;
                if (size > file->size_max)
                        return set_state(copy, LOG_STATE_TOO_LARGE, file, 0);
                TRY(write_all(memory, span_make(chunk.data, (size_t) n)));
        }
        *ret_size = size;
        return size == 0 ? set_state(copy, LOG_STATE_EMPTY, file, 0) : NULL;
}

static Err *seal_and_map(int *steal_memory, uint64_t size, LogCopy *copy) {
        if (fcntl(*steal_memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
                return err_new_errno(ERR_IO, errno, "sealing the copy of a measurement log");
        void *content = mmap(NULL, size, PROT_READ, MAP_PRIVATE, *steal_memory, 0);
        if (content == MAP_FAILED)
                return err_new_errno(ERR_IO, errno, "mapping the copy of a measurement log");
        copy->content = span_make(content, size);
        copy->fd = steal_fd(steal_memory);
        return NULL;
}

static Err *copy_whole(LogFile *file, LogCopy *copy) {
        uint64_t size = 0;
        _cleanup_close_ int memory = memfd_create(evidence_log_type_to_string(file->type), MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (memory < 0)
                return err_new_errno(ERR_IO, errno, "making a memory file for a measurement log");
        copy->state = LOG_STATE_OK;
        TRY(copy_content(file, memory, copy, &size));
        return copy->state == LOG_STATE_OK ? seal_and_map(&memory, size, copy) : NULL;
}

/* ---- continued ---- */

static Err *make_room(LogFile *file) {
        _cleanup_close_ int memory = memfd_create(evidence_log_type_to_string(file->type), MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (memory < 0 || ftruncate(memory, (off_t) room_size(file)) < 0)
                return err_new_errno(ERR_IO, errno, "making a memory file for a measurement log");
        void *room = mmap(NULL, room_size(file), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, memory, 0);
        if (room == MAP_FAILED)
                return err_new_errno(ERR_IO, errno, "mapping the copy of a measurement log");
        file->memory = steal_fd(&memory);
        file->room = room;
        if (fcntl(file->memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) < 0)
                return err_new_errno(ERR_IO, errno, "sealing the copy of a measurement log");
        return NULL;
}

/* A plain file that was cut, or does not hold any more at the end of the copy what was read there. Files of securityfs have no size, and only grow. */
static bool was_rewritten(const LogFile *file) {
        uint8_t tail[4096];
        struct stat st;
        struct statfs fs;
        size_t n = (size_t) MIN_OF(file->size, (uint64_t) sizeof(tail));
        if (fstatfs(file->fd, &fs) == 0 && fs.f_type == SECURITYFS_MAGIC)
                return false;
        if (fstat(file->fd, &st) < 0 || (uint64_t) st.st_size < file->size)
                return true;
        return pread(file->fd, tail, n, (off_t) (file->size - n)) != (ssize_t) n || memcmp(tail, file->room + file->size - n, n) != 0;
}

static Err *read_on(LogFile *file, LogCopy *copy) {
        while (file->size < room_size(file)) {
                ssize_t n = read(file->fd, file->room + file->size, MIN_OF(room_size(file) - (size_t) file->size, (size_t) CHUNK_SIZE));
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return set_state(copy, LOG_STATE_UNREADABLE, file, errno);
                if (n == 0)
                        return file->size == 0 ? set_state(copy, LOG_STATE_EMPTY, file, 0) : NULL;
                file->size += (uint64_t) n;
                file->n_read += (uint64_t) n;
        }
        return set_state(copy, LOG_STATE_TOO_LARGE, file, 0);
}

static Err *share(const LogFile *file, LogCopy *copy) {
        copy->fd = fcntl(file->memory, F_DUPFD_CLOEXEC, 3);
        if (copy->fd < 0)
                return err_new_errno(ERR_IO, errno, "duplicating the descriptor of the copy of a measurement log");
        void *content = mmap(NULL, (size_t) file->size, PROT_READ, MAP_SHARED, copy->fd, 0);
        if (content == MAP_FAILED)
                return err_new_errno(ERR_IO, errno, "mapping the copy of a measurement log");
        copy->content = span_make(content, (size_t) file->size);
        return NULL;
}

static Err *copy_on(LogFile *file, LogCopy *copy) {
        if (file->room && was_rewritten(file))
                log_file_forget(file);
        copy->is_continued = file->size > 0;
        copy->state = LOG_STATE_OK;
        if (!copy->is_continued) {
                log_file_forget(file);
                if (lseek(file->fd, 0, SEEK_SET) < 0)
                        return set_state(copy, LOG_STATE_UNREADABLE, file, errno);
                TRY(make_room(file));
        }
        TRY(read_on(file, copy));
        if (copy->state == LOG_STATE_OK)
                return share(file, copy);
        log_file_forget(file);
        return NULL;
}

Err *log_copy_take(LogFile *file, LogCopy *ret) {
        _cleanup_log_copy_ LogCopy copy = LOG_COPY_NONE;
        if (!file->is_off)
                refresh(file);
        if (file->is_off) {
                copy.state = LOG_STATE_OFF;
        } else if (file->fd < 0) {
                bool is_missing = file->open_errno == ENOENT || file->open_errno == ENOTDIR;
                TRY(set_state(&copy, is_missing ? LOG_STATE_MISSING : LOG_STATE_UNREADABLE, file, file->open_errno));
        } else {
                TRY(file->type == EVIDENCE_LOG_IMA ? copy_on(file, &copy) : copy_whole(file, &copy));
        }
        *ret = copy;
        copy = (LogCopy) LOG_COPY_NONE;
        return NULL;
}

static ErrCode code_of(LogState state, EvidenceLogType type) {
        switch (state) {
        case LOG_STATE_MISSING:
                return ERR_LOG_MISSING;
        case LOG_STATE_EMPTY:
                return ERR_LOG_EMPTY;
        case LOG_STATE_UNREADABLE:
                return ERR_LOG_UNREADABLE;
        case LOG_STATE_TOO_LARGE:
                return ERR_LOG_TOO_LARGE;
        case LOG_STATE_TRUNCATED:
                return ERR_LOG_TRUNCATED;
        case LOG_STATE_TRIMMED:
                return ERR_IMA_TRIMMED;
        case LOG_STATE_MALFORMED:
                return type == EVIDENCE_LOG_IMA ? ERR_IMA_MALFORMED : ERR_EVENTLOG_MALFORMED;
        case LOG_STATE_MISMATCH:
                return type == EVIDENCE_LOG_IMA ? ERR_IMA_MISMATCH : ERR_EVENTLOG_MISMATCH;
        case LOG_STATE_OFF:
        case LOG_STATE_OK:
        case _LOG_STATE_MAX:
                break;
        }
        return ERR_NONE;
}

Err *log_state_to_error(LogState state, const LogFile *file, const char *reason) {
        ErrCode code = code_of(state, file->type);
        return code == ERR_NONE ? NULL : err_new(code, "%s", reason ? reason : log_state_to_string(state));
}
