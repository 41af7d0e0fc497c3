/* See profile.h: the token at hand, the schedule, the status. */
#include "daemon/profile-private.h"

#include <sys/random.h>
#include <time.h>

#include "base/writer.h"
#include "daemon/log.h"
#include "daemon/schedule.h"
#include "daemon/store.h"

#define SLACK_SHARE 10 /* the slack that is taken off a token's life is at most a tenth of it */
#define RENEWAL_MIN_USEC USEC_PER_SEC /* between two tokens, however short they live */
#define TIME_MAX_SEC (UINT64_MAX / 4 / USEC_PER_SEC) /* dates of a token are below 2^53 seconds, which is more than 64 bits of microseconds */

uint64_t profile_now_usec(void) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        return (uint64_t) now.tv_sec * USEC_PER_SEC + (uint64_t) now.tv_nsec / NSEC_PER_USEC;
}

/* For jitter alone: if the kernel has none, no jitter. */
uint64_t profile_random(void) {
        uint64_t value = 0;
        return getrandom(&value, sizeof(value), GRND_NONBLOCK) == sizeof(value) ? value : 0;
}

const char *profile_name(const Profile *profile) {
        return profile->name;
}

const Config *profile_config(const Profile *profile) {
        return profile->config;
}

SessionServices profile_services(Profile *profile) {
        return (SessionServices) {
                .event = manager_event(profile->manager),
                .curl = manager_curl(profile->manager),
                .collector = manager_collector(profile->manager),
                .keys = profile->keys,
                .credential = profile->credential,
                .transport = &profile->transport,
                .config = profile->config,
                .profile = profile->name,
        };
}

/* Until when the token is handed out: exp less the clock slack. */
static uint64_t served_until(const Profile *profile) {
        if (!profile->token)
                return 0;
        uint64_t life = profile->expires_usec > profile->issued_usec ? profile->expires_usec - profile->issued_usec : 0;
        return profile->expires_usec - MIN_OF(profile->config->clock_skew_sec * USEC_PER_SEC, life / SLACK_SHARE);
}

uint64_t profile_usec_of_date(uint64_t sec) {
        return MIN_OF(sec, TIME_MAX_SEC) * USEC_PER_SEC;
}

static bool is_attested(const Profile *profile) {
        return profile->token && profile_now_usec() < served_until(profile);
}

void profile_get_status(Profile *profile, ProfileStatus *ret) {
        const Session *active = profile_active_session(profile);
        *ret = (ProfileStatus) {
                .name = profile->name,
                .state = active ? session_state(active) : profile->last_state,
                .instance = profile->config->url ?: "",
                .is_attested = is_attested(profile),
                .last_success_usec = profile->last_success_usec,
                .last_failure_usec = profile->last_failure_usec,
                .last_error = profile->last_error,
                .token_issued_usec = profile->token ? profile->issued_usec : 0,
                .token_expires_usec = profile->token ? profile->expires_usec : 0,
                .next_attempt_usec = profile->next_attempt_usec,
                .n_attempts = profile->n_attempts,
                .n_failures = profile->n_failures,
                .has_findings = profile->findings.is_known,
                .boot_log_state = profile->findings.boot_log_state,
                .ima_log_state = profile->findings.ima_log_state,
                .boot_log_reason = profile->findings.boot_log_reason,
                .ima_log_reason = profile->findings.ima_log_reason,
                .boot_attestation_state = profile->findings.boot_attestation_state,
                .boot_attestation_reason = profile->findings.boot_attestation_reason,
                .n_ima_entries = profile->findings.n_ima_entries,
        };
        for (unsigned pcr = 0; pcr < PCR_COUNT; pcr++)
                ret->verdicts[pcr] = profile->findings.verdicts[pcr];
}

/* Whoever asks again and again does not make us ask the service again and again: not for a life that its tokens do not have, and after a failure the
 * schedule says when. */
