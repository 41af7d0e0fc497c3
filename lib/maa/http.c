/* See http.h. What the service's error answers mean.
 *
 * Recorded error bodies have one form (Microsoft.Attestation, CloudError):
 *
 *     {"error":{"code":"PolicyEvaluationError","message":"…","innererror":{"code":"…","message":"…"}}}
 *
 * innererror may be absent. In recordings it repeats the outer strings, so of it and of those nested in it only what they add is shown. target and details
 * were not seen; they are what the Microsoft REST API Guidelines (section 7.10.2) have beside the others. The body is only read where Content-Type says JSON:
 * what a proxy or a load balancer in between answers is HTML and worth no more than its status. The words are the service's, so they reach the reader, but
 * in the sentence without control characters (a terminal would obey them) and not at any length; programs get them as they came.
 *
 * Dates: RFC 9110 §5.6.7 demands that all three forms are understood. Retry-After: RFC 9110 §10.2.3. A date there is compared with the
 * answer's own Date where it has one, because a machine that boots with a wrong clock would otherwise wait for hours or not at all. */
#include "maa/http.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>
#include <time.h>

#include "base/json.h"
#include "base/writer.h"

#define HEADER_VALUE_MAX 1024      /* ours: the longest value that is kept is an x-ms-request-id of 55 characters */
#define RETRY_AFTER_MAX_SEC 3600   /* ours: nobody may silence an agent for longer with one header */
#define ERROR_CODE_MAX 64          /* ours: bytes of error.code that are shown; the longest recorded one has 21 */
#define ERROR_MESSAGE_MAX 400      /* ours: bytes of error.message that are shown; the recorded ones have up to 290 */
#define INNER_MESSAGE_MAX 200      /* ours: the same of the innermost error's message */
#define REQUEST_ID_MAX 64          /* ours */

void http_request_done(HttpRequest *request) {
        if (!request)
                return;
        free(request->url);
        for (size_t i = 0; i < request->n_headers; i++) {
                free(request->headers[i].name);
                explicit_bzero(request->headers[i].value, strlen(request->headers[i].value));   /* may be an Authorization */
                free(request->headers[i].value);
        }
        source_free(request->body);
        *request = (HttpRequest) {};
}

static bool is_plain_text(const char *text) {
        for (const unsigned char *c = (const unsigned char *) text; *c; c++)
                if (*c < 0x20 || *c == 0x7f)
                        return false;
        return true;
}

Err *http_request_add_header(HttpRequest *request, const char *name, const char *value) {
        if (!is_plain_text(name) || !is_plain_text(value))
                return err_new(ERR_INVALID_ARGUMENT, "a control character in the HTTP header %.32s", is_plain_text(name) ? name : "name");
        if (request->n_headers == HTTP_HEADERS_MAX)
                return err_new(ERR_INTERNAL, "more than %d HTTP headers", HTTP_HEADERS_MAX);
        _cleanup_free_ char *name_copy = NULL, *value_copy = NULL;
        TRY(string_copy(name, &name_copy));
        TRY(string_copy(value, &value_copy));
        request->headers[request->n_headers++] = (HttpHeader) { .name = steal_ptr(&name_copy), .value = steal_ptr(&value_copy) };
        return NULL;
}

void http_response_done(HttpResponse *response) {
        if (!response)
                return;
        free(response->content_type);
        free(response->retry_after);
        free(response->retry_after_ms);
        free(response->x_ms_retry_after_ms);
        free(response->request_id);
        free(response->error_code);
        free(response->service_version);
        free(response->authenticate);
        bytes_erase(&response->body);   /* may be a token */
        *response = (HttpResponse) {};
}

static int month_from_name(const char *name) {
        static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
        for (size_t i = 0; i < N_ELEMENTS(months); i++)
                if (strcmp(name, months[i]) == 0)
                        return (int) i;
        return -1;
}

uint64_t http_date_parse(const char *text) {
        int day, year, hour, minute, second, end = 0;
        char month[4] = "";
        if (sscanf(text, "%*3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d GMT%n", &day, month, &year, &hour, &minute, &second, &end) == 6 && end > 0) {
                /* IMF-fixdate: Sun, 06 Nov 1994 08:49:37 GMT */
        } else if (sscanf(text, "%*9[A-Za-z], %2d-%3[A-Za-z]-%2d %2d:%2d:%2d GMT%n", &day, month, &year, &hour, &minute, &second, &end) == 6 && end > 0)
                year += year < 70 ? 2000 : 1900;   /* RFC 850: Sunday, 06-Nov-94 08:49:37 GMT */
        else if (sscanf(text, "%*3[A-Za-z] %3[A-Za-z] %2d %2d:%2d:%2d %4d%n", month, &day, &hour, &minute, &second, &year, &end) != 6 || end == 0)
                return 0;                          /* asctime: Sun Nov  6 08:49:37 1994 */
        int month_index = month_from_name(month);
        if (text[end] != 0 || month_index < 0 || year < 1970 || day < 1 || day > 31 || hour < 0 || hour > 23 || minute < 0 || minute > 59 ||
            second < 0 || second > 60)
                return 0;
        struct tm tm = { .tm_year = year - 1900, .tm_mon = month_index, .tm_mday = day, .tm_hour = hour, .tm_min = minute, .tm_sec = second };
        time_t seconds = timegm(&tm);
        return seconds > 0 ? (uint64_t) seconds : 0;
}

