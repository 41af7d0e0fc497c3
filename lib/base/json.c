/* See json.h. The scanner walks the text once, recursion bounded by JSON_DEPTH_MAX.
 *
 * Names of the members of one object are kept, unescaped, in a growing array while that object is open, and compared
 * with each new name; an object of more than MEMBERS_MAX members is refused, so that this stays cheap. */
#include "base/json.h"

#include <stdio.h>

#include "base/utf8.h"
#include "base/writer.h"

#define MEMBERS_MAX 4096

typedef struct Scanner {
        Span text;
        size_t offset;
        const char *what;
        /* Path search: when the names from the top equal path[0..], the value's text is kept. */
        const char *const *path;
        size_t path_matched; /* how many of path the enclosing objects matched */
        Span found;
} Scanner;

static Err *scan_value(Scanner *s, unsigned depth, bool on_path);

static Err *scan_error(const Scanner *s, const char *message) {
        return err_new(ERR_JSON_INVALID, "%s: %s at offset %zu", s->what, message, s->offset);
}

static int scan_peek(const Scanner *s) {
        return s->offset < s->text.size ? s->text.data[s->offset] : -1;
}

static void scan_space(Scanner *s) {
        for (int c = scan_peek(s); c == ' ' || c == '\t' || c == '\n' || c == '\r'; c = scan_peek(s))
                s->offset++;
}

static Err *scan_hex4(Scanner *s, uint32_t *ret) {
        uint32_t value = 0;
        for (unsigned i = 0; i < 4; i++) {
                int c = scan_peek(s);
                int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
                if (digit < 0)
                        return scan_error(s, "four hex digits are needed after \\u");
                value = value << 4 | (uint32_t) digit;
                s->offset++;
        }
        *ret = value;
        return NULL;
}

static void put_utf8(Writer *writer, uint32_t c) {
        if (c < 0x80) {
                writer_u8(writer, (uint8_t) c);
        } else if (c < 0x800) {
                writer_u8(writer, (uint8_t) (0xc0 | c >> 6));
                writer_u8(writer, (uint8_t) (0x80 | (c & 63)));
        } else if (c < 0x10000) {
                writer_u8(writer, (uint8_t) (0xe0 | c >> 12));
                writer_u8(writer, (uint8_t) (0x80 | (c >> 6 & 63)));
                writer_u8(writer, (uint8_t) (0x80 | (c & 63)));
        } else {
                writer_u8(writer, (uint8_t) (0xf0 | c >> 18));
                writer_u8(writer, (uint8_t) (0x80 | (c >> 12 & 63)));
                writer_u8(writer, (uint8_t) (0x80 | (c >> 6 & 63)));
                writer_u8(writer, (uint8_t) (0x80 | (c & 63)));
        }
}

/* After the backslash and the 'u'. */
static Err *scan_unicode_escape(Scanner *s, Writer *unescaped) {
        uint32_t high, low;
        TRY(scan_hex4(s, &high));
        if (high >= 0xdc00 && high <= 0xdfff)
                return scan_error(s, "a lone low surrogate");
        if (high >= 0xd800 && high <= 0xdbff) {
                if (scan_peek(s) != '\\' || s->offset + 1 >= s->text.size || s->text.data[s->offset + 1] != 'u')
                        return scan_error(s, "a lone high surrogate");
                s->offset += 2;
                TRY(scan_hex4(s, &low));
                if (low < 0xdc00 || low > 0xdfff)
                        return scan_error(s, "a lone high surrogate");
                high = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
        }
        if (unescaped)
                put_utf8(unescaped, high);
        return NULL;
}

static Err *scan_escape(Scanner *s, Writer *unescaped) {
        static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
        s->offset++;
        int c = scan_peek(s);
        const char *place = c > 0 ? strchr(from, c) : NULL;
        if (place) {
                s->offset++;
                if (unescaped)
                        writer_u8(unescaped, (uint8_t) to[place - from]);
                return NULL;
        }
        if (c != 'u')
                return scan_error(s, "an unknown escape");
        s->offset++;
        return scan_unicode_escape(s, unescaped);
}

