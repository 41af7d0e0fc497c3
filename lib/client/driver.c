/* See driver.h. One Transfer is one HTTP exchange as a configured curl easy handle. Who runs the handle is not its business: driver_run() does
 * with curl_easy_perform(), the daemon with a multi handle on its loop. CURLOPT_PRIVATE is the Transfer, so that a multi's user finds it.
 *
 * curl calls back for the body (read and rewind), for header lines and for the answer's bytes. A callback that fails keeps its own error in the
 * Transfer and stops curl; transfer_result() then returns that error and not curl's mere "aborted by callback".
 *
 * Nothing is taken from the environment: neither http_proxy nor no_proxy, and with CaFile= alone curl's built-in folder of certificates is
 * switched off, as it would silently widen what was configured. */
#include "client/driver.h"

#include <stdio.h>
#include <strings.h>
#include <sys/random.h>
#include <time.h>

#include "build-config.h"
#include "base/writer.h"

#define WAIT_SLICE_USEC (200 * USEC_PER_MSEC)
#define HEADER_LINES_MAX 128   /* ours: lines of one answer; real ones have under 10 */

struct Transfer {
        CURL *easy;
        struct curl_slist *headers;
        const HttpRequest *request;
        HttpResponse *response;
        char *peer;                /* "host:port" */
        Err *err;                  /* what a callback failed with */
        Writer answer;             /* the body so far */
        unsigned n_header_lines;
        char words[CURL_ERROR_SIZE];
};

Transfer *transfer_free(Transfer *transfer) {
        if (!transfer)
                return NULL;
        curl_easy_cleanup(transfer->easy);
        for (struct curl_slist *line = transfer->headers; line; line = line->next)
                explicit_bzero(line->data, strlen(line->data));   /* one may be an Authorization */
        curl_slist_free_all(transfer->headers);
        free(transfer->peer);
        err_free(transfer->err);
        writer_done(&transfer->answer);
        free(transfer);
        return NULL;
}

CURL *transfer_handle(Transfer *transfer) {
        return transfer->easy;
}

static void keep_error(Transfer *transfer, Err *err) {
        if (transfer->err)
                err_free(err);
        else
                transfer->err = err;
}

/* ---- curl's callbacks ---- */

static size_t on_read(char *buffer, size_t size, size_t n_items, void *userdata) {
        Transfer *transfer = userdata;
        size_t n;
        if (!transfer->request->body)
                return 0;
        Err *err = source_read(transfer->request->body, (uint8_t *) buffer, size * n_items, &n);
        if (!err)
                return n;
        keep_error(transfer, err_wrap(err, "reading the request's body"));
        return CURL_READFUNC_ABORT;
}

/* curl wants to begin again: another connection after a dead one, or an answer that demands it. */
static int on_seek(void *userdata, curl_off_t offset, int origin) {
        Transfer *transfer = userdata;
        if (offset != 0 || origin != SEEK_SET)
                return CURL_SEEKFUNC_CANTSEEK;
        Err *err = transfer->request->body ? source_rewind(transfer->request->body) : NULL;
        if (!err)
                return CURL_SEEKFUNC_OK;
        keep_error(transfer, err_wrap(err, "rewinding the request's body"));
        return CURL_SEEKFUNC_FAIL;
}

static size_t on_write(char *data, size_t size, size_t n_items, void *userdata) {
        Transfer *transfer = userdata;
        if (size * n_items > HTTP_ANSWER_SIZE_MAX - transfer->answer.output.size) {
                keep_error(transfer, err_new(ERR_SERVICE_ANSWER_TOO_LARGE, "%s: the answer is larger than %u bytes", transfer->peer, HTTP_ANSWER_SIZE_MAX));
                return 0;
        }
        writer_span(&transfer->answer, span_make(data, size * n_items));
        return size * n_items;
}

/* A status line begins another answer (after 100 Continue, or after curl sent the request again): what came before does not count. */
static Err *take_header_line(Transfer *transfer, Span line) {
        if (line.size >= 5 && memcmp(line.data, "HTTP/", 5) == 0) {
                http_response_done(transfer->response);
                writer_done(&transfer->answer);
                transfer->n_header_lines = 0;
                return NULL;
        }
        if (++transfer->n_header_lines > HEADER_LINES_MAX)
                return err_new(ERR_SERVICE_ANSWER_INVALID, "%s: more than %d header lines", transfer->peer, HEADER_LINES_MAX);
        const uint8_t *colon = memchr(line.data, ':', line.size);
        if (!colon)
                return NULL;
        size_t n_name = (size_t) (colon - line.data);
        return err_wrap(http_response_add_header(transfer->response, span_make(line.data, n_name), span_make(colon + 1, line.size - n_name - 1)),
                        "%s", transfer->peer);
}