static bool span_is_name(Span span, const char *name) {
        return span.size == strlen(name) && strncasecmp((const char *) span.data, name, span.size) == 0;
}

static Span span_trim(Span span) {
        while (span.size > 0 && strchr(" \t\r\n", span.data[0]) && span.data[0] != 0)
                span = span_make(span.data + 1, span.size - 1);
        while (span.size > 0 && strchr(" \t\r\n", span.data[span.size - 1]) && span.data[span.size - 1] != 0)
                span.size--;
        return span;
}

Err *http_response_add_header(HttpResponse *response, Span name, Span value) {
        const struct { const char *name; char **member; } known[] = {
                { "content-type", &response->content_type },
                { "retry-after", &response->retry_after },
                { "retry-after-ms", &response->retry_after_ms },
                { "x-ms-retry-after-ms", &response->x_ms_retry_after_ms },
                { "x-ms-request-id", &response->request_id },
                { "x-ms-error-code", &response->error_code },
                { "x-ms-maa-service-version", &response->service_version },
                { "www-authenticate", &response->authenticate },
        };
        size_t i = 0;
        while (i < N_ELEMENTS(known) && !span_is_name(name, known[i].name))
                i++;
        bool is_date = span_is_name(name, "date");
        if (i == N_ELEMENTS(known) && !is_date)
                return NULL;

        value = span_trim(value);
        const char *shown = is_date ? "date" : known[i].name;
        if (value.size > HEADER_VALUE_MAX)
                return err_new(ERR_SERVICE_ANSWER_INVALID, "the header %s is longer than %d bytes", shown, HEADER_VALUE_MAX);
        _cleanup_free_ char *text = NULL;
        Err *err = string_copy_span(value, &text);
        if (err)
                return err_wrap_code(ERR_SERVICE_ANSWER_INVALID, err, "the header %s", shown);
        if (is_date) {
                response->date_sec = http_date_parse(text);
                return NULL;
        }
        free(*known[i].member);
        *known[i].member = steal_ptr(&text);
        return NULL;
}

/* A number of digits alone, as far as max; false if it is none. */
static bool parse_number(const char *text, uint64_t max, uint64_t *ret) {
        size_t n_digits = strspn(text, "0123456789");
        if (n_digits == 0 || text[n_digits] != 0)
                return false;
        uint64_t number = 0;
        for (size_t i = 0; i < n_digits && number < max; i++)
                number = number * 10 + (uint64_t) (text[i] - '0');
        *ret = MIN_OF(number, max);
        return true;
}

/* Seconds, 0 if there is no usable Retry-After. */
static uint64_t retry_after_sec(const HttpResponse *response, uint64_t now_sec) {
        const char *text = response->retry_after;
        if (!text)
                return 0;
        uint64_t seconds = 0;
        if (!parse_number(text, RETRY_AFTER_MAX_SEC, &seconds)) {
                uint64_t until = http_date_parse(text), from = response->date_sec > 0 ? response->date_sec : now_sec;
                seconds = until > from ? until - from : 0;
        }
        return MIN_OF(seconds, RETRY_AFTER_MAX_SEC);
}

uint64_t http_response_retry_after_usec(const HttpResponse *response, uint64_t now_sec) {
        const char *const finer[] = { response->retry_after_ms, response->x_ms_retry_after_ms };
        uint64_t msec;
        for (size_t i = 0; i < N_ELEMENTS(finer); i++)
                if (finer[i] && parse_number(finer[i], RETRY_AFTER_MAX_SEC * 1000, &msec))
                        return msec * USEC_PER_MSEC;
        return retry_after_sec(response, now_sec) * USEC_PER_SEC;
}

/* Length of the control character at text, 0 if there is none: C0, DEL, and C1 in UTF-8 (U+0080 to U+009F). */
static size_t control_size(const unsigned char *text) {
        if (text[0] < 0x20 || text[0] == 0x7f)
                return 1;
        return text[0] == 0xc2 && text[1] >= 0x80 && text[1] <= 0x9f ? 2 : 0;
}

