#!/usr/bin/env python3
"""The key that signs requests and that tokens are bound to, in software and in the TPM, with RSA and EC AIKs; OtherKeys=; attestctl sign.

Real swtpm, real daemon with its collector, the local instance, which keeps what it is sent. Everything that is signed or certified is verified with
openssl, everything that is derived is computed in tests/support/judge.py from the specifications.
"""
import base64
import contextlib
import grp
import hashlib
import json
import os
import pwd
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import bed
import judge
from bed import ATTESTCTL, ATTESTD, COLLECTOR, Skip, attestctl, error_table, wait_until
from judge import PSS, another, decode, jwk_spki, judge_certify, judge_ps256, openssl, parse_attest, parse_public, take_tpm2b, thumbprint
from swtpm import Proxy

CAPTURES = None if "ATTESTD_TEST_CAPTURES" in os.environ else tempfile.TemporaryDirectory(prefix="attestd-captures.")
CAPTURE = os.environ.setdefault("ATTESTD_TEST_CAPTURES", CAPTURES.name if CAPTURES else "")
bed.TESTBED_OPTIONS = ["--no-daemon", "--instance-option=--capture", f"--instance-option={CAPTURE}"]

BED = os.environ.get("TESTBED_DIR", "")
CONFIG = os.environ.get("ATTESTD_CONFIG", "")
STATE = os.environ.get("STATE_DIRECTORY", "")
KEY_FILE = os.path.join(STATE, "request-key.tpm2b")
AIK_FILES = {"rsa2048": "aik.tpm2b", "ecc-p256": "aik-ecc-p256.tpm2b"}
SLOW = 60   # patience: sanitizer builds on a busy machine
CODES = {name: item["exit_status"] for name, item in error_table().items()} if BED else {}
CC_RSA_DECRYPT, CC_SIGN, CC_CERTIFY = 0x159, 0x15D, 0x148
# TPM 2.0 Part 2 §8.3: fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, noDA, decrypt, sign; and not restricted
REQUEST_KEY_ATTRIBUTES = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 10 | 1 << 17 | 1 << 18
SIGNING = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|sign"
STORAGE_ATTRIBUTES = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt"


# The programs


def settings_text(settings):
    text = ""
    for name, value in settings.items():
        section, key = name.split("_")
        text += f"[{section}]\n{key}={value}\n"
    return text


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)
    return path


def read(path):
    with open(path, "rb") as file:
        return file.read()


def loaded():
    return "".join(bed.tpm("tpm2_getcap", f"handles-{kind}") for kind in ("transient", "loaded-session", "saved-session")).strip()


class Daemon:
    """attestd and its collector, with drop-ins as Section_Key=value; ends with nothing left in the TPM."""

    def __init__(self, wait=True, fresh=False, **settings):
        self.drop_in, self.wait = CONFIG + ".d/99-test.conf", wait
        if fresh:
            shutil.rmtree(os.path.join(os.environ["RUNTIME_DIRECTORY"], "tokens"), ignore_errors=True)
        write(self.drop_in, settings_text(settings).encode())
        self.log_path = os.path.join(BED, "log", "attestd")
        self.log_begin = os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0
        self.log_file = open(self.log_path, "ab")
        self.process = subprocess.Popen([ATTESTD, "--config=" + CONFIG, "--collector=" + COLLECTOR], stdin=subprocess.DEVNULL, stdout=self.log_file,
                                        stderr=self.log_file)

    def __enter__(self):
        try:
            if self.wait:
                attestctl("wait", "--timeout", str(SLOW), check=0)
            else:
                wait_until(lambda: attestctl("status")[0] == 0, SLOW, "attestd")
        except AssertionError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=SLOW)
        self.log_file.close()
        os.unlink(self.drop_in)
        assert code == 0, f"attestd ended with {code}"
        assert loaded() == "", f"left in the TPM: {loaded()}"

    def log(self):
        return read(self.log_path)[self.log_begin:].decode()

    def collector(self):
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as text:
            return [int(word) for word in text.read().split()]


def ask_for_renewal():
    done = subprocess.run(["busctl", "--address=" + os.environ["DBUS_SYSTEM_BUS_ADDRESS"], "call", "org.attestd1", "/org/attestd1/profile/default",
                           "org.attestd1.Profile", "Renew"], capture_output=True, text=True, timeout=SLOW, check=False)
    assert done.returncode == 0, done


