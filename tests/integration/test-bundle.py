#!/usr/bin/env python3
"""attestctl evidence collect and replay: a bundle of a real TPM is true, and one with any part changed is not, by the rule that it breaks."""
import base64
import copy
import hashlib
import json
import os
import stat
import subprocess

import sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import bed
from bed import attestctl, error_table, tpm

bed.TESTBED_OPTIONS = ["--no-daemon", "--set", "RelyingParty.Nonce=00112233445566778899aabbccddeeff", "--set", "Instance.Proxy=http://me:hush@127.0.0.1:1"]
NONCE = "c0ffee" * 5
DIRECTORY = os.environ.get("TESTBED_DIR", "")
BUNDLE = os.path.join(DIRECTORY, "bundle.json")


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def collect(*arguments, check=0):
    return attestctl("evidence", "collect", "--config", os.environ["ATTESTD_CONFIG"], *arguments, check=check)


def bundle():
    if not os.path.exists(BUNDLE):
        collect("-o", BUNDLE, "--nonce", NONCE)
    with open(BUNDLE) as file:
        return json.load(file)


def replay(content, *arguments):
    """(exit status, parsed output)"""
    path = os.path.join(DIRECTORY, "changed.json")
    with open(path, "w") as file:
        json.dump(content, file)
    status, out, _ = attestctl("evidence", "replay", "--json", *arguments, path)
    return status, json.loads(out)


def states(result):
    return {check["check"]: check["state"] for check in result["checks"]}


def test_bundle_of_this_machine_is_true():
    status, result = replay(bundle(), "--nonce", NONCE)
    assert status == 0 and result["valid"] is True, result
    assert states(result) == {"attestation-key": "ok", "quote": "ok", "nonce": "ok", "certificate": "warning", "boot-log": "ok", "ima-list": "ok",
                                "boot-attestation": "ok"}, result
    with open(os.path.join(DIRECTORY, "expected-pcrs.json")) as file:       # by the script that made the logs
        expected = json.load(file)["sha256"]
    values = bundle()["pcrs"][0]
    assert values["bank"] == "sha256"
    for number, value in expected.items():
        assert values["values"][number] == value, number
        assert result["verdicts"][number] == ("unused" if set(value) <= {"0"} or set(value) <= {"f"} else "replayed"), number


