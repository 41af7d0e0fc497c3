"""Judges that share no code with the product: what JOSE and the TPM sign, verified by openssl; keys and structures taken apart by struct.

RFC 7515, 7517, 7518, 7638; TPM 2.0 Part 2 §10.12 (TPMS_ATTEST), §11.3 (TPMT_SIGNATURE), §12.2.4 (TPMT_PUBLIC).
"""
import base64
import collections
import hashlib
import json
import os
import struct
import subprocess
import tempfile

PSS = ("-sigopt", "rsa_padding_mode:pss")
HASHES = {0x0004: "sha1", 0x000B: "sha256", 0x000C: "sha384", 0x000D: "sha512"}
RSASSA, RSAPSS, ECDSA = 0x0014, 0x0016, 0x0018


def openssl(*arguments, data=None):
    return subprocess.run(["openssl", *arguments], input=data, check=True, capture_output=True).stdout


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def der(tag, content):
    size = bytes([len(content)]) if len(content) < 128 else bytes([0x82]) + struct.pack(">H", len(content))
    return bytes([tag]) + size + content


def der_integer(value):
    return der(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def take_tpm2b(data):
    size = struct.unpack(">H", data[:2])[0]
    assert len(data) >= 2 + size, (size, len(data))
    return data[2:2 + size], data[2 + size:]


def verifies(spki, message, signature, *options, alg="sha256"):
    """Does openssl take it for a signature over message by that key (DER)? Anything but yes and no is an error of the test."""
    with tempfile.TemporaryDirectory() as where:
        for name, content in (("key", spki), ("signature", signature)):
            with open(os.path.join(where, name), "wb") as file:
                file.write(content)
        done = subprocess.run(["openssl", "dgst", f"-{alg}", "-keyform", "der", "-verify", f"{where}/key", "-signature", f"{where}/signature", *options],
                              input=message, capture_output=True, check=False)
    assert done.stdout in (b"Verified OK\n", b"Verification failure\n"), done   # both go to stdout
    return done.returncode == 0


def another(data):
    return data[:-1] + bytes([data[-1] ^ 1])


def rsa_spki(n, e):
    """RFC 8017 §A.1.1 in RFC 5280 §4.1."""
    key = der(0x30, der_integer(int.from_bytes(n, "big")) + der_integer(int.from_bytes(e, "big")))
    return der(0x30, der(0x30, bytes.fromhex("06092a864886f70d0101010500")) + der(3, b"\0" + key))


EC_CURVES = {"P-256": (32, "06082a8648ce3d030107"), "P-384": (48, "06052b81040022")}   # octets of a coordinate, object identifier
TPM_CURVES = {3: "P-256", 4: "P-384"}


def ec_spki(curve, x, y):
    """RFC 5480 §2."""
    size, oid = EC_CURVES[curve]
    assert len(x) == len(y) == size, (curve, len(x), len(y))
    return der(0x30, der(0x30, bytes.fromhex("06072a8648ce3d0201" + oid)) + der(3, b"\0\4" + x + y))


def jwk_spki(jwk):
    if jwk["kty"] == "RSA":
        return rsa_spki(decode(jwk["n"]), decode(jwk["e"]))
    assert jwk["kty"] == "EC", jwk
    return ec_spki(jwk["crv"], decode(jwk["x"]), decode(jwk["y"]))


def thumbprint(jwk):
    """RFC 7638 §3: the required members alone, sorted, without blanks."""
    members = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y")}[jwk["kty"]]
    return encode(hashlib.sha256(json.dumps({name: jwk[name] for name in members}, separators=(",", ":"), sort_keys=True).encode()).digest())


def judge_ps256(jws, jwk):
    """(header, payload) of a compact JWS that is signed with PS256 by that RSA-2048 key: a salt of 32 octets, no more and no less (RFC 7518 §3.5)."""
    parts = jws.split(".")
    assert len(parts) == 3 and not any("=" in part for part in parts), jws
    header, payload, signature = (decode(part) for part in parts)
    header = json.loads(header)
    assert header["alg"] == "PS256" and len(signature) == 256, (header, len(signature))
    text, key = ".".join(parts[:2]).encode(), jwk_spki(jwk)
    assert len(decode(jwk["n"])) == 256 and verifies(key, text, signature, *PSS, "-sigopt", "rsa_pss_saltlen:32", "-sigopt", "rsa_mgf1_md:sha256")
    assert not verifies(key, text, signature, *PSS, "-sigopt", "rsa_pss_saltlen:222") and not verifies(key, text, signature)
    assert not verifies(key, another(text), signature, *PSS, "-sigopt", "rsa_pss_saltlen:32")
    return header, payload


Public = collections.namedtuple("Public", "kind name_alg attributes policy spki")


def parse_public(area):
    """A TPMT_PUBLIC of an RSA or ECC key."""
    kind, name_alg, attributes = struct.unpack(">HHI", area[:8])
    policy, rest = take_tpm2b(area[8:])
    symmetric, rest = struct.unpack(">H", rest[:2])[0], rest[2:]
    rest = rest if symmetric == 0x0010 else rest[4:]
    scheme, rest = struct.unpack(">H", rest[:2])[0], rest[2:]
    rest = rest if scheme == 0x0010 else rest[2:]
    if kind == 0x0001:
        bits, exponent = struct.unpack(">HI", rest[:6])
        n, rest = take_tpm2b(rest[6:])
        assert 8 * len(n) == bits and rest == b"", (bits, len(n), rest)
        return Public(kind, name_alg, attributes, policy, rsa_spki(n, (exponent or 65537).to_bytes(4, "big")))
    assert kind == 0x0023, hex(kind)
    curve, kdf = struct.unpack(">HH", rest[:4])
    assert kdf == 0x0010, hex(kdf)
    x, rest = take_tpm2b(rest[4:])
    y, rest = take_tpm2b(rest)
    assert rest == b"", rest
    return Public(kind, name_alg, attributes, policy, ec_spki(TPM_CURVES[curve], x, y))


Attest = collections.namedtuple("Attest", "kind extra_data rest")


def parse_attest(attest):
    """What is signed; rest begins with TPMU_ATTEST."""
    magic, kind = struct.unpack(">IH", attest[:6])
    assert magic == 0xFF544347, hex(magic)   # TPM_GENERATED_VALUE: no restricted key signs it for anything that is not the TPM's own
    _, rest = take_tpm2b(attest[6:])
    extra_data, rest = take_tpm2b(rest)
    return Attest(kind, extra_data, rest[17 + 8:])   # TPMS_CLOCK_INFO, firmwareVersion


def judge_tpm_signature(signature, attest, spki):
    """TPMT_SIGNATURE over attest, and over nothing else; gives the name of the hash."""
    scheme, alg = struct.unpack(">HH", signature[:4])
    value, rest = take_tpm2b(signature[4:])
    options = ()
    if scheme == ECDSA:
        s, rest = take_tpm2b(rest)
        value = der(0x30, der_integer(int.from_bytes(value, "big")) + der_integer(int.from_bytes(s, "big")))
    elif scheme == RSAPSS:
        options = (*PSS, "-sigopt", "rsa_pss_saltlen:-2")
    else:
        assert scheme == RSASSA, hex(scheme)
    assert rest == b"", rest
    assert verifies(spki, attest, value, *options, alg=HASHES[alg]), "the signature does not verify"
    assert not verifies(spki, another(attest), value, *options, alg=HASHES[alg])
    return HASHES[alg]


def judge_certify(certify, aik_spki, challenge, jwk):
    """info.tpm_certify: the AIK's word, in answer to the challenge, on the key that the JWK is. Gives its public area."""
    area, attest = decode(certify["public"]), decode(certify["certification"])
    public, statement = parse_public(area), parse_attest(attest)
    judge_tpm_signature(decode(certify["signature"]), attest, aik_spki)
    assert statement.kind == 0x8017 and statement.extra_data == challenge, statement   # TPM_ST_ATTEST_CERTIFY
    name, rest = take_tpm2b(statement.rest)
    assert name == struct.pack(">H", public.name_alg) + hashlib.new(HASHES[public.name_alg], area).digest(), (name, area)
    assert take_tpm2b(rest)[1] == b""
    assert public.spki == jwk_spki(jwk)
    return public
