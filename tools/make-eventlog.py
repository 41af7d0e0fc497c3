#!/usr/bin/env python3
"""Writes the measurement logs of a small invented machine, and what its TPM must be extended with to agree with them.

The firmware log is a crypto-agile one (TCG PC Client Platform Firmware Profile 1.06 §10) of a UEFI machine that boots shim, grub and a Linux
kernel; the IMA list is one of the template ima-ng, as the kernel writes it since 5.8 (each bank is extended with its own hash of the template
data), and begins with the boot aggregate over PCRs 0 to 9. The same options always give the same bytes.

The file of --extends has one line for each extend, in order, in the form that tpm2_pcrextend takes: PCR:BANK=HEX,BANK=HEX
"""
import argparse
import hashlib
import json
import struct
import uuid

BANKS = {"sha1": (0x0004, 20), "sha256": (0x000B, 32), "sha384": (0x000C, 48), "sha512": (0x000D, 64)}

EV_NO_ACTION, EV_SEPARATOR, EV_S_CRTM_VERSION, EV_IPL = 0x03, 0x04, 0x08, 0x0D
EV_EFI_VARIABLE_DRIVER_CONFIG, EV_EFI_VARIABLE_BOOT, EV_EFI_BOOT_SERVICES_APPLICATION = 0x80000001, 0x80000002, 0x80000003
EV_EFI_GPT_EVENT, EV_EFI_ACTION, EV_EFI_PLATFORM_FIRMWARE_BLOB = 0x80000006, 0x80000007, 0x80000008
EV_EFI_VARIABLE_AUTHORITY = 0x800000E0

EFI_GLOBAL_VARIABLE = uuid.UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c")
EFI_IMAGE_SECURITY_DATABASE = uuid.UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f")
EFI_CERT_SHA256 = uuid.UUID("c1c41626-504c-4092-aca9-41f936934328")
SHIM_LOCK = uuid.UUID("605dab50-e046-4300-abb6-3dd810dd8b23")
OWNER = uuid.UUID("77fa9abd-0359-4d32-bd60-28f4e78f784b")
KERNEL = "/boot/vmlinuz-6.1.0-demo"
COMMAND_LINE = "root=LABEL=system ro ima_policy=tcb quiet"


def filler(name, size):
    """Bytes that stand for a file that does not exist; the same for the same name."""
    return hashlib.shake_256(name.encode()).digest(size)


class Measurements:
    """PCR values of every bank, and the extends that led there."""

    def __init__(self, banks):
        self.banks = banks
        self.pcrs = {bank: [(b"\xff" if 17 <= i <= 22 else b"\0") * BANKS[bank][1] for i in range(24)] for bank in banks}
        self.extends = []

    def extend(self, pcr, digests):
        for bank in self.banks:
            self.pcrs[bank][pcr] = hashlib.new(bank, self.pcrs[bank][pcr] + digests[bank]).digest()
        self.extends.append(f"{pcr}:" + ",".join(f"{bank}={digests[bank].hex()}" for bank in self.banks))

    def hash(self, data):
        return {bank: hashlib.new(bank, data).digest() for bank in self.banks}


class BootLog:
    """PFP 1.06 §10.2.2 TCG_PCR_EVENT2 records behind one record of §10.2.1 that names the banks."""

    def __init__(self, measurements):
        self.measurements = measurements
        self.data = bytearray()
        self._spec_id_event()

    def _spec_id_event(self):
        banks = b"".join(struct.pack("<HH", *BANKS[bank]) for bank in self.measurements.banks)
        event = b"Spec ID Event03\0" + struct.pack("<IBBBBI", 0, 0, 2, 105, 2, len(self.measurements.banks)) + banks + b"\0"
        self.data += struct.pack("<II20sI", 0, EV_NO_ACTION, bytes(20), len(event)) + event

    def _record(self, pcr, kind, digests, event):
        self.data += struct.pack("<III", pcr, kind, len(self.measurements.banks))
        for bank in self.measurements.banks:
            self.data += struct.pack("<H", BANKS[bank][0]) + digests[bank]
        self.data += struct.pack("<I", len(event)) + event

    def note(self, event):
        """A record that extends nothing; its digests are zeros."""
        self._record(0, EV_NO_ACTION, {bank: bytes(BANKS[bank][1]) for bank in self.measurements.banks}, event)

    def measure(self, pcr, kind, event, measured=None):
        """measured: what is hashed, where that is not the event itself."""
        digests = self.measurements.hash(event if measured is None else measured)
        self._record(pcr, kind, digests, event)
        self.measurements.extend(pcr, digests)

    def variable(self, pcr, kind, guid, name, value):
        """UEFI_VARIABLE_DATA, PFP 1.06 §10.4.2."""
        text = name.encode("utf-16-le")
        self.measure(pcr, kind, guid.bytes_le + struct.pack("<QQ", len(name), len(value)) + text + value)


