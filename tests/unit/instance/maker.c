/* See maker.h. */
#include "tests/unit/instance/maker.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>

static EVP_PKEY *shared_keys[2];

static EVP_PKEY *shared_key(unsigned i) {
        if (!shared_keys[i])
                shared_keys[i] = EVP_RSA_gen(2048);
        assert_non_null(shared_keys[i]);
        return shared_keys[i];
}

static char *modulus_text(EVP_PKEY *key) {
        BIGNUM *n = NULL;
        uint8_t bytes[512];
        char *text;
        assert_int_equal(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n), 1);
        int size = BN_bn2bin(n, bytes);
        BN_free(n);
        assert_ok(base64url_encode(span_make(bytes, (size_t) size), &text));
        return text;
}

static Bytes finish(Writer *writer) {
        Bytes bytes;
        assert_ok(writer_finish(writer, &bytes));
        return bytes;
}

static void extend(uint8_t pcr[static 32], const uint8_t digest[static 32]) {
        uint8_t both[64];
        for (size_t i = 0; i < 32; i++) {
                both[i] = pcr[i];
                both[32 + i] = digest[i];
        }
        SHA256(both, sizeof(both), pcr);
}

Bytes maker_ima_list(unsigned n, uint8_t ret_pcr[static 32]) {
        _cleanup_writer_ Writer list = {};
        for (size_t i = 0; i < 32; i++)
                ret_pcr[i] = 0;
        for (unsigned i = 0; i < n; i++) {
                char name[64], number[16];
                uint8_t file[32], digest[32], legacy[20];
                snprintf(number, sizeof(number), "%u", i);
                snprintf(name, sizeof(name), "%s%s", i == 0 ? "boot_aggregate" : "/usr/bin/file", i == 0 ? "" : number);
                SHA256((const uint8_t *) number, strlen(number), file);
                _cleanup_writer_ Writer data = {};
                writer_u32le(&data, 8 + 32);
                writer_span(&data, span_make("sha256:\0", 8));
                writer_span(&data, SPAN_OF(file));
                writer_u32le(&data, (uint32_t) strlen(name) + 1);
                writer_span(&data, span_make(name, strlen(name) + 1));
                _cleanup_bytes_ Bytes template = finish(&data);
                SHA1(template.data, template.size, legacy);
                SHA256(template.data, template.size, digest);
                extend(ret_pcr, digest);
                writer_u32le(&list, 10);
                writer_span(&list, SPAN_OF(legacy));
                writer_u32le(&list, 6);
                writer_string(&list, "ima-ng");
                writer_u32le(&list, (uint32_t) template.size);
                writer_span(&list, bytes_span(&template));
        }
        return finish(&list);
}

Bytes maker_boot_log(uint8_t value, uint8_t ret_pcr[static 32]) {
        static const uint8_t guid[16] = { 0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c };
        static const char name[] = "SecureBoot";
        _cleanup_writer_ Writer variable = {}, id = {}, log = {};
        writer_span(&variable, SPAN_OF(guid));
        writer_u64le(&variable, strlen(name));
        writer_u64le(&variable, 1);
        for (size_t i = 0; i < strlen(name); i++)
                writer_u16le(&variable, (uint16_t) name[i]);
        writer_u8(&variable, value);
        _cleanup_bytes_ Bytes data = finish(&variable);
        uint8_t digest[32];
        SHA256(data.data, data.size, digest);
        for (size_t i = 0; i < 32; i++)
                ret_pcr[i] = 0;
        extend(ret_pcr, digest);

        writer_span(&id, span_make("Spec ID Event03\0", 16));
        writer_u32le(&id, 0);               /* platformClass */
        writer_span(&id, span_make("\0\2\0\2", 4)); /* minor, major, errata, uintnSize */
        writer_u32le(&id, 1);
        writer_u16le(&id, HASH_SHA256);
        writer_u16le(&id, 32);
        writer_u8(&id, 0);                  /* vendorInfoSize */
        _cleanup_bytes_ Bytes spec_id = finish(&id);

        uint8_t zeros[20] = {};
        writer_u32le(&log, 0);
        writer_u32le(&log, 3);              /* EV_NO_ACTION */
        writer_span(&log, SPAN_OF(zeros));
        writer_u32le(&log, (uint32_t) spec_id.size);
        writer_span(&log, bytes_span(&spec_id));
        writer_u32le(&log, 7);
        writer_u32le(&log, UINT32_C(0x80000001));
        writer_u32le(&log, 1);
        writer_u16le(&log, HASH_SHA256);
        writer_span(&log, SPAN_OF(digest));
        writer_u32le(&log, (uint32_t) data.size);
        writer_span(&log, bytes_span(&data));
        return finish(&log);
}

