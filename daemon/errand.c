/* Errands: attempts for one nonce, and those who wait for it.
 *
 * An errand runs one session after another until one succeeds, or nobody waits any more and it is not the profile's own, or its error is not of the passing
 * kind. The profile's own errand has the empty nonce. A ticket is somebody who waits: it has a deadline of its own. */
#include "daemon/profile-private.h"

#include "daemon/log.h"
#include "daemon/schedule.h"

#define NONCE_SIZE_MAX 1024

struct Errand {
        Profile *profile;
        Errand *next;
        Bytes nonce;                 /* empty: the profile's own */
        Session *session;            /* NULL between two attempts */
        sd_event_source *retry;
        uint64_t n_attempts;
        Err *last_error;
        AttestTicket *tickets;
};

struct AttestTicket {
        Errand *errand;
        AttestTicket *next;
        uint64_t deadline_usec;      /* boottime; 0: one attempt */
        sd_event_source *timer;
        ProfileAttestCallback callback;
        void *userdata;
};

static bool errand_is_own(const Errand *errand) {
        return errand->nonce.size == 0;
}

static AttestTicket *ticket_free(AttestTicket *ticket) {
        if (!ticket)
                return NULL;
        for (AttestTicket **place = &ticket->errand->tickets; *place; place = &(*place)->next)
                if (*place == ticket) {
                        *place = ticket->next;
                        ticket->errand->profile->n_tickets--;
                        break;
                }
        sd_event_source_disable_unref(ticket->timer);
        free(ticket);
        return NULL;
}

/* Takes the ticket away and tells its owner. */
static void ticket_finish(AttestTicket *ticket, const Err *err, const AttestResult *result) {
        ProfileAttestCallback callback = ticket->callback;
        void *userdata = ticket->userdata;
        ticket_free(ticket);
        callback(userdata, err, result);
}

static Errand *errand_free(Errand *errand) {
        if (!errand)
                return NULL;
        for (Errand **place = &errand->profile->errands; *place; place = &(*place)->next)
                if (*place == errand) {
                        *place = errand->next;
                        break;
                }
        while (errand->tickets)
                ticket_free(errand->tickets);
        session_free(errand->session);
        sd_event_source_disable_unref(errand->retry);
        err_free(errand->last_error);
        bytes_done(&errand->nonce);
        free(errand);
        return NULL;
}

Errand *profile_find_errand(Profile *profile, Span nonce) {
        for (Errand *errand = profile->errands; errand; errand = errand->next)
                if (span_equal(bytes_span(&errand->nonce), nonce))
                        return errand;
        return NULL;
}

/* The own session if there is one, else any. */
const Session *profile_active_session(const Profile *profile) {
        const Session *found = NULL;
        for (const Errand *errand = profile->errands; errand; errand = errand->next)
                if (errand->session && (!found || errand_is_own(errand)))
                        found = errand->session;
        return found;
}

static uint64_t boottime_usec(Profile *profile) {
        uint64_t now = 0;
        sd_event_now(manager_event(profile->manager), CLOCK_BOOTTIME, &now);
        return now;
}

static Err *errand_start_session(Errand *errand);
static void errand_failed(Errand *errand, const Err *err);

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        Errand *errand = userdata;
        Profile *profile = errand->profile;
        errand->retry = sd_event_source_disable_unref(errand->retry);
        _cleanup_(err_freep) Err *err = errand_start_session(errand);
        if (!err)
                return 0;
        errand_failed(errand, err);
        manager_notify_profile_changed(profile->manager, profile);
        return 0;
}

/* Somebody of those who wait has time left after delay. Those who have not are told. */
static bool tickets_remain_after(Errand *errand, const Err *err, uint64_t delay) {
        uint64_t then = boottime_usec(errand->profile) + delay;
        bool any = false;
        for (AttestTicket *ticket = errand->tickets, *next; ticket; ticket = next) {
                next = ticket->next;
                if (ticket->deadline_usec > then)
                        any = true;
                else
                        ticket_finish(ticket, err, NULL);
        }
        return any;
}

static void errand_failed(Errand *errand, const Err *err) {
        Profile *profile = errand->profile;
        bool is_own = errand_is_own(errand);
        bool is_transient = err_code_info(err_code(err))->retry == ERR_RETRY_TRANSIENT;
        uint64_t delay = is_transient ? schedule_impatient_delay(err, errand->n_attempts, profile_random()) : USEC_INFINITY / 4;

        profile_note_failure(profile, err, is_own);
        err_free(errand->last_error);
        errand->last_error = err_copy(err);
        if (tickets_remain_after(errand, err, delay) &&
            sd_event_add_time_relative(manager_event(profile->manager), &errand->retry, CLOCK_BOOTTIME, delay, USEC_PER_MSEC, on_retry, errand) >= 0)
                return;
        Err *reason = err_copy(err);
        errand_free(errand);
        if (is_own)
                profile_schedule_retry(profile, reason);
        err_free(reason);
}

static void errand_succeeded(Errand *errand, Session *session) {
        const Token *token = session_token(session);
        const AttestResult result = {
                .token = session_token_text(session),
                .issued_usec = profile_usec_of_date(token->issued_sec),
                .expires_usec = profile_usec_of_date(token->expires_sec),
                .n_attempts = errand->n_attempts,
                .instance = errand->profile->config->url,
        };
        profile_note_success(errand->profile);
        if (errand_is_own(errand))
                profile_adopt_token(errand->profile, session);
        while (errand->tickets)
                ticket_finish(errand->tickets, NULL, &result);
        errand_free(errand);
}

