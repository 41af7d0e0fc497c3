/* The instance's own token authority, in the manner of Microsoft Entra: so that each kind of credential ends in a real token, or in a real refusal.
 *
 *     POST /TENANT/oauth2/v2.0/token                        grant_type=client_credentials with client_secret, or with a client_assertion
 *     GET  /TENANT/v2.0/.well-known/openid-configuration    metadata of the authority
 *     GET  /TENANT/discovery/v2.0/keys                      its key set
 *
 * Tokens are JWTs, RS256, for the audience https://attest.azure.net alone. Roles do not stand in them, as with the real service: the instance looks them
 * up by oid when the token is used, so a role that was taken away counts at once. */
#pragma once

#include "instance/authority-applications.h"
#include "instance/identity.h"

#define AUTHORITY_AUDIENCE "https://attest.azure.net"
#define AUTHORITY_LIFETIME_SEC 3599              /* what Entra says most often */
#define AUTHORITY_MANAGED_LIFETIME_SEC 86399     /* of managed identities */

typedef struct ServiceRequest ServiceRequest;
typedef struct ServiceReply ServiceReply;

typedef struct Authority Authority;
/* All of them borrowed; identity must have its authority's key. */
Err *authority_new(const Identity *identity, const Applications *applications, Authority **ret) _must_check_;
Authority *authority_free(Authority *authority);
DEFINE_CLEANUP(Authority, authority_free)
const Applications *authority_applications(const Authority *authority);

/* Does path have the form of one of the endpoints, whatever the tenant? */
bool authority_has_path(const char *path);
Err *authority_handle(Authority *authority, const ServiceRequest *request, ServiceReply *reply) _must_check_;
/* {"error","error_description","error_codes",…}; takes error. Also for faults: status and name then have no refusal behind them. */
Err *authority_reply_error(ServiceReply *reply, unsigned status, const char *name, Err *steal_error) _must_check_;

typedef struct AuthorityGrant {
        const Tenant *tenant;
        const Application *application;
        const char *client_class;    /* appidacr: "1" secret, "2" assertion */
        int64_t now_sec, lifetime_sec;
} AuthorityGrant;
/* An access token. */
Err *authority_issue(const Authority *authority, const AuthorityGrant *grant, char **ret) _must_check_;
/* Is this the Authorization header of somebody who has the role? NULL header: none was sent. Error: SERVICE_UNAUTHORIZED. */
Err *authority_check_bearer(const Authority *authority, const char *header, ApplicationRole role, int64_t now_sec) _must_check_;
