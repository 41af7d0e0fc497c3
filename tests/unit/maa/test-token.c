/* The token rules: a token that is good, and one for each way of not being so. All are signed here with keys made here; the tokens of the
 * real service are judged in test-token-vectors.c. */
#include "tests/support/unit.h"

#include <openssl/x509v3.h>

#include "maa/token.h"

#define ISSUER "https://instance.test"
#define NOW 1500
#define NONCE_TEXT "bm9uY2U" /* "nonce" */

static EVP_PKEY *instance_key, *other_key, *weak_key, *request_key, *ec_key;
static JwkSet *keys;
static char *request_jwk, *other_jwk;

static char *b64(const char *text) {
        char *encoded;
        assert_ok(base64url_encode(span_from_string(text), &encoded));
        return encoded;
}

static void make_set(void) {
        _cleanup_free_ char *good = NULL, *weak = NULL, *ec = NULL, *text = NULL;
        assert_ok(jwk_public_text(instance_key, &good));
        assert_ok(jwk_public_text(weak_key, &weak));
        assert_ok(jwk_public_text(ec_key, &ec));
        assert_ok(string_format(&text,
                                "{\"keys\":[{\"kid\":\"good\",%s,{\"kid\":\"weak\",%s,{\"kid\":\"ec\",%s,{\"kid\":\"enc\",\"use\":\"enc\",%s,"
                                "{\"kid\":\"ps\",\"alg\":\"PS256\",%s,{\"kid\":\"ops\",\"key_ops\":[\"encrypt\"],%s]}",
                                good + 1, weak + 1, ec + 1, good + 1, good + 1, good + 1));
        assert_ok(jwk_set_parse(span_from_string(text), "set", &keys));
}

static int make_keys(void **state) {
        assert_ok(jose_key_generate_rsa(2048, &instance_key));
        assert_ok(jose_key_generate_rsa(2048, &other_key));
        assert_ok(jose_key_generate_rsa(2048, &request_key));
        assert_ok(jose_key_generate_rsa(1024, &weak_key));
        ec_key = EVP_EC_gen("P-256");
        assert_non_null(ec_key);
        assert_ok(jwk_public_text(request_key, &request_jwk));
        assert_ok(jwk_public_text(other_key, &other_jwk));
        make_set();
        return 0;
}

static int drop_keys(void **state) {
        keys = jwk_set_free(keys);
        EVP_PKEY_free(instance_key);
        EVP_PKEY_free(other_key);
        EVP_PKEY_free(request_key);
        EVP_PKEY_free(weak_key);
        EVP_PKEY_free(ec_key);
        free(request_jwk);
        free(other_jwk);
        return 0;
}

#define POLICY_TEXT "{\\\"tee\\\":\\\"tpm\\\",\\\"level\\\":3,\\\"open\\\":false}"

/* The claims of a good token, with one of them set to a JSON text, or left out (value ""). */
static char *make_claims(const char *name, const char *value) {
        _cleanup_free_ char *text = NULL;
        _cleanup_json_ Json *json = NULL;
        char *claims;
        assert_ok(string_format(&text,
                                "{\"nbf\":1000,\"exp\":2000,\"iat\":1000,\"iss\":\"" ISSUER "\",\"x-ms-ver\":\"1.0\",\"rp_data\":\"" NONCE_TEXT "\","
                                "\"nonce\":\"" NONCE_TEXT "\",\"cnf\":{\"jwk\":%s},\"x-ms-policy-hash\":\"hash\",\"x-ms-policy\":\"" POLICY_TEXT "\"}",
                                request_jwk));
        assert_ok(json_parse(span_from_string(text), "claims", &json));
        if (name)
                json_object_object_del(json, name);
        if (name && *value) /* null too, which json_add() would not take */
                assert_int_equal(json_object_object_add(json, name, json_tokener_parse(value)), 0);
        assert_ok(json_to_string(json, &claims));
        return claims;
}

