"""Benchmarks of head against base: ratios with their intervals, each with the verdict that the comparison came to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeprof.quality.reading import (
    Reading,
    UnreadableError,
    as_json,
    counted,
    flag,
    items,
    listed,
    number,
    table,
    text,
)

if TYPE_CHECKING:
    from edgeprof.quality.rules import Limits

__all__ = ["WORDS", "Ratio", "judge", "read"]

WORDS = ("same", "better", "worse", "not enough data")


@dataclass(frozen=True, slots=True)
class Ratio:
    """A benchmark: head / base, more than 1 being slower, with the ends of its interval where there is one."""

    name: str
    clock: str
    exact: bool
    ratio: float
    low: float
    high: float
    word: str

    def __str__(self) -> str:
        interval = "" if self.exact else f" [{_percent(self.low)}, {_percent(self.high)}]"
        return f"{self.name} {_percent(self.ratio)}{interval} ({self.clock})"

    def beyond(self, limit: float) -> bool:
        """Tell whether it is certain to be slower than a factor allows."""
        if self.exact:
            return self.ratio > limit
        return self.word == "worse" and self.low > limit


def _percent(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.1f} %" if ratio == ratio else "unknown"


def read(content: str) -> tuple[Ratio, ...]:
    """Return the ratios of a comparison."""
    data = table(as_json(content), "the whole")
    for key in ("base", "head"):
        text(data.get(key), key)
    return tuple(_ratio(table(one, "a result")) for one in items(data.get("results"), "results"))


def _ratio(entry: dict[str, object]) -> Ratio:
    name = text(entry.get("name"), "the name of a result")
    word, exact = text(entry.get("verdict"), f"verdict of {name}"), flag(entry.get("exact"), f"exact of {name}")
    if word not in WORDS:
        raise UnreadableError(f"verdict of {name} is {word!r}, none of {', '.join(WORDS)}")
    clock = text(entry.get("clock"), f"clock of {name}")
    if word == "not enough data":  # its figures, if there are any, say nothing
        return Ratio(name, clock, exact, math.nan, math.nan, math.nan, word)
    ratio = number(entry.get("ratio"), f"ratio of {name}")
    # What is exact needs no interval.
    low, high = (ratio if exact else number(entry.get(key), f"{key} of {name}") for key in ("low", "high"))
    if ratio <= 0 or not 0 < low <= high:
        raise UnreadableError(f"{name} has the ratio {ratio:g} and an interval of {low:g} to {high:g}")
    return Ratio(name, clock, exact, ratio, low, high, word)


def settled(ratio: Ratio) -> bool:
    """Return whether a noisy clock told something."""
    return not ratio.exact and ratio.word != "not enough data"


def judge(found: Sequence[tuple[str, tuple[Ratio, ...]]], limits: Limits) -> Reading:
    """Judge ratios: none is certain to be slower than allowed; what is slower by less is noted."""
    percent = limits.performance_regression_threshold_percent
    limit = 1 + percent / 100
    ratios = [ratio for _, there in found for ratio in there]
    slow = [r for r in ratios if r.word != "not enough data" and r.beyond(limit)]
    slower = [r for r in ratios if r not in slow and (r.word == "worse" or (r.exact and r.ratio > 1))]
    thin = [r.name for r in ratios if r.word == "not enough data"]
    bad, unsettled, noted = [], [], []
    bad += [f"{name} compares nothing; wanted at least one benchmark." for name, there in found if not there]
    if slow:
        said = f"{counted(len(slow), 'benchmark')} slower by more than {percent:g} %: {listed([str(r) for r in slow])}."
        bad.append(f"{said} Profile what changed between base and head.")
    if thin:
        said = f"{counted(len(thin), 'benchmark')} without enough data to judge: {listed(thin)}."
        # One that a busy machine leaves open says nothing; if none was settled, nothing was compared.
        if any(r.exact for r in ratios if r.word == "not enough data") or not any(settled(r) for r in ratios):
            unsettled.append(f"{said} Measure more rounds.")
        else:
            noted.append(said)
    if slower:
        noted.append(f"slower, within {percent:g} % or not certain to be beyond: {listed([str(r) for r in slower])}")
    shown = f"{counted(len(ratios), 'benchmark')} compared, {len(slow)} too slow"
    shown += f", {len(slower)} slower" if slower else ""
    rows = tuple(
        {
            "name": r.name, "clock": r.clock, "exact": r.exact, "change": r.ratio - 1, "low": r.low - 1,
            "high": r.high - 1, "word": r.word, "too_slow": r in slow,
        }
        for r in ratios
    )  # fmt: skip
    return Reading(shown, tuple(bad), tuple(unsettled), tuple(noted), rows=rows)
