/* See efi-text.h. */
#include "tcg/efi-text.h"

#include "base/utf8.h"

static bool is_printable(uint32_t c) {
        return c >= 0x20 && !(c >= 0x7f && c < 0xa0) && !(c >= 0xd800 && c < 0xe000) && !(c >= 0x2028 && c <= 0x202e) &&
                !(c >= 0x2066 && c <= 0x2069) && c != 0x200e && c != 0x200f && c != 0x61c && c != 0xfeff && c < 0xfff0;
}

static void write_code_point(Writer *writer, uint32_t c) {
        if (!is_printable(c))
                c = '?';
        if (c < 0x80)
                return writer_u8(writer, (uint8_t) c);
        if (c < 0x800)
                writer_u8(writer, (uint8_t) (0xc0 | c >> 6));
        else {
                writer_u8(writer, (uint8_t) (0xe0 | c >> 12));
                writer_u8(writer, (uint8_t) (0x80 | (c >> 6 & 0x3f)));
        }
        writer_u8(writer, (uint8_t) (0x80 | (c & 0x3f)));
}

void efi_text_write_utf16(Writer *writer, Span text) {
        for (size_t i = 0; i + 1 < text.size; i += 2) {
                uint32_t c = (uint32_t) text.data[i] | (uint32_t) text.data[i + 1] << 8;
                if (c == 0)
                        return;
                write_code_point(writer, c);
        }
}

static uint32_t code_point(Span sequence) {
        static const uint8_t masks[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
        uint32_t c = sequence.data[0] & masks[sequence.size];
        for (size_t i = 1; i < sequence.size; i++)
                c = c << 6 | (sequence.data[i] & 0x3f);
        return c;
}

void efi_text_write_8bit(Writer *writer, Span text) {
        for (size_t i = 0; i < text.size && text.data[i];) {
                size_t size = utf8_sequence_size(span_make(text.data + i, text.size - i));
                write_code_point(writer, size > 0 ? code_point(span_make(text.data + i, size)) : '?');
                i += MAX_OF(size, (size_t) 1);
        }
}

Err *efi_text_from_utf16(Span text, char **ret) {
        _cleanup_writer_ Writer writer = {};
        efi_text_write_utf16(&writer, text);
        return writer_finish_string(&writer, ret);
}

Err *efi_text_from_8bit(Span text, char **ret) {
        _cleanup_writer_ Writer writer = {};
        efi_text_write_8bit(&writer, text);
        return writer_finish_string(&writer, ret);
}

bool efi_text_is_8bit(Span text) {
        size_t i = 0;
        for (; i < text.size && text.data[i]; i++)
                if ((text.data[i] < 0x20 && text.data[i] != '\n' && text.data[i] != '\t') || text.data[i] >= 0x7f)
                        return false;
        return i > 0;
}

bool efi_text_is_utf16(Span text) {
        size_t i = 0;
        if (text.size % 2 != 0)
                return false;
        for (; i + 1 < text.size && (text.data[i] || text.data[i + 1]); i += 2)
                if (text.data[i + 1] || text.data[i] < 0x20 || text.data[i] >= 0x7f)
                        return false;
        return i > 0;
}
