/* Does the firmware log prove that the machine booted with Secure Boot on? */
#pragma once

#include "tcg/eventlog.h"

/* Was the UEFI variable SecureBoot measured into PCR 7 as 1? (TCG PFP 1.06 §3.3.4.8, UEFI_VARIABLE_DATA §10.4.1.) An event counts only if its
 * digest in bank alg is the hash of its data: otherwise the data proves nothing. Whether PCR 7 replays is the caller's to know. Errors:
 * those of eventlog_next(). */
Err *secure_boot_measured(Span log, uint16_t alg, bool *ret) _must_check_;
