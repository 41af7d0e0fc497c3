/* See plain.h. */
#include "tests/unit/maa/plain.h"

#include <openssl/evp.h>

#include "tests/support/unit.h"

void plain_decode(const char *text, size_t size, Bytes *ret) {
        size_t padded = (size + 3) / 4 * 4;
        char *standard = calloc(1, padded + 1);
        for (size_t i = 0; i < padded; i++)
                standard[i] = i >= size ? '=' : text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
        assert_null(memchr(text, '+', size));
        assert_null(memchr(text, '/', size));
        assert_ok(bytes_alloc(padded / 4 * 3, ret));
        int n = EVP_DecodeBlock(ret->data, (const uint8_t *) standard, (int) padded);
        assert_int_equal(n, padded / 4 * 3);
        ret->size = (size_t) n - (padded - size);
        ret->data[ret->size] = 0;
        free(standard);
}

char *plain_encode(const char *text) {
        size_t size = strlen(text);
        char *encoded = calloc(1, (size + 2) / 3 * 4 + 1);
        EVP_EncodeBlock((uint8_t *) encoded, (const uint8_t *) text, (int) size);
        for (char *c = encoded; *c; c++)
                *c = *c == '+' ? '-' : *c == '/' ? '_' : *c == '=' ? 0 : *c;
        return encoded;
}

Json *member(Json *json, const char *name) {
        Json *value = NULL;
        if (!json_object_object_get_ex(json, name, &value))
                fail_msg("no member %s", name);
        return value;
}

const char *text_member(Json *json, const char *name) {
        assert_true(json_object_is_type(member(json, name), json_type_string));
        return json_object_get_string(member(json, name));
}

void assert_bytes_member(Json *json, const char *name, Span expected) {
        _cleanup_bytes_ Bytes decoded = {};
        const char *text = text_member(json, name);
        plain_decode(text, strlen(text), &decoded);
        assert_int_equal(decoded.size, expected.size);
        assert_memory_equal(decoded.data, expected.data, expected.size);
}
