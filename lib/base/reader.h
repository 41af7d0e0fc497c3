/* The bounded reader: the only way to look inside bytes from TPM, firmware, kernel, disk or network.
 *
 * It fails once and stays failed: after the first read past the end every further read gives zero or an empty
 * span, and the reader remembers the name and offset of the field that did not fit. So a parser reads a whole
 * record top-down and asks once, at its end, whether all of it was there. Nothing is copied, nothing allocated;
 * a length from the input is spent by asking the reader for that many bytes. */
#pragma once

#include <stdbool.h>

#include "base/bytes.h"

typedef struct Reader {
        Span input;
        size_t offset;             /* of the next byte */
        const char *failed_field;  /* NULL while all is well; static text */
        size_t failed_offset;
        uint64_t failed_wanted;    /* bytes that were asked for there */
} Reader;

static inline Reader reader_make(Span input) {
        return (Reader) { .input = input };
}

static inline bool reader_failed(const Reader *reader) {
        return reader->failed_field != NULL;
}

static inline size_t reader_left(const Reader *reader) {
        return reader->failed_field ? 0 : reader->input.size - reader->offset;
}

/* field is static text and names the field in errors. Zero or an empty span after failure. */
uint8_t reader_u8(Reader *reader, const char *field);
uint16_t reader_u16le(Reader *reader, const char *field);
uint32_t reader_u32le(Reader *reader, const char *field);
uint64_t reader_u64le(Reader *reader, const char *field);
uint16_t reader_u16be(Reader *reader, const char *field);
uint32_t reader_u32be(Reader *reader, const char *field);
uint64_t reader_u64be(Reader *reader, const char *field);
Span reader_span(Reader *reader, uint64_t size, const char *field);
Span reader_rest(Reader *reader);
/* TPM2B: u16 big endian size, then as many bytes. */
Span reader_tpm2b(Reader *reader, const char *field);
/* Lets the parser fail the reader itself, when a value that was read is impossible. */
void reader_fail(Reader *reader, const char *field);

/* NULL if nothing failed; else an error of that code: "WHAT: FIELD at offset N needs M bytes, K are left". */
Err *reader_check(const Reader *reader, ErrCode code, const char *what) _must_check_;
/* The same, and all input must have been read: "WHAT: K bytes too many at offset N". */
Err *reader_finish(const Reader *reader, ErrCode code, const char *what) _must_check_;
