/* See session.h. session_enter() is the only place where the state changes: it cancels the old effect, arms the new deadline, tells the owner, starts the new
 * effect. Whatever an effect learns comes back through session_post(), as an event of its own, stamped with the generation of the effect; a stamp of an
 * earlier effect is dropped. */
#include "daemon/session.h"

#include <sys/random.h>
#include <time.h>

#include "daemon/log.h"

#define NONCE_SIZE 32
#define REQUEST_KEY_BITS 2048
#define DEADLINE_SLACK_USEC (5 * USEC_PER_SEC) /* curl's own timeout is to come first: it says more */
#define TRUST_ANCHORS_FILE_MAX (1u << 20)

struct Session {
        SessionServices services;
        SessionCallbacks callbacks;
        SessionState state;
        Err *error;
        /* the conversation */
        Bytes nonce;
        EVP_PKEY *request_key;
        Operation *operation;
        Token *token;
        bool fetched_keys;
        SessionFindings findings;
        /* the effect under way */
        CurlJob *job;
        CollectorCall *call;
        KeyWaiter *waiter;
        CredentialWaiter *credential_waiter;
        sd_event_source *deadline;
        /* the event to come */
        uint64_t generation;
        sd_event_source *defer;
        SessionEvent pending_event;
        uint64_t pending_generation;
        Err *pending_error;
};

SessionState session_state(const Session *session) {
        return session->state;
}

const Err *session_error(const Session *session) {
        return session->error;
}

const Token *session_token(const Session *session) {
        return session->state == SESSION_ATTESTED ? session->token : NULL;
}

const char *session_token_text(const Session *session) {
        return session->state == SESSION_ATTESTED ? operation_attest_tpm_token(session->operation) : NULL;
}

const char *session_request_key(const Session *session) {
        return session->operation ? operation_attest_tpm_jwk(session->operation) : NULL;
}

EVP_PKEY *session_take_signing_key(Session *session) {
        return steal_ptr(&session->request_key);
}

SessionFindings *session_findings(Session *session) {
        return &session->findings;
}

void session_findings_done(SessionFindings *findings) {
        free(findings->boot_log_reason);
        free(findings->ima_log_reason);
        free(findings->boot_attestation_reason);
        bytes_done(&findings->aik_name);
        *findings = (SessionFindings) {};
}

static uint64_t now_sec(void) {
        return (uint64_t) time(NULL);
}

/* An event for the next turn of the loop. One that waits already gives way. Takes err. */
static void session_post(Session *session, SessionEvent event, Err *steal_err) {
        err_free(session->pending_error);
        session->pending_event = event;
        session->pending_generation = session->generation;
        session->pending_error = steal_err;
        sd_event_source_set_enabled(session->defer, SD_EVENT_ONESHOT);
}

/* The event for success, or FAILURE with the error put into its context; intent NULL: the error says by itself what was tried. */
static void session_post_outcome(Session *session, Err *steal_err, const char *intent, SessionEvent success) {
        if (steal_err)
                session_post(session, SESSION_EVENT_FAILURE, intent ? err_wrap(steal_err, "%s", intent) : steal_err);
        else
                session_post(session, success, NULL);
}

static void session_stop_effect(Session *session) {
        session->job = curl_job_cancel(session->job);
        session->call = collector_call_cancel(session->call);
        session->waiter = key_waiter_cancel(session->waiter);
        session->credential_waiter = credential_waiter_cancel(session->credential_waiter);
        session->deadline = sd_event_source_disable_unref(session->deadline);
}

/* --- credential -------------------------------------------------------------------------------------------------- */

