/* Forged tokens of instance-token.h, see forge.h. */
#include "instance/forge.h"

#include "base/writer.h"
#include "instance/instance-token.h"
#include "jose/jws.h"

static Err *shift(Json *claims, const char *name, int64_t by_sec) {
        int64_t value;
        TRY(json_get_integer(claims, name, &value));
        return json_add_integer(claims, name, value + by_sec);
}

static Err *randomise(Json *claims, const char *name) {
        _cleanup_free_ char *text = NULL;
        if (!json_get(claims, name))
                return NULL;
        TRY(forge_random_text(&text));
        return json_add_string(claims, name, text);
}

static Err *expire(Json *claims) {
        int64_t issued, expires;
        TRY(json_get_integer(claims, "iat", &issued));
        TRY(json_get_integer(claims, "exp", &expires));
        int64_t by_sec = issued - FORGE_SHIFT_SEC - expires; /* an hour ago */
        TRY(shift(claims, "exp", by_sec));
        TRY(shift(claims, "iat", by_sec));
        return shift(claims, "nbf", by_sec);
}

/* Defects that stand in the claims. */
static Err *spoil_claims(Forgery forgery, Json *claims) {
        if (forgery == FORGERY_EXPIRED)
                return expire(claims);
        if (forgery == FORGERY_NOT_YET_VALID || forgery == FORGERY_ISSUED_IN_FUTURE) {
                TRY(shift(claims, "exp", FORGE_SHIFT_SEC));
                return shift(claims, forgery == FORGERY_NOT_YET_VALID ? "nbf" : "iat", FORGE_SHIFT_SEC);
        }
        if (forgery == FORGERY_WRONG_ISSUER)
                return json_add_string(claims, "iss", FORGE_OTHER_ISSUER);
        if (forgery == FORGERY_WRONG_NONCE)
                return randomise(claims, "nonce");
        if (forgery == FORGERY_WRONG_POLICY_HASH) {
                TRY(randomise(claims, "x-ms-policy-token-hash"));
                return randomise(claims, "x-ms-policy-hash");
        }
        return NULL;
}

/* Headers that invite to believe the foreign key. */
static Err *spoil_foreign_header(const Forger *forger, Forgery forgery, Json *header) {
        _cleanup_free_ char *text = NULL;
        _cleanup_json_ Json *json = NULL;
        if (forgery == FORGERY_WRONG_KEY)
                return NULL;
        if (forgery != FORGERY_FOREIGN_X5C)
                TRY(json_add_string(header, "kid", forger->foreign_kid));
        if (forgery == FORGERY_FOREIGN_JKU) {
                TRY(string_format(&text, "%s/certs", forger->lure_url));
                return json_add_string(header, "jku", text);
        }
        if (forgery == FORGERY_FOREIGN_X5U) {
                TRY(string_format(&text, "%s/x5u", forger->lure_url));
                return json_add_string(header, "x5u", text);
        }
        bool is_chain = forgery == FORGERY_FOREIGN_X5C;
        TRY(is_chain ? identity_x5c(&forger->foreign.certificate, 1, &text) : jwk_public_text(forger->foreign.key, &text));
        TRY(json_parse(span_from_string(text), "key", &json));
        return json_add(header, is_chain ? "x5c" : "jwk", steal_ptr(&json));
}

static Err *add_unknown_extension(Json *header) {
        _cleanup_json_ Json *names = NULL;
        TRY(json_new_array(&names));
        TRY(json_append(names, json_object_new_string("urn:example:unknown")));
        TRY(json_add(header, "crit", steal_ptr(&names)));
        return json_add_boolean(header, "urn:example:unknown", true);
}

static Err *without_key(Forgery forgery, Json *header, const Json *claims, EVP_PKEY *key, char **ret) {
        bool is_hmac = forgery == FORGERY_HS256;
        _cleanup_free_ char *header_text = NULL, *claims_text = NULL;
        TRY(json_add_string(header, "alg", is_hmac ? "HS256" : "none"));
        TRY(json_to_string(header, &header_text));
        TRY(json_to_string(claims, &claims_text));
        return forge_without_key(header_text, span_from_string(claims_text), is_hmac ? key : NULL, ret);
}

