"""When each sample was: from a rate, or from time stamps, which are even, even with holes, or neither.

Pure functions on arrays. Nothing is interpolated: a hole in an even stream is filled with samples that are missing
(NaN), or stays a hole.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeprof.meters.check import backwards, holes, rate_finding
from edgeprof.meters.file import Finding

__all__ = ["Placed", "place"]

_MOST_FILLED = 2
"""An even stream is filled up to so many times its samples; a longer hole stays one."""
_EVEN = 1e-3
"""Stamps are even if none is off by more than this part of a period, or by their own rounding."""
_LONG = 10
"""In an uneven stream, a hole is a step of so many usual ones."""

Float = npt.NDArray[np.float64]
Int = npt.NDArray[np.int64]


@dataclass(slots=True)
class Placed:
    """When samples were.

    Attributes
    ----------
    t_ns : numpy.ndarray of float
        Of each row of the file from its first, shape (n,).
    period_ns : float or None
        Where they are even.
    index : numpy.ndarray of int or None
        Which sample of the even stream each row is, where some are missing; shape (n,).
    """

    t_ns: Float
    period_ns: float | None
    index: Int | None = None
    findings: list[Finding] = field(default_factory=list)

    def filled(self, values: Float) -> Float:
        """Return one value a sample of the stream, NaN where it is missing."""
        if self.index is None:
            return values
        out = np.full(int(self.index[-1]) + 1, np.nan)
        out[self.index] = values
        return out


def place(
    n: int, stamps: npt.NDArray[Any] | None, rate_hz: float | None, *, wall: bool = False, resolution_ns: float = 0.0
) -> Placed:
    """Return when ``n`` samples were.

    Parameters
    ----------
    n
        How many rows there are, at least 2.
    stamps
        Their time stamps in nanoseconds of any zero, shape (n,); integers or floats.
    rate_hz
        What file or user say; one of the two must be there.
    wall
        The stamps are of a clock on the wall.
    resolution_ns
        What a stamp can be off by.
    """
    if stamps is None:
        assert rate_hz is not None
        period = 1e9 / rate_hz
        return Placed(np.arange(n, dtype=np.float64) * period, period)
    t = (stamps - stamps[0]).astype(np.float64)
    if not np.isfinite(t).all():
        row = int(np.flatnonzero(~np.isfinite(t))[0])
        return Placed(np.arange(n, dtype=np.float64), None, findings=[_no_time(row)])
    steps = np.diff(t)
    if (found := backwards(t, wall=wall)) and found[0].fatal:
        return Placed(t, None, findings=found)
    even = _even(t, steps, resolution_ns)
    if even is None:
        return _uneven(t, steps, rate_hz)
    period, index = even
    findings = []
    if rate_hz is not None:
        found_rate = rate_finding(1e9 / period / rate_hz, "its time stamps", "the rate that is said")
        findings = [found_rate] if found_rate else []
        # What is said is exact, where the stamps do not deny it.
        if abs(1e9 / rate_hz - period) * index[-1] <= _tolerance(period, _quantum(steps), resolution_ns):
            period = 1e9 / rate_hz
    at_ns: Float = index.astype(np.float64) * period
    missing = int(index[-1]) + 1 - n
    if not missing:
        return Placed(at_ns, period, findings=findings)
    findings += holes(at_ns, period, "missing", 1.5)
    if index[-1] + 1 <= _MOST_FILLED * n:
        return Placed(at_ns, period, index, findings)
    return Placed(t, None, findings=findings)


def _no_time(row: int) -> Finding:
    return Finding("time", f"sample {row + 1:,} has no time", fatal=True)


def _uneven(t: Float, steps: Float, rate_hz: float | None) -> Placed:
    still = int((steps == 0).sum())
    if still:
        text = (
            f"samples that have the time of the one before: {still:,}. The file's clock is too coarse for its rate, or "
            "rows are there twice"
        )
        return Placed(t, None, findings=[Finding("time", text, fatal=True)])
    usual = float(np.median(steps))
    findings = holes(t, usual, "gap", _LONG)
    if rate_hz is not None:
        found = rate_finding(1e9 / usual / rate_hz, "its time stamps", "the rate that is said")
        findings += [found] if found else []
    return Placed(t, None, findings=findings)


def _quantum(steps: Float) -> float:
    """Return what all steps are multiples of, in whole nanoseconds; 0 where there is no step."""
    return float(np.gcd.reduce(np.rint(steps).astype(np.int64)))


def _tolerance(period: float, quantum: float, resolution_ns: float) -> float:
    return max(0.55 * quantum, _EVEN * period, 2 * resolution_ns)


def _even(t: Float, steps: Float, resolution_ns: float) -> tuple[float, Int] | None:
    """Return the period and each sample's place in an even stream; None where stamps are not those of one."""
    n = len(t)
    if t[-1] <= 0:
        return None
    if (steps <= 0).any():  # coarser than the stream: no hole can be seen
        index = np.arange(n)
    else:
        jumps = np.rint(steps / float(np.median(steps)))
        if jumps.min() < 1:
            return None
        index = np.concatenate(([0], np.cumsum(jumps))).astype(np.int64)
    period = float(t[-1]) / float(index[-1])
    off = t - index * period
    # The line through first and last stamp, each of them rounded, may lie half a quantum off.
    spread = float(off.max() - off.min()) / 2
    return (period, index) if spread <= _tolerance(period, _quantum(steps), resolution_ns) else None
