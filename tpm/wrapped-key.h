/* Keys that stand wrapped in a file and are loaded for each use: made once in the TPM under a storage primary key of the owner hierarchy. The primary comes
 * from the TCG's standard template, so the TPM derives the same one each time and nothing has to be kept for it; no persistent handle is taken. */
#pragma once

#include "base/bytes.h"
#include "tpm/context.h"

#define WRAPPED_KEY_SUFFIX ".tpm2b"   /* of the paths given here */

typedef struct WrappedKind {
        const char *what;               /* "attestation key" */
        const char *name;               /* "rsa2048" */
        const char *setting;            /* that asks for it: "AikAlgorithm=rsa2048" */
        const TPM2B_PUBLIC *template;   /* NULL: keys of every kind that check() likes are loaded, none is made */
        ErrCode invalid;                /* of a file that holds no such key, or that this TPM will never load */
        Err *(*check)(Span tpmt_public);
} WrappedKind;

/* A transient object. */
Err *wrapped_key_make_primary(TpmContext *context, TpmObject *ret) _must_check_;
/* ret is empty where there is no file. Errors: IO, LIMIT_EXCEEDED. */
Err *wrapped_key_read(const char *path, Bytes *ret) _must_check_;
/* Makes the key and writes the file. Error: NOT_SUPPORTED where the TPM cannot make such a key. */
Err *wrapped_key_create(const WrappedKind *kind, const char *path, TpmContext *context, ESYS_TR primary, Bytes *ret_file) _must_check_;
/* Loads the file's content. Errors: kind->invalid, those of the TPM. */
Err *wrapped_key_load(const WrappedKind *kind, TpmContext *context, ESYS_TR primary, Span file, TpmObject *ret) _must_check_;
/* x.tpm2b -> x-XXXXXXXX.tpm2b.old, named by its content so that nothing is ever overwritten by something else. */
Err *wrapped_key_set_aside(const char *path, Span file, char **ret_aside) _must_check_;
/* All of it: loads the key of path, making it first where there is none; a file that is invalid is set aside, a new key is made, and *ret_notice (which may
 * have an older one) says so. */
Err *wrapped_key_obtain(const WrappedKind *kind, const char *path, TpmContext *context, TpmObject *ret_object, char **ret_notice) _must_check_;