static Err *token_too_short(Profile *profile, uint64_t remaining_sec, uint64_t min_remaining_sec) {
        uint64_t life_sec = (served_until(profile) - MIN_OF(served_until(profile), profile->issued_usec)) / USEC_PER_SEC;
        const char *outlook = "it is being renewed";
        if (min_remaining_sec >= life_sec)
                outlook = "a new one would live no longer than that";
        else if (profile->n_failures_in_row > 0)
                outlook = "renewing it has failed and is tried again";
        else
                profile_renew(profile);
        return err_new(ERR_TOKEN_LIFE_TOO_SHORT, "the token of profile %s is good for %llu s more, %llu s were asked for; %s", profile->name,
                       (unsigned long long) remaining_sec, (unsigned long long) min_remaining_sec, outlook);
}

Err *profile_get_token(Profile *profile, uint64_t min_remaining_sec, const char **ret_token, uint64_t *ret_expires_usec) {
        uint64_t now = profile_now_usec(), until = served_until(profile);
        if (now >= until) {
                if (profile->last_error)
                        return err_wrap_code(ERR_NO_TOKEN, err_copy(profile->last_error), "profile %s has no valid token", profile->name);
                return err_new(ERR_NO_TOKEN, "profile %s has no valid token yet", profile->name);
        }
        uint64_t remaining_sec = (until - now) / USEC_PER_SEC;
        if (remaining_sec < min_remaining_sec)
                return token_too_short(profile, remaining_sec, min_remaining_sec);
        *ret_token = profile->token;
        *ret_expires_usec = profile->expires_usec;
        return NULL;
}

/* --- schedule ---------------------------------------------------------------------------------------------------- */

static int on_attempt(sd_event_source *source, uint64_t usec, void *userdata) {
        Profile *profile = userdata;
        profile->attempt = sd_event_source_disable_unref(profile->attempt);
        profile->next_attempt_usec = 0;
        profile_start_own(profile);
        return 0;
}

/* delay_usec counts on the boot clock, so that a clock that is set does not disturb the retries. */
static void plan_after(Profile *profile, uint64_t delay_usec) {
        profile->attempt = sd_event_source_disable_unref(profile->attempt);
        profile->next_attempt_usec = profile_now_usec() + delay_usec;
        int r = sd_event_add_time_relative(manager_event(profile->manager), &profile->attempt, CLOCK_BOOTTIME, delay_usec, USEC_PER_MSEC, on_attempt,
                                           profile);
        if (r < 0)
                log_message(LOG_ERR, "profile %s: the next attempt cannot be planned: %s", profile->name, strerror(-r));
}

/* A renewal follows the wall clock, as the token's life does. */
static void plan_at(Profile *profile, uint64_t realtime_usec) {
        profile->attempt = sd_event_source_disable_unref(profile->attempt);
        profile->next_attempt_usec = realtime_usec;
        int r = sd_event_add_time(manager_event(profile->manager), &profile->attempt, CLOCK_REALTIME, realtime_usec, USEC_PER_MSEC, on_attempt,
                                  profile);
        if (r < 0)
                log_message(LOG_ERR, "profile %s: the renewal cannot be planned: %s", profile->name, strerror(-r));
}

void profile_schedule_retry(Profile *profile, const Err *err) {
        uint64_t delay = schedule_retry_delay(profile->config, err, MAX_OF(profile->n_failures_in_row, (uint64_t) 1), profile_random());
        plan_after(profile, delay);
        log_message(LOG_INFO, "profile %s: next attempt in %.1f s", profile->name, (double) delay / (double) USEC_PER_SEC);
}

void profile_start_own(Profile *profile) {
        Errand *errand;
        profile->attempt = sd_event_source_disable_unref(profile->attempt);
        profile->next_attempt_usec = 0;
        if (profile_find_errand(profile, (Span) {}))
                return;
        _cleanup_(err_freep) Err *err = errand_new(profile, (Span) {}, &errand);
        if (!err)
                return;
        profile_note_failure(profile, err, true);
        profile->last_state = SESSION_FAILED;
        if (profile->config->url)
                profile_schedule_retry(profile, err);
        manager_notify_profile_changed(profile->manager, profile);
}

void profile_renew(Profile *profile) {
        profile_start_own(profile);
}

void profile_note_failure(Profile *profile, const Err *err, bool is_own) {
        profile->n_failures++;
        profile->n_failures_in_row += is_own;
        profile->last_failure_usec = profile_now_usec();
        err_free(profile->last_error);
        profile->last_error = err_copy(err);
        log_error(LOG_WARNING, profile->name, err, "attestation failed");
        manager_notify_profile_failed(profile->manager, profile, err);
}

