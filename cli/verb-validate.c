/* attestctl validate: judges a token by keys or trust anchors that the caller names, without any daemon; or, if none are named, asks the daemon to judge
 * it by a profile's rules.
 *
 * The verdict and a failure to reach one are different things: a token that breaks a rule gives a verdict (with --json an object that says valid:
 * false and shows what could be parsed), keys that cannot be read give an error like every other verb's. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "cli/daemon-client.h"
#include "cli/options.h"
#include "client/driver.h"
#include "maa/token.h"

#define KEYS_SIZE_MAX (1u << 20)
#define TIME_MAX (UINT64_C(1) << 53)
#define CONNECT_TIMEOUT_USEC (10 * USEC_PER_SEC)
#define TIMEOUT_USEC (60 * USEC_PER_SEC)

typedef struct Options {
        CommonOptions common;
        const char *keys, *trust_anchors, *issuer, *nonce, *at, *algorithms, *ca_file;
        bool signature_only;
} Options;

/* What the rules borrow. */
typedef struct Judge {
        JwkSet *keys;
        STACK_OF(X509) *anchors;
        Bytes nonce;
        TokenRules rules;
} Judge;

static void judge_done(Judge *judge) {
        jwk_set_free(judge->keys);
        token_trust_anchors_free(judge->anchors);
        bytes_done(&judge->nonce);
}

static Err *read_input(const char *path, size_t max, Bytes *ret) {
        return string_equal(path, "-") ? fd_read_all(STDIN_FILENO, "standard input", max, ret) : file_read(path, max, ret);
}

/* The instance's URL, with or without /certs at its end. */
static Err *fetch_keys(const Options *options, JwkSet **ret) {
        _cleanup_free_ char *given = NULL, *base_url = NULL;
        _cleanup_(operation_freep) Operation *operation = NULL;
        TRY(string_copy(options->keys, &given));
        size_t n = strlen(given), suffix = strlen("/certs");
        if (n > suffix && string_equal(given + n - suffix, "/certs"))
                given[n - suffix] = 0;
        TRY(maa_base_url_normalize(given, &base_url));
        TRY(operation_new_certs(base_url, &operation));
        TransportOptions transport = { .ca_file = options->ca_file, .connect_timeout_usec = CONNECT_TIMEOUT_USEC, .timeout_usec = TIMEOUT_USEC };
        TRY(driver_run(operation, &transport, &(DriverCallbacks) {}));
        *ret = operation_take_certs(operation);
        return NULL;
}

static Err *load_keys(const Options *options, JwkSet **ret) {
        _cleanup_bytes_ Bytes text = {};
        if (strncmp(options->keys, "https://", 8) == 0 || strncmp(options->keys, "http://", 7) == 0)
                return fetch_keys(options, ret);
        TRY(file_read(options->keys, KEYS_SIZE_MAX, &text));
        return jwk_set_parse(bytes_span(&text), options->keys, ret);
}

static Err *load_anchors(const Options *options, STACK_OF(X509) **ret) {
        _cleanup_bytes_ Bytes pem = {};
        TRY(file_read(options->trust_anchors, KEYS_SIZE_MAX, &pem));
        return token_trust_anchors_parse(bytes_span(&pem), options->trust_anchors, ret);
}

static Err *load_judge(const Options *options, Judge *judge) {
        if (options->keys)
                TRY(err_wrap(load_keys(options, &judge->keys), "keys"));
        if (options->trust_anchors)
                TRY(err_wrap(load_anchors(options, &judge->anchors), "trust anchors"));
        judge->rules.keys = judge->keys;
        judge->rules.trust_anchors = judge->anchors;
        judge->rules.issuer = options->issuer;
        judge->rules.nonce = bytes_span(&judge->nonce);
        judge->rules.clock_skew_sec = TOKEN_CLOCK_SKEW_SEC;
        judge->rules.signature_only = options->signature_only;
        return NULL;
}

/* NULL stands for null, which json_add() does not take. */
static Err *add_string_or_null(Json *object, const char *member, const char *value) {
        if (value)
                return json_add_string(object, member, value);
        return json_object_object_add(object, member, NULL) < 0 ? err_oom() : NULL;
}

static Err *print_verdict_json(const Token *token, const Err *reason) {
        _cleanup_json_ Json *verdict = NULL, *shown = NULL;
        TRY(json_new_object(&verdict));
        TRY(json_add_boolean(verdict, "valid", !reason));
        TRY(add_string_or_null(verdict, "code", reason ? err_code_info(err_code(reason))->name : NULL));
        TRY(add_string_or_null(verdict, "reason", reason ? err_describe(reason) : NULL));
        if (token)
                TRY(token_to_json(token, &shown));
        static const char *const members[] = { "header", "claims" };
        for (size_t i = 0; i < N_ELEMENTS(members); i++)
                if (json_object_object_add(verdict, members[i], json_object_get(json_get(shown, members[i]))) < 0)
                        return err_oom();
        return cli_print_json(verdict);
}

