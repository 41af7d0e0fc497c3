/* Attestation of Azure VMs by any instance, also one that is not theirs: POST attest/AzureGuest.
 *
 *     body     {"AttestationInfo": base64url(info)}
 *     info     {"AttestationProtocolVersion":"2.0","OSType":b64,"OSDistro":b64,"OSBuild":b64,"OSVersionMajor":n,"OSVersionMinor":n,"TcgLogs":b64,
 *               "ClientPayload":{name:b64,…},
 *               "TpmInfo":{"AikCert":b64,"AikPub":b64,"PcrQuote":b64,"PcrSignature":b64,"EncKeyPub":b64,"EncKeyCertifyInfo":b64,
 *                          "EncKeyCertifyInfoSignature":b64,"PcrSet":[n,…],"PCRs":[{"Index":n,"Digest":b64},…]},
 *               "IsolationInfo":{"Type":"TrustedLaunch"|"SevSnp"|"Tdx","Evidence":{"Proof":b64,"RunTimeData":b64}}}
 *     answer   {"token": base64url({"Jwt":b64,"EncryptedInnerKey":b64,"AuthenticationData":b64,
 *               "EncryptionParams":{"Cipher":"AES","KeySizeInBits":256,"BlockMode":"ChainingModeGCM","BlockPadding":"PKCS7","Iv":b64}})}
 *
 * b64 is base64 with padding. There is no challenge: quote and certification have empty qualifying data, and what keeps an answer to whom it is for is that the inner key is
 * encrypted (RSAES-PKCS1-v1_5) to a key in the vTPM, which the AIK certifies; the token is closed with the inner key (AES-256-GCM, associated data "Transport Key"). So
 * a caller who needs a fresh token puts a nonce into the client payload, and finds it in the token.
 *
 * Sources: REST specification 2022-08-01, AttestAzureGuest, with its example; how Microsoft's guest clients fill it in, in docs/azure-guest.md. */
#pragma once

#include "maa/message.h"
#include "tcg/pcr.h"

#define MAA_AZURE_GUEST_API_VERSION "2022-08-01"
#define MAA_AZURE_GUEST_PAYLOAD_MAX 16u             /* ours */
#define MAA_AZURE_GUEST_KEY_ID "TpmEphemeralEncryptionKey"
#define MAA_AZURE_GUEST_ASSOCIATED_DATA "Transport Key"

typedef enum MaaIsolation { MAA_ISOLATION_TRUSTED_LAUNCH, MAA_ISOLATION_SEV_SNP, MAA_ISOLATION_TDX, _MAA_ISOLATION_MAX } MaaIsolation;
const char *maa_isolation_to_string(MaaIsolation isolation);                /* "TrustedLaunch" */
bool maa_isolation_from_string(const char *text, MaaIsolation *ret);        /* any case */

typedef struct MaaGuestPayload {
        const char *name, *value;    /* the value comes back in the token as base64 */
} MaaGuestPayload;

typedef struct MaaGuestRequest {
        Span aik_public;                                /* TPMT_PUBLIC */
        Span aik_certificate;                           /* DER */
        Span quote, quote_signature;                    /* TPMS_ATTEST, TPMT_SIGNATURE (RSASSA) */
        const PcrValues *pcrs;                          /* one bank, which gives the quote's digest */
        Span key_public;                                /* TPMT_PUBLIC, RSA, of the key that the answer is for */
        Span key_certification, key_signature;          /* TPMS_ATTEST, TPMT_SIGNATURE (RSASSA) */
        Span boot_log;                                  /* may be empty */
        const char *os_distro, *os_build;               /* NULL: "Unknown" */
        int64_t os_major, os_minor;
        MaaGuestPayload payload[MAA_AZURE_GUEST_PAYLOAD_MAX];
        size_t n_payload;
        MaaIsolation isolation;
        Span proof;                                     /* of a confidential VM: the TEE's report with its certificates, or its quote */
        Span runtime_data;                              /* of a confidential VM: what the report's data are the hash of */
} MaaGuestRequest;
/* api_version NULL: MAA_AZURE_GUEST_API_VERSION. Errors: INVALID_ARGUMENT names what is missing; NOT_SUPPORTED for keys other than RSA; QUOTE_MALFORMED. */
Err *maa_guest_request(const char *base_url, const char *api_version, const MaaGuestRequest *request, HttpRequest *ret) _must_check_;

/* The token, closed. */
typedef struct MaaGuestAnswer {
        Bytes encrypted_key;         /* for the key in the TPM */
        Bytes ciphertext, iv, tag;
} MaaGuestAnswer;
void maa_guest_answer_done(MaaGuestAnswer *answer);
#define _cleanup_maa_guest_answer_ _cleanup_(maa_guest_answer_done)
/* Error: SERVICE_ANSWER_INVALID names what cannot be used. */
Err *maa_guest_answer_parse(Span answer, MaaGuestAnswer *ret) _must_check_;
/* inner_key is what the TPM made of encrypted_key. The JWT is not validated. Error: SERVICE_ANSWER_INVALID where it does not open. */
Err *maa_guest_answer_open(const MaaGuestAnswer *answer, Span inner_key, char **ret_jwt) _must_check_;

/* What a token says of a VM, borrowed from its claims. NULL: the claim is absent. */
typedef struct MaaGuestClaims {
        const char *attestation_type;      /* "azurevm" */
        const char *vm_id, *os_type, *os_distro, *policy_hash;
        bool has_secure_boot, is_secure_boot;
        const Json *runtime;               /* client payload, keys */
        const Json *isolation;             /* x-ms-isolation-tee of a confidential VM */
        const char *isolation_type;        /* "sevsnpvm", "tdxvm" */
        const char *compliance_status;     /* "azure-compliant-cvm" */
} MaaGuestClaims;
/* The token has to be about this request: its runtime names the key that was sent, and has the client payload. Errors: TOKEN_CLAIM_INVALID names a claim of another type, or another
 * attestation type; TOKEN_CNF_MISMATCH for another key; TOKEN_NONCE_MISMATCH for another payload. */
Err *maa_guest_claims(const Json *claims, const MaaGuestRequest *request, MaaGuestClaims *ret) _must_check_;
