/* Metadata of an instance: GET /certs (JWK set) and GET /.well-known/openid-configuration. What parses takes the body of an answer that
 * http_response_check_json() let through. */
#pragma once

#include "jose/jwk.h"
#include "maa/http.h"

Err *maa_certs_request(const char *base_url, HttpRequest *ret) _must_check_;
Err *maa_certs_parse(Span answer, JwkSet **ret) _must_check_;
Err *maa_openid_request(const char *base_url, HttpRequest *ret) _must_check_;
typedef struct OpenIdMetadata {
        char *issuer, *jwks_uri;
        Json *json;
} OpenIdMetadata;
void openid_metadata_done(OpenIdMetadata *metadata);
#define _cleanup_openid_metadata_ _cleanup_(openid_metadata_done)
Err *maa_openid_parse(Span answer, OpenIdMetadata *ret) _must_check_;
/* "https://host[:port][/path]" without a trailing slash, scheme and host in lower case, without the port 443 (that is how the service writes its
 * issuer), or an error saying what is wrong (CONFIG_INVALID). http:// is refused, and so are user names, queries and fragments. */
Err *maa_base_url_normalize(const char *url, char **ret) _must_check_;
