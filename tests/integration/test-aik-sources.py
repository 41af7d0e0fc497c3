#!/usr/bin/env python3
"""Every source of an AIK, every kind of key and every combination of PCR banks: real swtpm, real collector, the local instance over real TLS.

usage: test-aik-sources.py COLLECTOR-CLIENT

Keys come from tpm2-tools, certificates and the verification of signatures from openssl, the expected PCR values from tpm2_pcrread.
"""
import base64
import contextlib
import datetime
import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import bed
from bed import ATTESTCTL, BUILD, COLLECTOR
from collector import Client, aik_pem, folder, machine_logs, pcrread, setup
from judge import HASHES, decode, der, judge_tpm_signature, openssl
from swtpm import ALGS, CC_CREATE, CC_PCR_READ, CC_QUOTE, Proxy, extend_command

ATTEST_INSTANCE = os.path.join(BUILD, "instance", "attest-instance")
PLATFORM_AIK, PLATFORM_CERTIFICATE = "0x81000003", "0x01C101D0"
CC_GET_CAPABILITY = 0x17A
AIK_ATTRIBUTES = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|sign|noda"
STORAGE_ATTRIBUTES = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt"
KINDS = {   # AikAlgorithm=: file, key of tpm2-tools, members of aik_pub, hash of the signature
    "rsa2048": ("aik.tpm2b", "rsa2048:rsassa-sha256:null", {"kty": "RSA", "size": 256}, "sha256"),
    "rsa3072": ("aik-rsa3072.tpm2b", "rsa3072:rsassa-sha256:null", {"kty": "RSA", "size": 384}, "sha256"),
    "ecc-p256": ("aik-ecc-p256.tpm2b", "ecc256:ecdsa-sha256:null", {"kty": "EC", "crv": "P-256", "size": 32}, "sha256"),
    "ecc-p384": ("aik-ecc-p384.tpm2b", "ecc384:ecdsa-sha384:null", {"kty": "EC", "crv": "P-384", "size": 48}, "sha384"),
}


def spki(pem):
    return openssl("pkey", "-pubin", "-in", pem, "-outform", "der")


# -- judges ----------------------------------------------------------------------------------------------------------------------------


def judge_quote(it, attest, signature, pem, banks):
    """The quote covers all PCRs of banks in that order, as tpm2_pcrread has them."""
    alg = judge_tpm_signature(signature, attest, spki(pem))
    values = b"".join(bytes.fromhex(pcrread(it, bank)[str(i)]) for bank in banks for i in range(24))
    tail = struct.pack(">I", len(banks)) + b"".join(struct.pack(">HB", ALGS[bank], 3) + b"\xff\xff\xff" for bank in banks)
    digest = hashlib.new(alg, values).digest()
    assert attest.endswith(tail + struct.pack(">H", len(digest)) + digest), (banks, alg, attest.hex())
    return alg


def judge_round(it, client, banks=("sha256",)):
    out = folder(it, "out")
    evidence = client.ok(f"quote 00aabb {out}")
    content = {name: open(os.path.join(out, name), "rb").read() for name in ("attest", "signature")}
    assert evidence["pcrs"] == {bank: pcrread(it, bank) for bank in banks}
    return judge_quote(it, content["attest"], content["signature"], aik_pem(it, out), banks), evidence


