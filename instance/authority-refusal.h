/* Refusals of the token endpoint: an error CREDENTIAL_FAILED whose native code is Microsoft Entra's number (AADSTS…). One table says which HTTP status
 * and which OAuth error (RFC 6749 §5.2) a number goes with.
 * Sources: learn.microsoft.com reference-error-codes, and answers that users of the service have shown in public. */
#pragma once

#include "base/error.h"

typedef enum Refusal {
        REFUSAL_ASSERTION_MALFORMED = 50027,
        REFUSAL_ASSERTION_SIGNATURE = 50013,       /* federated */
        REFUSAL_GRANT_UNSUPPORTED = 70003,
        REFUSAL_SCOPE_INVALID = 70011,
        REFUSAL_TENANT_UNKNOWN = 90002,
        REFUSAL_RESOURCE_UNKNOWN = 500011,
        REFUSAL_APPLICATION_UNKNOWN = 700016,
        REFUSAL_ASSERTION_CLIENT = 700021,
        REFUSAL_ASSERTION_AUDIENCE = 700023,
        REFUSAL_ASSERTION_TIME = 700024,
        REFUSAL_ASSERTION_KEY = 700027,
        REFUSAL_FEDERATION_ISSUER = 700211,
        REFUSAL_FEDERATION_AUDIENCE = 700212,
        REFUSAL_FEDERATION_SUBJECT = 700213,
        REFUSAL_PARAMETER_MISSING = 900144,
        REFUSAL_METHOD = 900561,
        REFUSAL_SCOPE_NOT_DEFAULT = 1002012,
        REFUSAL_SECRET_WRONG = 7000215,
        REFUSAL_CREDENTIAL_MISSING = 7000216,
        REFUSAL_SECRET_EXPIRED = 7000222,
        REFUSAL_REQUEST_MALFORMED = 9002313,
} Refusal;

#define refusal_new(refusal, ...) err_new_native(ERR_CREDENTIAL_FAILED, ERR_DOMAIN_HTTP, (refusal), __VA_ARGS__)

typedef struct RefusalAnswer {
        Refusal refusal;
        unsigned status;
        const char *error;
} RefusalAnswer;
/* NULL if err is no refusal. Static. */
const RefusalAnswer *refusal_find(const Err *err);
