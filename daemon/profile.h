/* One profile: its token, its schedule, its sessions. The faces (bus, local socket) read its status and ask it for work; it tells observers of the manager
 * what changed. Everything runs on the one event loop. */
#pragma once

#include "client/operation.h"
#include "config/config.h"
#include "daemon/session-table.h"

typedef struct Manager Manager;
typedef struct Profile Profile;

/* A snapshot. Strings are borrowed until the next return to the event loop. Times are realtime microseconds, 0 for never. */
typedef struct ProfileStatus {
        const char *name;
        SessionState state;
        const char *instance;            /* base URL */
        bool is_attested;                /* holds a token that is valid now */
        uint64_t last_success_usec, last_failure_usec;
        const Err *last_error;           /* of the latest attempt, NULL if that succeeded */
        uint64_t token_issued_usec, token_expires_usec;
        uint64_t next_attempt_usec;
        uint64_t n_attempts, n_failures;
        bool has_findings;               /* evidence was collected since the start; else the following say nothing */
        PcrVerdict verdicts[PCR_COUNT];
        LogState boot_log_state, ima_log_state;
        BootAttestationState boot_attestation_state;
        const char *boot_log_reason, *ima_log_reason, *boot_attestation_reason;   /* NULL if there is nothing to say */
        uint64_t n_ima_entries;
} ProfileStatus;

const char *profile_name(const Profile *profile);
const Config *profile_config(const Profile *profile);
void profile_get_status(Profile *profile, ProfileStatus *ret);

/* The token at hand. Errors: NO_TOKEN (with the last error as cause), TOKEN_LIFE_TOO_SHORT (and a renewal is started). Borrowed. */
Err *profile_get_token(Profile *profile, uint64_t min_remaining_sec, const char **ret_token, uint64_t *ret_expires_usec) _must_check_;

typedef struct AttestResult {
        const char *token;               /* borrowed during the callback */
        uint64_t issued_usec, expires_usec;
        uint64_t n_attempts;             /* it took */
        const char *instance;
} AttestResult;
/* err: NULL on success; borrowed during the callback. */
typedef void (*ProfileAttestCallback)(void *userdata, const Err *err, const AttestResult *result);

/* A request in progress. It ends by its callback or by attest_ticket_cancel(), whichever comes first; then it is gone. */
typedef struct AttestTicket AttestTicket;
#define PROFILE_TICKETS_MAX 64
/* Attests now. nonce (raw, ≤ 1024 bytes) empty: a fresh random one, and the token becomes the profile's own. Requests for the same nonce join one
 * session. timeout_usec 0: one attempt; else transient failures are tried again until then. The callback always comes from the event loop, never from
 * within this call. Errors: BUSY (too many tickets), INVALID_ARGUMENT (nonce too long), CONFIG_MISSING (no Url=). */
Err *profile_attest(Profile *profile, Span nonce, uint64_t timeout_usec, ProfileAttestCallback callback, void *userdata, AttestTicket **ret) _must_check_;
AttestTicket *attest_ticket_cancel(AttestTicket *ticket);

/* err NULL: valid. claims_json is {"header":…,"claims":…} of what could be parsed, or NULL. All borrowed. Never from within the call. */
typedef void (*ProfileValidateCallback)(void *userdata, const Err *err, const char *claims_json);
typedef struct ValidateTicket ValidateTicket;
/* Judges a token by this profile's rules (keys fetched when needed); nonce, cnf are not checked: they belong to whoever asked for that token. */
Err *profile_validate(Profile *profile, Span token, ProfileValidateCallback callback, void *userdata, ValidateTicket **ret) _must_check_;
ValidateTicket *validate_ticket_cancel(ValidateTicket *ticket);

/* err NULL: jws is a proof as in maa/proof.h. Both borrowed. Never from within the call. */
typedef void (*ProfileSignCallback)(void *userdata, const Err *err, const char *jws);
typedef struct SignTicket SignTicket;
/* Signs payload with the key that the token at hand is bound to. Errors: NO_TOKEN, LIMIT_EXCEEDED, NOT_SUPPORTED (an ephemeral key that is not at hand any
 * more), BUSY; through the callback those of the TPM too. */
Err *profile_sign(Profile *profile, Span payload, ProfileSignCallback callback, void *userdata, SignTicket **ret) _must_check_;
SignTicket *sign_ticket_cancel(SignTicket *ticket);

/* Attest at once, whatever the schedule says. */
void profile_renew(Profile *profile);
/* Drops the token, from the disk too. The schedule goes on. */
void profile_forget(Profile *profile);
