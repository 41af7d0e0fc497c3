#!/usr/bin/env python3
"""libattest as others meet it: installed, found through pkg-config alone, used from C and C++ by the programs of docs/examples, on a real TPM (swtpm) and the
local instance over real TLS; what it exports; what a program of its own sees of errors, rules and callbacks.

usage: test-libattest.py [SLOW-RESOLVER]     (the library of tests/support/slow-resolver.c)

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
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import bed
import guest
from bed import INSTANCE_CA, INSTANCE_URL, Skip

SOURCE = pathlib.Path(os.environ.get("ATTESTD_SOURCE", pathlib.Path(__file__).parents[2]))
BUILD, BED = os.path.abspath(bed.BUILD), os.environ.get("TESTBED_DIR", "")
TCTI = os.environ.get("TPM2TOOLS_TCTI", "")
SLOW_RESOLVER = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else ""
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


def attest(language="c", *options):
    program = example("attest-tpm", language, "tss2-esys", "tss2-mu", "tss2-tctildr")
    return call(program, *options, INSTANCE_URL, INSTANCE_CA, TCTI, f"{BED}/boot.log", f"{BED}/ima.log")


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


def test_library_prints_nothing_reads_no_environment_and_makes_no_thread():
    """It does not even know the functions for it. Of libcurl and OpenSSL that says nothing."""
    known = {line.split()[-1].split("@")[0] for line in checked("nm", "-D", "--undefined-only", library()).splitlines()}
    assert "curl_easy_perform" in known
    forbidden = re.compile(r"(_*(v?f?printf|v?dprintf)(_chk)?|puts|fputs|putchar|fputc|fwrite|perror|stdout|stderr|v?syslog|(secure_)?getenv|environ|setenv|"
                           r"pthread_create|thrd_create|fork|signal|sigaction|setlocale|exit|atexit|curl_global_init)")
    assert {name for name in known if forbidden.fullmatch(name)} == set()


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


def test_attestation_with_a_key_in_the_tpm_binds_the_token_to_it():
    """The key is made anew by the same recipe: the same key, as primary keys are."""
    for language in COMPILERS:
        done = attest(language, "--tpm-key")
        assert done.returncode == 0 and done.stderr == "", done
        claims = judge(done.stdout.strip())
        folder = pathlib.Path(where.name)
        bed.tpm("tpm2_createprimary", "-Q", "-C", "o", "-G", "rsa2048:null:null", "-g", "sha256", "-a",
                "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|sign", "-c", str(folder / "request.ctx"))
        bed.tpm("tpm2_readpublic", "-Q", "-c", str(folder / "request.ctx"), "-f", "pem", "-o", str(folder / "request.pem"))
        modulus = checked("openssl", "rsa", "-pubin", "-in", folder / "request.pem", "-noout", "-modulus").strip().removeprefix("Modulus=")
        bed.tpm("tpm2_flushcontext", "-t")
        assert decode(claims["cnf"]["jwk"]["n"]).hex().upper() == modulus, claims["cnf"]
        assert bed.tpm("tpm2_getcap", "handles-transient").strip() == ""


def test_other_keys_of_the_tpm_go_along():
    """The example, with the certified key as a further key too, and once more without anybody's word for it; a third is too many."""
    text = (SOURCE / "docs/examples/attest-tpm.c").read_text()
    call_of_one = "attest_evidence_set_request_key(evidence, area, area_size, attest->attestationData, attest->size, bytes, used);"
    assert text.count(call_of_one) == 1
    more = '''
        if (!error)
                error = attest_evidence_add_other_key(evidence, area, area_size, attest->attestationData, attest->size, bytes, used);
        if (!error)
                error = attest_evidence_add_other_key(evidence, area, area_size, NULL, 0, NULL, 0);
        for (int i = 0; !error && i < 2; i++) {
                AttestError *refused = attest_evidence_add_other_key(evidence, area, i ? area_size : area_size - 1, NULL, 0, i ? bytes : NULL, i ? used : 0);
                fprintf(stderr, "%s ", attest_error_get_name(refused));
                attest_error_free(refused);
        }'''
    source = pathlib.Path(where.name) / "other-keys.c"
    source.write_text(text.replace(call_of_one, call_of_one + more))
    program = compiled(source, "c", "tss2-esys", "tss2-mu", "tss2-tctildr")
    done = call(program, "--tpm-key", INSTANCE_URL, INSTANCE_CA, TCTI)
    assert done.returncode == 0 and done.stderr == "InvalidArgument InvalidArgument ", done
    claims = judge(done.stdout.strip())
    keys = json.loads(claims["x-ms-tpm-other-keys"]) if isinstance(claims["x-ms-tpm-other-keys"], str) else claims["x-ms-tpm-other-keys"]
    assert [key["jwk"]["n"] for key in keys] == [claims["cnf"]["jwk"]["n"]] * 2, keys


