/* Expressions and functions ("Claim rule functions"). A reference is the value of one claim, that of the combination at hand; as an argument that takes a set
 * it is the values of all claims that satisfy the condition. */
#include "policy/policy-expression.h"

#include <math.h>

#include "policy/jmespath.h"
#include "policy/policy-eval.h"

#define INTEGRAL_MAX 9007199254740992.0   /* 2^53: up to there a double is the integer that it looks like */

void policy_set_done(PolicySet *set) {
        for (size_t i = 0; i < set->n_values; i++)
                policy_value_done(&set->values[i]);
        free(set->values);
        *set = (PolicySet) {};
}

bool policy_value_equal(const PolicyValue *a, const PolicyValue *b) {
        if (a->type != b->type)
                return false;
        switch (a->type) {
        case POLICY_TYPE_STRING:
                return string_equal(a->text, b->text);
        case POLICY_TYPE_INTEGER:
                return a->integer == b->integer;
        case POLICY_TYPE_BOOLEAN:
                return a->boolean == b->boolean;
        case _POLICY_TYPE_MAX:
                break;
        }
        return false;
}

static const char *const type_names[_POLICY_TYPE_MAX] = {
        [POLICY_TYPE_STRING] = "String", [POLICY_TYPE_INTEGER] = "Integer", [POLICY_TYPE_BOOLEAN] = "Boolean",
};

PolicyValue policy_claim_property(const PolicyClaim *claim, PolicyProperty property) {
        switch (property) {
        case POLICY_PROPERTY_TYPE:
                return (PolicyValue) { .type = POLICY_TYPE_STRING, .text = claim->type };
        case POLICY_PROPERTY_VALUE:
                return claim->value;
        case POLICY_PROPERTY_VALUE_TYPE:
                return (PolicyValue) { .type = POLICY_TYPE_STRING, .text = (char *) type_names[claim->value.type] };
        case POLICY_PROPERTY_ISSUER:
                return (PolicyValue) { .type = POLICY_TYPE_STRING, .text = (char *) policy_issuer_to_string(claim->issuer) };
        case _POLICY_PROPERTY_MAX:
                break;
        }
        return (PolicyValue) {};
}

static Err *set_add(PolicySet *set, const PolicyScope *scope, const PolicyValue *value) {
        PolicyValue copy = *value;
        PolicyValue *more = reallocarray(set->values, set->n_values + 1, sizeof(PolicyValue));
        if (!more)
                return err_oom();
        set->values = more;
        if (value->type == POLICY_TYPE_STRING) {
                *scope->n_text += strlen(value->text);
                if (*scope->n_text > POLICY_TEXT_MAX)
                        return err_new(ERR_LIMIT_EXCEEDED, "the policy makes more than %u bytes of text", POLICY_TEXT_MAX);
                copy.text = NULL;
                TRY(string_copy(value->text, &copy.text));
        }
        set->values[set->n_values++] = copy;
        return NULL;
}

static Err *set_add_boolean(PolicySet *set, const PolicyScope *scope, bool boolean) {
        return set_add(set, scope, &(PolicyValue) { .type = POLICY_TYPE_BOOLEAN, .boolean = boolean });
}

static Err *reference_one(const PolicyExpression *e, const PolicyScope *scope, PolicySet *ret) {
        size_t chosen = scope->chosen[e->condition];
        if (chosen == SIZE_MAX)
                return err_new(ERR_INTERNAL, "a reference to condition %zu without a claim", e->condition + 1);
        const PolicyClaim *claim = policy_claims_get(scope->claims, chosen);
        PolicyValue value = policy_claim_property(claim, e->property);
        ret->read_only = claim->read_only && e->property == POLICY_PROPERTY_VALUE;
        return set_add(ret, scope, &value);
}

static Err *reference_all(const PolicyExpression *e, const PolicyScope *scope, PolicySet *ret) {
        for (size_t i = 0; i < scope->n_claims; i++) {
                if (!scope->matching[e->condition][i])
                        continue;
                const PolicyClaim *claim = policy_claims_get(scope->claims, i);
                PolicyValue value = policy_claim_property(claim, e->property);
                ret->read_only = ret->read_only || (claim->read_only && e->property == POLICY_PROPERTY_VALUE);
                TRY(set_add(ret, scope, &value));
        }
        return NULL;
}

/* ---- arguments ---- */

static const char *const kinds[_POLICY_TYPE_MAX] = { [POLICY_TYPE_STRING] = "a string", [POLICY_TYPE_INTEGER] = "an integer", [POLICY_TYPE_BOOLEAN] = "a boolean" };

static Err *need_one(const PolicySet *set, const char *what, const PolicyValue **ret) {
        if (set->n_values != 1)
                return err_new(ERR_POLICY_FAILED, "%s has to be one value, and is %zu", what, set->n_values);
        *ret = &set->values[0];
        return NULL;
}

