/* Files, their order and masks; complaints with file and line. */
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config.h"
#include "tests/support/unit.h"

static char root[] = "/tmp/test-config-XXXXXX";

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
        return remove(path);
}

static int set_up(void **state) {
        snprintf(root, sizeof(root), "/tmp/test-config-XXXXXX");
        return mkdtemp(root) ? 0 : -1;
}

static int tear_down(void **state) {
        return nftw(root, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* root + path, in one of a few static buffers. */
static const char *in_root(const char *path) {
        static char buffers[4][512];
        static unsigned next;
        char *buffer = buffers[next++ % 4];
        snprintf(buffer, sizeof(buffers[0]), "%s%s", root, path);
        return buffer;
}

static void make_folders(const char *path) {
        char partial[512];
        for (const char *slash = strchr(path + strlen(root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                snprintf(partial, sizeof(partial), "%.*s", (int) (slash - path), path);
                (void) mkdir(partial, 0700);
        }
}

static void put_bytes(const char *path, Span text) {
        const char *full = in_root(path);
        make_folders(full);
        assert_ok(file_write_atomic(full, text, 0600));
}

static void put(const char *path, const char *text) {
        put_bytes(path, span_from_string(text));
}

static void test_config_load_without_files_gives_defaults(void **state) {
        _cleanup_(config_freep) Config *config = NULL;
        ConfigWarnings warnings = {};
        assert_ok(config_load(NULL, root, &config, &warnings));
        assert_int_equal(warnings.n_lines, 0);
        assert_int_equal(config->log_level, 6);
        assert_true(config->http_socket);
        assert_string_equal(config->token_access[0], "root");
        assert_string_equal(config->token_access[1], "@attestd");
        assert_null(config->token_access[2]);
        assert_string_equal(config->tcti, "device:/dev/tpmrm0");
        assert_string_equal(config->aik_handle, "auto");
        assert_int_equal(config->aik_algorithm, AIK_ALGORITHM_RSA2048);
        assert_string_equal(config->aik_certificate, "auto");
        assert_string_equal(config->pcr_bank, "auto");
        assert_int_equal(config->pcr_mask, 0xffffff);
        assert_int_equal(config->request_key, REQUEST_KEY_EPHEMERAL);
        assert_string_equal(config->boot_log, "/sys/kernel/security/tpm0/binary_bios_measurements");
        assert_int_equal(config->boot_log_policy, LOG_POLICY_OPTIONAL);
        assert_string_equal(config->ima_log, "/sys/kernel/security/ima/binary_runtime_measurements");
        assert_string_equal(config->vbs_report, "none");
        assert_null(config->url);
        assert_null(config->issuer);
        assert_string_equal(config->api_version, "2020-10-01");
        assert_int_equal(config->connect_timeout_usec, 10 * USEC_PER_SEC);
        assert_int_equal(config->timeout_usec, 60 * USEC_PER_SEC);
        assert_int_equal(config->credential_type, CREDENTIAL_NONE);
        assert_int_equal(config->nonce.size, 0);
        assert_string_equal(config->algorithms, "RS256");
        assert_int_equal(config->clock_skew_sec, 120);
        assert_true(config->on_start);
        assert_int_equal(config->renew_min_percent, 50);
        assert_int_equal(config->renew_max_percent, 75);
        assert_int_equal(config->retry_min_usec, 2 * USEC_PER_SEC);
        assert_int_equal(config->retry_max_usec, 900 * USEC_PER_SEC);
        assert_int_equal(config->splay_usec, 0);
}

static void test_config_load_later_files_win_key_by_key(void **state) {
        _cleanup_(config_freep) Config *config = NULL;
        put("/usr/lib/attestd/attestd.conf", "[TPM]\nPcrs=0\nPcrBank=sha1\n[Instance]\nUrl=https://a\nTimeoutSec=1\n[RelyingParty]\nId=usr\n");
        put("/etc/attestd/attestd.conf", "[TPM]\nPcrBank=sha256\n[Instance]\nTimeoutSec=2\n[RelyingParty]\nId=etc\n");
        put("/usr/lib/attestd/attestd.conf.d/10.conf", "[Instance]\nTimeoutSec=3\n[RelyingParty]\nId=masked\n");
        put("/etc/attestd/attestd.conf.d/10.conf", "[Instance]\nTimeoutSec=4\n");
        put("/usr/lib/attestd/attestd.conf.d/30.conf", "[Instance]\nConnectTimeoutSec=30\n");
        put("/run/attestd/attestd.conf.d/20.conf", "[Instance]\nConnectTimeoutSec=20\nTimeoutSec=5\n");
        put("/etc/attestd/attestd.conf.d/ignored.txt", "[Instance]\nUrl=https://ignored\n");
        put("/etc/attestd/attestd.conf.d/.99.conf", "[Instance]\nUrl=https://ignored\n");
        assert_ok(config_load(NULL, root, &config, NULL));
        assert_int_equal(config->pcr_mask, 1);
        assert_string_equal(config->pcr_bank, "sha256");
        assert_string_equal(config->url, "https://a");
        assert_string_equal(config->issuer, "https://a");
        assert_string_equal(config->rp_id, "etc");
        assert_int_equal(config->timeout_usec, 5 * USEC_PER_SEC);
        assert_int_equal(config->connect_timeout_usec, 30 * USEC_PER_SEC);
}

static void test_config_load_link_to_null_masks_a_drop_in(void **state) {
        _cleanup_(config_freep) Config *config = NULL;
        put("/usr/lib/attestd/attestd.conf.d/10.conf", "[RelyingParty]\nId=vendor\n");
        put("/etc/attestd/attestd.conf.d/x", "");
        assert_int_equal(symlink("/dev/null", in_root("/etc/attestd/attestd.conf.d/10.conf")), 0);
        assert_ok(config_load(NULL, root, &config, NULL));
        assert_null(config->rp_id);
}

static void test_config_load_explicit_file_stands_alone_with_its_drop_ins(void **state) {
        _cleanup_(config_freep) Config *config = NULL, *absent = NULL;
        put("/etc/attestd/attestd.conf", "[RelyingParty]\nId=standard\n[TPM]\nPcrBank=sha1\n");
        put("/my.conf", "[RelyingParty]\nId=mine\n");
        put("/my.conf.d/b.conf", "[RelyingParty]\nId=b\n");
        put("/my.conf.d/a.conf", "[RelyingParty]\nId=a\n");
        assert_ok(config_load(in_root("/my.conf"), root, &config, NULL));
        assert_string_equal(config->rp_id, "b");
        assert_string_equal(config->pcr_bank, "auto");
        assert_err(config_load(in_root("/none.conf"), root, &absent, NULL), ERR_CONFIG_MISSING);
}

static void test_config_load_keeps_values_whole(void **state) {
        _cleanup_(config_freep) Config *config = NULL;
        put("/my.conf", "\xef\xbb\xbf; comment\r\n  # comment\n[ RelyingParty ]\n  Id  =  a#b;c = \"d\"  \r\n[Evidence]\nCustomClaims = a=b \\\n# between\n  c=\"d e\" \\\n\n"
                        "[TPM]\nPcrs=1\nPcrs=2\nPcrBank=sha1\nPcrBank=\n[RelyingParty]\n");
        ConfigWarnings warnings = {};
        assert_ok(config_load(in_root("/my.conf"), NULL, &config, &warnings));
        assert_int_equal(warnings.n_lines, 0);
        assert_string_equal(config->rp_id, "a#b;c = \"d\"");
        assert_int_equal(config->n_custom_claims, 2);
        assert_string_equal(config->custom_claims[1].value, "d e");
        assert_int_equal(config->pcr_mask, 4);
        assert_string_equal(config->pcr_bank, "auto");
}

static void test_config_load_warns_with_file_and_line(void **state) {
        static const struct {
                const char *text, *warning;
        } cases[] = {
                { "[TPM]\nPcr=1\n", ":2: unknown key \"Pcr\" in section [TPM] (did you mean \"Pcrs\"?)" },
                { "\n[Instance]\nurl=x\n", ":3: unknown key \"url\" in section [Instance] (did you mean \"Url\"?)" },
                { "[TPM]\n\nTimeoutSec=1\n", ":3: unknown key \"TimeoutSec\" in section [TPM] (it belongs into [Instance])" },
                { "[TPM]\nCompletelyElse=1\n", ":2: unknown key \"CompletelyElse\" in section [TPM]" },
                { "[Instances]\nUrl=x\n", ":1: unknown section [Instances] (did you mean [Instance]?)" },
                { "# c\n[Nothing]\n", ":2: unknown section [Nothing]" },
                { "Url=x\n", ":1: key \"Url\" stands above the first section and has no effect" },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_(config_freep) Config *config = NULL;
                ConfigWarnings warnings = {};
                char expected[1024];
                put("/my.conf", cases[i].text);
                assert_ok(config_load(in_root("/my.conf"), NULL, &config, &warnings));
                assert_int_equal(warnings.n_lines, 1);
                snprintf(expected, sizeof(expected), "%s%s", in_root("/my.conf"), cases[i].warning);
                assert_string_equal(warnings.lines[0], expected);
                assert_null(warnings.lines[1]);
                config_warnings_done(&warnings);
        }
}

static void test_config_load_refuses_with_file_and_line(void **state) {
        static const struct {
                const char *text, *message;
        } cases[] = {
                { "[TPM]\nPcrs\n", ":2: \"Pcrs\" is neither Key=value, [Section] nor a comment" },
                { "[TPM\n", ":1: the section's name lacks its ]" },
                { "[]\n", ":1: a section's name is needed between [ and ]" },
                { "[TPM] x\n", ":1: nothing may follow ] of a section" },
                { "[TPM]\n =x\n", ":2: a key is needed before =" },
                { "[TPM]\nPcrs=24\n", ":2: [TPM] Pcrs=24: numbers 0 to 23 and ranges such as 0-7, between commas, are allowed" },
                { "[Agent]\nLogLevel=loud\n",
                  ":2: [Agent] LogLevel=loud: emerg, alert, crit, err, warning, notice, info or debug is needed" },
                { "[Agent]\nHttpSocket=maybe\n", ":2: [Agent] HttpSocket=maybe: yes or no is needed" },
                { "[Evidence]\n\nImaLogPolicy=always\n", ":3: [Evidence] ImaLogPolicy=always: optional, required or off is needed" },
                { "[Instance]\nUrl=http://x\n",
                  ":2: [Instance] Url=http://x: https://host[:port][/path] is needed, without user, query or fragment" },
                { "[Instance]\nTimeoutSec=0\n", ":2: [Instance] TimeoutSec=0: a time of 1 s to 3600 s is needed" },
                { "[Instance]\nTimeoutSec=\\\n soon\n", ":2: [Instance] TimeoutSec=soon: a time such as 10, 10s, 2min 30s or 500ms is needed" },
                { "[Token]\nAlgorithms=none\n",
                  ":2: [Token] Algorithms=none: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 and ES512 are allowed, with commas between them" },
                { "[RelyingParty]\nNonce=?\n", ":2: [RelyingParty] Nonce=…: 1 to 1024 bytes in hex or base64url are needed" },
                { "[Instance]\nProxy=user:pw@host\n", ":2: [Instance] Proxy=…: http://host:port or https://host:port is needed" },
                { "[Schedule]\nRetryMinSec=20min\n", ":2: [Schedule] RetryMinSec=20min: RetryMinSec= may not exceed RetryMaxSec=" },
                { "[TPM]\nRequestKey=file\n", ":2: [TPM] RequestKey=file: ephemeral or tpm is needed" },
                { "[TPM]\nOtherKeys=0x01C101D0\n", ":2: [TPM] OtherKeys=0x01C101D0: at most two persistent handles 0x81000000 to 0x81ffffff, with :plain behind "
                                                   "those that are not to be certified, is needed" },
                { "[Evidence]\nVbsReport=nv:1\n", ":2: [Evidence] VbsReport=nv:1: none, nv:0x01XXXXXX, command:/PATH or file:/PATH is needed" },
                { "[Credential]\nType=client-secret\nTenantId=x\n", ":2: [Credential] Type=client-secret: ClientId= is needed too" },
                { "[TPM]\nPcrs=1\n\xff\n", ":3: bytes that are not UTF-8" },
                { "[TPM]\nPcrs=\x01\n", ":2: control character 0x01" },
                { "[TPM]\rPcrs=1\n", ":1: control character 0x0d" },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                Config *config = NULL;
                char expected[1024];
                put("/my.conf", cases[i].text);
                _cleanup_(err_freep) Err *err = config_load(in_root("/my.conf"), NULL, &config, NULL);
                assert_null(config);
                assert_int_equal(err_code(err), ERR_CONFIG_INVALID);
                snprintf(expected, sizeof(expected), "%s%s", in_root("/my.conf"), cases[i].message);
                assert_string_equal(err_describe(err), expected);
        }
}

static void test_config_load_refuses_nul_and_huge_files(void **state) {
        Config *config = NULL;
        put_bytes("/my.conf", span_make("[TPM]\nPcrs=1\0002\n", 15));
        _cleanup_(err_freep) Err *err = config_load(in_root("/my.conf"), NULL, &config, NULL);
        assert_int_equal(err_code(err), ERR_CONFIG_INVALID);
        assert_non_null(strstr(err_describe(err), "/my.conf:2: control character 0x00"));
        _cleanup_bytes_ Bytes huge = {};
        assert_ok(bytes_alloc((1u << 20) + 1, &huge));
        memset(huge.data, '\n', huge.size);
        put_bytes("/my.conf", bytes_span(&huge));
        assert_err(config_load(in_root("/my.conf"), NULL, &config, NULL), ERR_CONFIG_INVALID);
        put_bytes("/my.conf", span_make(huge.data, huge.size - 1));
        assert_ok(config_load(in_root("/my.conf"), NULL, &config, NULL));
        config_free(config);
}

static void test_config_load_profiles_without_any_gives_default(void **state) {
        ConfigProfile *profiles = NULL;
        size_t n = 0;
        put("/etc/attestd/attestd.conf", "[Instance]\nUrl=https://a\n");
        assert_ok(config_load_profiles(NULL, root, &profiles, &n, NULL));
        assert_int_equal(n, 1);
        assert_string_equal(profiles[0].name, "default");
        assert_string_equal(profiles[0].config->url, "https://a");
        config_profiles_free(profiles, n);
}

static void test_config_load_profiles_merges_each_over_the_main_files(void **state) {
        ConfigProfile *profiles = NULL;
        size_t n = 0;
        ConfigWarnings warnings = {};
        put("/etc/attestd/attestd.conf", "[Instance]\nUrl=https://a\nTimeoutSec=7\n[Typo]\n");
        put("/etc/attestd/profile.d/west.conf", "[Instance]\nUrl=https://west\n[TPM]\nPcrs=1\n");
        put("/etc/attestd/profile.d/east.conf", "[Evidence]\nCustomClaims=x=y\n");
        put("/usr/lib/attestd/profile.d/vendor.conf", "[Instance]\nUrl=https://vendor\n");
        put("/etc/attestd/profile.d/vendor.conf", "");
        assert_ok(config_load_profiles(NULL, root, &profiles, &n, &warnings));
        assert_int_equal(n, 2);
        assert_string_equal(profiles[0].name, "east");
        assert_string_equal(profiles[0].config->url, "https://a");
        assert_int_equal(profiles[0].config->n_custom_claims, 1);
        assert_string_equal(profiles[1].name, "west");
        assert_string_equal(profiles[1].config->url, "https://west");
        assert_string_equal(profiles[1].config->issuer, "https://west");
        assert_int_equal(profiles[1].config->timeout_usec, 7 * USEC_PER_SEC);
        assert_int_equal(profiles[1].config->pcr_mask, 0xffffff);
        assert_int_equal(warnings.n_lines, 2);
        assert_non_null(strstr(warnings.lines[0], "attestd.conf:4: unknown section [Typo]"));
        assert_non_null(strstr(warnings.lines[1], "west.conf:4: key \"Pcrs\" of section [TPM] belongs into attestd.conf"));
        config_warnings_done(&warnings);
        config_profiles_free(profiles, n);
}

static void test_config_load_profiles_of_an_explicit_file_lie_beside_it(void **state) {
        ConfigProfile *profiles = NULL;
        size_t n = 0;
        put("/dir/my.conf", "[RelyingParty]\nId=mine\n");
        put("/dir/profile.d/one.conf", "[Instance]\nUrl=https://one\n");
        assert_ok(config_load_profiles(in_root("/dir/my.conf"), NULL, &profiles, &n, NULL));
        assert_int_equal(n, 1);
        assert_string_equal(profiles[0].name, "one");
        assert_string_equal(profiles[0].config->rp_id, "mine");
        config_profiles_free(profiles, n);
        put("/dir/profile.d/two words.conf", "[Instance]\nUrl=https://two\n");
        assert_err(config_load_profiles(in_root("/dir/my.conf"), NULL, &profiles, &n, NULL), ERR_CONFIG_INVALID);
}

static void test_config_load_takes_every_key_once(void **state) {
        _cleanup_(config_freep) Config *config = NULL;
        ConfigWarnings warnings = {};
        char path[512];
        snprintf(path, sizeof(path), "%s/tests/data/config/full.conf", getenv("ATTESTD_SOURCE"));
        assert_ok(config_load(path, NULL, &config, &warnings));
        assert_int_equal(warnings.n_lines, 0);
        assert_string_equal(config->url, "https://shared.weu.attest.azure.net");
        assert_string_equal(config->issuer, config->url);
        assert_int_equal(config->n_custom_claims, 3);
        assert_string_equal(config->custom_claims[2].value, "it\\");
        assert_string_equal(config->algorithms, "RS256,PS256,ES384");
        assert_int_equal(config->connect_timeout_usec, 2500 * USEC_PER_MSEC);
        assert_int_equal(config->credential_type, CREDENTIAL_CLIENT_SECRET);
        assert_int_equal(config->log_level, 7);
        assert_int_equal(config->request_key, REQUEST_KEY_TPM);
        assert_string_equal(config->other_keys, "0x81000010 0x81000011:plain");
}

static void test_config_directories_come_from_the_environment(void **state) {
        setenv("RUNTIME_DIRECTORY", "/run/a:/run/b", 1);
        unsetenv("STATE_DIRECTORY");
        assert_string_equal(config_runtime_directory(), "/run/a");
        assert_string_equal(config_state_directory(), "/var/lib/attestd");
        unsetenv("RUNTIME_DIRECTORY");
        setenv("STATE_DIRECTORY", "/state", 1);
        assert_string_equal(config_runtime_directory(), "/run/attestd");
        assert_string_equal(config_state_directory(), "/state");
}

int main(void) {
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(test_config_load_without_files_gives_defaults),
                TEST(test_config_load_later_files_win_key_by_key),
                TEST(test_config_load_link_to_null_masks_a_drop_in),
                TEST(test_config_load_explicit_file_stands_alone_with_its_drop_ins),
                TEST(test_config_load_keeps_values_whole),
                TEST(test_config_load_warns_with_file_and_line),
                TEST(test_config_load_refuses_with_file_and_line),
                TEST(test_config_load_refuses_nul_and_huge_files),
                TEST(test_config_load_profiles_without_any_gives_default),
                TEST(test_config_load_profiles_merges_each_over_the_main_files),
                TEST(test_config_load_profiles_of_an_explicit_file_lie_beside_it),
                cmocka_unit_test(test_config_load_takes_every_key_once),
                cmocka_unit_test(test_config_directories_come_from_the_environment),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
