/* See enrolment.h. */
#include "instance/enrolment.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "base/reader.h"
#include "base/writer.h"
#include "tcg/aik.h"
#include "tcg/credential.h"
#include "tcg/ek-certificate.h"

#define SECRET_SIZE 32
#define CERTIFICATE_SEC (INT64_C(365) * 86400)
#define BACKDATE_SEC 300
#define AIK_USAGE "2.23.133.8.3"   /* tcg-kp-AIKCertificate */
#define BODY_SIZE_MAX (256u << 10)

typedef struct Enrolment {
        Bytes ek_public, ek_certificate, aik_public;
        Bytes ek_chain;   /* empty if absent */
} Enrolment;

static void enrolment_done(Enrolment *enrolment) {
        bytes_done(&enrolment->ek_public);
        bytes_done(&enrolment->ek_certificate);
        bytes_done(&enrolment->ek_chain);
        bytes_done(&enrolment->aik_public);
}
#define _cleanup_enrolment_ _cleanup_(enrolment_done)

/* 500 for what is none of the client's doing. */
static Err *refuse(ServiceReply *reply, const char *code, Err *error) {
        ErrCode kind = err_code(error);
        if (kind == ERR_NO_MEMORY || kind == ERR_INTERNAL || kind == ERR_IO)
                return service_reply_error(reply, 500, "InternalServerError", error);
        return service_reply_error(reply, 400, code, error);
}

static Err *parse_body(Span body, Json **ret) {
        if (body.size > BODY_SIZE_MAX)
                return err_new(ERR_LIMIT_EXCEEDED, "the request has %zu bytes, at most %u are allowed", body.size, BODY_SIZE_MAX);
        TRY(json_parse(body, "the request", ret));
        return json_is_object(*ret) ? NULL : err_new(ERR_REQUEST_INVALID, "the request is no JSON object");
}

static Err *parse_challenge(Span body, Enrolment *enrolment) {
        _cleanup_json_ Json *json = NULL;
        TRY(parse_body(body, &json));
        TRY(json_get_base64url(json, "ek_public", &enrolment->ek_public));
        TRY(json_get_base64url(json, "ek_certificate", &enrolment->ek_certificate));
        if (json_get(json, "ek_chain"))
                TRY(json_get_base64url(json, "ek_chain", &enrolment->ek_chain));
        return json_get_base64url(json, "aik_public", &enrolment->aik_public);
}

/* The first question that has the wrong answer: its code, and the error. */
static Err *judge(const Service *service, const Enrolment *enrolment, int64_t now, const char **ret_code) {
        _cleanup_ek_certificate_ EkCertificate certificate = {};
        Span ek = bytes_span(&enrolment->ek_public);
        *ret_code = "EndorsementKeyInvalid";
        TRY(err_wrap(credential_check_key(ek), "ek_public"));
        *ret_code = "EndorsementCertificateInvalid";
        TRY(err_wrap(ek_certificate_parse(bytes_span(&enrolment->ek_certificate), &certificate), "ek_certificate"));
        TRY(err_wrap(ek_certificate_add_chain(&certificate, bytes_span(&enrolment->ek_chain)), "ek_chain"));
        TRY(err_wrap(ek_certificate_check_usage(&certificate), "ek_certificate"));
        *ret_code = "EndorsementKeyMismatch";
        TRY(err_wrap(ek_certificate_match(&certificate, ek), "ek_certificate"));
        *ret_code = "EndorsementCertificateExpired";
        TRY(err_wrap(ek_certificate_check_dates(&certificate, now), "ek_certificate"));
        *ret_code = "EndorsementCertificateUntrusted";
        TRY(err_wrap(ek_certificate_check_issuer(&certificate, service->options.ek_roots, now), "ek_certificate"));
        *ret_code = "AttestationKeyInvalid";
        return err_wrap(aik_public_check(bytes_span(&enrolment->aik_public)), "aik_public");
}

/* What comes back with the secret: secret | TPMT_PUBLIC. */
static Err *seal_context(Service *service, Span secret, Span aik_public, uint64_t now_usec, char **ret) {
        _cleanup_writer_ Writer writer = {};
        _cleanup_bytes_erase_ Bytes content = {};
        writer_span(&writer, secret);
        writer_span(&writer, aik_public);
        TRY(writer_finish(&writer, &content));
        return context_seal(service->contexts, bytes_span(&content), now_usec, ret);
}