class Instance:
    """attest-instance; it keeps what it is sent."""

    def __init__(self, it, *options):
        self.it, self.capture = it, folder(it, "capture")
        self.process = subprocess.Popen([ATTEST_INSTANCE, "--listen", "127.0.0.1:0", "--state", it.path("instance"), "--capture", self.capture, *options],
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        line = self.process.stdout.readline()
        assert line.startswith("READY url="), line
        self.url = line.split("=", 1)[1].strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=30)
        self.process.stdout.close()

    def attest(self, *tpm):
        """The whole way: (claims of the token, current_attestation of the request)."""
        config = self.it.config(tpm=tpm, name="whole.conf")
        with open(config, "a") as text:
            text.write(f"[Instance]\nUrl={self.url}\nCaFile={self.it.path('instance/ca.pem')}\n")
        done = subprocess.run([ATTESTCTL, "attest", "--no-daemon", "--config", config, "--timeout", "0"], capture_output=True, text=True, timeout=120,
                              stdin=subprocess.DEVNULL, env=dict(os.environ, STATE_DIRECTORY=self.it.state, RUNTIME_DIRECTORY=folder(self.it, "run"),
                                                                 ATTESTD_COLLECTOR=os.path.abspath(COLLECTOR)))
        assert done.returncode == 0, done
        claims = json.loads(decode(done.stdout.strip().split(".")[1]))
        with open(os.path.join(self.capture, sorted(os.listdir(self.capture))[-1])) as body:
            inner = json.loads(decode(json.load(body)["data"]))
        request = json.loads(decode(inner["payload"]["request"].split(".")[1]))
        return claims, request["att_data"]["tpm_att_data"]["current_attestation"]


def find_claim(claims, name):
    found = [claims[name]] if name in claims else []
    for value in claims.values():
        if isinstance(value, dict) and name in value:
            found.append(value[name])
    assert found, f"{name} is not in {sorted(claims)}"
    return found[0]


def judge_whole(it, instance, pem, expected, banks, *tpm):
    """A token for that key, quoted in that way."""
    claims, sent = instance.attest(*tpm)
    assert base64.b64decode(find_claim(claims, "aikPubHash")) == hashlib.sha256(spki(pem)).digest()
    key = sent["aik_pub"]
    assert key["kty"] == expected["kty"] and key.get("crv") == expected.get("crv"), key
    point = [decode(key[member]) for member in (("n",) if expected["kty"] == "RSA" else ("x", "y"))]
    assert [len(number) for number in point] == [expected["size"]] * len(point), key
    assert spki(pem).find(b"".join(point)) > 0, "aik_pub is another key"
    assert [HASHES[bank["algorithm"]] for bank in sent["pcrs"]] == list(banks)
    judge_quote(it, decode(sent["quote"]), decode(sent["signature"]), pem, banks)
    return claims


# -- keys of our own -------------------------------------------------------------------------------------------------------------------


def test_own_key_of_each_algorithm_attests_and_stays():
    with setup() as it, Instance(it) as instance:
        machine_logs(it)
        names = {}
        for again in (False, True):
            for algorithm, (file_name, _, expected, alg) in KINDS.items():
                settings = ("AikHandle=own", f"AikAlgorithm={algorithm}")
                with Client(it, it.config(tpm=settings)) as client:
                    info = client.ok("info")
                    assert info["aik_origin"] == "own" and info["aik_notice"] == "", info
                    assert os.path.exists(os.path.join(it.state, file_name)), os.listdir(it.state)
                    assert judge_round(it, client)[0] == alg
                    assert names.setdefault(algorithm, info["aik_name"]) == info["aik_name"], "another key than before"
                if not again:
                    claims = judge_whole(it, instance, it.path("aik.pem"), expected, ["sha256"], *settings)
                    assert 7 in find_claim(claims, "pcrs-replayed") and 10 in find_claim(claims, "pcrs-replayed"), claims
        assert len(set(names.values())) == 4
        assert sorted(os.listdir(it.state)) == sorted(kind[0] for kind in KINDS.values())


