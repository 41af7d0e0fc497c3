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

ATTEST_END
