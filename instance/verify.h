/* Is the evidence of an attestation request true? Every byte is judged; what does not lead to a refusal becomes a claim.
 *
 * Refused: a quote that is not signed by aik_pub, is about another challenge or request key, selects fewer PCRs than required or does
 * not give the digest of the values that were sent; an attestation from before a hibernation that is not of the same key and the same count of resets; logs that do not parse; an IMA list that does not yield PCR 10 in every quoted bank;
 * an AIK certificate for another key; a key that the AIK does not certify over the challenge, or that is another one than its jwk; a VBS report for another request or, of a paravisor, another AIK. Claims: which PCRs the firmware log explains, SecureBoot as measured, whether the AIK's
 * certificate is in date and of a known issuer. */
#pragma once

#include "instance/message.h"
#include "maa/tpm-claims.h"

typedef struct VerifyRules {
        uint32_t required_pcrs;          /* at least one quoted bank must have all of these */
        STACK_OF(X509) *aik_roots;       /* authorities of AIK certificates; NULL: no AIK is ever validated */
        int64_t now_sec;                 /* realtime, for certificates */
} VerifyRules;

typedef struct Verdict {
        bool aik_validated;
        char *aik_reason;                /* why not; NULL if it is */
        Digest aik_hash;                 /* SHA-256 of the AIK's SubjectPublicKeyInfo, DER */
        uint16_t bank;                   /* strongest quoted one: what the verdicts are about */
        PcrVerdict pcrs[PCR_COUNT];
        bool has_boot_log, has_ima_log;
        bool secure_boot;                /* SecureBoot was measured as 1, and PCR 7 proves it */
        uint64_t n_boot_events, n_ima_entries, n_ima_violations;
        uint32_t reset_count, restart_count;
        bool has_boot_attestation;       /* one from before a hibernation was sent, and holds */
        bool boot_secure_boot;           /* as above, of that one */
        uint32_t boot_restart_count;     /* an earlier one than restart_count */
        PcrVerdict boot_pcrs[PCR_COUNT];
        TpmClaims claims;                /* what the service says of all this */
        Json *vsm_claims;                /* about the VBS report; NULL if there is none */
} Verdict;
void verdict_done(Verdict *verdict);
#define _cleanup_verdict_ _cleanup_(verdict_done)

/* challenge is the one out of the service context. Errors: CHALLENGE_INVALID, QUOTE_*, KEY_INVALID, EVIDENCE_MALFORMED, EVENTLOG_MALFORMED,
 * LOG_EMPTY, LOG_TRUNCATED, IMA_MALFORMED, IMA_MISMATCH, AIK_CERTIFICATE_INVALID, VBS_REPORT_*, PARAVISOR_REPORT_*. */
Err *verify_request(const AttestRequest *request, Span challenge, const VerifyRules *rules, Verdict *ret) _must_check_;
