#!/usr/bin/env python3
"""The curl driver against a small HTTPS server that behaves well and badly, and against none.

usage: test-driver.py DRIVER-GET     (the program of tests/support/driver-get.c)

Certificates are made with openssl at the start; all sockets are on the loopback; nothing is left behind.
"""
import hashlib
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import warnings

DRIVER = os.path.abspath(sys.argv.pop(1)) if len(sys.argv) > 1 else ""
LIMIT = 1 << 20


def openssl(folder, *arguments):
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def make_ca(folder, name):
    openssl(folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.pem", "-days", "2",
            "-subj", f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")


def make_certificate(folder, ca, name, subject_alternative, days="2"):
    with open(f"{folder}/{name}.ext", "w", encoding="ascii") as file:
        file.write(f"subjectAltName={subject_alternative}\nbasicConstraints=CA:FALSE\n")
    openssl(folder, "req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
    openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-CAcreateserial",
            "-out", f"{name}.pem", "-days", days, "-extfile", f"{name}.ext")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Listener:
    """Accepts connections until closed and serves each in a thread."""

    def __init__(self, serve):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.serve = serve
        self.n_connections = 0
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.n_connections += 1
            connection.settimeout(20)
            threading.Thread(target=self.guard, args=(connection,), daemon=True).start()

    def guard(self, connection):
        try:
            self.serve(connection)
        except OSError:     # the client went away, which several tests make it do
            pass
        finally:
            connection.close()

    def close(self):
        self.socket.close()


class Request:
    def __init__(self, stream):
        line = stream.readline().decode("latin-1").split()
        self.method, self.path = (line + ["", ""])[:2]
        self.headers = {}
        while (text := stream.readline().decode("latin-1").strip()):
            name, _, value = text.partition(":")
            self.headers[name.strip().lower()] = value.strip()


def answer(status="200 OK", body=b"{}", **headers):
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"] + [f"{k.replace('_', '-')}: {v}" for k, v in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Server(Listener):
    """HTTPS; the path says how to behave. A connection is kept open between requests."""

    def __init__(self, context):
        self.context = context
        self.seen = []
        super().__init__(self.serve_tls)

    def serve_tls(self, connection):
        with self.context.wrap_socket(connection, server_side=True) as tls:
            stream = tls.makefile("rb")
            number = 0
            while (request := Request(stream)).method:
                number += 1
                self.seen.append(request)
                behaviour = getattr(self, "on_" + request.path.strip("/").replace("-", "_"), self.on_missing)
                if behaviour(tls, stream, request, number) == "close":
                    return

    def on_missing(self, tls, stream, request, number):
        tls.sendall(answer("404 Not Found"))

    def on_ok(self, tls, stream, request, number):
        tls.sendall(answer(Content_Type="application/json; charset=utf-8", x_ms_request_id="abc", Date="Wed, 26 May 2021 23:22:10 GMT"))

    def on_500(self, tls, stream, request, number):
        tls.sendall(answer("500 Oops", b'{"error":{}}', Retry_After="9"))

    def on_redirect(self, tls, stream, request, number):
        tls.sendall(answer("302 Found", Location="/ok"))

    def on_continue(self, tls, stream, request, number):
        tls.sendall(b"HTTP/1.1 103 Early\r\nRetry-After: 5\r\nx-ms-request-id: early\r\n\r\n" + answer(Content_Type="text/plain"))

    def on_chunked(self, tls, stream, request, number):
        tls.sendall(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"a":\r\n')
        time.sleep(0.05)
        tls.sendall(b"2\r\n1}\r\n0\r\n\r\n")

    def on_slow(self, tls, stream, request, number):
        tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{")
        stream.read(1)      # until the client has had enough

    def on_largest(self, tls, stream, request, number):
        tls.sendall(answer(body=b"x" * LIMIT))

    def on_huge(self, tls, stream, request, number):
        tls.sendall(answer(body=b"x" * (LIMIT + 1)))

    def on_endless(self, tls, stream, request, number):
        tls.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            tls.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")

    def on_truncated(self, tls, stream, request, number):
        tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789")
        return "close"

    def on_cut(self, tls, stream, request, number):
        return "close"

    def on_reset(self, tls, stream, request, number):
        tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        return "close"

    def on_garbage(self, tls, stream, request, number):
        tls.sendall(b"220 mail ready\r\n" * 10)
        return "close"

    def on_many_headers(self, tls, stream, request, number):
        tls.sendall(answer(**{f"x_{i}": "y" for i in range(200)}))

    def on_long_header(self, tls, stream, request, number):
        tls.sendall(answer("503 Busy", Retry_After="1" * 2000))

    def on_echo(self, tls, stream, request, number):
        if request.headers.get("expect", "").lower() == "100-continue":
            tls.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        digest, left = hashlib.sha256(), int(request.headers.get("content-length", "0"))
        size = left
        while left > 0:
            data = stream.read(min(left, 65536))
            if not data:
                return "close"
            digest.update(data)
            left -= len(data)
        body = {"method": request.method, "size": size, "sha256": digest.hexdigest(), "headers": request.headers}
        tls.sendall(answer(body=json.dumps(body).encode(), Content_Type="application/json"))

    def on_dies_on_second(self, tls, stream, request, number):
        """The first request of a connection is answered, the second one finds it dead after its body was read."""
        if number == 2:
            stream.read(int(request.headers["content-length"]))
            return "close"
        return self.on_echo(tls, stream, request, number)


class Proxy(Listener):
    """CONNECT to the loopback; its answer has headers that must not be taken for the service's."""

    def __init__(self):
        self.asked_for = []
        super().__init__(self.serve_connect)

    def serve_connect(self, connection):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += connection.recv(1)
        self.asked_for.append(head.split()[1].decode())
        with socket.create_connection(("127.0.0.1", int(self.asked_for[-1].rpartition(":")[2]))) as other:
            connection.sendall(b"HTTP/1.1 200 OK\r\nRetry-After: 77\r\nx-ms-request-id: of-the-proxy\r\n\r\n")
            back = threading.Thread(target=self.pump, args=(other, connection), daemon=True)
            back.start()
            self.pump(connection, other)
            back.join()

    @staticmethod
    def pump(source, sink):
        try:
            while (data := source.recv(65536)):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def tls_context(folder, name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{folder}/{name}.pem", f"{folder}/{name}.key")
    return context


def old_tls_context(folder, name):
    context = tls_context(folder, name)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


def body_digest(size):
    pattern = bytes(i * 31 % 251 for i in range(251))
    return hashlib.sha256((pattern * (size // 251 + 1))[:size]).hexdigest()


class DriverTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = cls.temporary.name
        make_ca(cls.folder, "ca")
        make_ca(cls.folder, "other-ca")
        make_certificate(cls.folder, "ca", "good", "IP:127.0.0.1")
        make_certificate(cls.folder, "ca", "elsewhere", "DNS:elsewhere.test")
        cls.server = Server(tls_context(cls.folder, "good"))
        cls.addClassCleanup(cls.temporary.cleanup)
        cls.addClassCleanup(cls.server.close)

    def get(self, url, *arguments, ca="ca", environment=None):
        command = [DRIVER, *(["--ca", f"{self.folder}/{ca}.pem"] if ca else []), *arguments, url]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, **(environment or {})}, check=True)
        return json.loads(result.stdout)

    def url(self, path, port=None, host="127.0.0.1"):
        return f"https://{host}:{port or self.server.port}{path}"

    def assert_error(self, result, code, words):
        self.assertEqual(result["code"], code, result)
        self.assertRegex(result["message"], words)

    # --- what works

    def test_get_ok_gives_status_headers_and_body(self):
        result = self.get(self.url("/ok"))
        self.assertEqual((result["code"], result["status"], result["body"]), ("NONE", 200, "{}"), result)
        self.assertEqual((result["content_type"], result["request_id"], result["date"]), ("application/json; charset=utf-8", "abc", 1622071330))

    def test_get_500_is_an_answer(self):
        result = self.get(self.url("/500"))
        self.assertEqual((result["code"], result["status"], result["retry_after"]), ("NONE", 500, "9"), result)

    def test_get_chunked_is_joined(self):
        self.assertEqual(self.get(self.url("/chunked"))["body"], '{"a":1}')

    def test_get_headers_of_interim_answers_do_not_count(self):
        result = self.get(self.url("/continue"))
        self.assertEqual((result["status"], result["content_type"]), (200, "text/plain"), result)
        self.assertNotIn("retry_after", result)
        self.assertNotIn("request_id", result)

    def test_get_largest_allowed_answer(self):
        result = self.get(self.url("/largest"))
        self.assertEqual((result["code"], len(result["body"])), ("NONE", LIMIT))

    def test_get_redirect_is_not_followed(self):
        before = len(self.server.seen)
        result = self.get(self.url("/redirect"))
        self.assertEqual((result["code"], result["status"]), ("NONE", 302), result)
        self.assertEqual([r.path for r in self.server.seen[before:]], ["/redirect"])

    def test_request_headers(self):
        first, second = (json.loads(self.get(self.url("/echo"))["body"])["headers"] for _ in range(2))
        self.assertRegex(first["user-agent"], r"^attestd/\d+\.\d+\.\d+$")
        self.assertEqual((first["content-type"], first["accept"]), ("application/json", "application/json"))
        self.assertRegex(first["x-ms-client-request-id"], r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
        self.assertNotEqual(first["x-ms-client-request-id"], second["x-ms-client-request-id"])

    def test_post_and_put_bodies_arrive_whole(self):
        for method in ("post", "put"):
            for size in (0, 1, 65537, 5_000_000):
                with self.subTest(method=method, size=size):
                    result = self.get(self.url("/echo"), f"--{method}", str(size))
                    self.assertEqual(result["code"], "NONE", result)
                    body = json.loads(result["body"])
                    self.assertEqual((body["method"], body["size"], body["sha256"]), (method.upper(), size, body_digest(size)))
                    self.assertEqual(body["headers"].get("content-length"), str(size))

    def test_post_on_a_dead_connection_is_rewound_and_sent_again(self):
        before, connections = len(self.server.seen), self.server.n_connections
        result = self.get(self.url("/dies-on-second"), "--post", "70001", "--twice")
        self.assertEqual(result["code"], "NONE", result)
        self.assertEqual(json.loads(result["body"])["sha256"], body_digest(70001))
        self.assertEqual(len(self.server.seen) - before, 3)       # answered, died, sent again
        self.assertEqual(self.server.n_connections - connections, 2)

    def test_ca_path_alone_is_enough(self):
        folder = f"{self.folder}/certs"
        os.mkdir(folder)
        self.assert_error(self.get(self.url("/ok"), "--ca-path", folder, ca=None), "SERVICE_TLS", "certificate")
        with open(f"{self.folder}/ca.pem", "rb") as source, open(f"{folder}/ca.pem", "wb") as copy:
            copy.write(source.read())
        openssl(self.folder, "rehash", folder)
        self.assertEqual(self.get(self.url("/ok"), "--ca-path", folder, ca=None)["code"], "NONE")

    # --- proxies

    def test_environment_names_a_proxy_that_is_not_asked(self):
        dead = f"http://127.0.0.1:{free_port()}"
        environment = {name: dead for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")}
        self.assertEqual(self.get(self.url("/ok"), environment=environment)["code"], "NONE")

    def test_configured_proxy_is_asked_whatever_the_environment_says(self):
        proxy = Proxy()
        self.addCleanup(proxy.close)
        result = self.get(self.url("/ok"), "--proxy", f"http://127.0.0.1:{proxy.port}", environment={"no_proxy": "*", "NO_PROXY": "*"})
        self.assertEqual((result["code"], result["status"], result["request_id"]), ("NONE", 200, "abc"), result)
        self.assertNotIn("retry_after", result)
        self.assertEqual(proxy.asked_for, [f"127.0.0.1:{self.server.port}"])

    def test_configured_proxy_that_is_dead_is_not_gone_round(self):
        result = self.get(self.url("/ok"), "--proxy", f"http://127.0.0.1:{free_port()}")
        self.assert_error(result, "SERVICE_UNREACHABLE", "refused|Failed to connect")

    # --- what fails

    def test_get_slow_answer_times_out(self):
        started = time.monotonic()
        result = self.get(self.url("/slow"), "--timeout", "400")
        self.assert_error(result, "TIMEOUT", rf"^127\.0\.0\.1:{self.server.port}: .*timed out")
        self.assertEqual(result["native"], 28)      # CURLE_OPERATION_TIMEDOUT
        self.assertLess(time.monotonic() - started, 15)

    def test_get_answer_above_the_limit_is_stopped(self):
        self.assert_error(self.get(self.url("/huge")), "SERVICE_ANSWER_TOO_LARGE", "127.0.0.1:")
        self.assert_error(self.get(self.url("/endless")), "SERVICE_ANSWER_TOO_LARGE", "larger than 1048576 bytes")

    def test_get_broken_answers(self):
        for path, code, words in (
                ("/truncated", "SERVICE_UNREACHABLE", "bytes remaining"),
                ("/cut", "SERVICE_UNREACHABLE", "Empty reply|EOF|eof"),
                ("/reset", "SERVICE_UNREACHABLE", "reset|Empty reply|EOF|eof"),
                ("/garbage", "SERVICE_ANSWER_INVALID", "HTTP"),
                ("/many-headers", "SERVICE_ANSWER_INVALID", "more than 128 header lines"),
                ("/long-header", "SERVICE_ANSWER_INVALID", "the header retry-after is longer")):
            with self.subTest(path=path):
                result = self.get(self.url(path))
                self.assertEqual(result["code"], code, result)
                self.assertRegex(result["message"], rf"^127\.0\.0\.1:{self.server.port}: ")
                self.assertRegex(result["message"], words)

    def test_nobody_listens(self):
        port = free_port()
        self.assert_error(self.get(self.url("/ok", port)), "SERVICE_UNREACHABLE", rf"^127\.0\.0\.1:{port}: .*(refused|connect)")

    def test_no_such_host(self):
        self.assert_error(self.get("https://nobody.invalid/certs"), "SERVICE_NAME_RESOLUTION", r"^nobody\.invalid:443: .*nobody\.invalid")

    def test_plain_http_is_refused(self):
        before = self.server.n_connections
        self.assert_error(self.get(f"http://127.0.0.1:{self.server.port}/ok"), "CONFIG_INVALID", "http")
        self.assertEqual(self.server.n_connections, before)

    # --- TLS

    def test_certificate_of_an_unknown_ca(self):
        before = len(self.server.seen)
        self.assert_error(self.get(self.url("/ok"), ca="other-ca"), "SERVICE_TLS", "certificate.*CaFile=")
        self.assertEqual(len(self.server.seen), before)

    def test_ca_file_that_is_missing(self):
        self.assert_error(self.get(self.url("/ok"), ca="missing"), "SERVICE_TLS", "missing.pem")

    def test_certificate_for_another_host(self):
        server = Server(tls_context(self.folder, "elsewhere"))
        self.addCleanup(server.close)
        self.assert_error(self.get(self.url("/ok", server.port)), "SERVICE_TLS", "does not match|no alternative certificate subject name")
        self.assertEqual(server.seen, [])

    def test_certificate_past_its_date(self):
        make_certificate(self.folder, "ca", "expired", "IP:127.0.0.1", days="-1")
        server = Server(tls_context(self.folder, "expired"))
        self.addCleanup(server.close)
        self.assert_error(self.get(self.url("/ok", server.port)), "SERVICE_TLS", "certificate has expired.*clock")
        self.assertEqual(server.seen, [])

    def test_old_tls_is_refused(self):
        server = Server(old_tls_context(self.folder, "good"))
        self.addCleanup(server.close)
        self.assert_error(self.get(self.url("/ok", server.port)), "SERVICE_TLS", "(?i)version|alert")
        self.assertEqual(server.seen, [])

    def test_server_without_tls(self):
        plain = Listener(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
        self.addCleanup(plain.close)
        self.assert_error(self.get(self.url("/ok", plain.port)), "SERVICE_TLS", "(?i)wrong version|ssl")

    def test_connection_cut_in_the_handshake_is_no_matter_of_trust(self):
        cutter = Listener(lambda connection: connection.recv(1))
        resetter = Listener(lambda connection: (connection.recv(1), connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1" + b"\0" * 7)))
        for listener in (cutter, resetter):
            self.addCleanup(listener.close)
            self.assert_error(self.get(self.url("/ok", listener.port)), "SERVICE_UNREACHABLE", rf"^127\.0\.0\.1:{listener.port}: ")

    # --- driver_run()

    def test_certs_operation_runs_to_its_end(self):
        self.server.on_certs = lambda tls, stream, request, number: tls.sendall(answer(body=self.key_set(), Content_Type="application/json"))
        result = self.get(self.url(""), "--certs")
        self.assertEqual((result["code"], result["status"]), ("NONE", 1), result)

    def test_certs_operation_failure_names_what_was_done(self):
        result = self.get(self.url("/nothing"), "--certs")
        self.assert_error(result, "SERVICE_REFUSED", rf"^fetching the signing keys of https://127\.0\.0\.1:{self.server.port}/nothing: .*404")
        self.assertEqual(result["native"], 404)

    def test_certs_operation_can_be_cancelled(self):
        before = self.server.n_connections
        self.assert_error(self.get(self.url(""), "--certs", "--cancel"), "CANCELLED", "cancelled")
        self.assertEqual(self.server.n_connections, before)

    def key_set(self):
        with open(f"{self.folder}/good.pem", encoding="ascii") as file:
            pem = file.read()
        der = "".join(re.search("BEGIN CERTIFICATE-----(.*?)-----END", pem, re.S).group(1).split())
        return json.dumps({"keys": [{"kty": "RSA", "kid": "k", "x5c": [der]}]}).encode()


if __name__ == "__main__":
    if not DRIVER:
        sys.exit(__doc__)
    unittest.main()
