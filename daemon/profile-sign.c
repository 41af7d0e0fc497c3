/* Proofs of possession for callers: their bytes, signed with the key that the profile's token is bound to.
 *
 * A key of the TPM signs in the collector, whenever there is a token. An ephemeral one is at hand as long as this process lives and the token is the one
 * that was had with it: nothing of it is ever written to disk. */
#include "daemon/profile-private.h"

#include "maa/proof.h"

struct SignTicket {
        Profile *profile;
        SignTicket *next;
        EVP_PKEY *key;                  /* public part of cnf at least */
        Source *signing_input;
        Bytes digest;
        char *jws;                      /* made already, to be handed over from the loop */
        CollectorCall *call;
        sd_event_source *defer;
        ProfileSignCallback callback;
        void *userdata;
};

SignTicket *sign_ticket_cancel(SignTicket *ticket) {
        if (!ticket)
                return NULL;
        for (SignTicket **place = &ticket->profile->signings; *place; place = &(*place)->next)
                if (*place == ticket) {
                        *place = ticket->next;
                        break;
                }
        collector_call_cancel(ticket->call);
        sd_event_source_disable_unref(ticket->defer);
        pkey_free(ticket->key);
        source_free(ticket->signing_input);
        bytes_done(&ticket->digest);
        free(ticket->jws);
        free(ticket);
        return NULL;
}
DEFINE_CLEANUP(SignTicket, sign_ticket_cancel)

static void finish(SignTicket *ticket, const Err *err, const char *jws) {
        ProfileSignCallback callback = ticket->callback;
        void *userdata = ticket->userdata;
        _cleanup_free_ char *text = steal_ptr(&ticket->jws);
        sign_ticket_cancel(ticket);
        callback(userdata, err, jws ? jws : text);
}

void signings_cancel_all(Profile *profile) {
        while (profile->signings) {
                _cleanup_(err_freep) Err *err = err_new(ERR_CANCELLED, "attestd is stopping or was reconfigured");
                finish(profile->signings, err, NULL);
        }
}

static Err *complete(SignTicket *ticket, Span signature, char **ret) {
        _cleanup_(source_freep) Source *jws = NULL;
        _cleanup_bytes_ Bytes text = {};
        Err *err = jws_append_signature(JOSE_ALG_PS256, ticket->key, bytes_span(&ticket->digest), signature, steal_ptr(&ticket->signing_input), &jws);
        if (err_code(err) == ERR_TOKEN_SIGNATURE_INVALID)
                return err_wrap_code(ERR_NO_TOKEN, err, "the TPM's request key is not the one that the token is bound to; renew the token");
        TRY(err);
        TRY(source_read_all(jws, SIZE_MAX, &text));
        *ret = (char *) bytes_steal(&text).data;
        return NULL;
}

static void on_signature(void *userdata, const Err *err, Span signature) {
        SignTicket *ticket = userdata;
        _cleanup_free_ char *jws = NULL;
        ticket->call = NULL;
        _cleanup_(err_freep) Err *failed = err ? err_copy(err) : complete(ticket, signature, &jws);
        finish(ticket, failed, jws);
}

static int on_defer(sd_event_source *source, void *userdata) {
        finish(userdata, NULL, NULL);
        return 0;
}

static Err *start_software(SignTicket *ticket, Span payload) {
        TRY(proof_sign(ticket->profile->signing_key, payload, &ticket->jws));
        int r = sd_event_add_defer(manager_event(ticket->profile->manager), &ticket->defer, on_defer, ticket);
        return r < 0 ? err_new_errno(ERR_INTERNAL, r, "setting up an answer") : NULL;
}

static Err *start_tpm(SignTicket *ticket, Span payload) {
        _cleanup_(jwk_freep) Jwk *jwk = NULL;
        _cleanup_json_ Json *json = NULL;
        TRY(json_parse(span_from_string(ticket->profile->request_key), "the token's key", &json));
        TRY(jwk_from_json(json, &jwk));
        ticket->key = steal_ptr(&jwk->key);
        TRY(proof_signing_input(ticket->key, payload, &ticket->signing_input));
        TRY(jws_signing_digest(JOSE_ALG_PS256, ticket->signing_input, &ticket->digest));
        return collector_link_sign(manager_collector(ticket->profile->manager), bytes_span(&ticket->digest), on_signature, ticket, &ticket->call);
}

static Err *start(SignTicket *ticket, Span payload) {
        const Profile *profile = ticket->profile;
        if (profile->signing_key)
                return start_software(ticket, payload);
        if (profile->config->request_key == REQUEST_KEY_TPM)
                return start_tpm(ticket, payload);
        return err_new(ERR_NOT_SUPPORTED, "the key of this token is gone, it was had before attestd was started; renew the token, or set RequestKey=tpm");
}

Err *profile_sign(Profile *profile, Span payload, ProfileSignCallback callback, void *userdata, SignTicket **ret) {
        const char *token;
        uint64_t expires_usec;
        TRY(profile_get_token(profile, 0, &token, &expires_usec));
        SignTicket *made = calloc(1, sizeof(SignTicket));
        if (!made)
                return err_oom();
        *made = (SignTicket) { .profile = profile, .next = profile->signings, .callback = callback, .userdata = userdata };
        profile->signings = made;
        _cleanup_(sign_ticket_cancelp) SignTicket *ticket = made;
        TRY(start(ticket, payload));
        *ret = steal_ptr(&ticket);
        return NULL;
}