def renew():
    """The next token."""
    old = token()
    ask_for_renewal()
    return wait_until(lambda: token() not in (old, None) and token(), SLOW, "a new token")


def token():
    code, out, _ = attestctl("token")
    return out.strip() if code == 0 else None


def claims(text):
    return json.loads(decode(text.split(".")[1]))


def sign(payload=b"what was asked for", *arguments, program=ATTESTCTL, **how):
    done = subprocess.run([program, "sign", *arguments], input=payload, capture_output=True, timeout=SLOW, check=False, **how)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def prove(payload=b"what was asked for", *arguments):
    code, out, err = sign(payload, *arguments)
    assert code == 0 and err == "" and out.endswith("\n"), (code, out, err)
    return out[:-1]


def judge_proof(proof, payload, jwk):
    header, signed = judge_ps256(proof, jwk)
    assert header == {"alg": "PS256", "typ": "attestd-proof+jws", "kid": thumbprint(jwk)} and signed == payload, (header, signed)


def fails(done, name, *words):
    code, out, err = done
    assert code == CODES[name] and f"({name})" in err and out == "", (done, name)
    for word in words:
        assert word in err, (word, err)


# What the instance was sent


def last_captured():
    return json.loads(read(os.path.join(CAPTURE, max(os.listdir(CAPTURE)))))


def judge_request(aik_algorithm, kind):
    """The last request: signed by its own request key, which is bound to the TPM's evidence in the way of its kind. (JWK, att_data, challenge, AIK)."""
    jws = json.loads(decode(last_captured()["data"]))["payload"]["request"]
    text = decode(jws.split(".")[1]).decode()
    att_data = json.loads(text)["att_data"]
    key, challenge = att_data["request_key"], decode(att_data["challenge"])
    header, _ = judge_ps256(jws, key["jwk"])
    assert header == {"alg": "PS256", "typ": "attReqV2"} and len(challenge) == 16, (header, challenge)
    evidence = att_data["tpm_att_data"]["current_attestation"]
    aik = own_aik(aik_algorithm)
    quote = decode(evidence["quote"])
    judge.judge_tpm_signature(decode(evidence["signature"]), quote, aik)
    assert jwk_spki(evidence["aik_pub"]) == aik
    if kind == "tpm":
        assert list(key["info"]) == ["tpm_certify"], key["info"]
        public = judge_certify(key["info"]["tpm_certify"], aik, challenge, key["jwk"])
        assert public.kind == 1 and public.attributes == REQUEST_KEY_ATTRIBUTES and public.policy == b"", public
        assert parse_public(take_tpm2b(read(KEY_FILE))[0]) == public
        assert parse_attest(quote).extra_data == challenge
    else:
        assert key["info"] == {"tpm_quote": {"hash_alg": "sha-256"}}, key["info"]
        literal = re.search(r'"request_key":\{"jwk":(\{[^}]*\})', text).group(1)   # its very bytes are hashed
        assert parse_attest(quote).extra_data == hashlib.sha256(literal.encode() + b"\0" + challenge).digest()
    return key["jwk"], att_data, challenge, aik


def own_aik(algorithm):
    """SubjectPublicKeyInfo of the AIK in the state directory, by tpm2-tools."""
    with tempfile.TemporaryDirectory() as where:
        area = take_tpm2b(read(os.path.join(STATE, AIK_FILES[algorithm])))[0]
        write(f"{where}/area", area)
        pem = write(f"{where}/pem", bed.tpm("tpm2_print", "-t", "TPMT_PUBLIC", "-f", "pem", f"{where}/area").encode())
        spki = openssl("pkey", "-pubin", "-in", pem, "-outform", "der")
    assert spki == parse_public(area).spki   # judge.py agrees with tpm2-tools
    return spki


def policy_object(public):
    return {"tpm_certify": {"name_alg": public.name_alg, "obj_attr": public.attributes}}


