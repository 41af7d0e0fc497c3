/* See authority-assertion.h. */
#include "instance/authority-assertion.h"

#include <inttypes.h>
#include <strings.h>

#include "instance/authority-refusal.h"
#include "jose/jws.h"
#include "jose/openssl.h"
#include "jose/x509.h"

#define ALGORITHMS                                                                                                            \
        (JOSE_ALG_BIT(JOSE_ALG_RS256) | JOSE_ALG_BIT(JOSE_ALG_PS256) | JOSE_ALG_BIT(JOSE_ALG_ES256) | JOSE_ALG_BIT(JOSE_ALG_ES384) | \
         JOSE_ALG_BIT(JOSE_ALG_ES512))

void assertion_done(Assertion *assertion) {
        free(assertion->id);
        *assertion = (Assertion) {};
}

/* Memory running out is nobody's fault; everything else in err is what is wrong with the assertion. */
static Err *refuse(Refusal refusal, Err *steal_err, const char *sentence) {
        _cleanup_(err_freep) Err *err = steal_err;
        if (!err || err_code(err) == ERR_NO_MEMORY)
                return steal_ptr(&err);
        return refusal_new(refusal, "%s [Reason - %s.]", sentence, err_describe(err));
}

static Err *read_claims(const Jws *jws, Json **ret) {
        Err *err = json_parse(bytes_span(&jws->payload), "the assertion", ret);
        if (!err && !json_is_object(*ret))
                err = err_new(ERR_JSON_MEMBER_TYPE, "the payload is no object");
        return refuse(REFUSAL_ASSERTION_MALFORMED, err, "Invalid JWT token.");
}

static Err *get_claim(const Json *claims, const char *name, const char **ret) {
        return refuse(REFUSAL_ASSERTION_MALFORMED, json_get_string(claims, name, ret), "Invalid JWT token.");
}

/* aud is one string or several (RFC 7519 §4.1.3). */
static bool has_audience(const Json *claims, const char *wanted) {
        const Json *audience = json_get(claims, "aud");
        if (json_is_string(audience))
                return wanted && string_equal(json_object_get_string((Json *) audience), wanted);
        for (size_t i = 0; json_is_array(audience) && i < json_object_array_length(audience); i++) {
                Json *item = json_object_array_get_idx(audience, i);
                if (wanted && json_is_string(item) && string_equal(json_object_get_string(item), wanted))
                        return true;
        }
        return false;
}

static Err *check_times(const Json *claims, int64_t now_sec, int64_t *ret_expires) {
        uint64_t expires, not_before = 0;
        TRY(refuse(REFUSAL_ASSERTION_MALFORMED, json_get_numeric_date(claims, "exp", &expires), "Invalid JWT token."));
        if (json_get(claims, "nbf"))
                TRY(refuse(REFUSAL_ASSERTION_MALFORMED, json_get_numeric_date(claims, "nbf", &not_before), "Invalid JWT token."));
        if (now_sec >= (int64_t) expires + ASSERTION_SKEW_SEC || now_sec + ASSERTION_SKEW_SEC < (int64_t) not_before)
                return refusal_new(REFUSAL_ASSERTION_TIME,
                                   "Client assertion is not within its valid time range. Current time: %" PRId64 ", not before: %" PRIu64
                                   ", expiry time of assertion: %" PRIu64 ".", now_sec, not_before, expires);
        *ret_expires = (int64_t) expires;
        return NULL;
}

/* What the header says of its certificate; all of what it says must be true. */
typedef struct Named {
        const char *sha256, *sha1;   /* NULL: not said */
        STACK_OF(X509) *x5c;         /* NULL: not said */
} Named;

static Err *matches(const Named *named, X509 *certificate, bool *ret) {
        _cleanup_free_ char *sha256 = NULL, *sha1 = NULL;
        TRY(x509_thumbprint_sha256(certificate, &sha256));
        TRY(x509_thumbprint(certificate, &sha1));
        *ret = (!named->sha256 || string_equal(named->sha256, sha256)) && (!named->sha1 || string_equal(named->sha1, sha1)) &&
               (!named->x5c || X509_cmp(x509_stack_leaf(named->x5c), certificate) == 0);
        return NULL;
}

static Err *find_certificate(const Jws *jws, const Application *application, X509 **ret) {
        Named named = {};
        _cleanup_(x509_stack_freep) STACK_OF(X509) *chain = NULL;
        Err *err = json_get_string_optional(jws->header, "x5t#S256", &named.sha256);
        if (!err)
                err = json_get_string_optional(jws->header, "x5t", &named.sha1);
        if (!err && json_get(jws->header, "x5c"))
                err = x509_chain_from_json(json_get(jws->header, "x5c"), &chain);
        TRY(refuse(REFUSAL_ASSERTION_MALFORMED, err, "Invalid JWT token."));
        named.x5c = chain;
        if (!named.sha256 && !named.sha1 && !named.x5c)
                return refusal_new(REFUSAL_ASSERTION_MALFORMED, "Invalid JWT token. The header names no certificate: x5t#S256, x5t and x5c are missing.");
        for (int i = 0; i < sk_X509_num(application->certificates); i++) {
                X509 *certificate = sk_X509_value(application->certificates, i);
                bool found;
                TRY(matches(&named, certificate, &found));
                if (found) {
                        *ret = certificate;
                        return NULL;
                }
        }
        return refusal_new(REFUSAL_ASSERTION_KEY, "Client assertion contains an invalid signature. [Reason - The key was not found.]");
}

