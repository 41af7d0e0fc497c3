/* The rules by which a token is believed, and the judge. Every one is in force unless it is said here that it has to be set.
 *
 * Checked in this order: form → alg (RS256 alone by default; none and HS* can never be allowed) → crit → jku, x5u, embedded jwk (never followed) → the key, of
 * a key set by kid or by x5c up to a trust anchor → the key's fitness and strength → signature → issuer → expiry → not-before → issued-at → nonce → policy hash
 * → required claims → the caller's own check. The first that fails is the error, and has a name of its own. */
#pragma once

#include "token.h"

ATTEST_BEGIN

typedef struct AttestRules AttestRules;

AttestError *attest_rules_new(AttestRules **ret) ATTEST_MUST_CHECK;
AttestRules *attest_rules_free(AttestRules *rules);

/* Keys as JSON: a JWK set or one JWK (RFC 7517). Errors: KeyInvalid, JsonInvalid. */
AttestError *attest_rules_set_keys(AttestRules *rules, const char *jwks) ATTEST_MUST_CHECK;
/* PEM: certificates that an x5c of a token may lead to. Error: KeyInvalid. */
AttestError *attest_rules_set_trust_anchors(AttestRules *rules, const char *pem) ATTEST_MUST_CHECK;
/* "RS256,PS256". Error: InvalidArgument names what is unknown or forbidden. */
AttestError *attest_rules_set_algorithms(AttestRules *rules, const char *algorithms) ATTEST_MUST_CHECK;
/* The URL that must have issued the token; has to be set, unless the check is left out. An AttestClient sets it to its instance. */
AttestError *attest_rules_set_issuer(AttestRules *rules, const char *issuer) ATTEST_MUST_CHECK;
void attest_rules_set_clock_skew_sec(AttestRules *rules, uint64_t seconds);       /* default 120, for all three times */
void attest_rules_set_time_sec(AttestRules *rules, uint64_t seconds);             /* judge as of then, seconds since 1970; 0: now, which is the default */
/* The raw bytes that went out as nonce (rp_data). Without, no nonce is looked for. */
AttestError *attest_rules_set_nonce(AttestRules *rules, const void *nonce, size_t size) ATTEST_MUST_CHECK;
/* base64url, as in x-ms-policy-hash. */
AttestError *attest_rules_set_policy_hash(AttestRules *rules, const char *hash) ATTEST_MUST_CHECK;
/* One more claim that must be there, at top level or inside x-ms-policy, with that value as text: true, 3, "x" without the quotes. */
AttestError *attest_rules_require_claim(AttestRules *rules, const char *name, const char *value) ATTEST_MUST_CHECK;
/* Leaves a check out, by one of the names below; the token tells later. Error: InvalidArgument. Without "signature", which stands for everything from alg to there,
 * anybody can have made the token: attest_token_is_validated() says false of it, whatever else was checked. */
AttestError *attest_rules_skip_check(AttestRules *rules, const char *check) ATTEST_MUST_CHECK;
/* Puts a check in force again. */
AttestError *attest_rules_use_check(AttestRules *rules, const char *check) ATTEST_MUST_CHECK;
/* NULL-terminated: "signature", "issuer", "expiry", "not-before", "issued-at", "nonce", "request-key" (of an AttestSession), "policy-hash", "required-claims". */
const char *const *attest_rules_get_check_names(void);
/* Called last, with the token that all other rules let pass, and with its signer (attest_token_get_signer()): an error refuses it, and becomes the error of the
 * validation. */
void attest_rules_set_callback(AttestRules *rules, AttestError *(*callback)(void *userdata, const AttestToken *token), void *userdata);

/* Errors: Token… as above; InvalidArgument where there is neither a key nor a trust anchor, or no issuer. */
AttestError *attest_rules_validate(const AttestRules *rules, const char *text, AttestToken **ret) ATTEST_MUST_CHECK;

ATTEST_END
