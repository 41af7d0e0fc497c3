#!/usr/bin/env python3
"""What attestctl takes without any daemon: options of each verb, wrong ones, where they may stand, and what completion offers.

usage: test-cli-usage.py ATTESTCTL
"""
import json
import os
import re
import subprocess
import sys
import tempfile
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

    RULES = """version=1.2;
authorizationrules {
    [type=="secureBootEnabled", value==true] => permit();
    [type=="bad"] => deny();
};
issuancerules {
    c:[type=="level", issuer=="AttestationService"] => issue(type="seen", value=c.value);
    c:[type=="level", issuer=="CustomClaim"] => issue(type="said", value=c.value);
    => issueproperty(type="report_validity_in_minutes", value=60);
};
"""

    def evaluate(self, claims, *options, custom=None):
        with tempfile.TemporaryDirectory() as where:
            files = []
            for name, content in (("policy", self.RULES), ("claims", json.dumps(claims)), ("custom", json.dumps(custom))):
                files.append(os.path.join(where, name))
                with open(files[-1], "w", encoding="utf-8") as file:
                    file.write(content)
            return attestctl("policy", "eval", files[0], "--claims", files[1], *(["--custom-claims", files[2]] if custom else []), *options)

    def test_eval_shows_what_comes_out_and_why(self):
        done = self.evaluate({"secureBootEnabled": True, "level": [3, 4]}, "--json", custom={"level": 9})
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        outcome = json.loads(done.stdout)
        rules = outcome.pop("rules")
        self.assertEqual(outcome, {"permitted": True, "denied": False, "claims": {"seen": [3, 4], "said": 9}, "properties": {"report_validity_in_minutes": 60}})
        self.assertEqual([(rule["section"], rule["line"], rule["action"], rule["acted"], rule["claims"]) for rule in rules],
                         [("authorizationrules", 3, "permit", 1, 0), ("authorizationrules", 4, "deny", 0, 0), ("issuancerules", 7, "issue", 2, 2),
                          ("issuancerules", 8, "issue", 1, 1), ("issuancerules", 9, "issueproperty", 1, 1)])
        self.assertEqual(rules[1]["unsatisfied_condition"], 1)
        done = self.evaluate({"secureBootEnabled": True, "level": 3})
        self.assertEqual(done.stdout, "authorizationrules, line 3: permit() acts\nauthorizationrules, line 4: deny() does not act: condition 1 is not satisfied\n"
                         "issuancerules, line 7: issue() acts 1 time, claims made: 1\nissuancerules, line 8: issue() does not act: condition 1 is not satisfied\n"
                         "issuancerules, line 9: issueproperty() acts 1 time, claims made: 1\npermitted\nclaims\n  \"seen\": 3\nproperties\n"
                         "  \"report_validity_in_minutes\": 60\n")

    def test_eval_that_does_not_permit_exits_1(self):
        for claims, word in (({"secureBootEnabled": False}, "not permitted: no rule permits\n"), ({"secureBootEnabled": True, "bad": 1}, "denied\n")):
            done = self.evaluate(claims)
            self.assertEqual((done.returncode, done.stderr), (1, ""))
            self.assertTrue(done.stdout.endswith(word), done.stdout)
        self.assertEqual(json.loads(self.evaluate({"bad": 1}, "--json").stdout)["denied"], True)

    def test_eval_names_what_does_not_fit(self):
        done = self.evaluate({"level": 1.5})
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("level: a claim is a string, an integer", done.stderr)
        done = self.evaluate([1])
        self.assertIn("claims are members of an object", done.stderr)

    def test_wrong_use_is_refused(self):
        for arguments in ((), ("eval", "x"), ("eval", "--claims", "x"), ("check",), ("check", "a", "b"), ("check", "a", "--claims", "b")):
            self.assertEqual(attestctl("policy", *arguments).returncode, 2, arguments)


if __name__ == "__main__":
    unittest.main()
