/* Who the token authority knows: the file of --applications.
 *
 *     {"tenants": [{
 *         "id": "GUID",  "name": "contoso.example",                      name: optional second way to say the id
 *         "applications": [{
 *             "client_id": "GUID", "object_id": "GUID",
 *             "roles": ["reader", "contributor"],
 *             "secrets": [{"value": "…", "expires": 1893456000}],         expires: seconds since 1970, optional
 *             "certificates": ["-----BEGIN CERTIFICATE-----…"],
 *             "federated": [{"issuer": "https://…", "subject": "…", "audience": "…", "keys": [JWK, …]}] }],
 *         "managed_identities": [{
 *             "client_id": "GUID", "object_id": "GUID", "resource_id": "/subscriptions/…",
 *             "system_assigned": true, "roles": ["reader"] }] }],
 *      "identity_header": "…"}                                           of App Service, optional
 *
 * Members that are not named here are refused: a role that is spelt wrong must not become no role without a word. */
#pragma once

#include "jose/jwk.h"

#define APPLICATIONS_FILE_MAX (1u << 20)
#define APPLICATIONS_TENANTS_MAX 16
#define APPLICATIONS_PER_TENANT_MAX 64
#define APPLICATION_CREDENTIALS_MAX 16      /* of each kind */

/* What the roles "Attestation Reader" and "Attestation Contributor" allow; bits. */
typedef enum ApplicationRole {
        APPLICATION_READER = 1,       /* attest/Tpm, reading of policies and certificates */
        APPLICATION_CONTRIBUTOR = 2,  /* that, and changing them */
} ApplicationRole;

typedef struct ApplicationSecret {
        char *value;
        int64_t expires_sec;          /* INT64_MAX: never */
} ApplicationSecret;

typedef struct ApplicationFederation {
        char *issuer, *subject, *audience;
        JwkSet *keys;
} ApplicationFederation;

typedef struct Application {
        char *client_id, *object_id;
        char *resource_id;            /* of managed identities; NULL: none */
        bool is_managed, is_system_assigned;
        unsigned roles;               /* set of ApplicationRole */
        ApplicationSecret secrets[APPLICATION_CREDENTIALS_MAX];
        size_t n_secrets;
        STACK_OF(X509) *certificates; /* NULL: none */
        ApplicationFederation federations[APPLICATION_CREDENTIALS_MAX];
        size_t n_federations;
} Application;

typedef struct Tenant {
        char *id;
        char *name;                   /* NULL: none */
        Application applications[APPLICATIONS_PER_TENANT_MAX];
        size_t n;
} Tenant;

typedef struct Applications {
        Tenant *tenants;
        size_t n;
        char *identity_header;        /* NULL: no App Service here */
} Applications;
Applications *applications_free(Applications *applications);
DEFINE_CLEANUP(Applications, applications_free)

/* Errors: JSON_*, CONFIG_INVALID naming the tenant, the application and the member. */
Err *applications_parse(Span text, Applications **ret) _must_check_;
/* The same from a file. Errors besides: IO, LIMIT_EXCEEDED. */
Err *applications_read(const char *path, Applications **ret) _must_check_;

/* By id or name, in any case. NULL: there is none. */
const Tenant *applications_find_tenant(const Applications *applications, Span text);
/* An application that is no managed identity. NULL: there is none. */
const Application *tenant_find_application(const Tenant *tenant, const char *client_id);
/* By the object id, managed or not. */
const Application *tenant_find_object(const Tenant *tenant, const char *object_id);
