/* See instance-token.h. */
#include "instance/instance-token.h"

#include "jose/jws.h"

static int compare_names(const void *a, const void *b) {
        return strcmp(*(const char *const *) a, *(const char *const *) b);
}

static Err *list_names(const Json *json, const char ***ret, size_t *ret_n) {
        size_t n = 0;
        const char **names = calloc((size_t) json_object_object_length(json) + 1, sizeof(*names));
        if (!names)
                return err_oom();
        json_object_object_foreach((Json *) json, name, value) {
                (void) value;
                names[n++] = name;
        }
        qsort(names, n, sizeof(*names), compare_names);
        *ret = names;
        *ret_n = n;
        return NULL;
}

static Err *copy_object(const Json *json, Json **ret) {
        _cleanup_json_ Json *copy = NULL;
        _cleanup_free_ const char **names = NULL;
        size_t n;
        TRY(json_new_object(&copy));
        TRY(list_names(json, &names, &n));
        for (size_t i = 0; i < n; i++) {
                Json *value = NULL;
                TRY(json_sorted_copy(json_object_object_get(json, names[i]), &value));
                if (json_object_object_add(copy, names[i], value) != 0) { /* json_add() takes no null */
                        json_unref(value);
                        return err_oom();
                }
        }
        *ret = steal_ptr(&copy);
        return NULL;
}

static Err *copy_array(const Json *json, Json **ret) {
        _cleanup_json_ Json *copy = NULL;
        TRY(json_new_array(&copy));
        for (size_t i = 0; i < json_object_array_length(json); i++) {
                Json *value = NULL;
                TRY(json_sorted_copy(json_object_array_get_idx(json, i), &value));
                if (json_object_array_add(copy, value) != 0) {
                        json_unref(value);
                        return err_oom();
                }
        }
        *ret = steal_ptr(&copy);
        return NULL;
}

/* Recursion is bounded: what comes from outside has passed json_parse(), so JSON_DEPTH_MAX. */
Err *json_sorted_copy(const Json *json, Json **ret) {
        if (json_is_object(json))
                return copy_object(json, ret);
        if (json_is_array(json))
                return copy_array(json, ret);
        *ret = json_ref((Json *) json);
        return NULL;
}

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
        TRY(json_sorted_copy(json, &sorted));
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
