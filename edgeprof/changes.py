"""One metric of two sides, judged by whatever method the data allow.

A side is a group of runs with their tokens. On exact clocks the numbers themselves are compared; what was measured in
pairs is judged by the log ratios of the pairs; anything else as two groups, and the change says why that is weaker.
A change of quality is judged by its text, token by token, on every clock: exactness is about cost.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from edgeprof.alike import refuse_unlike
from edgeprof.bootstrap import LEAST_BLOCKS, block_bootstrap_nll
from edgeprof.errors import NotComparableError, UsageError, unknown_name
from edgeprof.intervals import gate_interval, welch_interval
from edgeprof.metrics import EXACT_CLOCKS, METRICS, measure_runs
from edgeprof.noise_floor import Noise
from edgeprof.paired import Units, common_passes, in_units, nll_differences, tick_fraction
from edgeprof.run_values import DECODE_MEDIAN, run_values
from edgeprof.stability import Finding, advise, unpaired
from edgeprof.verdicts import BLOCKS, Verdict, Word, alpha_of_looks, judge, judge_exact

__all__ = [
    "FITS",
    "SMALLEST_EFFECT",
    "SMALLEST_EFFECTS",
    "Change",
    "Method",
    "Side",
    "judge_change",
    "judge_changes",
    "unjudged",
]

FITS = "fits"
SMALLEST_EFFECTS = {"perplexity": 0.01, "nll_mean": 0.01}
"""By metric, the smallest effect that matters; of all others :data:`SMALLEST_EFFECT`."""
SMALLEST_EFFECT = 0.02
MISSING = "It needs "
"""How the reason begins where a side has no value: nothing is wrong, it was not measured."""
_QUALITY = ("perplexity", "nll_mean")
_DECODE = "decode_ticks_per_token"
_IDENTITY = ("quant", "model", "model_sha256", "firmware", "firmware_sha256", "kernel_variant", "compiler", "n_ctx")
_LEAST_TICKS = 2  # an effect of fewer ticks is the clock's
_WEAKER = (
    "Two groups, not pairs: what differs between their sessions (temperature, supply) is part of the difference, and "
    "its size in {sessions} sessions widens the interval. Pairs would settle smaller changes with fewer runs."
)

Method = Literal["exact", "pairs", "two groups", "two sessions", "blocks of the text", "none"]


@dataclass(frozen=True, slots=True)
class Side:
    """A group of runs, rows of tables ``runs`` and ``tokens``.

    Where the runs have columns ``pair`` and ``session``, those say what was measured side by side.
    """

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
        Pairs, or captures, that gave a value; of quality, blocks of the text; on exact clocks, runs.
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


def judge_change(
    metric: str, base: Side, candidate: Side, *, smallest: float | None = None, looks: int = 1,
    noise: Noise | None = None, allow: Collection[str] = (),
) -> Change:  # fmt: skip
    """Return what :func:`judge_changes` says of one metric."""
    return judge_changes([metric], base, candidate, smallest=smallest, looks=looks, noise=noise, allow=allow)[0]


def judge_changes(
    metrics: Sequence[str], base: Side, candidate: Side, *, smallest: float | None = None, looks: int = 1,
    noise: Noise | None = None, allow: Collection[str] = (),
) -> list[Change]:  # fmt: skip
    """Judge what several metrics did between a base and a candidate, both of one board.

    Parameters
    ----------
    metrics
        Names of :data:`edgeprof.metrics.METRICS` that have a direction, or ``fits``.
    base, candidate
        The two sides. Passes that only one of them has do not count.
    smallest
        The smallest effect that matters, as a fraction; by default that of each metric.
    looks
        At how many planned moments data that are still growing are judged, one to three.
    noise
        What is known of the board's noise.
    allow
        In what the sides may be unlike (:data:`edgeprof.alike.KINDS`).

    Returns
    -------
    list of Change
        One a metric, in their order. What cannot be judged has the method ``none`` and says why.

    Raises
    ------
    NotComparableError
        The two sides are unlike.
    UsageError
        No such metric (with the closest), one without a direction, or more than three looks.
    """
    for metric in metrics:
        if metric != FITS and metric not in METRICS:
            raise unknown_name("metric", metric, [FITS, *METRICS])
        if metric != FITS and not METRICS[metric].better:
            raise UsageError(f"{metric} is neither better when lower nor when higher, so that it cannot be judged.")
    alpha = alpha_of_looks(looks)
    refuse_unlike(base.runs, candidate.runs, allow)
    cut = common_passes(base.runs, base.tokens, candidate.runs, candidate.tokens)
    judged = _Judged(_Side(base, *cut[:2]), _Side(candidate, *cut[2:]))
    return [_judge(metric, judged, smallest, alpha, noise) for metric in metrics]


class _Side:
    """A side's finished runs, cut to the passes that both have; what they measured is worked out once."""

    def __init__(self, whole: Side, runs: pd.DataFrame, tokens: pd.DataFrame) -> None:
        self.whole, self.runs, self.tokens = whole, runs, tokens

    @cached_property
    def _measured(self) -> pd.DataFrame:
        return measure_runs(self.runs, self.tokens).set_index("run_id")

    def values(self, metric: str) -> pd.Series:
        """Return one number a run, by ``run_id``."""
        if metric == DECODE_MEDIAN:
            return run_values(self.tokens, self.runs, metric)
        return self._measured[metric]


