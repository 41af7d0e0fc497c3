#!/usr/bin/env python3
"""Very many quotes of one attestd-tpm on a swtpm without a resource manager: handles and sessions stay as they were, and memory stays steady.

usage: soak-quotes.py [--quotes N] [--every N] [--seconds S] --collector=PROGRAM --client=COLLECTOR-CLIENT

Every so many quotes the TPM's handles are counted by another client of it (the collector holds no connection between two requests) and
the collector's resident memory is read. Exit status 1 if a quote fails, a handle stays behind, or memory grows past the bound.
--seconds ends it early; the last line says how many quotes were made.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from swtpm import Swtpm, have_swtpm

KINDS = ("transient", "persistent", "loaded-session", "saved-session")
WARM_UP = 200                 # quotes after which everything that is allocated once was allocated
GROWTH_MAX_KIB = 1024         # of resident memory after that: less than 11 bytes for each of 100 000 quotes


def counts(swtpm):
    return {kind: len(swtpm.tool("tpm2_getcap", f"handles-{kind}").split()) for kind in KINDS}


def resident_kib(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


class Client:
    def __init__(self, options, directory, swtpm):
        config = os.path.join(directory, "attestd.conf")
        with open(config, "w") as stream:
            stream.write(f"[TPM]\nTCTI={swtpm.tcti}\n[Evidence]\nBootLogPolicy=off\nImaLogPolicy=off\n")
        self.process = subprocess.Popen(
            [os.path.abspath(options.client), f"--config={config}", f"--collector={os.path.abspath(options.collector)}",
             f"--socket={os.path.join(directory, 'nowhere')}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ, STATE_DIRECTORY=directory))

    def ok(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline() or '{"error":"the client ended"}')
        assert "error" not in answer, f"{line}: {answer}"
        return answer

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=30)


def soak(options, directory, swtpm):
    client = Client(options, directory, swtpm)
    begin, warm = time.monotonic(), None
    try:
        client.ok("quote 00")
        pid, first = client.ok("pid")["pid"], counts(swtpm)
        print(f"at the start: {first}, {resident_kib(pid)} KiB", flush=True)
        for n in range(1, options.quotes + 1):
            answer = client.ok(f"quote {n:016x}")
            assert answer["quote_retries"] == 0, answer
            late = time.monotonic() - begin > options.seconds
            if n == WARM_UP:
                warm = resident_kib(pid)
            if n % options.every == 0 or n == options.quotes or late:
                now, kib = counts(swtpm), resident_kib(pid)
                print(f"{n} quotes, {n / (time.monotonic() - begin):.1f}/s, {kib} KiB", flush=True)
                assert now == first, f"after {n} quotes the TPM holds {now}, at the start it held {first}"
                assert warm is None or kib <= warm + GROWTH_MAX_KIB, f"{kib} KiB after {n} quotes, {warm} KiB after {WARM_UP}"
            if late:
                break
        assert client.ok("info")["leftovers_flushed"] == 0, "the collector had to clean up after itself"
        print(f"{n} of {options.quotes} quotes made: handles {now} as at the start, memory {warm} KiB after {WARM_UP} quotes, {kib} KiB at the end",
              flush=True)
    finally:
        client.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quotes", type=int, default=100000)
    parser.add_argument("--every", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--collector", required=True)
    parser.add_argument("--client", required=True)
    options = parser.parse_args()
    if not have_swtpm():
        print("swtpm or tpm2-tools is missing")
        sys.exit(77)
    with tempfile.TemporaryDirectory(prefix="attestd-soak.") as directory:
        swtpm = Swtpm(directory)
        try:
            soak(options, directory, swtpm)
        except AssertionError as failure:
            print(f"FAILED: {failure}")
            sys.exit(1)
        finally:
            swtpm.kill()


main()