def judge_token(text, jwk, kind):
    """The token is bound to that key, and says how it was vouched for."""
    told = claims(text)
    assert told["cnf"]["jwk"] == told["x-ms-tpm-request-key"]["jwk"] == {name: jwk[name] for name in ("kty", "n", "e")}, (told, jwk)
    info = {"tpm_certify": {"name_alg": 0x000B, "obj_attr": REQUEST_KEY_ATTRIBUTES}} if kind == "tpm" else {"tpm_quote": {"hash_alg": "sha-256"}}
    assert told["x-ms-tpm-request-key"]["info"] == info, told["x-ms-tpm-request-key"]
    return told


# Each kind of request key, with each kind of AIK


def test_each_request_key_with_each_aik_is_bound_and_signs():
    seen = {}
    for algorithm in ("rsa2048", "ecc-p256"):
        for kind in ("ephemeral", "tpm"):
            with Daemon(fresh=True, TPM_AikHandle="own", TPM_AikAlgorithm=algorithm, TPM_RequestKey=kind):
                jwk, _, _, _ = judge_request(algorithm, kind)
                told = judge_token(token(), jwk, kind)
                base = base64.b64decode(told["x-ms-policy"]["aikPubHash"])
                assert base == hashlib.sha256(own_aik(algorithm)).digest()
                judge_proof(prove(b"challenge of a relying party"), b"challenge of a relying party", jwk)
                renewed = claims(renew())["cnf"]["jwk"]
                assert (renewed == told["cnf"]["jwk"]) == (kind == "tpm"), "a key of the TPM stays, an ephemeral one is for one token"
                judge_proof(prove(b"again"), b"again", renewed)
                seen[algorithm, kind] = thumbprint(renewed)
    assert seen["rsa2048", "tpm"] == seen["ecc-p256", "tpm"], "the request key does not depend on the AIK"
    assert len(set(seen.values())) == 3, seen
    assert os.stat(KEY_FILE).st_mode & 0o777 == 0o600


def test_request_without_daemon_has_each_kind_too():
    for kind in ("ephemeral", "tpm"):
        out = attest(TPM_RequestKey=kind)
        jwk, _, _, _ = judge_request("rsa2048", kind)
        judge_token(out, jwk, kind)


@contextlib.contextmanager
def drop_in(settings):
    path = write(CONFIG + ".d/98-test.conf", settings_text(settings).encode())
    try:
        yield
    finally:
        os.unlink(path)


def attest(check=0, **settings):
    """The token; or with check the words of the error."""
    with drop_in({"TPM_AikHandle": "own", **settings}):
        _, out, err = attestctl("attest", "--no-daemon", "--config", CONFIG, "--timeout", "0", check=check)
    assert loaded() == "", f"left in the TPM: {loaded()}"
    return out.strip() if check == 0 else err


# attestctl sign


def test_sign_takes_bytes_of_every_kind_from_file_or_input():
    with Daemon(TPM_RequestKey="tpm"), tempfile.TemporaryDirectory() as where:
        jwk = claims(token())["cnf"]["jwk"]
        for payload in (b"", b"\0\xff\n", b"text\n", os.urandom(64 << 10)):
            path = write(f"{where}/payload", payload)
            for proof in (prove(payload), prove(payload, "-"), prove(b"", path), prove(payload, "--profile", "default")):
                judge_proof(proof, payload, jwk)
        judge_proof(json.loads(prove(b"text", "--json"))["jws"], b"text", jwk)
        fails(sign(bytes((64 << 10) + 1)), "LimitExceeded", "65536")
        fails(sign(b"", write(f"{where}/large", bytes((64 << 10) + 1))), "LimitExceeded")
        fails(sign(b"", f"{where}/nothing"), "Io", f"{where}/nothing")
        fails(sign(b"x", "--profile", "nobody"), "NoSuchProfile", "nobody")
        assert sign(b"x", path, path)[0] == 2


def test_sign_is_for_those_who_may_have_tokens():
    if os.getuid() != 0:
        raise Skip("other users need root")
    os.chmod(BED, 0o711)
    program = shutil.copy(ATTESTCTL, os.path.join(BED, "attestctl"))   # the build may be where others cannot look
    nobody = pwd.getpwnam("nobody")
    for kind in ("tpm", "ephemeral"):
        with Daemon(fresh=True, TPM_RequestKey=kind, Agent_TokenAccess="root games"):
            other = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            fails(sign(b"x", program=program, **other), "AccessDenied")
            games = {"user": pwd.getpwnam("games").pw_uid, "group": grp.getgrnam("games").gr_gid, "extra_groups": []}
            code, out, err = sign(b"x", program=program, **games)
            assert code == 0, err
            judge_proof(out.strip(), b"x", claims(token())["cnf"]["jwk"])


