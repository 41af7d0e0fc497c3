/* See writer.h. */
#include "base/writer.h"

#include <stdarg.h>
#include <stdio.h>

void writer_done(Writer *writer) {
        if (writer->is_secret)
                bytes_erase(&writer->output);
        bytes_done(&writer->output);
        *writer = (Writer) { .is_secret = writer->is_secret };
}

/* realloc() frees the old place as it is, so secrets are moved by hand. */
static uint8_t *writer_grow(Writer *writer, size_t room) {
        if (!writer->is_secret)
                return realloc(writer->output.data, room);
        uint8_t *grown = malloc(room);
        for (size_t i = 0; grown && i < writer->output.size; i++)
                grown[i] = writer->output.data[i];
        if (grown)
                bytes_erase(&(Bytes) { writer->output.data, writer->output.size });
        return grown;
}

/* Room for size more bytes and a NUL; NULL after failure. */
static uint8_t *writer_extend(Writer *writer, size_t size) {
        size_t needed;
        if (writer->failed)
                return NULL;
        if (__builtin_add_overflow(writer->output.size, size, &needed) || __builtin_add_overflow(needed, 1, &needed)) {
                writer->failed = true;
                return NULL;
        }
        if (needed > writer->room) {
                size_t room = MAX_OF(needed, MAX_OF(writer->room * 2, (size_t) 64));
                uint8_t *grown = writer_grow(writer, room);
                if (!grown) {
                        writer->failed = true;
                        return NULL;
                }
                writer->output.data = grown;
                writer->room = room;
        }
        uint8_t *place = writer->output.data + writer->output.size;
        writer->output.size += size;
        writer->output.data[writer->output.size] = 0;
        return place;
}

static void writer_le(Writer *writer, uint64_t value, unsigned size) {
        uint8_t *place = writer_extend(writer, size);
        for (unsigned i = 0; place && i < size; i++)
                place[i] = (uint8_t) (value >> (8 * i));
}

static void writer_be(Writer *writer, uint64_t value, unsigned size) {
        uint8_t *place = writer_extend(writer, size);
        for (unsigned i = 0; place && i < size; i++)
                place[i] = (uint8_t) (value >> (8 * (size - 1 - i)));
}

void writer_u8(Writer *writer, uint8_t value) {
        writer_le(writer, value, 1);
}

void writer_u16le(Writer *writer, uint16_t value) {
        writer_le(writer, value, 2);
}

void writer_u32le(Writer *writer, uint32_t value) {
        writer_le(writer, value, 4);
}

void writer_u64le(Writer *writer, uint64_t value) {
        writer_le(writer, value, 8);
}

void writer_u16be(Writer *writer, uint16_t value) {
        writer_be(writer, value, 2);
}

void writer_u32be(Writer *writer, uint32_t value) {
        writer_be(writer, value, 4);
}

void writer_u64be(Writer *writer, uint64_t value) {
        writer_be(writer, value, 8);
}

void writer_span(Writer *writer, Span span) {
        uint8_t *place = writer_extend(writer, span.size);
        if (place && span.size > 0)
                memcpy(place, span.data, span.size); /* lint: writer_extend() made this room */
}

void writer_tpm2b(Writer *writer, Span span) {
        if (span.size > UINT16_MAX) {
                writer->failed = writer->too_large = true;
                return;
        }
        writer_u16be(writer, (uint16_t) span.size);
        writer_span(writer, span);
}

void writer_string(Writer *writer, const char *text) {
        writer_span(writer, span_from_string(text));
}

void writer_format(Writer *writer, const char *format, ...) {
        va_list arguments;
        _cleanup_free_ char *text = NULL;
        va_start(arguments, format);
        int r = vasprintf(&text, format, arguments);
        va_end(arguments);
        if (r < 0) {
                text = NULL;
                writer->failed = true;
                return;
        }
        writer_span(writer, span_make(text, (size_t) r));
}

void writer_base64url(Writer *writer, Span span) {
        uint8_t *place = writer_extend(writer, base64url_encoded_size(span.size));
        if (place)
                base64url_encode_into(span, (char *) place);
}

void writer_hex(Writer *writer, Span span) {
        uint8_t *place = writer_extend(writer, span.size * 2);
        if (place)
                hex_encode_into(span, (char *) place);
}

void writer_json_string(Writer *writer, Span text) {
        writer_u8(writer, '"');
        size_t begin = 0;
        for (size_t i = 0; i < text.size; i++) {
                uint8_t c = text.data[i];
                if (c >= 0x20 && c != '"' && c != '\\')
                        continue;
                writer_span(writer, span_make(text.data + begin, i - begin));
                begin = i + 1;
                if (c == '"' || c == '\\')
                        writer_format(writer, "\\%c", c);
                else
                        writer_format(writer, "\\u%04x", c);
        }
        writer_span(writer, span_make(text.data + begin, text.size - begin));
        writer_u8(writer, '"');
}

Err *writer_finish(Writer *writer, Bytes *ret) {
        if (writer->too_large)
                return err_new(ERR_LIMIT_EXCEEDED, "a sized buffer cannot hold more than 65535 bytes");
        if (!writer_extend(writer, 0))
                return err_oom();
        *ret = bytes_steal(&writer->output);
        writer_done(writer);
        return NULL;
}

Err *writer_finish_string(Writer *writer, char **ret) {
        Bytes text;
        TRY(writer_finish(writer, &text));
        *ret = (char *) text.data;
        return NULL;
}
