"""A stretch of text to rows: every line to ``logs``, and what an adapter understands to ``claims``.

A line may go on behind a frame, so what has no end yet is kept in the port's state. A line that is not whole is never
given to an adapter: half a number is a wrong number.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgeprof import adapters
from edgeprof.decode_state import PortState
from edgeprof.wire import Piece

__all__ = ["MAX_LINE", "text_rows"]

MAX_LINE = 16384
"""Characters of the longest line that is given to adapters."""
_KEPT = 1000

Batch = tuple[str, str, dict[str, Any], list[int]]
"""A table, its column for the time, the other columns, and the stream offset at which each row's line ended."""


def text_rows(piece: Piece, state: PortState) -> Iterator[Batch]:
    """Yield the rows of a stretch of text; ``state`` keeps the line that did not end in it."""
    parts = piece.data.decode().split("\n")
    ends, at = [], piece.start
    for part in parts:
        at += len(part.encode()) + 1
        ends.append(min(at, piece.start + len(piece.data)))
    logged = [(text, end) for part, end in zip(parts, ends, strict=True) if (text := part.rstrip("\r"))]
    if logged:
        yield "logs", "t_host_ns", {"text": [text for text, _ in logged]}, [end for _, end in logged]
    yield from _understood(parts, ends, state)


def _understood(parts: list[str], ends: list[int], state: PortState) -> Iterator[Batch]:
    """Yield what adapters make of the lines that ended."""
    claims: list[tuple[str, adapters.Claim, str, int]] = []
    refused: list[tuple[str, int]] = []
    line = state.line
    for number, part in enumerate(parts):
        line = None if line is None or len(line) + len(part) > MAX_LINE else line + part
        if number == len(parts) - 1:
            break
        if line:
            name, items = adapters.feed(line.rstrip("\r"), state.adapters)
            for item in items:
                if isinstance(item, adapters.Claim):
                    claims.append((name, item, line.rstrip("\r")[:_KEPT], ends[number]))
                else:
                    refused.append((f"{name}: {item.reason}", ends[number]))
        line = ""
    state.line = line
    if claims:
        columns = {
            "adapter": [name for name, _, _, _ in claims],
            "name": [claim.name for _, claim, _, _ in claims],
            "value": [claim.value for _, claim, _, _ in claims],
            "unit": [claim.unit or None for _, claim, _, _ in claims],
            "line": [said for _, _, said, _ in claims],
        }
        yield "claims", "t_host_ns", columns, [end for _, _, _, end in claims]
    if refused:
        columns = {"kind": ["refused"] * len(refused), "detail": [detail for detail, _ in refused]}
        yield "events", "start", columns, [end for _, end in refused]
