/* What the files of credentials share; others include credential.h and operation.h. */
#pragma once

#include "client/credential.h"

/* Where a managed identity's token comes from. */
typedef enum CredentialHost { CREDENTIAL_HOST_IMDS, CREDENTIAL_HOST_APP_SERVICE, CREDENTIAL_HOST_ARC } CredentialHost;

struct Credential {
        CredentialKind kind;
        CredentialHost host;
        char *tenant_id, *client_id, *authority, *scope;
        char *secret_file, *certificate_file, *private_key_file, *federated_token_file, *token_file;
        char *endpoint;             /* of the metadata service, without query */
        char *identity_header;      /* of App Service */
        char *managed_client_id, *managed_object_id, *managed_resource_id;
        char *arc_directory;
        uint64_t budget_usec;
        AccessToken token;          /* at hand; authorization NULL: none */
        bool is_fetching;           /* an operation is under way */
};

/* credential-request.c */

/* The request for a token. arc_key: the content of the key file of a challenge, NULL before there was one. */
Err *credential_request(const Credential *credential, uint64_t now_sec, const char *arc_key, HttpRequest *ret) _must_check_;
/* The key that a 401 of Azure Arc names. Error: CREDENTIAL_FAILED, where it names none in arc_directory. */
Err *credential_arc_key(const Credential *credential, const char *authenticate, char **ret) _must_check_;
/* Content of a file without the white space at its ends; not empty. Errors: IO, LIMIT_EXCEEDED, CREDENTIAL_FAILED. */
Err *credential_read_file(const char *path, char **ret) _must_check_;

/* credential-fetch.c: the conversation that ends in a token. operation.h gives it to drivers. */

typedef enum CredentialStep { CREDENTIAL_SEND, CREDENTIAL_WAIT, CREDENTIAL_DONE, CREDENTIAL_FAILED } CredentialStep;

typedef struct CredentialFetch {
        Credential *credential;     /* borrowed; is_fetching until credential_fetch_done() */
        CredentialStep step;
        HttpRequest request;        /* in SEND */
        uint64_t delay_usec;        /* in WAIT */
        uint64_t waited_usec;       /* all of it */
        unsigned n_tries;           /* that failed */
        bool was_challenged;
        Err *err;                   /* in FAILED; in WAIT what the last try failed with */
} CredentialFetch;
/* Error: BUSY if another one is under way. */
Err *credential_fetch_init(CredentialFetch *fetch, Credential *credential, uint64_t now_sec) _must_check_;
void credential_fetch_done(CredentialFetch *fetch);
void credential_fetch_take_response(CredentialFetch *fetch, const HttpResponse *response, uint64_t now_sec);
void credential_fetch_take_failure(CredentialFetch *fetch, Err *steal_err);
void credential_fetch_take_elapsed(CredentialFetch *fetch, uint64_t now_sec);
