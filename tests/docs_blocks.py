"""The code blocks of the documentation: what each is, and who answers for it.

A fence says what it is in its first line, and a reader of the page sees only the language:

- ``sh``, ``python``, ``ipython`` (with magics): executed, page by page, from top to bottom in one folder; Python shares
  one kernel.
- ``text output``: what the block before it printed; ``...`` stands for what changes.
- ``toml``, ``yaml``, ``json``: parsed. ``c``: compiled (syntax).
- ``hardware``, ``network``: not executed, for it takes a board on a cable, or a service that is not on this machine.
  Command lines of edgeprof in it must be ones that edgeprof accepts.
- ``format``: text that shows a format or a figure. ``fragment``: lines of other people's or unfinished programs.
- ``by=PATH::NAME``: a test or nox session that executes it, which must be there.
- ``file=NAME``: written into the page's folder, for the blocks that follow. ``exit=N``: how the commands end.
- ``needs=PROGRAM``: executed where this program is.

``<!-- sh … -->`` is a block that only the tests see: it makes what a page takes for granted.
"""

from __future__ import annotations

import ast
import dataclasses
import re
from pathlib import Path

__all__ = ["ROOT", "Block", "blocks", "pages"]

ROOT = Path(__file__).parents[1]

EXECUTED = {"sh", "python", "ipython"}
CHECKED = {"toml", "yaml", "json", "c"}
BUILT = {"{toctree}", "{eval-rst}"}
"""What Sphinx makes something of, and complains of where it cannot."""

MARKS = {"output", "hardware", "network", "format", "fragment"}
SETTINGS = {"by", "file", "exit", "needs"}
WITH_MARK = {"text", "diff", "ini", "nginx"}
"""Languages that nobody executes: they need a mark."""


@dataclasses.dataclass(frozen=True)
class Block:
    """One block: where it stands, what it says of itself, its text."""

    page: Path
    line: int
    language: str
    marks: frozenset[str]
    settings: dict[str, str]
    text: str

    def __str__(self) -> str:
        """Return page:line, as editors take it."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def executed(self) -> bool:
        return self.language in EXECUTED and not self.marks and "by" not in self.settings

    def problem(self) -> str:
        """Return what is wrong with the block's first line, or nothing."""
        if not self.language:
            return "it is indented, or its fence names no language"
        if self.language not in EXECUTED | CHECKED | BUILT | WITH_MARK:
            return f"nothing is known of the language {self.language!r}"
        if unknown := (self.marks - MARKS) | (self.settings.keys() - SETTINGS):
            return f"unknown mark {', '.join(sorted(unknown))}"
        if len(self.marks) > 1:
            return "it has two marks"
        if self.language in WITH_MARK and not self.marks and not {"by", "file"} & self.settings.keys():
            return f"{self.language} needs a mark: {', '.join(sorted(MARKS))}"
        if "by" in self.settings and not _defined(self.settings["by"]):
            return f"there is no {self.settings['by']}"
        return ""


def _defined(name: str) -> bool:
    path, _, function = name.partition("::")
    if not (ROOT / path).is_file():
        return False
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return any(isinstance(node, ast.FunctionDef) and node.name == function for node in tree.body)


def pages() -> list[Path]:
    """Return README.md and every page of the site that is written by hand."""
    made = ROOT / "docs" / "made"
    beside = ("README.md", "edgeprof/firmware/README.md", "edgeprof/firmware/examples/README.md")
    return [*(ROOT / p for p in beside), *(p for p in sorted((ROOT / "docs").rglob("*.md")) if made not in p.parents)]


def blocks(page: Path) -> list[Block]:
    """Return every block of a page, wherever it stands: in lists, quotes and comments, too."""
    from markdown_it import MarkdownIt

    found = []
    for token in MarkdownIt("commonmark").parse(page.read_text(encoding="utf-8")):
        line = token.map[0] + 1 if token.map else 0
        if token.type in {"fence", "code_block"}:
            found.append(_block(page, line, token.info, token.content))
        elif token.type == "html_block" and (
            hidden := re.match(r"<!-- (sh|python)\b(.*)\n([^\0]*?)-->", token.content)
        ):
            found.append(_block(page, line, hidden[1] + hidden[2], hidden[3]))
    return found


def _block(page: Path, line: int, info: str, text: str) -> Block:
    language, *words = info.split() or [""]
    settings = dict(word.split("=", 1) for word in words if "=" in word)
    return Block(page, line, language, frozenset(w for w in words if "=" not in w), settings, text)
