"""An Azure guest client of its own: tpm2-tools on the testbed's TPM, struct, and AES-GCM of libcrypto. What attest/AzureGuest wants and gives, without our code.

The encryption key is what Microsoft's client makes: a primary of the null hierarchy, bound to PCRs 0-7.
"""
import base64
import ctypes
import json
import os
import re
import struct
import subprocess

from bed import tpm

PCRS = "sha256:0,1,2,3,4,5,6,7"


def b64(data):
    return base64.b64encode(data).decode()


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def read(path):
    with open(path, "rb") as file:
        return file.read()


def aes_gcm_open(key, iv, aad, ciphertext, tag):
    """The plaintext, or None."""
    crypto = ctypes.CDLL("libcrypto.so.3")
    for name in ("EVP_CIPHER_CTX_new", "EVP_aes_256_gcm"):
        getattr(crypto, name).restype = ctypes.c_void_p
    context = ctypes.c_void_p(crypto.EVP_CIPHER_CTX_new())
    size, out = ctypes.c_int(), ctypes.create_string_buffer(len(ciphertext) + 16)
    assert crypto.EVP_DecryptInit_ex(context, ctypes.c_void_p(crypto.EVP_aes_256_gcm()), None, key, iv) == 1
    assert crypto.EVP_DecryptUpdate(context, None, ctypes.byref(size), aad, len(aad)) == 1
    assert crypto.EVP_DecryptUpdate(context, out, ctypes.byref(size), ciphertext, len(ciphertext)) == 1
    crypto.EVP_CIPHER_CTX_ctrl(context, 0x11, 16, ctypes.create_string_buffer(tag, 16))   # EVP_CTRL_AEAD_SET_TAG
    fine = crypto.EVP_DecryptFinal_ex(context, ctypes.create_string_buffer(16), ctypes.byref(size)) == 1
    crypto.EVP_CIPHER_CTX_free(context)
    return out.raw[:len(ciphertext)] if fine else None


