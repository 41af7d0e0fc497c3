#!/usr/bin/env python3
"""attestctl validate over third-party vectors: Wycheproof's JWS cases and tokens of the real service, judged as their indexes say.

usage: test-validate-vectors.py ATTESTCTL
"""
import base64
import http.server
import json
import os
import pathlib
import re
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest

ATTESTCTL = os.path.abspath(sys.argv.pop(1)) if len(sys.argv) > 1 else ""
VECTORS = pathlib.Path(os.environ.get("ATTESTD_VECTORS") or "../shared/vectors")
MAA = VECTORS / "maa"

# "valid" cases that a strict RFC 7515 verifier refuses; vectors/INDEX.md calls them contested: the key's alg is another one, or none that exists
# (346, 347, 350), a stray character in base64url (373).
CONTESTED = {("json_web_signature_test.open", 346), ("json_web_signature_test.open", 347), ("json_web_signature_test.open", 350),
             ("json_web_signature_test.open", 373)}

# The sets of maa/jwks by instance. No set of the isolated instance was recorded, but all instances of a region share one key (maa/README.md).
JWKS = {"cpgearamaattestationaad": "cpgearamaattestationaad-gen1", "cpgearamaattestationiso": "cplarryoattestationiso-gen3", "sharedwus": "sharedwus-gen3"}


def exit_statuses():
    listed = json.loads(subprocess.run([ATTESTCTL, "errors", "--json"], check=True, capture_output=True).stdout)
    return {item["name"]: item["exit_status"] for item in listed}


