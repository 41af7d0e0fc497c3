/* See collector.h. Connecting or starting, and the calls. */
#include "collector/collector.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "build-config.h"
#include "collector/answer.h"
#include "config/config.h"

#define PROGRAM_NAME "attestd-tpm"
/* Where the child finds its end of the socket pair. */
#define CHILD_FD 3
/* How long a collector of ours may take to leave after its end of file, and after SIGKILL (a chip that hangs holds its process). */
#define EXIT_MSEC 2000
#define KILLED_MSEC 500

struct Collector {
        sd_bus *bus;
        pid_t pid;          /* 0: not started by us */
};

CollectorInfo *collector_info_free(CollectorInfo *info) {
        if (!info)
                return NULL;
        free(info->manufacturer);
        free(info->vendor);
        free(info->firmware_version);
        free(info->pcr_bank);
        free(info->aik_fingerprint);
        free(info->aik_origin);
        free(info->aik_notice);
        free(info->aik_certificate_issuer);
        free(info->vbs_report);
        for (char **bank = info->banks; bank && *bank; bank++)
                free(*bank);
        free(info->banks);
        bytes_done(&info->aik_public);
        bytes_done(&info->aik_name);
        bytes_done(&info->aik_certificate);
        free(info);
        return NULL;
}

/* PATH/NAME if that can be executed, else NULL in *ret. */
static Err *executable_in(const char *directory, const char *name, char **ret) {
        _cleanup_free_ char *path = NULL;
        TRY(string_format(&path, "%s/%s", directory, name));
        *ret = access(path, X_OK) == 0 ? steal_ptr(&path) : NULL;
        return NULL;
}

static Err *find_program(const CollectorOptions *options, char **ret) {
        const char *named = options->program ? options->program : secure_getenv("ATTESTD_COLLECTOR");
        if (named && *named)
                return string_copy(named, ret);

        char own[PATH_MAX];
        ssize_t n = readlink("/proc/self/exe", own, sizeof(own) - 1);
        if (n > 0) {
                own[n] = 0;
                char *slash = strrchr(own, '/');
                if (slash)
                        *slash = 0;
                /* beside us; the build tree; PREFIX/bin and PREFIX/libexec/attestd of a relocated installation */
                static const char *const names[] = { PROGRAM_NAME, "../tpm/" PROGRAM_NAME, "../libexec/attestd/" PROGRAM_NAME };
                for (size_t i = 0; i < N_ELEMENTS(names); i++) {
                        TRY(executable_in(own, names[i], ret));
                        if (*ret)
                                return NULL;
                }
        }
        TRY(executable_in(LIBEXEC_DIRECTORY, PROGRAM_NAME, ret));
        return *ret ? NULL : err_new(ERR_COLLECTOR_UNAVAILABLE, "%s is neither beside this program nor in %s", PROGRAM_NAME, LIBEXEC_DIRECTORY);
}

static int spawn_with_fd(const char *program, char *const *arguments, int fd, pid_t *ret_pid) {
        posix_spawn_file_actions_t actions;
        int r = posix_spawn_file_actions_init(&actions);
        if (r != 0)
                return r;
        /* glibc clears FD_CLOEXEC even where fd is CHILD_FD already */
        r = posix_spawn_file_actions_adddup2(&actions, fd, CHILD_FD);
        /* nothing else of ours is the collector's, whatever libraries opened without FD_CLOEXEC: connections to the network among it */
        if (r == 0)
                r = posix_spawn_file_actions_addclosefrom_np(&actions, CHILD_FD + 1);
        /* it prints nothing there, and who reads our output through a pipe shall not wait for its end */
        if (r == 0)
                r = posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
        if (r == 0)
                r = posix_spawn(ret_pid, program, &actions, NULL, arguments, environ);
        posix_spawn_file_actions_destroy(&actions);
        return r;
}

