/* The parser of policies: one function for each line of this grammar, each taking what it needs from the front.
 *
 *     policy      "version" "=" "1" "." ("0" | "1" | "2") ";"  [configurationrules]  authorizationrules  [issuancerules]
 *     section     NAME "{" { rule ";" } "}" ";"
 *     rule        [condition { "&&" condition }] "=>" action
 *     condition   ["!" | NAME ":"] "[" test { "," test } "]"
 *     test        property ("==" | "!=" | "<=" | "<" | ">=" | ">") expression
 *     action      ("permit" | "deny") "(" ")" | ("add" | "issue" | "issueproperty") "(" claim ")"
 *     claim       "claim" "=" NAME | "type" "=" expression "," "value" "=" expression        in either order
 *     expression  STRING | INTEGER | "true" | "false" | NAME "." property | FUNCTION "(" expression { "," expression } ")"
 *     property    "type" | "value" | "valueType" | "issuer"
 *
 * (claim-rule-grammar, claim-rule-functions; policy-version-1-1 for configurationrules.) */
#include <errno.h>

#include "base/utf8.h"
#include "policy/policy-node.h"

typedef struct Parser {
        PolicyLexer lexer;
        PolicyToken token; /* the next one */
        Policy *policy;
        PolicySection section;
        PolicyRule *rule;
        size_t n_rules;
        unsigned nesting;
} Parser;

static const char *const section_names[_POLICY_SECTION_MAX] = { "configurationrules", "authorizationrules", "issuancerules" };
static const char *const verb_names[_POLICY_VERB_MAX] = { "permit", "deny", "add", "issue", "issueproperty" };
static const char *const property_names[_POLICY_PROPERTY_MAX] = { "type", "value", "valueType", "issuer" };
static const char *const operator_names[_POLICY_OPERATOR_MAX] = { "==", "!=", "<=", "<", ">=", ">" };

/* What the table of actions in claim-rule-grammar allows, and policy-version-1-1 for issueproperty() in configurationrules. */
static const struct {
        bool verbs[_POLICY_VERB_MAX];
        const char *allowed;
} section_verbs[_POLICY_SECTION_MAX] = {
        [POLICY_SECTION_CONFIGURATION] = { { [POLICY_VERB_ISSUEPROPERTY] = true }, "issueproperty" },
        [POLICY_SECTION_AUTHORIZATION] = { { [POLICY_VERB_PERMIT] = true, [POLICY_VERB_DENY] = true, [POLICY_VERB_ADD] = true }, "permit, deny, add" },
        [POLICY_SECTION_ISSUANCE] = { { [POLICY_VERB_ADD] = true, [POLICY_VERB_ISSUE] = true, [POLICY_VERB_ISSUEPROPERTY] = true },
                                      "add, issue, issueproperty" },
};

static Err *parse_expression(Parser *p, PolicyExpression **ret);

static Err *found(const Parser *p, const char *allowed) {
        int shown = (int) MIN_OF(p->token.text.size, (size_t) 60);
        while (shown > 0 && (size_t) shown < p->token.text.size && (p->token.text.data[shown] & 0xc0) == 0x80)
                shown--;
        if (p->token.type == POLICY_TOKEN_END)
                return policy_token_error(&p->token, "found the end of the policy, allowed: %s", allowed);
        return policy_token_error(&p->token, "found %.*s%s, allowed: %s", shown, (const char *) p->token.text.data,
                                  (size_t) shown < p->token.text.size ? "..." : "", allowed);
}

static Err *next(Parser *p) {
        return policy_lexer_next(&p->lexer, &p->token);
}

static bool is(const Parser *p, PolicyTokenType type, const char *text) {
        return p->token.type == type && (!text || span_equal_string(p->token.text, text));
}

static bool is_symbol(const Parser *p, const char *text) {
        return is(p, POLICY_TOKEN_SYMBOL, text);
}

static Err *take_symbol(Parser *p, const char *text) {
        return is_symbol(p, text) ? next(p) : found(p, text);
}

static Err *take_name(Parser *p, const char *name) {
        return is(p, POLICY_TOKEN_NAME, name) ? next(p) : found(p, name);
}

