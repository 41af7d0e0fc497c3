/* Body sources: bytes that are produced while they are read, of a length that is known beforehand.
 *
 * A request body may carry a measurement log of 100 MB inside three layers of base64url. Layers are sources over
 * sources: bytes, a range of a file descriptor, base64url of a source, and a concatenation. Lengths are arithmetic, so a
 * Content-Length is known before the first byte; rewinding and reading again must give the same bytes (one pass
 * computes the digest to be signed, another one sends). */
#pragma once

#include "base/bytes.h"

typedef struct Source Source;

Source *source_free(Source *source);
DEFINE_CLEANUP(Source, source_free)

Err *source_new_bytes(Bytes *steal_bytes, Source **ret) _must_check_;      /* takes the bytes */
Err *source_new_string(const char *text, Source **ret) _must_check_;       /* copies */
/* size bytes of fd from offset, read with pread(); takes ownership of fd (closed with the source, also on failure). what names
 * it in errors. If the file turns out shorter: IO. */
Err *source_new_fd(int fd, uint64_t offset, uint64_t size, const char *what, Source **ret) _must_check_;
Err *source_new_base64url(Source *steal_inner, Source **ret) _must_check_; /* takes inner, also on failure */
/* Takes the n sources (also on failure); the array itself stays the caller's. */
Err *source_new_concat(Source **steal_sources, size_t n, Source **ret) _must_check_;

uint64_t source_size(const Source *source);
/* Reads up to size bytes; *ret_n == 0 means the end. */
Err *source_read(Source *source, uint8_t *buffer, size_t size, size_t *ret_n) _must_check_;
Err *source_rewind(Source *source) _must_check_;
/* Rewinds, reads all of it into memory (at most max bytes) and rewinds again. */
Err *source_read_all(Source *source, size_t max, Bytes *ret) _must_check_;
