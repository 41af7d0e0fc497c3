/* See ek-certificate.h. */
#include "tcg/ek-certificate.h"

#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "base/writer.h"
#include "jose/openssl.h"
#include "jose/x509.h"
#include "tcg/quote.h"

#define INPUT_SIZE_MAX 65536   /* an NV index cannot hold more */

static inline X509_STORE *store_free(X509_STORE *store) { X509_STORE_free(store); return NULL; }
DEFINE_CLEANUP(X509_STORE, store_free)
static inline X509_STORE_CTX *store_context_free(X509_STORE_CTX *context) { X509_STORE_CTX_free(context); return NULL; }
DEFINE_CLEANUP(X509_STORE_CTX, store_context_free)
static inline EXTENDED_KEY_USAGE *purposes_free(EXTENDED_KEY_USAGE *purposes) { EXTENDED_KEY_USAGE_free(purposes); return NULL; }
DEFINE_CLEANUP(EXTENDED_KEY_USAGE, purposes_free)

void ek_certificate_done(EkCertificate *certificate) {
        certificate->chain = x509_stack_free(certificate->chain);
}

static bool is_padding(Span rest) {
        for (size_t i = 0; i < rest.size; i++)
                if (rest.data[i] != rest.data[0] || (rest.data[i] != 0x00 && rest.data[i] != 0xff))
                        return false;
        return true;
}

static Err *parse_der(Span input, STACK_OF(X509) **ret) {
        _cleanup_(x509_stack_freep) STACK_OF(X509) *chain = sk_X509_new_null();
        if (!chain)
                return err_oom();
        while (input.size > 0 && !(sk_X509_num(chain) > 0 && is_padding(input))) {
                const unsigned char *end = input.data;
                X509 *certificate = d2i_X509(NULL, &end, (long) input.size);
                if (!certificate)
                        return openssl_error(ERR_EK_CERTIFICATE_INVALID, "certificate %d of the endorsement key's is no DER of an X.509 certificate",
                                             sk_X509_num(chain) + 1);
                input = span_make(end, input.size - (size_t) (end - input.data));
                if (sk_X509_push(chain, certificate) <= 0) {
                        X509_free(certificate);
                        return err_oom();
                }
                if (sk_X509_num(chain) > EK_CERTIFICATE_CHAIN_MAX)
                        return err_new(ERR_EK_CERTIFICATE_INVALID, "the endorsement key's certificate brings more than %d others", EK_CERTIFICATE_CHAIN_MAX);
        }
        *ret = steal_ptr(&chain);
        return NULL;
}

/* The next certificate's DER at the front of input. */
static Err *cut_der(Span input, int number, Span *ret) {
        const unsigned char *end = input.data;
        _cleanup_(x509_freep) X509 *certificate = d2i_X509(NULL, &end, (long) input.size);
        if (!certificate)
                return openssl_error(ERR_EK_CERTIFICATE_INVALID, "certificate %d of the chain is no DER of an X.509 certificate", number);
        *ret = span_make(input.data, (size_t) (end - input.data));
        return NULL;
}

static Span skip_padding(Span input) {
        while (input.size > 0 && (input.data[0] == 0x00 || input.data[0] == 0xff))
                input = span_make(input.data + 1, input.size - 1);
        return input;
}

Err *ek_chain_tidy(Span nv, Bytes *ret) {
        _cleanup_writer_ Writer writer = {};
        if (nv.size > EK_CHAIN_SIZE_MAX)
                return err_new(ERR_EK_CERTIFICATE_INVALID, "the chain has %zu bytes, at most %u are allowed", nv.size, EK_CHAIN_SIZE_MAX);
        Span rest = skip_padding(nv);
        for (int n = 1; rest.size > 0; n++) {
                Span der;
                if (n > EK_CERTIFICATE_CHAIN_MAX)
                        return err_new(ERR_EK_CERTIFICATE_INVALID, "the chain has more than %d certificates", EK_CERTIFICATE_CHAIN_MAX);
                TRY(cut_der(rest, n, &der));
                writer_span(&writer, der);
                rest = skip_padding(span_make(rest.data + der.size, rest.size - der.size));
        }
        return writer_finish(&writer, ret);
}

Err *ek_certificate_add_chain(EkCertificate *certificate, Span chain) {
        _cleanup_(x509_stack_freep) STACK_OF(X509) *added = NULL;
        if (chain.size == 0)
                return NULL;
        if (chain.size > EK_CHAIN_SIZE_MAX)
                return err_new(ERR_EK_CERTIFICATE_INVALID, "the chain has %zu bytes, at most %u are allowed", chain.size, EK_CHAIN_SIZE_MAX);
        TRY(parse_der(chain, &added));
        while (sk_X509_num(added) > 0)
                if (sk_X509_push(certificate->chain, sk_X509_value(added, 0)) > 0)
                        (void) sk_X509_shift(added);
                else
                        return err_oom();
        return NULL;
}

Err *ek_certificate_parse(Span input, EkCertificate *ret) {
        static const char armour[] = "-----BEGIN";
        if (input.size == 0)
                return err_new(ERR_EK_CERTIFICATE_INVALID, "the endorsement key has no certificate");
        if (input.size > INPUT_SIZE_MAX)
                return err_new(ERR_EK_CERTIFICATE_INVALID, "the endorsement key's certificate has %zu bytes, at most %d are allowed", input.size, INPUT_SIZE_MAX);
        if (!memmem(input.data, input.size, armour, strlen(armour)))
                return parse_der(input, &ret->chain);
        Err *err = x509_stack_from_pem(input, "the endorsement key's certificate", &ret->chain);
        return err_code(err) == ERR_KEY_INVALID ? err_wrap_code(ERR_EK_CERTIFICATE_INVALID, err, "reading it as PEM") : err;
}

