/* See jwk.h. Only public parts are read, whatever else a JWK holds.
 *
 * Strength (RSA bits, ROCA) is not judged here but where a key verifies: the real service publishes keys of 1024 bits beside good ones,
 * and one weak key must not hide the others. What no RSA or EC key may be is refused: an even modulus, a public exponent of 1 (it
 * makes every text its own signature) or an even one, a point off the curve. */
#include "jose/jwk.h"

#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include "base/writer.h"
#include "jose/openssl.h"
#include "jose/x509.h"

#define RSA_EXPONENT_BITS_MAX 64 /* what OpenSSL verifies with (OPENSSL_RSA_MAX_PUBEXP_BITS) */
#define MEMBER_SIZE_MAX 1024     /* kid, alg, use */

static inline OSSL_PARAM_BLD *param_builder_free(OSSL_PARAM_BLD *builder) { OSSL_PARAM_BLD_free(builder); return NULL; }
DEFINE_CLEANUP(OSSL_PARAM_BLD, param_builder_free)
static inline OSSL_PARAM *params_free(OSSL_PARAM *params) { OSSL_PARAM_free(params); return NULL; }
DEFINE_CLEANUP(OSSL_PARAM, params_free)

typedef struct Curve {
        const char *name;        /* RFC 7518 §6.2.1.1 */
        const char *group;       /* of OpenSSL */
        size_t coordinate_size;
} Curve;

static const Curve curves[] = {
        { "P-256", "prime256v1", 32 },
        { "P-384", "secp384r1", 48 },
        { "P-521", "secp521r1", 66 },
};

static const Curve *curve_of_key(EVP_PKEY *key) {
        char group[64];
        size_t size;
        if (EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group), &size) != 1) {
                openssl_forget_errors();
                return NULL;
        }
        for (size_t i = 0; i < N_ELEMENTS(curves); i++)
                if (string_equal(curves[i].group, group))
                        return &curves[i];
        return NULL;
}

static const Curve *curve_by_name(const char *name) {
        for (size_t i = 0; i < N_ELEMENTS(curves); i++)
                if (string_equal(curves[i].name, name))
                        return &curves[i];
        return NULL;
}

Jwk *jwk_free(Jwk *jwk) {
        if (!jwk)
                return NULL;
        EVP_PKEY_free(jwk->key);
        free(jwk->kid);
        free(jwk->alg);
        free(jwk->use);
        x509_stack_free(jwk->x5c);
        free(jwk);
        return NULL;
}

static Err *rsa_number(EVP_PKEY *key, const char *parameter, BIGNUM **ret) {
        BIGNUM *number = NULL;
        if (EVP_PKEY_get_bn_param(key, parameter, &number) != 1)
                return openssl_error(ERR_KEY_INVALID, "reading the RSA key");
        *ret = number;
        return NULL;
}

static Err *check_rsa(EVP_PKEY *key) {
        _cleanup_(bignum_freep) BIGNUM *n = NULL, *e = NULL;
        TRY(rsa_number(key, OSSL_PKEY_PARAM_RSA_N, &n));
        TRY(rsa_number(key, OSSL_PKEY_PARAM_RSA_E, &e));
        if (BN_num_bits(n) > JWK_RSA_BITS_MAX)
                return err_new(ERR_KEY_INVALID, "n: an RSA modulus of %d bits is too large, at most %d are allowed", BN_num_bits(n), JWK_RSA_BITS_MAX);
        if (!BN_is_odd(n))
                return err_new(ERR_KEY_INVALID, "n: an RSA modulus must be odd");
        if (!BN_is_odd(e) || BN_is_one(e) || BN_num_bits(e) > RSA_EXPONENT_BITS_MAX)
                return err_new(ERR_KEY_INVALID, "e: an RSA exponent must be odd, above 1 and of at most %d bits", RSA_EXPONENT_BITS_MAX);
        return NULL;
}

