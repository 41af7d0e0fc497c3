#!/usr/bin/env python3
"""attestctl eventlog and attestctl ima over every third-party log: values, exit status, standard input, and what a bad log gives.

usage: test-logs-vectors.py ATTESTCTL
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ATTESTCTL = sys.argv.pop(1) if len(sys.argv) > 1 else "attestctl"
VECTORS = pathlib.Path(os.environ.get("ATTESTD_VECTORS", "/nonexistent"))
SKIPPED = 77


def run(*arguments, stdin=b""):
    result = subprocess.run([ATTESTCTL, *map(str, arguments)], input=stdin, capture_output=True, check=False, timeout=120)
    return result.returncode, result.stdout.decode(), result.stderr.decode()


def run_json(*arguments, stdin=b""):
    status, out, err = run(*arguments, stdin=stdin)
    return status, json.loads(out), err


def expected_of(path):
    return json.loads((path.parent / "expected" / (path.name.replace(".converted.bin", ".txt") + ".json")).read_text())


class EventLogs(unittest.TestCase):
    def check_events(self, events, expected):
        self.assertEqual(len(events), len(expected))
        for event, wanted in zip(events, expected):
            self.assertEqual((event["number"], event["offset"], event["pcr"], event["size"]), (wanted["i"], wanted["off"], wanted["pcr"], wanted["size"]))
            self.assertEqual(event["type_name"], wanted["type"])
            self.assertEqual(event["digests"], wanted["digests"])

    def check_refused(self, path, status, report, err):
        self.assertEqual(status, 1, path)
        self.assertEqual(list(report), ["error"])
        self.assertIn(report["error"]["message"], err)
        self.assertIn(str(path), err)

    def test_every_vector(self):
        paths = sorted((VECTORS / "eventlog").glob("*.bin"))
        self.assertTrue(paths)
        for path in paths:
            with self.subTest(path.name):
                expected = expected_of(path)
                status, report, err = run_json("eventlog", "--json", path)
                if expected["expect"] in ("reject", "implementation-defined"):
                    self.check_refused(path, status, report, err)
                    continue
                self.assertEqual((status, err), (0, ""))
                self.assertEqual(report["pcrs"], expected["pcrs"])
                self.assertEqual(report["format"], expected["format"])
                self.assertEqual(report.get("startup_locality"), expected["startup_locality"])
                padding = expected["padding"] and {"offset": expected["padding"]["offset"], "size": expected["padding"]["length"]}
                self.assertEqual(report.get("padding"), padding)
                self.check_events(report["events"], expected["events"])

    def test_text_names_every_event_and_pcr(self):
        path = VECTORS / "eventlog/guard-windows_event_log.bin"
        expected = expected_of(path)
        status, out, err = run("eventlog", path)
        self.assertEqual((status, err), (0, ""))
        events, pcrs = out.split("\nReplayed PCRs\n")
        self.assertEqual(len(re.findall(r"^ *\d+  (?:PCR|-) ", events, re.M)), expected["num_events"])
        self.assertEqual(dict(re.findall(r"^sha1:(\d+) +([0-9a-f]+)$", pcrs, re.M)), expected["pcrs"]["sha1"])
        self.assertTrue(all(c == "\n" or " " <= c <= "~" for c in out))

    def test_pcr_shows_only_these(self):
        path = VECTORS / "eventlog/ibmtss-dell1.bin"
        expected = expected_of(path)
        status, report, _ = run_json("eventlog", "--json", "--pcr", "4,7", path)
        self.assertEqual(status, 0)
        self.assertEqual({e["pcr"] for e in report["events"]}, {4, 7})
        for bank, values in expected["pcrs"].items():
            self.assertEqual(report["pcrs"][bank], {n: v for n, v in values.items() if n in ("4", "7")})

    def test_standard_input(self):
        path = VECTORS / "eventlog/ibmtss-dell1.bin"
        status, report, _ = run_json("eventlog", "--json", "-", stdin=path.read_bytes())
        self.assertEqual((status, report["pcrs"]), (0, expected_of(path)["pcrs"]))

    def test_cut_log_gives_error_with_offset_and_no_value(self):
        data = (VECTORS / "eventlog/ibmtss-dell1.bin").read_bytes()
        for size in (9, 31, 68, 100, len(data) - 1):
            status, out, err = run("eventlog", "-", stdin=data[:size])
            self.assertEqual((status, out), (1, ""))
            self.assertRegex(err, r"offset \d+.*\(LogTruncated\)")

    def test_usage(self):
        for arguments in (["eventlog"], ["eventlog", "a", "b"], ["eventlog", "--pcr", "24", "a"], ["eventlog", "--nonsense", "a"],
                          ["ima"], ["ima", "--bank", "md5", "a"], ["ima", "a", "b"]):
            status, out, err = run(*arguments)
            self.assertEqual((status, out), (2, ""), arguments)
            self.assertTrue(err)

    def test_missing_file(self):
        for verb in ("eventlog", "ima"):
            with tempfile.TemporaryDirectory() as folder:
                status, _, err = run(verb, f"{folder}/absent")
                self.assertNotIn(status, (0, 2))
                self.assertIn(f"{folder}/absent", err)


class ImaLists(unittest.TestCase):
    def check_values(self, report, expected):
        banks = ("sha1", "sha256", "sha384")
        self.assertEqual(report["entries"], expected["entries"])
        self.assertEqual(report["violations"], expected["violations"])
        self.assertEqual(report["templates"], expected["templates"])
        self.assertEqual(report["template_digest"], expected["log_digest_alg"])
        self.assertEqual(report["pcrs"], {bank: {pcr: values[bank] for pcr, values in expected["pcr"].items()} for bank in banks})
        self.assertEqual([m["entry"] for m in report["digest_mismatches"]], expected["template_digest_mismatches"])

    def test_every_vector(self):
        paths = sorted([*(VECTORS / "ima").glob("*.bin"), *(VECTORS / "ima").glob("*.txt")])
        self.assertTrue(paths)
        for path in paths:
            with self.subTest(path.name):
                expected = expected_of(path)
                status, report, err = run_json("ima", "--json", path)
                if expected["expect"] == "reject" or (path.suffix == ".txt" and expected.get("unparsed_lines")):
                    self.assertEqual((status, list(report)), (1, ["error"]))
                    for line in expected.get("unparsed_lines", [])[:1]:
                        self.assertIn(f"line {line}: ", err)
                    continue
                self.check_values(report, expected)
                whole = expected["expect"] not in ("truncated-tail", "digest-mismatch")
                self.assertEqual(status, 0 if whole else 1)
                self.assertEqual("truncated" in report, expected["expect"] == "truncated-tail")
                self.assertEqual(err == "", whole)

    def test_truncated_list_reports_entries_and_cut(self):
        path = VECTORS / "ima/tss-sml-ima-ng-sha1.bin"
        size = path.stat().st_size
        status, report, err = run_json("ima", "--json", path)
        self.assertEqual((status, report["entries"]), (1, 6))
        self.assertEqual((report["truncated"]["offset"], report["truncated"]["bytes_left"]), (size - 1, 1))
        self.assertRegex(err, rf"6 whole entries \({size - 1} bytes\).*\(LogTruncated\)")

    def test_changed_data_is_reported(self):
        path = VECTORS / "ima/ibmtss-sha1.bin"
        expected = expected_of(path)
        offset = expected["list"][7]["off"] + 4 + 20 + 4 + len("ima-sig") + 4 + 20  # inside the file digest
        data = bytearray(path.read_bytes())
        data[offset] ^= 1
        status, report, err = run_json("ima", "--json", "-", stdin=bytes(data))
        self.assertEqual(status, 1)
        self.assertEqual(report["digest_mismatches"], [{"entry": 7, "offset": expected["list"][7]["off"]}])
        self.assertNotEqual(report["pcrs"]["sha1"]["10"], expected["pcr"]["10"]["sha1"])
        self.assertIn("entry 7: ", err)

    def test_bank_shows_only_that(self):
        path = VECTORS / "ima/ibmtss-sha512.bin"
        for bank in ("sha1", "sha256", "sha384", "sha512"):
            status, report, _ = run_json("ima", "--json", "--bank", bank, path)
            self.assertEqual((status, report["pcrs"]), (0, {bank: {"10": expected_of(path)["pcr"]["10"][bank]}}))

    def test_text_names_templates_and_pcr(self):
        path = VECTORS / "ima/ibmtss-imatest.bin"
        expected = expected_of(path)
        status, out, err = run("ima", path)
        self.assertEqual((status, err), (0, ""))
        self.assertIn("17 entries, 1 violations\n", out)
        self.assertEqual({n: int(c) for n, c in re.findall(r"^  (\S+) +(\d+)$", out, re.M)}, expected["templates"])
        self.assertIn(f"sha256:10 {expected['pcr']['10']['sha256']}\n", out)

    def test_empty_list(self):
        status, report, err = run_json("ima", "--json", "-")
        self.assertEqual((status, report["error"]["code"]), (1, "LogEmpty"))
        self.assertIn("(LogEmpty)", err)


if __name__ == "__main__":
    if not (VECTORS / "INDEX.md").is_file():
        print(f"SKIPPED: no test vectors in \"{VECTORS}\" (-Dvectors=DIR)")
        sys.exit(SKIPPED)
    unittest.main()