def test_sign_without_token_or_daemon_says_so():
    with Daemon(TPM_RequestKey="tpm", Schedule_OnStart="no", wait=False, fresh=True):
        fails(sign(), "NoToken")
    fails(sign(), "NotRunning")


# Restarts


def test_key_of_the_tpm_outlives_daemon_and_collector():
    with Daemon(fresh=True, TPM_RequestKey="tpm"):
        first, jwk = token(), claims(token())["cnf"]["jwk"]
        content = read(KEY_FILE)
    with Daemon(TPM_RequestKey="tpm") as daemon:
        assert token() == first
        judge_proof(prove(b"after a restart"), b"after a restart", jwk)
        for pid in daemon.collector():
            os.kill(pid, signal.SIGKILL)
        judge_proof(wait_until(lambda: sign(b"a new collector")[1].strip(), SLOW, "a signature by a new collector"), b"a new collector", jwk)
        assert claims(renew())["cnf"]["jwk"] == jwk
    assert read(KEY_FILE) == content


def test_ephemeral_key_is_gone_with_its_daemon():
    with Daemon(fresh=True, TPM_RequestKey="ephemeral"):
        first, jwk = token(), claims(token())["cnf"]["jwk"]
        judge_proof(prove(b"x"), b"x", jwk)
        before = os.listdir(STATE)
        kept = json.loads(read(os.path.join(os.environ["RUNTIME_DIRECTORY"], "tokens", "default.json")))["request_key"]
        kept = json.loads(kept) if isinstance(kept, str) else kept
        assert kept == {name: jwk[name] for name in ("kty", "n", "e")}, "the public part alone is kept with the token"
    with Daemon(TPM_RequestKey="ephemeral"):
        assert token() == first
        fails(sign(), "NotSupported", "RequestKey=tpm")
        new = claims(renew())["cnf"]["jwk"]
        assert new != jwk
        judge_proof(prove(b"x"), b"x", new)
    assert os.listdir(STATE) == before


def test_token_of_another_kind_of_key_is_not_kept():
    """Who asks for a key of the TPM does not want the old token for hours to come."""
    kinds = ("ephemeral", "tpm", "ephemeral")
    texts = []
    for i, kind in enumerate(kinds):
        with Daemon(fresh=i == 0, TPM_RequestKey=kind):
            texts.append(token())
            judge_token(texts[-1], claims(texts[-1])["cnf"]["jwk"], kind)
            judge_proof(prove(b"x"), b"x", claims(texts[-1])["cnf"]["jwk"])
    assert len(set(texts)) == 3


# Files that are damaged


def make_wrapped(where, scheme, attributes):
    """A key under the same storage key, by tpm2-tools; in the form of the file."""
    unique = write(f"{where}/unique", 2 * (struct.pack("<H", 32) + bytes(128)))   # two TPM2B_ECC_PARAMETER as tpm2-tools has them in memory
    bed.tpm("tpm2_createprimary", "-C", "o", "-g", "sha256", "-G", "ecc256:aes128cfb", "-a", STORAGE_ATTRIBUTES, "-u", unique, "-c", f"{where}/primary.ctx")
    bed.tpm("tpm2_create", "-C", f"{where}/primary.ctx", "-G", scheme, "-a", attributes, "-u", f"{where}/k.pub", "-r", f"{where}/k.priv")
    bed.tpm("tpm2_flushcontext", "-t")
    return read(f"{where}/k.pub") + read(f"{where}/k.priv")


