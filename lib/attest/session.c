/* See session.h. */
#include "attest/session.h"

#include <errno.h>
#include <sys/random.h>

#include "attest/internal.h"
#include "jose/x509.h"
#include "tcg/aik.h"

#define NONCE_SIZE 32
#define NONCE_SIZE_MAX 1024
#define REQUEST_KEY_BITS 2048
#define SIGNATURE_SIZE_MAX 2048

struct AttestSession {
        AttestClient *client;
        Bytes nonce;                /* empty: random */
        char *relying_party;
        NamedValue *claims;
        size_t n_claims;
        bool use_tpm_key, has_run;
        EVP_PKEY *key;              /* in memory, of the last run */
};

/* One run of it. */
typedef struct Run {
        AttestProgress progress;    /* first: what progress_ask() is given */
        const AttestTpmCallbacks *callbacks;
        void *userdata;
        bool use_tpm_key;
} Run;

AttestError *attest_session_new(AttestClient *client, AttestSession **ret) {
        AttestSession *session = calloc(1, sizeof(AttestSession));
        if (!session)
                return error_out(err_oom());
        session->client = client;
        *ret = session;
        return NULL;
}

AttestSession *attest_session_free(AttestSession *session) {
        if (!session)
                return NULL;
        bytes_done(&session->nonce);
        free(session->relying_party);
        for (size_t i = 0; i < session->n_claims; i++) {
                free(session->claims[i].name);
                free(session->claims[i].value);
        }
        free(session->claims);
        pkey_free(session->key);
        free(session);
        return NULL;
}

static Err *set_nonce(AttestSession *session, Span nonce) {
        Bytes copy = {};
        if (nonce.size == 0 || nonce.size > NONCE_SIZE_MAX)
                return err_new(ERR_INVALID_ARGUMENT, "a nonce of %zu bytes; 1 to %d are allowed", nonce.size, NONCE_SIZE_MAX);
        TRY(bytes_copy(nonce, &copy));
        bytes_done(&session->nonce);
        session->nonce = copy;
        return NULL;
}

AttestError *attest_session_set_nonce(AttestSession *session, const void *nonce, size_t size) {
        return error_out(set_nonce(session, span_make(nonce, size)));
}

static Err *set_relying_party(AttestSession *session, const char *id) {
        char *copy;
        TRY(string_copy(id ?: "", &copy));
        free(session->relying_party);
        session->relying_party = copy;
        return NULL;
}

AttestError *attest_session_set_relying_party(AttestSession *session, const char *id) {
        return error_out(set_relying_party(session, id));
}

static Err *add_claim(AttestSession *session, const char *name, const char *value) {
        _cleanup_free_ char *name_copy = NULL, *value_copy = NULL;
        TRY(string_copy(name, &name_copy));
        TRY(string_copy(value, &value_copy));
        NamedValue *more = reallocarray(session->claims, session->n_claims + 1, sizeof(NamedValue));
        if (!more)
                return err_oom();
        session->claims = more;
        session->claims[session->n_claims++] = (NamedValue) { steal_ptr(&name_copy), steal_ptr(&value_copy) };
        return NULL;
}

AttestError *attest_session_add_custom_claim(AttestSession *session, const char *name, const char *value) {
        return error_out(add_claim(session, name, value));
}

void attest_session_use_tpm_key(AttestSession *session, bool yes) {
        session->use_tpm_key = yes;
}

/* What the service would refuse is refused here, where the reason is known. */
static Err *check_evidence(const Run *run, const Evidence *evidence, Span qualifying_data, Span challenge) {
        Span aik = bytes_span(&evidence->aik_public);
        const EvidenceKey *key = &evidence->request_key;
        if (aik.size == 0 || evidence->quote.size == 0)
                return err_new(ERR_INVALID_ARGUMENT, "the callback gave no %s", aik.size == 0 ? "AIK" : "quote");
        TRY(aik_verify_quote(aik, bytes_span(&evidence->quote), bytes_span(&evidence->signature), qualifying_data, &evidence->pcrs, /* ret_attest= */ NULL));
        if (!run->use_tpm_key)
                return NULL;
        if (key->public.size == 0)
                return err_new(ERR_INVALID_ARGUMENT, "the callback gave no request key");
        TRY(err_wrap(aik_verify_certification(aik, bytes_span(&key->certification), bytes_span(&key->signature), challenge, bytes_span(&key->public)),
                     "the certification of the request key"));
        for (size_t i = 0; i < evidence->n_other_keys; i++) {
                const EvidenceKey *other = &evidence->other_keys[i];
                if (other->certification.size > 0)
                        TRY(err_wrap(aik_verify_certification(aik, bytes_span(&other->certification), bytes_span(&other->signature), challenge, bytes_span(&other->public)),
                                     "the certification of the other key %zu", i));
        }
        return NULL;
}

