/* See access-token.h. */
#include "client/access-token.h"

#include <stdio.h>
#include <strings.h>
#include <time.h>

#include "base/json.h"
#include "base/writer.h"

#define DESCRIPTION_MAX 400
#define CODE_MAX 64
#define EARLY_SEC 300
#define MANAGED_HALF_LIFE_SEC 7200   /* managed identities renew at half the life if it is as long as this */

static void erase_string(char *text) {
        if (text)
                explicit_bzero(text, strlen(text));
        free(text);
}

void access_token_done(AccessToken *token) {
        erase_string(token->authorization);
        *token = (AccessToken) {};
}

/* ---- refusals ---- */

/* Borrowed from json; NULL where the body has none. */
typedef struct Refusal {
        const char *code, *description;
        Json *json;
} Refusal;

static void refusal_done(Refusal *refusal) {
        json_unref(refusal->json);
}

static Err *refusal_parse(const HttpResponse *response, Refusal *ret) {
        Err *err = json_parse(bytes_span(&response->body), "the error body", &ret->json);
        if (!err)
                err = json_get_string_optional(ret->json, "error", &ret->code);
        if (!err)
                err = json_get_string_optional(ret->json, "error_description", &ret->description);
        if (err_code(err) == ERR_NO_MEMORY)
                return err;
        err_free(err);
        return NULL;
}

/* Entra appends three ids for its support to the description; its first sentences are what helps here, and the trace id is kept with them. */
static Err *refusal_words(const Refusal *refusal, char **ret) {
        _cleanup_writer_ Writer out = {};
        _cleanup_free_ char *code = NULL, *description = NULL;
        if (refusal->code) {
                TRY(http_text_for_people(refusal->code, CODE_MAX, &code));
                writer_format(&out, " \"%s\"", code);
        }
        if (refusal->description) {
                TRY(http_text_for_people(refusal->description, DESCRIPTION_MAX, &description));
                writer_format(&out, ": %s", description);
        }
        return writer_finish_string(&out, ret);
}

/* 404 and 410 are how IMDS says that it is being updated. */
static ErrCode meaning_of(long status, AccessTokenSource source) {
        if (source == ACCESS_TOKEN_OF_MANAGED_IDENTITY && (status == 404 || status == 410))
                return ERR_SERVICE_UNAVAILABLE;
        if (status == 429)
                return ERR_SERVICE_THROTTLED;
        if (status == 408 || status >= 500)
                return ERR_SERVICE_UNAVAILABLE;
        return ERR_CREDENTIAL_FAILED;
}

static Err *check_status(const HttpResponse *response, AccessTokenSource source, const char *who, uint64_t now_sec) {
        _cleanup_(refusal_done) Refusal refusal = {};
        if (response->status >= 200 && response->status < 300)
                return NULL;
        if (response->status < 400)
                return err_new_native(ERR_SERVICE_ANSWER_INVALID, ERR_DOMAIN_HTTP, response->status, "%s answered HTTP %ld%s", who, response->status,
                                      response->status >= 300 ? ", a redirect, and those are not followed" : "");
        _cleanup_free_ char *words = NULL;
        TRY(refusal_parse(response, &refusal));
        TRY(refusal_words(&refusal, &words));
        ErrCode code = meaning_of(response->status, source);
        Err *err = err_new_native(code, ERR_DOMAIN_HTTP, response->status, "%s answered HTTP %ld%s", who, response->status, words);
        err_set_detail(err, ERR_DETAIL_SERVICE_CODE, refusal.code);
        err_set_detail(err, ERR_DETAIL_SERVICE_MESSAGE, refusal.description);
        err_set_detail(err, ERR_DETAIL_REQUEST_ID, http_response_request_id(response));
        err_set_retry_after(err, http_response_retry_after_usec(response, now_sec));
        return err;
}

/* ---- lives ---- */

/* Decimal digits, and a fraction that is cut off. */
static bool parse_seconds(const char *text, uint64_t *ret) {
        uint64_t value = 0;
        size_t n = strspn(text, "0123456789"), fraction = text[n] == '.' ? strspn(text + n + 1, "0123456789") : 0;
        if (n == 0 || n > 15 || (text[n] && (fraction == 0 || text[n + 1 + fraction])))
                return false;
        for (size_t i = 0; i < n; i++)
                value = value * 10 + (uint64_t) (text[i] - '0');
        *ret = value;
        return true;
}

