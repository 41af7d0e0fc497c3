/* The evaluator of JMESPath: recursion over the tree, whose depth the parser has bounded. Whatever costs time is charged to the search, and
 * whatever is built is weighed. */
#include "policy/jmespath-node.h"

#define STEP_TEXT 64 /* bytes of text that count as one step */
#define NODE_WEIGHT 8

Err *jmes_search_charge(JmesSearch *search, size_t n) {
        if (n > JMESPATH_STEPS_MAX - search->n_steps)
                return err_new(ERR_LIMIT_EXCEEDED, "JMESPath: the search takes more than %u steps", JMESPATH_STEPS_MAX);
        search->n_steps += n;
        return NULL;
}

static Err *weigh_text(JmesSearch *search, size_t size, size_t *weight) {
        TRY(jmes_search_charge(search, 1 + size / STEP_TEXT));
        if (size + NODE_WEIGHT > JMESPATH_RESULT_MAX - *weight)
                return err_new(ERR_LIMIT_EXCEEDED, "JMESPath: a result of more than %u bytes", JMESPATH_RESULT_MAX);
        *weight += size + NODE_WEIGHT;
        return NULL;
}

Err *jmes_search_weigh(JmesSearch *search, Json *value, size_t *weight) {
        TRY(weigh_text(search, json_is_string(value) ? (size_t) json_object_get_string_len(value) : 0, weight));
        if (json_is_array(value))
                for (size_t i = 0; i < json_object_array_length(value); i++)
                        TRY(jmes_search_weigh(search, json_object_array_get_idx(value, i), weight));
        if (json_is_object(value)) {
                json_object_object_foreach(value, name, member) {
                        TRY(weigh_text(search, strlen(name), weight));
                        TRY(jmes_search_weigh(search, member, weight));
                }
        }
        return NULL;
}

Err *jmes_search_append(JmesSearch *search, Json *array, size_t *weight, Json *value) {
        TRY(jmes_search_weigh(search, value, weight));
        if (json_object_array_add(array, json_ref(value)) < 0) {
                json_unref(value);
                return err_oom();
        }
        return NULL;
}

Err *jmes_search_add(JmesSearch *search, Json *object, size_t *weight, const char *name, Json *value) {
        TRY(weigh_text(search, strlen(name), weight));
        TRY(jmes_search_weigh(search, value, weight));
        if (json_object_object_add(object, name, json_ref(value)) < 0) {
                json_unref(value);
                return err_oom();
        }
        return NULL;
}

static bool is_number(const Json *json) {
        return json_object_is_type(json, json_type_int) || json_object_is_type(json, json_type_double);
}

int jmes_number_compare(Json *a, Json *b) {
        if (json_object_is_type(a, json_type_int) && json_object_is_type(b, json_type_int)) {
                int64_t x = json_object_get_int64(a), y = json_object_get_int64(b);
                if (x != y || x < INT64_MAX)
                        return x < y ? -1 : x > y;
                uint64_t u = json_object_get_uint64(a), v = json_object_get_uint64(b); /* both may lie above INT64_MAX */
                return u < v ? -1 : u > v;
        }
        double x = json_object_get_double(a), y = json_object_get_double(b);
        return x < y ? -1 : x > y;
}

static Err *equal_arrays(JmesSearch *search, Json *a, Json *b, bool *ret) {
        bool equal = json_object_array_length(a) == json_object_array_length(b);
        for (size_t i = 0; equal && i < json_object_array_length(a); i++)
                TRY(jmes_search_equal(search, json_object_array_get_idx(a, i), json_object_array_get_idx(b, i), &equal));
        *ret = equal;
        return NULL;
}

static Err *equal_objects(JmesSearch *search, Json *a, Json *b, bool *ret) {
        bool equal = json_object_object_length(a) == json_object_object_length(b);
        if (equal) {
                json_object_object_foreach(a, name, left) {
                        Json *right = NULL;
                        equal = json_object_object_get_ex(b, name, &right);
                        if (equal)
                                TRY(jmes_search_equal(search, left, right, &equal));
                        if (!equal)
                                break;
                }
        }
        *ret = equal;
        return NULL;
}

static bool equal_strings(Json *a, Json *b) {
        Span x = span_make(json_object_get_string(a), (size_t) json_object_get_string_len(a));
        Span y = span_make(json_object_get_string(b), (size_t) json_object_get_string_len(b));
        return span_equal(x, y);
}

Err *jmes_search_equal(JmesSearch *search, Json *a, Json *b, bool *ret) {
        bool equal = false;
        TRY(jmes_search_charge(search, 1 + (json_is_string(a) ? (size_t) json_object_get_string_len(a) / STEP_TEXT : 0)));
        if (is_number(a) && is_number(b))
                equal = jmes_number_compare(a, b) == 0;
        else if (json_object_get_type(a) != json_object_get_type(b))
                equal = false;
        else if (json_is_array(a))
                TRY(equal_arrays(search, a, b, &equal));
        else if (json_is_object(a))
                TRY(equal_objects(search, a, b, &equal));
        else if (json_is_string(a))
                equal = equal_strings(a, b);
        else
                equal = !a || json_object_get_boolean(a) == json_object_get_boolean(b);
        *ret = equal;
        return NULL;
}

