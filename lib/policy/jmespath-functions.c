/* The functions of JMESPath (Specification, "Built-in Functions") and the service's equals_ignore_case. The table holds what each takes; types
 * are checked before a function is called, so that none has to. */
#include <math.h>
#include <stdio.h>

#include "base/utf8.h"
#include "base/writer.h"
#include "policy/jmespath-node.h"

/* Every double is told from all others by 17 digits, and many by 15 (IEEE 754 §5.12.2). */
#define DIGITS_LEAST 15
#define DIGITS_MOST 17

#define ARGUMENTS_MAX 64 /* for those that take any number: not_null() and merge() */

/* What an argument may be: a set. An empty array is an array of everything. */
enum {
        IS_NUMBER = 1 << 0,
        IS_STRING = 1 << 1,
        IS_BOOLEAN = 1 << 2,
        IS_NULL = 1 << 3,
        IS_OBJECT = 1 << 4,
        IS_ARRAY = 1 << 5,
        IS_NUMBERS = 1 << 6, /* an array of them */
        IS_STRINGS = 1 << 7,
        IS_ANY = IS_NUMBER | IS_STRING | IS_BOOLEAN | IS_NULL | IS_OBJECT | IS_ARRAY,
        IS_EXPRESSION = 1 << 8,
};

typedef struct Call {
        JmesSearch *search;
        const JmesNode *node;
        size_t n;
        Json *values[ARGUMENTS_MAX]; /* owned; NULL at an expression's place */
        const JmesNode *expressions[ARGUMENTS_MAX];
} Call;

static void call_done(Call *call) {
        for (size_t i = 0; i < call->n; i++)
                json_unref(call->values[i]);
}

struct JmesFunction {
        const char *name;
        size_t n_least, n_most;
        unsigned types[2]; /* the last one counts for all that follow */
        Err *(*call)(Call *call, Json **ret);
};

static Span text_of(Json *json) {
        return span_make(json_object_get_string(json), (size_t) json_object_get_string_len(json));
}

static Err *made(Json *json, Json **ret) {
        if (!json)
                return err_oom();
        *ret = json;
        return NULL;
}

static Err *made_text(Span text, Json **ret) {
        return made(json_object_new_string_len(text.size > 0 ? (const char *) text.data : "", (int) text.size), ret);
}

static Err *failed(const Call *call, const char *kind, const char *message) {
        return jmes_error(ERR_JMESPATH_FAILED, kind, call->node->offset, "%s(): %s", call->node->function->name, message);
}

/* A whole number where value is one and doubles have them exactly, so that it prints as one. */
static Err *made_number(const Call *call, double value, Json **ret) {
        if (!isfinite(value))
                return failed(call, "invalid-value", "the result is too large");
        if (value == floor(value) && fabs(value) <= 9007199254740992.0)
                return made(json_object_new_int64((int64_t) value), ret);
        char text[40];
        for (int digits = DIGITS_LEAST; digits <= DIGITS_MOST; digits++) {
                (void) snprintf(text, sizeof(text), "%.*g", digits, value);
                if (strtod(text, NULL) == value)
                        break;
        }
        return made(json_object_new_double_s(value, text), ret);
}

static Err *call_abs(Call *call, Json **ret) {
        Json *value = call->values[0];
        bool is_int = json_object_is_type(value, json_type_int);
        int64_t number = is_int ? json_object_get_int64(value) : 0;
        if (is_int && number >= 0) {
                *ret = json_ref(value);
                return NULL;
        }
        if (is_int)
                return made(json_object_new_uint64(0 - (uint64_t) number), ret);
        return made_number(call, fabs(json_object_get_double(value)), ret);
}

static Err *call_ceil_or_floor(Call *call, Json **ret) {
        if (json_object_is_type(call->values[0], json_type_int)) {
                *ret = json_ref(call->values[0]);
                return NULL;
        }
        double value = json_object_get_double(call->values[0]);
        return made_number(call, call->node->function->name[0] == 'c' ? ceil(value) : floor(value), ret);
}

/* Whole numbers are added as such while they fit. */
static Err *call_sum(Call *call, Json **ret) {
        int64_t whole = 0;
        double sum = 0;
        bool is_whole = true;
        for (size_t i = 0; i < json_object_array_length(call->values[0]); i++) {
                Json *item = json_object_array_get_idx(call->values[0], i);
                is_whole = is_whole && json_object_is_type(item, json_type_int) && json_object_get_int64(item) < INT64_MAX &&
                           !__builtin_add_overflow(whole, json_object_get_int64(item), &whole);
                sum += json_object_get_double(item);
        }
        return is_whole ? made(json_object_new_int64(whole), ret) : made_number(call, sum, ret);
}

