/* See forge.h. */
#include "instance/forge.h"

#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "base/writer.h"
#include "jose/jws.h"

#define WEAK_BITS 1024
#define FOREIGN_VALID_SEC (INT64_C(365) * 86400)

Err *forger_init(Forger *forger, const char *url) {
        const char *port = strrchr(url, ':');
        return string_format(&forger->lure_url, "https://localhost%s/foreign", port ? port : "");
}

void forger_done(Forger *forger) {
        ca_identity_done(&forger->foreign);
        ca_identity_done(&forger->weak);
        free(forger->foreign_kid);
        free(forger->weak_kid);
        free(forger->lure_url);
        *forger = (Forger) {};
}

static Err *make_stranger(unsigned bits, const char *name, int64_t now_sec, CaIdentity *ret, char **ret_kid) {
        if (ret->key)
                return NULL;
        _cleanup_ca_identity_ CaIdentity made = {};
        CaCertificate wanted = { .common_name = name, .not_before = now_sec - 86400, .not_after = now_sec + FOREIGN_VALID_SEC };
        TRY(ca_key_generate(bits, &made.key));
        TRY(ca_certificate_issue(&wanted, made.key, &made.certificate));
        TRY(x509_thumbprint(made.certificate, ret_kid));
        *ret = made;
        made = (CaIdentity) {};
        return NULL;
}

Err *forger_prepare(Forger *forger, Forgery forgery, int64_t now_sec) {
        switch (forgery) {
        case FORGERY_WEAK_KEY:
                return make_stranger(WEAK_BITS, "attest-instance weak key", now_sec, &forger->weak, &forger->weak_kid);
        case FORGERY_WRONG_KEY:
        case FORGERY_WRONG_CNF:
        case FORGERY_FOREIGN_JKU:
        case FORGERY_FOREIGN_X5U:
        case FORGERY_FOREIGN_X5C:
        case FORGERY_EMBEDDED_JWK:
                return make_stranger(CA_KEY_BITS, "attest-instance foreign key", now_sec, &forger->foreign, &forger->foreign_kid);
        case FORGERY_NONE:
        case FORGERY_ALG_NONE:
        case FORGERY_HS256:
        case FORGERY_UNKNOWN_KID:
        case FORGERY_EXPIRED:
        case FORGERY_NOT_YET_VALID:
        case FORGERY_ISSUED_IN_FUTURE:
        case FORGERY_WRONG_ISSUER:
        case FORGERY_WRONG_NONCE:
        case FORGERY_WRONG_POLICY_HASH:
        case FORGERY_TAMPERED:
        case FORGERY_DUPLICATE_ALG:
        case FORGERY_CRIT:
        case FORGERY_EXTRA_PART:
        case FORGERY_TRUNCATED:
        case _FORGERY_MAX:
                break;
        }
        return NULL;
}

Err *forge_random_text(char **ret) {
        uint8_t bytes[32];
        if (RAND_bytes(bytes, sizeof(bytes)) != 1)
                return err_new(ERR_INTERNAL, "OpenSSL has no random bytes");
        return base64url_encode(SPAN_OF(bytes), ret);
}

/* Defects that stand in the claims. The token's signature is good. */
static Err *forge_claims(Forger *forger, Forgery forgery, const Report *report, const Identity *identity, char **ret) {
        Report forged = *report;
        _cleanup_free_ char *text = NULL;
        int64_t life = report->expires - report->issued;
        if (forgery == FORGERY_EXPIRED) {
                forged.expires = report->issued - FORGE_SHIFT_SEC;
                forged.issued = forged.expires - life;
                forged.not_before = forged.issued - REPORT_BACKDATE_SEC;
        } else if (forgery == FORGERY_NOT_YET_VALID) {
                forged.not_before = report->issued + FORGE_SHIFT_SEC;
                forged.expires = report->expires + FORGE_SHIFT_SEC;
        } else if (forgery == FORGERY_ISSUED_IN_FUTURE) {
                forged.issued = report->issued + FORGE_SHIFT_SEC;
                forged.expires = report->expires + FORGE_SHIFT_SEC;
        } else if (forgery == FORGERY_WRONG_ISSUER) {
                forged.issuer = FORGE_OTHER_ISSUER;
        } else if (forgery == FORGERY_WRONG_NONCE) {
                TRY(forge_random_text(&text));
                forged.rp_data = forged.nonce = text;
        } else if (forgery == FORGERY_WRONG_CNF) {
                TRY(jwk_public_text(forger->foreign.key, &text));
                forged.confirmed_jwk = text;
        } else if (forgery == FORGERY_WRONG_POLICY_HASH) {
                TRY(forge_random_text(&text));
                forged.policy_hash = text;
        }
        return report_sign(&forged, identity, ret);
}

