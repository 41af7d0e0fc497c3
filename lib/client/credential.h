/* Access tokens for the service: where they come from, the one at hand, and when the next is wanted.
 *
 *     kind                 what is asked, and with what
 *     none                 nobody
 *     client-secret        token authority: the secret in a file
 *     client-certificate   token authority: an assertion signed with the key of a certificate (PEM; RSA or EC)
 *     workload-identity    token authority: the platform's own token, from a file, as assertion
 *     managed-identity     metadata service of the machine: IMDS, App Service or Azure Arc
 *     token-file           nobody: somebody else keeps a token in a file
 *
 * Files are read whenever they are needed and never kept, so a file that changed counts at the next request. Failures are not kept either.
 * A credential is asked through an operation (operation_new_token()); one at a time. Secrets and tokens are overwritten before their memory is freed, and
 * stand in no error. */
#pragma once

#include "client/access-token.h"

#define CREDENTIAL_AUTHORITY_DEFAULT "https://login.microsoftonline.com"
#define CREDENTIAL_SCOPE_DEFAULT "https://attest.azure.net/.default"
#define CREDENTIAL_IMDS_URL_DEFAULT "http://169.254.169.254"
#define CREDENTIAL_ARC_DIRECTORY_DEFAULT "/var/opt/azcmagent/tokens"
#define CREDENTIAL_BUDGET_USEC_DEFAULT (90 * USEC_PER_SEC)   /* IMDS asks for patience of 70 s while it is updated (410) */
#define CREDENTIAL_FILE_MAX 65536u

typedef enum CredentialKind {
        CREDENTIAL_KIND_NONE, CREDENTIAL_KIND_CLIENT_SECRET, CREDENTIAL_KIND_CLIENT_CERTIFICATE, CREDENTIAL_KIND_MANAGED_IDENTITY,
        CREDENTIAL_KIND_WORKLOAD_IDENTITY, CREDENTIAL_KIND_TOKEN_FILE,
} CredentialKind;

/* NULL where not said. What a kind does not need is not looked at. */
typedef struct CredentialOptions {
        CredentialKind kind;
        const char *tenant_id, *client_id;
        const char *authority, *scope;
        const char *secret_file;
        const char *certificate_file, *private_key_file;   /* NULL key file: it is in certificate_file */
        const char *federated_token_file;
        const char *token_file;
        /* managed identity */
        const char *imds_url;                              /* without path; set: IMDS, whatever the two endpoints below say */
        const char *identity_endpoint, *identity_header;   /* both: App Service */
        const char *imds_endpoint;                         /* with identity_endpoint and without header: Azure Arc */
        const char *managed_client_id, *managed_object_id, *managed_resource_id;
        const char *arc_directory;                         /* where key files of challenges may be */
        uint64_t budget_usec;                              /* all waiting between the requests for one token; 0: the default */
} CredentialOptions;
/* Fills what is NULL from the platform's variables: AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_FEDERATED_TOKEN_FILE and AZURE_AUTHORITY_HOST for workload
 * identity; IDENTITY_ENDPOINT, IDENTITY_HEADER and IMDS_ENDPOINT for managed identity. get is getenv() or the like. */
void credential_options_from_environment(CredentialOptions *options, char *(*get)(const char *name));

typedef struct Credential Credential;
/* Copies all. Error: CONFIG_INVALID naming what the kind needs and has not. */
Err *credential_new(const CredentialOptions *options, Credential **ret) _must_check_;
Credential *credential_free(Credential *credential);
DEFINE_CLEANUP(Credential, credential_free)

typedef enum CredentialState {
        CREDENTIAL_FRESH,     /* a token is at hand, or none is needed */
        CREDENTIAL_AGING,     /* one is at hand, but a new one should be had; if that fails, the old one will do */
        CREDENTIAL_MISSING,   /* a token has to be had first */
} CredentialState;
CredentialState credential_state(const Credential *credential, uint64_t now_sec);
/* "Bearer …" of the token at hand; NULL if there is none. Borrowed until the next operation ends or credential_forget(). */
const char *credential_authorization(const Credential *credential);
/* Drops the token: the service did not want it (401). */
void credential_forget(Credential *credential);
