"""Every code block of the documentation is executed, or says why it is not."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from docs_blocks import ROOT, Block, blocks, pages
from docs_run import workspace

from edgeprof.cli import VERBS, parser_of

if not (ROOT / "noxfile.py").exists():
    pytest.skip("only on a clone of the repository", allow_module_level=True)


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def commands(text: str) -> list[list[str]]:
    """Return edgeprof's command lines in a text, a line that ends with a backslash joined to the next."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["edgeprof"]:
            ends = [i for i, word in enumerate(words) if word in {"|", "&&", "||", ">", ";", "&"}]
            found.append(words[1 : min(ends, default=len(words))])
    return found


@pytest.mark.parametrize("page", pages(), ids=name)
def test_every_block_says_what_it_is(page):
    assert [f"{block}: {problem}" for block in blocks(page) if (problem := block.problem())] == []


def test_no_block_escapes():
    """As many fences as a plain count of lines that begin with three backticks finds."""
    for page in pages():
        marks = re.findall(r"^\s*(?:>\s*)*(?:[-*\d.]+\s+)?```", page.read_text(encoding="utf-8"), re.MULTILINE)
        fences = [
            block
            for block in blocks(page)
            if page.read_text(encoding="utf-8").splitlines()[block.line - 1].lstrip(" >").startswith("```")
        ]
        assert len(marks) == 2 * len(fences), name(page)


@pytest.mark.parametrize("page", pages(), ids=name)
def test_commands_that_are_not_executed_are_ones_that_edgeprof_takes(page):
    for block in (b for b in blocks(page) if b.language == "sh" and not b.executed):
        for verb, *words in commands(block.text):
            assert verb in VERBS, f"{block}: there is no {verb}"
            assert accepted(verb, words), f"{block}: edgeprof {verb} {shlex.join(words)} is not accepted"


def accepted(verb: str, words: list[str]) -> bool:
    """Return whether a verb's own parser takes these words."""
    try:
        parser_of(verb).parse_args(words)
    except SystemExit as end:
        return end.code == 0
    return True


@pytest.mark.parametrize("page", pages(), ids=name)
def test_what_is_no_program_can_be_read(page):
    readers = {"toml": tomllib.loads, "yaml": yaml.safe_load, "json": json.loads}
    for block in blocks(page):
        if block.language in readers:
            assert readers[block.language](block.text), f"{block} is empty"


@pytest.mark.parametrize("page", pages(), ids=name)
def test_c_compiles(page, tmp_path):
    programs = [b for b in blocks(page) if b.language == "c" and not b.marks and "by" not in b.settings]
    if programs and not shutil.which("gcc"):
        pytest.skip("needs gcc: apt-get install gcc")
    for block in programs:
        compile_c(block, tmp_path)


def compile_c(block: Block, folder: Path) -> None:
    source = folder / "block.c"
    source.write_text(block.text, encoding="utf-8")
    include = f"-I{ROOT / 'edgeprof' / 'firmware' / 'include'}"
    command = ["gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", include, str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{block}: {done.stderr}"


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.parametrize("page", pages(), ids=name)
def test_every_block_runs(page, tmp_path):
    with workspace(tmp_path) as place:
        for block in blocks(page):
            place.write(block)
        for block in blocks(page):
            place.run(block)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("words\n\n    indented\n", "indented"),
        ("```\nno language\n```\n", "names no language"),
        ("- in a list\n\n  ```rust\n  fn main() {}\n  ```\n", "nothing is known of the language 'rust'"),
        ("```sh later\nls\n```\n", "unknown mark later"),
        ("```text\nfree\n```\n", "text needs a mark"),
        (
            "```sh by=tests/docs/test_blocks.py::test_absent\nls\n```\n",
            "there is no tests/docs/test_blocks.py::test_absent",
        ),
    ],
)
def test_a_block_that_says_too_little_is_told(tmp_path, text, problem):
    (tmp_path / "page.md").write_text(text, encoding="utf-8")
    (block,) = blocks(tmp_path / "page.md")
    assert problem in block.problem()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("language", "text", "said"),
    [("sh", "echo before\nfalse", "ended with 1"), ("python", "1 / 0", "ZeroDivisionError"), ("text", "other", "one")],
)
def test_a_block_that_fails_is_told_with_its_line(tmp_path, language, text, said):
    page = ROOT / "docs" / "page.md"
    marks = frozenset({"output"} if language == "text" else ())
    with workspace(tmp_path) as place:
        place.run(Block(page, 3, "sh", frozenset(), {}, "echo one"))
        with pytest.raises(AssertionError, match=rf"docs/page.md:7: [^\0]*{said}"):
            place.run(Block(page, 7, language, marks, {}, text))
