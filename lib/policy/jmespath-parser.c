/* The parser of JMESPath: operator precedence (Pratt), as in the reference implementation, whose binding powers these are:
 *
 *     |  1     ||  2     &&  3     == != < <= > >=  5     []  9     *  20     [?  21     .  40     !  45     [  55
 *
 * What stands to the right of a projection belongs to it as long as it binds at least as strongly as PROJECTION_STOP. Stricter than the
 * reference implementation where that takes more than the grammar has: a comma before ")", "foo[*][a]", and "&expression" elsewhere than
 * as an argument. "!a.b" is "(!a).b", as there. */
#include <stdarg.h>
#include <stdio.h>

#include "base/utf8.h"
#include "base/writer.h"
#include "policy/jmespath-node.h"

#define PROJECTION_STOP 10

typedef struct Parser {
        Span expression;
        size_t next_offset; /* behind token */
        JmesToken token;
        unsigned depth;
} Parser;

static Err *parse_expression(Parser *p, unsigned power, JmesNode **ret);

JmesNode *jmes_node_free(JmesNode *node) {
        if (!node)
                return NULL;
        for (size_t i = 0; i < node->n_children; i++)
                jmes_node_free(node->children[i]);
        free(node->children);
        free(node->text);
        json_unref(node->literal);
        free(node);
        return NULL;
}

static Err *node_new(JmesNodeType type, size_t offset, JmesNode **ret) {
        JmesNode *node = calloc(1, sizeof(JmesNode));
        if (!node)
                return err_oom();
        node->type = type;
        node->offset = offset;
        node->depth = 1;
        *ret = node;
        return NULL;
}

/* Takes *child. */
static Err *node_add(JmesNode *node, JmesNode **child) {
        if ((*child)->depth >= JMESPATH_DEPTH_MAX)
                return err_new(ERR_LIMIT_EXCEEDED, "JMESPath: nested deeper than %d at offset %zu", JMESPATH_DEPTH_MAX, node->offset);
        JmesNode **grown = reallocarray(node->children, node->n_children + 1, sizeof(JmesNode *));
        if (!grown)
                return err_oom();
        node->children = grown;
        node->depth = MAX_OF(node->depth, (*child)->depth + 1);
        node->children[node->n_children++] = steal_ptr(child);
        return NULL;
}

/* Puts a node of type in the place of *left, with the old *left and, unless it is NULL, *right as its children. */
static Err *node_wrap(JmesNodeType type, size_t offset, JmesNode **left, JmesNode **right) {
        _cleanup_node_ JmesNode *node = NULL;
        TRY(node_new(type, offset, &node));
        TRY(node_add(node, left));
        if (right)
                TRY(node_add(node, right));
        *left = steal_ptr(&node);
        return NULL;
}

static Err *unexpected(const Parser *p, const char *wanted) {
        if (p->token.type == JMES_TOKEN_END)
                return jmes_error(ERR_JMESPATH_INVALID, "syntax", p->token.offset, "the expression ends where %s is needed", wanted);
        return jmes_error(ERR_JMESPATH_INVALID, "syntax", p->token.offset, "\"%.*s\" where %s is needed", (int) MIN_OF(p->token.text.size, 40u),
                          (const char *) p->token.text.data, wanted);
}

static Err *advance(Parser *p) {
        return jmes_lexer_next(p->expression, &p->next_offset, &p->token);
}

static Err *expect(Parser *p, JmesTokenType type, const char *wanted) {
        return p->token.type == type ? advance(p) : unexpected(p, wanted);
}

/* The token behind the current one. */
static Err *look_ahead(const Parser *p, JmesTokenType *ret) {
        JmesToken token;
        size_t offset = p->next_offset;
        TRY(jmes_lexer_next(p->expression, &offset, &token));
        *ret = token.type;
        return NULL;
}