def test_every_example_is_compiled_by_some_test():
    """In both languages: example() does both where a test asks for both, the rest is done here."""
    names = {path.stem for path in (SOURCE / "docs/examples").glob("*.c")}
    assert names >= {"attest-tpm", "azure-guest", "credential", "enclave", "metadata", "policy", "policy-certificates", "tpm-message", "validate-token"}, names
    for name in sorted(names):
        for language in COMPILERS:
            example(name, language, *(("tss2-esys", "tss2-mu", "tss2-tctildr") if name == "attest-tpm" else ()))


def guest_files():
    """What tpm2-tools make, as the example wants it, and a program that decrypts."""
    folder = pathlib.Path(BED) / "guest"
    state = pathlib.Path(BED) / "instance"
    machine = guest.Guest(str(folder), (str(state / "aik-ca.pem"), str(state / "aik-ca.key")))
    machine.quote()
    signature = lambda name: struct.pack(">HHH", 0x0014, 0x000B, len(guest.read(machine.path(name)))) + guest.read(machine.path(name))
    files = {"aik.pub": guest.read(machine.path("ak.pub"))[2:], "aik.der": guest.read(machine.path("ak.der")), "key.tpmt": guest.read(machine.path("key.pub"))[2:],
             "pcrs": b"".join(value for _, value in machine.values()), "boot.log": guest.read(f"{BED}/boot.log")}
    target = folder / "example"
    target.mkdir(exist_ok=True)
    for name, data in {**files, "key.pub": files["key.tpmt"], "quote": guest.read(machine.path("quote")), "quote.sig": signature("quote.sig"),
                       "certify": guest.read(machine.path("certify")), "certify.sig": signature("certify.sig")}.items():
        (target / name).write_bytes(data)
    (target / "decrypt").write_text(f"""#!/bin/sh
set -e
tpm2_startauthsession --policy-session -S {folder}/session.ctx
tpm2_policypcr -Q -S {folder}/session.ctx -l {guest.PCRS}
tpm2_rsadecrypt -c {folder}/key.ctx -s rsaes -p session:{folder}/session.ctx -o "$2" "$1"
tpm2_flushcontext {folder}/session.ctx
tpm2_flushcontext -t
""")
    (target / "decrypt").chmod(0o755)
    return target


def test_azure_guest_in_c_and_cpp_gets_a_token_that_its_tpm_opens():
    target = guest_files()
    for language in COMPILERS:
        done = call(example("azure-guest", language), INSTANCE_URL, INSTANCE_CA, target, "a relying party's nonce")
        assert done.returncode == 0 and done.stderr == "Secure Boot: on\n", done
        claims = json.loads(decode(done.stdout.split(".")[1]))
        assert claims["x-ms-attestation-type"] == "azurevm", claims
        assert claims["x-ms-runtime"]["client-payload"] == {"nonce": base64.b64encode(b"a relying party's nonce").decode()}, claims
        assert decode(claims["x-ms-runtime"]["keys"][0]["n"]) == (target / "key.pub").read_bytes()[-256:]


def test_azure_guest_whose_answer_is_wrong_or_does_not_open_says_so():
    target = guest_files()
    program = example("azure-guest", "c")
    for forgery, code in (("wrong-issuer", "TokenIssuerMismatch"), ("tampered", "TokenSignatureInvalid"), ("alg-none", "TokenAlgNone")):
        bed.set_faults(f"other:token={forgery}@1")
        done = call(program, INSTANCE_URL, INSTANCE_CA, target, "n")
        assert done.returncode == 1 and f"({code})" in done.stderr and done.stdout == "", (forgery, done)
    bed.set_faults()
    (target / "decrypt").write_text("#!/bin/sh\nexit 1\n")
    done = call(program, INSTANCE_URL, INSTANCE_CA, target, "n")
    assert done.returncode == 1 and "(TpmCommandFailed)" in done.stderr and "opening the answer" in done.stderr, done
    (target / "decrypt").write_text("#!/bin/sh\nhead -c 32 /dev/zero > \"$2\"\n")
    done = call(program, INSTANCE_URL, INSTANCE_CA, target, "n")
    assert done.returncode == 1 and "(ServiceAnswerInvalid)" in done.stderr and "does not open" in done.stderr, done
    (target / "aik.der").write_bytes(b"")
    done = call(program, INSTANCE_URL, INSTANCE_CA, target, "n")
    assert done.returncode == 1 and "(InvalidArgument)" in done.stderr and "certificate is missing" in done.stderr, done


