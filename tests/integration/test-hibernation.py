#!/usr/bin/env python3
"""Hibernation: the attestation of the boot that is kept before it and sent after it, on a real TPM that is switched off and on.

usage: test-hibernation.py COLLECTOR-CLIENT

What the machine does to its TPM is done with tpm2-tools and swtpm (TPM 2.0 Part 1 §12.2.3): Shutdown(STATE) and Startup(CLEAR) is a TPM Restart, the usual
hibernation; Shutdown(STATE) and Startup(STATE) a TPM Resume; anything else a TPM Reset, another boot. The expected counts are those of tpm2_readclock.
"""
import base64
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import bed
from bed import ATTESTCTL, BUILD, COLLECTOR
from collector import Client, machine_logs, pcrread, setup

ATTEST_INSTANCE = os.path.join(BUILD, "instance", "attest-instance")
NONCE = "00112233"


def power_cycle(it, shutdown, startup):
    """shutdown: state, clear, or none where the power just fails."""
    if shutdown != "none":
        it.swtpm.tool("tpm2_shutdown", *(["-c"] if shutdown == "clear" else []))
    it.swtpm.kill()
    it.swtpm.start(startup=startup)


def clock(it):
    text = it.swtpm.tool("tpm2_readclock")
    return tuple(int(re.search(rf"{name}: (\d+)", text)[1]) for name in ("reset_count", "restart_count"))


def kept_file(it):
    return os.path.join(it.state, "boot-attestation.json")


def differences(first, second):
    """Of resetCount and restartCount. What an AIK of the owner hierarchy signs has a secret constant added to both, modulo 2^32 (Part 1, "Privacy Aspects of Clock")."""
    return tuple((second[name] - first[name]) % 2**32 for name in ("reset_count", "restart_count"))


def test_restart_attaches_the_attestation_of_the_boot():
    with setup() as it, Client(it) as client:
        machine_logs(it)
        before = client.ok(f"quote {NONCE}")
        assert before["boot_attestation_state"] == "none", before
        assert client.ok("keep")["state"] == "kept"
        assert os.stat(kept_file(it)).st_mode & 0o777 == 0o600
        assert client.ok(f"quote {NONCE}")["boot_attestation_state"] == "kept"
        boot_pcrs = pcrread(it)
        reset, restart = clock(it)
        power_cycle(it, "state", "clear")
        assert clock(it) == (reset, restart + 1)   # a TPM Restart, says the TPM
        assert pcrread(it) != boot_pcrs            # whose PCRs are gone
        client.ok("reopen")
        after = client.ok(f"quote {NONCE} {it.directory}")
        assert after["boot_attestation_state"] == "attached", after
        boot = after["boot"]
        assert differences(before, boot) == (0, 0) and differences(boot, after) == (0, 1), (before, after)
        assert boot["pcrs"]["sha256"] == boot_pcrs, boot
        assert boot["logs"] == {"TCG": os.path.getsize(it.boot_log), "IMA": os.path.getsize(it.ima_log)}, boot
        with open(it.ima_log, "ab") as log:   # the kernel goes on: what came later is not in it
            log.write(ima_entry(it))
        assert client.ok(f"quote {NONCE}")["boot"]["logs"] == boot["logs"]


def ima_entry(it):
    """The log's last entry once more."""
    with open(it.ima_log, "rb") as log:
        content = log.read()
    offset = 0
    while True:
        name = int.from_bytes(content[offset + 24:offset + 28], "little")
        data = int.from_bytes(content[offset + 28 + name:offset + 32 + name], "little")
        end = offset + 32 + name + data
        if end >= len(content):
            return content[offset:end]
        offset = end


def test_second_hibernation_leaves_the_first_attestation():
    with setup() as it, Client(it) as client:
        machine_logs(it)
        client.ok("keep")
        with open(kept_file(it), "rb") as stream:
            first = stream.read()
        power_cycle(it, "state", "clear")
        client.ok("reopen")
        assert client.ok("keep")["state"] == "attached"
        with open(kept_file(it), "rb") as stream:
            assert stream.read() == first
        power_cycle(it, "state", "clear")
        client.ok("reopen")
        after = client.ok(f"quote {NONCE}")
        assert after["boot_attestation_state"] == "attached" and differences(after["boot"], after) == (0, 2), after


