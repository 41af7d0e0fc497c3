/* See keys.h. */
#include "config/keys.h"

#include <ctype.h>

#include "base/writer.h"
#include "config/values.h"

#define FIELD(Type, config, where) ((Type *) (void *) ((char *) (config) + (where)))

static Err *set_boolean(const ConfigKey *key, const char *text, Config *config) {
        return value_parse_boolean(text, FIELD(bool, config, key->offset));
}

static Err *set_string(const ConfigKey *key, const char *text, Config *config) {
        char *copy;
        TRY(key->check(text));
        TRY(string_copy(text, &copy));
        char **field = FIELD(char *, config, key->offset);
        free(*field);
        *field = copy;
        return NULL;
}

static Err *set_parsed_string(const ConfigKey *key, const char *text, Config *config, Err *(*parse)(const char *, char **)) {
        char *parsed;
        TRY(parse(text, &parsed));
        char **field = FIELD(char *, config, key->offset);
        free(*field);
        *field = parsed;
        return NULL;
}

static Err *set_https_url(const ConfigKey *key, const char *text, Config *config) {
        return set_parsed_string(key, text, config, value_parse_https_url);
}

static Err *set_credential_file(const ConfigKey *key, const char *text, Config *config) {
        return set_parsed_string(key, text, config, value_parse_credential_file);
}

static Err *set_algorithms(const ConfigKey *key, const char *text, Config *config) {
        return set_parsed_string(key, text, config, value_parse_algorithms);
}

static Err *choice_error(const char *const *choices) {
        _cleanup_writer_ Writer writer = {};
        for (size_t i = 0; choices[i]; i++)
                writer_format(&writer, "%s%s", i == 0 ? "" : choices[i + 1] ? ", " : " or ", choices[i]);
        _cleanup_free_ char *list = NULL;
        TRY(writer_finish_string(&writer, &list));
        return err_new(ERR_INVALID_ARGUMENT, "%s is needed", list);
}

static Err *set_choice(const ConfigKey *key, const char *text, Config *config) {
        for (unsigned i = 0; key->choices[i]; i++)
                if (string_equal(text, key->choices[i])) {
                        *FIELD(unsigned, config, key->offset) = i;
                        return NULL;
                }
        return choice_error(key->choices);
}

static Err *set_duration(const ConfigKey *key, const char *text, Config *config) {
        uint64_t usec;
        TRY(value_parse_duration(text, &usec));
        if (usec < key->min_usec || usec > key->max_usec)
                return err_new(ERR_INVALID_ARGUMENT, "a time of %g s to %g s is needed", (double) key->min_usec / (double) USEC_PER_SEC,
                               (double) key->max_usec / (double) USEC_PER_SEC);
        *FIELD(uint64_t, config, key->offset) = usec;
        return NULL;
}

static Err *set_clock_skew(const ConfigKey *key, const char *text, Config *config) {
        TRY(set_duration(key, text, config));
        config->clock_skew_sec /= USEC_PER_SEC;
        return NULL;
}

static Err *set_percent_range(const ConfigKey *key, const char *text, Config *config) {
        return value_parse_percent_range(text, FIELD(unsigned, config, key->offset), FIELD(unsigned, config, key->offset2));
}

static Err *set_pcrs(const ConfigKey *key, const char *text, Config *config) {
        return value_parse_pcrs(text, FIELD(uint32_t, config, key->offset));
}

static Err *set_access(const ConfigKey *key, const char *text, Config *config) {
        char **names;
        TRY(value_parse_access(text, &names));
        words_free(config->token_access);
        config->token_access = names;
        return NULL;
}

static Err *set_pairs(const ConfigKey *key, const char *text, Config *config) {
        ConfigPair *pairs;
        size_t n;
        TRY(value_parse_pairs(text, &pairs, &n));
        pairs_free(*FIELD(ConfigPair *, config, key->offset), *FIELD(size_t, config, key->offset2));
        *FIELD(ConfigPair *, config, key->offset) = pairs;
        *FIELD(size_t, config, key->offset2) = n;
        return NULL;
}

static Err *set_nonce(const ConfigKey *key, const char *text, Config *config) {
        Bytes nonce = {};
        if (*text)
                TRY(value_parse_nonce(text, &nonce));
        bytes_done(&config->nonce);
        config->nonce = nonce;
        return NULL;
}