static Err *scan_string(Scanner *s, Writer *unescaped) {
        s->offset++;
        for (;;) {
                int c = scan_peek(s);
                if (c < 0)
                        return scan_error(s, "a string without end");
                if (c == '"') {
                        s->offset++;
                        return NULL;
                }
                if (c < 0x20)
                        return scan_error(s, "a control character in a string");
                if (c == '\\') {
                        TRY(scan_escape(s, unescaped));
                        continue;
                }
                size_t n = utf8_sequence_size(span_make(s->text.data + s->offset, s->text.size - s->offset));
                if (n == 0)
                        return scan_error(s, "bytes that are not UTF-8");
                if (unescaped)
                        writer_span(unescaped, span_make(s->text.data + s->offset, n));
                s->offset += n;
        }
}

static bool scan_digits(Scanner *s) {
        size_t begin = s->offset;
        for (int c = scan_peek(s); c >= '0' && c <= '9'; c = scan_peek(s))
                s->offset++;
        return s->offset > begin;
}

static Err *scan_number(Scanner *s) {
        if (scan_peek(s) == '-')
                s->offset++;
        if (scan_peek(s) == '0')
                s->offset++;
        else if (!scan_digits(s))
                return scan_error(s, "no value where one is needed");
        if (scan_peek(s) == '.') {
                s->offset++;
                if (!scan_digits(s))
                        return scan_error(s, "digits are needed after the point");
        }
        if (scan_peek(s) == 'e' || scan_peek(s) == 'E') {
                s->offset++;
                if (scan_peek(s) == '+' || scan_peek(s) == '-')
                        s->offset++;
                if (!scan_digits(s))
                        return scan_error(s, "digits are needed in the exponent");
        }
        return NULL;
}

static Err *scan_word(Scanner *s, const char *word) {
        size_t n = strlen(word);
        if (s->text.size - s->offset < n || memcmp(s->text.data + s->offset, word, n) != 0)
                return scan_error(s, "no value where one is needed");
        s->offset += n;
        return NULL;
}

typedef struct Names {
        Bytes *items;
        size_t n, room;
} Names;

static void names_done(Names *names) {
        for (size_t i = 0; i < names->n; i++)
                bytes_done(&names->items[i]);
        free(names->items);
}

static Err *names_add(Names *names, Scanner *s, Bytes *steal_name) {
        for (size_t i = 0; i < names->n; i++)
                if (span_equal(bytes_span(&names->items[i]), bytes_span(steal_name)))
                        return err_new(ERR_JSON_DUPLICATE_MEMBER, "%s: the member \"%.64s\" stands twice in one object, again before offset %zu",
                                       s->what, (const char *) steal_name->data, s->offset);
        if (names->n >= MEMBERS_MAX)
                return err_new(ERR_JSON_LIMIT, "%s: an object of more than %d members", s->what, MEMBERS_MAX);
        if (names->n == names->room) {
                size_t room = names->room == 0 ? 16 : names->room * 2;
                Bytes *grown = reallocarray(names->items, room, sizeof(Bytes));
                if (!grown)
                        return err_oom();
                names->items = grown;
                names->room = room;
        }
        names->items[names->n++] = bytes_steal(steal_name);
        return NULL;
}

static Err *scan_member(Scanner *s, unsigned depth, bool on_path, Names *names) {
        _cleanup_writer_ Writer unescaped = {};
        _cleanup_bytes_ Bytes name = {};
        scan_space(s);
        if (scan_peek(s) != '"')
                return scan_error(s, "a member name is needed");
        TRY(scan_string(s, &unescaped));
        TRY(writer_finish(&unescaped, &name));
        bool matches = on_path && s->path && s->path[s->path_matched] && span_equal_string(bytes_span(&name), s->path[s->path_matched]);
        TRY(names_add(names, s, &name));
        scan_space(s);
        if (scan_peek(s) != ':')
                return scan_error(s, "a colon is needed");
        s->offset++;
        scan_space(s);

        size_t begin = s->offset;
        bool is_target = matches && !s->path[s->path_matched + 1];
        s->path_matched += matches;
        TRY(scan_value(s, depth + 1, matches && !is_target));
        s->path_matched -= matches;
        if (is_target)
                s->found = span_make(s->text.data + begin, s->offset - begin);
        return NULL;
}

