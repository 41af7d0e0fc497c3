/* See credential.h. The exact requests, as the service's own SDKs make them:
 *
 *     POST AUTHORITY/TENANT/oauth2/v2.0/token, application/x-www-form-urlencoded (RFC 6749 §4.4, RFC 7523 §2.2)
 *         grant_type=client_credentials&client_id=…&client_secret=…&scope=…
 *         grant_type=client_credentials&client_assertion_type=…jwt-bearer&client_id=…&scope=…&client_assertion=JWT
 *     JWT header {alg, typ, x5t, x5t#S256, kid}, payload {aud, iss, sub, jti, nbf, exp}
 *
 *     GET IMDS/metadata/identity/oauth2/token?api-version=2018-02-01[&client_id=|&object_id=|&msi_res_id=]&resource=…       Metadata: true
 *     GET IDENTITY_ENDPOINT?api-version=2019-08-01&resource=…[&client_id=|&principal_id=|&mi_res_id=]                       X-IDENTITY-HEADER
 *     GET IDENTITY_ENDPOINT?api-version=2019-11-01&resource=…      Metadata: true, and after the challenge Authorization: Basic KEY */
#include "client/credential-private.h"

#include <sys/random.h>

#include "base/writer.h"
#include "jose/pem.h"
#include "jose/x509.h"

#define ASSERTION_TYPE "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#define ASSERTION_LIFE_SEC 600
#define DEFAULT_SCOPE "/.default"
#define ARC_KEY_MAX 4096u       /* the agent's own limit */

static void erase_string(char **text) {
        if (*text)
                explicit_bzero(*text, strlen(*text));
        free(*text);
        *text = NULL;
}
#define _cleanup_secret_ _cleanup_(erase_string)

