#!/usr/bin/env python3
"""The instance's administration over real TLS: recorded exchanges of the real service played against it and the answers' shape compared; signed
policies, signer rules of the three kinds of instance, resets, errors. Keys, certificates and signatures come from the openssl command.

usage: test-instance-admin.py ATTEST-INSTANCE
"""
import base64
import glob
import hashlib
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import unittest

PROGRAM = os.path.abspath(sys.argv.pop(1)) if len(sys.argv) > 1 else ""
VECTORS = os.environ.get("ATTESTD_VECTORS", "")
EXCHANGES = os.path.join(VECTORS, "maa/exchanges")
VERSION = "?api-version=2020-10-01"
UNSIGNED_EMPTY = "eyJhbGciOiJub25lIn0.."
PERMIT = "version=1.0; authorizationrules{=> permit();}; issuancerules{};"
LONG_ID, RECORDED_HEADERS = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00"), ("Content-Type", "Date", "Server", "x-ms-maa-service-version", "x-ms-request-id")


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encode(data):
    return base64.urlsafe_b64encode(data if isinstance(data, bytes) else data.encode()).rstrip(b"=").decode()


def openssl(*arguments, data=b""):
    return subprocess.run(["openssl", *arguments], input=data, check=True, capture_output=True).stdout


def parts(token):
    """Header, claims (both in their order) and signature of a JWS."""
    header, payload, signature = token.split(".")
    return json.loads(decode(header)), json.loads(decode(payload)) if payload else None, decode(signature)


def raw_signature(der, size):
    """ECDSA-Sig-Value to r || s (RFC 7518 section 3.4)."""
    assert der[0] == 0x30
    at, numbers = 2 + (der[1] & 0x7F if der[1] & 0x80 else 0), []
    for _ in range(2):
        assert der[at] == 2
        length = der[at + 1]
        numbers.append(int.from_bytes(der[at + 2:at + 2 + length], "big"))
        at += 2 + length
    return b"".join(n.to_bytes(size, "big") for n in numbers)


class Signer:
    """A key and its certificate."""

    def __init__(self, folder, name, kind="rsa", issuer=None, is_ca=True):
        self.key, self.pem = f"{folder}/{name}.key", f"{folder}/{name}.pem"
        self.alg, self.hash, self.size = {"rsa": ("RS256", "sha256", 0), "P-256": ("ES256", "sha256", 32), "P-384": ("ES384", "sha384", 48)}[kind]
        kind_of_key = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"] if kind == "rsa" else ["-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{kind}"]
        openssl("genpkey", *kind_of_key, "-out", self.key)
        config = f"{folder}/{name}.cnf"
        with open(config, "w") as file:
            file.write(f"[req]\ndistinguished_name=dn\nprompt=no\n[dn]\nCN={name}\n[v3]\nbasicConstraints=critical,CA:{'TRUE' if is_ca else 'FALSE'}\n")
        if issuer:
            request = openssl("req", "-new", "-config", config, "-key", self.key)
            openssl("x509", "-req", "-CA", issuer.pem, "-CAkey", issuer.key, "-CAcreateserial", "-days", "30", "-extfile", config, "-extensions", "v3",
                    "-out", self.pem, data=request)
        else:
            openssl("req", "-new", "-x509", "-config", config, "-extensions", "v3", "-key", self.key, "-days", "30", "-out", self.pem)
        self.chain = [self.der()]

    def der(self):
        return base64.b64encode(openssl("x509", "-in", self.pem, "-outform", "DER")).decode()

    def thumbprint(self):
        return hashlib.sha1(base64.b64decode(self.der())).hexdigest().upper()

    def jwk(self):
        return {"alg": self.alg, "kty": "EC" if self.size else "RSA", "use": "sig", "x5c": self.chain}

    def sign(self, payload):
        head = f"{encode(json.dumps({'alg': self.alg, 'x5c': self.chain}))}.{encode(payload)}"
        signature = openssl("dgst", f"-{self.hash}", "-sign", self.key, data=head.encode())
        return f"{head}.{encode(raw_signature(signature, self.size) if self.size else signature)}"

    def policy(self, text):
        return self.sign(json.dumps({"AttestationPolicy": encode(text)}))

    def change(self, other, claim="policyCertificate"):
        return json.dumps(self.sign(json.dumps({claim: {"kty": "RSA", "x5c": [other.der()]}})))


