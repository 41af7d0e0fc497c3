/* JWK sets (RFC 7517 §5), see jwk.h. */
#include "jose/jwk.h"

JwkSet *jwk_set_free(JwkSet *set) {
        if (!set)
                return NULL;
        for (size_t i = 0; i < set->n_keys; i++)
                jwk_free(set->keys[i]);
        free(set->keys);
        free(set);
        return NULL;
}

static const Jwk *find_exact(const JwkSet *set, const char *kid) {
        for (size_t i = 0; i < set->n_keys; i++)
                if (set->keys[i]->kid && string_equal(set->keys[i]->kid, kid))
                        return set->keys[i];
        return NULL;
}

static size_t length_without_padding(const char *text) {
        size_t n = strlen(text);
        while (n > 0 && text[n - 1] == '=')
                n--;
        return n;
}

static bool kid_equal_but_padding(const char *a, const char *b) {
        size_t n = length_without_padding(a);
        return n == length_without_padding(b) && memcmp(a, b, n) == 0;
}

const Jwk *jwk_set_find(const JwkSet *set, const char *kid) {
        if (!set || !kid)
                return NULL;
        const Jwk *exact = find_exact(set, kid);
        for (size_t i = 0; !exact && i < set->n_keys; i++)
                if (set->keys[i]->kid && kid_equal_but_padding(set->keys[i]->kid, kid))
                        return set->keys[i];
        return exact;
}

/* RFC 7517 §5: keys of a kind that is not understood are ignored. */
static bool kind_is_known(const Json *json) {
        const char *kty = NULL, *curve = NULL;
        _cleanup_(err_freep) Err *err = json_get_string_optional(json, "kty", &kty);
        if (err || !kty)
                return true; /* jwk_from_json() says what is wrong */
        if (string_equal(kty, "RSA"))
                return true;
        if (!string_equal(kty, "EC"))
                return false;
        err = json_get_string_optional(json, "crv", &curve);
        return err || !curve || string_equal(curve, "P-256") || string_equal(curve, "P-384") || string_equal(curve, "P-521");
}

static Err *set_add(JwkSet *set, const Json *json) {
        if (json_is_object(json) && !kind_is_known(json)) {
                set->n_skipped++;
                return NULL;
        }
        _cleanup_(jwk_freep) Jwk *jwk = NULL;
        TRY(jwk_from_json(json, &jwk));
        if (jwk->kid && find_exact(set, jwk->kid))
                return err_new(ERR_KEY_INVALID, "two keys have the same kid");
        set->keys[set->n_keys++] = steal_ptr(&jwk);
        return NULL;
}

Err *jwk_set_parse(Span text, const char *what, JwkSet **ret) {
        _cleanup_json_ Json *json = NULL;
        TRY(err_wrap_code(ERR_KEY_INVALID, json_parse(text, what, &json), "%s is no key set", what));
        Json *list = json_get(json, "keys");
        if (list && !json_is_array(list))
                return err_new(ERR_KEY_INVALID, "%s: keys must be an array", what);
        size_t n = list ? json_object_array_length(list) : 1;
        if (n > JWK_SET_MAX)
                return err_new(ERR_KEY_INVALID, "%s: %zu keys, at most %d are allowed", what, n, JWK_SET_MAX);

        _cleanup_(jwk_set_freep) JwkSet *set = calloc(1, sizeof(JwkSet));
        if (!set || !(set->keys = calloc(n + 1, sizeof(Jwk *))))
                return err_oom();
        for (size_t i = 0; i < n; i++)
                TRY(err_wrap(set_add(set, list ? json_object_array_get_idx(list, i) : json), "%s: key %zu", what, i));
        *ret = steal_ptr(&set);
        return NULL;
}
