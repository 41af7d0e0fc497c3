/* lib/tcg/vbs-enclave-report: packages made after the tables of ntenclv.h and ncrypt.h. No real one is public. Every byte of the statement that
 * is not set is its offset in the package, so that a field read from a wrong place is seen. */
#include "tests/support/unit.h"

#include <openssl/sha.h>

#include "base/writer.h"
#include "tcg/vbs-enclave-report.h"

#define STATEMENT_OFFSET 24
#define BLOCKS_OFFSET 0xf8
#define TEXT "signed text"

static void put_u32(uint8_t *at, uint32_t value) {
        for (unsigned i = 0; i < 4; i++)
                at[i] = (uint8_t) (value >> (8 * i));
}

static uint32_t u32_at(size_t offset) {
        uint32_t value = 0;
        for (size_t i = 0; i < 4; i++)
                value |= (uint32_t) (uint8_t) (offset + i) << (8 * i);
        return value;
}

static void write_module(Writer *out, const char *name) {
        uint8_t ids[96];
        for (size_t i = 0; i < sizeof(ids); i++)
                ids[i] = (uint8_t) (200 - i);
        writer_u32le(out, 1);
        writer_u32le(out, (uint32_t) (8 + 96 + 4 + 2 * strlen(name) + 2));
        writer_span(out, SPAN_OF(ids));
        writer_u32le(out, 7);
        for (const char *c = name; *c; c++)
                writer_u16le(out, (uint16_t) *c);
        writer_u16le(out, 0);
}

static Bytes make_package(Span blocks) {
        _cleanup_writer_ Writer out = {};
        Bytes bytes;
        uint8_t signature[256];
        memset(signature, 0xee, sizeof(signature));
        size_t statement_size = BLOCKS_OFFSET - STATEMENT_OFFSET + blocks.size;
        writer_u32le(&out, (uint32_t) (STATEMENT_OFFSET + statement_size + sizeof(signature)));
        writer_u32le(&out, 1);
        writer_u32le(&out, 1);
        writer_u32le(&out, (uint32_t) statement_size);
        writer_u32le(&out, sizeof(signature));
        writer_u32le(&out, 0);
        writer_u32le(&out, (uint32_t) statement_size);
        writer_u32le(&out, 1);
        for (size_t at = 0x20; at < BLOCKS_OFFSET; at++)
                writer_u8(&out, (uint8_t) at);
        writer_span(&out, blocks);
        writer_span(&out, SPAN_OF(signature));
        assert_ok(writer_finish(&out, &bytes));
        SHA512((const uint8_t *) TEXT, strlen(TEXT), bytes.data + 0x20);
        return bytes;
}

static Bytes make_with_blocks(void) {
        _cleanup_writer_ Writer out = {};
        _cleanup_bytes_ Bytes blocks = {};
        write_module(&out, "vertdll.dll");
        writer_u32le(&out, 9); /* a type that nobody knows */
        writer_u32le(&out, 11);
        writer_span(&out, span_from_string("abc"));
        write_module(&out, "");
        assert_ok(writer_finish(&out, &blocks));
        return make_package(bytes_span(&blocks));
}

static void assert_offset(Span field, const Bytes *file, size_t offset, size_t size) {
        assert_ptr_equal(field.data, file->data + offset);
        assert_int_equal(field.size, size);
}

