/* See server.h.
 *
 * A thread for each connection lets a delayed answer (fault latency) wait where it hurts nobody. Everything that the service does happens
 * under one lock. libmicrohttpd answers Expect: 100-continue by itself. */
#include "instance/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <microhttpd.h>
#include <netdb.h>
#include <openssl/rand.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/writer.h"
#include "build-config.h"

#define CONNECTIONS_MAX 256u
#define IDLE_TIMEOUT_SEC 120u
#define SERVER_NAME "Kestrel"   /* as recorded */

typedef struct Listener {
        Server *server;
        struct MHD_Daemon *daemon;   /* NULL: none */
        bool is_metadata;
} Listener;

struct Server {
        Listener main, metadata;
        Service *service;
        int stop_fd;       /* readable as soon as the server is to end: wakes answers that wait */
        uint64_t body_max;
        pthread_mutex_t lock;
        Bytes tls_key, tls_certificate;
};

/* One request while its body comes in. */
typedef struct Call {
        Writer body;
        bool too_large, refused;   /* refused: answered before the body came */
} Call;

/* An answer that libmicrohttpd reads piece by piece. */
typedef struct Stream {
        Bytes body;
        size_t end;        /* where it stops */
        bool fails;        /* it stops by breaking off */
} Stream;

static ssize_t stream_read(void *closure, uint64_t position, char *buffer, size_t size) {
        Stream *stream = closure;
        if (position >= stream->end)
                return stream->fails ? MHD_CONTENT_READER_END_WITH_ERROR : MHD_CONTENT_READER_END_OF_STREAM;
        size_t n = MIN_OF(size, stream->end - (size_t) position);
        for (size_t i = 0; i < n; i++)
                buffer[i] = (char) stream->body.data[position + i];
        return (ssize_t) n;
}

static void stream_done(void *closure) {
        Stream *stream = closure;
        bytes_done(&stream->body);
        free(stream);
}

/* Takes the body of reply. */
static struct MHD_Response *make_response(ServiceReply *reply) {
        Stream *stream = calloc(1, sizeof(*stream));
        if (!stream)
                return NULL;
        stream->body = bytes_steal(&reply->body);
        stream->end = reply->truncate ? stream->body.size / 2 : stream->body.size;
        stream->fails = reply->truncate;
        uint64_t size = reply->chunked && !reply->truncate ? MHD_SIZE_UNKNOWN : stream->body.size;
        struct MHD_Response *response = MHD_create_response_from_callback(size, 16384, stream_read, stream, stream_done);
        if (!response)
                stream_done(stream);
        return response;
}

static void make_request_id(bool is_short, char *out, size_t size) {
        uint8_t bytes[24];
        if (RAND_bytes(bytes, sizeof(bytes)) != 1) {
                snprintf(out, size, "none");
        } else if (is_short) {
                _cleanup_free_ char *text = NULL;
                Err *error = base64_encode(span_make(bytes, 12), &text);
                snprintf(out, size, "%s", error ? "none" : text);
                err_free(error);
        } else {
                char hex[sizeof(bytes) * 2 + 1];
                hex_encode_into(SPAN_OF(bytes), hex);
                snprintf(out, size, "00-%.32s-%s-00", hex, hex + 32);
        }
}

static enum MHD_Result add_headers(struct MHD_Response *response, const ServiceReply *reply) {
        char id[64], date[64];
        time_t now = reply->date_sec;
        struct tm tm;
        strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
        make_request_id(reply->short_id, id, sizeof(id));
        if (reply->retry_after && MHD_add_response_header(response, "Retry-After", reply->retry_after) != MHD_YES)
                return MHD_NO;
        if (reply->no_store && MHD_add_response_header(response, "Cache-Control", "no-store") != MHD_YES)
                return MHD_NO;
        if (reply->authenticate && MHD_add_response_header(response, "WWW-Authenticate", reply->authenticate) != MHD_YES)
                return MHD_NO;
        return MHD_add_response_header(response, "Content-Type", reply->content_type) == MHD_YES &&
                               MHD_add_response_header(response, "Date", date) == MHD_YES &&
                               MHD_add_response_header(response, "Server", SERVER_NAME) == MHD_YES &&
                               MHD_add_response_header(response, "x-ms-maa-service-version", "attest-instance-" VERSION) == MHD_YES &&
                               MHD_add_response_header(response, "x-ms-request-id", id) == MHD_YES
                       ? MHD_YES
                       : MHD_NO;
}

