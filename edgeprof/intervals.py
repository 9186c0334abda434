"""Confidence intervals of a change, as natural logarithms of ratios: candidate over base.

The run is the unit, one number each. Tokens of a run share their board's state, and counted as independent they raise
a false alarm in 39 % of comparisons (``docs/statistics.md``, where the coverage of these intervals is recorded).

Functions that end with ``_limits`` work on the last axis, for many data sets at once; the others return an
:class:`Interval`, or None where there are too few runs for one.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy

from edgeprof.errors import NotComparableError

__all__ = [
    "ALPHA", "LEAST_RUNS", "Interval", "gate_interval", "gate_limits", "log_ratios", "session_deviation",
    "walsh_interval", "walsh_limits", "welch_interval", "welch_limits", "widened",
]  # fmt: skip

ALPHA = 0.05
LEAST_RUNS = 6
"""Fewer pairs have no 95 % interval by signs and ranks; of unpaired groups fewer are too few to trim."""
TRIM = 0.2
_EXACT_UP_TO = 60
_RANKS_ALONE_FROM = 12

Float = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its two confidence intervals.

    Attributes
    ----------
    estimate
        What was estimated: of costs the log of the candidate's ratio to the base; of quality a difference of NLL.
    low, high
        The interval at level 1 - ``alpha``: 95 % unless there are several looks.
    narrow_low, narrow_high
        The interval at level 1 - 2 ``alpha``, which decides *same* at the same risk.
    n
        Pairs of runs, or runs of the smaller group, or blocks of text.
    alpha
        The risk of the interval.
    """

    estimate: float
    low: float
    high: float
    narrow_low: float
    narrow_high: float
    n: int
    alpha: float = ALPHA

    @classmethod
    def of(cls, limits: Iterable[npt.ArrayLike], n: int, alpha: float) -> Interval:
        """Return the interval of what the functions ending with ``_limits`` give for one data set."""
        estimate, low, high, narrow_low, narrow_high = (float(np.asarray(v)) for v in limits)
        return cls(estimate, low, high, narrow_low, narrow_high, n, alpha)


def log_ratios(base: npt.ArrayLike, candidate: npt.ArrayLike) -> Float:
    """Return log(candidate / base) of runs in pairs.

    Parameters
    ----------
    base, candidate
        One number a run, shape (n,); those at the same place were measured as a pair.

    Raises
    ------
    NotComparableError
        They are not as many, or a number has no logarithm.
    """
    a, b = _positive(base), _positive(candidate)
    if a.shape != b.shape:
        raise NotComparableError(
            f"Pairs take as many runs of the base as of the candidate; there are {a.size} and {b.size}. Leave out the "
            "runs that have no partner, or compare them as unpaired groups."
        )
    return np.asarray(np.log(b) - np.log(a), np.float64)


def gate_interval(log_ratios: npt.ArrayLike, *, alpha: float = ALPHA, tick_fraction: float = 0.0) -> Interval | None:
    """Return the interval of the centre of paired log ratios that verdicts go by.

    It is :func:`walsh_interval`; but with fewer than twelve pairs its wide ends lie no farther in than Student's. Ranks
    of a few pairs do not see how much their spread is left to chance: without this, of gate runs of 48 comparisons
    with 10 noisy pairs, more than 4 % raise a false alarm (``docs/statistics.md``).

    Parameters
    ----------
    log_ratios
        log(candidate / base), one a pair, shape (n,).
    alpha
        Risk of the wide interval.
    tick_fraction
        A tick of the clock over the median number of ticks: by so much both ends are widened.

    Returns
    -------
    Interval or None
        None where no interval has this level: for fewer than six pairs at 95 %.
    """
    values = _settling(log_ratios, alpha)
    if values is None:
        return None
    return widened(Interval.of(gate_limits(values, alpha), values.size, alpha), tick_fraction)


def walsh_interval(log_ratios: npt.ArrayLike, *, alpha: float = ALPHA, tick_fraction: float = 0.0) -> Interval | None:
    """Return the interval of the centre of paired log ratios, by inverting Wilcoxon's signed-rank test.

    Parameters and what is returned are those of :func:`gate_interval`.
    """
    values = _settling(log_ratios, alpha)
    if values is None:
        return None
    return widened(Interval.of(walsh_limits(values, alpha), values.size, alpha), tick_fraction)


def _settling(log_ratios: npt.ArrayLike, alpha: float) -> Float | None:
    """Return the log ratios as an array; None where there are too few for an interval, or one is unknown."""
    values = np.asarray(log_ratios, np.float64)
    return values if np.all(np.isfinite(values)) and _signed_rank_count(values.size, alpha / 2) else None


def gate_limits(log_ratios: Float, alpha: float = ALPHA) -> tuple[Float, ...]:
    """Return :func:`walsh_limits` of the last axis, for fewer than twelve pairs no narrower than Student's."""
    estimate, low, high, *narrow = walsh_limits(log_ratios, alpha)
    n = log_ratios.shape[-1]
    if n >= _RANKS_ALONE_FROM:
        return (estimate, low, high, *narrow)
    mean = log_ratios.mean(axis=-1)
    half = float(scipy.special.stdtrit(n - 1, 1 - alpha / 2)) * log_ratios.std(axis=-1, ddof=1) / np.sqrt(n)
    return (estimate, np.minimum(low, mean - half), np.maximum(high, mean + half), *narrow)


