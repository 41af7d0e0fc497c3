#!/usr/bin/env python3
"""Enrolment of the AIK by credential activation: attestctl, collector and instance on a real TPM (swtpm), each of them also against tpm2-tools, with
RSA and ECC endorsement keys; and everything that has to be refused. Certificates of endorsement keys other than swtpm's own are made with openssl."""
import base64
import contextlib
import json
import os
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import bed
import swtpm

CONFIG = os.environ.get("ATTESTD_CONFIG", "")
STATE = os.environ.get("STATE_DIRECTORY", "")
BED = os.environ.get("TESTBED_DIR", "")
WITH_INSTANCE = ("--instance", bed.INSTANCE_URL, "--ca-file", bed.INSTANCE_CA)
ACTIVATION_FAILED, MISMATCH = "CredentialActivationFailed", "EndorsementKeyMismatch"
TPM_ALG_RSA, TPM_ALG_ECC = 0x0001, 0x0023
FILE_MAGIC = bytes.fromhex("badcc0de00000001")   # of tpm2-tools' credential files
SECRET = bytes(range(32))


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def openssl(*arguments, data=None):
    return subprocess.run(["openssl", *arguments], input=data, check=True, capture_output=True).stdout


def aik(*arguments, check=0):
    status, out, err = bed.attestctl("aik", *arguments, "--config", CONFIG)
    assert status == check, (arguments, status, out, err)
    return out


def fails(name, *arguments):
    """attestctl aik ends with that error; gives its words."""
    status, out, err = bed.attestctl("aik", *arguments, "--config", CONFIG)
    assert status == bed.error_table()[name]["exit_status"] and f"({name})" in err and not out, (arguments, status, out, err)
    return err


def post(path, body):
    """(status, answer) of the instance."""
    context = ssl.create_default_context(cafile=bed.INSTANCE_CA)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(bed.INSTANCE_URL + path, data=data, method="POST"), context=context, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as answer:
        return answer.code, json.load(answer)


def refused(path, body):
    """The code of a refusal, after looking that it has words too."""
    status, answer = post(path, body)
    assert status == 400 and answer["error"]["message"], (status, answer)
    return answer["error"]["code"]


def request(*arguments):
    return json.loads(aik("request", *arguments))


def policy_claims():
    token = bed.attestctl("attest", check=0)[1].strip()
    return json.loads(decode(token.split(".")[1]))["x-ms-policy"]


def key_type(request_json):
    return struct.unpack(">H", decode(request_json["ek_public"])[:2])[0]


@contextlib.contextmanager
def folder():
    with tempfile.TemporaryDirectory() as path:
        yield path


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)
    return path


def loaded():
    return "".join(bed.tpm("tpm2_getcap", f"handles-{kind}") for kind in ("transient", "loaded-session", "saved-session"))


def tpm_state():
    """What must be the same after as before. attestd works on the same TPM now and then, so what is loaded gets time to go: nobody but its owner flushes it."""
    bed.wait_until(lambda: not loaded().strip(), 10, "objects and sessions are loaded in the TPM")
    return bed.tpm("tpm2_getcap", "handles-persistent")


def tpm2b(data):
    return struct.pack(">H", len(data)) + data


def create_primary(template):
    """TPMT_PUBLIC of the endorsement hierarchy's key of that template (TPM 2.0 Part 3 §24.1)."""
    authorization = struct.pack(">IHBH", 0x40000009, 0, 0, 0)
    body = struct.pack(">II", 0x4000000B, len(authorization)) + authorization + tpm2b(bytes(4)) + tpm2b(template) + tpm2b(b"") + struct.pack(">I", 0)
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(os.environ["TPM2TOOLS_TCTI"].split("path=", 1)[1])
        stream.sendall(struct.pack(">HII", 0x8002, 10 + len(body), 0x131) + body)
        answer = swtpm.read_message(stream)
        code, handle = struct.unpack(">II", answer[6:14])
        assert code == 0, hex(code)
        stream.sendall(struct.pack(">HIII", 0x8001, 14, 0x165, handle))
        assert struct.unpack(">I", swtpm.read_message(stream)[6:10]) == (0,)
    return answer[20:20 + struct.unpack(">H", answer[18:20])[0]]


