/* See bytes.h. */
#include "base/bytes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

void fd_closep(int *fd) {
        if (*fd >= 0) {
                int saved = errno;
                close(*fd);
                errno = saved;
        }
        *fd = -1;
}

void bytes_done(Bytes *bytes) {
        if (!bytes)
                return;
        free(bytes->data);
        *bytes = (Bytes) {};
}

void bytes_erase(Bytes *bytes) {
        if (!bytes)
                return;
        if (bytes->data)
                explicit_bzero(bytes->data, bytes->size);
        bytes_done(bytes);
}

bool span_equal(Span a, Span b) {
        return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

bool span_equal_string(Span a, const char *text) {
        return span_equal(a, span_from_string(text));
}

bool span_is_zero(Span span) {
        for (size_t i = 0; i < span.size; i++)
                if (span.data[i] != 0)
                        return false;
        return true;
}

Err *bytes_alloc(size_t size, Bytes *ret) {
        size_t room;
        if (__builtin_add_overflow(size, 1, &room))
                return err_oom();
        uint8_t *data = calloc(1, room);
        if (!data)
                return err_oom();
        *ret = (Bytes) { data, size };
        return NULL;
}

Err *bytes_copy(Span span, Bytes *ret) {
        TRY(bytes_alloc(span.size, ret));
        if (span.size > 0)
                memcpy(ret->data, span.data, span.size); /* lint: allocated with this size above */
        return NULL;
}

Err *string_format(char **ret, const char *format, ...) {
        va_list arguments;
        char *text;
        va_start(arguments, format);
        int r = vasprintf(&text, format, arguments);
        va_end(arguments);
        if (r < 0)
                return err_oom();
        *ret = text;
        return NULL;
}

Err *string_join_secret(const char *prefix, Span text, char **ret) {
        size_t n = strlen(prefix);
        Bytes joined = {};
        if (text.size > 0 && memchr(text.data, 0, text.size))
                return err_new(ERR_INVALID_ARGUMENT, "a NUL in the text");
        TRY(bytes_alloc(n + text.size, &joined));
        for (size_t i = 0; i < joined.size; i++)
                joined.data[i] = i < n ? (uint8_t) prefix[i] : text.data[i - n];
        *ret = (char *) joined.data;
        return NULL;
}

Err *string_copy(const char *text, char **ret) {
        char *copy = strdup(text);
        if (!copy)
                return err_oom();
        *ret = copy;
        return NULL;
}

Err *string_copy_span(Span text, char **ret) {
        if (text.size > 0 && memchr(text.data, 0, text.size))
                return err_new(ERR_INVALID_ARGUMENT, "the text contains a NUL byte");
        Bytes copy;
        TRY(bytes_copy(text, &copy));
        *ret = (char *) copy.data;
        return NULL;
}

static const char alphabet_url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static const char alphabet_standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64url_encoded_size(size_t size) {
        return size / 3 * 4 + (size % 3 == 0 ? 0 : size % 3 + 1);
}

/* Returns the end of what was written; groups of three bytes become four characters, the rest 2 or 3. */
static char *encode_with(const char *alphabet, Span data, char *out) {
        size_t i = 0;
        for (; data.size - i >= 3; i += 3) {
                uint32_t group = (uint32_t) data.data[i] << 16 | (uint32_t) data.data[i + 1] << 8 | data.data[i + 2];
                *out++ = alphabet[group >> 18];
                *out++ = alphabet[group >> 12 & 63];
                *out++ = alphabet[group >> 6 & 63];
                *out++ = alphabet[group & 63];
        }
        if (data.size - i == 0)
                return out;
        uint32_t group = (uint32_t) data.data[i] << 16 | (data.size - i == 2 ? (uint32_t) data.data[i + 1] << 8 : 0);
        *out++ = alphabet[group >> 18];
        *out++ = alphabet[group >> 12 & 63];
        if (data.size - i == 2)
                *out++ = alphabet[group >> 6 & 63];
        return out;
}

void base64url_encode_into(Span data, char *out) {
        encode_with(alphabet_url, data, out);
}

Err *base64url_encode(Span data, char **ret) {
        Bytes text;
        TRY(bytes_alloc(base64url_encoded_size(data.size), &text));
        base64url_encode_into(data, (char *) text.data);
        *ret = (char *) text.data;
        return NULL;
}

Err *base64_encode(Span data, char **ret) {
        Bytes text;
        TRY(bytes_alloc((data.size + 2) / 3 * 4, &text));
        char *end = encode_with(alphabet_standard, data, (char *) text.data);
        while (end < (char *) text.data + text.size)
                *end++ = '=';
        *ret = (char *) text.data;
        return NULL;
}

typedef enum Alphabet { ALPHABET_URL = 1, ALPHABET_STANDARD = 2 } Alphabet;

static int decode_character(uint8_t c, unsigned alphabets) {
        if (c >= 'A' && c <= 'Z')
                return c - 'A';
        if (c >= 'a' && c <= 'z')
                return c - 'a' + 26;
        if (c >= '0' && c <= '9')
                return c - '0' + 52;
        if ((c == '-' && (alphabets & ALPHABET_URL)) || (c == '+' && (alphabets & ALPHABET_STANDARD)))
                return 62;
        if ((c == '_' && (alphabets & ALPHABET_URL)) || (c == '/' && (alphabets & ALPHABET_STANDARD)))
                return 63;
        return -1;
}

/* text has no padding any more. */
static Err *decode_with(unsigned alphabets, Span text, const char *what, Bytes *ret) {
        if (text.size % 4 == 1)
                return err_new(ERR_BASE64_INVALID, "%s: %zu characters are no base64", what, text.size);

        _cleanup_bytes_ Bytes data = {};
        TRY(bytes_alloc(text.size / 4 * 3 + (text.size % 4 > 0 ? text.size % 4 - 1 : 0), &data));
        uint32_t bits = 0;
        unsigned n_bits = 0;
        size_t n = 0;
        for (size_t i = 0; i < text.size; i++) {
                int value = decode_character(text.data[i], alphabets);
                if (value < 0)
                        return err_new(ERR_BASE64_INVALID, "%s: the character at offset %zu is not allowed in base64", what, i);
                bits = (bits << 6 | (uint32_t) value) & 0xffffff;
                n_bits += 6;
                if (n_bits >= 8) {
                        n_bits -= 8;
                        data.data[n++] = (uint8_t) (bits >> n_bits & 0xff);
                }
        }
        if ((bits & ((UINT32_C(1) << n_bits) - 1)) != 0)
                return err_new(ERR_BASE64_INVALID, "%s: unused bits at the end of the base64 are not zero", what);
        *ret = bytes_steal(&data);
        return NULL;
}

static size_t count_padding(Span text) {
        size_t n = 0;
        while (n < 2 && n < text.size && text.data[text.size - 1 - n] == '=')
                n++;
        return n;
}

Err *base64url_decode(Span text, const char *what, Bytes *ret) {
        return decode_with(ALPHABET_URL, text, what, ret);
}

Err *base64_decode_lenient(Span text, const char *what, Bytes *ret) {
        text.size -= count_padding(text);
        return decode_with(ALPHABET_URL | ALPHABET_STANDARD, text, what, ret);
}

Err *base64_decode(Span text, const char *what, Bytes *ret) {
        if (text.size % 4 != 0)
                return err_new(ERR_BASE64_INVALID, "%s: %zu characters are no padded base64", what, text.size);
        text.size -= count_padding(text);
        return decode_with(ALPHABET_STANDARD, text, what, ret);
}

void hex_encode_into(Span data, char *out) {
        static const char digits[] = "0123456789abcdef";
        for (size_t i = 0; i < data.size; i++) {
                *out++ = digits[data.data[i] >> 4];
                *out++ = digits[data.data[i] & 15];
        }
        *out = 0;
}

Err *hex_encode(Span data, char **ret) {
        Bytes text;
        size_t size;
        if (__builtin_mul_overflow(data.size, 2, &size))
                return err_oom();
        TRY(bytes_alloc(size, &text));
        hex_encode_into(data, (char *) text.data);
        *ret = (char *) text.data;
        return NULL;
}

static int hex_digit(uint8_t c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -1;
}

Err *hex_decode(Span text, const char *what, Bytes *ret) {
        if (text.size % 2 != 0)
                return err_new(ERR_INVALID_ARGUMENT, "%s: an odd number of hex digits (%zu)", what, text.size);
        _cleanup_bytes_ Bytes data = {};
        TRY(bytes_alloc(text.size / 2, &data));
        for (size_t i = 0; i < text.size; i += 2) {
                int high = hex_digit(text.data[i]), low = hex_digit(text.data[i + 1]);
                if (high < 0 || low < 0)
                        return err_new(ERR_INVALID_ARGUMENT, "%s: no hex digit at offset %zu", what, high < 0 ? i : i + 1);
                data.data[i / 2] = (uint8_t) (high << 4 | low);
        }
        *ret = bytes_steal(&data);
        return NULL;
}

Err *fd_read_all(int fd, const char *what, size_t max, Bytes *ret) {
        _cleanup_bytes_ Bytes data = {};
        size_t room = 0;
        for (;;) {
                if (room - data.size < 2) {
                        size_t larger = room == 0 ? 16384 : room * 2;
                        uint8_t *grown = realloc(data.data, larger);
                        if (!grown)
                                return err_oom();
                        data.data = grown;
                        room = larger;
                }
                ssize_t n = read(fd, data.data + data.size, room - data.size - 1);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return err_new_errno(ERR_IO, errno, "reading %s", what);
                data.size += (size_t) n;
                data.data[data.size] = 0;
                if (data.size > max)
                        return err_new(ERR_LIMIT_EXCEEDED, "%s is larger than the limit of %zu bytes", what, max);
                if (n == 0)
                        break;
        }
        *ret = bytes_steal(&data);
        return NULL;
}

Err *file_read(const char *path, size_t max, Bytes *ret) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return err_new_errno(ERR_IO, errno, "opening %s", path);
        return fd_read_all(fd, path, max, ret);
}

