#!/usr/bin/env python3
"""While a process appends to the IMA list and extends PCR 10, entry by entry, many times a second, attestations succeed in a row, and no quote is repeated.

The list is in the kernel's binary format, template ima-ng; the appender keeps the kernel's order: first the list, then the PCR.
"""
import hashlib
import json
import os
import struct
import subprocess
import sys
import time
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from bed import *

ROUNDS = int(os.environ.get("ATTESTD_BUSY_ROUNDS", "200"))


def entry(number):
    """One ima-ng entry: (bytes of the list, template data)."""
    digest = hashlib.sha256(b"file %d" % number).digest()
    d_ng = b"sha256:\0" + digest
    n_ng = b"/usr/bin/busy-%d\0" % number
    data = struct.pack("<I", len(d_ng)) + d_ng + struct.pack("<I", len(n_ng)) + n_ng
    head = struct.pack("<I", 10) + hashlib.sha1(data).digest() + struct.pack("<I", 6) + b"ima-ng" + struct.pack("<I", len(data))
    return head + data, data


class Appender(threading.Thread):
    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.stopping, self.count, self.error = path, threading.Event(), 0, None

    def run(self):
        banks = [bank for bank in ("sha1", "sha256", "sha384", "sha512") if bank in tpm("tpm2_getcap", "pcrs")]
        with open(self.path, "ab", buffering=0) as stream:
            while not self.stopping.is_set():
                text, data = entry(self.count)
                stream.write(text)
                digests = ",".join(f"{bank}={hashlib.new(bank, data).hexdigest()}" for bank in banks)
                try:
                    tpm("tpm2_pcrextend", f"10:{digests}")
                except Exception as error:  # reported by the test itself
                    self.error = error
                    return
                self.count += 1


def test_attestations_in_a_row_succeed_while_the_list_grows():
    appender = Appender(os.path.join(os.environ["TESTBED_DIR"], "ima.log"))
    appender.start()
    begin = time.monotonic()
    entries = []
    try:
        for number in range(ROUNDS):
            nonce = hashlib.sha256(b"%d" % number).hexdigest()
            code, out, err = attestctl("attest", "--json", "--timeout", "0", "--nonce", nonce)
            assert code == 0, f"round {number}: {err} {out}"
            entries.append(status()["profiles"]["default"]["ImaEntries"])
            assert appender.error is None, appender.error
    finally:
        appender.stopping.set()
        appender.join()
    seconds = time.monotonic() - begin
    rate = appender.count / seconds
    print(f"  {ROUNDS} attestations in {seconds:.1f} s while {appender.count} entries were added ({rate:.0f} a second)")
    assert entries == sorted(entries) and entries[-1] > entries[0] + ROUNDS / 2, "the list did not grow under the attestations"
    shown = status()["profiles"]["default"]
    assert shown["Failures"] == 0, shown["LastError"]
    assert shown["PcrVerdicts"]["10"] == "replayed", shown["PcrVerdicts"]
    with open(os.path.join(os.environ["TESTBED_DIR"], "log", "attestd"), errors="replace") as log:
        repeated = [line for line in log if "the quote was repeated" in line]
    assert not repeated, repeated[:3]


run(globals())
