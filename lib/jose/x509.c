/* See x509.h. */
#include "jose/x509.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <openssl/x509_vfy.h>

#include "jose/openssl.h"

#define CERTIFICATE_SIZE_MAX (64u << 10) /* of one in x5c; the service's own have 6 kB with an SGX report inside */

static inline BIO *bio_free(BIO *bio) { BIO_free(bio); return NULL; }
DEFINE_CLEANUP(BIO, bio_free)
static inline X509_STORE *store_free(X509_STORE *store) { X509_STORE_free(store); return NULL; }
DEFINE_CLEANUP(X509_STORE, store_free)
static inline X509_STORE_CTX *store_context_free(X509_STORE_CTX *context) { X509_STORE_CTX_free(context); return NULL; }
DEFINE_CLEANUP(X509_STORE_CTX, store_context_free)
static inline EXTENDED_KEY_USAGE *purposes_free(EXTENDED_KEY_USAGE *purposes) { EXTENDED_KEY_USAGE_free(purposes); return NULL; }
DEFINE_CLEANUP(EXTENDED_KEY_USAGE, purposes_free)

STACK_OF(X509) *x509_stack_free(STACK_OF(X509) *stack) {
        sk_X509_pop_free(stack, X509_free);
        return NULL;
}

X509 *x509_stack_leaf(const STACK_OF(X509) *stack) {
        return sk_X509_num(stack) > 0 ? sk_X509_value(stack, 0) : NULL;
}

/* Takes the certificate, also on failure. */
static Err *stack_add(STACK_OF(X509) *stack, X509 *steal_certificate) {
        if (sk_X509_push(stack, steal_certificate) > 0)
                return NULL;
        X509_free(steal_certificate);
        return err_oom();
}

static Err *certificate_from_text(Span text, X509 **ret) {
        _cleanup_bytes_ Bytes der = {};
        if (text.size > CERTIFICATE_SIZE_MAX)
                return err_new(ERR_KEY_INVALID, "x5c: a certificate of %zu characters is too large", text.size);
        TRY(err_wrap_code(ERR_KEY_INVALID, base64_decode(text, "x5c", &der), "a certificate in x5c"));
        const unsigned char *end = der.data;
        X509 *certificate = d2i_X509(NULL, &end, (long) der.size);
        if (!certificate)
                return openssl_error(ERR_KEY_INVALID, "x5c: no X.509 certificate");
        if (end != der.data + der.size) {
                X509_free(certificate);
                return err_new(ERR_KEY_INVALID, "x5c: bytes behind a certificate");
        }
        *ret = certificate;
        return NULL;
}

Err *x509_chain_from_json(const Json *x5c, STACK_OF(X509) **ret) {
        size_t n = json_is_array(x5c) ? json_object_array_length(x5c) : 0;
        if (n < 1 || n > JWK_X5C_MAX)
                return err_new(ERR_KEY_INVALID, "x5c: an array of 1 to %d certificates is needed", JWK_X5C_MAX);
        _cleanup_(x509_stack_freep) STACK_OF(X509) *chain = sk_X509_new_null();
        if (!chain)
                return err_oom();
        for (size_t i = 0; i < n; i++) {
                Json *item = json_object_array_get_idx(x5c, i);
                if (!json_is_string(item))
                        return err_new(ERR_KEY_INVALID, "x5c: element %zu is no string", i);
                X509 *certificate = NULL;
                TRY(certificate_from_text(span_make(json_object_get_string(item), (size_t) json_object_get_string_len(item)), &certificate));
                TRY(stack_add(chain, certificate));
        }
        *ret = steal_ptr(&chain);
        return NULL;
}

