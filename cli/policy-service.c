/* See policy-service.h. The text of a policy goes to standard output as it is, so that get and set can be piped into each other. */
#include "cli/policy-service.h"

#include <getopt.h>

#include "cli/instance-client.h"
#include "cli/log-input.h"
#include "policy/policy.h"

const char policy_service_help[] =
        "  get --type TYPE             the policy of the instance for tpm, sgx or openenclave\n"
        "  set --type TYPE --policy FILE [--key FILE --cert FILE]   set it, signed where there is a key\n"
        "  reset --type TYPE [--key FILE --cert FILE]               back to the instance's default\n"
        "  hash --policy FILE [--key FILE --cert FILE]              x-ms-policy-token-hash, without asking anybody\n"
        "  --of-text            with hash: x-ms-policy-hash of the tokens that the policy judges (PolicyHash=) instead\n"
        "  --type TYPE          tpm, sgx or openenclave\n"
        "  --policy FILE        the policy's text; - for standard input\n"
        "  --key FILE           the signer's private key (PEM, RSA or EC)\n"
        "  --cert FILE          its certificate, and those up to its root (PEM)\n"
        INSTANCE_OPTIONS_HELP;

typedef struct Request {
        InstanceOptions options;
        const char *type_name, *policy, *key, *certificate;
        MaaPolicyType type;
        bool of_text;
} Request;

static Err *read_policy(const char *path, char **ret) {
        _cleanup_bytes_ Bytes text = {};
        _cleanup_(policy_freep) Policy *policy = NULL;
        TRY(log_input_read(path, POLICY_SIZE_MAX, &text));
        TRY(err_wrap(policy_parse(bytes_span(&text), &policy), "%s", path));
        return string_copy_span(bytes_span(&text), ret);
}

/* text NULL: a reset. */
static Err *make_token(const Request *request, const char *text, char **ret) {
        _cleanup_signer_files_ SignerFiles files = {};
        if (!request->key)
                return maa_policy_token(text, /* signer= */ NULL, ret);
        TRY(signer_files_read(request->key, request->certificate, &files));
        const MaaSigner signer = signer_files_signer(&files);
        return maa_policy_token(text, &signer, ret);
}

static Err *show_policy(const Request *request, const MaaPolicy *policy) {
        _cleanup_json_ Json *json = NULL;
        _cleanup_free_ char *hash = NULL;
        if (!cli_is_json()) {
                if (policy->is_signed && !policy->is_verified)
                        fprintf(stderr, "attestctl: the policy's own signature could not be verified\n");
                if (!policy->text)
                        fprintf(stderr, "attestctl: there is no policy for %s\n", maa_policy_type_to_string(request->type));
                printf("%s", policy->text ? policy->text : "");
                return NULL;
        }
        TRY(maa_policy_token_hash(policy->token, &hash));
        TRY(json_new_object(&json));
        TRY(json_add_string(json, "type", maa_policy_type_to_string(request->type)));
        TRY(json_add_string(json, "policy", policy->text));
        TRY(json_add_string(json, "policy_token", policy->token));
        TRY(json_add_string(json, "policy_token_hash", hash));
        TRY(json_add_boolean(json, "signed", policy->is_signed));
        TRY(json_add_boolean(json, "verified", policy->is_verified));
        TRY(json_add_string(json, "certificates", policy->certificates));
        return cli_print_json(json);
}

static Err *get(const Request *request, InstanceClient *client) {
        _cleanup_(token_freep) Token *token = NULL;
        _cleanup_maa_policy_ MaaPolicy policy = {};
        HttpRequest http = {};
        TRY(maa_policy_get_request(instance_client_url(client), instance_client_api_version(client), request->type, &http));
        TRY(instance_client_ask(client, "getting the policy", &http, &token));
        TRY(maa_policy_from_claims(token->claims, &policy));
        return show_policy(request, &policy);
}

static Err *show_change(MaaPolicyChange change, const char *policy_token, const char *signer) {
        _cleanup_json_ Json *json = NULL;
        _cleanup_free_ char *hash = NULL;
        const char *result = change == MAA_POLICY_UPDATED ? "updated" : "removed";
        TRY(maa_policy_token_hash(policy_token, &hash));
        if (!cli_is_json()) {
                printf(change == MAA_POLICY_UPDATED ? "%s %s\n" : "%s\n", result, hash);
                return NULL;
        }
        TRY(json_new_object(&json));
        TRY(json_add_string(json, "result", result));
        TRY(json_add_string(json, "policy_token_hash", change == MAA_POLICY_UPDATED ? hash : NULL));
        TRY(json_add_string(json, "signer", signer));
        return cli_print_json(json);
}

