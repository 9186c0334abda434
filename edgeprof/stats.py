"""Intervals for paired differences.

The unit is the window of the evaluation text, not the token: tokens of a window share their context, and counting them
as independent makes intervals too narrow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

__all__ = ["Interval", "paired_interval", "verdict"]


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean of paired differences with its 95 % and 90 % confidence intervals, and how many pairs gave it."""

    mean: float
    low: float
    high: float
    low90: float
    high90: float
    n: int


def paired_interval(differences: npt.NDArray[Any]) -> Interval | None:
    """Return Student's t interval of a mean of paired differences; None for fewer than two pairs.

    Parameters
    ----------
    differences
        One number a pair, shape (n,): candidate minus baseline.
    """
    n = len(differences)
    if n < 2:
        return None
    mean = float(np.mean(differences))
    error = float(np.std(differences, ddof=1) / np.sqrt(n))
    wide, narrow = (float(stats.t.ppf(q, n - 1)) * error for q in (0.975, 0.95))
    return Interval(mean, mean - wide, mean + wide, mean - narrow, mean + narrow, n)


def verdict(interval: Interval | None, smallest: float) -> str:
    """Judge a difference of something that is better when it is lower.

    ``worse`` or ``better`` if the whole 95 % interval lies beyond the smallest effect that matters, ``same`` if
    the 90 % interval lies within it, else ``not enough data``.
    """
    if interval is None:
        return "not enough data"
    if interval.low > smallest:
        return "worse"
    if interval.high < -smallest:
        return "better"
    if -smallest <= interval.low90 and interval.high90 <= smallest:
        return "same"
    return "not enough data"