def test_damaged_file_is_kept_aside_and_a_new_key_made():
    both = SIGNING + "|decrypt"
    with tempfile.TemporaryDirectory() as where:
        with Daemon(fresh=True, TPM_RequestKey="tpm"):
            good = read(KEY_FILE)
        public_size = 2 + len(take_tpm2b(good)[0])
        cases = (   # what is in the file; what the notice says of it
            (good[:-1] + bytes([good[-1] ^ 1]), "another TPM's"),                                   # the integrity of the private part
            (good[:100] + bytes([good[100] ^ 1]) + good[101:], "another TPM's"),                    # a modulus that the private part is not for
            (good[:-1], "TPM2B_PRIVATE"), (good + b"x", "too many"), (good[:public_size], "TPM2B_PRIVATE"), (good[:1], "TPM2B_PUBLIC"),
            (b"garbage, and more of it", "TPM2B_PUBLIC"),
            (make_wrapped(where, "ecc256:null:null", both), "no RSA key of 2048 bits"),
            (make_wrapped(where, "rsa3072:null:null", both), "no RSA key of 2048 bits"),
            (make_wrapped(where, "rsa2048:rsapss-sha256:null", SIGNING), "scheme"),
            (make_wrapped(where, "rsa2048:null:null", SIGNING), "decrypt"),
            (make_wrapped(where, "rsa2048:null:null", both.replace("fixedtpm|fixedparent|", "")), "fixedTPM"),
        )
        jwk = claims(token_of_restart(good))["cnf"]["jwk"]
        for content, words in cases:
            write(KEY_FILE, content)
            with Daemon(TPM_RequestKey="tpm") as daemon:
                assert claims(token())["cnf"]["jwk"] == jwk, "the token at hand is as good as before"
                fails(sign(), "NoToken", "renew")
                aside = f"{STATE}/request-key-{hashlib.sha256(content).hexdigest()[:8]}.tpm2b.old"
                assert read(aside) == content
                line = next(line for line in daemon.log().splitlines() if "a new request key was made" in line)
                assert words in line and aside in line and daemon.log().count("a new request key was made") == 1, line
                old, jwk = jwk, claims(renew())["cnf"]["jwk"]
                assert jwk != old
                assert judge_request("rsa2048", "tpm")[0] == jwk
                judge_proof(prove(b"x"), b"x", jwk)
                os.unlink(aside)


def token_of_restart(content):
    assert read(KEY_FILE) == content
    with Daemon(TPM_RequestKey="tpm"):
        return token()


def test_key_is_made_before_a_quote_is_asked_for():
    """It may take a TPM minutes, which a quote has not."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(KEY_FILE)
    with Daemon(fresh=True, wait=False, TPM_RequestKey="tpm", Schedule_OnStart="no"):
        wait_until(lambda: os.path.exists(KEY_FILE), SLOW, KEY_FILE)
        made = read(KEY_FILE)
        assert token() is None
        ask_for_renewal()
        attestctl("wait", "--timeout", str(SLOW), check=0)
        assert read(KEY_FILE) == made and jwk_spki(claims(token())["cnf"]["jwk"]) == parse_public(take_tpm2b(made)[0]).spki


def test_missing_file_means_a_new_key():
    with Daemon(fresh=True, TPM_RequestKey="tpm"):
        jwk = claims(token())["cnf"]["jwk"]
        os.unlink(KEY_FILE)
        fails(sign(), "NoToken", "renew")
        new = claims(renew())["cnf"]["jwk"]
        assert new != jwk and parse_public(take_tpm2b(read(KEY_FILE))[0]).spki == jwk_spki(new)
        judge_proof(prove(b"x"), b"x", new)


def test_file_that_cannot_be_read_or_written_is_an_error():
    with Daemon(fresh=True, TPM_RequestKey="tpm"):
        good = read(KEY_FILE)
        os.unlink(KEY_FILE)
        os.mkdir(KEY_FILE)
        fails(sign(), "Io", KEY_FILE)
        os.rmdir(KEY_FILE)
        write(KEY_FILE, bytes(9000))
        fails(sign(), "LimitExceeded", KEY_FILE)
        assert read(KEY_FILE) == bytes(9000), "what is not ours is left alone"
        write(KEY_FILE, good)
        judge_proof(prove(b"x"), b"x", claims(token())["cnf"]["jwk"])


# How the TPM pads


def mgf1(seed, size):
    return b"".join(hashlib.sha256(seed + struct.pack(">I", i)).digest() for i in range(size // 32 + 1))[:size]


def pad_pss(digest, salt_size):
    """RFC 8017 §9.1.1 for a modulus of 2048 bits."""
    salt = os.urandom(salt_size)
    hashed = hashlib.sha256(bytes(8) + digest + salt).digest()
    block = bytes(256 - 32 - 1 - salt_size - 1) + b"\1" + salt
    masked = bytes(a ^ b for a, b in zip(block, mgf1(hashed, len(block))))
    return bytes([masked[0] & 0x7F]) + masked[1:] + hashed + b"\xbc"


class Tpm:
    """The testbed's, as Proxy wants it."""

    socket, directory = os.environ.get("TPM2TOOLS_TCTI", "path=").split("path=", 1)[1], BED


