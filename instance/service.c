/* See service.h. */
#include "instance/service.h"

#include <strings.h>

#include "base/writer.h"
#include "instance/admin.h"
#include "instance/attest.h"
#include "instance/azure-guest.h"
#include "instance/enclave.h"
#include "instance/enrolment.h"
#include "instance/instance-token.h"
#include "instance/metadata.h"
#include "instance/spoil.h"

const char *service_mode_to_string(ServiceMode mode) {
        static const char *const names[_SERVICE_MODE_MAX] = { "aad", "isolated", "shared" };
        return mode < _SERVICE_MODE_MAX ? names[mode] : NULL;
}

Err *service_mode_from_string(const char *text, ServiceMode *ret) {
        for (unsigned i = 0; i < _SERVICE_MODE_MAX; i++)
                if (string_equal(text, service_mode_to_string((ServiceMode) i))) {
                        *ret = (ServiceMode) i;
                        return NULL;
                }
        return err_new(ERR_INVALID_ARGUMENT, "mode: \"%s\" is none of aad, isolated, shared", text);
}

static Err *collect_roots(Service *service) {
        service->aik_roots = sk_X509_new_null();
        if (!service->aik_roots || X509_add_cert(service->aik_roots, service->identity->aik_ca.certificate, X509_ADD_FLAG_UP_REF) != 1)
                return err_oom();
        if (service->options.aik_roots && X509_add_certs(service->aik_roots, service->options.aik_roots, X509_ADD_FLAG_UP_REF) != 1)
                return err_oom();
        return NULL;
}

Err *service_new(Identity *identity, const ServiceOptions *options, Service **ret) {
        _cleanup_(service_freep) Service *service = calloc(1, sizeof(*service));
        if (!service)
                return err_oom();
        service->identity = identity;
        service->options = *options;
        _cleanup_free_ char *policy = NULL;
        TRY(collect_roots(service));
        TRY(context_keeper_new(bytes_span(&identity->context_key), &service->contexts));
        TRY(policy_store_load(options->state, &service->policies));
        bool is_isolated = options->mode == SERVICE_MODE_ISOLATED;
        TRY(policy_signers_load(is_isolated ? options->state : NULL, is_isolated ? options->policy_signers : NULL, &service->signers));
        TRY(forger_init(&service->forger, identity->url));
        service->imds.arc_directory = options->arc_directory;
        if (options->applications)
                TRY(authority_new(identity, options->applications, &service->authority));
        service->imds.authority = service->authority;
        TRY(report_policy_text(options->required_pcrs, options->token_lifetime_sec, &policy));
        TRY(report_policy_hash(policy, &service->policy_hash));
        *ret = steal_ptr(&service);
        return NULL;
}

Service *service_free(Service *service) {
        if (!service)
                return NULL;
        sk_X509_pop_free(service->aik_roots, X509_free);
        context_keeper_free(service->contexts);
        policy_store_free(service->policies);
        policy_signers_free(service->signers);
        forger_done(&service->forger);
        imds_done(&service->imds);
        authority_free(service->authority);
        free(service->policy_hash);
        free(service);
        return NULL;
}

void service_reply_done(ServiceReply *reply) {
        bytes_done(&reply->body);
        free(reply->retry_after);
        free(reply->authenticate);
        free(reply->reason);
        *reply = (ServiceReply) {};
}

Err *service_reply_refusal(ServiceReply *reply, unsigned status, const char *code, const char *message, const char *reason) {
        _cleanup_writer_ Writer writer = {};
        writer_format(&writer, "{\"error\":{\"code\":\"%s\",\"message\":", code);
        writer_json_string(&writer, span_from_string(message));
        writer_format(&writer, ",\"innererror\":{\"code\":\"%s\",\"message\":", code);
        writer_json_string(&writer, span_from_string(message));
        writer_string(&writer, "}}}");
        bytes_done(&reply->body);
        TRY(writer_finish(&writer, &reply->body));
        free(steal_ptr(&reply->reason));
        TRY(string_format(&reply->reason, "%s: %s", code, reason));
        reply->status = status;
        reply->chunked = true;
        reply->short_id = false;
        return NULL;
}

Err *service_reply_error(ServiceReply *reply, unsigned status, const char *code, Err *steal_error) {
        _cleanup_(err_freep) Err *error = steal_error;
        return service_reply_refusal(reply, status, code, err_describe(error), err_describe(error));
}

Err *service_reply_wrong_method(ServiceReply *reply, const ServiceRequest *request, const char *allowed) {
        return service_reply_error(reply, 405, "MethodNotAllowed",
                                   err_new(ERR_REQUEST_INVALID, "%.16s is not a method of %.256s, %s is", request->method, request->path, allowed));
}