def test_resume_that_restores_pcrs_attaches_it_too():
    with setup() as it, Client(it) as client:
        machine_logs(it)
        client.ok("keep")
        pcrs, (reset, restart) = pcrread(it), clock(it)
        power_cycle(it, "state", "state")
        assert (clock(it), pcrread(it)) == ((reset, restart + 1), pcrs)   # a TPM Resume
        client.ok("reopen")
        after = client.ok(f"quote {NONCE}")
        assert after["boot_attestation_state"] == "attached" and after["pcrs"]["sha256"] == pcrs, after


def test_reset_drops_it_and_says_so():
    for shutdown in ("clear", "none"):
        with setup() as it, Client(it) as client:
            machine_logs(it)
            client.ok("keep")
            reset, _ = clock(it)
            power_cycle(it, shutdown, "clear")
            assert clock(it) == (reset + 1, 0)
            client.ok("reopen")
            after = client.ok(f"quote {NONCE}")
            assert after["boot_attestation_state"] == "dropped" and "boot" not in after, after
            assert "resetCount is 1 more" in after["boot_attestation_reason"], after
            assert not os.path.exists(kept_file(it))
            assert client.ok(f"quote {NONCE}")["boot_attestation_state"] == "dropped"
            assert client.ok("keep")["state"] == "kept"
            assert "boot_attestation_reason" not in client.ok(f"quote {NONCE}")


def test_damaged_file_is_unusable_and_not_sent():
    with setup() as it, Client(it) as client:
        machine_logs(it)
        client.ok("keep")
        with open(kept_file(it)) as stream:
            kept = json.load(stream)
        power_cycle(it, "state", "clear")
        client.ok("reopen")
        other = dict(kept, pcrs=[{"bank": "sha256", "values": dict(kept["pcrs"][0]["values"], **{"0": "00" * 31 + "01"})}])
        signature = bytearray(base64.urlsafe_b64decode(kept["signature"] + "=="))
        signature[-1] ^= 1
        forged = dict(kept, signature=base64.urlsafe_b64encode(signature).decode().rstrip("="))
        for text, words in (("{", "member name"), (json.dumps(dict(kept, version=2)), "version"), (json.dumps(other), "pcrDigest"), (json.dumps(forged), "signature")):
            with open(kept_file(it), "w") as stream:
                stream.write(text)
            after = client.ok(f"quote {NONCE}")
            assert after["boot_attestation_state"] == "unusable" and "boot" not in after, after
            assert words in after["boot_attestation_reason"] and "boot-attestation.json" in after["boot_attestation_reason"], after


def test_log_that_is_another_one_now_is_left_out():
    with setup() as it, Client(it) as client:
        machine_logs(it)
        client.ok("keep")
        power_cycle(it, "state", "clear")
        client.ok("reopen")
        with open(it.boot_log, "r+b") as log:   # the last byte of the last event
            log.seek(-1, os.SEEK_END)
            last = log.read(1)
            log.seek(-1, os.SEEK_END)
            log.write(bytes([last[0] ^ 1]))
        after = client.ok(f"quote {NONCE}")
        assert after["boot_attestation_state"] == "attached" and list(after["boot"]["logs"]) == ["IMA"], after
        assert "without the TCG log" in after["boot_attestation_reason"], after


# -- the whole way: attestctl, the private bus, the local instance ------------------------------------------------------------------------


class Instance:
    def __init__(self, it):
        self.it, self.log = it, open(it.path("instance.log"), "w")
        self.process = subprocess.Popen([ATTEST_INSTANCE, "--listen", "127.0.0.1:0", "--state", it.path("instance")], stdout=subprocess.PIPE,
                                        stderr=self.log, text=True)
        self.url = re.match(r"READY url=(\S+)", self.process.stdout.readline())[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=10)
        self.process.stdout.close()
        self.log.close()

    def config(self):
        path = self.it.config()
        with open(path, "a") as stream:
            stream.write(f"[Instance]\nUrl={self.url}\nCaFile={self.it.path('instance/ca.pem')}\n")
        return path


