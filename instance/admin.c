/* See admin.h. */
#include "instance/admin.h"

#include <ctype.h>
#include <openssl/sha.h>
#include <strings.h>

#include "instance/attest.h"
#include "instance/policy-jws.h"
#include "instance/policy-signers.h"
#include "jose/x509.h"

#define RESULT_LIFETIME_SEC 3600 /* as recorded */
#define POLICIES "/policies/"
#define CERTIFICATES "/certificates"

bool admin_is_responsible(const char *path) {
        return strncasecmp(path, POLICIES, strlen(POLICIES)) == 0 || strcasecmp(path, CERTIFICATES) == 0 ||
               strncasecmp(path, CERTIFICATES ":", strlen(CERTIFICATES ":")) == 0;
}

static Err *answer(Service *service, const ServiceRequest *request, Json *claims, ServiceReply *reply) {
        ServiceTokenRules rules = { .now_sec = request->now_sec, .lifetime_sec = RESULT_LIFETIME_SEC, .is_signed = true };
        return service_reply_token(service, reply, claims, &rules);
}

/* May whoever sent this change policies? */
static Err *authorise_policy(const Service *service, const PolicyJws *jws) {
        switch (service->options.mode) {
        case SERVICE_MODE_AAD:
                return NULL;
        case SERVICE_MODE_SHARED:
                return err_new(ERR_ACCESS_DENIED, "policies of a shared instance can only be read");
        case SERVICE_MODE_ISOLATED:
                if (!jws->chain)
                        return err_new(ERR_TOKEN_ALG_NONE, "an isolated instance takes what a policy signer has signed");
                if (!policy_signers_have(service->signers, x509_stack_leaf(jws->chain)))
                        return err_new(ERR_TOKEN_CHAIN_INVALID, "the signer is none of the policy signers of this instance");
                return NULL;
        case _SERVICE_MODE_MAX:
                break;
        }
        return err_new(ERR_INTERNAL, "mode %d has no rights", (int) service->options.mode);
}

static Err *open_policy_change(const Service *service, const ServiceRequest *request, PolicyJws *ret) {
        _cleanup_policy_jws_ PolicyJws jws = {};
        if (service->options.mode == SERVICE_MODE_SHARED) /* before a word about the body */
                return authorise_policy(service, &jws);
        TRY(policy_jws_open(request->body, &jws));
        TRY(authorise_policy(service, &jws));
        *ret = jws;
        jws = (PolicyJws) {};
        return NULL;
}

static Err *get_policy(Service *service, const ServiceRequest *request, AttestationType type, ServiceReply *reply) {
        _cleanup_json_ Json *claims = NULL;
        TRY(json_new_object(&claims));
        TRY(json_add_string(claims, "x-ms-policy", policy_store_get(service->policies, type)->jws));
        return answer(service, request, claims, reply);
}

static Err *put_policy(Service *service, const ServiceRequest *request, AttestationType type, ServiceReply *reply) {
        _cleanup_policy_jws_ PolicyJws jws = {};
        _cleanup_stored_policy_ StoredPolicy policy = {};
        _cleanup_json_ Json *claims = NULL;
        _cleanup_free_ char *hash = NULL;
        TRY(open_policy_change(service, request, &jws));
        TRY(stored_policy_from_jws(&jws, &policy));
        TRY(policy_hash(policy.jws, &hash));
        TRY(json_new_object(&claims));
        TRY(json_add_string(claims, "x-ms-policy-result", "Updated"));
        TRY(json_add_string(claims, "x-ms-policy-token-hash", hash));
        if (policy.signer)
                TRY(json_add(claims, "x-ms-policy-signer", json_ref(policy.signer)));
        TRY(policy_store_put(service->policies, type, &policy));
        return answer(service, request, claims, reply);
}

static Err *reset_policy(Service *service, const ServiceRequest *request, AttestationType type, ServiceReply *reply) {
        _cleanup_policy_jws_ PolicyJws jws = {};
        _cleanup_json_ Json *claims = NULL;
        TRY(open_policy_change(service, request, &jws));
        if (jws.payload)
                return err_new(ERR_TOKEN_MALFORMED, "a reset has an empty payload");
        TRY(json_new_object(&claims));
        TRY(json_add_string(claims, "x-ms-policy-result", "Removed"));
        TRY(policy_store_reset(service->policies, type));
        return answer(service, request, claims, reply);
}

