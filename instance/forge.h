/* Forged tokens: each breaks exactly one of the rules by which a token is believed, and is otherwise as good as it can be. */
#pragma once

#include "instance/fault.h"
#include "instance/report.h"
#include "base/json.h"

/* Keys that are not the instance's, made when first needed. */
typedef struct Forger {
        CaIdentity foreign;   /* RSA-2048, self-signed */
        CaIdentity weak;      /* RSA-1024, self-signed; published in the key set as soon as it exists */
        char *foreign_kid, *weak_kid;
        char *lure_url;       /* where jku and x5u point: this instance under another name, so that following them would work */
} Forger;
/* url is the instance's. */
Err *forger_init(Forger *forger, const char *url) _must_check_;
void forger_done(Forger *forger);

/* Makes what a forgery needs, so that it can be published before the token is seen. */
Err *forger_prepare(Forger *forger, Forgery forgery, int64_t now_sec) _must_check_;
/* A token with that defect. FORGERY_NONE gives a good one. */
Err *forge_token(Forger *forger, Forgery forgery, const Report *report, const Identity *identity, char **ret) _must_check_;
/* What forgers share: how far times are off, an issuer that is none, a random value of the size of a nonce, and a token that is not signed or has an HMAC
 * whose secret is the public key. */
#define FORGE_SHIFT_SEC 3600
#define FORGE_OTHER_ISSUER "https://another.instance.invalid"
Err *forge_random_text(char **ret) _must_check_;
Err *forge_without_key(const char *header, Span claims, EVP_PKEY *hmac_key, char **ret) _must_check_;

/* The same for a token of instance-token.h; claims, which have their times, are changed. key NULL: the token is to be unsigned, and no forgery is needed.
 * A defect of what the token does not have (nonce, cnf) gives a good one. */
Err *forge_instance_token(Forger *forger, Forgery forgery, const Identity *identity, Json *claims, EVP_PKEY *key, char **ret) _must_check_;
/* The foreign key as a key set (for who follows jku), or its certificate in PEM (x5u). */
Err *forger_lure(Forger *forger, const char *path, int64_t now_sec, char **ret) _must_check_;
