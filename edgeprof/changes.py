"""One metric of two sides, judged by whatever method the data allow.

A side is a group of runs with their tokens. On exact clocks the numbers themselves are compared; what was measured in
pairs is judged by the log ratios of the pairs; anything else as two groups, and the change says why that is weaker.
A change of quality is judged by its text, token by token, on every clock: exactness is about cost. Energy is never
exact, whatever the clock counts.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from edgeprof.alike import NOT_ENERGY, refuse_unlike
from edgeprof.bootstrap import LEAST_BLOCKS, block_bootstrap_nll
from edgeprof.errors import NotComparableError, UsageError, unknown_name
from edgeprof.metrics import ENERGY, METRICS
from edgeprof.noise_floor import Noise
from edgeprof.noisy_changes import judge_noisy
from edgeprof.paired import nll_differences
from edgeprof.pairs import FINISHED
from edgeprof.sides import Cut, Side, Sides, cut_to_common, only_one, several
from edgeprof.stability import Finding
from edgeprof.verdicts import BLOCKS, Method, Verdict, Word, alpha_of_looks, judge, judge_exact

__all__ = [
    "FITS", "MISSING", "QUALITY", "SMALLEST_EFFECT", "SMALLEST_EFFECTS", "Change", "Method", "Side", "judge_changes",
    "unjudged",
]  # fmt: skip

FITS = "fits"
SMALLEST_EFFECTS = {"perplexity": 0.01, "nll_mean": 0.01}
"""By metric, the smallest effect that matters; of all others :data:`SMALLEST_EFFECT`."""
SMALLEST_EFFECT = 0.02
MISSING = "It needs "
"""How the reason begins where a side has no value: nothing is wrong, it was not measured."""
QUALITY = ("perplexity", "nll_mean")
_DECODE = "decode_ticks_per_token"
_OF_DECODING = ("decode_", "itl_", "position_", "energy_per_token_", "energy_net_", "energy_decode_")
"""How the names begin of what is made of decode passes."""
_OF_WHOLE_RUNS = ("energy_uj", "charge_uc")
"""Sums over a run: of two that are not equally long they say nothing."""
_MODEL = ("quant", "model", "model_sha256")
_IDENTITY = (*_MODEL, "firmware", "firmware_sha256", "kernel_variant", "compiler", "n_ctx")


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
    compared
        The share of what either side had that both have, 0 to 1: of decode passes, of quality scored tokens; NaN where
        it is not made of these.
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
    compared: float = math.nan


def judge_changes(
    metrics: Sequence[str], base: Side, candidate: Side, *, smallest: float | None = None, looks: int = 1,
    noise: Noise | None = None, allow: Collection[str] = (),
) -> list[Change]:  # fmt: skip
    """Judge what several metrics did between a base and a candidate.

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
        What is known of the boards' noise.
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
    # Another meter matters to energy alone, of which each metric says so for itself.
    refuse_unlike(base.runs, candidate.runs, allow if set(metrics) <= set(ENERGY) else {*allow, "meter"})
    sides = cut_to_common(base, candidate)
    return [_judge(metric, sides, smallest, alpha, noise, allow) for metric in metrics]


def unjudged(
    metric: str, why: str, base: float = math.nan, candidate: float = math.nan, *, smallest: float = SMALLEST_EFFECT
) -> Change:
    """Return what is said of a change that could not be judged."""
    nothing = Verdict("not enough data", why, math.nan, math.nan, math.nan, math.nan, None)
    if metric == FITS:
        return Change(metric, "", "higher", base, candidate, 0, 0, "none", nothing, (), smallest)
    m = METRICS[metric]
    return Change(metric, m.unit, m.better, base, candidate, 0, 0, "none", nothing, (), smallest)


def _judge(
    metric: str, sides: Sides, smallest: float | None, alpha: float, noise: Noise | None, allow: Collection[str]
) -> Change:
    if smallest is None:
        smallest = SMALLEST_EFFECTS.get(metric, SMALLEST_EFFECT)
    try:
        if metric == FITS:
            return _fits(sides, smallest)
        if metric in QUALITY:
            return _quality(metric, sides, smallest, alpha)
        if _is_of_file(metric):
            return _exact(metric, sides, smallest)
        if metric in ENERGY:
            return _energy(metric, sides, smallest, alpha, noise, allow)
        if why := _of_other_ticks(metric, sides):
            return unjudged(metric, why, smallest=smallest)
        return _exact(metric, sides, smallest) if sides.exact else _noisy(metric, sides, smallest, alpha, noise)
    except NotComparableError as error:  # of this metric's values; the others may be judged all the same
        return unjudged(metric, str(error), smallest=smallest)