@contextlib.contextmanager
def proxy_before_the_tpm():
    proxy = Proxy(Tpm)
    try:
        yield proxy
    finally:
        proxy.close()


class SaltingTpm:
    """Before the TPM: one whose TPM2_Sign salts with as many octets as given, as the specification lets it (TPM 2.0 Part 1 §B.7). The padding is made
    here, the RSA operation by the real TPM's TPM2_RSA_Decrypt."""

    def __init__(self, proxy, salt_size):
        self.salt_size, self.made, self.given = salt_size, [], []
        proxy.commands[CC_SIGN], proxy.answers[CC_SIGN] = self.pad, self.answer

    def pad(self, command):
        """TPM2_Sign (TPM 2.0 Part 3 §20.2) becomes TPM2_RSA_Decrypt (§14.3)."""
        n_authorization = struct.unpack(">I", command[14:18])[0]
        parameters = command[18 + n_authorization:]
        digest, rest = take_tpm2b(parameters)
        assert struct.unpack(">HH", rest[:4]) == (0x0016, 0x000B) and len(digest) == 32, parameters.hex()   # RSAPSS with SHA-256
        padded = pad_pss(digest, self.salt_size)
        body = command[10:18 + n_authorization] + struct.pack(">H", len(padded)) + padded + struct.pack(">HH", 0x0010, 0)
        self.made.append(digest)
        return struct.pack(">HII", 0x8002, 10 + len(body), CC_RSA_DECRYPT) + body

    def answer(self, answer):
        """outData becomes a TPMT_SIGNATURE."""
        tag, size, code = struct.unpack(">HII", answer[:10])
        if code != 0:
            return answer
        n_parameters = struct.unpack(">I", answer[10:14])[0]
        self.given.append(take_tpm2b(answer[14:])[0])
        return struct.pack(">HIII", tag, size + 4, code, n_parameters + 4) + struct.pack(">HH", 0x0016, 0x000B) + answer[14:]


def check_signatures(proxy, first_way, later_way):
    """A way: how often (TPM2_Sign, TPM2_RSA_Decrypt) is sent for a signature."""
    with Daemon(fresh=True, TPM_RequestKey="tpm", TPM_TCTI=proxy.tcti):
        jwk = judge_request("rsa2048", "tpm")[0]   # its signature is the first one
        first = (proxy.counts[CC_SIGN], proxy.counts[CC_RSA_DECRYPT])
        judge_proof(prove(b"x"), b"x", jwk)
        later = (proxy.counts[CC_SIGN] - first[0], proxy.counts[CC_RSA_DECRYPT] - first[1])
        assert (first, later) == (first_way, later_way), (first, later)


def test_tpm_as_it_is_signs_by_itself():
    """libtpms salts as long as the digest is. One that does not is for the other way, and this line tells."""
    with proxy_before_the_tpm() as proxy:
        check_signatures(proxy, (1, 0), (1, 0))


def test_tpm_that_salts_with_32_octets_signs_by_itself():
    with proxy_before_the_tpm() as proxy:
        tpm = SaltingTpm(proxy, 32)
        check_signatures(proxy, (1, 0), (1, 0))
        assert len(tpm.made) == len(tpm.given) == 2


def test_tpm_that_salts_with_all_there_is_room_for_gets_it_padded():
    with proxy_before_the_tpm() as proxy:
        tpm = SaltingTpm(proxy, 222)
        check_signatures(proxy, (1, 1), (0, 1))
        # What it gave is a signature, with the other salt: it was the padding that was mended.
        request = json.loads(decode(last_captured()["data"]))["payload"]["request"]
        text, key = request.rpartition(".")[0].encode(), jwk_spki(claims(request)["att_data"]["request_key"]["jwk"])
        assert tpm.made == [hashlib.sha256(text).digest()] and len(tpm.given) == 1
        assert judge.verifies(key, text, tpm.given[0], *PSS, "-sigopt", "rsa_pss_saltlen:222")
        assert not judge.verifies(key, text, tpm.given[0], *PSS, "-sigopt", "rsa_pss_saltlen:32")