def test_one_message_of_attest_tpm_brings_a_challenge_and_a_refusal_its_code():
    for language in COMPILERS:
        done = call(example("tpm-message", language), INSTANCE_URL, INSTANCE_CA)
        assert done.returncode == 0, done
        payload = json.loads(done.stdout)["payload"]
        assert len(decode(payload["challenge"])) == 16 and "service_context" in payload, payload
    done = call(example("tpm-message", "c"), INSTANCE_URL, INSTANCE_CA, '{"payload":{"type":"nothing"}}')
    assert done.returncode == 1 and "(ServiceRefused)" in done.stderr, done


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
        published = fetch("/.well-known/openid-configuration")
        assert json.loads(lines[0]) == published
        assert lines[1:5] == [f"issuer {published['issuer']}", f"keys {published['jwks_uri']}", " ".join(["algorithms"] + published["id_token_signing_alg_values_supported"]),
                              " ".join(["claims"] + published["claims_supported"])], lines[1:5]
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
        of_text = base64.urlsafe_b64encode(hashlib.sha256(json.loads(payload)["AttestationPolicy"].encode()).digest()).decode().rstrip("=")
        assert lines[1:6] == [f"Updated {hashed}", f"tokens will say {of_text}", POLICY, "signed no", f"hash {hashed}"], lines
        assert POLICY not in lines[6:] and lines[-2] == "signed no", lines
    done = call(example("policy", "c"), INSTANCE_URL, INSTANCE_CA, "no policy")
    assert done.returncode == 1 and "(ServiceRefused)" in done.stderr, done


def make_signer(name, *kind):
    folder = pathlib.Path(where.name)
    checked("openssl", "req", "-x509", "-newkey", *kind, "-nodes", "-subj", f"/CN={name}", "-days", "2", "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem")
    return folder / f"{name}.key", folder / f"{name}.pem"


def test_signed_policies_and_certificates_of_an_isolated_instance():
    """Signed by an RSA and by an EC key."""
    folder = pathlib.Path(where.name)
    newcomer = make_signer("newcomer", "rsa:2048")[1]
    digest = hashlib.sha1(ssl.PEM_cert_to_DER_cert(newcomer.read_text())).hexdigest().upper()
    for language, kind in (("c", ("rsa:2048",)), ("c++", ("ec", "-pkeyopt", "ec_paramgen_curve:P-384"))):
        key, manager = make_signer(f"manager-{kind[0][:2]}", *kind)
        command = [pathlib.Path(bed.BUILD) / "instance/attest-instance", "--listen", "127.0.0.1:0", "--state", folder / f"isolated-{language}", "--mode", "isolated",
                   "--policy-signer", manager]
        program, ca = example("policy-certificates", language), folder / f"isolated-{language}/ca.pem"
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as instance:
            try:
                url = instance.stdout.readline().split("=", 1)[1].strip()
                done = call(program, url, ca, POLICY, key, manager, newcomer)
                mismatch = call(program, url, ca, POLICY, key, newcomer, newcomer)
                unsigned = call(example("policy", language), url, ca, POLICY)
            finally:
                instance.terminate()
        texts = {"manager": manager.read_text(), "newcomer": newcomer.read_text()}
        assert done.returncode == 0 and done.stdout == (
            "Updated, signed by\n{manager}verified yes\n" f"{digest} IsPresent\n" "certificates 2\n{manager}{newcomer}" f"{digest} IsAbsent\n" "certificates 1\n{manager}"
        ).format(**texts), done
        assert mismatch.returncode == 1 and "(KeyInvalid)" in mismatch.stderr, mismatch
        assert unsigned.returncode == 1 and "(ServiceRefused)" in unsigned.stderr, unsigned


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
        AttestMetadata *metadata = NULL;
        if (argc != 4 || attest_client_new(argv[1], &client) || attest_client_set_ca_file(client, argv[2]))
                return 2;
        begin = seconds();
        if (strcmp(argv[3], "quick") == 0) {
                attest_client_set_retry(client, 20, 60000000);
                attest_client_set_retry_delays_usec(client, 1000, 1000);
        } else if (strcmp(argv[3], "deadline") == 0)
                attest_client_set_deadline_usec(client, 700000);
        else
                attest_client_set_progress(client, for_half_a_second, argv[3]);
        AttestError *error = attest_client_get_openid_metadata(client, &metadata);
        printf("%s %.3f %s\n", error ? attest_error_get_name(error) : "fine", seconds(), error ? attest_error_describe(error) : "");
        attest_metadata_free(metadata);
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
                                      ((), "deadline", "fine", ""), (("openid:status=503@15",), "quick", "fine", "")):
        bed.set_faults(*faults)
        try:
            done = call(program, INSTANCE_URL, INSTANCE_CA, mode)
        finally:
            bed.set_faults()
        got, seconds, described = done.stdout.split(" ", 2)
        assert done.returncode == 0 and got == name and words in described, (faults, mode, done)
        assert float(seconds) < 6, (faults, mode, done)      # the instance takes eight


