/* Evidence bundles: what is written is read, and what is not as it should be is named. Whether a bundle is true is tested on a real TPM in
 * tests/integration/test-bundle.py. */
#include "tests/support/unit.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tcg/bundle.h"

#define LOG_TEXT "the log"
#define LOG_MEMBER "{\"type\":\"TCG\",\"size\":0,\"sha256\":\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\",\"data\":\"\"}"
#define HEAD "{\"format\":\"attestd-evidence\",\"version\":1,\"created\":5,\"qualifying_data\":\"AQ\",\"quote\":\"Ag\",\"signature\":\"Aw\",\"aik_public\":\"BA\",\"aik_name\":\"BQ\","
#define ZEROS "0000000000000000000000000000000000000000"

static void test_parse_bundle_that_is_wrong_names_the_member(void **state) {
        static const struct {
                const char *text, *words;
                ErrCode code;
        } cases[] = {
                { "[]", "no JSON object", ERR_EVIDENCE_MALFORMED },
                { "{", "", ERR_JSON_INVALID },
                { "{}", "format", ERR_EVIDENCE_MALFORMED },
                { "{\"format\":\"x\",\"version\":1}", "format", ERR_EVIDENCE_MALFORMED },
                { "{\"format\":\"attestd-evidence\",\"version\":2}", "version 2", ERR_NOT_SUPPORTED },
                { HEAD "\"logs\":[]}", "pcrs", ERR_EVIDENCE_MALFORMED },
                { HEAD "\"pcrs\":[]}", "logs", ERR_EVIDENCE_MALFORMED },
                { HEAD "\"pcrs\":[1],\"logs\":[]}", "pcrs[0]", ERR_EVIDENCE_MALFORMED },
                { HEAD "\"pcrs\":[{\"bank\":\"md5\",\"values\":{}}],\"logs\":[]}", "md5", ERR_EVIDENCE_MALFORMED },
                { HEAD "\"pcrs\":[{\"bank\":\"sha1\",\"values\":{}},{\"bank\":\"sha1\",\"values\":{}}],\"logs\":[]}", "twice", ERR_EVIDENCE_MALFORMED },
                { HEAD "\"pcrs\":[{\"bank\":\"sha1\",\"values\":{\"24\":\"" ZEROS "\"}}],\"logs\":[]}", "\"24\"", ERR_EVIDENCE_MALFORMED },
                { HEAD "\"pcrs\":[{\"bank\":\"sha1\",\"values\":{\"0\":\"00\"}}],\"logs\":[]}", "PCR 0", ERR_EVIDENCE_MALFORMED },
                { HEAD "\"pcrs\":[{\"bank\":\"sha1\",\"values\":{\"0\":7}}],\"logs\":[]}", "PCR 0", ERR_EVIDENCE_MALFORMED },
                { HEAD "\"pcrs\":[{\"bank\":\"sha1\",\"values\":{\"0\":\"zz\"}}],\"logs\":[]}", "PCR", ERR_EVIDENCE_MALFORMED },
                { HEAD "\"pcrs\":[],\"logs\":[{\"type\":\"X\"}]}", "type", ERR_EVIDENCE_MALFORMED },
                { HEAD "\"pcrs\":[],\"logs\":[{\"type\":\"TCG\",\"size\":0,\"sha256\":\"00\",\"data\":\"\"}]}", "SHA-256", ERR_EVIDENCE_MALFORMED },
                { HEAD "\"pcrs\":[],\"logs\":[{\"type\":\"TCG\",\"size\":1,\"sha256\":\"00\",\"data\":\"\"}]}", "size", ERR_EVIDENCE_MALFORMED },
                { HEAD "\"pcrs\":[],\"logs\":[" LOG_MEMBER "," LOG_MEMBER "," LOG_MEMBER "," LOG_MEMBER "," LOG_MEMBER "]}", "more than", ERR_EVIDENCE_MALFORMED },
                { HEAD "\"pcrs\":[],\"logs\":[],\"boot_attestation\":{}}", "boot_attestation", ERR_EVIDENCE_MALFORMED },
                { HEAD "\"pcrs\":[],\"pcrs\":[],\"logs\":[]}", "pcrs", ERR_JSON_DUPLICATE_MEMBER },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                Bundle *bundle = NULL;
                Err *err = bundle_parse(span_from_string(cases[i].text), &bundle);
                if (err_code(err) != cases[i].code || !strstr(err_describe(err), cases[i].words))
                        fail_msg("%s: %s", cases[i].text, err ? err_describe(err) : "no error");
                err_free(err);
        }
}

static int memory_file(const char *text) {
        int fd = memfd_create("log", MFD_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), (ssize_t) strlen(text));
        return fd;
}

