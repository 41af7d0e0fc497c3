/* lib/tcg/paravisor-report: real reports of Azure VMs (whose AIK independent programs took from a quote that verifies), and made ones for what no
 * public report shows: VBS in both layouts, no TEE, the other hash types. */
#include "tests/support/vectors.h"

#include <openssl/pem.h>
#include <openssl/sha.h>

#include "base/writer.h"
#include "tcg/hash.h"
#include "tcg/paravisor-report.h"

#define CLAIMS_OFFSET 0x4d4
#define TEE_OFFSET 0x20

static const struct {
        const char *file, *claims, *akpub;
        ParavisorTee tee;
        uint32_t version;
        bool has_ek;
} vectors[] = {
        { "maa/hcl/snp-kinvolk.bin", "maa/hcl/snp-kinvolk.runtime-claims.json", NULL, PARAVISOR_TEE_SNP, 1, false },
        { "maa/hcl/tdx-cvmtools.bin", "maa/hcl/tdx-cvmtools.runtime-claims.json", NULL, PARAVISOR_TEE_TDX, 2, true },
        { "tpm/trustee-az-snp-evidence-v0/hcl_report.bin", NULL, "tpm/trustee-az-snp-evidence-v0/akpub.pem", PARAVISOR_TEE_SNP, 1, true },
        { "tpm/trustee-az-snp-evidence-v1/hcl_report.bin", NULL, "tpm/trustee-az-snp-evidence-v1/akpub.pem", PARAVISOR_TEE_SNP, 1, true },
        { "tpm/trustee-az-snp-evidence-genoa/hcl_report.bin", NULL, "tpm/trustee-az-snp-evidence-genoa/akpub.pem", PARAVISOR_TEE_SNP, 2, true },
};

static EVP_PKEY *read_key(const char *name) {
        _cleanup_bytes_ Bytes pem = vector_read(name);
        BIO *bio = BIO_new_mem_buf(pem.data, (int) pem.size);
        EVP_PKEY *key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
        BIO_free(bio);
        assert_non_null(key);
        return key;
}

static void test_parse_every_vector_binds(void **state) {
        vectors_need();
        for (size_t i = 0; i < N_ELEMENTS(vectors); i++) {
                _cleanup_bytes_ Bytes file = vector_read(vectors[i].file);
                _cleanup_(paravisor_report_freep) ParavisorReport *report = NULL;
                assert_true(paravisor_report_detect(bytes_span(&file)));
                assert_ok(paravisor_report_parse(bytes_span(&file), &report));
                assert_int_equal(report->tee, vectors[i].tee);
                assert_int_equal(report->version, vectors[i].version);
                assert_int_equal(report->request_type, 2);
                assert_int_equal(report->hash_alg, HASH_SHA256);
                assert_non_null(report->ak);
                assert_int_equal(report->ek != NULL, vectors[i].has_ek);
                assert_ok(paravisor_report_binds_claims(report));
                if (vectors[i].claims) {
                        _cleanup_bytes_ Bytes claims = vector_read(vectors[i].claims);
                        assert_true(span_equal(report->claims_text, bytes_span(&claims)));
                }
        }
}

static void test_binds_key_is_the_aik_of_the_quote_alone(void **state) {
        vectors_need();
        for (size_t i = 0; i < N_ELEMENTS(vectors); i++) {
                _cleanup_bytes_ Bytes file = vector_read(vectors[i].file);
                _cleanup_(paravisor_report_freep) ParavisorReport *report = NULL;
                _cleanup_(pkey_freep) EVP_PKEY *other = read_key("maa/tpmquote/kinvolk-1.ak.pem");
                assert_ok(paravisor_report_parse(bytes_span(&file), &report));
                assert_err(paravisor_report_binds_key(report, other), ERR_PARAVISOR_REPORT_MISMATCH);
                if (!vectors[i].akpub)
                        continue;
                _cleanup_(pkey_freep) EVP_PKEY *aik = read_key(vectors[i].akpub);
                assert_ok(paravisor_report_binds_key(report, aik));
        }
}

