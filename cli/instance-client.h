/* What the verbs share that ask an instance themselves, without the daemon: where it is, who asks, trying again, and belief in the tokens that come back.
 *
 * With --instance URL no configuration is read: TLS is judged by --ca-file or the system, and only --token-file says who asks. Else the instance, the trust and the
 * credential are those of a profile of the configuration. */
#pragma once

#include "cli/options.h"
#include "client/driver.h"
#include "maa/policy-admin.h"
#include "maa/token.h"

enum { OPTION_INSTANCE = OPTION_OF_VERB + 100, OPTION_CA_FILE, OPTION_CONFIG, OPTION_TOKEN_FILE, OPTION_WAIT };
#define INSTANCE_OPTIONS                                                                                     \
        { "help", no_argument, NULL, 'h' }, { "json", no_argument, NULL, OPTION_JSON }, COMMON_OPTION_PROFILE, COMMON_OPTION_TIMEOUT,  \
                { "instance", required_argument, NULL, OPTION_INSTANCE }, { "ca-file", required_argument, NULL, OPTION_CA_FILE },      \
                { "config", required_argument, NULL, OPTION_CONFIG }, { "token-file", required_argument, NULL, OPTION_TOKEN_FILE },    \
                { "wait", optional_argument, NULL, OPTION_WAIT }
#define INSTANCE_OPTIONS_HELP                                                                                \
        "  --instance URL       the instance; default: that of the profile\n"                                \
        "  --ca-file FILE       with --instance: trust these authorities (PEM) for its TLS instead of the system's\n" \
        "  --token-file FILE    with --instance: an access token, sent as Authorization: Bearer\n"           \
        "  --config FILE        this configuration file and its drop-ins alone\n"                            \
        "  --profile P          the profile; default: the first\n"                                           \
        "  --wait[=TIME]        keep trying for that long (default: 5min) while the instance, or who gives access tokens, cannot be reached or is busy\n" \
        "  --timeout TIME       of a request; with --wait alone, instead of its TIME\n"                      \
        "  --json               as a JSON object\n"

#define WAIT_TIME_OF_TIMEOUT UINT64_MAX

typedef struct InstanceOptions {
        CommonOptions common;
        const char *url, *ca_file, *config_file, *token_file;
        bool wait;
        uint64_t wait_usec;                  /* with wait: how long; WAIT_TIME_OF_TIMEOUT: --timeout says it */
} InstanceOptions;
#define INSTANCE_OPTIONS_OF(name) (InstanceOptions) { .common = { .verb = (name), .profile = "" } }
/* As common_option_take(). */
OptionTaken instance_option_take(InstanceOptions *options, int c, const char *argument);
/* False: options that do not go together; the usage error stands on stderr. */
bool instance_options_check(const InstanceOptions *options);

typedef struct InstanceClient InstanceClient;
Err *instance_client_open(const InstanceOptions *options, InstanceClient **ret) _must_check_;
InstanceClient *instance_client_free(InstanceClient *client);
DEFINE_CLEANUP(InstanceClient, instance_client_free)
const char *instance_client_url(const InstanceClient *client);
const char *instance_client_api_version(const InstanceClient *client);   /* NULL: the default */

/* Sends request, which is taken, also on failure, and gives the answered operation. doing names it: "setting the policy" of the instance. */
Err *instance_client_call(InstanceClient *client, const char *doing, HttpRequest *steal_request, Operation **ret) _must_check_;
/* The same where the answer is {"token":…}, which is judged by the instance's keys, issuer and the profile's algorithms. */
Err *instance_client_ask(InstanceClient *client, const char *doing, HttpRequest *steal_request, Token **ret) _must_check_;
/* A token that came another way, judged by the same rules. */
Err *instance_client_believe(InstanceClient *client, const char *text, Token **ret) _must_check_;
/* The same without belief: for drafts, whose tokens are unsigned. */
Err *instance_client_ask_draft(InstanceClient *client, const char *doing, HttpRequest *steal_request, Token **ret) _must_check_;
Err *instance_client_keys(InstanceClient *client, const JwkSet **ret) _must_check_;   /* borrowed */

/* A private key and its certificates out of PEM files. */
typedef struct SignerFiles {
        EVP_PKEY *key;
        STACK_OF(X509) *certificates;
} SignerFiles;
void signer_files_done(SignerFiles *files);
#define _cleanup_signer_files_ _cleanup_(signer_files_done)
Err *signer_files_read(const char *key_path, const char *certificate_path, SignerFiles *ret) _must_check_;
MaaSigner signer_files_signer(const SignerFiles *files);
/* PEM certificates of a file. */
Err *certificates_read(const char *path, STACK_OF(X509) **ret) _must_check_;
