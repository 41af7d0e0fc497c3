#!/usr/bin/env python3
"""Seeds for the fuzz targets, and running them.

usage: run-fuzz.py [--seconds N] [--jobs N] FUZZ-PROGRAM…     fuzzes each program for N seconds (30), fails on any finding
       run-fuzz.py --replay REPLAY-PROGRAM                    runs the seeds and the kept inputs once
       run-fuzz.py --seeds NAME DIRECTORY                     only writes the seeds of one target

Seeds are third-party vectors, read from $ATTESTD_VECTORS (default ../shared/vectors from the project's root; fewer seeds where it is missing), and
what stands in SEEDS itself. Inputs that once failed are kept in tests/data/fuzz/NAME.
"""
import argparse
import base64
import concurrent.futures
import hashlib
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
VECTORS = pathlib.Path(os.environ.get("ATTESTD_VECTORS") or ROOT / "../shared/vectors")
SEED_SIZE_MAX = 1 << 20

JMESPATH_DOCUMENT = b'{"foo":[{"a":1,"b":"x","c":[3,1,2]},{"a":2.5,"b":"y","c":[[]]}],"bar":{"bar":true},"baz":null}'


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def vbs_package(enclave_data=bytes(64)):
    """A VBS enclave report (ntenclv.h) with one module and one block of an unknown type; no real one is public."""
    module = bytes(96) + struct.pack("<I", 7) + "vertdll.dll\0".encode("utf-16-le")
    blocks = struct.pack("<II", 1, 8 + len(module)) + module + struct.pack("<II", 9, 11) + b"abc"
    statement = struct.pack("<II", 224 + len(blocks), 1) + enclave_data + bytes(152) + blocks
    return struct.pack("<IIIIII", 24 + len(statement) + 256, 1, 1, len(statement), 256, 0) + statement + bytes(256)


def vbs_payload(member):
    """The request's payload as one of the type vbs, with an enclave's report that is right, or a paravisor's that holds no TEE's."""
    signed = (ROOT / "tests/data/instance/request.payload.json").read_bytes().removeprefix(b'{"att_type":"basic","att_data":')[:-1]
    data = hashlib.sha512(signed).digest()
    claims = b'{"keys":[],"user-data":"' + data.hex().encode() + b'"}'
    hcl = struct.pack("<4sIII16x1184x", b"HCLA", 2, 32 + 1184 + 20 + len(claims), 2) + struct.pack("<5I", 20 + len(claims), 1, 3, 1, len(claims)) + claims
    report = base64url(vbs_package(data) if member == b"enclave" else hcl)
    return b'{"att_type":"vbs","att_data":{"report_signed":' + signed + b',"vsm_report":{"' + member + b'":{"report":"' + report + b'"}}}}'