static void print_time(const char *label, uint64_t seconds) {
        char text[64];
        struct tm broken_down;
        time_t when = (time_t) seconds;
        if (seconds > 0 && gmtime_r(&when, &broken_down) && strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &broken_down) > 0)
                printf("%-10s %s\n", label, text);
}

/* The issuer as JSON writes it, so that nothing in it reaches the terminal as a control character. */
static Err *print_verdict_text(const Token *token) {
        Json *issuer = json_get(token->claims, "iss");
        printf("%-10s %s\n%-10s %s\n", "verdict", "valid", "algorithm", jose_alg_to_string(token->jws->alg));
        if (issuer)
                printf("%-10s %s\n", "issuer", json_object_to_json_string_ext(issuer, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
        print_time("issued", token->issued_sec);
        print_time("expires", token->expires_sec);
        return fflush(stdout) == 0 ? NULL : err_new_errno(ERR_IO, errno, "writing to standard output");
}

/* Form is judged here, everything else by the daemon. */
static Err *ask_daemon(const Options *options, Span text, Token **ret_parsed, Err **ret_reason) {
        _cleanup_bus_ sd_bus *bus = NULL;
        _cleanup_(token_freep) Token *parsed = NULL;
        Err *malformed = token_parse(text, &parsed);
        if (malformed) {
                *ret_reason = malformed;
                return NULL;
        }
        TRY(daemon_connect(options->common.user_bus, &bus));
        TRY(daemon_validate_token(bus, options->common.profile, &parsed->jws->text, ret_reason));
        *ret_parsed = steal_ptr(&parsed);
        return NULL;
}

static Err *judge_text(const Options *options, const Judge *judge, Span text, Token **ret_parsed, Err **ret_reason) {
        _cleanup_(token_freep) Token *token = NULL, *parsed = NULL;
        if (!judge)
                return err_wrap(ask_daemon(options, text, ret_parsed, ret_reason), "asking attestd");
        *ret_reason = token_validate(text, &judge->rules, &token, &parsed);
        *ret_parsed = token ? steal_ptr(&token) : steal_ptr(&parsed);
        return NULL;
}

/* judge NULL: the daemon is asked. */
static int judge_token(const Options *options, const Judge *judge, const char *path) {
        _cleanup_bytes_ Bytes text = {};
        _cleanup_(token_freep) Token *parsed = NULL;
        _cleanup_(err_freep) Err *reason = NULL;
        Err *failure = read_input(path, TOKEN_SIZE_MAX, &text);
        if (!failure)
                failure = judge_text(options, judge, bytes_span(&text), &parsed, &reason);
        if (!failure && cli_is_json())
                failure = print_verdict_json(parsed, reason);
        else if (!failure && !reason)
                failure = print_verdict_text(parsed);
        if (failure)
                return cli_fail(failure);
        if (!reason)
                return EXIT_SUCCESS;
        fprintf(stderr, "attestctl: %s: %s (%s)\n", path, err_describe(reason), err_code_info(err_code(reason))->name);
        return err_code_info(err_code(reason))->exit_status;
}

static bool parse_time(const char *text, uint64_t *ret) {
        char *end;
        errno = 0;
        unsigned long long value = strtoull(text, &end, 10);
        if (errno != 0 || *text < '0' || *text > '9' || *end || value > TIME_MAX)
                return false;
        *ret = value;
        return true;
}

static int usage_from(Err *steal_err, const char *option) {
        _cleanup_(err_freep) Err *err = steal_err;
        return cli_usage_error("validate", "%s: %s", option, err_describe(err));
}

/* Options that can be wrong in themselves. */
static int take_options(const Options *options, Judge *judge) {
        Err *err = NULL;
        judge->rules.now_sec = (uint64_t) time(NULL);
        if (options->at && !parse_time(options->at, &judge->rules.now_sec))
                return cli_usage_error("validate", "--at: \"%s\" is no number of seconds since 1970", options->at);
        if (options->nonce && (err = hex_decode(span_from_string(options->nonce), "nonce", &judge->nonce)))
                return usage_from(err, "--nonce");
        if (options->nonce && judge->nonce.size == 0)
                return cli_usage_error("validate", "--nonce: at least one byte is needed");
        if (options->algorithms && (err = jose_alg_set_parse(options->algorithms, &judge->rules.algorithms)))
                return usage_from(err, "--allow-alg");
        if (!options->algorithms && options->signature_only)
                judge->rules.algorithms = JOSE_ALGS_ASYMMETRIC;
        if (options->signature_only && (options->issuer || options->nonce))
                return cli_usage_error("validate", "--signature-only judges no claims, so --issuer and --nonce make no sense with it");
        return EXIT_SUCCESS;
}

/* What the daemon judges by is its configuration's business, when it is, now. */
static int take_daemon_options(const Options *options) {
        const struct {
                const char *name;
                bool given;
        } foreign[] = {
                { "--issuer", options->issuer }, { "--nonce", options->nonce }, { "--at", options->at }, { "--allow-alg", options->algorithms },
                { "--ca", options->ca_file }, { "--signature-only", options->signature_only },
        };
        for (size_t i = 0; i < N_ELEMENTS(foreign); i++)
                if (foreign[i].given)
                        return cli_usage_error("validate", "%s needs --keys or --trust-anchors: without them attestd judges by its own rules", foreign[i].name);
        return EXIT_SUCCESS;
}

static const char help_text[] =
        "  --keys FILE|URL        a JWK or JWK set, or the https URL of the instance that publishes one\n"
        "  --trust-anchors PEM    certificates; a token's x5c must lead to one of them\n"
        "  --issuer URL           the instance that must have issued the token (default: not checked)\n"
        "  --nonce HEX            the nonce that the token must answer (default: not checked)\n"
        "  --at SECONDS           judge as of that time, in seconds since 1970 (default: now)\n"
        "  --allow-alg ALG,...    allowed algorithms (default: RS256; with --signature-only every asymmetric one)\n"
        "  --signature-only       judge the JWS alone, whatever its payload\n"
        "  --ca FILE              PEM file of the CAs that the URL's server is checked by (default: the system's)\n"
        "  --json                 the verdict as a JSON object\n"
        "  --profile P            without keys and anchors: attestd judges by the rules of this profile (default: the first)\n"
        "  --bus system|user      the bus to find attestd on (default: system)\n"
        "  TOKEN-FILE             the token, or - for standard input\n\n"
        "Exit status: 0 valid; else that of the rule that failed, see attestctl errors.\n";

int verb_validate(int argc, char **argv) {
        enum { OPTION_KEYS = OPTION_OF_VERB, OPTION_ANCHORS, OPTION_ISSUER, OPTION_NONCE, OPTION_AT, OPTION_ALG, OPTION_SIGNATURE, OPTION_CA };
        static const struct option long_options[] = {
                COMMON_OPTIONS,
                COMMON_OPTION_PROFILE,
                { "keys", required_argument, NULL, OPTION_KEYS },
                { "trust-anchors", required_argument, NULL, OPTION_ANCHORS },
                { "issuer", required_argument, NULL, OPTION_ISSUER },
                { "nonce", required_argument, NULL, OPTION_NONCE },
                { "at", required_argument, NULL, OPTION_AT },
                { "allow-alg", required_argument, NULL, OPTION_ALG },
                { "signature-only", no_argument, NULL, OPTION_SIGNATURE },
                { "ca", required_argument, NULL, OPTION_CA },
                {},
        };
        Options options = { .common = { .verb = "validate", .profile = "" } };
        const char **const texts[] = { &options.keys, &options.trust_anchors, &options.issuer, &options.nonce, &options.at, &options.algorithms };
        for (int c; (c = getopt_long(argc, argv, "h", long_options, NULL)) >= 0;)
                if (c == 'h')
                        return cli_help(cli_verb("validate"), help_text);
                else if (c == OPTION_SIGNATURE)
                        options.signature_only = true;
                else if (c == OPTION_CA)
                        options.ca_file = optarg;
                else if (c >= OPTION_KEYS && c <= OPTION_ALG)
                        *texts[c - OPTION_KEYS] = optarg;
                else if (common_option_take(&options.common, c, optarg) != OPTION_TAKEN)
                        return EXIT_USAGE;
        if (argc - optind != 1)
                return cli_usage_error("validate", "one token file is needed");
        if (!options.keys && !options.trust_anchors) {
                int wrong = take_daemon_options(&options);
                return wrong != EXIT_SUCCESS ? wrong : judge_token(&options, /* judge= */ NULL, argv[optind]);
        }
        _cleanup_(judge_done) Judge judge = {};
        int status = take_options(&options, &judge);
        if (status != EXIT_SUCCESS)
                return status;
        Err *err = load_judge(&options, &judge);
        return err ? cli_fail(err) : judge_token(&options, &judge, argv[optind]);
}
