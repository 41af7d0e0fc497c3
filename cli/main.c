/* attestctl: finds the verb and runs it. */
#include <stdio.h>

#include "build-config.h"
#include "cli/cli.h"

static const CliVerb verbs[] = {
        { "status", verb_status, "[--json]", "Show everything that attestd says of itself and of its profiles" },
        { "attest", verb_attest, "[--profile P] [--nonce HEX] [--timeout TIME] [--no-daemon [--config FILE]] [--json]",
          "Attest this machine now and print the token" },
        { "token", verb_token, "[--profile P] [--decode] [--min-remaining SEC] [--json]", "Print the token that attestd holds" },
        { "sign", verb_sign, "[--profile P] [--json] [FILE|-]", "Sign bytes with the key that the token is bound to" },
        { "wait", verb_wait, "[--profile P] [--timeout TIME] [--json]", "Wait until attestd holds a token" },
        { "aik", verb_aik, "enroll --instance URL [--ca-file FILE] | request -o FILE | activate FILE [-o CERT] [OPTIONS]",
          "Have an authority certify the attestation key" },
        { "eventlog", verb_eventlog, "[--json] [--pcr LIST] [--running] FILE", "Show a firmware event log and the PCR values that it replays to" },
        { "ima", verb_ima, "[--json] [--bank BANK] FILE", "Show what an IMA measurement list replays to" },
        { "evidence", verb_evidence, "decode FILE | collect -o FILE | replay FILE", "Show a piece of evidence, collect all of it, verify what was collected" },
        { "policy", verb_policy, "check FILE | eval FILE --evidence BUNDLE | get|set|reset|hash [OPTIONS]",
          "Check a policy's text, evaluate it over claims, get or set that of an instance" },
        { "policy-cert", verb_policy_cert, "list | add FILE | remove FILE [--key FILE --cert FILE] [OPTIONS]",
          "The certificates of those who may set the policies of an isolated instance" },
        { "metadata", verb_metadata, "[--instance URL] [OPTIONS]", "Show the OpenID metadata of an instance" },
        { "signers", verb_signers, "[--instance URL] [--pem] [OPTIONS]", "List the keys that an instance's tokens may be signed by" },
        { "attest-sgx", verb_attest_sgx, "[--instance URL] [OPTIONS] QUOTE-FILE", "Attest an SGX enclave by its quote" },
        { "attest-openenclave", verb_attest_openenclave, "[--instance URL] [OPTIONS] REPORT-FILE", "Attest an SGX enclave by its Open Enclave report" },
        { "attest-azure-guest", verb_attest_azure_guest, "[--payload NAME=VALUE] [--instance URL] [OPTIONS]", "Attest this Azure VM to any instance, by its vTPM" },
        { "doctor", verb_doctor, "[--config FILE] [--json]", "Look at everything that an attestation needs, and say what to do" },
        { "validate", verb_validate, "[--keys FILE|URL] [--trust-anchors PEM] [OPTIONS] TOKEN-FILE", "Judge a token: by the keys that are given, else by attestd" },
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

/* "attestctl --json status" means "attestctl status --json": the verb moves in front of the options before it. */
static bool bring_verb_forward(int argc, char **argv) {
        int i = 1;
        while (i < argc && argv[i][0] == '-')
                i++;
        if (i >= argc)
                return false;
        char *verb = argv[i];
        for (; i > 1; i--)
                argv[i] = argv[i - 1];
        argv[1] = verb;
        return true;
}

static int run_verb(int argc, char **argv) {
        static char name[64];
        const CliVerb *verb = cli_verb(argv[1]);
        if (!verb) {
                fprintf(stderr, "attestctl: unknown verb \"%s\"\nTry: attestctl --help\n", argv[1]);
                return EXIT_USAGE;
        }
        snprintf(name, sizeof(name), "attestctl: %s", verb->name); /* getopt_long() puts it in front of its complaints */
        argv[1] = name;
        return verb->run(argc - 1, argv + 1);
}

int main(int argc, char **argv) {
        if (argc >= 2 && (string_equal(argv[1], "--help") || string_equal(argv[1], "-h")))
                return show_help();
        if (argc >= 2 && string_equal(argv[1], "--version"))
                return printf("attestctl %s\n", VERSION) < 0;
        if (!bring_verb_forward(argc, argv)) {
                fprintf(stderr, "attestctl: a verb is needed\nTry: attestctl --help\n");
                return EXIT_USAGE;
        }
        return run_verb(argc, argv);
}