void profile_note_success(Profile *profile) {
        profile->last_success_usec = profile_now_usec();
        profile->last_error = err_free(profile->last_error);
}

/* --- the token --------------------------------------------------------------------------------------------------- */

static int on_expiry(sd_event_source *source, uint64_t usec, void *userdata) {
        Profile *profile = userdata;
        profile->expiry = sd_event_source_disable_unref(profile->expiry);
        log_message(LOG_WARNING, "profile %s: the token expired", profile->name);
        manager_notify_profile_changed(profile->manager, profile);
        return 0;
}

/* since_usec: where the life begins of which RenewAt= takes a share. */
static void take_token(Profile *profile, StoredToken *steal_token, uint64_t since_usec) {
        free(profile->token);
        free(profile->request_key);
        profile->signing_key = pkey_free(profile->signing_key);
        profile->token = steal_ptr(&steal_token->token);
        profile->request_key = steal_ptr(&steal_token->request_key);
        profile->issued_usec = steal_token->issued_usec;
        profile->expires_usec = steal_token->expires_usec;
        profile->expiry = sd_event_source_disable_unref(profile->expiry);
        sd_event_add_time(manager_event(profile->manager), &profile->expiry, CLOCK_REALTIME, served_until(profile), USEC_PER_SEC, on_expiry, profile);
        uint64_t renewal = schedule_renew_at(profile->config, since_usec, profile->expires_usec, profile_random());
        plan_at(profile, MAX_OF(renewal, profile_now_usec() + RENEWAL_MIN_USEC));
}

static void write_pairs(Writer *w, const char *name, const ConfigPair *pairs, size_t n_pairs) {
        for (size_t i = 0; i < n_pairs; i++)
                writer_format(w, "%s %s=%s\n", name, pairs[i].name, pairs[i].value);
}

/* A token that was had under other terms is not what the configuration asks for now: it may break a rule that is new. */
static Err *terms_of(const Config *config, char **ret) {
        _cleanup_writer_ Writer w = {};
        writer_format(&w, "issuer %s\nalgorithms %s\npolicy-hash %s\ntrust-anchors %s\nrp-id %s\nrp-data ", config->issuer ?: "", config->algorithms ?: "",
                      config->policy_hash ?: "", config->trust_anchors ?: "", config->rp_id ?: "");
        writer_hex(&w, bytes_span(&config->nonce));
        writer_string(&w, "\n");
        writer_format(&w, "request-key %s\nother-keys %s\n", config->request_key == REQUEST_KEY_TPM ? "tpm" : "ephemeral", config->other_keys ?: "");
        write_pairs(&w, "required-claim", config->required_claims, config->n_required_claims);
        write_pairs(&w, "custom-claim", config->custom_claims, config->n_custom_claims);
        return writer_finish_string(&w, ret);
}

/* What a kept token must agree with; key borrows from the rest, from the profile and from the collector's answer. */
typedef struct KeptKey {
        char *boot_id, *terms;
        StoreKey key;
} KeptKey;

static void kept_key_done(KeptKey *kept) {
        free(kept->boot_id);
        free(kept->terms);
}

static Err *make_kept_key(const Profile *profile, const CollectorInfo *info, KeptKey *ret) {
        TRY(terms_of(profile->config, &ret->terms));
        TRY(store_boot_id(&ret->boot_id));
        ret->key = (StoreKey) {
                .profile = profile->name,
                .instance = profile->config->url,
                .terms = ret->terms,
                .boot_id = ret->boot_id,
                .reset_count = info->reset_count,
                .restart_count = info->restart_count,
                .aik_name = bytes_span(&info->aik_name),
        };
        return NULL;
}

static Err *write_token(const Profile *profile, const CollectorInfo *info) {
        _cleanup_(kept_key_done) KeptKey kept = {};
        TRY(make_kept_key(profile, info, &kept));
        const StoredToken stored = { profile->token, profile->request_key, profile->issued_usec, profile->expires_usec };
        return store_write(config_runtime_directory(), &kept.key, &stored);
}

static void keep_token(Profile *profile, const CollectorInfo *info) {
        _cleanup_(err_freep) Err *err = profile->token ? write_token(profile, info) : NULL;
        if (err)
                log_error(LOG_WARNING, profile->name, err, "the token will not survive a restart of the service");
}

