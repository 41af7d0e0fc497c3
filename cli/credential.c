/* See credential.h. */
#include "cli/credential.h"

#include <time.h>

static CredentialKind kind_of(CredentialType type) {
        switch (type) {
        case CREDENTIAL_NONE:
                return CREDENTIAL_KIND_NONE;
        case CREDENTIAL_CLIENT_SECRET:
                return CREDENTIAL_KIND_CLIENT_SECRET;
        case CREDENTIAL_CLIENT_CERTIFICATE:
                return CREDENTIAL_KIND_CLIENT_CERTIFICATE;
        case CREDENTIAL_MANAGED_IDENTITY:
                return CREDENTIAL_KIND_MANAGED_IDENTITY;
        case CREDENTIAL_WORKLOAD_IDENTITY:
                return CREDENTIAL_KIND_WORKLOAD_IDENTITY;
        case CREDENTIAL_TOKEN_FILE:
                return CREDENTIAL_KIND_TOKEN_FILE;
        }
        return CREDENTIAL_KIND_NONE;
}

static Err *make_credential(const Config *config, uint64_t budget_usec, Credential **ret) {
        CredentialOptions options = {
                .kind = kind_of(config->credential_type),
                .tenant_id = config->tenant_id, .client_id = config->client_id, .authority = config->authority, .scope = config->scope,
                .secret_file = config->secret_file, .certificate_file = config->certificate_file, .private_key_file = config->private_key_file,
                .federated_token_file = config->federated_token_file, .token_file = config->token_file, .imds_url = config->imds_url,
                .managed_client_id = config->managed_identity_client_id, .managed_object_id = config->managed_identity_object_id,
                .managed_resource_id = config->managed_identity_resource_id, .budget_usec = budget_usec,
        };
        credential_options_from_environment(&options, getenv);
        return err_wrap(credential_new(&options, ret), "[Credential]");
}

Err *cli_credential_get(const Config *config, const TransportOptions *transport, uint64_t budget_usec, char **ret) {
        _cleanup_(credential_freep) Credential *credential = NULL;
        _cleanup_(operation_freep) Operation *operation = NULL;   /* ends before the credential */
        TRY(make_credential(config, budget_usec, &credential));
        TRY(operation_new_token(credential, (uint64_t) time(NULL), &operation));
        TRY(driver_run(operation, transport, /* callbacks= */ NULL));
        const char *authorization = credential_authorization(credential);
        *ret = NULL;
        return authorization ? string_copy(authorization, ret) : NULL;
}

void cli_credential_forget(char **authorization) {
        if (*authorization)
                explicit_bzero(*authorization, strlen(*authorization));
        free(steal_ptr(authorization));
}