static Err *quote(void *userdata, Span qualifying_data, Span challenge, Evidence **ret) {
        const Run *run = userdata;
        _cleanup_(evidence_freep) Evidence *evidence = calloc(1, sizeof(Evidence));
        if (!evidence)
                return err_oom();
        TRY(error_in(run->callbacks->quote(run->userdata, qualifying_data.data, qualifying_data.size, challenge.data, challenge.size,
                                           (AttestEvidence *) evidence)));
        if (run->use_tpm_key && run->callbacks->certify)
                TRY(error_in(run->callbacks->certify(run->userdata, challenge.data, challenge.size, (AttestEvidence *) evidence)));
        TRY(err_wrap(check_evidence(run, evidence, qualifying_data, challenge), "checking the evidence"));
        *ret = steal_ptr(&evidence);
        return NULL;
}

static Err *sign(void *userdata, Span digest, Bytes *ret_signature) {
        const Run *run = userdata;
        uint8_t signature[SIGNATURE_SIZE_MAX];
        size_t size = sizeof(signature);
        TRY(error_in(run->callbacks->sign(run->userdata, digest.data, signature, &size)));
        if (size == 0 || size > sizeof(signature))
                return err_new(ERR_INVALID_ARGUMENT, "the callback gave a signature of %zu bytes", size);
        return bytes_copy(span_make(signature, size), ret_signature);
}

static Err *make_operation(AttestSession *session, Span nonce, Operation **ret) {
        const AttestClient *client = session->client;
        session->key = pkey_free(session->key);
        if (!session->use_tpm_key)
                TRY(jose_key_generate_rsa(REQUEST_KEY_BITS, &session->key));
        const AttestTpmOptions options = {
                .base_url = client->url,
                .api_version = client->api_version,
                .rp_id = session->relying_party,
                .rp_data = nonce,
                .request_key = session->key,
                .use_tpm_key = session->use_tpm_key,
                .custom_claims = session->claims,
                .n_custom_claims = session->n_claims,
                .authorization = client->authorization,
        };
        return operation_new_attest_tpm(&options, ret);
}

static Err *judge(AttestSession *session, const Operation *operation, Span nonce, AttestToken **ret) {
        _cleanup_(jwk_set_freep) JwkSet *keys = NULL;
        const AttestRules *rules = client_rules(session->client);
        if (rules_need_keys(rules))
                TRY(client_fetch_keys(session->client, &keys));
        const RulesExtra extra = { .keys = keys, .issuer = session->client->url, .nonce = nonce, .request_key = operation_attest_tpm_key(operation) };
        return rules_judge(rules, &extra, operation_attest_tpm_token(operation), ret);
}

static Err *run(AttestSession *session, const AttestTpmCallbacks *callbacks, void *userdata, AttestToken **ret) {
        const TransportOptions transport = client_transport(session->client);
        Run this = { session->client->progress, callbacks, userdata, session->use_tpm_key };
        const DriverCallbacks driver = { .quote = quote, .sign = sign, .progress = progress_ask, .userdata = &this };
        _cleanup_(operation_freep) Operation *operation = NULL;
        uint8_t random[NONCE_SIZE];
        if (!callbacks->quote || (session->use_tpm_key && !callbacks->sign))
                return err_new(ERR_INVALID_ARGUMENT, "the callback %s is needed", callbacks->quote ? "sign" : "quote");
        if (getrandom(random, sizeof(random), 0) != sizeof(random))
                return err_new_errno(ERR_IO, errno, "asking the kernel for random bytes");
        Span nonce = session->nonce.size > 0 ? bytes_span(&session->nonce) : SPAN_OF(random);
        session->has_run = false;
        TRY(client_authorize(session->client));
        TRY(make_operation(session, nonce, &operation));
        operation_set_retry(operation, &session->client->retry);
        TRY(client_judge_authorization(session->client, driver_run(operation, &transport, &driver)));
        TRY(err_wrap(judge(session, operation, nonce, ret), "validating the token"));
        session->has_run = true;
        return NULL;
}

AttestError *attest_session_run(AttestSession *session, const AttestTpmCallbacks *callbacks, void *userdata, AttestToken **ret) {
        client_begin(session->client);
        return error_out(err_wrap(run(session, callbacks, userdata, ret), "attesting to %s", session->client->url));
}

AttestError *attest_session_get_key(const AttestSession *session, char **ret) {
        if (!session->has_run)
                return error_out(err_new(ERR_NO_TOKEN, "there was no attestation yet"));
        if (!session->key)
                return error_out(err_new(ERR_NOT_SUPPORTED, "the key is in the TPM and stays there"));
        return error_out(pkey_to_pem(session->key, ret));
}
