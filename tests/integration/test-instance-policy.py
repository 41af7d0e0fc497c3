#!/usr/bin/env python3
"""Policies for TPM evidence at work: set over HTTPS, evaluated by the instance over the evidence of a real swtpm, and what the token says of it.

What has to come out is worked out by hand from each policy, or read from the TPM with tpm2-tools.
"""
import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.error

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import bed
from bed import BUILD, attestctl, error_table, instance_request

bed.TESTBED_OPTIONS = ["--no-daemon"]
CONFIG, BED = os.environ.get("ATTESTD_CONFIG", ""), os.environ.get("TESTBED_DIR", "")
CODES = {name: item["exit_status"] for name, item in error_table().items()} if BED else {}
VERSION = "?api-version=2020-10-01"
NO_AIK = "configurationrules { => issueproperty(type=\"require_valid_aik_cert\", value=false); };"
PERMIT = "authorizationrules { => permit(); };"


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def policy_jws(text):
    """An unsigned policy (author-sign-policy)."""
    return encode(b'{"alg":"none"}') + "." + encode(json.dumps({"AttestationPolicy": encode(text.encode())}).encode()) + "."


def put(text):
    status, _ = instance_request("PUT", f"/policies/Tpm{VERSION}", policy_jws(text).encode())
    assert status == 200, status


def reset():
    instance_request("POST", f"/policies/Tpm:reset{VERSION}", (encode(b'{"alg":"none"}') + "..").encode())


def settings(**keys):
    """A drop-in; Section_Key=value."""
    path = CONFIG + ".d/90-policy.conf"
    with open(path, "w", encoding="utf-8") as file:
        for name, value in keys.items():
            section, key = name.split("_")
            file.write(f"[{section}]\n{key}={value}\n")


def attest(check=0):
    """(header, claims) of the token, or the message of the failure."""
    _, out, err = attestctl("attest", "--no-daemon", "--config", CONFIG, "--timeout", "0", check=check)
    return tuple(json.loads(decode(part)) for part in out.strip().split(".")[:2]) if check == 0 else err


def issued(text):
    put(text)
    return attest()[1]["x-ms-policy"]


def refused(text, name, *words):
    put(text)
    message = attest(CODES[name])
    for word in words:
        assert word in message, (word, message)


def pcrs(bank="sha256"):
    return {int(number): bytes.fromhex(value) for number, value in re.findall(r"(\d+) *: 0x([0-9A-Fa-f]+)", bed.tpm("tpm2_pcrread", bank))}


def test_without_a_policy_of_ones_own_the_instances_is_in_force():
    reset()
    claims = attest()[1]["x-ms-policy"]
    assert claims["aikValidated"] is False and claims["bootLogPresent"] is True and isinstance(claims["pcrs-replayed"], list), claims


def test_policy_issues_what_it_says_and_its_hash_is_in_the_token():
    reset()
    before = attest()[1]["x-ms-policy"]
    text = "version=1.1;" + NO_AIK + PERMIT + """issuancerules {
        c:[type=="bootLogPresent", issuer=="AttestationService"] => issue(claim=c);
        c:[type=="pcrs-replayed"] => issue(claim=c);
        [type=="aikValidated", value==false] => issue(type="note", value="no certificate");
        [type=="aikValidated", value==true] => issue(type="note", value="certificate");
        [type=="imaEntries", value>=1] => issue(type="hasEntries", value=true);
    };"""
    put(text)
    token = attest()[1]
    assert token["x-ms-policy"] == {"bootLogPresent": True, "pcrs-replayed": before["pcrs-replayed"], "note": "no certificate", "hasEntries": True}, token
    assert token["x-ms-policy-hash"] == encode(hashlib.sha256(encode(text.encode()).encode()).digest())
    assert token["exp"] - token["iat"] == 1440 * 60   # report_validity_in_minutes by default


def test_policy_that_denies_or_does_not_permit_is_named():
    refused("version=1.1;" + NO_AIK + "authorizationrules { [type==\"bootLogPresent\", value==false] => permit(); };", "ServicePolicyDenied", "no rule of the policy permits")
    refused("version=1.1;" + NO_AIK + "authorizationrules { => permit(); [type==\"bootLogPresent\", value==true] => deny(); };", "ServicePolicyDenied", "denies")
    refused("version=1.2;" + NO_AIK + PERMIT + "issuancerules {\n c:[type==\"aikPubHash\"] => issue(type=\"x\", value=NegateBool(c.value));\n};", "ServicePolicyDenied",
            "the rule at line 2", "NegateBool()")


def test_valid_aik_certificate_is_required_unless_the_policy_says_otherwise():
    refused("version=1.1;" + PERMIT, "ServiceRefused", "require_valid_aik_cert")
    refused("version=1.0;" + PERMIT, "ServiceRefused", "require_valid_aik_cert")
    assert issued("version=1.1;" + NO_AIK + PERMIT) == {}


