"""What tests of attestd-tpm share: a folder with a swtpm and a configuration, and collector-client, which speaks the private bus for them."""
import contextlib
import hashlib
import json
import os
import subprocess
import sys
import tempfile

from bed import COLLECTOR, Skip
from swtpm import Swtpm, have_swtpm

SOURCE = os.environ.get("ATTESTD_SOURCE", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
CLIENT = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else ""
ALL_PCRS = ",".join(str(i) for i in range(24))


class Setup:
    """A folder with a TPM, a configuration and a state directory."""

    def __init__(self, directory, banks="sha256"):
        self.directory, self.swtpm = directory, Swtpm(directory, banks)
        self.state = os.path.join(directory, "state")
        os.mkdir(self.state)
        self.boot_log, self.ima_log = os.path.join(directory, "boot.log"), os.path.join(directory, "ima.log")

    def path(self, name):
        return os.path.join(self.directory, name)

    def write(self, name, content):
        with open(self.path(name), "wb") as stream:
            stream.write(content)
        return self.path(name)

    def config(self, tcti=None, tpm=(), evidence=(), name="attestd.conf"):
        lines = ["[TPM]", f"TCTI={tcti or self.swtpm.tcti}", *tpm, "[Evidence]", f"BootLog={self.boot_log}", f"ImaLog={self.ima_log}",
                 f"SystemdLog={self.path('systemd.log')}", *evidence]
        return self.write(name, ("\n".join(lines) + "\n").encode())


@contextlib.contextmanager
def setup(banks="sha256"):
    if not have_swtpm():
        raise Skip("swtpm or tpm2-tools is missing")
    with tempfile.TemporaryDirectory(prefix="attestd-tpm.") as directory:
        it = Setup(directory, banks)
        try:
            yield it
            handles = it.swtpm.handles() if it.swtpm.process else ""
            assert handles == "", f"left in the TPM: {handles}"
        finally:
            it.swtpm.kill()


class Client:
    """A collector-client and, over it, a collector."""

    def __init__(self, it, config=None, arguments=(), prefix=(), environment=()):
        command = [*prefix, CLIENT, f"--config={config or it.config()}", *(arguments or [f"--collector={os.path.abspath(COLLECTOR)}",
                                                                                         f"--socket={it.path('nowhere')}"])]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=dict(os.environ, STATE_DIRECTORY=it.state, **dict(environment)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.process.stdout.close()

    def send(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def receive(self):
        return json.loads(self.process.stdout.readline())

    def ask(self, line):
        self.send(line)
        return self.receive()

    def ok(self, line):
        answer = self.ask(line)
        assert "error" not in answer, answer
        return answer

    def fails(self, line, code, *words):
        answer = self.ask(line)
        assert answer.get("error") == code, f"{answer}, expected {code}"
        for word in words:
            assert word in answer["message"], f"{word!r} is not in {answer['message']!r}"
        return answer


def pcrread(it, bank="sha256"):
    path = it.path("pcrread.bin")
    it.swtpm.tool("tpm2_pcrread", f"{bank}:{ALL_PCRS}", "-o", path)
    size = hashlib.new(bank).digest_size
    with open(path, "rb") as stream:
        content = stream.read()
    return {str(i): content[i * size:(i + 1) * size].hex() for i in range(24)}


def aik_pem(it, directory):
    return it.write("aik.pem", it.swtpm.tool("tpm2_print", "-t", "TPMT_PUBLIC", "-f", "pem", os.path.join(directory, "aik-public")).encode())


def folder(it, name):
    os.makedirs(it.path(name), exist_ok=True)
    return it.path(name)


def machine_logs(it, entries=20, banks="sha256"):
    """Logs of an invented machine and a TPM that agrees with them."""
    subprocess.run([sys.executable, os.path.join(SOURCE, "tools", "make-eventlog.py"), "--boot-log", it.boot_log, "--ima-log", it.ima_log,
                    "--extends", it.path("extends"), "--banks", banks, "--ima-entries", str(entries)], check=True, stdout=subprocess.DEVNULL)
    with open(it.path("extends")) as lines:
        for line in lines:
            it.swtpm.tool("tpm2_pcrextend", line.strip())
