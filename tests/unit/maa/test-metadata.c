/* Metadata of an instance against the recorded key sets and OpenID documents; URLs of instances by table. */
#include "tests/support/vectors.h"

#include "maa/metadata.h"

static void test_maa_base_url_normalize_good_urls(void **state) {
        static const struct { const char *url, *normal; } cases[] = {
                { "https://a.wus.attest.azure.net", "https://a.wus.attest.azure.net" },
                { "https://a.wus.attest.azure.net/", "https://a.wus.attest.azure.net" },
                { "HTTPS://A.WUS.Attest.Azure.Net:443///", "https://a.wus.attest.azure.net" },
                { "https://127.0.0.1:8443", "https://127.0.0.1:8443" },
                { "https://[::1]:8443/", "https://[::1]:8443" },
                { "https://[FE80::1]", "https://[fe80::1]" },
                { "https://localhost:1/Some/Path_x-y/", "https://localhost:1/Some/Path_x-y" },
                { "https://h:65535/a%20b/.c/..d", "https://h:65535/a%20b/.c/..d" },
                { "https://h/a@b:c", "https://h/a@b:c" },
                { "https://some_host.local:08443", "https://some_host.local:8443" },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_free_ char *normal = NULL;
                assert_ok(maa_base_url_normalize(cases[i].url, &normal));
                assert_string_equal(normal, cases[i].normal);
        }
}

static void test_maa_base_url_normalize_bad_urls_are_refused_with_the_reason(void **state) {
        static const struct { const char *url, *reason; } cases[] = {
                { "", "https://" }, { "a.wus.attest.azure.net", "https://" }, { "ftp://h", "https://" }, { "http://h", "http without TLS" },
                { "HTTP://h", "http without TLS" }, { "https:/h", "https://" }, { "https://", "host" }, { "https:///x", "host" },
                { "https://:443", "host" }, { "https://-h", "host" }, { "https://h:", "port" }, { "https://h:0", "port" },
                { "https://h:65536", "port" }, { "https://h:123456", "port" }, { "https://h:8a", "in the host" }, { "https://h:-1", "port" },
                { "https://[::1", "host" }, { "https://[]", "host" }, { "https://[::g]", "host" }, { "https://h$x", "in the host" },
                { "https://h\\x", "in the host" }, { "https://h/a\\b", "in the path" }, { "https://h/a b", "blank" }, { " https://h", "blank" },
                { "https://h\n", "control" }, { "https://h/\x7f", "control" }, { "https://h\xc3\xa9", "ASCII" }, { "https://h?x=1", "query" },
                { "https://h/p?x", "query" }, { "https://h/#f", "fragment" }, { "https://h/a//b", "empty part" }, { "https://h/a/./b", "'.'" },
                { "https://h/../b", "'..'" }, { "https://h/a/..", "'..'" }, { "https://h/%2", "hex" }, { "https://h/%zz", "hex" },
                { "https://user@h", "user name" }, { "https://user:hunter2@h/x", "user name" }, { "https://h<", "in the host" },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                char *normal = NULL;
                _cleanup_(err_freep) Err *err = maa_base_url_normalize(cases[i].url, &normal);
                if (err_code(err) != ERR_CONFIG_INVALID || !strstr(err_sentence(err), cases[i].reason))
                        fail_msg("%s: %s", cases[i].url, err ? err_describe(err) : normal);
                assert_null(strstr(err_sentence(err), "hunter2"));
        }
}

static void test_maa_base_url_normalize_too_long_is_refused(void **state) {
        char url[4096] = "https://h/";
        char *normal = NULL;
        memset(url + 10, 'a', sizeof(url) - 11);
        assert_err(maa_base_url_normalize(url, &normal), ERR_CONFIG_INVALID);
        url[2048] = 0;
        assert_ok(maa_base_url_normalize(url, &normal));
        free(normal);
}

static void test_maa_requests_ask_for_the_right_url(void **state) {
        _cleanup_http_request_ HttpRequest certs = {}, openid = {};
        assert_ok(maa_certs_request("https://h/p", &certs));
        assert_string_equal(certs.url, "https://h/p/certs");
        assert_string_equal(certs.method, "GET");
        assert_null(certs.body);
        assert_ok(maa_openid_request("https://h", &openid));
        assert_string_equal(openid.url, "https://h/.well-known/openid-configuration");
}