def failure(code):
    return struct.pack(">HII", 0x8001, 10, code)


def test_tpm_that_knows_no_pss_gets_it_padded():
    for code in (0x2D2, 0x2C4):   # TPM_RC_SCHEME and TPM_RC_VALUE of parameter 2, TPM 2.0 Part 2 §6.6
        with proxy_before_the_tpm() as proxy:
            proxy.answers[CC_SIGN] = lambda _, code=code: failure(code)
            check_signatures(proxy, (1, 1), (0, 1))


def test_tpm_that_signs_wrongly_is_found_here():
    with proxy_before_the_tpm() as proxy:
        proxy.answers[CC_SIGN] = proxy.answers[CC_RSA_DECRYPT] = spoil_last_parameter
        words = attest(check=CODES["TpmCommandFailed"], TPM_RequestKey="tpm", TPM_TCTI=proxy.tcti)
        assert "(TpmCommandFailed)" in words and "signature" in words, words
        assert proxy.counts[CC_SIGN] == 1 and proxy.counts[CC_RSA_DECRYPT] == 1


def spoil_last_parameter(answer):
    """Another last octet of the parameters: of the signature."""
    end = 14 + struct.unpack(">I", answer[10:14])[0]
    return another(answer[:end]) + answer[end:]


def test_tpm_that_certifies_wrongly_is_found_here():
    with proxy_before_the_tpm() as proxy:
        proxy.answers[CC_CERTIFY] = spoil_last_parameter
        words = attest(check=CODES["QuoteSignatureInvalid"], TPM_RequestKey="tpm", TPM_TCTI=proxy.tcti)
        assert "certif" in words and "request key" in words, words


# OtherKeys=

HANDLES = ("0x81000010", "0x81000011", "0x81000012")


@contextlib.contextmanager
def persistent(handle, scheme, attributes=SIGNING, *arguments):
    """A key there; gives its SubjectPublicKeyInfo and TPMT_PUBLIC, by tpm2-tools."""
    with tempfile.TemporaryDirectory() as where:
        bed.tpm("tpm2_createprimary", "-C", "o", "-G", scheme, "-a", attributes, "-c", f"{where}/key.ctx", *arguments)
        bed.tpm("tpm2_evictcontrol", "-C", "o", "-c", f"{where}/key.ctx", handle)
        try:
            bed.tpm("tpm2_flushcontext", "-t")
            bed.tpm("tpm2_readpublic", "-c", handle, "-f", "der", "-o", f"{where}/key.der")
            bed.tpm("tpm2_readpublic", "-c", handle, "-f", "tpmt", "-o", f"{where}/key.pub")
            yield read(f"{where}/key.der"), read(f"{where}/key.pub")
        finally:
            bed.tpm("tpm2_evictcontrol", "-C", "o", "-c", handle)


def test_other_keys_are_certified_or_plain_as_asked_for():
    with persistent(HANDLES[0], "rsa2048:null:null", SIGNING + "|decrypt") as rsa, persistent(HANDLES[1], "ecc256:ecdsa-sha256:null") as ecc, \
            persistent(HANDLES[2], "rsa2048:aes128cfb", STORAGE_ATTRIBUTES) as storage:
        keys = dict(zip(HANDLES, (rsa, ecc, storage)))
        settings = (f"{HANDLES[0]}", f"{HANDLES[0]} {HANDLES[1]}:plain", f"{HANDLES[1]}  {HANDLES[0]}:plain", f"{HANDLES[2]} {HANDLES[1]}", f"{HANDLES[0]}:plain", "")
        for algorithm in AIK_FILES:
            for i, setting in enumerate(settings):
                kind = ("tpm", "ephemeral")[i % 2]
                out = attest(TPM_OtherKeys=setting, TPM_RequestKey=kind, TPM_AikAlgorithm=algorithm)
                jwk, att_data, challenge, aik = judge_request(algorithm, kind)
                told = judge_token(out, jwk, kind)
                if not setting:
                    assert "other_keys" not in att_data and "x-ms-tpm-other-keys" not in told
                    continue
                words = setting.split()
                assert len(att_data["other_keys"]) == len(told["x-ms-tpm-other-keys"]) == len(words)
                for word, sent, named in zip(words, att_data["other_keys"], told["x-ms-tpm-other-keys"]):
                    handle, _, plain = word.partition(":")
                    spki, area = keys[handle]
                    assert jwk_spki(sent["jwk"]) == jwk_spki(named["jwk"]) == spki, (word, sent)
                    if plain:
                        assert "info" not in sent and "info" not in named, (sent, named)
                    else:
                        assert decode(sent["info"]["tpm_certify"]["public"]) == area
                        public = judge_certify(sent["info"]["tpm_certify"], aik, challenge, sent["jwk"])
                        assert named["info"] == policy_object(public), named