def test_own_key_file_of_another_algorithm_is_kept_aside():
    with setup() as it:
        with Client(it, it.config(tpm=["AikAlgorithm=ecc-p256"])) as client:
            ecc = client.ok("info")
        for other in ("aik-ecc-p384.tpm2b", "aik.tpm2b"):
            shutil.copy(os.path.join(it.state, "aik-ecc-p256.tpm2b"), os.path.join(it.state, other))
        for algorithm, stem in (("ecc-p384", "aik-ecc-p384-"), ("rsa2048", "aik-")):
            with Client(it, it.config(tpm=[f"AikAlgorithm={algorithm}"])) as client:
                info = client.ok("info")
                assert f"holds no {algorithm} key" in info["aik_notice"] and info["aik_name"] != ecc["aik_name"], info
                judge_round(it, client)
            old = [name for name in os.listdir(it.state) if re.fullmatch(stem + r"[0-9a-f]{8}\.tpm2b\.old", name)]
            assert len(old) == 1, os.listdir(it.state)
            with open(os.path.join(it.state, old[0]), "rb") as kept, open(os.path.join(it.state, "aik-ecc-p256.tpm2b"), "rb") as original:
                assert kept.read() == original.read()


def test_own_key_is_used_beside_a_platform_key_where_asked_for():
    with setup() as it:
        make_persistent(it, PLATFORM_AIK)
        for handle, origin in (("auto", PLATFORM_AIK), ("own", "own")):
            with Client(it, it.config(tpm=[f"AikHandle={handle}"])) as client:
                assert client.ok("info")["aik_origin"] == origin
                judge_round(it, client)


def test_algorithm_that_the_tpm_does_not_have_is_named():
    answers = {"rsa3072": 0x2C4, "ecc-p384": 0x2E6}   # TPM_RC_VALUE and TPM_RC_CURVE of parameter 2, TPM 2.0 Part 2 §6.6
    with setup() as it:
        for algorithm, code in answers.items():
            with liar(it) as proxy, Client(it, it.config(proxy.tcti, tpm=[f"AikAlgorithm={algorithm}"])) as client:
                proxy.answers[CC_CREATE] = lambda _: struct.pack(">HII", 0x8001, 10, code)
                client.fails("info", "NOT_SUPPORTED", f"AikAlgorithm={algorithm}", f"rc 0x{code:x}")
                assert os.listdir(it.state) == []
                proxy.answers.clear()
                client.ok("info")
                os.unlink(os.path.join(it.state, KINDS[algorithm][0]))


# -- the platform's key, and others at handles -----------------------------------------------------------------------------------------


def make_persistent(it, handle, scheme="rsa2048:rsassa-sha256:null", attributes=AIK_ATTRIBUTES):
    it.swtpm.tool("tpm2_createprimary", "-C", "o", "-G", scheme, "-a", attributes, "-c", it.path("key.ctx"))
    it.swtpm.tool("tpm2_evictcontrol", "-C", "o", "-c", it.path("key.ctx"), handle)
    it.swtpm.tool("tpm2_readpublic", "-c", handle, "-f", "pem", "-o", it.path("handle.pem"))
    it.swtpm.tool("tpm2_flushcontext", "-t")
    return it.path("handle.pem")


def make_ca(it):
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", it.path("ca.key"), "-out", it.path("ca.pem"),
            "-subj", "/C=US/O=Widget, Inc./CN=Test AIK CA", "-days", "30")
    return it.path("ca.pem")


def make_certificate(it, pem):
    """DER of a certificate for that public key by the CA."""
    openssl("req", "-new", "-key", it.path("ca.key"), "-subj", "/CN=AIK of a machine", "-out", it.path("csr"))
    return openssl("x509", "-req", "-in", it.path("csr"), "-force_pubkey", pem, "-CA", it.path("ca.pem"), "-CAkey", it.path("ca.key"), "-CAcreateserial",
                   "-days", "7", "-outform", "der")