/* Numbers as in syslog.h; the digits themselves are taken too. */
static const char *const log_levels[] = { "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug", NULL };

static Err *set_log_level(const ConfigKey *key, const char *text, Config *config) {
        if (text[0] >= '0' && text[0] <= '7' && !text[1])
                text = log_levels[text[0] - '0'];
        return set_choice(key, text, config);
}

static const char *const log_policies[] = { "optional", "required", "off", NULL };
static const char *const aik_algorithms[] = { "rsa2048", "rsa3072", "ecc-p256", "ecc-p384", NULL };
static const char *const request_key_kinds[] = { "ephemeral", "tpm", NULL };
static const char *const credential_types[] = { "none", "client-secret", "client-certificate", "managed-identity", "workload-identity",
                                                "token-file", NULL };

#define AT(field) .offset = offsetof(Config, field)
#define AT2(field) .offset2 = offsetof(Config, field)
#define STRING(how, field) .set = set_string, .check = value_check_##how, AT(field)
#define CHOICE(list, field) .set = set_choice, .choices = list, AT(field)
#define TIME(field, min_sec, max_sec) .set = set_duration, AT(field), .min_usec = (min_sec) * USEC_PER_SEC, .max_usec = (max_sec) * USEC_PER_SEC
#define PROFILE .in_profile = true

#define DAY_SEC 86400u