static Err *change(const Request *request, MaaPolicyChange wanted, InstanceClient *client) {
        _cleanup_free_ char *text = NULL, *policy_token = NULL, *signer = NULL;
        _cleanup_(token_freep) Token *token = NULL;
        HttpRequest http = {};
        const char *url = instance_client_url(client), *version = instance_client_api_version(client);
        bool is_update = wanted == MAA_POLICY_UPDATED;
        if (is_update)
                TRY(read_policy(request->policy, &text));
        TRY(make_token(request, text, &policy_token));
        TRY(is_update ? maa_policy_set_request(url, version, request->type, policy_token, &http) :
                        maa_policy_reset_request(url, version, request->type, policy_token, &http));
        TRY(instance_client_ask(client, is_update ? "setting the policy" : "resetting the policy", &http, &token));
        TRY(maa_policy_check_change(token->claims, wanted, policy_token, &signer));
        return show_change(wanted, policy_token, signer);
}

static Err *show_hash(const Request *request) {
        _cleanup_free_ char *text = NULL, *policy_token = NULL, *hash = NULL, *text_hash = NULL;
        _cleanup_json_ Json *json = NULL;
        TRY(read_policy(request->policy, &text));
        TRY(make_token(request, text, &policy_token));
        TRY(maa_policy_token_hash(policy_token, &hash));
        TRY(maa_policy_hash(text, &text_hash));
        if (!cli_is_json()) {
                printf("%s\n", request->of_text ? text_hash : hash);
                return NULL;
        }
        TRY(json_new_object(&json));
        TRY(json_add_string(json, "policy_token_hash", hash));
        TRY(json_add_string(json, "policy_hash", text_hash));
        TRY(json_add_string(json, "policy_token", policy_token));
        return cli_print_json(json);
}

static Err *run(const char *what, const Request *request) {
        _cleanup_(instance_client_freep) InstanceClient *client = NULL;
        if (string_equal(what, "hash"))
                return show_hash(request);
        TRY(instance_client_open(&request->options, &client));
        if (string_equal(what, "get"))
                return get(request, client);
        return change(request, string_equal(what, "set") ? MAA_POLICY_UPDATED : MAA_POLICY_REMOVED, client);
}

bool policy_service_knows(const char *what) {
        return string_equal(what, "get") || string_equal(what, "set") || string_equal(what, "reset") || string_equal(what, "hash");
}

/* -1: go on; else the exit status. */
static int check(const char *what, Request *request) {
        bool takes_policy = string_equal(what, "set") || string_equal(what, "hash"), takes_type = !string_equal(what, "hash");
        if (!request->policy != !takes_policy)
                return cli_usage_error("policy", takes_policy ? "%s needs --policy FILE" : "%s takes no --policy", what);
        if (!request->type_name != !takes_type)
                return cli_usage_error("policy", takes_type ? "%s needs --type tpm, sgx or openenclave" : "%s takes no --type", what);
        if (request->of_text && !string_equal(what, "hash"))
                return cli_usage_error("policy", "--of-text is for hash");
        if (!request->key != !request->certificate)
                return cli_usage_error("policy", "--key and --cert belong together");
        if (request->key && string_equal(what, "get"))
                return cli_usage_error("policy", "get signs nothing: no --key");
        _cleanup_(err_freep) Err *err = request->type_name ? maa_policy_type_from_string(request->type_name, &request->type) : NULL;
        if (err)
                return cli_usage_error("policy", "--type=%s", err_describe(err));
        return instance_options_check(&request->options) ? -1 : EXIT_USAGE;
}

int policy_service(const char *what, int argc, char **argv) {
        enum { OPTION_TYPE = OPTION_OF_VERB, OPTION_POLICY, OPTION_KEY, OPTION_CERT, OPTION_OF_TEXT };
        static const struct option table[] = {
                INSTANCE_OPTIONS,
                { "type", required_argument, NULL, OPTION_TYPE },
                { "policy", required_argument, NULL, OPTION_POLICY },
                { "key", required_argument, NULL, OPTION_KEY },
                { "cert", required_argument, NULL, OPTION_CERT },
                { "of-text", no_argument, NULL, OPTION_OF_TEXT },
                {},
        };
        Request request = { .options = INSTANCE_OPTIONS_OF("policy") };
        for (int c; (c = getopt_long(argc, argv, "h", table, NULL)) >= 0;) {
                if (c == 'h')
                        return cli_help(cli_verb("policy"), policy_service_help);
                const char **text = c == OPTION_TYPE ? &request.type_name : c == OPTION_POLICY ? &request.policy : c == OPTION_KEY ? &request.key :
                                    c == OPTION_CERT ? &request.certificate : NULL;
                if (text)
                        *text = optarg;
                else if (c == OPTION_OF_TEXT)
                        request.of_text = true;
                else if (instance_option_take(&request.options, c, optarg) != OPTION_TAKEN)
                        return EXIT_USAGE;
        }
        if (argc > optind)
                return cli_usage_error("policy", "%s: \"%s\" is not expected", what, argv[optind]);
        int status = check(what, &request);
        if (status >= 0)
                return status;
        Err *err = run(what, &request);
        return err ? cli_fail(err) : EXIT_SUCCESS;
}