def attestctl(it, *arguments):
    environment = dict(os.environ, STATE_DIRECTORY=it.state, ATTESTD_COLLECTOR=os.path.abspath(COLLECTOR), RUNTIME_DIRECTORY=it.path("run"))
    return subprocess.run([ATTESTCTL, *arguments], capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL, env=environment)


def attest(it, config):
    done = attestctl(it, "attest", "--no-daemon", "--config", config, "--json")
    assert done.returncode == 0, done.stderr
    body = json.loads(done.stdout)["token"].split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["x-ms-policy"]


def test_instance_verifies_the_boot_attestation():
    with setup() as it, Instance(it) as instance:
        machine_logs(it)
        config = instance.config()
        before = attest(it, config)
        assert "bootAttestationPresent" not in before, before
        done = attestctl(it, "evidence", "keep", "--config", config)
        assert done.returncode == 0 and "is kept" in done.stdout, (done.stdout, done.stderr)
        assert "bootAttestationPresent" not in attest(it, config)   # the current quote says it all
        reset, restart = clock(it)
        power_cycle(it, "state", "clear")
        after = attest(it, config)
        assert after["bootAttestationPresent"] is True, after
        assert (after["tpmResetCount"], after["bootAttestationRestartCount"]) == (before["tpmResetCount"], before["tpmRestartCount"]), (before, after)
        assert (after["tpmRestartCount"] - before["tpmRestartCount"]) % 2**32 == 1 and clock(it) == (reset, restart + 1), (before, after)
        assert after["bootAttestationPcrs-replayed"] == before["pcrs-replayed"] and before["pcrs-replayed"], (before, after)
        assert after["bootAttestationSecureBootEnabled"] == before["secureBootEnabled"]
        assert after["pcrs-replayed"] != before["pcrs-replayed"], after
        power_cycle(it, "clear", "clear")
        assert "bootAttestationPresent" not in attest(it, config)


def test_bundle_holds_the_boot_attestation_and_replay_judges_it():
    with setup() as it:
        machine_logs(it)
        config, path = it.config(), it.path("bundle.json")
        assert attestctl(it, "evidence", "keep", "--config", config, "--json").returncode == 0
        power_cycle(it, "state", "clear")
        machine_extends_again(it)
        done = attestctl(it, "evidence", "collect", "-o", path, "--config", config)
        assert done.returncode == 0, done.stderr
        with open(path) as stream:
            bundle = json.load(stream)
        assert bundle["boot_attestation_state"] == "attached", bundle["boot_attestation_state"]
        assert replay_check(it, bundle) == ("ok", None), replay_check(it, bundle)
        current = {name: bundle[name] for name in ("quote", "signature", "aik_public", "pcrs", "logs")}
        state, code = replay_check(it, dict(bundle, boot_attestation=current))   # the current one again: not from before
        assert (state, code) == ("failure", "org.attestd1.Error.EvidenceMalformed"), (state, code)
        state, code = replay_check(it, dict(bundle, boot_attestation=dict(bundle["boot_attestation"], signature=bundle["signature"])))
        assert (state, code) == ("failure", "org.attestd1.Error.QuoteSignatureInvalid"), (state, code)


def machine_extends_again(it):
    """As a firmware does that measures the same at the resume."""
    with open(it.path("extends")) as lines:
        for line in lines:
            it.swtpm.tool("tpm2_pcrextend", line.strip())


def replay_check(it, bundle):
    path = it.write("replayed.json", json.dumps(bundle).encode())
    done = attestctl(it, "evidence", "replay", "--json", path)
    check = next(item for item in json.loads(done.stdout)["checks"] if item["check"] == "boot-attestation")
    return check["state"], check.get("code")


if __name__ == "__main__":
    bed.need_testbed = lambda: None
    bed.run(globals())
