/* See policy-certs.h. */
#include "maa/policy-certs.h"

#include <ctype.h>
#include <strings.h>

Err *maa_policy_certs_list_request(const char *base_url, const char *api_version, HttpRequest *ret) {
        return maa_request_make("GET", base_url, "certificates", api_version, ret);
}

static Err *read_list(const Json *claims, JwkSet **ret) {
        _cleanup_free_ char *text = NULL;
        Json *list;
        TRY(json_get_object(claims, "x-ms-policy-certificates", &list));
        TRY(json_to_string(list, &text));
        return jwk_set_parse(span_from_string(text), "x-ms-policy-certificates", ret);
}

Err *maa_policy_certs_from_claims(const Json *claims, JwkSet **ret) {
        return err_wrap_code(ERR_TOKEN_CLAIM_INVALID, read_list(claims, ret), "the token's list of certificates cannot be used");
}

static Err *key_type(X509 *certificate, const char **ret) {
        int id = EVP_PKEY_get_base_id(X509_get0_pubkey(certificate));
        if (id != EVP_PKEY_RSA && id != EVP_PKEY_EC)
                return err_new(ERR_NOT_SUPPORTED, "a certificate of an RSA or EC key is needed");
        *ret = id == EVP_PKEY_RSA ? "RSA" : "EC";
        return NULL;
}

static Err *make_payload(X509 *certificate, char **ret) {
        _cleanup_json_ Json *payload = NULL, *jwk = NULL, *chain = NULL;
        _cleanup_(x509_stack_freep) STACK_OF(X509) *stack = sk_X509_new_null();
        const char *type;
        if (!stack || !X509_up_ref(certificate))
                return err_oom();
        if (sk_X509_push(stack, certificate) <= 0) {
                x509_free(certificate);
                return err_oom();
        }
        TRY(key_type(certificate, &type));
        TRY(x509_chain_to_json(stack, &chain));
        TRY(json_new_object(&jwk));
        TRY(json_add_string(jwk, "kty", type));
        TRY(json_add(jwk, "x5c", steal_ptr(&chain)));
        TRY(json_new_object(&payload));
        TRY(json_add(payload, "policyCertificate", steal_ptr(&jwk)));
        return json_to_string(payload, ret);
}

Err *maa_policy_certs_token(X509 *certificate, const MaaSigner *signer, char **ret) {
        _cleanup_free_ char *payload = NULL;
        TRY(make_payload(certificate, &payload));
        return maa_signer_sign(signer, span_from_string(payload), ret);
}

Err *maa_policy_certs_change_request(const char *base_url, const char *api_version, MaaCertificateChange change, const char *token, HttpRequest *ret) {
        _cleanup_json_ Json *body = json_object_new_string(token);
        if (!body)
                return err_oom();
        return maa_request_post_json(base_url, change == MAA_CERTIFICATE_ADD ? "certificates:add" : "certificates:remove", api_version, body, ret);
}

Err *maa_certificate_thumbprint(X509 *certificate, char **ret) {
        uint8_t digest[EVP_MAX_MD_SIZE];
        unsigned size;
        if (X509_digest(certificate, EVP_sha1(), digest, &size) != 1)
                return err_new(ERR_KEY_INVALID, "a certificate cannot be hashed");
        TRY(hex_encode(span_make(digest, size), ret));
        for (char *c = *ret; *c; c++)
                *c = (char) toupper((unsigned char) *c);
        return NULL;
}

static Err *read_change(const Json *claims, const char **ret_result, const char **ret_thumbprint) {
        TRY(json_get_string(claims, "x-ms-certificate-thumbprint", ret_thumbprint));
        /* newer versions of the service have the second name */
        return json_get_string(claims, json_get(claims, "x-ms-policycertificates-result") ? "x-ms-policycertificates-result" : "x-ms-certificate-result", ret_result);
}

Err *maa_policy_certs_check_change(const Json *claims, MaaCertificateChange change, X509 *certificate) {
        const char *wanted = change == MAA_CERTIFICATE_ADD ? "IsPresent" : "IsAbsent", *result, *named;
        _cleanup_free_ char *thumbprint = NULL;
        TRY(err_wrap_code(ERR_TOKEN_CLAIM_INVALID, read_change(claims, &result, &named), "the token's claims about the change"));
        TRY(maa_certificate_thumbprint(certificate, &thumbprint));
        if (strcasecmp(named, thumbprint) != 0)
                return err_new(ERR_SERVICE_ANSWER_INVALID, "the service speaks of the certificate %.64s, but %s was sent", named, thumbprint);
        if (!string_equal(result, wanted))
                return err_new(ERR_SERVICE_ANSWER_INVALID, "the service says \"%.40s\" of the certificate, not \"%s\"", result, wanted);
        return NULL;
}
