/* Small helpers that every file may use: cleanup attributes, ownership transfer, array size.
 *
 * _cleanup_(f) runs f(&variable) when the variable leaves its scope, so that no error path can forget
 * to free. DEFINE_CLEANUP makes such an f out of a destructor that takes NULL and returns NULL. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _printf_(fmt, first) __attribute__((format(printf, fmt, first)))
#define _must_check_ __attribute__((warn_unused_result))
#define _unused_ __attribute__((unused))
#define _returns_nonnull_ __attribute__((returns_nonnull))

#define DEFINE_CLEANUP(Type, destroy)                                                                        \
        static inline void destroy##p(Type **pointer) {                                                      \
                if (*pointer)                                                                                \
                        *pointer = destroy(*pointer);                                                        \
        }

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))
#define MIN_OF(a, b) ((a) < (b) ? (a) : (b))
#define MAX_OF(a, b) ((a) > (b) ? (a) : (b))

/* Takes the pointer out of its variable and leaves NULL behind: `return steal_ptr(&object);` */
#define steal_ptr(pointer)                                                                                   \
        ({                                                                                                   \
                __auto_type _stolen_from = (pointer);                                                        \
                __auto_type _stolen = *_stolen_from;                                                         \
                *_stolen_from = NULL;                                                                        \
                _stolen;                                                                                     \
        })

static inline int steal_fd(int *fd) {
        int stolen = *fd;
        *fd = -1;
        return stolen;
}

static inline void freep(void *pointer) {
        free(*(void **) pointer);
        *(void **) pointer = NULL;
}
#define _cleanup_free_ _cleanup_(freep)

void fd_closep(int *fd);
#define _cleanup_close_ _cleanup_(fd_closep)

#define USEC_PER_SEC UINT64_C(1000000)
#define USEC_PER_MSEC UINT64_C(1000)
#define NSEC_PER_USEC UINT64_C(1000)
#define USEC_INFINITY UINT64_MAX

static inline int string_equal(const char *a, const char *b) {
        return a == b || (a && b && strcmp(a, b) == 0);
}