static Err *list_certificates(Service *service, const ServiceRequest *request, ServiceReply *reply) {
        _cleanup_json_ Json *claims = NULL, *keys = NULL;
        TRY(json_new_object(&claims));
        TRY(policy_signers_to_json(service->signers, &keys));
        TRY(json_add(claims, "x-ms-policy-certificates", steal_ptr(&keys)));
        return answer(service, request, claims, reply);
}

static Err *thumbprint(X509 *certificate, char ret[2 * SHA_DIGEST_LENGTH + 1]) {
        uint8_t digest[SHA_DIGEST_LENGTH];
        if (X509_digest(certificate, EVP_sha1(), digest, NULL) != 1)
                return err_new(ERR_INTERNAL, "OpenSSL does not hash a certificate");
        hex_encode_into(SPAN_OF(digest), ret);
        for (char *c = ret; *c; c++)
                *c = (char) toupper((unsigned char) *c);
        return NULL;
}

static Err *change_certificates(Service *service, const ServiceRequest *request, bool is_add, ServiceReply *reply) {
        _cleanup_policy_jws_ PolicyJws jws = {};
        _cleanup_(x509_freep) X509 *certificate = NULL;
        _cleanup_json_ Json *claims = NULL;
        char digest[2 * SHA_DIGEST_LENGTH + 1];
        if (policy_signers_count(service->signers) == 0)
                return err_new(ERR_CONFIG_MISSING, "the instance has no policy signers");
        TRY(policy_jws_open(request->body, &jws));
        TRY(authorise_policy(service, &jws));
        TRY(policy_jws_get_certificate(&jws, &certificate));
        TRY(thumbprint(certificate, digest));
        TRY(is_add ? policy_signers_add(service->signers, certificate) : policy_signers_remove(service->signers, certificate));
        TRY(json_new_object(&claims));
        TRY(json_add_string(claims, "x-ms-certificate-thumbprint", digest));
        TRY(json_add_string(claims, "x-ms-policycertificates-result", is_add ? "IsPresent" : "IsAbsent"));
        return answer(service, request, claims, reply);
}

static Err *handle_policy(Service *service, const ServiceRequest *request, ServiceReply *reply) {
        const char *name = request->path + strlen(POLICIES), *colon = strchr(name, ':');
        AttestationType type;
        bool is_post = string_equal(request->method, "POST");
        TRY(attestation_type_from_span(span_make(name, colon ? (size_t) (colon - name) : strlen(name)), &type));
        if (colon && strcasecmp(colon, ":reset") != 0)
                return service_reply_not_found(reply, request);
        if (colon)
                return is_post ? reset_policy(service, request, type, reply) : service_reply_wrong_method(reply, request, "POST");
        if (string_equal(request->method, "GET"))
                return get_policy(service, request, type, reply);
        if (string_equal(request->method, "PUT"))
                return put_policy(service, request, type, reply);
        return service_reply_wrong_method(reply, request, "GET or PUT");
}

static Err *handle_certificates(Service *service, const ServiceRequest *request, ServiceReply *reply) {
        const char *verb = request->path + strlen(CERTIFICATES);
        bool is_add = strcasecmp(verb, ":add") == 0;
        bool is_get = string_equal(request->method, "GET"), is_post = string_equal(request->method, "POST");
        if (!*verb)
                return is_get ? list_certificates(service, request, reply) : service_reply_wrong_method(reply, request, "GET");
        if (!is_add && strcasecmp(verb, ":remove") != 0)
                return service_reply_not_found(reply, request);
        return is_post ? change_certificates(service, request, is_add, reply) : service_reply_wrong_method(reply, request, "POST");
}

Err *admin_handle(Service *service, const ServiceRequest *request, ServiceReply *reply) {
        bool is_policy = strncasecmp(request->path, POLICIES, strlen(POLICIES)) == 0;
        Err *error = attest_check_api_version(request->api_version);
        if (!error)
                error = is_policy ? handle_policy(service, request, reply) : handle_certificates(service, request, reply);
        return error ? admin_refuse(reply, error) : NULL;
}