static unsigned binding_power(JmesTokenType type) {
        switch (type) {
        case JMES_TOKEN_PIPE:
                return 1;
        case JMES_TOKEN_OR:
                return 2;
        case JMES_TOKEN_AND:
                return 3;
        case JMES_TOKEN_EQ:
        case JMES_TOKEN_NE:
        case JMES_TOKEN_LT:
        case JMES_TOKEN_LE:
        case JMES_TOKEN_GT:
        case JMES_TOKEN_GE:
                return 5;
        case JMES_TOKEN_FLATTEN:
                return 9;
        case JMES_TOKEN_STAR:
                return 20;
        case JMES_TOKEN_FILTER:
                return 21;
        case JMES_TOKEN_DOT:
                return 40;
        case JMES_TOKEN_NOT:
                return 45;
        case JMES_TOKEN_LBRACKET:
                return 55;
        case JMES_TOKEN_END:
        case JMES_TOKEN_IDENTIFIER:
        case JMES_TOKEN_QUOTED:
        case JMES_TOKEN_RAW:
        case JMES_TOKEN_LITERAL:
        case JMES_TOKEN_NUMBER:
        case JMES_TOKEN_AT:
        case JMES_TOKEN_COMMA:
        case JMES_TOKEN_COLON:
        case JMES_TOKEN_RBRACKET:
        case JMES_TOKEN_LPAREN:
        case JMES_TOKEN_RPAREN:
        case JMES_TOKEN_LBRACE:
        case JMES_TOKEN_RBRACE:
        case JMES_TOKEN_EXPREF:
                return 0;
        }
        return 0;
}

/* text without its quotes; of the escapes only that of the quote itself is undone. */
static Err *unpack_raw(Span text, Bytes *ret) {
        _cleanup_writer_ Writer writer = {};
        uint8_t quote = text.data[0];
        for (size_t i = 1; i + 1 < text.size; i++) {
                if (text.data[i] == '\\' && text.data[i + 1] != quote)
                        writer_u8(&writer, text.data[i++]);
                else if (text.data[i] == '\\')
                        i++;
                writer_u8(&writer, text.data[i]);
        }
        return writer_finish(&writer, ret);
}

/* text as JSON; null is NULL. */
static Err *unpack_json(const JmesToken *token, Span text, Json **ret) {
        _cleanup_(err_freep) Err *err = json_parse(text, "the text", ret);
        if (err_code(err) == ERR_JSON_MEMBER_TYPE) { /* null */
                *ret = NULL;
                return NULL;
        }
        if (err && err_code(err) != ERR_NO_MEMORY)
                return jmes_error(ERR_JMESPATH_INVALID, "syntax", token->offset, "%s", err_sentence(err));
        return steal_ptr(&err);
}

static Err *unpack_name(const JmesToken *token, char **ret) {
        if (token->type == JMES_TOKEN_IDENTIFIER)
                return string_copy_span(token->text, ret);
        _cleanup_json_ Json *json = NULL;
        TRY(unpack_json(token, token->text, &json));
        const char *name = json_object_get_string(json);
        if (strlen(name) != (size_t) json_object_get_string_len(json))
                return jmes_error(ERR_JMESPATH_INVALID, "syntax", token->offset, "a name with a NUL is not supported");
        return string_copy(name, ret);
}

static Err *parse_literal(Parser *p, JmesNode **ret) {
        _cleanup_node_ JmesNode *node = NULL;
        _cleanup_bytes_ Bytes text = {};
        TRY(node_new(JMES_NODE_LITERAL, p->token.offset, &node));
        TRY(unpack_raw(p->token.text, &text));
        if (p->token.type == JMES_TOKEN_LITERAL) {
                TRY(unpack_json(&p->token, bytes_span(&text), &node->literal));
        } else {
                if (utf8_valid_size(bytes_span(&text)) != text.size)
                        return jmes_error(ERR_JMESPATH_INVALID, "syntax", p->token.offset, "bytes that are not UTF-8");
                node->literal = json_object_new_string_len(text.size > 0 ? (const char *) text.data : "", (int) text.size);
                if (!node->literal)
                        return err_oom();
        }
        TRY(advance(p));
        *ret = steal_ptr(&node);
        return NULL;
}

static Err *parse_number(Parser *p, int64_t *ret) {
        bool negative = p->token.text.data[0] == '-';
        int64_t value = 0;
        for (size_t i = negative; i < p->token.text.size; i++) {
                int digit = p->token.text.data[i] - '0';
                if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, digit, &value))
                        return jmes_error(ERR_JMESPATH_INVALID, "syntax", p->token.offset, "the number is too large");
        }
        *ret = negative ? -value : value;
        return advance(p);
}

/* What may follow a projection; CURRENT if nothing does. */
static Err *parse_dot_right(Parser *p, unsigned power, JmesNode **ret);

