/* The ephemeral key of guest attestation (attest/AzureGuest): the service encrypts its answer to a key that this TPM has, and that it can use only while the
 * firmware's PCRs hold what was attested.
 *
 *     RSA-2048, nameAlg SHA-256, decrypt | fixedTPM | fixedParent | sensitiveDataOrigin | noDA, no scheme, no symmetric algorithm, exponent 0,
 *     unique 256 zero bytes, authPolicy = PolicyPCR(SHA-256 bank, PCRs 0-7)
 *
 * It is a primary key of the NULL hierarchy, so nothing is kept: from one reset of the TPM to the next the same PCR values give the same key, and after a
 * reset, whatever is done, there is no such key any more. Each use makes it anew, which takes slow TPMs minutes. */
#pragma once

#include "tcg/evidence.h"
#include "tpm/context.h"

#define GUEST_KEY_BITS 2048
#define GUEST_KEY_BANK "sha256"
#define GUEST_KEY_PCRS UINT32_C(0xff)    /* 0-7 */
#define GUEST_KEY_CIPHERTEXT_MAX 512     /* what a TPM2B_PUBLIC_KEY_RSA holds; a ciphertext for this key has 256 bytes */
#define GUEST_KEY_PLAINTEXT_MAX 245      /* RFC 8017 §7.2.1: 11 less than the modulus */

/* Makes the key whose policy is these values, and has the AIK certify it, over nothing. Errors: those of the TPM. */
Err *guest_key_certify(TpmContext *context, ESYS_TR aik, Span aik_public, const PcrValues *values, EvidenceKey *ret) _must_check_;

/* Makes the same key and decrypts with it (RSAES-PKCS1-v1_5). *ret_plaintext is a secret.
 * Errors: INVALID_ARGUMENT (size), KEY_INVALID (it is not for this key), TPM_AUTHORIZATION (the PCRs do not have these values), TPM_PCR_UNSTABLE, those of
 * the TPM. */
Err *guest_key_decrypt(TpmContext *context, const PcrValues *values, Span ciphertext, Bytes *ret_plaintext) _must_check_;