static void test_binds_changed_claims_are_refused(void **state) {
        vectors_need();
        for (size_t i = 0; i < N_ELEMENTS(vectors); i++) {
                _cleanup_bytes_ Bytes file = vector_read(vectors[i].file);
                _cleanup_(paravisor_report_freep) ParavisorReport *report = NULL;
                uint8_t *at = memmem(file.data, file.size, "\"vmUniqueId\":\"", 14);
                assert_non_null(at);
                at[14] = at[14] == '0' ? '1' : '0';
                assert_ok(paravisor_report_parse(bytes_span(&file), &report));
                assert_err(paravisor_report_binds_claims(report), ERR_PARAVISOR_REPORT_MISMATCH);
                assert_err(paravisor_report_binds_key(report, report->ak), ERR_PARAVISOR_REPORT_MISMATCH);
        }
}

/* Any other bit of report_data, and of the claims, matters too: each changed one is refused at parsing or at binding. */
static void test_binds_every_claims_byte_counts(void **state) {
        vectors_need();
        _cleanup_bytes_ Bytes file = vector_read(vectors[0].file);
        for (size_t at = CLAIMS_OFFSET; at < CLAIMS_OFFSET + 583; at++) {
                _cleanup_(paravisor_report_freep) ParavisorReport *report = NULL;
                file.data[at] ^= 1;
                Err *err = paravisor_report_parse(bytes_span(&file), &report);
                if (err)
                        assert_err(err, ERR_PARAVISOR_REPORT_MALFORMED);
                else
                        assert_err(paravisor_report_binds_claims(report), ERR_PARAVISOR_REPORT_MISMATCH);
                file.data[at] ^= 1;
        }
        for (size_t at = TEE_OFFSET + 0x50; at < TEE_OFFSET + 0x90; at++) {
                _cleanup_(paravisor_report_freep) ParavisorReport *report = NULL;
                file.data[at] ^= 0x80;
                assert_ok(paravisor_report_parse(bytes_span(&file), &report));
                assert_err(paravisor_report_binds_claims(report), ERR_PARAVISOR_REPORT_MISMATCH);
                file.data[at] ^= 0x80;
        }
}

static void test_parse_every_prefix_is_refused(void **state) {
        vectors_need();
        for (size_t i = 0; i < N_ELEMENTS(vectors); i++) {
                _cleanup_bytes_ Bytes file = vector_read(vectors[i].file);
                size_t whole = file.size;
                while (file.data[whole - 1] == 0)
                        whole--;
                for (size_t size = 0; size < whole; size++) {
                        _cleanup_bytes_ Bytes cut = {}; /* a copy, so that a read behind it is seen */
                        ParavisorReport *report = NULL;
                        assert_ok(bytes_copy(span_make(file.data, size), &cut));
                        assert_err(paravisor_report_parse(bytes_span(&cut), &report), ERR_PARAVISOR_REPORT_MALFORMED);
                }
        }
}

/* Made reports. Every byte of the VBS report that is not set below is its offset, so that a field read from a wrong place is seen. */
typedef struct Made {
        ParavisorTee tee;
        uint32_t hash_type;
        size_t vbs_size;
        const char *claims;
} Made;

static void put_u32(uint8_t *at, uint32_t value) {
        for (unsigned i = 0; i < 4; i++)
                at[i] = (uint8_t) (value >> (8 * i));
}

static void hash_claims(const Made *made, uint8_t out[64]) {
        const uint8_t *text = (const uint8_t *) made->claims;
        size_t size = strlen(made->claims);
        memset(out, 0, 64);
        if (made->hash_type == 1)
                SHA256(text, size, out);
        else if (made->hash_type == 2)
                SHA384(text, size, out);
        else
                SHA512(text, size, out);
}

