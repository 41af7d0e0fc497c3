#!/usr/bin/env python3
"""attestctl attest-azure-guest: collector, TPM, instance and token rules together. What the collector sends is taken from the wire by a server of ours and taken apart with struct
and openssl; the encryption key is compared with the one that tpm2-tools make of the same template."""
import base64
import hashlib
import http.server
import json
import os
import re
import ssl
import struct
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import bed
import guest
from bed import attestctl, error_table, set_faults, tpm
from guest import b64, decode, read

bed.TESTBED_OPTIONS = ["--no-daemon", "--machine", os.path.join(os.environ["ATTESTD_SOURCE"], "tests/data/ovmf")]
CONFIG, BED = os.environ.get("ATTESTD_CONFIG", ""), os.environ.get("TESTBED_DIR", "")
CODES = {name: item["exit_status"] for name, item in error_table().items()} if BED else {}
enrolled = []


def run(*arguments, check=0):
    if not enrolled:
        attestctl("aik", "enroll", "--config", CONFIG, "--instance", os.environ["ATTEST_INSTANCE_URL"], "--ca-file", os.environ["ATTEST_INSTANCE_CA"], check=0)
        enrolled.append(True)
    return attestctl("attest-azure-guest", "--config", CONFIG, *arguments, check=check)


def claims_of(jwt):
    return json.loads(decode(jwt.split(".")[1]))


def leftovers():
    return tpm("tpm2_getcap", "handles-transient") + tpm("tpm2_getcap", "handles-loaded-session") + tpm("tpm2_getcap", "handles-saved-session")


def test_token_of_this_machine():
    _, out, err = run("--payload", "nonce=fresh=1", "--payload", "empty=")
    claims = claims_of(out.strip())
    assert out.count("\n") == 1 and err == "", (out, err)
    assert claims["x-ms-attestation-type"] == "azurevm" and claims["secureboot"] is True and claims["aikValidated"] is True, claims
    assert claims["x-ms-runtime"]["client-payload"] == {"nonce": b64(b"fresh=1"), "empty": ""}
    assert claims["x-ms-azurevm-osbuild"] == os.uname().release and claims["pcrs-replayed"] == list(range(8))
    release = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', open("/etc/os-release").read(), re.M))
    assert claims["x-ms-azurevm-osdistro"] == release["ID"] and claims["x-ms-azurevm-osversion-major"] == int(release["VERSION_ID"].split(".")[0]), claims
    assert leftovers().strip() == "", leftovers()


def test_json():
    _, out, _ = run("--json")
    answer = json.loads(out)
    assert answer["validated"] is True and answer["claims"] == claims_of(answer["token"])


