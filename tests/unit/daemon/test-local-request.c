/* Requests of the local socket: what is understood, what is refused and how. */
#include "daemon/local-request.h"
#include "tests/support/unit.h"

typedef struct GoodTarget {
        const char *method, *target;
        LocalRoute route;
        const char *profile;
        uint64_t min_remaining_sec;
} GoodTarget;

static const GoodTarget good_targets[] = {
        { "GET", "/healthz", LOCAL_ROUTE_HEALTHZ, NULL, 0 },
        { "HEAD", "/healthz", LOCAL_ROUTE_HEALTHZ, NULL, 0 },
        { "GET", "/readyz?verbose", LOCAL_ROUTE_READYZ, NULL, 0 },
        { "GET", "/metrics?name[]=x", LOCAL_ROUTE_METRICS, NULL, 0 },
        { "GET", "/v1/status", LOCAL_ROUTE_STATUS, NULL, 0 },
        { "GET", "/v1/status?", LOCAL_ROUTE_STATUS, NULL, 0 },
        { "GET", "/v1/profiles/default/token", LOCAL_ROUTE_TOKEN, "default", 0 },
        { "HEAD", "/v1/profiles/default/token", LOCAL_ROUTE_TOKEN, "default", 0 },
        { "GET", "/v1/profiles/default/token?min_remaining=300", LOCAL_ROUTE_TOKEN, "default", 300 },
        { "GET", "/v1/profiles/default/token?min%5Fremaining=%330", LOCAL_ROUTE_TOKEN, "default", 30 },
        { "GET", "/v1/profiles/default/token?min_remaining=4294967295", LOCAL_ROUTE_TOKEN, "default", 4294967295 },
        { "GET", "/v1/profiles/a%2Fb%20c/token", LOCAL_ROUTE_TOKEN, "a/b c", 0 },
        { "POST", "/v1/profiles/default/attest", LOCAL_ROUTE_ATTEST, "default", 0 },
        { "POST", "/v1/validate", LOCAL_ROUTE_VALIDATE, "", 0 },
};

static void test_local_request_parse_target_good(void **state) {
        for (size_t i = 0; i < N_ELEMENTS(good_targets); i++) {
                const GoodTarget *t = &good_targets[i];
                _cleanup_local_request_ LocalRequest request = {};
                LocalRefusal refusal;
                print_message("%s %s\n", t->method, t->target);
                assert_ok(local_request_parse_target(t->method, span_from_string(t->target), &request, &refusal));
                assert_int_equal(request.route, t->route);
                assert_int_equal(request.min_remaining_sec, t->min_remaining_sec);
                if (t->profile)
                        assert_string_equal(request.profile, t->profile);
                else
                        assert_null(request.profile);
        }
}

typedef struct BadTarget {
        const char *method, *target;
        unsigned status;
        const char *allow, *names;   /* names: what the message must say */
} BadTarget;

static const BadTarget bad_targets[] = {
        { "GET", "", 404, NULL, NULL },
        { "GET", "/", 404, NULL, NULL },
        { "GET", "/healthz/", 404, NULL, NULL },
        { "GET", "//healthz", 404, NULL, NULL },
        { "GET", "/HEALTHZ", 404, NULL, NULL },
        { "GET", "/v1/profiles", 404, NULL, NULL },
        { "GET", "/v1/profiles/", 404, NULL, NULL },
        { "GET", "/v1/profiles//token", 404, NULL, NULL },
        { "GET", "/v1/profiles/default", 404, NULL, NULL },
        { "GET", "/v1/profiles/default/", 404, NULL, NULL },
        { "GET", "/v1/profiles/default/token/x", 404, NULL, NULL },
        { "GET", "/v1/profiles/default/v1/status", 404, NULL, NULL },
        { "GET", "/token", 404, NULL, NULL },
        { "POST", "/healthz", 405, "GET, HEAD", "POST" },
        { "DELETE", "/v1/profiles/default/token", 405, "GET, HEAD", "DELETE" },
        { "GET", "/v1/profiles/default/attest", 405, "POST", "GET" },
        { "HEAD", "/v1/validate", 405, "POST", "HEAD" },
        { "get", "/healthz", 405, "GET, HEAD", "get" },
        { "GET", "/v1/profiles/default/token?min_remaining=", 400, NULL, "min_remaining" },
        { "GET", "/v1/profiles/default/token?min_remaining", 400, NULL, "min_remaining" },
        { "GET", "/v1/profiles/default/token?min_remaining=-1", 400, NULL, "min_remaining" },
        { "GET", "/v1/profiles/default/token?min_remaining=1.5", 400, NULL, "min_remaining" },
        { "GET", "/v1/profiles/default/token?min_remaining=5m", 400, NULL, "min_remaining" },
        { "GET", "/v1/profiles/default/token?min_remaining=4294967296", 400, NULL, "min_remaining" },
        { "GET", "/v1/profiles/default/token?min_remaining=99999999999999999999999999", 400, NULL, "min_remaining" },
        { "GET", "/v1/profiles/default/token?min_remaining=1&min_remaining=1", 400, NULL, "twice" },
        { "GET", "/v1/profiles/default/token?min-remaining=1", 400, NULL, "min-remaining" },
        { "GET", "/v1/status?x=1", 400, NULL, "x" },
        { "GET", "/v1/profiles/a%00b/token", 400, NULL, "profile" },
        { "GET", "/v1/profiles/a%0ab/token", 400, NULL, "profile" },
        { "GET", "/v1/profiles/a%2/token", 400, NULL, "profile" },
        { "GET", "/v1/profiles/a%zz/token", 400, NULL, "profile" },
        { "GET", "/v1/profiles/a%/token", 400, NULL, "profile" },
};