static Err *call_avg(Call *call, Json **ret) {
        size_t n = json_object_array_length(call->values[0]);
        double sum = 0;
        *ret = NULL;
        for (size_t i = 0; i < n; i++)
                sum += json_object_get_double(json_object_array_get_idx(call->values[0], i));
        return n > 0 ? made_number(call, sum / (double) n, ret) : NULL;
}

static Err *call_contains(Call *call, Json **ret) {
        bool found = false;
        Json *subject = call->values[0], *wanted = call->values[1];
        if (json_is_array(subject)) {
                for (size_t i = 0; !found && i < json_object_array_length(subject); i++)
                        TRY(jmes_search_equal(call->search, json_object_array_get_idx(subject, i), wanted, &found));
        } else if (json_is_string(wanted)) {
                Span text = text_of(subject), part = text_of(wanted);
                found = memmem(text.data, text.size, part.data, part.size) != NULL;
        }
        return made(json_object_new_boolean(found), ret);
}

static Err *call_starts_or_ends_with(Call *call, Json **ret) {
        Span text = text_of(call->values[0]), part = text_of(call->values[1]);
        bool at_end = call->node->function->name[0] == 'e';
        bool result = part.size <= text.size && span_equal(span_make(text.data + (at_end ? text.size - part.size : 0), part.size), part);
        return made(json_object_new_boolean(result), ret);
}

static uint8_t ascii_lower(uint8_t c) {
        return c >= 'A' && c <= 'Z' ? (uint8_t) (c + 32) : c;
}

/* The documentation's samples ask it about members that some modules of real logs do not have. */
static Err *call_equals_ignore_case(Call *call, Json **ret) {
        if (!call->values[0] || !call->values[1])
                return made(json_object_new_boolean(false), ret);
        Span a = text_of(call->values[0]), b = text_of(call->values[1]);
        bool equal = a.size == b.size;
        for (size_t i = 0; equal && i < a.size; i++)
                equal = ascii_lower(a.data[i]) == ascii_lower(b.data[i]);
        return made(json_object_new_boolean(equal), ret);
}

static Err *call_join(Call *call, Json **ret) {
        _cleanup_writer_ Writer writer = {};
        _cleanup_bytes_ Bytes text = {};
        Json *array = call->values[1];
        size_t n = json_object_array_length(array), size = n * (size_t) json_object_get_string_len(call->values[0]);
        for (size_t i = 0; i < n; i++)
                size += (size_t) json_object_get_string_len(json_object_array_get_idx(array, i));
        if (size > JMESPATH_RESULT_MAX)
                return err_new(ERR_LIMIT_EXCEEDED, "JMESPath: join() makes more than %u bytes", JMESPATH_RESULT_MAX);
        TRY(jmes_search_charge(call->search, size / 64));
        for (size_t i = 0; i < n; i++) {
                if (i > 0)
                        writer_span(&writer, text_of(call->values[0]));
                writer_span(&writer, text_of(json_object_array_get_idx(array, i)));
        }
        TRY(writer_finish(&writer, &text));
        return made_text(bytes_span(&text), ret);
}

/* Offset of the character behind the one at offset. */
static size_t next_character(Span text, size_t offset) {
        size_t n = utf8_sequence_size(span_make(text.data + offset, text.size - offset));
        return offset + MAX_OF(n, 1u);
}

static Err *call_length(Call *call, Json **ret) {
        Json *value = call->values[0];
        size_t n = 0;
        if (json_is_array(value))
                n = json_object_array_length(value);
        else if (json_is_object(value))
                n = (size_t) json_object_object_length(value);
        else
                for (size_t i = 0; i < text_of(value).size; i = next_character(text_of(value), i))
                        n++;
        return made(json_object_new_int64((int64_t) n), ret);
}

static Err *call_reverse(Call *call, Json **ret) {
        Json *value = call->values[0];
        if (json_is_string(value)) {
                _cleanup_bytes_ Bytes reversed = {};
                Span text = text_of(value);
                TRY(bytes_alloc(text.size, &reversed));
                for (size_t i = 0, next; i < text.size; i = next) {
                        next = next_character(text, i);
                        for (size_t k = i; k < next; k++)
                                reversed.data[text.size - next + (k - i)] = text.data[k];
                }
                return made_text(bytes_span(&reversed), ret);
        }
        _cleanup_json_ Json *array = NULL;
        size_t weight = 0;
        TRY(json_new_array(&array));
        for (size_t i = json_object_array_length(value); i > 0; i--)
                TRY(jmes_search_append(call->search, array, &weight, json_object_array_get_idx(value, i - 1)));
        *ret = steal_ptr(&array);
        return NULL;
}

