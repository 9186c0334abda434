"""Whether runs are what intervals take them for: independent measurements of one thing that does not change.

Each function looks for one fault in the values of one group of runs, in the order in which they were measured, and
returns a finding in plain words with what to do next, or None. On normal noise each speaks in about 5 % of series of
10 runs at most, and 1 % of 30 (``docs/statistics.md``); of fewer than ten runs only their number is said.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import scipy

from edgeprof import units
from edgeprof.verdicts import Verdict

__all__ = [
    "LEAST_RUNS", "Finding", "advise", "dependence", "drift", "outliers", "too_few_runs", "two_states", "unpaired",
    "warm_up",
]  # fmt: skip

LEAST_RUNS = 10
"""Fewer runs show no pattern that chance would not show as well."""
_MAD_TO_DEVIATION = 1.4826
_LEAST_SCALE = 0.001
_MOVING = ("drift", "dependence", "two states")

Kind = Literal["drift", "dependence", "two states", "outliers", "warm-up", "too few runs"]
Float = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found in a series of runs, in plain words, and what to do about it."""

    kind: Kind
    text: str
    next_step: str


def advise(values: npt.ArrayLike, smallest: float, *, tick: float = 0.0) -> list[Finding]:
    """Return all findings of one group of runs.

    Parameters
    ----------
    values
        One number a run, shape (n,), in the order in which they were measured.
    smallest
        The smallest effect that matters, as a fraction.
    tick
        A tick of the clock, in the unit of the values.
    """
    found = (
        too_few_runs(values), warm_up(values), drift(values, smallest), dependence(values),
        two_states(values, tick=tick), outliers(values, tick=tick),
    )  # fmt: skip
    return [finding for finding in found if finding is not None]


def unpaired(verdict: Verdict, findings: Iterable[Finding], *, apart: bool) -> Verdict:
    """Return the verdict on groups that were not measured in pairs, in the light of how they were measured.

    Drift, dependence and two states move one group and not the other, and no interval of one session shows it: then
    there is not enough data, however narrow the interval. In pairs they move both, and findings are advice only.

    Parameters
    ----------
    verdict
        By the interval alone.
    findings
        Of both groups.
    apart
        True where one group was measured after the other, or in another session, and the interval has no term for
        what differs between sessions; False where it has, or the runs of both were in random order.
    """
    why = [str(kind) for kind in dict.fromkeys(f.kind for f in findings) if kind in _MOVING]
    if apart:
        # A step between the two groups looks like a change, and nothing in either shows it.
        why.append("groups that were measured apart")
    if not why or verdict.certain or verdict.word == "not enough data":
        return verdict
    reason = (
        f"Pair the runs: base and candidate side by side, in random order. There is {' and '.join(why)}, so that "
        f"something else may have moved one group and not the other. The interval alone would say {verdict.word} "
        f"({verdict.reason.rstrip('.')})."
    )
    return replace(verdict, word="not enough data", reason=reason, more_runs=None)


def too_few_runs(values: npt.ArrayLike) -> Finding | None:
    """Find fewer than ten runs."""
    n = np.size(values)
    if n >= LEAST_RUNS:
        return None
    text = f"{n} runs are too few to see drift, dependence or two states."
    return Finding("too few runs", text, f"Measure {LEAST_RUNS - n} more; ten pairs are a good beginning.")


def drift(values: npt.ArrayLike, smallest: float) -> Finding | None:
    """Find a steady rise or fall by more than half of the smallest effect (Kendall's tau, p < 0.01; Theil's slope)."""
    logs = _logs(values)
    if logs is None:
        return None
    order = np.arange(len(logs))
    change = float(scipy.stats.theilslopes(logs, order).slope) * (len(logs) - 1)
    if not (scipy.stats.kendalltau(order, logs).pvalue < 0.01 and abs(change) > np.log1p(smallest) / 2):
        return None
    text = f"The runs drift: by {units.percent(np.expm1(change))} from the first to the last."
    return Finding("drift", text, "Let the board settle (temperature, supply), or measure base and candidate in pairs.")