Err *http_text_for_people(const char *text, size_t max, char **ret) {
        _cleanup_writer_ Writer out = {};
        const unsigned char *c = (const unsigned char *) text;
        size_t written = 0;
        bool gap = false;
        while (*c) {
                size_t skipped = *c == ' ' ? 1 : control_size(c);
                if (skipped > 0) {
                        gap = written > 0;
                        c += skipped;
                        continue;
                }
                size_t size = 1;
                while ((c[size] & 0xc0) == 0x80)
                        size++;
                if (written + gap + size > max) {
                        writer_string(&out, " ...");
                        break;
                }
                writer_string(&out, gap ? " " : "");
                writer_span(&out, span_make(c, size));
                written += size + gap;
                gap = false;
                c += size;
        }
        return writer_finish_string(&out, ret);
}

/* Only printable ASCII of a header is shown: nothing says which character set it is in. */
static void header_for_people(const char *text, char *out, size_t room) {
        size_t n = 0;
        for (; text && *text && n + 1 < room; text++)
                if (*text > 0x20 && *text < 0x7f)
                        out[n++] = *text;
        out[n] = 0;
}

/* For programs, which take it for UTF-8: NULL if there is anything but printable ASCII in it, or nothing. */
static const char *header_for_programs(const char *text) {
        const char *c = text;
        while (c && *c >= 0x20 && *c < 0x7f)
                c++;
        return c && c > text && *c == 0 ? text : NULL;
}

const char *http_response_request_id(const HttpResponse *response) {
        return header_for_programs(response->request_id);
}

static bool content_is_json(const HttpResponse *response) {
        return response->content_type && strcasestr(response->content_type, "json");
}

/* Borrowed from json and the response; NULL where there is none. */
typedef struct ServiceError {
        const char *code, *message, *target;
        const Json *inner, *details;
        Json *json;
} ServiceError;

static void service_error_done(ServiceError *error) {
        json_unref(error->json);
}

/* NULL if it is absent, empty, or no text. */
static const char *text_member(const Json *json, const char *member) {
        const char *text = NULL;
        err_free(json_get_string_optional(json, member, &text));
        return text && *text ? text : NULL;
}

/* A body that is not of the form is no error of its own: the status and the header alone speak then. */
static Err *service_error_parse(const HttpResponse *response, ServiceError *ret) {
        if (content_is_json(response) && response->body.size <= HTTP_ANSWER_SIZE_MAX) {
                Err *err = json_parse(bytes_span(&response->body), "the error body", &ret->json);
                if (err_code(err) == ERR_NO_MEMORY)
                        return err;
                err_free(err);
        }
        const Json *error = json_get(ret->json, "error"), *inner = json_get(error, "innererror"), *details = json_get(error, "details");
        ret->code = text_member(error, "code");
        ret->message = text_member(error, "message");
        ret->target = text_member(error, "target");
        ret->inner = json_is_object(inner) ? inner : NULL;
        ret->details = json_is_array(details) ? details : NULL;
        if (!ret->code)
                ret->code = header_for_programs(response->error_code);
        return NULL;
}

/* The innermost error is the most specific one; the service mostly repeats the outer one there, and then it is not worth a word. */
static void find_inner(const ServiceError *error, const char **ret_code, const char **ret_message) {
        for (const Json *inner = error->inner; json_is_object(inner); inner = json_get(inner, "innererror")) {
                const char *code = text_member(inner, "code"), *message = text_member(inner, "message");
                if (code && !string_equal(code, error->code))
                        *ret_code = code;
                if (message && !string_equal(message, error->message))
                        *ret_message = message;
        }
}

/* Codes that deserve an error of their own. message NULL: any. */
static const struct { const char *code, *message; ErrCode meaning; } known_errors[] = {
        { "PolicyEvaluationError", NULL, ERR_SERVICE_POLICY_DENIED },
        { "Bad request", "policy has not been set", ERR_SERVICE_POLICY_MISSING },
        /* The real service's code for a spent or stale challenge is not known; these are the local instance's words. */
        { "ChallengeInvalid", NULL, ERR_CHALLENGE_INVALID },
};

static ErrCode meaning_of(long status, const ServiceError *error) {
        if (status == 401 || status == 403)
                return ERR_SERVICE_UNAUTHORIZED;
        if (status == 429)
                return ERR_SERVICE_THROTTLED;
        if (status == 408 || status >= 500)
                return ERR_SERVICE_UNAVAILABLE;
        for (size_t i = 0; i < N_ELEMENTS(known_errors) && error->code; i++)
                if (strcasecmp(error->code, known_errors[i].code) == 0 &&
                    (!known_errors[i].message || (error->message && strcasestr(error->message, known_errors[i].message))))
                        return known_errors[i].meaning;
        return ERR_SERVICE_REFUSED;
}

