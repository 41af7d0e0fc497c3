/* See authority-refusal.h. */
#include "instance/authority-refusal.h"

static const RefusalAnswer answers[] = {
        { REFUSAL_ASSERTION_MALFORMED, 400, "invalid_request" },
        { REFUSAL_ASSERTION_SIGNATURE, 401, "invalid_client" },
        { REFUSAL_GRANT_UNSUPPORTED, 400, "unsupported_grant_type" },
        { REFUSAL_SCOPE_INVALID, 400, "invalid_scope" },
        { REFUSAL_TENANT_UNKNOWN, 400, "invalid_request" },
        { REFUSAL_RESOURCE_UNKNOWN, 400, "invalid_resource" },
        { REFUSAL_APPLICATION_UNKNOWN, 400, "unauthorized_client" },
        { REFUSAL_ASSERTION_CLIENT, 401, "invalid_client" },
        { REFUSAL_ASSERTION_AUDIENCE, 401, "invalid_client" },
        { REFUSAL_ASSERTION_TIME, 401, "invalid_client" },
        { REFUSAL_ASSERTION_KEY, 401, "invalid_client" },
        { REFUSAL_FEDERATION_ISSUER, 401, "invalid_client" },
        { REFUSAL_FEDERATION_AUDIENCE, 401, "invalid_client" },
        { REFUSAL_FEDERATION_SUBJECT, 401, "invalid_client" },
        { REFUSAL_PARAMETER_MISSING, 400, "invalid_request" },
        { REFUSAL_METHOD, 405, "invalid_request" },
        { REFUSAL_SCOPE_NOT_DEFAULT, 400, "invalid_scope" },
        { REFUSAL_SECRET_WRONG, 401, "invalid_client" },
        { REFUSAL_CREDENTIAL_MISSING, 400, "invalid_request" },
        { REFUSAL_SECRET_EXPIRED, 401, "invalid_client" },
        { REFUSAL_REQUEST_MALFORMED, 400, "invalid_request" },
};

const RefusalAnswer *refusal_find(const Err *err) {
        int64_t number = 0;
        if (err_code(err) != ERR_CREDENTIAL_FAILED || err_native(err, &number) != ERR_DOMAIN_HTTP)
                return NULL;
        for (size_t i = 0; i < N_ELEMENTS(answers); i++)
                if (answers[i].refusal == (Refusal) number)
                        return &answers[i];
        return NULL;
}
