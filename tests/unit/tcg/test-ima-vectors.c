/* Every third-party IMA list against the values that independent programs found, prefixes of ten of them, and the prefix that a real quote is about. */
#include "tests/support/vectors-tcg.h"

#include "tcg/ima-ascii.h"
#include "tcg/ima-match.h"

#define PREFIX_EACH_MAX ((size_t) 64 << 10)  /* every prefix up to here, then one in PREFIX_STEP */
#define PREFIX_STEP 4999

static const uint16_t banks[] = { HASH_SHA1, HASH_SHA256, HASH_SHA384, HASH_SHA512 };

static void check_values(const ImaReplay *replay, const Json *expected, const char *name) {
        for (size_t i = 0; i < replay->n_banks; i++) {
                const char *hex = vector_string(expected, hash_name(replay->values[i].alg));
                if (*hex) /* checkpoints have two banks */
                        assert_hex(digest_span(&replay->values[i]), hex, name);
        }
}

/* The running value at the entries that the expected values name. */
static void check_checkpoint(const ImaReplay *replay, const Json *expected, size_t *next, const char *name) {
        Json *checkpoints;
        int64_t at;
        assert_ok(json_get_array(expected, "checkpoints", &checkpoints));
        if (*next >= json_object_array_length(checkpoints))
                return;
        const Json *checkpoint = json_object_array_get_idx(checkpoints, *next);
        assert_ok(json_get_integer(checkpoint, "entries", &at));
        if (replay->n_entries != (uint64_t) at)
                return;
        check_values(replay, json_get(json_get(checkpoint, "pcr"), "10"), name);
        (*next)++;
}

static const Json *listed(const Json *expected, uint64_t number) {
        Json *list;
        assert_ok(json_get_array(expected, "list", &list));
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                int64_t index;
                assert_ok(json_get_integer(json_object_array_get_idx(list, i), "i", &index));
                if ((uint64_t) index == number)
                        return json_object_array_get_idx(list, i);
        }
        return NULL;
}

static void check_entry(const Json *expected, const ImaEntry *entry, bool has_offsets) {
        int64_t offset, pcr, sig_len;
        if (!expected)
                return;
        assert_ok(json_get_integer(expected, "off", &offset));
        assert_ok(json_get_integer(expected, "pcr", &pcr));
        assert_ok(json_get_integer(expected, "sig_len", &sig_len));
        if (has_offsets)
                assert_int_equal(entry->offset, offset);
        assert_int_equal(entry->pcr, pcr);
        assert_true(span_equal_string(entry->template_name, vector_string(expected, "template")));
        assert_hex(entry->template_digest, vector_string(expected, "digest"), "template digest");
        assert_hex(entry->file_digest, vector_string(expected, "file_digest"), "file digest");
        assert_true(span_equal_string(entry->file_name, vector_string(expected, "path")));
        assert_int_equal(entry->file_signature.size, sig_len);
        const char *alg = vector_string(expected, "file_alg"), *colon = strrchr(alg, ':');
        assert_int_equal(entry->file_digest_alg, hash_from_name(colon ? colon + 1 : alg));
}

static void count_mismatch(const Json *expected, const ImaEntry *entry, uint64_t *n) {
        bool matches;
        Json *mismatches;
        assert_ok(ima_entry_verify(entry, &matches));
        if (matches)
                return;
        assert_ok(json_get_array(expected, "template_digest_mismatches", &mismatches));
        if (*n < json_object_array_length(mismatches))
                assert_int_equal(json_object_get_int64(json_object_array_get_idx(mismatches, *n)), entry->number);
        (*n)++;
}

static void check_counts(const Json *expected, const ImaReplay *replay, uint64_t n_mismatches, const char *name) {
        int64_t entries, violations, mismatches;
        assert_ok(json_get_integer(expected, "entries", &entries));
        assert_ok(json_get_integer(expected, "violations", &violations));
        assert_ok(json_get_integer(expected, "n_template_digest_mismatches", &mismatches));
        if ((int64_t) replay->n_entries != entries)
                print_error("%s: %llu entries\n", name, (unsigned long long) replay->n_entries);
        assert_int_equal(replay->n_entries, entries);
        assert_int_equal(replay->n_violations, violations);
        assert_int_equal(n_mismatches, mismatches);
        Json *values = json_get(json_get(expected, "pcr"), "10");
        if (values)
                check_values(replay, values, name);
}