/* Number of the name in names, or n. */
static size_t find_word(const Parser *p, PolicyTokenType type, const char *const *names, size_t n) {
        size_t i = 0;
        while (i < n && !is(p, type, names[i]))
                i++;
        return i;
}

static Err *too_many(const Parser *p, const char *what, unsigned max) {
        return err_new(ERR_LIMIT_EXCEEDED, "policy: line %u: more than %u %s", p->token.line, max, what);
}

static void expression_free(PolicyExpression *expression) {
        if (!expression)
                return;
        policy_value_done(&expression->literal);
        for (size_t i = 0; i < N_ELEMENTS(expression->arguments); i++)
                expression_free(expression->arguments[i]);
        free(expression);
}

static void expression_freep(PolicyExpression **expression) {
        expression_free(*expression);
}

static Err *unquote(const Parser *p, char **ret) {
        Span inner = span_make(p->token.text.data + 1, p->token.text.size - 2);
        _cleanup_free_ char *text = malloc(inner.size + 1);
        if (!text)
                return err_oom();
        size_t n = 0;
        for (size_t i = 0; i < inner.size; i++) {
                if (inner.data[i] == '\\')
                        i++;
                text[n++] = (char) inner.data[i];
        }
        text[n] = '\0';
        *ret = steal_ptr(&text);
        return NULL;
}

static Err *parse_integer(const Parser *p, int64_t *ret) {
        char text[24] = "";
        if (p->token.text.size < sizeof(text)) {
                for (size_t i = 0; i < p->token.text.size; i++)
                        text[i] = (char) p->token.text.data[i];
                errno = 0;
                long long value = strtoll(text, NULL, 10);
                if (errno == 0) {
                        *ret = value;
                        return NULL;
                }
        }
        return found(p, "an integer of 64 bits");
}

static Err *parse_literal(Parser *p, PolicyValue *ret) {
        if (is(p, POLICY_TOKEN_STRING, NULL)) {
                ret->type = POLICY_TYPE_STRING;
                TRY(unquote(p, &ret->text));
        } else if (is(p, POLICY_TOKEN_INTEGER, NULL)) {
                ret->type = POLICY_TYPE_INTEGER;
                TRY(parse_integer(p, &ret->integer));
        } else {
                ret->type = POLICY_TYPE_BOOLEAN;
                ret->boolean = is(p, POLICY_TOKEN_NAME, "true");
        }
        return next(p);
}

/* The condition that token names, among those that are complete. */
static Err *find_condition(Parser *p, size_t *ret) {
        for (size_t i = 0; i < p->rule->n_conditions; i++)
                if (p->rule->conditions[i].name && is(p, POLICY_TOKEN_NAME, p->rule->conditions[i].name)) {
                        *ret = i;
                        return next(p);
                }
        return found(p, "an identifier of a condition before it");
}

static Err *parse_call(Parser *p, size_t function, PolicyExpression *e) {
        if (p->policy->minor < 2)
                return found(p, "functions from version 1.2");
        if (++p->nesting > POLICY_NESTING_MAX)
                return too_many(p, "functions within one another", POLICY_NESTING_MAX);
        e->kind = POLICY_EXPRESSION_CALL;
        e->function = (PolicyFunction) function;
        TRY(next(p));
        TRY(take_symbol(p, "("));
        for (size_t i = 0; i < policy_functions[function].n_arguments; i++) {
                if (i > 0)
                        TRY(take_symbol(p, ","));
                TRY(parse_expression(p, &e->arguments[i]));
        }
        p->nesting--;
        return take_symbol(p, ")");
}

static Err *parse_reference(Parser *p, PolicyExpression *e) {
        e->kind = POLICY_EXPRESSION_REFERENCE;
        TRY(find_condition(p, &e->condition));
        TRY(take_symbol(p, "."));
        size_t property = find_word(p, POLICY_TOKEN_NAME, property_names, _POLICY_PROPERTY_MAX);
        if (property == _POLICY_PROPERTY_MAX)
                return found(p, "type, value, valueType, issuer");
        e->property = (PolicyProperty) property;
        return next(p);
}