static Err *make_operation(Session *session) {
        const Config *config = session->services.config;
        bool use_tpm_key = config->request_key == REQUEST_KEY_TPM;
        if (!use_tpm_key)
                TRY(jose_key_generate_rsa(REQUEST_KEY_BITS, &session->request_key));
        _cleanup_free_ NamedValue *claims = calloc(config->n_custom_claims + 1, sizeof(NamedValue));
        if (!claims)
                return err_oom();
        for (size_t i = 0; i < config->n_custom_claims; i++)
                claims[i] = (NamedValue) { config->custom_claims[i].name, config->custom_claims[i].value };
        const AttestTpmOptions options = {
                .base_url = config->url,
                .api_version = config->api_version,
                .rp_id = config->rp_id,
                .rp_data = bytes_span(&session->nonce),
                .request_key = session->request_key,
                .use_tpm_key = use_tpm_key,
                .custom_claims = claims,
                .n_custom_claims = config->n_custom_claims,
                .authorization = credential_cache_authorization(session->services.credential),
                .vbs = !string_equal(config->vbs_report, "none"),
        };
        return operation_new_attest_tpm(&options, &session->operation);
}

static void on_credential(void *userdata, const Err *err) {
        Session *session = userdata;
        session->credential_waiter = NULL;
        if (err)
                session_post(session, SESSION_EVENT_FAILURE, err_copy(err));
        else
                session_post_outcome(session, make_operation(session), "preparing the request", SESSION_EVENT_CREDENTIAL_READY);
}

static void effect_get_credential(Session *session) {
        CredentialCache *credential = session->services.credential;
        if (credential_cache_is_ready(credential)) {
                session_post_outcome(session, make_operation(session), "preparing the request", SESSION_EVENT_CREDENTIAL_READY);
                return;
        }
        Err *err = credential_cache_fetch(credential, on_credential, session, &session->credential_waiter);
        if (err)
                session_post(session, SESSION_EVENT_FAILURE, err);
}

/* --- messages ---------------------------------------------------------------------------------------------------- */

static void on_answer(void *userdata, const Err *err, const HttpResponse *response) {
        Session *session = userdata;
        bool is_init = session->state == SESSION_INIT;
        session->job = NULL;
        if (err) {
                operation_take_failure(session->operation, err_copy(err));
        } else {
                if (response->date_sec > 0 && session->callbacks.date_seen)
                        session->callbacks.date_seen(session->callbacks.userdata, response->date_sec);
                operation_take_response(session->operation, response, now_sec());
        }
        OperationStep step = operation_next(session->operation);
        Err *failure = NULL;
        if (step == OPERATION_FAILED)
                failure = operation_take_error(session->operation);
        else if (step != (is_init ? OPERATION_QUOTE : OPERATION_DONE))
                failure = err_new(ERR_INTERNAL, "the conversation went to step %d", (int) step);
        if (err_code(failure) == ERR_SERVICE_UNAUTHORIZED)
                credential_cache_forget(session->services.credential);
        session_post_outcome(session, failure, NULL, is_init ? SESSION_EVENT_CHALLENGE_RECEIVED : SESSION_EVENT_REPORT_RECEIVED);
}

static void effect_send(Session *session) {
        Err *err = NULL;
        if (operation_next(session->operation) != OPERATION_SEND)
                err = err_new(ERR_INTERNAL, "the conversation has nothing to send");
        if (!err)
                err = curl_loop_start(session->services.curl, operation_request(session->operation), session->services.transport, on_answer,
                                      session, &session->job);
        if (err)
                session_post(session, SESSION_EVENT_FAILURE, err);
}

/* --- evidence ---------------------------------------------------------------------------------------------------- */

static void take_findings(Session *session, Evidence *evidence) {
        SessionFindings *findings = &session->findings;
        session_findings_done(findings);
        *findings = (SessionFindings) {
                .is_known = true,
                .boot_log_state = evidence->boot_log_state,
                .ima_log_state = evidence->ima_log_state,
                .boot_log_reason = steal_ptr(&evidence->boot_log_reason),
                .ima_log_reason = steal_ptr(&evidence->ima_log_reason),
                .boot_attestation_state = evidence->boot_attestation_state,
                .boot_attestation_reason = steal_ptr(&evidence->boot_attestation_reason),
                .n_ima_entries = evidence->n_ima_entries,
                .reset_count = evidence->reset_count,
                .restart_count = evidence->restart_count,
                .aik_name = bytes_steal(&evidence->aik_name),
        };
        for (unsigned pcr = 0; pcr < PCR_COUNT; pcr++)
                findings->verdicts[pcr] = evidence->verdicts[pcr];
        if (evidence->n_quote_retries > 0)
                log_message(LOG_DEBUG, "profile %s: the quote was repeated %u times because PCRs moved", session->services.profile,
                            evidence->n_quote_retries);
}

