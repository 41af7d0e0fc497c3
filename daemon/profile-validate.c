/* Judging tokens that others bring: by the rules of the profile, with keys fetched where they are missing. */
#include "daemon/profile-private.h"

#include <time.h>

struct ValidateTicket {
        Profile *profile;
        ValidateTicket *next;
        Bytes token;
        sd_event_source *defer;
        KeyWaiter *waiter;
        bool fetched_keys;
        ProfileValidateCallback callback;
        void *userdata;
};

ValidateTicket *validate_ticket_cancel(ValidateTicket *ticket) {
        if (!ticket)
                return NULL;
        for (ValidateTicket **place = &ticket->profile->validations; *place; place = &(*place)->next)
                if (*place == ticket) {
                        *place = ticket->next;
                        break;
                }
        sd_event_source_disable_unref(ticket->defer);
        key_waiter_cancel(ticket->waiter);
        bytes_done(&ticket->token);
        free(ticket);
        return NULL;
}

static void finish(ValidateTicket *ticket, const Err *err, const char *claims_json) {
        ProfileValidateCallback callback = ticket->callback;
        void *userdata = ticket->userdata;
        validate_ticket_cancel(ticket);
        callback(userdata, err, claims_json);
}

void validations_cancel_all(Profile *profile) {
        while (profile->validations) {
                _cleanup_(err_freep) Err *err = err_new(ERR_CANCELLED, "attestd is stopping or was reconfigured");
                finish(profile->validations, err, NULL);
        }
}

static Err *token_text(const Token *token, char **ret) {
        _cleanup_json_ Json *json = NULL;
        if (!token)
                return NULL;
        TRY(token_to_json(token, &json));
        return json_to_string(json, ret);
}

static void judge(ValidateTicket *ticket);

static void on_keys(void *userdata, const Err *err) {
        ValidateTicket *ticket = userdata;
        ticket->waiter = NULL;
        if (err && !key_cache_keys(ticket->profile->keys))
                finish(ticket, err, NULL);
        else
                judge(ticket);
}

static bool fetch_keys(ValidateTicket *ticket) {
        if (ticket->fetched_keys)
                return false;
        ticket->fetched_keys = true;
        _cleanup_(err_freep) Err *err = key_cache_fetch(ticket->profile->keys, on_keys, ticket, &ticket->waiter);
        if (err)
                finish(ticket, err, NULL);
        return true;
}

static Err *validate(ValidateTicket *ticket, Token **ret, Token **ret_parsed) {
        _cleanup_(profile_rules_done) ProfileRules rules = {};
        TRY(profile_rules_make(ticket->profile->config, key_cache_keys(ticket->profile->keys), (uint64_t) time(NULL), &rules));
        return token_validate(bytes_span(&ticket->token), &rules.rules, ret, ret_parsed);
}

static void judge(ValidateTicket *ticket) {
        KeyCache *keys = ticket->profile->keys;
        if (!key_cache_keys(keys) && fetch_keys(ticket))
                return;
        _cleanup_(token_freep) Token *token = NULL, *parsed = NULL;
        _cleanup_(err_freep) Err *err = validate(ticket, &token, &parsed);
        if (err && token_error_wants_new_keys(err) && key_cache_may_fetch(keys) && fetch_keys(ticket))
                return;
        _cleanup_free_ char *text = NULL;
        Err *text_err = token_text(token ?: parsed, &text);
        if (!err)
                err = text_err;
        else
                err_free(text_err);
        finish(ticket, err, text);
}

static int on_defer(sd_event_source *source, void *userdata) {
        judge(userdata);
        return 0;
}

Err *profile_validate(Profile *profile, Span token, ProfileValidateCallback callback, void *userdata, ValidateTicket **ret) {
        if (!profile->config->url)
                return err_new(ERR_CONFIG_MISSING, "profile %s: [Instance] Url= is not set", profile->name);
        ValidateTicket *ticket = calloc(1, sizeof(ValidateTicket));
        if (!ticket)
                return err_oom();
        *ticket = (ValidateTicket) { .profile = profile, .next = profile->validations, .callback = callback, .userdata = userdata };
        profile->validations = ticket;
        Err *err = bytes_copy(token, &ticket->token);
        if (!err && sd_event_add_defer(manager_event(profile->manager), &ticket->defer, on_defer, ticket) < 0)
                err = err_oom();
        if (err) {
                validate_ticket_cancel(ticket);
                return err;
        }
        *ret = ticket;
        return NULL;
}
