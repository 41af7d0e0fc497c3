/* The attestation key of our own: made once in the TPM, kept wrapped in the state directory, loaded for each use.
 *
 * It is an RSA-2048 restricted signing key (RSASSA, SHA-256) under a storage primary key of the owner hierarchy. The primary comes from
 * the TCG's standard template, so the TPM derives the same one each time and nothing has to be kept for it; no persistent handle is taken. */
#pragma once

#include "tpm/context.h"

typedef struct OwnKey {
        char *path;      /* of the wrapped key */
        char *notice;    /* what happened to an unusable file, since the start of the process; NULL mostly */
} OwnKey;

Err *own_key_init(const char *state_directory, OwnKey *ret) _must_check_;
void own_key_done(OwnKey *key);

/* Loads the key, making it first where there is none. A file that this TPM cannot load (another TPM's, or from before TPM2_Clear), or
 * that holds no attestation key, is renamed to end in .old, and a new key is made. ret_object gets a transient object. */
Err *own_key_load(OwnKey *key, TpmContext *context, TpmObject *ret_object) _must_check_;