const ConfigKey config_keys[] = {
        { "Agent", "LogLevel", "info", .set = set_log_level, .choices = log_levels, AT(log_level) },
        { "Agent", "HttpSocket", "yes", .set = set_boolean, AT(http_socket) },
        { "Agent", "TokenAccess", "root @attestd", .set = set_access, AT(token_access) },

        { "TPM", "TCTI", "device:/dev/tpmrm0", STRING(tcti, tcti) },
        { "TPM", "AikHandle", "auto", STRING(aik_handle, aik_handle) },
        { "TPM", "AikAlgorithm", "rsa2048", CHOICE(aik_algorithms, aik_algorithm) },
        { "TPM", "AikCertificate", "auto", STRING(aik_certificate, aik_certificate) },
        { "TPM", "PcrBank", "auto", STRING(pcr_bank, pcr_bank) },
        { "TPM", "Pcrs", "0-23", .set = set_pcrs, AT(pcr_mask) },
        { "TPM", "RequestKey", "ephemeral", CHOICE(request_key_kinds, request_key) },
        { "TPM", "OtherKeys", "", STRING(other_keys, other_keys) },

        { "Evidence", "BootLog", "/sys/kernel/security/tpm0/binary_bios_measurements", STRING(path, boot_log) },
        { "Evidence", "SystemdLog", "/run/log/systemd/tpm2-measure.log", STRING(path, systemd_log) },
        { "Evidence", "BootLogPolicy", "optional", CHOICE(log_policies, boot_log_policy) },
        { "Evidence", "ImaLog", "/sys/kernel/security/ima/binary_runtime_measurements", STRING(path, ima_log) },
        { "Evidence", "ImaLogPolicy", "optional", CHOICE(log_policies, ima_log_policy) },
        { "Evidence", "VbsReport", "none", STRING(vbs_report, vbs_report) },
        { "Evidence", "CustomClaims", "", .set = set_pairs, AT(custom_claims), AT2(n_custom_claims), PROFILE },

        { "Instance", "Url", NULL, .set = set_https_url, AT(url), PROFILE },
        { "Instance", "ApiVersion", "2020-10-01", STRING(api_version, api_version), PROFILE },
        { "Instance", "CaFile", NULL, STRING(path, ca_file), PROFILE },
        { "Instance", "CaPath", NULL, STRING(path, ca_path), PROFILE },
        { "Instance", "Proxy", NULL, STRING(proxy, proxy), PROFILE, .is_secret = true },
        { "Instance", "ConnectTimeoutSec", "10", TIME(connect_timeout_usec, 1, 600), PROFILE },
        { "Instance", "TimeoutSec", "60", TIME(timeout_usec, 1, 3600), PROFILE },

        { "Credential", "Type", "none", CHOICE(credential_types, credential_type), PROFILE },
        { "Credential", "TenantId", NULL, STRING(word, tenant_id), PROFILE },
        { "Credential", "ClientId", NULL, STRING(word, client_id), PROFILE },
        { "Credential", "Authority", NULL, .set = set_https_url, AT(authority), PROFILE },
        { "Credential", "Scope", NULL, STRING(text, scope), PROFILE },
        { "Credential", "SecretFile", NULL, .set = set_credential_file, AT(secret_file), PROFILE },
        { "Credential", "CertificateFile", NULL, .set = set_credential_file, AT(certificate_file), PROFILE },
        { "Credential", "PrivateKeyFile", NULL, .set = set_credential_file, AT(private_key_file), PROFILE },
        { "Credential", "FederatedTokenFile", NULL, .set = set_credential_file, AT(federated_token_file), PROFILE },
        { "Credential", "TokenFile", NULL, .set = set_credential_file, AT(token_file), PROFILE },
        { "Credential", "ImdsUrl", NULL, STRING(http_url, imds_url), PROFILE },
        { "Credential", "ManagedIdentityClientId", NULL, STRING(word, managed_identity_client_id), PROFILE },
        { "Credential", "ManagedIdentityObjectId", NULL, STRING(word, managed_identity_object_id), PROFILE },
        { "Credential", "ManagedIdentityResourceId", NULL, STRING(word, managed_identity_resource_id), PROFILE },

        { "RelyingParty", "Id", NULL, STRING(text, rp_id), PROFILE },
        { "RelyingParty", "Nonce", "", .set = set_nonce, AT(nonce), PROFILE, .is_secret = true },

        { "Token", "Issuer", NULL, STRING(word, issuer), PROFILE },
        { "Token", "Algorithms", "RS256", .set = set_algorithms, AT(algorithms), PROFILE },
        { "Token", "ClockSkewSec", "120", .set = set_clock_skew, AT(clock_skew_sec), .max_usec = 3600 * USEC_PER_SEC, PROFILE },
        { "Token", "PolicyHash", NULL, STRING(policy_hash, policy_hash), PROFILE },
        { "Token", "RequireClaims", "", .set = set_pairs, AT(required_claims), AT2(n_required_claims), PROFILE },
        { "Token", "TrustAnchors", NULL, STRING(path, trust_anchors), PROFILE },

        { "Schedule", "OnStart", "yes", .set = set_boolean, AT(on_start), PROFILE },
        { "Schedule", "RenewAt", "50-75%", .set = set_percent_range, AT(renew_min_percent), AT2(renew_max_percent), PROFILE },
        { "Schedule", "RetryMinSec", "2", TIME(retry_min_usec, 1, DAY_SEC), PROFILE },
        { "Schedule", "RetryMaxSec", "900", TIME(retry_max_usec, 1, DAY_SEC), PROFILE },
        { "Schedule", "SplaySec", "0", TIME(splay_usec, 0, DAY_SEC), PROFILE },
};
const size_t config_n_keys = N_ELEMENTS(config_keys);
_Static_assert(N_ELEMENTS(config_keys) <= CONFIG_KEYS_MAX, "room for every key");

const ConfigKey *config_key_find(const char *section, const char *name) {
        for (size_t i = 0; i < config_n_keys; i++)
                if (string_equal(config_keys[i].section, section) && string_equal(config_keys[i].name, name))
                        return &config_keys[i];
        return NULL;
}

bool config_section_exists(const char *section) {
        for (size_t i = 0; i < config_n_keys; i++)
                if (string_equal(config_keys[i].section, section))
                        return true;
        return false;
}

Err *config_key_set(const ConfigKey *key, const char *text, Config *config) {
        if (*text)
                return key->set(key, text, config);
        if (key->default_text)
                return key->set(key, key->default_text, config);
        char **field = FIELD(char *, config, key->offset);   /* strings alone have no default */
        free(*field);
        *field = NULL;
        return NULL;
}

static Err *pcr_range_to_text(uint32_t mask, char **ret) {
        _cleanup_writer_ Writer writer = {};
        const char *separator = "";
        for (unsigned first = 0; first < 32; first++) {
                unsigned last = first;
                if (!(mask >> first & 1))
                        continue;
                while (last < 31 && (mask >> (last + 1) & 1))
                        last++;
                writer_format(&writer, last > first ? "%s%u-%u" : "%s%u", separator, first, last);
                separator = ",";
                first = last;
        }
        return writer_finish_string(&writer, ret);
}

