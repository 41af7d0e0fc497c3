/* Whatever the service (or somebody in between) answers: the first byte says which parser gets the rest. Beside what the sanitizers see, a
 * parser must keep its contract: a believed value is of the promised form, and a refusal has the promised code. */
#include <stdio.h>

#include "maa/attest_tpm.h"
#include "maa/metadata.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW UINT64_C(1700000000)

static void demand(bool holds, const char *what) {
        if (!holds) {
                fprintf(stderr, "broken contract: %s\n", what);
                abort();
        }
}

static void consume(Err *err, ErrCode expected) {
        if (err)
                demand(err_code(err) == expected && err_sentence(err)[0] != 0 && err_describe(err)[0] != 0, err_describe(err));
        err_free(err);
}

static void fuzz_challenge(const HttpResponse *response) {
        _cleanup_attest_tpm_challenge_ AttestTpmChallenge challenge = {};
        Err *err = attest_tpm_challenge_parse(response, NOW, &challenge);
        if (!err) {
                demand(challenge.challenge.size == MAA_CHALLENGE_SIZE, "16 bytes");
                demand(challenge.service_context[0] && strlen(challenge.service_context) <= MAA_SERVICE_CONTEXT_MAX, "size of the context");
                demand(!strpbrk(challenge.service_context, "\"\\"), "a context that can be pasted");
        }
        consume(err, ERR_SERVICE_ANSWER_INVALID);
}

static void fuzz_report(const HttpResponse *response) {
        _cleanup_free_ char *token = NULL;
        Err *err = attest_tpm_report_parse(response, NOW, &token);
        demand(err || token[0] != 0, "a token that is not empty");
        consume(err, ERR_SERVICE_ANSWER_INVALID);
}

/* Lines "name:value". */
static void fuzz_headers(Span lines) {
        _cleanup_http_response_ HttpResponse response = { .status = 503 };
        while (lines.size > 0) {
                const uint8_t *end = memchr(lines.data, '\n', lines.size);
                size_t n = end ? (size_t) (end - lines.data) : lines.size;
                const uint8_t *colon = memchr(lines.data, ':', n);
                size_t n_name = colon ? (size_t) (colon - lines.data) : n, n_skipped = colon ? n_name + 1 : n;
                consume(http_response_add_header(&response, span_make(lines.data, n_name), span_make(lines.data + n_skipped, n - n_skipped)),
                        ERR_SERVICE_ANSWER_INVALID);
                lines = span_make(lines.data + n + (end != NULL), lines.size - n - (end != NULL));
        }
        _cleanup_(err_freep) Err *err = http_response_check(&response, NOW);
        demand(err_retry_after(err) <= 3600 * USEC_PER_SEC, "the cap of Retry-After");
}

static void fuzz_url(Span text) {
        _cleanup_free_ char *url = NULL, *normal = NULL, *again = NULL;
        if (memchr(text.data, 0, text.size))
                return;
        demand(!string_copy_span(text, &url), "a copy");
        Err *err = maa_base_url_normalize(url, &normal);
        if (!err) {
                demand(!maa_base_url_normalize(normal, &again) && string_equal(normal, again), "a normal form is its own normal form");
                demand(strncmp(normal, "https://", 8) == 0 && normal[strlen(normal) - 1] != '/', "the normal form");
        }
        consume(err, ERR_CONFIG_INVALID);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        if (size < 2)
                return 0;
        Span rest = span_make(data + 1, size - 1);
        char json[] = "application/json";
        _cleanup_bytes_ Bytes body = {};
        if (bytes_copy(rest, &body))
                return 0;
        HttpResponse response = { .status = 200, .content_type = json, .body = body };
        switch (data[0]) {
        case 'c':
                fuzz_challenge(&response);
                break;
        case 'r':
                fuzz_report(&response);
                break;
        case 'h':
                fuzz_headers(rest);
                break;
        case 'u':
                fuzz_url(rest);
                break;
        }
        return 0;
}
