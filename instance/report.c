/* See report.h. */
#include "instance/report.h"

#include <inttypes.h>
#include <openssl/rand.h>

#include "base/writer.h"
#include "jose/jws.h"
#include "tcg/quote.h"

#define POLICY_TEXT_FORMAT                                                                                                                 \
        "version=1.1;\n"                                                                                                                   \
        "configurationrules{\n"                                                                                                            \
        "\t=> issueproperty(type=\"require_valid_aik_cert\", value=false);\n"                                                              \
        "\t=> issueproperty(type=\"required_pcr_mask\", value=%" PRIu32 ");\n"                                                             \
        "};\n"                                                                                                                             \
        "authorizationrules{\n"                                                                                                            \
        "\t=> permit();\n"                                                                                                                 \
        "};\n"                                                                                                                             \
        "issuancerules{\n"                                                                                                                 \
        "\t=> issueproperty(type=\"report_validity_in_minutes\", value=%" PRIu64 ");\n"                                                    \
        "\tc:[issuer==\"AttestationService\"] => issue(claim=c);\n"                                                                        \
        "\tc:[issuer==\"CustomClaim\"] => issue(claim=c);\n"                                                                               \
        "};\n"

Err *report_policy_text(uint32_t required_pcrs, uint64_t lifetime_sec, char **ret) {
        return string_format(ret, POLICY_TEXT_FORMAT, required_pcrs, (lifetime_sec + 59) / 60);
}

Err *report_policy_hash(const char *policy_text, char **ret) {
        _cleanup_free_ char *encoded = NULL;
        Digest digest;
        TRY(base64url_encode(span_from_string(policy_text), &encoded));
        TRY(hash_digest(HASH_SHA256, span_from_string(encoded), &digest));
        return base64url_encode(digest_span(&digest), ret);
}

static Err *add_pcr_list(Json *claims, const char *name, const PcrVerdict verdicts[PCR_COUNT], PcrVerdict wanted) {
        _cleanup_json_ Json *list = NULL;
        TRY(json_new_array(&list));
        for (int i = 0; i < PCR_COUNT; i++)
                if (verdicts[i] == wanted)
                        TRY(json_append(list, json_object_new_int(i)));
        return json_add(claims, name, steal_ptr(&list));
}

/* About the attestation from before a hibernation; nothing where there is none. */
static Err *add_boot_attestation(Json *claims, const Verdict *verdict) {
        if (!verdict->has_boot_attestation)
                return NULL;
        TRY(json_add_boolean(claims, "bootAttestationPresent", true));
        TRY(json_add_integer(claims, "bootAttestationRestartCount", verdict->boot_restart_count));
        TRY(json_add_boolean(claims, "bootAttestationSecureBootEnabled", verdict->boot_secure_boot));
        TRY(add_pcr_list(claims, "bootAttestationPcrs-replayed", verdict->boot_pcrs, PCR_REPLAYED));
        return add_pcr_list(claims, "bootAttestationPcrs-unexplained", verdict->boot_pcrs, PCR_UNEXPLAINED);
}

/* The instance's own claims, beside those of the service. */
static Err *add_verdict(Json *claims, const Verdict *verdict) {
        TRY(json_add_string(claims, "aikNotValidatedReason", verdict->aik_reason));
        TRY(json_add_string(claims, "pcrBank", hash_name(verdict->bank)));
        TRY(add_pcr_list(claims, "pcrs-replayed", verdict->pcrs, PCR_REPLAYED));
        TRY(add_pcr_list(claims, "pcrs-unexplained", verdict->pcrs, PCR_UNEXPLAINED));
        TRY(add_pcr_list(claims, "pcrs-unused", verdict->pcrs, PCR_UNUSED));
        TRY(json_add_boolean(claims, "bootLogPresent", verdict->has_boot_log));
        if (verdict->has_boot_log)
                TRY(json_add_integer(claims, "bootLogEvents", (int64_t) verdict->n_boot_events));
        TRY(json_add_boolean(claims, "imaLogPresent", verdict->has_ima_log));
        if (verdict->has_ima_log) {
                TRY(json_add_integer(claims, "imaEntries", (int64_t) verdict->n_ima_entries));
                TRY(json_add_integer(claims, "imaViolations", (int64_t) verdict->n_ima_violations));
        }
        TRY(add_boot_attestation(claims, verdict));
        TRY(json_add_integer(claims, "tpmResetCount", verdict->reset_count));
        return json_add_integer(claims, "tpmRestartCount", verdict->restart_count);
}

