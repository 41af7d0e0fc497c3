/* Attestation keys that stand wrapped in a file and are loaded for each use.
 *
 * The one of our own is made once in the TPM and kept in the state directory: a restricted signing key (RSASSA with SHA-256; ECDSA with SHA-256 on
 * P-256 and SHA-384 on P-384), kept as wrapped-key.h says.
 *
 * Each algorithm has a file of its own (aik.tpm2b for RSA-2048, aik-ecc-p256.tpm2b …): whoever tries another one and goes back has the key, and
 * with it the identity and the certificates, that he had before. */
#pragma once

#include "config/config.h"
#include "tpm/context.h"

typedef struct OwnKey {
        AikAlgorithm algorithm;
        char *path;      /* of the wrapped key */
        char *certificate_path;   /* of the certificate that an enrolment brought, beside it */
        char *notice;    /* what happened to an unusable file, since the start of the process; NULL mostly */
} OwnKey;

Err *own_key_init(const char *state_directory, AikAlgorithm algorithm, OwnKey *ret) _must_check_;
void own_key_done(OwnKey *key);

/* Loads the key, making it first where there is none. A file that this TPM cannot load (another TPM's, or from before TPM2_Clear), or
 * that holds no attestation key of the algorithm, is renamed to end in .old, and a new key is made. ret_object gets a transient object.
 * Error: NOT_SUPPORTED where the TPM cannot make a key of the algorithm. */
Err *own_key_load(OwnKey *key, TpmContext *context, TpmObject *ret_object) _must_check_;

/* Loads somebody else's file, which is never touched: TPM2B_PUBLIC and TPM2B_PRIVATE, one behind the other, of a key below the same storage primary.
 * Errors: TPM_AIK_MISSING where there is no file, TPM_AIK_INVALID. */
Err *own_key_load_file(const char *path, TpmContext *context, TpmObject *ret_object) _must_check_;
