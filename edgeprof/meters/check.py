"""Whether a meter's file can be believed: pure functions from samples to findings.

Each defect is one that a meter's program was seen to write. None is mended here.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgeprof.energy.samples import Samples
from edgeprof.meters.file import Finding
from edgeprof.meters.repeats import repeats

__all__ = ["backwards", "check_samples", "drift_ppm", "holes", "rate_finding", "rate_ratio"]

RANGE_UA = {"ppk2": 1e6, "joulescope": 10e6}
"""The largest current that a meter measures, in microamperes: 1 A by the PPK2's user guide, 10 A by the data sheets of
the Joulescopes JS110 and JS220."""
MOST_UA = 1e8
"""100 A: more than any meter of a microcontroller's supply measures, so a unit is wrong."""
MOST_MV = 1e5
"""100 V, above the 85 V of the INA228, the highest of the meters here."""
WRONG_RATE = 0.05
"""A rate that is off by more is wrong. An RC oscillator is off by up to 3 percent; wrong rates were 1.33 and more."""
ODD_RATE = 1e-3
"""A rate that is off by more than a crystal's 0.1 percent is told."""
_SHOWN = 20
_PLATEAU = 8

Float = npt.NDArray[np.float64]


def rate_ratio(meter_ns: npt.ArrayLike, board_ns: npt.ArrayLike) -> float:
    """Return how fast a meter's clock runs against another one: 1.33 where it counts a third too much.

    Parameters
    ----------
    meter_ns
        When the same moments were by the meter's clock, shape (n,), at least two: edges that were matched, or
        the begin and end of a number of samples.
    board_ns
        When they were by the other clock, shape (n,).

    Raises
    ------
    ValueError
        There are not two different moments.

    Notes
    -----
    The slope of the least-squares line, for edges are exact to a sample and have no lucky ones.
    """
    x, y = np.asarray(board_ns, np.float64), np.asarray(meter_ns, np.float64)
    if len(x) < 2 or len(x) != len(y) or float(np.ptp(x)) <= 0:
        raise ValueError("A rate needs two moments that differ, each on both clocks.")
    x, y = x - x.mean(), y - y.mean()
    return float(x @ y / (x @ x))


def drift_ppm(meter_ns: npt.ArrayLike, board_ns: npt.ArrayLike) -> float:
    """Return by how much the clocks' ratio changes from the first half of the moments to the second, in ppm.

    Raises
    ------
    ValueError
        There are fewer than four moments.
    """
    x, y = np.asarray(board_ns, np.float64), np.asarray(meter_ns, np.float64)
    half = len(x) // 2
    if half < 2:
        raise ValueError("A drift needs four moments on both clocks.")
    return 1e6 * (rate_ratio(y[half:], x[half:]) - rate_ratio(y[:half], x[:half]))


def rate_finding(ratio: float, said: str, by: str) -> Finding | None:
    """Judge a ratio of two rates, of what is ``said`` over what it should be ``by`` another clock.

    Returns
    -------
    Finding or None
        Fatal beyond :data:`WRONG_RATE`, for every joule would be off by that; told beyond :data:`ODD_RATE`.
    """
    off = abs(ratio - 1)
    if off > WRONG_RATE:
        text = f"the sample rate is wrong: {said} and {by} differ by a factor of {ratio:.4g}"
        return Finding("rate", text, fatal=True)
    if off > ODD_RATE:
        return Finding("rate", f"{said} and {by} differ by {100 * (ratio - 1):+.2f} %")
    return None


def backwards(t_ns: Float, *, wall: bool) -> list[Finding]:
    """Find time that goes backwards, and jumps of a clock on the wall by half an hour or an hour, as summer time makes.

    Parameters
    ----------
    t_ns
        Time stamps in nanoseconds, shape (n,).
    wall
        They are of a clock on the wall, without its offset from UTC.
    """
    steps = np.diff(t_ns)
    if not len(steps):
        return []
    usual = float(np.median(steps))
    if wall:
        jump = np.abs(steps - usual)
        near = np.minimum(np.abs(jump - 1800e9), np.abs(jump - 3600e9))
        if len(at := np.flatnonzero(near <= max(1e9, 2 * abs(usual)))):
            text = (
                f"the clock jumps by {(steps[at[0]] - usual) / 60e9:+.0f} minutes behind sample {at[0] + 1:,}: its "
                "time stamps are in local time, and summer time began or ended. Write them in UTC"
            )
            return [Finding("local time", text, fatal=True)]
    if len(at := np.flatnonzero(steps < 0)):
        text = f"time goes backwards behind sample {at[0] + 1:,}, by {-steps[at[0]] / 1e6:.6g} ms"
        return [Finding("backwards", text + (f", and {len(at) - 1:,} times more" if len(at) > 1 else ""), fatal=True)]
    return []