static NamedValue required[] = { { (char *) "x-ms-ver", (char *) "1.0" }, { (char *) "tee", (char *) "tpm" }, { (char *) "level", (char *) "3" },
                                 { (char *) "open", (char *) "false" } };

static TokenRules make_rules(void) {
        return (TokenRules) {
                .keys = keys, .issuer = ISSUER, .now_sec = NOW, .clock_skew_sec = 120, .nonce = span_from_string("nonce"), .request_key = request_key,
                .policy_hash = "hash", .required_claims = required, .n_required_claims = N_ELEMENTS(required),
        };
}

static Err *validate(const char *text, const TokenRules *rules) {
        _cleanup_(token_freep) Token *token = NULL, *parsed = NULL;
        Err *err = token_validate(span_from_string(text), rules, &token, &parsed);
        assert_int_equal(err == NULL, token != NULL);
        if (!err)
                assert_null(parsed);
        return err;
}

#define HEADER "{\"alg\":\"RS256\",\"jku\":\"" ISSUER "/certs\",\"kid\":\"good\",\"typ\":\"JWT\"}"

static void test_token_validate_good_token_is_believed(void **state) {
        _cleanup_free_ char *claims = make_claims(NULL, NULL), *text = NULL;
        _cleanup_(token_freep) Token *token = NULL;
        TokenRules rules = make_rules();
        assert_ok(jws_sign(JOSE_ALG_RS256, instance_key, HEADER, span_from_string(claims), &text));
        assert_ok(token_validate(span_from_string(text), &rules, &token, NULL));
        assert_int_equal(token->issued_sec, 1000);
        assert_int_equal(token->not_before_sec, 1000);
        assert_int_equal(token->expires_sec, 2000);
        rules.issuer = ISSUER "/";
        assert_ok(validate(text, &rules));
        rules.algorithms = JOSE_ALG_BIT(JOSE_ALG_PS256);
        assert_err(validate(text, &rules), ERR_TOKEN_ALG_NOT_ALLOWED);
}