/* A close with unread data or with this option sends RST instead of FIN. */
static enum MHD_Result reset_connection(struct MHD_Connection *connection) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        struct linger linger = { .l_onoff = 1, .l_linger = 0 };
        if (info)
                (void) setsockopt(info->connect_fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
        return MHD_NO;
}

/* False if the server ends meanwhile. */
static bool wait_for_latency(const Server *server, uint64_t latency_msec) {
        struct pollfd stop = { .fd = server->stop_fd, .events = POLLIN };
        struct timespec delay = { .tv_sec = (time_t) (latency_msec / 1000), .tv_nsec = (long) (latency_msec % 1000) * 1000000 };
        return ppoll(&stop, 1, &delay, NULL) == 0;
}

static enum MHD_Result send_reply(const Server *server, struct MHD_Connection *connection, ServiceReply *reply) {
        if (reply->latency_msec > 0 && !wait_for_latency(server, reply->latency_msec))
                return MHD_NO;
        if (reply->reset)
                return reset_connection(connection);
        struct MHD_Response *response = make_response(reply);
        if (!response)
                return MHD_NO;
        enum MHD_Result result = add_headers(response, reply);
        if (result == MHD_YES)
                result = MHD_queue_response(connection, reply->status, response);
        MHD_destroy_response(response);
        return result;
}

static uint64_t monotonic_usec(void) {
        struct timespec now;
        clock_gettime(CLOCK_BOOTTIME, &now);
        return (uint64_t) now.tv_sec * USEC_PER_SEC + (uint64_t) now.tv_nsec / NSEC_PER_USEC;
}

static void log_reply(const char *method, const char *path, const ServiceReply *reply) {
        fprintf(stderr, "%s %s %u%s%s%s\n", method, path, reply->status, reply->reason ? " " : "", reply->reason ? reply->reason : "",
                reply->reset ? " (reset)" : reply->truncate ? " (truncated)" : "");
}

static enum MHD_Result answer(Server *server, struct MHD_Connection *connection, const ServiceRequest *request) {
        _cleanup_service_reply_ ServiceReply reply = {};
        pthread_mutex_lock(&server->lock);
        Err *error = service_handle(server->service, request, &reply);
        pthread_mutex_unlock(&server->lock);
        if (error) {
                fprintf(stderr, "%s %s: %s\n", request->method, request->path, err_describe(error));
                err_free(error);
                return MHD_NO;
        }
        log_reply(request->method, request->path, &reply);
        return send_reply(server, connection, &reply);
}

static enum MHD_Result refuse_large(Server *server, struct MHD_Connection *connection, const char *method, const char *path) {
        _cleanup_service_reply_ ServiceReply reply = { .content_type = "application/json; charset=utf-8", .date_sec = time(NULL) };
        Err *error = service_reply_error(&reply, 413, "RequestEntityTooLarge",
                                         err_new(ERR_LIMIT_EXCEEDED, "the request has more than %" PRIu64 " bytes", server->body_max));
        if (error) {
                err_free(error);
                return MHD_NO;
        }
        log_reply(method, path, &reply);
        return send_reply(server, connection, &reply);
}

static bool declares_too_much(const Server *server, struct MHD_Connection *connection) {
        const char *length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
        return length && strtoull(length, NULL, 10) > server->body_max;
}

static void take_body(const Server *server, Call *call, const char *data, size_t size) {
        if (call->too_large || call->body.output.size + size > server->body_max) {
                call->too_large = true;
                writer_done(&call->body);
        } else {
                writer_span(&call->body, span_make(data, size));
        }
}

