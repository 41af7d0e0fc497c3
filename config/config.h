/* Typed settings. interfaces: attestd.conf(5); grammar of the files: config/ini.h.
 *
 * Files, later ones win key by key: /usr/lib/attestd/attestd.conf, /etc/attestd/attestd.conf, then attestd.conf.d/ *.conf of
 * /usr/lib/attestd, /run/attestd and /etc/attestd in one sorted order by file name (a name masks the same one in a folder further to the left; a
 * link to /dev/null masks without a replacement).
 * With an explicit file: that file and FILE.d/ *.conf alone. Unknown keys and sections are warnings with file and line; a bad value is an error
 * with file, line, section, key, the value and what is allowed: "FILE:LINE: [Section] Key=value: what is needed". An empty value is the default again. */
#pragma once

#include "base/error.h"
#include "base/bytes.h"

typedef enum LogPolicy { LOG_POLICY_OPTIONAL, LOG_POLICY_REQUIRED, LOG_POLICY_OFF } LogPolicy;
typedef enum CredentialType {
        CREDENTIAL_NONE, CREDENTIAL_CLIENT_SECRET, CREDENTIAL_CLIENT_CERTIFICATE, CREDENTIAL_MANAGED_IDENTITY,
        CREDENTIAL_WORKLOAD_IDENTITY, CREDENTIAL_TOKEN_FILE,
} CredentialType;
typedef enum AikAlgorithm { AIK_ALGORITHM_RSA2048, AIK_ALGORITHM_RSA3072, AIK_ALGORITHM_ECC_P256, AIK_ALGORITHM_ECC_P384, _AIK_ALGORITHM_MAX } AikAlgorithm;
typedef enum RequestKeyKind { REQUEST_KEY_EPHEMERAL, REQUEST_KEY_TPM } RequestKeyKind;

typedef struct ConfigPair {
        char *name, *value;
} ConfigPair;

/* All strings are owned; NULL where there is neither value nor default. */
typedef struct Config {
        /* [Agent] */
        int log_level;               /* syslog number; default 6 */
        bool http_socket;
        char **token_access;         /* NULL-terminated: "root", "@attestd", … */
        /* [TPM] */
        char *tcti;                  /* "device:/dev/tpmrm0" */
        char *aik_handle;            /* "auto", "own", "0x81…", "file:/path" */
        AikAlgorithm aik_algorithm;  /* of a key of our own */
        char *aik_certificate;       /* "auto", "none", path, "nv:0x…" */
        char *pcr_bank;              /* "auto", or names with blanks in between: "sha256 sha384" */
        uint32_t pcr_mask;           /* default 0xffffff */
        RequestKeyKind request_key;
        char *other_keys;            /* up to two of "0x81…" (certified) and "0x81…:plain", with blanks in between */
        /* [Evidence] */
        char *boot_log;              /* default /sys/kernel/security/tpm0/binary_bios_measurements */
        LogPolicy boot_log_policy;
        char *systemd_log;           /* default /run/log/systemd/tpm2-measure.log */
        char *ima_log;               /* default /sys/kernel/security/ima/binary_runtime_measurements */
        LogPolicy ima_log_policy;
        char *vbs_report;            /* "none" */
        ConfigPair *custom_claims;
        size_t n_custom_claims;
        /* [Instance] */
        char *url;                   /* normalised, https, no trailing slash; NULL if not set */
        char *api_version;
        char *ca_file, *ca_path, *proxy;
        uint64_t connect_timeout_usec, timeout_usec;
        /* [Credential] */
        CredentialType credential_type;
        char *tenant_id, *client_id, *authority, *scope, *secret_file, *certificate_file, *private_key_file,
                *federated_token_file, *token_file, *imds_url, *managed_identity_client_id, *managed_identity_object_id,
                *managed_identity_resource_id;
        /* [RelyingParty] */
        char *rp_id;
        Bytes nonce;                 /* empty: random each time; from hex or base64url */
        /* [Token] */
        char *issuer;                /* default: url */
        char *algorithms;            /* "RS256" */
        uint64_t clock_skew_sec;
        char *policy_hash;
        ConfigPair *required_claims;
        size_t n_required_claims;
        char *trust_anchors;
        /* [Schedule] */
        bool on_start;
        unsigned renew_min_percent, renew_max_percent;   /* 50, 75 */
        uint64_t retry_min_usec, retry_max_usec, splay_usec;
} Config;

typedef struct ConfigWarnings {
        char **lines;                /* "FILE:LINE: …", NULL-terminated */
        size_t n_lines;
} ConfigWarnings;
void config_warnings_done(ConfigWarnings *warnings);

Config *config_free(Config *config);
DEFINE_CLEANUP(Config, config_free)
/* explicit_file NULL: the standard places below root (NULL: "/"; for tests). warnings may be NULL.
 * Errors: CONFIG_INVALID, CONFIG_MISSING (explicit file absent), IO. */
Err *config_load(const char *explicit_file, const char *root, Config **ret, ConfigWarnings *warnings) _must_check_;
/* Defaults alone. */
Err *config_new(Config **ret) _must_check_;
/* The text of one file over the defaults; path stands in messages. Same errors. */
Err *config_parse(const char *path, Span text, Config **ret, ConfigWarnings *warnings) _must_check_;

/* profile.d/NAME.conf beside attestd.conf, each over the whole of config_load(). With standard places: of /usr/lib/attestd, /run/attestd and /etc/attestd, with
 * the same masks. A profile sets [Instance], [Credential], [RelyingParty], [Token], [Schedule] and CustomClaims=; other keys are warned about and have no effect
 * there. Without any such file there is the one profile "default". Sorted by name. A name has 1 to 64 of A-Z a-z 0-9 _ -.
 * Errors: as config_load(). */
#define CONFIG_PROFILES_MAX 64u
#define CONFIG_PROFILE_NAME_MAX 64u
typedef struct ConfigProfile {
        char *name;
        Config *config;
} ConfigProfile;
Err *config_load_profiles(const char *explicit_file, const char *root, ConfigProfile **ret, size_t *ret_n, ConfigWarnings *warnings) _must_check_;
ConfigProfile *config_profiles_free(ConfigProfile *profiles, size_t n);

/* $RUNTIME_DIRECTORY (first of a colon list), else /run/attestd; $STATE_DIRECTORY, else /var/lib/attestd. Borrowed. */
const char *config_runtime_directory(void);
const char *config_state_directory(void);
