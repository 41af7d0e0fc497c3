#!/usr/bin/env python3
"""What attestctl takes without any daemon: options of each verb, wrong ones, where they may stand, and what completion offers.

usage: test-cli-usage.py ATTESTCTL
"""
import json
import os
import re
import subprocess
import sys
import unittest

ATTESTCTL = os.path.abspath(sys.argv.pop(1))
SOURCE = os.environ.get("ATTESTD_SOURCE") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
COMPLETION = os.path.join(SOURCE, "cli", "attestctl.bash-completion")
NOWHERE = dict(os.environ, DBUS_SYSTEM_BUS_ADDRESS="unix:path=/nonexistent/bus")


def attestctl(*arguments, **how):
    return subprocess.run([ATTESTCTL, *arguments], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, env=NOWHERE, **how)


def verbs():
    return re.findall(r"^  ([a-z][a-z-]*) ", attestctl("--help").stdout, re.M)


def options_in_help(verb):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", "\n".join(
        line for line in attestctl(verb, "--help").stdout.splitlines() if re.match(r"  (-\w, )?--", line))))


def complete(*words):
    """What completion offers for the last word."""
    script = 'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _attestctl; printf "%s\\n" "${COMPREPLY[@]}"'
    path = os.path.dirname(ATTESTCTL) + ":" + os.environ["PATH"]
    done = subprocess.run(["bash", "-c", script, COMPLETION, "attestctl", *words], capture_output=True, text=True, timeout=60,
                          env=dict(NOWHERE, PATH=path))
    assert done.returncode == 0 and not done.stderr, done
    return set(done.stdout.split())


class Usage(unittest.TestCase):
    def test_help_of_each_verb_exits_0_and_names_json(self):
        self.assertIn("status", verbs())
        for verb in verbs():
            with self.subTest(verb):
                done = attestctl(verb, "--help")
                self.assertEqual(done.returncode, 0)
                self.assertTrue(done.stdout.startswith(f"attestctl {verb}"))
                self.assertIn("--json", options_in_help(verb))

    def test_unknown_option_of_each_verb_exits_2_without_output(self):
        for verb in verbs():
            with self.subTest(verb):
                done = attestctl(verb, "--no-such-option")
                self.assertEqual((done.returncode, done.stdout), (2, ""))
                self.assertIn("--no-such-option", done.stderr)
                self.assertTrue(done.stderr.startswith("attestctl: "), done.stderr)

    def test_wrong_values_and_arguments_exit_2(self):
        for arguments in (
                [], ["nothing"], ["status", "x"], ["token", "x"], ["wait", "x"], ["attest", "x"], ["status", "--bus=no"], ["wait", "--timeout=soon"],
                ["wait", "--timeout"], ["attest", "--nonce=0"], ["attest", "--nonce=xy"], ["attest", "--nonce="], ["attest", "--nonce=" + "00" * 1025],
                ["attest", "--config=/x"], ["token", "--min-remaining=5000000000"], ["validate"], ["validate", "--issuer=https://x", "/dev/null"],
                ["validate", "--at=1", "/dev/null"], ["errors", "NoSuchError"]):
            with self.subTest(arguments):
                done = attestctl(*arguments)
                self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
                self.assertIn("Try: attestctl", done.stderr)

    def test_options_may_stand_anywhere(self):
        expected = json.loads(attestctl("errors", "--json", "Timeout").stdout)
        self.assertEqual([item["name"] for item in expected], ["Timeout"])
        for arguments in (["errors", "Timeout", "--json"], ["--json", "errors", "Timeout"]):
            with self.subTest(arguments):
                self.assertEqual(json.loads(attestctl(*arguments).stdout), expected)

    def test_without_a_bus_it_says_not_running(self):
        table = {item["name"]: item["exit_status"] for item in json.loads(attestctl("errors", "--json").stdout)}
        for arguments in (["status"], ["token"], ["attest"]):
            with self.subTest(arguments):
                done = attestctl(*arguments, "--json")
                self.assertEqual(done.returncode, table["NotRunning"])
                self.assertEqual(json.loads(done.stdout)["error"]["code"], "NotRunning")
        done = attestctl("wait", "--timeout=200ms", "--json")
        self.assertEqual(done.returncode, table["Timeout"])
        self.assertEqual(json.loads(done.stdout)["error"]["code"], "Timeout")


class Completion(unittest.TestCase):
    def test_offers_every_verb(self):
        self.assertEqual(complete(""), set(verbs()) | {"--help", "--version"})
        self.assertEqual(complete("sta"), {"status"})

    def test_offers_the_options_that_help_names(self):
        for verb in verbs():
            with self.subTest(verb):
                self.assertEqual(complete(verb, "--"), options_in_help(verb) | {"--help"})

    def test_offers_values(self):
        self.assertEqual(complete("status", "--bus", ""), {"system", "user"})
        self.assertEqual(complete("status", "--bus", "=", "u"), {"user"})
        self.assertEqual(complete("status", "--bus", "="), {"system", "user"})
        self.assertEqual(complete("errors", "Time"), {"Timeout"})
        self.assertEqual(complete("attest", "--nonce", ""), set())


class Policy(unittest.TestCase):
    GOOD = "version=1.1;\nconfigurationrules { => issueproperty(type=\"omit_x5c\", value=true); };\nauthorizationrules { => permit(); => deny(); };\n"

    def check(self, text, *options):
        return subprocess.run([ATTESTCTL, "policy", "check", *options, "-"], input=text, capture_output=True, text=True, timeout=60, env=NOWHERE)

    def test_check_counts_the_rules(self):
        done = self.check(self.GOOD, "--json")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(json.loads(done.stdout), {"version": "1.1", "rules": {"configurationrules": 1, "authorizationrules": 2, "issuancerules": 0}})
        self.assertEqual(self.check(self.GOOD).stdout, "version 1.1\nconfigurationrules: 1\nauthorizationrules: 2\nissuancerules: 0\n")

    def test_check_names_line_and_column(self):
        done = self.check(self.GOOD.replace("permit", "issue"), "--json")
        self.assertEqual(done.returncode, 122)
        self.assertIn("line 3, column 25: found issue, allowed: permit, deny, add in authorizationrules", done.stderr)
        self.assertEqual(json.loads(done.stdout)["error"]["code"], "PolicyInvalid")

    def test_wrong_use_is_refused(self):
        for arguments in ((), ("eval", "x"), ("check",), ("check", "a", "b")):
            self.assertEqual(attestctl("policy", *arguments).returncode, 2, arguments)


if __name__ == "__main__":
    unittest.main()