static size_t on_header(char *data, size_t size, size_t n_items, void *userdata) {
        Transfer *transfer = userdata;
        Err *err = take_header_line(transfer, span_make(data, size * n_items));
        if (!err)
                return size * n_items;
        keep_error(transfer, err);
        return 0;
}

/* ---- setting up ---- */

/* One option; type-checked by curl's own macro. */
#define SET(transfer, option, ...)                                                                           \
        do {                                                                                                 \
                CURLcode _code = curl_easy_setopt((transfer)->easy, option, __VA_ARGS__);                    \
                if (_code != CURLE_OK)                                                                       \
                        return err_new_native(_code == CURLE_OUT_OF_MEMORY ? ERR_NO_MEMORY : ERR_INTERNAL,   \
                                              ERR_DOMAIN_CURL, (int64_t) _code, "setting up curl: %s: %s",   \
                                              #option, curl_easy_strerror(_code));                           \
        } while (0)

static void curlu_cleanupp(CURLU **url) {
        curl_url_cleanup(*url);
}

static void curl_freep(char **text) {
        curl_free(*text);
}

static Err *find_peer(const char *text, bool is_metadata, char **ret) {
        _cleanup_(curlu_cleanupp) CURLU *url = curl_url();
        _cleanup_(curl_freep) char *scheme = NULL, *host = NULL, *port = NULL;
        if (!url)
                return err_oom();
        CURLUcode code = curl_url_set(url, CURLUPART_URL, text, 0);
        if (code == CURLUE_OK)
                code = curl_url_get(url, CURLUPART_SCHEME, &scheme, 0);
        if (code == CURLUE_OK)
                code = curl_url_get(url, CURLUPART_HOST, &host, 0);
        if (code == CURLUE_OK)
                code = curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT);
        if (code == CURLUE_OUT_OF_MEMORY)
                return err_oom();
        if (code != CURLUE_OK)
                return err_new(ERR_CONFIG_INVALID, "the URL of the instance cannot be used: %s", curl_url_strerror(code));
        if (strcmp(scheme, "https") != 0 && !(is_metadata && strcmp(scheme, "http") == 0))
                return err_new(ERR_CONFIG_INVALID, "%s:%s: a URL with https:// is needed, not %s://", host, port, scheme);
        return string_format(ret, "%s:%s", host, port);
}

static Err *append_header(Transfer *transfer, const char *name, const char *value) {
        _cleanup_bytes_erase_ Bytes line = {};
        char *text = NULL;
        TRY(string_format(&text, "%s: %s", name, value));
        line = (Bytes) { (uint8_t *) text, strlen(text) };
        struct curl_slist *list = curl_slist_append(transfer->headers, text);
        if (!list)
                return err_oom();
        transfer->headers = list;
        return NULL;
}

