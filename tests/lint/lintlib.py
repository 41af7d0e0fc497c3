"""What the lints share: finding the project's C files and reading the tables of docs/architecture.md."""
import re
import sys

FOLDERS = ("lib", "tpm", "config", "collector", "daemon", "cli", "instance", "tests")
C_ENDINGS = {".c", ".h"}


def source_files(root):
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in C_ENDINGS and path.is_file():
                yield path


def read_table(document, name):
    """Rows of the table between the marks `lint: NAME begin` and `lint: NAME end`, without its two head lines."""
    match = re.search(rf"<!-- lint: {name} begin -->\n(.*?)<!-- lint: {name} end -->", document.read_text(), re.S)
    if not match:
        sys.exit(f"{document}: no table between the marks 'lint: {name} begin' and 'lint: {name} end'")
    rows = []
    for line in match.group(1).strip().splitlines()[2:]:
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        rows.append(cells)
    return rows


def split_list(cell):
    """'a, `b`' → ['a', 'b']; a dash is the empty list."""
    return [] if cell in ("–", "-", "") else [part.strip().strip("`") for part in cell.split(",")]


def blank_comments_and_strings(text):
    """The same text with the insides of comments, strings and character constants turned into spaces; line ends stay.

    Quotes of an #include stay as they are, because the include lint wants to see them.
    """
    pattern = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)

    def blank(match):
        found = match.group(0)
        line_start = text.rfind("\n", 0, match.start()) + 1
        if found[0] == '"' and re.match(r"\s*#\s*include", text[line_start:match.start()]):
            return found
        return re.sub(r"[^\n]", " ", found)

    return pattern.sub(blank, text)


class Findings:
    def __init__(self, name):
        self.name = name
        self.lines = []

    def add(self, path, line, message):
        self.lines.append(f"{path}:{line}: {message}")

    def exit(self, looked_at):
        for line in self.lines:
            print(line)
        print(f"{self.name}: {looked_at} files, {len(self.lines)} findings")
        if looked_at == 0:
            print(f"{self.name}: found nothing to look at, so something is wrong")
            sys.exit(1)
        sys.exit(1 if self.lines else 0)
