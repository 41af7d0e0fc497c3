#!/usr/bin/env python3
"""The loop waits for nobody, and SIGTERM ends the daemon at once whatever it is doing.

usage: test-stop.py SLOW-RESOLVER     (the library of tests/support/slow-resolver.c)
"""
import base64
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import bed
from bed import *

bed.TESTBED_OPTIONS = ["--no-daemon"]
SLOW_RESOLVER = os.path.abspath(sys.argv[1])
LATENCY = "20000"               # of the service, in milliseconds: longer than anything here
STOP_SECONDS, STOP_SECONDS_SANITIZED = 3, 12
PROBE_SECONDS = 1.5


class LocalConnection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(os.environ["ATTESTD_SOCKET"])


def ask(method, path, body=None):
    connection = LocalConnection("localhost", timeout=60)
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as text:
        return [int(word) for word in text.read().split()]


class Client:
    """Asks for an attestation and hangs on."""

    def __init__(self, nonce):
        self.connection = LocalConnection("localhost", timeout=60)
        self.connection.request("POST", "/v1/profiles/default/attest", json.dumps({"nonce": base64.urlsafe_b64encode(nonce).decode().rstrip("="), "timeout_sec": 60}))

    def answer(self):
        answer = self.connection.getresponse()
        return answer.status, answer.read()

    def close(self):
        self.connection.close()


class Daemon:
    def __init__(self, settings="", **environment):
        self.drop_in = os.environ["ATTESTD_CONFIG"] + ".d/99-test.conf"
        with open(self.drop_in, "w") as text:
            text.write(settings)
        try:
            os.unlink(os.path.join(os.environ["RUNTIME_DIRECTORY"], "tokens", "default.json"))
        except FileNotFoundError:
            pass
        with open(os.path.join(os.environ["TESTBED_DIR"], "log", "attestd"), "ab") as log:
            self.process = subprocess.Popen([ATTESTD, "--config=" + os.environ["ATTESTD_CONFIG"], "--collector=" + COLLECTOR], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, env={**os.environ, **environment})
        self.pid = self.process.pid

    def __enter__(self):
        try:
            wait_until(self.listens, 30, "the local socket")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.unlink(self.drop_in)

    def listens(self):
        try:
            return ask("GET", "/healthz")[0] == 200
        except OSError:
            return False

    def is_sanitized(self):
        with open(f"/proc/{self.pid}/maps") as text:
            return "libasan" in text.read()

    def wait_for_state(self, state):
        wait_until(lambda: json.loads(ask("GET", "/v1/status")[1])["profiles"]["default"]["State"] == state, 30, f"state {state}")

    def stops(self):
        allowed = STOP_SECONDS_SANITIZED if self.is_sanitized() else STOP_SECONDS
        collectors, begin = children(self.pid), time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0, f"exit status {self.process.returncode}"
        took = time.monotonic() - begin
        assert took < allowed, f"it took {took:.1f} s"
        wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in collectors), 10, "the collector goes, too")


def test_sigterm_while_the_service_is_slow():
    for state, fault in (("init", "init"), ("request", "request"), ("validate", "certs")):
        try:
            set_faults(f"{fault}:latency={LATENCY}")
            with Daemon() as daemon:
                daemon.wait_for_state(state)
                daemon.stops()
        finally:
            set_faults()


def test_sigterm_while_the_tpm_hangs():
    tpm_pid = int(os.environ["SWTPM_PID"])
    with Daemon() as daemon:
        daemon.wait_for_state("attested")
        try:
            os.kill(tpm_pid, signal.SIGSTOP)
            client = Client(b"hangs")
            daemon.wait_for_state("quote")
            daemon.stops()
            client.close()
        finally:
            os.kill(tpm_pid, signal.SIGCONT)
    try:
        os.kill(tpm_pid, signal.SIGSTOP)
        with Daemon() as daemon:     # it does not know yet whose TPM it is
            wait_until(lambda: children(daemon.pid), 10, "the collector")
            daemon.stops()
    finally:
        os.kill(tpm_pid, signal.SIGCONT)


def test_sigterm_while_the_collector_is_stopped():
    with Daemon() as daemon:
        daemon.wait_for_state("attested")
        for pid in children(daemon.pid):
            os.kill(pid, signal.SIGSTOP)
        client = Client(b"stopped")
        daemon.wait_for_state("quote")
        daemon.stops()
        client.close()


def test_sigterm_between_two_attempts():
    try:
        set_faults("init:status=503")
        with Daemon() as daemon:
            daemon.wait_for_state("failed")
            daemon.stops()
    finally:
        set_faults()
    with Daemon() as daemon:
        daemon.wait_for_state("attested")
        daemon.stops()


