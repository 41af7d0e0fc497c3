/* What the files of a profile share: profile.c (token, schedule, status), errand.c (attempts on behalf of somebody), profile-validate.c. */
#pragma once

#include "daemon/manager.h"
#include "daemon/session.h"

typedef struct Errand Errand;

struct Profile {
        Manager *manager;
        char *name;
        Config *config;
        TransportOptions transport;      /* borrows from config */
        KeyCache *keys;
        CredentialCache *credential;     /* borrows config and transport */
        bool is_started;
        /* the token at hand */
        char *token, *request_key;
        EVP_PKEY *signing_key;           /* private part of request_key; NULL: it is in the TPM, or gone */
        uint64_t issued_usec, expires_usec;
        sd_event_source *expiry;
        /* what happened */
        SessionState last_state;         /* of the latest own session */
        uint64_t last_success_usec, last_failure_usec;
        Err *last_error;
        uint64_t n_attempts, n_failures, n_failures_in_row;
        SessionFindings findings;
        /* what will happen */
        sd_event_source *attempt;
        uint64_t next_attempt_usec;      /* realtime; 0: not planned */
        Errand *errands;
        size_t n_tickets;
        ValidateTicket *validations;
        SignTicket *signings;
        CollectorCall *info_call;        /* before the token is written to disk */
};

uint64_t profile_now_usec(void);                    /* realtime */
uint64_t profile_random(void);
uint64_t profile_usec_of_date(uint64_t sec);        /* of a token's claim; what does not fit is as late as can be */
/* Starts an attempt of the profile's own, unless one is under way. */
void profile_start_own(Profile *profile);
/* After an own errand ended without anybody waiting any more. */
void profile_schedule_retry(Profile *profile, const Err *err);
void profile_adopt_token(Profile *profile, Session *session);
void profile_note_success(Profile *profile);
void profile_note_failure(Profile *profile, const Err *err, bool is_own);
SessionServices profile_services(Profile *profile);

/* errand.c */
Errand *profile_find_errand(Profile *profile, Span nonce);
Err *errand_new(Profile *profile, Span nonce, Errand **ret) _must_check_;
void errands_cancel_all(Profile *profile, ErrCode code, const char *why);
const Session *profile_active_session(const Profile *profile);

/* profile-validate.c */
void validations_cancel_all(Profile *profile);

/* profile-sign.c */
void signings_cancel_all(Profile *profile);

/* For the manager. */
Err *profile_new(Manager *manager, const char *name, Config *steal_config, Profile **ret) _must_check_;
Profile *profile_free(Profile *profile);
DEFINE_CLEANUP(Profile, profile_free)
/* Begins work: takes a kept token up if info is known and fits, else attests (OnStart=). info may be NULL. */
void profile_start(Profile *profile, const CollectorInfo *info);
/* Another configuration; attests anew. Takes config. */
Err *profile_reconfigure(Profile *profile, Config *steal_config) _must_check_;

/* manager.c, for profile.c */
CurlLoop *manager_curl(Manager *manager);
CollectorLink *manager_collector(Manager *manager);
void manager_note_date(Manager *manager, uint64_t date_sec);
const CollectorInfo *manager_info(const Manager *manager);   /* NULL until known */
void manager_set_info(Manager *manager, CollectorInfo *steal_info);
