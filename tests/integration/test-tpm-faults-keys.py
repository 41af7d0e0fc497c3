#!/usr/bin/env python3
"""As test-tpm-faults.py does for quotes: enrolment by credential activation, reports from NV, and keys that are made, certified and used for
signing and decrypting.

The endorsement key's certificate and the paravisor's report are made here by openssl and struct, the credential by tpm2_makecredential.

usage: test-tpm-faults-keys.py COLLECTOR-CLIENT TCTI-FAULT
"""
import hashlib
import json
import os
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import bed
from faults import (ABSENT, ACTIVATE_CREDENTIAL, AGAIN, CERTIFY, CREATE, CREATE_PRIMARY, FAILED, FLUSH, FORMAT_ONE, FORMAT_ZERO, FRESH, GET_CAPABILITY, LOAD,
                    NV_DEFINE, NV_READ, NV_WRITE, POLICY_PCR, POLICY_SECRET, QUOTE, READ_PUBLIC, RSA_DECRYPT, SIGN, START_SESSION, TCTI_CODES, Command, bench,
                    check_error, check_hangs, check_hangs_that_end, is_parameter)
from judge import parse_public

EK_CERTIFICATE_INDEX, REPORT_INDEX, USER_DATA_INDEX = "0x1c0000a", "0x01400001", "0x01400002"
FILE_MAGIC = bytes.fromhex("badcc0de00000001")   # of tpm2-tools' credential files
SECRET, USER_DATA, DIGEST = bytes(range(32)), bytes(range(64)), hashlib.sha256(b"to be signed").digest()
OTHER_KEYS = ("0x81000010", "0x81000011")
OWN_INDEX = "ownerread|ownerwrite|authread|authwrite|no_da"


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def read(path):
    with open(path, "rb") as stream:
        return stream.read()


def write(path, content):
    with open(path, "wb") as stream:
        stream.write(content)
    return path


def define(it, index, content):
    it.swtpm.tool("tpm2_nvdefine", index, "-C", "o", "-s", str(len(content)), "-a", OWN_INDEX)
    it.swtpm.tool("tpm2_nvwrite", index, "-C", "o", "-i", write(it.path("nv"), content))


def endorsed(it):
    """A TPM as its manufacturer leaves it: an endorsement key of P-256 and its certificate."""
    it.swtpm.tool("tpm2_createek", "-G", "ecc", "-c", it.path("ek.ctx"), "-u", it.path("ek.pub"), "-f", "tss")
    it.swtpm.tool("tpm2_readpublic", "-c", it.path("ek.ctx"), "-f", "pem", "-o", it.path("ek.pem"))
    it.swtpm.tool("tpm2_flushcontext", "-t")
    write(it.path("extensions"), b"extendedKeyUsage=2.23.133.8.1\nbasicConstraints=critical,CA:FALSE\n")
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", it.path("ca.key"), "-out", it.path("ca.pem"), "-subj",
            "/CN=manufacturer", "-days", "2")
    openssl("req", "-new", "-key", it.path("ca.key"), "-out", it.path("any.csr"), "-subj", "/CN=any")
    openssl("x509", "-req", "-in", it.path("any.csr"), "-CA", it.path("ca.pem"), "-CAkey", it.path("ca.key"), "-CAcreateserial", "-force_pubkey",
            it.path("ek.pem"), "-days", "2", "-extfile", it.path("extensions"), "-outform", "der", "-out", it.path("ek.der"))
    define(it, EK_CERTIFICATE_INDEX, read(it.path("ek.der")))
    return []


def activation(it):
    """The request for a credential that somebody made for this TPM and its attestation key."""
    it.swtpm.tool("tpm2_makecredential", "-T", "none", "-u", it.path("ek.pub"), "-s", write(it.path("secret"), SECRET), "-n", it.info["aik_name"], "-o",
                  it.path("credential"))
    data = read(it.path("credential"))
    assert data.startswith(FILE_MAGIC), data[:8]
    size = 2 + struct.unpack(">H", data[8:10])[0]
    return f"activate {data[8:8 + size].hex()} {data[8 + size:].hex()}"


def paravisor(it):
    """NV as a paravisor leaves it: a report (a VBS VM's, see test-vbs.py) about our user data."""
    text = json.dumps({"keys": [], "vm-configuration": {}, "user-data": USER_DATA.hex().upper()}).encode()
    area = bytearray(1184)
    struct.pack_into("<IIII", area, 0, 560, 1, 1, 256)
    struct.pack_into("<I64s", area, 0x14, 1, hashlib.sha256(text).digest() + bytes(32))
    head = struct.pack("<4sIII16x", b"HCLA", 2, 32 + 1184 + 20 + len(text), 2)
    define(it, REPORT_INDEX, head + area + struct.pack("<5I", 20 + len(text), 1, 1, 1, len(text)) + text)
    define(it, USER_DATA_INDEX, bytes(64))

    def before(request):
        known = USER_DATA_INDEX[2:].lstrip("0") in it.swtpm.tool("tpm2_getcap", "handles-nv-index") if FRESH in request else False
        if known:
            it.swtpm.tool("tpm2_nvundefine", USER_DATA_INDEX, "-C", "o")

    it.before = before
    return [[], [f"VbsReport=nv:{REPORT_INDEX}"]]


