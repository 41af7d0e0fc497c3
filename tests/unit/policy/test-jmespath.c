/* JMESPath against the whole compliance suite of jmespath.org, read in place, and what the suite has not: offsets, limits, the service's own
 * function. Expected values that are not the suite's follow the specification. */
#include "tests/support/vectors.h"

#include "base/writer.h"
#include "policy/jmespath.h"

#define SUITE_CASES 892 /* that many cases has jmespath.test at 53abcc379018 */

static Err *evaluate(Span expression, Json *document, Json **ret) {
        _cleanup_(jmespath_freep) JmesPath *path = NULL;
        TRY(jmespath_parse(expression, &path));
        return jmespath_search(path, document, ret);
}

static bool is_number(Json *json) {
        return json_object_is_type(json, json_type_int) || json_object_is_type(json, json_type_double);
}

/* Not the evaluator's own comparison. */
static bool same(Json *a, Json *b) {
        if (is_number(a) && is_number(b))
                return json_object_get_double(a) == json_object_get_double(b);
        if (json_object_get_type(a) != json_object_get_type(b))
                return false;
        if (json_is_array(a)) {
                bool equal = json_object_array_length(a) == json_object_array_length(b);
                for (size_t i = 0; equal && i < json_object_array_length(a); i++)
                        equal = same(json_object_array_get_idx(a, i), json_object_array_get_idx(b, i));
                return equal;
        }
        if (json_is_object(a)) {
                bool equal = json_object_object_length(a) == json_object_object_length(b);
                json_object_object_foreach(a, name, member) {
                        Json *other = NULL;
                        equal = equal && json_object_object_get_ex(b, name, &other) && same(member, other);
                }
                return equal;
        }
        return json_object_equal(a, b);
}

/* Whether the case comes out as the suite says. */
static bool suite_case(const char *file, Json *given, Json *test) {
        Json *expression = json_get(test, "expression"), *wanted = json_get(test, "result"), *kind = json_get(test, "error");
        _cleanup_json_ Json *result = NULL;
        assert_true(json_is_string(expression));
        Span text = span_make(json_object_get_string(expression), (size_t) json_object_get_string_len(expression));
        _cleanup_(err_freep) Err *err = evaluate(text, given, &result);
        bool passed;
        if (kind) {
                _cleanup_free_ char *begin = NULL;
                assert_ok(string_format(&begin, "JMESPath: %s at offset ", json_object_get_string(kind)));
                passed = err && strncmp(err_describe(err), begin, strlen(begin)) == 0 &&
                         (err_code(err) == ERR_JMESPATH_INVALID || err_code(err) == ERR_JMESPATH_FAILED);
        } else {
                passed = !err && same(result, wanted);
        }
        if (!passed)
                print_error("%s: %s: got %s\n", file, json_object_to_json_string(test), err ? err_describe(err) : json_object_to_json_string(result));
        return passed;
}

static void test_jmespath_compliance_suite_passes_whole(void **state) {
        vectors_need();
        _cleanup_glob_ glob_t files = {};
        size_t n_cases = 0, n_failed = 0;
        vectors_glob("jmespath/*.json", 15, &files);
        for (size_t i = 0; i < files.gl_pathc; i++) {
                _cleanup_json_ Json *suites = json_object_from_file(files.gl_pathv[i]);
                assert_true(json_is_array(suites));
                for (size_t j = 0; j < json_object_array_length(suites); j++) {
                        Json *suite = json_object_array_get_idx(suites, j), *cases = json_get(suite, "cases");
                        assert_true(json_is_array(cases));
                        for (size_t k = 0; k < json_object_array_length(cases); k++, n_cases++)
                                n_failed += !suite_case(files.gl_pathv[i], json_get(suite, "given"), json_object_array_get_idx(cases, k));
                }
        }
        assert_int_equal(n_failed, 0);
        assert_true(n_cases >= SUITE_CASES);
}

typedef struct Case {
        const char *document, *expression;
        const char *wanted; /* JSON, or the beginning of the error */
} Case;