/* Of the kinds that JOSE knows, and sane. */
static Err *check_key(EVP_PKEY *key) {
        switch (EVP_PKEY_get_base_id(key)) {
        case EVP_PKEY_RSA:
                return check_rsa(key);
        case EVP_PKEY_EC:
                return curve_of_key(key) ? NULL : err_new(ERR_KEY_INVALID, "the curve of the EC key is not P-256, P-384 or P-521");
        default:
                return err_new(ERR_KEY_INVALID, "the key is neither RSA nor EC");
        }
}

static Err *key_from_params(const char *type, OSSL_PARAM_BLD *builder, EVP_PKEY **ret) {
        _cleanup_(params_freep) OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
        _cleanup_(pkey_context_freep) EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
        if (!params || !context || EVP_PKEY_fromdata_init(context) != 1)
                return openssl_error(ERR_INTERNAL, "preparing a key");
        EVP_PKEY *key = NULL;
        if (EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
                return openssl_error(ERR_KEY_INVALID, "the numbers are no %s key", type);
        *ret = key;
        return NULL;
}

static Err *get_number(const Json *json, const char *member, BIGNUM **ret) {
        _cleanup_bytes_ Bytes octets = {};
        TRY(err_wrap_code(ERR_KEY_INVALID, json_get_base64url(json, member, &octets), "the key's member %s", member));
        if (octets.size == 0 || octets.size > JWK_RSA_BITS_MAX / 8)
                return err_new(ERR_KEY_INVALID, "%s: %zu octets are no number of an RSA key", member, octets.size);
        BIGNUM *number = BN_bin2bn(octets.data, (int) octets.size, NULL);
        if (!number)
                return err_oom();
        *ret = number;
        return NULL;
}

/* RFC 7518 §6.3.1. Leading zero octets, which §2 forbids, are widespread and harmless. */
static Err *rsa_from_json(const Json *json, EVP_PKEY **ret) {
        _cleanup_(bignum_freep) BIGNUM *n = NULL, *e = NULL;
        TRY(get_number(json, "n", &n));
        TRY(get_number(json, "e", &e));
        _cleanup_(param_builder_freep) OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
        if (!builder || OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n) != 1 ||
            OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e) != 1)
                return err_oom();
        return key_from_params("RSA", builder, ret);
}

static Err *get_coordinate(const Json *json, const char *member, const Curve *curve, Bytes *ret) {
        _cleanup_bytes_ Bytes octets = {};
        TRY(err_wrap_code(ERR_KEY_INVALID, json_get_base64url(json, member, &octets), "the key's member %s", member));
        if (octets.size != curve->coordinate_size)
                return err_new(ERR_KEY_INVALID, "%s: %zu octets, %s needs exactly %zu", member, octets.size, curve->name, curve->coordinate_size);
        *ret = bytes_steal(&octets);
        return NULL;
}

/* RFC 7518 §6.2.1: x and y have the full size of the field. */
static Err *ec_from_json(const Json *json, EVP_PKEY **ret) {
        const char *name;
        TRY(err_wrap_code(ERR_KEY_INVALID, json_get_string(json, "crv", &name), "the key's curve"));
        const Curve *curve = curve_by_name(name);
        if (!curve)
                return err_new(ERR_KEY_INVALID, "crv: the curve is not P-256, P-384 or P-521");
        _cleanup_bytes_ Bytes x = {}, y = {}, point = {};
        TRY(get_coordinate(json, "x", curve, &x));
        TRY(get_coordinate(json, "y", curve, &y));
        _cleanup_writer_ Writer writer = {};
        writer_u8(&writer, POINT_CONVERSION_UNCOMPRESSED);
        writer_span(&writer, bytes_span(&x));
        writer_span(&writer, bytes_span(&y));
        TRY(writer_finish(&writer, &point));

        _cleanup_(param_builder_freep) OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
        if (!builder || OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, curve->group, 0) != 1 ||
            OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point.data, point.size) != 1)
                return err_oom();
        return key_from_params("EC", builder, ret);
}

static Err *key_from_leaf(const STACK_OF(X509) *chain, EVP_PKEY **ret) {
        EVP_PKEY *key = X509_get_pubkey(x509_stack_leaf(chain));
        if (!key)
                return openssl_error(ERR_KEY_INVALID, "x5c: the certificate's key");
        *ret = key;
        return NULL;
}