static void check_binary(Span input, const Json *expected, const char *name, bool has_offsets) {
        ImaReplay replay = ima_replay_start(banks, N_ELEMENTS(banks)), padded = replay;
        const char *expect = vector_string(expected, "expect");
        uint64_t n_mismatches = 0;
        size_t checkpoint = 0;
        ImaList list;
        padded.padded_sha1 = true;
        assert_ok(ima_list_open(input, 0, &list));
        assert_int_equal(ima_digest_alg(list.digest_size), hash_from_name(vector_string(expected, "log_digest_alg")));
        for (;;) {
                ImaEntry entry;
                bool more;
                Err *err = ima_list_next(&list, &entry, &more);
                if (err_code(err) == ERR_LOG_TRUNCATED && string_equal(expect, "truncated-tail")) {
                        assert_int_equal(list.offset, replay.size);
                        err_free(err);
                        break;
                }
                assert_ok(err);
                if (!more) {
                        assert_string_not_equal(expect, "truncated-tail");
                        break;
                }
                check_entry(listed(expected, entry.number), &entry, has_offsets);
                count_mismatch(expected, &entry, &n_mismatches);
                assert_ok(ima_replay_entry(&replay, &entry));
                assert_ok(ima_replay_entry(&padded, &entry));
                check_checkpoint(&replay, expected, &checkpoint, name);
        }
        check_counts(expected, &replay, n_mismatches, name);
        Json *values = json_get(json_get(expected, "pcr_padded_sha1"), "10");
        if (values)
                check_values(&padded, values, name);
}

static Json *read_expected(const char *directory, const char *name) {
        return vector_json(vector_file("%s/expected/%s.json", directory, name));
}

static void check_list(const char *directory, const char *name) {
        static const char converted[] = ".converted.bin";
        char source[256];
        _cleanup_bytes_ Bytes input = vector_file("%s/%s", directory, name);
        snprintf(source, sizeof(source), "%s", name);
        char *ending = strstr(source, converted);
        if (ending)
                snprintf(ending, sizeof(converted), ".txt");
        _cleanup_json_ Json *expected = read_expected(directory, source);
        if (string_equal(vector_string(expected, "expect"), "reject")) {
                ImaList list;
                ImaEntry entry;
                bool more = true;
                Err *err = ima_list_open(bytes_span(&input), 0, &list);
                while (!err && more)
                        err = ima_list_next(&list, &entry, &more);
                assert_non_null(err);
                err_free(err);
                return;
        }
        check_binary(bytes_span(&input), expected, name, !ending);
}

static void test_ima_replay_entry_vectors_give_expected_values(void **state) {
        char directory[4096];
        snprintf(directory, sizeof(directory), "%s/ima", vectors_or_skip());
        size_t n = vectors_each(directory, ".bin", check_list);
        print_message("%zu binary lists\n", n);
        assert_true(n > 0);
}

/* The text without its first lines, where the vector says that these are not to be accepted. */
static Span without_bad_lines(const Json *expected, Span text) {
        Json *bad = json_get(expected, "unparsed_lines");
        Bytes list;
        for (size_t i = 0; bad && i < json_object_array_length(bad); i++) {
                assert_int_equal(json_object_get_int(json_object_array_get_idx(bad, i)), i + 1);
                Err *err = ima_ascii_to_binary(text, &list);
                assert_non_null(strstr(err_describe(err), "line 1: "));
                assert_err(err, ERR_IMA_MALFORMED);
                const uint8_t *end = memchr(text.data, '\n', text.size);
                assert_non_null(end);
                text = span_make(end + 1, text.size - (size_t) (end + 1 - text.data));
        }
        return text;
}

static void check_ascii(const char *directory, const char *name) {
        _cleanup_bytes_ Bytes text = vector_file("%s/%s", directory, name);
        _cleanup_json_ Json *expected = read_expected(directory, name);
        _cleanup_bytes_ Bytes list = {};
        char converted[256];
        assert_true(ima_ascii_detect(bytes_span(&text)));
        assert_ok(ima_ascii_to_binary(without_bad_lines(expected, bytes_span(&text)), &list));
        check_binary(bytes_span(&list), expected, name, /* has_offsets= */ false);
        snprintf(converted, sizeof(converted), "%.*s.converted.bin", (int) (strlen(name) - strlen(".txt")), name);
        if (vector_exists("%s/%s", directory, converted)) {
                _cleanup_bytes_ Bytes wanted = vector_file("%s/%s", directory, converted);
                assert_false(ima_ascii_detect(bytes_span(&wanted)));
                assert_true(span_equal(bytes_span(&list), bytes_span(&wanted)));
        }
}

