/* Credentials as conversations: each request as the service's SDKs make it, and each answer's consequence. */
#include "tests/support/unit.h"

#include <sys/stat.h>
#include <unistd.h>

#include "client/operation.h"
#include "jose/jws.h"

#define NOW 1700000000u
#define TENANT "72f988bf-0000-4000-8000-000000000001"
#define CLIENT "c1000000-0000-4000-8000-000000000001"
#define GOOD "{\"token_type\":\"Bearer\",\"expires_in\":3599,\"access_token\":\"tok\"}"

static char folder[] = "/tmp/attest-credential-XXXXXX";

static int make_folder(void **state) {
        return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
        static const char *const names[] = { "secret", "federated", "token", "arc.key", "other", "rsa.pem", "rsa.key" };
        for (size_t i = 0; i < N_ELEMENTS(names); i++) {
                _cleanup_free_ char *path = NULL;
                assert_ok(string_format(&path, "%s/%s", folder, names[i]));
                (void) unlink(path);
        }
        return rmdir(folder);
}

static const char *put(const char *name, const char *content) {
        static char path[256];
        snprintf(path, sizeof(path), "%s/%s", folder, name);
        assert_ok(file_write_atomic(path, span_from_string(content), 0600));
        return path;
}

static Credential *make(const CredentialOptions *options) {
        Credential *credential = NULL;
        assert_ok(credential_new(options, &credential));
        return credential;
}

static Operation *start(Credential *credential) {
        Operation *operation = NULL;
        assert_ok(operation_new_token(credential, NOW, &operation));
        return operation;
}

static char *body_of(const Operation *operation) {
        _cleanup_bytes_ Bytes body = {};
        char *text;
        const HttpRequest *request = operation_request(operation);
        assert_non_null(request->body);
        assert_ok(source_read_all(request->body, 65536, &body));
        assert_ok(string_copy_span(bytes_span(&body), &text));
        return text;
}

static const char *header_of(const HttpRequest *request, const char *name) {
        for (size_t i = 0; i < request->n_headers; i++)
                if (string_equal(request->headers[i].name, name))
                        return request->headers[i].value;
        return NULL;
}

static void answer(Operation *operation, long status, const char *body, const char *retry_after, const char *authenticate) {
        _cleanup_http_response_ HttpResponse response = { .status = status };
        assert_int_equal(operation_next(operation), OPERATION_SEND);
        assert_ok(bytes_copy(span_from_string(body), &response.body));
        if (retry_after)
                assert_ok(string_copy(retry_after, &response.retry_after));
        if (authenticate)
                assert_ok(string_copy(authenticate, &response.authenticate));
        operation_take_response(operation, &response, NOW);
}

static CredentialOptions secret_options(void) {
        return (CredentialOptions) {
                .kind = CREDENTIAL_KIND_CLIENT_SECRET, .tenant_id = TENANT, .client_id = CLIENT, .secret_file = put("secret", "a b&c=\xc3\xa4+/%\r\n"),
        };
}

static void test_client_secret_request_is_that_of_the_sdk(void **state) {
        CredentialOptions options = secret_options();
        _cleanup_(credential_freep) Credential *credential = make(&options);
        _cleanup_(operation_freep) Operation *operation = start(credential);
        _cleanup_free_ char *body = body_of(operation);
        const HttpRequest *request = operation_request(operation);
        assert_string_equal(request->method, "POST");
        assert_string_equal(request->url, "https://login.microsoftonline.com/" TENANT "/oauth2/v2.0/token");
        assert_false(request->is_metadata);
        assert_string_equal(header_of(request, "Content-Type"), "application/x-www-form-urlencoded");
        /* the secret as Python's urllib.parse.quote(…, safe="") writes it, without the file's line end */
        assert_string_equal(body, "grant_type=client_credentials&client_id=" CLIENT "&client_secret=a%20b%26c%3D%C3%A4%2B%2F%25"
                                  "&scope=https%3A%2F%2Fattest.azure.net%2F.default");
        answer(operation, 200, GOOD, NULL, NULL);
        assert_int_equal(operation_next(operation), OPERATION_DONE);
        assert_string_equal(credential_authorization(credential), "Bearer tok");
}