static void test_local_request_parse_target_bad(void **state) {
        for (size_t i = 0; i < N_ELEMENTS(bad_targets); i++) {
                const BadTarget *t = &bad_targets[i];
                LocalRequest request = {};
                LocalRefusal refusal = {};
                print_message("%s %s\n", t->method, t->target);
                Err *err = local_request_parse_target(t->method, span_from_string(t->target), &request, &refusal);
                assert_int_equal(err_code(err), ERR_REQUEST_INVALID);
                assert_int_equal(refusal.status, t->status);
                if (t->allow)
                        assert_string_equal(refusal.allow, t->allow);
                else
                        assert_null(refusal.allow);
                if (t->names && !strstr(err_describe(err), t->names))
                        fail_msg("\"%s\" does not name %s", err_describe(err), t->names);
                err_free(err);
        }
}

static void test_local_request_parse_target_too_long_414(void **state) {
        char target[LOCAL_REQUEST_TARGET_MAX + 1];
        memset(target, 'a', sizeof(target));
        target[0] = '/';
        LocalRequest request = {};
        LocalRefusal refusal = {};
        assert_err(local_request_parse_target("GET", span_make(target, sizeof(target)), &request, &refusal), ERR_REQUEST_INVALID);
        assert_int_equal(refusal.status, 414);
        assert_err(local_request_parse_target("GET", span_make(target, sizeof(target) - 1), &request, &refusal), ERR_REQUEST_INVALID);
        assert_int_equal(refusal.status, 404);
}

static Err *parse(LocalRoute route, const char *body, LocalRequest *ret) {
        *ret = (LocalRequest) { .route = route };
        return local_request_parse_body(ret, span_from_string(body));
}

static void test_local_request_parse_body_attest(void **state) {
        static const struct {
                const char *body, *nonce;
                uint64_t timeout_sec;
        } good[] = {
                { "", "", 0 },
                { "{}", "", 0 },
                { "{\"nonce\":\"Zm9vYg\"}", "foob", 0 },
                { "{\"nonce\":\"_-8\"}", "\xff\xef", 0 },
                { " {\"timeout_sec\":30 ,\"nonce\":\"Zg\"}\n", "f", 30 },
                { "{\"timeout_sec\":3600}", "", 3600 },
        };
        for (size_t i = 0; i < N_ELEMENTS(good); i++) {
                _cleanup_local_request_ LocalRequest request = {};
                print_message("%s\n", good[i].body);
                assert_ok(parse(LOCAL_ROUTE_ATTEST, good[i].body, &request));
                assert_true(span_equal_string(bytes_span(&request.nonce), good[i].nonce));
                assert_int_equal(request.timeout_sec, good[i].timeout_sec);
        }
}

static void test_local_request_parse_body_validate(void **state) {
        _cleanup_local_request_ LocalRequest one = {}, two = {};
        assert_ok(parse(LOCAL_ROUTE_VALIDATE, "{\"token\":\"a.b.c\"}", &one));
        assert_string_equal(one.token, "a.b.c");
        assert_string_equal(one.profile, "");
        assert_ok(parse(LOCAL_ROUTE_VALIDATE, "{\"token\":\"\",\"profile\":\"edge\"}", &two));
        assert_string_equal(two.token, "");
        assert_string_equal(two.profile, "edge");
}