static Err *write_words(Writer *out, const char *before, const char *text, size_t max, const char *after) {
        _cleanup_free_ char *shown = NULL;
        if (!text)
                return NULL;
        TRY(http_text_for_people(text, max, &shown));
        writer_format(out, "%s%s%s", before, shown, after);
        return NULL;
}

static Err *write_inner(Writer *out, const ServiceError *error) {
        const char *code = NULL, *message = NULL;
        find_inner(error, &code, &message);
        if (!code && !message)
                return NULL;
        writer_string(out, " (inner error");
        TRY(write_words(out, " \"", code, ERROR_CODE_MAX, "\""));
        TRY(write_words(out, ": ", message, INNER_MESSAGE_MAX, ""));
        writer_string(out, ")");
        return NULL;
}

static Err *error_sentence(const HttpResponse *response, const ServiceError *error, char **ret) {
        _cleanup_writer_ Writer out = {};
        char shown[REQUEST_ID_MAX + 1];
        writer_format(&out, "the instance answered HTTP %ld", response->status);
        TRY(write_words(&out, " \"", error->code, ERROR_CODE_MAX, "\""));
        TRY(write_words(&out, ": ", error->message, ERROR_MESSAGE_MAX, ""));
        TRY(write_words(&out, " (target ", error->target, ERROR_CODE_MAX, ")"));
        TRY(write_inner(&out, error));
        if (!error->code && !error->message && response->content_type && !content_is_json(response)) {
                header_for_people(response->content_type, shown, sizeof(shown));
                writer_format(&out, " with a body of type %s, so perhaps something in between answered", shown);
        }
        header_for_people(response->request_id, shown, sizeof(shown));
        if (shown[0])
                writer_format(&out, " (request id %s)", shown);
        return writer_finish_string(&out, ret);
}

static void set_json_detail(Err *err, ErrDetail detail, const Json *json) {
        _cleanup_free_ char *text = NULL;
        if (!json)
                return;
        Err *failed = json_to_string(json, &text);
        if (!failed && strlen(text) <= ERR_DETAIL_SIZE_MAX)
                err_set_detail(err, detail, text);
        err_free(failed);   /* no memory, so no detail */
}

static void set_details(Err *err, const HttpResponse *response, const ServiceError *error) {
        err_set_detail(err, ERR_DETAIL_SERVICE_CODE, error->code);
        err_set_detail(err, ERR_DETAIL_SERVICE_MESSAGE, error->message);
        err_set_detail(err, ERR_DETAIL_SERVICE_TARGET, error->target);
        set_json_detail(err, ERR_DETAIL_SERVICE_DETAILS, error->details);
        set_json_detail(err, ERR_DETAIL_INNER_ERROR, error->inner);
        err_set_detail(err, ERR_DETAIL_REQUEST_ID, http_response_request_id(response));
}

/* An answer that is not even an error of the service. */
static Err *with_request_id(Err *err, const HttpResponse *response) {
        err_set_detail(err, ERR_DETAIL_REQUEST_ID, http_response_request_id(response));
        return err;
}

Err *http_response_check(const HttpResponse *response, uint64_t now_sec) {
        if (response->status >= 200 && response->status < 300)
                return NULL;
        if (response->status < 400)
                return with_request_id(err_new_native(ERR_SERVICE_ANSWER_INVALID, ERR_DOMAIN_HTTP, response->status, "the instance answered HTTP %ld%s",
                                                      response->status, response->status >= 300 ? ", a redirect, and those are not followed" : ""),
                                       response);
        _cleanup_(service_error_done) ServiceError error = {};
        _cleanup_free_ char *sentence = NULL;
        TRY(service_error_parse(response, &error));
        TRY(error_sentence(response, &error, &sentence));
        ErrCode code = meaning_of(response->status, &error);
        Err *err = err_new_native(code, ERR_DOMAIN_HTTP, response->status, "%s", sentence);
        set_details(err, response, &error);
        if (code == ERR_SERVICE_THROTTLED || code == ERR_SERVICE_UNAVAILABLE)
                err_set_retry_after(err, http_response_retry_after_usec(response, now_sec));
        return err;
}

Err *http_response_check_json(const HttpResponse *response, uint64_t now_sec) {
        TRY(http_response_check(response, now_sec));
        if (response->body.size > HTTP_ANSWER_SIZE_MAX)
                return with_request_id(err_new(ERR_SERVICE_ANSWER_TOO_LARGE, "an answer of %zu bytes, %u are allowed", response->body.size, HTTP_ANSWER_SIZE_MAX),
                                       response);
        if (response->content_type && !content_is_json(response)) {
                char shown[REQUEST_ID_MAX + 1];
                header_for_people(response->content_type, shown, sizeof(shown));
                return with_request_id(err_new(ERR_SERVICE_ANSWER_INVALID, "the answer is of type %s where JSON is needed; does Url= name an attestation instance?", shown),
                                       response);
        }
        return NULL;
}
