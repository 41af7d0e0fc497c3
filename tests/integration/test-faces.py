#!/usr/bin/env python3
"""D-Bus and the local socket as users see them: busctl and curl's requests against the documented contract, access by other users, bad requests."""
import base64
import contextlib
import grp
import http.client
import json
import os
import pathlib
import pwd
import re
import select
import shlex
import shutil
import socket
import subprocess
import sys
import time
import xml.etree.ElementTree

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import bed
from bed import *

GROUP = next((group.gr_name for group in grp.getgrall() if group.gr_name in ("games", "users", "nogroup")), None)
bed.TESTBED_OPTIONS = ["--set", f"Agent.TokenAccess=root {pwd.getpwuid(os.getuid()).pw_name} @{GROUP}"]

NAME, ROOT, DEFAULT = "org.attestd1", "/org/attestd1", "/org/attestd1/profile/default"
MANAGER, PROFILE = "org.attestd1.Manager", "org.attestd1.Profile"

# The contract of org.attestd1(5): methods with (in, out) as (name, type), properties, signals.
MANAGER_METHODS = {
    "Attest": ([("profile", "s"), ("nonce", "ay"), ("options", "a{sv}")], [("token", "s"), ("info", "a{sv}")]),
    "ValidateToken": ([("profile", "s"), ("token", "s")], [("valid", "b"), ("code", "s"), ("reason", "s"), ("claims_json", "s")]),
    "GetProfile": (["s"], ["o"]),
    "ListProfiles": ([], ["a(so)"]),
    "Reload": ([], []),
}
MANAGER_PROPERTIES = {"Version": "s", "State": "s", "Alive": "b", "Ready": "b", "Attested": "b", "TpmHealth": "s", "TpmManufacturer": "s", "AikFingerprint": "s",
                      "PcrBank": "s", "ClockOffsetUSec": "x"}
PROFILE_METHODS = {"GetToken": ([("options", "a{sv}")], ["s"]), "Renew": ([], []), "Forget": ([], [])}
PROFILE_PROPERTIES = {"Name": "s", "State": "s", "Instance": "s", "Attested": "b", "LastSuccess": "t", "LastFailure": "t", "LastError": "(ss)",
                      "TokenIssued": "t", "TokenExpires": "t", "NextAttempt": "t", "Attempts": "t", "Failures": "t", "PcrVerdicts": "a{us}",
                      "BootLogState": "s", "ImaLogState": "s", "ImaEntries": "t"}
PROFILE_SIGNALS = {"Attested": [("expires", "t")], "Failed": [("code", "s"), ("message", "s")]}


# Asking

def as_user(name, group="nogroup"):
    """Arguments of subprocess.run() for another user who is in no further group."""
    return {"user": pwd.getpwnam(name).pw_uid, "group": grp.getgrnam(group).gr_gid, "extra_groups": []}


def need_root():
    if os.getuid() != 0:
        raise Skip("other users need root")
    os.chmod(os.environ["TESTBED_DIR"], 0o711)


def busctl(*arguments, who=None, timeout=60):
    done = subprocess.run(["busctl", "--system", *arguments], capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL, **(who or {}))
    return done.returncode, done.stdout, done.stderr.strip()


def bus(*arguments, who=None):
    code, out, err = busctl(*arguments, who=who)
    assert code == 0, f"busctl {' '.join(arguments)}: {err}"
    return out


def parse_value(signature, words):
    """(value, rest of the signature) of what busctl prints; words are consumed. busctl's own JSON cannot show a{us}."""
    kind, rest = signature[0], signature[1:]
    if kind == "a":
        n = int(words.pop(0))
        item, values = rest, []
        for _ in range(n):
            value, rest = parse_value(item, words)
            values.append(value)
        if n == 0:
            rest = skip_type(item)
        return (dict(values) if item[0] == "{" else values), rest
    if kind in "({":
        values = []
        while rest[0] not in ")}":
            value, rest = parse_value(rest, words)
            values.append(value)
        return tuple(values), rest[1:]
    if kind == "v":
        return parse_value(words.pop(0), words)[0], rest
    word = words.pop(0)
    return (word if kind in "so" else word == "true" if kind == "b" else int(word)), rest


def skip_type(signature):
    """What stands behind the first complete type."""
    if signature[0] == "a":
        return skip_type(signature[1:])
    depth = 0
    for i, letter in enumerate(signature):
        depth += (letter in "({") - (letter in ")}")
        if depth == 0:
            return signature[i + 1:]
    raise AssertionError(signature)


def parse_values(text):
    words = shlex.split(text)
    signature, values = words.pop(0) if words else "", []
    while signature:
        value, signature = parse_value(signature, words)
        values.append(value)
    assert not words, words
    return values


def call(path, interface, method, *arguments, who=None):
    return parse_values(bus("call", NAME, path, interface, method, *arguments, who=who))


def refused(path, interface, method, *arguments, who=None):
    """Message of the error that the call gets."""
    code, out, err = busctl("call", NAME, path, interface, method, *arguments, who=who)
    assert code != 0, f"{method} {arguments}: not refused but {out}"
    return err


