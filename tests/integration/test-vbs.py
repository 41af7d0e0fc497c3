#!/usr/bin/env python3
"""VBS reports end to end: programs, files and a paravisor that is asked for one, and an instance that judges what they say.

The reports are written here with struct, from Microsoft's ntenclv.h and OpenHCL's igvm_attest/get.rs, so that neither side is judged by its own
code. usage: test-vbs.py [COLLECTOR-CLIENT]. The paravisor is a thread with tpm2-tools: it looks at the user data in NV index 0x01400002 and writes a report about it into 0x01400001.
"""
import base64
import hashlib
import json
import os
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import bed
from bed import *

bed.TESTBED_OPTIONS = ["--no-daemon"]
SLOW = 60
CODES = {name: item["exit_status"] for name, item in error_table().items()}
CLIENT = sys.argv[1] if len(sys.argv) > 1 else ""
DIRECTORY = os.environ.get("TESTBED_DIR", "")
AIK, REPORT_INDEX, USER_DATA_INDEX = "0x81000003", "0x01400001", "0x01400002"
AIK_ATTRIBUTES = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|sign|noda"
REPORT_SIZE = 2048    # swtpm's largest index; OpenHCL's has 2900 bytes

ENCLAVE_WRITER = """
def enclave_report(data):
    statement = struct.pack("<II64s32s32s32s16s16s6I", 224, 1, data, b"O" * 32, b"U" * 32, b"A" * 32, b"F" * 16, b"I" * 16, 7, 2, 3, 5, 6, 16)
    return struct.pack("<6I", 24 + 224 + 256, 1, 1, 224, 256, 0) + statement + b"s" * 256
"""


def path(name):
    return os.path.join(DIRECTORY, name)


def program(name, body):
    """An executable Python program, with enclave_report() at hand."""
    with open(path(name), "w") as file:
        file.write(f"#!{sys.executable}\nimport os, struct, subprocess, sys, time\n{ENCLAVE_WRITER}\n{body}\n")
    os.chmod(path(name), 0o755)
    return "command:" + path(name)


def configure(setting):
    directory = os.environ["ATTESTD_CONFIG"] + ".d"
    with open(os.path.join(directory, "90-vbs.conf"), "w") as file:
        file.write(f"[Evidence]\nVbsReport={setting}\n")


def attest(setting, check=0):
    """Claims of the policy, or the message of the error."""
    configure(setting)
    _, output, err = attestctl("attest", "--no-daemon", "--config", os.environ["ATTESTD_CONFIG"], "--timeout", "0", "--json", check=check)
    return policy_claims(json.loads(output)["token"]) if check == 0 else err


