/* See azure-guest.h. */
#include "instance/azure-guest.h"

#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <strings.h>

#include "instance/admin.h"
#include "instance/attest.h"
#include "instance/azure-guest-claims.h"
#include "instance/members.h"
#include "jose/aes-gcm.h"
#include "tcg/aik-certificate.h"
#include "tcg/aik.h"
#include "tcg/quote.h"
#include "tcg/secure-boot.h"
#include "tcg/verdict.h"

#define TOKEN_LIFETIME_SEC 28800 /* as in published tokens */
#define PCR_SECURE_BOOT 7
#define KEY_BITS_MIN 2048

bool azure_guest_is_responsible(const char *path) {
        return strcasecmp(path, "/attest/AzureGuest") == 0;
}

/* ---- the vTPM ---- */

static Err *check_aik(const Service *service, const ServiceRequest *request, GuestEvidence *evidence, EVP_PKEY **ret_aik) {
        Span public = bytes_span(&evidence->body->aik_public), certificate = bytes_span(&evidence->body->aik_certificate);
        _cleanup_(aik_certificate_freep) AikCertificate *checked = NULL;
        _cleanup_(pkey_freep) EVP_PKEY *aik = NULL;
        TpmPublic parsed;
        TRY(err_wrap(aik_public_check(public), "AikPub"));
        TRY(err_wrap(aik_match_certificate(certificate, public), "AikCert"));
        TRY(tpm_public_parse(public, &parsed));
        TRY(tpm_public_to_pkey(&parsed, &aik));
        _cleanup_(err_freep) Err *err = aik_certificate_check(certificate, aik, (uint64_t) request->now_sec, service->aik_roots, NULL, &checked);
        if (err_code(err) == ERR_AIK_CERTIFICATE_INVALID)
                TRY(string_copy(err_describe(err), &evidence->aik_reason));
        else if (err)
                return steal_ptr(&err);
        evidence->aik_validated = checked && checked->chain_verified;
        *ret_aik = steal_ptr(&aik);
        return NULL;
}

/* A key that never leaves the TPM, and decrypts for nobody but who shows the quoted PCRs. */
static Err *check_key(GuestEvidence *evidence, EVP_PKEY *aik) {
        static const uint32_t needed = TPM_OBJECT_FIXEDTPM | TPM_OBJECT_FIXEDPARENT | TPM_OBJECT_SENSITIVEDATAORIGIN | TPM_OBJECT_DECRYPT;
        static const uint32_t unwanted = TPM_OBJECT_SIGN | TPM_OBJECT_RESTRICTED | TPM_OBJECT_USERWITHAUTH;
        const GuestBody *body = evidence->body;
        TpmPublic public;
        Digest policy;
        TRY(err_wrap(certify_verify(bytes_span(&body->key_certification), bytes_span(&body->key_signature), aik, (Span) {}, bytes_span(&body->key_public)),
                     "EncKeyCertifyInfo"));
        TRY(err_wrap(tpm_public_parse(bytes_span(&body->key_public), &public), "EncKeyPub"));
        if ((public.attributes & (needed | unwanted)) != needed || public.rsa_bits < KEY_BITS_MIN)
                return err_new(ERR_KEY_INVALID, "EncKeyPub: an RSA key of %d bits or more that was made in the TPM, stays there and decrypts by its policy alone is needed", KEY_BITS_MIN);
        TRY(pcr_values_policy(&body->pcrs, &policy));
        if (!span_equal(public.auth_policy, digest_span(&policy)))
                return err_new(ERR_KEY_INVALID, "EncKeyPub: its policy is not PolicyPCR over the quoted PCRs");
        return tpm_public_to_pkey(&public, &evidence->key);
}

static Err *check_log(GuestEvidence *evidence) {
        const GuestBody *body = evidence->body;
        EventLogReplay replay;
        if (body->boot_log.size > 0)
                TRY(err_wrap(eventlog_replay(bytes_span(&body->boot_log), &replay), "TcgLogs"));
        verdict_for_pcrs(&body->pcrs, body->boot_log.size > 0 ? &replay : NULL, NULL, evidence->pcrs);
        if (evidence->pcrs[PCR_SECURE_BOOT] != PCR_REPLAYED)
                return NULL;
        return secure_boot_measured(bytes_span(&body->boot_log), body->pcrs.banks[0].alg, &evidence->is_secure_boot);
}