static void test_token_validate_each_claim_rule_has_its_code(void **state) {
        const struct { const char *name, *value; ErrCode code; } cases[] = {
                { "iss", "\"https://other.test\"", ERR_TOKEN_ISSUER_MISMATCH }, { "iss", "\"" ISSUER "/\"", ERR_TOKEN_ISSUER_MISMATCH },
                { "iss", "\"" ISSUER ".evil.test\"", ERR_TOKEN_ISSUER_MISMATCH }, { "iss", "\"\\u001b[2J\"", ERR_TOKEN_ISSUER_MISMATCH },
                { "iss", "", ERR_TOKEN_CLAIM_INVALID }, { "iss", "7", ERR_TOKEN_CLAIM_INVALID },
                { "exp", "1381", ERR_NONE }, { "exp", "1380", ERR_TOKEN_EXPIRED }, { "exp", "1380.9", ERR_TOKEN_EXPIRED },
                { "exp", "", ERR_TOKEN_CLAIM_INVALID }, { "exp", "\"2000\"", ERR_TOKEN_CLAIM_INVALID }, { "exp", "-1", ERR_TOKEN_CLAIM_INVALID },
                { "exp", "1e300", ERR_TOKEN_CLAIM_INVALID }, { "exp", "null", ERR_TOKEN_CLAIM_INVALID },
                { "nbf", "1620", ERR_NONE }, { "nbf", "1621", ERR_TOKEN_NOT_YET_VALID }, { "nbf", "", ERR_TOKEN_CLAIM_INVALID },
                { "iat", "1620", ERR_NONE }, { "iat", "1621", ERR_TOKEN_ISSUED_IN_FUTURE }, { "iat", "", ERR_TOKEN_CLAIM_INVALID },
                { "nonce", "\"bm9uY2V4\"", ERR_TOKEN_NONCE_MISMATCH }, { "rp_data", "\"bm9uY2V4\"", ERR_TOKEN_NONCE_MISMATCH },
                { "nonce", "\"nonce\"", ERR_TOKEN_NONCE_MISMATCH }, { "nonce", "7", ERR_TOKEN_CLAIM_INVALID }, { "rp_data", "", ERR_NONE },
                { "cnf", "{\"jwk\":OTHER}", ERR_TOKEN_CNF_MISMATCH }, { "cnf", "", ERR_TOKEN_CLAIM_INVALID }, { "cnf", "{}", ERR_TOKEN_CLAIM_INVALID },
                { "cnf", "{\"jwk\":{\"kty\":\"RSA\"}}", ERR_TOKEN_CLAIM_INVALID },
                { "x-ms-policy-hash", "\"HASH\"", ERR_TOKEN_POLICY_HASH_MISMATCH }, { "x-ms-policy-hash", "", ERR_TOKEN_CLAIM_INVALID },
                { "x-ms-ver", "\"1.1\"", ERR_TOKEN_CLAIM_REQUIRED }, { "x-ms-ver", "", ERR_TOKEN_CLAIM_REQUIRED },
                { "x-ms-policy", "", ERR_TOKEN_CLAIM_REQUIRED }, { "x-ms-policy", "{\"tee\":\"tpm\",\"level\":3,\"open\":false}", ERR_NONE },
                { "x-ms-policy", "{\"tee\":\"tpm\",\"level\":4,\"open\":false}", ERR_TOKEN_CLAIM_REQUIRED },
                { "x-ms-policy", "\"eyJhbGciOiJub25lIn0..\"", ERR_TOKEN_CLAIM_REQUIRED },
                { "x-ms-policy", "\"{\\\"tee\\\":\\\"tpm\\\",\\\"tee\\\":\\\"tpm\\\"}\"", ERR_TOKEN_CLAIM_REQUIRED },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_free_ char *value = NULL, *claims = NULL, *text = NULL;
                const char *other = strstr(cases[i].value, "OTHER");
                if (other)
                        assert_ok(string_format(&value, "%.*s%s%s", (int) (other - cases[i].value), cases[i].value, other_jwk, other + 5));
                claims = make_claims(cases[i].name, value ? value : cases[i].value);
                TokenRules rules = make_rules();
                assert_ok(jws_sign(JOSE_ALG_RS256, instance_key, HEADER, span_from_string(claims), &text));
                assert_err(validate(text, &rules), cases[i].code);
        }
}

/* Neither nonce nor rp_data: nothing says that the token answers this request. */
static void test_token_validate_nonce_absent_is_invalid(void **state) {
        _cleanup_free_ char *text = NULL;
        TokenRules rules = make_rules();
        assert_ok(jws_sign(JOSE_ALG_RS256, instance_key, HEADER, span_from_string("{\"iss\":\"" ISSUER "\",\"exp\":2000,\"nbf\":1,\"iat\":1}"), &text));
        assert_err(validate(text, &rules), ERR_TOKEN_CLAIM_INVALID);
        rules = (TokenRules) { .keys = keys, .issuer = ISSUER, .now_sec = NOW };
        assert_ok(validate(text, &rules));
}