def policy_claims(token):
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["x-ms-policy"]


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def is_gone(pid):
    """Not there, or dead and waiting for whoever adopted it."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


def says(text, *words):
    for word in words:
        assert word in text, f"\"{word}\" is not in: {text}"


GOOD = "data = sys.stdin.buffer.read()\nsys.stdout.buffer.write(enclave_report(data))"


def test_enclave_report_of_a_program_becomes_claims():
    claims = attest(program("good", GOOD + f"\nopen({path('seen')!r}, 'wb').write(data)"))
    with open(path("seen"), "rb") as file:
        assert len(file.read()) == 64
    expected = {"vbsReportPresent": True, "vbsReportKind": "enclave", "vbsReportSigned": "unverified", "enclaveSvn": 7, "enclavePlatformSvn": 3, "enclaveFlags": 5,
                "enclaveAuthorId": b64url(b"A" * 32), "enclaveImageId": b64url(b"I" * 16), "enclaveOwnerId": b64url(b"O" * 32),
                "enclaveFamilyId": b64url(b"F" * 16)}
    assert {name: claims.get(name) for name in expected} == expected, claims
    assert claims["bootLogPresent"] and claims["imaLogPresent"], claims   # the evidence inside is the same as ever


def test_without_a_provider_the_request_is_basic():
    claims = attest("none")
    assert claims["vbsReportPresent"] is False and not [name for name in claims if name.startswith(("vbsReportKind", "vbsReportSigned", "enclave"))], claims


def test_daemon_sends_the_report_along():
    configure(program("good", GOOD))
    with open(os.path.join(DIRECTORY, "log", "attestd"), "ab") as log:
        daemon = subprocess.Popen([ATTESTD, "--config=" + os.environ["ATTESTD_CONFIG"], "--collector=" + COLLECTOR], stdin=subprocess.DEVNULL,
                                  stdout=log, stderr=log)
    try:
        wait_until(lambda: attestctl("wait", "--timeout", "1")[0] == 0, SLOW, "an attestation")
        claims = policy_claims(attestctl("token", check=0)[1].strip())
        assert (claims["vbsReportKind"], claims["enclaveSvn"]) == ("enclave", 7), claims
        daemon.terminate()
        assert daemon.wait(SLOW) == 0
    finally:
        daemon.kill()
        daemon.wait()


def test_report_about_something_else_is_refused():
    spoil = program("other", "data = bytearray(sys.stdin.buffer.read())\ndata[63] ^= 1\nsys.stdout.buffer.write(enclave_report(bytes(data)))")
    says(attest(spoil, CODES["ServiceRefused"]), "vsm_report.enclave", "EnclaveData")
    says(attest(program("nonsense", "sys.stdin.buffer.read()\nprint('hello')"), CODES["ServiceRefused"]), "vsm_report.enclave")
    with open(path("old-report"), "wb") as file:   # a replay: of an earlier request
        with open(path("seen"), "rb") as seen:
            names = {}
            exec("import struct\n" + ENCLAVE_WRITER, names)
            file.write(names["enclave_report"](seen.read()))
    says(attest("file:" + path("old-report"), CODES["ServiceRefused"]), "EnclaveData")


def test_programs_that_fail_are_named_with_their_last_words():
    code = CODES["VbsReportUnavailable"]
    says(attest(program("fails", "print('x' * 5000 + ' no enclave here', file=sys.stderr)\nsys.exit(3)"), code), "status 3", "xxx no enclave here", path("fails"))
    says(attest(program("dies", "os.kill(os.getpid(), 11)"), code), "signal 11")
    says(attest(program("silent", ""), code), "empty")
    says(attest("command:" + path("nowhere"), code), "nowhere", "No such file")
    with open(path("plain"), "w") as file:
        file.write("no program")
    os.chmod(path("plain"), 0o644)
    says(attest("command:" + path("plain"), code), "plain", "Permission denied")
    says(attest(program("loud", "while True: os.write(1, b'x' * 60000)"), CODES["LimitExceeded"]), "65536")
    says(attest("file:" + path("nowhere"), CODES["Io"]), "nowhere")


def test_program_that_hangs_is_killed_with_all_of_its_group():
    setting = program("hangs", f"child = subprocess.Popen(['sleep', '1000'])\nopen({path('pids')!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
                               "print('waiting for the enclave', file=sys.stderr, flush=True)\ntime.sleep(1000)")
    begin = time.monotonic()
    message = attest(setting, CODES["Timeout"])
    assert 9.5 <= time.monotonic() - begin < 25, time.monotonic() - begin
    says(message, "10 s", "waiting for the enclave")
    with open(path("pids")) as file:
        pids = file.read().split()
    assert len(pids) == 2
    wait_until(lambda: all(is_gone(pid) for pid in pids), SLOW, "the end of the program and its child")


def test_what_a_program_leaves_behind_is_not_waited_for():
    """The child keeps the pipes open."""
    begin = time.monotonic()
    claims = attest(program("leaves", GOOD + f"\nsys.stdout.flush()\nopen({path('pid')!r}, 'w').write(str(subprocess.Popen(['sleep', '1000']).pid))"))
    assert claims["vbsReportPresent"] and time.monotonic() - begin < 9
    with open(path("pid")) as file:
        pid = file.read()
    wait_until(lambda: is_gone(pid), SLOW, "the end of the child")


def ask_collector(*lines):
    """What the collector answers over its own bus, through collector-client: one JSON object a line."""
    if not CLIENT:
        raise Skip("no collector-client was named")
    done = subprocess.run([CLIENT, "--config=" + os.environ["ATTESTD_CONFIG"], "--collector=" + COLLECTOR], input="".join(line + "\n" for line in lines),
                          capture_output=True, text=True, timeout=SLOW)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_collector_tells_who_is_asked_and_takes_64_bytes_alone():
    setting = program("good", GOOD)
    configure(setting)
    data = bytes(range(64))
    info, short, long, report = ask_collector("info", "report " + data[1:].hex(), "report " + data.hex() + "00", "report " + data.hex())
    assert info["vbs_report"] == setting, info
    for answer, size in ((short, "63"), (long, "65")):
        assert answer["error"] == "INVALID_ARGUMENT" and size in answer["message"], answer
    assert report["kind"] == "enclave" and bytes.fromhex(report["report"])[0x20:0x60] == data, report
    configure("none")
    info, none = ask_collector("info", "report " + data.hex())
    assert info["vbs_report"] == "none", info
    assert none["error"] == "VBS_REPORT_UNAVAILABLE", none


# A paravisor

def handles(kind):
    return {int(line.split("0x")[1], 16) for line in tpm("tpm2_getcap", "handles-" + kind).splitlines() if "0x" in line}


def aik_modulus():
    """Out of the TPM, of the key at Azure's handle, which is made when it is not there."""
    if int(AIK, 16) not in handles("persistent"):
        tpm("tpm2_createprimary", "-C", "o", "-G", "rsa2048:rsassa-sha256:null", "-a", AIK_ATTRIBUTES, "-c", path("aik.ctx"))
        tpm("tpm2_evictcontrol", "-C", "o", "-c", path("aik.ctx"), AIK)
        tpm("tpm2_flushcontext", "-t")
    tpm("tpm2_readpublic", "-c", AIK, "-f", "pem", "-o", path("aik.pem"))
    text = subprocess.run(["openssl", "rsa", "-pubin", "-in", path("aik.pem"), "-noout", "-modulus"], capture_output=True, text=True, check=True).stdout
    return bytes.fromhex(text.strip().partition("=")[2])


