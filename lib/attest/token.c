/* See token.h. */
#include "attest/internal.h"

#define CHECKS_MAX 9

struct AttestToken {
        Token *token;
        char *header, *claims, *signer;
        const char *skipped[CHECKS_MAX + 1];
};

static const unsigned check_bits[CHECKS_MAX] = {
        TOKEN_SKIP_SIGNATURE, CHECK_ISSUER, TOKEN_SKIP_EXPIRY, TOKEN_SKIP_NOT_BEFORE, TOKEN_SKIP_ISSUED_AT, CHECK_NONCE, CHECK_REQUEST_KEY, CHECK_POLICY_HASH,
        CHECK_REQUIRED_CLAIMS,
};
static const char *const check_names[CHECKS_MAX + 1] = {
        "signature", "issuer", "expiry", "not-before", "issued-at", "nonce", "request-key", "policy-hash", "required-claims",
};

const char *const *attest_rules_get_check_names(void) {
        return check_names;
}

unsigned check_from_name(const char *name) {
        for (size_t i = 0; i < CHECKS_MAX; i++)
                if (string_equal(name, check_names[i]))
                        return check_bits[i];
        return 0;
}

AttestToken *attest_token_free(AttestToken *token) {
        if (!token)
                return NULL;
        token_free(token->token);
        free(token->header);
        free(token->claims);
        free(token->signer);
        free(token);
        return NULL;
}

const Json *attest_token_json(const AttestToken *token) {
        return token->token->claims;
}

static Err *show(AttestToken *token) {
        _cleanup_json_ Json *json = NULL;
        TRY(token_to_json(token->token, &json));
        TRY(json_to_string(json_get(json, "header"), &token->header));
        return json_to_string(json_get(json, "claims"), &token->claims);
}

Err *attest_token_wrap(Token *steal_token, unsigned skipped, const char *signer, AttestToken **ret) {
        _cleanup_(token_freep) Token *inner = steal_token;
        _cleanup_(attest_token_freep) AttestToken *token = calloc(1, sizeof(AttestToken));
        if (!token)
                return err_oom();
        token->token = steal_ptr(&inner);
        if (signer)
                TRY(string_copy(signer, &token->signer));
        for (size_t i = 0, n = 0; i < CHECKS_MAX; i++)
                if (skipped & check_bits[i])
                        token->skipped[n++] = check_names[i];
        TRY(show(token));
        *ret = steal_ptr(&token);
        return NULL;
}

static Err *parse(const char *text, AttestToken **ret) {
        Token *token;
        TRY(token_parse(span_from_string(text), &token));
        return attest_token_wrap(token, /* skipped= */ 0, /* signer= */ NULL, ret);
}

AttestError *attest_token_parse(const char *text, AttestToken **ret) {
        return error_out(parse(text, ret));
}

bool attest_token_is_validated(const AttestToken *token) {
        return token->signer;
}

const char *const *attest_token_get_skipped_checks(const AttestToken *token) {
        return token->skipped;
}

const char *attest_token_get_text(const AttestToken *token) {
        return (const char *) token->token->jws->text.data;
}

const char *attest_token_get_header(const AttestToken *token) {
        return token->header;
}

const char *attest_token_get_claims(const AttestToken *token) {
        return token->claims;
}

/* NULL if it is absent, or no text. */
static const char *text_member(const Json *object, const char *name) {
        const char *text = NULL;
        err_free(json_get_string_optional(object, name, &text));
        return text;
}

const char *attest_token_get_algorithm(const AttestToken *token) {
        return text_member(token->token->jws->header, "alg");
}

const char *attest_token_get_key_id(const AttestToken *token) {
        return text_member(token->token->jws->header, "kid");
}

const void *attest_token_get_signature(const AttestToken *token, size_t *ret_size) {
        *ret_size = token->token->jws->signature.size;
        return token->token->jws->signature.data;
}

const char *attest_token_get_issuer(const AttestToken *token) {
        return text_member(token->token->claims, "iss");
}

const char *attest_token_get_id(const AttestToken *token) {
        return text_member(token->token->claims, "jti");
}

const char *attest_token_get_subject(const AttestToken *token) {
        return text_member(token->token->claims, "sub");
}

const char *attest_token_get_audience(const AttestToken *token) {
        return text_member(token->token->claims, "aud");
}

uint64_t attest_token_get_issued_sec(const AttestToken *token) {
        return token->token->issued_sec;
}

uint64_t attest_token_get_not_before_sec(const AttestToken *token) {
        return token->token->not_before_sec;
}

uint64_t attest_token_get_expires_sec(const AttestToken *token) {
        return token->token->expires_sec;
}

const char *attest_token_get_signer(const AttestToken *token) {
        return token->signer;
}

static Err *get_header_member(const AttestToken *token, const char *name, char **ret) {
        const Json *value = json_get(token->token->jws->header, name);
        *ret = NULL;
        return value ? json_to_string(value, ret) : NULL;
}

AttestError *attest_token_get_header_member(const AttestToken *token, const char *name, char **ret) {
        return error_out(get_header_member(token, name, ret));
}

static Err *get_claim(const AttestToken *token, const char *name, char **ret) {
        _cleanup_json_ Json *json = NULL;
        TRY(token_to_json(token->token, &json));
        Json *claims = json_get(json, "claims"), *value = json_get(claims, name);
        if (!value)
                value = json_get(json_get(claims, "x-ms-policy"), name);
        *ret = NULL;
        return value ? json_to_string(value, ret) : NULL;
}

AttestError *attest_token_get_claim(const AttestToken *token, const char *name, char **ret) {
        return error_out(get_claim(token, name, ret));
}
