/* What GetInfo tells: the TPM, its banks, the attestation key. Keys of our own that are not there yet are made then, because making them may take longer
 * than a quote may. */
#pragma once

#include "collector/collector.h"
#include "tpm/evidence.h"

/* Makes the attestation key if there is none yet. Errors: those of the TPM and the key. */
Err *info_collect(EvidenceMaker *maker, CollectorInfo **ret) _must_check_;
/* TPM2_PT_MANUFACTURER and TPM2_PT_VENDOR_STRING_n: up to four characters in each number, filled with blanks or NULs; unprintable ones are
 * left out, blanks at the end as well. text has room for 4 * n + 1. Pure. */
void info_text_from_properties(const uint32_t *values, size_t n, char *text);
