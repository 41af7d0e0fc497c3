/* Reports of trusted execution environments, as far as a paravisor puts them into its own report: AMD SEV-SNP, Intel TDX, Hyper-V VBS.
 *
 * They are taken apart, not verified: what they mean hangs on signatures of keys that the paravisor does not pass on. What our side needs is
 * report_data, the 64 bytes that whoever asked for the report chose. Spans borrow from the input, which has exactly the report's size. */
#pragma once

#include "base/bytes.h"

#define TEE_REPORT_DATA_SIZE 64
#define SNP_REPORT_SIZE 1184      /* AMD 56860 rev. 1.55, table 22 */
#define TDX_REPORT_SIZE 1024      /* Intel TDX Module ABI, TDREPORT_STRUCT */
#define VBS_VM_REPORT_SIZE 560    /* Hyper-V, as OpenHCL knows it */
#define VBS_VM_REPORT_SIZE_OLD 800
#define VBS_VM_MODULES 2
#define TDX_RTMRS 4

typedef struct SnpReport {
        uint32_t version, guest_svn;
        uint64_t policy;
        Span family_id, image_id;
        uint32_t vmpl, signature_algorithm;
        uint64_t current_tcb, platform_info;
        Span report_data, measurement, host_data, id_key_digest, author_key_digest, report_id;
        uint64_t reported_tcb;
        Span chip_id;
        uint64_t committed_tcb, launch_tcb;
        Span signature;
} SnpReport;

typedef struct TdxReport {
        uint8_t type, subtype, version;
        Span cpu_svn, tee_tcb_info_hash, tee_info_hash, report_data, mac;
        Span attributes, xfam, mr_td, mr_config_id, mr_owner, mr_owner_config;
        Span rtmr[TDX_RTMRS];
} TdxReport;

typedef struct VbsVmModule {
        Span image_hash, signer, family_id, image_id;
        uint32_t attributes, svn, vtl;
} VbsVmModule;

/* Both layouts call themselves version 1; their sizes tell them apart. */
typedef struct VbsVmReport {
        uint32_t package_size, package_version, signature_scheme, signature_size, report_version;
        Span report_data, owner_id, measurement, signer, host_data, signature;
        uint32_t guest_vtl;
        bool is_old;
        struct {                  /* 560 bytes */
                uint32_t enabled_vtls, policy, guest_svn, product_id, module_id;
        } current;
        struct {                  /* 800 bytes */
                uint32_t platform_svn, secure_kernel_svn, boot_chain_svn;
                VbsVmModule modules[VBS_VM_MODULES];
        } old;
} VbsVmReport;

#define VBS_VM_POLICY_DEBUG_ALLOWED UINT32_C(1)

/* Error of all three: PARAVISOR_REPORT_MALFORMED with field and offset. */
Err *snp_report_parse(Span input, SnpReport *ret) _must_check_;
Err *tdx_report_parse(Span input, TdxReport *ret) _must_check_;
/* input may be followed by zeroes, because the size of the report stands inside it. */
Err *vbs_vm_report_parse(Span input, VbsVmReport *ret) _must_check_;
