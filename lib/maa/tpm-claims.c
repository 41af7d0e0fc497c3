/* See tpm-claims.h. */
#include "maa/tpm-claims.h"

#include <ctype.h>

#include "base/writer.h"
#include "tcg/secure-boot.h"
#include "tcg/service-events.h"
#include "tcg/verdict.h"

#define PCR_SECURE_BOOT 7

/* Where the documentation's rules look: all of Windows' tags, and those of its start and of a dynamic root of trust alone. */
#define PCRS_OF_WINDOWS (1u << 12 | 1u << 13 | 1u << 19 | 1u << 20)
#define PCRS_OF_START (1u << 12 | 1u << 19)

void tpm_claims_done(TpmClaims *claims) {
        json_unrefp(&claims->claims);
        json_unrefp(&claims->evidence);
}

/* ---- events ---- */

static Err *decode_events(const TpmClaimsLogs *logs, Json **ret) {
        Span boot_log = logs->boot_log ? bytes_span(logs->boot_log) : (Span) {}, ima_list = logs->ima_list ? bytes_span(logs->ima_list) : (Span) {};
        ServiceEventsInput input = { .boot_log = logs->boot_log ? &boot_log : NULL, .ima_list = logs->ima_list ? &ima_list : NULL };
        for (unsigned pcr = 0; pcr < PCR_COUNT; pcr++)
                if (logs->verdicts[pcr] == PCR_REPLAYED)
                        input.proven_pcrs |= UINT32_C(1) << pcr;
        return service_events_decode(&input, ret);
}

/* Events[? EventTypeString == 'EV_EVENT_TAG' && (PcrIndex in pcrs)].ProcessedData.EVENT_TRUSTBOUNDARY.MEMBER: counts those that are wanted, and all. */
static void count_values(const Json *events, uint32_t pcrs, const char *member, bool wanted, size_t *n_wanted, size_t *n) {
        Json *list = json_get(events, "Events");
        for (size_t i = 0; list && i < json_object_array_length(list); i++) {
                const Json *event = json_object_array_get_idx(list, i);
                int64_t pcr = json_object_get_int64(json_get(event, "PcrIndex"));
                Json *value = json_get(json_get(json_get(event, "ProcessedData"), "EVENT_TRUSTBOUNDARY"), member);
                if (pcr < 0 || pcr >= PCR_COUNT || !(pcrs >> pcr & 1) || !value)
                        continue;
                (*n)++;
                if (json_object_is_type(value, json_type_boolean) && (bool) json_object_get_boolean(value) == wanted)
                        (*n_wanted)++;
        }
}

/* ContainsOnlyValue(set, wanted), with which an empty set is false. */
static bool has_only(const Json *events, uint32_t pcrs, const char *member, bool wanted) {
        size_t n_wanted = 0, n = 0;
        count_values(events, pcrs, member, wanted, &n_wanted, &n);
        return n > 0 && n_wanted == n;
}

static bool is_vbs_enabled(const Json *events) {
        size_t n_wanted = 0, n = 0;
        count_values(events, PCRS_OF_START, "EVENT_VBS_VSM_REQUIRED", true, &n_wanted, &n);
        count_values(events, PCRS_OF_START, "EVENT_VBS_MANDATORY_ENFORCEMENT", true, &n_wanted, &n);
        return n > 0 && n_wanted == n;
}

static Err *is_secure_boot(const TpmClaimsLogs *logs, bool *ret) {
        const PcrBank *bank = pcr_values_strongest(logs->pcrs);
        *ret = false;
        if (!logs->boot_log || !bank || logs->verdicts[PCR_SECURE_BOOT] != PCR_REPLAYED)
                return NULL;
        return secure_boot_measured(bytes_span(logs->boot_log), bank->alg, ret);
}

/* ---- claims ---- */

