"""One metric of two sides, judged by whatever method the data allow.

A side is a group of runs with their tokens. On exact clocks the numbers themselves are compared; what was measured in
pairs is judged by the log ratios of the pairs; anything else by two groups, and the change says why that is weaker.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from edgeprof.stability import Finding
from edgeprof.verdicts import Verdict

__all__ = ["Change", "Method", "Side"]

Method = Literal["exact", "pairs", "two groups", "two sessions", "blocks of the text", "none"]


@dataclass(frozen=True, slots=True)
class Side:
    """A group of runs, rows of tables ``runs`` and ``tokens``."""

    runs: pd.DataFrame
    tokens: pd.DataFrame


@dataclass(frozen=True, slots=True)
class Change:
    """What a metric did between a base and a candidate.

    Attributes
    ----------
    metric, unit, better
        Which, in what, and which way is better (``lower``, ``higher``).
    base, candidate
        Each side's value, in the metric's unit: the number itself on exact clocks, else the median over runs; NaN
        where a side has none.
    n_base, n_candidate
        Runs that gave a value; of quality, scored tokens that both have.
    method
        How it was judged; ``none`` where it could not be.
    verdict
        The word, the interval as changes (candidate / base - 1), the reason, how many more runs would settle it.
    findings
        What the stability of the runs says, with what to do next; of both sides.
    smallest
        The smallest effect that mattered, as a fraction: what was asked for, or the board's noise floor or the
        clock's tick where that is larger.
    """

    metric: str
    unit: str
    better: Literal["lower", "higher", ""]
    base: float
    candidate: float
    n_base: int
    n_candidate: int
    method: Method
    verdict: Verdict
    findings: tuple[Finding, ...]
    smallest: float
