/* See values.h. Kinds that need some grammar of their own; checks of plain strings are in checks.c. */
#include "config/values.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#include "base/writer.h"

#define CREDENTIALS_DIRECTORY_DEFAULT "/run/credentials/attestd.service"   /* where systemd puts those of LoadCredential= */

static bool is_blank(char c) {
        return c == ' ' || c == '\t';
}

static const char *skip_blanks(const char *text) {
        while (is_blank(*text))
                text++;
        return text;
}

Err *value_parse_boolean(const char *text, bool *ret) {
        static const struct {
                const char *word;
                bool value;
        } words[] = {
                { "yes", true }, { "y", true }, { "true", true }, { "t", true }, { "on", true }, { "1", true },
                { "no", false }, { "n", false }, { "false", false }, { "f", false }, { "off", false }, { "0", false },
        };
        for (size_t i = 0; i < N_ELEMENTS(words); i++)
                if (strcasecmp(text, words[i].word) == 0) {
                        *ret = words[i].value;
                        return NULL;
                }
        return err_new(ERR_INVALID_ARGUMENT, "yes or no is needed");
}

/* Decimal digits of at most UINT64_MAX; moves *text behind them. */
static bool take_number(const char **text, uint64_t *ret) {
        uint64_t value = 0;
        const char *p = *text;
        if (!isdigit((unsigned char) *p))
                return false;
        for (; isdigit((unsigned char) *p); p++)
                if (__builtin_mul_overflow(value, 10u, &value) || __builtin_add_overflow(value, (uint64_t) (*p - '0'), &value))
                        return false;
        *text = p;
        *ret = value;
        return true;
}

/* The unit in front of *text and moves behind it; 0 if there is none of that name. */
static uint64_t take_unit(const char **text) {
        static const struct {
                const char *name;
                uint64_t usec;
        } units[] = {
                { "us", 1 }, { "usec", 1 }, { "ms", USEC_PER_MSEC }, { "msec", USEC_PER_MSEC },
                { "", USEC_PER_SEC }, { "s", USEC_PER_SEC }, { "sec", USEC_PER_SEC }, { "second", USEC_PER_SEC }, { "seconds", USEC_PER_SEC },
                { "m", 60 * USEC_PER_SEC }, { "min", 60 * USEC_PER_SEC }, { "minute", 60 * USEC_PER_SEC }, { "minutes", 60 * USEC_PER_SEC },
                { "h", 3600 * USEC_PER_SEC }, { "hr", 3600 * USEC_PER_SEC }, { "hour", 3600 * USEC_PER_SEC }, { "hours", 3600 * USEC_PER_SEC },
                { "d", 86400 * USEC_PER_SEC }, { "day", 86400 * USEC_PER_SEC }, { "days", 86400 * USEC_PER_SEC },
        };
        size_t size = 0;
        while (isalpha((unsigned char) (*text)[size]))
                size++;
        for (size_t i = 0; i < N_ELEMENTS(units); i++)
                if (span_equal_string(span_make(*text, size), units[i].name)) {
                        *text += size;
                        return units[i].usec;
                }
        return 0;
}

Err *value_parse_duration(const char *text, uint64_t *ret_usec) {
        uint64_t total = 0;
        const char *p = skip_blanks(text);
        do {
                uint64_t number, unit;
                if (!take_number(&p, &number) || (unit = (p = skip_blanks(p), take_unit(&p))) == 0 ||
                    __builtin_mul_overflow(number, unit, &number) || __builtin_add_overflow(total, number, &total))
                        return err_new(ERR_INVALID_ARGUMENT, "a time such as 10, 10s, 2min 30s or 500ms is needed");
                p = skip_blanks(p);
        } while (*p);
        *ret_usec = total;
        return NULL;
}

Err *value_parse_percent_range(const char *text, unsigned *ret_min, unsigned *ret_max) {
        uint64_t min = 0, max = 0;
        const char *p = text;
        bool ok = take_number(&p, &min);
        max = min;
        if (ok && *p == '-') {
                p++;
                ok = take_number(&p, &max);
        }
        if (!ok || !string_equal(p, "%") || min < 1 || max > 99 || min > max)
                return err_new(ERR_INVALID_ARGUMENT, "a range such as 50-75%% is needed, 1%% to 99%%, the smaller number first");
        *ret_min = (unsigned) min;
        *ret_max = (unsigned) max;
        return NULL;
}

