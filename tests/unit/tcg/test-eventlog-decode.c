/* Decoding of event data: hostile text, device paths, what does not parse, digests. Expected texts are written out after the UEFI specification; the
 * digests are those of sha256sum. */
#include "tcg/device-path.h"
#include "tcg/eventlog-decode.h"
#include "tcg/eventlog-digest.h"
#include "tests/support/unit.h"

static void test_eventlog_decode_hostile_text_is_printable(void **state) {
        static const struct { uint32_t type; const char *data; size_t size; const char *text; bool problem; } cases[] = {
                { 5, "\x1b[2Jx", 5, "", false },
                { 0x80000007, "Calling EFI Application", 23, "Calling EFI Application", false },
                { 8, "v\0" "1\0\0\0", 6, "v1", false },
                { 4, "\0\0\0\0", 4, "0x00000000", false },
                { 4, "", 0, "", false },
                { 0x80000008, "\0\0\1\0\0\0\0\0\x10\0\0\0\0\0\0\0", 16, "16 bytes at 0x10000", false },
                { 0x80000001, "0123456789abcdef\2\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0x\0b\0x", 37, "xb, 1 bytes", false },
                { 0x80000001, "0123456789abcdef\2\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\x1b\0\x2e\x20x", 37, "??, 1 bytes", false },
                { 0x80000001, "0123456789abcdef\xff\xff\xff\xff\xff\xff\xff\xff\1\0\0\0\0\0\0\0d\0b\0x", 37, "", true },
                { 0x80000001, "0123456789abcdef\0\0\0\0\0\0\0\x80\1\0\0\0\0\0\0\0d\0b\0x", 37, "", true },
                { 0x8000000a, "\3Bio\0\0\1\0\0\0\0\0\x10\0\0\0\0\0\0\0", 20, "Bio, 16 bytes at 0x10000", false },
                { 0x8000000a, "\xff", 1, "", true },
                { 3, "StartupLocality\0\3", 17, "StartupLocality: 3", false },
                { 6, "\xec\x22\x3b\x8f\x0d\0\0\0Linux initrd\0", 21, "Linux initrd", false },
                { 6, "\xec\x22\x3b\x8f\xff\0\0\0Linux initrd\0", 21, "", true },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_eventlog_decoded_ EventLogDecoded decoded = {};
                EventLogEvent event = { .type = cases[i].type, .data = span_make(cases[i].data, cases[i].size) };
                assert_ok(eventlog_decode(&event, &decoded));
                assert_string_equal(decoded.summary, cases[i].text);
                assert_int_equal(json_get(decoded.json, "problem") != NULL, cases[i].problem);
        }
}

static void test_device_path_to_string_known_nodes_have_their_text(void **state) {
        static const struct { const char *hex, *text; } cases[] = {
                /* real paths of the event logs, read with §10.3 and §10.6.1.6 of UEFI 2.10 */
                { "02010c00d041030a0000000001010600001703120a000200ffff000004012a000100000000080000000000000000100000000000c07951ab75f9374082d8e07411058feb0202"
                  "040412005c004500460049005c0041000000" "7fff0400",
                  "PciRoot(0x0)/Pci(0x17,0x0)/Sata(0x2,0xffff,0x0)/HD(1,GPT,ab5179c0-f975-4037-82d8-e07411058feb,0x800,0x100000)/\\EFI\\A" },
                { "0407140067d581a8b06cee4e84352e72d33e45b50406140026ca1a82ea299349839f597fc021708d7fff0400",
                  "Fv(a881d567-6cb0-4eee-8435-2e72d33e45b5)/FvFile(821aca26-29ea-4993-839f-597fc021708d)" },
                { "02010c00d041030a000000000101060000060101060000000317100001000000002538b311b339337fff0400",
                  "PciRoot(0x0)/Pci(0x6,0x0)/Pci(0x0,0x0)/NVMe(0x1,33-39-b3-11-b3-38-25-00)" },
                { "02010c00d041030a01000000010106000103010106000000030b25006805cad97bb6000000000000000000000000000000000000000000000000000001030c1b00"
                  "00000000000000000000000000000000000000000000007fff0400",
                  "PciRoot(0x1)/Pci(0x3,0x1)/Pci(0x0,0x0)/MAC(6805cad97bb6,0x1)/IPv4(0.0.0.0,0x0,DHCP,0.0.0.0,0.0.0.0,0.0.0.0)" },
                { "030506000102" "7fff0400", "USB(0x1,0x2)" },
                { "03180b00687474703a2f2f" "7fff0400", "Uri(http://)" },
                { "04012a00010000000100000000000000020000000000000078563412000000000000000000000000" "0101" "7fff0400", "HD(1,MBR,0x12345678,0x1,0x2)" },
                { "0101060001027f0104000101060003047fff0400", "Pci(0x2,0x1),Pci(0x4,0x3)" },
                { "036305000a7fff0400", "Msg(99,0a)" },
                { "010105000a7fff0400", "HardwarePath(1,0a)" }, /* a Pci node that is too short */
                { "7fff0400", "" },
                { "", "" },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_bytes_ Bytes path = {};
                _cleanup_free_ char *text = NULL;
                assert_ok(hex_decode(span_from_string(cases[i].hex), "path", &path));
                assert_ok(device_path_to_string(bytes_span(&path), &text));
                assert_string_equal(text, cases[i].text);
        }
}

