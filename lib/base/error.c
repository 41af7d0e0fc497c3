/* See error.h. An Err owns its sentence and its cause; the joined text is made when it is first asked for. */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct Err {
        ErrCode code;
        ErrDomain domain;
        int64_t native;
        uint64_t retry_after_usec;
        char *sentence;
        Err *cause;
        char *description;
        char *details[_ERR_DETAIL_MAX];
};

static Err out_of_memory = { .code = ERR_NO_MEMORY, .sentence = (char *) "out of memory" };

static const ErrInfo info_table[_ERR_CODE_MAX] = {
        [ERR_NONE] = { "NONE", "None", ERR_DBUS_PREFIX "None", 0, ERR_RETRY_NEVER, "00000000000000000000000000000000", "No error." },
#define ERROR(symbol, name, exit_status, retry, message_id, help)                                            \
        [ERR_##symbol] = { #symbol, name, ERR_DBUS_PREFIX name, exit_status, retry, message_id, help },
#include "base/error.def"
#undef ERROR
};

static Err *err_make(ErrCode code, const char *format, va_list arguments) {
        Err *err = calloc(1, sizeof(Err));
        if (!err)
                return &out_of_memory;
        err->code = code;
        if (vasprintf(&err->sentence, format, arguments) < 0) {
                free(err);
                return &out_of_memory;
        }
        return err;
}

Err *err_new(ErrCode code, const char *format, ...) {
        va_list arguments;
        va_start(arguments, format);
        Err *err = err_make(code, format, arguments);
        va_end(arguments);
        return err;
}

Err *err_new_native(ErrCode code, ErrDomain domain, int64_t native, const char *format, ...) {
        va_list arguments;
        va_start(arguments, format);
        Err *err = err_make(code, format, arguments);
        va_end(arguments);
        if (err != &out_of_memory) {
                err->domain = domain;
                err->native = native;
        }
        return err;
}

Err *err_new_errno(ErrCode code, int errno_value, const char *format, ...) {
        int number = errno_value < 0 ? -errno_value : errno_value;
        if (number == ENOMEM)
                return &out_of_memory;
        _cleanup_free_ char *sentence = NULL;
        va_list arguments;
        va_start(arguments, format);
        int r = vasprintf(&sentence, format, arguments);
        va_end(arguments);
        if (r < 0) {
                sentence = NULL;
                return &out_of_memory;
        }
        char buffer[128];
        return err_new_native(code, ERR_DOMAIN_ERRNO, number, "%s: %s", sentence, strerror_r(number, buffer, sizeof(buffer)));
}

Err *err_oom(void) {
        return &out_of_memory;
}

static Err *err_put_above(Err *err, Err *cause) {
        if (err == &out_of_memory) {
                err_free(cause);
                return err;
        }
        err->cause = cause;
        return err;
}

Err *err_wrap(Err *cause, const char *format, ...) {
        if (!cause || cause == &out_of_memory)
                return cause;
        va_list arguments;
        va_start(arguments, format);
        Err *err = err_make(cause->code, format, arguments);
        va_end(arguments);
        return err_put_above(err, cause);
}

Err *err_wrap_code(ErrCode code, Err *cause, const char *format, ...) {
        if (!cause || cause == &out_of_memory)
                return cause;
        va_list arguments;
        va_start(arguments, format);
        Err *err = err_make(code, format, arguments);
        va_end(arguments);
        return err_put_above(err, cause);
}

Err *err_copy(const Err *err) {
        if (!err)
                return NULL;
        Err *copy = err_new_native(err->code, err->domain, err->native, "%s", err->sentence);
        if (copy == &out_of_memory)
                return copy;
        copy->retry_after_usec = err->retry_after_usec;
        for (unsigned i = 0; i < _ERR_DETAIL_MAX; i++)
                err_set_detail(copy, (ErrDetail) i, err->details[i]);
        copy->cause = err_copy(err->cause);
        return copy;
}

Err *err_free(Err *err) {
        while (err && err != &out_of_memory) {
                Err *cause = err->cause;
                free(err->sentence);
                free(err->description);
                for (unsigned i = 0; i < _ERR_DETAIL_MAX; i++)
                        free(err->details[i]);
                free(err);
                err = cause;
        }
        return NULL;
}

ErrCode err_code(const Err *err) {
        return err ? err->code : ERR_NONE;
}

const char *err_sentence(const Err *err) {
        return err ? err->sentence : "";
}

const Err *err_cause(const Err *err) {
        return err ? err->cause : NULL;
}

ErrDomain err_native(const Err *err, int64_t *ret_native) {
        for (; err; err = err->cause)
                if (err->domain != ERR_DOMAIN_NONE) {
                        if (ret_native)
                                *ret_native = err->native;
                        return err->domain;
                }
        return ERR_DOMAIN_NONE;
}

void err_set_retry_after(Err *err, uint64_t usec) {
        if (err && err != &out_of_memory)
                err->retry_after_usec = usec;
}

uint64_t err_retry_after(const Err *err) {
        for (; err; err = err->cause)
                if (err->retry_after_usec > 0)
                        return err->retry_after_usec;
        return 0;
}

int err_http_status(const Err *err) {
        for (; err; err = err->cause)
                if (err->domain == ERR_DOMAIN_HTTP)
                        return (int) err->native;
        return 0;
}

void err_set_detail(Err *err, ErrDetail detail, const char *value) {
        if (!err || err == &out_of_memory)
                return;
        size_t n = value ? strnlen(value, ERR_DETAIL_SIZE_MAX) : 0;
        while (n > 0 && ((unsigned char) value[n] & 0xc0) == 0x80)
                n--;
        free(err->details[detail]);
        err->details[detail] = value ? strndup(value, n) : NULL;
}

const char *err_detail(const Err *err, ErrDetail detail) {
        for (; err; err = err->cause)
                if (err->details[detail])
                        return err->details[detail];
        return NULL;
}

const char *err_describe(const Err *err) {
        if (!err)
                return "";
        if (!err->cause)
                return err->sentence;
        if (err->description)
                return err->description;

        size_t size = 1;
        for (const Err *e = err; e; e = e->cause)
                size += strlen(e->sentence) + 2;
        char *text = malloc(size), *end = text;
        if (!text)
                return err->sentence;
        for (const Err *e = err; e; e = e->cause)
                end += sprintf(end, /* lint: size was summed up over the same chain */ "%s%s", e->sentence, e->cause ? ": " : "");
        ((Err *) err)->description = text;
        return text;
}

const ErrInfo *err_code_info(ErrCode code) {
        return (unsigned) code < _ERR_CODE_MAX ? &info_table[code] : &info_table[ERR_INTERNAL];
}

ErrCode err_code_from_name(const char *name) {
        size_t prefix = strlen(ERR_DBUS_PREFIX);
        if (name && strncmp(name, ERR_DBUS_PREFIX, prefix) == 0)
                name += prefix;
        for (unsigned code = ERR_NONE + 1; name && code < _ERR_CODE_MAX; code++)
                if (strcmp(info_table[code].name, name) == 0)
                        return (ErrCode) code;
        return ERR_INTERNAL;
}

const char *err_retry_to_string(ErrRetry retry) {
        switch (retry) {
        case ERR_RETRY_TRANSIENT:
                return "transient";
        case ERR_RETRY_PERMANENT:
                return "permanent";
        case ERR_RETRY_NEVER:
                return "never";
        }
        return "?";
}
