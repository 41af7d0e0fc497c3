#!/usr/bin/env python3
"""Everything at once: clients that crowd, hurry and vanish, while the configuration, the TPM, the collector, the service and the bus come and go.

At the end the daemon answered all along, lost no descriptor and no memory, says what is so, attests at once, and leaves cleanly. In a build with
sanitizers none of the programs has anything to report. $ATTESTD_STRESS_SECONDS: how long (default 25); $ATTESTD_STRESS_SEED: which course it takes.
"""
import base64
import glob
import http.client
import os
import random
import signal
import socket
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import bed
from bed import *

bed.TESTBED_OPTIONS = ["--no-daemon", "--instance-option=--token-lifetime=5"] + os.environ.get("ATTESTD_STRESS_TESTBED", "").split()
SECONDS = float(os.environ.get("ATTESTD_STRESS_SECONDS", "25"))
SEED = int(os.environ.get("ATTESTD_STRESS_SEED", str(random.randrange(1 << 32))))
N_WORKERS = 6
N_CROWD = 120                   # connections at once: above what one user may have
HEALTHZ_SECONDS = 4             # a probe that takes longer, not counting what the daemon waited for a processor: the loop was blocked
GROWTH_KIB = 24 << 10           # of resident memory, in a build without sanitizers
FAULTS = [["init:status=500"], ["init:reset"], ["request:truncated-body"], ["certs:status=503"], ["request:token=unknown-kid"], ["init:latency=700"],
          ["request:latency=700"], ["clock-offset=400"], ["clock-offset=-100"], ["certs:reset", "request:token=tampered"], ["init:retry-after=1", "init:status=429"],
          ["request:duplicate-member"], ["oversized"], ["request:token=expired"]]


class LocalConnection(http.client.HTTPConnection):
    def __init__(self, timeout):
        super().__init__("localhost", timeout=timeout)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(os.environ["ATTESTD_SOCKET"])


def waited_for_processor(pid):
    """Seconds, of all its life (Documentation/scheduler/sched-stats.rst); 0 where the kernel does not count them."""
    try:
        with open(f"/proc/{pid}/schedstat") as file:
            return int(file.read().split()[1]) / 1e9
    except OSError:
        return 0.0