/* A random UUID (RFC 4122 §4.4), by which the service's people can find one request in their logs. */
static Err *append_request_id(Transfer *transfer) {
        uint8_t random[16];
        char hex[2 * sizeof(random) + 1], text[37];
        if (getrandom(random, sizeof(random), 0) != (ssize_t) sizeof(random))
                return err_new(ERR_INTERNAL, "no random bytes for a request id");
        random[6] = (uint8_t) ((random[6] & 0x0f) | 0x40);
        random[8] = (uint8_t) ((random[8] & 0x3f) | 0x80);
        hex_encode_into(SPAN_OF(random), hex);
        snprintf(text, sizeof(text), "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
        return append_header(transfer, "x-ms-client-request-id", text);
}

static Err *set_headers(Transfer *transfer) {
        bool has_content_type = false;
        for (size_t i = 0; i < transfer->request->n_headers; i++) {
                const HttpHeader *header = &transfer->request->headers[i];
                has_content_type |= strcasecmp(header->name, "Content-Type") == 0;
                TRY(append_header(transfer, header->name, header->value));
        }
        if (!has_content_type)
                TRY(append_header(transfer, "Content-Type", "application/json"));   /* on GET too, as the service's own SDKs do */
        TRY(append_request_id(transfer));
        SET(transfer, CURLOPT_HTTPHEADER, transfer->headers);
        SET(transfer, CURLOPT_USERAGENT, "attestd/" VERSION);
        return NULL;
}

static Err *set_method_and_body(Transfer *transfer) {
        const HttpRequest *request = transfer->request;
        uint64_t size = request->body ? source_size(request->body) : 0;
        if (size > INT64_MAX)
                return err_new(ERR_LIMIT_EXCEEDED, "a request body of %llu bytes", (unsigned long long) size);
        if (strcmp(request->method, "GET") == 0)
                SET(transfer, CURLOPT_HTTPGET, 1L);
        else if (strcmp(request->method, "PUT") == 0) {
                SET(transfer, CURLOPT_UPLOAD, 1L);
                SET(transfer, CURLOPT_INFILESIZE_LARGE, (curl_off_t) size);
        } else if (strcmp(request->method, "POST") == 0) {
                SET(transfer, CURLOPT_POST, 1L);
                SET(transfer, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) size);
        } else
                return err_new(ERR_INTERNAL, "the HTTP method %s is not known", request->method);
        if (request->body)
                TRY(source_rewind(request->body));
        SET(transfer, CURLOPT_READFUNCTION, on_read);
        SET(transfer, CURLOPT_READDATA, transfer);
        SET(transfer, CURLOPT_SEEKFUNCTION, on_seek);
        SET(transfer, CURLOPT_SEEKDATA, transfer);
        return NULL;
}

static Err *set_answer(Transfer *transfer) {
        SET(transfer, CURLOPT_WRITEFUNCTION, on_write);
        SET(transfer, CURLOPT_WRITEDATA, transfer);
        SET(transfer, CURLOPT_HEADERFUNCTION, on_header);
        SET(transfer, CURLOPT_HEADERDATA, transfer);
        SET(transfer, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
        SET(transfer, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t) HTTP_ANSWER_SIZE_MAX);
        SET(transfer, CURLOPT_ERRORBUFFER, transfer->words);
        return NULL;
}

static long msec_round_up(uint64_t usec) {
        uint64_t msec = usec / USEC_PER_MSEC + (usec % USEC_PER_MSEC > 0);
        return (long) MIN_OF(msec, (uint64_t) INT32_MAX);
}

