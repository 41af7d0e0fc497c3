/* What one collection yields: a quote, what it covers, and the logs that explain it. Passed from the collector to
 * whoever builds an attestation request. */
#pragma once

#include "tcg/pcr.h"

typedef enum EvidenceLogType { EVIDENCE_LOG_TCG, EVIDENCE_LOG_IMA, _EVIDENCE_LOG_TYPE_MAX } EvidenceLogType;
const char *evidence_log_type_to_string(EvidenceLogType type);   /* "TCG", "IMA": the protocol's names */

/* A log is a sealed memory file (or plain file); the descriptor is owned. Exactly size bytes from offset 0 are evidence. */
typedef struct EvidenceLog {
        EvidenceLogType type;
        int fd;
        uint64_t size;
} EvidenceLog;

/* Its bytes. Errors: IO, LIMIT_EXCEEDED above max. */
Err *evidence_log_read(const EvidenceLog *log, size_t max, Bytes *ret) _must_check_;

#define EVIDENCE_LOGS_MAX 4

/* Verdict for each quoted PCR (strongest quoted bank). */
typedef enum PcrVerdict {
        PCR_NOT_QUOTED,
        PCR_REPLAYED,     /* a log yields exactly the quoted value */
        PCR_UNEXPLAINED,  /* the value differs from its start value and no log yields it */
        PCR_UNUSED,       /* still at its start value (all 0x00, or all 0xff for 17-22) and no log mentions it */
        _PCR_VERDICT_MAX,
} PcrVerdict;
const char *pcr_verdict_to_string(PcrVerdict verdict);            /* "not-quoted", "replayed", "unexplained", "unused" */
PcrVerdict pcr_verdict_from_string(const char *text);             /* unknown: PCR_NOT_QUOTED */

/* State of a log. */
typedef enum LogState {
        LOG_STATE_OFF, LOG_STATE_OK, LOG_STATE_MISSING, LOG_STATE_EMPTY, LOG_STATE_UNREADABLE, LOG_STATE_MALFORMED,
        LOG_STATE_TRUNCATED, LOG_STATE_TRIMMED, LOG_STATE_MISMATCH, LOG_STATE_TOO_LARGE, _LOG_STATE_MAX,
} LogState;
const char *log_state_to_string(LogState state);                  /* "off", "ok", "missing", "empty", ... */
LogState log_state_from_string(const char *text);                 /* unknown: LOG_STATE_OFF */

/* Who made a VBS report: a VBS enclave (EnclaveGetAttestationReport), or the paravisor of a confidential VM (HCL report). */
typedef enum VsmReportKind { VSM_REPORT_ENCLAVE, VSM_REPORT_VM, _VSM_REPORT_KIND_MAX } VsmReportKind;
const char *vsm_report_kind_to_string(VsmReportKind kind);                     /* "enclave", "vm": the members of vsm_report */
bool vsm_report_kind_from_string(const char *text, VsmReportKind *ret);
#define VSM_USER_DATA_SIZE 64           /* what such a report is asked for with, and carries: a SHA-512 */
#define VSM_REPORT_SIZE_MAX (64u << 10) /* ours; a paravisor's has 2900 bytes */

/* A key of the TPM beside the AIK, and the AIK's word that it is in the same TPM (TPM2_Certify, TPM 2.0 Part 3 §18.2). */
typedef struct EvidenceKey {
        Bytes public;           /* TPMT_PUBLIC, without TPM2B size */
        Bytes certification;    /* TPMS_ATTEST; empty: nobody vouches for the key */
        Bytes signature;        /* TPMT_SIGNATURE, of the AIK */
} EvidenceKey;
void evidence_key_done(EvidenceKey *key);
#define EVIDENCE_OTHER_KEYS_MAX 2       /* of the protocol */

/* What has become of the attestation that was kept before a hibernation. */
typedef enum BootAttestationState {
        BOOT_ATTESTATION_NONE,       /* nothing was kept, or not since the collector's start */
        BOOT_ATTESTATION_KEPT,       /* the TPM was not restarted since: the current quote says as much */
        BOOT_ATTESTATION_ATTACHED,   /* restarted and not reset: it goes along */
        BOOT_ATTESTATION_DROPPED,    /* the TPM was reset, or there is another key: it is about another boot */
        BOOT_ATTESTATION_UNUSABLE,   /* the file is damaged */
        _BOOT_ATTESTATION_STATE_MAX,
} BootAttestationState;
const char *boot_attestation_state_to_string(BootAttestationState state);      /* "none", "kept", "attached", "dropped", "unusable" */
BootAttestationState boot_attestation_state_from_string(const char *text);     /* unknown: BOOT_ATTESTATION_NONE */

typedef struct Evidence {
        Bytes quote;            /* TPMS_ATTEST, without TPM2B size */
        Bytes signature;        /* TPMT_SIGNATURE */
        Bytes aik_public;       /* TPMT_PUBLIC, without TPM2B size */
        Bytes aik_name;         /* nameAlg || digest (TPM 2.0 Part 1 §16) */
        Bytes aik_certificate;  /* DER, empty if there is none */
        PcrValues pcrs;         /* the values that give the quote's pcrDigest, in the quote's order */
        PcrVerdict verdicts[PCR_COUNT];
        EvidenceLog logs[EVIDENCE_LOGS_MAX];   /* in the order of measurement: TCG, then IMA */
        size_t n_logs;
        LogState boot_log_state, ima_log_state;
        char *boot_log_reason, *ima_log_reason;  /* one sentence where the state is not ok; else NULL */
        uint64_t n_ima_entries; /* in the prefix that is sent */
        uint32_t reset_count, restart_count;     /* of the quote's clockInfo */
        unsigned n_quote_retries;                /* how often a PCR moved between read and quote */
        EvidenceKey request_key;                 /* public empty: there is none in the TPM */
        EvidenceKey other_keys[EVIDENCE_OTHER_KEYS_MAX];
        size_t n_other_keys;
        struct Evidence *boot;  /* from before hibernation: quote, signature, AIK, certificate, PCRs, logs, counts; NULL: there is none to send */
        BootAttestationState boot_attestation_state;
        char *boot_attestation_reason;           /* one sentence where there is something to say; else NULL */
} Evidence;

Evidence *evidence_free(Evidence *evidence);
DEFINE_CLEANUP(Evidence, evidence_free)