static ServiceRequest make_request(struct MHD_Connection *connection, const char *method, const char *path, bool is_metadata) {
        enum MHD_ValueKind header = MHD_HEADER_KIND, query = MHD_GET_ARGUMENT_KIND;
        const char *resource_id = MHD_lookup_connection_value(connection, query, "msi_res_id");
        const char *object_id = MHD_lookup_connection_value(connection, query, "object_id");
        return (ServiceRequest) {
                .method = method,
                .path = path,
                .api_version = MHD_lookup_connection_value(connection, query, "api-version"),
                .authorization = MHD_lookup_connection_value(connection, header, MHD_HTTP_HEADER_AUTHORIZATION),
                .content_type = MHD_lookup_connection_value(connection, header, MHD_HTTP_HEADER_CONTENT_TYPE),
                .metadata = {
                        .is_metadata = is_metadata,
                        .header = MHD_lookup_connection_value(connection, header, "Metadata"),
                        .forwarded_for = MHD_lookup_connection_value(connection, header, "X-Forwarded-For"),
                        .identity_header = MHD_lookup_connection_value(connection, header, "X-IDENTITY-HEADER"),
                        .resource = MHD_lookup_connection_value(connection, query, "resource"),
                        .client_id = MHD_lookup_connection_value(connection, query, "client_id"),
                        /* App Service has other names for the two */
                        .object_id = object_id ? object_id : MHD_lookup_connection_value(connection, query, "principal_id"),
                        .resource_id = resource_id ? resource_id : MHD_lookup_connection_value(connection, query, "mi_res_id"),
                },
                .now_sec = time(NULL),
                .monotonic_usec = monotonic_usec(),
        };
}

/* The headers are there, the body is not. Who expects 100 Continue gets it as soon as this returns without an answer. */
static enum MHD_Result handle_expectation(Server *server, struct MHD_Connection *connection, const ServiceRequest *request, Call *call) {
        const char *expected = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_EXPECT);
        if (!expected)
                return MHD_YES;
        pthread_mutex_lock(&server->lock);
        uint64_t latency_msec = service_continue_latency(server->service, request, &call->refused);
        pthread_mutex_unlock(&server->lock);
        if (latency_msec > 0 && !wait_for_latency(server, latency_msec))
                return MHD_NO;
        if (!call->refused)
                return MHD_YES;
        ServiceReply reply = { .status = MHD_HTTP_EXPECTATION_FAILED, .content_type = "text/plain", .date_sec = request->now_sec };
        log_reply(request->method, request->path, &reply);
        return send_reply(server, connection, &reply);
}

/* libmicrohttpd calls this once for the headers, once for each piece of the body, once at the end. */
static enum MHD_Result handle_access(void *closure, struct MHD_Connection *connection, const char *path, const char *method,
                                     const char *version, const char *data, size_t *data_size, void **state) {
        const Listener *listener = closure;
        Server *server = listener->server;
        Call *call = *state;
        ServiceRequest request = make_request(connection, method, path, listener->is_metadata);
        if (!call) {
                call = *state = calloc(1, sizeof(*call));
                if (!call)
                        return MHD_NO;
                call->refused = declares_too_much(server, connection);
                return call->refused ? refuse_large(server, connection, method, path) : handle_expectation(server, connection, &request, call);
        }
        if (*data_size > 0) {
                take_body(server, call, data, *data_size);
                *data_size = 0;
                return MHD_YES;
        }
        if (call->refused)
                return MHD_YES;
        if (call->too_large)
                return refuse_large(server, connection, method, path);
        _cleanup_bytes_ Bytes body = {};
        Err *error = writer_finish(&call->body, &body);
        if (error) {
                err_free(error);
                return MHD_NO;
        }
        request.body = bytes_span(&body);
        return answer(server, connection, &request);
}

static void request_completed(void *closure, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode code) {
        Call *call = *state;
        if (!call)
                return;
        writer_done(&call->body);
        free(call);
        *state = NULL;
}

