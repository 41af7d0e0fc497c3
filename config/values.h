/* The kinds of values that keys have. Every parser fails with INVALID_ARGUMENT, whose one sentence says what is allowed (never what was given:
 * the caller knows, and the value may be nobody's business). */
#pragma once

#include "config/config.h"

#define CONFIG_PCR_COUNT 24u          /* TCG PC Client Platform TPM Profile §4.6 */
#define CONFIG_NONCE_SIZE_MAX 1024u
#define CONFIG_PAIRS_MAX 64u

/* yes/no, true/false, on/off, 1/0, y/n, t/f; case does not count (systemd.syntax(7)). */
Err *value_parse_boolean(const char *text, bool *ret) _must_check_;
/* "10", "10s", "2min 30s", "500ms": sum of numbers with us, ms, s, min, h, d and their longer names; a bare number is seconds
 * (systemd.time(7), whole numbers). */
Err *value_parse_duration(const char *text, uint64_t *ret_usec) _must_check_;
/* "50-75%" or "60%"; 1 to 99. */
Err *value_parse_percent_range(const char *text, unsigned *ret_min, unsigned *ret_max) _must_check_;
/* "0-7,10,14" -> bit mask. */
Err *value_parse_pcrs(const char *text, uint32_t *ret_mask) _must_check_;
/* Words between blanks; '…' and "…" keep blanks, a backslash takes the next character as it is (not inside '…'). NULL-terminated. */
Err *value_parse_words(const char *text, char ***ret) _must_check_;
char **words_free(char **words);
DEFINE_CLEANUP(char *, words_free)
/* Words of the form name=value, no name twice. */
Err *value_parse_pairs(const char *text, ConfigPair **ret, size_t *ret_n) _must_check_;
ConfigPair *pairs_free(ConfigPair *pairs, size_t n);
/* Users and @groups between blanks or commas. NULL-terminated. */
Err *value_parse_access(const char *text, char ***ret) _must_check_;
/* "https://host[:port][/path]": scheme and host in lower case, no default port, no trailing slash, no user, query or fragment. */
Err *value_parse_https_url(const char *text, char **ret) _must_check_;
/* An absolute path; or the name of a systemd credential, which is a file in $CREDENTIALS_DIRECTORY (of attestd.service where that is not set). */
Err *value_parse_credential_file(const char *text, char **ret) _must_check_;
/* Hex if all of it is hex digits of an even number, else base64url. At most CONFIG_NONCE_SIZE_MAX bytes. */
Err *value_parse_nonce(const char *text, Bytes *ret) _must_check_;
/* Names of asymmetric JWS algorithms (RFC 7518 §3.1) between commas or blanks -> "RS256,PS256". */
Err *value_parse_algorithms(const char *text, char **ret) _must_check_;

/* Checks of strings that are kept as they are. */
Err *value_check_text(const char *text) _must_check_;               /* anything */
Err *value_check_word(const char *text) _must_check_;               /* no blanks */
Err *value_check_path(const char *text) _must_check_;               /* absolute */
Err *value_check_tcti(const char *text) _must_check_;
Err *value_check_aik_handle(const char *text) _must_check_;
Err *value_check_aik_certificate(const char *text) _must_check_;
Err *value_check_other_keys(const char *text) _must_check_;
Err *value_check_pcr_bank(const char *text) _must_check_;
Err *value_check_vbs_report(const char *text) _must_check_;
Err *value_check_api_version(const char *text) _must_check_;
Err *value_check_proxy(const char *text) _must_check_;
Err *value_check_http_url(const char *text) _must_check_;           /* http or https */
Err *value_check_policy_hash(const char *text) _must_check_;        /* base64url of 32 bytes */
