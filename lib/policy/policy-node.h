/* The parsed policy and its words, shared by lexer, parser and evaluator and by nobody else. */
#pragma once

#include "policy/policy.h"

typedef enum PolicyTokenType {
        POLICY_TOKEN_END,
        POLICY_TOKEN_NAME,
        POLICY_TOKEN_STRING,
        POLICY_TOKEN_INTEGER,
        POLICY_TOKEN_SYMBOL, /* text is it */
} PolicyTokenType;

typedef struct PolicyToken {
        PolicyTokenType type;
        Span text;           /* as it stands in the policy, strings with their quotation marks */
        unsigned line;       /* from 1 */
        unsigned column;     /* from 1, in characters */
} PolicyToken;

typedef struct PolicyLexer {
        Span text;           /* UTF-8, which the lexer's caller has checked */
        size_t offset;
        unsigned line;       /* from 1 */
        unsigned column;     /* from 1 */
} PolicyLexer;

Err *policy_lexer_next(PolicyLexer *lexer, PolicyToken *ret) _must_check_;
/* POLICY_INVALID with line and column of token. */
Err *policy_token_error(const PolicyToken *token, const char *format, ...) _printf_(2, 3) _must_check_ _returns_nonnull_;

typedef enum PolicyProperty {
        POLICY_PROPERTY_TYPE,
        POLICY_PROPERTY_VALUE,
        POLICY_PROPERTY_VALUE_TYPE,
        POLICY_PROPERTY_ISSUER,
        _POLICY_PROPERTY_MAX,
} PolicyProperty;

typedef enum PolicyOperator {
        POLICY_OPERATOR_EQ,
        POLICY_OPERATOR_NE,
        POLICY_OPERATOR_LE,
        POLICY_OPERATOR_LT,
        POLICY_OPERATOR_GE,
        POLICY_OPERATOR_GT,
        _POLICY_OPERATOR_MAX,
} PolicyOperator;

typedef enum PolicyFunction {
        POLICY_FUNCTION_JMESPATH,
        POLICY_FUNCTION_JSON_TO_CLAIM_VALUE,
        POLICY_FUNCTION_IS_SUBSET_OF,
        POLICY_FUNCTION_APPEND_STRING,
        POLICY_FUNCTION_NEGATE_BOOL,
        POLICY_FUNCTION_CONTAINS_ONLY_VALUE,
        _POLICY_FUNCTION_MAX,
} PolicyFunction;

typedef struct PolicyFunctionInfo {
        const char *name;
        size_t n_arguments;
        size_t n_sets;       /* that many arguments, from the first one, take sets */
} PolicyFunctionInfo;

extern const PolicyFunctionInfo policy_functions[_POLICY_FUNCTION_MAX];

typedef enum PolicyExpressionKind { POLICY_EXPRESSION_LITERAL, POLICY_EXPRESSION_REFERENCE, POLICY_EXPRESSION_CALL } PolicyExpressionKind;

typedef struct PolicyExpression PolicyExpression;
struct PolicyExpression {
        PolicyExpressionKind kind;
        PolicyValue literal;
        size_t condition;            /* of a reference: number of the condition in its rule */
        PolicyProperty property;
        PolicyFunction function;
        PolicyExpression *arguments[2];
};

typedef struct PolicyTest {
        PolicyProperty property;
        PolicyOperator op;
        PolicyExpression *right;
} PolicyTest;

typedef struct PolicyCondition {
        bool negated;
        char *name;                  /* NULL: nothing refers to it */
        PolicyTest *tests;
        size_t n_tests;
} PolicyCondition;

typedef struct PolicyRule {
        unsigned line;               /* where it begins */
        PolicyCondition *conditions;
        size_t n_conditions;
        PolicyVerb verb;
        PolicyExpression *type, *value; /* both, or none and then claim */
        bool has_claim;
        size_t claim;                /* number of the condition of claim= */
} PolicyRule;

struct Policy {
        unsigned minor;
        PolicyRule *rules[_POLICY_SECTION_MAX];
        size_t n_rules[_POLICY_SECTION_MAX];
};

void policy_value_done(PolicyValue *value);