def with_dates(it, certificate, begins, ends):
    """The same with other dates, signed anew."""
    path = it.write("old.der", certificate)
    text = openssl("asn1parse", "-inform", "der", "-in", path).decode().splitlines()
    begin, head, size = next((int(line.split(":")[0]), int(line.split("hl=")[1].split()[0]), int(line.split("l=")[2].split()[0]))
                             for line in text if "d=1 " in line)
    tbs = certificate[begin:begin + head + size]
    times = [line.rsplit(":", 1)[1].encode() for line in text if "UTCTIME" in line]
    assert len(times) == 2 and tbs.count(times[0] + b"\x17\x0d" + times[1]) == 1, times
    tbs = tbs.replace(times[0] + b"\x17\x0d" + times[1], begins + b"\x17\x0d" + ends)
    signature = openssl("dgst", "-sha256", "-sign", it.path("ca.key"), data=tbs)
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")   # ecdsa-with-SHA256, RFC 5758 §3.2
    assert algorithm in tbs
    return der(0x30, tbs + algorithm + der(3, b"\0" + signature))


def provision_certificate(it, certificate, size=2048):
    """As Azure has it: an NV index larger than the certificate in it, and larger than what one TPM2_NV_Read gives."""
    it.swtpm.tool("tpm2_nvdefine", PLATFORM_CERTIFICATE, "-C", "o", "-s", str(size), "-a", "ownerread|ownerwrite|authread|authwrite|no_da")
    it.swtpm.tool("tpm2_nvwrite", PLATFORM_CERTIFICATE, "-C", "o", "-i", it.write("padded", certificate + bytes(size - len(certificate))))


def expires_usec(certificate):
    text = openssl("x509", "-inform", "der", "-noout", "-enddate", data=certificate).decode().strip().split("=", 1)[1]
    when = datetime.datetime.strptime(text, "%b %d %H:%M:%S %Y %Z").replace(tzinfo=datetime.timezone.utc)
    return int(when.timestamp()) * 1000000


def test_azure_layout_is_attested_and_validated():
    with setup() as it:
        machine_logs(it)
        root, pem = make_ca(it), make_persistent(it, PLATFORM_AIK)
        certificate = make_certificate(it, pem)
        provision_certificate(it, certificate)
        issuer = openssl("x509", "-inform", "der", "-noout", "-issuer", "-nameopt", "RFC2253", data=certificate).decode().strip().split("=", 1)[1]
        with Client(it) as client:
            info = client.ok("info")
            assert info["aik_origin"] == PLATFORM_AIK and info["aik_notice"] == "" and info["aik_certificate"] == certificate.hex(), info
            assert info["aik_certificate_issuer"] == issuer and "Widget\\, Inc." in issuer, (info, issuer)
            assert info["aik_certificate_expires_usec"] == expires_usec(certificate), info
            judge_round(it, client)
        with Client(it, it.config(tpm=["AikCertificate=none"])) as client:
            info = client.ok("info")
            assert info["aik_certificate_issuer"] == "" and info["aik_certificate_expires_usec"] == 0, info
        with Instance(it, "--aik-root", root) as instance:
            claims = judge_whole(it, instance, pem, KINDS["rsa2048"][2], ["sha256"])
            assert find_claim(claims, "aikValidated") is True, claims
            claims, _ = instance.attest("AikCertificate=none")
            assert find_claim(claims, "aikValidated") is False, claims
        assert os.listdir(it.state) == []


def test_certificate_out_of_date_is_a_notice_and_goes_along():
    with setup() as it:
        root, pem = make_ca(it), make_persistent(it, PLATFORM_AIK)
        good = make_certificate(it, pem)
        with Instance(it, "--aik-root", root) as instance:
            for begins, ends, words, reason in ((b"200101000000Z", b"210203040506Z", "has expired at 2021-02-03T04:05:06Z", "expired"),
                                                (b"480101000000Z", b"490101000000Z", "is not valid before 2048-01-01T00:00:00Z", "not yet valid"),
                                                (b"200101000000Z", b"490101000000Z", "", "")):
                certificate = with_dates(it, good, begins, ends)
                settings = [f"AikCertificate={it.write('aik.der', certificate)}"]
                with Client(it, it.config(tpm=settings)) as client:
                    info = client.ok("info")
                    assert words in info["aik_notice"] and bool(info["aik_notice"]) == bool(words), info
                    assert not words or "Test AIK CA" in info["aik_notice"], info
                    assert info["aik_certificate"] == certificate.hex() and info["aik_certificate_expires_usec"] == expires_usec(certificate), info
                    assert judge_round(it, client)[1]["aik_certificate"] == certificate.hex()
                claims, _ = instance.attest(*settings)
                assert find_claim(claims, "aikValidated") is (not words), claims
                assert reason in (find_claim(claims, "aikNotValidatedReason") if words else ""), claims