Err *service_reply_not_found(ServiceReply *reply, const ServiceRequest *request) {
        return service_reply_error(reply, 404, "NotFound", err_new(ERR_REQUEST_INVALID, "there is nothing at %.256s", request->path));
}

Err *service_make_token(Service *service, Json *claims, const ServiceTokenRules *rules, char **ret) {
        EVP_PKEY *key = rules->is_signed ? service->identity->instance.key : NULL;
        Forgery forgery = key ? fault_take_forgery(&service->faults, FAULT_AT_OTHER) : FORGERY_NONE;
        TRY(instance_token_add_times(service->identity, claims, rules->now_sec, rules->lifetime_sec));
        return forge_instance_token(&service->forger, forgery, service->identity, claims, key, ret);
}

Err *service_reply_token(Service *service, ServiceReply *reply, Json *claims, const ServiceTokenRules *rules) {
        _cleanup_free_ char *token = NULL, *text = NULL;
        TRY(service_make_token(service, claims, rules, &token));
        TRY(string_format(&text, "{\"token\":\"%s\"}", token));
        bytes_done(&reply->body);
        return bytes_copy(span_from_string(text), &reply->body);
}

static Err *set_text(ServiceReply *reply, char *steal_text) {
        _cleanup_free_ char *text = steal_text;
        bytes_done(&reply->body);
        return bytes_copy(span_from_string(text), &reply->body);
}

static Err *list_faults(const Service *service, ServiceReply *reply) {
        _cleanup_writer_ Writer writer = {};
        for (size_t i = 0; i < service->faults.n; i++) {
                _cleanup_free_ char *text = NULL;
                TRY(fault_to_string(&service->faults.list[i], &text));
                writer_format(&writer, "%s\n", text);
        }
        reply->content_type = "text/plain; charset=utf-8";
        return writer_finish(&writer, &reply->body);
}

static Err *handle_fault(Service *service, const ServiceRequest *request, ServiceReply *reply) {
        if (string_equal(request->method, "PUT")) {
                Err *error = faults_replace(&service->faults, request->body);
                if (error)
                        return service_reply_error(reply, 400, "InvalidParameter", error);
        } else if (!string_equal(request->method, "GET")) {
                return service_reply_wrong_method(reply, request, "GET or PUT");
        }
        return list_faults(service, reply);
}

static Err *handle_get(Service *service, const ServiceRequest *request, FaultWhere where, ServiceReply *reply) {
        char *text = NULL;
        if (!string_equal(request->method, "GET"))
                return service_reply_wrong_method(reply, request, "GET");
        switch (where) {
        case FAULT_AT_CERTS:
                TRY(metadata_certs(service->identity, &service->forger, &text));
                break;
        case FAULT_AT_OPENID:
                TRY(metadata_openid(service->identity, &text));
                break;
        case FAULT_AT_INIT:
        case FAULT_AT_REQUEST:
        case FAULT_AT_OTHER:
        case FAULT_AT_AUTHORITY:
        case FAULT_AT_IMDS:
        case FAULT_ANYWHERE:
                TRY(forger_lure(&service->forger, request->path, request->now_sec, &text));
                break;
        }
        return set_text(reply, text);
}

/* For whoever wants to look at what a client really sends. */
static Err *capture(Service *service, const ServiceRequest *request) {
        _cleanup_free_ char *path = NULL;
        if (!service->options.capture)
                return NULL;
        TRY(string_format(&path, "%s/%06llu.json", service->options.capture, (unsigned long long) ++service->n_captured));
        return err_wrap(file_write_atomic(path, request->body, 0600), "--capture");
}

/* The role that a request needs; 0: none. All of attest/Tpm, policies and certificates need one, the rest is public (SPEC of the service). */
static unsigned role_needed(const ServiceRequest *request) {
        if (strcasecmp(request->path, "/attest/Tpm") == 0)
                return APPLICATION_READER;
        if (!admin_is_responsible(request->path))
                return 0;
        return string_equal(request->method, "GET") ? APPLICATION_READER : APPLICATION_CONTRIBUTOR;
}

/* *ret_refused: reply says why. */
static Err *authorize(const Service *service, const ServiceRequest *request, ServiceReply *reply, bool *ret_refused) {
        unsigned role = role_needed(request);
        *ret_refused = false;
        if (!service->authority || role == 0)
                return NULL;
        Err *error = authority_check_bearer(service->authority, request->authorization, (ApplicationRole) role, request->now_sec);
        if (!error)
                return NULL;
        *ret_refused = true;
        free(steal_ptr(&reply->authenticate));
        TRY(service_reply_error(reply, 401, "Unauthorized", error));
        return string_copy(request->authorization ? "Bearer error=\"invalid_token\"" : "Bearer", &reply->authenticate);
}

