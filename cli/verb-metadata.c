/* attestctl metadata and attestctl signers: what an instance publishes of itself. */
#include <getopt.h>

#include "cli/instance-client.h"

static const char metadata_help[] =
        INSTANCE_OPTIONS_HELP "\nPrints the OpenID metadata as JSON, with --json or without.\n";
static const char signers_help[] =
        INSTANCE_OPTIONS_HELP "  --pem                the certificates as PEM\n\nLists the keys that the instance's tokens may be signed by.\n";

static Err *show_metadata(InstanceClient *client) {
        _cleanup_(operation_freep) Operation *operation = NULL;
        _cleanup_openid_metadata_ OpenIdMetadata metadata = {};
        HttpRequest request = {};
        TRY(maa_openid_request(instance_client_url(client), &request));
        TRY(instance_client_call(client, "fetching the metadata", &request, &operation));
        TRY(maa_openid_parse(operation_call_answer(operation), &metadata));
        return cli_print_json(metadata.json);
}

static Err *signer_to_json(const Jwk *jwk, Json **ret) {
        _cleanup_json_ Json *json = NULL, *key = NULL;
        _cleanup_free_ char *key_text = NULL, *pem = NULL, *thumbprint = NULL;
        TRY(json_new_object(&json));
        TRY(json_add_string(json, "kid", jwk->kid));
        TRY(jwk_public_text(jwk->key, &key_text));
        TRY(json_parse(span_from_string(key_text), "the key", &key));
        TRY(json_add(json, "key", steal_ptr(&key)));
        if (jwk->x5c) {
                TRY(x509_thumbprint_sha256(x509_stack_leaf(jwk->x5c), &thumbprint));
                TRY(x509_stack_to_pem(jwk->x5c, &pem));
                TRY(json_add_string(json, "x5t#S256", thumbprint));
                TRY(json_add_string(json, "certificates", pem));
        }
        *ret = steal_ptr(&json);
        return NULL;
}

static Err *show_signers_json(const JwkSet *keys) {
        _cleanup_json_ Json *array = NULL;
        TRY(json_new_array(&array));
        for (size_t i = 0; i < keys->n_keys; i++) {
                Json *signer = NULL;
                TRY(signer_to_json(keys->keys[i], &signer));
                TRY(json_append(array, signer));
        }
        return cli_print_json(array);
}

/* The key's name as JSON writes it, so that nothing in it reaches the terminal as a control character. */
static Err *show_signer(const Jwk *jwk) {
        _cleanup_json_ Json *name = json_object_new_string(jwk->kid ? jwk->kid : "");
        _cleanup_free_ char *text = NULL, *thumbprint = NULL;
        if (!name)
                return err_oom();
        TRY(json_to_string(name, &text));
        if (jwk->x5c)
                TRY(x509_thumbprint_sha256(x509_stack_leaf(jwk->x5c), &thumbprint));
        printf("%s %s\n", text, thumbprint ? thumbprint : "-");
        return NULL;
}

static Err *show_signers(InstanceClient *client, bool pem) {
        const JwkSet *keys;
        TRY(instance_client_keys(client, &keys));
        if (cli_is_json())
                return show_signers_json(keys);
        for (size_t i = 0; i < keys->n_keys; i++) {
                _cleanup_free_ char *text = NULL;
                if (!pem) {
                        TRY(show_signer(keys->keys[i]));
                        continue;
                }
                if (keys->keys[i]->x5c)
                        TRY(x509_stack_to_pem(keys->keys[i]->x5c, &text));
                printf("%s", text ? text : "");
        }
        return NULL;
}

typedef struct Request {
        InstanceOptions options;
        bool pem;
} Request;

/* -1: go on; else the exit status. */
static int take_options(int argc, char **argv, const char *help, Request *request) {
        enum { OPTION_PEM = OPTION_OF_VERB };
        static const struct option table[] = { INSTANCE_OPTIONS, { "pem", no_argument, NULL, OPTION_PEM }, {} };
        const char *verb = request->options.common.verb;
        for (int c; (c = getopt_long(argc, argv, "h", table, NULL)) >= 0;) {
                if (c == 'h')
                        return cli_help(cli_verb(verb), help);
                if (c == OPTION_PEM && string_equal(verb, "signers"))
                        request->pem = true;
                else if (c == OPTION_PEM)
                        return cli_usage_error(verb, "--pem is for signers");
                else if (instance_option_take(&request->options, c, optarg) != OPTION_TAKEN)
                        return EXIT_USAGE;
        }
        if (argc > optind)
                return cli_usage_error(verb, "there is nothing to name but options");
        return instance_options_check(&request->options) ? -1 : EXIT_USAGE;
}

static Err *run(const Request *request) {
        _cleanup_(instance_client_freep) InstanceClient *client = NULL;
        TRY(instance_client_open(&request->options, &client));
        return string_equal(request->options.common.verb, "signers") ? show_signers(client, request->pem) : show_metadata(client);
}

static int verb(const char *name, const char *help, int argc, char **argv) {
        Request request = { .options = INSTANCE_OPTIONS_OF(name) };
        int status = take_options(argc, argv, help, &request);
        if (status >= 0)
                return status;
        Err *err = run(&request);
        return err ? cli_fail(err) : EXIT_SUCCESS;
}

int verb_metadata(int argc, char **argv) {
        return verb("metadata", metadata_help, argc, argv);
}

int verb_signers(int argc, char **argv) {
        return verb("signers", signers_help, argc, argv);
}
