/* See tee-report.h. Everything is little endian.
 *
 *     SNP   0x000 u32 version, guest_svn | u64 policy | family_id 16, image_id 16 | u32 vmpl, signature_algo | u64 current_tcb, platform_info
 *           | u32 flags, reserved | 0x050 report_data 64 | 0x090 measurement 48 | host_data 32 | id_key_digest 48 | author_key_digest 48
 *           | report_id 32 | report_id_ma 32 | 0x180 u64 reported_tcb | cpuid and reserved 24 | 0x1a0 chip_id 64 | u64 committed_tcb
 *           | builds 8 | u64 launch_tcb | reserved 168 | 0x2a0 signature 512
 *     TDX   0x000 u8 type, subtype, version, reserved | reserved 12 | cpu_svn 16 | tee_tcb_info_hash 48 | tee_info_hash 48
 *           | 0x080 report_data 64 | reserved 32 | mac 32 | 0x100 TEE_TCB_INFO 239, reserved 17 | 0x200 TDINFO: attributes 8, xfam 8,
 *           mr_td 48, mr_config_id 48, mr_owner 48, mr_owner_config 48, rtmr 4 * 48, reserved 112
 *     VBS   0x000 u32 package_size, version, signature_scheme, signature_size, reserved, 0x014 report version | 0x018 report_data 64
 *           | owner_id 32 | measurement 32 | signer 32 | host_data 32
 *       560 0x0d8 u32 enabled_vtl, policy, guest_vtl, guest_svn, guest_product_id, guest_module_id | reserved 64 | 0x130 signature 256
 *       800 0x0d8 u32 platform svn, secure kernel svn, boot chain svn, guest vtl | reserved 32 | 0x108 2 * module | 0x220 signature 256
 *           module: image hash 32, signer 32, family 16, image 16, u32 attributes, svn, vtl, reserved 32 */
#include "tcg/tee-report.h"

#include "base/reader.h"

#define VBS_SIGNATURE_SIZE 256

static void skip_reserved(Reader *reader, size_t size) {
        reader_span(reader, size, "reserved bytes");
}

Err *snp_report_parse(Span input, SnpReport *ret) {
        Reader reader = reader_make(input);
        SnpReport report = {};
        report.version = reader_u32le(&reader, "version");
        report.guest_svn = reader_u32le(&reader, "guest_svn");
        report.policy = reader_u64le(&reader, "policy");
        report.family_id = reader_span(&reader, 16, "family_id");
        report.image_id = reader_span(&reader, 16, "image_id");
        report.vmpl = reader_u32le(&reader, "vmpl");
        report.signature_algorithm = reader_u32le(&reader, "signature_algo");
        report.current_tcb = reader_u64le(&reader, "current_tcb");
        report.platform_info = reader_u64le(&reader, "platform_info");
        skip_reserved(&reader, 8);
        report.report_data = reader_span(&reader, TEE_REPORT_DATA_SIZE, "report_data");
        report.measurement = reader_span(&reader, 48, "measurement");
        report.host_data = reader_span(&reader, 32, "host_data");
        report.id_key_digest = reader_span(&reader, 48, "id_key_digest");
        report.author_key_digest = reader_span(&reader, 48, "author_key_digest");
        report.report_id = reader_span(&reader, 32, "report_id");
        reader_span(&reader, 32, "report_id_ma");
        report.reported_tcb = reader_u64le(&reader, "reported_tcb");
        skip_reserved(&reader, 24);
        report.chip_id = reader_span(&reader, 64, "chip_id");
        report.committed_tcb = reader_u64le(&reader, "committed_tcb");
        skip_reserved(&reader, 8);
        report.launch_tcb = reader_u64le(&reader, "launch_tcb");
        skip_reserved(&reader, 168);
        report.signature = reader_span(&reader, 512, "signature");
        TRY(reader_finish(&reader, ERR_PARAVISOR_REPORT_MALFORMED, "SEV-SNP report"));
        *ret = report;
        return NULL;
}