static void test_parse_fields_stand_where_the_table_says(void **state) {
        _cleanup_bytes_ Bytes file = make_with_blocks();
        VbsEnclaveReport report;
        assert_true(vbs_enclave_report_detect(bytes_span(&file)));
        assert_ok(vbs_enclave_report_parse(bytes_span(&file), &report));
        assert_offset(report.enclave_data, &file, 0x20, 64);
        assert_offset(report.owner_id, &file, 0x60, 32);
        assert_offset(report.unique_id, &file, 0x80, 32);
        assert_offset(report.author_id, &file, 0xa0, 32);
        assert_offset(report.family_id, &file, 0xc0, 16);
        assert_offset(report.image_id, &file, 0xd0, 16);
        assert_int_equal(report.enclave_svn, u32_at(0xe0));
        assert_int_equal(report.secure_kernel_svn, u32_at(0xe4));
        assert_int_equal(report.platform_svn, u32_at(0xe8));
        assert_int_equal(report.flags, u32_at(0xec));
        assert_int_equal(report.signing_level, u32_at(0xf0));
        assert_int_equal(report.enclave_type, u32_at(0xf4));
        assert_offset(report.signed_statement, &file, STATEMENT_OFFSET, file.size - STATEMENT_OFFSET - 256);
        assert_offset(report.signature, &file, file.size - 256, 256);
}

static void test_next_gives_modules_and_unknown_blocks(void **state) {
        static const char name[] = "v\0e\0r\0t\0d\0l\0l\0.\0d\0l\0l";
        _cleanup_bytes_ Bytes file = make_with_blocks();
        VbsEnclaveReport report;
        VbsEnclaveBlock block;
        bool more;
        assert_ok(vbs_enclave_report_parse(bytes_span(&file), &report));
        Span blocks = report.blocks;
        assert_ok(vbs_enclave_report_next(&blocks, &block, &more));
        assert_true(more);
        assert_int_equal(block.type, VBS_BLOCK_MODULE);
        assert_offset(block.unique_id, &file, BLOCKS_OFFSET + 8, 32);
        assert_offset(block.author_id, &file, BLOCKS_OFFSET + 40, 32);
        assert_offset(block.family_id, &file, BLOCKS_OFFSET + 72, 16);
        assert_offset(block.image_id, &file, BLOCKS_OFFSET + 88, 16);
        assert_int_equal(block.svn, 7);
        assert_true(span_equal(block.name, span_make(name, sizeof(name))));
        assert_ok(vbs_enclave_report_next(&blocks, &block, &more));
        assert_true(more);
        assert_int_equal(block.type, 9);
        assert_true(span_equal_string(block.data, "abc"));
        assert_ok(vbs_enclave_report_next(&blocks, &block, &more));
        assert_true(more);
        assert_int_equal(block.name.size, 0);
        assert_ok(vbs_enclave_report_next(&blocks, &block, &more));
        assert_false(more);
}

static void test_binds_text_is_the_one_in_enclave_data(void **state) {
        _cleanup_bytes_ Bytes file = make_package((Span) {});
        VbsEnclaveReport report;
        assert_ok(vbs_enclave_report_parse(bytes_span(&file), &report));
        assert_ok(vbs_enclave_report_binds_text(&report, span_from_string(TEXT)));
        assert_err(vbs_enclave_report_binds_text(&report, span_from_string(TEXT " ")), ERR_VBS_REPORT_MISMATCH);
        file.data[0x20 + 63] ^= 1;
        assert_err(vbs_enclave_report_binds_text(&report, span_from_string(TEXT)), ERR_VBS_REPORT_MISMATCH);
}

static void test_parse_every_prefix_is_refused(void **state) {
        _cleanup_bytes_ Bytes file = make_with_blocks();
        for (size_t size = 0; size < file.size; size++) {
                _cleanup_bytes_ Bytes cut = {};
                VbsEnclaveReport report;
                assert_ok(bytes_copy(span_make(file.data, size), &cut));
                assert_err(vbs_enclave_report_parse(bytes_span(&cut), &report), ERR_VBS_REPORT_MALFORMED);
                if (size < 4)
                        continue;
                put_u32(cut.data, (uint32_t) size); /* and where the package says that it is so long */
                assert_err(vbs_enclave_report_parse(bytes_span(&cut), &report), ERR_VBS_REPORT_MALFORMED);
        }
}

