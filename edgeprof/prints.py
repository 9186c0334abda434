"""Prints: text of which the host saw, piece by piece, when it came, as tokens of firmware that is not ours do.

A print is what arrived in one read. Which of them are a generation's is known only when the firmware reports its
rate, so they are remembered until a line says so, or that they were something else. Here nothing knows what a line
means.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from edgeprof.read_times import ReadTimes
    from edgeprof.wire import Piece

__all__ = ["MAX_PRINTS", "Prints", "print_columns", "reads_in"]

MAX_PRINTS = 4096
"""So many are remembered, those of the closing line among them; of a generation with more, no run is made."""


@dataclass(slots=True)
class Prints:
    """The prints since the last boundary: plain data, as it goes into a segment's manifest."""

    times_ns: list[int] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    """At which character of the line that has no end yet the last ones of them began."""
    solid: int = 0
    """How many there are up to the last that was more than a line end; counted where a line ends."""
    full: bool = False
    closed: list[str] | None = None
    """Run, adapter, and (board, model, quant) of the run that the last lines closed, until other text comes."""

    def saw(self, at: int, t_ns: int) -> None:
        """Take a print that begins at a character of the line, unless it goes on with the last one."""
        if self.full or t_ns < 0 or (self.times_ns and self.times_ns[-1] == t_ns):
            return
        if len(self.times_ns) == MAX_PRINTS:
            self.forget()
            self.full = True
            return
        self.times_ns.append(t_ns)
        self.starts.append(at)

    def begin_at(self, character: int) -> None:
        """Forget the prints that ended before a character of this line: a generation begins there."""
        settled = len(self.times_ns) - len(self.starts)
        early = sum(start <= character for start in self.starts)
        # The last that began before it goes on there; if none did in this line, one of the lines before does.
        kept = max(settled + early - 1, 0)
        self.times_ns, self.starts = self.times_ns[kept:], self.starts[max(early - 1, 0) :]
        self.solid, self.closed = 0, None

    def line(self, text: str, prompt: int = 0) -> None:
        """End a line of ordinary text. Line ends before the first word are no tokens, nor is a prompt alone."""
        shown = len(text.rstrip("\r"))
        if shown > prompt:
            self.solid = self._before(shown)
            self.closed = None
        elif not self.solid:
            self.times_ns = []
        self.starts = []

    def boundary(self, text: str, begin: int) -> tuple[list[int], bool]:
        """End a line that is no token from ``begin`` on, and forget.

        Returns
        -------
        list of int, bool
            When the prints before it came [ns], those at the end left out that were line ends only; and whether
            there were too many to remember.
        """
        if text[:begin].strip("\r"):
            self.solid = self._before(begin)
        found, full = self.times_ns[: self.solid], self.full
        self.forget()
        return found, full

    def forget(self) -> None:
        """Forget the prints, not the run that was closed."""
        self.times_ns, self.starts, self.solid, self.full = [], [], 0, False

    def clear(self) -> None:
        """Forget everything."""
        self.forget()
        self.closed = None

    def _before(self, character: int) -> int:
        """Return how many prints began before a character of this line."""
        return len(self.times_ns) - sum(start >= character for start in self.starts)


def reads_in(piece: Piece, times: ReadTimes) -> list[tuple[int, int]]:
    """Return (character at which it begins, host time in ns) of every read that has a part in a stretch of text."""
    offsets, ns = times.between(piece.start, piece.start + len(piece.data))
    at = np.maximum(offsets - piece.start, 0)
    if not piece.data.isascii():
        begins = (np.frombuffer(piece.data, np.uint8) & 0xC0) != 0x80
        at = np.concatenate(([0], np.cumsum(begins)))[at]
    return list(zip(at.tolist(), ns.tolist(), strict=True))


def print_columns(times_ns: list[int]) -> dict[str, Any]:
    """Return a run's columns of ``tokens``: a print took from when the one before it came, so the first is unknown."""
    since = [t - times_ns[0] for t in times_ns]
    return {
        "position": list(range(len(times_ns))),
        "phase": "unknown",
        "ticks_start": [None, *since[:-1]],
        "ticks": [None, *np.diff(since).tolist()],
        "t_host_ns": times_ns,
        "source": "host",
    }
