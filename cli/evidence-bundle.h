/* attestctl evidence collect and replay: a bundle out of this machine, and a verdict on one from anywhere. */
#pragma once

#include "base/bytes.h"

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
