/* The AttestTpm protocol, version 2 (attReqV2, att_type basic or vbs): messages, no conversation.
 * Sources: Microsoft's "Trusted Platform Module (TPM) and virtualization-based security (VBS) enclave attestation protocol", and recorded
 * exchanges. Every message travels as {"data":"<base64url of inner JSON>"}, the inner JSON being {"payload":{…}}.
 *
 *     client                                service
 *       init  {"type":"aikcert"}      -->
 *                                     <--   challenge {challenge, service_context}
 *       request {"request": JWS}      -->
 *                                     <--   report {"report": JWT}
 */
#pragma once

#include "jose/jws.h"
#include "maa/message.h"
#include "tcg/evidence.h"

#define MAA_CHALLENGE_SIZE 16
#define MAA_SERVICE_CONTEXT_MAX (16u << 10)   /* ours: characters; recorded ones have 375 */

/* base_url without trailing slash. */
Err *attest_tpm_init_request(const char *base_url, const char *api_version, HttpRequest *ret) _must_check_;

typedef struct AttestTpmChallenge {
        Bytes challenge;          /* 16 bytes */
        char *service_context;    /* base64url; echoed untouched */
} AttestTpmChallenge;
void attest_tpm_challenge_done(AttestTpmChallenge *challenge);
#define _cleanup_attest_tpm_challenge_ _cleanup_(attest_tpm_challenge_done)
/* Checks status and body. Errors: those of http_response_check(); SERVICE_ANSWER_INVALID naming the member. */
Err *attest_tpm_challenge_parse(const HttpResponse *response, uint64_t now_sec, AttestTpmChallenge *ret) _must_check_;

/* qualifying data of the quote: HASH(UTF8(jwk) || 0x00 || challenge), SHA-256. jwk is the literal text that will be sent. */
Err *attest_tpm_qualifying_data(const char *jwk_text, Span challenge, Digest *ret) _must_check_;

typedef struct NamedValue {
        char *name, *value;
} NamedValue;

typedef struct AttestTpmRequest {
        const AttestTpmChallenge *challenge;
        const Evidence *evidence;           /* log descriptors are duplicated */
        const char *jwk_text;               /* of the request key: hashed and sent as this very text */
        EVP_PKEY *request_key;              /* signs PS256, salt 32; of a key in the TPM the public part */
        const char *rp_id;                  /* NULL: the empty string is sent */
        Span rp_data;                       /* the relying party's nonce, raw bytes */
        const NamedValue *custom_claims;    /* value_type string */
        size_t n_custom_claims;
        Span vsm_report;                    /* empty: att_type basic; else vbs */
        /* request_key is evidence->request_key and bound by the AIK's certification (tpm_certify); else it is bound by the quote (tpm_quote) */
        bool certified_key;
        VsmReportKind vsm_report_kind;      /* VM is our extension: the real service documents enclave alone */
} AttestTpmRequest;
/* Errors: NOT_SUPPORTED if the AIK is no RSA key; QUOTE_MALFORMED if its public area does not parse; IO for the logs. */
Err *attest_tpm_request(const char *base_url, const char *api_version, const AttestTpmRequest *request, HttpRequest *ret) _must_check_;
/* The same in two steps, for a request_key that is elsewhere: the signing input, whose digest (jws_signing_digest() with JOSE_ALG_PS256) is to be signed, and
 * the request with that signature. The latter takes signing_input, also on failure. Errors besides: those of jws_append_signature(). */
Err *attest_tpm_signing_input(const AttestTpmRequest *request, Source **ret) _must_check_;
typedef struct AttestTpmProof {
        EVP_PKEY *key;
        Span digest, signature;
} AttestTpmProof;
Err *attest_tpm_signed_request(const char *base_url, const char *api_version, const AttestTpmProof *proof, Source *steal_signing_input,
                               HttpRequest *ret) _must_check_;
/* What a VBS report has to vouch for: SHA-512 of the literal text of report_signed, both braces included. request->vsm_report is not looked at;
 * everything else must be as in the attest_tpm_request() that follows. Errors as there. */
Err *attest_tpm_report_data(const AttestTpmRequest *request, Digest *ret) _must_check_;
/* The JWT out of the report message, not validated. */
Err *attest_tpm_report_parse(const HttpResponse *response, uint64_t now_sec, char **ret_token) _must_check_;

/* Shared with the verifier's side. Wraps {"payload":{…}} text into {"data":…}; takes inner, also on failure. */
Err *attest_tpm_envelope(Source *steal_inner, Source **ret) _must_check_;
/* Outer text -> inner JSON text and its payload object (a reference of the caller's own). The base64 may be of either alphabet, with padding or
 * without. what names the message. Errors: JSON_*, BASE64_INVALID. */
Err *attest_tpm_envelope_open(Span body, const char *what, Bytes *ret_inner, Json **ret_payload) _must_check_;