/* Where the conversation is after something came from the collector: what it needs next of it, or nothing. Sends the event. */
static void post_collected(Session *session, Err *steal_failure, const char *intent) {
        SessionEvent event = SESSION_EVENT_EVIDENCE_READY;
        OperationStep step = operation_next(session->operation);
        Err *failure = steal_failure;
        if (!failure && step == OPERATION_FAILED)
                failure = operation_take_error(session->operation);
        else if (step == OPERATION_REPORT)
                event = SESSION_EVENT_VBS_REPORT_NEEDED;
        else if (step == OPERATION_SIGN)
                event = SESSION_EVENT_SIGNATURE_NEEDED;
        session_post_outcome(session, failure, intent, event);
}

static void on_evidence(void *userdata, const Err *err, Evidence *steal_evidence) {
        Session *session = userdata;
        session->call = NULL;
        if (!err) {
                take_findings(session, steal_evidence);
                operation_take_evidence(session->operation, steal_evidence);
        }
        post_collected(session, err_copy(err), "collecting evidence");
}

static void effect_collect(Session *session) {
        Err *err = collector_link_quote(session->services.collector, operation_qualifying_data(session->operation), operation_challenge(session->operation),
                                        on_evidence, session, &session->call);
        if (err)
                session_post(session, SESSION_EVENT_FAILURE, err_wrap(err, "collecting evidence"));
}

static void on_vbs_report(void *userdata, const Err *err, VsmReportKind kind, Span report) {
        Session *session = userdata;
        session->call = NULL;
        if (err)
                operation_take_failure(session->operation, err_copy(err));
        else
                operation_take_report(session->operation, kind, report);
        post_collected(session, NULL, NULL);
}

static void effect_get_vbs_report(Session *session) {
        Err *err = collector_link_report(session->services.collector, operation_report_data(session->operation), on_vbs_report, session, &session->call);
        if (err)
                session_post(session, SESSION_EVENT_FAILURE, err_wrap(err, "getting a VBS report"));
}

static void on_signature(void *userdata, const Err *err, Span signature) {
        Session *session = userdata;
        session->call = NULL;
        if (err)
                operation_take_failure(session->operation, err_copy(err));
        else
                operation_take_signature(session->operation, signature);
        post_collected(session, NULL, NULL);
}

static void effect_sign(Session *session) {
        Err *err = collector_link_sign(session->services.collector, operation_signing_digest(session->operation), on_signature, session, &session->call);
        if (err)
                session_post(session, SESSION_EVENT_FAILURE, err_wrap(err, "signing the request"));
}

/* --- validation -------------------------------------------------------------------------------------------------- */

void profile_rules_done(ProfileRules *rules) {
        sk_X509_pop_free(rules->trust_anchors, X509_free);
        free(rules->required_claims);
        *rules = (ProfileRules) {};
}

static Err *read_trust_anchors(const char *path, STACK_OF(X509) **ret) {
        _cleanup_bytes_ Bytes pem = {};
        TRY(file_read(path, TRUST_ANCHORS_FILE_MAX, &pem));
        return token_trust_anchors_parse(bytes_span(&pem), path, ret);
}

