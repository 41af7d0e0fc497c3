/* See attest.h. */
#include "instance/attest.h"

#include "base/writer.h"
#include "instance/admin.h"
#include "instance/tpm-policy.h"
#include "instance/verify.h"
#include "policy/properties.h"

/* Versions of the data plane; what is answered here has one shape in all of them. */
static const char *const api_versions[] = {
        "2018-09-01-preview", "2020-10-01", "2022-08-01", "2022-09-01-preview", "2025-06-01", "2026-03-11-preview",
};

Err *attest_check_api_version(const char *version) {
        if (!version)
                return err_new(ERR_REQUEST_INVALID, "the query parameter api-version is missing");
        for (size_t i = 0; i < N_ELEMENTS(api_versions); i++)
                if (string_equal(version, api_versions[i]))
                        return NULL;
        return err_new(ERR_REQUEST_INVALID, "api-version \"%.32s\" is not known", version);
}

/* The service's code for an error; 500 for what is none of the client's doing. The codes that the real service uses for a bad request of
 * version 2 are not known: InvalidOperation is documented for a JWS that is malformed, InvalidParameter for bad evidence. */
static Err *refuse(ServiceReply *reply, Err *error) {
        ErrCode code = err_code(error);
        if (code == ERR_NO_MEMORY || code == ERR_INTERNAL || code == ERR_IO)
                return service_reply_error(reply, 500, "InternalServerError", error);
        if (code == ERR_CHALLENGE_INVALID)
                return service_reply_error(reply, 400, "ChallengeInvalid", error);
        if (code == ERR_SERVICE_POLICY_DENIED || code == ERR_POLICY_FAILED)
                return admin_refuse(reply, error);   /* as recorded, for enclaves */
        if (code >= ERR_TOKEN_MALFORMED && code <= ERR_TOKEN_CLAIM_INVALID)
                return service_reply_error(reply, 400, "InvalidOperation", error);
        return service_reply_error(reply, 400, "InvalidParameter", error);
}

static Err *set_payload(ServiceReply *reply, Span payload) {
        _cleanup_writer_ Writer inner = {}, outer = {};
        _cleanup_bytes_ Bytes text = {};
        writer_string(&inner, "{\"payload\":");
        writer_span(&inner, payload);
        writer_string(&inner, "}");
        TRY(writer_finish(&inner, &text));
        writer_string(&outer, "{\"data\":\"");
        writer_base64url(&outer, bytes_span(&text));
        writer_string(&outer, "\"}");
        bytes_done(&reply->body);
        TRY(writer_finish(&outer, &reply->body));
        reply->chunked = true;
        reply->short_id = true;
        return NULL;
}

static Err *answer_init(Service *service, const ServiceRequest *request, ServiceReply *reply) {
        _cleanup_bytes_ Bytes challenge = {};
        _cleanup_free_ char *service_context = NULL;
        TRY(context_issue(service->contexts, request->monotonic_usec, &challenge, &service_context));
        if (fault_take(&service->faults, FAULT_WRONG_CHALLENGE_SIZE, FAULT_AT_INIT, NULL))
                challenge.size--;
        bool is_number = fault_take(&service->faults, FAULT_WRONG_TYPE, FAULT_AT_INIT, NULL);
        bool is_missing = fault_take(&service->faults, FAULT_MISSING_MEMBER, FAULT_AT_INIT, NULL);
        _cleanup_writer_ Writer writer = {};
        _cleanup_bytes_ Bytes payload = {};
        writer_string(&writer, "{");
        if (is_number) {
                writer_string(&writer, "\"challenge\":16,");
        } else if (!is_missing) {
                writer_string(&writer, "\"challenge\":\"");
                writer_base64url(&writer, bytes_span(&challenge));
                writer_string(&writer, "\",");
        }
        writer_format(&writer, "\"service_context\":\"%s\"}", service_context);
        TRY(writer_finish(&writer, &payload));
        return set_payload(reply, bytes_span(&payload));
}

/* The instance's fixed policy, or the one that somebody has set. */
static Err *issue(Service *service, const TpmPolicyInput *input, const Verdict *verdict, TpmPolicyOutcome *ret) {
        const StoredPolicy *stored = policy_store_get(service->policies, ATTESTATION_TYPE_TPM);
        if (stored->policy)
                return tpm_policy_issue(stored->policy, input, ret);
        ret->lifetime_sec = service->options.token_lifetime_sec;
        return report_policy_claims(verdict, input->request->custom_claims, &ret->claims);
}

