/* What a killed predecessor left in a TPM that has no resource manager.
 *
 * A collector that dies between loading a key and flushing it leaves the key in one of the TPM's three or so slots; a few such deaths
 * and the TPM is full. So the first connection, and the first one after a failure, lists the transient objects and sessions and
 * flushes them: the connection is exclusive, so nobody else's are in use. */
#pragma once

#include "tpm/context.h"

/* Adds what was flushed to context->n_leftovers. */
Err *leftovers_flush(TpmContext *context) _must_check_;
