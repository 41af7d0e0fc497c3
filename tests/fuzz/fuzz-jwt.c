/* Any text as a token, judged by a fixed set: the public keys of RFC 7515 A.2 and RFC 7520 §3.1. Whatever fails must fail by a token rule. */
#include <assert.h>

#include "maa/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char set_text[] =
        "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"rsa\",\"e\":\"AQAB\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yR"
        "T-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxX"
        "FvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ\"},"
        "{\"kty\":\"EC\",\"kid\":\"ec\",\"crv\":\"P-256\",\"x\":\"04N0xi21hshyvBp7I167sbE_bXqyqkAPfefdklMO7wY\",\"y\":\"UI8exy-C06a7DUnjIdENkxeFtHM4-l_41LqEw9nVgmw\"}]}";

static bool is_token_rule(ErrCode code) {
        return code >= ERR_TOKEN_MALFORMED && code <= ERR_TOKEN_CLAIM_INVALID;
}

static void judge(Span text, const TokenRules *rules) {
        Token *token = NULL, *parsed = NULL;
        Json *shown = NULL;
        Err *err = token_validate(text, rules, &token, &parsed);
        assert(!err == !!token && !(token && parsed));
        if (err)
                assert(is_token_rule(err_code(err)) && *err_describe(err));
        if (token || parsed) {
                Err *show_err = token_to_json(token ? token : parsed, &shown);
                assert(!show_err && shown);
        }
        err_free(err);
        json_unref(shown);
        token_free(token);
        token_free(parsed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static JwkSet *keys;
        static STACK_OF(X509) *anchors;
        static const NamedValue required = { (char *) "tee", (char *) "tpm" };
        if (!keys) {
                Err *err = jwk_set_parse(span_from_string(set_text), "set", &keys);
                assert(!err);
                anchors = sk_X509_new_null();
        }
        judge(span_make(data, size), &(TokenRules) { .keys = keys, .algorithms = JOSE_ALGS_ASYMMETRIC, .signature_only = true });
        judge(span_make(data, size), &(TokenRules) { .keys = keys, .trust_anchors = anchors, .algorithms = JOSE_ALGS_ASYMMETRIC, .issuer = "https://a.test",
                                                     .now_sec = 1668716940, .clock_skew_sec = TOKEN_CLOCK_SKEW_SEC, .nonce = span_from_string("n"),
                                                     .request_key = keys->keys[0]->key, .required_claims = &required, .n_required_claims = 1 });
        return 0;
}
