/* The kinds of values: what each takes and what it refuses. */
#include "config/values.h"
#include "tests/support/unit.h"

static void test_value_parse_boolean_takes_systemds_words(void **state) {
        static const struct {
                const char *text;
                bool value;
        } cases[] = { { "yes", true }, { "On", true }, { "1", true }, { "TRUE", true }, { "no", false }, { "off", false }, { "0", false }, { "f", false } };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                bool value = !cases[i].value;
                assert_ok(value_parse_boolean(cases[i].text, &value));
                assert_int_equal(value, cases[i].value);
        }
        bool value;
        static const char *const wrong[] = { "", "2", "maybe", "yes ", "enabled" };
        for (size_t i = 0; i < N_ELEMENTS(wrong); i++)
                assert_err(value_parse_boolean(wrong[i], &value), ERR_INVALID_ARGUMENT);
}

static void test_value_parse_duration_sums_units(void **state) {
        static const struct {
                const char *text;
                uint64_t usec;
        } cases[] = {
                { "10", 10000000 }, { "10s", 10000000 }, { "2min", 120000000 }, { "500ms", 500000 }, { "2min 30s", 150000000 }, { "1h30m", UINT64_C(5400000000) },
                { " 7 us ", 7 }, { "0", 0 }, { "1 day", UINT64_C(86400000000) },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                uint64_t usec = 1;
                assert_ok(value_parse_duration(cases[i].text, &usec));
                assert_true(usec == cases[i].usec);
        }
        uint64_t usec;
        static const char *const wrong[] = { "", "s", "-1", "1.5", "10 parsecs", "10,", "18446744073709551616", "18446744073709551615s", "1 2 x" };
        for (size_t i = 0; i < N_ELEMENTS(wrong); i++)
                assert_err(value_parse_duration(wrong[i], &usec), ERR_INVALID_ARGUMENT);
}

static void test_value_parse_percent_range_bounds_it(void **state) {
        unsigned min = 0, max = 0;
        assert_ok(value_parse_percent_range("50-75%", &min, &max));
        assert_int_equal(min, 50);
        assert_int_equal(max, 75);
        assert_ok(value_parse_percent_range("60%", &min, &max));
        assert_int_equal(min, 60);
        assert_int_equal(max, 60);
        static const char *const wrong[] = { "", "50", "75-50%", "0-50%", "50-100%", "50%-75%", "50 - 75%", "50-75%%", "4294967346%" };
        for (size_t i = 0; i < N_ELEMENTS(wrong); i++)
                assert_err(value_parse_percent_range(wrong[i], &min, &max), ERR_INVALID_ARGUMENT);
}

static void test_value_parse_pcrs_gives_a_mask(void **state) {
        static const struct {
                const char *text;
                uint32_t mask;
        } cases[] = { { "0-23", 0xffffff }, { "0-7,10,14", 0x44ff }, { "23", 0x800000 }, { " 1 , 2-3 ", 0xe }, { "5,5", 0x20 } };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                uint32_t mask = 0;
                assert_ok(value_parse_pcrs(cases[i].text, &mask));
                assert_int_equal(mask, cases[i].mask);
        }
        uint32_t mask;
        static const char *const wrong[] = { "", "24", "7-0", "0-", "0,,1", "0,", "a", "0-24", "-1", "99999999999999999999", "1;2" };
        for (size_t i = 0; i < N_ELEMENTS(wrong); i++)
                assert_err(value_parse_pcrs(wrong[i], &mask), ERR_INVALID_ARGUMENT);
}

static void test_value_parse_pairs_honours_quotes(void **state) {
        ConfigPair *pairs = NULL;
        size_t n = 0;
        assert_ok(value_parse_pairs("a=b  \"c d=e f\" g='h \\i' j= k=\"x=\\\"y\\\"\" l=m\\ n", &pairs, &n));
        static const char *const expected[][2] = { { "a", "b" }, { "c d", "e f" }, { "g", "h \\i" }, { "j", "" }, { "k", "x=\"y\"" }, { "l", "m n" } };
        assert_int_equal(n, N_ELEMENTS(expected));
        for (size_t i = 0; i < n; i++) {
                assert_string_equal(pairs[i].name, expected[i][0]);
                assert_string_equal(pairs[i].value, expected[i][1]);
        }
        pairs_free(pairs, n);
        static const char *const wrong[] = { "a", "=b", "a=b c", "a=\"b", "a='b", "a=b a=c", "a=b\\" };
        for (size_t i = 0; i < N_ELEMENTS(wrong); i++)
                assert_err(value_parse_pairs(wrong[i], &pairs, &n), ERR_INVALID_ARGUMENT);
}

