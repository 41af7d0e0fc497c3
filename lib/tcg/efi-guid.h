/* GUIDs as firmware stores them (UEFI 2.10 appendix A): u32, u16, u16 little endian, then 8 bytes as they are. */
#pragma once

#include "base/reader.h"

#define EFI_GUID_SIZE 16

typedef struct EfiGuid {
        char text[37];          /* "8be4df61-93ca-11d2-aa0d-00e098032b8c" */
        const char *name;       /* static; NULL if it is not well known */
} EfiGuid;

/* All zeros if the reader has failed. */
EfiGuid efi_guid_read(Reader *reader, const char *field);
static inline const char *efi_guid_label(const EfiGuid *guid) {
        return guid->name ? guid->name : guid->text;
}