static Err *write_all(int fd, const char *path, Span data) {
        while (data.size > 0) {
                ssize_t n = write(fd, data.data, data.size);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return err_new_errno(ERR_IO, errno, "writing %s", path);
                data.data += n;
                data.size -= (size_t) n;
        }
        return NULL;
}

Err *fd_from_bytes(const char *name, Span data, int *ret_fd) {
        _cleanup_close_ int fd = memfd_create(name, MFD_CLOEXEC);
        if (fd < 0)
                return err_new_errno(ERR_IO, errno, "making a file in memory");
        TRY(write_all(fd, name, data));
        *ret_fd = steal_fd(&fd);
        return NULL;
}

static Err *write_and_sync(int fd, const char *path, Span data) {
        TRY(write_all(fd, path, data));
        if (fsync(fd) < 0)
                return err_new_errno(ERR_IO, errno, "flushing %s to disk", path);
        return NULL;
}

/* What mkostemp() makes of it is a dot and six letters or digits. */
#define UNFINISHED ".XXXXXX"

static Err *folder_of(const char *path, char **ret) {
        const char *slash = strrchr(path, '/');
        *ret = !slash ? strdup(".") : slash == path ? strdup("/") : strndup(path, (size_t) (slash - path));
        return *ret ? NULL : err_oom();
}

