/* HTTPS around the service: one thread for each connection, the service behind one lock. */
#pragma once

#include "instance/service.h"

/* A listening socket on loopback. */
Err *server_listen(const char *host, uint16_t port, int *ret_fd, uint16_t *ret_port) _must_check_;

typedef struct Server Server;
/* Serves until freed; takes fd, also on failure. service must outlive the object. Whoever else touches the service while it runs: nobody. */
Err *server_start(int steal_fd, Service *service, uint64_t body_max, Server **ret) _must_check_;
/* Answers the metadata requests (imds.h) of another listener, in plain HTTP; takes fd, also on failure. At most once. */
Err *server_add_metadata(Server *server, int steal_fd) _must_check_;
Server *server_free(Server *server);
DEFINE_CLEANUP(Server, server_free)