static void test_local_request_parse_body_bad_names_the_member(void **state) {
        static const struct {
                LocalRoute route;
                const char *body, *names;
        } bad[] = {
                { LOCAL_ROUTE_ATTEST, "{", "the body" },
                { LOCAL_ROUTE_ATTEST, "null", "the body" },
                { LOCAL_ROUTE_ATTEST, "[]", "the body" },
                { LOCAL_ROUTE_ATTEST, "\"x\"", "the body" },
                { LOCAL_ROUTE_ATTEST, "{} {}", "the body" },
                { LOCAL_ROUTE_ATTEST, "nonce=Zg", "the body" },
                { LOCAL_ROUTE_ATTEST, "{\"nonce\":\"Zg\",\"nonce\":\"Zg\"}", "nonce" },
                { LOCAL_ROUTE_ATTEST, "{\"nonce\":\"\"}", "nonce" },
                { LOCAL_ROUTE_ATTEST, "{\"nonce\":null}", "nonce" },
                { LOCAL_ROUTE_ATTEST, "{\"nonce\":1}", "nonce" },
                { LOCAL_ROUTE_ATTEST, "{\"nonce\":\"Zg==\"}", "nonce" },
                { LOCAL_ROUTE_ATTEST, "{\"nonce\":\"/+8\"}", "nonce" },
                { LOCAL_ROUTE_ATTEST, "{\"nonce\":\"Z\"}", "nonce" },
                { LOCAL_ROUTE_ATTEST, "{\"Nonce\":\"Zg\"}", "Nonce" },
                { LOCAL_ROUTE_ATTEST, "{\"timeout_sec\":\"1\"}", "timeout_sec" },
                { LOCAL_ROUTE_ATTEST, "{\"timeout_sec\":1.5}", "timeout_sec" },
                { LOCAL_ROUTE_ATTEST, "{\"timeout_sec\":-1}", "timeout_sec" },
                { LOCAL_ROUTE_ATTEST, "{\"timeout_sec\":3601}", "timeout_sec" },
                { LOCAL_ROUTE_ATTEST, "{\"token\":\"x\"}", "token" },
                { LOCAL_ROUTE_VALIDATE, "", "token" },
                { LOCAL_ROUTE_VALIDATE, "{}", "token" },
                { LOCAL_ROUTE_VALIDATE, "{\"token\":{}}", "token" },
                { LOCAL_ROUTE_VALIDATE, "{\"token\":\"a\\u0000b\"}", "token" },
                { LOCAL_ROUTE_VALIDATE, "{\"token\":\"a\",\"profile\":3}", "profile" },
                { LOCAL_ROUTE_VALIDATE, "{\"token\":\"a\",\"keys\":3}", "keys" },
        };
        for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
                _cleanup_local_request_ LocalRequest request = {};
                print_message("%s\n", bad[i].body);
                Err *err = parse(bad[i].route, bad[i].body, &request);
                assert_int_equal(err_code(err), ERR_REQUEST_INVALID);
                if (!strstr(err_describe(err), bad[i].names))
                        fail_msg("\"%s\" does not name %s", err_describe(err), bad[i].names);
                err_free(err);
        }
}

static void test_local_request_parse_body_nonce_limit(void **state) {
        /* 1366 letters A are 1024 zero bytes, 1368 are 1026. */
        for (size_t letters = 1366; letters <= 1368; letters += 2) {
                char body[1500], nonce[1400] = {};
                memset(nonce, 'A', letters);
                snprintf(body, sizeof(body), "{\"nonce\":\"%s\"}", nonce);
                _cleanup_local_request_ LocalRequest request = {};
                if (letters == 1366)
                        assert_ok(parse(LOCAL_ROUTE_ATTEST, body, &request));
                else
                        assert_err(parse(LOCAL_ROUTE_ATTEST, body, &request), ERR_REQUEST_INVALID);
        }
}

static void test_local_request_parse_body_of_get_is_ignored(void **state) {
        _cleanup_local_request_ LocalRequest request = {};
        assert_ok(parse(LOCAL_ROUTE_HEALTHZ, "whatever", &request));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_local_request_parse_target_good),
                cmocka_unit_test(test_local_request_parse_target_bad),
                cmocka_unit_test(test_local_request_parse_target_too_long_414),
                cmocka_unit_test(test_local_request_parse_body_attest),
                cmocka_unit_test(test_local_request_parse_body_validate),
                cmocka_unit_test(test_local_request_parse_body_bad_names_the_member),
                cmocka_unit_test(test_local_request_parse_body_nonce_limit),
                cmocka_unit_test(test_local_request_parse_body_of_get_is_ignored),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