static void test_maa_certs_parse_recorded_sets_keep_every_key(void **state) {
        _cleanup_glob_ glob_t files = {};
        vectors_need();
        vectors_glob("maa/jwks/*.json", 13, &files);
        for (size_t i = 0; i < files.gl_pathc; i++) {
                _cleanup_bytes_ Bytes text = {};
                _cleanup_(jwk_set_freep) JwkSet *set = NULL;
                assert_ok(file_read(files.gl_pathv[i], VECTOR_SIZE_MAX, &text));
                assert_ok(maa_certs_parse(bytes_span(&text), &set));

                struct json_object *plain = json_tokener_parse((const char *) text.data), *keys = json_object_object_get(plain, "keys");
                assert_int_equal(set->n_keys, json_object_array_length(keys));
                for (size_t k = 0; k < json_object_array_length(keys); k++)
                        assert_non_null(jwk_set_find(set, json_object_get_string(json_object_object_get(json_object_array_get_idx(keys, k), "kid"))));
                json_object_put(plain);
        }
}

static void test_maa_certs_parse_unusable_answers_are_refused(void **state) {
        static const char *const bodies[] = {
                "", "{", "[]", "null", "{}", "{\"keys\":{}}", "{\"keys\":[]}", "{\"keys\":[5]}", "{\"keys\":[],\"keys\":[]}",
                "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"a\"}]}", "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"a\",\"x5c\":[\"AAAA\"]}]}",
                "{\"keys\":[{\"kty\":\"unknown\",\"kid\":\"a\"}]}",
        };
        for (size_t i = 0; i < N_ELEMENTS(bodies); i++) {
                JwkSet *set = NULL;
                assert_err(maa_certs_parse(span_from_string(bodies[i]), &set), ERR_SERVICE_ANSWER_INVALID);
                assert_null(set);
        }
}

static void test_maa_openid_parse_recorded_documents_name_their_instance(void **state) {
        _cleanup_glob_ glob_t files = {};
        vectors_need();
        vectors_glob("maa/openid/*.json", 4, &files);
        for (size_t i = 0; i < files.gl_pathc; i++) {
                _cleanup_bytes_ Bytes text = {};
                _cleanup_openid_metadata_ OpenIdMetadata metadata = {};
                assert_ok(file_read(files.gl_pathv[i], VECTOR_SIZE_MAX, &text));
                assert_ok(maa_openid_parse(bytes_span(&text), &metadata));
                size_t n = strlen(metadata.issuer);
                assert_memory_equal(metadata.issuer, "https://", 8);
                assert_non_null(strstr(metadata.issuer, ".wus.attest.azure.net"));
                assert_memory_equal(metadata.jwks_uri, metadata.issuer, n);
                assert_string_equal(metadata.jwks_uri + n, "/certs");
                assert_true(json_is_array(json_get(metadata.json, "claims_supported")));
        }
}

static void test_maa_openid_parse_unusable_answers_are_refused(void **state) {
        static const char *const bodies[] = {
                "", "[]", "{}", "{\"issuer\":\"https://h\"}", "{\"jwks_uri\":\"https://h/certs\"}", "{\"issuer\":5,\"jwks_uri\":\"x\"}",
                "{\"issuer\":\"https://h\",\"jwks_uri\":null}", "{\"issuer\":\"a\\u0000b\",\"jwks_uri\":\"x\"}",
                "{\"issuer\":\"https://h\",\"issuer\":\"https://i\",\"jwks_uri\":\"x\"}", "{\"issuer\":\"https://h\",\"jwks_uri\":\"x\"} x",
        };
        for (size_t i = 0; i < N_ELEMENTS(bodies); i++) {
                OpenIdMetadata metadata = {};
                assert_err(maa_openid_parse(span_from_string(bodies[i]), &metadata), ERR_SERVICE_ANSWER_INVALID);
                assert_null(metadata.json);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_maa_base_url_normalize_good_urls),
                cmocka_unit_test(test_maa_base_url_normalize_bad_urls_are_refused_with_the_reason),
                cmocka_unit_test(test_maa_base_url_normalize_too_long_is_refused),
                cmocka_unit_test(test_maa_requests_ask_for_the_right_url),
                cmocka_unit_test(test_maa_certs_parse_recorded_sets_keep_every_key),
                cmocka_unit_test(test_maa_certs_parse_unusable_answers_are_refused),
                cmocka_unit_test(test_maa_openid_parse_recorded_documents_name_their_instance),
                cmocka_unit_test(test_maa_openid_parse_unusable_answers_are_refused),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
