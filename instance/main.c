/* attest-instance: reads its options and state, serves until told to end. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "build-config.h"
#include "instance/options.h"
#include "instance/server.h"
#include "jose/x509.h"

#define EXIT_USAGE 2

static Err *make_url(const char *scheme, const char *host, uint16_t port, char **ret) {
        bool is_v6 = string_equal(host, "::1");
        return string_format(ret, "%s://%s%s%s:%u", scheme, is_v6 ? "[" : "", host, is_v6 ? "]" : "", port);
}

static Err *start_metadata(const Options *options, Server *server, char **ret_url) {
        _cleanup_close_ int fd = -1;
        uint16_t port;
        TRY(server_listen(options->imds_host, options->imds_port, &fd, &port));
        TRY(make_url("http", options->imds_host, port, ret_url));
        return server_add_metadata(server, steal_fd(&fd));
}

/* SIGTERM and SIGINT are blocked in all threads and waited for here. */
static Err *wait_for_end(const sigset_t *signals) {
        int number;
        int r = sigwait(signals, &number);
        return r == 0 ? NULL : err_new_errno(ERR_INTERNAL, r, "waiting for a signal");
}

static Err *run(const Options *options) {
        sigset_t signals;
        sigemptyset(&signals);
        sigaddset(&signals, SIGTERM);
        sigaddset(&signals, SIGINT);
        sigprocmask(SIG_BLOCK, &signals, NULL);
        signal(SIGPIPE, SIG_IGN);

        _cleanup_(x509_stack_freep) STACK_OF(X509) *first_signers = NULL;
        _cleanup_(identity_freep) Identity *identity = NULL;
        _cleanup_(service_freep) Service *service = NULL;
        _cleanup_(server_freep) Server *server = NULL; /* ends first */
        _cleanup_close_ int fd = -1;
        _cleanup_free_ char *url = NULL, *imds_url = NULL;
        uint16_t port;
        TRY(server_listen(options->host, options->port, &fd, &port));
        TRY(make_url("https", options->host, port, &url));
        TRY(identity_load(options->state, url, time(NULL), &identity));
        ServiceOptions service_options = options->service;
        if (service_options.mode == SERVICE_MODE_ISOLATED && !service_options.policy_signers) {
                TRY(policy_signers_make_first(options->state, time(NULL), &first_signers));
                service_options.policy_signers = first_signers;
        }
        if (options->applications)
                TRY(identity_load_authority(identity, options->state, time(NULL)));
        TRY(service_new(identity, &service_options, &service));
        service->faults = options->faults;
        TRY(server_start(steal_fd(&fd), service, options->body_max, &server));
        if (options->imds_host)
                TRY(start_metadata(options, server, &imds_url));
        if (printf("READY url=%s\n", url) < 0 || (imds_url && printf("IMDS url=%s\n", imds_url) < 0) || fflush(stdout) != 0)
                return err_new_errno(ERR_IO, errno, "saying READY");
        return wait_for_end(&signals);
}

static int fail(Err *error) {
        int status = err_code(error) == ERR_INVALID_ARGUMENT ? EXIT_USAGE : err_code_info(err_code(error))->exit_status;
        fprintf(stderr, "attest-instance: %s\n", err_describe(error));
        err_free(error);
        return status;
}

int main(int argc, char **argv) {
        _cleanup_options_ Options options = {};
        Err *error = options_parse(argc, argv, &options);
        if (error) {
                int status = fail(error);
                if (status == EXIT_USAGE)
                        fputs("Try: attest-instance --help\n", stderr);
                return status;
        }
        if (options.show_help) {
                options_print_help(stdout);
                return 0;
        }
        if (options.show_version)
                return printf("attest-instance %s\n", VERSION) < 0;
        error = run(&options);
        return error ? fail(error) : 0;
}