def test_platform_ec_key_is_used_where_ec_is_asked_for():
    with setup() as it, Instance(it) as instance:
        pem = make_persistent(it, PLATFORM_AIK, KINDS["ecc-p256"][1])
        for settings in ([], ["AikAlgorithm=rsa3072"]):
            with Client(it, it.config(tpm=settings)) as client:
                info = client.ok("info")
                assert info["aik_origin"] == "own" and "EC key" in info["aik_notice"] and PLATFORM_AIK in info["aik_notice"], info
                judge_round(it, client)
        for settings in (["AikAlgorithm=ecc-p256"], ["AikAlgorithm=ecc-p384"], [f"AikHandle={PLATFORM_AIK}"]):
            with Client(it, it.config(tpm=settings)) as client:
                info = client.ok("info")
                assert info["aik_origin"] == PLATFORM_AIK and info["aik_notice"] == "", info
                judge_round(it, client)
            judge_whole(it, instance, pem, KINDS["ecc-p256"][2], ["sha256"], *settings)


def test_ec_key_with_certificate_is_validated():
    with setup() as it:
        root, pem = make_ca(it), make_persistent(it, "0x81000123", KINDS["ecc-p384"][1])
        provision_certificate(it, make_certificate(it, pem))
        with Instance(it, "--aik-root", root) as instance:
            claims = judge_whole(it, instance, pem, KINDS["ecc-p384"][2], ["sha256"], "AikHandle=0x81000123")
            assert find_claim(claims, "aikValidated") is True, claims


def test_key_at_a_handle_attests_with_every_scheme():
    schemes = [kind[1] for kind in KINDS.values()] + ["rsa2048:rsapss-sha256:null", "rsa2048:rsassa-sha384:null", "ecc256:ecdsa-sha384:null"]
    expected = [kind[2] for kind in KINDS.values()] + [KINDS["rsa2048"][2], KINDS["rsa2048"][2], KINDS["ecc-p256"][2]]
    with setup() as it, Instance(it) as instance:
        for i, (scheme, members) in enumerate(zip(schemes, expected)):
            handle = f"0x8100100{i}"
            pem = make_persistent(it, handle, scheme)
            with Client(it, it.config(tpm=[f"AikHandle={handle}"])) as client:
                assert client.ok("info")["aik_origin"] == handle
                assert judge_round(it, client)[0] in scheme, scheme
            judge_whole(it, instance, pem, members, ["sha256"], f"AikHandle={handle}")


def test_key_that_cannot_attest_is_named_with_what_it_lacks():
    with setup() as it:
        cases = (("rsa2048:rsassa-sha256:null", AIK_ATTRIBUTES.replace("restricted|", ""), "lacks the attribute restricted"),
                 ("ecc256:ecdsa-sha256:null", AIK_ATTRIBUTES.replace("restricted|", ""), "lacks the attribute restricted"),
                 ("rsa2048:rsassa-sha256:null", AIK_ATTRIBUTES.replace("fixedtpm|fixedparent|", ""), "lacks the attribute fixedTPM"),
                 ("ecc256:aes128cfb", STORAGE_ATTRIBUTES, "lacks the attribute sign"),
                 ("rsa2048:aes128cfb", STORAGE_ATTRIBUTES, "lacks the attribute sign"),
                 ("rsa2048", AIK_ATTRIBUTES.replace("restricted|sign", "sign|decrypt"), "lacks the attribute restricted"))
        for i, (scheme, attributes, words) in enumerate(cases):
            handle = f"0x8100200{i}"
            make_persistent(it, handle, scheme, attributes)
            with Client(it, it.config(tpm=[f"AikHandle={handle}"])) as client:
                for line in ("info", "quote 01"):
                    client.fails(line, "TPM_AIK_INVALID", handle, words)


