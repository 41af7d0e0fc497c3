/* See vbs-command.h. The collector is blocked meanwhile: poll() on both pipes and on the process, until the program has ended or its time is over. What it
 * started itself may keep the pipes open, so its end is what counts, not theirs. */
#include "tpm/vbs-command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/writer.h"
#include "tcg/evidence.h"

#define CHUNK 4096
#define CHUNKS_MAX 32 /* at once; twice what a pipe holds, so whoever writes for ever is not read for ever */
#define WORDS_MAX 400 /* of standard error: its end is quoted in the error */

typedef struct Command {
        pid_t pid;            /* not reaped yet; 0: none */
        int pidfd, output_fd, words_fd;
        Writer output;
        size_t output_size;
        char words[WORDS_MAX + 1];
        size_t n_words;
} Command;

/* Its group goes before it is reaped: until then the number cannot be another's. */
static int command_reap(Command *command) {
        int status = 0;
        if (command->pid <= 0)
                return 0;
        (void) kill(-command->pid, SIGKILL);
        while (waitpid(command->pid, &status, 0) < 0 && errno == EINTR)
                ;
        command->pid = 0;
        return status;
}

static void command_done(Command *command) {
        (void) command_reap(command);
        fd_closep(&command->pidfd);
        fd_closep(&command->output_fd);
        fd_closep(&command->words_fd);
        writer_done(&command->output);
}

static Err *make_pipe(int *ret_read, int *ret_write) {
        int fds[2];
        if (pipe2(fds, O_CLOEXEC) < 0)
                return err_new_errno(ERR_VBS_REPORT_UNAVAILABLE, errno, "making a pipe");
        *ret_read = fds[0];
        *ret_write = fds[1];
        return NULL;
}

static int set_attributes(posix_spawnattr_t *attributes) {
        sigset_t none, all;
        sigemptyset(&none);
        sigfillset(&all);
        int r = posix_spawnattr_setsigmask(attributes, &none);
        if (r == 0)
                r = posix_spawnattr_setsigdefault(attributes, &all);
        if (r == 0)
                r = posix_spawnattr_setpgroup(attributes, 0);
        return r == 0 ? posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP) : r;
}

static int spawn(const char *path, int input, int output, int words, pid_t *ret_pid) {
        static char *const environment[] = { (char *) "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", (char *) "LC_ALL=C.UTF-8", NULL };
        char *arguments[] = { (char *) path, NULL };
        const int fds[] = { input, output, words };
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        int r = posix_spawn_file_actions_init(&actions);
        if (r != 0)
                return r;
        r = posix_spawnattr_init(&attributes);
        if (r != 0) {
                posix_spawn_file_actions_destroy(&actions);
                return r;
        }
        for (int i = 0; r == 0 && i < (int) N_ELEMENTS(fds); i++)
                r = posix_spawn_file_actions_adddup2(&actions, fds[i], i);
        if (r == 0)
                r = posix_spawn_file_actions_addclosefrom_np(&actions, (int) N_ELEMENTS(fds));
        if (r == 0)
                r = set_attributes(&attributes);
        if (r == 0)
                r = posix_spawn(ret_pid, path, &actions, &attributes, arguments, environment);
        posix_spawnattr_destroy(&attributes);
        posix_spawn_file_actions_destroy(&actions);
        return r;
}

/* The request is in the pipe before there is a reader, so that one who does not read is no SIGPIPE. */
static Err *start(Command *command, const char *path, Span request) {
        _cleanup_close_ int input = -1, feed = -1, output = -1, words = -1;
        TRY(make_pipe(&input, &feed));
        TRY(make_pipe(&command->output_fd, &output));
        TRY(make_pipe(&command->words_fd, &words));
        if (fcntl(feed, F_SETFL, O_NONBLOCK) < 0 || write(feed, request.data, request.size) != (ssize_t) request.size)
                return err_new(ERR_VBS_REPORT_UNAVAILABLE, "%zu bytes do not fit into a pipe", request.size);
        if (fcntl(command->output_fd, F_SETFL, O_NONBLOCK) < 0 || fcntl(command->words_fd, F_SETFL, O_NONBLOCK) < 0)
                return err_new_errno(ERR_VBS_REPORT_UNAVAILABLE, errno, "setting up the pipes");
        /* descriptors 0 to 2 are the child's: a pipe that got one of these numbers here would be overwritten before it is used */
        if (input <= STDERR_FILENO || output <= STDERR_FILENO || words <= STDERR_FILENO)
                return err_new(ERR_INTERNAL, "standard descriptors are closed");
        pid_t pid;
        int r = spawn(path, input, output, words, &pid);
        if (r != 0)
                return err_new_errno(ERR_VBS_REPORT_UNAVAILABLE, r, "starting %s", path);
        command->pid = pid;
        command->pidfd = pidfd_open(pid, 0);
        return command->pidfd < 0 ? err_new_errno(ERR_VBS_REPORT_UNAVAILABLE, errno, "watching %s", path) : NULL;
}

