"""What comes from an MLPerf Tiny device, as the lines of one answer after the other."""

from __future__ import annotations

from collections import deque

__all__ = ["Answer"]

_MAX_LINE, _MAX_LINES = 4096, 10_000


class Answer:
    """Bytes of a port to the lines of one answer after the other, however they were cut into reads.

    NUL and bytes that are no UTF-8 are dropped, as are CR and empty lines. Memory is bounded: of an answer without an
    end the last 10,000 lines are kept, of a line its first 4,096 characters.
    """

    def __init__(self) -> None:
        self.lines: deque[str] = deque(maxlen=_MAX_LINES)
        self.came = 0
        """Lines that came so far, in all answers: where it grows, a command's time starts anew."""
        self._rest = b""

    def feed(self, data: bytes, ends: str) -> list[str] | None:
        """Take bytes; return the lines up to one that contains ``ends``, or None if that has not come."""
        *whole, rest = (self._rest + data).split(b"\n")
        for number, raw in enumerate(whole):
            line = _clean(raw)
            if not line:
                continue
            self.came += 1
            self.lines.append(line)
            if ends in line:
                self._rest = b"\n".join([*whole[number + 1 :], rest])
                found = list(self.lines)
                self.lines.clear()
                return found
        self._rest = rest[:_MAX_LINE]
        return None


def _clean(raw: bytes) -> str:
    return raw[:_MAX_LINE].decode(errors="ignore").replace("\0", "").replace("\r", "")
