/* Text from firmware as UTF-8 that may be printed: control, bidirectional and malformed characters become '?'. The text ends at its first NUL. */
#pragma once

#include "base/writer.h"

void efi_text_write_utf16(Writer *writer, Span text);   /* little endian (UEFI 2.10 §2.3.1 CHAR16) */
void efi_text_write_8bit(Writer *writer, Span text);    /* UTF-8, or ASCII */
Err *efi_text_from_utf16(Span text, char **ret) _must_check_;
Err *efi_text_from_8bit(Span text, char **ret) _must_check_;
/* Does text look like CHAR16 text of ASCII characters, as opposed to 8 bit text? */
bool efi_text_is_utf16(Span text);
bool efi_text_is_8bit(Span text);       /* printable ASCII up to the first NUL or the end, at least one character */
