"""What an interval says of a change: worse, better, same, or what is missing to say so.

*Worse* and *better* take the whole 95 % interval beyond the smallest effect that matters, *same* the whole 90 %
interval within it. Asked for so much, dozens of comparisons at once raise hardly a false alarm, without a correction
for their number (``docs/statistics.md``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import scipy

from edgeprof import units
from edgeprof.errors import NotComparableError, UsageError
from edgeprof.intervals import Interval

__all__ = ["BLOCKS", "LOOKS", "Method", "Verdict", "Word", "alpha_of_looks", "judge", "judge_exact"]

Word = Literal["worse", "better", "same", "not enough data", "close to the smallest effect"]
Better = Literal["lower", "higher"]
Method = Literal["exact", "pairs", "two groups", "two sessions", "blocks of the text", "none"]
"""How a change was judged."""

LOOKS = {1: 0.05, 2: 0.0294, 3: 0.0221}
"""Planned looks at data that are still growing, to the risk of each (Pocock's bounds for 5 % in all)."""
LEAST_TOTAL = 8
BLOCKS: Literal["blocks of the text"] = "blocks of the text"
"""What is counted where quality is judged."""
CLOSE_HALF_WIDTH = 0.75
"""Of the smallest effect: estimates near it with intervals as narrow as this are close, and seldom settled by more."""
_POWER = 0.9


@dataclass(frozen=True, slots=True)
class Verdict:
    """What can be said of a change.

    Attributes
    ----------
    word
        The verdict.
    reason
        Why, in a sentence or two with the figures.
    change
        Candidate over base, minus one; NaN where there is no estimate.
    low, high
        The ends of the interval that decides *worse* and *better*, as changes.
    resolution
        The smallest change, as a fraction, that this many runs with this noise are likely to settle; 0 on exact clocks.
    more_runs
        How many more runs a side (or what else was counted) are likely to settle it; 0 where it is settled, None where
        that cannot be said.
    certain
        True if the clock is exact.
    """

    word: Word
    reason: str
    change: float
    low: float
    high: float
    resolution: float
    more_runs: int | None
    certain: bool = False


def alpha_of_looks(looks: int) -> float:
    """Return the risk for each interval where data are judged so many times while they grow.

    Raises
    ------
    UsageError
        More than three looks, or none.
    """
    if looks not in LOOKS:
        raise UsageError(
            f"Data that are still growing are judged at one, two or three planned looks, not {looks}: with each look a "
            "wrong verdict becomes more likely. Plan fewer, farther apart."
        )
    return LOOKS[looks]


def judge(
    interval: Interval | None,
    smallest: float,
    *,
    better: Better = "lower",
    n: int = 0,
    counted: str = "runs a side",
    least: int = LEAST_TOTAL,
) -> Verdict:
    """Judge a change by its interval.

    Parameters
    ----------
    interval
        Of the log of the ratio of candidate to base, as the functions of :mod:`edgeprof.intervals` return it, or of a
        difference of NLL; None where there was too little for one.
    smallest
        The smallest effect that matters, as a fraction: 0.02.
    better
        Which way the metric is better.
    n
        How many there are of what is counted, where ``interval`` is None.
    counted
        What ``n`` and ``more_runs`` count; of a change of NLL, ``"blocks of the text"``.
    least
        Fewer of these give no interval.

    Returns
    -------
    Verdict
        Not enough data says how many more runs are likely to do; a change that is close to the smallest effect may stay
        so however many there are.

    Raises
    ------
    UsageError
        The smallest effect is not a positive fraction, or the metric has no direction.
    """
    limit = _limit(smallest, better)
    if interval is None or not math.isfinite(interval.estimate):
        return _without_interval(n, counted, least)
    half = (interval.narrow_high - interval.narrow_low) / 2
    settled = _resolving(interval.alpha) * half
    sign = 1 if better == "lower" else -1
    low, high = sorted((sign * interval.low, sign * interval.high))
    word: Word
    if low > limit:
        word = "worse"
    elif high < -limit:
        word = "better"
    elif -limit <= interval.narrow_low and interval.narrow_high <= limit:
        word = "same"
    elif _is_close(interval.estimate, half, limit, settled):
        word = "close to the smallest effect"
    else:
        word = "not enough data"
    total = max(math.ceil(interval.n * (settled / limit) ** 2), LEAST_TOTAL) if math.isfinite(settled) else LEAST_TOTAL
    more_runs = {"not enough data": max(total - interval.n, 1), "close to the smallest effect": None}.get(word, 0)
    change, ends = math.expm1(interval.estimate), (math.expm1(interval.low), math.expm1(interval.high))
    verdict = Verdict(word, "", change, *ends, math.expm1(settled), more_runs)
    return replace(verdict, reason=_reason(verdict, interval, smallest, counted))


def judge_exact(base: float, candidate: float, smallest: float, *, better: Better = "lower") -> Verdict:
    """Judge a change of a number that is the same on every execution: of executed instructions, cycles, bytes.

    Any difference is certain; it is worse or better only beyond the smallest effect.

    Raises
    ------
    NotComparableError
        The base is not a positive number, or the candidate is unknown.
    UsageError
        The smallest effect is not a positive fraction, or the metric has no direction.
    """
    _limit(smallest, better)
    if not (0 < base < math.inf and 0 <= candidate < math.inf):
        raise NotComparableError(
            f"A change is a fraction of the base, which must be positive; here the base is {base} and the candidate "
            f"{candidate}. Leave out the metric that has no value."
        )
    change = (candidate - base) / base
    word: Word = "same"
    reason = "exactly equal"
    if candidate != base:
        # 1.02 is no binary fraction: what lies on the limit must not fall beyond it by rounding.
        beyond = max(candidate, base) > min(candidate, base) * (1 + smallest) * (1 + 1e-12)
        if beyond:
            word = "worse" if (change > 0) == (better == "lower") else "better"
        where = "beyond" if beyond else "below"
        reason = f"changed by {_percent(change)} (certain, {where} the smallest effect of {_percent(smallest)[1:]})"
    return Verdict(word, reason, change, change, change, 0.0, 0, certain=True)


def _without_interval(n: int, counted: str, least: int) -> Verdict:
    more = least - n if n < least else None
    if more is None:
        reason = f"{n} {counted} give no interval: one of them has no value, or only one session is known."
    elif counted == BLOCKS:
        reason = f"{n} {counted} are too few for an interval. Score a text that is longer by {more}."
    else:
        reason = f"{n} {counted} are too few for an interval. Take {more} more, the base and the candidate in pairs."
    return Verdict("not enough data", reason, math.nan, math.nan, math.nan, math.nan, more)


def _limit(smallest: float, better: str) -> float:
    if not 0 < smallest < math.inf:
        raise UsageError(f"The smallest effect that matters is a positive fraction, 0.02 for 2 %; not {smallest}.")
    if better not in ("lower", "higher"):
        raise UsageError(
            f"A change is judged where lower or higher is better; found {better!r}. Metrics without a direction, such "
            "as bits_per_weight, are shown and not judged."
        )
    return math.log1p(smallest)


def _resolving(alpha: float) -> float:
    """Return the factor from the narrow half-width to what it can settle with a chance of 80 %: 1.78 at 90 %.

    No change is called same, and one of twice the smallest effect worse, each with that chance.
    """
    quantile = float(scipy.special.ndtri(1 - alpha))
    return (quantile + float(scipy.special.ndtri(_POWER))) / quantile


def _is_close(estimate: float, half: float, limit: float, settled: float) -> bool:
    """Tell whether more runs would seldom settle a change that is not settled.

    Either there are enough for any other change, or the estimate is nearer to the limit than to no change or to twice
    the limit, and the interval is too narrow to have come there by chance.
    """
    return settled <= limit or (abs(abs(estimate) - limit) <= limit / 2 and half <= CLOSE_HALF_WIDTH * limit)


def _reason(verdict: Verdict, interval: Interval, smallest: float, counted: str) -> str:
    level, effect = f"{100 * (1 - interval.alpha):.4g} %", _percent(smallest)[1:]
    found = f"{_percent(verdict.change)} [{_percent(verdict.low)}, {_percent(verdict.high)}]"
    if verdict.word in ("worse", "better"):
        return f"{found}: the whole {level} interval lies beyond the smallest effect of {effect}."
    if verdict.word == "same":
        narrow = f"{100 * (1 - 2 * interval.alpha):.4g} %"
        return f"{found}: the {narrow} interval lies within the smallest effect of {effect}."
    if verdict.more_runs is None:
        return (
            f"{found}: the change is about as large as the smallest effect of {effect}, and more runs tell only now "
            "and then on which side it is. Decide whether it matters, or choose another smallest effect."
        )
    return (
        f"{found}: {interval.n} {counted} settle changes of {_percent(verdict.resolution)[1:]}, not of {effect}. "
        f"About {verdict.more_runs} more would."
    )


def _percent(fraction: float) -> str:
    """Return a signed percentage with two digits that count, for a tenth of a percent may decide."""
    return units.percent(fraction, 2 if abs(fraction) < 0.1 else 1)
