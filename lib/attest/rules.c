/* See rules.h. The judge itself is lib/maa/token.c. */
#include "attest/internal.h"

#include <time.h>

#include "jose/x509.h"

struct AttestRules {
        JwkSet *keys;
        STACK_OF(X509) *anchors;
        JoseAlgSet algorithms;
        char *issuer, *policy_hash;
        uint64_t clock_skew_sec, time_sec;
        Bytes nonce;
        NamedValue *required;
        size_t n_required;
        unsigned skipped;
        AttestError *(*callback)(void *userdata, const AttestToken *token);
        void *userdata;
};

AttestError *attest_rules_new(AttestRules **ret) {
        AttestRules *rules = calloc(1, sizeof(AttestRules));
        if (!rules)
                return error_out(err_oom());
        rules->clock_skew_sec = TOKEN_CLOCK_SKEW_SEC;
        *ret = rules;
        return NULL;
}

AttestRules *attest_rules_free(AttestRules *rules) {
        if (!rules)
                return NULL;
        jwk_set_free(rules->keys);
        token_trust_anchors_free(rules->anchors);
        free(rules->issuer);
        free(rules->policy_hash);
        bytes_done(&rules->nonce);
        for (size_t i = 0; i < rules->n_required; i++) {
                free(rules->required[i].name);
                free(rules->required[i].value);
        }
        free(rules->required);
        free(rules);
        return NULL;
}

static Err *set_text(char **member, const char *text) {
        char *copy = NULL;
        if (text)
                TRY(string_copy(text, &copy));
        free(*member);
        *member = copy;
        return NULL;
}

static Err *set_keys(AttestRules *rules, const char *jwks) {
        JwkSet *keys;
        TRY(jwk_set_parse(span_from_string(jwks), "the keys", &keys));
        jwk_set_free(rules->keys);
        rules->keys = keys;
        return NULL;
}

AttestError *attest_rules_set_keys(AttestRules *rules, const char *jwks) {
        return error_out(set_keys(rules, jwks));
}

static Err *set_anchors(AttestRules *rules, const char *pem) {
        STACK_OF(X509) *anchors;
        TRY(token_trust_anchors_parse(span_from_string(pem), "the trust anchors", &anchors));
        token_trust_anchors_free(rules->anchors);
        rules->anchors = anchors;
        return NULL;
}

AttestError *attest_rules_set_trust_anchors(AttestRules *rules, const char *pem) {
        return error_out(set_anchors(rules, pem));
}

AttestError *attest_rules_set_algorithms(AttestRules *rules, const char *algorithms) {
        return error_out(jose_alg_set_parse(algorithms, &rules->algorithms));
}

AttestError *attest_rules_set_issuer(AttestRules *rules, const char *issuer) {
        return error_out(set_text(&rules->issuer, issuer));
}

void attest_rules_set_clock_skew_sec(AttestRules *rules, uint64_t seconds) {
        rules->clock_skew_sec = MIN_OF(seconds, TOKEN_CLOCK_SKEW_MAX_SEC);
}

void attest_rules_set_time_sec(AttestRules *rules, uint64_t seconds) {
        rules->time_sec = seconds;
}

static Err *set_nonce(AttestRules *rules, Span nonce) {
        Bytes copy = {};
        TRY(bytes_copy(nonce, &copy));
        bytes_done(&rules->nonce);
        rules->nonce = copy;
        return NULL;
}

AttestError *attest_rules_set_nonce(AttestRules *rules, const void *nonce, size_t size) {
        return error_out(set_nonce(rules, span_make(nonce, size)));
}

AttestError *attest_rules_set_policy_hash(AttestRules *rules, const char *hash) {
        return error_out(set_text(&rules->policy_hash, hash));
}

static Err *require_claim(AttestRules *rules, const char *name, const char *value) {
        _cleanup_free_ char *name_copy = NULL, *value_copy = NULL;
        TRY(string_copy(name, &name_copy));
        TRY(string_copy(value, &value_copy));
        NamedValue *more = reallocarray(rules->required, rules->n_required + 1, sizeof(NamedValue));
        if (!more)
                return err_oom();
        rules->required = more;
        rules->required[rules->n_required++] = (NamedValue) { steal_ptr(&name_copy), steal_ptr(&value_copy) };
        return NULL;
}

AttestError *attest_rules_require_claim(AttestRules *rules, const char *name, const char *value) {
        return error_out(require_claim(rules, name, value));
}

