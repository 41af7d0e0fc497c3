/* See proof.h. */
#include "maa/proof.h"

#include "jose/signature.h"

#define HEADER_FORMAT "{\"alg\":\"PS256\",\"typ\":\"" PROOF_TYPE "\",\"kid\":\"%s\"}"

static Err *make_header(EVP_PKEY *key, char **ret) {
        _cleanup_free_ char *thumbprint = NULL;
        TRY(jose_signature_check_kind(JOSE_ALG_PS256, key));
        TRY(jwk_thumbprint(key, &thumbprint));
        return string_format(ret, HEADER_FORMAT, thumbprint);
}

static Err *check_payload(Span payload) {
        if (payload.size > PROOF_PAYLOAD_MAX)
                return err_new(ERR_LIMIT_EXCEEDED, "%zu bytes are to be signed, at most %u are allowed", payload.size, PROOF_PAYLOAD_MAX);
        return NULL;
}

Err *proof_signing_input(EVP_PKEY *key, Span payload, Source **ret) {
        _cleanup_free_ char *header = NULL;
        _cleanup_bytes_ Bytes copy = {};
        Source *source;
        TRY(check_payload(payload));
        TRY(make_header(key, &header));
        TRY(bytes_copy(payload, &copy));
        TRY(source_new_bytes(&copy, &source));
        return jws_signing_input(header, source, ret);
}

Err *proof_sign(EVP_PKEY *key, Span payload, char **ret) {
        _cleanup_free_ char *header = NULL;
        TRY(check_payload(payload));
        TRY(make_header(key, &header));
        return jws_sign(JOSE_ALG_PS256, key, header, payload, ret);
}