def public_pem(public, where):
    """TPMT_PUBLIC as PEM, by tpm2-tools."""
    write(f"{where}/public.tpm", tpm2b(public))
    bed.tpm("tpm2_print", "-t", "TPM2B_PUBLIC", "-f", "pem", f"{where}/public.tpm", check=False)
    return subprocess.run(["tpm2_print", "-t", "TPM2B_PUBLIC", "-f", "pem", f"{where}/public.tpm"], check=True, capture_output=True).stdout


def make_certificate(where, public, issuer="testbed", days=30, usage="2.23.133.8.1"):
    """DER of a certificate for the TPMT_PUBLIC: of the CA that the instance trusts, or of one that nobody knows."""
    certificate, key = f"{BED}/ca/issuercert.pem", f"{BED}/ca/signkey.pem"
    if issuer != "testbed":
        certificate, key = f"{where}/other.pem", f"{where}/other.key"
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-subj", "/CN=nobody", "-days", "30")
    write(f"{where}/ek.pem", public_pem(public, where))
    openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{where}/any.key", "-out", f"{where}/any.csr", "-subj", "/CN=any")
    write(f"{where}/extensions", f"extendedKeyUsage={usage}\nbasicConstraints=critical,CA:FALSE\n".encode())
    return openssl("x509", "-req", "-in", f"{where}/any.csr", "-CA", certificate, "-CAkey", key, "-CAcreateserial", "-force_pubkey", f"{where}/ek.pem",
                   "-days", str(days), "-extfile", f"{where}/extensions", "-outform", "der")


@contextlib.contextmanager
def nv_index(where, index, data):
    path = write(f"{where}/nv", data)
    bed.tpm("tpm2_nvdefine", index, "-C", "o", "-s", str(len(data)), "-a", "ownerread|ownerwrite|authread|authwrite|no_da")
    try:
        bed.tpm("tpm2_nvwrite", index, "-C", "o", "-i", path)
        yield
    finally:
        bed.tpm("tpm2_nvundefine", index, "-C", "o")


def credential_from_tools(where, ek_public, name, secret=SECRET):
    """What tpm2_makecredential makes, as the JSON that attestctl reads."""
    write(f"{where}/ek.pub", tpm2b(ek_public))
    write(f"{where}/secret", secret)
    bed.tpm("tpm2_makecredential", "-T", "none", "-u", f"{where}/ek.pub", "-s", f"{where}/secret", "-n", name.hex(), "-o", f"{where}/credential")
    with open(f"{where}/credential", "rb") as file:
        data = file.read()
    assert data.startswith(FILE_MAGIC), data[:8]
    size = 2 + struct.unpack(">H", data[8:10])[0]
    answer = {"credential_blob": encode(data[8:8 + size]), "encrypted_secret": encode(data[8 + size:])}
    return write(f"{where}/answer.json", json.dumps(answer).encode())


# The round trip


def test_no_certificate_before_the_enrolment():
    bed.attestctl("wait", "--timeout", "60", check=0)
    claims = policy_claims()
    assert claims["aikValidated"] is False and claims["aikNotValidatedReason"], claims


def check_enrolment(algorithm, expected_type):
    before = tpm_state()
    assert key_type(request("--algorithm", algorithm)) == expected_type
    outcome = json.loads(aik("enroll", *WITH_INSTANCE, "--algorithm", algorithm, "--json"))
    der = decode(outcome["certificate"])
    with open(f"{STATE}/aik-certificate.der", "rb") as file:
        assert file.read() == der
    text = openssl("x509", "-inform", "der", "-noout", "-text", "-nameopt", "RFC2253", data=der).decode()
    assert "2.23.133.8.3" in text and "Digital Signature" in text and "CA:FALSE" in text, text
    with folder() as where:
        write(f"{where}/aik.der", der)
        openssl("x509", "-inform", "der", "-in", f"{where}/aik.der", "-out", f"{where}/aik.pem")
        openssl("verify", "-CAfile", f"{BED}/instance/aik-ca.pem", f"{where}/aik.pem")
    assert tpm_state() == before, (tpm_state(), before)
    return outcome