static Err *set_connection(Transfer *transfer, const TransportOptions *options) {
        SET(transfer, CURLOPT_URL, transfer->request->url);
        bool is_metadata = transfer->request->is_metadata;   /* the proxy is for the instance: it would ask the metadata service of its own machine */
        const char *proxy = is_metadata ? NULL : options->proxy;
        SET(transfer, CURLOPT_PROTOCOLS_STR, is_metadata ? "http,https" : "https");
        SET(transfer, CURLOPT_FOLLOWLOCATION, 0L);
        SET(transfer, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
        SET(transfer, CURLOPT_NOSIGNAL, 1L);
        SET(transfer, CURLOPT_QUICK_EXIT, 1L);   /* or a slow resolver blocks whoever cancels */
        SET(transfer, CURLOPT_PRIVATE, transfer);
        SET(transfer, CURLOPT_CONNECTTIMEOUT_MS, msec_round_up(options->connect_timeout_usec));
        SET(transfer, CURLOPT_TIMEOUT_MS, msec_round_up(options->timeout_usec));
        SET(transfer, CURLOPT_PROXY, proxy ? proxy : "");
        SET(transfer, CURLOPT_NOPROXY, proxy ? "" : "*");
        SET(transfer, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
        SET(transfer, CURLOPT_SSL_VERIFYPEER, 1L);
        SET(transfer, CURLOPT_SSL_VERIFYHOST, 2L);
        if (options->ca_file || options->ca_path) {
                SET(transfer, CURLOPT_CAINFO, options->ca_file);
                SET(transfer, CURLOPT_CAPATH, options->ca_path);
        }
        return NULL;
}

Err *transfer_new(const HttpRequest *request, const TransportOptions *options, HttpResponse *response, Transfer **ret) {
        _cleanup_(transfer_freep) Transfer *transfer = calloc(1, sizeof(Transfer));
        if (!transfer)
                return err_oom();
        transfer->request = request;
        transfer->response = response;
        transfer->answer.is_secret = true;   /* it may be a token */
        transfer->easy = curl_easy_init();
        if (!transfer->easy)
                return err_oom();
        TRY(find_peer(request->url, request->is_metadata, &transfer->peer));
        TRY(set_connection(transfer, options));
        TRY(set_headers(transfer));
        TRY(set_method_and_body(transfer));
        TRY(set_answer(transfer));
        *ret = steal_ptr(&transfer);
        return NULL;
}

/* ---- what came of it ---- */

static const struct { CURLcode code; ErrCode meaning; } meanings[] = {
        { CURLE_COULDNT_RESOLVE_HOST, ERR_SERVICE_NAME_RESOLUTION },
        { CURLE_COULDNT_RESOLVE_PROXY, ERR_SERVICE_NAME_RESOLUTION },
        { CURLE_OPERATION_TIMEDOUT, ERR_TIMEOUT },
        { CURLE_FILESIZE_EXCEEDED, ERR_SERVICE_ANSWER_TOO_LARGE },
        { CURLE_SSL_CONNECT_ERROR, ERR_SERVICE_TLS },
        { CURLE_PEER_FAILED_VERIFICATION, ERR_SERVICE_TLS },
        { CURLE_SSL_CERTPROBLEM, ERR_SERVICE_TLS },
        { CURLE_SSL_CIPHER, ERR_SERVICE_TLS },
        { CURLE_SSL_CACERT_BADFILE, ERR_SERVICE_TLS },
        { CURLE_SSL_CRL_BADFILE, ERR_SERVICE_TLS },
        { CURLE_SSL_ISSUER_ERROR, ERR_SERVICE_TLS },
        { CURLE_SSL_INVALIDCERTSTATUS, ERR_SERVICE_TLS },
        { CURLE_SSL_ENGINE_INITFAILED, ERR_SERVICE_TLS },
        { CURLE_USE_SSL_FAILED, ERR_SERVICE_TLS },
        { CURLE_WEIRD_SERVER_REPLY, ERR_SERVICE_ANSWER_INVALID },
        { CURLE_UNSUPPORTED_PROTOCOL, ERR_SERVICE_ANSWER_INVALID },   /* bytes that are no HTTP; the URL was judged before */
        { CURLE_URL_MALFORMAT, ERR_CONFIG_INVALID },
        { CURLE_OUT_OF_MEMORY, ERR_NO_MEMORY },
        { CURLE_ABORTED_BY_CALLBACK, ERR_CANCELLED },
        { CURLE_WRITE_ERROR, ERR_INTERNAL },
        { CURLE_READ_ERROR, ERR_INTERNAL },
        { CURLE_FAILED_INIT, ERR_INTERNAL },
};

static ErrCode meaning_of(CURLcode code) {
        for (size_t i = 0; i < N_ELEMENTS(meanings); i++)
                if (meanings[i].code == code)
                        return meanings[i].meaning;
        return ERR_SERVICE_UNREACHABLE;   /* connection refused, cut, empty or partial answers, HTTP/2 framing, proxies */
}

/* What to do about a certificate that OpenSSL refused, by its X509_V_ERR_*; NULL where curl's words say it all. */
static const char *certificate_hint(long verify_result) {
        switch (verify_result) {
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
        case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
                return "nobody in CaFile=, CaPath= or the system's trust store issued it";
        case X509_V_ERR_CERT_HAS_EXPIRED:
        case X509_V_ERR_CERT_NOT_YET_VALID:
                return "compare this machine's clock with the certificate's dates";
        default:
                return NULL;
        }
}

/* A connection that is cut during the handshake has the same CURLcode as a handshake that was refused, but it is no matter of trust: curl says
 * so only in words, OpenSSL's SSL_ERROR_SYSCALL or the system's for ECONNRESET. */
static bool handshake_was_cut(const Transfer *transfer, CURLcode code) {
        return code == CURLE_SSL_CONNECT_ERROR && (strstr(transfer->words, "SSL_ERROR_SYSCALL") || strstr(transfer->words, "onnection reset"));
}

Err *transfer_result(Transfer *transfer, CURLcode code) {
        if (transfer->err)
                return steal_ptr(&transfer->err);
        if (code == CURLE_OUT_OF_MEMORY)
                return err_oom();
        if (code == CURLE_OK) {
                if (curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &transfer->response->status) != CURLE_OK)
                        return err_new(ERR_INTERNAL, "curl does not tell the HTTP status");
                return writer_finish(&transfer->answer, &transfer->response->body);
        }
        long verify_result = 0;
        ErrCode meaning = handshake_was_cut(transfer, code) ? ERR_SERVICE_UNREACHABLE : meaning_of(code);
        const char *hint = NULL;
        if (code == CURLE_PEER_FAILED_VERIFICATION && curl_easy_getinfo(transfer->easy, CURLINFO_SSL_VERIFYRESULT, &verify_result) == CURLE_OK)
                hint = certificate_hint(verify_result);
        return err_new_native(meaning, ERR_DOMAIN_CURL, (int64_t) code, "%s: %s%s%s%s", transfer->peer,
                              transfer->words[0] ? transfer->words : curl_easy_strerror(code), hint ? " (" : "", hint ? hint : "", hint ? ")" : "");
}

/* ---- the blocking driver ---- */

static uint64_t driver_now_sec(const DriverCallbacks *callbacks) {
        struct timespec now = {};
        if (callbacks->now_sec)
                return callbacks->now_sec(callbacks->userdata);
        clock_gettime(CLOCK_REALTIME, &now);
        return (uint64_t) now.tv_sec;
}

static uint64_t monotonic_usec(void) {
        struct timespec now = {};
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t) now.tv_sec * USEC_PER_SEC + (uint64_t) now.tv_nsec / NSEC_PER_USEC;
}