Err *server_listen(const char *host, uint16_t port, int *ret_fd, uint16_t *ret_port) {
        bool is_v6 = string_equal(host, "::1");
        struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT };
        struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = { htonl(INADDR_LOOPBACK) } };
        _cleanup_close_ int fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return err_new_errno(ERR_IO, errno, "making a socket");
        (void) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int) { 1 }, sizeof(int));
        socklen_t size = is_v6 ? sizeof(v6) : sizeof(v4);
        struct sockaddr *address = is_v6 ? (struct sockaddr *) &v6 : (struct sockaddr *) &v4;
        if (bind(fd, address, size) < 0 || listen(fd, 128) < 0 || getsockname(fd, address, &size) < 0)
                return err_new_errno(ERR_IO, errno, "listening on %s port %u", host, port);
        *ret_port = ntohs(is_v6 ? v6.sin6_port : v4.sin_port);
        *ret_fd = steal_fd(&fd);
        return NULL;
}

/* Takes fd, also on failure. */
static Err *listener_start(Listener *listener, int steal_fd, Server *server) {
        _cleanup_close_ int fd = steal_fd;
        unsigned flags = MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_USE_ITC | MHD_USE_ERROR_LOG;
        struct MHD_OptionItem tls[] = {
                { MHD_OPTION_HTTPS_MEM_KEY, 0, server->tls_key.data },
                { MHD_OPTION_HTTPS_MEM_CERT, 0, server->tls_certificate.data },
                { MHD_OPTION_END, 0, NULL },
        };
        struct MHD_OptionItem none[] = { { MHD_OPTION_END, 0, NULL } };
        listener->server = server;
        listener->daemon = MHD_start_daemon(
                listener->is_metadata ? flags : flags | MHD_USE_TLS, 0, NULL, NULL, handle_access, listener,
                MHD_OPTION_LISTEN_SOCKET, fd,
                MHD_OPTION_ARRAY, listener->is_metadata ? none : tls,
                MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
                MHD_OPTION_CONNECTION_TIMEOUT, IDLE_TIMEOUT_SEC,
                MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) 65536,
                MHD_OPTION_NOTIFY_COMPLETED, request_completed, NULL,
                MHD_OPTION_END);
        if (!listener->daemon)
                return err_new(ERR_INTERNAL, "libmicrohttpd does not start; is it built with TLS?");
        fd = -1; /* closed by libmicrohttpd */
        return NULL;
}

Err *server_add_metadata(Server *server, int steal_fd) {
        server->metadata.is_metadata = true;
        return listener_start(&server->metadata, steal_fd, server);
}

Err *server_start(int steal_listener, Service *service, uint64_t body_max, Server **ret) {
        _cleanup_close_ int fd = steal_listener;
        _cleanup_(server_freep) Server *server = calloc(1, sizeof(*server));
        if (!server)
                return err_oom();
        server->service = service;
        server->body_max = body_max;
        server->stop_fd = eventfd(0, EFD_CLOEXEC);
        if (server->stop_fd < 0)
                return err_new_errno(ERR_INTERNAL, errno, "making an event descriptor");
        pthread_mutex_init(&server->lock, NULL);
        TRY(ca_private_key_to_pem(service->identity->tls.key, &server->tls_key));
        TRY(ca_certificate_to_pem(service->identity->tls.certificate, &server->tls_certificate));
        TRY(listener_start(&server->main, steal_fd(&fd), server));
        *ret = steal_ptr(&server);
        return NULL;
}

Server *server_free(Server *server) {
        if (!server)
                return NULL;
        if (server->stop_fd >= 0)
                (void) !eventfd_write(server->stop_fd, 1);
        if (server->metadata.daemon)
                MHD_stop_daemon(server->metadata.daemon);
        if (server->main.daemon)
                MHD_stop_daemon(server->main.daemon);
        fd_closep(&server->stop_fd);
        pthread_mutex_destroy(&server->lock);
        bytes_erase(&server->tls_key);
        bytes_done(&server->tls_certificate);
        free(server);
        return NULL;
}
