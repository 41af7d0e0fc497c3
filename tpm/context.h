/* The way to the TPM: one TCTI and one ESYS context over it, opened when needed and thrown away after every error that did not
 * come from the TPM itself (tpm2-tss leaves the state machine of ESYS undefined then, and the other end may have restarted).
 *
 * Where nobody manages the TPM's resources for us (swtpm, /dev/tpm0) the connection is exclusive, so it is held only while a request
 * is served; with a resource manager it stays open. What a predecessor left in such a TPM when it was killed is flushed when the
 * connection is made for the first time or after a failure: leftovers.h. */
#pragma once

#include <stdbool.h>

#include <tss2/tss2_esys.h>

#include "base/error.h"

typedef struct TpmContext {
        char *tcti_conf;
        TSS2_TCTI_CONTEXT *tcti;
        ESYS_CONTEXT *esys;                /* NULL while closed */
        bool has_resource_manager;
        bool is_suspect;                   /* leftovers may be in the TPM: look at the next opening */
        bool is_broken;                    /* a non-TPM error happened: close before the next use */
        Err *untold;                       /* of a flush: the error of whatever fails after it on the same connection */
        uint32_t n_leftovers;              /* flushed since the start of the process */
} TpmContext;

/* Opens nothing yet. Silences the logging of tpm2-tss, so it must come before any other TSS call. */
Err *tpm_context_new(const char *tcti_conf, TpmContext **ret) _must_check_;
TpmContext *tpm_context_free(TpmContext *context);
DEFINE_CLEANUP(TpmContext, tpm_context_free)

/* Makes sure that there is a usable connection. Errors: TPM_ABSENT, and those of flushing leftovers. */
Err *tpm_context_acquire(TpmContext *context) _must_check_;
/* End of a request: closes the connection if it is broken, or exclusive. */
void tpm_context_release(TpmContext *context);

/* Does that TCTI configuration string name a TPM whose transient objects and sessions are managed for each client? */
bool tcti_has_resource_manager(const char *conf);
/* Is it a device node of the kernel (whose own resource manager may have saved sessions in the same TPM)? */
bool tcti_is_device(const char *conf);

/* A TPM response code in short form: layer stripped if it is one of the TPM's own, handle/parameter/session number and position
 * masked out of format-one codes. 0 if the error is none of the TPM's. */
TSS2_RC tpm_rc_base(TSS2_RC rc);
/* Did the TPM find a parameter (not a handle or session) of the command wrong? */
bool tpm_rc_is_parameter(TSS2_RC rc);
/* Is it about what a key was to decrypt? A parameter; or FAILURE, which libtpms says of RSA ciphertexts that do not decrypt, and goes on working. */
bool tpm_rc_is_refusal(TSS2_RC rc);
/* NULL for success, else the error with layer, number and text; command as in "TPM2_Quote". Marks the context broken where needed.
 * Codes: TPM_OUT_OF_MEMORY, TPM_AUTHORIZATION, TPM_COMMAND_FAILED, TPM_ABSENT (connection lost), NO_MEMORY. */
Err *tpm_error(TpmContext *context, TSS2_RC rc, const char *command) _must_check_;
/* Sleeps and says true while rc asks for another try and the bound is not reached. */
bool tpm_should_retry(TSS2_RC rc, unsigned *n_tries);

/* Evaluates an ESYS call, again while the TPM says RETRY, YIELDED, TESTING or asks to resubmit after NV_RATE; gives the Err. */
#define TPM_CALL(context, command, call)                                                                     \
        ({                                                                                                   \
                unsigned _n_tries = 0;                                                                       \
                TSS2_RC _rc;                                                                                 \
                do                                                                                           \
                        _rc = (call);                                                                        \
                while (tpm_should_retry(_rc, &_n_tries));                                                    \
                tpm_error(context, _rc, command);                                                            \
        })

/* An object in the TPM's volatile memory, flushed when it leaves its scope; a persistent one is only forgotten by ESYS. */
typedef struct TpmObject {
        TpmContext *context;
        ESYS_TR handle;
        bool is_persistent;
} TpmObject;
#define TPM_OBJECT_NONE { .handle = ESYS_TR_NONE }
void tpm_object_done(TpmObject *object);
#define _cleanup_tpm_object_ _cleanup_(tpm_object_done)

/* A policy session without a policy yet. It stays when it was used, so that flushing it is right on every path. hash: the name algorithm of the key. */
Err *tpm_policy_session_start(TpmContext *context, TPMI_ALG_HASH hash, TpmObject *ret) _must_check_;

/* Capabilities. Lists larger than one answer are put together from several. */
Err *tpm_get_property(TpmContext *context, uint32_t property, uint32_t *ret_value, bool *ret_exists) _must_check_;
#define TPM_HANDLES_MAX 512
Err *tpm_get_handles(TpmContext *context, uint32_t first, TPM2_HANDLE ret_handles[TPM_HANDLES_MAX], size_t *ret_n) _must_check_;
Err *tpm_handle_exists(TpmContext *context, TPM2_HANDLE handle, bool *ret) _must_check_;
