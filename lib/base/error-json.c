/* See error-json.h. */
#include "base/error-json.h"

static const struct {
        ErrDetail detail;
        const char *member;
        bool is_json;
} members[_ERR_DETAIL_MAX] = {
        { ERR_DETAIL_SERVICE_CODE, "code", false },
        { ERR_DETAIL_SERVICE_MESSAGE, "message", false },
        { ERR_DETAIL_SERVICE_TARGET, "target", false },
        { ERR_DETAIL_SERVICE_DETAILS, "details", true },
        { ERR_DETAIL_INNER_ERROR, "inner_error", true },
        { ERR_DETAIL_REQUEST_ID, "request_id", false },
};

static Err *add_detail(Json *json, const char *member, const char *text, bool is_json) {
        Json *value;
        if (!is_json)
                return json_add_string(json, member, text);
        TRY(json_parse(span_from_string(text), member, &value));
        return json_add(json, member, value);
}

static Err *service_to_json(const Err *err, Json **ret) {
        _cleanup_json_ Json *json = NULL;
        int status = err_http_status(err);
        TRY(json_new_object(&json));
        if (status > 0)
                TRY(json_add_integer(json, "status", status));
        for (size_t i = 0; i < _ERR_DETAIL_MAX; i++) {
                const char *text = err_detail(err, members[i].detail);
                if (text)
                        TRY(add_detail(json, members[i].member, text, members[i].is_json));
        }
        *ret = steal_ptr(&json);
        return NULL;
}

static bool is_of_service(const Err *err) {
        for (unsigned i = 0; i < _ERR_DETAIL_MAX; i++)
                if (err_detail(err, (ErrDetail) i))
                        return true;
        return err_http_status(err) > 0;
}

Err *err_to_json(const Err *err, Json **ret) {
        _cleanup_json_ Json *json = NULL;
        Json *service;
        TRY(json_new_object(&json));
        TRY(json_add_string(json, "code", err_code_info(err_code(err))->name));
        TRY(json_add_string(json, "message", err_describe(err)));
        if (is_of_service(err)) {
                TRY(service_to_json(err, &service));
                TRY(json_add(json, "service", service));
        }
        *ret = steal_ptr(&json);
        return NULL;
}
