/* See message.h. */
#include "instance/message.h"

#include <errno.h>
#include <strings.h>

#define REQUEST_TYPE "attReqV2"
#define HASH_NAME "sha-256"    /* the only name with evidence */
#define CUSTOM_CLAIMS_MAX 64

void message_done(Message *message) {
        json_unref(message->inner);
        *message = (Message) {};
}

/* A member by its name in any case; twice in different cases is as ambiguous as twice. Borrowed. */
static Err *get_any_case(const Json *object, const char *what, const char *member, Json **ret) {
        Json *found = NULL;
        if (!json_is_object(object))
                return err_new(ERR_EVIDENCE_MALFORMED, "%s is no JSON object", what);
        json_object_object_foreach((Json *) object, name, value) {
                if (strcasecmp(name, member) != 0)
                        continue;
                if (found)
                        return err_new(ERR_JSON_DUPLICATE_MEMBER, "%s has the member \"%s\" twice", what, member);
                found = value;
        }
        if (!found)
                return err_new(ERR_JSON_MEMBER_MISSING, "%s has no member \"%s\"", what, member);
        *ret = found;
        return NULL;
}

static Err *get_any_case_string(const Json *object, const char *what, const char *member, const char **ret) {
        Json *value;
        TRY(get_any_case(object, what, member, &value));
        if (!json_is_string(value))
                return err_new(ERR_JSON_MEMBER_TYPE, "%s: \"%s\" is no string", what, member);
        *ret = json_object_get_string(value);
        return NULL;
}

static bool has_any_case(const Json *object, const char *member) {
        json_object_object_foreach((Json *) object, name, value) {
                if (strcasecmp(name, member) == 0 && value)
                        return true;
        }
        return false;
}

static Err *open_envelope(Span body, Json **ret) {
        _cleanup_json_ Json *outer = NULL;
        TRY(json_parse(body, "the body", &outer));
        const char *data;
        TRY(get_any_case_string(outer, "the body", "data", &data));
        _cleanup_bytes_ Bytes text = {};
        TRY(base64_decode_lenient(span_from_string(data), "data", &text));
        return json_parse(bytes_span(&text), "the JSON in data", ret);
}

Err *message_open(Span body, Message *ret) {
        _cleanup_message_ Message message = {};
        TRY(open_envelope(body, &message.inner));
        Json *payload;
        TRY(get_any_case(message.inner, "the JSON in data", "payload", &payload));
        if (!json_is_object(payload))
                return err_new(ERR_JSON_MEMBER_TYPE, "payload is no object");
        bool is_request = has_any_case(payload, "request");
        if (is_request && has_any_case(payload, "type"))
                return err_new(ERR_EVIDENCE_MALFORMED, "payload has both \"type\" and \"request\"");
        if (is_request) {
                message.type = MESSAGE_REQUEST;
                TRY(get_any_case_string(payload, "payload", "request", &message.request));
        } else {
                const char *type;
                TRY(get_any_case_string(payload, "payload", "type", &type));
                if (!string_equal(type, "aikcert"))
                        return err_new(ERR_EVIDENCE_MALFORMED, "payload.type is \"%.32s\", only \"aikcert\" is known", type);
        }
        *ret = message;
        message = (Message) {};
        return NULL;
}

static void message_key_done(MessageKey *key) {
        jwk_free(key->key);
        bytes_done(&key->public);
        bytes_done(&key->certification);
        bytes_done(&key->signature);
}

AttestRequest *attest_request_free(AttestRequest *request) {
        if (!request)
                return NULL;
        for (size_t i = 0; i < request->n_logs; i++)
                bytes_done(&request->logs[i].bytes);
        bytes_done(&request->signature);
        bytes_done(&request->quote);
        bytes_done(&request->aik_certificate);
        attest_request_free(request->boot);
        EVP_PKEY_free(request->aik);
        bytes_done(&request->challenge);
        message_key_done(&request->request_key);
        for (size_t i = 0; i < request->n_other_keys; i++)
                message_key_done(&request->other_keys[i]);
        bytes_done(&request->payload);
        vsm_report_done(&request->vsm_report);
        json_unref(request->json);
        free(request);
        return NULL;
}

