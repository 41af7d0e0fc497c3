/* The round: PCR values, a quote over them, and the logs that explain them, consistent by construction.
 *
 *     read PCRs -> quote -> (values give pcrDigest?) -> copy logs -> prefix of the IMA list -> verdicts -> check the quote
 *
 * The values must give the quote's pcrDigest. Where they do not, a PCR moved in between. PCR 10 does so all the time on a busy machine, and
 * trying again would never end; so it is not read at all but computed: the IMA list, copied after the quote, has exactly one prefix
 * whose PCR 10 makes the quoted digest come out. Every other PCR that moved means reading and quoting again, a bounded number of times. */
#pragma once

#include "config/config.h"
#include "tcg/evidence.h"
#include "tcg/ima.h"
#include "tpm/aik.h"
#include "tpm/boot-attestation.h"
#include "tpm/logs.h"
#include "tpm/request-key.h"

#define EVIDENCE_QUOTES_MAX 5

typedef struct EvidenceMaker {
        const Config *config;     /* borrowed */
        TpmContext *context;
        OwnKey own;
        RequestKey request_key;
        PcrValues guest_values;   /* that the last guest key was certified for; n_banks 0: none was */
        BootAttestation boot_attestation;
        LogFile boot_log, ima_log, systemd_log;
        uint32_t ima_reset_count; /* of the TPM, when ima_replay was made */
        ImaReplay ima_replay;     /* at the end of the last prefix: the next round hashes only what came since */
} EvidenceMaker;

/* Opens the logs, not the TPM. */
Err *evidence_maker_new(const Config *config, const char *state_directory, EvidenceMaker **ret) _must_check_;
EvidenceMaker *evidence_maker_free(EvidenceMaker *maker);
DEFINE_CLEANUP(EvidenceMaker, evidence_maker_free)

/* Runs work with an open connection to the TPM; if one that was open for longer turns out dead, once more with a new one. */
typedef Err *(*EvidenceWork)(EvidenceMaker *maker, void *userdata);
Err *evidence_maker_run(EvidenceMaker *maker, EvidenceWork work, void *userdata) _must_check_;

/* The banks, and of each the PCRs, that are quoted. Needs an open connection. */
Err *evidence_maker_select(EvidenceMaker *maker, PcrSelection *ret) _must_check_;

/* A whole round. certify: what the keys of RequestKey=tpm and OtherKeys= are certified over; empty: they stay out. Errors: those of the TPM and the key, TPM_PCR_UNSTABLE, QUOTE_*, and LOG_*, EVENTLOG_*, IMA_* where a policy is "required". */
Err *evidence_maker_quote(EvidenceMaker *maker, Span qualifying, Span certify, Evidence **ret) _must_check_;

/* A round without challenge, kept for after a hibernation. Errors as above, and IO. */
Err *evidence_maker_keep(EvidenceMaker *maker, BootAttestationState *ret_state) _must_check_;

/* A round for guest attestation: PCRs 0-7 of the SHA-256 bank and the firmware log alone, no challenge, and in request_key the key of guest-key.h with these
 * PCR values for policy. Errors: as above. */
Err *evidence_maker_collect_guest(EvidenceMaker *maker, Evidence **ret) _must_check_;

/* What was encrypted to that key; a secret. Errors: INVALID_ARGUMENT, KEY_INVALID where it was encrypted to another key or changed, TPM_PCR_UNSTABLE where
 * PCRs moved since the round, TPM_AUTHORIZATION where they move now, those of the TPM. */
Err *evidence_maker_guest_decrypt(EvidenceMaker *maker, Span ciphertext, Bytes *ret_plaintext) _must_check_;

/* A PS256 signature over a SHA-256 digest, by the request key of RequestKey=tpm. Errors: NOT_SUPPORTED without that setting, INVALID_ARGUMENT, those of the TPM. */
Err *evidence_maker_sign(EvidenceMaker *maker, Span digest, Bytes *ret_signature) _must_check_;
