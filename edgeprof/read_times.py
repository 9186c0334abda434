"""When the host had a byte: from where in the stream each read began, and its time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeprof.block import spread
from edgeprof.records import unknown_where

__all__ = ["ReadTimes", "Reads"]

Reads = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
"""Stream offsets at which reads began, and host times in nanoseconds."""


class ReadTimes:
    """The reads of one port, in order, taken from their source as far as they are asked for."""

    def __init__(self, reads: Iterable[Reads]) -> None:
        self._more: Iterator[Reads] = iter(reads)
        self._offsets = self._times = np.empty(0, np.int64)

    def forget(self, offset: int) -> None:
        """Let go of reads that ended before a stream offset: nobody will ask for what they brought."""
        first = int(np.searchsorted(self._offsets, offset, side="right")) - 1
        if first > 0:
            self._offsets, self._times = self._offsets[first:], self._times[first:]

    def _reach(self, end: int) -> None:
        new: list[Reads] = []
        last = self._offsets[-1] if len(self._offsets) else -1
        while last < end and (block := next(self._more, None)) is not None:
            if len(block[0]):
                new.append(block)
                last = block[0][-1]
        if new:
            self._offsets = np.concatenate([self._offsets, *(offsets for offsets, _ in new)])
            self._times = np.concatenate([self._times, *(ns for _, ns in new)])

    def ns(self, ends: Sequence[int] | npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return when the host had the bytes before these stream offsets, -1 where it is not known."""
        if not len(ends):
            return np.empty(0, np.int64)
        wanted = np.asarray(ends, np.int64)
        self._reach(int(wanted.max()))
        if not len(self._times):
            return np.full(len(wanted), -1, np.int64)
        at = np.searchsorted(self._offsets, wanted, side="left") - 1
        return np.where(at >= 0, self._times[at], -1)

    def between(self, start: int, end: int) -> Reads:
        """Return the reads that brought a part of what lies between two stream offsets."""
        self._reach(end)
        first = max(int(np.searchsorted(self._offsets, start, side="right")) - 1, 0)
        last = int(np.searchsorted(self._offsets, end, side="left"))
        return self._offsets[first:last], self._times[first:last]

    def column(self, ends: Sequence[int]) -> Any:
        """Return a column of times, unknown where there is none."""
        ns = self.ns(ends)
        return unknown_where(ns, ns < 0)

    def of_records(self, ends: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]) -> Any:
        """Return a column of times for the records of frames, by the frames' ends and numbers of records."""
        ns = self.ns(ends)
        column = spread(ns, counts)
        return np.ma.masked_array(column, mask=spread(ns < 0, counts)) if (ns < 0).any() else column

    def one(self, end: int) -> int | None:
        """Return the time of one offset, None where it is not known."""
        ns = int(self.ns([end])[0])
        return ns if ns >= 0 else None
