/* Client assertions (RFC 7523 §2.2, §3): a signed JWT in place of a secret. Two kinds come to the token endpoint.
 *
 *     of a certificate   iss = sub = client id; signed with the key of a certificate that the application has registered, which the header names
 *                        by x5t#S256 or x5t (RFC 7515 §4.1.7, §4.1.8), with or without x5c; aud = the token endpoint or the issuer;
 *                        jti, which is good once
 *     federated          iss, sub and aud as a federated credential of the application has them; signed with a key of that issuer */
#pragma once

#include "instance/authority-applications.h"

#define ASSERTION_SKEW_SEC 300   /* as Microsoft Entra allows */

typedef struct AssertionRules {
        const Application *application;
        const char *audiences[2];    /* of assertions of a certificate */
        int64_t now_sec;
} AssertionRules;

/* What a good assertion says of itself. */
typedef struct Assertion {
        bool is_federated;
        char *id;                    /* jti; NULL if a federated one has none */
        int64_t expires_sec;
} Assertion;
void assertion_done(Assertion *assertion);
#define _cleanup_assertion_ _cleanup_(assertion_done)

/* Errors: refusals (authority-refusal.h). */
Err *assertion_check(Span text, const AssertionRules *rules, Assertion *ret) _must_check_;