static Err *start_program(const CollectorOptions *options, pid_t *ret_pid, int *ret_fd) {
        _cleanup_free_ char *program = NULL, *config = NULL, *bus = NULL;
        TRY(find_program(options, &program));
        TRY(string_format(&bus, "--bus-fd=%d", CHILD_FD));
        if (options->config_file)
                TRY(string_format(&config, "--config=%s", options->config_file));

        int pair[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return err_new_errno(ERR_COLLECTOR_UNAVAILABLE, errno, "making a socket pair for %s", program);
        _cleanup_close_ int ours = pair[0], theirs = pair[1];
        char *arguments[] = { program, bus, config, NULL };
        pid_t pid;
        int r = spawn_with_fd(program, arguments, theirs, &pid);
        if (r != 0)
                return err_new_errno(ERR_COLLECTOR_UNAVAILABLE, r, "starting %s", program);
        *ret_pid = pid;
        *ret_fd = steal_fd(&ours);
        return NULL;
}

static Err *connect_socket(const char *path, int *ret_fd) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int n = snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
        if (n < 0 || (size_t) n >= sizeof(address.sun_path))
                return err_new(ERR_COLLECTOR_UNAVAILABLE, "the socket path %s is longer than the %zu bytes that a socket address holds", path,
                               sizeof(address.sun_path) - 1);
        /* non-blocking: connect() waits for room in the queue of a listener that hangs */
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0 || connect(fd, (const struct sockaddr *) &address, sizeof(address)) < 0)
                return err_new_errno(ERR_COLLECTOR_UNAVAILABLE, errno, "connecting to %s", path);
        *ret_fd = steal_fd(&fd);
        return NULL;
}

