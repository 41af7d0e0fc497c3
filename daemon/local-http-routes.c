/* What the local socket answers. Times in tokens' answers are seconds since 1970, as in the token's own claims; /v1/status has the microseconds of D-Bus. */
#include <time.h>

#include "daemon/local-http-internal.h"
#include "daemon/metrics.h"
#include "daemon/properties.h"
#include "daemon/verdict.h"

static uint64_t now_usec(void) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        return (uint64_t) now.tv_sec * USEC_PER_SEC + (uint64_t) now.tv_nsec / NSEC_PER_USEC;
}

static void answer_text(LocalExchange *x, unsigned status, const char *content_type, char *steal_body) {
        free(x->answer.body);
        x->answer = (LocalAnswer) { .status = status, .body = steal_body, .content_type = content_type };
}

static Err *answer_json(LocalExchange *x, unsigned status, const Json *json) {
        _cleanup_free_ char *text = NULL, *line = NULL;
        TRY(json_to_string(json, &text));
        TRY(string_format(&line, "%s\n", text));
        answer_text(x, status, LOCAL_JSON, steal_ptr(&line));
        return NULL;
}

static unsigned status_of_code(ErrCode code) {
        static const struct {
                ErrCode code;
                unsigned status;
        } table[] = {
                { ERR_REQUEST_INVALID, 400 }, { ERR_INVALID_ARGUMENT, 400 }, { ERR_ACCESS_DENIED, 403 }, { ERR_NO_SUCH_PROFILE, 404 },
                { ERR_BUSY, 429 }, { ERR_NO_MEMORY, 500 }, { ERR_INTERNAL, 500 }, { ERR_TIMEOUT, 504 },
        };
        for (size_t i = 0; i < N_ELEMENTS(table); i++)
                if (table[i].code == code)
                        return table[i].status;
        return 503;
}

static Profile *exchange_profile(LocalExchange *x) {
        Profile *profile = NULL;
        if (!x->request.profile)
                return NULL;
        Err *err = manager_find_profile(x->manager, x->request.profile, &profile);
        if (err)
                profile = NULL;
        err_free(err);
        return profile;
}

/* When it may be worth asking again: at once after a crowd, after the profile's next attempt while it has no token. */
static uint64_t retry_after_sec(LocalExchange *x, const Err *err, unsigned status) {
        if (status == 429)
                return 1;
        if (status != 503 || err_code(err) == ERR_CANCELLED) /* cancelled: by the end of the profile, which must not be asked then */
                return 0;
        Profile *profile = exchange_profile(x);
        ProfileStatus of_profile = {};
        if (profile)
                profile_get_status(profile, &of_profile);
        uint64_t now = now_usec(), delay = of_profile.next_attempt_usec > now ? of_profile.next_attempt_usec - now : err_retry_after(err);
        return (delay + USEC_PER_SEC - 1) / USEC_PER_SEC;
}

static Err *error_body(const Err *err, Json **ret) {
        _cleanup_json_ Json *json = NULL;
        Json *error;
        TRY(json_new_object(&json));
        TRY(error_to_json(err, &error));
        TRY(json_add(json, "error", error));
        *ret = steal_ptr(&json);
        return NULL;
}

void local_answer_error(LocalExchange *x, Err *steal_err, unsigned status) {
        _cleanup_(err_freep) Err *err = steal_err;
        _cleanup_json_ Json *json = NULL;
        if (status == 0)
                status = status_of_code(err_code(err));
        Err *failed = error_body(err, &json);
        if (!failed)
                failed = answer_json(x, status, json);
        if (failed) { /* no memory: the status must do */
                answer_text(x, 500, LOCAL_TEXT, NULL);
                err_free(failed);
        }
        x->answer.retry_after_sec = retry_after_sec(x, err, status);
}

static Err *need_local_user(LocalExchange *x) {
        return x->caller ? NULL : err_new(ERR_ACCESS_DENIED, "a TCP connection does not say who its user is; use the unix socket");
}

