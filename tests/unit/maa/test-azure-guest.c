/* POST attest/AzureGuest: our request against the real one of the specification, answers that OpenSSL closes here, and the claims of a real token. The token itself is
 * judged in test-token-vectors.c. */
#include "tests/support/vectors.h"

#include <openssl/evp.h>

#include "base/writer.h"
#include "jose/aes-gcm.h"
#include "maa/azure-guest.h"
#include "maa/token.h"
#include "tcg/quote.h"

#define FOLDER "maa/azureguest/"
#define BASE "https://h"
#define JWT "eyJhbGciOiJub25lIn0.eyJhIjoxfQ.c2ln"

/* ---- the request of the specification ---- */

typedef struct Spec {
        Bytes aik, certificate, quote, quote_signature, key, certification, key_signature;
        PcrValues pcrs;
} Spec;

static Bytes tpmt_public(const char *name) {
        _cleanup_bytes_ Bytes tpm2b = vector_read(name);
        Bytes bytes = {};
        assert_true(tpm2b.size > 2 && tpm2b.data[0] * 256U + tpm2b.data[1] == tpm2b.size - 2);
        assert_ok(bytes_copy(span_make(tpm2b.data + 2, tpm2b.size - 2), &bytes));
        return bytes;
}

/* TPMT_SIGNATURE with RSASSA and SHA-256 (TPM 2.0 Part 2 section 11.3.4) */
static Bytes tpmt_signature(const char *name, uint16_t scheme) {
        _cleanup_bytes_ Bytes raw = vector_read(name);
        _cleanup_writer_ Writer writer = {};
        Bytes bytes = {};
        writer_u16be(&writer, scheme);
        writer_u16be(&writer, HASH_SHA256);
        writer_tpm2b(&writer, bytes_span(&raw));
        assert_ok(writer_finish(&writer, &bytes));
        return bytes;
}

static void read_pcrs(PcrValues *pcrs) {
        static const unsigned indices[] = { 0, 1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 14 };
        _cleanup_bytes_ Bytes values = vector_read(FOLDER "spec-quote.pcrs.bin");
        assert_int_equal(values.size, N_ELEMENTS(indices) * 32);
        *pcrs = (PcrValues) { .n_banks = 1, .banks = { { .alg = HASH_SHA256 } } };
        for (size_t i = 0; i < N_ELEMENTS(indices); i++) {
                pcrs->banks[0].mask |= UINT32_C(1) << indices[i];
                pcrs->banks[0].values[indices[i]] = digest_make(HASH_SHA256, span_make(values.data + 32 * i, 32));
        }
}

static Spec spec_read(void) {
        Spec spec = {
                .aik = tpmt_public(FOLDER "spec-aikpub.tpm2b_public.bin"),
                .certificate = vector_read(FOLDER "spec-aik.der"),
                .quote = vector_read(FOLDER "spec-quote.attest.bin"),
                .quote_signature = tpmt_signature(FOLDER "spec-quote.sig.bin", TPM_ALG_RSASSA),
                .key = tpmt_public(FOLDER "spec-enckey.tpm2b_public.bin"),
                .certification = vector_read(FOLDER "spec-enckey.certify.bin"),
                .key_signature = tpmt_signature(FOLDER "spec-enckey.certify.sig.bin", TPM_ALG_RSASSA),
        };
        read_pcrs(&spec.pcrs);
        return spec;
}

static void spec_done(Spec *spec) {
        bytes_done(&spec->aik);
        bytes_done(&spec->certificate);
        bytes_done(&spec->quote);
        bytes_done(&spec->quote_signature);
        bytes_done(&spec->key);
        bytes_done(&spec->certification);
        bytes_done(&spec->key_signature);
}
#define _cleanup_spec_ _cleanup_(spec_done)

static MaaGuestRequest request_of(const Spec *spec) {
        return (MaaGuestRequest) {
                .aik_public = bytes_span(&spec->aik),
                .aik_certificate = bytes_span(&spec->certificate),
                .quote = bytes_span(&spec->quote),
                .quote_signature = bytes_span(&spec->quote_signature),
                .pcrs = &spec->pcrs,
                .key_public = bytes_span(&spec->key),
                .key_certification = bytes_span(&spec->certification),
                .key_signature = bytes_span(&spec->key_signature),
        };
}

