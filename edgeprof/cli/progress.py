"""Live lines and bars: on a terminal only, and never in the way of a capture."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from edgeprof import units
from edgeprof.display import terminal_text

if TYPE_CHECKING:
    from edgeprof.conversation import Progress

__all__ = ["PortLines"]


class PortLines:
    """A line a board: passes (tok/s), bytes, lost frames."""

    def __init__(self) -> None:
        self.live = sys.stderr.isatty()
        self.drawn = 0
        self.last: tuple[float, list[int]] | None = None
        self.told: dict[int, tuple[int, bool]] = {}

    def __enter__(self) -> PortLines:
        return self

    def __exit__(self, *_: object) -> None:
        if self.drawn:
            sys.stderr.write("\n")

    def show(self, ports: list[Progress]) -> None:
        """Draw the lines anew; where nobody watches, say what happened."""
        if not self.live:
            self._say(ports)
            return
        now, passes = time.monotonic(), [p.passes for p in ports]
        before, earlier = self.last or (now, passes)
        if now - before > 2 or self.last is None:
            self.last = (now, passes)
        seconds = max(now - before, 0.1)
        lines = [
            f"{terminal_text(p.name, 24)}: {(n - e) / seconds:,.0f} tok/s, {units.iec(p.bytes)}, "
            f"{p.frames:,} frames, {p.lost:,} lost, {p.lines:,} lines" + (" (away, looking for it)" if p.away else "")
            for p, n, e in zip(ports, passes, earlier, strict=True)
        ]
        up = f"\x1b[{self.drawn - 1}F" if self.drawn > 1 else "\r"
        sys.stderr.write((up if self.drawn else "") + "\n".join(f"\x1b[2K{line}" for line in lines))
        sys.stderr.flush()
        self.drawn = len(lines)

    def _say(self, ports: list[Progress]) -> None:
        for number, p in enumerate(ports):
            gaps, away = self.told.get(number, (0, False))
            if p.gaps > gaps:
                self._line(p, "went away and is looked for")
            if not p.away and (away or p.gaps > gaps):
                self._line(p, "is back")
            self.told[number] = (p.gaps, p.away)

    def _line(self, port: Progress, what: str) -> None:
        when = time.strftime("%Y-%m-%d %H:%M:%S")
        sys.stderr.write(f"edgeprof: {when} {terminal_text(port.name, 48)} {what}\n")
        sys.stderr.flush()
