"""Text from a device is data: what makes it harmless in a terminal, in matplotlib and in HTML.

Also the one way in which tables are shown: strings, formatted by :mod:`edgeprof.units`, units in the header.
"""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Shown", "Table", "html_table", "html_text", "mpl_text", "numeric", "terminal_text", "text_table"]

LONGEST = 80
LONGEST_NOTE = 1000
# Control, format (bidirectional overrides too), surrogate, private, and the two that end a line or paragraph.
_HARMFUL = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")


def terminal_text(text: object, longest: int = LONGEST) -> str:
    """Return text without control characters (no escape sequence reaches the terminal), cut to a length."""
    clean = "".join("�" if unicodedata.category(c) in _HARMFUL else c for c in str(text))
    return clean if len(clean) <= longest else clean[: longest - 1] + "…"


def mpl_text(text: object, longest: int = 40) -> str:
    """Return text that matplotlib shows as it is: no mathtext from ``$``, no label hidden by a leading ``_``."""
    clean = terminal_text(text, longest).replace("$", r"\$")
    return f"\u200a{clean}" if clean.startswith("_") else clean


def html_text(text: object, longest: int = LONGEST) -> str:
    """Return text escaped for HTML."""
    return html.escape(terminal_text(text, longest))


def text_table(frame: pd.DataFrame, longest: int = LONGEST) -> str:
    """Return a table of strings for a terminal: columns aligned, numbers to the right, cells cut to a length."""
    if frame.empty:
        return "(none)"
    columns = [
        [terminal_text(name), *(terminal_text(value, longest) for value in frame[name])] for name in frame.columns
    ]
    lines = []
    widths = [max(map(len, column)) for column in columns]
    for i, row in enumerate(zip(*columns, strict=True)):
        cells = [_align(cell, width, column) for cell, width, column in zip(row, widths, columns, strict=True)]
        lines.append("  ".join(cells).rstrip())
        if i == 0:
            lines.append("  ".join("-" * width for width in widths))
    return "\n".join(lines)


def numeric(cells: Sequence[str]) -> bool:
    """Tell whether all cells below a column's header are numbers or unknown."""
    return all(c[:1].isdigit() or c[:1] in "+-–" for c in cells[1:])


def _align(cell: str, width: int, column: Sequence[str]) -> str:
    return cell.rjust(width) if numeric(column) else cell.ljust(width)


def html_table(frame: pd.DataFrame, caption: str = "", longest: int = LONGEST, *, wrap: bool = False) -> str:
    """Return a table of strings as HTML, cells escaped and cut to a length; with ``wrap`` they may have many lines."""
    columns = {name: [str(name), *map(str, frame[name])] for name in frame.columns}
    right = {name for name, cells in columns.items() if numeric(cells)}

    lines = ";white-space:normal" if wrap else ""

    def cell(tag: str, name: str, value: object) -> str:
        style = ' style="text-align:right"' if name in right else f' style="text-align:left{lines}"'
        return f"<{tag}{style}>{html_text(value, longest)}</{tag}>"

    head = "".join(cell("th", n, n) for n in frame.columns)
    body = "\n".join(
        "<tr>" + "".join(cell("td", n, v) for n, v in zip(frame.columns, row, strict=True)) + "</tr>"
        for row in frame.itertuples(index=False)
    )
    table = f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"
    below = f"\n{_html_note(caption)}" if caption else ""
    return f'<div style="overflow-x:auto">{table}</div>{below}'


def _html_note(text: str) -> str:
    return f'<p class="caption">{html_text(text, LONGEST_NOTE)}</p>'


class Table:
    """A table of strings that shows itself: aligned text in a terminal, escaped HTML in a notebook.

    ``wrap`` is for cells that are sentences: in HTML they have as many lines as they need.
    """

    def __init__(self, frame: pd.DataFrame, caption: str = "", *, longest: int = LONGEST, wrap: bool = False) -> None:
        self.frame, self.caption, self.longest, self.wrap = frame, caption, longest, wrap

    def __repr__(self) -> str:
        return text_table(self.frame, self.longest) + (
            f"\n{terminal_text(self.caption, LONGEST_NOTE)}" if self.caption else ""
        )

    def _repr_html_(self) -> str:
        return html_table(self.frame, self.caption, self.longest, wrap=self.wrap)


class Shown:
    """Base of what shows itself: tables and notes, the same as text in a terminal and as escaped HTML in a notebook."""

    __slots__ = ()

    def _shown(self) -> Iterable[Table | str]:
        """Return tables, and lines of text beside them."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return "\n".join(
            repr(part) if isinstance(part, Table) else terminal_text(part, LONGEST_NOTE) for part in self._shown()
        )

    def _repr_html_(self) -> str:
        # That a line is a note is seen there without the word.
        return "\n".join(
            part._repr_html_() if isinstance(part, Table) else _html_note(part.removeprefix("note: "))
            for part in self._shown()
        )
