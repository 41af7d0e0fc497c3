#!/usr/bin/env python3
"""The lints' own test: small trees with one sin each must be found with file and line, and a clean tree must pass."""
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]
HEAD = "/* What it is for. */\n"


class LintTest(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.root)
        (self.root / "docs").mkdir()
        shutil.copy(ROOT / "docs/architecture.md", self.root / "docs")
        self.write("lib/base/error.h", HEAD + "#pragma once\n")
        self.write("lib/tcg/quote.h", HEAD + "#pragma once\n#include \"base/error.h\"\n#include <openssl/evp.h>\n")
        self.write("tpm/context.h", HEAD + "#pragma once\n#include <tss2/tss2_esys.h>\n")

    def write(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def run_lint(self, name):
        done = subprocess.run([sys.executable, HERE / name, self.root], capture_output=True, text=True)
        return done.returncode, done.stdout

    def assert_found(self, name, what):
        status, output = self.run_lint(name)
        self.assertEqual(status, 1, output)
        self.assertIn(what, output)

    def test_includes_clean_tree_passes(self):
        status, output = self.run_lint("lint-includes.py")
        self.assertEqual(status, 0, output)

    def test_includes_of_another_layer_are_found(self):
        self.write("lib/base/bytes.c", HEAD + "\n#include \"tcg/quote.h\"\n")
        self.assert_found("lint-includes.py", 'lib/base/bytes.c:3: "tcg/quote.h": lib/base may not include lib/tcg')

    def test_includes_of_a_foreign_library_are_found(self):
        self.write("daemon/main.c", HEAD + "#include <tss2/tss2_esys.h>\n")
        self.assert_found("lint-includes.py", "daemon/main.c:2: <tss2/tss2_esys.h>: daemon may not use tpm2-tss here")

    def test_includes_only_in_named_files(self):
        self.write("lib/client/driver.c", HEAD + "#include <curl/curl.h>\n")
        self.assertEqual(self.run_lint("lint-includes.py")[0], 0)
        self.write("lib/client/plan.c", HEAD + "#include <curl/curl.h>\n")
        self.assert_found("lint-includes.py", "lib/client/plan.c:2: <curl/curl.h>: lib/client may not use libcurl here")

    def test_includes_unknown_header_is_found(self):
        self.write("cli/main.c", HEAD + "#include <zlib.h>\n")
        self.assert_found("lint-includes.py", "cli/main.c:2: <zlib.h> belongs to no name")

    def test_includes_by_relative_path_are_found(self):
        self.write("daemon/main.c", HEAD + "#include \"../tpm/context.h\"\n")
        self.assert_found("lint-includes.py", "daemon may not include tpm")

    def test_includes_in_a_comment_do_not_count(self):
        self.write("daemon/main.c", HEAD + "/*\n#include <tss2/tss2_esys.h>\n*/\n")
        self.assertEqual(self.run_lint("lint-includes.py")[0], 0)

    def test_style_clean_tree_passes(self):
        status, output = self.run_lint("lint-style.py")
        self.assertEqual(status, 0, output)

    def test_style_banned_calls_are_found(self):
        for call in ("strcpy(a, b)", "sprintf(a, b)", "memcpy(a, b, c)", "system(a)", "x = atoi(b)", "goto out"):
            self.write("cli/main.c", HEAD + "void f(void) {\n        " + call + ";\n}\n")
            self.assert_found("lint-style.py", "cli/main.c:3: ")

    def test_style_opt_out_needs_a_reason(self):
        self.write("cli/main.c", HEAD + "void f(void) {\n        memcpy(a, b, c); /* lint: */\n}\n")
        self.assert_found("lint-style.py", "cli/main.c:3: memcpy")
        self.write("cli/main.c", HEAD + "void f(void) {\n        memcpy(a, b, c); /* lint: c was bounded by the caller */\n}\n")
        self.assertEqual(self.run_lint("lint-style.py")[0], 0)

    def test_style_words_in_strings_do_not_count(self):
        self.write("cli/main.c", HEAD + "const char *s = \"never goto strcpy(x)\"; /* system(x) */\n")
        self.assertEqual(self.run_lint("lint-style.py")[0], 0)

    def test_style_long_function_is_found(self):
        self.write("cli/main.c", HEAD + "static int f(int a,\n             int b) {\n" + "        a++;\n" * 100 + "}\n")
        self.assert_found("lint-style.py", "cli/main.c:2: f() has 103 lines")

    def test_style_long_file_is_found(self):
        self.write("cli/main.c", HEAD + "extern int a;\n" * 600)
        self.assert_found("lint-style.py", "cli/main.c:1: 601 lines, 600 are allowed")

    def test_style_head_comment_and_pragma_are_wanted(self):
        self.write("cli/cli.h", "extern int a;\n")
        self.assert_found("lint-style.py", "cli/cli.h:1: no comment at the head")
        self.assert_found("lint-style.py", "cli/cli.h:1: no #pragma once")


unittest.main()
