"""What the reader process says on its standard output, without ever waiting for somebody to read it."""

from __future__ import annotations

import collections
import contextlib
import os
import threading
from collections.abc import Callable

__all__ = ["ACK_SECONDS", "Words"]

ACK_SECONDS = 0.005
ACKS_AT_ONCE = 64
"""So many lines are less than what a pipe takes whole or not at all."""


class Words:
    """Lines that wait to be said.

    Parameters
    ----------
    stop
        Set when nobody is there any more.
    offset_of
        Returns how far the journal of a port goes; None of one that is not read any more.

    Attributes
    ----------
    unsaid
        Ports whose journal has grown since that was said; any thread may add to it.
    """

    def __init__(self, stop: threading.Event, offset_of: Callable[[int], int | None]) -> None:
        self.stop, self.offset_of = stop, offset_of
        self.unsaid: set[int] = set()
        self._said = 0.0
        self._words: collections.deque[str] = collections.deque()

    def say(self, text: str) -> bool:
        """Write lines now; False if nobody reads them now."""
        try:
            os.write(1, text.encode() + b"\n")
        except BlockingIOError:
            return False
        except OSError:
            self.stop.set()
        return True

    def acknowledge(self) -> None:
        """Say how far each journal goes that has grown."""
        found: list[tuple[int, int]] = []
        while self.unsaid:
            with contextlib.suppress(KeyError):  # another thread took the last one
                number = self.unsaid.pop()
                if (offset := self.offset_of(number)) is not None:
                    found.append((number, offset))
        for part in (found[i : i + ACKS_AT_ONCE] for i in range(0, len(found), ACKS_AT_ONCE)):
            if not self.say("\n".join(f"read {number} {offset}" for number, offset in part)):
                self.unsaid.update(number for number, _ in part)

    def acknowledge_at_times(self, now: float) -> None:
        """Acknowledge, unless that was just done; ``now`` in seconds of the monotonic clock."""
        if self.unsaid and now - self._said >= ACK_SECONDS:
            self._said = now
            self.acknowledge()

    def tell(self, word: str) -> None:
        """Have the loop say something; safe to call from any thread."""
        self._words.append(word)

    def say_all(self) -> None:
        """Say what was told, in order; what nobody reads now is said later."""
        while self._words and self.say(self._words[0]):
            self._words.popleft()