Err *value_parse_pcrs(const char *text, uint32_t *ret_mask) {
        uint32_t mask = 0;
        const char *p = text;
        for (;;) {
                uint64_t first, last;
                p = skip_blanks(p);
                bool ok = take_number(&p, &first);
                last = first;
                if (ok && *p == '-') {
                        p++;
                        ok = take_number(&p, &last);
                }
                p = skip_blanks(p);
                if (!ok || first > last || last >= CONFIG_PCR_COUNT || (*p && *p != ','))
                        return err_new(ERR_INVALID_ARGUMENT, "numbers 0 to %u and ranges such as 0-7, between commas, are allowed",
                                       CONFIG_PCR_COUNT - 1);
                for (; first <= last; first++)
                        mask |= UINT32_C(1) << first;
                if (!*p)
                        break;
                p++;
        }
        *ret_mask = mask;
        return NULL;
}

char **words_free(char **words) {
        for (char **word = words; word && *word; word++)
                free(*word);
        free(words);
        return NULL;
}

/* One word with its quotes taken away; moves *text behind it. */
static Err *take_word(const char **text, char **ret) {
        _cleanup_writer_ Writer writer = {};
        char quote = 0;
        const char *p = *text;
        for (; *p && (quote || !is_blank(*p)); p++) {
                if (quote && *p == quote) {
                        quote = 0;
                        continue;
                }
                if (!quote && (*p == '"' || *p == '\'')) {
                        quote = *p;
                        continue;
                }
                if (*p == '\\' && quote != '\'' && !*++p)
                        return err_new(ERR_INVALID_ARGUMENT, "a character is needed after the backslash");
                writer_u8(&writer, (uint8_t) *p);
        }
        if (quote)
                return err_new(ERR_INVALID_ARGUMENT, "a quotation mark is not closed");
        *text = p;
        return writer_finish_string(&writer, ret);
}

Err *value_parse_words(const char *text, char ***ret) {
        size_t room = strlen(text) / 2 + 2, n = 0;
        _cleanup_(words_freep) char **words = calloc(room, sizeof(char *));
        if (!words)
                return err_oom();
        for (const char *p = skip_blanks(text); *p; p = skip_blanks(p))
                TRY(take_word(&p, &words[n++]));
        *ret = steal_ptr(&words);
        return NULL;
}

ConfigPair *pairs_free(ConfigPair *pairs, size_t n) {
        for (size_t i = 0; i < n; i++) {
                free(pairs[i].name);
                free(pairs[i].value);
        }
        free(pairs);
        return NULL;
}

static bool has_name(const ConfigPair *pairs, size_t n, const char *name) {
        for (size_t i = 0; i < n; i++)
                if (string_equal(pairs[i].name, name))
                        return true;
        return false;
}

static Err *fill_pairs(char *const *words, ConfigPair *pairs, size_t *n) {
        for (; *words; words++) {
                const char *equals = strchr(*words, '=');
                if (!equals || equals == *words)
                        return err_new(ERR_INVALID_ARGUMENT, "name=value pairs with blanks between them are needed; values with blanks go into quotation marks");
                ConfigPair *pair = &pairs[*n];
                _cleanup_free_ char *name = NULL;
                TRY(string_copy_span(span_make(*words, (size_t) (equals - *words)), &name));
                if (has_name(pairs, *n, name))
                        return err_new(ERR_INVALID_ARGUMENT, "each name may stand only once");
                pair->name = steal_ptr(&name);
                (*n)++;
                TRY(string_copy(equals + 1, &pair->value));
        }
        return NULL;
}

Err *value_parse_pairs(const char *text, ConfigPair **ret, size_t *ret_n) {
        _cleanup_(words_freep) char **words = NULL;
        TRY(value_parse_words(text, &words));
        size_t n_words = 0, n = 0;
        while (words[n_words])
                n_words++;
        if (n_words > CONFIG_PAIRS_MAX)
                return err_new(ERR_INVALID_ARGUMENT, "at most %u pairs are allowed", CONFIG_PAIRS_MAX);
        ConfigPair *pairs = calloc(n_words + 1, sizeof(ConfigPair));
        if (!pairs)
                return err_oom();
        Err *err = fill_pairs(words, pairs, &n);
        if (err) {
                pairs_free(pairs, n);
                return err;
        }
        *ret = pairs;
        *ret_n = n;
        return NULL;
}

static bool is_user_or_group(Span word) {
        if (word.size > 0 && word.data[0] == '@')
                word = span_make(word.data + 1, word.size - 1);
        if (word.size == 0 || (!isalnum(word.data[0]) && word.data[0] != '_'))
                return false;
        for (size_t i = 1; i < word.size; i++)
                if (!isalnum(word.data[i]) && !strchr("_.-$", word.data[i]))
                        return false;
        return true;
}

Err *value_parse_access(const char *text, char ***ret) {
        static const char separators[] = ", \t";
        size_t n = 0;
        _cleanup_(words_freep) char **names = calloc(strlen(text) / 2 + 2, sizeof(char *));
        if (!names)
                return err_oom();
        for (const char *p = text + strspn(text, separators); *p; p += strspn(p, separators)) {
                Span word = span_make(p, strcspn(p, separators));
                if (!is_user_or_group(word))
                        return err_new(ERR_INVALID_ARGUMENT, "names of users, and of groups with @ in front, are needed, with blanks between them");
                TRY(string_copy_span(word, &names[n++]));
                p += word.size;
        }
        *ret = steal_ptr(&names);
        return NULL;
}

