/* HTTP as values: what a conversation wants sent, and what came back. Who carries it is none of lib/maa's business. */
#pragma once

#include "base/source.h"

#define HTTP_ANSWER_SIZE_MAX (1u << 20)
#define HTTP_HEADERS_MAX 8

typedef struct HttpHeader {
        char *name, *value;
} HttpHeader;

typedef struct HttpRequest {
        const char *method;          /* "GET", "POST", "PUT": static */
        char *url;                   /* absolute */
        HttpHeader headers[HTTP_HEADERS_MAX];
        size_t n_headers;
        Source *body;                /* NULL: none; overwritten when it is freed */
        bool is_metadata;            /* to a metadata service of this machine: plain HTTP is allowed, and it goes past every proxy */
} HttpRequest;
void http_request_done(HttpRequest *request);
#define _cleanup_http_request_ _cleanup_(http_request_done)
Err *http_request_add_header(HttpRequest *request, const char *name, const char *value) _must_check_;

/* What drivers fill in. Header members that nobody needs are not kept. */
typedef struct HttpResponse {
        long status;
        char *content_type;          /* NULL if absent */
        char *retry_after;           /* NULL if absent; raw text */
        char *retry_after_ms;        /* the same of retry-after-ms, which Azure has beside it */
        char *x_ms_retry_after_ms;   /* the same of x-ms-retry-after-ms */
        char *request_id;            /* x-ms-request-id; NULL if absent */
        char *error_code;            /* x-ms-error-code, of api-versions from 2025-06-01 on; NULL if absent */
        char *service_version;       /* x-ms-maa-service-version */
        char *authenticate;          /* WWW-Authenticate; NULL if absent */
        uint64_t date_sec;           /* of the Date header, seconds since 1970; 0 if absent */
        Bytes body;                  /* at most HTTP_ANSWER_SIZE_MAX: drivers stop above it with SERVICE_ANSWER_TOO_LARGE */
} HttpResponse;
void http_response_done(HttpResponse *response);
#define _cleanup_http_response_ _cleanup_(http_response_done)
/* Feeds one header line of any case; unknown ones are ignored. For drivers. */
Err *http_response_add_header(HttpResponse *response, Span name, Span value) _must_check_;

/* request_id for programs, which take it for UTF-8: NULL if there is anything but printable ASCII in it, or nothing. */
const char *http_response_request_id(const HttpResponse *response);
/* Delay that the first usable one of retry-after-ms, x-ms-retry-after-ms and Retry-After asks for, capped at 1 h; 0 if there is none. Counts as
 * http_response_check() says. */
uint64_t http_response_retry_after_usec(const HttpResponse *response, uint64_t now_sec);
/* Seconds since 1970 of a date in one of the three forms of RFC 9110 §5.6.7; 0 if text is none. */
uint64_t http_date_parse(const char *text);
/* text (UTF-8) for people: each run of control characters and blanks becomes one blank, and at most max bytes are left. */
Err *http_text_for_people(const char *text, size_t max, char **ret) _must_check_;

/* NULL for 2xx; else the error that the service's body and status mean: SERVICE_REFUSED, SERVICE_UNAVAILABLE, SERVICE_THROTTLED,
 * SERVICE_UNAUTHORIZED, SERVICE_POLICY_MISSING, SERVICE_POLICY_DENIED, CHALLENGE_INVALID, and SERVICE_ANSWER_INVALID for redirects. It has the HTTP
 * status as native code, Retry-After (seconds or HTTP date, capped at 1 h; a date counts from the answer's own Date where it has one, else from
 * now_sec, realtime), and the service's code, message, target, request id and what its innermost error adds in the sentence. As they came they are its
 * details (ERR_DETAIL_…); JSON above ERR_DETAIL_SIZE_MAX is left out there. A code that the body does not have is that of x-ms-error-code. */
Err *http_response_check(const HttpResponse *response, uint64_t now_sec) _must_check_;
/* The same, and the body may be parsed as JSON: not above HTTP_ANSWER_SIZE_MAX (SERVICE_ANSWER_TOO_LARGE), and no other Content-Type
 * (SERVICE_ANSWER_INVALID). */
Err *http_response_check_json(const HttpResponse *response, uint64_t now_sec) _must_check_;
