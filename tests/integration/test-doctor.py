#!/usr/bin/env python3
"""attestctl doctor against what it is for: a hung TPM, a black hole, a wrong certificate, a wrong clock. Real swtpm, collector and instance over real TLS.

usage: test-doctor.py COLLECTOR-CLIENT     (the argument is for collector.py)
"""
import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import bed
from bed import ATTESTCTL, BUILD, COLLECTOR
from collector import folder, machine_logs, setup

ATTEST_INSTANCE = os.path.join(BUILD, "instance", "attest-instance")
TPM_CHECKS = ["tpm", "banks", "aik", "aik-certificate", "quote", "boot-log", "ima-log"]
INSTANCE_CHECKS = ["name-resolution", "tls", "instance", "clock", "credential", "policy"]
BUDGET_SECONDS = 10   # what the verb promises


class Instance:
    def __init__(self, it, *options, name="instance"):
        self.state = it.path(name)
        self.process = subprocess.Popen([ATTEST_INSTANCE, "--listen", "127.0.0.1:0", "--state", self.state, *options], stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)
        line = self.process.stdout.readline()
        assert line.startswith("READY url="), line
        self.url, self.ca = line.split("=", 1)[1].strip(), os.path.join(self.state, "ca.pem")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=30)
        self.process.stdout.close()


def environment(it):
    return dict(os.environ, STATE_DIRECTORY=it.state, RUNTIME_DIRECTORY=folder(it, "run"), ATTESTD_COLLECTOR=os.path.abspath(COLLECTOR),
                DBUS_SYSTEM_BUS_ADDRESS="unix:path=/nonexistent/bus")


def config(it, url=None, ca=None, tpm=(), evidence=(), more=""):
    path = it.config(tpm=tpm, evidence=evidence, name="doctor.conf")
    with open(path, "a") as text:
        if url:
            text.write(f"[Instance]\nUrl={url}\n")
        if ca:
            text.write(f"CaFile={ca}\n")
        text.write(more)
    return path


def doctor(it, path, expected):
    """The findings by check, which come in time, in their order, and with advice where something failed."""
    begin = time.monotonic()
    done = subprocess.run([ATTESTCTL, "doctor", "--config", path, "--json"], capture_output=True, text=True, timeout=60, env=environment(it),
                          stdin=subprocess.DEVNULL)
    assert time.monotonic() - begin < BUDGET_SECONDS, f"{time.monotonic() - begin:.1f} s"
    assert done.returncode == expected, done
    findings = json.loads(done.stdout)
    for finding in findings:
        assert finding["state"] in ("ok", "warning", "failure", "skipped") and finding["summary"], finding
        assert finding["state"] not in ("failure",) or finding.get("advice"), finding
    assert (1 if any(finding["state"] == "failure" for finding in findings) else 0) == expected
    by_check = {finding["check"]: finding for finding in findings}
    assert list(check for check in by_check if check in TPM_CHECKS) == TPM_CHECKS
    assert list(check for check in by_check if check in INSTANCE_CHECKS) == INSTANCE_CHECKS
    return by_check


def words(it, path, expected):
    done = subprocess.run([ATTESTCTL, "doctor", "--config", path], capture_output=True, text=True, timeout=60, env=environment(it), stdin=subprocess.DEVNULL)
    assert done.returncode == expected, done
    return done.stdout


def states(findings, checks):
    return [findings[check]["state"] for check in checks]


