/* See authority.h. */
#include "instance/authority.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <time.h>

#include "base/writer.h"
#include "instance/authority-assertion.h"
#include "instance/authority-form.h"
#include "instance/authority-refusal.h"
#include "instance/authority-token.h"
#include "instance/service.h"

#define TOKEN_PATH "/oauth2/v2.0/token"
#define OPENID_PATH "/v2.0/.well-known/openid-configuration"
#define KEYS_PATH "/discovery/v2.0/keys"
#define GRANT "client_credentials"
#define ASSERTION_TYPE "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#define DEFAULT_SCOPE "/.default"

Err *authority_new(const Identity *identity, const Applications *applications, Authority **ret) {
        _cleanup_(authority_freep) Authority *authority = calloc(1, sizeof(*authority));
        if (!authority)
                return err_oom();
        authority->identity = identity;
        authority->applications = applications;
        TRY(x509_thumbprint(identity->authority.certificate, &authority->kid));
        *ret = steal_ptr(&authority);
        return NULL;
}

Authority *authority_free(Authority *authority) {
        if (!authority)
                return NULL;
        free(authority->kid);
        free(authority);
        return NULL;
}

const Applications *authority_applications(const Authority *authority) {
        return authority->applications;
}

/* What stands behind "/TENANT"; NULL if path is none of the three. */
static const char *endpoint_of(const char *path, Span *ret_tenant) {
        if (path[0] != '/')
                return NULL;
        size_t size = strcspn(path + 1, "/");
        const char *rest = path + 1 + size;
        *ret_tenant = span_make(path + 1, size);
        return size > 0 && (string_equal(rest, TOKEN_PATH) || string_equal(rest, OPENID_PATH) || string_equal(rest, KEYS_PATH)) ? rest : NULL;
}

bool authority_has_path(const char *path) {
        Span tenant;
        return endpoint_of(path, &tenant) != NULL;
}