# -- wrapped keys in files -------------------------------------------------------------------------------------------------------------


def make_wrapped(it, name, scheme, attributes=AIK_ATTRIBUTES):
    """tpm2_create below the standard storage key, parts one behind the other; returns (file, PEM)."""
    if not os.path.exists(it.path("unique")):
        number = struct.pack("<H", 32) + bytes(128)   # TPM2B_ECC_PARAMETER as tpm2-tools has it in memory
        it.write("unique", 2 * number)
    it.swtpm.tool("tpm2_createprimary", "-C", "o", "-g", "sha256", "-G", "ecc256:aes128cfb", "-a", STORAGE_ATTRIBUTES, "-u", it.path("unique"),
                  "-c", it.path("primary.ctx"))
    it.swtpm.tool("tpm2_create", "-C", it.path("primary.ctx"), "-G", scheme, "-a", attributes, "-u", it.path("k.pub"), "-r", it.path("k.priv"),
                  "-f", "pem", "-o", it.path(f"{name}.pem"))
    it.swtpm.tool("tpm2_flushcontext", "-t")
    content = open(it.path("k.pub"), "rb").read() + open(it.path("k.priv"), "rb").read()
    return it.write(name, content), it.path(f"{name}.pem")


def test_wrapped_key_of_each_kind_attests():
    with setup() as it, Instance(it) as instance:
        for i, (_, scheme, expected, alg) in enumerate(KINDS.values()):
            path, pem = make_wrapped(it, f"key{i}", scheme)
            before = open(path, "rb").read()
            with Client(it, it.config(tpm=[f"AikHandle=file:{path}"])) as client:
                info = client.ok("info")
                assert info["aik_origin"] == f"file:{path}" and info["aik_notice"] == "", info
                assert judge_round(it, client)[0] == alg
            judge_whole(it, instance, pem, expected, ["sha256"], f"AikHandle=file:{path}")
            assert open(path, "rb").read() == before
        assert os.listdir(it.state) == [], "a key was made though one was named"


def test_wrapped_key_that_cannot_be_used_is_an_error_and_left_alone():
    with setup() as it, setup() as other:
        good, _ = make_wrapped(it, "good", "rsa2048:rsassa-sha256:null")
        foreign, _ = make_wrapped(other, "foreign", "rsa2048:rsassa-sha256:null")
        content = open(good, "rb").read()
        plain, _ = make_wrapped(it, "plain", "ecc256:ecdsa-sha256:null", AIK_ATTRIBUTES.replace("restricted|", ""))
        cases = ((it.path("nothing"), "TPM_AIK_MISSING", "no such file"), (foreign, "TPM_AIK_INVALID", "another TPM"),
                 (plain, "TPM_AIK_INVALID", "restricted"), (it.write("short", content[:-1]), "TPM_AIK_INVALID", "TPM2B_PRIVATE"),
                 (it.write("long", content + b"x"), "TPM_AIK_INVALID", "too many"), (it.write("empty", b""), "TPM_AIK_MISSING", "no key"),
                 (it.write("huge", bytes(100000)), "TPM_AIK_INVALID", "too large"))
        for path, code, words in cases:
            before = open(path, "rb").read() if os.path.exists(path) else None
            with Client(it, it.config(tpm=[f"AikHandle=file:{path}"])) as client:
                for line in ("info", "quote 01"):
                    client.fails(line, code, path, words)
            assert before is None or open(path, "rb").read() == before
        with Client(it, it.config(tpm=[f"AikHandle=file:{good}"])) as client:
            judge_round(it, client)
        assert os.listdir(it.state) == []