@dataclass(frozen=True, slots=True)
class _Judged:
    base: _Side
    candidate: _Side

    @property
    def clocks(self) -> list[str]:
        both = pd.concat([self.base.whole.runs["clock"], self.candidate.whole.runs["clock"]])
        return sorted(map(str, both.dropna().unique()))


def _judge(metric: str, sides: _Judged, smallest: float | None, alpha: float, noise: Noise | None) -> Change:
    if smallest is None:
        smallest = SMALLEST_EFFECTS.get(metric, SMALLEST_EFFECT)
    try:
        if metric == FITS:
            return _fits(sides, smallest)
        if metric in _QUALITY:
            return _quality(metric, sides, smallest, alpha)
        if len(sides.clocks) > 1 and not _is_of_file(metric):
            why = f"Clocks that count different things: {', '.join(sides.clocks)}."
            return unjudged(metric, why, smallest=smallest)
        if _is_of_file(metric) or set(sides.clocks) <= set(EXACT_CLOCKS):
            return _exact(metric, sides, smallest)
        return _noisy(metric, sides, smallest, alpha, noise)
    except NotComparableError as error:  # of this metric's values; the others may be judged all the same
        return unjudged(metric, str(error), smallest=smallest)


def _fits(sides: _Judged, smallest: float) -> Change:
    """Judge whether everything fits: a run that the board refused for want of memory is one that does not."""
    counts, values = [], []
    for side in (sides.base, sides.candidate):
        known = side.whole.runs[side.whole.runs["status"].isin(["ok", "does_not_fit"])]
        counts.append(len(known))
        values.append(float((known["status"] == "ok").all()) if len(known) else math.nan)
    base, candidate = values
    if math.isnan(base) or math.isnan(candidate):
        return unjudged(FITS, "No run of the base, or of the candidate, ended or was found not to fit.")
    words: dict[float, Word] = {0.0: "same", 1.0: "better", -1.0: "worse"}
    said = {1.0: "fits", 0.0: "does not fit"}
    reason = f"the base {said[base]}, the candidate {said[candidate]}"
    change = candidate - base
    verdict = Verdict(words[change], reason, change, change, change, 0.0, 0, certain=True)
    return Change(FITS, "", "higher", base, candidate, counts[0], counts[1], "exact", verdict, (), smallest)


def _quality(metric: str, sides: _Judged, smallest: float, alpha: float) -> Change:
    found = nll_differences(sides.base.runs, sides.base.tokens, sides.candidate.runs, sides.candidate.tokens)
    if found is None:
        why = f"{MISSING}{METRICS[metric].needs}; the base or the candidate has none."
        return unjudged(metric, why, smallest=smallest)
    interval = block_bootstrap_nll(found.differences, found.positions, alpha=alpha)
    verdict = judge(interval, smallest, n=found.blocks, counted=BLOCKS, least=LEAST_BLOCKS)
    values = (found.base_nll, found.candidate_nll)
    if metric == "perplexity":
        with np.errstate(over="ignore"):  # a device may claim any nll
            values = (float(np.exp(values[0])), float(np.exp(values[1])))
    n = interval.n if interval else found.blocks
    m = METRICS[metric]
    return Change(metric, m.unit, m.better, *values, n, n, "blocks of the text", verdict, (), smallest)


def _exact(metric: str, sides: _Judged, smallest: float) -> Change:
    """Judge numbers that are the same on every execution."""
    (base, n_base), (candidate, n_candidate) = _exact_value(metric, sides.base), _exact_value(metric, sides.candidate)
    if math.isnan(base) or math.isnan(candidate):
        return unjudged(metric, _missing(metric, base, candidate), base, candidate, smallest=smallest)
    m = METRICS[metric]
    if base == candidate:
        verdict = Verdict("same", "exactly equal", 0.0, 0.0, 0.0, 0.0, 0, certain=True)
    else:
        verdict = judge_exact(base, candidate, smallest, better=m.better or "lower")
    return Change(metric, m.unit, m.better, base, candidate, n_base, n_candidate, "exact", verdict, (), smallest)


def _exact_value(metric: str, side: _Side) -> tuple[float, int]:
    """Return the mean over prompts, each of which gives one number; and how many runs gave it.

    The cost of decoding is the mean over passes, not over prompts: a generation that goes on counts for more.

    Raises
    ------
    NotComparableError
        Repeated runs of a prompt gave different numbers: then the clock is not exact.
    """
    values = side.values(metric).reindex(side.runs["run_id"].astype(str)).to_numpy(np.float64)
    known = side.runs.assign(value=values)[np.isfinite(values)]
    if known.empty:
        return math.nan, 0
    if _is_of_file(metric):
        return float(known["value"].max()), len(known)
    by_prompt = known.groupby("prompt_id", dropna=False)["value"]
    several = by_prompt.nunique()
    if (several > 1).any():
        prompt = several.index[several > 1][0]
        found = by_prompt.get_group(prompt)
        raise NotComparableError(
            f"Runs of prompt {prompt!r} on an exact clock gave different numbers ({found.min():g} to {found.max():g}): "
            f"{_what_differs(known[known['prompt_id'] == prompt])}"
        )
    if metric == _DECODE:
        once = known.drop_duplicates("prompt_id")["run_id"]
        tokens = side.tokens[side.tokens["run_id"].isin(once)]
        decode = tokens[(tokens["phase"] == "decode") & tokens["ticks"].notna()]
        return float(decode["ticks"].sum()) / len(decode), len(known)
    return float(by_prompt.first().mean()), len(known)


