/* See policy-eval.h. A rule is worked off in two steps:
 *
 *     match   all combinations of claims, one for each condition, that satisfy the conditions over the claims as they are at its beginning
 *     act     once for each of them that differs in a claim that the action refers to
 *
 * so that what a rule adds does not make it fire again, and "[a] && [b] => issue(…)" issues once however many claims satisfy a. */
#include "policy/policy-eval.h"

#include "policy/policy-expression.h"

_Static_assert(POLICY_CONDITIONS_MAX <= 32, "sets of conditions are 32 bits wide");

typedef struct Evaluation {
        PolicyOutcome *outcome;
        size_t n_steps, n_text;
        bool has_permit;
} Evaluation;

/* Matching of one rule. */
typedef struct Match {
        Evaluation *evaluation;
        const PolicyRule *rule;
        size_t n_claims;                       /* at its beginning */
        uint32_t relevant;                     /* conditions whose claim the action refers to */
        uint32_t needed;                       /* conditions of which every claim has to be looked at */
        bool *matching[POLICY_CONDITIONS_MAX]; /* claims that satisfy a condition, in some combination of all of them */
        size_t chosen[POLICY_CONDITIONS_MAX];
        size_t *firings;                       /* POLICY_CONDITIONS_MAX for each */
        size_t n_firings;
        size_t reached;                        /* the furthest condition that nothing satisfied, from 0 */
} Match;

PolicyOutcome *policy_outcome_free(PolicyOutcome *outcome) {
        if (!outcome)
                return NULL;
        policy_claims_free(outcome->issued);
        policy_claims_free(outcome->properties);
        policy_claims_free(outcome->incoming);
        free(outcome->trace);
        free(outcome);
        return NULL;
}

static void match_done(Match *match) {
        for (size_t i = 0; i < POLICY_CONDITIONS_MAX; i++)
                free(match->matching[i]);
        free(match->firings);
}

/* ---- match ---- */

static bool compare_integers(PolicyOperator op, int64_t a, int64_t b) {
        switch (op) {
        case POLICY_OPERATOR_EQ:
                return a == b;
        case POLICY_OPERATOR_NE:
                return a != b;
        case POLICY_OPERATOR_LE:
                return a <= b;
        case POLICY_OPERATOR_LT:
                return a < b;
        case POLICY_OPERATOR_GE:
                return a >= b;
        case POLICY_OPERATOR_GT:
                return a > b;
        case _POLICY_OPERATOR_MAX:
                break;
        }
        return false;
}

/* Values of two types are different, and neither is the greater one. */
static bool compare(PolicyOperator op, const PolicyValue *a, const PolicyValue *b) {
        if (a->type == POLICY_TYPE_INTEGER && b->type == POLICY_TYPE_INTEGER)
                return compare_integers(op, a->integer, b->integer);
        if (op == POLICY_OPERATOR_EQ)
                return policy_value_equal(a, b);
        return op == POLICY_OPERATOR_NE && !policy_value_equal(a, b);
}

static Err *passes(Match *match, const PolicyTest *test, const PolicyClaim *claim, bool *ret) {
        Evaluation *evaluation = match->evaluation;
        const PolicyScope scope = { .claims = evaluation->outcome->incoming, .chosen = match->chosen, .n_text = &evaluation->n_text };
        _cleanup_policy_set_ PolicySet right = {};
        PolicyValue left = policy_claim_property(claim, test->property);
        if (++evaluation->n_steps > POLICY_STEPS_MAX)
                return err_new(ERR_LIMIT_EXCEEDED, "the policy takes more than %u comparisons", POLICY_STEPS_MAX);
        if (test->right->kind == POLICY_EXPRESSION_LITERAL) {
                *ret = compare(test->op, &left, &test->right->literal);
                return NULL;
        }
        TRY(policy_expression_evaluate(test->right, &scope, &right));
        if (right.n_values > 1)
                return err_new(ERR_POLICY_FAILED, "a claim is compared with %zu values at once", right.n_values);
        *ret = right.n_values == 1 && compare(test->op, &left, &right.values[0]);
        return NULL;
}

static Err *satisfies(Match *match, const PolicyCondition *condition, size_t index, bool *ret) {
        const PolicyClaim *claim = policy_claims_get(match->evaluation->outcome->incoming, index);
        *ret = true;
        for (size_t i = 0; *ret && i < condition->n_tests; i++)
                TRY(passes(match, &condition->tests[i], claim, ret));
        return NULL;
}

static bool is_same_firing(const Match *match, const size_t *firing) {
        for (size_t i = 0; i < match->rule->n_conditions; i++)
                if (match->relevant & UINT32_C(1) << i && firing[i] != match->chosen[i])
                        return false;
        return true;
}