Err *x509_stack_from_pem(Span pem, const char *what, STACK_OF(X509) **ret) {
        if (pem.size > INT32_MAX)
                return err_new(ERR_KEY_INVALID, "%s: too large", what);
        _cleanup_(bio_freep) BIO *bio = BIO_new_mem_buf(pem.size > 0 ? (const void *) pem.data : "", (int) pem.size);
        _cleanup_(x509_stack_freep) STACK_OF(X509) *stack = sk_X509_new_null();
        if (!bio || !stack)
                return err_oom();
        for (;;) {
                X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
                if (!certificate)
                        break;
                TRY(stack_add(stack, certificate));
                if (sk_X509_num(stack) > X509_PEM_CERTIFICATES_MAX)
                        return err_new(ERR_KEY_INVALID, "%s: more than %d certificates", what, X509_PEM_CERTIFICATES_MAX);
        }
        /* The end is told by "no start line", anything else is a broken certificate. */
        if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
                return openssl_error(ERR_KEY_INVALID, "%s: certificate %d in it cannot be read", what, sk_X509_num(stack) + 1);
        openssl_forget_errors();
        if (sk_X509_num(stack) == 0)
                return err_new(ERR_KEY_INVALID, "%s: no PEM certificate in it", what);
        *ret = steal_ptr(&stack);
        return NULL;
}

static Err *bio_take_text(BIO *bio, char **ret) {
        char *data = NULL;
        long size = BIO_get_mem_data(bio, &data);
        return string_copy_span(span_make(data, (size_t) size), ret);
}

static Err *certificate_to_json(X509 *certificate, Json **ret) {
        _cleanup_free_ char *text = NULL;
        unsigned char *der = NULL;
        int size = i2d_X509(certificate, &der);
        if (size < 0)
                return openssl_error(ERR_KEY_INVALID, "encoding a certificate");
        Err *err = base64_encode(span_make(der, (size_t) size), &text);
        OPENSSL_free(der);
        if (err)
                return err;
        Json *json = json_object_new_string(text);
        if (!json)
                return err_oom();
        *ret = json;
        return NULL;
}

Err *x509_chain_to_json(const STACK_OF(X509) *chain, Json **ret) {
        _cleanup_json_ Json *array = NULL;
        TRY(json_new_array(&array));
        for (int i = 0; i < sk_X509_num(chain); i++) {
                Json *entry = NULL;
                TRY(certificate_to_json(sk_X509_value(chain, i), &entry));
                TRY(json_append(array, entry));
        }
        *ret = steal_ptr(&array);
        return NULL;
}

Err *x509_stack_to_pem(const STACK_OF(X509) *stack, char **ret) {
        _cleanup_(bio_freep) BIO *bio = BIO_new(BIO_s_mem());
        if (!bio)
                return err_oom();
        for (int i = 0; i < sk_X509_num(stack); i++)
                if (PEM_write_bio_X509(bio, sk_X509_value(stack, i)) != 1)
                        return openssl_error(ERR_INTERNAL, "writing a certificate as PEM");
        return bio_take_text(bio, ret);
}

Err *pkey_to_pem(EVP_PKEY *key, char **ret) {
        _cleanup_(bio_freep) BIO *bio = BIO_new(BIO_s_secmem());
        if (!bio)
                return err_oom();
        if (PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1)
                return openssl_error(ERR_INTERNAL, "writing a private key as PEM");
        return bio_take_text(bio, ret);
}

static Err *thumbprint(X509 *certificate, const EVP_MD *md, char **ret) {
        uint8_t digest[EVP_MAX_MD_SIZE];
        unsigned size;
        if (X509_digest(certificate, md, digest, &size) != 1)
                return openssl_error(ERR_KEY_INVALID, "hashing a certificate");
        return base64url_encode(span_make(digest, size), ret);
}

Err *x509_thumbprint(X509 *certificate, char **ret) {
        return thumbprint(certificate, EVP_sha1(), ret);
}

Err *x509_thumbprint_sha256(X509 *certificate, char **ret) {
        return thumbprint(certificate, EVP_sha256(), ret);
}

static void describe_subject(X509 *certificate, char *out, size_t size) {
        out[0] = 0;
        if (certificate)
                X509_NAME_oneline(X509_get_subject_name(certificate), out, (int) size);
        for (char *c = out; *c; c++)
                if (*c < 0x20 || *c == 0x7f)
                        *c = '?';
}