static bool same_machine(const CollectorInfo *a, const CollectorInfo *b) {
        return a && b && a->reset_count == b->reset_count && a->restart_count == b->restart_count &&
               span_equal(bytes_span(&a->aik_name), bytes_span(&b->aik_name));
}

/* The quote's own counters are obfuscated for keys outside the endorsement hierarchy (TPM 2.0 Part 1 §36.7), so the plain ones are asked for. What
 * was known before serves until they are there. */
static void on_info_for_store(void *userdata, const Err *err, CollectorInfo *steal_info) {
        Profile *profile = userdata;
        profile->info_call = NULL;
        if (err) {
                log_error(LOG_WARNING, profile->name, err, "asking the TPM for its counters");
                return;
        }
        if (!same_machine(manager_info(profile->manager), steal_info))
                keep_token(profile, steal_info);
        manager_set_info(profile->manager, steal_info);
}

void profile_adopt_token(Profile *profile, Session *session) {
        const Token *token = session_token(session);
        StoredToken stored = { .issued_usec = profile_usec_of_date(token->issued_sec),
                               .expires_usec = profile_usec_of_date(token->expires_sec) };
        Err *err = string_copy(session_token_text(session), &stored.token);
        if (!err)
                err = string_copy(session_request_key(session), &stored.request_key);
        if (err) {
                stored_token_done(&stored);
                profile_note_failure(profile, err, true);
                profile_schedule_retry(profile, err);
                err_free(err);
                return;
        }
        /* From now, not from its iat: where our clock is ahead each new token would be due at once, and we would ask as fast as we can. */
        take_token(profile, &stored, profile_now_usec());
        profile->signing_key = session_take_signing_key(session);
        if (!is_attested(profile)) {
                profile->last_state = SESSION_FAILED;
                err = err_new(ERR_TOKEN_EXPIRED, "the token of %s is too old when it comes, by this machine's clock", profile->config->url);
                profile_note_failure(profile, err, true);
                profile_schedule_retry(profile, err);
                err_free(err);
                return;
        }
        profile->n_failures_in_row = 0;
        log_message(LOG_INFO, "profile %s: attested by %s, token good for %llu s", profile->name, profile->config->url,
                    (unsigned long long) ((profile->expires_usec - MIN_OF(profile->expires_usec, profile->last_success_usec)) / USEC_PER_SEC));
        if (manager_info(profile->manager))
                keep_token(profile, manager_info(profile->manager));
        if (!profile->info_call)
                err = collector_link_get_info(manager_collector(profile->manager), on_info_for_store, profile, &profile->info_call);
        if (err)
                log_error(LOG_WARNING, profile->name, err, "the token will not survive a restart of the service");
        err_free(err);
        manager_notify_profile_attested(profile->manager, profile, profile->expires_usec);
}

void profile_forget(Profile *profile) {
        free(profile->token);
        free(profile->request_key);
        profile->token = profile->request_key = NULL;
        profile->signing_key = pkey_free(profile->signing_key);
        profile->issued_usec = profile->expires_usec = 0;
        profile->expiry = sd_event_source_disable_unref(profile->expiry);
        _cleanup_(err_freep) Err *err = store_remove(config_runtime_directory(), profile->name);
        if (err)
                log_error(LOG_WARNING, profile->name, err, "forgetting the token");
        manager_notify_profile_changed(profile->manager, profile);
}

static Err *read_token(const Profile *profile, const CollectorInfo *info, StoredToken *ret) {
        _cleanup_(kept_key_done) KeptKey kept = {};
        const char *reason;
        TRY(make_kept_key(profile, info, &kept));
        TRY(store_read(config_runtime_directory(), &kept.key, ret, &reason));
        if (reason)
                log_message(LOG_NOTICE, "profile %s: the kept token is dropped: %s", profile->name, reason);
        return NULL;
}