def test_a_call_ends_while_a_name_is_looked_up_in_vain():
    """The resolver takes eight seconds; neither the call nor the end of the program waits for it."""
    if not SLOW_RESOLVER:
        raise Skip("no slow resolver was given")
    if sanitizers():
        raise Skip("the sanitizers' libraries have to be loaded first, and watch the thread that is left behind")
    source = pathlib.Path(where.name) / "limits.c"
    source.write_text(LIMITS_PROGRAM)
    program = compiled(source, "c")
    for mode, name in (("deadline", "Timeout"), ("send", "Cancelled")):
        begin = time.monotonic()
        done = run(program, "https://instance.slow.test", INSTANCE_CA, mode, env={**environment(), "LD_PRELOAD": SLOW_RESOLVER})
        got, seconds, described = done.stdout.split(" ", 2)
        assert done.returncode == 0 and got == name, (mode, done)
        assert float(seconds) < 5 and time.monotonic() - begin < 7, (mode, done)


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
        NAME(attest_rules_skip_check(rules, "colour"));
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


CHECKS_PROGRAM = r"""
#include <attest/attest.h>
#include <stdio.h>
#include <stdlib.h>

#define NAME(expression) do { AttestError *error = (expression); printf("%s\n", error ? attest_error_get_name(error) : "ok"); attest_error_free(error); } while (0)

static void judge(const AttestRules *rules, const char *text) {
        AttestToken *token = NULL;
        AttestError *error = attest_rules_validate(rules, text, &token);
        printf("%s", error ? attest_error_get_name(error) : attest_token_is_validated(token) ? "believed" : "not believed");
        for (const char *const *skipped = token ? attest_token_get_skipped_checks(token) : NULL; skipped && *skipped; skipped++)
                printf(" %s", *skipped);
        printf("%s\n", token && !attest_token_get_signer(token) ? " (nobody signed)" : "");
        attest_error_free(error);
        attest_token_free(token);
}

static AttestError *see_signer(void *userdata, const AttestToken *token) {
        const char *signer = attest_token_get_signer(token);
        ++*(int *) userdata;
        return signer && *signer ? NULL : attest_error_new("Internal", "no signer");
}

int main(int argc, char **argv) {
        const char *url = argv[1], *ca = argv[2], *good = argv[3], *spoiled = argv[4], *keys = argv[5], *unsigned_token = argv[6];
        unsigned long long expires = strtoull(argv[7], NULL, 10);
        AttestRules *rules = NULL;
        AttestToken *token = NULL;
        AttestClient *client = NULL;
        char *text = NULL;
        size_t size = 0;
        int seen = 0;
        (void) argc;
        /* what callers are compiled with */
        if (sizeof(AttestTpmCallbacks) != 8 * sizeof(void *) || ATTEST_LOG_IMA != 1 || ATTEST_POLICY_TPM != 2 || ATTEST_RETRY_NEVER != 2)
                return 3;
        for (const char *const *name = attest_rules_get_check_names(); *name; name++)
                printf("%s%s", *name, name[1] ? " " : "\n");
        NAME(attest_rules_new(&rules));
        NAME(attest_rules_set_issuer(rules, url));
        NAME(attest_rules_skip_check(rules, "signature"));
        judge(rules, spoiled);
        judge(rules, unsigned_token);
        attest_rules_set_time_sec(rules, expires + 121);
        judge(rules, good);
        attest_rules_set_time_sec(rules, 0);
        NAME(attest_rules_use_check(rules, "signature"));
        judge(rules, good);
        NAME(attest_rules_set_keys(rules, keys));
        judge(rules, spoiled);
        judge(rules, good);
        NAME(attest_rules_set_nonce(rules, "12345678", 8));
        judge(rules, good);
        NAME(attest_rules_skip_check(rules, "nonce"));
        NAME(attest_rules_set_policy_hash(rules, "AAAA"));
        judge(rules, good);
        NAME(attest_rules_skip_check(rules, "policy-hash"));
        NAME(attest_rules_require_claim(rules, "no such claim", "1"));
        judge(rules, good);
        NAME(attest_rules_skip_check(rules, "required-claims"));
        NAME(attest_rules_skip_check(rules, "request-key"));
        judge(rules, good);
        NAME(attest_rules_use_check(rules, "nonce"));
        judge(rules, good);
        attest_rules_free(rules);

        NAME(attest_token_parse(good, &token));
        const void *signature = attest_token_get_signature(token, &size);
        printf("%s %s %s %d %zu %02x %d\n", attest_token_get_algorithm(token), attest_token_get_key_id(token), attest_token_get_id(token),
               !attest_token_get_subject(token) && !attest_token_get_audience(token), size, *(const unsigned char *) signature,
               attest_token_get_skipped_checks(token)[0] == NULL);
        NAME(attest_token_get_header_member(token, "typ", &text));
        printf("%s\n", text);
        free(text);
        NAME(attest_token_get_header_member(token, "zip", &text));
        printf("%d\n", text == NULL);
        attest_token_free(token);

        NAME(attest_client_new(url, &client));
        NAME(attest_client_set_ca_file(client, ca));
        NAME(attest_rules_new(&rules));
        attest_rules_set_callback(rules, see_signer, &seen);
        NAME(attest_rules_set_algorithms(rules, "ES256"));
        attest_client_use_rules(client, rules);
        token = NULL;
        NAME(attest_client_validate_token(client, good, &token));
        NAME(attest_rules_set_algorithms(rules, "RS256"));
        NAME(attest_client_validate_token(client, good, &token));
        token = attest_token_free(token);
        attest_client_use_rules(client, NULL);
        NAME(attest_client_validate_token(client, good, &token));
        printf("%d\n", seen);
        attest_token_free(token);
        attest_rules_free(rules);
        attest_client_free(client);
        return 0;
}
"""


