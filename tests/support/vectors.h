/* Files of the vectors folder (see vectors_directory()). */
#pragma once

#include "tests/support/unit.h"

#include "base/json.h"

#define VECTOR_SIZE_MAX (64u << 20)

/* Says so and skips the running test where the folder is missing. */
static inline void vectors_need(void) {
        const char *directory = vectors_directory();
        _cleanup_free_ char *index = NULL;
        if (directory) {
                assert_ok(string_format(&index, "%s/INDEX.md", directory));
                FILE *file = fopen(index, "re");
                if (file) {
                        fclose(file);
                        return;
                }
        }
        print_message("SKIPPED: no test vectors in \"%s\" (-Dvectors=DIR)\n", directory ? directory : "");
        freep(&index);
        skip();
}

static inline Bytes vector_read(const char *name) {
        _cleanup_free_ char *path = NULL;
        Bytes content = {};
        assert_ok(string_format(&path, "%s/%s", vectors_directory(), name));
        assert_ok(file_read(path, VECTOR_SIZE_MAX, &content));
        return content;
}

/* Vectors may have what our strict parser refuses, so json-c alone reads them. */
static inline Json *vector_read_json(const char *name) {
        _cleanup_bytes_ Bytes content = vector_read(name);
        Json *json = json_tokener_parse((const char *) content.data);
        assert_non_null(json);
        return json;
}