static Err *parse_projected(Parser *p, unsigned power, JmesNode **ret) {
        if (binding_power(p->token.type) < PROJECTION_STOP)
                return node_new(JMES_NODE_CURRENT, p->token.offset, ret);
        if (p->token.type == JMES_TOKEN_DOT) {
                TRY(advance(p));
                return parse_dot_right(p, power, ret);
        }
        if (p->token.type == JMES_TOKEN_LBRACKET) {
                JmesTokenType ahead;
                TRY(look_ahead(p, &ahead));
                if (ahead == JMES_TOKEN_NUMBER || ahead == JMES_TOKEN_COLON || ahead == JMES_TOKEN_STAR)
                        return parse_expression(p, power, ret);
                TRY(advance(p));
                return unexpected(p, "a number, \":\" or \"*\"");
        }
        if (p->token.type == JMES_TOKEN_FILTER)
                return parse_expression(p, power, ret);
        return unexpected(p, "an operator");
}

/* *left becomes the projection of itself and of what follows, which binds with power. */
static Err *project(Parser *p, JmesNodeType type, unsigned power, JmesNode **left) {
        _cleanup_node_ JmesNode *right = NULL;
        size_t offset = p->token.offset;
        TRY(parse_projected(p, power, &right));
        return node_wrap(type, offset, left, &right);
}

/* Behind "[", a number or a colon: index or slice, with the "]". */
static Err *parse_index_or_slice(Parser *p, JmesNode **ret) {
        _cleanup_node_ JmesNode *node = NULL;
        TRY(node_new(JMES_NODE_INDEX, p->token.offset, &node));
        unsigned part = 0;
        while (p->token.type != JMES_TOKEN_RBRACKET) {
                if (p->token.type == JMES_TOKEN_COLON && part < 2) {
                        part++;
                        TRY(advance(p));
                } else if (p->token.type == JMES_TOKEN_NUMBER && !node->has_number[part]) {
                        node->has_number[part] = true;
                        TRY(parse_number(p, &node->numbers[part]));
                } else {
                        return unexpected(p, part < 2 ? "\":\" or \"]\"" : "\"]\"");
                }
        }
        if (part > 0)
                node->type = JMES_NODE_SLICE;
        if (node->has_number[2] && node->numbers[2] == 0)
                return jmes_error(ERR_JMESPATH_INVALID, "invalid-value", node->offset, "the step of a slice is 0");
        TRY(advance(p));
        *ret = steal_ptr(&node);
        return NULL;
}

/* At the token behind "[", which is a number or a colon. */
static Err *parse_subscript(Parser *p, JmesNode **left) {
        _cleanup_node_ JmesNode *index = NULL;
        TRY(parse_index_or_slice(p, &index));
        bool is_slice = index->type == JMES_NODE_SLICE;
        TRY(node_wrap(JMES_NODE_SEQUENCE, index->offset, left, &index));
        return is_slice ? project(p, JMES_NODE_PROJECTION, binding_power(JMES_TOKEN_STAR), left) : NULL;
}

/* Expressions with commas between them up to end, which is taken too. */
static Err *parse_items(Parser *p, JmesTokenType end, Err *(*parse_item)(Parser *, JmesNode **), JmesNode *node) {
        for (;;) {
                _cleanup_node_ JmesNode *item = NULL;
                TRY(parse_item(p, &item));
                TRY(node_add(node, &item));
                if (p->token.type == end)
                        return advance(p);
                TRY(expect(p, JMES_TOKEN_COMMA, "a comma or the closing bracket"));
        }
}

static Err *parse_list_item(Parser *p, JmesNode **ret) {
        return parse_expression(p, 0, ret);
}

static Err *parse_argument(Parser *p, JmesNode **ret) {
        if (p->token.type != JMES_TOKEN_EXPREF)
                return parse_expression(p, 0, ret);
        _cleanup_node_ JmesNode *expression = NULL;
        size_t offset = p->token.offset;
        TRY(advance(p));
        TRY(parse_expression(p, 0, &expression));
        TRY(node_wrap(JMES_NODE_EXPREF, offset, &expression, NULL));
        *ret = steal_ptr(&expression);
        return NULL;
}

