/* See evidence-decode.h: the reports of paravisors and of VBS enclaves. */
#include "cli/evidence-decode.h"

#include <stdio.h>

#include "tcg/hash.h"
#include "tcg/paravisor-report.h"
#include "tcg/vbs-enclave-report.h"

/* SVNs of 64 bits and bit fields are shown in hex: as JSON numbers many readers would round them. */
static Err *add_hex_u64(Json *json, const char *member, uint64_t value) {
        char text[19];
        snprintf(text, sizeof(text), "0x%016llx", (unsigned long long) value);
        return json_add_string(json, member, text);
}

static Err *add_object(Json *json, const char *member, Json **ret) {
        Json *object;
        TRY(json_new_object(&object));
        TRY(json_add(json, member, object));
        *ret = object;
        return NULL;
}

static Err *add_snp(Json *json, const SnpReport *report) {
        TRY(json_add_integer(json, "version", report->version));
        TRY(json_add_integer(json, "guest_svn", report->guest_svn));
        TRY(add_hex_u64(json, "policy", report->policy));
        TRY(json_add_hex(json, "family_id", report->family_id));
        TRY(json_add_hex(json, "image_id", report->image_id));
        TRY(json_add_integer(json, "vmpl", report->vmpl));
        TRY(json_add_integer(json, "signature_algorithm", report->signature_algorithm));
        TRY(add_hex_u64(json, "current_tcb", report->current_tcb));
        TRY(add_hex_u64(json, "platform_info", report->platform_info));
        TRY(json_add_hex(json, "report_data", report->report_data));
        TRY(json_add_hex(json, "measurement", report->measurement));
        TRY(json_add_hex(json, "host_data", report->host_data));
        TRY(json_add_hex(json, "id_key_digest", report->id_key_digest));
        TRY(json_add_hex(json, "author_key_digest", report->author_key_digest));
        TRY(json_add_hex(json, "report_id", report->report_id));
        TRY(add_hex_u64(json, "reported_tcb", report->reported_tcb));
        TRY(json_add_hex(json, "chip_id", report->chip_id));
        TRY(add_hex_u64(json, "committed_tcb", report->committed_tcb));
        TRY(add_hex_u64(json, "launch_tcb", report->launch_tcb));
        return json_add_hex(json, "signature", report->signature);
}

static Err *add_tdx(Json *json, const TdxReport *report) {
        Json *rtmr;
        TRY(json_add_integer(json, "type", report->type));
        TRY(json_add_integer(json, "subtype", report->subtype));
        TRY(json_add_integer(json, "version", report->version));
        TRY(json_add_hex(json, "cpu_svn", report->cpu_svn));
        TRY(json_add_hex(json, "tee_tcb_info_hash", report->tee_tcb_info_hash));
        TRY(json_add_hex(json, "tee_info_hash", report->tee_info_hash));
        TRY(json_add_hex(json, "report_data", report->report_data));
        TRY(json_add_hex(json, "mac", report->mac));
        TRY(json_add_hex(json, "attributes", report->attributes));
        TRY(json_add_hex(json, "xfam", report->xfam));
        TRY(json_add_hex(json, "mr_td", report->mr_td));
        TRY(json_add_hex(json, "mr_config_id", report->mr_config_id));
        TRY(json_add_hex(json, "mr_owner", report->mr_owner));
        TRY(json_add_hex(json, "mr_owner_config", report->mr_owner_config));
        TRY(add_object(json, "rtmr", &rtmr));
        for (size_t i = 0; i < TDX_RTMRS; i++) {
                char number[2] = { (char) ('0' + i) };
                TRY(json_add_hex(rtmr, number, report->rtmr[i]));
        }
        return NULL;
}

static Err *add_vbs_vm_module(Json *modules, const VbsVmModule *module) {
        Json *json;
        TRY(json_new_object(&json));
        TRY(json_append(modules, json));
        TRY(json_add_hex(json, "image_hash", module->image_hash));
        TRY(json_add_hex(json, "signer", module->signer));
        TRY(json_add_hex(json, "family_id", module->family_id));
        TRY(json_add_hex(json, "image_id", module->image_id));
        TRY(json_add_integer(json, "attributes", module->attributes));
        TRY(json_add_integer(json, "svn", module->svn));
        return json_add_integer(json, "vtl", module->vtl);
}