static void test_value_parse_access_takes_users_and_groups(void **state) {
        char **names = NULL;
        assert_ok(value_parse_access("root, @attestd  web-1 @a.b", &names));
        static const char *const expected[] = { "root", "@attestd", "web-1", "@a.b" };
        for (size_t i = 0; i < N_ELEMENTS(expected); i++)
                assert_string_equal(names[i], expected[i]);
        assert_null(names[N_ELEMENTS(expected)]);
        words_free(names);
        static const char *const wrong[] = { "@", "-x", "root;x", "a:b", "@@x" };
        for (size_t i = 0; i < N_ELEMENTS(wrong); i++)
                assert_err(value_parse_access(wrong[i], &names), ERR_INVALID_ARGUMENT);
}

static void test_value_parse_credential_file_takes_paths_and_names_of_credentials(void **state) {
        static const struct { const char *directory, *text, *expected; } cases[] = {
                { NULL, "/etc/attestd/secret", "/etc/attestd/secret" },
                { "/run/credentials/x", "/etc/attestd/secret", "/etc/attestd/secret" },
                { "/run/credentials/x", "secret", "/run/credentials/x/secret" },
                { NULL, "secret", "/run/credentials/attestd.service/secret" },
                { "", "secret", "/run/credentials/attestd.service/secret" },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_free_ char *path = NULL;
                if (cases[i].directory)
                        setenv("CREDENTIALS_DIRECTORY", cases[i].directory, 1);
                else
                        unsetenv("CREDENTIALS_DIRECTORY");
                assert_ok(value_parse_credential_file(cases[i].text, &path));
                assert_string_equal(path, cases[i].expected);
        }
        unsetenv("CREDENTIALS_DIRECTORY");
        static const char *const wrong[] = { "a/b", "../a", ".", "..", "a b" };
        for (size_t i = 0; i < N_ELEMENTS(wrong); i++) {
                char *path = NULL;
                assert_err(value_parse_credential_file(wrong[i], &path), ERR_INVALID_ARGUMENT);
        }
}

static void test_value_parse_https_url_normalises(void **state) {
        static const struct {
                const char *text, *url;
        } cases[] = {
                { "https://host", "https://host" },
                { "HTTPS://Shared.WEU.attest.azure.net/", "https://shared.weu.attest.azure.net" },
                { "https://host:443/", "https://host" },
                { "https://127.0.0.1:8443", "https://127.0.0.1:8443" },
                { "https://[::1]:8443/Base/", "https://[::1]:8443/Base" },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_free_ char *url = NULL;
                assert_ok(value_parse_https_url(cases[i].text, &url));
                assert_string_equal(url, cases[i].url);
        }
        char *url;
        static const char *const wrong[] = {
                "", "host", "http://host", "https://", "https:///x", "https://user@host", "https://host:0", "https://host:65536", "https://host:x",
                "https://host?x", "https://host/#x", "https://host/a b", "https://[::1", "https://-host", "https://host:", "ftp://host",
        };
        for (size_t i = 0; i < N_ELEMENTS(wrong); i++)
                assert_err(value_parse_https_url(wrong[i], &url), ERR_INVALID_ARGUMENT);
}

static void test_value_parse_nonce_takes_hex_and_base64url(void **state) {
        _cleanup_bytes_ Bytes hex = {}, base64url = {};
        assert_ok(value_parse_nonce("00FF10", &hex));
        assert_int_equal(hex.size, 3);
        assert_memory_equal(hex.data, "\x00\xff\x10", 3);
        assert_ok(value_parse_nonce("-_8", &base64url));
        assert_int_equal(base64url.size, 2);
        assert_memory_equal(base64url.data, "\xfb\xff", 2);
        Bytes nonce;
        static const char *const wrong[] = { "", "a", "a+b/", "AAA=", "white space" };
        for (size_t i = 0; i < N_ELEMENTS(wrong); i++)
                assert_err(value_parse_nonce(wrong[i], &nonce), ERR_INVALID_ARGUMENT);
}

static void test_value_parse_algorithms_refuses_none_and_symmetric(void **state) {
        _cleanup_free_ char *names = NULL;
        assert_ok(value_parse_algorithms("RS256, PS256 ES384", &names));
        assert_string_equal(names, "RS256,PS256,ES384");
        char *ret;
        static const char *const wrong[] = { "", ",", "none", "HS256", "rs256", "RS256,HS256", "RS256;PS256", "EdDSA" };
        for (size_t i = 0; i < N_ELEMENTS(wrong); i++)
                assert_err(value_parse_algorithms(wrong[i], &ret), ERR_INVALID_ARGUMENT);
}

