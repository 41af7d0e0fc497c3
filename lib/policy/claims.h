/* The claims that rules of a policy work on: those that come in from the evidence, those that rules add, and those that go out.
 *
 * A set is in the order in which claims came, and may hold a type, and even a claim, more than once: that is the language's own notion
 * ("Claim and claim rules": several claims of one type become an array in the token). */
#pragma once

#include "policy/policy.h"

/* Our own limit: the service publishes none. Claims of real evidence are some dozens. */
#define POLICY_CLAIMS_MAX 4096u

typedef enum PolicyIssuer {
        POLICY_ISSUER_SERVICE, /* what the evidence shows */
        POLICY_ISSUER_POLICY,  /* what a rule added */
        POLICY_ISSUER_CUSTOM,  /* what the client said of itself */
        _POLICY_ISSUER_MAX,
} PolicyIssuer;

const char *policy_issuer_to_string(PolicyIssuer issuer); /* "AttestationService", "AttestationPolicy", "CustomClaim" */
bool policy_issuer_from_string(const char *text, PolicyIssuer *ret);

typedef struct PolicyClaim {
        char *type;          /* owned */
        PolicyValue value;   /* owned */
        PolicyIssuer issuer;
        bool read_only;      /* rules may look at it, but neither it nor what functions make of its value can be issued (pcrs) */
} PolicyClaim;

typedef struct PolicyClaims PolicyClaims;

Err *policy_claims_new(PolicyClaims **ret) _must_check_;
PolicyClaims *policy_claims_free(PolicyClaims *claims);
DEFINE_CLEANUP(PolicyClaims, policy_claims_free)

/* Copies claim, with its type and value, to the end. LIMIT_EXCEEDED names the type. */
Err *policy_claims_append(PolicyClaims *claims, const PolicyClaim *claim) _must_check_;
/* The service's own pcrs are read-only. */
Err *policy_claims_append_string(PolicyClaims *claims, const char *type, const char *text, PolicyIssuer issuer) _must_check_;
Err *policy_claims_append_integer(PolicyClaims *claims, const char *type, int64_t integer, PolicyIssuer issuer) _must_check_;
Err *policy_claims_append_boolean(PolicyClaims *claims, const char *type, bool boolean, PolicyIssuer issuer) _must_check_;

size_t policy_claims_count(const PolicyClaims *claims);
/* The claim at index, which must be below the count; valid until the next append. */
const PolicyClaim *policy_claims_get(const PolicyClaims *claims, size_t index);
/* The first claim of type at or after index *position, which is set behind it; NULL if there is none. */
const PolicyClaim *policy_claims_find(const PolicyClaims *claims, const char *type, size_t *position);
