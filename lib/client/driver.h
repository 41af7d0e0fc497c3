/* The blocking driver: runs an operation on a curl easy handle. The one place in lib that does network I/O. */
#pragma once

#include <curl/curl.h>

#include "client/operation.h"

typedef struct TransportOptions {
        const char *ca_file, *ca_path;         /* NULL: the system's trust store */
        const char *proxy;                     /* NULL: none; the environment is never asked */
        uint64_t connect_timeout_usec, timeout_usec;
        uint64_t deadline_usec;                /* CLOCK_MONOTONIC, for driver_run() alone: when everything has to be over; 0: never */
        bool until_deadline;                   /* pauses are shortened so that there is another try before the deadline, and the last one's error stands, not TIMEOUT */
} TransportOptions;

/* Sets up an easy handle for request, shared with the daemon's multi driver: method, URL, headers, body reader with rewind, limits (https only, no
 * redirects, answer ≤ HTTP_ANSWER_SIZE_MAX, NOSIGNAL, QUICK_EXIT, TLS ≥ 1.2). response must outlive the transfer: its header members are filled while it
 * runs, status and body by transfer_result(). request and its body are borrowed until then. The returned Transfer owns the handle, and is its
 * CURLOPT_PRIVATE. */
typedef struct Transfer Transfer;
Err *transfer_new(const HttpRequest *request, const TransportOptions *options, HttpResponse *response, Transfer **ret) _must_check_;
Transfer *transfer_free(Transfer *transfer);
DEFINE_CLEANUP(Transfer, transfer_free)
CURL *transfer_handle(Transfer *transfer);
/* What a finished transfer means: NULL, or SERVICE_UNREACHABLE, SERVICE_NAME_RESOLUTION, SERVICE_TLS, TIMEOUT, SERVICE_ANSWER_TOO_LARGE … with the CURLcode,
 * the host and curl's own words. */
Err *transfer_result(Transfer *transfer, CURLcode code) _must_check_;

typedef struct DriverCallbacks {
        /* Called for OPERATION_QUOTE; blocks. */
        Err *(*quote)(void *userdata, Span qualifying_data, Span challenge, Evidence **ret);
        /* Called for OPERATION_REPORT; blocks. May be NULL if no operation asks for it. */
        Err *(*report)(void *userdata, Span user_data, VsmReportKind *ret_kind, Bytes *ret_report);
        /* Called for OPERATION_SIGN; blocks. May be NULL if no operation asks for it. */
        Err *(*sign)(void *userdata, Span digest, Bytes *ret_signature);
        /* Called before each step; may be NULL. Returning false cancels (CANCELLED). In OPERATION_SEND and OPERATION_WAIT again and again, at least each second. */
        bool (*progress)(void *userdata, OperationStep step, const Operation *operation);
        /* The Date of an answer; may be NULL. */
        void (*date_seen)(void *userdata, uint64_t date_sec);
        uint64_t (*now_sec)(void *userdata);   /* NULL: CLOCK_REALTIME */
        void *userdata;
} DriverCallbacks;
/* Runs until DONE (NULL) or FAILED (its error; TIMEOUT at the deadline, for which nothing is begun that cannot be over by then, a callback's work excepted). */
Err *driver_run(Operation *operation, const TransportOptions *options, const DriverCallbacks *callbacks) _must_check_;