def _of_other_ticks(metric: str, sides: Sides) -> str:
    """Return why two clocks give no ratio, or nothing."""
    if len(sides.clocks) > 1:
        return f"Clocks that count different things: {', '.join(sides.clocks)}."
    if METRICS[metric].unit.startswith("tick") and len(sides.rates_hz) > 1:
        rates = " and ".join(f"{hz:g} Hz" for hz in sides.rates_hz)
        return f"Ticks of {rates} are no common unit. Judge a metric in ms or tokens a second."
    return ""


def _fits(sides: Sides, smallest: float) -> Change:
    """Judge whether everything fits: a run that the board refused for want of memory is one that does not."""
    counts, values = [], []
    for side in sides.each():
        known = side.whole.runs[side.whole.runs["status"].isin(FINISHED)]
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


def _quality(metric: str, sides: Sides, smallest: float, alpha: float) -> Change:
    for side in sides.each():
        only_one(side, _MODEL, "A perplexity is of one model")
    found = nll_differences(sides.base.runs, sides.base.tokens, sides.candidate.runs, sides.candidate.tokens)
    if found is None:
        base, candidate = (float(side.values(metric).max()) for side in sides.each())
        return unjudged(metric, f"{MISSING}{sides.missing(metric, base, candidate)}.", smallest=smallest)
    interval = block_bootstrap_nll(found.differences, found.positions, alpha=alpha)
    if found.differences.any():
        verdict = judge(interval, smallest, n=found.blocks, counted=BLOCKS, least=LEAST_BLOCKS)
    else:  # however short the text is
        verdict = Verdict("same", "every token has exactly the same likelihood", 0.0, 0.0, 0.0, 0.0, 0, certain=True)
    base, candidate = found.base_nll, found.candidate_nll
    if metric == "perplexity":
        with np.errstate(over="ignore"):  # a device may claim any nll
            base, candidate = float(np.exp(base)), float(np.exp(candidate))
    n, m = interval.n if interval else found.blocks, METRICS[metric]
    verdict = _with_share(verdict, found.compared, "scored tokens")
    return Change(metric, m.unit, m.better, base, candidate, n, n, BLOCKS, verdict, (), smallest, found.compared)


def _exact(metric: str, sides: Sides, smallest: float) -> Change:
    """Judge numbers that are the same on every execution: the mean over the prompts of which both have a number.

    The cost of decoding is the mean over passes, not over prompts: a generation that goes on counts for more.
    """
    m = METRICS[metric]
    found = [_by_prompt(metric, side) for side in sides.each()]
    both = found[0].index.intersection(found[1].index)
    if both.empty:
        values = [math.nan if f.empty else float(f.mean()) for f in found]
        why = f"{MISSING}{sides.missing(metric, *values)}."
        return unjudged(metric, why, *values, smallest=smallest)
    if metric == _DECODE:
        base, candidate = (_pooled(side, both) for side in sides.each())
    else:
        base, candidate = (float(f[both].mean()) for f in found)
    if base == candidate:
        verdict = Verdict("same", "exactly equal", 0.0, 0.0, 0.0, 0.0, 0, certain=True)
    else:
        try:
            verdict = judge_exact(base, candidate, smallest, better=m.better or "lower")
        except NotComparableError as error:
            return unjudged(metric, str(error), base, candidate, smallest=smallest)
    left = sorted({*found[0].index, *found[1].index} - set(both))
    if left:
        names = ", ".join(str(name)[:24] or "without a name" for name in left[:3])
        verdict = replace(verdict, reason=f"{verdict.reason}; without prompt {names}, of which one side has no value")
    share = sides.compared if metric.startswith(_OF_DECODING) else math.nan
    verdict = _with_share(verdict, share, "decode passes")
    counts = [_runs_of(side, both) for side in sides.each()]
    return Change(
        metric, m.unit, m.better, base, candidate, counts[0], counts[1], "exact", verdict, (), smallest, share
    )


