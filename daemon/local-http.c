/* See local-http.h. libmicrohttpd has one daemon for each listening socket, without threads: its epoll descriptor and its timeout are sources of the event
 * loop. A client has LOCAL_HTTP_IDLE_SEC to bring a whole request, and again to take the answer, however slowly it trickles. While a request waits for an
 * attestation its connection is suspended, and libmicrohttpd does not look at it: a watch of our own sees the client go and cancels the work.
 *
 * Who is answered before his body was read is still sending it. libmicrohttpd closes such a connection behind the answer; then a client's next write fails, and one
 * that does not look for an answer in between never sees it (curl with "Expect:" ends with EPIPE now and then, a plain write loop always). So the connection
 * lingers: nothing more is sent, what comes is read and forgotten, until the client has read the answer and closes, or LOCAL_HTTP_IDLE_SEC are over. It
 * counts as a client meanwhile. */
#include "daemon/local-http.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "daemon/local-http-internal.h"
#include "daemon/local-socket.h"
#include "daemon/log.h"

#define LISTENERS_MAX 16
/* Connections above the limit are accepted so that they can be told so. */
#define MHD_CONNECTIONS_MAX (LOCAL_HTTP_CLIENTS_MAX + 16)
#define BODY_READ_MAX (16ull * LOCAL_HTTP_BODY_MAX)
#define CONNECTION_MEMORY (32u << 10)     /* request line, headers and a piece of the body */
#define LINGER_PIECE (64u << 10)          /* read at once, before others get their turn */

struct LocalListener {
        LocalHttp *http;
        struct MHD_Daemon *daemon;
        sd_event_source *io, *timer;
        bool metrics_only;
};

struct LocalClient {
        LocalListener *listener;
        int fd;                           /* of the connection, borrowed */
        Caller caller;
        bool has_caller;
        sd_event_source *deadline;
        LocalExchange *exchange;
        bool has_early_answer;            /* its body was not read */
        int linger_fd;                    /* of the connection that libmicrohttpd has closed, our own; -1: it has not */
        sd_event_source *linger;
        LocalClient *next;
};

struct LocalHttp {
        Manager *manager;
        LocalListener listeners[LISTENERS_MAX];
        size_t n_listeners;
        LocalClient *clients;
        size_t n_clients;
        char *own_path;                   /* of the socket that we made */
        int own_fd;                       /* borrowed from its listener */
};

/* Without threads libmicrohttpd has no descriptor that says that a connection was resumed: who resumes lets it run. */
static void listener_run_soon(LocalListener *listener, uint64_t delay_usec) {
        sd_event_source_set_time_relative(listener->timer, delay_usec);
        sd_event_source_set_enabled(listener->timer, SD_EVENT_ONESHOT);
}

/* ---- one request ---- */

static void exchange_unwatch(LocalExchange *x) {
        x->hangup = sd_event_source_disable_unref(x->hangup);
}

static void exchange_cancel(LocalExchange *x) {
        x->attest = attest_ticket_cancel(x->attest);
        x->validate = validate_ticket_cancel(x->validate);
        exchange_unwatch(x);
}

static void exchange_free(LocalExchange *x) {
        if (!x)
                return;
        exchange_cancel(x);
        if (x->client)
                x->client->exchange = NULL;
        local_request_done(&x->request);
        writer_done(&x->body);
        free(x->target);
        free(x->answer.body);
        free(x);
}

static void exchange_resume(LocalExchange *x) {
        exchange_unwatch(x);
        if (!x->is_suspended)
                return;
        x->is_suspended = false;
        MHD_resume_connection(x->connection);
        listener_run_soon(x->client->listener, 0);
}

void local_exchange_continue(LocalExchange *x) {
        exchange_resume(x);
}

static int on_hangup(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        LocalExchange *x = userdata;
        exchange_cancel(x);
        x->is_abandoned = true;
        exchange_resume(x);
        return 0;
}

static void client_arm_deadline(LocalClient *client) {
        sd_event_source_set_time_relative(client->deadline, LOCAL_HTTP_IDLE_SEC * USEC_PER_SEC);
        sd_event_source_set_enabled(client->deadline, SD_EVENT_ONESHOT);
}

