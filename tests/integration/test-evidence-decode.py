#!/usr/bin/env python3
"""attestctl evidence decode against an independent decode of the same files (struct, hashlib, openssl), and what it says of broken ones.

usage: test-evidence-decode.py ATTESTCTL
"""
import base64
import hashlib
import json
import os
import pathlib
import struct
import subprocess
import sys
import unittest

ATTESTCTL = sys.argv.pop(1) if len(sys.argv) > 1 else "attestctl"
VECTORS = pathlib.Path(os.environ.get("ATTESTD_VECTORS", "/nonexistent"))
SKIPPED = 77
CLAIMS = 0x4D4
REPORT_DATA = {2: 0x20 + 0x50, 4: 0x20 + 128, 1: 0x20 + 0x18}


def run(*arguments, stdin=b""):
    result = subprocess.run([ATTESTCTL, "evidence", *map(str, arguments)], input=stdin, capture_output=True, check=False, timeout=60)
    return result.returncode, result.stdout.decode(), result.stderr.decode()


def decode(path, stdin=b""):
    status, out, err = run("decode", "--json", path, stdin=stdin)
    return status, json.loads(out), err


def reports():
    paths = sorted([*(VECTORS / "maa/hcl").glob("*.bin"), *(VECTORS / "tpm").glob("*/hcl_report.bin")])
    assert len(paths) >= 5
    return paths


def claims_of(data):
    return data[CLAIMS:CLAIMS + struct.unpack_from("<I", data, 0x4D0)[0]]


def with_claims(data, claims):
    """The same report around other claims, every size right; report_data stays."""
    head = bytearray(data[:CLAIMS])
    struct.pack_into("<I", head, 0x08, 32 + 1184 + 20 + len(claims))
    struct.pack_into("<I", head, 0x4C0, 20 + len(claims))
    struct.pack_into("<I", head, 0x4D0, len(claims))
    return bytes(head) + claims


