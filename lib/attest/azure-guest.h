/* Attestation of an Azure VM to any instance, also one that is not its owner's, by its vTPM. Sources: REST specification 2022-08-01 of Microsoft Azure Attestation,
 * AttestAzureGuest; docs/azure-guest.md says what else is known.
 *
 * The caller's TPM code makes the evidence: a quote over PCRs of the SHA-256 bank with empty qualifying data, by an RSA attestation key that has a certificate (Azure: handle 0x81000003,
 * certificate in NV 0x01C101D0), and an RSA key that decrypts and cannot leave the TPM, certified by the former, with empty qualifying data too. The answer is encrypted to that key, so
 * that this TPM alone can open it. There is no challenge: who needs to know that a token is of now puts a nonce into the payload. */
#pragma once

#include "client.h"

ATTEST_BEGIN

/* What goes to the service. All data is copied; sizes are in bytes; one thread at a time. */
typedef struct AttestAzureGuest AttestAzureGuest;
AttestError *attest_azure_guest_new(AttestAzureGuest **ret) ATTEST_MUST_CHECK;
AttestAzureGuest *attest_azure_guest_free(AttestAzureGuest *guest);

/* The attestation key: TPMT_PUBLIC (TPM 2.0 Part 2 §12.2.4), and its certificate, DER. */
AttestError *attest_azure_guest_set_aik(AttestAzureGuest *guest, const void *public_area, size_t public_size, const void *certificate,
                                        size_t certificate_size) ATTEST_MUST_CHECK;
/* TPMS_ATTEST and TPMT_SIGNATURE, as TPM2_Quote gives them. */
AttestError *attest_azure_guest_set_quote(AttestAzureGuest *guest, const void *quote, size_t quote_size, const void *signature,
                                          size_t signature_size) ATTEST_MUST_CHECK;
/* A PCR of the SHA-256 bank that the quote covers. Error: InvalidArgument for an index above 23. */
AttestError *attest_azure_guest_set_pcr(AttestAzureGuest *guest, unsigned index, const unsigned char digest[32]) ATTEST_MUST_CHECK;
/* The key that the answer is for: TPMT_PUBLIC, and what TPM2_Certify gives, TPMS_ATTEST and TPMT_SIGNATURE. */
AttestError *attest_azure_guest_set_encryption_key(AttestAzureGuest *guest, const void *public_area, size_t public_size, const void *certification,
                                                   size_t certification_size, const void *signature, size_t signature_size) ATTEST_MUST_CHECK;
/* The firmware's event log (TCG PC Client Platform Firmware Profile 1.06 §10), raw. Default: none. */
AttestError *attest_azure_guest_set_boot_log(AttestAzureGuest *guest, const void *log, size_t size) ATTEST_MUST_CHECK;
/* What the VM says of its system; the service believes it. distro and build may be NULL: "Unknown". */
AttestError *attest_azure_guest_set_system(AttestAzureGuest *guest, const char *distro, const char *build, int64_t version_major,
                                           int64_t version_minor) ATTEST_MUST_CHECK;
/* Comes back in the token, and is compared. A name that is there already gets the new value. At most 16. Errors: InvalidArgument for an
 * empty name, LimitExceeded. */
AttestError *attest_azure_guest_add_payload(AttestAzureGuest *guest, const char *name, const char *value) ATTEST_MUST_CHECK;
/* Of a confidential VM: type "SevSnp" with JSON {SnpReport, VcekCertChain} for proof, or "Tdx" with a quote; and the paravisor's runtime claims, whose hash the report has.
 * Default: trusted launch. Error: InvalidArgument for another type. */
AttestError *attest_azure_guest_set_isolation(AttestAzureGuest *guest, const char *type, const void *proof, size_t proof_size, const void *runtime_data,
                                              size_t runtime_data_size) ATTEST_MUST_CHECK;

/* Called in the thread of the call below: TPM2_RSA_Decrypt with the encryption key, RSAES (PKCS #1 v1.5). *plaintext_size is the room first, at least 256 bytes, then what was taken of
 * it. The plaintext is a secret, and erased afterwards. An error ends the call, and is consumed. */
typedef AttestError *AttestDecrypt(void *userdata, const void *ciphertext, size_t size, void *plaintext, size_t *plaintext_size);

typedef struct AttestAzureGuestResult AttestAzureGuestResult;
/* POST attest/AzureGuest; blocks. Without Authorization, and with api-version 2022-08-01 unless the client has another. Errors: InvalidArgument where something of the above is missing,
 * NotSupported for keys other than RSA; those of the network (Service…, Timeout) and of decrypt; ServiceAnswerInvalid where the answer does not open; Token… where the token does
 * not hold, by the client's rules (a nonce of these is not for such tokens: it is in the payload); TokenCnfMismatch where it names another key, TokenNonceMismatch where it has another payload; Cancelled. */
AttestError *attest_client_attest_azure_guest(AttestClient *client, const AttestAzureGuest *guest, AttestDecrypt *decrypt, void *userdata,
                                              AttestAzureGuestResult **ret) ATTEST_MUST_CHECK;
AttestAzureGuestResult *attest_azure_guest_result_free(AttestAzureGuestResult *result);

/* Borrowed, all of them: they live as long as the result. NULL, or false, where the token does not say. */
const AttestToken *attest_azure_guest_result_get_token(const AttestAzureGuestResult *result);
const char *attest_azure_guest_result_get_attestation_type(const AttestAzureGuestResult *result);    /* "azurevm" */
const char *attest_azure_guest_result_get_vm_id(const AttestAzureGuestResult *result);
const char *attest_azure_guest_result_get_os_type(const AttestAzureGuestResult *result);
const char *attest_azure_guest_result_get_os_distro(const AttestAzureGuestResult *result);
const char *attest_azure_guest_result_get_policy_hash(const AttestAzureGuestResult *result);          /* base64url */
bool attest_azure_guest_result_get_secure_boot(const AttestAzureGuestResult *result, bool *ret);
const char *attest_azure_guest_result_get_runtime(const AttestAzureGuestResult *result);              /* JSON text: client-payload, keys */
const char *attest_azure_guest_result_get_isolation(const AttestAzureGuestResult *result);            /* JSON text, of a confidential VM */
const char *attest_azure_guest_result_get_isolation_type(const AttestAzureGuestResult *result);       /* "sevsnpvm", "tdxvm" */
const char *attest_azure_guest_result_get_compliance_status(const AttestAzureGuestResult *result);    /* "azure-compliant-cvm" */

ATTEST_END