/* The probes and /v1/status are open to everybody, as properties on the bus are; validating costs work and is for users of this machine. */
static Err *route_check_access(LocalExchange *x) {
        switch (x->request.route) {
        case LOCAL_ROUTE_HEALTHZ:
        case LOCAL_ROUTE_READYZ:
        case LOCAL_ROUTE_METRICS:
        case LOCAL_ROUTE_STATUS:
        case _LOCAL_ROUTE_MAX:
                return NULL;
        case LOCAL_ROUTE_VALIDATE:
                return need_local_user(x);
        case LOCAL_ROUTE_TOKEN:
        case LOCAL_ROUTE_ATTEST:
                TRY(need_local_user(x));
                return access_check(manager_config(x->manager), x->caller);
        }
        return NULL;
}

static bool route_is_for_monitoring(LocalRoute route) {
        return route == LOCAL_ROUTE_HEALTHZ || route == LOCAL_ROUTE_READYZ || route == LOCAL_ROUTE_METRICS;
}

void local_route_admit(LocalExchange *x, const char *method, bool metrics_only) {
        LocalRefusal refusal = {};
        Err *err = local_request_parse_target(method, span_from_string(x->target), &x->request, &refusal);
        if (!err && metrics_only && !route_is_for_monitoring(x->request.route)) {
                refusal.status = 404;
                err = err_new(ERR_REQUEST_INVALID, "this listener is for monitoring alone: /metrics, /healthz, /readyz");
        }
        if (err) {
                local_answer_error(x, err, refusal.status);
                x->answer.allow = refusal.allow;
                return;
        }
        err = route_check_access(x);
        if (err)
                local_answer_error(x, err, 0);
}

static Err *run_healthz(LocalExchange *x) {
        _cleanup_free_ char *text = NULL;
        TRY(string_copy("ok\n", &text));
        answer_text(x, 200, LOCAL_TEXT, steal_ptr(&text));
        return NULL;
}

static Err *add_reason(Json *reasons, const ProfileStatus *status) {
        _cleanup_(err_freep) Err *unknown = status->last_error ? NULL : err_new(ERR_NO_TOKEN, "no attestation has ended yet");
        Json *reason;
        TRY(error_to_json(status->last_error ? status->last_error : unknown, &reason));
        return json_add(reasons, status->name, reason);
}

static Err *run_readyz(LocalExchange *x) {
        _cleanup_json_ Json *json = NULL;
        Json *reasons;
        bool is_ready = true;
        TRY(json_new_object(&json));
        TRY(json_new_object(&reasons));
        TRY(json_add(json, "reasons", reasons));
        for (size_t i = 0; i < manager_n_profiles(x->manager); i++) {
                ProfileStatus status;
                profile_get_status(manager_profile(x->manager, i), &status);
                if (status.is_attested)
                        continue;
                is_ready = false;
                TRY(add_reason(reasons, &status));
        }
        TRY(json_add_boolean(json, "ready", is_ready));
        return answer_json(x, is_ready ? 200 : 503, json);
}

/* Calls use with snapshots of everything. */
static Err *with_status(LocalExchange *x, Err *(*use)(LocalExchange *x, const ManagerStatus *manager, const ProfileStatus *profiles, size_t n_profiles)) {
        _cleanup_(manager_status_done) ManagerStatus manager = {};
        size_t n = manager_n_profiles(x->manager);
        _cleanup_free_ ProfileStatus *profiles = calloc(n + 1, sizeof(ProfileStatus));
        if (!profiles)
                return err_oom();
        for (size_t i = 0; i < n; i++)
                profile_get_status(manager_profile(x->manager, i), &profiles[i]);
        TRY(manager_get_status(x->manager, &manager));
        return use(x, &manager, profiles, n);
}

static Err *answer_metrics(LocalExchange *x, const ManagerStatus *manager, const ProfileStatus *profiles, size_t n_profiles) {
        char *text;
        TRY(metrics_render(manager, profiles, n_profiles, &text));
        answer_text(x, 200, METRICS_CONTENT_TYPE, text);
        return NULL;
}

static Err *answer_status(LocalExchange *x, const ManagerStatus *manager, const ProfileStatus *profiles, size_t n_profiles) {
        _cleanup_json_ Json *json = NULL;
        TRY(status_to_json(manager, profiles, n_profiles, &json));
        return answer_json(x, 200, json);
}

static Err *run_token(LocalExchange *x) {
        _cleanup_json_ Json *json = NULL;
        Profile *profile;
        const char *token;
        uint64_t expires_usec;
        TRY(manager_find_profile(x->manager, x->request.profile, &profile));
        TRY(profile_get_token(profile, x->request.min_remaining_sec, &token, &expires_usec));
        TRY(json_new_object(&json));
        TRY(json_add_string(json, "token", token));
        TRY(json_add_integer(json, "expires", (int64_t) (expires_usec / USEC_PER_SEC)));
        return answer_json(x, 200, json);
}