static Err *load_key(const Json *json, const char *kty, Jwk *jwk) {
        bool is_rsa = string_equal(kty, "RSA");
        _cleanup_(pkey_freep) EVP_PKEY *from_numbers = NULL;
        if (!is_rsa && !string_equal(kty, "EC"))
                return err_new(ERR_KEY_INVALID, "kty: the key is neither RSA nor EC");
        if (json_get(json, "x5c")) {
                TRY(x509_chain_from_json(json_get(json, "x5c"), &jwk->x5c));
                TRY(key_from_leaf(jwk->x5c, &jwk->key));
                if (EVP_PKEY_get_base_id(jwk->key) != (is_rsa ? EVP_PKEY_RSA : EVP_PKEY_EC))
                        return err_new(ERR_KEY_INVALID, "x5c: the certificate's key is not of the kind that kty names");
        }
        if (!jwk->x5c || json_get(json, is_rsa ? "n" : "x"))
                TRY(is_rsa ? rsa_from_json(json, &from_numbers) : ec_from_json(json, &from_numbers));
        if (from_numbers && jwk->key && !jwk_same_key(from_numbers, jwk->key))
                return err_new(ERR_KEY_INVALID, "x5c: the certificate has another key than the members beside it");
        if (!jwk->key)
                jwk->key = steal_ptr(&from_numbers);
        return check_key(jwk->key);
}

static Err *copy_member(const Json *json, const char *member, char **ret) {
        const char *text;
        TRY(err_wrap_code(ERR_KEY_INVALID, json_get_string_optional(json, member, &text), "the key's member %s", member));
        if (!text)
                return NULL;
        if (strlen(text) > MEMBER_SIZE_MAX)
                return err_new(ERR_KEY_INVALID, "%s: longer than %d bytes", member, MEMBER_SIZE_MAX);
        return string_copy(text, ret);
}

/* RFC 7517 §4.3: strings, none twice. Absent: everything is allowed. */
static Err *key_ops_allow_verify(const Json *json, bool *ret) {
        Json *list = json_get(json, "key_ops");
        if (!list) {
                *ret = true;
                return NULL;
        }
        bool verify = false;
        size_t n = json_is_array(list) ? json_object_array_length(list) : 0;
        if (n == 0 || n > 16)
                return err_new(ERR_KEY_INVALID, "key_ops: an array of 1 to 16 strings is needed");
        for (size_t i = 0; i < n; i++) {
                Json *item = json_object_array_get_idx(list, i);
                if (!json_is_string(item))
                        return err_new(ERR_KEY_INVALID, "key_ops: element %zu is no string", i);
                for (size_t k = 0; k < i; k++)
                        if (json_object_equal(item, json_object_array_get_idx(list, k)))
                                return err_new(ERR_KEY_INVALID, "key_ops: element %zu stands twice", i);
                verify |= string_equal(json_object_get_string(item), "verify");
        }
        *ret = verify;
        return NULL;
}

Err *jwk_from_json(const Json *json, Jwk **ret) {
        const char *kty;
        if (!json_is_object(json))
                return err_new(ERR_KEY_INVALID, "a JWK must be an object");
        TRY(err_wrap_code(ERR_KEY_INVALID, json_get_string(json, "kty", &kty), "the kind of the key"));
        _cleanup_(jwk_freep) Jwk *jwk = calloc(1, sizeof(Jwk));
        if (!jwk)
                return err_oom();
        bool ops_allow;
        TRY(copy_member(json, "kid", &jwk->kid));
        TRY(copy_member(json, "alg", &jwk->alg));
        TRY(copy_member(json, "use", &jwk->use));
        TRY(key_ops_allow_verify(json, &ops_allow));
        jwk->for_verify = ops_allow && (!jwk->use || string_equal(jwk->use, "sig"));
        TRY(load_key(json, kty, jwk));
        *ret = steal_ptr(&jwk);
        return NULL;
}