static void make_vbs(uint8_t *area, size_t size, const uint8_t data[64]) {
        for (size_t i = 0; i < size; i++)
                area[i] = (uint8_t) i;
        put_u32(area, (uint32_t) size);
        put_u32(area + 0x04, 1);
        put_u32(area + 0x08, 1);
        put_u32(area + 0x0c, 256);
        put_u32(area + 0x14, 1);
        for (size_t i = 0; i < 64; i++)
                area[0x18 + i] = data[i];
}

static Bytes make_report(const Made *made) {
        _cleanup_writer_ Writer out = {};
        uint8_t area[1184] = {}, data[64];
        Bytes bytes;
        uint32_t n = (uint32_t) strlen(made->claims);
        hash_claims(made, data);
        if (made->tee == PARAVISOR_TEE_VBS_VM)
                make_vbs(area, made->vbs_size, data);
        for (size_t i = 0; made->tee == PARAVISOR_TEE_SNP && i < 64; i++)
                area[0x50 + i] = data[i];
        for (size_t i = 0; made->tee == PARAVISOR_TEE_TDX && i < 64; i++)
                area[128 + i] = data[i];
        writer_string(&out, "HCLA");
        writer_u32le(&out, 2);
        writer_u32le(&out, 32 + 1184 + 20 + n);
        writer_u32le(&out, 2);
        for (int i = 0; i < 4; i++)
                writer_u32le(&out, 0);
        writer_span(&out, SPAN_OF(area));
        writer_u32le(&out, 20 + n);
        writer_u32le(&out, 1);
        writer_u32le(&out, (uint32_t) made->tee);
        writer_u32le(&out, made->hash_type);
        writer_u32le(&out, n);
        writer_string(&out, made->claims);
        writer_u32le(&out, 0); /* padding */
        assert_ok(writer_finish(&out, &bytes));
        return bytes;
}

static void assert_offset(Span field, const ParavisorReport *report, size_t offset, size_t size) {
        assert_ptr_equal(field.data, report->tee_report.data + offset);
        assert_int_equal(field.size, size);
}

/* The u32 that make_vbs() leaves at an offset. */
static uint32_t u32_at(size_t offset) {
        uint32_t value = 0;
        for (size_t i = 0; i < 4; i++)
                value |= (uint32_t) (uint8_t) (offset + i) << (8 * i);
        return value;
}

static void check_common(const ParavisorReport *report) {
        assert_offset(report->vbs.report_data, report, 0x18, 64);
        assert_offset(report->vbs.owner_id, report, 0x58, 32);
        assert_offset(report->vbs.measurement, report, 0x78, 32);
        assert_offset(report->vbs.signer, report, 0x98, 32);
        assert_offset(report->vbs.host_data, report, 0xb8, 32);
}

static void test_parse_vbs_560_bytes(void **state) {
        Made made = { PARAVISOR_TEE_VBS_VM, 1, 560, "{}" };
        _cleanup_bytes_ Bytes file = make_report(&made);
        _cleanup_(paravisor_report_freep) ParavisorReport *report = NULL;
        assert_ok(paravisor_report_parse(bytes_span(&file), &report));
        assert_ok(paravisor_report_binds_claims(report));
        check_common(report);
        assert_false(report->vbs.is_old);
        assert_int_equal(report->tee_report.size, 560);
        assert_int_equal(report->vbs.current.enabled_vtls, u32_at(0xd8));
        assert_int_equal(report->vbs.current.policy, u32_at(0xdc));
        assert_int_equal(report->vbs.guest_vtl, u32_at(0xe0));
        assert_int_equal(report->vbs.current.guest_svn, u32_at(0xe4));
        assert_int_equal(report->vbs.current.product_id, u32_at(0xe8));
        assert_int_equal(report->vbs.current.module_id, u32_at(0xec));
        assert_offset(report->vbs.signature, report, 0x130, 256);
}

