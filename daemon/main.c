/* attestd: options, then the manager. */
#include <getopt.h>
#include <stdio.h>

#include "build-config.h"
#include "daemon/log.h"
#include "daemon/manager.h"

static int show_help(void) {
        printf("attestd [OPTIONS]\n\n"
               "Proves to an attestation service what this machine booted, and keeps the tokens fresh.\n\n"
               "  --config=FILE     read FILE and FILE.d/*.conf instead of the standard places\n"
               "  --collector=PATH  the evidence collector to start where %s/tpm.sock is absent\n"
               "  --bus=BUS         system (default) or user\n"
               "  --help            this text\n"
               "  --version         the version\n\n"
               "See attestd(8), attestd.conf(5). Ask it with attestctl(1).\n",
               config_runtime_directory());
        return 0;
}

/* Returns an exit status, or -1 to go on. */
static int parse_options(int argc, char **argv, ManagerOptions *ret) {
        static const struct option options[] = {
                { "config", required_argument, NULL, 'c' }, { "collector", required_argument, NULL, 'C' }, { "bus", required_argument, NULL, 'b' },
                { "help", no_argument, NULL, 'h' },         { "version", no_argument, NULL, 'V' },         {},
        };
        for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) >= 0;)
                switch (c) {
                case 'c':
                        ret->config_file = optarg;
                        break;
                case 'C':
                        ret->collector_program = optarg;
                        break;
                case 'b':
                        if (!string_equal(optarg, "system") && !string_equal(optarg, "user")) {
                                fprintf(stderr, "attestd: --bus=%s: system or user is needed\n", optarg);
                                return 2;
                        }
                        ret->user_bus = string_equal(optarg, "user");
                        break;
                case 'h':
                        return show_help();
                case 'V':
                        printf("attestd %s\n", VERSION);
                        return 0;
                default:
                        return 2;
                }
        if (optind < argc) {
                fprintf(stderr, "attestd: \"%s\" is not understood\nTry: attestd --help\n", argv[optind]);
                return 2;
        }
        return -1;
}

int main(int argc, char **argv) {
        ManagerOptions options = {};
        int status = parse_options(argc, argv, &options);
        if (status >= 0)
                return status;
        _cleanup_(manager_freep) Manager *manager = NULL;
        _cleanup_(err_freep) Err *err = manager_new(&options, &manager);
        if (!err)
                err = manager_run(manager);
        if (!err)
                return 0;
        log_error(LOG_ERR, NULL, err, "attestd cannot run");
        fprintf(stderr, "attestd: %s\n", err_describe(err));
        return err_code_info(err_code(err))->exit_status;
}