Err *profile_rules_make(const Config *config, const JwkSet *keys, uint64_t now, ProfileRules *ret) {
        _cleanup_(profile_rules_done) ProfileRules made = {};
        made.rules = (TokenRules) {
                .keys = keys,
                .issuer = config->issuer ?: config->url,
                .now_sec = now,
                .clock_skew_sec = config->clock_skew_sec,
                .policy_hash = config->policy_hash,
                .n_required_claims = config->n_required_claims,
        };
        if (config->algorithms)
                TRY(jose_alg_set_parse(config->algorithms, &made.rules.algorithms));
        if (config->trust_anchors)
                TRY(err_wrap(read_trust_anchors(config->trust_anchors, &made.trust_anchors), "[Token] TrustAnchors="));
        made.required_claims = calloc(config->n_required_claims + 1, sizeof(NamedValue));
        if (!made.required_claims)
                return err_oom();
        for (size_t i = 0; i < config->n_required_claims; i++)
                made.required_claims[i] = (NamedValue) { config->required_claims[i].name, config->required_claims[i].value };
        made.rules.trust_anchors = made.trust_anchors;
        made.rules.required_claims = made.required_claims;
        *ret = made;
        made = (ProfileRules) {};
        return NULL;
}

static Err *check_token(Session *session) {
        _cleanup_(profile_rules_done) ProfileRules rules = {};
        TRY(profile_rules_make(session->services.config, key_cache_keys(session->services.keys), now_sec(), &rules));
        rules.rules.nonce = bytes_span(&session->nonce);
        rules.rules.request_key = operation_attest_tpm_key(session->operation);
        session->token = token_free(session->token);
        return token_validate(span_from_string(operation_attest_tpm_token(session->operation)), &rules.rules, &session->token, NULL);
}

/* Keys are fetched before the first token, and once more when a token names one that is not known. */
static void effect_check_token(Session *session) {
        KeyCache *keys = session->services.keys;
        if (!key_cache_keys(keys) && !session->fetched_keys) {
                session_post(session, SESSION_EVENT_KEYS_NEEDED, NULL);
                return;
        }
        Err *err = check_token(session);
        if (err && token_error_wants_new_keys(err) && !session->fetched_keys && key_cache_may_fetch(keys)) {
                err_free(err);
                session_post(session, SESSION_EVENT_KEYS_NEEDED, NULL);
                return;
        }
        session_post_outcome(session, err, "validating the token", SESSION_EVENT_TOKEN_VALID);
}

static void on_keys(void *userdata, const Err *err) {
        Session *session = userdata;
        session->waiter = NULL;
        session_post_outcome(session, err_copy(err), "validating the token", SESSION_EVENT_KEYS_READY);
}

static void effect_fetch_keys(Session *session) {
        session->fetched_keys = true;
        Err *err = key_cache_fetch(session->services.keys, on_keys, session, &session->waiter);
        if (err)
                session_post(session, SESSION_EVENT_FAILURE, err);
}

/* --- the machine ------------------------------------------------------------------------------------------------- */

static uint64_t deadline_of(const Session *session) {
        switch (session->state) {
        case SESSION_QUOTE:
                return COLLECTOR_INFO_USEC + COLLECTOR_QUOTE_USEC; /* the link has its own deadlines; this one is for its queue */
        case SESSION_CREDENTIAL:
                return session->services.config->timeout_usec + DEADLINE_SLACK_USEC +
                       (session->services.config->credential_type == CREDENTIAL_NONE ? 0 : CREDENTIAL_CACHE_BUDGET_USEC);
        case SESSION_INIT:
        case SESSION_REQUEST:
        case SESSION_VALIDATE:
                return session->services.config->timeout_usec + DEADLINE_SLACK_USEC;
        case SESSION_IDLE:
        case SESSION_ATTESTED:
        case SESSION_FAILED:
        case SESSION_CANCELLED:
        case _SESSION_STATE_MAX:
                break;
        }
        return USEC_INFINITY;
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
        Session *session = userdata;
        session_post(session, SESSION_EVENT_DEADLINE,
                     err_new(ERR_TIMEOUT, "nothing happened in state %s for %llu s", session_state_to_string(session->state),
                             (unsigned long long) (deadline_of(session) / USEC_PER_SEC)));
        return 0;
}

static void session_arm_deadline(Session *session) {
        uint64_t delay = deadline_of(session);
        if (delay == USEC_INFINITY)
                return;
        if (sd_event_add_time_relative(session->services.event, &session->deadline, CLOCK_BOOTTIME, delay, USEC_PER_SEC, on_deadline, session) < 0)
                session_post(session, SESSION_EVENT_FAILURE, err_oom());
}