static void test_ima_ascii_to_binary_vectors_give_the_binary_list(void **state) {
        char directory[4096];
        snprintf(directory, sizeof(directory), "%s/ima", vectors_or_skip());
        size_t n = vectors_each(directory, ".txt", check_ascii);
        print_message("%zu ASCII lists\n", n);
        assert_true(n > 0);
}

/* The prefix, in memory of just its size, read from the entry that it ends in: that entry is not there or is cut. */
static void check_prefix(Span input, size_t size, size_t digest_size, size_t last_end, uint64_t n_entries) {
        uint8_t *prefix = malloc(size > 0 ? size : 1);
        assert_non_null(prefix);
        memcpy(prefix, input.data, size); /* lint: allocated with this size above */
        ImaList list = ima_list_resume(span_make(prefix, size), last_end, n_entries, digest_size), opened;
        ImaEntry entry;
        bool more;
        Err *err = ima_list_next(&list, &entry, &more);
        if (size == last_end) {
                assert_ok(err);
                assert_false(more);
        } else {
                assert_int_equal(list.offset, last_end);
                assert_err(err, ERR_LOG_TRUNCATED);
        }
        err = ima_list_open(span_make(prefix, size), 0, &opened);
        assert_int_equal(err_code(err), size == 0 ? ERR_LOG_EMPTY : ERR_NONE);
        err_free(err);
        free(prefix);
}

static void test_ima_list_next_every_prefix_ends_or_is_cut(void **state) {
        static const char *const names[] = {
                "guard-dl160.bin", "guard-h12ssl.values.bin", "guard-ludmilla-2.bin", "ibmtss-imatest.bin", "ibmtss-sha1.bin", "ibmtss-sha512.bin",
                "keylime-incode-ima_ast.converted.bin", "keylime-incode-ima_dm.converted.bin", "rustkeylime-ascii_runtime_measurements.converted.bin",
                "tss-sml-ima-sha1.bin",
        };
        const char *directory = vectors_or_skip();
        for (size_t i = 0; i < N_ELEMENTS(names); i++) {
                _cleanup_bytes_ Bytes input = vector_file("%s/ima/%s", directory, names[i]);
                ImaList list;
                ImaEntry entry = {};
                assert_ok(ima_list_open(bytes_span(&input), 0, &list));
                size_t last_end = 0;
                for (size_t size = 0; size < input.size; size += size < PREFIX_EACH_MAX ? 1 : PREFIX_STEP) {
                        bool more = true;
                        while (more && (entry.end <= size || entry.end == 0)) {
                                last_end = entry.end;
                                Err *err = ima_list_next(&list, &entry, &more);
                                if (err) /* the tss list ends in a cut entry */
                                        entry.end = SIZE_MAX;
                                err_free(err);
                        }
                        check_prefix(bytes_span(&input), size, list.digest_size, last_end, 0);
                }
        }
}

typedef struct Quoted {
        Bytes attest_bytes, signature_bytes, list;
        TpmAttest attest;
        TpmSignature signature;
        PcrValues values;
} Quoted;

static void quoted_done(Quoted *quoted) {
        bytes_done(&quoted->attest_bytes);
        bytes_done(&quoted->signature_bytes);
        bytes_done(&quoted->list);
}

/* A real quote of 24 PCRs in two banks, and the IMA list of 16169 entries that was sent with it. */
static Quoted read_quoted(const char *directory) {
        static const char folder[] = "tpm/guard-dl160-fwupd-report";
        Quoted quoted = {
                .attest_bytes = vector_file("%s/%s/attest.bin", directory, folder),
                .signature_bytes = vector_file("%s/%s/signature.bin", directory, folder),
                .list = vector_file("%s/ima/guard-dl160.bin", directory),
        };
        _cleanup_json_ Json *pcrs = vector_json(vector_file("%s/%s/pcrs.json", directory, folder));
        assert_ok(tpm_attest_parse(bytes_span(&quoted.attest_bytes), &quoted.attest));
        assert_ok(tpm_signature_parse(bytes_span(&quoted.signature_bytes), &quoted.signature));
        quoted.values = vector_pcrs(pcrs);
        return quoted;
}

