/* See ca.h. */
#include "instance/ca.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include "jose/jwk.h"

#define PEM_FILE_MAX (1u << 20)

static BIO *bio_free(BIO *bio) {
        BIO_free(bio);
        return NULL;
}
DEFINE_CLEANUP(BIO, bio_free)

static STACK_OF(X509) *certificates_free(STACK_OF(X509) *certificates) {
        sk_X509_pop_free(certificates, X509_free);
        return NULL;
}
DEFINE_CLEANUP(STACK_OF(X509), certificates_free)

/* Takes OpenSSL's reason and empties its queue. */
static Err *openssl_error(const char *what) {
        unsigned long code = ERR_get_error();
        const char *reason = ERR_reason_error_string(code);
        ERR_clear_error();
        return err_new_native(ERR_INTERNAL, ERR_DOMAIN_OPENSSL, (int64_t) code, "%s: %s", what, reason ? reason : "no reason given");
}

void ca_identity_done(CaIdentity *identity) {
        X509_free(identity->certificate);
        EVP_PKEY_free(identity->key);
        *identity = (CaIdentity) {};
}

Err *ca_key_generate(unsigned bits, EVP_PKEY **ret) {
        EVP_PKEY *key = EVP_RSA_gen(bits);
        if (!key)
                return openssl_error("making an RSA key");
        *ret = key;
        return NULL;
}

static Err *set_times_and_serial(X509 *certificate, const CaCertificate *wanted) {
        uint64_t serial = wanted->serial;
        if (serial == 0) {
                if (RAND_bytes((uint8_t *) &serial, sizeof(serial)) != 1)
                        return openssl_error("drawing a serial number");
                serial = (serial >> 1) | 1;
        }
        if (ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), serial) != 1 ||
            !ASN1_TIME_set(X509_getm_notBefore(certificate), wanted->not_before) ||
            !ASN1_TIME_set(X509_getm_notAfter(certificate), wanted->not_after))
                return openssl_error("setting serial number and dates");
        return NULL;
}

static Err *set_names(X509 *certificate, const CaCertificate *wanted) {
        X509_NAME *subject = X509_get_subject_name(certificate);
        if (X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const uint8_t *) wanted->common_name, -1, -1, 0) != 1)
                return openssl_error("setting the subject");
        const X509_NAME *issuer = wanted->issuer ? X509_get_subject_name(wanted->issuer->certificate) : subject;
        return X509_set_issuer_name(certificate, issuer) == 1 ? NULL : openssl_error("setting the issuer");
}

static Err *add_extension(X509 *certificate, X509 *issuer, int nid, const char *value) {
        if (!value)
                return NULL;
        X509V3_CTX context;
        X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
        X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
        if (!extension)
                return openssl_error(OBJ_nid2sn(nid));
        int added = X509_add_ext(certificate, extension, -1);
        X509_EXTENSION_free(extension);
        return added == 1 ? NULL : openssl_error(OBJ_nid2sn(nid));
}