class Guest:
    def __init__(self, directory, ca):
        self.directory = directory
        os.makedirs(directory, exist_ok=True)
        self.make_aik(ca)
        self.make_key()

    def path(self, name):
        return os.path.join(self.directory, name)

    def run(self, *command):
        """There is no resource manager: what a tool leaves in the TPM's few slots goes at once. Contexts are in files."""
        tpm(*command)
        tpm("tpm2_flushcontext", "-t")

    def make_aik(self, ca):
        """ca: (certificate, key), PEM."""
        self.run("tpm2_createek", "-c", self.path("ek.ctx"), "-G", "rsa")
        self.run("tpm2_createak", "-C", self.path("ek.ctx"), "-c", self.path("ak.ctx"), "-G", "rsa", "-g", "sha256", "-s", "rsassa", "-u", self.path("ak.pub"),
            "-r", self.path("ak.priv"), "-n", self.path("ak.name"))
        self.run("tpm2_readpublic", "-c", self.path("ak.ctx"), "-f", "pem", "-o", self.path("ak.pem"))
        with open(self.path("ext"), "w") as file:
            file.write("extendedKeyUsage=2.23.133.8.3\nkeyUsage=critical,digitalSignature\n")
        subprocess.run(["openssl", "x509", "-new", "-force_pubkey", self.path("ak.pem"), "-subj", "/CN=guest", "-CA", ca[0], "-CAkey", ca[1], "-days", "2",
                        "-extfile", self.path("ext"), "-outform", "DER", "-out", self.path("ak.der")], check=True, capture_output=True)
        self.flush()

    def flush(self):
        tpm("tpm2_flushcontext", "-l")
        tpm("tpm2_flushcontext", "-s")

    def make_key(self, attributes="decrypt|fixedtpm|fixedparent|sensitivedataorigin|noda", pcrs=PCRS):
        self.run("tpm2_startauthsession", "-S", self.path("trial.ctx"))
        self.run("tpm2_policypcr", "-S", self.path("trial.ctx"), "-l", pcrs, "-L", self.path("policy"))
        self.run("tpm2_flushcontext", self.path("trial.ctx"))
        self.run("tpm2_createprimary", "-C", "n", "-G", "rsa2048:null:null", "-g", "sha256", "-a", attributes, "-L", self.path("policy"), "-c", self.path("key.ctx"))
        self.run("tpm2_readpublic", "-c", self.path("key.ctx"), "-o", self.path("key.pub"))
        self.certify()
        self.flush()

    def load(self, context):
        """The handle: what a tool loads stays, as there is no resource manager."""
        before = set(re.findall(r"0x8[0-9A-Fa-f]+", tpm("tpm2_getcap", "handles-transient")))
        tpm("tpm2_readpublic", "-c", self.path(context))
        handle, = set(re.findall(r"0x8[0-9A-Fa-f]+", tpm("tpm2_getcap", "handles-transient"))) - before
        return int(handle, 16)

    def certify(self):
        """TPM2_Certify (Part 3 §18.2) by hand, for tpm2_certify has qualifying data of its own; here it is empty."""
        password = struct.pack(">IHBH", 0x40000009, 0, 0, 0)
        handles = struct.pack(">II", self.load("key.ctx"), self.load("ak.ctx"))
        command = handles + struct.pack(">I", 2 * len(password)) + password * 2 + struct.pack(">HH", 0, 0x0010)
        with open(self.path("command"), "wb") as file:
            file.write(struct.pack(">HII", 0x8002, len(command) + 10, 0x148) + command)
        response = b""
        while struct.unpack_from(">I", response, 6) == (0x922,) if response else True:   # TPM_RC_RETRY: once more
            tpm("tpm2_send", "-o", self.path("response"), self.path("command"))
            response = read(self.path("response"))
        self.flush()
        assert struct.unpack_from(">I", response, 6)[0] == 0, response
        size, = struct.unpack_from(">H", response, 14)
        attest, rest = response[16:16 + size], response[16 + size:]
        scheme, hashed, size = struct.unpack_from(">HHH", rest)
        assert (scheme, hashed) == (0x0014, 0x000B)
        for name, data in (("certify", attest), ("certify.sig", rest[6:6 + size])):
            with open(self.path(name), "wb") as file:
                file.write(data)

    def quote(self, qualification=""):
        options = ["-q", qualification] if qualification else []
        self.run("tpm2_quote", "-c", self.path("ak.ctx"), "-l", PCRS, "-g", "sha256", "-m", self.path("quote"), "-s", self.path("quote.sig"), "-f", "plain", *options)
        self.flush()

    def values(self):
        return [(int(number), bytes.fromhex(value)) for number, value in re.findall(r"(\d+) *: 0x([0-9A-Fa-f]{64})", tpm("tpm2_pcrread", PCRS))]

    def info(self, **changes):
        self.quote(changes.pop("qualification", ""))
        pcrs = self.values()
        info = {"AttestationProtocolVersion": "2.0", "OSType": b64(b"Linux"), "OSDistro": b64(b"Debian"), "OSBuild": b64(b"6.1"), "OSVersionMajor": 12, "OSVersionMinor": 5,
                "TcgLogs": b64(read(os.path.join(os.environ["TESTBED_DIR"], "boot.log"))), "ClientPayload": {"nonce": b64(b"fresh")},
                "TpmInfo": {"AikCert": b64(read(self.path("ak.der"))), "AikPub": b64(read(self.path("ak.pub"))), "PcrQuote": b64(read(self.path("quote"))),
                            "PcrSignature": b64(read(self.path("quote.sig"))), "EncKeyPub": b64(read(self.path("key.pub"))),
                            "EncKeyCertifyInfo": b64(read(self.path("certify"))), "EncKeyCertifyInfoSignature": b64(read(self.path("certify.sig"))),
                            "PcrSet": [number for number, _ in pcrs], "PCRs": [{"Index": number, "Digest": b64(value)} for number, value in pcrs]},
                "IsolationInfo": {"Type": "TrustedLaunch"}}
        info["TpmInfo"].update(changes.pop("tpm", {}))
        return info | changes

    def body(self, **changes):
        return json.dumps({"AttestationInfo": encode(json.dumps(self.info(**changes)).encode())}).encode()

    def inner_key(self, encrypted):
        with open(self.path("encrypted"), "wb") as file:
            file.write(encrypted)
        tpm("tpm2_startauthsession", "--policy-session", "-S", self.path("session.ctx"))
        tpm("tpm2_policypcr", "-S", self.path("session.ctx"), "-l", PCRS)
        self.run("tpm2_rsadecrypt", "-c", self.path("key.ctx"), "-s", "rsaes", "-p", "session:" + self.path("session.ctx"), "-o", self.path("inner"), self.path("encrypted"))
        tpm("tpm2_flushcontext", self.path("session.ctx"))
        self.flush()
        return read(self.path("inner"))

    def open(self, answer):
        """The JWT of an answer's body."""
        envelope = json.loads(decode(json.loads(answer)["token"]))
        parts = {name: base64.b64decode(envelope[name], validate=True) for name in ("Jwt", "EncryptedInnerKey", "AuthenticationData")}
        iv = base64.b64decode(envelope["EncryptionParams"]["Iv"], validate=True)
        return aes_gcm_open(self.inner_key(parts["EncryptedInnerKey"]), iv, b"Transport Key", parts["Jwt"], parts["AuthenticationData"]).decode()
