/* What a TPM says of its machine, filled in by whoever talks to the TPM. Bytes are copied. Structures are those of TPM 2.0 Part 2, marshalled, without the
 * size of a TPM2B. */
#pragma once

#include "error.h"

ATTEST_BEGIN

typedef struct AttestEvidence AttestEvidence;

typedef enum AttestLog {
        ATTEST_LOG_TCG, /* binary_bios_measurements (TCG PC Client Platform Firmware Profile section 10) */
        ATTEST_LOG_IMA, /* binary_runtime_measurements */
} AttestLog;

/* TPMS_ATTEST (section 10.12.8) and TPMT_SIGNATURE (section 11.3.4) of TPM2_Quote. */
AttestError *attest_evidence_set_quote(AttestEvidence *evidence, const void *attest, size_t attest_size, const void *signature, size_t signature_size)
        ATTEST_MUST_CHECK;
/* TPMT_PUBLIC (section 12.2.4) of the key that signed, and its certificate in DER or PEM; size 0: there is none. Error: AikCertificateInvalid. */
AttestError *attest_evidence_set_aik(AttestEvidence *evidence, const void *public_area, size_t public_size, const void *certificate, size_t certificate_size)
        ATTEST_MUST_CHECK;
/* One quoted PCR: its bank as TPM_ALG_ID (section 6.3), its index from 0 to 23, its value. Banks in the order of the quote. Errors: InvalidArgument. */
AttestError *attest_evidence_add_pcr(AttestEvidence *evidence, uint16_t bank, unsigned index, const void *value, size_t size) ATTEST_MUST_CHECK;
/* A log: size bytes from the begin of the file fd, which is duplicated and read when it is sent, twice; or bytes. The firmware's first. */
AttestError *attest_evidence_add_log_fd(AttestEvidence *evidence, AttestLog type, int fd, uint64_t size) ATTEST_MUST_CHECK;
AttestError *attest_evidence_add_log(AttestEvidence *evidence, AttestLog type, const void *data, size_t size) ATTEST_MUST_CHECK;
/* With attest_session_use_tpm_key(): TPMT_PUBLIC of the request key, and TPMS_ATTEST and TPMT_SIGNATURE of TPM2_Certify by the AIK over the challenge. */
AttestError *attest_evidence_set_request_key(AttestEvidence *evidence, const void *public_area, size_t public_size, const void *attest, size_t attest_size,
                                             const void *signature, size_t signature_size) ATTEST_MUST_CHECK;

/* A further key of the TPM, for the relying party, two at most: the same, but the certification may be absent (sizes 0): then nobody vouches for it.
 * Errors: QuoteMalformed, InvalidArgument. */
AttestError *attest_evidence_add_other_key(AttestEvidence *evidence, const void *public_area, size_t public_size, const void *attest, size_t attest_size,
                                           const void *signature, size_t signature_size) ATTEST_MUST_CHECK;

ATTEST_END