# target: list of (prefix, pattern below the vectors' folder, or the seed itself as bytes)
SEEDS = {
    "admin-answer": [
        (b"t", b'{"token":"a.b.c"}'),
        (b"d", b'{"data":"e30"}'),
        (b"e", b'{"x-ms-attestation-type":"sgx","x-ms-sgx-mrenclave":"aa","x-ms-sgx-is-debuggable":true,"x-ms-sgx-svn":1,"maa-ehd":"QQ","x-ms-runtime":{}}'),
        (b"p", b'{"x-ms-policy":"eyJhbGciOiJub25lIn0.eyJBdHRlc3RhdGlvblBvbGljeSI6ImNBIn0."}'),
        (b"p", b'{"x-ms-policy":"eyJhbGciOiJub25lIn0.."}'),
        (b"u", b'{"x-ms-policy-result":"Updated","x-ms-policy-token-hash":"a","x-ms-policy-signer":{"jwk":{"kty":"RSA","x5c":["AA=="]}}}'),
        (b"c", b'{"x-ms-policy-certificates":{"keys":[{"kty":"RSA","x5c":["AA=="]}]}}'),
    ],
    "token-answer": [
        (b"a\x00\xc8", b'{"token_type":"Bearer","expires_in":3599,"ext_expires_in":3599,"refresh_in":1800,"access_token":"a.b-c_d~e+f/g="}'),
        (b"m\x00\xc8", b'{"access_token":"abc","client_id":"c","expires_in":"86399","expires_on":"1700086399","resource":"r","token_type":"Bearer"}'),
        (b"m\x00\xc8", b'{"access_token":"abc","expires_on":"2023-11-15T00:13:20.123+01:00"}'),
        (b"a\x00\xc8", b'{"access_token":"abc","expires_on":"Tue, 14 Nov 2023 23:13:20 GMT"}'),
        (b"a\x01\x91", b'{"error":"invalid_client","error_description":"AADSTS7000215: \\u001b[1m","error_codes":[7000215],"trace_id":"x"}'),
        (b"r\x01\x91", b"Basic realm=/keys/a.key"),
        (b"t\x00\x00", b"abc.def\n"),
    ],
    "authority": [
        (b"f", b"grant_type=client_credentials&client_id=c&client_secret=a%2Bb+%C3%A4&scope=https%3A%2F%2Fattest.azure.net%2F.default"),
        (b"a", "jose/rfc/*.jwsc"),
        (b"c", b'{"iss":"i","sub":"s","aud":["x","a"],"jti":"1","nbf":1699999999,"exp":1700000600}'),
        (b"c", b'{"iss":"c","sub":"c","aud":"u","jti":"1","exp":1700000600}'),
        (b"j", b'{"tenants":[{"id":"t","name":"n","applications":[{"client_id":"c","object_id":"o","roles":["reader"],"secrets":[{"value":"s","expires":5}],'
               b'"federated":[{"issuer":"i","subject":"s","audience":"a","keys":[]}],"certificates":[]}],'
               b'"managed_identities":[{"client_id":"m","object_id":"p","resource_id":"/r","system_assigned":true}]}],"identity_header":"h"}'),
    ],
    "config": [(b"", file.read_bytes()) for file in sorted((ROOT / "tests/data/config").glob("*.conf"))],
    "boot-attestation": [
        (b"", b'{"format":"attestd-boot-attestation","version":1,"quote":"AQ","signature":"Ag","aik_public":"Aw","aik_certificate":"",'
              b'"pcrs":[{"bank":"sha1","values":{"0":"' + b"00" * 20 + b'"}}],'
              b'"logs":[{"type":"TCG","size":3,"sha256":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}]}'),
    ],
    "ek-chain": [
        (b"", "tpm/*/issuer.der"),
        (bytes(5), "tpm/*/cert.der"),
    ],
    "bundle": [
        (b"", b'{"format":"attestd-evidence","version":1,"created":5,"qualifying_data":"AQ","quote":"Ag","signature":"Aw","aik_public":"BA","aik_name":"BQ",'
              b'"pcrs":[],"logs":[],"boot_attestation":{"quote":"AQ","signature":"Ag","aik_public":"Aw","pcrs":[],"logs":[]}}'),
        (b"", b'{"format":"attestd-evidence","version":1,"created":5,"qualifying_data":"AQ","quote":"Ag","signature":"Aw","aik_public":"BA","aik_name":"BQ",'
              b'"aik_certificate":"MA","pcrs":[{"bank":"sha1","values":{"0":"' + b"00" * 20 + b'","23":"' + b"ff" * 20 + b'"}}],'
              b'"logs":[{"type":"IMA","size":0,"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","data":""}]}'),
    ],
    "attest": [
        (b"", "tpm/*/attest.bin"),
        (b"", "tpm/*/signature.bin"),
        (b"", "tpm/*/pubarea.bin"),
        (b"", "tpm/*/akpub.bin"),
        (b"", "tpm/*/*.der"),
        (b"", "maa/azureguest/*.bin"),
    ],
    "eventlog": [
        (b"", "eventlog/*.bin"),
    ],
    "azure-guest": [
        (b"0", b'{"token":"' + base64url(b'{"Jwt":"AAAA","EncryptedInnerKey":"AAAA","AuthenticationData":"AAAAAAAAAAAAAAAAAAAAAA==","EncryptionParams":{"Cipher":"AES",'
                                        b'"BlockMode":"ChainingModeGCM","BlockPadding":"PKCS7","KeySizeInBits":256,"Iv":"AAAAAAAAAAAAAAAA"}}') + b'"}'),
        (b"1", b'{"x-ms-attestation-type":"azurevm","secureboot":true,"x-ms-runtime":{"client-payload":{"n":"dg=="},"keys":[{"kid":"TpmEphemeralEncryptionKey","n":"qg"}]},'
               b'"x-ms-isolation-tee":{"x-ms-compliance-status":"x"}}'),
        (b"1", "maa/azureguest/*.json"),
        (b"2", b'{"AttestationInfo":"' + base64url(b'{"AttestationProtocolVersion":"2.0","OSType":"TA==","OSDistro":"TA==","OSBuild":"TA==","OSVersionMajor":1,"OSVersionMinor":2,'
               b'"TcgLogs":"","ClientPayload":{"a":"Yg=="},"TpmInfo":{"AikCert":"MA==","AikPub":"AAEA","PcrQuote":"AA==","PcrSignature":"AA==","EncKeyPub":"AAEA",'
               b'"EncKeyCertifyInfo":"AA==","EncKeyCertifyInfoSignature":"AA==","PcrSet":[0],"PCRs":[{"Index":0,"Digest":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}]},'
               b'"IsolationInfo":{"Type":"SevSnp","Evidence":{"Proof":"e30=","RunTimeData":"e30="}}}') + b'"}'),
    ],
    "service-events": [
        (b"\0", "eventlog/*.bin"),
        (b"\1", "ima/*.bin"),
        (b"\0", (ROOT / "tests/data/ovmf/boot.log").read_bytes()),
        (b"\1", (ROOT / "tests/data/ovmf/ima.log").read_bytes()),
        (b"\2", b"\x01\x00\x01\x40\x09\0\0\0" b"\x01\x00\x04\x00\x01\0\0\0\0"),
        (b"\2", b"\x20\x00\x05\x00\x14\0\0\0" b"\1\0\0\0\0\x08\0\0\1\0\0\0\3\0\0\0e123"),
        (b"\2", b"\x31\x00\x05\x00\x26\0\0\0" b"\6\0\0\0\x0e\0\0\0\1\0\2\0\2\0\1\0" b"N\0\1E" b"\2\0\0\0\x0c\x80\0\0\2\0P\0dg"),
    ],
    "userspace-log": [
        (b"", b'\x1e{"pcr":11,"digests":[{"hashAlg":"sha256","digest":"' + b"00" * 32 + b'"}],"content_type":"systemd","content":{"string":"enter-initrd"}}\n'),
        (b"", b'\x1e{"nv_index":1,"digests":[],"content":{"eventType":"phase"}}\n' * 2),
    ],
    "ima": [
        (b"", "ima/*.bin"),
        (b"", "ima/*.txt"),
    ],
    "policy": [(b"", "policies/*.txt")],
    # policy, NUL, claims
    "policy-eval": [(b"", "policies/*.txt")] + [
        (b"", b"version=1.2;authorizationrules { =>permit(); };issuancerules { " + rules + b" };\0" + claims)
        for rules, claims in (
            (b'c:[type=="events"] => add(type="x", value=JmesPath(c.value, "Events[?a == `1`].b")); c:[type=="x"] => issue(type="y", value=JsonToClaimValue(c.value));',
             b'{"events":{"Events":[{"a":1,"b":true},{"a":2,"b":"x"}]}}'),
            (b'a:[type=="s"] && b:[type=="t", value>=2] && ![type=="u"] => issue(type="r", value=IsSubsetOf(a.value, b.value));', b'{"s":[1,2],"t":[1,2,3]}'),
            (b'a:[type=="s"] && b:[value!=a.value, issuer=="CustomClaim"] => issue(claim=b); c:[] => issueproperty(type=c.type, value=NegateBool(true));', b'{"s":"x","t":"y"}'),
            (b'a:[type=="s"] => issue(type=AppendString(a.value, a.issuer), value=ContainsOnlyValue(a.value, "x"));', b'{"s":["x","x"]}'),
        )
    ],
    # document, NUL, expression
    "jmespath": [
        (b"", JMESPATH_DOCUMENT + b"\0" + expression)
        for expression in (
            b"foo[?a > `1`].{b: b, \"c\": c[::-1]} | [0]",
            b"foo[*].c[] | sort(@)",
            b"sort_by(foo, &a)[].b",
            b"*.bar || !baz && @",
            b"map(&to_string(@), foo[1:].c[])",
            b"join(', ', foo[].b) | equals_ignore_case(@, 'X, Y')",
            b"merge(foo[0], `{\"d\": [1, 2.5e3, null]}`).values(@)",
            b"[sum(foo[].a), avg(foo[].a), max_by(foo, &a).b, reverse(foo), ceil(`1.5`), not_null(x, bar), type(@), keys(@), to_number('1e3')]",
            b"[@,@]|[@,@]|[@,@]|[@,@]|[@,@]|length(to_string(@))",
        )
    ],
    "openid": [
        (b"", "maa/openid/*.json"),
        (b"", b'{"issuer":"https://h","jwks_uri":"https://h/certs"}'),
    ],
    "error-body": [
        (b"\x01", "maa/exchanges/*/*.error.json"),
        (b"\x01", "maa/tpm/no-policy.error.json"),
        (b"\x06", b'{"error":{"code":"A","message":"b\\u001b[1m","target":"t","details":[{"code":"c"}],"innererror":{"code":"d","innererror":{"message":"e"}}}}'),
    ],
    "jwk": [
        (b"", "jose/rfc/*.jwk"),
        (b"", "jose/rfc/*.jwkset"),
        (b"", "jose/rfc/cookbook-jwk-*.json"),
        (b"", "maa/jwks/*.json"),
    ],
    "jwks": [
        (b"", "maa/jwks/*.json"),
        (b"", "jose/rfc/*.jwkset"),
        (b"", b'{"keys":[{"kty":"oct","k":"AA"},{"kty":"EC","crv":"P-256","kid":"a=","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",'
               b'"y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"},{"kty":"RSA","kid":"b","x5c":["AA=="]}]}'),
    ],
    "jwt": [
        (b"", "jose/rfc/*.jwsc"),
        (b"", "maa/exchanges/*/*.jwt"),
        (b"", "maa/azureguest/*.jwt"),
        (b"", "maa/policy/*.jws"),
        (b"", "maa/other/*.jwt"),
        (b"", b"eyJhbGciOiJFUzI1NiIsImtpZCI6ImVjIn0.e30.AAAA"),
    ],
    "paravisor-report": [
        (b"", "maa/hcl/*.bin"),
        (b"", "tpm/*/hcl_report.bin"),
    ],
    "vbs-report": [
        (b"", vbs_package()),
        (b"VKAS" + struct.pack("<II", 1, 5) + b"VRCH" + struct.pack("<IIIII", 0, 4, 2, len(vbs_package()), 3) + b"attrno", vbs_package() + b"sig"),
    ],
    "instance-request": [
        (b"b", "maa/tpm/init/request*.json"),
        (b"m", (ROOT / "tests/data/instance/request.jws").read_bytes()),
        (b"p", (ROOT / "tests/data/instance/request.payload.json").read_bytes()),
        (b"p", vbs_payload(b"enclave")),
        (b"p", vbs_payload(b"vm")),
        (b"c", b"eyJQcm90ZWN0aW9uS2V5TmFtZSI6IkEiLCJQcm90ZWN0ZWRDb250ZXh0IjoiQSJ9"),
        (b"e", b"AAAA"),
        (b"q", b'{"quote":"AA","runtimeData":{"data":"AAE","dataType":"Binary"},"initTimeData":{"data":"e30A","dataType":"JSON"},"nonce":"n"}'),
        (b"r", b'{"Report":"AA==","draftPolicyForAttestation":"version=1.0; authorizationrules{=> permit();};","more":[null]}'),
        (b"j", b"eyJhbGciOiJub25lIn0.."),
        (b"j", "maa/policy/*.jws"),
        (b"j", "maa/exchanges/*/01-P*-policies_*.request.jwt"),
        (b"j", "maa/exchanges/*/01-POST-certificates-add-*.request.jwt"),
        (b"k", "tpm/*/ekpub.bin"),      # TPM2B_PUBLIC
        (b"k\0\0", "tpm/keylime-ek-*/*.der"),
        (b"f", b"token=expired@2 certs:status=503,retry-after=5 latency=250 clock-offset=-60"),
    ],
    "sgx-quote": [
        (b"", "maa/exchanges/SimpleAttest-*_Aad/*.request.quote.bin"),
        (b"", "maa/exchanges/SimpleAttest-*_Aad/*.request.report.bin"),
        (b"", "maa/certs/*.sgxext.bin"),
    ],
    "local-request": [
        (b"", b"GET /healthz"),
        (b"", b"HEAD /readyz?verbose=1"),
        (b"", b"GET /metrics?name[]=x"),
        (b"", b"GET /v1/status"),
        (b"", b"GET /v1/profiles/default/token?min_remaining=300"),
        (b"", b"GET /v1/profiles/a%2Fb%20c/token?&min_remaining=%33"),
        (b"", b'POST /v1/profiles/default/attest\n{"nonce":"Zm9vYg","timeout_sec":30}'),
        (b"", b'POST /v1/validate\n{"token":"a.b.c","profile":"edge"}'),
        (b"", b"DELETE /v1/profiles/default/token"),
    ],
    "service-answer": [
        (b"c", "maa/tpm/init/*.response.json"),
        (b"r", "maa/tpm/init/*.response.json"),
        (b"r", b'{"data":"eyJwYXlsb2FkIjp7InJlcG9ydCI6ImEuYi5jIn19"}'),
        (b"h", b"Content-Type: application/json\r\nRetry-After: 120\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nx-ms-request-id: 00-9e9b-00\r\n"),
        (b"h", b"Retry-After: Sunday, 06-Nov-94 08:49:37 GMT\nDate: Sun Nov  6 08:49:37 1994\n"),
        (b"u", b"https://a.wus.attest.azure.net:443/path/"),
        (b"u", b"https://[::1]:8443/a%20b/"),
    ],
}


