/* The request of AttestTpm: built once and taken apart again by other means than those that built it. */
#include "tests/support/vectors.h"

#include <sys/resource.h>

#include <openssl/ec.h>

#include "tests/support/synthetic.h"
#include "tests/unit/maa/plain.h"

#include "jose/signature.h"
#include "maa/attest_tpm.h"

#define BASE "https://a.wus.attest.azure.net"
#define LOG_MB 50

static EVP_PKEY *request_key, *aik;

static int make_keys(void **state) {
        request_key = EVP_RSA_gen(2048);
        aik = EVP_RSA_gen(2048);
        return request_key && aik ? 0 : -1;
}

static int drop_keys(void **state) {
        EVP_PKEY_free(request_key);
        EVP_PKEY_free(aik);
        return 0;
}

/* The rule written out: SHA-256 over text, a zero byte, and 16 bytes. */
static void expected_qualifying(const char *jwk_text, const uint8_t challenge[16], uint8_t ret[32]) {
        EVP_MD_CTX *context = EVP_MD_CTX_new();
        assert_int_equal(EVP_DigestInit_ex(context, EVP_sha256(), NULL), 1);
        assert_int_equal(EVP_DigestUpdate(context, jwk_text, strlen(jwk_text)), 1);
        assert_int_equal(EVP_DigestUpdate(context, "\0", 1), 1);
        assert_int_equal(EVP_DigestUpdate(context, challenge, 16), 1);
        assert_int_equal(EVP_DigestFinal_ex(context, ret, NULL), 1);
        EVP_MD_CTX_free(context);
}