def signature_list(*hashes):
    """EFI_SIGNATURE_LIST of SHA-256 hashes, UEFI 2.10 §32.4.1."""
    body = b"".join(OWNER.bytes_le + value for value in hashes)
    return EFI_CERT_SHA256.bytes_le + struct.pack("<III", 28 + len(body), 0, 48) + body


def file_path(path):
    """A media device path to a file and its end, UEFI 2.10 §10.3."""
    text = (path + "\0").encode("utf-16-le")
    return struct.pack("<BBH", 4, 4, 4 + len(text)) + text + struct.pack("<BBH", 0x7F, 0xFF, 4)


def image(path):
    """UEFI_IMAGE_LOAD_EVENT, PFP 1.06 §10.2.3."""
    where = file_path(path)
    return struct.pack("<QQQQ", 0x7D000000, 0x000E8000, 0, len(where)) + where


def gpt():
    """UEFI_GPT_DATA, PFP 1.06 §10.4.3: the header and the used entries."""
    entry = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b").bytes_le + filler("partition", 16) + struct.pack("<QQQ", 2048, 1050623, 0)
    entry += "EFI System".encode("utf-16-le").ljust(72, b"\0")
    header = b"EFI PART" + struct.pack("<IIIIQQQQ", 0x10000, 92, 0, 0, 1, 33554431, 34, 33554398) + filler("disk", 16)
    return header + struct.pack("<QIII", 2, 128, 128, 0) + struct.pack("<Q", 1) + entry


def firmware_stage(log, secure_boot):
    log.note(b"StartupLocality\0\0")
    log.measure(0, EV_S_CRTM_VERSION, "1.0 demo\0".encode("utf-16-le"))
    log.measure(0, EV_EFI_PLATFORM_FIRMWARE_BLOB, struct.pack("<QQ", 0x820000, 0xE0000), filler("PEI firmware", 4096))
    log.measure(0, EV_EFI_PLATFORM_FIRMWARE_BLOB, struct.pack("<QQ", 0x900000, 0x1000000), filler("DXE firmware", 4096))
    config = EV_EFI_VARIABLE_DRIVER_CONFIG
    log.variable(7, config, EFI_GLOBAL_VARIABLE, "SecureBoot", b"\1" if secure_boot else b"\0")
    log.variable(7, config, EFI_GLOBAL_VARIABLE, "PK", signature_list(filler("PK", 32)) if secure_boot else b"")
    log.variable(7, config, EFI_GLOBAL_VARIABLE, "KEK", signature_list(filler("KEK", 32)) if secure_boot else b"")
    log.variable(7, config, EFI_IMAGE_SECURITY_DATABASE, "db", signature_list(filler("db", 32)) if secure_boot else b"")
    log.variable(7, config, EFI_IMAGE_SECURITY_DATABASE, "dbx", signature_list(filler("dbx 1", 32), filler("dbx 2", 32)))
    log.measure(7, EV_SEPARATOR, bytes(4))
    log.variable(1, EV_EFI_VARIABLE_BOOT, EFI_GLOBAL_VARIABLE, "BootOrder", struct.pack("<HH", 1, 0))
    log.variable(1, EV_EFI_VARIABLE_BOOT, EFI_GLOBAL_VARIABLE, "Boot0001",
                 struct.pack("<IH", 1, 0) + "debian\0".encode("utf-16-le") + file_path("\\EFI\\debian\\shimx64.efi"))
    log.measure(4, EV_EFI_ACTION, b"Calling EFI Application from Boot Option")
    for pcr in range(7):
        log.measure(pcr, EV_SEPARATOR, bytes(4))


def loader_stage(log, secure_boot):
    log.measure(5, EV_EFI_GPT_EVENT, gpt())
    if secure_boot:
        log.variable(7, EV_EFI_VARIABLE_AUTHORITY, EFI_IMAGE_SECURITY_DATABASE, "db", OWNER.bytes_le + filler("db", 32))
    log.measure(4, EV_EFI_BOOT_SERVICES_APPLICATION, image("\\EFI\\debian\\shimx64.efi"), filler("shim", 4096))
    log.measure(14, EV_IPL, b"MokList\0", filler("MokList", 64))
    log.variable(7, EV_EFI_VARIABLE_AUTHORITY, SHIM_LOCK, "SbatLevel", b"sbat,1,2023012900\n")
    log.measure(4, EV_EFI_BOOT_SERVICES_APPLICATION, image("\\EFI\\debian\\grubx64.efi"), filler("grub", 4096))
    for command in ("set root=(hd0,gpt2)", f"linux {KERNEL} {COMMAND_LINE}", "initrd /boot/initrd.img-6.1.0-demo", "boot"):
        log.measure(8, EV_IPL, f"grub_cmd: {command}\0".encode(), command.encode())
    log.measure(4, EV_EFI_BOOT_SERVICES_APPLICATION, image(KERNEL), filler("kernel as an image", 4096))
    log.measure(8, EV_IPL, f"kernel_cmdline: {KERNEL} {COMMAND_LINE}\0".encode(), f"{KERNEL} {COMMAND_LINE}".encode())
    for path in ("/boot/grub/grub.cfg", KERNEL, "/boot/initrd.img-6.1.0-demo"):
        log.measure(9, EV_IPL, path.encode() + b"\0", filler(path, 4096))
    log.measure(5, EV_EFI_ACTION, b"Exit Boot Services Invocation")
    log.measure(5, EV_EFI_ACTION, b"Exit Boot Services Returned with Success")


