"""What tests of attestd-tpm with tcti-fault.c share: one swtpm, one collector and the fault TCTI between them; the table of response codes with what
each must end in, from the meaning of the codes (TPM 2.0 Part 2 §6.6); and how the command is named that failed.
"""
import collections
import concurrent.futures
import contextlib
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

from bed import COLLECTOR, Skip
from swtpm import Proxy, Swtpm, have_swtpm, read_message

CLIENT, TCTI = (os.path.abspath(path) for path in sys.argv[1:3])

# TPM 2.0 Part 2 §6.5.2, and how our messages name what is going on while one is sent.
FLUSH, CREATE_PRIMARY, CREATE, LOAD, READ_PUBLIC = 0x165, 0x131, 0x153, 0x157, 0x173
NV_READ, NV_READ_PUBLIC, GET_CAPABILITY, PCR_READ, QUOTE, READ_CLOCK = 0x14E, 0x169, 0x17A, 0x17E, 0x158, 0x181
WORDS = {
    FLUSH: ("TPM2_FlushContext",), CREATE_PRIMARY: ("TPM2_CreatePrimary",), CREATE: ("TPM2_Create of",), LOAD: ("TPM2_Load",),
    READ_PUBLIC: ("TPM2_ReadPublic", "looking up the attestation key", "looking up the endorsement key", "looking up the key"), NV_READ: ("TPM2_NV_Read",),
    NV_READ_PUBLIC: ("TPM2_NV_ReadPublic", "looking up the NV index"), GET_CAPABILITY: ("TPM2_GetCapability",), PCR_READ: ("TPM2_PCR_Read",),
    QUOTE: ("TPM2_Quote",), READ_CLOCK: ("TPM2_ReadClock",),
}
# Of enrolment, of reports from NV and of request keys.
ACTIVATE_CREDENTIAL, START_SESSION, POLICY_SECRET, NV_WRITE, NV_DEFINE, CERTIFY, SIGN, RSA_DECRYPT = 0x147, 0x176, 0x151, 0x137, 0x12A, 0x148, 0x15D, 0x159
POLICY_PCR = 0x17F
WORDS_OF_KEYS = {
    ACTIVATE_CREDENTIAL: ("TPM2_ActivateCredential",), START_SESSION: ("TPM2_StartAuthSession",), POLICY_SECRET: ("TPM2_PolicySecret",),
    NV_WRITE: ("TPM2_NV_Write",), NV_DEFINE: ("TPM2_NV_DefineSpace",), CERTIFY: ("TPM2_Certify",), SIGN: ("TPM2_Sign",),
    RSA_DECRYPT: ("TPM2_RSA_Decrypt",), POLICY_PCR: ("TPM2_PolicyPCR",),
}

