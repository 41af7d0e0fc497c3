/* Sets of claims. */
#include "policy/claims.h"

#include "policy/policy-node.h"

struct PolicyClaims {
        PolicyClaim *items;
        size_t n_items;
        size_t n_allocated;
};

static const char *const issuer_names[_POLICY_ISSUER_MAX] = {
        [POLICY_ISSUER_SERVICE] = "AttestationService",
        [POLICY_ISSUER_POLICY] = "AttestationPolicy",
        [POLICY_ISSUER_CUSTOM] = "CustomClaim",
};

const char *policy_issuer_to_string(PolicyIssuer issuer) {
        return issuer_names[issuer];
}

bool policy_issuer_from_string(const char *text, PolicyIssuer *ret) {
        for (PolicyIssuer i = 0; i < _POLICY_ISSUER_MAX; i++)
                if (string_equal(text, issuer_names[i])) {
                        *ret = i;
                        return true;
                }
        return false;
}

Err *policy_claims_new(PolicyClaims **ret) {
        PolicyClaims *claims = calloc(1, sizeof(*claims));
        if (!claims)
                return err_oom();
        *ret = claims;
        return NULL;
}

static void policy_claim_done(PolicyClaim *claim) {
        free(claim->type);
        policy_value_done(&claim->value);
}

PolicyClaims *policy_claims_free(PolicyClaims *claims) {
        if (!claims)
                return NULL;
        for (size_t i = 0; i < claims->n_items; i++)
                policy_claim_done(&claims->items[i]);
        free(claims->items);
        free(claims);
        return NULL;
}

static Err *policy_claims_reserve(PolicyClaims *claims, const char *type) {
        if (claims->n_items >= POLICY_CLAIMS_MAX)
                return err_new(ERR_LIMIT_EXCEEDED, "claim '%s' would be one more than the %u claims that a set may hold", type, POLICY_CLAIMS_MAX);
        if (claims->n_items < claims->n_allocated)
                return NULL;

        size_t n = MAX_OF(claims->n_allocated * 2, (size_t) 16);
        PolicyClaim *items = reallocarray(claims->items, n, sizeof(*items));
        if (!items)
                return err_oom();
        claims->items = items;
        claims->n_allocated = n;
        return NULL;
}

/* The copy is whole before the array moves, for claim may stand in it. */
Err *policy_claims_append(PolicyClaims *claims, const PolicyClaim *claim) {
        PolicyClaim copy = *claim;
        _cleanup_free_ char *type = strdup(claim->type), *text = NULL;
        if (!type)
                return err_oom();
        if (claim->value.type == POLICY_TYPE_STRING) {
                text = strdup(claim->value.text);
                if (!text)
                        return err_oom();
        }
        TRY(policy_claims_reserve(claims, type));

        copy.type = steal_ptr(&type);
        copy.value.text = steal_ptr(&text);
        claims->items[claims->n_items++] = copy;
        return NULL;
}

/* "PCRs are only read-only and thus cannot be used with issue" ("Attestation policy version 1.2"). */
static bool is_read_only(const char *type, PolicyIssuer issuer) {
        return issuer == POLICY_ISSUER_SERVICE && string_equal(type, "pcrs");
}

Err *policy_claims_append_string(PolicyClaims *claims, const char *type, const char *text, PolicyIssuer issuer) {
        PolicyClaim claim = { .type = (char *) type, .value = { .type = POLICY_TYPE_STRING, .text = (char *) text }, .issuer = issuer, .read_only = is_read_only(type, issuer) };
        return policy_claims_append(claims, &claim);
}

Err *policy_claims_append_integer(PolicyClaims *claims, const char *type, int64_t integer, PolicyIssuer issuer) {
        PolicyClaim claim = { .type = (char *) type, .value = { .type = POLICY_TYPE_INTEGER, .integer = integer }, .issuer = issuer };
        return policy_claims_append(claims, &claim);
}

Err *policy_claims_append_boolean(PolicyClaims *claims, const char *type, bool boolean, PolicyIssuer issuer) {
        PolicyClaim claim = { .type = (char *) type, .value = { .type = POLICY_TYPE_BOOLEAN, .boolean = boolean }, .issuer = issuer };
        return policy_claims_append(claims, &claim);
}

size_t policy_claims_count(const PolicyClaims *claims) {
        return claims->n_items;
}

const PolicyClaim *policy_claims_get(const PolicyClaims *claims, size_t index) {
        return &claims->items[index];
}

const PolicyClaim *policy_claims_find(const PolicyClaims *claims, const char *type, size_t *position) {
        for (size_t i = *position; i < claims->n_items; i++)
                if (string_equal(claims->items[i].type, type)) {
                        *position = i + 1;
                        return &claims->items[i];
                }
        return NULL;
}
