/* See enclave.h. */
#include "attest/enclave.h"

#include "attest/internal.h"
#include "maa/enclave.h"
#include "maa/policy-admin.h"

typedef struct EnclaveData {
        Bytes data;
        bool is_json, is_given;
} EnclaveData;

struct AttestEnclave {
        MaaEnclaveKind kind;
        Bytes evidence;
        EnclaveData runtime, init_time;
        char *nonce, *draft_policy;
};

struct AttestEnclaveResult {
        AttestToken *token;
        MaaEnclaveClaims claims;     /* borrowed from token */
        char *runtime, *init_time, *policy, *policy_signer, *collateral;
        Bytes held;
};

AttestEnclave *attest_enclave_free(AttestEnclave *enclave) {
        if (!enclave)
                return NULL;
        bytes_done(&enclave->evidence);
        bytes_done(&enclave->runtime.data);
        bytes_done(&enclave->init_time.data);
        free(enclave->nonce);
        free(enclave->draft_policy);
        free(enclave);
        return NULL;
}
DEFINE_CLEANUP(AttestEnclave, attest_enclave_free)

static Err *make(MaaEnclaveKind kind, Span evidence, AttestEnclave **ret) {
        _cleanup_(attest_enclave_freep) AttestEnclave *enclave = NULL;
        if (evidence.size == 0)
                return err_new(ERR_INVALID_ARGUMENT, "the %s is empty", kind == MAA_ENCLAVE_SGX ? "quote" : "report");
        enclave = calloc(1, sizeof(AttestEnclave));
        if (!enclave)
                return err_oom();
        enclave->kind = kind;
        TRY(bytes_copy(evidence, &enclave->evidence));
        *ret = steal_ptr(&enclave);
        return NULL;
}

AttestError *attest_enclave_new_sgx(const void *quote, size_t size, AttestEnclave **ret) {
        return error_out(make(MAA_ENCLAVE_SGX, span_make(quote, size), ret));
}

AttestError *attest_enclave_new_open_enclave(const void *report, size_t size, AttestEnclave **ret) {
        return error_out(make(MAA_ENCLAVE_OPEN_ENCLAVE, span_make(report, size), ret));
}

static AttestError *set_data(EnclaveData *member, Span data, bool is_json) {
        Bytes copy = {};
        Err *err = bytes_copy(data, &copy);
        if (err)
                return error_out(err);
        bytes_done(&member->data);
        *member = (EnclaveData) { copy, is_json, true };
        return NULL;
}

AttestError *attest_enclave_set_runtime_data(AttestEnclave *enclave, const void *data, size_t size, bool is_json) {
        return set_data(&enclave->runtime, span_make(data, size), is_json);
}

AttestError *attest_enclave_set_init_time_data(AttestEnclave *enclave, const void *data, size_t size, bool is_json) {
        return set_data(&enclave->init_time, span_make(data, size), is_json);
}

static AttestError *set_text(char **member, const char *text) {
        char *copy = NULL;
        Err *err = text ? string_copy(text, &copy) : NULL;
        if (err)
                return error_out(err);
        free(*member);
        *member = copy;
        return NULL;
}

AttestError *attest_enclave_set_nonce(AttestEnclave *enclave, const char *nonce) {
        return set_text(&enclave->nonce, nonce);
}

AttestError *attest_enclave_set_draft_policy(AttestEnclave *enclave, const char *policy) {
        return set_text(&enclave->draft_policy, policy);
}

/* ---- the call ---- */

DEFINE_CLEANUP(AttestEnclaveResult, attest_enclave_result_free)

static MaaEnclaveData data_of(const EnclaveData *data) {
        return (MaaEnclaveData) { bytes_span(&data->data), data->is_json, data->is_given };
}

static Err *object_text(const Json *object, char **ret) {
        return object ? json_to_string(object, ret) : NULL;
}

static Err *read_result(AttestEnclaveResult *result) {
        const MaaEnclaveClaims *claims = &result->claims;
        const Json *json = attest_token_json(result->token);
        TRY(maa_enclave_claims(json, &result->claims));
        TRY(err_wrap_code(ERR_TOKEN_CLAIM_INVALID, maa_policy_signer_from_claims(json, &result->policy_signer), "the token's claim x-ms-policy-signer"));
        if (claims->held_data)
                TRY(err_wrap_code(ERR_TOKEN_CLAIM_INVALID, base64url_decode(span_from_string(claims->held_data), "the data that is held", &result->held),
                                  "the token's claims about the enclave"));
        TRY(object_text(claims->runtime, &result->runtime));
        TRY(object_text(claims->init_time, &result->init_time));
        TRY(object_text(claims->policy, &result->policy));
        return object_text(claims->collateral, &result->collateral);
}


