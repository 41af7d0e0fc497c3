/* See aik-certificate.h. */
#include "tcg/aik-certificate.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#include "jose/jwk.h"

#define CERTIFICATE_SIZE_MAX 65536 /* an NV index cannot hold more */

static X509_STORE *store_free(X509_STORE *store) {
        X509_STORE_free(store);
        return NULL;
}
DEFINE_CLEANUP(X509_STORE, store_free)

static X509_STORE_CTX *store_context_free(X509_STORE_CTX *context) {
        X509_STORE_CTX_free(context);
        return NULL;
}
DEFINE_CLEANUP(X509_STORE_CTX, store_context_free)

static BIO *bio_free(BIO *bio) {
        BIO_free(bio);
        return NULL;
}
DEFINE_CLEANUP(BIO, bio_free)

AikCertificate *aik_certificate_free(AikCertificate *certificate) {
        if (!certificate)
                return NULL;
        free(certificate->subject);
        free(certificate->issuer);
        free(certificate->key_thumbprint);
        free(certificate);
        return NULL;
}

static bool is_padding(Span rest) {
        for (size_t i = 0; i < rest.size; i++)
                if (rest.data[i] != rest.data[0] || (rest.data[i] != 0x00 && rest.data[i] != 0xff))
                        return false;
        return true;
}

static Err *parse(Span input, X509 **ret, Span *ret_der) {
        if (input.size == 0 || input.size > CERTIFICATE_SIZE_MAX)
                return err_new(ERR_AIK_CERTIFICATE_INVALID, "the AIK certificate has %zu bytes, 1 to %u are allowed", input.size, CERTIFICATE_SIZE_MAX);
        const unsigned char *end = input.data;
        _cleanup_(x509_freep) X509 *certificate = d2i_X509(NULL, &end, (long) input.size);
        ERR_clear_error();
        if (!certificate)
                return err_new(ERR_AIK_CERTIFICATE_INVALID, "the AIK certificate is no DER of an X.509 certificate");
        size_t size = (size_t) (end - input.data);
        if (!is_padding(span_make(end, input.size - size)))
                return err_new(ERR_AIK_CERTIFICATE_INVALID, "the AIK certificate ends at byte %zu and is followed by other bytes than padding", size);
        *ret = steal_ptr(&certificate);
        *ret_der = span_make(input.data, size);
        return NULL;
}

Err *aik_certificate_cut(Span input, Span *ret_der) {
        _cleanup_(x509_freep) X509 *certificate = NULL;
        return parse(input, &certificate, ret_der);
}

static Err *check_dates(const X509 *certificate, time_t now) {
        int begins = X509_cmp_time(X509_get0_notBefore(certificate), &now);
        int ends = X509_cmp_time(X509_get0_notAfter(certificate), &now);
        if (begins == 0 || ends == 0)
                return err_new(ERR_AIK_CERTIFICATE_INVALID, "the AIK certificate's dates cannot be read");
        if (begins > 0)
                return err_new(ERR_AIK_CERTIFICATE_INVALID, "the AIK certificate is not yet valid");
        if (ends < 0)
                return err_new(ERR_AIK_CERTIFICATE_INVALID, "the AIK certificate has expired");
        return NULL;
}

static Err *check_chain(X509 *certificate, time_t now, STACK_OF(X509) *roots, STACK_OF(X509) *intermediates) {
        _cleanup_(store_freep) X509_STORE *store = X509_STORE_new();
        _cleanup_(store_context_freep) X509_STORE_CTX *context = X509_STORE_CTX_new();
        if (!store || !context)
                return err_oom();
        for (int i = 0; i < sk_X509_num(roots); i++)
                if (X509_STORE_add_cert(store, sk_X509_value(roots, i)) != 1)
                        return err_oom();
        if (X509_STORE_CTX_init(context, store, certificate, intermediates) != 1)
                return err_oom();
        X509_STORE_CTX_set_time(context, 0, now);
        X509_STORE_CTX_set_flags(context, X509_V_FLAG_PARTIAL_CHAIN);
        if (X509_verify_cert(context) == 1)
                return NULL;
        int reason = X509_STORE_CTX_get_error(context);
        ERR_clear_error();
        return err_new_native(ERR_AIK_CERTIFICATE_INVALID, ERR_DOMAIN_OPENSSL, reason, "the AIK certificate's issuer is not trusted: %s",
                              X509_verify_cert_error_string(reason));
}

static Err *name_text(const X509_NAME *name, char **ret) {
        _cleanup_(bio_freep) BIO *bio = BIO_new(BIO_s_mem());
        if (!bio || X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) < 0)
                return err_oom();
        char *text;
        long size = BIO_get_mem_data(bio, &text);
        return string_copy_span(span_make(text, size > 0 ? (size_t) size : 0), ret);
}

static Err *seconds_of(const ASN1_TIME *when, int64_t *ret) {
        struct tm tm;
        if (ASN1_TIME_to_tm(when, &tm) != 1) {
                ERR_clear_error();
                return err_new(ERR_AIK_CERTIFICATE_INVALID, "the AIK certificate's dates cannot be read");
        }
        *ret = timegm(&tm);
        return NULL;
}

static Err *describe(X509 *certificate, AikCertificate **ret) {
        _cleanup_(aik_certificate_freep) AikCertificate *read = calloc(1, sizeof(*read));
        if (!read)
                return err_oom();
        TRY(name_text(X509_get_subject_name(certificate), &read->subject));
        TRY(name_text(X509_get_issuer_name(certificate), &read->issuer));
        TRY(seconds_of(X509_get0_notBefore(certificate), &read->not_before));
        TRY(seconds_of(X509_get0_notAfter(certificate), &read->not_after));
        EVP_PKEY *key = X509_get0_pubkey(certificate);
        ERR_clear_error();
        if (key)
                err_free(jwk_thumbprint(key, &read->key_thumbprint));
        *ret = steal_ptr(&read);
        return NULL;
}

Err *aik_certificate_read(Span input, AikCertificate **ret) {
        _cleanup_(x509_freep) X509 *certificate = NULL;
        Span der;
        TRY(parse(input, &certificate, &der));
        return describe(certificate, ret);
}

Err *aik_certificate_check(Span input, EVP_PKEY *aik, uint64_t now, STACK_OF(X509) *roots, STACK_OF(X509) *intermediates,
                           AikCertificate **ret) {
        _cleanup_(x509_freep) X509 *certificate = NULL;
        Span der;
        TRY(parse(input, &certificate, &der));
        EVP_PKEY *key = X509_get0_pubkey(certificate);
        bool same = key && EVP_PKEY_eq(key, aik) == 1;
        ERR_clear_error();
        if (!same)
                return err_new(ERR_AIK_CERTIFICATE_INVALID, "the AIK certificate is for another key than the AIK");
        TRY(check_dates(certificate, (time_t) now));
        if (roots)
                TRY(check_chain(certificate, (time_t) now, roots, intermediates));
        AikCertificate *checked;
        TRY(describe(certificate, &checked));
        checked->chain_verified = roots != NULL;
        *ret = checked;
        return NULL;
}