static Err *add_all(Json *claims, const Json *others) {
        if (!others)
                return NULL;
        json_object_object_foreach((Json *) others, name, value) {
                TRY(json_add(claims, name, json_ref(value)));
        }
        return NULL;
}

/* A name that comes again becomes a list, as with claims that a policy issues twice. */
static Err *add_custom(Json *custom, const char *name, Json *steal_value) {
        _cleanup_json_ Json *value = steal_value, *list = NULL;
        Json *old = json_get(custom, name);
        if (!old)
                return json_add(custom, name, steal_ptr(&value));
        if (json_is_array(old))
                return json_append(old, steal_ptr(&value));
        TRY(json_new_array(&list));
        TRY(json_append(list, json_object_get(old)));
        TRY(json_append(list, steal_ptr(&value)));
        return json_add(custom, name, steal_ptr(&list));
}

Err *report_service_claims(const Verdict *verdict, Json **ret) {
        _cleanup_json_ Json *claims = NULL;
        TRY(json_new_object(&claims));
        TRY(add_all(claims, verdict->claims.claims));
        TRY(add_verdict(claims, verdict));
        TRY(add_all(claims, verdict->vsm_claims));
        *ret = steal_ptr(&claims);
        return NULL;
}

Err *report_policy_claims(const Verdict *verdict, const Json *custom_claims, char **ret) {
        _cleanup_json_ Json *claims = NULL, *custom = NULL;
        TRY(report_service_claims(verdict, &claims));
        TRY(json_new_object(&custom));
        for (size_t i = 0; custom_claims && i < json_object_array_length(custom_claims); i++) {
                const char *name;
                Json *value;
                TRY(attest_request_claim(json_object_array_get_idx(custom_claims, i), &name, &value));
                TRY(add_custom(custom, name, value));
        }
        json_object_object_foreach(custom, name, value) {
                if (json_get(claims, name))
                        return err_new(ERR_EVIDENCE_MALFORMED, "custom_claims: \"%.64s\" is a name of the service's own claims", name);
                TRY(json_add(claims, name, json_object_get(value)));
        }
        return json_to_string(claims, ret);
}

static Err *write_policy_object(Writer *writer, const MessageKey *key) {
        TpmPublic public;
        TRY(tpm_public_parse(bytes_span(&key->public), &public));
        writer_format(writer, ",\"info\":{\"tpm_certify\":{\"name_alg\":%u,\"obj_attr\":%" PRIu32, (unsigned) public.name_alg, public.attributes);
        if (public.auth_policy.size > 0) {
                writer_string(writer, ",\"auth_policy\":\"");
                writer_base64url(writer, public.auth_policy);
                writer_string(writer, "\"");
        }
        writer_string(writer, "}}");
        return NULL;
}

static Err *write_key(Writer *writer, const MessageKey *key, bool is_request_key) {
        _cleanup_free_ char *jwk = NULL;
        TRY(jwk_public_text(key->key->key, &jwk));
        writer_format(writer, "{\"jwk\":%s", jwk);
        if (key->is_certified)
                TRY(write_policy_object(writer, key));
        else if (is_request_key)
                writer_string(writer, ",\"info\":{\"tpm_quote\":{\"hash_alg\":\"sha-256\"}}");
        writer_string(writer, "}");
        return NULL;
}

Err *report_request_key(const AttestRequest *request, char **ret) {
        _cleanup_writer_ Writer writer = {};
        TRY(write_key(&writer, &request->request_key, /* is_request_key= */ true));
        return writer_finish_string(&writer, ret);
}

