/* What token authorities and metadata services answer. The first byte of the input selects the parser, the next two are the HTTP status:
 *
 *     a  answer of a token authority     m  of a metadata service     r  WWW-Authenticate of Azure Arc     t  a file with a token */
#include "client/credential-private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_answer(Span input, long status, AccessTokenSource source) {
        _cleanup_http_response_ HttpResponse response = { .status = status };
        _cleanup_access_token_ AccessToken token = {};
        Err *err = bytes_copy(input, &response.body);
        if (!err)
                err = access_token_parse(&response, source, 1700000000, &token);
        /* what is believed has no character that could end a header */
        if (!err && (strncmp(token.authorization, "Bearer ", 7) != 0 || strpbrk(token.authorization + 7, " \r\n") || token.expires_sec <= 1700000000 ||
                     token.refresh_sec > token.expires_sec))
                abort();
        (void) err_describe(err);
        err_free(err);
}

static void fuzz_challenge(Span input) {
        const Credential credential = { .arc_directory = (char *) "/nonexistent" };
        _cleanup_free_ char *text = NULL, *key = NULL;
        Err *err = string_copy_span(input, &text);
        if (!err)
                err = credential_arc_key(&credential, text, &key);
        if (!err)
                abort();        /* there is no such file */
        err_free(err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        if (size < 3)
                return 0;
        Span input = span_make(data + 3, size - 3);
        long status = data[1] * 256 + data[2];
        _cleanup_free_ char *authorization = NULL;
        switch (data[0]) {
        case 'a':
                fuzz_answer(input, status, ACCESS_TOKEN_OF_AUTHORITY);
                break;
        case 'm':
                fuzz_answer(input, status, ACCESS_TOKEN_OF_MANAGED_IDENTITY);
                break;
        case 'r':
                fuzz_challenge(input);
                break;
        case 't':
                err_free(access_token_authorization(input, "the file", &authorization));
                break;
        }
        return 0;
}
