#!/usr/bin/env python3
"""Fails on every #include that the folder table of docs/architecture.md does not allow.

usage: lint-includes.py [PROJECT-ROOT]
"""
import fnmatch
import pathlib
import re
import sys

from lintlib import Findings, blank_comments_and_strings, read_table, source_files, split_list

INCLUDE = re.compile(r'^\s*#\s*include\s*(?:<([^>]+)>|"([^"]+)")', re.M)
GENERATED = {"build-config.h"}


class Rule:
    """One row of the folder table."""

    def __init__(self, cells):
        self.folder = cells[0].strip("`")
        self.folders = split_list(cells[2])
        self.externals = []
        for entry in split_list(cells[3]):
            match = re.fullmatch(r"([^()]+?)(?: \(only ([^()]+)\))?", entry)
            self.externals.append((match.group(1), match.group(2) or "*"))

    def allows_folder(self, other):
        return any(other == f or other.startswith(f + "/") for f in [self.folder, *self.folders])


def read_names(document):
    return {row[0]: re.findall(r"`([^`]+)`", row[1]) for row in read_table(document, "names")}


def rule_of(rules, path):
    """The row with the longest folder that path lies in."""
    fitting = [r for r in rules if path.startswith(r.folder + "/")]
    return max(fitting, key=lambda r: len(r.folder), default=None)


def resolve(root, path, name):
    """Path, from the root, of the project's file that an #include "name" in path means; None if there is none."""
    for base in ("", "lib", str(pathlib.PurePath(path).parent)):
        candidate = (root / base / name).resolve()
        if candidate.is_file() and root in candidate.parents:
            return str(candidate.relative_to(root))
    return None


def check_external(rule, names, path, header):
    """None if allowed, else what is wrong."""
    owners = [n for n, patterns in names.items() if any(fnmatch.fnmatch(header, p) for p in patterns)]
    if not owners:
        return f"<{header}> belongs to no name of docs/architecture.md section 3"
    if "libc" in owners:
        return None
    for name, files in rule.externals:
        if name in owners and fnmatch.fnmatch(pathlib.PurePath(path).name, files):
            return None
    return f"<{header}>: {rule.folder} may not use {owners[0]} here"


def check_own(root, rules, rule, path, name):
    if name in GENERATED:
        return None
    target = resolve(root, path, name)
    if not target:
        return f'"{name}": no such file of the project'
    target_rule = rule_of(rules, target)
    if target_rule and rule.allows_folder(target_rule.folder):
        return None
    return f'"{name}": {rule.folder} may not include {target_rule.folder if target_rule else target}'


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[2]).resolve()
    document = root / "docs/architecture.md"
    rules = [Rule(cells) for cells in read_table(document, "includes")]
    names = read_names(document)
    findings, looked_at = Findings("lint-includes"), 0
    for file in source_files(root):
        looked_at += 1
        path = str(file.relative_to(root))
        rule = rule_of(rules, path)
        if not rule:
            findings.add(path, 1, "its folder has no row in docs/architecture.md section 3")
            continue
        text = blank_comments_and_strings(file.read_text())
        for match in INCLUDE.finditer(text):
            line = text.count("\n", 0, match.start(match.lastindex)) + 1
            wrong = check_external(rule, names, path, match.group(1)) if match.group(1) else \
                check_own(root, rules, rule, path, match.group(2))
            if wrong:
                findings.add(path, line, wrong)
    findings.exit(looked_at)


main()