/* The object inside the request, by json-c and a decoder that takes padding. */
static Json *sent_info(const HttpRequest *http) {
        _cleanup_bytes_ Bytes body = {}, info = {};
        assert_ok(source_read_all(http->body, VECTOR_SIZE_MAX, &body));
        _cleanup_json_ Json *json = json_tokener_parse((const char *) body.data);
        const char *text = json_object_get_string(json_get(json, "AttestationInfo"));
        assert_int_equal(json_object_object_length(json), 1);
        assert_non_null(text);
        assert_null(strpbrk(text, "+/="));
        assert_ok(base64url_decode(span_from_string(text), "AttestationInfo", &info));
        Json *parsed = json_tokener_parse((const char *) info.data);
        assert_non_null(parsed);
        return parsed;
}

static void test_guest_request_has_the_specifications_tpm_info(void **state) {
        vectors_need();
        _cleanup_spec_ Spec spec = spec_read();
        _cleanup_json_ Json *recorded = vector_read_json(FOLDER "spec-TpmInfo.json");
        _cleanup_http_request_ HttpRequest http = {};
        const MaaGuestRequest request = request_of(&spec);
        assert_ok(maa_guest_request(BASE, NULL, &request, &http));
        assert_string_equal(http.method, "POST");
        assert_string_equal(http.url, BASE "/attest/AzureGuest?api-version=2022-08-01");
        _cleanup_json_ Json *info = sent_info(&http);
        const Json *ours = json_get(info, "TpmInfo");
        json_object_object_foreach(recorded, name, value) {
                print_message("%s\n", name);
                assert_true(json_object_equal(json_get(ours, name), value));
        }
        assert_int_equal(json_object_object_length(ours), json_object_object_length(recorded));
}

/* Microsoft's client has bound the key to the PCRs of its quote. */
static void test_pcr_values_policy_is_that_of_the_specifications_key(void **state) {
        vectors_need();
        _cleanup_spec_ Spec spec = spec_read();
        TpmPublic public;
        Digest policy;
        assert_ok(tpm_public_parse(bytes_span(&spec.key), &public));
        assert_ok(pcr_values_policy(&spec.pcrs, &policy));
        assert_true(span_equal(public.auth_policy, digest_span(&policy)));
        spec.pcrs.banks[0].values[14].bytes[0] ^= 1;
        assert_ok(pcr_values_policy(&spec.pcrs, &policy));
        assert_false(span_equal(public.auth_policy, digest_span(&policy)));
        assert_int_equal(public.attributes & TPM_OBJECT_USERWITHAUTH, 0);
}

static void assert_text(const Json *object, const char *member, const char *wanted) {
        const char *text = json_object_get_string(json_get(object, member));
        assert_non_null(text);
        assert_string_equal(text, wanted);
}

static void test_guest_request_of_a_trusted_launch_vm_has_all_members(void **state) {
        vectors_need();
        _cleanup_spec_ Spec spec = spec_read();
        _cleanup_http_request_ HttpRequest http = {};
        MaaGuestRequest request = request_of(&spec);
        request.boot_log = span_from_string("log");
        request.os_distro = "Ubuntu";
        request.os_major = 22;
        request.os_minor = 4;
        request.payload[0] = (MaaGuestPayload) { "nonce", "ADE0101" };
        request.payload[1] = (MaaGuestPayload) { "empty", "" };
        request.n_payload = 2;
        assert_ok(maa_guest_request(BASE, "2020-10-01", &request, &http));
        assert_string_equal(http.url, BASE "/attest/AzureGuest?api-version=2020-10-01");
        _cleanup_json_ Json *info = sent_info(&http);
        assert_text(info, "AttestationProtocolVersion", "2.0");
        assert_text(info, "OSType", "TGludXg=");
        assert_text(info, "OSDistro", "VWJ1bnR1");
        assert_text(info, "OSBuild", "VW5rbm93bg==");
        assert_int_equal(json_object_get_int(json_get(info, "OSVersionMajor")), 22);
        assert_int_equal(json_object_get_int(json_get(info, "OSVersionMinor")), 4);
        assert_text(info, "TcgLogs", "bG9n");
        const Json *payload = json_get(info, "ClientPayload"), *isolation = json_get(info, "IsolationInfo");
        assert_text(payload, "nonce", "QURFMDEwMQ==");      /* as in the real token */
        assert_text(payload, "empty", "");
        assert_int_equal(json_object_object_length(payload), 2);
        assert_text(isolation, "Type", "TrustedLaunch");
        assert_int_equal(json_object_object_length(isolation), 1);
        assert_int_equal(json_object_object_length(info), 10);
}

