/* See policy.h. */
#include "attest/policy.h"

#include "attest/internal.h"
#include "jose/pem.h"
#include "maa/policy-certs.h"

struct AttestPolicySigner {
        EVP_PKEY *key;
        STACK_OF(X509) *certificates;
};

struct AttestPolicy {
        MaaPolicy policy;
        AttestToken *answer;
};

struct AttestPolicyChange {
        AttestToken *answer;
        const char *result;
        char *hash, *signer;
};

struct AttestCertificateChange {
        AttestToken *answer;
        const char *result;
        char *thumbprint;
};

AttestPolicyChange *attest_policy_change_free(AttestPolicyChange *change) {
        if (!change)
                return NULL;
        attest_token_free(change->answer);
        free(change->hash);
        free(change->signer);
        free(change);
        return NULL;
}
DEFINE_CLEANUP(AttestPolicyChange, attest_policy_change_free)

AttestCertificateChange *attest_certificate_change_free(AttestCertificateChange *change) {
        if (!change)
                return NULL;
        attest_token_free(change->answer);
        free(change->thumbprint);
        free(change);
        return NULL;
}
DEFINE_CLEANUP(AttestCertificateChange, attest_certificate_change_free)

/* ---- signers ---- */

AttestPolicySigner *attest_policy_signer_free(AttestPolicySigner *signer) {
        if (!signer)
                return NULL;
        pkey_free(signer->key);
        x509_stack_free(signer->certificates);
        free(signer);
        return NULL;
}
DEFINE_CLEANUP(AttestPolicySigner, attest_policy_signer_free)

static MaaSigner inner_signer(const AttestPolicySigner *signer) {
        return (MaaSigner) { signer->key, signer->certificates };
}

static Err *make_signer(const char *key, const char *certificates, AttestPolicySigner **ret) {
        _cleanup_(attest_policy_signer_freep) AttestPolicySigner *signer = calloc(1, sizeof(AttestPolicySigner));
        if (!signer)
                return err_oom();
        TRY(pem_private_key(span_from_string(key ?: ""), "the key", &signer->key));
        TRY(x509_stack_from_pem(span_from_string(certificates ?: ""), "the certificates", &signer->certificates));
        const MaaSigner inner = inner_signer(signer);
        TRY(maa_signer_check(&inner));
        *ret = steal_ptr(&signer);
        return NULL;
}

AttestError *attest_policy_signer_new(const char *key, const char *certificates, AttestPolicySigner **ret) {
        return error_out(make_signer(key, certificates, ret));
}

/* policy NULL: a reset. */
static Err *make_token(const char *policy, const AttestPolicySigner *signer, char **ret) {
        if (!signer)
                return maa_policy_token(policy, /* signer= */ NULL, ret);
        const MaaSigner inner = inner_signer(signer);
        return maa_policy_token(policy, &inner, ret);
}

AttestError *attest_policy_token_new(const char *policy, const AttestPolicySigner *signer, char **ret) {
        return error_out(make_token(policy, signer, ret));
}

AttestError *attest_policy_token_hash(const char *policy_token, char **ret) {
        return error_out(maa_policy_token_hash(policy_token, ret));
}

AttestError *attest_policy_hash(const char *policy, char **ret) {
        return error_out(maa_policy_hash(policy, ret));
}

/* ---- policies ---- */

static Err *inner_type(AttestPolicyType type, MaaPolicyType *ret) {
        switch (type) {
        case ATTEST_POLICY_SGX_ENCLAVE:
                *ret = MAA_POLICY_SGX;
                return NULL;
        case ATTEST_POLICY_OPEN_ENCLAVE:
                *ret = MAA_POLICY_OPEN_ENCLAVE;
                return NULL;
        case ATTEST_POLICY_TPM:
                *ret = MAA_POLICY_TPM;
                return NULL;
        }
        return err_new(ERR_INVALID_ARGUMENT, "there is no policy type %d", (int) type);
}

