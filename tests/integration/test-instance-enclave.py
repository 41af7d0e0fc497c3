#!/usr/bin/env python3
"""The instance and SGX enclaves over real TLS: recorded exchanges of attest/SgxEnclave and attest/OpenEnclave played against it, and quotes that are put
together here, byte for byte after Intel's documentation, with keys, certificates and signatures of the openssl command.

usage: test-instance-enclave.py ATTEST-INSTANCE
"""
import base64
import hashlib
import json
import os
import re
import struct
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from instance import (EXCHANGES, PERMIT, VERSION, InstanceTest, Signer, decode, encode, openssl, parts, raw_signature, recorded, recorded_folders, unsigned)

SGX, OPEN_ENCLAVE = "/attest/SgxEnclave", "/attest/OpenEnclave"
LIFETIME, NOTHING = 28800, hashlib.sha256(b"").hexdigest()
HAVE_VECTORS = unittest.skipUnless(os.path.isdir(EXCHANGES), f"no vectors in {EXCHANGES}")
KSS, DEBUG, INIT_64BIT = 0x80, 0x02, 0x05


def report_body(mrenclave=b"\x11" * 32, mrsigner=b"\x22" * 32, flags=INIT_64BIT, product_id=7, svn=3, data=bytes(64), config_id=bytes(64)):
    """SGX REPORT body: Intel SGX ECDSA QuoteLib Reference, table "Enclave Report Body"."""
    return (b"\x0a" * 16 + struct.pack("<I", 0) + bytes(28) + struct.pack("<QQ", flags, 3) + mrenclave + bytes(32) + mrsigner + bytes(32) + config_id +
            struct.pack("<HHH", product_id, svn, 0) + bytes(42) + bytes(16) + data)


def sign_raw(signer, data):
    return raw_signature(openssl("dgst", "-sha256", "-sign", signer.key, data=data), 32)


class Platform:
    """A platform that makes quotes: root, PCK certificate, attestation key."""

    def __init__(self, folder, name):
        self.root = Signer(folder, f"{name}-root", "P-256")
        self.pck = Signer(folder, f"{name}-pck", "P-256", issuer=self.root, is_ca=False)
        self.attestation = Signer(folder, f"{name}-attestation", "P-256")

    def quote(self, by=None, **enclave):
        """by: who signs with a key of their own in place of the one that the quoting enclave vouches for."""
        by = by or self.attestation
        point, vouched = (openssl("pkey", "-in", signer.key, "-pubout", "-outform", "DER")[-64:] for signer in (by, self.attestation))
        signed = struct.pack("<HHIHH", 3, 2, 0, 5, 10) + bytes(16) + bytes(20) + report_body(**enclave)
        authentication = b"authentication data"
        qe = report_body(data=hashlib.sha256(vouched + authentication).digest() + bytes(32))
        with open(self.pck.pem, "rb") as leaf, open(self.root.pem, "rb") as root:
            chain = leaf.read() + root.read()
        data = (sign_raw(by, signed) + point + qe + sign_raw(self.pck, qe) + struct.pack("<H", len(authentication)) + authentication +
                struct.pack("<HI", 5, len(chain)) + chain)
        return signed + struct.pack("<I", len(data)) + data


def binding(data):
    return hashlib.sha256(data).digest() + bytes(32)


def open_enclave(quote):
    return struct.pack("<IIQ", 1, 2, len(quote)) + quote


def runtime(data, kind="Binary"):
    return {"data": encode(data), "dataType": kind}


