#!/usr/bin/env python3
"""attestctl against an instance over real TLS: metadata, signers, policies, policy certificates, SGX and Open Enclave attestation. What comes out is checked with
the openssl command and hashlib, and against what the instance itself tells curl-like requests.

usage: test-cli-instance.py ATTEST-INSTANCE ATTESTCTL
"""
import base64
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from instance import EXCHANGES, PERMIT, InstanceTest, Signer, decode, encode, openssl, parts, recorded

ATTESTCTL = None
POLICY = PERMIT


class CliTest(InstanceTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.other = Signer(cls.folder.name, "cli-other")
        cls.policy_file = f"{cls.folder.name}/policy.txt"
        pathlib.Path(cls.policy_file).write_text(POLICY)

    def files_of(self, signer):
        return ["--key", signer.key, "--cert", signer.pem]

    def ctl(self, instance, *arguments, status=0, data=b"", text=True):
        command = [ATTESTCTL, *arguments, "--instance", instance.url, "--ca-file", f"{instance.state}/ca.pem"]
        done = subprocess.run(command, input=data, capture_output=True, timeout=60)
        self.assertEqual(done.returncode, status, (arguments, done.stdout[-500:], done.stderr[-1500:]))
        self.last_error = done.stderr.decode()
        return done.stdout.decode() if text else done.stdout

    def hash_of_unsigned(self):
        payload = json.dumps({"AttestationPolicy": encode(POLICY)}, separators=(",", ":"))
        header = json.dumps({"alg": "none"}, separators=(",", ":"))
        return encode(hashlib.sha256(f"{encode(header)}.{encode(payload)}.".encode()).digest())

    def test_policy_hash_asks_nobody(self):
        done = subprocess.run([ATTESTCTL, "policy", "hash", "--policy", self.policy_file], capture_output=True, check=True)
        self.assertEqual(done.stdout.decode().strip(), self.hash_of_unsigned())

    def test_metadata_is_what_the_instance_says(self):
        with self.start() as instance:
            told = json.loads(instance.ask("GET", "/.well-known/openid-configuration")[1])
            self.assertEqual(json.loads(self.ctl(instance, "metadata")), told)

    def test_signers_are_the_certificates_of_the_instance(self):
        with self.start() as instance:
            keys = json.loads(instance.ask("GET", "/certs")[1])["keys"]
            signers = json.loads(self.ctl(instance, "signers", "--json"))
            self.assertEqual([signer["kid"] for signer in signers], [key["kid"] for key in keys])
            pem = self.ctl(instance, "signers", "--pem")
            digest = openssl("x509", "-noout", "-fingerprint", "-sha256", data=pem.encode()).decode().split("=")[1].strip().replace(":", "")
            self.assertEqual(self.ctl(instance, "signers").split()[1], encode(bytes.fromhex(digest)))

    def test_policy_goes_round(self):
        with self.start("--mode", "aad") as instance:
            for kind in ("tpm", "sgx", "openenclave"):
                updated, digest = self.ctl(instance, "policy", "set", "--type", kind, "--policy", self.policy_file).split()
                self.assertEqual((updated, digest), ("updated", self.hash_of_unsigned()))
                self.assertEqual(self.ctl(instance, "policy", "get", "--type", kind), POLICY)
                self.assertEqual(self.ctl(instance, "policy", "reset", "--type", kind), "removed\n")
                self.assertNotEqual(self.ctl(instance, "policy", "get", "--type", kind), POLICY)

    def test_policy_signed_is_stored_with_its_signer(self):
        with self.start("--mode", "isolated", "--policy-signer", self.rsa.pem) as instance:
            self.ctl(instance, "policy", "set", "--type", "tpm", "--policy", self.policy_file, status=self.code("ServiceRefused"))
            answer = json.loads(self.ctl(instance, "policy", "set", "--json", "--type", "tpm", "--policy", "-", *self.files_of(self.rsa), data=POLICY.encode()))
            self.assertEqual(answer["result"], "updated")
            self.assertEqual(openssl("x509", "-outform", "DER", data=answer["signer"].encode()), base64.b64decode(self.rsa.der()))
            got = json.loads(self.ctl(instance, "policy", "get", "--type", "Tpm", "--json"))
            self.assertEqual((got["policy"], got["signed"], got["verified"]), (POLICY, True, True))
            self.assertEqual(got["policy_token_hash"], encode(hashlib.sha256(got["policy_token"].encode()).digest()))
            self.assertEqual(got["policy_token_hash"], answer["policy_token_hash"])
            self.assertEqual(self.ctl(instance, "policy", "reset", "--type", "tpm", *self.files_of(self.rsa)), "removed\n")

    def test_what_the_service_says_of_a_refusal_is_there_for_programs(self):
        with self.start("--mode", "isolated", "--policy-signer", self.rsa.pem) as instance:
            answer, body = instance.ask("POST", "/policies/Tpm:reset?api-version=2020-10-01", "eyJhbGciOiJub25lIn0..", {"Content-Type": "text/plain"})
            told = json.loads(body)["error"]
            error = json.loads(self.ctl(instance, "policy", "reset", "--json", "--type", "tpm", status=self.code("ServiceRefused")))["error"]
            self.assertEqual(error["code"], "ServiceRefused")
            self.assertEqual((error["service"]["status"], error["service"]["code"]), (answer.status, told["code"]))
            self.assertEqual((error["service"]["message"], error["service"]["inner_error"]), (told["message"], told["innererror"]))
            self.assertRegex(error["service"]["request_id"], "^00-[0-9a-f]{32}-[0-9a-f]{16}-00$")
            self.assertIn(error["service"]["request_id"], self.last_error)

    def test_policy_certificates_come_and_go(self):
        with self.start("--mode", "isolated", "--policy-signer", self.rsa.pem) as instance:
            first, other = self.rsa.thumbprint(), self.other.thumbprint()
            self.assertEqual(self.ctl(instance, "policy-cert", "list").split(), [first])
            self.assertEqual(self.ctl(instance, "policy-cert", "add", self.other.pem, *self.files_of(self.rsa)), f"present {other}\n")
            self.assertEqual(self.ctl(instance, "policy-cert", "list").split(), [first, other])
            self.assertEqual(json.loads(self.ctl(instance, "policy-cert", "remove", self.rsa.pem, "--json", *self.files_of(self.other))),
                             {"result": "absent", "thumbprint": first})
            self.ctl(instance, "policy-cert", "add", self.rsa.pem, *self.files_of(self.rsa), status=self.code("ServiceRefused"))
            listed = json.loads(self.ctl(instance, "policy-cert", "list", "--json"))
            self.assertEqual([openssl("x509", "-outform", "DER", data=entry["certificates"].encode()) for entry in listed], [base64.b64decode(self.other.der())])

    def test_a_key_of_another_certificate_is_refused_before_anything_is_sent(self):
        with self.start("--mode", "aad") as instance:
            self.ctl(instance, "policy", "set", "--type", "tpm", "--policy", self.policy_file, "--key", self.rsa.key, "--cert", self.other.pem,
                     status=self.code("KeyInvalid"))
            self.ctl(instance, "policy", "set", "--type", "tpm", "--policy", "-", data=b"version=1.0;\nnonsense", status=self.code("PolicyInvalid"))
            self.assertIn("line 2", self.last_error)

    @unittest.skipUnless(os.path.isdir(EXCHANGES), f"no vectors in {EXCHANGES}")
    def test_recorded_enclaves_attest(self):
        for verb, folder, member in (("attest-sgx", "AttestWithRuntimeData-SgxEnclave_Aad", "quote"),
                                     ("attest-openenclave", "AttestWithRuntimeDataJson-OpenEnclave_Aad", "report")):
            body = recorded(folder)[0]["request"]["body"]
            files = {}
            for name, content in ((member, decode(body[member])), ("runtime", decode(body["runtimeData"]["data"]))):
                files[name] = f"{self.folder.name}/{verb}.{name}"
                pathlib.Path(files[name]).write_bytes(content)
            option = "--runtime-json" if body["runtimeData"]["dataType"] == "JSON" else "--runtime-data"
            with self.start("--mode", "aad") as instance:
                token = self.ctl(instance, verb, files[member], option, files["runtime"], "--nonce", "abc").strip()
                claims = self.verified(instance, token, 28800)
                self.assertEqual(claims["nonce"], "abc")
                self.assertEqual(claims["x-ms-sgx-mrenclave"], decode(body[member])[(16 if member == "report" else 0) + 112:][:32].hex())
                shown = json.loads(self.ctl(instance, verb, files[member], option, files["runtime"], "--json"))
                self.assertTrue(shown["validated"])
                draft = json.loads(self.ctl(instance, verb, files[member], "--draft-policy", self.policy_file))
                self.assertFalse(draft["validated"])
                self.assertEqual(parts(draft["token"])[0]["alg"], "none")
                self.assertIn("proves nothing", self.last_error)
                self.ctl(instance, verb, files["runtime"], status=self.code("ServiceRefused"))
                instance.ask("PUT", "/fault", "token=wrong-nonce")
                self.ctl(instance, verb, files[member], "--nonce", "abc", status=self.code("TokenNonceMismatch"))
                instance.ask("PUT", "/fault", "token=tampered")
                self.assertEqual(self.ctl(instance, verb, files[member], status=self.code("TokenSignatureInvalid")), "")

    def test_wait_outlives_an_instance_that_is_busy(self):
        with self.start("--fault", "certs:status=503@6") as instance:
            began = time.monotonic()
            self.ctl(instance, "signers", "--wait", "--timeout", "40s")
            self.assertGreater(time.monotonic() - began, 0.1)
            instance.ask("PUT", "/fault", "certs:status=503@6")
            self.ctl(instance, "signers", "--wait=40s")
            instance.ask("PUT", "/fault", "certs:status=503@6")
            self.ctl(instance, "signers", status=self.code("ServiceUnavailable"))
            self.assertIn("after 4 tries", self.last_error)

    def test_wait_ends_with_the_last_error_when_its_time_is_over(self):
        with self.start() as instance:
            for faults, seconds, name, least in (("certs:status=503", "3s", "ServiceUnavailable", 2),                               # pauses
                                          ("certs:status=429\ncerts:retry-after=600", "5s", "ServiceThrottled", 0),          # a pause that is too long: at once
                                          ("certs:latency=60000", "2s", "Timeout", 1.9), ("certs:status=503", "0", "ServiceUnavailable", 0)):
                instance.ask("PUT", "/fault", faults)
                began = time.monotonic()
                self.ctl(instance, "signers", f"--wait={seconds}", status=self.code(name))
                took = time.monotonic() - began
                self.assertTrue(least < took < 8, (faults, took))
            instance.ask("PUT", "/fault", "")
            self.ctl(instance, "policy", "set", "--wait=30s", "--type", "tpm", "--policy", "-", data=b"no policy", status=self.code("PolicyInvalid"))    # is not transient
            instance.ask("PUT", "/fault", "other:status=503@2")
            self.ctl(instance, "policy", "set", "--wait=30s", "--type", "tpm", "--policy", "-", data=POLICY.encode())      # standard input is read once
            self.assertEqual(self.ctl(instance, "policy", "get", "--type", "tpm"), POLICY)
        began = time.monotonic()
        self.ctl(instance, "metadata", "--wait=2s", status=self.code("ServiceUnreachable"))       # nobody listens any more
        self.assertTrue(1.5 < time.monotonic() - began < 8)

    def test_policy_hash_of_the_text_is_what_tokens_say(self):
        of_text = encode(hashlib.sha256(encode(POLICY).encode()).digest())
        command = [ATTESTCTL, "policy", "hash", "--policy", self.policy_file]
        self.assertEqual(subprocess.run([*command, "--of-text"], capture_output=True, check=True).stdout.decode(), of_text + "\n")
        shown = json.loads(subprocess.run([*command, "--json"], capture_output=True, check=True).stdout)
        self.assertEqual((shown["policy_hash"], shown["policy_token_hash"]), (of_text, self.hash_of_unsigned()))

    def test_usage(self):
        with self.start() as instance:
            for arguments in (["policy", "get"], ["signers", "--wait=soon"], ["policy", "get", "--type", "tpm", "--of-text"], ["policy", "get", "--type", "x"], ["policy", "set", "--type", "tpm"], ["policy", "--type", "tpm", "get"],
                              ["policy", "get", "--type", "tpm", "--key", "k"], ["policy-cert", "add"], ["policy-cert", "list", "x"], ["attest-sgx"],
                              ["signers", "x"], ["metadata", "--pem"], ["metadata", "--profile", "p"]):
                self.ctl(instance, *arguments, status=2)
                self.assertIn("attestctl: ", self.last_error)

    def code(self, name):
        table = json.loads(subprocess.run([ATTESTCTL, "errors", "--json"], capture_output=True, check=True).stdout)
        return next(row["exit_status"] for row in table if row["name"] == name)


if __name__ == "__main__":
    ATTESTCTL = sys.argv.pop(1)
    unittest.main(argv=[sys.argv[0]], verbosity=2)
