#!/usr/bin/env python3
"""Each kind of credential against the token authority and the metadata endpoints of the local instance: over real TLS, with real keys, to a token that the
instance accepts; and each failure. The client is the library's operation on its blocking driver.

usage: test-credentials.py CREDENTIAL-GET LIBATTEST ATTEST-INSTANCE
"""
import importlib.util
import json
import os
import socket
import subprocess
import sys
import threading
import time
import unittest

GET = os.path.abspath(sys.argv.pop(1)) if len(sys.argv) > 3 else ""
LIBRARY = os.path.abspath(sys.argv.pop(1)) if len(sys.argv) > 2 else ""
PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "test-instance-authority.py")
SPEC = importlib.util.spec_from_file_location("authority", PATH)
authority = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(authority)      # takes the instance's path from the command line


KINDS_PROGRAM = r"""
#include <attest/attest.h>
#include <stdio.h>
#include <string.h>

static const char *given(const char *text) {
        return strcmp(text, "-") == 0 ? NULL : text;
}

static AttestError *make(const char *kind, char **words, AttestCredential **ret) {
        if (strcmp(kind, "secret") == 0)
                return attest_credential_new_client_secret(words[0], words[1], words[2], ret);
        if (strcmp(kind, "certificate") == 0)
                return attest_credential_new_client_certificate(words[0], words[1], words[2], words[3], ret);
        if (strcmp(kind, "workload") == 0)
                return attest_credential_new_workload_identity(words[0], words[1], words[2], ret);
        if (strcmp(kind, "file") == 0)
                return attest_credential_new_token_file(words[0], ret);
        AttestError *error = attest_credential_new_managed_identity(ret);
        if (!error && strcmp(kind, "managed") == 0) {
                error = attest_credential_set_imds_url(*ret, words[0]);
                return error ? error : attest_credential_set_identity(*ret, given(words[1]), given(words[2]), given(words[3]));
        }
        return error ? error : attest_credential_set_identity_endpoint(*ret, words[0], given(words[1]));
}

static AttestError *run(char **argv, AttestClient *client, AttestCredential **credential, AttestPolicy **policy) {
        if (strcmp(argv[3], "none") != 0) {
                AttestError *error = make(argv[3], argv + 4, credential);
                if (!error)
                        error = attest_credential_set_authority(*credential, argv[1]);
                for (int i = 0; !error && i < 3; i++) {          /* anew, at hand, and anew */
                        if (i == 2)
                                attest_credential_forget(*credential);
                        error = attest_credential_authorize(*credential, client);
                }
                if (error)
                        return error;
        }
        return attest_client_get_policy(client, ATTEST_POLICY_TPM, policy);
}

/* Three calls of a client that has the credential. */
static int attached(char **argv, AttestClient *client) {
        AttestCredential *credential = NULL;
        if (make("secret", argv + 4, &credential) || attest_credential_set_authority(credential, argv[1]) || attest_client_set_credential(client, credential))
                return 2;
        for (int i = 0; i < 3; i++) {
                AttestPolicy *policy = NULL;
                AttestError *error = attest_client_get_policy(client, ATTEST_POLICY_TPM, &policy);
                printf("%s\n", error ? attest_error_get_name(error) : "ok");
                attest_error_free(error);
                attest_policy_free(policy);
        }
        attest_client_free(client);
        attest_credential_free(credential);
        return 0;
}

int main(int argc, char **argv) {
        AttestClient *client = NULL;
        AttestCredential *credential = NULL;
        AttestPolicy *policy = NULL;
        if (argc < 4 || attest_client_new(argv[1], &client) || attest_client_set_ca_file(client, argv[2]))
                return 2;
        if (strcmp(argv[3], "attached") == 0)
                return attached(argv, client);
        AttestError *error = run(argv, client, &credential, &policy);
        printf("%s\n", error ? attest_error_get_name(error) : "authorized");
        if (error)
                fprintf(stderr, "%s\n", attest_error_describe(error));
        attest_error_free(error);
        attest_policy_free(policy);
        attest_credential_free(credential);
        attest_client_free(client);
        return 0;
}
"""