static enum MHD_Result exchange_suspend(LocalExchange *x) {
        int r = sd_event_add_io(manager_event(x->manager), &x->hangup, x->client->fd, EPOLLHUP, on_hangup, x);
        if (r < 0)
                return MHD_NO;
        sd_event_source_set_enabled(x->client->deadline, SD_EVENT_OFF);
        MHD_suspend_connection(x->connection);
        x->is_suspended = true;
        return MHD_YES;
}

static bool header_add_number(struct MHD_Response *response, const char *name, uint64_t value) {
        char text[sizeof("18446744073709551615")];
        snprintf(text, sizeof(text), "%ju", (uintmax_t) value);
        return MHD_add_response_header(response, name, text) == MHD_YES;
}

static bool answer_add_headers(const LocalExchange *x, struct MHD_Response *response) {
        const LocalAnswer *answer = &x->answer;
        bool is_crowded = x->client->listener->http->n_clients > LOCAL_HTTP_CLIENTS_MAX / 2;
        return MHD_add_response_header(response, "Content-Type", answer->content_type) == MHD_YES &&
               MHD_add_response_header(response, "Cache-Control", "no-store") == MHD_YES &&
               (!answer->allow || MHD_add_response_header(response, "Allow", answer->allow) == MHD_YES) &&
               (answer->retry_after_sec == 0 || header_add_number(response, "Retry-After", answer->retry_after_sec)) &&
               (!is_crowded || MHD_add_response_header(response, "Connection", "close") == MHD_YES);
}

static enum MHD_Result exchange_answer(LocalExchange *x) {
        char *body = steal_ptr(&x->answer.body);
        struct MHD_Response *response = MHD_create_response_from_buffer(body ? strlen(body) : 0, body ? body : (char *) "",
                                                                       body ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
        if (!response) {
                free(body);
                return MHD_NO;
        }
        client_arm_deadline(x->client);
        enum MHD_Result r = answer_add_headers(x, response) ? MHD_queue_response(x->connection, x->answer.status, response) : MHD_NO;
        MHD_destroy_response(response);
        return r;
}

static const char *request_header(const LocalExchange *x, const char *name) {
        return MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name);
}

static Err *body_check_headers(LocalExchange *x, uint64_t size) {
        const char *encoding = request_header(x, "Content-Encoding");
        if (encoding && strcasecmp(encoding, "identity") != 0)
                return err_new(ERR_REQUEST_INVALID, "Content-Encoding: only identity is understood");
        x->body_too_large = size > LOCAL_HTTP_BODY_MAX;
        return NULL;
}

static void answer_too_large(LocalExchange *x) {
        local_answer_error(x, err_new(ERR_REQUEST_INVALID, "the body is larger than %u bytes", LOCAL_HTTP_BODY_MAX), 413);
}

/* Headers only. What is refused now is told at once to a client that waits for it (Expect), or would send very much; others look for an answer only
 * behind their body: it is read, within reason, and forgotten. */
static enum MHD_Result exchange_begin(LocalExchange *x, const char *method) {
        const char *length = request_header(x, "Content-Length");
        uint64_t size = length ? strtoull(length, NULL, 10) : 0;
        x->has_begun = true;
        local_route_admit(x, method, x->client->listener->metrics_only);
        if (x->answer.status == 0) {
                Err *err = body_check_headers(x, size);
                if (err)
                        local_answer_error(x, err, 415);
                else if (x->body_too_large)
                        answer_too_large(x);
        }
        bool at_once = size > BODY_READ_MAX || request_header(x, "Expect");
        if (x->answer.status == 0 || !at_once)
                return MHD_YES;
        x->client->has_early_answer = true;
        return exchange_answer(x);
}

/* false: enough of it. */
static bool exchange_take_body(LocalExchange *x, Span piece) {
        x->body_read += piece.size;
        x->body_too_large = x->body_too_large || piece.size > LOCAL_HTTP_BODY_MAX - x->body.output.size;
        if (x->answer.status == 0 && !x->body_too_large)
                writer_span(&x->body, piece);
        return x->body_read <= BODY_READ_MAX;
}

static enum MHD_Result exchange_end(LocalExchange *x) {
        if (x->is_abandoned)
                return MHD_NO;
        if (x->answer.status == 0) {
                if (x->body_too_large)
                        answer_too_large(x);
                else if (x->body.failed)
                        local_answer_error(x, err_oom(), 0);
                else
                        local_route_run(x);
        }
        return x->answer.status != 0 ? exchange_answer(x) : exchange_suspend(x);
}