static void test_token_validate_each_header_rule_has_its_code(void **state) {
        const struct { const char *header; EVP_PKEY *key; JoseAlg alg; ErrCode code; } cases[] = {
                { "{\"alg\":\"none\",\"kid\":\"good\"}", instance_key, JOSE_ALG_RS256, ERR_TOKEN_ALG_NONE },
                { "{\"alg\":\"HS256\",\"kid\":\"good\"}", instance_key, JOSE_ALG_RS256, ERR_TOKEN_ALG_SYMMETRIC },
                { "{\"alg\":\"PS256\",\"kid\":\"good\"}", instance_key, JOSE_ALG_PS256, ERR_TOKEN_ALG_NOT_ALLOWED },
                { "{\"alg\":\"RSA256\",\"kid\":\"good\"}", instance_key, JOSE_ALG_RS256, ERR_TOKEN_ALG_NOT_ALLOWED },
                { "{\"kid\":\"good\"}", instance_key, JOSE_ALG_RS256, ERR_TOKEN_ALG_NOT_ALLOWED },
                { "{\"alg\":\"RS256\",\"alg\":\"RS256\",\"kid\":\"good\"}", instance_key, JOSE_ALG_RS256, ERR_TOKEN_DUPLICATE_MEMBER },
                { "{\"alg\":\"RS256\",\"kid\":\"good\",\"crit\":[\"x\"],\"x\":1}", instance_key, JOSE_ALG_RS256, ERR_TOKEN_CRIT_UNKNOWN },
                { "{\"alg\":\"RS256\",\"kid\":\"good\",\"jku\":\"https://evil.test/certs\"}", instance_key, JOSE_ALG_RS256, ERR_TOKEN_FOREIGN_JKU },
                { "{\"alg\":\"RS256\",\"kid\":\"good\",\"jku\":\"" ISSUER "/certs2\"}", instance_key, JOSE_ALG_RS256, ERR_TOKEN_FOREIGN_JKU },
                { "{\"alg\":\"RS256\",\"kid\":\"good\",\"jku\":7}", instance_key, JOSE_ALG_RS256, ERR_TOKEN_FOREIGN_JKU },
                { "{\"alg\":\"RS256\",\"kid\":\"good\",\"jku\":null}", instance_key, JOSE_ALG_RS256, ERR_TOKEN_FOREIGN_JKU },
                { "{\"alg\":\"RS256\",\"kid\":\"good\",\"x5u\":\"" ISSUER "/certs\"}", instance_key, JOSE_ALG_RS256, ERR_TOKEN_FOREIGN_JKU },
                { "{\"alg\":\"RS256\",\"kid\":\"good\",\"jwk\":OTHER}", other_key, JOSE_ALG_RS256, ERR_TOKEN_EMBEDDED_JWK },
                { "{\"alg\":\"RS256\",\"kid\":\"good\",\"x5c\":[]}", instance_key, JOSE_ALG_RS256, ERR_TOKEN_X5C_MISMATCH },
                { "{\"alg\":\"RS256\",\"kid\":\"bad\"}", instance_key, JOSE_ALG_RS256, ERR_TOKEN_KEY_UNKNOWN },
                { "{\"alg\":\"RS256\"}", instance_key, JOSE_ALG_RS256, ERR_TOKEN_KEY_UNKNOWN },
                { "{\"alg\":\"RS256\",\"kid\":\"ec\"}", instance_key, JOSE_ALG_RS256, ERR_TOKEN_ALG_KEY_MISMATCH },
                { "{\"alg\":\"RS256\",\"kid\":\"enc\"}", instance_key, JOSE_ALG_RS256, ERR_TOKEN_ALG_KEY_MISMATCH },
                { "{\"alg\":\"RS256\",\"kid\":\"ps\"}", instance_key, JOSE_ALG_RS256, ERR_TOKEN_ALG_KEY_MISMATCH },
                { "{\"alg\":\"RS256\",\"kid\":\"ops\"}", instance_key, JOSE_ALG_RS256, ERR_TOKEN_ALG_KEY_MISMATCH },
                { "{\"alg\":\"RS256\",\"kid\":\"weak\"}", weak_key, JOSE_ALG_RS256, ERR_TOKEN_KEY_WEAK },
                { "{\"alg\":\"RS256\",\"kid\":\"good\"}", other_key, JOSE_ALG_RS256, ERR_TOKEN_SIGNATURE_INVALID },
                { "{\"alg\":\"RS256\",\"kid\":\"good\"}", instance_key, JOSE_ALG_PS256, ERR_TOKEN_SIGNATURE_INVALID },
                { "{\"alg\":\"RS256\",\"kid\":\"good\"}", instance_key, JOSE_ALG_RS256, ERR_NONE },
        };
        _cleanup_free_ char *claims = make_claims(NULL, NULL);
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_free_ char *header = NULL, *text = NULL;
                const char *other = strstr(cases[i].header, "OTHER");
                TokenRules rules = make_rules();
                if (other)
                        assert_ok(string_format(&header, "%.*s%s%s", (int) (other - cases[i].header), cases[i].header, other_jwk, other + 5));
                assert_ok(jws_sign(cases[i].alg, cases[i].key, header ? header : cases[i].header, span_from_string(claims), &text));
                assert_err(validate(text, &rules), cases[i].code);
        }
}