def ask(method, path, body=None, timeout=90.0):
    connection = LocalConnection(timeout)
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def busctl(*arguments):
    return subprocess.Popen(["busctl", "--system", "--timeout=20", "call", "org.attestd1", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)


def end(process):
    if process.poll() is None:
        process.kill()
    process.wait()


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as text:
            return [int(word) for word in text.read().split()]
    except OSError:
        return []


def send_signal(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def n_descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident_kib(pid):
    with open(f"/proc/{pid}/status") as text:
        return next(int(line.split()[1]) for line in text if line.startswith("VmRSS:"))


def is_sanitized(pid):
    with open(f"/proc/{pid}/maps") as text:
        return "libasan" in text.read()


class Stress:
    """Workers do what clients do; the main thread is what befalls a machine."""

    def __init__(self, daemon, source):
        self.daemon, self.source = daemon, source
        self.over = threading.Event()
        self.failures = []
        self.bus = None
        self.counts = {}
        self.longest = 0.0
        self.directory = os.environ["TESTBED_DIR"]
        self.profiles = os.path.join(self.directory, "profile.d")

    def count(self, what):
        self.counts[what] = self.counts.get(what, 0) + 1

    # Clients

    def client_attests(self, source):
        nonce = source.choice([None, b"one", b"two", source.randbytes(32)])
        body = {"timeout_sec": source.choice([0, 2, 5])}
        if nonce:
            body["nonce"] = base64.urlsafe_b64encode(nonce).decode().rstrip("=")
        status, _ = ask("POST", f"/v1/profiles/{source.choice(['default', 'default', 'second', 'third'])}/attest", body)
        self.count(f"attest {status}")

    def client_vanishes(self, source):
        connection = LocalConnection(10)
        connection.request("POST", "/v1/profiles/default/attest", json.dumps({"nonce": base64.urlsafe_b64encode(source.randbytes(9)).decode(), "timeout_sec": 9}))
        time.sleep(source.uniform(0, 0.3))
        connection.close()

    def client_reads(self, source):
        path = source.choice(["/v1/status", "/metrics", "/readyz", "/v1/profiles/default/token", "/v1/profiles/default/token?min_remaining=4",
                              "/v1/profiles/default/token?min_remaining=4000", "/v1/profiles/second/token", "/nothing"])
        status, _ = ask("GET", path)
        self.count(f"read {status}")

    def client_validates(self, source):
        status, body = ask("GET", "/v1/profiles/default/token")
        token = json.loads(body)["token"] if status == 200 else "e30.e30.e30"
        if source.random() < 0.5:
            token = token[:-9] + "AAAA" + token[-5:]
        status, _ = ask("POST", "/v1/validate", {"token": token})
        self.count(f"validate {status}")

    def client_on_the_bus(self, source):
        profile = "/org/attestd1/profile/default"
        call = source.choice([
            ["/org/attestd1", "org.attestd1.Manager", "Attest", "saya{sv}", source.choice(["", "second"]), "3", "1", "2", str(source.randrange(9)), "1",
             "timeout-sec", "u", "5"],
            ["/org/attestd1", "org.attestd1.Manager", "Attest", "saya{sv}", "", "0", "0"],
            ["/org/attestd1", "org.attestd1.Manager", "ValidateToken", "ss", "", "e30.e30.e30"],
            [profile, "org.attestd1.Profile", "GetToken", "a{sv}", "1", "min-remaining-sec", "u", "3"],
            [profile, "org.attestd1.Profile", "Renew"],
            [profile, "org.attestd1.Profile", "Forget"],
        ])
        process = busctl(*call)
        if source.random() < 0.4:
            time.sleep(source.uniform(0, 0.2))
        else:
            try:
                process.wait(20)
                self.count(f"bus {call[2]} {process.returncode}")
            except subprocess.TimeoutExpired:
                pass
        end(process)

    def client_crowd(self, source):
        crowd = []
        try:
            for _ in range(N_CROWD):
                one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                one.settimeout(5)
                one.connect(os.environ["ATTESTD_SOCKET"])
                one.sendall(source.choice([b"GET /healthz HTTP/1.1\r\n", b"POST /v1/profiles/default/attest HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n{", b"\0"]))
                crowd.append(one)
        finally:
            for one in crowd:
                one.close()

    def work(self, seed):
        source = random.Random(seed)
        acts = [self.client_attests] * 6 + [self.client_vanishes] * 3 + [self.client_reads] * 3 + [self.client_validates] * 2 + [self.client_on_the_bus] * 3
        acts.append(self.client_crowd)
        while not self.over.is_set():
            try:
                source.choice(acts)(source)
            except (ConnectionError, http.client.HTTPException, BrokenPipeError):
                self.count("turned away")
            except Exception:
                self.failures.append(traceback.format_exc())
                return

    def probe(self):
        while not self.over.is_set():
            begin = time.monotonic() - waited_for_processor(self.daemon.pid)
            try:
                ask("GET", "/healthz", timeout=60)
            except (ConnectionError, http.client.HTTPException):
                pass
            except OSError as error:
                self.failures.append(f"/healthz: {error}")
            self.longest = max(self.longest, time.monotonic() - waited_for_processor(self.daemon.pid) - begin)
            time.sleep(0.05)

    # What befalls the machine

    def write_profile(self, name, text):
        path = os.path.join(self.profiles, name + ".conf")
        with open(path + ".new", "w") as file:
            file.write(text)
        os.rename(path + ".new", path)

    def remove_profile(self, name):
        try:
            os.unlink(os.path.join(self.profiles, name + ".conf"))
        except FileNotFoundError:
            pass

    def reload(self):
        if self.source.random() < 0.5:
            send_signal(self.daemon.pid, signal.SIGHUP)
        else:
            process = busctl("/org/attestd1", "org.attestd1.Manager", "Reload")
            time.sleep(0.1)
            end(process)

    def happen_profile_comes(self):
        self.write_profile(self.source.choice(["second", "third"]), self.source.choice(["", "[RelyingParty]\nId=x\n", "[Schedule]\nOnStart=no\n"]))
        self.reload()

    def happen_profile_goes(self):
        self.remove_profile(self.source.choice(["second", "third"]))
        self.reload()

    def happen_url_changes(self):
        self.write_profile("second", self.source.choice(["[Instance]\nUrl=https://127.0.0.1:9\n", "[Instance]\nUrl=https://attestd.invalid\n", "[Instance]\nUrl=\n"]))
        self.reload()

    def happen_broken_configuration(self):
        self.write_profile("third", "[Schedule]\nRetryMinSec=never\n")
        self.reload()
        self.remove_profile("third")

    def happen_nothing_new(self):
        self.reload()

    def happen_collector_killed(self):
        for pid in children(self.daemon.pid):
            send_signal(pid, signal.SIGKILL)

    def pause(self, pid, seconds):
        send_signal(pid, signal.SIGSTOP)
        time.sleep(seconds)
        send_signal(pid, signal.SIGCONT)

    def happen_collector_stopped(self):
        for pid in children(self.daemon.pid):
            self.pause(pid, self.source.uniform(0.1, 0.8))

    def happen_tpm_stopped(self):
        self.pause(int(os.environ["SWTPM_PID"]), self.source.uniform(0.1, 0.8))

    def happen_tpm_hangs(self):
        """Beyond the deadline of a quote, where there is time for it: health goes to stuck and comes back."""
        if SECONDS >= 120:
            self.pause(int(os.environ["SWTPM_PID"]), 35)

    def happen_service_stopped(self):
        self.pause(int(os.environ["ATTEST_INSTANCE_PID"]), self.source.uniform(0.1, 1))

    def happen_service_misbehaves(self):
        try:
            set_faults(*self.source.choice(FAULTS))
            time.sleep(self.source.uniform(0.3, 1))
        finally:
            set_faults()

    def happen_no_room_for_tokens(self):
        folder = os.path.join(os.environ["RUNTIME_DIRECTORY"], "tokens")
        try:
            os.rename(folder, folder + ".away")
        except OSError:
            return
        with open(folder, "w"):
            pass
        time.sleep(0.5)
        os.unlink(folder)
        os.rename(folder + ".away", folder)

    def bus_start(self):
        self.bus = subprocess.Popen(["dbus-daemon", f"--config-file={self.directory}/bus.conf", "--nofork"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def happen_bus_restarts(self):
        if self.bus:
            end(self.bus)
        else:
            path = os.environ["DBUS_SYSTEM_BUS_ADDRESS"].split("path=")[1]
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(path)
                pid = int.from_bytes(probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4], "little")
            send_signal(pid, signal.SIGKILL)
            wait_until(lambda: not os.path.exists(f"/proc/{pid}") or "Z" in open(f"/proc/{pid}/stat").read().split(")")[-1].split()[0], 10, "the bus ends")
            os.unlink(path)
        if self.bus:
            os.unlink(os.environ["DBUS_SYSTEM_BUS_ADDRESS"].split("path=")[1])
        time.sleep(0.2)
        self.bus_start()

    def run(self, seconds):
        events = [getattr(self, name) for name in sorted(dir(self)) if name.startswith("happen_")]
        threads = [threading.Thread(target=self.work, args=(self.source.random(),)) for _ in range(N_WORKERS)] + [threading.Thread(target=self.probe)]
        for thread in threads:
            thread.start()
        stop = time.monotonic() + seconds
        try:
            while time.monotonic() < stop and not self.failures:
                event = self.source.choice(events)
                event()
                self.count(event.__name__)
                time.sleep(self.source.uniform(0, 0.4))
                assert self.daemon.poll() is None, f"attestd ended with {self.daemon.returncode} after {event.__name__}"
        finally:
            self.over.set()
            for thread in threads:
                thread.join(120)
        assert not self.failures, self.failures[0]


def start_daemon():
    log = open(os.path.join(os.environ["TESTBED_DIR"], "log", "attestd"), "ab")
    reports = os.path.join(os.environ["TESTBED_DIR"], "log", "sanitizer")
    environment = dict(os.environ, ASAN_OPTIONS=f"log_path={reports}", UBSAN_OPTIONS=f"print_stacktrace=1:log_path={reports}")
    return subprocess.Popen([*os.environ.get("ATTESTD_STRESS_WRAPPER", "").split(), ATTESTD, "--config=" + os.environ["ATTESTD_CONFIG"], "--collector=" + COLLECTOR], env=environment, stdin=subprocess.DEVNULL,
                            stdout=log, stderr=log)


def is_on_the_bus():
    return attestctl("status", "--json")[0] == 0


def check_reports():
    for path in glob.glob(os.path.join(os.environ["TESTBED_DIR"], "log", "sanitizer*")):
        with open(path, errors="replace") as text:
            raise AssertionError(text.read()[:20000])


def test_all_at_once_it_keeps_its_countenance():
    print(f"  seed {SEED}")
    os.mkdir(os.path.join(os.environ["TESTBED_DIR"], "profile.d"))
    daemon = start_daemon()
    stress = Stress(daemon, random.Random(SEED))
    stress.write_profile("default", "[Schedule]\nRetryMaxSec=4\n")
    wait_until(lambda: os.path.exists(os.environ["ATTESTD_SOCKET"]), 30, "the local socket")
    try:
        stress.run(min(SECONDS, 5))      # buffers, caches, libraries: afterwards all of them were there once
        wait_until(is_on_the_bus, 20, "the bus has the daemon again")
        attestctl("attest", "--timeout", "60", check=0)
        descriptors, memory = n_descriptors(daemon.pid), resident_kib(daemon.pid)
        stress.over.clear()
        stress.run(SECONDS)
        for name in ("second", "third"):
            stress.remove_profile(name)
        send_signal(daemon.pid, signal.SIGHUP)
        wait_until(is_on_the_bus, 20, "the bus has the daemon again")
        attestctl("attest", "--timeout", "60", check=0)
        wait_until(lambda: status()["State"] == "attested", 30, "every profile is attested again")
        shown = status()
        assert shown["TpmHealth"] == "ok" and list(shown["profiles"]) == ["default"], shown
        wait_until(lambda: n_descriptors(daemon.pid) <= descriptors + 4, 20, f"descriptors, once {descriptors}")
        grown = resident_kib(daemon.pid) - memory
        print(f"  {sum(stress.counts.values())} things happened, longest /healthz {stress.longest:.2f} s, {descriptors} → {n_descriptors(daemon.pid)} descriptors, "
              f"{grown:+} KiB")
        print("  " + ", ".join(f"{what}: {n}" for what, n in sorted(stress.counts.items())))
        assert stress.longest < HEALTHZ_SECONDS, f"/healthz took {stress.longest:.1f} s"
        assert is_sanitized(daemon.pid) or grown < GROWTH_KIB, f"memory grew by {grown} KiB"
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(20) == 0, f"exit status {daemon.returncode} after SIGTERM"
    finally:
        end(daemon)
        if stress.bus:
            end(stress.bus)
        check_reports()


run(globals())