AttestPolicy *attest_policy_free(AttestPolicy *policy) {
        if (!policy)
                return NULL;
        maa_policy_done(&policy->policy);
        attest_token_free(policy->answer);
        free(policy);
        return NULL;
}
DEFINE_CLEANUP(AttestPolicy, attest_policy_free)

static Err *get_policy(AttestClient *client, AttestPolicyType type, AttestPolicy **ret) {
        _cleanup_(attest_policy_freep) AttestPolicy *policy = calloc(1, sizeof(AttestPolicy));
        HttpRequest request = {};
        MaaPolicyType inner;
        if (!policy)
                return err_oom();
        TRY(inner_type(type, &inner));
        TRY(maa_policy_get_request(client->url, client->api_version, inner, &request));
        TRY(client_ask(client, "the policy", CLIENT_ADMINISTRATION, &request, &policy->answer));
        TRY(maa_policy_from_claims(attest_token_json(policy->answer), &policy->policy));
        *ret = steal_ptr(&policy);
        return NULL;
}

AttestError *attest_client_get_policy(AttestClient *client, AttestPolicyType type, AttestPolicy **ret) {
        client_begin(client);
        return error_out(err_wrap(get_policy(client, type, ret), "getting the policy of %s", client->url));
}

const char *attest_policy_get_text(const AttestPolicy *policy) {
        return policy->policy.text;
}

const char *attest_policy_get_token(const AttestPolicy *policy) {
        return policy->policy.token;
}

const char *attest_policy_get_certificates(const AttestPolicy *policy) {
        return policy->policy.certificates;
}

bool attest_policy_is_signed(const AttestPolicy *policy) {
        return policy->policy.is_signed;
}

bool attest_policy_is_verified(const AttestPolicy *policy) {
        return policy->policy.is_verified;
}

const AttestToken *attest_policy_get_answer(const AttestPolicy *policy) {
        return policy->answer;
}

/* policy NULL: a reset. ret may be NULL. */
static Err *change_policy(AttestClient *client, MaaPolicyType type, const char *policy, const AttestPolicySigner *signer, AttestPolicyChange **ret) {
        _cleanup_(attest_policy_change_freep) AttestPolicyChange *change = calloc(1, sizeof(AttestPolicyChange));
        _cleanup_free_ char *token = NULL;
        HttpRequest request = {};
        if (!change)
                return err_oom();
        TRY(make_token(policy, signer, &token));
        TRY(policy ? maa_policy_set_request(client->url, client->api_version, type, token, &request) :
                     maa_policy_reset_request(client->url, client->api_version, type, token, &request));
        TRY(client_ask(client, "the change", CLIENT_ADMINISTRATION, &request, &change->answer));
        TRY(maa_policy_check_change(attest_token_json(change->answer), policy ? MAA_POLICY_UPDATED : MAA_POLICY_REMOVED, token, &change->signer));
        change->result = policy ? "Updated" : "Removed";
        if (policy)
                TRY(maa_policy_token_hash(token, &change->hash));
        if (ret)
                *ret = steal_ptr(&change);
        return NULL;
}

AttestError *attest_client_set_policy(AttestClient *client, AttestPolicyType type, const char *policy, const AttestPolicySigner *signer, AttestPolicyChange **ret) {
        client_begin(client);
        MaaPolicyType inner;
        Err *err = policy ? inner_type(type, &inner) : err_new(ERR_INVALID_ARGUMENT, "a policy is needed");
        if (!err)
                err = change_policy(client, inner, policy, signer, ret);
        return error_out(err_wrap(err, "setting the policy of %s", client->url));
}

AttestError *attest_client_reset_policy(AttestClient *client, AttestPolicyType type, const AttestPolicySigner *signer, AttestPolicyChange **ret) {
        client_begin(client);
        MaaPolicyType inner;
        Err *err = inner_type(type, &inner);
        if (!err)
                err = change_policy(client, inner, /* policy= */ NULL, signer, ret);
        return error_out(err_wrap(err, "resetting the policy of %s", client->url));
}

