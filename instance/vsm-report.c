/* See vsm-report.h. */
#include "instance/vsm-report.h"

#include "tcg/paravisor-report.h"
#include "tcg/vbs-enclave-report.h"

void vsm_report_done(VsmReport *report) {
        bytes_done(&report->report);
}

Err *vsm_report_parse(const Json *att_data, VsmReport *ret) {
        Json *object, *member;
        _cleanup_bytes_ Bytes bytes = {};
        TRY(json_get_object(att_data, "vsm_report", &object));
        bool has_enclave = json_get(object, "enclave"), has_vm = json_get(object, "vm");
        if (has_enclave == has_vm || json_object_object_length(object) != 1)
                return err_new(ERR_EVIDENCE_MALFORMED, "vsm_report must have one member, \"enclave\" or (an extension) \"vm\"");
        VsmReportKind kind = has_vm ? VSM_REPORT_VM : VSM_REPORT_ENCLAVE;
        TRY(json_get_object(object, vsm_report_kind_to_string(kind), &member));
        TRY(err_wrap(json_get_base64url(member, "report", &bytes), "vsm_report.%s", vsm_report_kind_to_string(kind)));
        if (bytes.size == 0)
                return err_new(ERR_EVIDENCE_MALFORMED, "vsm_report.%s.report is empty", vsm_report_kind_to_string(kind));
        *ret = (VsmReport) { .kind = kind, .report = bytes_steal(&bytes) };
        return NULL;
}

/* Names of the service where it has some: policy claims of the claim sets. */
static Err *add_enclave_claims(Json *claims, const VbsEnclaveReport *report) {
        TRY(json_add_base64url(claims, "enclaveAuthorId", report->author_id));
        TRY(json_add_base64url(claims, "enclaveImageId", report->image_id));
        TRY(json_add_base64url(claims, "enclaveOwnerId", report->owner_id));
        TRY(json_add_base64url(claims, "enclaveFamilyId", report->family_id));
        TRY(json_add_integer(claims, "enclaveSvn", report->enclave_svn));
        TRY(json_add_integer(claims, "enclavePlatformSvn", report->platform_svn));
        return json_add_integer(claims, "enclaveFlags", report->flags);
}

static Err *verify_enclave(Span bytes, Span signed_text, Json *claims) {
        VbsEnclaveReport report;
        TRY(vbs_enclave_report_parse(bytes, &report));
        TRY(vbs_enclave_report_binds_text(&report, signed_text));
        return add_enclave_claims(claims, &report);
}

static Err *verify_vm(Span bytes, Span signed_text, EVP_PKEY *aik, Json *claims) {
        _cleanup_(paravisor_report_freep) ParavisorReport *report = NULL;
        TRY(paravisor_report_parse(bytes, &report));
        TRY(paravisor_report_binds_key(report, aik));
        TRY(paravisor_report_binds_text(report, signed_text));
        TRY(json_add_string(claims, "vbsReportTee", paravisor_tee_to_string(report->tee)));
        Json *configuration = json_get(report->claims, "vm-configuration");
        return configuration ? json_add(claims, "vmConfiguration", json_ref(configuration)) : NULL;
}

Err *vsm_report_verify(const VsmReport *report, Span signed_text, EVP_PKEY *aik, Json **ret_claims) {
        _cleanup_json_ Json *claims = NULL;
        Span bytes = bytes_span(&report->report);
        const char *kind = vsm_report_kind_to_string(report->kind);
        TRY(json_new_object(&claims));
        TRY(json_add_string(claims, "vbsReportKind", kind));
        TRY(json_add_string(claims, "vbsReportSigned", "unverified"));
        Err *err = report->kind == VSM_REPORT_VM ? verify_vm(bytes, signed_text, aik, claims) : verify_enclave(bytes, signed_text, claims);
        if (err)
                return err_wrap(err, "vsm_report.%s", kind);
        *ret_claims = steal_ptr(&claims);
        return NULL;
}
