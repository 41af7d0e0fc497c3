/* See credential.h. */
#include "client/credential-private.h"

static void erase_string(char *text) {
        if (text)
                explicit_bzero(text, strlen(text));
        free(text);
}

Credential *credential_free(Credential *credential) {
        if (!credential)
                return NULL;
        char *const strings[] = {
                credential->tenant_id, credential->client_id, credential->authority, credential->scope, credential->secret_file,
                credential->certificate_file, credential->private_key_file, credential->federated_token_file, credential->token_file, credential->endpoint,
                credential->managed_client_id, credential->managed_object_id, credential->managed_resource_id, credential->arc_directory,
        };
        for (size_t i = 0; i < N_ELEMENTS(strings); i++)
                free(strings[i]);
        erase_string(credential->identity_header);
        access_token_done(&credential->token);
        free(credential);
        return NULL;
}

static void fill(const char **value, const char *variable, char *(*get)(const char *name)) {
        const char *text = *value ? NULL : get(variable);
        if (text && *text)
                *value = text;
}

void credential_options_from_environment(CredentialOptions *options, char *(*get)(const char *name)) {
        if (options->kind == CREDENTIAL_KIND_WORKLOAD_IDENTITY) {
                fill(&options->tenant_id, "AZURE_TENANT_ID", get);
                fill(&options->client_id, "AZURE_CLIENT_ID", get);
                fill(&options->federated_token_file, "AZURE_FEDERATED_TOKEN_FILE", get);
                fill(&options->authority, "AZURE_AUTHORITY_HOST", get);
        } else if (options->kind == CREDENTIAL_KIND_MANAGED_IDENTITY) {
                fill(&options->identity_endpoint, "IDENTITY_ENDPOINT", get);
                fill(&options->identity_header, "IDENTITY_HEADER", get);
                fill(&options->imds_endpoint, "IMDS_ENDPOINT", get);
        }
}

static Err *need(const char *value, const char *what) {
        return value && *value ? NULL : err_new(ERR_CONFIG_INVALID, "%s is needed", what);
}

static Err *check_authority_options(const CredentialOptions *options) {
        TRY(need(options->tenant_id, "a tenant id"));
        TRY(need(options->client_id, "a client id"));
        if (strpbrk(options->tenant_id, "/?#%") || !strcmp(options->tenant_id, "..") || !strcmp(options->tenant_id, "."))
                return err_new(ERR_CONFIG_INVALID, "the tenant id is no GUID and no domain name");
        if (options->authority && strncmp(options->authority, "https://", strlen("https://")) != 0)
                return err_new(ERR_CONFIG_INVALID, "the authority is no https:// URL");
        return NULL;
}

static Err *check_managed_options(const CredentialOptions *options) {
        int n = !!options->managed_client_id + !!options->managed_object_id + !!options->managed_resource_id;
        return n > 1 ? err_new(ERR_CONFIG_INVALID, "a managed identity is named by one of client, object and resource id") : NULL;
}

static Err *check_options(const CredentialOptions *options) {
        switch (options->kind) {
        case CREDENTIAL_KIND_NONE:
                return NULL;
        case CREDENTIAL_KIND_CLIENT_SECRET:
                TRY(check_authority_options(options));
                return need(options->secret_file, "a file with the secret");
        case CREDENTIAL_KIND_CLIENT_CERTIFICATE:
                TRY(check_authority_options(options));
                return need(options->certificate_file, "a file with the certificate");
        case CREDENTIAL_KIND_WORKLOAD_IDENTITY:
                TRY(check_authority_options(options));
                return need(options->federated_token_file, "a file with the federated token");
        case CREDENTIAL_KIND_MANAGED_IDENTITY:
                return check_managed_options(options);
        case CREDENTIAL_KIND_TOKEN_FILE:
                return need(options->token_file, "a file with the token");
        }
        return err_new(ERR_INVALID_ARGUMENT, "there is no credential of kind %d", (int) options->kind);
}

static Err *copy(const char *text, char **ret) {
        return text ? string_copy(text, ret) : NULL;
}