static void test_authority_of_another_cloud_and_of_adfs(void **state) {
        CredentialOptions options = secret_options();
        options.authority = "https://login.example/";
        options.tenant_id = "adfs";
        _cleanup_(credential_freep) Credential *credential = make(&options);
        _cleanup_(operation_freep) Operation *operation = start(credential);
        _cleanup_free_ char *body = body_of(operation);
        assert_string_equal(operation_request(operation)->url, "https://login.example/adfs/oauth2/token");
        assert_non_null(strstr(body, "&scope=https%3A%2F%2Fattest.azure.net"));
        assert_null(strstr(body, ".default"));
}

static void test_workload_identity_reads_its_file_anew_for_each_request(void **state) {
        CredentialOptions options = {
                .kind = CREDENTIAL_KIND_WORKLOAD_IDENTITY, .tenant_id = TENANT, .client_id = CLIENT, .federated_token_file = put("federated", "one.two.three\n"),
        };
        _cleanup_(credential_freep) Credential *credential = make(&options);
        _cleanup_(operation_freep) Operation *operation = start(credential);
        _cleanup_free_ char *first = body_of(operation);
        assert_string_equal(first, "grant_type=client_credentials&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"
                                   "&client_id=" CLIENT "&scope=https%3A%2F%2Fattest.azure.net%2F.default&client_assertion=one.two.three");
        put("federated", "four.five.six\n");
        answer(operation, 503, "", NULL, NULL);
        assert_int_equal(operation_next(operation), OPERATION_WAIT);
        operation_take_elapsed(operation, NOW);
        _cleanup_free_ char *second = body_of(operation);
        assert_non_null(strstr(second, "client_assertion=four.five.six"));
}

static void test_managed_identity_requests(void **state) {
        static const struct { CredentialOptions options; const char *url, *header, *value; } cases[] = {
                { {}, "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fattest.azure.net", "Metadata", "true" },
                { { .managed_client_id = "c" }, "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&client_id=c&resource=https%3A%2F%2Fattest.azure.net",
                  "Metadata", "true" },
                { { .managed_object_id = "o", .imds_url = "http://127.0.0.1:1/" },
                  "http://127.0.0.1:1/metadata/identity/oauth2/token?api-version=2018-02-01&object_id=o&resource=https%3A%2F%2Fattest.azure.net", "Metadata", "true" },
                { { .managed_resource_id = "/s/r" },
                  "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&msi_res_id=%2Fs%2Fr&resource=https%3A%2F%2Fattest.azure.net", "Metadata", "true" },
                { { .identity_endpoint = "http://127.0.0.1:4141/msi/token", .identity_header = "h" },
                  "http://127.0.0.1:4141/msi/token?api-version=2019-08-01&resource=https%3A%2F%2Fattest.azure.net", "X-IDENTITY-HEADER", "h" },
                { { .identity_endpoint = "http://127.0.0.1:4141/msi/token", .identity_header = "h", .managed_object_id = "o" },
                  "http://127.0.0.1:4141/msi/token?api-version=2019-08-01&principal_id=o&resource=https%3A%2F%2Fattest.azure.net", "X-IDENTITY-HEADER", "h" },
                { { .identity_endpoint = "http://localhost:40342/token", .imds_endpoint = "http://localhost:40342" },
                  "http://localhost:40342/token?api-version=2019-11-01&resource=https%3A%2F%2Fattest.azure.net", "Metadata", "true" },
                { { .identity_endpoint = "http://localhost:40342/token" },
                  "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fattest.azure.net", "Metadata", "true" },
                { { .identity_endpoint = "http://127.0.0.1:4141/msi/token", .identity_header = "h", .imds_url = "http://127.0.0.1:1" },
                  "http://127.0.0.1:1/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fattest.azure.net", "Metadata", "true" },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                CredentialOptions options = cases[i].options;
                options.kind = CREDENTIAL_KIND_MANAGED_IDENTITY;
                _cleanup_(credential_freep) Credential *credential = make(&options);
                _cleanup_(operation_freep) Operation *operation = start(credential);
                const HttpRequest *request = operation_request(operation);
                assert_string_equal(request->method, "GET");
                assert_true(request->is_metadata);
                assert_null(request->body);
                assert_string_equal(header_of(request, cases[i].header), cases[i].value);
                assert_string_equal(request->url, cases[i].url);
        }
}

