/* See authority-form.h. */
#include "instance/authority-form.h"

#include "base/reader.h"
#include "base/utf8.h"
#include "base/writer.h"

static void erase_string(char *text) {
        if (text)
                explicit_bzero(text, strlen(text));
        free(text);
}

void form_done(Form *form) {
        for (size_t i = 0; i < form->n; i++) {
                free(form->fields[i].name);
                erase_string(form->fields[i].value);
        }
        *form = (Form) {};
}

static int digit_value(uint8_t c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        c |= 0x20;
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One name or value. NUL and bytes that are no UTF-8 are refused. */
static Err *decode(Span text, char **ret) {
        _cleanup_bytes_erase_ Bytes out = {};
        TRY(bytes_alloc(text.size, &out));
        Reader reader = reader_make(text);
        size_t n = 0;
        while (reader_left(&reader) > 0) {
                uint8_t c = reader_u8(&reader, "character");
                if (c == '%') {
                        int high = digit_value(reader_u8(&reader, "digit")), low = digit_value(reader_u8(&reader, "digit"));
                        if (reader_failed(&reader) || high < 0 || low < 0)
                                return err_new(ERR_REQUEST_INVALID, "a %% is not followed by two hexadecimal digits");
                        c = (uint8_t) (high * 16 + low);
                } else if (c == '+') {
                        c = ' ';
                }
                out.data[n++] = c;
        }
        Span decoded = span_make(out.data, n);
        if ((n > 0 && memchr(out.data, 0, n)) || utf8_valid_size(decoded) != n)
                return err_new(ERR_REQUEST_INVALID, "the text is no UTF-8, or has a NUL in it");
        return string_copy_span(decoded, ret);
}

static Err *add_field(Form *form, Span name, Span value) {
        if (form->n == FORM_FIELDS_MAX)
                return err_new(ERR_LIMIT_EXCEEDED, "the form has more than %d fields", FORM_FIELDS_MAX);
        FormField *field = &form->fields[form->n];
        TRY(err_wrap(decode(name, &field->name), "the name of field %zu", form->n + 1));
        form->n++;      /* form_done() frees the name from here on */
        for (size_t i = 0; i + 1 < form->n; i++)
                if (string_equal(form->fields[i].name, field->name))
                        return err_new(ERR_REQUEST_INVALID, "the field \"%.64s\" is there twice", field->name);
        return err_wrap(decode(value, &field->value), "the field \"%.64s\"", field->name);
}

Err *form_parse(Span body, Form *ret) {
        _cleanup_form_ Form form = {};
        if (body.size > FORM_SIZE_MAX)
                return err_new(ERR_LIMIT_EXCEEDED, "the form has more than %u bytes", FORM_SIZE_MAX);
        for (size_t begin = 0; begin < body.size;) {
                Span rest = span_make(body.data + begin, body.size - begin);
                const uint8_t *end = memchr(rest.data, '&', rest.size);
                Span pair = span_make(rest.data, end ? (size_t) (end - rest.data) : rest.size);
                const uint8_t *equals = pair.size > 0 ? memchr(pair.data, '=', pair.size) : NULL;
                begin += pair.size + 1;
                if (pair.size == 0)
                        continue;
                if (!equals)
                        return err_new(ERR_REQUEST_INVALID, "field %zu of the form has no =", form.n + 1);
                size_t name_size = (size_t) (equals - pair.data);
                TRY(add_field(&form, span_make(pair.data, name_size), span_make(equals + 1, pair.size - name_size - 1)));
        }
        *ret = form;
        form = (Form) {};
        return NULL;
}

const char *form_get(const Form *form, const char *name) {
        for (size_t i = 0; i < form->n; i++)
                if (string_equal(form->fields[i].name, name))
                        return form->fields[i].value && form->fields[i].value[0] ? form->fields[i].value : NULL;
        return NULL;
}