def test_enroll_with_rsa_validates_the_next_attestation_without_restart():
    outcome = check_enrolment("rsa", TPM_ALG_RSA)
    claims = policy_claims()
    assert claims["aikValidated"] is True and "aikNotValidatedReason" not in claims, claims
    assert outcome["subject"] == "CN=" + base64.b64decode(claims["aikPubHash"]).hex()
    assert outcome["issuer"] == "CN=attest-instance AIK CA"


def test_enroll_with_ecc_p384():
    os.unlink(f"{STATE}/aik-certificate.der")
    assert policy_claims()["aikValidated"] is False
    check_enrolment("ecc", TPM_ALG_ECC)
    assert policy_claims()["aikValidated"] is True


def test_enroll_with_ecc_p256_of_a_template_with_nonce():
    """The key that the TPM makes with the nonce in the template's unique field has to be the one of attestctl. (tpm2_createek 5.4 puts something else there.)"""
    nonce = bytes(range(1, 33))
    with folder() as where:
        plain = request("--algorithm", "ecc")
        bed.tpm("tpm2_createek", "-G", "ecc", "-c", f"{where}/ek.ctx", "-u", f"{where}/default.pub", "-f", "tpmt")
        with open(f"{where}/default.pub", "rb") as file:
            default = file.read()
        assert encode(default) != plain["ek_public"]   # P-384 until P-256 has a certificate
        with nv_index(where, "0x1c0000a", make_certificate(where, default)):
            assert request("--algorithm", "ecc")["ek_public"] == encode(default)
            check_enrolment("ecc", TPM_ALG_ECC)
        template = default[:-68] + tpm2b(bytes(32)) + tpm2b(bytes(32))
        with nv_index(where, "0x1c0000c", template), nv_index(where, "0x1c0000b", nonce):
            other = create_primary(default[:-68] + tpm2b(nonce) + tpm2b(bytes(32)))
            assert other != default
            with nv_index(where, "0x1c0000a", make_certificate(where, other)):
                assert request("--algorithm", "ecc")["ek_public"] == encode(other)
                check_enrolment("ecc", TPM_ALG_ECC)
            with nv_index(where, "0x1c0000a", make_certificate(where, default)):
                fails("EkCertificateInvalid", "request", "--algorithm", "ecc")


# Each half against tpm2-tools


def test_activate_gives_the_secret_of_tpm2_makecredential():
    before = tpm_state()
    for algorithm in ("rsa", "ecc"):
        asked = request("--algorithm", algorithm)
        with folder() as where:
            answer = credential_from_tools(where, decode(asked["ek_public"]), decode(asked["aik_name"]))
            assert aik("activate", answer) == SECRET.hex() + "\n"
            assert json.loads(aik("activate", answer, "--json")) == {"secret": SECRET.hex()}
    assert tpm_state() == before


def activate_with_tools(where, answer, ek):
    """tpm2_activatecredential with the AIK of ak.ctx."""
    write(f"{where}/blob", FILE_MAGIC + decode(answer["credential_blob"]) + decode(answer["encrypted_secret"]))
    policy = []
    if ek == "0x81010001":
        bed.tpm("tpm2_startauthsession", "--policy-session", "-S", f"{where}/session")
        bed.tpm("tpm2_policysecret", "-S", f"{where}/session", "-c", "e")
        policy = ["-P", f"session:{where}/session"]
    bed.tpm("tpm2_activatecredential", "-c", f"{where}/ak.ctx", "-C", ek, "-i", f"{where}/blob", "-o", f"{where}/plain", *policy)
    if policy:
        bed.tpm("tpm2_flushcontext", f"{where}/session")
    bed.tpm("tpm2_flushcontext", "-t")
    with open(f"{where}/plain", "rb") as file:
        return file.read()


