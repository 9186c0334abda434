"""When the host had a byte: from where in the stream each read began, and its time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeprof.records import unknown_where
from edgeprof.wire import Frame

__all__ = ["ReadTimes"]


class ReadTimes:
    """The reads of one port: stream offsets at which they began, and host times in nanoseconds."""

    def __init__(self, offsets: npt.NDArray[np.int64], ns: npt.NDArray[np.int64]) -> None:
        self.offsets, self.ns = offsets, ns

    def _ns(self, ends: Sequence[int]) -> npt.NDArray[np.int64]:
        """Return when the host had the bytes before these stream offsets, -1 where it is not known."""
        if not len(self.ns):
            return np.full(len(ends), -1, np.int64)
        at = np.searchsorted(self.offsets, np.array(ends, np.int64), side="left") - 1
        return np.where(at >= 0, self.ns[at], -1)

    def column(self, ends: Sequence[int]) -> Any:
        """Return a column of times, unknown where there is none."""
        ns = self._ns(ends)
        return unknown_where(ns, ns < 0)

    def of_frames(self, gathered: Sequence[tuple[Frame, int]]) -> Any:
        """Return a column of times for the records of frames and their ends."""
        ns = np.repeat(self._ns([end for _, end in gathered]), [frame.n for frame, _ in gathered])
        return unknown_where(ns, ns < 0)

    def one(self, end: int) -> int | None:
        """Return the time of one offset, None where it is not known."""
        ns = int(self._ns([end])[0])
        return ns if ns >= 0 else None