def error_name(path, interface, method, *arguments, who=None):
    """Name of the D-Bus error, which busctl call keeps to itself: from what passes over the bus."""
    with Monitor() as monitor:
        refused(path, interface, method, *arguments, who=who)
        return re.search(r"ErrorName=(\S+)", monitor.wait("ErrorName="))[1]


def properties(path, interface, who=None):
    return call(path, "org.freedesktop.DBus.Properties", "GetAll", "s", interface, who=who)[0]


class Monitor:
    """What passes over the bus to and from attestd, as `busctl monitor` writes it: blocks with an empty line behind each."""

    def __enter__(self):
        self.process = subprocess.Popen(["busctl", "--system", "monitor", NAME], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.text = b""
        for _ in range(100):   # it listens when it sees what we make pass
            bus("call", NAME, ROOT, "org.freedesktop.DBus.Peer", "Ping")
            if select.select([self.process.stdout], [], [], 0.2)[0]:
                return self
        raise AssertionError("busctl monitor sees nothing")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()

    def wait(self, *wanted, seconds=30):
        """The first block from now on that has all the wanted texts in it."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            block, separator, rest = self.text.partition(b"\n\n")
            if separator:
                self.text = rest
                if all(text.encode() in block for text in wanted):
                    return block.decode()
            elif select.select([self.process.stdout], [], [], 0.5)[0]:
                self.text += os.read(self.process.stdout.fileno(), 65536)
        raise AssertionError(f"{wanted} not seen on the bus in {seconds} s")


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path=None):
        super().__init__("localhost", timeout=60)
        self.path = path or os.environ["ATTESTD_SOCKET"]

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def ask(method, target, body=None, headers=None, connection=None):
    """(status, headers, body), the body parsed where it is JSON."""
    connection = connection or UnixConnection()
    connection.request(method, target, body if isinstance(body, (bytes, str, type(None))) else json.dumps(body), headers or {})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    if answer.headers["Content-Type"] == "application/json" and content:
        content = json.loads(content)
    return answer.status, answer.headers, content


def curl(target, *arguments, who=None):
    """(status, body) by curl, which may be another user's."""
    done = subprocess.run(["curl", "-sS", "--unix-socket", os.environ["ATTESTD_SOCKET"], "-w", "\n%{http_code}", *arguments, "http://localhost" + target],
                          capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, **(who or {}))
    assert done.returncode == 0, done.stderr
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def claims(token):
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def attested():
    wait_until(lambda: properties(DEFAULT, PROFILE)["Attested"], 60, "the first attestation")


# D-Bus

def test_bus_tree_shows_manager_and_profiles():
    wait_until(lambda: busctl("status", NAME)[0] == 0, 10, "the name on the bus")
    paths = bus("tree", "--list", NAME).split()
    assert ROOT in paths and DEFAULT in paths, paths


def interface_of(path, name):
    root = xml.etree.ElementTree.fromstring(bus("introspect", "--xml-interface", NAME, path).split("?>")[-1])
    return next(node for node in root.findall("interface") if node.get("name") == name)


def arguments_of(node, direction):
    return [(argument.get("name"), argument.get("type")) for argument in node.findall("arg") if argument.get("direction", "out") == direction]


def check_arguments(got, wanted, what):
    """wanted: (name, type), or the type alone where the contract has no name; a name there must be, though."""
    assert all(name for name, _ in got), f"{what}: arguments without names"
    assert [item if isinstance(want, tuple) else item[1] for item, want in zip(got, wanted)] == wanted and len(got) == len(wanted), (what, got)


def check_interface(path, name, methods, members, signals):
    node = interface_of(path, name)
    got = {method.get("name"): method for method in node.findall("method")}
    assert set(got) >= set(methods), set(methods) - set(got)
    for method, (wanted_in, wanted_out) in methods.items():
        check_arguments(arguments_of(got[method], "in"), wanted_in, method)
        check_arguments(arguments_of(got[method], "out"), wanted_out, method)
    types = {item.get("name"): (item.get("type"), item.get("access")) for item in node.findall("property")}
    for member, type_name in members.items():
        assert types[member] == (type_name, "read"), (member, types.get(member))
    assert {item.get("name"): arguments_of(item, "out") for item in node.findall("signal")} == signals


def test_bus_introspection_is_the_contract():
    check_interface(ROOT, MANAGER, MANAGER_METHODS, MANAGER_PROPERTIES, {})
    check_interface(DEFAULT, PROFILE, PROFILE_METHODS, PROFILE_PROPERTIES, PROFILE_SIGNALS)


def test_bus_properties_tell_the_truth():
    attested()
    of_manager, of_profile = properties(ROOT, MANAGER), properties(DEFAULT, PROFILE)
    assert of_manager["State"] == "attested" and of_manager["Alive"] and of_manager["Ready"] and of_manager["Attested"], of_manager
    assert of_manager["TpmHealth"] == "ok" and of_manager["TpmManufacturer"] == "IBM" and of_manager["PcrBank"] == "sha256", of_manager
    assert re.fullmatch("[0-9a-f]{64}", of_manager["AikFingerprint"])
    version = subprocess.run([ATTESTD, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    assert of_manager["Version"] == version
    assert of_profile["Name"] == "default" and of_profile["Instance"] == INSTANCE_URL and of_profile["State"] == "attested", of_profile
    now = time.time() * 1e6
    assert of_profile["TokenIssued"] <= now < of_profile["NextAttempt"] < of_profile["TokenExpires"], of_profile
    assert of_profile["TokenIssued"] - 1e6 <= of_profile["LastSuccess"] <= now and of_profile["Attempts"] >= 1
    with open(os.path.join(os.environ["TESTBED_DIR"], "expected-pcrs.json")) as text:
        extended = [int(pcr) for pcr, value in json.load(text)["sha256"].items() if value.strip("0")]
    verdicts = {int(pcr): verdict for pcr, verdict in of_profile["PcrVerdicts"].items()}
    assert sorted(verdicts) == list(range(24)), verdicts
    assert all(verdicts[pcr] == "replayed" for pcr in extended if pcr < 17), (extended, verdicts)


def test_bus_get_property_reads_each():
    for path, interface, members in ((ROOT, MANAGER, MANAGER_PROPERTIES), (DEFAULT, PROFILE, PROFILE_PROPERTIES)):
        for member, type_name in members.items():
            text = bus("get-property", NAME, path, interface, member)
            assert text.split(" ", 1)[0] == type_name, (member, text)


def test_bus_profiles_are_listed_and_found():
    assert call(ROOT, MANAGER, "ListProfiles")[0] == [("default", DEFAULT)]
    assert call(ROOT, MANAGER, "GetProfile", "s", "default")[0] == DEFAULT
    assert call(ROOT, MANAGER, "GetProfile", "s", "")[0] == DEFAULT
    assert error_name(ROOT, MANAGER, "GetProfile", "s", "nowhere") == "org.attestd1.Error.NoSuchProfile"
    managed = call(ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")[0]
    assert PROFILE in managed[DEFAULT] and managed[DEFAULT][PROFILE]["Name"] == "default", managed
    assert "Unknown object" in refused(ROOT + "/profile/nowhere", PROFILE, "Renew")
    assert "Unknown object" in refused(ROOT + "/profile/_64efault", PROFILE, "Renew")


def test_bus_token_is_valid_until_the_property_says():
    attested()
    token = call(DEFAULT, PROFILE, "GetToken", "a{sv}", "0")[0]
    assert claims(token)["exp"] * 1000000 == properties(DEFAULT, PROFILE)["TokenExpires"]
    assert claims(token)["iss"] == INSTANCE_URL
    assert call(DEFAULT, PROFILE, "GetToken", "a{sv}", "1", "min-remaining-sec", "u", "60")[0] == token


def test_bus_attest_binds_the_nonce_and_tells_about_it():
    nonce = os.urandom(20)
    before = call(DEFAULT, PROFILE, "GetToken", "a{sv}", "0")[0]
    token, info = call(ROOT, MANAGER, "Attest", "saya{sv}", "default", str(len(nonce)), *map(str, nonce), "1", "timeout-sec", "u", "30")
    assert b64url(nonce) in json.dumps(claims(token)), claims(token)
    assert info == {"expires": claims(token)["exp"] * 1000000, "issued": claims(token)["iat"] * 1000000, "attempts": 1, "instance": INSTANCE_URL}, info
    assert call(DEFAULT, PROFILE, "GetToken", "a{sv}", "0")[0] == before, "a token for somebody's nonce became the profile's own"


def test_bus_validate_judges():
    token = call(DEFAULT, PROFILE, "GetToken", "a{sv}", "0")[0]
    valid, code, reason, text = call(ROOT, MANAGER, "ValidateToken", "ss", "", token)
    assert (valid, code, reason) == (True, "", ""), (valid, code, reason)
    assert json.loads(text)["claims"] == claims(token)
    head, payload, signature = token.split(".")
    changed = ("B" if signature[20] == "A" else "A").join((signature[:20], signature[21:]))
    valid, code, reason, _ = call(ROOT, MANAGER, "ValidateToken", "ss", "default", f"{head}.{payload}.{changed}")
    assert (valid, code) == (False, "TokenSignatureInvalid") and reason, (valid, code, reason)
    assert call(ROOT, MANAGER, "ValidateToken", "ss", "default", "not a token")[:1] == [False]


def test_bus_signals_tell_success_and_failure():
    changes, of_profile = ("Type=signal", f"Path={DEFAULT} ", "Member=PropertiesChanged"), ("Type=signal", f"Path={DEFAULT} ", f"Interface={PROFILE} ")
    with Monitor() as monitor:
        set_faults("init:status=400")
        call(DEFAULT, PROFILE, "Renew")
        monitor.wait(*changes, '"LastError"', '"LastFailure"', '"Failures"')
        told = re.findall(r'STRING "(.*)";', monitor.wait(*of_profile, "Member=Failed"))
        assert told[0].startswith("Service") and tuple(told) == properties(DEFAULT, PROFILE)["LastError"], told
        assert properties(DEFAULT, PROFILE)["Attested"] is True
        set_faults()
        call(DEFAULT, PROFILE, "Renew")
        monitor.wait(*changes, '"LastSuccess"')   # TokenExpires has seconds, and may be the same as before
        expires = re.search(r"UINT64 (\d+);", monitor.wait(*of_profile, "Member=Attested"))[1]
        assert int(expires) == properties(DEFAULT, PROFILE)["TokenExpires"]
        assert properties(DEFAULT, PROFILE)["LastError"] == ("", "")


def test_bus_errors_have_names_and_reasons():
    assert error_name(ROOT, MANAGER, "Attest", "saya{sv}", "nowhere", "0", "0") == "org.attestd1.Error.NoSuchProfile"
    assert error_name(DEFAULT, PROFILE, "GetToken", "a{sv}", "1", "min-remaining-sec", "u", "4000000000") == "org.attestd1.Error.TokenLifeTooShort"
    assert error_name(ROOT, MANAGER, "Attest", "saya{sv}", "", "0", "1", "timeout", "u", "1") == "org.attestd1.Error.InvalidArgument"
    assert "min-remaining" in refused(DEFAULT, PROFILE, "GetToken", "a{sv}", "1", "min-remaining", "u", "1")
    assert "type u" in refused(DEFAULT, PROFILE, "GetToken", "a{sv}", "1", "min-remaining-sec", "s", "1")
    too_long = ["1"] * 1025
    assert error_name(ROOT, MANAGER, "Attest", "saya{sv}", "", str(len(too_long)), *too_long, "0") == "org.attestd1.Error.InvalidArgument"
    set_faults("init:status=400")
    name = error_name(ROOT, MANAGER, "Attest", "saya{sv}", "", "0", "0")
    set_faults()
    assert name.startswith("org.attestd1.Error.Service"), name


# The local socket

def test_http_probes():
    attested()
    assert ask("GET", "/healthz")[0] == 200
    status, _, body = ask("GET", "/readyz")
    assert status == 200 and body == {"reasons": {}, "ready": True}, (status, body)


def test_http_readyz_and_token_say_why_not():
    set_faults("init:status=503")
    call(DEFAULT, PROFILE, "Forget")
    try:
        failures = properties(DEFAULT, PROFILE)["Failures"]
        call(DEFAULT, PROFILE, "Renew")
        wait_until(lambda: properties(DEFAULT, PROFILE)["Failures"] > failures, 30, "a failure")
        status, _, body = ask("GET", "/readyz")
        assert status == 503 and body["ready"] is False and body["reasons"]["default"]["code"] == "ServiceUnavailable", body
        status, headers, body = ask("GET", "/v1/profiles/default/token")
        assert status == 503 and body["error"]["code"] == "NoToken" and "503" in body["error"]["message"], body
        left = properties(DEFAULT, PROFILE)["NextAttempt"] / 1e6 - time.time()
        assert "Retry-After" not in headers or abs(int(headers["Retry-After"]) - left) < 5, (headers["Retry-After"], left)
        assert error_name(DEFAULT, PROFILE, "GetToken", "a{sv}", "0") == "org.attestd1.Error.NoToken"
        assert "attestd_attested{profile=\"default\"} 0" in ask("GET", "/metrics")[2].decode()
    finally:
        set_faults()
        call(DEFAULT, PROFILE, "Renew")
        attested()


def test_http_status_is_what_the_bus_says():
    status, headers, body = ask("GET", "/v1/status")
    assert status == 200 and headers["Content-Type"] == "application/json" and headers["Cache-Control"] == "no-store"
    profiles = body.pop("profiles")
    assert body == properties(ROOT, MANAGER)
    of_bus = properties(DEFAULT, PROFILE)
    code, message = of_bus["LastError"]
    of_bus["LastError"] = {"code": code, "message": message} if code else None
    of_bus["PcrVerdicts"] = {str(pcr): verdict for pcr, verdict in of_bus["PcrVerdicts"].items()}
    assert profiles == {"default": of_bus}


def test_http_token_is_the_one_of_the_bus():
    token = call(DEFAULT, PROFILE, "GetToken", "a{sv}", "0")[0]
    for target in ("/v1/profiles/default/token", "/v1/profiles/default/token?min_remaining=3600"):
        status, headers, body = ask("GET", target)
        assert status == 200 and body == {"token": token, "expires": claims(token)["exp"]}, (target, status)
        assert headers["Cache-Control"] == "no-store"
    status, _, body = ask("GET", "/v1/profiles/default/token?min_remaining=4000000000")
    assert status == 503 and body["error"]["code"] == "TokenLifeTooShort", body


def test_http_head_has_no_body():
    for target in ("/healthz", "/v1/status", "/v1/profiles/default/token"):
        status, headers, body = ask("HEAD", target)
        assert status == 200 and body == b"" and int(headers["Content-Length"]) > 0, target


def test_http_attest_binds_the_nonce():
    nonce = os.urandom(32)
    status, _, body = ask("POST", "/v1/profiles/default/attest", {"nonce": b64url(nonce), "timeout_sec": 30})
    assert status == 200, body
    assert b64url(nonce) in json.dumps(claims(body["token"]))
    assert (body["expires"], body["issued"]) == (claims(body["token"])["exp"], claims(body["token"])["iat"])
    assert body["instance"] == INSTANCE_URL and body["attempts"] == 1


def test_http_attest_failure_is_the_error():
    set_faults("init:status=400")
    status, _, body = ask("POST", "/v1/profiles/default/attest", {"nonce": b64url(os.urandom(8))})
    set_faults()
    assert status == 503 and body["error"]["code"].startswith("Service") and INSTANCE_URL in body["error"]["message"], body


def test_http_validate_judges():
    token = ask("GET", "/v1/profiles/default/token")[2]["token"]
    status, _, body = ask("POST", "/v1/validate", {"token": token})
    assert status == 200 and body["valid"] is True and body["code"] == "" and body["claims"] == claims(token), body
    status, _, body = ask("POST", "/v1/validate", {"token": token[:-8], "profile": "default"})
    assert status == 200 and body["valid"] is False and body["code"].startswith("Token") and body["reason"], body
    status, _, body = ask("POST", "/v1/validate", {"token": token, "profile": "nowhere"})
    assert status == 404 and body["error"]["code"] == "NoSuchProfile", body


def test_http_metrics_are_openmetrics():
    status, headers, body = ask("GET", "/metrics")
    assert status == 200 and headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0"), headers["Content-Type"]
    lines = body.decode().split("\n")
    assert lines[-2:] == ["# EOF", ""]
    samples = {}
    for line in lines[:-2]:
        assert re.fullmatch(r'# (TYPE|UNIT|HELP) [a-z_]+ .+|[a-z_]+(\{[a-z_]+="[^"]*"\})? -?[0-9.]+', line), line
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            samples[name] = float(value)
    of_profile = properties(DEFAULT, PROFILE)
    assert samples["attestd_up"] == 1 and samples['attestd_attested{profile="default"}'] == 1
    assert samples['attestd_attempts_total{profile="default"}'] == of_profile["Attempts"]
    assert samples['attestd_failures_total{profile="default"}'] == of_profile["Failures"]
    assert round(samples['attestd_token_expires_timestamp_seconds{profile="default"}'] * 1e6) == of_profile["TokenExpires"]
    assert samples[f'attestd_build_info{{version="{properties(ROOT, MANAGER)["Version"]}"}}'] == 1


BAD_REQUESTS = [
    ("GET", "/", None, {}, 404, ""),
    ("GET", "/v1/profiles/nowhere/token", None, {}, 404, "nowhere"),
    ("POST", "/v1/profiles/nowhere/attest", "{}", {}, 404, "nowhere"),
    ("POST", "/healthz", "", {}, 405, "POST"),
    ("PUT", "/v1/profiles/default/token", "x", {}, 405, "PUT"),
    ("GET", "/v1/profiles/default/attest", None, {}, 405, "GET"),
    ("GET", "/v1/profiles/default/token?min_remaining=soon", None, {}, 400, "min_remaining"),
    ("GET", "/v1/profiles/default/token?minremaining=5", None, {}, 400, "minremaining"),
    ("GET", "/v1/profiles/a%00b/token", None, {}, 400, "profile"),
    ("POST", "/v1/profiles/default/attest", "{", {}, 400, "body"),
    ("POST", "/v1/profiles/default/attest", '{"nonce":"not base64!"}', {}, 400, "nonce"),
    ("POST", "/v1/profiles/default/attest", '{"nonce":7}', {}, 400, "nonce"),
    ("POST", "/v1/profiles/default/attest", '{"nonce":""}', {}, 400, "nonce"),
    ("POST", "/v1/profiles/default/attest", '{"nonce":"AAAA","nonce":"AAAA"}', {}, 400, "nonce"),
    ("POST", "/v1/profiles/default/attest", '{"nonze":"AAAA"}', {}, 400, "nonze"),
    ("POST", "/v1/profiles/default/attest", '{"timeout_sec":-1}', {}, 400, "timeout_sec"),
    ("POST", "/v1/profiles/default/attest", '{"nonce":"' + "A" * 1368 + '"}', {}, 400, "nonce"),
    ("POST", "/v1/validate", "{}", {}, 400, "token"),
    ("POST", "/v1/validate", "[" * 100000, {}, 400, "body"),
    ("POST", "/v1/validate", '{"token":"' + "a" * (1 << 20) + '"}', {}, 413, "1048576"),
    ("POST", "/v1/validate", b"a" * (4 << 20), {}, 413, "1048576"),
    ("PUT", "/v1/status", b"a" * (4 << 20), {}, 405, "PUT"),
    ("POST", "/v1/validate", "{}", {"Content-Encoding": "gzip"}, 415, "Content-Encoding"),
]


def test_http_bad_requests_are_named():
    for method, target, body, headers, wanted, names in BAD_REQUESTS:
        what = f"{method} {target} {str(body)[:40]}"
        status, answer_headers, answer = ask(method, target, body, headers)
        assert status == wanted, f"{what}: {status} {answer}"
        assert answer["error"]["code"] == ("NoSuchProfile" if "nowhere" in target else "RequestInvalid"), f"{what}: {answer}"
        assert names in answer["error"]["message"], f"{what}: {answer}"
        assert ("Allow" in answer_headers) == (wanted == 405), what
    assert ask("GET", "/healthz")[0] == 200


def test_http_body_that_nobody_wants_is_not_sent():
    """curl asks first (Expect: 100-continue) where the body is large, and is told."""
    large = os.path.join(os.environ["TESTBED_DIR"], "large")
    with open(large, "wb") as file:
        file.truncate(64 << 20)
    for expect in ("Expect: 100-continue", "Expect:"):
        status, body = curl("/v1/validate", "--data-binary", "@" + large, "-H", expect)
        assert status == 413 and "1048576" in body, (expect, status, body)
    os.unlink(large)


def test_http_refusal_reaches_a_client_that_reads_nothing_before_it_has_sent_all():
    """Most HTTP clients write the whole body first. Afterwards the daemon has forgotten them."""
    head = b"POST /v1/validate HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%s\r\n"
    size = 64 << 20
    for more in (b"", b"Expect: 100-continue\r\n"):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20)
            client.connect(os.environ["ATTESTD_SOCKET"])
            client.sendall(head % (size, more))
            for _ in range(size >> 16):
                client.sendall(bytes(1 << 16))
            text = b""
            while piece := client.recv(65536):
                text += piece
        assert text.startswith(b"HTTP/1.1 413 ") and b"1048576" in text, (more, text[:300])
    descriptors = f"/proc/{os.environ['ATTESTD_PID']}/fd"
    clients = [socket.socket(socket.AF_UNIX) for _ in range(20)]
    for client in clients:
        client.settimeout(20)
        client.connect(os.environ["ATTESTD_SOCKET"])
        client.sendall(head % (size, b""))
        assert client.recv(12) == b"HTTP/1.1 413"
        while client.recv(65536):
            pass
    for client in clients:
        client.sendall(bytes(1 << 16))      # nothing more comes, and still somebody listens
    lingering = len(os.listdir(descriptors))
    for client in clients:
        client.close()
    wait_until(lambda: len(os.listdir(descriptors)) <= lingering - len(clients), 10, "descriptors of clients that are gone")


def test_http_keep_alive_and_pipelining():
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(os.environ["ATTESTD_SOCKET"])
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 2 + b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        text = b""
        while piece := client.recv(65536):
            text += piece
    assert text.count(b"HTTP/1.1 200 OK\r\n") == 3, text


NONSENSE = [
    (b"GET /healthz HTTP/1.1\r\n\r\n", b"400"),   # no Host
    (b"POST /v1/validate HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", b"400"),
    (b"POST /v1/validate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
    (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"414"),
    (b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"414"),
    (b"GET /healthz HTTP/1.1\r\n" + b"X: y\r\n" * 20000 + b"\r\n", b"431"),
    (b"GET\r\n\r\n", None),      # no answer is needed
    (b"\0" * 4096, None),
    (b"GET /healthz HTTP/1.1\r\nHost", None),
]


def test_http_nonsense_does_no_harm():
    for text, status in NONSENSE:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20)
            client.connect(os.environ["ATTESTD_SOCKET"])
            with contextlib.suppress(BrokenPipeError):   # it may have heard enough
                client.sendall(text)
            if status:
                answer = client.recv(65536)
                assert answer.startswith(b"HTTP/1.1 " + status), (text[:40], answer)
    assert ask("GET", "/healthz")[0] == 200


def test_http_too_many_clients_of_one_user_are_told():
    clients = []
    try:
        for _ in range(66):
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(20)
            client.connect(os.environ["ATTESTD_SOCKET"])
            clients.append(client)
        answer = clients[65].recv(4096)
        assert answer.startswith(b"HTTP/1.1 503 ") and b'"Busy"' in answer, answer
        clients[0].sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert clients[0].recv(4096).startswith(b"HTTP/1.1 200 ")
    finally:
        for client in clients:
            client.close()
    wait_until(lambda: curl("/healthz")[0] == 200, 10, "room for clients")


# Who may

def test_access_of_another_user_is_denied_but_for_reading():
    need_root()
    who = as_user("nobody")
    assert properties(ROOT, MANAGER, who=who)["Alive"] is True
    assert properties(DEFAULT, PROFILE, who=who)["Name"] == "default"
    uid = str(pwd.getpwnam("nobody").pw_uid)
    for path, interface, method, *arguments in ((DEFAULT, PROFILE, "GetToken", "a{sv}", "0"), (DEFAULT, PROFILE, "Renew"), (DEFAULT, PROFILE, "Forget"),
                                                (ROOT, MANAGER, "Attest", "saya{sv}", "", "0", "0"), (ROOT, MANAGER, "Reload")):
        message = refused(path, interface, method, *arguments, who=who)
        assert uid in message and "TokenAccess=" in message, (method, message)
    assert properties(DEFAULT, PROFILE)["Attested"] is True
    assert call(ROOT, MANAGER, "ValidateToken", "ss", "", "x", who=who)[0] is False

    for target in ("/healthz", "/readyz", "/metrics", "/v1/status"):
        assert curl(target, who=who)[0] == 200, target
    for target, *arguments in (("/v1/profiles/default/token",), ("/v1/profiles/default/attest", "-d", "{}"), ("/v1/profiles/default/token", "-I")):
        status, body = curl(target, *arguments, who=who)
        assert status == 403, (target, status, body)
        assert "-I" in arguments or json.loads(body)["error"]["code"] == "AccessDenied", body
    assert json.loads(curl("/v1/validate", "-d", '{"token":"x"}', who=who)[1])["valid"] is False


def test_access_denied_has_its_bus_name():
    need_root()
    assert error_name(DEFAULT, PROFILE, "GetToken", "a{sv}", "0", who=as_user("nobody")) == "org.attestd1.Error.AccessDenied"


def test_access_of_a_member_of_the_group_is_granted():
    need_root()
    token = call(DEFAULT, PROFILE, "GetToken", "a{sv}", "0")[0]
    primary, supplementary = as_user("nobody", GROUP), as_user("nobody") | {"extra_groups": [grp.getgrnam(GROUP).gr_gid]}
    for who in (primary, supplementary):
        assert call(DEFAULT, PROFILE, "GetToken", "a{sv}", "0", who=who)[0] == token
        status, body = curl("/v1/profiles/default/token", who=who)
        assert status == 200 and json.loads(body)["token"] == token, (status, body)


# Clients that leave, daemons that come

def connections_to_instance():
    """How many TCP connections attestd has to the instance (proc(5): the inode is the tenth field, the addresses are in hex)."""
    pid, port = os.environ["ATTESTD_PID"], int(INSTANCE_URL.rsplit(":", 1)[1])
    inodes = set()
    for link in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):   # closed meanwhile
            inodes.add(os.readlink(link).removeprefix("socket:[").rstrip("]"))
    with open(f"/proc/{pid}/net/tcp") as table:
        rows = [line.split() for line in table][1:]
    return sum(row[9] in inodes and int(row[2].split(":")[1], 16) == port for row in rows)


def attempt_by_http():
    """Asks for an attestation; what is returned leaves."""
    body = json.dumps({"nonce": b64url(os.urandom(16)), "timeout_sec": 60}).encode()
    client = socket.socket(socket.AF_UNIX)
    client.connect(os.environ["ATTESTD_SOCKET"])
    client.sendall(b"POST /v1/profiles/default/attest HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    return client.close


def attempt_by_bus():
    process = subprocess.Popen(["busctl", "--system", "call", NAME, ROOT, MANAGER, "Attest", "saya{sv}", "", "3", *map(str, os.urandom(3)), "0"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    def leave():
        process.kill()
        process.wait()
    return leave


def test_client_that_leaves_cancels_its_attestation():
    """The profile's own next attempt is hours away then, so the only conversation is the client's: it shows in State, and cancelling it closes its
    connection."""
    set_faults()
    call(DEFAULT, PROFILE, "Renew")
    attested()
    for attempt in (attempt_by_http, attempt_by_bus):
        wait_until(lambda: properties(DEFAULT, PROFILE)["State"] == "attested", 20, "the profile to be at rest")
        set_faults("latency=60000")
        try:
            leave = attempt()
            wait_until(lambda: properties(DEFAULT, PROFILE)["State"] == "init" and connections_to_instance() > 0, 20, f"{attempt.__name__}: the attestation to begin")
            during = connections_to_instance()
            leave()
            wait_until(lambda: properties(DEFAULT, PROFILE)["State"] == "attested", 10, f"{attempt.__name__}: the attestation to end")
            wait_until(lambda: connections_to_instance() < during, 10, f"{attempt.__name__}: its connection to close")
        finally:
            set_faults()
    call(DEFAULT, PROFILE, "Renew")
    attested()


def test_other_requests_are_served_while_one_waits():
    set_faults("latency=3000")
    try:
        waiting = UnixConnection()
        waiting.request("POST", "/v1/profiles/default/attest", json.dumps({"nonce": b64url(os.urandom(16)), "timeout_sec": 60}))
        begin = time.monotonic()
        assert ask("GET", "/v1/status")[0] == 200 and properties(ROOT, MANAGER)["Alive"] is True
        assert time.monotonic() - begin < 2, "others had to wait"
        set_faults()
        answer = waiting.getresponse()
        assert answer.status == 200, answer.read()
        waiting.close()
    finally:
        set_faults()


def test_reload_announces_profiles():
    folder = pathlib.Path(os.environ["ATTESTD_CONFIG"]).parent / "profile.d"
    folder.mkdir()
    try:
        with Monitor() as monitor:
            (folder / "edge-1.conf").write_text(f"[Instance]\nUrl={INSTANCE_URL}\nCaFile={INSTANCE_CA}\n[Schedule]\nOnStart=no\n")
            call(ROOT, MANAGER, "Reload")
            path = call(ROOT, MANAGER, "GetProfile", "s", "edge-1")[0]
            monitor.wait("Member=InterfacesAdded", f'OBJECT_PATH "{path}"', f'STRING "{PROFILE}"', 'STRING "edge-1"')
            assert path in bus("tree", "--list", NAME).split()
            assert "edge-1" in ask("GET", "/v1/status")[2]["profiles"]
            (folder / "edge-1.conf").unlink()
            call(ROOT, MANAGER, "Reload")
            monitor.wait("Member=InterfacesRemoved", f'OBJECT_PATH "{path}"', f'STRING "{PROFILE}"')
            assert bus("tree", "--list", NAME).split()[-1] == DEFAULT
    finally:
        shutil.rmtree(folder)
        call(ROOT, MANAGER, "Reload")
        call(DEFAULT, PROFILE, "Renew")
        attested()


def start_second(folder, listeners, *names, socket_on):
    """attestd with directories of its own, no bus, and sockets passed in as a service manager does it."""
    (folder / "state").mkdir(parents=True, exist_ok=True)
    (folder / "run").mkdir(exist_ok=True)
    config = folder / "attestd.conf"
    config.write_text(f"[Agent]\nHttpSocket={socket_on}\n[TPM]\nTCTI={os.environ['TPM2TOOLS_TCTI']}\n[Instance]\nUrl={INSTANCE_URL}\n"
                      f"CaFile={INSTANCE_CA}\n[Schedule]\nOnStart=no\n")
    environment = dict(os.environ, RUNTIME_DIRECTORY=str(folder / "run"), STATE_DIRECTORY=str(folder / "state"),
                       DBUS_SYSTEM_BUS_ADDRESS="unix:path=" + str(folder / "no-bus"))
    if listeners:
        environment |= {"LISTEN_FDS": str(len(listeners)), "LISTEN_FDNAMES": ":".join(names)}

    def pass_on():
        for i, listener in enumerate(listeners):
            os.dup2(listener.fileno(), 3 + i)

    command = ["/bin/sh", "-c", 'export LISTEN_PID=$$; exec "$0" "$@"', ATTESTD, f"--config={config}", f"--collector={COLLECTOR}"]
    with open(folder / "log", "wb") as log:
        return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, close_fds=False, preexec_fn=pass_on)


def listening_tcp():
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    os.set_inheritable(listener.fileno(), False)
    return listener


def ask_tcp(listener, method, target, body=None):
    return ask(method, target, body, connection=http.client.HTTPConnection("127.0.0.1", listener.getsockname()[1], timeout=20))


def test_sockets_that_are_passed_in_are_served():
    folder = pathlib.Path(os.environ["TESTBED_DIR"]) / "second"
    web, metrics = listening_tcp(), listening_tcp()
    # Descriptors 3 and 4 are where they must go: ours may not stand there.
    web, metrics = (socket.socket(fileno=os.dup(s.detach())) if s.fileno() in (3, 4) else s for s in (web, metrics))
    process = start_second(folder, [web, metrics], "http", "metrics", socket_on="no")
    try:
        assert ask_tcp(web, "GET", "/healthz")[0] == 200
        assert ask_tcp(web, "GET", "/v1/status")[2]["profiles"]["default"]["Attested"] is False
        for method, target, body in (("GET", "/v1/profiles/default/token", None), ("POST", "/v1/profiles/default/attest", "{}"),
                                     ("POST", "/v1/validate", '{"token":"x"}')):
            status, _, answer = ask_tcp(web, method, target, body)
            assert status == 403 and answer["error"]["code"] == "AccessDenied", (target, status, answer)
        assert ask_tcp(metrics, "GET", "/metrics")[0] == 200 and ask_tcp(metrics, "GET", "/healthz")[0] == 200
        assert ask_tcp(metrics, "GET", "/readyz")[0] == 503
        assert ask_tcp(metrics, "GET", "/v1/status")[0] == 404
        assert not (folder / "run/attestd.sock").exists(), "HttpSocket=no made a socket"
    finally:
        process.terminate()
        status = process.wait(20)
        shutil.rmtree(folder)
    assert status == 0, status


def test_socket_of_a_dead_daemon_is_replaced_a_live_one_is_not():
    folder = pathlib.Path(os.environ["TESTBED_DIR"]) / "third"
    process = start_second(folder, [], socket_on="yes")
    path = str(folder / "run/attestd.sock")
    def lives():
        try:
            return ask("GET", "/healthz", connection=UnixConnection(path))[0] == 200
        except OSError:
            return False
    try:
        wait_until(lives, 20, "the second daemon")
        assert os.stat(path).st_mode & 0o777 == 0o666
        environment = dict(os.environ, RUNTIME_DIRECTORY=str(folder / "run"), STATE_DIRECTORY=str(folder / "state"),
                           DBUS_SYSTEM_BUS_ADDRESS="unix:path=" + str(folder / "no-bus"))
        rival = subprocess.run([ATTESTD, f"--config={folder}/attestd.conf", f"--collector={COLLECTOR}"], env=environment, capture_output=True, text=True, timeout=30)
        assert rival.returncode == error_status("Io") and path in rival.stderr, (rival.returncode, rival.stderr)
        assert lives()
        process.kill()
        process.wait()
        assert os.path.exists(path)
        process = start_second(folder, [], socket_on="yes")
        wait_until(lives, 20, "the next daemon")
    finally:
        process.terminate()
        process.wait(20)
        gone = not os.path.exists(path)
        shutil.rmtree(folder)
    assert gone, "a daemon that ends takes its socket along"


def error_status(name):
    return error_table()[name]["exit_status"]


run(globals())