def report(_):
    return f"report {USER_DATA.hex()}"


def request_key(it):
    it.fresh = ("request-key.tpm2b",)
    return ["RequestKey=tpm"]


# What a parameter that the TPM refuses means there; None: another way is gone, and the request succeeds.
REFUSED = {ACTIVATE_CREDENTIAL: "CREDENTIAL_ACTIVATION_FAILED", CREATE: "NOT_SUPPORTED", LOAD: "KEY_INVALID", SIGN: None}
TABLE = [(name, *entry) for name, entry in {**FORMAT_ZERO, **FORMAT_ONE}.items()]
LIBTPMS_FAILURE = 0x101   # what it says of a secret that does not decrypt
PCR_CHANGED = 0x128


def meaning(request, command, rc, expected):
    if expected == AGAIN:
        return None
    if command.code == ACTIVATE_CREDENTIAL and rc == LIBTPMS_FAILURE:
        return REFUSED[ACTIVATE_CREDENTIAL]
    if request.startswith("guest") and rc == PCR_CHANGED and command.code in (START_SESSION, POLICY_PCR, RSA_DECRYPT):
        return None   # a new session
    if request.startswith("guest") and command.code == RSA_DECRYPT:
        return "KEY_INVALID" if rc == LIBTPMS_FAILURE or is_parameter(rc) else expected
    if is_parameter(rc) and command.code in REFUSED:
        return None if command.code == LOAD and FRESH not in request else REFUSED[command.code]
    return expected


def check_code(it, request, command, name, rc, expected):
    case, answer = it.run_case(request, command, f"rc 0x{rc:x}")
    expected = meaning(request, command, rc, expected)
    if expected is None:
        assert "error" not in answer, f"{case} ({name}): {answer}"
    else:
        check_error(f"{case} ({name})", answer, command, expected, f"(rc 0x{rc:x})")


def check_all(it, request, commands, before_each=None):
    """All response codes, a transport that fails, answers that are nonsense, a slow TPM: for each of the commands."""
    for command in commands:
        for name, rc, expected in TABLE:
            before_each and before_each()
            check_code(it, request, command, name, rc, expected)
        for action in ["lose", "lose-after", *(f"{when} 0x{code:x}" for when in ("transmit", "receive") for code in TCTI_CODES.values())]:
            before_each and before_each()
            case, answer = it.run_case(request, command, action, True)
            check_error(case, answer, command, ABSENT, "broke")
        for action in ("size 0", "size 9", "size 0xffffffff", "garbage 0", "garbage 0xff"):
            before_each and before_each()
            case, answer = it.run_case(request, command, action, True)
            check_error(case, answer, command, FAILED, "on the way to the TPM")
        before_each and before_each()
        case, answer = it.run_case(request, command, "delay 300")
        assert "error" not in answer, f"{case}: {answer}"
    print(f"        {it.n_cases} cases", flush=True)


def check_some(it, request, commands):
    """Commands that quotes send too: that they fail here as there."""
    for command in commands:
        for name, rc, expected in TABLE[it.n_cases % 11::11]:
            if command.code == FLUSH:
                case, answer = it.run_case(request, command, f"rc 0x{rc:x}", expected != AGAIN)
                # what stays there until the next connection may be one too many
                assert answer.get("error", "TPM_OUT_OF_MEMORY") == "TPM_OUT_OF_MEMORY", f"{case} ({name}): {answer}"
            elif not (is_parameter(rc) and command.code in REFUSED):
                check_code(it, request, command, name, rc, expected)
        case, answer = it.run_case(request, command, "lose-after", True)
        if command.code != FLUSH or "error" in answer:
            check_error(case, answer, command, ABSENT, "broke")
    print(f"        {it.n_cases} cases", flush=True)


def split(it, request, codes):
    """Those with one of the codes, and the others; each of the codes is among what is sent."""
    commands = it.commands(request)
    assert set(codes) <= {command.code for command in commands}, [hex(command.code) for command in commands]
    return [command for command in commands if command.code in codes], [command for command in commands if command.code not in codes]


