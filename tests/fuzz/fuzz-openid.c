/* Any text as OpenID metadata. What is taken has its issuer and the address of its keys, as the text has them. */
#include <assert.h>

#include "maa/metadata.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_openid_metadata_ OpenIdMetadata metadata = {};
        const char *issuer, *jwks_uri;
        Err *err = maa_openid_parse(span_make(data, size), &metadata);
        if (err) {
                assert(err_code(err) == ERR_SERVICE_ANSWER_INVALID && *err_describe(err) && !metadata.issuer && !metadata.json);
                err_free(err);
                return 0;
        }
        err = json_get_string(metadata.json, "issuer", &issuer);
        assert(!err && string_equal(issuer, metadata.issuer));
        err = json_get_string(metadata.json, "jwks_uri", &jwks_uri);
        assert(!err && string_equal(jwks_uri, metadata.jwks_uri));
        return 0;
}