class Validate(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.status = exit_statuses()
        cls.folder = tempfile.TemporaryDirectory()

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def write(self, name, content):
        path = pathlib.Path(self.folder.name) / name
        path.write_text(content, encoding="utf-8")
        return path

    def run_validate(self, *arguments, text=None):
        return subprocess.run([ATTESTCTL, "validate", *map(str, arguments)], input=text, capture_output=True, text=True, timeout=60, check=False)

    def expect(self, name, *arguments, text=None):
        """The token is judged with that error; None: valid."""
        result = self.run_validate(*arguments, text=text)
        self.assertEqual(result.returncode, self.status[name] if name else 0, f"{arguments}: {result.stderr}")
        if name:
            self.assertIn(f"({name})", result.stderr)
        else:
            self.assertEqual(result.stderr, "")
        return result


class Wycheproof(Validate):
    def judge_file(self, file):
        n = n_valid = 0
        for group in json.loads((VECTORS / f"jose/wycheproof/{file}.json").read_text(encoding="utf-8"))["testGroups"]:
            key_set = group.get("public", group["private"])
            keys = self.write("keys.json", json.dumps(key_set))
            symmetric = any(key["kty"] == "oct" for key in key_set.get("keys", [key_set]))
            for test in group["tests"]:
                if "jws" not in test:  # a JWE
                    continue
                text = test["jws"] if isinstance(test["jws"], str) else json.dumps(test["jws"])
                result = self.run_validate("--signature-only", "--keys", keys, "-", text=text)
                valid = test["result"] == "valid" and not symmetric and (file, test["tcId"]) not in CONTESTED
                with self.subTest(file=file, id=test["tcId"]):
                    self.assertEqual(result.returncode == 0, valid, result.stderr)
                    if not valid:
                        self.assertIn(result.returncode, self.status.values())
                n += 1
                n_valid += result.returncode == 0
        return n, n_valid

    def test_jws_cases_agree(self):
        self.assertEqual(self.judge_file("json_web_signature_test.open")[0], 268)
        self.assertEqual(self.judge_file("json_web_key_test.open"), (18, 1))
        self.assertEqual(self.judge_file("json_web_crypto_test.open")[0], 33)

    def test_roca_key_is_weak(self):
        for group in json.loads((VECTORS / "jose/wycheproof/json_web_key_test.open.json").read_text(encoding="utf-8"))["testGroups"]:
            if group["comment"] in ("jws_rsa_roca_key", "keysize_too_small"):
                keys = self.write("keys.json", json.dumps(group["public"]))
                self.expect("TokenKeyWeak", "--signature-only", "--keys", keys, "-", text=group["tests"][0]["jws"])


def facts():
    """(path, issuer or None, iat, exp, signed) of each recorded answer, as maa/README.md says."""
    pattern = re.compile(r"^\| `([^`]+\.response\.jwt)` .* (RS256 signature VERIFIED|unsigned \(alg none).*; iss (\S+) iat (\d+) nbf \d+ exp (\d+) ")
    for line in (MAA / "README.md").read_text(encoding="utf-8").splitlines():
        match = pattern.match(line)
        if match:
            yield MAA / match[1], match[3], int(match[4]), int(match[5]), match[2].startswith("RS256")


class RecordedAnswers(Validate):
    def test_every_answer_is_judged_as_its_index_says(self):
        n = 0
        for path, issuer, issued, expires, signed in facts():
            keys = MAA / "jwks" / f"{JWKS[issuer.split('/')[2].split('.')[0]]}.json"
            at_issue = ("--keys", keys, "--at", issued + 10)
            with self.subTest(path=path.name, folder=path.parent.name):
                if signed:
                    self.expect(None, *at_issue, "--issuer", issuer, path)
                    self.expect("TokenExpired", "--keys", keys, "--issuer", issuer, path)
                    self.expect("TokenExpired", "--keys", keys, "--issuer", issuer, "--at", expires + 120, path)
                    self.expect("TokenNotYetValid", "--keys", keys, "--issuer", issuer, "--at", issued - 121, path)
                    self.expect("TokenIssuerMismatch", *at_issue, "--issuer", "https://cplarryoattestationaad.wus.attest.azure.net", path)
                else:
                    self.expect("TokenAlgNone", *at_issue, "--issuer", issuer, path)
            n += 1
        self.assertEqual(n, len(list((MAA / "exchanges").glob("*/*.response.jwt"))))
        self.assertGreater(n, 0)


class OtherTokens(Validate):
    TPM = MAA / "tpm/report_boot-attestation.jwt"
    TPM_ISSUER = "https://prakharnoauthtest.eus.attest.azure.net"
    TPM_ISSUED = 1738083036

    def root(self):
        certificates = re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", (MAA / "tpm/report_boot.x5c.pem").read_text("ascii"), re.S)
        self.assertEqual(len(certificates), 3)
        return self.write("root.pem", certificates[2])

    def test_tpm_token_leads_to_its_root(self):
        arguments = ("--trust-anchors", self.root(), "--issuer", self.TPM_ISSUER)
        self.expect(None, *arguments, "--at", self.TPM_ISSUED + 10, self.TPM)
        self.expect("TokenExpired", *arguments, "--at", 1738428636 + 120, self.TPM)
        self.expect("TokenChainInvalid", *arguments, self.TPM)
        self.expect("TokenKeyUnknown", "--keys", MAA / "jwks/sharedwus-gen3.json", "--at", self.TPM_ISSUED + 10, self.TPM)
        self.expect("TokenNonceMismatch", *arguments, "--at", self.TPM_ISSUED + 10, "--nonce", "00ff", self.TPM)
        claims = json.loads((MAA / "tpm/report_boot-attestation.claims.json").read_text(encoding="utf-8"))
        nonce = base64.urlsafe_b64decode(claims["nonce"] + "=" * (-len(claims["nonce"]) % 4)).hex()
        self.expect(None, *arguments, "--at", self.TPM_ISSUED + 10, "--nonce", nonce, self.TPM)

    def test_json_shows_what_others_decoded(self):
        result = self.expect(None, "--trust-anchors", self.root(), "--at", self.TPM_ISSUED + 10, "--json", self.TPM)
        shown = json.loads(result.stdout)
        self.assertEqual(sorted(shown), ["claims", "code", "header", "reason", "valid"])
        self.assertEqual((shown["valid"], shown["code"], shown["reason"]), (True, None, None))
        self.assertEqual(shown["claims"], json.loads((MAA / "tpm/report_boot-attestation.claims.json").read_text(encoding="utf-8")))
        self.assertEqual(shown["header"], json.loads((MAA / "tpm/report_boot-attestation.header.json").read_text(encoding="utf-8")))
        shown = json.loads(self.expect("TokenChainInvalid", "--trust-anchors", self.root(), "--json", self.TPM).stdout)
        self.assertEqual((shown["valid"], shown["code"]), (False, "TokenChainInvalid"))

    def test_azureguest_tokens_are_judged(self):
        weu, eus2 = MAA / "jwks/thirdparty-sharedweu.json", MAA / "jwks/thirdparty-sharedeus2.json"
        token = MAA / "azureguest/azureguest-sharedweu-2023.jwt"
        self.expect(None, "--keys", weu, "--issuer", "https://sharedweu.weu.attest.azure.net", "--at", 1680173384, token)
        self.expect("TokenExpired", "--keys", weu, "--issuer", "https://sharedweu.weu.attest.azure.net", token)
        self.expect("TokenKeyUnknown", "--keys", eus2, "--at", 1649979790, MAA / "azureguest/azureguest-sharedeus2-2022.jwt")
        self.expect("TokenTruncated", "--keys", eus2, "--at", 1649979790, MAA / "azureguest/truncated-invalid.jwt")

    def test_key_release_token_is_judged_by_signature_alone(self):
        token = MAA / "other/openvmm-skr-valid.jwt"
        text = token.read_text("ascii").strip()
        header = text.split(".")[0]
        x5c = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["x5c"]
        keys = self.write("keys.json", json.dumps({"kty": "RSA", "x5c": x5c}))
        self.expect(None, "--signature-only", "--keys", keys, token)
        self.expect("TokenAlgNotAllowed", "--signature-only", "--allow-alg", "PS256", "--keys", keys, token)
        self.expect("TokenParts", "--signature-only", "--keys", keys, "-", text=text + ".AAAA")
        self.expect("TokenTruncated", "--signature-only", "--keys", keys, "-", text=text[:-8])

    def test_wrong_use_is_a_usage_error(self):
        keys = MAA / "jwks/sharedwus-gen3.json"
        for arguments in (("--keys", keys), ("--keys", keys, "--at", "-1", self.TPM), ("--keys", keys, "--at", "1x", self.TPM),
                          ("--keys", keys, "--nonce", "0", self.TPM), ("--keys", keys, "--nonce", "", self.TPM),
                          ("--keys", keys, "--allow-alg", "none", self.TPM), ("--keys", keys, "--allow-alg", "HS256", self.TPM),
                          ("--keys", keys, "--signature-only", "--issuer", "https://x", self.TPM), ("--keys", keys, self.TPM, self.TPM)):
            self.assertEqual(self.run_validate(*arguments).returncode, 2, arguments)

    def test_unreadable_input_is_named(self):
        self.assertEqual(self.run_validate("--keys", "/nonexistent", self.TPM).returncode, self.status["Io"])
        self.assertEqual(self.run_validate("--keys", self.TPM, self.TPM).returncode, self.status["KeyInvalid"])
        self.assertEqual(self.run_validate("--keys", MAA / "jwks/sharedwus-gen3.json", "/nonexistent").returncode, self.status["Io"])


class KeysFromInstance(Validate):
    """--keys with a URL: the recorded /certs answer, served over TLS."""

    def setUp(self):
        folder = self.folder.name
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "ca.pem", "-days", "2", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=IP:127.0.0.1"], cwd=folder, check=True, capture_output=True)
        body = (MAA / "jwks/sharedwus-gen3.json").read_bytes()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):  # pylint: disable=invalid-name
                found = self.path == "/certs"
                self.send_response(200 if found else 404)
                self.send_header("Content-Type", "application/json; charset=utf-8")
                self.send_header("Content-Length", str(len(body) if found else 0))
                self.end_headers()
                self.wfile.write(body if found else b"")

            def log_message(self, *arguments):  # pylint: disable=arguments-differ
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{folder}/ca.pem", f"{folder}/key.pem")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def tearDown(self):
        self.server.shutdown()
        self.server.server_close()

    def test_keys_are_fetched(self):
        path, issuer, issued, _, _ = next(fact for fact in facts() if "sharedwus" in fact[1] and fact[4])
        url, ca = f"https://127.0.0.1:{self.server.server_port}", f"{self.folder.name}/ca.pem"
        for keys in (url, url + "/", url + "/certs"):
            self.expect(None, "--keys", keys, "--ca", ca, "--issuer", issuer, "--at", issued + 10, path)
        self.assertEqual(self.run_validate("--keys", url, "--at", issued + 10, path).returncode, self.status["ServiceTls"])
        self.assertNotEqual(self.run_validate("--keys", url.replace("https", "http"), "--at", issued + 10, path).returncode, 0)


if __name__ == "__main__":
    if not (VECTORS / "INDEX.md").exists():
        print(f"SKIPPED: no test vectors in {VECTORS} (-Dvectors=DIR)")
        sys.exit(77)
    assert time.time() > 1738428636 + 120, "the clock must be right: the tokens must have expired"
    unittest.main(verbosity=2)
