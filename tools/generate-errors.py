#!/usr/bin/env python3
"""Turns lib/base/error.def into the journal's message catalog and into the table of the manual pages.

usage: generate-errors.py catalog ERROR.DEF            the catalog, see systemd.catalog(7)
       generate-errors.py table ERROR.DEF              the table in scdoc's form
       generate-errors.py page ERROR.DEF PAGE.scd      PAGE.scd with its line @ERRORS@ replaced by the table
"""
import re
import sys
import textwrap
from collections import namedtuple

Error = namedtuple("Error", "symbol name exit_status retry message_id help")
RETRY = {"ERR_RETRY_TRANSIENT": "soon", "ERR_RETRY_PERMANENT": "slowly", "ERR_RETRY_NEVER": "never"}
ENTRY = re.compile(r'ERROR\(\s*(\w+)\s*,\s*"(\w+)"\s*,\s*(\d+)\s*,\s*(\w+)\s*,\s*"([0-9a-f]*)"\s*,\s*((?:"(?:[^"\\]|\\.)*"\s*)+)\)')
STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')


def read_errors(path):
    with open(path) as file:
        text = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)
    errors = [Error(m[1], m[2], int(m[3]), RETRY[m[4]], m[5], "".join(STRING.findall(m[6]))) for m in ENTRY.finditer(text)]
    if len(errors) != len(re.findall(r"^ERROR\(", text, re.M)) or ENTRY.sub("", text).strip():
        sys.exit(f"{path}: something in it is no ERROR(symbol, name, exit status, retry class, message id, help)")
    check(path, errors)
    return errors


def check(path, errors):
    for field in ("symbol", "name", "exit_status", "message_id"):
        values = [getattr(error, field) for error in errors]
        for value in values:
            if values.count(value) > 1:
                sys.exit(f"{path}: {field} {value} is there twice")
    for error in errors:
        if len(error.message_id) != 32:
            sys.exit(f"{path}: {error.symbol}: a message id has 32 hex digits")
        if not 3 <= error.exit_status <= 125:
            sys.exit(f"{path}: {error.symbol}: an exit status lies in 3 to 125")
        if re.search(r"@[A-Z0-9_]+@", error.help):
            sys.exit(f"{path}: {error.symbol}: the journal would put a field in place of @NAME@")


def catalog(errors):
    out = ["# The journal's catalog of attestd, made from error.def; see systemd.catalog(7).", ""]
    for error in errors:
        out += [f"-- {error.message_id}", f"Subject: {error.name}", "Defined-By: attestd", "Documentation: man:attestd(8) man:org.attestd1(5)", ""]
        out += textwrap.wrap(error.help, 76, break_on_hyphens=False)
        out += ["", f"On D-Bus this is org.attestd1.Error.{error.name}; attestctl ends with status {error.exit_status}.", ""]
    return "\n".join(out)


def escape(text):
    """For scdoc, which would read _ and * as emphasis and [ at the head of a cell as an alignment."""
    return re.sub(r"([\\_*<>#`])", r"\\\1", text)


def table(errors):
    rows = ["[] *Exit*", ":[ *Name*", ":[ *Again*", ":< *What to do*"]
    for error in errors:
        rows += [f"|  {error.exit_status}", f":  {error.name}", f":  {error.retry}", f":  {escape(error.help)}"]
    return "\n".join(rows) + "\n"


def page(errors, path):
    with open(path) as file:
        text = file.read()
    if "\n@ERRORS@\n" not in text:
        sys.exit(f"{path}: no line @ERRORS@")
    return text.replace("\n@ERRORS@\n", "\n" + table(errors) + "\n")


def main():
    verbs = {"catalog": catalog, "table": table, "page": page}
    if len(sys.argv) < 3 or sys.argv[1] not in verbs:
        sys.exit(__doc__)
    sys.stdout.write(verbs[sys.argv[1]](read_errors(sys.argv[2]), *sys.argv[3:]))


main()
