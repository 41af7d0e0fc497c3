/* The report of Azure's paravisor (HCL, OpenHCL), which a confidential VM reads from NV index 0x01400001.
 *
 * The paravisor makes runtime claims (JSON: the vTPM's attestation key, the VM's configuration, 64 bytes of the guest), asks the hardware or the
 * hypervisor for a report whose report_data is their hash, and stores both. So the report is the bridge from a TEE to the vTPM's keys; it is worth
 * nothing where the hash does not match. Parsing tells what stands there; each paravisor_report_binds_*() looks at that hash first. */
#pragma once

#include "jose/jwk.h"
#include "tcg/tee-report.h"

#define PARAVISOR_REPORT_SIZE_MAX 65535   /* an NV index holds no more (TPM 2.0 Part 2 §13.5, dataSize) */
#define PARAVISOR_USER_DATA_SIZE 64

typedef enum ParavisorTee {
        PARAVISOR_TEE_VBS_VM = 1,
        PARAVISOR_TEE_SNP = 2,
        PARAVISOR_TEE_NONE = 3,    /* a trusted launch VM: nothing vouches for the claims */
        PARAVISOR_TEE_TDX = 4,
} ParavisorTee;

typedef struct ParavisorReport {
        uint32_t version, request_type, status;
        ParavisorTee tee;
        uint16_t hash_alg;
        Span tee_report;           /* as long as the report says; empty for PARAVISOR_TEE_NONE */
        union {
                SnpReport snp;
                TdxReport tdx;
                VbsVmReport vbs;
        };
        Span report_data;          /* of the TEE's report; empty for PARAVISOR_TEE_NONE */
        Span claims_text;
        Json *claims;
        EVP_PKEY *ak, *ek;         /* HCLAkPub, HCLEkPub; NULL where the claims have none */
        Bytes user_data;           /* empty where the claims have none */
} ParavisorReport;

ParavisorReport *paravisor_report_free(ParavisorReport *report);
DEFINE_CLEANUP(ParavisorReport, paravisor_report_free)

bool paravisor_report_detect(Span input);
const char *paravisor_tee_to_string(ParavisorTee tee);   /* "snp"; borrowed */

/* Spans of the result borrow from input. Error: PARAVISOR_REPORT_MALFORMED with the field, also for claims that are no JSON, name a key twice or
 * have a key that cannot be used. That the claims belong to the report is not checked here. */
Err *paravisor_report_parse(Span input, ParavisorReport **ret) _must_check_;

/* report_data is the hash of the claims' exact bytes, filled up with zeroes. Error of all three: PARAVISOR_REPORT_MISMATCH. */
Err *paravisor_report_binds_claims(const ParavisorReport *report) _must_check_;
/* The same, and HCLAkPub is that key. */
Err *paravisor_report_binds_key(const ParavisorReport *report, EVP_PKEY *aik) _must_check_;
/* The same as the first, and user-data is the SHA-512 of text. */
Err *paravisor_report_binds_text(const ParavisorReport *report, Span text) _must_check_;