static Err *parse_hash_member(Parser *p, JmesNode **ret) {
        _cleanup_node_ JmesNode *member = NULL, *value = NULL;
        if (p->token.type != JMES_TOKEN_IDENTIFIER && p->token.type != JMES_TOKEN_QUOTED)
                return unexpected(p, "a name");
        TRY(node_new(JMES_NODE_MEMBER, p->token.offset, &member));
        TRY(unpack_name(&p->token, &member->text));
        TRY(advance(p));
        TRY(expect(p, JMES_TOKEN_COLON, "\":\""));
        TRY(parse_expression(p, 0, &value));
        TRY(node_add(member, &value));
        *ret = steal_ptr(&member);
        return NULL;
}

/* At "[" or "{", which is taken. */
static Err *parse_multi_select(Parser *p, JmesNode **ret) {
        _cleanup_node_ JmesNode *node = NULL;
        bool is_hash = p->token.type == JMES_TOKEN_LBRACE;
        TRY(node_new(is_hash ? JMES_NODE_HASH : JMES_NODE_LIST, p->token.offset, &node));
        TRY(advance(p));
        TRY(is_hash ? parse_items(p, JMES_TOKEN_RBRACE, parse_hash_member, node) : parse_items(p, JMES_TOKEN_RBRACKET, parse_list_item, node));
        *ret = steal_ptr(&node);
        return NULL;
}

static Err *parse_dot_right(Parser *p, unsigned power, JmesNode **ret) {
        if (p->token.type == JMES_TOKEN_IDENTIFIER || p->token.type == JMES_TOKEN_QUOTED || p->token.type == JMES_TOKEN_STAR)
                return parse_expression(p, power, ret);
        if (p->token.type == JMES_TOKEN_LBRACKET || p->token.type == JMES_TOKEN_LBRACE)
                return parse_multi_select(p, ret);
        return unexpected(p, "a name, \"*\", \"[\" or \"{\"");
}

/* At the "(" behind the name. */
static Err *parse_function(Parser *p, const JmesToken *name, JmesNode **ret) {
        _cleanup_node_ JmesNode *node = NULL;
        TRY(node_new(JMES_NODE_FUNCTION, name->offset, &node));
        TRY(advance(p));
        if (p->token.type == JMES_TOKEN_RPAREN)
                TRY(advance(p));
        else
                TRY(parse_items(p, JMES_TOKEN_RPAREN, parse_argument, node));
        node->function = jmes_function_find(name->text);
        if (!node->function)
                return jmes_error(ERR_JMESPATH_INVALID, "unknown-function", name->offset, "there is no function %.*s()",
                                  (int) MIN_OF(name->text.size, 40u), (const char *) name->text.data);
        TRY(jmes_function_check_arity(node->function, node->n_children, name->offset));
        *ret = steal_ptr(&node);
        return NULL;
}

static Err *parse_name(Parser *p, JmesNode **ret) {
        JmesToken name = p->token;
        TRY(advance(p));
        if (p->token.type == JMES_TOKEN_LPAREN && name.type == JMES_TOKEN_IDENTIFIER)
                return parse_function(p, &name, ret);
        _cleanup_node_ JmesNode *node = NULL;
        TRY(node_new(JMES_NODE_FIELD, name.offset, &node));
        TRY(unpack_name(&name, &node->text));
        *ret = steal_ptr(&node);
        return NULL;
}

/* "[" at the beginning of an expression: index, slice, "[*]" or a multi-select list. */
static Err *parse_bracket(Parser *p, JmesNode **ret) {
        JmesTokenType ahead;
        size_t offset = p->token.offset, behind_star = p->next_offset;
        TRY(look_ahead(p, &ahead));
        JmesToken star, bracket = {};
        if (ahead == JMES_TOKEN_STAR) {
                TRY(jmes_lexer_next(p->expression, &behind_star, &star));
                TRY(jmes_lexer_next(p->expression, &behind_star, &bracket));
        }
        bool is_wildcard = bracket.type == JMES_TOKEN_RBRACKET;
        if (!is_wildcard && ahead != JMES_TOKEN_NUMBER && ahead != JMES_TOKEN_COLON)
                return parse_multi_select(p, ret);

        _cleanup_node_ JmesNode *left = NULL;
        TRY(node_new(JMES_NODE_CURRENT, offset, &left));
        TRY(advance(p));
        if (is_wildcard) {
                TRY(advance(p));
                TRY(advance(p));
                TRY(project(p, JMES_NODE_PROJECTION, binding_power(JMES_TOKEN_STAR), &left));
        } else {
                TRY(parse_subscript(p, &left));
        }
        *ret = steal_ptr(&left);
        return NULL;
}