static bool is_space(uint8_t c) {
        return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Editors and `echo` end a file with a newline, which is part of no secret. */
static Err *read_trimmed(const char *path, size_t max, char **ret) {
        _cleanup_bytes_erase_ Bytes content = {};
        TRY(file_read(path, max, &content));
        Span text = bytes_span(&content);
        while (text.size > 0 && is_space(text.data[text.size - 1]))
                text.size--;
        while (text.size > 0 && is_space(text.data[0]))
                text = span_make(text.data + 1, text.size - 1);
        if (text.size == 0)
                return err_new(ERR_CREDENTIAL_FAILED, "%s is empty", path);
        return err_wrap_code(ERR_CREDENTIAL_FAILED, string_copy_span(text, ret), "%s", path);
}

Err *credential_read_file(const char *path, char **ret) {
        return read_trimmed(path, CREDENTIAL_FILE_MAX, ret);
}

/* All but the unreserved characters of RFC 3986 §2.3 as %XX. */
static void write_encoded(Writer *writer, const char *text) {
        for (const unsigned char *c = (const unsigned char *) text; *c; c++) {
                bool is_letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9');
                if (is_letter || strchr("-._~", *c))
                        writer_u8(writer, *c);
                else
                        writer_format(writer, "%%%02X", *c);
        }
}

static void write_field(Writer *writer, const char *name, const char *value) {
        writer_format(writer, "&%s=", name);
        write_encoded(writer, value);
}

/* ---- token authority ---- */

/* Active Directory Federation Services in place of Entra: another path, and scopes without suffix. */
static bool is_adfs(const Credential *credential) {
        return string_equal(credential->tenant_id, "adfs");
}

static Err *token_url(const Credential *credential, char **ret) {
        return string_format(ret, "%s/%s/oauth2/%stoken", credential->authority, credential->tenant_id, is_adfs(credential) ? "" : "v2.0/");
}

static Err *scope_without_suffix(const char *scope, char **ret) {
        size_t size = strlen(scope), suffix = strlen(DEFAULT_SCOPE);
        if (size > suffix && string_equal(scope + size - suffix, DEFAULT_SCOPE))
                size -= suffix;
        return string_copy_span(span_make(scope, size), ret);
}

static Err *write_scope(const Credential *credential, Writer *writer) {
        _cleanup_free_ char *bare = NULL;
        if (is_adfs(credential))
                TRY(scope_without_suffix(credential->scope, &bare));
        write_field(writer, "scope", bare ? bare : credential->scope);
        return NULL;
}

static Err *thumbprints(X509 *certificate, char **ret_sha1, char **ret_sha256, char **ret_hex) {
        _cleanup_bytes_ Bytes sha1 = {};
        TRY(x509_thumbprint(certificate, ret_sha1));
        TRY(x509_thumbprint_sha256(certificate, ret_sha256));
        TRY(base64url_decode(span_from_string(*ret_sha1), "x5t", &sha1));
        TRY(hex_encode(bytes_span(&sha1), ret_hex));
        for (char *c = *ret_hex; *c; c++)
                if (*c >= 'a' && *c <= 'f')
                        *c = (char) (*c - 'a' + 'A');
        return NULL;
}

static Err *assertion_claims(const Credential *credential, uint64_t now_sec, Bytes *ret) {
        uint8_t random[16];
        char hex[2 * sizeof(random) + 1];
        _cleanup_free_ char *url = NULL;
        _cleanup_writer_ Writer writer = {};
        if (getrandom(random, sizeof(random), 0) != (ssize_t) sizeof(random))
                return err_new(ERR_INTERNAL, "the kernel gives no random bytes");
        random[6] = (uint8_t) ((random[6] & 0x0f) | 0x40);   /* RFC 9562 §5.4 */
        random[8] = (uint8_t) ((random[8] & 0x3f) | 0x80);
        hex_encode_into(SPAN_OF(random), hex);
        TRY(token_url(credential, &url));
        writer_string(&writer, "{\"aud\":");
        writer_json_string(&writer, span_from_string(url));
        writer_string(&writer, ",\"iss\":");
        writer_json_string(&writer, span_from_string(credential->client_id));
        writer_string(&writer, ",\"sub\":");
        writer_json_string(&writer, span_from_string(credential->client_id));
        writer_format(&writer, ",\"jti\":\"%.8s-%.4s-%.4s-%.4s-%.12s\",\"nbf\":%llu,\"exp\":%llu}", hex, hex + 8, hex + 12, hex + 16, hex + 20,
                      (unsigned long long) now_sec, (unsigned long long) now_sec + ASSERTION_LIFE_SEC);
        return writer_finish(&writer, ret);
}

/* The certificate that is the key's: files often have a whole chain. */
static Err *find_certificate(const STACK_OF(X509) *stack, EVP_PKEY *key, const char *path, X509 **ret) {
        for (int i = 0; i < sk_X509_num(stack); i++)
                if (jwk_same_key(X509_get0_pubkey(sk_X509_value(stack, i)), key)) {
                        *ret = sk_X509_value(stack, i);
                        return NULL;
                }
        return err_new(ERR_CREDENTIAL_FAILED, "%s: no certificate in it is for the private key", path);
}

static Err *make_assertion(const Credential *credential, uint64_t now_sec, char **ret) {
        _cleanup_bytes_erase_ Bytes key_pem = {};
        _cleanup_bytes_erase_ Bytes certificate_pem = {};
        _cleanup_(pkey_freep) EVP_PKEY *key = NULL;
        _cleanup_(x509_stack_freep) STACK_OF(X509) *stack = NULL;
        _cleanup_free_ char *sha1 = NULL, *sha256 = NULL, *hex = NULL, *header = NULL;
        _cleanup_bytes_ Bytes claims = {};
        X509 *certificate = NULL;
        JoseAlg alg;
        TRY(file_read(credential->certificate_file, PEM_FILE_MAX, &certificate_pem));
        TRY(file_read(credential->private_key_file, PEM_FILE_MAX, &key_pem));
        TRY(pem_private_key(bytes_span(&key_pem), credential->private_key_file, &key));
        TRY(x509_stack_from_pem(bytes_span(&certificate_pem), credential->certificate_file, &stack));
        TRY(find_certificate(stack, key, credential->certificate_file, &certificate));
        TRY(jose_alg_of_key(key, &alg));
        TRY(thumbprints(certificate, &sha1, &sha256, &hex));
        TRY(string_format(&header, "{\"alg\":\"%s\",\"typ\":\"JWT\",\"x5t\":\"%s\",\"x5t#S256\":\"%s\",\"kid\":\"%s\"}", jose_alg_to_string(alg), sha1,
                          sha256, hex));
        TRY(assertion_claims(credential, now_sec, &claims));
        return jws_sign(alg, key, header, bytes_span(&claims), ret);
}

static Err *write_assertion(const Credential *credential, uint64_t now_sec, Writer *writer) {
        _cleanup_secret_ char *assertion = NULL;
        writer_string(writer, "grant_type=client_credentials");
        write_field(writer, "client_assertion_type", ASSERTION_TYPE);
        write_field(writer, "client_id", credential->client_id);
        TRY(write_scope(credential, writer));
        if (credential->kind == CREDENTIAL_KIND_WORKLOAD_IDENTITY)
                TRY(err_wrap(credential_read_file(credential->federated_token_file, &assertion), "reading the federated token"));
        else
                TRY(err_wrap(make_assertion(credential, now_sec, &assertion), "making the assertion"));
        write_field(writer, "client_assertion", assertion);
        return NULL;
}

static Err *write_secret(const Credential *credential, Writer *writer) {
        _cleanup_secret_ char *secret = NULL;
        TRY(err_wrap(credential_read_file(credential->secret_file, &secret), "reading the client secret"));
        writer_string(writer, "grant_type=client_credentials");
        write_field(writer, "client_id", credential->client_id);
        write_field(writer, "client_secret", secret);
        return write_scope(credential, writer);
}

static Err *authority_request(const Credential *credential, uint64_t now_sec, HttpRequest *request) {
        _cleanup_writer_ Writer writer = { .is_secret = true };
        _cleanup_bytes_erase_ Bytes body = {};
        request->method = "POST";
        TRY(token_url(credential, &request->url));
        TRY(http_request_add_header(request, "Content-Type", "application/x-www-form-urlencoded"));
        TRY(http_request_add_header(request, "Accept", "application/json"));
        if (credential->kind == CREDENTIAL_KIND_CLIENT_SECRET)
                TRY(write_secret(credential, &writer));
        else
                TRY(write_assertion(credential, now_sec, &writer));
        TRY(writer_finish(&writer, &body));
        return source_new_bytes(&body, &request->body);
}

/* ---- metadata services ---- */

/* The scope as a resource: without suffix. */
static Err *write_resource(const Credential *credential, Writer *writer) {
        _cleanup_free_ char *resource = NULL;
        TRY(scope_without_suffix(credential->scope, &resource));
        write_field(writer, "resource", resource);
        return NULL;
}

static void write_identity(const Credential *credential, Writer *writer) {
        bool is_app_service = credential->host == CREDENTIAL_HOST_APP_SERVICE;
        if (credential->managed_client_id)
                write_field(writer, "client_id", credential->managed_client_id);
        else if (credential->managed_object_id)
                write_field(writer, is_app_service ? "principal_id" : "object_id", credential->managed_object_id);
        else if (credential->managed_resource_id)
                write_field(writer, is_app_service ? "mi_res_id" : "msi_res_id", credential->managed_resource_id);
}

static const char *api_version(CredentialHost host) {
        switch (host) {
        case CREDENTIAL_HOST_IMDS:
                return "2018-02-01";
        case CREDENTIAL_HOST_APP_SERVICE:
                return "2019-08-01";
        case CREDENTIAL_HOST_ARC:
                return "2019-11-01";
        }
        return "";
}

static Err *metadata_headers(const Credential *credential, const char *arc_key, HttpRequest *request) {
        _cleanup_secret_ char *authorization = NULL;
        if (credential->host == CREDENTIAL_HOST_APP_SERVICE)
                return http_request_add_header(request, "X-IDENTITY-HEADER", credential->identity_header);
        TRY(http_request_add_header(request, "Metadata", "true"));
        if (!arc_key)
                return NULL;
        TRY(string_join_secret("Basic ", span_from_string(arc_key), &authorization));
        return http_request_add_header(request, "Authorization", authorization);
}

static Err *metadata_request(const Credential *credential, const char *arc_key, HttpRequest *request) {
        _cleanup_writer_ Writer writer = {};
        request->method = "GET";
        request->is_metadata = true;
        writer_format(&writer, "%s%sapi-version=%s", credential->endpoint, strchr(credential->endpoint, '?') ? "&" : "?", api_version(credential->host));
        write_identity(credential, &writer);
        TRY(write_resource(credential, &writer));
        TRY(writer_finish_string(&writer, &request->url));
        return metadata_headers(credential, arc_key, request);
}

Err *credential_request(const Credential *credential, uint64_t now_sec, const char *arc_key, HttpRequest *ret) {
        _cleanup_http_request_ HttpRequest request = {};
        if (credential->kind == CREDENTIAL_KIND_MANAGED_IDENTITY)
                TRY(metadata_request(credential, arc_key, &request));
        else
                TRY(authority_request(credential, now_sec, &request));
        *ret = request;
        request = (HttpRequest) {};
        return NULL;
}

/* Basic realm=PATH: whoever is not the agent must not be able to name any file here, so it has to be one of its directory, with its suffix. */
Err *credential_arc_key(const Credential *credential, const char *authenticate, char **ret) {
        const char *realm = authenticate ? strstr(authenticate, "realm=") : NULL;
        _cleanup_free_ char *path = NULL;
        if (!realm)
                return err_new(ERR_CREDENTIAL_FAILED, "the metadata service of Azure Arc names no key file");
        realm += strlen("realm=");
        bool is_quoted = *realm == '"';
        Span text = span_from_string(realm + is_quoted);
        if (is_quoted && text.size > 0 && text.data[text.size - 1] == '"')
                text.size--;
        TRY(string_copy_span(text, &path));
        size_t n = strlen(credential->arc_directory), size = strlen(path);
        bool is_inside = strncmp(path, credential->arc_directory, n) == 0 && path[n] == '/' && !strchr(path + n + 1, '/');
        if (!is_inside || size <= n + 1 + strlen(".key") || !string_equal(path + size - strlen(".key"), ".key"))
                return err_new(ERR_CREDENTIAL_FAILED, "the metadata service of Azure Arc names a key file that is no .key in %s", credential->arc_directory);
        return err_wrap(read_trimmed(path, ARC_KEY_MAX, ret), "reading the key file of Azure Arc");
}
