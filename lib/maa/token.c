/* See token.h. token_validate() is the list of the rules in their order; the key is found here, claims are judged in token-claims.c. */
#include "maa/token.h"

#include "jose/x509.h"
#include "maa/token-claims.h"

#define ALGORITHMS_DEFAULT JOSE_ALG_BIT(JOSE_ALG_RS256)

/* Extended key usage of the certificates that sign the service's TPM tokens. */
#define PURPOSE_ATTESTATION_SIGNING "1.3.6.1.4.1.311.76.50.3"

/* Claims of TPM tokens that hold JSON as a string. */
static const char *const json_string_claims[] = { "x-ms-policy", "x-ms-tpm-request-key", "x-ms-tpm-other-keys" };

Token *token_free(Token *token) {
        if (!token)
                return NULL;
        jws_free(token->jws);
        json_unref(token->claims);
        free(token);
        return NULL;
}

static uint64_t date_or_zero(const Json *claims, const char *name) {
        uint64_t seconds = 0;
        err_free(json_get_numeric_date(claims, name, &seconds));
        return seconds;
}

static Err *load_claims(Token *token) {
        _cleanup_json_ Json *claims = NULL;
        Err *err = json_parse(bytes_span(&token->jws->payload), "claims", &claims);
        if (err)
                return err_wrap_code(err_code(err) == ERR_JSON_DUPLICATE_MEMBER ? ERR_TOKEN_DUPLICATE_MEMBER : ERR_TOKEN_MALFORMED, err, "the token's claims");
        if (!json_is_object(claims))
                return err_new(ERR_TOKEN_MALFORMED, "the token's claims are no JSON object");
        token->claims = steal_ptr(&claims);
        token->issued_sec = date_or_zero(token->claims, "iat");
        token->not_before_sec = date_or_zero(token->claims, "nbf");
        token->expires_sec = date_or_zero(token->claims, "exp");
        return NULL;
}

/* Fills token as far as it gets. */
static Err *load(Span text, Token *token) {
        if (text.size > TOKEN_SIZE_MAX)
                return err_new(ERR_TOKEN_MALFORMED, "the token has %zu bytes, at most %u are allowed", text.size, TOKEN_SIZE_MAX);
        TRY(jws_parse(text, &token->jws));
        return load_claims(token);
}

Err *token_parse(Span text, Token **ret) {
        _cleanup_(token_freep) Token *token = calloc(1, sizeof(Token));
        if (!token)
                return err_oom();
        TRY(load(text, token));
        *ret = steal_ptr(&token);
        return NULL;
}

static bool is_certs_of(const char *url, const char *issuer) {
        size_t n = issuer ? strlen(issuer) : 0;
        while (n > 0 && issuer[n - 1] == '/')
                n--;
        return n > 0 && strncmp(url, issuer, n) == 0 && string_equal(url + n, "/certs");
}

static Err *check_jku(const Token *token, const TokenRules *rules) {
        const char *jku, *issuer = NULL;
        if (!jws_header_has(token->jws, "jku"))
                return NULL;
        TRY(err_wrap_code(ERR_TOKEN_FOREIGN_JKU, json_get_string(token->jws->header, "jku", &jku), "the token's header"));
        err_free(json_get_string_optional(token->claims, "iss", &issuer));
        if (!issuer && !rules->issuer) /* nothing to compare with; it is not followed in any case */
                return NULL;
        if (is_certs_of(jku, rules->issuer) || is_certs_of(jku, issuer))
                return NULL;
        return err_new(ERR_TOKEN_FOREIGN_JKU, "the token's jku is not the /certs of its issuer");
}

static Err *check_pointers(const Token *token, const TokenRules *rules) {
        TRY(check_jku(token, rules));
        if (jws_header_has(token->jws, "x5u"))
                return err_new(ERR_TOKEN_FOREIGN_JKU, "the token's header has x5u");
        if (jws_header_has(token->jws, "jwk"))
                return err_new(ERR_TOKEN_EMBEDDED_JWK, "the token's header has jwk");
        return NULL;
}

static const Jwk *find_in_set(const Jws *jws, const TokenRules *rules) {
        const JwkSet *set = rules->keys;
        if (!set)
                return NULL;
        if (rules->signature_only && set->n_keys == 1 && (!jws->kid || !set->keys[0]->kid))
                return set->keys[0];
        return jwk_set_find(set, jws->kid);
}

/* Set keys may come with a certificate in the header; it must not be somebody else's. */
static Err *check_header_x5c(const Jws *jws, const Jwk *key) {
        _cleanup_(jwk_freep) Jwk *from_header = NULL;
        if (!jws_header_has(jws, "x5c"))
                return NULL;
        TRY(err_wrap_code(ERR_TOKEN_X5C_MISMATCH, jwk_from_x5c(json_get(jws->header, "x5c"), &from_header), "the token's x5c"));
        return jwk_same_key(from_header->key, key->key) ? NULL : err_new(ERR_TOKEN_X5C_MISMATCH, "the token's x5c has another key than its kid");
}

static bool equal_but_padding(const char *a, const char *b) {
        size_t n = strcspn(a, "=");
        return n == strcspn(b, "=") && memcmp(a, b, n) == 0;
}