static void test_metadata_service_is_tried_again_until_the_budget_is_spent(void **state) {
        static const long statuses[] = { 404, 410, 429, 500, 503 };
        for (size_t i = 0; i < N_ELEMENTS(statuses); i++) {
                CredentialOptions options = { .kind = CREDENTIAL_KIND_MANAGED_IDENTITY };
                _cleanup_(credential_freep) Credential *credential = make(&options);
                _cleanup_(operation_freep) Operation *operation = start(credential);
                uint64_t waited_usec = 0;
                for (;;) {
                        answer(operation, statuses[i], "{\"error\":\"x\"}", NULL, NULL);
                        if (operation_next(operation) != OPERATION_WAIT)
                                break;
                        assert_in_range(operation_delay_usec(operation), USEC_PER_SEC / 2, 12 * USEC_PER_SEC);
                        waited_usec += operation_delay_usec(operation);
                        operation_take_elapsed(operation, NOW);
                }
                assert_int_equal(operation_next(operation), OPERATION_FAILED);
                _cleanup_(err_freep) Err *err = operation_take_error(operation);
                assert_int_equal(err_code(err), statuses[i] == 429 ? ERR_SERVICE_THROTTLED : ERR_SERVICE_UNAVAILABLE);
                assert_in_range(waited_usec, 70 * USEC_PER_SEC, CREDENTIAL_BUDGET_USEC_DEFAULT);   /* IMDS asks for 70 s */
        }
}

static void test_what_cannot_pass_is_not_tried_again(void **state) {
        static const long statuses[] = { 400, 401, 403 };
        for (size_t i = 0; i < N_ELEMENTS(statuses); i++) {
                CredentialOptions options = { .kind = CREDENTIAL_KIND_MANAGED_IDENTITY };
                _cleanup_(credential_freep) Credential *credential = make(&options);
                _cleanup_(operation_freep) Operation *operation = start(credential);
                answer(operation, statuses[i], "{\"error\":\"invalid_request\",\"error_description\":\"Identity not found\"}", NULL, NULL);
                assert_int_equal(operation_next(operation), OPERATION_FAILED);
                _cleanup_(err_freep) Err *err = operation_take_error(operation);
                assert_int_equal(err_code(err), ERR_CREDENTIAL_FAILED);
                assert_non_null(strstr(err_describe(err), "Identity not found"));
        }
}

static void test_authority_and_transport_get_three_more_tries(void **state) {
        for (int kind = 0; kind < 3; kind++) {
                CredentialOptions managed = { .kind = CREDENTIAL_KIND_MANAGED_IDENTITY }, secret = secret_options();
                _cleanup_(credential_freep) Credential *credential = make(kind == 1 ? &managed : &secret);
                _cleanup_(operation_freep) Operation *operation = start(credential);
                unsigned n = 0;
                do {
                        n++;
                        if (kind == 0)
                                answer(operation, 502, "", NULL, NULL);
                        else
                                operation_take_failure(operation, err_new(ERR_SERVICE_UNREACHABLE, "no route"));
                        if (operation_next(operation) == OPERATION_WAIT)
                                operation_take_elapsed(operation, NOW);
                } while (operation_next(operation) == OPERATION_SEND);
                assert_int_equal(n, 4);
                assert_int_equal(operation_next(operation), OPERATION_FAILED);
                _cleanup_(err_freep) Err *err = operation_take_error(operation);
                assert_non_null(strstr(err_describe(err), "after 4 tries"));
        }
        CredentialOptions secret = secret_options();
        _cleanup_(credential_freep) Credential *credential = make(&secret);
        _cleanup_(operation_freep) Operation *operation = start(credential);
        operation_take_failure(operation, err_new(ERR_SERVICE_TLS, "nobody trusts it"));
        assert_int_equal(operation_next(operation), OPERATION_FAILED);
        err_free(operation_take_error(operation));
}

static void test_retry_after_is_honoured_within_the_budget(void **state) {
        CredentialOptions options = { .kind = CREDENTIAL_KIND_MANAGED_IDENTITY, .budget_usec = 30 * USEC_PER_SEC };
        _cleanup_(credential_freep) Credential *credential = make(&options);
        _cleanup_(operation_freep) Operation *operation = start(credential);
        answer(operation, 429, "", "20", NULL);
        assert_int_equal(operation_next(operation), OPERATION_WAIT);
        assert_int_equal(operation_delay_usec(operation), 20 * USEC_PER_SEC);
        operation_take_elapsed(operation, NOW);
        answer(operation, 429, "", "11", NULL);
        assert_int_equal(operation_next(operation), OPERATION_FAILED);
        _cleanup_(err_freep) Err *err = operation_take_error(operation);
        assert_int_equal(err_retry_after(err), 11 * USEC_PER_SEC);   /* for the schedule */
}