static Err *parse_expression(Parser *p, PolicyExpression **ret) {
        _cleanup_(expression_freep) PolicyExpression *e = calloc(1, sizeof(PolicyExpression));
        if (!e)
                return err_oom();
        size_t function = 0;
        while (function < _POLICY_FUNCTION_MAX && !is(p, POLICY_TOKEN_NAME, policy_functions[function].name))
                function++;
        if (is(p, POLICY_TOKEN_STRING, NULL) || is(p, POLICY_TOKEN_INTEGER, NULL) || is(p, POLICY_TOKEN_NAME, "true") ||
            is(p, POLICY_TOKEN_NAME, "false"))
                TRY(parse_literal(p, &e->literal));
        else if (function < _POLICY_FUNCTION_MAX)
                TRY(parse_call(p, function, e));
        else if (is(p, POLICY_TOKEN_NAME, NULL))
                TRY(parse_reference(p, e));
        else
                return found(p, "a string, an integer, true, false, IDENTIFIER.PROPERTY or a function");
        *ret = steal_ptr(&e);
        return NULL;
}

/* A literal on the right must be something that the left side can be. */
static Err *check_literal(const PolicyTest *test, const PolicyToken *at) {
        if (test->right->kind != POLICY_EXPRESSION_LITERAL)
                return NULL;
        PolicyType type = test->right->literal.type;
        if (test->property != POLICY_PROPERTY_VALUE && type != POLICY_TYPE_STRING)
                return policy_token_error(at, "found another value, allowed beside %s: a string", property_names[test->property]);
        if (test->op > POLICY_OPERATOR_NE && type != POLICY_TYPE_INTEGER)
                return policy_token_error(at, "found another value, allowed beside %s: an integer", operator_names[test->op]);
        return NULL;
}

static Err *parse_test(Parser *p, PolicyTest *ret) {
        size_t property = find_word(p, POLICY_TOKEN_NAME, property_names, _POLICY_PROPERTY_MAX);
        if (property == _POLICY_PROPERTY_MAX)
                return found(p, "type, value, valueType, issuer");
        TRY(next(p));
        size_t op = find_word(p, POLICY_TOKEN_SYMBOL, operator_names, _POLICY_OPERATOR_MAX);
        if (property != POLICY_PROPERTY_VALUE && op > POLICY_OPERATOR_NE)
                return found(p, "== !=");
        if (op == _POLICY_OPERATOR_MAX)
                return found(p, "== != <= < >= >");
        TRY(next(p));
        ret->property = (PolicyProperty) property;
        ret->op = (PolicyOperator) op;
        PolicyToken right = p->token;
        TRY(parse_expression(p, &ret->right));
        return check_literal(ret, &right);
}

static void condition_done(PolicyCondition *condition) {
        for (size_t i = 0; i < condition->n_tests; i++)
                expression_free(condition->tests[i].right);
        free(condition->tests);
        free(condition->name);
        *condition = (PolicyCondition) {};
}

static Err *parse_condition_head(Parser *p, PolicyCondition *c) {
        if (is_symbol(p, "!")) {
                if (p->policy->minor < 2)
                        return found(p, "\"!\" from version 1.2");
                c->negated = true;
                return next(p);
        }
        if (!is(p, POLICY_TOKEN_NAME, NULL))
                return NULL;
        for (size_t i = 0; i < p->rule->n_conditions; i++)
                if (p->rule->conditions[i].name && is(p, POLICY_TOKEN_NAME, p->rule->conditions[i].name))
                        return found(p, "an identifier that the rule has not used yet");
        TRY(string_copy_span(p->token.text, &c->name));
        TRY(next(p));
        return take_symbol(p, ":");
}