static void test_parse_impossible_fields_are_refused(void **state) {
        static const struct {
                size_t at;
                uint32_t value;
        } cases[] = {
                { 0, 0 }, { 0, 0xffffffff }, { 4, 0 }, { 4, 2 }, { 12, 0 }, { 12, 0xffffffff }, { 16, 0 }, { 16, 257 }, { 16, 0xffffffff },
                { 24, 0 }, { 24, 224 }, { 28, 2 },
                { BLOCKS_OFFSET + 4, 0 }, { BLOCKS_OFFSET + 4, 7 }, { BLOCKS_OFFSET + 4, 0xffffffff }, { BLOCKS_OFFSET + 4, 107 },
                { BLOCKS_OFFSET + 8 + 96 + 4 + 22, 0x00410041 }, /* a name that does not end in its block */
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_bytes_ Bytes file = make_with_blocks();
                VbsEnclaveReport report;
                put_u32(file.data + cases[i].at, cases[i].value);
                assert_err(vbs_enclave_report_parse(bytes_span(&file), &report), ERR_VBS_REPORT_MALFORMED);
        }
}

static Bytes make_claim(void) {
        _cleanup_writer_ Writer out = {};
        _cleanup_bytes_ Bytes report = make_package((Span) {});
        Bytes bytes;
        writer_string(&out, "VKAS");
        writer_u32le(&out, 1);
        writer_u32le(&out, 5);
        writer_string(&out, "VRCH");
        writer_u32le(&out, 0);
        writer_u32le(&out, 4);
        writer_u32le(&out, 2);
        writer_u32le(&out, (uint32_t) report.size);
        writer_u32le(&out, 3);
        writer_string(&out, "attrno");
        writer_span(&out, bytes_span(&report));
        writer_string(&out, "sig");
        assert_ok(writer_finish(&out, &bytes));
        return bytes;
}

static void test_key_claim_parts_are_found(void **state) {
        _cleanup_bytes_ Bytes file = make_claim();
        VbsKeyClaim claim;
        VbsEnclaveReport report;
        assert_true(vbs_key_claim_detect(bytes_span(&file)));
        assert_false(vbs_enclave_report_detect(bytes_span(&file)));
        assert_ok(vbs_key_claim_parse(bytes_span(&file), &claim));
        assert_int_equal(claim.version, 1);
        assert_true(span_equal_string(claim.attributes, "attr"));
        assert_true(span_equal_string(claim.nonce, "no"));
        assert_true(span_equal_string(claim.signature, "sig"));
        assert_ok(vbs_enclave_report_parse(claim.report, &report));
        assert_ok(vbs_enclave_report_binds_text(&report, span_from_string(TEXT)));
}

static void test_key_claim_prefixes_and_impossible_fields_are_refused(void **state) {
        _cleanup_bytes_ Bytes file = make_claim();
        VbsKeyClaim claim;
        for (size_t size = 0; size < file.size; size++) {
                _cleanup_bytes_ Bytes cut = {};
                assert_ok(bytes_copy(span_make(file.data, size), &cut));
                assert_err(vbs_key_claim_parse(bytes_span(&cut), &claim), ERR_VBS_REPORT_MALFORMED);
        }
        static const size_t fields[] = { 0, 4, 8, 12, 16, 20, 24, 28, 32 };
        for (size_t i = 0; i < N_ELEMENTS(fields); i++) {
                _cleanup_bytes_ Bytes bad = {};
                assert_ok(bytes_copy(bytes_span(&file), &bad));
                put_u32(bad.data + fields[i], 0xffffffff);
                assert_err(vbs_key_claim_parse(bytes_span(&bad), &claim), ERR_VBS_REPORT_MALFORMED);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_parse_fields_stand_where_the_table_says),
                cmocka_unit_test(test_next_gives_modules_and_unknown_blocks),
                cmocka_unit_test(test_binds_text_is_the_one_in_enclave_data),
                cmocka_unit_test(test_parse_every_prefix_is_refused),
                cmocka_unit_test(test_parse_impossible_fields_are_refused),
                cmocka_unit_test(test_key_claim_parts_are_found),
                cmocka_unit_test(test_key_claim_prefixes_and_impossible_fields_are_refused),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
