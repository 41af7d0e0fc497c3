/* The local socket: HTTP/1.1 on $RUNTIME_DIRECTORY/attestd.sock and on sockets that systemd passed in (FileDescriptorName http or metrics),
 * libmicrohttpd driven by the one event loop. Limits are named here. */
#pragma once

#include "daemon/manager.h"

#define LOCAL_HTTP_CLIENTS_MAX 256
#define LOCAL_HTTP_CLIENTS_PER_USER_MAX 64
#define LOCAL_HTTP_BODY_MAX (1u << 20)      /* a token to be validated */
#define LOCAL_HTTP_IDLE_SEC 30

typedef struct LocalHttp LocalHttp;
Err *local_http_new(Manager *manager, LocalHttp **ret) _must_check_;
LocalHttp *local_http_free(LocalHttp *http);
DEFINE_CLEANUP(LocalHttp, local_http_free)
