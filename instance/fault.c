/* See fault.h. */
#include "instance/fault.h"

#include <errno.h>
#include <inttypes.h>

typedef enum FaultValue { VALUE_NONE, VALUE_FORGERY, VALUE_NUMBER } FaultValue;

static const struct {
        const char *name;
        FaultValue value;
        int64_t min, max;
        const char *help;
} kinds[_FAULT_NAME_MAX] = {
        [FAULT_TOKEN] = { "token", VALUE_FORGERY, 0, 0, "=FORGERY: forge the token, see below" },
        [FAULT_STATUS] = { "status", VALUE_NUMBER, 400, 599, "=400..599: answer with this status and an error body" },
        [FAULT_RETRY_AFTER] = { "retry-after", VALUE_NUMBER, 0, 86400 * 365, "=SEC: add Retry-After to the answers of status" },
        [FAULT_RETRY_AFTER_DATE] = { "retry-after-date", VALUE_NUMBER, 0, 86400 * 365, "=SEC: the same in the form of an HTTP date" },
        [FAULT_LATENCY] = { "latency", VALUE_NUMBER, 0, 3600 * 1000, "=MSEC: answer this much later" },
        [FAULT_MALFORMED_JSON] = { "malformed-json", VALUE_NONE, 0, 0, ": a comma too many at the end of the answer's object" },
        [FAULT_DUPLICATE_MEMBER] = { "duplicate-member", VALUE_NONE, 0, 0, ": the answer's first member a second time" },
        [FAULT_MISSING_MEMBER] = { "missing-member", VALUE_NONE, 0, 0, ": no challenge, report or keys in the answer" },
        [FAULT_WRONG_TYPE] = { "wrong-type", VALUE_NONE, 0, 0, ": challenge, report or keys is a number" },
        [FAULT_OVERSIZED] = { "oversized", VALUE_NONE, 0, 0, ": an answer of more than 1 MiB" },
        [FAULT_TRUNCATED_BODY] = { "truncated-body", VALUE_NONE, 0, 0, ": the connection ends in the middle of the answer" },
        [FAULT_DEEP_JSON] = { "deep-json", VALUE_NONE, 0, 0, ": 100000 nested arrays" },
        [FAULT_BAD_BASE64] = { "bad-base64", VALUE_NONE, 0, 0, ": a '*' in the middle of the encoded bytes" },
        [FAULT_WRONG_CHALLENGE_SIZE] = { "wrong-challenge-size", VALUE_NONE, 0, 0, ": a challenge of 15 bytes" },
        [FAULT_NO_POLICY] = { "no-policy", VALUE_NONE, 0, 0, ": attest/Tpm as on a provider without a TPM policy" },
        [FAULT_CLOCK_OFFSET] = { "clock-offset", VALUE_NUMBER, -86400 * 3650, 86400 * 3650, "=SEC: shift the Date header and the token's times" },
        [FAULT_RESET] = { "reset", VALUE_NONE, 0, 0, ": reset the connection instead of answering" },
        [FAULT_ROTATE_KEYS] = { "rotate-keys", VALUE_NONE, 0, 0, ": before the answer, change the key that signs TPM tokens; the old one is gone" },
        [FAULT_CHUNKED] = { "chunked", VALUE_NONE, 0, 0, ": send the answer in chunks, without Content-Length" },
        [FAULT_CONTINUE_LATENCY] = { "continue-latency", VALUE_NUMBER, 0, 3600 * 1000, "=MSEC: say 100 Continue this much later to who expects it" },
        [FAULT_EXPECTATION_FAILED] = { "expectation-failed", VALUE_NONE, 0, 0, ": answer Expect: 100-continue with status 417" },
};

static const char *const forgeries[_FORGERY_MAX] = {
        [FORGERY_NONE] = "none",
        [FORGERY_ALG_NONE] = "alg-none",
        [FORGERY_HS256] = "hs256",
        [FORGERY_WRONG_KEY] = "wrong-key",
        [FORGERY_UNKNOWN_KID] = "unknown-kid",
        [FORGERY_EXPIRED] = "expired",
        [FORGERY_NOT_YET_VALID] = "not-yet-valid",
        [FORGERY_ISSUED_IN_FUTURE] = "issued-in-future",
        [FORGERY_WRONG_ISSUER] = "wrong-issuer",
        [FORGERY_WRONG_NONCE] = "wrong-nonce",
        [FORGERY_WRONG_CNF] = "wrong-cnf",
        [FORGERY_WRONG_POLICY_HASH] = "wrong-policy-hash",
        [FORGERY_TAMPERED] = "tampered",
        [FORGERY_DUPLICATE_ALG] = "duplicate-alg",
        [FORGERY_FOREIGN_JKU] = "foreign-jku",
        [FORGERY_FOREIGN_X5U] = "foreign-x5u",
        [FORGERY_FOREIGN_X5C] = "foreign-x5c",
        [FORGERY_EMBEDDED_JWK] = "embedded-jwk",
        [FORGERY_CRIT] = "crit",
        [FORGERY_EXTRA_PART] = "extra-part",
        [FORGERY_TRUNCATED] = "truncated",
        [FORGERY_WEAK_KEY] = "weak-key",
};

