/* See bundle.h. */
#include "tcg/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/source.h"
#include "tcg/pcr-json.h"

Bundle *bundle_free(Bundle *bundle) {
        if (!bundle)
                return NULL;
        bytes_done(&bundle->qualifying_data);
        bytes_done(&bundle->quote);
        bytes_done(&bundle->signature);
        bytes_done(&bundle->aik_public);
        bytes_done(&bundle->aik_name);
        bytes_done(&bundle->aik_certificate);
        for (size_t i = 0; i < bundle->n_logs; i++)
                bytes_done(&bundle->logs[i].bytes);
        bundle_free(bundle->boot);
        free(bundle);
        return NULL;
}

/* ---- writing ---- */

static Err *add_log(Json *logs, const EvidenceLog *log) {
        _cleanup_json_ Json *object = NULL;
        _cleanup_bytes_ Bytes bytes = {};
        Digest digest;
        TRY(evidence_log_read(log, BUNDLE_SIZE_MAX / 4 * 3, &bytes));
        TRY(hash_digest(HASH_SHA256, bytes_span(&bytes), &digest));
        TRY(json_new_object(&object));
        TRY(json_add_string(object, "type", evidence_log_type_to_string(log->type)));
        TRY(json_add_integer(object, "size", (int64_t) bytes.size));
        TRY(json_add_hex(object, "sha256", digest_span(&digest)));
        TRY(json_add_base64url(object, "data", bytes_span(&bytes)));
        return json_append(logs, steal_ptr(&object));
}

static Err *add_logs(Json *bundle, const Evidence *evidence) {
        Json *logs;
        TRY(json_new_array(&logs));
        TRY(json_add(bundle, "logs", logs));
        for (size_t i = 0; i < evidence->n_logs; i++)
                TRY(add_log(logs, &evidence->logs[i]));
        return NULL;
}

static Err *add_findings(Json *bundle, const Evidence *evidence) {
        Json *verdicts;
        TRY(json_new_object(&verdicts));
        TRY(json_add(bundle, "verdicts", verdicts));
        for (unsigned i = 0; i < PCR_COUNT; i++) {
                char number[sizeof("23")];
                if (evidence->verdicts[i] == PCR_NOT_QUOTED)
                        continue;
                snprintf(number, sizeof(number), "%u", i);
                TRY(json_add_string(verdicts, number, pcr_verdict_to_string(evidence->verdicts[i])));
        }
        TRY(json_add_string(bundle, "boot_log_state", log_state_to_string(evidence->boot_log_state)));
        TRY(json_add_string(bundle, "boot_log_reason", evidence->boot_log_reason));
        TRY(json_add_string(bundle, "ima_log_state", log_state_to_string(evidence->ima_log_state)));
        TRY(json_add_string(bundle, "ima_log_reason", evidence->ima_log_reason));
        TRY(json_add_integer(bundle, "ima_entries", (int64_t) evidence->n_ima_entries));
        TRY(json_add_integer(bundle, "reset_count", evidence->reset_count));
        return json_add_integer(bundle, "restart_count", evidence->restart_count);
}

/* What an attestation is, the current one and that from before a hibernation alike. */
static Err *add_attestation(Json *bundle, const Evidence *evidence) {
        TRY(json_add_base64url(bundle, "quote", bytes_span(&evidence->quote)));
        TRY(json_add_base64url(bundle, "signature", bytes_span(&evidence->signature)));
        TRY(json_add_base64url(bundle, "aik_public", bytes_span(&evidence->aik_public)));
        if (evidence->aik_certificate.size > 0)
                TRY(json_add_base64url(bundle, "aik_certificate", bytes_span(&evidence->aik_certificate)));
        TRY(pcr_values_to_json(bundle, &evidence->pcrs));
        return add_logs(bundle, evidence);
}

static Err *add_boot_attestation(Json *bundle, const Evidence *evidence) {
        Json *boot;
        TRY(json_add_string(bundle, "boot_attestation_state", boot_attestation_state_to_string(evidence->boot_attestation_state)));
        TRY(json_add_string(bundle, "boot_attestation_reason", evidence->boot_attestation_reason));
        if (!evidence->boot)
                return NULL;
        TRY(json_new_object(&boot));
        TRY(json_add(bundle, "boot_attestation", boot));
        return add_attestation(boot, evidence->boot);
}

static Err *add_evidence(Json *bundle, const Evidence *evidence) {
        TRY(json_add_base64url(bundle, "aik_name", bytes_span(&evidence->aik_name)));
        TRY(add_findings(bundle, evidence));
        TRY(add_attestation(bundle, evidence));
        return add_boot_attestation(bundle, evidence);
}

Err *bundle_write(const BundleParts *parts, Bytes *ret) {
        _cleanup_json_ Json *bundle = NULL;
        _cleanup_free_ char *text = NULL;
        TRY(json_new_object(&bundle));
        TRY(json_add_string(bundle, "format", BUNDLE_FORMAT));
        TRY(json_add_integer(bundle, "version", BUNDLE_VERSION));
        TRY(json_add_integer(bundle, "created", (int64_t) parts->created_sec));
        TRY(json_add_string(bundle, "attestd", parts->program_version));
        TRY(json_add_base64url(bundle, "qualifying_data", parts->qualifying_data));
        TRY(json_add(bundle, "tpm", json_ref((Json *) parts->tpm)));
        TRY(json_add(bundle, "configuration", json_ref((Json *) parts->configuration)));
        TRY(add_evidence(bundle, parts->evidence));
        TRY(json_to_string(bundle, &text));
        return bytes_copy(span_from_string(text), ret);
}