def ima_entry(measurements, digest, path):
    """ima-ng: u32 PCR, SHA-1 of the template data, name, data; numbers little endian (security/integrity/ima/ima_fs.c)."""
    algorithm, name = b"sha256:\0" + digest, path.encode() + b"\0"
    data = struct.pack("<I", len(algorithm)) + algorithm + struct.pack("<I", len(name)) + name
    measurements.extend(10, measurements.hash(data))
    return struct.pack("<I20sI", 10, hashlib.sha1(data).digest(), 6) + b"ima-ng" + struct.pack("<I", len(data)) + data


def ima_list(measurements, entries):
    bank = "sha256" if "sha256" in measurements.banks else measurements.banks[0]
    aggregate = hashlib.sha256(b"".join(measurements.pcrs[bank][:10])).digest()
    out = bytearray(ima_entry(measurements, aggregate, "boot_aggregate"))
    for i in range(entries):
        path = ("/usr/lib/systemd/systemd", "/usr/bin/kmod", "/etc/ld.so.cache")[i] if i < 3 else f"/usr/bin/program-{i}"
        out += ima_entry(measurements, filler(path, 32), path)
    return bytes(out)


def take(data, offset, form):
    values = struct.unpack_from("<" + form, data, offset)
    return (*values, offset + struct.calcsize("<" + form))


def replay_boot_log(measurements, data):
    """A recorded log: PFP 1.06 §10.2, crypto-agile alone."""
    names = {number: bank for bank, (number, _) in BANKS.items()}
    size, offset = take(data, 28, "I")
    offset += size
    while offset < len(data):
        pcr, kind, n, offset = take(data, offset, "III")
        digests = {}
        for _ in range(n):
            number, offset = take(data, offset, "H")
            bank = names[number]
            digests[bank] = data[offset:offset + BANKS[bank][1]]
            offset += BANKS[bank][1]
        size, offset = take(data, offset, "I")
        offset += size
        if kind != EV_NO_ACTION:
            measurements.extend(pcr, digests)


def replay_ima_list(measurements, data):
    """A recorded list of Linux 5.8 or newer, with SHA-1 for template digest and no violations."""
    offset = 0
    while offset < len(data):
        pcr, _, size, offset = take(data, offset, "I20sI")
        size, offset = take(data, offset + size, "I")
        measurements.extend(pcr, measurements.hash(data[offset:offset + size]))
        offset += size


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boot-log", metavar="FILE", required=True, help="write the firmware log there")
    parser.add_argument("--ima-log", metavar="FILE", required=True, help="write the IMA list there")
    parser.add_argument("--extends", metavar="FILE", required=True, help="write the extends there")
    parser.add_argument("--banks", default="sha1,sha256", help="default: %(default)s")
    parser.add_argument("--secure-boot", choices=("on", "off"), default="on")
    parser.add_argument("--ima-entries", type=int, default=20, metavar="N", help="entries behind boot_aggregate (default: %(default)s)")
    parser.add_argument("--machine", metavar="DIR", help="no invented machine: that of boot.log and ima.log in DIR, which are copied")
    arguments = parser.parse_args()
    arguments.banks = arguments.banks.split(",")
    for bank in arguments.banks:
        if bank not in BANKS:
            parser.error(f"unknown bank {bank}; known are {', '.join(BANKS)}")
    return arguments


def main():
    arguments = parse_arguments()
    measurements = Measurements(arguments.banks)
    if arguments.machine:
        boot, ima = (open(f"{arguments.machine}/{name}", "rb").read() for name in ("boot.log", "ima.log"))
        replay_boot_log(measurements, boot)
        replay_ima_list(measurements, ima)
    else:
        log = BootLog(measurements)
        firmware_stage(log, arguments.secure_boot == "on")
        loader_stage(log, arguments.secure_boot == "on")
        boot, ima = log.data, ima_list(measurements, arguments.ima_entries)
    with open(arguments.boot_log, "wb") as file:
        file.write(boot)
    with open(arguments.ima_log, "wb") as file:
        file.write(ima)
    with open(arguments.extends, "w") as file:
        file.write("\n".join(measurements.extends) + "\n")
    print(json.dumps({bank: {str(i): value.hex() for i, value in enumerate(values)} for bank, values in measurements.pcrs.items()}))


main()
