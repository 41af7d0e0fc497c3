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

/* The policy token of a policy's text, the caller's; signer NULL: unsigned. And what the service calls its hash (x-ms-policy-token-hash), base64url, the caller's. */
AttestError *attest_policy_token_new(const char *policy, const AttestPolicySigner *signer, char **ret) ATTEST_MUST_CHECK;
AttestError *attest_policy_token_hash(const char *policy_token, char **ret) ATTEST_MUST_CHECK;

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

/* PUT policies/TYPE and POST policies/TYPE:reset. ret_answer, the validated token that says that it is done, may be NULL; else it is the caller's. */
AttestError *attest_client_set_policy(AttestClient *client, AttestPolicyType type, const char *policy, const AttestPolicySigner *signer,
                                      AttestToken **ret_answer) ATTEST_MUST_CHECK;
AttestError *attest_client_reset_policy(AttestClient *client, AttestPolicyType type, const AttestPolicySigner *signer,
                                        AttestToken **ret_answer) ATTEST_MUST_CHECK;

/* GET certificates, POST certificates:add and certificates:remove. The list is free of names. certificate is PEM, one. */
AttestError *attest_client_get_policy_certificates(AttestClient *client, AttestSigners **ret) ATTEST_MUST_CHECK;
AttestError *attest_client_add_policy_certificate(AttestClient *client, const char *certificate, const AttestPolicySigner *signer,
                                                  AttestToken **ret_answer) ATTEST_MUST_CHECK;
AttestError *attest_client_remove_policy_certificate(AttestClient *client, const char *certificate, const AttestPolicySigner *signer,
                                                     AttestToken **ret_answer) ATTEST_MUST_CHECK;

ATTEST_END