static Err *check_certificate_dates(X509 *certificate, int64_t now_sec) {
        time_t now = now_sec;
        int begun = X509_cmp_time(X509_get0_notBefore(certificate), &now), ends = X509_cmp_time(X509_get0_notAfter(certificate), &now);
        openssl_forget_errors();
        if (ends == -1)
                return refusal_new(REFUSAL_ASSERTION_KEY, "Client assertion contains an invalid signature. [Reason - The key used is expired.]");
        if (begun != -1 || ends != 1)
                return refusal_new(REFUSAL_ASSERTION_KEY, "Client assertion contains an invalid signature. [Reason - The key used is not yet valid.]");
        return NULL;
}

static Err *check_signature(const Jws *jws, EVP_PKEY *key, Refusal refusal) {
        Jwk jwk = { .key = key, .for_verify = true };
        return refuse(refusal, jws_verify(jws, ALGORITHMS, &jwk), "Client assertion contains an invalid signature.");
}

static Err *check_own(const Jws *jws, const Json *claims, const AssertionRules *rules) {
        const char *subject;
        X509 *certificate = NULL;
        TRY(get_claim(claims, "sub", &subject));
        if (strcasecmp(subject, rules->application->client_id) != 0)
                return refusal_new(REFUSAL_ASSERTION_CLIENT, "Client assertion application identifier doesn't match 'client_id' parameter. (sub)");
        TRY(find_certificate(jws, rules->application, &certificate));
        TRY(check_certificate_dates(certificate, rules->now_sec));
        TRY(check_signature(jws, X509_get0_pubkey(certificate), REFUSAL_ASSERTION_KEY));
        if (!has_audience(claims, rules->audiences[0]) && !has_audience(claims, rules->audiences[1]))
                return refusal_new(REFUSAL_ASSERTION_AUDIENCE, "Client assertion audience claim does not match Realm issuer: %s.", rules->audiences[0]);
        return NULL;
}

/* The first federated credential that agrees in issuer, subject and audience. */
static Err *find_federation(const Application *application, const char *issuer, const char *subject, const Json *claims,
                            const ApplicationFederation **ret) {
        Refusal best = REFUSAL_FEDERATION_ISSUER;
        for (size_t i = 0; i < application->n_federations; i++) {
                const ApplicationFederation *federation = &application->federations[i];
                if (!string_equal(federation->issuer, issuer))
                        continue;
                if (best == REFUSAL_FEDERATION_ISSUER)
                        best = REFUSAL_FEDERATION_SUBJECT;
                if (!string_equal(federation->subject, subject))
                        continue;
                best = REFUSAL_FEDERATION_AUDIENCE;
                if (!has_audience(claims, federation->audience))
                        continue;
                *ret = federation;
                return NULL;
        }
        const char *what = best == REFUSAL_FEDERATION_ISSUER ? "issuer" : best == REFUSAL_FEDERATION_SUBJECT ? "subject" : "audience";
        return refusal_new(best,
                           "No matching federated identity record found for presented assertion %s '%.200s'. "
                           "Check your federated identity credential Subject, Audience and Issuer against the presented assertion.",
                           what, best == REFUSAL_FEDERATION_ISSUER ? issuer : best == REFUSAL_FEDERATION_SUBJECT ? subject : "");
}

static Err *check_federated(const Jws *jws, const Json *claims, const char *issuer, const AssertionRules *rules) {
        const char *subject;
        const ApplicationFederation *federation = NULL;
        TRY(get_claim(claims, "sub", &subject));
        TRY(find_federation(rules->application, issuer, subject, claims, &federation));
        const Jwk *key = jws->kid ? jwk_set_find(federation->keys, jws->kid) : NULL;
        if (!key && !jws->kid && federation->keys->n_keys == 1)
                key = federation->keys->keys[0];
        if (!key)
                return refusal_new(REFUSAL_ASSERTION_SIGNATURE, "Assertion failed signature validation. [Reason - The key was not found.]");
        return refuse(REFUSAL_ASSERTION_SIGNATURE, jws_verify(jws, ALGORITHMS, key), "Assertion failed signature validation.");
}

Err *assertion_check(Span text, const AssertionRules *rules, Assertion *ret) {
        _cleanup_(jws_freep) Jws *jws = NULL;
        _cleanup_json_ Json *claims = NULL;
        _cleanup_assertion_ Assertion assertion = {};
        const char *issuer, *id = NULL;
        TRY(refuse(REFUSAL_ASSERTION_MALFORMED, jws_parse(text, &jws), "Invalid JWT token."));
        if (jws->text.size != text.size)   /* jws_parse() is made for files; here a client sends its file's newline along */
                return refusal_new(REFUSAL_ASSERTION_MALFORMED, "Invalid JWT token. There is white space around it.");
        TRY(read_claims(jws, &claims));
        TRY(get_claim(claims, "iss", &issuer));
        assertion.is_federated = strcasecmp(issuer, rules->application->client_id) != 0;
        if (assertion.is_federated)
                TRY(check_federated(jws, claims, issuer, rules));
        else
                TRY(check_own(jws, claims, rules));
        TRY(check_times(claims, rules->now_sec, &assertion.expires_sec));
        if (!assertion.is_federated)
                TRY(get_claim(claims, "jti", &id));
        if (id)
                TRY(string_copy(id, &assertion.id));
        *ret = assertion;
        assertion = (Assertion) {};
        return NULL;
}
