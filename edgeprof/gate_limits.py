"""What a limit and an interval come to: pass, fail, or could not judge, which is never a pass.

The whole 95 % interval lies beyond the limit: fail. It lies below, or the 90 % interval lies within the limit on both
sides: pass. Anything else could not be judged.
"""

from __future__ import annotations

import math
from typing import Literal

from edgeprof import units
from edgeprof.changes import MISSING, QUALITY, Change, Side
from edgeprof.gate_rules import Rule

__all__ = ["LEAST_LIMIT", "Outcome", "decide", "worsening"]

Outcome = Literal["pass", "fail", "could not judge", "skipped"]
LEAST_LIMIT = 1e-9
"""What a limit of 0 is judged as: a change that is any at all."""
LEAST_COMPARED = 0.5
"""Less than this share of what was measured stands for nothing."""


def decide(change: Change, rule: Rule, base: Side | None = None) -> tuple[Outcome, str]:
    """Return what a change comes to under a rule, and why.

    Parameters
    ----------
    change
        Judged with the rule's limit as the smallest effect.
    rule
        The limit, and whether the metric may be missing.
    base
        The base's runs, which tell whether a metric that could not be judged was measured there.

    Notes
    -----
    A larger limit never turns a pass into a failure, and a worse change never turns a failure into a pass.
    """
    verdict, limit = change.verdict, max(rule.limit, LEAST_LIMIT)
    tells = verdict.certain or change.smallest <= limit * (1 + 1e-9)
    reason = verdict.reason.replace("smallest effect", "limit") if tells else verdict.reason
    if change.method == "none":
        return ("skipped" if rule.optional and _not_measured(change, base) else "could not judge"), reason
    if verdict.word == "worse":
        return "fail", reason
    if change.compared < LEAST_COMPARED:
        return "could not judge", f"{reason.rstrip('.')}. So little stands for nothing: measure the rest again."
    if verdict.word == "better":
        return "pass", reason
    if not tells:
        floor, asked = _percent(change.smallest), _percent(limit)
        text = (
            f"{reason.rstrip('.')}. Where nothing changed this board shows changes of up to {floor}, or its clock "
            f"tells no smaller ones: a limit of {asked} cannot be judged. Allow more than {floor}, or find out what "
            "disturbs the board."
        )
        return "could not judge", text
    if verdict.word == "same" or (_holds(change) and worsening(change)[1] <= limit):
        return "pass", reason
    return "could not judge", reason


def _not_measured(change: Change, base: Side | None) -> bool:
    """Tell whether a metric could not be judged because the base has no value of it, and for no other reason."""
    if not change.verdict.reason.startswith(MISSING) or not math.isnan(change.base):
        return False
    if base is None or change.metric not in QUALITY:
        return True
    return not base.tokens["scored"].fillna(False).astype(bool).any()  # of quality only the tokens tell


def _holds(change: Change) -> bool:
    """Tell whether the interval may be believed although the verdict is neither way.

    Groups that were not measured in pairs may have an interval that is narrow and wrong; their verdict is then "not
    enough data" without a number of runs that would help.
    """
    word, more = change.verdict.word, change.verdict.more_runs
    return word == "close to the smallest effect" or more is not None


def worsening(change: Change) -> tuple[float, float]:
    """Return the ends of the interval as worsenings, the smaller first: of a rate, of the time that it stands for."""
    low, high = change.verdict.low, change.verdict.high
    if change.better == "higher":
        # A rate of nothing is a worsening without end.
        low, high = (1 / (1 + end) - 1 if end > -1 else math.inf for end in (high, low))
    return low, high


def _percent(fraction: float) -> str:
    return units.percent(fraction, 2 if abs(fraction) < 0.1 else 1).lstrip("+")