def test_bundle_says_what_others_find():
    content = bundle()
    with open(os.path.join(DIRECTORY, "boot.log"), "rb") as file:
        assert decode(next(log for log in content["logs"] if log["type"] == "TCG")["data"]) == file.read()
    read = tpm("tpm2_pcrread", "sha256:0,7,10")
    for number in ("0", "7", "10"):
        assert content["pcrs"][0]["values"][number].upper() in read.upper(), number
    # tpm2_checkquote has the last word on the quote
    parts = {"message": decode(content["quote"]), "signature": decode(content["signature"]), "public": len(decode(content["aik_public"])).to_bytes(2, "big") + decode(content["aik_public"])}
    for name, data in parts.items():
        with open(os.path.join(DIRECTORY, name), "wb") as file:
            file.write(data)
    done = subprocess.run(["tpm2_checkquote", "-u", "public", "-m", "message", "-s", "signature", "-q", NONCE], cwd=DIRECTORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_bundle_shows_settings_and_no_secret():
    content = bundle()
    assert stat.S_IMODE(os.stat(BUNDLE).st_mode) == 0o600
    assert content["configuration"]["Instance"]["Url"].startswith("https://")
    assert content["configuration"]["TPM"]["Pcrs"] == "0-23"
    assert content["configuration"]["RelyingParty"]["Nonce"] == content["configuration"]["Instance"]["Proxy"] == "(not shown)"
    text = json.dumps(content)
    assert "hush" not in text and "0011223344556677" not in text


def test_existing_file_is_kept_without_force():
    bundle()
    before = os.stat(BUNDLE).st_ino
    _, _, err = collect("-o", BUNDLE, check=error_table()["InvalidArgument"]["exit_status"])
    assert "--force" in err and os.stat(BUNDLE).st_ino == before
    collect("-o", os.path.join(DIRECTORY, "other.json"))
    collect("-o", os.path.join(DIRECTORY, "other.json"), "--force")
    _, out, _ = collect("-o", "-")
    assert json.loads(out)["format"] == "attestd-evidence"


def test_random_nonce_differs_each_time():
    first, second = (json.loads(collect("-o", "-")[1]) for _ in range(2))
    assert len(decode(first["qualifying_data"])) == 32 and first["qualifying_data"] != second["qualifying_data"]
    assert first["aik_public"] == second["aik_public"]


def flipped(text, at):
    data = bytearray(decode(text))
    data[at] ^= 1
    return encode(bytes(data))


def with_log(content, kind, change):
    """The log changed, and the size and hash beside it as well: whoever forges does that."""
    for log in content["logs"]:
        if log["type"] == kind:
            data = change(decode(log["data"]))
            log.update(data=encode(data), size=len(data), sha256=hashlib.sha256(data).hexdigest())


def flip_pcr(content, number):
    values = content["pcrs"][0]["values"]
    values[number] = ("0" if values[number][0] != "0" else "1") + values[number][1:]


def flip_byte(data, at):
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


# what is changed, how, and the name of the error that the first broken rule gives
CHANGES = [
    ("the nonce that was quoted", lambda c: c.update(qualifying_data=encode(b"other")), "QuoteNonceMismatch"),
    ("the signature's last byte", lambda c: c.update(signature=flipped(c["signature"], -1)), "QuoteSignatureInvalid"),
    ("the quoted digest", lambda c: c.update(quote=flipped(c["quote"], -1)), "QuoteSignatureInvalid"),
    ("the quote's magic", lambda c: c.update(quote=flipped(c["quote"], 0)), "QuoteMalformed"),
    ("the AIK's modulus and its name", lambda c: c.update(aik_public=flipped(c["aik_public"], -1)), "TpmAikInvalid"),
    ("the AIK's name", lambda c: c.update(aik_name=flipped(c["aik_name"], -1)), "TpmAikInvalid"),
    ("the AIK's restricted bit", lambda c: c.update(aik_public=flipped(c["aik_public"], 5)), "TpmAikInvalid"),
    ("a PCR of the firmware", lambda c: flip_pcr(c, "3"), "QuotePcrMismatch"),
    ("PCR 10", lambda c: flip_pcr(c, "10"), "QuotePcrMismatch"),
    ("a PCR left out", lambda c: c["pcrs"][0]["values"].pop("4"), "QuotePcrMismatch"),
    ("the firmware log's last digest", lambda c: with_log(c, "TCG", lambda d: d.replace(bytes.fromhex(hashlib.sha256(bytes(4)).hexdigest()), bytes(32), 1)), "EventlogMismatch"),
    ("the end of the firmware log", lambda c: with_log(c, "TCG", lambda d: d[:-1]), "LogTruncated"),
    ("an IMA entry's data", lambda c: with_log(c, "IMA", lambda d: flip_byte(d, -2)), "ImaMismatch"),
    ("the last IMA entry twice", lambda c: with_log(c, "IMA", lambda d: d + d[-1:]), "ImaMismatch"),
    ("a certificate that is none", lambda c: c.update(aik_certificate=encode(b"x")), "AikCertificateInvalid"),
    ("a log but not its hash", lambda c: c["logs"][0].update(data=flipped(c["logs"][0]["data"], 100)), "EvidenceMalformed"),
    ("the format", lambda c: c.update(format="other"), "EvidenceMalformed"),
    ("the version", lambda c: c.update(version=2), "NotSupported"),
]


def test_changed_bundle_is_refused_by_the_rule_that_it_breaks():
    table, wrong = error_table(), []
    for what, change, name in CHANGES:
        content = copy.deepcopy(bundle())
        change(content)
        assert content != bundle(), what
        status, result = replay(content)
        if status != table[name]["exit_status"] or result.get("valid"):
            wrong.append(f"{what}: exit {status}, expected {name}: {result}")
    assert not wrong, "\n".join(wrong)


def test_bundle_for_another_nonce_is_refused():
    status, result = replay(bundle(), "--nonce", "00")
    assert status == error_table()["QuoteNonceMismatch"]["exit_status"] and states(result)["nonce"] == "failure"


def test_wrong_usage_is_named():
    for arguments in (["collect"], ["replay"], ["replay", "a", "b"], ["collect", "x", "-o", "y"], ["replay", "--force", "x"], ["nothing"],
                      ["collect", "-o", "x", "--nonce", "0"], ["collect", "-o", "x", "--nonce", "00" * 65], ["collect", "-o", "x", "--trust-anchors", "y"]):
        _, _, err = attestctl("evidence", *arguments, check=2)
        assert "evidence" in err, arguments


bed.run(globals())
