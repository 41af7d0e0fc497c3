/* See credential.h. The options are kept as they were given; what asks with them is made when it is first needed. */
#include "attest/credential.h"

#include <time.h>

#include "attest/internal.h"

typedef enum Text {
        TEXT_TENANT, TEXT_CLIENT, TEXT_AUTHORITY, TEXT_SCOPE, TEXT_SECRET_FILE, TEXT_CERTIFICATE_FILE, TEXT_KEY_FILE, TEXT_FEDERATED_FILE, TEXT_TOKEN_FILE,
        TEXT_IMDS_URL, TEXT_ENDPOINT, TEXT_HEADER, TEXT_MANAGED_CLIENT, TEXT_MANAGED_OBJECT, TEXT_MANAGED_RESOURCE, _TEXT_MAX,
} Text;

struct AttestCredential {
        CredentialKind kind;
        char *texts[_TEXT_MAX];      /* NULL: not given */
        uint64_t budget_usec;
        Credential *credential;      /* NULL: not made yet, or something changed since */
};

static void erase_text(char **text) {
        if (*text)
                explicit_bzero(*text, strlen(*text));
        free(*text);
        *text = NULL;
}

AttestCredential *attest_credential_free(AttestCredential *credential) {
        if (!credential)
                return NULL;
        for (size_t i = 0; i < _TEXT_MAX; i++)
                erase_text(&credential->texts[i]);
        credential_free(credential->credential);
        free(credential);
        return NULL;
}
DEFINE_CLEANUP(AttestCredential, attest_credential_free)

static Err *set_text(AttestCredential *credential, Text which, const char *text) {
        char *copy = NULL;
        if (text)
                TRY(string_copy(text, &copy));
        erase_text(&credential->texts[which]);
        credential->texts[which] = copy;
        credential->credential = credential_free(credential->credential);
        return NULL;
}

static Err *set_needed(AttestCredential *credential, Text which, const char *text, const char *what) {
        if (!text || !*text)
                return err_new(ERR_INVALID_ARGUMENT, "%s is needed", what);
        return set_text(credential, which, text);
}

static Err *make(CredentialKind kind, AttestCredential **ret) {
        AttestCredential *credential = calloc(1, sizeof(*credential));
        if (!credential)
                return err_oom();
        credential->kind = kind;
        *ret = credential;
        return NULL;
}

/* Of the token authority: tenant, client and a file. */
static Err *make_of_authority(CredentialKind kind, const char *tenant, const char *client_id, Text which, const char *file, AttestCredential **ret) {
        _cleanup_(attest_credential_freep) AttestCredential *credential = NULL;
        TRY(make(kind, &credential));
        TRY(set_needed(credential, TEXT_TENANT, tenant, "a tenant"));
        TRY(set_needed(credential, TEXT_CLIENT, client_id, "a client id"));
        TRY(set_needed(credential, which, file, "a file"));
        *ret = steal_ptr(&credential);
        return NULL;
}

AttestError *attest_credential_new_client_secret(const char *tenant, const char *client_id, const char *secret_file, AttestCredential **ret) {
        return error_out(make_of_authority(CREDENTIAL_KIND_CLIENT_SECRET, tenant, client_id, TEXT_SECRET_FILE, secret_file, ret));
}

AttestError *attest_credential_new_client_certificate(const char *tenant, const char *client_id, const char *certificate_file, const char *key_file,
                                                      AttestCredential **ret) {
        _cleanup_(attest_credential_freep) AttestCredential *credential = NULL;
        Err *err = make_of_authority(CREDENTIAL_KIND_CLIENT_CERTIFICATE, tenant, client_id, TEXT_CERTIFICATE_FILE, certificate_file, &credential);
        if (!err)
                err = set_text(credential, TEXT_KEY_FILE, key_file);
        if (!err)
                *ret = steal_ptr(&credential);
        return error_out(err);
}

AttestError *attest_credential_new_workload_identity(const char *tenant, const char *client_id, const char *token_file, AttestCredential **ret) {
        return error_out(make_of_authority(CREDENTIAL_KIND_WORKLOAD_IDENTITY, tenant, client_id, TEXT_FEDERATED_FILE, token_file, ret));
}

AttestError *attest_credential_new_managed_identity(AttestCredential **ret) {
        return error_out(make(CREDENTIAL_KIND_MANAGED_IDENTITY, ret));
}

AttestError *attest_credential_new_token_file(const char *token_file, AttestCredential **ret) {
        _cleanup_(attest_credential_freep) AttestCredential *credential = NULL;
        Err *err = make(CREDENTIAL_KIND_TOKEN_FILE, &credential);
        if (!err)
                err = set_needed(credential, TEXT_TOKEN_FILE, token_file, "a file");
        if (!err)
                *ret = steal_ptr(&credential);
        return error_out(err);
}

