/* Requests of the type vbs before the instance's verifier. The reports are made here, from Microsoft's ntenclv.h and OpenHCL's igvm_attest/get.rs, for the
 * very request that carries them; then one thing at a time is wrong. */
#include "tests/unit/instance/maker.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>

#include "instance/report.h"
#include "instance/verify.h"

#define TEE_AREA 1184
#define VBS_VM_SIZE 560

static const uint8_t challenge_bytes[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };
static EVP_PKEY *other_key;

/* What is to be wrong with the next report. */
static struct Wrong {
        bool text;              /* user data is of the text without its last brace */
        bool space;             /* … of the text with a space more */
        bool key;               /* HCLAkPub is another key */
        bool no_key, no_user_data;
        bool claims;            /* report_data is not their hash */
        uint32_t tee;           /* 0: 1, a VBS VM */
        size_t cut;             /* the last bytes are missing */
} wrong;

static Bytes finish(Writer *writer) {
        Bytes bytes;
        assert_ok(writer_finish(writer, &bytes));
        return bytes;
}

static void hash_text(Span text, uint8_t ret[static 64]) {
        _cleanup_bytes_ Bytes copy = {};
        assert_ok(bytes_alloc(text.size + 1, &copy));
        memmove(copy.data, text.data, text.size);
        copy.data[text.size] = ' ';
        SHA512(copy.data, text.size - (wrong.text ? 1 : 0) + (wrong.space ? 1 : 0), ret);
}

static void write_repeated(Writer *writer, uint8_t byte, size_t n) {
        for (size_t i = 0; i < n; i++)
                writer_u8(writer, byte);
}