static Err *add_vbs_vm_old(Json *json, const VbsVmReport *report) {
        Json *modules;
        TRY(json_add_integer(json, "platform_svn", report->old.platform_svn));
        TRY(json_add_integer(json, "secure_kernel_svn", report->old.secure_kernel_svn));
        TRY(json_add_integer(json, "boot_chain_svn", report->old.boot_chain_svn));
        TRY(json_new_array(&modules));
        TRY(json_add(json, "modules", modules));
        for (size_t i = 0; i < VBS_VM_MODULES; i++)
                TRY(add_vbs_vm_module(modules, &report->old.modules[i]));
        return NULL;
}

static Err *add_vbs_vm_current(Json *json, const VbsVmReport *report) {
        TRY(json_add_integer(json, "enabled_vtls", report->current.enabled_vtls));
        TRY(json_add_integer(json, "policy", report->current.policy));
        TRY(json_add_boolean(json, "debug_allowed", report->current.policy & VBS_VM_POLICY_DEBUG_ALLOWED));
        TRY(json_add_integer(json, "guest_svn", report->current.guest_svn));
        TRY(json_add_integer(json, "product_id", report->current.product_id));
        return json_add_integer(json, "module_id", report->current.module_id);
}

static Err *add_vbs_vm(Json *json, const VbsVmReport *report) {
        TRY(json_add_integer(json, "package_size", report->package_size));
        TRY(json_add_integer(json, "signature_scheme", report->signature_scheme));
        TRY(json_add_hex(json, "report_data", report->report_data));
        TRY(json_add_hex(json, "owner_id", report->owner_id));
        TRY(json_add_hex(json, "measurement", report->measurement));
        TRY(json_add_hex(json, "signer", report->signer));
        TRY(json_add_hex(json, "host_data", report->host_data));
        TRY(json_add_integer(json, "guest_vtl", report->guest_vtl));
        TRY(report->is_old ? add_vbs_vm_old(json, report) : add_vbs_vm_current(json, report));
        return json_add_hex(json, "signature", report->signature);
}

static Err *add_tee_report(Json *json, const ParavisorReport *report) {
        Json *object;
        if (report->tee == PARAVISOR_TEE_NONE)
                return NULL;
        TRY(add_object(json, "tee_report", &object));
        switch (report->tee) {
        case PARAVISOR_TEE_SNP:
                return add_snp(object, &report->snp);
        case PARAVISOR_TEE_TDX:
                return add_tdx(object, &report->tdx);
        case PARAVISOR_TEE_VBS_VM:
                return add_vbs_vm(object, &report->vbs);
        case PARAVISOR_TEE_NONE:
                return NULL;
        }
        return NULL;
}

static Err *add_binding(Json *json, const ParavisorReport *report, EvidenceBinding *ret) {
        _cleanup_(err_freep) Err *broken = paravisor_report_binds_claims(report);
        Json *binding;
        if (broken && err_code(broken) != ERR_PARAVISOR_REPORT_MISMATCH)
                return steal_ptr(&broken);
        TRY(add_object(json, "binding", &binding));
        TRY(json_add_boolean(binding, "holds", !broken));
        if (broken)
                TRY(json_add_string(binding, "message", err_describe(broken)));
        *ret = broken ? EVIDENCE_BINDING_BROKEN : EVIDENCE_BINDING_HOLDS;
        return NULL;
}

Err *evidence_add_paravisor_report(Json *json, Span input, EvidenceBinding *ret_binding) {
        _cleanup_(paravisor_report_freep) ParavisorReport *report = NULL;
        TRY(paravisor_report_parse(input, &report));
        TRY(json_add_integer(json, "version", report->version));
        TRY(json_add_integer(json, "request_type", report->request_type));
        TRY(json_add_integer(json, "status", report->status));
        TRY(json_add_string(json, "tee", paravisor_tee_to_string(report->tee)));
        TRY(json_add_string(json, "hash_alg", hash_name(report->hash_alg)));
        TRY(add_tee_report(json, report));
        TRY(json_add(json, "runtime_claims", json_ref(report->claims)));
        if (report->ak) {
                _cleanup_free_ char *thumbprint = NULL;
                TRY(jwk_thumbprint(report->ak, &thumbprint));
                TRY(json_add_string(json, "ak_thumbprint", thumbprint));
        }
        return add_binding(json, report, ret_binding);
}