const char *attest_policy_change_get_result(const AttestPolicyChange *change) {
        return change->result;
}

const char *attest_policy_change_get_token_hash(const AttestPolicyChange *change) {
        return change->hash;
}

const char *attest_policy_change_get_signer(const AttestPolicyChange *change) {
        return change->signer;
}

const AttestToken *attest_policy_change_get_answer(const AttestPolicyChange *change) {
        return change->answer;
}

/* ---- certificates ---- */

static Err *get_certificates(AttestClient *client, AttestSigners **ret) {
        _cleanup_(attest_token_freep) AttestToken *answer = NULL;
        _cleanup_(jwk_set_freep) JwkSet *set = NULL;
        HttpRequest request = {};
        TRY(maa_policy_certs_list_request(client->url, client->api_version, &request));
        TRY(client_ask(client, "the list", CLIENT_ADMINISTRATION, &request, &answer));
        TRY(maa_policy_certs_from_claims(attest_token_json(answer), &set));
        return attest_signers_make(set, ret);
}

AttestError *attest_client_get_policy_certificates(AttestClient *client, AttestSigners **ret) {
        client_begin(client);
        return error_out(err_wrap(get_certificates(client, ret), "listing the policy certificates of %s", client->url));
}

/* ret may be NULL. */
static Err *change_certificate(AttestClient *client, MaaCertificateChange kind, const char *pem, const AttestPolicySigner *signer, AttestCertificateChange **ret) {
        _cleanup_(attest_certificate_change_freep) AttestCertificateChange *change = calloc(1, sizeof(AttestCertificateChange));
        _cleanup_(x509_stack_freep) STACK_OF(X509) *certificates = NULL;
        _cleanup_free_ char *token = NULL;
        HttpRequest request = {};
        if (!change)
                return err_oom();
        if (!signer)
                return err_new(ERR_INVALID_ARGUMENT, "a signer who is in the list is needed");
        const MaaSigner inner = inner_signer(signer);
        TRY(x509_stack_from_pem(span_from_string(pem ?: ""), "the certificate", &certificates));
        TRY(maa_policy_certs_token(x509_stack_leaf(certificates), &inner, &token));
        TRY(maa_policy_certs_change_request(client->url, client->api_version, kind, token, &request));
        TRY(client_ask(client, "the change", CLIENT_ADMINISTRATION, &request, &change->answer));
        TRY(maa_policy_certs_check_change(attest_token_json(change->answer), kind, x509_stack_leaf(certificates)));
        TRY(maa_certificate_thumbprint(x509_stack_leaf(certificates), &change->thumbprint));
        change->result = kind == MAA_CERTIFICATE_ADD ? "IsPresent" : "IsAbsent";
        if (ret)
                *ret = steal_ptr(&change);
        return NULL;
}

AttestError *attest_client_add_policy_certificate(AttestClient *client, const char *certificate, const AttestPolicySigner *signer, AttestCertificateChange **ret) {
        client_begin(client);
        return error_out(err_wrap(change_certificate(client, MAA_CERTIFICATE_ADD, certificate, signer, ret), "adding a policy certificate at %s", client->url));
}

AttestError *attest_client_remove_policy_certificate(AttestClient *client, const char *certificate, const AttestPolicySigner *signer, AttestCertificateChange **ret) {
        client_begin(client);
        return error_out(err_wrap(change_certificate(client, MAA_CERTIFICATE_REMOVE, certificate, signer, ret), "removing a policy certificate at %s", client->url));
}

const char *attest_certificate_change_get_result(const AttestCertificateChange *change) {
        return change->result;
}

const char *attest_certificate_change_get_thumbprint(const AttestCertificateChange *change) {
        return change->thumbprint;
}

const AttestToken *attest_certificate_change_get_answer(const AttestCertificateChange *change) {
        return change->answer;
}