static void session_run_effect(Session *session, SessionEffect effect) {
        switch (effect) {
        case SESSION_EFFECT_GET_CREDENTIAL:
                effect_get_credential(session);
                break;
        case SESSION_EFFECT_SEND_INIT:
        case SESSION_EFFECT_SEND_REQUEST:
                effect_send(session);
                break;
        case SESSION_EFFECT_COLLECT:
                effect_collect(session);
                break;
        case SESSION_EFFECT_GET_VBS_REPORT:
                effect_get_vbs_report(session);
                break;
        case SESSION_EFFECT_SIGN:
                effect_sign(session);
                break;
        case SESSION_EFFECT_CHECK_TOKEN:
                effect_check_token(session);
                break;
        case SESSION_EFFECT_FETCH_KEYS:
                effect_fetch_keys(session);
                break;
        case SESSION_EFFECT_FINISH:
                session->callbacks.ended(session->callbacks.userdata, session); /* may free the session */
                break;
        case SESSION_EFFECT_IGNORE:
        case _SESSION_EFFECT_MAX:
                break;
        }
}

static void session_enter(Session *session, SessionTransition transition, Err *steal_err) {
        log_message(LOG_DEBUG, "profile %s: session %s → %s", session->services.profile, session_state_to_string(session->state),
                    session_state_to_string(transition.state));
        session_stop_effect(session);
        session->generation++;
        session->state = transition.state;
        session->error = steal_err;
        session_arm_deadline(session);
        session->callbacks.changed(session->callbacks.userdata, session);
        session_run_effect(session, transition.effect);
}

static int on_defer(sd_event_source *source, void *userdata) {
        Session *session = userdata;
        Err *err = steal_ptr(&session->pending_error);
        SessionTransition transition = session_transition(session->state, session->pending_event);
        if (session->pending_generation != session->generation || transition.effect == SESSION_EFFECT_IGNORE) {
                log_message(LOG_DEBUG, "profile %s: event %s in state %s is stale", session->services.profile,
                            session_event_to_string(session->pending_event), session_state_to_string(session->state));
                err_free(err);
                return 0;
        }
        session_enter(session, transition, err);
        return 0;
}

static Err *make_nonce(const Config *config, Span nonce, Bytes *ret) {
        if (nonce.size > 0)
                return bytes_copy(nonce, ret);
        if (config->nonce.size > 0)
                return bytes_copy(bytes_span(&config->nonce), ret);
        TRY(bytes_alloc(NONCE_SIZE, ret));
        if (getrandom(ret->data, ret->size, 0) != (ssize_t) ret->size)
                return err_new(ERR_INTERNAL, "the kernel gives no random bytes");
        return NULL;
}

Err *session_new(const SessionServices *services, Span nonce, const SessionCallbacks *callbacks, Session **ret) {
        _cleanup_(session_freep) Session *session = calloc(1, sizeof(Session));
        if (!session)
                return err_oom();
        session->services = *services;
        session->callbacks = *callbacks;
        TRY(make_nonce(services->config, nonce, &session->nonce));
        int r = sd_event_add_defer(services->event, &session->defer, on_defer, session);
        if (r >= 0)
                r = sd_event_source_set_enabled(session->defer, SD_EVENT_OFF);
        if (r < 0)
                return err_new_errno(ERR_INTERNAL, r, "setting up a session");
        session_post(session, SESSION_EVENT_START, NULL);
        *ret = steal_ptr(&session);
        return NULL;
}

Session *session_free(Session *session) {
        if (!session)
                return NULL;
        session_stop_effect(session);
        sd_event_source_disable_unref(session->defer);
        err_free(session->pending_error);
        err_free(session->error);
        token_free(session->token);
        operation_free(session->operation);
        pkey_free(session->request_key);
        bytes_done(&session->nonce);
        session_findings_done(&session->findings);
        free(session);
        return NULL;
}