def _by_prompt(metric: str, side: Cut) -> pd.Series:
    """Return one number a prompt; of what is no run's but the file's, one in all.

    Raises
    ------
    NotComparableError
        Repeated runs of a prompt gave different numbers: then the clock is not exact.
    """
    values = side.values(metric).to_numpy(np.float64)
    known = np.isfinite(values)
    if _is_of_file(metric):
        return pd.Series([values[known].max()], index=["file"]) if known.any() else pd.Series(dtype=float)
    prompts = side.runs["prompt_id"][known]
    by_prompt = pd.Series(values[known], prompts.index).groupby(prompts)
    counts = by_prompt.nunique()
    if (counts > 1).any():
        prompt = counts.index[counts > 1][0]
        group = by_prompt.get_group(prompt)
        held = several(side.runs[known & (side.runs["prompt_id"] == prompt)], _IDENTITY)
        why = (
            f"the group holds {held}. Tell them apart: --by takes several columns." if held else
            "something changed between them that no column says. Capture both sides again, each in one go."
        )  # fmt: skip
        raise NotComparableError(
            f"Runs of prompt {prompt!r} on an exact clock gave different numbers ({group.min():g} to {group.max():g}): "
            f"{why}"
        )
    found: pd.Series = by_prompt.first()
    return found


def _runs_of(side: Cut, prompts: pd.Index) -> int:
    return int(side.runs["prompt_id"].isin(prompts).sum()) or len(side.runs)


def _pooled(side: Cut, prompts: pd.Index) -> float:
    """Return the mean over the decode passes of one run of each prompt."""
    once = side.runs[side.runs["prompt_id"].isin(prompts)].drop_duplicates("prompt_id")["run_id"]
    tokens = side.tokens[side.tokens["run_id"].isin(once)]
    decode = tokens[(tokens["phase"] == "decode") & tokens["ticks"].notna()]
    return float(decode["ticks"].sum()) / len(decode)


def _noisy(metric: str, sides: Sides, smallest: float, alpha: float, noise: Noise | None) -> Change:
    """Judge one number a pair or a capture, of a clock that is not the same twice."""
    for side in sides.each():
        only_one(side, _IDENTITY, "Runs that differ in more than chance are no sample")
    found = judge_noisy(metric, sides, smallest, alpha, noise)
    if found is None:
        values = [float(side.values(metric).median()) for side in sides.each()]
        return unjudged(metric, f"{MISSING}{sides.missing(metric, *values)}.", *values, smallest=smallest)
    m = METRICS[metric]
    share = sides.compared if metric.startswith(_OF_DECODING) else math.nan
    verdict = _with_share(found.verdict, share, "decode passes")
    return Change(
        metric, m.unit, m.better, *found.medians, *found.counts, found.method, verdict, found.findings, found.smallest,
        share,
    )  # fmt: skip


def _energy(
    metric: str, sides: Sides, smallest: float, alpha: float, noise: Noise | None, allow: Collection[str]
) -> Change:
    """Judge what a meter measured: one number a pair or a capture, by an interval, on every clock."""
    refuse_unlike(sides.base.whole.runs, sides.candidate.whole.runs, {*allow, *NOT_ENERGY})
    if metric in _OF_WHOLE_RUNS and sides.compared < 1:
        return unjudged(
            metric, f"It is of whole runs, and of their decode passes both have {100 * sides.compared:.3g} %: judge "
            "energy_per_token_uj, which is of what both have.", smallest=smallest,
        )  # fmt: skip
    return _noisy(metric, sides, smallest, alpha, noise)


def _with_share(verdict: Verdict, share: float, what: str) -> Verdict:
    """Return the verdict with how much of the data it rests on, where that is not all."""
    if math.isnan(share) or share >= 1:
        return verdict
    said = f"{verdict.reason.rstrip('.')}. Both have {100 * share:.3g} % of the {what}."
    return replace(verdict, reason=said)


def _is_of_file(metric: str) -> bool:
    """Tell whether a metric is of the model's file and the firmware's image, the same whatever a run does."""
    return METRICS[metric].unit.split("/")[0] in ("byte", "bit", "MAC")