@contextlib.contextmanager
def black_hole():
    """A port that takes connections and says nothing, ever."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"


def test_doctor_where_all_is_well_exits_0():
    with setup() as it, Instance(it) as instance:
        machine_logs(it)
        path = config(it, instance.url, instance.ca)
        findings = doctor(it, path, expected=0)
        assert states(findings, TPM_CHECKS) == ["ok", "ok", "ok", "warning", "ok", "ok", "ok"], findings   # no certificate was ever asked for
        assert states(findings, INSTANCE_CHECKS) == ["ok"] * 6, findings
        assert findings["daemon"]["state"] == "warning" and findings["configuration"]["state"] == "ok", findings
        assert "IBM" in findings["tpm"]["summary"] and "sha256" in findings["banks"]["summary"], findings
        assert findings["policy"]["profile"] == "default", findings
        text = words(it, path, 0)
        for check in (*TPM_CHECKS, *INSTANCE_CHECKS):
            summary = findings[check]["summary"].split(", to ")[0]   # the seconds of the clock are those of another run
            assert f"{check}: {summary}" in text, (check, text)
        assert findings["aik-certificate"]["advice"] in text and "\x1b" not in text


def test_output_pipes_and_ends_with_the_verb():
    with setup() as it, Instance(it) as instance:
        begin = time.monotonic()
        done = subprocess.run(f'"{ATTESTCTL}" doctor --json --config "{config(it, instance.url, instance.ca)}" | wc -l', shell=True, capture_output=True, text=True,
                              timeout=60, env=environment(it), stdin=subprocess.DEVNULL)
        assert done.stdout.strip() == "1", done
        assert time.monotonic() - begin < BUDGET_SECONDS


def test_hung_tpm_and_black_hole_cost_less_than_ten_seconds():
    with setup() as it, black_hole() as url:
        it.swtpm.process.send_signal(signal.SIGSTOP)
        try:
            findings = doctor(it, config(it, url), expected=1)
        finally:
            it.swtpm.process.send_signal(signal.SIGCONT)
        assert states(findings, TPM_CHECKS) == ["failure"] + ["skipped"] * 6, findings
        assert states(findings, INSTANCE_CHECKS)[:3] == ["ok", "skipped", "failure"], findings
        assert "no answer within 9 s" in findings["tpm"]["summary"], findings
        it.swtpm.restart()


def test_tpm_that_is_not_there():
    with setup() as it, Instance(it) as instance:
        path = config(it, instance.url, instance.ca)
        with open(path) as text:
            broken = text.read().replace(it.swtpm.tcti, "swtpm:path=" + it.path("nothing"))
        with open(path, "w") as text:
            text.write(broken)
        findings = doctor(it, path, expected=1)
        assert states(findings, TPM_CHECKS) == ["failure"] + ["skipped"] * 6, findings
        assert states(findings, INSTANCE_CHECKS) == ["ok"] * 6, findings


def test_key_that_is_not_there_is_the_keys_failure():
    with setup() as it, Instance(it) as instance:
        findings = doctor(it, config(it, instance.url, instance.ca, tpm=["AikHandle=0x81000003"]), expected=1)
        assert states(findings, TPM_CHECKS) == ["ok", "skipped", "failure"] + ["skipped"] * 4, findings
        assert "0x81000003" in findings["aik"]["summary"], findings


def test_bank_that_is_not_there_is_the_banks_failure():
    with setup() as it, Instance(it) as instance:
        findings = doctor(it, config(it, instance.url, instance.ca, tpm=["PcrBank=sha384"]), expected=1)
        assert states(findings, TPM_CHECKS) == ["ok", "failure"] + ["skipped"] * 5, findings


def test_logs_by_their_policy():
    with setup() as it, Instance(it) as instance:
        machine_logs(it)
        os.remove(it.ima_log)
        for policy, state, status in (("required", "failure", 1), ("optional", "warning", 0), ("off", "skipped", 0)):
            findings = doctor(it, config(it, instance.url, instance.ca, evidence=[f"ImaLogPolicy={policy}"]), expected=status)
            assert findings["ima-log"]["state"] == state, (policy, findings)
            if policy == "required":   # there is no quote then
                assert findings["quote"]["state"] == "skipped" and it.ima_log in findings["ima-log"]["summary"], findings
        os.remove(it.boot_log)
        findings = doctor(it, config(it, instance.url, instance.ca, evidence=["BootLogPolicy=required"]), expected=1)
        assert states(findings, TPM_CHECKS)[4:] == ["skipped", "failure", "skipped"], findings


def test_logs_that_explain_nothing():
    with setup() as it, Instance(it) as instance:
        machine_logs(it)
        it.swtpm.extend(4, b"nobody wrote this down")
        findings = doctor(it, config(it, instance.url, instance.ca, evidence=["BootLogPolicy=optional"]), expected=0)
        assert findings["boot-log"]["state"] == "warning" and "4" in findings["boot-log"]["summary"], findings


def test_wrong_authority_and_wrong_host_name():
    with setup() as it, Instance(it) as instance, Instance(it, name="other") as other:
        findings = doctor(it, config(it, instance.url, other.ca), expected=1)
        assert states(findings, INSTANCE_CHECKS) == ["ok", "failure"] + ["skipped"] * 4, findings
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", it.path("key.pem"), "-out",
                        it.path("elsewhere.pem"), "-subj", "/CN=elsewhere.example", "-addext", "subjectAltName=DNS:elsewhere.example", "-days", "2"],
                       check=True, capture_output=True)
        context.load_cert_chain(it.path("elsewhere.pem"), it.path("key.pem"))
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(8)
            threading.Thread(target=shake_hands, args=(listener, context), daemon=True).start()
            findings = doctor(it, config(it, f"https://127.0.0.1:{listener.getsockname()[1]}", it.path("elsewhere.pem")), expected=1)
        assert states(findings, INSTANCE_CHECKS) == ["ok", "failure"] + ["skipped"] * 4, findings


def shake_hands(listener, context):
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        with client, contextlib.suppress(OSError):
            context.wrap_socket(client, server_side=True).close()


def test_name_without_address_and_port_without_listener():
    with setup() as it:
        findings = doctor(it, config(it, "https://no-such-host.invalid"), expected=1)   # RFC 6761 section 6.4
        assert states(findings, INSTANCE_CHECKS) == ["failure"] + ["skipped"] * 5, findings
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            findings = doctor(it, config(it, f"https://127.0.0.1:{closed.getsockname()[1]}"), expected=1)
        assert states(findings, INSTANCE_CHECKS) == ["ok", "skipped", "failure"] + ["skipped"] * 3, findings


def test_no_policy_and_wrong_clock():
    with setup() as it:
        with Instance(it, "--fault", "no-policy") as instance:
            findings = doctor(it, config(it, instance.url, instance.ca), expected=1)
            assert states(findings, INSTANCE_CHECKS) == ["ok"] * 5 + ["failure"], findings
        for offset, state, direction, status in ((3600, "failure", "behind", 1), (-3600, "failure", "ahead of", 1), (60, "warning", "behind", 0)):
            with Instance(it, "--fault", f"clock-offset={offset}") as instance:
                findings = doctor(it, config(it, instance.url, instance.ca), expected=status)
                assert findings["clock"]["state"] == state and f"s {direction} the service" in findings["clock"]["summary"], findings
                seconds = int(findings["clock"]["summary"].split("clock is ")[1].split()[0])
                assert abs(seconds - abs(offset)) <= 5, findings


def test_configuration_without_url_or_with_unknown_keys():
    with setup() as it:
        findings = doctor(it, config(it, more="[TPM]\nColour=blue\n"), expected=1)
        assert findings["configuration"]["state"] == "warning" and "Colour" in findings["configuration"]["summary"], findings
        assert findings["name-resolution"]["state"] == "failure" and "Url=" in findings["name-resolution"]["summary"], findings


def test_nothing_is_left_running():
    """Neither a collector nor a child, when the TPM hangs and even when the verb itself is killed."""
    with setup() as it, black_hole() as url:
        path = config(it, url)
        it.swtpm.process.send_signal(signal.SIGSTOP)
        try:
            verb = subprocess.Popen([ATTESTCTL, "doctor", "--config", path], stdout=subprocess.DEVNULL, env=environment(it), stdin=subprocess.DEVNULL)
            bed.wait_until(lambda: with_argument(path, "attestd-tpm"), 9, "the collector runs")
            verb.kill()
            verb.wait(timeout=10)
            bed.wait_until(lambda: not with_argument(path), 20, "all of it has ended")
        finally:
            it.swtpm.process.send_signal(signal.SIGCONT)
        it.swtpm.restart()


def with_argument(path, program=""):
    """Processes that were started with path as argument."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline") as text:
            line = text.read()
            if path in line and program in line:
                found.append(int(pid))
    return found


if __name__ == "__main__":
    bed.need_testbed = lambda: None
    bed.run(globals())