static void test_guest_request_of_a_confidential_vm_has_its_evidence(void **state) {
        vectors_need();
        _cleanup_spec_ Spec spec = spec_read();
        static const char *const types[] = { "SevSnp", "Tdx" };
        MaaGuestRequest request = request_of(&spec);
        request.proof = span_from_string("{\"SnpReport\":\"AA\"}");
        request.runtime_data = span_from_string("{}");
        for (size_t i = 0; i < N_ELEMENTS(types); i++) {
                _cleanup_http_request_ HttpRequest http = {};
                assert_true(maa_isolation_from_string(types[i], &request.isolation));
                assert_ok(maa_guest_request(BASE, NULL, &request, &http));
                _cleanup_json_ Json *info = sent_info(&http);
                const Json *isolation = json_get(info, "IsolationInfo"), *evidence = json_get(isolation, "Evidence");
                assert_text(isolation, "Type", types[i]);
                assert_text(evidence, "Proof", "eyJTbnBSZXBvcnQiOiJBQSJ9");
                assert_text(evidence, "RunTimeData", "e30=");
        }
        MaaIsolation isolation;
        assert_true(maa_isolation_from_string("TRUSTEDLAUNCH", &isolation) && isolation == MAA_ISOLATION_TRUSTED_LAUNCH);
        assert_false(maa_isolation_from_string("Vbs", &isolation));
        assert_null(maa_isolation_to_string(_MAA_ISOLATION_MAX));
}

static void assert_refused(Err *err, ErrCode code, const char *word) {
        if (!strstr(err_describe(err), word))
                print_error("\"%s\" does not stand in: %s\n", word, err_describe(err));
        assert_non_null(strstr(err_describe(err), word));
        assert_err(err, code);
}

static Err *try_request(const MaaGuestRequest *request) {
        _cleanup_http_request_ HttpRequest http = {};
        return maa_guest_request(BASE, NULL, request, &http);
}

static void test_guest_request_names_what_is_missing(void **state) {
        vectors_need();
        _cleanup_spec_ Spec spec = spec_read();
        const PcrValues no_pcrs = { .n_banks = 1, .banks = { { .alg = HASH_SHA256 } } };
        MaaGuestRequest request = request_of(&spec);
        const struct { Span *member; const char *word; } members[] = {
                { &request.aik_public, "attestation key is" },       { &request.aik_certificate, "certificate" },
                { &request.quote, "the quote" },                     { &request.quote_signature, "the quote" },
                { &request.key_public, "encryption key is" },        { &request.key_certification, "certification" },
                { &request.key_signature, "certification" },
        };
        for (size_t i = 0; i < N_ELEMENTS(members); i++) {
                Span kept = *members[i].member;
                *members[i].member = (Span) {};
                assert_refused(try_request(&request), ERR_INVALID_ARGUMENT, members[i].word);
                *members[i].member = kept;
        }
        request.pcrs = NULL;
        assert_refused(try_request(&request), ERR_INVALID_ARGUMENT, "PCR");
        request.pcrs = &no_pcrs;
        assert_refused(try_request(&request), ERR_INVALID_ARGUMENT, "PCR");
        request.pcrs = &spec.pcrs;
        request.isolation = MAA_ISOLATION_SEV_SNP;
        assert_refused(try_request(&request), ERR_INVALID_ARGUMENT, "report");
        request.proof = span_from_string("p");
        assert_refused(try_request(&request), ERR_INVALID_ARGUMENT, "runtime data");
        request.isolation = MAA_ISOLATION_TRUSTED_LAUNCH;
        request.n_payload = MAA_AZURE_GUEST_PAYLOAD_MAX + 1;
        assert_refused(try_request(&request), ERR_LIMIT_EXCEEDED, "payload");
}