static Err *call_keys_or_values(Call *call, Json **ret) {
        _cleanup_json_ Json *array = NULL;
        size_t weight = 0;
        TRY(json_new_array(&array));
        json_object_object_foreach(call->values[0], name, member) {
                _cleanup_json_ Json *key = NULL;
                if (call->node->function->name[0] == 'k') {
                        TRY(made_text(span_from_string(name), &key));
                        member = key;
                }
                TRY(jmes_search_append(call->search, array, &weight, member));
        }
        *ret = steal_ptr(&array);
        return NULL;
}

static Err *call_merge(Call *call, Json **ret) {
        _cleanup_json_ Json *object = NULL;
        size_t weight = 0;
        TRY(json_new_object(&object));
        for (size_t i = 0; i < call->n; i++) {
                json_object_object_foreach(call->values[i], name, member)
                        TRY(jmes_search_add(call->search, object, &weight, name, member));
        }
        *ret = steal_ptr(&object);
        return NULL;
}

static Err *call_not_null(Call *call, Json **ret) {
        Json *found = NULL;
        for (size_t i = 0; !found && i < call->n; i++)
                found = call->values[i];
        *ret = json_ref(found);
        return NULL;
}

static Err *call_map(Call *call, Json **ret) {
        _cleanup_json_ Json *array = NULL;
        size_t weight = 0;
        TRY(json_new_array(&array));
        for (size_t i = 0; i < json_object_array_length(call->values[1]); i++) {
                _cleanup_json_ Json *item = NULL;
                TRY(jmes_search_node(call->search, call->expressions[0], json_object_array_get_idx(call->values[1], i), &item));
                TRY(jmes_search_append(call->search, array, &weight, item));
        }
        *ret = steal_ptr(&array);
        return NULL;
}

static Err *call_to_array(Call *call, Json **ret) {
        if (json_is_array(call->values[0])) {
                *ret = json_ref(call->values[0]);
                return NULL;
        }
        _cleanup_json_ Json *array = NULL;
        size_t weight = 0;
        TRY(json_new_array(&array));
        TRY(jmes_search_append(call->search, array, &weight, call->values[0]));
        *ret = steal_ptr(&array);
        return NULL;
}

static Err *call_to_number(Call *call, Json **ret) {
        Json *value = call->values[0];
        *ret = NULL;
        if (json_object_is_type(value, json_type_int) || json_object_is_type(value, json_type_double))
                *ret = json_ref(value);
        if (!json_is_string(value))
                return NULL;
        Span text = text_of(value);
        bool begins = text.size > 0 && (text.data[0] == '-' || (text.data[0] >= '0' && text.data[0] <= '9'));
        if (!begins || text.data[text.size - 1] < '0' || text.data[text.size - 1] > '9')
                return NULL;
        _cleanup_(err_freep) Err *err = json_parse(text, "text", ret);
        return err_code(err) == ERR_NO_MEMORY ? steal_ptr(&err) : NULL;
}

static Err *call_to_string(Call *call, Json **ret) {
        if (json_is_string(call->values[0])) {
                *ret = json_ref(call->values[0]);
                return NULL;
        }
        _cleanup_free_ char *text = NULL;
        size_t weight = 0;
        TRY(jmes_search_weigh(call->search, call->values[0], &weight));
        TRY(json_to_string(call->values[0], &text));
        return made_text(span_from_string(text), ret);
}

static Err *call_type(Call *call, Json **ret) {
        json_type type = json_object_get_type(call->values[0]);
        bool is_number = type == json_type_int || type == json_type_double;
        return made_text(span_from_string(is_number ? "number" : json_type_to_name(type)), ret);
}

/* Sorting, and the smallest and the largest: all by a key, which is the element itself where no expression makes one. */
typedef struct Keyed {
        Json *key; /* owned */
        Json *item;
        size_t place;
} Keyed;

typedef struct KeyedList {
        Keyed *items;
        size_t n;
} KeyedList;

static void keyed_list_done(KeyedList *list) {
        for (size_t i = 0; i < list->n; i++)
                json_unref(list->items[i].key);
        free(list->items);
}

static int key_compare(Json *a, Json *b) {
        if (!json_is_string(a))
                return jmes_number_compare(a, b);
        Span s = text_of(a), t = text_of(b);
        int order = memcmp(s.data, t.data, MIN_OF(s.size, t.size)); /* the order of UTF-8 is that of the code points */
        return order != 0 ? order : s.size < t.size ? -1 : s.size > t.size;
}

