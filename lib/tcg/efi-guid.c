/* See efi-guid.h. Names: UEFI 2.10 §3.3, §4.6, §32.4, the Discoverable Partitions Specification, shim, the Boot Loader Interface. */
#include "tcg/efi-guid.h"

#include <stdio.h>

static const struct { char text[37]; const char *name; } names[] = {
        { "8be4df61-93ca-11d2-aa0d-00e098032b8c", "EFI_GLOBAL_VARIABLE" },
        { "d719b2cb-3d3a-4596-a3bc-dad00e67656f", "EFI_IMAGE_SECURITY_DATABASE" },
        { "605dab50-e046-4300-abb6-3dd810dd8b23", "SHIM_LOCK" },
        { "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f", "LOADER" },
        { "77fa9abd-0359-4d32-bd60-28f4e78f784b", "Microsoft" },
        { "a5c059a1-94e4-4aa7-87b5-ab155c2bf072", "X.509" },
        { "c1c41626-504c-4092-aca9-41f936934328", "SHA-256" },
        { "826ca512-cf10-4ac9-b187-be01496631bd", "SHA-1" },
        { "0b6e5233-a65c-44c9-9407-d9ab83bfc8bd", "SHA-224" },
        { "ff3e5307-9fd0-48c9-85f1-8ad56c701e01", "SHA-384" },
        { "093e0fae-a6c4-4f50-9f1b-d41e2b89c19a", "SHA-512" },
        { "3c5766e8-269c-4e34-aa14-ed776e85b3b6", "RSA-2048" },
        { "e2b36190-879b-4a3d-ad8d-f2e7bba32784", "RSA-2048 with SHA-256" },
        { "67f8444f-8743-48f1-a328-1eaab8736080", "RSA-2048 with SHA-1" },
        { "3bd2a492-96c0-4079-b420-fcf98ef103ed", "X.509 SHA-256" },
        { "7076876e-80c2-4ee6-aad2-28b349a6865b", "X.509 SHA-384" },
        { "446dbf63-2502-4cda-bcfa-2465d2b0fe9d", "X.509 SHA-512" },
        { "4aafd29d-68df-49ee-8aa9-347d375665a7", "PKCS #7" },
        { "c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "EFI System" },
        { "21686148-6449-6e6f-744e-656564454649", "BIOS boot" },
        { "bc13c2ff-59e6-4262-a352-b275fd6f7172", "Linux extended boot" },
        { "0fc63daf-8483-4772-8e79-3d69d8477de4", "Linux filesystem" },
        { "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f", "Linux swap" },
        { "e6d6d379-f507-44c2-a23c-238f2a3df928", "Linux LVM" },
        { "a19d880f-05fc-4d3b-a006-743f0f84911e", "Linux RAID" },
        { "ca7d7ccb-63ed-4c53-861c-1742536059cc", "LUKS" },
        { "8da63339-0007-60c0-c436-083ac8230908", "Linux reserved" },
        { "933ac7e1-2eb4-4f13-b844-0e14e2aef915", "Linux home" },
        { "3b8f8425-20e0-4f3b-907f-1a25a76f98e8", "Linux server data" },
        { "4f68bce3-e8cd-4db1-96e7-fbcaf984b709", "Linux root x86-64" },
        { "b921b045-1df0-41c3-af44-4c6f280d3fae", "Linux root ARM64" },
        { "2c7357ed-ebd2-46d9-aec1-23d437ec2bf5", "Linux root verity x86-64" },
        { "8484680c-9521-48c6-9c11-b0720656f69e", "Linux usr x86-64" },
        { "77ff5f63-e7b6-4633-acf4-1565b864c0e6", "Linux usr verity x86-64" },
        { "e3c9e316-0b5c-4db8-817d-f92df00215ae", "Microsoft reserved" },
        { "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7", "Microsoft basic data" },
        { "de94bba4-06d1-4d40-a16a-bfd50179d6ac", "Windows recovery" },
        { "fe3a2a5d-4f32-41e7-b725-accc3285a309", "ChromeOS kernel" },
        { "3cb8e202-3b7e-47dd-8a3c-7ff2a13cfcec", "ChromeOS root" },
        { "2e0a753d-9e48-43b0-8337-b15192cb1b5e", "ChromeOS reserved" },
        { "eb9d2d30-2d88-11d3-9a16-0090273fc14d", "ACPI 1.0 tables" },
        { "8868e871-e4f1-11d3-bc22-0080c73c8881", "ACPI 2.0 tables" },
        { "eb9d2d31-2d88-11d3-9a16-0090273fc14d", "SMBIOS tables" },
        { "f2fd1544-9794-4a2c-992e-e5bbcf20e394", "SMBIOS 3 tables" },
};

EfiGuid efi_guid_read(Reader *reader, const char *field) {
        EfiGuid guid = {};
        uint8_t tail[8];
        uint32_t a = reader_u32le(reader, field);
        uint16_t b = reader_u16le(reader, field), c = reader_u16le(reader, field);
        for (size_t i = 0; i < sizeof(tail); i++)
                tail[i] = reader_u8(reader, field);
        snprintf(guid.text, sizeof(guid.text), "%08x-%04x-%04x-%02x%02x-%02x%02x%02x%02x%02x%02x", a, b, c, tail[0], tail[1], tail[2], tail[3],
                 tail[4], tail[5], tail[6], tail[7]);
        for (size_t i = 0; i < N_ELEMENTS(names); i++)
                if (strcmp(names[i].text, guid.text) == 0)
                        guid.name = names[i].name;
        return guid;
}
