/* Owned bytes (Bytes), borrowed bytes (Span), their text forms (base64url, base64, hex), and files.
 *
 * A Span never owns. A Bytes owns; its data always has one NUL after size bytes, so that text in it can be
 * used as a C string (if it holds no NUL itself). An empty Bytes may have data == NULL. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/error.h"

typedef struct Bytes {
        uint8_t *data;
        size_t size;
} Bytes;

typedef struct Span {
        const uint8_t *data;
        size_t size;
} Span;

/* Frees and leaves {NULL, 0}; NULL-safe. `_cleanup_bytes_ Bytes x = {};` */
void bytes_done(Bytes *bytes);
#define _cleanup_bytes_ _cleanup_(bytes_done)
/* Overwrites the content, then frees: for secrets. */
void bytes_erase(Bytes *bytes);
#define _cleanup_bytes_erase_ _cleanup_(bytes_erase)

static inline Bytes bytes_steal(Bytes *bytes) {
        Bytes stolen = *bytes;
        bytes->data = NULL;
        bytes->size = 0;
        return stolen;
}

static inline Span bytes_span(const Bytes *bytes) {
        return (Span) { bytes->data, bytes->size };
}

static inline Span span_from_string(const char *text) {
        return (Span) { (const uint8_t *) text, text ? strlen(text) : 0 };
}

static inline Span span_make(const void *data, size_t size) {
        return (Span) { data, size };
}

#define SPAN_OF(array) ((Span) { (const uint8_t *) (array), sizeof(array) })

bool span_equal(Span a, Span b);                   /* not constant time */
bool span_equal_string(Span a, const char *text);
bool span_is_zero(Span span);                      /* all bytes 0 (true if empty) */

Err *bytes_alloc(size_t size, Bytes *ret) _must_check_;    /* zeroed */
Err *bytes_copy(Span span, Bytes *ret) _must_check_;
/* "a" "b" NULL -> owned C string; ret is freed with free(). */
Err *string_format(char **ret, const char *format, ...) _printf_(2, 3) _must_check_;
Err *string_copy(const char *text, char **ret) _must_check_;
/* prefix and text in one, for secrets: unlike string_format() it leaves no other copy in freed memory. INVALID_ARGUMENT if text holds a NUL. */
Err *string_join_secret(const char *prefix, Span text, char **ret) _must_check_;
Err *string_copy_span(Span text, char **ret) _must_check_;   /* INVALID_ARGUMENT if it holds a NUL */

/* base64url without padding (RFC 4648 §5, RFC 7515 §2). Decoding is strict: no padding, no white space, canonical
 * trailing bits. what names the thing in the error ("challenge"). Error: BASE64_INVALID with offset. */
size_t base64url_encoded_size(size_t size);                  /* without NUL */
void base64url_encode_into(Span data, char *out);            /* out has base64url_encoded_size() bytes; no NUL is written */
Err *base64url_encode(Span data, char **ret) _must_check_;   /* C string, free() */
Err *base64url_decode(Span text, const char *what, Bytes *ret) _must_check_;
/* Accepts both alphabets, with or without padding, as the real service does with requests; still no white space. */
Err *base64_decode_lenient(Span text, const char *what, Bytes *ret) _must_check_;
/* Standard alphabet with padding (RFC 4648 §4), as x5c uses it. */
Err *base64_encode(Span data, char **ret) _must_check_;
Err *base64_decode(Span text, const char *what, Bytes *ret) _must_check_;

/* Lower-case hex. Decoding accepts both cases and an even number of digits. Error: INVALID_ARGUMENT. */
Err *hex_encode(Span data, char **ret) _must_check_;
void hex_encode_into(Span data, char *out);                  /* writes 2 * size characters and a NUL */
Err *hex_decode(Span text, const char *what, Bytes *ret) _must_check_;

/* Reads a whole regular file, device or sysfs file of at most max bytes. Errors: IO (with errno; ENOENT too) and
 * LIMIT_EXCEEDED, naming the path. */
Err *file_read(const char *path, size_t max, Bytes *ret) _must_check_;
/* As file_read() from an open descriptor, from its current position. */
Err *fd_read_all(int fd, const char *what, size_t max, Bytes *ret) _must_check_;
/* A file without a name, in memory, that holds data. */
Err *fd_from_bytes(const char *name, Span data, int *ret_fd) _must_check_;
/* Writes path as temporary file + fsync + rename + fsync of the folder: it is there whole or not at all. */
Err *file_write_atomic(const char *path, Span data, unsigned mode) _must_check_;
/* Removes the temporary files of file_write_atomic() calls for path that were killed on their way. No other process may be writing it. */
Err *file_remove_unfinished(const char *path) _must_check_;