/* "[]", "[?" and "*" are to the right of something, or of the current value where they begin an expression. */
static Err *parse_flatten(Parser *p, JmesNode **left) {
        TRY(node_wrap(JMES_NODE_FLATTEN, p->token.offset, left, NULL));
        TRY(advance(p));
        return project(p, JMES_NODE_PROJECTION, binding_power(JMES_TOKEN_FLATTEN), left);
}

static Err *parse_filter(Parser *p, JmesNode **left) {
        _cleanup_node_ JmesNode *condition = NULL;
        TRY(advance(p));
        TRY(parse_expression(p, 0, &condition));
        TRY(expect(p, JMES_TOKEN_RBRACKET, "\"]\""));
        TRY(project(p, JMES_NODE_FILTER_PROJECTION, binding_power(JMES_TOKEN_FILTER), left));
        return node_add(*left, &condition);
}

static Err *parse_values(Parser *p, unsigned power, JmesNode **left) {
        TRY(advance(p));
        return project(p, JMES_NODE_VALUE_PROJECTION, power, left);
}

static Err *parse_group_or_not(Parser *p, JmesNode **ret) {
        _cleanup_node_ JmesNode *inner = NULL;
        JmesToken token = p->token;
        TRY(advance(p));
        TRY(parse_expression(p, token.type == JMES_TOKEN_NOT ? binding_power(JMES_TOKEN_NOT) : 0, &inner));
        if (token.type == JMES_TOKEN_NOT)
                TRY(node_wrap(JMES_NODE_NOT, token.offset, &inner, NULL));
        else
                TRY(expect(p, JMES_TOKEN_RPAREN, "\")\""));
        *ret = steal_ptr(&inner);
        return NULL;
}

static Err *parse_on_current(Parser *p, JmesNode **ret) {
        _cleanup_node_ JmesNode *left = NULL;
        TRY(node_new(JMES_NODE_CURRENT, p->token.offset, &left));
        if (p->token.type == JMES_TOKEN_FLATTEN)
                TRY(parse_flatten(p, &left));
        else if (p->token.type == JMES_TOKEN_FILTER)
                TRY(parse_filter(p, &left));
        else if (p->token.type == JMES_TOKEN_STAR)
                TRY(parse_values(p, binding_power(JMES_TOKEN_STAR), &left));
        else
                TRY(advance(p)); /* "@" */
        *ret = steal_ptr(&left);
        return NULL;
}

static Err *parse_prefix(Parser *p, JmesNode **ret) {
        JmesTokenType type = p->token.type;
        if (type == JMES_TOKEN_IDENTIFIER || type == JMES_TOKEN_QUOTED)
                return parse_name(p, ret);
        if (type == JMES_TOKEN_RAW || type == JMES_TOKEN_LITERAL)
                return parse_literal(p, ret);
        if (type == JMES_TOKEN_LPAREN || type == JMES_TOKEN_NOT)
                return parse_group_or_not(p, ret);
        if (type == JMES_TOKEN_LBRACKET)
                return parse_bracket(p, ret);
        if (type == JMES_TOKEN_LBRACE)
                return parse_multi_select(p, ret);
        if (type == JMES_TOKEN_AT || type == JMES_TOKEN_STAR || type == JMES_TOKEN_FLATTEN || type == JMES_TOKEN_FILTER)
                return parse_on_current(p, ret);
        return unexpected(p, "an expression");
}

static Err *parse_dot(Parser *p, JmesNode **left) {
        size_t offset = p->token.offset;
        TRY(advance(p));
        if (p->token.type == JMES_TOKEN_STAR)
                return parse_values(p, binding_power(JMES_TOKEN_DOT), left);
        _cleanup_node_ JmesNode *right = NULL;
        TRY(parse_dot_right(p, binding_power(JMES_TOKEN_DOT), &right));
        return node_wrap(JMES_NODE_SEQUENCE, offset, left, &right);
}

