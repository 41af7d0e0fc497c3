/* See nv.h. TPM 2.0 Part 3 §31.3 (TPM2_NV_DefineSpace), §31.7 (TPM2_NV_Write), §31.13 (TPM2_NV_Read), Part 2 §13.4 (attributes). */
#include "tpm/nv.h"

#include "base/writer.h"

#define CHUNK_DEFAULT 512 /* every TPM can do that much */

static Err *chunk_size(TpmContext *context, uint16_t *ret) {
        uint32_t value;
        bool exists;
        TRY(tpm_get_property(context, TPM2_PT_NV_BUFFER_MAX, &value, &exists));
        *ret = !exists || value == 0 ? CHUNK_DEFAULT : (uint16_t) MIN_OF(value, (uint32_t) TPM2_MAX_NV_BUFFER_SIZE);
        return NULL;
}

static Err *read_chunks(TpmContext *context, ESYS_TR index, const TPMS_NV_PUBLIC *public, Bytes *ret) {
        _cleanup_writer_ Writer writer = {};
        uint16_t chunk, offset = 0;
        ESYS_TR authority = public->attributes & TPMA_NV_AUTHREAD ? index : ESYS_TR_RH_OWNER;
        TRY(chunk_size(context, &chunk));
        while (offset < public->dataSize) {
                _cleanup_free_ TPM2B_MAX_NV_BUFFER *data = NULL;
                uint16_t wanted = (uint16_t) MIN_OF(public->dataSize - offset, chunk);
                TRY(TPM_CALL(context, "TPM2_NV_Read",
                             Esys_NV_Read(context->esys, authority, index, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, wanted, offset, &data)));
                if (data->size != wanted)
                        return err_new(ERR_TPM_COMMAND_FAILED, "TPM2_NV_Read gave %u bytes instead of %u at offset %u", data->size, wanted, offset);
                writer_span(&writer, span_make(data->buffer, data->size));
                offset = (uint16_t) (offset + wanted);
        }
        return writer_finish(&writer, ret);
}

static Err *read_existing(TpmContext *context, TPM2_HANDLE index, NvState *ret_state, Bytes *ret_data) {
        _cleanup_tpm_object_ TpmObject object = { .context = context, .handle = ESYS_TR_NONE, .is_persistent = true };
        _cleanup_free_ TPM2B_NV_PUBLIC *public = NULL;
        TRY(TPM_CALL(context, "looking up the NV index",
                     Esys_TR_FromTPMPublic(context->esys, index, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &object.handle)));
        TRY(TPM_CALL(context, "TPM2_NV_ReadPublic",
                     Esys_NV_ReadPublic(context->esys, object.handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &public, NULL)));
        if (!(public->nvPublic.attributes & TPMA_NV_WRITTEN)) {
                *ret_state = NV_UNWRITTEN;
                return NULL;
        }
        TRY(read_chunks(context, object.handle, &public->nvPublic, ret_data));
        *ret_state = NV_OK;
        return NULL;
}

Err *nv_read(TpmContext *context, TPM2_HANDLE index, NvState *ret_state, Bytes *ret_data) {
        bool exists;
        TRY(tpm_handle_exists(context, index, &exists));
        if (exists)
                return err_wrap(read_existing(context, index, ret_state, ret_data), "reading NV index 0x%08x", index);
        *ret_state = NV_ABSENT;
        return NULL;
}

static Err *define(TpmContext *context, TPM2_HANDLE index, uint16_t size, ESYS_TR *ret) {
        static const TPM2B_AUTH empty;
        const TPM2B_NV_PUBLIC public = {
                .nvPublic = {
                        .nvIndex = index,
                        .nameAlg = TPM2_ALG_SHA256,
                        .attributes = TPMA_NV_OWNERWRITE | TPMA_NV_OWNERREAD | TPMA_NV_AUTHWRITE | TPMA_NV_AUTHREAD | TPMA_NV_NO_DA,
                        .dataSize = size,
                },
        };
        return TPM_CALL(context, "TPM2_NV_DefineSpace",
                        Esys_NV_DefineSpace(context->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &empty, &public, ret));
}

static Err *write_existing(TpmContext *context, ESYS_TR index, Span data) {
        _cleanup_free_ TPM2B_NV_PUBLIC *public = NULL;
        TPM2B_MAX_NV_BUFFER buffer = { .size = (uint16_t) data.size };
        TRY(TPM_CALL(context, "TPM2_NV_ReadPublic", Esys_NV_ReadPublic(context->esys, index, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &public, NULL)));
        if (public->nvPublic.dataSize < data.size)
                return err_new(ERR_TPM_COMMAND_FAILED, "it holds %u bytes, %zu are to be written", public->nvPublic.dataSize, data.size);
        TPMA_NV attributes = public->nvPublic.attributes;
        if (!(attributes & (TPMA_NV_AUTHWRITE | TPMA_NV_OWNERWRITE)))
                return err_new(ERR_NOT_SUPPORTED, "its attributes 0x%08x let neither the owner nor its own authorization write it", attributes);
        ESYS_TR authority = attributes & TPMA_NV_AUTHWRITE ? index : ESYS_TR_RH_OWNER;
        for (size_t i = 0; i < data.size; i++)
                buffer.buffer[i] = data.data[i];
        return TPM_CALL(context, "TPM2_NV_Write",
                        Esys_NV_Write(context->esys, authority, index, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &buffer, 0));
}

static Err *write_index(TpmContext *context, TPM2_HANDLE index, Span data) {
        _cleanup_tpm_object_ TpmObject object = { .context = context, .handle = ESYS_TR_NONE, .is_persistent = true };
        bool exists;
        if (data.size > TPM2_MAX_NV_BUFFER_SIZE)
                return err_new(ERR_INVALID_ARGUMENT, "%zu bytes are more than one command can write", data.size);
        TRY(tpm_handle_exists(context, index, &exists));
        if (exists)
                TRY(TPM_CALL(context, "looking up the NV index",
                             Esys_TR_FromTPMPublic(context->esys, index, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &object.handle)));
        else
                TRY(define(context, index, (uint16_t) data.size, &object.handle));
        return write_existing(context, object.handle, data);
}

Err *nv_write(TpmContext *context, TPM2_HANDLE index, Span data) {
        return err_wrap(write_index(context, index, data), "writing NV index 0x%08x", index);
}
