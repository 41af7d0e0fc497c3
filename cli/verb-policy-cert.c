/* attestctl policy-cert: the certificates of those who may set the policies of an isolated instance. */
#include <getopt.h>

#include "cli/instance-client.h"
#include "maa/policy-certs.h"

static const char help_text[] =
        "  list                 the certificates; none on an instance that is not isolated\n"
        "  add FILE --key FILE --cert FILE       add the certificate of FILE (PEM)\n"
        "  remove FILE --key FILE --cert FILE    remove it\n"
        "  --key FILE           private key (PEM, RSA or EC) of one who is in the list\n"
        "  --cert FILE          its certificate (PEM)\n"
        "  --pem                with list: as PEM\n"
        INSTANCE_OPTIONS_HELP;

typedef struct Request {
        InstanceOptions options;
        const char *what, *file, *key, *certificate;
        bool pem;
} Request;

static Err *entry_to_json(const Jwk *jwk, Json **ret) {
        _cleanup_json_ Json *json = NULL;
        _cleanup_free_ char *thumbprint = NULL, *pem = NULL;
        TRY(maa_certificate_thumbprint(x509_stack_leaf(jwk->x5c), &thumbprint));
        TRY(x509_stack_to_pem(jwk->x5c, &pem));
        TRY(json_new_object(&json));
        TRY(json_add_string(json, "thumbprint", thumbprint));
        TRY(json_add_string(json, "certificates", pem));
        *ret = steal_ptr(&json);
        return NULL;
}

static Err *show_list(const JwkSet *set, bool pem) {
        _cleanup_json_ Json *array = NULL;
        TRY(json_new_array(&array));
        for (size_t i = 0; i < set->n_keys; i++) {
                Json *entry = NULL;
                if (!set->keys[i]->x5c)
                        return err_new(ERR_TOKEN_CLAIM_INVALID, "entry %zu of the list has no certificate", i);
                TRY(entry_to_json(set->keys[i], &entry));
                TRY(json_append(array, entry));
                if (!cli_is_json() && pem)
                        printf("%s", json_object_get_string(json_get(entry, "certificates")));
                else if (!cli_is_json())
                        printf("%s\n", json_object_get_string(json_get(entry, "thumbprint")));
        }
        return cli_is_json() ? cli_print_json(array) : NULL;
}

static Err *list(const Request *request, InstanceClient *client) {
        _cleanup_(token_freep) Token *token = NULL;
        _cleanup_(jwk_set_freep) JwkSet *set = NULL;
        HttpRequest http = {};
        TRY(maa_policy_certs_list_request(instance_client_url(client), instance_client_api_version(client), &http));
        TRY(instance_client_ask(client, "listing the policy certificates", &http, &token));
        TRY(maa_policy_certs_from_claims(token->claims, &set));
        return show_list(set, request->pem);
}

static Err *show_change(MaaCertificateChange change, X509 *certificate) {
        _cleanup_free_ char *thumbprint = NULL;
        _cleanup_json_ Json *json = NULL;
        const char *result = change == MAA_CERTIFICATE_ADD ? "present" : "absent";
        TRY(maa_certificate_thumbprint(certificate, &thumbprint));
        if (!cli_is_json()) {
                printf("%s %s\n", result, thumbprint);
                return NULL;
        }
        TRY(json_new_object(&json));
        TRY(json_add_string(json, "result", result));
        TRY(json_add_string(json, "thumbprint", thumbprint));
        return cli_print_json(json);
}

static Err *change(const Request *request, InstanceClient *client) {
        MaaCertificateChange wanted = string_equal(request->what, "add") ? MAA_CERTIFICATE_ADD : MAA_CERTIFICATE_REMOVE;
        _cleanup_signer_files_ SignerFiles files = {};
        _cleanup_(x509_stack_freep) STACK_OF(X509) *certificates = NULL;
        _cleanup_(token_freep) Token *token = NULL;
        _cleanup_free_ char *text = NULL;
        HttpRequest http = {};
        TRY(certificates_read(request->file, &certificates));
        TRY(signer_files_read(request->key, request->certificate, &files));
        const MaaSigner signer = signer_files_signer(&files);
        X509 *certificate = x509_stack_leaf(certificates);
        TRY(maa_policy_certs_token(certificate, &signer, &text));
        TRY(maa_policy_certs_change_request(instance_client_url(client), instance_client_api_version(client), wanted, text, &http));
        TRY(instance_client_ask(client, wanted == MAA_CERTIFICATE_ADD ? "adding a policy certificate" : "removing a policy certificate", &http, &token));
        TRY(maa_policy_certs_check_change(token->claims, wanted, certificate));
        return show_change(wanted, certificate);
}

static Err *run(const Request *request) {
        _cleanup_(instance_client_freep) InstanceClient *client = NULL;
        TRY(instance_client_open(&request->options, &client));
        return string_equal(request->what, "list") ? list(request, client) : change(request, client);
}

/* -1: go on; else the exit status. */
static int check(const Request *request) {
        bool is_list = string_equal(request->what, "list");
        if (!is_list && !string_equal(request->what, "add") && !string_equal(request->what, "remove"))
                return cli_usage_error("policy-cert", "what to do is needed: list, add or remove");
        if (!request->file != is_list)
                return cli_usage_error("policy-cert", is_list ? "list takes no file" : "one certificate is needed");
        if (!request->key != is_list || !request->certificate != is_list)
                return cli_usage_error("policy-cert", is_list ? "list signs nothing: no --key and --cert" : "--key and --cert of one who may do so are needed");
        if (request->pem && !is_list)
                return cli_usage_error("policy-cert", "--pem is for list");
        return instance_options_check(&request->options) ? -1 : EXIT_USAGE;
}

int verb_policy_cert(int argc, char **argv) {
        enum { OPTION_KEY = OPTION_OF_VERB, OPTION_CERT, OPTION_PEM };
        static const struct option table[] = {
                INSTANCE_OPTIONS,
                { "key", required_argument, NULL, OPTION_KEY },
                { "cert", required_argument, NULL, OPTION_CERT },
                { "pem", no_argument, NULL, OPTION_PEM },
                {},
        };
        Request request = { .options = INSTANCE_OPTIONS_OF("policy-cert"), .what = "" };
        for (int c; (c = getopt_long(argc, argv, "h", table, NULL)) >= 0;) {
                if (c == 'h')
                        return cli_help(cli_verb("policy-cert"), help_text);
                if (c == OPTION_KEY)
                        request.key = optarg;
                else if (c == OPTION_CERT)
                        request.certificate = optarg;
                else if (c == OPTION_PEM)
                        request.pem = true;
                else if (instance_option_take(&request.options, c, optarg) != OPTION_TAKEN)
                        return EXIT_USAGE;
        }
        if (argc - optind > 2)
                return cli_usage_error("policy-cert", "\"%s\" is not expected", argv[optind + 2]);
        if (argc > optind)
                request.what = argv[optind];
        if (argc > optind + 1)
                request.file = argv[optind + 1];
        int status = check(&request);
        if (status >= 0)
                return status;
        Err *err = run(&request);
        return err ? cli_fail(err) : EXIT_SUCCESS;
}
