#!/usr/bin/env python3
"""The token authority and the metadata endpoints of attest-instance, each kind of credential and each refusal. The client is independent: the standard
library's HTTP, and assertions that the openssl command signs.

usage: test-instance-authority.py ATTEST-INSTANCE
"""
import base64
import email.utils
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
import urllib.parse
import uuid

PROGRAM = os.path.abspath(sys.argv.pop(1)) if len(sys.argv) > 1 else ""
TENANT, OTHER_TENANT = "72f988bf-0000-4000-8000-000000000001", "72f988bf-0000-4000-8000-000000000002"
READER, CONTRIBUTOR, NOBODY, FEDERATED = (f"c1000000-0000-4000-8000-00000000000{i}" for i in range(1, 5))
SCOPE = "https://attest.azure.net/.default"
AUDIENCE = "https://attest.azure.net"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
SECRET = "it's a §ecret+with/odd=characters&%"
ISSUER, SUBJECT, EXCHANGE = "https://oidc.example/cluster", "system:serviceaccount:prod:agent", "api://AzureADTokenExchange"
RESOURCE_ID = "/subscriptions/s/resourcegroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/two"
INIT = json.dumps({"data": base64.urlsafe_b64encode(b'{"payload":{"type":"aikcert"}}').rstrip(b"=").decode()}).encode()
ATTEST = "/attest/Tpm?api-version=2020-10-01"


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def openssl(*arguments, data=None):
    return subprocess.run(["openssl", *arguments], input=data, check=True, capture_output=True).stdout


def raw_signature(der, size):
    """ECDSA-Sig-Value (RFC 3279 §2.2.3) as r || s."""
    numbers = re.findall(rb"INTEGER\s+:([0-9A-F]+)", openssl("asn1parse", "-inform", "DER", data=der))
    return b"".join(int(number, 16).to_bytes(size, "big") for number in numbers)


class Key:
    """A key and its self-signed certificate, by the openssl command."""

    def __init__(self, folder, name, kind="rsa:2048", days=("-days", "2")):
        self.path, self.pem_path = f"{folder}/{name}.key", f"{folder}/{name}.pem"
        new = ["-newkey", "rsa:2048"] if kind.startswith("rsa") else ["-newkey", "ec", "-pkeyopt", f"ec_paramgen_curve:{kind}"]
        if days[0] == "-days":
            openssl("req", "-x509", *new, "-nodes", "-keyout", self.path, "-out", self.pem_path, "-subj", f"/CN={name}", *days)
        else:       # openssl req has no start date: openssl ca has
            openssl("req", *new, "-nodes", "-keyout", self.path, "-out", f"{folder}/{name}.csr", "-subj", f"/CN={name}")
            with open(f"{folder}/{name}.cnf", "w", encoding="ascii") as file:
                file.write("[ca]\ndefault_ca=d\n[d]\ndatabase=%s/index\nserial=%s/serial\nnew_certs_dir=%s\ndefault_md=sha256\npolicy=p\n"
                           "[p]\ncommonName=supplied\n" % (folder, folder, folder))
            open(f"{folder}/index", "w").close()
            with open(f"{folder}/serial", "w", encoding="ascii") as file:
                file.write("01\n")
            openssl("ca", "-batch", "-config", f"{folder}/{name}.cnf", "-selfsign", "-keyfile", self.path, "-in", f"{folder}/{name}.csr",
                    "-out", self.pem_path, "-notext", "-startdate", days[0], "-enddate", days[1])
        with open(self.pem_path, encoding="ascii") as file:
            self.pem = file.read()
        self.der = ssl.PEM_cert_to_DER_cert(self.pem)
        self.sha1, self.sha256 = hashlib.sha1(self.der).digest(), hashlib.sha256(self.der).digest()

    def sign(self, algorithm, data):
        digest = f"-sha{algorithm[2:]}"
        options = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:-1"] if algorithm.startswith("PS") else []
        signature = openssl("dgst", digest, "-sign", self.path, *options, data=data)
        return raw_signature(signature, {"256": 32, "384": 48, "512": 66}[algorithm[2:]]) if algorithm.startswith("ES") else signature

    def jwt(self, header, claims):
        text = f"{encode(json.dumps(header).encode())}.{encode(json.dumps(claims).encode())}"
        return f"{text}.{encode(self.sign(header['alg'], text.encode()))}"