static enum MHD_Result on_request(void *userdata, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
                                  const char *upload, size_t *upload_size, void **exchange) {
        LocalExchange *x = *exchange;
        if (!x || !x->client)
                return MHD_NO;
        if (!x->has_begun)
                return exchange_begin(x, method);
        if (*upload_size > 0) {
                bool go_on = exchange_take_body(x, span_make(upload, *upload_size));
                *upload_size = 0;
                return go_on ? MHD_YES : MHD_NO;
        }
        return exchange_end(x);
}

static LocalClient *connection_client(struct MHD_Connection *connection) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
        return info ? info->socket_context : NULL;
}

/* The first that is heard of a request; what is returned comes back as its context. */
static void *on_target(void *userdata, const char *target, struct MHD_Connection *connection) {
        LocalListener *listener = userdata;
        LocalClient *client = connection_client(connection);
        LocalExchange *x = calloc(1, sizeof(LocalExchange));
        if (!x || !client) {
                free(x);
                return NULL;
        }
        *x = (LocalExchange) {
                .manager = listener->http->manager,
                .client = client,
                .caller = client->has_caller ? &client->caller : NULL,
                .connection = connection,
                .target = strdup(target),
        };
        if (!x->target) {
                free(x);
                return NULL;
        }
        client->exchange = x;
        return x;
}

static void on_completed(void *userdata, struct MHD_Connection *connection, void **exchange, enum MHD_RequestTerminationCode why) {
        LocalExchange *x = *exchange;
        if (x && x->client)
                client_arm_deadline(x->client);
        exchange_free(x);
        *exchange = NULL;
}

/* ---- clients ---- */

static size_t clients_of_user(const LocalHttp *http, const LocalClient *like) {
        size_t n = 0;
        for (const LocalClient *client = http->clients; client; client = client->next)
                n += client->has_caller == like->has_caller && (!like->has_caller || client->caller.uid == like->caller.uid);
        return n;
}

static LocalClient *client_free(LocalClient *client) {
        if (!client)
                return NULL;
        LocalHttp *http = client->listener->http;
        for (LocalClient **place = &http->clients; *place; place = &(*place)->next)
                if (*place == client) {
                        *place = client->next;
                        http->n_clients--;
                        break;
                }
        if (client->exchange)
                client->exchange->client = NULL;
        sd_event_source_disable_unref(client->deadline);
        sd_event_source_disable_unref(client->linger);
        fd_closep(&client->linger_fd);
        caller_done(&client->caller);
        free(client);
        return NULL;
}
DEFINE_CLEANUP(LocalClient, client_free)

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
        LocalClient *client = userdata;
        if (client->linger_fd >= 0)
                client_free(client);
        else
                shutdown(client->fd, SHUT_RDWR); /* libmicrohttpd sees the end and closes */
        return 0;
}

