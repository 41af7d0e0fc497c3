#!/usr/bin/env python3
"""attest/AzureGuest of the instance, asked by a client that has none of our code (tests/support/guest.py): what is true gets a token that one TPM can open, and each lie is
named."""
import base64
import hashlib
import json
import os
import struct
import subprocess
import sys
import tempfile
import urllib.error

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import bed
import guest
from bed import instance_request, set_faults, tpm
from guest import b64, decode, encode, read

bed.TESTBED_OPTIONS = ["--no-daemon", "--machine", os.path.join(os.environ["ATTESTD_SOURCE"], "tests/data/ovmf")]
BED = os.environ.get("TESTBED_DIR", "")
PATH = "/attest/AzureGuest?api-version=2022-08-01"
STATE = os.path.join(BED, "instance")
HCL = os.path.join(os.environ.get("ATTESTD_VECTORS", ""), "maa/hcl/snp-kinvolk.bin")
cached = []


def machine():
    if not cached:
        cached.append(guest.Guest(os.path.join(BED, "guest"), (os.path.join(STATE, "aik-ca.pem"), os.path.join(STATE, "aik-ca.key"))))
    return cached[0]


def post(body):
    return instance_request("POST", PATH, body)


def claims_of(jwt):
    return json.loads(decode(jwt.split(".")[1]))


def refused(body, *words):
    try:
        status, text = post(body)
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read().decode()
    assert status == 400, (status, text)
    error = json.loads(text)["error"]
    assert error["code"] == "InvalidParameter", error
    for word in words:
        assert word in error["message"], (word, error)


def verify(jwt):
    """By openssl, with the certificate of that kid."""
    header, claims, signature = jwt.split(".")
    kid = json.loads(decode(header))["kid"]
    _, keys = instance_request("GET", "/certs")
    x5c = next(key["x5c"] for key in json.loads(keys)["keys"] if key["kid"] == kid)
    with tempfile.TemporaryDirectory() as directory:
        paths = {name: os.path.join(directory, name) for name in ("der", "pub", "sig", "text")}
        for name, data in (("der", base64.b64decode(x5c[0])), ("sig", decode(signature)), ("text", f"{header}.{claims}".encode())):
            with open(paths[name], "wb") as file:
                file.write(data)
        public = subprocess.run(["openssl", "x509", "-inform", "DER", "-in", paths["der"], "-pubkey", "-noout"], check=True, capture_output=True).stdout
        with open(paths["pub"], "wb") as file:
            file.write(public)
        subprocess.run(["openssl", "dgst", "-sha256", "-verify", paths["pub"], "-signature", paths["sig"], paths["text"]], check=True, capture_output=True)


def test_token_opens_in_the_tpm_and_says_what_is():
    status, answer = post(machine().body())
    assert status == 200
    jwt = machine().open(answer)
    verify(jwt)
    header, claims = json.loads(decode(jwt.split(".")[0])), claims_of(jwt)
    assert list(header) == ["alg", "jku", "kid", "typ"] and header["alg"] == "RS256", header
    assert list(claims) == sorted(claims) and claims["exp"] - claims["iat"] == 28800 and claims["nbf"] == claims["iat"]
    assert claims["iss"] == os.environ["ATTEST_INSTANCE_URL"]
    public = read(machine().path("key.pub"))
    modulus = public[-256:]
    expected = {"secureboot": True, "x-ms-attestation-type": "azurevm", "x-ms-azurevm-attestation-protocol-ver": "2.0", "x-ms-azurevm-attested-pcrs": list(range(8)),
                "x-ms-azurevm-is-windows": False, "x-ms-azurevm-ostype": "Linux", "x-ms-azurevm-osdistro": "Debian", "x-ms-azurevm-osbuild": "6.1",
                "x-ms-azurevm-osversion-major": 12, "x-ms-azurevm-osversion-minor": 5, "x-ms-ver": "1.0", "aikValidated": True, "pcrs-replayed": list(range(8)),
                "x-ms-runtime": {"client-payload": {"nonce": b64(b"fresh")},
                                 "keys": [{"e": "AQAB", "key_ops": ["encrypt"], "kid": "TpmEphemeralEncryptionKey", "kty": "RSA", "n": encode(modulus)}]}}
    assert {name: claims.get(name) for name in expected} == expected, claims
    assert "x-ms-isolation-tee" not in claims