def test_sigterm_while_the_bus_hangs():
    with socket.socket(socket.AF_UNIX) as probe:
        probe.connect(os.environ["DBUS_SYSTEM_BUS_ADDRESS"].split("path=")[1])
        bus = int.from_bytes(probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4], "little")
    with Daemon() as daemon:
        daemon.wait_for_state("attested")
        wait_until(lambda: attestctl("status", "--json")[0] == 0, 20, "it is on the bus")
        caller = subprocess.Popen([ATTESTCTL, "token"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            os.kill(bus, signal.SIGSTOP)
            begin = time.monotonic()
            for number in range(5):  # each is a change of state, which the bus is told
                status, _ = ask("POST", "/v1/profiles/default/attest", {"timeout_sec": 20})
                assert status == 200, status
            assert time.monotonic() - begin < 30
            daemon.stops()
        finally:
            os.kill(bus, signal.SIGCONT)
            caller.kill()
            caller.wait()


def test_slow_name_resolution_blocks_nobody():
    settings = "[Instance]\nUrl=https://attestation.slow.test\nConnectTimeoutSec=3\n[Schedule]\nRetryMinSec=1\nRetryMaxSec=1\n"
    preload = {"LD_PRELOAD": SLOW_RESOLVER, "ASAN_OPTIONS": "verify_asan_link_order=0:" + os.environ.get("ASAN_OPTIONS", "")}
    with Daemon(settings, **preload) as daemon:
        daemon.wait_for_state("init")
        longest = 0.0
        client = Client(b"impatient")
        begin_attempt = time.monotonic()
        for number in range(20):
            if number == 10:
                client.close()       # and so its transfer is cancelled in the middle of a lookup
            begin = time.monotonic()
            assert ask("GET", "/healthz")[0] == 200
            longest = max(longest, time.monotonic() - begin)
            time.sleep(0.1)
        assert longest < PROBE_SECONDS, f"/healthz took {longest:.1f} s during a lookup"
        # a lookup takes longer than ConnectTimeoutSec=: the attempt fails by then and says why
        assert not json.loads(ask("GET", "/v1/status")[1])["profiles"]["default"]["LastError"] and time.monotonic() - begin_attempt >= 2, "the lookup is not slow"
        failed = wait_until(lambda: json.loads(ask("GET", "/v1/status")[1])["profiles"]["default"]["LastError"], 30, "the attempt fails")
        assert failed["code"] in ("Timeout", "ServiceNameResolution") and "attestation.slow.test" in failed["message"], failed
        daemon.wait_for_state("init")
        daemon.stops()


def sockets_of(pid):
    names = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            names[int(fd)] = os.readlink(f"/proc/{pid}/fd/{fd}")
        except FileNotFoundError:
            pass
    return {fd: name for fd, name in names.items() if name.startswith("socket:")}


def test_collector_inherits_no_connection():
    with Daemon() as daemon:
        daemon.wait_for_state("attested")
        try:
            set_faults("init:latency=4000@1")
            slow = Client(b"slow")
            daemon.wait_for_state("init")
            old = children(daemon.pid)
            for pid in old:
                os.kill(pid, signal.SIGKILL)
            quick = Client(b"quick")
            new = wait_until(lambda: [pid for pid in children(daemon.pid) if pid not in old], 20, "another collector")[0]
            # exec is over when the program is another
            wait_until(lambda: os.readlink(f"/proc/{new}/exe") == os.path.realpath(COLLECTOR), 10, "the collector runs")
            of_daemon = set(sockets_of(daemon.pid).values())
            shared = {fd: name for fd, name in sockets_of(new).items() if name in of_daemon}
            assert not shared, f"descriptors of the daemon in the collector: {shared}"
            assert quick.answer()[0] == 200
            assert slow.answer()[0] == 200
            assert sockets_of(daemon.pid)
        finally:
            set_faults()
        daemon.stops()


def test_short_tokens_are_not_renewed_faster_because_somebody_asks():
    with Daemon("[Schedule]\nRetryMinSec=30\nRetryMaxSec=60\n") as daemon:
        daemon.wait_for_state("attested")
        profile = lambda: json.loads(ask("GET", "/v1/status")[1])["profiles"]["default"]
        before = profile()["Attempts"]
        for _ in range(5):
            assert ask("GET", "/v1/profiles/default/token?min_remaining=4000000")[0] == 503
        assert profile()["Attempts"] == before, "no token lives that long"
        try:
            set_faults("init:status=503")
            life = (profile()["TokenExpires"] - profile()["TokenIssued"]) // 1000000
            asked = life - 121       # a new one is served that long, less ClockSkewSec=
            wait_until(lambda: ask("GET", f"/v1/profiles/default/token?min_remaining={asked}")[0] == 503, 5, "too short a life")
            wait_until(lambda: profile()["Failures"] == 1, 20, "the renewal fails")
            for _ in range(5):
                assert ask("GET", f"/v1/profiles/default/token?min_remaining={asked}")[0] == 503
                time.sleep(0.1)
            assert profile()["Failures"] == 1 and profile()["State"] == "failed", profile()
        finally:
            set_faults()
        daemon.stops()


run(globals())
