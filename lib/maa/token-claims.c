/* The token rules about claims. Sources: RFC 7519 §4.1, RFC 7800 §3.2 (cnf), Microsoft's "Claim sets" for the x-ms- ones. */
#include "maa/token-claims.h"

#define ISSUER_SHOWN_MAX 200

/* Texts of a token go into messages only where they cannot garble them. */
static bool is_showable(const char *text) {
        size_t n = strlen(text);
        for (size_t i = 0; i < n; i++)
                if (text[i] <= 0x20 || text[i] > 0x7e)
                        return false;
        return n <= ISSUER_SHOWN_MAX;
}

static Err *need_string(const Json *claims, const char *name, const char **ret) {
        return err_wrap_code(ERR_TOKEN_CLAIM_INVALID, json_get_string(claims, name, ret), "the token's claim %s", name);
}

static Err *check_issuer(const Json *claims, const TokenRules *rules) {
        const char *issuer;
        if (!rules->issuer)
                return NULL;
        TRY(need_string(claims, "iss", &issuer));
        size_t n = strlen(rules->issuer);
        while (n > 0 && rules->issuer[n - 1] == '/')
                n--;
        if (strlen(issuer) == n && memcmp(issuer, rules->issuer, n) == 0)
                return NULL;
        return err_new(ERR_TOKEN_ISSUER_MISMATCH, "the token's iss is %s, not %.*s", is_showable(issuer) ? issuer : "something unprintable", (int) n,
                       rules->issuer);
}

static Err *need_date(const Json *claims, const char *name, uint64_t *ret) {
        return err_wrap_code(ERR_TOKEN_CLAIM_INVALID, json_get_numeric_date(claims, name, ret), "the token's claim %s", name);
}

/* RFC 7519 §4.1.4: "on or after" exp it is too late; §4.1.5: nbf itself is early enough. Dates and the clock are below 2^53, so nothing
 * wraps. */
static Err *check_expiry(const Json *claims, const TokenRules *rules) {
        uint64_t expires;
        TRY(need_date(claims, "exp", &expires));
        if (rules->now_sec < expires + rules->clock_skew_sec)
                return NULL;
        return err_new(ERR_TOKEN_EXPIRED, "the token expired %llu s ago (exp %llu, slack %llu s)", (unsigned long long) (rules->now_sec - expires),
                       (unsigned long long) expires, (unsigned long long) rules->clock_skew_sec);
}

static Err *check_not_before(const Json *claims, const TokenRules *rules) {
        uint64_t not_before;
        TRY(need_date(claims, "nbf", &not_before));
        if (not_before <= rules->now_sec + rules->clock_skew_sec)
                return NULL;
        return err_new(ERR_TOKEN_NOT_YET_VALID, "the token becomes valid in %llu s (nbf %llu, slack %llu s)", (unsigned long long) (not_before - rules->now_sec),
                       (unsigned long long) not_before, (unsigned long long) rules->clock_skew_sec);
}

static Err *check_issued_at(const Json *claims, const TokenRules *rules) {
        uint64_t issued;
        TRY(need_date(claims, "iat", &issued));
        if (issued <= rules->now_sec + rules->clock_skew_sec)
                return NULL;
        return err_new(ERR_TOKEN_ISSUED_IN_FUTURE, "the token is issued %llu s in the future (iat %llu, slack %llu s)",
                       (unsigned long long) (issued - rules->now_sec), (unsigned long long) issued, (unsigned long long) rules->clock_skew_sec);
}

static Err *check_times(const Json *claims, const TokenRules *rules) {
        if (!(rules->skipped & TOKEN_SKIP_EXPIRY))
                TRY(check_expiry(claims, rules));
        if (!(rules->skipped & TOKEN_SKIP_NOT_BEFORE))
                TRY(check_not_before(claims, rules));
        return rules->skipped & TOKEN_SKIP_ISSUED_AT ? NULL : check_issued_at(claims, rules);
}

