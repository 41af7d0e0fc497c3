/* Shared by local-http.c (sockets, clients, libmicrohttpd) and local-http-routes.c (what is answered). */
#pragma once

#include <microhttpd.h>

#include "base/writer.h"
#include "daemon/access.h"
#include "daemon/local-http.h"
#include "daemon/local-request.h"

typedef struct LocalClient LocalClient;
typedef struct LocalListener LocalListener;

/* status 0: not known yet. */
typedef struct LocalAnswer {
        unsigned status;
        char *body;                  /* owned */
        const char *content_type;
        const char *allow;           /* NULL: no such header */
        uint64_t retry_after_sec;    /* 0: no such header */
} LocalAnswer;

/* One request and its answer. */
typedef struct LocalExchange {
        Manager *manager;
        LocalClient *client;
        const Caller *caller;        /* NULL: nobody knows (TCP) */
        struct MHD_Connection *connection;
        char *target;
        LocalRequest request;
        Writer body;
        uint64_t body_read;          /* bytes, forgotten ones too */
        bool has_begun, body_too_large, is_suspended, is_abandoned;
        AttestTicket *attest;
        ValidateTicket *validate;
        sd_event_source *hangup;
        LocalAnswer answer;
} LocalExchange;

#define LOCAL_JSON "application/json"
#define LOCAL_TEXT "text/plain; charset=utf-8"

/* local-http.c: the answer of an exchange that waited is known. */
void local_exchange_continue(LocalExchange *exchange);

/* local-http-routes.c */
/* status 0: what fits the code. */
void local_answer_error(LocalExchange *exchange, Err *steal_err, unsigned status);
/* Headers are there: may this be asked, here and by this caller? An answer is filled in if not. */
void local_route_admit(LocalExchange *exchange, const char *method, bool metrics_only);
/* The body is there, too: fills in an answer, or begins what leads to one (attest, validate) and local_exchange_continue(). */
void local_route_run(LocalExchange *exchange);