static Err *parse_pcr_value(const Json *json, PcrBank *bank, int64_t *last) {
        int64_t index;
        TRY(json_get_integer(json, "index", &index));
        if (index < 0 || index >= PCR_COUNT)
                return err_new(ERR_EVIDENCE_MALFORMED, "index %lld is no PCR from 0 to %d", (long long) index, PCR_COUNT - 1);
        if (index <= *last)
                return err_new(ERR_EVIDENCE_MALFORMED, "index %d stands behind %d, the order is ascending", (int) index, (int) *last);
        _cleanup_bytes_ Bytes digest = {};
        TRY(json_get_base64url(json, "digest", &digest));
        if (digest.size != hash_size(bank->alg))
                return err_new(ERR_EVIDENCE_MALFORMED, "digest of PCR %d has %zu bytes, %s has %zu", (int) index, digest.size,
                               hash_name(bank->alg), hash_size(bank->alg));
        Digest *value = &bank->values[index];
        value->alg = bank->alg;
        value->size = (uint16_t) digest.size;
        /* lint: a digest by value; both sizes are checked */
        memcpy(value->bytes, digest.data, MIN_OF(digest.size, sizeof(value->bytes)));
        bank->mask |= UINT32_C(1) << index;
        *last = index;
        return NULL;
}

static Err *parse_bank(const Json *json, PcrValues *values) {
        int64_t alg;
        TRY(json_get_integer(json, "algorithm", &alg));
        if (alg < 0 || alg > UINT16_MAX || hash_size((uint16_t) alg) == 0)
                return err_new(ERR_EVIDENCE_MALFORMED, "algorithm %lld is no TPM_ALG_ID of a hash that is known", (long long) alg);
        if (pcr_values_bank(values, (uint16_t) alg))
                return err_new(ERR_EVIDENCE_MALFORMED, "algorithm %s stands there twice", hash_name((uint16_t) alg));
        if (values->n_banks == PCR_BANKS_MAX)
                return err_new(ERR_EVIDENCE_MALFORMED, "more than %d banks", PCR_BANKS_MAX);
        PcrBank *bank = &values->banks[values->n_banks++];
        *bank = (PcrBank) { .alg = (uint16_t) alg };
        Json *list;
        TRY(json_get_array(json, "values", &list));
        int64_t last = -1;
        for (size_t i = 0; i < json_object_array_length(list); i++)
                TRY(err_wrap(parse_pcr_value(json_object_array_get_idx(list, i), bank, &last), "values[%zu]", i));
        return NULL;
}

static Err *parse_pcrs(const Json *attestation, PcrValues *ret) {
        Json *list;
        TRY(json_get_array(attestation, "pcrs", &list));
        for (size_t i = 0; i < json_object_array_length(list); i++)
                TRY(err_wrap(parse_bank(json_object_array_get_idx(list, i), ret), "pcrs[%zu]", i));
        return NULL;
}

static Err *parse_log(const Json *json, MessageLog *log) {
        const char *type;
        TRY(json_get_string(json, "type", &type));
        if (string_equal(type, "TCG"))
                log->type = EVIDENCE_LOG_TCG;
        else if (string_equal(type, "IMA"))
                log->type = EVIDENCE_LOG_IMA;
        else
                return err_new(ERR_EVIDENCE_MALFORMED, "type is \"%.32s\", only TCG and IMA are known", type);
        return json_get_base64url(json, "log", &log->bytes);
}

