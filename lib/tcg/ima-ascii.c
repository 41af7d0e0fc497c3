/* See ima-ascii.h. A line (ima_ascii_measurements_show() and ima_show_template_field_data() of the kernel):
 *
 *     PCR SP hex(template digest) SP template SP fields, each behind a space
 *
 *     ima                 hex(digest) SP name
 *     ima-ng, -ngv2       ALG:hex(digest) SP name
 *     ima-sig, -sigv2     ALG:hex(digest) SP name SP [hex(signature)]
 *     ima-buf             ALG:hex(digest) SP name SP hex(buffer)
 *     ima-modsig          ALG:hex(digest) SP name SP [hex(signature)] SP [ALG:hex(digest)] SP [hex(modsig)]
 *
 * Names may hold spaces, so what follows a name is cut off from the end. */
#include "tcg/ima-ascii.h"

#include <ctype.h>

#include "base/writer.h"

#define TAIL_MAX 3 /* fields behind the name */

typedef enum TailKind { TAIL_HEX, TAIL_DIGEST } TailKind;

static const struct Template {
        const char *name;
        size_t n_tail;
        TailKind tail[TAIL_MAX];
} templates[] = {
        { "ima-ng", 0, {} },
        { "ima-ngv2", 0, {} },
        { "ima-sig", 1, { TAIL_HEX } },
        { "ima-sigv2", 1, { TAIL_HEX } },
        { "ima-buf", 1, { TAIL_HEX } },
        { "ima-modsig", 3, { TAIL_HEX, TAIL_DIGEST, TAIL_HEX } },
};

bool ima_ascii_detect(Span input) {
        size_t n = MIN_OF(input.size, (size_t) 4);
        for (size_t i = 0; i < n; i++)
                if (!isxdigit(input.data[i]) && input.data[i] != ' ')
                        return false;
        return n > 0;
}

static Err *malformed(const char *what) {
        return err_new(ERR_IMA_MALFORMED, "%s", what);
}

/* The text up to the next space, which is skipped; false if there is no space. */
static bool take_word(Span *text, Span *ret) {
        const uint8_t *space = text->size > 0 ? memchr(text->data, ' ', text->size) : NULL;
        if (!space)
                return false;
        size_t size = (size_t) (space - text->data);
        *ret = span_make(text->data, size);
        *text = span_make(space + 1, text->size - size - 1);
        return true;
}

/* The text behind the last space, which is dropped; false if there is no space. */
static bool take_last_word(Span *text, Span *ret) {
        const uint8_t *space = text->size > 0 ? memrchr(text->data, ' ', text->size) : NULL;
        if (!space)
                return false;
        size_t size = (size_t) (space - text->data);
        *ret = span_make(space + 1, text->size - size - 1);
        text->size = size;
        return true;
}

static Err *take_pcr(Span *text, uint32_t *ret) {
        Span word;
        uint32_t pcr = 0;
        while (text->size > 0 && text->data[0] == ' ')
                *text = span_make(text->data + 1, text->size - 1);
        if (!take_word(text, &word) || word.size == 0 || word.size > 2)
                return malformed("a PCR index is needed");
        for (size_t i = 0; i < word.size; i++) {
                if (!isdigit(word.data[i]))
                        return malformed("a PCR index is needed");
                pcr = pcr * 10 + (uint32_t) (word.data[i] - '0');
        }
        *ret = pcr;
        return NULL;
}

static void write_field(Writer *writer, Span field) {
        writer_u32le(writer, (uint32_t) field.size);
        writer_span(writer, field);
}

/* "ALG:hex" or "TYPE:ALG:hex" as "ALG:" NUL digest; an empty text as an empty field. */
static Err *write_digest_field(Writer *writer, Span text) {
        if (text.size == 0) {
                write_field(writer, text);
                return NULL;
        }
        const uint8_t *colon = memrchr(text.data, ':', text.size);
        if (!colon)
                return malformed("a file digest needs ALGORITHM: before it");
        size_t prefix = (size_t) (colon - text.data) + 1;
        _cleanup_bytes_ Bytes digest = {};
        TRY(hex_decode(span_make(text.data + prefix, text.size - prefix), "the file digest", &digest));
        writer_u32le(writer, (uint32_t) (prefix + 1 + digest.size));
        writer_span(writer, span_make(text.data, prefix));
        writer_u8(writer, 0);
        writer_span(writer, bytes_span(&digest));
        return NULL;
}