static void test_token_validate_wrong_forms_have_their_codes(void **state) {
        _cleanup_free_ char *claims = make_claims(NULL, NULL), *good = NULL, *forged = make_claims("x-ms-ver", "\"1.0 \""), *forged_part = b64(forged);
        TokenRules rules = make_rules();
        assert_ok(jws_sign(JOSE_ALG_RS256, instance_key, HEADER, span_from_string(claims), &good));
        int header_size = (int) strcspn(good, "."), rest = header_size + 1 + (int) strcspn(good + header_size + 1, ".");
        const struct { const char *before; int cut; const char *after, *after2; ErrCode code; } cases[] = {
                { "", -1, "", "", ERR_NONE }, { " \r\n", -1, "\n", "", ERR_NONE }, { "", -1, ".", "", ERR_TOKEN_PARTS }, { "", -1, ".AAAA", "", ERR_TOKEN_PARTS },
                { "", (int) strlen(good) - 10, "", "", ERR_TOKEN_TRUNCATED }, { "", header_size - 3, "", "", ERR_TOKEN_TRUNCATED },
                { "", rest, "", "", ERR_TOKEN_TRUNCATED }, { "", rest, ".", "", ERR_TOKEN_TRUNCATED }, { "", -1, "AA", "", ERR_TOKEN_SIGNATURE_INVALID },
                { "x", -1, "", "", ERR_TOKEN_MALFORMED }, { "", header_size + 1, forged_part, good + rest, ERR_TOKEN_SIGNATURE_INVALID },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_free_ char *text = NULL;
                assert_ok(string_format(&text, "%s%.*s%s%s", cases[i].before, cases[i].cut, good, cases[i].after, cases[i].after2));
                assert_err(validate(text, &rules), cases[i].code);
        }
}

static void test_token_validate_claims_must_be_strict_json(void **state) {
        static const struct { const char *claims; ErrCode code; } cases[] = {
                { "{\"iss\":\"a\",\"iss\":\"" ISSUER "\"}", ERR_TOKEN_DUPLICATE_MEMBER }, { "{\"a\":{\"b\":1,\"b\":1}}", ERR_TOKEN_DUPLICATE_MEMBER },
                { "[]", ERR_TOKEN_MALFORMED }, { "", ERR_TOKEN_MALFORMED }, { "{}x", ERR_TOKEN_MALFORMED }, { "null", ERR_TOKEN_MALFORMED },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_free_ char *text = NULL;
                TokenRules rules = make_rules();
                assert_ok(jws_sign(JOSE_ALG_RS256, instance_key, HEADER, span_from_string(cases[i].claims), &text));
                assert_err(validate(text, &rules), cases[i].code);
                rules.signature_only = true;
                assert_ok(validate(text, &rules));
        }
}

/* Where two rules are broken the earlier one is named. */
static void test_token_validate_first_broken_rule_is_reported(void **state) {
        _cleanup_free_ char *expired = make_claims("exp", "1001"), *text = NULL, *text2 = NULL;
        TokenRules rules = make_rules();
        rules.issuer = "https://another.test";
        assert_ok(jws_sign(JOSE_ALG_RS256, instance_key, HEADER, span_from_string(expired), &text));
        assert_err(validate(text, &rules), ERR_TOKEN_ISSUER_MISMATCH);
        rules = make_rules();
        assert_err(validate(text, &rules), ERR_TOKEN_EXPIRED);
        assert_ok(jws_sign(JOSE_ALG_RS256, other_key, HEADER, span_from_string(expired), &text2));
        assert_err(validate(text2, &rules), ERR_TOKEN_SIGNATURE_INVALID);
}

