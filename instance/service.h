/* The instance's endpoints as a function from request to reply: no socket, no clock, no thread.
 *
 *     GET  /certs                              key set
 *     GET  /.well-known/openid-configuration   metadata
 *     POST /attest/Tpm?api-version=…           challenge, or report
 *     POST /attest/SgxEnclave, /attest/OpenEnclave    see enclave.h
 *     GET, PUT /policies/TYPE, POST /policies/TYPE:reset, GET /certificates, POST /certificates:add, :remove    see admin.h
 *     /TENANT/…                                the token authority: authority.h
 *     POST /aik/challenge, /aik/certificate    enrolment of attestation keys (not part of the real service): enrolment.h
 *     GET, PUT /fault                          the faults in force (not part of the real service)
 *     GET  /foreign/certs, /foreign/x5u        what a client gets that follows a forged jku or x5u
 *
 * Where there are applications, whoever asks for attest/Tpm, policies or certificates needs a bearer token of one that has the role.
 * Requests of the other listener (metadata.is_metadata) go to imds.h. */
#pragma once

#include "instance/context.h"
#include "instance/fault.h"
#include "instance/forge.h"
#include "instance/identity.h"
#include "instance/policy-signers.h"
#include "instance/policy-store.h"
#include "instance/imds.h"
#include "instance/report.h"

typedef enum ServiceMode { SERVICE_MODE_AAD, SERVICE_MODE_ISOLATED, SERVICE_MODE_SHARED, _SERVICE_MODE_MAX } ServiceMode;
const char *service_mode_to_string(ServiceMode mode);
/* Error: INVALID_ARGUMENT. */
Err *service_mode_from_string(const char *text, ServiceMode *ret) _must_check_;

typedef struct ServiceOptions {
        ServiceMode mode;
        uint32_t required_pcrs;
        uint64_t token_lifetime_sec;
        bool no_default_policy;      /* TPM evidence is refused until somebody has set a policy for it */
        STACK_OF(X509) *aik_roots;   /* of AIK certificates, beside the instance's own AIK CA; NULL: none; borrowed */
        STACK_OF(X509) *ek_roots;    /* of endorsement key certificates; NULL: nobody can enrol; borrowed */
        STACK_OF(X509) *sgx_roots;   /* of PCK certificates; NULL: tokens say that their chain is unverified; borrowed */
        STACK_OF(X509) *policy_signers; /* first ones of an isolated instance; NULL: none; borrowed */
        const char *state;           /* folder that keeps policies and policy signers; NULL: they are kept in memory; borrowed */
        const char *capture;         /* folder that keeps the body of every attest/Tpm request as 000001.json …; NULL: none; borrowed */
        const Applications *applications;  /* NULL: no token authority, and nobody needs a token; borrowed */
        const char *arc_directory;   /* of imds.h; NULL: none; borrowed */
} ServiceOptions;

typedef struct Service {
        Identity *identity;          /* borrowed */
        ServiceOptions options;
        STACK_OF(X509) *aik_roots;   /* all of them */
        ContextKeeper *contexts;
        PolicyStore *policies;
        PolicySigners *signers;      /* none unless isolated */
        Forger forger;
        Faults faults;
        Authority *authority;        /* NULL without applications */
        Imds imds;
        char *policy_hash;
        uint64_t n_captured;
} Service;
/* identity, and what options point to, must outlive the object. With applications, identity must have its authority's key. */
Err *service_new(Identity *identity, const ServiceOptions *options, Service **ret) _must_check_;
Service *service_free(Service *service);
DEFINE_CLEANUP(Service, service_free)

/* What the metadata endpoints look at; NULL if absent. */
typedef struct ServiceMetadata {
        bool is_metadata;            /* the request came to their listener */
        const char *header, *forwarded_for, *identity_header;
        const char *resource, *client_id, *object_id, *resource_id;
} ServiceMetadata;

struct ServiceRequest {
        const char *method, *path;
        const char *authorization, *content_type;   /* header members; NULL if absent */
        ServiceMetadata metadata;
        const char *api_version;     /* NULL if absent */
        Span body;
        int64_t now_sec;             /* realtime */
        uint64_t monotonic_usec;
};

struct ServiceReply {
        unsigned status;
        const char *content_type;
        Bytes body;
        bool chunked;                /* as the real service sends errors and answers of attest/Tpm */
        bool short_id;               /* x-ms-request-id of a successful attest/Tpm: 16 characters */
        bool no_store;               /* a token is in it (RFC 6749 §5.1) */
        bool truncate, reset;        /* faults of the transport */
        uint64_t latency_msec;
        char *retry_after;           /* NULL: none */
        char *authenticate;          /* WWW-Authenticate; NULL: none */
        int64_t date_sec;            /* of the Date header */
        char *reason;                /* one line for the log of who runs the instance; NULL if all went well */
};
typedef struct ServiceTokenRules {
        int64_t now_sec;
        uint64_t lifetime_sec;
        bool is_signed;
} ServiceTokenRules;

void service_reply_done(ServiceReply *reply);
#define _cleanup_service_reply_ _cleanup_(service_reply_done)

/* Every request gets a reply; the error is for memory running out. */
Err *service_handle(Service *service, const ServiceRequest *request, ServiceReply *ret) _must_check_;
/* Somebody sent Expect: 100-continue and waits. How long (0: not at all), and whether he is refused instead; both are faults. */
uint64_t service_continue_latency(Service *service, const ServiceRequest *request, bool *ret_refused);
/* A token of claims (instance-token.h), forged if a fault says so. Unsigned: for draft policies. */
Err *service_make_token(Service *service, Json *claims, const ServiceTokenRules *rules, char **ret) _must_check_;
/* The same as the reply {"token":"…"}. */
Err *service_reply_token(Service *service, ServiceReply *reply, Json *claims, const ServiceTokenRules *rules) _must_check_;
/* An error in the service's form: {"error":{"code","message","innererror":{the same}}}; takes error. */
Err *service_reply_error(ServiceReply *reply, unsigned status, const char *code, Err *steal_error) _must_check_;
/* The same from a message as the client gets it, and a reason for the log, in one line. */
Err *service_reply_refusal(ServiceReply *reply, unsigned status, const char *code, const char *message, const char *reason) _must_check_;
Err *service_reply_wrong_method(ServiceReply *reply, const ServiceRequest *request, const char *allowed) _must_check_;
Err *service_reply_not_found(ServiceReply *reply, const ServiceRequest *request) _must_check_;
