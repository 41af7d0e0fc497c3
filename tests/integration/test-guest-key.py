#!/usr/bin/env python3
"""Evidence of guest attestation (CollectGuest of the private bus), its ephemeral key, and decryption with it (GuestDecrypt).

Real swtpm, real collector. Structures are taken apart by struct, from TPM 2.0 Part 2 and the template of the key; openssl verifies and encrypts, tpm2-tools
tell what the PCRs hold.

usage: test-guest-key.py COLLECTOR-CLIENT
"""
import contextlib
import hashlib
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import bed
from collector import Client, folder, machine_logs, pcrread, setup
from judge import HASHES, judge_tpm_signature, openssl, parse_attest, parse_public, take_tpm2b
from swtpm import CC_QUOTE, Proxy, extend_command

CC_CREATE_PRIMARY, CC_POLICY_PCR, CC_RSA_DECRYPT = 0x131, 0x17F, 0x159
ST_CERTIFY, ST_QUOTE = 0x8017, 0x8018
# Part 2 §8.3: fixedTPM, fixedParent, sensitiveDataOrigin, noDA, decrypt
ATTRIBUTES = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 10 | 1 << 17
SELECTION = bytes.fromhex("00000001" "000b" "03" "ff0000")   # TPML_PCR_SELECTION: PCRs 0-7 of SHA-256
SECRET = bytes(range(32))


@contextlib.contextmanager
def guest(banks="sha256", **settings):
    """A machine with logs, and a client of a collector there."""
    with setup(banks) as it:
        machine_logs(it, banks=banks)
        with Client(it, it.config(**settings)) as client:
            yield it, client


def values_now(it):
    """PCRs 0-7, by tpm2_pcrread."""
    pcrs = pcrread(it)
    return [bytes.fromhex(pcrs[str(i)]) for i in range(8)]


def policy(values):
    """Part 3 §23.7, from a policy session that has seen nothing yet."""
    return hashlib.sha256(bytes(32) + struct.pack(">I", CC_POLICY_PCR) + SELECTION + hashlib.sha256(b"".join(values)).digest()).digest()


def template(values):
    """TPMT_PUBLIC up to the 256 octets of unique.rsa."""
    return struct.pack(">HHIH", 0x0001, 0x000B, ATTRIBUTES, 32) + policy(values) + struct.pack(">HHHIH", 0x0010, 0x0010, 2048, 0, 256)


def judge_public(area, values):
    """The template bit for bit; the modulus alone is the TPM's. Gives the key for openssl."""
    begin = template(values)
    assert area[:len(begin)] == begin and len(area) == len(begin) + 256, (area.hex(), begin.hex())
    assert area[len(begin)] & 0x80, "the modulus has 2048 bits"
    return parse_public(area).spki


def judge_evidence(it, evidence, values):
    """All that is signed is signed by the AIK, over no challenge. Gives the key for openssl."""
    part = {name: bytes.fromhex(evidence[name]) for name in ("quote", "quote_signature", "aik_public", "aik_name", "public", "certification", "signature")}
    aik, spki = parse_public(part["aik_public"]).spki, judge_public(part["public"], values)
    assert part["aik_name"] == b"\0\x0b" + hashlib.sha256(part["aik_public"]).digest()

    judge_tpm_signature(part["signature"], part["certification"], aik)
    statement = parse_attest(part["certification"])
    assert (statement.kind, statement.extra_data) == (ST_CERTIFY, b""), statement
    name, rest = take_tpm2b(statement.rest)
    assert name == b"\0\x0b" + hashlib.sha256(part["public"]).digest(), (name, part["public"])
    qualified, rest = take_tpm2b(rest)
    assert rest == b""
    # Part 1 §16: of a primary key, H(handle of the hierarchy || name); 0x40000007 is the NULL hierarchy
    assert qualified == b"\0\x0b" + hashlib.sha256(bytes.fromhex("40000007") + name).digest(), qualified

    alg = judge_tpm_signature(part["quote_signature"], part["quote"], aik)
    statement = parse_attest(part["quote"])
    assert (statement.kind, statement.extra_data) == (ST_QUOTE, b""), statement
    digest = hashlib.new(alg, b"".join(values)).digest()
    assert statement.rest == SELECTION + struct.pack(">H", len(digest)) + digest, statement
    assert evidence["pcrs"] == {"sha256": {str(i): value.hex() for i, value in enumerate(values)}}, evidence["pcrs"]
    return spki