/* A header with the instance's chain and kid, as far as the arguments do not say otherwise. */
static Err *sign_with_header(const Report *report, EVP_PKEY *key, const ReportHeader *header, char **ret) {
        _cleanup_free_ char *text = NULL;
        _cleanup_bytes_ Bytes claims = {};
        TRY(report_header_text(header, &text));
        TRY(report_claims_text(report, &claims));
        return jws_sign(JOSE_ALG_RS256, key, text, bytes_span(&claims), ret);
}

Err *forge_without_key(const char *header, Span claims, EVP_PKEY *hmac_key, char **ret) {
        _cleanup_bytes_ Bytes public_key = {};
        _cleanup_writer_ Writer writer = {};
        writer_base64url(&writer, span_from_string(header));
        writer_string(&writer, ".");
        writer_base64url(&writer, claims);
        if (hmac_key && !writer.failed) {
                uint8_t mac[EVP_MAX_MD_SIZE];
                unsigned size = 0;
                TRY(ca_public_key_to_pem(hmac_key, &public_key));
                if (!HMAC(EVP_sha256(), public_key.data, (int) public_key.size, writer.output.data, writer.output.size, mac, &size))
                        return err_new(ERR_INTERNAL, "computing an HMAC failed");
                writer_string(&writer, ".");
                writer_base64url(&writer, span_make(mac, size));
        } else {
                writer_string(&writer, ".");
        }
        return writer_finish_string(&writer, ret);
}

/* alg none, and HS256 with the published key as the secret. */
static Err *forge_report_without_key(Forgery forgery, const Report *report, const Identity *identity, const ReportHeader *good, char **ret) {
        ReportHeader header = *good;
        bool is_hmac = forgery == FORGERY_HS256;
        header.alg = is_hmac ? "HS256" : "none";
        _cleanup_free_ char *text = NULL;
        _cleanup_bytes_ Bytes claims = {};
        TRY(report_header_text(&header, &text));
        TRY(report_claims_text(report, &claims));
        return forge_without_key(text, bytes_span(&claims), is_hmac ? identity->token_chain[0].key : NULL, ret);
}

/* Defects in a header that the foreign key signs: each invites to believe that key. */
static Err *forge_foreign(Forger *forger, Forgery forgery, const Report *report, const ReportHeader *good, char **ret) {
        _cleanup_free_ char *x5c = NULL, *extra = NULL, *jwk = NULL;
        ReportHeader header = { .alg = "RS256", .kid = forger->foreign_kid };
        if (forgery == FORGERY_WRONG_KEY) {
                header = *good;
        } else if (forgery == FORGERY_FOREIGN_X5C) {
                TRY(identity_x5c(&forger->foreign.certificate, 1, &x5c));
                header.x5c = x5c;
                header.kid = good->kid;
        } else if (forgery == FORGERY_FOREIGN_JKU) {
                TRY(string_format(&extra, ",\"jku\":\"%s/certs\"", forger->lure_url));
        } else if (forgery == FORGERY_FOREIGN_X5U) {
                TRY(string_format(&extra, ",\"x5u\":\"%s/x5u\"", forger->lure_url));
        } else {
                TRY(jwk_public_text(forger->foreign.key, &jwk));
                TRY(string_format(&extra, ",\"jwk\":%s", jwk));
        }
        if (extra)
                header.extra = extra;
        return sign_with_header(report, forger->foreign.key, &header, ret);
}

static Err *forge_weak(Forger *forger, const Report *report, char **ret) {
        _cleanup_free_ char *x5c = NULL;
        TRY(identity_x5c(&forger->weak.certificate, 1, &x5c));
        return sign_with_header(report, forger->weak.key, &(ReportHeader) { .alg = "RS256", .x5c = x5c, .kid = forger->weak_kid }, ret);
}

