/* See options.h. */
#include "instance/options.h"

#include <errno.h>
#include <getopt.h>

#include "jose/x509.h"

void options_done(Options *options) {
        free(options->host);
        free(options->state);
        free(options->capture);
        free(options->imds_host);
        free(options->arc_directory);
        applications_free(options->applications);
        sk_X509_pop_free(options->service.aik_roots, X509_free);
        sk_X509_pop_free(options->service.ek_roots, X509_free);
        sk_X509_pop_free(options->service.policy_signers, X509_free);
        sk_X509_pop_free(options->service.sgx_roots, X509_free);
        *options = (Options) {};
}

static Err *parse_unsigned(const char *name, const char *text, int base, uint64_t max, uint64_t *ret) {
        char *end;
        errno = 0;
        unsigned long long value = strtoull(text, &end, base);
        if (errno != 0 || end == text || *end || text[0] == '-' || value > max)
                return err_new(ERR_INVALID_ARGUMENT, "--%s: \"%s\" is no %snumber up to %llu", name, text, base == 16 ? "hexadecimal " : "",
                               (unsigned long long) max);
        *ret = value;
        return NULL;
}

/* HOST:PORT or [::1]:PORT. The private keys of an instance lie in a folder and its faults are open to all: so loopback only. */
static Err *parse_listen(const char *name, const char *text, char **host_out, uint16_t *port_out) {
        const char *colon = strrchr(text, ':');
        uint64_t port;
        if (!colon)
                return err_new(ERR_INVALID_ARGUMENT, "--%s: \"%s\" has no port", name, text);
        TRY(parse_unsigned(name, colon + 1, 10, UINT16_MAX, &port));
        Span host = span_make(text, (size_t) (colon - text));
        if (host.size > 2 && host.data[0] == '[' && host.data[host.size - 1] == ']')
                host = span_make(host.data + 1, host.size - 2);
        if (!span_equal_string(host, "127.0.0.1") && !span_equal_string(host, "::1") && !span_equal_string(host, "localhost"))
                return err_new(ERR_INVALID_ARGUMENT, "--%s: \"%.*s\" is none of 127.0.0.1, [::1], localhost", name, (int) host.size,
                               (const char *) host.data);
        *port_out = (uint16_t) port;
        free(steal_ptr(host_out));
        return string_copy_span(host, host_out);
}

/* In the order of the files. */
static Err *add_certificates(const char *path, STACK_OF(X509) **certificates) {
        _cleanup_(x509_stack_freep) STACK_OF(X509) *more = NULL;
        TRY(ca_read_certificates(path, &more));
        if (*certificates)
                return X509_add_certs(*certificates, more, X509_ADD_FLAG_UP_REF) == 1 ? NULL : err_oom();
        *certificates = steal_ptr(&more);
        return NULL;
}

enum { OPTION_LISTEN = 256, OPTION_STATE, OPTION_MODE, OPTION_FAULT, OPTION_TRUST_EK_CA, OPTION_AIK_ROOT, OPTION_PCR_MASK,
       OPTION_LIFETIME, OPTION_BODY_MAX, OPTION_CAPTURE, OPTION_POLICY_SIGNER, OPTION_TRUST_SGX_ROOT,
       OPTION_APPLICATIONS, OPTION_IMDS, OPTION_ARC_TOKENS, OPTION_NO_DEFAULT_POLICY, OPTION_HELP, OPTION_VERSION };

