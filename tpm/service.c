/* See service.h. */
#include "tpm/service.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "collector/collector.h"
#include "tpm/enrolment.h"
#include "tpm/info.h"
#include "tpm/reply.h"
#include "tpm/vbs-report.h"

struct Service {
        EvidenceMaker *maker;
        sd_event *event;
        sd_event_source *listener;
        sd_bus *connections[SERVICE_CONNECTIONS_MAX];
        int listen_fd;
        char *last_notice;
};

static inline void message_unrefp(sd_bus_message **message) {
        sd_bus_message_unref(*message);
}

/* Consumes err. */
static int reply_error(sd_bus_message *call, Err *err) {
        _cleanup_(err_freep) Err *consumed = err;
        return sd_bus_reply_method_errorf(call, err_code_info(err_code(consumed))->dbus_name, "%s", err_describe(consumed));
}

/* r: of building the reply. */
static int send_reply(sd_bus_message *call, sd_bus_message *reply, int r) {
        if (r < 0)
                return reply_error(call, err_new_errno(ERR_INTERNAL, r, "building the reply"));
        return sd_bus_message_send(reply);
}

static int method_ping(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        return sd_bus_reply_method_return(call, NULL);
}

/* Into the journal once, when it is news. */
static void show_notice(Service *service, const char *notice) {
        if (!notice || !*notice || string_equal(notice, service->last_notice))
                return;
        fprintf(stderr, "attestd-tpm: %s\n", notice);
        free(service->last_notice);
        service->last_notice = strdup(notice);
}

static int method_get_info(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Service *service = userdata;
        _cleanup_(collector_info_freep) CollectorInfo *info = NULL;
        _cleanup_(message_unrefp) sd_bus_message *reply = NULL;
        Err *err = info_collect(service->maker, &info);
        if (err)
                return reply_error(call, err);
        show_notice(service, info->aik_notice);
        int r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = reply_append_info(reply, info);
        return send_reply(call, reply, r);
}

static int read_bytes_variant(sd_bus_message *call, Span *ret) {
        const void *data;
        size_t size;
        int r = sd_bus_message_enter_container(call, 'v', "ay");
        if (r >= 0)
                r = sd_bus_message_read_array(call, 'y', &data, &size);
        if (r >= 0)
                *ret = span_make(data, size);
        return r < 0 ? r : sd_bus_message_exit_container(call);
}

/* A string (s) or bytes (ay) of that name, borrowed; other options are passed over. */
static int read_option(sd_bus_message *call, const char *wanted, const char **ret_text, Span *ret_bytes) {
        int r = sd_bus_message_enter_container(call, 'a', "{sv}");
        while (r >= 0 && (r = sd_bus_message_enter_container(call, 'e', "sv")) > 0) {
                const char *name;
                r = sd_bus_message_read_basic(call, 's', &name);
                if (r >= 0 && !string_equal(name, wanted))
                        r = sd_bus_message_skip(call, "v");
                else if (r >= 0 && ret_text)
                        r = sd_bus_message_read(call, "v", "s", ret_text);
                else if (r >= 0)
                        r = read_bytes_variant(call, ret_bytes);
                if (r >= 0)
                        r = sd_bus_message_exit_container(call);
        }
        return r < 0 ? r : sd_bus_message_exit_container(call);
}

static int method_quote(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Service *service = userdata;
        _cleanup_(evidence_freep) Evidence *evidence = NULL;
        _cleanup_(message_unrefp) sd_bus_message *reply = NULL;
        Span certify = {};
        const void *data;
        size_t size;
        int r = sd_bus_message_read_array(call, 'y', &data, &size);
        if (r >= 0)
                r = read_option(call, "certify", NULL, &certify);
        if (r < 0)
                return r;
        Err *err = evidence_maker_quote(service->maker, span_make(data, size), certify, &evidence);
        if (err)
                return reply_error(call, err);
        show_notice(service, service->maker->request_key.notice);
        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = reply_append_evidence(reply, evidence);
        return send_reply(call, reply, r);
}

