/* See metadata.h. Recorded answers: certs is {"keys":[{"x5c":[…],"kid":"…","kty":"RSA"},…]}; openid-configuration an object with issuer and
 * jwks_uri among others. Both are asked for without an API version and without a credential. */
#include "maa/metadata.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#define URL_MAX 2048   /* ours: what browsers and proxies agree on */
#define PORT_HTTPS 443

static Err *make_get(const char *base_url, const char *path, const char *accept, HttpRequest *ret) {
        _cleanup_http_request_ HttpRequest request = { .method = "GET" };
        TRY(string_format(&request.url, "%s/%s", base_url, path));
        TRY(http_request_add_header(&request, "Accept", accept));
        *ret = request;
        request = (HttpRequest) {};
        return NULL;
}

Err *maa_certs_request(const char *base_url, HttpRequest *ret) {
        return make_get(base_url, "certs", "application/jwk+json, application/json", ret);
}

Err *maa_certs_parse(Span answer, JwkSet **ret) {
        _cleanup_(jwk_set_freep) JwkSet *set = NULL;
        Err *err = jwk_set_parse(answer, "the key set", &set);
        if (err)
                return err_wrap_code(ERR_SERVICE_ANSWER_INVALID, err, "the answer of certs cannot be used");
        if (set->n_keys == 0)
                return err_new(ERR_SERVICE_ANSWER_INVALID, "the answer of certs: keys has no key of a kind that is known (%zu were skipped)", set->n_skipped);
        *ret = steal_ptr(&set);
        return NULL;
}

Err *maa_openid_request(const char *base_url, HttpRequest *ret) {
        return make_get(base_url, ".well-known/openid-configuration", "application/json", ret);
}

void openid_metadata_done(OpenIdMetadata *metadata) {
        if (!metadata)
                return;
        free(metadata->issuer);
        free(metadata->jwks_uri);
        json_unref(metadata->json);
        *metadata = (OpenIdMetadata) {};
}

static Err *openid_fill(OpenIdMetadata *metadata, Span body) {
        const char *issuer, *jwks_uri;
        TRY(json_parse(body, "the metadata", &metadata->json));
        TRY(json_get_string(metadata->json, "issuer", &issuer));
        TRY(json_get_string(metadata->json, "jwks_uri", &jwks_uri));
        TRY(string_copy(issuer, &metadata->issuer));
        return string_copy(jwks_uri, &metadata->jwks_uri);
}

Err *maa_openid_parse(Span answer, OpenIdMetadata *ret) {
        _cleanup_(openid_metadata_done) OpenIdMetadata metadata = {};
        Err *err = openid_fill(&metadata, answer);
        if (err)
                return err_wrap_code(ERR_SERVICE_ANSWER_INVALID, err, "the answer of .well-known/openid-configuration cannot be used");
        *ret = metadata;
        metadata = (OpenIdMetadata) {};
        return NULL;
}

/* ---- URL of an instance (RFC 3986 §3), narrower than the RFC: what cannot be meant is refused ---- */

static Err *url_error(const char *url, const char *why) {
        return err_new(ERR_CONFIG_INVALID, "\"%.200s\" is no URL of an instance: %s; https://host[:port][/path] is needed", url, why);
}

/* Length of the host at text, 0 if there is none: a name, an IPv4 address, or an IPv6 address in brackets. */
static size_t host_size(const char *text) {
        if (*text != '[')
                return text[0] == '.' || text[0] == '-' ? 0 :
                       strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_");
        size_t n = strspn(text + 1, "0123456789abcdefABCDEF:.");
        return n >= 2 && text[1 + n] == ']' ? n + 2 : 0;
}

/* text begins with a colon; *ret_size is what the port takes with it. */
static bool port_parse(const char *text, unsigned *ret_port, size_t *ret_size) {
        size_t n = strspn(text + 1, "0123456789");
        if (n == 0 || n > 5)
                return false;
        unsigned port = 0;
        for (size_t i = 1; i <= n; i++)
                port = port * 10 + (unsigned) (text[i] - '0');
        *ret_port = port;
        *ret_size = n + 1;
        return port >= 1 && port <= UINT16_MAX;
}

/* NULL, or what is wrong with a path. */
static const char *path_problem(const char *path) {
        for (const char *c = path; *c; c++) {
                if (*c == '?' || *c == '#')
                        return "a query or a fragment is not allowed";
                if (*c == '%' && (!isxdigit((unsigned char) c[1]) || !isxdigit((unsigned char) c[2])))
                        return "two hex digits are needed after '%'";
                if (!isalnum((unsigned char) *c) && !strchr("/-._~%!$&'()*+,;=:@", *c))
                        return "a character is not allowed in the path";
                if (c[0] == '/' && c[1] == '/')
                        return "an empty part in the path is not allowed";
                size_t dots = c[0] == '/' ? strspn(c + 1, ".") : 0;
                if ((dots == 1 || dots == 2) && (c[1 + dots] == '/' || c[1 + dots] == 0))
                        return "'.' and '..' are not allowed in the path";
        }
        return NULL;
}

Err *maa_base_url_normalize(const char *url, char **ret) {
        static const char scheme[] = "https://";
        for (const unsigned char *c = (const unsigned char *) url; *c; c++)
                if (*c <= ' ' || *c >= 0x7f)
                        return err_new(ERR_CONFIG_INVALID, "the URL of an instance has a blank, a control character or one outside ASCII at offset %zu",
                                       (size_t) (c - (const unsigned char *) url));
        if (strlen(url) > URL_MAX)
                return url_error(url, "it is too long");
        if (strncasecmp(url, scheme, strlen(scheme)) != 0)
                return url_error(url, strncasecmp(url, "http://", 7) == 0 ? "http without TLS is not allowed" : "it does not begin with https://");
        const char *host = url + strlen(scheme);
        if (memchr(host, '@', strcspn(host, "/?#")))
                return err_new(ERR_CONFIG_INVALID, "a user name or password in the URL of an instance is not allowed");   /* and is not repeated */

        size_t n_host = host_size(host), n_port = 0;
        unsigned port = PORT_HTTPS;
        if (n_host == 0)
                return url_error(url, "the host is missing or malformed");
        if (host[n_host] == ':' && !port_parse(host + n_host, &port, &n_port))
                return url_error(url, "the port is no number from 1 to 65535");
        const char *path = host + n_host + n_port;
        if (*path && *path != '/' && *path != '?' && *path != '#')
                return url_error(url, "a character is not allowed in the host");
        size_t n_path = strlen(path);
        while (n_path > 0 && path[n_path - 1] == '/')
                n_path--;
        _cleanup_free_ char *kept = NULL, *normal = NULL;
        TRY(string_copy_span(span_make(path, n_path), &kept));
        const char *problem = path_problem(kept);
        if (problem)
                return url_error(url, problem);

        char port_text[sizeof(":65535")] = "";
        if (port != PORT_HTTPS)
                snprintf(port_text, sizeof(port_text), ":%u", port & UINT16_MAX);
        TRY(string_format(&normal, "%s%.*s%s%s", scheme, (int) n_host, host, port_text, kept));
        for (size_t i = 0; i < strlen(scheme) + n_host; i++)
                normal[i] = (char) tolower((unsigned char) normal[i]);
        *ret = steal_ptr(&normal);
        return NULL;
}