static const struct option table[] = {
        { "listen", required_argument, NULL, OPTION_LISTEN },
        { "state", required_argument, NULL, OPTION_STATE },
        { "mode", required_argument, NULL, OPTION_MODE },
        { "fault", required_argument, NULL, OPTION_FAULT },
        { "trust-ek-ca", required_argument, NULL, OPTION_TRUST_EK_CA },
        { "aik-root", required_argument, NULL, OPTION_AIK_ROOT },
        { "policy-signer", required_argument, NULL, OPTION_POLICY_SIGNER },
        { "trust-sgx-root", required_argument, NULL, OPTION_TRUST_SGX_ROOT },
        { "required-pcr-mask", required_argument, NULL, OPTION_PCR_MASK },
        { "token-lifetime", required_argument, NULL, OPTION_LIFETIME },
        { "body-max", required_argument, NULL, OPTION_BODY_MAX },
        { "applications", required_argument, NULL, OPTION_APPLICATIONS },
        { "imds", required_argument, NULL, OPTION_IMDS },
        { "arc-tokens", required_argument, NULL, OPTION_ARC_TOKENS },
        { "capture", required_argument, NULL, OPTION_CAPTURE },
        { "no-default-policy", no_argument, NULL, OPTION_NO_DEFAULT_POLICY },
        { "help", no_argument, NULL, OPTION_HELP },
        { "version", no_argument, NULL, OPTION_VERSION },
        {},
};

static Err *parse_number_option(int option, const char *argument, Options *options) {
        uint64_t value;
        if (option == OPTION_PCR_MASK) {
                TRY(parse_unsigned("required-pcr-mask", argument, 16, PCR_MASK_ALL, &value));
                options->service.required_pcrs = (uint32_t) value;
        } else if (option == OPTION_LIFETIME) {
                TRY(parse_unsigned("token-lifetime", argument, 10, REPORT_LIFETIME_SEC_MAX, &value));
                options->service.token_lifetime_sec = value;
        } else {
                TRY(parse_unsigned("body-max", argument, 10, OPTIONS_BODY_MAX_LIMIT >> 20, &value));
                options->body_max = value << 20;
        }
        return NULL;
}

static Err *parse_option(int option, const char *argument, const char *word, Options *options) {
        switch (option) {
        case OPTION_LISTEN:
                return parse_listen("listen", argument, &options->host, &options->port);
        case OPTION_STATE:
                free(steal_ptr(&options->state));
                TRY(string_copy(argument, &options->state));
                options->service.state = options->state;
                return NULL;
        case OPTION_MODE:
                return service_mode_from_string(argument, &options->service.mode);
        case OPTION_FAULT:
                return faults_add(&options->faults, span_from_string(argument));
        case OPTION_TRUST_EK_CA:
                return err_wrap(add_certificates(argument, &options->service.ek_roots), "--trust-ek-ca");
        case OPTION_AIK_ROOT:
                return err_wrap(add_certificates(argument, &options->service.aik_roots), "--aik-root");
        case OPTION_POLICY_SIGNER:
                return err_wrap(add_certificates(argument, &options->service.policy_signers), "--policy-signer");
        case OPTION_TRUST_SGX_ROOT:
                return err_wrap(add_certificates(argument, &options->service.sgx_roots), "--trust-sgx-root");
        case OPTION_CAPTURE:
                free(steal_ptr(&options->capture));
                TRY(string_copy(argument, &options->capture));
                options->service.capture = options->capture;
                return NULL;
        case OPTION_NO_DEFAULT_POLICY:
                options->service.no_default_policy = true;
                return NULL;
        case OPTION_IMDS:
                return parse_listen("imds", argument, &options->imds_host, &options->imds_port);
        case OPTION_APPLICATIONS:
                options->applications = applications_free(options->applications);
                TRY(err_wrap(applications_read(argument, &options->applications), "--applications"));
                options->service.applications = options->applications;
                return NULL;
        case OPTION_ARC_TOKENS:
                free(steal_ptr(&options->arc_directory));
                TRY(string_copy(argument, &options->arc_directory));
                options->service.arc_directory = options->arc_directory;
                return NULL;
        case OPTION_PCR_MASK:
        case OPTION_LIFETIME:
        case OPTION_BODY_MAX:
                return parse_number_option(option, argument, options);
        case OPTION_HELP:
                options->show_help = true;
                return NULL;
        case OPTION_VERSION:
                options->show_version = true;
                return NULL;
        case ':':
                return err_new(ERR_INVALID_ARGUMENT, "%s needs a value", word);
        }
        return err_new(ERR_INVALID_ARGUMENT, "unknown option %s", word);
}

