/* Attestation of SGX enclaves by their quote, or by the report that Open Enclave makes of it. Sources: REST specification 2020-10-01 of Microsoft Azure Attestation,
 * AttestSgxEnclave and AttestOpenEnclave; the documentation's "claim sets". */
#pragma once

#include "client.h"

ATTEST_BEGIN

/* What goes to the service. All data is copied; one thread at a time. */
typedef struct AttestEnclave AttestEnclave;

/* The quote (sgx_quote3_t, with its certification data), or the report of oe_get_report(), size bytes. Error: InvalidArgument where it is empty. */
AttestError *attest_enclave_new_sgx(const void *quote, size_t size, AttestEnclave **ret) ATTEST_MUST_CHECK;
AttestError *attest_enclave_new_open_enclave(const void *report, size_t size, AttestEnclave **ret) ATTEST_MUST_CHECK;
AttestEnclave *attest_enclave_free(AttestEnclave *enclave);
/* What the enclave vouches for: the first 32 bytes of the quote's report data are the SHA-256 of these size bytes. As JSON they come back in the token as an object,
 * else as base64url. Error: InvalidArgument where JSON is none (at the call to the service). */
AttestError *attest_enclave_set_runtime_data(AttestEnclave *enclave, const void *data, size_t size, bool is_json) ATTEST_MUST_CHECK;
/* The same of what the enclave was configured with when it began. */
AttestError *attest_enclave_set_init_time_data(AttestEnclave *enclave, const void *data, size_t size, bool is_json) ATTEST_MUST_CHECK;
AttestError *attest_enclave_set_nonce(AttestEnclave *enclave, const char *nonce) ATTEST_MUST_CHECK;   /* comes back in the token, and is compared */
/* The text of a policy that is evaluated instead of the instance's. Then the token is unsigned: it is parsed, never validated. NULL: none. */
AttestError *attest_enclave_set_draft_policy(AttestEnclave *enclave, const char *policy) ATTEST_MUST_CHECK;

typedef struct AttestEnclaveResult AttestEnclaveResult;

/* POST attest/SgxEnclave or attest/OpenEnclave; blocks. Errors: those of the network (Service…, Timeout); Token… where the token does not hold, by the client's
 * rules; TokenClaimInvalid where it says something else of the nonce, or a claim has another type; Cancelled. */
AttestError *attest_client_attest_enclave(AttestClient *client, const AttestEnclave *enclave, AttestEnclaveResult **ret) ATTEST_MUST_CHECK;
AttestEnclaveResult *attest_enclave_result_free(AttestEnclaveResult *result);

/* Borrowed, all of them: they live as long as the result. NULL, or false, where the token does not say. */
const AttestToken *attest_enclave_result_get_token(const AttestEnclaveResult *result);
const char *attest_enclave_result_get_attestation_type(const AttestEnclaveResult *result);   /* "sgx" */
const char *attest_enclave_result_get_mrenclave(const AttestEnclaveResult *result);          /* hex, 64 digits */
const char *attest_enclave_result_get_mrsigner(const AttestEnclaveResult *result);           /* hex, 64 digits */
const char *attest_enclave_result_get_report_data(const AttestEnclaveResult *result);        /* hex, 128 digits */
const char *attest_enclave_result_get_held_data(const AttestEnclaveResult *result);          /* binary runtime data, base64url */
const void *attest_enclave_result_get_held_bytes(const AttestEnclaveResult *result, size_t *ret_size);   /* the same, decoded */
const char *attest_enclave_result_get_policy_hash(const AttestEnclaveResult *result);        /* base64url */
const char *attest_enclave_result_get_policy_signer(const AttestEnclaveResult *result);      /* PEM, of who signed the policy; his own certificate first */
const char *attest_enclave_result_get_policy_claims(const AttestEnclaveResult *result);      /* what the policy issued, JSON text of an object */
const char *attest_enclave_result_get_version(const AttestEnclaveResult *result);            /* "1.0" */
const char *attest_enclave_result_get_nonce(const AttestEnclaveResult *result);
const char *attest_enclave_result_get_runtime(const AttestEnclaveResult *result);            /* JSON runtime data, JSON text */
const char *attest_enclave_result_get_init_time(const AttestEnclaveResult *result);          /* JSON init-time data, JSON text */
const char *attest_enclave_result_get_collateral(const AttestEnclaveResult *result);         /* hashes of what the quote was judged by, JSON text of an object */
const char *attest_enclave_result_get_tcb_identifier(const AttestEnclaveResult *result);     /* "azuredefault" */
bool attest_enclave_result_get_debuggable(const AttestEnclaveResult *result, bool *ret);
bool attest_enclave_result_get_product_id(const AttestEnclaveResult *result, int64_t *ret);
bool attest_enclave_result_get_svn(const AttestEnclaveResult *result, int64_t *ret);

ATTEST_END