# -- banks -----------------------------------------------------------------------------------------------------------------------------

ALL_BANKS = "sha1,sha256,sha384,sha512"
COMBINATIONS = (("sha1",), ("sha256",), ("sha384",), ("sha512",), ("sha256", "sha384"), ("sha1", "sha256"), ("sha512", "sha256"),
                ("sha384", "sha1", "sha512", "sha256"))


def test_each_combination_of_banks_is_one_quote():
    with setup(ALL_BANKS) as it, Instance(it) as instance:
        machine_logs(it, banks=ALL_BANKS)
        it.swtpm.extend(11, b"something", ALL_BANKS.split(","))
        for banks in COMBINATIONS:
            setting = "PcrBank=" + " ".join(banks)
            with Client(it, it.config(tpm=[setting])) as client:
                assert client.ok("info")["pcr_bank"] == " ".join(banks)
                _, evidence = judge_round(it, client, banks)
                assert evidence["verdicts"][10] == "replayed" and evidence["verdicts"][7] == "replayed" and evidence["verdicts"][11] == "unexplained", evidence
                assert evidence["ima_log_state"] == "ok" and evidence["boot_log_state"] == "ok" and evidence["quote_retries"] == 0, evidence
            claims = judge_whole(it, instance, it.path("aik.pem"), KINDS["rsa2048"][2], banks, setting)
            strongest = max(banks, key=lambda bank: hashlib.new(bank).digest_size)
            assert find_claim(claims, "pcrBank") == strongest and 10 in find_claim(claims, "pcrs-replayed"), claims


def test_two_banks_and_an_ec_key_with_sha384_go_together():
    with setup("sha256,sha384") as it, Instance(it) as instance:
        machine_logs(it, banks="sha256,sha384")
        settings = ("AikAlgorithm=ecc-p384", "PcrBank=sha256 sha384")
        with Client(it, it.config(tpm=settings)) as client:
            assert judge_round(it, client, ("sha256", "sha384"))[0] == "sha384"
        judge_whole(it, instance, it.path("aik.pem"), KINDS["ecc-p384"][2], ["sha256", "sha384"], *settings)


def ima_entry(path):
    """(an ima-ng entry of the binary list, its template data): the kernel extends each bank with that bank's hash of the data (since 5.8)."""
    data = b"".join(struct.pack("<I", len(field)) + field for field in (b"sha256:\0" + hashlib.sha256(path).digest(), path + b"\0"))
    return struct.pack("<I", 10) + hashlib.sha1(data).digest() + struct.pack("<I", 6) + b"ima-ng" + struct.pack("<I", len(data)) + data, data


def test_ima_entries_around_a_quote_of_two_banks_need_no_second_quote():
    banks = ("sha256", "sha384")
    with setup(",".join(banks)) as it, liar(it) as proxy:
        machine_logs(it, banks=",".join(banks))
        number = iter(range(1000))

        def measure(send):
            entry, data = ima_entry(b"/usr/bin/program-%d" % next(number))
            with open(it.ima_log, "ab") as log:
                log.write(entry)
            assert send(extend_command(10, data, banks))[6:10] == bytes(4)

        proxy.hooks[CC_QUOTE] = proxy.after[CC_QUOTE] = proxy.hooks[CC_PCR_READ] = measure
        with Client(it, it.config(proxy.tcti, tpm=["PcrBank=" + " ".join(banks)])) as client:
            for _ in range(3):
                out = folder(it, "out")
                evidence = client.ok(f"quote 0b {out}")
                assert evidence["quote_retries"] == 0 and evidence["verdicts"][10] == "replayed" and evidence["ima_log_state"] == "ok", evidence
                values = b"".join(bytes.fromhex(evidence["pcrs"][bank][str(i)]) for bank in banks for i in range(24))
                with open(os.path.join(out, "attest"), "rb") as attest:
                    assert attest.read().endswith(hashlib.sha256(values).digest())
        assert next(number) >= 9


