/* What unit tests share: cmocka with its prerequisites, and assertions about errors. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/error.h"

/* expression returns NULL; otherwise the test fails with the described error. */
#define assert_ok(expression)                                                                                \
        do {                                                                                                 \
                Err *_error = (expression);                                                                  \
                if (_error) {                                                                                \
                        print_error("%s\n", err_describe(_error));                                           \
                        err_free(_error);                                                                    \
                        fail();                                                                              \
                }                                                                                            \
        } while (0)

/* expression returns an error of that code; it is freed. */
#define assert_err(expression, expected)                                                                     \
        do {                                                                                                 \
                Err *_error = (expression);                                                                  \
                if (err_code(_error) != (expected))                                                          \
                        print_error("got %s (%s), wanted %s\n", err_code_info(err_code(_error))->symbol,     \
                                    err_describe(_error), err_code_info(expected)->symbol);                  \
                assert_int_equal(err_code(_error), expected);                                                \
                err_free(_error);                                                                            \
        } while (0)

/* Folder of third-party vectors, or NULL where it is missing: then say so and skip(). */
static inline const char *vectors_directory(void) {
        const char *path = getenv("ATTESTD_VECTORS");
        return path && *path ? path : NULL;
}
