/* AES-256-GCM: test cases 13 to 16 of "The Galois/Counter Mode of Operation (GCM)" (McGrew, Viega), appendix B. */
#include "tests/support/unit.h"

#include "jose/aes-gcm.h"

#define PLAINTEXT                                                                                                                          \
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
#define CIPHERTEXT                                                                                                                         \
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
#define KEY "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"
#define IV "cafebabefacedbaddecaf888"

static const struct { const char *key, *iv, *aad, *plaintext, *ciphertext, *tag; } cases[] = {
        { "0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "", "", "", "530f8afbc74536b9a963b4f1c4cb738b" },
        { "0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "", "00000000000000000000000000000000",
          "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919" },
        { KEY, IV, "", PLAINTEXT "1aafd255", CIPHERTEXT "898015ad", "b094dac5d93471bdec1a502270e3cc6c" },
        { KEY, IV, "feedfacedeadbeeffeedfacedeadbeefabaddad2", PLAINTEXT, CIPHERTEXT, "76fc6ece0f4e1768cddf8853bb2d551b" },
};

typedef struct Parts {
        Bytes key, iv, aad, plaintext, ciphertext, tag;
} Parts;

static void parts_done(Parts *parts) {
        bytes_done(&parts->key);
        bytes_done(&parts->iv);
        bytes_done(&parts->aad);
        bytes_done(&parts->plaintext);
        bytes_done(&parts->ciphertext);
        bytes_done(&parts->tag);
}

static void parts_read(size_t i, Parts *ret) {
        assert_ok(hex_decode(span_from_string(cases[i].key), "key", &ret->key));
        assert_ok(hex_decode(span_from_string(cases[i].iv), "iv", &ret->iv));
        assert_ok(hex_decode(span_from_string(cases[i].aad), "aad", &ret->aad));
        assert_ok(hex_decode(span_from_string(cases[i].plaintext), "plaintext", &ret->plaintext));
        assert_ok(hex_decode(span_from_string(cases[i].ciphertext), "ciphertext", &ret->ciphertext));
        assert_ok(hex_decode(span_from_string(cases[i].tag), "tag", &ret->tag));
}

static Err *open_parts(const Parts *p, Bytes *ret) {
        return aes256_gcm_open(bytes_span(&p->key), bytes_span(&p->iv), bytes_span(&p->aad), bytes_span(&p->ciphertext), bytes_span(&p->tag), ret);
}

static void test_aes256_gcm_published_cases_seal_and_open(void **state) {
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_(parts_done) Parts parts = {};
                _cleanup_bytes_ Bytes sealed = {}, opened = {};
                uint8_t tag[AES_GCM_TAG_SIZE];
                parts_read(i, &parts);
                assert_ok(aes256_gcm_seal(bytes_span(&parts.key), bytes_span(&parts.iv), bytes_span(&parts.aad), bytes_span(&parts.plaintext), &sealed, tag));
                assert_true(span_equal(bytes_span(&sealed), bytes_span(&parts.ciphertext)));
                assert_true(span_equal(SPAN_OF(tag), bytes_span(&parts.tag)));
                assert_ok(open_parts(&parts, &opened));
                assert_true(span_equal(bytes_span(&opened), bytes_span(&parts.plaintext)));
        }
}

static void test_aes256_gcm_open_one_wrong_bit_anywhere_is_refused(void **state) {
        _cleanup_(parts_done) Parts parts = {};
        parts_read(3, &parts);
        Bytes *const pieces[] = { &parts.key, &parts.iv, &parts.aad, &parts.ciphertext, &parts.tag };
        for (size_t i = 0; i < N_ELEMENTS(pieces); i++)
                for (size_t bit = 0; bit < pieces[i]->size * 8; bit++) {
                        _cleanup_bytes_ Bytes opened = {};
                        pieces[i]->data[bit / 8] ^= (uint8_t) (1 << bit % 8);
                        assert_err(open_parts(&parts, &opened), ERR_SERVICE_ANSWER_INVALID);
                        assert_null(opened.data);
                        pieces[i]->data[bit / 8] ^= (uint8_t) (1 << bit % 8);
                }
}

static void test_aes256_gcm_other_sizes_are_refused(void **state) {
        _cleanup_(parts_done) Parts parts = {};
        parts_read(3, &parts);
        Bytes *const pieces[] = { &parts.key, &parts.iv, &parts.tag };
        for (size_t i = 0; i < N_ELEMENTS(pieces); i++) {
                _cleanup_bytes_ Bytes opened = {};
                pieces[i]->size--;
                assert_err(open_parts(&parts, &opened), ERR_INVALID_ARGUMENT);
                pieces[i]->size++;
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_aes256_gcm_published_cases_seal_and_open),
                cmocka_unit_test(test_aes256_gcm_open_one_wrong_bit_anywhere_is_refused),
                cmocka_unit_test(test_aes256_gcm_other_sizes_are_refused),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
