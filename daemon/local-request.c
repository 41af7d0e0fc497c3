/* See local-request.h. Whatever is not expected is refused by its name: a misspelt member must not silently give another answer than was meant. The
 * probes and /metrics let any query pass, because monitoring systems add their own. */
#include "daemon/local-request.h"

#include <inttypes.h>

#include "base/json.h"
#include "base/reader.h"
#include "base/writer.h"

typedef enum Methods { METHODS_READ, METHODS_POST } Methods;

typedef struct RouteInfo {
        const char *path;       /* of profile routes: the part behind the name */
        Methods methods;
        bool of_profile, any_query;
} RouteInfo;

static const RouteInfo routes[_LOCAL_ROUTE_MAX] = {
        [LOCAL_ROUTE_HEALTHZ] = { .path = "/healthz", .any_query = true },
        [LOCAL_ROUTE_READYZ] = { .path = "/readyz", .any_query = true },
        [LOCAL_ROUTE_METRICS] = { .path = "/metrics", .any_query = true },
        [LOCAL_ROUTE_STATUS] = { .path = "/v1/status" },
        [LOCAL_ROUTE_TOKEN] = { .path = "/token", .of_profile = true },
        [LOCAL_ROUTE_ATTEST] = { .path = "/attest", .of_profile = true, .methods = METHODS_POST },
        [LOCAL_ROUTE_VALIDATE] = { .path = "/v1/validate", .methods = METHODS_POST },
};

#define PROFILES_PATH "/v1/profiles/"

void local_request_done(LocalRequest *request) {
        free(request->profile);
        free(request->token);
        bytes_done(&request->nonce);
        *request = (LocalRequest) {};
}

static int hex_digit(uint8_t c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -1;
}

/* RFC 3986 §2.1. what names the part in the error. */
static Err *percent_decode(Span text, const char *what, char **ret) {
        _cleanup_writer_ Writer w = {};
        Reader reader = reader_make(text);
        while (reader_left(&reader) > 0) {
                uint8_t c = reader_u8(&reader, what);
                if (c == '%') {
                        int high = hex_digit(reader_u8(&reader, what)), low = hex_digit(reader_u8(&reader, what));
                        if (reader_failed(&reader) || high < 0 || low < 0)
                                return err_new(ERR_REQUEST_INVALID, "%s: a percent sign without two hex digits", what);
                        c = (uint8_t) (high << 4 | low);
                }
                if (c < 0x20 || c == 0x7f)
                        return err_new(ERR_REQUEST_INVALID, "%s: a control character", what);
                writer_u8(&w, c);
        }
        return writer_finish_string(&w, ret);
}

/* Splits at the first separator. false: there is none, and all is head. */
static bool span_cut(Span text, char separator, Span *ret_head, Span *ret_tail) {
        const uint8_t *place = text.size > 0 ? memchr(text.data, separator, text.size) : NULL;
        size_t head = place ? (size_t) (place - text.data) : text.size;
        *ret_head = span_make(text.data, head);
        *ret_tail = place ? span_make(place + 1, text.size - head - 1) : (Span) {};
        return place;
}

static bool span_has_prefix(Span text, const char *prefix) {
        size_t n = strlen(prefix);
        return text.size >= n && memcmp(text.data, prefix, n) == 0;
}

/* The route of a path; _LOCAL_ROUTE_MAX if there is none. ret_name is the encoded name of the profile, if the path has one. */
static LocalRoute route_find(Span path, Span *ret_name) {
        bool of_profile = span_has_prefix(path, PROFILES_PATH);
        *ret_name = (Span) {};
        if (of_profile) {
                Span name = span_make(path.data + strlen(PROFILES_PATH), path.size - strlen(PROFILES_PATH)), rest;
                if (!span_cut(name, '/', ret_name, &rest) || ret_name->size == 0)
                        return _LOCAL_ROUTE_MAX;
                path = span_make(rest.data - 1, rest.size + 1);
        }
        for (LocalRoute route = 0; route < _LOCAL_ROUTE_MAX; route++)
                if (routes[route].of_profile == of_profile && span_equal_string(path, routes[route].path))
                        return route;
        return _LOCAL_ROUTE_MAX;
}

static Err *method_check(const char *method, const RouteInfo *route, LocalRefusal *refusal) {
        bool fits = false;
        switch (route->methods) {
        case METHODS_READ:
                fits = string_equal(method, "GET") || string_equal(method, "HEAD");
                refusal->allow = "GET, HEAD";
                break;
        case METHODS_POST:
                fits = string_equal(method, "POST");
                refusal->allow = "POST";
                break;
        }
        if (fits) {
                refusal->allow = NULL;
                return NULL;
        }
        refusal->status = 405;
        return err_new(ERR_REQUEST_INVALID, "the method %.16s is not allowed here, but %s", method, refusal->allow);
}

static Err *seconds_parse(const char *text, const char *what, uint64_t *ret) {
        uint64_t value = 0;
        bool ok = *text;
        for (const char *c = text; ok && *c; c++) {
                ok = *c >= '0' && *c <= '9' && value <= UINT32_MAX;
                value = value * 10 + (uint64_t) (*c - '0');
        }
        if (!ok || value > UINT32_MAX)
                return err_new(ERR_REQUEST_INVALID, "%s: a number of seconds from 0 to %" PRIu32 " is needed", what, UINT32_MAX);
        *ret = value;
        return NULL;
}