static void set_pcr(Maker *maker, unsigned i, const uint8_t value[static 32]) {
        for (size_t j = 0; j < 32; j++)
                maker->quoted[i][j] = maker->sent[i][j] = value[j];
}

void maker_init(Maker *maker, Span challenge, const char *service_context) {
        *maker = (Maker) {
                .aik = shared_key(0), .request_key = shared_key(1), .service_context = service_context,
                .magic = 0xff544347, .attest_type = 0x8018, .signature_hash = HASH_SHA256, .quote_digest = "SHA256", .quoted_mask = 0xffffff,
                .jwk_format = "{ \"kty\" : \"RSA\", \"n\":\"%s\",\"e\":\"AQAB\" }",
                .header = "{\"alg\":\"PS256\",\"typ\":\"attReqV2\"}", .att_type = "basic",
                .key_info = "{\"tpm_quote\":{\"hash_alg\":\"sha-256\"}}", .extra_members = "", .reset_count = 5, .restart_count = 6,
        };
        assert_ok(bytes_copy(challenge, &maker->challenge));
        assert_ok(bytes_copy(challenge, &maker->quoted_challenge));
        uint8_t pcr[32];
        maker->ima_list = maker_ima_list(3, pcr);
        set_pcr(maker, 10, pcr);
        maker->boot_log = maker_boot_log(1, pcr);
        set_pcr(maker, 7, pcr);
        SHA256((const uint8_t *) "unexplained", 11, pcr);
        set_pcr(maker, 4, pcr);
        for (size_t i = 0; i < 32; i++)
                pcr[i] = 0xff;
        for (unsigned i = 17; i <= 22; i++)
                set_pcr(maker, i, pcr);
}

void maker_done(Maker *maker) {
        bytes_done(&maker->challenge);
        bytes_done(&maker->quoted_challenge);
        bytes_done(&maker->ima_list);
        bytes_done(&maker->boot_log);
        bytes_done(&maker->aik_certificate);
}

static void qualifying(const Maker *maker, const char *jwk, uint8_t ret[static 32]) {
        _cleanup_writer_ Writer writer = {};
        for (const char *c = jwk; *c; c++)
                if (*c != ' ' || !maker->hash_other_jwk_text)
                        writer_u8(&writer, (uint8_t) *c);
        writer_u8(&writer, 0);
        writer_span(&writer, bytes_span(&maker->quoted_challenge));
        _cleanup_bytes_ Bytes text = finish(&writer);
        SHA256(text.data, text.size, ret);
}

/* TPM 2.0 Part 2 §10.12.8 */
static Bytes make_quote(const Maker *maker, const char *jwk) {
        uint8_t extra[32], digest[64];
        unsigned digest_size;
        qualifying(maker, jwk, extra);
        Span extra_data = maker->quotes_challenge ? bytes_span(&maker->quoted_challenge) : SPAN_OF(extra);
        _cleanup_writer_ Writer values = {}, quote = {};
        for (unsigned i = 0; i < 24; i++)
                if (maker->quoted_mask & (1u << i))
                        writer_span(&values, SPAN_OF(maker->quoted[i]));
        _cleanup_bytes_ Bytes concatenated = finish(&values);
        assert_int_equal(EVP_Digest(concatenated.data, concatenated.size, digest, &digest_size, EVP_get_digestbyname(maker->quote_digest), NULL), 1);

        writer_u32be(&quote, maker->magic);
        writer_u16be(&quote, maker->attest_type);
        writer_tpm2b(&quote, span_make("\0\x0bsigner", 8));
        writer_tpm2b(&quote, extra_data);
        writer_u64be(&quote, 1234567);
        writer_u32be(&quote, maker->reset_count);
        writer_u32be(&quote, maker->restart_count);
        writer_u8(&quote, 1);
        writer_u64be(&quote, 0x20240101);
        if (maker->attest_type == 0x8017) {
                writer_tpm2b(&quote, span_make("\0\x0bname", 6));
                writer_tpm2b(&quote, span_make("\0\x0bqualified", 11));
        } else {
                writer_u32be(&quote, 1);
                writer_u16be(&quote, HASH_SHA256);
                writer_u8(&quote, 3);
                for (unsigned i = 0; i < 24; i += 8)
                        writer_u8(&quote, (uint8_t) (maker->quoted_mask >> i));
                writer_tpm2b(&quote, span_make(digest, digest_size));
        }
        return finish(&quote);
}