static int method_collect_guest(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Service *service = userdata;
        _cleanup_(evidence_freep) Evidence *evidence = NULL;
        _cleanup_(message_unrefp) sd_bus_message *reply = NULL;
        int r = sd_bus_message_skip(call, "a{sv}");   /* no options yet */
        if (r < 0)
                return r;
        Err *err = evidence_maker_collect_guest(service->maker, &evidence);
        if (err)
                return reply_error(call, err);
        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = reply_append_evidence(reply, evidence);
        return send_reply(call, reply, r);
}

static int method_guest_decrypt(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Service *service = userdata;
        _cleanup_bytes_erase_ Bytes plaintext = {};
        _cleanup_(message_unrefp) sd_bus_message *reply = NULL;
        const void *data;
        size_t size;
        int r = sd_bus_message_read_array(call, 'y', &data, &size);
        if (r >= 0)
                r = sd_bus_message_skip(call, "a{sv}");   /* no options yet */
        if (r < 0)
                return r;
        Err *err = evidence_maker_guest_decrypt(service->maker, span_make(data, size), &plaintext);
        if (err)
                return reply_error(call, err);
        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = sd_bus_message_sensitive(reply);
        if (r >= 0)
                r = sd_bus_message_append_array(reply, 'y', plaintext.data, plaintext.size);
        return send_reply(call, reply, r);
}

static int method_get_vbs_report(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Service *service = userdata;
        _cleanup_bytes_ Bytes report = {};
        _cleanup_(message_unrefp) sd_bus_message *reply = NULL;
        VsmReportKind kind;
        const void *data;
        size_t size;
        int r = sd_bus_message_read_array(call, 'y', &data, &size);
        if (r >= 0)
                r = sd_bus_message_skip(call, "a{sv}");   /* no options yet */
        if (r < 0)
                return r;
        Err *err = vbs_report_get(service->maker, span_make(data, size), &kind, &report);
        if (err)
                return reply_error(call, err);
        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = sd_bus_message_append(reply, "s", vsm_report_kind_to_string(kind));
        if (r >= 0)
                r = sd_bus_message_append_array(reply, 'y', report.data, report.size);
        return send_reply(call, reply, r);
}

static int method_sign(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Service *service = userdata;
        _cleanup_bytes_ Bytes signature = {};
        _cleanup_(message_unrefp) sd_bus_message *reply = NULL;
        const void *data;
        size_t size;
        int r = sd_bus_message_read_array(call, 'y', &data, &size);
        if (r >= 0)
                r = sd_bus_message_skip(call, "a{sv}");   /* no options yet */
        if (r < 0)
                return r;
        Err *err = evidence_maker_sign(service->maker, span_make(data, size), &signature);
        if (err)
                return reply_error(call, err);
        show_notice(service, service->maker->request_key.notice);
        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = sd_bus_message_append_array(reply, 'y', signature.data, signature.size);
        return send_reply(call, reply, r);
}

static int method_get_endorsement_key(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Service *service = userdata;
        _cleanup_(collector_endorsement_done) CollectorEndorsement endorsement = {};
        _cleanup_(message_unrefp) sd_bus_message *reply = NULL;
        EndorsementAlgorithm algorithm;
        const char *text = "auto";
        int r = read_option(call, "algorithm", &text, NULL);
        if (r < 0)
                return r;
        Err *err = endorsement_algorithm_from_string(text, &algorithm);
        if (!err)
                err = enrolment_get_endorsement(service->maker, algorithm, &endorsement);
        if (err)
                return reply_error(call, err);
        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = reply_append_endorsement(reply, &endorsement);
        return send_reply(call, reply, r);
}

static int method_activate_credential(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Service *service = userdata;
        _cleanup_bytes_erase_ Bytes secret = {};
        _cleanup_(message_unrefp) sd_bus_message *reply = NULL;
        const void *object, *encrypted;
        size_t object_size, encrypted_size;
        int r = sd_bus_message_read_array(call, 'y', &object, &object_size);
        if (r >= 0)
                r = sd_bus_message_read_array(call, 'y', &encrypted, &encrypted_size);
        if (r >= 0)
                r = sd_bus_message_skip(call, "a{sv}");
        if (r < 0)
                return r;
        Err *err = enrolment_activate(service->maker, span_make(object, object_size), span_make(encrypted, encrypted_size), &secret);
        if (err)
                return reply_error(call, err);
        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = sd_bus_message_append_array(reply, 'y', secret.data, secret.size);
        return send_reply(call, reply, r);
}