static Err *query_parse(Span query, LocalRequest *request) {
        bool seen = false;
        while (query.size > 0) {
                Span pair, name_text, value_text;
                _cleanup_free_ char *name = NULL, *value = NULL;
                span_cut(query, '&', &pair, &query);
                if (pair.size == 0)
                        continue;
                span_cut(pair, '=', &name_text, &value_text);
                TRY(percent_decode(name_text, "the query", &name));
                if (request->route != LOCAL_ROUTE_TOKEN || !string_equal(name, "min_remaining"))
                        return err_new(ERR_REQUEST_INVALID, "%.64s: no such query parameter here", name);
                if (seen)
                        return err_new(ERR_REQUEST_INVALID, "min_remaining: stands twice in the query");
                TRY(percent_decode(value_text, "min_remaining", &value));
                TRY(seconds_parse(value, "min_remaining", &request->min_remaining_sec));
                seen = true;
        }
        return NULL;
}

Err *local_request_parse_target(const char *method, Span target, LocalRequest *ret, LocalRefusal *ret_refusal) {
        _cleanup_local_request_ LocalRequest request = {};
        *ret_refusal = (LocalRefusal) { .status = 400 };
        if (target.size > LOCAL_REQUEST_TARGET_MAX) {
                ret_refusal->status = 414;
                return err_new(ERR_REQUEST_INVALID, "a request target of %zu bytes, %u are allowed", target.size, LOCAL_REQUEST_TARGET_MAX);
        }
        Span path, query, name;
        span_cut(target, '?', &path, &query);
        request.route = route_find(path, &name);
        if (request.route == _LOCAL_ROUTE_MAX) {
                ret_refusal->status = 404;
                return err_new(ERR_REQUEST_INVALID, "there is nothing at this path");
        }
        const RouteInfo *route = &routes[request.route];
        TRY(method_check(method, route, ret_refusal));
        if (route->of_profile || request.route == LOCAL_ROUTE_VALIDATE)
                TRY(percent_decode(name, "the profile's name", &request.profile));
        if (!route->any_query)
                TRY(query_parse(query, &request));
        *ret = request;
        request = (LocalRequest) {};
        return NULL;
}

static bool name_in(const char *name, const char *const *names) {
        for (; *names; names++)
                if (string_equal(name, *names))
                        return true;
        return false;
}

static Err *members_check(Json *object, const char *const *names) {
        if (!json_is_object(object))
                return err_new(ERR_REQUEST_INVALID, "the body: an object is needed");
        json_object_object_foreach(object, name, value) {
                if (!name_in(name, names))
                        return err_new(ERR_REQUEST_INVALID, "%.64s: no such member here", name);
                if (!value)
                        return err_new(ERR_REQUEST_INVALID, "%s: null is not allowed", name);
        }
        return NULL;
}

static Err *attest_parse(Json *body, LocalRequest *request) {
        int64_t timeout_sec = 0;
        TRY(members_check(body, (const char *const[]) { "nonce", "timeout_sec", NULL }));
        if (json_get(body, "timeout_sec"))
                TRY(json_get_integer(body, "timeout_sec", &timeout_sec));
        if (timeout_sec < 0 || timeout_sec > LOCAL_REQUEST_TIMEOUT_SEC_MAX)
                return err_new(ERR_REQUEST_INVALID, "timeout_sec: 0 to %u are allowed", LOCAL_REQUEST_TIMEOUT_SEC_MAX);
        request->timeout_sec = (uint64_t) timeout_sec;
        if (!json_get(body, "nonce"))
                return NULL;
        bytes_done(&request->nonce);
        TRY(json_get_base64url(body, "nonce", &request->nonce));
        if (request->nonce.size == 0 || request->nonce.size > LOCAL_REQUEST_NONCE_MAX)
                return err_new(ERR_REQUEST_INVALID, "nonce: %zu bytes, 1 to %u are allowed", request->nonce.size, LOCAL_REQUEST_NONCE_MAX);
        return NULL;
}

static Err *validate_parse(Json *body, LocalRequest *request) {
        const char *token, *profile;
        TRY(members_check(body, (const char *const[]) { "token", "profile", NULL }));
        TRY(json_get_string(body, "token", &token));
        TRY(json_get_string_optional(body, "profile", &profile));
        _cleanup_free_ char *token_copy = NULL, *profile_copy = NULL;
        TRY(string_copy(token, &token_copy));
        TRY(string_copy(profile ? profile : "", &profile_copy));
        free(request->token);
        free(request->profile);
        request->token = steal_ptr(&token_copy);
        request->profile = steal_ptr(&profile_copy);
        return NULL;
}

static Err *body_parse(LocalRequest *request, Span body) {
        _cleanup_json_ Json *json = NULL;
        TRY(json_parse(body.size > 0 ? body : span_from_string("{}"), "the body", &json));
        return request->route == LOCAL_ROUTE_ATTEST ? attest_parse(json, request) : validate_parse(json, request);
}

Err *local_request_parse_body(LocalRequest *request, Span body) {
        switch (routes[request->route].methods) {
        case METHODS_READ:
                return NULL;
        case METHODS_POST:
                return err_wrap_code(ERR_REQUEST_INVALID, body_parse(request, body), "the request is not understood");
        }
        return NULL;
}