/* Where faults strike, as far as it can be told before the request was looked into. */
static unsigned place_of(const Service *service, const ServiceRequest *request) {
        if (request->metadata.is_metadata)
                return FAULT_AT_IMDS;
        if (service->authority && authority_has_path(request->path))
                return FAULT_AT_AUTHORITY;
        if (strcasecmp(request->path, "/certs") == 0)
                return FAULT_AT_CERTS;
        if (strcasecmp(request->path, "/.well-known/openid-configuration") == 0)
                return FAULT_AT_OPENID;
        return strcasecmp(request->path, "/attest/Tpm") == 0 ? FAULT_AT_INIT | FAULT_AT_REQUEST : FAULT_AT_OTHER;
}

uint64_t service_continue_latency(Service *service, const ServiceRequest *request, bool *ret_refused) {
        FaultWhere where = (FaultWhere) place_of(service, request);
        int64_t latency_msec = 0;
        service->faults.now_usec = request->monotonic_usec;
        *ret_refused = fault_take(&service->faults, FAULT_EXPECTATION_FAILED, where, NULL);
        (void) fault_take(&service->faults, FAULT_CONTINUE_LATENCY, where, &latency_msec);
        return (uint64_t) latency_msec;
}

static Err *route(Service *service, const ServiceRequest *request, ServiceReply *reply, FaultWhere *ret_where) {
        bool refused;
        *ret_where = request->metadata.is_metadata ? FAULT_AT_IMDS : FAULT_AT_OTHER;
        if (request->metadata.is_metadata)
                return imds_handle(&service->imds, request, reply);
        if (service->authority && authority_has_path(request->path)) {
                *ret_where = FAULT_AT_AUTHORITY;
                return authority_handle(service->authority, request, reply);
        }
        TRY(authorize(service, request, reply, &refused));
        if (refused) {
                *ret_where = (FaultWhere) place_of(service, request);
                return NULL;
        }
        if (strcasecmp(request->path, "/certs") == 0)
                return handle_get(service, request, *ret_where = FAULT_AT_CERTS, reply);
        if (strcasecmp(request->path, "/.well-known/openid-configuration") == 0)
                return handle_get(service, request, *ret_where = FAULT_AT_OPENID, reply);
        if (string_equal(request->path, "/foreign/certs") || string_equal(request->path, "/foreign/x5u"))
                return handle_get(service, request, FAULT_AT_OTHER, reply);
        bool is_challenge = string_equal(request->path, "/aik/challenge");
        if (is_challenge || string_equal(request->path, "/aik/certificate")) {
                if (!string_equal(request->method, "POST"))
                        return service_reply_wrong_method(reply, request, "POST");
                return is_challenge ? enrolment_handle_challenge(service, request, reply) : enrolment_handle_certificate(service, request, reply);
        }
        AttestationType type;
        if (admin_is_responsible(request->path))
                return admin_handle(service, request, reply);
        if (enclave_is_responsible(request->path, &type))
                return enclave_handle(service, request, type, reply);
        if (azure_guest_is_responsible(request->path))
                return azure_guest_handle(service, request, reply);
        if (strcasecmp(request->path, "/attest/Tpm") != 0)
                return service_reply_not_found(reply, request);
        if (!string_equal(request->method, "POST"))
                return service_reply_wrong_method(reply, request, "POST");
        TRY(capture(service, request));
        return attest_handle(service, request, reply, ret_where);
}

Err *service_handle(Service *service, const ServiceRequest *request, ServiceReply *ret) {
        _cleanup_service_reply_ ServiceReply reply = { .status = 200, .content_type = "application/json; charset=utf-8" };
        reply.date_sec = request->now_sec;
        service->faults.now_usec = request->monotonic_usec;
        if (string_equal(request->path, "/fault") && !request->metadata.is_metadata) {
                TRY(handle_fault(service, request, &reply));
        } else {
                ServiceRequest shifted = *request;
                int64_t offset = 0;
                FaultWhere where = (FaultWhere) place_of(service, request);
                if (fault_take(&service->faults, FAULT_CLOCK_OFFSET, where, &offset))
                        shifted.now_sec += offset;
                if (fault_take(&service->faults, FAULT_ROTATE_KEYS, where, NULL))
                        TRY(identity_rotate(service->identity, request->now_sec));
                reply.date_sec = shifted.now_sec;
                TRY(route(service, &shifted, &reply, &where));
                TRY(spoil_reply(&service->faults, where, &reply));
        }
        *ret = reply;
        reply = (ServiceReply) {};
        return NULL;
}