/* A chain up to a trust anchor makes a key as good as one of the set. */
static Err *key_from_chain(const Jws *jws, const TokenRules *rules, Jwk **ret) {
        _cleanup_(jwk_freep) Jwk *key = NULL;
        TRY(err_wrap_code(ERR_TOKEN_CHAIN_INVALID, jwk_from_x5c(json_get(jws->header, "x5c"), &key), "the token's x5c"));
        TRY(err_wrap(x509_chain_verify(key->x5c, &(X509ChainRules) {
                             .anchors = rules->trust_anchors,
                             .at_sec = rules->now_sec,
                             .leaf_purpose = rules->signature_only ? NULL : PURPOSE_ATTESTATION_SIGNING,
                     }),
                     "the token's x5c"));
        if (!rules->signature_only) {
                _cleanup_free_ char *thumbprint = NULL;
                TRY(x509_thumbprint(x509_stack_leaf(key->x5c), &thumbprint));
                if (!jws->kid || !equal_but_padding(jws->kid, thumbprint))
                        return err_new(ERR_TOKEN_KID_MISMATCH, "the token's kid is not the thumbprint of its certificate");
        }
        *ret = steal_ptr(&key);
        return NULL;
}

/* owned is what must be freed, key is what is to be used. */
static Err *find_key(const Jws *jws, const TokenRules *rules, Jwk **ret_owned, const Jwk **ret_key) {
        const Jwk *key = find_in_set(jws, rules);
        if (key) {
                *ret_key = key;
                return check_header_x5c(jws, key);
        }
        if (rules->trust_anchors && jws_header_has(jws, "x5c")) {
                TRY(key_from_chain(jws, rules, ret_owned));
                *ret_key = *ret_owned;
                return NULL;
        }
        if (!rules->keys)
                return err_new(ERR_TOKEN_CHAIN_INVALID, "the token's header has no x5c that could lead to a trust anchor");
        return err_new(ERR_TOKEN_KEY_UNKNOWN, "the key set has no key of the token's kid");
}

static Err *judge_signature(const Token *token, const TokenRules *rules) {
        JoseAlgSet allowed = rules->algorithms ? rules->algorithms : ALGORITHMS_DEFAULT;
        _cleanup_(jwk_freep) Jwk *owned = NULL;
        const Jwk *key = NULL;
        TRY(jws_check_header(token->jws, allowed));
        TRY(check_pointers(token, rules));
        TRY(find_key(token->jws, rules, &owned, &key));
        return jws_verify(token->jws, allowed, key);
}

static Err *judge(Span text, const TokenRules *rules, Token *token) {
        Err *err = load(text, token);
        if (err && rules->signature_only && token->jws && err_code(err) != ERR_NO_MEMORY)
                err = err_free(err);
        TRY(err);
        if (!(rules->skipped & TOKEN_SKIP_SIGNATURE))
                TRY(judge_signature(token, rules));
        return rules->signature_only ? NULL : token_check_claims(token->claims, rules);
}

Err *token_validate(Span text, const TokenRules *rules, Token **ret, Token **ret_parsed) {
        if (ret_parsed)
                *ret_parsed = NULL;
        if (!rules->keys && !rules->trust_anchors && !(rules->skipped & TOKEN_SKIP_SIGNATURE))
                return err_new(ERR_INVALID_ARGUMENT, "neither a key set nor trust anchors to judge a token by");
        _cleanup_(token_freep) Token *token = calloc(1, sizeof(Token));
        if (!token)
                return err_oom();
        Err *err = judge(text, rules, token);
        if (!err)
                *ret = steal_ptr(&token);
        else if (ret_parsed && token->jws)
                *ret_parsed = steal_ptr(&token);
        return err;
}

static Err *claims_to_json(const Json *claims, Json **ret) {
        _cleanup_json_ Json *copy = NULL;
        TRY(json_new_object(&copy));
        json_object_object_foreach((Json *) claims, name, value) {
                if (json_object_object_add(copy, name, json_object_get(value)) < 0) {
                        json_unref(value);
                        return err_oom();
                }
        }
        for (size_t i = 0; i < N_ELEMENTS(json_string_claims); i++) {
                _cleanup_json_ Json *inner = NULL;
                TRY(token_inner_object(claims, json_string_claims[i], &inner));
                if (inner)
                        TRY(json_add(copy, json_string_claims[i], steal_ptr(&inner)));
        }
        *ret = steal_ptr(&copy);
        return NULL;
}

Err *token_to_json(const Token *token, Json **ret) {
        _cleanup_json_ Json *json = NULL, *claims = NULL;
        TRY(json_new_object(&json));
        TRY(json_add(json, "header", json_object_get(token->jws->header)));
        if (token->claims) {
                TRY(claims_to_json(token->claims, &claims));
                TRY(json_add(json, "claims", steal_ptr(&claims)));
        }
        *ret = steal_ptr(&json);
        return NULL;
}

bool token_error_wants_new_keys(const Err *err) {
        return err_code(err) == ERR_TOKEN_KEY_UNKNOWN;
}

Err *token_trust_anchors_parse(Span pem, const char *what, STACK_OF(X509) **ret) {
        return x509_stack_from_pem(pem, what, ret);
}

void token_trust_anchors_free(STACK_OF(X509) *anchors) {
        x509_stack_free(anchors);
}