/* TPMT_PUBLIC of a P-256 key for signing (TPM 2.0 Part 2 section 12.2.4) */
static Bytes ecc_public(void) {
        static const uint8_t coordinate[32] = { 1 };
        _cleanup_writer_ Writer writer = {};
        Bytes bytes = {};
        writer_u16be(&writer, 0x0023);                  /* TPM_ALG_ECC */
        writer_u16be(&writer, HASH_SHA256);
        writer_u32be(&writer, 0x00050072);
        writer_tpm2b(&writer, (Span) {});
        writer_u16be(&writer, 0x0010);                  /* symmetric: NULL */
        writer_u16be(&writer, 0x0018);                  /* scheme: ECDSA */
        writer_u16be(&writer, HASH_SHA256);
        writer_u16be(&writer, 0x0003);                  /* NIST P-256 */
        writer_u16be(&writer, 0x0010);                  /* kdf: NULL */
        writer_tpm2b(&writer, SPAN_OF(coordinate));
        writer_tpm2b(&writer, SPAN_OF(coordinate));
        assert_ok(writer_finish(&writer, &bytes));
        return bytes;
}

static void test_guest_request_other_keys_and_schemes_are_refused(void **state) {
        vectors_need();
        _cleanup_spec_ Spec spec = spec_read();
        _cleanup_bytes_ Bytes pss = tpmt_signature(FOLDER "spec-quote.sig.bin", 0x0016), ecc = ecc_public();
        MaaGuestRequest request = request_of(&spec);
        request.quote_signature = bytes_span(&pss);
        assert_refused(try_request(&request), ERR_NOT_SUPPORTED, "PcrSignature");
        request = request_of(&spec);
        request.key_signature = bytes_span(&pss);
        assert_refused(try_request(&request), ERR_NOT_SUPPORTED, "EncKeyCertifyInfoSignature");
        request.key_signature = span_from_string("?");
        assert_refused(try_request(&request), ERR_QUOTE_MALFORMED, "EncKeyCertifyInfoSignature");
        request = request_of(&spec);
        request.aik_public = bytes_span(&ecc);
        assert_refused(try_request(&request), ERR_NOT_SUPPORTED, "attestation key");
        request = request_of(&spec);
        request.key_public = bytes_span(&ecc);
        assert_refused(try_request(&request), ERR_NOT_SUPPORTED, "encryption key");
        request.key_public = span_make(spec.key.data, spec.key.size - 1);
        assert_refused(try_request(&request), ERR_QUOTE_MALFORMED, "encryption key");
}

/* ---- answers, made by OpenSSL ---- */

typedef struct Envelope {
        uint8_t key[32], iv[12], tag[16], ciphertext[sizeof(JWT) - 1];
        const char *cipher, *mode, *padding;
        int bits;
        size_t iv_size, tag_size;
} Envelope;

static void envelope_seal(Envelope *envelope) {
        int size = 0;
        EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
        *envelope = (Envelope) { .cipher = "AES", .mode = "ChainingModeGCM", .padding = "PKCS7", .bits = 256, .iv_size = 12, .tag_size = 16 };
        for (size_t i = 0; i < sizeof(envelope->key); i++)
                envelope->key[i] = (uint8_t) (i * 7 + 1);
        for (size_t i = 0; i < sizeof(envelope->iv); i++)
                envelope->iv[i] = (uint8_t) (0xa0 + i);
        assert_int_equal(EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), NULL, envelope->key, envelope->iv), 1);
        assert_int_equal(EVP_EncryptUpdate(context, NULL, &size, (const uint8_t *) "Transport Key", 13), 1);
        assert_int_equal(EVP_EncryptUpdate(context, envelope->ciphertext, &size, (const uint8_t *) JWT, sizeof(JWT) - 1), 1);
        assert_int_equal(size, sizeof(JWT) - 1);
        assert_int_equal(EVP_EncryptFinal_ex(context, NULL, &size), 1);
        assert_int_equal(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, envelope->tag), 1);
        EVP_CIPHER_CTX_free(context);
}

static char *encoded(const void *data, size_t size) {
        char *text;
        assert_ok(base64_encode(span_make(data, size), &text));
        return text;
}

static char *answer_around(const char *envelope) {
        _cleanup_free_ char *token = NULL;
        char *answer;
        assert_ok(base64url_encode(span_from_string(envelope), &token));
        assert_ok(string_format(&answer, "{\"token\":\"%s\"}", token));
        return answer;
}

