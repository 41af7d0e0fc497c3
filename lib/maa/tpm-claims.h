/* What the service says about TPM evidence that it has verified: the incoming claims of a policy for TPM attestation.
 *
 * "Attestation policy version 1.0" lists aikValidated, aikPubHash, tpmVersion, secureBootEnabled, iommuEnabled, bootDebuggingDisabled, notSafeMode, notWinPE,
 * vbsEnabled and vbsReportPresent; version 1.2 adds the evidence itself: events, bootEvents and pcrs. How the former follow from the latter is written, as rules, in
 * "Attestation policy version 1.2", and those rules are obeyed here: what Windows' boot did not measure is false. So they are all false of a Linux boot but for
 * Secure Boot. */
#pragma once

#include "base/json.h"
#include "tcg/evidence.h"

typedef struct TpmClaimsLogs {
        const PcrValues *pcrs;
        const PcrVerdict *verdicts;     /* PCR_COUNT of them */
        const Bytes *boot_log;          /* NULL: none was sent */
        const Bytes *ima_list;          /* NULL: none was sent */
} TpmClaimsLogs;

typedef struct TpmClaimsInput {
        bool aik_validated;
        Digest aik_hash;                /* SHA-256 of the AIK's SubjectPublicKeyInfo, DER */
        TpmClaimsLogs current;
        const TpmClaimsLogs *boot;      /* from before a hibernation; NULL: none was sent */
        bool has_vbs_report;            /* of an enclave, and it holds */
} TpmClaimsInput;

typedef struct TpmClaims {
        Json *claims;                   /* object: those of version 1.0 */
        Json *evidence;                 /* object: those that version 1.2 adds; values are JSON text */
} TpmClaims;
void tpm_claims_done(TpmClaims *claims);
#define _cleanup_tpm_claims_ _cleanup_(tpm_claims_done)
/* Errors: those of service_events_decode(). */
Err *tpm_claims_make(const TpmClaimsInput *input, TpmClaims *ret) _must_check_;
