/* attest/AzureGuest, the client's side: our message against the specification's real example, answers made with OpenSSL and spoiled, claims of published tokens. */
#include <openssl/evp.h>

#include "tests/support/vectors.h"

#include "base/writer.h"
#include "jose/aes-gcm.h"
#include "maa/azure-guest.h"
#include "maa/token.h"

/* ---- request ---- */

/* RSASSA with SHA-256, as a TPM gives it. */
static Bytes signature_of(const char *name) {
        _cleanup_bytes_ Bytes raw = vector_read(name);
        Writer writer = {};
        Bytes out;
        writer_u16be(&writer, 0x0014);
        writer_u16be(&writer, HASH_SHA256);
        writer_tpm2b(&writer, bytes_span(&raw));
        assert_ok(writer_finish(&writer, &out));
        return out;
}

typedef struct Example {
        Bytes certificate, aik, quote, quote_signature, key, certification, key_signature, values;
        PcrValues pcrs;
        MaaGuestRequest request;
} Example;

static void example_done(Example *example) {
        Bytes *const all[] = { &example->certificate, &example->aik, &example->quote, &example->quote_signature, &example->key, &example->certification,
                               &example->key_signature, &example->values };
        for (size_t i = 0; i < N_ELEMENTS(all); i++)
                bytes_done(all[i]);
}

/* The inside of a TPM2B. */
static Span inside(const Bytes *bytes) {
        return span_make(bytes->data + 2, bytes->size - 2);
}

static void example_read(Example *e) {
        e->certificate = vector_read("maa/azureguest/spec-aik.der");
        e->aik = vector_read("maa/azureguest/spec-aikpub.tpm2b_public.bin");
        e->quote = vector_read("maa/azureguest/spec-quote.attest.bin");
        e->quote_signature = signature_of("maa/azureguest/spec-quote.sig.bin");
        e->key = vector_read("maa/azureguest/spec-enckey.tpm2b_public.bin");
        e->certification = vector_read("maa/azureguest/spec-enckey.certify.bin");
        e->key_signature = signature_of("maa/azureguest/spec-enckey.certify.sig.bin");
        e->values = vector_read("maa/azureguest/spec-quote.pcrs.bin");
        e->pcrs = (PcrValues) { .n_banks = 1, .banks[0].alg = HASH_SHA256 };
        for (size_t i = 0; i < e->values.size / 32; i++) {
                size_t pcr = i < 8 ? i : i + 3;   /* 0-7, 11-14 */
                e->pcrs.banks[0].mask |= UINT32_C(1) << pcr;
                e->pcrs.banks[0].values[pcr] = digest_make(HASH_SHA256, span_make(e->values.data + 32 * i, 32));
        }
        e->request = (MaaGuestRequest) {
                .aik_public = inside(&e->aik), .aik_certificate = bytes_span(&e->certificate), .quote = bytes_span(&e->quote),
                .quote_signature = bytes_span(&e->quote_signature), .pcrs = &e->pcrs, .key_public = inside(&e->key),
                .key_certification = bytes_span(&e->certification), .key_signature = bytes_span(&e->key_signature),
        };
}

static Json *info_of(const MaaGuestRequest *request) {
        _cleanup_http_request_ HttpRequest http = {};
        _cleanup_bytes_ Bytes body = {}, info = {};
        _cleanup_json_ Json *outer = NULL;
        Json *json;
        assert_ok(maa_guest_request("https://a.example", NULL, request, &http));
        assert_string_equal(http.method, "POST");
        assert_string_equal(http.url, "https://a.example/attest/AzureGuest?api-version=2022-08-01");
        assert_ok(source_read_all(http.body, 1 << 20, &body));
        assert_ok(json_parse(bytes_span(&body), "body", &outer));
        assert_int_equal(json_object_object_length(outer), 1);
        assert_ok(json_get_base64url(outer, "AttestationInfo", &info));
        assert_ok(json_parse(bytes_span(&info), "info", &json));
        return json;
}

