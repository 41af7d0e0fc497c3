"""A private swtpm, and a proxy in front of it that sees every command.

The proxy makes time stand still: between two commands of the program under test a test may do anything to the TPM, on the same connection.
"""
import collections
import hashlib
import os
import shutil
import socket
import struct
import subprocess
import threading
import time

CC_PCR_EXTEND, CC_QUOTE, CC_PCR_READ, CC_LOAD, CC_CREATE = 0x182, 0x158, 0x17E, 0x157, 0x153
ALGS = {"sha1": 0x0004, "sha256": 0x000B, "sha384": 0x000C, "sha512": 0x000D}
START_SECONDS = 20


def wait_for_socket(path, process):
    end = time.monotonic() + START_SECONDS
    while True:
        if os.path.exists(path) and os.path.exists(path + ".ctrl"):
            return
        if process.poll() is not None:
            raise AssertionError(f"swtpm ended with {process.returncode}")
        if time.monotonic() > end:
            raise AssertionError(f"{path} did not appear")
        time.sleep(0.01)


class Swtpm:
    def __init__(self, directory, banks="sha256", setup=True):
        self.directory, self.state, self.process = directory, os.path.join(directory, "tpm"), None
        self.socket = os.path.join(directory, "swtpm.sock")
        self.tcti = f"swtpm:path={self.socket}"
        if setup:
            os.makedirs(self.state)
            subprocess.run(["swtpm_setup", "--tpm2", "--tpmstate", self.state, "--pcr-banks", banks, "--overwrite"],
                           check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.start()

    def start(self, startup="clear"):
        """startup: what a firmware would send, TPM2_Startup of clear or state."""
        for path in (self.socket, self.socket + ".ctrl"):
            if os.path.exists(path):
                os.unlink(path)
        self.process = subprocess.Popen(
            ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.state}", "--server", f"type=unixio,path={self.socket}",
             "--ctrl", f"type=unixio,path={self.socket}.ctrl", "--flags", f"not-need-init,startup-{startup}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for_socket(self.socket, self.process)

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def restart(self):
        self.kill()
        self.start()

    def tool(self, *command, check=True):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
                              env=dict(os.environ, TPM2TOOLS_TCTI=self.tcti))
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def handles(self):
        """Everything that somebody left behind."""
        return "".join(self.tool("tpm2_getcap", f"handles-{kind}") for kind in ("transient", "loaded-session", "saved-session")).strip()

    def extend(self, pcr, data, banks=("sha256",)):
        self.tool("tpm2_pcrextend", f"{pcr}:" + ",".join(f"{bank}={hashlib.new(bank, data).hexdigest()}" for bank in banks))


def extend_command(pcr, data, banks=("sha256",)):
    """TPM2_PCR_Extend with an empty password (TPM 2.0 Part 3 §22.2)."""
    digests = b"".join(struct.pack(">H", ALGS[bank]) + hashlib.new(bank, data).digest() for bank in banks)
    authorization = struct.pack(">IHBH", 0x40000009, 0, 0, 0)
    body = struct.pack(">II", pcr, len(authorization)) + authorization + struct.pack(">I", len(banks)) + digests
    return struct.pack(">HII", 0x8002, 10 + len(body), CC_PCR_EXTEND) + body


def read_exactly(stream, size):
    data = b""
    while len(data) < size:
        piece = stream.recv(size - len(data))
        if not piece:
            raise ConnectionError("closed")
        data += piece
    return data


def read_message(stream):
    header = read_exactly(stream, 10)
    return header + read_exactly(stream, struct.unpack(">I", header[2:6])[0] - 10)


class Proxy:
    """Forwards commands. hooks[code](send) runs before such a command is passed on; send(command) runs one in between, gives the answer.
    after[code](send) runs when it was executed. One that returns False breaks the connection then.
    commands[code](command) and answers[code](answer) give what is passed on instead: a TPM that lies."""

    def __init__(self, swtpm, name="proxy.sock"):
        self.swtpm, self.path = swtpm, os.path.join(swtpm.directory, name)
        self.tcti = f"swtpm:path={self.path}"
        self.hooks, self.after, self.cut, self.counts = {}, {}, {}, collections.Counter()
        self.commands, self.answers = {}, {}
        self.listeners = []
        for path, serve in ((self.path, self.serve_commands), (self.path + ".ctrl", self.serve_control)):
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(path)
            listener.listen(16)
            self.listeners.append(listener)
            threading.Thread(target=self.accept, args=(listener, serve), daemon=True).start()

    def accept(self, listener, serve):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(client,), daemon=True).start()

    def serve_commands(self, client):
        upstream = socket.socket(socket.AF_UNIX)

        def send(command):
            upstream.sendall(command)
            return read_message(upstream)

        try:
            with client, upstream:
                upstream.connect(self.swtpm.socket)
                while True:
                    command = read_message(client)
                    code = struct.unpack(">I", command[6:10])[0]
                    self.counts[code] += 1
                    if code in self.hooks and self.hooks[code](send) is False:
                        return
                    answer = send(self.commands.get(code, bytes)(command))
                    answer = self.answers.get(code, bytes)(answer)
                    if code in self.after and self.after[code](send) is False:
                        return
                    if code in self.cut:
                        client.sendall(answer[:self.cut[code]])
                        return
                    client.sendall(answer)
        except OSError:
            pass

    def serve_control(self, client):
        upstream = socket.socket(socket.AF_UNIX)
        try:
            with client, upstream:
                upstream.connect(self.swtpm.socket + ".ctrl")
                while data := client.recv(4096):
                    upstream.sendall(data)
                    client.sendall(upstream.recv(4096))
        except OSError:
            pass

    def close(self):
        for listener in self.listeners:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for path in (self.path, self.path + ".ctrl"):
            os.unlink(path)


def have_swtpm():
    return all(shutil.which(program) for program in ("swtpm", "swtpm_setup", "tpm2_pcrextend", "tpm2_checkquote"))
