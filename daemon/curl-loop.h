/* curl multi on sd-event: runs transfers without blocking the loop. */
#pragma once

#include <systemd/sd-event.h>

#include "client/driver.h"

typedef struct CurlLoop CurlLoop;
Err *curl_loop_new(sd_event *event, CurlLoop **ret) _must_check_;
CurlLoop *curl_loop_free(CurlLoop *loop);
DEFINE_CLEANUP(CurlLoop, curl_loop_free)

/* One request under way. err NULL: response is complete (of any HTTP status). Both are borrowed during the callback, which comes from the event loop; the
 * CurlJob is gone when it returns. */
typedef struct CurlJob CurlJob;
typedef void (*CurlJobCallback)(void *userdata, const Err *err, const HttpResponse *response);
Err *curl_loop_start(CurlLoop *loop, const HttpRequest *request, const TransportOptions *options, CurlJobCallback callback, void *userdata,
                     CurlJob **ret) _must_check_;
/* No callback will come. */
CurlJob *curl_job_cancel(CurlJob *job);