def test_required_pcr_mask_decides_which_pcrs_a_quote_must_have():
    settings(TPM_Pcrs="0-10")
    try:
        refused("version=1.1;" + NO_AIK + PERMIT, "ServiceRefused", "PCR")   # 0xFFFFFF by default
        mask = "configurationrules { => issueproperty(type=\"require_valid_aik_cert\", value=false); => issueproperty(type=\"required_pcr_mask\", value=2047); };"
        assert issued("version=1.1;" + mask + PERMIT) == {}
        refused("version=1.1;" + mask.replace("2047", "4095") + PERMIT, "ServiceRefused", "PCR")
    finally:
        settings()


def test_token_properties():
    put("version=1.1;" + NO_AIK + PERMIT + "issuancerules { => issueproperty(type=\"report_validity_in_minutes\", value=5); => issueproperty(type=\"omit_x5c\", value=true); };")
    header, token = attest()
    assert token["exp"] - token["iat"] == 300, token
    assert "x5c" not in header and header["x5t"] == header["kid"], header
    refused("version=1.1;" + NO_AIK + PERMIT + "issuancerules { => issueproperty(type=\"report_validity_in_minutes\", value=525601); };", "ServicePolicyDenied",
            "report_validity_in_minutes")


def test_evidence_of_version_1_2_can_be_queried():
    value = encode(pcrs()[4])
    assert issued("version=1.2;" + NO_AIK + PERMIT + f"""issuancerules {{
        c:[type=="pcrs", issuer=="AttestationService"] => issue(type="pcr4", value=IsSubsetOf(JsonToClaimValue(JmesPath(c.value, "PCRs[?Index == `4`].Digests.SHA256")), "{value}"));
        c:[type=="pcrs", issuer=="AttestationService"] => issue(type="pcr5", value=IsSubsetOf(JsonToClaimValue(JmesPath(c.value, "PCRs[?Index == `5`].Digests.SHA256")), "{value}"));
        c:[type=="x-ms-tpm-request-key"] => issue(type="kty", value=JsonToClaimValue(JmesPath(c.value, "jwk.kty")));
        c:[type=="x-ms-tpm-request-key"] => issue(type="alg", value=JsonToClaimValue(JmesPath(c.value, "info.tpm_quote.hash_alg")));
    }};""") == {"pcr4": True, "pcr5": False, "kty": "RSA", "alg": "sha-256"}
    refused("version=1.2;" + NO_AIK + PERMIT + "issuancerules { c:[type==\"pcrs\"] => issue(claim=c); };", "ServicePolicyDenied", "read-only")
    assert issued("version=1.1;" + NO_AIK + PERMIT + "issuancerules { [type==\"pcrs\"] => issue(type=\"x\", value=1); };") == {}   # no such claim there


def test_custom_claims_have_an_issuer_of_their_own():
    settings(Evidence_CustomClaims="rack=7 role=web")
    try:
        assert issued("version=1.1;" + NO_AIK + PERMIT + """issuancerules {
            c:[issuer=="CustomClaim"] => issue(claim=c);
            [type=="role", value=="web", issuer=="AttestationService"] => issue(type="wrong", value=true);
        };""") == {"rack": "7", "role": "web"}
    finally:
        settings()


def test_policy_holds_over_a_restart_and_reset_takes_it_away():
    put("version=1.1;" + NO_AIK + PERMIT + "issuancerules { => issue(type=\"only\", value=1); };")
    assert attest()[1]["x-ms-policy"] == {"only": 1}
    reset()
    assert "bootLogPresent" in attest()[1]["x-ms-policy"]


def test_instance_without_its_own_policy_refuses_until_one_is_set():
    with tempfile.TemporaryDirectory() as where:
        process = subprocess.Popen([os.path.join(BUILD, "instance", "attest-instance"), "--listen", "127.0.0.1:0", "--state", where, "--no-default-policy"],
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            url = process.stdout.readline().split("url=")[1].strip()
            settings(Instance_Url=url, Instance_CaFile=f"{where}/ca.pem")
            assert "has not been set" in attest(CODES["ServicePolicyMissing"])
            bed.INSTANCE_URL, bed.INSTANCE_CA, known = url, f"{where}/ca.pem", (bed.INSTANCE_URL, bed.INSTANCE_CA)
            try:
                put("version=1.1;" + NO_AIK + PERMIT)
            finally:
                bed.INSTANCE_URL, bed.INSTANCE_CA = known
            assert attest()[1]["x-ms-policy"] == {}
        finally:
            settings()
            process.terminate()
            process.wait(30)
            process.stdout.close()


bed.run(globals())