def hcl_report(modulus, user_data, tee=1, bound=True):
    claims = {"keys": [{"kid": "HCLAkPub", "key_ops": ["sign"], "kty": "RSA", "e": "AQAB", "n": b64url(modulus)}],
              "vm-configuration": {"secure-boot": True, "tpm-enabled": True, "vmUniqueId": "5F8C1A2B"}, "user-data": user_data.hex().upper()}
    text = json.dumps(claims).encode()
    data = hashlib.sha256(text if bound else text + b" ").digest() + bytes(32)
    area = bytearray(1184)
    if tee == 1:      # a VBS VM's report of 560 bytes
        struct.pack_into("<IIII", area, 0, 560, 1, 1, 256)
        struct.pack_into("<I64s", area, 0x14, 1, data)
    elif tee == 2:    # SEV-SNP, AMD 56860 table 22: version, signature algorithm, report data
        struct.pack_into("<I", area, 0, 2)
        struct.pack_into("<I", area, 0x34, 1)
        area[0x50:0x90] = data
    head = struct.pack("<4sIII16x", b"HCLA", 2, 32 + 1184 + 20 + len(text), 2)
    return (head + area + struct.pack("<5I", 20 + len(text), 1, tee, 1, len(text)) + text).ljust(REPORT_SIZE, b"\0")


