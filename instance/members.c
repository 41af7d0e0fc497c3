/* See members.h. */
#include "instance/members.h"

#include <strings.h>

Err *member_find(const Json *object, const char *name, Json **ret) {
        Json *found = NULL;
        json_object_object_foreach((Json *) object, member, value) {
                if (strcasecmp(member, name) != 0)
                        continue;
                if (found)
                        return err_new(ERR_EVIDENCE_MALFORMED, "%s is there twice, in different spellings", name);
                found = value;
        }
        *ret = found;
        return NULL;
}

Err *member_object(const Json *object, const char *name, Json **ret) {
        TRY(member_find(object, name, ret));
        return *ret && json_is_object(*ret) ? NULL : err_new(ERR_EVIDENCE_MALFORMED, "%s is missing, or no object", name);
}

Err *member_array(const Json *object, const char *name, Json **ret) {
        TRY(member_find(object, name, ret));
        return *ret && json_is_array(*ret) ? NULL : err_new(ERR_EVIDENCE_MALFORMED, "%s is missing, or no array", name);
}

Err *member_string(const Json *object, const char *name, const char **ret) {
        Json *value;
        TRY(member_find(object, name, &value));
        if (value && !json_is_string(value))
                return err_new(ERR_EVIDENCE_MALFORMED, "%s is no string", name);
        const char *text = value ? json_object_get_string(value) : NULL;
        if (text && strlen(text) != (size_t) json_object_get_string_len(value))
                return err_new(ERR_EVIDENCE_MALFORMED, "%s has a NUL in it", name);
        *ret = text;
        return NULL;
}

Err *member_bytes(const Json *object, const char *name, size_t size_max, Bytes *ret) {
        const char *text;
        _cleanup_bytes_ Bytes bytes = {};
        TRY(member_string(object, name, &text));
        if (!text)
                return err_new(ERR_EVIDENCE_MALFORMED, "%s is missing", name);
        TRY(err_wrap_code(ERR_EVIDENCE_MALFORMED, base64_decode_lenient(span_from_string(text), name, &bytes), "the request"));
        if (bytes.size > size_max)
                return err_new(ERR_EVIDENCE_MALFORMED, "%s has %zu bytes, at most %zu are allowed", name, bytes.size, size_max);
        *ret = bytes_steal(&bytes);
        return NULL;
}
