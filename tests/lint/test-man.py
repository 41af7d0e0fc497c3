#!/usr/bin/env python3
"""The manual pages against the code: whatever a user can write, ask or see has to stand in its page, and the pages have to be well-formed.

What there is comes from the code (tables of keys and routes, vtables) and from what the built programs say in their --help. Each check is a function
that lists what a page lacks; that it would notice is shown by taking things out of the page.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import unittest

SOURCE, BUILD = pathlib.Path(os.environ["ATTESTD_SOURCE"]), pathlib.Path(os.environ["ATTESTD_BUILD"])
PAGES = {file.name.removesuffix(".scd"): file for file in sorted((SOURCE / "docs/man").glob("*.scd"))}
LIBRARY_HEADINGS = ["NAME", "SYNOPSIS", "DESCRIPTION", "SEE ALSO"]
HEADINGS = ["NAME", "SYNOPSIS", "DESCRIPTION", "FILES", "ENVIRONMENT", "EXIT STATUS", "EXAMPLES", "SEE ALSO"]


def run(*command, **how):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, **how)


def code(path):
    return (SOURCE / path).read_text()


def plain(text):
    """scdoc without its marks: *bold*, _underlined_ and escapes."""
    return re.sub(r"\\(.)|[*_]", lambda m: m[1] or "", text)


def page(name):
    return PAGES[name].read_text()


def section(text, heading):
    """What stands below a heading, down to the next one of the same level."""
    level = heading.split(" ")[0]
    m = re.search(rf"(?ms)^{re.escape(heading)}$\n(.*?)(?=^{level} |^#{{1,{len(level)}}} |\Z)", text)
    return m[1] if m else ""


def has_word(text, word):
    return re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text) is not None


# What the code has

def config_keys():
    """(section, key, default or None, choices)"""
    text = code("config/keys.c")
    lists = {m[1]: re.findall(r'"([^"]+)"', m[2]) for m in re.finditer(r"static const char \*const (\w+)\[\] = \{(.*?)\};", text, re.S)}
    rows = re.findall(r'(?m)^\s+\{ "(\w+)", "(\w+)", (?:"([^"]*)"|NULL), (.*) \},$', text)
    found = []
    for where, key, default, rest in rows:
        choices = next((lists[name] for name in lists if has_word(rest, name)), [])
        found.append((where, key, default, choices))
    return found


def help_of(program, *words):
    done = run(BUILD / program, *words, "--help")
    assert done.returncode == 0, done.stderr
    return done.stdout


def options_in(text):
    return sorted(set(re.findall(r"(?<![\w-])(--[a-z][a-z-]*)", text)))


def verbs():
    return re.findall(r"(?m)^  ([a-z-]+) ", help_of("cli/attestctl"))


def arguments(macro):
    """SD_BUS_ARGS("s", profile, "ay", nonce) as "s profile, ay nonce"."""
    return ", ".join(f"{kind} {name}" for kind, name in re.findall(r'"([^"]+)", (\w+)', macro))


def bus_members(path):
    """As the page writes them: Name (s), Name(s a) → (s b), Name(t a)."""
    text = code(path)
    members = [f"{name} ({kind})" for name, kind in re.findall(r'(?:READ_ONLY|SD_BUS_PROPERTY)\("(\w+)", "([^"]+)"', text)]
    call = r'"(\w+)",\s*(SD_BUS_ARGS\(.*?\)|SD_BUS_NO_ARGS)'
    for name, taken, given in re.findall(r"SD_BUS_METHOD_WITH_ARGS\(" + call + r",\s*(SD_BUS_RESULT\(.*?\)|SD_BUS_NO_RESULT)", text, re.S):
        members.append(f"{name}({arguments(taken)})" + (f" → ({arguments(given)})" if arguments(given) else ""))
    members += [f"{name}({arguments(taken)})" for name, taken in re.findall(r"SD_BUS_SIGNAL_WITH_ARGS\(" + call, text, re.S)]
    return members


def local_endpoints():
    found = []
    for path, rest in re.findall(r'\[LOCAL_ROUTE_\w+\] = \{ \.path = "([^"]+)"(.*?)\}', code("daemon/local-request.c")):
        method = "POST" if "METHODS_POST" in rest else "GET"
        found.append(f"{method} {'/v1/profiles/NAME' if 'of_profile = true' in rest else ''}{path}")
    return found


def instance_endpoints():
    return re.findall(r'request->path, "(/[^"]+)"', code("instance/service.c"))


def metrics():
    text = code("daemon/metrics.c")
    families = re.findall(r'write_family\(w, "(\w+)"', text)
    samples = [name + ("_total" if kind == "COUNTER" else "") for name, kind in re.findall(r'\{ "(attestd_\w+)", "[^"]*", METRIC_(\w+)', text)]
    return [f"{name}_info" if name == "attestd_build" else name for name in families] + samples


def faults():
    text = help_of("instance/attest-instance")
    listed, forgeries = text.split("Faults: ")[1].split("Forgeries")
    return re.findall(r"(?m)^  ([a-z0-9-]+)[=:]", listed), forgeries.split(":", 1)[1].split()


# What a page lacks. text is the source of the page.

def lacking_keys(text):
    lacks = []
    for where, key, default, choices in config_keys():
        entries = section(text, f"# SECTION {where.upper()}")
        m = re.search(rf"(?m)^(?=\*).*\*{key}=\*.*\n((?:\t.*\n|\n)*)", entries)
        if not m:
            lacks.append(f"[{where}] {key}=")
            continue
        # several keys may share an entry, and an entry may refer to the one before it
        words = plain(m[1])
        if "As " in words[:8]:
            continue
        lacks += [f"{key}= {value}" for value in [default, *choices] if value and not has_word(words, value)]
    return lacks


def surplus_keys(text):
    known = {(where.upper(), key) for where, key, _, _ in config_keys()}
    shown = {(m[1], key) for m in re.finditer(r"(?ms)^# SECTION (\w+)$(.*?)(?=^# )", text)
             for line in re.findall(r"(?m)^\*.*$", m[2]) for key in re.findall(r"\*(\w+)=\*", line)}
    return sorted(f"[{where}] {key}=" for where, key in shown - known)


def lacking_options(text, programs):
    words = plain(text)
    return [option for program in programs for option in options_in(help_of(program)) if not re.search(rf"{option}(?![a-z-])", words)]


def lacking_verbs(text):
    synopsis = plain(section(text, "# SYNOPSIS"))
    common = plain(section(text, "# COMMON OPTIONS"))
    lacks = []
    for verb in verbs():
        words = plain(section(text, f"## attestctl {verb}"))
        if not words or f"attestctl {verb}" not in synopsis:
            lacks.append(verb)
        lacks += [f"{verb} {option}" for option in options_in(help_of("cli/attestctl", verb)) if not re.search(rf"{option}(?![a-z-])", words + common)]
    return lacks


def lacking_members(text, path, interface):
    entries = plain("\n".join(line for line in section(text, f"# INTERFACE {interface.upper()}").split("\n") if line.startswith("*")))
    return [member for member in bus_members(path) if not re.search(rf"(?<!\w){re.escape(member)}", entries)]


def lacking_names(text, names):
    words = plain(text)
    return [name for name in names if not has_word(words, name)]


def lacking_tags(text, names):
    """As lacking_names(), but a name has to stand at the head of an entry."""
    words = plain("\n".join(line for line in text.split("\n") if re.match(r"(\[\[ |\|  )?\*", line)))
    return [name for name in names if not has_word(words, name)]


class Man(unittest.TestCase):
    maxDiff = None

    def notices(self, check, text, name):
        """check would notice if name were nowhere in the page."""
        self.assertTrue(check(text.replace(name, "…")), f"the check sees no difference without {name}")

    def test_configuration_keys(self):
        text = page("attestd.conf.5")
        self.assertGreater(len(config_keys()), 45)
        self.assertEqual(len(config_keys()), len(re.findall(r'(?m)^\s+\{ "\w+", "\w+", ', code("config/keys.c"))))
        self.assertEqual(lacking_keys(text), [])
        self.assertEqual(surplus_keys(text), [])
        for _, key, _, _ in config_keys():
            self.notices(lacking_keys, text, f"*{key}=*")
        self.notices(lacking_keys, text, "workload-identity")
        self.assertEqual(surplus_keys(text.replace("*SplaySec=*", "*SpraySec=*")), ["[SCHEDULE] SpraySec="])

    def test_options(self):
        for name, programs in (("attestd.8", ("daemon/attestd", "tpm/attestd-tpm")), ("attest-instance.1", ("instance/attest-instance",)),
                               ("attestctl.1", ("cli/attestctl",))):
            self.assertEqual(lacking_options(page(name), programs), [], name)
            for program in programs:
                for option in options_in(help_of(program)):
                    self.notices(lambda text: lacking_options(text, programs), page(name), option)

    def test_verbs(self):
        text = page("attestctl.1")
        self.assertIn("errors", verbs())
        self.assertEqual(lacking_verbs(text), [])
        for verb in verbs():
            self.notices(lacking_verbs, text, f"## attestctl {verb}")
        self.notices(lacking_verbs, text, "--signature-only")

    def test_bus_members(self):
        text = page("org.attestd1.5")
        for path, interface in (("daemon/bus-manager.c", "org.attestd1.Manager"), ("daemon/bus-profile.c", "org.attestd1.Profile")):
            members = bus_members(path)
            self.assertEqual(len(members), len(re.findall(r'(?:READ_ONLY|SD_BUS_PROPERTY|_WITH_ARGS)\("', code(path))), members)
            self.assertEqual(lacking_members(text, path, interface), [])
            for member in members:
                name = re.match(r"\w+", member)[0]
                self.notices(lambda t, p=path, i=interface: lacking_members(t, p, i), text, f"*{name}*")

    def test_endpoints_and_metrics(self):
        text = page("attestd.8")
        self.assertEqual(len(local_endpoints()), 7)
        self.assertGreater(len(metrics()), 12)
        for names in (local_endpoints(), metrics()):
            self.assertEqual(lacking_tags(text, names), [])
        self.notices(lambda t: lacking_tags(t, local_endpoints()), text, "*POST /v1/validate*")
        text = page("attest-instance.1")
        self.assertGreaterEqual(len(instance_endpoints()), 5)
        self.assertEqual(lacking_tags(text, instance_endpoints()), [])
        self.notices(lambda t: lacking_tags(t, instance_endpoints()), text, "/foreign/x5u")

    def test_faults(self):
        text, (names, forgeries) = page("attest-instance.1"), faults()
        self.assertGreater(len(names), 15)
        self.assertGreater(len(forgeries), 18)
        self.assertEqual(lacking_tags(text, names), [])
        self.assertEqual(lacking_names(text, forgeries), [])
        for name in names + forgeries:
            self.notices(lambda t: lacking_names(t, names + forgeries), text, name)

    def test_errors_are_in_the_built_pages(self):
        errors = json.loads(run(BUILD / "cli/attestctl", "errors", "--json").stdout)
        self.assertGreater(len(errors), 50)
        for name in ("org.attestd1.5", "attestctl.1"):
            self.assertIn("\n@ERRORS@\n", page(name))
            if shutil.which("scdoc"):
                built = self.render(name)
                for error in errors:
                    self.assertTrue(re.search(rf"\b{error['exit_status']}\n.*\n.*\b{error['name']}\n", built), f"{name}: {error['name']}")

    def test_every_page_has_its_parts(self):
        self.assertEqual(sorted(name for name in PAGES if not name.endswith(".3")), ["attest-instance.1", "attestctl.1", "attestd.8", "attestd.conf.5", "org.attestd1.5"])
        for name in PAGES:
            text = page(name)
            stem, number = name.rsplit(".", 1)
            self.assertTrue(text.startswith(f'{stem}({number}) "attestd"\n'), name)
            headings = LIBRARY_HEADINGS if number == "3" else HEADINGS
            self.assertEqual([heading for heading in headings if f"\n# {heading}\n" not in text], [], name)
            if name in ("attestctl.1", "attestd.8", "attest-instance.1"):
                self.assertRegex(text, r"(?m)^# .*OPTIONS")
            if number == "3":
                continue   # libattest(3) leads to all of them
            others = {f"{other.rsplit('.', 1)[0]}({other.rsplit('.', 1)[1]})" for other in PAGES if not other.startswith("attest_")} - {f"{stem}({number})"}
            see_also = plain(section(text, "# SEE ALSO"))
            self.assertTrue(others - {"attest-instance(1)"} <= set(re.findall(r"[\w.-]+\(\d\)", see_also)), f"{name}: {see_also}")

    def test_references_between_pages_exist(self):
        def words(text):   # underscores inside words stay
            return re.sub(r"\\(.)|\*|(?<!\w)_|_(?!\w)", lambda m: m[1] or "", text)

        pages = {name: words(page(name)) for name in PAGES}
        for name in PAGES:
            for stem, number in re.findall(r"\b(attest[\w.-]*|libattest|org\.attestd1)\((\d)\)", pages[name]):
                found = number == "3" and any(re.search(rf"\b{stem}\b", text) for other, text in pages.items() if other.endswith(".3"))
                self.assertTrue(found or f"{stem}.{number}" in PAGES, f"{name} refers to {stem}({number})")

    def render(self, name):
        text = page(name)
        if "\n@ERRORS@\n" in text:
            text = run(SOURCE / "tools/generate-errors.py", "page", SOURCE / "lib/base/error.def", PAGES[name]).stdout
        done = run("scdoc", input=text)
        self.assertEqual((done.returncode, done.stderr), (0, ""), name)
        return done.stdout

    @unittest.skipUnless(shutil.which("scdoc"), "scdoc is not installed")
    def test_scdoc_accepts_every_page(self):
        for name in PAGES:
            self.assertIn(".TH", self.render(name))

    @unittest.skipUnless(shutil.which("scdoc") and shutil.which("man"), "scdoc or man is not installed")
    def test_man_has_no_warnings(self):
        environment = {**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80", "MAN_KEEP_FORMATTING": ""}
        for name in PAGES:
            done = run("man", "-l", "--warnings", "-", input=self.render(name), env=environment)
            self.assertEqual((done.returncode, done.stderr), (0, ""), name)
            self.assertIn("SEE ALSO", done.stdout)


unittest.main()
