/* Any text as a JWK or a JWK set. A key that is taken must survive being written and read again. */
#include <assert.h>

#include "jose/jwk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_key(const Jwk *jwk) {
        _cleanup_free_ char *text = NULL, *thumbprint = NULL;
        _cleanup_(jwk_set_freep) JwkSet *again = NULL;
        Err *err = jwk_public_text(jwk->key, &text);
        assert(!err);
        err = jwk_set_parse(span_from_string(text), "again", &again);
        assert(!err && again->n_keys == 1 && jwk_same_key(again->keys[0]->key, jwk->key));
        err = jwk_thumbprint(jwk->key, &thumbprint);
        assert(!err && strlen(thumbprint) == 43);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        JwkSet *set = NULL;
        Err *err = jwk_set_parse(span_make(data, size), "fuzz", &set);
        assert(!err == !!set);
        if (err)
                assert(err_code(err) == ERR_KEY_INVALID && *err_describe(err));
        else {
                assert(set->n_keys + set->n_skipped <= JWK_SET_MAX);
                for (size_t i = 0; i < set->n_keys; i++)
                        check_key(set->keys[i]);
        }
        err_free(err);
        jwk_set_free(set);
        return 0;
}