#define DL160_ENTRIES 16169

static Err *match(const Quoted *quoted, Span list, const ImaReplay *start, const PcrValues *read, ImaMatch *ret) {
        return ima_match_prefix(list, start, read, &quoted->attest, quoted->signature.hash_alg, ret);
}

static void assert_whole_match(const Quoted *quoted, const ImaMatch *found) {
        assert_int_equal(found->replay.n_entries, DL160_ENTRIES);
        assert_int_equal(found->replay.size, quoted->list.size);
        assert_pcrs_equal(&found->values, &quoted->values, "matched values");
}

static void test_ima_match_prefix_real_quote_is_found_whatever_was_read(void **state) {
        _cleanup_(quoted_done) Quoted quoted = read_quoted(vectors_or_skip());
        ImaMatch found;
        assert_ok(match(&quoted, bytes_span(&quoted.list), NULL, &quoted.values, &found));
        assert_whole_match(&quoted, &found);
        assert_int_equal(found.n_tried, 1);

        PcrValues read = quoted.values; /* PCR 10 as it was 169 entries before the quote */
        ImaReplay replay = ima_replay_start((uint16_t[]) { HASH_SHA256, HASH_SHA1 }, 2);
        ImaList list;
        assert_ok(ima_list_open(bytes_span(&quoted.list), 0, &list));
        while (replay.n_entries < DL160_ENTRIES - 169) {
                ImaEntry entry;
                bool more;
                assert_ok(ima_list_next(&list, &entry, &more));
                assert_ok(ima_replay_entry(&replay, &entry));
        }
        for (size_t i = 0; i < replay.n_banks; i++)
                pcr_values_bank(&read, replay.values[i].alg)->values[PCR_IMA] = replay.values[i];
        assert_ok(match(&quoted, bytes_span(&quoted.list), NULL, &read, &found));
        assert_whole_match(&quoted, &found);
        assert_int_equal(found.n_tried, 170);

        /* from the state of an earlier round */
        assert_ok(match(&quoted, bytes_span(&quoted.list), &replay, &read, &found));
        assert_whole_match(&quoted, &found);

        /* PCR 10 that was read is in no prefix */
        pcr_values_bank(&read, HASH_SHA256)->values[PCR_IMA] = digest_zero(HASH_SHA256);
        assert_ok(match(&quoted, bytes_span(&quoted.list), NULL, &read, &found));
        assert_whole_match(&quoted, &found);
}

static void test_ima_match_prefix_list_that_grew_is_cut_at_the_quote(void **state) {
        const char *directory = vectors_or_skip();
        _cleanup_(quoted_done) Quoted quoted = read_quoted(directory);
        _cleanup_bytes_ Bytes more = vector_file("%s/ima/guard-h12ssl.binary_measurements.bin", directory);
        _cleanup_bytes_ Bytes grown = {};
        ImaMatch found;
        assert_ok(bytes_alloc(quoted.list.size + more.size, &grown));
        memcpy(grown.data, quoted.list.data, quoted.list.size); /* lint: allocated with both sizes above */
        memcpy(grown.data + quoted.list.size, more.data, more.size); /* lint: the same */
        assert_ok(match(&quoted, bytes_span(&grown), NULL, &quoted.values, &found));
        assert_whole_match(&quoted, &found);
        grown.size -= 3; /* cut in an entry behind the quote */
        assert_ok(match(&quoted, bytes_span(&grown), NULL, &quoted.values, &found));
        assert_whole_match(&quoted, &found);
}

