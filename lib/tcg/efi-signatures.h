/* Signature databases (PK, KEK, db, dbx, MokList), UEFI 2.10 §32.4.1, summarised. */
#pragma once

#include "base/json.h"
#include "base/writer.h"

#define EFI_SUBJECTS_MAX 64 /* of one list; the count goes on */

/* [{"type":GUID,"type_name":…,"count":n,"subjects":[…]}], and a line "X.509: 2 (CN=…; CN=…)" for each list into lines.
 * Error: EVENTLOG_MALFORMED. */
Err *efi_signatures_decode(Span database, Json **ret, Writer *lines) _must_check_;
/* Subject of a DER certificate in RFC 2253 form; empty if it is none. free() it. */
Err *efi_certificate_subject(Span der, char **ret) _must_check_;
