/* See enclave-request.h. */
#include "instance/enclave-request.h"

#include <strings.h>

#include "tcg/sgx-quote.h"

static void enclave_data_done(EnclaveData *data) {
        bytes_done(&data->data);
        json_unref(data->json);
        *data = (EnclaveData) {};
}

void enclave_request_done(EnclaveRequest *request) {
        bytes_done(&request->evidence);
        enclave_data_done(&request->runtime);
        enclave_data_done(&request->init_time);
        free(request->draft_policy);
        free(request->nonce);
        *request = (EnclaveRequest) {};
}

/* *ret is borrowed, NULL if absent or null. */
static Err *find(const Json *object, const char *name, Json **ret) {
        Json *found = NULL;
        json_object_object_foreach((Json *) object, member, value) {
                if (strcasecmp(member, name) != 0)
                        continue;
                if (found)
                        return err_new(ERR_EVIDENCE_MALFORMED, "%s is there twice, in different spellings", name);
                found = value;
        }
        *ret = found;
        return NULL;
}

/* *ret is borrowed. */
static Err *find_string(const Json *object, const char *name, const char **ret) {
        Json *value;
        TRY(find(object, name, &value));
        if (value && !json_is_string(value))
                return err_new(ERR_EVIDENCE_MALFORMED, "%s is no string", name);
        const char *text = value ? json_object_get_string(value) : NULL;
        if (text && strlen(text) != (size_t) json_object_get_string_len(value))
                return err_new(ERR_EVIDENCE_MALFORMED, "%s has a NUL in it", name);
        *ret = text;
        return NULL;
}

static Err *find_bytes(const Json *object, const char *name, size_t size_max, Bytes *ret) {
        const char *text;
        _cleanup_bytes_ Bytes bytes = {};
        TRY(find_string(object, name, &text));
        if (!text)
                return err_new(ERR_EVIDENCE_MALFORMED, "%s is missing", name);
        TRY(err_wrap_code(ERR_EVIDENCE_MALFORMED, base64_decode_lenient(span_from_string(text), name, &bytes), "the request"));
        if (bytes.size > size_max)
                return err_new(ERR_EVIDENCE_MALFORMED, "%s has %zu bytes, at most %zu are allowed", name, bytes.size, size_max);
        *ret = bytes_steal(&bytes);
        return NULL;
}

/* C programs sign and send their text's NUL along, as the recorded requests do. */
static Err *parse_data_json(EnclaveData *data, const char *name) {
        Span text = bytes_span(&data->data);
        while (text.size > 0 && text.data[text.size - 1] == 0)
                text.size--;
        TRY(err_wrap_code(ERR_EVIDENCE_MALFORMED, json_parse(text, name, &data->json), "data of the type JSON"));
        return json_is_object(data->json) ? NULL : err_new(ERR_EVIDENCE_MALFORMED, "%s: data of the type JSON is no object", name);
}

static Err *find_data(const Json *object, const char *name, EnclaveData *data) {
        Json *value;
        const char *type;
        TRY(find(object, name, &value));
        if (!value)
                return NULL;
        if (!json_is_object(value))
                return err_new(ERR_EVIDENCE_MALFORMED, "%s is no object", name);
        TRY(err_wrap(find_bytes(value, "data", ENCLAVE_DATA_SIZE_MAX, &data->data), "%s", name));
        TRY(err_wrap(find_string(value, "dataType", &type), "%s", name));
        data->is_json = type && strcasecmp(type, "JSON") == 0;
        if (!data->is_json && (!type || strcasecmp(type, "Binary") != 0))
                return err_new(ERR_EVIDENCE_MALFORMED, "%s: dataType is neither Binary nor JSON", name);
        data->is_there = true;
        return data->is_json ? parse_data_json(data, name) : NULL;
}

static Err *copy_optional(const Json *object, const char *name, char **ret) {
        const char *text;
        TRY(find_string(object, name, &text));
        return text ? string_copy(text, ret) : NULL;
}

Err *enclave_request_parse(Span body, bool is_open_enclave, EnclaveRequest *ret) {
        _cleanup_enclave_request_ EnclaveRequest request = {};
        _cleanup_json_ Json *json = NULL;
        TRY(json_parse(body, "the request", &json));
        if (!json_is_object(json))
                return err_new(ERR_EVIDENCE_MALFORMED, "the request is no JSON object");
        TRY(find_bytes(json, is_open_enclave ? "report" : "quote", SGX_QUOTE_SIZE_MAX, &request.evidence));
        TRY(find_data(json, "runtimeData", &request.runtime));
        TRY(find_data(json, "initTimeData", &request.init_time));
        TRY(copy_optional(json, "draftPolicyForAttestation", &request.draft_policy));
        TRY(copy_optional(json, "nonce", &request.nonce));
        *ret = request;
        request = (EnclaveRequest) {};
        return NULL;
}
