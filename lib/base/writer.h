/* The growing writer: appends integers, bytes and text; sticky failure (out of memory, or a TPM2B above 65535 bytes),
 * reported once at the end. */
#pragma once

#include "base/bytes.h"

typedef struct Writer {
        Bytes output;
        size_t room;
        bool failed;
        bool too_large;
        bool is_secret;      /* set by whoever writes secrets: what is left behind when the output grows, or is thrown away, is overwritten */
} Writer;

void writer_done(Writer *writer);
#define _cleanup_writer_ _cleanup_(writer_done)

void writer_u8(Writer *writer, uint8_t value);
void writer_u16le(Writer *writer, uint16_t value);
void writer_u32le(Writer *writer, uint32_t value);
void writer_u64le(Writer *writer, uint64_t value);
void writer_u16be(Writer *writer, uint16_t value);
void writer_u32be(Writer *writer, uint32_t value);
void writer_u64be(Writer *writer, uint64_t value);
void writer_span(Writer *writer, Span span);
void writer_tpm2b(Writer *writer, Span span);
void writer_string(Writer *writer, const char *text);
void writer_format(Writer *writer, const char *format, ...) _printf_(2, 3);
void writer_base64url(Writer *writer, Span span);
void writer_hex(Writer *writer, Span span);
/* text as a JSON string with quotes, escaped (RFC 8259 §7); bytes above 0x7f are passed on. */
void writer_json_string(Writer *writer, Span text);

/* Hands the output over, or fails with NO_MEMORY or LIMIT_EXCEEDED. The writer is empty afterwards. */
Err *writer_finish(Writer *writer, Bytes *ret) _must_check_;
/* The same as a C string; free() it. */
Err *writer_finish_string(Writer *writer, char **ret) _must_check_;