static Err *answer_attested(LocalExchange *x, const AttestResult *result) {
        _cleanup_json_ Json *json = NULL;
        TRY(json_new_object(&json));
        TRY(json_add_string(json, "token", result->token));
        TRY(json_add_integer(json, "expires", (int64_t) (result->expires_usec / USEC_PER_SEC)));
        TRY(json_add_integer(json, "issued", (int64_t) (result->issued_usec / USEC_PER_SEC)));
        TRY(json_add_integer(json, "attempts", (int64_t) result->n_attempts));
        TRY(json_add_string(json, "instance", result->instance));
        return answer_json(x, 200, json);
}

static void on_attested(void *userdata, const Err *err, const AttestResult *result) {
        LocalExchange *x = userdata;
        x->attest = NULL;
        Err *failed = err ? err_copy(err) : answer_attested(x, result);
        if (failed)
                local_answer_error(x, failed, 0);
        local_exchange_continue(x);
}

static Err *run_attest(LocalExchange *x) {
        Profile *profile;
        TRY(manager_find_profile(x->manager, x->request.profile, &profile));
        return profile_attest(profile, bytes_span(&x->request.nonce), x->request.timeout_sec * USEC_PER_SEC, on_attested, x, &x->attest);
}

/* claims_json is {"header":…,"claims":…}. */
static Err *add_claims(Json *answer, const char *claims_json) {
        _cleanup_json_ Json *parsed = NULL;
        TRY(json_parse(span_from_string(claims_json), "the claims", &parsed));
        for (size_t i = 0; i < 2; i++) {
                const char *name = (const char *const[]) { "header", "claims" }[i];
                Json *part = json_get(parsed, name);
                if (part)
                        TRY(json_add(answer, name, json_object_get(part)));
        }
        return NULL;
}

static Err *answer_validated(LocalExchange *x, const Err *err, const char *claims_json) {
        _cleanup_json_ Json *json = NULL;
        TRY(json_new_object(&json));
        TRY(json_add_boolean(json, "valid", err == NULL));
        TRY(json_add_string(json, "verdict", err ? "refused" : "valid"));
        TRY(json_add_string(json, "code", err ? err_code_info(err_code(err))->name : ""));
        TRY(json_add_string(json, "reason", err_describe(err)));
        if (claims_json)
                TRY(add_claims(json, claims_json));
        return answer_json(x, 200, json);
}

static void on_validated(void *userdata, const Err *err, const char *claims_json) {
        LocalExchange *x = userdata;
        x->validate = NULL;
        bool is_verdict = !err || verdict_is_about_token(err_code(err));
        Err *failed = is_verdict ? answer_validated(x, err, claims_json) : err_copy(err);
        if (failed)
                local_answer_error(x, failed, 0);
        local_exchange_continue(x);
}

static Err *run_validate(LocalExchange *x) {
        Profile *profile;
        TRY(manager_find_profile(x->manager, x->request.profile, &profile));
        return profile_validate(profile, span_from_string(x->request.token), on_validated, x, &x->validate);
}

static Err *route_run(LocalExchange *x) {
        TRY(local_request_parse_body(&x->request, bytes_span(&x->body.output)));
        switch (x->request.route) {
        case LOCAL_ROUTE_HEALTHZ:
                return run_healthz(x);
        case LOCAL_ROUTE_READYZ:
                return run_readyz(x);
        case LOCAL_ROUTE_METRICS:
                return with_status(x, answer_metrics);
        case LOCAL_ROUTE_STATUS:
                return with_status(x, answer_status);
        case LOCAL_ROUTE_TOKEN:
                return run_token(x);
        case LOCAL_ROUTE_ATTEST:
                return run_attest(x);
        case LOCAL_ROUTE_VALIDATE:
                return run_validate(x);
        case _LOCAL_ROUTE_MAX:
                break;
        }
        return err_new(ERR_INTERNAL, "a request without a route");
}

void local_route_run(LocalExchange *x) {
        Err *err = route_run(x);
        if (err)
                local_answer_error(x, err, 0);
}
