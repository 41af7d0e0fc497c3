/* The tokens of JMESPath (jmespath.org, Specification, "Grammar"). Texts keep their quotes and escapes here; the parser unpacks them. */
#include <stdarg.h>
#include <stdio.h>

#include "base/utf8.h"
#include "policy/jmespath-node.h"

Err *jmes_error(ErrCode code, const char *kind, size_t offset, const char *format, ...) {
        char message[256];
        va_list arguments;
        va_start(arguments, format);
        (void) vsnprintf(message, sizeof(message), format, arguments);
        va_end(arguments);
        return err_new(code, "JMESPath: %s at offset %zu: %s", kind, offset, message);
}

static int peek(Span expression, size_t offset) {
        return offset < expression.size ? expression.data[offset] : -1;
}

static bool is_digit(int c) {
        return c >= '0' && c <= '9';
}

static bool is_name_begin(int c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* Behind the closing quote. A backslash takes the next character along, whatever it is. */
static Err *lex_quoted(Span expression, size_t *offset) {
        size_t begin = *offset;
        int quote = expression.data[begin];
        for (size_t i = begin + 1; i < expression.size; i++) {
                if (expression.data[i] == '\\') {
                        i++;
                        continue;
                }
                if (expression.data[i] != quote)
                        continue;
                *offset = i + 1;
                return NULL;
        }
        return jmes_error(ERR_JMESPATH_INVALID, "syntax", begin, "a %c without its end", quote);
}

static const struct {
        char text[3];
        JmesTokenType type;
} symbols[] = {
        /* the longer ones first */
        { "[]", JMES_TOKEN_FLATTEN }, { "[?", JMES_TOKEN_FILTER }, { "||", JMES_TOKEN_OR },      { "&&", JMES_TOKEN_AND },
        { "==", JMES_TOKEN_EQ },      { "!=", JMES_TOKEN_NE },     { "<=", JMES_TOKEN_LE },      { ">=", JMES_TOKEN_GE },
        { "<", JMES_TOKEN_LT },       { ">", JMES_TOKEN_GT },      { "!", JMES_TOKEN_NOT },      { "|", JMES_TOKEN_PIPE },
        { "&", JMES_TOKEN_EXPREF },   { "[", JMES_TOKEN_LBRACKET }, { "]", JMES_TOKEN_RBRACKET }, { "(", JMES_TOKEN_LPAREN },
        { ")", JMES_TOKEN_RPAREN },   { "{", JMES_TOKEN_LBRACE },  { "}", JMES_TOKEN_RBRACE },   { ".", JMES_TOKEN_DOT },
        { "*", JMES_TOKEN_STAR },     { "@", JMES_TOKEN_AT },      { ",", JMES_TOKEN_COMMA },    { ":", JMES_TOKEN_COLON },
};

static Err *lex_symbol(Span expression, size_t *offset, JmesTokenType *ret) {
        Span rest = span_make(expression.data + *offset, expression.size - *offset);
        for (size_t i = 0; i < N_ELEMENTS(symbols); i++) {
                size_t n = strlen(symbols[i].text);
                if (rest.size < n || memcmp(rest.data, symbols[i].text, n) != 0)
                        continue;
                *offset += n;
                *ret = symbols[i].type;
                return NULL;
        }
        size_t n = utf8_sequence_size(rest);
        if (n == 0)
                return jmes_error(ERR_JMESPATH_INVALID, "syntax", *offset, "bytes that are not UTF-8");
        if (n == 1 && (rest.data[0] < 0x20 || rest.data[0] == 0x7f))
                return jmes_error(ERR_JMESPATH_INVALID, "syntax", *offset, "a control character");
        return jmes_error(ERR_JMESPATH_INVALID, "syntax", *offset, "\"%.*s\" is not understood", (int) n, (const char *) rest.data);
}

static Err *lex_word_or_symbol(Span expression, size_t *offset, JmesTokenType *ret) {
        int c = peek(expression, *offset);
        if (is_name_begin(c)) {
                while (is_name_begin(peek(expression, *offset)) || is_digit(peek(expression, *offset)))
                        ++*offset;
                *ret = JMES_TOKEN_IDENTIFIER;
                return NULL;
        }
        if (is_digit(c) || (c == '-' && is_digit(peek(expression, *offset + 1)))) {
                ++*offset;
                while (is_digit(peek(expression, *offset)))
                        ++*offset;
                *ret = JMES_TOKEN_NUMBER;
                return NULL;
        }
        if (c == '"' || c == '\'' || c == '`') {
                *ret = c == '"' ? JMES_TOKEN_QUOTED : c == '\'' ? JMES_TOKEN_RAW : JMES_TOKEN_LITERAL;
                return lex_quoted(expression, offset);
        }
        return lex_symbol(expression, offset, ret);
}

Err *jmes_lexer_next(Span expression, size_t *offset, JmesToken *ret) {
        for (int c = peek(expression, *offset); c == ' ' || c == '\t' || c == '\n' || c == '\r'; c = peek(expression, *offset))
                ++*offset;
        size_t begin = *offset;
        JmesTokenType type = JMES_TOKEN_END;
        if (begin < expression.size)
                TRY(lex_word_or_symbol(expression, offset, &type));
        *ret = (JmesToken) { .type = type, .offset = begin, .text = span_make(expression.data + begin, *offset - begin) };
        return NULL;
}
