#!/usr/bin/env python3
"""A quote of a real round, taken from the request on the wire, is accepted by tpm2_checkquote: AIK public key and extraData are recomputed here.

The instance keeps the bodies that it received (--capture DIR); decoding them here is independent of attestd's code.
"""
import base64
import hashlib
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import bed
from bed import *

CAPTURE = tempfile.TemporaryDirectory(prefix="attestd-capture-") if "TESTBED_DIR" not in os.environ else None
if CAPTURE:
    os.environ["CAPTURE_DIR"] = CAPTURE.name
bed.TESTBED_OPTIONS = ["--instance-option=--capture=" + os.environ["CAPTURE_DIR"]]


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def captured_request(nonce):
    """The payload of the request with that nonce: the text that was signed."""
    folder = os.environ["CAPTURE_DIR"]
    for name in sorted(os.listdir(folder), reverse=True):
        with open(os.path.join(folder, name), "rb") as body:
            inner = decode(json.load(body)["data"]).decode()
        payload = json.loads(inner)["payload"]
        if "request" in payload:
            text = decode(payload["request"].split(".")[1]).decode()
            if decode(json.loads(text)["att_data"]["rp_data"]).hex() == nonce:
                return text
    raise AssertionError("no request was captured")


def source_of_jwk(text):
    """The literal text of request_key.jwk: from its opening to its closing brace (a jwk holds no nested object)."""
    begin = text.index("{", text.index('"jwk"', text.index('"request_key"')))
    return text[begin:text.index("}", begin) + 1]


def rsa_pem(aik, folder):
    """PEM from n and e by openssl alone."""
    n, e = (int.from_bytes(decode(aik[part]), "big") for part in ("n", "e"))
    with open(f"{folder}/aik.asn1", "w") as text:
        text.write(f"asn1=SEQUENCE:spki\n[spki]\nalg=SEQUENCE:alg\nkey=BITWRAP,SEQUENCE:rsa\n[alg]\noid=OID:rsaEncryption\np=NULL\n"
                   f"[rsa]\nn=INTEGER:0x{n:x}\ne=INTEGER:0x{e:x}\n")
    subprocess.run(["openssl", "asn1parse", "-genconf", f"{folder}/aik.asn1", "-out", f"{folder}/aik.der", "-noout"], check=True)
    subprocess.run(["openssl", "pkey", "-pubin", "-inform", "DER", "-in", f"{folder}/aik.der", "-out", f"{folder}/aik.pem"], check=True)


def test_checkquote_accepts_a_quote_of_a_real_round():
    nonce = "00112233445566778899aabbccddeeff"
    attestctl("attest", "--nonce", nonce, check=0)
    text = captured_request(nonce)
    data = json.loads(text)["att_data"]
    folder = os.environ["TESTBED_DIR"]
    evidence = data["tpm_att_data"]["current_attestation"]
    qualifying = hashlib.sha256(source_of_jwk(text).encode() + b"\0" + decode(data["challenge"])).hexdigest()
    for name in ("quote", "signature"):
        with open(f"{folder}/{name}.bin", "wb") as out:
            out.write(decode(evidence[name]))
    rsa_pem(evidence["aik_pub"], folder)
    done = subprocess.run(["tpm2_checkquote", "-u", f"{folder}/aik.pem", "-m", f"{folder}/quote.bin", "-s", f"{folder}/signature.bin",
                           "-g", "sha256", "-q", qualifying], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    done = subprocess.run(["tpm2_checkquote", "-u", f"{folder}/aik.pem", "-m", f"{folder}/quote.bin", "-s", f"{folder}/signature.bin",
                           "-g", "sha256", "-q", "00" * 32], capture_output=True, text=True)
    assert done.returncode != 0, "a wrong nonce was accepted: this test could not fail"
    values = b"".join(decode(value["digest"]) for bank in evidence["pcrs"] for value in bank["values"])
    assert hashlib.sha256(values).digest() in decode(evidence["quote"]), "the PCR values do not give the quote's digest"


run(globals())