class Recorder(http.server.BaseHTTPRequestHandler):
    """Takes the request and refuses it."""
    def do_POST(self):
        self.server.bodies.append((self.path, dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
        text = b'{"error":{"code":"InvalidParameter","message":"recorded"}}'
        self.send_response(400)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *arguments):
        pass


def recorded():
    """(path, headers, AttestationInfo) of one request."""
    state = os.path.join(BED, "instance")
    server = http.server.HTTPServer(("127.0.0.1", 0), Recorder)
    server.bodies = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.path.join(state, "tls.pem"), os.path.join(state, "tls.key"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    run()   # enrols
    _, _, err = attestctl("attest-azure-guest", "--collector-config", CONFIG, "--instance", f"https://127.0.0.1:{server.server_port}",
                          "--ca-file", os.environ["ATTEST_INSTANCE_CA"], "--payload", "a=b", check=CODES["ServiceRefused"])
    server.shutdown()
    assert "recorded" in err and len(server.bodies) == 1, (err, server.bodies)
    path, headers, body = server.bodies[0]
    message = json.loads(body)
    assert list(message) == ["AttestationInfo"]
    return path, headers, json.loads(decode(message["AttestationInfo"]))


def openssl_verify(pem, data, signature):
    paths = {name: os.path.join(BED, "check-" + name) for name in ("pem", "data", "sig")}
    for name, content in (("pem", pem), ("data", data), ("sig", signature)):
        with open(paths[name], "wb") as file:
            file.write(content)
    subprocess.run(["openssl", "dgst", "-sha256", "-verify", paths["pem"], "-signature", paths["sig"], paths["data"]], check=True, capture_output=True)


def attest_parts(data):
    """type, extraData, rest of a TPMS_ATTEST."""
    magic, kind, size = struct.unpack_from(">IHH", data)
    assert magic == 0xFF544347
    at = 8 + size
    size, = struct.unpack_from(">H", data, at)
    return kind, data[at + 2:at + 2 + size], data[at + 2 + size + 25:]


def test_message_is_what_the_service_documents():
    path, headers, info = recorded()
    assert path == "/attest/AzureGuest?api-version=2022-08-01" and "Authorization" not in headers, (path, headers)
    assert set(info) == {"AttestationProtocolVersion", "OSType", "OSDistro", "OSBuild", "OSVersionMajor", "OSVersionMinor", "TcgLogs", "ClientPayload", "TpmInfo",
                         "IsolationInfo"}
    assert info["AttestationProtocolVersion"] == "2.0" and base64.b64decode(info["OSType"]) == b"Linux" and info["IsolationInfo"] == {"Type": "TrustedLaunch"}
    assert info["ClientPayload"] == {"a": b64(b"b")} and base64.b64decode(info["TcgLogs"], validate=True) == read(os.path.join(BED, "boot.log"))
    parts = {name: base64.b64decode(value, validate=True) for name, value in info["TpmInfo"].items() if isinstance(value, str)}
    values = [(int(number), bytes.fromhex(value)) for number, value in re.findall(r"(\d+) *: 0x([0-9A-Fa-f]{64})", tpm("tpm2_pcrread", guest.PCRS))]
    assert info["TpmInfo"]["PcrSet"] == list(range(8)) and [(item["Index"], base64.b64decode(item["Digest"])) for item in info["TpmInfo"]["PCRs"]] == values
    pem = subprocess.run(["openssl", "x509", "-inform", "DER", "-pubkey", "-noout"], input=parts["AikCert"], check=True, capture_output=True).stdout
    for attest, signature in (("PcrQuote", "PcrSignature"), ("EncKeyCertifyInfo", "EncKeyCertifyInfoSignature")):
        openssl_verify(pem, parts[attest], parts[signature])
    kind, extra, rest = attest_parts(parts["PcrQuote"])
    assert kind == 0x8018 and extra == b""
    digest = hashlib.sha256(b"".join(value for _, value in values)).digest()
    assert rest == struct.pack(">IHB3s", 1, 0x000B, 3, b"\xff\0\0") + struct.pack(">H", 32) + digest
    kind, extra, rest = attest_parts(parts["EncKeyCertifyInfo"])
    public = parts["EncKeyPub"]
    assert struct.unpack(">H", public[:2])[0] == len(public) - 2
    name = struct.pack(">H", 0x000B) + hashlib.sha256(public[2:]).digest()
    assert kind == 0x8017 and extra == b"" and rest[2:2 + len(name)] == name


def test_encryption_key_is_the_documented_template():
    """tpm2-tools make the same key of it: a primary's seed and template decide."""
    _, _, info = recorded()
    machine = guest.Guest(os.path.join(BED, "guest"), (os.path.join(BED, "instance", "aik-ca.pem"), os.path.join(BED, "instance", "aik-ca.key")))
    public = base64.b64decode(info["TpmInfo"]["EncKeyPub"])
    attributes, = struct.unpack_from(">I", public, 6)
    assert attributes == 1 << 1 | 1 << 4 | 1 << 5 | 1 << 10 | 1 << 17, hex(attributes)
    policy = read(machine.path("policy"))
    assert public[10:12 + len(policy)] == struct.pack(">H", len(policy)) + policy
    # type RSA, nameAlg SHA-256, no symmetric, no scheme, 2048 bits, the default exponent
    assert public[2:6] == struct.pack(">HH", 0x0001, 0x000B)
    assert public[12 + len(policy):24 + len(policy)] == struct.pack(">HHHIH", 0x0010, 0x0010, 2048, 0, 256), public.hex()


def test_forged_tokens_are_not_believed():
    for forgery, code in (("wrong-issuer", "TokenIssuerMismatch"), ("expired", "TokenExpired"), ("alg-none", "TokenAlgNone"), ("wrong-key", "TokenSignatureInvalid")):
        set_faults(f"other:token={forgery}@1")
        run("--payload", "nonce=1", check=CODES[code])
    set_faults()


def test_answers_that_cannot_be_used_are_named():
    for fault, code in (("other:malformed-json@1", "ServiceAnswerInvalid"), ("other:status=503@9", "ServiceUnavailable")):
        set_faults(fault)
        _, _, err = run("--timeout", "3", check=CODES[code])
        assert "attest" in err, err
    set_faults()


def test_pcr_that_moves_between_request_and_answer_keeps_the_token_closed():
    """The inner key is for the PCRs as they were; the instance's latency is the time in between."""
    run()
    set_faults("other:latency=3000@1")
    process = subprocess.Popen(["attestctl", "attest-azure-guest", "--config", CONFIG], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    log = os.path.join(BED, "log", "attest-instance")
    bed.wait_until(lambda: process.poll() is not None or seen_request(), 30, "the request")
    tpm("tpm2_pcrextend", "7:sha256=" + "11" * 32)
    out, err = process.communicate(timeout=60)
    set_faults()
    assert process.returncode == CODES["TpmPcrUnstable"] and "PCRs 7 have moved" in err and out == "", (process.returncode, out, err, log)
    assert leftovers().strip() == "", leftovers()


def seen_request():
    """Its connection to the instance is there."""
    port = int(os.environ["ATTEST_INSTANCE_URL"].rsplit(":", 1)[1])
    with open("/proc/net/tcp") as file:
        return any(f":{port:04X}" in line.split()[2] and line.split()[3] == "01" for line in file.readlines()[1:])


def test_usage():
    for arguments, words in ((["--payload", "x"], "NAME=VALUE"), (["--payload", "x=1", "--payload", "x=2"], "x is given twice"), (["--isolation", "Nitro"], "TrustedLaunch"), (["--isolation", "SevSnp"], "--proof"),
                             (["--proof", "/dev/null"], "--isolation"), (["FILE"], "FILE")):
        _, _, err = attestctl("attest-azure-guest", *arguments, check=2)
        assert words in err, (arguments, err)


bed.run(globals())