static Err *write_tail_field(Writer *writer, TailKind kind, Span text) {
        if (kind == TAIL_DIGEST)
                return write_digest_field(writer, text);
        _cleanup_bytes_ Bytes value = {};
        TRY(hex_decode(text, "a field", &value));
        write_field(writer, bytes_span(&value));
        return NULL;
}

static bool is_hex(Span text) {
        for (size_t i = 0; i < text.size; i++)
                if (!isxdigit(text.data[i]))
                        return false;
        return text.size % 2 == 0;
}

/* A missing signature may have lost its space too; then what seems to be one is the end of the name. */
static Err *take_tail(const struct Template *template, Span *rest, Span tail[TAIL_MAX]) {
        Span whole = *rest;
        for (size_t i = template->n_tail; i-- > 0;)
                if (!take_last_word(rest, &tail[i])) {
                        if (template->n_tail > 1)
                                return malformed("fields behind the name are missing");
                        tail[i] = (Span) {};
                }
        if (template->n_tail == 1 && !is_hex(tail[0])) {
                *rest = whole;
                tail[0] = (Span) {};
        }
        return NULL;
}

static Err *write_data(const struct Template *template, Span fields, Bytes *ret) {
        _cleanup_writer_ Writer writer = {};
        Span digest, tail[TAIL_MAX] = {}, name = fields;
        if (!take_word(&name, &digest))
                return malformed("a file digest and a name are needed");
        TRY(take_tail(template, &name, tail));
        TRY(write_digest_field(&writer, digest));
        writer_u32le(&writer, (uint32_t) name.size + 1);
        writer_span(&writer, name);
        writer_u8(&writer, 0);
        for (size_t i = 0; i < template->n_tail; i++)
                TRY(write_tail_field(&writer, template->tail[i], tail[i]));
        return writer_finish(&writer, ret);
}

static Err *write_legacy(Writer *writer, Span fields) {
        _cleanup_bytes_ Bytes digest = {};
        Span word, name = fields;
        if (!take_word(&name, &word))
                return malformed("a file digest and a name are needed");
        TRY(hex_decode(word, "the file digest", &digest));
        if (digest.size != hash_size(HASH_SHA1))
                return malformed("a SHA-1 file digest is needed");
        while (name.size > 0 && name.data[name.size - 1] == ' ')
                name.size--;
        writer_span(writer, bytes_span(&digest));
        write_field(writer, name);
        return NULL;
}

static Err *write_by_template(Writer *writer, Span template_name, Span fields) {
        write_field(writer, template_name);
        if (span_equal_string(template_name, "ima"))
                return write_legacy(writer, fields);
        for (size_t i = 0; i < N_ELEMENTS(templates); i++) {
                if (!span_equal_string(template_name, templates[i].name))
                        continue;
                _cleanup_bytes_ Bytes data = {};
                TRY(write_data(&templates[i], fields, &data));
                write_field(writer, bytes_span(&data));
                return NULL;
        }
        return malformed("the template cannot be rebuilt from text");
}

static Err *write_line(Writer *writer, Span line, size_t *digest_size) {
        uint32_t pcr;
        Span digest_text, template_name;
        _cleanup_bytes_ Bytes digest = {};
        TRY(take_pcr(&line, &pcr));
        if (!take_word(&line, &digest_text) || !take_word(&line, &template_name))
                return malformed("a template digest and a template name are needed");
        TRY(hex_decode(digest_text, "the template digest", &digest));
        if (ima_digest_alg(digest.size) == HASH_NONE || (*digest_size > 0 && digest.size != *digest_size))
                return malformed("the size of the template digest is not that of a list's digests");
        *digest_size = digest.size;
        writer_u32le(writer, pcr);
        writer_span(writer, bytes_span(&digest));
        return write_by_template(writer, template_name, line);
}

Err *ima_ascii_to_binary(Span text, Bytes *ret_list) {
        _cleanup_writer_ Writer writer = {};
        size_t digest_size = 0;
        for (uint64_t number = 1; text.size > 0; number++) {
                const uint8_t *end = memchr(text.data, '\n', text.size);
                Span line = span_make(text.data, end ? (size_t) (end - text.data) : text.size);
                text = end ? span_make(end + 1, text.size - line.size - 1) : (Span) {};
                if (line.size > 0 && line.data[line.size - 1] == '\r')
                        line.size--;
                if (line.size > 0)
                        TRY(err_wrap_code(ERR_IMA_MALFORMED, write_line(&writer, line, &digest_size), "line %llu", (unsigned long long) number));
        }
        if (digest_size == 0)
                return err_new(ERR_LOG_EMPTY, "the IMA list has no entries");
        return writer_finish(&writer, ret_list);
}