def test_envelope_is_the_recorded_one():
    _, answer = post(machine().body())
    envelope = json.loads(decode(json.loads(answer)["token"]))
    assert set(envelope) == {"Jwt", "EncryptedInnerKey", "EncryptionParams", "AuthenticationData"}
    parameters = envelope["EncryptionParams"]
    assert set(parameters) == {"BlockMode", "BlockPadding", "Cipher", "Iv", "KeySizeInBits"}
    assert (parameters["BlockMode"], parameters["BlockPadding"], parameters["Cipher"], parameters["KeySizeInBits"]) == ("ChainingModeGCM", "PKCS7", "AES", 256)
    assert len(base64.b64decode(parameters["Iv"])) == 12 and len(base64.b64decode(envelope["AuthenticationData"])) == 16


def test_two_answers_share_no_key():
    envelopes = [json.loads(decode(json.loads(post(machine().body())[1])["token"])) for _ in range(2)]
    for name in ("Jwt", "EncryptedInnerKey"):
        assert envelopes[0][name] != envelopes[1][name]
    assert envelopes[0]["EncryptionParams"]["Iv"] != envelopes[1]["EncryptionParams"]["Iv"]


def test_spelling_of_the_outer_member_does_not_count():
    body = json.loads(machine().body())
    assert post(json.dumps({"attestationInfo": body["AttestationInfo"]}).encode())[0] == 200
    padded = base64.urlsafe_b64encode(decode(body["AttestationInfo"])).decode()
    assert post(json.dumps({"AttestationInfo": padded}).encode())[0] == 200


def test_quote_with_qualifying_data_is_refused():
    refused(machine().body(qualification="c0ffee"), "PcrQuote")


def flipped(name, at=-1):
    data = bytearray(read(machine().path(name)))
    data[at] ^= 1
    return b64(bytes(data))


def test_one_bit_of_each_signed_piece_is_noticed():
    for member, name in (("PcrQuote", "quote"), ("PcrSignature", "quote.sig"), ("EncKeyCertifyInfoSignature", "certify.sig")):
        machine().info()
        refused(machine().body(tpm={member: flipped(name)}), member.replace("Signature", "").replace("Pcr", "Pcr") if member != "PcrSignature" else "PcrQuote")
    certification = bytearray(read(machine().path("certify")))
    certification[-1] ^= 1
    refused(machine().body(tpm={"EncKeyCertifyInfo": b64(bytes(certification))}), "EncKeyCertifyInfo")


def test_pcr_that_is_another_is_noticed():
    info = machine().info()
    value = bytearray(base64.b64decode(info["TpmInfo"]["PCRs"][4]["Digest"]))
    value[0] ^= 1
    info["TpmInfo"]["PCRs"][4]["Digest"] = b64(bytes(value))
    refused(json.dumps({"AttestationInfo": encode(json.dumps(info).encode())}).encode(), "PcrQuote")


def test_pcr_sets_that_differ_are_refused():
    refused(machine().body(tpm={"PcrSet": [0, 1, 2]}), "PcrSet")


def test_key_that_was_not_certified_is_refused():
    """A key of the same template whose private part we know, in software."""
    with tempfile.TemporaryDirectory() as directory:
        key = os.path.join(directory, "key.pem")
        subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", key], check=True, capture_output=True)
        text = subprocess.run(["openssl", "rsa", "-in", key, "-noout", "-modulus"], check=True, capture_output=True, text=True).stdout
    public = read(machine().path("key.pub"))
    refused(machine().body(tpm={"EncKeyPub": b64(public[:-256] + bytes.fromhex(text.strip().split("=")[1]))}), "EncKeyCertifyInfo")