static Err *parse_logs(const Json *attestation, AttestRequest *request) {
        Json *list;
        TRY(json_get_array(attestation, "logs", &list));
        if (json_object_array_length(list) > MESSAGE_LOGS_MAX)
                return err_new(ERR_EVIDENCE_MALFORMED, "logs has more than %d elements", MESSAGE_LOGS_MAX);
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                request->n_logs = i + 1;
                TRY(err_wrap(parse_log(json_object_array_get_idx(list, i), &request->logs[i]), "logs[%zu]", i));
        }
        return NULL;
}

static Err *parse_aik(const Json *attestation, AttestRequest *request) {
        Json *json;
        TRY(json_get_object(attestation, "aik_pub", &json));
        _cleanup_(jwk_freep) Jwk *jwk = NULL;
        TRY(err_wrap(jwk_from_json(json, &jwk), "aik_pub"));
        request->aik = steal_ptr(&jwk->key);
        if (json_get(attestation, "aik_cert"))
                TRY(json_get_base64url(attestation, "aik_cert", &request->aik_certificate));
        return NULL;
}

static Err *parse_attestation(const Json *attestation, AttestRequest *request) {
        TRY(parse_logs(attestation, request));
        TRY(parse_aik(attestation, request));
        TRY(parse_pcrs(attestation, &request->pcrs));
        TRY(json_get_base64url(attestation, "quote", &request->quote));
        return json_get_base64url(attestation, "signature", &request->signature);
}

static Err *parse_attestations(const Json *att_data, AttestRequest *request) {
        Json *tpm, *current, *boot;
        TRY(json_get_object(att_data, "tpm_att_data", &tpm));
        TRY(json_get_object(tpm, "current_attestation", &current));
        TRY(parse_attestation(current, request));
        if (!json_get(tpm, "boot_attestation"))
                return NULL;
        TRY(json_get_object(tpm, "boot_attestation", &boot));
        request->boot = calloc(1, sizeof(*request->boot));
        if (!request->boot)
                return err_oom();
        return err_wrap(parse_attestation(boot, request->boot), "boot_attestation");
}

static Err *parse_tpm_quote(const Json *info) {
        Json *quote;
        const char *hash;
        TRY(json_get_object(info, "tpm_quote", &quote));
        TRY(json_get_string(quote, "hash_alg", &hash));
        if (!string_equal(hash, HASH_NAME))
                return err_new(ERR_NOT_SUPPORTED, "info.tpm_quote.hash_alg is \"%.32s\", only %s is supported", hash, HASH_NAME);
        return NULL;
}

static Err *parse_tpm_certify(const Json *info, MessageKey *key) {
        Json *certify;
        TRY(json_get_object(info, "tpm_certify", &certify));
        TRY(json_get_base64url(certify, "public", &key->public));
        TRY(json_get_base64url(certify, "certification", &key->certification));
        TRY(json_get_base64url(certify, "signature", &key->signature));
        key->is_certified = true;
        return NULL;
}

static Err *parse_jwk(const Json *json, MessageKey *key) {
        Json *jwk;
        TRY(json_get_object(json, "jwk", &jwk));
        return err_wrap(jwk_from_json(jwk, &key->key), "jwk");
}

/* With a TPM the request key must be bound, in one of two ways. */
static Err *parse_request_key(const Json *att_data, AttestRequest *request) {
        Json *key, *info;
        MessageKey *ret = &request->request_key;
        TRY(json_get_object(att_data, "request_key", &key));
        TRY(json_get_object(key, "info", &info));
        bool by_certify = json_get(info, "tpm_certify"), by_quote = json_get(info, "tpm_quote");
        if (by_certify && by_quote)
                return err_new(ERR_EVIDENCE_MALFORMED, "request_key.info has both tpm_certify and tpm_quote");
        Err *err = parse_jwk(key, ret);
        if (!err)
                err = by_certify ? err_wrap(parse_tpm_certify(info, ret), "info.tpm_certify") : parse_tpm_quote(info);
        TRY(err_wrap(err, "request_key"));
        return json_find_source(request->members_text, (const char *const[]) { "request_key", "jwk", NULL }, &request->jwk_text);
}