/* ---- reading ---- */

static Err *malformed(Err *steal_err, const char *what) {
        ErrCode code = err_code(steal_err);
        if (code == ERR_JSON_MEMBER_MISSING || code == ERR_JSON_MEMBER_TYPE || code == ERR_INVALID_ARGUMENT || code == ERR_BASE64_INVALID)
                return err_wrap_code(ERR_EVIDENCE_MALFORMED, steal_err, "%s", what);
        return steal_err;
}

static Err *check_format(const Json *json) {
        const char *format;
        int64_t version;
        TRY(json_get_string(json, "format", &format));
        TRY(json_get_integer(json, "version", &version));
        if (!string_equal(format, BUNDLE_FORMAT))
                return err_new(ERR_EVIDENCE_MALFORMED, "format: \"%s\" is needed", BUNDLE_FORMAT);
        if (version != BUNDLE_VERSION)
                return err_new(ERR_NOT_SUPPORTED, "version %lld of evidence bundles is not known, %d is", (long long) version, BUNDLE_VERSION);
        return NULL;
}

static Err *check_log(const Json *json, const Bytes *bytes) {
        _cleanup_bytes_ Bytes expected = {};
        const char *hex;
        int64_t size;
        Digest digest;
        TRY(json_get_integer(json, "size", &size));
        TRY(json_get_string(json, "sha256", &hex));
        TRY(hex_decode(span_from_string(hex), "sha256", &expected));
        TRY(hash_digest(HASH_SHA256, bytes_span(bytes), &digest));
        if (size < 0 || (uint64_t) size != bytes->size)
                return err_new(ERR_EVIDENCE_MALFORMED, "size says %lld, there are %zu bytes", (long long) size, bytes->size);
        if (!span_equal(bytes_span(&expected), digest_span(&digest)))
                return err_new(ERR_EVIDENCE_MALFORMED, "data has another SHA-256 than the one beside it");
        return NULL;
}

static Err *read_one_log(const Json *json, Bundle *bundle) {
        const char *name;
        if (bundle->n_logs == EVIDENCE_LOGS_MAX)
                return err_new(ERR_EVIDENCE_MALFORMED, "there are more than %d logs", EVIDENCE_LOGS_MAX);
        BundleLog *log = &bundle->logs[bundle->n_logs++];
        TRY(json_get_string(json, "type", &name));
        for (unsigned type = 0; type < _EVIDENCE_LOG_TYPE_MAX; type++)
                if (string_equal(name, evidence_log_type_to_string(type))) {
                        log->type = type;
                        TRY(json_get_base64url(json, "data", &log->bytes));
                        return check_log(json, &log->bytes);
                }
        return err_new(ERR_EVIDENCE_MALFORMED, "type: \"%.16s\" is no kind of log", name);
}

static Err *read_logs(const Json *json, Bundle *bundle) {
        Json *list;
        TRY(json_get_array(json, "logs", &list));
        for (size_t i = 0; i < json_object_array_length(list); i++)
                TRY(err_wrap(read_one_log(json_object_array_get_idx(list, i), bundle), "logs[%zu]", i));
        return NULL;
}

static Err *read_attestation(const Json *json, Bundle *bundle) {
        TRY(json_get_base64url(json, "quote", &bundle->quote));
        TRY(json_get_base64url(json, "signature", &bundle->signature));
        TRY(json_get_base64url(json, "aik_public", &bundle->aik_public));
        if (json_get(json, "aik_certificate"))
                TRY(json_get_base64url(json, "aik_certificate", &bundle->aik_certificate));
        TRY(pcr_values_from_json(json, &bundle->pcrs));
        return read_logs(json, bundle);
}

static Err *read_boot_attestation(const Json *json, Bundle *bundle) {
        Json *boot;
        if (!json_get(json, "boot_attestation"))
                return NULL;
        TRY(json_get_object(json, "boot_attestation", &boot));
        bundle->boot = calloc(1, sizeof(Bundle));
        if (!bundle->boot)
                return err_oom();
        return err_wrap(read_attestation(boot, bundle->boot), "boot_attestation");
}

static Err *read_members(const Json *json, Bundle *bundle) {
        TRY(check_format(json));
        TRY(json_get_numeric_date(json, "created", &bundle->created_sec));
        TRY(json_get_base64url(json, "qualifying_data", &bundle->qualifying_data));
        TRY(json_get_base64url(json, "aik_name", &bundle->aik_name));
        TRY(read_attestation(json, bundle));
        return read_boot_attestation(json, bundle);
}

Err *bundle_parse(Span text, Bundle **ret) {
        static const char what[] = "the evidence bundle";
        _cleanup_json_ Json *json = NULL;
        TRY(json_parse(text, what, &json));
        if (!json_is_object(json))
                return err_new(ERR_EVIDENCE_MALFORMED, "%s is no JSON object", what);
        _cleanup_(bundle_freep) Bundle *bundle = calloc(1, sizeof(Bundle));
        if (!bundle)
                return err_oom();
        Err *err = read_members(json, bundle);
        if (err)
                return malformed(err, what);
        *ret = steal_ptr(&bundle);
        return NULL;
}

const Bytes *bundle_log(const Bundle *bundle, EvidenceLogType type) {
        for (size_t i = 0; i < bundle->n_logs; i++)
                if (bundle->logs[i].type == type)
                        return &bundle->logs[i].bytes;
        return NULL;
}
