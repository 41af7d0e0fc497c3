/* JWS compact serialisation (RFC 7515), RS/PS/ES 256-512 (RFC 7518 §3). `none` and HS* are recognised in order to be refused. */
#pragma once

#include "base/source.h"
#include "jose/jwk.h"

typedef enum JoseAlg {
        JOSE_ALG_UNKNOWN,
        JOSE_ALG_NONE, JOSE_ALG_HS256, JOSE_ALG_HS384, JOSE_ALG_HS512,
        JOSE_ALG_RS256, JOSE_ALG_RS384, JOSE_ALG_RS512,
        JOSE_ALG_PS256, JOSE_ALG_PS384, JOSE_ALG_PS512,
        JOSE_ALG_ES256, JOSE_ALG_ES384, JOSE_ALG_ES512,
        _JOSE_ALG_MAX,
} JoseAlg;
const char *jose_alg_to_string(JoseAlg alg);
JoseAlg jose_alg_from_string(const char *text);   /* exact case */

/* Set of allowed algorithms: bit (1 << JoseAlg). */
typedef uint32_t JoseAlgSet;
#define JOSE_ALG_BIT(alg) (UINT32_C(1) << (alg))
#define JOSE_ALGS_ASYMMETRIC                                                                                 \
        (JOSE_ALG_BIT(JOSE_ALG_RS256) | JOSE_ALG_BIT(JOSE_ALG_RS384) | JOSE_ALG_BIT(JOSE_ALG_RS512) |        \
         JOSE_ALG_BIT(JOSE_ALG_PS256) | JOSE_ALG_BIT(JOSE_ALG_PS384) | JOSE_ALG_BIT(JOSE_ALG_PS512) |        \
         JOSE_ALG_BIT(JOSE_ALG_ES256) | JOSE_ALG_BIT(JOSE_ALG_ES384) | JOSE_ALG_BIT(JOSE_ALG_ES512))
/* "RS256,PS256". Error: INVALID_ARGUMENT naming the unknown or forbidden (none, HS*) one. */
Err *jose_alg_set_parse(const char *text, JoseAlgSet *ret) _must_check_;

#define JWS_SIZE_MAX (4u << 20)

typedef struct Jws {
        Bytes text;            /* the compact form, without white space around it */
        Json *header;          /* protected header */
        JoseAlg alg;
        const char *kid;       /* NULL if absent; borrowed from header */
        Bytes header_text;     /* decoded */
        Bytes payload;         /* decoded */
        Span signing_input;    /* into text */
        Bytes signature;
} Jws;
Jws *jws_free(Jws *jws);
DEFINE_CLEANUP(Jws, jws_free)
/* Parses; judges nothing but form. White space at both ends of text is ignored (files end in a newline). Errors: TOKEN_PARTS,
 * TOKEN_MALFORMED, TOKEN_TRUNCATED (cut in one of the first parts, or visibly in the signature), TOKEN_DUPLICATE_MEMBER, TOKEN_ALG_NOT_ALLOWED (alg
 * missing; an unknown one is parsed as JOSE_ALG_UNKNOWN, to be shown, and refused by jws_check_header()). */
Err *jws_parse(Span text, Jws **ret) _must_check_;
/* The same with another limit than JWS_SIZE_MAX: an attestation request carries measurement logs. */
Err *jws_parse_bounded(Span text, size_t size_max, Jws **ret) _must_check_;
/* Does the header have the member at all, null included? */
bool jws_header_has(const Jws *jws, const char *member);
/* alg allowed, not none, not symmetric; no crit; key fits alg, is strong enough and may verify; signature good.
 * Errors: TOKEN_ALG_NONE, TOKEN_ALG_SYMMETRIC, TOKEN_ALG_NOT_ALLOWED, TOKEN_CRIT_UNKNOWN, TOKEN_ALG_KEY_MISMATCH,
 * TOKEN_KEY_WEAK, TOKEN_TRUNCATED (signature shorter than the key makes), TOKEN_SIGNATURE_INVALID. */
Err *jws_verify(const Jws *jws, JoseAlgSet allowed, const Jwk *key) _must_check_;
/* The part of jws_verify() that needs no key: alg and crit. */
Err *jws_check_header(const Jws *jws, JoseAlgSet allowed) _must_check_;

/* Signs `BASE64URL(header) . BASE64URL(payload)` and returns the compact form. */
Err *jws_sign(JoseAlg alg, EVP_PKEY *key, const char *header_text, Span payload, char **ret) _must_check_;

/* For a key that is elsewhere: what is to be signed as a source ("BASE64URL(header).BASE64URL(payload)"; takes payload, also on failure), its digest, and
 * the compact form with the signature that came of it. Takes signing_input, also on failure. Errors of the last: TOKEN_ALG_KEY_MISMATCH,
 * TOKEN_TRUNCATED and TOKEN_SIGNATURE_INVALID where it is no signature of key over digest. */
Err *jws_signing_input(const char *header_text, Source *steal_payload, Source **ret) _must_check_;
Err *jws_signing_digest(JoseAlg alg, Source *signing_input, Bytes *ret) _must_check_;
Err *jws_append_signature(JoseAlg alg, EVP_PKEY *key, Span digest, Span signature, Source *steal_signing_input, Source **ret) _must_check_;

/* Somebody who signs a digest with a key at hand. */
typedef struct JoseSigner {
        JoseAlg alg;
        EVP_PKEY *key;
} JoseSigner;
/* Streaming variant: payload is read twice (digest, then by whoever reads the result). Takes payload, also on failure. The result is a
 * source of the compact form; its size is known. */
Err *jws_sign_source(const JoseSigner *signer, const char *header_text, Source *steal_payload, Source **ret) _must_check_;