def write_seeds(name, folder):
    folder.mkdir(parents=True, exist_ok=True)
    n = 0
    for prefix, source in SEEDS[name]:
        contents = [source] if isinstance(source, bytes) else [f.read_bytes() for f in sorted(VECTORS.glob(source)) if f.stat().st_size <= SEED_SIZE_MAX]
        for content in contents:
            (folder / f"seed-{n:04}").write_bytes(prefix + content)
            n += 1
    return n


def kept_inputs(name):
    return sorted((ROOT / "tests/data/fuzz" / name).glob("*"))


def target_name(program, prefix):
    name = pathlib.Path(program).name
    if not name.startswith(prefix) or name[len(prefix):] not in SEEDS:
        sys.exit(f"run-fuzz: {name} has no seeds in the table of {__file__}")
    return name[len(prefix):]


def replay(program):
    name = target_name(program, "replay-")
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        write_seeds(name, folder)
        return subprocess.run([program, *sorted(map(str, folder.iterdir())), *map(str, kept_inputs(name))], check=False).returncode


def fuzz(program, seconds):
    """(exit status, output) of one run; a finding is written beside the program as fuzz-NAME-crash-…"""
    name = target_name(program, "fuzz-")
    with tempfile.TemporaryDirectory() as temporary:
        corpus = pathlib.Path(temporary) / "corpus"
        n = write_seeds(name, corpus)
        for i, file in enumerate(kept_inputs(name)):
            (corpus / f"kept-{i}").write_bytes(file.read_bytes())
        command = [str(pathlib.Path(program).resolve()), f"-max_total_time={seconds}", "-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1",
                   f"-artifact_prefix={pathlib.Path(program).resolve()}-", str(corpus)]
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        output = result.stdout.decode(errors="replace")
        stats = [line for line in output.splitlines() if "number_of_executed_units" in line or "new_units_added" in line]
        print(f"fuzz-{name}: {n} seeds, exit {result.returncode}; {'; '.join(stats)}", flush=True)
        return result.returncode, output


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--replay", metavar="PROGRAM")
    parser.add_argument("--seeds", nargs=2, metavar=("NAME", "DIRECTORY"))
    parser.add_argument("programs", nargs="*")
    arguments = parser.parse_args()
    if arguments.replay:
        sys.exit(replay(arguments.replay))
    if arguments.seeds:
        print(write_seeds(arguments.seeds[0], pathlib.Path(arguments.seeds[1])), "seeds")
        return
    if not arguments.programs:
        parser.error("no program")
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        results = list(pool.map(lambda program: fuzz(program, arguments.seconds), arguments.programs))
    failures = [output for status, output in results if status != 0]
    for output in failures:
        print(output[-6000:])
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
