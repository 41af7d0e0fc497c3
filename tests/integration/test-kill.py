#!/usr/bin/env python3
"""SIGKILL of daemon and collector at random moments: after the restart one attestation succeeds, no TPM handle is left, no file is torn."""
import json
import os
import random
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import bed
from bed import *

bed.TESTBED_OPTIONS = ["--no-daemon"]
ROUNDS = int(os.environ.get("ATTESTD_KILL_ROUNDS", "100"))
SEED = int(os.environ.get("ATTESTD_KILL_SEED", str(random.randrange(1 << 32))))


def start_daemon():
    log = open(os.path.join(os.environ["TESTBED_DIR"], "log", "attestd"), "ab")
    return subprocess.Popen([ATTESTD, "--config=" + os.environ["ATTESTD_CONFIG"], "--collector=" + COLLECTOR],
                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as text:
            return [int(word) for word in text.read().split()]
    except OSError:
        return []


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def all_gone(pids):
    return not any(os.path.exists(f"/proc/{pid}") and "Z" not in open(f"/proc/{pid}/stat").read().split(")")[-1].split()[0] for pid in pids)


def check_files():
    """Every file that is kept is whole, and nothing half-written stays."""
    runtime = os.path.join(os.environ["RUNTIME_DIRECTORY"], "tokens")
    for name in os.listdir(runtime) if os.path.isdir(runtime) else []:
        assert name.endswith(".json"), f"left behind: {name}"
        with open(os.path.join(runtime, name)) as text:
            assert json.load(text)["token"].count(".") == 2
    state = os.environ["STATE_DIRECTORY"]
    left = [name for name in os.listdir(state) if len(name.rsplit(".", 1)[-1]) == 6 and name.startswith("aik")]
    assert len(left) == 0, f"left behind: {left}"


def check_handles():
    for kind in ("handles-transient", "handles-loaded-session", "handles-saved-session"):
        assert tpm("tpm2_getcap", kind).strip() == "", f"{kind}: {tpm('tpm2_getcap', kind)}"


def test_killed_at_random_moments_it_comes_back():
    print(f"  seed {SEED}")
    source = random.Random(SEED)
    fingerprint = None
    for number in range(ROUNDS):
        daemon = start_daemon()
        attest = subprocess.Popen([ATTESTCTL, "wait", "--timeout", "30"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(source.uniform(0, 0.8))
        collectors = children(daemon.pid)
        victims = [daemon.pid] + collectors if source.random() < 0.7 else collectors or [daemon.pid]
        source.shuffle(victims)
        for pid in victims:
            kill(pid)
        if daemon.pid not in victims and number % 2:
            kill(daemon.pid)
        if daemon.pid in victims or number % 2:
            daemon.wait(timeout=20)
            wait_until(lambda: all_gone(collectors), 10, "the collector goes with its daemon")
            daemon = start_daemon()
        attest.kill()
        attest.wait()
        attestctl("wait", "--timeout", "30", check=0)
        attestctl("attest", "--timeout", "30", check=0)
        shown = status()
        fingerprint = fingerprint or shown["AikFingerprint"]
        assert shown["AikFingerprint"] == fingerprint, "the AIK was made anew"
        collectors = children(daemon.pid)
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(timeout=20) == 0, f"round {number}: exit status after SIGTERM"
        wait_until(lambda: all_gone(collectors), 10, "the collector goes with its daemon")
        check_handles()
        check_files()


run(globals())
