/* The policy language of the attestation service, versions 1.0, 1.1 and 1.2: text in, rules out.
 * policy-eval.h evaluates them.
 *
 *     version=1.2;                                                    comments: // to the end of the line
 *     configurationrules { => issueproperty(type="required_pcr_mask", value=15); };               since 1.1
 *     authorizationrules { => permit(); };
 *     issuancerules {
 *             c:[type=="aikValidated", issuer=="AttestationService"] => issue(claim=c);
 *             ![type=="x"] => issue(type="y", value=NegateBool(true));                             since 1.2
 *     };
 *
 * After the service's public documentation: articles "Claim and claim rules" (claim-rule-grammar), "Claim rule functions" and "Attestation
 * policy version 1.0", "1.1", "1.2". Where they leave something open:
 *
 * - Sections stand in the order above; authorizationrules has to be there. A reference may name a condition that stands before it.
 * - In strings, \" is a quotation mark and \\ a backslash; nothing else may be escaped. */
#pragma once

#include "base/json.h"

/* These limits are our own: the service publishes none. */
#define POLICY_SIZE_MAX (256u << 10)      /* bytes of text */
#define POLICY_STRING_MAX (32u << 10)     /* bytes of a string literal */
#define POLICY_RULES_MAX 1000u            /* in all sections together */
#define POLICY_CONDITIONS_MAX 16u         /* of a rule; bounds recursion */
#define POLICY_TESTS_MAX 16u              /* within one condition */
#define POLICY_NESTING_MAX 16u            /* functions within functions; bounds recursion */

typedef enum PolicySection {
        POLICY_SECTION_CONFIGURATION,
        POLICY_SECTION_AUTHORIZATION,
        POLICY_SECTION_ISSUANCE,
        _POLICY_SECTION_MAX,
} PolicySection;

typedef enum PolicyVerb {
        POLICY_VERB_PERMIT,
        POLICY_VERB_DENY,
        POLICY_VERB_ADD,
        POLICY_VERB_ISSUE,
        POLICY_VERB_ISSUEPROPERTY,
        _POLICY_VERB_MAX,
} PolicyVerb;

typedef enum PolicyType { POLICY_TYPE_STRING, POLICY_TYPE_INTEGER, POLICY_TYPE_BOOLEAN, _POLICY_TYPE_MAX } PolicyType;

const char *policy_section_to_string(PolicySection section);
const char *policy_verb_to_string(PolicyVerb verb);

typedef struct PolicyValue {
        PolicyType type;
        bool boolean;
        int64_t integer;
        char *text; /* owned; of strings, without NUL in it */
} PolicyValue;

typedef struct Policy Policy;

/* Parses text, which need not outlive the result. Errors: POLICY_INVALID, "policy: line 3, column 7: found …, allowed: …"; LIMIT_EXCEEDED. */
Err *policy_parse(Span text, Policy **ret) _must_check_;
Policy *policy_free(Policy *policy);
DEFINE_CLEANUP(Policy, policy_free)

unsigned policy_minor_version(const Policy *policy); /* 0, 1 or 2 */
size_t policy_count_rules(const Policy *policy, PolicySection section);
