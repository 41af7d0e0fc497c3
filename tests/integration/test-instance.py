#!/usr/bin/env python3
"""attest-instance over real TLS: metadata, recorded init messages, malformed bodies, faults, start and end.

usage: test-instance.py ATTEST-INSTANCE
"""
import base64
import glob
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM = os.path.abspath(sys.argv.pop(1)) if len(sys.argv) > 1 else ""
VECTORS = os.environ.get("ATTESTD_VECTORS", "")
ATTEST = "/attest/Tpm?api-version=2020-10-01"


def unpadded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def envelope(inner):
    return json.dumps({"data": encode(inner if isinstance(inner, bytes) else json.dumps(inner).encode())}).encode()


INIT = envelope({"payload": {"type": "aikcert"}})


def openssl(data, *arguments):
    return subprocess.run(["openssl", *arguments], input=data, check=True, capture_output=True).stdout


class Instance:
    def __init__(self, state, *options, listen="127.0.0.1:0"):
        self.state = state
        self.log = open(os.path.join(os.path.dirname(state), "instance.log"), "ab")
        self.process = subprocess.Popen([PROGRAM, "--listen", listen, "--state", state, *options], stdout=subprocess.PIPE, stderr=self.log)
        line = self.process.stdout.readline().decode()
        assert line.startswith("READY url=https://"), line
        self.url = line.split("=", 1)[1].strip()
        self.port = int(self.url.rsplit(":", 1)[1])
        self.context = ssl.create_default_context(cafile=f"{state}/ca.pem")

    def connect(self, host="127.0.0.1"):
        return http.client.HTTPSConnection(host, self.port, context=self.context, timeout=20)

    def ask(self, method, path, body=None, headers=None):
        connection = self.connect()
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()

    def faults(self, text):
        answer, body = self.ask("PUT", "/fault", text.encode())
        assert answer.status == 200, body

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=20)
        self.process.stdout.close()
        self.log.close()
        return status


class InstanceTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="attest-instance-")
        cls.instance = Instance(f"{cls.folder.name}/state", "--body-max", "4")

    @classmethod
    def tearDownClass(cls):
        status = cls.instance.stop()
        cls.folder.cleanup()
        assert status == 0, status

    def setUp(self):
        self.instance.faults("")

    def expect_error(self, answer, body, status, code, words):
        self.assertEqual(answer.status, status, body)
        error = json.loads(body)["error"]
        self.assertEqual(error["code"], code, error)
        self.assertIn(words, error["message"])
        self.assertEqual(error["innererror"], {"code": error["code"], "message": error["message"]})

    def test_certs_has_both_kinds_of_keys_with_their_kids(self):
        answer, body = self.instance.ask("GET", "/certs")
        self.assertEqual(answer.status, 200)
        keys = json.loads(body)["keys"]
        self.assertEqual([list(key) for key in keys], [["x5c", "kid", "kty"]] * 2)
        own, token = keys
        spki = openssl(base64.b64decode(own["x5c"][0]), "x509", "-inform", "DER", "-noout", "-pubkey")
        self.assertEqual(own["kid"], base64.b64encode(hashlib.sha256(spki + b"\0").digest()).decode())
        subject = openssl(base64.b64decode(own["x5c"][0]), "x509", "-inform", "DER", "-noout", "-subject", "-issuer", "-serial", "-dates").decode()
        self.assertEqual(subject.count(f"CN = {self.instance.url}"), 2, subject)
        self.assertIn("serial=01", subject)
        self.assertIn("May  1 00:00:00 2019 GMT", subject)
        self.assertIn("Dec 31 23:59:59 2050 GMT", subject)
        self.assertEqual(token["kid"], encode(hashlib.sha1(base64.b64decode(token["x5c"][0])).digest()))
        self.assertEqual(len(token["x5c"]), 3)
        pems = [openssl(base64.b64decode(c), "x509", "-inform", "DER") for c in token["x5c"]]
        with tempfile.TemporaryDirectory() as folder:
            for name, pem in zip(("leaf", "intermediate", "root"), pems):
                with open(f"{folder}/{name}", "wb") as file:
                    file.write(pem)
            openssl(b"", "verify", "-CAfile", f"{folder}/root", "-untrusted", f"{folder}/intermediate", f"{folder}/leaf")

    def test_openid_configuration_has_the_recorded_form(self):
        answer, body = self.instance.ask("GET", "/.well-known/openid-configuration")
        self.assertEqual(answer.status, 200)
        got = json.loads(body)
        self.assertEqual(got["issuer"], self.instance.url)
        self.assertEqual(got["jwks_uri"], self.instance.url + "/certs")
        if not os.path.isdir(VECTORS):
            self.skipTest("no test vectors (-Dvectors=DIR)")
        with open(f"{VECTORS}/maa/openid/Aad.json", encoding="utf-8") as file:
            real = file.read()
        real_url = json.loads(real)["issuer"]
        self.assertEqual(body.decode(), real.strip().replace(real_url, self.instance.url))

    def check_challenge(self, answer, body):
        self.assertEqual(answer.status, 200, body)
        outer = json.loads(body)
        self.assertEqual(list(outer), ["data"])
        payload = json.loads(unpadded(outer["data"]))["payload"]
        self.assertEqual(list(payload), ["challenge", "service_context"])
        self.assertEqual(len(payload["challenge"]), 22)
        context = json.loads(unpadded(payload["service_context"]))
        self.assertEqual(list(context), ["ProtectionKeyName", "ProtectedContext"])
        self.assertRegex(context["ProtectionKeyName"], "^[0-9A-F]{64}$")
        self.assertEqual(len(unpadded(context["ProtectedContext"])), 128)
        return payload["challenge"]

    def test_init_of_every_recorded_client_gets_a_challenge(self):
        files = sorted(glob.glob(f"{VECTORS}/maa/tpm/init/request*.json"))
        if not os.path.isdir(VECTORS):
            self.skipTest("no test vectors (-Dvectors=DIR)")
        self.assertGreaterEqual(len(files), 4)
        challenges = set()
        for name in files:
            with open(name, "rb") as file:
                challenges.add(self.check_challenge(*self.instance.ask("POST", ATTEST, file.read())))
        self.assertEqual(len(challenges), len(files))

    def test_init_member_names_may_have_any_case_and_every_version_is_known(self):
        body = json.dumps({"Data": encode(b'{"Payload":{"Type":"aikcert"}}')}).encode()
        for version in ("2020-10-01", "2022-08-01", "2025-06-01"):
            self.check_challenge(*self.instance.ask("POST", f"/attest/tpm?api-version={version}", body))

    def test_headers_are_the_recorded_ones(self):
        normal, short = r"^00-[0-9a-f]{32}-[0-9a-f]{16}-00$", r"^[A-Za-z0-9+/]{16}$"
        for method, path, body, pattern, chunked in (("GET", "/certs", None, normal, False), ("POST", ATTEST, INIT, short, True),
                                                     ("POST", ATTEST, b"{}", normal, True), ("GET", "/nothing", None, normal, True)):
            answer, _ = self.instance.ask(method, path, body)
            self.assertEqual(answer.headers["Content-Type"], "application/json; charset=utf-8")
            self.assertEqual(answer.headers["Server"], "Kestrel")
            self.assertTrue(answer.headers["x-ms-maa-service-version"])
            self.assertRegex(answer.headers["x-ms-request-id"], pattern)
            self.assertEqual(answer.headers.get("Transfer-Encoding") == "chunked", chunked, path)
            self.assertEqual(len(answer.headers.get_all("Date")), 1)

    def test_malformed_bodies_are_refused_in_words(self):
        deep = b"[" * 40 + b"]" * 40
        cases = [
            (b"", "offset 0"), (b"{", "offset 1"), (b"[]", "no JSON object"), (b"{}", "data"), (b'{"data":1}', "data"), (b'{"data":"*"}', "data"),
            (b'{"data":"e30","data":"e30"}', "data"), (b'{"data":"e30","DATA":"e30"}', "twice"), (b'{"data":"e30"} x', "offset 15"),
            (b"\xff\xfe", "the body"), (deep, "deep"), (envelope(b"nonsense"), "JSON"), (envelope({}), "payload"), (envelope({"payload": 1}), "payload"),
            (envelope({"payload": {}}), "type"), (envelope({"payload": {"type": "ekcert"}}), "aikcert"), (envelope({"payload": {"type": 1}}), "type"),
            (envelope({"payload": {"request": 1}}), "request"), (envelope({"payload": {"request": "x", "type": "aikcert"}}), "both"),
            (envelope(b'{"payload":{"type":"aikcert","type":"aikcert"}}'), "type"),
        ]
        for body, words in cases:
            with self.subTest(body=body):
                self.expect_error(*self.instance.ask("POST", ATTEST, body), 400, "InvalidParameter", words)

    def test_malformed_requests_are_refused_in_words(self):
        def jws(header, payload=b"{}", signature="AAAA"):
            return ".".join((encode(json.dumps(header).encode()), encode(payload), signature))
        good = {"alg": "PS256", "typ": "attReqV2"}
        cases = [
            ("", "InvalidOperation", "payload.request"), ("a.b", "InvalidOperation", "payload.request"),
            (jws({"alg": "none", "typ": "attReqV2"}), "InvalidOperation", "none"),
            (jws({"alg": "RS256", "typ": "attReqV2"}), "InvalidOperation", "RS256"),
            (jws({"alg": "PS256"}), "InvalidParameter", "typ"),
            (jws({"alg": "PS256", "typ": "attReq"}), "InvalidParameter", "attReqV2"),
            (jws(good), "InvalidParameter", "att_type"),
            (jws(good, b'{"att_type":"basic"}'), "InvalidParameter", "att_data"),
            (jws(good, b'{"att_type":"vbs","att_data":{}}'), "InvalidParameter", "report_signed"),
            (jws(good, b'{"att_type":"basic","att_data":{"challenge":"*"}}'), "InvalidParameter", "challenge"),
            (jws(good, b'{"att_type":"basic","att_type":"basic"}'), "InvalidParameter", "att_type"),
        ]
        for text, code, words in cases:
            with self.subTest(jws=text):
                self.expect_error(*self.instance.ask("POST", ATTEST, envelope({"payload": {"request": text}})), 400, code, words)

    def test_version_path_and_method_are_checked(self):
        self.expect_error(*self.instance.ask("POST", "/attest/Tpm", INIT), 400, "InvalidParameter", "api-version")
        self.expect_error(*self.instance.ask("POST", "/attest/Tpm?api-version=1999-01-01", INIT), 400, "InvalidParameter", "1999-01-01")
        self.expect_error(*self.instance.ask("GET", "/nothing"), 404, "NotFound", "/nothing")
        self.expect_error(*self.instance.ask("GET", ATTEST), 405, "MethodNotAllowed", "POST")
        self.expect_error(*self.instance.ask("POST", "/certs", b""), 405, "MethodNotAllowed", "GET")
        self.expect_error(*self.instance.ask("DELETE", "/fault"), 405, "MethodNotAllowed", "PUT")

    def test_large_bodies_are_refused_at_the_limit(self):
        large = b" " * ((4 << 20) + 1)
        for body in (large, iter([large])):      # with Content-Length; chunked
            try:
                answer, text = self.instance.ask("POST", ATTEST, body)
            except (ConnectionError, ssl.SSLError):
                continue                         # answered and closed while we were still sending
            self.expect_error(answer, text, 413, "RequestEntityTooLarge", "4194304")
        answer, text = self.instance.ask("POST", ATTEST, INIT + b" " * (3 << 20))
        self.check_challenge(answer, text)

    def test_expect_100_continue_is_answered(self):
        with socket.create_connection(("127.0.0.1", self.instance.port), timeout=20) as plain:
            with self.instance.context.wrap_socket(plain, server_hostname="127.0.0.1") as stream:
                stream.sendall(f"POST {ATTEST} HTTP/1.1\r\nHost: h\r\nContent-Length: {len(INIT)}\r\nExpect: 100-continue\r\n"
                               "Connection: close\r\n\r\n".encode())
                self.assertTrue(stream.recv(4096).startswith(b"HTTP/1.1 100 "))
                stream.sendall(INIT)
                self.assertTrue(stream.recv(4096).startswith(b"HTTP/1.1 200 "))

    def test_tls_name_is_checked_and_localhost_is_one(self):
        with socket.create_connection(("127.0.0.1", self.instance.port), timeout=20) as plain:   # the name itself may not resolve here
            with self.instance.context.wrap_socket(plain, server_hostname="localhost") as stream:
                stream.sendall(b"GET /certs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                self.assertTrue(stream.recv(4096).startswith(b"HTTP/1.1 200 "))
        with self.assertRaises(ssl.SSLCertVerificationError):
            http.client.HTTPSConnection("127.0.0.1", self.instance.port, context=ssl.create_default_context(), timeout=20).request("GET", "/certs")

    def test_fault_list_is_shown_replaced_and_refused(self):
        self.instance.faults("token=expired@2\ncerts:status=503")
        self.assertEqual(self.instance.ask("GET", "/fault")[1], b"token=expired@2\ncerts:status=503\n")
        self.expect_error(*self.instance.ask("PUT", "/fault", b"nonsense"), 400, "InvalidParameter", "nonsense")
        self.assertEqual(self.instance.ask("GET", "/certs")[0].status, 503)
        self.assertEqual(self.instance.ask("POST", ATTEST, INIT)[0].status, 200)
        self.instance.faults("")
        self.assertEqual(self.instance.ask("GET", "/certs")[0].status, 200)

    def test_fault_status_counts_and_has_retry_after_in_both_forms(self):
        self.instance.faults("status=429@1 retry-after=7")
        answer, body = self.instance.ask("POST", ATTEST, INIT)
        self.expect_error(answer, body, 429, "TooManyRequests", "fault")
        self.assertEqual(answer.headers["Retry-After"], "7")
        self.assertEqual(self.instance.ask("POST", ATTEST, INIT)[0].status, 200)
        self.instance.faults("status=503 retry-after-date=60")
        when = self.instance.ask("GET", "/certs")[0].headers["Retry-After"]
        seconds = ssl.cert_time_to_seconds(re.sub(r"^\w+, (\d+) (\w+) (\d+) (\S+) GMT$", r"\2 \1 \4 \3 GMT", when)) - time.time()
        self.assertTrue(55 < seconds < 65, when)

    def test_fault_of_the_transport(self):
        self.instance.faults("reset@1")
        with self.assertRaises((ConnectionError, ssl.SSLError)):
            self.instance.ask("GET", "/certs")
        self.instance.faults("truncated-body@1")
        with self.assertRaises((http.client.IncompleteRead, ConnectionError, ssl.SSLError)):
            self.instance.ask("GET", "/certs")
        self.instance.faults("latency=700@1")
        begin = time.monotonic()
        self.instance.ask("GET", "/certs")
        self.assertGreaterEqual(time.monotonic() - begin, 0.7)

    def test_sigterm_does_not_wait_for_an_answer_that_is_delayed(self):
        with tempfile.TemporaryDirectory() as folder:
            instance = Instance(f"{folder}/state", "--fault", "certs:latency=600000")
            connection = instance.connect()
            connection.request("GET", "/certs")
            with open(f"{folder}/instance.log") as log:     # the request is logged when its answer begins to wait
                while "GET /certs" not in log.read():
                    time.sleep(0.02)
            self.assertEqual(instance.stop(), 0)
            connection.close()

    def test_fault_of_the_text(self):
        for spec, path, body in (("malformed-json", "/certs", None), ("deep-json", ATTEST, INIT)):
            self.instance.faults(spec)
            with self.assertRaises((ValueError, RecursionError)):
                json.loads(self.instance.ask("POST" if body else "GET", path, body)[1])
        self.instance.faults("oversized")
        answer, text = self.instance.ask("POST", ATTEST, INIT)
        self.assertGreater(len(text), 1 << 20)
        self.check_challenge(answer, text)      # but for its size it is good
        self.instance.faults("duplicate-member")
        pairs = json.loads(self.instance.ask("GET", "/certs")[1], object_pairs_hook=list)
        self.assertEqual([name for name, _ in pairs], ["keys", "keys"])
        self.instance.faults("bad-base64")
        self.assertIn("*", json.loads(self.instance.ask("POST", ATTEST, INIT)[1])["data"])

    def test_fault_of_the_challenge(self):
        def payload(spec):
            self.instance.faults(spec)
            return json.loads(unpadded(json.loads(self.instance.ask("POST", ATTEST, INIT)[1])["data"]))["payload"]
        self.assertEqual(len(unpadded(payload("wrong-challenge-size")["challenge"])), 15)
        self.assertNotIn("challenge", payload("missing-member"))
        self.assertIsInstance(payload("wrong-type")["challenge"], int)

    def test_fault_no_policy_gives_the_recorded_answer(self):
        self.instance.faults("no-policy")
        answer, body = self.instance.ask("POST", ATTEST, INIT)
        self.assertEqual(answer.status, 400)
        if not os.path.isdir(VECTORS):
            self.skipTest("no test vectors (-Dvectors=DIR)")
        with open(f"{VECTORS}/maa/tpm/no-policy.error.json", "rb") as file:
            self.assertEqual(body, file.read().strip())

    def test_fault_clock_offset_shifts_the_date(self):
        self.instance.faults("clock-offset=-86400")
        date = self.instance.ask("GET", "/certs")[0].headers["Date"]
        seconds = time.time() - ssl.cert_time_to_seconds(re.sub(r"^\w+, (\d+) (\w+) (\d+) (\S+) GMT$", r"\2 \1 \4 \3 GMT", date))
        self.assertTrue(86395 < seconds < 86405, date)


class LifeTest(unittest.TestCase):
    def test_state_outlives_the_process_and_stays_private(self):
        with tempfile.TemporaryDirectory(prefix="attest-instance-") as folder:
            kids, authorities = [], []
            for _ in range(2):
                instance = Instance(f"{folder}/state")
                kids.append([key["kid"] for key in json.loads(instance.ask("GET", "/certs")[1])["keys"]])
                with open(f"{folder}/state/ca.pem", encoding="ascii") as file:
                    authorities.append(file.read())
                self.assertEqual(instance.stop(), 0)
            self.assertEqual(kids[0], kids[1])
            self.assertEqual(authorities[0], authorities[1])
            self.assertEqual(os.stat(f"{folder}/state").st_mode & 0o777, 0o700)
            for name in os.listdir(f"{folder}/state"):
                mode = os.stat(f"{folder}/state/{name}").st_mode & 0o777
                self.assertEqual(mode, 0o700 if name == "policies" else 0o644 if name.endswith(".pem") else 0o600, name)

    def test_faults_of_the_command_line_are_in_force(self):
        with tempfile.TemporaryDirectory(prefix="attest-instance-") as folder:
            instance = Instance(f"{folder}/state", "--fault", "certs:status=500", "--fault", "latency=1")
            self.assertEqual(instance.ask("GET", "/certs")[0].status, 500)
            self.assertEqual(instance.stop(), 0)

    def test_bad_command_lines_are_usage_errors(self):
        with tempfile.TemporaryDirectory(prefix="attest-instance-") as folder:
            listen, state = ["--listen", "127.0.0.1:0"], ["--state", f"{folder}/state"]
            for arguments, words in (([], "--listen"), (listen, "--state"), (["--listen", "0.0.0.0:0", *state], "0.0.0.0"),
                                     (["--listen", "127.0.0.1:70000", *state], "70000"), ([*listen, *state, "--mode", "x"], "isolated"),
                                     ([*listen, *state, "--fault", "x"], "x"), ([*listen, *state, "--required-pcr-mask", "1000000"], "mask"),
                                     ([*listen, *state, "--token-lifetime", "-1"], "lifetime"), ([*listen, *state, "more"], "more"),
                                     (["--nonsense"], "--nonsense"), (["--listen"], "--listen")):
                with self.subTest(arguments=arguments):
                    result = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=20, check=False)
                    self.assertEqual(result.returncode, 2, result)
                    self.assertTrue(result.stderr.startswith("attest-instance: "), result.stderr)
                    self.assertIn(words, result.stderr)
            result = subprocess.run([PROGRAM, *listen, *state, "--aik-root", f"{folder}/none.pem"], capture_output=True, text=True, timeout=20, check=False)
            self.assertNotIn(result.returncode, (0, 2))
            self.assertIn("none.pem", result.stderr)

    def test_help_names_every_fault(self):
        result = subprocess.run([PROGRAM, "--help"], capture_output=True, text=True, timeout=20, check=True)
        for word in ("alg-none", "weak-key", "retry-after", "clock-offset", "--required-pcr-mask", "PUT /fault"):
            self.assertIn(word, result.stdout)


if __name__ == "__main__":
    unittest.main()