static int keyed_compare(const void *a, const void *b) {
        const Keyed *x = a, *y = b;
        int order = key_compare(x->key, y->key);
        return order != 0 ? order : x->place < y->place ? -1 : x->place > y->place;
}

static Err *keyed_list_make(Call *call, KeyedList *list) {
        size_t n = json_object_array_length(call->values[0]), weight = 0;
        TRY(jmes_search_charge(call->search, n));
        list->items = calloc(n + 1, sizeof(Keyed));
        if (!list->items)
                return err_oom();
        for (size_t i = 0; i < n; i++) {
                Keyed *keyed = &list->items[i];
                keyed->item = json_object_array_get_idx(call->values[0], i);
                keyed->place = i;
                if (call->n > 1)
                        TRY(jmes_search_node(call->search, call->expressions[1], keyed->item, &keyed->key));
                else
                        keyed->key = json_ref(keyed->item);
                list->n++;
                TRY(jmes_search_weigh(call->search, keyed->key, &weight));
                bool is_number = json_object_is_type(keyed->key, json_type_int) || json_object_is_type(keyed->key, json_type_double);
                if ((!is_number && !json_is_string(keyed->key)) || json_is_string(keyed->key) != json_is_string(list->items[0].key))
                        return failed(call, "invalid-type", "the keys have to be all numbers or all strings");
        }
        return NULL;
}

static Err *call_sort(Call *call, Json **ret) {
        _cleanup_(keyed_list_done) KeyedList list = {};
        _cleanup_json_ Json *array = NULL;
        size_t weight = 0;
        TRY(keyed_list_make(call, &list));
        qsort(list.items, list.n, sizeof(Keyed), keyed_compare);
        TRY(json_new_array(&array));
        for (size_t i = 0; i < list.n; i++)
                TRY(jmes_search_append(call->search, array, &weight, list.items[i].item));
        *ret = steal_ptr(&array);
        return NULL;
}

/* Of several equal ones the first. */
static Err *call_max_or_min(Call *call, Json **ret) {
        _cleanup_(keyed_list_done) KeyedList list = {};
        bool is_max = call->node->function->name[1] == 'a';
        TRY(keyed_list_make(call, &list));
        Keyed *best = list.items;
        for (size_t i = 1; i < list.n; i++) {
                int order = key_compare(list.items[i].key, best->key);
                if (is_max ? order > 0 : order < 0)
                        best = &list.items[i];
        }
        *ret = list.n > 0 ? json_ref(best->item) : NULL;
        return NULL;
}

static const JmesFunction functions[] = {
        { "abs", 1, 1, { IS_NUMBER }, call_abs },
        { "avg", 1, 1, { IS_NUMBERS }, call_avg },
        { "ceil", 1, 1, { IS_NUMBER }, call_ceil_or_floor },
        { "contains", 2, 2, { IS_ARRAY | IS_STRING, IS_ANY }, call_contains },
        { "ends_with", 2, 2, { IS_STRING, IS_STRING }, call_starts_or_ends_with },
        { "equals_ignore_case", 2, 2, { IS_STRING | IS_NULL, IS_STRING | IS_NULL }, call_equals_ignore_case },
        { "floor", 1, 1, { IS_NUMBER }, call_ceil_or_floor },
        { "join", 2, 2, { IS_STRING, IS_STRINGS }, call_join },
        { "keys", 1, 1, { IS_OBJECT }, call_keys_or_values },
        { "length", 1, 1, { IS_STRING | IS_ARRAY | IS_OBJECT }, call_length },
        { "map", 2, 2, { IS_EXPRESSION, IS_ARRAY }, call_map },
        { "max", 1, 1, { IS_NUMBERS | IS_STRINGS }, call_max_or_min },
        { "max_by", 2, 2, { IS_ARRAY, IS_EXPRESSION }, call_max_or_min },
        { "merge", 1, ARGUMENTS_MAX, { IS_OBJECT, IS_OBJECT }, call_merge },
        { "min", 1, 1, { IS_NUMBERS | IS_STRINGS }, call_max_or_min },
        { "min_by", 2, 2, { IS_ARRAY, IS_EXPRESSION }, call_max_or_min },
        { "not_null", 1, ARGUMENTS_MAX, { IS_ANY, IS_ANY }, call_not_null },
        { "reverse", 1, 1, { IS_STRING | IS_ARRAY }, call_reverse },
        { "sort", 1, 1, { IS_NUMBERS | IS_STRINGS }, call_sort },
        { "sort_by", 2, 2, { IS_ARRAY, IS_EXPRESSION }, call_sort },
        { "starts_with", 2, 2, { IS_STRING, IS_STRING }, call_starts_or_ends_with },
        { "sum", 1, 1, { IS_NUMBERS }, call_sum },
        { "to_array", 1, 1, { IS_ANY }, call_to_array },
        { "to_number", 1, 1, { IS_ANY }, call_to_number },
        { "to_string", 1, 1, { IS_ANY }, call_to_string },
        { "type", 1, 1, { IS_ANY }, call_type },
        { "values", 1, 1, { IS_OBJECT }, call_keys_or_values },
};