static bool is_socket(const char *path) {
        struct stat st;
        return stat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

static Err *reach(const CollectorOptions *options, pid_t *ret_pid, int *ret_fd) {
        _cleanup_free_ char *path = NULL;
        if (options->socket_path)
                TRY(string_copy(options->socket_path, &path));
        else
                TRY(string_format(&path, "%s/tpm.sock", config_runtime_directory()));
        if (is_socket(path))
                return connect_socket(path, ret_fd);
        return start_program(options, ret_pid, ret_fd);
}

static Err *start_bus(int *steal_socket, sd_bus **ret) {
        sd_bus *bus = NULL;
        int r = sd_bus_new(&bus);
        if (r >= 0)
                r = sd_bus_set_description(bus, PROGRAM_NAME);
        if (r >= 0)
                r = sd_bus_set_fd(bus, *steal_socket, *steal_socket);
        if (r >= 0)
                steal_fd(steal_socket);
        if (r >= 0)
                r = sd_bus_start(bus);
        if (r < 0) {
                sd_bus_close_unref(bus);
                return err_new_errno(ERR_COLLECTOR_UNAVAILABLE, r, "setting up the bus to " PROGRAM_NAME);
        }
        *ret = bus;
        return NULL;
}

Err *collector_open(const CollectorOptions *options, Collector **ret) {
        _cleanup_close_ int fd = options->socket_fd;
        _cleanup_(collector_freep) Collector *collector = calloc(1, sizeof(Collector));
        if (!collector)
                return err_oom();
        if (fd < 0)
                TRY(reach(options, &collector->pid, &fd));
        TRY(start_bus(&fd, &collector->bus));
        *ret = steal_ptr(&collector);
        return NULL;
}

/* Waits until the process has ended or msec are over; true if it was reaped. */
static bool wait_for_exit(pid_t pid, int pidfd, int msec) {
        struct pollfd wait = { .fd = pidfd, .events = POLLIN };
        if (pidfd >= 0)
                while (poll(&wait, 1, msec) < 0 && errno == EINTR)
                        ;
        return waitpid(pid, NULL, WNOHANG) != 0;
}

static void end_program(pid_t pid) {
        _cleanup_close_ int pidfd = pidfd_open(pid, 0);
        if (wait_for_exit(pid, pidfd, EXIT_MSEC))
                return;
        kill(pid, SIGKILL);
        (void) wait_for_exit(pid, pidfd, KILLED_MSEC);
}

Collector *collector_free(Collector *collector) {
        if (!collector)
                return NULL;
        sd_bus_close_unref(collector->bus);
        if (collector->pid > 0)
                end_program(collector->pid);
        free(collector);
        return NULL;
}

sd_bus *collector_bus(Collector *collector) {
        return collector->bus;
}

pid_t collector_pid(const Collector *collector) {
        return collector->pid;
}

static inline void message_unrefp(sd_bus_message **message) {
        sd_bus_message_unref(*message);
}

static Err *new_call(Collector *collector, const char *method, sd_bus_message **ret) {
        int r = sd_bus_message_new_method_call(collector->bus, ret, NULL, COLLECTOR_OBJECT, COLLECTOR_INTERFACE, method);
        return r < 0 ? err_new_errno(r == -ENOTCONN ? ERR_COLLECTOR_UNAVAILABLE : ERR_INTERNAL, r, "making the call %s", method) : NULL;
}

Err *collector_ping_call(Collector *collector, sd_bus_message **ret) {
        return new_call(collector, "Ping", ret);
}

Err *collector_info_call(Collector *collector, sd_bus_message **ret) {
        return new_call(collector, "GetInfo", ret);
}

/* METHOD(ay data, a{sv} options) */
static Err *new_call_with_data(Collector *collector, const char *method, Span data, sd_bus_message **ret) {
        _cleanup_(message_unrefp) sd_bus_message *call = NULL;
        TRY(new_call(collector, method, &call));
        int r = sd_bus_message_append_array(call, 'y', data.data, data.size);
        if (r >= 0)
                r = sd_bus_message_append(call, "a{sv}", 0);
        if (r < 0)
                return err_new_errno(ERR_INTERNAL, r, "making the call %s", method);
        *ret = steal_ptr(&call);
        return NULL;
}

static int append_bytes_option(sd_bus_message *call, const char *name, Span value) {
        int r = sd_bus_message_open_container(call, 'e', "sv");
        if (r >= 0)
                r = sd_bus_message_append_basic(call, 's', name);
        if (r >= 0)
                r = sd_bus_message_open_container(call, 'v', "ay");
        if (r >= 0)
                r = sd_bus_message_append_array(call, 'y', value.data, value.size);
        if (r >= 0)
                r = sd_bus_message_close_container(call);
        return r < 0 ? r : sd_bus_message_close_container(call);
}

Err *collector_quote_call(Collector *collector, Span qualifying_data, Span certify, sd_bus_message **ret) {
        _cleanup_(message_unrefp) sd_bus_message *call = NULL;
        TRY(new_call(collector, "Quote", &call));
        int r = sd_bus_message_append_array(call, 'y', qualifying_data.data, qualifying_data.size);
        if (r >= 0)
                r = sd_bus_message_open_container(call, 'a', "{sv}");
        if (r >= 0 && certify.size > 0)
                r = append_bytes_option(call, "certify", certify);
        if (r >= 0)
                r = sd_bus_message_close_container(call);
        if (r < 0)
                return err_new_errno(ERR_INTERNAL, r, "making the call Quote");
        *ret = steal_ptr(&call);
        return NULL;
}

Err *collector_sign_call(Collector *collector, Span digest, sd_bus_message **ret) {
        return new_call_with_data(collector, "Sign", digest, ret);
}

Err *collector_report_call(Collector *collector, Span user_data, sd_bus_message **ret) {
        return new_call_with_data(collector, "GetVbsReport", user_data, ret);
}

/* Both sd_bus_call() and asynchronous replies come here: NULL if reply is a method return. */
static Err *check_reply(sd_bus_message *reply) {
        if (!sd_bus_message_is_method_error(reply, NULL))
                return NULL;
        sd_bus *bus = sd_bus_message_get_bus(reply);
        return answer_error(sd_bus_message_get_error(reply), bus && sd_bus_is_open(bus) > 0);
}

Err *collector_ping_reply(sd_bus_message *reply) {
        return check_reply(reply);
}

Err *collector_info_reply(sd_bus_message *reply, CollectorInfo **ret) {
        TRY(check_reply(reply));
        _cleanup_(collector_info_freep) CollectorInfo *info = calloc(1, sizeof(CollectorInfo));
        if (!info)
                return err_oom();
        TRY(answer_read_info(reply, info));
        *ret = steal_ptr(&info);
        return NULL;
}

Err *collector_quote_reply(sd_bus_message *reply, Evidence **ret) {
        TRY(check_reply(reply));
        _cleanup_(evidence_freep) Evidence *evidence = calloc(1, sizeof(Evidence));
        if (!evidence)
                return err_oom();
        TRY(answer_read_evidence(reply, evidence));
        *ret = steal_ptr(&evidence);
        return NULL;
}

static Err *read_bytes_reply(sd_bus_message *reply, const char *what, Bytes *ret) {
        const void *data;
        size_t size;
        int r = sd_bus_message_read_array(reply, 'y', &data, &size);
        if (r < 0)
                return err_new_errno(ERR_COLLECTOR_ANSWER_INVALID, r, "attestd-tpm's answer is no %s", what);
        return bytes_copy(span_make(data, size), ret);
}

Err *collector_sign_reply(sd_bus_message *reply, Bytes *ret_signature) {
        TRY(check_reply(reply));
        return read_bytes_reply(reply, "signature", ret_signature);
}

Err *collector_report_reply(sd_bus_message *reply, VsmReportKind *ret_kind, Bytes *ret_report) {
        TRY(check_reply(reply));
        return answer_read_report(reply, ret_kind, ret_report);
}

static Err *call_blocking(Collector *collector, sd_bus_message *call, uint64_t timeout_usec, sd_bus_message **ret) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        int r = sd_bus_call(collector->bus, call, timeout_usec, &error, ret);
        Err *err = r < 0 ? answer_error(&error, sd_bus_is_open(collector->bus) > 0) : NULL;
        sd_bus_error_free(&error);
        return err;
}

