/* Attestation of SGX enclaves: POST attest/SgxEnclave with a quote, attest/OpenEnclave with a report of Open Enclave around one, and what the token says.
 *
 *     {"quote" | "report": base64url, "runtimeData": {"data": base64url, "dataType": "Binary" | "JSON"}, "initTimeData": {the same},
 *      "nonce": text, "draftPolicyForAttestation": policy text}
 *
 * The first 32 bytes of the quote's report data must be the SHA-256 of the runtime data.
 * Sources: REST specification 2020-10-01; recorded exchanges; the documentation's "claim sets". */
#pragma once

#include "maa/message.h"

typedef enum MaaEnclaveKind { MAA_ENCLAVE_SGX, MAA_ENCLAVE_OPEN_ENCLAVE } MaaEnclaveKind;

typedef struct MaaEnclaveData {
        Span data;
        bool is_json;      /* comes back as an object in the token; else as base64url */
        bool is_given;
} MaaEnclaveData;

typedef struct MaaEnclaveRequest {
        MaaEnclaveKind kind;
        Span evidence;                     /* the quote or report, raw */
        MaaEnclaveData runtime, init_time;
        const char *nonce;                 /* NULL: none */
        const char *draft_policy;          /* NULL: none; else the answer's token is unsigned, and nothing to be believed */
} MaaEnclaveRequest;
/* Error: INVALID_ARGUMENT where the evidence is empty, or data that is said to be JSON is none. */
Err *maa_enclave_request(const char *base_url, const char *api_version, const MaaEnclaveRequest *request, HttpRequest *ret) _must_check_;

/* What a token says of an enclave, borrowed from its claims. NULL: the claim is absent. Of a claim with several names the newest that is there counts. */
typedef struct MaaEnclaveClaims {
        const char *attestation_type;      /* x-ms-attestation-type, tee */
        const char *mrenclave, *mrsigner;  /* hex */
        const char *report_data;           /* hex */
        const char *held_data;             /* the binary runtime data, base64url: x-ms-sgx-ehd, maa-ehd, aas-ehd */
        const char *tcb_identifier;
        const char *nonce, *policy_hash, *version;
        const Json *runtime, *init_time;   /* JSON runtime and init-time data */
        const Json *collateral;
        const Json *policy;                /* what the policy issued */
        bool has_debuggable, is_debuggable;
        bool has_product_id, has_svn;
        int64_t product_id, svn;
} MaaEnclaveClaims;
/* Error: TOKEN_CLAIM_INVALID names a claim of another type. */
Err *maa_enclave_claims(const Json *claims, MaaEnclaveClaims *ret) _must_check_;
/* Is the nonce the one that was sent (NULL: none was)? Unlike those of TPM tokens it is plain text. Error: TOKEN_NONCE_MISMATCH. */
Err *maa_enclave_check_nonce(const MaaEnclaveClaims *claims, const char *nonce) _must_check_;
