/* Messages taken apart by other means than those that built them: OpenSSL's base64, json-c without the strict reader. */
#pragma once

#include "base/json.h"

/* Of base64url without padding. */
void plain_decode(const char *text, size_t size, Bytes *ret);
/* The caller frees it. */
char *plain_encode(const char *text);
/* Borrowed; the test fails where there is none. */
Json *member(Json *json, const char *name);
const char *text_member(Json *json, const char *name);
void assert_bytes_member(Json *json, const char *name, Span expected);