static Err *parse_other_key(const Json *json, MessageKey *ret) {
        Json *info;
        TRY(parse_jwk(json, ret));
        if (!json_get(json, "info"))
                return NULL;
        TRY(json_get_object(json, "info", &info));
        if (json_get(info, "tpm_quote"))
                return err_new(ERR_EVIDENCE_MALFORMED, "info.tpm_quote is for the request key alone");
        return err_wrap(parse_tpm_certify(info, ret), "info.tpm_certify");
}

static Err *parse_other_keys(const Json *att_data, AttestRequest *request) {
        Json *list;
        if (!json_get(att_data, "other_keys"))
                return NULL;
        TRY(json_get_array(att_data, "other_keys", &list));
        if (json_object_array_length(list) > EVIDENCE_OTHER_KEYS_MAX)
                return err_new(ERR_EVIDENCE_MALFORMED, "other_keys has more than %d elements", EVIDENCE_OTHER_KEYS_MAX);
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                request->n_other_keys = i + 1;
                TRY(err_wrap(parse_other_key(json_object_array_get_idx(list, i), &request->other_keys[i]), "other_keys[%zu]", i));
        }
        return NULL;
}

static Err *claim_of_text(const char *text, ClaimType type, Json **ret) {
        switch (type) {
        case CLAIM_STRING:
                *ret = json_object_new_string(text);
                break;
        case CLAIM_INTEGER: {
                char *end;
                errno = 0;
                long long number = strtoll(text, &end, 10);
                if (errno != 0 || end == text || *end)
                        return err_new(ERR_EVIDENCE_MALFORMED, "the value is no integer");
                *ret = json_object_new_int64(number);
                break;
        }
        case CLAIM_BOOLEAN:
                if (!string_equal(text, "true") && !string_equal(text, "false"))
                        return err_new(ERR_EVIDENCE_MALFORMED, "the value is neither true nor false");
                *ret = json_object_new_boolean(text[0] == 't');
                break;
        }
        return *ret ? NULL : err_oom();
}

Err *attest_request_claim(const Json *claim, const char **ret_name, Json **ret_value) {
        static const struct {
                const char *name;
                ClaimType type;
        } types[] = { { "string", CLAIM_STRING }, { "integer", CLAIM_INTEGER }, { "boolean", CLAIM_BOOLEAN } };
        const char *name, *value, *type;
        TRY(json_get_string(claim, "name", &name));
        TRY(json_get_string(claim, "value", &value));
        TRY(json_get_string(claim, "value_type", &type));
        if (!*name)
                return err_new(ERR_EVIDENCE_MALFORMED, "the name is empty");
        for (size_t i = 0; i < N_ELEMENTS(types); i++)
                if (string_equal(type, types[i].name)) {
                        Json *made = NULL;
                        TRY(claim_of_text(value, types[i].type, &made));
                        *ret_name = name;
                        *ret_value = made;
                        return NULL;
                }
        return err_new(ERR_EVIDENCE_MALFORMED, "value_type is \"%.32s\", only string, integer and boolean are known", type);
}

static Err *parse_custom_claims(const Json *att_data, AttestRequest *request) {
        if (!json_get(att_data, "custom_claims"))
                return NULL;
        TRY(json_get_array(att_data, "custom_claims", &request->custom_claims));
        size_t n = json_object_array_length(request->custom_claims);
        if (n > CUSTOM_CLAIMS_MAX)
                return err_new(ERR_EVIDENCE_MALFORMED, "custom_claims has more than %d elements", CUSTOM_CLAIMS_MAX);
        for (size_t i = 0; i < n; i++) {
                const char *name;
                _cleanup_json_ Json *value = NULL;
                TRY(err_wrap(attest_request_claim(json_object_array_get_idx(request->custom_claims, i), &name, &value),
                             "custom_claims[%zu]", i));
        }
        return NULL;
}