static void test_parse_vbs_800_bytes(void **state) {
        Made made = { PARAVISOR_TEE_VBS_VM, 1, 800, "{}" };
        _cleanup_bytes_ Bytes file = make_report(&made);
        _cleanup_(paravisor_report_freep) ParavisorReport *report = NULL;
        assert_ok(paravisor_report_parse(bytes_span(&file), &report));
        assert_ok(paravisor_report_binds_claims(report));
        check_common(report);
        assert_true(report->vbs.is_old);
        assert_int_equal(report->tee_report.size, 800);
        assert_int_equal(report->vbs.old.platform_svn, u32_at(0xd8));
        assert_int_equal(report->vbs.old.secure_kernel_svn, u32_at(0xdc));
        assert_int_equal(report->vbs.old.boot_chain_svn, u32_at(0xe0));
        assert_int_equal(report->vbs.guest_vtl, u32_at(0xe4));
        for (size_t i = 0; i < VBS_VM_MODULES; i++) {
                const VbsVmModule *module = &report->vbs.old.modules[i];
                size_t at = i == 0 ? 0x108 : 0x194;
                assert_offset(module->image_hash, report, at, 32);
                assert_offset(module->signer, report, at + 32, 32);
                assert_offset(module->family_id, report, at + 64, 16);
                assert_offset(module->image_id, report, at + 80, 16);
                assert_int_equal(module->attributes, u32_at(at + 96));
                assert_int_equal(module->svn, u32_at(at + 100));
                assert_int_equal(module->vtl, u32_at(at + 104));
        }
        assert_offset(report->vbs.signature, report, 0x220, 256);
}

static void test_binds_each_tee_and_hash_type(void **state) {
        static const struct {
                ParavisorTee tee;
                size_t vbs_size;
        } tees[] = { { PARAVISOR_TEE_SNP, 0 }, { PARAVISOR_TEE_TDX, 0 }, { PARAVISOR_TEE_VBS_VM, 560 }, { PARAVISOR_TEE_VBS_VM, 800 } };
        static const uint16_t algs[] = { HASH_SHA256, HASH_SHA384, HASH_SHA512 };
        for (size_t i = 0; i < N_ELEMENTS(tees); i++)
                for (uint32_t type = 1; type <= N_ELEMENTS(algs); type++) {
                        Made made = { tees[i].tee, type, tees[i].vbs_size, "{\"keys\":[]}" };
                        _cleanup_bytes_ Bytes file = make_report(&made);
                        _cleanup_(paravisor_report_freep) ParavisorReport *report = NULL, *changed = NULL;
                        assert_ok(paravisor_report_parse(bytes_span(&file), &report));
                        assert_int_equal(report->hash_alg, algs[type - 1]);
                        assert_ok(paravisor_report_binds_claims(report));
                        put_u32(file.data + 0x4cc, type % N_ELEMENTS(algs) + 1);
                        assert_ok(paravisor_report_parse(bytes_span(&file), &changed));
                        assert_err(paravisor_report_binds_claims(changed), ERR_PARAVISOR_REPORT_MISMATCH);
                }
}

static void test_binds_without_tee_nothing_holds(void **state) {
        Made made = { PARAVISOR_TEE_NONE, 1, 0, "{}" };
        _cleanup_bytes_ Bytes file = make_report(&made);
        _cleanup_(paravisor_report_freep) ParavisorReport *report = NULL;
        assert_ok(paravisor_report_parse(bytes_span(&file), &report));
        assert_int_equal(report->report_data.size, 0);
        assert_err(paravisor_report_binds_claims(report), ERR_PARAVISOR_REPORT_MISMATCH);
        assert_err(paravisor_report_binds_text(report, span_from_string("")), ERR_PARAVISOR_REPORT_MISMATCH);
}