static void on_session_changed(void *userdata, Session *session) {
        Errand *errand = userdata;
        if (!session_state_is_final(session_state(session)))
                manager_notify_profile_changed(errand->profile->manager, errand->profile);
}

static void on_session_ended(void *userdata, Session *session) {
        Errand *errand = userdata;
        Profile *profile = errand->profile;
        errand->session = NULL;
        SessionFindings *findings = session_findings(session);
        if (findings->is_known) {
                session_findings_done(&profile->findings);
                profile->findings = *findings;
                *findings = (SessionFindings) {};
        }
        if (errand_is_own(errand))
                profile->last_state = session_state(session);
        if (session_state(session) == SESSION_ATTESTED) {
                errand_succeeded(errand, session);
        } else {
                _cleanup_(err_freep) Err *err = session_error(session)
                                                        ? err_wrap(err_copy(session_error(session)), "attesting to %s", profile->config->url)
                                                        : err_new(ERR_CANCELLED, "the attestation was cancelled");
                errand_failed(errand, err);
        }
        session_free(session);
        manager_notify_profile_changed(profile->manager, profile);
}

static void on_date_seen(void *userdata, uint64_t date_sec) {
        manager_note_date(((Errand *) userdata)->profile->manager, date_sec);
}

static Err *errand_start_session(Errand *errand) {
        Profile *profile = errand->profile;
        const SessionServices services = profile_services(profile);
        const SessionCallbacks callbacks = { on_session_changed, on_session_ended, on_date_seen, errand };
        TRY(session_new(&services, bytes_span(&errand->nonce), &callbacks, &errand->session));
        errand->n_attempts++;
        profile->n_attempts++;
        return NULL;
}

Err *errand_new(Profile *profile, Span nonce, Errand **ret) {
        if (!profile->config->url)
                return err_new(ERR_CONFIG_MISSING, "profile %s: [Instance] Url= is not set", profile->name);
        Errand *errand = calloc(1, sizeof(Errand));
        if (!errand)
                return err_oom();
        errand->profile = profile;
        errand->next = profile->errands;
        profile->errands = errand;
        Err *err = nonce.size > 0 ? bytes_copy(nonce, &errand->nonce) : NULL;
        if (!err)
                err = errand_start_session(errand);
        if (err) {
                errand_free(errand);
                return err;
        }
        *ret = errand;
        return NULL;
}

void errands_cancel_all(Profile *profile, ErrCode code, const char *why) {
        while (profile->errands) {
                Errand *errand = profile->errands;
                _cleanup_(err_freep) Err *err = err_new(code, "%s", why);
                while (errand->tickets)
                        ticket_finish(errand->tickets, err, NULL);
                errand_free(errand);
        }
}

/* An errand that nobody waits for any more ends, unless it is the profile's own and a session is under way. */
static void errand_release(Errand *errand) {
        if (errand->tickets || (errand_is_own(errand) && errand->session))
                return;
        Profile *profile = errand->profile;
        bool is_own = errand_is_own(errand);
        _cleanup_(err_freep) Err *err = steal_ptr(&errand->last_error);
        errand_free(errand);
        if (is_own)
                profile_schedule_retry(profile, err);
        manager_notify_profile_changed(profile->manager, profile);
}

static int on_ticket_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
        AttestTicket *ticket = userdata;
        Errand *errand = ticket->errand;
        _cleanup_(err_freep) Err *err = NULL;
        if (errand->last_error)
                err = err_wrap(err_copy(errand->last_error), "time ran out after %llu attempts", (unsigned long long) errand->n_attempts);
        else
                err = err_new(ERR_TIMEOUT, "time ran out while the attestation was in state %s",
                              session_state_to_string(errand->session ? session_state(errand->session) : SESSION_IDLE));
        ticket_finish(ticket, err, NULL);
        errand_release(errand);
        return 0;
}

Err *profile_attest(Profile *profile, Span nonce, uint64_t timeout_usec, ProfileAttestCallback callback, void *userdata, AttestTicket **ret) {
        if (nonce.size > NONCE_SIZE_MAX)
                return err_new(ERR_INVALID_ARGUMENT, "a nonce has at most %d bytes, this one has %zu", NONCE_SIZE_MAX, nonce.size);
        if (profile->n_tickets >= PROFILE_TICKETS_MAX)
                return err_new(ERR_BUSY, "%d requests for attestation are waiting already", PROFILE_TICKETS_MAX);
        AttestTicket *ticket = calloc(1, sizeof(AttestTicket));
        if (!ticket)
                return err_oom();
        Errand *errand = profile_find_errand(profile, nonce);
        Err *err = errand ? NULL : errand_new(profile, nonce, &errand);
        if (err) {
                free(ticket);
                return err;
        }
        *ticket = (AttestTicket) { .errand = errand, .next = errand->tickets, .callback = callback, .userdata = userdata };
        errand->tickets = ticket;
        profile->n_tickets++;
        if (timeout_usec > 0) {
                ticket->deadline_usec = boottime_usec(profile) + timeout_usec;
                int r = sd_event_add_time(manager_event(profile->manager), &ticket->timer, CLOCK_BOOTTIME, ticket->deadline_usec, USEC_PER_MSEC,
                                          on_ticket_deadline, ticket);
                if (r < 0) {
                        attest_ticket_cancel(ticket);
                        return err_new_errno(ERR_INTERNAL, r, "setting a deadline");
                }
        }
        *ret = ticket;
        return NULL;
}

AttestTicket *attest_ticket_cancel(AttestTicket *ticket) {
        if (!ticket)
                return NULL;
        Errand *errand = ticket->errand;
        ticket_free(ticket);
        errand_release(errand);
        return NULL;
}