def test_hanging_tpm_is_stuck_until_the_collector_is_started_again():
    check_hangs((paravisor, report, NV_WRITE), (paravisor, lambda it: report(it) + FRESH, NV_DEFINE),
                (request_key, lambda _: "certify 0102", CERTIFY), (request_key, lambda _: "certify 0102" + FRESH, CREATE),
                (request_key, lambda _: SIGN_REQUEST, SIGN), (request_key, lambda _: SIGN_REQUEST, RSA_DECRYPT, pads_itself))


def test_endorsement_key_and_its_certificate():
    with bench(endorsed) as it:
        answer = it.ok("ek ecc")
        assert bytes.fromhex(answer["certificate"]) == read(it.path("ek.der")) and answer["origin"].startswith("template"), answer
        own, others = split(it, "ek ecc", [CREATE_PRIMARY, NV_READ])
        check_hangs_that_end(it, "ek ecc", own)
        check_all(it, "ek ecc", own)
        check_some(it, "ek ecc", others)


def test_persistent_endorsement_key():
    def persistent(it):
        lines = endorsed(it)
        it.swtpm.tool("tpm2_createek", "-G", "ecc", "-c", "0x81010002", "-u", it.path("again.pub"))
        return lines

    with bench(persistent) as it:
        assert it.ok("ek ecc")["origin"] == "0x81010002"
        check_some(it, "ek ecc", it.commands("ek ecc"))


def test_activation_of_a_credential():
    with bench(endorsed) as it:
        request = activation(it)
        assert it.ok(request)["secret"] == SECRET.hex()
        own, others = split(it, request, [START_SESSION, POLICY_SECRET, ACTIVATE_CREDENTIAL])
        check_hangs_that_end(it, request, own)
        check_all(it, request, own)
        check_some(it, request, others)


def test_report_from_nv():
    with bench(paravisor) as it:
        request = report(it)
        assert it.ok(request)["kind"] == "vm"
        own, others = split(it, request, [NV_WRITE])
        check_all(it, request, own)
        check_some(it, request, others)
        own, _ = split(it, request + FRESH, [NV_DEFINE])
        for command in own:
            for name, rc, expected in TABLE[::3]:
                check_code(it, request + FRESH, command, name, rc, expected)
        print(f"        {it.n_cases} cases", flush=True)


def test_request_key_is_made_and_certified():
    with bench(request_key) as it:
        answer = it.ok("certify 0102")
        it.keep()
        assert answer["public"] and answer["certification"] and answer["signature"], answer
        last_load = [command for command in it.commands("certify 0102") if command.code == LOAD][-1]
        own, others = split(it, "certify 0102", [CERTIFY])
        check_all(it, "certify 0102", own)
        check_some(it, "certify 0102", others)
        for name, rc, expected in TABLE:   # of the request key, which comes after the attestation key
            check_code(it, "certify 0102", last_load, name, rc, expected)
        fresh = it.commands("certify 0102" + FRESH)
        check_all(it, "certify 0102" + FRESH, [command for command in fresh if command.code == CREATE])
        for name, rc, expected in TABLE[::3]:
            check_code(it, "certify 0102" + FRESH, [command for command in fresh if command.code == LOAD][-1], name, rc, expected)
        making = [command for command in it.commands("info" + FRESH) if command.code == CREATE]
        assert len(making) == 1, making   # before a quote is asked for
        for name, rc, expected in TABLE[::5]:
            check_code(it, "info" + FRESH, making[0], name, rc, expected)
        print(f"        {it.n_cases} cases", flush=True)


def other_keys(it):
    it.swtpm.tool("tpm2_createprimary", "-C", "o", "-G", "ecc256:ecdsa-sha256:null", "-c", it.path("key.ctx"), "-a",
                  "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|sign")
    for handle in OTHER_KEYS:
        it.swtpm.tool("tpm2_evictcontrol", "-C", "o", "-c", it.path("key.ctx"), handle)
    it.swtpm.tool("tpm2_flushcontext", "-t")
    return ["AikAlgorithm=ecc-p256", f"OtherKeys={OTHER_KEYS[0]} {OTHER_KEYS[1]}:plain"]


