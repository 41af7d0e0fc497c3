/* See info.h. TPM 2.0 Part 2 §6.13 (properties). */
#include "tpm/info.h"

#include "base/writer.h"
#include "tcg/aik.h"
#include "tpm/pcr.h"

#define VENDOR_STRINGS 4

void info_text_from_properties(const uint32_t *values, size_t n, char *text) {
        size_t length = 0;
        for (size_t i = 0; i < n; i++)
                for (int shift = 24; shift >= 0; shift -= 8) {
                        char c = (char) (values[i] >> shift & 0xff);
                        if (c >= ' ' && c <= '~')
                                text[length++] = c;
                }
        while (length > 0 && text[length - 1] == ' ')
                length--;
        text[length] = 0;
}

static Err *read_text(TpmContext *context, uint32_t first, size_t n, char **ret) {
        uint32_t values[VENDOR_STRINGS] = {};
        char text[4 * VENDOR_STRINGS + 1];
        bool exists;
        for (size_t i = 0; i < n && i < VENDOR_STRINGS; i++)
                TRY(tpm_get_property(context, first + (uint32_t) i, &values[i], &exists));
        info_text_from_properties(values, n, text);
        return string_copy(text, ret);
}

static Err *read_firmware_version(TpmContext *context, char **ret) {
        uint32_t high, low;
        bool exists;
        TRY(tpm_get_property(context, TPM2_PT_FIRMWARE_VERSION_1, &high, &exists));
        TRY(tpm_get_property(context, TPM2_PT_FIRMWARE_VERSION_2, &low, &exists));
        return string_format(ret, "%u.%u.%u.%u", high >> 16, high & 0xffff, low >> 16, low & 0xffff);
}

/* As in PcrBank=. */
static Err *name_banks(const PcrSelection *selection, char **ret) {
        _cleanup_writer_ Writer writer = {};
        for (size_t i = 0; i < selection->n_banks; i++)
                writer_format(&writer, "%s%s", i > 0 ? " " : "", hash_name(selection->banks[i].alg));
        return writer_finish_string(&writer, ret);
}

static Err *read_banks(TpmContext *context, char ***ret) {
        PcrSelection banks;
        TRY(tpm_pcr_get_banks(context, &banks));
        *ret = calloc(banks.n_banks + 1, sizeof(char *));
        if (!*ret)
                return err_oom();
        for (size_t i = 0; i < banks.n_banks; i++)
                TRY(string_copy(hash_name(banks.banks[i].alg), &(*ret)[i]));
        return NULL;
}

static Err *read_counters(TpmContext *context, CollectorInfo *info) {
        _cleanup_free_ TPMS_TIME_INFO *time = NULL;
        TRY(TPM_CALL(context, "TPM2_ReadClock", Esys_ReadClock(context->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &time)));
        info->reset_count = time->clockInfo.resetCount;
        info->restart_count = time->clockInfo.restartCount;
        return NULL;
}

static Err *read_key(EvidenceMaker *maker, CollectorInfo *info) {
        const AikOptions options = { .handle = maker->config->aik_handle, .certificate = maker->config->aik_certificate };
        _cleanup_aik_ Aik aik = AIK_NONE;
        TRY(aik_load(maker->context, &options, &maker->own, &aik));
        TRY(aik_fingerprint(bytes_span(&aik.public), &info->aik_fingerprint));
        if (!aik.notice)
                TRY(string_copy("", &aik.notice));
        info->aik_public = bytes_steal(&aik.public);
        info->aik_name = bytes_steal(&aik.name);
        info->aik_certificate = bytes_steal(&aik.certificate);
        info->aik_certificate_issuer = steal_ptr(&aik.certificate_issuer);
        info->aik_certificate_expires_usec = aik.certificate_expires * USEC_PER_SEC;
        info->aik_origin = steal_ptr(&aik.origin);
        info->aik_notice = steal_ptr(&aik.notice);
        return NULL;
}

static Err *collect(EvidenceMaker *maker, void *userdata) {
        CollectorInfo **ret = userdata;
        TpmContext *context = maker->context;
        PcrSelection selection;
        _cleanup_(collector_info_freep) CollectorInfo *info = calloc(1, sizeof(CollectorInfo));
        if (!info)
                return err_oom();
        TRY(read_text(context, TPM2_PT_MANUFACTURER, 1, &info->manufacturer));
        TRY(read_text(context, TPM2_PT_VENDOR_STRING_1, VENDOR_STRINGS, &info->vendor));
        TRY(read_firmware_version(context, &info->firmware_version));
        TRY(read_banks(context, &info->banks));
        TRY(evidence_maker_select(maker, &selection));
        TRY(name_banks(&selection, &info->pcr_bank));
        TRY(read_counters(context, info));
        TRY(read_key(maker, info));
        if (maker->config->request_key == REQUEST_KEY_TPM)
                TRY(request_key_prepare(&maker->request_key, context));
        info->leftovers_flushed = context->n_leftovers;
        TRY(string_copy(maker->config->vbs_report, &info->vbs_report));
        *ret = steal_ptr(&info);
        return NULL;
}

Err *info_collect(EvidenceMaker *maker, CollectorInfo **ret) {
        return evidence_maker_run(maker, collect, ret);
}
