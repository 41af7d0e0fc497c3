#!/usr/bin/env python3
"""libattest as others meet it: installed, found through pkg-config alone, used from C and C++ by the programs of docs/examples, on a real TPM (swtpm) and the
local instance over real TLS; what it exports; what a program of its own sees of errors, rules and callbacks.

Tokens are judged a second time with openssl, what the instance publishes is fetched with urllib.
"""
import base64
import hashlib
import json
import os
import pathlib
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import bed
from bed import INSTANCE_CA, INSTANCE_URL, Skip

SOURCE = pathlib.Path(os.environ.get("ATTESTD_SOURCE", pathlib.Path(__file__).parents[2]))
BUILD, BED = os.path.abspath(bed.BUILD), os.environ.get("TESTBED_DIR", "")
TCTI = os.environ.get("TPM2TOOLS_TCTI", "")
COMPILERS = {"c": ["cc", "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror"], "c++": ["c++", "-x", "c++", "-std=c++17", "-Wall", "-Werror"]}
where = tempfile.TemporaryDirectory(prefix="attestd-libattest.") if BED else None


def run(*command, **how):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=120, **{"stdin": subprocess.DEVNULL, **how})


def checked(*command, **how):
    done = run(*command, **how)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def root():
    """A tree with everything installed."""
    path = pathlib.Path(where.name) / "root"
    if not path.exists():
        checked("meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", env={**os.environ, "DESTDIR": str(path)})
    return path


def library():
    return next(root().rglob("libattest.so.0"))


def build_option(name):
    return next(option["value"] for option in json.loads(checked("meson", "introspect", "--buildoptions", BUILD)) if option["name"] == name)


def sanitizers():
    kinds = build_option("b_sanitize")
    return [] if kinds == "none" else [f"-fsanitize={kinds}"]


def pkg_config(*arguments):
    file = next(root().rglob("libattest.pc"))
    words = checked("pkg-config", *arguments, env={**os.environ, "PKG_CONFIG_PATH": str(file.parent), "PKG_CONFIG_SYSROOT_DIR": str(root())}).split()
    # of other packages the sysroot is this machine's own
    return [word.replace(str(root()), "", 1) if str(root()) in word and not pathlib.Path(word[2:]).exists() else word for word in words]


def compiled(source, language, *packages):
    program = pathlib.Path(where.name) / f"{pathlib.Path(source).stem}-{language}"
    if not program.exists():
        checked(*COMPILERS[language], *sanitizers(), source, "-o", program, *pkg_config("--cflags", "--libs", "libattest", *packages))
    return program


def environment():
    return {**os.environ, "LD_LIBRARY_PATH": str(library().parent)}


def call(program, *arguments, stdin=None):
    return run(program, *arguments, env=environment(), **({"input": stdin, "stdin": None} if stdin is not None else {}))


def example(name, language, *packages):
    return compiled(SOURCE / "docs/examples" / f"{name}.c", language, *packages)


def attest(language="c"):
    program = example("attest-tpm", language, "tss2-esys", "tss2-mu", "tss2-tctildr")
    return call(program, INSTANCE_URL, INSTANCE_CA, TCTI, f"{BED}/boot.log", f"{BED}/ima.log")


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def fetch(path):
    with urllib.request.urlopen(INSTANCE_URL + path, context=ssl.create_default_context(cafile=INSTANCE_CA), timeout=30) as answer:
        return json.load(answer)


def judge(token):
    """Claims of a token whose signature openssl finds good with a certificate that the instance publishes now."""
    header, payload, signature = token.split(".")
    kid = json.loads(decode(header))["kid"]
    key = next(key for key in fetch("/certs")["keys"] if key["kid"] == kid)
    directory = pathlib.Path(where.name)
    (directory / "signature").write_bytes(decode(signature))
    checked("openssl", "x509", "-inform", "der", "-pubkey", "-noout", "-out", directory / "key.pem", input=None,
            stdin=write(directory / "certificate", base64.b64decode(key["x5c"][0])))
    checked("openssl", "dgst", "-sha256", "-verify", directory / "key.pem", "-signature", directory / "signature",
            stdin=write(directory / "input", f"{header}.{payload}".encode()))
    return json.loads(decode(payload))


