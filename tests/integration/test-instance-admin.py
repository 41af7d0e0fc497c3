#!/usr/bin/env python3
"""The instance's administration over real TLS: recorded exchanges of the real service played against it and the answers' shape compared; signed
policies, signer rules of the three kinds of instance, resets, errors. Keys, certificates and signatures come from the openssl command.

usage: test-instance-admin.py ATTEST-INSTANCE
"""
import base64
import hashlib
import http.client
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from instance import (EXCHANGES, PERMIT, PLAYED, PROGRAM, VECTORS, VERSION, InstanceTest, Signer, decode, encode, openssl, parts, recorded,
                      recorded_folders, unsigned)

UNSIGNED_EMPTY = "eyJhbGciOiJub25lIn0.."


class AdminTest(InstanceTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.other = Signer(cls.folder.name, "other-signer")
        cls.ec = Signer(cls.folder.name, "ec-signer", "P-256")

    def isolated(self, state=None):
        return self.start("--mode", "isolated", "--policy-signer", self.rsa.pem, state=state)

    # Recorded exchanges.

    def play_result(self, instance, exchange):
        outer, wanted = self.play(instance, exchange), exchange["response"]
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
        folders = recorded_folders("admin")
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
                        self.play_result(instance, exchange)
                        n_exchanges += 1
        self.assertGreaterEqual(n_exchanges, 30)

    @unittest.skipUnless(os.path.isdir(EXCHANGES), f"no vectors in {EXCHANGES}")
    def test_every_recorded_exchange_is_played_by_some_test(self):
        played = [name for part in PLAYED for name in recorded_folders(part)]
        self.assertEqual(sorted(played), sorted(os.listdir(EXCHANGES)))
        for folder in played:
            files = [path for path in os.listdir(f"{EXCHANGES}/{folder}") if path.endswith(".json") and not path.endswith(".error.json")]
            self.assertEqual(len(recorded(folder)), len(files), folder)
            self.assertGreaterEqual(len(files), 1, folder)

    @unittest.skipUnless(os.path.isdir(EXCHANGES), f"no vectors in {EXCHANGES}")
    def test_recorded_exchanges_of_metadata_are_answered_in_their_shape(self):
        folders = recorded_folders("metadata")
        self.assertGreaterEqual(len(folders), 2)
        for folder in folders:
            with self.start("--mode", "shared" if "Shared" in folder else "aad") as instance:
                for exchange in recorded(folder):
                    got, wanted = self.play(instance, exchange), exchange["response"]["body"]
                    self.assertEqual({name: value for name, value in got.items() if not str(value).startswith("https://")},
                                     {name: value for name, value in wanted.items() if not str(value).startswith("https://")})
                    for name, path in (("issuer", ""), ("jwks_uri", "/certs"), ("revocation_endpoint", "/revoke")):     # hosts of the recorded ones are blackened
                        self.assertEqual(got[name], instance.url + path)
                        self.assertRegex(wanted[name], f"^https://[^/]+{path}$")

    @unittest.skipUnless(os.path.isdir(EXCHANGES), f"no vectors in {EXCHANGES}")
    def test_recorded_key_sets_and_tpm_messages_have_the_shape_of_ours(self):
        with self.start() as instance:
            sets = [json.loads(path.read_text()) for path in sorted(pathlib.Path(VECTORS, "maa/jwks").glob("*-gen[0-9].json"))]
            self.assertGreaterEqual(len(sets), 10)
            ours = json.loads(instance.ask("GET", "/certs")[1])
            shapes = {(tuple(key), key["kty"], len(key["x5c"])) for key in ours["keys"]}
            for wanted in sets:
                self.assertEqual(list(ours), list(wanted))
                self.assertLessEqual({(tuple(key), key["kty"], len(key["x5c"])) for key in wanted["keys"]}, shapes)
            answers = sorted(pathlib.Path(VECTORS, "maa/tpm/init").glob("[01][0-9].response.json"))
            self.assertGreaterEqual(len(answers), 10)
            request = pathlib.Path(VECTORS, "maa/tpm/init/request.json").read_text()
            got = self.shape(json.loads(instance.ask("POST", "/attest/Tpm" + VERSION, request)[1]))
            for path in answers:
                self.assertEqual(got, self.shape(json.loads(path.read_text())), path)

    def shape(self, outer):
        """Members of a challenge in their order, and lengths."""
        inner = json.loads(decode(outer["data"]))
        context = json.loads(decode(inner["payload"]["service_context"]))
        return (list(outer), list(inner), list(inner["payload"]), len(decode(inner["payload"]["challenge"])), list(context), len(context["ProtectionKeyName"]),
                len(decode(context["ProtectedContext"])))

    @unittest.skipUnless(os.path.isdir(EXCHANGES), f"no vectors in {EXCHANGES}")
    def test_recorded_init_without_a_policy_is_refused_as_recorded(self):
        exchange = json.loads(pathlib.Path(VECTORS, "maa/tpm/no-policy.exchange.json").read_text())
        with self.start("--no-default-policy") as instance:
            self.assertEqual(self.play(instance, exchange), exchange["response"]["body"])

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

    def test_isolated_begins_with_all_signers_that_are_named(self):
        with self.start("--mode", "isolated", "--policy-signer", self.rsa.pem, "--policy-signer", self.ec.pem) as instance:
            keys = self.claims(instance, "GET", "/certificates")["x-ms-policy-certificates"]["keys"]
            self.assertEqual(keys, [self.rsa.jwk(), self.ec.jwk()])
            self.claims(instance, "PUT", "/policies/Tpm", self.ec.policy(PERMIT))

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