/* False are null, false, and what is empty; every number is true. */
static bool is_true(const Json *value) {
        switch (json_object_get_type(value)) {
        case json_type_null:
                return false;
        case json_type_boolean:
                return json_object_get_boolean(value);
        case json_type_string:
                return json_object_get_string_len(value) > 0;
        case json_type_array:
                return json_object_array_length(value) > 0;
        case json_type_object:
                return json_object_object_length(value) > 0;
        case json_type_int:
        case json_type_double:
                return true;
        }
        return false;
}

static Err *new_boolean(bool value, Json **ret) {
        Json *json = json_object_new_boolean(value);
        if (!json)
                return err_oom();
        *ret = json;
        return NULL;
}

static Json *search_index(Json *value, int64_t index) {
        if (!json_is_array(value))
                return NULL;
        int64_t n = (int64_t) json_object_array_length(value);
        if (index < 0)
                index += n;
        return index >= 0 && index < n ? json_ref(json_object_array_get_idx(value, (size_t) index)) : NULL;
}

/* As in Python: bounds count from the end if negative, and are cut to what there is. */
static int64_t slice_bound(const JmesNode *node, unsigned part, int64_t n, int64_t if_absent) {
        bool backward = node->has_number[2] && node->numbers[2] < 0;
        if (!node->has_number[part])
                return if_absent;
        int64_t bound = node->numbers[part];
        if (bound < 0)
                bound += n;
        int64_t least = backward ? -1 : 0, most = backward ? n - 1 : n;
        return bound < least ? least : bound > most ? most : bound;
}

static Err *search_slice(JmesSearch *search, const JmesNode *node, Json *value, Json **ret) {
        if (!json_is_array(value)) {
                *ret = NULL;
                return NULL;
        }
        _cleanup_json_ Json *array = NULL;
        size_t weight = 0;
        int64_t n = (int64_t) json_object_array_length(value), step = node->has_number[2] ? node->numbers[2] : 1;
        int64_t start = slice_bound(node, 0, n, step < 0 ? n - 1 : 0), stop = slice_bound(node, 1, n, step < 0 ? -1 : n);
        TRY(json_new_array(&array));
        for (int64_t i = start; step < 0 ? i > stop : i < stop;) {
                TRY(jmes_search_append(search, array, &weight, json_object_array_get_idx(value, (size_t) i)));
                if (__builtin_add_overflow(i, step, &i))
                        break;
        }
        *ret = steal_ptr(&array);
        return NULL;
}

static Err *search_flatten(JmesSearch *search, const JmesNode *node, Json *value, Json **ret) {
        _cleanup_json_ Json *base = NULL, *array = NULL;
        size_t weight = 0;
        TRY(jmes_search_node(search, node->children[0], value, &base));
        if (!json_is_array(base)) {
                *ret = NULL;
                return NULL;
        }
        TRY(json_new_array(&array));
        for (size_t i = 0; i < json_object_array_length(base); i++) {
                Json *item = json_object_array_get_idx(base, i);
                if (!json_is_array(item))
                        TRY(jmes_search_append(search, array, &weight, item));
                else
                        for (size_t j = 0; j < json_object_array_length(item); j++)
                                TRY(jmes_search_append(search, array, &weight, json_object_array_get_idx(item, j)));
        }
        *ret = steal_ptr(&array);
        return NULL;
}

typedef struct Projection {
        const JmesNode *node;
        Json *array;
        size_t weight;
} Projection;

static Err *project_item(JmesSearch *search, Projection *projection, Json *item) {
        const JmesNode *node = projection->node;
        _cleanup_json_ Json *condition = NULL, *result = NULL;
        TRY(jmes_search_charge(search, 1));
        if (node->type == JMES_NODE_FILTER_PROJECTION) {
                TRY(jmes_search_node(search, node->children[2], item, &condition));
                if (!is_true(condition))
                        return NULL;
        }
        TRY(jmes_search_node(search, node->children[1], item, &result));
        return result ? jmes_search_append(search, projection->array, &projection->weight, result) : NULL;
}

static Err *search_projection(JmesSearch *search, const JmesNode *node, Json *value, Json **ret) {
        _cleanup_json_ Json *base = NULL, *array = NULL;
        bool of_values = node->type == JMES_NODE_VALUE_PROJECTION;
        TRY(jmes_search_node(search, node->children[0], value, &base));
        if (of_values ? !json_is_object(base) : !json_is_array(base)) {
                *ret = NULL;
                return NULL;
        }
        TRY(json_new_array(&array));
        Projection projection = { .node = node, .array = array };
        if (of_values) {
                json_object_object_foreach(base, name, member) {
                        (void) name;
                        TRY(project_item(search, &projection, member));
                }
        } else {
                for (size_t i = 0; i < json_object_array_length(base); i++)
                        TRY(project_item(search, &projection, json_object_array_get_idx(base, i)));
        }
        *ret = steal_ptr(&array);
        return NULL;
}

