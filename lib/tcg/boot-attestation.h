/* The attestation of the boot, kept over a hibernation.
 *
 * Who hibernates switches the machine off after TPM2_Shutdown(STATE), and the firmware of the next start sends TPM2_Startup(CLEAR): a TPM Restart (TPM 2.0
 * Part 1 §12.2.3). It leaves resetCount and adds one to restartCount, and it resets the PCRs: what the machine booted and has run since is in no PCR
 * any more, though the same kernel goes on. So a quote is taken before, and sent beside the current one as long as the TPM was not reset (protocol
 * "TPM and VBS enclave attestation", version 2, tpm_att_data.boot_attestation). It answers no challenge: its qualifying data is empty.
 *
 * The file has the quote and what it covers, and of each log, which outlives the hibernation in the kernel's memory, how much of it was evidence then:
 *
 *     {"format":"attestd-boot-attestation","version":1,"quote":b64url,"signature":b64url,"aik_public":b64url,"aik_certificate":b64url,
 *      "pcrs":[{"bank":…,"values":{"0":hex,…}},…],"logs":[{"type":"TCG"|"IMA","size":N,"sha256":hex},…]}
 */
#pragma once

#include "base/json.h"
#include "tcg/evidence.h"

#define BOOT_ATTESTATION_FILE_MAX (256u << 10)   /* ours; one has about 8 KiB */

typedef struct KeptLog {
        EvidenceLogType type;
        uint64_t size;
        Digest sha256;          /* of its first size bytes */
} KeptLog;

typedef struct KeptAttestation {
        Evidence *evidence;     /* without logs; the counts are those of the quote */
        KeptLog logs[EVIDENCE_LOGS_MAX];
        size_t n_logs;
} KeptAttestation;
void kept_attestation_done(KeptAttestation *kept);
#define _cleanup_kept_attestation_ _cleanup_(kept_attestation_done)

/* The text of the file. Error: IO for the logs. */
Err *boot_attestation_write(const Evidence *evidence, Bytes *ret) _must_check_;
/* The file is believed only as far as its quote goes: signature and PCR values are checked, the counts come from it. Errors: JSON_*, BASE64_INVALID,
 * EVIDENCE_MALFORMED, QUOTE_*, TPM_AIK_INVALID. */
Err *boot_attestation_read(Span text, KeptAttestation *ret) _must_check_;

/* What a kept attestation is to the current quote. Pure. */
BootAttestationState boot_attestation_judge(const Evidence *kept, const Evidence *current);
/* Is that the log, as far as it was evidence then? */
Err *kept_log_matches(const KeptLog *log, Span content, bool *ret) _must_check_;