static Err *attest(AttestClient *client, const AttestEnclave *enclave, AttestEnclaveResult **ret) {
        _cleanup_(attest_enclave_result_freep) AttestEnclaveResult *result = calloc(1, sizeof(AttestEnclaveResult));
        HttpRequest http = {};
        const MaaEnclaveRequest request = {
                .kind = enclave->kind,
                .evidence = bytes_span(&enclave->evidence),
                .runtime = data_of(&enclave->runtime),
                .init_time = data_of(&enclave->init_time),
                .nonce = enclave->nonce,
                .draft_policy = enclave->draft_policy,
        };
        if (!result)
                return err_oom();
        TRY(maa_enclave_request(client->url, client->api_version, &request, &http));
        TRY(enclave->draft_policy ? client_ask_draft(client, "the attestation", &http, &result->token) :
                                    client_ask(client, "the attestation", CLIENT_ATTESTATION, &http, &result->token));
        TRY(read_result(result));
        if (!rules_skip(client_rules(client), CHECK_NONCE))
                TRY(maa_enclave_check_nonce(&result->claims, enclave->nonce));
        *ret = steal_ptr(&result);
        return NULL;
}

AttestError *attest_client_attest_enclave(AttestClient *client, const AttestEnclave *enclave, AttestEnclaveResult **ret) {
        client_begin(client);
        return error_out(err_wrap(attest(client, enclave, ret), "attesting an enclave to %s", client->url));
}

AttestEnclaveResult *attest_enclave_result_free(AttestEnclaveResult *result) {
        if (!result)
                return NULL;
        attest_token_free(result->token);
        free(result->runtime);
        free(result->init_time);
        free(result->policy);
        free(result->policy_signer);
        free(result->collateral);
        bytes_done(&result->held);
        free(result);
        return NULL;
}

const AttestToken *attest_enclave_result_get_token(const AttestEnclaveResult *result) {
        return result->token;
}

const char *attest_enclave_result_get_attestation_type(const AttestEnclaveResult *result) {
        return result->claims.attestation_type;
}

const char *attest_enclave_result_get_mrenclave(const AttestEnclaveResult *result) {
        return result->claims.mrenclave;
}

const char *attest_enclave_result_get_mrsigner(const AttestEnclaveResult *result) {
        return result->claims.mrsigner;
}

const char *attest_enclave_result_get_report_data(const AttestEnclaveResult *result) {
        return result->claims.report_data;
}

const char *attest_enclave_result_get_held_data(const AttestEnclaveResult *result) {
        return result->claims.held_data;
}

const void *attest_enclave_result_get_held_bytes(const AttestEnclaveResult *result, size_t *ret_size) {
        *ret_size = result->held.size;
        return result->claims.held_data ? bytes_span(&result->held).data : NULL;
}

const char *attest_enclave_result_get_policy_signer(const AttestEnclaveResult *result) {
        return result->policy_signer;
}

const char *attest_enclave_result_get_policy_claims(const AttestEnclaveResult *result) {
        return result->policy;
}

const char *attest_enclave_result_get_version(const AttestEnclaveResult *result) {
        return result->claims.version;
}

const char *attest_enclave_result_get_collateral(const AttestEnclaveResult *result) {
        return result->collateral;
}

const char *attest_enclave_result_get_tcb_identifier(const AttestEnclaveResult *result) {
        return result->claims.tcb_identifier;
}

const char *attest_enclave_result_get_policy_hash(const AttestEnclaveResult *result) {
        return result->claims.policy_hash;
}

const char *attest_enclave_result_get_nonce(const AttestEnclaveResult *result) {
        return result->claims.nonce;
}

const char *attest_enclave_result_get_runtime(const AttestEnclaveResult *result) {
        return result->runtime;
}

const char *attest_enclave_result_get_init_time(const AttestEnclaveResult *result) {
        return result->init_time;
}

bool attest_enclave_result_get_debuggable(const AttestEnclaveResult *result, bool *ret) {
        if (result->claims.has_debuggable)
                *ret = result->claims.is_debuggable;
        return result->claims.has_debuggable;
}

bool attest_enclave_result_get_product_id(const AttestEnclaveResult *result, int64_t *ret) {
        if (result->claims.has_product_id)
                *ret = result->claims.product_id;
        return result->claims.has_product_id;
}

bool attest_enclave_result_get_svn(const AttestEnclaveResult *result, int64_t *ret) {
        if (result->claims.has_svn)
                *ret = result->claims.svn;
        return result->claims.has_svn;
}
