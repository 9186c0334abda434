"""A change of a cost on a clock that is not the same twice: by pairs where there are any, else by two groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edgeprof.intervals import gate_interval, session_deviation, welch_interval
from edgeprof.metrics import METRICS
from edgeprof.noise_floor import Noise
from edgeprof.paired import Units, in_units, tick_fraction
from edgeprof.run_values import DECODE_MEDIAN
from edgeprof.sides import Sides
from edgeprof.stability import Finding, advise, unpaired
from edgeprof.verdicts import Method, Verdict, judge

__all__ = ["Judged", "judge_noisy"]

_LEAST_TICKS = 2  # an effect of fewer ticks is the clock's
_WEAKER = (
    "Two groups, not pairs: what differs between their sessions (temperature, supply) is part of the difference, and "
    "its size in {sessions} sessions widens the interval. Pairs would settle smaller changes with fewer runs."
)


@dataclass(frozen=True, slots=True)
class Judged:
    """What was found: medians and counts of base and candidate, and what :class:`edgeprof.changes.Change` says."""

    medians: tuple[float, float]
    counts: tuple[int, int]
    method: Method
    verdict: Verdict
    findings: tuple[Finding, ...]
    smallest: float


def judge_noisy(metric: str, sides: Sides, smallest: float, alpha: float, noise: Noise | None) -> Judged | None:
    """Judge one number a pair, or a capture; None where a side has none.

    Parameters are those of :func:`edgeprof.changes.judge_changes`.

    Raises
    ------
    NotComparableError
        A value is not positive.
    """
    # The slowest passes of a run are the interruptions: what stands for its cost is the median.
    of_run = DECODE_MEDIAN if metric == "decode_ticks_per_token" else metric
    values = [side.values(of_run) for side in sides.each()]
    units = in_units(sides.base.runs, values[0], sides.candidate.runs, values[1])
    if units is None:
        return None
    medians = float(np.median(units.base)), float(np.median(units.candidate))
    hz = min(sides.rates_hz, default=float("nan"))
    tick = max(tick_fraction(METRICS[metric].unit, median, hz=hz) for median in medians)
    floor = max((noise.floor(board, of_run) for board in sides.boards), default=0.0) if noise else 0.0
    smallest = max(smallest, floor, _LEAST_TICKS * tick)
    findings = tuple(
        replace(finding, text=f"{name}: {finding.text}")
        for name, group in (("base", units.base), ("candidate", units.candidate))
        for finding in advise(group, smallest, tick=tick * float(np.median(group)))
    )
    sessions = _sessions(noise, sides.boards, of_run) if noise and units.apart else None
    method, verdict = _by_units(metric, units, smallest, alpha, tick, findings, sessions)
    return Judged(medians, (len(units.base), len(units.candidate)), method, verdict, findings, smallest)


def _sessions(noise: Noise, boards: Sequence[str], metric: str) -> npt.NDArray[np.float64] | None:
    """Return the session medians of the board that differs most between sessions; None if one is not known."""
    known = [noise.sessions(board, metric) for board in boards]
    found = [medians for medians in known if medians is not None]
    return max(found, key=session_deviation) if found and len(found) == len(known) else None


def _by_units(
    metric: str, units: Units, smallest: float, alpha: float, tick: float, findings: Sequence[Finding],
    sessions: npt.NDArray[np.float64] | None,
) -> tuple[Method, Verdict]:  # fmt: skip
    better = METRICS[metric].better or "lower"
    if units.log_ratios is not None:
        interval = gate_interval(units.log_ratios, alpha=alpha, tick_fraction=tick)
        return "pairs", judge(interval, smallest, better=better, n=len(units.log_ratios), counted="pairs")
    n = min(len(units.base), len(units.candidate))
    interval = welch_interval(
        units.base, units.candidate, alpha=alpha, tick_fraction=tick, session_medians=sessions
    )  # fmt: skip
    verdict = judge(interval, smallest, better=better, n=n)
    if sessions is not None and len(sessions) > 1:
        reason = f"{verdict.reason} {_WEAKER.format(sessions=len(sessions))}"
        return "two sessions", replace(unpaired(verdict, findings, apart=False), reason=reason)
    return "two groups", unpaired(verdict, findings, apart=units.apart)