static Err *need(const PolicySet *set, PolicyType type, const char *what, const PolicyValue **ret) {
        TRY(need_one(set, what, ret));
        if ((*ret)->type != type)
                return err_new(ERR_POLICY_FAILED, "%s has to be %s, and is %s", what, kinds[type], kinds[(*ret)->type]);
        return NULL;
}

/* RFC 8259 §3, with the white space of §2; json_parse() has no value for it. */
static bool is_null(const char *text) {
        text += strspn(text, " \t\n\r");
        return strncmp(text, "null", strlen("null")) == 0 && text[strlen("null") + strspn(text + strlen("null"), " \t\n\r")] == 0;
}

static Err *parse_argument(const char *text, const char *what, Json **ret) {
        *ret = NULL;
        if (is_null(text))
                return NULL;
        return err_wrap_code(ERR_POLICY_FAILED, json_parse(span_from_string(text), what, ret), "%s is no JSON", what);
}

/* ---- functions ---- */

static Err *call_jmespath(const PolicySet *arguments, const PolicyScope *scope, PolicySet *ret) {
        _cleanup_(jmespath_freep) JmesPath *path = NULL;
        _cleanup_json_ Json *document = NULL, *found = NULL;
        _cleanup_free_ char *text = NULL;
        const PolicyValue *data, *query;
        TRY(need(&arguments[0], POLICY_TYPE_STRING, "the first argument", &data));
        TRY(need(&arguments[1], POLICY_TYPE_STRING, "the second argument", &query));
        TRY(parse_argument(data->text, "the first argument", &document));
        Err *err = jmespath_parse(span_from_string(query->text), &path);
        if (!err)
                err = jmespath_search(path, document, &found);
        TRY(err_code(err) == ERR_LIMIT_EXCEEDED || err_code(err) == ERR_NO_MEMORY ? err : err_wrap_code(ERR_POLICY_FAILED, err, "the second argument"));
        if (found)
                TRY(json_to_string(found, &text));
        ret->read_only = arguments[0].read_only || arguments[1].read_only;
        return set_add(ret, scope, &(PolicyValue) { .type = POLICY_TYPE_STRING, .text = text ?: (char *) "null" });
}

static Err *add_number(const Json *json, const PolicyScope *scope, PolicySet *ret) {
        PolicyValue value = { .type = POLICY_TYPE_INTEGER, .integer = json_object_get_int64(json) };
        if (json_object_is_type(json, json_type_double)) {
                double number = json_object_get_double(json);
                if (trunc(number) != number || fabs(number) > INTEGRAL_MAX)
                        return err_new(ERR_POLICY_FAILED, "the number %s is no integer that a claim can hold", json_object_get_string((Json *) json));
                value.integer = (int64_t) number;
        }
        return set_add(ret, scope, &value);
}

static Err *add_text(const Json *json, const PolicyScope *scope, PolicySet *ret) {
        const char *text = json_object_get_string((Json *) json);
        if (strlen(text) != (size_t) json_object_get_string_len(json))
                return err_new(ERR_POLICY_FAILED, "a string with a NUL in it cannot be a claim");
        return set_add(ret, scope, &(PolicyValue) { .type = POLICY_TYPE_STRING, .text = (char *) text });
}

/* null is no value at all: whoever adds it adds nothing. */
static Err *add_primitive(const Json *json, const PolicyScope *scope, PolicySet *ret) {
        switch (json_object_get_type(json)) {
        case json_type_null:
                return NULL;
        case json_type_boolean:
                return set_add_boolean(ret, scope, json_object_get_boolean(json));
        case json_type_int:
        case json_type_double:
                return add_number(json, scope, ret);
        case json_type_string:
                return add_text(json, scope, ret);
        case json_type_object:
        case json_type_array:
                break;
        }
        return err_new(ERR_POLICY_FAILED, "%s cannot be the value of a claim", json_is_object(json) ? "an object" : "an array in an array");
}

static Err *call_json_to_claim_value(const PolicySet *arguments, const PolicyScope *scope, PolicySet *ret) {
        _cleanup_json_ Json *json = NULL;
        const PolicyValue *text;
        TRY(need(&arguments[0], POLICY_TYPE_STRING, "the argument", &text));
        TRY(parse_argument(text->text, "the argument", &json));
        ret->read_only = arguments[0].read_only;
        if (!json_is_array(json))
                return add_primitive(json, scope, ret);
        for (size_t i = 0; i < json_object_array_length(json); i++)
                TRY(add_primitive(json_object_array_get_idx(json, i), scope, ret));
        return NULL;
}

static bool set_has(const PolicySet *set, const PolicyValue *value) {
        for (size_t i = 0; i < set->n_values; i++)
                if (policy_value_equal(&set->values[i], value))
                        return true;
        return false;
}

static Err *call_is_subset_of(const PolicySet *arguments, const PolicyScope *scope, PolicySet *ret) {
        bool is_subset = true;
        for (size_t i = 0; is_subset && i < arguments[0].n_values; i++)
                is_subset = set_has(&arguments[1], &arguments[0].values[i]);
        return set_add_boolean(ret, scope, is_subset);
}

