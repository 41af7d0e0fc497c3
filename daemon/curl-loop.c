/* See curl-loop.h. curl tells which sockets and which timeout it wants watched; sd-event tells curl what happened there; finished transfers are collected
 * after each turn and reported from a deferred event of their own, never from inside curl.
 *
 * libcurl 7.88 closes a socket that did not get connected before it says that it need not be watched any more, or says nothing at all when the next
 * socket has the same number. So sockets are opened here: close-on-exec, because a descriptor that a child inherited keeps what was closed in the epoll
 * set, with a pointer to a source that is gone; and a watch of a number that comes back is registered anew. */
#include "daemon/curl-loop.h"

#include <sys/socket.h>

#include "daemon/log.h"

#define IDLE_CONNECTIONS_MAX 8L

/* What curl wants to know about a socket. */
typedef struct Watch {
        int fd;
        sd_event_source *source;
        struct Watch *next;
} Watch;

struct CurlLoop {
        sd_event *event;
        CURLM *multi;
        sd_event_source *timer;
        sd_event_source *collect;    /* deferred: finished transfers are waiting */
        CurlJob *jobs;
        Watch *watches;
};

struct CurlJob {
        CurlLoop *loop;
        CurlJob *next, **place;      /* place: what points at this job */
        Transfer *transfer;
        HttpResponse response;
        CurlJobCallback callback;
        void *userdata;
};

static CurlJob *curl_job_free(CurlJob *job) {
        if (!job)
                return NULL;
        *job->place = job->next;
        if (job->next)
                job->next->place = job->place;
        if (job->transfer)
                curl_multi_remove_handle(job->loop->multi, transfer_handle(job->transfer));
        transfer_free(job->transfer);
        http_response_done(&job->response);
        free(job);
        return NULL;
}

CurlJob *curl_job_cancel(CurlJob *job) {
        return curl_job_free(job);
}

static CurlJob *find_job(CurlLoop *loop, const CURL *handle) {
        for (CurlJob *job = loop->jobs; job; job = job->next)
                if (transfer_handle(job->transfer) == handle)
                        return job;
        return NULL;
}

static int on_collect(sd_event_source *source, void *userdata) {
        CurlLoop *loop = userdata;
        int n_left;
        for (CURLMsg *message; (message = curl_multi_info_read(loop->multi, &n_left));) {
                CurlJob *job = message->msg == CURLMSG_DONE ? find_job(loop, message->easy_handle) : NULL;
                if (!job)
                        continue;
                _cleanup_(err_freep) Err *err = transfer_result(job->transfer, message->data.result);
                CurlJobCallback callback = job->callback;
                void *callback_userdata = job->userdata;
                HttpResponse response = job->response;
                job->response = (HttpResponse) {};
                curl_job_free(job);
                callback(callback_userdata, err, &response);
                http_response_done(&response);
        }
        return 0;
}