static const struct {
        const char *name;
        FaultWhere where;
} places[] = {
        { "certs", FAULT_AT_CERTS },
        { "openid", FAULT_AT_OPENID },
        { "init", FAULT_AT_INIT },
        { "request", FAULT_AT_REQUEST },
        { "other", FAULT_AT_OTHER },
        { "authority", FAULT_AT_AUTHORITY },
        { "imds", FAULT_AT_IMDS },
};

static Err *parse_number(const char *text, const char *what, int64_t min, int64_t max, int64_t *ret) {
        char *end;
        errno = 0;
        long long value = strtoll(text, &end, 10);
        if (errno != 0 || end == text || *end || value < min || value > max)
                return err_new(ERR_INVALID_ARGUMENT, "%s: \"%s\" is no number from %" PRId64 " to %" PRId64, what, text, min, max);
        *ret = value;
        return NULL;
}

static Err *parse_where(char **text, unsigned *ret) {
        char *colon = strchr(*text, ':');
        if (!colon) {
                *ret = FAULT_ANYWHERE;
                return NULL;
        }
        *colon = '\0';
        for (size_t i = 0; i < N_ELEMENTS(places); i++)
                if (string_equal(*text, places[i].name)) {
                        *ret = places[i].where;
                        *text = colon + 1;
                        return NULL;
                }
        return err_new(ERR_INVALID_ARGUMENT, "fault: \"%s\" is none of certs, openid, init, request, other, authority, imds", *text);
}

static Err *parse_forgery(const char *text, int64_t *ret) {
        for (int64_t i = FORGERY_NONE + 1; i < _FORGERY_MAX; i++)
                if (string_equal(text, forgeries[i])) {
                        *ret = i;
                        return NULL;
                }
        return err_new(ERR_INVALID_ARGUMENT, "fault token: no forgery is called \"%s\"; --help lists them", text);
}

static Err *parse_value(Fault *fault, const char *text) {
        const char *name = kinds[fault->name].name;
        switch (kinds[fault->name].value) {
        case VALUE_NONE:
                return text ? err_new(ERR_INVALID_ARGUMENT, "fault %s takes no value", name) : NULL;
        case VALUE_FORGERY:
                return text ? parse_forgery(text, &fault->value) : err_new(ERR_INVALID_ARGUMENT, "fault %s needs a value", name);
        case VALUE_NUMBER:
                if (!text)
                        return err_new(ERR_INVALID_ARGUMENT, "fault %s needs a value", name);
                return parse_number(text, name, kinds[fault->name].min, kinds[fault->name].max, &fault->value);
        }
        return err_new(ERR_INTERNAL, "fault %s has no kind of value", name);
}

/* Cuts text at the last mark and returns what stood behind it, or NULL. */
static char *cut_behind(char *text, char mark) {
        char *found = strrchr(text, mark);
        if (!found)
                return NULL;
        *found = '\0';
        return found + 1;
}

/* "3" answers or "30s". */
static Err *parse_extent(char *text, Fault *fault) {
        int64_t number;
        size_t size = strlen(text);
        bool is_time = size > 0 && text[size - 1] == 's';
        if (is_time)
                text[size - 1] = '\0';
        TRY(parse_number(text, is_time ? "fault seconds" : "fault count", 1, is_time ? 86400 : INT32_MAX, &number));
        if (is_time)
                fault->for_usec = (uint64_t) number * USEC_PER_SEC;
        else
                fault->left = (uint64_t) number;
        return NULL;
}