Err *tdx_report_parse(Span input, TdxReport *ret) {
        Reader reader = reader_make(input);
        TdxReport report = {};
        report.type = reader_u8(&reader, "type");
        report.subtype = reader_u8(&reader, "subtype");
        report.version = reader_u8(&reader, "version");
        skip_reserved(&reader, 13);
        report.cpu_svn = reader_span(&reader, 16, "cpu_svn");
        report.tee_tcb_info_hash = reader_span(&reader, 48, "tee_tcb_info_hash");
        report.tee_info_hash = reader_span(&reader, 48, "tee_info_hash");
        report.report_data = reader_span(&reader, TEE_REPORT_DATA_SIZE, "report_data");
        skip_reserved(&reader, 32);
        report.mac = reader_span(&reader, 32, "mac");
        reader_span(&reader, 239, "tee_tcb_info");
        skip_reserved(&reader, 17);
        report.attributes = reader_span(&reader, 8, "attributes");
        report.xfam = reader_span(&reader, 8, "xfam");
        report.mr_td = reader_span(&reader, 48, "mr_td");
        report.mr_config_id = reader_span(&reader, 48, "mr_config_id");
        report.mr_owner = reader_span(&reader, 48, "mr_owner");
        report.mr_owner_config = reader_span(&reader, 48, "mr_owner_config");
        for (size_t i = 0; i < TDX_RTMRS; i++)
                report.rtmr[i] = reader_span(&reader, 48, "rtmr");
        skip_reserved(&reader, 112);
        TRY(reader_finish(&reader, ERR_PARAVISOR_REPORT_MALFORMED, "TDX report"));
        *ret = report;
        return NULL;
}

static void read_vbs_current(Reader *reader, VbsVmReport *report) {
        report->current.enabled_vtls = reader_u32le(reader, "enabled_vtl");
        report->current.policy = reader_u32le(reader, "policy");
        report->guest_vtl = reader_u32le(reader, "guest_vtl");
        report->current.guest_svn = reader_u32le(reader, "guest_svn");
        report->current.product_id = reader_u32le(reader, "guest_product_id");
        report->current.module_id = reader_u32le(reader, "guest_module_id");
        skip_reserved(reader, 64);
}

static void read_vbs_old(Reader *reader, VbsVmReport *report) {
        report->old.platform_svn = reader_u32le(reader, "platform isolation SVN");
        report->old.secure_kernel_svn = reader_u32le(reader, "secure kernel SVN");
        report->old.boot_chain_svn = reader_u32le(reader, "platform boot chain SVN");
        report->guest_vtl = reader_u32le(reader, "guest VTL");
        skip_reserved(reader, 32);
        for (size_t i = 0; i < VBS_VM_MODULES; i++) {
                VbsVmModule *module = &report->old.modules[i];
                module->image_hash = reader_span(reader, 32, "a module's image hash");
                module->signer = reader_span(reader, 32, "a module's signer");
                module->family_id = reader_span(reader, 16, "a module's family");
                module->image_id = reader_span(reader, 16, "a module's image");
                module->attributes = reader_u32le(reader, "a module's attributes");
                module->svn = reader_u32le(reader, "a module's SVN");
                module->vtl = reader_u32le(reader, "a module's VTL");
                skip_reserved(reader, 32);
        }
}

static void read_vbs_header(Reader *reader, VbsVmReport *report) {
        report->package_size = reader_u32le(reader, "package_size");
        if (report->package_size != VBS_VM_REPORT_SIZE && report->package_size != VBS_VM_REPORT_SIZE_OLD)
                reader_fail(reader, "package_size");
        report->is_old = report->package_size == VBS_VM_REPORT_SIZE_OLD;
        report->package_version = reader_u32le(reader, "version");
        if (report->package_version != 1)
                reader_fail(reader, "version");
        report->signature_scheme = reader_u32le(reader, "signature_scheme");
        report->signature_size = reader_u32le(reader, "signature_size");
        if (report->signature_size != VBS_SIGNATURE_SIZE)
                reader_fail(reader, "signature_size");
        skip_reserved(reader, 4);
        report->report_version = reader_u32le(reader, "report version");
        if (report->report_version != 1)
                reader_fail(reader, "report version");
}

Err *vbs_vm_report_parse(Span input, VbsVmReport *ret) {
        Reader reader = reader_make(input);
        VbsVmReport report = {};
        read_vbs_header(&reader, &report);
        report.report_data = reader_span(&reader, TEE_REPORT_DATA_SIZE, "report_data");
        report.owner_id = reader_span(&reader, 32, "owner_id");
        report.measurement = reader_span(&reader, 32, "measurement");
        report.signer = reader_span(&reader, 32, "signer");
        report.host_data = reader_span(&reader, 32, "host_data");
        if (report.is_old)
                read_vbs_old(&reader, &report);
        else
                read_vbs_current(&reader, &report);
        report.signature = reader_span(&reader, VBS_SIGNATURE_SIZE, "signature");
        if (!span_is_zero(reader_rest(&reader)))
                reader_fail(&reader, "the padding");
        TRY(reader_finish(&reader, ERR_PARAVISOR_REPORT_MALFORMED, "VBS VM report"));
        *ret = report;
        return NULL;
}
