/* See jws.h. Parsing a compact JWS (RFC 7515 §3.1, §5.2):
 *
 *     BASE64URL(UTF8(header)) '.' BASE64URL(payload) '.' BASE64URL(signature)
 *     |------------- signing input -----------------|
 *
 * A text that was cut on its way deserves to be called so, because what helps then is another transport and not another key. Fewer than three
 * parts of which the first begins like a JSON object, and a last part that is good base64url but for its length, count as cut. */
#include "jose/jws.h"

#include "base/writer.h"
#include "jose/openssl.h"
#include "jose/signature.h"

static const char *const alg_names[_JOSE_ALG_MAX] = {
        [JOSE_ALG_UNKNOWN] = "unknown",
        [JOSE_ALG_NONE] = "none",
        [JOSE_ALG_HS256] = "HS256", [JOSE_ALG_HS384] = "HS384", [JOSE_ALG_HS512] = "HS512",
        [JOSE_ALG_RS256] = "RS256", [JOSE_ALG_RS384] = "RS384", [JOSE_ALG_RS512] = "RS512",
        [JOSE_ALG_PS256] = "PS256", [JOSE_ALG_PS384] = "PS384", [JOSE_ALG_PS512] = "PS512",
        [JOSE_ALG_ES256] = "ES256", [JOSE_ALG_ES384] = "ES384", [JOSE_ALG_ES512] = "ES512",
};

const char *jose_alg_to_string(JoseAlg alg) {
        return alg_names[(unsigned) alg < _JOSE_ALG_MAX ? alg : JOSE_ALG_UNKNOWN];
}

JoseAlg jose_alg_from_string(const char *text) {
        for (unsigned alg = JOSE_ALG_UNKNOWN + 1; text && alg < _JOSE_ALG_MAX; alg++)
                if (string_equal(alg_names[alg], text))
                        return (JoseAlg) alg;
        return JOSE_ALG_UNKNOWN;
}

Err *jose_alg_set_parse(const char *text, JoseAlgSet *ret) {
        JoseAlgSet set = 0;
        for (const char *begin = text; *begin;) {
                size_t n = strcspn(begin, ", \t");
                _cleanup_free_ char *name = strndup(begin, n);
                if (!name)
                        return err_oom();
                JoseAlg alg = jose_alg_from_string(name);
                if (n > 0 && alg == JOSE_ALG_UNKNOWN)
                        return err_new(ERR_INVALID_ARGUMENT, "the algorithm \"%s\" is not known", name);
                if (n > 0 && !(JOSE_ALGS_ASYMMETRIC & JOSE_ALG_BIT(alg)))
                        return err_new(ERR_INVALID_ARGUMENT, "the algorithm \"%s\" is never allowed", name);
                set |= n > 0 ? JOSE_ALG_BIT(alg) : 0;
                begin += n + (begin[n] ? 1 : 0);
        }
        if (set == 0)
                return err_new(ERR_INVALID_ARGUMENT, "at least one algorithm is needed");
        *ret = set;
        return NULL;
}

Jws *jws_free(Jws *jws) {
        if (!jws)
                return NULL;
        json_unref(jws->header);
        bytes_done(&jws->text);
        bytes_done(&jws->header_text);
        bytes_done(&jws->payload);
        bytes_done(&jws->signature);
        free(jws);
        return NULL;
}

