#!/usr/bin/env python3
"""Attestations with each kind of credential, by attestctl and by the daemon: real TPM (swtpm), an instance that wants bearer tokens, its token authority and
metadata endpoints."""
import atexit
import concurrent.futures
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import bed
from bed import *

bed.TESTBED_OPTIONS = ["--no-daemon"]
SLOW = 60
CONFIG = os.environ.get("ATTESTD_CONFIG", "")
SPEC = importlib.util.spec_from_file_location("authority", os.path.join(HERE, "test-instance-authority.py"))
authority = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(authority)
authority.PROGRAM = os.path.abspath(os.path.join(BUILD, "instance", "attest-instance"))
AUTHORITY = authority.AuthorityTest


class Bench:
    """The instance with its applications, started at first use."""
    started = None

    @classmethod
    def get(cls):
        if not cls.started:
            AUTHORITY.setUpClass()
            atexit.register(AUTHORITY.tearDownClass)
            cls.started = AUTHORITY
        return cls.started


def put(name, content):
    path = f"{Bench.get().folder.name}/{name}"
    with open(path, "w", encoding="utf-8") as file:
        file.write(content)
    os.chmod(path, 0o600)
    return path


def secret(text=authority.SECRET + "\n", **more):
    return {"Type": "client-secret", "TenantId": authority.TENANT, "ClientId": authority.READER, "Authority": Bench.get().instance.url,
            "SecretFile": put("secret", text), **more}


def certificate(name):
    key = Bench.get().keys[name]
    return {"Type": "client-certificate", "TenantId": authority.TENANT, "ClientId": authority.READER, "Authority": Bench.get().instance.url,
            "CertificateFile": key.pem_path, "PrivateKeyFile": key.path}


def workload():
    now = int(time.time())
    token = Bench.get().keys["cluster"].jwt({"alg": "RS256", "kid": "one"}, {"aud": authority.EXCHANGE, "iss": authority.ISSUER, "sub": authority.SUBJECT,
                                                                            "exp": now + 3600})
    return {"Type": "workload-identity", "TenantId": authority.TENANT, "ClientId": authority.FEDERATED, "Authority": Bench.get().instance.url,
            "FederatedTokenFile": put("federated", token + "\n")}


def managed(**more):
    return {"Type": "managed-identity", "ImdsUrl": f"http://127.0.0.1:{Bench.get().instance.imds_port}", **more}


