/* One attempt to attest. It runs the table of session-table.h over the loop's transfers and the collector, and is immutable once it ended. */
#pragma once

#include "config/config.h"
#include "daemon/collector-link.h"
#include "daemon/credential-cache.h"
#include "daemon/curl-loop.h"
#include "daemon/key-cache.h"
#include "daemon/session-table.h"
#include "maa/token.h"

typedef struct Session Session;

typedef struct SessionServices {
        sd_event *event;
        CurlLoop *curl;
        CollectorLink *collector;
        KeyCache *keys;              /* of the instance */
        CredentialCache *credential;
        const TransportOptions *transport;
        const Config *config;        /* of the profile; must outlive the session */
        const char *profile;         /* name, for the journal */
} SessionServices;

typedef struct SessionCallbacks {
        void (*changed)(void *userdata, Session *session);            /* entered another state, or learnt of evidence */
        void (*ended)(void *userdata, Session *session);              /* final; from the loop; the owner may free it there */
        void (*date_seen)(void *userdata, uint64_t date_sec);         /* of an answer of the service */
        void *userdata;
} SessionCallbacks;

/* nonce empty: the configured one, else 32 fresh random bytes. Nothing happens before the loop turns. */
Err *session_new(const SessionServices *services, Span nonce, const SessionCallbacks *callbacks, Session **ret) _must_check_;
/* A session that has not ended ends silently: no callback. */
Session *session_free(Session *session);
DEFINE_CLEANUP(Session, session_free)

SessionState session_state(const Session *session);
const Err *session_error(const Session *session);          /* FAILED and CANCELLED: the cause */
const Token *session_token(const Session *session);        /* ATTESTED */
const char *session_token_text(const Session *session);    /* ATTESTED */
const char *session_request_key(const Session *session);   /* JWK text */
EVP_PKEY *session_take_signing_key(Session *session);      /* its private part, handed over once; NULL of a key in the TPM */

/* What the evidence of this session said about the machine. */
typedef struct SessionFindings {
        bool is_known;                       /* evidence was collected */
        PcrVerdict verdicts[PCR_COUNT];
        LogState boot_log_state, ima_log_state;
        BootAttestationState boot_attestation_state;
        char *boot_log_reason, *ima_log_reason, *boot_attestation_reason;
        uint64_t n_ima_entries;
        uint32_t reset_count, restart_count;
        Bytes aik_name;
} SessionFindings;
void session_findings_done(SessionFindings *findings);
SessionFindings *session_findings(Session *session);       /* whoever wants to keep its strings may steal them */

/* The rules of a profile. What the rules point at lives in ret until token_rules_done(). */
typedef struct ProfileRules {
        TokenRules rules;
        STACK_OF(X509) *trust_anchors;
        NamedValue *required_claims;
} ProfileRules;
Err *profile_rules_make(const Config *config, const JwkSet *keys, uint64_t now_sec, ProfileRules *ret) _must_check_;
void profile_rules_done(ProfileRules *rules);
