/* See identity.h. */
#include "instance/identity.h"

#include <openssl/sha.h>

#include "base/writer.h"
#include "jose/jwk.h"

#define YEAR (INT64_C(365) * 86400)
#define INSTANCE_NOT_BEFORE INT64_C(1556668800) /* 2019-05-01, as every recorded instance has it */
#define INSTANCE_NOT_AFTER INT64_C(2556143999)  /* 2050-12-31T23:59:59 */
#define TOKEN_SIGNING_USAGE "1.3.6.1.4.1.311.76.50.3" /* of the real service's leaf */

Identity *identity_free(Identity *identity) {
        if (!identity)
                return NULL;
        ca_identity_done(&identity->ca);
        ca_identity_done(&identity->tls);
        ca_identity_done(&identity->instance);
        ca_identity_done(&identity->aik_ca);
        ca_identity_done(&identity->authority);
        for (size_t i = 0; i < IDENTITY_CHAIN_SIZE; i++)
                ca_identity_done(&identity->token_chain[i]);
        bytes_erase(&identity->context_key);
        free(identity->token_kid);
        free(identity->instance_kid);
        free(identity->url);
        free(identity);
        return NULL;
}

Err *identity_kid_of_key(EVP_PKEY *key, char **ret) {
        _cleanup_bytes_ Bytes pem = {};
        TRY(ca_public_key_to_pem(key, &pem));
        uint8_t digest[SHA256_DIGEST_LENGTH];
        SHA256(pem.data, pem.size + 1, digest); /* Bytes end in a NUL */
        return base64_encode(SPAN_OF(digest), ret);
}

static Err *load_tls(Identity *identity, const char *directory, int64_t now_sec) {
        CaCertificate ca = {
                .common_name = "attest-instance CA", .is_ca = true, .not_before = now_sec - 86400, .not_after = now_sec + 20 * YEAR,
        };
        TRY(ca_state_identity(directory, "ca", &ca, now_sec, &identity->ca));
        CaCertificate tls = {
                .common_name = "localhost", .alt_names = "IP:127.0.0.1,IP:::1,DNS:localhost", .usages = "serverAuth",
                .not_before = now_sec - 86400, .not_after = now_sec + 2 * YEAR, .issuer = &identity->ca,
        };
        return ca_state_identity(directory, "tls", &tls, now_sec, &identity->tls);
}

static CaCertificate leaf_wanted(const CaIdentity *intermediate, int64_t now_sec) {
        return (CaCertificate) {
                .common_name = "attest-instance token signer", .usages = TOKEN_SIGNING_USAGE,
                .not_before = now_sec - 86400, .not_after = now_sec + 10 * YEAR, .issuer = intermediate,
        };
}

static Err *load_token_chain(Identity *identity, const char *directory, int64_t now_sec) {
        CaIdentity *leaf = &identity->token_chain[0], *intermediate = &identity->token_chain[1], *root = &identity->token_chain[2];
        CaCertificate wanted = {
                .common_name = "attest-instance token root", .is_ca = true, .not_before = now_sec - 86400, .not_after = now_sec + 20 * YEAR,
        };
        TRY(ca_state_identity(directory, "token-root", &wanted, now_sec, root));
        wanted.common_name = "attest-instance token intermediate";
        wanted.not_after = now_sec + 15 * YEAR;
        wanted.issuer = root;
        TRY(ca_state_identity(directory, "token-intermediate", &wanted, now_sec, intermediate));
        wanted = leaf_wanted(intermediate, now_sec);
        TRY(ca_state_identity(directory, "token-leaf", &wanted, now_sec, leaf));
        return x509_thumbprint(leaf->certificate, &identity->token_kid);
}

static Err *load_others(Identity *identity, const char *directory, int64_t now_sec) {
        CaCertificate self = {
                .common_name = identity->url, .serial = 1, .not_before = INSTANCE_NOT_BEFORE, .not_after = INSTANCE_NOT_AFTER,
        };
        TRY(ca_state_identity(directory, "instance", &self, now_sec, &identity->instance));
        TRY(identity_kid_of_key(identity->instance.key, &identity->instance_kid));
        CaCertificate aik_ca = {
                .common_name = "attest-instance AIK CA", .is_ca = true, .not_before = now_sec - 86400, .not_after = now_sec + 20 * YEAR,
        };
        TRY(ca_state_identity(directory, "aik-ca", &aik_ca, now_sec, &identity->aik_ca));
        return ca_state_secret(directory, "context.key", 32, &identity->context_key);
}

Err *identity_load(const char *directory, const char *url, int64_t now_sec, Identity **ret) {
        _cleanup_(identity_freep) Identity *identity = calloc(1, sizeof(*identity));
        if (!identity)
                return err_oom();
        TRY(string_copy(url, &identity->url));
        TRY(err_wrap(ca_state_prepare(directory), "preparing the instance's state"));
        TRY(err_wrap(load_tls(identity, directory, now_sec), "loading the TLS keys"));
        TRY(err_wrap(load_token_chain(identity, directory, now_sec), "loading the token signing chain"));
        TRY(err_wrap(load_others(identity, directory, now_sec), "loading the instance's keys"));
        *ret = steal_ptr(&identity);
        return NULL;
}

Err *identity_load_authority(Identity *identity, const char *directory, int64_t now_sec) {
        CaCertificate wanted = {
                .common_name = "attest-instance token authority", .not_before = now_sec - 86400, .not_after = now_sec + 10 * YEAR,
        };
        return err_wrap(ca_state_identity(directory, "authority", &wanted, now_sec, &identity->authority), "loading the token authority's key");
}

Err *identity_rotate(Identity *identity, int64_t now_sec) {
        _cleanup_ca_identity_ CaIdentity fresh = {};
        _cleanup_free_ char *kid = NULL;
        CaCertificate wanted = leaf_wanted(&identity->token_chain[1], now_sec);
        TRY(ca_key_generate(CA_KEY_BITS, &fresh.key));
        TRY(ca_certificate_issue(&wanted, fresh.key, &fresh.certificate));
        TRY(x509_thumbprint(fresh.certificate, &kid));
        ca_identity_done(&identity->token_chain[0]);
        identity->token_chain[0] = fresh;
        fresh = (CaIdentity) {};
        free(identity->token_kid);
        identity->token_kid = steal_ptr(&kid);
        return NULL;
}

Err *identity_x5c(X509 *const *certificates, size_t n, char **ret) {
        _cleanup_writer_ Writer writer = {};
        writer_string(&writer, "[");
        for (size_t i = 0; i < n; i++) {
                _cleanup_bytes_ Bytes der = {};
                _cleanup_free_ char *text = NULL;
                TRY(ca_certificate_to_der(certificates[i], &der));
                TRY(base64_encode(bytes_span(&der), &text));
                writer_format(&writer, "%s\"%s\"", i > 0 ? "," : "", text);
        }
        writer_string(&writer, "]");
        return writer_finish_string(&writer, ret);
}

Err *identity_jwk_entry(X509 *const *certificates, size_t n, const char *kid, char **ret) {
        _cleanup_free_ char *x5c = NULL;
        TRY(identity_x5c(certificates, n, &x5c));
        return string_format(ret, "{\"x5c\":%s,\"kid\":\"%s\",\"kty\":\"RSA\"}", x5c, kid);
}
