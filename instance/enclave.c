/* See enclave.h. */
#include "instance/enclave.h"

#include <strings.h>

#include "instance/admin.h"
#include "instance/attest.h"
#include "instance/enclave-claims.h"
#include "jose/x509.h"
#include "policy/policy-eval.h"

#define TOKEN_LIFETIME_SEC 28800 /* as recorded */

bool enclave_is_responsible(const char *path, AttestationType *ret_type) {
        bool is_sgx = strcasecmp(path, "/attest/SgxEnclave") == 0;
        if (!is_sgx && strcasecmp(path, "/attest/OpenEnclave") != 0)
                return false;
        *ret_type = is_sgx ? ATTESTATION_TYPE_SGX_ENCLAVE : ATTESTATION_TYPE_OPEN_ENCLAVE;
        return true;
}

static Err *verify_chain(const Service *service, const ServiceRequest *request, const STACK_OF(X509) *chain, bool *ret_verified) {
        *ret_verified = service->options.sgx_roots != NULL;
        if (!*ret_verified)
                return NULL;
        X509ChainRules rules = { .anchors = service->options.sgx_roots, .at_sec = (uint64_t) request->now_sec };
        return err_wrap(x509_chain_verify(chain, &rules), "the PCK certificate of the quote");
}

/* CONFIGID is the enclave's only with key separation and sharing; else it is zero and binds nothing. */
static Err *check_bindings(const EnclaveRequest *request, const SgxReport *report) {
        if (request->runtime.is_there)
                TRY(err_wrap(sgx_quote_check_binding(report->report_data, bytes_span(&request->runtime.data), "report data"), "runtimeData"));
        if (request->init_time.is_there)
                TRY(err_wrap(sgx_quote_check_binding(report->config_id, bytes_span(&request->init_time.data), "CONFIGID"), "initTimeData"));
        return NULL;
}

static Err *verify_evidence(const Service *service, const ServiceRequest *request, AttestationType type, EnclaveEvidence *evidence, SgxQuote *quote) {
        _cleanup_(x509_stack_freep) STACK_OF(X509) *chain = NULL;
        Span bytes = bytes_span(&evidence->request->evidence);
        if (type == ATTESTATION_TYPE_OPEN_ENCLAVE)
                TRY(sgx_quote_unwrap_open_enclave(bytes, &bytes));
        TRY(sgx_quote_parse(bytes, quote));
        TRY(sgx_quote_get_pck_chain(quote, &chain));
        TRY(sgx_quote_verify(quote, x509_stack_leaf(chain)));
        TRY(verify_chain(service, request, chain, &evidence->chain_is_verified));
        evidence->quote = quote;
        return check_bindings(evidence->request, &quote->report);
}

/* The policy that judges: the request's draft, or the one that is stored; *draft holds the former. */
static Err *choose_policy(const Service *service, AttestationType type, const EnclaveRequest *request, StoredPolicy *draft, const StoredPolicy **ret) {
        if (!request->draft_policy) {
                *ret = policy_store_get(service->policies, type);
                return NULL;
        }
        TRY(stored_policy_from_text(span_from_string(request->draft_policy), draft));
        *ret = draft;
        return NULL;
}

static Err *copy_tcb_identifier(const PolicyClaims *properties, char **ret) {
        size_t position = 0;
        const PolicyClaim *property = policy_claims_find(properties, "x-ms-sgx-tcbidentifier", &position);
        return property && property->value.type == POLICY_TYPE_STRING ? string_copy(property->value.text, ret) : NULL;
}

/* *ret_tcb_identifier stays NULL where the policy sets none. The words are the service's. */
static Err *evaluate(const EnclaveEvidence *evidence, const StoredPolicy *policy, Json **ret_issued, char **ret_tcb_identifier) {
        _cleanup_(policy_claims_freep) PolicyClaims *incoming = NULL;
        _cleanup_(policy_outcome_freep) PolicyOutcome *outcome = NULL;
        TRY(enclave_claims_incoming(evidence, &incoming));
        Err *error = policy_evaluate(policy->policy, incoming, &outcome);
        if (error)
                return err_wrap_code(err_code(error) == ERR_LIMIT_EXCEEDED ? ERR_POLICY_FAILED : err_code(error), error, "Policy Engine Exception");
        if (outcome->denied)
                return err_new(ERR_SERVICE_POLICY_DENIED, "Policy Engine Exception: A Deny claim was issued, authorization failed.");
        if (!outcome->permitted)
                return err_new(ERR_SERVICE_POLICY_DENIED,
                               "Policy Engine Exception: No Permit claim was issued in the authorizationrules section, authorization failed.");
        TRY(copy_tcb_identifier(outcome->properties, ret_tcb_identifier));
        return policy_claims_to_json(outcome->issued, ret_issued);
}

static Err *judge(Service *service, const ServiceRequest *request, AttestationType type, ServiceReply *reply) {
        _cleanup_enclave_request_ EnclaveRequest body = {};
        _cleanup_stored_policy_ StoredPolicy draft = {};
        _cleanup_json_ Json *issued = NULL, *claims = NULL;
        _cleanup_free_ char *tcb_identifier = NULL;
        EnclaveEvidence evidence = { .request = &body };
        const StoredPolicy *policy;
        SgxQuote quote;
        TRY(enclave_request_parse(request->body, type == ATTESTATION_TYPE_OPEN_ENCLAVE, &body));
        TRY(verify_evidence(service, request, type, &evidence, &quote));
        TRY(choose_policy(service, type, &body, &draft, &policy));
        TRY(evaluate(&evidence, policy, &issued, &tcb_identifier));
        TRY(enclave_claims_of_token(&evidence, policy, issued, tcb_identifier, &claims));
        ServiceTokenRules rules = { .now_sec = request->now_sec, .lifetime_sec = TOKEN_LIFETIME_SEC, .is_signed = !body.draft_policy };
        return service_reply_token(service, reply, claims, &rules);
}

/* What policies say, and what is none of the client's doing, goes the way of the administration; else the evidence is bad. */
static Err *refuse(ServiceReply *reply, Err *error) {
        ErrCode code = err_code(error);
        bool is_server = code == ERR_NO_MEMORY || code == ERR_INTERNAL || code == ERR_IO;
        if (is_server || code == ERR_POLICY_INVALID || code == ERR_POLICY_FAILED || code == ERR_SERVICE_POLICY_DENIED)
                return admin_refuse(reply, error);
        return service_reply_error(reply, 400, "InvalidParameter", error);
}

Err *enclave_handle(Service *service, const ServiceRequest *request, AttestationType type, ServiceReply *reply) {
        if (!string_equal(request->method, "POST"))
                return service_reply_wrong_method(reply, request, "POST");
        Err *error = attest_check_api_version(request->api_version);
        if (!error)
                error = judge(service, request, type, reply);
        return error ? refuse(reply, error) : NULL;
}