class Instance:
    def __init__(self, folder, *options):
        self.state, self.log_path = f"{folder}/state", f"{folder}/instance.log"
        self.log = open(self.log_path, "ab")
        self.process = subprocess.Popen([PROGRAM, "--listen", "127.0.0.1:0", "--state", self.state, *options], stdout=subprocess.PIPE, stderr=self.log)
        line = self.process.stdout.readline().decode()
        assert line.startswith("READY url=https://"), line
        self.url = line.split("=", 1)[1].strip()
        self.port = int(self.url.rsplit(":", 1)[1])
        self.imds_port = None
        if "--imds" in options:
            line = self.process.stdout.readline().decode()
            assert line.startswith("IMDS url=http://127.0.0.1:"), line
            self.imds_port = int(line.strip().rsplit(":", 1)[1])
        self.context = ssl.create_default_context(cafile=f"{self.state}/ca.pem")

    def ask(self, method, path, body=None, headers=None, imds=False):
        connection = http.client.HTTPConnection("127.0.0.1", self.imds_port, timeout=20) if imds else \
            http.client.HTTPSConnection("127.0.0.1", self.port, context=self.context, timeout=20)
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


class AuthorityTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="attest-authority-")
        folder = cls.folder.name
        cls.keys = {name: Key(folder, name, kind) for name, kind in
                    (("rsa", "rsa:2048"), ("p256", "P-256"), ("p384", "P-384"), ("stranger", "rsa:2048"), ("cluster", "rsa:2048"), ("cluster-ec", "P-256"))}
        cls.keys["expired"] = Key(folder, "expired", days=("20200101000000Z", "20210101000000Z"))
        cls.keys["early"] = Key(folder, "early", days=("20900101000000Z", "20950101000000Z"))
        federated = [{"issuer": ISSUER, "subject": SUBJECT, "audience": EXCHANGE,
                      "keys": [{"kty": "RSA", "kid": "one", "x5c": [base64.b64encode(cls.keys["cluster"].der).decode()]},
                               {"kty": "EC", "kid": "two", "x5c": [base64.b64encode(cls.keys["cluster-ec"].der).decode()]}]}]
        cls.applications = {
            "tenants": [
                {"id": TENANT, "name": "contoso.example", "applications": [
                    {"client_id": READER, "object_id": "o-reader", "roles": ["reader"],
                     "secrets": [{"value": SECRET}, {"value": "an old secret", "expires": 1600000000}],
                     "certificates": [cls.keys[name].pem for name in ("rsa", "p256", "p384", "expired", "early")]},
                    {"client_id": CONTRIBUTOR, "object_id": "o-contributor", "roles": ["contributor"], "secrets": [{"value": "c"}]},
                    {"client_id": NOBODY, "object_id": "o-nobody", "secrets": [{"value": "n"}]},
                    {"client_id": FEDERATED, "object_id": "o-federated", "roles": ["reader"], "federated": federated}],
                 "managed_identities": [
                     {"client_id": "m-one", "object_id": "o-one", "system_assigned": True, "roles": ["reader"]},
                     {"client_id": "m-two", "object_id": "o-two", "resource_id": RESOURCE_ID, "roles": ["reader"]}]},
                {"id": OTHER_TENANT, "applications": [{"client_id": CONTRIBUTOR, "object_id": "o-elsewhere"}]}],
            "identity_header": "853b9a84-5bfa-4b22-a3f3-0b9a43d9ad8a"}
        with open(f"{folder}/applications.json", "w", encoding="utf-8") as file:
            json.dump(cls.applications, file)
        cls.arc = f"{folder}/tokens"
        os.mkdir(cls.arc)
        cls.instance = Instance(folder, "--applications", f"{folder}/applications.json", "--imds", "127.0.0.1:0", "--arc-tokens", cls.arc)
        cls.token_url = f"{cls.instance.url}/{TENANT}/oauth2/v2.0/token"

    @classmethod
    def tearDownClass(cls):
        status = cls.instance.stop()
        left = os.listdir(cls.arc)
        cls.folder.cleanup()
        assert status == 0, status
        assert left == [], left

    def setUp(self):
        self.instance.faults("")

    # asking

    def post(self, form, tenant=TENANT, content_type="application/x-www-form-urlencoded"):
        body = form if isinstance(form, (bytes, str)) else urllib.parse.urlencode(form)
        answer, text = self.instance.ask("POST", f"/{tenant}/oauth2/v2.0/token", body, {"Content-Type": content_type})
        self.assertEqual(answer.headers["Content-Type"], "application/json; charset=utf-8")
        return answer, json.loads(text)

    def form(self, client=READER, **more):
        return {"grant_type": "client_credentials", "client_id": client, "scope": SCOPE, **more}

    def token(self, form, tenant=TENANT):
        answer, body = self.post(form, tenant)
        self.assertEqual(answer.status, 200, body)
        self.assertEqual((body["token_type"], body["expires_in"], body["ext_expires_in"]), ("Bearer", 3599, 3599))
        self.assertEqual(answer.headers["Cache-Control"], "no-store")
        return body["access_token"]

    def refused(self, form, status, error, number, tenant=TENANT, words="", **options):
        answer, body = self.post(form, tenant, **options)
        self.assertEqual((answer.status, body.get("error"), body.get("error_codes")), (status, error, [number]), body)
        self.assertTrue(body["error_description"].startswith(f"AADSTS{number}: "), body)
        self.assertIn(words, body["error_description"])
        self.assertRegex(body["timestamp"], r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ$")
        for member in ("trace_id", "correlation_id"):
            uuid.UUID(body[member])
            self.assertIn(body[member], body["error_description"])
        self.assertNotIn("access_token", body)

    def imds(self, path="/metadata/identity/oauth2/token", headers=None, method="GET", **query):
        text = urllib.parse.urlencode({name.replace("_version", "-version"): value for name, value in query.items() if value is not None})
        answer, body = self.instance.ask(method, f"{path}?{text}", None, {"Metadata": "true"} if headers is None else headers, imds=True)
        return answer, json.loads(body)

    def managed(self, **query):
        answer, body = self.imds(**{"api_version": "2018-02-01", "resource": AUDIENCE, **query})
        self.assertEqual(answer.status, 200, body)
        return body

    def attest(self, token):
        headers = {"Content-Type": "application/json"}
        if token is not None:
            headers["Authorization"] = token if " " in token else f"Bearer {token}"
        return self.instance.ask("POST", ATTEST, INIT, headers)

    def assert_may_attest(self, token):
        answer, body = self.attest(token)
        self.assertEqual(answer.status, 200, body)

    def claims(self, token):
        """Verifies with the published key, by the openssl command."""
        head, payload, signature = token.split(".")
        header = json.loads(decode(head))
        keys = json.loads(self.instance.ask("GET", f"/{TENANT}/discovery/v2.0/keys")[1])["keys"]
        key = next(key for key in keys if key["kid"] == header["kid"])
        self.assertEqual((header["alg"], header["typ"], key["kty"]), ("RS256", "JWT", "RSA"))
        public = openssl("x509", "-inform", "DER", "-noout", "-pubkey", data=base64.b64decode(key["x5c"][0]))
        modulus = re.search(rb"Modulus=([0-9A-F]+)", openssl("x509", "-inform", "DER", "-noout", "-modulus", data=base64.b64decode(key["x5c"][0])))
        self.assertEqual(int(modulus.group(1), 16), int.from_bytes(decode(key["n"]), "big"))
        with tempfile.TemporaryDirectory() as folder:
            for name, data in (("key", public), ("signature", decode(signature))):
                with open(f"{folder}/{name}", "wb") as file:
                    file.write(data)
            openssl("dgst", "-sha256", "-verify", f"{folder}/key", "-signature", f"{folder}/signature", data=f"{head}.{payload}".encode())
        return json.loads(decode(payload))

    def assertion(self, key="rsa", algorithm="RS256", header=None, certificate=None, **claims):
        key = self.keys[key]
        named = self.keys[certificate] if certificate else key
        members = {"alg": algorithm, "typ": "JWT", **({"x5t#S256": encode(named.sha256)} if header is None else header)}
        now = int(time.time())
        values = {"aud": self.token_url, "iss": READER, "sub": READER, "jti": str(uuid.uuid4()), "nbf": now, "exp": now + 600, **claims}
        return self.form(client_assertion_type=ASSERTION,
                         client_assertion=key.jwt(members, {name: value for name, value in values.items() if value is not None}))

    def workload(self, key="cluster", algorithm="RS256", kid="one", **claims):
        now = int(time.time())
        values = {"aud": [EXCHANGE], "iss": ISSUER, "sub": SUBJECT, "iat": now, "nbf": now, "exp": now + 3600, **claims}
        header = {"alg": algorithm, "kid": kid} if kid else {"alg": algorithm}
        return self.form(FEDERATED, client_assertion_type=ASSERTION, client_assertion=self.keys[key].jwt(header, values))

    # metadata of the authority

    def test_openid_configuration_leads_to_endpoint_and_keys(self):
        for name in (TENANT, TENANT.upper(), "contoso.example"):
            answer, body = self.instance.ask("GET", f"/{name}/v2.0/.well-known/openid-configuration")
            self.assertEqual(answer.status, 200)
            metadata = json.loads(body)
            self.assertEqual(metadata["token_endpoint"], self.token_url)
            self.assertEqual(metadata["issuer"], f"{self.instance.url}/{TENANT}/v2.0")
            self.assertEqual(metadata["jwks_uri"], f"{self.instance.url}/{TENANT}/discovery/v2.0/keys")
        answer, body = self.instance.ask("GET", "/nowhere.example/v2.0/.well-known/openid-configuration")
        self.assertEqual((answer.status, json.loads(body)["error_codes"]), (400, [90002]))

    # client secret

    def test_client_secret_gives_a_token_that_is_signed_and_accepted(self):
        before = int(time.time())
        token = self.token(self.form(client_secret=SECRET))
        claims = self.claims(token)
        self.assertEqual((claims["aud"], claims["iss"], claims["tid"]), (AUDIENCE, f"{self.instance.url}/{TENANT}/v2.0", TENANT))
        self.assertEqual((claims["appid"], claims["oid"], claims["appidacr"]), (READER, "o-reader", "1"))
        self.assertEqual(claims["exp"] - claims["iat"], 3599)
        self.assertTrue(before <= claims["iat"] <= time.time())
        self.assert_may_attest(token)

    def test_client_secret_refusals(self):
        self.refused(self.form(client_secret=SECRET + "x"), 401, "invalid_client", 7000215)
        self.refused(self.form(client_secret="c"), 401, "invalid_client", 7000215)      # another application's
        self.refused(self.form(client_secret="an old secret"), 401, "invalid_client", 7000222)
        self.refused(self.form(), 400, "invalid_request", 7000216)
        self.refused(self.form(client_secret=""), 400, "invalid_request", 7000216)
        self.refused(self.form("nobody-knows-me", client_secret=SECRET), 400, "unauthorized_client", 700016)
        self.refused(self.form("m-one", client_secret=SECRET), 400, "unauthorized_client", 700016)
        self.refused(self.form(client_secret=SECRET), 400, "unauthorized_client", 700016, tenant=OTHER_TENANT)
        self.refused(self.form(client_secret=SECRET), 400, "invalid_request", 90002, tenant="72f988bf-0000-4000-8000-00000000dead")
        with open(self.instance.log_path, encoding="utf-8") as log:
            self.assertNotIn("§ecret", log.read())

    def test_parameters_that_are_missing_or_wrong(self):
        for name in ("grant_type", "client_id", "scope"):
            form = self.form(client_secret=SECRET)
            del form[name]
            self.refused(form, 400, "invalid_request", 900144, words=f"'{name}'")
        good = self.form(client_secret=SECRET)
        self.refused({**good, "grant_type": "password"}, 400, "unsupported_grant_type", 70003)
        self.refused({**good, "scope": AUDIENCE}, 400, "invalid_scope", 1002012)
        self.refused({**good, "scope": f"{SCOPE} openid"}, 400, "invalid_scope", 70011)
        self.refused({**good, "scope": "https://vault.azure.net/.default"}, 400, "invalid_resource", 500011)
        self.refused({**good, "client_assertion": "x"}, 400, "invalid_request", 9002313)
        self.refused(urllib.parse.urlencode(good) + "&client_id=again", 400, "invalid_request", 9002313, words="client_id")
        self.refused(urllib.parse.urlencode(good) + "&x=%4", 400, "invalid_request", 9002313)
        self.refused(json.dumps(good), 400, "invalid_request", 9002313, content_type="application/json")
        self.refused(urllib.parse.urlencode(good), 400, "invalid_request", 9002313, content_type="text/plain")
        answer, body = self.instance.ask("GET", f"/{TENANT}/oauth2/v2.0/token")
        self.assertEqual((answer.status, json.loads(body)["error_codes"]), (405, [900561]))

    # client certificate

    def test_client_certificate_of_each_kind_of_key(self):
        chain = {name: [base64.b64encode(key.der).decode()] for name, key in self.keys.items()}
        for key, algorithm in (("rsa", "RS256"), ("rsa", "PS256"), ("p256", "ES256"), ("p384", "ES384")):
            for header in (None, {"x5t": encode(self.keys[key].sha1), "kid": self.keys[key].sha1.hex().upper()}, {"x5c": chain[key]},
                           {"x5t#S256": encode(self.keys[key].sha256), "x5c": chain[key]}):
                with self.subTest(key=key, algorithm=algorithm, header=header):
                    token = self.token(self.assertion(key, algorithm, header))
                    self.assertEqual(self.claims(token)["appidacr"], "2")
                    self.assert_may_attest(token)

    def test_client_certificate_audience_may_be_the_issuer(self):
        self.token(self.assertion(aud=f"{self.instance.url}/{TENANT}/v2.0"))

    def test_client_certificate_refusals(self):
        now = int(time.time())
        cases = (
            (self.assertion("stranger"), 401, "invalid_client", 700027, "not found"),
            (self.assertion("stranger", certificate="rsa"), 401, "invalid_client", 700027, "signature"),
            (self.assertion("expired"), 401, "invalid_client", 700027, "The key used is expired"),
            (self.assertion("early"), 401, "invalid_client", 700027, "not yet valid"),
            (self.assertion("rsa", header={"x5t": encode(self.keys["rsa"].sha1), "x5t#S256": encode(self.keys["p256"].sha256)}),
             401, "invalid_client", 700027, "not found"),
            (self.assertion("rsa", header={"x5c": [base64.b64encode(self.keys["stranger"].der).decode()], "x5t": encode(self.keys["rsa"].sha1)}),
             401, "invalid_client", 700027, "not found"),
            (self.assertion(header={}), 400, "invalid_request", 50027, "x5t"),
            (self.assertion(aud="https://login.example/token"), 401, "invalid_client", 700023, ""),
            (self.assertion(sub=CONTRIBUTOR), 401, "invalid_client", 700021, ""),
            (self.assertion(iss=CONTRIBUTOR), 401, "invalid_client", 700211, ""),
            (self.assertion(exp=now - 301), 401, "invalid_client", 700024, ""),
            (self.assertion(nbf=now + 330, exp=now + 900), 401, "invalid_client", 700024, ""),
            (self.assertion(jti=None), 400, "invalid_request", 50027, "jti"),
            (self.assertion(exp=None), 400, "invalid_request", 50027, "exp"),
            (self.assertion(sub=None), 400, "invalid_request", 50027, "sub"),
            (self.form(client_assertion_type=ASSERTION, client_assertion="a.b"), 400, "invalid_request", 50027, ""),
            (self.form(client_assertion_type="urn:x", client_assertion="a.b.c"), 400, "invalid_request", 9002313, ""),
            (self.form(client_assertion="a.b.c"), 400, "invalid_request", 900144, "client_assertion_type"),
        )
        for form, status, error, number, words in cases:
            with self.subTest(number=number, words=words):
                self.refused(form, status, error, number, words=words)

    def test_client_certificate_without_signature_is_refused(self):
        good = self.assertion()
        head, payload, _ = good["client_assertion"].split(".")
        header = {**json.loads(decode(head)), "alg": "none"}
        for text in (f"{encode(json.dumps(header).encode())}.{payload}.", f"{head}.{payload}.{encode(b'x' * 256)}"):
            self.refused({**good, "client_assertion": text}, 401, "invalid_client", 700027)

    def test_client_certificate_assertion_is_good_once(self):
        form = self.assertion()
        self.token(form)
        self.refused(form, 400, "invalid_request", 50027, words="jti")
        self.token(self.assertion())

    # workload identity

    def test_workload_identity_gives_a_token_and_again(self):
        form = self.workload()
        for _ in range(2):      # the platform's token is used until it expires
            self.assert_may_attest(self.token(form))
        self.assert_may_attest(self.token(self.workload("cluster-ec", "ES256", "two")))

    def test_workload_identity_refusals(self):
        now = int(time.time())
        self.refused(self.workload(iss=ISSUER + "/"), 401, "invalid_client", 700211, words=ISSUER)
        self.refused(self.workload(sub=SUBJECT.upper()), 401, "invalid_client", 700213, words=SUBJECT.upper())
        self.refused(self.workload(aud=["sts.example"]), 401, "invalid_client", 700212)
        self.refused(self.workload(exp=now - 400), 401, "invalid_client", 700024)
        self.refused(self.workload(kid="three"), 401, "invalid_client", 50013, words="not found")
        self.refused(self.workload(kid=None), 401, "invalid_client", 50013)
        self.refused(self.workload("stranger"), 401, "invalid_client", 50013)
        newline = self.workload()
        newline["client_assertion"] += "\n"     # that of the file: a client has to strip it
        self.refused(newline, 400, "invalid_request", 50027)

    # managed identities

    def test_imds_gives_tokens_with_numbers_as_strings(self):
        body = self.managed()
        self.assertEqual((body["token_type"], body["client_id"], body["resource"]), ("Bearer", "m-one", AUDIENCE))
        self.assertEqual(body["expires_in"], "86399")
        self.assertTrue(abs(int(body["expires_on"]) - time.time() - 86399) < 5)
        self.assertEqual(self.claims(body["access_token"])["oid"], "o-one")
        self.assert_may_attest(body["access_token"])

    def test_imds_identity_by_each_of_its_names(self):
        for name, value, client in (("client_id", "m-two", "m-two"), ("object_id", "o-two", "m-two"), ("msi_res_id", RESOURCE_ID, "m-two"),
                                    ("client_id", "m-one", "m-one")):
            self.assertEqual(self.managed(**{name: value})["client_id"], client)
        for query in ({"client_id": "m-three"}, {"object_id": READER}, {"msi_res_id": "/x"}, {"client_id": READER}):
            answer, body = self.imds(api_version="2018-02-01", resource=AUDIENCE, **query)
            self.assertEqual((answer.status, body), (400, {"error": "invalid_request", "error_description": "Identity not found"}))

    def test_imds_refusals(self):
        good = {"api_version": "2018-02-01", "resource": AUDIENCE}
        cases = (
            ({"headers": {}}, 400, "bad_request_102"), ({"headers": {"Metadata": "false"}}, 400, "bad_request_102"),
            ({"headers": {"Metadata": "true", "X-Forwarded-For": "10.0.0.1"}}, 400, "bad_request"),
            ({"api_version": None}, 400, "invalid_request"), ({"api_version": "2000-01-01"}, 400, "invalid_request"),
            ({"resource": None}, 400, "invalid_request"), ({"resource": "https://vault.azure.net"}, 400, "invalid_resource"),
            ({"client_id": "m-one", "object_id": "o-one"}, 400, "invalid_request"),
            ({"path": "/metadata/instance"}, 404, "not_found"), ({"method": "POST"}, 405, "method_not_allowed"),
        )
        for change, status, error in cases:
            with self.subTest(change=change):
                answer, body = self.imds(**{**good, **change})
                self.assertEqual((answer.status, body["error"]), (status, error), body)

    def test_the_two_listeners_do_not_mix(self):
        answer, _ = self.instance.ask("GET", "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=" + AUDIENCE, None, {"Metadata": "true"})
        self.assertEqual(answer.status, 404)
        for path in ("/certs", "/fault", f"/{TENANT}/oauth2/v2.0/token"):
            answer, _ = self.instance.ask("GET", path, imds=True)
            self.assertEqual(answer.status, 404, path)

    def test_app_service(self):
        header = {"X-IDENTITY-HEADER": self.applications["identity_header"]}
        good = {"path": "/msi/token", "headers": header, "api_version": "2019-08-01", "resource": AUDIENCE}
        answer, body = self.imds(**good)
        self.assertEqual((answer.status, body["client_id"]), (200, "m-one"))
        self.assertNotIn("expires_in", body)
        self.assertTrue(abs(int(body["expires_on"]) - time.time() - 86399) < 5)
        self.assert_may_attest(body["access_token"])
        self.assertEqual(self.imds(**good, principal_id="o-two")[1]["client_id"], "m-two")
        self.assertEqual(self.imds(**good, mi_res_id=RESOURCE_ID)[1]["client_id"], "m-two")
        for change, status in (({"headers": {}}, 401), ({"headers": {"X-IDENTITY-HEADER": "x" * 36}}, 401), ({"api_version": "2018-02-01"}, 400)):
            self.assertEqual(self.imds(**{**good, **change})[0].status, status)

    def test_arc_challenge(self):
        good = {"path": "/arc/metadata/identity/oauth2/token", "api_version": "2019-11-01", "resource": AUDIENCE}

        def challenge():
            answer, _ = self.imds(**good)
            self.assertEqual(answer.status, 401)
            path = re.fullmatch(r"Basic realm=(\S+)", answer.headers["WWW-Authenticate"]).group(1)
            self.assertEqual(os.path.dirname(path), self.arc)
            self.assertTrue(path.endswith(".key"))
            with open(path, encoding="ascii") as file:
                return path, file.read()
        path, key = challenge()
        self.assertLessEqual(len(key), 4096)
        self.assertEqual(os.stat(path).st_mode & 0o007, 0)
        answer, body = self.imds(**good, headers={"Metadata": "true", "Authorization": f"Basic {key}"})
        self.assertEqual((answer.status, body["client_id"], body["token_type"]), (200, "m-one", "Bearer"))
        self.assert_may_attest(body["access_token"])
        self.assertFalse(os.path.exists(path))
        self.assertEqual(self.imds(**good, headers={"Metadata": "true", "Authorization": f"Basic {key}"})[0].status, 403)   # good once
        _, key = challenge()
        for wrong in (key[:-1], key[:-1] + ("0" if key[-1] != "0" else "1"), ""):
            self.assertEqual(self.imds(**good, headers={"Metadata": "true", "Authorization": f"Basic {wrong}"})[0].status, 403)
        self.assertEqual(self.imds(**good, headers={})[0].status, 400)
        for _ in range(20):     # nobody's disk is filled
            challenge()
        self.assertLessEqual(len(os.listdir(self.arc)), 8)

    # bearer tokens at the instance

    def refused_bearer(self, token, words):
        answer, body = self.attest(token)
        error = json.loads(body)["error"]
        self.assertEqual((answer.status, error["code"]), (401, "Unauthorized"), body)
        self.assertTrue(answer.headers["WWW-Authenticate"].startswith("Bearer"))
        self.assertIn(words, error["message"])

    def test_public_endpoints_need_no_token(self):
        for path in ("/certs", "/.well-known/openid-configuration"):
            self.assertEqual(self.instance.ask("GET", path)[0].status, 200)

    def test_bearer_refusals(self):
        good = self.token(self.form(client_secret=SECRET))
        head, payload, signature = good.split(".")
        self.refused_bearer(None, "no bearer token")
        self.refused_bearer("Basic abc", "no bearer token")
        self.refused_bearer("Bearer abc", "not accepted")
        self.refused_bearer(self.token(self.form(NOBODY, client_secret="n")), "role Attestation Reader")
        claims = {**json.loads(decode(payload)), "oid": "o-contributor"}
        self.refused_bearer(f"{head}.{encode(json.dumps(claims).encode())}.{signature}", "not accepted")
        forged = self.keys["stranger"].jwt(json.loads(decode(head)), json.loads(decode(payload)))
        self.refused_bearer(forged, "not accepted")
        none = encode(json.dumps({**json.loads(decode(head)), "alg": "none"}).encode())
        self.refused_bearer(f"{none}.{payload}.", "not accepted")
        self.instance.faults("authority:clock-offset=-3600")
        self.refused_bearer(self.token(self.form(client_secret=SECRET)), "expired")
        self.instance.faults("authority:clock-offset=600")
        self.refused_bearer(self.token(self.form(client_secret=SECRET)), "not yet valid")
        self.assert_may_attest(good)

    def test_roles_of_policies_and_certificates(self):
        reader, contributor = self.token(self.form(client_secret=SECRET)), self.token(self.form(CONTRIBUTOR, client_secret="c"))
        for method, path, may_reader in (("GET", "/policies/Tpm?api-version=2020-10-01", True), ("PUT", "/policies/Tpm?api-version=2020-10-01", False),
                                         ("POST", "/policies/Tpm:reset?api-version=2020-10-01", False),
                                         ("GET", "/certificates?api-version=2020-10-01", True), ("POST", "/certificates:add?api-version=2020-10-01", False)):
            for token, may in ((None, False), (reader, may_reader), (contributor, True)):
                with self.subTest(method=method, path=path, may=may):
                    answer, _ = self.instance.ask(method, path, b"" if method != "GET" else None, {"Authorization": f"Bearer {token}"} if token else {})
                    self.assertEqual(answer.status != 401, may)

    # faults

    def test_faults_of_authority_and_imds_keep_to_their_place(self):
        self.instance.faults("authority:status=503@1 authority:retry-after=3@1 imds:status=410@1")
        self.assertEqual(self.instance.ask("GET", "/certs")[0].status, 200)
        answer, body = self.imds(api_version="2018-02-01", resource=AUDIENCE)
        self.assertEqual((answer.status, set(body)), (410, {"error", "error_description"}))
        self.managed()
        answer, body = self.post(self.form(client_secret=SECRET))
        self.assertEqual((answer.status, answer.headers["Retry-After"]), (503, "3"))
        self.assertEqual(body["error"], "temporarily_unavailable")
        self.token(self.form(client_secret=SECRET))

    def test_fault_for_seconds_begins_with_its_first_answer(self):
        self.instance.faults("imds:status=410@2s")
        self.assertEqual(self.instance.ask("GET", "/fault")[1], b"imds:status=410@2s\n")
        time.sleep(2.1)
        begin, n = time.monotonic(), 0
        while self.imds(api_version="2018-02-01", resource=AUDIENCE)[0].status == 410:
            n += 1
            time.sleep(0.1)
            self.assertLess(time.monotonic() - begin, 10)
        self.assertGreater(n, 1)
        self.assertTrue(1.8 < time.monotonic() - begin < 4, time.monotonic() - begin)

    def test_fault_429_with_both_kinds_of_retry_after(self):
        self.instance.faults("imds:status=429@1 imds:retry-after=5@1")
        answer, _ = self.imds(api_version="2018-02-01", resource=AUDIENCE)
        self.assertEqual((answer.status, answer.headers["Retry-After"]), (429, "5"))
        self.instance.faults("imds:status=429@1 imds:retry-after-date=60@1")
        answer, _ = self.imds(api_version="2018-02-01", resource=AUDIENCE)
        when = email.utils.parsedate_to_datetime(answer.headers["Retry-After"]).timestamp()
        self.assertTrue(55 < when - time.time() < 65)

    def test_faults_of_the_transport_and_the_text(self):
        self.instance.faults("authority:reset@1 imds:reset@1")
        with self.assertRaises((ConnectionError, ssl.SSLError)):
            self.post(self.form(client_secret=SECRET))
        with self.assertRaises(ConnectionError):
            self.imds(api_version="2018-02-01", resource=AUDIENCE)
        self.instance.faults("imds:truncated-body@1")
        with self.assertRaises((http.client.IncompleteRead, ConnectionError)):
            self.imds(api_version="2018-02-01", resource=AUDIENCE)
        self.instance.faults("authority:missing-member@1 imds:malformed-json@1")
        self.assertEqual(self.post(self.form(client_secret=SECRET))[1], {})
        with self.assertRaises(ValueError):
            self.imds(api_version="2018-02-01", resource=AUDIENCE)
        self.instance.faults("imds:latency=600@1")
        begin = time.monotonic()
        self.managed()
        self.assertGreaterEqual(time.monotonic() - begin, 0.6)

    def test_fault_chunked(self):
        self.assertIsNotNone(self.instance.ask("GET", "/certs")[0].headers["Content-Length"])
        self.instance.faults("certs:chunked@1")
        answer, body = self.instance.ask("GET", "/certs")
        self.assertEqual((answer.headers["Transfer-Encoding"], answer.headers["Content-Length"]), ("chunked", None))
        self.assertEqual(len(json.loads(body)["keys"]), 2)

    def test_fault_rotate_keys(self):
        def kids():
            return [key["kid"] for key in json.loads(self.instance.ask("GET", "/certs")[1])["keys"]]
        before = kids()
        self.instance.faults("certs:rotate-keys@1")
        after = kids()
        self.assertEqual((before[0], len(after)), (after[0], 2))
        self.assertNotEqual(before[1], after[1])
        self.assertEqual(kids(), after)

    def expect(self, spec):
        """What comes back for headers with Expect: 100-continue, and after how long, before a byte of the body was sent."""
        self.instance.faults(spec)
        body = urllib.parse.urlencode(self.form(client_secret=SECRET)).encode()
        with self.instance.context.wrap_socket(socket.create_connection(("127.0.0.1", self.instance.port), 20), server_hostname="127.0.0.1") as link:
            begin = time.monotonic()
            link.sendall(f"POST /{TENANT}/oauth2/v2.0/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
                         f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n".encode())
            first = link.recv(4096).split(b"\r\n")[0]
            waited = time.monotonic() - begin
            second = b""
            if first == b"HTTP/1.1 100 Continue":
                link.sendall(body)
                while b"\r\n" not in second:
                    second += link.recv(4096)
            return first, waited, second.split(b"\r\n")[0]

    def test_expect_continue_is_answered_late_or_refused(self):
        first, waited, second = self.expect("")
        self.assertEqual((first, second), (b"HTTP/1.1 100 Continue", b"HTTP/1.1 200 OK"))
        self.assertLess(waited, 1)
        first, waited, second = self.expect("authority:continue-latency=1200@1")
        self.assertEqual((first, second), (b"HTTP/1.1 100 Continue", b"HTTP/1.1 200 OK"))
        self.assertGreaterEqual(waited, 1.2)
        self.assertTrue(self.expect("authority:expectation-failed@1")[0].startswith(b"HTTP/1.1 417 "))


class OptionsTest(unittest.TestCase):
    def run_with(self, applications, *options):
        with tempfile.TemporaryDirectory() as folder:
            if applications is not None:
                with open(f"{folder}/applications.json", "w", encoding="utf-8") as file:
                    file.write(applications)
                options = ("--applications", f"{folder}/applications.json", *options)
            return subprocess.run([PROGRAM, "--listen", "127.0.0.1:0", "--state", f"{folder}/state", *options], capture_output=True, text=True, timeout=20,
                                  check=False)

    def test_metadata_without_applications_is_a_usage_error(self):
        for options in (("--imds", "127.0.0.1:0"), ("--arc-tokens", "/tmp")):
            result = self.run_with(None, *options)
            self.assertEqual(result.returncode, 2)
            self.assertIn("--applications", result.stderr)

    def test_applications_that_are_wrong_are_named(self):
        tenant = {"id": "t", "applications": [{"client_id": "c", "object_id": "o"}]}

        def with_application(**members):
            return json.dumps({"tenants": [{"id": "t", "applications": [{"client_id": "c", "object_id": "o", **members}]}]})
        for text, words in (("{", "the applications"), ('{"tenants":[]}', "tenants"), (json.dumps({"tenants": [tenant], "more": 1}), '"more"'),
                            (json.dumps({"tenants": [tenant, {"id": "T"}]}), "same id"), (json.dumps({"tenants": [{"id": "a/b"}]}), "'/'"),
                            (with_application(roles=["owner"]), "roles"), (with_application(secret="x"), '"secret"'),
                            (with_application(certificates=["nonsense"]), "certificates"), (with_application(secrets=["x"]), "secrets"),
                            (with_application(federated=[{"issuer": "x"}]), "subject"),
                            (json.dumps({"tenants": [{**tenant, "managed_identities": [{"client_id": "m", "object_id": "O"}]}]}), "object_id")):
            with self.subTest(text=text):
                result = self.run_with(text)
                self.assertNotIn(result.returncode, (0, 2))
                self.assertIn(words, result.stderr)

    def test_without_applications_there_is_no_authority_and_no_token_needed(self):
        with tempfile.TemporaryDirectory() as folder:
            instance = Instance(folder)
            self.assertEqual(instance.ask("POST", f"/{TENANT}/oauth2/v2.0/token", b"")[0].status, 404)
            self.assertEqual(instance.ask("POST", ATTEST, INIT)[0].status, 200)
            self.assertEqual(instance.stop(), 0)


if __name__ == "__main__":
    unittest.main()
