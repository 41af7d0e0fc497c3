#!/usr/bin/env python3
"""Every forgery that the instance can make is refused by the daemon, each with the code of its own rule, and the good token stays."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from bed import *

FORGERIES = [
    ("token=alg-none", "TokenAlgNone"),
    ("token=hs256", "TokenAlgSymmetric"),
    ("token=wrong-key", "TokenSignatureInvalid"),
    ("token=unknown-kid", "TokenKeyUnknown"),
    ("token=expired", "TokenExpired"),
    ("token=not-yet-valid", "TokenNotYetValid"),
    ("token=issued-in-future", "TokenIssuedInFuture"),
    ("token=wrong-issuer", "TokenIssuerMismatch"),
    ("token=wrong-nonce", "TokenNonceMismatch"),
    ("token=wrong-cnf", "TokenCnfMismatch"),
    ("token=tampered", "TokenSignatureInvalid"),
    ("token=duplicate-alg", "TokenDuplicateMember"),
    ("token=foreign-jku", "TokenForeignJku"),
    ("token=foreign-x5u", "TokenForeignJku"),
    ("token=foreign-x5c", "TokenX5cMismatch"),
    ("token=embedded-jwk", "TokenEmbeddedJwk"),
    ("token=crit", "TokenCritUnknown"),
    ("token=extra-part", "TokenParts"),
    ("token=truncated", "TokenTruncated"),
]

MISBEHAVIOUR = [
    ("status=500", "ServiceUnavailable"),
    ("status=503", "ServiceUnavailable"),
    ("status=429", "ServiceThrottled"),
    ("status=401", "ServiceUnauthorized"),
    ("malformed-json", "ServiceAnswerInvalid"),
    ("duplicate-member", "ServiceAnswerInvalid"),
    ("missing-member", "ServiceAnswerInvalid"),
    ("wrong-type", "ServiceAnswerInvalid"),
    ("oversized", "ServiceAnswerTooLarge"),
    ("deep-json", "ServiceAnswerInvalid"),
    ("bad-base64", "ServiceAnswerInvalid"),
    ("wrong-challenge-size", "ServiceAnswerInvalid"),
    ("no-policy", "ServicePolicyMissing"),
]


def attest_once():
    """Exit status and error name of one attestation without retries."""
    code, out, err = attestctl("attest", "--json", "--timeout", "0")
    return code, json.loads(out)["error"]["code"] if code else None, err


def expect_refused(spec, name, errors, token):
    set_faults(spec)
    code, got, err = attest_once()
    assert got == name, f"{spec}: {got}, expected {name}: {err}"
    assert code == errors[name]["exit_status"], (spec, code)
    assert name in err, f"{spec}: stderr does not name {name}: {err}"
    shown = status()["profiles"]["default"]
    assert shown["LastError"]["code"] == name, (spec, shown["LastError"])
    assert shown["Attested"] is True, spec
    assert attestctl("token", check=0)[1].strip() == token, f"{spec}: the good token did not stay"


def test_each_forgery_is_refused_with_its_own_code():
    errors = error_table()
    set_faults()
    attestctl("attest", check=0)
    token = attestctl("token", check=0)[1].strip()
    for spec, name in FORGERIES:
        expect_refused(spec, name, errors, token)
    set_faults()
    attestctl("attest", check=0)


def test_each_misbehaviour_of_the_service_is_named():
    errors = error_table()
    set_faults()
    attestctl("attest", check=0)
    token = attestctl("token", check=0)[1].strip()
    for spec, name in MISBEHAVIOUR:
        expect_refused(spec, name, errors, token)
    set_faults()
    attestctl("attest", check=0)
    assert status()["Alive"] is True


run(globals())
