/* Text form of UEFI device paths (UEFI 2.10 §10.6.1.6): "PciRoot(0x0)/Pci(0x17,0x0)/Sata(0x2,0xffff,0x0)/HD(1,GPT,…)/\EFI\BOOT\BOOTX64.EFI". */
#pragma once

#include "base/bytes.h"

/* A node of an unknown type or an unusual size gives its generic form, as "Msg(10,0102…)". The path ends at its End node or with the input.
 * Error: EVENTLOG_MALFORMED with the offset of a node whose size is impossible. */
Err *device_path_to_string(Span path, char **ret) _must_check_;