/* VBS_ENCLAVE_REPORT_PKG_HEADER, VBS_ENCLAVE_REPORT with ENCLAVE_IDENTITY, no variable data, signature */
static Bytes make_enclave(const Maker *maker, Span signed_text) {
        _cleanup_writer_ Writer out = {};
        uint8_t data[64];
        hash_text(signed_text, data);
        writer_u32le(&out, 24 + 224 + 256);
        writer_u32le(&out, 1);
        writer_u32le(&out, 1);
        writer_u32le(&out, 224);
        writer_u32le(&out, 256);
        writer_u32le(&out, 0);
        writer_u32le(&out, 224);
        writer_u32le(&out, 1);
        writer_span(&out, SPAN_OF(data));
        write_repeated(&out, 'O', 32);
        write_repeated(&out, 'U', 32);
        write_repeated(&out, 'A', 32);
        write_repeated(&out, 'F', 16);
        write_repeated(&out, 'I', 16);
        for (uint32_t i = 11; i <= 16; i++)     /* EnclaveSvn, SecureKernelSvn, PlatformSvn, Flags, SigningLevel, EnclaveType */
                writer_u32le(&out, i);
        write_repeated(&out, 's', 256);
        Bytes report = finish(&out);
        report.size -= wrong.cut;
        return report;
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

static Bytes make_claims(const Maker *maker, Span signed_text) {
        _cleanup_writer_ Writer out = {};
        _cleanup_free_ char *n = modulus_text(wrong.key ? other_key : maker->aik);
        uint8_t data[64];
        hash_text(signed_text, data);
        writer_format(&out, "{\"keys\":[{\"kid\":\"%s\",\"key_ops\":[\"sign\"],\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"%s\"}],", wrong.no_key ? "HCLEkPub" : "HCLAkPub", n);
        writer_string(&out, "\"vm-configuration\":{\"secure-boot\":true,\"vmUniqueId\":\"A0B1\"}");
        if (!wrong.no_user_data) {
                writer_string(&out, ",\"user-data\":\"");
                writer_hex(&out, SPAN_OF(data));
                writer_string(&out, "\"");
        }
        writer_string(&out, "}");
        return finish(&out);
}

/* The TEE's report as far as it is looked at: an SNP report (version 2, signature algorithm 1, report_data at 0x50), a TDX one (type 0x81, report_data
 * at 128), or a VBS VM's (its sizes, report_data at 0x18). */
static void write_tee_report(Writer *out, uint32_t tee, const uint8_t data[static 64]) {
        uint8_t area[TEE_AREA] = {};
        static const size_t positions[] = { [1] = 0x18, [2] = 0x50, [3] = 0, [4] = 128 };
        static const struct { size_t at; uint32_t value; } vbs[] = { { 0, VBS_VM_SIZE }, { 4, 1 }, { 8, 1 }, { 12, 256 }, { 0x14, 1 } };
        for (size_t i = 0; tee == 1 && i < N_ELEMENTS(vbs); i++)
                for (size_t j = 0; j < 4; j++)
                        area[vbs[i].at + j] = (uint8_t) (vbs[i].value >> (8 * j));
        if (tee == 2)
                area[0] = 2, area[0x34] = 1;
        if (tee == 4)
                area[0] = 0x81;
        for (size_t i = 0; tee != 3 && i < 64; i++)
                area[positions[tee] + i] = data[i];
        writer_span(out, SPAN_OF(area));
}

static Bytes make_vm(const Maker *maker, Span signed_text) {
        _cleanup_writer_ Writer out = {};
        _cleanup_bytes_ Bytes claims = make_claims(maker, signed_text);
        uint8_t data[64] = {};
        uint32_t n = (uint32_t) claims.size, tee = wrong.tee ? wrong.tee : 1;
        SHA256(claims.data, claims.size, data);
        data[wrong.claims ? 0 : 63] = (uint8_t) (wrong.claims ? data[0] ^ 1 : 0);
        writer_string(&out, "HCLA");
        writer_u32le(&out, 2);
        writer_u32le(&out, 32 + TEE_AREA + 20 + n);
        writer_u32le(&out, 2);
        write_repeated(&out, 0, 16);
        write_tee_report(&out, tee, data);
        writer_u32le(&out, 20 + n);
        writer_u32le(&out, 1);
        writer_u32le(&out, tee);
        writer_u32le(&out, 1);
        writer_u32le(&out, n);
        writer_span(&out, bytes_span(&claims));
        Bytes report = finish(&out);
        report.size -= wrong.cut;
        return report;
}

static void make_maker(Maker *maker, bool is_vm) {
        maker_init(maker, SPAN_OF(challenge_bytes), "context");
        maker->att_type = "vbs";
        maker->vsm_member = is_vm ? "vm" : "enclave";
        maker->make_vsm_report = is_vm ? make_vm : make_enclave;
}

static Err *judge(const Maker *maker, Verdict *ret) {
        _cleanup_free_ char *jws = maker_request(maker);
        _cleanup_(attest_request_freep) AttestRequest *request = NULL;
        TRY(attest_request_open(jws, &request));
        return verify_request(request, SPAN_OF(challenge_bytes), &(VerifyRules) { .required_pcrs = PCR_MASK_ALL, .now_sec = 1700000000 }, ret);
}

/* The claims of the policy, as text. */
static char *claims_of(const Maker *maker) {
        _cleanup_verdict_ Verdict verdict = {};
        char *text;
        assert_ok(judge(maker, &verdict));
        assert_ok(report_policy_claims(&verdict, NULL, &text));
        return text;
}

static void assert_has(const char *text, const char *piece) {
        if (!strstr(text, piece))
                fail_msg("%s is not in %s", piece, text);
}

static void test_verify_enclave_report_of_this_request_becomes_claims(void **state) {
        Maker maker;
        make_maker(&maker, false);
        wrong = (struct Wrong) {};
        _cleanup_free_ char *claims = claims_of(&maker);
        assert_has(claims, "\"vbsReportPresent\":true");
        assert_has(claims, "\"vbsReportKind\":\"enclave\",\"vbsReportSigned\":\"unverified\"");
        /* printf 'A%.0s' {1..32} | basenc --base64url, and so on */
        assert_has(claims, "\"enclaveAuthorId\":\"QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE\"");
        assert_has(claims, "\"enclaveImageId\":\"SUlJSUlJSUlJSUlJSUlJSQ\"");
        assert_has(claims, "\"enclaveOwnerId\":\"T09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT08\"");
        assert_has(claims, "\"enclaveFamilyId\":\"RkZGRkZGRkZGRkZGRkZGRg\"");
        assert_has(claims, "\"enclaveSvn\":11,\"enclavePlatformSvn\":13,\"enclaveFlags\":14");
        maker_done(&maker);
}

static void test_verify_paravisor_report_of_this_machine_becomes_claims(void **state) {
        static const struct { uint32_t tee; const char *claim; } tees[] = {
                { 1, "\"vbsReportTee\":\"vbs-vm\"" }, { 2, "\"vbsReportTee\":\"snp\"" }, { 4, "\"vbsReportTee\":\"tdx\"" },
        };
        for (size_t i = 0; i < N_ELEMENTS(tees); i++) {
                Maker maker;
                make_maker(&maker, true);
                wrong = (struct Wrong) { .tee = tees[i].tee };
                _cleanup_free_ char *claims = claims_of(&maker);
                assert_has(claims, "\"vbsReportPresent\":true");
                assert_has(claims, "\"vbsReportKind\":\"vm\",\"vbsReportSigned\":\"unverified\"");
                assert_has(claims, tees[i].claim);
                assert_has(claims, "\"vmConfiguration\":{\"secure-boot\":true,\"vmUniqueId\":\"A0B1\"}");
                maker_done(&maker);
        }
}

static void test_verify_basic_request_has_no_claims_about_a_report(void **state) {
        Maker maker;
        maker_init(&maker, SPAN_OF(challenge_bytes), "context");
        _cleanup_free_ char *claims = claims_of(&maker);
        assert_has(claims, "\"vbsReportPresent\":false");
        assert_null(strstr(claims, "vbsReportKind"));
        maker_done(&maker);
}

static const struct {
        bool is_vm;
        struct Wrong wrong;
        const char *vsm_text, *extra_members;
        ErrCode code;
        const char *words;
} cases[] = {
        { false, { .text = true }, NULL, NULL, ERR_VBS_REPORT_MISMATCH, "vsm_report.enclave" },
        { false, { .space = true }, NULL, NULL, ERR_VBS_REPORT_MISMATCH, "EnclaveData" },
        { false, { .cut = 1 }, NULL, NULL, ERR_VBS_REPORT_MALFORMED, "vsm_report.enclave" },
        { true, { .text = true }, NULL, NULL, ERR_PARAVISOR_REPORT_MISMATCH, "user-data" },
        { true, { .space = true }, NULL, NULL, ERR_PARAVISOR_REPORT_MISMATCH, "user-data" },
        { true, { .no_user_data = true }, NULL, NULL, ERR_PARAVISOR_REPORT_MISMATCH, "user-data" },
        { true, { .key = true }, NULL, NULL, ERR_PARAVISOR_REPORT_MISMATCH, "HCLAkPub" },
        { true, { .no_key = true }, NULL, NULL, ERR_PARAVISOR_REPORT_MISMATCH, "HCLAkPub" },
        { true, { .claims = true }, NULL, NULL, ERR_PARAVISOR_REPORT_MISMATCH, "report_data of the vbs-vm report" },
        { true, { .claims = true, .tee = 2 }, NULL, NULL, ERR_PARAVISOR_REPORT_MISMATCH, "report_data of the snp report" },
        { true, { .tee = 3 }, NULL, NULL, ERR_PARAVISOR_REPORT_MISMATCH, "nothing vouches" },
        { true, { .cut = 1 }, NULL, NULL, ERR_PARAVISOR_REPORT_MALFORMED, "vsm_report.vm" },
        { false, {}, "{}", NULL, ERR_EVIDENCE_MALFORMED, "vsm_report" },
        { false, {}, "{\"enclave\":{\"report\":\"AA\"},\"vm\":{\"report\":\"AA\"}}", NULL, ERR_EVIDENCE_MALFORMED, "one member" },
        { false, {}, "{\"enclave\":{\"report\":\"\"}}", NULL, ERR_EVIDENCE_MALFORMED, "empty" },
        { false, {}, "{\"enclave\":{\"report\":\"*\"}}", NULL, ERR_BASE64_INVALID, "vsm_report.enclave" },
        { false, {}, "{\"enclave\":{}}", NULL, ERR_JSON_MEMBER_MISSING, "report" },
        { false, {}, "\"AA\"", NULL, ERR_JSON_MEMBER_TYPE, "vsm_report" },
        { false, {}, "{\"enclave\":{\"report\":\"AA\"}}", NULL, ERR_VBS_REPORT_MALFORMED, "vsm_report.enclave" },
        { false, {}, NULL, "\"custom_claims\":[{\"name\":\"a\",\"value\":\"b\",\"value_type\":\"date\"}],", ERR_EVIDENCE_MALFORMED, "report_signed" },
};

static void test_verify_one_wrong_piece_is_named(void **state) {
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                Maker maker;
                Verdict verdict = {};
                make_maker(&maker, cases[i].is_vm);
                maker.vsm_text = cases[i].vsm_text;
                if (cases[i].extra_members)
                        maker.extra_members = cases[i].extra_members;
                wrong = cases[i].wrong;
                Err *error = judge(&maker, &verdict);
                if (err_code(error) != cases[i].code || !strstr(err_describe(error), cases[i].words))
                        fail_msg("case %zu: got %s (%s), wanted %s with \"%s\"", i, err_code_info(err_code(error))->symbol, err_describe(error),
                                 err_code_info(cases[i].code)->symbol, cases[i].words);
                err_free(error);
                maker_done(&maker);
        }
}

/* What stands outside of report_signed is not vouched for by the report, what stands inside is: the quote too, so the rules for it hold as ever. */
static void test_verify_evidence_inside_is_judged_as_ever(void **state) {
        Maker maker;
        Verdict verdict = {};
        make_maker(&maker, false);
        wrong = (struct Wrong) {};
        maker.sent[3][31] ^= 1;
        assert_err(judge(&maker, &verdict), ERR_QUOTE_PCR_MISMATCH);
        maker_done(&maker);
}

static int make_keys(void **state) {
        other_key = EVP_RSA_gen(2048);
        return other_key ? 0 : -1;
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_verify_enclave_report_of_this_request_becomes_claims),
                cmocka_unit_test(test_verify_paravisor_report_of_this_machine_becomes_claims),
                cmocka_unit_test(test_verify_basic_request_has_no_claims_about_a_report),
                cmocka_unit_test(test_verify_one_wrong_piece_is_named),
                cmocka_unit_test(test_verify_evidence_inside_is_judged_as_ever),
        };
        return cmocka_run_group_tests(tests, make_keys, NULL);
}