static char *envelope_text(const Envelope *envelope) {
        _cleanup_free_ char *jwt = encoded(envelope->ciphertext, sizeof(envelope->ciphertext)), *iv = encoded(envelope->iv, envelope->iv_size),
                            *tag = encoded(envelope->tag, envelope->tag_size);
        char *text;
        assert_ok(string_format(&text,
                                "{\"Jwt\":\"%s\",\"EncryptedInnerKey\":\"AQID\",\"AuthenticationData\":\"%s\",\"EncryptionParams\":{\"BlockMode\":\"%s\",\"BlockPadding\":\"%s\","
                                "\"Cipher\":\"%s\",\"KeySizeInBits\":%d,\"Iv\":\"%s\"}}",
                                jwt, tag, envelope->mode, envelope->padding, envelope->cipher, envelope->bits, iv));
        return text;
}

static Err *parse(const Envelope *envelope, MaaGuestAnswer *ret) {
        _cleanup_free_ char *text = envelope_text(envelope), *answer = answer_around(text);
        return maa_guest_answer_parse(span_from_string(answer), ret);
}

static Err *open_with(const Envelope *envelope, size_t key_size, char **ret_jwt) {
        _cleanup_maa_guest_answer_ MaaGuestAnswer answer = {};
        assert_ok(parse(envelope, &answer));
        return maa_guest_answer_open(&answer, span_make(envelope->key, key_size), ret_jwt);
}

static void test_guest_answer_open_gives_what_was_closed(void **state) {
        Envelope envelope;
        _cleanup_free_ char *jwt = NULL;
        _cleanup_maa_guest_answer_ MaaGuestAnswer answer = {};
        envelope_seal(&envelope);
        assert_ok(parse(&envelope, &answer));
        assert_true(span_equal(bytes_span(&answer.encrypted_key), span_make("\1\2\3", 3)));
        assert_true(span_equal(bytes_span(&answer.ciphertext), SPAN_OF(envelope.ciphertext)));
        assert_true(span_equal(bytes_span(&answer.iv), SPAN_OF(envelope.iv)));
        assert_true(span_equal(bytes_span(&answer.tag), SPAN_OF(envelope.tag)));
        assert_ok(maa_guest_answer_open(&answer, SPAN_OF(envelope.key), &jwt));
        assert_string_equal(jwt, JWT);
}

static void test_guest_answer_open_one_bit_changed_is_refused(void **state) {
        Envelope envelope;
        envelope_seal(&envelope);
        const struct { uint8_t *data; size_t size; } members[] = {
                { envelope.key, sizeof(envelope.key) }, { envelope.iv, sizeof(envelope.iv) }, { envelope.tag, sizeof(envelope.tag) },
                { envelope.ciphertext, sizeof(envelope.ciphertext) },
        };
        for (size_t i = 0; i < N_ELEMENTS(members); i++)
                for (size_t bit = 0; bit < members[i].size * 8; bit++) {
                        char *jwt = NULL;
                        members[i].data[bit / 8] ^= (uint8_t) (1u << bit % 8);
                        assert_err(open_with(&envelope, sizeof(envelope.key), &jwt), ERR_SERVICE_ANSWER_INVALID);
                        assert_null(jwt);
                        members[i].data[bit / 8] ^= (uint8_t) (1u << bit % 8);
                }
        for (size_t size = 0; size < sizeof(envelope.key); size++) {
                char *jwt = NULL;
                assert_refused(open_with(&envelope, size, &jwt), ERR_SERVICE_ANSWER_INVALID, "key");
                assert_null(jwt);
        }
}

static void test_guest_answer_parse_every_prefix_is_refused(void **state) {
        Envelope envelope;
        envelope_seal(&envelope);
        _cleanup_free_ char *text = envelope_text(&envelope), *whole = answer_around(text);
        for (size_t size = 0; size < strlen(whole); size++) {
                _cleanup_bytes_ Bytes prefix = {};      /* a copy of that size, so that a sanitizer sees a step beyond */
                MaaGuestAnswer answer = {};
                assert_ok(bytes_copy(span_make(whole, size), &prefix));
                assert_err(maa_guest_answer_parse(bytes_span(&prefix), &answer), ERR_SERVICE_ANSWER_INVALID);
                assert_null(answer.ciphertext.data);
        }
        for (size_t size = 0; size < strlen(text); size++) {
                _cleanup_free_ char *part = strndup(text, size), *cut = answer_around(part);
                MaaGuestAnswer answer = {};
                assert_err(maa_guest_answer_parse(span_from_string(cut), &answer), ERR_SERVICE_ANSWER_INVALID);
                assert_null(answer.ciphertext.data);
        }
}