FAILED, MEMORY, AUTHORIZATION, ABSENT, AGAIN = "TPM_COMMAND_FAILED", "TPM_OUT_OF_MEMORY", "TPM_AUTHORIZATION", "TPM_ABSENT", "again"
P1, P2, H1, S1 = 0x140, 0x240, 0x100, 0x900   # parameter, handle and session numbers of format-one codes
FORMAT_ZERO = {
    "INITIALIZE": (0x100, FAILED), "FAILURE": (0x101, FAILED), "SEQUENCE": (0x103, FAILED), "DISABLED": (0x120, FAILED), "EXCLUSIVE": (0x121, FAILED),
    "AUTH_TYPE": (0x124, AUTHORIZATION), "AUTH_MISSING": (0x125, AUTHORIZATION), "POLICY": (0x126, FAILED), "PCR": (0x127, FAILED),
    "PCR_CHANGED": (0x128, FAILED), "UPGRADE": (0x12D, FAILED), "TOO_MANY_CONTEXTS": (0x12E, FAILED), "AUTH_UNAVAILABLE": (0x12F, AUTHORIZATION),
    "REBOOT": (0x130, FAILED), "UNBALANCED": (0x131, FAILED), "COMMAND_SIZE": (0x142, FAILED), "COMMAND_CODE": (0x143, FAILED),
    "AUTHSIZE": (0x144, FAILED), "NV_RANGE": (0x146, FAILED), "NV_LOCKED": (0x148, FAILED), "NV_AUTHORIZATION": (0x149, AUTHORIZATION),
    "NV_UNINITIALIZED": (0x14A, FAILED), "NV_SPACE": (0x14B, FAILED), "PARENT": (0x152, FAILED), "NEEDS_TEST": (0x153, FAILED),
    "NO_RESULT": (0x154, FAILED), "SENSITIVE": (0x155, FAILED), "CONTEXT_GAP": (0x901, FAILED), "OBJECT_MEMORY": (0x902, MEMORY),
    "SESSION_MEMORY": (0x903, MEMORY), "MEMORY": (0x904, MEMORY), "SESSION_HANDLES": (0x905, MEMORY), "OBJECT_HANDLES": (0x906, MEMORY),
    "LOCALITY": (0x907, FAILED), "YIELDED": (0x908, AGAIN), "CANCELED": (0x909, FAILED), "TESTING": (0x90A, AGAIN),
    "REFERENCE_H0": (0x910, FAILED), "REFERENCE_H1": (0x911, FAILED), "REFERENCE_S0": (0x918, FAILED), "NV_RATE": (0x920, AGAIN),
    "LOCKOUT": (0x921, AUTHORIZATION), "RETRY": (0x922, AGAIN), "NV_UNAVAILABLE": (0x923, FAILED), "BAD_TAG of TPM 1.2": (0x01E, FAILED),
    "vendor's": (0x501, FAILED),
}
FORMAT_ONE = {
    "ASYMMETRIC": (0x081 | P2, FAILED), "ATTRIBUTES": (0x082 | H1, FAILED), "HASH": (0x083 | P2, FAILED), "VALUE": (0x084 | P1, FAILED),
    "HIERARCHY": (0x085 | H1, FAILED), "KEY_SIZE": (0x087 | P2, FAILED), "TYPE": (0x08A | H1, FAILED), "HANDLE": (0x08B | H1, FAILED),
    "RANGE": (0x08D | P2, FAILED), "AUTH_FAIL": (0x08E | S1, AUTHORIZATION), "NONCE": (0x08F | S1, FAILED), "SCHEME": (0x092 | P2, FAILED),
    "SIZE": (0x095 | P1, FAILED), "SYMMETRIC": (0x096 | P2, FAILED), "INSUFFICIENT": (0x09A | P1, FAILED), "KEY": (0x09C | H1, FAILED),
    "POLICY_FAIL": (0x09D | S1, AUTHORIZATION), "INTEGRITY": (0x09F | P1, FAILED), "RESERVED_BITS": (0x0A1 | P2, FAILED),
    "BAD_AUTH": (0x0A2 | S1, AUTHORIZATION), "EXPIRED": (0x0A3 | S1, FAILED), "BINDING": (0x0A5 | P1, FAILED), "CURVE": (0x0A6 | P2, FAILED),
    "HANDLE without number": (0x08B, FAILED), "AUTH_FAIL without number": (0x08E, AUTHORIZATION), "BAD_AUTH without number": (0x0A2, AUTHORIZATION),
}
# What the TSS says of its own: TSS 2.0 Overview §5. A connection that broke is an absent TPM, whatever the transport calls it.
TCTI_CODES = {"GENERAL_FAILURE": 0xA0001, "NO_CONNECTION": 0xA0008, "IO_ERROR": 0xA000A, "MALFORMED_RESPONSE": 0xA000C, "NOT_PERMITTED": 0xA000F}

FRESH = " without a key"   # of a request: its end
Command = collections.namedtuple("Command", "code occurrence")