static Err *sync_folder_of(const char *path) {
        _cleanup_free_ char *folder = NULL;
        TRY(folder_of(path, &folder));
        _cleanup_close_ int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || fsync(fd) < 0)
                return err_new_errno(ERR_IO, errno, "flushing the folder %s", folder);
        return NULL;
}

Err *file_write_atomic(const char *path, Span data, unsigned mode) {
        _cleanup_free_ char *temporary = NULL;
        TRY(string_format(&temporary, "%s" UNFINISHED, path));
        _cleanup_close_ int fd = mkostemp(temporary, O_CLOEXEC);
        if (fd < 0)
                return err_new_errno(ERR_IO, errno, "creating a file beside %s", path);
        Err *err = NULL;
        if (fchmod(fd, mode) < 0)
                err = err_new_errno(ERR_IO, errno, "setting the mode of %s", temporary);
        if (!err)
                err = write_and_sync(fd, temporary, data);
        if (!err && rename(temporary, path) < 0)
                err = err_new_errno(ERR_IO, errno, "renaming %s to %s", temporary, path);
        if (err) {
                unlink(temporary);
                return err;
        }
        return sync_folder_of(path);
}

static bool is_unfinished(const char *name, const char *base) {
        size_t size = strlen(base);
        return strncmp(name, base, size) == 0 && strlen(name) == size + strlen(UNFINISHED) && name[size] == '.' &&
               strspn(name + size + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == strlen(UNFINISHED) - 1;
}

Err *file_remove_unfinished(const char *path) {
        _cleanup_free_ char *folder = NULL;
        TRY(folder_of(path, &folder));
        const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
        DIR *stream = opendir(folder);
        if (!stream)
                return errno == ENOENT ? NULL : err_new_errno(ERR_IO, errno, "opening %s", folder);
        Err *err = NULL;
        for (struct dirent *entry; !err && (entry = readdir(stream));)
                if (is_unfinished(entry->d_name, base) && unlinkat(dirfd(stream), entry->d_name, 0) < 0 && errno != ENOENT)
                        err = err_new_errno(ERR_IO, errno, "removing %s/%s", folder, entry->d_name);
        closedir(stream);
        return err;
}
