/* UTF-8 as RFC 3629 has it: no overlong form, no surrogate, at most U+10FFFF. */
#pragma once

#include "base/bytes.h"

/* Length of the valid sequence at the beginning of text (not empty), or 0. */
size_t utf8_sequence_size(Span text);
/* Offset of the first byte that is not UTF-8, text.size if there is none. */
size_t utf8_valid_size(Span text);