def write(path, data):
    path.write_bytes(data)
    return open(path, "rb")


def map_symbols():
    return set(re.findall(r"^\s+(attest_\w+);$", (SOURCE / "lib/attest/libattest.map").read_text(), re.M))


def header_functions():
    text = "".join(path.read_text() for path in (SOURCE / "lib/attest").glob("*.h") if path.name != "internal.h")
    return set(re.findall(r"\b(attest_\w+)\(", re.sub(r"/\*.*?\*/", "", text, flags=re.S)))


# What is installed


def test_exported_symbols_are_those_of_the_map_and_of_the_headers():
    exported = {line.split()[-1].split("@")[0] for line in checked("nm", "-D", "--defined-only", library()).splitlines() if " T " in line}
    assert exported == map_symbols() == header_functions(), (exported ^ map_symbols(), exported ^ header_functions())


def test_every_function_stands_in_a_manual_page():
    pages = "".join(path.read_text().replace("\\", "") for path in (SOURCE / "docs/man").glob("*.3.scd"))
    assert {name for name in map_symbols() if not re.search(rf"\b{name}\b", pages)} == set()


def test_each_header_compiles_alone_as_c_and_cpp():
    for header in sorted(next(root().rglob("attest.h")).parent.glob("*.h")):
        for language, command in COMPILERS.items():
            checked(*command, "-pedantic", "-x", language, "-fsyntax-only", *pkg_config("--cflags", "libattest"), "-", input=f"#include <attest/{header.name}>\n",
                    stdin=None)


def test_library_names_its_soname_and_needs_no_service():
    dynamic = checked("readelf", "-d", library())
    assert "[libattest.so.0]" in dynamic
    needed = set(re.findall(r"NEEDED.*\[(lib[^.]+)", dynamic))
    assert not {name for name in needed if name.startswith(("libtss2", "libsystemd", "libmicrohttpd"))}, needed


# The examples


def test_attestation_in_c_and_cpp_gives_a_token_that_openssl_verifies():
    if not shutil.which("c++"):
        raise Skip("no C++ compiler")
    for language in COMPILERS:
        done = attest(language)
        assert done.returncode == 0 and done.stderr == "", done
        claims = judge(done.stdout.strip())
        assert claims["iss"] == INSTANCE_URL and "cnf" in claims, claims
        assert len(decode(claims["nonce"])) == 32, claims
        policy = claims["x-ms-policy"]
        assert policy["bootLogPresent"] and policy["imaLogPresent"], policy
        assert bed.tpm("tpm2_getcap", "handles-transient").strip() == ""


def test_unreachable_instance_and_absent_tpm_have_their_names():
    program = example("attest-tpm", "c", "tss2-esys", "tss2-mu", "tss2-tctildr")
    done = call(program, "https://127.0.0.1:1", INSTANCE_CA, TCTI)
    assert done.returncode == 1 and "(ServiceUnreachable)" in done.stderr and "attesting to https://127.0.0.1:1" in done.stderr, done
    done = call(program, INSTANCE_URL, INSTANCE_CA, "swtpm:path=/nonexistent")
    assert done.returncode == 1 and "(TpmCommandFailed)" in done.stderr, done
    done = call(program, "http://127.0.0.1:1", INSTANCE_CA, TCTI)
    assert done.returncode == 1 and "(ConfigInvalid)" in done.stderr, done
    done = call(program, INSTANCE_URL, "/etc/hostname", TCTI)
    assert done.returncode == 1 and "(ServiceTls)" in done.stderr, done