/* All conditions are satisfied by the chosen claims. */
static Err *note(Match *match) {
        for (size_t i = 0; i < match->rule->n_conditions; i++)
                if (match->chosen[i] != SIZE_MAX)
                        match->matching[i][match->chosen[i]] = true;
        for (size_t i = 0; i < match->n_firings; i++) {
                match->evaluation->n_steps++;
                if (is_same_firing(match, &match->firings[i * POLICY_CONDITIONS_MAX]))
                        return NULL;
        }
        if (match->n_firings == POLICY_FIRINGS_MAX)
                return err_new(ERR_LIMIT_EXCEEDED, "a rule would act more than %u times", POLICY_FIRINGS_MAX);
        size_t *more = reallocarray(match->firings, match->n_firings + 1, POLICY_CONDITIONS_MAX * sizeof(size_t));
        if (!more)
                return err_oom();
        match->firings = more;
        for (size_t i = 0; i < POLICY_CONDITIONS_MAX; i++)
                more[match->n_firings * POLICY_CONDITIONS_MAX + i] = match->chosen[i];
        match->n_firings++;
        return NULL;
}

static Err *match_from(Match *match, size_t number, bool *ret_complete);

static Err *match_negated(Match *match, size_t number, bool *ret_complete) {
        const PolicyCondition *condition = &match->rule->conditions[number];
        bool found = false;
        for (size_t i = 0; !found && i < match->n_claims; i++)
                TRY(satisfies(match, condition, i, &found));
        *ret_complete = false;
        if (!found)
                return match_from(match, number + 1, ret_complete);
        match->reached = MAX_OF(match->reached, number);
        return NULL;
}

/* Of a condition that nothing refers to one claim is as good as another, if the conditions behind it are satisfied with it. */
static Err *match_from(Match *match, size_t number, bool *ret_complete) {
        bool found = false;
        *ret_complete = number == match->rule->n_conditions;
        if (*ret_complete)
                return note(match);
        if (match->rule->conditions[number].negated)
                return match_negated(match, number, ret_complete);
        for (size_t i = 0; i < match->n_claims; i++) {
                bool fits, complete;
                TRY(satisfies(match, &match->rule->conditions[number], i, &fits));
                if (!fits)
                        continue;
                found = true;
                match->chosen[number] = i;
                Err *err = match_from(match, number + 1, &complete);
                match->chosen[number] = SIZE_MAX;
                TRY(err);
                *ret_complete = *ret_complete || complete;
                if (!(match->needed & UINT32_C(1) << number))
                        break;
        }
        if (!found)
                match->reached = MAX_OF(match->reached, number);
        return NULL;
}

static void find_references(Match *match) {
        const PolicyRule *rule = match->rule;
        uint32_t single, sets;
        const PolicyExpression *const expressions[] = { rule->type, rule->value };
        for (size_t i = 0; i < N_ELEMENTS(expressions); i++) {
                policy_expression_references(expressions[i], &single, &sets);
                match->relevant |= single;
                match->needed |= single | sets;
        }
        if (rule->has_claim)
                match->relevant |= UINT32_C(1) << rule->claim;
        match->needed |= match->relevant;
        for (size_t i = 0; i < rule->n_conditions; i++)
                for (size_t j = 0; j < rule->conditions[i].n_tests; j++) {
                        policy_expression_references(rule->conditions[i].tests[j].right, &single, &sets);
                        match->needed |= single | sets;
                }
}

static Err *match_rule(Match *match) {
        bool complete;
        match->n_claims = policy_claims_count(match->evaluation->outcome->incoming);
        find_references(match);
        for (size_t i = 0; i < match->rule->n_conditions; i++) {
                match->matching[i] = calloc(match->n_claims + 1, sizeof(bool));
                if (!match->matching[i])
                        return err_oom();
        }
        for (size_t i = 0; i < POLICY_CONDITIONS_MAX; i++)
                match->chosen[i] = SIZE_MAX;
        return match_from(match, 0, &complete);
}

/* ---- act ---- */

static PolicyClaims *outgoing(const Evaluation *evaluation, PolicyVerb verb) {
        switch (verb) {
        case POLICY_VERB_ISSUE:
                return evaluation->outcome->issued;
        case POLICY_VERB_ISSUEPROPERTY:
                return evaluation->outcome->properties;
        case POLICY_VERB_PERMIT:
        case POLICY_VERB_DENY:
        case POLICY_VERB_ADD:
        case _POLICY_VERB_MAX:
                break;
        }
        return NULL;
}

/* claim may belong to the set that it goes to. */
static Err *give(Match *match, const PolicyClaim *claim, PolicyTrace *trace) {
        Evaluation *evaluation = match->evaluation;
        PolicyClaims *out = outgoing(evaluation, match->rule->verb);
        PolicyClaim made = *claim;
        made.issuer = POLICY_ISSUER_POLICY;
        if (out && made.read_only)
                return err_new(ERR_POLICY_FAILED, "%s(): the value for claim '%.100s' comes from a read-only claim, which can be looked at and not issued",
                               policy_verb_to_string(match->rule->verb), made.type);
        if (out)
                TRY(policy_claims_append(out, &made));
        trace->n_claims++;
        return policy_claims_append(evaluation->outcome->incoming, &made);
}

