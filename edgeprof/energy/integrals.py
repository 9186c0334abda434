"""Integrals of many intervals over a stream that comes piece by piece, with nothing lost to cancellation.

A running total over 100 million samples has few digits left for a token. Here totals begin anew with every piece, and
an interval gets the difference of two of them, or its parts of several pieces, added up.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from edgeprof.errors import UsageError

__all__ = ["Cells", "Integrals", "Lines", "Piece", "Walk", "integrate", "intervals"]

Float = npt.NDArray[np.float64]
Which = slice | npt.NDArray[np.intp]

SLACK = 1e-6
"""An interval may leave the samples by this share of a period: rounding of times."""


@dataclass(frozen=True, slots=True)
class Cells:
    """Columns of values that stand for a period each; an output is a column's integral times a factor."""

    begin_ns: float
    period_ns: float
    columns: tuple[Float, ...]
    outputs: dict[str, tuple[int, float]]

    @property
    def end_ns(self) -> float:
        """Where the last cell ends."""
        return self.begin_ns + len(self.columns[0]) * self.period_ns

    def sums(self) -> list[Float]:
        """Return each column's running total, from zero on, in its unit times periods."""
        found = [np.empty(len(c) + 1) for c in self.columns]
        for total, column in zip(found, self.columns, strict=True):
            total[0] = 0.0
            np.cumsum(column, out=total[1:])
        return found

    def at(self, t_ns: Float, sums: list[Float]) -> list[Float]:
        """Return each column's integral from the begin to these times."""
        place = t_ns - self.begin_ns
        place *= 1 / self.period_ns
        cell = place.astype(np.intp)
        place -= cell
        found = []
        for total, column in zip(sums, self.columns, strict=True):
            inside = column.take(cell, mode="clip")  # at the very end there is no cell, and nothing of it to add
            inside *= place
            inside += total.take(cell, mode="clip")
            found.append(inside)
        return found


@dataclass(frozen=True, slots=True)
class Lines:
    """Columns of values at uneven times, lines between them; a column with one value less has them by step."""

    t_ns: Float
    period_ns: float
    columns: tuple[Float, ...]
    outputs: dict[str, tuple[int, float]]

    @property
    def begin_ns(self) -> float:
        """When the first value is."""
        return float(self.t_ns[0])

    @property
    def end_ns(self) -> float:
        """When the last value is."""
        return float(self.t_ns[-1])

    def sums(self) -> list[Float]:
        """Return each column's running total, from zero on, in its unit times nanoseconds."""
        width = np.diff(self.t_ns)
        means = [c if len(c) == len(width) else (c[1:] + c[:-1]) / 2 for c in self.columns]
        return [np.append(0.0, np.cumsum(mean * width)) for mean in means]

    def at(self, t_ns: Float, sums: list[Float]) -> list[Float]:
        """Return each column's integral from the begin to these times."""
        step = np.clip(np.searchsorted(self.t_ns, t_ns, side="right") - 1, 0, len(self.t_ns) - 2)
        x, width = t_ns - self.t_ns[step], self.t_ns[step + 1] - self.t_ns[step]
        found = []
        for total, column in zip(sums, self.columns, strict=True):
            slope = 0.0 if len(column) < len(self.t_ns) else (column[step + 1] - column[step]) / width
            found.append(total[step] + x * (column[step] + slope * x / 2))
        return found


Piece = Cells | Lines


@dataclass(slots=True)
class Integrals:
    """What came out of each interval, by output; ``inside`` tells which intervals lie within the stream.

    ``begin_ns``, ``end_ns`` are the stream's.
    """

    inside: npt.NDArray[np.bool_]
    begin_ns: float
    end_ns: float
    period_ns: float
    values: dict[str, Float] = field(default_factory=dict)