def test_instance_credential_opens_with_tpm2_activatecredential():
    for algorithm, ek in (("rsa", "0x81010001"), ("ecc", "0x81010016")):
        asked = request("--algorithm", algorithm)
        with folder() as where:
            bed.tpm("tpm2_createprimary", "-C", "o", "-c", f"{where}/srk.ctx")
            bed.tpm("tpm2_create", "-C", f"{where}/srk.ctx", "-G", "ecc256:ecdsa-sha256:null", "-u", f"{where}/ak.pub", "-r", f"{where}/ak.priv", "-a",
                    "restricted|sign|fixedtpm|fixedparent|sensitivedataorigin|userwithauth")
            bed.tpm("tpm2_flushcontext", "-t")
            bed.tpm("tpm2_load", "-C", f"{where}/srk.ctx", "-u", f"{where}/ak.pub", "-r", f"{where}/ak.priv", "-c", f"{where}/ak.ctx")
            bed.tpm("tpm2_flushcontext", "-t")
            with open(f"{where}/ak.pub", "rb") as file:
                ak_public = file.read()[2:]
            status, answer = post("/aik/challenge", {**asked, "aik_public": encode(ak_public)})
            assert status == 200, answer
            secret = activate_with_tools(where, answer, ek)
            status, issued = post("/aik/certificate", {"context": answer["context"], "secret": encode(secret)})
            assert status == 200 and len(issued["chain"]) == 1, issued
            der = openssl("x509", "-inform", "der", "-pubkey", "-noout", data=decode(issued["certificate"]))
            assert der == public_pem(ak_public, where)


def test_files_do_what_enroll_does():
    with folder() as where:
        aik("request", "-o", f"{where}/request.json", "--algorithm", "rsa")
        with open(f"{where}/request.json", encoding="ascii") as file:
            status, answer = post("/aik/challenge", json.load(file))
        assert status == 200, answer
        write(f"{where}/challenge.json", json.dumps(answer).encode())
        secret = bytes.fromhex(aik("activate", f"{where}/challenge.json").strip())
        status, issued = post("/aik/certificate", {"context": answer["context"], "secret": encode(secret)})
        assert status == 200, issued
        write(f"{where}/certificate.json", json.dumps(issued).encode())
        os.unlink(f"{STATE}/aik-certificate.der")
        assert "issuer:  CN=attest-instance AIK CA" in aik("activate", f"{where}/certificate.json", "-o", f"{where}/aik.der")
        with open(f"{where}/aik.der", "rb") as copy, open(f"{STATE}/aik-certificate.der", "rb") as kept:
            assert copy.read() == kept.read() == decode(issued["certificate"])
    assert policy_claims()["aikValidated"] is True


# What has to be refused


def test_activate_wrong_name_is_refused_and_nothing_stays():
    before = tpm_state()
    for algorithm in ("rsa", "ecc"):
        asked = request("--algorithm", algorithm)
        name = bytearray(decode(asked["aik_name"]))
        name[-1] ^= 1
        with folder() as where:
            fails(ACTIVATION_FAILED, "activate", credential_from_tools(where, decode(asked["ek_public"]), bytes(name)))
    assert tpm_state() == before


def test_activate_credential_of_another_tpm_is_refused():
    before = tpm_state()
    asked = request("--algorithm", "rsa")
    for algorithm in ("rsa", "ecc"):
        with folder() as where:
            # another primary key of the same template: what another TPM has
            area = "restricted|decrypt|fixedtpm|fixedparent|sensitivedataorigin|userwithauth"
            bed.tpm("tpm2_createprimary", "-C", "n", "-G", {"rsa": "rsa2048:aes128cfb", "ecc": "ecc256:aes128cfb"}[algorithm], "-c", f"{where}/p.ctx", "-a", area)
            bed.tpm("tpm2_readpublic", "-c", f"{where}/p.ctx", "-o", f"{where}/other.pub", "-f", "tpmt")
            bed.tpm("tpm2_flushcontext", "-t")
            with open(f"{where}/other.pub", "rb") as file:
                fails(ACTIVATION_FAILED, "activate", credential_from_tools(where, file.read(), decode(asked["aik_name"])))
    assert tpm_state() == before


