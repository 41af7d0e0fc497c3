/* The attestation token for TPM evidence, in the real service's shape.
 *
 * Header {typ, alg, x5c of three, kid}; claims in this order, as in both public samples: nbf exp iat iss jti ver x-ms-ver rp_data nonce cnf
 * x-ms-policy-hash x-ms-tpm-request-key x-ms-tpm-other-keys x-ms-policy; minified. nbf is 300 s before iat. rp_data and nonce are there only if the request had
 * rp_data. x-ms-policy holds what the policy issues. */
#pragma once

#include "instance/identity.h"
#include "instance/message.h"
#include "instance/verify.h"

#define REPORT_BACKDATE_SEC 300
#define REPORT_LIFETIME_SEC_DEFAULT (1440 * 60)   /* report_validity_in_minutes of the service */
#define REPORT_LIFETIME_SEC_MAX (365 * 86400)

/* The instance's fixed policy for TPM evidence, with the two numbers that options set. */
Err *report_policy_text(uint32_t required_pcrs, uint64_t lifetime_sec, char **ret) _must_check_;
/* base64url(SHA-256(base64url(policy text))). */
Err *report_policy_hash(const char *policy_text, char **ret) _must_check_;
/* What the service says of a verdict: claims as a JSON object. */
Err *report_service_claims(const Verdict *verdict, Json **ret) _must_check_;
/* What that policy issues about a verdict, and the custom claims under their names, as JSON text. Error: EVIDENCE_MALFORMED if a custom claim
 * has the name of one of the service's own. */
Err *report_policy_claims(const Verdict *verdict, const Json *custom_claims, char **ret) _must_check_;

/* The claims about the keys of a request that was verified, as JSON text: {jwk, info} with info {tpm_quote {hash_alg}} or {tpm_certify {name_alg, obj_attr,
 * auth_policy?}}; the others as an array, *ret NULL if there are none. */
Err *report_request_key(const AttestRequest *request, char **ret) _must_check_;
Err *report_other_keys(const AttestRequest *request, char **ret) _must_check_;

/* Claims before they become text; all strings are borrowed. */
typedef struct Report {
        int64_t not_before, expires, issued;
        const char *issuer;
        char id[41];
        const char *rp_data, *nonce;    /* NULL: left out */
        const char *confirmed_jwk;      /* of cnf */
        const char *request_key;        /* x-ms-tpm-request-key: JSON */
        const char *other_keys;         /* x-ms-tpm-other-keys: JSON; NULL: left out */
        const char *policy_hash;
        const char *policy_claims;
        bool omit_x5c;                  /* the header has x5t in its place */
} Report;
/* Fills the times and draws the id. */
Err *report_init(Report *report, int64_t now_sec, uint64_t lifetime_sec) _must_check_;
Err *report_claims_text(const Report *report, Bytes *ret) _must_check_;

/* Header members before they become text. alg, x5c and jwk are JSON; kid and extra may be NULL. */
typedef struct ReportHeader {
        const char *alg;
        const char *x5c;     /* JSON array; NULL: left out */
        const char *kid;
        const char *extra;   /* further members, each with a comma in front */
} ReportHeader;
Err *report_header_text(const ReportHeader *header, char **ret) _must_check_;

/* The token as it should be. */
Err *report_sign(const Report *report, const Identity *identity, char **ret) _must_check_;
