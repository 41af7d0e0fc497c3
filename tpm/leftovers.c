/* See leftovers.h.
 *
 * TPM2_FlushContext is written by hand, because ESYS flushes only what it can describe, and some leftovers cannot be described (sequence
 * objects have no public area):
 *
 *     u16 TPM_ST_NO_SESSIONS | u32 14 | u32 TPM_CC_FlushContext | u32 handle          big endian, TPM 2.0 Part 3 §28.4
 *     answer: u16 tag | u32 10 | u32 response code */
#include "tpm/leftovers.h"

#include "base/reader.h"
#include "base/writer.h"

/* TPM 2.0 Part 2 §7.2; tpm2-tss shifts a signed number into the sign bit for them. */
#define TRANSIENT_FIRST UINT32_C(0x80000000)
#define LOADED_SESSION_FIRST UINT32_C(0x02000000)
#define SAVED_SESSION_FIRST UINT32_C(0x03000000)

#define FLUSH_COMMAND_SIZE 14
#define ANSWER_SIZE_MAX 4096

static TSS2_RC transmit_flush(TpmContext *context, Span command) {
        uint8_t answer[ANSWER_SIZE_MAX];
        size_t size = sizeof(answer);
        TSS2_RC rc = Tss2_Tcti_Transmit(context->tcti, command.size, command.data);
        if (rc == TSS2_RC_SUCCESS)
                rc = Tss2_Tcti_Receive(context->tcti, &size, answer, TSS2_TCTI_TIMEOUT_BLOCK);
        if (rc != TSS2_RC_SUCCESS)
                return rc;
        Reader reader = reader_make(span_make(answer, size));
        (void) reader_u16be(&reader, "tag");
        (void) reader_u32be(&reader, "responseSize");
        rc = reader_u32be(&reader, "responseCode");
        return reader_failed(&reader) ? TSS2_TCTI_RC_MALFORMED_RESPONSE : rc;
}

static Err *flush_one(TpmContext *context, TPM2_HANDLE handle) {
        _cleanup_writer_ Writer writer = {};
        _cleanup_bytes_ Bytes command = {};
        writer_u16be(&writer, TPM2_ST_NO_SESSIONS);
        writer_u32be(&writer, FLUSH_COMMAND_SIZE);
        writer_u32be(&writer, TPM2_CC_FlushContext);
        writer_u32be(&writer, handle);
        TRY(writer_finish(&writer, &command));
        TRY(TPM_CALL(context, "TPM2_FlushContext", transmit_flush(context, bytes_span(&command))));
        context->n_leftovers++;
        return NULL;
}

static Err *flush_range(TpmContext *context, uint32_t first) {
        TPM2_HANDLE handles[TPM_HANDLES_MAX];
        size_t n;
        TRY(tpm_get_handles(context, first, handles, &n));
        for (size_t i = 0; i < n; i++)
                TRY(err_wrap(flush_one(context, handles[i]), "flushing 0x%08x, which an earlier process left in the TPM", handles[i]));
        return NULL;
}

Err *leftovers_flush(TpmContext *context) {
        TRY(flush_range(context, TRANSIENT_FIRST));
        TRY(flush_range(context, LOADED_SESSION_FIRST));
        /* In a kernel device's TPM the saved sessions may be those of clients of /dev/tpmrm0, which saves them after each command;
         * ours are never saved. */
        return tcti_is_device(context->tcti_conf) ? NULL : flush_range(context, SAVED_SESSION_FIRST);
}
