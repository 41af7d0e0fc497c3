/* See utf8.h. */
#include "base/utf8.h"

size_t utf8_sequence_size(Span text) {
        const uint8_t *data = text.data;
        uint8_t c = data[0];
        if (c < 0x80)
                return 1;
        size_t n = c >= 0xc2 && c <= 0xdf ? 2 : (c & 0xf0) == 0xe0 ? 3 : c >= 0xf0 && c <= 0xf4 ? 4 : 0;
        if (n == 0 || n > text.size)
                return 0;
        for (size_t i = 1; i < n; i++)
                if ((data[i] & 0xc0) != 0x80)
                        return 0;
        if ((c == 0xe0 && data[1] < 0xa0) || (c == 0xed && data[1] > 0x9f) || (c == 0xf0 && data[1] < 0x90) ||
            (c == 0xf4 && data[1] > 0x8f))
                return 0;
        return n;
}

size_t utf8_valid_size(Span text) {
        size_t offset = 0;
        while (offset < text.size) {
                size_t n = utf8_sequence_size(span_make(text.data + offset, text.size - offset));
                if (n == 0)
                        break;
                offset += n;
        }
        return offset;
}