def test_activate_changed_or_cut_credential_is_refused():
    asked = request("--algorithm", "rsa")
    with folder() as where:
        path = credential_from_tools(where, decode(asked["ek_public"]), decode(asked["aik_name"]))
        with open(path, "rb") as file:
            good = json.load(file)
        for member in good:
            data = decode(good[member])
            for bad in (data[:-1], data + b"\0", data[:-1] + bytes([data[-1] ^ 1]), b""):
                fails(ACTIVATION_FAILED, "activate", write(f"{where}/bad.json", json.dumps({**good, member: encode(bad)}).encode()))
        assert aik("activate", path) == SECRET.hex() + "\n"


def test_challenge_names_what_is_wrong():
    asked = request("--algorithm", "rsa")
    ecc = request("--algorithm", "ecc")
    public = decode(asked["ek_public"])
    with folder() as where:
        good = encode(make_certificate(where, public))
        assert post("/aik/challenge", {**asked, "ek_certificate": good})[0] == 200
        cases = (
            (MISMATCH, {**asked, "ek_public": ecc["ek_public"]}),
            (MISMATCH, {**asked, "ek_certificate": ecc["ek_certificate"]}),
            ("EndorsementCertificateExpired", {**asked, "ek_certificate": encode(make_certificate(where, public, days=-1))}),
            ("EndorsementCertificateUntrusted", {**asked, "ek_certificate": encode(make_certificate(where, public, issuer="nobody"))}),
            ("EndorsementCertificateInvalid", {**asked, "ek_certificate": encode(make_certificate(where, public, usage="serverAuth"))}),
            ("EndorsementCertificateInvalid", {**asked, "ek_certificate": ""}),
            ("EndorsementCertificateInvalid", {**asked, "ek_certificate": encode(b"no certificate")}),
            ("EndorsementKeyInvalid", {**asked, "ek_public": asked["aik_public"]}),
            ("EndorsementKeyInvalid", {**asked, "ek_public": encode(public[:-1])}),
            ("AttestationKeyInvalid", {**asked, "aik_public": asked["ek_public"]}),
            ("AttestationKeyInvalid", {**asked, "aik_public": ""}),
            ("InvalidParameter", {}),
            ("InvalidParameter", {**asked, "ek_public": 1}),
            ("InvalidParameter", b"{"),
            ("InvalidParameter", b"[]"),
        )
        for code, body in cases:
            assert refused("/aik/challenge", body) == code, (code, refused("/aik/challenge", body))


@contextlib.contextmanager
def chain_in_nv(where, *pieces):
    """pieces of the chain in 0x01c00100 and following (TCG EK Credential Profile)."""
    with contextlib.ExitStack() as stack:
        for i, piece in enumerate(pieces):
            stack.enter_context(nv_index(where, hex(0x01c00100 + i), piece))
        yield


def make_intermediates(where):
    """Two authorities below the testbed's CA, made by openssl: DER of both, the lower one first, and the lower one's PEM and key for a leaf."""
    issuer, issuer_key, chain = f"{BED}/ca/issuercert.pem", f"{BED}/ca/signkey.pem", []
    write(f"{where}/ca.extensions", b"basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n")
    for name in ("upper", "lower"):
        certificate, key = f"{where}/{name}.pem", f"{where}/{name}.key"
        openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", f"{where}/{name}.csr", "-subj", f"/CN={name} authority")
        openssl("x509", "-req", "-in", f"{where}/{name}.csr", "-CA", issuer, "-CAkey", issuer_key, "-CAcreateserial", "-days", "30",
                "-extfile", f"{where}/ca.extensions", "-out", certificate)
        chain.insert(0, openssl("x509", "-in", certificate, "-outform", "der"))
        issuer, issuer_key = certificate, key
    return chain, issuer, issuer_key


