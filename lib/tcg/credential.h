/* A secret that only one TPM can read, and only while it holds one key: TPM2_MakeCredential in software.
 *
 * A certificate authority encrypts a secret to an endorsement key, bound to the name of an attestation key. The TPM gives the secret up
 * (TPM2_ActivateCredential) only if it has the endorsement key and a key of that name, so whoever brings the secret back has proved that both
 * are in one TPM. TPM 2.0 Part 1 §24 (the credential), §11.4.10 (KDFa, KDFe), B.10.3 (RSA), C.6.3 (ECC).
 *
 *     TPM2B_ID_OBJECT         u16 size | u16 size, HMAC over what follows and the name | AES-CFB of (u16 size, secret)
 *     TPM2B_ENCRYPTED_SECRET  u16 size | RSA: OAEP of the seed  or  ECC: u16 size, x | u16 size, y  of the ephemeral key */
#pragma once

#include <openssl/evp.h>

#include "tcg/quote.h"

#define CREDENTIAL_SECRET_MIN 16

/* Can a credential be made for that TPMT_PUBLIC? It must be a restricted decryption key that never left its TPM, RSA-2048 and more or P-256 or
 * P-384, with AES-CFB. Error: KEY_INVALID naming what it lacks, QUOTE_MALFORMED. */
Err *credential_check_key(Span ek_public) _must_check_;

/* secret has at most as many bytes as a digest of the endorsement key's name algorithm. Errors: those above, INVALID_ARGUMENT. */
Err *credential_make(Span ek_public, Span aik_name, Span secret, Bytes *ret_id_object, Bytes *ret_encrypted_secret) _must_check_;

/* What the former draws at random, given: for comparing with others' results. */
typedef struct CredentialRandom {
        Span seed;               /* RSA: as many bytes as a digest of the name algorithm */
        EVP_PKEY *ephemeral;     /* ECC: of the endorsement key's curve */
} CredentialRandom;
Err *credential_make_with(Span ek_public, Span aik_name, Span secret, const CredentialRandom *random, Bytes *ret_id_object,
                          Bytes *ret_encrypted_secret) _must_check_;