def test_checks_are_switched_by_name_and_the_token_tells():
    good = attest().stdout.strip()
    claims = judge(good)
    header, payload, signature = good.split(".")
    spoiled = f"{header}.{payload}.{signature[:-5]}{'A' if signature[-5] != 'A' else 'B'}{signature[-4:]}"
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=") + f".{payload}."
    kid = json.loads(decode(header))["kid"]
    source = pathlib.Path(where.name) / "checks.c"
    source.write_text(CHECKS_PROGRAM)
    expected = ["signature issuer expiry not-before issued-at nonce request-key policy-hash required-claims", "ok", "ok", "ok",
                "not believed signature (nobody signed)", "not believed signature (nobody signed)", "TokenExpired", "ok", "InvalidArgument", "ok",
                "TokenSignatureInvalid", "believed", "ok", "TokenNonceMismatch", "ok", "ok", "TokenPolicyHashMismatch", "ok", "ok", "TokenClaimRequired", "ok", "ok",
                "believed nonce request-key policy-hash required-claims", "ok", "TokenNonceMismatch", "ok",
                f"RS256 {kid} {claims['jti']} 1 256 {decode(signature)[0]:02x} 1", "ok", '"JWT"', "ok", "1",
                "ok", "ok", "ok", "ok", "TokenAlgNotAllowed", "ok", "ok", "ok", "1"]
    for language in COMPILERS:
        done = call(compiled(source, language), INSTANCE_URL, INSTANCE_CA, good, spoiled, json.dumps(fetch("/certs")), none, claims["exp"])
        assert done.returncode == 0 and done.stderr == "", done
        lines = done.stdout.splitlines()
        assert lines == expected, [(i, a, b) for i, (a, b) in enumerate(zip(lines, expected)) if a != b] or (len(lines), len(expected))


