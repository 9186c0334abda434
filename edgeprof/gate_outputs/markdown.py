"""``summary.md``: what a gate found, as GitHub shows it on a run's page or below a pull request."""

from __future__ import annotations

import re

from edgeprof.display import terminal_text
from edgeprof.gate_outputs.text import table
from edgeprof.gate_outputs.wording import LONGEST_REASON, headline, one_line, shown
from edgeprof.gating import GateResult

__all__ = ["LARGEST_BYTES", "summary"]

LARGEST_BYTES = 1024 * 1024
"""GitHub shows nothing of a step's summary that is larger."""


def summary(result: GateResult, largest_bytes: int = LARGEST_BYTES) -> str:
    """Return the result as Markdown of at most so many bytes; what does not fit is counted instead.

    Parameters
    ----------
    result
        From :func:`edgeprof.gating.gate`.
    largest_bytes
        What is left of the room that there is.
    """
    checks = shown(result)
    head = [f"## edgeprof gate: {result.verdict}", "", _text(headline(result)), ""]
    rows = table(checks)
    lines = [f"| {' | '.join(rows.columns)} |", f"|{'---|' * len(rows.columns)}"] if checks else []
    lines += [f"| {' | '.join(map(_name, row))} |" for row in rows.itertuples(index=False)]
    lines += ["", *(f"- {_text(one_line(check))}" for check in result.of("fail", "could not judge"))]
    lines += [f"- {_text(text)}" for text in (*result.problems, *result.notes)]
    return _fitted(head, lines, largest_bytes)


def _fitted(head: list[str], lines: list[str], largest_bytes: int) -> str:
    """Return as many lines as there is room for, and how many more there are."""
    more = "\n{:,} more lines are in results.json.\n"
    room = largest_bytes - len(more.format(len(lines)).encode())
    kept = list(head)
    size = len("\n".join(head).encode())
    for line in lines:
        size += len(line.encode()) + 1
        if size > room:
            break
        kept.append(line)
    left = len(head) + len(lines) - len(kept)
    text = "\n".join(kept) + "\n" + (more.format(left) if left else "")
    return text if len(text.encode()) <= largest_bytes else ""


def _name(text: str) -> str:
    """Return text for a cell of a table; in code nothing is a link, a mention or markup."""
    return f"<code>{_text(text)}</code>" if text else " "


def _text(text: str) -> str:
    """Return text as it is: every mark of punctuation that Markdown or HTML could act on is an entity."""
    clean = terminal_text(text, LONGEST_REASON + 200)
    return re.sub(r"[^\w\s%+–−,;]|_", lambda found: f"&#{ord(found[0])};", clean)