static Err *duplicate_alg(const Json *header, const Json *claims, EVP_PKEY *key, char **ret) {
        _cleanup_free_ char *header_text = NULL, *twice = NULL, *claims_text = NULL;
        TRY(json_to_string(header, &header_text));
        TRY(string_format(&twice, "{\"alg\":\"none\",%s", header_text + 1));
        TRY(json_to_string(claims, &claims_text));
        return jws_sign(JOSE_ALG_RS256, key, twice, span_from_string(claims_text), ret);
}

/* Other claims under the signature of the good ones. */
static Err *tamper(const char *good, const Json *header, Json *claims, EVP_PKEY *key, char **ret) {
        _cleanup_free_ char *other = NULL;
        TRY(shift(claims, "exp", 1));
        TRY(instance_token_sign(header, claims, key, &other));
        const char *end = strrchr(other, '.');
        return string_format(ret, "%.*s%s", (int) (end - other), other, strrchr(good, '.'));
}

static Err *spoil_text(Forgery forgery, const Json *header, Json *claims, EVP_PKEY *key, char **ret) {
        _cleanup_free_ char *token = NULL;
        TRY(instance_token_sign(header, claims, key, &token));
        if (forgery == FORGERY_TAMPERED)
                return tamper(token, header, claims, key, ret);
        if (forgery == FORGERY_EXTRA_PART)
                return string_format(ret, "%s.AAAA", token);
        const char *signature = strrchr(token, '.') + 1;
        size_t half = strlen(signature) / 8 * 4; /* whole groups: good base64url of a signature that is too short */
        return string_copy_span(span_make(token, (size_t) (signature - token) + half), ret);
}

static Err *forge(Forger *forger, Forgery forgery, Json *header, Json *claims, EVP_PKEY *key, char **ret) {
        _cleanup_free_ char *kid = NULL;
        switch (forgery) {
        case FORGERY_NONE:
        case FORGERY_EXPIRED:
        case FORGERY_NOT_YET_VALID:
        case FORGERY_ISSUED_IN_FUTURE:
        case FORGERY_WRONG_ISSUER:
        case FORGERY_WRONG_NONCE:
        case FORGERY_WRONG_CNF:
        case FORGERY_WRONG_POLICY_HASH:
                TRY(spoil_claims(forgery, claims));
                return instance_token_sign(header, claims, key, ret);
        case FORGERY_ALG_NONE:
        case FORGERY_HS256:
                return without_key(forgery, header, claims, key, ret);
        case FORGERY_WRONG_KEY:
        case FORGERY_FOREIGN_JKU:
        case FORGERY_FOREIGN_X5U:
        case FORGERY_FOREIGN_X5C:
        case FORGERY_EMBEDDED_JWK:
                TRY(spoil_foreign_header(forger, forgery, header));
                return instance_token_sign(header, claims, forger->foreign.key, ret);
        case FORGERY_WEAK_KEY:
                TRY(json_add_string(header, "kid", forger->weak_kid));
                return instance_token_sign(header, claims, forger->weak.key, ret);
        case FORGERY_UNKNOWN_KID:
                TRY(forge_random_text(&kid));
                TRY(json_add_string(header, "kid", kid));
                return instance_token_sign(header, claims, key, ret);
        case FORGERY_DUPLICATE_ALG:
                return duplicate_alg(header, claims, key, ret);
        case FORGERY_CRIT:
                TRY(add_unknown_extension(header));
                return instance_token_sign(header, claims, key, ret);
        case FORGERY_TAMPERED:
        case FORGERY_EXTRA_PART:
        case FORGERY_TRUNCATED:
                return spoil_text(forgery, header, claims, key, ret);
        case _FORGERY_MAX:
                break;
        }
        return err_new(ERR_INTERNAL, "forgery %d has no maker", (int) forgery);
}

Err *forge_instance_token(Forger *forger, Forgery forgery, const Identity *identity, Json *claims, EVP_PKEY *key, char **ret) {
        _cleanup_json_ Json *header = NULL;
        int64_t issued;
        TRY(instance_token_header(identity, key != NULL, &header));
        if (!key)
                return instance_token_sign(header, claims, NULL, ret);
        TRY(json_get_integer(claims, "iat", &issued));
        TRY(forger_prepare(forger, forgery, issued));
        return forge(forger, forgery, header, claims, key, ret);
}