/* What was sent as rp_data comes back as nonce, and as rp_data too; both in base64url. */
static Err *check_nonce(const Json *claims, const TokenRules *rules) {
        static const char *const names[] = { "nonce", "rp_data" };
        _cleanup_free_ char *expected = NULL;
        if (rules->nonce.size == 0)
                return NULL;
        TRY(base64url_encode(rules->nonce, &expected));
        size_t n_found = 0;
        for (size_t i = 0; i < N_ELEMENTS(names); i++) {
                const char *value;
                if (!json_get(claims, names[i]))
                        continue;
                TRY(need_string(claims, names[i], &value));
                if (!string_equal(value, expected))
                        return err_new(ERR_TOKEN_NONCE_MISMATCH, "the token's %s is not the nonce that was sent", names[i]);
                n_found++;
        }
        return n_found > 0 ? NULL : err_new(ERR_TOKEN_CLAIM_INVALID, "the token has no nonce");
}

static Err *check_cnf(const Json *claims, const TokenRules *rules) {
        Json *cnf, *json;
        _cleanup_(jwk_freep) Jwk *jwk = NULL;
        if (!rules->request_key)
                return NULL;
        TRY(err_wrap_code(ERR_TOKEN_CLAIM_INVALID, json_get_object(claims, "cnf", &cnf), "the token's claim cnf"));
        TRY(err_wrap_code(ERR_TOKEN_CLAIM_INVALID, json_get_object(cnf, "jwk", &json), "the token's claim cnf"));
        TRY(err_wrap_code(ERR_TOKEN_CLAIM_INVALID, jwk_from_json(json, &jwk), "the key in the token's claim cnf"));
        return jwk_same_key(jwk->key, rules->request_key) ? NULL : err_new(ERR_TOKEN_CNF_MISMATCH, "the token's cnf is not the request key");
}

static Err *check_policy_hash(const Json *claims, const TokenRules *rules) {
        const char *value;
        if (!rules->policy_hash)
                return NULL;
        TRY(need_string(claims, "x-ms-policy-hash", &value));
        return string_equal(value, rules->policy_hash) ? NULL : err_new(ERR_TOKEN_POLICY_HASH_MISMATCH, "the token's x-ms-policy-hash is not the pinned one");
}

Err *token_inner_object(const Json *claims, const char *member, Json **ret) {
        Json *value = json_get(claims, member);
        *ret = NULL;
        if (json_is_object(value))
                *ret = json_object_get(value);
        if (!json_is_string(value))
                return NULL;
        _cleanup_json_ Json *parsed = NULL;
        Err *err = json_parse(span_make(json_object_get_string(value), (size_t) json_object_get_string_len(value)), member, &parsed);
        if (err && err_code(err) == ERR_NO_MEMORY)
                return err;
        err_free(err); /* policy tokens have a JWS there */
        if (json_is_object(parsed))
                *ret = steal_ptr(&parsed);
        return NULL;
}

static Err *claim_has_value(const Json *object, const NamedValue *wanted, bool *ret) {
        _cleanup_free_ char *text = NULL;
        Json *value = json_get(object, wanted->name);
        *ret = false;
        if (!value)
                return NULL;
        if (json_is_string(value))
                *ret = span_equal_string(span_make(json_object_get_string(value), (size_t) json_object_get_string_len(value)), wanted->value);
        else {
                TRY(json_to_string(value, &text));
                *ret = string_equal(text, wanted->value);
        }
        return NULL;
}

static Err *check_required(const Json *claims, const TokenRules *rules) {
        _cleanup_json_ Json *policy = NULL;
        TRY(token_inner_object(claims, "x-ms-policy", &policy));
        for (size_t i = 0; i < rules->n_required_claims; i++) {
                const NamedValue *wanted = &rules->required_claims[i];
                bool at_top, inside;
                TRY(claim_has_value(claims, wanted, &at_top));
                TRY(claim_has_value(policy, wanted, &inside));
                if (at_top || inside)
                        continue;
                bool present = json_get(claims, wanted->name) || json_get(policy, wanted->name);
                return err_new(ERR_TOKEN_CLAIM_REQUIRED, "the token's claim %s %s", wanted->name, present ? "has another value than required" : "is missing");
        }
        return NULL;
}

Err *token_check_claims(const Json *claims, const TokenRules *rules) {
        TRY(check_issuer(claims, rules));
        TRY(check_times(claims, rules));
        TRY(check_nonce(claims, rules));
        TRY(check_cnf(claims, rules));
        TRY(check_policy_hash(claims, rules));
        return check_required(claims, rules);
}