static Err *make_claims(const TpmClaimsInput *input, const Json *events, Json **ret) {
        _cleanup_json_ Json *claims = NULL;
        _cleanup_free_ char *aik_hash = NULL;
        bool secure_boot;
        TRY(base64_encode(digest_span(&input->aik_hash), &aik_hash));
        TRY(is_secure_boot(&input->current, &secure_boot));
        TRY(json_new_object(&claims));
        TRY(json_add_boolean(claims, "aikValidated", input->aik_validated));
        TRY(json_add_string(claims, "aikPubHash", aik_hash));
        TRY(json_add_integer(claims, "tpmVersion", 2));
        TRY(json_add_boolean(claims, "secureBootEnabled", secure_boot));
        TRY(json_add_boolean(claims, "iommuEnabled", has_only(events, PCRS_OF_WINDOWS, "EVENT_VBS_IOMMU_REQUIRED", true)));
        TRY(json_add_boolean(claims, "bootDebuggingDisabled", has_only(events, PCRS_OF_WINDOWS, "EVENT_BOOTDEBUGGING", false)));
        TRY(json_add_boolean(claims, "notSafeMode", has_only(events, PCRS_OF_WINDOWS, "EVENT_SAFEMODE", false)));
        TRY(json_add_boolean(claims, "notWinPE", has_only(events, PCRS_OF_WINDOWS, "EVENT_WINPE", false)));
        TRY(json_add_boolean(claims, "vbsEnabled", is_vbs_enabled(events)));
        TRY(json_add_boolean(claims, "vbsReportPresent", input->has_vbs_report));
        *ret = steal_ptr(&claims);
        return NULL;
}

static void write_digests(Writer *writer, const PcrValues *values, unsigned pcr) {
        const char *separator = "";
        for (size_t i = 0; i < values->n_banks; i++) {
                const PcrBank *bank = &values->banks[i];
                if (!(bank->mask >> pcr & 1))
                        continue;
                writer_format(writer, "%s\"", separator);
                for (const char *p = hash_name(bank->alg); *p; p++)
                        writer_format(writer, "%c", toupper((unsigned char) *p));
                writer_string(writer, "\":\"");
                writer_base64url(writer, digest_span(&bank->values[pcr]));
                writer_string(writer, "\"");
                separator = ",";
        }
}

/* {"PCRs":[{"Index":0,"Digests":{"SHA256":base64url}}]}. */
static Err *pcrs_to_text(const PcrValues *values, char **ret) {
        _cleanup_writer_ Writer writer = {};
        writer_string(&writer, "{\"PCRs\":[");
        for (unsigned pcr = 0; pcr < PCR_COUNT; pcr++) {
                writer_format(&writer, "%s{\"Index\":%u,\"Digests\":{", pcr > 0 ? "," : "", pcr);
                write_digests(&writer, values, pcr);
                writer_string(&writer, "}}");
        }
        writer_string(&writer, "]}");
        return writer_finish_string(&writer, ret);
}

static Err *add_text(Json *evidence, const char *name, const Json *value) {
        _cleanup_free_ char *text = NULL;
        TRY(json_to_string(value, &text));
        return json_add_string(evidence, name, text);
}

static Err *make_evidence(const TpmClaimsInput *input, const Json *events, Json **ret) {
        _cleanup_json_ Json *evidence = NULL, *boot_events = NULL;
        _cleanup_free_ char *pcrs = NULL;
        TRY(json_new_object(&evidence));
        TRY(add_text(evidence, "events", events));
        if (input->boot) {
                TRY(decode_events(input->boot, &boot_events));
                TRY(add_text(evidence, "bootEvents", boot_events));
        }
        TRY(pcrs_to_text(input->current.pcrs, &pcrs));
        TRY(json_add_string(evidence, "pcrs", pcrs));
        *ret = steal_ptr(&evidence);
        return NULL;
}

Err *tpm_claims_make(const TpmClaimsInput *input, TpmClaims *ret) {
        _cleanup_tpm_claims_ TpmClaims claims = {};
        _cleanup_json_ Json *events = NULL;
        TRY(decode_events(&input->current, &events));
        TRY(make_claims(input, events, &claims.claims));
        TRY(make_evidence(input, events, &claims.evidence));
        *ret = claims;
        claims = (TpmClaims) {};
        return NULL;
}
