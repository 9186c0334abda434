"""What llama-bench wrote with ``-o csv``, ``json`` or ``jsonl``: its rows, found by their names, and everything else.

Every version has other columns, so none is found by its place, and those that are not known are left alone. What came
between the rows, as log lines do where both streams went into one file, is kept as lines; what is not whole is named.
"""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass, field
from typing import Any

__all__ = ["FORMATS", "BenchFile", "BenchRow", "format_of", "read_bench"]

FORMATS = ("csv", "json", "jsonl")
_NEEDED = ("n_prompt", "n_gen", "avg_ts")
_LOOKED_AT = 1000
_OBJECT = re.compile(r"[ \t\[\],]*\{")
_LIST = re.compile(r"[ \t]*\[[ \t\r]*")
_NOT_TEXT = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class BenchRow:
    """A row: its line in the file, from 1, its text, and its columns by name."""

    line: int
    text: str
    fields: dict[str, Any]


@dataclass(slots=True)
class BenchFile:
    """What a file holds. ``problems`` are lines that should have been rows, with the reason."""

    rows: list[BenchRow] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    problems: list[tuple[int, str]] = field(default_factory=list)
    headers: int = 0

    def refuse(self, line: int, reason: str) -> None:
        """Note a line that is no row, though it should be one."""
        self.problems.append((line, reason))


def format_of(data: bytes) -> str:
    """Return which of :data:`FORMATS` bytes are in, or ``log`` where they are none of llama-bench's.

    >>> format_of(b'{"n_prompt": 512, "n_gen": 0, "avg_ts": 45.5}')
    'jsonl'
    """
    text = _text(data)
    lines = text.split("\n", _LOOKED_AT)[:_LOOKED_AT]
    for number, line in enumerate(lines):
        if _header(line):
            return "csv"
        begin = _OBJECT.match(line)
        if begin and all(f'"{name}"' in text for name in _NEEDED):
            listed = "[" in begin[0] or any(_LIST.fullmatch(before) for before in lines[:number])
            return "json" if listed else "jsonl"
    return "log"


def read_bench(data: bytes, form: str) -> BenchFile:
    """Return what a file of llama-bench's holds; it never raises.

    Parameters
    ----------
    data
        The whole file.
    form
        One of :data:`FORMATS`. JSON and JSON lines are read alike: what matters is where an object begins.
    """
    found = BenchFile()
    if form == "csv":
        _read_csv(_text(data), found)
    else:
        _read_json(_text(data), found)
    return found


def _text(data: bytes) -> str:
    # What is no UTF-8 stays recognisable, so that only its own row is refused.
    return data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")


def _cells(line: str) -> list[str] | None:
    try:
        return next(csv.reader([line], strict=True), None)
    except csv.Error:
        return None


def _header(line: str) -> list[str]:
    """Return the names of a header; none if the line is none."""
    if not all(name in line for name in _NEEDED) or line.lstrip()[:1] in ("{", "["):
        return []
    cells = [cell.strip() for cell in _cells(line.rstrip("\r")) or ()]
    return cells if set(_NEEDED) <= set(cells) and len(set(cells)) == len(cells) else []


def _read_csv(text: str, found: BenchFile) -> None:
    names: list[str] = []
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.rstrip("\r")
        header = _header(line)
        if header:
            names = header  # of another version, where several files were put together
            found.headers += 1
            continue
        # llama-bench quotes every value: behind a comma at the end one is missing.
        cells = _cells(line.removesuffix(",") if line.startswith('"') else line)
        if names and cells is not None and len(cells) == len(names):
            _take(number, line, dict(zip(names, cells, strict=True)), found)
        elif names and (line.startswith('"') or (cells is not None and 2 * len(cells) >= len(names))):
            have = "is cut off within a value" if cells is None else f"has {len(cells)} values"
            found.refuse(number, f"{have}, the header names {len(names)} columns")
        elif line:
            found.others.append(_seen(line))


def _read_json(text: str, found: BenchFile) -> None:
    decoder, at, line, counted = json.JSONDecoder(), 0, 1, 0
    while at < len(text):
        begin = _OBJECT.match(text, at)
        end = text.find("\n", at) % (len(text) + 1)  # where there is none, the text's
        if begin is None:
            if text[at:end].strip("[], \t\r"):
                found.others.append(_seen(text[at:end]))
            at = end + 1
            continue
        opened = begin.end() - 1
        line, counted = line + text.count("\n", counted, opened), opened
        try:
            fields, at = decoder.raw_decode(text, opened)
        except (ValueError, RecursionError) as error:
            found.refuse(line, f"no whole JSON object begins here: {error}")
            at = end + 1
            continue
        if isinstance(fields, dict) and set(_NEEDED) <= set(fields):
            _take(line, text[opened:at], fields, found)
        else:
            found.others += map(_seen, text[opened:at].split("\n"))


def _seen(line: str) -> str:
    """Return a line as it can be stored."""
    return line.rstrip("\r").encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _take(number: int, text: str, fields: dict[str, Any], found: BenchFile) -> None:
    """Take a row, if its numbers are numbers."""
    if _NOT_TEXT.search(text):
        found.refuse(number, "is not UTF-8")
        return
    for name, kind in (("n_prompt", int), ("n_gen", int), ("n_depth", int), ("avg_ts", float)):
        value = str(fields.get(name, 0))
        try:
            good = 0 <= kind(value) < 1e12
        except ValueError:
            good = False
        if not good:
            found.refuse(number, f"{name} is {value[:40]!r}, which is no such number")
            return
    if not int(fields["n_prompt"]) and not int(fields["n_gen"]):
        found.refuse(number, "n_prompt and n_gen are both 0: it says nothing of which test it is")
        return
    found.rows.append(BenchRow(number, text, fields))