static void check_cases(const Case *cases, size_t n) {
        for (size_t i = 0; i < n; i++) {
                Json *document = NULL, *result = NULL;
                assert_ok(json_parse(span_from_string(cases[i].document), "document", &document));
                Err *err = evaluate(span_from_string(cases[i].expression), document, &result);
                if (err) {
                        if (strncmp(err_describe(err), cases[i].wanted, strlen(cases[i].wanted)) != 0)
                                fail_msg("%s: got %s", cases[i].expression, err_describe(err));
                } else {
                        _cleanup_free_ char *text = NULL;
                        assert_ok(json_to_string(result, &text));
                        if (!string_equal(text, cases[i].wanted))
                                fail_msg("%s: got %s", cases[i].expression, text);
                }
                err_free(err);
                json_unref(document);
                json_unref(result);
        }
}

static void test_jmespath_error_names_kind_and_offset(void **state) {
        static const Case cases[] = {
                { "{}", "", "JMESPath: syntax at offset 0: the expression ends" },
                { "{}", "foo.", "JMESPath: syntax at offset 4: " },
                { "{}", "foo[?a=='b", "JMESPath: syntax at offset 8: a ' without its end" },
                { "{}", "a = b", "JMESPath: syntax at offset 2: \"=\" is not understood" },
                { "{}", "a || \xff", "JMESPath: syntax at offset 5: bytes that are not UTF-8" },
                { "{}", "'\xff'", "JMESPath: syntax at offset 0: bytes that are not UTF-8" },
                { "{}", "a.`1`", "JMESPath: syntax at offset 2: " },
                { "{}", "a | `{`", "JMESPath: syntax at offset 4: " },
                { "{}", "[99999999999999999999]", "JMESPath: syntax at offset 1: the number is too large" },
                { "{}", "a | nope(@)", "JMESPath: unknown-function at offset 4: there is no function nope()" },
                { "{}", "a | length()", "JMESPath: invalid-arity at offset 4: length() takes 1, not 0 arguments" },
                { "{}", "not_null()", "JMESPath: invalid-arity at offset 0: not_null() takes at least 1, not 0 arguments" },
                { "{\"a\":1}", "a | length(@)", "JMESPath: invalid-type at offset 4: argument 1 of length() has to be a string or an object or an array" },
                { "[1,\"a\"]", "sum(@)", "JMESPath: invalid-type at offset 0: argument 1 of sum() has to be an array of numbers" },
                { "[1]", "@[::0]", "JMESPath: invalid-value at offset " },
                { "[1e308,1e308]", "sum(@)", "JMESPath: invalid-value at offset 0: " },
        };
        check_cases(cases, N_ELEMENTS(cases));
}

/* What the reference implementation takes although the grammar has it not. */
static void test_jmespath_parse_beyond_grammar_is_refused(void **state) {
        static const char *const expressions[] = { "length(a,)", "a[*][b]", "&a", "[&a]", "(a)(b)", "a[ ]", "\"a\\u0000b\"", "`null", "`foo`" };
        for (size_t i = 0; i < N_ELEMENTS(expressions); i++) {
                JmesPath *path = NULL;
                assert_err(jmespath_parse(span_from_string(expressions[i]), &path), ERR_JMESPATH_INVALID);
        }
}

static void test_jmespath_equals_ignore_case_folds_ascii_alone(void **state) {
        static const Case cases[] = {
                { "{}", "equals_ignore_case('\\Windows\\System32\\a.SYS', '\\windows\\system32\\A.sys')", "true" },
                { "{}", "equals_ignore_case('a', 'ab')", "false" },
                { "{}", "equals_ignore_case('', '')", "true" },
                { "{}", "equals_ignore_case('[', '{')", "false" },
                { "{}", "equals_ignore_case('\u00c4', '\u00e4')", "false" },
                { "{}", "equals_ignore_case('\u00c4', '\u00c4')", "true" },
                { "[{\"p\":\"X\"},{\"p\":\"y\"}]", "[?equals_ignore_case(p, 'x')].p", "[\"X\"]" },
                { "{}", "equals_ignore_case('a')", "JMESPath: invalid-arity at offset 0" },
                { "{}", "equals_ignore_case(a, 'a')", "false" },
                { "{}", "equals_ignore_case(a, b)", "false" },
                { "{}", "equals_ignore_case(`1`, 'a')", "JMESPath: invalid-type at offset 0: argument 1 " },
                { "[{\"p\":\"X\"},{}]", "[?equals_ignore_case(p, 'x')].p", "[\"X\"]" },
        };
        check_cases(cases, N_ELEMENTS(cases));
}

