/* What attest/AzureGuest needs of the TPM (lib/maa/azure-guest.h): evidence without a challenge, and a key that its answer is closed for.
 *
 * The encryption key is a primary of the null hierarchy, as Microsoft's client makes it: the same template gives the same key until the TPM is reset, so nothing is kept between
 * the evidence and the answer. It decrypts while PCRs 0-7 of the SHA-256 bank are as they were, and for nobody who does not show them: TPM2_PolicyPCR is its only
 * authorization. */
#pragma once

#include "tpm/evidence.h"

#define GUEST_PCRS UINT32_C(0xff)
#define GUEST_CIPHERTEXT_MAX 512u

/* A quote over those PCRs with empty qualifying data, whatever Pcrs= says; the firmware's log; and as request key the encryption key, certified over nothing. Errors: TPM_BANK_MISSING
 * without a SHA-256 bank, TPM_PCR_UNSTABLE, those of the key and the TPM. */
Err *guest_collect(EvidenceMaker *maker, Evidence **ret) _must_check_;
/* RSAES-PKCS1-v1_5 (TPM 2.0 Part 1 annex B.2). The plaintext is a secret. Error: INVALID_ARGUMENT where the ciphertext is not for that key. */
Err *guest_decrypt(EvidenceMaker *maker, Span ciphertext, Bytes *ret_plaintext) _must_check_;