def test_other_keys_are_looked_up_and_certified():
    """All that comes after the quote is for them; where it ends in an error, that names the handle."""
    with bench(other_keys) as it:
        commands = it.commands("certify 0102")
        begin = commands.index(next(command for command in commands if command.code == QUOTE)) + 1
        theirs = [command for command in commands[begin:] if command.code != FLUSH]   # the attestation key's
        assert [command.code for command in theirs] == [GET_CAPABILITY, READ_PUBLIC, READ_PUBLIC, CERTIFY, GET_CAPABILITY, READ_PUBLIC, READ_PUBLIC], theirs
        for i, command in enumerate(theirs):
            handle = OTHER_KEYS[i >= 4]
            for name, rc, expected in TABLE[i % 4::4]:
                case, answer = it.run_case("certify 0102", command, f"rc 0x{rc:x}")
                if expected == AGAIN:
                    assert "error" not in answer, f"{case} ({name}): {answer}"
                else:
                    check_error(f"{case} ({name})", answer, command, expected, f"(rc 0x{rc:x})", f"OtherKeys={handle}")
            for action in ("lose", "lose-after", "receive 0xa000a"):
                case, answer = it.run_case("certify 0102", command, action, True)
                check_error(case, answer, command, ABSENT, "broke", f"OtherKeys={handle}")
        print(f"        {it.n_cases} cases", flush=True)


SIGN_REQUEST = f"sign {DIGEST.hex()}"


def pads_itself(it):
    """From now on this collector pads in software: the TPM knew no RSAPSS once (TPM_RC_SCHEME)."""
    it.ok("reopen")
    it.set_script(f"0x{SIGN:x} rc 0x2d2\n")
    it.ok(SIGN_REQUEST)
    it.keep()
    it.set_script("")


def test_request_key_signs():
    with bench(request_key) as it:
        it.ok(SIGN_REQUEST)
        it.keep()
        own, others = split(it, SIGN_REQUEST, [SIGN])

        def forget():
            it.set_script("")
            it.ok("reopen")

        check_all(it, SIGN_REQUEST, own, forget)
        it.ok("reopen")
        check_some(it, SIGN_REQUEST, others)


def test_request_key_signs_what_we_have_padded():
    with bench(request_key) as it:
        pads_itself(it)
        own, _ = split(it, SIGN_REQUEST, [RSA_DECRYPT])
        assert SIGN not in {command.code for command in it.commands(SIGN_REQUEST)}
        check_all(it, SIGN_REQUEST, own)


def guest_ciphertext(it):
    """A request, for the key of a collection."""
    public = bytes.fromhex(it.ok("guest")["public"])
    openssl("pkeyutl", "-encrypt", "-pubin", "-keyform", "der", "-inkey", write(it.path("guest.der"), parse_public(public).spki), "-in",
            write(it.path("secret"), SECRET), "-out", it.path("ciphertext"))
    return f"guest-decrypt {read(it.path('ciphertext')).hex()}"


def test_guest_key_is_made_and_certified():
    with bench() as it:
        own, others = split(it, "guest", [CERTIFY, CREATE_PRIMARY, QUOTE])
        guests = [own[-2], own[-1]]   # behind the storage key of the attestation key, and the quote
        assert [command.code for command in own] == [CREATE_PRIMARY, QUOTE, CREATE_PRIMARY, CERTIFY], own
        check_hangs_that_end(it, "guest", own)
        check_all(it, "guest", guests)
        check_some(it, "guest", [*own[:2], *others])


def test_guest_key_decrypts():
    with bench() as it:
        request = guest_ciphertext(it)
        assert it.ok(request)["plaintext"] == SECRET.hex()
        own, others = split(it, request, [CREATE_PRIMARY, START_SESSION, POLICY_PCR, RSA_DECRYPT])
        assert len(own) == 4, own
        check_hangs_that_end(it, request, own)
        check_all(it, request, own)
        check_some(it, request, others)


def test_answers_that_end_too_early():
    def each(provision, make_request, codes, prepare=None):
        with bench(provision, with_proxy=True) as it:
            request = make_request(it)
            prepare and prepare(it)
            it.ok(request)
            it.keep()
            for code in codes:
                for size in (0, 1, 9) if code == POLICY_PCR else (0, 1, 9, 10, 13):   # of that one 10 are the whole
                    it.proxy.cut[code] = size
                    answer = it.ask(request)
                    check_error(f"{request}: {size} bytes of 0x{code:x}", answer, Command(code, 1), ABSENT, "broke")
                    it.proxy.cut.clear()
                    it.next_round_works("cut", request)

    each(endorsed, activation, (START_SESSION, POLICY_SECRET, ACTIVATE_CREDENTIAL))
    each(paravisor, report, (NV_WRITE,))
    each(request_key, lambda it: "certify 0102", (CERTIFY,))
    each(None, lambda it: "guest", (CERTIFY,))
    each(None, guest_ciphertext, (CREATE_PRIMARY, START_SESSION, POLICY_PCR, RSA_DECRYPT))
    each(request_key, lambda it: SIGN_REQUEST, (SIGN,))
    each(request_key, lambda it: SIGN_REQUEST, (RSA_DECRYPT,), pads_itself)


bed.need_testbed = lambda: None   # these tests bring their own TPM
bed.run(globals(), jobs=3)
