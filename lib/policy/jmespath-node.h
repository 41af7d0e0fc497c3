/* What lexer, parser, evaluator and functions of JMESPath share, and nobody else: tokens, the tree, the state of one search. */
#pragma once

#include "policy/jmespath.h"

typedef enum JmesTokenType {
        JMES_TOKEN_END,
        JMES_TOKEN_IDENTIFIER,
        JMES_TOKEN_QUOTED,  /* "…" */
        JMES_TOKEN_RAW,     /* '…' */
        JMES_TOKEN_LITERAL, /* `…` */
        JMES_TOKEN_NUMBER,
        JMES_TOKEN_DOT,
        JMES_TOKEN_STAR,
        JMES_TOKEN_AT,
        JMES_TOKEN_COMMA,
        JMES_TOKEN_COLON,
        JMES_TOKEN_LBRACKET,
        JMES_TOKEN_FLATTEN, /* [] */
        JMES_TOKEN_FILTER,  /* [? */
        JMES_TOKEN_RBRACKET,
        JMES_TOKEN_LPAREN,
        JMES_TOKEN_RPAREN,
        JMES_TOKEN_LBRACE,
        JMES_TOKEN_RBRACE,
        JMES_TOKEN_EXPREF, /* & */
        JMES_TOKEN_NOT,
        JMES_TOKEN_PIPE,
        JMES_TOKEN_OR,
        JMES_TOKEN_AND,
        JMES_TOKEN_EQ,
        JMES_TOKEN_NE,
        JMES_TOKEN_LT,
        JMES_TOKEN_LE,
        JMES_TOKEN_GT,
        JMES_TOKEN_GE,
} JmesTokenType;

typedef struct JmesToken {
        JmesTokenType type;
        size_t offset;
        Span text; /* as it stands in the expression, with its quotes */
} JmesToken;

/* The token at or behind *offset; *offset is moved behind it. Error: JMESPATH_INVALID. */
Err *jmes_lexer_next(Span expression, size_t *offset, JmesToken *ret) _must_check_;

typedef enum JmesNodeType {
        JMES_NODE_CURRENT,
        JMES_NODE_FIELD,             /* text */
        JMES_NODE_LITERAL,           /* literal */
        JMES_NODE_INDEX,             /* numbers[0] */
        JMES_NODE_SLICE,             /* numbers: start, stop, step */
        JMES_NODE_SEQUENCE,          /* the result of child 0 is what child 1 is applied to: "." and "|" and "[…]" */
        JMES_NODE_FLATTEN,           /* child 0 */
        JMES_NODE_PROJECTION,        /* child 1 for each element of child 0 */
        JMES_NODE_VALUE_PROJECTION,  /* child 1 for each member's value of child 0 */
        JMES_NODE_FILTER_PROJECTION, /* child 1 for each element of child 0 for which child 2 is true */
        JMES_NODE_OR,
        JMES_NODE_AND,
        JMES_NODE_NOT,
        JMES_NODE_COMPARISON, /* comparator */
        JMES_NODE_LIST,
        JMES_NODE_HASH,     /* its children are JMES_NODE_MEMBER */
        JMES_NODE_MEMBER,   /* text, child 0 */
        JMES_NODE_FUNCTION, /* function; its children are the arguments */
        JMES_NODE_EXPREF,   /* child 0; only as an argument */
} JmesNodeType;

typedef struct JmesFunction JmesFunction;

typedef struct JmesNode {
        JmesNodeType type;
        JmesTokenType comparator;
        size_t offset;
        unsigned depth; /* 1 for a leaf */
        struct JmesNode **children;
        size_t n_children;
        char *text;
        Json *literal;
        int64_t numbers[3];
        bool has_number[3];
        const JmesFunction *function;
} JmesNode;

JmesNode *jmes_node_free(JmesNode *node);
DEFINE_CLEANUP(JmesNode, jmes_node_free)
#define _cleanup_node_ _cleanup_(jmes_node_freep)

struct JmesPath {
        JmesNode *root;
};

/* "JMESPath: KIND at offset N: …" */
Err *jmes_error(ErrCode code, const char *kind, size_t offset, const char *format, ...) _printf_(4, 5) _must_check_ _returns_nonnull_;

/* One search. */
typedef struct JmesSearch {
        size_t n_steps;
} JmesSearch;

/* Counts n steps. Error: LIMIT_EXCEEDED. */
Err *jmes_search_charge(JmesSearch *search, size_t n) _must_check_;
/* Adds the weight of value to *weight and counts the steps that this takes. Error: LIMIT_EXCEEDED. */
Err *jmes_search_weigh(JmesSearch *search, Json *value, size_t *weight) _must_check_;
/* Appends a new reference of value (NULL: null) to array, whose weight is *weight. Error: LIMIT_EXCEEDED. */
Err *jmes_search_append(JmesSearch *search, Json *array, size_t *weight, Json *value) _must_check_;
/* The same for a member of object, which is replaced if it is there. */
Err *jmes_search_add(JmesSearch *search, Json *object, size_t *weight, const char *name, Json *value) _must_check_;
/* Applies node to value (borrowed; NULL: null). */
Err *jmes_search_node(JmesSearch *search, const JmesNode *node, Json *value, Json **ret) _must_check_;
/* Equal as JSON: 1 and 1.0 are, the order of members does not matter. */
Err *jmes_search_equal(JmesSearch *search, Json *a, Json *b, bool *ret) _must_check_;

/* <0, 0, >0; both are numbers. */
int jmes_number_compare(Json *a, Json *b);

/* NULL if there is none of that name. */
const JmesFunction *jmes_function_find(Span name);
/* Checks the number of arguments. Error: JMESPATH_INVALID. */
Err *jmes_function_check_arity(const JmesFunction *function, size_t n_arguments, size_t offset) _must_check_;
/* Evaluates the arguments of node against value, checks their types, and calls. */
Err *jmes_function_call(JmesSearch *search, const JmesNode *node, Json *value, Json **ret) _must_check_;