static void test_token_validate_failure_shows_what_was_parsed(void **state) {
        _cleanup_free_ char *claims = make_claims("exp", "1001"), *text = NULL;
        _cleanup_(token_freep) Token *token = NULL, *parsed = NULL;
        TokenRules rules = make_rules();
        assert_ok(jws_sign(JOSE_ALG_RS256, instance_key, HEADER, span_from_string(claims), &text));
        assert_err(token_validate(span_from_string(text), &rules, &token, &parsed), ERR_TOKEN_EXPIRED);
        assert_null(token);
        assert_non_null(parsed);
        assert_int_equal(parsed->expires_sec, 1001);
        parsed = token_free(parsed);
        assert_err(token_validate(span_from_string("x"), &rules, &token, &parsed), ERR_TOKEN_PARTS);
        assert_null(parsed);
        rules.keys = NULL;
        assert_err(token_validate(span_from_string(text), &rules, &token, &parsed), ERR_INVALID_ARGUMENT);
}

static void test_token_validate_signature_only_takes_the_only_key(void **state) {
        _cleanup_free_ char *jwk_text = NULL, *text = NULL;
        _cleanup_(jwk_set_freep) JwkSet *one = NULL;
        assert_ok(jwk_public_text(instance_key, &jwk_text));
        assert_ok(jwk_set_parse(span_from_string(jwk_text), "key", &one));
        assert_ok(jws_sign(JOSE_ALG_RS256, instance_key, "{\"alg\":\"RS256\",\"kid\":\"any\"}", span_from_string("not JSON"), &text));
        TokenRules rules = { .keys = one, .signature_only = true };
        assert_ok(validate(text, &rules));
        rules.signature_only = false;
        assert_err(validate(text, &rules), ERR_TOKEN_MALFORMED);
        rules = (TokenRules) { .keys = keys, .signature_only = true };
        assert_err(validate(text, &rules), ERR_TOKEN_KEY_UNKNOWN);
}

static void test_token_to_json_shows_json_strings_as_json(void **state) {
        _cleanup_free_ char *text = NULL, *shown = NULL;
        _cleanup_(token_freep) Token *token = NULL;
        _cleanup_json_ Json *json = NULL;
        assert_ok(jws_sign(JOSE_ALG_RS256, instance_key, "{\"alg\":\"RS256\"}",
                           span_from_string("{\"x-ms-policy\":\"{\\\"a\\\":1}\",\"x-ms-tpm-request-key\":\"{\\\"jwk\\\":{}}\",\"b\":\"{\\\"a\\\":1}\",\"c\":null}"),
                           &text));
        assert_ok(token_parse(span_from_string(text), &token));
        assert_ok(token_to_json(token, &json));
        assert_ok(json_to_string(json, &shown));
        assert_string_equal(shown, "{\"header\":{\"alg\":\"RS256\"},\"claims\":{\"x-ms-policy\":{\"a\":1},\"x-ms-tpm-request-key\":{\"jwk\":{}},"
                                   "\"b\":\"{\\\"a\\\":1}\",\"c\":null}}");
}

/* --- chains --- */

typedef struct CertificateOptions {
        EVP_PKEY *key, *signer;
        X509 *issuer;             /* NULL: self-signed */
        const char *name;
        time_t from, to;
        bool is_ca;
        const char *purposes;     /* extendedKeyUsage as OpenSSL's configuration writes it */
        const char *usage;        /* keyUsage */
        const EVP_MD *digest;     /* NULL: SHA-256 */
} CertificateOptions;

static void add_extension(X509 *certificate, int nid, const char *value) {
        if (!value)
                return;
        X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
        assert_non_null(extension);
        assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
        X509_EXTENSION_free(extension);
}