def encrypt(it, spki, secret=SECRET):
    return openssl("pkeyutl", "-encrypt", "-pubin", "-keyform", "der", "-inkey", it.write("guest.der", spki), "-pkeyopt", "rsa_padding_mode:pkcs1",
                   "-in", it.write("secret", secret))


def collect(it, client):
    return judge_evidence(it, client.ok("guest"), values_now(it))


def nothing_is_left(it):
    for kind in ("transient", "loaded-session", "saved-session"):
        assert it.swtpm.tool("tpm2_getcap", f"handles-{kind}") == "", kind


def decrypts(it, client, ciphertext, secret=SECRET):
    assert client.ok(f"guest-decrypt {ciphertext.hex()}")["plaintext"] == secret.hex()
    nothing_is_left(it)


def refuses(it, client, ciphertext, code, *words):
    answer = client.fails(f"guest-decrypt {ciphertext.hex() or '-'}", code, *words)
    assert "plaintext" not in answer, answer
    nothing_is_left(it)
    client.ok("ping")


def test_evidence_is_as_guest_attestation_wants_it():
    with guest() as (it, client):
        evidence = client.ok(f"guest {folder(it, 'out')}")
        judge_evidence(it, evidence, values_now(it))
        assert len(set(values_now(it))) > 2, "the PCRs hold something"
        nothing_is_left(it)
        with open(it.boot_log, "rb") as original, open(it.path("out/TCG"), "rb") as sent:
            assert original.read() == sent.read()
        assert list(evidence["logs"]) == ["TCG"] and evidence["boot_log_state"] == "ok" and evidence["ima_log_state"] == "off", evidence
        assert evidence["verdicts"][:8].count("replayed") + evidence["verdicts"][:8].count("unused") == 8, evidence["verdicts"]
        assert set(evidence["verdicts"][8:]) == {"not-quoted"}, evidence["verdicts"]
        assert (evidence["other_keys"], evidence["quote_retries"], evidence["aik_certificate"]) == (0, 0, ""), evidence
        assert evidence["boot_attestation_state"] == "none"


def test_what_is_configured_for_other_evidence_changes_nothing():
    for banks, tpm, log in (("sha256", ["Pcrs=10,14", "RequestKey=tpm", "AikAlgorithm=ecc-p256"], []),
                            ("sha256,sha384", ["PcrBank=sha384 sha256", "Pcrs=0-2"], []),
                            ("sha256", ["AikAlgorithm=ecc-p384"], ["ImaLog=/nonexistent", "ImaLogPolicy=required"])):
        with guest(banks, tpm=tpm, evidence=log) as (it, client):
            evidence = client.ok("guest")
            spki = judge_evidence(it, evidence, values_now(it))
            assert list(evidence["logs"]) == ["TCG"] and evidence["ima_log_state"] == "off", evidence
            scheme, alg = struct.unpack(">HH", bytes.fromhex(evidence["quote_signature"])[:4])
            assert (scheme, HASHES[alg]) == {"ecc-p2": (0x18, "sha256"), "ecc-p3": (0x18, "sha384")}.get(tpm[-1].split("=")[1][:6], (0x14, "sha256"))
            decrypts(it, client, encrypt(it, spki))


