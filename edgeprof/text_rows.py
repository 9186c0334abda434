"""A stretch of text to rows: every line to ``logs``, and what an adapter understands to ``claims``.

A line may go on behind a frame, so what has no end yet is kept in the port's state. A line that is not whole is never
given to an adapter: half a number is a wrong number. Where a line reports the rate of a whole generation, the prints
before it become a run that only the host saw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from edgeprof import adapters
from edgeprof.adapters import log_begin
from edgeprof.decode_state import Group, PortState
from edgeprof.prints import MAX_PRINTS, print_columns, reads_in
from edgeprof.read_times import ReadTimes
from edgeprof.wire import Piece

__all__ = ["HOST_RUN", "MAX_LINE", "text_rows"]

MAX_LINE = 16384
"""Characters of the longest line that is given to adapters."""
_KEPT = 1000

HOST_RUN = {"kind": "generate", "clock": "host", "tick_hz": 1e9, "status": "ok"}
"""What is known of a run that only the host saw."""

Batch = tuple[str, dict[str, Any]]
"""A table and columns: lists of one length, or scalars."""


@dataclass(slots=True)
class _Found:
    """What the lines of one stretch said: each item with its adapter, its run, its line and where that ended."""

    claims: list[tuple[str, adapters.Claim, str | None, str, int]] = field(default_factory=list)
    events: list[tuple[str, str, int]] = field(default_factory=list)
    runs: list[Batch] = field(default_factory=list)


def text_rows(
    piece: Piece, state: PortState, times: ReadTimes, group: Group, host_run: Callable[[], dict[str, Any]]
) -> Iterator[Batch]:
    """Yield the rows of a stretch of text.

    Parameters
    ----------
    piece
        The text.
    state
        Keeps the line that did not end in it, and the prints of which it is not known yet what they are.
    times
        When the host had which byte.
    group
        Where the rows will go; a run's rows stay together.
    host_run
        Opens a run that only the host saw, and returns its row.
    """
    parts = piece.data.decode().split("\n")
    ends, at = [], piece.start
    for part in parts:
        at += len(part.encode()) + 1
        ends.append(min(at, piece.start + len(piece.data)))
    logged = [(text, end) for part, end in zip(parts, ends, strict=True) if (text := part.rstrip("\r"))]
    if logged:
        yield "logs", {"text": [text for text, _ in logged], "t_host_ns": times.column([end for _, end in logged])}
    found = _understood(parts, ends, piece, state, times, group, host_run)
    yield from found.runs
    if found.claims:
        columns: dict[str, Any] = {
            "adapter": [name for name, *_ in found.claims],
            "name": [claim.name for _, claim, *_ in found.claims],
            "value": [claim.value for _, claim, *_ in found.claims],
            "unit": [claim.unit or None for _, claim, *_ in found.claims],
            "line": [said for *_, said, _ in found.claims],
            "t_host_ns": times.column([end for *_, end in found.claims]),
        }
        if state.run is None:
            columns["run_id"] = [run_id for _, _, run_id, _, _ in found.claims]
        yield "claims", columns
    if found.events:
        kinds, details, at_ends = (list(column) for column in zip(*found.events, strict=True))
        yield "events", {"kind": kinds, "detail": details, "start": times.column(at_ends)}


def _understood(
    parts: list[str], ends: list[int], piece: Piece, state: PortState, times: ReadTimes, group: Group,
    host_run: Callable[[], dict[str, Any]],
) -> _Found:  # fmt: skip
    """Return what adapters make of the lines that ended."""
    prints, found, line, character = state.prints, _Found(), state.line, 0
    if state.run is not None:
        prints.clear()
    elif prints.closed and tuple(prints.closed[2:]) != group:
        prints.closed = None
    reads = reads_in(piece, times) if state.run is None else []
    if line is None:
        adapters.forget_pairs(state.adapters)
    read = 0
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        before = line
        line = None if line is None or len(line) + len(part) > MAX_LINE else line + part
        after = character + len(part) + (not last)
        while read + 1 < len(reads) and reads[read + 1][0] <= character:
            read += 1
        if before is None or line is None:
            prints.clear()
        elif after > character:
            for at, t_ns in _within(reads, read, after):
                prints.saw(len(before) + max(at - character, 0), t_ns)
        character = after
        if last:
            break
        if line is not None:
            _take(line, ends[number], state, found, group, host_run)
        line = ""
    state.line = line
    return found


def _within(reads: list[tuple[int, int]], first: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the reads from one on that begin before a character."""
    for number in range(first, len(reads)):
        if reads[number][0] >= end:
            return
        yield reads[number]


def _take(
    line: str, end: int, state: PortState, found: _Found, group: Group, host_run: Callable[[], dict[str, Any]]
) -> None:
    """Take a line that ended: what it says, and what it says of the prints before it."""
    prints, said = state.prints, line.rstrip("\r")
    name, items = adapters.feed(said, state.adapters) if said else ("", [])
    begin = log_begin(said) if said else None
    text = said if not items and begin is None else said[: begin or 0]
    prompt = next((len(p) for p in adapters.PROMPTS if text.startswith(p)), 0)
    if prompt:
        prints.begin_at(prompt)
    if not items and begin is None:
        prints.line(line, prompt)
        return
    times_ns, full = prints.boundary(line, begin or 0)
    closes = any(isinstance(item, adapters.Claim) and item.name in adapters.CLOSING.get(name, ()) for item in items)
    run_id = None
    if state.run is None and closes and len(times_ns) > 1:
        row = host_run()
        run_id = str(row["run_id"])
        prints.closed = [run_id, name, *group]
        found.runs.append(("runs", {key: [value] for key, value in row.items()}))
        found.runs.append(("tokens", {"run_id": run_id} | print_columns(times_ns)))
    elif prints.closed and prints.closed[1] == name and not times_ns and not full:
        run_id = prints.closed[0]
    else:
        prints.closed = None
    if closes and full:
        reason = f"more than {MAX_PRINTS:,} prints before the rate, too many to be remembered: no run was made of them"
        found.events.append(("refused", f"{name}: {reason}", end))
    for item in items:
        if isinstance(item, adapters.Claim):
            found.claims.append((name, item, run_id, said[:_KEPT], end))
        elif isinstance(item, adapters.Said):
            found.events.append(("said", f"{name}: {item.what} = {item.text}", end))
        elif isinstance(item, adapters.Refused):
            found.events.append(("refused", f"{name}: {item.reason}", end))