class Bed:
    """A swtpm, the fault TCTI and one collector."""

    def __init__(self, directory, provision=None, with_proxy=False):
        self.directory, self.swtpm = directory, Swtpm(directory)
        self.kept, self.fresh = {}, ("aik.tpm2b",)   # files of the state directory with their content; those that FRESH takes away
        self.before = None                           # called before each request
        tpm, evidence = (list(provision(self)), []) if provision else ([], [])
        if tpm and isinstance(tpm[0], list):
            tpm, evidence = tpm
        self.proxy = Proxy(self.swtpm) if with_proxy else None
        self.script, self.state = self.path("script"), self.path("state")
        self.n_cases = 0
        os.mkdir(self.state)
        self.set_script("")
        with open(self.path("attestd.conf"), "w") as stream:
            stream.write("\n".join(["[TPM]", f"TCTI={TCTI}:{self.script},{(self.proxy or self.swtpm).tcti}", *tpm, "[Evidence]", "BootLogPolicy=off",
                                    "ImaLogPolicy=off", *evidence, ""]))
        self.client = subprocess.Popen(
            [CLIENT, f"--config={self.path('attestd.conf')}", f"--collector={os.path.abspath(COLLECTOR)}", f"--socket={self.path('nowhere')}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ, STATE_DIRECTORY=self.state))
        self.info = self.ok("info")
        self.keep()

    def keep(self):
        """The state directory as it is now is what requests find."""
        for name in os.listdir(self.state):
            with open(os.path.join(self.state, name), "rb") as stream:
                self.kept[name] = stream.read()

    def path(self, name):
        return os.path.join(self.directory, name)

    def set_script(self, text):
        """Always another file, so that the TCTI notices."""
        with open(self.script + ".new", "w") as stream:
            stream.write(text)
        os.rename(self.script + ".new", self.script)

    def ask(self, line):
        self.client.stdin.write(line + "\n")
        self.client.stdin.flush()
        return json.loads(self.client.stdout.readline())

    def ok(self, line):
        answer = self.ask(line)
        assert "error" not in answer, answer
        return answer

    def trace(self):
        with open(self.script + ".trace") as stream:
            return [line.split() for line in stream]

    def commands(self, request):
        """What an undisturbed request sends."""
        self.prepare(request)
        self.set_script("")
        self.ok(request.split(FRESH)[0])
        return [Command(int(code, 16), int(occurrence)) for code, occurrence, _ in self.trace()]

    def prepare(self, request):
        """The state before a request: with FRESH it has to create the key."""
        for name in os.listdir(self.state):
            os.unlink(os.path.join(self.state, name))
        for name, content in self.kept.items():
            if FRESH not in request or name not in self.fresh:
                with open(os.path.join(self.state, name), "wb") as stream:
                    stream.write(content)
        if self.before:
            self.before(request)

    def handles(self):
        """Transient objects, loaded and saved sessions: asked on the TPM's own socket, past the collector and its TCTI."""
        found = []
        with socket.socket(socket.AF_UNIX) as stream:
            stream.connect(self.swtpm.socket)
            for first in (0x80000000, 0x02000000, 0x03000000):
                stream.sendall(struct.pack(">HIIIII", 0x8001, 22, GET_CAPABILITY, 1, first, 100))   # TPM_CAP_HANDLES
                answer = read_message(stream)
                assert answer[6:10] == bytes(4), answer.hex()
                count = struct.unpack(">I", answer[15:19])[0]
                found += struct.unpack(f">{count}I", answer[19:19 + 4 * count])
        return found

    def next_round_works(self, case, *more):
        self.prepare("quote")
        self.set_script("")
        for line in ("info", f"quote {self.n_cases:08x}", *more):   # the client verifies the quote, so it is for this number
            answer = self.ask(line)
            assert "error" not in answer, f"{case}: the next {line}: {answer}"
            assert answer.get("aik_name", self.info["aik_name"]) == self.info["aik_name"], f"{case}: another key"
        assert self.handles() == [], f"{case}: in the TPM after the next round: {self.handles()}"

    def run_case(self, request, command, action, flush_is_lost=False):
        """One fault; gives the answer."""
        self.n_cases += 1
        case = f"{request}: 0x{command.code:x}#{command.occurrence} {action}"
        self.prepare(request)
        self.set_script(f"0x{command.code:x}#{command.occurrence} {action}\n")
        answer = self.ask(request.split(FRESH)[0])
        fired = [line for line in self.trace() if line[2] != "pass"]
        assert len(fired) == 1 and int(fired[0][0], 16) == command.code, f"{case}: the fault did not happen once: {self.trace()}"
        if not flush_is_lost:
            assert self.handles() == [], f"{case}: left in the TPM: {[hex(handle) for handle in self.handles()]}, {answer}"
        self.next_round_works(case, *([request.split(FRESH)[0]] if request.split()[0] not in ("info", "quote") else []))
        return case, answer

    def close(self):
        self.client.stdin.close()
        self.client.wait(timeout=30)
        self.client.stdout.close()
        if self.proxy:
            self.proxy.close()
        self.swtpm.kill()


@contextlib.contextmanager
def bench(provision=None, with_proxy=False):
    if not have_swtpm() or not shutil.which("openssl"):
        raise Skip("swtpm, tpm2-tools or openssl is missing")
    with tempfile.TemporaryDirectory(prefix="attestd-faults.") as directory:
        it = Bed(directory, provision, with_proxy)
        try:
            yield it
        finally:
            it.close()


HANG_SECONDS = 30   # COLLECTOR_QUOTE_USEC and the like of collector/collector.h


def hang(provision, make_request, code, prepare=None):
    with bench(provision) as it:
        request = make_request(it)
        prepare and prepare(it)
        first = next(command for command in it.commands(request) if command.code == code)
        it.prepare(request)
        it.set_script(f"0x{code:x}#{first.occurrence} hang\n")
        begin = time.monotonic()
        answer = it.ask(request.split(FRESH)[0])
        case, seconds = f"{request}: 0x{code:x} hangs", time.monotonic() - begin
        assert answer.get("error") == "TPM_STUCK" and seconds >= HANG_SECONDS - 1, f"{case} for {seconds} s: {answer}"
        it.ok("reopen")
        it.next_round_works(case, *([] if request.startswith("quote") else [request.split(FRESH)[0]]))


def check_hangs(*cases):
    """All at the same time, because each takes as long as the collector is waited for: arguments of hang()."""
    with concurrent.futures.ThreadPoolExecutor(len(cases)) as pool:
        for done in [pool.submit(hang, *case) for case in cases]:
            done.result()
    print(f"        {len(cases)} cases", flush=True)


def check_hangs_that_end(it, request, commands):
    """For calls whose deadline is minutes, since they may create keys: the TPM hangs, then its driver gives up."""
    for command in commands:
        it.prepare(request)
        it.set_script(f"0x{command.code:x}#{command.occurrence} hang\n")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            asked = pool.submit(it.ask, request)
            concurrent.futures.wait([asked], timeout=0.5)
            assert not asked.done(), f"{request}: 0x{command.code:x} does not hang: {asked.result()}"
            it.set_script("")
            case, answer = f"{request}: 0x{command.code:x} hangs and ends", asked.result()
        check_error(case, answer, command, ABSENT, "broke")
        it.next_round_works(case, request)


def check_error(case, answer, command, expected, *words):
    assert answer.get("error") == expected, f"{case}: {answer}, expected {expected}"
    assert any(word in answer["message"] for word in {**WORDS, **WORDS_OF_KEYS}[command.code]), f"{case}: which command? {answer['message']}"
    for word in words:
        assert word in answer["message"], f"{case}: {word!r} is not in {answer['message']!r}"


def is_parameter(rc):
    return rc & 0x0C0 == 0x0C0