Err *ek_certificate_match(const EkCertificate *certificate, Span ek_public) {
        TpmPublic public;
        _cleanup_(pkey_freep) EVP_PKEY *key = NULL;
        TRY(tpm_public_parse(ek_public, &public));
        TRY(tpm_public_to_pkey(&public, &key));
        EVP_PKEY *certified = X509_get0_pubkey(x509_stack_leaf(certificate->chain));
        openssl_forget_errors();
        if (!certified || !jwk_same_key(certified, key))
                return err_new(ERR_EK_CERTIFICATE_INVALID, "the certificate is for another endorsement key");
        return NULL;
}

static bool has_purpose(const EXTENDED_KEY_USAGE *purposes) {
        for (int i = 0; i < sk_ASN1_OBJECT_num(purposes); i++) {
                char text[sizeof(EK_CERTIFICATE_USAGE) + 16];
                int n = OBJ_obj2txt(text, sizeof(text), sk_ASN1_OBJECT_value(purposes, i), /* no_name= */ 1);
                if (n > 0 && (size_t) n < sizeof(text) && string_equal(text, EK_CERTIFICATE_USAGE))
                        return true;
        }
        return false;
}

Err *ek_certificate_check_usage(const EkCertificate *certificate) {
        X509 *leaf = x509_stack_leaf(certificate->chain);
        int critical = -1;
        if (X509_check_ca(leaf) == 1)
                return err_new(ERR_EK_CERTIFICATE_INVALID, "the certificate is an authority's and not an endorsement key's");
        if (X509_get_extension_flags(leaf) & EXFLAG_INVALID)
                return openssl_error(ERR_EK_CERTIFICATE_INVALID, "the endorsement key's certificate has extensions that cannot be read");
        /* all bits are set where there is no keyUsage */
        if ((X509_get_key_usage(leaf) & (KU_KEY_ENCIPHERMENT | KU_KEY_AGREEMENT)) == 0)
                return err_new(ERR_EK_CERTIFICATE_INVALID, "the endorsement key's certificate allows neither keyEncipherment nor keyAgreement");
        _cleanup_(purposes_freep) EXTENDED_KEY_USAGE *purposes = X509_get_ext_d2i(leaf, NID_ext_key_usage, &critical, NULL);
        openssl_forget_errors();
        if (!purposes && critical == -1)
                return NULL;
        if (!purposes || !has_purpose(purposes))
                return err_new(ERR_EK_CERTIFICATE_INVALID, "the certificate's extended key usage lacks %s (tcg-kp-EKCertificate)", EK_CERTIFICATE_USAGE);
        return NULL;
}

Err *ek_certificate_check_dates(const EkCertificate *certificate, int64_t now) {
        const X509 *leaf = x509_stack_leaf(certificate->chain);
        time_t at = now;
        int begins = X509_cmp_time(X509_get0_notBefore(leaf), &at), ends = X509_cmp_time(X509_get0_notAfter(leaf), &at);
        openssl_forget_errors();
        if (begins == 0 || ends == 0)
                return err_new(ERR_EK_CERTIFICATE_INVALID, "the dates of the endorsement key's certificate cannot be read");
        if (begins > 0)
                return err_new(ERR_EK_CERTIFICATE_INVALID, "the endorsement key's certificate is not yet valid");
        if (ends < 0)
                return err_new(ERR_EK_CERTIFICATE_INVALID, "the endorsement key's certificate has expired");
        return NULL;
}

Err *ek_certificate_check_issuer(const EkCertificate *certificate, STACK_OF(X509) *roots, int64_t now) {
        if (!roots || sk_X509_num(roots) == 0)
                return err_new(ERR_EK_CERTIFICATE_INVALID, "no authority of endorsement keys is trusted");
        _cleanup_(store_freep) X509_STORE *store = X509_STORE_new();
        _cleanup_(store_context_freep) X509_STORE_CTX *context = X509_STORE_CTX_new();
        if (!store || !context)
                return err_oom();
        for (int i = 0; i < sk_X509_num(roots); i++)
                if (X509_STORE_add_cert(store, sk_X509_value(roots, i)) != 1)
                        return openssl_error(ERR_INTERNAL, "adding a trust anchor");
        if (X509_STORE_CTX_init(context, store, x509_stack_leaf(certificate->chain), certificate->chain) != 1)
                return openssl_error(ERR_INTERNAL, "preparing to verify a certificate chain");
        X509_STORE_CTX_set_time(context, 0, (time_t) now);
        X509_STORE_CTX_set_flags(context, X509_V_FLAG_PARTIAL_CHAIN);
        if (X509_verify_cert(context) == 1)
                return NULL;
        int reason = X509_STORE_CTX_get_error(context);
        openssl_forget_errors();
        return err_new_native(ERR_EK_CERTIFICATE_INVALID, ERR_DOMAIN_OPENSSL, reason, "the issuer of the endorsement key's certificate is not trusted: %s",
                              X509_verify_cert_error_string(reason));
}