static void test_attest_tpm_qualifying_data_is_hash_of_text_zero_challenge(void **state) {
        static const uint8_t challenge[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
        static const char *const texts[] = { "", "{}", "{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}", "{ \"n\" : 1 }" };
        for (size_t i = 0; i < N_ELEMENTS(texts); i++) {
                uint8_t expected[32];
                Digest digest = {};
                expected_qualifying(texts[i], challenge, expected);
                assert_ok(attest_tpm_qualifying_data(texts[i], SPAN_OF(challenge), &digest));
                assert_int_equal(digest.size, 32);
                assert_memory_equal(digest.bytes, expected, 32);
        }
}

typedef struct Fixture {
        AttestTpmChallenge challenge;
        Evidence *evidence;
        char *jwk_text;
        AttestTpmRequest request;
} Fixture;

static const uint8_t nonce[] = "a nonce of the relying party";
static const NamedValue claims[] = { { (char *) "role", (char *) "web \"front\" \\ \xc3\xa9" }, { (char *) "n", (char *) "" } };

static void fixture_init(Fixture *f, uint64_t tcg_size, uint64_t ima_size, bool sparse) {
        *f = (Fixture) { .evidence = synthetic_evidence(aik, tcg_size, ima_size, sparse) };
        synthetic_bytes(MAA_CHALLENGE_SIZE, 0x30, &f->challenge.challenge);
        assert_ok(string_copy("eyJQcm90ZWN0aW9uS2V5TmFtZSI6IjU1In0", &f->challenge.service_context));
        assert_ok(jwk_public_text(request_key, &f->jwk_text));
        f->request = (AttestTpmRequest) {
                .challenge = &f->challenge, .evidence = f->evidence, .jwk_text = f->jwk_text, .request_key = request_key,
                .rp_id = "https://rp.example/\"x\"", .rp_data = span_make(nonce, sizeof(nonce) - 1), .custom_claims = claims, .n_custom_claims = 2,
        };
}

static void fixture_done(Fixture *f) {
        attest_tpm_challenge_done(&f->challenge);
        evidence_free(f->evidence);
        free(f->jwk_text);
}
#define _cleanup_fixture_ _cleanup_(fixture_done)

/* From the body down to the JWS: {"data":b64({"payload":{"request":JWS}})}. */
static void unwrap_request(Source *body, Bytes *ret_jws) {
        _cleanup_bytes_ Bytes outer_text = {}, inner_text = {};
        assert_ok(source_read_all(body, 64 << 20, &outer_text));
        Json *outer = json_tokener_parse((char *) outer_text.data);
        assert_int_equal(json_object_object_length(outer), 1);
        const char *data = text_member(outer, "data");
        plain_decode(data, strlen(data), &inner_text);
        Json *inner = json_tokener_parse((char *) inner_text.data), *payload = member(inner, "payload");
        assert_int_equal(json_object_object_length(inner), 1);
        assert_int_equal(json_object_object_length(payload), 1);
        assert_ok(bytes_copy(span_from_string(text_member(payload, "request")), ret_jws));
        json_object_put(inner);
        json_object_put(outer);
}

static void assert_ps256(const char *input, size_t n_input, Span signature) {
        EVP_MD_CTX *context = EVP_MD_CTX_new();
        EVP_PKEY_CTX *key_context = NULL;
        assert_int_equal(EVP_DigestVerifyInit(context, &key_context, EVP_sha256(), NULL, request_key), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(key_context, RSA_PKCS1_PSS_PADDING), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_mgf1_md(key_context, EVP_sha256()), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(key_context, 32), 1);
        assert_int_equal(EVP_DigestVerify(context, signature.data, signature.size, (const uint8_t *) input, n_input), 1);
        EVP_MD_CTX_free(context);
}

/* Verifies the JWS and gives its payload's text. */
static void open_jws(const Bytes *jws, Bytes *ret_payload) {
        _cleanup_bytes_ Bytes header = {}, signature = {};
        const char *text = (const char *) jws->data, *first = strchr(text, '.'), *second = strchr(first + 1, '.');
        assert_null(strchr(second + 1, '.'));
        plain_decode(text, (size_t) (first - text), &header);
        assert_string_equal((char *) header.data, "{\"alg\":\"PS256\",\"typ\":\"attReqV2\"}");
        plain_decode(second + 1, strlen(second + 1), &signature);
        assert_int_equal(signature.size, 256);
        assert_ps256(text, (size_t) (second - text), bytes_span(&signature));
        plain_decode(first + 1, (size_t) (second - first - 1), ret_payload);
}

static void assert_members(Json *object, const char *const *names) {
        size_t n = 0;
        json_object_object_foreach(object, name, value) {
                assert_non_null(value);
                assert_non_null(names[n]);
                assert_string_equal(name, names[n]);   /* json-c keeps the order of the text */
                n++;
        }
        assert_null(names[n]);
}
#define assert_members_are(object, ...) assert_members(object, (const char *const[]) { __VA_ARGS__, NULL })

static void assert_log(Json *log, const char *type, uint64_t size) {
        _cleanup_bytes_ Bytes data = {};
        assert_members_are(log, "type", "log");
        assert_string_equal(text_member(log, "type"), type);
        plain_decode(text_member(log, "log"), strlen(text_member(log, "log")), &data);
        assert_int_equal(data.size, size);
        for (size_t i = 0; i < size; i++)
                if (data.data[i] != synthetic_byte(i))
                        fail_msg("%s log differs at %zu", type, i);
}

static void assert_bank(Json *bank, int alg, size_t digest_size, const int *indices, size_t n) {
        Json *values = member(bank, "values");
        assert_members_are(bank, "algorithm", "values");
        assert_true(json_object_is_type(member(bank, "algorithm"), json_type_int));
        assert_int_equal(json_object_get_int(member(bank, "algorithm")), alg);
        assert_int_equal(json_object_array_length(values), n);
        for (size_t i = 0; i < n; i++) {
                uint8_t expected[64];
                Json *value = json_object_array_get_idx(values, i);
                assert_members_are(value, "index", "digest");
                assert_int_equal(json_object_get_int(member(value, "index")), indices[i]);
                memset(expected, alg + indices[i], digest_size);
                assert_bytes_member(value, "digest", span_make(expected, digest_size));
        }
}

static void assert_aik(Json *aik_pub) {
        uint8_t modulus[256];
        BIGNUM *n = NULL;
        assert_int_equal(EVP_PKEY_get_bn_param(aik, OSSL_PKEY_PARAM_RSA_N, &n), 1);
        BN_bn2binpad(n, modulus, sizeof(modulus));
        BN_free(n);
        assert_members_are(aik_pub, "kty", "n", "e");
        assert_string_equal(text_member(aik_pub, "kty"), "RSA");
        assert_string_equal(text_member(aik_pub, "e"), "AQAB");
        assert_bytes_member(aik_pub, "n", SPAN_OF(modulus));
}

static void test_attest_tpm_request_holds_what_was_given(void **state) {
        static const int sha256_pcrs[] = { 0, 7, 10 }, sha1_pcrs[] = { 0, 23 };
        _cleanup_fixture_ Fixture f;
        _cleanup_http_request_ HttpRequest request = {};
        _cleanup_bytes_ Bytes jws = {}, payload = {};
        fixture_init(&f, 20001, 12289, false);
        synthetic_bytes(701, 0x30, &f.evidence->aik_certificate);
        assert_ok(attest_tpm_request(BASE, "2022-08-01", &f.request, &request));
        assert_string_equal(request.url, BASE "/attest/Tpm?api-version=2022-08-01");
        assert_string_equal(request.method, "POST");
        unwrap_request(request.body, &jws);
        open_jws(&jws, &payload);

        Json *root = json_tokener_parse((char *) payload.data), *data = member(root, "att_data");
        assert_members_are(root, "att_type", "att_data");
        assert_string_equal(text_member(root, "att_type"), "basic");
        assert_members_are(data, "rp_id", "rp_data", "challenge", "tpm_att_data", "request_key", "custom_claims", "service_context");
        assert_string_equal(text_member(data, "rp_id"), "https://rp.example/\"x\"");
        assert_bytes_member(data, "rp_data", span_make("a nonce of the relying party", 28));
        assert_bytes_member(data, "challenge", span_make("0123456789:;<=>?", 16));
        assert_string_equal(text_member(data, "service_context"), "eyJQcm90ZWN0aW9uS2V5TmFtZSI6IjU1In0");

        Json *now = member(member(data, "tpm_att_data"), "current_attestation"), *logs = member(now, "logs"), *pcrs = member(now, "pcrs");
        assert_members_are(now, "logs", "aik_cert", "aik_pub", "pcrs", "quote", "signature");
        assert_int_equal(json_object_array_length(logs), 2);
        assert_log(json_object_array_get_idx(logs, 0), "TCG", 20001);
        assert_log(json_object_array_get_idx(logs, 1), "IMA", 12289);
        assert_bytes_member(now, "aik_cert", bytes_span(&f.evidence->aik_certificate));
        assert_aik(member(now, "aik_pub"));
        assert_int_equal(json_object_array_length(pcrs), 2);
        assert_bank(json_object_array_get_idx(pcrs, 0), 0x000b, 32, sha256_pcrs, 3);
        assert_bank(json_object_array_get_idx(pcrs, 1), 0x0004, 20, sha1_pcrs, 2);
        assert_bytes_member(now, "quote", bytes_span(&f.evidence->quote));
        assert_bytes_member(now, "signature", bytes_span(&f.evidence->signature));

        Json *custom = member(data, "custom_claims"), *first = json_object_array_get_idx(custom, 0);
        assert_int_equal(json_object_array_length(custom), 2);
        assert_members_are(first, "name", "value", "value_type");
        assert_string_equal(text_member(first, "name"), "role");
        assert_string_equal(text_member(first, "value"), "web \"front\" \\ \xc3\xa9");
        assert_string_equal(text_member(first, "value_type"), "string");
        json_object_put(root);
}

/* protocol, version 2: tpm_att_data: { current_attestation: {…}, boot_attestation: {…} }, with the same members */
static void test_attest_tpm_request_boot_attestation_has_the_same_members(void **state) {
        static const int sha256_pcrs[] = { 0, 7, 10 }, sha1_pcrs[] = { 0, 23 };
        _cleanup_fixture_ Fixture f, before;
        _cleanup_http_request_ HttpRequest request = {};
        _cleanup_bytes_ Bytes jws = {}, payload = {};
        fixture_init(&f, 10, 12289, false);
        fixture_init(&before, 20001, 5, false);
        f.evidence->boot = before.evidence;
        bytes_done(&before.evidence->quote);
        synthetic_bytes(99, 0x77, &before.evidence->quote);
        assert_ok(attest_tpm_request(BASE, "2022-08-01", &f.request, &request));
        f.evidence->boot = NULL;
        unwrap_request(request.body, &jws);
        open_jws(&jws, &payload);
        Json *root = json_tokener_parse((char *) payload.data), *tpm = member(member(root, "att_data"), "tpm_att_data");
        assert_members_are(tpm, "current_attestation", "boot_attestation");
        Json *boot = member(tpm, "boot_attestation"), *logs = member(boot, "logs");
        assert_members_are(boot, "logs", "aik_pub", "pcrs", "quote", "signature");
        assert_int_equal(json_object_array_length(logs), 2);
        assert_log(json_object_array_get_idx(logs, 0), "TCG", 20001);
        assert_log(json_object_array_get_idx(logs, 1), "IMA", 5);
        assert_aik(member(boot, "aik_pub"));
        assert_bank(json_object_array_get_idx(member(boot, "pcrs"), 0), 0x000b, 32, sha256_pcrs, 3);
        assert_bank(json_object_array_get_idx(member(boot, "pcrs"), 1), 0x0004, 20, sha1_pcrs, 2);
        assert_bytes_member(boot, "quote", bytes_span(&before.evidence->quote));
        assert_bytes_member(member(tpm, "current_attestation"), "quote", bytes_span(&f.evidence->quote));
        json_object_put(root);
}

static void test_attest_tpm_request_jwk_is_the_literal_text(void **state) {
        static const char odd[] = "{ \"e\" : \"AQAB\",\t\"kty\":\"\\u0052SA\", \"n\":\"AQAB\" }";
        _cleanup_fixture_ Fixture f;
        _cleanup_http_request_ HttpRequest request = {};
        _cleanup_bytes_ Bytes jws = {}, payload = {};
        fixture_init(&f, 10, 0, false);
        f.request.jwk_text = odd;
        assert_ok(attest_tpm_request(BASE, "2020-10-01", &f.request, &request));
        unwrap_request(request.body, &jws);
        open_jws(&jws, &payload);
        assert_non_null(strstr((char *) payload.data,
                               "\"request_key\":{\"jwk\":{ \"e\" : \"AQAB\",\t\"kty\":\"\\u0052SA\", \"n\":\"AQAB\" },\"info\":{\"tpm_quote\":{\"hash_alg\":\"sha-256\"}}},"));
}

static void test_attest_tpm_request_optional_parts_are_left_out(void **state) {
        _cleanup_fixture_ Fixture f;
        _cleanup_http_request_ HttpRequest request = {};
        _cleanup_bytes_ Bytes jws = {}, payload = {};
        fixture_init(&f, 10, 0, false);
        close(f.evidence->logs[0].fd);
        f.evidence->n_logs = 0;
        f.request.rp_id = NULL;
        f.request.n_custom_claims = 0;
        assert_ok(attest_tpm_request(BASE, "2020-10-01", &f.request, &request));
        unwrap_request(request.body, &jws);
        open_jws(&jws, &payload);
        Json *root = json_tokener_parse((char *) payload.data), *data = member(root, "att_data");
        assert_members_are(data, "rp_id", "rp_data", "challenge", "tpm_att_data", "request_key", "service_context");
        assert_string_equal(text_member(data, "rp_id"), "");
        Json *now = member(member(data, "tpm_att_data"), "current_attestation");
        assert_members_are(now, "logs", "aik_pub", "pcrs", "quote", "signature");
        assert_int_equal(json_object_array_length(member(now, "logs")), 0);
        json_object_put(root);
}

static void assert_certify(Json *key, Span public, uint8_t certification, uint8_t signature) {
        _cleanup_bytes_ Bytes expected_certification = {}, expected_signature = {};
        Json *info = member(key, "info"), *certify = member(info, "tpm_certify");
        synthetic_bytes(150, certification, &expected_certification);
        synthetic_bytes(262, signature, &expected_signature);
        assert_members_are(info, "tpm_certify");
        assert_members_are(certify, "public", "certification", "signature");
        assert_bytes_member(certify, "public", public);
        assert_bytes_member(certify, "certification", bytes_span(&expected_certification));
        assert_bytes_member(certify, "signature", bytes_span(&expected_signature));
}

static void add_key(EvidenceKey *key, EVP_PKEY *from, bool is_certified, uint8_t first) {
        synthetic_tpmt_public(from, &key->public);
        if (!is_certified)
                return;
        synthetic_bytes(150, first, &key->certification);
        synthetic_bytes(262, (uint8_t) (first + 1), &key->signature);
}

static void test_attest_tpm_request_certified_keys_stand_as_documented(void **state) {
        _cleanup_fixture_ Fixture f;
        _cleanup_http_request_ HttpRequest request = {};
        _cleanup_bytes_ Bytes jws = {}, payload = {};
        fixture_init(&f, 5000, 0, false);
        add_key(&f.evidence->request_key, request_key, true, 0x60);
        add_key(&f.evidence->other_keys[0], aik, true, 0x70);
        add_key(&f.evidence->other_keys[1], request_key, false, 0);
        f.evidence->n_other_keys = 2;
        f.request.certified_key = true;
        assert_ok(attest_tpm_request(BASE, "2020-10-01", &f.request, &request));
        unwrap_request(request.body, &jws);
        open_jws(&jws, &payload);
        Json *root = json_tokener_parse((char *) payload.data), *data = member(root, "att_data"), *others = member(data, "other_keys");
        assert_members_are(data, "rp_id", "rp_data", "challenge", "tpm_att_data", "request_key", "other_keys", "custom_claims", "service_context");
        assert_members_are(member(data, "request_key"), "jwk", "info");
        assert_certify(member(data, "request_key"), bytes_span(&f.evidence->request_key.public), 0x60, 0x61);
        assert_int_equal(json_object_array_length(others), 2);
        assert_members_are(json_object_array_get_idx(others, 0), "jwk", "info");
        assert_certify(json_object_array_get_idx(others, 0), bytes_span(&f.evidence->other_keys[0].public), 0x70, 0x71);
        assert_members_are(json_object_array_get_idx(others, 1), "jwk");
        assert_string_equal(text_member(member(json_object_array_get_idx(others, 1), "jwk"), "n"), text_member(member(member(data, "request_key"), "jwk"), "n"));
        json_object_put(root);
        bytes_done(&f.evidence->request_key.certification);
        assert_err(attest_tpm_request(BASE, "2020-10-01", &f.request, &request), ERR_INTERNAL);
}

static void test_attest_tpm_signed_request_wants_the_right_signature(void **state) {
        _cleanup_fixture_ Fixture f;
        _cleanup_bytes_ Bytes digest = {}, signature = {}, jws = {}, payload = {};
        _cleanup_http_request_ HttpRequest request = {}, refused = {};
        Source *input;
        fixture_init(&f, 20001, 12289, false);
        assert_ok(attest_tpm_signing_input(&f.request, &input));
        assert_ok(jws_signing_digest(JOSE_ALG_PS256, input, &digest));
        assert_ok(jose_signature_sign_digest(JOSE_ALG_PS256, request_key, bytes_span(&digest), &signature));
        AttestTpmProof proof = { request_key, bytes_span(&digest), bytes_span(&signature) };
        assert_ok(attest_tpm_signed_request(BASE, "2020-10-01", &proof, input, &request));
        unwrap_request(request.body, &jws);
        open_jws(&jws, &payload);
        assert_ok(attest_tpm_signing_input(&f.request, &input));
        proof.key = aik;
        assert_err(attest_tpm_signed_request(BASE, "2020-10-01", &proof, input, &refused), ERR_TOKEN_SIGNATURE_INVALID);
}

static void test_attest_tpm_request_outlives_its_evidence(void **state) {
        Fixture f;
        _cleanup_http_request_ HttpRequest request = {};
        _cleanup_bytes_ Bytes jws = {}, payload = {};
        fixture_init(&f, 5000, 0, false);
        assert_ok(attest_tpm_request(BASE, "2020-10-01", &f.request, &request));
        fixture_done(&f);
        unwrap_request(request.body, &jws);
        open_jws(&jws, &payload);
}

static void test_attest_tpm_request_unusable_parts_are_refused(void **state) {
        _cleanup_fixture_ Fixture f;
        HttpRequest request = {};
        fixture_init(&f, 10, 0, false);
        f.request.rp_id = "caf\xe9";
        assert_err(attest_tpm_request(BASE, "2020-10-01", &f.request, &request), ERR_INVALID_ARGUMENT);
        f.request.rp_id = NULL;
        assert_err(attest_tpm_request(BASE, "2020 10", &f.request, &request), ERR_INVALID_ARGUMENT);
        f.evidence->logs[0].size = 11;
        assert_err(attest_tpm_request(BASE, "2020-10-01", &f.request, &request), ERR_IO);   /* the file is shorter */
        f.evidence->logs[0].size = 10;
        f.evidence->aik_public.size--;
        assert_err(attest_tpm_request(BASE, "2020-10-01", &f.request, &request), ERR_QUOTE_MALFORMED);
        assert_null(request.url);
        assert_null(request.body);
}

static void test_attest_tpm_request_ecc_aik_goes_as_its_jwk(void **state) {
        _cleanup_fixture_ Fixture f;
        _cleanup_http_request_ HttpRequest request = {};
        _cleanup_bytes_ Bytes jws = {}, text = {};
        _cleanup_writer_ Writer out = {};
        uint8_t point[65] = {};
        size_t n = 0;
        EVP_PKEY *ec = EVP_EC_gen("P-256");
        assert_int_equal(EVP_PKEY_get_octet_string_param(ec, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, point, sizeof(point), &n), 1);
        EVP_PKEY_free(ec);
        fixture_init(&f, 10, 0, false);
        writer_u16be(&out, TPM_ALG_ECC);
        writer_u16be(&out, HASH_SHA256);
        writer_u32be(&out, TPM_OBJECT_SIGN | TPM_OBJECT_RESTRICTED);
        writer_tpm2b(&out, (Span) {});
        writer_u16be(&out, TPM_ALG_NULL);
        writer_u16be(&out, TPM_ALG_ECDSA);
        writer_u16be(&out, HASH_SHA256);
        writer_u16be(&out, 0x0003);         /* TPM_ECC_NIST_P256 */
        writer_u16be(&out, TPM_ALG_NULL);   /* kdf */
        writer_tpm2b(&out, span_make(point + 1, 32));
        writer_tpm2b(&out, span_make(point + 33, 32));
        bytes_done(&f.evidence->aik_public);
        assert_ok(writer_finish(&out, &f.evidence->aik_public));
        assert_ok(attest_tpm_request(BASE, "2020-10-01", &f.request, &request));
        unwrap_request(request.body, &jws);
        open_jws(&jws, &text);
        Json *root = json_tokener_parse((char *) text.data);
        Json *now = member(member(member(root, "att_data"), "tpm_att_data"), "current_attestation"), *aik_pub = member(now, "aik_pub");
        assert_members_are(aik_pub, "crv", "kty", "x", "y");
        assert_string_equal(text_member(aik_pub, "kty"), "EC");
        assert_string_equal(text_member(aik_pub, "crv"), "P-256");
        assert_bytes_member(aik_pub, "x", span_make(point + 1, 32));
        assert_bytes_member(aik_pub, "y", span_make(point + 33, 32));
        json_object_put(root);
}

static long peak_kb(void) {
        struct rusage usage;
        assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
        return usage.ru_maxrss;
}

/* Runs first, while the peak of this process is still low: a body held in memory would raise it by more than LOG_MB. */
static void test_attest_tpm_request_large_log_streams_in_little_memory(void **state) {
        static uint8_t chunk[65536];
        _cleanup_fixture_ Fixture f;
        _cleanup_http_request_ HttpRequest request = {};
        fixture_init(&f, LOG_MB << 20, 1000, true);
        long before = peak_kb();
        assert_ok(attest_tpm_request(BASE, "2020-10-01", &f.request, &request));
        for (unsigned pass = 0; pass < 2; pass++) {
                uint64_t total = 0;
                size_t n;
                do {
                        assert_ok(source_read(request.body, chunk, sizeof(chunk), &n));
                        total += n;
                } while (n > 0);
                assert_int_equal(total, source_size(request.body));
                assert_true(total > ((uint64_t) LOG_MB << 20) * 64 / 27);   /* three layers of base64 */
                assert_ok(source_rewind(request.body));
        }
        long grown = peak_kb() - before;
        if (grown > 4096)
                fail_msg("the peak of memory grew by %ld KiB", grown);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_attest_tpm_request_large_log_streams_in_little_memory),
                cmocka_unit_test(test_attest_tpm_qualifying_data_is_hash_of_text_zero_challenge),
                cmocka_unit_test(test_attest_tpm_request_holds_what_was_given),
                cmocka_unit_test(test_attest_tpm_request_boot_attestation_has_the_same_members),
                cmocka_unit_test(test_attest_tpm_request_jwk_is_the_literal_text),
                cmocka_unit_test(test_attest_tpm_request_optional_parts_are_left_out),
                cmocka_unit_test(test_attest_tpm_request_certified_keys_stand_as_documented),
                cmocka_unit_test(test_attest_tpm_signed_request_wants_the_right_signature),
                cmocka_unit_test(test_attest_tpm_request_outlives_its_evidence),
                cmocka_unit_test(test_attest_tpm_request_unusable_parts_are_refused),
                cmocka_unit_test(test_attest_tpm_request_ecc_aik_goes_as_its_jwk),
        };
        return cmocka_run_group_tests(tests, make_keys, drop_keys);
}