/* RFC 3339 §5.6: 2024-01-31T12:00:00Z, with a fraction or an offset. */
static bool parse_rfc3339(const char *text, uint64_t *ret) {
        int year, month, day, hour, minute, second, n = 0, offset_hour = 0, offset_minute = 0;
        if (sscanf(text, "%4d-%2d-%2d%*1[Tt ]%2d:%2d:%2d%n", &year, &month, &day, &hour, &minute, &second, &n) != 6 || n == 0)
                return false;
        text += n;
        if (*text == '.')
                text += 1 + strspn(text + 1, "0123456789");
        int sign = *text == '-' ? -1 : 1;
        n = 0;
        if (*text == '+' || *text == '-') {
                if (sscanf(text + 1, "%2d:%2d%n", &offset_hour, &offset_minute, &n) != 2 || text[1 + n])
                        return false;
        } else if ((*text != 'Z' && *text != 'z') || text[1]) {
                return false;
        }
        if (year < 1970 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60 ||
            offset_hour < 0 || offset_hour > 23 || offset_minute < 0 || offset_minute > 59)
                return false;
        struct tm tm = { .tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day, .tm_hour = hour, .tm_min = minute, .tm_sec = second };
        int64_t seconds = timegm(&tm) - sign * (offset_hour * 3600 + offset_minute * 60);
        *ret = seconds > 0 ? (uint64_t) seconds : 0;
        return seconds > 0;
}

/* A member that is a number, or a number (or, where dates may be, a date) in a string. */
static Err *get_time(const Json *json, const char *member, bool is_date, bool *ret_found, uint64_t *ret) {
        const char *text;
        *ret_found = json_get(json, member) != NULL;
        if (!*ret_found)
                return NULL;
        if (!json_is_string(json_get(json, member)))
                return json_get_numeric_date(json, member, ret);
        TRY(json_get_string(json, member, &text));
        if (parse_seconds(text, ret) || (is_date && parse_rfc3339(text, ret)))
                return NULL;
        *ret = is_date ? http_date_parse(text) : 0;
        return *ret > 0 ? NULL : err_new(ERR_JSON_MEMBER_TYPE, "%s: \"%.40s\" is no time", member, text);
}

static Err *read_life(const Json *json, const HttpResponse *response, uint64_t now_sec, uint64_t *ret_sec) {
        bool found;
        uint64_t value, reference = response->date_sec > 0 ? response->date_sec : now_sec;
        TRY(get_time(json, "expires_in", /* is_date= */ false, &found, &value));
        if (!found) {
                TRY(get_time(json, "expires_on", /* is_date= */ true, &found, &value));
                if (!found)
                        return err_new(ERR_JSON_MEMBER_MISSING, "neither expires_in nor expires_on says how long the token is good");
                value = value > reference ? value - reference : 0;
        }
        if (value == 0)
                return err_new(ERR_JSON_MEMBER_TYPE, "the token is out of date already");
        *ret_sec = MIN_OF(value, (uint64_t) ACCESS_TOKEN_LIFE_SEC_MAX);
        return NULL;
}

static Err *read_refresh(const Json *json, AccessTokenSource source, uint64_t life_sec, uint64_t *ret_sec) {
        bool found;
        uint64_t value;
        TRY(get_time(json, "refresh_in", /* is_date= */ false, &found, &value));
        if (found)
                *ret_sec = MIN_OF(value, life_sec);
        else if (source == ACCESS_TOKEN_OF_MANAGED_IDENTITY && life_sec >= MANAGED_HALF_LIFE_SEC)
                *ret_sec = life_sec / 2;
        else
                *ret_sec = life_sec - MIN_OF((uint64_t) EARLY_SEC, life_sec / 2);
        return NULL;
}

/* ---- tokens ---- */