static Err *parse_att_data(const Json *att_data, AttestRequest *request) {
        TRY(json_get_base64url(att_data, "challenge", &request->challenge));
        TRY(json_get_string(att_data, "service_context", &request->service_context));
        TRY(json_get_string_optional(att_data, "rp_id", &request->rp_id));
        TRY(json_get_string_optional(att_data, "rp_data", &request->rp_data));
        if (request->rp_data) {
                _cleanup_bytes_ Bytes decoded = {};
                TRY(json_get_base64url(att_data, "rp_data", &decoded));
        }
        TRY(parse_attestations(att_data, request));
        TRY(parse_request_key(att_data, request));
        TRY(parse_other_keys(att_data, request));
        return parse_custom_claims(att_data, request);
}

/* {"report_signed": {what att_data has otherwise}, "vsm_report": …} */
static Err *parse_vbs_att_data(const Json *att_data, AttestRequest *request) {
        Json *members;
        TRY(json_get_object(att_data, "report_signed", &members));
        TRY(json_find_source(bytes_span(&request->payload), (const char *const[]) { "att_data", "report_signed", NULL }, &request->members_text));
        TRY(err_wrap(parse_att_data(members, request), "report_signed"));
        return vsm_report_parse(att_data, &request->vsm_report);
}

static Err *parse_basic_att_data(const Json *att_data, AttestRequest *request) {
        TRY(json_find_source(bytes_span(&request->payload), (const char *const[]) { "att_data", NULL }, &request->members_text));
        return parse_att_data(att_data, request);
}

Err *attest_request_parse(Bytes *steal_payload, AttestRequest **ret) {
        _cleanup_bytes_ Bytes payload = bytes_steal(steal_payload);
        _cleanup_(attest_request_freep) AttestRequest *request = calloc(1, sizeof(*request));
        if (!request)
                return err_oom();
        request->payload = bytes_steal(&payload);
        TRY(json_parse(bytes_span(&request->payload), "the payload of the request's JWS", &request->json));
        const char *type;
        TRY(json_get_string(request->json, "att_type", &type));
        bool is_vbs = string_equal(type, "vbs");
        if (!is_vbs && !string_equal(type, "basic"))
                return err_new(ERR_EVIDENCE_MALFORMED, "att_type is \"%.32s\", only \"basic\" and \"vbs\" are known", type);
        Json *att_data;
        TRY(json_get_object(request->json, "att_data", &att_data));
        TRY(err_wrap(is_vbs ? parse_vbs_att_data(att_data, request) : parse_basic_att_data(att_data, request), "att_data"));
        *ret = steal_ptr(&request);
        return NULL;
}

Err *attest_request_open(const char *text, AttestRequest **ret) {
        _cleanup_(jws_freep) Jws *jws = NULL;
        TRY(err_wrap(jws_parse_bounded(span_from_string(text), strlen(text), &jws), "payload.request"));
        const char *type;
        TRY(err_wrap(json_get_string(jws->header, "typ", &type), "the header of payload.request"));
        if (!string_equal(type, REQUEST_TYPE))
                return err_new(ERR_EVIDENCE_MALFORMED, "typ of payload.request is \"%.32s\", only %s is supported", type, REQUEST_TYPE);
        if (jws->kid)
                return err_new(ERR_EVIDENCE_MALFORMED, "the header of payload.request has a kid, the protocol has none");
        TRY(err_wrap(jws_check_header(jws, JOSE_ALG_BIT(JOSE_ALG_PS256)), "the header of payload.request"));
        _cleanup_(attest_request_freep) AttestRequest *request = NULL;
        TRY(attest_request_parse(&jws->payload, &request));
        TRY(err_wrap(jws_verify(jws, JOSE_ALG_BIT(JOSE_ALG_PS256), request->request_key.key),
                     "the signature of payload.request with att_data.request_key.jwk"));
        *ret = steal_ptr(&request);
        return NULL;
}
