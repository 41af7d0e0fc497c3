/* An operation is a conversation with the service as a value: it says what is to be done next and is told what came of it. It never sleeps, has no
 * socket and reads no clock. Two drivers run operations: a blocking one on curl easy (client/driver.h) and the daemon's on curl multi.
 *
 *     operation_next() → SEND  request  → operation_take_response() or operation_take_failure()
 *                      → QUOTE qualifying data → operation_take_evidence() or operation_take_failure()
 *                      → REPORT 64 bytes → operation_take_report() or operation_take_failure()   (only if asked for)
 *                      → SIGN SHA-256 digest → operation_take_signature() or operation_take_failure()   (only if the request key is in the TPM)
 *                      → WAIT a time → operation_take_elapsed() or operation_take_failure()   (only of operations that try again by themselves)
 *                      → DONE | FAILED
 * operation_next() may be asked again without effect until the answer was given. */
#pragma once

#include "client/credential.h"
#include "client/retry.h"
#include "maa/attest_tpm.h"
#include "maa/metadata.h"

typedef enum OperationStep { OPERATION_SEND, OPERATION_QUOTE, OPERATION_REPORT, OPERATION_SIGN, OPERATION_WAIT, OPERATION_DONE, OPERATION_FAILED } OperationStep;

typedef struct Operation Operation;
Operation *operation_free(Operation *operation);
DEFINE_CLEANUP(Operation, operation_free)

OperationStep operation_next(Operation *operation);
const HttpRequest *operation_request(const Operation *operation);      /* in SEND; borrowed until the answer; the driver rewinds and reads the body */
Span operation_qualifying_data(const Operation *operation);            /* in QUOTE */
Span operation_challenge(const Operation *operation);                  /* in QUOTE: what keys of the TPM are to be certified over */
void operation_take_response(Operation *operation, const HttpResponse *response, uint64_t now_sec);
void operation_take_evidence(Operation *operation, Evidence *steal_evidence);
Span operation_report_data(const Operation *operation);                /* in REPORT: what the VBS report is to vouch for */
void operation_take_report(Operation *operation, VsmReportKind kind, Span report);   /* copied */
Span operation_signing_digest(const Operation *operation);             /* in SIGN: to be signed with the request key, PS256 */
void operation_take_signature(Operation *operation, Span signature);    /* verified, and copied */
uint64_t operation_delay_usec(const Operation *operation);              /* in WAIT: how long; no shorter, or the other side gets annoyed */
uint64_t operation_delay_least_usec(const Operation *operation);        /* in WAIT: what of that the other side asked for; 0: nothing */
void operation_take_elapsed(Operation *operation, uint64_t now_sec);
/* To be said before the first step. What fails on its way to the service, or there, is tried again by the plan: each time from the beginning, for a request that
 * was refused may have spent its challenge. Without a plan nothing is. Tokens (operation_new_token()) have a plan of their own. */
void operation_set_retry(Operation *operation, const RetryPlan *plan);
/* In WAIT, of operations with a plan: the other try does not take place, and what the last one failed with is the error. */
void operation_give_up(Operation *operation);
void operation_take_failure(Operation *operation, Err *steal_err);      /* transport or collector failed */
Err *operation_take_error(Operation *operation);                        /* in FAILED: hands the error over (once) */

typedef struct AttestTpmOptions {
        const char *base_url, *api_version;      /* copied */
        const char *rp_id;
        Span rp_data;                            /* copied; the caller makes 32 random bytes where none are given */
        EVP_PKEY *request_key;                   /* referenced (up_ref); NULL with use_tpm_key */
        bool use_tpm_key;                        /* the request key is one in the TPM that comes with the evidence: OPERATION_SIGN comes before it is sent */
        const NamedValue *custom_claims;         /* copied */
        size_t n_custom_claims;
        const char *authorization;               /* "Bearer …" or NULL; copied */
        bool vbs;                                /* send a VBS report along: OPERATION_REPORT comes after QUOTE */
} AttestTpmOptions;
Err *operation_new_attest_tpm(const AttestTpmOptions *options, Operation **ret) _must_check_;
/* In DONE: the JWT, not validated. Borrowed. */
const char *operation_attest_tpm_token(const Operation *operation);
const char *operation_attest_tpm_jwk(const Operation *operation);       /* text of the request key's public part; NULL while it is not known */
EVP_PKEY *operation_attest_tpm_key(const Operation *operation);         /* borrowed; of a key in the TPM the public part, and NULL while it is not known */
/* Is the next SEND the init message (so: not yet the request)? For drivers that show progress. */
bool operation_attest_tpm_is_init(const Operation *operation);

/* One request that the caller has made (lib/maa), and the text of the JSON answer, for the parser that belongs to it. intent names what is being done, for
 * errors ("setting the policy at https://…"); it is copied. The request is taken, also on failure. A further try sends the same request again. */
Err *operation_new_call(const char *intent, HttpRequest *steal_request, Operation **ret) _must_check_;
Span operation_call_answer(const Operation *operation);                 /* in DONE; borrowed */

/* One request to a service of another kind: body (JSON text; NULL: none) to an absolute URL, and the JSON that comes back. In DONE: hands the answer over. */
Err *operation_new_exchange(const char *method, const char *url, const char *body, Operation **ret) _must_check_;
Json *operation_take_exchange(Operation *operation);

/* A new token for a credential, which must outlive the operation. Waits and tries again within the credential's budget. DONE from the start where nobody has
 * to be asked. In DONE: the token is credential_authorization()'s. In FAILED the credential has what it had before. Error: BUSY while another one is not freed. */
Err *operation_new_token(Credential *credential, uint64_t now_sec, Operation **ret) _must_check_;

/* GET /certs. In DONE: hands the set over. */
Err *operation_new_certs(const char *base_url, Operation **ret) _must_check_;
JwkSet *operation_take_certs(Operation *operation);
