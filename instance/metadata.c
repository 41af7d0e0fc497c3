/* See metadata.h. */
#include "instance/metadata.h"

#include "base/writer.h"

Err *metadata_certs(const Identity *identity, const Forger *forger, char **ret) {
        X509 *chain[IDENTITY_CHAIN_SIZE];
        for (size_t i = 0; i < IDENTITY_CHAIN_SIZE; i++)
                chain[i] = identity->token_chain[i].certificate;
        _cleanup_free_ char *self = NULL, *token = NULL, *weak = NULL;
        TRY(identity_jwk_entry(&identity->instance.certificate, 1, identity->instance_kid, &self));
        TRY(identity_jwk_entry(chain, IDENTITY_CHAIN_SIZE, identity->token_kid, &token));
        if (forger->weak.certificate)
                TRY(identity_jwk_entry(&forger->weak.certificate, 1, forger->weak_kid, &weak));
        return string_format(ret, "{\"keys\":[%s,%s%s%s]}", self, token, weak ? "," : "", weak ? weak : "");
}

/* The recorded list. It names SGX claims and no TPM claims, although TPM tokens exist. */
#define CLAIMS_SUPPORTED                                                                                                                   \
        "[\"cnf\",\"nonce\",\"x-ms-ver\",\"x-ms-attestation-type\",\"x-ms-policy-hash\",\"x-ms-policy-signer\",\"x-ms-sgx-is-debuggable\"," \
        "\"x-ms-sgx-mrenclave\",\"x-ms-sgx-mrsigner\",\"x-ms-sgx-svn\",\"x-ms-sgx-ehd\",\"x-ms-sgx-collateral\",\"is-debuggable\","        \
        "\"sgx-mrsigner\",\"sgx-mrenclave\",\"product-id\",\"svn\",\"tee\"]"

Err *metadata_openid(const Identity *identity, char **ret) {
        const char *url = identity->url;
        return string_format(ret,
                             "{\"response_types_supported\":[\"token\",\"none\"],\"id_token_signing_alg_values_supported\":[\"RS256\"],"
                             "\"revocation_endpoint\":\"%s/revoke\",\"issuer\":\"%s\",\"jwks_uri\":\"%s/certs\","
                             "\"claims_supported\":" CLAIMS_SUPPORTED "}", url, url, url);
}
