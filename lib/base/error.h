/* Errors are objects with a cause chain.
 *
 * A fallible function returns an Err or NULL. An Err says what failed in one sentence, carries one code of
 * error.def (the only table of codes: D-Bus name, exit status, retry class, journal message id, help), the
 * native code of the layer that failed (errno, TSS2_RC, CURLcode, HTTP status) and, where a lower layer failed,
 * that layer's Err as its cause. Each layer adds its intent and never repeats the cause:
 *
 *     attesting to https://...: quoting PCRs sha256:0-23: TPM2_Quote: the handle is not correct (rc 0x18b)
 *
 * What the other side said of the failure may go with it in its own words, as details beside the sentence: for programs, and for the other side's support.
 *
 * An error is consumed once: returned, wrapped, or reported and freed. No secret, token or nonce stands in a
 * sentence. Running out of memory yields a static object, so that making an error cannot fail.
 * All functions are thread-safe as long as each Err is used by one thread at a time. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/util.h"

typedef enum ErrCode {
        ERR_NONE = 0,
#define ERROR(symbol, name, exit_status, retry, message_id, help) ERR_##symbol,
#include "base/error.def"
#undef ERROR
        _ERR_CODE_MAX,
} ErrCode;

/* What a schedule does after this error. */
typedef enum ErrRetry {
        ERR_RETRY_TRANSIENT, /* likely to pass by itself: try again soon, backing off */
        ERR_RETRY_PERMANENT, /* somebody has to change something; keep trying at the slow end of the backoff */
        ERR_RETRY_NEVER,     /* trying again cannot help (bad argument, cancelled) */
} ErrRetry;

/* Whose number err_native() is. */
typedef enum ErrDomain {
        ERR_DOMAIN_NONE,
        ERR_DOMAIN_ERRNO,
        ERR_DOMAIN_TSS,
        ERR_DOMAIN_CURL,
        ERR_DOMAIN_HTTP,
        ERR_DOMAIN_OPENSSL,
} ErrDomain;

typedef struct ErrInfo {
        const char *symbol;      /* "TOKEN_EXPIRED" */
        const char *name;        /* "TokenExpired"; on D-Bus "org.attestd1.Error.TokenExpired" */
        const char *dbus_name;   /* the latter */
        int exit_status;         /* of attestctl; unique, 3..125 */
        ErrRetry retry;
        const char *message_id;  /* 32 hex digits, journal MESSAGE_ID */
        const char *help;        /* one line: what to do */
} ErrInfo;

/* What a service said of a failure, as it came: control characters and all. */
typedef enum ErrDetail {
        ERR_DETAIL_SERVICE_CODE,
        ERR_DETAIL_SERVICE_MESSAGE,
        ERR_DETAIL_SERVICE_TARGET,
        ERR_DETAIL_SERVICE_DETAILS,     /* JSON text: an array */
        ERR_DETAIL_INNER_ERROR,         /* JSON text: an object */
        ERR_DETAIL_REQUEST_ID,          /* by which the service's people find the request in their logs */
        _ERR_DETAIL_MAX,
} ErrDetail;
#define ERR_DETAIL_SIZE_MAX (16u << 10)   /* ours: bytes; recorded messages have up to 300 */

typedef struct Err Err;

/* Makes an error without a cause. Never returns NULL. */
Err *err_new(ErrCode code, const char *format, ...) _printf_(2, 3) _must_check_ _returns_nonnull_;
Err *err_new_native(ErrCode code, ErrDomain domain, int64_t native, const char *format, ...) _printf_(4, 5) _must_check_ _returns_nonnull_;
/* errno_value may be negative (as sd-* functions return it) or positive. ": " and strerror text are appended. */
Err *err_new_errno(ErrCode code, int errno_value, const char *format, ...) _printf_(3, 4) _must_check_ _returns_nonnull_;
Err *err_oom(void) _must_check_ _returns_nonnull_;

/* Puts an intent above a cause and keeps the cause's code. Takes ownership of cause; NULL stays NULL. */
Err *err_wrap(Err *cause, const char *format, ...) _printf_(2, 3) _must_check_;
/* The same with another code, where the upper layer knows better what the failure means. */
Err *err_wrap_code(ErrCode code, Err *cause, const char *format, ...) _printf_(3, 4) _must_check_;
/* A deep copy, to show one failure in several places. NULL stays NULL. */
Err *err_copy(const Err *err);

Err *err_free(Err *err);
DEFINE_CLEANUP(Err, err_free)

/* NULL has code ERR_NONE. */
ErrCode err_code(const Err *err);
const char *err_sentence(const Err *err);   /* of this object alone */
const Err *err_cause(const Err *err);
/* Native code of the first object in the chain that has one. */
ErrDomain err_native(const Err *err, int64_t *ret_native);
/* A delay that the other side asked for (Retry-After), 0 if none. */
void err_set_retry_after(Err *err, uint64_t usec);
uint64_t err_retry_after(const Err *err);

/* HTTP status of the first object in the chain that has one, 0 if none. */
int err_http_status(const Err *err);
/* value is copied, and cut at ERR_DETAIL_SIZE_MAX, between two characters of UTF-8; without memory for it there is none. NULL takes it away. */
void err_set_detail(Err *err, ErrDetail detail, const char *value);
/* Of the first object in the chain that has it, NULL if none; valid until that is freed. */
const char *err_detail(const Err *err, ErrDetail detail);

/* "sentence: cause: cause". Never fails (static text when memory is out); valid until err is freed. */
const char *err_describe(const Err *err);

const ErrInfo *err_code_info(ErrCode code);         /* never NULL; unknown codes give INTERNAL */
ErrCode err_code_from_name(const char *name);       /* "TokenExpired", with or without the D-Bus prefix; unknown: ERR_INTERNAL */
const char *err_retry_to_string(ErrRetry retry);

#define ERR_DBUS_PREFIX "org.attestd1.Error."

/* Returns the error of expression to the caller, if there is one. */
#define TRY(expression)                                                                                      \
        do {                                                                                                 \
                Err *_try_error = (expression);                                                              \
                if (_try_error)                                                                              \
                        return _try_error;                                                                   \
        } while (0)
