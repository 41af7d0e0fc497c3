/* See enclave-request.h. */
#include "instance/enclave-request.h"

#include <strings.h>

#include "instance/members.h"
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
        TRY(member_find(object, name, &value));
        if (!value)
                return NULL;
        if (!json_is_object(value))
                return err_new(ERR_EVIDENCE_MALFORMED, "%s is no object", name);
        TRY(err_wrap(member_bytes(value, "data", ENCLAVE_DATA_SIZE_MAX, &data->data), "%s", name));
        TRY(err_wrap(member_string(value, "dataType", &type), "%s", name));
        data->is_json = type && strcasecmp(type, "JSON") == 0;
        if (!data->is_json && (!type || strcasecmp(type, "Binary") != 0))
                return err_new(ERR_EVIDENCE_MALFORMED, "%s: dataType is neither Binary nor JSON", name);
        data->is_there = true;
        return data->is_json ? parse_data_json(data, name) : NULL;
}

static Err *copy_optional(const Json *object, const char *name, char **ret) {
        const char *text;
        TRY(member_string(object, name, &text));
        return text ? string_copy(text, ret) : NULL;
}

Err *enclave_request_parse(Span body, bool is_open_enclave, EnclaveRequest *ret) {
        _cleanup_enclave_request_ EnclaveRequest request = {};
        _cleanup_json_ Json *json = NULL;
        TRY(json_parse(body, "the request", &json));
        if (!json_is_object(json))
                return err_new(ERR_EVIDENCE_MALFORMED, "the request is no JSON object");
        TRY(member_bytes(json, is_open_enclave ? "report" : "quote", SGX_QUOTE_SIZE_MAX, &request.evidence));
        TRY(find_data(json, "runtimeData", &request.runtime));
        TRY(find_data(json, "initTimeData", &request.init_time));
        TRY(copy_optional(json, "draftPolicyForAttestation", &request.draft_policy));
        TRY(copy_optional(json, "nonce", &request.nonce));
        *ret = request;
        request = (EnclaveRequest) {};
        return NULL;
}
