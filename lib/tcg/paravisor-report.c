/* See paravisor-report.h. Everything is little endian; sources: OpenHCL's igvm_attest/get.rs, and real reports.
 *
 *     0x000  "HCLA" | u32 version (1, 2) | u32 report_size | u32 request_type | u32 status | reserved 12
 *     0x020  the TEE's report, filled with zeroes up to 1184 bytes
 *     0x4c0  u32 data_size | u32 version (1) | u32 report_type | u32 hash_type | u32 claims_size
 *     0x4d4  claims: JSON | zeroes up to the end of the index
 *
 * data_size = 20 + claims_size and report_size = 32 + 1184 + data_size. */
#include "tcg/paravisor-report.h"

#include "base/reader.h"
#include "tcg/hash.h"

#define HEADER_SIZE 32
#define CLAIMS_HEADER_SIZE 20
#define TEE_AREA_SIZE SNP_REPORT_SIZE
#define MAGIC "HCLA"
#define WHAT "paravisor report"

ParavisorReport *paravisor_report_free(ParavisorReport *report) {
        if (!report)
                return NULL;
        json_unref(report->claims);
        pkey_free(report->ak);
        pkey_free(report->ek);
        bytes_done(&report->user_data);
        free(report);
        return NULL;
}

bool paravisor_report_detect(Span input) {
        return input.size >= strlen(MAGIC) && span_equal_string(span_make(input.data, strlen(MAGIC)), MAGIC);
}

const char *paravisor_tee_to_string(ParavisorTee tee) {
        switch (tee) {
        case PARAVISOR_TEE_VBS_VM:
                return "vbs-vm";
        case PARAVISOR_TEE_SNP:
                return "snp";
        case PARAVISOR_TEE_NONE:
                return "none";
        case PARAVISOR_TEE_TDX:
                return "tdx";
        }
        return "unknown";
}

static uint16_t hash_of_type(uint32_t type) {
        static const uint16_t algs[] = { [1] = HASH_SHA256, [2] = HASH_SHA384, [3] = HASH_SHA512 };
        return type < N_ELEMENTS(algs) ? algs[type] : HASH_NONE;
}

static Err *parse_tee_report(Span area, ParavisorReport *report) {
        size_t size = 0;
        switch (report->tee) {
        case PARAVISOR_TEE_SNP:
                size = SNP_REPORT_SIZE;
                TRY(snp_report_parse(span_make(area.data, size), &report->snp));
                report->report_data = report->snp.report_data;
                break;
        case PARAVISOR_TEE_TDX:
                size = TDX_REPORT_SIZE;
                TRY(tdx_report_parse(span_make(area.data, size), &report->tdx));
                report->report_data = report->tdx.report_data;
                break;
        case PARAVISOR_TEE_VBS_VM:
                TRY(vbs_vm_report_parse(area, &report->vbs));
                size = report->vbs.package_size;
                report->report_data = report->vbs.report_data;
                break;
        case PARAVISOR_TEE_NONE:
                break;
        }
        report->tee_report = span_make(area.data, size);
        if (!span_is_zero(span_make(area.data + size, area.size - size)))
                return err_new(ERR_PARAVISOR_REPORT_MALFORMED, WHAT ": the %s report ends at byte %zu of its area and is followed by other bytes than zeroes",
                               paravisor_tee_to_string(report->tee), size);
        return NULL;
}

static Err *malformed_claims(Err *cause) {
        return err_wrap_code(ERR_PARAVISOR_REPORT_MALFORMED, cause, WHAT ": the runtime claims");
}

static Err *take_key(const Json *item, const char *kid, const char *wanted, EVP_PKEY **key) {
        _cleanup_(jwk_freep) Jwk *jwk = NULL;
        if (!string_equal(kid, wanted))
                return NULL;
        if (*key)
                return err_new(ERR_PARAVISOR_REPORT_MALFORMED, "keys: two are called %s", wanted);
        TRY(err_wrap(jwk_from_json(item, &jwk), "keys: %s", wanted));
        *key = steal_ptr(&jwk->key);
        return NULL;
}

static Err *take_keys(ParavisorReport *report) {
        Json *keys;
        if (!json_get(report->claims, "keys"))
                return NULL;
        TRY(json_get_array(report->claims, "keys", &keys));
        for (size_t i = 0; i < json_object_array_length(keys); i++) {
                const Json *item = json_object_array_get_idx(keys, i);
                const char *kid;
                TRY(json_get_string(item, "kid", &kid));
                TRY(take_key(item, kid, "HCLAkPub", &report->ak));
                TRY(take_key(item, kid, "HCLEkPub", &report->ek));
        }
        return NULL;
}

static Err *take_user_data(ParavisorReport *report) {
        const char *text;
        TRY(json_get_string_optional(report->claims, "user-data", &text));
        if (!text)
                return NULL;
        TRY(hex_decode(span_from_string(text), "user-data", &report->user_data));
        if (report->user_data.size != PARAVISOR_USER_DATA_SIZE)
                return err_new(ERR_PARAVISOR_REPORT_MALFORMED, "user-data: %zu bytes, %d are needed", report->user_data.size, PARAVISOR_USER_DATA_SIZE);
        return NULL;
}