def token_file(client_secret=authority.SECRET, client=authority.READER):
    form = f"grant_type=client_credentials&client_id={client}&scope={authority.SCOPE}&client_secret={authority.urllib.parse.quote(client_secret, safe='')}"
    answer, body = Bench.get().instance.ask("POST", f"/{authority.TENANT}/oauth2/v2.0/token", form, {"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status == 200, body
    return {"Type": "token-file", "TokenFile": put("token", json.loads(body)["access_token"] + "\n")}


class Settings:
    """A drop-in with the credential, for the instance that wants it, and that behaves at first."""

    def __init__(self, credential):
        self.path = CONFIG + ".d/99-credential.conf"
        instance = Bench.get().instance
        instance.faults("")
        with open(self.path, "w", encoding="utf-8") as text:
            text.write(f"[Instance]\nUrl={instance.url}\nCaFile={instance.state}/ca.pem\n[Credential]\n")
            text.writelines(f"{name}={value}\n" for name, value in credential.items())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.unlink(self.path)


class Daemon:
    def __init__(self):
        self.log_path = os.path.join(os.environ["TESTBED_DIR"], "log", "attestd-credentials")
        self.log = open(self.log_path, "ab")
        self.begin = self.log.tell()
        self.process = subprocess.Popen([ATTESTD, "--config=" + CONFIG, "--collector=" + COLLECTOR], stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log)

    def text(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            log.seek(self.begin)
            return log.read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=SLOW)
        self.log.close()
        tokens = os.path.join(os.environ["RUNTIME_DIRECTORY"], "tokens", "default.json")
        if os.path.exists(tokens):
            os.unlink(tokens)
        assert code == 0, f"attestd ended with {code}"


def local(credential, code=0):
    with Settings(credential):
        return attestctl("attest", "--no-daemon", "--config", CONFIG, "--timeout", "0", check=code)


def requests(pattern):
    """Lines of the instance's log."""
    with open(Bench.get().instance.log_path, encoding="utf-8") as log:
        return len(re.findall(pattern, log.read()))


def assert_token(text):
    assert text.strip().count(".") == 2, text
    claims = json.loads(authority.decode(text.strip().split(".")[1]))
    assert claims["iss"] == Bench.get().instance.url, claims


def test_attestctl_attests_with_each_kind_of_credential():
    for make in (secret, lambda: certificate("rsa"), lambda: certificate("p256"), workload, managed, lambda: managed(ManagedIdentityClientId="m-two"),
                 lambda: managed(ManagedIdentityObjectId="o-two"), lambda: managed(ManagedIdentityResourceId=authority.RESOURCE_ID), token_file):
        credential = make()
        _, output, _ = local(credential)
        assert_token(output)


def test_each_refusal_ends_as_documented():
    codes = {name: item["exit_status"] for name, item in error_table().items()}
    cases = (
        (secret("wrong\n"), "CredentialFailed", "AADSTS7000215"),
        (secret("an old secret"), "CredentialFailed", "AADSTS7000222"),
        (secret(TenantId="72f988bf-0000-4000-8000-00000000dead"), "CredentialFailed", "AADSTS90002"),
        (certificate("expired"), "CredentialFailed", "expired"),
        (managed(ManagedIdentityClientId="m-three"), "CredentialFailed", "Identity not found"),
        ({"Type": "none"}, "ServiceUnauthorized", "no bearer token"),
        (token_file("n", authority.NOBODY), "ServiceUnauthorized", "Attestation Reader"),
        ({"Type": "token-file", "TokenFile": "/nonexistent/token"}, "Io", "/nonexistent/token"),
        ({"Type": "workload-identity"}, "ConfigInvalid", "tenant"),
    )
    for credential, name, words in cases:
        if credential["Type"] == "client-secret":
            put("secret", {"AADSTS7000215": "wrong\n", "AADSTS7000222": "an old secret"}.get(words, authority.SECRET))
        _, _, error = local(credential, codes[name])
        assert words in error, error
        assert "wrong\n" not in error and "an old secret" not in error, error


def test_attestctl_waits_for_imds_within_its_timeout():
    with Settings(managed()):
        Bench.get().instance.faults("imds:status=410@3s")
        begin = time.monotonic()
        _, output, _ = attestctl("attest", "--no-daemon", "--config", CONFIG, "--timeout", "30", check=0)
        assert time.monotonic() - begin >= 3
        assert_token(output)
        Bench.get().instance.faults("imds:status=410")
        begin = time.monotonic()
        code, _, error = attestctl("attest", "--no-daemon", "--config", CONFIG, "--timeout", "3")
        assert code != 0 and "410" in error, (code, error)
        assert time.monotonic() - begin < 12


def test_attestctl_waits_for_the_authority_and_says_what_is_wrong_in_the_end():
    codes = {name: item["exit_status"] for name, item in error_table().items()}
    command = ("policy", "get", "--type", "tpm", "--config", CONFIG)
    with Settings(secret()):
        Bench.get().instance.faults("authority:status=503@6")
        attestctl(*command, check=codes["ServiceUnavailable"])
        Bench.get().instance.faults("authority:status=503@6")
        attestctl(*command, "--wait=60s", check=0)
        Bench.get().instance.faults("authority:status=503")
        begin = time.monotonic()
        attestctl(*command, "--wait=3s", check=codes["ServiceUnavailable"])
        assert time.monotonic() - begin < 10
        Bench.get().instance.faults("")
    with Settings(secret("wrong")):
        begin = time.monotonic()
        attestctl(*command, "--wait=60s", check=codes["CredentialFailed"])
        assert time.monotonic() - begin < 10


def test_doctor_looks_at_the_credential():
    for credential, expected, words in ((secret(), "ok", "access token"), (secret("wrong"), "failure", "AADSTS7000215"), (managed(), "ok", "access token")):
        put("secret", "wrong" if expected == "failure" else authority.SECRET)
        with Settings(credential):
            _, output, _ = attestctl("doctor", "--config", CONFIG, "--json")
        findings = {finding["check"]: finding for finding in json.loads(output)}
        assert findings["credential"]["state"] == expected, findings["credential"]
        assert words in findings["credential"]["summary"], findings["credential"]
        assert findings["policy"]["state"] == ("ok" if expected == "ok" else "skipped"), findings["policy"]


def test_daemon_attests_and_keeps_its_token():
    for credential in (certificate("p384"), workload(), token_file()):
        with Settings(credential), Daemon():
            attestctl("wait", "--timeout", str(SLOW), check=0)
            assert_token(attestctl("token", check=0)[1])


def test_daemon_asks_once_for_all_and_again_after_a_401():
    with Settings(managed()):
        Bench.get().instance.faults("imds:latency=1500@1")
        before = requests(r"GET /metadata")
        with Daemon() as daemon, concurrent.futures.ThreadPoolExecutor(4) as pool:
            wait_until(lambda: attestctl("status")[0] == 0, SLOW, "the daemon answers")
            nonces = [f"{i:02x}" * 32 for i in range(4)]
            for code, output, error in pool.map(lambda nonce: attestctl("attest", "--nonce", nonce, "--timeout", str(SLOW)), nonces):
                assert code == 0, error
                assert_token(output)
            assert requests(r"GET /metadata") - before == 1
            Bench.get().instance.faults("init:status=401@1")
            code, _, error = attestctl("attest", "--nonce", "aa" * 32, "--timeout", "0")
            assert code == error_table()["ServiceUnauthorized"]["exit_status"], (code, error)
            attestctl("attest", "--nonce", "bb" * 32, "--timeout", str(SLOW), check=0)
            assert requests(r"GET /metadata") - before == 2
            assert "eyJ" not in daemon.text()


def test_daemon_waits_while_imds_is_updated():
    with Settings(managed()):
        Bench.get().instance.faults("imds:status=410@8s")
        with Daemon():
            begin = time.monotonic()
            wait_until(lambda: attestctl("status", "--json")[0] == 0 and status()["profiles"]["default"]["State"] == "credential", SLOW, "state credential")
            attestctl("wait", "--timeout", str(SLOW), check=0)
            assert time.monotonic() - begin >= 4
            assert status()["profiles"]["default"]["Failures"] == 0


def test_daemon_reads_a_secret_that_changed_without_a_restart():
    credential = secret("wrong\n")
    with Settings(credential), Daemon() as daemon:
        def last_error():
            shown = attestctl("status", "--json")
            return json.loads(shown[1])["profiles"]["default"]["LastError"] if shown[0] == 0 and shown[1].startswith("{") else None
        wait_until(lambda: "CredentialFailed" in json.dumps(last_error() or ""), SLOW, "the refusal")
        put("secret", authority.SECRET + "\n")
        attestctl("attest", "--timeout", str(SLOW), check=0)
        assert "§ecret" not in daemon.text()


def test_daemon_stops_at_once_while_it_waits():
    with Settings(managed()):
        Bench.get().instance.faults("imds:status=503 imds:retry-after=60")
        with Daemon():
            wait_until(lambda: attestctl("status", "--json")[0] == 0 and status()["profiles"]["default"]["State"] == "credential", SLOW, "state credential")
            begin = time.monotonic()
        assert time.monotonic() - begin < 5


if __name__ == "__main__":
    run(globals())