class ParavisorReports(unittest.TestCase):
    def check_snp(self, tee, data):
        report = data[0x20:0x4C0]
        version, guest_svn, policy = struct.unpack_from("<IIQ", report, 0)
        self.assertEqual((tee["version"], tee["guest_svn"], tee["policy"]), (version, guest_svn, f"0x{policy:016x}"))
        for name, at, size in (("family_id", 0x10, 16), ("image_id", 0x20, 16), ("report_data", 0x50, 64), ("measurement", 0x90, 48), ("host_data", 0xC0, 32),
                               ("id_key_digest", 0xE0, 48), ("author_key_digest", 0x110, 48), ("report_id", 0x140, 32), ("chip_id", 0x1A0, 64),
                               ("signature", 0x2A0, 512)):
            self.assertEqual(tee[name], report[at:at + size].hex(), name)
        for name, at in (("current_tcb", 0x38), ("platform_info", 0x40), ("reported_tcb", 0x180), ("committed_tcb", 0x1E0), ("launch_tcb", 0x1F0)):
            self.assertEqual(tee[name], f"0x{struct.unpack_from('<Q', report, at)[0]:016x}", name)

    def check_tdx(self, tee, data):
        report = data[0x20:0x20 + 1024]
        self.assertEqual((tee["type"], tee["subtype"], tee["version"]), tuple(report[:3]))
        for name, at, size in (("cpu_svn", 0x10, 16), ("report_data", 0x80, 64), ("mac", 0xE0, 32), ("attributes", 0x200, 8), ("xfam", 0x208, 8),
                               ("mr_td", 0x210, 48), ("mr_config_id", 0x240, 48), ("mr_owner", 0x270, 48), ("mr_owner_config", 0x2A0, 48)):
            self.assertEqual(tee[name], report[at:at + size].hex(), name)
        self.assertEqual(tee["rtmr"], {str(i): report[0x2D0 + 48 * i:0x300 + 48 * i].hex() for i in range(4)})
        # The report hashes its own parts, so the offsets of TDINFO and TEE_TCB_INFO are proved by the real file.
        self.assertEqual(tee["tee_info_hash"], hashlib.sha384(report[0x200:0x400]).hexdigest())
        self.assertEqual(tee["tee_tcb_info_hash"], hashlib.sha384(report[0x100:0x100 + 239]).hexdigest())

    def test_every_vector(self):
        for path in reports():
            with self.subTest(str(path)):
                data = path.read_bytes()
                status, shown, err = decode(path)
                kind = struct.unpack_from("<I", data, 0x4C8)[0]
                claims = claims_of(data)
                self.assertEqual((status, err, shown["kind"], shown["hash_alg"]), (0, "", "hcl-report", "sha256"))
                self.assertEqual((shown["version"], shown["request_type"], shown["status"]),
                                 (*struct.unpack_from("<I", data, 4), *struct.unpack_from("<II", data, 12)))
                self.assertEqual(shown["tee"], {2: "snp", 4: "tdx"}[kind])
                self.assertEqual(shown["runtime_claims"], json.loads(claims))
                self.assertEqual(data[REPORT_DATA[kind]:REPORT_DATA[kind] + 64], hashlib.sha256(claims).digest() + bytes(32))
                self.assertEqual(shown["binding"], {"holds": True})
                jwk = next(key for key in json.loads(claims)["keys"] if key["kid"] == "HCLAkPub")
                canonical = json.dumps({name: jwk[name] for name in ("e", "kty", "n")}, separators=(",", ":"), sort_keys=True).encode()
                thumbprint = base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()
                self.assertEqual(shown["ak_thumbprint"], thumbprint)
                (self.check_snp if kind == 2 else self.check_tdx)(shown["tee_report"], data)

    def test_changed_claims_break_the_binding(self):
        for path in reports():
            data = path.read_bytes()
            other = (VECTORS / "maa/hcl/var-data-kinvolk.json").read_bytes()
            self.assertNotEqual(claims_of(data), other)
            for changed in (data.replace(b'"secure-boot":true', b'"secure-boot":null', 1).replace(b'"secure-boot":false', b'"secure-boot": true', 1),
                            with_claims(data, other), with_claims(data, claims_of(data) + b" ")):
                self.assertNotEqual(changed, data)
                status, shown, err = decode("-", changed)
                self.assertEqual((status, err, shown["binding"]["holds"]), (1, "", False))
                self.assertIn("report_data", shown["binding"]["message"])
                status, out, _ = run("decode", "-", stdin=changed)
                self.assertEqual(status, 1)
                self.assertIn("binding:\n  holds: false\n", out)

    def test_made_vbs_report(self):
        claims = b'{"keys":[],"user-data":"' + b"AB" * 64 + b'"}'
        for size in (560, 800):
            for good in (True, False):
                vbs = bytearray(i % 251 for i in range(size))
                struct.pack_into("<IIII", vbs, 0, size, 1, 1, 256)
                struct.pack_into("<I", vbs, 0x14, 1)
                vbs[0x18:0x58] = hashlib.sha256(claims + (b"" if good else b" ")).digest() + bytes(32)
                report = struct.pack("<4sIII16x", b"HCLA", 2, 32 + 1184 + 20 + len(claims), 2) + bytes(vbs).ljust(1184, b"\0")
                report += struct.pack("<IIIII", 20 + len(claims), 1, 1, 1, len(claims)) + claims + bytes(100)
                status, shown, _ = decode("-", report)
                self.assertEqual((status, shown["binding"]["holds"], shown["tee"]), (0, True, "vbs-vm") if good else (1, False, "vbs-vm"))
                self.assertEqual(shown["tee_report"]["measurement"], vbs[0x78:0x98].hex())
                self.assertEqual(shown["tee_report"]["signature"], vbs[size - 256:size].hex())
                self.assertEqual("modules" in shown["tee_report"], size == 800)

    def test_cut_report_is_an_error_of_its_own(self):
        data = reports()[0].read_bytes()
        for size in (4, 31, 0x4C0, CLAIMS, CLAIMS + 10):
            status, out, err = run("decode", "-", stdin=data[:size])
            self.assertEqual((status, out), (107, ""))
            self.assertIn("(ParavisorReportMalformed)", err)

    def test_text_cannot_command_the_terminal(self):
        data = with_claims(reports()[0].read_bytes(), '{"a\u001b":"\\u001b[2J\u009b"}'.replace("\u001b", "\\u001b").encode())
        status, out, _ = run("decode", "-", stdin=data)
        self.assertEqual(status, 1)
        self.assertIn("\\x1b[2J\\xc2\\x9b", out)
        self.assertTrue(all(c == "\n" or " " <= c <= "~" for c in out))


class VbsEnclaveReports(unittest.TestCase):
    MODULE = struct.pack("<32s32s16s16sI", b"u", b"a", b"f", b"i", 7) + "vertdll.dll\0".encode("utf-16-le")

    def package(self):
        block = struct.pack("<II", 1, 8 + len(self.MODULE)) + self.MODULE
        statement = struct.pack("<II64s32s32s32s16s16s6I", 224 + len(block), 1, b"D" * 64, b"O" * 32, b"U" * 32, b"A" * 32, b"F" * 16, b"I" * 16,
                                1, 2, 3, 5, 6, 16) + block
        return struct.pack("<6I", 24 + len(statement) + 256, 1, 1, len(statement), 256, 0) + statement + b"s" * 256

    def check(self, shown):
        self.assertEqual([shown[n] for n in ("enclave_data", "owner_id", "unique_id", "author_id", "family_id", "image_id")],
                         [(c * n).hex() for c, n in ((b"D", 64), (b"O", 32), (b"U", 32), (b"A", 32), (b"F", 16), (b"I", 16))])
        self.assertEqual([shown[n] for n in ("enclave_svn", "secure_kernel_svn", "platform_svn", "flags", "signing_level", "enclave_type")],
                         [1, 2, 3, 5, 6, 16])
        self.assertEqual([shown[n] for n in ("full_debug", "dynamic_debug_allowed", "dynamic_debug_active")], [True, False, True])
        self.assertEqual([(b["type"], b["name"], b["svn"], b["data"]) for b in shown["blocks"]], [(1, "vertdll.dll", 7, self.MODULE.hex())])

    def test_package(self):
        status, shown, err = decode("-", self.package())
        self.assertEqual((status, err, shown["kind"]), (0, "", "vbs-enclave-report"))
        self.check(shown)
        status, out, err = run("decode", "-", stdin=self.package()[:-1])
        self.assertEqual((status, out), (109, ""))

    def test_key_claim(self):
        package = self.package()
        frame = struct.pack("<4sII4sIIIII", b"VKAS", 1, 5, b"VRCH", 0, 4, 2, len(package), 3) + b"attrno" + package + b"sig"
        status, shown, err = decode("-", frame)
        self.assertEqual((status, err, shown["kind"], shown["nonce"]), (0, "", "vbs-key-claim", b"no".hex()))
        self.check(shown["enclave_report"])