static void test_a_wait_can_be_cancelled(void **state) {
        CredentialOptions options = { .kind = CREDENTIAL_KIND_MANAGED_IDENTITY };
        _cleanup_(credential_freep) Credential *credential = make(&options);
        _cleanup_(operation_freep) Operation *operation = start(credential);
        answer(operation, 410, "", NULL, NULL);
        assert_null(operation_request(operation));
        operation_take_failure(operation, err_new(ERR_CANCELLED, "enough"));
        assert_int_equal(operation_next(operation), OPERATION_FAILED);
        _cleanup_(err_freep) Err *err = operation_take_error(operation);
        assert_int_equal(err_code(err), ERR_CANCELLED);
        assert_non_null(strstr(err_describe(err), "enough: "));
        assert_non_null(strstr(err_describe(err), "410"));      /* why it waited at all */
}

static CredentialOptions arc_options(void) {
        return (CredentialOptions) {
                .kind = CREDENTIAL_KIND_MANAGED_IDENTITY, .identity_endpoint = "http://localhost:40342/t", .imds_endpoint = "x", .arc_directory = folder,
        };
}

static void test_arc_answers_the_challenge_with_the_content_of_the_file(void **state) {
        for (int i = 0; i < 2; i++) {
                CredentialOptions options = arc_options();
                _cleanup_(credential_freep) Credential *credential = make(&options);
                _cleanup_(operation_freep) Operation *operation = start(credential);
                char challenge[256];
                snprintf(challenge, sizeof(challenge), i == 0 ? "Basic realm=%s/arc.key" : "Basic realm=\"%s/arc.key\"", folder);
                put("arc.key", "the-key\n");
                assert_null(header_of(operation_request(operation), "Authorization"));
                answer(operation, 401, "", NULL, challenge);
                assert_int_equal(operation_next(operation), OPERATION_SEND);
                assert_string_equal(header_of(operation_request(operation), "Authorization"), "Basic the-key");
                assert_string_equal(header_of(operation_request(operation), "Metadata"), "true");
                answer(operation, 401, "", NULL, challenge);      /* once is enough */
                assert_int_equal(operation_next(operation), OPERATION_FAILED);
                assert_err(operation_take_error(operation), ERR_CREDENTIAL_FAILED);
        }
}

static void test_arc_challenge_cannot_name_any_other_file(void **state) {
        put("other", "root:x:0:0");
        put("arc.key", "k");
        char long_key[5000];
        for (size_t i = 0; i < sizeof(long_key); i++)
                long_key[i] = i + 1 < sizeof(long_key) ? 'k' : 0;
        static const char *const names[] = { "%s/other", "/etc/passwd", "%s/../x.key", "%s/sub/x.key", "%s/.key", "%s", "%sx/arc.key", "", "%s/missing.key", "arc.key" };
        for (size_t i = 0; i <= N_ELEMENTS(names); i++) {
                CredentialOptions options = arc_options();
                _cleanup_(credential_freep) Credential *credential = make(&options);
                _cleanup_(operation_freep) Operation *operation = start(credential);
                _cleanup_free_ char *challenge = NULL;
                const char *name = i < N_ELEMENTS(names) ? names[i] : "%s/arc.key";
                bool is_below = strncmp(name, "%s", 2) == 0;
                if (i == N_ELEMENTS(names))
                        put("arc.key", long_key);
                assert_ok(string_format(&challenge, "Basic realm=%s%s", is_below ? folder : "", is_below ? name + 2 : name));
                answer(operation, 401, "", NULL, i == 0 ? NULL : challenge);
                assert_int_equal(operation_next(operation), OPERATION_FAILED);
                err_free(operation_take_error(operation));
        }
}