static int on_linger(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        uint8_t forgotten[LINGER_PIECE];
        ssize_t n = recv(fd, forgotten, sizeof(forgotten), MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
                client_free(userdata);
        return 0;
}

/* The connection is about to be closed, and the client goes with it, or lingers. */
static void client_leave(LocalClient *steal_client) {
        _cleanup_(client_freep) LocalClient *client = steal_client;
        if (!client || !client->has_early_answer)
                return;
        client->linger_fd = fcntl(client->fd, F_DUPFD_CLOEXEC, 3);
        if (client->linger_fd < 0 || shutdown(client->linger_fd, SHUT_WR) < 0)
                return;
        if (sd_event_add_io(manager_event(client->listener->http->manager), &client->linger, client->linger_fd, EPOLLIN, on_linger, client) < 0)
                return;
        client_arm_deadline(client);
        steal_ptr(&client);
}

static Err *client_new(LocalListener *listener, int fd, LocalClient **ret) {
        _cleanup_(client_freep) LocalClient *client = calloc(1, sizeof(LocalClient));
        LocalHttp *http = listener->http;
        if (!client)
                return err_oom();
        *client = (LocalClient) { .listener = listener, .fd = fd, .linger_fd = -1 };
        Err *err = caller_from_socket(fd, &client->caller);
        client->has_caller = !err;
        if (err_code(err) == ERR_ACCESS_DENIED) /* TCP */
                err = err_free(err);
        TRY(err);
        if (http->n_clients >= LOCAL_HTTP_CLIENTS_MAX)
                return err_new(ERR_BUSY, "%d clients are connected already", LOCAL_HTTP_CLIENTS_MAX);
        if (clients_of_user(http, client) >= LOCAL_HTTP_CLIENTS_PER_USER_MAX)
                return err_new(ERR_BUSY, "%d clients of this user are connected already", LOCAL_HTTP_CLIENTS_PER_USER_MAX);
        int r = sd_event_add_time_relative(manager_event(http->manager), &client->deadline, CLOCK_MONOTONIC, LOCAL_HTTP_IDLE_SEC * USEC_PER_SEC,
                                           USEC_PER_SEC, on_deadline, client);
        if (r < 0)
                return err_new_errno(ERR_INTERNAL, r, "adding a deadline to the event loop");
        client->next = http->clients;
        http->clients = client;
        http->n_clients++;
        *ret = steal_ptr(&client);
        return NULL;
}

/* Says so before anything was asked: a connection that is too many must not wait for its turn. */
static void connection_refuse(int fd, Err *steal_err) {
        _cleanup_(err_freep) Err *err = steal_err;
        _cleanup_free_ char *body = NULL, *text = NULL;
        Err *failed = string_format(&body, "{\"error\":{\"code\":\"%s\",\"message\":\"%s\"}}\n", err_code_info(err_code(err))->name, err_sentence(err));
        if (!failed)
                failed = string_format(&text, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: " LOCAL_JSON "\r\nContent-Length: %zu\r\n"
                                              "Retry-After: 1\r\nConnection: close\r\n\r\n%s", strlen(body), body);
        if (!failed && send(fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
                log_message(LOG_DEBUG, "a client of the local socket could not be told that there are too many");
        err_free(failed);
        shutdown(fd, SHUT_RDWR);
}

static void on_connection(void *userdata, struct MHD_Connection *connection, void **context, enum MHD_ConnectionNotificationCode what) {
        if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
                client_leave(*context);
                *context = NULL;
                return;
        }
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        LocalClient *client = NULL;
        Err *err = client_new(userdata, info->connect_fd, &client);
        if (err)
                connection_refuse(info->connect_fd, err);
        *context = client;
}

/* ---- listeners ---- */

static void on_mhd_log(void *userdata, const char *format, va_list arguments) {
        char text[256];
        vsnprintf(text, sizeof(text), format, arguments);
        text[strcspn(text, "\n")] = 0;
        log_message(LOG_DEBUG, "local socket: %s", text);
}

static void listener_run(LocalListener *listener) {
        MHD_UNSIGNED_LONG_LONG msec;
        MHD_run(listener->daemon);
        if (MHD_get_timeout(listener->daemon, &msec) == MHD_YES)
                listener_run_soon(listener, msec * USEC_PER_MSEC);
        else
                sd_event_source_set_enabled(listener->timer, SD_EVENT_OFF);
}

static int on_listener_io(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        listener_run(userdata);
        return 0;
}

static int on_listener_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        listener_run(userdata);
        return 0;
}

static Err *listener_attach(LocalListener *listener) {
        sd_event *event = manager_event(listener->http->manager);
        const union MHD_DaemonInfo *info = MHD_get_daemon_info(listener->daemon, MHD_DAEMON_INFO_EPOLL_FD);
        if (!info)
                return err_new(ERR_INTERNAL, "the HTTP server has no epoll descriptor");
        int r = sd_event_add_io(event, &listener->io, info->epoll_fd, EPOLLIN, on_listener_io, listener);
        if (r >= 0)
                r = sd_event_add_time_relative(event, &listener->timer, CLOCK_MONOTONIC, 0, USEC_PER_MSEC, on_listener_timer, listener);
        return r < 0 ? err_new_errno(ERR_INTERNAL, r, "adding the HTTP server to the event loop") : NULL;
}

/* Takes fd over, on failure too. */
static Err *listener_add(LocalHttp *http, int steal_fd_listening, bool metrics_only) {
        _cleanup_close_ int fd = steal_fd_listening;
        if (http->n_listeners >= LISTENERS_MAX)
                return err_new(ERR_LIMIT_EXCEEDED, "more than %d listening sockets", LISTENERS_MAX);
        int flags = fcntl(fd, F_GETFL);
        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
                return err_new_errno(ERR_IO, errno, "making a listening socket non-blocking");
        LocalListener *listener = &http->listeners[http->n_listeners];
        *listener = (LocalListener) { .http = http, .metrics_only = metrics_only };
        listener->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, listener,
                                            MHD_OPTION_EXTERNAL_LOGGER, on_mhd_log, NULL,
                                            MHD_OPTION_LISTEN_SOCKET, fd,
                                            MHD_OPTION_CONNECTION_LIMIT, (unsigned) MHD_CONNECTIONS_MAX,
                                            MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) CONNECTION_MEMORY,
                                            MHD_OPTION_STRICT_FOR_CLIENT, 1,
                                            MHD_OPTION_URI_LOG_CALLBACK, on_target, listener,
                                            MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL,
                                            MHD_OPTION_NOTIFY_CONNECTION, on_connection, listener,
                                            MHD_OPTION_END);
        if (!listener->daemon)
                return err_new_errno(ERR_IO, errno, "starting the HTTP server on a listening socket");
        steal_fd(&fd);
        http->n_listeners++;
        return listener_attach(listener);
}