def refused_key(word, *arguments, **options):
    other = guest.Guest.__new__(guest.Guest)
    other.directory = machine().directory
    other.make_key(*arguments, **options)
    try:
        refused(other.body(), "EncKeyPub", word)
    finally:
        other.make_key()


def test_key_that_may_leave_the_tpm_is_refused():
    refused_key("stays there", "decrypt|sensitivedataorigin|noda")


def test_key_that_opens_without_the_quoted_pcrs_is_refused():
    refused_key("by its policy alone", "decrypt|fixedtpm|fixedparent|sensitivedataorigin|noda|userwithauth")
    refused_key("over the quoted PCRs", pcrs="sha256:0,1,2,3,4,5,6")


def test_attestation_key_that_signs_anything_is_refused():
    """An unrestricted key signs what somebody made up: its public area with the attribute taken away."""
    public = bytearray(read(machine().path("ak.pub")))
    attributes, = struct.unpack_from(">I", public, 6)
    struct.pack_into(">I", public, 6, attributes & ~(1 << 16))
    refused(machine().body(tpm={"AikPub": b64(bytes(public))}), "AikPub")


def test_certificate_for_another_key_is_refused_and_of_another_authority_told():
    ca = os.path.join(BED, "other-ca")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", ca + ".key", "-out", ca + ".pem", "-subj", "/CN=other", "-days", "2"],
                   check=True, capture_output=True)
    own = read(machine().path("ak.pem"))
    der = os.path.join(BED, "other.der")
    subprocess.run(["openssl", "x509", "-new", "-force_pubkey", machine().path("ak.pem"), "-subj", "/CN=guest", "-CA", ca + ".pem", "-CAkey", ca + ".key", "-days", "2",
                    "-outform", "DER", "-out", der], check=True, capture_output=True)
    assert own
    claims = claims_of(machine().open(post(machine().body(tpm={"AikCert": b64(read(der))}))[1]))
    assert claims["aikValidated"] is False and claims["aikNotValidatedReason"], claims
    self_signed = subprocess.run(["openssl", "x509", "-in", ca + ".pem", "-outform", "DER"], check=True, capture_output=True).stdout
    refused(machine().body(tpm={"AikCert": b64(self_signed)}), "AikCert")


def test_log_that_does_not_explain_the_pcrs_proves_nothing():
    log = bytearray(read(os.path.join(BED, "boot.log")))
    name = "SecureBoot".encode("utf-16-le")
    log[log.index(name) + len(name)] = 0
    claims = claims_of(machine().open(post(machine().body(TcgLogs=b64(bytes(log))))[1]))
    assert claims["secureboot"] is False
    claims = claims_of(machine().open(post(machine().body(TcgLogs=""))[1]))
    assert claims["secureboot"] is False and claims["pcrs-replayed"] == []
    refused(machine().body(TcgLogs=b64(bytes(log[:-3]))), "TcgLogs")


def test_report_of_a_confidential_vm_has_to_vouch_for_this_vtpm():
    """A real report of another machine: it holds, but is about another attestation key."""
    if not os.path.exists(HCL):
        raise bed.Skip("no test vectors")
    report = read(HCL)
    size, = struct.unpack_from("<I", report, 0x4D0)
    runtime, proof = report[0x4D4:0x4D4 + size], {"SnpReport": encode(report[0x20:0x20 + 1184]), "VcekCertChain": ""}
    evidence = {"Proof": b64(json.dumps(proof).encode()), "RunTimeData": b64(runtime)}
    refused(machine().body(IsolationInfo={"Type": "SevSnp", "Evidence": evidence}), "HCLAkPub")
    evidence["RunTimeData"] = b64(runtime + b" ")
    refused(machine().body(IsolationInfo={"Type": "SevSnp", "Evidence": evidence}), "SHA-256 of RunTimeData")
    refused(machine().body(IsolationInfo={"Type": "Tdx", "Evidence": evidence}), "TDX")
    refused(machine().body(IsolationInfo={"Type": "Nitro"}), "TrustedLaunch")