def dependence(values: npt.ArrayLike) -> Finding | None:
    """Find runs that resemble the one before them (correlation of neighbours beyond its 99 % limit)."""
    logs = _logs(values)
    if logs is None:
        return None
    centred = logs - logs.mean()
    total = float(centred @ centred)
    correlation = float(centred[1:] @ centred[:-1]) / total if total > 0 else 0.0
    if correlation <= 2.576 / np.sqrt(len(logs)):
        return None
    text = f"Runs resemble the one before them (correlation {correlation:.2f}), so they are worth fewer than they are."
    return Finding("dependence", text, "Measure base and candidate in pairs, in random order, or hours apart.")


def two_states(values: npt.ArrayLike, *, tick: float = 0.0) -> Finding | None:
    """Find values around two levels or more (peaks of a kernel density, of a quarter of the highest or more)."""
    logs = _logs(values)
    if logs is None:
        return None
    spread = min(float(np.std(logs, ddof=1)), float(scipy.stats.iqr(logs)) / 1.349)
    width = max(0.9 * spread * len(logs) ** -0.2, _relative(tick, values))
    if width <= 0:
        return None
    grid = np.linspace(logs.min() - 4 * width, logs.max() + 4 * width, 512)
    density = np.exp(-0.5 * ((grid[:, None] - logs) / width) ** 2).sum(axis=1)
    peaks, _ = scipy.signal.find_peaks(density, prominence=0.25 * density.max())
    if len(peaks) < 2:
        return None
    apart = float(np.expm1(grid[peaks[-1]] - grid[peaks[0]]))
    text = f"The runs lie around {len(peaks)} levels, {units.percent(apart).lstrip('+')} apart."
    step = "Find what switches (clock frequency, cache, flash alignment, another core) and fix it, or measure in pairs."
    return Finding("two states", text, step)


def outliers(values: npt.ArrayLike, *, tick: float = 0.0) -> Finding | None:
    """Find more than 5 % of runs farther from the median than five deviations (by the median absolute deviation)."""
    logs = _logs(values)
    if logs is None:
        return None
    away = np.abs(logs - np.median(logs))
    scale = max(_MAD_TO_DEVIATION * float(np.median(away)), _relative(tick, values), _LEAST_SCALE)
    count = int(np.sum(away > 5 * scale))
    if count <= 0.05 * len(logs):
        return None
    text = f"{count} of {len(logs)} runs are far from the others, by up to {units.percent(np.expm1(away.max()))[1:]}."
    step = "Look at what interrupts the board (radio, garbage collection, another task). Medians withstand a few."
    return Finding("outliers", text, step)


def warm_up(values: npt.ArrayLike) -> Finding | None:
    """Find first runs that are slower than the second half by more than four deviations."""
    logs = _logs(values)
    if logs is None:
        return None
    later = logs[len(logs) // 2 :]
    middle = float(np.median(later))
    scale = max(_MAD_TO_DEVIATION * float(np.median(np.abs(later - middle))), _LEAST_SCALE)
    slow = logs[: len(logs) // 2] > middle + 4 * scale
    count = len(slow) if slow.all() else int(np.argmin(slow))
    if not count:
        return None
    first = units.percent(np.expm1(logs[0] - middle))
    text = f"The first {count} runs are slower than those of the second half, the first by {first}."
    return Finding("warm-up", text, f"Leave out the first {count}, and let the board run as long before measuring.")


def _logs(values: npt.ArrayLike) -> Float | None:
    """Return the logs of the values, so that all is relative; None of too few, or of what has no log."""
    found = np.asarray(values, np.float64)
    if found.size < LEAST_RUNS or not np.all((found > 0) & np.isfinite(found)):
        return None
    return np.asarray(np.log(found), np.float64)


def _relative(tick: float, values: npt.ArrayLike) -> float:
    return tick / float(np.median(np.asarray(values, np.float64)))