static Err *challenge(Service *service, const Enrolment *enrolment, uint64_t now_usec, Bytes *ret_body) {
        uint8_t secret[SECRET_SIZE];
        _cleanup_bytes_ Bytes name = {}, object = {}, encrypted = {};
        _cleanup_free_ char *context = NULL;
        Span aik = bytes_span(&enrolment->aik_public);
        if (RAND_bytes(secret, sizeof(secret)) != 1)
                return err_new(ERR_INTERNAL, "OpenSSL has no random bytes");
        TRY(tpm_public_name(aik, &name));
        TRY(credential_make(bytes_span(&enrolment->ek_public), bytes_span(&name), SPAN_OF(secret), &object, &encrypted));
        TRY(seal_context(service, SPAN_OF(secret), aik, now_usec, &context));
        OPENSSL_cleanse(secret, sizeof(secret));
        _cleanup_writer_ Writer writer = {};
        writer_string(&writer, "{\"credential_blob\":\"");
        writer_base64url(&writer, bytes_span(&object));
        writer_string(&writer, "\",\"encrypted_secret\":\"");
        writer_base64url(&writer, bytes_span(&encrypted));
        writer_format(&writer, "\",\"context\":\"%s\"}", context);
        return writer_finish(&writer, ret_body);
}

Err *enrolment_handle_challenge(Service *service, const ServiceRequest *request, ServiceReply *reply) {
        _cleanup_enrolment_ Enrolment enrolment = {};
        const char *code = "InvalidParameter";
        Err *error = parse_challenge(request->body, &enrolment);
        if (!error)
                error = judge(service, &enrolment, request->now_sec, &code);
        if (!error)
                error = challenge(service, &enrolment, request->monotonic_usec, &reply->body);
        return error ? refuse(reply, code, error) : NULL;
}

static Err *redeem(Service *service, const ServiceRequest *request, Bytes *ret_aik_public, const char **ret_code) {
        _cleanup_json_ Json *json = NULL;
        _cleanup_bytes_erase_ Bytes content = {}, secret = {};
        const char *context;
        *ret_code = "InvalidParameter";
        TRY(parse_body(request->body, &json));
        TRY(json_get_string(json, "context", &context));
        TRY(json_get_base64url(json, "secret", &secret));
        *ret_code = "ContextInvalid";
        TRY(context_unseal(service->contexts, context, request->monotonic_usec, &content));
        Reader reader = reader_make(bytes_span(&content));
        Span expected = reader_span(&reader, SECRET_SIZE, "secret"), aik_public = reader_rest(&reader);
        TRY(reader_finish(&reader, ERR_CHALLENGE_INVALID, "context"));
        *ret_code = "SecretWrong";
        if (secret.size != expected.size || CRYPTO_memcmp(secret.data, expected.data, expected.size) != 0)
                return err_new(ERR_CREDENTIAL_ACTIVATION_FAILED, "secret: it is not the one of the credential");
        return bytes_copy(aik_public, ret_aik_public);
}

/* RFC 5280; the common name is the SHA-256 of the key's SubjectPublicKeyInfo, by which `attestctl status` names it too. */
static Err *issue(const Service *service, Span aik_public, int64_t now, X509 **ret) {
        TpmPublic public;
        _cleanup_(pkey_freep) EVP_PKEY *key = NULL;
        _cleanup_free_ char *name = NULL;
        TRY(tpm_public_parse(aik_public, &public));
        TRY(tpm_public_to_pkey(&public, &key));
        TRY(aik_fingerprint(aik_public, &name));
        CaCertificate wanted = {
                .common_name = name, .usages = AIK_USAGE, .not_before = now - BACKDATE_SEC, .not_after = now + CERTIFICATE_SEC,
                .issuer = &service->identity->aik_ca,
        };
        return ca_certificate_issue(&wanted, key, ret);
}

static Err *certify(const Service *service, Span aik_public, int64_t now, Bytes *ret_body) {
        _cleanup_(x509_freep) X509 *certificate = NULL;
        _cleanup_bytes_ Bytes leaf = {}, authority = {};
        TRY(issue(service, aik_public, now, &certificate));
        TRY(ca_certificate_to_der(certificate, &leaf));
        TRY(ca_certificate_to_der(service->identity->aik_ca.certificate, &authority));
        _cleanup_writer_ Writer writer = {};
        writer_string(&writer, "{\"certificate\":\"");
        writer_base64url(&writer, bytes_span(&leaf));
        writer_string(&writer, "\",\"chain\":[\"");
        writer_base64url(&writer, bytes_span(&authority));
        writer_string(&writer, "\"]}");
        return writer_finish(&writer, ret_body);
}

Err *enrolment_handle_certificate(Service *service, const ServiceRequest *request, ServiceReply *reply) {
        _cleanup_bytes_ Bytes aik_public = {};
        const char *code;
        Err *error = redeem(service, request, &aik_public, &code);
        if (!error)
                error = certify(service, bytes_span(&aik_public), request->now_sec, &reply->body);
        return error ? refuse(reply, code, error) : NULL;
}