/* The token for a verdict, forged if a fault says so. */
static Err *make_token(Service *service, const ServiceRequest *request, const AttestRequest *evidence, const Verdict *verdict, char **ret) {
        const StoredPolicy *stored = policy_store_get(service->policies, ATTESTATION_TYPE_TPM);
        _cleanup_free_ char *jwk = NULL, *request_key = NULL, *other_keys = NULL;
        _cleanup_json_ Json *claims = NULL;
        _cleanup_tpm_policy_outcome_ TpmPolicyOutcome outcome = {};
        TRY(report_service_claims(verdict, &claims));
        TRY(jwk_public_text(evidence->request_key.key->key, &jwk));
        TRY(report_request_key(evidence, &request_key));
        TRY(report_other_keys(evidence, &other_keys));
        TRY(issue(service, &(TpmPolicyInput) { claims, evidence, verdict->claims.evidence, request_key, other_keys }, verdict, &outcome));
        Report report = {
                .issuer = service->identity->url,
                .rp_data = evidence->rp_data,
                .nonce = evidence->rp_data,
                .confirmed_jwk = jwk,
                .request_key = request_key,
                .other_keys = other_keys,
                .policy_hash = stored->hash ? stored->hash : service->policy_hash,
                .policy_claims = outcome.claims,
                .omit_x5c = outcome.omit_x5c,
        };
        TRY(report_init(&report, request->now_sec, outcome.lifetime_sec));
        return forge_token(&service->forger, fault_take_forgery(&service->faults, FAULT_AT_REQUEST), &report, service->identity, ret);
}

static Err *judge(Service *service, const ServiceRequest *request, const char *jws, char **ret_token) {
        const StoredPolicy *stored = policy_store_get(service->policies, ATTESTATION_TYPE_TPM);
        _cleanup_(attest_request_freep) AttestRequest *evidence = NULL;
        _cleanup_bytes_ Bytes challenge = {};
        _cleanup_verdict_ Verdict verdict = {};
        PolicyConfiguration policy = { .required_pcrs = service->options.required_pcrs };
        TRY(attest_request_open(jws, &evidence));
        TRY(context_redeem(service->contexts, evidence->service_context, request->monotonic_usec, &challenge));
        if (stored->policy)
                TRY(policy_configuration_get(stored->policy, &policy));
        VerifyRules rules = { .required_pcrs = policy.required_pcrs, .aik_roots = service->aik_roots, .now_sec = request->now_sec };
        TRY(verify_request(evidence, bytes_span(&challenge), &rules, &verdict));
        if (policy.needs_valid_aik && !verdict.aik_validated)
                return err_new(ERR_AIK_CERTIFICATE_INVALID, "the policy requires a valid certificate of the attestation key (require_valid_aik_cert): %s",
                               verdict.aik_reason ? verdict.aik_reason : "there is none");
        return make_token(service, request, evidence, &verdict, ret_token);
}

static Err *answer_request(Service *service, const ServiceRequest *request, const char *jws, ServiceReply *reply) {
        _cleanup_free_ char *token = NULL, *payload = NULL;
        Err *error = judge(service, request, jws, &token);
        if (error)
                return refuse(reply, error);
        if (fault_take(&service->faults, FAULT_MISSING_MEMBER, FAULT_AT_REQUEST, NULL))
                TRY(string_copy("{}", &payload));
        else if (fault_take(&service->faults, FAULT_WRONG_TYPE, FAULT_AT_REQUEST, NULL))
                TRY(string_copy("{\"report\":1}", &payload));
        else
                TRY(string_format(&payload, "{\"report\":\"%s\"}", token));
        return set_payload(reply, span_from_string(payload));
}

/* As recorded: two words for a code, and no innererror. */
static Err *answer_no_policy(ServiceReply *reply, const char *reason) {
        static const char text[] =
                "{\"error\":{\"code\":\"Bad request\",\"message\":\"A VBS attestation policy has not been set on the attestation provider.\"}}";
        reply->status = 400;
        reply->chunked = true;
        bytes_done(&reply->body);
        TRY(bytes_copy(span_from_string(text), &reply->body));
        return string_copy(reason, &reply->reason);
}

Err *attest_handle(Service *service, const ServiceRequest *request, ServiceReply *reply, FaultWhere *ret_where) {
        *ret_where = FAULT_AT_OTHER;
        Err *error = attest_check_api_version(request->api_version);
        if (error)
                return refuse(reply, error);
        _cleanup_message_ Message message = {};
        error = message_open(request->body, &message);
        if (error)
                return refuse(reply, error);
        *ret_where = message.type == MESSAGE_INIT ? FAULT_AT_INIT : FAULT_AT_REQUEST;
        if (fault_take(&service->faults, FAULT_NO_POLICY, *ret_where, NULL))
                return answer_no_policy(reply, "no policy, as the fault has it");
        if (service->options.no_default_policy && !policy_store_get(service->policies, ATTESTATION_TYPE_TPM)->policy)
                return answer_no_policy(reply, "no policy for TPM evidence was set, and --no-default-policy takes the instance's own away");
        switch (message.type) {
        case MESSAGE_INIT:
                error = answer_init(service, request, reply);
                return error ? refuse(reply, error) : NULL;
        case MESSAGE_REQUEST:
                return answer_request(service, request, message.request, reply);
        }
        return err_new(ERR_INTERNAL, "message type %d has no answer", (int) message.type);
}