def _what_differs(runs: pd.DataFrame) -> str:
    for column in _IDENTITY:
        values = sorted(map(str, runs[column].dropna().unique()))
        if len(values) > 1:
            shown = ", ".join(v[:24] for v in values[:3])
            return f"the group holds several of {column} ({shown}). Tell them apart: --by takes several columns."
    return "something changed between them that no column says. Capture both sides again, each in one go."


def _noisy(metric: str, sides: _Judged, smallest: float, alpha: float, noise: Noise | None) -> Change:
    """Judge one number a pair or a capture, of a clock that is not the same twice."""
    m = METRICS[metric]
    of_run = DECODE_MEDIAN if metric == _DECODE else metric  # the slowest passes of a run are the interruptions
    base_values, candidate_values = sides.base.values(of_run), sides.candidate.values(of_run)
    units = in_units(sides.base.runs, base_values, sides.candidate.runs, candidate_values)
    if units is None:
        values = [float(v.median()) for v in (base_values, candidate_values)]
        return unjudged(metric, _missing(metric, *values), *values, smallest=smallest)
    tick = max(
        tick_fraction(m.unit, median, hz=_hz(sides)) for median in (np.median(units.base), np.median(units.candidate))
    )
    board = str(sides.base.runs["board"].iloc[0])
    floor = noise.floor(board, of_run) if noise else 0.0
    smallest = max(smallest, floor, _LEAST_TICKS * tick)
    findings = [
        replace(finding, text=f"{name}: {finding.text}")
        for name, values in (("base", units.base), ("candidate", units.candidate))
        for finding in advise(values, smallest, tick=tick * float(np.median(values)))
    ]
    medians = noise.sessions(board, of_run) if noise and units.apart else None
    method, verdict = _by_units(metric, units, smallest, alpha, tick, findings, medians)
    return Change(
        metric, m.unit, m.better, float(np.median(units.base)), float(np.median(units.candidate)), len(units.base),
        len(units.candidate), method, verdict, tuple(findings), smallest,
    )  # fmt: skip


def _by_units(
    metric: str, units: Units, smallest: float, alpha: float, tick: float, findings: list[Finding],
    medians: npt.NDArray[np.float64] | None,
) -> tuple[Method, Verdict]:  # fmt: skip
    better = METRICS[metric].better or "lower"
    if units.log_ratios is not None:
        interval = gate_interval(units.log_ratios, alpha=alpha, tick_fraction=tick)
        return "pairs", judge(interval, smallest, better=better, n=len(units.log_ratios), counted="pairs")
    n = min(len(units.base), len(units.candidate))
    interval = welch_interval(
        units.base, units.candidate, alpha=alpha, tick_fraction=tick, session_medians=medians
    )  # fmt: skip
    verdict = judge(interval, smallest, better=better, n=n)
    if medians is not None and len(medians) > 1:
        reason = f"{verdict.reason} {_WEAKER.format(sessions=len(medians))}"
        return "two sessions", replace(unpaired(verdict, findings, apart=False), reason=reason)
    return "two groups", unpaired(verdict, findings, apart=units.apart)


def _is_of_file(metric: str) -> bool:
    """Tell whether a metric is of the model's file and the firmware's image, the same whatever a run does."""
    return METRICS[metric].unit.split("/")[0] in ("byte", "bit", "MAC")


def _hz(sides: _Judged) -> float:
    known = pd.concat([sides.base.runs["tick_hz"], sides.candidate.runs["tick_hz"]]).dropna()
    return float(known.iloc[0]) if len(known) else math.nan


def _missing(metric: str, base: float, candidate: float) -> str:
    who = {(True, True): "neither side has", (True, False): "the base has not"}.get(
        (math.isnan(base), math.isnan(candidate)), "the candidate has not"
    )
    return f"{MISSING}{METRICS[metric].needs}, which {who}."


def unjudged(
    metric: str, why: str, base: float = math.nan, candidate: float = math.nan, *, smallest: float = SMALLEST_EFFECT
) -> Change:
    """Return what is said of a change that could not be judged."""
    nothing = Verdict("not enough data", why, math.nan, math.nan, math.nan, math.nan, None)
    if metric == FITS:
        return Change(metric, "", "higher", base, candidate, 0, 0, "none", nothing, (), smallest)
    m = METRICS[metric]
    return Change(metric, m.unit, m.better, base, candidate, 0, 0, "none", nothing, (), smallest)