static bool is_space(uint8_t c) {
        return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

Err *access_token_authorization(Span text, const char *what, char **ret) {
        while (text.size > 0 && is_space(text.data[text.size - 1]))
                text.size--;
        while (text.size > 0 && is_space(text.data[0]))
                text = span_make(text.data + 1, text.size - 1);
        if (text.size == 0)
                return err_new(ERR_CREDENTIAL_FAILED, "%s is empty", what);
        if (text.size > ACCESS_TOKEN_SIZE_MAX)
                return err_new(ERR_CREDENTIAL_FAILED, "%s has more than %u bytes", what, ACCESS_TOKEN_SIZE_MAX);
        for (size_t i = 0; i < text.size; i++) {
                uint8_t c = text.data[i];
                bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
                if (!is_letter && (c == 0 || !strchr("-._~+/=", c)))
                        return err_new(ERR_CREDENTIAL_FAILED, "%s is no token: it has another character than letters, digits and -._~+/= at offset %zu", what, i);
        }
        return string_join_secret("Bearer ", text, ret);
}

/* json-c copies and frees without overwriting. So the token is taken out of the text before json-c sees it: copy gets zeros in its place. A token has no
 * character that needs an escape but '/', which some escape. */
static Err *take_token(Bytes *copy, char **ret) {
        static const char *const path[] = { "access_token", NULL };
        _cleanup_bytes_erase_ Bytes token = {};
        Span source;
        TRY(json_find_source(bytes_span(copy), path, &source));
        if (source.size < 2 || source.data[0] != '"')
                return err_new(ERR_JSON_MEMBER_TYPE, "access_token: a string is needed");
        size_t begin = (size_t) (source.data - copy->data) + 1, end = begin + source.size - 2;
        TRY(bytes_alloc(end - begin, &token));
        token.size = 0;
        for (size_t i = begin; i < end; i++) {
                bool is_escaped_slash = copy->data[i] == '\\' && i + 1 < end && copy->data[i + 1] == '/';
                if (!is_escaped_slash)
                        token.data[token.size++] = copy->data[i];
        }
        for (size_t i = begin; i < end; i++)
                copy->data[i] = '0';
        return access_token_authorization(bytes_span(&token), "access_token", ret);
}

static Err *check_type(const Json *json) {
        const char *type = NULL;
        TRY(json_get_string_optional(json, "token_type", &type));
        return !type || strcasecmp(type, "Bearer") == 0 ? NULL : err_new(ERR_JSON_MEMBER_TYPE, "token_type: \"%.32s\" is not Bearer", type);
}

static Err *read_answer(const HttpResponse *response, AccessTokenSource source, uint64_t now_sec, AccessToken *ret) {
        _cleanup_json_ Json *json = NULL;
        _cleanup_access_token_ AccessToken token = {};
        _cleanup_bytes_erase_ Bytes text = {};
        uint64_t life_sec, refresh_sec;
        if (response->body.size > HTTP_ANSWER_SIZE_MAX)
                return err_new(ERR_SERVICE_ANSWER_TOO_LARGE, "%zu bytes, %u are allowed", response->body.size, HTTP_ANSWER_SIZE_MAX);
        TRY(bytes_copy(bytes_span(&response->body), &text));
        TRY(json_check(bytes_span(&text), "the answer"));
        TRY(take_token(&text, &token.authorization));
        TRY(json_parse(bytes_span(&text), "the answer", &json));
        TRY(check_type(json));
        TRY(read_life(json, response, now_sec, &life_sec));
        TRY(read_refresh(json, source, life_sec, &refresh_sec));
        token.refresh_sec = now_sec + refresh_sec;
        token.expires_sec = now_sec + life_sec;
        *ret = token;
        token = (AccessToken) {};
        return NULL;
}

Err *access_token_parse(const HttpResponse *response, AccessTokenSource source, uint64_t now_sec, AccessToken *ret) {
        const char *who = source == ACCESS_TOKEN_OF_AUTHORITY ? "the token authority" : "the metadata service";
        TRY(check_status(response, source, who, now_sec));
        Err *err = read_answer(response, source, now_sec, ret);
        if (!err || err_code(err) == ERR_NO_MEMORY || err_code(err) == ERR_SERVICE_ANSWER_TOO_LARGE)
                return err_wrap(err, "the answer of %s", who);
        return err_wrap_code(ERR_SERVICE_ANSWER_INVALID, err, "the answer of %s cannot be used", who);
}
