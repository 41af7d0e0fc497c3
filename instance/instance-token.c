/* See instance-token.h. */
#include "instance/instance-token.h"

#include "jose/jws.h"

Err *instance_token_add_times(const Identity *identity, Json *claims, int64_t now_sec, uint64_t lifetime_sec) {
        TRY(json_add_integer(claims, "exp", now_sec + (int64_t) lifetime_sec));
        TRY(json_add_integer(claims, "iat", now_sec));
        TRY(json_add_string(claims, "iss", identity->url));
        return json_add_integer(claims, "nbf", now_sec);
}

Err *instance_token_header(const Identity *identity, bool is_signed, Json **ret) {
        _cleanup_json_ Json *header = NULL;
        _cleanup_free_ char *jku = NULL;
        TRY(json_new_object(&header));
        TRY(string_format(&jku, "%s/certs", identity->url));
        TRY(json_add_string(header, "alg", is_signed ? "RS256" : "none"));
        TRY(json_add_string(header, "jku", jku));
        TRY(json_add_string(header, "kid", identity->instance_kid));
        TRY(json_add_string(header, "typ", "JWT"));
        *ret = steal_ptr(&header);
        return NULL;
}

static Err *to_sorted_text(const Json *json, char **ret) {
        _cleanup_json_ Json *sorted = NULL;
        TRY(json_sort(json, &sorted));
        return json_to_string(sorted, ret);
}

static Err *write_unsigned(const char *header, const char *payload, char **ret) {
        _cleanup_free_ char *first = NULL, *second = NULL;
        TRY(base64url_encode(span_from_string(header), &first));
        TRY(base64url_encode(span_from_string(payload), &second));
        return string_format(ret, "%s.%s.", first, second);
}

Err *instance_token_sign(const Json *header, const Json *claims, EVP_PKEY *key, char **ret) {
        _cleanup_free_ char *header_text = NULL, *payload = NULL;
        TRY(to_sorted_text(header, &header_text));
        TRY(to_sorted_text(claims, &payload));
        return key ? jws_sign(JOSE_ALG_RS256, key, header_text, span_from_string(payload), ret) : write_unsigned(header_text, payload, ret);
}