static void test_maa_guest_request_is_the_specifications_example(void **state) {
        _cleanup_(example_done) Example example = {};
        vectors_need();
        example_read(&example);
        _cleanup_json_ Json *info = info_of(&example.request), *wanted = vector_read_json("maa/azureguest/spec-TpmInfo.json");
        assert_true(json_object_equal(json_get(info, "TpmInfo"), wanted));
        const char *type;
        assert_ok(json_get_string(json_get(info, "IsolationInfo"), "Type", &type));
        assert_string_equal(type, "TrustedLaunch");
}

static void test_maa_guest_request_without_a_piece_names_it(void **state) {
        _cleanup_(example_done) Example example = {};
        vectors_need();
        example_read(&example);
        const struct { Span *span; const char *word; } pieces[] = {
                { &example.request.aik_public, "attestation key" },     { &example.request.aik_certificate, "certificate" }, { &example.request.quote, "quote" },
                { &example.request.quote_signature, "quote" },           { &example.request.key_public, "encryption key" },
                { &example.request.key_certification, "certification" }, { &example.request.key_signature, "certification" },
        };
        for (size_t i = 0; i < N_ELEMENTS(pieces); i++) {
                HttpRequest http = {};
                Span kept = *pieces[i].span;
                *pieces[i].span = (Span) {};
                _cleanup_(err_freep) Err *err = maa_guest_request("https://a.example", NULL, &example.request, &http);
                assert_int_equal(err_code(err), ERR_INVALID_ARGUMENT);
                assert_non_null(strstr(err_describe(err), pieces[i].word));
                *pieces[i].span = kept;
        }
        HttpRequest http = {};
        example.request.isolation = MAA_ISOLATION_SEV_SNP;
        assert_err(maa_guest_request("https://a.example", NULL, &example.request, &http), ERR_INVALID_ARGUMENT);
}

/* ---- answer ---- */

static const uint8_t inner_key[32] = { 1, 2, 3 }, iv[12] = { 4, 5 };
static const char jwt[] = "eyJhbGciOiJub25lIn0.e30.";

/* By OpenSSL's own functions, not ours. */
static void seal(uint8_t *ciphertext, uint8_t tag[16]) {
        EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
        int n;
        assert_int_equal(EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), NULL, inner_key, iv), 1);
        assert_int_equal(EVP_EncryptUpdate(context, NULL, &n, (const uint8_t *) "Transport Key", 13), 1);
        assert_int_equal(EVP_EncryptUpdate(context, ciphertext, &n, (const uint8_t *) jwt, (int) strlen(jwt)), 1);
        assert_int_equal(EVP_EncryptFinal_ex(context, ciphertext + n, &n), 1);
        assert_int_equal(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, tag), 1);
        EVP_CIPHER_CTX_free(context);
}

static char *encoded(Span data) {
        char *text;
        assert_ok(base64_encode(data, &text));
        return text;
}

typedef struct Envelope {
        const char *cipher, *mode, *bits;
        Span iv, tag;
} Envelope;

static char *answer_of(const Envelope *e, Span ciphertext) {
        _cleanup_free_ char *jwt64 = encoded(ciphertext), *key64 = encoded(span_from_string("to the TPM")), *tag64 = encoded(e->tag), *iv64 = encoded(e->iv);
        _cleanup_free_ char *envelope = NULL, *token = NULL;
        char *answer;
        assert_ok(string_format(&envelope,
                                "{\"Jwt\":\"%s\",\"EncryptedInnerKey\":\"%s\",\"AuthenticationData\":\"%s\",\"EncryptionParams\":{\"BlockMode\":\"%s\",\"BlockPadding\":\"PKCS7\","
                                "\"Cipher\":\"%s\",\"KeySizeInBits\":%s,\"Iv\":\"%s\"}}", jwt64, key64, tag64, e->mode, e->cipher, e->bits, iv64));
        assert_ok(base64url_encode(span_from_string(envelope), &token));
        assert_ok(string_format(&answer, "{\"token\":\"%s\"}", token));
        return answer;
}

