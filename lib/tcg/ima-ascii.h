/* The ASCII form of the IMA list (ascii_runtime_measurements), turned back into the binary form that lib/tcg reads.
 *
 * Text loses what the templates are made of, so only templates whose text is known can be turned back: ima, ima-ng, ima-sig, ima-ngv2, ima-sigv2,
 * ima-buf, ima-modsig. Whether an entry came out right is told by its template digest, see ima_entry_verify(). */
#pragma once

#include "tcg/ima.h"

/* Does the input look like the ASCII form? The binary form has zeros in its first four bytes. */
bool ima_ascii_detect(Span input);
/* Empty lines are skipped. Error: IMA_MALFORMED naming the first line that does not parse; LOG_EMPTY if there is no entry. */
Err *ima_ascii_to_binary(Span text, Bytes *ret_list) _must_check_;
