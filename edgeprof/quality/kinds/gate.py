"""``results.json`` of ``edgeprof gate``: whether models became slower, larger or worse on the boards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeprof.gate_outputs.results import FORMAT_VERSION
from edgeprof.quality.reading import Reading, UnreadableError, as_json, items, listed, table, text

if TYPE_CHECKING:
    from edgeprof.quality.rules import Limits

__all__ = ["Gated", "judge", "read"]

VERDICTS = ("pass", "fail", "could not judge")


@dataclass(frozen=True, slots=True)
class Gated:
    """The verdict, how many checks came to what, and why it is no pass."""

    verdict: str
    outcomes: Counter[str]
    reasons: tuple[str, ...]


def read(content: str) -> Gated:
    """Return what a gate found."""
    data = table(as_json(content), "the whole")
    if data.get("format_version") != FORMAT_VERSION:
        raise UnreadableError(f"its format_version is {data.get('format_version')!r}, not {FORMAT_VERSION}")
    verdict = text(data.get("verdict"), "verdict")
    if verdict not in VERDICTS:
        raise UnreadableError(f"its verdict is {verdict!r}, none of {', '.join(VERDICTS)}")
    checks = [table(check, "a check") for check in items(data.get("checks"), "checks")]
    outcomes = Counter(text(check.get("outcome"), "outcome of a check") for check in checks)
    if strange := set(outcomes) - {*VERDICTS, "skipped"}:
        raise UnreadableError(f"the outcome of a check is {min(strange)!r}, none of {', '.join(VERDICTS)}, skipped")
    reasons = [str(problem) for problem in items(data.get("problems", []), "problems")]
    for check in checks:
        if check["outcome"] in ("fail", "could not judge"):
            cell = " ".join(str(check.get(key, "")) for key in ("board", "model", "quant", "metric"))
            reasons.append(f"{' '.join(cell.split())}: {check.get('word', '')}")
    if verdict == "pass" and (reasons or not outcomes["pass"]):
        raise UnreadableError("its verdict is pass, and its checks say otherwise")
    return Gated(verdict, outcomes, tuple(reasons))


def judge(found: Sequence[tuple[str, Gated]], limits: Limits) -> Reading:
    """Judge by the gate's own verdict; what it could not judge is not a pass."""
    del limits
    bad = [
        f"The verdict of {name} is {gated.verdict!r}; wanted 'pass': {listed(gated.reasons)}. docs/gate.md explains it."
        for name, gated in found
        if gated.verdict != "pass"
    ]
    outcomes = sum((gated.outcomes for _, gated in found), Counter[str]())
    return Reading(", ".join(f"{n:,} {outcome}" for outcome, n in sorted(outcomes.items())) or "no check", tuple(bad))
