/* base64url, hex and the bounded reader. Vectors: RFC 4648 §10, RFC 7515 appendix C. */
#include "tests/support/unit.h"

#include <unistd.h>

#include "base/reader.h"

static void test_base64url_encode_rfc_vectors_match(void **state) {
        static const struct { const char *data, *text; } cases[] = {
                { "", "" }, { "f", "Zg" }, { "fo", "Zm8" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg" }, { "fooba", "Zm9vYmE" }, { "foobar", "Zm9vYmFy" },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_free_ char *text = NULL;
                _cleanup_bytes_ Bytes data = {};
                assert_ok(base64url_encode(span_from_string(cases[i].data), &text));
                assert_string_equal(text, cases[i].text);
                assert_ok(base64url_decode(span_from_string(text), "x", &data));
                assert_true(span_equal_string(bytes_span(&data), cases[i].data));
        }
        static const uint8_t appendix_c[] = { 3, 236, 255, 224, 193 };
        _cleanup_free_ char *text = NULL;
        assert_ok(base64url_encode(SPAN_OF(appendix_c), &text));
        assert_string_equal(text, "A-z_4ME");
}

static void test_base64url_decode_malformed_is_refused(void **state) {
        static const char *const cases[] = { "Z", "Zg=", "Zg==", "Zh", "Zm9", "Zm 9v", "Zm9v\n", "Zm+v", "Zm/v", "AAAAA" };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                Bytes data = {};
                assert_err(base64url_decode(span_from_string(cases[i]), "x", &data), ERR_BASE64_INVALID);
        }
}

static void test_base64_decode_lenient_takes_both_alphabets(void **state) {
        static const char *const cases[] = { "-_8", "+/8", "+/8=", "-_8=" };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_bytes_ Bytes data = {};
                assert_ok(base64_decode_lenient(span_from_string(cases[i]), "x", &data));
                assert_memory_equal(data.data, ((uint8_t[]) { 0xfb, 0xff }), 2);
        }
}

static void test_reader_past_end_fails_and_stays_failed(void **state) {
        static const uint8_t input[] = { 1, 2, 3, 4, 5 };
        Reader reader = reader_make(SPAN_OF(input));
        assert_int_equal(reader_u32be(&reader, "first"), 0x01020304);
        assert_int_equal(reader_u16le(&reader, "second"), 0);
        assert_int_equal(reader_u8(&reader, "third"), 0);
        assert_true(reader_failed(&reader));
        Err *err = reader_check(&reader, ERR_EVENTLOG_MALFORMED, "log");
        assert_string_equal(err_describe(err), "log: second at offset 4 needs 2 bytes, 1 are left");
        assert_err(err, ERR_EVENTLOG_MALFORMED);
}

static void test_reader_span_huge_length_fails(void **state) {
        static const uint8_t input[] = { 1, 2, 3 };
        Reader reader = reader_make(SPAN_OF(input));
        reader_u8(&reader, "a");
        assert_int_equal(reader_span(&reader, UINT64_MAX, "b").size, 0);
        assert_err(reader_check(&reader, ERR_IO, "x"), ERR_IO);
}

static void test_hex_decode_odd_or_foreign_is_refused(void **state) {
        Bytes data = {};
        assert_err(hex_decode(span_from_string("abc"), "x", &data), ERR_INVALID_ARGUMENT);
        assert_err(hex_decode(span_from_string("ag"), "x", &data), ERR_INVALID_ARGUMENT);
        assert_ok(hex_decode(span_from_string("Ab0f"), "x", &data));
        assert_memory_equal(data.data, ((uint8_t[]) { 0xab, 0x0f }), 2);
        bytes_done(&data);
}

static void test_error_chain_describes_and_keeps_code(void **state) {
        Err *err = err_wrap(err_new_native(ERR_TPM_COMMAND_FAILED, ERR_DOMAIN_TSS, 0x18b, "the handle is wrong"), "quoting %s", "sha256:0");
        int64_t native = 0;
        assert_string_equal(err_describe(err), "quoting sha256:0: the handle is wrong");
        assert_int_equal(err_native(err, &native), ERR_DOMAIN_TSS);
        assert_int_equal(native, 0x18b);
        assert_int_equal(err_code_from_name("org.attestd1.Error.TpmCommandFailed"), ERR_TPM_COMMAND_FAILED);
        assert_err(err, ERR_TPM_COMMAND_FAILED);
}

static void test_error_table_codes_are_unique(void **state) {
        for (unsigned i = 1; i < _ERR_CODE_MAX; i++)
                for (unsigned j = 1; j < i; j++) {
                        assert_int_not_equal(err_code_info((ErrCode) i)->exit_status, err_code_info((ErrCode) j)->exit_status);
                        assert_string_not_equal(err_code_info((ErrCode) i)->message_id, err_code_info((ErrCode) j)->message_id);
                }
}

static void test_file_remove_unfinished_removes_what_a_killed_write_left_and_nothing_else(void **state) {
        static const struct { const char *name; bool stays; } files[] = {
                { "aik", true }, { "aik.mM1d0V", false }, { "aik.mM1d0", true }, { "aik.mM1d0V7", true }, { "aik.ab-def", true },
                { "aik-mM1d0V", true }, { "baik.mM1d0V", true },
        };
        char folder[] = "/tmp/test-bytes-XXXXXX";
        assert_non_null(mkdtemp(folder));
        for (size_t i = 0; i < N_ELEMENTS(files); i++) {
                _cleanup_free_ char *path = NULL;
                assert_ok(string_format(&path, "%s/%s", folder, files[i].name));
                assert_ok(file_write_atomic(path, span_from_string("x"), 0600));
        }
        _cleanup_free_ char *path = NULL, *elsewhere = NULL;
        assert_ok(string_format(&path, "%s/aik", folder));
        assert_ok(file_remove_unfinished(path));
        for (size_t i = 0; i < N_ELEMENTS(files); i++) {
                _cleanup_free_ char *file = NULL;
                assert_ok(string_format(&file, "%s/%s", folder, files[i].name));
                assert_int_equal(access(file, F_OK) == 0, files[i].stays);
                unlink(file);
        }
        assert_int_equal(rmdir(folder), 0);
        assert_ok(string_format(&elsewhere, "%s/gone/aik", folder));
        assert_ok(file_remove_unfinished(elsewhere));
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_base64url_encode_rfc_vectors_match),
                cmocka_unit_test(test_base64url_decode_malformed_is_refused),
                cmocka_unit_test(test_base64_decode_lenient_takes_both_alphabets),
                cmocka_unit_test(test_reader_past_end_fails_and_stays_failed),
                cmocka_unit_test(test_reader_span_huge_length_fails),
                cmocka_unit_test(test_hex_decode_odd_or_foreign_is_refused),
                cmocka_unit_test(test_error_chain_describes_and_keeps_code),
                cmocka_unit_test(test_error_table_codes_are_unique),
                cmocka_unit_test(test_file_remove_unfinished_removes_what_a_killed_write_left_and_nothing_else),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
