/* What clients send to attest/Tpm: the envelope, and the attestation request inside its JWS.
 *
 *     body      {"data": base64url(inner)}                                   envelope
 *     inner     {"payload": {"type": "aikcert"}}                             init
 *               {"payload": {"request": JWS}}                                request
 *     JWS       header {"alg":"PS256","typ":"attReqV2"}, payload {att_type, att_data}
 *
 * The envelope is read as generously as the real service reads it (member names in any case, either base64 alphabet, padded or not:
 * three SDKs encode three ways); what is signed is read strictly, duplicate members refused. Source: Microsoft's "TPM and VBS enclave
 * attestation protocol", version 2, and recorded init messages. */
#pragma once

#include "instance/vsm-report.h"
#include "jose/jws.h"
#include "tcg/evidence.h"

#define MESSAGE_LOGS_MAX 8

typedef enum MessageType { MESSAGE_INIT, MESSAGE_REQUEST } MessageType;

typedef struct Message {
        MessageType type;
        Json *inner;
        const char *request;   /* the JWS, borrowed from inner; NULL for init */
} Message;
void message_done(Message *message);
#define _cleanup_message_ _cleanup_(message_done)

/* Errors: JSON_*, BASE64_INVALID, EVIDENCE_MALFORMED naming the member. */
Err *message_open(Span body, Message *ret) _must_check_;

typedef struct MessageLog {
        EvidenceLogType type;
        Bytes bytes;
} MessageLog;

/* A key of the TPM as the request shows it. */
typedef struct MessageKey {
        Jwk *key;
        bool is_certified;           /* by tpm_certify; the three below */
        Bytes public, certification, signature;
} MessageKey;

typedef enum ClaimType { CLAIM_STRING, CLAIM_INTEGER, CLAIM_BOOLEAN } ClaimType;

/* An attestation request, taken apart; nothing in it is believed yet. Strings are borrowed from json. */
typedef struct AttestRequest {
        Json *json;
        Bytes payload;               /* text of json; the two below point into it */
        Span members_text;           /* what a VBS report vouches for: report_signed of a vbs request; else att_data; with both braces */
        Span jwk_text;               /* the request key as it was written: this text is hashed */
        MessageKey request_key;      /* not certified: bound by the quote (tpm_quote) */
        MessageKey other_keys[EVIDENCE_OTHER_KEYS_MAX];
        size_t n_other_keys;
        Bytes challenge;
        const char *service_context;
        const char *rp_id, *rp_data; /* NULL if absent */
        EVP_PKEY *aik;
        Bytes aik_certificate;       /* empty if absent */
        Bytes quote, signature;
        PcrValues pcrs;
        MessageLog logs[MESSAGE_LOGS_MAX];
        size_t n_logs;
        struct AttestRequest *boot;  /* boot_attestation: aik, aik_certificate, quote, signature, pcrs and logs alone; NULL if absent */
        VsmReport vsm_report;        /* its bytes are empty in a basic request */
        Json *custom_claims;         /* array, checked; NULL if absent; borrowed */
} AttestRequest;
AttestRequest *attest_request_free(AttestRequest *request);
DEFINE_CLEANUP(AttestRequest, attest_request_free)

/* Parses the payload of the JWS; takes payload, also on failure. Errors: JSON_*, BASE64_INVALID, KEY_INVALID, EVIDENCE_MALFORMED,
 * NOT_SUPPORTED (other hash algorithms than sha-256). */
Err *attest_request_parse(Bytes *steal_payload, AttestRequest **ret) _must_check_;
/* The whole of message 3: form of the JWS, header, payload, and the signature with the key that the payload brings: proof that the
 * client has that key, no more. Errors: those above and TOKEN_*. */
Err *attest_request_open(const char *jws, AttestRequest **ret) _must_check_;
/* One custom claim's value as JSON of its declared type. Error: EVIDENCE_MALFORMED. */
Err *attest_request_claim(const Json *claim, const char **ret_name, Json **ret_value) _must_check_;
