"""A meter's samples in short stretches, what is missing filled in and told, so that none is in memory twice.

A missing sample between two that were measured is stood in for by the line between them, and marked. Before the first
sample and after the last nothing is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgeprof.energy.samples import Samples
from edgeprof.errors import NotComparableError, UsageError

__all__ = ["LONGEST_STEP", "Source", "Stretch", "chunks", "first_period_ns", "stretches"]

Float = npt.NDArray[np.float64]

Source = Samples | Callable[[], Iterable[Samples]]
"""Samples, or what reads them from the first on, one partition after the other, each time that it is called."""

STRETCH_SAMPLES = 1 << 16
"""Half a megabyte of doubles: a stretch and its sums stay in a core's cache."""
LONGEST_STEP = 1.5
"""Where uneven samples are further apart than this many medians, one is missing between."""
LONGEST_GAP_SAMPLES = 10_000_000
"""More missing samples in a row than this are no gap: it is another recording."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Some successive samples, none missing any more.

    Attributes
    ----------
    current_ua, voltage_mv
        As in :class:`edgeprof.energy.samples.Samples`.
    begin_ns : float
        Where the first cell begins, half a period before its sample; of an uneven stream when the first sample was.
    period_ns : float
        How wide a cell is; of an uneven stream the median step.
    t_ns : ndarray of float or None
        When each sample was, where they are uneven. The next stretch begins with the last one again.
    filled : ndarray of bool or None
        Which samples were not measured; None where all were.
    """

    current_ua: Float
    voltage_mv: Float | float | None
    begin_ns: float
    period_ns: float
    t_ns: Float | None = None
    filled: npt.NDArray[np.bool_] | None = None

    @property
    def end_ns(self) -> float:
        """Where the last cell ends; of an uneven stream when the last sample was."""
        return self.begin_ns + len(self.current_ua) * self.period_ns if self.t_ns is None else float(self.t_ns[-1])

    def power_nw(self) -> Float:
        """Return the power at each sample in nanowatts; the bare current where there is no voltage."""
        return self.current_ua if self.voltage_mv is None else self.current_ua * self.voltage_mv


def chunks(source: Source) -> Iterator[Samples]:
    """Return the source's samples from the first on, partition by partition, those that hold any.

    Raises
    ------
    UsageError
        Samples are neither even nor have times, or have both; some are even, or have a voltage, and some do not.
    """
    even: bool | None = None
    silent: bool | None = None
    for some in [source] if isinstance(source, Samples) else source():
        if (some.period_ns is None) == (some.t_ns is None):
            raise UsageError("Samples need either period_ns, where they are even, or t_ns, where they are not.")
        if some.period_ns is not None and not 0 < some.period_ns < np.inf:
            raise UsageError(f"Samples need a period above 0 ns; the period of these is {some.period_ns} ns.")
        if even is not None and even != (some.t_ns is None):
            raise UsageError("Some of these samples are even and some are not; integrate each kind on its own.")
        if silent is not None and silent != (some.voltage_mv is None):
            raise UsageError("Some of these samples have a voltage and some have none; say it for all of them.")
        even, silent = some.t_ns is None, some.voltage_mv is None
        if len(some):
            yield some


def stretches(source: Source) -> Iterator[Stretch]:
    """Cut samples into stretches of some ten thousand, and fill in what is missing between two that were measured.

    Raises
    ------
    UsageError
        A partition begins before the one before it ends; more than :data:`LONGEST_GAP_SAMPLES` are missing between
        two samples; times do not increase.
    """
    before: Stretch | None = None
    for some in chunks(source):
        for stretch in _even(some, before) if some.t_ns is None else _uneven(some, before):
            yield stretch
            before = stretch


def first_period_ns(source: Source) -> float:
    """Return the period of the first samples; of uneven ones their median step.

    Raises
    ------
    NotComparableError
        There are no samples.
    """
    for stretch in stretches(source):
        return stretch.period_ns
    raise NotComparableError("Energy needs samples of a meter; there are none here, or all of them are missing.")


def _columns(some: Samples) -> list[Float]:
    return [some.current_ua, some.voltage_mv] if isinstance(some.voltage_mv, np.ndarray) else [some.current_ua]