def walsh_limits(log_ratios: Float, alpha: float = ALPHA) -> tuple[Float, ...]:
    """Return the median of the Walsh averages of the last axis, the wide interval and the narrow one: five arrays.

    The Walsh averages are (d_i + d_j) / 2 with i <= j. An interval from the k-th smallest to the k-th largest leaves
    out the centre with twice the probability that the signed-rank statistic is below k. It is infinite where there
    is no k.
    """
    n = log_ratios.shape[-1]
    i, j = np.triu_indices(n)
    averages = np.sort((log_ratios[..., i] + log_ratios[..., j]) / 2, axis=-1)
    found = [np.median(averages, axis=-1)]
    for tail in (alpha / 2, alpha):
        k = _signed_rank_count(n, tail)
        if k:
            found += [averages[..., k - 1], averages[..., -k]]
        else:
            found += [np.full(averages.shape[:-1], -np.inf), np.full(averages.shape[:-1], np.inf)]
    return tuple(np.asarray(f, np.float64) for f in found)


@lru_cache(maxsize=256)
def _signed_rank_count(n: int, tail: float) -> int:
    """Return the largest k with P(signed-rank statistic of n pairs < k) <= tail; 0 where there is none."""
    if n > _EXACT_UP_TO:
        mean, deviation = n * (n + 1) / 4, np.sqrt(n * (n + 1) * (2 * n + 1) / 24)
        return max(int(np.floor(mean + 0.5 + scipy.special.ndtri(tail) * deviation)), 0)
    # Each rank counts or does not, with a probability of one half: count the sums, rank by rank.
    chances = np.zeros(n * (n + 1) // 2 + 1)
    chances[0] = 1.0
    for rank in range(1, n + 1):
        shifted = np.concatenate((np.zeros(rank), chances[:-rank]))
        chances = (chances + shifted) / 2
    return int(np.searchsorted(np.cumsum(chances), tail, side="right"))


def welch_interval(
    base: npt.ArrayLike, candidate: npt.ArrayLike, *, alpha: float = ALPHA, tick_fraction: float = 0.0,
    session_medians: npt.ArrayLike | None = None,
) -> Interval | None:  # fmt: skip
    """Return the interval of log(candidate / base) of two groups that were not measured in pairs.

    The difference of the 20 % trimmed means of the logs, with Yuen's and Welch's degrees of freedom.

    Parameters
    ----------
    base, candidate
        One number a run, shapes (n,) and (m,).
    alpha
        Risk of the wide interval.
    tick_fraction
        A tick of the clock over the median number of ticks: by so much both ends are widened.
    session_medians
        Medians of the same thing over the same runs from K sessions, shape (K,), where base and candidate come from
        different ones. What changes between sessions (temperature, supply) is in the difference of the two, and
        no number of runs in one session shows it.

    Returns
    -------
    Interval or None
        None for fewer than six runs in a group, or one session.

    Raises
    ------
    NotComparableError
        A number has no logarithm.
    """
    a, b = np.log(_positive(base)), np.log(_positive(candidate))
    if min(a.size, b.size) < LEAST_RUNS:
        return None
    sessions, deviation = 0, 0.0
    if session_medians is not None:
        sessions = np.size(session_medians)
        if sessions < 2:
            return None
        deviation = session_deviation(session_medians)
    limits = welch_limits(a, b, alpha, deviation=deviation, sessions=sessions)
    return widened(Interval.of(limits, min(a.size, b.size), alpha), tick_fraction)


def session_deviation(medians: npt.ArrayLike) -> float:
    """Return the standard deviation of the logs of session medians, shape (K,)."""
    return float(np.std(np.log(_positive(medians)), ddof=1))


def welch_limits(
    base: Float, candidate: Float, alpha: float = ALPHA, *, deviation: float | Float = 0.0, sessions: int = 0
) -> tuple[Float, ...]:  # fmt: skip
    """Return the difference of trimmed means of logs on the last axis, the wide interval and the narrow one.

    With K ``sessions``, the half-width h becomes sqrt(h^2 + (t(1 - tail, K - 1) sqrt(2) deviation)^2).
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # A calm board gives the same number over and over: no spread, which is an answer and no fault.
        warnings.simplefilter("ignore", RuntimeWarning)
        test = scipy.stats.ttest_ind(candidate, base, axis=-1, equal_var=False, trim=TRIM)
        estimate = scipy.stats.trim_mean(candidate, TRIM, axis=-1) - scipy.stats.trim_mean(base, TRIM, axis=-1)
        found = [np.asarray(estimate, np.float64)]
        for tail in (alpha / 2, alpha):
            theirs = test.confidence_interval(1 - 2 * tail)
            half = np.nan_to_num((np.asarray(theirs.high) - np.asarray(theirs.low)) / 2)
            if sessions:
                quantile = float(scipy.special.stdtrit(sessions - 1, 1 - tail))
                half = np.hypot(half, quantile * np.sqrt(2) * deviation)
            found += [estimate - half, estimate + half]
    return tuple(found)


def widened(interval: Interval, by: float) -> Interval:
    """Return the interval with all its ends moved outwards.

    A reading is within half a tick of the truth, so a ratio of two is within a tick over their size. On a calm board
    all runs read the same, and only this keeps the interval from claiming to know more than the clock does.
    """
    return replace(
        interval, low=interval.low - by, high=interval.high + by,
        narrow_low=interval.narrow_low - by, narrow_high=interval.narrow_high + by,
    )  # fmt: skip


def _positive(values: npt.ArrayLike) -> npt.NDArray[Any]:
    found = np.asarray(values, np.float64)
    if found.ndim != 1 or not np.all((found > 0) & np.isfinite(found)):
        raise NotComparableError(
            "Ratios take one positive number a run; "
            + (f"these have {found.ndim} axes." if found.ndim != 1 else "some of these are zero, negative or unknown.")
            + " Leave out the runs that have no value (edgeprof.run_values makes one number of each run)."
        )
    return found