static void test_ima_match_prefix_list_that_does_not_fit_is_named(void **state) {
        const char *directory = vectors_or_skip();
        _cleanup_(quoted_done) Quoted quoted = read_quoted(directory);
        Span list = bytes_span(&quoted.list);
        ImaMatch found = { .n_tried = 99 };
        ImaList opened;
        ImaEntry entry;
        bool more;
        assert_ok(ima_list_open(list, 0, &opened));
        assert_ok(ima_list_next(&opened, &entry, &more));
        assert_ok(ima_list_next(&opened, &entry, &more));
        Span short_list = span_make(list.data, entry.end), trimmed = span_make(list.data + entry.offset, list.size - entry.offset);
        assert_err(match(&quoted, short_list, NULL, &quoted.values, &found), ERR_IMA_MISMATCH);
        assert_err(match(&quoted, span_make(list.data, entry.end + 9), NULL, &quoted.values, &found), ERR_LOG_TRUNCATED);
        assert_err(match(&quoted, trimmed, NULL, &quoted.values, &found), ERR_IMA_TRIMMED);
        assert_err(match(&quoted, (Span) {}, NULL, &quoted.values, &found), ERR_LOG_EMPTY);
        PcrValues lacking = quoted.values;
        lacking.n_banks = 1;
        assert_err(match(&quoted, list, NULL, &lacking, &found), ERR_QUOTE_PCR_MISMATCH);
        assert_int_equal(found.n_tried, 99);
}

/* Kernels before 5.8: the quote is made here from the PCR 10 that an independent program gives for padded SHA-1. */
static void test_ima_match_prefix_padded_sha1_is_found(void **state) {
        const char *directory = vectors_or_skip();
        _cleanup_(quoted_done) Quoted quoted = read_quoted(directory);
        _cleanup_json_ Json *expected = vector_json(vector_file("%s/ima/expected/guard-dl160.bin.json", directory));
        _cleanup_bytes_ Bytes padded = {};
        Digest digest;
        ImaMatch found;
        PcrValues values = quoted.values;
        assert_ok(hex_decode(span_from_string(vector_string(json_get(json_get(expected, "pcr_padded_sha1"), "10"), "sha256")), "a PCR", &padded));
        pcr_values_bank(&values, HASH_SHA256)->values[PCR_IMA] = digest_make(HASH_SHA256, bytes_span(&padded));
        assert_ok(pcr_values_digest(&values, &quoted.attest.selection, HASH_SHA256, &digest));
        quoted.attest.pcr_digest = digest_span(&digest);
        assert_ok(match(&quoted, bytes_span(&quoted.list), NULL, &values, &found));
        assert_true(found.replay.padded_sha1);
        assert_int_equal(found.replay.n_entries, DL160_ENTRIES);
        assert_pcrs_equal(&found.values, &values, "padded values");
        /* a later round goes on from there */
        ImaReplay start = found.replay;
        assert_ok(match(&quoted, bytes_span(&quoted.list), &start, &values, &found));
        assert_int_equal(found.n_tried, 1);
}

static void test_ima_match_prefix_quote_without_pcr10_takes_all(void **state) {
        _cleanup_(quoted_done) Quoted quoted = read_quoted(vectors_or_skip());
        ImaMatch found;
        Digest digest;
        for (size_t i = 0; i < quoted.values.n_banks; i++)
                quoted.values.banks[i].mask &= ~(UINT32_C(1) << PCR_IMA);
        quoted.attest.selection = pcr_values_selection(&quoted.values);
        assert_err(match(&quoted, bytes_span(&quoted.list), NULL, &quoted.values, &found), ERR_QUOTE_PCR_MISMATCH);
        assert_ok(pcr_values_digest(&quoted.values, &quoted.attest.selection, HASH_SHA256, &digest));
        quoted.attest.pcr_digest = digest_span(&digest);
        assert_ok(match(&quoted, bytes_span(&quoted.list), NULL, &quoted.values, &found));
        assert_int_equal(found.replay.n_entries, DL160_ENTRIES);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_ima_replay_entry_vectors_give_expected_values),
                cmocka_unit_test(test_ima_ascii_to_binary_vectors_give_the_binary_list),
                cmocka_unit_test(test_ima_list_next_every_prefix_ends_or_is_cut),
                cmocka_unit_test(test_ima_match_prefix_real_quote_is_found_whatever_was_read),
                cmocka_unit_test(test_ima_match_prefix_list_that_grew_is_cut_at_the_quote),
                cmocka_unit_test(test_ima_match_prefix_list_that_does_not_fit_is_named),
                cmocka_unit_test(test_ima_match_prefix_padded_sha1_is_found),
                cmocka_unit_test(test_ima_match_prefix_quote_without_pcr10_takes_all),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