static void test_guest_answer_parse_names_parameters_that_cannot_be_used(void **state) {
        Envelope good;
        envelope_seal(&good);
        const struct { const char *cipher, *mode; int bits; size_t iv_size, tag_size; const char *word; } cases[] = {
                { "DES", "ChainingModeGCM", 256, 12, 16, "Cipher" },     { "aes", "ChainingModeGCM", 256, 12, 16, "Cipher" },
                { "AES", "ChainingModeCBC", 256, 12, 16, "BlockMode" },  { "AES", "", 256, 12, 16, "BlockMode" },
                { "AES", "ChainingModeGCM", 128, 12, 16, "KeySize" },    { "AES", "ChainingModeGCM", -256, 12, 16, "KeySize" },
                { "AES", "ChainingModeGCM", 256, 11, 16, "Iv" },         { "AES", "ChainingModeGCM", 256, 0, 16, "Iv" },
                { "AES", "ChainingModeGCM", 256, 12, 15, "Authentication" }, { "AES", "ChainingModeGCM", 256, 12, 0, "Authentication" },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                Envelope envelope = good;
                MaaGuestAnswer answer = {};
                envelope.cipher = cases[i].cipher;
                envelope.mode = cases[i].mode;
                envelope.bits = cases[i].bits;
                envelope.iv_size = cases[i].iv_size;
                envelope.tag_size = cases[i].tag_size;
                assert_refused(parse(&envelope, &answer), ERR_SERVICE_ANSWER_INVALID, cases[i].word);
        }
        good.padding = "None";      /* GCM has none: not looked at */
        MaaGuestAnswer answer = {};
        assert_ok(parse(&good, &answer));
        maa_guest_answer_done(&answer);
}

/* ---- claims ---- */

/* TPMT_PUBLIC of an RSA-2048 key for decryption (TPM 2.0 Part 2 section 12.2.4). */
static Bytes rsa_public(Span modulus) {
        _cleanup_writer_ Writer writer = {};
        Bytes bytes = {};
        writer_u16be(&writer, TPM_ALG_RSA);
        writer_u16be(&writer, HASH_SHA256);
        writer_u32be(&writer, 0x00020432);
        writer_tpm2b(&writer, (Span) {});
        writer_u16be(&writer, 0x0010);
        writer_u16be(&writer, 0x0010);
        writer_u16be(&writer, 2048);
        writer_u32be(&writer, 0);
        writer_tpm2b(&writer, modulus);
        assert_ok(writer_finish(&writer, &bytes));
        return bytes;
}

static Json *token_key(const Json *claims) {
        return json_object_array_get_idx(json_get(json_get(claims, "x-ms-runtime"), "keys"), 0);
}

/* A request whose key is the claims' first one. */
static Bytes key_of(const Json *claims) {
        _cleanup_bytes_ Bytes modulus = {};
        assert_ok(json_get_base64url(token_key(claims), "n", &modulus));
        assert_int_equal(modulus.size, 256);
        return rsa_public(bytes_span(&modulus));
}

static void test_guest_claims_of_a_confidential_vm_are_read(void **state) {
        vectors_need();
        _cleanup_json_ Json *claims = vector_read_json(FOLDER "azureguest-sharedweu-2023.claims.json");
        _cleanup_bytes_ Bytes key = key_of(claims);
        const MaaGuestRequest request = { .key_public = bytes_span(&key), .payload = { { "nonce", "ADE0101" } }, .n_payload = 1 };
        MaaGuestClaims guest = {};
        assert_ok(maa_guest_claims(claims, &request, &guest));
        assert_string_equal(guest.attestation_type, "azurevm");
        assert_string_equal(guest.vm_id, "70F5CE9A-2BDC-4B6B-8401-E9B964D3AEB7");
        assert_string_equal(guest.os_type, "Windows");
        assert_string_equal(guest.os_distro, "Microsoft");
        assert_string_equal(guest.policy_hash, "wm9mHlvTU82e8UqoOy1Yj1FBRSNkfe99-69IYDq9eWs");
        assert_true(guest.has_secure_boot && guest.is_secure_boot);
        assert_ptr_equal(guest.runtime, json_get(claims, "x-ms-runtime"));
        assert_ptr_equal(guest.isolation, json_get(claims, "x-ms-isolation-tee"));
        assert_string_equal(guest.isolation_type, "sevsnpvm");
        assert_string_equal(guest.compliance_status, "azure-compliant-cvm");
        json_object_object_del(claims, "x-ms-isolation-tee");
        json_object_object_del(claims, "secureboot");
        assert_ok(maa_guest_claims(claims, &request, &guest));
        assert_false(guest.has_secure_boot);
        assert_true(!guest.isolation && !guest.isolation_type && !guest.compliance_status);
}

