#!/usr/bin/env python3
"""What `meson install` puts into place: units, users, directories, bus policy, catalog, configuration.

Everything is installed below a temporary DESTDIR and looked at with systemd's own tools. Wants ATTESTD_BUILD and ATTESTD_SOURCE in the
environment, as meson sets them for tests.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree

BUILD = pathlib.Path(os.environ["ATTESTD_BUILD"])
SOURCE = pathlib.Path(os.environ["ATTESTD_SOURCE"])
HOST_UNITS = pathlib.Path("/lib/systemd/system")
UNITS = ("attestd.service", "attestd-tpm.service", "attestd-tpm.socket", "attestd-hibernate.service")
# Most that systemd-analyze security may find, in tenths of its points: what is left is the network of one and the TPM of the other.
EXPOSURE = {"attestd.service": 17, "attestd-tpm.service": 12}


def run(*command, **how):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, stdin=subprocess.DEVNULL, **how)


def build_option(name):
    return next(o["value"] for o in json.loads(run("meson", "introspect", "--buildoptions", BUILD).stdout) if o["name"] == name)


class InstallationTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.root = pathlib.Path(tempfile.mkdtemp(prefix="attestd-install-"))
        cls.addClassCleanup(shutil.rmtree, cls.root)
        done = run("meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", env={**os.environ, "DESTDIR": str(cls.root)})
        if done.returncode != 0:
            raise AssertionError(done.stdout + done.stderr)
        cls.prefix = cls.root / build_option("prefix").lstrip("/")

    def test_units_verify_without_a_word(self):
        if not (HOST_UNITS / "sysinit.target").exists():
            self.skipTest(f"the units that ours refer to are not in {HOST_UNITS}")
        root = pathlib.Path(tempfile.mkdtemp(prefix="attestd-verify-"))
        self.addCleanup(shutil.rmtree, root)
        shutil.copytree(self.root, root, dirs_exist_ok=True, symlinks=True)
        shutil.copytree(HOST_UNITS, root / "lib/systemd/system", symlinks=True)
        (root / "bin").mkdir(exist_ok=True)
        shutil.copy("/bin/kill", root / "bin/kill")
        done = run("systemd-analyze", "verify", "--man=no", f"--root={root}", *UNITS)
        ours = [line for line in (done.stdout + done.stderr).splitlines() if "attestd" in line]
        self.assertEqual((done.returncode, ours), (0, []))

    def test_units_are_hardened(self):
        for unit, most in EXPOSURE.items():
            done = run("systemd-analyze", "security", "--offline=yes", f"--root={self.root}", f"--threshold={most}", unit)
            self.assertEqual(done.returncode, 0, done.stdout[-400:] + done.stderr)

    def test_no_unit_waits_for_a_device(self):
        for unit in UNITS:
            text = (self.prefix / "lib/systemd/system" / unit).read_text()
            self.assertNotRegex(text, r"(?m)^\w+=.*\.device")

    def test_users_can_be_made(self):
        root = pathlib.Path(tempfile.mkdtemp(prefix="attestd-users-"))
        self.addCleanup(shutil.rmtree, root)
        (root / "etc").mkdir()
        done = run("systemd-sysusers", f"--root={root}", self.prefix / "lib/sysusers.d/attestd.conf")
        self.assertEqual(done.returncode, 0, done.stderr)
        users = {line.split(":")[0]: line.split(":") for line in (root / "etc/passwd").read_text().splitlines()}
        self.assertEqual(set(users), {"attestd", "attestd-tpm"})
        self.assertTrue(all(user[6].endswith("nologin") for user in users.values()), users)
        self.assertIn("tss:", (root / "etc/group").read_text())

    def test_bus_policy_is_for_our_name_alone(self):
        file = self.prefix / "share/dbus-1/system.d/org.attestd1.conf"
        owners = {policy.get("user") for policy in xml.etree.ElementTree.parse(file).findall("policy")
                  for allow in policy.findall("allow") if allow.get("own") == "org.attestd1"}
        self.assertEqual(owners, {"root", "attestd"})
        names = re.findall(r'(?:own|send_destination|receive_sender)="([^"]*)"', file.read_text())
        self.assertEqual(set(names), {"org.attestd1"})

    def test_catalog_has_every_error_of_attestctl(self):
        """The catalog comes from error.def through Python, the list of attestctl through the C compiler."""
        folder = self.root / "catalog-root/usr/lib/systemd/catalog"
        folder.mkdir(parents=True)
        (self.root / "catalog-root/var/lib/systemd/catalog").mkdir(parents=True)
        shutil.copy(self.prefix / "lib/systemd/catalog/attestd.catalog", folder)
        root = f"--root={self.root / 'catalog-root'}"
        done = run("journalctl", root, "--update-catalog")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        shown = run("journalctl", root, "--dump-catalog").stdout
        entries = dict(re.findall(r"(?m)^-- ([0-9a-f]{32})\nSubject: (\w+)$", shown))
        errors = json.loads(run(BUILD / "cli/attestctl", "errors", "--json").stdout)
        self.assertGreater(len(errors), 50)
        self.assertEqual(entries, {error["message_id"]: error["name"] for error in errors})
        words = " ".join(shown.split())
        for error in errors:
            for text in (" ".join(error["help"].split()), f"attestctl ends with status {error['exit_status']}."):
                self.assertTrue(text in words, f"the catalog lacks: {text}")

    def test_table_of_the_manual_page_has_every_error_of_attestctl(self):
        table = run(SOURCE / "tools/generate-errors.py", "table", SOURCE / "lib/base/error.def").stdout
        rows = re.findall(r"(?m)^\|  (\d+)\n:  (\w+)\n", table)
        errors = json.loads(run(BUILD / "cli/attestctl", "errors", "--json").stdout)
        self.assertEqual(rows, [(str(error["exit_status"]), error["name"]) for error in errors])
        if shutil.which("scdoc"):
            done = subprocess.run(["scdoc"], input=f"x(5)\n\n# ERRORS\n\n{table}\nEnd.\n", capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_shipped_configuration_shows_the_defaults_that_the_parser_has(self):
        table = re.findall(r'(?m)^\s+\{ "(\w+)", "(\w+)", (?:"([^"]*)"|NULL),', (SOURCE / "config/keys.c").read_text())
        known = {f"{section}.{key}": default for section, key, default in table if section != "Credential"}
        self.assertGreater(len(known), 30)
        shown, section = {}, None
        for line in (self.prefix / "lib/attestd/attestd.conf").read_text().splitlines():
            if match := re.fullmatch(r"\[(\w+)\]", line):
                section = match[1]
            elif match := re.fullmatch(r"#(\w+)=(.*)", line):
                shown[f"{section}.{match[1]}"] = match[2]
            else:
                self.assertTrue(line == "" or line.startswith("# ") or line == "#", f"something is set: {line}")
        self.assertEqual(shown, known)


unittest.main()