static void turn(CurlLoop *loop, curl_socket_t fd, int mask) {
        int n_running;
        curl_multi_socket_action(loop->multi, fd, mask, &n_running);
        sd_event_source_set_enabled(loop->collect, SD_EVENT_ONESHOT);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        int mask = (revents & (EPOLLIN | EPOLLHUP) ? CURL_CSELECT_IN : 0) | (revents & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                   (revents & EPOLLERR ? CURL_CSELECT_ERR : 0);
        turn(userdata, fd, mask);
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        turn(userdata, CURL_SOCKET_TIMEOUT, 0);
        return 0;
}

static void watch_free(CurlLoop *loop, Watch *watch) {
        if (!watch)
                return;
        for (Watch **place = &loop->watches; *place; place = &(*place)->next)
                if (*place == watch) {
                        *place = watch->next;
                        break;
                }
        sd_event_source_disable_unref(watch->source);
        free(watch);
}

static int watch_add(CurlLoop *loop, int fd, uint32_t events) {
        Watch *watch = calloc(1, sizeof(Watch));
        if (!watch)
                return -1;
        *watch = (Watch) { .fd = fd, .next = loop->watches };
        loop->watches = watch;
        if (sd_event_add_io(loop->event, &watch->source, fd, events, on_io, loop) < 0) {
                watch_free(loop, watch);
                return -1;
        }
        curl_multi_assign(loop->multi, fd, watch);
        return 0;
}

static int on_want_socket(CURL *handle, curl_socket_t fd, int what, void *userdata, void *socket_userdata) {
        CurlLoop *loop = userdata;
        Watch *watch = socket_userdata;
        if (what == CURL_POLL_REMOVE) {
                watch_free(loop, watch);
                curl_multi_assign(loop->multi, fd, NULL);
                return 0;
        }
        uint32_t events = (what & CURL_POLL_IN ? (uint32_t) EPOLLIN : 0) | (what & CURL_POLL_OUT ? (uint32_t) EPOLLOUT : 0);
        if (watch)
                return sd_event_source_set_io_events(watch->source, events) < 0 ? -1 : 0;
        return watch_add(loop, fd, events);
}

static curl_socket_t on_open_socket(void *userdata, curlsocktype purpose, struct curl_sockaddr *address) {
        CurlLoop *loop = userdata;
        int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
        for (Watch *watch = loop->watches; fd >= 0 && watch; watch = watch->next)
                if (watch->fd == fd) {
                        sd_event_source_set_enabled(watch->source, SD_EVENT_OFF);
                        sd_event_source_set_enabled(watch->source, SD_EVENT_ON);
                }
        return fd;
}

static Err *watch_sockets(CurlLoop *loop, CURL *handle) {
        CURLcode code = curl_easy_setopt(handle, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
        if (code == CURLE_OK)
                code = curl_easy_setopt(handle, CURLOPT_OPENSOCKETDATA, loop);
        return code == CURLE_OK ? NULL : err_new_native(ERR_INTERNAL, ERR_DOMAIN_CURL, code, "preparing a transfer: %s", curl_easy_strerror(code));
}

static int on_want_timer(CURLM *multi, long timeout_msec, void *userdata) {
        CurlLoop *loop = userdata;
        if (timeout_msec < 0)
                return sd_event_source_set_enabled(loop->timer, SD_EVENT_OFF) < 0 ? -1 : 0;
        uint64_t now;
        if (sd_event_now(loop->event, CLOCK_MONOTONIC, &now) < 0 ||
            sd_event_source_set_time(loop->timer, now + (uint64_t) timeout_msec * USEC_PER_MSEC) < 0 ||
            sd_event_source_set_enabled(loop->timer, SD_EVENT_ONESHOT) < 0)
                return -1;
        return 0;
}

CurlLoop *curl_loop_free(CurlLoop *loop) {
        if (!loop)
                return NULL;
        while (loop->jobs)
                curl_job_free(loop->jobs);
        if (loop->multi)
                curl_multi_cleanup(loop->multi);
        while (loop->watches)
                watch_free(loop, loop->watches);
        sd_event_source_disable_unref(loop->timer);
        sd_event_source_disable_unref(loop->collect);
        sd_event_unref(loop->event);
        free(loop);
        return NULL;
}

Err *curl_loop_new(sd_event *event, CurlLoop **ret) {
        _cleanup_(curl_loop_freep) CurlLoop *loop = calloc(1, sizeof(CurlLoop));
        if (!loop)
                return err_oom();
        loop->event = sd_event_ref(event);
        loop->multi = curl_multi_init();
        if (!loop->multi)
                return err_oom();
        int r = sd_event_add_time(event, &loop->timer, CLOCK_MONOTONIC, 0, USEC_PER_MSEC, on_timer, loop);
        if (r >= 0)
                r = sd_event_source_set_enabled(loop->timer, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_defer(event, &loop->collect, on_collect, loop);
        if (r >= 0)
                r = sd_event_source_set_enabled(loop->collect, SD_EVENT_OFF);
        if (r < 0)
                return err_new_errno(ERR_INTERNAL, r, "setting up the transfer loop");
        curl_multi_setopt(loop->multi, CURLMOPT_SOCKETFUNCTION, on_want_socket);
        curl_multi_setopt(loop->multi, CURLMOPT_SOCKETDATA, loop);
        curl_multi_setopt(loop->multi, CURLMOPT_TIMERFUNCTION, on_want_timer);
        curl_multi_setopt(loop->multi, CURLMOPT_TIMERDATA, loop);
        curl_multi_setopt(loop->multi, CURLMOPT_MAXCONNECTS, IDLE_CONNECTIONS_MAX);
        *ret = steal_ptr(&loop);
        return NULL;
}

Err *curl_loop_start(CurlLoop *loop, const HttpRequest *request, const TransportOptions *options, CurlJobCallback callback, void *userdata,
                     CurlJob **ret) {
        CurlJob *job = calloc(1, sizeof(CurlJob));
        if (!job)
                return err_oom();
        *job = (CurlJob) { .loop = loop, .callback = callback, .userdata = userdata, .next = loop->jobs, .place = &loop->jobs };
        if (job->next)
                job->next->place = &job->next;
        loop->jobs = job;
        Err *err = transfer_new(request, options, &job->response, &job->transfer);
        if (!err)
                err = watch_sockets(loop, transfer_handle(job->transfer));
        if (!err) {
                CURLMcode code = curl_multi_add_handle(loop->multi, transfer_handle(job->transfer));
                if (code != CURLM_OK)
                        err = err_new_native(ERR_INTERNAL, ERR_DOMAIN_CURL, code, "starting a transfer: %s", curl_multi_strerror(code));
        }
        if (err) {
                curl_job_free(job);
                return err;
        }
        *ret = job;
        return NULL;
}