def _even(some: Samples, before: Stretch | None) -> Iterator[Stretch]:
    columns, period = _columns(some), some.period_ns
    assert period is not None
    begin, gap = some.start_ns - period / 2, 0
    left: list[float] = []
    first = 0
    if before is None and not all(np.isfinite(c[0]) for c in columns):
        known = _known(columns)
        first = int(np.argmax(known)) if known.any() else len(some)
    elif before is not None:
        left = _last(before, len(columns))
        gap = _gap_samples((begin - before.end_ns) / period)
    while (last := _cut(columns, first)) > first:
        part = [c[first:last] for c in columns]
        if gap:
            part = [np.concatenate((np.full(gap, np.nan), c)) for c in part]
        filled = None
        if not all(np.isfinite(c.sum()) for c in part):  # a hundredth of the time that looking at each takes
            known = _known(part)
            filled = ~known
            part = [_fill(c, known, left[i] if left else None) for i, c in enumerate(part)]
        voltage = part[1] if len(part) > 1 else some.voltage_mv
        yield Stretch(part[0], voltage, begin + (first - gap) * period, period, filled=filled)
        left, gap, first = [float(c[-1]) for c in part], 0, last


def _gap_samples(periods: float) -> int:
    if periods < -0.5:
        raise UsageError(
            f"A partition begins {-periods:.1f} samples before the one before it ends; they must be in order."
        )
    if periods > LONGEST_GAP_SAMPLES:
        raise UsageError(f"Between two partitions {periods:.0f} samples are missing; integrate each on its own.")
    return round(periods)


def _cut(columns: Sequence[Float], first: int) -> int:
    """Return where a stretch from here ends, so that its last sample is known; ``first`` where none is."""
    n = len(columns[0])
    for begin in range(first, n, STRETCH_SAMPLES):
        end = min(begin + STRETCH_SAMPLES, n)
        if all(np.isfinite(c[end - 1]) for c in columns):
            return end
        at = np.flatnonzero(_known([c[begin:end] for c in columns]))
        if len(at):
            return begin + int(at[-1]) + 1
    return first


def _known(columns: Sequence[Float]) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = np.all([np.isfinite(c) for c in columns], axis=0)
    return found


def _last(before: Stretch, count: int) -> list[float]:
    """Return current and, for a second column, voltage of the last sample."""
    voltage = before.voltage_mv[-1] if isinstance(before.voltage_mv, np.ndarray) else before.voltage_mv
    return [float(before.current_ua[-1]), np.nan if voltage is None else float(voltage)][:count]


def _fill(values: Float, known: npt.NDArray[np.bool_], left: float | None) -> Float:
    """Put lines where values are missing; the last is known, and ``left`` is what comes before the first."""
    at = np.flatnonzero(known)
    x, y = (at, values[at]) if left is None else (np.append(-1, at), np.append(left, values[at]))
    out = values.copy()
    lost = np.flatnonzero(~known)
    out[lost] = np.interp(lost, x, y)
    return out


def _uneven(some: Samples, before: Stretch | None) -> Iterator[Stretch]:
    columns, t_ns = _columns(some), some.t_ns
    assert t_ns is not None
    known = _known(columns)
    columns, t_ns = [c[known] for c in columns], t_ns[known]
    if before is not None:
        columns = [np.append(last, c) for last, c in zip(_last(before, len(columns)), columns, strict=True)]
        t_ns = np.append(before.end_ns, t_ns)
    steps = np.diff(t_ns)
    if not np.all(steps > 0):
        at = int(np.argmax(~(steps > 0)))
        raise UsageError(f"Times of samples must increase; {t_ns[at]:.0f} ns is followed by {t_ns[at + 1]:.0f} ns.")
    if not len(steps):
        return
    period = float(np.median(steps))
    for first in range(0, len(steps), STRETCH_SAMPLES):
        part = slice(first, min(first + STRETCH_SAMPLES, len(steps)) + 1)
        voltage = columns[1][part] if len(columns) > 1 else some.voltage_mv
        yield Stretch(columns[0][part], voltage, float(t_ns[first]), period, t_ns[part])