/* Module names are ASCII in practice; anything else shows as a question mark, and the hex of the block is there beside it. */
static Err *add_module_name(Json *json, Span name) {
        _cleanup_bytes_ Bytes text = {};
        TRY(bytes_alloc(name.size / 2, &text));
        for (size_t i = 0; i < text.size; i++) {
                uint8_t low = name.data[2 * i];
                text.data[i] = name.data[2 * i + 1] == 0 && low >= 0x20 && low < 0x7f ? low : '?';
        }
        return json_add_span(json, "name", bytes_span(&text));
}

static Err *add_block(Json *blocks, const VbsEnclaveBlock *block) {
        Json *json;
        TRY(json_new_object(&json));
        TRY(json_append(blocks, json));
        TRY(json_add_integer(json, "type", block->type));
        if (block->type == VBS_BLOCK_MODULE) {
                TRY(add_module_name(json, block->name));
                TRY(json_add_hex(json, "unique_id", block->unique_id));
                TRY(json_add_hex(json, "author_id", block->author_id));
                TRY(json_add_hex(json, "family_id", block->family_id));
                TRY(json_add_hex(json, "image_id", block->image_id));
                TRY(json_add_integer(json, "svn", block->svn));
        }
        return json_add_hex(json, "data", block->data);
}

static Err *add_blocks(Json *json, Span blocks) {
        Json *array;
        TRY(json_new_array(&array));
        TRY(json_add(json, "blocks", array));
        for (;;) {
                VbsEnclaveBlock block;
                bool more;
                TRY(vbs_enclave_report_next(&blocks, &block, &more));
                if (!more)
                        return NULL;
                TRY(add_block(array, &block));
        }
}

Err *evidence_add_vbs_enclave_report(Json *json, Span input) {
        VbsEnclaveReport report;
        TRY(vbs_enclave_report_parse(input, &report));
        TRY(json_add_integer(json, "signature_scheme", report.signature_scheme));
        TRY(json_add_hex(json, "enclave_data", report.enclave_data));
        TRY(json_add_hex(json, "owner_id", report.owner_id));
        TRY(json_add_hex(json, "unique_id", report.unique_id));
        TRY(json_add_hex(json, "author_id", report.author_id));
        TRY(json_add_hex(json, "family_id", report.family_id));
        TRY(json_add_hex(json, "image_id", report.image_id));
        TRY(json_add_integer(json, "enclave_svn", report.enclave_svn));
        TRY(json_add_integer(json, "secure_kernel_svn", report.secure_kernel_svn));
        TRY(json_add_integer(json, "platform_svn", report.platform_svn));
        TRY(json_add_integer(json, "flags", report.flags));
        TRY(json_add_boolean(json, "full_debug", report.flags & VBS_ENCLAVE_FULL_DEBUG));
        TRY(json_add_boolean(json, "dynamic_debug_allowed", report.flags & VBS_ENCLAVE_DYNAMIC_DEBUG_ALLOWED));
        TRY(json_add_boolean(json, "dynamic_debug_active", report.flags & VBS_ENCLAVE_DYNAMIC_DEBUG_ACTIVE));
        TRY(json_add_integer(json, "signing_level", report.signing_level));
        TRY(json_add_integer(json, "enclave_type", report.enclave_type));
        TRY(add_blocks(json, report.blocks));
        return json_add_hex(json, "signature", report.signature);
}

Err *evidence_add_vbs_key_claim(Json *json, Span input) {
        VbsKeyClaim claim;
        Json *report;
        TRY(vbs_key_claim_parse(input, &claim));
        TRY(json_add_integer(json, "version", claim.version));
        TRY(json_add_integer(json, "claim_type", claim.claim_type));
        TRY(json_add_hex(json, "attributes", claim.attributes));
        TRY(json_add_hex(json, "nonce", claim.nonce));
        if (vbs_enclave_report_detect(claim.report)) {
                TRY(add_object(json, "enclave_report", &report));
                TRY(evidence_add_vbs_enclave_report(report, claim.report));
        } else
                TRY(json_add_hex(json, "report", claim.report));
        return json_add_hex(json, "signature", claim.signature);
}