def test_verdict_is_on_the_strongest_bank_whatever_its_place():
    """The logs know SHA-256 alone: they explain a quote of that bank and not one that has SHA-384 too."""
    for banks, verdict, state in (("sha256", "replayed", "ok"), ("sha256 sha384", "unexplained", "mismatch"), ("sha384 sha256", "unexplained", "mismatch")):
        with setup("sha256,sha384") as it:
            machine_logs(it)
            for pcr in range(8):
                it.swtpm.extend(pcr, b"not in the log", ["sha384"])
            with Client(it, it.config(tpm=[f"PcrBank={banks}", "Pcrs=0-7"])) as client:
                evidence = client.ok("quote 01")
                assert evidence["verdicts"][7] == verdict and evidence["boot_log_state"] == state, (banks, evidence)
                assert state == "ok" or "sha384" in evidence["boot_log_reason"], evidence


def test_missing_bank_of_a_list_is_named():
    with setup("sha256") as it, Client(it, it.config(tpm=["PcrBank=sha256 sha384"])) as client:
        client.fails("quote 01", "TPM_BANK_MISSING", "sha384")


def test_list_that_makes_no_sense_is_an_invalid_configuration():
    with setup("sha256") as it:
        for value in ("sha256 auto", "sha256 sha256", "md5", "sha256, sha384"):
            done = subprocess.run([COLLECTOR, f"--config={it.config(tpm=[f'PcrBank={value}'])}", "--bus-fd=0"], capture_output=True, text=True, timeout=20,
                                  stdin=subprocess.DEVNULL)
            assert done.returncode != 0 and "PcrBank" in done.stderr and "with blanks in between" in done.stderr, done


@contextlib.contextmanager
def liar(it):
    proxy = Proxy(it.swtpm)
    try:
        yield proxy
    finally:
        proxy.close()


def claim_sha384(answer):
    """TPM2_GetCapability of PCRs: the unallocated SHA-384 bank has them all."""
    empty, full = (struct.pack(">HB", ALGS["sha384"], 3) + bits for bits in (bytes(3), b"\xff" * 3))
    return answer.replace(empty, full)


def test_selection_that_the_tpm_cuts_is_an_error_with_words():
    def without_pcr_5(command):   # the last bitmap's first byte
        return command[:-3] + bytes([command[-3] & ~(1 << 5)]) + command[-2:]

    def without_last_bank(command):
        return command[:-3] + bytes(3)

    cases = (("commands", CC_PCR_READ, without_pcr_5, "sha256", ("TPM2_PCR_Read", "PCRs 5 ", "sha256")),
             ("answers", CC_GET_CAPABILITY, claim_sha384, "sha256 sha384", ("TPM2_PCR_Read", "PCRs 0-23 ", "sha384")),
             ("commands", CC_QUOTE, without_pcr_5, "sha256", ("asked to quote PCRs sha256:0-23", "sha256:0-4,6-23")),
             ("commands", CC_QUOTE, without_last_bank, "sha1 sha256", ("asked to quote PCRs", "sha1:0-23")))
    with setup("sha1,sha256") as it:
        for kind, code, lie, banks, words in cases:
            with liar(it) as proxy, Client(it, it.config(proxy.tcti, tpm=[f"PcrBank={banks}"])) as client:
                getattr(proxy, kind)[code] = lie
                client.fails("quote 01", "TPM_PCR_SELECTION", *words)
                getattr(proxy, kind).clear()
                if "sha384" not in banks:
                    client.ok("quote 02")


bed.need_testbed = lambda: None   # these tests bring their own TPM
bed.run(globals())
