/* The listening unix socket of the daemon in the file system. */
#pragma once

#include "base/error.h"

/* Listens at path, mode 0666, non-blocking; a folder that is missing is made (one level). A socket that nobody listens on any more is replaced; a live one
 * and anything that is no socket are left alone. Error: IO, naming the path. */
Err *local_socket_listen(const char *path, int *ret_fd) _must_check_;
/* Unlinks path if it is the socket that fd listens on. */
void local_socket_remove(const char *path, int fd);
