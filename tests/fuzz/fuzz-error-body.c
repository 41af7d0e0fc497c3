/* The body of a refusal, whatever it is: always an error, whose sentence can be shown on a terminal, and whose fields can be written as JSON. The first byte selects
 * the status. */
#include <assert.h>

#include "base/error-json.h"
#include "maa/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_fields(const Err *err) {
        _cleanup_json_ Json *json = NULL, *again = NULL;
        _cleanup_free_ char *text = NULL;
        Err *failure = err_to_json(err, &json);
        assert(!failure);
        failure = json_to_string(json, &text);
        assert(!failure);
        failure = json_parse(span_from_string(text), "again", &again);
        assert(!failure && json_object_equal(json, again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const long statuses[] = { 302, 400, 401, 403, 404, 408, 429, 500, 503 };
        char json[] = "application/json";
        _cleanup_bytes_ Bytes body = {};
        if (size < 1 || bytes_copy(span_make(data + 1, size - 1), &body))
                return 0;
        const HttpResponse response = { .status = statuses[data[0] % N_ELEMENTS(statuses)], .content_type = json, .body = body };
        _cleanup_(err_freep) Err *err = http_response_check(&response, UINT64_C(1700000000));
        assert(err && err_http_status(err) == response.status);
        for (const char *c = err_sentence(err); *c; c++)
                assert((unsigned char) *c >= 0x20 && *c != 0x7f);
        assert(strlen(err_sentence(err)) < 1024);
        check_fields(err);
        return 0;
}