Err *collector_get_info(Collector *collector, CollectorInfo **ret) {
        _cleanup_(message_unrefp) sd_bus_message *call = NULL, *reply = NULL;
        TRY(collector_info_call(collector, &call));
        TRY(call_blocking(collector, call, COLLECTOR_INFO_USEC, &reply));
        return collector_info_reply(reply, ret);
}

Err *collector_sign(Collector *collector, Span digest, Bytes *ret_signature) {
        _cleanup_(message_unrefp) sd_bus_message *call = NULL, *reply = NULL;
        TRY(collector_sign_call(collector, digest, &call));
        TRY(call_blocking(collector, call, COLLECTOR_SIGN_USEC, &reply));
        return collector_sign_reply(reply, ret_signature);
}

Err *collector_quote(Collector *collector, Span qualifying_data, Span certify, Evidence **ret) {
        _cleanup_(message_unrefp) sd_bus_message *call = NULL, *reply = NULL;
        TRY(collector_quote_call(collector, qualifying_data, certify, &call));
        TRY(call_blocking(collector, call, COLLECTOR_QUOTE_USEC, &reply));
        return collector_quote_reply(reply, ret);
}

static Err *call_made(const char *method, int r) {
        return r < 0 ? err_new_errno(ERR_INTERNAL, r, "making the call %s", method) : NULL;
}

Err *collector_collect_guest(Collector *collector, Evidence **ret) {
        _cleanup_(message_unrefp) sd_bus_message *call = NULL, *reply = NULL;
        TRY(new_call(collector, "CollectGuest", &call));
        TRY(call_made("CollectGuest", sd_bus_message_append(call, "a{sv}", 0)));
        TRY(call_blocking(collector, call, COLLECTOR_GUEST_USEC, &reply));
        return collector_quote_reply(reply, ret);
}