Err *fault_parse(Span text, Fault *ret) {
        _cleanup_free_ char *copy = NULL;
        TRY(string_copy_span(text, &copy));
        Fault fault = { .left = UINT64_MAX };
        char *rest = copy;
        TRY(parse_where(&rest, &fault.where));
        char *count = cut_behind(rest, '@');
        if (count)
                TRY(parse_extent(count, &fault));
        const char *value = cut_behind(rest, '=');
        unsigned name = 0;
        while (name < _FAULT_NAME_MAX && !string_equal(rest, kinds[name].name))
                name++;
        if (name == _FAULT_NAME_MAX)
                return err_new(ERR_INVALID_ARGUMENT, "no fault is called \"%s\"; --help lists them", rest);
        fault.name = (FaultName) name;
        TRY(parse_value(&fault, value));
        *ret = fault;
        return NULL;
}

Err *faults_add(Faults *faults, Span text) {
        if (faults->n == FAULTS_MAX)
                return err_new(ERR_LIMIT_EXCEEDED, "more than %d faults at once", FAULTS_MAX);
        TRY(fault_parse(text, &faults->list[faults->n]));
        faults->n++;
        return NULL;
}

static bool is_separator(uint8_t c) {
        return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == ',';
}

Err *faults_replace(Faults *faults, Span text) {
        Faults fresh = { .now_usec = faults->now_usec };
        for (size_t i = 0; i < text.size;) {
                size_t start = i;
                while (i < text.size && !is_separator(text.data[i]))
                        i++;
                if (i > start)
                        TRY(faults_add(&fresh, span_make(text.data + start, i - start)));
                else
                        i++;
        }
        *faults = fresh;
        return NULL;
}

/* Whether a fault with an end is still in force; the first to ask sets the end. */
static bool fault_lasts(Fault *fault, uint64_t now_usec) {
        if (fault->for_usec == 0)
                return true;
        if (fault->end_usec == 0)
                fault->end_usec = now_usec + fault->for_usec;
        return now_usec < fault->end_usec;
}

bool fault_take(Faults *faults, FaultName name, FaultWhere where, int64_t *ret_value) {
        for (size_t i = 0; i < faults->n; i++) {
                Fault *fault = &faults->list[i];
                if (fault->name != name || !(fault->where & where) || fault->left == 0 || !fault_lasts(fault, faults->now_usec))
                        continue;
                if (fault->left != UINT64_MAX)
                        fault->left--;
                if (ret_value)
                        *ret_value = fault->value;
                return true;
        }
        return false;
}

Forgery fault_take_forgery(Faults *faults, FaultWhere where) {
        int64_t value;
        return fault_take(faults, FAULT_TOKEN, where, &value) ? (Forgery) value : FORGERY_NONE;
}

static const char *where_name(unsigned where) {
        for (size_t i = 0; i < N_ELEMENTS(places); i++)
                if (where == places[i].where)
                        return places[i].name;
        return NULL;
}

Err *fault_to_string(const Fault *fault, char **ret) {
        char value[32] = "", count[32] = "";
        switch (kinds[fault->name].value) {
        case VALUE_NONE:
                break;
        case VALUE_FORGERY:
                snprintf(value, sizeof(value), "=%s", forgeries[fault->value]);
                break;
        case VALUE_NUMBER:
                snprintf(value, sizeof(value), "=%" PRId64, fault->value);
                break;
        }
        if (fault->for_usec > 0)
                snprintf(count, sizeof(count), "@%" PRIu64 "s", fault->for_usec / USEC_PER_SEC);
        else if (fault->left != UINT64_MAX)
                snprintf(count, sizeof(count), "@%" PRIu64, fault->left);
        const char *where = where_name(fault->where);
        return string_format(ret, "%s%s%s%s%s", where ? where : "", where ? ":" : "", kinds[fault->name].name, value, count);
}

void fault_print_help(FILE *file) {
        fputs("Faults: [WHERE:]NAME[=VALUE][@N|@Ns]; WHERE is certs, openid, init, request, authority, imds or other (default: all of them),\n"
              "N the number of answers to spoil, or of seconds from the first on (default: all). PUT /fault with a list of them replaces the list at run time, an empty one ends\n"
              "all of them; GET /fault shows what is left.\n", file);
        for (unsigned i = 0; i < _FAULT_NAME_MAX; i++)
                fprintf(file, "  %s%s\n", kinds[i].name, kinds[i].help);
        fputs("Forgeries (token=FORGERY):", file);
        size_t column = 26;
        for (unsigned i = FORGERY_NONE + 1; i < _FORGERY_MAX; i++) {
                if (column + strlen(forgeries[i]) + 1 > 112) {
                        fputs("\n ", file);
                        column = 1;
                }
                fprintf(file, " %s", forgeries[i]);
                column += strlen(forgeries[i]) + 1;
        }
        fputs("\n", file);
}