static Err *scan_object(Scanner *s, unsigned depth, bool on_path) {
        _cleanup_(names_done) Names names = {};
        s->offset++;
        scan_space(s);
        if (scan_peek(s) == '}') {
                s->offset++;
                return NULL;
        }
        for (;;) {
                TRY(scan_member(s, depth, on_path, &names));
                scan_space(s);
                int c = scan_peek(s);
                s->offset += c == '}' || c == ',';
                if (c == '}')
                        return NULL;
                if (c != ',')
                        return scan_error(s, "a comma or the end of the object is needed");
        }
}

static Err *scan_array(Scanner *s, unsigned depth) {
        s->offset++;
        scan_space(s);
        if (scan_peek(s) == ']') {
                s->offset++;
                return NULL;
        }
        for (;;) {
                scan_space(s);
                TRY(scan_value(s, depth + 1, false));
                scan_space(s);
                int c = scan_peek(s);
                s->offset += c == ']' || c == ',';
                if (c == ']')
                        return NULL;
                if (c != ',')
                        return scan_error(s, "a comma or the end of the array is needed");
        }
}

static Err *scan_value(Scanner *s, unsigned depth, bool on_path) {
        if (depth > JSON_DEPTH_MAX)
                return err_new(ERR_JSON_LIMIT, "%s: nested deeper than %d at offset %zu", s->what, JSON_DEPTH_MAX, s->offset);
        switch (scan_peek(s)) {
        case '{':
                return scan_object(s, depth, on_path);
        case '[':
                return scan_array(s, depth);
        case '"':
                return scan_string(s, NULL);
        case 't':
                return scan_word(s, "true");
        case 'f':
                return scan_word(s, "false");
        case 'n':
                return scan_word(s, "null");
        case -1:
                return scan_error(s, "the text ends where a value is needed");
        default:
                return scan_number(s);
        }
}

static Err *scan_all(Scanner *s) {
        scan_space(s);
        TRY(scan_value(s, 1, true));
        scan_space(s);
        if (s->offset != s->text.size)
                return scan_error(s, "more text behind the value");
        return NULL;
}

Err *json_check(Span text, const char *what) {
        Scanner scanner = { .text = text, .what = what };
        return scan_all(&scanner);
}

Err *json_find_source(Span text, const char *const *path, Span *ret) {
        Scanner scanner = { .text = text, .what = "JSON", .path = path };
        TRY(scan_all(&scanner));
        if (!scanner.found.data)
                return err_new(ERR_JSON_MEMBER_MISSING, "the member \"%s\" is missing", path[0]);
        *ret = scanner.found;
        return NULL;
}

Json *json_unref(Json *json) {
        json_object_put(json);
        return NULL;
}

Json *json_ref(Json *json) {
        return json_object_get(json);
}

Err *json_parse(Span text, const char *what, Json **ret) {
        TRY(json_check(text, what));
        if (text.size > INT32_MAX)
                return err_new(ERR_JSON_LIMIT, "%s: %zu bytes are too many", what, text.size);
        struct json_tokener *tokener = json_tokener_new_ex(JSON_DEPTH_MAX + 2);
        if (!tokener)
                return err_oom();
        json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
        Json *json = json_tokener_parse_ex(tokener, (const char *) text.data, (int) text.size);
        enum json_tokener_error error = json_tokener_get_error(tokener);
        if (error == json_tokener_continue) { /* a number at the end may go on: the NUL says that it does not */
                json = json_tokener_parse_ex(tokener, "", 1);
                error = json_tokener_get_error(tokener);
        }
        json_tokener_free(tokener);
        if (error != json_tokener_success)
                return err_new(ERR_JSON_INVALID, "%s: %s", what, json_tokener_error_desc(error));
        if (!json)
                return err_new(ERR_JSON_MEMBER_TYPE, "%s: null is not allowed", what);
        *ret = json;
        return NULL;
}

