/* attestctl: finds the verb and runs it. */
#include <stdio.h>

#include "build-config.h"
#include "cli/cli.h"

static const CliVerb verbs[] = {
        { "eventlog", verb_eventlog, "[--json] [--pcr LIST] FILE", "Show a firmware event log and the PCR values that it replays to" },
        { "ima", verb_ima, "[--json] [--bank BANK] FILE", "Show what an IMA measurement list replays to" },
        { "validate", verb_validate, "[--keys FILE|URL] [--trust-anchors PEM] [OPTIONS] TOKEN-FILE", "Judge a token by the rules of attestd, without the daemon" },
        { "errors", verb_errors, "[--json] [NAME]", "List every error code with its exit status and what to do about it" },
};

const CliVerb *cli_verb(const char *name) {
        for (size_t i = 0; i < N_ELEMENTS(verbs); i++)
                if (string_equal(verbs[i].name, name))
                        return &verbs[i];
        return NULL;
}

static int show_help(void) {
        printf("attestctl VERB [OPTIONS]\n\nAsk and direct the attestation agent attestd.\n\n");
        for (size_t i = 0; i < N_ELEMENTS(verbs); i++)
                printf("  %-10s %s\n             %s\n", verbs[i].name, verbs[i].arguments, verbs[i].summary);
        printf("\nEvery verb has --help. Exit status: 0 fine, 1 failed, 2 usage, others: attestctl errors.\n");
        return 0;
}

int main(int argc, char **argv) {
        if (argc >= 2 && (string_equal(argv[1], "--help") || string_equal(argv[1], "-h")))
                return show_help();
        if (argc >= 2 && string_equal(argv[1], "--version"))
                return printf("attestctl %s\n", VERSION) < 0;
        if (argc < 2) {
                fprintf(stderr, "attestctl: a verb is needed\nTry: attestctl --help\n");
                return EXIT_USAGE;
        }
        const CliVerb *verb = cli_verb(argv[1]);
        if (!verb) {
                fprintf(stderr, "attestctl: unknown verb \"%s\"\nTry: attestctl --help\n", argv[1]);
                return EXIT_USAGE;
        }
        return verb->run(argc - 1, argv + 1);
}