static X509 *make_certificate(const CertificateOptions *options) {
        X509 *certificate = X509_new();
        static long serial;
        assert_non_null(certificate);
        X509_set_version(certificate, X509_VERSION_3);
        ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
        ASN1_TIME_set(X509_getm_notBefore(certificate), options->from);
        ASN1_TIME_set(X509_getm_notAfter(certificate), options->to);
        X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC, (const uint8_t *) options->name, -1, -1, 0);
        X509_set_issuer_name(certificate, X509_get_subject_name(options->issuer ? options->issuer : certificate));
        X509_set_pubkey(certificate, options->key);
        add_extension(certificate, NID_basic_constraints, options->is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
        add_extension(certificate, NID_key_usage, options->usage);
        add_extension(certificate, NID_ext_key_usage, options->purposes);
        assert_true(X509_sign(certificate, options->signer, options->digest ? options->digest : EVP_sha256()) > 0);
        return certificate;
}

static char *certificate_text(X509 *certificate) {
        unsigned char *der = NULL;
        char *text;
        int size = i2d_X509(certificate, &der);
        assert_true(size > 0);
        assert_ok(base64_encode(span_make(der, (size_t) size), &text));
        OPENSSL_free(der);
        return text;
}

typedef struct Chain {
        X509 *root, *leaf;
        STACK_OF(X509) *anchors;
} Chain;

static void chain_done(Chain *chain) {
        X509_free(chain->root);
        X509_free(chain->leaf);
        sk_X509_free(chain->anchors);
}

/* The instance's own key as the leaf, another key as the root, which is the anchor. */
static Chain make_chain(CertificateOptions leaf) {
        Chain chain = { .root = make_certificate(&(CertificateOptions) { other_key, other_key, NULL, "root", 0, 5000, true, NULL, "keyCertSign", NULL }) };
        leaf.key = instance_key;
        leaf.signer = leaf.signer ? leaf.signer : other_key;
        leaf.issuer = chain.root;
        leaf.name = "leaf";
        leaf.to = leaf.to ? leaf.to : 3000;
        chain.leaf = make_certificate(&leaf);
        chain.anchors = sk_X509_new_null();
        sk_X509_push(chain.anchors, chain.root);
        return chain;
}

static Err *validate_chain(const Chain *chain, const char *kid, TokenRules rules) {
        _cleanup_free_ char *claims = make_claims(NULL, NULL), *leaf = certificate_text(chain->leaf), *root = certificate_text(chain->root), *thumbprint = NULL,
                            *header = NULL, *text = NULL;
        assert_ok(x509_thumbprint(chain->leaf, &thumbprint));
        assert_ok(string_format(&header, "{\"typ\":\"JWT\",\"alg\":\"RS256\",\"x5c\":[\"%s\",\"%s\"],\"kid\":\"%s\"}", leaf, root, kid ? kid : thumbprint));
        assert_ok(jws_sign(JOSE_ALG_RS256, instance_key, header, span_from_string(claims), &text));
        return validate(text, &rules);
}

static void test_token_validate_chain_rules_have_their_codes(void **state) {
        const struct { CertificateOptions leaf; const char *kid; ErrCode code; } cases[] = {
                { {}, NULL, ERR_NONE },
                { { .purposes = "1.3.6.1.4.1.311.76.50.3" }, NULL, ERR_NONE },
                { { .purposes = "anyExtendedKeyUsage" }, NULL, ERR_NONE },
                { { .usage = "critical,digitalSignature" }, NULL, ERR_NONE },
                { { .purposes = "serverAuth" }, NULL, ERR_TOKEN_CHAIN_INVALID },
                { { .usage = "keyEncipherment" }, NULL, ERR_TOKEN_CHAIN_INVALID },
                { { .to = NOW - 1 }, NULL, ERR_TOKEN_CHAIN_INVALID },
                { { .from = NOW + 1 }, NULL, ERR_TOKEN_CHAIN_INVALID },
                { { .signer = request_key }, NULL, ERR_TOKEN_CHAIN_INVALID },
                { { .digest = EVP_sha1() }, NULL, ERR_TOKEN_CHAIN_INVALID },
                { {}, "another", ERR_TOKEN_KID_MISMATCH },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_(chain_done) Chain chain = make_chain(cases[i].leaf);
                TokenRules rules = make_rules();
                rules.keys = NULL;
                rules.trust_anchors = chain.anchors;
                assert_err(validate_chain(&chain, cases[i].kid, rules), cases[i].code);
        }
}

