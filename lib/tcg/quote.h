/* TPM 2.0 structures that a verifier reads: TPMS_ATTEST, TPMT_SIGNATURE, TPMT_PUBLIC (TPM 2.0 Part 2 §10.12, §11.3, §12.2),
 * and the checks that make a quote worth something (Part 3 §18.4). No TSS: everything through the bounded reader. */
#pragma once

#include <openssl/evp.h>

#include "tcg/pcr.h"

#define TPM_GENERATED_MAGIC UINT32_C(0xff544347)
#define TPM_ST_ATTEST_CERTIFY 0x8017
#define TPM_ST_ATTEST_QUOTE 0x8018
#define TPM_ALG_RSA 0x0001
#define TPM_ALG_RSASSA 0x0014
#define TPM_ALG_RSAPSS 0x0016
#define TPM_ALG_ECDSA 0x0018
#define TPM_ALG_ECC 0x0023
#define TPM_ECC_NIST_P256 0x0003
#define TPM_ALG_NULL 0x0010
#define TPM_ALG_AES 0x0006
#define TPM_ALG_CFB 0x0043

/* Spans borrow from the parsed input. */
typedef struct TpmAttest {
        uint32_t magic;
        uint16_t type;
        Span qualified_signer;
        Span extra_data;
        uint64_t clock;
        uint32_t reset_count, restart_count;
        uint8_t safe;
        uint64_t firmware_version;
        PcrSelection selection;    /* quotes */
        Span pcr_digest;           /* quotes */
        Span name, qualified_name; /* certify */
} TpmAttest;

/* Restarts of the TPM (TPM Resume, TPM Restart: Part 1 §12.2.3) from one statement of a key to a later one of the same resetCount; negative if the other
 * is the later one. In what a key signs that is in neither the endorsement nor the platform hierarchy, resetCount and restartCount each have a secret
 * constant of that key added, modulo 2^32 (Part 1, "Privacy Aspects of Clock"), so only equality and difference say something. */
int64_t tpm_attest_restarts(uint32_t from_restart_count, uint32_t to_restart_count);

/* Parses a TPMS_ATTEST of a quote or a certify; other types, a wrong magic and trailing bytes are refused.
 * Error: QUOTE_MALFORMED with the field and offset. PCRs above 23 selected: QUOTE_MALFORMED. */
Err *tpm_attest_parse(Span input, TpmAttest *ret) _must_check_;

typedef struct TpmSignature {
        uint16_t scheme;    /* TPM_ALG_RSASSA, RSAPSS, ECDSA */
        uint16_t hash_alg;
        Span rsa;           /* RSA: the signature value */
        Span r, s;          /* ECDSA */
} TpmSignature;
Err *tpm_signature_parse(Span input, TpmSignature *ret) _must_check_;

typedef struct TpmPublic {
        uint16_t type, name_alg;
        uint32_t attributes;       /* TPMA_OBJECT */
        Span auth_policy;
        uint16_t symmetric, symmetric_bits, symmetric_mode;   /* of storage keys; TPM_ALG_NULL, 0, 0 of others */
        uint16_t scheme, scheme_hash;
        uint16_t rsa_bits;
        uint32_t rsa_exponent;     /* 65537 where the structure says 0 */
        Span rsa_modulus;
        uint16_t curve;            /* TPM_ECC_CURVE */
        Span x, y;
} TpmPublic;
/* TPMA_OBJECT; the names differ from tpm2-tss so that both headers go together. */
#define TPM_OBJECT_FIXEDTPM (UINT32_C(1) << 1)
#define TPM_OBJECT_FIXEDPARENT (UINT32_C(1) << 4)
#define TPM_OBJECT_SENSITIVEDATAORIGIN (UINT32_C(1) << 5)
#define TPM_OBJECT_USERWITHAUTH (UINT32_C(1) << 6)
#define TPM_OBJECT_RESTRICTED (UINT32_C(1) << 16)
#define TPM_OBJECT_DECRYPT (UINT32_C(1) << 17)
#define TPM_OBJECT_SIGN (UINT32_C(1) << 18)
/* input is a TPMT_PUBLIC. */
Err *tpm_public_parse(Span input, TpmPublic *ret) _must_check_;
/* nameAlg || H(TPMT_PUBLIC) (Part 1 §16). */
Err *tpm_public_name(Span tpmt_public, Bytes *ret) _must_check_;
Err *tpm_public_to_pkey(const TpmPublic *public, EVP_PKEY **ret) _must_check_;

/* Verifies signature over H(attest) with key. Errors: QUOTE_SIGNATURE_INVALID, QUOTE_MALFORMED. */
Err *tpm_signature_verify(const TpmSignature *signature, Span attest, EVP_PKEY *key) _must_check_;
/* The same for a raw RSA PKCS#1 v1.5 or DER ECDSA value of that hash. */
Err *tpm_signature_verify_raw(Span raw_signature, uint16_t hash_alg, Span attest, EVP_PKEY *key) _must_check_;

/* Does the attestation structure say that the key with that public area (TPMT_PUBLIC) is in the TPM of key, in answer to qualifying? Parse, magic and type,
 * signature, extraData, and the attested name, which is nameAlg || H(public). Errors: QUOTE_MALFORMED, QUOTE_SIGNATURE_INVALID, QUOTE_NONCE_MISMATCH,
 * KEY_INVALID where it is about another key. */
Err *certify_verify(Span attest, Span tpmt_signature, EVP_PKEY *key, Span qualifying, Span tpmt_public) _must_check_;

/* All of it: parse, magic and type, signature, extraData == qualifying, pcrDigest of values over the quote's own selection, and
 * that selection == that of values. ret_attest may be NULL. Errors: QUOTE_* as named. */
Err *quote_verify(Span attest, Span tpmt_signature, EVP_PKEY *key, Span qualifying, const PcrValues *values,
                  TpmAttest *ret_attest) _must_check_;
/* Does one bank of the selection have all PCRs of the mask? Error: QUOTE_PCR_MISMATCH. */
Err *quote_check_covers(const PcrSelection *selection, uint32_t required_pcrs) _must_check_;
