/* The words of a policy: names, strings, integers, symbols; white space and comments between them are left out. Lines and columns are counted here. */
#include <stdarg.h>
#include <stdio.h>

#include "policy/policy-node.h"

static int peek(const PolicyLexer *lexer, size_t ahead) {
        size_t offset = lexer->offset + ahead;
        return offset < lexer->text.size ? lexer->text.data[offset] : -1;
}

static bool is_digit(int c) {
        return c >= '0' && c <= '9';
}

static bool is_name_begin(int c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* A character of UTF-8 is one column: the bytes that continue it are not counted. */
static void advance(PolicyLexer *lexer) {
        int c = peek(lexer, 0);
        lexer->offset++;
        if (c == '\n') {
                lexer->line++;
                lexer->column = 1;
        } else if ((c & 0xc0) != 0x80)
                lexer->column++;
}

static void skip_blanks(PolicyLexer *lexer) {
        for (;;) {
                int c = peek(lexer, 0);
                if (c == '/' && peek(lexer, 1) == '/')
                        while (peek(lexer, 0) >= 0 && peek(lexer, 0) != '\n')
                                advance(lexer);
                else if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
                        advance(lexer);
                else
                        return;
        }
}

Err *policy_token_error(const PolicyToken *token, const char *format, ...) {
        char message[512];
        va_list arguments;
        va_start(arguments, format);
        (void) vsnprintf(message, sizeof(message), format, arguments);
        va_end(arguments);
        return err_new(ERR_POLICY_INVALID, "policy: line %u, column %u: %s", token->line, token->column, message);
}

static PolicyToken token_here(const PolicyLexer *lexer) {
        return (PolicyToken) { .line = lexer->line, .column = lexer->column };
}

static Err *lex_string(PolicyLexer *lexer, const PolicyToken *begin) {
        size_t first = lexer->offset;
        for (advance(lexer);; advance(lexer)) {
                PolicyToken here = token_here(lexer);
                int c = peek(lexer, 0);
                if (c < 0 || c == '\n')
                        return policy_token_error(begin, "found a string that does not end in its line, allowed: a string in quotation marks");
                if (c < 0x20 || c == 0x7f)
                        return policy_token_error(&here, "found a control character, allowed in a string: text");
                if (c == '"')
                        break;
                if (lexer->offset - first > POLICY_STRING_MAX)
                        return err_new(ERR_LIMIT_EXCEEDED, "policy: line %u: a string is longer than %u bytes", begin->line, POLICY_STRING_MAX);
                if (c != '\\')
                        continue;
                advance(lexer);
                if (peek(lexer, 0) != '"' && peek(lexer, 0) != '\\')
                        return policy_token_error(&here, "found an escape that is not known, allowed: \\\" and \\\\");
        }
        advance(lexer);
        return NULL;
}

static const char symbols[][3] = { "=>", "==", "!=", "<=", ">=", "&&", "=", "<", ">", "!", ":", ";", ",", ".", "[", "]", "(", ")", "{", "}" };

static Err *lex_symbol(PolicyLexer *lexer) {
        PolicyToken here = token_here(lexer);
        int c = peek(lexer, 0);
        for (size_t i = 0; i < N_ELEMENTS(symbols); i++) {
                bool two = symbols[i][1] != '\0';
                if (c != symbols[i][0] || (two && peek(lexer, 1) != symbols[i][1]))
                        continue;
                advance(lexer);
                if (two)
                        advance(lexer);
                return NULL;
        }
        if (c > 0x20 && c < 0x7f)
                return policy_token_error(&here, "found \"%c\", allowed: names, strings, integers and the symbols of the language", c);
        return policy_token_error(&here, "found a character that is not ASCII text, allowed outside of strings: names, integers and symbols");
}

Err *policy_lexer_next(PolicyLexer *lexer, PolicyToken *ret) {
        skip_blanks(lexer);
        PolicyToken token = token_here(lexer);
        size_t begin = lexer->offset;
        int c = peek(lexer, 0);
        if (c < 0)
                token.type = POLICY_TOKEN_END;
        else if (is_name_begin(c)) {
                token.type = POLICY_TOKEN_NAME;
                while (is_name_begin(peek(lexer, 0)) || is_digit(peek(lexer, 0)))
                        advance(lexer);
        } else if (is_digit(c) || (c == '-' && is_digit(peek(lexer, 1)))) {
                token.type = POLICY_TOKEN_INTEGER;
                advance(lexer);
                while (is_digit(peek(lexer, 0)))
                        advance(lexer);
        } else if (c == '"') {
                token.type = POLICY_TOKEN_STRING;
                TRY(lex_string(lexer, &token));
        } else {
                token.type = POLICY_TOKEN_SYMBOL;
                TRY(lex_symbol(lexer));
        }
        token.text = span_make(lexer->text.data + begin, lexer->offset - begin);
        *ret = token;
        return NULL;
}
