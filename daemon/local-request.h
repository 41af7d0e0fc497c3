/* A request to the local socket as a value: what is asked for, taken from method, target and body without any I/O.
 *
 *     GET|HEAD /healthz /readyz /metrics /v1/status
 *     GET|HEAD /v1/profiles/NAME/token[?min_remaining=SEC]
 *     POST     /v1/profiles/NAME/attest  {"nonce":"base64url","timeout_sec":N}     both optional, an empty body is {}
 *     POST     /v1/validate              {"token":"…","profile":"NAME"}            profile optional
 */
#pragma once

#include "base/bytes.h"

#define LOCAL_REQUEST_TARGET_MAX 4096u
#define LOCAL_REQUEST_NONCE_MAX 1024u
#define LOCAL_REQUEST_TIMEOUT_SEC_MAX 3600u

typedef enum LocalRoute {
        LOCAL_ROUTE_HEALTHZ, LOCAL_ROUTE_READYZ, LOCAL_ROUTE_METRICS, LOCAL_ROUTE_STATUS, LOCAL_ROUTE_TOKEN, LOCAL_ROUTE_ATTEST, LOCAL_ROUTE_VALIDATE,
        _LOCAL_ROUTE_MAX,
} LocalRoute;

typedef struct LocalRequest {
        LocalRoute route;
        char *profile;                 /* of token, attest, validate; "" in validate: the default one */
        uint64_t min_remaining_sec;    /* of token */
        Bytes nonce;                   /* of attest; empty: a random one */
        uint64_t timeout_sec;          /* of attest */
        char *token;                   /* of validate */
} LocalRequest;
void local_request_done(LocalRequest *request);
#define _cleanup_local_request_ _cleanup_(local_request_done)

/* Why a request is refused, in the words of HTTP. allow: the Allow header that belongs to 405, else NULL. */
typedef struct LocalRefusal {
        unsigned status;
        const char *allow;
} LocalRefusal;

/* First half: method and target (path and query, still percent-encoded) say what is asked for. Error: REQUEST_INVALID, with refusal filled in
 * (400 malformed, 404 no such path, 405 wrong method, 414 too long). */
Err *local_request_parse_target(const char *method, Span target, LocalRequest *ret, LocalRefusal *ret_refusal) _must_check_;
/* Second half: the body of that request. Error: REQUEST_INVALID (400), naming the member. */
Err *local_request_parse_body(LocalRequest *request, Span body) _must_check_;