bool json_is_object(const Json *json) {
        return json_object_is_type(json, json_type_object);
}

bool json_is_array(const Json *json) {
        return json_object_is_type(json, json_type_array);
}

bool json_is_string(const Json *json) {
        return json_object_is_type(json, json_type_string);
}

Json *json_get(const Json *json, const char *member) {
        Json *value = NULL;
        if (!json_is_object(json) || !json_object_object_get_ex(json, member, &value))
                return NULL;
        return value;
}

static Err *json_need(const Json *json, const char *member, json_type type, const char *type_name, Json **ret) {
        Json *value = json_get(json, member);
        if (!value)
                return err_new(ERR_JSON_MEMBER_MISSING, "%s is missing", member);
        if (!json_object_is_type(value, type))
                return err_new(ERR_JSON_MEMBER_TYPE, "%s: %s is needed", member, type_name);
        *ret = value;
        return NULL;
}

Err *json_get_string(const Json *json, const char *member, const char **ret) {
        Json *value;
        TRY(json_need(json, member, json_type_string, "a string", &value));
        const char *text = json_object_get_string(value);
        if (strlen(text) != (size_t) json_object_get_string_len(value))
                return err_new(ERR_JSON_MEMBER_TYPE, "%s: a string with a NUL is not allowed", member);
        *ret = text;
        return NULL;
}

Err *json_get_string_optional(const Json *json, const char *member, const char **ret) {
        *ret = NULL;
        return json_get(json, member) ? json_get_string(json, member, ret) : NULL;
}

Err *json_get_object(const Json *json, const char *member, Json **ret) {
        return json_need(json, member, json_type_object, "an object", ret);
}

Err *json_get_array(const Json *json, const char *member, Json **ret) {
        return json_need(json, member, json_type_array, "an array", ret);
}

Err *json_get_integer(const Json *json, const char *member, int64_t *ret) {
        Json *value;
        TRY(json_need(json, member, json_type_int, "an integer", &value));
        *ret = json_object_get_int64(value);
        return NULL;
}

Err *json_get_boolean(const Json *json, const char *member, bool *ret) {
        Json *value;
        TRY(json_need(json, member, json_type_boolean, "true or false", &value));
        *ret = json_object_get_boolean(value);
        return NULL;
}

Err *json_get_base64url(const Json *json, const char *member, Bytes *ret) {
        const char *text;
        TRY(json_get_string(json, member, &text));
        return base64url_decode(span_from_string(text), member, ret);
}

Err *json_get_numeric_date(const Json *json, const char *member, uint64_t *ret_seconds) {
        Json *value = json_get(json, member);
        if (!value)
                return err_new(ERR_JSON_MEMBER_MISSING, "%s is missing", member);
        if (!json_object_is_type(value, json_type_int) && !json_object_is_type(value, json_type_double))
                return err_new(ERR_JSON_MEMBER_TYPE, "%s: a number of seconds is needed", member);
        double seconds = json_object_get_double(value);
        if (!(seconds >= 0 && seconds <= 9007199254740992.0))
                return err_new(ERR_JSON_MEMBER_TYPE, "%s: not a number of seconds since 1970", member);
        *ret_seconds = (uint64_t) seconds;
        return NULL;
}

static Err *json_made(Json *json, Json **ret) {
        if (!json)
                return err_oom();
        *ret = json;
        return NULL;
}

Err *json_new_object(Json **ret) {
        return json_made(json_object_new_object(), ret);
}

Err *json_new_array(Json **ret) {
        return json_made(json_object_new_array(), ret);
}

Err *json_add(Json *object, const char *member, Json *value) {
        if (!value || json_object_object_add(object, member, value) < 0) {
                json_unref(value);
                return err_oom();
        }
        return NULL;
}