Err *options_parse(int argc, char **argv, Options *ret) {
        _cleanup_options_ Options options = {
                .service = { .required_pcrs = PCR_MASK_ALL, .token_lifetime_sec = REPORT_LIFETIME_SEC_DEFAULT },
                .body_max = OPTIONS_BODY_MAX_DEFAULT,
        };
        opterr = 0;
        optind = 0; /* glibc: start over, so that tests can parse twice */
        for (;;) {
                int option = getopt_long(argc, argv, ":", table, NULL);
                if (option < 0)
                        break;
                TRY(parse_option(option, optarg, argv[optind - 1], &options));
        }
        if (optind < argc)
                return err_new(ERR_INVALID_ARGUMENT, "\"%s\" is one argument too many", argv[optind]);
        if (!options.show_help && !options.show_version && (!options.host || !options.state))
                return err_new(ERR_INVALID_ARGUMENT, "--listen and --state are needed");
        if (options.service.policy_signers && options.service.mode != SERVICE_MODE_ISOLATED)
                return err_new(ERR_INVALID_ARGUMENT, "--policy-signer is for --mode isolated, the others have no policy signers");
        if ((options.imds_host || options.arc_directory) && !options.applications)
                return err_new(ERR_INVALID_ARGUMENT, "--imds and --arc-tokens need --applications");
        *ret = options;
        options = (Options) {};
        return NULL;
}

void options_print_help(FILE *file) {
        fputs("attest-instance --listen 127.0.0.1:PORT --state DIR [OPTIONS]\n\n"
              "A local attestation instance for development and tests: verifies TPM evidence for real, signs tokens of the real\n"
              "service's form, and misbehaves on request. Clients trust DIR/ca.pem. Prints READY url=... when it can be asked.\n\n"
              "  --listen HOST:PORT        127.0.0.1, [::1] or localhost; port 0: any free one\n"
              "  --state DIR               keys and certificates, made on first start\n"
              "  --mode MODE               kind of instance, says who may change policies: aad (default), everybody; isolated, who signs as a\n"
              "                            policy signer; shared, nobody\n"
              "  --policy-signer FILE      PEM certificates of the first policy signers of an isolated instance; without it DIR/policy-signer.pem\n"
              "                            is made and is the one; may be repeated\n"
              "  --aik-root FILE           PEM authorities that AIK certificates may chain to, beside DIR/aik-ca.pem; may be repeated\n"
              "  --trust-ek-ca FILE        PEM authorities of endorsement keys, whose AIKs may be enrolled; may be repeated\n"
              "  --trust-sgx-root FILE     PEM roots of the PCK certificates of SGX quotes; without it tokens say that the chain is unverified; may be\n"
              "                            repeated\n"
              "  --no-default-policy       refuse TPM evidence until a policy for it was set\n"
              "  --required-pcr-mask HEX   PCRs that one quoted bank must have (default ffffff: 0-23)\n"
              "  --token-lifetime SEC      exp - iat of tokens (default 86400, as the service)\n"
              "  --body-max MIB            largest request (default 64)\n"
              "  --applications FILE       tenants, applications, secrets, roles (JSON): there is a token authority, and tokens are needed\n"
              "  --imds HOST:PORT          metadata endpoints in plain HTTP: managed identities of IMDS, App Service, Arc\n"
              "  --arc-tokens DIR          folder for the key files of Arc's challenges\n"
              "  --capture DIR             keep the body of every attest/Tpm request in DIR, as 000001.json …\n"
              "  --fault SPEC              misbehave; may be repeated\n"
              "  --help, --version\n\n", file);
        fault_print_help(file);
}
