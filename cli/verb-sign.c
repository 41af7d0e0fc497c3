/* attestctl sign: proof of possession of the key that the token is bound to (cnf), over the caller's bytes. */
#include <getopt.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/daemon-client.h"
#include "cli/options.h"
#include "maa/proof.h"

static Err *read_payload(const char *path, Bytes *ret) {
        if (string_equal(path, "-"))
                return fd_read_all(STDIN_FILENO, "standard input", PROOF_PAYLOAD_MAX, ret);
        return file_read(path, PROOF_PAYLOAD_MAX, ret);
}

static Err *print_jws(const char *jws) {
        _cleanup_json_ Json *json = NULL;
        if (!cli_is_json()) {
                printf("%s\n", jws);
                return NULL;
        }
        TRY(json_new_object(&json));
        TRY(json_add_string(json, "jws", jws));
        return cli_print_json(json);
}

static Err *sign(const CommonOptions *options, Span payload) {
        _cleanup_bus_ sd_bus *bus = NULL;
        _cleanup_free_ char *jws = NULL;
        TRY(daemon_connect(options->user_bus, &bus));
        TRY(daemon_sign(bus, options->profile, payload, &jws));
        return print_jws(jws);
}

int verb_sign(int argc, char **argv) {
        static const struct option options[] = { COMMON_OPTIONS, COMMON_OPTION_PROFILE, {} };
        CommonOptions common = { .verb = "sign", .profile = "" };
        for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) >= 0;)
                if (c == 'h')
                        return cli_help(cli_verb("sign"), COMMON_OPTIONS_HELP
                                                          "  --profile P          with the key of this profile's token (default: the first)\n"
                                                          "  FILE                 what is signed, 64 KiB at most (default, and -: standard input)\n");
                else if (common_option_take(&common, c, optarg) != OPTION_TAKEN)
                        return EXIT_USAGE;
        if (argc - optind > 1)
                return cli_usage_error("sign", "one file is enough, \"%s\" is given too", argv[optind + 1]);
        _cleanup_bytes_ Bytes payload = {};
        Err *err = err_wrap(read_payload(optind < argc ? argv[optind] : "-", &payload), "reading what is to be signed");
        if (!err)
                err = err_wrap(sign(&common, bytes_span(&payload)), "asking attestd for a signature");
        return err ? cli_fail(err) : EXIT_SUCCESS;
}
