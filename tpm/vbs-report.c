/* See vbs-report.h. */
#include "tpm/vbs-report.h"

#include <errno.h>
#include <time.h>

#include "tcg/paravisor-report.h"
#include "tpm/nv.h"
#include "tpm/vbs-command.h"

typedef struct NvWork {
        TPM2_HANDLE index;
        Span user_data;
        bool is_first;
        NvState state;
        Bytes report;
} NvWork;

/* The user data is written once, because each write is wear on the TPM's memory, and only where there is a report: no TPM gets an index that nobody reads. */
static Err *exchange(EvidenceMaker *maker, void *userdata) {
        NvWork *work = userdata;
        bool exists;
        bytes_done(&work->report);
        TRY(tpm_handle_exists(maker->context, work->index, &exists));
        if (!exists) {
                work->state = NV_ABSENT;
                return NULL;
        }
        if (work->is_first)
                TRY(nv_write(maker->context, VBS_NV_USER_DATA, work->user_data));
        return nv_read(maker->context, work->index, &work->state, &work->report);
}

static Err *check_user_data(Span report, Span user_data) {
        _cleanup_(paravisor_report_freep) ParavisorReport *parsed = NULL;
        TRY(paravisor_report_parse(report, &parsed));
        TRY(paravisor_report_binds_claims(parsed));
        if (!span_equal(bytes_span(&parsed->user_data), user_data))
                return err_new(ERR_PARAVISOR_REPORT_MISMATCH, "user-data in its runtime claims is not what was written to NV index 0x%08x", VBS_NV_USER_DATA);
        return NULL;
}

/* Every error that a renewal between two commands of one read can cause, too. */
static bool may_pass(const Err *err) {
        return err_code(err) == ERR_PARAVISOR_REPORT_MISMATCH || err_code(err) == ERR_PARAVISOR_REPORT_MALFORMED;
}

static void wait_for_renewal(void) {
        struct timespec left = { VBS_NV_RENEWAL_USEC / USEC_PER_SEC, (long) (VBS_NV_RENEWAL_USEC % USEC_PER_SEC * NSEC_PER_USEC) };
        while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
                ;
}

static Err *read_once(EvidenceMaker *maker, NvWork *work) {
        TRY(evidence_maker_run(maker, exchange, work));
        work->is_first = false;
        switch (work->state) {
        case NV_OK:
                return check_user_data(bytes_span(&work->report), work->user_data);
        case NV_ABSENT:
                return err_new(ERR_VBS_REPORT_UNAVAILABLE, "the TPM has no NV index 0x%08x: this is no VM with a paravisor that makes reports", work->index);
        case NV_UNWRITTEN:
                return err_new(ERR_VBS_REPORT_UNAVAILABLE, "NV index 0x%08x was never written", work->index);
        }
        return err_new(ERR_INTERNAL, "NV state %d", (int) work->state);
}

/* The connection is not held while we wait, so that an exclusive TPM can be used by others. */
static Err *report_from_nv(EvidenceMaker *maker, TPM2_HANDLE index, Span user_data, Bytes *ret) {
        NvWork work = { .index = index, .user_data = user_data, .is_first = true };
        for (unsigned n = 1;; n++) {
                Err *err = read_once(maker, &work);
                if (!err) {
                        *ret = work.report;
                        return NULL;
                }
                if (!may_pass(err) || n == VBS_NV_READS_MAX) {
                        bytes_done(&work.report);
                        return may_pass(err) ? err_wrap(err, "the paravisor's report, read %u times", n) : err;
                }
                err_free(err);
                wait_for_renewal();
        }
}

/* What follows prefix in text, or NULL. */
static const char *after_prefix(const char *text, const char *prefix) {
        size_t n = strlen(prefix);
        return strncmp(text, prefix, n) == 0 ? text + n : NULL;
}

static Err *get(EvidenceMaker *maker, Span user_data, Bytes *ret) {
        const char *setting = maker->config->vbs_report, *command = after_prefix(setting, "command:"), *file = after_prefix(setting, "file:"),
                   *index = after_prefix(setting, "nv:");
        if (command)
                return vbs_command_run(command, user_data, VBS_COMMAND_USEC, ret);
        if (file)
                return file_read(file, VSM_REPORT_SIZE_MAX, ret);
        if (index)   /* checked by the configuration */
                return report_from_nv(maker, (TPM2_HANDLE) strtoul(index, NULL, 16), user_data, ret);
        return err_new(ERR_VBS_REPORT_UNAVAILABLE, "the collector's configuration names no source");
}

Err *vbs_report_get(EvidenceMaker *maker, Span user_data, VsmReportKind *ret_kind, Bytes *ret_report) {
        _cleanup_bytes_ Bytes report = {};
        if (user_data.size != VSM_USER_DATA_SIZE)
                return err_new(ERR_INVALID_ARGUMENT, "%zu bytes of user data, %d are needed", user_data.size, VSM_USER_DATA_SIZE);
        TRY(err_wrap(get(maker, user_data, &report), "VbsReport=%s", maker->config->vbs_report));
        if (report.size == 0)
                return err_new(ERR_VBS_REPORT_UNAVAILABLE, "VbsReport=%s: the report is empty", maker->config->vbs_report);
        *ret_kind = paravisor_report_detect(bytes_span(&report)) ? VSM_REPORT_VM : VSM_REPORT_ENCLAVE;
        *ret_report = bytes_steal(&report);
        return NULL;
}