static Err *copy_without_slash(const char *text, char **ret) {
        size_t size = strlen(text);
        while (size > 0 && text[size - 1] == '/')
                size--;
        return string_copy_span(span_make(text, size), ret);
}

/* Which metadata service this machine has: as the service's own SDKs detect it. */
static Err *find_host(const CredentialOptions *options, Credential *credential) {
        _cleanup_free_ char *base = NULL;
        if (!options->imds_url && options->identity_endpoint && (options->identity_header || options->imds_endpoint)) {
                credential->host = options->identity_header ? CREDENTIAL_HOST_APP_SERVICE : CREDENTIAL_HOST_ARC;
                if (credential->host == CREDENTIAL_HOST_ARC &&
                    (options->managed_client_id || options->managed_object_id || options->managed_resource_id))
                        return err_new(ERR_CONFIG_INVALID, "Azure Arc has one identity a machine, which is not named");
                return string_copy(options->identity_endpoint, &credential->endpoint);
        }
        credential->host = CREDENTIAL_HOST_IMDS;
        TRY(copy_without_slash(options->imds_url ? options->imds_url : CREDENTIAL_IMDS_URL_DEFAULT, &base));
        return string_format(&credential->endpoint, "%s/metadata/identity/oauth2/token", base);
}

Err *credential_new(const CredentialOptions *options, Credential **ret) {
        _cleanup_(credential_freep) Credential *credential = calloc(1, sizeof(*credential));
        if (!credential)
                return err_oom();
        TRY(check_options(options));
        credential->kind = options->kind;
        credential->budget_usec = options->budget_usec > 0 ? options->budget_usec : CREDENTIAL_BUDGET_USEC_DEFAULT;
        TRY(copy(options->tenant_id, &credential->tenant_id));
        TRY(copy(options->client_id, &credential->client_id));
        TRY(copy_without_slash(options->authority ? options->authority : CREDENTIAL_AUTHORITY_DEFAULT, &credential->authority));
        TRY(copy(options->scope ? options->scope : CREDENTIAL_SCOPE_DEFAULT, &credential->scope));
        TRY(copy(options->secret_file, &credential->secret_file));
        TRY(copy(options->certificate_file, &credential->certificate_file));
        TRY(copy(options->private_key_file ? options->private_key_file : options->certificate_file, &credential->private_key_file));
        TRY(copy(options->federated_token_file, &credential->federated_token_file));
        TRY(copy(options->token_file, &credential->token_file));
        TRY(copy(options->identity_header, &credential->identity_header));
        TRY(copy(options->managed_client_id, &credential->managed_client_id));
        TRY(copy(options->managed_object_id, &credential->managed_object_id));
        TRY(copy(options->managed_resource_id, &credential->managed_resource_id));
        TRY(copy_without_slash(options->arc_directory ? options->arc_directory : CREDENTIAL_ARC_DIRECTORY_DEFAULT, &credential->arc_directory));
        if (options->kind == CREDENTIAL_KIND_MANAGED_IDENTITY)
                TRY(find_host(options, credential));
        *ret = steal_ptr(&credential);
        return NULL;
}

CredentialState credential_state(const Credential *credential, uint64_t now_sec) {
        const AccessToken *token = &credential->token;
        if (credential->kind == CREDENTIAL_KIND_NONE)
                return CREDENTIAL_FRESH;
        /* A file may have changed since, and reading it costs nothing. */
        if (credential->kind == CREDENTIAL_KIND_TOKEN_FILE || !token->authorization)
                return CREDENTIAL_MISSING;
        uint64_t life_sec = token->expires_sec > now_sec ? token->expires_sec - now_sec : 0;
        if (now_sec < token->refresh_sec)
                return life_sec > 0 ? CREDENTIAL_FRESH : CREDENTIAL_MISSING;
        return life_sec > ACCESS_TOKEN_MARGIN_SEC ? CREDENTIAL_AGING : CREDENTIAL_MISSING;
}

const char *credential_authorization(const Credential *credential) {
        return credential->token.authorization;
}

void credential_forget(Credential *credential) {
        access_token_done(&credential->token);
}