def unsigned(text):
    return f"{encode(json.dumps({'alg': 'none'}, separators=(',', ':')))}.{encode(json.dumps({'AttestationPolicy': encode(text)}))}."


class Instance:
    def __init__(self, state, *options):
        self.state = state
        self.log = open(os.path.join(os.path.dirname(state), "instance.log"), "ab")
        self.process = subprocess.Popen([PROGRAM, "--listen", "127.0.0.1:0", "--state", state, *options], stdout=subprocess.PIPE, stderr=self.log)
        line = self.process.stdout.readline().decode()
        if not line.startswith("READY url=https://"):
            self.stop()
            raise AssertionError(f"no READY: {line!r}")
        self.url = line.split("=", 1)[1].strip()
        self.context = ssl.create_default_context(cafile=f"{state}/ca.pem")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.stop()

    def ask(self, method, path, body=None, headers=None):
        connection = http.client.HTTPSConnection("127.0.0.1", int(self.url.rsplit(":", 1)[1]), context=self.context, timeout=20)
        try:
            connection.request(method, path, body.encode() if body is not None else None, headers or {})
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        status = self.process.wait(timeout=20)
        self.process.stdout.close()
        self.log.close()
        return status


def recorded(folder):
    """The exchanges of a folder, in their order."""
    return [json.loads(pathlib.Path(path).read_text()) for path in sorted(glob.glob(f"{EXCHANGES}/{folder}/[0-9][0-9]-*.json")) if ".error." not in path]


class AdminTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="attest-admin-")
        cls.rsa = Signer(cls.folder.name, "rsa-signer")
        cls.other = Signer(cls.folder.name, "other-signer")
        cls.ec = Signer(cls.folder.name, "ec-signer", "P-256")
        cls.states = 0
        cls.keys = f"{cls.folder.name}/keys"  # what every instance starts from: keys take longest
        Instance(cls.keys).stop()

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def start(self, *options, state=None):
        type(self).states += 1
        state = state or f"{self.folder.name}/state-{self.states}"
        if not os.path.exists(state):
            shutil.copytree(self.keys, state)
        return Instance(state, *options)

    def isolated(self, state=None):
        return self.start("--mode", "isolated", "--policy-signer", self.rsa.pem, state=state)

    # What an answer is.

    def claims(self, instance, method, path, body=None, headers=None):
        """The claims of an answer of 200, whose signature openssl verifies with the certificate that /certs has for the kid."""
        answer, text = instance.ask(method, path + VERSION, body, headers)
        self.assertEqual(answer.status, 200, text)
        outer = json.loads(text)
        self.assertEqual(list(outer), ["token"])
        return self.verified(instance, outer["token"])

    def verified(self, instance, token):
        header, claims, signature = parts(token)
        self.assertEqual(list(header), ["alg", "jku", "kid", "typ"])
        self.assertEqual((header["alg"], header["jku"], header["typ"]), ("RS256", f"{instance.url}/certs", "JWT"))
        keys = {key["kid"]: key["x5c"][0] for key in json.loads(instance.ask("GET", "/certs")[1])["keys"]}
        with tempfile.NamedTemporaryFile() as public, tempfile.NamedTemporaryFile() as file:
            public.write(openssl("x509", "-inform", "DER", "-noout", "-pubkey", data=base64.b64decode(keys[header["kid"]])))
            file.write(signature)
            public.flush()
            file.flush()
            openssl("dgst", "-sha256", "-verify", public.name, "-signature", file.name, data=token.rsplit(".", 1)[0].encode())
        self.assertEqual((claims["iss"], claims["nbf"], claims["exp"]), (instance.url, claims["iat"], claims["iat"] + 3600))
        self.assertEqual(list(claims), sorted(claims))
        return claims

    def expect_error(self, instance, method, path, body, status, code, *words):
        answer, text = instance.ask(method, path + VERSION, body)
        self.assertEqual(answer.status, status, text)
        error = json.loads(text)["error"]
        self.assertEqual(list(error), ["code", "message", "innererror"])
        self.assertEqual(error["code"], code, error)
        self.assertEqual(error["innererror"], {"code": error["code"], "message": error["message"]})
        for word in words:
            self.assertIn(word, error["message"])

    def stored(self, instance, kind):
        return self.claims(instance, "GET", f"/policies/{kind}")["x-ms-policy"]

    # Recorded exchanges.

    def play(self, instance, exchange):
        request, wanted = exchange["request"], exchange["response"]
        headers = {name: value for name, value in request["headers"].items() if name != "Content-Length"}
        answer, text = instance.ask(request["method"], request["target"], request["body"], headers)
        self.assertEqual(answer.status, wanted["status"], text)
        for name in RECORDED_HEADERS:
            self.assertIn(name, wanted["headers"])
            self.assertIsNotNone(answer.getheader(name), name)
        for name in ("Content-Type", "Server"):
            self.assertEqual(answer.getheader(name), wanted["headers"][name])
        for name in ("Content-Length", "Transfer-Encoding"):
            self.assertEqual(answer.getheader(name) is not None, name in wanted["headers"], name)
        self.assertRegex(wanted["headers"]["x-ms-request-id"], LONG_ID)
        self.assertRegex(answer.getheader("x-ms-request-id"), LONG_ID)
        outer = json.loads(text)
        self.assertEqual(list(outer), list(wanted["body"]))
        header, claims, _ = parts(wanted["body"]["token"])
        got_header, got = parts(outer["token"])[0], self.verified(instance, outer["token"])
        self.assertEqual(list(got_header), list(header))
        self.assertEqual((got_header["alg"], got_header["typ"]), (header["alg"], header["typ"]))
        self.assertEqual(list(got), list(claims))
        self.assertEqual((got["exp"] - got["iat"], got["nbf"] - got["iat"]), (claims["exp"] - claims["iat"], claims["nbf"] - claims["iat"]))
        for name in set(claims) - {"exp", "iat", "iss", "nbf"}:
            self.assertEqual(got[name], claims[name], name)

    @unittest.skipUnless(os.path.isdir(EXCHANGES), f"no vectors in {EXCHANGES}")
    def test_recorded_exchanges_of_policies_and_certificates_are_answered_in_their_shape(self):
        folders = [name for name in sorted(os.listdir(EXCHANGES)) if name.startswith(("Policy.", "CertificateTests."))]
        n_exchanges = 0
        self.assertGreaterEqual(len(folders), 14)
        for folder in folders:
            exchanges = recorded(folder)
            self.assertGreaterEqual(len(exchanges), 1, folder)
            options = ["--mode", "shared" if "Shared" in folder else "aad"]
            if folder.startswith("CertificateTests.Add"):
                signer = f"{self.folder.name}/recorded.pem"
                x5c = parts(json.loads(exchanges[0]["request"]["body"]))[0]["x5c"]
                openssl("x509", "-inform", "DER", "-out", signer, data=base64.b64decode(x5c[0]))
                options = ["--mode", "isolated", "--policy-signer", signer]
            with self.start(*options) as instance:
                for exchange in exchanges:
                    with self.subTest(folder=folder, target=exchange["request"]["target"]):
                        self.play(instance, exchange)
                        n_exchanges += 1
        self.assertGreaterEqual(n_exchanges, 30)

    @unittest.skipUnless(os.path.isdir(EXCHANGES), f"no vectors in {EXCHANGES}")
    def test_documented_samples(self):
        policies = os.path.join(VECTORS, "maa/policy")
        sample = {n: pathlib.Path(f"{policies}/docs-policy-{n}").read_text().strip() for n in ("example-0.jws", "example-1.jws", "signer-add.jws")}
        with self.start() as instance:
            self.claims(instance, "PUT", "/policies/SgxEnclave", sample["example-0.jws"])
            self.assertEqual(self.stored(instance, "SgxEnclave"), sample["example-0.jws"])
            self.expect_error(instance, "PUT", "/policies/SgxEnclave", sample["example-1.jws"], 400, "InvalidOperation", "83FF004A")
        with self.start("--mode", "isolated", "--policy-signer", f"{policies}/docs-policy-signer-cert.pem") as instance:
            claims = self.claims(instance, "POST", "/certificates:add", json.dumps(sample["signer-add.jws"]))
            added = parts(sample["signer-add.jws"])[1]["maa-policyCertificate"]["x5c"][0]
            self.assertEqual(claims["x-ms-certificate-thumbprint"], hashlib.sha1(base64.b64decode(added)).hexdigest().upper())

    # Signatures.

    def test_aad_takes_policies_of_any_signer_rsa_and_ec_and_of_none(self):
        p384 = Signer(self.folder.name, "p384-signer", "P-384")
        with self.start() as instance:
            for signer in (self.rsa, self.ec, p384):
                with self.subTest(alg=signer.alg):
                    policy = signer.policy(PERMIT)
                    claims = self.claims(instance, "PUT", "/policies/Tpm", policy)
                    self.assertEqual(claims["x-ms-policy-result"], "Updated")
                    self.assertEqual(claims["x-ms-policy-token-hash"], encode(hashlib.sha256(policy.encode()).digest()))
                    self.assertEqual(claims["x-ms-policy-signer"], signer.jwk())
                    self.assertEqual(self.stored(instance, "Tpm"), policy)
            self.assertEqual(self.claims(instance, "POST", "/policies/Tpm:reset", self.ec.sign(b""))["x-ms-policy-result"], "Removed")
            self.assertEqual(self.stored(instance, "Tpm"), UNSIGNED_EMPTY)
            self.assertNotIn("x-ms-policy-signer", self.claims(instance, "PUT", "/policies/Tpm", unsigned(PERMIT), {"Content-Type": "text/plain"}))

    def test_signature_that_does_not_hold_changes_nothing(self):
        with self.start() as instance:
            header, _, signature = self.rsa.policy(PERMIT).split(".")
            other = self.rsa.policy("version=1.0; authorizationrules{=> deny();}; issuancerules{};").split(".")[1]
            for body in (f"{header}.{other}.{signature}", f"{header}.{other}.", self.ec.policy(PERMIT)[:-4], f"{UNSIGNED_EMPTY}YQ", "", "no JWS", "{}"):
                with self.subTest(body=body[-20:]):
                    self.expect_error(instance, "PUT", "/policies/Tpm", body, 400, "InvalidOperation", "74", "83FF004A")
            self.assertEqual(self.stored(instance, "Tpm"), UNSIGNED_EMPTY)

    def test_chain_of_the_signer_has_to_end_in_an_authority(self):
        leaf = Signer(self.folder.name, "leaf", issuer=self.rsa, is_ca=False)
        no_authority = Signer(self.folder.name, "no-authority", is_ca=False)
        with self.start() as instance:
            for signer in (leaf, no_authority):
                self.expect_error(instance, "PUT", "/policies/Tpm", signer.policy(PERMIT), 400, "InvalidParameter", "65529", "83FFFFF9",
                                  "Unable to find issuer certificate CN=")
            leaf.chain = [leaf.der(), self.other.der(), self.rsa.der()]
            claims = self.claims(instance, "PUT", "/policies/Tpm", leaf.policy(PERMIT))
            self.assertEqual(claims["x-ms-policy-signer"]["x5c"], leaf.chain)

    # The kinds of instance.

    def test_isolated_takes_nothing_without_a_signer_of_its_own(self):
        with self.isolated() as instance:
            self.expect_error(instance, "PUT", "/policies/Tpm", unsigned(PERMIT), 400, "InvalidOperation", "74", "83FF004A")
            self.expect_error(instance, "PUT", "/policies/Tpm", self.other.policy(PERMIT), 400, "InvalidParameter", "65529")
            self.expect_error(instance, "POST", "/certificates:add", self.other.change(self.other), 400, "InvalidParameter", "65529")
            self.assertEqual(self.stored(instance, "Tpm"), UNSIGNED_EMPTY)
            policy = self.rsa.policy(PERMIT)
            self.claims(instance, "PUT", "/policies/Tpm", policy)
            self.expect_error(instance, "POST", "/policies/Tpm:reset", UNSIGNED_EMPTY, 400, "InvalidOperation", "74")
            self.expect_error(instance, "POST", "/policies/Tpm:reset", self.other.sign(b""), 400, "InvalidParameter", "65529")
            self.expect_error(instance, "POST", "/policies/Tpm:reset", policy, 400, "InvalidOperation", "empty payload")
            self.assertEqual(self.stored(instance, "Tpm"), policy)
            self.claims(instance, "POST", "/policies/Tpm:reset", self.rsa.sign(b""))
            self.assertEqual(self.stored(instance, "Tpm"), UNSIGNED_EMPTY)

    def test_isolated_signers_come_and_go_under_all_three_names_and_survive_a_restart(self):
        state = f"{self.folder.name}/signers"
        with self.isolated(state) as instance:
            for claim in ("policyCertificate", "maa-policyCertificate", "x-ms-policyCertificate"):
                with self.subTest(claim=claim):
                    claims = self.claims(instance, "POST", "/certificates:add", self.rsa.change(self.ec, claim))
                    self.assertEqual(claims["x-ms-policycertificates-result"], "IsPresent")
                    self.assertEqual(claims["x-ms-certificate-thumbprint"], self.ec.thumbprint())
                    keys = self.claims(instance, "GET", "/certificates")["x-ms-policy-certificates"]["keys"]
                    self.assertEqual(keys, [self.rsa.jwk(), self.ec.jwk()])
                    self.claims(instance, "PUT", "/policies/Tpm", self.ec.policy(PERMIT))
                    claims = self.claims(instance, "POST", "/certificates:remove", self.ec.change(self.ec, claim))
                    self.assertEqual(claims["x-ms-policycertificates-result"], "IsAbsent")
                    self.assertEqual(claims["x-ms-certificate-thumbprint"], self.ec.thumbprint())
                    self.expect_error(instance, "PUT", "/policies/Tpm", self.ec.policy(PERMIT), 400, "InvalidParameter", "65529")
            self.claims(instance, "POST", "/certificates:remove", self.rsa.change(self.other))  # is absent already
            self.expect_error(instance, "POST", "/certificates:remove", self.rsa.change(self.rsa), 400, "InvalidOperation", "last policy signer")
            self.expect_error(instance, "POST", "/certificates:add", json.dumps(self.rsa.sign(b"{}")), 400, "InvalidOperation", "74",
                              'Could not find "maa-policyCertificate" claim in policy token')
            self.claims(instance, "POST", "/certificates:add", self.rsa.change(self.ec))
            self.claims(instance, "POST", "/certificates:remove", self.ec.change(self.rsa))
        with self.isolated(state) as instance:  # --policy-signer counts at the first start only
            self.assertEqual(self.claims(instance, "GET", "/certificates")["x-ms-policy-certificates"], {"keys": [self.ec.jwk()]})
            self.expect_error(instance, "PUT", "/policies/Tpm", self.rsa.policy(PERMIT), 400, "InvalidParameter", "65529")
            self.assertEqual(parts(self.stored(instance, "Tpm"))[0]["alg"], "ES256")

    def test_isolated_without_a_signer_s_name_makes_one(self):
        with self.start("--mode", "isolated") as instance:
            keys = self.claims(instance, "GET", "/certificates")["x-ms-policy-certificates"]["keys"]
            pem = f"{instance.state}/policy-signer.pem"
            self.assertEqual([key["x5c"] for key in keys], [[base64.b64encode(openssl("x509", "-in", pem, "-outform", "DER")).decode()]])
            made = Signer.__new__(Signer)
            made.key, made.pem, made.alg, made.hash, made.size, made.chain = f"{instance.state}/policy-signer.key", pem, "RS256", "sha256", 0, keys[0]["x5c"]
            self.claims(instance, "PUT", "/policies/Tpm", made.policy(PERMIT))

    def test_aad_and_shared_have_no_signers_and_shared_policies_can_only_be_read(self):
        for mode in ("aad", "shared"):
            with self.subTest(mode=mode), self.start("--mode", mode) as instance:
                self.assertEqual(self.claims(instance, "GET", "/certificates")["x-ms-policy-certificates"], {"keys": []})
                for verb in ("add", "remove"):
                    self.expect_error(instance, "POST", f"/certificates:{verb}", self.rsa.change(self.ec), 400, "InvalidOperation", "65530")
        with self.start("--mode", "shared") as instance:
            for body in (unsigned(PERMIT), self.rsa.policy(PERMIT), "no JWS"):
                self.expect_error(instance, "PUT", "/policies/SgxEnclave", body, 401, "Unauthorized")
            self.expect_error(instance, "POST", "/policies/SgxEnclave:reset", UNSIGNED_EMPTY, 401, "Unauthorized")
            self.assertIn("azuredefault", decode(parts(self.stored(instance, "SgxEnclave"))[1]["AttestationPolicy"]).decode())

    # Policies that are none, and addresses.

    def test_policy_that_does_not_parse_is_refused_with_line_and_column(self):
        for text, line, column in (("version=1.0\n[type==\"a\"]", 2, 1),     # the sample of the troubleshooting guide
                                   ("version=1.0;\nauthorizationrules\n{\n    => permit() };", 4, 17), ("", 1, 1)):
            with self.subTest(text=text), self.start() as instance:
                self.expect_error(instance, "PUT", "/policies/Tpm", unsigned(text), 400, "PolicyParsingError", "65526", "83FFFFF6",
                                  "Invalid policy was specified", f"Line: '{line}', Column: '{column}'")
                self.assertEqual(self.stored(instance, "Tpm"), UNSIGNED_EMPTY)

    def test_addresses_and_methods(self):
        with self.start() as instance:
            self.assertEqual(self.stored(instance, "tpm"), UNSIGNED_EMPTY)
            self.expect_error(instance, "GET", "/policies/Nothing", None, 400, "InvalidParameter")
            self.expect_error(instance, "POST", "/policies/Tpm:add", "", 404, "NotFound")
            self.expect_error(instance, "POST", "/certificates:reset", "", 404, "NotFound")
            for method, path in (("POST", "/policies/Tpm"), ("GET", "/policies/Tpm:reset"), ("PUT", "/certificates"), ("GET", "/certificates:add")):
                self.expect_error(instance, method, path, "" if method != "GET" else None, 405, "MethodNotAllowed")
            for query in ("", "?api-version=2017-01-01"):
                answer, body = instance.ask("GET", "/policies/Tpm" + query)
                self.assertEqual((answer.status, json.loads(body)["error"]["code"]), (400, "InvalidParameter"))

    def test_policy_signer_on_an_instance_that_has_none_is_a_usage_error(self):
        result = subprocess.run([PROGRAM, "--listen", "127.0.0.1:0", "--state", f"{self.folder.name}/none", "--policy-signer", self.rsa.pem],
                                capture_output=True, text=True, timeout=20, check=False)
        self.assertEqual(result.returncode, 2, result)
        self.assertIn("--policy-signer", result.stderr)

    # What is kept.

    def test_each_type_has_its_own_policy_and_keeps_it_over_a_restart(self):
        state = f"{self.folder.name}/kept"
        policies = {kind: unsigned(f"version=1.0; authorizationrules{{=> permit();}}; issuancerules{{=> issue(type=\"t\", value=\"{kind}\");}};")
                    for kind in ("Tpm", "SgxEnclave", "OpenEnclave")}
        with self.start(state=state) as instance:
            for kind, policy in policies.items():
                self.claims(instance, "PUT", f"/policies/{kind}", policy)
        with self.start(state=state) as instance:
            for kind, policy in policies.items():
                self.assertEqual(self.stored(instance, kind), policy)

    def test_instance_that_is_killed_while_policies_change_has_one_of_them_whole(self):
        state = f"{self.folder.name}/killed"
        policies = [unsigned(PERMIT + " // " + letter * 100000) for letter in "ab"]
        for _ in range(3):
            instance, n_put, enough = self.start(state=state), [0], threading.Event()

            def change():
                try:
                    while True:
                        instance.ask("PUT", "/policies/Tpm" + VERSION, policies[n_put[0] % 2])
                        n_put[0] += 1
                        if n_put[0] == 3:
                            enough.set()
                except (OSError, http.client.HTTPException):
                    enough.set()

            thread = threading.Thread(target=change)
            thread.start()
            self.assertTrue(enough.wait(60))
            instance.stop(signal.SIGKILL)
            thread.join(60)
            self.assertGreaterEqual(n_put[0], 3)
            with self.start(state=state) as again:
                self.assertIn(self.stored(again, "Tpm"), policies)
                self.assertEqual(sorted(os.listdir(f"{state}/policies")), ["Tpm.jws"])


if __name__ == "__main__":
    unittest.main()
