/* Metadata endpoints that hand tokens to managed identities: plain HTTP on loopback (--imds), as on the machines that have them.
 *
 *     GET /metadata/identity/oauth2/token       IMDS of a virtual machine: header "Metadata: true"; api-version, resource, and at most one of client_id,
 *                                               object_id, msi_res_id. A request that came through a proxy (X-Forwarded-For) is refused
 *     GET /msi/token                            App Service (IDENTITY_ENDPOINT): header X-IDENTITY-HEADER
 *     GET /arc/metadata/identity/oauth2/token   Azure Arc (IDENTITY_ENDPOINT): header "Metadata: true"; the first answer is 401 and names a file, whose
 *                                               content comes back as "Authorization: Basic …": who may read that file is on this machine
 *
 * Numbers in these answers are strings. Sources: learn.microsoft.com, how-to-use-vm-token, overview-managed-identity (App Service),
 * managed-identity-authentication (Arc). */
#pragma once

#include "instance/authority.h"

#define IMDS_CHALLENGES_MAX 8
#define IMDS_KEY_SIZE 32

typedef struct ImdsChallenge {
        char *path;                  /* of the key file; NULL: none */
        char key[IMDS_KEY_SIZE * 2 + 1];
} ImdsChallenge;

typedef struct Imds {
        const Authority *authority;  /* borrowed */
        const char *arc_directory;   /* where key files of challenges go; NULL: no Arc here; borrowed */
        ImdsChallenge challenges[IMDS_CHALLENGES_MAX];
        size_t n_challenges;         /* of all time */
} Imds;
/* Removes the key files that are left. */
void imds_done(Imds *imds);

Err *imds_handle(Imds *imds, const ServiceRequest *request, ServiceReply *reply) _must_check_;
/* {"error","error_description"}; takes error. */
Err *imds_reply_error(ServiceReply *reply, unsigned status, const char *name, Err *steal_error) _must_check_;