def test_other_key_with_a_policy_shows_it():
    policy = os.urandom(32)
    with tempfile.TemporaryDirectory() as where, persistent(HANDLES[0], "rsa2048:null:null", SIGNING, "-L", write(f"{where}/policy", policy)):
        told = claims(attest(TPM_OtherKeys=HANDLES[0]))["x-ms-tpm-other-keys"][0]
        assert decode(told["info"]["tpm_certify"]["auth_policy"]) == policy, told


def test_other_key_that_is_not_there_is_its_own_error():
    with persistent(HANDLES[0], "ecc256:ecdsa-sha256:null"):
        for setting in (HANDLES[1], f"{HANDLES[1]}:plain", f"{HANDLES[0]} {HANDLES[1]}", f"{HANDLES[1]} {HANDLES[0]}"):
            words = attest(check=CODES["TpmKeyMissing"], TPM_OtherKeys=setting)
            assert f"OtherKeys={HANDLES[1]}" in words and "no key there" in words and "(TpmKeyMissing)" in words, words
        attest(TPM_OtherKeys=HANDLES[0])


def test_other_key_that_the_tpm_does_not_certify_for_us_is_named():
    """It has a password, which nobody told us."""
    with persistent(HANDLES[0], "ecc256:ecdsa-sha256:null", SIGNING, "-p", "password"):
        words = attest(check=CODES["TpmAuthorization"], TPM_OtherKeys=HANDLES[0])
        assert f"OtherKeys={HANDLES[0]}" in words and "TPM2_Certify" in words, words
        told = claims(attest(TPM_OtherKeys=f"{HANDLES[0]}:plain"))
        assert "info" not in told["x-ms-tpm-other-keys"][0]


def test_other_keys_that_are_too_many_or_none_are_refused_with_file_and_line():
    for setting in (" ".join(HANDLES), f"{HANDLES[0]}:plain {HANDLES[1]}:plain {HANDLES[2]}:plain", "0x40000001", f"{HANDLES[0]}:certified", "keys",
                    f"{HANDLES[0]},{HANDLES[1]}"):
        words = attest(check=CODES["ConfigInvalid"], TPM_OtherKeys=setting)
        assert "98-test.conf:4" in words and "OtherKeys=" in words and "at most two persistent handles" in words, words
        with drop_in({"TPM_OtherKeys": setting}):
            for program, *arguments in ((ATTESTD,), (COLLECTOR, "--bus-fd=0")):
                done = subprocess.run([program, "--config=" + CONFIG, *arguments], capture_output=True, text=True, timeout=SLOW, stdin=subprocess.DEVNULL)
                assert done.returncode == CODES["ConfigInvalid"] and "98-test.conf:2" in done.stderr and "at most two" in done.stderr, (program, done)


def test_daemon_attests_when_the_other_key_comes():
    with Daemon(fresh=True, wait=False, TPM_OtherKeys=HANDLES[0], TPM_RequestKey="tpm"):
        profile = wait_until(lambda: (lambda it: it["Failures"] >= 1 and it)(bed.status()["profiles"]["default"]), SLOW, "a failure")
        assert profile["LastError"]["code"] == "TpmKeyMissing" and HANDLES[0] in profile["LastError"]["message"], profile
        with persistent(HANDLES[0], "ecc256:ecdsa-sha256:null") as (spki, _):
            ask_for_renewal()
            attestctl("wait", "--timeout", str(SLOW), check=0)
            assert jwk_spki(claims(token())["x-ms-tpm-other-keys"][0]["jwk"]) == spki
            judge_proof(prove(b"x"), b"x", claims(token())["cnf"]["jwk"])


if __name__ == "__main__":
    bed.run(globals())
