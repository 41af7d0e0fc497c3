#!/usr/bin/env python3
"""The life of a token: it survives a restart of the service, is renewed in time, comes back by itself after an outage, and is dropped when the machine is another one."""
import json
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import bed
from bed import *

bed.TESTBED_OPTIONS = ["--no-daemon", "--instance-option=--token-lifetime=600"]
SLOW = 60   # patience: sanitizer builds on a busy machine


class Daemon:
    """attestd under the test's control, with drop-ins as {section.key: value}."""

    def __init__(self, **settings):
        self.drop_in = os.environ["ATTESTD_CONFIG"] + ".d/99-test.conf"
        self.configure(settings)
        self.log = open(os.path.join(os.environ["TESTBED_DIR"], "log", "attestd"), "ab")
        self.process = subprocess.Popen([ATTESTD, "--config=" + os.environ["ATTESTD_CONFIG"], "--collector=" + COLLECTOR],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def configure(self, settings):
        with open(self.drop_in, "w") as text:
            for name, value in settings.items():
                section, key = name.split("_")
                text.write(f"[{section}]\n{key}={value}\n")

    def __enter__(self):
        try:
            attestctl("wait", "--timeout", str(SLOW), check=0)
        except AssertionError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=SLOW)
        self.log.close()
        os.unlink(self.drop_in)
        assert code == 0, f"attestd ended with {code}"


def profile():
    return status()["profiles"]["default"]


def token():
    return attestctl("token", check=0)[1].strip()


def test_token_survives_a_restart_of_the_service():
    with Daemon():
        first = token()
    with Daemon():
        assert token() == first
        shown = profile()
        assert shown["Attempts"] == 0, shown
        assert shown["State"] == "attested", shown


def test_token_of_another_boot_is_dropped():
    with Daemon():
        first = token()
    path = os.path.join(os.environ["RUNTIME_DIRECTORY"], "tokens", "default.json")
    with open(path) as text:
        kept = json.load(text)
    kept["boot_id"] = "00000000-0000-0000-0000-000000000000"
    with open(path, "w") as text:
        json.dump(kept, text)
    with Daemon():
        assert token() != first
        assert profile()["Attempts"] == 1


def reload():
    subprocess.run(["busctl", "--address=" + os.environ["DBUS_SYSTEM_BUS_ADDRESS"], "call", "org.attestd1", "/org/attestd1", "org.attestd1.Manager",
                    "Reload"], check=True, capture_output=True, timeout=SLOW)


def test_token_does_not_outlive_the_rules_that_it_was_believed_by():
    pin = {"Token_PolicyHash": "A" * 43}     # of no policy that there is
    with Daemon():
        token()
    daemon = Daemon(**pin)
    try:
        wait_until(lambda: attestctl("status", "--json")[0] == 0 and profile()["Failures"] >= 1, SLOW, "a failure")
        assert attestctl("token")[0] == error_table()["NoToken"]["exit_status"]
        daemon.configure({})
        reload()
        with daemon:
            token()
            daemon.configure(pin)
            reload()
            assert attestctl("token")[0] == error_table()["NoToken"]["exit_status"]
            daemon.configure({})
            reload()
            attestctl("wait", "--timeout", str(SLOW), check=0)
            reload()                         # nothing new: the token stays until the next one is there
            assert attestctl("token")[0] == 0
    finally:
        if daemon.process.poll() is None:
            daemon.process.kill()
            daemon.process.wait()


def test_token_is_renewed_before_it_ends():
    with Daemon(Schedule_RenewAt="1-1%"):
        first = token()
        shown = profile()
        assert shown["TokenIssued"] < shown["NextAttempt"] < shown["TokenExpires"], shown
        wait_until(lambda: token() != first, SLOW, "a renewal at 1 % of 600 s")
        assert profile()["Failures"] == 0


def test_after_an_outage_it_comes_back_by_itself():
    os.unlink(os.path.join(os.environ["RUNTIME_DIRECTORY"], "tokens", "default.json"))
    set_faults("status=503")
    daemon = Daemon(Schedule_RetryMinSec="1", Schedule_RetryMaxSec="2")
    try:
        wait_until(lambda: attestctl("status", "--json")[0] == 0 and profile()["Failures"] >= 2, SLOW, "two failures")
        shown = profile()
        assert shown["LastError"]["code"] == "ServiceUnavailable", shown["LastError"]
        assert shown["NextAttempt"] > 0, shown
        assert status()["State"] == "failed"
        code, _, err = attestctl("token")
        assert code == error_table()["NoToken"]["exit_status"] and "503" in err, err
        set_faults()
        with daemon:
            assert status()["State"] == "attested"
    finally:
        set_faults()
        if daemon.process.poll() is None:
            daemon.process.kill()
            daemon.process.wait()


def test_bad_configuration_is_refused_and_reload_keeps_the_old():
    with Daemon() as daemon:
        first = token()
        daemon.configure({"Token_ClockSkewSec": "soon"})
        code, _, err = attestctl("token")
        assert code == 0
        done = subprocess.run(["busctl", "--address=" + os.environ["DBUS_SYSTEM_BUS_ADDRESS"], "call", "org.attestd1", "/org/attestd1",
                               "org.attestd1.Manager", "Reload"], capture_output=True, text=True)
        assert done.returncode != 0 and "99-test.conf:2" in done.stderr and "ClockSkewSec" in done.stderr, done.stderr
        assert token() == first
    with open(os.environ["ATTESTD_CONFIG"] + ".d/99-test.conf", "w") as text:
        text.write("[Token]\nClockSkewSec=soon\n")
    done = subprocess.run([ATTESTD, "--config=" + os.environ["ATTESTD_CONFIG"]], capture_output=True, text=True, timeout=SLOW)
    os.unlink(os.environ["ATTESTD_CONFIG"] + ".d/99-test.conf")
    assert done.returncode == error_table()["ConfigInvalid"]["exit_status"], done
    assert "99-test.conf:2" in done.stderr and "soon" in done.stderr, done.stderr


run(globals())
