/* See message.h. */
#include "maa/message.h"

Err *maa_request_make(const char *method, const char *base_url, const char *path, const char *api_version, HttpRequest *ret) {
        _cleanup_http_request_ HttpRequest request = { .method = method };
        TRY(string_format(&request.url, "%s/%s?api-version=%s", base_url, path, api_version ? api_version : MAA_API_VERSION_DEFAULT));
        TRY(http_request_add_header(&request, "Accept", "application/json"));
        *ret = request;
        request = (HttpRequest) {};
        return NULL;
}

Err *maa_request_post_json(const char *base_url, const char *path, const char *api_version, const Json *body, HttpRequest *ret) {
        _cleanup_http_request_ HttpRequest request = {};
        _cleanup_free_ char *text = NULL;
        TRY(maa_request_make("POST", base_url, path, api_version, &request));
        TRY(json_to_string(body, &text));
        TRY(source_new_string(text, &request.body));
        *ret = request;
        request = (HttpRequest) {};
        return NULL;
}

static Err *get_token(Span answer, char **ret_token) {
        _cleanup_json_ Json *json = NULL;
        const char *token;
        TRY(json_parse(answer, "the answer", &json));
        TRY(json_get_string(json, "token", &token));
        return string_copy(token, ret_token);
}

Err *maa_token_answer_parse(Span answer, char **ret_token) {
        return err_wrap_code(ERR_SERVICE_ANSWER_INVALID, get_token(answer, ret_token), "the answer has no token that can be used");
}

Err *maa_tpm_message_request(const char *base_url, const char *api_version, Span message, HttpRequest *ret) {
        _cleanup_json_ Json *body = NULL;
        TRY(json_new_object(&body));
        TRY(json_add_base64url(body, "data", message));
        return maa_request_post_json(base_url, "attest/Tpm", api_version, body, ret);
}

static Err *get_data(Span answer, Bytes *ret_message) {
        _cleanup_json_ Json *json = NULL;
        TRY(json_parse(answer, "the answer", &json));
        return json_get_base64url(json, "data", ret_message);
}

Err *maa_tpm_message_parse(Span answer, Bytes *ret_message) {
        return err_wrap_code(ERR_SERVICE_ANSWER_INVALID, get_data(answer, ret_message), "the answer of attest/Tpm cannot be used");
}