AttestError *attest_credential_set_authority(AttestCredential *credential, const char *url) {
        return error_out(set_text(credential, TEXT_AUTHORITY, url));
}

AttestError *attest_credential_set_scope(AttestCredential *credential, const char *scope) {
        return error_out(set_text(credential, TEXT_SCOPE, scope));
}

static Err *set_identity(AttestCredential *credential, const char *client_id, const char *object_id, const char *resource_id) {
        if (!!client_id + !!object_id + !!resource_id > 1)
                return err_new(ERR_INVALID_ARGUMENT, "a managed identity is named by one of client, object and resource id");
        TRY(set_text(credential, TEXT_MANAGED_CLIENT, client_id));
        TRY(set_text(credential, TEXT_MANAGED_OBJECT, object_id));
        return set_text(credential, TEXT_MANAGED_RESOURCE, resource_id);
}

AttestError *attest_credential_set_identity(AttestCredential *credential, const char *client_id, const char *object_id, const char *resource_id) {
        return error_out(set_identity(credential, client_id, object_id, resource_id));
}

AttestError *attest_credential_set_imds_url(AttestCredential *credential, const char *url) {
        return error_out(set_text(credential, TEXT_IMDS_URL, url));
}

AttestError *attest_credential_set_identity_endpoint(AttestCredential *credential, const char *endpoint, const char *header) {
        Err *err = set_text(credential, TEXT_ENDPOINT, endpoint);
        return error_out(err ? err : set_text(credential, TEXT_HEADER, header));
}

void attest_credential_set_budget_usec(AttestCredential *credential, uint64_t budget_usec) {
        credential->budget_usec = budget_usec > 0 ? budget_usec : 1;      /* 0 would be the default */
        credential->credential = credential_free(credential->credential);
}

void attest_credential_forget(AttestCredential *credential) {
        if (credential->credential)
                credential_forget(credential->credential);
}

static Err *prepare(AttestCredential *credential) {
        char **texts = credential->texts;
        CredentialOptions options = {
                .kind = credential->kind,
                .tenant_id = texts[TEXT_TENANT], .client_id = texts[TEXT_CLIENT], .authority = texts[TEXT_AUTHORITY], .scope = texts[TEXT_SCOPE],
                .secret_file = texts[TEXT_SECRET_FILE], .certificate_file = texts[TEXT_CERTIFICATE_FILE], .private_key_file = texts[TEXT_KEY_FILE],
                .federated_token_file = texts[TEXT_FEDERATED_FILE], .token_file = texts[TEXT_TOKEN_FILE], .imds_url = texts[TEXT_IMDS_URL],
                .identity_endpoint = texts[TEXT_ENDPOINT], .identity_header = texts[TEXT_HEADER],
                .imds_endpoint = texts[TEXT_HEADER] ? NULL : texts[TEXT_ENDPOINT],
                .managed_client_id = texts[TEXT_MANAGED_CLIENT], .managed_object_id = texts[TEXT_MANAGED_OBJECT],
                .managed_resource_id = texts[TEXT_MANAGED_RESOURCE], .budget_usec = credential->budget_usec,
        };
        return credential->credential ? NULL : credential_new(&options, &credential->credential);
}

static Err *fetch(Credential *credential, AttestClient *client, uint64_t now_sec) {
        _cleanup_(operation_freep) Operation *operation = NULL;
        const TransportOptions transport = client_transport(client);
        const DriverCallbacks callbacks = { .progress = progress_ask, .userdata = &client->progress };
        TRY(operation_new_token(credential, now_sec, &operation));
        return driver_run(operation, &transport, &callbacks);
}

static Err *authorize(AttestCredential *credential, AttestClient *client) {
        uint64_t now_sec = (uint64_t) time(NULL);
        Err *err = prepare(credential);
        CredentialState state = err ? CREDENTIAL_MISSING : credential_state(credential->credential, now_sec);
        if (!err && state != CREDENTIAL_FRESH)
                err = fetch(credential->credential, client, now_sec);
        if (err && state == CREDENTIAL_AGING && err_code(err) != ERR_CANCELLED)
                err = err_free(err);       /* the old one will do */
        return err ? err : error_in(attest_client_set_authorization(client, credential_authorization(credential->credential)));
}

AttestError *attest_credential_authorize(AttestCredential *credential, AttestClient *client) {
        client_begin(client);
        return error_out(authorize(credential, client));
}

AttestError *attest_client_set_credential(AttestClient *client, AttestCredential *credential) {
        client->credential = credential;
        return attest_client_set_authorization(client, NULL);
}

Err *client_authorize(AttestClient *client) {
        return client->credential ? err_wrap(authorize(client->credential, client), "getting an access token") : NULL;
}

Err *client_judge_authorization(AttestClient *client, Err *steal_err) {
        if (client->credential && err_code(steal_err) == ERR_SERVICE_UNAUTHORIZED)
                attest_credential_forget(client->credential);
        return steal_err;
}
