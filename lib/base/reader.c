/* See reader.h. */
#include "base/reader.h"

#include <inttypes.h>

static const uint8_t *reader_take(Reader *reader, uint64_t size, const char *field) {
        if (reader->failed_field)
                return NULL;
        if (size > reader->input.size - reader->offset) {
                reader->failed_field = field;
                reader->failed_offset = reader->offset;
                reader->failed_wanted = size;
                return NULL;
        }
        const uint8_t *data = reader->input.data + reader->offset;
        reader->offset += (size_t) size;
        return data;
}

static uint64_t reader_le(Reader *reader, unsigned size, const char *field) {
        const uint8_t *data = reader_take(reader, size, field);
        uint64_t value = 0;
        for (unsigned i = 0; data && i < size; i++)
                value |= (uint64_t) data[i] << (8 * i);
        return value;
}

static uint64_t reader_be(Reader *reader, unsigned size, const char *field) {
        const uint8_t *data = reader_take(reader, size, field);
        uint64_t value = 0;
        for (unsigned i = 0; data && i < size; i++)
                value = value << 8 | data[i];
        return value;
}

uint8_t reader_u8(Reader *reader, const char *field) {
        return (uint8_t) reader_le(reader, 1, field);
}

uint16_t reader_u16le(Reader *reader, const char *field) {
        return (uint16_t) reader_le(reader, 2, field);
}

uint32_t reader_u32le(Reader *reader, const char *field) {
        return (uint32_t) reader_le(reader, 4, field);
}

uint64_t reader_u64le(Reader *reader, const char *field) {
        return reader_le(reader, 8, field);
}

uint16_t reader_u16be(Reader *reader, const char *field) {
        return (uint16_t) reader_be(reader, 2, field);
}

uint32_t reader_u32be(Reader *reader, const char *field) {
        return (uint32_t) reader_be(reader, 4, field);
}

uint64_t reader_u64be(Reader *reader, const char *field) {
        return reader_be(reader, 8, field);
}

Span reader_span(Reader *reader, uint64_t size, const char *field) {
        const uint8_t *data = reader_take(reader, size, field);
        return (Span) { data, data ? (size_t) size : 0 };
}

Span reader_rest(Reader *reader) {
        return reader_span(reader, reader_left(reader), "rest");
}

Span reader_tpm2b(Reader *reader, const char *field) {
        return reader_span(reader, reader_u16be(reader, field), field);
}

void reader_fail(Reader *reader, const char *field) {
        if (reader->failed_field)
                return;
        reader->failed_field = field;
        reader->failed_offset = reader->offset;
        reader->failed_wanted = 0;
}

Err *reader_check(const Reader *reader, ErrCode code, const char *what) {
        if (!reader->failed_field)
                return NULL;
        if (reader->failed_wanted == 0)
                return err_new(code, "%s: %s before offset %zu is impossible", what, reader->failed_field, reader->failed_offset);
        return err_new(code, "%s: %s at offset %zu needs %" PRIu64 " bytes, %zu are left", what, reader->failed_field,
                       reader->failed_offset, reader->failed_wanted, reader->input.size - reader->failed_offset);
}

Err *reader_finish(const Reader *reader, ErrCode code, const char *what) {
        TRY(reader_check(reader, code, what));
        if (reader_left(reader) > 0)
                return err_new(code, "%s: %zu bytes too many at offset %zu", what, reader_left(reader), reader->offset);
        return NULL;
}