Err *ca_certificate_issue(const CaCertificate *wanted, EVP_PKEY *key, X509 **ret) {
        _cleanup_(x509_freep) X509 *certificate = X509_new();
        if (!certificate)
                return err_oom();
        if (X509_set_version(certificate, X509_VERSION_3) != 1 || X509_set_pubkey(certificate, key) != 1)
                return openssl_error("making a certificate");
        TRY(set_times_and_serial(certificate, wanted));
        TRY(set_names(certificate, wanted));
        X509 *issuer = wanted->issuer ? wanted->issuer->certificate : certificate;
        TRY(add_extension(certificate, issuer, NID_basic_constraints, wanted->is_ca ? "critical,CA:TRUE" : "CA:FALSE"));
        TRY(add_extension(certificate, issuer, NID_key_usage,
                          wanted->is_ca ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature"));
        TRY(add_extension(certificate, issuer, NID_subject_key_identifier, "hash"));
        TRY(add_extension(certificate, issuer, NID_authority_key_identifier, "keyid"));
        TRY(add_extension(certificate, issuer, NID_ext_key_usage, wanted->usages));
        TRY(add_extension(certificate, issuer, NID_subject_alt_name, wanted->alt_names));
        if (X509_sign(certificate, wanted->issuer ? wanted->issuer->key : key, EVP_sha256()) <= 0)
                return openssl_error("signing a certificate");
        *ret = steal_ptr(&certificate);
        return NULL;
}

static Err *bio_to_bytes(BIO *bio, Bytes *ret) {
        char *data;
        long size = BIO_get_mem_data(bio, &data);
        return bytes_copy(span_make(data, size > 0 ? (size_t) size : 0), ret);
}

Err *ca_certificate_to_pem(X509 *certificate, Bytes *ret) {
        _cleanup_(bio_freep) BIO *bio = BIO_new(BIO_s_mem());
        if (!bio || PEM_write_bio_X509(bio, certificate) != 1)
                return openssl_error("writing a certificate as PEM");
        return bio_to_bytes(bio, ret);
}

Err *ca_certificate_to_der(X509 *certificate, Bytes *ret) {
        _cleanup_(bio_freep) BIO *bio = BIO_new(BIO_s_mem());
        if (!bio || i2d_X509_bio(bio, certificate) != 1)
                return openssl_error("writing a certificate as DER");
        return bio_to_bytes(bio, ret);
}

Err *ca_public_key_to_pem(EVP_PKEY *key, Bytes *ret) {
        _cleanup_(bio_freep) BIO *bio = BIO_new(BIO_s_mem());
        if (!bio || PEM_write_bio_PUBKEY(bio, key) != 1)
                return openssl_error("writing a public key as PEM");
        return bio_to_bytes(bio, ret);
}

Err *ca_private_key_to_pem(EVP_PKEY *key, Bytes *ret) {
        _cleanup_(bio_freep) BIO *bio = BIO_new(BIO_s_secmem());
        if (!bio || PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1)
                return openssl_error("writing a private key as PEM");
        return bio_to_bytes(bio, ret);
}

Err *ca_state_prepare(const char *directory) {
        if (mkdir(directory, 0700) < 0 && errno != EEXIST)
                return err_new_errno(ERR_IO, errno, "making the state directory %s", directory);
        struct stat status;
        if (stat(directory, &status) < 0)
                return err_new_errno(ERR_IO, errno, "looking at the state directory %s", directory);
        if (!S_ISDIR(status.st_mode))
                return err_new(ERR_IO, "%s is no directory", directory);
        if (status.st_mode & (S_IWGRP | S_IWOTH))
                return err_new(ERR_IO, "others than its owner may write to the state directory %s", directory);
        return NULL;
}

/* ret stays empty if there is no such file. */
static Err *read_if_there(const char *path, Bytes *ret) {
        Err *error = file_read(path, PEM_FILE_MAX, ret);
        int64_t native;
        if (error && err_native(error, &native) == ERR_DOMAIN_ERRNO && native == ENOENT)
                error = err_free(error);
        return error;
}

Err *ca_state_secret(const char *directory, const char *name, size_t size, Bytes *ret) {
        _cleanup_free_ char *path = NULL;
        TRY(string_format(&path, "%s/%s", directory, name));
        _cleanup_bytes_erase_ Bytes secret = {};
        TRY(read_if_there(path, &secret));
        if (!secret.data) {
                TRY(bytes_alloc(size, &secret));
                if (RAND_bytes(secret.data, (int) size) != 1)
                        return openssl_error("drawing a secret");
                TRY(file_write_atomic(path, bytes_span(&secret), 0600));
        }
        if (secret.size != size)
                return err_new(ERR_KEY_INVALID, "%s: %zu bytes, where %zu are needed", path, secret.size, size);
        *ret = bytes_steal(&secret);
        return NULL;
}

Err *ca_state_key(const char *directory, const char *name, EVP_PKEY **ret) {
        _cleanup_free_ char *path = NULL;
        TRY(string_format(&path, "%s/%s.key", directory, name));
        _cleanup_bytes_erase_ Bytes pem = {};
        TRY(read_if_there(path, &pem));
        if (pem.data) {
                _cleanup_(bio_freep) BIO *bio = BIO_new_mem_buf(pem.data, (int) pem.size);
                EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
                if (!key) {
                        ERR_clear_error();
                        return err_new(ERR_KEY_INVALID, "%s holds no private key in PEM", path);
                }
                *ret = key;
                return NULL;
        }
        _cleanup_(pkey_freep) EVP_PKEY *key = NULL;
        TRY(ca_key_generate(CA_KEY_BITS, &key));
        TRY(ca_private_key_to_pem(key, &pem));
        TRY(file_write_atomic(path, bytes_span(&pem), 0600));
        *ret = steal_ptr(&key);
        return NULL;
}

static bool certificate_fits(X509 *certificate, EVP_PKEY *key, const CaCertificate *wanted, int64_t now_sec) {
        time_t now = now_sec;
        EVP_PKEY *issuer = wanted->issuer ? wanted->issuer->key : key;
        char name[256] = "";
        X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name, sizeof(name));
        bool fits = X509_check_private_key(certificate, key) == 1 && X509_verify(certificate, issuer) == 1 &&
                    X509_cmp_time(X509_get0_notBefore(certificate), &now) < 0 && X509_cmp_time(X509_get0_notAfter(certificate), &now) > 0 &&
                    string_equal(name, wanted->common_name);
        ERR_clear_error();
        return fits;
}

Err *ca_state_identity(const char *directory, const char *name, const CaCertificate *wanted, int64_t now_sec, CaIdentity *ret) {
        _cleanup_ca_identity_ CaIdentity identity = {};
        TRY(ca_state_key(directory, name, &identity.key));
        _cleanup_free_ char *path = NULL;
        TRY(string_format(&path, "%s/%s.pem", directory, name));
        _cleanup_bytes_ Bytes pem = {};
        TRY(read_if_there(path, &pem));
        if (pem.data) {
                _cleanup_(bio_freep) BIO *bio = BIO_new_mem_buf(pem.data, (int) pem.size);
                _cleanup_(x509_freep) X509 *old = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
                ERR_clear_error();
                if (old && certificate_fits(old, identity.key, wanted, now_sec))
                        identity.certificate = steal_ptr(&old);
        }
        if (!identity.certificate) {
                _cleanup_bytes_ Bytes fresh = {};
                TRY(ca_certificate_issue(wanted, identity.key, &identity.certificate));
                TRY(ca_certificate_to_pem(identity.certificate, &fresh));
                TRY(file_write_atomic(path, bytes_span(&fresh), 0644));
        }
        *ret = identity;
        identity = (CaIdentity) {};
        return NULL;
}

Err *ca_read_certificates(const char *path, STACK_OF(X509) **ret) {
        _cleanup_bytes_ Bytes pem = {};
        TRY(file_read(path, PEM_FILE_MAX, &pem));
        _cleanup_(bio_freep) BIO *bio = BIO_new_mem_buf(pem.size > 0 ? (const void *) pem.data : "", (int) pem.size);
        _cleanup_(certificates_freep) STACK_OF(X509) *certificates = sk_X509_new_null();
        if (!bio || !certificates)
                return err_oom();
        for (;;) {
                _cleanup_(x509_freep) X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
                if (!certificate)
                        break;
                if (sk_X509_push(certificates, certificate) <= 0)
                        return err_oom();
                certificate = NULL;
        }
        ERR_clear_error();
        if (sk_X509_num(certificates) == 0)
                return err_new(ERR_KEY_INVALID, "%s holds no certificate in PEM", path);
        *ret = steal_ptr(&certificates);
        return NULL;
}