Err *json_append(Json *array, Json *value) {
        if (!value || json_object_array_add(array, value) < 0) {
                json_unref(value);
                return err_oom();
        }
        return NULL;
}

Err *json_add_string(Json *object, const char *member, const char *value) {
        return value ? json_add(object, member, json_object_new_string(value)) : NULL;
}

Err *json_add_span(Json *object, const char *member, Span text) {
        if (text.size > INT32_MAX)
                return err_new(ERR_LIMIT_EXCEEDED, "%s is too long", member);
        return json_add(object, member, json_object_new_string_len(text.size > 0 ? (const char *) text.data : "", (int) text.size));
}

Err *json_add_integer(Json *object, const char *member, int64_t value) {
        return json_add(object, member, json_object_new_int64(value));
}

Err *json_add_boolean(Json *object, const char *member, bool value) {
        return json_add(object, member, json_object_new_boolean(value));
}

Err *json_add_base64url(Json *object, const char *member, Span data) {
        _cleanup_free_ char *text = NULL;
        TRY(base64url_encode(data, &text));
        return json_add_string(object, member, text);
}

Err *json_add_hex(Json *object, const char *member, Span data) {
        _cleanup_free_ char *text = NULL;
        TRY(hex_encode(data, &text));
        return json_add_string(object, member, text);
}

static int compare_names(const void *a, const void *b) {
        return strcmp(*(const char *const *) a, *(const char *const *) b);
}

static Err *sort_value(const Json *json, unsigned depth, Json **ret);

static Err *sort_object(const Json *json, unsigned depth, Json **ret) {
        _cleanup_json_ Json *sorted = NULL;
        _cleanup_free_ const char **names = calloc((size_t) json_object_object_length(json) + 1, sizeof(char *));
        size_t n = 0;
        if (!names)
                return err_oom();
        json_object_object_foreach((Json *) json, name, unused) {
                (void) unused;
                names[n++] = name;
        }
        qsort(names, n, sizeof(char *), compare_names);
        TRY(json_new_object(&sorted));
        for (size_t i = 0; i < n; i++) {
                Json *value = json_object_object_get(json, names[i]);
                if (value)
                        TRY(sort_value(value, depth + 1, &value));
                if (json_object_object_add(sorted, names[i], value) < 0) {
                        json_unref(value);
                        return err_oom();
                }
        }
        *ret = steal_ptr(&sorted);
        return NULL;
}

static Err *sort_array(const Json *json, unsigned depth, Json **ret) {
        _cleanup_json_ Json *sorted = NULL;
        TRY(json_new_array(&sorted));
        for (size_t i = 0; i < json_object_array_length(json); i++) {
                Json *value = json_object_array_get_idx(json, i);
                if (value)
                        TRY(sort_value(value, depth + 1, &value));
                if (json_object_array_add(sorted, value) < 0) {
                        json_unref(value);
                        return err_oom();
                }
        }
        *ret = steal_ptr(&sorted);
        return NULL;
}

static Err *sort_value(const Json *json, unsigned depth, Json **ret) {
        if (depth > JSON_DEPTH_MAX)
                return err_new(ERR_JSON_LIMIT, "a JSON value is nested more than %d deep", JSON_DEPTH_MAX);
        if (json_is_object(json))
                return sort_object(json, depth, ret);
        if (json_is_array(json))
                return sort_array(json, depth, ret);
        *ret = json_ref((Json *) json);
        return NULL;
}

Err *json_sort(const Json *json, Json **ret) {
        return sort_value(json, 0, ret);
}

static Err *json_print(const Json *json, int flags, char **ret) {
        const char *text = json_object_to_json_string_ext((Json *) json, flags | JSON_C_TO_STRING_NOSLASHESCAPE);
        return text ? string_copy(text, ret) : err_oom();
}

Err *json_to_string(const Json *json, char **ret) {
        return json_print(json, JSON_C_TO_STRING_PLAIN, ret);
}

Err *json_to_string_pretty(const Json *json, char **ret) {
        return json_print(json, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED, ret);
}