/* ---- the TEE ---- */

static Err *read_snp(const GuestBody *body, Bytes *ret_report) {
        _cleanup_json_ Json *proof = NULL;
        TRY(json_parse(bytes_span(&body->proof), "Proof", &proof));
        if (!json_is_object(proof))
                return err_new(ERR_EVIDENCE_MALFORMED, "Proof is no JSON object");
        return member_bytes(proof, "SnpReport", SNP_REPORT_SIZE, ret_report);
}

static Err *check_runtime_key(const Json *runtime, EVP_PKEY *aik) {
        Json *keys;
        TRY(member_array(runtime, "keys", &keys));
        for (size_t i = 0; i < json_object_array_length(keys); i++) {
                const Json *item = json_object_array_get_idx(keys, i);
                _cleanup_(jwk_freep) Jwk *jwk = NULL;
                const char *id;
                TRY(json_get_string_optional(item, "kid", &id));
                if (!id || !string_equal(id, "HCLAkPub"))
                        continue;
                TRY(jwk_from_json(item, &jwk));
                if (jwk_same_key(jwk->key, aik))
                        return NULL;
        }
        return err_new(ERR_PARAVISOR_REPORT_MISMATCH, "RunTimeData: HCLAkPub is missing, or another key than AikPub");
}

/* snp_bytes keeps what evidence borrows. */
static Err *check_isolation(GuestEvidence *evidence, EVP_PKEY *aik, Bytes *snp_bytes) {
        const GuestBody *body = evidence->body;
        Digest digest;
        if (body->isolation == MAA_ISOLATION_TRUSTED_LAUNCH)
                return NULL;
        if (body->isolation != MAA_ISOLATION_SEV_SNP)
                return err_new(ERR_NOT_SUPPORTED, "this instance takes no quotes of TDX apart");
        TRY(read_snp(body, snp_bytes));
        TRY(snp_report_parse(bytes_span(snp_bytes), &evidence->snp));
        TRY(hash_digest(HASH_SHA256, bytes_span(&body->runtime_data), &digest));
        Span data = evidence->snp.report_data;
        if (!span_equal(span_make(data.data, digest.size), digest_span(&digest)) || !span_is_zero(span_make(data.data + digest.size, data.size - digest.size)))
                return err_new(ERR_PARAVISOR_REPORT_MISMATCH, "the report data of SnpReport are not the SHA-256 of RunTimeData");
        TRY(json_parse(bytes_span(&body->runtime_data), "RunTimeData", &evidence->runtime));
        return check_runtime_key(evidence->runtime, aik);
}

/* ---- the answer ---- */

static Err *encrypt_key(EVP_PKEY *key, Span inner, Bytes *ret) {
        size_t size = 0;
        _cleanup_bytes_ Bytes out = {};
        EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
        bool fine = context && EVP_PKEY_encrypt_init(context) == 1 && EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1 &&
                    EVP_PKEY_encrypt(context, NULL, &size, inner.data, inner.size) == 1;
        Err *err = fine ? bytes_alloc(size, &out) : NULL;
        fine = fine && !err && EVP_PKEY_encrypt(context, out.data, &size, inner.data, inner.size) == 1;
        EVP_PKEY_CTX_free(context);
        if (err)
                return err;
        if (!fine) {
                ERR_clear_error();
                return err_new(ERR_KEY_INVALID, "EncKeyPub cannot encrypt");
        }
        out.size = size;
        *ret = bytes_steal(&out);
        return NULL;
}

static Err *add_base64(Json *json, const char *name, Span data) {
        _cleanup_free_ char *text = NULL;
        TRY(base64_encode(data, &text));
        return json_add_string(json, name, text);
}