/* TPMT_SIGNATURE of RSASSA (Part 2 §11.3.4) */
static Bytes sign_attest(EVP_PKEY *key, const char *digest, uint16_t hash_alg, Span attest) {
        EVP_MD_CTX *context = EVP_MD_CTX_new();
        uint8_t value[512];
        size_t size = sizeof(value);
        assert_int_equal(EVP_DigestSignInit(context, NULL, EVP_get_digestbyname(digest), NULL, key), 1);
        assert_int_equal(EVP_DigestSign(context, value, &size, attest.data, attest.size), 1);
        EVP_MD_CTX_free(context);
        _cleanup_writer_ Writer writer = {};
        writer_u16be(&writer, 0x0014);
        writer_u16be(&writer, hash_alg);
        writer_tpm2b(&writer, span_make(value, size));
        return finish(&writer);
}

static Bytes sign_quote(const Maker *maker, Span quote) {
        return sign_attest(maker->quote_key ? maker->quote_key : maker->aik, maker->quote_digest, maker->signature_hash, quote);
}

static void write_member(Writer *writer, const char *name, Span bytes) {
        writer_format(writer, "\"%s\":\"", name);
        writer_base64url(writer, bytes);
        writer_string(writer, "\"");
}

/* TPMT_PUBLIC of an RSA-2048 key without a scheme that signs and decrypts (Part 2 §12.2.4) */
static Bytes make_public(EVP_PKEY *key, Span policy) {
        _cleanup_writer_ Writer writer = {};
        BIGNUM *n = NULL;
        uint8_t modulus[256];
        assert_int_equal(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n), 1);
        assert_int_equal(BN_bn2binpad(n, modulus, sizeof(modulus)), sizeof(modulus));
        BN_free(n);
        writer_u16be(&writer, 0x0001);
        writer_u16be(&writer, HASH_SHA256);
        writer_u32be(&writer, 0x00060472);
        writer_tpm2b(&writer, policy);
        writer_u16be(&writer, 0x0010);
        writer_u16be(&writer, 0x0010);
        writer_u16be(&writer, 2048);
        writer_u32be(&writer, 0);
        writer_tpm2b(&writer, SPAN_OF(modulus));
        return finish(&writer);
}

/* Part 2 §10.12.3; the name is that of Part 1 §16 */
static Bytes make_certification(const MakerCertify *certify) {
        _cleanup_writer_ Writer writer = {}, name = {};
        uint8_t digest[32];
        _cleanup_bytes_ Bytes named = make_public(certify->named_key ? certify->named_key : certify->key, certify->policy);
        SHA256(named.data, named.size, digest);
        writer_u16be(&name, HASH_SHA256);
        writer_span(&name, SPAN_OF(digest));
        _cleanup_bytes_ Bytes name_bytes = finish(&name);
        writer_u32be(&writer, certify->magic ? certify->magic : 0xff544347);
        writer_u16be(&writer, certify->type ? certify->type : 0x8017);
        writer_tpm2b(&writer, span_make("\0\x0bsigner", 8));
        writer_tpm2b(&writer, certify->challenge);
        writer_u64be(&writer, 1234567);
        writer_u32be(&writer, 5);
        writer_u32be(&writer, 6);
        writer_u8(&writer, 1);
        writer_u64be(&writer, 0x20240101);
        writer_tpm2b(&writer, bytes_span(&name_bytes));
        writer_tpm2b(&writer, span_make("\0\x0bqualified", 11));
        return finish(&writer);
}

char *maker_certify_info(const MakerCertify *certify) {
        _cleanup_bytes_ Bytes public = make_public(certify->key, certify->policy), attest = make_certification(certify),
                              signature = sign_attest(certify->aik, "SHA256", HASH_SHA256, bytes_span(&attest));
        _cleanup_writer_ Writer writer = {};
        char *text;
        writer_string(&writer, "{\"tpm_certify\":{");
        write_member(&writer, "public", bytes_span(&public));
        writer_string(&writer, ",");
        write_member(&writer, "certification", bytes_span(&attest));
        writer_string(&writer, ",");
        write_member(&writer, "signature", bytes_span(&signature));
        writer_string(&writer, "}}");
        assert_ok(writer_finish_string(&writer, &text));
        return text;
}

char *maker_jwk(EVP_PKEY *key) {
        _cleanup_free_ char *n = modulus_text(key);
        char *text;
        assert_ok(string_format(&text, "{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"AQAB\"}", n));
        return text;
}