static Err *parse_claims(ParavisorReport *report) {
        TRY(malformed_claims(json_parse(report->claims_text, "the text", &report->claims)));
        if (!json_is_object(report->claims))
                return err_new(ERR_PARAVISOR_REPORT_MALFORMED, WHAT ": the runtime claims are no JSON object");
        TRY(malformed_claims(take_keys(report)));
        return malformed_claims(take_user_data(report));
}

static void read_header(Reader *reader, ParavisorReport *report, uint32_t *ret_report_size) {
        if (!span_equal_string(reader_span(reader, strlen(MAGIC), "signature"), MAGIC))
                reader_fail(reader, "signature");
        report->version = reader_u32le(reader, "version");
        if (report->version != 1 && report->version != 2)
                reader_fail(reader, "version");
        *ret_report_size = reader_u32le(reader, "report_size");
        report->request_type = reader_u32le(reader, "request_type");
        report->status = reader_u32le(reader, "status");
        reader_span(reader, 12, "reserved bytes");
}

static void read_claims(Reader *reader, ParavisorReport *report, uint32_t report_size) {
        uint32_t data_size = reader_u32le(reader, "data_size");
        if ((uint64_t) HEADER_SIZE + TEE_AREA_SIZE + data_size != report_size)
                reader_fail(reader, "data_size beside report_size");
        if (reader_u32le(reader, "the version of the claims") != 1) /* 2 has a field more and goes to the host alone */
                reader_fail(reader, "the version of the claims");
        uint32_t tee = reader_u32le(reader, "report_type");
        if (tee < PARAVISOR_TEE_VBS_VM || tee > PARAVISOR_TEE_TDX)
                reader_fail(reader, "report_type");
        report->tee = reader_failed(reader) ? PARAVISOR_TEE_NONE : (ParavisorTee) tee;
        report->hash_alg = hash_of_type(reader_u32le(reader, "hash_type"));
        if (report->hash_alg == HASH_NONE)
                reader_fail(reader, "hash_type");
        uint32_t claims_size = reader_u32le(reader, "the size of the claims");
        if ((uint64_t) CLAIMS_HEADER_SIZE + claims_size != data_size)
                reader_fail(reader, "the size of the claims beside data_size");
        report->claims_text = reader_span(reader, claims_size, "the claims");
        if (!span_is_zero(reader_rest(reader)))
                reader_fail(reader, "the padding");
}

Err *paravisor_report_parse(Span input, ParavisorReport **ret) {
        if (input.size > PARAVISOR_REPORT_SIZE_MAX)
                return err_new(ERR_PARAVISOR_REPORT_MALFORMED, WHAT ": %zu bytes, at most %d are possible", input.size, PARAVISOR_REPORT_SIZE_MAX);
        _cleanup_(paravisor_report_freep) ParavisorReport *report = calloc(1, sizeof(*report));
        if (!report)
                return err_oom();
        Reader reader = reader_make(input);
        uint32_t report_size;
        read_header(&reader, report, &report_size);
        Span area = reader_span(&reader, TEE_AREA_SIZE, "the TEE's report");
        read_claims(&reader, report, report_size);
        TRY(reader_finish(&reader, ERR_PARAVISOR_REPORT_MALFORMED, WHAT));
        TRY(parse_tee_report(area, report));
        TRY(parse_claims(report));
        *ret = steal_ptr(&report);
        return NULL;
}

Err *paravisor_report_binds_claims(const ParavisorReport *report) {
        Digest digest;
        if (report->tee == PARAVISOR_TEE_NONE)
                return err_new(ERR_PARAVISOR_REPORT_MISMATCH, "the report holds no TEE's report, so nothing vouches for its runtime claims");
        TRY(hash_digest(report->hash_alg, report->claims_text, &digest));
        Span head = span_make(report->report_data.data, digest.size);
        Span tail = span_make(report->report_data.data + digest.size, report->report_data.size - digest.size);
        if (!span_equal(head, digest_span(&digest)) || !span_is_zero(tail))
                return err_new(ERR_PARAVISOR_REPORT_MISMATCH, "report_data of the %s report is not the %s of the runtime claims",
                               paravisor_tee_to_string(report->tee), hash_name(report->hash_alg));
        return NULL;
}

Err *paravisor_report_binds_key(const ParavisorReport *report, EVP_PKEY *aik) {
        TRY(paravisor_report_binds_claims(report));
        if (!report->ak)
                return err_new(ERR_PARAVISOR_REPORT_MISMATCH, "the runtime claims name no attestation key (HCLAkPub)");
        if (!jwk_same_key(report->ak, aik))
                return err_new(ERR_PARAVISOR_REPORT_MISMATCH, "the runtime claims name another attestation key (HCLAkPub) than the AIK");
        return NULL;
}

Err *paravisor_report_binds_text(const ParavisorReport *report, Span text) {
        Digest digest;
        TRY(paravisor_report_binds_claims(report));
        TRY(hash_digest(HASH_SHA512, text, &digest));
        if (!span_equal(bytes_span(&report->user_data), digest_span(&digest)))
                return err_new(ERR_PARAVISOR_REPORT_MISMATCH, "user-data of the runtime claims is not the SHA-512 of the signed text");
        return NULL;
}