static void test_binds_text_is_the_one_in_user_data(void **state) {
        static const char half[] = "{\"user-data\":\"00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF\"}";
        uint8_t digest[64];
        char hex[129], text[256];
        Made made = { PARAVISOR_TEE_VBS_VM, 1, 560, text };
        SHA512((const uint8_t *) "signed text", 11, digest);
        hex_encode_into(SPAN_OF(digest), hex);
        snprintf(text, sizeof(text), "{\"user-data\":\"%s\"}", hex);
        _cleanup_bytes_ Bytes file = make_report(&made);
        _cleanup_(paravisor_report_freep) ParavisorReport *report = NULL;
        assert_ok(paravisor_report_parse(bytes_span(&file), &report));
        assert_ok(paravisor_report_binds_text(report, span_from_string("signed text")));
        assert_err(paravisor_report_binds_text(report, span_from_string("signed text.")), ERR_PARAVISOR_REPORT_MISMATCH);
        made.claims = half;
        _cleanup_bytes_ Bytes shorter = make_report(&made);
        ParavisorReport *none = NULL;
        assert_err(paravisor_report_parse(bytes_span(&shorter), &none), ERR_PARAVISOR_REPORT_MALFORMED);
}

static void test_parse_impossible_fields_are_refused(void **state) {
        static const struct {
                size_t at;
                uint32_t value;
        } cases[] = {
                { 0x000, 0x414c4349 },  /* signature */
                { 0x004, 0 }, { 0x004, 3 },
                { 0x008, 1237 },        /* report_size */
                { 0x020, 561 }, { 0x020, 0 }, { 0x020, 559 },     /* package_size */
                { 0x024, 2 }, { 0x02c, 255 }, { 0x034, 2 },
                { 0x250, 1 }, { 0x4bc, 1 },                       /* padding of the TEE's area */
                { 0x4c0, 21 }, { 0x4c0, 0xffffffff },
                { 0x4c4, 2 },
                { 0x4c8, 0 }, { 0x4c8, 5 }, { 0x4c8, 3 }, { 0x4c8, 0xffffffff },
                { 0x4cc, 0 }, { 0x4cc, 4 }, { 0x4cc, 0xffffffff },
                { 0x4d0, 0xffffffff }, { 0x4d0, 3 },
                { 0x4d6, 1 },           /* behind the claims */
        };
        Made made = { PARAVISOR_TEE_VBS_VM, 1, 560, "{}" };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_bytes_ Bytes file = make_report(&made);
                ParavisorReport *report = NULL;
                put_u32(file.data + cases[i].at, cases[i].value);
                assert_err(paravisor_report_parse(bytes_span(&file), &report), ERR_PARAVISOR_REPORT_MALFORMED);
        }
}

static void test_parse_impossible_claims_are_refused(void **state) {
        static const char *const cases[] = {
                "", "[]", "{", "{\"keys\":{}}", "{\"keys\":[1]}", "{\"keys\":[{}]}", "{\"a\":1,\"a\":1}", "{\"user-data\":\"0\"}", "{\"user-data\":1}",
                "{\"keys\":[{\"kid\":\"HCLAkPub\"}]}", "{\"keys\":[{\"kid\":\"HCLAkPub\",\"kty\":\"oct\",\"k\":\"AQAB\"}]}",
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                Made made = { PARAVISOR_TEE_VBS_VM, 1, 800, cases[i] };
                _cleanup_bytes_ Bytes file = make_report(&made);
                ParavisorReport *report = NULL;
                assert_err(paravisor_report_parse(bytes_span(&file), &report), ERR_PARAVISOR_REPORT_MALFORMED);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_parse_every_vector_binds),
                cmocka_unit_test(test_binds_key_is_the_aik_of_the_quote_alone),
                cmocka_unit_test(test_binds_changed_claims_are_refused),
                cmocka_unit_test(test_binds_every_claims_byte_counts),
                cmocka_unit_test(test_parse_every_prefix_is_refused),
                cmocka_unit_test(test_parse_vbs_560_bytes),
                cmocka_unit_test(test_parse_vbs_800_bytes),
                cmocka_unit_test(test_binds_each_tee_and_hash_type),
                cmocka_unit_test(test_binds_without_tee_nothing_holds),
                cmocka_unit_test(test_binds_text_is_the_one_in_user_data),
                cmocka_unit_test(test_parse_impossible_fields_are_refused),
                cmocka_unit_test(test_parse_impossible_claims_are_refused),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