class TpmStructures(unittest.TestCase):
    def test_every_vector(self):
        n = 0
        for path in sorted((VECTORS / "tpm/expected").glob("*.json")):
            expected = json.loads(path.read_text())
            folder = VECTORS / "tpm" / path.stem
            if "attest" not in expected or not (folder / "attest.bin").is_file():
                continue
            with self.subTest(path.stem):
                status, shown, err = decode(folder / "attest.bin")
                if expected["attest"]["type"] not in ("8017", "8018"):  # a creation: nothing of ours reads it
                    self.assertEqual((status, shown["error"]["code"]), (99, "QuoteMalformed"))
                    continue
                self.assertEqual((status, err, shown["kind"]), (0, "", "tpms-attest"))
                attest = expected["attest"]
                self.assertEqual((shown["extra_data"], shown["qualified_signer"], shown["firmware_version"], shown["clock"]),
                                 (attest["extraData"], attest["qualifiedSigner"], attest["firmwareVersion"], attest["clockInfo"]["clock"]))
                if "quote" in attest:
                    banks = {b["hash"]: f"0x{sum(1 << p for p in b['pcrs']):06x}" for b in attest["quote"]["pcrSelect"]}
                    self.assertEqual((shown["type"], shown["pcr_digest"], shown["selection"]), ("quote", attest["quote"]["pcrDigest"], banks))
                n += 1
        self.assertGreaterEqual(n, 10)

    def test_public_areas_have_their_names(self):
        for file in sorted((VECTORS / "tpm").glob("*/akpub.bin")):
            with self.subTest(str(file)):
                data = file.read_bytes()
                area = data[2:] if struct.unpack(">H", data[:2])[0] == len(data) - 2 else data
                status, shown, err = decode(file)
                self.assertEqual((status, err, shown["kind"]), (0, "", "tpmt-public"))
                self.assertEqual(shown["name_alg"], "sha256")
                self.assertEqual(shown["name"], "000b" + hashlib.sha256(area).hexdigest())
                self.assertEqual(shown["attributes"]["value"], "0x" + area[4:8].hex())

    def test_signature(self):
        path = VECTORS / "tpm/trustee-az-snp-evidence-v1/signature.bin"
        data = path.read_bytes()
        status, shown, _ = decode(path)
        self.assertEqual((status, shown), (0, {"kind": "tpmt-signature", "scheme": "rsassa", "hash_alg": "sha256", "signature": data[6:].hex()}))

    def test_certificate(self):
        for name, form in (("spec-aik.der", "DER"), ("spec-aik.pem", "PEM")):
            path = VECTORS / "maa/azureguest" / name
            openssl = subprocess.run(["openssl", "x509", "-inform", form, "-in", path, "-noout", "-fingerprint", "-sha256", "-issuer", "-nameopt", "RFC2253",
                                      "-enddate"], capture_output=True, text=True, check=True).stdout.splitlines()
            found = dict(line.split("=", 1) for line in openssl)
            status, shown, err = decode(path)
            self.assertEqual((status, err, shown["kind"]), (0, "", "certificate"))
            self.assertEqual(shown["issuer"], found["issuer"])
            self.assertEqual(shown["sha256"].upper(), next(v for k, v in found.items() if "ingerprint" in k).replace(":", ""))
            end = subprocess.run(["date", "-u", "-d", found["notAfter"], "+%s"], capture_output=True, text=True, check=True).stdout
            self.assertEqual(shown["not_after"], int(end))

    def test_unknown_and_usage(self):
        for stdin in (b"", b"x", b"\x00", b"hello world", bytes(3000)):
            status, out, err = run("decode", "-", stdin=stdin)
            self.assertEqual((status, out), (10, ""))
            self.assertIn("(NotSupported)", err)
        for arguments in ([], ["decode"], ["decode", "a", "b"], ["other", "a"], ["decode", "--nonsense", "a"]):
            status, out, err = run(*arguments)
            self.assertEqual((status, out), (2, ""), arguments)
            self.assertTrue(err)


if __name__ == "__main__":
    if not (VECTORS / "INDEX.md").is_file():
        print(f"SKIPPED: no test vectors in \"{VECTORS}\" (-Dvectors=DIR)")
        sys.exit(SKIPPED)
    unittest.main()