def make_leaf(where, public, issuer, key):
    write(f"{where}/ek.pem", public_pem(public, where))
    openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{where}/any.key", "-out", f"{where}/any.csr", "-subj", "/CN=any")
    write(f"{where}/extensions", b"extendedKeyUsage=2.23.133.8.1\nbasicConstraints=critical,CA:FALSE\n")
    return openssl("x509", "-req", "-in", f"{where}/any.csr", "-CA", issuer, "-CAkey", key, "-CAcreateserial", "-force_pubkey", f"{where}/ek.pem",
                   "-days", "30", "-extfile", f"{where}/extensions", "-outform", "der")


def test_chain_in_nv_leads_the_instance_to_its_root():
    with folder() as where:
        bed.tpm("tpm2_createek", "-G", "ecc", "-c", f"{where}/ek.ctx", "-u", f"{where}/ek.pub", "-f", "tpmt")
        (lower, upper), issuer, key = make_intermediates(where)
        with open(f"{where}/ek.pub", "rb") as file:
            leaf = make_leaf(where, file.read(), issuer, key)
        with nv_index(where, "0x1c0000a", leaf):
            words = fails("ServiceRefused", "enroll", *WITH_INSTANCE, "--algorithm", "ecc")
            assert "EndorsementCertificateUntrusted" in words, words
            assert "ek_chain" not in request("--algorithm", "ecc")
            both = lower + upper
            ways = ((lower, upper), (both,), (both[:700], both[700:]), (lower + bytes(9), b"\xff" * 3 + upper + b"\xff" * 5), (upper, lower))
            for pieces in ways:
                with chain_in_nv(where, *pieces):
                    asked = request("--algorithm", "ecc")
                    assert decode(asked["ek_certificate"]) == leaf
                    assert decode(asked["ek_chain"]) == (upper + lower if pieces == (upper, lower) else both), [len(piece) for piece in pieces]
                    check_enrolment("ecc", TPM_ALG_ECC)
            with chain_in_nv(where, upper):   # a link is missing
                assert "EndorsementCertificateUntrusted" in fails("ServiceRefused", "enroll", *WITH_INSTANCE, "--algorithm", "ecc")
            with chain_in_nv(where, lower, b"no certificate"):
                status, out, err = bed.attestctl("aik", "request", "--algorithm", "ecc", "--config", CONFIG)
                assert status == 0 and "ek_chain" not in json.loads(out), (status, out)
                assert "0x01c00100" in err and "certificate 2" in err, err
        assert request("--algorithm", "rsa")["ek_certificate"] and "ek_chain" not in request("--algorithm", "rsa")


def test_challenge_with_a_chain_that_is_none_is_refused():
    asked = request("--algorithm", "rsa")
    assert post("/aik/challenge", {**asked, "ek_chain": ""})[0] == 200
    for chain in (b"no certificate", decode(asked["ek_certificate"])[:-1], decode(asked["ek_certificate"]) * 10):
        assert refused("/aik/challenge", {**asked, "ek_chain": encode(chain)}) == "EndorsementCertificateInvalid"
    assert refused("/aik/challenge", {**asked, "ek_chain": 1}) == "InvalidParameter"


def test_enroll_tells_the_instances_reason():
    """An expired certificate in NV, as attestctl shows it."""
    with folder() as where:
        bed.tpm("tpm2_createek", "-G", "ecc", "-c", f"{where}/ek.ctx", "-u", f"{where}/ek.pub", "-f", "tpmt")
        with open(f"{where}/ek.pub", "rb") as file:
            certificate = make_certificate(where, file.read(), days=-1)
        with nv_index(where, "0x1c0000a", certificate):
            words = fails("ServiceRefused", "enroll", *WITH_INSTANCE, "--algorithm", "ecc")
    assert "EndorsementCertificateExpired" in words and "has expired" in words, words