static void test_token_validate_chain_counts_for_nothing_without_anchors(void **state) {
        _cleanup_(chain_done) Chain chain = make_chain((CertificateOptions) {});
        TokenRules rules = make_rules();
        assert_err(validate_chain(&chain, NULL, rules), ERR_TOKEN_KEY_UNKNOWN);
        assert_err(validate_chain(&chain, "good", rules), ERR_NONE); /* the same key is in the set under this kid */
        assert_err(validate_chain(&chain, "weak", rules), ERR_TOKEN_X5C_MISMATCH);
        rules.keys = NULL;
        rules.trust_anchors = sk_X509_new_null();
        assert_err(validate_chain(&chain, NULL, rules), ERR_TOKEN_CHAIN_INVALID);
        sk_X509_free(rules.trust_anchors);
}

/* An intermediate or the leaf itself may be the anchor. */
static void test_token_validate_chain_may_end_in_the_leaf(void **state) {
        _cleanup_(chain_done) Chain chain = make_chain((CertificateOptions) {});
        TokenRules rules = make_rules();
        rules.keys = NULL;
        rules.trust_anchors = sk_X509_new_null();
        sk_X509_push(rules.trust_anchors, chain.leaf);
        assert_err(validate_chain(&chain, NULL, rules), ERR_NONE);
        sk_X509_free(rules.trust_anchors);
}

static void test_token_validate_no_x5c_cannot_reach_an_anchor(void **state) {
        _cleanup_(chain_done) Chain chain = make_chain((CertificateOptions) {});
        _cleanup_free_ char *claims = make_claims(NULL, NULL), *text = NULL;
        TokenRules rules = make_rules();
        rules.keys = NULL;
        rules.trust_anchors = chain.anchors;
        assert_ok(jws_sign(JOSE_ALG_RS256, instance_key, HEADER, span_from_string(claims), &text));
        assert_err(validate(text, &rules), ERR_TOKEN_CHAIN_INVALID);
}

static void test_token_trust_anchors_parse_without_certificate_is_refused(void **state) {
        static const char *const cases[] = { "", "text", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "-----BEGIN CERTIFICATE-----\n" };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                STACK_OF(X509) *anchors = NULL;
                assert_err(token_trust_anchors_parse(span_from_string(cases[i]), "anchors", &anchors), ERR_KEY_INVALID);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_token_validate_good_token_is_believed),
                cmocka_unit_test(test_token_validate_each_claim_rule_has_its_code),
                cmocka_unit_test(test_token_validate_nonce_absent_is_invalid),
                cmocka_unit_test(test_token_validate_each_header_rule_has_its_code),
                cmocka_unit_test(test_token_validate_wrong_forms_have_their_codes),
                cmocka_unit_test(test_token_validate_claims_must_be_strict_json),
                cmocka_unit_test(test_token_validate_first_broken_rule_is_reported),
                cmocka_unit_test(test_token_validate_failure_shows_what_was_parsed),
                cmocka_unit_test(test_token_validate_signature_only_takes_the_only_key),
                cmocka_unit_test(test_token_to_json_shows_json_strings_as_json),
                cmocka_unit_test(test_token_validate_chain_rules_have_their_codes),
                cmocka_unit_test(test_token_validate_chain_counts_for_nothing_without_anchors),
                cmocka_unit_test(test_token_validate_chain_may_end_in_the_leaf),
                cmocka_unit_test(test_token_validate_no_x5c_cannot_reach_an_anchor),
                cmocka_unit_test(test_token_trust_anchors_parse_without_certificate_is_refused),
        };
        return cmocka_run_group_tests(tests, make_keys, drop_keys);
}