static bool purposes_contain(const EXTENDED_KEY_USAGE *purposes, const char *oid) {
        for (int i = 0; i < sk_ASN1_OBJECT_num(purposes); i++) {
                char text[128];
                const ASN1_OBJECT *purpose = sk_ASN1_OBJECT_value(purposes, i);
                if (OBJ_obj2nid(purpose) == NID_anyExtendedKeyUsage)
                        return true;
                int n = OBJ_obj2txt(text, sizeof(text), purpose, /* no_name= */ 1);
                if (n > 0 && (size_t) n < sizeof(text) && string_equal(text, oid))
                        return true;
        }
        return false;
}

static Err *check_leaf_usage(X509 *leaf, const char *oid) {
        if ((X509_get_key_usage(leaf) & KU_DIGITAL_SIGNATURE) == 0) /* all bits are set where the extension is absent */
                return err_new(ERR_TOKEN_CHAIN_INVALID, "the certificate's key usage does not allow signatures");
        if (!oid)
                return NULL;
        int critical = -1;
        _cleanup_(purposes_freep) EXTENDED_KEY_USAGE *purposes = X509_get_ext_d2i(leaf, NID_ext_key_usage, &critical, NULL);
        openssl_forget_errors();
        if (!purposes && critical == -1)
                return NULL;
        if (!purposes || !purposes_contain(purposes, oid))
                return err_new(ERR_TOKEN_CHAIN_INVALID, "the certificate's extended key usage lacks %s", oid);
        return NULL;
}

static Err *store_new(const X509ChainRules *rules, X509_STORE **ret) {
        _cleanup_(store_freep) X509_STORE *store = X509_STORE_new();
        if (!store)
                return err_oom();
        for (int i = 0; i < sk_X509_num(rules->anchors); i++)
                if (X509_STORE_add_cert(store, sk_X509_value(rules->anchors, i)) != 1)
                        return openssl_error(ERR_KEY_INVALID, "adding a trust anchor");
        X509_VERIFY_PARAM *parameters = X509_STORE_get0_param(store);
        X509_VERIFY_PARAM_set_time(parameters, (time_t) rules->at_sec);
        X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_PARTIAL_CHAIN);
        X509_VERIFY_PARAM_set_purpose(parameters, X509_PURPOSE_ANY);
        X509_VERIFY_PARAM_set_depth(parameters, JWK_X5C_MAX);
        X509_VERIFY_PARAM_set_auth_level(parameters, 2); /* RSA and digests of 112 bits security: no SHA-1, no RSA-1024 */
        *ret = steal_ptr(&store);
        return NULL;
}

Err *x509_chain_verify(const STACK_OF(X509) *chain, const X509ChainRules *rules) {
        X509 *leaf = x509_stack_leaf(chain);
        if (!leaf)
                return err_new(ERR_TOKEN_CHAIN_INVALID, "the chain is empty");
        _cleanup_(store_freep) X509_STORE *store = NULL;
        TRY(store_new(rules, &store));
        _cleanup_(store_context_freep) X509_STORE_CTX *context = X509_STORE_CTX_new();
        if (!context || X509_STORE_CTX_init(context, store, leaf, (STACK_OF(X509) *) chain) != 1)
                return openssl_error(ERR_INTERNAL, "preparing to verify a certificate chain");
        if (X509_verify_cert(context) != 1) {
                int number = X509_STORE_CTX_get_error(context);
                char subject[256];
                describe_subject(X509_STORE_CTX_get_current_cert(context), subject, sizeof(subject));
                openssl_forget_errors();
                return err_new_native(ERR_TOKEN_CHAIN_INVALID, ERR_DOMAIN_OPENSSL, number, "the chain up to a trust anchor fails at depth %d (%s): %s",
                                      X509_STORE_CTX_get_error_depth(context), subject, X509_verify_cert_error_string(number));
        }
        return check_leaf_usage(leaf, rules->leaf_purpose);
}
