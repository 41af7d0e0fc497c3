/* The private bus of the collector: the object that collector.h describes, on connections that were passed in or accepted.
 *
 * Requests are served one at a time, each to its end: a blocked TPM blocks the service, and deadlines are the caller's business. */
#pragma once

#include "tpm/evidence.h"

typedef struct Service Service;
/* maker is borrowed. */
Err *service_new(EvidenceMaker *maker, Service **ret) _must_check_;
Service *service_free(Service *service);
DEFINE_CLEANUP(Service, service_free)

/* Serves a connected socket, and ends service_run() when it closes. Takes fd. */
Err *service_serve(Service *service, int fd) _must_check_;
/* Serves whoever connects to a listening socket, SERVICE_CONNECTIONS_MAX at once. Takes fd. The socket's mode is the access control. */
Err *service_listen(Service *service, int fd) _must_check_;
#define SERVICE_CONNECTIONS_MAX 16
/* Until SIGTERM, SIGINT, or the end of the served connection. */
Err *service_run(Service *service) _must_check_;