def test_certificate_of_the_attestation_key_goes_along():
    with guest() as (it, client):
        aik = parse_public(bytes.fromhex(client.ok("guest")["aik_public"])).spki
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", it.path("ca.key"), "-out", it.path("ca.pem"), "-subj", "/CN=ca", "-days", "2")
        openssl("req", "-new", "-key", it.path("ca.key"), "-out", it.path("any.csr"), "-subj", "/CN=any")
        pem = it.write("aik.pem", openssl("pkey", "-pubin", "-inform", "der", "-in", it.write("aik.der", aik)))
        openssl("x509", "-req", "-in", it.path("any.csr"), "-CA", it.path("ca.pem"), "-CAkey", it.path("ca.key"), "-CAcreateserial", "-force_pubkey", pem,
                "-days", "2", "-outform", "der", "-out", it.path("aik-certificate.der"))
        with Client(it, it.config(tpm=[f"AikCertificate={it.path('aik-certificate.der')}"])) as other:
            with open(it.path("aik-certificate.der"), "rb") as stream:
                assert bytes.fromhex(other.ok("guest")["aik_certificate"]) == stream.read()


def test_secret_for_the_key_comes_back():
    with guest() as (it, client):
        spki = collect(it, client)
        for secret in (SECRET, b"x", bytes(245), os.urandom(245)):
            decrypts(it, client, encrypt(it, spki, secret), secret)
        client.ok("reopen")   # a collector that knows nothing of the collection
        decrypts(it, client, encrypt(it, spki))


def test_key_stays_until_the_tpm_is_reset():
    with guest() as (it, client):
        spki = collect(it, client)
        ciphertext = encrypt(it, spki)
        assert collect(it, client) == spki
        client.ok("quote 01")
        decrypts(it, client, ciphertext)
        it.swtpm.extend(10, b"a PCR that the key is not bound to")
        assert collect(it, client) == spki
        decrypts(it, client, ciphertext)
    with setup() as it, Client(it) as client:
        spki = collect(it, client)
        ciphertext, values = encrypt(it, spki), values_now(it)
        it.swtpm.restart()
        assert values_now(it) == values
        refuses(it, client, ciphertext, "KEY_INVALID")
        assert collect(it, client) != spki, "another key, whatever the PCRs"
        refuses(it, client, ciphertext, "KEY_INVALID")


def test_pcr_that_moves_takes_the_key_away():
    with guest() as (it, client):
        spki = collect(it, client)
        ciphertext = encrypt(it, spki)
        it.swtpm.extend(7, b"measured later")
        refuses(it, client, ciphertext, "TPM_PCR_UNSTABLE", "PCRs 7 have moved")
        refuses(it, client, ciphertext, "TPM_PCR_UNSTABLE")
        client.ok("reopen")
        refuses(it, client, ciphertext, "KEY_INVALID", "TPM2_RSA_Decrypt")
        new = collect(it, client)
        assert new != spki
        decrypts(it, client, encrypt(it, new))
        refuses(it, client, ciphertext, "KEY_INVALID")


def test_what_is_no_ciphertext_is_refused():
    with guest() as (it, client):
        spki = collect(it, client)
        good = encrypt(it, spki)
        for bad in (bytes(256), b"\xff" * 256, b"\x01" * 256, good[:-1] + bytes([good[-1] ^ 1]), good[:-1], b"x", good + b"\0", good + good):
            refuses(it, client, bad, "KEY_INVALID")
        other = openssl("genpkey", "-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:2048", "-outform", "der")
        public = openssl("pkey", "-inform", "der", "-in", it.write("other.der", other), "-pubout", "-outform", "der")
        refuses(it, client, encrypt(it, public), "KEY_INVALID")
        for size in (0, 513, 4096):
            refuses(it, client, bytes(size), "INVALID_ARGUMENT", f"{size} bytes")
        decrypts(it, client, good)


def test_bank_that_is_missing_is_named():
    with guest("sha384", tpm=["PcrBank=sha384"]) as (it, client):
        client.ok("quote 01")
        client.fails("guest", "TPM_BANK_MISSING", "sha256")
        client.fails(f"guest-decrypt {bytes(256).hex()}", "TPM_BANK_MISSING", "sha256")
        nothing_is_left(it)