Err *collector_guest_decrypt(Collector *collector, Span ciphertext, Bytes *ret) {
        _cleanup_(message_unrefp) sd_bus_message *call = NULL, *reply = NULL;
        TRY(new_call_with_data(collector, "GuestDecrypt", ciphertext, &call));
        TRY(call_blocking(collector, call, COLLECTOR_GUEST_USEC, &reply));
        TRY(check_reply(reply));
        TRY(call_made("GuestDecrypt", sd_bus_message_sensitive(reply)));
        return read_bytes_reply(reply, "plaintext", ret);
}

Err *collector_report(Collector *collector, Span user_data, VsmReportKind *ret_kind, Bytes *ret_report) {
        _cleanup_(message_unrefp) sd_bus_message *call = NULL, *reply = NULL;
        TRY(collector_report_call(collector, user_data, &call));
        TRY(call_blocking(collector, call, COLLECTOR_REPORT_USEC, &reply));
        return collector_report_reply(reply, ret_kind, ret_report);
}

void collector_endorsement_done(CollectorEndorsement *endorsement) {
        bytes_done(&endorsement->ek_public);
        bytes_done(&endorsement->ek_certificate);
        bytes_done(&endorsement->ek_chain);
        freep(&endorsement->ek_origin);
        freep(&endorsement->ek_notice);
}

Err *collector_get_endorsement_key(Collector *collector, const char *algorithm, CollectorEndorsement *ret) {
        _cleanup_(message_unrefp) sd_bus_message *call = NULL, *reply = NULL;
        _cleanup_(collector_endorsement_done) CollectorEndorsement endorsement = {};
        TRY(new_call(collector, "GetEndorsementKey", &call));
        TRY(call_made("GetEndorsementKey", sd_bus_message_append(call, "a{sv}", 1, "algorithm", "s", algorithm)));
        TRY(call_blocking(collector, call, COLLECTOR_INFO_USEC, &reply));
        TRY(check_reply(reply));
        TRY(answer_read_endorsement(reply, &endorsement));
        *ret = endorsement;
        endorsement = (CollectorEndorsement) {};
        return NULL;
}

Err *collector_activate_credential(Collector *collector, Span id_object, Span encrypted_secret, Bytes *ret_secret) {
        _cleanup_(message_unrefp) sd_bus_message *call = NULL, *reply = NULL;
        TRY(new_call(collector, "ActivateCredential", &call));
        int r = sd_bus_message_append_array(call, 'y', id_object.data, id_object.size);
        if (r >= 0)
                r = sd_bus_message_append_array(call, 'y', encrypted_secret.data, encrypted_secret.size);
        if (r >= 0)
                r = sd_bus_message_append(call, "a{sv}", 0);
        TRY(call_made("ActivateCredential", r));
        TRY(call_blocking(collector, call, COLLECTOR_INFO_USEC, &reply));
        TRY(check_reply(reply));
        return read_bytes_reply(reply, "secret", ret_secret);
}

Err *collector_store_aik_certificate(Collector *collector, Span der) {
        _cleanup_(message_unrefp) sd_bus_message *call = NULL, *reply = NULL;
        TRY(new_call(collector, "StoreAikCertificate", &call));
        TRY(call_made("StoreAikCertificate", sd_bus_message_append_array(call, 'y', der.data, der.size)));
        TRY(call_blocking(collector, call, COLLECTOR_INFO_USEC, &reply));
        return check_reply(reply);
}

Err *collector_keep_boot_attestation(Collector *collector, BootAttestationState *ret_state) {
        _cleanup_(message_unrefp) sd_bus_message *call = NULL, *reply = NULL;
        const char *state;
        TRY(new_call(collector, "KeepBootAttestation", &call));
        TRY(call_made("KeepBootAttestation", sd_bus_message_append(call, "a{sv}", 0)));
        TRY(call_blocking(collector, call, COLLECTOR_QUOTE_USEC, &reply));
        TRY(check_reply(reply));
        int r = sd_bus_message_read(reply, "s", &state);
        if (r < 0)
                return err_new_errno(ERR_COLLECTOR_ANSWER_INVALID, r, "attestd-tpm's answer is no state");
        *ret_state = boot_attestation_state_from_string(state);
        return NULL;
}
