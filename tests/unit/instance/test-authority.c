/* The token authority's parsers: forms and applications. Requests and assertions as a whole are tested by tests/integration/test-instance-authority.py,
 * with an independent client. */
#include "tests/support/unit.h"

#include "instance/authority-applications.h"
#include "instance/authority-form.h"
#include "instance/authority-refusal.h"

static void test_form_parse_decodes(void **state) {
        /* by hand, from the URL standard's rules for application/x-www-form-urlencoded */
        static const struct { const char *text, *name, *value; } cases[] = {
                { "a=b", "a", "b" },
                { "a=b&c=d", "c", "d" },
                { "scope=https%3A%2F%2Fattest.azure.net%2F.default", "scope", "https://attest.azure.net/.default" },
                { "a=x+y%20z%2B", "a", "x y z+" },
                { "a=b=c", "a", "b=c" },
                { "a%2Bb=%c3%A4", "a+b", "\xc3\xa4" },
                { "&&a=b&", "a", "b" },
                { "a=", "a", NULL },
                { "a=b", "A", NULL },
                { "", "a", NULL },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_form_ Form form = {};
                assert_ok(form_parse(span_from_string(cases[i].text), &form));
                const char *value = form_get(&form, cases[i].name);
                assert_int_equal(value != NULL, cases[i].value != NULL);
                if (value)
                        assert_string_equal(value, cases[i].value);
        }
}

static void test_form_parse_refuses(void **state) {
        static const char *const texts[] = { "a", "a=b&c", "a=%", "a=%4", "a=%4g", "a=%g4", "%=b", "a=1&a=2", "a=1&%61=2", "a=%00", "a=%ff", "a=%c3", "a=%ed%a0%80" };
        for (size_t i = 0; i < N_ELEMENTS(texts); i++) {
                Form form;
                assert_err(form_parse(span_from_string(texts[i]), &form), ERR_REQUEST_INVALID);
        }
}

static void test_form_parse_keeps_to_its_limits(void **state) {
        _cleanup_bytes_ Bytes body = {};
        _cleanup_form_ Form form = {};
        char fields[FORM_FIELDS_MAX * 8 + 16] = "";
        size_t n = 0;
        for (unsigned i = 0; i <= FORM_FIELDS_MAX; i++) {
                if (i == FORM_FIELDS_MAX) {
                        assert_ok(form_parse(span_make(fields, n), &form));
                        assert_int_equal(form.n, FORM_FIELDS_MAX);
                        form_done(&form);
                }
                n += (size_t) snprintf(fields + n, sizeof(fields) - n, "f%u=x&", i);
        }
        assert_err(form_parse(span_make(fields, n), &form), ERR_LIMIT_EXCEEDED);
        assert_ok(bytes_alloc(FORM_SIZE_MAX + 1, &body));
        assert_err(form_parse(bytes_span(&body), &form), ERR_LIMIT_EXCEEDED);
}

static void test_form_parse_prefixes_never_crash(void **state) {
        static const char text[] = "grant_type=client_credentials&client_id=%61%2B&scope=https%3A%2F%2Fa%2F.default&client_secret=%E2%82%AC";
        for (size_t i = 0; i <= strlen(text); i++) {
                _cleanup_bytes_ Bytes copy = {};        /* of its own size, for the address sanitizer */
                _cleanup_form_ Form form = {};
                assert_ok(bytes_copy(span_make(text, i), &copy));
                err_free(form_parse(bytes_span(&copy), &form));
        }
}