static void test_device_path_to_string_impossible_size_is_refused(void **state) {
        static const char *const cases[] = { "01010300", "01010000", "0101", "0101ffff0102" };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_bytes_ Bytes path = {};
                char *text = NULL;
                assert_ok(hex_decode(span_from_string(cases[i]), "path", &path));
                assert_err(device_path_to_string(bytes_span(&path), &text), ERR_EVENTLOG_MALFORMED);
                assert_null(text);
        }
}

/* SHA-256 of "abc": FIPS 180-2 appendix B.1. Of u32 1: printf '\1\0\0\0' | sha256sum. */
#define SHA256_ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define SHA256_ONE "67abdd721024f0ff4e0b3f4c2fc13bc5bad42d0b7851d456d88d203d15aaa450"

static void test_eventlog_digest_check_verdict_follows_the_type(void **state) {
        static const struct { uint32_t type; const char *data; size_t size; const char *digest; EventLogDigestCheck check; } cases[] = {
                { 0x80000007, "abc", 3, SHA256_ABC, EVENTLOG_DIGEST_OK },
                { 0x80000007, "abc", 4, SHA256_ABC, EVENTLOG_DIGEST_OK },
                { 0x80000007, "abd", 3, SHA256_ABC, EVENTLOG_DIGEST_DIFFERS },
                { 0xd, "grub_cmd: abc", 14, SHA256_ABC, EVENTLOG_DIGEST_OK },
                { 0xd, "grub_cmd: abd", 14, SHA256_ABC, EVENTLOG_DIGEST_DIFFERS },
                { 0xd, "MokList", 8, SHA256_ABC, EVENTLOG_DIGEST_NOT_CHECKABLE },
                { 4, "\0\0\0\0", 4, SHA256_ONE, EVENTLOG_DIGEST_OK },
                { 4, "\0\0\0\0", 4, SHA256_ABC, EVENTLOG_DIGEST_DIFFERS },
                { 6, "\1\0\0\0\3\0\0\0abc", 11, SHA256_ABC, EVENTLOG_DIGEST_OK },
                { 0x80000008, "abc", 3, SHA256_ABC, EVENTLOG_DIGEST_NOT_CHECKABLE },
                { 0x80000002, "0123456789abcdef\1\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0x\0abc", 37, SHA256_ABC, EVENTLOG_DIGEST_OK },
                { 0x80000001, "0123456789abcdef\1\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0x\0abc", 37, SHA256_ABC, EVENTLOG_DIGEST_DIFFERS },
        };
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_bytes_ Bytes digest = {};
                EventLogDigestCheck check;
                assert_ok(hex_decode(span_from_string(cases[i].digest), "digest", &digest));
                EventLogEvent event = { .type = cases[i].type, .data = span_make(cases[i].data, cases[i].size), .n_digests = 1 };
                event.digests[0] = digest_make(HASH_SHA256, bytes_span(&digest));
                assert_ok(eventlog_digest_check(&event, &check));
                assert_int_equal(check, cases[i].check);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_eventlog_decode_hostile_text_is_printable),
                cmocka_unit_test(test_device_path_to_string_known_nodes_have_their_text),
                cmocka_unit_test(test_device_path_to_string_impossible_size_is_refused),
                cmocka_unit_test(test_eventlog_digest_check_verdict_follows_the_type),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