static int method_store_aik_certificate(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Service *service = userdata;
        const void *data;
        size_t size;
        int r = sd_bus_message_read_array(call, 'y', &data, &size);
        if (r < 0)
                return r;
        Err *err = enrolment_store_certificate(service->maker, span_make(data, size));
        return err ? reply_error(call, err) : sd_bus_reply_method_return(call, NULL);
}

static int method_keep_boot_attestation(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Service *service = userdata;
        BootAttestationState state;
        int r = sd_bus_message_skip(call, "a{sv}");   /* no options yet */
        if (r < 0)
                return r;
        Err *err = evidence_maker_keep(service->maker, &state);
        return err ? reply_error(call, err) : sd_bus_reply_method_return(call, "s", boot_attestation_state_to_string(state));
}

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("Ping", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_ping, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetInfo", SD_BUS_NO_ARGS, SD_BUS_RESULT("a{sv}", info), method_get_info, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Quote", SD_BUS_ARGS("ay", qualifying_data, "a{sv}", options), SD_BUS_RESULT("a{sv}", evidence), method_quote,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("KeepBootAttestation", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("s", state), method_keep_boot_attestation,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("CollectGuest", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("a{sv}", evidence), method_collect_guest,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GuestDecrypt", SD_BUS_ARGS("ay", ciphertext, "a{sv}", options), SD_BUS_RESULT("ay", plaintext), method_guest_decrypt,
                                SD_BUS_VTABLE_UNPRIVILEGED | SD_BUS_VTABLE_SENSITIVE),
        SD_BUS_METHOD_WITH_ARGS("GetVbsReport", SD_BUS_ARGS("ay", user_data, "a{sv}", options), SD_BUS_RESULT("s", kind, "ay", report),
                                method_get_vbs_report, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Sign", SD_BUS_ARGS("ay", digest, "a{sv}", options), SD_BUS_RESULT("ay", signature), method_sign,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetEndorsementKey", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("a{sv}", key), method_get_endorsement_key,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ActivateCredential", SD_BUS_ARGS("ay", id_object, "ay", encrypted_secret, "a{sv}", options),
                                SD_BUS_RESULT("ay", secret), method_activate_credential, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("StoreAikCertificate", SD_BUS_ARGS("ay", certificate), SD_BUS_NO_RESULT, method_store_aik_certificate,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

/* There is no bus between us, but programs that think there is one (busctl) begin with this call and wait for a name. */
static int method_hello(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        return sd_bus_reply_method_return(call, "s", ":1.1");
}

static const sd_bus_vtable hello_vtable[] = {
        SD_BUS_VTABLE_START(SD_BUS_VTABLE_HIDDEN),
        SD_BUS_METHOD_WITH_ARGS("Hello", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", name), method_hello, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

Err *service_new(EvidenceMaker *maker, Service **ret) {
        _cleanup_(service_freep) Service *service = calloc(1, sizeof(Service));
        if (!service)
                return err_oom();
        service->maker = maker;
        service->listen_fd = -1;
        int r = sd_event_new(&service->event);
        if (r < 0)
                return err_new_errno(ERR_INTERNAL, r, "making the event loop");
        *ret = steal_ptr(&service);
        return NULL;
}

Service *service_free(Service *service) {
        if (!service)
                return NULL;
        for (size_t i = 0; i < SERVICE_CONNECTIONS_MAX; i++)
                sd_bus_flush_close_unref(service->connections[i]);
        sd_event_source_unref(service->listener);
        sd_event_unref(service->event);
        fd_closep(&service->listen_fd);
        free(service->last_notice);
        free(service);
        return NULL;
}

static sd_bus **find_connection(Service *service, const sd_bus *bus) {
        for (size_t i = 0; i < SERVICE_CONNECTIONS_MAX; i++)
                if (service->connections[i] == bus)
                        return &service->connections[i];
        return NULL;
}

static int set_up_server(sd_bus *bus, int *steal_socket, Service *service) {
        sd_id128_t id;
        int r = sd_id128_randomize(&id);
        if (r >= 0)
                r = sd_bus_set_fd(bus, *steal_socket, *steal_socket);
        if (r >= 0)
                steal_fd(steal_socket);
        if (r >= 0)
                r = sd_bus_set_server(bus, 1, id);
        /* Whoever could open the socket may ask. */
        if (r >= 0)
                r = sd_bus_set_anonymous(bus, 1);
        if (r >= 0)
                r = sd_bus_set_trusted(bus, 1);
        if (r >= 0)
                r = sd_bus_negotiate_fds(bus, 1);
        if (r >= 0)
                r = sd_bus_add_object_vtable(bus, NULL, COLLECTOR_OBJECT, COLLECTOR_INTERFACE, vtable, service);
        if (r >= 0)
                r = sd_bus_add_object_vtable(bus, NULL, "/org/freedesktop/DBus", "org.freedesktop.DBus", hello_vtable, service);
        if (r >= 0)
                r = sd_bus_start(bus);
        return r < 0 ? r : sd_bus_attach_event(bus, service->event, SD_EVENT_PRIORITY_NORMAL);
}

static Err *add_connection(Service *service, int fd, sd_bus **ret) {
        _cleanup_close_ int connection = fd;
        sd_bus **slot = find_connection(service, NULL), *bus = NULL;
        if (!slot)
                return err_new(ERR_BUSY, "%d connections are served already", SERVICE_CONNECTIONS_MAX);
        int r = sd_bus_new(&bus);
        if (r >= 0)
                r = set_up_server(bus, &connection, service);
        if (r < 0) {
                sd_bus_close_unref(bus);
                return err_new_errno(ERR_BUS_FAILED, r, "serving a connection");
        }
        *slot = *ret = bus;
        return NULL;
}

Err *service_serve(Service *service, int fd) {
        sd_bus *bus;
        TRY(add_connection(service, fd, &bus));
        int r = sd_bus_set_exit_on_disconnect(bus, 1);
        return r < 0 ? err_new_errno(ERR_BUS_FAILED, r, "watching the connection") : NULL;
}

static int on_disconnected(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Service *service = userdata;
        sd_bus **slot = find_connection(service, sd_bus_message_get_bus(message));
        if (slot)
                *slot = sd_bus_close_unref(*slot);
        return 0;
}

static Err *accept_connection(Service *service) {
        sd_bus *bus;
        int fd = accept4(service->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
                return errno == EAGAIN || errno == EINTR || errno == ECONNABORTED ? NULL : err_new_errno(ERR_BUS_FAILED, errno, "accepting a connection");
        TRY(add_connection(service, fd, &bus));
        int r = sd_bus_match_signal(bus, NULL, NULL, "/org/freedesktop/DBus/Local", "org.freedesktop.DBus.Local", "Disconnected", on_disconnected,
                                    service);
        return r < 0 ? err_new_errno(ERR_BUS_FAILED, r, "watching a connection") : NULL;
}

static int on_listen(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Err *err = accept_connection(userdata);
        if (err)
                fprintf(stderr, "attestd-tpm: %s\n", err_describe(err));
        err_free(err);
        return 0;
}

Err *service_listen(Service *service, int fd) {
        service->listen_fd = fd;
        int r = sd_event_add_io(service->event, &service->listener, fd, EPOLLIN, on_listen, service);
        return r < 0 ? err_new_errno(ERR_BUS_FAILED, r, "listening") : NULL;
}

/* A signal that comes during a request is seen after it, so nothing stays behind in the TPM. */
static int watch_signals(Service *service) {
        static const int signals[] = { SIGTERM, SIGINT };
        sigset_t set;
        sigemptyset(&set);
        for (size_t i = 0; i < N_ELEMENTS(signals); i++)
                sigaddset(&set, signals[i]);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return -errno;
        for (size_t i = 0; i < N_ELEMENTS(signals); i++) {
                int r = sd_event_add_signal(service->event, NULL, signals[i], NULL, NULL);
                if (r < 0)
                        return r;
        }
        return 0;
}

Err *service_run(Service *service) {
        int r = watch_signals(service);
        if (r >= 0)
                r = sd_event_loop(service->event);
        return r < 0 ? err_new_errno(ERR_INTERNAL, r, "running the event loop") : NULL;
}