static void test_maa_guest_answer_opens_with_its_key_and_no_other(void **state) {
        uint8_t ciphertext[64], tag[16], other[32] = {};
        seal(ciphertext, tag);
        const Envelope envelope = { "AES", "ChainingModeGCM", "256", SPAN_OF(iv), SPAN_OF(tag) };
        _cleanup_free_ char *text = answer_of(&envelope, span_make(ciphertext, strlen(jwt))), *opened = NULL, *none = NULL;
        _cleanup_maa_guest_answer_ MaaGuestAnswer answer = {};
        assert_ok(maa_guest_answer_parse(span_from_string(text), &answer));
        assert_true(span_equal_string(bytes_span(&answer.encrypted_key), "to the TPM"));
        assert_ok(maa_guest_answer_open(&answer, SPAN_OF(inner_key), &opened));
        assert_string_equal(opened, jwt);
        assert_err(maa_guest_answer_open(&answer, SPAN_OF(other), &none), ERR_SERVICE_ANSWER_INVALID);
        assert_err(maa_guest_answer_open(&answer, span_make(inner_key, 31), &none), ERR_SERVICE_ANSWER_INVALID);
        Bytes *const pieces[] = { &answer.ciphertext, &answer.iv, &answer.tag };
        for (size_t i = 0; i < N_ELEMENTS(pieces); i++) {
                pieces[i]->data[0] ^= 1;
                assert_err(maa_guest_answer_open(&answer, SPAN_OF(inner_key), &none), ERR_SERVICE_ANSWER_INVALID);
                pieces[i]->data[0] ^= 1;
        }
        assert_null(none);
}

static void test_maa_guest_answer_parse_every_prefix_and_other_parameters_are_refused(void **state) {
        uint8_t ciphertext[64], tag[16];
        seal(ciphertext, tag);
        Span closed = span_make(ciphertext, strlen(jwt));
        const struct { Envelope envelope; const char *word; } cases[] = {
                { { "DES", "ChainingModeGCM", "256", SPAN_OF(iv), SPAN_OF(tag) }, "Cipher" },
                { { "AES", "ChainingModeCBC", "256", SPAN_OF(iv), SPAN_OF(tag) }, "BlockMode" },
                { { "AES", "ChainingModeGCM", "128", SPAN_OF(iv), SPAN_OF(tag) }, "KeySizeInBits" },
                { { "AES", "ChainingModeGCM", "\"256\"", SPAN_OF(iv), SPAN_OF(tag) }, "KeySizeInBits" },
                { { "AES", "ChainingModeGCM", "256", span_make(iv, 11), SPAN_OF(tag) }, "Iv" },
                { { "AES", "ChainingModeGCM", "256", SPAN_OF(iv), span_make(tag, 15) }, "AuthenticationData" },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_free_ char *text = answer_of(&cases[i].envelope, closed);
                _cleanup_maa_guest_answer_ MaaGuestAnswer answer = {};
                _cleanup_(err_freep) Err *err = maa_guest_answer_parse(span_from_string(text), &answer);
                assert_int_equal(err_code(err), ERR_SERVICE_ANSWER_INVALID);
                assert_non_null(strstr(err_describe(err), cases[i].word));
        }
        const Envelope good = { "AES", "ChainingModeGCM", "256", SPAN_OF(iv), SPAN_OF(tag) };
        _cleanup_free_ char *text = answer_of(&good, closed);
        for (size_t size = 0; size < strlen(text); size++) {
                _cleanup_maa_guest_answer_ MaaGuestAnswer answer = {};
                assert_err(maa_guest_answer_parse(span_make(text, size), &answer), ERR_SERVICE_ANSWER_INVALID);
        }
}

/* ---- claims ---- */

/* A TPMT_PUBLIC whose modulus is that of the token's key. */
static Bytes public_of(const Json *claims) {
        const Json *key = json_object_array_get_idx(json_get(json_get(claims, "x-ms-runtime"), "keys"), 0);
        _cleanup_bytes_ Bytes modulus = {};
        Writer writer = {};
        Bytes out;
        assert_ok(json_get_base64url(key, "n", &modulus));
        writer_u16be(&writer, 0x0001);
        writer_u16be(&writer, HASH_SHA256);
        writer_u32be(&writer, 0x00020432);
        writer_u16be(&writer, 0);
        writer_u16be(&writer, 0x0010);
        writer_u16be(&writer, 0x0010);
        writer_u16be(&writer, 2048);
        writer_u32be(&writer, 0);
        writer_tpm2b(&writer, bytes_span(&modulus));
        assert_ok(writer_finish(&writer, &out));
        return out;
}