/* host or [IPv6 address], both without a look into them beyond their characters. */
static size_t host_size(const char *text) {
        size_t size = 0;
        if (*text == '[') {
                size = 1 + strspn(text + 1, "0123456789abcdefABCDEF:.");
                return size > 1 && text[size] == ']' ? size + 1 : 0;
        }
        while (isalnum((unsigned char) text[size]) || (size > 0 && (text[size] == '.' || text[size] == '-')))
                size++;
        return size;
}

/* ":port" or nothing; moves *text behind it. port 0: none given. */
static bool take_port(const char **text, uint64_t *ret) {
        *ret = 0;
        if (**text != ':')
                return true;
        (*text)++;
        return take_number(text, ret) && *ret >= 1 && *ret <= 65535;
}

Err *value_parse_https_url(const char *text, char **ret) {
        static const char scheme[] = "https://";
        const char *allowed = "https://host[:port][/path] is needed, without user, query or fragment";
        if (strncasecmp(text, scheme, strlen(scheme)) != 0)
                return err_new(ERR_INVALID_ARGUMENT, "%s", allowed);
        const char *host = text + strlen(scheme), *p = host;
        uint64_t port;
        p += host_size(host);
        size_t size = (size_t) (p - host);
        if (size == 0 || !take_port(&p, &port) || (*p && *p != '/'))
                return err_new(ERR_INVALID_ARGUMENT, "%s", allowed);
        for (const char *c = p; *c; c++)
                if (*c <= ' ' || *c == 0x7f || strchr("?#\\\"<>", *c))
                        return err_new(ERR_INVALID_ARGUMENT, "%s", allowed);
        size_t path_size = strlen(p);
        while (path_size > 0 && p[path_size - 1] == '/')
                path_size--;
        _cleanup_writer_ Writer writer = {};
        writer_string(&writer, scheme);
        for (size_t i = 0; i < size; i++)
                writer_u8(&writer, (uint8_t) tolower((unsigned char) host[i]));
        if (port != 0 && port != 443)
                writer_format(&writer, ":%u", (unsigned) port);
        writer_span(&writer, span_make(p, path_size));
        return writer_finish_string(&writer, ret);
}

static Err *decode_nonce(const char *text, Bytes *ret) {
        size_t size = strlen(text);
        if (size % 2 == 0 && strspn(text, "0123456789abcdefABCDEF") == size)
                return hex_decode(span_from_string(text), "the nonce", ret);
        return base64url_decode(span_from_string(text), "the nonce", ret);
}

Err *value_parse_nonce(const char *text, Bytes *ret) {
        _cleanup_bytes_ Bytes nonce = {};
        _cleanup_(err_freep) Err *err = decode_nonce(text, &nonce);
        if (err || nonce.size == 0 || nonce.size > CONFIG_NONCE_SIZE_MAX)
                return err_new(ERR_INVALID_ARGUMENT, "1 to %u bytes in hex or base64url are needed", CONFIG_NONCE_SIZE_MAX);
        *ret = bytes_steal(&nonce);
        return NULL;
}

static bool is_algorithm(Span name) {
        static const char *const names[] = { "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512" };
        for (size_t i = 0; i < N_ELEMENTS(names); i++)
                if (span_equal_string(name, names[i]))
                        return true;
        return false;
}

Err *value_parse_algorithms(const char *text, char **ret) {
        _cleanup_writer_ Writer writer = {};
        size_t n = 0;
        for (const char *p = text + strspn(text, ", \t"); *p; p += strspn(p, ", \t")) {
                Span name = span_make(p, strcspn(p, ", \t"));
                if (!is_algorithm(name)) {
                        n = 0;
                        break;
                }
                writer_string(&writer, n++ > 0 ? "," : "");
                writer_span(&writer, name);
                p += name.size;
        }
        if (n == 0)
                return err_new(ERR_INVALID_ARGUMENT, "RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 and ES512 are allowed, with commas between them");
        return writer_finish_string(&writer, ret);
}

Err *value_parse_credential_file(const char *text, char **ret) {
        const char *directory = getenv("CREDENTIALS_DIRECTORY");
        if (strchr(text, '/')) {
                TRY(value_check_path(text));
                return string_copy(text, ret);
        }
        if (string_equal(text, ".") || string_equal(text, "..") || strpbrk(text, " \t"))
                return err_new(ERR_INVALID_ARGUMENT, "an absolute path, or the name of a systemd credential, is needed");
        return string_format(ret, "%s/%s", directory && *directory ? directory : CREDENTIALS_DIRECTORY_DEFAULT, text);
}
