/* The two ways to a token bound to a nonce: through the daemon, or without one. */
#pragma once

#include "cli/options.h"
#include "cli/progress.h"

#define ATTEST_TIMEOUT_USEC (15 * USEC_PER_SEC)
#define ATTEST_NONCE_MAX 1024u

typedef struct AttestCommand {
        CommonOptions common;
        Bytes nonce;                 /* empty: random */
        bool no_daemon;
        const char *config_file;     /* with no_daemon; NULL: the standard places */
} AttestCommand;

typedef struct AttestOutcome {
        char *token, *instance;
        uint64_t issued_sec, expires_sec;
        uint64_t n_attempts;
} AttestOutcome;
void attest_outcome_done(AttestOutcome *outcome);

/* Manager.Attest, and the profile's State as progress. */
Err *attest_by_daemon(const AttestCommand *command, Progress *progress, AttestOutcome *ret) _must_check_;
/* Collector, service and token rules from here. */
Err *attest_without_daemon(const AttestCommand *command, Progress *progress, AttestOutcome *ret) _must_check_;