static void test_maa_guest_claims_of_a_published_token(void **state) {
        vectors_need();
        _cleanup_json_ Json *claims = vector_read_json("maa/azureguest/azureguest-sharedweu-2023.claims.json");
        _cleanup_bytes_ Bytes public = public_of(claims);
        MaaGuestRequest request = { .key_public = bytes_span(&public), .payload = { { "nonce", "ADE0101" } }, .n_payload = 1 };
        MaaGuestClaims found;
        assert_ok(maa_guest_claims(claims, &request, &found));
        assert_string_equal(found.attestation_type, "azurevm");
        assert_string_equal(found.vm_id, "70F5CE9A-2BDC-4B6B-8401-E9B964D3AEB7");
        assert_string_equal(found.os_type, "Windows");
        assert_string_equal(found.os_distro, "Microsoft");
        assert_string_equal(found.policy_hash, "wm9mHlvTU82e8UqoOy1Yj1FBRSNkfe99-69IYDq9eWs");
        assert_true(found.has_secure_boot && found.is_secure_boot);
        assert_string_equal(found.isolation_type, "sevsnpvm");
        assert_string_equal(found.compliance_status, "azure-compliant-cvm");
        request.payload[0].value = "ADE0102";
        assert_err(maa_guest_claims(claims, &request, &found), ERR_TOKEN_NONCE_MISMATCH);
        request.n_payload = 0;
        public.data[public.size - 1] ^= 1;
        assert_err(maa_guest_claims(claims, &request, &found), ERR_TOKEN_CNF_MISMATCH);
        public.data[public.size - 1] ^= 1;
        assert_ok(json_add_string(claims, "x-ms-attestation-type", "sgx"));
        assert_err(maa_guest_claims(claims, &request, &found), ERR_TOKEN_CLAIM_INVALID);
}

static void test_token_validate_published_guest_token_holds_at_its_time(void **state) {
        vectors_need();
        _cleanup_bytes_ Bytes text = vector_read("maa/azureguest/azureguest-sharedweu-2023.jwt"), keys_text = vector_read("maa/jwks/thirdparty-sharedweu.json");
        _cleanup_bytes_ Bytes cut = vector_read("maa/azureguest/truncated-invalid.jwt");
        _cleanup_(jwk_set_freep) JwkSet *keys = NULL;
        _cleanup_(token_freep) Token *token = NULL, *none = NULL;
        assert_ok(jwk_set_parse(bytes_span(&keys_text), "keys", &keys));
        TokenRules rules = { .keys = keys, .issuer = "https://sharedweu.weu.attest.azure.net", .now_sec = 1680173400, .clock_skew_sec = 120 };
        assert_ok(jose_alg_set_parse("RS256", &rules.algorithms));
        assert_ok(token_validate(bytes_span(&text), &rules, &token, NULL));
        rules.now_sec = 1680202174 + 121;
        assert_err(token_validate(bytes_span(&text), &rules, &none, NULL), ERR_TOKEN_EXPIRED);
        assert_err(token_validate(bytes_span(&cut), &rules, &none, NULL), ERR_TOKEN_TRUNCATED);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_maa_guest_request_is_the_specifications_example),
                cmocka_unit_test(test_maa_guest_request_without_a_piece_names_it),
                cmocka_unit_test(test_maa_guest_answer_opens_with_its_key_and_no_other),
                cmocka_unit_test(test_maa_guest_answer_parse_every_prefix_and_other_parameters_are_refused),
                cmocka_unit_test(test_maa_guest_claims_of_a_published_token),
                cmocka_unit_test(test_token_validate_published_guest_token_holds_at_its_time),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