def test_metadata_is_what_the_instance_publishes():
    for language in COMPILERS:
        done = call(example("metadata", language), INSTANCE_URL, INSTANCE_CA)
        assert done.returncode == 0, done
        lines = done.stdout.splitlines()
        assert json.loads(lines[0]) == fetch("/.well-known/openid-configuration")
        for key in fetch("/certs")["keys"]:
            assert f"kid {key['kid']}" in lines, (key["kid"], lines)
            pem = ssl.DER_cert_to_PEM_cert(base64.b64decode(key["x5c"][0])).strip()
            assert pem in done.stdout, key["kid"]


POLICY = 'version=1.0; authorizationrules{=> permit();}; issuancerules{=> issue(type="a", value="b");};'


def test_policy_goes_to_the_instance_and_away_again():
    payload = json.dumps({"AttestationPolicy": base64.urlsafe_b64encode(POLICY.encode()).decode().rstrip("=")}, separators=(",", ":")).encode()
    token = "eyJhbGciOiJub25lIn0." + base64.urlsafe_b64encode(payload).decode().rstrip("=") + "."
    hashed = base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).decode().rstrip("=")
    for language in COMPILERS:
        done = call(example("policy", language), INSTANCE_URL, INSTANCE_CA, POLICY)
        assert done.returncode == 0, done
        lines = done.stdout.splitlines()
        claims = json.loads(lines[0])
        assert (claims["x-ms-policy-result"], claims["x-ms-policy-token-hash"], claims["iss"]) == ("Updated", hashed, INSTANCE_URL)
        assert lines[1:4] == [POLICY, "signed no", f"hash {hashed}"], lines
        assert POLICY not in lines[4:] and lines[-2] == "signed no", lines
    done = call(example("policy", "c"), INSTANCE_URL, INSTANCE_CA, "no policy")
    assert done.returncode == 1 and "(ServiceRefused)" in done.stderr, done


SIGNER_PROGRAM = r"""
#include <attest/attest.h>
#include <stdio.h>
#include <stdlib.h>

static char texts[3][16384];

static const char *read_text(int n, const char *path) {
        FILE *file = fopen(path, "rb");
        size_t size = file ? fread(texts[n], 1, sizeof(texts[n]) - 1, file) : 0;
        if (file)
                fclose(file);
        texts[n][size] = 0;
        return texts[n];
}

static void check(const char *what, AttestError *error) {
        if (error)
                printf("%s: %s: %s\n", what, attest_error_get_name(error), attest_error_describe(error));
        attest_error_free(error);
}

static void list(AttestClient *client) {
        AttestSigners *signers = NULL;
        check("list", attest_client_get_policy_certificates(client, &signers));
        printf("certificates %zu\n", attest_signers_count(signers));
        for (size_t i = 0; i < attest_signers_count(signers); i++)
                printf("%s", attest_signers_get_certificates(signers, i));
        attest_signers_free(signers);
}

int main(int argc, char **argv) {
        AttestClient *client = NULL;
        AttestPolicySigner *signer = NULL, *other = NULL;
        AttestPolicy *policy = NULL;
        if (argc != 6)
                return 2;
        const char *key = read_text(0, argv[3]), *certificate = read_text(1, argv[4]), *added = read_text(2, argv[5]);
        check("client", attest_client_new(argv[1], &client));
        check("ca", attest_client_set_ca_file(client, argv[2]));
        check("require", attest_rules_require_claim(attest_client_get_rules(client), "of-attestations", "alone"));
        check("other", attest_policy_signer_new(key, added, &other));
        check("signer", attest_policy_signer_new(key, certificate, &signer));
        check("unsigned", attest_client_set_policy(client, ATTEST_POLICY_TPM, "version=1.0; authorizationrules{=> permit();}; issuancerules{};", NULL, NULL));
        check("set", attest_client_set_policy(client, ATTEST_POLICY_TPM, "version=1.0; authorizationrules{=> permit();}; issuancerules{};", signer, NULL));
        check("get", attest_client_get_policy(client, ATTEST_POLICY_TPM, &policy));
        printf("signed %d verified %d\n", attest_policy_is_signed(policy), attest_policy_is_verified(policy));
        list(client);
        check("add", attest_client_add_policy_certificate(client, added, signer, NULL));
        list(client);
        check("remove", attest_client_remove_policy_certificate(client, added, signer, NULL));
        list(client);
        check("reset", attest_client_reset_policy(client, ATTEST_POLICY_TPM, signer, NULL));
        attest_policy_free(policy);
        attest_policy_signer_free(signer);
        attest_client_free(client);
        return 0;
}
"""