static void test_token_file_needs_no_request_and_is_read_each_time(void **state) {
        CredentialOptions options = { .kind = CREDENTIAL_KIND_TOKEN_FILE, .token_file = put("token", "first\n") };
        _cleanup_(credential_freep) Credential *credential = make(&options);
        for (int i = 0; i < 2; i++) {
                assert_int_equal(credential_state(credential, NOW), CREDENTIAL_MISSING);
                _cleanup_(operation_freep) Operation *operation = start(credential);
                assert_int_equal(operation_next(operation), OPERATION_DONE);
                assert_string_equal(credential_authorization(credential), i == 0 ? "Bearer first" : "Bearer second");
                put("token", "second");
        }
        put("token", "no token\n");
        _cleanup_(operation_freep) Operation *operation = start(credential);
        assert_int_equal(operation_next(operation), OPERATION_FAILED);
        _cleanup_(err_freep) Err *err = operation_take_error(operation);
        assert_int_equal(err_code(err), ERR_CREDENTIAL_FAILED);
        assert_null(strstr(err_describe(err), "no token\n"));
}

static void test_no_credential_is_always_fresh(void **state) {
        CredentialOptions options = { .kind = CREDENTIAL_KIND_NONE };
        _cleanup_(credential_freep) Credential *credential = make(&options);
        _cleanup_(operation_freep) Operation *operation = start(credential);
        assert_int_equal(operation_next(operation), OPERATION_DONE);
        assert_int_equal(credential_state(credential, NOW), CREDENTIAL_FRESH);
        assert_null(credential_authorization(credential));
}

static void test_credential_state_ages(void **state) {
        CredentialOptions options = secret_options();
        _cleanup_(credential_freep) Credential *credential = make(&options);
        assert_int_equal(credential_state(credential, NOW), CREDENTIAL_MISSING);
        Operation *operation = start(credential);
        answer(operation, 200, GOOD, NULL, NULL);
        operation = operation_free(operation);
        /* 3599 s: from 300 s before the end a new one is wanted, from 120 s before it the old one is not used */
        assert_int_equal(credential_state(credential, NOW + 3298), CREDENTIAL_FRESH);
        assert_int_equal(credential_state(credential, NOW + 3299), CREDENTIAL_AGING);
        assert_int_equal(credential_state(credential, NOW + 3478), CREDENTIAL_AGING);
        assert_int_equal(credential_state(credential, NOW + 3479), CREDENTIAL_MISSING);
        /* a failed renewal takes nothing away */
        operation = start(credential);
        answer(operation, 401, "{}", NULL, NULL);
        operation = operation_free(operation);
        assert_string_equal(credential_authorization(credential), "Bearer tok");
        credential_forget(credential);
        assert_int_equal(credential_state(credential, NOW), CREDENTIAL_MISSING);
        assert_null(credential_authorization(credential));
}

static void test_one_operation_at_a_time(void **state) {
        CredentialOptions options = secret_options();
        _cleanup_(credential_freep) Credential *credential = make(&options);
        Operation *first = start(credential), *second = NULL;
        assert_err(operation_new_token(credential, NOW, &second), ERR_BUSY);
        operation_free(first);
        second = start(credential);
        operation_free(second);
}

static void test_credential_new_names_what_is_missing(void **state) {
        static const struct { CredentialOptions options; const char *words; } cases[] = {
                { { .kind = CREDENTIAL_KIND_CLIENT_SECRET, .client_id = "c", .secret_file = "f" }, "tenant" },
                { { .kind = CREDENTIAL_KIND_CLIENT_SECRET, .tenant_id = "t", .secret_file = "f" }, "client" },
                { { .kind = CREDENTIAL_KIND_CLIENT_SECRET, .tenant_id = "t", .client_id = "c" }, "secret" },
                { { .kind = CREDENTIAL_KIND_CLIENT_SECRET, .tenant_id = "../t", .client_id = "c", .secret_file = "f" }, "tenant" },
                { { .kind = CREDENTIAL_KIND_CLIENT_SECRET, .tenant_id = "t", .client_id = "c", .secret_file = "f", .authority = "http://a" }, "https" },
                { { .kind = CREDENTIAL_KIND_CLIENT_CERTIFICATE, .tenant_id = "t", .client_id = "c" }, "certificate" },
                { { .kind = CREDENTIAL_KIND_WORKLOAD_IDENTITY, .tenant_id = "t", .client_id = "c" }, "federated" },
                { { .kind = CREDENTIAL_KIND_TOKEN_FILE }, "token" },
                { { .kind = CREDENTIAL_KIND_MANAGED_IDENTITY, .managed_client_id = "c", .managed_object_id = "o" }, "one of" },
                { { .kind = CREDENTIAL_KIND_MANAGED_IDENTITY, .managed_client_id = "c", .identity_endpoint = "e", .imds_endpoint = "i" }, "Arc" },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                Credential *credential = NULL;
                _cleanup_(err_freep) Err *err = credential_new(&cases[i].options, &credential);
                assert_int_equal(err_code(err), ERR_CONFIG_INVALID);
                assert_non_null(strstr(err_describe(err), cases[i].words));
        }
}