static bool is_over(const TransportOptions *options, uint64_t usec_from_now) {
        return options->deadline_usec > 0 && monotonic_usec() + usec_from_now >= options->deadline_usec;
}

static bool asks_to_go_on(const DriverCallbacks *callbacks, OperationStep step, const Operation *operation) {
        return !callbacks->progress || callbacks->progress(callbacks->userdata, step, operation);
}

/* What curl's progress function knows. */
typedef struct Sending {
        const Operation *operation;
        const DriverCallbacks *callbacks;
        uint64_t asked_usec;
} Sending;

static int on_progress(void *userdata, curl_off_t n_down, curl_off_t n_downloaded, curl_off_t n_up, curl_off_t n_uploaded) {
        Sending *sending = userdata;
        uint64_t now = monotonic_usec();
        if (now - sending->asked_usec < WAIT_SLICE_USEC)
                return 0;
        sending->asked_usec = now;
        return asks_to_go_on(sending->callbacks, OPERATION_SEND, sending->operation) ? 0 : 1;
}

static Err *watch(CURL *easy, Sending *sending) {
        if (curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L) != CURLE_OK || curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress) != CURLE_OK ||
            curl_easy_setopt(easy, CURLOPT_XFERINFODATA, sending) != CURLE_OK)
                return err_new(ERR_INTERNAL, "curl takes no progress function");
        return NULL;
}

static uint64_t limited(uint64_t timeout_usec, uint64_t left_usec) {
        return timeout_usec > 0 ? MIN_OF(timeout_usec, left_usec) : left_usec;
}

static Err *send_request(const Operation *operation, const TransportOptions *options, const DriverCallbacks *callbacks, HttpResponse *response) {
        _cleanup_(transfer_freep) Transfer *transfer = NULL;
        Sending sending = { operation, callbacks, monotonic_usec() };
        TransportOptions hurried = *options;
        if (options->deadline_usec > 0) {
                uint64_t left_usec = options->deadline_usec - MIN_OF(sending.asked_usec, options->deadline_usec - 1);
                hurried.connect_timeout_usec = limited(options->connect_timeout_usec, left_usec);
                hurried.timeout_usec = limited(options->timeout_usec, left_usec);
        }
        TRY(transfer_new(operation_request(operation), &hurried, response, &transfer));
        TRY(watch(transfer->easy, &sending));
        CURLcode code = curl_easy_perform(transfer->easy);
        return code == CURLE_ABORTED_BY_CALLBACK ? err_new(ERR_CANCELLED, "the caller cancelled") : transfer_result(transfer, code);
}

static void do_send(Operation *operation, const TransportOptions *options, const DriverCallbacks *callbacks) {
        _cleanup_http_response_ HttpResponse response = {};
        Err *err = send_request(operation, options, callbacks, &response);
        if (!err && response.date_sec > 0 && callbacks->date_seen)
                callbacks->date_seen(callbacks->userdata, response.date_sec);
        if (err)
                operation_take_failure(operation, err);
        else
                operation_take_response(operation, &response, driver_now_sec(callbacks));
}

