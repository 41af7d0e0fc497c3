"""What tests of attest-instance's administration and of its enclaves share: the instance, recorded exchanges, and keys, certificates, signatures and
policies made with the openssl command. The program under test is the first argument of the command line."""
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
import unittest

PROGRAM = os.path.abspath(sys.argv.pop(1)) if len(sys.argv) > 1 else ""
VECTORS = os.environ.get("ATTESTD_VECTORS", "")
EXCHANGES = os.path.join(VECTORS, "maa/exchanges")
VERSION = "?api-version=2020-10-01"
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

    def __exit__(self, kind, *exception):
        status = self.stop()
        assert kind or status == 0, f"the instance ended with status {status}"

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


# Which test plays which folders of recorded exchanges; test-instance-admin.py fails where a folder is nobody's.
PLAYED = {"enclave": ("SimpleAttest", "AttestWith"), "admin": ("Policy.", "CertificateTests."), "metadata": ("Attestation-MetadataTests.",)}


def recorded_folders(part):
    return [name for name in sorted(os.listdir(EXCHANGES)) if name.startswith(PLAYED[part])]


def recorded(folder):
    """The exchanges of a folder, in their order."""
    return [json.loads(pathlib.Path(path).read_text()) for path in sorted(glob.glob(f"{EXCHANGES}/{folder}/[0-9][0-9]-*.json")) if ".error." not in path]


class InstanceTest(unittest.TestCase):
    """Starts instances that share their keys, and knows what an answer is."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="attest-instance-")
        cls.rsa = Signer(cls.folder.name, "rsa-signer")
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

    def claims(self, instance, method, path, body=None, headers=None):
        """The claims of an answer of 200, whose signature openssl verifies with the certificate that /certs has for the kid."""
        answer, text = instance.ask(method, path + VERSION, body, headers)
        self.assertEqual(answer.status, 200, text)
        outer = json.loads(text)
        self.assertEqual(list(outer), ["token"])
        return self.verified(instance, outer["token"])

    def verified(self, instance, token, lifetime=3600):
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
        self.assertEqual((claims["iss"], claims["nbf"], claims["exp"]), (instance.url, claims["iat"], claims["iat"] + lifetime))
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

    def play(self, instance, exchange):
        """Sends a recorded request; returns the answer's JSON once its status and headers have the recorded shape."""
        request, wanted = exchange["request"], exchange["response"]
        headers = {name: value for name, value in request.get("headers", {}).items() if name != "Content-Length"}
        body = request["body"]  # JSON is recorded as such, texts as strings
        answer, text = instance.ask(request["method"], request["target"], json.dumps(body, separators=(",", ":")) if isinstance(body, dict) else body, headers)
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
        return outer