static bool compare_satisfied(JmesTokenType comparator, int order) {
        return comparator == JMES_TOKEN_LT ? order < 0 : comparator == JMES_TOKEN_LE ? order <= 0 :
               comparator == JMES_TOKEN_GT ? order > 0 : order >= 0;
}

static Err *search_comparison(JmesSearch *search, const JmesNode *node, Json *value, Json **ret) {
        _cleanup_json_ Json *left = NULL, *right = NULL;
        bool result;
        TRY(jmes_search_node(search, node->children[0], value, &left));
        TRY(jmes_search_node(search, node->children[1], value, &right));
        if (node->comparator == JMES_TOKEN_EQ || node->comparator == JMES_TOKEN_NE) {
                TRY(jmes_search_equal(search, left, right, &result));
                return new_boolean(result == (node->comparator == JMES_TOKEN_EQ), ret);
        }
        if (is_number(left) && is_number(right))
                return new_boolean(compare_satisfied(node->comparator, jmes_number_compare(left, right)), ret);
        *ret = NULL;
        return NULL;
}

static Err *search_logic(JmesSearch *search, const JmesNode *node, Json *value, Json **ret) {
        _cleanup_json_ Json *left = NULL;
        TRY(jmes_search_node(search, node->children[0], value, &left));
        if (node->type == JMES_NODE_NOT)
                return new_boolean(!is_true(left), ret);
        if (is_true(left) == (node->type == JMES_NODE_AND))
                return jmes_search_node(search, node->children[1], value, ret);
        *ret = steal_ptr(&left);
        return NULL;
}

static Err *search_multi_select(JmesSearch *search, const JmesNode *node, Json *value, Json **ret) {
        _cleanup_json_ Json *container = NULL;
        bool is_hash = node->type == JMES_NODE_HASH;
        size_t weight = 0;
        if (!value) {
                *ret = NULL;
                return NULL;
        }
        TRY(is_hash ? json_new_object(&container) : json_new_array(&container));
        for (size_t i = 0; i < node->n_children; i++) {
                _cleanup_json_ Json *item = NULL;
                const JmesNode *child = node->children[i];
                TRY(jmes_search_node(search, is_hash ? child->children[0] : child, value, &item));
                if (is_hash)
                        TRY(jmes_search_add(search, container, &weight, child->text, item));
                else
                        TRY(jmes_search_append(search, container, &weight, item));
        }
        *ret = steal_ptr(&container);
        return NULL;
}

static Err *search_sequence(JmesSearch *search, const JmesNode *node, Json *value, Json **ret) {
        _cleanup_json_ Json *left = NULL;
        TRY(jmes_search_node(search, node->children[0], value, &left));
        return jmes_search_node(search, node->children[1], left, ret);
}

Err *jmes_search_node(JmesSearch *search, const JmesNode *node, Json *value, Json **ret) {
        TRY(jmes_search_charge(search, 1));
        switch (node->type) {
        case JMES_NODE_CURRENT:
                *ret = json_ref(value);
                return NULL;
        case JMES_NODE_FIELD:
                *ret = json_ref(json_get(value, node->text));
                return NULL;
        case JMES_NODE_LITERAL:
                *ret = json_ref(node->literal);
                return NULL;
        case JMES_NODE_INDEX:
                *ret = search_index(value, node->numbers[0]);
                return NULL;
        case JMES_NODE_SLICE:
                return search_slice(search, node, value, ret);
        case JMES_NODE_SEQUENCE:
                return search_sequence(search, node, value, ret);
        case JMES_NODE_FLATTEN:
                return search_flatten(search, node, value, ret);
        case JMES_NODE_PROJECTION:
        case JMES_NODE_VALUE_PROJECTION:
        case JMES_NODE_FILTER_PROJECTION:
                return search_projection(search, node, value, ret);
        case JMES_NODE_OR:
        case JMES_NODE_AND:
        case JMES_NODE_NOT:
                return search_logic(search, node, value, ret);
        case JMES_NODE_COMPARISON:
                return search_comparison(search, node, value, ret);
        case JMES_NODE_LIST:
        case JMES_NODE_HASH:
                return search_multi_select(search, node, value, ret);
        case JMES_NODE_FUNCTION:
                return jmes_function_call(search, node, value, ret);
        case JMES_NODE_MEMBER: /* evaluated by their parents */
        case JMES_NODE_EXPREF:
                break;
        }
        return err_new(ERR_INTERNAL, "JMESPath: a node of type %d stands where none can", (int) node->type);
}

Err *jmespath_search(const JmesPath *path, Json *document, Json **ret) {
        JmesSearch search = {};
        return jmes_search_node(&search, path->root, document, ret);
}