static void test_value_checks_take_and_refuse(void **state) {
        static const struct {
                Err *(*check)(const char *);
                const char *text;
                bool ok;
        } cases[] = {
                { value_check_path, "/etc/x", true }, { value_check_path, "etc/x", false }, { value_check_path, "/", false },
                { value_check_path, "/etc/", false },
                { value_check_tcti, "swtpm:host=127.0.0.1,port=2321", true }, { value_check_tcti, "tabrmd", true }, { value_check_tcti, ":x", false },
                { value_check_tcti, "de vice:x", false },
                { value_check_aik_handle, "auto", true }, { value_check_aik_handle, "0x81000003", true }, { value_check_aik_handle, "0x80000000", false },
                { value_check_aik_handle, "81000003", false }, { value_check_aik_handle, "0x8100003", false },
                { value_check_aik_handle, "own", true }, { value_check_aik_handle, "file:/a/b", true }, { value_check_aik_handle, "file:a", false },
                { value_check_aik_handle, "file:/", false },
                { value_check_other_keys, "", true }, { value_check_other_keys, "0x81000010", true }, { value_check_other_keys, "0x81000010:plain", true },
                { value_check_other_keys, " 0x81000010\t0x81ABCDEF:plain ", true }, { value_check_other_keys, "0x81000010 0x81000011 0x81000012", false },
                { value_check_other_keys, "0x80000010", false }, { value_check_other_keys, "0x81000010:certified", false },
                { value_check_other_keys, "0x81000010:", false }, { value_check_other_keys, "0x8100001g", false }, { value_check_other_keys, ":plain", false },
                { value_check_aik_certificate, "nv:0x01C101D0", true }, { value_check_aik_certificate, "none", true },
                { value_check_aik_certificate, "/a.pem", true }, { value_check_aik_certificate, "a.pem", false },
                { value_check_aik_certificate, "nv:0x81000003", false },
                { value_check_pcr_bank, "sha384", true }, { value_check_pcr_bank, "md5", false },
                { value_check_pcr_bank, "auto", true }, { value_check_pcr_bank, "sha256 sha384", true }, { value_check_pcr_bank, "sha1\tsha512", true },
                { value_check_pcr_bank, "sha256 auto", false }, { value_check_pcr_bank, "sha256 sha256", false }, { value_check_pcr_bank, " ", false },
                { value_check_pcr_bank, "sha256,sha384", false },
                { value_check_vbs_report, "command:/bin/x -y", true }, { value_check_vbs_report, "command:x", false }, { value_check_vbs_report, "x", false },
                { value_check_api_version, "2020-10-01", true }, { value_check_api_version, "2022-09-01-preview", true },
                { value_check_api_version, "2020-1-1", false }, { value_check_api_version, "2020-10-01x", false },
                { value_check_proxy, "http://proxy:3128", true }, { value_check_proxy, "proxy:3128", false }, { value_check_proxy, "http://", false },
                { value_check_http_url, "http://169.254.169.254/x", true }, { value_check_http_url, "file:///x", false },
                { value_check_policy_hash, "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU", true }, { value_check_policy_hash, "47DEQpj8", false },
                { value_check_word, "x", true }, { value_check_word, "x y", false },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_(err_freep) Err *err = cases[i].check(cases[i].text);
                if (!err != cases[i].ok)
                        fail_msg("case %zu \"%s\": %s", i, cases[i].text, err ? err_describe(err) : "taken");
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_value_parse_boolean_takes_systemds_words),
                cmocka_unit_test(test_value_parse_duration_sums_units),
                cmocka_unit_test(test_value_parse_percent_range_bounds_it),
                cmocka_unit_test(test_value_parse_pcrs_gives_a_mask),
                cmocka_unit_test(test_value_parse_pairs_honours_quotes),
                cmocka_unit_test(test_value_parse_access_takes_users_and_groups),
                cmocka_unit_test(test_value_parse_credential_file_takes_paths_and_names_of_credentials),
                cmocka_unit_test(test_value_parse_https_url_normalises),
                cmocka_unit_test(test_value_parse_nonce_takes_hex_and_base64url),
                cmocka_unit_test(test_value_parse_algorithms_refuses_none_and_symmetric),
                cmocka_unit_test(test_value_checks_take_and_refuse),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
