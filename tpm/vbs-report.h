/* A report that vouches for 64 bytes: of a VBS enclave, or of the paravisor under a confidential VM. VbsReport= says who is asked.
 *
 *     command:PATH   a program: the 64 bytes on its standard input, the report on its standard output
 *     file:PATH      a file that is read each time, whatever stands in it
 *     nv:0x01…       an NV index that a paravisor keeps its report in (0x01400001); user data goes to 0x01400002
 *
 * Linux has no secure enclaves of its own, so a VBS enclave's report can only come from a host that is asked for one. A paravisor's report is
 * told from it by its signature, "HCLA". The report is judged by whoever receives it; only a paravisor's is looked into here, because it is
 * renewed with a delay and the old one must not be sent. */
#pragma once

#include "tcg/evidence.h"
#include "tpm/evidence.h"

#define VBS_COMMAND_USEC (10 * USEC_PER_SEC)
/* OpenHCL renews its report with a read that begins 2 s or more after the last renewal, and answers earlier ones with the old report. So
 * the second read is enough if nobody else reads; others make it more. */
#define VBS_NV_RENEWAL_USEC (2200 * USEC_PER_MSEC)
#define VBS_NV_READS_MAX 5
#define VBS_NV_USER_DATA UINT32_C(0x01400002)

/* user_data has VSM_USER_DATA_SIZE bytes. Errors: INVALID_ARGUMENT if not; VBS_REPORT_UNAVAILABLE: nothing is configured, or what is does not
 * give a report; TIMEOUT: the program takes too long; LIMIT_EXCEEDED: more than VSM_REPORT_SIZE_MAX; IO: the file; PARAVISOR_REPORT_MALFORMED;
 * PARAVISOR_REPORT_MISMATCH: the paravisor did not take up the user data; those of the TPM. */
Err *vbs_report_get(EvidenceMaker *maker, Span user_data, VsmReportKind *ret_kind, Bytes *ret_report) _must_check_;