class Walk:
    """Intervals in the order in which a stream meets their begins and ends.

    After a :meth:`step`, ``touching`` are the intervals that have a part of what the step went over.
    """

    def __init__(self, begins_ns: Float, ends_ns: Float) -> None:
        self.by_begin, self.begins = _in_order(begins_ns)
        self.by_end, self.ends = _in_order(ends_ns)
        self.in_order = self.by_begin is None and self.by_end is None
        self.unsorted_ends = ends_ns
        self.begun = self.ended = 0
        self.open = np.zeros(0, np.intp)
        self.touching: Which = slice(0, 0)

    def skip(self, begin_ns: float) -> None:
        """Pass over begins and ends before the stream."""
        *_, self.touching = self.step(begin_ns)

    def step(self, end_ns: float) -> tuple[Which, Float, Which, Float, Which]:
        """Return which intervals begin before this time and when, which end and when, and which stay open."""
        begun, ended = (int(np.searchsorted(of, end_ns)) for of in (self.begins, self.ends))
        begin, end = slice(self.begun, begun), slice(self.ended, ended)
        beginning = begin if self.by_begin is None else self.by_begin[begin]
        ending = end if self.by_end is None else self.by_end[end]
        if self.in_order:
            still: Which = slice(ended, max(begun, ended))
            self.touching = slice(self.ended, max(begun, self.ended))
        else:
            new = np.arange(begin.start, begin.stop) if isinstance(beginning, slice) else beginning
            self.touching = np.concatenate((self.open, new))
            self.open = still = self.touching[self.unsorted_ends[self.touching] >= end_ns]
        self.begun, self.ended = begun, ended
        return beginning, self.begins[begin], ending, self.ends[end], still


def _in_order(times: Float) -> tuple[npt.NDArray[np.intp] | None, Float]:
    """Return the order of times (None where they are in order already) and the times in it."""
    if np.all(times[1:] >= times[:-1]):
        return None, times
    order = np.argsort(times, kind="stable")
    return order, times[order]


def intervals(begins_ns: npt.ArrayLike, ends_ns: npt.ArrayLike) -> tuple[Float, Float]:
    """Return begins and ends as arrays of one shape (m,).

    Raises
    ------
    UsageError
        They are not as many, or one ends before it begins.
    """
    begins, ends = np.asarray(begins_ns, np.float64), np.asarray(ends_ns, np.float64)
    if begins.ndim != 1 or begins.shape != ends.shape:
        raise UsageError(f"Each interval needs a begin and an end; here are shapes {begins.shape} and {ends.shape}.")
    if np.any(wrong := ends < begins):
        at = int(np.argmax(wrong))
        raise UsageError(f"Interval {at} ends at {ends[at]:.0f} ns, before it begins at {begins[at]:.0f} ns.")
    return begins, ends


def integrate(stream: Iterable[Piece], begins_ns: Float, ends_ns: Float, *, clip: bool = False) -> Integrals:
    """Integrate the outputs of a stream over intervals.

    Parameters
    ----------
    stream
        Pieces in order of time, each beginning where the one before it ends.
    begins_ns, ends_ns
        Of the intervals, shape (m,), as :func:`intervals` returns them; in any order, and they may overlap.
    clip
        Take of an interval what lies within the stream, rather than nothing.

    Returns
    -------
    Integrals
        NaN where an interval is not within the stream. An output that no piece has is not there; one that only
        some have is zero in the others.
    """
    m = len(begins_ns)
    found = Integrals(np.zeros(m, np.bool_), np.nan, np.nan, np.nan)
    walk = Walk(begins_ns, ends_ns)
    for piece in stream:
        if np.isnan(found.begin_ns):
            found.begin_ns, found.period_ns = piece.begin_ns, piece.period_ns
            walk.skip(piece.begin_ns)
        found.end_ns = piece.end_ns
        beginning, at_begin, ending, at_end, still = walk.step(piece.end_ns)
        for name in piece.outputs.keys() - found.values.keys():
            found.values[name] = np.zeros(m)
        sums = piece.sums()
        before, after = piece.at(at_begin, sums), piece.at(at_end, sums)
        for name, (column, factor) in piece.outputs.items():
            out, scale = found.values[name], factor * (piece.period_ns if isinstance(piece, Cells) else 1.0)
            out[beginning] -= scale * before[column]
            out[ending] += scale * after[column]
            out[still] += scale * sums[column][-1]
    if not np.isnan(found.begin_ns):
        slack = SLACK * found.period_ns
        np.logical_and(begins_ns >= found.begin_ns - slack, ends_ns <= found.end_ns + slack, out=found.inside)
        if not clip and not found.inside.all():
            for out in found.values.values():
                out[~found.inside] = np.nan
    return found
