/* Files of the vectors folder (see vectors_directory()). */
#pragma once

#include <glob.h>

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

/* The recorded key set of an issuer, NULL if there is none. Instances of one region share a key (maa/README.md), of the isolated one no set was recorded but its
 * neighbour's. */
static inline const char *vector_key_set_of(const char *issuer) {
        return strstr(issuer, "//cpgearamaattestationaad.") ? "maa/jwks/cpgearamaattestationaad-gen1.json" :
               strstr(issuer, "//cpgearamaattestationiso.") ? "maa/jwks/cplarryoattestationiso-gen3.json" :
               strstr(issuer, "//sharedwus.")               ? "maa/jwks/sharedwus-gen3.json" :
                                                              NULL;
}

/* Full paths that match pattern, at least n_min of them: a glob that finds nothing would be a test that cannot fail. */
static inline void vectors_glob(const char *pattern, size_t n_min, glob_t *ret) {
        char full[4096];
        assert_true((size_t) snprintf(full, sizeof(full), "%s/%s", vectors_directory(), pattern) < sizeof(full));
        assert_int_equal(glob(full, 0, NULL, ret), 0);
        assert_true(ret->gl_pathc >= n_min);
}
#define _cleanup_glob_ _cleanup_(globfree)
