/* Members of a request's JSON object, read as generously as the service reads them: the case of names does not count, base64 may be of either alphabet and padded, and what is not
 * known is passed over. Errors: EVIDENCE_MALFORMED with the member. */
#pragma once

#include "base/json.h"

/* *ret is borrowed, NULL if absent or null. Twice in different spellings is an error. */
Err *member_find(const Json *object, const char *name, Json **ret) _must_check_;
/* The same, and it has to be there. */
Err *member_object(const Json *object, const char *name, Json **ret) _must_check_;
Err *member_array(const Json *object, const char *name, Json **ret) _must_check_;
/* *ret is borrowed, NULL if absent. */
Err *member_string(const Json *object, const char *name, const char **ret) _must_check_;
/* It has to be there. */
Err *member_bytes(const Json *object, const char *name, size_t size_max, Bytes *ret) _must_check_;
