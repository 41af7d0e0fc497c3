#!/usr/bin/env python3
"""Each state of each log, as people see it: on D-Bus and in `attestctl status`, with a reason, while the daemon runs and the TPM is a real swtpm.

The logs are those of the testbed's invented machine; the tests put others in their place. The last ones extend PCRs, and nothing undoes that.
"""
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from bed import *

PROFILE = ("org.attestd1", "/org/attestd1/profile/default", "org.attestd1.Profile")


def bus_property(name):
    out = subprocess.run(["busctl", "--address=" + os.environ["DBUS_SYSTEM_BUS_ADDRESS"], "--json=short", "get-property", *PROFILE, name],
                         check=True, capture_output=True, text=True, timeout=30).stdout
    return json.loads(out)["data"]


def attest():
    """One attempt, whatever the instance says to it; the findings are the collector's."""
    attestctl("attest", "--json", "--timeout", "0", "--nonce", os.urandom(16).hex())
    return status()["profiles"]["default"]


def seen(log):
    """(state, reason) of BootLog or ImaLog: the same everywhere."""
    shown = attest()
    state, reason = shown[log + "State"], shown[log + "Reason"]
    assert (bus_property(log + "State"), bus_property(log + "Reason")) == (state, reason)
    text = attestctl("status", check=0)[1]
    label = "boot log" if log == "BootLog" else "IMA list"
    line = next(line for line in text.splitlines() if line.strip().startswith(label))
    assert state in line and reason in line, line
    return state, reason


def log_path(log):
    return os.path.join(os.environ["TESTBED_DIR"], "boot.log" if log == "BootLog" else "ima.log")


def read(path):
    with open(path, "rb") as stream:
        return stream.read()


@contextlib.contextmanager
def instead(log, content):
    """Puts bytes, nothing (None) or a folder ("folder") in the place of a log."""
    path, kept = log_path(log), log_path(log) + ".kept"
    os.rename(path, kept)
    try:
        if content == "folder":
            os.mkdir(path)
        elif content is not None:
            with open(path, "wb") as stream:
                stream.write(content)
        yield
    finally:
        if content == "folder":
            os.rmdir(path)
        os.rename(kept, path)


def ima_entries(content):
    """Entries of a list whose template has a data size (ima-ng and its kin)."""
    entries, at = [], 0
    while at < len(content):
        name_size = int.from_bytes(content[at + 24:at + 28], "little")
        data_size = int.from_bytes(content[at + 28 + name_size:at + 32 + name_size], "little")
        end = at + 32 + name_size + data_size
        entries.append(content[at:end])
        at = end
    return entries


def check(log, content, state, *words):
    with instead(log, content):
        got, reason = seen(log)
        assert got == state, (got, reason)
        for word in words:
            assert word in reason, (word, reason)
    assert seen(log) == ("ok", ""), "the good log is read again"


def test_good_logs_are_ok_and_need_no_reason():
    assert seen("BootLog") == ("ok", "") and seen("ImaLog") == ("ok", "")


def test_missing_log_names_its_path():
    for log in ("BootLog", "ImaLog"):
        check(log, None, "missing", log_path(log))


def test_empty_log_is_no_missing_log():
    for log in ("BootLog", "ImaLog"):
        check(log, b"", "empty", log_path(log))


def test_unreadable_log_says_which_user_tried():
    for log in ("BootLog", "ImaLog"):
        check(log, "folder", "unreadable", f"user id {os.geteuid()}", log_path(log))


def test_truncated_log_is_cut_in_a_record():
    boot = read(log_path("BootLog"))
    check("BootLog", boot[:-3], "truncated")
    ima = read(log_path("ImaLog"))
    check("ImaLog", ima[:-3], "truncated")


def test_ima_list_without_its_head_was_trimmed_by_the_kernel():
    entries = ima_entries(read(log_path("ImaLog")))
    check("ImaLog", b"".join(entries[3:]), "trimmed-by-kernel", "boot aggregate")


def test_ima_list_without_an_entry_is_a_mismatch():
    entries = ima_entries(read(log_path("ImaLog")))
    check("ImaLog", b"".join(entries[:4] + entries[5:]), "mismatch", f"none of the {len(entries) - 1} entries")


def test_ima_list_with_a_changed_entry_names_it():
    entries = ima_entries(read(log_path("ImaLog")))
    changed = bytearray(entries[4])
    changed[-2] ^= 1
    check("ImaLog", b"".join(entries[:4] + [bytes(changed)] + entries[5:]), "mismatch", "entry 4 ")


def test_nonsense_is_malformed():
    check("BootLog", b"\x55" * 200, "malformed")


def test_firmware_log_with_an_event_that_was_not_extended_names_it():
    """The log of the good machine, and one event more for PCR 4: TCG_PCR_EVENT2 (PFP 1.06 §10.2.2), the digests copied from the last record's layout."""
    boot = read(log_path("BootLog"))
    events = json.loads(attestctl("eventlog", "--json", log_path("BootLog"), check=0)[1])
    banks = list(events["pcrs"])
    ids = {"sha1": 4, "sha256": 11, "sha384": 12, "sha512": 13}
    data = b"Calling EFI Application from Boot Option"
    record = (4).to_bytes(4, "little") + (0x80000007).to_bytes(4, "little") + len(banks).to_bytes(4, "little")
    for bank in banks:
        record += ids[bank].to_bytes(2, "little") + hashlib.new(bank, data).digest()
    record += len(data).to_bytes(4, "little") + data
    check("BootLog", boot + record, "mismatch", "PCRs 4 ", f"before event {len(events['events'])},")


def test_unknown_extension_of_pcr_10_came_after_the_explained_entries():
    n = status()["profiles"]["default"]["ImaEntries"]
    tpm("tpm2_pcrextend", "10:sha256=" + hashlib.sha256(b"nobody logged this").hexdigest())
    state, reason = seen("ImaLog")
    assert state == "mismatch" and f"the list's first {n} entries" in reason, (state, reason)
    assert status()["profiles"]["default"]["PcrVerdicts"]["10"] == "unexplained"


def test_unknown_extension_of_a_firmware_pcr_has_no_event():
    tpm("tpm2_pcrextend", "4:sha256=" + hashlib.sha256(b"nobody logged this").hexdigest())
    state, reason = seen("BootLog")
    assert state == "mismatch" and "PCRs 4 " in reason and "no more events for PCR 4" in reason, (state, reason)


if not shutil.which("busctl"):
    print("busctl is missing")
    sys.exit(77)
run(globals())
