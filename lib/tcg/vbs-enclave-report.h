/* The attestation report of a Windows VBS enclave (EnclaveGetAttestationReport), which the service's protocol calls vsm_report.enclave, and the
 * NCrypt frame of VBS key claims. Linux makes neither; a machine may pass on those of its host, and an instance has to read them.
 *
 * The signature is not judged: its key is the secure kernel's (IDK_S), known only from a Windows boot log. Spans borrow from the input. */
#pragma once

#include "base/bytes.h"

#define VBS_ENCLAVE_DATA_SIZE 64
#define VBS_REPORT_SIZE_MAX (1u << 20)   /* more would not go through the service's requests */
#define VBS_ENCLAVE_FULL_DEBUG UINT32_C(1)
#define VBS_ENCLAVE_DYNAMIC_DEBUG_ALLOWED UINT32_C(2)
#define VBS_ENCLAVE_DYNAMIC_DEBUG_ACTIVE UINT32_C(4)

typedef struct VbsEnclaveReport {
        uint32_t signature_scheme;       /* 1: RSA-PSS with SHA-256 */
        Span signed_statement;           /* what the signature is over */
        Span enclave_data;
        Span owner_id, unique_id, author_id, family_id, image_id;
        uint32_t enclave_svn, secure_kernel_svn, platform_svn, flags, signing_level, enclave_type;
        Span blocks;                     /* for vbs_enclave_report_next(); known to be whole */
        Span signature;
} VbsEnclaveReport;

/* A variable block; the module fields are set where type is VBS_BLOCK_MODULE. */
#define VBS_BLOCK_MODULE 1
typedef struct VbsEnclaveBlock {
        uint32_t type;
        Span data;                       /* without the block's header */
        Span unique_id, author_id, family_id, image_id;
        uint32_t svn;
        Span name;                       /* UTF-16LE without its NUL */
} VbsEnclaveBlock;

typedef struct VbsKeyClaim {
        uint32_t version, claim_type;
        Span attributes, nonce, report, signature;
} VbsKeyClaim;

/* Does it begin like a package? Says nothing about the rest. */
bool vbs_enclave_report_detect(Span input);
/* Error: VBS_REPORT_MALFORMED with field and offset; all sizes must agree with each other and with input. */
Err *vbs_enclave_report_parse(Span input, VbsEnclaveReport *ret) _must_check_;
/* Takes the next block off *blocks, which starts as report.blocks; false at the end. Error: VBS_REPORT_MALFORMED. */
Err *vbs_enclave_report_next(Span *blocks, VbsEnclaveBlock *ret, bool *ret_more) _must_check_;
/* EnclaveData is the SHA-512 of text. Error: VBS_REPORT_MISMATCH. */
Err *vbs_enclave_report_binds_text(const VbsEnclaveReport *report, Span text) _must_check_;

bool vbs_key_claim_detect(Span input);
/* The frame alone: what report holds depends on who made the claim. Error: VBS_REPORT_MALFORMED. */
Err *vbs_key_claim_parse(Span input, VbsKeyClaim *ret) _must_check_;