def test_signed_policies_and_certificates_of_an_isolated_instance():
    folder = pathlib.Path(where.name)
    for name in ("manager", "newcomer"):
        checked("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-days", "2", "-keyout", folder / f"{name}.key",
                "-out", folder / f"{name}.pem")
    source = folder / "signers.c"
    source.write_text(SIGNER_PROGRAM)
    command = [pathlib.Path(bed.BUILD) / "instance/attest-instance", "--listen", "127.0.0.1:0", "--state", folder / "isolated", "--mode", "isolated",
               "--policy-signer", folder / "manager.pem"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as instance:
        try:
            url = instance.stdout.readline().split("=", 1)[1].strip()
            done = call(compiled(source, "c"), url, folder / "isolated/ca.pem", folder / "manager.key", folder / "manager.pem", folder / "newcomer.pem")
        finally:
            instance.terminate()
    manager, newcomer = ((folder / f"{name}.pem").read_text() for name in ("manager", "newcomer"))
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and lines[0].startswith("other: KeyInvalid: ") and lines[1].startswith("unsigned: ServiceRefused: "), done
    assert "\n".join(lines[2:]) + "\n" == f"signed 1 verified 1\ncertificates 1\n{manager}certificates 2\n{manager}{newcomer}certificates 1\n{manager}", done


LIMITS_PROGRAM = r"""
#include <attest/attest.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double begin;

static double seconds(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (double) now.tv_sec + (double) now.tv_nsec / 1e9 - begin;
}

static bool for_half_a_second(void *userdata, const char *state) {
        return seconds() < 0.5 || strcmp(state, (const char *) userdata) != 0;
}

int main(int argc, char **argv) {
        AttestClient *client = NULL;
        char *metadata = NULL;
        if (argc != 4 || attest_client_new(argv[1], &client) || attest_client_set_ca_file(client, argv[2]))
                return 2;
        begin = seconds();
        if (strcmp(argv[3], "deadline") == 0)
                attest_client_set_deadline_usec(client, 700000);
        else
                attest_client_set_progress(client, for_half_a_second, argv[3]);
        AttestError *error = attest_client_get_openid_metadata(client, &metadata);
        printf("%s %.3f %s\n", error ? attest_error_get_name(error) : "fine", seconds(), error ? attest_error_describe(error) : "");
        free(metadata);
        attest_error_free(error);
        attest_client_free(client);
        return 0;
}
"""


def test_a_call_ends_at_its_deadline_and_when_it_is_cancelled():
    source = pathlib.Path(where.name) / "limits.c"
    source.write_text(LIMITS_PROGRAM)
    program = compiled(source, "c")
    for faults, mode, name, words in ((("openid:latency=8000",), "deadline", "Timeout", ""), (("openid:status=503", "retry-after=8"), "deadline", "Timeout", "no time is left"),
                                      (("openid:latency=8000",), "send", "Cancelled", ""), (("openid:status=503", "retry-after=8"), "wait", "Cancelled", ""),
                                      ((), "deadline", "fine", "")):
        bed.set_faults(*faults)
        try:
            done = call(program, INSTANCE_URL, INSTANCE_CA, mode)
        finally:
            bed.set_faults()
        got, seconds, described = done.stdout.split(" ", 2)
        assert done.returncode == 0 and got == name and words in described, (faults, mode, done)
        assert float(seconds) < 6, (faults, mode, done)      # the instance takes eight


def test_enclave_attests_by_a_recorded_quote():
    folder = pathlib.Path(os.environ.get("ATTESTD_VECTORS", "")) / "maa/exchanges/AttestWithRuntimeData-SgxEnclave_Aad"
    if not folder.is_dir():
        raise bed.Skip(f"no vectors in {folder}")
    quote, data = (next(folder.glob(f"*.request.{name}.bin")) for name in ("quote", "runtimeData"))
    for language in COMPILERS:
        done = call(example("enclave", language), INSTANCE_URL, INSTANCE_CA, quote, data)
        assert done.returncode == 0, done
        lines = dict(line.split(None, 1) for line in done.stdout.splitlines()[:-1])
        assert lines["MRENCLAVE"] == quote.read_bytes()[112:144].hex() and lines["MRSIGNER"] == quote.read_bytes()[176:208].hex(), lines
        assert decode(lines["held"]) == data.read_bytes() and lines["debug"] == "yes", lines
    done = call(example("enclave", "c"), INSTANCE_URL, INSTANCE_CA, quote, __file__)
    assert done.returncode == 1 and "(ServiceRefused)" in done.stderr, done


def test_validation_with_the_callers_own_rules():
    token = attest().stdout.strip()
    claims = judge(token)
    for language in COMPILERS:
        program = example("validate-token", language)
        done = call(program, INSTANCE_URL, INSTANCE_CA, "bootLogPresent=true", f"jti={claims['jti']}", stdin=token + "\n")
        assert done.returncode == 0 and f"issuer  {INSTANCE_URL}\nexpires {claims['exp']}\n" in done.stdout, done
        shown = json.loads(done.stdout.splitlines()[-1])
        assert {name: shown[name] for name in ("iss", "exp", "nbf", "iat", "nonce")} == {name: claims[name] for name in ("iss", "exp", "nbf", "iat", "nonce")}
        assert "-----BEGIN CERTIFICATE-----" in done.stdout
        for wanted, name in (("bootLogPresent=false", "TokenClaimRequired"), ("nothing=1", "TokenClaimRequired")):
            done = call(program, INSTANCE_URL, INSTANCE_CA, wanted, stdin=token)
            assert done.returncode == 1 and f"({name})" in done.stderr, done
        spoiled = token[:-5] + ("A" if token[-5] != "A" else "B") + token[-4:]
        done = call(program, INSTANCE_URL, INSTANCE_CA, stdin=spoiled)
        assert done.returncode == 1 and "(TokenSignatureInvalid)" in done.stderr, done
        head, payload, signature = token.split(".")
        none = base64.urlsafe_b64encode(b'{"alg":"none","kid":"x"}').decode().rstrip("=")
        done = call(program, INSTANCE_URL, INSTANCE_CA, stdin=f"{none}.{payload}.")
        assert done.returncode == 1 and "(TokenAlgNone)" in done.stderr, done


def test_failures_of_the_service_are_tried_again_and_named_when_they_stay():
    program = example("attest-tpm", "c", "tss2-esys", "tss2-mu", "tss2-tctildr")
    for faults in (("init:status=503@2",), ("request:status=429@1", "retry-after=1@1"), ("request:reset@1",), ("certs:status=500@3",)):
        bed.set_faults(*faults)
        begin = time.monotonic()
        done = attest()
        assert done.returncode == 0, (faults, done)
        assert "retry-after=1@1" not in faults or time.monotonic() - begin >= 1, faults
    bed.set_faults("init:status=503")
    done = call(program, INSTANCE_URL, INSTANCE_CA, TCTI)
    assert done.returncode == 1 and "(ServiceUnavailable)" in done.stderr and "after 4 tries" in done.stderr, done
    bed.set_faults()


# A program of its own: what the examples do not show. The token and its times are given, so that every expectation can be worked out.

PROGRAM = r"""
#include <attest/attest.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME(expression) do { AttestError *error = (expression); printf("%s\n", error ? attest_error_get_name(error) : "ok"); attest_error_free(error); } while (0)

static AttestError *refuse(void *userdata, const AttestToken *token) {
        printf("asked %s %d %s\n", (const char *) userdata, attest_token_is_validated(token), attest_token_get_issuer(token));
        return attest_error_new("AccessDenied", "not today");
}

static AttestError *no_quote(void *userdata, const void *data, size_t size, const void *challenge, size_t challenge_size, AttestEvidence *evidence) {
        static const unsigned char zeros[64] = { 0 };
        printf("quote %zu %zu %d %s\n", size, challenge_size, challenge != NULL, (const char *) userdata);
        NAME(attest_evidence_set_quote(evidence, zeros, sizeof(zeros), zeros, 1));
        NAME(attest_evidence_set_aik(evidence, zeros, 0, NULL, 0));
        NAME(attest_evidence_add_pcr(evidence, 0x000b, 24, zeros, 32));
        NAME(attest_evidence_add_pcr(evidence, 0x000b, 0, zeros, 20));
        NAME(attest_evidence_add_pcr(evidence, 0x7777, 0, zeros, 32));
        NAME(attest_evidence_add_log_fd(evidence, ATTEST_LOG_TCG, -1, 1));
        NAME(attest_evidence_add_log(evidence, ATTEST_LOG_IMA, zeros, sizeof(zeros)));
        return data ? NULL : attest_error_new("Internal", "no data");
}

static AttestError *stuck(void *userdata, const void *data, size_t size, const void *challenge, size_t challenge_size, AttestEvidence *evidence) {
        (void) userdata, (void) data, (void) size, (void) challenge, (void) challenge_size, (void) evidence;
        return attest_error_new("TpmStuck", "hangs");
}

static bool until_quote(void *userdata, const char *state) {
        static const char *last = "";
        if (strcmp(state, last) != 0)
                printf("state %s\n", state);
        last = state;
        return strcmp(state, (const char *) userdata) != 0;
}

int main(int argc, char **argv) {
        const char *url = argv[1], *ca = argv[2], *token_text = argv[3], *keys = argv[4];
        unsigned long long expires = strtoull(argv[5], NULL, 10), early = strtoull(argv[7], NULL, 10);
        AttestRules *rules = NULL;
        AttestToken *token = NULL;
        char *claim = NULL;
        (void) argc;
        NAME(attest_rules_new(&rules));
        NAME(attest_rules_validate(rules, token_text, &token));   /* no issuer */
        NAME(attest_rules_set_issuer(rules, url));
        NAME(attest_rules_validate(rules, token_text, &token));   /* no key */
        NAME(attest_rules_set_keys(rules, "{}"));
        NAME(attest_rules_set_keys(rules, keys));
        NAME(attest_rules_set_algorithms(rules, "none"));
        NAME(attest_rules_skip_check(rules, "signature"));
        NAME(attest_rules_validate(rules, token_text, &token));
        printf("%d %d %s %llu %llu\n", attest_token_is_validated(token), attest_token_get_skipped_checks(token)[0] == NULL, attest_token_get_issuer(token),
               (unsigned long long) attest_token_get_expires_sec(token), (unsigned long long) attest_token_get_issued_sec(token));
        NAME(attest_token_get_claim(token, "bootLogPresent", &claim));
        printf("%s\n", claim);
        free(claim);
        NAME(attest_token_get_claim(token, "no such claim", &claim));
        printf("%d\n", claim == NULL);
        token = attest_token_free(token);
        attest_rules_set_clock_skew_sec(rules, 0);
        attest_rules_set_time_sec(rules, expires);                /* RFC 7519 4.1.4: on or after */
        NAME(attest_rules_validate(rules, token_text, &token));
        attest_rules_set_time_sec(rules, expires - 1);
        NAME(attest_rules_validate(rules, token_text, &token));
        token = attest_token_free(token);
        attest_rules_set_time_sec(rules, early);
        NAME(attest_rules_validate(rules, token_text, &token));
        NAME(attest_rules_skip_check(rules, "not-before"));
        NAME(attest_rules_validate(rules, token_text, &token));
        NAME(attest_rules_skip_check(rules, "issued-at"));
        NAME(attest_rules_validate(rules, token_text, &token));
        printf("%s %s\n", attest_token_get_skipped_checks(token)[0], attest_token_get_skipped_checks(token)[1]);
        token = attest_token_free(token);
        attest_rules_set_time_sec(rules, 0);
        NAME(attest_rules_set_issuer(rules, "https://elsewhere.example"));
        NAME(attest_rules_validate(rules, token_text, &token));
        NAME(attest_rules_skip_check(rules, "issuer"));
        NAME(attest_rules_set_nonce(rules, "12345678", 8));
        NAME(attest_rules_validate(rules, token_text, &token));
        NAME(attest_rules_set_nonce(rules, NULL, 0));
        attest_rules_set_callback(rules, refuse, (void *) "me");
        NAME(attest_rules_validate(rules, token_text, &token));
        attest_rules_free(rules);

        AttestClient *client = NULL;
        AttestSession *session = NULL;
        AttestTpmCallbacks callbacks;
        memset(&callbacks, 0, sizeof(callbacks));
        callbacks.quote = no_quote;
        NAME(attest_client_new(url, &client));
        NAME(attest_client_set_ca_file(client, ca));
        attest_client_set_retry(client, 1, 0);
        NAME(attest_session_new(client, &session));
        NAME(attest_session_set_nonce(session, "", 0));
        NAME(attest_session_get_key(session, &claim));
        NAME(attest_session_run(session, &callbacks, (void *) "mine", &token));
        attest_session_use_tpm_key(session, true);
        NAME(attest_session_run(session, &callbacks, NULL, &token));   /* without sign */
        attest_session_use_tpm_key(session, false);
        callbacks.quote = stuck;
        NAME(attest_session_run(session, &callbacks, NULL, &token));
        attest_client_set_progress(client, until_quote, (void *) "quote");
        NAME(attest_session_run(session, &callbacks, NULL, &token));
        attest_session_free(session);
        attest_client_free(client);
        attest_client_free(NULL), attest_rules_free(NULL), attest_token_free(NULL), attest_error_free(NULL), attest_signers_free(NULL), attest_session_free(NULL);
        return 0;
}
"""


def test_rules_callbacks_and_errors_in_a_program_of_its_own():
    token = attest().stdout.strip()
    claims = judge(token)
    source = pathlib.Path(where.name) / "own.c"
    source.write_text(PROGRAM)
    expected = ["ok", "InvalidArgument", "ok", "InvalidArgument", "KeyInvalid", "ok", "InvalidArgument", "InvalidArgument",
                "ok", f"1 1 {INSTANCE_URL} {claims['exp']} {claims['iat']}", "ok", "true", "ok", "1",
                "TokenExpired", "ok", "TokenNotYetValid", "ok", "TokenIssuedInFuture", "ok", "ok", "not-before issued-at",
                "ok", "TokenIssuerMismatch", "ok", "ok", "TokenNonceMismatch", "ok", f"asked me 1 {INSTANCE_URL}", "AccessDenied",
                "ok", "ok", "ok", "InvalidArgument", "NoToken",
                "quote 32 16 1 mine", "QuoteMalformed", "QuoteMalformed", "InvalidArgument", "InvalidArgument", "InvalidArgument", "Io", "ok", "InvalidArgument",
                "InvalidArgument", "TpmStuck", "state send", "state quote", "Cancelled"]
    for language in COMPILERS:
        done = call(compiled(source, language), INSTANCE_URL, INSTANCE_CA, token, json.dumps(fetch("/certs")), claims["exp"], claims["iat"],
                    min(claims["nbf"], claims["iat"]) - 1)
        assert done.returncode == 0 and done.stderr == "", done
        lines = done.stdout.splitlines()
        assert lines == expected, [(i, a, b) for i, (a, b) in enumerate(zip(lines, expected)) if a != b] or (len(lines), len(expected))


bed.TESTBED_OPTIONS = ["--no-daemon"]
bed.run(globals())
