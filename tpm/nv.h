/* Reading and writing NV indices, with the empty authorization that certificates are stored under. */
#pragma once

#include "base/bytes.h"
#include "tpm/context.h"

typedef enum NvState {
        NV_OK,
        NV_ABSENT,
        NV_UNWRITTEN,    /* defined, but nobody wrote it yet */
} NvState;

/* All bytes of the index, in as many commands as the TPM's buffer wants. *ret_data is set where the state is NV_OK. */
Err *nv_read(TpmContext *context, TPM2_HANDLE index, NvState *ret_state, Bytes *ret_data) _must_check_;
/* Writes data from offset 0. Where there is no such index it is defined, by the owner, of data's size. Errors: those of the TPM; TPM_COMMAND_FAILED if an
 * index that exists has not room for data; NOT_SUPPORTED if neither the owner nor the index's own (empty) authorization may write it. */
Err *nv_write(TpmContext *context, TPM2_HANDLE index, Span data) _must_check_;
