/* A document, a NUL, an expression. Whatever both are, a search ends within its limits, twice with the same result, in text that is JSON. */
#include <assert.h>

#include "policy/jmespath.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void search(const JmesPath *path, Json *document) {
        Json *result = NULL, *again = NULL;
        Err *err = jmespath_search(path, document, &result);
        Err *second = jmespath_search(path, document, &again);
        assert(err_code(err) == err_code(second));
        if (err) {
                assert(err_code(err) == ERR_JMESPATH_FAILED || err_code(err) == ERR_LIMIT_EXCEEDED);
        } else {
                _cleanup_free_ char *text = NULL, *text_again = NULL;
                assert(!json_to_string(result, &text) && !json_to_string(again, &text_again));
                assert(string_equal(text, text_again));
        }
        err_free(err);
        err_free(second);
        json_unref(result);
        json_unref(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const uint8_t *border = size > 0 ? memchr(data, 0, size) : NULL;
        if (!border)
                return 0;
        size_t document_size = (size_t) (border - data);
        _cleanup_json_ Json *document = NULL;
        _cleanup_(jmespath_freep) JmesPath *path = NULL;
        err_free(json_parse(span_make(data, document_size), "document", &document));
        Err *err = jmespath_parse(span_make(border + 1, size - document_size - 1), &path);
        assert(!err == !!path);
        if (err)
                assert(err_code(err) == ERR_JMESPATH_INVALID || err_code(err) == ERR_LIMIT_EXCEEDED);
        else
                search(path, document);
        err_free(err);
        return 0;
}
