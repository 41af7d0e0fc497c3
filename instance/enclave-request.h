/* The bodies of POST /attest/SgxEnclave and /attest/OpenEnclave.
 *
 *     {"quote":"b64url",                                       "report" for Open Enclave
 *      "runtimeData":{"data":"b64url","dataType":"Binary"},    or "JSON"; may be left out, as all the others
 *      "initTimeData":{…},                                     the same
 *      "draftPolicyForAttestation":"version=1.0; …",           text
 *      "nonce":"…"}
 *
 * Like the service, as far as that is known: the case of names and of dataType does not count (its own SDK writes inittimeData), base64 may be of either alphabet and padded,
 * and members that are not known are passed over. */
#pragma once

#include "base/json.h"

#define ENCLAVE_DATA_SIZE_MAX (1u << 20)   /* our own limit: what is sent comes back in the token */

typedef struct EnclaveData {
        bool is_there, is_json;
        Bytes data;
        Json *json;                /* data, parsed; NULL unless is_json */
} EnclaveData;

typedef struct EnclaveRequest {
        Bytes evidence;            /* quote or report, as sent */
        EnclaveData runtime, init_time;
        char *draft_policy, *nonce; /* NULL: none */
} EnclaveRequest;
void enclave_request_done(EnclaveRequest *request);
#define _cleanup_enclave_request_ _cleanup_(enclave_request_done)

/* Errors: JSON_*; EVIDENCE_MALFORMED with the member. */
Err *enclave_request_parse(Span body, bool is_open_enclave, EnclaveRequest *ret) _must_check_;
