/* Bodies of application/x-www-form-urlencoded, as token requests have them (RFC 6749 appendix B).
 *
 *     name=value&name=value        '+' is a blank, %XX a byte; values are UTF-8
 *
 * Nothing may be said twice (RFC 6749 §3.2), because nobody could say which of the two counts. */
#pragma once

#include "base/bytes.h"

#define FORM_SIZE_MAX 65536u    /* an assertion with a chain in it has some 10 kB */
#define FORM_FIELDS_MAX 32

typedef struct FormField {
        char *name, *value;
} FormField;

typedef struct Form {
        FormField fields[FORM_FIELDS_MAX];
        size_t n;
} Form;
/* Values may be secrets: they are overwritten. */
void form_done(Form *form);
#define _cleanup_form_ _cleanup_(form_done)

/* Errors: REQUEST_INVALID naming the field, LIMIT_EXCEEDED. */
Err *form_parse(Span body, Form *ret) _must_check_;
/* Borrowed; NULL if the field is absent or empty, which is the same (RFC 6749 §3.2). */
const char *form_get(const Form *form, const char *name);