static Evidence *make_evidence(void) {
        Evidence *evidence = calloc(1, sizeof(Evidence));
        assert_non_null(evidence);
        assert_ok(bytes_copy(span_from_string("quote"), &evidence->quote));
        assert_ok(bytes_copy(span_from_string("signature"), &evidence->signature));
        assert_ok(bytes_copy(span_from_string("public"), &evidence->aik_public));
        assert_ok(bytes_copy(span_from_string("name"), &evidence->aik_name));
        assert_ok(bytes_copy(span_from_string("certificate"), &evidence->aik_certificate));
        evidence->pcrs.n_banks = 2;
        evidence->pcrs.banks[0] = (PcrBank) { .alg = HASH_SHA256, .mask = 0x800001 };
        evidence->pcrs.banks[1] = (PcrBank) { .alg = HASH_SHA1, .mask = 0x400 };
        evidence->pcrs.banks[0].values[0] = digest_zero(HASH_SHA256);
        evidence->pcrs.banks[0].values[0].bytes[31] = 0xab;
        evidence->pcrs.banks[0].values[23] = digest_zero(HASH_SHA256);
        evidence->pcrs.banks[1].values[10] = digest_zero(HASH_SHA1);
        evidence->logs[0] = (EvidenceLog) { EVIDENCE_LOG_TCG, memory_file(LOG_TEXT), strlen(LOG_TEXT) };
        evidence->logs[1] = (EvidenceLog) { EVIDENCE_LOG_IMA, memory_file("a longer file"), 8 };
        evidence->n_logs = 2;
        evidence->boot = calloc(1, sizeof(Evidence));
        assert_non_null(evidence->boot);
        assert_ok(bytes_copy(span_from_string("quote before"), &evidence->boot->quote));
        evidence->boot->pcrs.n_banks = 1;
        evidence->boot->pcrs.banks[0] = (PcrBank) { .alg = HASH_SHA1, .mask = 1 };
        evidence->boot->pcrs.banks[0].values[0] = digest_zero(HASH_SHA1);
        evidence->boot->logs[0] = (EvidenceLog) { EVIDENCE_LOG_TCG, memory_file("before"), 3 };
        evidence->boot->n_logs = 1;
        return evidence;
}

static void assert_bytes(const Bytes *bytes, const char *text) {
        assert_true(span_equal_string(bytes_span(bytes), text));
}

static void make_text(Bytes *ret) {
        _cleanup_(evidence_freep) Evidence *evidence = make_evidence();
        _cleanup_json_ Json *tpm = NULL, *configuration = NULL;
        assert_ok(json_new_object(&tpm));
        assert_ok(json_new_object(&configuration));
        const BundleParts parts = {
                .created_sec = 1700000000,
                .program_version = "1.2",
                .qualifying_data = span_from_string("nonce"),
                .evidence = evidence,
                .tpm = tpm,
                .configuration = configuration,
        };
        assert_ok(bundle_write(&parts, ret));
}

static void test_parse_bundle_that_was_written_gives_its_parts(void **state) {
        _cleanup_bytes_ Bytes text = {};
        _cleanup_(bundle_freep) Bundle *bundle = NULL;
        make_text(&text);
        assert_ok(bundle_parse(bytes_span(&text), &bundle));
        assert_int_equal(bundle->created_sec, 1700000000);
        assert_bytes(&bundle->qualifying_data, "nonce");
        assert_bytes(&bundle->quote, "quote");
        assert_bytes(&bundle->signature, "signature");
        assert_bytes(&bundle->aik_public, "public");
        assert_bytes(&bundle->aik_name, "name");
        assert_bytes(&bundle->aik_certificate, "certificate");
        assert_int_equal(bundle->pcrs.n_banks, 2);
        assert_int_equal(bundle->pcrs.banks[0].alg, HASH_SHA256);
        assert_int_equal(bundle->pcrs.banks[0].mask, 0x800001);
        assert_int_equal(bundle->pcrs.banks[0].values[0].bytes[31], 0xab);
        assert_int_equal(bundle->pcrs.banks[1].alg, HASH_SHA1);
        assert_int_equal(bundle->pcrs.banks[1].mask, 0x400);
        assert_bytes(bundle_log(bundle, EVIDENCE_LOG_TCG), LOG_TEXT);
        assert_bytes(bundle_log(bundle, EVIDENCE_LOG_IMA), "a longer");
        assert_non_null(bundle->boot);
        assert_bytes(&bundle->boot->quote, "quote before");
        assert_int_equal(bundle->boot->pcrs.banks[0].mask, 1);
        assert_bytes(bundle_log(bundle->boot, EVIDENCE_LOG_TCG), "bef");
}

static void test_parse_bundle_that_is_cut_fails(void **state) {
        _cleanup_bytes_ Bytes text = {};
        make_text(&text);
        for (size_t size = 0; size < text.size; size++) {
                Bundle *bundle = NULL;
                assert_err(bundle_parse(span_make(text.data, size), &bundle), ERR_JSON_INVALID);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_parse_bundle_that_is_wrong_names_the_member),
                cmocka_unit_test(test_parse_bundle_that_was_written_gives_its_parts),
                cmocka_unit_test(test_parse_bundle_that_is_cut_fails),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