static void test_jmespath_numbers_keep_their_value(void **state) {
        static const Case cases[] = {
                { "[9223372036854775807,1]", "sum(@)", "9.223372036854776e+18" },
                { "[9007199254740993,0]", "sum(@)", "9007199254740993" },
                { "[1,2]", "avg(@)", "1.5" },
                { "[2,2]", "avg(@)", "2" },
                { "[0.1,0.2]", "sum(@)", "0.30000000000000004" },
                { "[-9223372036854775808]", "abs([0])", "9223372036854775808" },
                { "[1,1.0]", "[0] == [1]", "true" },
                { "[18446744073709551615,18446744073709551614]", "[0] > [1]", "true" },
                { "[9007199254740993,9007199254740992]", "[0] == [1]", "false" },
                { "[0,1,2]", "[::9223372036854775807]", "[0]" },
                { "[0,1,2]", "[-9223372036854775807:]", "[0,1,2]" },
        };
        check_cases(cases, N_ELEMENTS(cases));
}

static char *repeated(const char *before, const char *text, size_t n, const char *after) {
        char *all = calloc(1, strlen(before) + n * strlen(text) + strlen(after) + 1), *end = stpcpy(all, before);
        for (size_t i = 0; i < n; i++)
                end = stpcpy(end, text);
        stpcpy(end, after);
        return all;
}

static void test_jmespath_limits_are_kept(void **state) {
        _cleanup_free_ char *size = repeated("'", "a", JMESPATH_EXPRESSION_MAX - 1, "'"), *brackets = repeated("", "(", 5000, "");
        _cleanup_free_ char *dots = repeated("a", ".a", JMESPATH_DEPTH_MAX, ""), *fits = repeated("a", ".a", JMESPATH_DEPTH_MAX - 1, "");
        _cleanup_free_ char *doubling = repeated("@", "|[@,@]", 60, "");
        JmesPath *path = NULL;
        assert_err(jmespath_parse(span_from_string(size), &path), ERR_LIMIT_EXCEEDED);
        assert_err(jmespath_parse(span_from_string(brackets), &path), ERR_LIMIT_EXCEEDED);
        assert_err(jmespath_parse(span_from_string(dots), &path), ERR_LIMIT_EXCEEDED);

        _cleanup_json_ Json *document = NULL, *result = NULL;
        assert_ok(json_parse(span_from_string("[0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9]"), "document", &document));
        assert_ok(evaluate(span_from_string(fits), document, &result));
        assert_null(result);
        assert_err(evaluate(span_from_string(doubling), document, &result), ERR_LIMIT_EXCEEDED);
        /* Each map() visits 20 elements for each element of the one around it: 20^6 visits, and nothing large is built. */
        static const char visits[] = "length(map(&length(map(&length(map(&length(map(&length(map(&length(map(&@, `L`)), `L`)), `L`)), `L`)), `L`)), `L`))";
        _cleanup_writer_ Writer writer = {};
        _cleanup_free_ char *expression = NULL;
        for (const char *c = visits; *c; c++)
                if (*c == 'L')
                        writer_string(&writer, "[0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9]");
                else
                        writer_u8(&writer, (uint8_t) *c);
        assert_ok(writer_finish_string(&writer, &expression));
        assert_err(evaluate(span_from_string(expression), document, &result), ERR_LIMIT_EXCEEDED);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_jmespath_compliance_suite_passes_whole),
                cmocka_unit_test(test_jmespath_error_names_kind_and_offset),
                cmocka_unit_test(test_jmespath_parse_beyond_grammar_is_refused),
                cmocka_unit_test(test_jmespath_equals_ignore_case_folds_ascii_alone),
                cmocka_unit_test(test_jmespath_numbers_keep_their_value),
                cmocka_unit_test(test_jmespath_limits_are_kept),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