static bool fd_is_unix(int fd) {
        return sd_is_socket(fd, AF_UNIX, SOCK_STREAM, 1) > 0;
}

/* Sockets that the service manager passed in, by FileDescriptorName=. "tpm" is the collector link's. */
static Err *listeners_add_passed(LocalHttp *http, bool *ret_has_unix) {
        char **names = NULL;
        Err *err = NULL;
        int n = sd_listen_fds_with_names(0, &names);
        if (n < 0)
                return err_new_errno(ERR_IO, n, "taking over the sockets that were passed in");
        for (int i = 0; i < n; i++) {
                int fd = SD_LISTEN_FDS_START + i;
                bool is_http = string_equal(names[i], "http"), is_metrics = string_equal(names[i], "metrics");
                if (!err && (is_http || is_metrics)) {
                        *ret_has_unix = *ret_has_unix || (is_http && fd_is_unix(fd));
                        err = sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) > 0 ?
                                      listener_add(http, fd, is_metrics) :
                                      err_new(ERR_INVALID_ARGUMENT, "the socket \"%s\" that was passed in is no listening stream socket", names[i]);
                } else if (!err && !string_equal(names[i], "tpm"))
                        log_message(LOG_WARNING, "a socket of the unknown name \"%s\" was passed in and is left alone", names[i]);
                free(names[i]);
        }
        free(names);
        return err;
}

static Err *listeners_add_own(LocalHttp *http) {
        _cleanup_free_ char *path = NULL;
        int fd;
        TRY(string_format(&path, "%s/attestd.sock", config_runtime_directory()));
        TRY(err_wrap(local_socket_listen(path, &fd), "opening the local socket"));
        http->own_path = steal_ptr(&path);
        http->own_fd = fd;
        return listener_add(http, fd, false);
}

static void local_http_continue_all(LocalHttp *http) {
        for (LocalClient *client = http->clients; client; client = client->next)
                if (client->exchange) {
                        exchange_cancel(client->exchange);
                        client->exchange->is_abandoned = true;
                        exchange_resume(client->exchange);
                }
}

Err *local_http_new(Manager *manager, LocalHttp **ret) {
        _cleanup_(local_http_freep) LocalHttp *http = calloc(1, sizeof(LocalHttp));
        bool has_unix = false;
        if (!http)
                return err_oom();
        *http = (LocalHttp) { .manager = manager, .own_fd = -1 };
        TRY(listeners_add_passed(http, &has_unix));
        if (manager_config(manager)->http_socket && !has_unix)
                TRY(listeners_add_own(http));
        *ret = steal_ptr(&http);
        return NULL;
}

LocalHttp *local_http_free(LocalHttp *http) {
        if (!http)
                return NULL;
        if (http->own_path)
                local_socket_remove(http->own_path, http->own_fd);
        local_http_continue_all(http);
        for (size_t i = 0; i < http->n_listeners; i++) {
                LocalListener *listener = &http->listeners[i];
                sd_event_source_disable_unref(listener->io);
                sd_event_source_disable_unref(listener->timer);
                MHD_stop_daemon(listener->daemon);
        }
        while (http->clients)             /* those that linger */
                client_free(http->clients);
        free(http->own_path);
        free(http);
        return NULL;
}
