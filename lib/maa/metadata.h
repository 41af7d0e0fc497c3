/* Metadata of an instance: GET /certs (JWK set) and GET /.well-known/openid-configuration. */
#pragma once

#include "jose/jwk.h"
#include "maa/http.h"

Err *maa_certs_request(const char *base_url, HttpRequest *ret) _must_check_;
Err *maa_certs_parse(const HttpResponse *response, uint64_t now_sec, JwkSet **ret) _must_check_;
Err *maa_openid_request(const char *base_url, HttpRequest *ret) _must_check_;
typedef struct OpenIdMetadata {
        char *issuer, *jwks_uri;
        Json *json;
} OpenIdMetadata;
void openid_metadata_done(OpenIdMetadata *metadata);
Err *maa_openid_parse(const HttpResponse *response, uint64_t now_sec, OpenIdMetadata *ret) _must_check_;
/* "https://host[:port][/path]" without a trailing slash, or an error saying what is wrong (CONFIG_INVALID). http:// is refused. */
Err *maa_base_url_normalize(const char *url, char **ret) _must_check_;
