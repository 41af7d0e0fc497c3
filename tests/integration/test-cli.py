#!/usr/bin/env python3
"""The verbs of attestctl that talk to the daemon, against the real one: what they print, when they end, and with which exit status."""
import base64
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import bed
from bed import *

bed.TESTBED_OPTIONS = ["--no-daemon"]
SLOW = 60   # patience: sanitizer builds on a busy machine
CODES = {name: item["exit_status"] for name, item in error_table().items()}
DAEMON = None


def start_daemon():
    global DAEMON
    log = open(os.path.join(os.environ["TESTBED_DIR"], "log", "attestd"), "ab")
    DAEMON = subprocess.Popen([ATTESTD, "--config=" + os.environ["ATTESTD_CONFIG"], "--collector=" + COLLECTOR],
                              stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    log.close()


def stop_daemon():
    DAEMON.send_signal(signal.SIGTERM)
    assert DAEMON.wait(timeout=SLOW) == 0


def claims_of(token):
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def on_terminal(*arguments):
    """Exit status, standard output (a pipe), and what a terminal on standard error shows."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([ATTESTCTL, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            data = os.read(ours, 4096)
        except OSError:   # the other end is closed
            break
        if not data:
            break
        shown += data
    os.close(ours)
    output = process.stdout.read()
    process.stdout.close()
    return process.wait(timeout=SLOW), output.decode(), shown.decode().replace("\r\n", "\n")


def socket_status():
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(SLOW)
    connection.connect(os.environ["ATTESTD_SOCKET"])
    connection.sendall(b"GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answer = b"".join(iter(lambda: connection.recv(65536), b""))
    connection.close()
    return json.loads(answer.partition(b"\r\n\r\n")[2])


def test_without_daemon_every_verb_says_not_running():
    for verb in ("status", "token", "attest"):
        code, output, err = attestctl(verb, "--json", check=CODES["NotRunning"])
        assert json.loads(output)["error"]["code"] == "NotRunning", output
        assert err.startswith("attestctl: "), err


def test_wait_for_a_daemon_that_is_not_there_times_out():
    begin = time.monotonic()
    _, _, err = attestctl("wait", "--timeout", "500ms", check=CODES["Timeout"])
    assert time.monotonic() - begin >= 0.5
    assert "not on the bus" in err, err


def test_attest_no_daemon_gives_a_bound_token():
    nonce = bytes(range(40))
    _, output, _ = attestctl("attest", "--no-daemon", "--config", os.environ["ATTESTD_CONFIG"], "--nonce", nonce.hex(), "--json", check=0)
    answer = json.loads(output)
    claims = claims_of(answer["token"])
    assert claims["rp_data"] == b64url(nonce), claims["rp_data"]
    assert (answer["issued"], answer["expires"], answer["instance"]) == (claims["iat"], claims["exp"], INSTANCE_URL), answer
    code, output, err = on_terminal("attest", "--no-daemon", "--config", os.environ["ATTESTD_CONFIG"])
    assert code == 0, err
    assert claims_of(output.strip())["iss"] == INSTANCE_URL
    steps = re.findall(r"^  ([a-z]+) +[\d.]+ (?:us|ms|s)$", err, re.M)
    assert steps == ["credential", "init", "quote", "request", "validate"], err


def test_attest_no_daemon_retries_what_may_pass_and_nothing_else():
    config = ("--no-daemon", "--config", os.environ["ATTESTD_CONFIG"])
    try:
        set_faults("init:status=503@2")
        assert json.loads(attestctl("attest", *config, "--timeout", "60", "--json", check=0)[1])["attempts"] == 3
        set_faults("init:status=503")
        attestctl("attest", *config, "--timeout", "0", check=CODES["ServiceUnavailable"])
        set_faults("token=tampered@1")
        begin = time.monotonic()
        attestctl("attest", *config, "--timeout", "60", check=CODES["TokenSignatureInvalid"])
        assert time.monotonic() - begin < 30
        set_faults()
        attestctl("attest", "--no-daemon", "--config", "/nonexistent.conf", check=CODES["ConfigMissing"])
        attestctl("attest", *config, "--profile", "other", check=CODES["NoSuchProfile"])
    finally:
        set_faults()


def test_wait_starts_before_the_daemon_and_sees_its_first_token():
    waiting = subprocess.Popen([ATTESTCTL, "wait", "--timeout", str(SLOW), "--json"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    time.sleep(0.3)   # whichever comes first: it must end either way
    assert waiting.poll() is None
    start_daemon()
    output = waiting.communicate(timeout=SLOW)[0]
    assert waiting.returncode == 0
    assert json.loads(output)["profiles"]["default"]["Attested"] is True, output
    attestctl("wait", "--timeout", "0", check=0)
    attestctl("wait", "--profile", "default", "--timeout", "0", check=0)
    attestctl("wait", "--profile", "other", check=CODES["NoSuchProfile"])


def test_status_json_says_what_the_socket_says():
    assert status() == socket_status()


def test_status_on_one_screen():
    shown = attestctl("status", check=0)[1]
    now = status()
    profile = now["profiles"]["default"]
    assert "\x1b" not in shown
    assert shown.startswith(f"attestd {now['Version']}: attested\n"), shown
    for words in (now["AikFingerprint"], now["TpmManufacturer"], now["PcrBank"], INSTANCE_URL, f"{profile['ImaEntries']} entries", "replayed 0-"):
        assert words in shown, (words, shown)
    assert re.search(r"token +issued .*\n +expires .* \(in .*\)\n", shown), shown
    assert shown.count("\n") <= 24, shown


def test_token_decode_and_min_remaining():
    token = attestctl("token", check=0)[1].strip()
    answer = json.loads(attestctl("token", "--json", check=0)[1])
    assert answer == {"token": token, "expires": claims_of(token)["exp"]}
    decoded = json.loads(attestctl("token", "--decode", check=0)[1])
    assert decoded["header"]["alg"] == "RS256"
    assert decoded["claims"]["iss"] == claims_of(token)["iss"] == INSTANCE_URL
    assert json.loads(attestctl("token", "--decode", "--json", check=0)[1]) == decoded
    attestctl("token", "--min-remaining", "60", check=0)
    attestctl("token", "--min-remaining", "30d", check=CODES["TokenLifeTooShort"])
    attestctl("token", "--profile", "other", check=CODES["NoSuchProfile"])


def test_attest_binds_the_token_to_the_nonce_and_shows_its_steps():
    nonce = os.urandom(16)
    answer = json.loads(attestctl("attest", "--nonce", nonce.hex(), "--json", check=0)[1])
    claims = claims_of(answer["token"])
    assert claims["rp_data"] == b64url(nonce)
    assert (answer["issued"], answer["expires"], answer["instance"]) == (claims["iat"], claims["exp"], INSTANCE_URL), answer
    code, output, err = on_terminal("attest")
    assert code == 0 and len(output.strip().split(".")) == 3, (code, err)
    steps = re.findall(r"^  ([a-z]+) ", err, re.M)
    assert steps and steps == [s for s in ("credential", "init", "quote", "request", "validate") if s in steps], err
    assert {"quote", "request"} <= set(steps), err
    assert "Attested by " + INSTANCE_URL in err, err
    assert attestctl("attest")[2] == ""   # no terminal: no steps


def test_attest_retries_within_its_timeout_then_gives_the_error():
    try:
        set_faults("init:status=503@1")
        answer = json.loads(attestctl("attest", "--nonce", "01", "--timeout", "60", "--json", check=0)[1])
        assert answer["attempts"] >= 2, answer
        set_faults("init:status=503")
        _, output, err = attestctl("attest", "--nonce", "02", "--timeout", "6", "--json", check=CODES["ServiceUnavailable"])
        assert json.loads(output)["error"]["code"] == "ServiceUnavailable", output
        assert "503" in err, err
        set_faults("token=wrong-nonce@1")
        attestctl("attest", "--nonce", "03", "--timeout", "60", check=CODES["TokenNonceMismatch"])
    finally:
        set_faults()


def test_validate_by_the_daemon():
    path = os.path.join(os.environ["TESTBED_DIR"], "token.jwt")
    token = attestctl("token", check=0)[1].strip()
    with open(path, "w") as text:
        text.write(token + "\n")
    assert "valid" in attestctl("validate", path, check=0)[1]
    verdict = json.loads(attestctl("validate", "--json", path, check=0)[1])
    assert verdict["valid"] is True and verdict["claims"]["iss"] == INSTANCE_URL, verdict
    header, payload, signature = token.split(".")
    changed = payload[:40] + ("B" if payload[40] != "B" else "C") + payload[41:]
    for parts, codes in (((header, payload, signature[:-6] + "AAAAAA"), ["TokenSignatureInvalid"]), ((header, payload), ["TokenTruncated"]),
                         ((header, changed, signature), ["TokenSignatureInvalid", "TokenMalformed"])):   # the change may break the JSON
        with open(path, "w") as text:
            text.write(".".join(parts))
        code, output, err = attestctl("validate", "--json", path)
        verdict = json.loads(output)
        assert verdict["valid"] is False and verdict["code"] in codes and code == CODES[verdict["code"]], output
        assert verdict["code"] in err, err
    with open(path, "w") as text:
        text.write(token)
    attestctl("validate", "--profile", "other", path, check=CODES["NoSuchProfile"])


def test_other_users_may_look_but_not_take():
    if os.geteuid() != 0:
        raise Skip("only root can become another user")
    os.chmod(os.environ["TESTBED_DIR"], 0o711)   # the bus lies in it
    other = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", ATTESTCTL]
    looked = subprocess.run([*other, "status"], capture_output=True, text=True, timeout=SLOW)
    if looked.returncode == CODES["NotRunning"]:
        raise Skip("another user cannot reach the testbed's bus: " + looked.stderr.strip())
    assert looked.returncode == 0, looked
    for verb in ("token", "attest"):
        done = subprocess.run([*other, verb], capture_output=True, text=True, timeout=SLOW)
        assert (done.returncode, done.stdout) == (CODES["AccessDenied"], ""), done


def test_wait_tells_why_there_is_no_token_yet():
    stop_daemon()
    token = os.path.join(os.environ["RUNTIME_DIRECTORY"], "tokens", "default.json")
    os.unlink(token)
    try:
        set_faults("status=503")
        start_daemon()
        _, _, err = attestctl("wait", "--timeout", "4", check=CODES["Timeout"])
        assert "503" in err, err
        shown = attestctl("status", check=0)[1]
        assert "last error  ServiceUnavailable: " in shown and "token       none" in shown, shown
        waiting = subprocess.Popen([ATTESTCTL, "wait", "--timeout", str(SLOW)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        set_faults()
        output = waiting.communicate(timeout=SLOW)[0]
        assert waiting.returncode == 0 and output.startswith("default: attested"), output
    finally:
        set_faults()
        stop_daemon()


run(globals())
