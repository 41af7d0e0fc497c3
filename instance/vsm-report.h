/* The report beside the evidence of a request of the type vbs: does it vouch for this very request, and what does it say?
 *
 *     vsm_report  {"enclave": {"report": base64url}}   of a VBS enclave; EnclaveData is the SHA-512 of report_signed
 *                 {"vm": {"report": base64url}}        of a paravisor (HCL), an extension of ours; its runtime claims have that SHA-512 as user-data
 *                                                      and the AIK as HCLAkPub, and report_data of the TEE's report is the hash of the claims
 *
 * What the report's own signature is worth is not judged: the key of a VBS enclave's is known from the boot log of a Windows host alone, and a
 * paravisor does not pass on the certificates of the TEE's. So the claims say "unverified", and whoever writes a policy knows. */
#pragma once

#include "base/json.h"
#include "jose/jwk.h"
#include "tcg/evidence.h"

typedef struct VsmReport {
        VsmReportKind kind;
        Bytes report;       /* empty: the request has none */
} VsmReport;

/* vsm_report of att_data. Errors: JSON_*, BASE64_INVALID, EVIDENCE_MALFORMED unless it has just one of the two members. */
Err *vsm_report_parse(const Json *att_data, VsmReport *ret) _must_check_;
void vsm_report_done(VsmReport *report);

/* signed_text: report_signed as it was written, with both braces. ret_claims: what a policy can issue about it. Errors: VBS_REPORT_MALFORMED,
 * VBS_REPORT_MISMATCH, PARAVISOR_REPORT_MALFORMED, PARAVISOR_REPORT_MISMATCH. */
Err *vsm_report_verify(const VsmReport *report, Span signed_text, EVP_PKEY *aik, Json **ret_claims) _must_check_;
