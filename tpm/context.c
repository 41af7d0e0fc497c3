/* See context.h. */
#include "tpm/context.h"

#include <stdio.h>
#include <time.h>

#include <tss2/tss2_rc.h>
#include <tss2/tss2_tctildr.h>

#include "base/bytes.h"
#include "tpm/leftovers.h"

/* ESYS itself submits 5 times without a pause. A self-test or a busy TPM may need more: 20 ms, doubled up to 1.28 s, 2.5 s in all. */
#define RETRIES_MAX 7
#define RETRY_FIRST_NSEC (20 * 1000 * 1000L)

Err *tpm_context_new(const char *tcti_conf, TpmContext **ret) {
        /* A user who set it wants to see it. */
        if (setenv("TSS2_LOG", "all+none", 0) < 0)
                return err_oom();
        _cleanup_(tpm_context_freep) TpmContext *context = calloc(1, sizeof(TpmContext));
        if (!context)
                return err_oom();
        TRY(string_copy(tcti_conf, &context->tcti_conf));
        context->has_resource_manager = tcti_has_resource_manager(tcti_conf);
        context->is_suspect = true;
        *ret = steal_ptr(&context);
        return NULL;
}

static void close_connection(TpmContext *context) {
        /* Esys_Finalize() frees host memory only and leaves the TCTI alone. */
        Esys_Finalize(&context->esys);
        if (context->tcti)
                Tss2_TctiLdr_Finalize(&context->tcti);
}

TpmContext *tpm_context_free(TpmContext *context) {
        if (!context)
                return NULL;
        close_connection(context);
        err_free(context->untold);
        free(context->tcti_conf);
        free(context);
        return NULL;
}

static Err *open_connection(TpmContext *context) {
        TSS2_RC rc = Tss2_TctiLdr_Initialize(context->tcti_conf, &context->tcti);
        if (rc != TSS2_RC_SUCCESS)
                return err_new_native(ERR_TPM_ABSENT, ERR_DOMAIN_TSS, rc, "no TPM at %s: %s (rc 0x%x)", context->tcti_conf, Tss2_RC_Decode(rc), rc);
        rc = Esys_Initialize(&context->esys, context->tcti, NULL);
        if (rc != TSS2_RC_SUCCESS)
                return err_new_native(ERR_TPM_ABSENT, ERR_DOMAIN_TSS, rc, "no use of the TPM at %s: %s (rc 0x%x)", context->tcti_conf,
                                      Tss2_RC_Decode(rc), rc);
        return NULL;
}

Err *tpm_context_acquire(TpmContext *context) {
        if (context->is_broken)
                tpm_context_release(context);
        if (context->esys)
                return NULL;
        Err *err = open_connection(context);
        if (!err && context->is_suspect && !context->has_resource_manager)
                err = leftovers_flush(context);
        if (err) {
                close_connection(context);
                return err;
        }
        context->is_suspect = false;
        return NULL;
}

void tpm_context_release(TpmContext *context) {
        if (context->is_broken || !context->has_resource_manager)
                close_connection(context);
        context->is_broken = false;
        context->untold = err_free(context->untold);
}

/* NAME[:CONF], where NAME is device, tabrmd, swtpm, …, also as libtss2-tcti-NAME.so[.N]. */
static Span tcti_name(const char *conf) {
        static const char prefix[] = "libtss2-tcti-";
        if (strncmp(conf, prefix, strlen(prefix)) == 0)
                conf += strlen(prefix);
        return span_make(conf, strcspn(conf, ":."));
}

static const char *tcti_argument(const char *conf) {
        const char *colon = strchr(conf, ':');
        return colon && colon[1] ? colon + 1 : NULL;
}

bool tcti_is_device(const char *conf) {
        return span_equal_string(tcti_name(conf), "device");
}

bool tcti_has_resource_manager(const char *conf) {
        if (span_equal_string(tcti_name(conf), "tabrmd"))
                return true;
        if (!tcti_is_device(conf))
                return false;
        /* Without a path the library tries /dev/tpmrm0 first. */
        const char *path = tcti_argument(conf);
        if (!path)
                return true;
        const char *slash = strrchr(path, '/');
        return strncmp(slash ? slash + 1 : path, "tpmrm", strlen("tpmrm")) == 0;
}