static Err *call_append_string(const PolicySet *arguments, const PolicyScope *scope, PolicySet *ret) {
        _cleanup_free_ char *text = NULL;
        const PolicyValue *first, *second;
        TRY(need(&arguments[0], POLICY_TYPE_STRING, "the first argument", &first));
        TRY(need(&arguments[1], POLICY_TYPE_STRING, "the second argument", &second));
        TRY(string_format(&text, "%s%s", first->text, second->text));
        ret->read_only = arguments[0].read_only || arguments[1].read_only;
        return set_add(ret, scope, &(PolicyValue) { .type = POLICY_TYPE_STRING, .text = text });
}

static Err *call_negate_bool(const PolicySet *arguments, const PolicyScope *scope, PolicySet *ret) {
        const PolicyValue *value;
        TRY(need(&arguments[0], POLICY_TYPE_BOOLEAN, "the argument", &value));
        ret->read_only = arguments[0].read_only;
        return set_add_boolean(ret, scope, !value->boolean);
}

static Err *call_contains_only_value(const PolicySet *arguments, const PolicyScope *scope, PolicySet *ret) {
        const PolicyValue *value;
        TRY(need_one(&arguments[1], "the second argument", &value));
        bool only = arguments[0].n_values > 0;
        for (size_t i = 0; only && i < arguments[0].n_values; i++)
                only = policy_value_equal(&arguments[0].values[i], value);
        return set_add_boolean(ret, scope, only);
}

typedef Err *(*Function)(const PolicySet *arguments, const PolicyScope *scope, PolicySet *ret);
static const Function functions[_POLICY_FUNCTION_MAX] = {
        [POLICY_FUNCTION_JMESPATH] = call_jmespath,
        [POLICY_FUNCTION_JSON_TO_CLAIM_VALUE] = call_json_to_claim_value,
        [POLICY_FUNCTION_IS_SUBSET_OF] = call_is_subset_of,
        [POLICY_FUNCTION_APPEND_STRING] = call_append_string,
        [POLICY_FUNCTION_NEGATE_BOOL] = call_negate_bool,
        [POLICY_FUNCTION_CONTAINS_ONLY_VALUE] = call_contains_only_value,
};

static Err *call(const PolicyExpression *e, const PolicyScope *scope, PolicySet *ret);

static Err *evaluate_argument(const PolicyExpression *e, bool takes_set, const PolicyScope *scope, PolicySet *ret) {
        if (takes_set && e->kind == POLICY_EXPRESSION_REFERENCE && scope->matching)
                return reference_all(e, scope, ret);
        return policy_expression_evaluate(e, scope, ret);
}

static void arguments_done(PolicySet (*arguments)[2]) {
        policy_set_done(&(*arguments)[0]);
        policy_set_done(&(*arguments)[1]);
}

static Err *call(const PolicyExpression *e, const PolicyScope *scope, PolicySet *ret) {
        const PolicyFunctionInfo *info = &policy_functions[e->function];
        _cleanup_(arguments_done) PolicySet arguments[2] = {};
        for (size_t i = 0; i < info->n_arguments; i++)
                TRY(evaluate_argument(e->arguments[i], i < info->n_sets, scope, &arguments[i]));
        return err_wrap(functions[e->function](arguments, scope, ret), "%s()", info->name);
}

Err *policy_expression_evaluate(const PolicyExpression *e, const PolicyScope *scope, PolicySet *ret) {
        _cleanup_policy_set_ PolicySet set = {};
        switch (e->kind) {
        case POLICY_EXPRESSION_LITERAL:
                TRY(set_add(&set, scope, &e->literal));
                break;
        case POLICY_EXPRESSION_REFERENCE:
                TRY(reference_one(e, scope, &set));
                break;
        case POLICY_EXPRESSION_CALL:
                TRY(call(e, scope, &set));
                break;
        }
        *ret = set;
        set = (PolicySet) {};
        return NULL;
}

static void add_references(const PolicyExpression *e, bool as_set, uint32_t *single, uint32_t *sets) {
        if (!e)
                return;
        switch (e->kind) {
        case POLICY_EXPRESSION_LITERAL:
                return;
        case POLICY_EXPRESSION_REFERENCE:
                *(as_set ? sets : single) |= UINT32_C(1) << e->condition;
                return;
        case POLICY_EXPRESSION_CALL:
                for (size_t i = 0; i < policy_functions[e->function].n_arguments; i++)
                        add_references(e->arguments[i], i < policy_functions[e->function].n_sets, single, sets);
                return;
        }
}

void policy_expression_references(const PolicyExpression *expression, uint32_t *ret_single, uint32_t *ret_sets) {
        *ret_single = *ret_sets = 0;
        add_references(expression, /* as_set= */ false, ret_single, ret_sets);
}