static void write_log(Writer *writer, const char *type, const Bytes *log, bool *first) {
        if (!log->data)
                return;
        writer_format(writer, "%s{\"type\":\"%s\",", *first ? "" : ",", type);
        write_member(writer, "log", bytes_span(log));
        writer_string(writer, "}");
        *first = false;
}

static void write_pcrs(Writer *writer, const Maker *maker) {
        writer_string(writer, "\"pcrs\":[{\"algorithm\":11,\"values\":[");
        bool first = true;
        for (unsigned j = 0; j < 24; j++) {
                unsigned i = maker->descending ? 23 - j : j;
                if (!(maker->quoted_mask & (1u << i)))
                        continue;
                writer_format(writer, "%s{\"index\":%u,", first ? "" : ",", i);
                write_member(writer, "digest", SPAN_OF(maker->sent[i]));
                writer_string(writer, "}");
                first = false;
        }
        writer_string(writer, "]}],");
}

static void write_attestation(Writer *writer, const Maker *maker, const char *jwk) {
        _cleanup_free_ char *n = modulus_text(maker->aik);
        bool first = true;
        writer_string(writer, "{\"logs\":[");
        write_log(writer, "TCG", &maker->boot_log, &first);
        write_log(writer, "IMA", &maker->ima_list, &first);
        writer_format(writer, "],\"aik_pub\":{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"AQAB\"},", n);
        if (maker->aik_certificate.data) {
                write_member(writer, "aik_cert", bytes_span(&maker->aik_certificate));
                writer_string(writer, ",");
        }
        write_pcrs(writer, maker);
        _cleanup_bytes_ Bytes quote = make_quote(maker, jwk), signature = sign_quote(maker, bytes_span(&quote));
        write_member(writer, "quote", bytes_span(&quote));
        writer_string(writer, ",");
        write_member(writer, "signature", bytes_span(&signature));
        writer_string(writer, "}");
}

static void write_attestations(Writer *writer, const Maker *maker, const char *jwk) {
        writer_string(writer, "\"tpm_att_data\":{\"current_attestation\":");
        write_attestation(writer, maker, jwk);
        if (maker->boot) {
                writer_string(writer, ",\"boot_attestation\":");
                write_attestation(writer, maker->boot, jwk);
        }
        writer_string(writer, "},");
}

static void write_vbs_data(Writer *writer, const Maker *maker, Span members) {
        writer_string(writer, "{\"report_signed\":");
        writer_span(writer, members);
        writer_string(writer, ",\"vsm_report\":");
        if (maker->vsm_text) {
                writer_string(writer, maker->vsm_text);
        } else {
                _cleanup_bytes_ Bytes report = maker->make_vsm_report(maker, members);
                writer_format(writer, "{\"%s\":{", maker->vsm_member);
                write_member(writer, "report", bytes_span(&report));
                writer_string(writer, "}}");
        }
        writer_string(writer, "}");
}

#pragma GCC diagnostic ignored "-Wformat-nonliteral"
char *maker_request(const Maker *maker) {
        _cleanup_free_ char *n = modulus_text(maker->request_key), *jwk = NULL;
        char *jws;
        assert_ok(string_format(&jwk, maker->jwk_format, n));
        _cleanup_writer_ Writer writer = {}, whole = {};
        writer_string(&writer, "{\"rp_id\":\"https://relying.example\",");
        write_member(&writer, "rp_data", span_from_string("the nonce of the relying party"));
        writer_string(&writer, ",");
        write_member(&writer, "challenge", bytes_span(&maker->challenge));
        writer_string(&writer, ",");
        write_attestations(&writer, maker, jwk);
        writer_format(&writer, "\"request_key\":{\"jwk\":%s,\"info\":%s},%s\"service_context\":\"%s\"}", jwk, maker->key_info,
                      maker->extra_members, maker->service_context);
        _cleanup_bytes_ Bytes members = finish(&writer);
        writer_format(&whole, "{\"att_type\":\"%s\",\"att_data\":", maker->att_type);
        if (maker->make_vsm_report)
                write_vbs_data(&whole, maker, bytes_span(&members));
        else
                writer_span(&whole, bytes_span(&members));
        writer_string(&whole, "}");
        _cleanup_bytes_ Bytes payload = finish(&whole);
        JoseAlg alg = strstr(maker->header, "RS256") ? JOSE_ALG_RS256 : JOSE_ALG_PS256;
        assert_ok(jws_sign(alg, maker->signing_key ? maker->signing_key : maker->request_key, maker->header, bytes_span(&payload), &jws));
        return jws;
}