/* The TPM's own codes come without a layer, or through a resource manager with its layer for them (TSS 2.0 Overview §5). */
static bool is_tpm_layer(TSS2_RC rc) {
        TSS2_RC layer = rc & TSS2_RC_LAYER_MASK;
        return layer == TSS2_TPM_RC_LAYER || layer == TSS2_RESMGR_TPM_RC_LAYER;
}

#define RC_FORMAT_ONE TPM2_RC_FMT1
#define RC_FORMAT_ONE_CODE (TPM2_RC_FMT1 | 0x3f)

TSS2_RC tpm_rc_base(TSS2_RC rc) {
        if (!is_tpm_layer(rc))
                return 0;
        TSS2_RC code = rc & ~(TSS2_RC) TSS2_RC_LAYER_MASK;
        return code & RC_FORMAT_ONE ? code & RC_FORMAT_ONE_CODE : code;
}

bool tpm_rc_is_parameter(TSS2_RC rc) {
        return is_tpm_layer(rc) && (rc & RC_FORMAT_ONE) && (rc & TPM2_RC_P);
}

/* A TPM that has failed would not have loaded the key just before. */
bool tpm_rc_is_refusal(TSS2_RC rc) {
        return tpm_rc_is_parameter(rc) || tpm_rc_base(rc) == TPM2_RC_FAILURE;
}

static ErrCode code_of(TSS2_RC rc) {
        switch (tpm_rc_base(rc)) {
        case TPM2_RC_OBJECT_MEMORY:
        case TPM2_RC_SESSION_MEMORY:
        case TPM2_RC_MEMORY:
        case TPM2_RC_OBJECT_HANDLES:
        case TPM2_RC_SESSION_HANDLES:
                return ERR_TPM_OUT_OF_MEMORY;
        case TPM2_RC_AUTH_FAIL:
        case TPM2_RC_BAD_AUTH:
        case TPM2_RC_AUTH_MISSING:
        case TPM2_RC_AUTH_TYPE:
        case TPM2_RC_AUTH_UNAVAILABLE:
        case TPM2_RC_LOCKOUT:
        case TPM2_RC_NV_AUTHORIZATION:
        case TPM2_RC_POLICY_FAIL:
                return ERR_TPM_AUTHORIZATION;
        }
        return ERR_TPM_COMMAND_FAILED;
}

Err *tpm_error(TpmContext *context, TSS2_RC rc, const char *command) {
        if (rc == TSS2_RC_SUCCESS)
                return NULL;
        if (is_tpm_layer(rc))
                return err_new_native(code_of(rc), ERR_DOMAIN_TSS, rc, "%s failed: %s (rc 0x%x)", command, Tss2_RC_Decode(rc), rc);
        context->is_broken = context->is_suspect = true;
        if (context->untold)
                return steal_ptr(&context->untold);
        TSS2_RC layer = rc & TSS2_RC_LAYER_MASK, base = rc & ~(TSS2_RC) TSS2_RC_LAYER_MASK;
        if (base == TSS2_BASE_RC_MEMORY)
                return err_oom();
        if (layer == TSS2_TCTI_RC_LAYER)
                return err_new_native(ERR_TPM_ABSENT, ERR_DOMAIN_TSS, rc, "the connection to the TPM at %s broke during %s: %s (rc 0x%x)",
                                      context->tcti_conf, command, Tss2_RC_Decode(rc), rc);
        return err_new_native(ERR_TPM_COMMAND_FAILED, ERR_DOMAIN_TSS, rc, "%s failed on the way to the TPM: %s (rc 0x%x)", command,
                              Tss2_RC_Decode(rc), rc);
}