def test_certificate_needs_the_secret_and_the_context_works_once():
    asked = request("--algorithm", "rsa")

    def challenge(where):
        answer = post("/aik/challenge", asked)[1]
        path = write(f"{where}/answer.json", json.dumps(answer).encode())
        return answer["context"], encode(bytes.fromhex(aik("activate", path).strip()))

    with folder() as where:
        context, secret = challenge(where)
        assert refused("/aik/certificate", {"context": context, "secret": encode(SECRET)}) == "SecretWrong"
        assert refused("/aik/certificate", {"context": context, "secret": secret}) == "ContextInvalid"   # spent by the guess
        context, secret = challenge(where)
        assert refused("/aik/certificate", {"context": context, "secret": encode(decode(secret)[:-1])}) == "SecretWrong"
        context, secret = challenge(where)
        changed = context[:40] + ("A" if context[40] != "A" else "B") + context[41:]
        for bad in (changed, "", "A", context[:-8], "A" * 100000):
            assert refused("/aik/certificate", {"context": bad, "secret": secret}) == "ContextInvalid"
        assert post("/aik/certificate", {"context": context, "secret": secret})[0] == 200
        assert refused("/aik/certificate", {"context": context, "secret": secret}) == "ContextInvalid"
        assert refused("/aik/certificate", {"context": context}) == "InvalidParameter"


def test_store_certificate_of_another_key_is_refused_and_the_old_one_stays():
    with folder() as where, open(f"{STATE}/aik-certificate.der", "rb") as kept:
        before = kept.read()
        other = make_certificate(where, decode(request()["ek_public"]), usage="2.23.133.8.3")
        fails("AikCertificateInvalid", "activate", write(f"{where}/other.json", json.dumps({"certificate": encode(other)}).encode()))
        fails("AikCertificateInvalid", "activate", write(f"{where}/other.json", json.dumps({"certificate": encode(b"x")}).encode()))
        fails("InvalidArgument", "activate", write(f"{where}/other.json", b"{}"))
        with open(f"{STATE}/aik-certificate.der", "rb") as after:
            assert after.read() == before
    assert policy_claims()["aikValidated"] is True


def test_store_where_the_configuration_wants_another_certificate_is_refused():
    with folder() as where, open(CONFIG, encoding="utf-8") as file, open(f"{STATE}/aik-certificate.der", "rb") as kept:
        text = file.read()
        answer = write(f"{where}/certificate.json", json.dumps({"certificate": encode(kept.read())}).encode())
        for setting in ("AikCertificate=none", "AikHandle=0x81010001"):
            config = write(f"{where}/attestd.conf", text.replace("[TPM]\n", f"[TPM]\n{setting}\n").encode())
            status, _, err = bed.attestctl("aik", "activate", answer, "--config", config)
            wanted = "ConfigInvalid" if setting.startswith("AikC") else "TpmAikInvalid"
            assert status == bed.error_table()[wanted]["exit_status"], (setting, status, err)


def test_kept_certificate_that_does_not_fit_is_passed_over():
    path = f"{STATE}/aik-certificate.der"
    with open(path, "rb") as file:
        good = file.read()
    with folder() as where:
        for bad in (make_certificate(where, decode(request()["ek_public"])), b"", b"garbage"):
            write(path, bad)
            claims = policy_claims()
            assert claims["aikValidated"] is False and "no certificate" in claims["aikNotValidatedReason"], claims
    write(path, good)
    assert policy_claims()["aikValidated"] is True


def test_enroll_where_the_endorsement_keys_are_not_persistent():
    """The last one, since it takes them away: the keys that the default templates make have to be those that swtpm's manufacturer certified."""
    for handle in ("0x81010001", "0x81010016"):
        bed.tpm("tpm2_evictcontrol", "-C", "o", "-c", handle)
    assert "0x8101" not in bed.tpm("tpm2_getcap", "handles-persistent")
    check_enrolment("rsa", TPM_ALG_RSA)
    check_enrolment("ecc", TPM_ALG_ECC)


if __name__ == "__main__":
    bed.run(globals())