static void do_quote(Operation *operation, const DriverCallbacks *callbacks) {
        Evidence *evidence = NULL;
        Err *err = callbacks->quote ? callbacks->quote(callbacks->userdata, operation_qualifying_data(operation), operation_challenge(operation), &evidence)
                                    : err_new(ERR_INTERNAL, "the driver has nobody to ask for a quote");
        if (err)
                operation_take_failure(operation, err);
        else
                operation_take_evidence(operation, evidence);
}

static void do_report(Operation *operation, const DriverCallbacks *callbacks) {
        _cleanup_bytes_ Bytes report = {};
        VsmReportKind kind;
        Err *err = callbacks->report ? callbacks->report(callbacks->userdata, operation_report_data(operation), &kind, &report)
                                     : err_new(ERR_INTERNAL, "the driver has nobody to ask for a VBS report");
        if (err)
                operation_take_failure(operation, err);
        else
                operation_take_report(operation, kind, bytes_span(&report));
}

static void do_sign(Operation *operation, const DriverCallbacks *callbacks) {
        _cleanup_bytes_ Bytes signature = {};
        Err *err = callbacks->sign ? callbacks->sign(callbacks->userdata, operation_signing_digest(operation), &signature)
                                   : err_new(ERR_INTERNAL, "the driver has nobody to ask for a signature");
        if (err)
                operation_take_failure(operation, err);
        else
                operation_take_signature(operation, bytes_span(&signature));
}

/* A pause after which half of the time up to the deadline is left, if it is shorter than the one that was drawn; 0: none that makes sense. */
static uint64_t shortened(const Operation *operation, const TransportOptions *options) {
        uint64_t left_usec = options->deadline_usec - MIN_OF(monotonic_usec(), options->deadline_usec);
        uint64_t pause_usec = MIN_OF(operation_delay_usec(operation), left_usec / 2);
        return pause_usec < operation_delay_least_usec(operation) || left_usec < WAIT_SLICE_USEC ? 0 : MAX_OF(pause_usec, UINT64_C(1));
}

/* In slices, so that the caller can cancel. */
static void do_wait(Operation *operation, const TransportOptions *options, const DriverCallbacks *callbacks) {
        uint64_t left_usec = operation_delay_usec(operation);
        if (options->until_deadline)
                left_usec = shortened(operation, options);
        if (options->until_deadline && left_usec == 0) {
                operation_give_up(operation);
                return;
        }
        if (is_over(options, left_usec)) {
                operation_take_failure(operation, err_new(ERR_TIMEOUT, "no time is left to try again"));
                return;
        }
        while (left_usec > 0) {
                uint64_t slice_usec = MIN_OF(left_usec, WAIT_SLICE_USEC);
                struct timespec slice = { .tv_nsec = (long) (slice_usec * NSEC_PER_USEC) };
                (void) clock_nanosleep(CLOCK_MONOTONIC, 0, &slice, NULL);
                left_usec -= slice_usec;
                if (!asks_to_go_on(callbacks, OPERATION_WAIT, operation)) {
                        operation_take_failure(operation, err_new(ERR_CANCELLED, "the caller cancelled"));
                        return;
                }
        }
        operation_take_elapsed(operation, driver_now_sec(callbacks));
}

/* Before a step that is not the last. */
static void check_time(Operation *operation, const TransportOptions *options) {
        OperationStep step = operation_next(operation);
        if (step != OPERATION_DONE && step != OPERATION_FAILED && step != OPERATION_WAIT && is_over(options, 0))
                operation_take_failure(operation, err_new(ERR_TIMEOUT, "no time is left"));
}

Err *driver_run(Operation *operation, const TransportOptions *options, const DriverCallbacks *callbacks) {
        static const DriverCallbacks none = {};
        if (!callbacks)
                callbacks = &none;
        for (;;) {
                if (!asks_to_go_on(callbacks, operation_next(operation), operation))
                        operation_take_failure(operation, err_new(ERR_CANCELLED, "the caller cancelled"));
                check_time(operation, options);
                switch (operation_next(operation)) {
                case OPERATION_SEND:
                        do_send(operation, options, callbacks);
                        break;
                case OPERATION_QUOTE:
                        do_quote(operation, callbacks);
                        break;
                case OPERATION_REPORT:
                        do_report(operation, callbacks);
                        break;
                case OPERATION_SIGN:
                        do_sign(operation, callbacks);
                        break;
                case OPERATION_WAIT:
                        do_wait(operation, options, callbacks);
                        break;
                case OPERATION_DONE:
                        return NULL;
                case OPERATION_FAILED:
                        return operation_take_error(operation);
                }
        }
}
