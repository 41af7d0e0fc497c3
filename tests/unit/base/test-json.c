/* The strict JSON scanner. Cases follow RFC 8259 and the limits of the protocol. */
#include "tests/support/unit.h"

#include "base/json.h"
#include "base/source.h"

static void test_json_parse_malformed_is_refused(void **state) {
        static const struct { const char *text; ErrCode code; } cases[] = {
                { "", ERR_JSON_INVALID }, { "{", ERR_JSON_INVALID }, { "{}x", ERR_JSON_INVALID }, { "{\"a\":1,}", ERR_JSON_INVALID },
                { "[1 2]", ERR_JSON_INVALID }, { "{'a':1}", ERR_JSON_INVALID }, { "01", ERR_JSON_INVALID }, { "1.", ERR_JSON_INVALID },
                { "-", ERR_JSON_INVALID }, { "NaN", ERR_JSON_INVALID }, { "\"\t\"", ERR_JSON_INVALID }, { "\"\\x\"", ERR_JSON_INVALID },
                { "\"\\ud800\"", ERR_JSON_INVALID }, { "\"\xc0\x80\"", ERR_JSON_INVALID }, { "\"\xed\xa0\x80\"", ERR_JSON_INVALID },
                { "/**/{}", ERR_JSON_INVALID }, { "{\"a\":1,\"a\":2}", ERR_JSON_DUPLICATE_MEMBER },
                { "{\"a\":1,\"\\u0061\":2}", ERR_JSON_DUPLICATE_MEMBER }, { "[{\"b\":{\"a\":1,\"a\":2}}]", ERR_JSON_DUPLICATE_MEMBER },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                Json *json = NULL;
                assert_err(json_parse(span_from_string(cases[i].text), "text", &json), cases[i].code);
        }
}

static void test_json_parse_depth_is_limited(void **state) {
        char text[2 * (JSON_DEPTH_MAX + 1) + 1] = "";
        for (unsigned depth = JSON_DEPTH_MAX; depth <= JSON_DEPTH_MAX + 1; depth++) {
                memset(text, '[', depth);
                memset(text + depth, ']', depth);
                text[2 * depth] = 0;
                _cleanup_json_ Json *json = NULL;
                Err *err = json_parse(span_from_string(text), "text", &json);
                if (depth <= JSON_DEPTH_MAX)
                        assert_ok(err);
                else
                        assert_err(err, ERR_JSON_LIMIT);
        }
}

static void test_json_parse_scalar_at_end_is_accepted(void **state) {
        static const char *const cases[] = { "12", "-0.5e+3", "true", "\"\\ud83d\\ude00\"", " {\"a\" : null } " };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_json_ Json *json = NULL;
                assert_ok(json_parse(span_from_string(cases[i]), "text", &json));
        }
}

static void test_json_find_source_returns_literal_text(void **state) {
        static const char text[] = "{\"x\":{\"jwk\":0}, \"k\" :{ \"y\":[{\"jwk\":1}],\"jwk\" :\t{ \"n\": \"a\" , \"e\":2} , \"z\":3}}";
        static const char *const path[] = { "k", "jwk", NULL }, *const absent[] = { "k", "n", NULL };
        Span found;
        assert_ok(json_find_source(span_from_string(text), path, &found));
        assert_true(span_equal_string(found, "{ \"n\": \"a\" , \"e\":2}"));
        assert_err(json_find_source(span_from_string(text), absent, &found), ERR_JSON_MEMBER_MISSING);
}

static void test_json_getters_are_strict_about_types(void **state) {
        _cleanup_json_ Json *json = NULL;
        const char *text;
        uint64_t seconds;
        int64_t integer;
        assert_ok(json_parse(span_from_string("{\"s\":\"a\",\"z\":\"a\\u0000b\",\"i\":3,\"d\":1.5,\"n\":null,\"m\":-1}"), "text", &json));
        assert_ok(json_get_string(json, "s", &text));
        assert_err(json_get_string(json, "z", &text), ERR_JSON_MEMBER_TYPE);
        assert_err(json_get_string(json, "i", &text), ERR_JSON_MEMBER_TYPE);
        assert_err(json_get_string(json, "n", &text), ERR_JSON_MEMBER_MISSING);
        assert_err(json_get_integer(json, "d", &integer), ERR_JSON_MEMBER_TYPE);
        assert_ok(json_get_numeric_date(json, "d", &seconds));
        assert_int_equal(seconds, 1);
        assert_err(json_get_numeric_date(json, "m", &seconds), ERR_JSON_MEMBER_TYPE);
}

static void test_source_layers_know_size_and_rewind(void **state) {
        Source *parts[3], *inner, *all;
        assert_ok(source_new_string("{\"data\":\"", &parts[0]));
        assert_ok(source_new_string("foobar", &inner));
        assert_ok(source_new_base64url(inner, &parts[1]));
        assert_ok(source_new_string("\"}", &parts[2]));
        assert_ok(source_new_concat(parts, 3, &all));
        for (unsigned pass = 0; pass < 2; pass++) {
                _cleanup_bytes_ Bytes body = {};
                assert_ok(source_read_all(all, 100, &body));
                assert_string_equal((char *) body.data, "{\"data\":\"Zm9vYmFy\"}");
                assert_int_equal(source_size(all), body.size);
        }
        source_free(all);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_json_parse_malformed_is_refused),
                cmocka_unit_test(test_json_parse_depth_is_limited),
                cmocka_unit_test(test_json_parse_scalar_at_end_is_accepted),
                cmocka_unit_test(test_json_find_source_returns_literal_text),
                cmocka_unit_test(test_json_getters_are_strict_about_types),
                cmocka_unit_test(test_source_layers_know_size_and_rewind),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