Err *jwk_from_x5c(const Json *x5c, Jwk **ret) {
        _cleanup_(jwk_freep) Jwk *jwk = calloc(1, sizeof(Jwk));
        if (!jwk)
                return err_oom();
        TRY(x509_chain_from_json(x5c, &jwk->x5c));
        TRY(key_from_leaf(jwk->x5c, &jwk->key));
        TRY(check_key(jwk->key));
        jwk->for_verify = true;
        *ret = steal_ptr(&jwk);
        return NULL;
}

bool jwk_same_key(EVP_PKEY *a, EVP_PKEY *b) {
        bool same = a && b && EVP_PKEY_eq(a, b) == 1;
        openssl_forget_errors();
        return same;
}

static Err *number_octets(EVP_PKEY *key, const char *parameter, size_t size, Bytes *ret) {
        _cleanup_(bignum_freep) BIGNUM *number = NULL;
        TRY(rsa_number(key, parameter, &number));
        _cleanup_bytes_ Bytes octets = {};
        TRY(bytes_alloc(size > 0 ? size : (size_t) BN_num_bytes(number), &octets));
        if (BN_bn2binpad(number, octets.data, (int) octets.size) < 0)
                return openssl_error(ERR_KEY_INVALID, "a number of the key has more than %zu octets", octets.size);
        *ret = bytes_steal(&octets);
        return NULL;
}

/* e_first: the order of RFC 7638 §3.3. */
static Err *rsa_text(EVP_PKEY *key, bool e_first, char **ret) {
        _cleanup_bytes_ Bytes n = {}, e = {};
        TRY(number_octets(key, OSSL_PKEY_PARAM_RSA_N, 0, &n));
        TRY(number_octets(key, OSSL_PKEY_PARAM_RSA_E, 0, &e));
        _cleanup_free_ char *n_text = NULL, *e_text = NULL;
        TRY(base64url_encode(bytes_span(&n), &n_text));
        TRY(base64url_encode(bytes_span(&e), &e_text));
        if (e_first)
                return string_format(ret, "{\"e\":\"%s\",\"kty\":\"RSA\",\"n\":\"%s\"}", e_text, n_text);
        return string_format(ret, "{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"%s\"}", n_text, e_text);
}

static Err *ec_text(EVP_PKEY *key, char **ret) {
        const Curve *curve = curve_of_key(key);
        if (!curve)
                return err_new(ERR_KEY_INVALID, "the curve of the EC key is not P-256, P-384 or P-521");
        _cleanup_bytes_ Bytes x = {}, y = {};
        TRY(number_octets(key, OSSL_PKEY_PARAM_EC_PUB_X, curve->coordinate_size, &x));
        TRY(number_octets(key, OSSL_PKEY_PARAM_EC_PUB_Y, curve->coordinate_size, &y));
        _cleanup_free_ char *x_text = NULL, *y_text = NULL;
        TRY(base64url_encode(bytes_span(&x), &x_text));
        TRY(base64url_encode(bytes_span(&y), &y_text));
        return string_format(ret, "{\"crv\":\"%s\",\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}", curve->name, x_text, y_text);
}

static Err *public_text(EVP_PKEY *key, bool e_first, char **ret) {
        TRY(check_key(key));
        return EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA ? rsa_text(key, e_first, ret) : ec_text(key, ret);
}

Err *jwk_public_text(EVP_PKEY *key, char **ret) {
        return public_text(key, /* e_first= */ false, ret);
}

Err *jwk_thumbprint(EVP_PKEY *key, char **ret) {
        _cleanup_free_ char *text = NULL;
        uint8_t digest[EVP_MAX_MD_SIZE];
        unsigned size;
        TRY(public_text(key, /* e_first= */ true, &text));
        if (EVP_Digest(text, strlen(text), digest, &size, EVP_sha256(), NULL) != 1)
                return openssl_error(ERR_INTERNAL, "hashing a key");
        return base64url_encode(span_make(digest, size), ret);
}

Err *jose_key_generate_rsa(unsigned bits, EVP_PKEY **ret) {
        EVP_PKEY *key = EVP_RSA_gen(bits);
        if (!key)
                return openssl_error(ERR_INTERNAL, "making an RSA key of %u bits", bits);
        *ret = key;
        return NULL;
}