static void test_guest_claims_about_another_key_are_refused(void **state) {
        vectors_need();
        _cleanup_json_ Json *claims = vector_read_json(FOLDER "azureguest-sharedweu-2023.claims.json");
        _cleanup_bytes_ Bytes key = key_of(claims), ecc = ecc_public();
        _cleanup_spec_ Spec spec = spec_read();
        MaaGuestRequest request = request_of(&spec);
        MaaGuestClaims guest = {};
        assert_err(maa_guest_claims(claims, &request, &guest), ERR_TOKEN_CNF_MISMATCH);
        key.data[key.size - 1] ^= 1;
        request.key_public = bytes_span(&key);
        assert_err(maa_guest_claims(claims, &request, &guest), ERR_TOKEN_CNF_MISMATCH);
        key.data[key.size - 1] ^= 1;
        assert_ok(json_add_string(token_key(claims), "kid", "HCLAkPub"));
        assert_err(maa_guest_claims(claims, &request, &guest), ERR_TOKEN_CNF_MISMATCH);
        assert_ok(json_add_string(token_key(claims), "kid", MAA_AZURE_GUEST_KEY_ID));
        assert_ok(maa_guest_claims(claims, &request, &guest));
        assert_ok(json_add_string(token_key(claims), "n", ""));
        assert_err(maa_guest_claims(claims, &request, &guest), ERR_TOKEN_CNF_MISMATCH);
        request.key_public = bytes_span(&ecc);       /* has no modulus either, and is not the same for that */
        assert_err(maa_guest_claims(claims, &request, &guest), ERR_NOT_SUPPORTED);
}

static void test_guest_claims_with_another_payload_are_refused(void **state) {
        vectors_need();
        _cleanup_json_ Json *claims = vector_read_json(FOLDER "azureguest-sharedweu-2023.claims.json");
        _cleanup_bytes_ Bytes key = key_of(claims);
        const MaaGuestPayload others[] = { { "nonce", "ADE0102" }, { "nonce", "" }, { "Nonce", "ADE0101" }, { "nonce", "QURFMDEwMQ==" } };
        MaaGuestClaims guest;
        for (size_t i = 0; i < N_ELEMENTS(others); i++) {
                const MaaGuestRequest request = { .key_public = bytes_span(&key), .payload = { others[i] }, .n_payload = 1 };
                assert_err(maa_guest_claims(claims, &request, &guest), ERR_TOKEN_NONCE_MISMATCH);
        }
        const MaaGuestRequest two = { .key_public = bytes_span(&key), .payload = { { "nonce", "ADE0101" }, { "more", "" } }, .n_payload = 2 };
        assert_err(maa_guest_claims(claims, &two, &guest), ERR_TOKEN_NONCE_MISMATCH);
        json_object_object_del(json_get(claims, "x-ms-runtime"), "client-payload");
        assert_err(maa_guest_claims(claims, &two, &guest), ERR_TOKEN_NONCE_MISMATCH);
        const MaaGuestRequest none = { .key_public = bytes_span(&key) };
        assert_ok(maa_guest_claims(claims, &none, &guest));
}

