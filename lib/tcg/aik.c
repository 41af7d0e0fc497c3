/* See aik.h. */
#include "tcg/aik.h"

#include <limits.h>

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "jose/jwk.h"
#include "tcg/aik-certificate.h"

#define RSA_BITS_MIN 2048

typedef struct AttributeRule {
        uint32_t bit;
        bool wanted;
        const char *name;
} AttributeRule;

static const AttributeRule attribute_rules[] = {
        { TPM_OBJECT_RESTRICTED, true, "restricted" },
        { TPM_OBJECT_SIGN, true, "sign" },
        { TPM_OBJECT_FIXEDTPM, true, "fixedTPM" },
        { TPM_OBJECT_FIXEDPARENT, true, "fixedParent" },
        { TPM_OBJECT_SENSITIVEDATAORIGIN, true, "sensitiveDataOrigin" },
        { TPM_OBJECT_DECRYPT, false, "decrypt" },
};

static bool is_signing_scheme(uint16_t scheme) {
        return scheme == TPM_ALG_RSASSA || scheme == TPM_ALG_RSAPSS || scheme == TPM_ALG_ECDSA;
}

Err *aik_public_check(Span aik_public) {
        TpmPublic public;
        TRY(tpm_public_parse(aik_public, &public));
        for (size_t i = 0; i < N_ELEMENTS(attribute_rules); i++) {
                const AttributeRule *rule = &attribute_rules[i];
                if (((public.attributes & rule->bit) != 0) != rule->wanted)
                        return err_new(ERR_TPM_AIK_INVALID, "the key %s the attribute %s", rule->wanted ? "lacks" : "has", rule->name);
        }
        if (public.type == TPM_ALG_RSA && public.rsa_bits < RSA_BITS_MIN)
                return err_new(ERR_TPM_AIK_INVALID, "the key has %u bits, at least %d are needed", public.rsa_bits, RSA_BITS_MIN);
        if (!is_signing_scheme(public.scheme) || hash_size(public.scheme_hash) == 0)
                return err_new(ERR_TPM_AIK_INVALID, "the key signs with scheme 0x%04x and hash 0x%04x; RSASSA, RSAPSS and ECDSA are understood",
                               public.scheme, public.scheme_hash);
        return NULL;
}

static Err *to_pkey(Span aik_public, EVP_PKEY **ret) {
        TpmPublic public;
        TRY(tpm_public_parse(aik_public, &public));
        return tpm_public_to_pkey(&public, ret);
}

Err *aik_fingerprint(Span aik_public, char **ret) {
        _cleanup_(pkey_freep) EVP_PKEY *key = NULL;
        TRY(to_pkey(aik_public, &key));
        unsigned char *der = NULL;
        int size = i2d_PUBKEY(key, &der);
        if (size <= 0)
                return err_new(ERR_TPM_AIK_INVALID, "the key has no SubjectPublicKeyInfo form");
        Digest digest;
        Err *err = hash_digest(HASH_SHA256, span_make(der, (size_t) size), &digest);
        OPENSSL_free(der);
        return err ? err : hex_encode(digest_span(&digest), ret);
}

Err *aik_verify_quote(Span aik_public, Span attest, Span signature, Span qualifying, const PcrValues *values, TpmAttest *ret_attest) {
        _cleanup_(pkey_freep) EVP_PKEY *key = NULL;
        TRY(to_pkey(aik_public, &key));
        return quote_verify(attest, signature, key, qualifying, values, ret_attest);
}

Err *aik_verify_certification(Span aik_public, Span attest, Span signature, Span qualifying, Span tpmt_public) {
        _cleanup_(pkey_freep) EVP_PKEY *key = NULL;
        TRY(to_pkey(aik_public, &key));
        return certify_verify(attest, signature, key, qualifying, tpmt_public);
}

static Err *certificate_from_pem(Span input, X509 **ret) {
        BIO *bio = BIO_new_mem_buf(input.data, (int) input.size);
        if (!bio)
                return err_oom();
        *ret = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        BIO_free(bio);
        return NULL;
}

Err *aik_decode_certificate(Span input, const char *what, Bytes *ret_der) {
        static const char armour[] = "-----BEGIN";
        if (input.size > AIK_CERTIFICATE_SIZE_MAX)
                return err_new(ERR_AIK_CERTIFICATE_INVALID, "%s holds %zu bytes, a certificate has at most %d", what, input.size,
                               AIK_CERTIFICATE_SIZE_MAX);
        if (input.size > 0 && memmem(input.data, input.size, armour, strlen(armour))) {
                _cleanup_(x509_freep) X509 *certificate = NULL;
                TRY(certificate_from_pem(input, &certificate));
                unsigned char *der = NULL;
                int size = certificate ? i2d_X509(certificate, &der) : 0;
                if (size <= 0)
                        return err_new(ERR_AIK_CERTIFICATE_INVALID, "%s holds no PEM certificate that parses", what);
                Err *err = bytes_copy(span_make(der, (size_t) size), ret_der);
                OPENSSL_free(der);
                return err;
        }
        Span der;
        TRY(err_wrap(aik_certificate_cut(input, &der), "reading %s", what));
        return bytes_copy(der, ret_der);
}

Err *aik_match_certificate(Span der, Span aik_public) {
        _cleanup_(pkey_freep) EVP_PKEY *key = NULL;
        TRY(to_pkey(aik_public, &key));
        const unsigned char *at = der.data;
        _cleanup_(x509_freep) X509 *certificate = der.size <= LONG_MAX ? d2i_X509(NULL, &at, (long) der.size) : NULL;
        if (!certificate)
                return err_new(ERR_AIK_CERTIFICATE_INVALID, "the AIK certificate does not parse");
        EVP_PKEY *certified = X509_get0_pubkey(certificate);
        if (!certified || !jwk_same_key(certified, key))
                return err_new(ERR_AIK_CERTIFICATE_INVALID, "the AIK certificate is for another key than the AIK");
        return NULL;
}
