/* See source.h. Each kind is a small state machine behind one read function. */
#include "base/source.h"

#include <errno.h>
#include <unistd.h>

#define CHUNK_SIZE 12288 /* a multiple of 3, so that base64 groups never straddle chunks */

typedef enum SourceKind { SOURCE_BYTES, SOURCE_FD, SOURCE_BASE64URL, SOURCE_CONCAT } SourceKind;

struct Source {
        SourceKind kind;
        uint64_t size;
        uint64_t position;
        /* bytes */
        Bytes bytes;
        /* fd */
        int fd;
        uint64_t fd_offset;
        char *what;
        /* base64url and concat */
        Source **inner;
        size_t n_inner;
        size_t current;
        /* base64url: encoded text not handed out yet */
        char *encoded;
        size_t encoded_begin, encoded_end;
};

Source *source_free(Source *source) {
        if (!source)
                return NULL;
        bytes_erase(&source->bytes);   /* a form may hold a secret */
        fd_closep(&source->fd);
        free(source->what);
        for (size_t i = 0; i < source->n_inner; i++)
                source_free(source->inner[i]);
        free(source->inner);
        free(source->encoded);
        free(source);
        return NULL;
}

static Err *source_new(SourceKind kind, Source **ret) {
        Source *source = calloc(1, sizeof(Source));
        if (!source)
                return err_oom();
        source->kind = kind;
        source->fd = -1;
        *ret = source;
        return NULL;
}

Err *source_new_bytes(Bytes *steal_bytes, Source **ret) {
        Source *source;
        TRY(source_new(SOURCE_BYTES, &source));
        source->bytes = bytes_steal(steal_bytes);
        source->size = source->bytes.size;
        *ret = source;
        return NULL;
}

Err *source_new_string(const char *text, Source **ret) {
        _cleanup_bytes_ Bytes copy = {};
        TRY(bytes_copy(span_from_string(text), &copy));
        return source_new_bytes(&copy, ret);
}

Err *source_new_fd(int fd, uint64_t offset, uint64_t size, const char *what, Source **ret) {
        _cleanup_close_ int owned = fd;
        _cleanup_(source_freep) Source *source = NULL;
        uint64_t end;
        if (__builtin_add_overflow(offset, size, &end) || end > INT64_MAX)
                return err_new(ERR_LIMIT_EXCEEDED, "%s: a range beyond the largest file offset", what);
        TRY(source_new(SOURCE_FD, &source));
        TRY(string_copy(what, &source->what));
        source->fd = steal_fd(&owned);
        source->fd_offset = offset;
        source->size = size;
        *ret = steal_ptr(&source);
        return NULL;
}

static Err *source_new_over(SourceKind kind, Source **steal_sources, size_t n, Source **ret) {
        Source *source = NULL;
        Err *err = source_new(kind, &source);
        if (!err) {
                source->inner = calloc(n, sizeof(Source *));
                if (!source->inner && n > 0)
                        err = err_oom();
        }
        for (size_t i = 0; i < n; i++) {
                if (err)
                        source_free(steal_sources[i]);
                else
                        source->inner[source->n_inner++] = steal_sources[i];
        }
        if (err) {
                source_free(source);
                return err;
        }
        *ret = source;
        return NULL;
}

Err *source_new_base64url(Source *steal_inner, Source **ret) {
        uint64_t inner_size = steal_inner->size;
        _cleanup_(source_freep) Source *source = NULL;
        TRY(source_new_over(SOURCE_BASE64URL, &steal_inner, 1, &source));
        if (inner_size > INT64_MAX / 2)
                return err_new(ERR_LIMIT_EXCEEDED, "a body of %llu bytes is too large", (unsigned long long) inner_size);
        source->encoded = malloc(CHUNK_SIZE / 3 * 4);
        if (!source->encoded)
                return err_oom();
        source->size = base64url_encoded_size((size_t) inner_size);
        *ret = steal_ptr(&source);
        return NULL;
}

Err *source_new_concat(Source **steal_sources, size_t n, Source **ret) {
        uint64_t size = 0;
        bool overflow = false;
        for (size_t i = 0; i < n; i++)
                overflow |= __builtin_add_overflow(size, steal_sources[i]->size, &size);
        _cleanup_(source_freep) Source *source = NULL;
        TRY(source_new_over(SOURCE_CONCAT, steal_sources, n, &source));
        if (overflow)
                return err_new(ERR_LIMIT_EXCEEDED, "a body is too large");
        source->size = size;
        *ret = steal_ptr(&source);
        return NULL;
}