static void test_guest_claims_of_another_type_are_refused(void **state) {
        vectors_need();
        static const struct { const char *path[3]; const char *value; } cases[] = {
                { { "x-ms-attestation-type" }, "\"sgx\"" },  { { "x-ms-attestation-type" }, "1" },      { { "x-ms-attestation-type" }, NULL },
                { { "x-ms-azurevm-vmid" }, "[]" },           { { "secureboot" }, "\"true\"" },          { { "x-ms-runtime" }, "\"\"" },
                { { "x-ms-runtime" }, NULL },                { { "x-ms-isolation-tee" }, "[]" },        { { "x-ms-runtime", "keys" }, "{}" },
                { { "x-ms-runtime", "keys" }, NULL },        { { "x-ms-runtime", "keys" }, "[{\"kid\":1}]" },
                { { "x-ms-runtime", "keys" }, "[{\"kid\":\"TpmEphemeralEncryptionKey\",\"n\":\"+\"}]" },
                { { "x-ms-runtime", "client-payload" }, "{\"nonce\":1}" },
                { { "x-ms-isolation-tee", "x-ms-compliance-status" }, "true" },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_json_ Json *claims = vector_read_json(FOLDER "azureguest-sharedweu-2023.claims.json");
                _cleanup_bytes_ Bytes key = key_of(claims);
                const MaaGuestRequest request = { .key_public = bytes_span(&key), .payload = { { "nonce", "ADE0101" } }, .n_payload = 1 };
                Json *object = cases[i].path[1] ? json_get(claims, cases[i].path[0]) : claims;
                const char *member = cases[i].path[1] ? cases[i].path[1] : cases[i].path[0];
                MaaGuestClaims guest = {};
                json_object_object_del(object, member);
                if (cases[i].value)
                        assert_ok(json_add(object, member, json_tokener_parse(cases[i].value)));
                print_message("%s %s\n", member, cases[i].value ? cases[i].value : "absent");
                assert_err(maa_guest_claims(claims, &request, &guest), ERR_TOKEN_CLAIM_INVALID);
                assert_null(guest.attestation_type);
        }
}

/* The token and the claims that others decoded are one, and what is claimed of it holds. */
static void test_guest_claims_of_the_validated_token_are_read(void **state) {
        vectors_need();
        _cleanup_bytes_ Bytes text = vector_read(FOLDER "azureguest-sharedweu-2023.jwt"), cut = vector_read(FOLDER "truncated-invalid.jwt"),
                              set_text = vector_read("maa/jwks/thirdparty-sharedweu.json");
        _cleanup_json_ Json *claims = vector_read_json(FOLDER "azureguest-sharedweu-2023.claims.json");
        _cleanup_bytes_ Bytes key = key_of(claims);
        _cleanup_(jwk_set_freep) JwkSet *keys = NULL;
        _cleanup_(token_freep) Token *token = NULL, *none = NULL;
        const MaaGuestRequest request = { .key_public = bytes_span(&key), .payload = { { "nonce", "ADE0101" } }, .n_payload = 1 };
        MaaGuestClaims guest;
        assert_ok(jwk_set_parse(bytes_span(&set_text), "set", &keys));
        TokenRules rules = { .keys = keys, .issuer = "https://sharedweu.weu.attest.azure.net", .now_sec = 1680173374 };
        assert_ok(token_validate(bytes_span(&text), &rules, &token, NULL));
        assert_true(json_object_equal(token->claims, claims));
        assert_ok(maa_guest_claims(token->claims, &request, &guest));
        assert_err(token_validate(bytes_span(&cut), &rules, &none, NULL), ERR_TOKEN_TRUNCATED);
        rules.now_sec = 1680202174 + 1;
        assert_err(token_validate(bytes_span(&text), &rules, &none, NULL), ERR_TOKEN_EXPIRED);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_guest_request_has_the_specifications_tpm_info),
                cmocka_unit_test(test_pcr_values_policy_is_that_of_the_specifications_key),
                cmocka_unit_test(test_guest_request_of_a_trusted_launch_vm_has_all_members),
                cmocka_unit_test(test_guest_request_of_a_confidential_vm_has_its_evidence),
                cmocka_unit_test(test_guest_request_names_what_is_missing),
                cmocka_unit_test(test_guest_request_other_keys_and_schemes_are_refused),
                cmocka_unit_test(test_guest_answer_open_gives_what_was_closed),
                cmocka_unit_test(test_guest_answer_open_one_bit_changed_is_refused),
                cmocka_unit_test(test_guest_answer_parse_every_prefix_is_refused),
                cmocka_unit_test(test_guest_answer_parse_names_parameters_that_cannot_be_used),
                cmocka_unit_test(test_guest_claims_of_a_confidential_vm_are_read),
                cmocka_unit_test(test_guest_claims_about_another_key_are_refused),
                cmocka_unit_test(test_guest_claims_with_another_payload_are_refused),
                cmocka_unit_test(test_guest_claims_of_another_type_are_refused),
                cmocka_unit_test(test_guest_claims_of_the_validated_token_are_read),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
