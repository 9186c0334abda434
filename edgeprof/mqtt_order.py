"""Frames back into their order: after a restart a broker may let a message overtake those that it had queued."""

from __future__ import annotations

import bisect
from typing import Generic, TypeVar

from edgeprof import wire

__all__ = ["Order", "numbers"]

WATCH_SECONDS = 10.0
"""So long after an outage frames are looked at; it begins anew with every one that came too early."""
WAIT_SECONDS = 1.0
"""So long without a frame of the row a gap is taken for a loss."""
MOST_HELD = 15
"""A broker has at most 20 messages under way that nobody acknowledged; were all of them held back, none would come."""

T = TypeVar("T")


def numbers(payload: bytes) -> tuple[int, int, int] | None:
    """Return boot, first and last number of the board's frames in a payload, None if it holds none."""
    frames = (wire.judge(part, 0, len(part)).frame for part in payload.split(b"\0") if part)
    found = [frame for frame in frames if frame is not None and not wire.from_host(frame)]
    return (found[-1].boot, found[0].seq, found[-1].seq) if found else None


class Order(Generic[T]):
    """Hand things on in the order of their frames, for a while after :meth:`watch`; at other times as they come.

    What comes before its turn is held back until what it overtook is there, or is not to be expected any more.
    Times are monotonic, in seconds.
    """

    def __init__(self) -> None:
        self.held: list[tuple[int, int, T]] = []
        """First and last number, and what is held back."""
        self._last: bytes | None = None
        """What was handed on last while nobody looked: only after an outage its numbers are of interest."""
        self._next: tuple[int, int] | None = None
        self._until = self._progress = 0.0

    def watch(self, now: float) -> None:
        """There was an outage: mind the order from now on."""
        self._until, self._progress = now + WATCH_SECONDS, now
        if self._last is not None:
            found = numbers(self._last)
            self._next = (found[0], found[2] + 1) if found else None
            self._last = None

    def add(self, payload: bytes, thing: T, now: float, *, frame: bool) -> list[T]:
        """Take a message; return what is to be handed on now.

        Parameters
        ----------
        payload
            The message.
        thing
            What is handed on in its place.
        now
            The time.
        frame
            Whether it begins with a board's frame; others are handed on at once.
        """
        if not frame:
            return [thing]
        found = numbers(payload) if now < self._until or self.held else None
        if found is None:
            self._last = payload
            return [thing]
        boot, first, last = found
        if self._next is None or boot != self._next[0]:
            ready = self.release()
            self._handed_on(boot, last, now)
            return [*ready, thing]
        if first > self._next[1]:
            if not self.held:
                self._progress = now
            bisect.insort(self.held, (first, last, thing), key=lambda one: one[0])
            self._until = now + WATCH_SECONDS
            return self.release() if len(self.held) > MOST_HELD else []
        self._handed_on(boot, max(last, self._next[1] - 1), now)
        return [thing, *self._in_turn()]

    def due(self, now: float) -> list[T]:
        """Return what waited long enough for what it overtook."""
        return self.release() if self.held and now - self._progress > WAIT_SECONDS else []

    def release(self) -> list[T]:
        """Return all that is held back."""
        ready, self.held = self.held, []
        if ready and self._next is not None:
            self._next = (self._next[0], max(last for _, last, _ in ready) + 1)
        return [thing for _, _, thing in ready]

    def _handed_on(self, boot: int, last: int, now: float) -> None:
        self._next, self._progress = (boot, last + 1), now

    def _in_turn(self) -> list[T]:
        ready = []
        while self.held and self._next is not None and self.held[0][0] <= self._next[1]:
            _, last, thing = self.held.pop(0)
            self._next = (self._next[0], max(last + 1, self._next[1]))
            ready.append(thing)
        return ready