static Err *make_envelope(EVP_PKEY *key, const char *token, Json **ret) {
        uint8_t inner[AES256_KEY_SIZE], iv[AES_GCM_IV_SIZE], tag[AES_GCM_TAG_SIZE];
        _cleanup_bytes_ Bytes ciphertext = {}, encrypted = {};
        _cleanup_json_ Json *envelope = NULL;
        Json *parameters;
        if (RAND_bytes(inner, sizeof(inner)) != 1 || RAND_bytes(iv, sizeof(iv)) != 1)
                return err_new(ERR_INTERNAL, "OpenSSL has no random bytes");
        TRY(aes256_gcm_seal(SPAN_OF(inner), SPAN_OF(iv), span_from_string(MAA_AZURE_GUEST_ASSOCIATED_DATA), span_from_string(token), &ciphertext, tag));
        TRY(encrypt_key(key, SPAN_OF(inner), &encrypted));
        TRY(json_new_object(&envelope));
        TRY(add_base64(envelope, "AuthenticationData", SPAN_OF(tag)));
        TRY(add_base64(envelope, "EncryptedInnerKey", bytes_span(&encrypted)));
        TRY(json_new_object(&parameters));
        TRY(json_add(envelope, "EncryptionParams", parameters));
        TRY(json_add_string(parameters, "BlockMode", "ChainingModeGCM"));
        TRY(json_add_string(parameters, "BlockPadding", "PKCS7"));
        TRY(json_add_string(parameters, "Cipher", "AES"));
        TRY(add_base64(parameters, "Iv", SPAN_OF(iv)));
        TRY(json_add_integer(parameters, "KeySizeInBits", AES256_KEY_SIZE * 8));
        TRY(add_base64(envelope, "Jwt", bytes_span(&ciphertext)));
        *ret = steal_ptr(&envelope);
        return NULL;
}

static Err *reply_closed(ServiceReply *reply, EVP_PKEY *key, const char *token) {
        _cleanup_json_ Json *envelope = NULL, *answer = NULL;
        _cleanup_free_ char *inner = NULL, *text = NULL;
        TRY(make_envelope(key, token, &envelope));
        TRY(json_to_string(envelope, &inner));
        TRY(json_new_object(&answer));
        TRY(json_add_base64url(answer, "token", span_from_string(inner)));
        TRY(json_to_string(answer, &text));
        bytes_done(&reply->body);
        return bytes_copy(span_from_string(text), &reply->body);
}

static Err *judge(Service *service, const ServiceRequest *request, ServiceReply *reply) {
        _cleanup_guest_body_ GuestBody body = {};
        _cleanup_guest_evidence_ GuestEvidence evidence = { .body = &body };
        _cleanup_(pkey_freep) EVP_PKEY *aik = NULL;
        _cleanup_bytes_ Bytes snp = {};
        _cleanup_json_ Json *claims = NULL;
        _cleanup_free_ char *token = NULL;
        TRY(guest_body_parse(request->body, &body));
        TRY(check_aik(service, request, &evidence, &aik));
        TRY(err_wrap(quote_verify(bytes_span(&body.quote), bytes_span(&body.quote_signature), aik, (Span) {}, &body.pcrs, NULL), "PcrQuote"));
        TRY(check_key(&evidence, aik));
        TRY(check_log(&evidence));
        TRY(err_wrap(check_isolation(&evidence, aik, &snp), "IsolationInfo"));
        TRY(guest_claims(&evidence, &claims));
        ServiceTokenRules rules = { .now_sec = request->now_sec, .lifetime_sec = TOKEN_LIFETIME_SEC, .is_signed = true };
        TRY(service_make_token(service, claims, &rules, &token));
        return reply_closed(reply, evidence.key, token);
}

Err *azure_guest_handle(Service *service, const ServiceRequest *request, ServiceReply *reply) {
        if (!string_equal(request->method, "POST"))
                return service_reply_wrong_method(reply, request, "POST");
        Err *error = attest_check_api_version(request->api_version);
        if (!error)
                error = judge(service, request, reply);
        ErrCode code = err_code(error);
        if (!error)
                return NULL;
        if (code == ERR_NO_MEMORY || code == ERR_INTERNAL || code == ERR_IO)
                return admin_refuse(reply, error);
        return service_reply_error(reply, 400, "InvalidParameter", error);
}
