/* The request key of RequestKey=tpm: an RSA-2048 key that never leaves the TPM, made once and kept wrapped in the state directory beside the AIK.
 *
 * It signs attestation requests, and whatever `attestctl sign` is given, with PS256; see tcg/request-key.h for how, and why it may decrypt too. It is the
 * only key of the TPM that signs what a caller wants, and it signs finished SHA-256 digests alone. */
#pragma once

#include "config/config.h"
#include "tcg/evidence.h"
#include "tpm/context.h"

/* How this TPM makes PS256 signatures; learnt with the first one. */
typedef enum RequestKeySigning { REQUEST_KEY_UNTRIED, REQUEST_KEY_TPM_PADS, REQUEST_KEY_WE_PAD } RequestKeySigning;

typedef struct RequestKey {
        char *path;
        char *notice;      /* what happened to an unusable file, since the start of the process; NULL mostly */
        RequestKeySigning signing;
} RequestKey;

Err *request_key_init(const char *state_directory, RequestKey *ret) _must_check_;
void request_key_done(RequestKey *key);

/* Makes the key where there is no file. That takes a slow TPM longer than a quote may, so it is done before one is asked for. */
Err *request_key_prepare(RequestKey *key, TpmContext *context) _must_check_;
/* Loads the key, making it first where there is none; see own-key.h. ret_object gets a transient object, *ret_public the TPMT_PUBLIC. */
Err *request_key_load(RequestKey *key, TpmContext *context, TpmObject *ret_object, Bytes *ret_public) _must_check_;
/* A PS256 signature with the loaded key over digest, verified. Errors: INVALID_ARGUMENT (no SHA-256 digest), those of the TPM. */
Err *request_key_sign(RequestKey *key, TpmContext *context, ESYS_TR object, Span public, Span digest, Bytes *ret_signature) _must_check_;

/* TPM2_Certify: aik's word that object is in its TPM, in answer to qualifying. *ret gets a copy of public, and what was checked. */
Err *key_certify(TpmContext *context, ESYS_TR aik, Span aik_public, ESYS_TR object, Span public, Span qualifying, EvidenceKey *ret) _must_check_;

/* The keys that OtherKeys= names: "0x81000010" is certified, "0x81000011:plain" not. certify empty: none is. */
Err *other_keys_collect(TpmContext *context, const char *setting, ESYS_TR aik, Span aik_public, Span qualifying, Evidence *evidence) _must_check_;