static bool restore_token(Profile *profile, const CollectorInfo *info) {
        StoredToken stored = {};
        _cleanup_(err_freep) Err *err = read_token(profile, info, &stored);
        if (err)
                log_error(LOG_WARNING, profile->name, err, "taking up the kept token");
        uint64_t now = profile_now_usec();
        if (err || !stored.token || stored.expires_usec <= now || stored.issued_usec > now + profile->config->clock_skew_sec * USEC_PER_SEC) {
                stored_token_done(&stored);
                return false;
        }
        take_token(profile, &stored, MIN_OF(stored.issued_usec, now));
        profile->last_state = SESSION_ATTESTED;
        profile->last_success_usec = profile->issued_usec;
        log_message(LOG_INFO, "profile %s: took up the kept token", profile->name);
        manager_notify_profile_attested(profile->manager, profile, profile->expires_usec);
        return true;
}

void profile_start(Profile *profile, const CollectorInfo *info) {
        if (profile->is_started)
                return;
        profile->is_started = true;
        if (info && profile->config->url && restore_token(profile, info))
                return;
        if (!profile->config->on_start)
                return;
        uint64_t splay = schedule_splay(profile->config, profile_random());
        if (splay > 0)
                plan_after(profile, splay);
        else
                profile_start_own(profile);
}

/* --- life -------------------------------------------------------------------------------------------------------- */

static Err *profile_set_config(Profile *profile, Config *steal_config) {
        _cleanup_(config_freep) Config *config = steal_config;
        _cleanup_(key_cache_freep) KeyCache *keys = NULL;
        _cleanup_(credential_cache_freep) CredentialCache *credential = NULL;
        TRY(key_cache_new(manager_event(profile->manager), manager_curl(profile->manager), config->url ?: "", &profile->transport, &keys));
        TRY(credential_cache_new(manager_event(profile->manager), manager_curl(profile->manager), config, &profile->transport, &credential));
        key_cache_free(profile->keys);
        credential_cache_free(profile->credential);
        config_free(profile->config);
        profile->keys = steal_ptr(&keys);
        profile->credential = steal_ptr(&credential);
        profile->config = steal_ptr(&config);
        profile->transport = (TransportOptions) {
                .ca_file = profile->config->ca_file,
                .ca_path = profile->config->ca_path,
                .proxy = profile->config->proxy,
                .connect_timeout_usec = profile->config->connect_timeout_usec,
                .timeout_usec = profile->config->timeout_usec,
        };
        return NULL;
}

Err *profile_new(Manager *manager, const char *name, Config *steal_config, Profile **ret) {
        _cleanup_(config_freep) Config *config = steal_config;
        _cleanup_(profile_freep) Profile *profile = calloc(1, sizeof(Profile));
        if (!profile)
                return err_oom();
        profile->manager = manager;
        TRY(string_copy(name, &profile->name));
        TRY(profile_set_config(profile, steal_ptr(&config)));
        *ret = steal_ptr(&profile);
        return NULL;
}

Profile *profile_free(Profile *profile) {
        if (!profile)
                return NULL;
        errands_cancel_all(profile, ERR_CANCELLED, "attestd is stopping");
        validations_cancel_all(profile);
        signings_cancel_all(profile);
        collector_call_cancel(profile->info_call);
        key_cache_free(profile->keys);
        credential_cache_free(profile->credential);
        sd_event_source_disable_unref(profile->attempt);
        sd_event_source_disable_unref(profile->expiry);
        err_free(profile->last_error);
        session_findings_done(&profile->findings);
        config_free(profile->config);
        free(profile->token);
        free(profile->request_key);
        pkey_free(profile->signing_key);
        free(profile->name);
        free(profile);
        return NULL;
}

Err *profile_reconfigure(Profile *profile, Config *steal_config) {
        _cleanup_(config_freep) Config *config = steal_config;
        errands_cancel_all(profile, ERR_CANCELLED, "the configuration was read anew");
        validations_cancel_all(profile);
        signings_cancel_all(profile);
        _cleanup_free_ char *before = NULL, *after = NULL;
        TRY(terms_of(profile->config, &before));
        TRY(terms_of(config, &after));
        bool still_fits = string_equal(profile->config->url, config->url) && string_equal(before, after);
        TRY(profile_set_config(profile, steal_ptr(&config)));
        if (!still_fits)
                profile_forget(profile);
        profile->n_failures_in_row = 0;
        if (profile->is_started && (profile->config->on_start || profile->token))
                profile_start_own(profile);
        return NULL;
}