class DeadProxy:
    """Accepts connections and hangs up; remembers that somebody came."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.visits = 0
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                link, _ = self.socket.accept()
            except OSError:
                return
            self.visits += 1
            link.close()

    def stop(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join()


class CredentialTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        authority.AuthorityTest.setUpClass()
        cls.bed = authority.AuthorityTest
        cls.instance, cls.folder, cls.keys = cls.bed.instance, cls.bed.folder.name, cls.bed.keys
        cls.imds_url = f"http://127.0.0.1:{cls.instance.imds_port}"

    @classmethod
    def tearDownClass(cls):
        authority.AuthorityTest.tearDownClass()

    def setUp(self):
        self.instance.faults("")

    def file(self, name, content):
        path = f"{self.folder}/{name}"
        with open(path, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        return path

    def run_get(self, environment=None, **settings):
        arguments = [f"{name.replace('_', '-')}={value}" for name, value in {"ca": f"{self.instance.state}/ca.pem", **settings}.items() if value is not None]
        variables = {name: value for name, value in os.environ.items() if not name.startswith(("AZURE_", "IDENTITY_", "IMDS_"))}
        result = subprocess.run([GET, *arguments], capture_output=True, text=True, timeout=150, check=False, env={**variables, **(environment or {})})
        self.assertEqual(result.stderr, "")
        return json.loads(result.stdout)

    def good(self, **settings):
        """The token is one that the instance accepts for attestation."""
        answer = self.run_get(**settings)
        self.assertNotIn("error", answer)
        reply, body = self.instance.ask("POST", authority.ATTEST, authority.INIT, {"Authorization": answer["authorization"]})
        self.assertEqual(reply.status, 200, body)
        return answer

    def bad(self, code, *words, **settings):
        answer = self.run_get(**settings)
        self.assertEqual(answer.get("code"), code, answer)
        for word in words:
            self.assertIn(word, answer["error"])
        return answer["error"]

    def at_authority(self, kind, client=authority.READER, **settings):
        return {"kind": kind, "tenant": authority.TENANT, "client": client, "authority": self.instance.url, **settings}

    def secret(self, text=authority.SECRET + "\n", **settings):
        return self.at_authority("client-secret", secret=self.file("secret", text), **settings)

    def certificate(self, name, **settings):
        return self.at_authority("client-certificate", certificate=self.keys[name].pem_path, key=self.keys[name].path, **settings)

    def workload(self, client=authority.FEDERATED, **claims):
        now = int(time.time())
        token = self.keys["cluster"].jwt({"alg": "RS256", "kid": "one"}, {"aud": [authority.EXCHANGE], "iss": authority.ISSUER, "sub": authority.SUBJECT,
                                                                         "exp": now + 3600, **claims})
        return self.at_authority("workload-identity", client, federated=self.file("federated", token + "\n"))

    def managed(self, **settings):
        return {"kind": "managed-identity", "imds": self.imds_url, **settings}

    # client secret

    def test_client_secret(self):
        self.good(**self.secret())
        self.good(**self.secret(authority.SECRET + "\r\n"))
        self.good(**self.secret(), repeat=2)

    def test_client_secret_refusals_name_the_reason_and_not_the_secret(self):
        error = self.bad("CredentialFailed", "invalid_client", "AADSTS7000215", authority.READER, **self.secret("a wrong secret"))
        self.assertNotIn("a wrong secret", error)
        self.bad("CredentialFailed", "AADSTS7000222", **self.secret("an old secret"))
        self.bad("CredentialFailed", "AADSTS700016", **self.secret(client="c1000000-0000-4000-8000-0000000000ff"))
        self.bad("CredentialFailed", "AADSTS90002", **{**self.secret(), "tenant": "72f988bf-0000-4000-8000-00000000dead"})
        self.bad("CredentialFailed", "AADSTS500011", **self.secret(scope="https://vault.azure.net/.default"))
        self.bad("CredentialFailed", "empty", **self.secret("\n"))
        self.bad("Io", "missing", **{**self.secret(), "secret": f"{self.folder}/missing"})

    # client certificate

    def test_client_certificate_of_each_kind_of_key(self):
        for name in ("rsa", "p256", "p384"):
            with self.subTest(name=name):
                self.good(**self.certificate(name))
                self.good(**self.certificate(name), repeat=3)      # each with an assertion of its own
                with open(self.keys[name].path, encoding="ascii") as file:
                    both = self.file("both.pem", self.keys[name].pem + file.read())
                self.good(**{**self.certificate(name), "certificate": both, "key": None})
        chain = self.file("chain.pem", self.keys["stranger"].pem + self.keys["rsa"].pem)
        self.good(**{**self.certificate("rsa"), "certificate": chain})

    def test_client_certificate_older_forms_of_keys(self):
        for name, kind in (("rsa", "rsa"), ("p256", "ec")):
            traditional = self.file("traditional.key", authority.openssl(kind, "-in", self.keys[name].path, *(["-traditional"] if kind == "rsa" else [])))
            self.good(**{**self.certificate(name), "key": traditional})

    def test_client_certificate_refusals(self):
        self.bad("CredentialFailed", "AADSTS700027", "expired", **self.certificate("expired"))
        self.bad("CredentialFailed", "AADSTS700027", "not found", **self.certificate("stranger"))
        self.bad("CredentialFailed", "no certificate", **{**self.certificate("rsa"), "key": self.keys["p256"].path})
        encrypted = self.file("encrypted.key", authority.openssl("pkcs8", "-topk8", "-in", self.keys["rsa"].path, "-passout", "pass:x"))
        self.bad("KeyInvalid", "encrypted", **{**self.certificate("rsa"), "key": encrypted})
        self.bad("KeyInvalid", "private key", **{**self.certificate("rsa"), "key": self.file("empty.key", "")})
        self.bad("KeyInvalid", "certificate", **{**self.certificate("rsa"), "certificate": self.keys["rsa"].path})
        weak = f"{self.folder}/weak.key"
        authority.openssl("genrsa", "-out", weak, "1024")
        self.bad("KeyInvalid", "1024", **{**self.certificate("rsa"), "key": weak})
        self.instance.faults("authority:clock-offset=1200")     # its clock is 20 min ahead: the assertion is out of date there
        self.bad("CredentialFailed", "AADSTS700024", **self.certificate("rsa"))

    # workload identity

    def test_workload_identity_strips_the_files_newline(self):
        self.good(**self.workload())
        self.good(**self.workload(), repeat=2)

    def test_workload_identity_from_the_platforms_variables(self):
        settings = self.workload()
        self.good(kind="workload-identity", environment={"AZURE_TENANT_ID": authority.TENANT, "AZURE_CLIENT_ID": authority.FEDERATED,
                                                         "AZURE_FEDERATED_TOKEN_FILE": settings["federated"], "AZURE_AUTHORITY_HOST": self.instance.url + "/"})

    def test_workload_identity_refusals(self):
        self.bad("CredentialFailed", "AADSTS700213", **self.workload(sub="somebody else"))
        self.bad("CredentialFailed", "AADSTS700024", **self.workload(exp=int(time.time()) - 400))
        self.bad("ConfigInvalid", "tenant", kind="workload-identity")

    # managed identity

    def test_managed_identity_by_each_name(self):
        self.good(**self.managed())
        self.good(**self.managed(managed_client="m-two"))
        self.good(**self.managed(managed_object="o-two"))
        self.good(**self.managed(managed_resource=authority.RESOURCE_ID))
        self.bad("CredentialFailed", "Identity not found", **self.managed(managed_client="m-three"))

    def test_managed_identity_goes_past_every_proxy(self):
        proxy = DeadProxy()
        try:
            environment = {"http_proxy": proxy.url, "HTTP_PROXY": proxy.url, "https_proxy": proxy.url, "ALL_PROXY": proxy.url}
            self.good(**self.managed(proxy=proxy.url), environment=environment)
            self.assertEqual(proxy.visits, 0)
            self.good(**self.secret(), environment=environment)      # nor does the environment count for the authority
            self.assertEqual(proxy.visits, 0)
            self.bad("ServiceUnreachable", "after 4 tries", **self.secret(proxy=proxy.url))     # but the configuration does
            self.assertGreater(proxy.visits, 0)
        finally:
            proxy.stop()

    def test_managed_identity_of_app_service(self):
        environment = {"IDENTITY_ENDPOINT": f"{self.imds_url}/msi/token", "IDENTITY_HEADER": self.bed.applications["identity_header"]}
        self.good(kind="managed-identity", environment=environment)
        self.good(kind="managed-identity", managed_object="o-two", environment=environment)
        self.good(kind="managed-identity", managed_resource=authority.RESOURCE_ID, environment=environment)
        self.bad("CredentialFailed", "X-IDENTITY-HEADER", kind="managed-identity", environment={**environment, "IDENTITY_HEADER": "wrong"})

    def test_managed_identity_of_arc(self):
        environment = {"IDENTITY_ENDPOINT": f"{self.imds_url}/arc/metadata/identity/oauth2/token", "IMDS_ENDPOINT": self.imds_url}
        self.good(kind="managed-identity", arc_directory=self.bed.arc, environment=environment)
        self.good(kind="managed-identity", arc_directory=self.bed.arc + "/", environment=environment, repeat=2)
        self.bad("CredentialFailed", "/var/opt/azcmagent/tokens", kind="managed-identity", environment=environment)

    # waiting

    def test_410_for_seconds_is_waited_for(self):
        self.instance.faults("imds:status=410@4s")
        begin = time.monotonic()
        answer = self.good(**self.managed())
        self.assertGreaterEqual(time.monotonic() - begin, 4)
        self.assertGreaterEqual(answer["waits"], 2)

    def test_410_for_half_a_minute_is_waited_for(self):
        self.instance.faults("imds:status=410@30s")
        begin = time.monotonic()
        self.good(**self.managed())
        self.assertTrue(30 <= time.monotonic() - begin < 60)

    def test_410_beyond_the_budget_is_an_error_that_may_pass(self):
        self.instance.faults("imds:status=410")
        begin = time.monotonic()
        self.bad("ServiceUnavailable", "410", "tries", **self.managed(budget=4))
        self.assertLess(time.monotonic() - begin, 8)

    def test_every_failure_of_imds_that_passes(self):
        for fault in ("status=404@1", "status=429@1 imds:retry-after=2@1", "status=500@2", "status=503@1 imds:retry-after-date=2@1", "reset@1", "truncated-body@1",
                      "chunked", "latency=300"):
            with self.subTest(fault=fault):
                self.instance.faults(f"imds:{fault}")
                begin = time.monotonic()
                self.good(**self.managed())
                if "=2@1" in fault:
                    self.assertGreaterEqual(time.monotonic() - begin, 1)

    def test_every_failure_of_the_authority_that_passes(self):
        for fault in ("status=503@2", "status=429@1 authority:retry-after=2@1", "status=408@1", "reset@1", "truncated-body@1", "chunked"):
            with self.subTest(fault=fault):
                self.instance.faults(f"authority:{fault}")
                self.good(**self.secret())
                self.instance.faults(f"authority:{fault}")
                self.good(**self.certificate("p256"))       # the assertion is made anew: it is good once

    def test_answers_that_cannot_be_used(self):
        for fault in ("malformed-json", "missing-member", "wrong-type", "duplicate-member", "deep-json"):
            with self.subTest(fault=fault):
                self.instance.faults(f"authority:{fault}@1 imds:{fault}@1")
                self.bad("ServiceAnswerInvalid", "cannot be used", **self.secret())
                self.bad("ServiceAnswerInvalid", "cannot be used", **self.managed())
        self.instance.faults("imds:oversized@1")
        self.bad("ServiceAnswerTooLarge", **self.managed())

    # the public library

    def test_example_of_libattest_asks_once(self):
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/examples/credential.c")
        program = self.compiled("credential", source, "c")

        def run(text):
            before, settings = self.times_asked(), self.secret(text)
            done = subprocess.run([program, self.instance.url, f"{self.instance.state}/ca.pem", self.instance.url, settings["tenant"], settings["client"],
                                   settings["secret"]], capture_output=True, text=True, timeout=60, check=False)
            return done, self.times_asked() - before
        done, asked = run(authority.SECRET + "\n")
        self.assertEqual((done.returncode, done.stdout, done.stderr, asked), (0, "authorized\n", "", 1))
        done, asked = run("wrong")
        self.assertEqual((done.returncode, done.stdout, asked), (1, "", 1))
        self.assertIn("AADSTS7000215", done.stderr)
        self.assertIn("(CredentialFailed)", done.stderr)

    def compiled(self, name, source, language):
        """A program against libattest, of this source file."""
        program = f"{self.folder}/{name}-{language}"
        root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
        sanitizers = [] if b"asan" not in subprocess.run(["ldd", LIBRARY], capture_output=True, check=True).stdout else ["-fsanitize=address,undefined"]
        compiler = {"c": ["cc", "-std=c11", "-Wextra"], "c++": ["c++", "-x", "c++", "-std=c++17"]}[language]
        subprocess.run([*compiler, "-Wall", "-Werror", *sanitizers, f"-I{root}/lib", source, "-o", program, *(["-x", "none"] if language == "c++" else []), LIBRARY,
                        f"-Wl,-rpath,{os.path.dirname(LIBRARY)}"], check=True)
        return program

    def test_every_kind_of_libattest_is_authorized_for_a_call_that_wants_it(self):
        """Policies are for those who have a token: the call itself tells whether the credential is good."""
        workload = self.workload()
        secret, certificate = self.secret(), self.certificate("p256")
        token = self.run_get(**secret)["authorization"].split(" ")[1]
        plain, header = f"{self.imds_url}/msi/token", self.bed.applications["identity_header"]
        cases = (("none", "ServiceUnauthorized", []),
                 ("secret", "", [secret["tenant"], secret["client"], secret["secret"]]),
                 ("certificate", "", [certificate["tenant"], certificate["client"], certificate["certificate"], certificate["key"]]),
                 ("workload", "", [workload["tenant"], workload["client"], workload["federated"]]),
                 ("file", "", [self.file("token", token + "\n")]),
                 ("managed", "", [self.imds_url, "-", "-", "-"]), ("managed", "", [self.imds_url, "m-two", "-", "-"]),
                 ("managed", "", [self.imds_url, "-", "o-two", "-"]), ("managed", "", [self.imds_url, "-", "-", authority.RESOURCE_ID]),
                 ("managed", "CredentialFailed", [self.imds_url, "m-three", "-", "-"]), ("managed", "InvalidArgument", [self.imds_url, "m-two", "o-two", "-"]),
                 ("endpoint", "", [plain, header]), ("endpoint", "CredentialFailed", [plain, "wrong"]),
                 ("endpoint", "CredentialFailed", [f"{self.imds_url}/arc/metadata/identity/oauth2/token", "-"]),     # the key's folder is not Arc's
                 ("secret", "InvalidArgument", ["", secret["client"], secret["secret"]]),
                 ("secret", "CredentialFailed", [secret["tenant"], secret["client"], self.file("wrong", "wrong")]),
                 ("secret", "Io", [secret["tenant"], secret["client"], "/nonexistent/secret"]))
        source = self.file("kinds.c", KINDS_PROGRAM)
        for language in ("c", "c++"):
            program = self.compiled("kinds", source, language)
            for kind, code, arguments in cases:
                with self.subTest(language=language, kind=kind, arguments=arguments):
                    done = subprocess.run([program, self.instance.url, f"{self.instance.state}/ca.pem", kind, *arguments], capture_output=True, text=True, timeout=60,
                                          check=False)
                    self.assertEqual((done.returncode, done.stdout), (0, f"{code or 'authorized'}\n"), done)

    def times_asked(self):
        with open(self.instance.log_path, encoding="utf-8") as log:
            return log.read().count("/oauth2/v2.0/token")

    def test_client_with_a_credential_asks_once_and_again_after_a_401(self):
        secret = self.secret()
        program = self.compiled("attached", self.file("kinds.c", KINDS_PROGRAM), "c")
        for faults, lines, asked in (("", "ok\nok\nok\n", 1), ("other:status=401@1", "ServiceUnauthorized\nok\nok\n", 2),
                                     ("authority:status=503", "ServiceUnavailable\n" * 3, 12)):
            self.instance.faults(faults)
            before = self.times_asked()
            done = subprocess.run([program, self.instance.url, f"{self.instance.state}/ca.pem", "attached", secret["tenant"], secret["client"], secret["secret"]],
                                  capture_output=True, text=True, timeout=120, check=False)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, lines, ""), faults)
            self.assertEqual(self.times_asked() - before, asked, faults)

    # the others

    def test_token_file_and_none(self):
        token = self.good(**self.secret())["authorization"].split(" ")[1]
        self.good(kind="token-file", token=self.file("token", token + "\n"))
        self.bad("CredentialFailed", "empty", kind="token-file", token=self.file("token", "\n"))
        self.bad("CredentialFailed", "no token", kind="token-file", token=self.file("token", "Bearer x"))
        self.assertEqual(self.run_get(kind="none"), {"authorization": "", "waits": 0})

    def test_authority_that_nobody_trusts(self):
        self.bad("ServiceTls", **{**self.secret(), "ca": "/dev/null"})


if __name__ == "__main__":
    unittest.main()
