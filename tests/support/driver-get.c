/* Runs one HTTP transfer, or the key set's operation, with the real driver and prints what came of it as one JSON object. For test-driver.py.
 *
 * driver-get [--ca FILE] [--ca-path DIR] [--proxy URL] [--timeout MSEC] [--post SIZE] [--put SIZE] [--twice] [--cancel] [--certs] URL */
#include <getopt.h>
#include <stdio.h>
#include <unistd.h>

#include "client/driver.h"

typedef struct Settings {
        TransportOptions options;
        const char *method, *url;
        uint64_t body_size;
        bool twice, certs, cancel;
} Settings;

/* A body of a known pattern, big ones through a file so that the source kind is the one of logs. */
static Err *make_body(uint64_t size, Source **ret) {
        FILE *file = tmpfile();
        if (!file)
                return err_new(ERR_IO, "tmpfile");
        for (uint64_t i = 0; i < size; i++)
                putc((int) (i * 31 % 251), file);
        int fd = fflush(file) == 0 ? dup(fileno(file)) : -1;
        fclose(file);
        return source_new_fd(fd, 0, size, "the test's body", ret);
}

static Err *run_transfer(const Settings *settings, HttpResponse *response) {
        _cleanup_http_request_ HttpRequest request = { .method = settings->method };
        _cleanup_(transfer_freep) Transfer *transfer = NULL;
        TRY(string_copy(settings->url, &request.url));
        TRY(http_request_add_header(&request, "Accept", "application/json"));
        if (settings->method[0] == 'P')
                TRY(make_body(settings->body_size, &request.body));
        TRY(transfer_new(&request, &settings->options, response, &transfer));
        if (settings->twice) {
                TRY(transfer_result(transfer, curl_easy_perform(transfer_handle(transfer))));
                TRY(source_rewind(request.body));
        }
        return transfer_result(transfer, curl_easy_perform(transfer_handle(transfer)));
}

static bool on_progress(void *userdata, OperationStep step, const Operation *operation) {
        return !*(const bool *) userdata;
}

static Err *run_certs(const Settings *settings, HttpResponse *response) {
        _cleanup_(operation_freep) Operation *operation = NULL;
        _cleanup_(jwk_set_freep) JwkSet *set = NULL;
        bool cancel = settings->cancel;
        const DriverCallbacks callbacks = { .progress = on_progress, .userdata = &cancel };
        TRY(operation_new_certs(settings->url, &operation));
        TRY(driver_run(operation, &settings->options, &callbacks));
        set = operation_take_certs(operation);
        response->status = (long) set->n_keys;
        return NULL;
}

static Err *print_result(const HttpResponse *response, const Err *err) {
        _cleanup_json_ Json *json = NULL;
        _cleanup_free_ char *text = NULL;
        int64_t native = 0;
        err_native(err, &native);
        TRY(json_new_object(&json));
        TRY(json_add_string(json, "code", err ? err_code_info(err_code(err))->symbol : "NONE"));
        TRY(json_add_string(json, "message", err ? err_describe(err) : ""));
        TRY(json_add_integer(json, "native", native));
        TRY(json_add_integer(json, "status", response->status));
        TRY(json_add_integer(json, "date", (int64_t) response->date_sec));
        TRY(json_add_string(json, "content_type", response->content_type));
        TRY(json_add_string(json, "retry_after", response->retry_after));
        TRY(json_add_string(json, "request_id", response->request_id));
        TRY(json_add_span(json, "body", bytes_span(&response->body)));
        TRY(json_to_string(json, &text));
        puts(text);
        return NULL;
}

static bool parse_arguments(int argc, char **argv, Settings *settings) {
        static const struct option options[] = {
                { "ca", required_argument, NULL, 'c' }, { "ca-path", required_argument, NULL, 'C' }, { "proxy", required_argument, NULL, 'p' },
                { "timeout", required_argument, NULL, 't' }, { "post", required_argument, NULL, 'P' }, { "put", required_argument, NULL, 'U' },
                { "twice", no_argument, NULL, '2' }, { "certs", no_argument, NULL, 'k' }, { "cancel", no_argument, NULL, 'x' }, {},
        };
        for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
                if (c == 'c')
                        settings->options.ca_file = optarg;
                else if (c == 'C')
                        settings->options.ca_path = optarg;
                else if (c == 'p')
                        settings->options.proxy = optarg;
                else if (c == 't')
                        settings->options.timeout_usec = strtoull(optarg, NULL, 10) * USEC_PER_MSEC;
                else if (c == 'P' || c == 'U') {
                        settings->method = c == 'P' ? "POST" : "PUT";
                        settings->body_size = strtoull(optarg, NULL, 10);
                } else if (c == '2')
                        settings->twice = true;
                else if (c == 'k')
                        settings->certs = true;
                else if (c == 'x')
                        settings->cancel = true;
                else
                        return false;
        }
        settings->url = argv[optind];
        return settings->url != NULL;
}

int main(int argc, char **argv) {
        Settings settings = { .method = "GET", .options = { .connect_timeout_usec = 20 * USEC_PER_SEC, .timeout_usec = 30 * USEC_PER_SEC } };
        _cleanup_http_response_ HttpResponse response = {};
        if (!parse_arguments(argc, argv, &settings)) {
                fputs("driver-get: see the head of its source\n", stderr);
                return 2;
        }
        _cleanup_(err_freep) Err *err = settings.certs ? run_certs(&settings, &response) : run_transfer(&settings, &response);
        _cleanup_(err_freep) Err *print_err = print_result(&response, err);
        return print_err ? 1 : 0;
}