def holes(t_ns: Float, usual_ns: float, kind: str, factor: float) -> list[Finding]:
    """Find steps of more than ``factor`` usual ones; the longest are told one by one, the rest in one finding.

    Parameters
    ----------
    t_ns
        When each sample was, shape (n,), increasing.
    usual_ns
        The usual step.
    kind
        What they are called: ``gap``, or ``missing`` where samples of an even stream are.
    factor
        How many usual steps are no hole yet.
    """
    steps = np.diff(t_ns)
    at = np.flatnonzero(steps > factor * usual_ns)
    longest = np.sort(at[np.argsort(steps[at], kind="stable")[::-1][:_SHOWN]])
    found = []
    for i in longest:
        lost = round(steps[i] / usual_ns) - 1
        what = f"missing here: {lost:,}" if kind == "missing" else f"no sample for {steps[i] / 1e6:.6g} ms"
        found.append(Finding(kind, what, start_ns=round(t_ns[i]), end_ns=round(t_ns[i + 1])))
    if len(at) > len(longest):
        rest = len(at) - len(longest)
        found.append(Finding(kind, f"{rest:,} more such places, each as long or shorter; {len(at):,} in all"))
    return found


def check_samples(samples: Samples) -> list[Finding]:
    """Find what is wrong with samples whatever their format: what is impossible, cut off, missing, or there twice."""
    current = samples.current_ua
    finite = current[np.isfinite(current)]
    if not len(finite):
        return [Finding("missing", "no sample has a current", fatal=True)]
    found = _impossible(samples, finite)
    if (absent := int(np.isnan(current).sum())) and samples.period_ns is not None:
        text = f"missing samples: {absent:,} of {len(current):,} ({100 * absent / len(current):.3g} %)"
        found.append(Finding("missing", text))
    found += _voltage(samples)
    found += _saturation(samples)
    return found + repeats(samples)


def _impossible(samples: Samples, finite: Float) -> list[Finding]:
    found = []
    if bad := int(np.isinf(samples.current_ua).sum()):
        found.append(Finding("impossible", f"infinite currents: {bad:,}", fatal=True))
    # Twice, for a meter that is overdriven says a little more than its range.
    limit = 2 * RANGE_UA[samples.meter] if samples.meter in RANGE_UA else MOST_UA
    largest = float(np.abs(finite).max())
    if largest > limit:
        text = f"a current of {largest / 1e6:.4g} A is beyond the meter ({limit / 1e6:g} A): which unit is it?"
        found.append(Finding("impossible", text, fatal=True))
    return found


def _voltage(samples: Samples) -> list[Finding]:
    if samples.voltage_mv is None:
        text = "no column has the voltage, and energy needs it: say it with --voltage-mv, as the supply was set"
        return [Finding("voltage", text, fatal=True)]
    volts = np.atleast_1d(np.asarray(samples.voltage_mv, np.float64))
    known = volts[~np.isnan(volts)]
    if not len(known):
        return [Finding("voltage", "no sample has a voltage", fatal=True)]
    lowest, highest = float(known.min()), float(known.max())
    if not (-MOST_MV <= lowest and 0 < highest <= MOST_MV):
        text = f"the voltage goes from {lowest / 1e3:.4g} to {highest / 1e3:.4g} V, which no supply here has"
        return [Finding("impossible", text, fatal=True)]
    if len(volts) > 1 and (absent := int((np.isnan(volts) & ~np.isnan(samples.current_ua)).sum())):
        return [Finding("voltage", f"samples that have a current and no voltage: {absent:,}")]
    return []


def _saturation(samples: Samples) -> list[Finding]:
    """Find plateaus at the largest value, where values elsewhere change from sample to sample."""
    current = samples.current_ua
    top = float(np.nanmax(current))
    flat = np.concatenate(([False], current == top, [False]))
    turn = np.flatnonzero(flat[1:] != flat[:-1])
    begins, ends = turn[::2], turn[1::2]
    long = ends - begins >= _PLATEAU
    cut = int((ends - begins)[long].sum())
    same = current[1:] == current[:-1]
    elsewhere = same & ~(flat[1:-1][1:] & flat[1:-1][:-1])
    if not cut or int(elsewhere.sum()) > 0.1 * max(len(current) - cut, 1) or cut == len(current):
        return []
    text = (
        f"{cut:,} samples stand at the largest value, {top / 1e3:.6g} mA, in {int(long.sum()):,} plateaus: the meter's "
        "range ends there, so charge and energy are lower bounds"
    )
    return [Finding("saturation", text)]
