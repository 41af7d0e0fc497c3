/* Access tokens: made here, and judged here when they come back. See authority.h. */
#include "instance/authority-token.h"

#include <inttypes.h>
#include <openssl/rand.h>
#include <strings.h>

#include "base/writer.h"
#include "jose/jws.h"

#define SCHEME "Bearer "

Err *authority_issue(const Authority *authority, const AuthorityGrant *grant, char **ret) {
        uint8_t random[16];
        if (RAND_bytes(random, sizeof(random)) != 1)
                return err_new(ERR_INTERNAL, "OpenSSL has no random bytes");
        const Application *application = grant->application;
        _cleanup_writer_ Writer writer = {};
        _cleanup_free_ char *header = NULL;
        _cleanup_bytes_ Bytes claims = {};
        writer_format(&writer, "{\"aud\":\"" AUTHORITY_AUDIENCE "\",\"iss\":\"%s/%s/v2.0\"", authority->identity->url, grant->tenant->id);
        writer_format(&writer, ",\"iat\":%" PRId64 ",\"nbf\":%" PRId64 ",\"exp\":%" PRId64, grant->now_sec, grant->now_sec,
                      grant->now_sec + grant->lifetime_sec);
        writer_format(&writer, ",\"appid\":\"%s\",\"appidacr\":\"%s\",\"idtyp\":\"app\"", application->client_id, grant->client_class);
        writer_format(&writer, ",\"oid\":\"%s\",\"sub\":\"%s\",\"tid\":\"%s\",\"uti\":\"", application->object_id, application->object_id,
                      grant->tenant->id);
        writer_base64url(&writer, SPAN_OF(random));
        writer_string(&writer, "\",\"ver\":\"1.0\"");
        if (application->is_managed && application->resource_id)
                writer_format(&writer, ",\"xms_mirid\":\"%s\"", application->resource_id);
        writer_string(&writer, "}");
        TRY(writer_finish(&writer, &claims));
        TRY(string_format(&header, "{\"typ\":\"JWT\",\"alg\":\"RS256\",\"x5t\":\"%s\",\"kid\":\"%s\"}", authority->kid, authority->kid));
        return jws_sign(JOSE_ALG_RS256, authority->identity->authority.key, header, bytes_span(&claims), ret);
}

/* Who the token speaks for, if it is one of ours and of now. */
static Err *open_token(const Authority *authority, const char *token, int64_t now_sec, const Application **ret) {
        _cleanup_(jws_freep) Jws *jws = NULL;
        _cleanup_json_ Json *claims = NULL;
        _cleanup_free_ char *wanted_issuer = NULL;
        const char *issuer, *audience, *tenant_id, *object_id;
        uint64_t expires, not_before;
        Jwk key = { .key = authority->identity->authority.key, .for_verify = true };
        TRY(jws_parse(span_from_string(token), &jws));
        TRY(jws_verify(jws, JOSE_ALG_BIT(JOSE_ALG_RS256), &key));
        TRY(json_parse(bytes_span(&jws->payload), "the access token", &claims));
        TRY(json_get_string(claims, "iss", &issuer));
        TRY(json_get_string(claims, "aud", &audience));
        TRY(json_get_string(claims, "tid", &tenant_id));
        TRY(json_get_string(claims, "oid", &object_id));
        TRY(json_get_numeric_date(claims, "exp", &expires));
        TRY(json_get_numeric_date(claims, "nbf", &not_before));
        TRY(string_format(&wanted_issuer, "%s/%s/v2.0", authority->identity->url, tenant_id));
        if (!string_equal(issuer, wanted_issuer) || !string_equal(audience, AUTHORITY_AUDIENCE))
                return err_new(ERR_SERVICE_UNAUTHORIZED, "it is of another issuer, or for another audience");
        if (now_sec >= (int64_t) expires || now_sec < (int64_t) not_before)
                return err_new(ERR_SERVICE_UNAUTHORIZED, "it is expired, or not yet valid");
        const Tenant *tenant = applications_find_tenant(authority->applications, span_from_string(tenant_id));
        *ret = tenant ? tenant_find_object(tenant, object_id) : NULL;
        return *ret ? NULL : err_new(ERR_SERVICE_UNAUTHORIZED, "the application that it was issued to is gone");
}

Err *authority_check_bearer(const Authority *authority, const char *header, ApplicationRole role, int64_t now_sec) {
        const Application *application = NULL;
        if (!header || strncasecmp(header, SCHEME, strlen(SCHEME)) != 0)
                return err_new(ERR_SERVICE_UNAUTHORIZED, "The request has no bearer token.");
        TRY(err_wrap_code(ERR_SERVICE_UNAUTHORIZED, open_token(authority, header + strlen(SCHEME), now_sec, &application),
                          "The bearer token is not accepted"));
        if (!(application->roles & role))
                return err_new(ERR_SERVICE_UNAUTHORIZED, "The application %s has not the role Attestation %s on this provider.", application->client_id,
                               role == APPLICATION_CONTRIBUTOR ? "Contributor" : "Reader");
        return NULL;
}
