/* See enclave-claims.h. */
#include "instance/enclave-claims.h"

#include <openssl/rand.h>

#include "instance/instance-token.h"
#include "tcg/hash.h"

#define ATTESTATION_TYPE "sgx"
#define TCB_IDENTIFIER_DEFAULT "azuredefault"
#define ID_SIZE 32

static bool is_debuggable(const SgxReport *report) {
        return (report->flags & SGX_FLAG_DEBUG) != 0;
}

static Err *append_hex(PolicyClaims *claims, const char *type, Span value) {
        _cleanup_free_ char *hex = NULL;
        TRY(hex_encode(value, &hex));
        return policy_claims_append_string(claims, type, hex, POLICY_ISSUER_SERVICE);
}

/* The names that policies of before 2020 use; deprecated, and still supported by the service. */
static Err *append_old_names(PolicyClaims *claims, const SgxReport *report) {
        TRY(policy_claims_append_boolean(claims, "$is-debuggable", is_debuggable(report), POLICY_ISSUER_SERVICE));
        TRY(append_hex(claims, "$sgx-mrsigner", report->mrsigner));
        TRY(append_hex(claims, "$sgx-mrenclave", report->mrenclave));
        TRY(policy_claims_append_integer(claims, "$product-id", report->product_id, POLICY_ISSUER_SERVICE));
        TRY(policy_claims_append_integer(claims, "$svn", report->svn, POLICY_ISSUER_SERVICE));
        return policy_claims_append_string(claims, "$tee", ATTESTATION_TYPE, POLICY_ISSUER_SERVICE);
}

Err *enclave_claims_incoming(const EnclaveEvidence *evidence, PolicyClaims **ret) {
        const SgxReport *report = &evidence->quote->report;
        _cleanup_(policy_claims_freep) PolicyClaims *claims = NULL;
        TRY(policy_claims_new(&claims));
        TRY(policy_claims_append_string(claims, "x-ms-attestation-type", ATTESTATION_TYPE, POLICY_ISSUER_SERVICE));
        TRY(policy_claims_append_boolean(claims, "x-ms-sgx-is-debuggable", is_debuggable(report), POLICY_ISSUER_SERVICE));
        TRY(policy_claims_append_integer(claims, "x-ms-sgx-product-id", report->product_id, POLICY_ISSUER_SERVICE));
        TRY(policy_claims_append_integer(claims, "x-ms-sgx-svn", report->svn, POLICY_ISSUER_SERVICE));
        TRY(append_hex(claims, "x-ms-sgx-mrenclave", report->mrenclave));
        TRY(append_hex(claims, "x-ms-sgx-mrsigner", report->mrsigner));
        TRY(append_hex(claims, "x-ms-sgx-report-data", report->report_data));
        TRY(append_old_names(claims, report));
        *ret = steal_ptr(&claims);
        return NULL;
}

static Err *add_collateral(const EnclaveEvidence *evidence, Json *claims) {
        static const char *const unused[] = { "qeidcertshash", "qeidcrlhash", "qeidhash", "tcbinfocertshash", "tcbinfocrlhash", "tcbinfohash" };
        _cleanup_json_ Json *collateral = NULL;
        Digest digest, nothing;
        TRY(json_new_object(&collateral));
        TRY(hash_digest(HASH_SHA256, bytes_span(&evidence->request->evidence), &digest));
        TRY(hash_digest(HASH_SHA256, (Span) {}, &nothing));
        TRY(json_add_hex(collateral, "quotehash", digest_span(&digest)));
        for (size_t i = 0; i < N_ELEMENTS(unused); i++)
                TRY(json_add_hex(collateral, unused[i], digest_span(&nothing)));
        TRY(json_add(claims, "maa-attestationcollateral", json_ref(collateral)));
        return json_add(claims, "x-ms-sgx-collateral", steal_ptr(&collateral));
}

static Err *add_report(const SgxReport *report, Json *claims) {
        TRY(json_add_boolean(claims, "x-ms-sgx-is-debuggable", is_debuggable(report)));
        TRY(json_add_hex(claims, "x-ms-sgx-mrenclave", report->mrenclave));
        TRY(json_add_hex(claims, "x-ms-sgx-mrsigner", report->mrsigner));
        TRY(json_add_integer(claims, "x-ms-sgx-product-id", report->product_id));
        TRY(json_add_hex(claims, "x-ms-sgx-report-data", report->report_data));
        return json_add_integer(claims, "x-ms-sgx-svn", report->svn);
}

static Err *add_data(const EnclaveRequest *request, Json *claims) {
        static const char *const names[] = { "aas-ehd", "maa-ehd", "x-ms-sgx-ehd" };
        for (size_t i = 0; i < N_ELEMENTS(names) && request->runtime.is_there && !request->runtime.is_json; i++)
                TRY(json_add_base64url(claims, names[i], bytes_span(&request->runtime.data)));
        if (request->runtime.json)
                TRY(json_add(claims, "x-ms-runtime", json_ref(request->runtime.json)));
        if (request->init_time.json)
                TRY(json_add(claims, "x-ms-inittime", json_ref(request->init_time.json)));
        return json_add_string(claims, "nonce", request->nonce);
}

static Err *add_policy(const StoredPolicy *policy, Json *issued, Json *claims) {
        TRY(json_add(claims, "x-ms-policy", json_ref(issued)));
        TRY(json_add_string(claims, "x-ms-policy-hash", policy->hash));
        return policy->signer ? json_add(claims, "x-ms-policy-signer", json_ref(policy->signer)) : NULL;
}

/* What the policy issued comes first, so that it cannot take the place of what the service says. */
static Err *copy_issued(Json *issued, Json *claims) {
        json_object_object_foreach(issued, name, value) {
                TRY(json_add(claims, name, json_ref(value)));
        }
        return NULL;
}

Err *enclave_claims_of_token(const EnclaveEvidence *evidence, const StoredPolicy *policy, Json *issued, const char *tcb_identifier, Json **ret) {
        _cleanup_json_ Json *claims = NULL;
        uint8_t id[ID_SIZE];
        if (RAND_bytes(id, sizeof(id)) != 1)
                return err_new(ERR_INTERNAL, "OpenSSL has no random bytes");
        TRY(json_new_object(&claims));
        TRY(copy_issued(issued, claims));
        TRY(add_data(evidence->request, claims));
        TRY(add_collateral(evidence, claims));
        TRY(add_report(&evidence->quote->report, claims));
        TRY(add_policy(policy, issued, claims));
        TRY(json_add_hex(claims, "jti", SPAN_OF(id)));
        TRY(json_add_string(claims, "x-ms-attestation-type", ATTESTATION_TYPE));
        TRY(json_add_string(claims, "x-ms-sgx-tcbidentifier", tcb_identifier ? tcb_identifier : TCB_IDENTIFIER_DEFAULT));
        TRY(json_add_string(claims, "x-ms-ver", "1.0"));
        if (!evidence->chain_is_verified)
                TRY(json_add_string(claims, "sgxPckChain", "unverified"));
        *ret = steal_ptr(&claims);
        return NULL;
}