static char *environment(const char *name) {
        static const struct { const char *name; char value[16]; } values[] = {
                { "AZURE_TENANT_ID", "tenant" }, { "AZURE_CLIENT_ID", "client" }, { "AZURE_FEDERATED_TOKEN_FILE", "file" }, { "AZURE_AUTHORITY_HOST", "https://a" },
                { "IDENTITY_ENDPOINT", "e" }, { "IDENTITY_HEADER", "" },
        };
        for (size_t i = 0; i < N_ELEMENTS(values); i++)
                if (string_equal(values[i].name, name))
                        return (char *) values[i].value;
        return NULL;
}

static void test_credential_options_from_environment_fills_gaps_only(void **state) {
        CredentialOptions workload = { .kind = CREDENTIAL_KIND_WORKLOAD_IDENTITY, .client_id = "mine" };
        credential_options_from_environment(&workload, environment);
        assert_string_equal(workload.tenant_id, "tenant");
        assert_string_equal(workload.client_id, "mine");
        assert_string_equal(workload.federated_token_file, "file");
        assert_string_equal(workload.authority, "https://a");
        CredentialOptions managed = { .kind = CREDENTIAL_KIND_MANAGED_IDENTITY }, secret = { .kind = CREDENTIAL_KIND_CLIENT_SECRET };
        credential_options_from_environment(&managed, environment);
        assert_string_equal(managed.identity_endpoint, "e");
        assert_null(managed.identity_header);      /* set but empty */
        assert_null(managed.tenant_id);
        credential_options_from_environment(&secret, environment);
        assert_null(secret.tenant_id);
}

static void test_errors_name_no_secret(void **state) {
        CredentialOptions options = secret_options();
        put("secret", "hunter2-the-secret");
        _cleanup_(credential_freep) Credential *credential = make(&options);
        _cleanup_(operation_freep) Operation *operation = start(credential);
        answer(operation, 401, "{\"error\":\"invalid_client\",\"error_description\":\"AADSTS7000215\"}", NULL, NULL);
        _cleanup_(err_freep) Err *err = operation_take_error(operation);
        assert_null(strstr(err_describe(err), "hunter2"));
        assert_non_null(strstr(err_describe(err), CLIENT));
        put("secret", "\n");
        operation = operation_free(operation);
        operation = start(credential);
        assert_int_equal(operation_next(operation), OPERATION_FAILED);
        assert_err(operation_take_error(operation), ERR_CREDENTIAL_FAILED);
}

/* How often text, of which the inverted copy is given, stands in this process's heap. */
static unsigned count_in_heap(const uint8_t *inverted, size_t size) {
        _cleanup_free_ char *line = NULL;
        size_t room = 0;
        unsigned n = 0;
        FILE *maps = fopen("/proc/self/maps", "r");
        assert_non_null(maps);
        while (getline(&line, &room, maps) > 0) {
                unsigned long begin, end;
                if (!strstr(line, "[heap]") || sscanf(line, "%lx-%lx", &begin, &end) != 2)
                        continue;
                for (const uint8_t *place = (const uint8_t *) begin; place + size <= (const uint8_t *) end; place++) {
                        size_t i = 0;
                        while (i < size && (place[i] ^ inverted[i]) == 0xff)
                                i++;
                        n += i == size;
                }
        }
        fclose(maps);
        return n;
}

#define MARKER_SIZE 40

/* A text that stands nowhere but in out. */
static void make_marker(uint8_t inverted[MARKER_SIZE], char out[MARKER_SIZE + 1], char first) {
        for (size_t i = 0; i < MARKER_SIZE; i++) {
                out[i] = (char) (first + (int) (i * 7 % 23));
                inverted[i] = (uint8_t) ~out[i];
        }
        out[MARKER_SIZE] = 0;
}