static bool is_space(uint8_t c) {
        return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static Span trim(Span text) {
        while (text.size > 0 && is_space(text.data[0]))
                text = span_make(text.data + 1, text.size - 1);
        while (text.size > 0 && is_space(text.data[text.size - 1]))
                text.size--;
        return text;
}

typedef struct Parts {
        Span header, payload, signature;
} Parts;

static Err *split(Span text, Parts *ret) {
        Span parts[3] = {};
        size_t n = 0, begin = 0;
        for (size_t i = 0; i <= text.size; i++) {
                if (i < text.size && text.data[i] != '.')
                        continue;
                if (n < N_ELEMENTS(parts))
                        parts[n] = span_make(text.data + begin, i - begin);
                n++;
                begin = i + 1;
        }
        /* "ey" and "ew" are what '{' with a quote or white space behind it becomes. */
        bool begins_well = text.size >= 2 && text.data[0] == 'e' && (text.data[1] == 'y' || text.data[1] == 'w');
        if (n < 3 && begins_well)
                return err_new(ERR_TOKEN_TRUNCATED, "the text ends in part %zu of 3", n);
        if (n != 3)
                return err_new(ERR_TOKEN_PARTS, "the text has %zu parts, 3 are needed", n);
        *ret = (Parts) { parts[0], parts[1], parts[2] };
        return NULL;
}

static Err *parse_header(Span part, Jws *jws) {
        TRY(err_wrap_code(ERR_TOKEN_MALFORMED, base64url_decode(part, "header", &jws->header_text), "the token's first part"));
        Err *err = json_parse(bytes_span(&jws->header_text), "header", &jws->header);
        if (err)
                return err_wrap_code(err_code(err) == ERR_JSON_DUPLICATE_MEMBER ? ERR_TOKEN_DUPLICATE_MEMBER : ERR_TOKEN_MALFORMED, err, "the token's header");
        if (!json_is_object(jws->header))
                return err_new(ERR_TOKEN_MALFORMED, "the token's header is no JSON object");

        const char *alg;
        TRY(err_wrap_code(ERR_TOKEN_MALFORMED, json_get_string_optional(jws->header, "kid", &jws->kid), "the token's header"));
        TRY(err_wrap_code(ERR_TOKEN_ALG_NOT_ALLOWED, json_get_string(jws->header, "alg", &alg), "the token's header"));
        jws->alg = jose_alg_from_string(alg);
        return NULL;
}

/* Sizes that signatures of usual keys have: the EC curves, RSA in steps of 512 bits. */
static bool size_is_usual(size_t size) {
        return size == 64 || size == 96 || size == 132 || (size > 0 && size % 64 == 0);
}

static Err *parse_signature(Span part, Jws *jws) {
        Err *err = base64url_decode(part, "signature", &jws->signature);
        if (!err)
                return NULL;
        bool alphabet_good = true;
        for (size_t i = 0; i < part.size; i++) {
                uint8_t c = part.data[i];
                alphabet_good &= (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
        }
        bool cut = alphabet_good && (part.size % 4 == 1 || !size_is_usual(part.size * 3 / 4));
        return err_wrap_code(cut ? ERR_TOKEN_TRUNCATED : ERR_TOKEN_MALFORMED, err, "the token's third part");
}

Err *jws_parse_bounded(Span text, size_t size_max, Jws **ret) {
        text = trim(text);
        if (text.size > size_max)
                return err_new(ERR_TOKEN_MALFORMED, "the text has %zu bytes, at most %zu are allowed", text.size, size_max);
        _cleanup_(jws_freep) Jws *jws = calloc(1, sizeof(Jws));
        if (!jws)
                return err_oom();
        Parts parts;
        TRY(bytes_copy(text, &jws->text));
        TRY(split(bytes_span(&jws->text), &parts));
        jws->signing_input = span_make(jws->text.data, parts.header.size + 1 + parts.payload.size);
        TRY(parse_header(parts.header, jws));
        TRY(err_wrap_code(ERR_TOKEN_MALFORMED, base64url_decode(parts.payload, "payload", &jws->payload), "the token's second part"));
        TRY(parse_signature(parts.signature, jws));
        *ret = steal_ptr(&jws);
        return NULL;
}

Err *jws_parse(Span text, Jws **ret) {
        return jws_parse_bounded(text, JWS_SIZE_MAX, ret);
}

bool jws_header_has(const Jws *jws, const char *member) {
        return json_object_object_get_ex(jws->header, member, NULL);
}

Err *jws_check_header(const Jws *jws, JoseAlgSet allowed) {
        const char *name = jose_alg_to_string(jws->alg);
        if (jws->alg == JOSE_ALG_NONE)
                return err_new(ERR_TOKEN_ALG_NONE, "the token is not signed (alg none)");
        if (jws->alg == JOSE_ALG_HS256 || jws->alg == JOSE_ALG_HS384 || jws->alg == JOSE_ALG_HS512)
                return err_new(ERR_TOKEN_ALG_SYMMETRIC, "the token's alg is the symmetric %s", name);
        if (!(allowed & JOSE_ALGS_ASYMMETRIC & JOSE_ALG_BIT(jws->alg)))
                return err_new(ERR_TOKEN_ALG_NOT_ALLOWED, "the token's alg (%s) is not allowed", name);
        /* RFC 7515 §4.1.11: no extension is understood here, and an empty list is forbidden too. */
        if (jws_header_has(jws, "crit"))
                return err_new(ERR_TOKEN_CRIT_UNKNOWN, "the token's header has crit");
        return NULL;
}

Err *jws_verify(const Jws *jws, JoseAlgSet allowed, const Jwk *key) {
        const char *name = jose_alg_to_string(jws->alg);
        TRY(jws_check_header(jws, allowed));
        if (key->alg && !string_equal(key->alg, name))
                return err_new(ERR_TOKEN_ALG_KEY_MISMATCH, "the key is reserved for another alg than %s", name);
        if (!key->for_verify)
                return err_new(ERR_TOKEN_ALG_KEY_MISMATCH, "the key's use or key_ops do not allow verifying");
        TRY(jose_signature_check_kind(jws->alg, key->key));
        TRY(jose_signature_check_strength(key->key));
        return jose_signature_verify(jws->alg, key->key, jws->signing_input, bytes_span(&jws->signature));
}

/* The digest over all that source still gives. */
static Err *digest_source(EVP_MD_CTX *context, Source *source) {
        uint8_t buffer[16384];
        for (;;) {
                size_t n;
                TRY(source_read(source, buffer, sizeof(buffer), &n));
                if (n == 0)
                        return NULL;
                if (EVP_DigestUpdate(context, buffer, n) != 1)
                        return openssl_error(ERR_INTERNAL, "hashing a JWS");
        }
}

Err *jws_signing_digest(JoseAlg alg, Source *signing_input, Bytes *ret) {
        const EVP_MD *md = jose_signature_digest(alg);
        if (!md)
                return err_new(ERR_INVALID_ARGUMENT, "nothing can be signed with alg %s", jose_alg_to_string(alg));
        _cleanup_(md_context_freep) EVP_MD_CTX *context = EVP_MD_CTX_new();
        uint8_t digest[EVP_MAX_MD_SIZE];
        unsigned size;
        if (!context || EVP_DigestInit_ex(context, md, NULL) != 1)
                return openssl_error(ERR_INTERNAL, "preparing to hash a JWS");
        TRY(source_rewind(signing_input));
        TRY(digest_source(context, signing_input));
        TRY(source_rewind(signing_input));
        if (EVP_DigestFinal_ex(context, digest, &size) != 1)
                return openssl_error(ERR_INTERNAL, "hashing a JWS");
        return bytes_copy(span_make(digest, size), ret);
}

/* "BASE64URL(header)." */
static Err *header_source(const char *header_text, Source **ret) {
        _cleanup_writer_ Writer writer = {};
        _cleanup_bytes_ Bytes text = {};
        writer_base64url(&writer, span_from_string(header_text));
        writer_string(&writer, ".");
        TRY(writer_finish(&writer, &text));
        return source_new_bytes(&text, ret);
}

Err *jws_signing_input(const char *header_text, Source *steal_payload, Source **ret) {
        _cleanup_(source_freep) Source *payload = steal_payload, *header = NULL, *encoded = NULL;
        TRY(source_rewind(payload));
        TRY(header_source(header_text, &header));
        TRY(source_new_base64url(steal_ptr(&payload), &encoded));
        return source_new_concat((Source *[]) { steal_ptr(&header), steal_ptr(&encoded) }, 2, ret);
}

/* input and ".BASE64URL(signature)"; takes input, also on failure. */
static Err *append(Source *steal_input, Span signature, Source **ret) {
        _cleanup_(source_freep) Source *input = steal_input, *last = NULL;
        _cleanup_writer_ Writer writer = {};
        _cleanup_bytes_ Bytes text = {};
        writer_string(&writer, ".");
        writer_base64url(&writer, signature);
        TRY(writer_finish(&writer, &text));
        TRY(source_new_bytes(&text, &last));
        return source_new_concat((Source *[]) { steal_ptr(&input), steal_ptr(&last) }, 2, ret);
}

Err *jws_append_signature(JoseAlg alg, EVP_PKEY *key, Span digest, Span signature, Source *steal_signing_input, Source **ret) {
        _cleanup_(source_freep) Source *input = steal_signing_input;
        TRY(jose_signature_check_kind(alg, key));
        TRY(jose_signature_verify_digest(alg, key, digest, signature));
        return append(steal_ptr(&input), signature, ret);
}

Err *jws_sign_source(const JoseSigner *signer, const char *header_text, Source *steal_payload, Source **ret) {
        _cleanup_(source_freep) Source *input = NULL;
        _cleanup_bytes_ Bytes digest = {}, signature = {};
        TRY(jws_signing_input(header_text, steal_payload, &input));
        TRY(jws_signing_digest(signer->alg, input, &digest));
        TRY(jose_signature_sign_digest(signer->alg, signer->key, bytes_span(&digest), &signature));
        return append(steal_ptr(&input), bytes_span(&signature), ret);
}

Err *jws_sign(JoseAlg alg, EVP_PKEY *key, const char *header_text, Span payload, char **ret) {
        _cleanup_bytes_ Bytes copy = {}, text = {};
        _cleanup_(source_freep) Source *source = NULL, *signed_source = NULL;
        TRY(bytes_copy(payload, &copy));
        TRY(source_new_bytes(&copy, &source));
        TRY(jws_sign_source(&(JoseSigner) { .alg = alg, .key = key }, header_text, steal_ptr(&source), &signed_source));
        TRY(source_read_all(signed_source, SIZE_MAX, &text));
        *ret = (char *) bytes_steal(&text).data;
        return NULL;
}
