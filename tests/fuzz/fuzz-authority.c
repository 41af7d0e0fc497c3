/* What clients send to the token authority, and the file that says who they are. The first byte of the input selects the parser:
 *
 *     f  body of a token request     a  client assertion     c  the claims of one, whose signature nobody can fuzz     j  applications */
#include "instance/authority-assertion.h"
#include "instance/authority-form.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The key is that of RFC 7517 appendix A.1. */
static const char known[] = "{\"tenants\":[{\"id\":\"t\",\"applications\":[{\"client_id\":\"c\",\"object_id\":\"o\",\"federated\":[{\"issuer\":\"i\","
                            "\"subject\":\"s\",\"audience\":\"a\",\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"1\","
                            "\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\",\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\"}]}]}]}]}";

static void fuzz_form(Span input) {
        _cleanup_form_ Form form = {};
        Err *err = form_parse(input, &form);
        if (!err && form.n > 0 && form_get(&form, form.fields[0].name) == NULL && form.fields[0].value[0])
                abort();
        err_free(err);
}

static void fuzz_assertion(Span input) {
        static Applications *applications;
        _cleanup_assertion_ Assertion assertion = {};
        Err *err = applications ? NULL : applications_parse(span_from_string(known), &applications);
        if (err)
                abort();
        AssertionRules rules = { .application = &applications->tenants[0].applications[0], .audiences = { "u", "v" }, .now_sec = 1700000000 };
        err = assertion_check(input, &rules, &assertion);
        if (!err)
                abort();        /* nobody has the key */
        err_free(err);
}

static void fuzz_claims(Span input) {
        _cleanup_free_ char *payload = NULL, *text = NULL;
        /* {"alg":"ES256","kid":"1"} and 64 zero bytes */
        Err *err = base64url_encode(input, &payload);
        if (!err)
                err = string_format(&text, "eyJhbGciOiJFUzI1NiIsImtpZCI6IjEifQ.%s.%086d", payload, 0);
        if (!err)
                fuzz_assertion(span_from_string(text));
        err_free(err);
}

static void fuzz_applications(Span input) {
        _cleanup_(applications_freep) Applications *applications = NULL;
        err_free(applications_parse(input, &applications));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        if (size == 0)
                return 0;
        Span input = span_make(data + 1, size - 1);
        switch (data[0]) {
        case 'f':
                fuzz_form(input);
                break;
        case 'a':
                fuzz_assertion(input);
                break;
        case 'c':
                fuzz_claims(input);
                break;
        case 'j':
                fuzz_applications(input);
                break;
        }
        return 0;
}
