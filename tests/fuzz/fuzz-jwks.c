/* Any text as the key set that an instance publishes (GET certs). A set that is taken has keys that can be found by their names and that fit their certificates,
 * and what libattest and attestctl show of it can be shown. A set that is refused is an answer that cannot be used. */
#include <assert.h>

#include "jose/x509.h"
#include "maa/metadata.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The same names as the service compares them: padding does not count (see jwk_set_find()). */
static bool same_name(const char *a, const char *b) {
        size_t n = strcspn(a, "=");
        return n == strcspn(b, "=") && memcmp(a, b, n) == 0;
}

static void check_certificates(const Jwk *jwk) {
        _cleanup_free_ char *pem = NULL, *thumbprint = NULL, *again_pem = NULL;
        _cleanup_(x509_stack_freep) STACK_OF(X509) *again = NULL;
        assert(sk_X509_num(jwk->x5c) > 0 && jwk_same_key(X509_get0_pubkey(x509_stack_leaf(jwk->x5c)), jwk->key));
        Err *err = x509_stack_to_pem(jwk->x5c, &pem);
        assert(!err);
        err = x509_stack_from_pem(span_from_string(pem), "again", &again);
        assert(!err && sk_X509_num(again) == sk_X509_num(jwk->x5c));
        err = x509_stack_to_pem(again, &again_pem);
        assert(!err && string_equal(pem, again_pem));
        err = x509_thumbprint_sha256(x509_stack_leaf(jwk->x5c), &thumbprint);
        assert(!err && strlen(thumbprint) == 43);
}

static void check_key(const JwkSet *set, const Jwk *jwk) {
        _cleanup_free_ char *text = NULL;
        Err *err = jwk_public_text(jwk->key, &text);
        assert(!err && *text);
        if (jwk->kid) {
                const Jwk *found = jwk_set_find(set, jwk->kid);
                assert(found && found->kid && same_name(found->kid, jwk->kid));
        }
        if (jwk->x5c)
                check_certificates(jwk);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(jwk_set_freep) JwkSet *set = NULL;
        Err *err = maa_certs_parse(span_make(data, size), &set);
        assert(!err == !!set);
        if (err) {
                assert(err_code(err) == ERR_SERVICE_ANSWER_INVALID && *err_describe(err));
                err_free(err);
                return 0;
        }
        assert(set->n_keys > 0 && set->n_keys + set->n_skipped <= JWK_SET_MAX);
        for (size_t i = 0; i < set->n_keys; i++)
                check_key(set, set->keys[i]);
        assert(!jwk_set_find(set, NULL) || !jwk_set_find(set, NULL)->kid);
        return 0;
}