static Err *pairs_to_text(const ConfigPair *pairs, size_t n, char **ret) {
        _cleanup_writer_ Writer writer = {};
        for (size_t i = 0; i < n; i++)
                writer_format(&writer, "%s%s=%s", i > 0 ? " " : "", pairs[i].name, pairs[i].value);
        return writer_finish_string(&writer, ret);
}

static Err *words_to_text(char **words, char **ret) {
        _cleanup_writer_ Writer writer = {};
        for (size_t i = 0; words && words[i]; i++)
                writer_format(&writer, "%s%s", i > 0 ? " " : "", words[i]);
        return writer_finish_string(&writer, ret);
}

static Err *usec_to_text(uint64_t usec, char **ret) {
        if (usec % USEC_PER_SEC == 0)
                return string_format(ret, "%llu", (unsigned long long) (usec / USEC_PER_SEC));
        return string_format(ret, "%lluus", (unsigned long long) usec);
}

Err *config_key_to_text(const ConfigKey *key, const Config *config, char **ret) {
        const char *at = (const char *) config + key->offset, *at2 = (const char *) config + key->offset2;
        if (key->set == set_boolean)
                return string_copy(*(const bool *) at ? "yes" : "no", ret);
        if (key->set == set_choice || key->set == set_log_level)
                return string_copy(key->choices[*(const unsigned *) (const void *) at], ret);
        if (key->set == set_duration)
                return usec_to_text(*(const uint64_t *) (const void *) at, ret);
        if (key->set == set_clock_skew)
                return usec_to_text(config->clock_skew_sec * USEC_PER_SEC, ret);
        if (key->set == set_percent_range)
                return string_format(ret, "%u-%u%%", *(const unsigned *) (const void *) at, *(const unsigned *) (const void *) at2);
        if (key->set == set_pcrs)
                return pcr_range_to_text(*(const uint32_t *) (const void *) at, ret);
        if (key->set == set_access)
                return words_to_text(config->token_access, ret);
        if (key->set == set_pairs)
                return pairs_to_text(*(ConfigPair *const *) (const void *) at, *(const size_t *) (const void *) at2, ret);
        if (key->set == set_nonce)
                return hex_encode(bytes_span(&config->nonce), ret);
        const char *text = *(char *const *) (const void *) at;
        *ret = NULL;
        return text ? string_copy(text, ret) : NULL;
}

/* Levenshtein distance, case left out; big when the words are too long to be names of ours. */
static size_t distance(const char *a, const char *b) {
        size_t row[64], a_size = strlen(a), b_size = strlen(b);
        if (a_size >= N_ELEMENTS(row) || b_size >= N_ELEMENTS(row))
                return SIZE_MAX;
        for (size_t j = 0; j <= b_size; j++)
                row[j] = j;
        for (size_t i = 1; i <= a_size; i++) {
                size_t diagonal = row[0];
                row[0] = i;
                for (size_t j = 1; j <= b_size; j++) {
                        size_t same = tolower((unsigned char) a[i - 1]) == tolower((unsigned char) b[j - 1]) ? 0 : 1;
                        size_t best = MIN_OF(MIN_OF(row[j], row[j - 1]) + 1, diagonal + same);
                        diagonal = row[j];
                        row[j] = best;
                }
        }
        return row[b_size];
}

static void consider(const char *candidate, const char *name, const char **best, size_t *best_distance) {
        size_t d = distance(candidate, name);
        if (d < *best_distance) {
                *best = candidate;
                *best_distance = d;
        }
}

const char *config_key_guess(const char *section, const char *name) {
        const char *best = NULL;
        size_t best_distance = 3;
        for (size_t i = 0; i < config_n_keys; i++)
                if (string_equal(config_keys[i].section, section))
                        consider(config_keys[i].name, name, &best, &best_distance);
        return best;
}

const char *config_section_guess(const char *section) {
        const char *best = NULL;
        size_t best_distance = 3;
        for (size_t i = 0; i < config_n_keys; i++)
                consider(config_keys[i].section, section, &best, &best_distance);
        return best;
}