static void test_applications_find_what_the_file_says(void **state) {
        static const char text[] =
                "{\"tenants\":[{\"id\":\"Tenant-1\",\"name\":\"one.example\",\"applications\":[{\"client_id\":\"C\",\"object_id\":\"O\",\"roles\":[\"contributor\"],"
                "\"secrets\":[{\"value\":\"s\"},{\"value\":\"t\",\"expires\":5}]}],\"managed_identities\":[{\"client_id\":\"M\",\"object_id\":\"P\","
                "\"resource_id\":\"/r\",\"system_assigned\":true}]}],\"identity_header\":\"h\"}";
        _cleanup_(applications_freep) Applications *applications = NULL;
        assert_ok(applications_parse(span_from_string(text), &applications));
        assert_string_equal(applications->identity_header, "h");
        const Tenant *tenant = applications_find_tenant(applications, span_from_string("tenant-1"));
        assert_non_null(tenant);
        assert_ptr_equal(tenant, applications_find_tenant(applications, span_from_string("ONE.example")));
        assert_null(applications_find_tenant(applications, span_from_string("tenant-")));
        assert_null(applications_find_tenant(applications, span_from_string("")));

        const Application *application = tenant_find_application(tenant, "c");
        assert_non_null(application);
        assert_int_equal(application->roles, APPLICATION_READER | APPLICATION_CONTRIBUTOR);
        assert_int_equal(application->n_secrets, 2);
        assert_int_equal(application->secrets[0].expires_sec, INT64_MAX);
        assert_int_equal(application->secrets[1].expires_sec, 5);
        assert_null(tenant_find_application(tenant, "m"));      /* managed ones have no credential to show */
        const Application *managed = tenant_find_object(tenant, "p");
        assert_non_null(managed);
        assert_true(managed->is_managed && managed->is_system_assigned);
        assert_int_equal(managed->roles, 0);
}

static void test_applications_parse_refuses_what_it_does_not_know(void **state) {
        static const struct { const char *text; ErrCode code; } cases[] = {
                { "[]", ERR_CONFIG_INVALID },
                { "{}", ERR_CONFIG_INVALID },
                { "{\"tenants\":{}}", ERR_JSON_MEMBER_TYPE },
                { "{\"tenants\":[1]}", ERR_CONFIG_INVALID },
                { "{\"tenants\":[{}]}", ERR_JSON_MEMBER_MISSING },
                { "{\"tenants\":[{\"id\":\"\"}]}", ERR_CONFIG_INVALID },
                { "{\"tenants\":[{\"id\":\"a\\\"b\"}]}", ERR_CONFIG_INVALID },
                { "{\"tenants\":[{\"id\":\"a\",\"application\":[]}]}", ERR_CONFIG_INVALID },
                { "{\"tenants\":[{\"id\":\"a\",\"managed_identities\":[{\"client_id\":\"c\",\"object_id\":\"o\",\"secrets\":[]}]}]}", ERR_CONFIG_INVALID },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                Applications *applications = NULL;
                assert_err(applications_parse(span_from_string(cases[i].text), &applications), cases[i].code);
                assert_null(applications);
        }
}

static void test_refusal_find_tells_refusals_from_other_errors(void **state) {
        _cleanup_(err_freep) Err *refusal = err_wrap(refusal_new(REFUSAL_SECRET_WRONG, "no"), "asking");
        _cleanup_(err_freep) Err *other = err_new(ERR_CREDENTIAL_FAILED, "no"), *http = err_new_native(ERR_SERVICE_REFUSED, ERR_DOMAIN_HTTP, 7000215, "no");
        assert_int_equal(refusal_find(refusal)->status, 401);
        assert_string_equal(refusal_find(refusal)->error, "invalid_client");
        assert_null(refusal_find(other));
        assert_null(refusal_find(http));
        assert_null(refusal_find(NULL));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_form_parse_decodes),
                cmocka_unit_test(test_form_parse_refuses),
                cmocka_unit_test(test_form_parse_keeps_to_its_limits),
                cmocka_unit_test(test_form_parse_prefixes_never_crash),
                cmocka_unit_test(test_applications_find_what_the_file_says),
                cmocka_unit_test(test_applications_parse_refuses_what_it_does_not_know),
                cmocka_unit_test(test_refusal_find_tells_refusals_from_other_errors),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