const JmesFunction *jmes_function_find(Span name) {
        for (size_t i = 0; i < N_ELEMENTS(functions); i++)
                if (span_equal_string(name, functions[i].name))
                        return &functions[i];
        return NULL;
}

Err *jmes_function_check_arity(const JmesFunction *function, size_t n_arguments, size_t offset) {
        if (n_arguments >= function->n_least && n_arguments <= function->n_most)
                return NULL;
        return jmes_error(ERR_JMESPATH_INVALID, "invalid-arity", offset, "%s() takes %s%zu, not %zu arguments", function->name,
                          function->n_least == function->n_most ? "" : n_arguments < function->n_least ? "at least " : "at most ",
                          n_arguments < function->n_least ? function->n_least : function->n_most, n_arguments);
}

static unsigned scalar_type(const Json *value) {
        switch (json_object_get_type(value)) {
        case json_type_null:
                return IS_NULL;
        case json_type_boolean:
                return IS_BOOLEAN;
        case json_type_string:
                return IS_STRING;
        case json_type_array:
                return IS_ARRAY;
        case json_type_object:
                return IS_OBJECT;
        case json_type_int:
        case json_type_double:
                return IS_NUMBER;
        }
        return 0;
}

/* The set of all that value is; elements are looked at only where that matters. */
static Err *types_of(Call *call, Json *value, unsigned wanted, unsigned *ret) {
        unsigned types = scalar_type(value), items = IS_NUMBER | IS_STRING;
        if (types == IS_ARRAY && (wanted & (IS_NUMBERS | IS_STRINGS))) {
                size_t n = json_object_array_length(value);
                TRY(jmes_search_charge(call->search, n));
                for (size_t i = 0; i < n; i++)
                        items &= scalar_type(json_object_array_get_idx(value, i));
                types |= (items & IS_NUMBER ? IS_NUMBERS : 0u) | (items & IS_STRING ? IS_STRINGS : 0u);
        }
        *ret = types;
        return NULL;
}

static Err *type_error(const Call *call, size_t i, unsigned wanted) {
        static const char *const names[] = { "a number", "a string", "a boolean", "null", "an object", "an array", "an array of numbers",
                                             "an array of strings", "an expression (&…)" };
        char text[160] = "";
        size_t used = 0;
        for (unsigned k = 0; k < N_ELEMENTS(names); k++)
                if ((wanted & 1u << k) && used < sizeof(text))
                        used += (size_t) snprintf(text + used, sizeof(text) - used, "%s%s", used > 0 ? " or " : "", names[k]);
        return jmes_error(ERR_JMESPATH_FAILED, "invalid-type", call->node->offset, "argument %zu of %s() has to be %s", i + 1,
                          call->node->function->name, wanted == IS_ANY ? "a value" : text);
}

static Err *evaluate_argument(Call *call, size_t i, Json *value) {
        const JmesNode *argument = call->node->children[i];
        unsigned wanted = call->node->function->types[MIN_OF(i, N_ELEMENTS(call->node->function->types) - 1)], types = IS_EXPRESSION;
        if (argument->type == JMES_NODE_EXPREF) {
                call->expressions[i] = argument->children[0];
        } else {
                TRY(jmes_search_node(call->search, argument, value, &call->values[i]));
                TRY(types_of(call, call->values[i], wanted, &types));
        }
        /* What is text costs a step for each 64 bytes, whatever the function does with it. */
        if (json_is_string(call->values[i]))
                TRY(jmes_search_charge(call->search, text_of(call->values[i]).size / 64));
        return types & wanted ? NULL : type_error(call, i, wanted);
}

Err *jmes_function_call(JmesSearch *search, const JmesNode *node, Json *value, Json **ret) {
        _cleanup_(call_done) Call call = { .search = search, .node = node, .n = node->n_children };
        for (size_t i = 0; i < call.n; i++)
                TRY(evaluate_argument(&call, i, value));
        return node->function->call(&call, ret);
}
