/* What the files behind the public headers share. The public types of errors and evidence are the library's own by another name: nobody outside knows their
 * insides, so a pointer to one is a pointer to the other. */
#pragma once

#include "attest/client.h"
#include "attest/credential.h"
#include "attest/evidence.h"
#include "client/driver.h"
#include "maa/message.h"
#include "maa/token.h"

static inline AttestError *error_out(Err *err) {
        return (AttestError *) err;
}

static inline Err *error_in(AttestError *error) {
        return (Err *) error;
}

static inline Evidence *evidence_in(AttestEvidence *evidence) {
        return (Evidence *) evidence;
}

/* What the conversation knows besides the caller's rules. */
typedef struct RulesExtra {
        const JwkSet *keys;         /* NULL: those of the rules */
        Span nonce;                 /* empty: that of the rules */
        EVP_PKEY *request_key;      /* NULL: cnf is not looked at */
        const char *issuer;         /* where the rules have none; NULL: that of the rules */
        bool is_administration;     /* a token about an instance: nonce, policy hash and required claims are for attestations */
} RulesExtra;
Err *rules_judge(const AttestRules *rules, const RulesExtra *extra, const char *text, AttestToken **ret) _must_check_;
bool rules_need_keys(const AttestRules *rules);                  /* somebody else's: they have none, and judge the signature */
bool rules_skip(const AttestRules *rules, unsigned check);

/* Takes over token. signer is copied; NULL: nobody vouches for it. */
Err *attest_token_wrap(Token *steal_token, unsigned skipped, const char *signer, AttestToken **ret) _must_check_;
const Json *attest_token_json(const AttestToken *token);   /* the claims; borrowed */
/* Checks that are left out here, beside TOKEN_SKIP_…, which lib/maa leaves out. */
#define TOKEN_CHECKS (TOKEN_SKIP_EXPIRY | TOKEN_SKIP_NOT_BEFORE | TOKEN_SKIP_ISSUED_AT | TOKEN_SKIP_SIGNATURE)
#define CHECK_ISSUER (1u << 27)
#define CHECK_NONCE (1u << 28)
#define CHECK_REQUEST_KEY (1u << 29)
#define CHECK_POLICY_HASH (1u << 30)
#define CHECK_REQUIRED_CLAIMS (1u << 31)
unsigned check_from_name(const char *name);   /* 0 if there is no such check */

typedef struct AttestProgress {
        bool (*callback)(void *userdata, const char *state);
        void *userdata;
} AttestProgress;

struct AttestClient {
        char *url, *api_version, *ca_file, *ca_path, *proxy, *authorization;
        uint64_t connect_usec, request_usec;
        uint64_t call_usec;             /* 0: as long as it takes */
        uint64_t deadline_usec;         /* CLOCK_MONOTONIC, of the call that is under way; 0: none */
        RetryPlan retry;
        AttestProgress progress;
        AttestCredential *credential;   /* the caller's; NULL: authorization is what was set */
        AttestRules *rules;             /* its own */
        const AttestRules *others;      /* the caller's, in their place; NULL: its own */
};
const AttestRules *client_rules(const AttestClient *client);
/* Begins a call of the caller's: what it has to ask of the network, has to be over by its deadline. */
void client_begin(AttestClient *client);
TransportOptions client_transport(const AttestClient *client);
/* For DriverCallbacks.progress, whose userdata is then an AttestProgress. */
bool progress_ask(void *userdata, OperationStep step, const Operation *operation);
/* One request without an authorization, and its JSON answer. request is taken, also on failure. */
Err *client_call(AttestClient *client, const char *what, HttpRequest *steal_request, Operation **ret) _must_check_;
/* What a call needs that may need an authorization: before it, and what it ended with. */
Err *client_authorize(AttestClient *client) _must_check_;
Err *client_judge_authorization(AttestClient *client, Err *steal_err) _must_check_;
Err *client_fetch_keys(AttestClient *client, JwkSet **ret) _must_check_;
/* One request that is answered with {"token":…}. request is taken, also on failure; what names the answer. A draft's is parsed, and nothing more. */
typedef enum ClientPurpose { CLIENT_ATTESTATION, CLIENT_ADMINISTRATION } ClientPurpose;
Err *client_validate(AttestClient *client, ClientPurpose purpose, const char *text, AttestToken **ret) _must_check_;
Err *client_ask(AttestClient *client, const char *what, ClientPurpose purpose, HttpRequest *steal_request, AttestToken **ret) _must_check_;
Err *client_ask_draft(AttestClient *client, const char *what, HttpRequest *steal_request, AttestToken **ret) _must_check_;
Err *attest_signers_make(const JwkSet *keys, AttestSigners **ret) _must_check_;
DEFINE_CLEANUP(AttestToken, attest_token_free)
