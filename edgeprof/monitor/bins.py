"""Values over the last minute and a half in a fixed number of bins: as much memory for a week as for a minute."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["BINS", "BIN_SECONDS", "Bins"]

BINS, BIN_SECONDS = 90, 1.0
ABSURD = 1e100
"""Values beyond are nothing that was measured; their sum, scaled and drawn, would be no number any more."""

Floats = npt.NDArray[np.float64]


class Bins:
    """Count, mean, least and most of what came in each second; a ring."""

    def __init__(self) -> None:
        self._newest = -1
        self._count, self._sum = np.zeros(BINS), np.zeros(BINS)
        self._least, self._most = np.full(BINS, np.inf), np.full(BINS, -np.inf)

    def add(self, seconds: npt.ArrayLike, values: npt.ArrayLike) -> None:
        """Add values and when each came, in seconds; what is not finite, or absurd, is left out."""
        at, new = np.broadcast_arrays(np.asarray(seconds, np.float64), np.asarray(values, np.float64))
        known = np.isfinite(at) & (np.abs(new) < ABSURD)
        numbers, new = np.floor(at[known] / BIN_SECONDS).astype(np.int64), new[known]
        if not len(new):
            return
        self._advance(int(numbers.max()))
        kept = (numbers > self._newest - BINS) & (numbers >= 0)
        slots, new = numbers[kept] % BINS, new[kept]
        np.add.at(self._count, slots, 1)
        np.add.at(self._sum, slots, new)
        np.minimum.at(self._least, slots, new)
        np.maximum.at(self._most, slots, new)

    def _advance(self, newest: int) -> None:
        if newest > self._newest:
            stale = np.arange(max(self._newest + 1, newest - BINS + 1), newest + 1) % BINS
            self._count[stale] = self._sum[stale] = 0
            self._least[stale], self._most[stale] = np.inf, -np.inf
            self._newest = newest

    @property
    def any(self) -> bool:
        """True once anything came."""
        return self._newest >= 0

    def series(self, now: float) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """Return what came in the bins that ended by ``now``.

        Returns
        -------
        arrays of (BINS,)
            Seconds from ``now`` to each bin's middle (negative), and each bin's count, mean, least and most; the last
            three are NaN where nothing came.
        """
        last = int(np.floor(now / BIN_SECONDS)) - 1
        numbers = np.arange(last - BINS + 1, last + 1)
        there = (numbers <= self._newest) & (numbers > self._newest - BINS) & (numbers >= 0)
        slots = numbers % BINS
        count = np.where(there, self._count[slots], 0.0)
        came = count > 0

        def of(values: npt.NDArray[Any]) -> Floats:
            return np.asarray(np.where(came, values[slots], np.nan), np.float64)

        with np.errstate(invalid="ignore", divide="ignore"):
            mean = of(self._sum / self._count)
        at = np.asarray((numbers + 0.5) * BIN_SECONDS - now, np.float64)
        return at, np.asarray(count, np.float64), mean, of(self._least), of(self._most)

    def rate(self, now: float, seconds: int = 5) -> float:
        """Return how many came a second in the last whole bins of so many seconds."""
        _, count, *_ = self.series(now)
        bins = max(int(seconds / BIN_SECONDS), 1)
        return float(count[-bins:].sum() / (bins * BIN_SECONDS))
