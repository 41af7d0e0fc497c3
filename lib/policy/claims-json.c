/* Claims as JSON and back, see policy-eval.h. */
#include "policy/policy-eval.h"

static Err *value_to_json(const PolicyValue *value, Json **ret) {
        switch (value->type) {
        case POLICY_TYPE_STRING:
                *ret = json_object_new_string(value->text);
                break;
        case POLICY_TYPE_INTEGER:
                *ret = json_object_new_int64(value->integer);
                break;
        case POLICY_TYPE_BOOLEAN:
                *ret = json_object_new_boolean(value->boolean);
                break;
        case _POLICY_TYPE_MAX:
                *ret = NULL;
                break;
        }
        return *ret ? NULL : err_oom();
}

/* The second claim of a type makes an array of the first. */
static Err *add_claim(Json *object, const PolicyClaim *claim) {
        Json *before = json_get(object, claim->type), *value = NULL, *list = NULL;
        TRY(value_to_json(&claim->value, &value));
        if (!before)
                return json_add(object, claim->type, value);
        if (json_is_array(before))
                return json_append(before, value);
        _cleanup_json_ Json *owned = value;
        TRY(json_new_array(&list));
        Err *err = json_append(list, json_ref(before));
        if (!err)
                err = json_append(list, steal_ptr(&owned));
        if (!err)
                return json_add(object, claim->type, list);
        json_unref(list);
        return err;
}

Err *policy_claims_to_json(const PolicyClaims *claims, Json **ret) {
        _cleanup_json_ Json *object = NULL;
        TRY(json_new_object(&object));
        for (size_t i = 0; i < policy_claims_count(claims); i++)
                TRY(add_claim(object, policy_claims_get(claims, i)));
        *ret = steal_ptr(&object);
        return NULL;
}

static Err *add_value(PolicyClaims *claims, const char *type, const Json *value, PolicyIssuer issuer) {
        _cleanup_free_ char *text = NULL;
        switch (json_object_get_type(value)) {
        case json_type_boolean:
                return policy_claims_append_boolean(claims, type, json_object_get_boolean(value), issuer);
        case json_type_int:
                return policy_claims_append_integer(claims, type, json_object_get_int64(value), issuer);
        case json_type_string:
                if (strlen(json_object_get_string((Json *) value)) != (size_t) json_object_get_string_len(value))
                        return err_new(ERR_JSON_MEMBER_TYPE, "%s: a string with a NUL in it cannot be a claim", type);
                return policy_claims_append_string(claims, type, json_object_get_string((Json *) value), issuer);
        case json_type_object:
                TRY(json_to_string(value, &text));
                return policy_claims_append_string(claims, type, text, issuer);
        case json_type_null:
        case json_type_double:
        case json_type_array:
                break;
        }
        return err_new(ERR_JSON_MEMBER_TYPE, "%s: a claim is a string, an integer, a boolean, an object, or an array of these", type);
}

Err *policy_claims_add_json(PolicyClaims *claims, const Json *object, PolicyIssuer issuer) {
        json_object_object_foreach((Json *) object, type, value) {
                if (!*type)
                        return err_new(ERR_JSON_MEMBER_TYPE, "a claim without a name");
                if (!json_is_array(value)) {
                        TRY(add_value(claims, type, value, issuer));
                        continue;
                }
                for (size_t i = 0; i < json_object_array_length(value); i++)
                        TRY(add_value(claims, type, json_object_array_get_idx(value, i), issuer));
        }
        return NULL;
}