class Paravisor:
    """Renews the report some time after the user data changed, as the real one does: earlier reads get the old one."""

    def __init__(self, delay=1.0, **report):
        self.delay, self.report, self.seen, self.failure = delay, report, bytes(64), None
        self.stop, self.thread = threading.Event(), threading.Thread(target=self.serve)

    def write(self):
        with open(path("hcl.bin"), "wb") as file:
            file.write(hcl_report(user_data=self.seen, **self.report))
        tpm("tpm2_nvwrite", "-C", "o", "-i", path("hcl.bin"), REPORT_INDEX)

    def user_data(self):
        if int(USER_DATA_INDEX, 16) not in handles("nv-index"):
            return bytes(64)
        done = subprocess.run(["tpm2_nvread", "-C", "o", USER_DATA_INDEX], capture_output=True, timeout=SLOW, stdin=subprocess.DEVNULL)
        return done.stdout if done.returncode == 0 and len(done.stdout) == 64 else bytes(64)   # defined, and not written yet

    def serve(self):
        try:
            while not self.stop.wait(0.1):
                now = self.user_data()
                if now != self.seen:
                    self.stop.wait(self.delay)
                    self.seen = now
                    self.write()
        except Exception as failure:
            self.failure = failure

    def __enter__(self):
        if int(REPORT_INDEX, 16) not in handles("nv-index"):
            tpm("tpm2_nvdefine", "-C", "o", "-s", str(REPORT_SIZE), "-a", "ownerread|ownerwrite|authread|no_da", REPORT_INDEX)
        self.seen = self.user_data()
        self.write()
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join(SLOW)
        if self.failure:
            raise self.failure


def test_nv_index_that_is_not_there_is_named():
    says(attest("nv:" + REPORT_INDEX, CODES["VbsReportUnavailable"]), "0x01400001", "paravisor")
    assert int(USER_DATA_INDEX, 16) not in handles("nv-index")   # nor is anything made for it


def test_paravisor_report_of_this_machine_becomes_claims():
    with Paravisor(modulus=aik_modulus()) as paravisor:
        claims = attest("nv:" + REPORT_INDEX)
        assert paravisor.seen != bytes(64)
    expected = {"vbsReportPresent": True, "vbsReportKind": "vm", "vbsReportSigned": "unverified", "vbsReportTee": "vbs-vm"}
    assert {name: claims.get(name) for name in expected} == expected, claims
    assert claims["vmConfiguration"] == {"secure-boot": True, "tpm-enabled": True, "vmUniqueId": "5F8C1A2B"}, claims
    shown = tpm("tpm2_nvreadpublic", USER_DATA_INDEX)   # the collector defined it
    says(shown, "size: 64")


def test_report_of_other_hardware_names_its_type():
    with Paravisor(modulus=aik_modulus(), tee=2):
        assert attest("nv:" + REPORT_INDEX)["vbsReportTee"] == "snp"


def test_report_that_does_not_take_up_the_user_data_is_never_sent():
    with Paravisor(modulus=aik_modulus(), delay=1000):
        begin = time.monotonic()
        says(attest("nv:" + REPORT_INDEX, CODES["ParavisorReportMismatch"]), "read 5 times", "user-data")
        assert time.monotonic() - begin >= 4 * 2.2


def test_report_that_is_not_bound_to_its_claims_is_never_sent():
    with Paravisor(modulus=aik_modulus(), bound=False):
        says(attest("nv:" + REPORT_INDEX, CODES["ParavisorReportMismatch"]), "runtime claims")


def test_report_about_another_attestation_key_is_refused():
    other = bytearray(aik_modulus())
    other[100] ^= 1
    with Paravisor(modulus=bytes(other)):
        says(attest("nv:" + REPORT_INDEX, CODES["ServiceRefused"]), "vsm_report.vm", "HCLAkPub")


def test_paravisor_report_from_a_file_is_one_too():
    with open(path("hcl-file"), "wb") as file:
        file.write(hcl_report(aik_modulus(), bytes(64)))
    says(attest("file:" + path("hcl-file"), CODES["ServiceRefused"]), "vsm_report.vm", "user-data")


def test_nothing_is_left_in_the_tpm():
    for kind in ("transient", "loaded-session", "saved-session"):
        assert tpm("tpm2_getcap", f"handles-{kind}").strip() == ""


run(globals())
