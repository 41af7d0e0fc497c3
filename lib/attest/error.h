/* What went wrong: a name out of one table (attestctl errors lists it), the sentence of each layer, and whether trying again can help. */
#pragma once

#include "common.h"

ATTEST_BEGIN

typedef struct AttestError AttestError;

typedef enum AttestRetry {
        ATTEST_RETRY_TRANSIENT, /* likely to pass by itself: try again soon, backing off */
        ATTEST_RETRY_PERMANENT, /* somebody has to change something */
        ATTEST_RETRY_NEVER,     /* trying again cannot help */
} AttestRetry;

/* For callbacks that fail. name is one of the table; an unknown one becomes "Internal". Never NULL. */
AttestError *attest_error_new(const char *name, const char *message);
AttestError *attest_error_free(AttestError *error);

const char *attest_error_get_name(const AttestError *error);      /* "TokenExpired"; "" of NULL */
const char *attest_error_describe(const AttestError *error);      /* "what was tried: what failed: why": one line, without secrets; "" of NULL */
const char *attest_error_get_help(const AttestError *error);      /* one line: what to do; "" of NULL */
AttestRetry attest_error_get_retry(const AttestError *error);
uint64_t attest_error_get_retry_after_usec(const AttestError *error);   /* what the service asked for (RFC 9110 section 10.2.3), at most an hour; 0 if nothing */
int attest_error_get_http_status(const AttestError *error);       /* 0 if the service did not answer */
/* What the service, or whoever gives access tokens, said of it: as it came (UTF-8, control characters and all), 16 KiB of each at most. NULL if it did not. */
const char *attest_error_get_service_code(const AttestError *error);      /* "PolicyEvaluationError", "invalid_client" */
const char *attest_error_get_service_message(const AttestError *error);
const char *attest_error_get_service_target(const AttestError *error);
const char *attest_error_get_service_details(const AttestError *error);   /* JSON text: an array */
const char *attest_error_get_inner_error(const AttestError *error);       /* JSON text: an object, with members code, message and innererror as far as it has them */
const char *attest_error_get_request_id(const AttestError *error);        /* x-ms-request-id: the service's support asks for it */

ATTEST_END