/* Changes a digit of the first claim, nbf: the signature no longer fits. */
static Err *tamper(const char *token, char **ret) {
        const char *first = strchr(token, '.'), *second = first ? strchr(first + 1, '.') : NULL;
        if (!second)
                return err_new(ERR_INTERNAL, "a token without three parts");
        _cleanup_bytes_ Bytes claims = {};
        TRY(base64url_decode(span_make(first + 1, (size_t) (second - first - 1)), "claims", &claims));
        char *nbf = strchr((char *) claims.data, ':');
        if (!nbf || nbf[1] < '1' || nbf[1] > '9')
                return err_new(ERR_INTERNAL, "claims that do not begin with nbf");
        char *last = nbf + 1;
        while (last[1] >= '0' && last[1] <= '9')
                last++;
        *last = *last == '9' ? '0' : (char) (*last + 1);
        _cleanup_writer_ Writer writer = {};
        writer_span(&writer, span_make(token, (size_t) (first - token) + 1));
        writer_base64url(&writer, bytes_span(&claims));
        writer_string(&writer, second);
        return writer_finish_string(&writer, ret);
}

/* Defects of the finished text. */
static Err *spoil_text(Forgery forgery, const Report *report, const Identity *identity, char **ret) {
        _cleanup_free_ char *token = NULL;
        TRY(report_sign(report, identity, &token));
        if (forgery == FORGERY_TAMPERED)
                return tamper(token, ret);
        if (forgery == FORGERY_EXTRA_PART)
                return string_format(ret, "%s.AAAA", token);
        const char *signature = strrchr(token, '.') + 1;
        size_t half = strlen(signature) / 8 * 4; /* whole groups: good base64url of a signature that is too short */
        return string_copy_span(span_make(token, (size_t) (signature - token) + half), ret);
}

Err *forge_token(Forger *forger, Forgery forgery, const Report *report, const Identity *identity, char **ret) {
        X509 *chain[IDENTITY_CHAIN_SIZE];
        for (size_t i = 0; i < IDENTITY_CHAIN_SIZE; i++)
                chain[i] = identity->token_chain[i].certificate;
        EVP_PKEY *key = identity->token_chain[0].key;
        _cleanup_free_ char *x5c = NULL, *kid = NULL;
        TRY(forger_prepare(forger, forgery, report->issued));
        TRY(identity_x5c(chain, IDENTITY_CHAIN_SIZE, &x5c));
        ReportHeader header = { .alg = "RS256", .x5c = x5c, .kid = identity->token_kid };
        switch (forgery) {
        case FORGERY_NONE:
        case FORGERY_EXPIRED:
        case FORGERY_NOT_YET_VALID:
        case FORGERY_ISSUED_IN_FUTURE:
        case FORGERY_WRONG_ISSUER:
        case FORGERY_WRONG_NONCE:
        case FORGERY_WRONG_CNF:
        case FORGERY_WRONG_POLICY_HASH:
                return forge_claims(forger, forgery, report, identity, ret);
        case FORGERY_ALG_NONE:
        case FORGERY_HS256:
                return forge_report_without_key(forgery, report, identity, &header, ret);
        case FORGERY_WRONG_KEY:
        case FORGERY_FOREIGN_JKU:
        case FORGERY_FOREIGN_X5U:
        case FORGERY_FOREIGN_X5C:
        case FORGERY_EMBEDDED_JWK:
                return forge_foreign(forger, forgery, report, &header, ret);
        case FORGERY_UNKNOWN_KID:
                TRY(forge_random_text(&kid));
                header.kid = kid;
                header.x5c = NULL;
                return sign_with_header(report, key, &header, ret);
        case FORGERY_DUPLICATE_ALG:
                header.alg = "none\",\"alg\":\"RS256";
                return sign_with_header(report, key, &header, ret);
        case FORGERY_CRIT:
                header.extra = ",\"crit\":[\"urn:example:unknown\"],\"urn:example:unknown\":true";
                return sign_with_header(report, key, &header, ret);
        case FORGERY_TAMPERED:
        case FORGERY_EXTRA_PART:
        case FORGERY_TRUNCATED:
                return spoil_text(forgery, report, identity, ret);
        case FORGERY_WEAK_KEY:
                return forge_weak(forger, report, ret);
        case _FORGERY_MAX:
                break;
        }
        return err_new(ERR_INTERNAL, "forgery %d has no maker", (int) forgery);
}

Err *forger_lure(Forger *forger, const char *path, int64_t now_sec, char **ret) {
        TRY(forger_prepare(forger, FORGERY_FOREIGN_JKU, now_sec));
        if (string_equal(path, "/foreign/certs")) {
                _cleanup_free_ char *entry = NULL;
                TRY(identity_jwk_entry(&forger->foreign.certificate, 1, forger->foreign_kid, &entry));
                return string_format(ret, "{\"keys\":[%s]}", entry);
        }
        _cleanup_bytes_ Bytes pem = {};
        TRY(ca_certificate_to_pem(forger->foreign.certificate, &pem));
        return string_copy_span(bytes_span(&pem), ret);
}