static Err *give_values(Match *match, const PolicyScope *scope, PolicyTrace *trace) {
        _cleanup_policy_set_ PolicySet type = {}, values = {};
        TRY(policy_expression_evaluate(match->rule->type, scope, &type));
        TRY(policy_expression_evaluate(match->rule->value, scope, &values));
        if (type.n_values != 1 || type.values[0].type != POLICY_TYPE_STRING || !*type.values[0].text)
                return err_new(ERR_POLICY_FAILED, "%s(): type has to be one string that is not empty", policy_verb_to_string(match->rule->verb));
        for (size_t i = 0; i < values.n_values; i++) {
                const PolicyClaim claim = { .type = type.values[0].text, .value = values.values[i], .read_only = type.read_only || values.read_only };
                TRY(give(match, &claim, trace));
        }
        return NULL;
}

static Err *act(Match *match, const size_t *chosen, PolicyTrace *trace) {
        Evaluation *evaluation = match->evaluation;
        const PolicyScope scope = {
                .claims = evaluation->outcome->incoming, .chosen = chosen, .matching = (const bool *const *) match->matching, .n_claims = match->n_claims,
                .n_text = &evaluation->n_text,
        };
        trace->n_fired++;
        if (match->rule->verb == POLICY_VERB_PERMIT)
                evaluation->has_permit = true;
        else if (match->rule->verb == POLICY_VERB_DENY)
                evaluation->outcome->denied = true;
        else if (match->rule->has_claim)
                return give(match, policy_claims_get(evaluation->outcome->incoming, chosen[match->rule->claim]), trace);
        else
                return give_values(match, &scope, trace);
        return NULL;
}

static Err *run_rule(Evaluation *evaluation, const PolicyRule *rule, PolicyTrace *trace) {
        _cleanup_(match_done) Match match = { .evaluation = evaluation, .rule = rule };
        TRY(match_rule(&match));
        for (size_t i = 0; i < match.n_firings; i++)
                TRY(act(&match, &match.firings[i * POLICY_CONDITIONS_MAX], trace));
        trace->condition = match.n_firings > 0 ? 0 : match.reached + 1;
        return NULL;
}

static Err *run_section(Evaluation *evaluation, const Policy *policy, PolicySection section) {
        PolicyOutcome *outcome = evaluation->outcome;
        for (size_t i = 0; i < policy->n_rules[section]; i++) {
                const PolicyRule *rule = &policy->rules[section][i];
                PolicyTrace *trace = &outcome->trace[outcome->n_trace++];
                *trace = (PolicyTrace) { .section = section, .line = rule->line, .verb = rule->verb };
                TRY(err_wrap(run_rule(evaluation, rule, trace), "policy: the rule at line %u", rule->line));
        }
        return NULL;
}

/* ---- the whole ---- */

static Err *copy_claims(const PolicyClaims *from, PolicyClaims *to) {
        for (size_t i = 0; i < policy_claims_count(from); i++)
                TRY(policy_claims_append(to, policy_claims_get(from, i)));
        return NULL;
}

static Err *begin(const Policy *policy, const PolicyClaims *incoming, PolicyOutcome **ret) {
        _cleanup_(policy_outcome_freep) PolicyOutcome *outcome = calloc(1, sizeof(PolicyOutcome));
        size_t n_rules = 1;
        if (!outcome)
                return err_oom();
        for (size_t i = 0; i < _POLICY_SECTION_MAX; i++)
                n_rules += policy->n_rules[i];
        outcome->trace = calloc(n_rules, sizeof(PolicyTrace));
        if (!outcome->trace)
                return err_oom();
        TRY(policy_claims_new(&outcome->issued));
        TRY(policy_claims_new(&outcome->properties));
        TRY(policy_claims_new(&outcome->incoming));
        TRY(copy_claims(incoming, outcome->incoming));
        *ret = steal_ptr(&outcome);
        return NULL;
}

Err *policy_evaluate_configuration(const Policy *policy, const PolicyClaims *incoming, PolicyOutcome **ret) {
        _cleanup_(policy_outcome_freep) PolicyOutcome *outcome = NULL;
        TRY(begin(policy, incoming, &outcome));
        Evaluation evaluation = { .outcome = outcome };
        TRY(run_section(&evaluation, policy, POLICY_SECTION_CONFIGURATION));
        *ret = steal_ptr(&outcome);
        return NULL;
}

Err *policy_evaluate(const Policy *policy, const PolicyClaims *incoming, PolicyOutcome **ret) {
        _cleanup_(policy_outcome_freep) PolicyOutcome *outcome = NULL;
        TRY(begin(policy, incoming, &outcome));
        Evaluation evaluation = { .outcome = outcome };
        TRY(run_section(&evaluation, policy, POLICY_SECTION_CONFIGURATION));
        TRY(run_section(&evaluation, policy, POLICY_SECTION_AUTHORIZATION));
        outcome->permitted = evaluation.has_permit && !outcome->denied;
        if (outcome->permitted)
                TRY(run_section(&evaluation, policy, POLICY_SECTION_ISSUANCE));
        *ret = steal_ptr(&outcome);
        return NULL;
}
