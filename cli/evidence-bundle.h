/* attestctl evidence collect and replay: a bundle out of this machine, and a verdict on one from anywhere. */
#pragma once

#include "maa/token.h"
#include "tcg/bundle.h"

#define BUNDLE_NONCE_MAX 64u   /* TPM2_Quote takes as much as a digest of the largest hash */

typedef struct BundleCommand {
        const char *output;           /* collect: a path, or "-" */
        const char *config_file;      /* collect: NULL: the standard places */
        const char *trust_anchors;    /* replay: roots of AIK certificates, PEM; NULL: the issuer is not judged */
        Bytes nonce;                  /* collect: empty: 32 random bytes; replay: empty: any */
        bool force;                   /* collect: an existing file may be replaced */
} BundleCommand;

/* Has the collector keep an attestation of the boot, before hibernation. */
Err *evidence_keep(const BundleCommand *command) _must_check_;
Err *evidence_collect(const BundleCommand *command) _must_check_;
/* Prints every check. *ret_verdict is the first rule that is broken, NULL if none is; the return value says that no verdict could be reached. */
Err *evidence_replay(const BundleCommand *command, const char *path, Err **ret_verdict) _must_check_;

/* For who else judges a bundle. path NULL: no anchors, *ret is untouched; token_trust_anchors_free(). */
Err *evidence_read_anchors(const char *path, STACK_OF(X509) **ret) _must_check_;
Err *evidence_read_bundle(const char *path, Bundle **ret) _must_check_;   /* "-": standard input */