def test_report_whose_runtime_names_this_vtpm_is_taken_and_called_unverified():
    """The signature of the report is AMD's and not looked at; so it can be made to bind ours."""
    if not os.path.exists(HCL):
        raise bed.Skip("no test vectors")
    report = bytearray(read(HCL)[0x20:0x20 + 1184])
    modulus = read(machine().path("ak.pub"))[-256:]
    runtime = json.dumps({"keys": [{"kid": "HCLAkPub", "key_ops": ["sign"], "kty": "RSA", "e": "AQAB", "n": encode(modulus)}],
                          "vm-configuration": {"vmUniqueId": "70F5CE9A-2BDC-4B6B-8401-E9B964D3AEB7"}}).encode()
    report[0x50:0x90] = hashlib.sha256(runtime).digest() + bytes(32)
    proof = {"SnpReport": encode(bytes(report)), "VcekCertChain": ""}
    body = machine().body(IsolationInfo={"Type": "SevSnp", "Evidence": {"Proof": b64(json.dumps(proof).encode()), "RunTimeData": b64(runtime)}})
    claims = claims_of(machine().open(post(body)[1]))
    tee = claims["x-ms-isolation-tee"]
    assert claims["x-ms-azurevm-vmid"] == "70F5CE9A-2BDC-4B6B-8401-E9B964D3AEB7" and tee["x-ms-compliance-status"] == "unverified", claims
    assert tee["x-ms-attestation-type"] == "sevsnpvm" and tee["x-ms-runtime"] == json.loads(runtime)
    assert tee["x-ms-sevsnpvm-reportdata"] == hashlib.sha256(runtime).hexdigest() + "00" * 32
    assert tee["x-ms-sevsnpvm-launchmeasurement"] == bytes(report[0x90:0xC0]).hex() and tee["x-ms-sevsnpvm-reportid"] == bytes(report[0x140:0x160]).hex()
    policy, = struct.unpack_from("<Q", report, 8)
    assert tee["x-ms-sevsnpvm-is-debuggable"] is bool(policy >> 19 & 1) and tee["x-ms-sevsnpvm-smt-allowed"] is bool(policy >> 16 & 1)


def test_requests_that_are_none_are_refused_by_name():
    info = machine().info()
    for path in (["AttestationProtocolVersion"], ["OSType"], ["OSVersionMajor"], ["TpmInfo"], ["TpmInfo", "AikCert"], ["TpmInfo", "AikPub"], ["TpmInfo", "PcrQuote"],
                 ["TpmInfo", "PcrSignature"], ["TpmInfo", "EncKeyPub"], ["TpmInfo", "EncKeyCertifyInfo"], ["TpmInfo", "EncKeyCertifyInfoSignature"], ["TpmInfo", "PCRs"],
                 ["TpmInfo", "PcrSet"], ["IsolationInfo"], ["IsolationInfo", "Type"]):
        changed = json.loads(json.dumps(info))
        at = changed
        for name in path[:-1]:
            at = at[name]
        del at[path[-1]]
        refused(json.dumps({"AttestationInfo": encode(json.dumps(changed).encode())}).encode(), path[-1])
    refused(b"{}", "AttestationInfo")
    refused(json.dumps({"AttestationInfo": encode(b"[]")}).encode(), "AttestationInfo")
    refused(b"no json")


def test_forgery_strikes_this_token_too():
    set_faults("other:token=wrong-issuer@1")
    claims = claims_of(machine().open(post(machine().body())[1]))
    assert claims["iss"] != os.environ["ATTEST_INSTANCE_URL"]
    set_faults()


bed.run(globals())