static Err *parse_infix_bracket(Parser *p, JmesNode **left) {
        TRY(advance(p));
        if (p->token.type == JMES_TOKEN_NUMBER || p->token.type == JMES_TOKEN_COLON)
                return parse_subscript(p, left);
        TRY(expect(p, JMES_TOKEN_STAR, "a number, \":\" or \"*\""));
        TRY(expect(p, JMES_TOKEN_RBRACKET, "\"]\""));
        return project(p, JMES_NODE_PROJECTION, binding_power(JMES_TOKEN_STAR), left);
}

static Err *parse_binary(Parser *p, JmesNode **left) {
        _cleanup_node_ JmesNode *right = NULL;
        JmesToken token = p->token;
        TRY(advance(p));
        TRY(parse_expression(p, binding_power(token.type), &right));
        JmesNodeType type = token.type == JMES_TOKEN_PIPE ? JMES_NODE_SEQUENCE : token.type == JMES_TOKEN_OR ? JMES_NODE_OR :
                            token.type == JMES_TOKEN_AND ? JMES_NODE_AND : JMES_NODE_COMPARISON;
        TRY(node_wrap(type, token.offset, left, &right));
        (*left)->comparator = token.type;
        return NULL;
}

static Err *parse_infix(Parser *p, JmesNode **left) {
        switch (p->token.type) {
        case JMES_TOKEN_FLATTEN:
                return parse_flatten(p, left);
        case JMES_TOKEN_FILTER:
                return parse_filter(p, left);
        case JMES_TOKEN_DOT:
                return parse_dot(p, left);
        case JMES_TOKEN_LBRACKET:
                return parse_infix_bracket(p, left);
        case JMES_TOKEN_PIPE:
        case JMES_TOKEN_OR:
        case JMES_TOKEN_AND:
        case JMES_TOKEN_EQ:
        case JMES_TOKEN_NE:
        case JMES_TOKEN_LT:
        case JMES_TOKEN_LE:
        case JMES_TOKEN_GT:
        case JMES_TOKEN_GE:
                return parse_binary(p, left);
        case JMES_TOKEN_END:
        case JMES_TOKEN_IDENTIFIER:
        case JMES_TOKEN_QUOTED:
        case JMES_TOKEN_RAW:
        case JMES_TOKEN_LITERAL:
        case JMES_TOKEN_NUMBER:
        case JMES_TOKEN_STAR:
        case JMES_TOKEN_AT:
        case JMES_TOKEN_COMMA:
        case JMES_TOKEN_COLON:
        case JMES_TOKEN_RBRACKET:
        case JMES_TOKEN_LPAREN:
        case JMES_TOKEN_RPAREN:
        case JMES_TOKEN_LBRACE:
        case JMES_TOKEN_RBRACE:
        case JMES_TOKEN_EXPREF:
        case JMES_TOKEN_NOT:
                break;
        }
        return unexpected(p, "an operator");
}

static Err *parse_expression(Parser *p, unsigned power, JmesNode **ret) {
        _cleanup_node_ JmesNode *left = NULL;
        if (++p->depth > JMESPATH_DEPTH_MAX)
                return err_new(ERR_LIMIT_EXCEEDED, "JMESPath: nested deeper than %d at offset %zu", JMESPATH_DEPTH_MAX, p->token.offset);
        TRY(parse_prefix(p, &left));
        while (power < binding_power(p->token.type))
                TRY(parse_infix(p, &left));
        p->depth--;
        *ret = steal_ptr(&left);
        return NULL;
}

Err *jmespath_parse(Span expression, JmesPath **ret) {
        if (expression.size > JMESPATH_EXPRESSION_MAX)
                return err_new(ERR_LIMIT_EXCEEDED, "JMESPath: an expression of %zu bytes, at most %u are allowed", expression.size,
                               JMESPATH_EXPRESSION_MAX);
        Parser parser = { .expression = expression };
        _cleanup_node_ JmesNode *root = NULL;
        TRY(advance(&parser));
        TRY(parse_expression(&parser, 0, &root));
        if (parser.token.type != JMES_TOKEN_END)
                return unexpected(&parser, "an operator or the end");
        JmesPath *path = calloc(1, sizeof(JmesPath));
        if (!path)
                return err_oom();
        path->root = steal_ptr(&root);
        *ret = path;
        return NULL;
}

JmesPath *jmespath_free(JmesPath *path) {
        if (!path)
                return NULL;
        jmes_node_free(path->root);
        free(path);
        return NULL;
}
