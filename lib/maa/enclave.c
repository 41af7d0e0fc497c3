/* See enclave.h. */
#include "maa/enclave.h"

/* A NUL behind the text, as recorded requests have it, is hashed and sent like the rest, but is no part of the JSON. */
static Span without_nul(Span text) {
        return text.size > 0 && text.data[text.size - 1] == 0 ? span_make(text.data, text.size - 1) : text;
}

static Err *add_data(Json *body, const char *member, const MaaEnclaveData *data) {
        _cleanup_json_ Json *object = NULL;
        if (!data->is_given)
                return NULL;
        if (data->is_json)
                TRY(err_wrap_code(ERR_INVALID_ARGUMENT, json_check(without_nul(data->data), member), "%s is not JSON", member));
        TRY(json_new_object(&object));
        TRY(json_add_base64url(object, "data", data->data));
        TRY(json_add_string(object, "dataType", data->is_json ? "JSON" : "Binary"));
        return json_add(body, member, steal_ptr(&object));
}

Err *maa_enclave_request(const char *base_url, const char *api_version, const MaaEnclaveRequest *request, HttpRequest *ret) {
        bool is_sgx = request->kind == MAA_ENCLAVE_SGX;
        _cleanup_json_ Json *body = NULL;
        if (request->evidence.size == 0)
                return err_new(ERR_INVALID_ARGUMENT, "the %s is empty", is_sgx ? "quote" : "report");
        TRY(json_new_object(&body));
        TRY(json_add_base64url(body, is_sgx ? "quote" : "report", request->evidence));
        TRY(add_data(body, "runtimeData", &request->runtime));
        TRY(add_data(body, "initTimeData", &request->init_time));
        TRY(json_add_string(body, "nonce", request->nonce));
        TRY(json_add_string(body, "draftPolicyForAttestation", request->draft_policy));
        return maa_request_post_json(base_url, is_sgx ? "attest/SgxEnclave" : "attest/OpenEnclave", api_version, body, ret);
}

#define NAMES_MAX 3

/* The claim by the first of its names that is there. */
static const Json *find(const Json *claims, const char *const names[NAMES_MAX], const char **ret_name) {
        for (size_t i = 0; i < NAMES_MAX && names[i]; i++) {
                *ret_name = names[i];
                const Json *claim = json_get(claims, names[i]);
                if (claim)
                        return claim;
        }
        return NULL;
}

static Err *read_texts(const Json *claims, MaaEnclaveClaims *ret) {
        const struct {
                const char *names[NAMES_MAX];
                const char **text;
        } texts[] = {
                { { "x-ms-attestation-type", "tee" }, &ret->attestation_type },
                { { "x-ms-sgx-mrenclave", "sgx-mrenclave" }, &ret->mrenclave },
                { { "x-ms-sgx-mrsigner", "sgx-mrsigner" }, &ret->mrsigner },
                { { "x-ms-sgx-report-data" }, &ret->report_data },
                { { "x-ms-sgx-ehd", "maa-ehd", "aas-ehd" }, &ret->held_data },
                { { "x-ms-sgx-tcbidentifier" }, &ret->tcb_identifier },
                { { "nonce" }, &ret->nonce },
                { { "x-ms-ver" }, &ret->version },
                { { "x-ms-policy-hash", "policy_hash" }, &ret->policy_hash },
        };
        for (size_t i = 0; i < N_ELEMENTS(texts); i++) {
                const char *name;
                if (find(claims, texts[i].names, &name))
                        TRY(json_get_string(claims, name, texts[i].text));
        }
        return NULL;
}

static Err *read_objects(const Json *claims, MaaEnclaveClaims *ret) {
        const struct {
                const char *names[NAMES_MAX];
                const Json **object;
        } objects[] = {
                { { "x-ms-runtime" }, &ret->runtime },
                { { "x-ms-inittime" }, &ret->init_time },
                { { "x-ms-sgx-collateral", "maa-attestationcollateral" }, &ret->collateral },
                { { "x-ms-policy" }, &ret->policy },
        };
        for (size_t i = 0; i < N_ELEMENTS(objects); i++) {
                const char *name;
                *objects[i].object = find(claims, objects[i].names, &name);
                if (*objects[i].object && !json_is_object(*objects[i].object))
                        return err_new(ERR_JSON_MEMBER_TYPE, "%s: an object is needed", name);
        }
        return NULL;
}

static Err *read_numbers(const Json *claims, MaaEnclaveClaims *ret) {
        static const char *const debuggable[NAMES_MAX] = { "x-ms-sgx-is-debuggable", "is-debuggable" };
        static const char *const product[NAMES_MAX] = { "x-ms-sgx-product-id", "product-id" }, *const svn[NAMES_MAX] = { "x-ms-sgx-svn", "svn" };
        const char *name;
        ret->has_debuggable = find(claims, debuggable, &name);
        if (ret->has_debuggable)
                TRY(json_get_boolean(claims, name, &ret->is_debuggable));
        ret->has_product_id = find(claims, product, &name);
        if (ret->has_product_id)
                TRY(json_get_integer(claims, name, &ret->product_id));
        ret->has_svn = find(claims, svn, &name);
        return ret->has_svn ? json_get_integer(claims, name, &ret->svn) : NULL;
}

Err *maa_enclave_claims(const Json *claims, MaaEnclaveClaims *ret) {
        MaaEnclaveClaims found = {};
        Err *err = read_texts(claims, &found);
        if (!err)
                err = read_objects(claims, &found);
        if (!err)
                err = read_numbers(claims, &found);
        if (err)
                return err_wrap_code(ERR_TOKEN_CLAIM_INVALID, err, "the token's claims about the enclave");
        *ret = found;
        return NULL;
}

Err *maa_enclave_check_nonce(const MaaEnclaveClaims *claims, const char *nonce) {
        if (!nonce || string_equal(nonce, claims->nonce))
                return NULL;
        return err_new(ERR_TOKEN_NONCE_MISMATCH, claims->nonce ? "the token's nonce is not the one that was sent" : "the token has no nonce");
}