static Err *switch_check(AttestRules *rules, const char *check, bool skip) {
        unsigned bit = check_from_name(check);
        if (bit == 0)
                return err_new(ERR_INVALID_ARGUMENT, "no check is called \"%.40s\"", check ?: "");
        rules->skipped = skip ? rules->skipped | bit : rules->skipped & ~bit;
        return NULL;
}

AttestError *attest_rules_skip_check(AttestRules *rules, const char *check) {
        return error_out(switch_check(rules, check, true));
}

AttestError *attest_rules_use_check(AttestRules *rules, const char *check) {
        return error_out(switch_check(rules, check, false));
}

void attest_rules_set_callback(AttestRules *rules, AttestError *(*callback)(void *userdata, const AttestToken *token), void *userdata) {
        rules->callback = callback;
        rules->userdata = userdata;
}

bool rules_need_keys(const AttestRules *rules) {
        return !rules->keys && !rules->anchors && !rules_skip(rules, TOKEN_SKIP_SIGNATURE);
}

bool rules_skip(const AttestRules *rules, unsigned check) {
        return rules->skipped & check;
}

/* Certificates of whoever signed: of the set's key, else of the header's chain, which was verified up to an anchor then. */
static Err *describe_signer(const Token *token, const JwkSet *keys, char **ret) {
        _cleanup_(jwk_freep) Jwk *from_header = NULL;
        const Jwk *key = keys ? jwk_set_find(keys, token->jws->kid) : NULL;
        if (!key && jws_header_has(token->jws, "x5c")) {
                TRY(jwk_from_x5c(json_get(token->jws->header, "x5c"), &from_header));
                key = from_header;
        }
        return key && key->x5c ? x509_stack_to_pem(key->x5c, ret) : string_copy("", ret);
}

static TokenRules inner_rules(const AttestRules *rules, const RulesExtra *extra) {
        TokenRules inner = {
                .algorithms = rules->algorithms,
                .keys = extra->keys ? extra->keys : rules->keys,
                .trust_anchors = rules->anchors,
                .issuer = rules_skip(rules, CHECK_ISSUER) ? NULL : rules->issuer ?: extra->issuer,
                .now_sec = rules->time_sec > 0 ? rules->time_sec : (uint64_t) time(NULL),
                .clock_skew_sec = rules->clock_skew_sec,
                .request_key = rules_skip(rules, CHECK_REQUEST_KEY) ? NULL : extra->request_key,
                .skipped = rules->skipped & TOKEN_CHECKS,
        };
        if (extra->is_administration)
                return inner;
        if (!rules_skip(rules, CHECK_NONCE))
                inner.nonce = extra->nonce.size > 0 ? extra->nonce : bytes_span(&rules->nonce);
        if (!rules_skip(rules, CHECK_POLICY_HASH))
                inner.policy_hash = rules->policy_hash;
        inner.required_claims = rules->required;
        inner.n_required_claims = rules_skip(rules, CHECK_REQUIRED_CLAIMS) ? 0 : rules->n_required;
        return inner;
}

Err *rules_judge(const AttestRules *rules, const RulesExtra *extra, const char *text, AttestToken **ret) {
        const TokenRules inner = inner_rules(rules, extra);
        _cleanup_(token_freep) Token *token = NULL;
        _cleanup_free_ char *signer = NULL;
        AttestToken *outer;
        if (!inner.issuer && !rules_skip(rules, CHECK_ISSUER))
                return err_new(ERR_INVALID_ARGUMENT, "no issuer to compare the token's with; the check has to be left out by name");
        TRY(token_validate(span_from_string(text), &inner, &token, /* ret_parsed= */ NULL));
        if (!rules_skip(rules, TOKEN_SKIP_SIGNATURE))
                TRY(describe_signer(token, inner.keys, &signer));
        TRY(attest_token_wrap(steal_ptr(&token), rules->skipped, signer, &outer));
        Err *err = rules->callback ? error_in(rules->callback(rules->userdata, outer)) : NULL;
        if (err)
                attest_token_free(outer);
        else
                *ret = outer;
        return err_wrap(err, "the caller's own check of the token");
}

AttestError *attest_rules_validate(const AttestRules *rules, const char *text, AttestToken **ret) {
        return error_out(rules_judge(rules, &(RulesExtra) {}, text, ret));
}