static Err *parse_condition(Parser *p) {
        _cleanup_(condition_done) PolicyCondition c = {};
        if (p->rule->n_conditions >= POLICY_CONDITIONS_MAX)
                return too_many(p, "conditions in a rule", POLICY_CONDITIONS_MAX);
        TRY(parse_condition_head(p, &c));
        if (!is_symbol(p, "["))
                return found(p, c.negated || c.name ? "[" : "[ IDENTIFIER: ! =>");
        do {
                TRY(next(p));
                if (c.n_tests >= POLICY_TESTS_MAX)
                        return too_many(p, "tests in a condition", POLICY_TESTS_MAX);
                PolicyTest *grown = reallocarray(c.tests, c.n_tests + 1, sizeof(PolicyTest));
                if (!grown)
                        return err_oom();
                c.tests = grown;
                c.tests[c.n_tests++] = (PolicyTest) {};
                TRY(parse_test(p, &c.tests[c.n_tests - 1]));
        } while (is_symbol(p, ","));
        if (!is_symbol(p, "]"))
                return found(p, ", ]");
        TRY(next(p));
        PolicyCondition *grown = reallocarray(p->rule->conditions, p->rule->n_conditions + 1, sizeof(PolicyCondition));
        if (!grown)
                return err_oom();
        p->rule->conditions = grown;
        p->rule->conditions[p->rule->n_conditions++] = c;
        c = (PolicyCondition) {};
        return NULL;
}

static Err *parse_type_or_value(Parser *p, PolicyRule *rule) {
        bool is_type = is(p, POLICY_TOKEN_NAME, "type");
        PolicyExpression **expression = is_type ? &rule->type : &rule->value;
        if (!is_type && !is(p, POLICY_TOKEN_NAME, "value"))
                return found(p, "type, value");
        if (*expression)
                return found(p, is_type ? "value" : "type");
        TRY(next(p));
        TRY(take_symbol(p, "="));
        PolicyToken right = p->token;
        TRY(parse_expression(p, expression));
        if (is_type && (*expression)->kind == POLICY_EXPRESSION_LITERAL && (*expression)->literal.type != POLICY_TYPE_STRING)
                return policy_token_error(&right, "found another value, allowed as the type of a claim: a string");
        return NULL;
}

static Err *parse_claim(Parser *p, PolicyRule *rule) {
        if (is(p, POLICY_TOKEN_NAME, "claim")) {
                TRY(next(p));
                TRY(take_symbol(p, "="));
                rule->has_claim = true;
                return find_condition(p, &rule->claim);
        }
        if (!is(p, POLICY_TOKEN_NAME, "type") && !is(p, POLICY_TOKEN_NAME, "value"))
                return found(p, "claim, type, value");
        TRY(parse_type_or_value(p, rule));
        TRY(take_symbol(p, ","));
        return parse_type_or_value(p, rule);
}

static Err *parse_action(Parser *p, PolicyRule *rule) {
        size_t verb = find_word(p, POLICY_TOKEN_NAME, verb_names, _POLICY_VERB_MAX);
        if (verb == _POLICY_VERB_MAX || !section_verbs[p->section].verbs[verb]) {
                _cleanup_free_ char *allowed = NULL;
                TRY(string_format(&allowed, "%s in %s", section_verbs[p->section].allowed, section_names[p->section]));
                return found(p, allowed);
        }
        rule->verb = (PolicyVerb) verb;
        TRY(next(p));
        TRY(take_symbol(p, "("));
        if (verb != POLICY_VERB_PERMIT && verb != POLICY_VERB_DENY)
                TRY(parse_claim(p, rule));
        return take_symbol(p, ")");
}

static void rule_done(PolicyRule *rule) {
        for (size_t i = 0; i < rule->n_conditions; i++)
                condition_done(&rule->conditions[i]);
        free(rule->conditions);
        expression_free(rule->type);
        expression_free(rule->value);
}

static Err *parse_rule(Parser *p) {
        if (p->n_rules++ >= POLICY_RULES_MAX)
                return too_many(p, "rules", POLICY_RULES_MAX);
        PolicyRule **rules = &p->policy->rules[p->section];
        PolicyRule *grown = reallocarray(*rules, p->policy->n_rules[p->section] + 1, sizeof(PolicyRule));
        if (!grown)
                return err_oom();
        *rules = grown;
        PolicyRule *rule = &grown[p->policy->n_rules[p->section]++];
        *rule = (PolicyRule) { .line = p->token.line };
        p->rule = rule;
        while (!is_symbol(p, "=>")) {
                TRY(parse_condition(p));
                if (is_symbol(p, "&&")) {
                        TRY(next(p));
                        if (is_symbol(p, "=>"))
                                return found(p, "[ IDENTIFIER: !");
                } else if (!is_symbol(p, "=>"))
                        return found(p, "&& =>");
        }
        TRY(next(p));
        TRY(parse_action(p, rule));
        return take_symbol(p, ";");
}