Err *report_other_keys(const AttestRequest *request, char **ret) {
        _cleanup_writer_ Writer writer = {};
        if (request->n_other_keys == 0) {
                *ret = NULL;
                return NULL;
        }
        writer_string(&writer, "[");
        for (size_t i = 0; i < request->n_other_keys; i++) {
                writer_string(&writer, i > 0 ? "," : "");
                TRY(write_key(&writer, &request->other_keys[i], /* is_request_key= */ false));
        }
        writer_string(&writer, "]");
        return writer_finish_string(&writer, ret);
}

Err *report_init(Report *report, int64_t now_sec, uint64_t lifetime_sec) {
        uint8_t id[20];
        if (RAND_bytes(id, sizeof(id)) != 1)
                return err_new(ERR_INTERNAL, "OpenSSL has no random bytes");
        hex_encode_into(SPAN_OF(id), report->id);
        report->issued = now_sec;
        report->not_before = now_sec - REPORT_BACKDATE_SEC;
        report->expires = now_sec + (int64_t) lifetime_sec;
        return NULL;
}

Err *report_claims_text(const Report *report, Bytes *ret) {
        _cleanup_writer_ Writer writer = {};
        writer_format(&writer, "{\"nbf\":%" PRId64 ",\"exp\":%" PRId64 ",\"iat\":%" PRId64 ",\"iss\":", report->not_before, report->expires,
                      report->issued);
        writer_json_string(&writer, span_from_string(report->issuer));
        writer_format(&writer, ",\"jti\":\"%s\",\"ver\":\"1.0\",\"x-ms-ver\":\"1.0\"", report->id);
        if (report->rp_data) {
                writer_string(&writer, ",\"rp_data\":");
                writer_json_string(&writer, span_from_string(report->rp_data));
        }
        if (report->nonce) {
                writer_string(&writer, ",\"nonce\":");
                writer_json_string(&writer, span_from_string(report->nonce));
        }
        writer_format(&writer, ",\"cnf\":{\"jwk\":%s},\"x-ms-policy-hash\":\"%s\"", report->confirmed_jwk, report->policy_hash);
        writer_format(&writer, ",\"x-ms-tpm-request-key\":%s", report->request_key);
        if (report->other_keys)
                writer_format(&writer, ",\"x-ms-tpm-other-keys\":%s", report->other_keys);
        writer_format(&writer, ",\"x-ms-policy\":%s}", report->policy_claims);
        return writer_finish(&writer, ret);
}

Err *report_header_text(const ReportHeader *header, char **ret) {
        _cleanup_writer_ Writer writer = {};
        writer_format(&writer, "{\"typ\":\"JWT\",\"alg\":\"%s\"", header->alg);
        if (header->x5c)
                writer_format(&writer, ",\"x5c\":%s", header->x5c);
        if (header->kid)
                writer_format(&writer, ",\"kid\":\"%s\"", header->kid);
        writer_format(&writer, "%s}", header->extra ? header->extra : "");
        return writer_finish_string(&writer, ret);
}

Err *report_sign(const Report *report, const Identity *identity, char **ret) {
        X509 *chain[IDENTITY_CHAIN_SIZE];
        for (size_t i = 0; i < IDENTITY_CHAIN_SIZE; i++)
                chain[i] = identity->token_chain[i].certificate;
        _cleanup_free_ char *x5c = NULL, *x5t = NULL, *header = NULL;
        _cleanup_bytes_ Bytes claims = {};
        if (report->omit_x5c)
                TRY(string_format(&x5t, ",\"x5t\":\"%s\"", identity->token_kid));
        else
                TRY(identity_x5c(chain, IDENTITY_CHAIN_SIZE, &x5c));
        TRY(report_header_text(&(ReportHeader) { .alg = "RS256", .x5c = x5c, .kid = identity->token_kid, .extra = x5t }, &header));
        TRY(report_claims_text(report, &claims));
        return jws_sign(JOSE_ALG_RS256, identity->token_chain[0].key, header, bytes_span(&claims), ret);
}