class EnclaveTest(InstanceTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.platform = Platform(cls.folder.name, "intel")
        cls.plain = cls.platform.quote()

    def attest(self, instance, path, **members):
        """The claims of the token, whose signature holds."""
        answer, text = instance.ask("POST", path + VERSION, json.dumps(members))
        self.assertEqual(answer.status, 200, text)
        return self.verified(instance, json.loads(text)["token"], LIFETIME)

    def refused(self, instance, path, code, *words, **members):
        self.expect_error(instance, "POST", path, json.dumps(members), 400, code, *words)

    def trusted(self):
        return self.start("--trust-sgx-root", self.platform.root.pem)

    # Recorded exchanges.

    def recorded_root(self):
        """The last certificate of a recorded quote is Intel's root."""
        body = recorded("SimpleAttest-SgxEnclave_Aad")[0]["request"]["body"]
        certificates = re.findall(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", decode(body["quote"]), re.S)
        self.assertEqual(len(certificates), 3)
        path = f"{self.folder.name}/recorded-root.pem"
        with open(path, "wb") as file:
            file.write(certificates[2])
        self.assertIn(b"Intel SGX Root CA", openssl("x509", "-in", path, "-noout", "-subject"))
        return path

    def compare(self, instance, token, wanted):
        header, claims, signature = parts(wanted)
        got_header, got, got_signature = parts(token)
        self.assertEqual(list(got_header), list(header))
        self.assertEqual((got_header["alg"], got_header["typ"], got_header["jku"]), (header["alg"], header["typ"], f"{instance.url}/certs"))
        self.assertEqual(bool(got_signature), bool(signature))
        if signature:
            self.verified(instance, token, LIFETIME)
        self.assertEqual(list(got), list(claims))
        self.assertEqual((got["exp"] - got["iat"], got["nbf"] - got["iat"]), (claims["exp"] - claims["iat"], claims["nbf"] - claims["iat"]))
        self.assertEqual(got["iss"], instance.url)
        self.assertRegex(got["jti"], "^[0-9a-f]{64}$")
        for name in ("maa-attestationcollateral", "x-ms-sgx-collateral"):
            self.assertEqual(list(got[name]), list(claims[name]))
            self.assertEqual(got[name]["quotehash"], claims[name]["quotehash"])
            self.assertEqual({value for member, value in got[name].items() if member != "quotehash"}, {NOTHING})
        for name in set(claims) - {"exp", "iat", "iss", "nbf", "jti", "maa-attestationcollateral", "x-ms-sgx-collateral"}:
            self.assertEqual(got[name], claims[name], name)

    @HAVE_VECTORS
    def test_recorded_exchanges_are_answered_in_their_shape(self):
        folders = recorded_folders("enclave")
        self.assertGreaterEqual(len(folders), 16)
        n_exchanges = {200: 0, 400: 0}
        with self.start("--trust-sgx-root", self.recorded_root()) as instance:
            for exchange, folder in [(exchange, folder) for folder in folders for exchange in recorded(folder)]:
                with self.subTest(folder=folder, status=exchange["response"]["status"]):
                    wanted = exchange["response"]["body"]
                    outer = self.play(instance, exchange)
                    if "error" in wanted:
                        self.assertEqual(outer, wanted)
                    else:
                        self.compare(instance, outer["token"], wanted["token"])
                    n_exchanges[exchange["response"]["status"]] += 1
        self.assertGreaterEqual(n_exchanges[200], 16)
        self.assertGreaterEqual(n_exchanges[400], 4)

    @HAVE_VECTORS
    def test_recorded_quote_without_its_root(self):
        body = recorded("SimpleAttest-SgxEnclave_Aad")[0]["request"]["body"]
        wanted = parts(recorded("SimpleAttest-SgxEnclave_Aad")[0]["response"]["body"]["token"])[1]
        with self.start() as instance:
            claims = self.attest(instance, SGX, **body)
            self.assertEqual(claims["sgxPckChain"], "unverified")
            self.assertEqual(set(claims) - {"sgxPckChain"}, set(wanted))
        with self.trusted() as instance:
            self.refused(instance, SGX, "InvalidParameter", "PCK certificate", **body)

    # Quotes made here.

    def test_quote_and_report_say_what_the_enclave_is(self):
        with self.trusted() as instance:
            for path, member, evidence in ((SGX, "quote", self.plain), (OPEN_ENCLAVE, "report", open_enclave(self.plain))):
                claims = self.attest(instance, path, **{member: encode(evidence)})
                self.assertEqual(claims["x-ms-sgx-mrenclave"], "11" * 32)
                self.assertEqual(claims["x-ms-sgx-mrsigner"], "22" * 32)
                self.assertEqual((claims["x-ms-sgx-product-id"], claims["x-ms-sgx-svn"], claims["x-ms-sgx-is-debuggable"]), (7, 3, False))
                self.assertEqual(claims["x-ms-sgx-report-data"], "00" * 64)
                self.assertEqual(claims["x-ms-sgx-collateral"]["quotehash"], hashlib.sha256(evidence).hexdigest())
                self.assertEqual(claims["x-ms-policy"], {"is-debuggable": False, "product-id": 7, "sgx-mrenclave": "11" * 32, "sgx-mrsigner": "22" * 32,
                                                         "svn": 3, "tee": "sgx"})
                self.assertNotIn("sgxPckChain", claims)
                self.assertNotIn("x-ms-runtime", claims)
            self.assertTrue(self.attest(instance, SGX, quote=encode(self.platform.quote(flags=INIT_64BIT | DEBUG)))["x-ms-sgx-is-debuggable"])

    def test_chain_to_no_root_of_ours_is_refused_and_told_where_there_is_no_root(self):
        other = Platform(self.folder.name, "other").quote()
        with self.trusted() as instance:
            self.refused(instance, SGX, "InvalidParameter", "PCK certificate", quote=encode(other))
        with self.start() as instance:
            self.assertEqual(self.attest(instance, SGX, quote=encode(other))["sgxPckChain"], "unverified")

    def test_one_bit_of_what_is_signed_is_noticed_without_a_root_too(self):
        with self.start() as instance:
            for place in (48 + 64, 48 + 128, 48 + 256, 48 + 320, 436, 500, 564, 948):
                with self.subTest(place=place):
                    spoilt = bytearray(self.plain)
                    spoilt[place] ^= 0x40
                    self.refused(instance, SGX, "InvalidParameter", "SGX quote", quote=encode(bytes(spoilt)))

    def test_attestation_key_that_the_quoting_enclave_does_not_vouch_for_is_refused(self):
        forged = self.platform.quote(by=Signer(self.folder.name, "forger", "P-256"), mrenclave=b"\x66" * 32)
        with self.trusted() as instance:
            self.refused(instance, SGX, "InvalidParameter", "not for this attestation key", quote=encode(forged))

    def test_runtime_data_are_bound_by_the_report_data_and_come_back(self):
        binary, document = b"\0\x01 what the enclave made \xff", b'{"z":[1,{"b":null,"a":2.50}],"key":{"kty":"EC"},"a":true}\0'
        with self.trusted() as instance:
            quote = encode(self.platform.quote(data=binding(binary)))
            claims = self.attest(instance, SGX, quote=quote, runtimeData=runtime(binary))
            self.assertEqual([claims[name] for name in ("aas-ehd", "maa-ehd", "x-ms-sgx-ehd")], [encode(binary)] * 3)
            self.refused(instance, SGX, "InvalidParameter", "runtimeData", quote=quote, runtimeData=runtime(binary + b"\0"))
            self.refused(instance, SGX, "InvalidParameter", "runtimeData", quote=encode(self.plain), runtimeData=runtime(b""))
            quote = encode(self.platform.quote(data=binding(document)))
            claims = self.attest(instance, SGX, quote=quote, runtimeData=runtime(document, "JSON"))
            self.assertEqual(list(claims["x-ms-runtime"]), ["a", "key", "z"])
            self.assertEqual(claims["x-ms-runtime"], json.loads(document[:-1]))
            self.assertNotIn("x-ms-sgx-ehd", claims)
            # the hash has to be followed by zeros
            quote = encode(self.platform.quote(data=binding(binary)[:63] + b"\1"))
            self.refused(instance, SGX, "InvalidParameter", "runtimeData", quote=quote, runtimeData=runtime(binary))

    def test_init_time_data_are_bound_by_the_configuration_id(self):
        document = b'{"who":"the loader"}'
        with self.trusted() as instance:
            quote = encode(self.platform.quote(flags=INIT_64BIT | KSS, config_id=binding(document)))
            self.assertEqual(self.attest(instance, SGX, quote=quote, initTimeData=runtime(document, "JSON"))["x-ms-inittime"], {"who": "the loader"})
            self.assertNotIn("x-ms-inittime", self.attest(instance, SGX, quote=quote, inittimeData=runtime(document)))
            self.refused(instance, SGX, "InvalidParameter", "initTimeData", quote=quote, initTimeData=runtime(document + b" ", "JSON"))
            self.refused(instance, SGX, "InvalidParameter", "initTimeData", quote=encode(self.plain), initTimeData=runtime(document))

    def test_spellings_that_clients_use_are_taken(self):
        with self.trusted() as instance:
            for value in (base64.b64encode(self.plain + b"").decode(), encode(self.plain)):
                claims = self.attest(instance, SGX.lower(), Quote=value, Nonce="a nonce", unknown=[1])
                self.assertEqual(claims["nonce"], "a nonce")

    def test_requests_that_are_none_are_refused(self):
        quote = encode(self.plain)
        with self.trusted() as instance:
            for members, word in (({}, "quote is missing"), ({"report": quote}, "quote is missing"), ({"quote": 7}, "quote is no string"),
                                  ({"quote": "*"}, "quote"), ({"quote": ""}, "SGX quote"), ({"quote": encode(open_enclave(self.plain))}, "SGX quote"),
                                  ({"quote": quote, "Quote": quote}, "twice"), ({"quote": quote, "nonce": {}}, "nonce"),
                                  ({"quote": quote, "runtimeData": "x"}, "runtimeData"), ({"quote": quote, "runtimeData": {"data": ""}}, "dataType"),
                                  ({"quote": quote, "runtimeData": {"dataType": "Binary"}}, "data is missing"),
                                  ({"quote": quote, "runtimeData": {"data": "", "dataType": "XML"}}, "dataType"),
                                  ({"quote": quote, "runtimeData": runtime(b"[]", "JSON")}, "object"),
                                  ({"quote": quote, "runtimeData": runtime(b"{", "JSON")}, "runtimeData")):
                with self.subTest(word=word):
                    self.refused(instance, SGX, "InvalidParameter", word, **members)
            self.expect_error(instance, "POST", SGX, "[]", 400, "InvalidParameter", "object")
            self.expect_error(instance, "POST", SGX, "", 400, "InvalidParameter")
            self.expect_error(instance, "GET", SGX, None, 405, "MethodNotAllowed")
            answer, text = instance.ask("POST", SGX, json.dumps({"quote": quote}))
            self.assertEqual((answer.status, json.loads(text)["error"]["code"]), (400, "InvalidParameter"))

    # Policies.

    def test_stored_policy_of_the_type_judges_and_issues(self):
        policy = ('version=1.1; configurationrules{ => issueproperty(type="x-ms-sgx-tcbidentifier", value="11"); };'
                  'authorizationrules{ [type=="x-ms-sgx-mrenclave", value=="%s"] => permit(); };'
                  'issuancerules{ c:[type=="x-ms-sgx-svn"] => issue(type="level", value=c.value); => issue(type="who", value="a");'
                  ' => issue(type="who", value="b"); => issue(type="iss", value="somebody else"); };')
        with self.trusted() as instance:
            signed = self.rsa.policy(policy % ("11" * 32))
            self.claims(instance, "PUT", "/policies/SgxEnclave", signed)
            claims = self.attest(instance, SGX, quote=encode(self.plain))
            self.assertEqual(claims["x-ms-policy"], {"iss": "somebody else", "level": 3, "who": ["a", "b"]})
            self.assertEqual((claims["level"], claims["who"], claims["iss"]), (3, ["a", "b"], instance.url))
            self.assertEqual(claims["x-ms-sgx-tcbidentifier"], "11")
            self.assertEqual(claims["x-ms-policy-hash"], encode(hashlib.sha256(parts(signed)[1]["AttestationPolicy"].encode()).digest()))
            self.assertEqual(claims["x-ms-policy-signer"], self.rsa.jwk())
            self.assertNotIn("sgx-mrsigner", claims)
            # the other type has its own
            self.assertIn("sgx-mrsigner", self.attest(instance, OPEN_ENCLAVE, report=encode(open_enclave(self.plain))))
            self.refused(instance, SGX, "PolicyEvaluationError", "65518", "83FFFFEE", "No Permit claim was issued",
                         quote=encode(self.platform.quote(mrenclave=b"\x12" * 32)))
            self.claims(instance, "POST", "/policies/SgxEnclave:reset", self.rsa.sign(b""))
            self.assertIn("sgx-mrsigner", self.attest(instance, SGX, quote=encode(self.plain)))

    def test_deny_wins_over_permit(self):
        with self.trusted() as instance:
            self.claims(instance, "PUT", "/policies/SgxEnclave", unsigned("version=1.0; authorizationrules{ => permit(); => deny(); }; issuancerules{};"))
            self.refused(instance, SGX, "PolicyEvaluationError", "65518", "83FFFFEE", "A Deny claim was issued", quote=encode(self.plain))

    def test_draft_policy_takes_the_place_of_the_stored_one_and_the_token_is_unsigned(self):
        with self.trusted() as instance:
            self.claims(instance, "PUT", "/policies/SgxEnclave", unsigned("version=1.0; authorizationrules{}; issuancerules{};"))
            draft = PERMIT.replace("issuancerules{}", 'issuancerules{=> issue(type="draft", value=true);}')
            answer, text = instance.ask("POST", SGX + VERSION, json.dumps({"quote": encode(self.plain), "draftPolicyForAttestation": draft}))
            self.assertEqual(answer.status, 200, text)
            header, claims, signature = parts(json.loads(text)["token"])
            self.assertEqual((header["alg"], list(header), signature), ("none", ["alg", "jku", "kid", "typ"], b""))
            self.assertTrue(claims["draft"])
            self.assertEqual(claims["x-ms-policy-hash"], encode(hashlib.sha256(encode(draft).encode()).digest()))
            self.refused(instance, SGX, "PolicyParsingError", "65526", "Line: '1', Column: '13'", quote=encode(self.plain),
                         draftPolicyForAttestation="version=1.0 nonsense")
            self.refused(instance, SGX, "PolicyEvaluationError", "No Permit claim", quote=encode(self.plain))

    def test_policy_whose_evaluation_fails_permits_nothing(self):
        draft = ('version=1.2; authorizationrules{ => permit(); }; issuancerules{'
                 'c:[type=="x-ms-attestation-type"] => issue(type="x", value=JmesPath(c.value, "a")); };')  # sgx is no JSON
        with self.trusted() as instance:
            self.refused(instance, SGX, "PolicyEvaluationError", "65518", "83FFFFEE", "JmesPath", quote=encode(self.plain), draftPolicyForAttestation=draft)


if __name__ == "__main__":
    unittest.main()
