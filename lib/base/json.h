/* Strict JSON over json-c.
 *
 * json-c keeps the last of two members of the same name, accepts deep nesting and extensions, and forgets where a
 * value stood. Messages that are signed or hashed need more, so a scanner of ours reads the text first: RFC 8259
 * grammar, valid UTF-8, no duplicate member, bounded depth, nothing behind the value. Only then json-c builds the
 * tree. The scanner can also give the source text of a value (protocol: the hashed jwk is the text that was sent).
 *
 * The getters name the member in their errors and are strict about types: "payload.challenge: a string is needed". */
#pragma once

#include <json-c/json.h>

#include "base/bytes.h"

#define JSON_DEPTH_MAX 32

typedef struct json_object Json;
Json *json_unref(Json *json);
Json *json_ref(Json *json);          /* one more reference to json; NULL stays NULL */
DEFINE_CLEANUP(Json, json_unref)
#define _cleanup_json_ _cleanup_(json_unrefp)

/* Checks the text alone. what names it ("the answer of attest/Tpm"). Errors: JSON_INVALID (with offset),
 * JSON_DUPLICATE_MEMBER (with name), JSON_LIMIT. */
Err *json_check(Span text, const char *what) _must_check_;
/* Checks and builds the tree. Same errors. The caller bounds the size of text. */
Err *json_parse(Span text, const char *what, Json **ret) _must_check_;
/* Source text of a member: path is a NULL-terminated list of member names from the outermost object. text must have
 * passed json_check(). Error: JSON_MEMBER_MISSING. */
Err *json_find_source(Span text, const char *const *path, Span *ret) _must_check_;

bool json_is_object(const Json *json);
bool json_is_array(const Json *json);
bool json_is_string(const Json *json);
/* NULL if json is no object, or has no such member. Borrowed. A JSON null counts as absent. */
Json *json_get(const Json *json, const char *member);
/* Borrowed C string that lives as long as json. Errors: JSON_MEMBER_MISSING, JSON_MEMBER_TYPE (no string, or a NUL in it). */
Err *json_get_string(const Json *json, const char *member, const char **ret) _must_check_;
Err *json_get_string_optional(const Json *json, const char *member, const char **ret) _must_check_;  /* NULL if absent */
Err *json_get_object(const Json *json, const char *member, Json **ret) _must_check_;   /* borrowed */
Err *json_get_array(const Json *json, const char *member, Json **ret) _must_check_;    /* borrowed */
Err *json_get_integer(const Json *json, const char *member, int64_t *ret) _must_check_;
Err *json_get_boolean(const Json *json, const char *member, bool *ret) _must_check_;
/* A base64url string member, decoded. */
Err *json_get_base64url(const Json *json, const char *member, Bytes *ret) _must_check_;
/* RFC 7519 §2 NumericDate: integer or fraction (cut), 0..2^53. */
Err *json_get_numeric_date(const Json *json, const char *member, uint64_t *ret_seconds) _must_check_;

Err *json_new_object(Json **ret) _must_check_;
Err *json_new_array(Json **ret) _must_check_;
/* Adders take ownership of value (also on failure). */
Err *json_add(Json *object, const char *member, Json *value) _must_check_;
Err *json_append(Json *array, Json *value) _must_check_;
Err *json_add_string(Json *object, const char *member, const char *value) _must_check_;  /* NULL value: member is left out */
Err *json_add_span(Json *object, const char *member, Span text) _must_check_;
Err *json_add_integer(Json *object, const char *member, int64_t value) _must_check_;
Err *json_add_boolean(Json *object, const char *member, bool value) _must_check_;
Err *json_add_base64url(Json *object, const char *member, Span data) _must_check_;
Err *json_add_hex(Json *object, const char *member, Span data) _must_check_;
/* A copy whose members are sorted by name, at every depth, as the service sorts what it makes of evidence. Error: JSON_LIMIT beyond JSON_DEPTH_MAX. */
Err *json_sort(const Json *json, Json **ret) _must_check_;
/* Minified text without escaped slashes, as the service writes it; free() it. */
Err *json_to_string(const Json *json, char **ret) _must_check_;
Err *json_to_string_pretty(const Json *json, char **ret) _must_check_;