ENCLAVE_PROGRAM = r"""
#include <attest/attest.h>
#include <stdio.h>
#include <stdlib.h>

static unsigned char bytes[2][65536];

static size_t read_file(int n, const char *path) {
        FILE *file = fopen(path, "rb");
        size_t size = file ? fread(bytes[n], 1, sizeof(bytes[n]), file) : 0;
        if (file)
                fclose(file);
        return size;
}

static const char *show(const char *text) {
        return text ? text : "-";
}

int main(int argc, char **argv) {
        AttestClient *client = NULL;
        AttestEnclave *enclave = NULL;
        AttestEnclaveResult *result = NULL;
        size_t held = 0;
        if (argc != 6 || attest_client_new(argv[1], &client) || attest_client_set_ca_file(client, argv[2]) ||
            attest_enclave_new_open_enclave(bytes[0], read_file(0, argv[3]), &enclave) ||
            attest_enclave_set_runtime_data(enclave, bytes[1], read_file(1, argv[4]), argv[5][0] == 'j'))
                return 2;
        if (argv[5][0] == 'd' && attest_enclave_set_draft_policy(enclave, "version=1.0; authorizationrules{=> permit();}; issuancerules{=> issue(type=\"a\", value=1);};"))
                return 2;
        AttestError *error = attest_client_attest_enclave(client, enclave, &result);
        if (error) {
                printf("%s: %s\n", attest_error_get_name(error), attest_error_describe(error));
                attest_error_free(error);
        } else {
                const void *data = attest_enclave_result_get_held_bytes(result, &held);
                printf("%d\n%s\n%s\n%s\n%s\n%s\n%s\n%s\n", attest_token_is_validated(attest_enclave_result_get_token(result)),
                       show(attest_enclave_result_get_version(result)), show(attest_enclave_result_get_policy_signer(result)),
                       show(attest_enclave_result_get_policy_claims(result)), show(attest_enclave_result_get_collateral(result)),
                       show(attest_enclave_result_get_tcb_identifier(result)), show(attest_enclave_result_get_runtime(result)),
                       attest_token_get_claims(attest_enclave_result_get_token(result)));
                if (data)
                        fwrite(data, 1, held, stderr);
        }
        attest_enclave_result_free(result);
        attest_enclave_free(enclave);
        attest_client_free(client);
        return 0;
}
"""


def test_results_of_open_enclaves_are_typed():
    exchanges = pathlib.Path(os.environ.get("ATTESTD_VECTORS", "")) / "maa/exchanges"
    if not exchanges.is_dir():
        raise Skip(f"no vectors in {exchanges}")
    source = pathlib.Path(where.name) / "enclave-results.c"
    source.write_text(ENCLAVE_PROGRAM)
    for language in COMPILERS:
        program = compiled(source, language)
        for folder, kind in (("AttestWithRuntimeData-OpenEnclave_Aad", "binary"), ("AttestWithRuntimeDataJson-OpenEnclave_Aad", "json"),
                             ("AttestWithRuntimeData-OpenEnclave_Aad", "draft")):
            report, data = (next((exchanges / folder).glob(f"*.request.{name}*")) for name in ("report", "runtimeData"))
            done = subprocess.run([program, INSTANCE_URL, INSTANCE_CA, report, data, kind], capture_output=True, timeout=60, env=environment())
            lines = done.stdout.decode().splitlines()
            assert done.returncode == 0 and len(lines) == 8, done
            claims = json.loads(lines[7])
            assert lines[0] == ("0" if kind == "draft" else "1"), lines
            assert lines[1] == claims["x-ms-ver"] == "1.0" and lines[2] == "-", lines
            assert json.loads(lines[3]) == claims["x-ms-policy"] and json.loads(lines[4]) == claims["x-ms-sgx-collateral"], lines
            assert (kind == "draft") == (json.loads(lines[3]).get("a") == 1), lines[3]
            assert lines[5] == claims.get("x-ms-sgx-tcbidentifier", "-"), lines
            assert done.stderr == (data.read_bytes() if kind != "json" else b""), done.stderr
            assert json.loads(lines[6]) == json.loads(data.read_bytes().rstrip(b"\0")) if kind == "json" else lines[6] == "-", lines[6]


bed.TESTBED_OPTIONS = ["--no-daemon"]
bed.run(globals())