uint64_t source_size(const Source *source) {
        return source->size;
}

static Err *read_bytes(Source *source, uint8_t *buffer, size_t size, size_t *ret_n) {
        size_t n = MIN_OF(size, source->bytes.size - (size_t) source->position);
        if (n > 0)
                memcpy(buffer, source->bytes.data + source->position, n); /* lint: n is the smaller of both sizes */
        *ret_n = n;
        return NULL;
}

static Err *read_fd(Source *source, uint8_t *buffer, size_t size, size_t *ret_n) {
        size_t wanted = (size_t) MIN_OF((uint64_t) size, source->size - source->position);
        ssize_t n;
        do
                n = wanted == 0 ? 0 : pread(source->fd, buffer, wanted, (off_t) (source->fd_offset + source->position));
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return err_new_errno(ERR_IO, errno, "reading %s", source->what);
        if (n == 0 && wanted > 0)
                return err_new(ERR_IO, "%s became shorter while it was read", source->what);
        *ret_n = (size_t) n;
        return NULL;
}

/* Fills buffer unless the source ends before. */
static Err *read_full(Source *source, uint8_t *buffer, size_t size, size_t *ret_n) {
        size_t filled = 0;
        while (filled < size) {
                size_t n;
                TRY(source_read(source, buffer + filled, size - filled, &n));
                if (n == 0)
                        break;
                filled += n;
        }
        *ret_n = filled;
        return NULL;
}

static Err *read_base64url(Source *source, uint8_t *buffer, size_t size, size_t *ret_n) {
        if (source->encoded_begin == source->encoded_end) {
                uint8_t raw[CHUNK_SIZE];
                size_t n;
                TRY(read_full(source->inner[0], raw, sizeof(raw), &n));
                base64url_encode_into(span_make(raw, n), source->encoded);
                source->encoded_begin = 0;
                source->encoded_end = base64url_encoded_size(n);
        }
        size_t n = MIN_OF(size, source->encoded_end - source->encoded_begin);
        memcpy(buffer, source->encoded + source->encoded_begin, n); /* lint: n is the smaller of both sizes */
        source->encoded_begin += n;
        *ret_n = n;
        return NULL;
}

static Err *read_concat(Source *source, uint8_t *buffer, size_t size, size_t *ret_n) {
        *ret_n = 0;
        while (size > 0 && source->current < source->n_inner) {
                TRY(source_read(source->inner[source->current], buffer, size, ret_n));
                if (*ret_n > 0)
                        return NULL;
                source->current++;
        }
        return NULL;
}

Err *source_read(Source *source, uint8_t *buffer, size_t size, size_t *ret_n) {
        size_t n = 0;
        switch (source->kind) {
        case SOURCE_BYTES:
                TRY(read_bytes(source, buffer, size, &n));
                break;
        case SOURCE_FD:
                TRY(read_fd(source, buffer, size, &n));
                break;
        case SOURCE_BASE64URL:
                TRY(read_base64url(source, buffer, size, &n));
                break;
        case SOURCE_CONCAT:
                TRY(read_concat(source, buffer, size, &n));
                break;
        }
        source->position += n;
        *ret_n = n;
        return NULL;
}

Err *source_rewind(Source *source) {
        source->position = 0;
        source->current = 0;
        source->encoded_begin = source->encoded_end = 0;
        for (size_t i = 0; i < source->n_inner; i++)
                TRY(source_rewind(source->inner[i]));
        return NULL;
}

Err *source_read_all(Source *source, size_t max, Bytes *ret) {
        if (source->size > max)
                return err_new(ERR_LIMIT_EXCEEDED, "a body of %llu bytes exceeds the limit of %zu",
                               (unsigned long long) source->size, max);
        _cleanup_bytes_ Bytes data = {};
        TRY(source_rewind(source));
        TRY(bytes_alloc((size_t) source->size, &data));
        size_t n;
        TRY(read_full(source, data.data, data.size, &n));
        if (n != data.size)
                return err_new(ERR_INTERNAL, "a body announced %zu bytes and gave %zu", data.size, n);
        TRY(source_rewind(source));
        *ret = bytes_steal(&data);
        return NULL;
}
