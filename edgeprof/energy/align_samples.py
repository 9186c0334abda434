"""Rows of the table ``power`` as one stream: even where it was even, and with NaN where samples are missing."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgeprof.energy.samples import Samples
from edgeprof.errors import NotComparableError, UsageError

__all__ = ["cut", "supply", "whole_stream"]

MOST_ROWS = 4
"""A stream has at most so many samples for each that came: with more lost than that it is no measurement."""

Float = npt.NDArray[np.float64]
Int = npt.NDArray[np.int64]


def whole_stream(
    meter: str, t_ns: Float, current_ua: Float, voltage_mv: Float | float | None, period_ns: float | None = None
) -> Samples:
    """Return samples with those that are missing as NaN, never interpolated.

    Parameters
    ----------
    meter
        What it is called.
    t_ns
        When each sample was, in nanoseconds, shape (n,). What is there twice is taken once.
    current_ua
        Microamperes, shape (n,).
    voltage_mv
        Millivolts: one a sample, one for all, or unknown.
    period_ns
        From sample to sample where it is known; else the median of what is there.

    Raises
    ------
    NotComparableError
        There is only one sample, or most are missing.
    """
    t_ns, first = np.unique(t_ns, return_index=True)
    current_ua = current_ua[first]
    if isinstance(voltage_mv, np.ndarray):
        voltage_mv = voltage_mv[first]
    if len(t_ns) < 2:
        raise NotComparableError(f"{meter} has {len(t_ns)} sample in all: that is no current over time.")
    steps = np.diff(t_ns)
    typical = period_ns or float(np.median(steps))
    skipped = np.maximum(np.round(steps / typical), 1)
    if skipped.sum() + 1 > MOST_ROWS * len(t_ns):
        raise NotComparableError(
            f"{meter}: of {skipped.sum() + 1:,.0f} samples {len(t_ns):,} are there. Too little to say what was drawn; "
            "is the line too slow for the sample rate?"
        )
    at = np.concatenate(([0], np.cumsum(skipped))).astype(np.int64)
    n = int(at[-1]) + 1
    period = float(t_ns[-1] - t_ns[0]) / (n - 1)
    even = bool(np.abs(t_ns - (t_ns[0] + at * period)).max() <= period / 2)
    times = None if even else np.interp(np.arange(n), at, t_ns)
    voltage = _spread(voltage_mv, at, n) if isinstance(voltage_mv, np.ndarray) else voltage_mv
    return Samples(meter, _spread(current_ua, at, n), voltage, float(t_ns[0]), period if even else None, times)


def _spread(values: Float, at: Int, n: int) -> Float:
    if len(values) == n:
        return values
    out = np.full(n, np.nan)
    out[at] = values
    return out


def supply(meter: str, voltage_mv: Float, given_mv: float | None) -> Float | float | None:
    """Return the supply's voltage: as the samples say it, else as the user does, else None: unknown.

    Parameters
    ----------
    meter
        What the meter is called.
    voltage_mv
        Millivolts of each sample, shape (n,); NaN where it was not said.
    given_mv
        By the user; None where nothing was given.

    Raises
    ------
    UsageError
        The two contradict each other, or what was given is no voltage.
    NotComparableError
        Some samples say it, others do not.
    """
    unsaid = np.isnan(voltage_mv)
    if given_mv is not None and not 0 < given_mv < np.inf:
        raise UsageError(f"voltage_mv={given_mv!r} is no supply: give millivolts, such as 3300.")
    if unsaid.all():
        return given_mv
    if given_mv is not None:
        mean = float(np.nanmean(voltage_mv))
        raise UsageError(
            f"{meter} says the voltage itself ({mean:.0f} mV on average): leave voltage_mv={given_mv:g} out."
        )
    if unsaid.any():
        raise NotComparableError(
            f"{meter}: {int(unsaid.sum()):,} of {len(unsaid):,} samples say no voltage, the others do. Only one kind "
            "can be right; capture again with one setting of the meter."
        )
    return float(voltage_mv[0]) if (voltage_mv == voltage_mv[0]).all() else voltage_mv


def cut(samples: Samples, begin_ns: float, end_ns: float) -> Samples | None:
    """Return the samples of a stretch of time, in nanoseconds of their clock; None where there are fewer than two."""
    if samples.t_ns is not None:
        low, high = np.searchsorted(samples.t_ns, [begin_ns, end_ns])
        start = float(samples.t_ns[min(low, len(samples) - 1)])
    else:
        assert samples.period_ns is not None
        edges = np.ceil((np.array([begin_ns, end_ns]) - samples.start_ns) / samples.period_ns)
        low, high = np.clip(edges, 0, len(samples)).astype(np.int64)
        start = samples.start_ns + float(low) * samples.period_ns
    if high - low < 2:
        return None
    part = slice(int(low), int(high))
    voltage = samples.voltage_mv[part] if isinstance(samples.voltage_mv, np.ndarray) else samples.voltage_mv
    times = samples.t_ns[part] if samples.t_ns is not None else None
    return Samples(samples.meter, samples.current_ua[part], voltage, start, samples.period_ns, times)