@contextlib.contextmanager
def watched():
    with setup() as it:
        machine_logs(it)
        proxy = Proxy(it.swtpm)
        with Client(it, it.config(proxy.tcti)) as client:
            yield it, client, proxy
        proxy.close()


def test_key_is_asked_for_as_the_template_says():
    """What the key is derived from, unique among it, does not show in its public area."""
    with watched() as (it, client, proxy):
        sent = []
        proxy.commands[CC_CREATE_PRIMARY] = lambda command: sent.append(command) or command
        ciphertext = encrypt(it, collect(it, client))
        decrypts(it, client, ciphertext)
        guests = [command for command in sent if command[10:14] == bytes.fromhex("40000007")]   # TPM_RH_NULL
        assert len(guests) == 2 and len(sent) == 3, [command.hex() for command in sent]   # the third is the storage key
        for command in guests:
            size = struct.unpack(">I", command[14:18])[0]
            sensitive, rest = take_tpm2b(command[18 + size:])
            public, rest = take_tpm2b(rest)
            assert sensitive == bytes(4) and public == template(values_now(it)) + bytes(256), command.hex()
            assert rest == bytes(2 + 4), rest   # outsideInfo, creationPCR: none


def test_pcr_that_moves_around_the_quote_costs_another_one():
    with watched() as (it, client, proxy):
        moves = [b"once"]
        proxy.hooks[CC_QUOTE] = lambda send: moves and send(extend_command(7, moves.pop()))
        evidence = client.ok("guest")
        assert evidence["quote_retries"] == 1 and proxy.counts[CC_QUOTE] == 2, evidence
        spki = judge_evidence(it, evidence, values_now(it))
        decrypts(it, client, encrypt(it, spki))
        proxy.hooks[CC_QUOTE] = lambda send: send(extend_command(0, b"for ever"))
        client.fails("guest", "TPM_PCR_UNSTABLE", "PCRs 0 moved")
        nothing_is_left(it)
        proxy.hooks[CC_QUOTE] = lambda send: send(extend_command(10, b"a busy machine"))
        assert client.ok("guest")["quote_retries"] == 0


def test_key_is_bound_to_what_was_quoted_and_not_to_what_came_after():
    with watched() as (it, client, proxy):
        before = values_now(it)
        proxy.after[CC_QUOTE] = lambda send: send(extend_command(3, b"after the quote"))
        spki = judge_evidence(it, client.ok("guest"), before)
        proxy.after.clear()
        refuses(it, client, encrypt(it, spki), "TPM_PCR_UNSTABLE", "PCRs 3 have moved")


def test_pcrs_that_move_around_the_decryption():
    with watched() as (it, client, proxy):
        ciphertext = encrypt(it, collect(it, client))
        moves = [b"one", b"two"]
        proxy.hooks[CC_RSA_DECRYPT] = lambda send: moves and send(extend_command(10, moves.pop()))
        decrypts(it, client, ciphertext)
        assert proxy.counts[CC_RSA_DECRYPT] == 3, "any PCR that moves ends the policy session"
        proxy.hooks[CC_RSA_DECRYPT] = lambda send: send(extend_command(10, b"for ever"))
        refuses(it, client, ciphertext, "TPM_PCR_UNSTABLE", "each of 5")
        moves = [b"one of the key's"]
        proxy.hooks[CC_RSA_DECRYPT] = lambda send: moves and send(extend_command(7, moves.pop()))
        refuses(it, client, ciphertext, "TPM_AUTHORIZATION", "TPM2_RSA_Decrypt")
        proxy.hooks.clear()
        refuses(it, client, ciphertext, "TPM_PCR_UNSTABLE", "PCRs 7 have moved")


bed.need_testbed = lambda: None   # these tests bring their own TPM
bed.run(globals())
