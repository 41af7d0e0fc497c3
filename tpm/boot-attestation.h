/* Keeps an attestation of the boot over a hibernation: see tcg/boot-attestation.h for why.
 *
 * Whoever sends the machine to sleep has it made (KeepBootAttestation). The file lies in the state directory, written whole or not at all, and
 * is looked at in every round: the counts of the current quote say whether it is about this boot. One that is about another is removed. */
#pragma once

#include "tcg/boot-attestation.h"
#include "tpm/logs.h"

typedef struct BootAttestation {
        char *path;
        char *dropped;     /* why one was removed; NULL: none was since the start */
} BootAttestation;
Err *boot_attestation_init(const char *state_directory, BootAttestation *ret) _must_check_;
void boot_attestation_done(BootAttestation *boot);

/* Keeps evidence, a round's without challenge, unless it brings along one from before an earlier hibernation of the same boot: that one stays, since
 * nobody can quote the boot's PCRs again. Says in evidence->boot_attestation_state what is there afterwards. Error: IO. */
Err *boot_attestation_keep(BootAttestation *boot, Evidence *evidence) _must_check_;
/* Sets evidence's boot, boot_attestation_state and boot_attestation_reason. Errors are ours alone (memory, descriptors). */
Err *boot_attestation_attach(BootAttestation *boot, LogFile *boot_log, LogFile *ima_log, Evidence *evidence) _must_check_;