static Err *take_output(Command *command, Span bytes) {
        command->output_size += bytes.size;
        if (command->output_size > VSM_REPORT_SIZE_MAX)
                return err_new(ERR_LIMIT_EXCEEDED, "it writes more than the %u bytes that a report may have", VSM_REPORT_SIZE_MAX);
        writer_span(&command->output, bytes);
        return NULL;
}

/* Keeps the end, printable. */
static Err *take_words(Command *command, Span bytes) {
        for (size_t i = 0; i < bytes.size; i++) {
                if (command->n_words == WORDS_MAX) {
                        memmove(command->words, command->words + 1, WORDS_MAX - 1);
                        command->n_words--;
                }
                uint8_t byte = bytes.data[i];
                command->words[command->n_words++] = byte >= ' ' && byte <= '~' ? (char) byte : byte == '\n' || byte == '\t' ? ' ' : '?';
        }
        return NULL;
}

/* Reads what is there, a pipe's content at least; closes fd at its end. */
static Err *drain(Command *command, int *fd, Err *(*take)(Command *, Span)) {
        uint8_t buffer[CHUNK];
        for (unsigned i = 0; *fd >= 0 && i < CHUNKS_MAX; i++) {
                ssize_t n = read(*fd, buffer, sizeof(buffer));
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        return NULL;
                if (n <= 0)
                        fd_closep(fd);
                else
                        TRY(take(command, span_make(buffer, (size_t) n)));
        }
        return NULL;
}

static uint64_t now_usec(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t) now.tv_sec * USEC_PER_SEC + (uint64_t) now.tv_nsec / NSEC_PER_USEC;
}

static Err *watch(Command *command, uint64_t timeout_usec) {
        uint64_t end = now_usec() + timeout_usec;
        for (;;) {
                uint64_t now = now_usec();
                if (now >= end)
                        return err_new(ERR_TIMEOUT, "it was not done within %llu s and was killed", (unsigned long long) (timeout_usec / USEC_PER_SEC));
                struct pollfd wait[] = {
                        { .fd = command->pidfd, .events = POLLIN },
                        { .fd = command->output_fd, .events = POLLIN },
                        { .fd = command->words_fd, .events = POLLIN },
                };
                if (poll(wait, N_ELEMENTS(wait), (int) ((end - now + USEC_PER_MSEC - 1) / USEC_PER_MSEC)) < 0 && errno != EINTR)
                        return err_new_errno(ERR_INTERNAL, errno, "waiting for it");
                bool has_ended = wait[0].revents != 0;   /* before the pipes are read, so that nothing can come behind */
                TRY(drain(command, &command->output_fd, take_output));
                TRY(drain(command, &command->words_fd, take_words));
                if (has_ended)
                        return NULL;
        }
}

static Err *check_status(int status) {
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
                return NULL;
        if (WIFEXITED(status))
                return err_new(ERR_VBS_REPORT_UNAVAILABLE, "it ended with status %d", WEXITSTATUS(status));
        return err_new(ERR_VBS_REPORT_UNAVAILABLE, "it was killed by signal %d", WTERMSIG(status));
}

static const char *tail(const Command *command) {
        size_t n = command->n_words, i = 0;
        while (i < n && command->words[i] == ' ')
                i++;
        return command->words + i;
}

Err *vbs_command_run(const char *path, Span request, uint64_t timeout_usec, Bytes *ret_output) {
        _cleanup_(command_done) Command command = { .pidfd = -1, .output_fd = -1, .words_fd = -1 };
        TRY(start(&command, path, request));
        Err *err = watch(&command, timeout_usec);
        if (!err)
                err = check_status(command_reap(&command));   /* it has ended, so its status stands: only the rest of its group is killed */
        while (command.n_words > 0 && command.words[command.n_words - 1] == ' ')
                command.words[--command.n_words] = 0;
        if (err)
                return command.n_words > 0 ? err_wrap(err, "standard error of %s ends with \"%s\"", path, tail(&command)) : err_wrap(err, "running %s", path);
        return writer_finish(&command.output, ret_output);
}