static Err *parse_section(Parser *p, PolicySection section) {
        p->section = section;
        TRY(take_name(p, section_names[section]));
        TRY(take_symbol(p, "{"));
        while (!is_symbol(p, "}")) {
                if (p->token.type == POLICY_TOKEN_END)
                        return found(p, "a rule or }");
                TRY(parse_rule(p));
        }
        TRY(next(p));
        return take_symbol(p, ";");
}

static Err *parse_version(Parser *p) {
        TRY(take_name(p, "version"));
        TRY(take_symbol(p, "="));
        if (!is(p, POLICY_TOKEN_INTEGER, "1"))
                return found(p, "1.0, 1.1, 1.2");
        TRY(next(p));
        if (!is_symbol(p, "."))
                return found(p, "1.0, 1.1, 1.2");
        TRY(next(p));
        static const char *const minors[] = { "0", "1", "2" };
        size_t minor = find_word(p, POLICY_TOKEN_INTEGER, minors, N_ELEMENTS(minors));
        if (minor == N_ELEMENTS(minors))
                return found(p, "0, 1, 2 behind \"1.\"");
        p->policy->minor = (unsigned) minor;
        TRY(next(p));
        return take_symbol(p, ";");
}

static Err *parse_all(Parser *p) {
        TRY(next(p));
        TRY(parse_version(p));
        if (is(p, POLICY_TOKEN_NAME, section_names[POLICY_SECTION_CONFIGURATION])) {
                if (p->policy->minor < 1)
                        return found(p, "configurationrules from version 1.1; authorizationrules");
                TRY(parse_section(p, POLICY_SECTION_CONFIGURATION));
        }
        TRY(parse_section(p, POLICY_SECTION_AUTHORIZATION));
        if (p->token.type == POLICY_TOKEN_END)
                return NULL;
        if (!is(p, POLICY_TOKEN_NAME, section_names[POLICY_SECTION_ISSUANCE]))
                return found(p, "issuancerules or the end");
        TRY(parse_section(p, POLICY_SECTION_ISSUANCE));
        return p->token.type == POLICY_TOKEN_END ? NULL : found(p, "the end");
}

Err *policy_parse(Span text, Policy **ret) {
        if (text.size > POLICY_SIZE_MAX)
                return err_new(ERR_LIMIT_EXCEEDED, "policy: %zu bytes, at most %u are allowed", text.size, POLICY_SIZE_MAX);
        size_t valid = utf8_valid_size(text);
        if (valid < text.size)
                return err_new(ERR_POLICY_INVALID, "policy: bytes that are not UTF-8 at offset %zu", valid);
        _cleanup_(policy_freep) Policy *policy = calloc(1, sizeof(Policy));
        if (!policy)
                return err_oom();
        Parser parser = { .lexer = { .text = text, .line = 1, .column = 1 }, .policy = policy };
        TRY(parse_all(&parser));
        *ret = steal_ptr(&policy);
        return NULL;
}

Policy *policy_free(Policy *policy) {
        if (!policy)
                return NULL;
        for (size_t section = 0; section < _POLICY_SECTION_MAX; section++) {
                for (size_t i = 0; i < policy->n_rules[section]; i++)
                        rule_done(&policy->rules[section][i]);
                free(policy->rules[section]);
        }
        free(policy);
        return NULL;
}

unsigned policy_minor_version(const Policy *policy) {
        return policy->minor;
}

size_t policy_count_rules(const Policy *policy, PolicySection section) {
        return policy->n_rules[section];
}

const char *policy_section_to_string(PolicySection section) {
        return section_names[section];
}

const char *policy_verb_to_string(PolicyVerb verb) {
        return verb_names[verb];
}