static Err *make_uuid(char out[37]) {
        uint8_t bytes[16];
        char hex[33];
        if (RAND_bytes(bytes, sizeof(bytes)) != 1)
                return err_new(ERR_INTERNAL, "OpenSSL has no random bytes");
        bytes[6] = (uint8_t) ((bytes[6] & 0x0f) | 0x40);   /* RFC 9562 §5.4 */
        bytes[8] = (uint8_t) ((bytes[8] & 0x3f) | 0x80);
        hex_encode_into(SPAN_OF(bytes), hex);
        snprintf(out, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
        return NULL;
}

Err *authority_reply_error(ServiceReply *reply, unsigned status, const char *name, Err *steal_error) {
        _cleanup_(err_freep) Err *error = steal_error;
        const RefusalAnswer *refusal = refusal_find(error);
        char trace[37], correlation[37], when[32];
        time_t date = reply->date_sec;
        struct tm tm;
        TRY(make_uuid(trace));
        TRY(make_uuid(correlation));
        strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%SZ", gmtime_r(&date, &tm));
        _cleanup_free_ char *description = NULL, *number = NULL;
        if (refusal)
                TRY(string_format(&number, "%u", (unsigned) refusal->refusal));
        TRY(string_format(&description, "%s%s%s%s Trace ID: %s Correlation ID: %s Timestamp: %s", refusal ? "AADSTS" : "", refusal ? number : "",
                          refusal ? ": " : "", err_describe(error), trace, correlation, when));
        _cleanup_writer_ Writer writer = {};
        writer_format(&writer, "{\"error\":\"%s\",\"error_description\":", refusal ? refusal->error : name);
        writer_json_string(&writer, span_from_string(description));
        writer_format(&writer, ",\"error_codes\":[%s],\"timestamp\":\"%s\",\"trace_id\":\"%s\",\"correlation_id\":\"%s\"}",
                      refusal ? number : "", when, trace, correlation);
        bytes_done(&reply->body);
        TRY(writer_finish(&writer, &reply->body));
        free(steal_ptr(&reply->reason));
        TRY(string_format(&reply->reason, "%s%s: %s", refusal ? "AADSTS" : "", refusal ? number : name, err_describe(error)));
        reply->status = refusal ? refusal->status : status;
        return NULL;
}

static Err *need(const Form *form, const char *name, const char **ret) {
        *ret = form_get(form, name);
        return *ret ? NULL
                    : refusal_new(REFUSAL_PARAMETER_MISSING, "The request body must contain the following parameter: '%s'.", name);
}

/* The one resource that tokens are for, and all of its rights. */
static Err *check_scope(const char *scope) {
        size_t size = strlen(scope), suffix = strlen(DEFAULT_SCOPE);
        if (strchr(scope, ' '))
                return refusal_new(REFUSAL_SCOPE_INVALID, "The provided request must include a 'scope' input parameter with one resource.");
        if (size <= suffix || !string_equal(scope + size - suffix, DEFAULT_SCOPE))
                return refusal_new(REFUSAL_SCOPE_NOT_DEFAULT,
                                   "The provided value for scope %.200s is not valid. Client credential flows must have a scope value with /.default "
                                   "suffixed to the resource identifier (application ID URI).", scope);
        if (size - suffix != strlen(AUTHORITY_AUDIENCE) || strncmp(scope, AUTHORITY_AUDIENCE, size - suffix) != 0)
                return refusal_new(REFUSAL_RESOURCE_UNKNOWN, "The resource principal named %.*s was not found in the tenant.",
                                   (int) MIN_OF(size - suffix, 200u), scope);
        return NULL;
}

static bool secret_equal(const char *a, const char *b) {
        return strlen(a) == strlen(b) && CRYPTO_memcmp(a, b, strlen(a)) == 0;
}

static Err *check_secret(const Application *application, const char *text, int64_t now_sec) {
        for (size_t i = 0; i < application->n_secrets; i++) {
                const ApplicationSecret *secret = &application->secrets[i];
                if (!secret_equal(secret->value, text))
                        continue;
                if (now_sec >= secret->expires_sec)
                        return refusal_new(REFUSAL_SECRET_EXPIRED, "The provided client secret keys for app '%s' are expired.", application->client_id);
                return NULL;
        }
        return refusal_new(REFUSAL_SECRET_WRONG,
                           "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret "
                           "ID, for a secret added to app '%s'.", application->client_id);
}

/* An assertion of a certificate is good once (RFC 7523 §3: jti). */
static Err *remember(Authority *authority, const Application *application, const Assertion *assertion, int64_t now_sec) {
        AuthorityUse use = { .expires_sec = assertion->expires_sec + ASSERTION_SKEW_SEC };
        _cleanup_free_ char *text = NULL;
        TRY(string_format(&text, "%s\n%s", application->client_id, assertion->id));
        SHA256((const uint8_t *) text, strlen(text), use.digest);
        for (size_t i = 0; i < MIN_OF(authority->n_uses, (size_t) AUTHORITY_REMEMBERED_MAX); i++)
                if (authority->uses[i].expires_sec > now_sec && CRYPTO_memcmp(authority->uses[i].digest, use.digest, sizeof(use.digest)) == 0)
                        return refusal_new(REFUSAL_ASSERTION_MALFORMED, "Invalid JWT token. The assertion was used before (jti).");
        authority->uses[authority->n_uses++ % AUTHORITY_REMEMBERED_MAX] = use;
        return NULL;
}

static Err *check_assertion(Authority *authority, const Tenant *tenant, const Application *application, const char *text, int64_t now_sec) {
        _cleanup_free_ char *token_url = NULL, *issuer = NULL;
        _cleanup_assertion_ Assertion assertion = {};
        TRY(string_format(&token_url, "%s/%s" TOKEN_PATH, authority->identity->url, tenant->id));
        TRY(string_format(&issuer, "%s/%s/v2.0", authority->identity->url, tenant->id));
        AssertionRules rules = { .application = application, .audiences = { token_url, issuer }, .now_sec = now_sec };
        TRY(assertion_check(span_from_string(text), &rules, &assertion));
        return assertion.is_federated ? NULL : remember(authority, application, &assertion, now_sec);
}

static Err *check_client(Authority *authority, const Form *form, int64_t now_sec, AuthorityGrant *grant) {
        const char *secret = form_get(form, "client_secret"), *assertion = form_get(form, "client_assertion"), *type;
        if (!secret && !assertion)
                return refusal_new(REFUSAL_CREDENTIAL_MISSING,
                                   "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type.");
        if (secret && assertion)
                return refusal_new(REFUSAL_REQUEST_MALFORMED, "Invalid request. There are a client_secret and a client_assertion.");
        grant->client_class = secret ? "1" : "2";
        if (secret)
                return check_secret(grant->application, secret, now_sec);
        TRY(need(form, "client_assertion_type", &type));
        if (!string_equal(type, ASSERTION_TYPE))
                return refusal_new(REFUSAL_REQUEST_MALFORMED, "Invalid request. The client_assertion_type is not " ASSERTION_TYPE ".");
        return check_assertion(authority, grant->tenant, grant->application, assertion, now_sec);
}

static Err *open_request(Authority *authority, const ServiceRequest *request, const Tenant *tenant, AuthorityGrant *ret) {
        _cleanup_form_ Form form = {};
        const char *grant_type, *client_id, *scope;
        AuthorityGrant grant = { .tenant = tenant, .now_sec = request->now_sec, .lifetime_sec = AUTHORITY_LIFETIME_SEC };
        size_t type_size = request->content_type ? strcspn(request->content_type, "; ") : 0;
        if (!span_equal_string(span_make(request->content_type, type_size), "application/x-www-form-urlencoded"))
                return refusal_new(REFUSAL_REQUEST_MALFORMED, "Invalid request. The Content-Type is not application/x-www-form-urlencoded.");
        Err *err = form_parse(request->body, &form);
        if (err && err_code(err) != ERR_NO_MEMORY) {
                _cleanup_(err_freep) Err *cause = err;
                return refusal_new(REFUSAL_REQUEST_MALFORMED, "Invalid request. Request is malformed or invalid: %s.", err_describe(cause));
        }
        TRY(err);
        TRY(need(&form, "grant_type", &grant_type));
        if (!string_equal(grant_type, GRANT))
                return refusal_new(REFUSAL_GRANT_UNSUPPORTED, "The app requested an unsupported grant type '%.64s'.", grant_type);
        TRY(need(&form, "client_id", &client_id));
        TRY(need(&form, "scope", &scope));
        grant.application = tenant_find_application(tenant, client_id);
        if (!grant.application)
                return refusal_new(REFUSAL_APPLICATION_UNKNOWN, "Application with identifier '%.64s' was not found in the directory '%s'.", client_id,
                                   tenant->id);
        TRY(check_scope(scope));
        TRY(check_client(authority, &form, request->now_sec, &grant));
        *ret = grant;
        return NULL;
}

static Err *answer_token(Authority *authority, const ServiceRequest *request, const Tenant *tenant, ServiceReply *reply) {
        AuthorityGrant grant;
        _cleanup_free_ char *token = NULL, *text = NULL;
        if (!string_equal(request->method, "POST"))
                return refusal_new(REFUSAL_METHOD, "The endpoint only accepts POST requests. Received a %.16s request.", request->method);
        TRY(open_request(authority, request, tenant, &grant));
        TRY(authority_issue(authority, &grant, &token));
        TRY(string_format(&text, "{\"token_type\":\"Bearer\",\"expires_in\":%" PRId64 ",\"ext_expires_in\":%" PRId64 ",\"access_token\":\"%s\"}",
                          grant.lifetime_sec, grant.lifetime_sec, token));
        reply->no_store = true;
        return bytes_copy(span_from_string(text), &reply->body);
}

static Err *answer_openid(const Authority *authority, const Tenant *tenant, ServiceReply *reply) {
        const char *url = authority->identity->url, *id = tenant->id;
        _cleanup_free_ char *text = NULL;
        TRY(string_format(&text,
                          "{\"token_endpoint\":\"%s/%s" TOKEN_PATH "\",\"token_endpoint_auth_methods_supported\":[\"client_secret_post\",\"private_key_jwt\"],"
                          "\"jwks_uri\":\"%s/%s" KEYS_PATH "\",\"subject_types_supported\":[\"pairwise\"],"
                          "\"id_token_signing_alg_values_supported\":[\"RS256\"],\"response_types_supported\":[\"token\"],\"issuer\":\"%s/%s/v2.0\"}",
                          url, id, url, id, url, id));
        return bytes_copy(span_from_string(text), &reply->body);
}

static Err *answer_keys(const Authority *authority, ServiceReply *reply) {
        _cleanup_free_ char *jwk = NULL, *x5c = NULL, *text = NULL;
        TRY(jwk_public_text(authority->identity->authority.key, &jwk));
        TRY(identity_x5c(&authority->identity->authority.certificate, 1, &x5c));
        TRY(string_format(&text, "{\"keys\":[{\"use\":\"sig\",\"kid\":\"%s\",\"x5t\":\"%s\",\"x5c\":%s,%s]}", authority->kid, authority->kid, x5c, jwk + 1));
        return bytes_copy(span_from_string(text), &reply->body);
}

Err *authority_handle(Authority *authority, const ServiceRequest *request, ServiceReply *reply) {
        Span name;
        Err *err = NULL;
        const char *endpoint = endpoint_of(request->path, &name);
        const Tenant *tenant = applications_find_tenant(authority->applications, name);
        if (!tenant)
                err = refusal_new(REFUSAL_TENANT_UNKNOWN, "Tenant '%.*s' not found. Check to make sure you have the correct tenant ID and are signing "
                                  "into the correct cloud.", (int) MIN_OF(name.size, 64u), (const char *) name.data);
        else if (string_equal(endpoint, TOKEN_PATH))
                err = answer_token(authority, request, tenant, reply);
        else if (string_equal(endpoint, OPENID_PATH))
                err = answer_openid(authority, tenant, reply);
        else
                err = answer_keys(authority, reply);
        if (refusal_find(err))
                return authority_reply_error(reply, 400, "invalid_request", err);
        return err;
}