bool tpm_should_retry(TSS2_RC rc, unsigned *n_tries) {
        TSS2_RC base = tpm_rc_base(rc);
        if (base != TPM2_RC_RETRY && base != TPM2_RC_YIELDED && base != TPM2_RC_TESTING && base != TPM2_RC_NV_RATE)
                return false;
        if (*n_tries >= RETRIES_MAX)
                return false;
        long nsec = RETRY_FIRST_NSEC << *n_tries;
        struct timespec pause = { .tv_sec = nsec / 1000000000L, .tv_nsec = nsec % 1000000000L };
        nanosleep(&pause, NULL);
        (*n_tries)++;
        return true;
}

void tpm_object_done(TpmObject *object) {
        TpmContext *context = object->context;
        /* Over a broken connection nothing can be flushed: the end of the connection or the look for leftovers does it. */
        if (object->handle == ESYS_TR_NONE || !context || !context->esys || context->is_broken)
                return;
        Err *err = object->is_persistent ? tpm_error(context, Esys_TR_Close(context->esys, &object->handle), "forgetting a handle")
                                         : TPM_CALL(context, "TPM2_FlushContext", Esys_FlushContext(context->esys, object->handle));
        /* There is no one to tell here; the next connection looks for what stayed behind. */
        if (err)
                context->is_broken = context->is_suspect = true;
        err_free(context->untold);
        context->untold = err;
        object->handle = ESYS_TR_NONE;
}

Err *tpm_policy_session_start(TpmContext *context, TPMI_ALG_HASH hash, TpmObject *ret) {
        const TPMT_SYM_DEF none = { .algorithm = TPM2_ALG_NULL };
        TRY(TPM_CALL(context, "TPM2_StartAuthSession",
                     Esys_StartAuthSession(context->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, NULL, TPM2_SE_POLICY,
                                           &none, hash, &ret->handle)));
        return tpm_error(context, Esys_TRSess_SetAttributes(context->esys, ret->handle, TPMA_SESSION_CONTINUESESSION, 0xff), "setting up a session");
}

Err *tpm_get_property(TpmContext *context, uint32_t property, uint32_t *ret_value, bool *ret_exists) {
        TPMI_YES_NO more;
        _cleanup_(freep) TPMS_CAPABILITY_DATA *data = NULL;
        TRY(TPM_CALL(context, "TPM2_GetCapability of a property",
                     Esys_GetCapability(context->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_TPM_PROPERTIES, property, 1, &more,
                                        &data)));
        const TPML_TAGGED_TPM_PROPERTY *list = &data->data.tpmProperties;
        /* The TPM answers with the next higher property where it lacks this one. */
        *ret_exists = list->count > 0 && list->tpmProperty[0].property == property;
        *ret_value = *ret_exists ? list->tpmProperty[0].value : 0;
        return NULL;
}

Err *tpm_get_handles(TpmContext *context, uint32_t first, TPM2_HANDLE ret_handles[TPM_HANDLES_MAX], size_t *ret_n) {
        size_t n = 0;
        TPMI_YES_NO more = TPM2_YES;
        while (more) {
                _cleanup_(freep) TPMS_CAPABILITY_DATA *data = NULL;
                TRY(TPM_CALL(context, "TPM2_GetCapability of handles",
                             Esys_GetCapability(context->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_HANDLES, first,
                                                TPM2_MAX_CAP_HANDLES, &more, &data)));
                const TPML_HANDLE *list = &data->data.handles;
                if (list->count == 0)
                        break;
                for (uint32_t i = 0; i < list->count; i++) {
                        if (n >= TPM_HANDLES_MAX)
                                return err_new(ERR_TPM_COMMAND_FAILED, "the TPM lists more than %u handles from 0x%x on", TPM_HANDLES_MAX, first);
                        ret_handles[n++] = list->handle[i];
                }
                first = list->handle[list->count - 1] + 1;
        }
        *ret_n = n;
        return NULL;
}

Err *tpm_handle_exists(TpmContext *context, TPM2_HANDLE handle, bool *ret) {
        TPMI_YES_NO more;
        _cleanup_(freep) TPMS_CAPABILITY_DATA *data = NULL;
        TRY(TPM_CALL(context, "TPM2_GetCapability of handles",
                     Esys_GetCapability(context->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_HANDLES, handle, 1, &more, &data)));
        *ret = data->data.handles.count > 0 && data->data.handles.handle[0] == handle;
        return NULL;
}
