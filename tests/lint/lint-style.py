#!/usr/bin/env python3
"""Sizes, head comments, #pragma once and banned constructs; the rules stand in docs/architecture.md section 10.

usage: lint-style.py [--long] [PROJECT-ROOT]      --long lists every function over 60 lines
"""
import pathlib
import re
import sys

from lintlib import Findings, blank_comments_and_strings, read_table, source_files

FILE_LINES, HEADER_LINES, FUNCTION_LINES, FUNCTION_HABIT, HABIT_PERCENT = 600, 200, 100, 60, 5
BANNED_CALLS = ("strcpy", "strcat", "sprintf", "vsprintf", "gets", "atoi", "atol", "alloca", "system", "popen", "memcpy")
BANNED = re.compile(rf"(?<![\w.>])({'|'.join(BANNED_CALLS)})\s*\(|\b(goto)\b|(\b__packed__\b|\(\s*\(\s*packed\b)")
OPT_OUT = re.compile(r"/\* lint: [^*\s]")
# A definition in this project's style: the name begins in column 0 and the brace closes the line, possibly lines later.
DEFINITION = re.compile(r"^[A-Za-z_][^\n;={}]*?\b(\w+)\((?:[^;{}]|\n)*?\)\s*\{$", re.M)


def functions(text):
    """(name, first line, number of lines) of every function in text, which has its comments and strings blanked."""
    for match in DEFINITION.finditer(text):
        end = text.find("\n}", match.end())
        if end < 0:
            continue
        first = text.count("\n", 0, match.start()) + 1
        yield match.group(1), first, text.count("\n", match.start(), end) + 2


def check_sizes(findings, path, text, blanked, allowed, long_functions):
    lines, budget = text.count("\n"), HEADER_LINES if path.endswith(".h") else FILE_LINES
    budget = allowed.get(path, budget)
    if lines > budget:
        findings.add(path, 1, f"{lines} lines, {budget} are allowed")
    n_functions = 0
    for name, first, length in functions(blanked):
        n_functions += 1
        budget = allowed.get(f"{path}:{name}", FUNCTION_LINES)
        if length > budget:
            findings.add(path, first, f"{name}() has {length} lines, {budget} are allowed")
        if length > FUNCTION_HABIT:
            long_functions.append((length, path, first, name))
    return n_functions


def check_banned(findings, path, text, blanked):
    lines = text.splitlines()
    for number, line in enumerate(blanked.splitlines(), 1):
        match = BANNED.search(line)
        if match and not any(OPT_OUT.search(l) for l in lines[max(0, number - 2):number]):
            word = match.group(1) or match.group(2) or "a packed struct"
            findings.add(path, number, f"{word} is banned; if it is needed, say why: /* lint: REASON */")


def main():
    arguments = [a for a in sys.argv[1:] if a != "--long"]
    root = pathlib.Path(arguments[0] if arguments else pathlib.Path(__file__).parents[2]).resolve()
    allowed = {cells[0].strip("`"): int(cells[1]) for cells in read_table(root / "docs/architecture.md", "sizes")}
    findings, looked_at, n_functions, long_functions = Findings("lint-style"), 0, 0, []
    for file in source_files(root):
        looked_at += 1
        path, text = str(file.relative_to(root)), file.read_text()
        blanked = blank_comments_and_strings(text)
        if not text.startswith("/*"):
            findings.add(path, 1, "no comment at the head that says what the file is for")
        if path.endswith(".h") and not re.search(r"^#pragma once$", blanked, re.M):
            findings.add(path, 1, "no #pragma once")
        n_functions += check_sizes(findings, path, text, blanked, allowed, long_functions)
        check_banned(findings, path, text, blanked)
    for key in allowed:
        if not (root / key.split(":")[0]).is_file():
            findings.add("docs/architecture.md", 1, f"section 10 names {key}, which does not exist")
    if "--long" in sys.argv:
        for length, path, first, name in sorted(long_functions, reverse=True):
            print(f"{path}:{first}: note: {name}() has {length} lines")
    percent = 100 * len(long_functions) / max(1, n_functions)
    print(f"lint-style: {n_functions} functions, {len(long_functions)} over {FUNCTION_HABIT} lines ({percent:.1f} %)")
    if percent > HABIT_PERCENT:
        findings.add("lint-style", 0, f"more than {HABIT_PERCENT} % of the functions exceed {FUNCTION_HABIT} lines (--long lists them)")
    findings.exit(looked_at)


main()