static void get_and_use_a_token(const char *token) {
        char path[256];
        snprintf(path, sizeof(path), "%s/secret", folder);
        CredentialOptions options = { .kind = CREDENTIAL_KIND_CLIENT_SECRET, .tenant_id = TENANT, .client_id = CLIENT, .secret_file = path };
        _cleanup_(credential_freep) Credential *credential = make(&options);
        _cleanup_(operation_freep) Operation *operation = start(credential), *second = NULL;
        _cleanup_bytes_erase_ Bytes body = {};
        assert_ok(source_read_all(operation_request(operation)->body, 65536, &body));
        _cleanup_http_response_ HttpResponse response = { .status = 200 };
        char *text = NULL;
        assert_ok(string_join_secret("{\"expires_in\":3599,\"access_token\":\"", span_from_string(token), &text));
        _cleanup_bytes_erase_ Bytes head = { (uint8_t *) text, strlen(text) };
        assert_ok(bytes_alloc(head.size + 2, &response.body));
        for (size_t i = 0; i < response.body.size; i++)
                response.body.data[i] = i < head.size ? head.data[i] : (uint8_t) "\"}"[i - head.size];
        operation_take_response(operation, &response, NOW);
        assert_int_equal(operation_next(operation), OPERATION_DONE);
        assert_non_null(strstr(credential_authorization(credential), token));

        _cleanup_(pkey_freep) EVP_PKEY *key = NULL;
        assert_ok(jose_key_generate_rsa(2048, &key));
        const AttestTpmOptions attest = { .base_url = "https://a", .request_key = key, .authorization = credential_authorization(credential) };
        assert_ok(operation_new_attest_tpm(&attest, &second));
        assert_non_null(header_of(operation_request(second), "Authorization"));
}

static void test_secrets_and_tokens_are_not_left_in_freed_memory(void **state) {
#if defined(__SANITIZE_ADDRESS__)
        skip();         /* its quarantine keeps what it likes, elsewhere */
#endif
        uint8_t secret_inverted[MARKER_SIZE], token_inverted[MARKER_SIZE];
        char secret[MARKER_SIZE + 1], token[MARKER_SIZE + 1];
        make_marker(secret_inverted, secret, 'A');
        make_marker(token_inverted, token, 'a');
        put("secret", secret);

        char *control = strdup(secret);       /* the search finds what is there */
        assert_int_equal(count_in_heap(secret_inverted, MARKER_SIZE), 1);
        explicit_bzero(control, strlen(control));
        free(control);
        assert_int_equal(count_in_heap(secret_inverted, MARKER_SIZE), 0);

        get_and_use_a_token(token);
        assert_int_equal(count_in_heap(secret_inverted, MARKER_SIZE), 0);
        assert_int_equal(count_in_heap(token_inverted, MARKER_SIZE), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_client_secret_request_is_that_of_the_sdk),
                cmocka_unit_test(test_authority_of_another_cloud_and_of_adfs),
                cmocka_unit_test(test_workload_identity_reads_its_file_anew_for_each_request),
                cmocka_unit_test(test_managed_identity_requests),
                cmocka_unit_test(test_metadata_service_is_tried_again_until_the_budget_is_spent),
                cmocka_unit_test(test_what_cannot_pass_is_not_tried_again),
                cmocka_unit_test(test_authority_and_transport_get_three_more_tries),
                cmocka_unit_test(test_retry_after_is_honoured_within_the_budget),
                cmocka_unit_test(test_a_wait_can_be_cancelled),
                cmocka_unit_test(test_arc_answers_the_challenge_with_the_content_of_the_file),
                cmocka_unit_test(test_arc_challenge_cannot_name_any_other_file),
                cmocka_unit_test(test_token_file_needs_no_request_and_is_read_each_time),
                cmocka_unit_test(test_no_credential_is_always_fresh),
                cmocka_unit_test(test_credential_state_ages),
                cmocka_unit_test(test_one_operation_at_a_time),
                cmocka_unit_test(test_credential_new_names_what_is_missing),
                cmocka_unit_test(test_credential_options_from_environment_fills_gaps_only),
                cmocka_unit_test(test_errors_name_no_secret),
                cmocka_unit_test(test_secrets_and_tokens_are_not_left_in_freed_memory),
        };
        return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
