/* attestd-tpm: the evidence collector. Options, sockets and set-up; the work is in service.c and evidence.c. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

#include "build-config.h"
#include "config/config.h"
#include "tpm/privilege.h"
#include "tpm/service.h"

#define EXIT_USAGE 2

typedef struct Options {
        const char *config_file;
        int bus_fd;
} Options;

static int show_help(void) {
        return printf("attestd-tpm [--config=FILE] --bus-fd=N\n"
                      "attestd-tpm [--config=FILE]            socket-activated, listening socket named \"tpm\"\n\n"
                      "Collects evidence for attestd: quotes of the TPM and the measurement logs. Started by attestd or systemd.\n\n"
                      "  --config=FILE  read this file and FILE.d/*.conf instead of attestd.conf in the usual places\n"
                      "  --bus-fd=N     serve the connected socket N and leave when it closes\n"
                      "  --help         show this\n"
                      "  --version      show the version\n") < 0;
}

static int usage(const char *problem) {
        fprintf(stderr, "attestd-tpm: %s\nTry: attestd-tpm --help\n", problem);
        return EXIT_USAGE;
}

/* -1: go on; else the exit status. */
static int parse_options(int argc, char **argv, Options *ret) {
        static const struct option options[] = {
                { "config", required_argument, NULL, 'c' },
                { "bus-fd", required_argument, NULL, 'b' },
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, 'v' },
                {},
        };
        int c;
        *ret = (Options) { .bus_fd = -1 };
        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
                char *end;
                unsigned long number;
                switch (c) {
                case 'c':
                        ret->config_file = optarg;
                        break;
                case 'b':
                        number = strtoul(optarg, &end, 10);
                        if (end == optarg || *end || number > 65535)
                                return usage("--bus-fd= needs the number of a descriptor");
                        ret->bus_fd = (int) number;
                        break;
                case 'h':
                        return show_help();
                case 'v':
                        return printf("attestd-tpm %s\n", VERSION) < 0;
                default:
                        return usage("that is no option of it");
                }
        }
        return optind < argc ? usage("it takes no arguments") : -1;
}

/* The listening socket that systemd passed; the only one, or the one named so. */
static int find_listening_socket(void) {
        char **names = NULL;
        int fd = -1, n = sd_listen_fds_with_names(/* unset_environment= */ 1, &names);
        for (int i = 0; i < n; i++)
                if (sd_is_socket(SD_LISTEN_FDS_START + i, AF_UNIX, SOCK_STREAM, /* listening= */ 1) > 0 &&
                    (n == 1 || string_equal(names[i], "tpm")))
                        fd = SD_LISTEN_FDS_START + i;
        for (int i = 0; i < n; i++)
                free(names[i]);
        free(names);
        return fd;
}

static Err *load_config(const Options *options, Config **ret) {
        ConfigWarnings warnings = {};
        Err *err = config_load(options->config_file, NULL, ret, &warnings);
        for (size_t i = 0; i < warnings.n_lines; i++)
                fprintf(stderr, "attestd-tpm: %s\n", warnings.lines[i]);
        config_warnings_done(&warnings);
        return err;
}

static Err *run(const Options *options, int listen_fd) {
        _cleanup_(config_freep) Config *config = NULL;
        _cleanup_(evidence_maker_freep) EvidenceMaker *maker = NULL;
        _cleanup_(service_freep) Service *service = NULL;
        TRY(load_config(options, &config));
        TRY(evidence_maker_new(config, config_state_directory(), &maker));
        TRY(privilege_drop_log_access());
        TRY(service_new(maker, &service));
        if (options->bus_fd >= 0) {
                TRY(service_serve(service, options->bus_fd));
        } else {
                TRY(service_listen(service, listen_fd));
                (void) sd_notify(0, "READY=1\nSTATUS=Waiting for requests.");
        }
        return service_run(service);
}

int main(int argc, char **argv) {
        Options options;
        int status = parse_options(argc, argv, &options);
        if (status >= 0)
                return status;
        int listen_fd = options.bus_fd < 0 ? find_listening_socket() : -1;
        if (options.bus_fd < 0 && listen_fd < 0)
                return usage("no --bus-fd= and no listening socket was passed");
        _cleanup_(err_freep) Err *err = run(&options, listen_fd);
        if (!err)
                return 0;
        fprintf(stderr, "attestd-tpm: %s\n", err_describe(err));
        return err_code_info(err_code(err))->exit_status;
}
