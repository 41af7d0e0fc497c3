/* Administration of an instance: policies, and the certificates of those who may set them on an isolated instance. Sources: REST specification 2020-10-01 of Microsoft
 * Azure Attestation, Policy and PolicyCertificates; the documentation's "author and sign a policy".
 *
 * A policy travels as a JWS, the policy token. The calls block. Their errors: those of the network (Service…, Timeout), Token… where the answer's token does not hold
 * by the client's rules (of which nonce, policy hash and required claims are for attestations alone), ServiceAnswerInvalid where it does not say that what was
 * asked for is done, Cancelled. */
#pragma once

#include "client.h"

ATTEST_BEGIN

typedef enum AttestPolicyType {
        ATTEST_POLICY_SGX_ENCLAVE,
        ATTEST_POLICY_OPEN_ENCLAVE,
        ATTEST_POLICY_TPM,
} AttestPolicyType;

/* Who signs: a private key and its certificates, the key's own first, as PEM. RSA signs RS256, EC ES256, ES384 or ES512. The key is erased with it.
 * Error: KeyInvalid where they do not fit each other. */
typedef struct AttestPolicySigner AttestPolicySigner;
AttestError *attest_policy_signer_new(const char *key, const char *certificates, AttestPolicySigner **ret) ATTEST_MUST_CHECK;
AttestPolicySigner *attest_policy_signer_free(AttestPolicySigner *signer);

/* The policy token of a policy's text, the caller's; NULL: that of a reset. signer NULL: unsigned. */
AttestError *attest_policy_token_new(const char *policy, const AttestPolicySigner *signer, char **ret) ATTEST_MUST_CHECK;
/* What the service calls the hash of a policy token (x-ms-policy-token-hash, in the answer to setting it), and that of a policy's text (x-ms-policy-hash, in the
 * tokens that it judges; for attest_rules_set_policy_hash()). base64url, the caller's. */
AttestError *attest_policy_token_hash(const char *policy_token, char **ret) ATTEST_MUST_CHECK;
AttestError *attest_policy_hash(const char *policy, char **ret) ATTEST_MUST_CHECK;

/* GET policies/TYPE. */
typedef struct AttestPolicy AttestPolicy;
AttestError *attest_client_get_policy(AttestClient *client, AttestPolicyType type, AttestPolicy **ret) ATTEST_MUST_CHECK;
AttestPolicy *attest_policy_free(AttestPolicy *policy);
const char *attest_policy_get_text(const AttestPolicy *policy);           /* NULL: none is set */
const char *attest_policy_get_token(const AttestPolicy *policy);          /* the policy token, as it was set */
const char *attest_policy_get_certificates(const AttestPolicy *policy);   /* PEM; NULL of an unsigned one */
bool attest_policy_is_signed(const AttestPolicy *policy);
bool attest_policy_is_verified(const AttestPolicy *policy);               /* signed, by the first of its certificates */
const AttestToken *attest_policy_get_answer(const AttestPolicy *policy);  /* the validated token that says so */

/* PUT policies/TYPE and POST policies/TYPE:reset. ret, what the service says that it has done, may be NULL. */
typedef struct AttestPolicyChange AttestPolicyChange;
AttestError *attest_client_set_policy(AttestClient *client, AttestPolicyType type, const char *policy, const AttestPolicySigner *signer,
                                      AttestPolicyChange **ret) ATTEST_MUST_CHECK;
AttestError *attest_client_reset_policy(AttestClient *client, AttestPolicyType type, const AttestPolicySigner *signer, AttestPolicyChange **ret) ATTEST_MUST_CHECK;
AttestPolicyChange *attest_policy_change_free(AttestPolicyChange *change);
const char *attest_policy_change_get_result(const AttestPolicyChange *change);       /* "Updated", "Removed" */
const char *attest_policy_change_get_token_hash(const AttestPolicyChange *change);   /* of the policy token that is in force; NULL of a reset */
const char *attest_policy_change_get_signer(const AttestPolicyChange *change);       /* PEM; NULL where nobody signed, and of a reset */
const AttestToken *attest_policy_change_get_answer(const AttestPolicyChange *change);   /* the validated token that says so */

/* GET certificates, POST certificates:add and certificates:remove. The list is free of names. certificate is PEM, one. ret may be NULL. */
typedef struct AttestCertificateChange AttestCertificateChange;
AttestError *attest_client_get_policy_certificates(AttestClient *client, AttestSigners **ret) ATTEST_MUST_CHECK;
AttestError *attest_client_add_policy_certificate(AttestClient *client, const char *certificate, const AttestPolicySigner *signer,
                                                  AttestCertificateChange **ret) ATTEST_MUST_CHECK;
AttestError *attest_client_remove_policy_certificate(AttestClient *client, const char *certificate, const AttestPolicySigner *signer,
                                                     AttestCertificateChange **ret) ATTEST_MUST_CHECK;
AttestCertificateChange *attest_certificate_change_free(AttestCertificateChange *change);
const char *attest_certificate_change_get_result(const AttestCertificateChange *change);       /* "IsPresent", "IsAbsent" */
const char *attest_certificate_change_get_thumbprint(const AttestCertificateChange *change);   /* SHA-1 of the certificate, upper case hex */
const AttestToken *attest_certificate_change_get_answer(const AttestCertificateChange *change);

ATTEST_END
